//! What the sender of a refused packet is told: the bytes of a TCP reset, or of ICMP "administratively prohibited".
//!
//! Only plain packets are answered: IP without options or extension headers, from one host to one host. Whatever RFC 1122
//! §3.2.2 and RFC 4443 §2.4 forbid to answer is not. Where the bytes go is not decided here. Invariant: an answer is never
//! answered itself.

use super::VerdictCause;
use super::table::{Limit, LimitKey};
use crate::parse::{Parsed, is_extension};
use crate::{Bytes, Link, proto};

/// Answers a second, and at once.
pub const REPLY_RATE: Limit = Limit { interval_ns: 1_000_000, burst_ns: 999_000_000, per_source: 0, over: 1 };
/// Whose limit that is.
pub const REPLY_KEY: LimitKey = LimitKey { source: [0; 4], counter: VerdictCause::Reply as u32, pad: 0 };

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const TCP_LEN: usize = 20;
const ICMP_LEN: usize = 8;
/// Bytes of a refused packet that are sent back behind its IP header.
const QUOTED_LEN: usize = 8;
const TTL: u8 = 64;
const ETHERNET_LEN: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];

/// An answer, in the parts in which it replaces the packet behind its link header.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// IP header: 20 bytes of it, or all with IPv6.
    pub head: [u8; IPV6_LEN],
    /// What follows it.
    pub body: [u8; ICMP_LEN + IPV6_LEN + QUOTED_LEN],
    /// What stands in the transport header's checksum field while offloading leaves that unfinished: a sum over the pseudo
    /// header, network byte order.
    pub unfinished: [u8; 2],
    /// [`Shape`].
    pub shape: u16,
}

const _: () = assert!(size_of::<Reply>() == 100);

impl Default for Reply {
    fn default() -> Self {
        Self { head: [0; IPV6_LEN], body: [0; ICMP_LEN + IPV6_LEN + QUOTED_LEN], unfinished: [0; 2], shape: 0 }
    }
}

/// What kind of answer it is, and with it how long. 0: there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape(pub u16);

impl Shape {
    /// The packet is not answered.
    pub const NONE: Self = Self(0);
    const TCP: u16 = 1;
    const ICMP: u16 = 2;
    const V6: u16 = 4;
    /// The packet was UDP, whose checksum may be unfinished.
    const OF_UDP: u16 = 8;

    /// Whether it is IPv6.
    #[inline(always)]
    pub fn is_v6(self) -> bool {
        self.0 & Self::V6 != 0
    }

    /// Whether it is a TCP reset.
    #[inline(always)]
    pub fn is_tcp(self) -> bool {
        self.0 & Self::TCP != 0
    }

    /// Whether it can take the place of a packet whose checksum is unfinished: the sum that comes at last is written where
    /// that packet's transport has its checksum.
    #[inline(always)]
    pub fn can_be_unfinished(self) -> bool {
        self.0 & (Self::TCP | Self::OF_UDP) != 0
    }

    /// Bytes of [`Reply::head`].
    #[inline(always)]
    pub fn head_len(self) -> u32 {
        if self.is_v6() { IPV6_LEN as u32 } else { IPV4_LEN as u32 }
    }

    /// Bytes of [`Reply::body`].
    #[inline(always)]
    pub fn body_len(self) -> u32 {
        if self.is_tcp() { TCP_LEN as u32 } else { ICMP_LEN as u32 + self.head_len() + QUOTED_LEN as u32 }
    }
}

impl Reply {
    /// Makes the answer fit to be finished by whoever finishes the packet's checksum, which then is added up over all of
    /// [`Reply::body`]. An ICMP message has no field at that place (the lower half of what is unused): with the sum of the
    /// pseudo header there, what is added at last is nothing.
    #[inline(always)]
    pub fn leave_unfinished(&mut self) {
        let [a, b] = self.unfinished;
        let at = if Shape(self.shape).is_tcp() { 16 } else { 6 };
        if let Some([to_a, to_b, ..]) = self.body.get_mut(at..) {
            (*to_a, *to_b) = (a, b);
        }
    }
}

/// The sum of 16-bit numbers in the machine's order, to be folded: which order that is makes no difference (RFC 1071 §2).
#[inline(always)]
fn sum(bytes: &[u8]) -> u64 {
    bytes.as_chunks::<4>().0.iter().fold(0, |sum, four| sum + u64::from(u32::from_ne_bytes(*four)))
}

#[inline(always)]
fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

/// The checksum over what was summed up.
#[inline(always)]
fn checksum(sum: u64) -> [u8; 2] {
    (!fold(sum)).to_ne_bytes()
}

/// What protocol and length add to the sum over a pseudo header.
#[inline(always)]
fn pseudo(proto: u8, len: usize) -> u64 {
    u64::from(u16::from(proto).to_be()) + u64::from((len as u16).to_be())
}

