//! One rule in iptables: its alternatives as rules of a stage, and the chain that counts, limits, logs and decides.
//!
//! Many sources with many destinations become chains of their own: one for sources, one for destinations, one for the
//! rest, each of which goes on behind the rule when nothing in it fits. That makes the way longer for all that follows,
//! which has an end ([`super::DEPTH_MAX`]), so that all else is written out. Replies are asked about by conntrack's
//! original source, which no translation between the two hooks has changed. Invariant: rules stand in document order, and
//! nothing is left out without a shortfall.

use std::time::Duration;

use hivewall_datapath::policy::Action;

use super::{Draft, PREFIX, View, target};
use crate::backend::Shortfall;
use crate::backend::blocks::{Family, Span, addresses as spans};
use crate::backend::nft::clean;
use crate::{Addresses, Established, FlagsMatch, IcmpMatch, Mode, PortRange, Rule, Ruleset};

/// Combinations of a rule that are written out, where both sides have several addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// Few rules, on a long way.
    Short = 16,
    /// Many rules, on a short way.
    Shallow = 256,
}

/// Conditions besides addresses with which a list on one side is written out, however long.
const REPEATED_MAX: usize = 2;
/// Prefixes that may stand for "all but these".
const INVERTED_MAX: usize = 1024;
/// Ports of one `multiport`; a range takes two.
const PORTS_MAX: usize = 15;
/// The finest rate `limit` can count.
const RATE_MAX: u64 = 10_000;
/// Flags that iptables has names for, by bit.
const FLAGS: [&str; 6] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
const SYN: u8 = 2;

/// Says what this packet filter cannot do for a rule.
pub(super) fn note_shortfalls(draft: &mut Draft, rule: &Rule) {
    let (id, line) = (rule.id.clone(), rule.line);
    if rule.established != Established::Reevaluate {
        draft.lack(Shortfall::Established { rule: id.clone(), line });
    }
    if rule.action == Action::Reject || rule.limit.is_some_and(|limit| limit.over == Action::Reject) {
        draft.lack(Shortfall::SilentReject { rule: id.clone(), line });
    }
    if rule.flags.is_some_and(|flags| flags.mask >> FLAGS.len() != 0) {
        draft.lack(Shortfall::Condition { rule: id.clone(), line, what: "the TCP flags ECE and CWR" });
    }
    if let Some(limit) = rule.limit
        && let (count, _, false) = rate(limit.count, limit.per)
    {
        draft.lack(Shortfall::RoundedRate { rule: id, line, per_day: count });
    }
}

/// Count, unit, and whether that is exact.
fn rate(count: u32, per: Duration) -> (u64, &'static str, bool) {
    let per = per.as_nanos().max(1);
    for (unit, seconds) in [("sec", 1_u128), ("min", 60), ("hour", 3600), ("day", 86_400)] {
        let total = u128::from(count) * seconds * 1_000_000_000;
        if total.is_multiple_of(per) && total >= per {
            let rate = (total / per) as u64;
            return (rate.min(RATE_MAX), unit, rate <= RATE_MAX);
        }
    }
    let per_day = (u128::from(count) * 86_400_000_000_000 / per) as u64;
    (per_day.clamp(1, RATE_MAX), "day", false)
}

fn passes_on(rule: &Rule) -> bool {
    rule.action == Action::Accept && rule.limit.is_some_and(|limit| limit.over == Action::Pass)
}

/// A name of an interface with iptables' own sign for anything.
pub(super) fn pattern(name: &str) -> String {
    name.strip_suffix('*').map_or_else(|| name.to_owned(), |beginning| format!("{beginning}+"))
}

fn chain_name(index: usize) -> String {
    format!("{PREFIX}r{index}")
}

