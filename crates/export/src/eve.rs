//! Events as EVE JSON: the field names of Suricata 8, so that what reads its logs reads ours.
//!
//! Where the two differ, and why:
//! - `bytes_toserver` and `bytes_toclient` are link-layer bytes, because Suricata counts the whole captured packet. IP
//!   bytes, which the rest of hivewall shows, stand under `hivewall`.
//! - `timestamp` of a flow is its last packet (Suricata: the moment of logging), so that a replay writes the same twice.
//! - `flow.age` is the whole seconds of the duration (Suricata: the difference of the two whole-second times).
//! - `flow.reason` knows Suricata's words only; the exact one is `hivewall.end_reason`.
//! - `stats.decoder` counts a packet once for each interface that saw it, as Suricata does; `hivewall.protocols` once.
//! - `app_proto` is what the payload showed; a guess from the port is `hivewall.application_guess`.
//! - Suricata's `tunnel` object wants the outer addresses, which a flow does not keep: the kind is `hivewall.tunnel`.
//! - `firewall_drift` and `firewall_repair` are events of ours: Suricata does not look at packet filters.
//! - `flow.action` is there where the policy dropped packets of the flow; the rule is `hivewall.rule`.
//!
//! Everything that Suricata has no name for stands under the one key `hivewall`. Nothing here builds a JSON tree: the
//! structs borrow from the event and are written straight into the log's buffer.

mod alert;
mod drop;
mod firewall;
mod names;

use std::collections::BTreeMap;
use std::fmt;

use hivewall_view::{FlowRow, PointRow, ProtocolTraffic};
use serde::{Serialize, Serializer};

use crate::event::{Event, StatsEvent};

/// Appends one event, without a line end.
pub(crate) fn write(event: &Event, out: &mut Vec<u8>) -> serde_json::Result<()> {
    match event {
        Event::Flow(row) => serde_json::to_writer(out, &EveFlow::new(row)),
        Event::Stats(stats) => serde_json::to_writer(out, &EveStats::new(stats)),
        Event::Refusal(event) => serde_json::to_writer(out, &drop::EveDrop::new(event)),
        Event::Firewall(change) => serde_json::to_writer(out, &firewall::EveFirewall::new(change)),
        Event::Name(event) => serde_json::to_writer(out, &names::EveName::new(event)),
        Event::Alert(event) => serde_json::to_writer(out, &alert::EveAlert::new(event)),
    }
}

/// RFC 3339 as Suricata writes it: `+0000` where we have `Z`, no colon in an offset.
struct EveTime<'a>(&'a str);

impl fmt::Display for EveTime<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(time) = self.0.strip_suffix('Z') {
            return write!(f, "{time}+0000");
        }
        match self.0.rsplit_once(':') {
            Some((time, minutes)) if time.contains(':') => write!(f, "{time}{minutes}"),
            _ => f.write_str(self.0),
        }
    }
}

impl Serialize for EveTime<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// TCP flags as two hexadecimal digits.
#[derive(Clone, Copy)]
struct Flags(u8);

impl Flags {
    /// From nfdump's picture, `CEUAPRSF` with dots.
    fn read(picture: Option<&str>) -> Self {
        Self(picture.unwrap_or_default().bytes().fold(0, |flags, letter| flags << 1 | u8::from(letter != b'.')))
    }

    fn has(self, bit: u8) -> bool {
        self.0 >> bit & 1 == 1
    }
}

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:02x}", self.0))
    }
}

#[derive(Serialize)]
struct EveFlow<'a> {
    timestamp: EveTime<'a>,
    flow_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_iface: Option<&'a str>,
    event_type: &'static str,
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    vlan: &'a [u16],
    src_ip: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    dest_ip: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
    ip_v: u8,
    proto: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_type: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_proto: Option<&'a str>,
    flow: FlowPart<'a>,
    community_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<TcpPart>,
    hivewall: FlowExtras<'a>,
}

#[derive(Serialize)]
struct FlowPart<'a> {
    pkts_toserver: u64,
    pkts_toclient: u64,
    bytes_toserver: u64,
    bytes_toclient: u64,
    start: EveTime<'a>,
    end: EveTime<'a>,
    age: u64,
    state: &'static str,
    reason: &'static str,
    alerted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[derive(Serialize)]
struct TcpPart {
    tcp_flags: Flags,
    tcp_flags_ts: Flags,
    tcp_flags_tc: Flags,
    #[serde(skip_serializing_if = "is_false")]
    syn: bool,
    #[serde(skip_serializing_if = "is_false")]
    fin: bool,
    #[serde(skip_serializing_if = "is_false")]
    rst: bool,
    #[serde(skip_serializing_if = "is_false")]
    psh: bool,
    #[serde(skip_serializing_if = "is_false")]
    ack: bool,
    #[serde(skip_serializing_if = "is_false")]
    urg: bool,
    #[serde(skip_serializing_if = "is_false")]
    ecn: bool,
    #[serde(skip_serializing_if = "is_false")]
    cwr: bool,
    state: &'static str,
}

