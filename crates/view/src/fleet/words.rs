//! Figures of a fleet in words, the same on every surface: how many hosts, how old, how far off. Invariant: what is not of
//! all known hosts says of how many.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Distinct, FleetAnswer, FleetCoverage, FleetTopRow, MemberCounts, MemberState, RolloutView};
use crate::units;

/// What every surface says where there is no fleet.
pub const NO_FLEET: &str = "this host is in no fleet; `hivewall cluster init` begins one";

/// `9s`, `2m05s`: ages are not told to the tenth.
pub fn age(ms: u64) -> String {
    let seconds = Duration::from_secs(ms / 1000);
    if ms < 60_000 { format!("{}s", seconds.as_secs()) } else { units::duration(seconds) }
}

/// `1 host`, `20 hosts`: to the last one, since it matters whether that one is missing.
pub fn hosts(count: u64) -> String {
    if count == 1 { "1 host".to_owned() } else { format!("{count} hosts") }
}

fn of_hosts(heard: u64, known: u64) -> String {
    if heard >= known {
        if known == 1 { "this host alone".to_owned() } else { format!("all {}", hosts(known)) }
    } else {
        format!("{heard} of {}", hosts(known))
    }
}

impl FleetCoverage {
    /// `17 of 20 hosts, 9s old`; `all 20 hosts, 9s old`.
    pub fn words(&self) -> String {
        format!("{}, {} old", of_hosts(self.heard, self.known), age(self.age_ms))
    }

    /// The same with how far figures may be off: `17 of 20 hosts, 9s old, ±0.6%`.
    pub fn words_within(&self, error: f64) -> String {
        format!("{}, {}", self.words(), within(error))
    }
}

/// `±0.6%`, or `exact`.
pub fn within(error: f64) -> String {
    if error > 0.0 { format!("±{}", units::percent(error)) } else { "exact".to_owned() }
}

impl FleetAnswer {
    /// `18 of 20 hosts answered, in 40ms`.
    pub fn words(&self) -> String {
        let took = units::duration(Duration::from_millis(self.took_ms));
        format!("{} answered, in {took}", of_hosts(self.heard, self.known))
    }

    /// Hosts that did not answer, one line each, and how many more there are.
    pub fn missing_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .missing
            .iter()
            .map(|host| format!("no answer from {}: {}", named(&host.name, &host.id), host.reason))
            .collect();
        let more = self.known.saturating_sub(self.heard).saturating_sub(self.missing.len() as u64);
        if more > 0 {
            lines.push(format!("no answer from {} more", hosts(more)));
        }
        lines
    }
}

impl MemberCounts {
    /// `17 alive, 2 suspect, 1 down`: states that nobody is in are left out.
    pub fn words(&self) -> String {
        let told =
            MemberState::ALL.iter().map(|(state, name)| (self.get(*state), name)).filter(|(count, _)| *count > 0);
        let told: Vec<String> = told.map(|(count, name)| format!("{count} {name}")).collect();
        if told.is_empty() { "nobody known".to_owned() } else { told.join(", ") }
    }
}

impl RolloutView {
    /// `edge 42: enforced by 17 of 20 hosts, 1 has it, 1 refused it, 1 not heard of`.
    pub fn words(&self) -> String {
        let mut words = format!(
            "{} {}: enforced by {}",
            self.name,
            self.version,
            match self.enforced {
                all if all >= self.hosts && self.hosts > 0 => of_hosts(all, self.hosts),
                some => format!("{some} of {}", hosts(self.hosts)),
            }
        );
        let have = if self.have == 1 { "has it" } else { "have it" };
        for (count, what) in [(self.have, have), (self.refused, "refused it"), (self.unknown, "not heard of")] {
            if count > 0 {
                // Writing to a string cannot fail.
                let _ = write!(words, ", {count} {what}");
            }
        }
        words
    }
}

impl FleetTopRow {
    /// `1.5 MB`, and what it may be at most where that reads differently: `1.5 MB to 1.7 MB`.
    pub fn bytes_words(&self) -> String {
        let (least, most) = (units::bytes(self.bytes), units::bytes(self.bytes_max));
        if least == most { least } else { format!("{least} to {most}") }
    }

