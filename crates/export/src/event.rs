//! What a log carries. How it looks in a file is the business of `eve`, `console` and `encode`.
//!
//! Invariant: an event owns all it needs, so that the log's thread asks nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use hivewall_model::{DnsMessage, FlowId, HttpResponse, Learned, Perspective, Process, Timestamp, TlsHello, Tuple};
use hivewall_view::alerts::Alert;
use hivewall_view::policy::FirewallChange;
use hivewall_view::time::rfc3339;
use hivewall_view::{FlowCounts, FlowRow, Loss, ProtocolTraffic, Snapshot, TrafficCell};

/// One line of the log. More kinds come with what produces them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A flow that ended.
    Flow(Box<FlowRow>),
    /// The agent's counters, every so often.
    Stats(Box<StatsEvent>),
    /// What was said in a conversation: a DNS message, a TLS hello, an HTTP exchange, an SSH banner.
    Name(Box<NameEvent>),
    /// The policy refused a flow, or would have.
    Refusal(Box<RefusalEvent>),
    /// Somebody changed the host's packet filters, or ours was put back.
    Firewall(Box<FirewallChange>),
    /// A detector found something.
    Alert(Box<AlertEvent>),
}

impl Event {
    /// The `event_type` of EVE.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Flow(_) => "flow",
            Self::Stats(_) => "stats",
            Self::Name(event) => event.said.kind(),
            Self::Refusal(event) => event.kind(),
            Self::Firewall(change) => change.kind(),
            Self::Alert(_) => "alert",
        }
    }

    /// The event of something learned of a flow; `None` for what has no event of its own: times, which the flow's event
    /// carries, and HTTP requests, which wait for their response as in Suricata (one without stands in the flow's event).
    ///
    /// `perspective` is the flow's, `process` the one of this host it belongs to, `in_iface` where its client's packets
    /// came in.
    pub fn from_finding(
        flow: FlowId,
        tuple: &Tuple,
        perspective: Perspective,
        time: Timestamp,
        learned: &Learned,
        process: Option<&Arc<Process>>,
        in_iface: Option<&str>,
    ) -> Option<Self> {
        let said = match learned {
            Learned::Dns(message) => Said::Dns(Arc::clone(message)),
            Learned::Tls(hello) => Said::Tls(Arc::clone(hello)),
            Learned::HttpResponse(response) => Said::Http(Arc::clone(response)),
            Learned::SshBanner { text, from_client } => Said::Ssh { text: Arc::clone(text), from_client: *from_client },
            Learned::HttpRequest(_)
            | Learned::Handshake { .. }
            | Learned::ServerResponse(_)
            | Learned::RoundTrip { .. }
            | Learned::Stray(_) => return None,
        };
        Some(Self::Name(Box::new(NameEvent {
            flow,
            tuple: *tuple,
            perspective,
            time: rfc3339(time),
            said,
            process: process.map(Arc::clone),
            in_iface: in_iface.map(str::to_owned),
        })))
    }
}

/// An alert, and why it is told now.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertEvent {
    /// As it is by now.
    pub alert: Alert,
    /// `raised`, `worsened` or `ended`.
    pub change: &'static str,
}

/// What was said in a conversation, and in which.
#[derive(Clone, Debug, PartialEq)]
pub struct NameEvent {
    /// The flow's number.
    pub flow: FlowId,
    /// Its ends; whoever said it, the client stands first.
    pub tuple: Tuple,
    /// From where to where it goes.
    pub perspective: Perspective,
    /// When it was said, RFC 3339, UTC.
    pub time: String,
    /// What was said.
    pub said: Said,
    /// The process of this host that the flow belongs to.
    pub process: Option<Arc<Process>>,
    /// Interface by which the client's packets came in.
    pub in_iface: Option<String>,
}

/// A flow that the policy refused, or would have, when that was first seen.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusalEvent {
    /// The flow as it was known by then.
    pub row: FlowRow,
    /// `drop`, `reject` or `observed`.
    pub verdict: &'static str,
    /// Id of the rule that decided, or the label of a cause.
    pub rule: String,
    /// The number of its counter.
    pub rule_number: u32,
    /// Interface at which the packets were refused.
    pub interface: String,
    /// Whether it had received them; else it was to send them.
    pub received: bool,
    /// Whether they were the client's.
    pub to_server: bool,
    /// Packets refused by then.
    pub packets: u64,
    /// Their IP bytes.
    pub ip_bytes: u64,
    /// Refusals by this rule that were beyond its rate of logging since the one before.
    pub not_logged: u64,
}

