//! What a detector is, said once: help, documentation, metrics and settings are made of it.

use hivewall_view::alerts::Severity;

/// A technique of MITRE ATT&CK that a detector's finding is a sign of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attack {
    /// `T1046`.
    pub id: &'static str,
    /// `Network Service Discovery`.
    pub name: &'static str,
    /// `Discovery`.
    pub tactic: &'static str,
}

/// Whether the source that a detector names may be a lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoofable {
    /// What it rests on needs answers from the source: a completed handshake, a login.
    Never,
    /// Each sign says.
    Depends,
    /// Anybody can send it under any address.
    Always,
}

/// A number that a detector goes by, and that an operator may change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// `ports`; in the settings `port_scan.ports`.
    pub name: &'static str,
    /// What it counts: `ports`, `seconds`, `packets/s`, `bytes/s`, or empty for a ratio.
    pub unit: &'static str,
    /// Where it stands unless it is set.
    pub default: f64,
    /// Least and greatest value that makes sense.
    pub range: (f64, f64),
    /// One sentence.
    pub doc: &'static str,
}

/// One detector.
#[derive(Debug)]
pub struct Definition {
    /// `port_scan`: in settings, metrics and policies.
    pub name: &'static str,
    /// `Port scan`.
    pub title: &'static str,
    /// `scan`, `flood`, `brute_force`, `tunnel`, `c2`, `exfiltration`, `spoofing`, `invalid`, `spike`, `bandwidth`, `novelty`, `tampering`
    /// or `lateral`.
    pub kind: &'static str,
    /// What it catches.
    pub sees: &'static str,
    /// What it does not, though one might think so.
    pub misses: &'static str,
    /// How an attacker gets around it.
    pub evaded_by: &'static str,
    /// ATT&CK.
    pub technique: Option<Attack>,
    /// Severity of a plain case; a sign may say another.
    pub severity: Severity,
    /// Whether its source may be a lie.
    pub spoofable: Spoofable,
    /// Without a sign for so many seconds an alert is over, and the next sign begins another.
    pub quiet_seconds: u32,
    /// What it goes by.
    pub thresholds: &'static [Threshold],
}
