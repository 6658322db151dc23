//! Who talks to whom, at one observation point: the key of a line in the flow cache.

/// Protocol numbers the datapath looks into (IANA "Assigned Internet Protocol Numbers").
pub mod proto {
    /// Internet Control Message Protocol.
    pub const ICMP: u8 = 1;
    /// IPv4 in IP.
    pub const IPIP: u8 = 4;
    /// Transmission Control Protocol.
    pub const TCP: u8 = 6;
    /// User Datagram Protocol.
    pub const UDP: u8 = 17;
    /// Datagram Congestion Control Protocol.
    pub const DCCP: u8 = 33;
    /// IPv6 in IP (6in4).
    pub const IPV6: u8 = 41;
    /// Generic Routing Encapsulation.
    pub const GRE: u8 = 47;
    /// Encapsulating Security Payload.
    pub const ESP: u8 = 50;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// Stream Control Transmission Protocol.
    pub const SCTP: u8 = 132;
    /// Lightweight UDP.
    pub const UDPLITE: u8 = 136;
}

/// Largest interface index a key can hold (24 bits). Linux hands indices out in sequence, so a host would have to
/// create 16 million devices to pass it; attaching to such a device is refused by name.
pub const IFINDEX_MAX: u32 = (1 << 24) - 1;

/// The hook a packet was seen on, from the host's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Direction {
    /// Received by the interface.
    #[default]
    Ingress,
    /// Sent through the interface.
    Egress,
}

/// The encapsulation an inner packet was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Tunnel {
    /// IPv4 in IP (protocol 4).
    Ipip = 1,
    /// IPv6 in IP (protocol 41).
    SixInFour = 2,
    /// GRE (protocol 47).
    Gre = 3,
    /// VXLAN (UDP 4789, or Linux's older 8472).
    Vxlan = 4,
    /// Geneve (UDP 6081).
    Geneve = 5,
}

const EGRESS: u32 = 1 << 24;
const V6: u32 = 1 << 25;
const PORTLESS: u32 = 1 << 26;
const TUNNEL_SHIFT: u32 = 28;
const VID: u32 = 0xfff;

/// A one-way flow at one observation point: addresses, ports, protocol, VLANs, interface and direction.
///
/// Addresses hold network byte order; IPv4 is IPv4-mapped (`::ffff:a.b.c.d`). `sport` of an ICMP packet is its type
/// and `dport` its code. All 44 bytes are significant: two keys are one flow if and only if they are equal.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct FlowKey {
    /// Source address, network byte order.
    pub src: [u32; 4],
    /// Destination address, network byte order.
    pub dst: [u32; 4],
    /// Source port, or ICMP type, or 0.
    pub sport: u16,
    /// Destination port, or ICMP code, or 0.
    pub dport: u16,
    /// Interface index in the upper 24 bits, protocol number in the lower 8.
    pub place: u32,
    /// VLAN ids (outer in bits 0–11, inner in 12–23), then direction, family, port-less fragment, tunnel kind.
    pub tags: u32,
}

const _: () = assert!(size_of::<FlowKey>() == 44);

/// The four address words of an IPv4 address given in network byte order.
#[inline(always)]
pub(crate) fn mapped(v4: [u8; 4]) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), u32::from_ne_bytes(v4)]
}

/// The four address words of an IPv6 address.
#[inline(always)]
pub(crate) fn words(v6: [u8; 16]) -> [u32; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = v6;
    [
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
        u32::from_ne_bytes([i, j, k, l]),
        u32::from_ne_bytes([m, n, o, p]),
    ]
}

fn octets(w: [u32; 4]) -> [u8; 16] {
    let [a, b, c, d] = w.map(u32::to_ne_bytes);
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]]
}

impl FlowKey {
    /// Protocol number.
    #[inline(always)]
    pub fn proto(&self) -> u8 {
        self.place as u8
    }

    /// Interface index.
    pub fn ifindex(&self) -> u32 {
        self.place >> 8
    }

    /// The hook it was seen on.
    pub fn direction(&self) -> Direction {
        if self.tags & EGRESS == 0 { Direction::Ingress } else { Direction::Egress }
    }

    /// Whether the packet was IPv6.
    #[inline(always)]
    pub fn is_v6(&self) -> bool {
        self.tags & V6 != 0
    }

    /// A later fragment whose first one was not seen: the ports are unknown, not zero.
    pub fn is_portless(&self) -> bool {
        self.tags & PORTLESS != 0
    }

    /// VLAN ids, outer first; 0 means untagged (or priority-tagged).
    pub fn vlans(&self) -> [u16; 2] {
        [(self.tags & VID) as u16, (self.tags >> 12 & VID) as u16]
    }

    /// The encapsulation this packet was inside of; `None` for the packet as the link carried it.
    pub fn tunnel(&self) -> Option<Tunnel> {
        match self.tags >> TUNNEL_SHIFT {
            1 => Some(Tunnel::Ipip),
            2 => Some(Tunnel::SixInFour),
            3 => Some(Tunnel::Gre),
            4 => Some(Tunnel::Vxlan),
            5 => Some(Tunnel::Geneve),
            _ => None,
        }
    }

    /// Source address as 16 octets (IPv4 mapped).
    pub fn src_octets(&self) -> [u8; 16] {
        octets(self.src)
    }

    /// Destination address as 16 octets (IPv4 mapped).
    pub fn dst_octets(&self) -> [u8; 16] {
        octets(self.dst)
    }

    #[inline(always)]
    pub(crate) fn place_at(&mut self, ifindex: u32, direction: Direction) {
        self.place = ifindex << 8 | self.place & 0xff;
        if matches!(direction, Direction::Egress) {
            self.tags |= EGRESS;
        }
    }

    #[inline(always)]
    pub(crate) fn mark_v6(&mut self) {
        self.tags |= V6;
    }

    #[inline(always)]
    pub(crate) fn mark_portless(&mut self) {
        self.tags |= PORTLESS;
    }

    #[inline(always)]
    pub(crate) fn mark_tunnel(&mut self, tunnel: Tunnel) {
        self.tags |= (tunnel as u32) << TUNNEL_SHIFT;
    }

    #[inline(always)]
    pub(crate) fn set_vlans(&mut self, outer: u16, inner: u16) {
        self.tags |= (outer as u32 & VID) | (inner as u32 & VID) << 12;
    }
}

/// What ties the fragments of one datagram together (RFC 791 §3.2, RFC 8200 §4.5).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct FragmentId {
    /// Source address words.
    pub src: [u32; 4],
    /// Destination address words.
    pub dst: [u32; 4],
    /// Identification field (16 bits in IPv4, 32 in IPv6).
    pub id: u32,
    /// Interface index in the upper 24 bits, protocol in the lower 8.
    pub place: u32,
}
