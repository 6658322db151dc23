//! A network as the ban tables have it: 128 bits, IPv4 mapped, of a known family.
//!
//! Invariant: bits behind the length are 0, and the order of prefixes is that of their first addresses, the shorter first,
//! so that what a prefix holds follows it without a gap.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hivewall_datapath::front::family;
use hivewall_datapath::policy::Address;
use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};

/// Bits before an IPv4 address in its mapped form.
const MAPPED_BITS: u8 = 96;

/// A network, or a single address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    is_v6: bool,
    first: [u8; 16],
    len: u8,
}

impl Prefix {
    /// A network of the mapped form.
    fn new(is_v6: bool, address: u128, len: u8) -> Self {
        let mask = if len == 0 { 0 } else { u128::MAX << (128 - len) };
        Self { is_v6, first: (address & mask).to_be_bytes(), len }
    }

    /// Whether it is an IPv6 prefix (one of mapped IPv4 addresses is IPv4).
    pub fn is_v6(self) -> bool {
        self.is_v6
    }

    /// Its length as the family counts it: 0–32 or 0–128.
    pub fn len(self) -> u8 {
        if self.is_v6 { self.len } else { self.len - MAPPED_BITS }
    }

    /// Whether it is a single address.
    pub fn is_host(self) -> bool {
        self.len == 128
    }

    /// Whether it holds all addresses of its family.
    pub fn is_everything(self) -> bool {
        self.len() == 0
    }

    /// The first address as a number.
    pub(super) fn first(self) -> u128 {
        u128::from_be_bytes(self.first)
    }

    /// The last address as a number.
    pub(super) fn last(self) -> u128 {
        self.first() | u128::MAX.checked_shr(self.len.into()).unwrap_or(0)
    }

    /// The prefix of this length (as the family counts) that holds it; itself when it is no longer than that.
    pub(super) fn cut(self, len: u8) -> Self {
        let len = if self.is_v6 { len } else { len + MAPPED_BITS };
        Self::new(self.is_v6, self.first(), len.min(self.len))
    }

    /// The last prefix in order that it holds: its last single address.
    pub(super) fn last_inside(self) -> Self {
        Self { is_v6: self.is_v6, first: self.last().to_be_bytes(), len: 128 }
    }

    /// Number of the /24 it lies in, or begins with (IPv4).
    pub(super) fn network_24(self) -> u32 {
        (self.first() as u32) >> 8
    }

    /// As the kernel's tries have it.
    pub fn address(self) -> Address {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.first;
        let words = [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]].map(u32::from_ne_bytes);
        Address { prefix_len: self.len.into(), words }
    }

    /// From a key of the kernel's tries and its family there.
    pub fn of_address(address: &Address, of: u32) -> Self {
        let first = address.words.iter().fold(0, |sum, word| sum << 32 | u128::from(u32::from_be(*word)));
        let is_v6 = of != family::IPV4;
        let len = address.prefix_len.min(128) as u8;
        Self::new(is_v6, first, if is_v6 { len } else { len.max(MAPPED_BITS) })
    }

    /// Its [`family`] in a trie.
    pub fn family(self) -> u32 {
        if self.is_v6 { family::IPV6 } else { family::IPV4 }
    }

    /// The fewest prefixes that hold all addresses from one to another, both included; none when the ends are of two
    /// families or in the wrong order.
    pub fn range(from: IpAddr, to: IpAddr) -> Vec<Self> {
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) if from <= to => {
                Ipv4Subnets::new(from, to, 0).map(|net| IpNet::V4(net).into()).collect()
            }
            (IpAddr::V6(from), IpAddr::V6(to)) if from <= to => {
                Ipv6Subnets::new(from, to, 0).map(|net| IpNet::V6(net).into()).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl From<IpNet> for Prefix {
    fn from(net: IpNet) -> Self {
        match net {
            IpNet::V4(net) => {
                let mapped = u128::from(net.network().to_ipv6_mapped());
                Self::new(false, mapped, net.prefix_len() + MAPPED_BITS)
            }
            IpNet::V6(net) => {
                let is_v4 = net.prefix_len() >= MAPPED_BITS && net.network().to_ipv4_mapped().is_some();
                Self::new(!is_v4, net.network().into(), net.prefix_len())
            }
        }
    }
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        IpNet::from(address).into()
    }
}

impl From<Prefix> for IpNet {
    fn from(prefix: Prefix) -> Self {
        if prefix.is_v6 {
            Self::V6(Ipv6Net::new(Ipv6Addr::from(prefix.first), prefix.len()).unwrap_or_default())
        } else {
            Self::V4(Ipv4Net::new(Ipv4Addr::from(prefix.first() as u32), prefix.len()).unwrap_or_default())
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match IpNet::from(*self) {
            net if self.is_host() => net.addr().fmt(f),
            net => net.fmt(f),
        }
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: &str, to: &str) -> String {
        format!("{:?}", Prefix::range(from.parse().unwrap(), to.parse().unwrap()))
    }

    #[test]
    fn a_range_becomes_the_fewest_prefixes_that_hold_it() {
        assert_eq!(range("10.0.0.1", "10.0.0.6"), "[10.0.0.1, 10.0.0.2/31, 10.0.0.4/31, 10.0.0.6]");
        assert_eq!(range("0.0.0.0", "255.255.255.255"), "[0.0.0.0/0]");
        assert_eq!(range("2001:db8::", "2001:db8::ffff"), "[2001:db8::/112]");
        assert_eq!(range("10.0.0.2", "10.0.0.1"), "[]");
        assert_eq!(range("10.0.0.2", "2001:db8::"), "[]");
    }

    #[test]
    fn mapped_addresses_are_ipv4_and_bits_behind_the_length_are_nought() {
        let prefix = |text: &str| Prefix::from(text.parse::<IpNet>().unwrap());
        assert_eq!(prefix("::ffff:10.1.2.3/120"), prefix("10.1.2.0/24"));
        assert_eq!(prefix("10.1.2.3/8"), prefix("10.0.0.0/8"));
        assert!(prefix("::/0").is_v6() && prefix("::/0").is_everything() && prefix("0.0.0.0/0").is_everything());
        assert_eq!(Prefix::of_address(&prefix("fd00::/8").address(), family::IPV6), prefix("fd00::/8"));
        assert_eq!(Prefix::of_address(&prefix("0.0.0.0/0").address(), family::IPV4), prefix("0.0.0.0/0"));
    }
}
