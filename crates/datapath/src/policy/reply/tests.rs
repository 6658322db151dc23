//! Answers to packets made by hand, read by another parser, with checksums by another sum.

extern crate std;

use std::vec::Vec;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use hivewall_testkit::packet::{Packet, bare, frame, internet};

use super::*;
use crate::FrameBytes;

/// The answer as it would leave: link header, then its parts.
fn answered(packet: &Packet) -> Option<Vec<u8>> {
    answered_bytes(&packet.build(), Link::Ethernet, 14)
}

fn answered_bytes(bytes: &[u8], link: Link, at: usize) -> Option<Vec<u8>> {
    let mut made = Reply::default();
    let shape = reply(&FrameBytes(bytes), link, bytes.len() as u32, &mut made);
    (shape != Shape::NONE).then(|| {
        let mut answer = bytes[..at].to_vec();
        answer.extend(&made.head[..shape.head_len() as usize]);
        answer.extend(&made.body[..shape.body_len() as usize]);
        check(&answer[at..]);
        unfinished(made, shape);
        answer
    })
}

/// Lengths and checksums, by another parser.
fn check(ip: &[u8]) {
    let sliced = SlicedPacket::from_ip(ip).unwrap();
    let payload = match &sliced.net {
        Some(NetSlice::Ipv4(v4)) => {
            let header = v4.header().to_header();
            assert_eq!(header.calc_header_checksum(), header.header_checksum);
            assert_eq!((header.time_to_live, usize::from(header.total_len)), (64, ip.len()));
            &ip[20..]
        }
        Some(NetSlice::Ipv6(v6)) => {
            assert_eq!((v6.header().hop_limit(), usize::from(v6.header().payload_length()) + 40), (64, ip.len()));
            &ip[40..]
        }
        other => panic!("{other:?}"),
    };
    match (sliced.net.unwrap(), sliced.transport.unwrap()) {
        (NetSlice::Ipv4(v4), TransportSlice::Tcp(tcp)) => {
            let (header, v4) = (tcp.to_header(), v4.header());
            assert_eq!(header.calc_checksum_ipv4_raw(v4.source(), v4.destination(), &[]).unwrap(), header.checksum);
        }
        (NetSlice::Ipv6(v6), TransportSlice::Tcp(tcp)) => {
            let (header, v6) = (tcp.to_header(), v6.header());
            assert_eq!(header.calc_checksum_ipv6_raw(v6.source(), v6.destination(), &[]).unwrap(), header.checksum);
        }
        (NetSlice::Ipv4(_), TransportSlice::Icmpv4(icmp)) => {
            assert_eq!(icmp.icmp_type().calc_checksum(icmp.payload()), icmp.checksum(), "{payload:?}");
        }
        (NetSlice::Ipv6(v6), TransportSlice::Icmpv6(icmp)) => {
            assert!(icmp.is_checksum_valid(v6.header().source(), v6.header().destination()));
        }
        other => panic!("{other:?}"),
    }
}

/// What offloading makes of an answer whose checksum it has to finish is an answer as well.
fn unfinished(mut made: Reply, shape: Shape) {
    if !shape.can_be_unfinished() {
        return;
    }
    made.leave_unfinished();
    let body = &mut made.body[..shape.body_len() as usize];
    let at = if shape.is_tcp() { 16 } else { 6 };
    // skb_checksum_help (net/core/dev.c): the sum from the transport header on, and never 0.
    let last = match internet(body) {
        0 => 0xffff,
        sum => sum,
    };
    body[at..at + 2].copy_from_slice(&last.to_be_bytes());
    let mut summed = body.to_vec();
    if shape.is_v6() || shape.is_tcp() {
        let from = if shape.is_v6() { 8..40 } else { 12..20 };
        summed.extend(&made.head[from]);
        let number = if shape.is_v6() { made.head[6] } else { made.head[9] };
        summed.extend([0, number, 0, shape.body_len() as u8]);
    }
    assert_eq!(internet(&summed), 0, "{shape:?}");
}

