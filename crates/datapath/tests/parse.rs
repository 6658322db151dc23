//! What is read of a well-formed frame: key, size, places. Refusals are in `reasons.rs`, tunnels in `tunnel.rs`.
//!
//! Frames come from the test kit, which writes them from the protocols' documents. Invariant: each expectation is one
//! line that can be checked by hand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod shared;

use expect_test::expect;
use hivewall_datapath::parse::parse;
use hivewall_datapath::{Direction, Frame, FrameBytes, Link, Reason};
use hivewall_testkit::packet::{ACK, AE, CWR, FIN, PSH, Packet, SYN, bare, frame};
use shared::{Memory, check, ethernet, packet, picture, read, told};

fn v4() -> Packet {
    frame().ipv4("10.0.0.1", "10.0.0.2")
}

fn v6() -> Packet {
    frame().ipv6("fd00::1", "fd00::2")
}

/// What is said of `packet` when some facts of the frame are others.
fn with(packet: &Packet, change: impl FnOnce(&mut Frame)) -> String {
    let bytes = packet.build();
    let mut frame = ethernet(bytes.len());
    change(&mut frame);
    told(parse(&FrameBytes(&bytes), &frame, &mut Memory::default()))
}

#[test]
fn each_transport_has_its_ports() {
    check(
        &v4().tcp(1234, 80).flags(SYN).build(),
        &expect!["v4 6 10.0.0.1:1234 > 10.0.0.2:80 flags 0x02 | 1 packets, 40 + 14 bytes | ip 14 payload 54 end 54"],
    );
    check(
        &v4().udp(1234, 53).payload_len(9).build(),
        &expect!["v4 17 10.0.0.1:1234 > 10.0.0.2:53 | 1 packets, 37 + 14 bytes | ip 14 payload 42 end 51"],
    );
    check(
        &v4().icmp(8, 3, 0).payload_len(8).build(),
        &expect!["v4 1 10.0.0.1:8 > 10.0.0.2:3 | 1 packets, 36 + 14 bytes | ip 14 payload 38 end 50"],
    );
    check(
        &v4().sctp(5, 6, 7).payload_len(4).build(),
        &expect!["v4 132 10.0.0.1:5 > 10.0.0.2:6 | 1 packets, 36 + 14 bytes | ip 14 payload 42 end 50"],
    );
    check(
        &v6().tcp(1234, 80).flags(SYN | ACK).build(),
        &expect!["v6 6 fd00::1:1234 > fd00::2:80 flags 0x12 | 1 packets, 60 + 14 bytes | ip 14 payload 74 end 74"],
    );
    check(
        &v6().udp(1234, 53).payload_len(9).build(),
        &expect!["v6 17 fd00::1:1234 > fd00::2:53 | 1 packets, 57 + 14 bytes | ip 14 payload 62 end 71"],
    );
    check(
        &v6().icmp6(135, 1, 0).payload_len(16).build(),
        &expect!["v6 58 fd00::1:135 > fd00::2:1 | 1 packets, 64 + 14 bytes | ip 14 payload 58 end 78"],
    );
    check(
        &v4().protocol(33).payload(&[0, 9, 0, 10, 3, 0, 0, 0, 0, 0, 0, 0]).build(),
        &expect!["v4 33 10.0.0.1:9 > 10.0.0.2:10 | 1 packets, 32 + 14 bytes | ip 14 payload 42 end 46"],
    );
    check(
        &v4().protocol(136).payload(&[0, 9, 0, 10, 0, 8, 0, 0]).build(),
        &expect!["v4 136 10.0.0.1:9 > 10.0.0.2:10 | 1 packets, 28 + 14 bytes | ip 14 payload 42 end 42"],
    );
}

