//! Nothing is lost and nothing counted twice, however small the cache: records and resident lines together are what was
//! observed.
//!
//! The expectation is counted from lengths of frames, not by the parser. Invariant: every frame that goes in is in a
//! flow or under a reason.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::HashMap;

use hivewall_datapath::{Direction, FlowKey, FlowLine, Frame, FrameBytes, HashSeed, Link, Reason, Record};
use hivewall_soft::SoftDatapath;
use hivewall_testkit::generate::{Generator, Rng};
use proptest::prelude::*;

fn seed(number: u64) -> HashSeed {
    let mut rng = Rng::new(number);
    HashSeed { words: std::array::from_fn(|_| rng.bits() as u32), multiplier: rng.bits() }
}

/// A frame of the test kit with a direction and, now and then, several segments.
fn facts(len: usize, rng: &mut Rng) -> Frame {
    let (segments, segment_size) = match rng.below(12) {
        0 => (2 + rng.below(40) as u32, 1448),
        1 => (0, 1 + rng.below(200) as u32),
        _ => (0, 0),
    };
    let direction = if rng.below(2) == 0 { Direction::Ingress } else { Direction::Egress };
    let vlan = (rng.below(10) == 0).then(|| rng.bits() as u16);
    Frame { link: Link::Ethernet, len: len as u32, stripped: 0, segments, segment_size, vlan, ifindex: 2, direction }
}

/// Counters by flow, with records added up.
#[derive(Default)]
struct Ledger {
    /// Packets, IP bytes, link bytes.
    flows: HashMap<FlowKey, [u64; 3]>,
}

impl Ledger {
    fn add(&mut self, line: &FlowLine) {
        let sum = self.flows.entry(line.key).or_default();
        sum[0] += u64::from(line.packets());
        sum[1] += u64::from(line.ip_bytes);
        sum[2] += u64::from(line.link_bytes);
    }

    fn take(&mut self, records: &mut Vec<Record>) {
        records.drain(..).for_each(|record| self.add(&record.line));
    }

    /// What is left in the cache, too.
    fn close(mut self, soft: &mut SoftDatapath) -> HashMap<FlowKey, [u64; 3]> {
        self.take(soft.records());
        let lines = soft.sets().iter().flat_map(|set| set.lines);
        lines.filter(|line| !line.is_free() && line.packets() > 0).for_each(|line| self.add(&line));
        self.flows
    }
}

/// Runs `frames` frames through `lines` lines with `sweeps` in a thousand; the flows, and the shard as it is then.
fn run(number: u64, frames: usize, lines: u32, sweeps: u64) -> (HashMap<FlowKey, [u64; 3]>, SoftDatapath, [u64; 2]) {
    let mut soft = SoftDatapath::new(lines, seed(number));
    soft.watch(number.is_multiple_of(2));
    let (mut ledger, mut sent) = (Ledger::default(), [0, 0]);
    let mut rng = Rng::new(number ^ 0xacc0);
    // Sweeps draw from a sequence of their own: the frames' facts stay the same with and without them.
    let mut sweeping = Rng::new(number ^ 0x53);
    let mut now = rng.bits() as u32;
    for bytes in Generator::new(number).flows(1 + number % 3000).mutated(0.3).take(frames) {
        let frame = facts(bytes.len(), &mut rng);
        sent[0] += 1;
        sent[1] += u64::from(frame.len) + if frame.vlan.is_some() { 4 } else { 0 };
        now = now.wrapping_add(rng.below(50) as u32);
        let _ = soft.observe(&FrameBytes(&bytes), &frame, now);
        if sweeping.below(1000) < sweeps {
            soft.sweep(now, sweeping.below(5000) as u32, sweeping.below(3) == 0);
            ledger.take(soft.records());
        }
    }
    (ledger.close(&mut soft), soft, sent)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn flows_and_reasons_together_are_what_was_sent(number in any::<u64>(), lines in 1_u32..2000, sweeps in 0_u64..20) {
        let (flows, soft, sent) = run(number, 3000, lines, sweeps);
        let mut counted = [0_i64; 2];
        // The inside of a tunnel was sent as a part of its outside.
        for (_, [packets, ip, link]) in flows.iter().filter(|(key, _)| key.tunnel().is_none()) {
            counted[0] += (*packets).cast_signed();
            counted[1] += (ip + link).cast_signed();
        }
        for (key, tally) in soft.tallies() {
            // Segments beyond the first are in the flows and were not sent as buffers.
            let sign = match key.reason().unwrap() {
                Reason::Segments => -1,
                Reason::InnerUnread => 0,
                _ => 1,
            };
            counted[0] += sign * tally.packets.cast_signed();
            counted[1] += sign * tally.bytes.cast_signed();
        }
        prop_assert_eq!(counted, sent.map(u64::cast_signed));
    }

    #[test]
    fn each_flow_has_the_same_sums_however_small_the_cache(number in any::<u64>(), sweeps in 0_u64..20) {
        let (tiny, ..) = run(number, 2000, 8, sweeps);
        let (roomy, ..) = run(number, 2000, 1 << 15, 0);
        prop_assert_eq!(tiny, roomy);
    }
}
