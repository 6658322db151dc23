//! Rules that can never match, since others before them match all of their packets.
//!
//! Each rule is looked for in the rules before it: one that has all of its packets, or several that have them together
//! and differ in one condition only. What does not depend on the host is said here; what sets of hosts hold, the guard
//! and exemptions are not considered, so that a document is refused everywhere or nowhere. Invariant: a rule is refused
//! only when no packet can ever reach it.
//!
//! As in the tables of the datapath, a rule is a bit: for each value of each field there is a row that has the rules whose
//! condition covers that value, and the AND of the rows has the rules that cover the whole. So 4,000 rules take tens of
//! milliseconds, not 8 million comparisons of everything.

mod fields;
mod rows;
mod space;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::ops::Range;

use crate::document::{Action, Dir, Over, Rule};
use crate::parse::Parsed;
use crate::problem::{Fault, Place, Problem, Severity};
use fields::{Bytes, Numbers, Patterns};
use rows::{Bits, Table};
use space::{SetIntervals, Space};

/// Rules that are named when several together are in the way.
const NAMED_MAX: usize = 3;
/// Rules of which every one is tried for being superfluous among several.
const THINNED_MAX: usize = 64;

/// What a rule or default is called in messages, and what is known of it.
struct Entry<'d> {
    tier: usize,
    kind: Kind<'d>,
    action: Action,
    /// It decides about every packet that it matches.
    is_final: bool,
    place: &'d Place,
}

enum Kind<'d> {
    Rule(&'d Rule),
    Default { tier: &'d str, dir: Dir },
}

impl Entry<'_> {
    fn name(&self) -> String {
        match &self.kind {
            Kind::Rule(rule) => format!("`{}`", rule.id),
            Kind::Default { tier, dir } => format!("the default of tier `{tier}` ({})", dir.word()),
        }
    }
}

/// The document's rules and defaults in order of judgement.
fn entries(parsed: &Parsed) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    for (at, (tier, places)) in parsed.document.tiers.iter().zip(&parsed.places.tiers).enumerate() {
        for (rule, place) in tier.rules.iter().zip(&places.rules) {
            let is_final = rule.limit.is_none_or(|limit| limit.over != Over::Pass);
            entries.push(Entry { tier: at, kind: Kind::Rule(rule), action: rule.action, is_final, place });
        }
        let defaults =
            [(Dir::In, tier.default.received, &places.received), (Dir::Out, tier.default.sent, &places.sent)];
        for (dir, action, place) in defaults {
            if let Some(action) = action.filter(|action| *action != Action::Pass) {
                let kind = Kind::Default { tier: &tier.name, dir };
                entries.push(Entry { tier: at, kind, action, is_final: true, place });
            }
        }
    }
    entries
}

/// Every rule that can never match, as a problem.
pub(crate) fn shadowed(parsed: &Parsed) -> Vec<Problem> {
    let entries = entries(parsed);
    if entries.len() > hivewall_datapath::policy::RULES_MAX {
        // Refused for its number when it is resolved.
        return Vec::new();
    }
    let sets = SetIntervals::new(&parsed.document.sets);
    let table = table(&entries, &sets);
    let order = Order::new(&entries, &table);
    entries.iter().enumerate().filter_map(|(at, entry)| order.problem(at, entry)).collect()
}

fn table(entries: &[Entry<'_>], sets: &SetIntervals) -> Table {
    let rule = |entry: &Entry<'_>| match entry.kind {
        Kind::Rule(rule) => Some(rule.clone()),
        Kind::Default { .. } => None,
    };
    let rules: Vec<Option<Rule>> = entries.iter().map(rule).collect();
    let mut table = Table::new(entries.len());
    table.add(entries.iter().map(|entry| match &entry.kind {
        Kind::Rule(rule) => Bytes::directions(rule.dir),
        Kind::Default { dir, .. } => Bytes::directions(*dir),
    }));
    let any = || rules.iter().map(Option::as_ref);
    table.add(any().map(|rule| rule.map_or(Bytes::flags(None), |rule| Bytes::protocols(&rule.proto))));
    table.add(any().map(|rule| Bytes::flags(rule.and_then(|rule| rule.flags))));
    table.add(any().map(|rule| Numbers::icmp(&rule.map(|rule| rule.icmp.clone()).unwrap_or_default())));
    table.add(any().map(|rule| Patterns::of(&rule.map(|rule| rule.interface.clone()).unwrap_or_default())));
    table.add(any().map(|rule| Numbers::ports(&rule.map(|rule| rule.dport.clone()).unwrap_or_default())));
    table.add(any().map(|rule| Numbers::ports(&rule.map(|rule| rule.sport.clone()).unwrap_or_default())));
    table.add_keyed(any().map(|rule| rule.and_then(|rule| rule.to.as_ref())), |to| Space::of(to, sets));
    table.add_keyed(any().map(|rule| rule.and_then(|rule| rule.from.as_ref())), |from| Space::of(from, sets));
    table
}