#[derive(Serialize)]
struct FlowExtras<'a> {
    direction: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<&'a str>,
    roles_known: bool,
    duration_seconds: f64,
    ip_bytes_toserver: u64,
    ip_bytes_toclient: u64,
    /// IP bits per second over the whole flow; absent for a flow that lasted no time.
    #[serde(skip_serializing_if = "Option::is_none")]
    bits_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    ports_unknown: bool,
    #[serde(flatten)]
    judgement: Judged<'a>,
    #[serde(flatten)]
    depth: names::FlowDepth<'a>,
    interfaces: &'a [PointRow],
}

/// What the policy said.
#[derive(Serialize)]
struct Judged<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    would_drop: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_epoch: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_verdict: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_packets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_bytes: Option<u64>,
}

impl<'a> Judged<'a> {
    fn new(row: &'a FlowRow) -> Self {
        let dropped = |count: u64| (row.dropped_packets > 0).then_some(count);
        Self {
            verdict: row.verdict.as_deref(),
            rule: row.rule.as_deref(),
            would_drop: row.would_drop,
            policy_epoch: row.policy_epoch,
            reply_verdict: row.reply_verdict.as_deref(),
            reply_rule: row.reply_rule.as_deref(),
            dropped_packets: dropped(row.dropped_packets),
            dropped_bytes: dropped(row.dropped_bytes),
        }
    }
}

impl<'a> EveFlow<'a> {
    fn new(row: &'a FlowRow) -> Self {
        Self {
            timestamp: EveTime(&row.end),
            flow_id: row.flow_id,
            in_iface: entered_at(row),
            event_type: "flow",
            vlan: &row.vlan,
            src_ip: &row.source_ip,
            src_port: row.src_port,
            dest_ip: &row.dest_ip,
            dest_port: row.dest_port,
            ip_v: if row.source_ip.contains(':') { 6 } else { 4 },
            proto: protocol(row.protocol_number).unwrap_or(&row.protocol),
            icmp_type: row.icmp_type,
            icmp_code: row.icmp_code,
            app_proto: row.application.as_deref().filter(|_| !row.application_guessed),
            flow: FlowPart {
                pkts_toserver: row.packets_to_server,
                pkts_toclient: row.packets_to_client,
                bytes_toserver: row.wire_bytes_to_server,
                bytes_toclient: row.wire_bytes_to_client,
                start: EveTime(&row.start),
                end: EveTime(&row.end),
                age: row.duration_seconds as u64,
                state: state(row),
                reason: reason(row.end_reason.as_deref()),
                alerted: false,
                action: (row.dropped_packets > 0).then_some("drop"),
            },
            community_id: &row.community_id,
            tcp: row.tcp_state.as_deref().map(|state| TcpPart::new(row, state)),
            hivewall: FlowExtras {
                direction: &row.direction,
                end_reason: row.end_reason.as_deref(),
                roles_known: row.roles_known,
                duration_seconds: row.duration_seconds,
                ip_bytes_toserver: row.bytes_to_server,
                ip_bytes_toclient: row.bytes_to_client,
                bits_per_second: mean_rate(row),
                tunnel: row.tunnel.as_deref(),
                ports_unknown: row.ports_unknown,
                judgement: Judged::new(row),
                depth: names::FlowDepth::new(row),
                interfaces: &row.interfaces,
            },
        }
    }
}

impl TcpPart {
    fn new(row: &FlowRow, state: &str) -> Self {
        let to_server = Flags::read(row.tcp_flags_to_server.as_deref());
        let to_client = Flags::read(row.tcp_flags_to_client.as_deref());
        let both = Flags(to_server.0 | to_client.0);
        Self {
            tcp_flags: both,
            tcp_flags_ts: to_server,
            tcp_flags_tc: to_client,
            fin: both.has(0),
            syn: both.has(1),
            rst: both.has(2),
            psh: both.has(3),
            ack: both.has(4),
            urg: both.has(5),
            ecn: both.has(6),
            cwr: both.has(7),
            state: match state {
                "SYN_SENT" => "syn_sent",
                "SYN_RECV" => "syn_recv",
                "ESTABLISHED" => "established",
                // Suricata names the state as the server's kernel would: who said FIN first decides.
                "FIN_WAIT" if to_server.has(0) => "close_wait",
                "FIN_WAIT" => "fin_wait1",
                "CLOSED" | "RESET" => "closed",
                _ => "none",
            },
        }
    }
}

/// Where the client's packets came in; failing that, where they were seen first, or anything of the flow was.
fn entered_at(row: &FlowRow) -> Option<&str> {
    let points = &row.interfaces;
    points
        .iter()
        .find(|point| point.to_server && point.direction == "ingress")
        .or_else(|| points.iter().find(|point| point.to_server))
        .or_else(|| points.first())
        .map(|point| point.interface.as_str())
}

/// `new` until the conversation has two sides, `closed` once TCP says so.
fn state(row: &FlowRow) -> &'static str {
    match row.tcp_state.as_deref() {
        Some("CLOSED" | "RESET") => "closed",
        Some("SYN_SENT" | "SYN_RECV") => "new",
        Some(_) => "established",
        None if row.packets_to_server > 0 && row.packets_to_client > 0 => "established",
        None => "new",
    }
}

