//! Alerts as every surface shows them: what was found, who did it to whom, how bad it is, on what evidence, and what came
//! of it. The JSON of `/api/v1/alerts`, of `hivewall alerts -o json`, of webhooks and of `hivewall` in EVE alert lines.

mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::fleet::FleetAnswer;

pub use text::{render_alert, render_alerts, render_detectors, render_mutes};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth a line in a log; nobody is told.
    #[default]
    Info,
    /// Odd.
    Low,
    /// Somebody should look today.
    Medium,
    /// Somebody should look now.
    High,
    /// It is happening, and it hurts.
    Critical,
}

impl Severity {
    /// All of them, mildest first.
    pub const ALL: [Severity; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name().eq_ignore_ascii_case(name.trim()))
    }

    /// Suricata's number, where 1 is worst and 3 mildest.
    pub fn eve(self) -> u8 {
        match self {
            Self::Critical | Self::High => 1,
            Self::Medium => 2,
            Self::Low | Self::Info => 3,
        }
    }
}

/// A technique of MITRE ATT&CK.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Technique {
    /// `T1046`.
    pub id: String,
    /// `Network Service Discovery`.
    pub name: String,
    /// `Discovery`.
    pub tactic: String,
}

/// Whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Seen within the detector's quiet time.
    #[default]
    Active,
    /// Not seen for longer.
    Ended,
}

/// On what it rests.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// Named figures with their units in the names: `ports`, `attempts`, `packets_per_second`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
    /// Numbers of flows it was seen in, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<u64>,
    /// What was seen, in words: names asked for, user names tried; at most 8 of at most 128 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
    /// File with a capture of its first packets on the host that raised it, where one was allowed; `GET
    /// /api/v1/alerts/capture` and `hivewall alerts capture` hand it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<String>,
    /// What hosts of the fleet that saw it have of it, where it is an alert of the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owners: Option<OwnersEvidence>,
}

/// What hosts of the fleet have of an alert that no host sees alone.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct OwnersEvidence {
    /// Who answered, of the hosts that saw it.
    pub answer: FleetAnswer,
    /// What each of those has.
    pub owners: Vec<OwnerEvidence>,
}

/// What one host of the fleet has of it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct OwnerEvidence {
    /// Its name.
    pub host: String,
    /// Flows of the last hour that match.
    pub flows: u64,
    /// Packets of the latest 8 of them.
    pub packets: u64,
    /// IP bytes of those.
    pub bytes: u64,
    /// Numbers of those, at that host.
    pub flow_ids: Vec<u64>,
}

/// That somebody has seen it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Acknowledgement {
    /// When, RFC 3339.
    pub at: String,
    /// Who.
    pub by: String,
    /// What they say of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What was done about it by itself.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Response {
    /// `limit` or `ban`.
    pub action: String,
    /// `done`, `refused`, `failed`, `undone` or `ended`.
    pub outcome: String,
    /// Why, in a sentence.
    pub reason: String,
    /// What it holds for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Until when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The command that undoes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

/// One alert: everything that one detector saw of one subject without a long pause.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Its name for commands: 12 hexadecimal digits, unique on its host.
    pub id: String,
    /// The host that raised it.
    pub host: String,
    /// Which detector: `port_scan`. The list is in docs/detection.md.
    pub detector: String,
    /// What kind of thing it is: `scan`, `flood`, `brute_force`, `tunnel`.
    pub kind: String,
    /// The detector's title: `Port scan`.
    pub title: String,
    /// How bad.
    pub severity: Severity,
    /// One sentence for people: who did what to whom, how much.
    pub message: String,
    /// ATT&CK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub technique: Option<Technique>,
    /// Who did it: an address; for ARP a MAC. Absent where nobody can be named (spoofed sources).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How many sources, where there is more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<u64>,
    /// Whether the source may be a lie. What rests on it must never cut anybody off.
    pub spoofable: bool,
    /// What else makes it this alert and no other: a domain, a process, a MAC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// To whom: addresses, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// How many, in all.
    pub target_count: u64,
    /// `tcp`, `udp`, `icmp`, `arp`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The port that was called, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Process of this host: `sshd (812)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// Interface that saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// First sign, RFC 3339.
    pub first_seen: String,
    /// Latest sign, RFC 3339.
    pub last_seen: String,
    /// How often the detector said so, this being one alert all the same.
    pub signs: u64,
    /// Whether it goes on.
    pub state: AlertState,
    /// On what it rests.
    pub evidence: Evidence,
    /// Hosts of the fleet that saw it, where more than one did, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Who has seen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
    /// Nobody is told of it before, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced_until: Option<String>,
    /// What was done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
}

