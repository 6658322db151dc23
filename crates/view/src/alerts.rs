//! Alerts as every surface shows them: what was found, who did it to whom, how bad it is, on what evidence, and what came
//! of it. The JSON of `/api/v1/alerts`, of `hivewall alerts -o json`, of webhooks and of `hivewall` in EVE alert lines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// A capture of its first packets on the host that raised it, where one was allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<String>,
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
    /// Hosts of the fleet that saw it, where more than one did.
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