#[test]
fn the_same_bytes_under_another_protocol_are_no_ports() {
    let udp_bytes = [0, 9, 0, 10, 0, 12, 0, 0, 1, 2, 3, 4];
    check(
        &v4().protocol(17).payload(&udp_bytes).build(),
        &expect!["v4 17 10.0.0.1:9 > 10.0.0.2:10 | 1 packets, 32 + 14 bytes | ip 14 payload 42 end 46"],
    );
    check(
        &v4().protocol(253).payload(&udp_bytes).build(),
        &expect!["v4 253 10.0.0.1:0 > 10.0.0.2:0 | 1 packets, 32 + 14 bytes | ip 14 payload 34 end 46"],
    );
    check(
        &v4().protocol(0).payload(&udp_bytes).build(),
        &expect!["v4 0 10.0.0.1:0 > 10.0.0.2:0 | 1 packets, 32 + 14 bytes | ip 14 payload 34 end 46"],
    );
    check(
        &v4().esp(0x0009_000a, 0).payload_len(4).build(),
        &expect!["v4 50 10.0.0.1:0 > 10.0.0.2:0 | 1 packets, 32 + 14 bytes | ip 14 payload 34 end 46"],
    );
    // 59 says that nothing follows; whatever does is not looked at.
    check(
        &v6().protocol(59).payload(&udp_bytes).build(),
        &expect!["v6 59 fd00::1:0 > fd00::2:0 | 1 packets, 52 + 14 bytes | ip 14 payload 54 end 66"],
    );
}

#[test]
fn ipv4_options_move_the_transport_and_count_as_ip_bytes() {
    check(
        &v4().options(&[148, 4, 0, 0]).udp(1, 2).build(),
        &expect!["v4 17 10.0.0.1:1 > 10.0.0.2:2 | 1 packets, 32 + 14 bytes | ip 14 payload 46 end 46"],
    );
    check(
        &v4().options(&[1; 40]).udp(1, 2).build(),
        &expect!["v4 17 10.0.0.1:1 > 10.0.0.2:2 | 1 packets, 68 + 14 bytes | ip 14 payload 82 end 82"],
    );
}

#[test]
fn tcp_options_move_the_payload_and_flags_are_kept_whole() {
    check(
        &v4().tcp(1, 2).flags(FIN | PSH | CWR | AE).options(&[1; 12]).payload_len(5).build(),
        &expect!["v4 6 10.0.0.1:1 > 10.0.0.2:2 flags 0x89 | 1 packets, 57 + 14 bytes | ip 14 payload 66 end 71"],
    );
    check(
        &v4().tcp(1, 2).flags(0).options(&[1; 40]).build(),
        &expect!["v4 6 10.0.0.1:1 > 10.0.0.2:2 | 1 packets, 80 + 14 bytes | ip 14 payload 94 end 94"],
    );
}

#[test]
fn up_to_two_tags_in_the_frame_are_in_the_key() {
    check(
        &frame().vlan(5).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build(),
        &expect!["v4 17 10.0.0.1:1 > 10.0.0.2:2 vlans [5, 0] | 1 packets, 28 + 18 bytes | ip 18 payload 46 end 46"],
    );
    check(
        &frame().service_vlan(5).vlan(0x6fff).ipv6("fd00::1", "fd00::2").udp(1, 2).build(),
        &expect!["v6 17 fd00::1:1 > fd00::2:2 vlans [5, 4095] | 1 packets, 48 + 22 bytes | ip 22 payload 70 end 70"],
    );
    check(
        &frame().tag(0x9100, 5).vlan(6).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build(),
        &expect!["v4 17 10.0.0.1:1 > 10.0.0.2:2 vlans [5, 6] | 1 packets, 28 + 22 bytes | ip 22 payload 50 end 50"],
    );
    // A priority tag has no VLAN but takes its four bytes and its place.
    check(
        &frame().vlan(0xe000).vlan(7).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build(),
        &expect!["v4 17 10.0.0.1:1 > 10.0.0.2:2 vlans [0, 7] | 1 packets, 28 + 22 bytes | ip 22 payload 50 end 50"],
    );
    check(&frame().vlan(5).vlan(6).vlan(7).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build(), &expect!["too_many_tags"]);
}

