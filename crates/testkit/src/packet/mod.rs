//! Frames for tests, written layer by layer, right by default and wrong on request.
//!
//! ```
//! use hivewall_testkit::packet::{SYN, frame};
//! let bytes = frame().vlan(10).ipv4("10.0.0.1", "10.0.0.2").tcp(1234, 80).flags(SYN).build();
//! assert_eq!(bytes.len(), 14 + 4 + 20 + 20);
//! ```
//!
//! Each call appends a layer or changes the last one; nesting is just going on (`.vxlan(7).ethernet().ipv4(…)`, or
//! [`Packet::inner`] with a packet made elsewhere). Lengths, protocol numbers and checksums are filled in unless
//! overridden. It reads no frames and validates nothing. A call that does not fit the last layer, or an address that
//! does not parse, panics: that is a mistake in the test. Invariant: equal calls give equal bytes.

mod checksum;
mod layer;
#[cfg(test)]
mod tests;
mod write;

use std::net::{Ipv4Addr, Ipv6Addr};

pub use checksum::{crc32c, internet};
use layer::{Ipv4, Ipv6, Kind, Layer, Tcp};

/// TCP: the sender has no more to say.
pub const FIN: u16 = 0x01;
/// TCP: opens a connection.
pub const SYN: u16 = 0x02;
/// TCP: breaks a connection.
pub const RST: u16 = 0x04;
/// TCP: push.
pub const PSH: u16 = 0x08;
/// TCP: the acknowledgement number counts.
pub const ACK: u16 = 0x10;
/// TCP: the urgent pointer counts.
pub const URG: u16 = 0x20;
/// TCP: ECN echo.
pub const ECE: u16 = 0x40;
/// TCP: congestion window reduced.
pub const CWR: u16 = 0x80;
/// TCP: accurate ECN, the bit below the reserved ones.
pub const AE: u16 = 0x100;

/// Source address of every Ethernet header unless [`Packet::mac`] says otherwise.
pub const SRC_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// Destination address of every Ethernet header unless [`Packet::mac`] says otherwise.
pub const DST_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

/// What can stand for an IPv4 address in a test.
pub trait ToV4 {
    /// The address; panics where text is not one.
    fn to_v4(self) -> Ipv4Addr;
}

impl ToV4 for Ipv4Addr {
    fn to_v4(self) -> Ipv4Addr {
        self
    }
}

impl ToV4 for &str {
    fn to_v4(self) -> Ipv4Addr {
        self.parse().unwrap_or_else(|_| panic!("write an IPv4 address like 10.0.0.1 instead of `{self}`"))
    }
}

/// What can stand for an IPv6 address in a test.
pub trait ToV6 {
    /// The address; panics where text is not one.
    fn to_v6(self) -> Ipv6Addr;
}

impl ToV6 for Ipv6Addr {
    fn to_v6(self) -> Ipv6Addr {
        self
    }
}

impl ToV6 for &str {
    fn to_v6(self) -> Ipv6Addr {
        self.parse().unwrap_or_else(|_| panic!("write an IPv6 address like fd00::1 instead of `{self}`"))
    }
}

/// A frame being written, from its Ethernet header on.
pub fn frame() -> Packet {
    bare().ethernet()
}

/// A packet without a link header (raw IP captures, inner packets).
pub fn bare() -> Packet {
    Packet { layers: Vec::with_capacity(6), pad_to: 0 }
}

/// The layers written so far. See the module's page.
#[derive(Clone, Debug)]
#[must_use = "a packet is bytes only after `build`"]
pub struct Packet {
    layers: Vec<Layer>,
    pad_to: usize,
}

/// Layers.
impl Packet {
    fn push(mut self, kind: Kind) -> Self {
        self.layers.push(Layer::new(kind));
        self
    }

    fn push_with(mut self, kind: Kind, options: &[u8]) -> Self {
        let mut layer = Layer::new(kind);
        layer.options.extend_from_slice(options);
        self.layers.push(layer);
        self
    }

    /// An Ethernet header with the house addresses.
    pub fn ethernet(self) -> Self {
        self.push(Kind::Ethernet { dst: DST_MAC, src: SRC_MAC })
    }

    /// An 802.1Q tag (0x8100); `tci` is the identifier, with priority bits where wanted.
    pub fn vlan(self, tci: u16) -> Self {
        self.tag(0x8100, tci)
    }

    /// An 802.1ad service tag (0x88a8).
    pub fn service_vlan(self, tci: u16) -> Self {
        self.tag(0x88a8, tci)
    }

    /// A tag under any EtherType.
    pub fn tag(self, tpid: u16, tci: u16) -> Self {
        self.push(Kind::Vlan { tpid, tci })
    }

