//! A flow as JSON, table row and CSV line.

use std::time::Duration;

use hivewall_model::{
    Container, Direction, Fate, Flow, FlowId, FlowNames, Perspective, Process, TcpFlags, Timestamp, Timing,
    community_id, protocol_name,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::{application_by_port, dns_rcode, dns_type, tls_version};
use crate::time::rfc3339;

/// One conversation. `source` is the client. Bytes are IP bytes (from the IP header to the end of the datagram) unless
/// the name says wire, which adds link headers, VLAN tags and padding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlowRow {
    /// Number of the flow on its agent; unique since the agent's start.
    pub flow_id: u64,
    /// Community ID, version 1.
    pub community_id: String,
    /// First packet, RFC 3339, UTC.
    pub start: String,
    /// Latest packet, RFC 3339, UTC.
    pub end: String,
    /// Seconds from the first packet to the latest.
    pub duration_seconds: f64,
    /// Protocol name, or its number where it has no usual name.
    pub protocol: String,
    /// IP protocol number.
    pub protocol_number: u8,
    /// Client address.
    pub source_ip: String,
    /// Client port; absent where the protocol has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub src_port: Option<u16>,
    /// Server address.
    pub dest_ip: String,
    /// Server port; absent where the protocol has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dest_port: Option<u16>,
    /// ICMP type of the first packet's direction.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub icmp_type: Option<u16>,
    /// ICMP code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub icmp_code: Option<u16>,
    /// `inbound`, `outbound`, `local` or `transit`, as this host sees it.
    pub direction: String,
    /// False when no handshake was seen and the roles of client and server were guessed.
    pub roles_known: bool,
    /// IP bytes, both directions.
    pub bytes: u64,
    /// Packets, both directions.
    pub packets: u64,
    /// IP bytes from client to server.
    pub bytes_to_server: u64,
    /// IP bytes from server to client.
    pub bytes_to_client: u64,
    /// Packets from client to server.
    pub packets_to_server: u64,
    /// Packets from server to client.
    pub packets_to_client: u64,
    /// Link-layer bytes from client to server.
    pub wire_bytes_to_server: u64,
    /// Link-layer bytes from server to client.
    pub wire_bytes_to_client: u64,
    /// TCP flags seen from the client, as nfdump writes them (`CEUAPRSF`, a dot for each one not seen).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tcp_flags_to_server: Option<String>,
    /// TCP flags seen from the server.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tcp_flags_to_client: Option<String>,
    /// TCP state: `SYN_SENT`, `SYN_RECV`, `ESTABLISHED`, `FIN_WAIT`, `CLOSED`, `RESET`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tcp_state: Option<String>,
    /// `active` while it lives, `closed` after.
    pub state: String,
    /// Why it ended: `finished`, `reset`, `idle_timeout`, `active_timeout`, `table_full`, `reused`, `shutdown`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end_reason: Option<String>,
    /// IP bits per second, both directions, over the latest second.
    pub bits_per_second: f64,
    /// VLAN ids, outer first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub vlan: Vec<u16>,
    /// The tunnel its packets were inside of: `ipip`, `6in4`, `gre`, `vxlan`, `geneve`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tunnel: Option<String>,
    /// Fragments whose first one was not seen: ports are unknown.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub ports_unknown: bool,
    /// Command name of the process of this host that the flow belongs to: the client's, else the server's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub process: Option<String>,
    /// Its process id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<u32>,
    /// Path of its executable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub executable: Option<String>,
    /// Its user: name, or number where there is no name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<String>,
    /// Its container: name, or id where the runtime tells no name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub container: Option<String>,
    /// Id of its container.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub container_id: Option<String>,
    /// Path of its cgroup.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cgroup: Option<String>,
    /// Command name of the process at the other end, where both ends are on this host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peer_process: Option<String>,
    /// Its process id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peer_pid: Option<u32>,
    /// Application protocol: as its payload showed, or guessed from the server's port.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub application: Option<String>,
    /// True when `application` is a guess from the port; shown as `~https`.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub application_guessed: bool,
    /// Name of the server.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server_name: Option<String>,
    /// How it became known: `sni`, `host`, or `dns`, which is inferred from an earlier look-up.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server_name_source: Option<String>,
    /// Greatest TLS version the client offered: `TLS 1.3`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls_version: Option<String>,
    /// First protocol the client offered by ALPN.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls_alpn: Option<String>,
    /// JA4 fingerprint of the client.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ja4: Option<String>,
    /// Method of the latest HTTP request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http_method: Option<String>,
    /// Target of the latest HTTP request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http_target: Option<String>,
    /// Status of the latest HTTP response.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http_status: Option<u16>,
    /// HTTP requests seen.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub http_requests: u32,
    /// Name of the latest DNS question.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dns_query: Option<String>,
    /// Type of the latest DNS question: `A`, `AAAA`, ….
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dns_type: Option<String>,
    /// Response code of the latest DNS response: `NOERROR`, `NXDOMAIN`, ….
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dns_rcode: Option<String>,
    /// SSH identification of the client.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ssh_client: Option<String>,
    /// SSH identification of the server.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ssh_server: Option<String>,
    /// Seconds of the TCP handshake, SYN to the last ACK.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub handshake_rtt_seconds: Option<f64>,
    /// Of that, SYN to SYN-ACK: this host to the server and back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub handshake_server_seconds: Option<f64>,
    /// Of that, SYN-ACK to ACK: this host to the client and back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub handshake_client_seconds: Option<f64>,
    /// Seconds from the client's first payload to the server's first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server_response_seconds: Option<f64>,
    /// Seconds of the latest request-and-answer round trip (DNS, QUIC, ICMP echo).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub round_trip_seconds: Option<f64>,
    /// Jitter of round trips, seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub jitter_seconds: Option<f64>,
    /// Smoothed round-trip time of the local TCP socket, seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub smoothed_rtt_seconds: Option<f64>,
    /// Its mean deviation, seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtt_deviation_seconds: Option<f64>,
    /// Segments the local TCP socket sent again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retransmits: Option<u32>,
    /// Segments the local TCP socket received out of order.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub out_of_order: Option<u32>,
    /// What the policy said of the client's packets: `accept`, `drop`, `reject`, or `observed` where they pass and would
    /// be refused if the policy were enforced. Absent where no policy judged them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verdict: Option<String>,
    /// Id of the rule that decided, or what decided instead of a rule, in parentheses.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    /// True where the verdict is `observed`.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub would_drop: bool,
    /// The change of policy that the verdict is of, in the datapath's own count.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy_epoch: Option<u16>,
    /// What the policy said of the server's packets, where that is something else.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply_verdict: Option<String>,
    /// Id of the rule that decided about them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply_rule: Option<String>,
    /// Packets that were dropped, both directions; they are among `packets`.
    #[serde(skip_serializing_if = "is_none", default)]
    pub dropped_packets: u64,
    /// IP bytes of those; they are among `bytes`.
    #[serde(skip_serializing_if = "is_none", default)]
    pub dropped_bytes: u64,
    /// Where it was seen. Each packet counts once in the flow however many interfaces saw it.
    pub interfaces: Vec<PointRow>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_none(value: &u64) -> bool {
    *value == 0
}

/// What one interface saw of one direction of a flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PointRow {
    /// Interface name.
    pub interface: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// True for packets from the client.
    pub to_server: bool,
    /// Packets.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
    /// Link-layer bytes.
    pub wire_bytes: u64,
    /// The tunnel the packets were inside of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tunnel: Option<String>,
}