#[test]
fn a_tag_in_metadata_is_the_outer_one_and_counts_its_bytes() {
    let tagged = |tci| move |frame: &mut Frame| frame.vlan = Some(tci);
    expect!["v4 17 10.0.0.1:1 > 10.0.0.2:2 vlans [5, 0] | 1 packets, 28 + 18 bytes | ip 14 payload 42 end 42"]
        .assert_eq(&with(&v4().udp(1, 2), tagged(0x2005)));
    expect!["v4 17 10.0.0.1:1 > 10.0.0.2:2 vlans [5, 6] | 1 packets, 28 + 22 bytes | ip 18 payload 46 end 46"]
        .assert_eq(&with(&frame().vlan(6).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2), tagged(5)));
    expect!["too_many_tags"]
        .assert_eq(&with(&frame().vlan(6).vlan(7).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2), tagged(5)));
    // The same tags in the frame or beside it are the same flow and the same bytes.
    let beside = with(&frame().vlan(6).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2), tagged(5));
    let inside = told(read(&frame().vlan(5).vlan(6).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build()));
    assert_eq!(beside.split('|').take(2).collect::<Vec<_>>(), inside.split('|').take(2).collect::<Vec<_>>());
}

#[test]
fn the_link_layer_may_be_absent_or_stripped() {
    let raw = |packet: &Packet| with(packet, |frame| frame.link = Link::Ip);
    expect!["v4 17 10.0.0.1:1 > 10.0.0.2:2 | 1 packets, 28 + 0 bytes | ip 0 payload 28 end 28"]
        .assert_eq(&raw(&bare().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2)));
    expect!["v6 17 fd00::1:1 > fd00::2:2 | 1 packets, 48 + 0 bytes | ip 0 payload 48 end 48"]
        .assert_eq(&raw(&bare().ipv6("fd00::1", "fd00::2").udp(1, 2)));
    expect!["bad_ipv4_header"].assert_eq(&raw(&bare().payload(&[0x50; 40])));
    let cooked = |ethertype| move |frame: &mut Frame| (frame.link, frame.stripped) = (Link::After(ethertype), 16);
    expect!["v4 17 10.0.0.1:1 > 10.0.0.2:2 | 1 packets, 28 + 16 bytes | ip 0 payload 28 end 28"]
        .assert_eq(&with(&bare().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2), cooked(0x0800)));
    let tagged = bare().payload(&[0, 5, 0x08, 0]).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2);
    expect!["v4 17 10.0.0.1:1 > 10.0.0.2:2 vlans [5, 0] | 1 packets, 28 + 20 bytes | ip 4 payload 32 end 32"]
        .assert_eq(&with(&tagged, cooked(0x8100)));
    expect!["arp"].assert_eq(&with(&bare().payload(&[0; 30]), cooked(0x0806)));
}

#[test]
fn interface_and_direction_are_in_the_key() {
    let bytes = v4().udp(1, 2).build();
    let at = |ifindex, direction| {
        let frame = Frame { ifindex, direction, ..ethernet(bytes.len()) };
        parse(&FrameBytes(&bytes), &frame, &mut Memory::default()).unwrap().packet.key
    };
    let most = at(hivewall_datapath::IFINDEX_MAX, Direction::Egress);
    assert_eq!(
        (most.ifindex(), most.direction(), most.proto()),
        (hivewall_datapath::IFINDEX_MAX, Direction::Egress, 17)
    );
    assert_ne!(at(2, Direction::Ingress), at(2, Direction::Egress));
    assert_ne!(at(2, Direction::Ingress), at(3, Direction::Ingress));
}

