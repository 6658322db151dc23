//! From a frame's bytes to the flow it belongs to, and its size on the wire.
//!
//! Ethernet, up to two VLAN tags (in the frame or in metadata), IPv4 with options, IPv6 with up to eight extension
//! headers, fragments, and the ports of TCP, UDP, UDP-Lite, SCTP and DCCP; type and code of ICMP; any other protocol
//! by its number. What cannot be read is refused with a [`Reason`]; nothing is guessed. Checksums are not verified
//! here: offloading leaves them unfinished on the way out.

use crate::key::{mapped, words};
use crate::{Bytes, Direction, FlowKey, FragmentId, Fragments, Reason, proto};

/// Headers are looked for in this many leading bytes of a frame.
pub const HEADERS_MAX: usize = 512;

/// Longest frame there can be: half a thousand times the largest buffer the kernel makes (512 KiB with BIG TCP). A
/// capture file can claim more; sums of 32 bits then would not hold, so whoever reads one refuses it before.
pub const LEN_MAX: u32 = 1 << 28;

/// Most segments a buffer can stand for: the kernel counts them in 16 bits.
const SEGMENTS_MAX: u32 = 0xffff;

/// IPv6 extension headers looked through before a packet is refused.
pub const EXTENSIONS_MAX: usize = 8;

const VLAN_TAGS_MAX: u32 = 2;

/// How the first byte of the frame is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// An IP header; its version nibble tells which.
    Ip,
    /// What follows this EtherType (the link header was taken off already).
    After(u16),
}

/// What is known of a frame besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Layout of the first bytes.
    pub link: Link,
    /// Length on the wire from the first byte, which may exceed what was captured; at most [`LEN_MAX`].
    pub len: u32,
    /// Link-layer bytes that were taken off the front before (cooked captures), counted as link bytes; a few dozen.
    pub stripped: u32,
    /// Segments the buffer stands for (GSO/GRO); 0 means unknown when `segment_size` is set, else one.
    pub segments: u32,
    /// Payload bytes of one segment, 0 when the buffer is one packet. Buffers from a virtual machine or a tun device
    /// carry a size but no count.
    pub segment_size: u32,
    /// VLAN tag control information kept in metadata, the outermost tag; `None` when there is none.
    pub vlan: Option<u16>,
    /// Interface index, at least 1.
    pub ifindex: u32,
    /// The hook.
    pub direction: Direction,
}

/// A packet as the flow cache counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Packet {
    /// Its one-way flow.
    pub key: FlowKey,
    /// Packets on the wire: the segments of the buffer.
    pub packets: u32,
    /// IP bytes of them all.
    pub ip_bytes: u32,
    /// Link bytes of them all.
    pub link_bytes: u32,
    /// TCP flags (FIN is bit 0, CWR bit 7); 0 for other protocols.
    pub tcp_flags: u8,
}

/// A packet and where its parts lie, for whoever looks deeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Parsed {
    /// What to count.
    pub packet: Packet,
    /// Offset of the IP header.
    pub ip_at: usize,
    /// Offset of the transport header; the same as `payload_at` where none was read, as in a later fragment.
    pub transport_at: usize,
    /// Offset of the transport payload (of the IP payload where there are no ports).
    pub payload_at: usize,
    /// Offset of the end of the IP datagram.
    pub end: usize,
    /// Part of a fragmented datagram.
    pub fragmented: bool,
}

