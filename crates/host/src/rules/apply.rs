//! Putting our rules into the kernel and taking them away, each by one run of a program that does all or nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use super::iptables::OWN_PREFIX;
use super::{RulesError, run::run};

/// Which of iptables' two homes the rules go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IptablesVariant {
    /// nftables.
    Nft,
    /// The kernel's older tables.
    Legacy,
}

impl IptablesVariant {
    /// Programs that restore, IPv4 then IPv6.
    fn restorers(self) -> [&'static str; 2] {
        match self {
            Self::Nft => ["iptables-nft-restore", "ip6tables-nft-restore"],
            Self::Legacy => ["iptables-legacy-restore", "ip6tables-legacy-restore"],
        }
    }

    /// Programs that list, in the same order.
    fn savers(self) -> [&'static str; 2] {
        match self {
            Self::Nft => ["iptables-nft-save", "ip6tables-nft-save"],
            Self::Legacy => ["iptables-legacy-save", "ip6tables-legacy-save"],
        }
    }

    /// The one that this host's `iptables` is; none when there is no `iptables`.
    pub fn of_host() -> Option<Self> {
        let version = run("iptables", &["--version"], None).ok()?;
        Some(if version.contains("nf_tables") { Self::Nft } else { Self::Legacy })
    }
}

/// Has both programs of `iptables` look at their table once, which makes them load what they need of the kernel: an agent
/// that has given up its privileges could not any more. Nothing is changed; what fails is told when it is needed.
pub fn load_iptables() {
    for tool in ["iptables", "ip6tables"] {
        let _ = run(tool, &["-w", "-t", IPTABLES_TABLE, "-n", "-L"], None);
    }
}

/// Gives nftables one transaction.
pub fn apply_nft(text: &str) -> Result<(), RulesError> {
    run("nft", &["-f", "-"], Some(text)).map(drop)
}

/// Takes our table out of nftables. Nothing happens when it is not there.
pub fn remove_nft() -> Result<(), RulesError> {
    apply_nft("add table inet hivewall\ndelete table inet hivewall\n")
}

/// What the counters of our table say, by the comment they have: rule id, packets, bytes. Empty when there is no table.
pub fn nft_counters() -> Result<Vec<(String, u64, u64)>, RulesError> {
    let json = match run("nft", &["-j", "list", "counters", "table", "inet", "hivewall"], None) {
        Err(RulesError::Refused { stderr, .. }) if stderr.contains("No such file") => return Ok(Vec::new()),
        other => other?,
    };
    let document: Value = serde_json::from_str(&json).map_err(|source| RulesError::Json { tool: "nft", source })?;
    let entries = document.get("nftables").and_then(Value::as_array).into_iter().flatten();
    let counters = entries.filter_map(|entry| entry.get("counter"));
    let read = |counter: &Value| {
        let number = |key| counter.get(key).and_then(Value::as_u64);
        Some((counter.get("comment")?.as_str()?.to_owned(), number("packets")?, number("bytes")?))
    };
    Ok(counters.filter_map(read).collect())
}

/// The table that our chains are in.
const IPTABLES_TABLE: &str = "mangle";

/// Puts our chains, as text for IPv4 and for IPv6, in place of those that there are. Other chains stay as they are.
pub fn apply_iptables(variant: IptablesVariant, v4: &str, v6: &str) -> Result<(), RulesError> {
    let mut texts = Vec::new();
    for ((saver, restorer), body) in variant.savers().into_iter().zip(variant.restorers()).zip([v4, v6]) {
        let removal = removal(&run(saver, &["-t", IPTABLES_TABLE], None)?);
        texts.push((restorer, format!("*{IPTABLES_TABLE}\n{removal}{body}COMMIT\n")));
    }
    // Each is a transaction of its own. Both are tried before either is done.
    for (tool, text) in &texts {
        run(tool, &["--test", "--noflush"], Some(text))?;
    }
    for (tool, text) in &texts {
        run(tool, &["--noflush"], Some(text))?;
    }
    Ok(())
}