/// The rules of a tier.
#[derive(Clone, Default)]
struct TierRules {
    rules: Range<usize>,
    /// Those that pass on to the next tier.
    passes: Vec<usize>,
}

struct Order<'a> {
    entries: &'a [Entry<'a>],
    table: &'a Table,
    tiers: Vec<TierRules>,
    /// Rules behind which nothing in their tier sees what they match.
    last_words: Bits,
    /// Those of them that do not pass it on to the next tier.
    deciding: Bits,
}

impl<'a> Order<'a> {
    fn new(entries: &'a [Entry<'a>], table: &'a Table) -> Self {
        let mut tiers = vec![TierRules::default(); entries.last().map_or(0, |entry| entry.tier + 1)];
        let [mut last_words, mut deciding] = [Bits::new(entries.len()), Bits::new(entries.len())];
        for (at, entry) in entries.iter().enumerate() {
            if let Some(tier) = tiers.get_mut(entry.tier) {
                let start = if tier.rules.is_empty() { at } else { tier.rules.start };
                tier.rules = start..at + 1;
                if entry.action == Action::Pass {
                    tier.passes.push(at);
                }
            }
            if entry.is_final {
                last_words.set(at);
                if entry.action != Action::Pass {
                    deciding.set(at);
                }
            }
        }
        Self { entries, table, tiers, last_words, deciding }
    }
}

impl Order<'_> {
    fn problem(&self, at: usize, entry: &Entry<'_>) -> Option<Problem> {
        let before = self.deciding_before(at, entry);
        if let Some(by) = self.table.covering(at, &before) {
            return Some(Self::shadowed(entry, self.entries.get(by)?));
        }
        // A default that a tier's own rules leave nothing to do is there for safety.
        if matches!(entry.kind, Kind::Default { .. }) {
            return None;
        }
        let by = self.table.covering_together(at, &before, THINNED_MAX)?;
        self.shadowed_together(entry, &by)
    }

    /// Rules that packets of this one meet first, and that decide what they match: none of an earlier tier behind a rule
    /// that passes some of these packets on.
    fn deciding_before(&self, at: usize, entry: &Entry<'_>) -> Bits {
        let mut bits = Bits::new(self.entries.len());
        for own in self.tiers.iter().take(entry.tier) {
            let until = own.passes.iter().find(|pass| self.table.may_touch(**pass, at));
            let end = until.copied().unwrap_or(own.rules.end);
            bits.take(&self.deciding, own.rules.start..end);
        }
        // What a tier's own rules leave to its default is looked at by nobody.
        if let (Kind::Rule(_), Some(own)) = (&entry.kind, self.tiers.get(entry.tier)) {
            bits.take(&self.last_words, own.rules.start..at);
        }
        bits
    }

    fn shadowed(entry: &Entry<'_>, by: &Entry<'_>) -> Problem {
        let line = by.place.line;
        let fault = match &entry.kind {
            Kind::Default { .. } => Fault::DefaultUnreachable { by: by.name(), line },
            Kind::Rule(rule) => {
                let mend = match by.kind {
                    Kind::Default { .. } => "move this tier before that one, or let a rule of that tier `pass`",
                    Kind::Rule(_) if by.action == entry.action => "take it out",
                    Kind::Rule(_) => "move it above that rule, or take it out",
                };
                Fault::Shadowed { id: rule.id.clone(), by: by.name(), line, mend }
            }
        };
        let also = vec![(by.place.clone(), "matches first")];
        Problem { severity: Severity::Error, place: entry.place.clone(), fault, also }
    }

    fn shadowed_together(&self, entry: &Entry<'_>, by: &[usize]) -> Option<Problem> {
        let Kind::Rule(rule) = &entry.kind else { return None };
        let others: Vec<&Entry<'_>> = by.iter().filter_map(|by| self.entries.get(*by)).collect();
        let named = others.iter().take(NAMED_MAX).map(|by| format!("{} (line {})", by.name(), by.place.line));
        let mut text = named.collect::<Vec<_>>().join(", ");
        if others.len() > NAMED_MAX {
            let _ = write!(text, " and {} more", others.len() - NAMED_MAX);
        }
        let also = others.iter().take(NAMED_MAX).map(|by| (by.place.clone(), "matches some first")).collect();
        let fault = Fault::ShadowedTogether { id: rule.id.clone(), by: text };
        Some(Problem { severity: Severity::Error, place: entry.place.clone(), fault, also })
    }
}
