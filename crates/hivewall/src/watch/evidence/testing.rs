//! Packets for tests of evidence: from 192.0.2.7 to 10.0.0.1, and frames in no flow.

use hivewall_datapath::parse::{Frame, Link};
use hivewall_datapath::{FlowKey, PeekHead};
use hivewall_model::{Direction, Timestamp};

/// Some second.
pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + second)
}

fn mapped(octets: [u8; 4]) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), u32::from_ne_bytes(octets)]
}

/// The head of a packet with these ports and so much payload, on interface 3.
pub(super) fn head(protocol: u8, sport: u16, dport: u16, payload: u32) -> PeekHead {
    let place = 3 << 8 | u32::from(protocol);
    let key = FlowKey { src: mapped([192, 0, 2, 7]), dst: mapped([10, 0, 0, 1]), sport, dport, place, tags: 0 };
    let mut head = PeekHead::default();
    (head.key, head.payload) = (key, payload);
    head
}

/// The head of a frame that is in no flow.
pub(super) fn stray(bytes: &[u8]) -> PeekHead {
    let frame = Frame {
        link: Link::Ethernet,
        len: bytes.len() as u32,
        stripped: 0,
        segments: 0,
        segment_size: 0,
        vlan: None,
        ifindex: 3,
        direction: Direction::Ingress,
    };
    PeekHead::stray(&frame, bytes.len())
}