    /// An ARP request for `target`.
    pub fn arp_request(self, sender: impl ToV4, target: impl ToV4) -> Self {
        self.push(Kind::Arp { operation: 1, sender: sender.to_v4(), target: target.to_v4() })
    }

    /// An ARP reply to `target`.
    pub fn arp_reply(self, sender: impl ToV4, target: impl ToV4) -> Self {
        self.push(Kind::Arp { operation: 2, sender: sender.to_v4(), target: target.to_v4() })
    }

    /// An IPv4 header: TTL 64, identification 0, neither DF nor a fragment.
    pub fn ipv4(self, src: impl ToV4, dst: impl ToV4) -> Self {
        let (src, dst) = (src.to_v4(), dst.to_v4());
        let (more, dont, reserved) = (false, false, false);
        self.push(Kind::Ipv4(Ipv4 { src, dst, tos: 0, ttl: 64, id: 0, offset: 0, more, dont, reserved }))
    }

    /// An IPv6 header: hop limit 64, class and flow label 0.
    pub fn ipv6(self, src: impl ToV6, dst: impl ToV6) -> Self {
        self.push(Kind::Ipv6(Ipv6 { src: src.to_v6(), dst: dst.to_v6(), class: 0, label: 0, hops: 64 }))
    }

    /// Any extension header of the usual form: next header, length in 8-byte units beyond the first, `body`
    /// (zero-padded to fill the unit).
    pub fn extension(self, number: u8, body: &[u8]) -> Self {
        self.push_with(Kind::Extension { number }, body)
    }

    /// Hop-by-hop options (0) of 8 bytes, all padding.
    pub fn hop_by_hop(self) -> Self {
        self.extension(0, &[1, 4, 0, 0, 0, 0])
    }

    /// Destination options (60) of 8 bytes, all padding.
    pub fn destination_options(self) -> Self {
        self.extension(60, &[1, 4, 0, 0, 0, 0])
    }

    /// A routing header (43) of 8 bytes, type 4, no segments left.
    pub fn routing(self) -> Self {
        self.extension(43, &[4, 0, 0, 0, 0, 0])
    }

    /// A mobility header (135) of 8 bytes, binding refresh request.
    pub fn mobility(self) -> Self {
        self.extension(135, &[0, 0, 0, 0, 0, 0])
    }

    /// An IPv6 fragment header (44); `offset` in bytes, a multiple of 8.
    pub fn ipv6_fragment(self, offset: u16, more: bool, id: u32) -> Self {
        self.push(Kind::Fragment { offset, more, id, reserved: 0 })
    }

    /// An authentication header (51) with an integrity value of `icv` bytes.
    pub fn authentication(self, icv: usize) -> Self {
        self.push_with(Kind::Authentication { spi: 0x100, seq: 1 }, &vec![0xa5; icv])
    }

    /// An ESP header (50); what follows is opaque on the wire.
    pub fn esp(self, spi: u32, seq: u32) -> Self {
        self.push(Kind::Esp { spi, seq })
    }

    /// A TCP header: numbers 0, no flags, window 65535.
    pub fn tcp(self, src: u16, dst: u16) -> Self {
        self.push(Kind::Tcp(Tcp { src, dst, seq: 0, ack: 0, flags: 0, window: 65535, urgent: 0 }))
    }

    /// A UDP header.
    pub fn udp(self, src: u16, dst: u16) -> Self {
        self.push(Kind::Udp { src, dst })
    }

    /// An ICMP header; `rest` is its second word (identifier and sequence of an echo).
    pub fn icmp(self, kind: u8, code: u8, rest: u32) -> Self {
        self.push(Kind::Icmp { kind, code, rest })
    }

    /// An ICMPv6 header; `rest` is its second word.
    pub fn icmp6(self, kind: u8, code: u8, rest: u32) -> Self {
        self.push(Kind::Icmp6 { kind, code, rest })
    }

    /// An SCTP common header; chunks go into the payload.
    pub fn sctp(self, src: u16, dst: u16, tag: u32) -> Self {
        self.push(Kind::Sctp { src, dst, tag })
    }

    /// A GRE header without optional fields; [`Packet::gre_key`] and its like add them.
    pub fn gre(self) -> Self {
        self.push(Kind::Gre { checksummed: false, key: None, seq: None, version: 0 })
    }

    /// UDP to port 4789 and a VXLAN header; an Ethernet header should follow.
    pub fn vxlan(self, vni: u32) -> Self {
        self.udp(50_000, 4789).push(Kind::Vxlan { vni })
    }

