//! A ring that nobody reads: what does not fit is counted to the packet and the byte.
//!
//! The expectation is counted from the frames, not taken from user space's twin. Invariant: losses, ring and cache
//! together hold what was observed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod diff_twins;

use diff_twins::{Kernel, Meta, hash_seed};
use hivewall_datapath::{FlowLine, Record};
use hivewall_testkit::generate::{Popularity, SMALL_BYTES, small_packets};
use hivewall_testkit::require_root;

/// Packets, IP bytes, link bytes.
type Sum = [u64; 3];

fn sum<'a>(lines: impl Iterator<Item = &'a FlowLine>) -> Sum {
    lines.fold([0; 3], |[packets, ip, link], line| {
        [packets + u64::from(line.packets()), ip + u64::from(line.ip_bytes), link + u64::from(line.link_bytes)]
    })
}

fn add(a: Sum, b: Sum) -> Sum {
    std::array::from_fn(|at| a[at] + b[at])
}

const ETHERNET: usize = 14;
const SLOTS: u32 = 64;

#[test]
fn a_ring_that_nobody_reads_loses_nothing_uncounted() {
    require_root!();
    let mut kernel = Kernel::load(64, SLOTS, hash_seed(11));
    let frames = small_packets(3000, 30_000, 11, Popularity::Zipf);
    let mut observed = [0; 3];
    for (now, frame) in frames.iter().enumerate() {
        // Some buffers of two segments: the second has the headers and not the payload.
        let segments = 1 + u32::from(now % 7 == 0);
        let headers = if frame[23] == 6 { 40 } else { 28 };
        let ip = SMALL_BYTES - ETHERNET + (segments as usize - 1) * headers;
        observed = add(observed, [segments.into(), ip as u64, u64::from(segments) * ETHERNET as u64]);
        kernel.observe(frame, Meta { segments, segment_size: 1, ..Meta::default() }, now as u32 + 1);
    }
    let losses = kernel.rings.losses();
    let lost = [losses.packets, losses.ip_bytes, losses.link_bytes];
    let resident = sum(kernel.sets().iter().flat_map(|set| &set.lines));
    let mut records: Vec<Record> = Vec::new();
    kernel.read_ring(&mut records);
    assert_eq!(records.len(), SLOTS as usize, "the first records stay; later ones are the ones lost");
    assert_eq!(add(add(lost, resident), sum(records.iter().map(|record| &record.line))), observed);
    assert!(losses.records > 1000, "{losses:?}");
}

#[test]
fn a_sweep_into_a_full_ring_waits_and_loses_nothing() {
    require_root!();
    let mut kernel = Kernel::load(4096, SLOTS, hash_seed(12));
    let frames = small_packets(1000, 20_000, 12, Popularity::Uniform);
    let mut records = Vec::new();
    for (now, frame) in frames.iter().enumerate() {
        kernel.observe(frame, Meta::default(), now as u32 + 1);
        if now % 16 == 0 {
            kernel.read_ring(&mut records);
        }
    }
    let resident = kernel.sweep(30_000, 0, false, &mut records);
    assert!(resident > 64 * 4, "{resident} lines went through a ring of {SLOTS} slots");
    assert_eq!(kernel.rings.losses().records, 0);
    let packets = frames.len() as u64;
    let (ip, link) = ((SMALL_BYTES - ETHERNET) as u64, ETHERNET as u64);
    assert_eq!(sum(records.iter().map(|record| &record.line)), [packets, packets * ip, packets * link]);
}

#[test]
fn a_ring_read_again_after_an_overflow_goes_on_where_it_stopped() {
    require_root!();
    let mut kernel = Kernel::load(64, SLOTS, hash_seed(13));
    let frames = small_packets(500, 4000, 13, Popularity::Uniform);
    let mut records = Vec::new();
    for (now, frame) in frames.iter().enumerate() {
        kernel.observe(frame, Meta::default(), now as u32 + 1);
        // Read now and then, each time after it overflowed.
        if now % 1000 == 999 {
            kernel.read_ring(&mut records);
        }
    }
    let lost = kernel.rings.losses();
    let before = records.len();
    assert_eq!((before, lost.records > 0), (4 * SLOTS as usize, true));
    kernel.sweep(5000, 0, true, &mut records);
    assert_eq!(kernel.rings.losses(), lost, "a sweep waits instead of losing");
    assert!(records.windows(2).all(|pair| pair[0].now <= pair[1].now), "in the order of the hand-over");
    let packets = records.iter().map(|record| u64::from(record.line.packets())).sum::<u64>();
    assert_eq!(packets + lost.packets, frames.len() as u64);
}
