//! The same frames through the loaded kernel program and through user space: records, cache and counters are equal.
//!
//! See `diff_twins` for what a test run cannot carry. Invariant: on a difference, the message names the seed and the
//! frames it lies between.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod diff_twins;

use std::collections::HashSet;

use diff_twins::{FRAME_MAX, FRAME_MIN, Meta, Twins, hash_seed, runnable};
use hivewall_datapath::Reason::{ImpossibleLength, NoCache, Snapped, UnknownLink};
use hivewall_datapath::parse::parse;
use hivewall_datapath::{Bytes as _, Cause, FragmentId, Fragments, FrameBytes, Reason, proto};
use hivewall_host::ebpf::{Geometry, Loaded, Object};
use hivewall_testkit::generate::{Generator, Rng};
use hivewall_testkit::packet::{Packet, bare, frame};
use hivewall_testkit::require_root;

struct NoFragments;

impl Fragments for NoFragments {
    fn remember(&mut self, _: &FragmentId, _: u32) {}

    fn recall(&mut self, _: &FragmentId) -> Option<u32> {
        None
    }
}

/// What payloads that are looked at begin with, and some that only seem to.
const OPENINGS: [&[u8]; 9] = [
    &[0x16, 3, 1, 0, 20, 1],
    &[0x16, 3, 3, 2, 0, 1],
    b"GET /index.html HTTP/1.1\r\n",
    b"POST / HTTP/1.0\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"SSH-2.0-made_up\r\n",
    &[0xc3, 0, 0, 0, 1, 8],
    &[0x43, 0, 0, 0, 1, 8],
    b"GE",
];

/// Lets half of the payloads begin with something.
fn with_opening(mut frame: Vec<u8>, meta: Meta, rng: &mut Rng) -> Vec<u8> {
    let opening = rng.pick(&OPENINGS).unwrap_or_default();
    if let Ok(parsed) = parse(&FrameBytes(&frame), &meta.frame(frame.len()), &mut NoFragments)
        && rng.below(2) == 0
        && FrameBytes(&frame).u8(parsed.payload_at).is_some()
    {
        let room = parsed.payload_at..parsed.end.min(frame.len());
        frame[room].iter_mut().zip(opening).for_each(|(to, from)| *to = *from);
    }
    frame
}

/// One stream of frames.
struct Stream {
    seed: u64,
    flows: u64,
    mutated: f64,
    lines: u32,
    frames: u64,
    /// Where the clock starts; it is 32 bits wide, and cache lines keep 16 of them.
    start: u32,
}

/// 220,000 frames: caches that evict all the time, some of the time and never.
const STREAMS: [Stream; 6] = [
    Stream { seed: 1, flows: 1000, mutated: 0.3, lines: 64, frames: 60_000, start: 1 },
    Stream { seed: 2, flows: 50, mutated: 0.9, lines: 64, frames: 40_000, start: 0xffff_f000 },
    Stream { seed: 3, flows: 5000, mutated: 0.0, lines: 256, frames: 40_000, start: 0xfff0 },
    Stream { seed: 4, flows: 300, mutated: 0.1, lines: 1024, frames: 30_000, start: 0x7fff_ffff },
    Stream { seed: 5, flows: 2000, mutated: 0.5, lines: 65_536, frames: 30_000, start: 1000 },
    Stream { seed: 6, flows: 20, mutated: 1.0, lines: 128, frames: 20_000, start: 1 },
];

/// Some frames without their Ethernet header; those that a test run would not take, behind a VLAN tag, where it does.
/// What is shorter than an Ethernet header stays `None` (and is tested in user space alone, in `hivewall-soft`).
fn fitted(mut frame: Vec<u8>, meta: &mut Meta, rng: &mut Rng) -> Option<Vec<u8>> {
    if rng.below(8) == 0 && frame.len() >= 28 {
        meta.bare_ip = true;
        frame.drain(..14);
    } else if frame.len() >= FRAME_MIN && !runnable(&frame) {
        frame.splice(12..12, [0x81, 0x00, 0, 9]);
    }
    runnable(&frame).then_some(frame)
}

fn run(stream: &Stream) -> Twins {
    let mut twins = Twins::new(format!("seed {}", stream.seed), stream.lines, 1 << 14, stream.seed);
    let mut rng = Rng::new(stream.seed ^ 0xd1ff);
    let mut frames = Generator::new(stream.seed).flows(stream.flows).mutated(stream.mutated);
    let mut now = stream.start;
    while twins.frames < stream.frames {
        let mut meta = Meta::draw(&mut rng);
        let Some(frame) = fitted(frames.next_frame(), &mut meta, &mut rng) else { continue };
        let frame = with_opening(frame, meta, &mut rng);
        now = now.wrapping_add(rng.below(4) as u32 * rng.below(40) as u32);
        twins.observe(&frame, meta, now);
        if twins.frames.is_multiple_of(512) {
            twins.compare_records();
        }
        match rng.below(4000) {
            0 => twins.sweep(now, rng.below(2000) as u32, rng.below(4) == 0),
            1 if stream.lines < 4096 => twins.compare_all(),
            _ => {}
        }
    }
    twins.compare_all();
    twins.sweep(now, 0, true);
    twins.compare_all();
    assert!(twins.kernel.sets().iter().flat_map(|set| &set.lines).all(hivewall_datapath::FlowLine::is_free));
    twins
}

