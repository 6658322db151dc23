//! Link headers that captures have and wires do not: Linux cooked v1 and v2, BSD loopback.
//!
//! It only finds what comes behind them; Ethernet and IP are the datapath's. Layouts are those of
//! <https://www.tcpdump.org/linktypes.html>. Invariant: bytes are never guessed; a header that was cut is told as such
//! by being longer than the bytes.

use hivewall_datapath::Link;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Reserved (RFC 1701), so that the datapath files it under "other".
const ETHERTYPE_RESERVED: u16 = 0xffff;

/// `LINUX_SLL_OUTGOING`: sent by the capturing host.
const COOKED_OUTGOING: u16 = 4;

// Hardware types (Linux `if_arp.h`) behind whose cooked header the protocol field is not an EtherType.
const ARPHRD_FRAD: u16 = 770;
const ARPHRD_RADIOTAP: u16 = 803;
const ARPHRD_NETLINK: u16 = 824;

/// How the frames of an interface start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Plain(Link),
    /// Address family in the byte order of the capturing host, which the file does not tell.
    Null,
    /// Address family in network byte order.
    Loop,
    Cooked,
    Cooked2,
    Unknown,
}

/// What a link header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// What follows; `None` when unknown.
    pub(super) link: Option<Link>,
    /// Its length in bytes, which may exceed the bytes captured.
    pub(super) size: u32,
    pub(super) outgoing: bool,
    pub(super) ifindex: u32,
}

impl Head {
    #[inline]
    fn new(size: u32, link: Option<Link>) -> Head {
        Head { link, size, outgoing: false, ifindex: 0 }
    }

    /// A header cut off: `Link::Ip` over no bytes is refused by the datapath as snapped.
    fn cut(size: u32) -> Head {
        Head::new(size, Some(Link::Ip))
    }
}

impl Layout {
    pub(super) fn of(link_type: u16) -> Layout {
        match link_type {
            0 => Layout::Null,
            1 => Layout::Plain(Link::Ethernet),
            // 12 and 14 are what different BSDs called DLT_RAW before it was LINKTYPE_RAW, 101.
            12 | 14 | 101 => Layout::Plain(Link::Ip),
            108 => Layout::Loop,
            113 => Layout::Cooked,
            228 => Layout::Plain(Link::After(ETHERTYPE_IPV4)),
            229 => Layout::Plain(Link::After(ETHERTYPE_IPV6)),
            276 => Layout::Cooked2,
            _ => Layout::Unknown,
        }
    }

    #[inline]
    pub(super) fn read(self, bytes: &[u8]) -> Head {
        match self {
            Layout::Plain(link) => Head::new(0, Some(link)),
            Layout::Unknown => Head::new(0, None),
            Layout::Null | Layout::Loop => self.loopback(bytes),
            Layout::Cooked => cooked(bytes),
            Layout::Cooked2 => cooked2(bytes),
        }
    }

    fn loopback(self, bytes: &[u8]) -> Head {
        let Some(family) = bytes.first_chunk::<4>() else { return Head::cut(4) };
        let family = match self {
            // Families are small numbers: in the wrong order they are beyond 16 bits.
            Layout::Null => {
                let little = u32::from_le_bytes(*family);
                if little > 0xffff { little.swap_bytes() } else { little }
            }
            _ => u32::from_be_bytes(*family),
        };
        let ethertype = match family {
            2 => ETHERTYPE_IPV4,
            // AF_INET6 of Linux, Windows, NetBSD and OpenBSD, FreeBSD, and Darwin.
            10 | 23 | 24 | 28 | 30 => ETHERTYPE_IPV6,
            _ => ETHERTYPE_RESERVED,
        };
        Head::new(4, Some(Link::After(ethertype)))
    }
}

fn behind_cooked(hardware: u16, protocol: u16) -> Option<Link> {
    match hardware {
        ARPHRD_FRAD | ARPHRD_RADIOTAP | ARPHRD_NETLINK => None,
        _ => Some(Link::After(protocol)),
    }
}

