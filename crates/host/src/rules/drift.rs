//! What changed between two inventories: tables, chains, rules, policies, sets.
//!
//! Counters are no change. A program that did not answer is one, so that a table that cannot be seen is not told as gone.
//! Invariant: two inventories with equal hashes have no drift, and two with different ones have some.

use std::collections::HashMap;

use serde::Serialize;

use super::inventory::{Chain, Inventory, Rule, Source, Table};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// Where the table is kept.
    pub source: Source,
    /// Family of the table.
    pub family: String,
    /// Table.
    pub table: String,
    /// Chain; empty for the table itself.
    pub chain: String,
    /// Whether it was ours that changed.
    pub ours: bool,
    /// What happened.
    pub change: Change,
    /// The process that did it, where the kernel tells: `1234 (nft)`.
    pub by: Option<String>,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the fields are the words of the rules")]
pub enum Change {
    /// A table is new.
    TableAdded,
    /// A table is gone.
    TableGone,
    /// A chain is new.
    ChainAdded,
    /// A chain is gone.
    ChainGone,
    /// A chain has no rule any more.
    ChainFlushed { rules: usize },
    /// Hook, priority or policy of a chain is another.
    BaseChanged { before: String, after: String },
    /// A rule is new.
    RuleAdded { handle: u64, rule: String },
    /// A rule is gone.
    RuleRemoved { handle: u64, rule: String },
    /// A rule says something else.
    RuleChanged { handle: u64, before: String, after: String },
    /// The same rules stand in another order.
    Reordered,
    /// A set or map has other elements.
    SetChanged { set: String, before: usize, after: usize },
}

impl Change {
    /// Its name, as it is written.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TableAdded => "table-added",
            Self::TableGone => "table-gone",
            Self::ChainAdded => "chain-added",
            Self::ChainGone => "chain-gone",
            Self::ChainFlushed { .. } => "chain-flushed",
            Self::BaseChanged { .. } => "base-changed",
            Self::RuleAdded { .. } => "rule-added",
            Self::RuleRemoved { .. } => "rule-removed",
            Self::RuleChanged { .. } => "rule-changed",
            Self::Reordered => "reordered",
            Self::SetChanged { .. } => "set-changed",
        }
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TableAdded => f.write_str("table added"),
            Self::TableGone => f.write_str("table is gone"),
            Self::ChainAdded => f.write_str("chain added"),
            Self::ChainGone => f.write_str("chain is gone"),
            Self::ChainFlushed { rules: 1 } => f.write_str("flushed, 1 rule is gone"),
            Self::ChainFlushed { rules } => write!(f, "flushed, {rules} rules are gone"),
            Self::BaseChanged { before, after } => write!(f, "was `{before}`, is `{after}`"),
            Self::RuleAdded { handle, rule } => write!(f, "rule {handle} added: {rule}"),
            Self::RuleRemoved { handle, rule } => write!(f, "rule {handle} is gone: {rule}"),
            Self::RuleChanged { handle, before, after } => write!(f, "rule {handle} was `{before}`, is `{after}`"),
            Self::Reordered => f.write_str("the same rules in another order"),
            Self::SetChanged { set, before, after } => {
                write!(f, "set {set} changed, {before} elements before, {after} now")
            }
        }
    }
}

/// What is different now.
pub fn compare(before: &Inventory, now: &Inventory) -> Vec<Drift> {
    let mut out = Vec::new();
    let answered = |inventory: &Inventory, source: Source, family: &str| {
        !inventory.missing.iter().any(|missing| is_about(missing.tool, source, family))
    };
    for table in &before.tables {
        match now.table(table.source, &table.family, &table.name) {
            Some(other) if other.hash != table.hash => tables(table, other, &mut out),
            None if answered(now, table.source, &table.family) => {
                out.push(drift(table, "", table.ours, Change::TableGone));
            }
            _ => {}
        }
    }
    for table in &now.tables {
        let known = before.table(table.source, &table.family, &table.name).is_some();
        if !known && answered(before, table.source, &table.family) {
            out.push(drift(table, "", table.ours, Change::TableAdded));
        }
    }
    out
}

fn is_about(tool: &str, source: Source, family: &str) -> bool {
    match source {
        Source::Nftables => tool == "nft",
        Source::IptablesNft => tool.contains("-nft") && tool.starts_with("ip6") == (family == "ip6"),
        Source::IptablesLegacy => tool.contains("-legacy") && tool.starts_with("ip6") == (family == "ip6"),
    }
}