#[test]
fn generated_and_mutated_frames_leave_equal_records_caches_and_counters() {
    require_root!();
    let (mut frames, mut reasons, mut causes) = (0, HashSet::new(), HashSet::new());
    let mut copied = HashSet::new();
    for stream in &STREAMS {
        let twins = run(stream);
        frames += twins.frames;
        reasons.extend(twins.soft.tallies().iter().map(|(key, _)| key.reason().unwrap()));
        causes.extend(twins.records.iter().map(|record| record.cause));
        copied.extend(
            twins
                .copies
                .iter()
                .map(|(head, _)| (head.key.proto(), head.captured > 0, head.key.tunnel().is_some(), head.key.is_v6())),
        );
    }
    for what in [true, false].into_iter().flat_map(|tunnel| [true, false].map(|v6| (tunnel, v6))) {
        for (proto, payload) in [(proto::TCP, true), (proto::TCP, false), (proto::UDP, true)] {
            assert!(copied.contains(&(proto, payload, what.0, what.1)), "protocol {proto}, {payload}, {what:?}");
        }
    }
    let echoes = [(proto::ICMP, false), (proto::ICMPV6, true)].map(|(proto, v6)| (proto, true, false, v6));
    assert!(echoes.iter().all(|echo| copied.contains(echo)), "{copied:?}");
    assert!(frames >= 200_000, "{frames}");
    // The streams are of use only while they reach what can be reached this way.
    for reason in Reason::ALL {
        let elsewhere = [UnknownLink, Snapped, NoCache, ImpossibleLength].contains(reason);
        assert_eq!(reasons.contains(reason), !elsewhere, "{}", reason.label());
    }
    for cause in [Cause::Evicted, Cause::Swept, Cause::Reused] {
        assert!(causes.contains(&(cause as u32)), "{cause:?}");
    }
}

/// Sends `packet` `times`, each buffer standing for `segments`, and compares.
fn full_line(packet: &Packet, times: u32, meta: Meta) -> Twins {
    let mut twins = Twins::new("one flow".into(), 64, 1 << 10, 7);
    for now in 1..=times {
        twins.observe(&packet.build(), meta, now);
    }
    twins.compare_all();
    twins
}

#[test]
fn a_counter_that_would_overflow_is_handed_over_at_the_same_packet() {
    require_root!();
    let packet = frame().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload_len(1000);
    let twins = full_line(&packet, 1000, Meta { segments: 65_535, segment_size: 1000, ..Meta::default() });
    assert_eq!(twins.records.len(), 111, "1000 × 65,535 packets, handed over at 9 × 65,535 ≥ 2¹⁹ each");
    assert!(twins.records.iter().all(|record| record.cause == Cause::Full as u32));
}

#[test]
fn headers_up_to_the_edge_of_what_is_looked_through_are_read_alike() {
    require_root!();
    let mut twins = Twins::new("edge".into(), 1024, 1 << 12, 8);
    for body in (6..800).step_by(8) {
        let v6 = |packet: Packet| packet.ipv6("fd00::1", "fd00::2").extension(60, &vec![0; body]);
        let udp = v6(frame()).udp(1000, body as u16).build();
        let tunnel = v6(frame()).vxlan(1).ethernet().ipv4("10.0.0.1", "10.0.0.2").tcp(body as u16, 80).build();
        let inside = v6(frame().ipv4("10.1.0.1", "10.1.0.2")).udp(1001, body as u16).build();
        let later = v6(frame().vlan(7).vlan(8).ipv4("10.1.0.1", "10.1.0.2")).ipv6_fragment(8, false, 9).build();
        let geneve = frame().ipv6("fd00::1", "fd00::2").extension(60, &vec![0; body]).geneve(1).options(&[0; 252]);
        let geneve = geneve.ethernet().inner(&bare().ipv6("fd00::3", "fd00::4").tcp(body as u16, 81)).build();
        for frame in [udp, tunnel, inside, later, geneve] {
            twins.observe(&frame, Meta::default(), 1);
        }
    }
    twins.compare_all();
    let refused: HashSet<u32> = twins.soft.tallies().iter().map(|(key, _)| key.reason).collect();
    assert!(refused.contains(&(Reason::TooManyExtensions as u32)) && refused.contains(&(Reason::InnerUnread as u32)));
}

#[test]
fn every_program_of_the_agent_passes_the_verifier() {
    require_root!();
    let mut loaded = Loaded::load(Object::Agent, Geometry::new(64, 64).unwrap(), hash_seed(1)).unwrap();
    for name in ["hivewall_in_eth", "hivewall_out_eth", "hivewall_in_ip", "hivewall_out_ip", "hivewall_sweep"] {
        loaded.classifier(name).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn buffers_up_to_a_page_are_counted_alike() {
    require_root!();
    let mut twins = Twins::new("large".into(), 64, 1 << 10, 9);
    for payload in (1400..=FRAME_MAX - 54).step_by(100) {
        let packet = frame().ipv4("10.0.0.1", "10.0.0.2").tcp(1234, 80).payload_len(payload).build();
        twins.observe(&packet, Meta { segments: 3, segment_size: 1448, ..Meta::default() }, 1);
    }
    twins.compare_all();
}