/// `tcp`, `udp`, … or the number.
pub fn protocol_text(number: u8) -> String {
    protocol_name(number).map_or_else(|| number.to_string(), str::to_owned)
}

pub(crate) fn direction_text(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

fn tunnel_text(tunnel: hivewall_model::Tunnel) -> String {
    use hivewall_model::Tunnel;
    match tunnel {
        Tunnel::Ipip => "ipip",
        Tunnel::SixInFour => "6in4",
        Tunnel::Gre => "gre",
        Tunnel::Vxlan => "vxlan",
        Tunnel::Geneve => "geneve",
    }
    .to_owned()
}

impl FlowRow {
    /// The row of a flow; `name` gives an interface's name from its index.
    pub fn new(flow: &Flow, name: &dyn Fn(u32) -> String) -> Self {
        let tuple = &flow.tuple;
        let tcp = |flags: TcpFlags| flow.tcp_state.map(|_| flags.to_string());
        let port = |port| tuple.has_ports().then_some(port);
        let icmp = |value| tuple.is_icmp().then_some(value);
        let mut vlan: Vec<u16> = tuple.vlans.to_vec();
        vlan.retain(|id| *id != 0);
        let mut row = Self {
            flow_id: flow.id.0,
            community_id: community_id(tuple),
            start: rfc3339(flow.start),
            end: rfc3339(flow.last),
            duration_seconds: (flow.duration().as_secs_f64() * 1e6).round() / 1e6,
            protocol: protocol_text(tuple.protocol),
            protocol_number: tuple.protocol,
            source_ip: tuple.client.to_string(),
            src_port: port(tuple.client_port),
            dest_ip: tuple.server.to_string(),
            dest_port: port(tuple.server_port),
            icmp_type: icmp(tuple.client_port),
            icmp_code: icmp(tuple.server_port),
            direction: flow.perspective.name().to_owned(),
            roles_known: flow.roles_known,
            bytes: flow.ip_bytes(),
            packets: flow.packets(),
            bytes_to_server: flow.to_server.ip_bytes,
            bytes_to_client: flow.to_client.ip_bytes,
            packets_to_server: flow.to_server.packets,
            packets_to_client: flow.to_client.packets,
            wire_bytes_to_server: flow.to_server.wire_bytes,
            wire_bytes_to_client: flow.to_client.wire_bytes,
            tcp_flags_to_server: tcp(flow.to_server.flags),
            tcp_flags_to_client: tcp(flow.to_client.flags),
            tcp_state: flow.tcp_state.map(|state| state.name().to_owned()),
            state: if flow.ended.is_some() { "closed" } else { "active" }.to_owned(),
            end_reason: flow.ended.map(|reason| reason.name().to_owned()),
            bits_per_second: (flow.rate * 8.0).round(),
            vlan,
            tunnel: flow.tunnel().map(tunnel_text),
            ports_unknown: flow.portless,
            interfaces: flow
                .points
                .iter()
                .map(|point| PointRow {
                    interface: name(point.ifindex),
                    direction: direction_text(point.direction).to_owned(),
                    to_server: point.to_server,
                    packets: point.side.packets,
                    bytes: point.side.ip_bytes,
                    wire_bytes: point.side.wire_bytes,
                    tunnel: point.tunnel.map(tunnel_text),
                })
                .collect(),
            ..Self::default()
        };
        row.add_processes(flow);
        row.add_names(flow);
        row.add_timing(&flow.timing);
        row.add_judgement(flow);
        row
    }

    fn add_judgement(&mut self, flow: &Flow) {
        let Some(judgement) = &flow.judgement else { return };
        let fate = judgement.ruling.fate();
        self.verdict = Some(fate.name().to_owned());
        self.rule = Some(judgement.ruling.rule.to_string());
        self.would_drop = fate == Fate::Observed;
        self.policy_epoch = Some(judgement.ruling.verdict.epoch());
        if let Some(reply) = &judgement.reply {
            self.reply_verdict = Some(reply.fate().name().to_owned());
            self.reply_rule = Some(reply.rule.to_string());
        }
        self.dropped_packets = judgement.dropped_packets;
        self.dropped_bytes = judgement.dropped_bytes;
    }

    fn add_processes(&mut self, flow: &Flow) {
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        if let Some(process) = flow.process() {
            self.process = Some(process.comm.to_string());
            self.pid = Some(process.pid);
            self.executable = text(&process.executable);
            self.user = Some(user_text(process));
            self.container = process.container.as_ref().map(container_text);
            self.container_id = process.container.as_ref().map(|container| container.id.to_string());
            self.cgroup = text(&process.cgroup);
        }
        if let (Some(_), Some(peer)) = (&flow.client_process, &flow.server_process) {
            self.peer_process = Some(peer.comm.to_string());
            self.peer_pid = Some(peer.pid);
        }
    }

    fn add_names(&mut self, flow: &Flow) {
        let none = FlowNames::default();
        let known = flow.names.as_deref().unwrap_or(&none);
        if let Some((name, guessed)) = application(flow) {
            self.application = Some(name.to_owned());
            self.application_guessed = guessed;
        }
        if let Some((name, source)) = &known.server {
            self.server_name = Some(name.to_string());
            self.server_name_source = Some(source.name().to_owned());
        }
        if let Some(tls) = &known.tls {
            self.tls_version = Some(tls_version(tls.version));
            self.tls_alpn = tls.alpn.first().map(ToString::to_string);
            self.ja4 = Some(tls.ja4.to_string());
        }
        if let Some(http) = &known.http {
            self.http_method = Some(http.method.to_string());
            self.http_target = Some(http.target.to_string());
        }
        self.http_status = known.http_status;
        self.http_requests = known.http_requests;
        if let Some(dns) = &known.dns {
            self.dns_query = Some(dns.name.to_string());
            self.dns_type = Some(dns_type(dns.qtype));
            self.dns_rcode = dns.response.then(|| dns_rcode(dns.rcode));
        }
        let [client, server] = &known.ssh;
        self.ssh_client = client.as_deref().map(str::to_owned);
        self.ssh_server = server.as_deref().map(str::to_owned);
    }

    fn add_timing(&mut self, timing: &Timing) {
        let seconds = |time: Option<Duration>| time.map(|time| (time.as_secs_f64() * 1e9).round() / 1e9);
        self.handshake_rtt_seconds = seconds(timing.handshake());
        self.handshake_server_seconds = seconds(timing.handshake_server);
        self.handshake_client_seconds = seconds(timing.handshake_client);
        self.server_response_seconds = seconds(timing.server_response);
        self.round_trip_seconds = seconds(timing.round_trip);
        self.jitter_seconds = seconds(timing.jitter);
        self.smoothed_rtt_seconds = seconds(timing.smoothed_rtt);
        self.rtt_deviation_seconds = seconds(timing.rtt_deviation);
        self.retransmits = timing.retransmits;
        self.out_of_order = timing.out_of_order;
    }
}

/// The application protocol and whether it is a guess from the server's port.
pub(crate) fn application(flow: &Flow) -> Option<(&'static str, bool)> {
    if let Some(seen) = flow.names.as_ref().and_then(|names| names.application) {
        return Some((seen, false));
    }
    let tuple = &flow.tuple;
    tuple.has_ports().then(|| application_by_port(tuple.protocol, tuple.server_port))?.map(|name| (name, true))
}

/// The user's name, or its number where it has none.
pub fn user_text(process: &Process) -> String {
    process.user.as_deref().map_or_else(|| process.uid.to_string(), str::to_owned)
}

/// The container's name, or its id where it has none.
pub fn container_text(container: &Container) -> String {
    container.name.as_deref().unwrap_or(&container.id).to_owned()
}

/// A flow for tests of this crate and its users: TCP, 10.0.0.1:40000 → 10.0.0.2:443, 3 packets out, 2 back.
pub fn example_flow() -> Flow {
    use hivewall_model::{Side, TcpState, Tuple};
    Flow {
        id: FlowId(1),
        tuple: Tuple {
            protocol: 6,
            client: [10, 0, 0, 1].into(),
            server: [10, 0, 0, 2].into(),
            client_port: 40000,
            server_port: 443,
            vlans: [0; 2],
        },
        roles_known: true,
        perspective: Perspective::Outbound,
        to_server: Side { packets: 3, ip_bytes: 180, wire_bytes: 222, flags: TcpFlags(0x1a) },
        to_client: Side { packets: 2, ip_bytes: 112, wire_bytes: 140, flags: TcpFlags(0x12) },
        start: Timestamp::from_millis(1_700_000_000_000),
        last: Timestamp::from_millis(1_700_000_000_250),
        tcp_state: Some(TcpState::Established),
        ended: None,
        portless: false,
        points: vec![],
        rate: 0.0,
        client_process: None,
        server_process: None,
        names: None,
        timing: Timing::default(),
        judgement: None,
    }
}