    /// `+2.1%`: by how much more it may be, of what is listed; empty where it is exact.
    pub fn bound_words(&self) -> String {
        let more = self.bytes_max.saturating_sub(self.bytes);
        match (more, self.bytes) {
            (0, _) => String::new(),
            (more, 0) => format!("+{}", units::bytes(more)),
            (more, bytes) => format!("+{}", units::percent(more as f64 / bytes as f64)),
        }
    }
}

impl Distinct {
    /// `12.3k ±1.6%`.
    pub fn words(&self) -> String {
        let count = units::count(self.estimate.max(0.0).round() as u64);
        if self.error_share() > 0.0 { format!("{count} {}", within(self.error_share())) } else { count }
    }
}

/// A host's name, or the beginning of its id while its name is not known.
pub fn named(name: &str, id: &str) -> String {
    if name.is_empty() { id.get(..8).unwrap_or(id).to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::HostMissing;

    #[test]
    fn figures_say_of_how_many_hosts_and_how_old() {
        assert_eq!(FleetCoverage::new(17, 20, 0, 9_400).words_within(0.006), "17 of 20 hosts, 9s old, ±0.6%");
        assert_eq!(FleetCoverage::new(20, 20, 0, 125_000).words(), "all 20 hosts, 2m05s old");
        assert_eq!(FleetCoverage::new(1, 1, 0, 0).words_within(0.0), "this host alone, 0s old, exact");
        assert_eq!(FleetCoverage::new(0, 1, 0, 0).words(), "0 of 1 host, 0s old");
    }

    #[test]
    fn states_that_nobody_is_in_are_not_told() {
        let counts = MemberCounts { alive: 17, down: 1, ..MemberCounts::default() };
        assert_eq!(counts.words(), "17 alive, 1 down");
        assert_eq!(MemberCounts::default().words(), "nobody known");
    }

    #[test]
    fn a_roll_out_tells_who_enforces_and_what_the_others_do() {
        let mut rollout = RolloutView {
            name: "edge".to_owned(),
            version: 42,
            hosts: 20,
            enforced: 17,
            have: 1,
            refused: 1,
            unknown: 1,
            ..RolloutView::default()
        };
        assert_eq!(rollout.words(), "edge 42: enforced by 17 of 20 hosts, 1 has it, 1 refused it, 1 not heard of");
        assert!(!rollout.is_settled());
        (rollout.enforced, rollout.have, rollout.refused, rollout.unknown) = (20, 0, 0, 0);
        assert_eq!(rollout.words(), "edge 42: enforced by all 20 hosts");
        assert!(rollout.is_settled());
    }

    #[test]
    fn what_may_be_hidden_is_told_beside_what_is_listed() {
        let row = |bytes, bytes_max| FleetTopRow { bytes, bytes_max, ..FleetTopRow::default() };
        assert_eq!((row(1000, 1021).bound_words().as_str(), row(1000, 1000).bound_words().as_str()), ("+2.1%", ""));
        assert_eq!(row(0, 500).bound_words(), "+500 B");
        assert_eq!(row(1_500_000, 1_700_000).bytes_words(), "1.5 MB to 1.7 MB");
        assert_eq!(Distinct { estimate: 12_300.0, low: 12_100.0, high: 12_500.0 }.words(), "12.3k ±1.6%");
    }

    #[test]
    fn hosts_that_did_not_answer_are_told_by_name_or_by_the_beginning_of_their_id() {
        let host = |name: &str| HostMissing {
            id: "0123456789abcdef".to_owned(),
            name: name.to_owned(),
            reason: "no route".to_owned(),
        };
        let answer =
            FleetAnswer { heard: 17, known: 20, missing: vec![host("db-1"), host("")], took_ms: 40, complete: false };
        assert_eq!(answer.words(), "17 of 20 hosts answered, in 40ms");
        assert_eq!(
            answer.missing_lines(),
            ["no answer from db-1: no route", "no answer from 01234567: no route", "no answer from 1 host more"]
        );
    }
}