impl RefusalEvent {
    /// The `event_type` of EVE: what was only observed was not dropped.
    pub fn kind(&self) -> &'static str {
        if self.verdict == "observed" { "alert" } else { "drop" }
    }
}

/// What can be said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A DNS query or response.
    Dns(Arc<DnsMessage>),
    /// A TLS ClientHello.
    Tls(Arc<TlsHello>),
    /// An HTTP response, with its request where that was seen.
    Http(Arc<HttpResponse>),
    /// An SSH identification line.
    Ssh {
        /// As sent.
        text: Arc<str>,
        /// Whether the client sent it, where that is known.
        from_client: Option<bool>,
    },
}

impl Said {
    /// The `event_type` of EVE.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dns(message) if message.multicast => "mdns",
            Self::Dns(_) => "dns",
            Self::Tls(hello) if hello.quic => "quic",
            Self::Tls(_) => "tls",
            Self::Http(_) => "http",
            Self::Ssh { .. } => "ssh",
        }
    }
}

/// The agent's counters at one moment, all since its start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatsEvent {
    /// When, RFC 3339, UTC.
    pub time: String,
    /// Seconds since the agent started.
    pub uptime_seconds: f64,
    /// Where packets come from, as in the snapshot.
    pub source: String,
    /// Interfaces watched.
    pub interfaces: Vec<String>,
    /// Flow records handed over by the datapath.
    pub records: u64,
    /// Frames read, in flows and not, once for each interface that saw them.
    pub packets: u64,
    /// Link-layer bytes of those frames.
    pub wire_bytes: u64,
    /// Frames that break a standard.
    pub invalid: u64,
    /// Packets of each protocol, once for each interface that saw them.
    pub packets_by_protocol: BTreeMap<String, u64>,
    /// Protocol → traffic of the host, each packet once.
    pub protocols: BTreeMap<String, ProtocolTraffic>,
    /// Reason → frames that are in no flow.
    pub not_in_flows: BTreeMap<String, u64>,
    /// How many flows there are and were.
    pub flows: FlowCounts,
    /// What was not seen or not kept, by reason.
    pub losses: BTreeMap<String, Loss>,
    /// Bytes of memory the agent holds resident.
    pub agent_memory_bytes: u64,
    /// CPU seconds the agent has used.
    pub agent_cpu_seconds: f64,
}

/// Reasons in `not_in_flows` whose packets were counted into flows as well: adding them would count those twice.
const ALSO_IN_FLOWS: [&str; 2] = ["gso_segments", "inner_unread"];

impl StatsEvent {
    /// The counters of a snapshot.
    pub fn new(snapshot: &Snapshot) -> Self {
        let mut stats = Self {
            time: snapshot.time.clone(),
            uptime_seconds: snapshot.host.uptime_seconds,
            source: snapshot.capture.source.clone(),
            interfaces: snapshot.capture.interfaces.clone(),
            records: snapshot.capture.records,
            invalid: snapshot.suspicious_traffic.invalid_packets,
            protocols: snapshot.protocols.clone(),
            flows: snapshot.flow_counts.clone(),
            losses: snapshot.losses.clone(),
            agent_memory_bytes: snapshot.host.agent_memory_bytes,
            agent_cpu_seconds: snapshot.host.agent_cpu_seconds,
            ..Self::default()
        };
        for traffic in snapshot.network_traffic.values() {
            for (protocol, cell) in &traffic.protocols {
                *stats.packets_by_protocol.entry(protocol.clone()).or_default() += packets(cell);
                stats.packets += packets(cell);
                stats.wire_bytes += cell.in_wire_bytes + cell.out_wire_bytes;
            }
            for (reason, cell) in &traffic.not_in_flows {
                *stats.not_in_flows.entry(reason.clone()).or_default() += packets(cell);
                if !ALSO_IN_FLOWS.contains(&reason.as_str()) {
                    stats.packets += packets(cell);
                    stats.wire_bytes += cell.in_wire_bytes + cell.out_wire_bytes;
                }
            }
        }
        stats
    }

    /// Packets known to be lost, over all reasons.
    pub fn lost_packets(&self) -> u64 {
        self.losses.values().map(|loss| loss.packets).sum()
    }
}

fn packets(cell: &TrafficCell) -> u64 {
    cell.in_packets + cell.out_packets
}
