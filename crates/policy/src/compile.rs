//! From a [`Ruleset`] to the tables of the datapath. Each field of a packet is cut into classes of values that no rule
//! tells apart, and each class gets the row of the rules that can match it. Equal rows are one row, so that tables grow
//! with what a policy distinguishes, not with what it lists: a set of a million prefixes in one rule makes two rows.
//!
//! A rule becomes one bit, or several when it names ICMP types with different codes; they all have the rule's counter.
//! Invariant: for every packet the datapath finds in these tables what [`crate::oracle`] says.

mod addresses;
mod fields;
mod front;
mod rows;

use hivewall_datapath::policy::{
    Action, Address, Limit as LimitEntry, PASSING_LIMITS_MAX, PolicyHead, ROWS_MAX, RULES_MAX, RuleEntry, RuleFlags,
    Side,
};
use hivewall_model::Direction;
use hivewall_soft::PolicyTables;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::oracle::looks_at_transport;
use crate::resolve::LINKS;
use crate::{Addresses, Counters, CountersError, Established, Limit, PortRange, Rule, Ruleset, Stage};
pub use front::hoisted;
use rows::Rows;

/// Longest interval and burst of a limit: 36 years, so that a time and both still fit 64 bits.
const INTERVAL_NS_MAX: u64 = 1 << 60;

/// Why a policy cannot be compiled. Nothing has changed then but counter numbers that were given.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// More rules than a row has bits.
    #[error(
        "the policy has {rules} rules with defaults, guard and one for each ICMP code, and at most {RULES_MAX} fit; join \
         rules that differ in addresses or ports alone by sets and lists (rule {id:?} is the first too many)"
    )]
    TooManyRules {
        /// Rules there are.
        rules: usize,
        /// The first one too many.
        id: String,
    },
    /// More different rows than there is room for.
    #[error(
        "the prefixes of the policy overlap in more than {ROWS_MAX} different ways; join rules that are for the same \
         addresses, or put prefixes that several rules name into one set"
    )]
    TooManyRows,
    /// One packet may meet more limits that pass than the datapath asks.
    #[error(
        "rule {id:?} is one too many of those with `over: pass` that a packet may meet: at most {} are asked in a row; let \
         its limit drop, or set such rules apart by direction, protocol or port",
        PASSING_LIMITS_MAX - 1
    )]
    TooManyPassingLimits {
        /// The rule.
        id: String,
    },
    /// No counter is left for a rule.
    #[error(transparent)]
    Counters(#[from] CountersError),
}

/// One bit of the rows: a rule, or the part of it that is for some ICMP types.
pub(crate) struct Part<'a> {
    pub(crate) rule: &'a Rule,
    /// Types, and the code that goes with all of them.
    pub(crate) icmp: Option<(Vec<u8>, Option<u8>)>,
}

/// The tables of a policy. Rules without a counter are given one.
pub fn compile(ruleset: &Ruleset, counters: &mut Counters) -> Result<PolicyTables, CompileError> {
    let parts: Vec<Part<'_>> = ruleset.rules.iter().flat_map(split).collect();
    if let Some(part) = parts.get(RULES_MAX) {
        return Err(CompileError::TooManyRules { rules: parts.len(), id: part.rule.id.clone() });
    }
    check_passing_limits(ruleset)?;
    counters.allocate(ruleset.rules.iter().map(|rule| rule.id.as_str()))?;
    let mut limits = Vec::new();
    let rules = entries(&parts, counters, &mut limits);
    let mut rows = Rows::with_all(parts.len());
    // Rows that 16-bit numbers point to come first, so that the limit is the same for all.
    let kinds = fields::kinds(&parts, &mut rows)?;
    let flags = fields::flags(&parts, &mut rows)?;
    let (interfaces, interface_else) = fields::interfaces(&parts, &mut rows)?;
    let source_ports = fields::ports(&parts, Side::From, &mut rows)?;
    let destination_ports = fields::ports(&parts, Side::To, &mut rows)?;
    let (sources, source_else) = addresses::classes(&parts, Side::From, &mut rows)?;
    let (destinations, destination_else) = addresses::classes(&parts, Side::To, &mut rows)?;
    let uses = [
        (PolicyHead::USES_SOURCES, sources.is_empty()),
        (PolicyHead::USES_DESTINATIONS, destinations.is_empty()),
        (PolicyHead::USES_INTERFACES, interfaces.is_empty()),
    ];
    let mut head = PolicyHead::default();
    head.rules = parts.len() as u32;
    head.before_bans = parts.iter().take_while(|part| is_before_bans(part.rule)).count() as u32;
    head.source_else = source_else;
    head.destination_else = destination_else;
    head.interface_else = interface_else;
    head.uses = uses.iter().filter(|(_, empty)| !empty).map(|(bit, _)| bit).sum();
    head.kinds = kinds;
    head.flags = flags;
    let exempt = exempt(ruleset);
    Ok(PolicyTables {
        head,
        rows: rows.into_rows(),
        rules,
        sources,
        destinations,
        source_ports,
        destination_ports,
        interfaces,
        limits,
        exempt,
    })
}

/// Addresses and interfaces are not looked at: what they keep apart today they may not tomorrow. Rules that pass with a limit are
/// those of responses, all in one tier, of which a packet meets one.
fn check_passing_limits(ruleset: &Ruleset) -> Result<(), CompileError> {
    let passing: Vec<&Rule> =
        ruleset.rules.iter().filter(|rule| rule.limit.is_some_and(|limit| limit.over == Action::Pass)).collect();
    for (at, rule) in passing.iter().enumerate() {
        let met = passing.iter().take(at).filter(|before| may_meet(before, rule)).count();
        if met + 1 >= PASSING_LIMITS_MAX as usize {
            return Err(CompileError::TooManyPassingLimits { id: rule.id.clone() });
        }
    }
    Ok(())
}