/// What a mute keeps silent: everything in it that is set has to agree.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MuteMatch {
    /// The detector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<String>,
    /// An address or a prefix that holds the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// An address or a prefix that holds a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The port that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What else makes it this alert and no other: a domain, a process, a MAC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// How silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MuteAction {
    /// The alert is raised and listed; nobody is told, and nothing is done about it.
    #[default]
    Silence,
    /// There is no alert; it is counted.
    Exclude,
}

/// Alerts that somebody wants to hear nothing of.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Mute {
    /// Its name for commands.
    pub id: String,
    /// How silent.
    pub action: MuteAction,
    /// Which alerts.
    pub of: MuteMatch,
    /// Since when, RFC 3339.
    pub since: String,
    /// Until when, RFC 3339; for good when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Who.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Signs it kept silent since the agent began.
    pub hits: u64,
}

/// Which alerts are asked for; what is set has to agree.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AlertQuery {
    /// Going on, or over.
    pub state: Option<AlertState>,
    /// This severity or a worse one.
    pub severity: Option<Severity>,
    /// Its id, or how that begins.
    pub id: Option<String>,
    /// The detector.
    pub detector: Option<String>,
    /// The source, as it stands in the alert.
    pub source: Option<String>,
    /// Seen at this time or later, RFC 3339 in UTC with microseconds.
    pub since: Option<String>,
    /// Those that somebody has seen, too, and those that are silenced.
    pub all: bool,
    /// At most so many.
    pub limit: usize,
}

impl AlertQuery {
    /// Whether an alert is asked for.
    pub fn wants(&self, alert: &Alert) -> bool {
        let is_hushed = alert.acknowledged.is_some() || alert.silenced_until.is_some();
        self.id.as_ref().is_none_or(|id| alert.id.starts_with(id.as_str()))
            && self.state.is_none_or(|state| alert.state == state)
            && self.severity.is_none_or(|severity| alert.severity >= severity)
            && self.detector.as_ref().is_none_or(|detector| alert.detector == *detector)
            && self.source.as_ref().is_none_or(|source| alert.source.as_ref() == Some(source))
            && self.since.as_ref().is_none_or(|since| alert.last_seen >= *since)
            && (self.all || !is_hushed)
    }
}

/// Alerts, the latest first.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct AlertPage {
    /// When, RFC 3339.
    pub time: String,
    /// Those asked for.
    pub alerts: Vec<Alert>,
    /// How many there are beyond the limit, these included.
    pub matched: u64,
}

/// What is muted.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct MutePage {
    /// In the order they were made.
    pub mutes: Vec<Mute>,
}

/// One detector, for help and lists.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct DetectorRow {
    /// `port_scan`.
    pub name: String,
    /// `Port scan`.
    pub title: String,
    /// `scan`, `flood`, …
    pub kind: String,
    /// What it catches.
    pub sees: String,
    /// What it does not.
    pub misses: String,
    /// How an attacker gets around it.
    pub evaded_by: String,
    /// Severity of a plain case.
    pub severity: Severity,
    /// ATT&CK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub technique: Option<Technique>,
    /// Whether its source may be a lie: `never`, `depends`, `always`.
    pub spoofable: String,
    /// Whether it works here.
    pub on: bool,
    /// Threshold → value and unit.
    pub thresholds: BTreeMap<String, String>,
    /// Signs since the agent began.
    pub signs: u64,
    /// What it remembers now.
    pub entries: u64,
    /// Most that it may remember.
    pub entries_max: u64,
    /// What it forgot before its time for that, since the agent began.
    pub given_up: u64,
}

