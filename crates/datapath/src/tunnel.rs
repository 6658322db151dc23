//! The packet inside a tunnel: IPIP, 6in4, GRE, VXLAN, Geneve. One level deep; the outer packet is counted either way.

use crate::parse::{self, Parsed, take};
use crate::{Bytes, Fragments, Frame, Link, Reason, Tunnel, proto};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Transparent Ethernet bridging: an Ethernet frame follows.
const ETHERTYPE_TEB: u16 = 0x6558;

const PORT_VXLAN: u16 = 4789;
/// Linux's port before IANA assigned 4789; still the kernel's default.
const PORT_VXLAN_LINUX: u16 = 8472;
const PORT_GENEVE: u16 = 6081;

impl Parsed {
    /// What this packet may carry inside.
    #[inline(always)]
    pub fn tunnel(&self) -> Option<Tunnel> {
        if self.fragmented {
            return None;
        }
        match self.packet.key.proto() {
            proto::GRE => Some(Tunnel::Gre),
            proto::IPIP => Some(Tunnel::Ipip),
            proto::IPV6 => Some(Tunnel::SixInFour),
            proto::UDP => match self.packet.key.dport {
                PORT_VXLAN | PORT_VXLAN_LINUX => Some(Tunnel::Vxlan),
                PORT_GENEVE => Some(Tunnel::Geneve),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Offset of the inner header and its EtherType; `None` where the tunnel carries nothing that is looked into
/// (control messages, PPTP, other protocols).
#[inline(always)]
fn inner_header<B: Bytes>(bytes: &B, tunnel: Tunnel, at: usize, end: usize) -> Result<Option<(usize, u16)>, Reason> {
    let found = match tunnel {
        Tunnel::Ipip => Some((at, ETHERTYPE_IPV4)),
        Tunnel::SixInFour => Some((at, ETHERTYPE_IPV6)),
        Tunnel::Gre => {
            let [f0, f1, p0, p1] = take::<4, B>(bytes, at, end, Reason::InnerUnread)?;
            let flags = u16::from_be_bytes([f0, f1]);
            // RFC 2784/2890: version 0; checksum, key and sequence number are each 4 bytes, routing is obsolete.
            if flags & 0x4007 != 0 {
                return Ok(None);
            }
            let optional = usize::from(flags >> 15) + usize::from(flags >> 13 & 1) + usize::from(flags >> 12 & 1);
            Some((at + 4 + 4 * optional, u16::from_be_bytes([p0, p1])))
        }
        // What is too short for a header is some other use of the port, as is a header that is not quite one.
        Tunnel::Vxlan | Tunnel::Geneve if at + 8 > end => None,
        Tunnel::Vxlan => {
            // RFC 7348 §5: the I flag set, everything reserved zero.
            let [flags, r0, r1, r2, _, _, _, r3] = take::<8, B>(bytes, at, end, Reason::InnerUnread)?;
            (flags == 0x08 && r0 | r1 | r2 | r3 == 0).then_some((at + 8, ETHERTYPE_TEB))
        }
        Tunnel::Geneve => {
            // RFC 8926 §3.4: version 0, option length in 4-byte units.
            let [version_len, _, p0, p1] = take::<4, B>(bytes, at, end, Reason::InnerUnread)?;
            (version_len >> 6 == 0)
                .then_some((at + 8 + 4 * usize::from(version_len & 0x3f), u16::from_be_bytes([p0, p1])))
        }
    };
    Ok(found)
}

/// The packet inside the tunnel payload `at..end`, marked with its tunnel; `Ok(None)` when there is none to look for.
/// Refuses with [`Reason::Snapped`] what was not captured, and everything else with [`Reason::InnerUnread`].
#[inline(always)]
pub(crate) fn inner<B: Bytes, F: Fragments>(
    bytes: &B,
    frame: &Frame,
    tunnel: Tunnel,
    at: usize,
    end: usize,
    fragments: &mut F,
) -> Result<Option<Parsed>, Reason> {
    let Some((mut at, mut ethertype)) = inner_header(bytes, tunnel, at, end)? else {
        return Ok(None);
    };
    if at > parse::HEADERS_MAX {
        return Err(Reason::InnerUnread);
    }
    if ethertype == ETHERTYPE_TEB {
        ethertype = u16::from_be_bytes(take::<2, B>(bytes, at + 12, end, Reason::InnerUnread)?);
        at += 14;
    }
    let v6 = match ethertype {
        ETHERTYPE_IPV4 => false,
        ETHERTYPE_IPV6 => true,
        _ => return Ok(None),
    };
    let frame = Frame { link: Link::Ip, ..*frame };
    let mut parsed = parse::ip(bytes, at, end, v6, &frame, fragments).map_err(|reason| match reason {
        Reason::Snapped => Reason::Snapped,
        _ => Reason::InnerUnread,
    })?;
    parsed.packet.key.mark_tunnel(tunnel);
    // The inner packet crossed no link of its own.
    parsed.packet.link_bytes = 0;
    Ok(Some(parsed))
}
