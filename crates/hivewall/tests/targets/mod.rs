//! The bodies of the fuzz targets: bytes in, a panic out when something does not hold.
//!
//! `fuzz/fuzz_targets/*.rs` feed them what coverage suggests; the plain test `fuzz_corpus` feeds them the named cases
//! in `fuzz/regressions` and seeded noise, so that both hold the code to the same. Invariant: a body depends on its
//! input alone.
#![allow(dead_code, reason = "each fuzz target uses one of them")]

use std::collections::HashMap;
use std::time::Duration;

use hivewall_config::Config;
use hivewall_datapath::{
    Direction, FragmentId, Fragments, Frame, FrameBytes, Link, Packet, Reason,
    parse::{LEN_MAX, Parsed, parse as parse_frame, wire_len},
};
use hivewall_engine::Limits;
use hivewall_host::file::CaptureFile;
use hivewall_model::Timestamp;
use hivewall_view::Filter;

use crate::play;

pub(crate) mod authlog;
pub(crate) mod names;
pub(crate) mod policy;

/// A target's body.
pub(crate) type Body = fn(&[u8]);

/// All of them by name.
pub(crate) const TARGETS: &[(&str, Body)] = &[
    ("parse", parse),
    ("capture_file", capture_file),
    ("filter", filter),
    ("config", config),
    ("replay", replay),
    ("names", names::names),
    ("policy_tables", policy::policy_tables),
    ("policy_text", policy::policy_text),
    ("authlog", authlog::authlog),
];

#[derive(Default)]
struct Remembered(HashMap<FragmentId, u32>);

impl Fragments for Remembered {
    fn remember(&mut self, id: &FragmentId, ports: u32) {
        self.0.insert(*id, ports);
    }

    fn recall(&mut self, id: &FragmentId) -> Option<u32> {
        self.0.get(id).copied()
    }
}

/// Frames of any link, cut anywhere: counted in whole, or refused with a reason.
///
/// The first bytes choose link, metadata and what the capture left out; the rest is the frame.
pub(crate) fn parse(data: &[u8]) {
    let Some((&[how, missing0, missing1, vlan0, vlan1, segments, size0, size1], bytes)) = data.split_first_chunk::<8>()
    else {
        return;
    };
    let missing = u32::from(u16::from_le_bytes([missing0, missing1]));
    let frame = Frame {
        link: match how & 3 {
            0 | 1 => Link::Ethernet,
            2 => Link::Ip,
            _ => Link::After(u16::from_be_bytes([vlan0, vlan1])),
        },
        len: (bytes.len() as u32).saturating_add(if how & 4 == 0 { 0 } else { missing }).min(LEN_MAX),
        stripped: u32::from(how >> 4),
        segments: u32::from(segments),
        segment_size: if how & 8 == 0 { 0 } else { u32::from(u16::from_le_bytes([size0, size1])) },
        vlan: (how & 3 == 1).then_some(u16::from_be_bytes([vlan0, vlan1])),
        ifindex: 1,
        direction: if how & 0x10 == 0 { Direction::Ingress } else { Direction::Egress },
    };
    let mut fragments = Remembered::default();
    let first = parse_frame(&FrameBytes(bytes), &frame, &mut fragments);
    match &first {
        Ok(parsed) => check_parsed(parsed, &frame),
        Err(Reason::Snapped) => assert!(frame.len as usize > bytes.len(), "snapped, but all of it is there"),
        Err(reason) => assert!(Reason::from_number(*reason as u32) == Some(*reason)),
    }
    // The same bytes again are the same packet: what a first fragment left behind must not change it.
    let again = parse_frame(&FrameBytes(bytes), &frame, &mut fragments);
    assert_eq!(first.is_ok(), again.is_ok());
    if let (Ok(first), Ok(again)) = (&first, &again) {
        assert_eq!(first.packet, again.packet);
    }
    check_counted(bytes, &frame, first.ok().map(|parsed| parsed.packet));
}

