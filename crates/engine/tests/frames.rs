//! From frames on the wire to flows: the datapath in user space and the engine together.
//!
//! How frames are read is tested in `hivewall-datapath`. Invariant: what is expected is known from how the frames were
//! made, never from how they were read.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]

mod common;

use common::{Desk, interface, patient, ticks};
use expect_test::{Expect, expect};
use hivewall_datapath::{Direction, Frame, FrameBytes, HashSeed, Link, Reason, Record};
use hivewall_engine::{Event, Limits};
use hivewall_model::Rank;
use hivewall_soft::SoftDatapath;
use hivewall_testkit::generate::{Generator, Rng};
use hivewall_testkit::packet::{ACK, FIN, PSH, Packet, RST, SYN, frame};
use proptest::prelude::*;

fn datapath(lines: u32) -> SoftDatapath {
    SoftDatapath::new(lines, HashSeed { words: [0x9e37_79b9; 12], multiplier: 0x9e37_79b9_7f4a_7c15 })
}

fn facts(len: usize, ifindex: u32, direction: Direction) -> Frame {
    let (segments, segment_size) = (0, 0);
    Frame { link: Link::Ethernet, len: len as u32, stripped: 0, segments, segment_size, vlan: None, ifindex, direction }
}

/// Frames received by eth0 a millisecond apart, swept once a second and at the end.
fn play(frames: impl IntoIterator<Item = Packet>, limits: Limits) -> Desk {
    let (mut soft, mut desk) = (datapath(1024), Desk::new(limits));
    desk.know(vec![interface(1, "eth0", Rank::Plain)]);
    desk.step(Event::Tick);
    for packet in frames {
        desk.now += 1;
        let bytes = packet.build();
        soft.observe(&FrameBytes(&bytes), &facts(bytes.len(), 1, Direction::Ingress), ticks(desk.now)).unwrap();
        if desk.now % 1000 == 0 {
            soft.sweep(ticks(desk.now), 10_000, false);
            desk.take(in_order(soft.records()));
            desk.step(Event::Tick);
        }
    }
    soft.sweep(ticks(desk.now), 0, true);
    desk.take(in_order(soft.records()));
    desk
}

/// Records of one sweep come in the order of the cache's sets, which is the hash's business: the pictures want another.
fn in_order(records: &mut Vec<Record>) -> &mut Vec<Record> {
    records.sort_by_key(|record| {
        let key = &record.line.key;
        (record.first_ticks(), key.src_octets(), key.dst_octets(), key.sport, key.dport, key.place, key.tags)
    });
    records
}

fn check(frames: impl IntoIterator<Item = Packet>, expect: &Expect) {
    play(frames, patient()).check(expect);
}

fn client(flags: u16) -> Packet {
    frame().ipv4("10.0.0.1", "10.0.0.2").tcp(40_000, 80).flags(flags)
}

fn server(flags: u16) -> Packet {
    frame().ipv4("10.0.0.2", "10.0.0.1").tcp(80, 40_000).flags(flags)
}

fn connection() -> Vec<Packet> {
    vec![
        client(SYN),
        server(SYN | ACK),
        client(ACK),
        client(PSH | ACK).payload_len(100),
        server(PSH | ACK).payload_len(1000),
        server(FIN | ACK),
        client(FIN | ACK),
        server(ACK),
    ]
}