#[test]
fn ipv6_extension_headers_are_stepped_over() {
    check(
        &v6().hop_by_hop().destination_options().routing().udp(1, 2).build(),
        &expect!["v6 17 fd00::1:1 > fd00::2:2 | 1 packets, 72 + 14 bytes | ip 14 payload 86 end 86"],
    );
    check(
        &v6().mobility().extension(139, &[0; 6]).extension(140, &[0; 14]).udp(1, 2).build(),
        &expect!["v6 17 fd00::1:1 > fd00::2:2 | 1 packets, 80 + 14 bytes | ip 14 payload 94 end 94"],
    );
    // AH counts in four-byte units: 12 bytes and an integrity value of 12 are 24, of 16 are 28.
    check(
        &v6().authentication(12).udp(1, 2).build(),
        &expect!["v6 17 fd00::1:1 > fd00::2:2 | 1 packets, 72 + 14 bytes | ip 14 payload 86 end 86"],
    );
    check(
        &v6().authentication(16).udp(1, 2).build(),
        &expect!["v6 17 fd00::1:1 > fd00::2:2 | 1 packets, 76 + 14 bytes | ip 14 payload 90 end 90"],
    );
    check(
        &v6().destination_options().protocol(59).build(),
        &expect!["v6 59 fd00::1:0 > fd00::2:0 | 1 packets, 48 + 14 bytes | ip 14 payload 62 end 62"],
    );
    // In IPv4 none of these numbers is looked behind.
    check(
        &v4().authentication(12).udp(1, 2).build(),
        &expect!["v4 51 10.0.0.1:0 > 10.0.0.2:0 | 1 packets, 52 + 14 bytes | ip 14 payload 34 end 66"],
    );
    check(
        &v4().protocol(60).payload_len(8).build(),
        &expect!["v4 60 10.0.0.1:0 > 10.0.0.2:0 | 1 packets, 28 + 14 bytes | ip 14 payload 34 end 42"],
    );
}

#[test]
fn eight_extension_headers_are_looked_through_and_nine_are_not() {
    let chain = |count| (0..count).fold(v6(), |packet, _| packet.destination_options()).udp(1, 2).build();
    check(&chain(8), &expect!["v6 17 fd00::1:1 > fd00::2:2 | 1 packets, 112 + 14 bytes | ip 14 payload 126 end 126"]);
    check(&chain(9), &expect!["too_many_extensions"]);
    // The ninth may be anything else.
    let eight = (0..8).fold(v6(), |packet, _| packet.destination_options());
    check(
        &eight.protocol(59).build(),
        &expect!["v6 59 fd00::1:0 > fd00::2:0 | 1 packets, 104 + 14 bytes | ip 14 payload 118 end 118"],
    );
}

#[test]
fn headers_are_looked_for_in_the_first_512_bytes() {
    let at = |bytes: usize| v6().extension(60, &vec![0; bytes - 54 - 2]).udp(1, 2).build();
    check(&at(510), &expect!["v6 17 fd00::1:1 > fd00::2:2 | 1 packets, 504 + 14 bytes | ip 14 payload 518 end 518"]);
    check(&at(518), &expect!["too_many_extensions"]);
}

#[test]
fn an_atomic_fragment_is_a_whole_packet() {
    check(
        &v6().ipv6_fragment(0, false, 9).udp(1, 2).build(),
        &expect!["v6 17 fd00::1:1 > fd00::2:2 | 1 packets, 56 + 14 bytes | ip 14 payload 70 end 70"],
    );
    check(
        &v6().ipv6_fragment(0, false, 9).reserved().udp(1, 2).build(),
        &expect!["v6 17 fd00::1:1 > fd00::2:2 | 1 packets, 56 + 14 bytes | ip 14 payload 70 end 70"],
    );
}

