//! What a shard does when what it works on fails it: no cache, bytes that were not captured.
//!
//! Shards that work are in `hivewall-soft`. Invariant: a frame is counted once, or left to the caller, never both.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod shared;

use hivewall_datapath::{
    Cause, Direction, FlowKey, FlowLine, FlowSet, FrameBytes, Reason, Ring, Sets, Shard, Tallies, cache::Counted,
    parse::Parsed,
};
use hivewall_testkit::packet::frame;
use shared::{Memory, ethernet};

struct NoSets;

impl Sets for NoSets {
    fn set(&mut self, _: &FlowKey) -> Option<&mut FlowSet> {
        None
    }
}

struct NoRing;

impl Ring for NoRing {
    fn push(&mut self, line: &FlowLine, _: u32, _: Cause) {
        panic!("there is nothing to hand over: {line:?}");
    }

    fn has_room(&mut self) -> bool {
        false
    }
}

#[derive(Default)]
struct Tallied(Vec<(u32, Direction, Reason, u32, u32)>);

impl Tallies for Tallied {
    fn tally(&mut self, ifindex: u32, direction: Direction, reason: Reason, packets: u32, bytes: u32) {
        self.0.push((ifindex, direction, reason, packets, bytes));
    }
}

fn observe(bytes: &[u8], len: usize) -> (Result<(Parsed, Counted), Reason>, Tallied) {
    let (mut memory, mut tallies) = (Memory::default(), Tallied::default());
    let told = Shard {
        sets: &mut NoSets,
        ring: &mut NoRing,
        fragments: &mut memory,
        tallies: &mut tallies,
        now: 1,
        watching: true,
        epoch: 0,
    }
    .observe(&FrameBytes(bytes), &ethernet(len));
    (told, tallies)
}

#[test]
fn a_packet_that_finds_no_cache_is_counted_with_its_size() {
    let bytes = frame().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).pad_to(60).build();
    let (told, tallies) = observe(&bytes, bytes.len());
    assert!(told.is_ok());
    assert_eq!(tallies.0, [(2, Direction::Ingress, Reason::NoCache, 1, 60)]);
}

#[test]
fn a_snapped_frame_is_left_to_the_caller_and_any_other_refusal_is_not() {
    let bytes = frame().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build();
    let (told, tallies) = observe(&bytes[..20], bytes.len());
    assert_eq!((told.err(), tallies.0), (Some(Reason::Snapped), vec![]));
    let (told, tallies) = observe(&bytes[..20], 20);
    assert_eq!(told.err(), Some(Reason::BadIpv4Header));
    assert_eq!(tallies.0, [(2, Direction::Ingress, Reason::BadIpv4Header, 1, 20)]);
}
