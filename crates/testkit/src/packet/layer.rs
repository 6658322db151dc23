//! The layers a frame is made of, as plain data, and the numbers by which one names the next.
//!
//! It writes no bytes (`write.rs` does) and checks nothing: any combination may be asked for, sensible or not.
//! Invariant: a field that is `None` is computed, a field that is `Some` is written as given, right or wrong.

use std::net::{Ipv4Addr, Ipv6Addr};

/// One layer with what was overridden on it.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) kind: Kind,
    /// EtherType or IP protocol number of what follows.
    pub(super) protocol: Option<u16>,
    /// The length field, in the unit of that field.
    pub(super) length: Option<u16>,
    /// IHL or TCP data offset, in 32-bit words.
    pub(super) header_words: Option<u8>,
    pub(super) checksum: Option<u32>,
    pub(super) version: Option<u8>,
    /// Options of IPv4, TCP and Geneve; body of an extension header.
    pub(super) options: Vec<u8>,
}

impl Layer {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            protocol: None,
            length: None,
            header_words: None,
            checksum: None,
            version: None,
            options: Vec::new(),
        }
    }
}

/// What a layer is, with the fields that are its alone.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Ethernet { dst: [u8; 6], src: [u8; 6] },
    Vlan { tpid: u16, tci: u16 },
    Arp { operation: u16, sender: Ipv4Addr, target: Ipv4Addr },
    Ipv4(Ipv4),
    Ipv6(Ipv6),
    Extension { number: u8 },
    Fragment { offset: u16, more: bool, id: u32, reserved: u8 },
    Authentication { spi: u32, seq: u32 },
    Esp { spi: u32, seq: u32 },
    Tcp(Tcp),
    Udp { src: u16, dst: u16 },
    Icmp { kind: u8, code: u8, rest: u32 },
    Icmp6 { kind: u8, code: u8, rest: u32 },
    Sctp { src: u16, dst: u16, tag: u32 },
    Gre { checksummed: bool, key: Option<u32>, seq: Option<u32>, version: u8 },
    Vxlan { vni: u32 },
    Geneve { vni: u32 },
    Payload(Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ipv4 {
    pub(super) src: Ipv4Addr,
    pub(super) dst: Ipv4Addr,
    pub(super) tos: u8,
    pub(super) ttl: u8,
    pub(super) id: u16,
    /// In bytes.
    pub(super) offset: u16,
    pub(super) more: bool,
    pub(super) dont: bool,
    pub(super) reserved: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ipv6 {
    pub(super) src: Ipv6Addr,
    pub(super) dst: Ipv6Addr,
    pub(super) class: u8,
    pub(super) label: u32,
    pub(super) hops: u8,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Tcp {
    pub(super) src: u16,
    pub(super) dst: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u16,
    pub(super) window: u16,
    pub(super) urgent: u16,
}

impl Kind {
    /// The EtherType by which the layer before names this one; 0x88b5 (local experiments) where it has none.
    pub(super) fn ethertype(&self) -> u16 {
        match self {
            Self::Ethernet { .. } => 0x6558,
            Self::Vlan { tpid, .. } => *tpid,
            Self::Arp { .. } => 0x0806,
            Self::Ipv4(_) => 0x0800,
            Self::Ipv6(_) => 0x86dd,
            _ => 0x88b5,
        }
    }

    /// The IP protocol number by which the layer before names this one; 59 (nothing follows) where it has none.
    pub(super) fn ip_protocol(&self) -> u8 {
        match self {
            Self::Ethernet { .. } => 143,
            Self::Ipv4(_) => 4,
            Self::Ipv6(_) => 41,
            Self::Extension { number } => *number,
            Self::Fragment { .. } => 44,
            Self::Authentication { .. } => 51,
            Self::Esp { .. } => 50,
            Self::Tcp(_) => 6,
            Self::Udp { .. } => 17,
            Self::Icmp { .. } => 1,
            Self::Icmp6 { .. } => 58,
            Self::Sctp { .. } => 132,
            Self::Gre { .. } => 47,
            // Reserved for experiments (RFC 3692): a payload without a name must not pass for a protocol.
            Self::Payload(_) => 253,
            Self::Vlan { .. } | Self::Arp { .. } | Self::Vxlan { .. } | Self::Geneve { .. } => 59,
        }
    }
}
