//! Copies of packets as bytes of a capture file. Of a flow's packet the kernel copied what its headers say and its payload, not
//! the headers themselves: those are built again. A frame that is in no flow was copied as it is.
//!
//! Invariant: a header that is built says nothing that was not copied, but for what every header has to have (a time to live of 64,
//! a checksum of zero where it would need the payload), and without payload allowed none is in it.

use std::net::{IpAddr, Ipv6Addr};

use hivewall_datapath::{PeekHead, proto};
use hivewall_export::LinkType;

use super::Holding;

/// IEEE 802.1Q, 802.1ad and the older number for the outer tag.
const TAGS: [[u8; 2]; 3] = [[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00]];
const ARP: [u8; 2] = [0x08, 0x06];
const MACS_BYTES: usize = 12;
/// RFC 826 for IPv4 over Ethernet.
const ARP_BYTES: usize = 28;
const IPV4_BYTES: usize = 20;
const IPV6_BYTES: usize = 40;
const TCP_BYTES: usize = 20;
/// What of any other transport's header is no payload: ports, length, checksum; an ICMP message's type, code and number.
const TRANSPORT_BYTES: usize = 8;
/// RFC 791 and 8200 recommend it for what is sent.
const HOPS: u8 = 64;

/// A packet of a capture file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) link: LinkType,
    pub(super) bytes: Vec<u8>,
    /// Length on the wire.
    pub(super) length: u32,
}

/// Who talks to whom in a frame, as far as it tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) addresses: [Option<IpAddr>; 2],
    pub(super) macs: Option<[[u8; 6]; 2]>,
    /// Where there are some.
    pub(super) ports: Option<[u16; 2]>,
    pub(super) protocol: Option<u8>,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// Where the network header begins, and whether it is one of ARP.
fn network(head: &PeekHead, bytes: &[u8]) -> (usize, bool) {
    if head.is_bare != 0 {
        return (0, false);
    }
    let mut at = MACS_BYTES;
    while at < MACS_BYTES + 8 && array(bytes, at).is_some_and(|tag| TAGS.contains(&tag)) {
        at += 4;
    }
    (at + 2, array(bytes, at) == Some(ARP))
}

/// As much of what was copied as may be held.
pub(super) fn held<'a>(head: &PeekHead, bytes: &'a [u8], holding: Holding) -> &'a [u8] {
    let most = match (holding, head.is_stray) {
        (Holding::Peek, _) => super::PACKET_BYTES_MAX,
        (Holding::Headers, 0) => 0,
        (Holding::Headers, _) => headers_of_stray(head, bytes),
    };
    bytes.get(..most).unwrap_or(bytes)
}

fn headers_of_stray(head: &PeekHead, bytes: &[u8]) -> usize {
    let transport = |protocol: Option<u8>| if protocol == Some(proto::TCP) { TCP_BYTES } else { TRANSPORT_BYTES };
    let (at, is_arp) = network(head, bytes);
    let more = match bytes.get(at).map(|first| first >> 4) {
        _ if is_arp => ARP_BYTES,
        Some(4) => IPV4_BYTES + transport(bytes.get(at + 9).copied()),
        Some(6) => IPV6_BYTES + transport(bytes.get(at + 6).copied()),
        // Of what cannot be read nobody knows where its headers end.
        _ => 0,
    };
    at + more
}

/// Addresses, ports, protocol.
pub(super) fn ends(head: &PeekHead, bytes: &[u8]) -> Ends {
    let canonical = |octets: [u8; 16]| Some(IpAddr::from(Ipv6Addr::from(octets)).to_canonical());
    if head.is_stray == 0 {
        let key = &head.key;
        let has_ports = matches!(key.proto(), proto::TCP | proto::UDP | proto::SCTP | proto::DCCP | proto::UDPLITE);
        return Ends {
            addresses: [canonical(key.src_octets()), canonical(key.dst_octets())],
            macs: None,
            ports: has_ports.then_some([key.sport, key.dport]),
            protocol: Some(key.proto()),
        };
    }
    let (at, is_arp) = network(head, bytes);
    let v4 = |at| array::<4>(bytes, at).map(IpAddr::from);
    let v6 = |at| array::<16>(bytes, at).map(IpAddr::from);
    let (addresses, protocol) = match bytes.get(at).map(|first| first >> 4) {
        _ if is_arp => ([v4(at + 14), v4(at + 24)], None),
        Some(4) => ([v4(at + 12), v4(at + 16)], bytes.get(at + 9).copied()),
        Some(6) => ([v6(at + 8), v6(at + 24)], bytes.get(at + 6).copied()),
        _ => ([None, None], None),
    };
    let macs = || Some([array(bytes, 0)?, array(bytes, 6)?]);
    Ends { addresses, macs: if head.is_bare == 0 { macs() } else { None }, ports: None, protocol }
}