#[test]
fn a_connection_from_its_first_packet_to_its_last() {
    check(
        connection(),
        &expect![[r#"
        #1 tcp 10.0.0.1:40000 > 10.0.0.2:80, 4/4 packets 260/1160 bytes (316/1216 wire), known, CLOSED
            > eth0 in 4/260
            < eth0 in 4/1160
    "#]],
    );
}

#[test]
fn one_connection_after_another_on_the_same_ports() {
    let reset = [client(SYN), server(RST | ACK)];
    let all = connection().into_iter().chain(connection()).chain(reset.clone()).chain(reset);
    check(
        all,
        &expect![[r#"
            #1 tcp 10.0.0.1:40000 > 10.0.0.2:80, 4/4 packets 260/1160 bytes (316/1216 wire), known, CLOSED
                > eth0 in 4/260
                < eth0 in 4/1160
            #2 tcp 10.0.0.1:40000 > 10.0.0.2:80, 6/6 packets 340/1240 bytes (424/1324 wire), known, RESET
                > eth0 in 6/340
                < eth0 in 6/1240
        "#]],
    );
}

#[test]
fn names_pings_and_tags() {
    let frames = [
        frame().ipv4("10.0.0.1", "10.0.0.53").udp(5000, 53).payload_len(30),
        frame().ipv4("10.0.0.53", "10.0.0.1").udp(53, 5000).payload_len(100),
        frame().ipv4("10.0.0.1", "10.0.0.2").icmp(8, 0, 1),
        frame().ipv4("10.0.0.2", "10.0.0.1").icmp(0, 0, 1),
        frame().ipv6("fd00::1", "fd00::2").icmp6(128, 0, 1),
        frame().ipv6("fd00::2", "fd00::1").icmp6(129, 0, 1),
        frame().vlan(10).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2),
        frame().service_vlan(20).vlan(10).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2),
    ];
    check(
        frames,
        &expect![[r#"
            #1 udp 10.0.0.1:5000 > 10.0.0.53:53, 1/1 packets 58/128 bytes (72/142 wire), guessed
                > eth0 in 1/58
                < eth0 in 1/128
            #2 icmp 10.0.0.1 > 10.0.0.2 type 8 code 0, 1/1 packets 28/28 bytes (42/42 wire), known
                > eth0 in 1/28
                < eth0 in 1/28
            #3 icmpv6 fd00::1 > fd00::2 type 128 code 0, 1/1 packets 48/48 bytes (62/62 wire), known
                > eth0 in 1/48
                < eth0 in 1/48
            #4 udp 10.0.0.1:1 > 10.0.0.2:2 vlan [10], 1/0 packets 28/0 bytes (46/0 wire), guessed
                > eth0 in 1/28
            #5 udp 10.0.0.1:1 > 10.0.0.2:2 vlan [20, 10], 1/0 packets 28/0 bytes (50/0 wire), guessed
                > eth0 in 1/28
        "#]],
    );
}

#[test]
fn a_datagram_in_fragments_is_in_the_flow_of_its_ports() {
    let piece = |offset, more| frame().ipv4("10.0.0.1", "10.0.0.2").id(7).fragment(offset, more);
    let late = frame().ipv4("10.0.0.9", "10.0.0.2").id(9).fragment(1480, false).protocol(17).payload_len(100);
    let frames = [
        piece(0, true).udp(5000, 6000).length(2988).payload_len(1472),
        piece(1480, false).protocol(17).payload_len(1500),
        late,
    ];
    check(
        frames,
        &expect![[r#"
            #1 udp 10.0.0.1:5000 > 10.0.0.2:6000, 2/0 packets 3020/0 bytes (3048/0 wire), guessed
                > eth0 in 2/3020
            #2 udp 10.0.0.9:0 > 10.0.0.2:0, 1/0 packets 120/0 bytes (134/0 wire), guessed, ports unknown
                > eth0 in 1/120
        "#]],
    );
}

#[test]
fn a_tunnel_and_what_is_inside() {
    let inside = |flags| frame().ipv4("10.0.0.1", "10.0.0.2").tcp(40_000, 443).flags(flags);
    let frames = [SYN, ACK].map(|flags| frame().ipv4("192.0.2.1", "192.0.2.2").vxlan(7).inner(&inside(flags)));
    check(
        frames,
        &expect![[r#"
        #1 tcp 10.0.0.1:40000 > 10.0.0.2:443, 2/0 packets 80/0 bytes (80/0 wire), known, ESTABLISHED, vxlan
            > eth0 in 2/80 inside vxlan
        #2 udp 192.0.2.1:50000 > 192.0.2.2:4789, 2/0 packets 180/0 bytes (208/0 wire), guessed
            > eth0 in 2/180
    "#]],
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn flows_and_reasons_together_are_the_frames(
        seed in any::<u64>(), lines in 1_u32..500, flows_max in 1_usize..2000, step in 0_u64..200,
    ) {
        let limits = Limits { flows_max, addresses_max: 64, ..Limits::default() };
        let (mut soft, mut desk, mut rng) = (datapath(lines), Desk::new(limits), Rng::new(seed));
        let (mut sent, mut closed) = ([0_u64; 2], Vec::new());
        for bytes in Generator::new(seed).flows(1 + seed % 3000).take(3000) {
            desk.now += rng.below(1 + step) as i64;
            sent[0] += 1;
            sent[1] += bytes.len() as u64;
            let _ = soft.observe(&FrameBytes(&bytes), &facts(bytes.len(), 1, Direction::Ingress), ticks(desk.now));
            if rng.below(20) == 0 {
                soft.sweep(ticks(desk.now), 10_000, false);
                desk.take(in_order(soft.records()));
                desk.step(Event::Tick);
            }
            closed.extend(desk.closed());
        }
        soft.sweep(ticks(desk.now), 0, true);
        desk.take(in_order(soft.records()));
        desk.stop();
        closed.extend(desk.closed());
        let mut seen = [0, 0];
        for point in closed.iter().flat_map(|flow| &flow.points).filter(|point| point.tunnel.is_none()) {
            seen[0] += point.side.packets;
            seen[1] += point.side.wire_bytes;
        }
        prop_assert_eq!(desk.total().0, seen[0]);
        for (key, tally) in soft.tallies() {
            if key.reason() != Some(Reason::InnerUnread) {
                seen[0] += tally.packets;
                seen[1] += tally.bytes;
            }
        }
        prop_assert_eq!(seen, sent);
    }
}
