//! What stands beside a policy on this host: the packet filters that may drop what it accepts.
//!
//! They are asked as they are listed now; nothing is sent. Invariant: what cannot be known is told as such.

use std::net::IpAddr;

use hivewall_host::link::Links;
use hivewall_host::rules::{Answer, Missing, Packet, Stop, Traversal, inventory, walk};
use hivewall_model::Direction;
use hivewall_policy::Mode;
use hivewall_policy::oracle::{Facts, has_ports, has_types};
use hivewall_view::policy::ExplainFilters;

/// What the packet filters say.
pub(super) struct Beside {
    /// About the packet.
    answer: Answer,
    missing: Vec<Missing>,
}

/// Asks this host's packet filters about a packet that begins a flow.
pub(super) fn ask(facts: &Facts) -> Beside {
    let found = inventory();
    let received = facts.direction == Direction::Ingress;
    let traversal = if received { Traversal::Received } else { Traversal::Sent };
    let answer = walk(&found, &packet(facts, traversal), traversal);
    Beside { answer, missing: found.missing }
}

/// Whether a packet between these addresses cannot pass this host's loopback: only what comes from one of the host's own
/// addresses does, or goes to one.
pub(crate) fn crosses_network(from: IpAddr, to: IpAddr, traversal: Traversal) -> bool {
    let other = match traversal {
        Traversal::Received => from,
        Traversal::Sent => to,
        Traversal::Forwarded => return true,
    };
    let all = Links::open().and_then(|mut links| links.dump());
    // Where the addresses are not known, neither is this.
    !other.is_loopback() && all.is_ok_and(|all| !all.iter().any(|interface| interface.addresses.contains(&other)))
}

fn packet(facts: &Facts, traversal: Traversal) -> Packet {
    let received = traversal == Traversal::Received;
    let ports = facts.transport.filter(|_| has_ports(facts.proto));
    let kind = facts.transport.filter(|_| has_types(facts.proto));
    let interface = Some(facts.interface.clone()).filter(|name| !name.is_empty());
    Packet {
        from: facts.from,
        to: facts.to,
        protocol: facts.proto,
        source_port: ports.map(|transport| transport.source_port),
        destination_port: ports.map(|transport| transport.destination_port),
        icmp: kind.map(|transport| (transport.source_port as u8, transport.destination_port as u8)),
        flags: facts.transport.map_or(0, |transport| transport.flags),
        in_interface: interface.clone().filter(|_| received),
        out_interface: interface.filter(|_| !received),
        not_loopback: crosses_network(facts.from, facts.to, traversal),
        new: true,
        original: true,
    }
}

impl Beside {
    /// In sentences, behind our own verdict.
    pub(super) fn notes(&self, verdict: &str, mode: Mode) -> Vec<String> {
        let Answer { stop, place, ours, why, .. } = &self.answer;
        let us = match (verdict, mode) {
            ("accept", _) => "accepted by us",
            (_, Mode::Observe) => "let pass by us",
            ("reject", _) => "rejected by us",
            _ => "dropped by us",
        };
        let text = match stop {
            Stop::Accepted => format!("on this host: {us}; no packet filter drops it"),
            Stop::Dropped if *ours => format!("on this host: dropped by us, in {place}: {why}"),
            Stop::Rejected if *ours => format!("on this host: rejected by us, in {place}: {why}"),
            Stop::Dropped => format!("on this host: {us}, dropped by {place}: {why}"),
            Stop::Rejected => format!("on this host: {us}, rejected by {place}: {why}"),
            Stop::CannotTell => format!("on this host: {us}; what follows cannot be told: {place} {why}"),
        };
        std::iter::once(text).chain(self.not_asked().map(|why| format!("not asked: {why}"))).collect()
    }

    fn not_asked(&self) -> impl Iterator<Item = &String> {
        self.missing.iter().map(|missing| &missing.why)
    }

    /// As every surface has it.
    pub(super) fn view(&self) -> ExplainFilters {
        let verdict = match self.answer.stop {
            Stop::Accepted => "accepted",
            Stop::Dropped => "dropped",
            Stop::Rejected => "rejected",
            Stop::CannotTell => "cannot_tell",
        };
        ExplainFilters {
            verdict: verdict.to_owned(),
            place: self.answer.place.clone(),
            ours: self.answer.ours,
            why: self.answer.why.clone(),
            not_asked: self.not_asked().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stop: Stop, ours: bool, verdict: &str) -> String {
        let (place, why) = ("nftables inet filter input handle 12".to_owned(), "tcp dport 22 drop".to_owned());
        Beside { answer: Answer { stop, place, ours, why, accepted_by: Vec::new() }, missing: Vec::new() }
            .notes(verdict, Mode::Enforce)
            .join("\n")
    }

    #[test]
    fn a_foreign_rule_behind_ours_is_named_with_its_place() {
        let wanted = "on this host: accepted by us, dropped by nftables inet filter input handle 12: tcp dport 22 drop";
        assert_eq!(told(Stop::Dropped, false, "accept"), wanted);
        assert_eq!(told(Stop::Accepted, false, "drop"), "on this host: dropped by us; no packet filter drops it");
        assert!(told(Stop::CannotTell, false, "accept").contains("cannot be told"));
        assert!(told(Stop::Dropped, true, "drop").starts_with("on this host: dropped by us, in nftables"));
    }
}
