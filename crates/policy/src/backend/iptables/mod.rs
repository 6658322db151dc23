//! A policy for `iptables-restore` and `ip6tables-restore`: chains of ours in the table `mangle`, entered before routing
//! and after it.
//!
//! It is a plain list of rules, asked one after another: iptables has nothing else, and sets would need ipset, which is
//! not asked for. Hosts with more than a few hundred rules are better off with nftables. What a chain accepts it returns
//! from, so that other rules of the table still see the packet; `mangle` cannot reject, so that what is rejected is
//! dropped. Invariant: chains are left by `-g` and entered once by `-j`, so that RETURN always leads out of ours.

mod rule;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use hivewall_datapath::policy::Action;
use hivewall_model::Direction;

use super::blocks::Family;
use super::{Ban, Options, Shortfall};
use crate::{Mode, Ruleset, Stage};
use rule::Writing;

/// All chains begin so.
pub const PREFIX: &str = "HIVEWALL-";
/// Chains that a packet may go through one after another, the kernel's own included, jumps and gotos alike: iptables in
/// nftables refuses more (`NFT_JUMP_STACK_SIZE`).
pub(super) const DEPTH_MAX: usize = 16;
/// The kernel's chains that lead into ours, and the ends of the names of those that they lead to.
const ENTRIES: [(&str, &str); 2] = [("PREROUTING", "IN"), ("POSTROUTING", "OUT")];
/// Packets of the kinds every host needs that are accepted in a second; also the most that iptables can count.
const ESSENTIAL_PER_SECOND: u32 = 10_000;

/// A policy for iptables: what goes into the table `mangle`, without the line of the table and without COMMIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// For IPv4.
    pub v4: String,
    /// For IPv6.
    pub v6: String,
    /// What is not as the document says.
    pub shortfalls: Vec<Shortfall>,
    /// Rules, both versions together.
    pub rules: usize,
}

/// Where a packet is asked about: whose rules, which way it goes in its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct View {
    direction: Direction,
    back: bool,
}

impl View {
    const ALL: [Self; 4] = [
        Self { direction: Direction::Ingress, back: false },
        Self { direction: Direction::Egress, back: false },
        Self { direction: Direction::Ingress, back: true },
        Self { direction: Direction::Egress, back: true },
    ];

    /// Replies come in where what they answer went out.
    fn is_received(self) -> bool {
        (self.direction == Direction::Ingress) != self.back
    }

    /// A chain of this view.
    fn chain(self, part: &str) -> String {
        let direction = if self.direction == Direction::Ingress { "in" } else { "out" };
        format!("{PREFIX}{direction}{}-{part}", if self.back { "b" } else { "" })
    }
}

/// The chains as they grow.
#[derive(Debug)]
struct Draft {
    writing: Writing,
    chains: Vec<String>,
    rules: Vec<String>,
    /// Rules whose chain is gone to.
    targets: BTreeSet<usize>,
    shortfalls: Vec<Shortfall>,
}

impl Draft {
    fn new(writing: Writing) -> Self {
        Self { writing, chains: Vec::new(), rules: Vec::new(), targets: BTreeSet::new(), shortfalls: Vec::new() }
    }

    fn chain(&mut self, name: &str) {
        self.chains.push(name.to_owned());
    }

    fn rule(&mut self, chain: &str, text: &str) {
        self.rules.push(format!("-A {chain} {text}"));
    }

    /// Chains on the longest way through, with the kernel's own.
    fn depth(&self) -> usize {
        let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for rule in &self.rules {
            let words: Vec<&str> = rule.split(' ').collect();
            if let [_, chain, .., _, to] = words[..]
                && to.starts_with(PREFIX)
            {
                next.entry(chain).or_default().insert(to);
            }
        }
        let entries = ENTRIES.map(|(_, end)| format!("{PREFIX}{end}"));
        // A way never comes back to a chain, so that levels end.
        let mut level: BTreeSet<&str> = entries.iter().map(String::as_str).collect();
        let mut depth = 1;
        while !level.is_empty() && depth <= self.chains.len() {
            level = level.iter().filter_map(|chain| next.get(chain)).flatten().copied().collect();
            depth += 1;
        }
        depth
    }

