//! The policy on the page: what holds, what waits, which rules do most, what was refused.
//!
//! Invariant: without a policy, and with nothing refused, it takes no room.

use std::cmp::Reverse;

use super::{flowing, left, right, table};
use crate::policy::PolicyView;
use crate::table::{Column, clean};
use crate::time::time_of_day;
use crate::{Snapshot, units};

/// Rules shown: those that decided most.
const RULES_MAX: usize = 10;
/// Rules and causes that refused, shown.
const REFUSED_MAX: usize = 8;

/// One or some lines: what holds and what an operator should know.
pub(super) fn heading(page: &mut String, snapshot: &Snapshot, width: usize) {
    let policy = &snapshot.firewall_rules;
    if !policy.is_in_force() {
        return;
    }
    flowing(page, width, &state(policy, snapshot));
    if let Some(change) = &policy.pending {
        let back = change.falls_back_to.as_ref();
        let back = back.map_or_else(|| "no policy".to_owned(), |name| format!("{} {}", name.name, name.version));
        let left = units::seconds(change.seconds_left.max(0.0));
        flowing(page, width, &[format!("Not confirmed: in {left} {} comes back", clean(&back))]);
    }
    for problem in &policy.problems {
        flowing(page, width, &[format!("Policy: {}", clean(problem))]);
    }
    for failure in policy.failures.iter().filter(|failure| !policy.problems.contains(&failure.detail)) {
        flowing(page, width, &[format!("Policy: {}", clean(&failure.detail))]);
    }
    if !policy.drift.is_empty() {
        flowing(page, width, &[format!("Packet filters changed: {}", policy.drift.summary())]);
    }
}

fn state(policy: &PolicyView, snapshot: &Snapshot) -> Vec<String> {
    let how = if policy.mode == "observe" { "observes" } else { "enforced" };
    let mut parts = vec![format!("Policy: {} {how} by {}", clean(&policy.title()), policy.backend)];
    parts.extend(policy.since.as_ref().map(|since| format!("since {} UTC", time_of_day(since))));
    let total = &snapshot.refused.total;
    for (packets, bytes, what) in [
        (total.packets(), total.bytes(), "dropped"),
        (total.observed_packets(), total.observed_bytes(), "would be dropped"),
    ] {
        if packets > 0 {
            parts.push(format!("{} packets {what} ({})", units::count(packets), units::bytes(bytes)));
        }
    }
    if policy.bans_total > 0 {
        parts.push(format!("{} banned", units::count(policy.bans_total)));
    }
    parts
}

/// The rules that decided most.
pub(super) fn rules(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns = [
        left("RULE", 0),
        left("ACTION", 1),
        left("DIR", 5),
        right("PACKETS", 1),
        right("BYTES", 3),
        right("FLOWS", 4),
        right("RATE", 2),
        left("LAST UTC", 6),
        Column { cut: true, ..left("MATCHES", 7) },
    ];
    let rules = &snapshot.firewall_rules.rules;
    let mut busiest: Vec<_> = rules.iter().filter(|rule| rule.packets > 0).collect();
    busiest.sort_by_key(|rule| Reverse(rule.packets));
    let rows: Vec<Vec<String>> = busiest
        .iter()
        .map(|rule| {
            vec![
                clean(&rule.id),
                rule.action.clone(),
                rule.direction.clone(),
                units::count(rule.packets),
                units::bytes(rule.bytes),
                units::count(rule.flows),
                units::per_second(rule.packets_per_second),
                rule.last_hit.as_deref().map(time_of_day).unwrap_or_default().to_owned(),
                clean(&rule.conditions),
            ]
        })
        .collect();
    table(&columns, &rows, RULES_MAX, width, rules.len())
}

/// What refused most.
pub(super) fn refused(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns = [
        left("REFUSED BY", 0),
        right("PACKETS", 1),
        right("BYTES", 2),
        right("IN", 4),
        right("OUT", 4),
        right("OBSERVED", 3),
    ];
    let rows: Vec<Vec<String>> = snapshot
        .refused
        .rules
        .iter()
        .map(|row| {
            vec![
                clean(&row.rule),
                units::count(row.refused.packets()),
                units::bytes(row.refused.bytes()),
                units::count(row.refused.in_packets),
                units::count(row.refused.out_packets),
                units::count(row.refused.observed_packets()),
            ]
        })
        .collect();
    table(&columns, &rows, REFUSED_MAX, width, rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::example_policy;

    #[test]
    fn a_policy_under_trial_is_shown_with_what_it_refused() {
        let (firewall_rules, refused) = example_policy();
        let snapshot = Snapshot { firewall_rules, refused, ..Snapshot::default() };
        let mut page = String::new();
        heading(&mut page, &snapshot, 90);
        page.push_str(&rules(&snapshot, 90).unwrap());
        page.push_str(&super::refused(&snapshot, 90).unwrap());
        assert!(page.starts_with("Policy: edge 42 enforced by ebpf · since 09:59:00 UTC"), "{page}");
        assert!(page.contains("Not confirmed: in 1m01s edge 41 comes back"), "{page}");
        assert!(
            page.contains("main:default-in") && page.contains("(ban)") && page.lines().all(|line| line.len() < 120)
        );
    }

    #[test]
    fn without_a_policy_there_is_nothing_to_show() {
        let mut page = String::new();
        heading(&mut page, &Snapshot::default(), 80);
        assert_eq!((page.as_str(), rules(&Snapshot::default(), 80)), ("", None));
    }
}