fn cooked(bytes: &[u8]) -> Head {
    let Some(&[k0, k1, h0, h1, _, _, _, _, _, _, _, _, _, _, p0, p1]) = bytes.first_chunk::<16>() else {
        return Head::cut(16);
    };
    let link = behind_cooked(u16::from_be_bytes([h0, h1]), u16::from_be_bytes([p0, p1]));
    Head { link, size: 16, outgoing: u16::from_be_bytes([k0, k1]) == COOKED_OUTGOING, ifindex: 0 }
}

fn cooked2(bytes: &[u8]) -> Head {
    let Some(&[p0, p1, _, _, i0, i1, i2, i3, h0, h1, kind, _, ..]) = bytes.first_chunk::<20>() else {
        return Head::cut(20);
    };
    Head {
        link: behind_cooked(u16::from_be_bytes([h0, h1]), u16::from_be_bytes([p0, p1])),
        size: 20,
        outgoing: u16::from(kind) == COOKED_OUTGOING,
        ifindex: u32::from_be_bytes([i0, i1, i2, i3]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(link_type: u16, bytes: &[u8]) -> Option<Link> {
        Layout::of(link_type).read(bytes).link
    }

    #[test]
    fn plain_link_types_are_read_by_the_datapath() {
        assert_eq!(link(1, &[]), Some(Link::Ethernet));
        for raw in [12, 14, 101] {
            assert_eq!(link(raw, &[]), Some(Link::Ip));
        }
        assert_eq!(link(228, &[]), Some(Link::After(ETHERTYPE_IPV4)));
        assert_eq!(link(229, &[]), Some(Link::After(ETHERTYPE_IPV6)));
        assert_eq!(link(127, &[0; 64]), None);
    }

    #[test]
    fn null_is_read_in_either_byte_order_and_loop_in_one() {
        for family in [10, 23, 24, 28, 30] {
            assert_eq!(link(0, &[family, 0, 0, 0]), Some(Link::After(ETHERTYPE_IPV6)));
            assert_eq!(link(0, &[0, 0, 0, family]), Some(Link::After(ETHERTYPE_IPV6)));
            assert_eq!(link(108, &[0, 0, 0, family]), Some(Link::After(ETHERTYPE_IPV6)));
        }
        assert_eq!(link(0, &[2, 0, 0, 0]), Some(Link::After(ETHERTYPE_IPV4)));
        assert_eq!(link(108, &[0, 0, 0, 2]), Some(Link::After(ETHERTYPE_IPV4)));
        assert_eq!(link(108, &[2, 0, 0, 0]), Some(Link::After(ETHERTYPE_RESERVED)));
    }

    #[test]
    fn cooked_headers_tell_protocol_direction_and_interface() {
        let mut v1 = [0; 16];
        v1[1] = 4;
        v1[3] = 1;
        v1[14..].copy_from_slice(&[0x86, 0xdd]);
        let head = Layout::Cooked.read(&v1);
        assert_eq!(head, Head { link: Some(Link::After(0x86dd)), size: 16, outgoing: true, ifindex: 0 });

        let mut v2 = [0; 20];
        v2[..2].copy_from_slice(&[8, 0]);
        v2[7] = 3;
        v2[9] = 1;
        let head = Layout::Cooked2.read(&v2);
        assert_eq!(head, Head { link: Some(Link::After(0x0800)), size: 20, outgoing: false, ifindex: 3 });
    }

    #[test]
    fn netlink_inside_a_cooked_header_is_unknown_not_ethernet() {
        let mut v1 = [0; 16];
        v1[2..4].copy_from_slice(&ARPHRD_NETLINK.to_be_bytes());
        assert_eq!(link(113, &v1), None);
    }

    #[test]
    fn a_header_that_was_cut_is_an_ip_packet_without_bytes() {
        for (link_type, size) in [(0, 4), (108, 4), (113, 16), (276, 20)] {
            let bytes = [0; 19];
            assert_eq!(Layout::of(link_type).read(&bytes[..size as usize - 1]), Head::cut(size));
        }
    }
}