    /// UDP to port 6081 and a Geneve header; [`Packet::options`] sets its options.
    pub fn geneve(self, vni: u32) -> Self {
        self.udp(50_001, 6081).push(Kind::Geneve { vni })
    }

    /// Bytes as they are.
    pub fn payload(self, bytes: &[u8]) -> Self {
        self.push(Kind::Payload(bytes.to_vec()))
    }

    /// `n` bytes of a pattern.
    pub fn payload_len(self, n: usize) -> Self {
        self.push(Kind::Payload((0..n).map(|i| i as u8).collect()))
    }

    /// Another packet's layers, as the inside of this one.
    pub fn inner(mut self, packet: &Packet) -> Self {
        self.layers.extend_from_slice(&packet.layers);
        self
    }
}

/// Changes to the last layer.
impl Packet {
    fn change(mut self, call: &str, apply: impl FnOnce(&mut Layer) -> bool) -> Self {
        let done = self.layers.last_mut().is_some_and(apply);
        assert!(done, "`{call}` does not fit the last layer; call it right after the layer that it is meant for");
        self
    }

    fn change_ipv4(self, call: &str, apply: impl FnOnce(&mut Ipv4)) -> Self {
        self.change(call, |layer| {
            if let Kind::Ipv4(ip) = &mut layer.kind {
                apply(ip);
                true
            } else {
                false
            }
        })
    }

    fn change_tcp(self, call: &str, apply: impl FnOnce(&mut Tcp)) -> Self {
        self.change(call, |layer| {
            if let Kind::Tcp(tcp) = &mut layer.kind {
                apply(tcp);
                true
            } else {
                false
            }
        })
    }

    /// Ethernet addresses.
    pub fn mac(self, to: [u8; 6], from: [u8; 6]) -> Self {
        self.change("mac", |layer| {
            let Kind::Ethernet { dst, src } = &mut layer.kind else { return false };
            (*dst, *src) = (to, from);
            true
        })
    }

    /// The number by which this layer names the next: EtherType, or IP protocol.
    pub fn protocol(self, number: u16) -> Self {
        self.change("protocol", |layer| {
            layer.protocol = Some(number);
            true
        })
    }

    /// The length field, in its own unit, right or wrong: IPv4 total, IPv6 payload, UDP, extension header, Geneve
    /// options.
    pub fn length(self, value: u16) -> Self {
        self.change("length", |layer| {
            layer.length = Some(value);
            true
        })
    }

    /// The header length in 32-bit words, right or wrong: IPv4 IHL, TCP data offset.
    pub fn header_words(self, words: u8) -> Self {
        self.change("header_words", |layer| {
            layer.header_words = Some(words);
            matches!(layer.kind, Kind::Ipv4(_) | Kind::Tcp(_))
        })
    }

    /// The checksum field, right or wrong.
    pub fn checksum(self, value: u32) -> Self {
        self.change("checksum", |layer| {
            layer.checksum = Some(value);
            true
        })
    }

    /// The version field of IPv4, IPv6, GRE or Geneve.
    pub fn version(self, value: u8) -> Self {
        self.change("version", |layer| {
            if let Kind::Gre { version, .. } = &mut layer.kind {
                *version = value;
            }
            layer.version = Some(value);
            true
        })
    }

    /// Options of IPv4, TCP or Geneve; zero-padded to whole words.
    pub fn options(self, bytes: &[u8]) -> Self {
        self.change("options", |layer| {
            layer.options = bytes.to_vec();
            matches!(layer.kind, Kind::Ipv4(_) | Kind::Tcp(_) | Kind::Geneve { .. })
        })
    }

    /// TTL or hop limit.
    pub fn ttl(self, value: u8) -> Self {
        self.change("ttl", |layer| match &mut layer.kind {
            Kind::Ipv4(ip) => {
                ip.ttl = value;
                true
            }
            Kind::Ipv6(ip) => {
                ip.hops = value;
                true
            }
            _ => false,
        })
    }

    /// Type of service, or traffic class.
    pub fn tos(self, value: u8) -> Self {
        self.change("tos", |layer| match &mut layer.kind {
            Kind::Ipv4(ip) => {
                ip.tos = value;
                true
            }
            Kind::Ipv6(ip) => {
                ip.class = value;
                true
            }
            _ => false,
        })
    }

    /// IPv6 flow label.
    pub fn flow_label(self, value: u32) -> Self {
        self.change("flow_label", |layer| {
            let Kind::Ipv6(ip) = &mut layer.kind else { return false };
            ip.label = value;
            true
        })
    }

    /// IPv4 identification.
    pub fn id(self, value: u16) -> Self {
        self.change_ipv4("id", |ip| ip.id = value)
    }

