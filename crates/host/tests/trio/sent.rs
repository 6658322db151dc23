//! Packets of a random sequence as bytes, and beside them what the oracle is told: new flows, repetitions, forwarded
//! packets, replies, ICMP errors, what every host needs, fragments in any order, tags, extension headers, and frames that
//! cannot be read.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::net::IpAddr;

use hivewall_datapath::policy::opposite;
use hivewall_datapath::{Direction, proto};
use hivewall_policy::oracle::stateful::Seen;
use hivewall_policy::oracle::{Facts, Transport};
use hivewall_policy::sample::{Draws, INTERFACES, answer, header};
use hivewall_testkit::packet::{Packet, bare, frame};

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// What a frame is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// A packet of a flow.
    Packet(Seen),
    /// It claims to be IP and cannot be read.
    Unreadable,
    /// It is not IP.
    NotIp,
}

/// A frame on its way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) what: What,
    pub(crate) interface: String,
    pub(crate) direction: Direction,
    /// Identifiers of its tags.
    pub(crate) vlans: Vec<u16>,
    pub(crate) bytes: Vec<u8>,
}

/// What ties the fragments of a datagram together.
pub(crate) type Datagram = (IpAddr, IpAddr, u32, String, u8);

/// Draws one packet after another.
pub(crate) struct Sequence<'a> {
    pub(crate) draws: Draws<'a>,
    before: Vec<Facts>,
    /// Ports of datagrams whose first fragment was seen.
    pub(crate) datagrams: HashMap<Datagram, Transport>,
    first_id: u32,
}

/// A whole packet without anything unusual.
pub(crate) fn plain(facts: &Facts) -> Sent {
    let seen = Seen { facts: facts.clone(), hop_limit: 64, about: None };
    let bytes = network(frame(), &seen).protocol(facts.proto.into()).payload(&transport(facts, None)).build();
    Sent::new(seen, Vec::new(), bytes)
}

impl Sent {
    fn new(seen: Seen, vlans: Vec<u16>, bytes: Vec<u8>) -> Self {
        let (interface, direction) = (seen.facts.interface.clone(), seen.facts.direction);
        Self { what: What::Packet(seen), interface, direction, vlans, bytes }
    }
}

/// The bytes of a transport header.
fn transport(facts: &Facts, about: Option<&Facts>) -> Vec<u8> {
    let mut bytes = header(facts).unwrap();
    if let Some(about) = about {
        let seen = Seen { facts: about.clone(), hop_limit: 60, about: None };
        let inner = transport(about, None);
        bytes.extend(network(bare(), &seen).protocol(about.proto.into()).payload(&inner[..8]).build());
    }
    bytes
}

fn network(packet: Packet, seen: &Seen) -> Packet {
    match (seen.facts.from, seen.facts.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => packet.ipv4(from, to).ttl(seen.hop_limit),
        (IpAddr::V6(from), IpAddr::V6(to)) => packet.ipv6(from, to).ttl(seen.hop_limit),
        _ => panic!("one family"),
    }
}

/// Whether hosts send errors about such a packet (RFC 1122 §3.2.2: none about errors).
fn may_be_reported(facts: &Facts) -> bool {
    facts.from.is_ipv4()
        && facts.transport.is_some_and(|transport| match facts.proto {
            proto::ICMP => matches!((transport.source_port, transport.destination_port), (0 | 8, 0)),
            proto::GRE | proto::ICMPV6 => false,
            _ => true,
        })
}

/// The hop limit of neighbour discovery: some types come from the link, others pretend to.
fn neighbour_hops(facts: &Facts) -> Option<u8> {
    let kind = facts.transport.filter(|_| facts.proto == proto::ICMPV6)?.source_port;
    (133..=136).contains(&kind).then_some(if kind % 2 == 0 { 255 } else { 64 })
}

/// A part of a datagram.
enum Piece {
    Whole,
    First,
    Later,
    /// A later one over the first one's header, or a first one too short for it.
    Forged,
}

