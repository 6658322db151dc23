//! The allow-list monitor: which sources are permitted, and what is told of the others.
//!
//! It knows no connections: a packet is judged by its source alone, whoever began. Invariant: each packet is counted once,
//! as permitted, as neighbour discovery, as refused, or as no IP; ARP and whatever else is no IP always passes.

use crate::front::{family, is_ipv4};
use crate::policy::Address;
use crate::{FlowKey, Packet, proto};

/// Changes with every change of a layout in this file.
pub const GUARD_ABI_VERSION: u32 = 1;
/// Prefixes a list can have.
pub const GUARD_PREFIXES_MAX: u32 = 1 << 16;
/// Refused conversations that are kept apart between two reports.
pub const GUARD_SEEN_MAX: u32 = 1 << 14;

/// Bits of the control word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardWord;

impl GuardWord {
    /// Which of the two lists holds.
    pub const LIST: u64 = 1;
    /// What is refused is dropped.
    pub const DROP: u64 = 2;
}

/// What a refused packet is told apart by.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuardKey {
    /// Source address, IPv4 mapped.
    pub source: [u32; 4],
    /// Interface.
    pub ifindex: u32,
    /// Destination port (ICMP: code), in host order.
    pub port: u16,
    /// Protocol; 255 for what cannot be read.
    pub proto: u8,
    /// 1: there are ports.
    pub has_ports: u8,
}

const _: () = assert!(size_of::<GuardKey>() == 24);

/// [`GuardKey::proto`] of a packet behind whose IP header nothing can be read.
pub const UNREADABLE: u8 = 255;

/// What came under one key, on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardSeen {
    /// Packets.
    pub packets: u64,
    /// Their IP bytes.
    pub bytes: u64,
    /// Where the latest went, IPv4 mapped.
    pub destination: [u32; 4],
    /// Source port of the latest (ICMP: type).
    pub source_port: u32,
    /// TCP flags of all.
    pub tcp_flags: u32,
}

const _: () = assert!(size_of::<GuardSeen>() == 40);

impl GuardSeen {
    /// Adds a packet.
    #[inline(always)]
    pub fn add(&mut self, packet: &Packet) {
        self.packets += 1;
        self.bytes += u64::from(packet.ip_bytes);
        self.destination = packet.key.dst;
        self.source_port = packet.key.sport.into();
        self.tcp_flags |= u32::from(packet.tcp_flags);
    }
}

/// The first packet under a key, told at once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardEvent {
    /// Whose.
    pub key: GuardKey,
    /// What came.
    pub seen: GuardSeen,
}

const _: () = assert!(size_of::<GuardEvent>() == 64);

/// What one CPU counted.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardCounts {
    /// Packets of permitted sources.
    pub permitted_packets: u64,
    /// Their bytes as the driver handed them over.
    pub permitted_bytes: u64,
    /// Packets of others.
    pub refused_packets: u64,
    /// Their bytes.
    pub refused_bytes: u64,
    /// Neighbour discovery of others, which passes.
    pub discovery_packets: u64,
    /// Frames that are no IP, which pass.
    pub other_packets: u64,
    /// Refused packets under no key, because there were too many keys.
    pub unkept_packets: u64,
    /// First packets that could not be told at once, because nobody read in time.
    pub untold_packets: u64,
}

const _: () = assert!(size_of::<GuardCounts>() == 64);

/// The key of a refused packet.
#[inline(always)]
pub fn key(packet: &FlowKey, has_ports: bool, ifindex: u32) -> GuardKey {
    GuardKey { source: packet.src, ifindex, port: packet.dport, proto: packet.proto(), has_ports: u8::from(has_ports) }
}

/// Whether a packet is neighbour discovery that came from this very link (RFC 4861: hop limit 255), without which an
/// IPv6 neighbour is not found at all.
#[inline(always)]
pub fn is_discovery(packet: &FlowKey, hop_limit: u8) -> bool {
    packet.proto() == proto::ICMPV6 && matches!(packet.sport, 133..=137) && hop_limit == 255
}

/// The address as it is looked up, and the family that the prefix found must be of.
#[inline(always)]
pub fn wanted(words: &[u32; 4]) -> (Address, u32) {
    (Address::host(*words), if is_ipv4(words) { family::IPV4 } else { family::IPV6 })
}
