//! What the snapshot tells beyond traffic: processes, names, latency, sockets, drops, the host.
//!
//! Invariant: every list here is bounded, and says how much it leaves out where that is known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Traffic of one process. Bytes and packets are those of its flows, each packet once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessTraffic {
    /// Process id; 0 stands for all processes that are no longer kept apart (`process` is `(other)`), and for traffic
    /// of this host whose process is not known (`(unknown)`).
    pub pid: u32,
    /// Command name.
    pub process: String,
    /// Path of the executable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub executable: Option<String>,
    /// User name, or number where there is no name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<String>,
    /// Container: name, or id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub container: Option<String>,
    /// Path of the cgroup.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cgroup: Option<String>,
    /// IP bytes sent since it was first seen.
    pub sent_bytes: u64,
    /// IP bytes received.
    pub received_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Packets received.
    pub received_packets: u64,
    /// IP bits per second sent, over the last second.
    pub sent_bits_per_second: f64,
    /// IP bits per second received.
    pub received_bits_per_second: f64,
    /// Flows that live now.
    pub active_flows: u64,
    /// Flows since it was first seen.
    pub flows: u64,
}

/// How flows are tied to processes, and how well that goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attribution {
    /// `kernel-events`, `sock-diag` (polled, a lesser way) or `none`.
    pub source: String,
    /// Why not a better one; absent when it is the best.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fallback_reason: Option<String>,
    /// Flows with an end on this host whose process is known, since the start.
    pub attributed_flows: u64,
    /// Flows with an end on this host whose process is not known.
    pub unattributed_flows: u64,
    /// Sockets remembered.
    pub sockets: u64,
    /// Processes remembered.
    pub processes: u64,
}

/// Traffic of one application protocol.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApplicationTraffic {
    /// IP bytes, each packet once.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Flows since the start.
    pub flows: u64,
    /// Flows among them for which the application is a guess from the port.
    pub guessed_flows: u64,
}

/// Traffic of one server port. Ports beyond those kept apart stand under port 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceTraffic {
    /// Protocol.
    pub protocol: String,
    /// Server's port.
    pub port: u16,
    /// What usually serves there: a guess.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub application: Option<String>,
    /// IP bytes, each packet once.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Flows since the start.
    pub flows: u64,
}

/// A name and how often it was seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NameCount {
    /// The name.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// How long something took, over all since the start. Zeros while `samples` is 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// How many were measured.
    pub samples: u64,
    /// Sum of all, seconds.
    pub sum_seconds: f64,
    /// Least, seconds.
    pub min_seconds: f64,
    /// Greatest, seconds.
    pub max_seconds: f64,
    /// Half of them took at most so long (to a factor of √2), seconds.
    pub median_seconds: f64,
    /// 95 of 100 took at most so long (to a factor of √2), seconds.
    pub p95_seconds: f64,
}

/// One DNS look-up of late.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DnsRow {
    /// When it was answered (or asked, while there is no answer), RFC 3339, UTC.
    pub time: String,
    /// Who asked.
    pub client: String,
    /// Who was asked.
    pub server: String,
    /// Name asked for.
    pub name: String,
    /// Type asked for.
    pub qtype: String,
    /// Response code; absent while there is no answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rcode: Option<String>,
    /// Addresses and names answered, at most eight.
    pub answers: Vec<String>,
    /// Seconds until the answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latency_seconds: Option<f64>,
    /// Process of this host that asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub process: Option<String>,
}

/// DNS (multicast DNS left out of all but `multicast`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DnsSummary {
    /// Queries seen.
    pub queries: u64,
    /// Responses seen.
    pub responses: u64,
    /// Messages of multicast DNS and LLMNR.
    pub multicast: u64,
    /// Response code → responses.
    pub rcodes: BTreeMap<String, u64>,
    /// Type → queries.
    pub types: BTreeMap<String, u64>,
    /// Names asked for most often.
    pub top_names: Vec<NameCount>,
    /// From query to response.
    pub latency: Latency,
    /// Look-ups of late, latest first.
    pub recent: Vec<DnsRow>,
}

/// One HTTP request of late.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HttpRow {
    /// When it was answered (or asked), RFC 3339, UTC.
    pub time: String,
    /// Client address.
    pub client: String,
    /// Server address.
    pub server: String,
    /// Method.
    pub method: String,
    /// Host.
    pub host: String,
    /// Target.
    pub target: String,
    /// Status; absent while there is no answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// Seconds until the answer's head.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latency_seconds: Option<f64>,
    /// Process of this host at one of the ends.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub process: Option<String>,
}

/// HTTP/1.x in the clear.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HttpSummary {
    /// Requests seen.
    pub requests: u64,
    /// Responses seen.
    pub responses: u64,
    /// Method → requests; unusual ones under `other`.
    pub methods: BTreeMap<String, u64>,
    /// Status → responses.
    pub statuses: BTreeMap<String, u64>,
    /// Hosts asked most often.
    pub top_hosts: Vec<NameCount>,
    /// From request to the head of its response.
    pub latency: Latency,
    /// Requests of late, latest first.
    pub recent: Vec<HttpRow>,
}

