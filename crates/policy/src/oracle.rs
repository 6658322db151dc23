//! What a [`Ruleset`] means, as plainly as it can be said: every rule is asked in turn. Tests hold everything that
//! enforces a policy against this, and explanations are read off it; so it is written to be right at a glance and shares
//! nothing with the tables. What holds over several packets of a flow is in [`stateful`].

pub mod stateful;

use std::net::IpAddr;

use hivewall_datapath::policy::Action;
use hivewall_datapath::proto;
use hivewall_model::Direction;
use ipnet::IpNet;

use crate::{Addresses, IcmpMatch, PortRange, Rule, Ruleset, Stage};

/// What a packet is judged by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Received or sent.
    pub direction: Direction,
    /// Name of the interface.
    pub interface: String,
    /// Source. An IPv4-mapped address is the IPv4 address.
    pub from: IpAddr,
    /// Destination.
    pub to: IpAddr,
    /// IP protocol number.
    pub proto: u8,
    /// What the transport header says; absent for a later fragment whose first one was not seen.
    pub transport: Option<Transport>,
}

/// What a packet's transport header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Transport {
    /// Source port, or ICMP type; 0 for a protocol without.
    pub source_port: u16,
    /// Destination port, or ICMP code; 0 for a protocol without.
    pub destination_port: u16,
    /// TCP flags; 0 for other protocols.
    pub flags: u8,
}

/// The conditions a rule may have, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Received or sent.
    Direction,
    /// Interface.
    Interface,
    /// Protocol.
    Protocol,
    /// Source addresses.
    Source,
    /// Destination addresses.
    Destination,
    /// ICMP types and codes.
    Icmp,
    /// Source ports.
    SourcePort,
    /// Destination ports.
    DestinationPort,
    /// TCP flags.
    Flags,
}

/// Whether a rule matches a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Match {
    /// It does.
    Yes,
    /// It would with some transport headers and not with others, and there is none to look at.
    Unknown,
    /// It does not: the first condition that fails.
    No(Condition),
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// The rule at this place of the ruleset.
    Rule(usize),
    /// A ban.
    Ban,
    /// Nothing: no rule matched.
    NoPolicy,
    /// No rule could accept a later fragment without its first.
    Fragment,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// Accept, drop or reject; never pass.
    pub action: Action,
    /// What decided.
    pub by: By,
}

impl Outcome {
    /// Whether the packet passes.
    pub fn accepts(self) -> bool {
        self.action == Action::Accept
    }
}

/// Whether an address is one of a rule's.
pub fn holds_address(addresses: &Addresses, address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_in = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
    match addresses {
        Addresses::Any => true,
        Addresses::In(nets) => is_in(nets),
        Addresses::NotIn(nets) => !is_in(nets),
    }
}

/// Whether a protocol has ports.
pub fn has_ports(protocol: u8) -> bool {
    matches!(protocol, proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP | proto::DCCP)
}

/// Whether a protocol has types and codes.
pub fn has_types(protocol: u8) -> bool {
    matches!(protocol, proto::ICMP | proto::ICMPV6)
}

/// Whether a name of an interface fits a pattern.
pub fn fits(pattern: &str, interface: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => interface.starts_with(beginning),
        None => pattern == interface,
    }
}

/// Whether a rule matches a packet.
pub fn matches(rule: &Rule, facts: &Facts) -> Match {
    if rule.direction.is_some_and(|direction| direction != facts.direction) {
        return Match::No(Condition::Direction);
    }
    if !rule.interfaces.is_empty() && !rule.interfaces.iter().any(|pattern| fits(pattern, &facts.interface)) {
        return Match::No(Condition::Interface);
    }
    if !rule.protocols.is_empty() && !rule.protocols.contains(&facts.proto) {
        return Match::No(Condition::Protocol);
    }
    if !holds_address(&rule.from, facts.from) {
        return Match::No(Condition::Source);
    }
    if !holds_address(&rule.to, facts.to) {
        return Match::No(Condition::Destination);
    }
    matches_transport(rule, facts)
}

