//! The chains in which rules are asked: one for each direction, family and way of a packet, and in it one for each stage.
//!
//! A verdict map's element goes to the chain of its rule. What passes to the next tier returns from the stage's chain.
//! Invariant: whatever a chain asks is in document order, and what is in one map is there with overlaps cut away.

use std::fmt::Write as _;

use hivewall_datapath::policy::Action;
use hivewall_datapath::proto;

use super::{Draft, Hook, View, Way, bans, essential_chain, rule, rules_of, text};
use crate::backend::blocks::{self, Block, Family, Span};
use crate::{Rule, Ruleset, Stage};

/// Blocks a rule may have in a map; one with more is asked by itself, with its addresses as sets.
const BLOCKS_PER_RULE_MAX: usize = 256;
/// Blocks of a run of rules.
const BLOCKS_PER_RUN_MAX: usize = 16_384;

/// Protocols whose header begins with ports, or with type and code.
pub(super) const WITH_TRANSPORT: [u8; 7] =
    [proto::ICMP, proto::TCP, proto::UDP, proto::DCCP, proto::ICMPV6, proto::SCTP, proto::UDPLITE];
/// The same as nft has it.
const WITH_TRANSPORT_SET: &str = "{ 1, 6, 17, 33, 58, 132, 136 }";
/// Those of them that have ports.
pub(super) const WITH_PORTS: [u8; 5] = [proto::TCP, proto::UDP, proto::DCCP, proto::SCTP, proto::UDPLITE];

/// A request's type and its answer's, which conntrack takes for one flow (`nf_conntrack_proto_icmp{,v6}.c`).
const ANSWERS: &[(u8, u128, u128)] =
    &[(1, 8, 0), (1, 13, 14), (1, 15, 16), (1, 17, 18), (58, 128, 129), (58, 139, 140)];

/// Which packets a map is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    /// Of [`WITH_TRANSPORT`].
    Transport,
    /// Of the others.
    Plain,
}

/// A part of a stage.
enum Step {
    /// Rules of one or more maps.
    Run(Vec<usize>),
    /// One rule by itself.
    Alone(usize),
}

/// Writes the chains of a view: guard and exemptions, bans, what every host needs, tiers.
pub(super) fn write(draft: &mut Draft, ruleset: &Ruleset, view: View) {
    let rules: Vec<(usize, &Rule)> = rules_of(ruleset, view.direction).collect();
    let mut stages: Vec<Stage> = rules.iter().map(|(_, rule)| rule.stage).collect();
    stages.dedup();
    let (mut lines, mut deepest) = (Vec::new(), 0);
    let mut banned = false;
    for stage in stages {
        if matches!(stage, Stage::Tier(_)) && !std::mem::replace(&mut banned, true) {
            lines.extend(ban_lines(view));
        }
        let of_stage: Vec<(usize, &Rule)> = rules.iter().filter(|(_, rule)| rule.stage == stage).copied().collect();
        let name = format!("{}_{}", view.chain(), stage_name(stage));
        let asked = write_stage(draft, ruleset, view, &name, &of_stage);
        if asked > 0 {
            lines.push(format!("jump {name}"));
            deepest += asked;
        }
    }
    if !banned {
        lines.extend(ban_lines(view));
    }
    lines.push("counter name no_policy".to_owned());
    draft.size.deepest = draft.size.deepest.max(deepest);
    draft.chain(&view.chain(), &lines);
}

fn stage_name(stage: Stage) -> String {
    match stage {
        Stage::Guard => "guard".to_owned(),
        Stage::Exempt => "exempt".to_owned(),
        Stage::Tier(number) => format!("t{number}"),
    }
}

/// Bans, and what every host needs. The other end of a flow is where a received packet comes from and a sent one goes to, whichever way it goes in its
/// flow.
fn ban_lines(view: View) -> Vec<String> {
    let field = match (view.family, view.hook()) {
        (Family::V4, Hook::Prerouting) => "ip saddr",
        (Family::V4, Hook::Postrouting) => "ip daddr",
        (Family::V6, Hook::Prerouting) => "ip6 saddr",
        (Family::V6, Hook::Postrouting) => "ip6 daddr",
    };
    let mut lines: Vec<String> = bans::set_names(view.family).map(|name| format!("{field} @{name} goto banned")).into();
    lines.push(format!("meta l4proto {{ 1, 17, 58 }} jump {}", essential_chain(view.hook())));
    lines
}