/// The chain of a rule. It is left by RETURN when the rule accepts or passes.
pub(super) fn write_chain(draft: &mut Draft, rule: &Rule, index: usize, mode: Mode) {
    let name = chain_name(index);
    draft.chain(&name);
    let comment = format!("-m comment --comment \"{}\"", clean(&rule.id, 200));
    if let Some(log) = rule.log {
        let (count, unit, _) = rate(log.count, log.per);
        let prefix = clean(&format!("hivewall {} ", rule.id), 28);
        draft.rule(&name, &format!("-m limit --limit {count}/{unit} -j LOG --log-prefix \"{prefix}\""));
    }
    let has_one = matches!(rule.action, Action::Accept | Action::Pass);
    let limit = rule.limit.filter(|limit| has_one && limit.over != Action::Pass);
    let Some(limit) = limit else {
        draft.rule(&name, &format!("{comment} -j {}", target(rule.action, mode)));
        return;
    };
    draft.rule(&name, &format!("-m conntrack --ctstatus CONFIRMED {comment} -j RETURN"));
    draft.rule(&name, &format!("{} {comment} -j RETURN", limit_words(rule, index)));
    draft.rule(&name, &format!("-m comment --comment \"(over limit)\" -j {}", target(limit.over, mode)));
}

/// Holds while a rule's limit is not reached.
fn limit_words(rule: &Rule, index: usize) -> String {
    let Some(limit) = rule.limit else { return String::new() };
    let ((count, unit, _), burst) = (rate(limit.count, limit.per), limit.burst.clamp(1, 10_000));
    if limit.per_source {
        format!(
            "-m hashlimit --hashlimit-upto {count}/{unit} --hashlimit-burst {burst} --hashlimit-mode srcip --hashlimit-name hivewall{index}"
        )
    } else {
        format!("-m limit --limit {count}/{unit} --limit-burst {burst}")
    }
}

/// The rules of a stage, which ends by going to the next.
pub(super) fn write_stage(
    draft: &mut Draft,
    ruleset: &Ruleset,
    view: View,
    family: Family,
    name: &str,
    rules: &[usize],
    next: &str,
) {
    draft.chain(name);
    let mut chain = name.to_owned();
    for index in rules {
        let Some(rule) = ruleset.rules.get(*index) else { continue };
        let Some(parts) = Parts::of(rule, view, family, draft.writing) else { continue };
        draft.targets.insert(*index);
        if parts.is_small(draft.writing) {
            for words in parts.combinations() {
                decide(draft, rule, *index, &chain, &words, next);
            }
            continue;
        }
        let rest = format!("{name}-{index}");
        let inner = parts.enter(draft, &chain, &rest);
        for words in &parts.others {
            decide(draft, rule, *index, &inner, words, next);
        }
        draft.rule(&inner, &format!("-g {rest}"));
        draft.chain(&rest);
        chain = rest;
    }
    draft.rule(&chain, &format!("-g {next}"));
}

/// One rule of iptables for one combination of conditions.
fn decide(draft: &mut Draft, rule: &Rule, index: usize, chain: &str, words: &str, next: &str) {
    let own = chain_name(index);
    let put = |draft: &mut Draft, more: &str| {
        let all = [words, more].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        draft.rule(chain, &all);
    };
    if rule.action == Action::Pass {
        put(draft, &format!("-j {own}"));
        put(draft, &format!("-g {next}"));
    } else if passes_on(rule) {
        put(draft, &format!("-m conntrack --ctstatus CONFIRMED -g {own}"));
        put(draft, &format!("{} -g {own}", limit_words(rule, index)));
    } else {
        put(draft, &format!("-g {own}"));
    }
}

/// Conditions of a rule: any of the sources, any of the destinations, any of the others.
struct Parts {
    from: Side,
    to: Side,
    others: Vec<String>,
}

/// Addresses of one side.
struct Side {
    /// `-s`, or its like.
    word: &'static str,
    nets: Vec<String>,
    /// All but these.
    negated: bool,
}