/// The bytes of a capture file.
pub(super) fn frame(head: &PeekHead, held: &[u8]) -> Frame {
    if head.is_stray != 0 {
        let link = if head.is_bare == 0 { LinkType::Ethernet } else { LinkType::RawIp };
        return Frame { link, bytes: held.to_vec(), length: head.payload };
    }
    let transport = transport(head);
    let length = transport.len() as u32 + head.payload;
    let mut bytes = if head.key.is_v6() { ipv6(head, length) } else { ipv4(head, length) };
    let headers = bytes.len() as u32;
    bytes.extend(transport);
    bytes.extend(held);
    Frame { link: LinkType::RawIp, bytes, length: headers + length }
}

/// What does not fit is the longest there is: a buffer of the kernel stands for several packets of the wire.
fn short(length: u32) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn ipv4(head: &PeekHead, length: u32) -> Vec<u8> {
    let address = |octets: [u8; 16]| array::<4>(&octets, 12).unwrap_or_default();
    let mut bytes = vec![0x45, 0];
    bytes.extend(short(length + IPV4_BYTES as u32));
    bytes.extend([0, 0, 0, 0, HOPS, head.key.proto(), 0, 0]);
    bytes.extend(address(head.key.src_octets()));
    bytes.extend(address(head.key.dst_octets()));
    let sum = checksum(&bytes);
    if let Some(place) = bytes.get_mut(10..12) {
        place.copy_from_slice(&sum);
    }
    bytes
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks_exact(2).filter_map(|pair| array::<2>(pair, 0));
    let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(word))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn ipv6(head: &PeekHead, length: u32) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(short(length));
    bytes.extend([head.key.proto(), HOPS]);
    bytes.extend(head.key.src_octets());
    bytes.extend(head.key.dst_octets());
    bytes
}