impl<'a> Sequence<'a> {
    /// `first_id` and the next identify datagrams; other sequences have others.
    pub(crate) fn new(draws: Draws<'a>, first_id: u32) -> Self {
        Self { draws, before: Vec::new(), datagrams: HashMap::new(), first_id }
    }

    /// The next frame.
    pub(crate) fn next(&mut self) -> Sent {
        let seen = self.seen();
        self.before.push(seen.facts.clone());
        if self.draws.once_in(30) {
            return self.broken(&seen);
        }
        self.dressed(seen)
    }

    fn flags(&mut self) -> u8 {
        let usual = [SYN, SYN, SYN, ACK, ACK, PSH | ACK, PSH | ACK, SYN | ACK, FIN | ACK, RST, RST | ACK];
        match usual.get(self.draws.below(13) as usize) {
            Some(flags) => *flags,
            None => self.draws.below(256) as u8,
        }
    }

    /// A packet that begins something.
    fn fresh(&mut self) -> Facts {
        let mut facts = self.draws.facts();
        while facts.from.is_ipv4() != facts.to.is_ipv4() {
            facts.to = self.draws.address();
        }
        let mut transport = self.draws.transport(facts.proto);
        if facts.proto == proto::TCP {
            transport.flags = self.flags();
        }
        facts.transport = Some(transport);
        facts
    }

    /// A packet that every host needs, or that looks like one.
    fn essential(&mut self) -> Seen {
        let mut facts = self.fresh();
        let is_v4 = facts.from.is_ipv4();
        let (number, kind, code, hop_limit) = match (self.draws.below(6), is_v4) {
            (0, true) => (proto::UDP, 68, 67, 64),
            (1, true) => (proto::UDP, 67, 68, 64),
            (2, true) => (proto::ICMP, 3, 4, 64),
            (_, true) => (proto::ICMP, 11, 0, 64),
            (0, false) => (proto::UDP, 546, 547, 64),
            (1, false) => (proto::ICMPV6, 1 + self.draws.below(4) as u16, 0, 64),
            (2, false) => (proto::ICMPV6, 136, 0, 255),
            (3, false) => (proto::ICMPV6, 135, 0, 64),
            (4, false) => (proto::ICMPV6, 143, 0, 1),
            (_, false) => (proto::ICMPV6, 130, 0, 1),
        };
        facts.proto = number;
        facts.transport = Some(Transport { source_port: kind, destination_port: code, flags: 0 });
        Seen { facts, hop_limit, about: None }
    }

    /// What comes next, seen what came before.
    fn seen(&mut self) -> Seen {
        if self.draws.once_in(25) {
            return self.essential();
        }
        let recent = self.before.len().clamp(1, 6) as u32;
        let last = self.before.len().checked_sub(1 + self.draws.below(recent) as usize);
        let (Some(last), false) = (last.map(|at| self.before[at].clone()), self.draws.once_in(5)) else {
            return Seen { facts: self.fresh(), hop_limit: 64, about: None };
        };
        let mut facts = last.clone();
        let mut about = None;
        match self.draws.below(8) {
            0..=2 => {}
            3 => {
                facts.direction = opposite(facts.direction);
                facts.interface = INTERFACES[1 + self.draws.below(2) as usize].into();
            }
            4 if may_be_reported(&last) => {
                let code = [0, 1, 3, 13][self.draws.below(4) as usize];
                let transport = Transport { source_port: 3, destination_port: code, flags: 0 };
                facts = Facts { proto: proto::ICMP, transport: Some(transport), ..answer(&last) };
                about = Some(last);
            }
            _ => facts = answer(&last),
        }
        if let Some(transport) = &mut facts.transport
            && facts.proto == proto::TCP
        {
            transport.flags = self.flags();
        }
        let hop_limit = neighbour_hops(&facts).unwrap_or(64);
        Seen { facts, hop_limit, about }
    }

    fn tags(&mut self) -> Vec<u16> {
        match self.draws.below(8) {
            0 => vec![7],
            1 => vec![7, 8 + self.draws.below(2) as u16],
            _ => Vec::new(),
        }
    }