    /// Makes the IPv4 packet a fragment: `offset` in bytes (a multiple of 8), more to come or not.
    pub fn fragment(self, offset: u16, more: bool) -> Self {
        self.change_ipv4("fragment", |ip| (ip.offset, ip.more) = (offset, more))
    }

    /// IPv4: do not fragment.
    pub fn dont_fragment(self) -> Self {
        self.change_ipv4("dont_fragment", |ip| ip.dont = true)
    }

    /// The reserved bit of IPv4's flags, or the reserved byte of an IPv6 fragment header, not zero as it should be.
    pub fn reserved(self) -> Self {
        self.change("reserved", |layer| match &mut layer.kind {
            Kind::Ipv4(ip) => {
                ip.reserved = true;
                true
            }
            Kind::Fragment { reserved, .. } => {
                *reserved = 0xff;
                true
            }
            _ => false,
        })
    }

    /// TCP flags, an OR of [`FIN`] … [`AE`].
    pub fn flags(self, flags: u16) -> Self {
        self.change_tcp("flags", |tcp| tcp.flags = flags)
    }

    /// TCP sequence and acknowledgement numbers.
    pub fn numbers(self, seq: u32, ack: u32) -> Self {
        self.change_tcp("numbers", |tcp| (tcp.seq, tcp.ack) = (seq, ack))
    }

    /// TCP window and urgent pointer.
    pub fn window(self, window: u16, urgent: u16) -> Self {
        self.change_tcp("window", |tcp| (tcp.window, tcp.urgent) = (window, urgent))
    }

    /// GRE key.
    pub fn gre_key(self, value: u32) -> Self {
        self.change("gre_key", |layer| {
            let Kind::Gre { key, .. } = &mut layer.kind else { return false };
            *key = Some(value);
            true
        })
    }

    /// GRE sequence number.
    pub fn gre_seq(self, value: u32) -> Self {
        self.change("gre_seq", |layer| {
            let Kind::Gre { seq, .. } = &mut layer.kind else { return false };
            *seq = Some(value);
            true
        })
    }

    /// GRE with a checksum.
    pub fn gre_checksum(self) -> Self {
        self.change("gre_checksum", |layer| {
            let Kind::Gre { checksummed, .. } = &mut layer.kind else { return false };
            *checksummed = true;
            true
        })
    }
}

/// Bytes.
impl Packet {
    /// Pads the finished frame with zeros, outside every length field, as Ethernet does below 60 bytes.
    pub fn pad_to(mut self, bytes: usize) -> Self {
        self.pad_to = bytes;
        self
    }

    /// The frame's bytes.
    pub fn build(&self) -> Vec<u8> {
        self.layout().0
    }

    fn layout(&self) -> (Vec<u8>, Vec<usize>) {
        let mut out = Vec::with_capacity(192);
        let mut starts = Vec::with_capacity(self.layers.len());
        write::assemble(&self.layers, &mut out, &mut starts);
        if out.len() < self.pad_to {
            out.resize(self.pad_to, 0);
        }
        (out, starts)
    }

    /// The same packet cut into fragments of at most `piece` bytes of IP payload each (rounded down to 8, at least
    /// 8), at its first IP layer, with `id`; checksums inside are those of the whole. Panics without an IP layer.
    pub fn fragments(&self, piece: usize, id: u32) -> Vec<Vec<u8>> {
        let (whole, starts) = self.layout();
        let piece = (piece & !7).max(8);
        let at = self.layers.iter().position(|l| matches!(l.kind, Kind::Ipv4(_) | Kind::Ipv6(_)));
        let at = at.expect("only an IP packet can be cut; add .ipv4() or .ipv6()");
        let (head, rest) = self.layers.split_at(at + 1);
        let body_at = starts.get(at + 1).copied().unwrap_or(whole.len());
        let body = whole.get(body_at..).unwrap_or_default();
        let number = rest.first().map_or(59, |l| u16::from(l.kind.ip_protocol()));
        let count = body.len().div_ceil(piece);
        let mut frames = Vec::with_capacity(count);
        for (index, bytes) in body.chunks(piece).enumerate() {
            let (offset, more) = ((index * piece) as u16, index + 1 < count);
            let mut packet = Self { layers: head.to_vec(), pad_to: self.pad_to };
            let v4 = matches!(head.last(), Some(Layer { kind: Kind::Ipv4(_), .. }));
            packet = if v4 {
                packet.id(id as u16).fragment(offset, more).protocol(number)
            } else {
                packet.ipv6_fragment(offset, more, id).protocol(number)
            };
            frames.push(packet.payload(bytes).build());
        }
        frames
    }
}
