//! What holds for every frame: no byte is read past its end, sizes add up, and an independent parser agrees.
//!
//! The independent parser is etherparse; where it reads more or less than hivewall on purpose, the comparison says so.
//! Invariant: what is skipped in a comparison is counted, and must stay rare.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod shared;

use std::cell::Cell;

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use hivewall_datapath::parse::{LEN_MAX, Parsed, parse};
use hivewall_datapath::{Bytes, Direction, FlowKey, Frame, FrameBytes, HEADERS_MAX, HashSeed, Link, flow_hash};
use hivewall_testkit::generate::{Generator, Rng};
use hivewall_testkit::packet::frame;
use proptest::prelude::*;
use shared::{Memory, ethernet, packet, read};

/// Frame bytes that note how far they were read, and refuse nothing.
struct Watched<'a> {
    bytes: &'a [u8],
    furthest: Cell<usize>,
}

impl Bytes for Watched<'_> {
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.furthest.set(self.furthest.get().max(at + N));
        FrameBytes(self.bytes).read(at)
    }
}

fn links() -> impl Strategy<Value = Link> {
    prop_oneof![Just(Link::Ethernet), Just(Link::Ip), any::<u16>().prop_map(Link::After), Just(Link::After(0x86dd))]
}

fn frames() -> impl Strategy<Value = Frame> {
    let len = prop_oneof![0_u32..3000, Just(LEN_MAX), 60_000_u32..600_000];
    let tag = proptest::option::of(any::<u16>());
    (links(), len, 0_u32..64, any::<u32>(), 0_u32..65_536, tag).prop_map(
        |(link, len, stripped, segments, segment_size, vlan)| Frame {
            link,
            len,
            stripped,
            segments: if segments & 1 == 0 { 0 } else { segments >> 16 },
            segment_size,
            vlan,
            ifindex: 1,
            direction: Direction::Egress,
        },
    )
}

/// Random bytes are refused at once; half of the inputs are broken frames of the test kit.
fn inputs() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        any::<u64>().prop_map(|seed| Generator::new(seed).mutated(0.8).next_frame()),
    ]
}

/// What every answer has to satisfy.
fn consistent(parsed: &Parsed, frame: &Frame) {
    assert!(parsed.ip_at < parsed.payload_at && parsed.payload_at <= parsed.end, "{parsed:?}");
    assert!(parsed.end <= frame.len as usize, "{parsed:?}");
    let packet = &parsed.packet;
    assert!((1..=0xffff).contains(&packet.packets));
    assert!(packet.ip_bytes < 1 << 30 && packet.link_bytes < 1 << 30, "sums of 32 bits hold: {packet:?}");
    if packet.packets == 1 {
        let metadata = if frame.vlan.is_some() { 4 } else { 0 };
        assert_eq!(packet.ip_bytes + packet.link_bytes, frame.len + frame.stripped + metadata);
    }
    assert!(packet.tcp_flags == 0 || packet.key.proto() == 6);
    assert_ne!(packet.key.place, 0, "0 marks a free line");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_under_any_circumstances_are_read_or_refused(bytes in inputs(), frame in frames()) {
        let watched = Watched { bytes: &bytes, furthest: Cell::new(0) };
        let told = parse(&watched, &frame, &mut Memory::default());
        if let Ok(parsed) = told {
            consistent(&parsed, &frame);
        }
        prop_assert!(watched.furthest.get() <= frame.len as usize, "read past the frame");
        prop_assert!(watched.furthest.get() <= HEADERS_MAX + 40, "read past what the kernel pulls");
    }

    #[test]
    fn cutting_a_capture_short_never_changes_what_is_read(seed in any::<u64>(), kept in 0_usize..200) {
        let bytes = Generator::new(seed).next_frame();
        let whole = read(&bytes);
        let cut = parse(&FrameBytes(&bytes[..kept.min(bytes.len())]), &ethernet(bytes.len()), &mut Memory::default());
        prop_assert!(cut == whole || cut == Err(hivewall_datapath::Reason::Snapped), "{cut:?} {whole:?}");
    }
}

