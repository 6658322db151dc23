//! Random policies and packets for tests and fuzzing, drawn from a small world of addresses and ports, so that they meet.
//! Two runs with the same numbers make the same. Nothing here is about what a policy means.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hivewall_datapath::policy::{Action, opposite};
use hivewall_datapath::proto;
use hivewall_model::Direction;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::oracle::{Facts, Transport, has_ports, has_types};
use crate::{Addresses, Established, FlagsMatch, IcmpMatch, Mode, PortRange, Rule, Ruleset, Stage};

/// Names of the interfaces that packets pass; the first has index 1.
pub const INTERFACES: &[&str] = &["lo", "eth0", "eth1", "eth10", "e", "wg0", "wg01"];

/// The index of an interface; 0 for none of them.
pub fn ifindex(name: &str) -> u32 {
    INTERFACES.iter().zip(1..).find(|(known, _)| **known == name).map_or(0, |(_, index)| index)
}

/// The packet that answers this one.
pub fn answer(facts: &Facts) -> Facts {
    let transport = facts.transport.map(|transport| match facts.proto {
        proto::ICMP => Transport { source_port: if transport.source_port == 8 { 0 } else { 8 }, ..transport },
        proto::ICMPV6 => Transport { source_port: transport.source_port ^ 1, ..transport },
        _ => {
            Transport { source_port: transport.destination_port, destination_port: transport.source_port, ..transport }
        }
    });
    Facts { direction: opposite(facts.direction), from: facts.to, to: facts.from, transport, ..facts.clone() }
}

/// The bytes of the transport header of a packet, with nothing behind it; none without one.
pub fn header(facts: &Facts) -> Option<Vec<u8>> {
    let Transport { source_port, destination_port, flags } = facts.transport?;
    let (source, destination) = (source_port.to_be_bytes(), destination_port.to_be_bytes());
    Some(match facts.proto {
        proto::TCP => [&source[..], &destination, &[0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0]].concat(),
        proto::UDP => [source, destination, [0, 8], [0, 0]].concat(),
        proto::ICMP | proto::ICMPV6 => vec![source_port as u8, destination_port as u8, 0, 0, 0, 0, 0, 0],
        proto::GRE => vec![0; 4],
        _ => [source, destination, [0, 0], [0, 0], [0, 0], [0, 0]].concat(),
    })
}

/// Where the numbers come from.
pub struct Draws<'a> {
    bytes: Option<&'a [u8]>,
    state: u64,
}

impl<'a> Draws<'a> {
    /// Numbers without end that look random.
    pub fn seeded(seed: u64) -> Self {
        Self { bytes: None, state: seed }
    }

    /// The numbers that a fuzzer chose; zeros behind them.
    pub fn from_bytes(bytes: &'a [u8]) -> Self {
        Self { bytes: Some(bytes), state: 0 }
    }

    /// Whether there are numbers left.
    pub fn has_more(&self) -> bool {
        self.bytes.is_none_or(|bytes| !bytes.is_empty())
    }

    /// A number below `end`, which is at most 256.
    pub fn below(&mut self, end: u32) -> u32 {
        if let Some(bytes) = &mut self.bytes {
            let Some((first, rest)) = bytes.split_first() else { return 0 };
            *bytes = rest;
            return u32::from(*first) % end.max(1);
        }
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % u64::from(end.max(1))) as u32
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    fn one_of<T: Copy>(&mut self, first: T, others: &[T]) -> T {
        let at = self.below(others.len() as u32 + 1) as usize;
        at.checked_sub(1).and_then(|at| others.get(at)).copied().unwrap_or(first)
    }

    fn some<T>(&mut self, most: u32, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(most) + 1;
        (0..count).map(|_| make(self)).collect()
    }

    /// A policy: guard, exemptions and up to three tiers of rules.
    pub fn ruleset(&mut self) -> Ruleset {
        let mut rules = Vec::new();
        for stage in [Stage::Guard, Stage::Exempt, Stage::Tier(0), Stage::Tier(1), Stage::Tier(2)] {
            let most = if matches!(stage, Stage::Tier(_)) { 6 } else { 2 };
            for _ in 0..self.below(most) {
                rules.push(self.rule(stage, rules.len()));
            }
        }
        Ruleset { name: "sample".to_owned(), version: 1, mode: Mode::Enforce, rules, ..Ruleset::default() }
    }

