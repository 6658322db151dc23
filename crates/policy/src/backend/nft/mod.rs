//! A policy as one transaction for `nft -f -`: the table `inet hivewall`, made anew.
//!
//! Runs of rules become verdict maps over protocol, addresses and ports, so that a packet pays a few look-ups however many
//! rules there are; rules whose conditions have no place in a map (flags, interfaces, very large sets, limits that pass on)
//! stand between the maps as rules of their own. [`Size`] tells how many of each. Every rule has one counter object,
//! named `rN` with the rule's id as its comment. What it does not do: run anything, read anything back. Invariant: chains and maps
//! of this table refer to nothing outside of it, and the text replaces all of it or nothing.

mod bans;
mod judge;
mod rule;
mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hivewall_datapath::policy::VerdictCause;
use hivewall_model::Direction;

use super::blocks::Family;
use super::{Ban, Count, Options, Shortfall};
use crate::{Mode, Rule, Ruleset};

pub use bans::{ban_host, replace_bans};
pub(super) use judge::{answers, protocols};
pub(super) use text::clean;

/// The family and name of the table.
pub const TABLE: &str = "inet hivewall";
/// After conntrack (-200), before destinations are translated (-100).
pub const PREROUTING_PRIORITY: i32 = -155;
/// After sources were translated (100), before conntrack keeps the flow.
pub const POSTROUTING_PRIORITY: i32 = 150;
/// Packets of the kinds every host needs that are accepted in a second.
pub const ESSENTIAL_PER_SECOND: u32 = 10_000;

/// A policy for nft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// What `nft -f -` reads.
    pub text: String,
    /// Counter objects of the table, and the rules (or causes) that they count.
    pub counters: Vec<Counter>,
    /// What is not as the document says.
    pub shortfalls: Vec<Shortfall>,
    /// How large it became.
    pub size: Size,
}

/// A counter object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its name in the table.
    pub name: String,
    /// The rule's id, or the label of a cause.
    pub id: String,
}

/// What a policy became.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Size {
    /// Verdict maps.
    pub maps: usize,
    /// Elements of all maps.
    pub elements: usize,
    /// Rules that are asked one after another.
    pub sequential: usize,
    /// The most look-ups and sequential rules that one packet may pay for.
    pub deepest: usize,
}

/// Which way a packet goes in its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Way {
    /// As the flow's first packet.
    Forth,
    /// A reply: judged as the flow's first packet was, at the other hook.
    Back,
}

/// Where nftables asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Hook {
    Prerouting,
    Postrouting,
}

/// Whose rules are asked about what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct View {
    direction: Direction,
    family: Family,
    way: Way,
}

impl View {
    /// Replies come in where what they answer went out.
    fn hook(self) -> Hook {
        match (self.direction, self.way) {
            (Direction::Ingress, Way::Forth) | (Direction::Egress, Way::Back) => Hook::Prerouting,
            _ => Hook::Postrouting,
        }
    }

    fn chain(self) -> String {
        let direction = if self.direction == Direction::Ingress { "in" } else { "out" };
        let back = if self.way == Way::Back { "_back" } else { "" };
        format!("{direction}{}{back}", if self.family == Family::V4 { 4 } else { 6 })
    }
}

/// The table as it grows.
#[derive(Debug, Default)]
struct Draft {
    sets: String,
    chains: String,
    /// Rules that something goes to, and from which hook.
    targets: BTreeSet<(usize, Hook)>,
    /// Named sets there are, by their elements.
    named: Vec<(String, String)>,
    shortfalls: Vec<Shortfall>,
    size: Size,
}

impl Draft {
    fn chain(&mut self, name: &str, lines: &[String]) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.chains, "  chain {name} {{");
        for line in lines {
            let _ = writeln!(self.chains, "    {line}");
        }
        let _ = writeln!(self.chains, "  }}");
    }

    fn lack(&mut self, shortfall: Shortfall) {
        if !self.shortfalls.contains(&shortfall) {
            self.shortfalls.push(shortfall);
        }
    }
}

/// The policy as one transaction.
pub fn compile(ruleset: &Ruleset, bans: &[Ban], options: &Options) -> Program {
    let mut draft = Draft::default();
    for rule in &ruleset.rules {
        rule::note_shortfalls(&mut draft, rule);
    }
    bans::write_sets(&mut draft.sets, bans);
    base_chains(&mut draft, options);
    for direction in [Direction::Ingress, Direction::Egress] {
        for family in Family::BOTH {
            for way in [Way::Forth, Way::Back] {
                judge::write(&mut draft, ruleset, View { direction, family, way });
            }
        }
    }
    shared_chains(&mut draft, ruleset.mode);
    for (index, hook) in draft.targets.clone() {
        if let Some(rule) = ruleset.rules.get(index) {
            rule::write_chain(&mut draft, rule, index, hook, ruleset.mode);
        }
    }
    let counters = counters(ruleset, &draft);
    let mut text = format!("add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n");
    let _ =
        writeln!(text, "  comment \"{}\"", clean(&format!("policy {} version {}", ruleset.name, ruleset.version), 120));
    for counter in &counters {
        let carried =
            options.carried.iter().find(|(id, _)| *id == counter.id).map_or(Count::default(), |(_, count)| *count);
        let Count { packets, bytes } = carried;
        let _ = writeln!(text, "  counter {} {{\n    comment \"{}\"", counter.name, clean(&counter.id, 120));
        let _ = writeln!(text, "    packets {packets} bytes {bytes}\n  }}");
    }
    text.push_str(&draft.sets);
    text.push_str(&draft.chains);
    text.push_str("}\n");
    Program { text, counters, shortfalls: draft.shortfalls, size: draft.size }
}