/// The reset that a segment gets where there is no connection (RFC 9293 §3.10.7.1), its checksum left out; `None` where it
/// gets none. `len` counts from the beginning of its header to the end of the datagram.
#[inline(always)]
fn reset(segment: [u8; TCP_LEN], len: u32) -> Option<[u8; TCP_LEN]> {
    let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, ..] = segment;
    let header_len = u32::from(offset >> 4) * 4;
    if flags & RST != 0 || header_len < TCP_LEN as u32 || len < header_len {
        return None;
    }
    if flags & ACK != 0 {
        return Some([d0, d1, s0, s1, a0, a1, a2, a3, 0, 0, 0, 0, 0x50, RST, 0, 0, 0, 0, 0, 0]);
    }
    let taken = len - header_len + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    let [n0, n1, n2, n3] = u32::from_be_bytes([q0, q1, q2, q3]).wrapping_add(taken).to_be_bytes();
    Some([d0, d1, s0, s1, 0, 0, 0, 0, n0, n1, n2, n3, 0x50, RST | ACK, 0, 0, 0, 0, 0, 0])
}

/// Makes a reset the body; `pseudo` is the sum over the pseudo header.
#[inline(always)]
fn put_reset(reply: &mut Reply, mut bytes: [u8; TCP_LEN], pseudo: u64) {
    let [c0, c1] = checksum(pseudo + sum(&bytes));
    let [.., to_0, to_1, _, _] = &mut bytes;
    (*to_0, *to_1) = (c0, c1);
    reply.unfinished = fold(pseudo).to_ne_bytes();
    if let Some(body) = reply.body.first_chunk_mut() {
        *body = bytes;
    }
}

/// Makes an ICMP error the body, which sends back `quoted`.
#[inline(always)]
fn put_error<const N: usize>(reply: &mut Reply, kind: u8, code: u8, quoted: &[u8; N], pseudo: u64) {
    let [c0, c1] = checksum(pseudo + sum(&[kind, code, 0, 0]) + sum(quoted));
    reply.unfinished = fold(pseudo).to_ne_bytes();
    if let Some((icmp, rest)) = reply.body.split_first_chunk_mut::<ICMP_LEN>()
        && let Some(rest) = rest.first_chunk_mut::<N>()
    {
        *icmp = [kind, code, c0, c1, 0, 0, 0, 0];
        *rest = *quoted;
    }
}

/// Whether an IPv4 address that begins so is one host's, on a link (RFC 1122 §3.2.1.3).
#[inline(always)]
fn is_host(first: u8) -> bool {
    first != 0 && first != 127 && first < 224
}

/// Answers IPv4 at `at`, in a buffer that has `room` bytes from there on.
#[inline(always)]
fn reply_v4<B: Bytes>(bytes: &B, at: usize, room: usize, reply: &mut Reply) -> Option<u16> {
    let quoted = bytes.read::<{ IPV4_LEN + QUOTED_LEN }>(at)?;
    let [vihl, _, t0, t1, _, _, f0, f1, _, number, _, _, s0, s1, s2, s3, d0, d1, d2, d3, kind, ..] = quoted;
    let mut total = usize::from(u16::from_be_bytes([t0, t1]));
    if total == 0 {
        // As the parser has it: the length is the buffer's.
        total = room;
    }
    let is_later = u16::from_be_bytes([f0, f1]) & 0x1fff != 0;
    if vihl != 0x45 || is_later || total < quoted.len() || total > room || !is_host(s0) || !is_host(d0) {
        return None;
    }
    let is_tcp = number == proto::TCP;
    let body_len = if is_tcp { TCP_LEN } else { ICMP_LEN + quoted.len() };
    let proto = if is_tcp { number } else { proto::ICMP };
    let len = (IPV4_LEN + body_len) as u16;
    let [l0, l1] = len.to_be_bytes();
    // Don't fragment, and with it no identification (RFC 6864 §4.1).
    let mut head = [0x45, 0, l0, l1, 0, 0, 0x40, 0, TTL, proto, 0, 0, d0, d1, d2, d3, s0, s1, s2, s3];
    let shape = if is_tcp {
        let bytes = reset(bytes.read(at + IPV4_LEN)?, (total - IPV4_LEN) as u32)?;
        put_reset(reply, bytes, sum(&[d0, d1, d2, d3, s0, s1, s2, s3]) + pseudo(proto, body_len));
        Shape::TCP
    } else {
        // RFC 1122 §3.2.2: no error about an error; of types unknown to RFC 792 and RFC 1256 nothing is known.
        if number == proto::ICMP && !matches!(kind, 0 | 8..=10 | 13..=18) {
            return None;
        }
        // RFC 1812 §5.2.7.1: communication administratively prohibited.
        put_error(reply, 3, 13, &quoted, 0);
        Shape::ICMP | if number == proto::UDP { Shape::OF_UDP } else { 0 }
    };
    let [c0, c1] = checksum(sum(&head));
    (head[10], head[11]) = (c0, c1);
    if let Some(to) = reply.head.first_chunk_mut() {
        *to = head;
    }
    Some(shape)
}