fn matches_transport(rule: &Rule, facts: &Facts) -> Match {
    if !rule.icmp.is_empty() && !has_types(facts.proto) {
        return Match::No(Condition::Icmp);
    }
    if !rule.source_ports.is_empty() && !has_ports(facts.proto) {
        return Match::No(Condition::SourcePort);
    }
    if !rule.destination_ports.is_empty() && !has_ports(facts.proto) {
        return Match::No(Condition::DestinationPort);
    }
    if rule.flags.is_some() && facts.proto != proto::TCP {
        return Match::No(Condition::Flags);
    }
    let Some(transport) = facts.transport else {
        return if looks_at_transport(rule) { Match::Unknown } else { Match::Yes };
    };
    let has_type = |wanted: &IcmpMatch| {
        u16::from(wanted.kind) == transport.source_port
            && wanted.code.is_none_or(|code| u16::from(code) == transport.destination_port)
    };
    if !rule.icmp.is_empty() && !rule.icmp.iter().any(has_type) {
        return Match::No(Condition::Icmp);
    }
    let holds = |ranges: &[PortRange], port| ranges.is_empty() || ranges.iter().any(|range| range.contains(&port));
    if !holds(&rule.source_ports, transport.source_port) {
        return Match::No(Condition::SourcePort);
    }
    if !holds(&rule.destination_ports, transport.destination_port) {
        return Match::No(Condition::DestinationPort);
    }
    if rule.flags.is_some_and(|flags| transport.flags & flags.mask != flags.value) {
        return Match::No(Condition::Flags);
    }
    Match::Yes
}

/// Whether a rule asks for anything that only the transport header tells.
pub fn looks_at_transport(rule: &Rule) -> bool {
    !rule.source_ports.is_empty() || !rule.destination_ports.is_empty() || !rule.icmp.is_empty() || rule.flags.is_some()
}

/// Whether a packet comes from, or goes to, a banned address.
pub fn is_banned(bans: &[IpNet], facts: &Facts) -> bool {
    let other_end = match facts.direction {
        Direction::Ingress => facts.from,
        Direction::Egress => facts.to,
    };
    bans.iter().any(|ban| ban.contains(&other_end.to_canonical()))
}

/// What becomes of the first packet of a flow.
pub fn judge(ruleset: &Ruleset, bans: &[IpNet], facts: &Facts) -> Outcome {
    if facts.transport.is_none() {
        return judge_fragment(ruleset, bans, facts);
    }
    let banned = is_banned(bans, facts);
    let mut passed: Option<Stage> = None;
    for (at, rule) in ruleset.rules.iter().enumerate() {
        if banned && is_after_bans(rule.stage) {
            return Outcome { action: Action::Drop, by: By::Ban };
        }
        if passed == Some(rule.stage) || matches(rule, facts) != Match::Yes {
            continue;
        }
        match rule.action {
            Action::Pass => passed = Some(rule.stage),
            action => return Outcome { action, by: By::Rule(at) },
        }
    }
    end(banned)
}

/// What becomes of a later fragment whose first one was not seen: it is accepted by the first rule that accepts it,
/// if its transport header, which nobody knows, is what that rule hopes for.
fn judge_fragment(ruleset: &Ruleset, bans: &[IpNet], facts: &Facts) -> Outcome {
    let banned = is_banned(bans, facts);
    let refused = Outcome { action: Action::Drop, by: By::Fragment };
    // The stage that cannot be entered, or gone on with, any more, and one that a packet may have left by `pass`.
    let mut over: Option<Stage> = None;
    let mut may_pass: Option<Stage> = None;
    for (at, rule) in ruleset.rules.iter().enumerate() {
        if banned && is_after_bans(rule.stage) {
            return Outcome { action: Action::Drop, by: By::Ban };
        }
        let matched = matches(rule, facts);
        if over == Some(rule.stage) || matches!(matched, Match::No(_)) {
            continue;
        }
        match (rule.action, matched) {
            (Action::Accept, _) => return Outcome { action: Action::Accept, by: By::Rule(at) },
            (Action::Pass, Match::Unknown) => may_pass = Some(rule.stage),
            (Action::Pass, _) => over = Some(rule.stage),
            (_, Match::Unknown) => {}
            // All that is still on its way here is dropped; some may have passed on before.
            _ if may_pass == Some(rule.stage) => over = Some(rule.stage),
            _ => return refused,
        }
    }
    end(banned)
}

fn end(banned: bool) -> Outcome {
    match banned {
        true => Outcome { action: Action::Drop, by: By::Ban },
        false => Outcome { action: Action::Accept, by: By::NoPolicy },
    }
}

fn is_after_bans(stage: Stage) -> bool {
    matches!(stage, Stage::Tier(_))
}
