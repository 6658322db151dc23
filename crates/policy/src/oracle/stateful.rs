//! What a policy means for packets one after another: replies, policies that change under living flows, flows that stay,
//! errors about flows. Written for clarity; limits and the passing of time are left out. What a policy that only observes
//! would refuse is told as refused, and remembered as if it had passed, as it did.
//!
//! A flow is remembered from its first accepted packet on, with who began it and what was said at either hook. A packet of
//! the initiator is judged at its hook; a reply passes a hook if the initiator's packets pass the opposite one.

use std::collections::HashMap;
use std::net::IpAddr;

use hivewall_datapath::policy::Action;
use hivewall_datapath::proto;
use hivewall_model::Direction;
use ipnet::IpNet;

use super::{By, Facts, Transport, has_ports, has_types, is_banned, judge};
use crate::{Established, Mode, Ruleset};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const FIN: u8 = 0x01;
const RST: u8 = 0x04;

/// A packet on its way through a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is judged by.
    pub facts: Facts,
    /// Hop limit or time to live.
    pub hop_limit: u8,
    /// The packet that an ICMP error is about, with the direction and interface it had at this host.
    pub about: Option<Facts>,
}

/// What decided about a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// The rule with this id, for this packet or the one that began its flow.
    Rule(String),
    /// A ban.
    Ban,
    /// No rule matched.
    NoPolicy,
    /// Every host needs it.
    Essential,
    /// It is about a flow that is accepted.
    Related,
    /// A later fragment that nothing could accept.
    Fragment,
}

/// One end of a conversation; what stands where ports do for ICMP.
type End = (IpAddr, u16);

#[derive(Clone, Debug)]
struct Flow {
    /// Source and destination of the first packet.
    initiator: (End, End),
    /// TCP flags of the first packet, or its ICMP type.
    first: Transport,
    at_ingress: Option<Standing>,
    at_egress: Option<Standing>,
    initiator_fin: bool,
    responder_fin: bool,
    reset: bool,
}

/// What was said about the initiator's packets at a hook.
#[derive(Clone, Debug)]
struct Standing {
    epoch: u64,
    action: Action,
    by: Decided,
    established: Established,
}

/// A host with a policy.
#[derive(Clone, Debug, Default)]
pub struct Host {
    policy: Ruleset,
    bans: Vec<IpNet>,
    epoch: u64,
    flows: HashMap<(u8, End, End), Flow>,
}

impl Host {
    /// A host without a policy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a policy into force.
    pub fn apply(&mut self, policy: Ruleset) {
        self.policy = policy;
        self.epoch += 1;
    }

    /// Bans these and no others.
    pub fn ban(&mut self, bans: Vec<IpNet>) {
        self.bans = bans;
        self.epoch += 1;
    }

    /// Whether anything is remembered of the flow of a packet.
    pub fn is_known(&self, facts: &Facts) -> bool {
        self.flows.contains_key(&conversation(facts))
    }

    /// What is remembered of the flow of a packet, for messages of tests.
    pub fn remembered(&self, facts: &Facts) -> String {
        format!("{:?} in epoch {}, bans {:?}", self.flows.get(&conversation(facts)), self.epoch, self.bans)
    }

    /// What becomes of a packet.
    pub fn packet(&mut self, seen: &Seen) -> (Action, Decided) {
        let facts = &seen.facts;
        if facts.interface == "lo" {
            return (Action::Accept, Decided::Essential);
        }
        if is_banned(&self.bans, facts) {
            return self.banned(facts);
        }
        if facts.transport.is_none() {
            return self.fragment(facts);
        }
        if is_essential(seen) {
            return (Action::Accept, Decided::Essential);
        }
        if seen.about.as_ref().is_some_and(|about| self.is_accepted(about)) {
            return (Action::Accept, Decided::Related);
        }
        // Nothing answers an error, and none begins a flow.
        if facts.proto == proto::ICMP && facts.transport.is_some_and(|header| matches!(header.source_port, 3 | 4 | 12))
        {
            let standing = self.by_rules(facts);
            return (standing.action, standing.by);
        }
        self.follow(facts)
    }

    /// Guard and exemptions hold against bans, for a packet itself and for the one that it may answer.
    fn banned(&self, facts: &Facts) -> (Action, Decided) {
        let outcomes = [judge(&self.policy, &self.bans, facts), judge(&self.policy, &self.bans, &mirrored(facts))];
        let early = outcomes.into_iter().find(|outcome| outcome.by != By::Ban);
        early.map_or((Action::Drop, Decided::Ban), |outcome| (outcome.action, self.decided(outcome.by)))
    }

