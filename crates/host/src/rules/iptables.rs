//! iptables: what `…-save -c` prints, for both variants and both IP versions.
//!
//! It reads tables, chains, counters and the words of rules; what the words mean is for `walk`. Invariant: a rule's place
//! in its chain is its handle, as `iptables -L --line-numbers` counts.

use serde_json::Value;

use super::inventory::{Base, Chain, Rule, Source, Table};
use super::{RulesError, run::run};

/// Programs that list, with the family they list and where it is kept.
pub(super) const SAVERS: &[(&str, &str, Source)] = &[
    ("iptables-nft-save", "ip", Source::IptablesNft),
    ("ip6tables-nft-save", "ip6", Source::IptablesNft),
    ("iptables-legacy-save", "ip", Source::IptablesLegacy),
    ("ip6tables-legacy-save", "ip6", Source::IptablesLegacy),
];

/// Chains of ours begin so.
pub(super) const OWN_PREFIX: &str = "HIVEWALL-";

/// All tables that one program knows.
pub(super) fn list(tool: &'static str, family: &str, source: Source) -> Result<Vec<Table>, RulesError> {
    Ok(read(&run(tool, &["-c"], None)?, family, source))
}

/// What `iptables-save -c` printed.
pub(super) fn read(text: &str, family: &str, source: Source) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            let (family, name, chains) = (family.to_owned(), name.trim().to_owned(), Vec::new());
            tables.push(Table { source, family, name, ours: false, chains, sets: Vec::new(), hash: String::new() });
            continue;
        }
        let Some(table) = tables.last_mut() else { continue };
        if let Some(rest) = line.strip_prefix(':') {
            let chain = chain(rest, &table.name);
            table.chains.push(chain);
        } else if let Some((count, rest)) = line.strip_prefix('[').and_then(|line| line.split_once("] -A ")) {
            let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
            let Some(chain) = table.chains.iter_mut().find(|chain| chain.name == name) else { continue };
            let (packets, bytes) = pair(count);
            let ours = chain.ours || text.contains(OWN_PREFIX);
            let handle = chain.rules.len() as u64 + 1;
            chain.rules.push(Rule { handle, text: text.to_owned(), packets, bytes, ours, expressions: Value::Null });
        }
    }
    tables
}

/// `NAME POLICY [packets:bytes]`; the policy of a chain that is only jumped to is `-`.
fn chain(text: &str, table: &str) -> Chain {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap_or_default().to_owned();
    let policy = words.next().unwrap_or("-");
    let (packets, bytes) = pair(words.next().unwrap_or_default().trim_matches(['[', ']']));
    let base = (policy != "-").then(|| Base {
        kind: if table == "nat" { "nat" } else { "filter" }.to_owned(),
        hook: name.to_ascii_lowercase(),
        priority: priority(table, &name),
        policy: policy.to_ascii_lowercase(),
        packets,
        bytes,
    });
    Chain { ours: name.starts_with(OWN_PREFIX), name, base, rules: Vec::new(), hash: String::new() }
}

fn pair(text: &str) -> (Option<u64>, Option<u64>) {
    let numbers = text.split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    numbers.unzip()
}

/// The kernel's numbers (`enum nf_ip_hook_priorities`).
fn priority(table: &str, chain: &str) -> i32 {
    match (table, chain) {
        ("raw", _) => -300,
        ("mangle", _) => -150,
        ("nat", "PREROUTING" | "OUTPUT") => -100,
        ("nat", _) => 100,
        ("security", _) => 50,
        _ => 0,
    }
}
