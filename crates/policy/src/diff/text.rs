//! Differences as lines of text: `+` for what is new, `-` for what is gone, `~` for what changed, `>` for what moved.

use std::fmt;

use ipnet::IpNet;
use serde_json::Value;

use super::{Change, DocumentDiff, Moved, RuleChange, SetChange};
use crate::document::net_text;

/// Prefixes that are named; the rest is counted.
const PREFIXES_SHOWN: usize = 5;

impl fmt::Display for DocumentDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in self.settings.iter().chain(&self.defaults) {
            writeln!(f, "~ {change}")?;
        }
        for (sign, what, tiers) in
            [('+', "tier", &self.tiers_added), ('-', "tier", &self.tiers_removed), ('>', "tier", &self.tiers_moved)]
        {
            for tier in tiers {
                writeln!(f, "{sign} {what} {tier}")?;
            }
        }
        for set in &self.sets {
            writeln!(f, "{set}")?;
        }
        for rule in &self.rules {
            writeln!(f, "{rule}")?;
        }
        Ok(())
    }
}

/// A value as the language writes it.
fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "(none)".to_owned(), crate::document::flow_text)
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.key, shown(self.before.as_ref()), shown(self.after.as_ref()))
    }
}

impl fmt::Display for SetChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |prefixes: &Option<usize>| match prefixes {
            None => String::new(),
            Some(1) => " (1 prefix)".to_owned(),
            Some(count) => format!(" ({count} prefixes)"),
        };
        match self {
            Self::Added { name, prefixes } => write!(f, "+ set @{name}{}", counted(prefixes)),
            Self::Removed { name, prefixes } => write!(f, "- set @{name}{}", counted(prefixes)),
            Self::Prefixes { name, added, removed } => {
                write!(f, "~ set @{name}: {} added, {} removed", added.len(), removed.len())?;
                for (sign, nets) in [('+', added), ('-', removed)] {
                    if !nets.is_empty() {
                        write!(f, "\n    {sign} {}", some(nets))?;
                    }
                }
                Ok(())
            }
            Self::Source { name, before, after } => {
                write!(f, "~ set @{name}: {} -> {}", shown(Some(before)), shown(Some(after)))
            }
        }
    }
}

fn some(nets: &[IpNet]) -> String {
    let named = nets.iter().take(PREFIXES_SHOWN).map(net_text).collect::<Vec<_>>().join(", ");
    match nets.len().saturating_sub(PREFIXES_SHOWN) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn behind(after: Option<&String>) -> String {
    after.map_or_else(|| "first".to_owned(), |id| format!("behind `{id}`"))
}

impl fmt::Display for RuleChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { tier, after, rule } => {
                write!(f, "+ rule in {tier}, {}: {}", behind(after.as_ref()), shown(Some(rule)))
            }
            Self::Removed { tier, rule } => write!(f, "- rule in {tier}: {}", shown(Some(rule))),
            Self::Changed { id, tier, fields, moved } => {
                let sign = if fields.is_empty() { '>' } else { '~' };
                write!(f, "{sign} rule `{id}` in {tier}")?;
                if let Some(Moved { from_tier, from_after, to_after }) = moved {
                    let from = if from_tier == tier { String::new() } else { format!("from {from_tier} ") };
                    write!(f, ", moved {from}({} -> {})", behind(from_after.as_ref()), behind(to_after.as_ref()))?;
                }
                fields.iter().try_for_each(|change| write!(f, "\n    {change}"))
            }
        }
    }
}