/// TLS and QUIC handshakes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TlsSummary {
    /// ClientHellos over TCP.
    pub hellos: u64,
    /// ClientHellos in QUIC.
    pub quic_hellos: u64,
    /// Greatest version offered → hellos.
    pub versions: BTreeMap<String, u64>,
    /// Server names asked for most often.
    pub top_names: Vec<NameCount>,
    /// JA4 fingerprints seen most often.
    pub top_ja4: Vec<NameCount>,
}

/// Round-trip time to one peer, from handshakes, answers and sockets of all flows with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeerLatency {
    /// Latest, seconds.
    pub last_seconds: f64,
    /// Smoothed (a new sample counts for one eighth), seconds.
    pub smoothed_seconds: f64,
    /// Least, seconds.
    pub min_seconds: f64,
    /// Greatest, seconds.
    pub max_seconds: f64,
    /// Jitter (RFC 3550 §6.4.1), seconds.
    pub jitter_seconds: f64,
    /// Samples.
    pub samples: u64,
}

/// Sockets in one state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FamilyCount {
    /// IPv4.
    pub ipv4: u64,
    /// IPv6.
    pub ipv6: u64,
}

/// This host's sockets, as the kernel has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SocketSummary {
    /// State → TCP sockets.
    pub tcp: BTreeMap<String, FamilyCount>,
    /// UDP sockets.
    pub udp: FamilyCount,
    /// `FROM>TO` → transitions of TCP sockets since the start.
    pub transitions: BTreeMap<String, u64>,
    /// Segments that local TCP sockets sent again, since the start, over flows that were seen.
    pub retransmits: u64,
}

/// A target of connections that are not complete.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HalfOpenTarget {
    /// Address and port connected to.
    pub target: String,
    /// Flows to it that have sent SYN and are not established.
    pub half_open: u64,
}

/// Packets that the kernel dropped for one reason, at one interface, of one protocol.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DropRow {
    /// The kernel's name of the reason, in small letters.
    pub reason: String,
    /// Interface; empty where there was none.
    pub interface: String,
    /// Protocol; `other` where the packet could not be read.
    pub protocol: String,
    /// Packets.
    pub packets: u64,
    /// Source of the latest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_source: Option<String>,
    /// Destination of the latest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_destination: Option<String>,
}

/// One disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiskLoad {
    /// Bytes read per second.
    pub read_bytes_per_second: f64,
    /// Bytes written per second.
    pub written_bytes_per_second: f64,
    /// Bytes read since boot.
    pub read_bytes: u64,
    /// Bytes written since boot.
    pub written_bytes: u64,
    /// Share of time in which it had something to do, 0–1.
    pub utilization: f64,
}

/// One mounted filesystem.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FilesystemFill {
    /// What is mounted.
    pub device: String,
    /// Its kind.
    pub kind: String,
    /// Bytes it can hold.
    pub size_bytes: u64,
    /// Bytes that can still be written.
    pub available_bytes: u64,
}

/// Entries of the connection tracking table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConntrackFill {
    /// In use.
    pub entries: u64,
    /// Most it can hold.
    pub limit: u64,
}

/// How busy the host is. Shares are of all CPUs together, 0–1, over the last second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SystemLoad {
    /// CPUs online.
    pub cpus: u32,
    /// Share of CPU time not idle and not waiting for disks.
    pub cpu_utilization: f64,
    /// Mode (`user`, `system`, `interrupt`, `steal`, `iowait`, `idle`) → share of CPU time.
    pub cpu_modes: BTreeMap<String, f64>,
    /// Mode → CPU seconds since boot.
    pub cpu_seconds: BTreeMap<String, f64>,
    /// Load averages over 1, 5 and 15 minutes.
    pub load_average: Vec<f64>,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes programs could still get.
    pub memory_available_bytes: u64,
    /// Bytes of swap.
    pub swap_bytes: u64,
    /// Bytes of swap in use.
    pub swap_used_bytes: u64,
    /// Disk → load.
    pub disks: BTreeMap<String, DiskLoad>,
    /// Mount point → fill.
    pub filesystems: BTreeMap<String, FilesystemFill>,
    /// Connection tracking; absent where it is not in use.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub conntrack: Option<ConntrackFill>,
    /// Processes that exist.
    pub processes: u64,
    /// Seconds since boot.
    pub uptime_seconds: f64,
}

/// What the agent costs and has, for its own screen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentCost {
    /// Share of one CPU the agent used over the last second.
    pub cpu_share: f64,
    /// Nanoseconds the kernel's programs took per packet, where the kernel counts that
    /// (`sysctl kernel.bpf_stats_enabled`, or while an agent holds the statistics on).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kernel_ns_per_packet: Option<f64>,
    /// Payload copies taken for names, since the start.
    pub peeks: u64,
    /// Socket events since the start.
    pub socket_events: u64,
}

/// What history is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryInfo {
    /// Where it is kept; empty while it is off.
    pub directory: String,
    /// Flows on disk.
    pub flows: u64,
    /// Bytes on disk, roll-ups included.
    pub bytes: u64,
    /// Segments on disk.
    pub segments: u64,
    /// First packet of the oldest flow kept, RFC 3339; absent while there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oldest: Option<String>,
    /// Why nothing is written now (disk full, …); absent when all is well.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
}