/// Answers IPv6 likewise.
#[inline(always)]
fn reply_v6<B: Bytes>(bytes: &B, at: usize, room: usize, reply: &mut Reply) -> Option<u16> {
    let quoted = bytes.read::<{ IPV6_LEN + QUOTED_LEN }>(at)?;
    let [version, _, _, _, l0, l1, number, _, addresses @ .., kind, _, _, _, _, _, _, _] = quoted;
    let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, sa, sb, sc, sd, se, sf, destination @ ..] = addresses;
    let source = [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, sa, sb, sc, sd, se, sf];
    let mut payload = usize::from(u16::from_be_bytes([l0, l1]));
    if payload == 0 {
        payload = room.saturating_sub(IPV6_LEN);
    }
    let [d0, d1, d2, d3, ..] = destination;
    // ::, ::1 and what is mapped begin with zeros, and are no host's on a link (RFC 4291 §2.4).
    let is_odd = |first: [u8; 4]| matches!(first, [0xff, ..] | [0, 0, 0, 0]);
    let is_between_hosts = !is_odd([s0, s1, s2, s3]) && !is_odd([d0, d1, d2, d3]);
    let is_whole = version >> 4 == 6 && payload >= QUOTED_LEN && IPV6_LEN + payload <= room;
    if !is_whole || !is_between_hosts || is_extension(number) {
        return None;
    }
    let is_tcp = number == proto::TCP;
    let (proto, len) = if is_tcp { (number, TCP_LEN) } else { (proto::ICMPV6, ICMP_LEN + quoted.len()) };
    let pseudo = sum(&source) + sum(&destination) + pseudo(proto, len);
    let shape = if is_tcp {
        put_reset(reply, reset(bytes.read(at + IPV6_LEN)?, payload as u32)?, pseudo);
        Shape::TCP
    } else {
        // RFC 4443 §2.4 (e): no error about an error, or about a redirect.
        if number == proto::ICMPV6 && (kind < 128 || kind == 137) {
            return None;
        }
        // RFC 4443 §3.1: communication with destination administratively prohibited.
        put_error(reply, 1, 1, &quoted, pseudo);
        Shape::ICMP | if number == proto::UDP { Shape::OF_UDP } else { 0 }
    };
    let [l0, l1] = (len as u16).to_be_bytes();
    let (fixed, ends) = reply.head.split_first_chunk_mut::<8>()?;
    *fixed = [0x60, 0, 0, 0, l0, l1, proto, TTL];
    let (from, to) = ends.split_first_chunk_mut::<16>()?;
    *from = destination;
    *to.first_chunk_mut()? = source;
    Some(shape | Shape::V6)
}

/// Composes the answer to the packet of a frame with `len` bytes, and says what it is; `None` where it gets none.
#[inline(always)]
fn compose<B: Bytes>(bytes: &B, link: Link, len: usize, reply: &mut Reply) -> Option<u16> {
    let (at, is_v6) = if matches!(link, Link::Ethernet) {
        // RFC 1122 §3.2.2: none to what was sent to many at the link layer.
        let [group, ..] = bytes.read::<1>(0)?;
        if group & 1 != 0 {
            return None;
        }
        match bytes.read::<2>(12)? {
            ETHERTYPE_IPV4 => (ETHERNET_LEN, false),
            ETHERTYPE_IPV6 => (ETHERNET_LEN, true),
            _ => return None,
        }
    } else {
        (0, bytes.u8(0)? >> 4 == 6)
    };
    let room = len.saturating_sub(at);
    if is_v6 { reply_v6(bytes, at, room, reply) } else { reply_v4(bytes, at, room, reply) }
}

/// Puts together the answer to a refused packet, the first of a frame of `len` bytes.
#[inline(always)]
pub fn reply<B: Bytes>(bytes: &B, link: Link, len: u32, reply: &mut Reply) -> Shape {
    reply.shape = compose(bytes, link, len as usize, reply).unwrap_or(0);
    Shape(reply.shape)
}

/// Whether a packet could be an answer of ours.
#[inline(always)]
pub fn is_reply(parsed: &Parsed) -> bool {
    let (key, end) = (&parsed.packet.key, parsed.end);
    match key.proto() {
        proto::TCP => parsed.packet.tcp_flags & (RST | SYN | FIN) == RST && parsed.payload_at == end,
        proto::ICMP => key.sport == 3 && key.dport == 13,
        proto::ICMPV6 => key.sport == 1 && key.dport == 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
