//! What is inside of a tunnel: a flow of its own, marked, with IP bytes and no link bytes; and what cannot be read of
//! it, counted beside the outer flow.
//!
//! Invariant: the outer packet is counted in every test, whatever its inside is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::needless_raw_string_hashes, reason = "expectations are written by expect-test")]

mod shared;

use std::collections::HashMap;
use std::fmt::Write as _;

use expect_test::{Expect, expect};
use hivewall_datapath::{
    Bytes, Cause, Direction, FlowKey, FlowLine, FlowSet, Frame, FrameBytes, Reason, Ring, Sets, Shard, Tallies,
};
use hivewall_testkit::packet::{Packet, SYN, bare, frame};
use shared::{Memory, ethernet, key_line};

/// A set for every flow, so that nothing is evicted.
#[derive(Default)]
struct Flows(HashMap<FlowKey, FlowSet>);

impl Sets for Flows {
    fn set(&mut self, key: &FlowKey) -> Option<&mut FlowSet> {
        Some(self.0.entry(*key).or_default())
    }
}

struct NoRing;

impl Ring for NoRing {
    fn push(&mut self, line: &FlowLine, _: u32, _: Cause) {
        panic!("nothing is handed over here: {line:?}");
    }

    fn has_room(&mut self) -> bool {
        true
    }
}

#[derive(Default)]
struct Tallied(Vec<(Reason, u32, u32)>);

impl Tallies for Tallied {
    fn tally(&mut self, _: u32, _: Direction, reason: Reason, packets: u32, bytes: u32) {
        self.0.push((reason, packets, bytes));
    }
}

/// Everything counted for one frame: flows, outer before inner, then tallies.
fn counted<B: Bytes>(bytes: &B, frame: &Frame) -> String {
    let (mut flows, mut tallied, mut memory) = (Flows::default(), Tallied::default(), Memory::default());
    let mut shard = Shard {
        sets: &mut flows,
        ring: &mut NoRing,
        fragments: &mut memory,
        tallies: &mut tallied,
        now: 1,
        watching: true,
        epoch: 0,
    };
    let mut inside = Ok(());
    match shard.observe(bytes, frame) {
        Ok((parsed, _)) => {
            if let Some(tunnel) = parsed.tunnel() {
                let headers = shard.inner_headers(bytes, frame, tunnel, parsed.payload_at, parsed.end);
                shard.repeat_inner_headers(&parsed.packet, frame, headers);
                inside = shard.observe_inner(bytes, frame, tunnel, parsed.payload_at, parsed.end).map(drop);
            }
        }
        Err(reason) => return reason.label().to_owned(),
    }
    let mut lines: Vec<_> = flows.0.values().flat_map(|set| set.lines).filter(|line| !line.is_free()).collect();
    lines.sort_by_key(|line| line.key.tunnel().is_some());
    let mut picture = String::new();
    for line in lines {
        let size = (line.packets(), line.ip_bytes, line.link_bytes);
        writeln!(picture, "{} | {} packets, {} + {} bytes", key_line(&line.key), size.0, size.1, size.2).unwrap();
    }
    for (reason, packets, bytes) in tallied.0 {
        writeln!(picture, "{}: {packets} packets, {bytes} bytes", reason.label()).unwrap();
    }
    if inside == Err(Reason::Snapped) {
        picture += "snapped inside\n";
    }
    picture
}

#[track_caller]
fn check(packet: &Packet, expect: &Expect) {
    let bytes = packet.build();
    expect.assert_eq(&counted(&FrameBytes(&bytes), &ethernet(bytes.len())));
}

fn v4() -> Packet {
    frame().ipv4("192.0.2.1", "192.0.2.2")
}

fn v6() -> Packet {
    frame().ipv6("2001:db8::1", "2001:db8::2")
}

