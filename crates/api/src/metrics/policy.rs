//! Samples of the policy: rules, causes, refusals, bans, tables. The metrics themselves stand in `table`.
//!
//! Invariant: a rule's id is a label for at most [`RULES_MAX`] rules, which is as many as a policy can have; what would be
//! beyond is `other`.

use std::collections::BTreeMap;

use hivewall_view::policy::{PolicyView, RefusedCell, RuleView, TableFill};

use super::{Samples, Scrape};

/// Most rules in one scrape, `other` aside.
const RULES_MAX: usize = 4096;
/// What is not kept apart.
const OTHER: &str = "other";
/// Stands for all rules together where causes are told apart.
const RULE: &str = "rule";

/// Reads the policy in force, where there is one.
pub(super) fn policy(scrape: &Scrape<'_>, read: impl FnOnce(&PolicyView)) {
    if scrape.snapshot.firewall_rules.is_in_force() {
        read(&scrape.snapshot.firewall_rules);
    }
}

pub(super) fn rules(scrape: &Scrape<'_>, out: &mut Samples, value: fn(&RuleView) -> u64) {
    let rules = &scrape.snapshot.firewall_rules.rules;
    for rule in rules.iter().take(RULES_MAX) {
        out.count(&[&rule.id], value(rule));
    }
    if rules.len() > RULES_MAX {
        out.count(&[OTHER], rules.iter().skip(RULES_MAX).map(value).sum());
    }
}

/// A cause's label without what makes it stand out among rules: `over limit` for `(over limit)`.
fn plain(cause: &str) -> &str {
    cause.trim_start_matches('(').trim_end_matches(')')
}

/// What was refused by cause and direction; all rules are one cause.
pub(super) fn refused(scrape: &Scrape<'_>, out: &mut Samples, both: fn(&RefusedCell) -> [u64; 2]) {
    let mut causes: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for row in &scrape.snapshot.refused.rules {
        let sums = causes.entry(if row.is_cause { plain(&row.rule) } else { RULE }).or_default();
        sums.iter_mut().zip(both(&row.refused)).for_each(|(sum, more)| *sum += more);
    }
    for (cause, [ingress, egress]) in causes {
        out.count(&[cause, "ingress"], ingress);
        out.count(&[cause, "egress"], egress);
    }
}

pub(super) fn causes(scrape: &Scrape<'_>, out: &mut Samples) {
    policy(scrape, |policy| {
        policy.causes.iter().for_each(|cause| out.count(&[plain(&cause.cause)], cause.packets));
    });
}

pub(super) fn tables(scrape: &Scrape<'_>, out: &mut Samples, value: fn(&TableFill) -> u64) {
    scrape.snapshot.firewall_rules.tables.iter().for_each(|(table, fill)| out.count(&[table], value(fill)));
}

/// Kinds that there are now, each with how many; a kind has a name in the code, so that they are few.
pub(super) fn failures(scrape: &Scrape<'_>, out: &mut Samples) {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for failure in scrape.snapshot.firewall_rules.all_failures() {
        *kinds.entry(failure.kind).or_default() += 1;
    }
    kinds.iter().for_each(|(kind, count)| out.count(&[kind], *count));
}

pub(super) fn drift(scrape: &Scrape<'_>, out: &mut Samples) {
    for (what, count) in &scrape.snapshot.firewall_rules.drift.changes {
        out.count(&[what, "ours"], count.ours);
        out.count(&[what, "others"], count.others);
    }
}
