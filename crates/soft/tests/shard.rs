//! The user-space shard by itself: what needs more than one frame's bytes to happen.
//!
//! How frames are read is tested in `hivewall-datapath`; equality with the kernel in `hivewall-host`. Invariant: each
//! test states the tallies it expects in full.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use hivewall_datapath::parse::LEN_MAX;
use hivewall_datapath::{Direction, FlowLine, Frame, FrameBytes, HashSeed, Link, Reason, Tally, TallyKey};
use hivewall_soft::{FRAGMENTS_MAX, Fate, SoftDatapath};
use hivewall_testkit::packet::frame;

fn shard() -> SoftDatapath {
    SoftDatapath::new(1 << 12, HashSeed { words: [0x9e37_79b9; 12], multiplier: 0x9e37_79b9_7f4a_7c15 })
}

fn facts(len: usize) -> Frame {
    Frame {
        link: Link::Ethernet,
        len: len as u32,
        stripped: 0,
        segments: 0,
        segment_size: 0,
        vlan: None,
        ifindex: 3,
        direction: Direction::Ingress,
    }
}

/// Interface, reason, packets, bytes, and where they were sent rather than received, a word on that.
fn tallies(soft: &SoftDatapath) -> Vec<String> {
    let mut rows = soft.tallies();
    rows.sort_unstable_by_key(|(key, _)| (key.ifindex, key.reason));
    let text = |(key, tally): &(TallyKey, Tally)| {
        let reason = key.reason().unwrap().label();
        let sent = if key.direction() == Direction::Egress { " sent" } else { "" };
        format!("{} {reason} {} {}{sent}", key.ifindex, tally.packets, tally.bytes)
    };
    rows.iter().map(text).collect()
}

fn packets(soft: &SoftDatapath) -> u32 {
    soft.sets().iter().flat_map(|set| &set.lines).map(FlowLine::packets).sum()
}

#[test]
fn frames_shorter_than_an_ethernet_header_are_counted_as_such() {
    // The kernel's test run takes no such frame, so this is not in the comparison with it.
    let mut soft = shard();
    for len in 0..14 {
        assert_eq!(soft.observe(&FrameBytes(&[0xff; 14][..len]), &facts(len), 1), Err(Reason::ShortEthernet));
    }
    assert_eq!(tallies(&soft), ["3 short_ethernet 14 91"]);
}

#[test]
fn reasons_are_kept_apart_by_interface_and_direction() {
    let mut soft = shard();
    let arp = frame().arp_request("10.0.0.1", "10.0.0.2").build();
    for (ifindex, direction) in [(3, Direction::Ingress), (3, Direction::Egress), (4, Direction::Egress)] {
        let frame = Frame { ifindex, direction, ..facts(arp.len()) };
        assert_eq!(soft.observe(&FrameBytes(&arp), &frame, 1), Err(Reason::Arp));
    }
    assert_eq!(tallies(&soft), ["3 arp 1 42", "3 arp 1 42 sent", "4 arp 1 42 sent"]);
}

#[test]
fn a_length_that_no_packet_can_have_is_refused_before_it_is_added_to_anything() {
    let mut soft = shard();
    let bytes = frame().ipv4("10.0.0.1", "10.0.0.2").length(0).tcp(1, 2).build();
    for len in [LEN_MAX + 1, u32::MAX] {
        let frame = Frame { len, vlan: Some(1), stripped: 16, ..facts(0) };
        assert_eq!(soft.observe(&FrameBytes(&bytes), &frame, 1), Err(Reason::ImpossibleLength));
    }
    assert_eq!(packets(&soft), 0);
    let most = Frame { len: LEN_MAX, ..facts(0) };
    (0..100).for_each(|now| assert_eq!(soft.observe(&FrameBytes(&bytes), &most, now), Ok(Fate::Passed)));
    soft.sweep(100, 0, true);
    let ip: u64 = soft.records().iter().map(|record| u64::from(record.line.ip_bytes)).sum();
    assert_eq!(ip, 100 * u64::from(LEN_MAX - 14), "sums hold at the greatest length");
    let claimed = u64::from(LEN_MAX) + 1 + u64::from(u32::MAX);
    assert_eq!(tallies(&soft), [format!("3 impossible_length 2 {claimed}")]);
}