fn inside_v4(packet: Packet) -> Packet {
    packet.ipv4("10.0.0.1", "10.0.0.2").tcp(1000, 80).flags(SYN).payload_len(100)
}

fn inside_v6(packet: Packet) -> Packet {
    packet.ipv6("fd00::1", "fd00::2").udp(1000, 53).payload_len(100)
}

#[test]
fn ip_in_ip_both_ways() {
    check(
        &inside_v4(v4()),
        &expect![[r#"
        v4 4 192.0.2.1:0 > 192.0.2.2:0 | 1 packets, 160 + 14 bytes
        v4 6 10.0.0.1:1000 > 10.0.0.2:80 in Ipip | 1 packets, 140 + 0 bytes
    "#]],
    );
    check(
        &inside_v6(v4()),
        &expect![[r#"
        v4 41 192.0.2.1:0 > 192.0.2.2:0 | 1 packets, 168 + 14 bytes
        v6 17 fd00::1:1000 > fd00::2:53 in SixInFour | 1 packets, 148 + 0 bytes
    "#]],
    );
    check(
        &inside_v4(v6()),
        &expect![[r#"
        v6 4 2001:db8::1:0 > 2001:db8::2:0 | 1 packets, 180 + 14 bytes
        v4 6 10.0.0.1:1000 > 10.0.0.2:80 in Ipip | 1 packets, 140 + 0 bytes
    "#]],
    );
    check(
        &inside_v6(v6()),
        &expect![[r#"
        v6 41 2001:db8::1:0 > 2001:db8::2:0 | 1 packets, 188 + 14 bytes
        v6 17 fd00::1:1000 > fd00::2:53 in SixInFour | 1 packets, 148 + 0 bytes
    "#]],
    );
}

#[test]
fn gre_with_and_without_its_options() {
    check(
        &inside_v4(v4().gre()),
        &expect![[r#"
        v4 47 192.0.2.1:0 > 192.0.2.2:0 | 1 packets, 164 + 14 bytes
        v4 6 10.0.0.1:1000 > 10.0.0.2:80 in Gre | 1 packets, 140 + 0 bytes
    "#]],
    );
    check(
        &inside_v6(v4().gre().gre_checksum().gre_key(7).gre_seq(8)),
        &expect![[r#"
        v4 47 192.0.2.1:0 > 192.0.2.2:0 | 1 packets, 184 + 14 bytes
        v6 17 fd00::1:1000 > fd00::2:53 in Gre | 1 packets, 148 + 0 bytes
    "#]],
    );
    check(
        &inside_v4(v6().gre().gre_key(7).ethernet()),
        &expect![[r#"
        v6 47 2001:db8::1:0 > 2001:db8::2:0 | 1 packets, 202 + 14 bytes
        v4 6 10.0.0.1:1000 > 10.0.0.2:80 in Gre | 1 packets, 140 + 0 bytes
    "#]],
    );
}

#[test]
fn vxlan_and_geneve() {
    check(
        &inside_v4(v4().vxlan(7).ethernet()),
        &expect![[r#"
        v4 17 192.0.2.1:50000 > 192.0.2.2:4789 | 1 packets, 190 + 14 bytes
        v4 6 10.0.0.1:1000 > 10.0.0.2:80 in Vxlan | 1 packets, 140 + 0 bytes
    "#]],
    );
    check(
        &inside_v6(v6().geneve(7).options(&[0; 40]).ethernet()),
        &expect![[r#"
        v6 17 2001:db8::1:50001 > 2001:db8::2:6081 | 1 packets, 258 + 14 bytes
        v6 17 fd00::1:1000 > fd00::2:53 in Geneve | 1 packets, 148 + 0 bytes
    "#]],
    );
    // Geneve may carry IP without Ethernet.
    check(
        &inside_v4(v4().geneve(7)),
        &expect![[r#"
        v4 17 192.0.2.1:50001 > 192.0.2.2:6081 | 1 packets, 176 + 14 bytes
        v4 6 10.0.0.1:1000 > 10.0.0.2:80 in Geneve | 1 packets, 140 + 0 bytes
    "#]],
    );
    // Linux's older port.
    let vxlan = v4().udp(50_000, 8472).payload(&[8, 0, 0, 0, 0, 0, 7, 0]).ethernet();
    check(
        &inside_v4(vxlan),
        &expect![[r#"
        v4 17 192.0.2.1:50000 > 192.0.2.2:8472 | 1 packets, 190 + 14 bytes
        v4 6 10.0.0.1:1000 > 10.0.0.2:80 in Vxlan | 1 packets, 140 + 0 bytes
    "#]],
    );
}

#[test]
fn what_is_no_tunnel_is_one_flow() {
    let inside = inside_v4(bare().payload(&[8, 0, 0, 0, 0, 0, 7, 0]).ethernet());
    // The same bytes to another port, or from the tunnel's port.
    check(
        &v4().udp(50_000, 4790).inner(&inside),
        &expect![[r#"
        v4 17 192.0.2.1:50000 > 192.0.2.2:4790 | 1 packets, 190 + 14 bytes
    "#]],
    );
    check(
        &v4().udp(4789, 50_000).inner(&inside),
        &expect![[r#"
        v4 17 192.0.2.1:4789 > 192.0.2.2:50000 | 1 packets, 190 + 14 bytes
    "#]],
    );
    // Reserved bits set: some other use of the port. So is what is too short for a header.
    check(
        &v4().udp(50_000, 4789).payload(&[9, 0, 0, 0, 0, 0, 7, 0]).payload_len(60),
        &expect![[r#"
        v4 17 192.0.2.1:50000 > 192.0.2.2:4789 | 1 packets, 96 + 14 bytes
    "#]],
    );
    check(
        &v4().udp(50_000, 4789).payload_len(7),
        &expect![[r#"
        v4 17 192.0.2.1:50000 > 192.0.2.2:4789 | 1 packets, 35 + 14 bytes
    "#]],
    );
    check(
        &v4().udp(50_000, 6081).payload(&[0x40, 0, 0x65, 0x58]).payload_len(60),
        &expect![[r#"
        v4 17 192.0.2.1:50000 > 192.0.2.2:6081 | 1 packets, 92 + 14 bytes
    "#]],
    );
    check(
        &v4().udp(50_000, 6081).payload(&[0, 0, 0x08, 0]),
        &expect![[r#"
        v4 17 192.0.2.1:50000 > 192.0.2.2:6081 | 1 packets, 32 + 14 bytes
    "#]],
    );
    // GRE version 1 (PPTP), source routes, and a payload that is not IP.
    check(
        &inside_v4(v4().gre().version(1)),
        &expect![[r#"
        v4 47 192.0.2.1:0 > 192.0.2.2:0 | 1 packets, 164 + 14 bytes
    "#]],
    );
    check(
        &v4().gre().protocol(0x880b).payload_len(60),
        &expect![[r#"
        v4 47 192.0.2.1:0 > 192.0.2.2:0 | 1 packets, 84 + 14 bytes
    "#]],
    );
    check(
        &v4().vxlan(7).ethernet().arp_request("10.0.0.1", "10.0.0.2"),
        &expect![[r#"
        v4 17 192.0.2.1:50000 > 192.0.2.2:4789 | 1 packets, 78 + 14 bytes
    "#]],
    );
}

#[test]
fn an_unreadable_inside_is_counted_beside_the_outer_flow() {
    check(
        &v4().protocol(4).payload_len(19),
        &expect![[r#"
        v4 4 192.0.2.1:0 > 192.0.2.2:0 | 1 packets, 39 + 14 bytes
        inner_unread: 1 packets, 19 bytes
    "#]],
    );
    check(
        &v4().protocol(41).payload_len(40),
        &expect![[r#"
        v4 41 192.0.2.1:0 > 192.0.2.2:0 | 1 packets, 60 + 14 bytes
        inner_unread: 1 packets, 40 bytes
    "#]],
    );
    check(
        &v4().protocol(47).payload(&[0, 0, 8]),
        &expect![[r#"
        v4 47 192.0.2.1:0 > 192.0.2.2:0 | 1 packets, 23 + 14 bytes
        inner_unread: 1 packets, 3 bytes
    "#]],
    );
    check(
        &v4().vxlan(7).payload_len(13),
        &expect![[r#"
        v4 17 192.0.2.1:50000 > 192.0.2.2:4789 | 1 packets, 49 + 14 bytes
        inner_unread: 1 packets, 21 bytes
    "#]],
    );
    check(
        &v4().vxlan(7).ethernet().ipv4("10.0.0.1", "10.0.0.2").length(900).udp(1, 2),
        &expect![[r#"
        v4 17 192.0.2.1:50000 > 192.0.2.2:4789 | 1 packets, 78 + 14 bytes
        inner_unread: 1 packets, 50 bytes
    "#]],
    );
    // Padding behind the outer datagram is not its inside.
    check(
        &v4().protocol(47).pad_to(120),
        &expect![[r#"
        v4 47 192.0.2.1:0 > 192.0.2.2:0 | 1 packets, 20 + 100 bytes
        inner_unread: 1 packets, 0 bytes
    "#]],
    );
}

#[test]
fn one_level_is_looked_into() {
    check(
        &inside_v4(v4().ipv4("172.16.0.1", "172.16.0.2")),
        &expect![[r#"
        v4 4 192.0.2.1:0 > 192.0.2.2:0 | 1 packets, 180 + 14 bytes
        v4 4 172.16.0.1:0 > 172.16.0.2:0 in Ipip | 1 packets, 160 + 0 bytes
    "#]],
    );
}

#[test]
fn fragments_of_a_tunnel_are_not_looked_into() {
    let pieces = inside_v4(v4()).fragments(80, 9);
    let first = counted(&FrameBytes(&pieces[0]), &ethernet(pieces[0].len()));
    expect![[r#"
        v4 4 192.0.2.1:0 > 192.0.2.2:0 | 1 packets, 100 + 14 bytes
    "#]]
    .assert_eq(&first);
}

#[test]
fn segments_of_a_tunnel_are_segments_inside_and_repeat_all_headers() {
    let bytes = v4().vxlan(7).ethernet().ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2).payload_len(2000).build();
    let frame = Frame { segments: 2, segment_size: 1000, ..ethernet(bytes.len()) };
    expect![[r#"
        v4 17 192.0.2.1:50000 > 192.0.2.2:4789 | 2 packets, 2180 + 28 bytes
        v4 6 10.0.0.1:1 > 10.0.0.2:2 in Vxlan | 2 packets, 2080 + 0 bytes
        gso_segments: 1 packets, 42 bytes
        gso_segments: 0 packets, 62 bytes
    "#]]
    .assert_eq(&counted(&FrameBytes(&bytes), &frame));
}

#[test]
fn an_inside_that_was_not_captured_is_left_to_whoever_can_fetch_it() {
    let bytes = inside_v4(v4().vxlan(7).ethernet()).build();
    let whole = counted(&FrameBytes(&bytes), &ethernet(bytes.len()));
    let headers = 14 + 20 + 8;
    for kept in headers..headers + 8 + 14 + 20 + 14 {
        let cut = counted(&FrameBytes(&bytes[..kept]), &ethernet(bytes.len()));
        assert!(cut.ends_with("snapped inside\n") && !cut.contains("inner_unread"), "{kept}: {cut}");
    }
    let cut = headers + 8 + 14 + 20 + 14;
    assert_eq!(counted(&FrameBytes(&bytes[..cut]), &ethernet(bytes.len())), whole);
}
