//! Everything the agent knows now, as one JSON document. Units are in the names; keys are never renamed, only added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::FlowRow;
use crate::alerts::AlertSummary;
use crate::depth::{
    AgentCost, ApplicationTraffic, Attribution, DnsSummary, DropRow, HalfOpenTarget, HistoryInfo, HttpSummary,
    PeerLatency, ProcessTraffic, ServiceTraffic, SocketSummary, SystemLoad, TlsSummary,
};
use crate::policy::{PolicyView, RefusedTraffic};

/// The snapshot document (`hivewall snapshot`, `GET /api/v1/snapshot`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// When it was taken, RFC 3339, UTC (virtual time in a replay).
    pub time: String,
    /// The host and the agent on it.
    pub host: HostInfo,
    /// Where packets come from.
    pub capture: CaptureInfo,
    /// Interface → protocol → counters, as each interface saw them. A packet that crosses two interfaces is in both.
    pub network_traffic: BTreeMap<String, InterfaceTraffic>,
    /// Protocol → traffic of the whole host, each packet once.
    pub protocols: BTreeMap<String, ProtocolTraffic>,
    /// Address → traffic, each packet once. The busiest by bytes; the rest is in `other`.
    pub ip_traffic_distribution: BTreeMap<String, AddressTraffic>,
    /// How exact `ip_traffic_distribution` is.
    pub ip_traffic_accuracy: TrafficAccuracy,
    /// Configured prefix → traffic, each packet once.
    pub subnet_traffic: BTreeMap<String, AddressTraffic>,
    /// Busiest addresses over the last seconds, by IP bits per second.
    pub top_talkers: Vec<TopTalker>,
    /// TCP state → flows in it now.
    pub connection_states: BTreeMap<String, u64>,
    /// What looks wrong.
    pub suspicious_traffic: SuspiciousTraffic,
    /// How many flows there are and were.
    pub flow_counts: FlowCounts,
    /// The largest flows by bytes, living and lately closed; ask `/api/v1/flows` for the rest.
    pub flows: Vec<FlowRow>,
    /// Interface → load.
    pub interface_utilization: BTreeMap<String, InterfaceUtilization>,
    /// Traffic of conversations opened by this host, by destination address: the busiest, the rest is in `other`.
    pub outbound_traffic: BTreeMap<String, AddressTraffic>,
    /// Processes of this host by traffic: the busiest, then what is left.
    pub processes: Vec<ProcessTraffic>,
    /// How flows are tied to processes.
    pub attribution: Attribution,
    /// Application protocol → traffic.
    pub applications: BTreeMap<String, ApplicationTraffic>,
    /// Server ports by traffic, busiest first.
    pub services: Vec<ServiceTraffic>,
    /// DNS.
    pub dns_queries: DnsSummary,
    /// HTTP/1.x in the clear.
    pub http_requests: HttpSummary,
    /// TLS and QUIC handshakes.
    pub tls_handshakes: TlsSummary,
    /// Peer → round-trip time: those with most samples.
    pub latency: BTreeMap<String, PeerLatency>,
    /// Peer → jitter, seconds; the same peers.
    pub jitter: BTreeMap<String, f64>,
    /// This host's sockets.
    pub sockets: SocketSummary,
    /// Targets with most incomplete connections.
    pub half_open_targets: Vec<HalfOpenTarget>,
    /// Packets the kernel dropped, by reason, interface and protocol, most first.
    pub kernel_drops: Vec<DropRow>,
    /// How busy the host is; absent in a replay.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub system: Option<SystemLoad>,
    /// Detector → alerts since the agent began (in a replay: in the capture), those above `info`.
    pub security_alerts: BTreeMap<String, u64>,
    /// What detectors found: counts, and the latest alerts in full.
    #[serde(default)]
    pub alerts: AlertSummary,
    /// Collectors that flows are exported to.
    #[serde(default)]
    pub flow_export: Vec<ExportRow>,
    /// The policy in force: its rules with their counters, bans, what waits to be confirmed.
    #[serde(default)]
    pub firewall_rules: PolicyView,
    /// What was refused by the policy. Traffic elsewhere in this document is what was seen; this much of it did not pass.
    #[serde(default)]
    pub refused: RefusedTraffic,
    /// What the agent costs.
    pub agent: AgentCost,
    /// What history is kept.
    pub history: HistoryInfo,
    /// Everything not seen or not kept, by reason. All of it; an absent reason is one that cannot happen here.
    pub losses: BTreeMap<String, Loss>,
}

/// How flow export to one collector fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExportRow {
    /// `ipfix+udp://192.0.2.9:4739`, without secrets.
    pub target: String,
    /// Records sent since the agent began.
    pub records: u64,
    /// Messages they went in.
    pub messages: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Records that wait.
    pub queued: u64,
    /// Reason → records that were lost.
    pub lost: BTreeMap<String, u64>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
}

/// The host and the agent on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostInfo {
    /// Host name.
    pub name: String,
    /// Kernel release.
    pub kernel: String,
    /// Version of hivewall.
    pub version: String,
    /// Seconds since the agent started (in a replay: of captured time).
    pub uptime_seconds: f64,
    /// Bytes of memory the agent holds resident.
    pub agent_memory_bytes: u64,
    /// CPU seconds the agent has used.
    pub agent_cpu_seconds: f64,
}