/// The chain of a stage; how many things it may ask of one packet.
fn write_stage(draft: &mut Draft, ruleset: &Ruleset, view: View, name: &str, rules: &[(usize, &Rule)]) -> usize {
    let mut lines = Vec::new();
    for (number, step) in steps(rules, view.family).into_iter().enumerate() {
        let index = match &step {
            // A map for one rule would ask as much and tell less.
            Step::Run(run) => match run.as_slice() {
                [index] => *index,
                run => {
                    lines.extend(write_run(draft, ruleset, view, &format!("{name}_{number}"), run));
                    continue;
                }
            },
            Step::Alone(index) => *index,
        };
        if let Some(rule) = ruleset.rules.get(index) {
            let own = rule::lines(draft, rule, index, view);
            draft.size.sequential += own.len();
            lines.extend(own);
        }
    }
    if !lines.is_empty() {
        draft.chain(name, &lines);
    }
    lines.len()
}

fn steps(rules: &[(usize, &Rule)], family: Family) -> Vec<Step> {
    let (mut steps, mut run, mut held) = (Vec::new(), Vec::new(), 0);
    for (index, rule) in rules {
        let count = blocks_of(rule, family);
        if count == Some(0) {
            continue;
        }
        if let Some(count) = count.filter(|count| held + count <= BLOCKS_PER_RUN_MAX && !is_for_all(rule)) {
            run.push(*index);
            held += count;
            continue;
        }
        if !run.is_empty() {
            steps.push(Step::Run(std::mem::take(&mut run)));
        }
        held = 0;
        match count.filter(|_| !is_for_all(rule)) {
            Some(count) => {
                run.push(*index);
                held = count;
            }
            None => steps.push(Step::Alone(*index)),
        }
        if is_for_all(rule) {
            // Nothing behind it is ever asked.
            return steps;
        }
    }
    if !run.is_empty() {
        steps.push(Step::Run(run));
    }
    steps
}

fn has_place_in_a_map(rule: &Rule) -> bool {
    let passes_on = rule.limit.is_some_and(|limit| limit.over == Action::Pass) && rule.action == Action::Accept;
    let everywhere = rule.interfaces.is_empty() || rule.interfaces.iter().any(|pattern| pattern == "*");
    rule.flags.is_none() && everywhere && !passes_on
}

/// A rule that decides about whatever comes to it.
fn is_for_all(rule: &Rule) -> bool {
    let any = |addresses: &crate::Addresses| *addresses == crate::Addresses::Any;
    has_place_in_a_map(rule)
        && rule.protocols.is_empty()
        && any(&rule.from)
        && any(&rule.to)
        && !looks_at_transport(rule)
}

fn looks_at_transport(rule: &Rule) -> bool {
    !rule.source_ports.is_empty() || !rule.destination_ports.is_empty() || !rule.icmp.is_empty() || rule.flags.is_some()
}

/// How many blocks a rule has; none when it has no place in a map. 0: it matches nothing of this family.
fn blocks_of(rule: &Rule, family: Family) -> Option<usize> {
    let axes = Axes::of(rule, family);
    let addresses = axes.sources.len().saturating_mul(axes.destinations.len());
    let per_protocol = addresses.saturating_mul(axes.source_ports.len()).saturating_mul(axes.destination_ports.len());
    let transport = Axes::protocols(rule, Space::Transport).len().saturating_mul(per_protocol);
    let plain = Axes::protocols(rule, Space::Plain).len().saturating_mul(addresses);
    let count = transport.saturating_add(plain);
    if count == 0 {
        return Some(0);
    }
    (has_place_in_a_map(rule) && count <= BLOCKS_PER_RULE_MAX).then_some(count)
}