    /// The packet of the initiator that this one follows, at the hook where it counts.
    fn original(&self, facts: &Facts) -> Option<Facts> {
        let flow = self.flows.get(&conversation(facts))?;
        let mut first = if flow.initiator == ends(facts) { facts.clone() } else { mirrored(facts) };
        if let Some(transport) = &mut first.transport {
            transport.flags = flow.first.flags;
            if has_types(facts.proto) {
                transport.source_port = flow.first.source_port;
            }
        }
        Some(first)
    }

    fn fragment(&self, facts: &Facts) -> (Action, Decided) {
        let outcomes = [judge(&self.policy, &self.bans, facts), judge(&self.policy, &self.bans, &mirrored(facts))];
        let accepting = outcomes.into_iter().find(|outcome| outcome.accepts());
        let outcome = accepting.unwrap_or(outcomes[0]);
        (outcome.action, self.decided(outcome.by))
    }

    /// Whether packets like this one are accepted as part of a flow that is known.
    fn is_accepted(&mut self, facts: &Facts) -> bool {
        let Some(original) = self.original(facts) else { return false };
        self.standing(&original).is_some_and(|standing| standing.action == Action::Accept)
    }

    fn follow(&mut self, facts: &Facts) -> (Action, Decided) {
        let flags = facts.transport.map_or(0, |transport| transport.flags);
        let is_syn = facts.proto == proto::TCP && flags & (SYN | ACK) == SYN;
        let known = self.flows.get(&conversation(facts)).cloned();
        let epoch = self.epoch;
        if let Some(flow) = &known
            && let Some(original) = self.original(facts)
        {
            let is_initiator = flow.initiator == ends(facts);
            let stands = flow.at(original.direction);
            let is_old = stands.is_some_and(|standing| standing.epoch != epoch);
            let begins = is_syn && (!is_initiator || flow.is_closing() || is_old);
            if !begins {
                if let Some(standing) = self.standing(&original) {
                    self.visit(facts, is_initiator, flags);
                    return (standing.action, standing.by);
                }
                if is_initiator {
                    let standing = self.by_rules(facts);
                    if self.passes(&standing) {
                        self.stand(facts, standing.clone());
                        self.visit(facts, true, flags);
                    }
                    return (standing.action, standing.by);
                }
            }
        }
        self.begin(facts, flags)
    }

    /// A packet that begins a flow: refused ones are not remembered, and leave what there was.
    fn begin(&mut self, facts: &Facts, flags: u8) -> (Action, Decided) {
        let standing = self.by_rules(facts);
        if self.passes(&standing) {
            let flow = Flow {
                initiator: ends(facts),
                first: facts.transport.unwrap_or_default(),
                at_ingress: None,
                at_egress: None,
                initiator_fin: false,
                responder_fin: false,
                reset: false,
            };
            self.flows.insert(conversation(facts), flow);
            self.stand(facts, standing.clone());
            self.visit(facts, true, flags);
        }
        (standing.action, standing.by)
    }

    fn passes(&self, standing: &Standing) -> bool {
        standing.action == Action::Accept || self.policy.mode == Mode::Observe
    }

    fn by_rules(&self, facts: &Facts) -> Standing {
        let outcome = judge(&self.policy, &self.bans, facts);
        let established = match outcome.by {
            By::Rule(at) => self.policy.rules.get(at).map_or(Established::Reevaluate, |rule| rule.established),
            _ => Established::Reevaluate,
        };
        Standing { epoch: self.epoch, action: outcome.action, by: self.decided(outcome.by), established }
    }

    /// What holds about the initiator's packets at this hook now; nothing when none was seen there.
    fn standing(&mut self, original: &Facts) -> Option<Standing> {
        let stood = self.flows.get(&conversation(original))?.at(original.direction)?.clone();
        if stood.epoch == self.epoch {
            return Some(stood);
        }
        let accepted = stood.action == Action::Accept;
        let mut now = self.by_rules(original);
        if accepted && stood.established == Established::Keep {
            now = Standing { epoch: self.epoch, ..stood };
        } else if accepted
            && stood.established == Established::Reset
            && now.action != Action::Accept
            && original.proto == proto::TCP
        {
            now.action = Action::Reject;
        }
        self.stand(original, now.clone());
        Some(now)
    }