/// Whether one packet may match both rules.
fn may_meet(a: &Rule, b: &Rule) -> bool {
    let protocols = a.protocols.is_empty()
        || b.protocols.is_empty()
        || a.protocols.iter().any(|protocol| b.protocols.contains(protocol));
    let meet = |a: &PortRange, b: &PortRange| a.start() <= b.end() && b.start() <= a.end();
    let (a_ports, b_ports) = (&a.destination_ports, &b.destination_ports);
    let ports = a_ports.is_empty() || b_ports.is_empty() || a_ports.iter().any(|a| b_ports.iter().any(|b| meet(a, b)));
    let directions = a.direction.is_none() || b.direction.is_none() || a.direction == b.direction;
    protocols && ports && directions
}

/// A rule with several codes is no product of types and codes, and only products can be rows: one part for each code.
fn split(rule: &Rule) -> Vec<Part<'_>> {
    if rule.icmp.is_empty() {
        return vec![Part { rule, icmp: None }];
    }
    let mut by_code: Vec<(Option<u8>, Vec<u8>)> = Vec::new();
    for wanted in &rule.icmp {
        match by_code.iter_mut().find(|(code, _)| *code == wanted.code) {
            Some((_, types)) => types.push(wanted.kind),
            None => by_code.push((wanted.code, vec![wanted.kind])),
        }
    }
    by_code.into_iter().map(|(code, types)| Part { rule, icmp: Some((types, code)) }).collect()
}

fn is_before_bans(rule: &Rule) -> bool {
    !matches!(rule.stage, Stage::Tier(_))
}

fn entries(parts: &[Part<'_>], counters: &Counters, limits: &mut Vec<LimitEntry>) -> Vec<RuleEntry> {
    let mut entries: Vec<RuleEntry> = Vec::with_capacity(parts.len());
    let mut last: Option<(&Rule, u16)> = None;
    // The beginning of the stage behind each part's, found from the end.
    let mut nexts = vec![parts.len() as u16; parts.len()];
    for at in (0..parts.len().saturating_sub(1)).rev() {
        let (this, behind) = (parts.get(at), parts.get(at + 1));
        let same = this.map(|part| part.rule.stage) == behind.map(|part| part.rule.stage);
        let next = if same { nexts.get(at + 1).copied().unwrap_or_default() } else { (at + 1) as u16 };
        if let Some(slot) = nexts.get_mut(at) {
            *slot = next;
        }
    }
    for (part, next) in parts.iter().zip(nexts) {
        let rule = part.rule;
        let limit = match (&rule.limit, last) {
            (None, _) => 0,
            (Some(_), Some((before, limit))) if std::ptr::eq(before, rule) => limit,
            (Some(limit), _) => {
                limits.push(limit_entry(limit));
                limits.len() as u16
            }
        };
        last = Some((rule, limit));
        entries.push(RuleEntry {
            action: rule.action as u8,
            flags: rule_flags(rule),
            limit,
            next,
            counter: counters.number(&rule.id).unwrap_or_default(),
        });
    }
    entries
}

fn rule_flags(rule: &Rule) -> u8 {
    let ports = if looks_at_transport(rule) { RuleFlags::PORTS } else { 0 };
    let established = match rule.established {
        Established::Reevaluate => 0,
        Established::Keep => RuleFlags::KEEP,
        Established::Reset => RuleFlags::RESET,
    };
    ports | established
}

fn limit_entry(limit: &Limit) -> LimitEntry {
    let interval = limit.per.as_nanos() / u128::from(limit.count.max(1));
    let interval_ns = u64::try_from(interval).unwrap_or(u64::MAX).clamp(1, INTERVAL_NS_MAX);
    LimitEntry {
        interval_ns,
        burst_ns: interval_ns.saturating_mul(u64::from(limit.burst.saturating_sub(1))).min(INTERVAL_NS_MAX),
        per_source: u32::from(limit.per_source),
        over: limit.over as u32,
    }
}

/// Sources that a rule before bans may accept. A rule for all but some addresses counts as one for all: whoever is in
/// this list is only asked for later, and not let through.
fn exempt(ruleset: &Ruleset) -> Vec<Address> {
    let mut exempt = Vec::new();
    let early = ruleset.rules.iter().filter(|rule| {
        is_before_bans(rule)
            && rule.action == Action::Accept
            && rule.direction != Some(Direction::Egress)
            // The front knows that port by itself; this must not make everybody exempt. Members are never banned.
            && rule.id != LINKS
    });
    for rule in early {
        match &rule.from {
            Addresses::In(nets) => exempt.extend(nets.iter().filter_map(addresses::prefix)),
            Addresses::Any | Addresses::NotIn(_) => exempt.extend(everything()),
        }
    }
    exempt.sort_unstable_by_key(|address| (address.words.map(u32::from_be), address.prefix_len));
    exempt.dedup();
    exempt
}

/// All addresses of both families: one prefix for each, which a trie of both tells apart.
fn everything() -> impl Iterator<Item = Address> {
    [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())].into_iter().filter_map(|net| addresses::prefix(&net))
}

impl Part<'_> {
    fn addresses(&self, side: Side) -> &Addresses {
        match side {
            Side::From => &self.rule.from,
            Side::To => &self.rule.to,
        }
    }
}

/// The lists of prefixes that rules name on one side, equal ones once.
pub(crate) type List<'a> = &'a [IpNet];

#[cfg(test)]
mod tests;