/// Offset of a part of a frame.
fn offset(frame: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - frame.as_ptr() as usize
}

/// Ours against theirs; `false` where the two read different things on purpose.
fn agrees(frame: &[u8]) -> bool {
    let (Ok(ours), Ok(theirs)) = (read(frame), LaxSlicedPacket::from_ethernet(frame)) else {
        return false;
    };
    let key = &ours.packet.key;
    let (src, dst, payload, is_v6) = match &theirs.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let mapped = |v4: std::net::Ipv4Addr| v4.to_ipv6_mapped().octets();
            (mapped(header.source_addr()), mapped(header.destination_addr()), ip.payload(), false)
        }
        Some(LaxNetSlice::Ipv6(ip)) => (ip.header().source(), ip.header().destination(), ip.payload(), true),
        other => panic!("hivewall read {ours:?}, etherparse {other:?}: {frame:02x?}"),
    };
    assert_eq!((key.src_octets(), key.dst_octets(), key.is_v6()), (src, dst, is_v6), "{frame:02x?}");
    let number = payload.ip_number.0;
    // Theirs looks behind an AH in IPv4 and behind what follows a later fragment's header, ours behind mobility, HIP
    // and Shim6 headers and behind hop-by-hop options that are not first.
    if matches!(number, 0 | 135 | 139 | 140) && is_v6 {
        return false;
    }
    if key.proto() != number {
        assert!(matches!(key.proto(), 43 | 44 | 51 | 60), "ours {}, theirs {number}: {frame:02x?}", key.proto());
        return false;
    }
    assert_eq!(ours.end, offset(frame, payload.payload) + payload.payload.len(), "end: {frame:02x?}");
    assert_eq!(ours.fragmented, payload.fragmented, "fragment: {frame:02x?}");
    let ids: Vec<u16> = theirs.vlan_ids().iter().map(|id| id.value()).collect();
    assert_eq!(key.vlans()[..ids.len()], ids[..], "tags: {frame:02x?}");
    match &theirs.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            assert_eq!((key.sport, key.dport), (tcp.source_port(), tcp.destination_port()));
            assert_eq!(ours.payload_at, offset(frame, tcp.payload()), "{frame:02x?}");
            let flags = ours.packet.tcp_flags;
            assert_eq!((flags & 2 != 0, flags & 0x10 != 0, flags & 1 != 0), (tcp.syn(), tcp.ack(), tcp.fin()));
        }
        Some(TransportSlice::Udp(udp)) => {
            assert_eq!((key.sport, key.dport), (udp.source_port(), udp.destination_port()));
            assert_eq!(ours.payload_at, offset(frame, udp.payload()), "{frame:02x?}");
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            assert_eq!((key.sport, key.dport), (icmp.type_u8().into(), icmp.code_u8().into()));
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            assert_eq!((key.sport, key.dport), (icmp.type_u8().into(), icmp.code_u8().into()));
        }
        // Theirs knows no SCTP, DCCP and UDP-Lite, and wants eight bytes of ICMP, or of a first fragment all of it.
        None if matches!(number, 1 | 6 | 17 | 33 | 58 | 132 | 136) => {}
        Some(TransportSlice::Igmp(_)) | None => assert_eq!((key.sport, key.dport), (0, 0), "no ports: {frame:02x?}"),
    }
    true
}

#[test]
fn an_independent_parser_reads_the_same_of_sound_frames() {
    let (mut compared, mut refused) = (0, 0);
    for frame in Generator::new(21).flows(20_000).mutated(0.0).take(100_000) {
        if agrees(&frame) {
            compared += 1;
        } else if let Err(reason) = read(&frame) {
            // Sound frames may be no IP, or hold arbitrary bytes under the number of a protocol with a header.
            assert!(!matches!(
                reason.label(),
                "bad_ipv4_header" | "bad_ipv4_length" | "bad_ipv6_header" | "bad_ipv6_length"
            ));
            refused += 1;
        }
    }
    assert!(compared > 95_000 && refused < 4_000, "{compared} compared, {refused} refused");
}