const V4: (&str, &str) = ("10.0.0.1", "10.0.0.2");
const V6: (&str, &str) = ("fd00::1", "fd00::2");

fn v4() -> Packet {
    frame().ipv4(V4.0, V4.1)
}

fn v6() -> Packet {
    frame().ipv6(V6.0, V6.1)
}

/// Ports, sequence, acknowledgement and flags of the reset.
fn reset_of(packet: &Packet) -> (u16, u16, u32, u32, u8) {
    let answer = answered(packet).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = SlicedPacket::from_ethernet(&answer).unwrap().transport else { panic!() };
    let flags = tcp.slice()[13];
    (tcp.source_port(), tcp.destination_port(), tcp.sequence_number(), tcp.acknowledgment_number(), flags)
}

#[test]
fn a_segment_gets_the_reset_of_a_closed_port() {
    for ip in [v4(), v6()] {
        let tcp = || ip.clone().tcp(4000, 80).numbers(0xffff_fff0, 77);
        let syn_options = tcp().flags(0x02).options(&[2, 4, 5, 0xb4]);
        assert_eq!(reset_of(&syn_options), (80, 4000, 0, 0xffff_fff1, 0x14), "a SYN is acknowledged");
        assert_eq!(reset_of(&tcp().flags(0x02).payload_len(32)), (80, 4000, 0, 0x11, 0x14), "with its data");
        assert_eq!(reset_of(&tcp().flags(0x01).payload_len(3)), (80, 4000, 0, 0xffff_fff4, 0x14), "FIN without ACK");
        assert_eq!(reset_of(&tcp().flags(0x00)), (80, 4000, 0, 0xffff_fff0, 0x14), "no flags");
        assert_eq!(reset_of(&tcp().flags(0x18).payload_len(900)), (80, 4000, 77, 0, 0x04), "where it is awaited");
        assert_eq!(reset_of(&tcp().flags(0x12)), (80, 4000, 77, 0, 0x04), "SYN and ACK");
        assert_eq!(answered(&tcp().flags(0x04)), None, "a reset");
        assert_eq!(answered(&tcp().flags(0x14)), None, "a reset with ACK");
        assert_eq!(answered(&tcp().flags(0x02).header_words(4)), None);
    }
}

#[test]
fn a_datagram_is_prohibited_and_its_beginning_sent_back() {
    for packet in [v4().udp(5000, 53).payload_len(30), v4().udp(5000, 53), v4().sctp(1, 2, 3), v4().icmp(8, 0, 1)] {
        let (answer, sent) = (answered(&packet).unwrap(), packet.build());
        assert_eq!((&answer[26..30], &answer[30..34]), (&sent[30..34], &sent[26..30]));
        assert_eq!((answer[34], answer[35], &answer[42..]), (3, 13, &sent[14..42]));
    }
    for packet in [v6().udp(5000, 53).payload_len(30), v6().udp(5000, 53), v6().sctp(1, 2, 3), v6().icmp6(128, 0, 1)] {
        let (answer, sent) = (answered(&packet).unwrap(), packet.build());
        assert_eq!((&answer[22..38], &answer[38..54]), (&sent[38..54], &sent[22..38]));
        assert_eq!((answer[54], answer[55], &answer[62..]), (1, 1, &sent[14..62]));
    }
}

#[test]
fn packets_without_a_link_header_are_answered_alike() {
    for packet in [bare().ipv4(V4.0, V4.1).udp(1, 2), bare().ipv6(V6.0, V6.1).tcp(1, 2).flags(2)] {
        assert!(answered_bytes(&packet.build(), Link::Ip, 0).is_some());
    }
}