    /// What `iptables-restore` reads.
    fn text(&self) -> String {
        let mut text = String::new();
        for chain in &self.chains {
            // Writing to a string cannot fail.
            let _ = writeln!(text, ":{chain} - [0:0]");
        }
        for rule in &self.rules {
            let _ = writeln!(text, "{rule}");
        }
        for (hook, end) in ENTRIES {
            let _ = writeln!(text, "-I {hook} 1 -j {PREFIX}{end}");
        }
        text
    }

    fn lack(&mut self, shortfall: Shortfall) {
        if !self.shortfalls.contains(&shortfall) {
            self.shortfalls.push(shortfall);
        }
    }
}

/// The policy as rules of iptables. One with a shortfall that [`Shortfall::is_fatal`] must not be used.
pub fn compile(ruleset: &Ruleset, bans: &[Ban], options: &Options) -> Program {
    let [(v4, a), (v6, b)] = Family::BOTH.map(|family| {
        let short = draft(ruleset, bans, options, family, Writing::Short);
        if short.depth() <= DEPTH_MAX {
            return (short.text(), short);
        }
        let mut shallow = draft(ruleset, bans, options, family, Writing::Shallow);
        let chains = shallow.depth();
        if chains > DEPTH_MAX {
            shallow.lack(Shortfall::Depth { chains, most: DEPTH_MAX });
        }
        (shallow.text(), shallow)
    });
    let rules = a.rules.len() + b.rules.len();
    let mut shortfalls = a.shortfalls;
    shortfalls.extend(b.shortfalls);
    let mut seen = BTreeSet::new();
    shortfalls.retain(|shortfall| seen.insert(shortfall.to_string()));
    Program { v4, v6, shortfalls, rules }
}

fn draft(ruleset: &Ruleset, bans: &[Ban], options: &Options, family: Family, writing: Writing) -> Draft {
    let mut draft = Draft::new(writing);
    for rule in &ruleset.rules {
        rule::note_shortfalls(&mut draft, rule);
    }
    entries(&mut draft, options);
    for view in View::ALL {
        write_view(&mut draft, ruleset, bans, view, family);
    }
    shared_chains(&mut draft, ruleset.mode);
    for index in draft.targets.clone() {
        if let Some(rule) = ruleset.rules.get(index) {
            rule::write_chain(&mut draft, rule, index, ruleset.mode);
        }
    }
    draft
}

/// What the kernel's chains jump to.
fn entries(draft: &mut Draft, options: &Options) {
    for (direction, side) in [(Direction::Ingress, "-i"), (Direction::Egress, "-o")] {
        let name = format!("{PREFIX}{}", if direction == Direction::Ingress { "IN" } else { "OUT" });
        let judged = format!("{name}-judged");
        draft.chain(&name);
        draft.chain(&judged);
        draft.rule(&name, &format!("{side} lo -j RETURN"));
        let any = options.interfaces.is_empty() || options.interfaces.iter().any(|pattern| pattern == "*");
        for pattern in options.interfaces.iter().filter(|_| !any) {
            draft.rule(&name, &format!("{side} {} -g {judged}", rule::pattern(pattern)));
        }
        if any {
            draft.rule(&name, &format!("-g {judged}"));
        }
        let other = if direction == Direction::Ingress { Direction::Egress } else { Direction::Ingress };
        let (forth, back) =
            (View { direction, back: false }.chain("start"), View { direction: other, back: true }.chain("start"));
        // A connection that is asked for is a new one, whatever conntrack still remembers of its addresses and ports.
        draft.rule(&judged, &format!("-p tcp --tcp-flags SYN,ACK SYN -g {forth}"));
        draft.rule(&judged, &format!("-m conntrack --ctdir REPLY -g {back}"));
        draft.rule(&judged, &format!("-g {forth}"));
    }
}