#[test]
fn later_fragments_inherit_the_ports_of_the_first() {
    let mut memory = Memory::default();
    let mut see = |bytes: &[u8]| told(parse(&FrameBytes(bytes), &ethernet(bytes.len()), &mut memory));
    let v4 = v4().udp(1000, 2000).payload_len(40).fragments(24, 7);
    let v6 = v6().udp(1000, 2000).payload_len(40).fragments(24, 7);
    expect!["v4 17 10.0.0.1:1000 > 10.0.0.2:2000 | 1 packets, 44 + 14 bytes | ip 14 payload 42 end 58 fragment"]
        .assert_eq(&see(&v4[0]));
    expect!["v4 17 10.0.0.1:1000 > 10.0.0.2:2000 | 1 packets, 44 + 14 bytes | ip 14 payload 34 end 58 fragment"]
        .assert_eq(&see(&v4[1]));
    expect!["v6 17 fd00::1:1000 > fd00::2:2000 | 1 packets, 72 + 14 bytes | ip 14 payload 70 end 86 fragment"]
        .assert_eq(&see(&v6[0]));
    expect!["v6 17 fd00::1:1000 > fd00::2:2000 | 1 packets, 72 + 14 bytes | ip 14 payload 62 end 86 fragment"]
        .assert_eq(&see(&v6[1]));
    // Another datagram: its first fragment was not seen.
    let other = frame().ipv4("10.0.0.1", "10.0.0.2").udp(1000, 2000).payload_len(40).fragments(24, 8);
    expect!["v4 17 10.0.0.1:0 > 10.0.0.2:0 portless | 1 packets, 44 + 14 bytes | ip 14 payload 34 end 58 fragment"]
        .assert_eq(&see(&other[1]));
}

#[test]
fn the_reserved_byte_of_a_fragment_header_is_ignored() {
    let mut memory = Memory::default();
    let mut see = |bytes: &[u8]| parse(&FrameBytes(bytes), &ethernet(bytes.len()), &mut memory).unwrap();
    let first = v6().ipv6_fragment(0, true, 5).reserved().udp(1000, 2000).payload_len(8);
    let later = v6().ipv6_fragment(16, false, 5).reserved().protocol(17).payload_len(8);
    assert_eq!(see(&first.build()).packet.key, see(&later.build()).packet.key);
}

#[test]
fn a_later_fragment_is_portless_only_where_there_may_be_ports() {
    let later = |proto| packet(&v4().fragment(800, false).protocol(proto).payload_len(8).build()).key.is_portless();
    for proto in [1, 6, 17, 33, 58, 132, 136] {
        assert!(later(proto), "{proto}");
    }
    for proto in [4, 47, 50, 253] {
        assert!(!later(proto), "{proto}");
    }
    let v6 = |proto| v6().ipv6_fragment(800, false, 1).protocol(proto).payload_len(8).build();
    assert!(packet(&v6(60)).key.is_portless(), "options stand before a transport that is not known");
    assert!(!packet(&v6(50)).key.is_portless());
}

#[test]
fn fragments_on_another_interface_or_of_another_protocol_are_another_datagram() {
    let mut memory = Memory::default();
    let pieces = v4().udp(1000, 2000).payload_len(40).fragments(24, 7);
    let mut see = |bytes: &[u8], ifindex| {
        let frame = Frame { ifindex, ..ethernet(bytes.len()) };
        parse(&FrameBytes(bytes), &frame, &mut memory).unwrap().packet.key.is_portless()
    };
    assert!(!see(&pieces[0], 2));
    assert!(see(&pieces[1], 3));
    assert!(!see(&pieces[1], 2));
    let mut tcp = pieces[1].clone();
    tcp[23] = 6;
    assert!(see(&tcp, 2));
}

#[test]
fn padding_is_link_bytes() {
    check(
        &v4().tcp(1, 2).pad_to(60).build(),
        &expect!["v4 6 10.0.0.1:1 > 10.0.0.2:2 | 1 packets, 40 + 20 bytes | ip 14 payload 54 end 54"],
    );
    check(
        &v6().udp(1, 2).payload_len(1).pad_to(200).build(),
        &expect!["v6 17 fd00::1:1 > fd00::2:2 | 1 packets, 49 + 151 bytes | ip 14 payload 62 end 63"],
    );
}

