//! TCP headers that claim more than their datagram holds, and those that only the recording cut: the first are somebody's doing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use hivewall_testkit::pcap::{Cut, PcapFormat, PcapWriter};
use hivewall_view::alerts::Severity;

/// A SYN from 192.0.2.66 whose data offset says 60 bytes, in a datagram of 20 bytes of IP header and so many more.
fn syn(number: u8, tcp_bytes: u8) -> Vec<u8> {
    let ip = [69, 0, 0, 20 + tcp_bytes, 0, number, 64, 0, 64, 6, 0, 0, 192, 0, 2, 66, 10, 0, 0, 1];
    let tcp = [200, number, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0xf0, 2, 255, 255, 0, 0, 0, 0];
    let options = std::iter::repeat_n(1, usize::from(tcp_bytes).saturating_sub(20));
    let link = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    link.into_iter().chain(ip).chain(tcp).chain(options).collect()
}

/// Signs of `invalid_packets` about a recording of twelve such SYNs.
fn said(name: &str, tcp_bytes: u8, snap: usize) -> Vec<(Severity, String)> {
    let frames: Vec<Vec<u8>> = (0..12).map(|number| syn(number, tcp_bytes)).collect();
    let mut recording = PcapWriter::new(Vec::new(), PcapFormat::default()).unwrap();
    for (number, frame) in (0_u64..).zip(&frames) {
        let captured = Cut { data: &frame[..frame.len().min(snap)], wire_len: frame.len() as u32 };
        recording.packet(number * 10_000_000, captured).unwrap();
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, recording.finish().unwrap()).unwrap();
    let signs = support::replay(&path, support::everything()).into_iter();
    let invalid = signs.filter(|sign| sign.detector.name == "invalid_packets");
    invalid.map(|sign| (sign.severity, sign.subject.source.map(|it| it.to_string()).unwrap_or_default())).collect()
}

#[test]
fn a_data_offset_beyond_the_datagram_is_told_of_its_sender() {
    let told = said("offset_lies.pcap", 20, usize::MAX);
    assert_eq!(told.last(), Some(&(Severity::Low, "192.0.2.66".to_owned())), "{told:?}");
}

#[test]
fn options_that_only_the_recording_cut_are_nobodys_doing() {
    assert_eq!(said("options_whole.pcap", 60, usize::MAX), []);
    assert_eq!(said("options_cut.pcap", 60, 68), []);
    let session = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/invalid/tcp_header_cut/in.pcap");
    let signs = support::replay(&session, support::everything());
    assert!(signs.is_empty(), "{signs:?}");
}
