//! A flow as JSON, table row and CSV line.

use hivewall_model::{Direction, Flow, FlowId, Perspective, TcpFlags, Timestamp, community_id, protocol_name};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::rfc3339;

/// One conversation. `source` is the client. Bytes are IP bytes (from the IP header to the end of the datagram) unless
/// the name says wire, which adds link headers, VLAN tags and padding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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
    /// Where it was seen. Each packet counts once in the flow however many interfaces saw it.
    pub interfaces: Vec<PointRow>,
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
        Self {
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
        }
    }
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
    }
}