fn drift(table: &Table, chain: &str, ours: bool, change: Change) -> Drift {
    let (family, name) = (table.family.clone(), table.name.clone());
    Drift { source: table.source, family, table: name, chain: chain.to_owned(), ours, change, by: None }
}

fn tables(before: &Table, now: &Table, out: &mut Vec<Drift>) {
    for chain in &before.chains {
        match now.chains.iter().find(|other| other.name == chain.name) {
            None => out.push(drift(before, &chain.name, chain.ours, Change::ChainGone)),
            Some(other) if other.hash != chain.hash => {
                out.extend(
                    chains(chain, other).into_iter().map(|(ours, change)| drift(before, &chain.name, ours, change)),
                );
            }
            Some(_) => {}
        }
    }
    for chain in now.chains.iter().filter(|chain| !before.chains.iter().any(|other| other.name == chain.name)) {
        out.push(drift(now, &chain.name, chain.ours, Change::ChainAdded));
    }
    for set in
        now.sets.iter().chain(before.sets.iter().filter(|set| !now.sets.iter().any(|other| other.name == set.name)))
    {
        let find = |table: &Table| table.sets.iter().find(|other| other.name == set.name).cloned();
        let (old, new) = (find(before), find(now));
        let hash = |set: &Option<super::Set>| set.as_ref().map(|set| set.hash.clone());
        if hash(&old) != hash(&new) {
            let count = |set: Option<super::Set>| set.map_or(0, |set| set.elements);
            let change = Change::SetChanged { set: set.name.clone(), before: count(old), after: count(new) };
            out.push(drift(now, "", now.ours, change));
        }
    }
}

/// Changes of a chain, each with whether it is about ours: the kernel's chains have rules of both.
fn chains(before: &Chain, now: &Chain) -> Vec<(bool, Change)> {
    let mut out = Vec::new();
    let base = |chain: &Chain| {
        let base = chain.base.as_ref();
        base.map_or(String::new(), |base| {
            format!("{} hook {} priority {} policy {}", base.kind, base.hook, base.priority, base.policy)
        })
    };
    if base(before) != base(now) {
        out.push((before.ours, Change::BaseChanged { before: base(before), after: base(now) }));
    }
    if now.rules.is_empty() && !before.rules.is_empty() {
        let ours = before.rules.iter().any(|rule| rule.ours);
        out.push((ours, Change::ChainFlushed { rules: before.rules.len() }));
        return out;
    }
    let known = out.len();
    let (removed, added) = (left(&before.rules, &now.rules), left(&now.rules, &before.rules));
    for rule in &removed {
        let same = added.iter().find(|other| other.handle == rule.handle);
        out.push((
            rule.ours,
            match same {
                Some(other) => {
                    Change::RuleChanged { handle: rule.handle, before: rule.text.clone(), after: other.text.clone() }
                }
                None => Change::RuleRemoved { handle: rule.handle, rule: rule.text.clone() },
            },
        ));
    }
    for rule in added.iter().filter(|rule| !removed.iter().any(|other| other.handle == rule.handle)) {
        out.push((rule.ours, Change::RuleAdded { handle: rule.handle, rule: rule.text.clone() }));
    }
    let texts = |rules: &[Rule]| rules.iter().map(|rule| rule.text.clone()).collect::<Vec<_>>();
    if out.len() == known && texts(&before.rules) != texts(&now.rules) {
        out.push((before.ours, Change::Reordered));
    }
    out
}

/// Rules of `rules` that `others` has not, or has fewer times.
fn left<'a>(rules: &'a [Rule], others: &[Rule]) -> Vec<&'a Rule> {
    let mut count: HashMap<&str, usize> = HashMap::new();
    for rule in others {
        *count.entry(&rule.text).or_default() += 1;
    }
    let is_left = |rule: &&Rule| match count.get_mut(rule.text.as_str()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    rules.iter().filter(is_left).collect()
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source = self.source.name();
        write!(f, "{source} {} {}", self.family, self.table)?;
        if !self.chain.is_empty() {
            write!(f, " {}", self.chain)?;
        }
        write!(f, "{}: {}", if self.ours { " (ours)" } else { "" }, self.change)?;
        match &self.by {
            Some(by) => write!(f, ", by process {by}"),
            None => Ok(()),
        }
    }
}
