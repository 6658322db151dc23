//! What the packet filters would do to one packet, rule by rule, as far as that can be told.
//!
//! Base chains are asked in the kernel's order: by hook, then priority. What a packet cannot be known to satisfy (marks,
//! limits, extensions) is not guessed: the answer is then [`Stop::CannotTell`] with the rule and the reason, unless the rule
//! would not change the verdict. It looks at what is listed, changes nothing and sends nothing. Invariant: a definite answer was reached
//! through definite conditions only.

mod iptables;
mod nft;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use serde::Serialize;

use super::inventory::{Base, Chain, Inventory, Rule, Source, Table};

/// Jumps the kernel allows (`NFT_JUMP_STACK_SIZE`).
const JUMPS_MAX: usize = 16;
/// The interface that nearly every set of rules has a rule for.
const LOOPBACK: &str = "lo";
/// What cannot be known of a packet whose interface was not given ([`Answer::why`]).
pub const NO_INTERFACE: &str = "an interface, which was not given";

/// A packet to ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source.
    pub from: IpAddr,
    /// Destination.
    pub to: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source port; not known when absent.
    pub source_port: Option<u16>,
    /// Destination port; not known when absent.
    pub destination_port: Option<u16>,
    /// ICMP type and code; not known when absent.
    pub icmp: Option<(u8, u8)>,
    /// TCP flags.
    pub flags: u8,
    /// Interface it is received by; not known when absent.
    pub in_interface: Option<String>,
    /// Interface it is sent through; not known when absent.
    pub out_interface: Option<String>,
    /// Whether it is known that an interface that is not given is not the loopback.
    pub not_loopback: bool,
    /// Whether it begins a flow; otherwise it belongs to one that is established.
    pub new: bool,
    /// Whether it goes the way of its flow's first packet.
    pub original: bool,
}

impl Packet {
    /// What of an interface that was not given is known all the same: `None` where it may be the one that is asked for.
    fn is_unnamed(&self, asked: &str) -> Option<bool> {
        (self.not_loopback && asked == LOOPBACK).then_some(false)
    }
}

/// The way of a packet through the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Traversal {
    /// To a process of this host.
    Received,
    /// From a process of this host.
    Sent,
    /// Through.
    Forwarded,
}

impl Traversal {
    fn hooks(self) -> &'static [&'static str] {
        match self {
            Self::Received => &["prerouting", "input"],
            Self::Sent => &["output", "postrouting"],
            Self::Forwarded => &["prerouting", "forward", "postrouting"],
        }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// Every hook lets it pass.
    Accepted,
    /// It is dropped.
    Dropped,
    /// It is dropped and its sender told.
    Rejected,
    /// It depends on something that is not known here.
    CannotTell,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What becomes of the packet.
    pub stop: Stop,
    /// The rule or policy that decides: `nftables inet filter input handle 12`; empty when nothing but accepts.
    pub place: String,
    /// Whether that is ours.
    pub ours: bool,
    /// The rule in its own words, or what cannot be told.
    pub why: String,
    /// The rules and policies that accepted on the way.
    pub accepted_by: Vec<String>,
}

/// Whether something holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Yes,
    No,
    /// What it depends on.
    Unknown(String),
}

impl Told {
    fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            unknown @ Self::Unknown(_) => unknown,
        }
    }

    /// Both hold: one that does not is enough, whatever the other is.
    fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No => Self::No,
            Self::Yes => other(),
            Self::Unknown(what) => match other() {
                Self::No => Self::No,
                _ => Self::Unknown(what),
            },
        }
    }

    /// One of these holds.
    fn any(all: impl IntoIterator<Item = Self>) -> Self {
        let mut out = Self::No;
        for one in all {
            match one {
                Self::Yes => return Self::Yes,
                Self::Unknown(what) => out = Self::Unknown(what),
                Self::No => {}
            }
        }
        out
    }
}

/// What a rule does to a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Next,
    Accept,
    Drop,
    Reject,
    Return,
    Jump(String),
    Goto(String),
    Unknown(String),
}