#[test]
fn what_the_capture_cut_off_is_counted_all_the_same() {
    let whole = v4().tcp(1, 2).payload_len(1000).build();
    let expected = picture(&read(&whole).unwrap());
    // Fourteen bytes of a TCP header are enough to know the flow and the size.
    for kept in [14 + 20 + 14, 54, 55, 500] {
        let cut = parse(&FrameBytes(&whole[..kept]), &ethernet(whole.len()), &mut Memory::default());
        assert_eq!(picture(&cut.unwrap()), expected);
    }
    for kept in [13, 14, 33, 34, 14 + 20 + 13] {
        let cut = parse(&FrameBytes(&whole[..kept]), &ethernet(whole.len()), &mut Memory::default());
        assert_eq!(cut, Err(Reason::Snapped), "{kept}");
    }
}

#[test]
fn a_total_length_of_zero_means_all_of_the_buffer() {
    check(
        &v4().length(0).tcp(1, 2).payload_len(70_000).build(),
        &expect!["v4 6 10.0.0.1:1 > 10.0.0.2:2 | 1 packets, 70040 + 14 bytes | ip 14 payload 54 end 70054"],
    );
    check(
        &v6().length(0).tcp(1, 2).payload_len(70_000).build(),
        &expect!["v6 6 fd00::1:1 > fd00::2:2 | 1 packets, 70060 + 14 bytes | ip 14 payload 74 end 70074"],
    );
    // A jumbogram (RFC 2675): the option carries the length, which is that of the buffer.
    let jumbo = v6().length(0).extension(0, &[194, 4, 0, 1, 17, 120]).udp(1, 2).length(0).payload_len(70_000);
    check(
        &jumbo.build(),
        &expect!["v6 17 fd00::1:1 > fd00::2:2 | 1 packets, 70056 + 14 bytes | ip 14 payload 70 end 70070"],
    );
}

#[test]
fn segments_repeat_the_headers_and_share_the_payload() {
    let packet = frame().vlan(9).ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2).options(&[1; 12]).payload_len(3000);
    let gso = |count, size| with(&packet, |frame| (frame.segments, frame.segment_size) = (count, size));
    let three = gso(3, 1448);
    expect!["v4 6 10.0.0.1:1 > 10.0.0.2:2 vlans [9, 0] | 3 packets, 3156 + 54 bytes | ip 18 payload 70 end 3070"]
        .assert_eq(&three);
    // Buffers from a virtual machine carry a size and no count.
    assert_eq!(gso(0, 1448), three);
    assert_eq!(gso(0, 1000), three);
    expect!["v4 6 10.0.0.1:1 > 10.0.0.2:2 vlans [9, 0] | 4 packets, 3208 + 72 bytes | ip 18 payload 70 end 3070"]
        .assert_eq(&gso(0, 999));
    assert_eq!(gso(1, 1448), gso(0, 0));
    // More than any kernel says: sums have to hold anyway.
    assert_eq!(gso(u32::MAX, 1), gso(0xffff, 1));
}

#[test]
fn a_fragment_is_one_packet_whatever_its_buffer_says() {
    let first = v4().fragment(0, true).udp(1, 2).length(4000).payload_len(1000);
    let one = with(&first, |_| ());
    assert_eq!(with(&first, |frame| (frame.segments, frame.segment_size) = (5, 200)), one);
}

#[test]
fn udp_lengths_are_judged_within_the_datagram() {
    // Shorter than the datagram: allowed (trailing options, RFC 9868). 0: a jumbogram or unfinished offload.
    for length in [0, 8, 17, 18] {
        assert!(read(&v4().udp(1, 2).length(length).payload_len(10).build()).is_ok(), "{length}");
    }
    for length in [1, 7, 19, 0xffff] {
        let told = read(&v4().udp(1, 2).length(length).payload_len(10).build());
        assert_eq!(told, Err(Reason::BadUdpHeader), "{length}");
    }
    // A first fragment holds a part of what its length says.
    assert!(read(&v4().fragment(0, true).udp(1, 2).length(4000).payload_len(16).build()).is_ok());
}
