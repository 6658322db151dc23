//! What both directions of a conversation have in common: the key of the flow table.
//!
//! It knows nothing of interfaces but the VLAN id that one stands for. Invariant: swapping source and destination of a
//! packet changes which way it goes, never its pair.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};

use hivewall_datapath::{FlowKey, proto};
use hivewall_model::icmp_counterpart;

use crate::sockets::End;

/// Both directions of a conversation share this: `a` is the smaller (address, port).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PairKey {
    pub a: [u8; 16],
    pub b: [u8; 16],
    pub a_port: u16,
    pub b_port: u16,
    /// VLAN ids, then bit 24 IPv6 and bit 25 port-less.
    tags: u32,
    pub protocol: u8,
}

const V6: u32 = 1 << 24;
const PORTLESS: u32 = 1 << 25;

/// A few wide words instead of bytes: this is hashed for every record.
impl Hash for PairKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_ne_bytes(self.a));
        state.write_u128(u128::from_ne_bytes(self.b));
        state.write_u64(u64::from(self.tags) << 32 | u64::from(self.a_port) << 16 | u64::from(self.b_port));
        state.write_u8(self.protocol);
    }
}

impl PairKey {
    /// The pair of a one-way key, and whether its packets go from `a` to `b`.
    pub(crate) fn of(key: &FlowKey, interface_vlan: u16) -> (Self, bool) {
        let protocol = key.proto();
        let (src, dst) = (key.src_octets(), key.dst_octets());
        let (sport, dport) = ports(key);
        // A host that pings itself has one address for both ends: there the type says who asks.
        let forward =
            if src == dst && is_icmp(protocol) { !is_reply(protocol, key.sport) } else { (src, sport) <= (dst, dport) };
        let (a, b, a_port, b_port) = if forward { (src, dst, sport, dport) } else { (dst, src, dport, sport) };
        let [outer, inner] = key.vlans();
        // An untagged frame on eth0.10 is the frame with tag 10 on eth0.
        let (outer, inner) = if interface_vlan == 0 { (outer, inner) } else { (interface_vlan, outer) };
        let mut tags = u32::from(outer) | u32::from(inner) << 12;
        if key.is_v6() {
            tags |= V6;
        }
        if key.is_portless() {
            tags |= PORTLESS;
        }
        (Self { a, b, a_port, b_port, tags, protocol }, forward)
    }

    /// The pair of two ends with ports, in this VLAN (0 for none), and whether the first of them is `a`.
    pub(crate) fn between(protocol: u8, one: End, other: End, vlan: u16) -> (Self, bool) {
        let octets = |ip: IpAddr| match ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        let tags = u32::from(vlan) | if one.0.is_ipv6() { V6 } else { 0 };
        let (x, y) = ((octets(one.0), one.1), (octets(other.0), other.1));
        let forward = x <= y;
        let ((a, a_port), (b, b_port)) = if forward { (x, y) } else { (y, x) };
        (Self { a, b, a_port, b_port, tags, protocol }, forward)
    }

    /// Address and port of `a` (0) or `b` (1).
    pub(crate) fn end(&self, side: usize) -> End {
        if side == 0 { (self.a_ip(), self.a_port) } else { (self.b_ip(), self.b_port) }
    }

    fn ip(&self, octets: [u8; 16]) -> IpAddr {
        let v6 = Ipv6Addr::from(octets);
        if self.tags & V6 != 0 { IpAddr::V6(v6) } else { v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4) }
    }

    pub(crate) fn a_ip(&self) -> IpAddr {
        self.ip(self.a)
    }

    pub(crate) fn b_ip(&self) -> IpAddr {
        self.ip(self.b)
    }

    /// Source and destination of packets that go this way.
    pub(crate) fn ends(&self, a_to_b: bool) -> (IpAddr, IpAddr) {
        if a_to_b { (self.a_ip(), self.b_ip()) } else { (self.b_ip(), self.a_ip()) }
    }

    pub(crate) fn vlans(&self) -> [u16; 2] {
        [(self.tags & 0xfff) as u16, (self.tags >> 12 & 0xfff) as u16]
    }

    pub(crate) fn is_portless(&self) -> bool {
        self.tags & PORTLESS != 0
    }

    pub(crate) fn is_icmp(&self) -> bool {
        is_icmp(self.protocol)
    }

    /// Whether ports mean ports, and are known.
    pub(crate) fn has_ports(&self) -> bool {
        let has = matches!(self.protocol, proto::TCP | proto::UDP | proto::SCTP | proto::DCCP | proto::UDPLITE);
        has && !self.is_portless()
    }

    /// Whether packets that go this way are for many: a bridge sends the same packet out of each port.
    pub(crate) fn is_to_many(&self, a_to_b: bool) -> bool {
        let dst = if a_to_b { &self.b } else { &self.a };
        let [first, .., w, x, y, z] = *dst;
        if self.tags & V6 != 0 { first == 0xff } else { w & 0xf0 == 0xe0 || [w, x, y, z] == [0xff; 4] }
    }
}

fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, proto::ICMP | proto::ICMPV6)
}

/// ICMP pairs a request with its reply: both get the lower of the two types on both ends, so that a swap of ends does
/// not change the key. Types without a counterpart keep type and code.
fn ports(key: &FlowKey) -> (u16, u16) {
    let protocol = key.proto();
    if !is_icmp(protocol) || key.is_portless() {
        return (key.sport, key.dport);
    }
    let kind = icmp_counterpart(protocol, key.sport).map_or(key.sport, |other| other.min(key.sport));
    let word = kind << 8 | key.dport & 0xff;
    (word, word)
}

/// Whether this ICMP type asks for another.
pub(crate) fn is_request(protocol: u8, kind: u16) -> bool {
    match protocol {
        proto::ICMP => matches!(kind, 8 | 10 | 13 | 15 | 17),
        proto::ICMPV6 => matches!(kind, 128 | 130 | 133 | 135 | 139 | 144),
        _ => false,
    }
}

fn is_reply(protocol: u8, kind: u16) -> bool {
    icmp_counterpart(protocol, kind).is_some() && !is_request(protocol, kind)
}
