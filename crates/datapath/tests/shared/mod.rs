//! One way to call the parser, and one line to picture what it says.
//!
//! It holds no expectations. Invariant: a picture shows every field of a [`Parsed`] that is not at its default.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::Ipv6Addr;

use hivewall_datapath::parse::{Parsed, parse};
use hivewall_datapath::{Direction, FlowKey, FragmentId, Fragments, Frame, FrameBytes, Link, Packet, Reason};

/// Ports of first fragments, all of them.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) HashMap<FragmentId, u32>);

impl Fragments for Memory {
    fn remember(&mut self, id: &FragmentId, ports: u32) {
        self.0.insert(*id, ports);
    }

    fn recall(&mut self, id: &FragmentId) -> Option<u32> {
        self.0.get(id).copied()
    }
}

/// A frame received on interface 2, all of it captured.
pub(crate) fn ethernet(len: usize) -> Frame {
    Frame {
        link: Link::Ethernet,
        len: len as u32,
        stripped: 0,
        segments: 0,
        segment_size: 0,
        vlan: None,
        ifindex: 2,
        direction: Direction::Ingress,
    }
}

/// What the parser says of bytes received on interface 2.
pub(crate) fn read(bytes: &[u8]) -> Result<Parsed, Reason> {
    parse(&FrameBytes(bytes), &ethernet(bytes.len()), &mut Memory::default())
}

/// The packet in bytes that have to be readable.
pub(crate) fn packet(bytes: &[u8]) -> Packet {
    read(bytes).unwrap().packet
}

fn address(octets: [u8; 16]) -> String {
    let v6 = Ipv6Addr::from(octets);
    v6.to_ipv4_mapped().map_or_else(|| v6.to_string(), |v4| v4.to_string())
}

pub(crate) fn key_line(key: &FlowKey) -> String {
    let mut line = format!(
        "{} {} {}:{} > {}:{}",
        if key.is_v6() { "v6" } else { "v4" },
        key.proto(),
        address(key.src_octets()),
        key.sport,
        address(key.dst_octets()),
        key.dport
    );
    if key.is_portless() {
        line += " portless";
    }
    if key.vlans() != [0, 0] {
        write!(line, " vlans {:?}", key.vlans()).unwrap();
    }
    if let Some(tunnel) = key.tunnel() {
        write!(line, " in {tunnel:?}").unwrap();
    }
    if key.direction() == Direction::Egress {
        line += " egress";
    }
    line
}

/// One line: the key, what is counted, and where things lie.
pub(crate) fn picture(parsed: &Parsed) -> String {
    let packet = &parsed.packet;
    let mut line = key_line(&packet.key);
    if packet.tcp_flags != 0 {
        write!(line, " flags {:#04x}", packet.tcp_flags).unwrap();
    }
    write!(line, " | {} packets, {} + {} bytes", packet.packets, packet.ip_bytes, packet.link_bytes).unwrap();
    write!(line, " | ip {} payload {} end {}", parsed.ip_at, parsed.payload_at, parsed.end).unwrap();
    if parsed.fragmented {
        line += " fragment";
    }
    line
}

/// The picture, or the label of the reason.
pub(crate) fn told(result: Result<Parsed, Reason>) -> String {
    result.map_or_else(|reason| reason.label().to_owned(), |parsed| picture(&parsed))
}

/// Compares with what is expected of these bytes.
#[track_caller]
pub(crate) fn check(bytes: &[u8], expect: &expect_test::Expect) {
    expect.assert_eq(&told(read(bytes)));
}