/// What the rules of our chains counted, by the comment they have: rule id, packets, bytes.
pub fn iptables_counters(variant: IptablesVariant) -> Result<Vec<(String, u64, u64)>, RulesError> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for saver in variant.savers() {
        for line in run(saver, &["-c", "-t", IPTABLES_TABLE], None)?.lines() {
            let Some((id, packets, bytes)) = counted(line) else { continue };
            let sum = sums.entry(id.to_owned()).or_default();
            *sum = (sum.0 + packets, sum.1 + bytes);
        }
    }
    Ok(sums.into_iter().map(|(id, (packets, bytes))| (id, packets, bytes)).collect())
}

/// `[12:3456] -A HIVEWALL-r0 … --comment "id" …`
fn counted(line: &str) -> Option<(&str, u64, u64)> {
    let (count, rule) = line.strip_prefix('[')?.split_once("] -A ")?;
    let (packets, bytes) = count.split_once(':')?;
    let (_, rest) = rule.strip_prefix(OWN_PREFIX)?.split_once("--comment ")?;
    let id = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?.0,
        None => rest.split_once(' ').map_or(rest, |(id, _)| id),
    };
    Some((id, packets.parse().ok()?, bytes.parse().ok()?))
}

/// Takes our chains out of iptables. Nothing happens when there are none.
pub fn remove_iptables(variant: IptablesVariant) -> Result<(), RulesError> {
    for (saver, restorer) in variant.savers().into_iter().zip(variant.restorers()) {
        let removal = removal(&run(saver, &["-t", IPTABLES_TABLE], None)?);
        if !removal.is_empty() {
            run(restorer, &["--noflush"], Some(&format!("*{IPTABLES_TABLE}\n{removal}COMMIT\n")))?;
        }
    }
    Ok(())
}

/// Lines that remove our chains and the jumps to them from a table that was saved.
fn removal(saved: &str) -> String {
    let chains = saved.lines().filter_map(|line| line.strip_prefix(':')?.split_whitespace().next());
    let own: Vec<&str> = chains.filter(|chain| chain.starts_with(OWN_PREFIX)).collect();
    let is_jump = |rule: &&str| {
        let mut words = rule.split_whitespace().skip_while(|word| !matches!(*word, "-j" | "-g"));
        !rule.starts_with(OWN_PREFIX) && words.nth(1).is_some_and(|target| target.starts_with(OWN_PREFIX))
    };
    let jumps = saved.lines().filter_map(|line| line.strip_prefix("-A ")).filter(is_jump);
    let mut out = String::new();
    let mut put = |command: &str, what: &str| out.extend([command, " ", what, "\n"]);
    jumps.for_each(|rule| put("-D", rule));
    // All are emptied before any is deleted, since they lead to one another.
    own.iter().for_each(|chain| put("-F", chain));
    own.iter().for_each(|chain| put("-X", chain));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_to_the_rule_that_the_comment_names() {
        let line = |rest: &str| format!("[3:120] -A {rest}");
        assert_eq!(counted(&line("HIVEWALL-r0 -m comment --comment web -j RETURN")), Some(("web", 3, 120)));
        let quoted = line("HIVEWALL-banned -m comment --comment \"(ban)\" -j DROP");
        assert_eq!(counted(&quoted), Some(("(ban)", 3, 120)));
        assert_eq!(counted(&line("other -m comment --comment web -j RETURN")), None);
        assert_eq!(counted(":HIVEWALL-IN - [0:0]"), None);
    }

    #[test]
    fn only_our_chains_and_the_jumps_to_them_are_removed() {
        let saved = "*mangle\n:PREROUTING ACCEPT [0:0]\n:HIVEWALL-IN - [0:0]\n:other - [0:0]\n\
                     -A PREROUTING -j HIVEWALL-IN\n-A PREROUTING -m comment --comment \"-j x\" -j other\n\
                     -A HIVEWALL-IN -g HIVEWALL-IN\n-A other -j ACCEPT\nCOMMIT\n";
        assert_eq!(removal(saved), "-D PREROUTING -j HIVEWALL-IN\n-F HIVEWALL-IN\n-X HIVEWALL-IN\n");
    }
}