/// What a rule matches, axis by axis.
pub(super) struct Axes {
    pub(super) sources: Vec<Span>,
    pub(super) destinations: Vec<Span>,
    /// Ports, or types with codes.
    pub(super) source_ports: Vec<Span>,
    pub(super) destination_ports: Vec<Span>,
}

impl Axes {
    pub(super) fn of(rule: &Rule, family: Family) -> Self {
        let ports = |ranges: &[crate::PortRange]| match ranges {
            [] => vec![blocks::whole(16)],
            _ => blocks::merged(
                ranges.iter().map(|range| (u128::from(*range.start()), u128::from(*range.end()))).collect(),
            ),
        };
        let kinds = rule.icmp.iter().map(|icmp| {
            let kind = u128::from(icmp.kind) << 8;
            icmp.code.map_or((kind, kind | 255), |code| (kind | u128::from(code), kind | u128::from(code)))
        });
        Self {
            sources: blocks::addresses(&rule.from, family),
            destinations: blocks::addresses(&rule.to, family),
            source_ports: if rule.icmp.is_empty() {
                ports(&rule.source_ports)
            } else {
                blocks::merged(kinds.collect())
            },
            destination_ports: ports(&rule.destination_ports),
        }
    }

    /// The protocols of one space that the rule matches.
    fn protocols(rule: &Rule, space: Space) -> Vec<Span> {
        let listed = protocols(rule);
        match (listed, space) {
            (None, _) => vec![blocks::whole(8)],
            (Some(listed), Space::Transport) => one_by_one(listed, |number| WITH_TRANSPORT.contains(&number)),
            (Some(_), Space::Plain) if looks_at_transport(rule) => Vec::new(),
            (Some(listed), Space::Plain) => one_by_one(listed, |number| !WITH_TRANSPORT.contains(&number)),
        }
    }
}

fn one_by_one(listed: Vec<u8>, holds: impl Fn(u8) -> bool) -> Vec<Span> {
    listed.into_iter().filter(|number| holds(*number)).map(|number| (u128::from(number), u128::from(number))).collect()
}

/// The protocols a rule can match; none for all of them. A condition on ports, types or flags narrows them.
pub(in crate::backend) fn protocols(rule: &Rule) -> Option<Vec<u8>> {
    let mut narrowed: Option<Vec<u8>> = (!rule.protocols.is_empty()).then(|| rule.protocols.clone());
    let mut narrow = |to: &[u8]| {
        let kept = match narrowed.take() {
            None => to.to_vec(),
            Some(now) => now.into_iter().filter(|number| to.contains(number)).collect(),
        };
        narrowed = Some(kept);
    };
    if !rule.icmp.is_empty() {
        narrow(&[proto::ICMP, proto::ICMPV6]);
    }
    if !rule.source_ports.is_empty() || !rule.destination_ports.is_empty() {
        narrow(&WITH_PORTS);
    }
    if rule.flags.is_some() {
        narrow(&[proto::TCP]);
    }
    if let Some(list) = &mut narrowed {
        list.sort_unstable();
        list.dedup();
    }
    narrowed
}

fn blocks_in(rule: &Rule, index: usize, family: Family, space: Space) -> Vec<Block> {
    let axes = Axes::of(rule, family);
    let (mut out, ports) = (Vec::new(), [blocks::whole(16)]);
    let [source_ports, destination_ports]: [&[Span]; 2] = match space {
        Space::Transport => [&axes.source_ports, &axes.destination_ports],
        Space::Plain => [&ports, &ports],
    };
    for protocol in Axes::protocols(rule, space) {
        for source in &axes.sources {
            for destination in &axes.destinations {
                for source_port in source_ports {
                    for port in destination_ports {
                        out.push(Block { spans: [protocol, *source, *destination, *source_port, *port], rule: index });
                    }
                }
            }
        }
    }
    out
}

