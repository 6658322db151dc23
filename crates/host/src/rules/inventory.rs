//! Everything in the kernel's packet filters as one list: nftables, iptables of both variants, both IP versions.
//!
//! Tables that `iptables-nft` keeps are listed once, in the words of iptables. A program that is not installed or that
//! refuses is itself told, so that an empty list is never mistaken for an empty kernel. Invariant: the hash of a chain or
//! table changes if and only if something in it does that is not a counter or a set that expires by itself.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{RulesError, iptables, nft};

/// Where a table is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// nftables.
    Nftables,
    /// iptables in nftables.
    IptablesNft,
    /// iptables in the kernel's older tables.
    IptablesLegacy,
}

impl Source {
    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::IptablesNft => "iptables-nft",
            Self::IptablesLegacy => "iptables-legacy",
        }
    }
}

/// Everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Inventory {
    /// Tables.
    pub tables: Vec<Table>,
    /// What could not be asked.
    pub missing: Vec<Missing>,
}

/// A program that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Its name.
    pub tool: &'static str,
    /// Why.
    pub why: String,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Where it is kept.
    pub source: Source,
    /// `ip`, `ip6`, `inet`, `arp`, `bridge`, `netdev`.
    pub family: String,
    /// Name.
    pub name: String,
    /// Whether all of it is ours.
    pub ours: bool,
    /// Chains.
    pub chains: Vec<Chain>,
    /// Sets and maps of nftables.
    pub sets: Vec<Set>,
    /// Of everything in it but counters.
    pub hash: String,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// Name.
    pub name: String,
    /// Where the kernel enters it; none for one that is only jumped to.
    pub base: Option<Base>,
    /// Whether it is ours.
    pub ours: bool,
    /// Rules in order.
    pub rules: Vec<Rule>,
    /// Of its rules and its base.
    pub hash: String,
}

/// How a chain hangs in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Base {
    /// `filter`, `nat` or `route`.
    pub kind: String,
    /// `prerouting`, `input`, …
    pub hook: String,
    /// Order among the chains of a hook.
    pub priority: i32,
    /// What becomes of a packet that comes to its end: `accept` or `drop`.
    pub policy: String,
    /// The policy's own count, where the kernel keeps one.
    pub packets: Option<u64>,
    /// Bytes of those.
    pub bytes: Option<u64>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// nftables' number of it, or its place in the chain from 1 with iptables.
    pub handle: u64,
    /// In the words of the program that keeps it, without counters.
    pub text: String,
    /// Its count, where it has one.
    pub packets: Option<u64>,
    /// Bytes of those.
    pub bytes: Option<u64>,
    /// Whether it is ours.
    pub ours: bool,
    /// nftables' expressions, to be evaluated.
    #[serde(skip)]
    pub expressions: Value,
}

/// A set or map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Set {
    /// Name.
    pub name: String,
    /// Whether its elements come and go by themselves.
    pub expires: bool,
    /// Whether it maps to verdicts or other values.
    pub is_map: bool,
    /// How many elements it has.
    pub elements: usize,
    /// Of its elements; empty for one that expires.
    pub hash: String,
    /// The elements, to be evaluated.
    #[serde(skip)]
    pub values: Vec<Value>,
}

/// Asks every program that there is.
pub fn inventory() -> Inventory {
    let mut found = Inventory::default();
    let mut keep = |tool, answer: Result<Vec<Table>, RulesError>| match answer {
        Ok(tables) => found.tables.extend(tables),
        Err(error) => found.missing.push(Missing { tool, why: error.to_string() }),
    };
    for (tool, family, source) in iptables::SAVERS {
        keep(tool, iptables::list(tool, family, *source));
    }
    match nft::list() {
        Ok(tables) => {
            let known = |table: &Table| {
                let is_same = |other: &Table| {
                    other.source == Source::IptablesNft && other.family == table.family && other.name == table.name
                };
                found.tables.iter().any(is_same)
            };
            let more: Vec<Table> = tables.into_iter().filter(|table| !known(table)).collect();
            found.tables.extend(more);
        }
        Err(error) => found.missing.push(Missing { tool: "nft", why: error.to_string() }),
    }
    for table in &mut found.tables {
        seal(table);
    }
    found.tables.sort_by(|a, b| (a.source, &a.family, &a.name).cmp(&(b.source, &b.family, &b.name)));
    found
}

/// Fills in the hashes.
pub(super) fn seal(table: &mut Table) {
    let mut all = Sha256::new();
    for chain in &mut table.chains {
        let mut own = Sha256::new();
        let line = |own: &mut Sha256, text: &str| {
            own.update(text);
            own.update("\n");
        };
        line(&mut own, &chain.name);
        if let Some(Base { kind, hook, priority, policy, .. }) = &chain.base {
            line(&mut own, &format!("{kind} {hook} {priority} {policy}"));
        }
        for rule in &chain.rules {
            line(&mut own, &rule.text);
        }
        chain.hash = short(own);
        line(&mut all, &chain.hash);
    }
    for set in &mut table.sets {
        let mut own = Sha256::new();
        // nftables lists elements in no order that it promises.
        let mut values: Vec<String> = set.values.iter().map(Value::to_string).collect();
        values.sort_unstable();
        for value in &values {
            own.update(value);
        }
        set.hash = if set.expires { String::new() } else { short(own) };
        all.update(format!("{} {}\n", set.name, set.hash));
    }
    table.hash = short(all);
}

/// The first 64 bits, as hexadecimal digits: enough to see a change, short enough to be read.
fn short(hash: Sha256) -> String {
    let first = hash.finalize().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    format!("{first:016x}")
}

impl Inventory {
    /// The table with this name.
    pub fn table(&self, source: Source, family: &str, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.source == source && table.family == family && table.name == name)
    }
}
