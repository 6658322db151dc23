//! The report: what `--export-report` writes as JSON. Keys are never renamed, only added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// So many ports of one host, refused to one source, are a scan.
pub const SCAN_PORTS_MIN: u64 = 20;
/// So many hosts, refusing the same port to one source, are a scan.
pub const SCAN_HOSTS_MIN: u64 = 20;

/// What moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes; [`Report::bytes_are`] says which.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Flows.
    pub flows: u64,
}

/// What moved under one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficRow {
    /// Protocol, service, address or process.
    pub key: String,
    /// What moved.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// What moved within one hour: flows that ended in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourRow {
    /// Its beginning, RFC 3339, UTC; counted from a first day of no date where the log has times of day only.
    pub hour: String,
    /// What moved.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// How often something was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// What.
    pub key: String,
    /// How often.
    pub count: u64,
}

/// A source that the earlier part of the log does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSource {
    /// Its address.
    pub address: String,
    /// When it was seen first.
    pub first_seen: String,
    /// What moved with it.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// Conversations that did not come about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// How many.
    pub flows: u64,
    /// `no_answer` (a SYN alone), `reset` (RST for an answer) or `blocked` (a firewall's word) → how many.
    pub by_reason: BTreeMap<String, u64>,
    /// Who was refused most.
    pub sources: Vec<Count>,
    /// By which address and port.
    pub targets: Vec<Count>,
    /// By which rule of a firewall.
    #[serde(default)]
    pub rules: Vec<Count>,
}

/// What is scanned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanKind {
    /// Many ports of one host.
    #[default]
    Ports,
    /// One port of many hosts.
    Hosts,
}

/// One source that was refused by many ports or hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// Who.
    pub source: String,
    /// What.
    pub kind: ScanKind,
    /// The host, or the port.
    pub target: String,
    /// Different ports or hosts that refused.
    pub probes: u64,
}

/// Alerts, or drops of a firewall, of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRow {
    /// Signature, or reason of the drops.
    pub signature: String,
    /// 1 is the most severe.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub severity: Option<u64>,
    /// How many.
    pub count: u64,
    /// Of them, with the packet blocked.
    pub blocked: u64,
}

/// What a log tells. Lists are the greatest first and bounded; what they leave out is in the sums.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The log; empty where it has no name.
    pub file: String,
    /// How it is written.
    pub format: String,
    /// Bytes read.
    pub bytes_read: u64,
    /// Type → events.
    pub events: BTreeMap<String, u64>,
    /// Reason → lines that are no event, or none that could be read.
    pub skipped: BTreeMap<String, u64>,
    /// The earliest time in it, RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// The latest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
    /// Seconds between them.
    pub span_seconds: f64,
    /// False where the log has times of day only: days are counted from 1970 on.
    pub dates_known: bool,
    /// `ip` (from the IP header on), `wire` (link headers too, as Suricata counts) or `mixed`.
    pub bytes_are: String,
    /// All flows.
    pub total: Traffic,
    /// By protocol.
    pub protocols: Vec<TrafficRow>,
    /// By protocol and server port: `tcp/443`.
    pub services: Vec<TrafficRow>,
    /// By client address.
    pub sources: Vec<TrafficRow>,
    /// By address at either end; a flow counts for both.
    pub talkers: Vec<TrafficRow>,
    /// By process.
    pub processes: Vec<TrafficRow>,
    /// By hour, in order of time; hours without flows are left out.
    pub hours: Vec<HourRow>,
    /// Sources first seen in the last hour of the log, or its last tenth where it spans less than ten hours.
    pub new_sources: Vec<NewSource>,
    /// How many there are.
    pub new_sources_count: u64,
    /// What was refused.
    pub refused: Refused,
    /// Who scans.
    pub scans: Vec<Scan>,
    /// Names asked for most: in DNS, TLS, QUIC, HTTP, and of flows where the log has no such events.
    pub names: Vec<Count>,
    /// Kind and answer (`dns NXDOMAIN`, `http 404`) → how many.
    pub answers: BTreeMap<String, u64>,
    /// Alerts.
    pub alerts: Vec<AlertRow>,
    /// Table → keys that were no longer kept apart, because there were too many; empty where every list is exact.
    pub folded: BTreeMap<String, u64>,
}