#[test]
fn headers_that_were_not_captured_are_counted_and_so_is_the_inside_of_a_tunnel() {
    let mut soft = shard();
    let bytes = frame().ipv4("10.0.0.1", "10.0.0.2").vxlan(1).ethernet().ipv4("10.1.0.1", "10.1.0.2").udp(1, 2).build();
    assert_eq!(soft.observe(&FrameBytes(&bytes[..30]), &facts(bytes.len()), 1), Err(Reason::Snapped));
    assert_eq!(soft.observe(&FrameBytes(&bytes[..60]), &facts(bytes.len()), 1), Ok(Fate::Passed));
    let inside = bytes.len() as u64 - 42;
    let expected = vec![format!("3 snapped 1 {}", bytes.len()), format!("3 inner_unread 1 {inside}")];
    assert_eq!((tallies(&soft), packets(&soft)), (expected, 1));
}

#[test]
fn a_link_layer_that_cannot_be_read_is_counted_by_the_caller() {
    let mut soft = shard();
    soft.refuse(5, Direction::Egress, Reason::UnknownLink, 99);
    assert_eq!(tallies(&soft), ["5 unknown_link 1 99 sent"]);
}

#[test]
fn segments_beyond_the_first_are_told_to_whoever_compares_with_interface_counters() {
    let mut soft = shard();
    let bytes = frame().ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2).payload_len(3000).build();
    let frame = Frame { segments: 3, segment_size: 1000, ..facts(bytes.len()) };
    soft.observe(&FrameBytes(&bytes), &frame, 1).unwrap();
    // Two more packets of 14 + 20 + 20 bytes of headers each.
    assert_eq!((tallies(&soft), packets(&soft)), (vec!["3 gso_segments 2 108".to_owned()], 3));
}

#[test]
fn the_oldest_fragmented_datagram_is_forgotten_first() {
    let mut soft = shard();
    let mut see = |id: u32, piece: usize| {
        let pieces = frame().ipv6("fd00::1", "fd00::2").udp(1000, 2000).payload_len(40).fragments(24, id);
        soft.observe(&FrameBytes(&pieces[piece]), &facts(pieces[piece].len()), 1).unwrap();
        let lines = soft.sets().iter().flat_map(|set| &set.lines);
        lines.filter(|line| line.key.is_portless()).map(FlowLine::packets).sum::<u32>()
    };
    for id in 0..=FRAGMENTS_MAX as u32 {
        see(id, 0);
    }
    assert_eq!(see(1, 1), 0, "the second is still known");
    assert_eq!(see(FRAGMENTS_MAX as u32, 1), 0, "the last is known");
    assert_eq!(see(0, 1), 1, "the first is not");
}

#[test]
fn a_sweep_tells_how_many_lines_stay_and_draining_empties_the_shard() {
    let mut soft = shard();
    for port in 0..100 {
        let bytes = frame().ipv4("10.0.0.1", "10.0.0.2").udp(port, 53).build();
        soft.observe(&FrameBytes(&bytes), &facts(bytes.len()), 10 + u32::from(port)).unwrap();
    }
    assert_eq!(soft.sweep(110, 50, false), 100, "all were active");
    assert_eq!(soft.sweep(111, 50, false), 49, "those of ticks 61 to 109 are not idle for more than 50");
    assert_eq!(soft.sweep(112, 50, true), 0);
    assert_eq!(soft.records().len(), 100);
    assert!(soft.sets().iter().flat_map(|set| &set.lines).all(FlowLine::is_free));
}

#[test]
fn a_shard_has_at_least_two_sets_and_a_power_of_two() {
    for (lines, sets) in [(0, 2), (1, 2), (8, 2), (9, 4), (12, 4), (64, 16), (65, 32), (100, 32)] {
        let soft = SoftDatapath::new(lines, HashSeed::default());
        assert_eq!(soft.sets().len(), sets, "{lines} lines");
    }
}