/// Suricata times a closed connection out like any other flow, so `finished` and `reset` are `timeout` to it.
fn reason(end: Option<&str>) -> &'static str {
    match end {
        Some("finished" | "reset" | "idle_timeout" | "active_timeout") => "timeout",
        Some("table_full") => "forced",
        Some("reused") => "tcp_reuse",
        Some("shutdown") => "shutdown",
        _ => "unknown",
    }
}

fn mean_rate(row: &FlowRow) -> Option<f64> {
    (row.duration_seconds > 0.0).then(|| (row.bytes as f64 * 8.0 / row.duration_seconds).round())
}

/// Suricata's spelling of the protocols that we have a name for.
fn protocol(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "HOPOPT",
        1 => "ICMP",
        2 => "IGMP",
        4 => "IP-in-IP",
        6 => "TCP",
        8 => "EGP",
        17 => "UDP",
        27 => "RDP",
        33 => "DCCP",
        41 => "IPv6",
        46 => "RSVP",
        47 => "GRE",
        50 => "ESP",
        51 => "AH",
        58 => "IPv6-ICMP",
        59 => "IPv6-NoNxt",
        88 => "EIGRP",
        89 => "OSPF",
        97 => "ETHERIP",
        103 => "PIM",
        108 => "IPComp",
        112 => "VRRP",
        115 => "L2TP",
        132 => "SCTP",
        136 => "UDPLite",
        137 => "MPLS-in-IP",
        _ => return None,
    })
}

#[derive(Serialize)]
struct EveStats<'a> {
    timestamp: EveTime<'a>,
    event_type: &'static str,
    stats: StatsPart,
    hivewall: StatsExtras<'a>,
}

#[derive(Serialize)]
struct StatsPart {
    uptime: u64,
    capture: CapturePart,
    decoder: DecoderPart,
    flow: FlowCountsPart,
}

#[derive(Serialize)]
struct CapturePart {
    kernel_packets: u64,
    kernel_drops: u64,
}

#[derive(Serialize)]
struct DecoderPart {
    pkts: u64,
    bytes: u64,
    invalid: u64,
    tcp: u64,
    udp: u64,
    sctp: u64,
    esp: u64,
    icmpv4: u64,
    icmpv6: u64,
    gre: u64,
    arp: u64,
}

#[derive(Serialize)]
struct FlowCountsPart {
    total: u64,
    active: u64,
    tcp_reuse: u64,
}

#[derive(Serialize)]
struct StatsExtras<'a> {
    source: &'a str,
    interfaces: &'a [String],
    records: u64,
    protocols: &'a BTreeMap<String, ProtocolTraffic>,
    not_in_flows: &'a BTreeMap<String, u64>,
    losses: BTreeMap<&'a str, LossPart>,
    flows_limit: u64,
    flows_ended: &'a BTreeMap<String, u64>,
    new_flows_per_second: f64,
    agent_memory_bytes: u64,
    agent_cpu_seconds: f64,
}

/// A loss without its explanation, which would repeat in every line.
#[derive(Serialize)]
struct LossPart {
    count: u64,
    packets: u64,
    bytes: u64,
}

impl<'a> EveStats<'a> {
    fn new(stats: &'a StatsEvent) -> Self {
        let count = |map: &BTreeMap<String, u64>, key: &str| map.get(key).copied().unwrap_or(0);
        let of = |protocol: &str| count(&stats.packets_by_protocol, protocol);
        let lost = stats.lost_packets();
        Self {
            timestamp: EveTime(&stats.time),
            event_type: "stats",
            stats: StatsPart {
                uptime: stats.uptime_seconds as u64,
                capture: CapturePart { kernel_packets: stats.packets + lost, kernel_drops: lost },
                decoder: DecoderPart {
                    pkts: stats.packets,
                    bytes: stats.wire_bytes,
                    invalid: stats.invalid,
                    tcp: of("tcp"),
                    udp: of("udp"),
                    sctp: of("sctp"),
                    esp: of("esp"),
                    icmpv4: of("icmp"),
                    icmpv6: of("icmpv6"),
                    gre: of("gre"),
                    arp: count(&stats.not_in_flows, "arp"),
                },
                flow: FlowCountsPart {
                    total: stats.flows.total,
                    active: stats.flows.active,
                    tcp_reuse: count(&stats.flows.ended, "reused"),
                },
            },
            hivewall: StatsExtras {
                source: &stats.source,
                interfaces: &stats.interfaces,
                records: stats.records,
                protocols: &stats.protocols,
                not_in_flows: &stats.not_in_flows,
                losses: stats
                    .losses
                    .iter()
                    .map(|(name, loss)| {
                        (name.as_str(), LossPart { count: loss.count, packets: loss.packets, bytes: loss.bytes })
                    })
                    .collect(),
                flows_limit: stats.flows.limit,
                flows_ended: &stats.flows.ended,
                new_flows_per_second: stats.flows.new_per_second,
                agent_memory_bytes: stats.agent_memory_bytes,
                agent_cpu_seconds: stats.agent_cpu_seconds,
            },
        }
    }
}
