//! One rule: the chain that carries it out, and its conditions where it stands in no map.
//!
//! The chain counts, limits, logs and gives the verdict. Conditions on TCP flags are about the first packet of a flow; of
//! a flow that conntrack has kept, that was an opening SYN. Invariant: nothing below the hook after routing rejects,
//! since the kernel refuses a table that does.

use std::fmt::Write as _;

use hivewall_datapath::policy::Action;
use hivewall_datapath::proto;
use hivewall_model::Direction;

use super::judge::{self, Axes};
use super::{Draft, Hook, View, Way, text};
use crate::backend::Shortfall;
use crate::backend::blocks::{self, Family, Span};
use crate::{Established, FlagsMatch, Limit, Mode, Rule};

/// The SYN flag.
const SYN: u8 = 2;
/// Spans that are written into a rule; more become a named set.
const INLINE_MAX: usize = 8;
/// Sources whose rates are held at a time, a limit.
const SOURCES_MAX: u32 = 65_536;
/// Longest prefix of a log line, bytes (the kernel has 127).
const LOG_PREFIX_MAX: usize = 120;

/// Says what this packet filter cannot do for a rule.
pub(super) fn note_shortfalls(draft: &mut Draft, rule: &Rule) {
    let (id, line) = (rule.id.clone(), rule.line);
    if rule.established != Established::Reevaluate {
        draft.lack(Shortfall::Established { rule: id.clone(), line });
    }
    let over = rule.limit.map(|limit| limit.over);
    let rejects = rule.action == Action::Reject || over == Some(Action::Reject);
    if rejects && rule.direction != Some(Direction::Ingress) {
        draft.lack(Shortfall::SilentReject { rule: id.clone(), line });
    }
    if let Some(limit) = rule.limit
        && let Rate { count, exact: false, .. } = Rate::of(limit.count, limit.per)
    {
        draft.lack(Shortfall::RoundedRate { rule: id, line, per_day: count });
    }
}

fn rejects(rule: &Rule) -> bool {
    rule.action == Action::Reject || rule.limit.is_some_and(|limit| limit.over == Action::Reject)
}

/// The name of the chain of a rule for packets of this hook; it will be written.
pub(super) fn target(draft: &mut Draft, rule: &Rule, index: usize, hook: Hook) -> String {
    let own = rejects(rule) && hook == Hook::Postrouting;
    draft.targets.insert((index, if own { Hook::Postrouting } else { Hook::Prerouting }));
    chain_name(index, own)
}

fn chain_name(index: usize, sent: bool) -> String {
    if sent { format!("r{index}_sent") } else { format!("r{index}") }
}

/// The chain of a rule.
pub(super) fn write_chain(draft: &mut Draft, rule: &Rule, index: usize, hook: Hook, mode: Mode) {
    let mut lines = vec![format!("comment \"{}\"", text::clean(&rule.id, 120))];
    let count = format!("counter name r{index}");
    let limit = rule.limit.filter(|_| matches!(rule.action, Action::Accept | Action::Pass));
    if let Some(limit) = limit {
        let within = if rule.action == Action::Pass { "return" } else { "accept" };
        lines.push(format!("ct status confirmed {count} {within}"));
        lines.extend(limit_lines(draft, &limit, index, hook, mode));
    }
    if let Some(log) = rule.log {
        let rate = Rate::of(log.count, log.per);
        let prefix = text::clean(&format!("hivewall rule={} ", rule.id), LOG_PREFIX_MAX);
        lines.push(format!("limit rate {}/{} log prefix \"{prefix}\"", rate.count, rate.unit));
    }
    lines.push(count);
    lines.extend(refusal(rule.action, hook, mode, ""));
    draft.chain(&chain_name(index, hook == Hook::Postrouting), &lines);
}