/// How a chain ends.
enum End {
    /// A rule decided.
    Decided { stop: Stop, place: String, ours: bool, why: String },
    /// It came to its end, or returned.
    Through,
}

/// What the packet filters would do to a packet.
pub fn walk(inventory: &Inventory, packet: &Packet, traversal: Traversal) -> Answer {
    let mut accepted_by = Vec::new();
    for hook in traversal.hooks() {
        for (table, chain, base) in chains_at(inventory, packet, hook) {
            let decided = match chain_end(table, chain, packet, 0) {
                End::Decided { stop, place, ours, why } => (stop, place, ours, why),
                End::Through => {
                    let stop = if base.policy == "drop" { Stop::Dropped } else { Stop::Accepted };
                    let place = format!("{} policy", place(table, chain, None));
                    (stop, place, chain.ours, format!("policy {}", base.policy))
                }
            };
            match decided {
                (Stop::Accepted, place, ..) => accepted_by.push(place),
                (stop, place, ours, why) => return Answer { stop, place, ours, why, accepted_by },
            }
        }
    }
    Answer { stop: Stop::Accepted, place: String::new(), ours: false, why: String::new(), accepted_by }
}

/// Base chains of a hook that see the packet, in the kernel's order.
fn chains_at<'a>(inventory: &'a Inventory, packet: &Packet, hook: &str) -> Vec<(&'a Table, &'a Chain, &'a Base)> {
    let family = if packet.from.is_ipv4() { "ip" } else { "ip6" };
    let sees = |table: &&Table| table.family == family || table.family == "inet";
    let mut found = Vec::new();
    for table in inventory.tables.iter().filter(sees) {
        for chain in &table.chains {
            // Only the first packet of a flow is shown to a chain that translates.
            let base = chain.base.as_ref().filter(|base| base.hook == hook && (packet.new || base.kind != "nat"));
            found.extend(base.map(|base| (table, chain, base)));
        }
    }
    found.sort_by_key(|(_, _, base)| base.priority);
    found
}

fn place(table: &Table, chain: &Chain, rule: Option<&Rule>) -> String {
    let source = match table.source {
        Source::Nftables => "nftables",
        Source::IptablesNft => "iptables-nft",
        Source::IptablesLegacy => "iptables-legacy",
    };
    let handle = if table.source == Source::Nftables { "handle" } else { "rule" };
    let rule = rule.map(|rule| format!(" {handle} {}", rule.handle)).unwrap_or_default();
    format!("{source} {} {} {}{rule}", table.family, table.name, chain.name)
}

fn chain_end(table: &Table, chain: &Chain, packet: &Packet, depth: usize) -> End {
    for rule in &chain.rules {
        let decided =
            |stop, why: String| End::Decided { stop, place: place(table, chain, Some(rule)), ours: rule.ours, why };
        let step = match table.source {
            Source::Nftables => nft::step(table, rule, packet),
            Source::IptablesNft | Source::IptablesLegacy => iptables::step(rule, packet),
        };
        let (name, comes_back) = match step {
            Step::Next => continue,
            Step::Accept => return decided(Stop::Accepted, rule.text.clone()),
            Step::Drop => return decided(Stop::Dropped, rule.text.clone()),
            Step::Reject => return decided(Stop::Rejected, rule.text.clone()),
            Step::Unknown(what) => return decided(Stop::CannotTell, format!("uses {what}: {}", rule.text)),
            Step::Return => return End::Through,
            Step::Jump(name) => (name, true),
            Step::Goto(name) => (name, false),
        };
        let Some(target) = table.chains.iter().find(|chain| chain.name == name).filter(|_| depth < JUMPS_MAX) else {
            return decided(Stop::CannotTell, format!("uses the target {name}: {}", rule.text));
        };
        match chain_end(table, target, packet, depth + 1) {
            End::Through if comes_back => {}
            end => return end,
        }
    }
    End::Through
}