/// Where packets come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CaptureInfo {
    /// `ebpf-tcx`, `ebpf-clsact`, `af-packet` or `file`.
    pub source: String,
    /// Why this source and not a better one; absent when it is the best.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fallback_reason: Option<String>,
    /// Interfaces watched, or the file.
    pub interfaces: Vec<String>,
    /// Milliseconds one tick of the capture clock lasts: the resolution of flow times.
    pub clock_resolution_ms: f64,
    /// Packets counted into flows since the start, as all interfaces saw them.
    pub packets: u64,
    /// Flow records handed over by the datapath.
    pub records: u64,
}

/// Counters of one protocol at one interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrafficCell {
    /// Packets received.
    pub in_packets: u64,
    /// IP bytes received.
    pub in_bytes: u64,
    /// Link-layer bytes received.
    pub in_wire_bytes: u64,
    /// Packets sent.
    pub out_packets: u64,
    /// IP bytes sent.
    pub out_bytes: u64,
    /// Link-layer bytes sent.
    pub out_wire_bytes: u64,
}

/// One interface: protocol name → counters. Frames that are in no flow stand under `not_in_flows`, by reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InterfaceTraffic {
    /// Protocol → counters.
    pub protocols: BTreeMap<String, TrafficCell>,
    /// All protocols together.
    pub total: TrafficCell,
    /// Reason → frames that are in no flow (ARP, malformed, …). Bytes are link-layer bytes.
    pub not_in_flows: BTreeMap<String, TrafficCell>,
}

/// One protocol over the whole host, each packet once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProtocolTraffic {
    /// Packets.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
    /// Flows that live now.
    pub active_flows: u64,
    /// IP bits per second over the last second.
    pub bits_per_second: f64,
}

/// Traffic of one address or prefix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AddressTraffic {
    /// IP bytes sent by it.
    pub sent_bytes: u64,
    /// IP bytes received by it.
    pub received_bytes: u64,
    /// Packets sent by it.
    pub sent_packets: u64,
    /// Packets received by it.
    pub received_packets: u64,
}

/// How exact a bounded table is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrafficAccuracy {
    /// True while every address has been counted from its first packet.
    pub exact: bool,
    /// Addresses kept in memory.
    pub tracked: u64,
    /// Most that are kept.
    pub limit: u64,
    /// Times a quiet address was folded into `other` to make room.
    pub folded: u64,
    /// No address's bytes are understated by more than this.
    pub error_bytes_max: u64,
}

/// An address that moves much.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TopTalker {
    /// Address.
    pub address: String,
    /// IP bits per second, sent and received.
    pub bits_per_second: f64,
    /// IP bits per second sent.
    pub sent_bits_per_second: f64,
    /// IP bits per second received.
    pub received_bits_per_second: f64,
    /// IP bytes since the start, both ways.
    pub bytes: u64,
}

/// What looks wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SuspiciousTraffic {
    /// Frames that break a standard.
    pub invalid_packets: u64,
    /// The same, by reason.
    pub invalid_by_reason: BTreeMap<String, u64>,
    /// Failed logins: as the host's own logs tell of them, and as many as sessions of guessing look like.
    #[serde(default)]
    pub failed_login_attempts: u64,
    /// Alerts of port scans and sweeps.
    #[serde(default)]
    pub port_scans: u64,
    /// Alerts of SYN floods.
    #[serde(default)]
    pub syn_floods: u64,
    /// Alerts of other floods and amplification.
    #[serde(default)]
    pub floods: u64,
    /// TCP flows whose handshake is not complete: SYN sent, or answered and not confirmed.
    pub half_open: u64,
}

/// How many flows there are and were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlowCounts {
    /// Living.
    pub active: u64,
    /// Seen since the start.
    pub total: u64,
    /// Most that can live at once.
    pub limit: u64,
    /// End reason → flows that ended so.
    pub ended: BTreeMap<String, u64>,
    /// New flows a second, over the last second.
    pub new_per_second: f64,
}

/// Load of one interface, from the kernel's own counters (in a replay: from the packets).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InterfaceUtilization {
    /// Bytes received since the interface was made.
    pub in_bytes: u64,
    /// Bytes sent.
    pub out_bytes: u64,
    /// Packets received.
    pub in_packets: u64,
    /// Packets sent.
    pub out_packets: u64,
    /// Bits per second received, over the last second.
    pub in_bits_per_second: f64,
    /// Bits per second sent.
    pub out_bits_per_second: f64,
    /// Packets per second received.
    pub in_packets_per_second: f64,
    /// Packets per second sent.
    pub out_packets_per_second: f64,
    /// Link speed, bits per second; absent where the driver does not say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub speed_bits_per_second: Option<u64>,
    /// The busier direction's share of the link speed, 0–1; absent without a speed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub utilization: Option<f64>,
    /// Receive and transmit errors.
    pub errors: u64,
    /// Of those, receive errors.
    pub in_errors: u64,
    /// Packets the kernel dropped at this interface.
    pub dropped: u64,
    /// Of those, received ones.
    pub in_dropped: u64,
    /// Up and with carrier.
    pub up: bool,
    /// Whether its packets are captured.
    pub captured: bool,
}

/// What was not seen or not kept for one reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Loss {
    /// Events (records, rows or flows, as `meaning` says).
    pub count: u64,
    /// Packets in them, where that is known.
    pub packets: u64,
    /// Bytes in them, where that is known.
    pub bytes: u64,
    /// What was lost and what it means.
    pub meaning: String,
}