impl Side {
    /// None when no address of the family fits.
    fn of(addresses: &Addresses, family: Family, word: &'static str, writing: Writing) -> Option<Self> {
        let list = |nets: &[ipnet::IpNet]| {
            let nets: Vec<ipnet::IpNet> = nets.iter().filter(|net| family.span(net).is_some()).copied().collect();
            ipnet::IpNet::aggregate(&nets).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        Some(match addresses {
            Addresses::Any => Self { word, nets: Vec::new(), negated: true },
            // All but all is nothing, which `! -s 0.0.0.0/0` is not everywhere.
            Addresses::NotIn(_) if spans(addresses, family).is_empty() => return None,
            Addresses::NotIn(nets) => {
                let listed = list(nets);
                let all_others = (listed.len() > 1 && writing == Writing::Shallow)
                    .then(|| prefixes(&spans(addresses, family), family));
                match all_others.filter(|others| others.len() <= INVERTED_MAX) {
                    Some(others) => Self { word, nets: others, negated: false },
                    None => Self { word, nets: listed, negated: true },
                }
            }
            Addresses::In(nets) => {
                let nets = list(nets);
                if nets.is_empty() {
                    return None;
                }
                Self { word, nets, negated: false }
            }
        })
    }

    /// Alternatives in one line each; none when that cannot be said.
    fn inline(&self) -> Option<Vec<String>> {
        let Self { word, nets, negated } = self;
        let conntrack = if word.starts_with("--") { "-m conntrack " } else { "" };
        match (nets.as_slice(), negated) {
            ([], _) => Some(vec![String::new()]),
            ([one], true) => Some(vec![format!("{conntrack}! {word} {one}")]),
            (_, true) => None,
            (all, false) => Some(all.iter().map(|net| format!("{conntrack}{word} {net}")).collect()),
        }
    }

    /// Goes from one chain to another where the side fits, and to `rest` where it does not.
    fn filter(&self, draft: &mut Draft, chain: &str, inner: &str, rest: &str) {
        let conntrack = if self.word.starts_with("--") { "-m conntrack " } else { "" };
        let (fits, else_to) = if self.negated { (rest, inner) } else { (inner, rest) };
        for net in &self.nets {
            draft.rule(chain, &format!("{conntrack}{} {net} -g {fits}", self.word));
        }
        draft.rule(chain, &format!("-g {else_to}"));
    }
}

impl Parts {
    fn of(rule: &Rule, view: View, family: Family, writing: Writing) -> Option<Self> {
        let (from_word, to_word) = match (view.back, view.is_received()) {
            (false, _) => ("-s", "-d"),
            (true, true) => ("--ctorigsrc", "-s"),
            (true, false) => ("--ctorigsrc", "--ctorigdst"),
        };
        let from = Side::of(&rule.from, family, from_word, writing)?;
        let to = Side::of(&rule.to, family, to_word, writing)?;
        let others = others(rule, view, family);
        (!others.is_empty()).then_some(Self { from, to, others })
    }

    fn is_small(&self, writing: Writing) -> bool {
        let count = |side: &Side| side.inline().map(|all| all.len());
        let Some((a, b)) = count(&self.from).zip(count(&self.to)) else { return false };
        let is_one_sided = (a == 1 || b == 1) && self.others.len() <= REPEATED_MAX;
        is_one_sided || a.saturating_mul(b).saturating_mul(self.others.len()) <= writing as usize
    }