/// The lines that carry out an action, each with this before it.
fn refusal(action: Action, hook: Hook, mode: Mode, before: &str) -> Vec<String> {
    match action {
        Action::Accept => vec![format!("{before}accept")],
        Action::Pass => vec![format!("{before}return")],
        _ if mode == Mode::Observe => vec![format!("{before}accept")],
        Action::Reject if hook == Hook::Prerouting => vec![
            format!("{before}meta l4proto 6 reject with tcp reset"),
            format!("{before}reject with icmpx admin-prohibited"),
        ],
        Action::Drop | Action::Reject => vec![format!("{before}drop")],
    }
}

/// What becomes of new flows beyond the limit; what is within goes on below.
fn limit_lines(draft: &mut Draft, limit: &Limit, index: usize, hook: Hook, mode: Mode) -> Vec<String> {
    let rate = Rate::of(limit.count, limit.per);
    let over = format!("limit rate over {}/{} burst {} packets", rate.count, rate.unit, limit.burst.max(1));
    let beyond = chain_name(index, hook == Hook::Postrouting) + "_over";
    let passes = limit.over == Action::Pass;
    let go = if passes { "return".to_owned() } else { format!("goto {beyond}") };
    if !passes {
        let mut lines = vec!["counter name over_limit".to_owned()];
        lines.extend(refusal(limit.over, hook, mode, ""));
        draft.chain(&beyond, &lines);
    }
    if !limit.per_source {
        return vec![format!("{over} {go}")];
    }
    // A source that is heard again after this time has its whole burst again anyway.
    let seconds = (limit.per.as_secs_f64() * f64::from(limit.burst.max(1)) / f64::from(limit.count.max(1)))
        .ceil()
        .max(1.0) as u64;
    let mut lines = Vec::new();
    for (ip, kind) in [("ip", "ipv4_addr"), ("ip6", "ipv6_addr")] {
        let set = format!("r{index}_{ip}{}", if hook == Hook::Postrouting { "_sent" } else { "" });
        let _ = writeln!(
            draft.sets,
            "  set {set} {{\n    type {kind}\n    size {SOURCES_MAX}\n    flags dynamic, timeout\n    timeout {seconds}s\n  }}"
        );
        lines.push(format!("update @{set} {{ {ip} saddr {over} }} {go}"));
    }
    lines
}

/// A rate as nft writes it.
struct Rate {
    count: u64,
    unit: &'static str,
    exact: bool,
}

impl Rate {
    fn of(count: u32, per: std::time::Duration) -> Self {
        let per = per.as_nanos().max(1);
        for (unit, seconds) in [("second", 1_u128), ("minute", 60), ("hour", 3600), ("day", 86_400)] {
            let total = u128::from(count) * seconds * 1_000_000_000;
            if total.is_multiple_of(per) && total >= per {
                return Self { count: (total / per) as u64, unit, exact: true };
            }
        }
        let per_day = u128::from(count) * 86_400_000_000_000 / per;
        Self { count: (per_day as u64).max(1), unit: "day", exact: false }
    }
}

