//! The host's own rules, before everything that a document says: the guard against locking oneself out, and exemptions.
//!
//! Each is written for both directions, since a connection may be older than the policy, and its next packet may go
//! either way. Invariant: these rules only accept.

use std::net::IpAddr;

use hivewall_model::Direction;
use ipnet::IpNet;

use super::{HostFacts, Sets, addresses, merged, rule_of};
use crate::document::Document;
use crate::ruleset::{Addresses, Rule, Stage};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// What others send to the agent's own port.
pub(crate) const LINKS: &str = "guard:fleet";
const LINKS_REPLY: &str = "guard:fleet:reply";

pub(super) fn rules(document: &Document, host: &HostFacts, sets: &Sets) -> Vec<Rule> {
    let mut rules = Vec::new();
    management(host, &mut rules);
    sessions(host, &mut rules);
    links(host, &mut rules);
    floor(host, &mut rules);
    exempt(document, host, sets, &mut rules);
    rules
}

fn one(address: IpAddr) -> Addresses {
    Addresses::In(vec![IpNet::from(address)])
}

fn management(host: &HostFacts, rules: &mut Vec<Rule>) {
    if host.management.is_empty() || host.management_ports.is_empty() {
        return;
    }
    let prefixes = Addresses::In(merged(host.management.clone()));
    let mut ports = host.management_ports.clone();
    ports.sort_unstable();
    ports.dedup();
    let ports: Vec<_> = ports.into_iter().map(|port| port..=port).collect();
    rules.push(Rule {
        protocols: vec![TCP],
        from: prefixes.clone(),
        destination_ports: ports.clone(),
        ..Rule::plain("guard:management".to_owned(), Stage::Guard, Some(Direction::Ingress))
    });
    rules.push(Rule {
        protocols: vec![TCP],
        to: prefixes,
        source_ports: ports,
        ..Rule::plain("guard:management:reply".to_owned(), Stage::Guard, Some(Direction::Egress))
    });
}

fn sessions(host: &HostFacts, rules: &mut Vec<Rule>) {
    let mut sessions = host.sessions.clone();
    sessions.sort_unstable();
    sessions.dedup();
    for session in sessions {
        let (peer, port) = (session.peer.ip().to_canonical(), session.peer.port());
        let id = format!("guard:session-{peer}-{port}-{}", session.port);
        rules.push(Rule {
            protocols: vec![TCP],
            from: one(peer),
            source_ports: vec![port..=port],
            destination_ports: vec![session.port..=session.port],
            ..Rule::plain(id.clone(), Stage::Guard, Some(Direction::Ingress))
        });
        rules.push(Rule {
            protocols: vec![TCP],
            to: one(peer),
            source_ports: vec![session.port..=session.port],
            destination_ports: vec![port..=port],
            ..Rule::plain(id + ":reply", Stage::Guard, Some(Direction::Egress))
        });
    }
}

/// The agent's own links, from wherever: a member may have moved, and a host that is cut off from the fleet cannot be given
/// another policy. What comes there has to prove itself before it costs anything.
fn links(host: &HostFacts, rules: &mut Vec<Rule>) {
    let Some(port) = host.links_port else { return };
    let rule = |id: &str, direction| Rule {
        protocols: vec![UDP],
        ..Rule::plain(id.to_owned(), Stage::Guard, Some(direction))
    };
    rules.push(Rule { destination_ports: vec![port..=port], ..rule(LINKS, Direction::Ingress) });
    rules.push(Rule { source_ports: vec![port..=port], ..rule(LINKS_REPLY, Direction::Egress) });
}

fn floor(host: &HostFacts, rules: &mut Vec<Rule>) {
    for floor in &host.floor {
        let rule = Rule { id: format!("guard:floor-{}", floor.id), ..rule_of(floor, Stage::Guard, 0, &Sets::new()) };
        let reply = reply(&rule);
        rules.push(rule);
        rules.extend(reply);
    }
}

/// The other direction of a rule; none where replies cannot be told by a rule (they have another ICMP type).
fn reply(rule: &Rule) -> Option<Rule> {
    if !rule.icmp.is_empty() {
        return None;
    }
    let direction = rule.direction.map(|direction| match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    });
    Some(Rule {
        id: format!("{}:reply", rule.id),
        direction,
        from: rule.to.clone(),
        to: rule.from.clone(),
        source_ports: rule.destination_ports.clone(),
        destination_ports: rule.source_ports.clone(),
        // A condition on the packet that begins a flow.
        flags: None,
        limit: None,
        log: None,
        ..rule.clone()
    })
}

fn exempt(document: &Document, host: &HostFacts, sets: &Sets, rules: &mut Vec<Rule>) {
    let mut groups = Vec::new();
    if !host.exempt.is_empty() {
        groups.push(("exempt:host", Addresses::In(merged(host.exempt.clone()))));
    }
    if document.exempt.is_some() {
        groups.push(("exempt:policy", addresses(document.exempt.as_ref(), sets)));
    }
    for (id, exempt) in groups {
        rules.push(Rule {
            from: exempt.clone(),
            ..Rule::plain(format!("{id}-in"), Stage::Exempt, Some(Direction::Ingress))
        });
        rules.push(Rule { to: exempt, ..Rule::plain(format!("{id}-out"), Stage::Exempt, Some(Direction::Egress)) });
    }
}