/// How delivery over one channel fares.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ChannelRow {
    /// `alertmanager+http://10.0.0.9:9093`, without secrets.
    pub channel: String,
    /// Outcome → messages: `delivered`, `retried`, `failed`, `dropped`, `suppressed`.
    pub counts: BTreeMap<String, u64>,
    /// Messages that wait.
    pub queued: u64,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it last worked, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<String>,
}

/// Captures of the packets that alerts rest on.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct CaptureSummary {
    /// Files on disk.
    pub files: u64,
    /// Their size, in bytes.
    pub bytes: u64,
    /// Reason → what is missing since the agent began: `full` and `undelivered` packets, `busy`, `unseen`, `unwritten` and `removed` captures.
    pub lost: BTreeMap<String, u64>,
}

/// Alerts in the snapshot.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct AlertSummary {
    /// Whether detectors work on this host.
    pub on: bool,
    /// Detector → severity → alerts that go on.
    pub active: BTreeMap<String, BTreeMap<String, u64>>,
    /// Detector → severity → alerts raised since the agent began.
    pub raised: BTreeMap<String, BTreeMap<String, u64>>,
    /// Detector → signs since the agent began.
    pub signs: BTreeMap<String, u64>,
    /// Detector → action → outcome → responses since the agent began.
    pub responses: BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>,
    /// Those that go on, the worst first, then the latest of the others; at most 100.
    pub latest: Vec<Alert>,
    /// Failed logins that the host's logs told of since the agent began.
    #[serde(default)]
    pub failed_logins: u64,
    /// Ways to tell people.
    pub channels: Vec<ChannelRow>,
    /// Captures of the packets that alerts rest on.
    #[serde(default)]
    pub captures: CaptureSummary,
}

/// To say that one has seen an alert (`POST /api/v1/alerts/acknowledge`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeRequest {
    /// Id of the alert, or how it begins.
    pub id: String,
    /// Who says so; the caller's address when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What there is to say.
    #[serde(default)]
    pub note: String,
}

/// To take an acknowledgement back (`DELETE /api/v1/alerts/acknowledge`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReopenRequest {
    /// Id of the alert, or how it begins.
    pub id: String,
}

/// To hear no more of something (`POST /api/v1/alerts/mutes`): of what an alert is about, or of what is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MuteRequest {
    /// How silent.
    #[serde(default)]
    pub action: MuteAction,
    /// An alert whose detector, source, port and subject are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// What is meant, beside or instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<MuteMatch>,
    /// How long, such as `2h`; for good when absent.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub how_long: Option<String>,
    /// Who says so; the caller's address when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default)]
    pub note: String,
}

/// To hear of it again (`DELETE /api/v1/alerts/mutes`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnmuteRequest {
    /// Id of the mute.
    pub id: String,
}

/// To take back what was done about an alert (`POST /api/v1/alerts/undo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoRequest {
    /// Id of the alert, or how it begins.
    pub id: String,
}

/// To try ways to tell people (`POST /api/v1/alerts/test`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelTestRequest {
    /// One channel; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// How one channel did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChannelTest {
    /// Which.
    pub channel: String,
    /// What went wrong; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What a command about alerts did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AlertOutcome {
    /// In words.
    pub message: String,
    /// The alert as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<Alert>,
    /// The mute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mute: Option<Mute>,
    /// How channels did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<ChannelTest>,
}

/// Detectors of an agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DetectorPage {
    /// In the order of the documentation.
    pub detectors: Vec<DetectorRow>,
}