/// The rule as rules of nft.
pub(super) fn lines(draft: &mut Draft, rule: &Rule, index: usize, view: View) -> Vec<String> {
    let Some(conditions) = conditions(draft, rule, view) else { return Vec::new() };
    let passes_on = rule.action == Action::Accept && rule.limit.is_some_and(|limit| limit.over == Action::Pass);
    let verb = if passes_on { "jump" } else { "goto" };
    let end = format!("{verb} {}", target(draft, rule, index, view.hook()));
    let mut out = Vec::new();
    for alternative in conditions {
        for flags in flag_alternatives(rule.flags, view.way) {
            let words = [alternative.as_str(), flags.as_str(), end.as_str()];
            out.push(words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "));
        }
    }
    out
}

/// Conditions on flags: any of these.
fn flag_alternatives(flags: Option<FlagsMatch>, way: Way) -> Vec<String> {
    let Some(FlagsMatch { mask, value }) = flags else { return vec![String::new()] };
    let opened = SYN & mask == value;
    let asked = format!("tcp flags & {mask:#x} == {value:#x}");
    let mut out = Vec::new();
    if opened {
        out.push(if way == Way::Forth { "ct status confirmed".to_owned() } else { String::new() });
    }
    if way == Way::Forth {
        out.push(format!("{asked} ct status & confirmed == 0"));
        out.push(format!("{asked} ct state {{ invalid, untracked }}"));
    }
    out
}

/// All conditions but flags: any of these; none when nothing of this family can match.
fn conditions(draft: &mut Draft, rule: &Rule, view: View) -> Option<Vec<String>> {
    let axes = Axes::of(rule, view.family);
    let mut words = Vec::new();
    if let Some(names) = text::names(&rule.interfaces).filter(|_| !rule.interfaces.is_empty()) {
        let side = if view.hook() == Hook::Prerouting { "iifname" } else { "oifname" };
        words.push(format!("{side} {names}"));
    }
    let ip = if view.family == Family::V4 { "ip" } else { "ip6" };
    let exchange = view.way == Way::Back;
    for (spans, field) in [(&axes.sources, ["saddr", "daddr"]), (&axes.destinations, ["daddr", "saddr"])] {
        if spans.is_empty() {
            return None;
        }
        if *spans != [view.family.whole()] {
            let [forth, back] = field;
            let set = address_set(draft, spans, view.family);
            words.push(format!("{ip} {} {set}", if exchange { back } else { forth }));
        }
    }
    let protocols = judge::protocols(rule);
    if protocols.as_ref().is_some_and(Vec::is_empty) {
        return None;
    }
    if !rule.icmp.is_empty() {
        return Some(icmp_conditions(&axes, &protocols.unwrap_or_default(), view, &words));
    }
    if let Some(numbers) = protocols {
        let numbers: Vec<String> = numbers.iter().map(u8::to_string).collect();
        words.insert(0, format!("meta l4proto {}", text::any_of(&numbers)));
    }
    for (spans, field) in [(&axes.source_ports, ["sport", "dport"]), (&axes.destination_ports, ["dport", "sport"])] {
        if *spans != [blocks::whole(16)] {
            let [forth, back] = field;
            words.push(format!("th {} {}", if exchange { back } else { forth }, numbers(spans)));
        }
    }
    Some(vec![words.join(" ")])
}

/// ICMP types and codes are the first two bytes of the header, which nft reads as a source port.
fn icmp_conditions(axes: &Axes, protocols: &[u8], view: View, words: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    for protocol in protocols.iter().filter(|number| matches!(**number, proto::ICMP | proto::ICMPV6)) {
        let kinds: Vec<Span> = match view.way {
            Way::Forth => axes.source_ports.clone(),
            Way::Back => axes.source_ports.iter().flat_map(|kinds| judge::answers(*protocol, *kinds)).collect(),
        };
        if !kinds.is_empty() {
            let mut all = vec![format!("meta l4proto {protocol}")];
            all.extend(words.iter().cloned());
            all.push(format!("th sport {}", numbers(&kinds)));
            out.push(all.join(" "));
        }
    }
    out
}

fn numbers(spans: &[Span]) -> String {
    text::any_of(&spans.iter().map(|span| text::numbers(*span)).collect::<Vec<_>>())
}

/// A few addresses as they are, many as a set that other rules share.
fn address_set(draft: &mut Draft, spans: &[Span], family: Family) -> String {
    let items: Vec<String> = spans.iter().map(|span| text::addresses(*span, family)).collect();
    if items.len() <= INLINE_MAX {
        return text::any_of(&items);
    }
    let elements = items.join(", ");
    if let Some((name, _)) = draft.named.iter().find(|(_, known)| *known == elements) {
        return format!("@{name}");
    }
    let (version, kind) = if family == Family::V4 { (4, "ipv4_addr") } else { (6, "ipv6_addr") };
    let name = format!("s{}_{version}", draft.named.len());
    let _ = writeln!(
        draft.sets,
        "  set {name} {{\n    type {kind}\n    flags interval\n    elements = {{ {elements} }}\n  }}"
    );
    draft.named.push((name.clone(), elements));
    format!("@{name}")
}