    fn piece(&mut self, seen: &Seen) -> Piece {
        if seen.about.is_some() || neighbour_hops(&seen.facts).is_some() {
            return Piece::Whole;
        }
        match self.draws.below(14) {
            0 => Piece::First,
            1 | 2 => Piece::Later,
            3 if seen.facts.proto == proto::TCP => Piece::Forged,
            _ => Piece::Whole,
        }
    }

    fn dressed(&mut self, mut seen: Seen) -> Sent {
        let vlans = self.tags();
        let (is_v4, number) = (seen.facts.from.is_ipv4(), u16::from(seen.facts.proto));
        let mut packet = network(vlans.iter().fold(frame(), |frame, tci| frame.vlan(*tci)), &seen);
        if is_v4 && self.draws.once_in(8) {
            packet = packet.options(&[1, 1, 1, 1]);
        }
        let id = self.first_id + self.draws.below(2);
        let piece = self.piece(&seen);
        let mut payload = transport(&seen.facts, seen.about.as_ref());
        let (offset, more) = match piece {
            Piece::Whole => (0, false),
            Piece::First => (0, true),
            Piece::Later => ([24, 800, 1480][self.draws.below(3) as usize], self.draws.once_in(2)),
            Piece::Forged if self.draws.once_in(2) => (8, true),
            Piece::Forged => {
                payload.truncate(8);
                (0, true)
            }
        };
        if matches!(piece, Piece::Later) && seen.facts.proto == proto::ICMP {
            // What would be the packet in question if this were an error's beginning.
            let subject = self.before.iter().rev().find(|facts| may_be_reported(facts));
            payload = transport(&seen.facts, subject);
            payload.drain(..4);
        }
        if is_v4 {
            packet = packet.id(id as u16).fragment(offset, more);
        } else {
            for _ in 0..self.draws.below(8).saturating_sub(5) {
                packet = match self.draws.below(3) {
                    0 => packet.hop_by_hop(),
                    1 => packet.destination_options(),
                    _ => packet.authentication(12),
                };
            }
            // A fragment header may stand in a whole packet (RFC 6946).
            if !matches!(piece, Piece::Whole) || self.draws.once_in(10) {
                packet = packet.ipv6_fragment(offset, more, id);
            }
        }
        let bytes = packet.protocol(number).payload(&payload).build();
        let facts = &mut seen.facts;
        let datagram = (facts.from, facts.to, id, facts.interface.clone(), facts.proto);
        match piece {
            Piece::Whole => {}
            Piece::First => drop(self.datagrams.insert(datagram, facts.transport.unwrap())),
            Piece::Later => {
                facts.transport = match facts.proto {
                    // Nothing of it can be unknown.
                    proto::GRE => Some(Transport::default()),
                    _ => self.datagrams.get(&datagram).map(|known| Transport { flags: 0, ..*known }),
                };
            }
            Piece::Forged => return Sent { what: What::Unreadable, ..Sent::new(seen, vlans, bytes) },
        }
        Sent::new(seen, vlans, bytes)
    }

    fn broken(&mut self, seen: &Seen) -> Sent {
        let vlans = self.tags();
        let begun = vlans.iter().fold(frame(), |frame, tci| frame.vlan(*tci));
        let number = u16::from(seen.facts.proto);
        let payload = transport(&seen.facts, None);
        let (what, packet) = match self.draws.below(5) {
            0 => (What::Unreadable, network(begun, seen).length(2000).protocol(number).payload(&payload)),
            1 => (What::Unreadable, network(begun, seen).version(5).protocol(number).payload(&payload)),
            2 => (What::Unreadable, network(begun, seen).protocol(proto::TCP.into()).payload(&[0; 19])),
            3 => (What::NotIp, begun.arp_request("10.0.0.1", "10.0.0.2")),
            _ => (What::NotIp, network(begun.vlan(1).vlan(2).vlan(3), seen).protocol(number).payload(&payload)),
        };
        Sent { what, ..Sent::new(seen.clone(), vlans, packet.build()) }
    }
}