    /// A rule of this stage.
    pub fn rule(&mut self, stage: Stage, number: usize) -> Rule {
        let early = !matches!(stage, Stage::Tier(_));
        let mut rule = Rule {
            direction: self.one_of(None, &[Some(Direction::Ingress), Some(Direction::Egress)]),
            from: self.addresses(),
            to: self.addresses(),
            established: self.one_of(Established::Reevaluate, &[Established::Keep, Established::Reset]),
            ..Rule::plain(format!("r{number}"), stage, None)
        };
        if !early {
            rule.action = self.one_of(Action::Accept, &[Action::Drop, Action::Drop, Action::Reject, Action::Pass]);
        }
        if self.once_in(2) {
            rule.protocols = self.some(2, Self::protocol);
        }
        match self.below(5) {
            0 => rule.source_ports = self.some(2, Self::range),
            1 | 2 => rule.destination_ports = self.some(2, Self::range),
            3 => rule.icmp = self.some(4, Self::icmp),
            _ => {}
        }
        if self.once_in(6) {
            let mask = self.below(64) as u8;
            rule.flags = Some(FlagsMatch { mask, value: self.below(64) as u8 & mask });
        }
        if self.once_in(4) {
            rule.interfaces =
                self.some(2, |draws| draws.one_of("eth0", &["eth1", "eth*", "e*", "wg0", "*"]).to_owned());
        }
        rule
    }

    fn addresses(&mut self) -> Addresses {
        match self.below(8) {
            0..=3 => Addresses::Any,
            4 => Addresses::NotIn(self.some(3, Self::net)),
            5 if self.once_in(4) => Addresses::In(Vec::new()),
            _ => Addresses::In(self.some(4, Self::net)),
        }
    }

    /// A prefix that holds some of the addresses there are.
    pub fn net(&mut self) -> IpNet {
        match self.address() {
            IpAddr::V4(address) => {
                let len = self.one_of(32, &[0, 8, 15, 16, 24, 25, 30, 31]);
                Ipv4Net::new(address, len).map_or(IpNet::V4(Ipv4Net::default()), |net| IpNet::V4(net.trunc()))
            }
            IpAddr::V6(address) => {
                let len = self.one_of(128, &[0, 16, 32, 64, 80, 96, 112, 126, 127]);
                Ipv6Net::new(address, len).map_or(IpNet::V6(Ipv6Net::default()), |net| IpNet::V6(net.trunc()))
            }
        }
    }

    /// An address: one of a few of each family.
    pub fn address(&mut self) -> IpAddr {
        let (a, b) = (self.below(3), self.below(4) as u8);
        match self.below(5) {
            0..=2 => {
                let [high, mid] = [[10, 0], [10, 1], [192, 168]].get(a as usize).copied().unwrap_or_default();
                Ipv4Addr::new(high, mid, (a % 2) as u8, b).into()
            }
            3 => Ipv6Addr::new(0xfd00, a as u16, 0, 0, 0, 0, 0, u16::from(b)).into(),
            // Near the mapped addresses, where the families touch.
            _ => Ipv6Addr::new(0, 0, 0, 0, 0, 0xfffe, a as u16, u16::from(b)).into(),
        }
    }

    fn protocol(&mut self) -> u8 {
        self.one_of(
            proto::TCP,
            &[proto::TCP, proto::UDP, proto::UDP, proto::ICMP, proto::ICMPV6, proto::SCTP, proto::GRE],
        )
    }

    fn port(&mut self) -> u16 {
        self.one_of(0, &[3, 8, 22, 80, 443, 1024, 65534, 65535])
    }

    fn range(&mut self) -> PortRange {
        let (a, b) = (self.port(), self.port());
        if self.once_in(2) { a..=a } else { a.min(b)..=a.max(b) }
    }

    fn icmp(&mut self) -> IcmpMatch {
        IcmpMatch { kind: self.one_of(0, &[3, 8, 128]), code: self.one_of(None, &[None, Some(0), Some(3), Some(4)]) }
    }

    /// A packet, now and then without a transport header to look at.
    pub fn facts(&mut self) -> Facts {
        let direction = self.one_of(Direction::Ingress, &[Direction::Egress]);
        let interface = self.one_of("eth0", INTERFACES).to_owned();
        let (from, to, proto) = (self.address(), self.address(), self.protocol());
        Facts { direction, interface, from, to, proto, transport: (!self.once_in(6)).then(|| self.transport(proto)) }
    }

    /// A transport header of this protocol.
    pub fn transport(&mut self, protocol: u8) -> Transport {
        let mut transport = Transport::default();
        if has_ports(protocol) {
            transport.source_port = self.port();
            transport.destination_port = self.port();
        }
        if has_types(protocol) {
            let wanted = self.icmp();
            transport.source_port = u16::from(wanted.kind);
            transport.destination_port = u16::from(wanted.code.unwrap_or(1));
        }
        if protocol == proto::TCP {
            transport.flags = self.below(256) as u8;
        }
        transport
    }
}