fn transport(head: &PeekHead) -> Vec<u8> {
    let key = &head.key;
    let mut bytes = Vec::new();
    match key.proto() {
        _ if key.is_portless() => {}
        proto::TCP => {
            bytes.extend(key.sport.to_be_bytes());
            bytes.extend(key.dport.to_be_bytes());
            bytes.extend(head.seq.to_be_bytes());
            bytes.extend(head.ack.to_be_bytes());
            // Five words, no options.
            bytes.extend([0x50, head.tcp_flags]);
            bytes.extend(head.window.to_be_bytes());
            bytes.extend([0; 4]);
        }
        proto::UDP | proto::UDPLITE => {
            bytes.extend(key.sport.to_be_bytes());
            bytes.extend(key.dport.to_be_bytes());
            bytes.extend(short(head.payload + TRANSPORT_BYTES as u32));
            bytes.extend([0; 2]);
        }
        proto::ICMP | proto::ICMPV6 => {
            bytes.extend([key.sport as u8, key.dport as u8, 0, 0]);
            // RFC 792 and 4443: only an echo has a number behind it, the rest of other messages is in the copy.
            if key.dport == 0 && matches!(key.sport, 0 | 8 | 128 | 129) {
                bytes.extend(head.seq.to_be_bytes());
            }
        }
        _ => {}
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::evidence::testing::{head, stray};

    #[test]
    fn a_tcp_packet_is_built_again_from_what_was_copied_of_it() {
        let mut head = head(proto::TCP, 4000, 22, 600);
        (head.seq, head.ack, head.window, head.tcp_flags) = (7, 9, 512, 0x18);
        let whole = frame(&head, b"abc");
        assert_eq!((whole.link, whole.length), (LinkType::RawIp, 640));
        let (ip, rest) = etherparse::Ipv4Header::from_slice(&whole.bytes).unwrap();
        assert_eq!((ip.source, ip.destination, ip.total_len), ([192, 0, 2, 7], [10, 0, 0, 1], 640));
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        let (tcp, payload) = etherparse::TcpHeader::from_slice(rest).unwrap();
        assert_eq!((tcp.source_port, tcp.destination_port, tcp.sequence_number), (4000, 22, 7));
        assert_eq!((tcp.acknowledgment_number, tcp.window_size, tcp.psh, tcp.ack), (9, 512, true, true));
        assert_eq!(payload, b"abc");
    }

    #[test]
    fn datagrams_and_echoes_have_their_headers() {
        let whole = frame(&head(proto::UDP, 5353, 53, 30), &[]);
        let (udp, none) = etherparse::UdpHeader::from_slice(&whole.bytes[20..]).unwrap();
        assert_eq!((udp.source_port, udp.destination_port, udp.length, none.len()), (5353, 53, 38, 0));
        assert_eq!(whole.length, 58);
        let mut echo = head(proto::ICMP, 8, 0, 8);
        echo.seq = 0x0001_0002;
        assert_eq!(frame(&echo, &[]).bytes[20..], [8, 0, 0, 0, 0, 1, 0, 2]);
        assert_eq!(frame(&head(proto::ICMP, 3, 1, 8), &[]).bytes[20..], [3, 1, 0, 0]);
    }

    #[test]
    fn ports_of_icmp_are_none_and_addresses_are_in_their_own_family() {
        let of = ends(&head(proto::UDP, 5353, 53, 30), &[]);
        assert_eq!(of.addresses, [Some([192, 0, 2, 7].into()), Some([10, 0, 0, 1].into())]);
        assert_eq!((of.ports, of.protocol), (Some([5353, 53]), Some(proto::UDP)));
        assert_eq!(ends(&head(proto::ICMP, 8, 0, 8), &[]).ports, None);
    }

    #[test]
    fn without_leave_no_payload_is_held() {
        assert_eq!(held(&head(proto::TCP, 1, 2, 5), b"hello", Holding::Headers), b"");
        assert_eq!(held(&head(proto::TCP, 1, 2, 5), b"hello", Holding::Peek), b"hello");
        // A broken packet: headers of Ethernet, IPv4 and UDP, and a secret behind them.
        let mut frame = vec![2; 12];
        frame.extend([8, 0, 0x45, 0, 0, 9, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        frame.extend([0, 1, 0, 2, 0, 3, 0, 0]);
        frame.extend(b"secret");
        let head = stray(&frame);
        assert_eq!(held(&head, &frame, Holding::Headers).len(), 14 + 20 + 8);
        assert_eq!(held(&head, &frame, Holding::Peek), frame);
        let of = ends(&head, &frame);
        assert_eq!(of.addresses, [Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into())]);
        assert_eq!((of.protocol, of.macs), (Some(17), Some([[2; 6]; 2])));
    }

    #[test]
    fn an_arp_message_is_held_whole_behind_tags_too() {
        for tags in [&[][..], &[0x81, 0, 0, 7]] {
            let mut frame = vec![0xff; 12];
            frame.extend(tags);
            frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
            frame.extend([0; 18]);
            let head = stray(&frame);
            assert_eq!(held(&head, &frame, Holding::Headers).len(), 42 + tags.len());
            let of = ends(&head, &frame);
            assert_eq!(of.addresses, [Some([10, 0, 0, 1].into()), Some([10, 0, 0, 2].into())]);
        }
    }

    #[test]
    fn a_frame_that_is_cut_off_anywhere_is_held_and_tells_what_it_has() {
        let whole: Vec<u8> = (0..60).collect();
        for length in 0..whole.len() {
            let bytes = &whole[..length];
            let head = stray(bytes);
            assert!(held(&head, bytes, Holding::Headers).len() <= length);
            let _ = (ends(&head, bytes), frame(&head, bytes));
        }
    }
}