#[test]
fn an_independent_parser_reads_the_same_of_broken_frames_where_both_read_them() {
    let compared = Generator::new(22).flows(5_000).mutated(1.0).take(100_000).filter(|frame| agrees(frame)).count();
    assert!(compared > 30_000, "{compared}");
}

/// Sum of squared deviations from the mean over the mean, a chi-square statistic with `counts.len() - 1` degrees.
fn chi_square(counts: &[u32]) -> f64 {
    let mean = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    counts.iter().map(|&count| (f64::from(count) - mean).powi(2) / mean).sum()
}

/// Deviations beyond this are rarer than one in a billion for a random function of 255 degrees of freedom.
const CHI_SQUARE_255: f64 = 410.0;

fn spread(mut key: impl FnMut(u32) -> FlowKey) {
    let mut rng = Rng::new(5);
    let mut worst: f64 = 0.0;
    for _ in 0..50 {
        let seed = HashSeed { words: std::array::from_fn(|_| rng.bits() as u32), multiplier: rng.bits() };
        let mut counts = [0; 256];
        for number in 0..16_384 {
            counts[(flow_hash(&key(number), &seed) >> 24) as usize] += 1;
        }
        worst = worst.max(chi_square(&counts));
    }
    assert!(worst < CHI_SQUARE_255, "{worst}");
}

fn v4_key(src: u32, sport: u16) -> FlowKey {
    FlowKey {
        src: [0, 0, 0xffff_u32.to_be(), src.to_be()],
        dst: [0, 0, 0xffff_u32.to_be(), 0x0a00_0001_u32.to_be()],
        sport,
        dport: 443,
        place: 2 << 8 | 6,
        tags: 0,
    }
}

fn v6_key() -> FlowKey {
    packet(&frame().ipv6("2001:db8::1", "2001:db8::2").tcp(1000, 443).build()).key
}

fn with_word(mut address: [u32; 4], word: usize, number: u32) -> [u32; 4] {
    address[word] = number.to_be();
    address
}

#[test]
fn sequential_addresses_and_ports_spread_over_the_sets() {
    spread(|number| v4_key(0x0a00_0000 + number, 1000));
    spread(|number| v4_key(0x0a00_0000, number as u16));
    spread(|number| v4_key(0x0a00_0000 + (number << 16), 1000));
    let v6 = v6_key();
    for word in 0..4 {
        spread(|number| FlowKey { src: with_word(v6.src, word, number), ..v6 });
        spread(|number| FlowKey { dst: with_word(v6.dst, word, number), ..v6 });
    }
    spread(|number| FlowKey { tags: number, ..v4_key(1, 1000) });
    spread(|number| FlowKey { place: number << 8 | 0x11, ..v4_key(1, 1000) });
}

#[test]
fn each_word_of_an_ipv6_key_and_each_secret_matters() {
    let mut rng = Rng::new(6);
    let seed = HashSeed { words: std::array::from_fn(|_| rng.bits() as u32), multiplier: rng.bits() };
    let base = v6_key();
    let hash = flow_hash(&base, &seed);
    for word in 0..12 {
        let mut key = base;
        match word {
            0..4 => key.src[word] ^= 1,
            4..8 => key.dst[word - 4] ^= 1,
            8 => key.sport ^= 1,
            9 => key.dport ^= 1,
            10 => key.place ^= 1,
            _ => key.tags ^= 1,
        }
        assert_ne!(flow_hash(&key, &seed), hash, "word {word}");
        let mut other = seed;
        other.words[word] ^= 0x10;
        assert_ne!(flow_hash(&base, &other), hash, "secret {word}");
    }
}
