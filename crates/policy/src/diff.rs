//! What changes from one document to another, in the terms of the language rather than of its lines.
//!
//! Rules are followed by their ids, which counters stay with. A rule that stands before others than it did is moved when
//! that is needed to explain the new order: of all the rules that both have, the longest row in the same order stays.
//! Invariant: two documents without differences mean the same on every host.

#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnet::IpNet;
use serde::Serialize;
use serde_json::Value;

use crate::document::{Document, Rule, Set};

/// Differences between two documents.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct DocumentDiff {
    /// Name, version, hosts, mode, confirmation, exemptions.
    pub settings: Vec<Change>,
    /// Defaults of tiers, as `TIER.default.in`.
    pub defaults: Vec<Change>,
    /// Tiers that are new.
    pub tiers_added: Vec<String>,
    /// Tiers that are gone.
    pub tiers_removed: Vec<String>,
    /// Tiers whose order among the others changed.
    pub tiers_moved: Vec<String>,
    /// Sets.
    pub sets: Vec<SetChange>,
    /// Rules.
    pub rules: Vec<RuleChange>,
}

/// Something that has another value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What.
    pub key: String,
    /// As it was; absent when it was not there.
    pub before: Option<Value>,
    /// As it is; absent when it is not there any more.
    pub after: Option<Value>,
}

/// What became of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum SetChange {
    /// It is new.
    Added {
        /// Its name.
        name: String,
        /// Prefixes it has, where they stand in the document.
        prefixes: Option<usize>,
    },
    /// It is gone.
    Removed {
        /// Its name.
        name: String,
        /// Prefixes it had, where they stood in the document.
        prefixes: Option<usize>,
    },
    /// It has other prefixes.
    Prefixes {
        /// Its name.
        name: String,
        /// Prefixes that are new.
        added: Vec<IpNet>,
        /// Prefixes that are gone.
        removed: Vec<IpNet>,
    },
    /// It comes from elsewhere.
    Source {
        /// Its name.
        name: String,
        /// As it was.
        before: Value,
        /// As it is.
        after: Value,
    },
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum RuleChange {
    /// It is new.
    Added {
        /// Tier it is in.
        tier: String,
        /// The rule it stands behind; none at the beginning of the tier.
        after: Option<String>,
        /// The rule.
        rule: Value,
    },
    /// It is gone.
    Removed {
        /// Tier it was in.
        tier: String,
        /// The rule.
        rule: Value,
    },
    /// It has other conditions or another action, or stands elsewhere, or both.
    Changed {
        /// Its id.
        id: String,
        /// Tier it is in.
        tier: String,
        /// What it says otherwise.
        fields: Vec<Change>,
        /// Where it stood and stands, when that changed.
        moved: Option<Moved>,
    },
}

/// A rule that stands elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Tier it was in.
    pub from_tier: String,
    /// The rule it stood behind.
    pub from_after: Option<String>,
    /// The rule it stands behind.
    pub to_after: Option<String>,
}

impl DocumentDiff {
    /// Whether both documents mean the same; another version alone is no difference in meaning.
    pub fn is_empty(&self) -> bool {
        self.settings.iter().all(|change| change.key == "metadata.version" || change.key == "metadata.previous")
            && self.defaults.is_empty()
            && self.tiers_added.is_empty()
            && self.tiers_removed.is_empty()
            && self.tiers_moved.is_empty()
            && self.sets.is_empty()
            && self.rules.is_empty()
    }
}

/// What changes from `before` to `after`.
pub fn diff_documents(before: &Document, after: &Document) -> DocumentDiff {
    let (old, new) = (tier_names(before), tier_names(after));
    let common = |names: &[String], others: &[String]| -> Vec<String> {
        names.iter().filter(|name| others.contains(name)).cloned().collect()
    };
    DocumentDiff {
        settings: settings(before, after),
        defaults: defaults(before, after),
        tiers_added: new.iter().filter(|name| !old.contains(name)).cloned().collect(),
        tiers_removed: old.iter().filter(|name| !new.contains(name)).cloned().collect(),
        tiers_moved: moved(&common(&old, &new), &common(&new, &old)),
        sets: sets(before, after),
        rules: rules(before, after),
    }
}

fn tier_names(document: &Document) -> Vec<String> {
    document.tiers.iter().map(|tier| tier.name.clone()).collect()
}

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

fn changes(prefix: &str, before: &Value, after: &Value) -> Vec<Change> {
    let empty = serde_json::Map::new();
    let (before, after) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
    keys.filter(|key| before.get(*key) != after.get(*key))
        .map(|key| Change {
            key: format!("{prefix}{key}"),
            before: before.get(key).cloned(),
            after: after.get(key).cloned(),
        })
        .collect()
}

fn settings(before: &Document, after: &Document) -> Vec<Change> {
    let rest = |document: &Document| {
        let bare = Document { sets: BTreeMap::new(), tiers: Vec::new(), ..document.clone() };
        let mut value = value(&bare);
        if let Some(map) = value.as_object_mut() {
            map.remove("metadata");
        }
        value
    };
    let mut all = changes("metadata.", &value(&before.metadata), &value(&after.metadata));
    all.extend(changes("", &rest(before), &rest(after)));
    all
}