/// Where the network header starts, and how many tags were passed.
#[derive(Clone, Copy)]
struct Network {
    at: usize,
    ethertype: u16,
    vlans: [u16; 2],
    tags: u32,
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_MPLS: u16 = 0x8847;
const ETHERTYPE_MPLS_UPSTREAM: u16 = 0x8848;
const ETHERTYPE_QINQ: u16 = 0x88a8;
const ETHERTYPE_QINQ_OLD: u16 = 0x9100;
/// Values below are IEEE 802.3 lengths.
const ETHERTYPE_MIN: u16 = 0x0600;

/// Reads `N` bytes, telling a header that is not there from one the capture cut off.
#[inline(always)]
pub(crate) fn take<const N: usize, B: Bytes>(
    bytes: &B,
    at: usize,
    end: usize,
    broken: Reason,
) -> Result<[u8; N], Reason> {
    if at + N > end {
        return Err(broken);
    }
    bytes.read::<N>(at).ok_or(Reason::Snapped)
}

#[inline(always)]
fn network<B: Bytes>(bytes: &B, frame: &Frame) -> Result<Network, Reason> {
    let end = frame.len as usize;
    let mut net = Network { at: 0, ethertype: 0, vlans: [0; 2], tags: 0 };
    if let Some(tci) = frame.vlan {
        net.vlans[0] = tci & 0xfff;
        net.tags = 1;
    }
    match frame.link {
        Link::Ethernet => {
            net.ethertype = u16::from_be_bytes(take::<2, B>(bytes, 12, end, Reason::ShortEthernet)?);
            net.at = 14;
        }
        Link::After(ethertype) => net.ethertype = ethertype,
        Link::Ip => {
            let [version] = take::<1, B>(bytes, 0, end, Reason::BadIpv4Header)?;
            net.ethertype = if version >> 4 == 6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
        }
    }
    // Not a loop over an unknown count: the verifier sees three steps at the most.
    for _ in 0..=VLAN_TAGS_MAX {
        if !matches!(net.ethertype, ETHERTYPE_VLAN | ETHERTYPE_QINQ | ETHERTYPE_QINQ_OLD) {
            break;
        }
        if net.tags >= VLAN_TAGS_MAX {
            return Err(Reason::TooManyTags);
        }
        let [t0, t1, e0, e1] = take::<4, B>(bytes, net.at, end, Reason::ShortEthernet)?;
        let vid = u16::from_be_bytes([t0, t1]) & 0xfff;
        if net.tags == 0 {
            net.vlans[0] = vid;
        } else {
            net.vlans[1] = vid;
        }
        net.tags += 1;
        net.ethertype = u16::from_be_bytes([e0, e1]);
        net.at += 4;
    }
    Ok(net)
}

/// Where the transport header is, and which.
#[derive(Clone, Copy)]
struct Transport {
    proto: u8,
    at: usize,
    /// End of the datagram.
    end: usize,
    /// Fragment offset is not 0.
    later: bool,
    /// A later fragment, so near that it covers a part of the first one's TCP header.
    overlaps: bool,
    /// More fragments follow, or this one is later.
    fragmented: bool,
    id: u32,
}

#[inline(always)]
fn ipv4<B: Bytes>(bytes: &B, at: usize, end: usize, key: &mut FlowKey) -> Result<Transport, Reason> {
    let header = take::<20, B>(bytes, at, end, Reason::BadIpv4Header)?;
    let [vihl, _, t0, t1, i0, i1, f0, f1, _, proto, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = header;
    let header_len = usize::from(vihl & 0xf) * 4;
    if vihl >> 4 != 4 || header_len < 20 || at + header_len > end {
        return Err(Reason::BadIpv4Header);
    }
    let mut total = usize::from(u16::from_be_bytes([t0, t1]));
    if total == 0 {
        // Segmentation offload leaves the length to the card, and BIG TCP has none that fits.
        total = end - at;
    }
    if total < header_len || at + total > end {
        return Err(Reason::BadIpv4Length);
    }
    key.src = mapped([s0, s1, s2, s3]);
    key.dst = mapped([d0, d1, d2, d3]);
    let fragment = u16::from_be_bytes([f0, f1]);
    Ok(Transport {
        proto,
        at: at + header_len,
        end: at + total,
        later: fragment & 0x1fff != 0,
        overlaps: matches!(fragment & 0x1fff, 1 | 2),
        fragmented: fragment & 0x3fff != 0,
        id: u32::from(u16::from_be_bytes([i0, i1])),
    })
}

#[inline(always)]
fn ipv6<B: Bytes>(bytes: &B, at: usize, end: usize, key: &mut FlowKey) -> Result<Transport, Reason> {
    let [version, _, _, _, l0, l1, next, _] = take::<8, B>(bytes, at, end, Reason::BadIpv6Header)?;
    if version >> 4 != 6 {
        return Err(Reason::BadIpv6Header);
    }
    key.src = words(take::<16, B>(bytes, at + 8, end, Reason::BadIpv6Header)?);
    key.dst = words(take::<16, B>(bytes, at + 24, end, Reason::BadIpv6Header)?);
    key.mark_v6();
    let mut payload = usize::from(u16::from_be_bytes([l0, l1]));
    if payload == 0 {
        // Jumbograms, BIG TCP and segmentation offload: the length is the buffer's.
        payload = end - at - 40;
    }
    if at + 40 + payload > end {
        return Err(Reason::BadIpv6Length);
    }
    let end = at + 40 + payload;
    let mut t = Transport { proto: next, at: at + 40, end, later: false, overlaps: false, fragmented: false, id: 0 };
    if is_extension(next) {
        let walked = bytes.extensions(t.at as u32, end as u32, next);
        if let Some(reason) = walked.refusal() {
            return Err(reason);
        }
        t.proto = walked.next();
        t.at = walked.at();
        t.later = walked.has(Extensions::LATER);
        t.overlaps = walked.has(Extensions::OVERLAPS);
        t.fragmented = walked.has(Extensions::FRAGMENTED);
        t.id = walked.id();
    }
    Ok(t)
}

/// Where a walk over extension headers ended, in one word, so that it can cross a function border of the kernel.
///
/// Bits 0–31 fragment identification, 32–43 offset, 44–51 protocol, 52 later fragment, 53 fragmented, 54–58 refusal,
/// 59 a later fragment that overlaps a TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extensions(pub u64);

impl Extensions {
    const LATER: u64 = 1 << 52;
    const FRAGMENTED: u64 = 1 << 53;
    const REFUSAL_SHIFT: u32 = 54;
    const OVERLAPS: u64 = 1 << 59;
    /// Nobody walked: such a packet cannot be read on.
    pub const UNREAD: Self = Self::refuse(Reason::TooManyExtensions);

    #[inline(always)]
    const fn refuse(reason: Reason) -> Self {
        Self((reason as u64) << Self::REFUSAL_SHIFT)
    }

    #[inline(always)]
    fn refusal(self) -> Option<Reason> {
        // Spelled out: a table look-up by number would become a jump through memory in the kernel.
        match (self.0 >> Self::REFUSAL_SHIFT) as u32 & 0x1f {
            0 => None,
            n if n == Reason::Snapped as u32 => Some(Reason::Snapped),
            n if n == Reason::TooManyExtensions as u32 => Some(Reason::TooManyExtensions),
            _ => Some(Reason::BadIpv6Extension),
        }
    }

    #[inline(always)]
    fn has(self, bit: u64) -> bool {
        self.0 & bit != 0
    }

    #[inline(always)]
    fn at(self) -> usize {
        (self.0 >> 32) as usize & 0xfff
    }

    #[inline(always)]
    fn next(self) -> u8 {
        (self.0 >> 44) as u8
    }

    #[inline(always)]
    fn id(self) -> u32 {
        self.0 as u32
    }
}

/// Steps over up to [`EXTENSIONS_MAX`] extension headers.
#[inline(always)]
pub fn extensions<B: Bytes>(bytes: &B, at: u32, end: u32, next: u8) -> Extensions {
    let mut word = 0;
    let (mut at, mut next) = (at as usize, next);
    for _ in 0..EXTENSIONS_MAX {
        match extension(bytes, at, end as usize, next, &mut word) {
            Ok(size) => {
                at += size.0;
                next = size.1;
            }
            Err(reason) => return Extensions::refuse(reason),
        }
        if word & Extensions::LATER != 0 || !is_extension(next) {
            break;
        }
    }
    if is_extension(next) && word & Extensions::LATER == 0 || at > HEADERS_MAX {
        return Extensions::refuse(Reason::TooManyExtensions);
    }
    Extensions(word | (at as u64) << 32 | u64::from(next) << 44)
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

#[inline(always)]
pub(crate) fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION | MOBILITY | HIP | SHIM6)
}

/// Size of one extension header and the protocol after it; fragment facts go into `word`.
#[inline(always)]
fn extension<B: Bytes>(bytes: &B, at: usize, end: usize, this: u8, word: &mut u64) -> Result<(usize, u8), Reason> {
    if at > HEADERS_MAX {
        return Err(Reason::TooManyExtensions);
    }
    let [next, len, o0, o1, i0, i1, i2, i3] = take::<8, B>(bytes, at, end, Reason::BadIpv6Extension)?;
    // RFC 4302 §2.2: AH counts in 4-byte units less 2; RFC 8200: the others in 8-byte units less 1, the fragment
    // header is always 8 bytes and its second byte is reserved.
    let size = match this {
        FRAGMENT => {
            let offset = u16::from_be_bytes([o0, o1]);
            if offset & 0xfff8 != 0 {
                *word |= Extensions::LATER;
            }
            // In units of 8 bytes, in the upper 13 bits.
            if matches!(offset >> 3, 1 | 2) {
                *word |= Extensions::OVERLAPS;
            }
            if offset & 0xfff9 != 0 {
                *word |= Extensions::FRAGMENTED;
            }
            *word = *word & !0xffff_ffff | u64::from(u32::from_be_bytes([i0, i1, i2, i3]));
            8
        }
        AUTHENTICATION => (usize::from(len) + 2) * 4,
        _ => (usize::from(len) + 1) * 8,
    };
    if at + size > end {
        return Err(Reason::BadIpv6Extension);
    }
    Ok((size, next))
}

/// Whether [`transport`] finds ports (or type and code) behind this number, or cannot tell since options stand before.
#[inline(always)]
fn may_have_ports(next: u8) -> bool {
    matches!(next, proto::TCP | proto::UDP | proto::ICMP | proto::ICMPV6 | proto::SCTP | proto::DCCP | proto::UDPLITE)
        || is_extension(next)
}

/// Transport header length, once ports and flags are in the packet.
#[inline(always)]
fn transport<B: Bytes>(bytes: &B, t: &Transport, packet: &mut Packet) -> Result<usize, Reason> {
    let (at, end, whole) = (t.at, t.end, !t.fragmented);
    let header_len = match t.proto {
        proto::TCP => {
            let h = take::<14, B>(bytes, at, end, Reason::BadTcpHeader)?;
            let [s0, s1, d0, d1, _, _, _, _, _, _, _, _, offset, flags] = h;
            packet.key.sport = u16::from_be_bytes([s0, s1]);
            packet.key.dport = u16::from_be_bytes([d0, d1]);
            packet.tcp_flags = flags;
            let len = usize::from(offset >> 4) * 4;
            if len < 20 || at + len > end {
                return Err(Reason::BadTcpHeader);
            }
            len
        }
        proto::UDP => {
            let [s0, s1, d0, d1, l0, l1] = take::<6, B>(bytes, at, end, Reason::BadUdpHeader)?;
            packet.key.sport = u16::from_be_bytes([s0, s1]);
            packet.key.dport = u16::from_be_bytes([d0, d1]);
            let len = usize::from(u16::from_be_bytes([l0, l1]));
            // 0 is a jumbogram's length (RFC 2675 §4) and what segmentation offload may leave.
            if at + 8 > end || (len != 0 && (len < 8 || (whole && at + len > end))) {
                return Err(Reason::BadUdpHeader);
            }
            8
        }
        proto::ICMP | proto::ICMPV6 => {
            let [kind, code, _, _] = take::<4, B>(bytes, at, end, Reason::BadIcmpHeader)?;
            packet.key.sport = u16::from(kind);
            packet.key.dport = u16::from(code);
            4
        }
        proto::SCTP | proto::DCCP | proto::UDPLITE => {
            let [s0, s1, d0, d1, _, _, _, _] = take::<8, B>(bytes, at, end, Reason::BadTransportHeader)?;
            packet.key.sport = u16::from_be_bytes([s0, s1]);
            packet.key.dport = u16::from_be_bytes([d0, d1]);
            8
        }
        _ => 0,
    };
    Ok(header_len)
}

/// The packet whose IP header is at `at`; `end` bounds it from outside.
#[inline(always)]
pub(crate) fn ip<B: Bytes, F: Fragments>(
    bytes: &B,
    at: usize,
    end: usize,
    v6: bool,
    frame: &Frame,
    fragments: &mut F,
) -> Result<Parsed, Reason> {
    let mut packet = Packet::default();
    let t = if v6 { ipv6(bytes, at, end, &mut packet.key)? } else { ipv4(bytes, at, end, &mut packet.key)? };
    packet.key.place = u32::from(t.proto);
    packet.key.place_at(frame.ifindex, frame.direction);
    let mut header_len = 0;
    if t.later {
        if t.overlaps && t.proto == proto::TCP {
            return Err(Reason::OverlappingFragment);
        }
        match fragments.recall(&fragment_id(&packet.key, t.id)) {
            Some(ports) => {
                packet.key.sport = (ports >> 16) as u16;
                packet.key.dport = ports as u16;
            }
            None if may_have_ports(t.proto) => packet.key.mark_portless(),
            None => {}
        }
    } else {
        if t.at > HEADERS_MAX {
            return Err(Reason::TooManyExtensions);
        }
        header_len = transport(bytes, &t, &mut packet)
            .map_err(|reason| if t.fragmented && reason.is_invalid() { Reason::ShortFirstFragment } else { reason })?;
        if t.fragmented {
            let ports = u32::from(packet.key.sport) << 16 | u32::from(packet.key.dport);
            fragments.remember(&fragment_id(&packet.key, t.id), ports);
        }
    }
    let payload_at = t.at + header_len;
    let segments = if t.fragmented { 1 } else { segments(frame, (t.end - payload_at) as u32) };
    packet.packets = segments;
    // Each segment beyond the first repeats the headers that the buffer holds once.
    packet.ip_bytes = (t.end - at) as u32 + (segments - 1) * (payload_at - at) as u32;
    Ok(Parsed { packet, ip_at: at, transport_at: t.at, payload_at, end: t.end, fragmented: t.fragmented })
}

#[inline(always)]
fn segments(frame: &Frame, payload: u32) -> u32 {
    match (frame.segments, frame.segment_size) {
        (0, size) if size > 0 => payload.div_ceil(size).clamp(1, SEGMENTS_MAX),
        (0, _) => 1,
        (count, _) => count.min(SEGMENTS_MAX),
    }
}

#[inline(always)]
fn fragment_id(key: &FlowKey, id: u32) -> FragmentId {
    // Direction is left out: a host that forwards sees the fragments of one datagram on both hooks of one device
    // only when it sends them back, and then the ports are the same.
    FragmentId { src: key.src, dst: key.dst, id, place: key.place }
}

/// Reads a whole frame down to its transport header.
#[inline(always)]
pub fn parse<B: Bytes, F: Fragments>(bytes: &B, frame: &Frame, fragments: &mut F) -> Result<Parsed, Reason> {
    let net = network(bytes, frame)?;
    let v6 = match net.ethertype {
        ETHERTYPE_IPV4 => false,
        ETHERTYPE_IPV6 => true,
        ETHERTYPE_ARP => return Err(Reason::Arp),
        ETHERTYPE_MPLS | ETHERTYPE_MPLS_UPSTREAM => return Err(Reason::Mpls),
        other if other < ETHERTYPE_MIN => return Err(Reason::Llc),
        _ => return Err(Reason::OtherEtherType),
    };
    let mut parsed = ip(bytes, net.at, frame.len as usize, v6, frame, fragments)?;
    parsed.packet.key.set_vlans(net.vlans[0], net.vlans[1]);
    let metadata_tag = if frame.vlan.is_some() { 4 } else { 0 };
    let link_header = net.at as u32 + metadata_tag + frame.stripped;
    let padding = frame.len - parsed.end as u32;
    parsed.packet.link_bytes = parsed.packet.packets * link_header + padding;
    Ok(parsed)
}

/// Bytes of a frame on the wire, metadata tag and stripped header included, of one buffer.
#[inline(always)]
pub fn wire_len(frame: &Frame) -> u32 {
    frame.len + frame.stripped + if frame.vlan.is_some() { 4 } else { 0 }
}
