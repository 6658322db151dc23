//! Somebody else changed this host's packet filters.
//!
//! Not here: how that is noticed (the inventory). Invariant: holds nothing but when it spoke last.

use hivewall_model::Timestamp;
use hivewall_view::alerts::Severity;

use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject};

pub(crate) static DEFINITION: Definition = Definition {
    name: "firewall_tampering",
    title: "Firewall changed by others",
    kind: "tampering",
    sees: "A change of this host's packet filters that this agent did not make: to its own rules, which is high, or to those of others.",
    misses: "Changes that are undone between two looks at the inventory, and those made while the agent is stopped, until it starts.",
    evaded_by: "Stopping the agent, or a rule set in a place that the inventory does not read.",
    technique: Some(Attack {
        id: "T1562.004",
        name: "Impair Defenses: Disable or Modify System Firewall",
        tactic: "Defense Evasion",
    }),
    severity: Severity::Low,
    spoofable: Spoofable::Never,
    quiet_seconds: 600,
    thresholds: &[],
};

/// See [`DEFINITION`].
#[derive(Debug, Default)]
pub(crate) struct FirewallTampering {
    changes: [u64; 2],
}

impl FirewallTampering {
    pub(crate) fn make(_settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self::default())
    }
}

impl Detector for FirewallTampering {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        let Event::Firewall { what, is_ours } = event else { return };
        let [others, ours] = &mut self.changes;
        let count = if *is_ours { ours } else { others };
        *count += 1;
        let (whose, severity) = if *is_ours {
            ("Rules of this agent were changed by somebody else", Severity::High)
        } else {
            ("Packet filters of this host were changed", Severity::Low)
        };
        let subject = Subject { other: Some(if *is_ours { "ours" } else { "others" }.into()), ..Subject::default() };
        let mut sign = Sign::new(&DEFINITION, subject, now, now, format!("{whose}: {what}"));
        sign.severity = severity;
        sign.spoofable = false;
        sign.figures = vec![("changes", *count as f64)];
        sign.samples.push((*what).to_owned());
        signs.push(sign);
    }

    fn held(&self) -> Held {
        Held { entries: 0, entries_max: 1, given_up: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Watch, s};

    #[test]
    fn a_change_of_our_rules_is_worse_than_one_of_others() {
        let mut watch = Watch::new(&DEFINITION);
        watch.event(s(1), &Event::Firewall { what: "table ip nat has a new rule", is_ours: false });
        watch.event(s(2), &Event::Firewall { what: "our table is gone", is_ours: true });
        assert_eq!(
            watch.lines(),
            [
                "low Packet filters of this host were changed: table ip nat has a new rule",
                "high Rules of this agent were changed by somebody else: our table is gone",
            ]
        );
        assert_ne!(watch.signs[0].subject, watch.signs[1].subject);
    }
}