/// Takes the table away, whether it is there or not.
pub fn removal() -> String {
    format!("add table {TABLE}\ndelete table {TABLE}\n")
}

/// Name of the counter of a cause.
fn cause_counter(cause: VerdictCause) -> &'static str {
    match cause {
        VerdictCause::Ban => "ban",
        VerdictCause::Essential => "essential",
        VerdictCause::EssentialOver => "essential_over",
        VerdictCause::OverLimit => "over_limit",
        VerdictCause::Related => "related",
        _ => "no_policy",
    }
}

fn counters(ruleset: &Ruleset, draft: &Draft) -> Vec<Counter> {
    let causes = [
        VerdictCause::NoPolicy,
        VerdictCause::Ban,
        VerdictCause::Essential,
        VerdictCause::EssentialOver,
        VerdictCause::OverLimit,
        VerdictCause::Related,
    ];
    let causes = causes.map(|cause| Counter { name: cause_counter(cause).to_owned(), id: cause.label().to_owned() });
    let is_used =
        |index: usize| [Hook::Prerouting, Hook::Postrouting].iter().any(|hook| draft.targets.contains(&(index, *hook)));
    let rules = ruleset.rules.iter().enumerate().filter(|(index, _)| is_used(*index));
    let rules = rules.map(|(index, rule)| Counter { name: format!("r{index}"), id: rule.id.clone() });
    causes.into_iter().chain(rules).collect()
}

/// What comes first for every packet, at both hooks.
fn base_chains(draft: &mut Draft, options: &Options) {
    for (name, priority, interface, loopback, direction) in [
        ("prerouting", PREROUTING_PRIORITY, "iifname", "iiftype", Direction::Ingress),
        ("postrouting", POSTROUTING_PRIORITY, "oifname", "oiftype", Direction::Egress),
    ] {
        let go = |direction, way| {
            let [v4, v6] = Family::BOTH.map(|family| View { direction, family, way }.chain());
            format!("meta nfproto vmap {{ ipv4 : goto {v4}, ipv6 : goto {v6} }}")
        };
        let other = if direction == Direction::Ingress { Direction::Egress } else { Direction::Ingress };
        let mut lines = vec![
            format!("type filter hook {name} priority {priority}; policy accept;"),
            format!("meta {loopback} loopback accept"),
        ];
        if let Some(names) = text::names(&options.interfaces).filter(|_| !options.interfaces.is_empty()) {
            lines.push(format!("{interface} != {names} accept"));
        }
        // A connection that is asked for is a new one, whatever conntrack still remembers of its addresses and ports.
        lines.push(format!("tcp flags & (syn|ack) == syn {}", go(direction, Way::Forth)));
        lines.push(format!("ct direction reply {}", go(other, Way::Back)));
        lines.push(go(direction, Way::Forth));
        draft.chain(name, &lines);
    }
}

/// What every host needs to be one, as far as a hook can see it.
fn essentials(hook: Hook) -> Vec<String> {
    let (v4, v6) = match hook {
        Hook::Prerouting => ("udp sport 67 udp dport 68", "udp sport 547 udp dport 546"),
        Hook::Postrouting => ("udp sport 68 udp dport 67", "udp sport 546 udp dport 547"),
    };
    // Type and code as one number: what nft reads as a source port.
    let kinds = [
        "meta l4proto 1 th sport { 772, 2816-3071 }",
        "meta l4proto 58 th sport { 256-1279, 33280-34047, 36608-36863 }",
        "meta l4proto 58 th sport 34048-35071 ip6 hoplimit 255",
        &format!("meta nfproto ipv4 {v4}"),
        &format!("meta nfproto ipv6 {v6}"),
    ];
    let mut lines: Vec<String> = kinds.iter().map(|kind| format!("{kind} goto essential_rate")).collect();
    lines.push("meta l4proto 1 icmp type { 3, 4, 12 } ct state related counter name related accept".to_owned());
    lines
}

/// Name of the chain of what every host needs.
fn essential_chain(hook: Hook) -> &'static str {
    if hook == Hook::Prerouting { "essential_received" } else { "essential_sent" }
}

fn shared_chains(draft: &mut Draft, mode: Mode) {
    let refusal = if mode == Mode::Enforce { "drop" } else { "accept" };
    let rate = ESSENTIAL_PER_SECOND;
    let essential = [
        format!("limit rate over {rate}/second burst {rate} packets counter name essential_over {refusal}"),
        "counter name essential accept".to_owned(),
    ];
    draft.chain("essential_rate", &essential);
    for hook in [Hook::Prerouting, Hook::Postrouting] {
        draft.chain(essential_chain(hook), &essentials(hook));
    }
    // Bans hold whatever the mode of the policy is, as they do in the datapath.
    draft.chain("banned", &["counter name ban drop".to_owned()]);
}

/// Rules of one stage in one direction.
fn rules_of(ruleset: &Ruleset, direction: Direction) -> impl Iterator<Item = (usize, &Rule)> {
    let holds = move |rule: &Rule| rule.direction.is_none_or(|wanted| wanted == direction);
    ruleset.rules.iter().enumerate().filter(move |(_, rule)| holds(rule))
}