/// The maps of a run and the look-ups in them.
fn write_run(draft: &mut Draft, ruleset: &Ruleset, view: View, name: &str, run: &[usize]) -> Vec<String> {
    let mut lines = Vec::new();
    for space in [Space::Transport, Space::Plain] {
        let rules = run.iter().filter_map(|index| ruleset.rules.get(*index).map(|rule| (*index, rule)));
        let blocks = rules.flat_map(|(index, rule)| blocks_in(rule, index, view.family, space));
        for (number, layer) in blocks::layers(blocks).into_iter().enumerate() {
            let letter = if space == Space::Transport { 'p' } else { 'n' };
            let map = format!("{name}{letter}{number}");
            let elements: Vec<String> =
                layer.iter().flat_map(|block| elements(draft, ruleset, view, space, block)).collect();
            if elements.is_empty() {
                continue;
            }
            draft.size.maps += 1;
            draft.size.elements += elements.len();
            let (key, condition) = (key(view, space), if space == Space::Transport { "" } else { "!= " });
            // Writing to a string cannot fail.
            let _ = writeln!(draft.sets, "  map {map} {{\n    typeof {key} : verdict\n    flags interval");
            let _ = writeln!(draft.sets, "    elements = {{ {} }}\n  }}", elements.join(",\n      "));
            lines.push(format!("meta l4proto {condition}{WITH_TRANSPORT_SET} {key} vmap @{map}"));
        }
    }
    lines
}

/// What is looked up: always in the order of the flow's first packet.
fn key(view: View, space: Space) -> String {
    let ip = if view.family == Family::V4 { "ip" } else { "ip6" };
    let (from, to, from_port, to_port) = match view.way {
        Way::Forth => ("saddr", "daddr", "sport", "dport"),
        Way::Back => ("daddr", "saddr", "dport", "sport"),
    };
    match space {
        Space::Transport => format!("meta l4proto . {ip} {from} . {ip} {to} . th {from_port} . th {to_port}"),
        Space::Plain => format!("meta l4proto . {ip} {from} . {ip} {to}"),
    }
}

fn elements(draft: &mut Draft, ruleset: &Ruleset, view: View, space: Space, block: &Block) -> Vec<String> {
    let [protocol, source, destination, source_port, port] = block.spans;
    let Some(rule) = ruleset.rules.get(block.rule) else { return Vec::new() };
    let addresses = [source, destination].map(|span| text::addresses(span, view.family)).join(" . ");
    let protocol_text = text::numbers(protocol);
    let ports = match (space, view.way) {
        (Space::Plain, _) => Vec::new(),
        (Space::Transport, Way::Back) => replied(protocol, source_port, port),
        (Space::Transport, Way::Forth) => vec![(source_port, port)],
    };
    let target = |draft: &mut Draft| rule::target(draft, rule, block.rule, view.hook());
    if space == Space::Plain {
        return vec![format!("{protocol_text} . {addresses} : goto {}", target(draft))];
    }
    let mut out = Vec::new();
    for (source_port, port) in ports {
        let ports = [source_port, port].map(text::numbers).join(" . ");
        out.push(format!("{protocol_text} . {addresses} . {ports} : goto {}", target(draft)));
    }
    out
}

/// What stands in the ports of a reply, seen from the flow's first packet. An ICMP reply has its own type where the first
/// packet has its type, not where that has its code.
fn replied(protocol: Span, source_port: Span, port: Span) -> Vec<(Span, Span)> {
    let any = blocks::whole(16);
    if protocol.0 != protocol.1 || source_port == any && port == any || !matches!(protocol.0, 1 | 58) {
        return vec![(source_port, port)];
    }
    answers(protocol.0 as u8, source_port).into_iter().map(|kind| (any, kind)).collect()
}

/// Types and codes of the answers to requests of these.
pub(in crate::backend) fn answers(protocol: u8, kinds: Span) -> Vec<Span> {
    let of_protocol = ANSWERS.iter().filter(|(number, ..)| *number == protocol);
    let answer = |(_, request, answer): &(u8, u128, u128)| {
        let (from, to) = (kinds.0.max(request << 8), kinds.1.min(request << 8 | 255));
        (from <= to).then(|| (answer << 8 | from & 255, answer << 8 | to & 255))
    };
    of_protocol.filter_map(answer).collect()
}