#[test]
fn what_the_standards_forbid_to_answer_is_not_answered() {
    for kind in [3, 4, 5, 11, 12, 42] {
        assert_eq!(answered(&v4().icmp(kind, 0, 0).payload_len(28)), None, "ICMP type {kind}");
    }
    for kind in [1, 2, 3, 4, 100, 127, 137] {
        assert_eq!(answered(&v6().icmp6(kind, 0, 0).payload_len(48)), None, "ICMPv6 type {kind}");
    }
    for other in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "239.1.1.1", "255.255.255.255"] {
        assert_eq!(answered(&frame().ipv4(other, V4.1).udp(1, 2)), None, "from {other}");
        assert_eq!(answered(&frame().ipv4(V4.0, other).udp(1, 2)), None, "to {other}");
    }
    for other in ["::", "::1", "ff02::1", "::ffff:10.0.0.1"] {
        assert_eq!(answered(&frame().ipv6(other, V6.1).tcp(1, 2)), None, "from {other}");
        assert_eq!(answered(&frame().ipv6(V6.0, other).tcp(1, 2)), None, "to {other}");
    }
    for group in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]] {
        assert_eq!(answered(&bare().ethernet().mac(group, [2; 6]).ipv4(V4.0, V4.1).udp(1, 2)), None, "{group:?}");
    }
    assert_eq!(answered(&frame().ipv4(V4.0, V4.1).fragment(185, true).payload_len(64)), None);
    assert_eq!(answered(&frame().ipv6(V6.0, V6.1).ipv6_fragment(185, false, 1).payload_len(64)), None);
}

#[test]
fn the_first_fragment_of_a_datagram_is_answered() {
    let first = &v4().udp(1, 2).payload_len(200).fragments(64, 9)[0];
    assert!(answered_bytes(first, Link::Ethernet, 14).is_some());
}

#[test]
fn packets_that_are_not_plain_or_not_whole_are_not_answered() {
    assert_eq!(answered(&frame().vlan(7).ipv4(V4.0, V4.1).udp(1, 2)), None);
    assert_eq!(answered(&v4().options(&[1, 1, 1, 1]).udp(1, 2)), None);
    assert_eq!(answered(&v6().hop_by_hop().udp(1, 2)), None);
    assert_eq!(answered(&frame().arp_request(V4.0, V4.1)), None);
    for packet in [v4().tcp(1, 2).flags(2), v6().tcp(1, 2).flags(2), v4().udp(1, 2), v6().udp(1, 2)] {
        let whole = packet.build();
        for len in 0..whole.len() {
            assert_eq!(answered_bytes(&whole[..len], Link::Ethernet, 14), None, "{len} of {}", whole.len());
        }
    }
}

#[test]
fn an_answer_is_never_answered_and_is_known_as_one() {
    struct None_;
    impl crate::Fragments for None_ {
        fn remember(&mut self, _: &crate::FragmentId, _: u32) {}
        fn recall(&mut self, _: &crate::FragmentId) -> Option<u32> {
            None
        }
    }
    let is_ours = |bytes: &[u8]| {
        let frame = crate::Frame {
            link: Link::Ethernet,
            len: bytes.len() as u32,
            stripped: 0,
            segments: 0,
            segment_size: 0,
            vlan: None,
            ifindex: 2,
            direction: crate::Direction::Egress,
        };
        is_reply(&crate::parse::parse(&FrameBytes(bytes), &frame, &mut None_).unwrap())
    };
    for packet in [v4().tcp(1, 2).flags(2), v6().tcp(1, 2).flags(16), v4().udp(1, 2), v6().udp(1, 2)] {
        assert!(!is_ours(&packet.build()));
        let answer = answered(&packet).unwrap();
        assert!(is_ours(&answer));
        assert_eq!(answered_bytes(&answer, Link::Ethernet, 14), None);
    }
    assert!(!is_ours(&v4().tcp(1, 2).flags(4).payload_len(1).build()));
    assert!(!is_ours(&v4().icmp(3, 1, 0).payload_len(28).build()));
}

#[test]
fn the_first_thousand_answers_of_a_second_are_sent() {
    let (mut due, now) = (0, 5_000_000_000);
    let sent = (0..3000).filter(|_| REPLY_RATE.next(due, now).inspect(|next| due = *next).is_some()).count();
    assert_eq!(sent, 1000);
}