fn check_parsed(parsed: &Parsed, frame: &Frame) {
    let Packet { packets, ip_bytes, link_bytes, .. } = parsed.packet;
    assert!(parsed.ip_at <= parsed.payload_at && parsed.payload_at <= parsed.end && parsed.end <= frame.len as usize);
    assert!(packets >= 1);
    assert_eq!(parsed.packet.key.ifindex(), 1);
    assert_eq!(parsed.packet.key.direction(), frame.direction);
    let total = u64::from(ip_bytes) + u64::from(link_bytes);
    if packets == 1 {
        assert_eq!(total, u64::from(wire_len(frame)), "one packet's IP and link bytes are its frame");
    } else {
        // Each further segment repeats the headers, which are at most as long as the buffer.
        assert!(total >= u64::from(wire_len(frame)) && total <= u64::from(packets) * u64::from(wire_len(frame)));
    }
}

/// One frame through the whole datapath: in one record, or under one reason.
fn check_counted(bytes: &[u8], frame: &Frame, packet: Option<Packet>) {
    let mut soft = hivewall_soft::SoftDatapath::new(8, play::seed());
    let observed = soft.observe(&FrameBytes(bytes), frame, 7);
    assert_eq!(observed.is_ok(), packet.is_some());
    soft.sweep(7, 0, true);
    let mut outer = soft.records().clone();
    outer.retain(|record| record.line.key.tunnel().is_none());
    let tallies = soft.tallies();
    let apart =
        |key: &hivewall_datapath::TallyKey| !matches!(key.reason(), Some(Reason::InnerUnread | Reason::Segments));
    let refused: u64 = tallies.iter().filter(|(key, _)| apart(key)).map(|(_, tally)| tally.packets).sum();
    match packet {
        Some(packet) => {
            let counted: Vec<_> = outer.iter().map(|record| (record.line.key, record.line.packets())).collect();
            assert_eq!((counted, refused), (vec![(packet.key, packet.packets)], 0));
        }
        None => assert_eq!((outer.len(), refused), (0, 1)),
    }
}

/// Any bytes as a capture file: it ends, and what it delivers is within what it claims.
pub(crate) fn capture_file(data: &[u8]) {
    let Ok(mut file) = CaptureFile::from_bytes(data.to_vec()) else { return };
    let mut records = 0_u64;
    loop {
        let (before, interfaces) = (file.position(), file.interfaces().len());
        match file.next() {
            Ok(Some(frame)) => {
                assert!(frame.bytes.len() as u64 <= u64::from(frame.len));
                assert!(frame.bytes.len() <= data.len());
                let interface = frame.interface as usize;
                assert!(interface < interfaces.max(file.interfaces().len()));
            }
            Ok(None) => break,
            Err(_) => {
                assert!(matches!(file.next(), Ok(None)), "an error is told once");
                break;
            }
        }
        records += 1;
        assert!(file.position() > before, "a record takes no room");
        assert!(file.position() <= data.len() as u64);
    }
    assert_eq!(file.records(), records);
}

/// Any text as a filter: what is understood is written so that it is understood the same.
pub(crate) fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let now = Timestamp::from_secs(1_700_000_000);
    match Filter::parse(text, now) {
        Ok(filter) => {
            let written = filter.to_string();
            // Later, since a canonical text must not depend on when it is read.
            let again = Filter::parse(&written, now + Duration::from_secs(3_600));
            assert_eq!(again.as_ref(), Ok(&filter), "{text:?} was written as {written:?}");
            let flow = hivewall_view::example_flow();
            let row = hivewall_view::FlowRow::new(&flow, &|_| "eth0".to_owned());
            assert_eq!(filter.matches(&flow, &|_| "eth0".to_owned()), filter.matches_row(&row), "{written:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Any text as a configuration: read, or refused with at least one sentence.
pub(crate) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse(text, "hivewall.toml") {
        Ok((config, _)) => {
            let again = Config::parse(text, "other.toml").expect("it was read before").0;
            assert_eq!(config, again);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Any bytes as a capture through the whole pipeline: every packet is in a flow or under a reason, with a cache and a
/// flow table far too small as with large ones.
pub(crate) fn replay(data: &[u8]) {
    let small = Limits { flows_max: 3, closed_keep: 2, addresses_max: 4, ..Limits::default() };
    let Ok(played) = play::play(data.to_vec(), small, 8) else { return };
    played.check_sums();
    let large = play::play(data.to_vec(), play::no_timeouts(), 1024).expect("it was read before");
    large.check_sums();
    assert_eq!(played.all(), large.all(), "the size of cache and table changed the sums");
    assert_eq!(played.packets, large.packets);
}