    fn combinations(&self) -> Vec<String> {
        let mut out = Vec::new();
        for from in self.from.inline().unwrap_or_default() {
            for to in self.to.inline().unwrap_or_default() {
                for other in &self.others {
                    // The protocol comes first: matches of ports need it.
                    let words = [other.as_str(), from.as_str(), to.as_str()];
                    out.push(words.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "));
                }
            }
        }
        out
    }

    /// Filters by both sides; the chain in which the others are asked.
    fn enter(&self, draft: &mut Draft, chain: &str, rest: &str) -> String {
        let (first, second) = (format!("{rest}f"), format!("{rest}t"));
        self.from.filter(draft, chain, &first, rest);
        draft.chain(&first);
        self.to.filter(draft, &first, &second, rest);
        draft.chain(&second);
        second
    }
}

/// The prefixes that together are these spans of a family's addresses.
fn prefixes(spans: &[Span], family: Family) -> Vec<String> {
    let text = |(low, high): &Span| -> Vec<String> {
        match family {
            Family::V4 => ipnet::Ipv4Subnets::new((*low as u32).into(), (*high as u32).into(), 0)
                .map(|net| net.to_string())
                .collect(),
            Family::V6 => {
                ipnet::Ipv6Subnets::new((*low).into(), (*high).into(), 0).map(|net| net.to_string()).collect()
            }
        }
    };
    spans.iter().flat_map(text).collect()
}

/// All conditions but addresses: any of these.
fn others(rule: &Rule, view: View, family: Family) -> Vec<String> {
    let mut out = Vec::new();
    let any = rule.interfaces.is_empty() || rule.interfaces.iter().any(|name| name == "*");
    let side = if view.is_received() { "-i" } else { "-o" };
    let interfaces: Vec<String> = if any {
        vec![String::new()]
    } else {
        rule.interfaces.iter().map(|name| format!("{side} {}", pattern(name))).collect()
    };
    for interface in &interfaces {
        for transport in transports(rule, view, family) {
            for flags in flags(rule.flags, view) {
                let words = [transport.as_str(), interface.as_str(), flags.as_str()];
                out.push(words.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "));
            }
        }
    }
    out
}

/// Protocol with ports or types: any of these.
fn transports(rule: &Rule, view: View, family: Family) -> Vec<String> {
    let Some(protocols) = crate::backend::nft::protocols(rule) else { return vec![String::new()] };
    let mut out = Vec::new();
    for protocol in protocols {
        if !rule.icmp.is_empty() {
            out.extend(kinds(&rule.icmp, protocol, view, family));
            continue;
        }
        for source in ports(&rule.source_ports, view, true) {
            for destination in ports(&rule.destination_ports, view, false) {
                let words = [format!("-p {protocol}"), source.clone(), destination];
                out.push(words.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "));
            }
        }
    }
    out
}

/// ICMP types of the version's own protocol.
fn kinds(wanted: &[IcmpMatch], protocol: u8, view: View, family: Family) -> Vec<String> {
    let (own, word) = match family {
        Family::V4 => (1, "-p icmp --icmp-type"),
        Family::V6 => (58, "-p icmpv6 --icmpv6-type"),
    };
    if protocol != own {
        return Vec::new();
    }
    let mut out = Vec::new();
    for icmp in wanted {
        let kinds: Vec<u8> = if view.back {
            let kind = u128::from(icmp.kind) << 8;
            let answers: Vec<Span> = crate::backend::nft::answers(protocol, (kind, kind | 255));
            answers.into_iter().map(|(answer, _)| (answer >> 8) as u8).collect()
        } else {
            vec![icmp.kind]
        };
        for kind in kinds {
            out.push(icmp.code.map_or_else(|| format!("{word} {kind}"), |code| format!("{word} {kind}/{code}")));
        }
    }
    out
}

/// Ports of one side of the flow's first packet, where this view finds them.
fn ports(ranges: &[PortRange], view: View, is_source: bool) -> Vec<String> {
    if ranges.is_empty() {
        return vec![String::new()];
    }
    let text = |range: &PortRange| match (*range.start(), *range.end()) {
        (low, high) if low == high => low.to_string(),
        (low, high) => format!("{low}:{high}"),
    };
    let original = match (view.back, view.is_received(), is_source) {
        (true, _, true) => Some("--ctorigsrcport"),
        (true, false, false) => Some("--ctorigdstport"),
        _ => None,
    };
    if let Some(word) = original {
        return ranges.iter().map(|range| format!("-m conntrack {word} {}", text(range))).collect();
    }
    // The destination of the first packet is the source of a reply.
    let word = if is_source == view.back { "--dports" } else { "--sports" };
    let mut lists: Vec<(usize, Vec<String>)> = vec![(0, Vec::new())];
    for range in ranges {
        let weight = if range.start() == range.end() { 1 } else { 2 };
        match lists.last_mut() {
            Some((used, list)) if *used + weight <= PORTS_MAX => {
                *used += weight;
                list.push(text(range));
            }
            _ => lists.push((weight, vec![text(range)])),
        }
    }
    lists.iter().map(|(_, list)| format!("-m multiport {word} {}", list.join(","))).collect()
}

/// Conditions on flags, which are about the first packet of a flow: any of these.
fn flags(flags: Option<FlagsMatch>, view: View) -> Vec<String> {
    let Some(FlagsMatch { mask, value }) = flags else { return vec![String::new()] };
    let names = |bits: u8| {
        let set: Vec<&str> =
            FLAGS.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 != 0).map(|(_, name)| *name).collect();
        if set.is_empty() { "NONE".to_owned() } else { set.join(",") }
    };
    let asked = format!("-m tcp --tcp-flags {} {}", names(mask), names(value));
    let mut out = Vec::new();
    if SYN & mask == value {
        out.push(if view.back { String::new() } else { "-m conntrack --ctstatus CONFIRMED".to_owned() });
    }
    if !view.back {
        out.push(format!("{asked} -m conntrack ! --ctstatus CONFIRMED"));
        out.push(format!("{asked} -m conntrack --ctstate INVALID,UNTRACKED"));
    }
    out
}