fn defaults(before: &Document, after: &Document) -> Vec<Change> {
    let mut all = Vec::new();
    for tier in &after.tiers {
        let old = before.tiers.iter().find(|old| old.name == tier.name).map(|old| old.default).unwrap_or_default();
        all.extend(changes(&format!("{}.default.", tier.name), &value(&old), &value(&tier.default)));
    }
    for tier in before.tiers.iter().filter(|old| after.tiers.iter().all(|tier| tier.name != old.name)) {
        let none = crate::document::Defaults::default();
        all.extend(changes(&format!("{}.default.", tier.name), &value(&tier.default), &value(&none)));
    }
    all
}

fn sets(before: &Document, after: &Document) -> Vec<SetChange> {
    let count = |set: &Set| set.prefixes().map(<[IpNet]>::len);
    let names: BTreeSet<&String> = before.sets.keys().chain(after.sets.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| match (before.sets.get(name), after.sets.get(name)) {
            (None, Some(set)) => Some(SetChange::Added { name: name.clone(), prefixes: count(set) }),
            (Some(set), None) => Some(SetChange::Removed { name: name.clone(), prefixes: count(set) }),
            (Some(old), Some(new)) if old != new => set_change(name, old, new),
            _ => None,
        })
        .collect()
}

fn set_change(name: &str, old: &Set, new: &Set) -> Option<SetChange> {
    let name = name.to_owned();
    let (Some(before), Some(after)) = (old.prefixes(), new.prefixes()) else {
        return Some(SetChange::Source { name, before: value(old), after: value(new) });
    };
    let (before, after): (BTreeSet<&IpNet>, BTreeSet<&IpNet>) = (before.iter().collect(), after.iter().collect());
    let added: Vec<IpNet> = after.difference(&before).map(|net| **net).collect();
    let removed: Vec<IpNet> = before.difference(&after).map(|net| **net).collect();
    // The same prefixes in another order are the same set.
    (!added.is_empty() || !removed.is_empty()).then_some(SetChange::Prefixes { name, added, removed })
}

/// A rule with its surroundings.
struct Standing<'d> {
    tier: &'d str,
    after: Option<&'d str>,
    rule: &'d Rule,
}

fn standing(document: &Document) -> Vec<Standing<'_>> {
    let mut all = Vec::new();
    for tier in &document.tiers {
        let mut after = None;
        for rule in &tier.rules {
            all.push(Standing { tier: &tier.name, after, rule });
            after = Some(rule.id.as_str());
        }
    }
    all
}

fn rules(before: &Document, after: &Document) -> Vec<RuleChange> {
    let (old, new) = (standing(before), standing(after));
    let by_id: HashMap<&str, &Standing<'_>> =
        old.iter().map(|standing| (standing.rule.id.as_str(), standing)).collect();
    let new_ids: HashMap<&str, &Standing<'_>> =
        new.iter().map(|standing| (standing.rule.id.as_str(), standing)).collect();
    let mut moved_ids = BTreeSet::new();
    // Within each tier; a rule in another tier is moved whatever its order.
    for tier in &after.tiers {
        let stays = |standing: &&Standing<'_>, others: &HashMap<&str, &Standing<'_>>| {
            standing.tier == tier.name
                && others.get(standing.rule.id.as_str()).is_some_and(|other| other.tier == tier.name)
        };
        let ids = |all: &[Standing<'_>], others| -> Vec<String> {
            all.iter().filter(|standing| stays(standing, others)).map(|standing| standing.rule.id.clone()).collect()
        };
        moved_ids.extend(moved(&ids(&old, &new_ids), &ids(&new, &by_id)));
    }
    let mut all: Vec<RuleChange> = old
        .iter()
        .filter(|standing| !new_ids.contains_key(standing.rule.id.as_str()))
        .map(|standing| RuleChange::Removed { tier: standing.tier.to_owned(), rule: value(standing.rule) })
        .collect();
    for standing in &new {
        let id = standing.rule.id.as_str();
        let Some(old) = by_id.get(id) else {
            all.push(RuleChange::Added {
                tier: standing.tier.to_owned(),
                after: standing.after.map(str::to_owned),
                rule: value(standing.rule),
            });
            continue;
        };
        let fields = changes("", &value(old.rule), &value(standing.rule));
        let moved = (old.tier != standing.tier || moved_ids.contains(id)).then(|| Moved {
            from_tier: old.tier.to_owned(),
            from_after: old.after.map(str::to_owned),
            to_after: standing.after.map(str::to_owned),
        });
        if !fields.is_empty() || moved.is_some() {
            all.push(RuleChange::Changed { id: id.to_owned(), tier: standing.tier.to_owned(), fields, moved });
        }
    }
    all
}

/// What has to be moved to get from one order to another of the same names: all but the longest row that is in order.
fn moved(before: &[String], after: &[String]) -> Vec<String> {
    let places: HashMap<&String, usize> = before.iter().enumerate().map(|(at, name)| (name, at)).collect();
    let order: Vec<usize> = after.iter().filter_map(|name| places.get(name).copied()).collect();
    // Patience: for each length the row that ends lowest, and for each name the one before it in its row.
    let mut ends: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = Vec::with_capacity(order.len());
    for (at, place) in order.iter().enumerate() {
        let length = ends.partition_point(|end| order.get(*end).is_some_and(|other| other < place));
        previous.push(length.checked_sub(1).and_then(|shorter| ends.get(shorter).copied()));
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut stays = BTreeSet::new();
    let mut next = ends.last().copied();
    while let Some(at) = next {
        stays.insert(at);
        next = previous.get(at).copied().flatten();
    }
    after.iter().enumerate().filter(|(at, _)| !stays.contains(at)).map(|(_, name)| name.clone()).collect()
}
