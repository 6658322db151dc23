//! Frames that are in no flow: ARP messages, and who sent what breaks a standard, as far as its headers tell.
//!
//! Invariant: no address is made up: what the frame does not hold in full stays unknown.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hivewall_datapath::parse::{Frame, Link, parse};
use hivewall_datapath::{FragmentId, Fragments, FrameBytes, PeekHead};
use hivewall_model::{Finding, Learned, Reason, Stray, StrayKind, Timestamp};

/// IEEE 802.1Q, 802.1ad and the older number for the outer tag.
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const ARP: u16 = 0x0806;

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// What the first bytes of such a frame tell.
pub(crate) fn read(time: Timestamp, head: &PeekHead, bytes: &[u8]) -> Option<Finding> {
    let reason = reason(head, bytes)?;
    let (ethertype, at) = if head.is_bare != 0 { (0, 0) } else { network(bytes) };
    let kind = if reason == Reason::Arp { arp(ethertype, bytes.get(at..)?)? } else { invalid(reason, bytes.get(at..)) };
    let mac = |at| if head.is_bare == 0 { array(bytes, at).unwrap_or_default() } else { [0; 6] };
    let stray = Stray {
        time,
        ifindex: head.key.ifindex(),
        direction: head.key.direction(),
        source_mac: mac(6),
        target_mac: mac(0),
        kind,
    };
    Some(Finding { key: head.key, time, learned: Learned::Stray(Box::new(stray)) })
}

/// What is wrong with the frame, by the datapath's own parser over as much of it as was copied; `None` for a frame that is
/// sound as far as that goes.
fn reason(head: &PeekHead, bytes: &[u8]) -> Option<Reason> {
    let frame = Frame {
        link: if head.is_bare == 0 { Link::Ethernet } else { Link::Ip },
        len: head.payload,
        stripped: 0,
        segments: 0,
        segment_size: 0,
        vlan: None,
        ifindex: head.key.ifindex().max(1),
        direction: head.key.direction(),
    };
    parse(&FrameBytes(bytes), &frame, &mut NoFragments).err()
}

/// Fragments are not put together here.
struct NoFragments;

impl Fragments for NoFragments {
    fn remember(&mut self, _: &FragmentId, _: u32) {}

    fn recall(&mut self, _: &FragmentId) -> Option<u32> {
        None
    }
}

/// The EtherType behind at most two tags, and where what it names begins.
fn network(bytes: &[u8]) -> (u16, usize) {
    let mut at = 12;
    for _ in 0..2 {
        match array(bytes, at).map(u16::from_be_bytes) {
            Some(tag) if TAGS.contains(&tag) => at += 4,
            _ => break,
        }
    }
    (array(bytes, at).map_or(0, u16::from_be_bytes), at + 2)
}

/// RFC 826, for IPv4 over Ethernet.
fn arp(ethertype: u16, bytes: &[u8]) -> Option<StrayKind> {
    let is_ipv4_over_ethernet = array(bytes, 0) == Some([0, 1, 8, 0, 6, 4]);
    if ethertype != ARP || !is_ipv4_over_ethernet {
        return None;
    }
    let address = |at| array::<4>(bytes, at).map(|octets| IpAddr::from(Ipv4Addr::from(octets)));
    Some(StrayKind::Arp {
        operation: u16::from_be_bytes(array(bytes, 6)?),
        sender: (array(bytes, 8)?, address(14)?),
        target: (array(bytes, 18)?, address(24)?),
    })
}

fn invalid(reason: Reason, packet: Option<&[u8]>) -> StrayKind {
    let packet = packet.unwrap_or_default();
    let v4 = |at| array::<4>(packet, at).map(|octets| IpAddr::from(Ipv4Addr::from(octets)));
    let v6 = |at| array::<16>(packet, at).map(|octets| IpAddr::from(Ipv6Addr::from(octets)));
    let (source, target, protocol) = match packet.first().map(|first| first >> 4) {
        Some(4) => (v4(12), v4(16), packet.get(9).copied()),
        Some(6) => (v6(8), v6(24), packet.get(6).copied()),
        _ => (None, None, None),
    };
    StrayKind::Invalid { reason, source, target, protocol }
}

#[cfg(test)]
mod tests {
    use hivewall_model::Direction;

    use super::*;

    fn read_frame(bytes: &[u8]) -> Option<StrayKind> {
        let frame = Frame {
            link: Link::Ethernet,
            len: bytes.len() as u32,
            stripped: 0,
            segments: 0,
            segment_size: 0,
            vlan: None,
            ifindex: 3,
            direction: Direction::Egress,
        };
        let head = PeekHead::stray(&frame, bytes.len());
        let finding = read(Timestamp(5), &head, bytes)?;
        let Learned::Stray(stray) = finding.learned else { panic!("{:?}", finding.learned) };
        assert_eq!((stray.time, stray.ifindex, stray.direction), (Timestamp(5), 3, Direction::Egress));
        Some(stray.kind)
    }

    fn arp_frame(tags: &[u8]) -> Vec<u8> {
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, 1]);
        frame.extend(tags);
        frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
        frame.extend([2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
        frame.extend([2, 0, 0, 0, 0, 2, 10, 0, 0, 2]);
        frame
    }

    #[test]
    fn an_arp_message_is_read_with_and_without_tags() {
        let wanted = StrayKind::Arp {
            operation: 2,
            sender: ([2, 0, 0, 0, 0, 1], IpAddr::from([10, 0, 0, 1])),
            target: ([2, 0, 0, 0, 0, 2], IpAddr::from([10, 0, 0, 2])),
        };
        for tags in [&[][..], &[0x81, 0, 0, 7], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 8]] {
            assert_eq!(read_frame(&arp_frame(tags)), Some(wanted.clone()));
        }
    }

    #[test]
    fn an_arp_message_that_is_cut_off_or_of_another_kind_tells_nothing() {
        let whole = arp_frame(&[]);
        for length in 0..whole.len() {
            let read = read_frame(whole.get(..length).unwrap());
            assert!(!matches!(read, Some(StrayKind::Arp { .. })), "{length}: {read:?}");
        }
        let mut other = whole;
        other[16] = 9;
        assert_eq!(read_frame(&other), None);
    }

    #[test]
    fn who_sent_a_broken_packet_is_told_where_its_header_holds_it() {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 9, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        let reason = Reason::BadIpv4Length;
        let wanted = StrayKind::Invalid {
            reason,
            source: Some(IpAddr::from([192, 0, 2, 1])),
            target: Some(IpAddr::from([192, 0, 2, 2])),
            protocol: Some(6),
        };
        assert_eq!(read_frame(&frame), Some(wanted));
        let nobody = StrayKind::Invalid { reason: Reason::BadIpv4Header, source: None, target: None, protocol: None };
        assert_eq!(read_frame(frame.get(..14).unwrap()), Some(nobody));
    }
}