    fn stand(&mut self, original: &Facts, standing: Standing) {
        if let Some(flow) = self.flows.get_mut(&conversation(original)) {
            match original.direction {
                Direction::Ingress => flow.at_ingress = Some(standing),
                Direction::Egress => flow.at_egress = Some(standing),
            }
        }
    }

    fn visit(&mut self, facts: &Facts, is_initiator: bool, flags: u8) {
        if let Some(flow) = self.flows.get_mut(&conversation(facts))
            && facts.proto == proto::TCP
        {
            flow.initiator_fin |= is_initiator && flags & FIN != 0;
            flow.responder_fin |= !is_initiator && flags & FIN != 0;
            flow.reset |= flags & RST != 0;
        }
    }

    fn decided(&self, by: By) -> Decided {
        match by {
            By::Rule(at) => Decided::Rule(self.policy.rules.get(at).map_or_else(String::new, |rule| rule.id.clone())),
            By::Ban => Decided::Ban,
            By::NoPolicy => Decided::NoPolicy,
            By::Fragment => Decided::Fragment,
        }
    }
}

impl Flow {
    fn at(&self, hook: Direction) -> Option<&Standing> {
        match hook {
            Direction::Ingress => self.at_ingress.as_ref(),
            Direction::Egress => self.at_egress.as_ref(),
        }
    }

    fn is_closing(&self) -> bool {
        self.reset || self.initiator_fin && self.responder_fin
    }
}

/// Whether an ICMP packet asks for an echo, or is one.
fn is_echo(facts: &Facts) -> bool {
    let Some(transport) = facts.transport else { return false };
    let (kind, code) = (transport.source_port, transport.destination_port);
    code == 0
        && (facts.proto == proto::ICMP && matches!(kind, 0 | 8)
            || facts.proto == proto::ICMPV6 && matches!(kind, 128 | 129))
}

/// Source and destination. Echo and its reply are one conversation; other ICMP has no replies, and each type and code is
/// a conversation of its own in each direction.
fn ends(facts: &Facts) -> (End, End) {
    let transport = facts.transport.unwrap_or_default();
    let (source, destination) = match facts.proto {
        number if has_ports(number) => (transport.source_port, transport.destination_port),
        number if has_types(number) && !is_echo(facts) => {
            (transport.source_port << 8 | transport.destination_port, u16::MAX)
        }
        _ => (0, 0),
    };
    ((facts.from.to_canonical(), source), (facts.to.to_canonical(), destination))
}

fn conversation(facts: &Facts) -> (u8, End, End) {
    let (source, destination) = ends(facts);
    (facts.proto, source.min(destination), source.max(destination))
}

/// The packet that this one answers, at the opposite hook.
fn mirrored(facts: &Facts) -> Facts {
    let direction = match facts.direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    };
    let transport = facts.transport.map(|transport| {
        if has_types(facts.proto) {
            return transport;
        }
        let (source_port, destination_port) = (transport.destination_port, transport.source_port);
        Transport { source_port, destination_port, ..transport }
    });
    Facts { direction, from: facts.to, to: facts.from, transport, ..facts.clone() }
}

/// What every host needs: errors about sizes and lifetimes (RFC 792), ICMPv6 errors (RFC 4443), neighbour discovery from
/// the link itself (RFC 4861), multicast listeners (RFC 2710, RFC 3810), and this host as a client of DHCP (RFC 2131,
/// RFC 8415).
pub(crate) fn is_essential(seen: &Seen) -> bool {
    let Some(transport) = seen.facts.transport else { return false };
    let (source, destination) = (transport.source_port, transport.destination_port);
    match seen.facts.proto {
        proto::ICMP => source == 11 || (source, destination) == (3, 4),
        proto::ICMPV6 => {
            matches!(source, 1..=4 | 130..=132 | 143) || matches!(source, 133..=136) && seen.hop_limit == 255
        }
        proto::UDP => {
            let (client, server) = match seen.facts.direction {
                Direction::Ingress => (destination, source),
                Direction::Egress => (source, destination),
            };
            let ports = if seen.facts.from.to_canonical().is_ipv4() { (68, 67) } else { (546, 547) };
            (client, server) == ports
        }
        _ => false,
    }
}