/// Guard and exemptions, bans, what every host needs, tiers: each goes on to the next.
fn write_view(draft: &mut Draft, ruleset: &Ruleset, bans: &[Ban], view: View, family: Family) {
    let holds = |direction: Option<Direction>| direction.is_none_or(|wanted| wanted == view.direction);
    let of = |keep: &dyn Fn(Stage) -> bool| -> Vec<usize> {
        let rules = ruleset.rules.iter().enumerate();
        rules.filter(|(_, rule)| holds(rule.direction) && keep(rule.stage)).map(|(index, _)| index).collect()
    };
    let tiers = ruleset.rules.iter().filter_map(|rule| match rule.stage {
        Stage::Tier(number) => Some(number),
        _ => None,
    });
    let tiers: BTreeSet<usize> = tiers.collect();
    let names: Vec<String> = tiers.iter().map(|number| view.chain(&format!("t{number}"))).collect();
    let (start, bans_chain, end) = (view.chain("start"), view.chain("bans"), view.chain("end"));
    let early = of(&|stage| !matches!(stage, Stage::Tier(_)));
    rule::write_stage(draft, ruleset, view, family, &start, &early, &bans_chain);
    draft.chain(&bans_chain);
    let side = if view.is_received() { "-s" } else { "-d" };
    for ban in bans.iter().filter(|ban| family.span(&ban.net).is_some()) {
        draft.rule(&bans_chain, &format!("{side} {} -g {PREFIX}banned", ban.net));
    }
    let essential = format!("{PREFIX}essential-{}", if view.is_received() { "in" } else { "out" });
    for kind in essentials(view.is_received(), family) {
        draft.rule(&bans_chain, &format!("{kind} -g {essential}"));
    }
    if family == Family::V4 {
        for kind in [3, 4, 12] {
            draft.rule(&bans_chain, &format!("-p icmp --icmp-type {kind} -m conntrack --ctstate RELATED -j RETURN"));
        }
    }
    draft.rule(&bans_chain, &format!("-g {}", names.first().unwrap_or(&end)));
    for (at, (number, name)) in tiers.iter().zip(&names).enumerate() {
        let rules = of(&|stage| stage == Stage::Tier(*number));
        let next = names.get(at + 1).unwrap_or(&end);
        rule::write_stage(draft, ruleset, view, family, name, &rules, next);
    }
    draft.chain(&end);
    draft.rule(&end, "-m comment --comment \"(no policy)\" -j RETURN");
}

/// What every host needs to be one.
fn essentials(received: bool, family: Family) -> Vec<String> {
    match family {
        Family::V4 => {
            let (server, client) = if received { ("--sport 67", "--dport 68") } else { ("--dport 67", "--sport 68") };
            vec![
                "-p icmp --icmp-type 3/4".to_owned(),
                "-p icmp --icmp-type 11".to_owned(),
                format!("-p udp -m udp {server} {client}"),
            ]
        }
        Family::V6 => {
            let (server, client) =
                if received { ("--sport 547", "--dport 546") } else { ("--dport 547", "--sport 546") };
            let kinds = [1, 2, 3, 4, 130, 131, 132, 143].map(|kind| format!("-p icmpv6 --icmpv6-type {kind}"));
            let near = [133, 134, 135, 136].map(|kind| format!("-p icmpv6 --icmpv6-type {kind} -m hl --hl-eq 255"));
            let mut all: Vec<String> = kinds.into_iter().chain(near).collect();
            all.push(format!("-p udp -m udp {server} {client}"));
            all
        }
    }
}

fn shared_chains(draft: &mut Draft, mode: Mode) {
    let rate = ESSENTIAL_PER_SECOND;
    for direction in ["in", "out"] {
        let name = format!("{PREFIX}essential-{direction}");
        draft.chain(&name);
        draft.rule(
            &name,
            &format!("-m limit --limit {rate}/sec --limit-burst {rate} -m comment --comment \"(essential)\" -j RETURN"),
        );
        draft.rule(
            &name,
            &format!("-m comment --comment \"(essential, over its rate)\" -j {}", target(Action::Drop, mode)),
        );
    }
    let banned = format!("{PREFIX}banned");
    draft.chain(&banned);
    // Bans hold whatever the mode of the policy is, as they do in the datapath.
    draft.rule(&banned, "-m comment --comment \"(ban)\" -j DROP");
}

/// What carries out an action.
fn target(action: Action, mode: Mode) -> &'static str {
    match action {
        Action::Drop | Action::Reject if mode == Mode::Enforce => "DROP",
        _ => "RETURN",
    }
}
