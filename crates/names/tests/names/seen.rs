//! Captures as whoever copies payload would hand them over: every TCP packet of a handshake, every payload, whole.
//!
//! It copies more than the datapath does, so that the parsers are held to all there is. The reader knows pcap and pcapng as
//! the corpus has them and nothing more. Invariant: heads come in the order of the file.
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::HashMap;

use hivewall_datapath::parse::{Parsed, parse};
use hivewall_datapath::{
    Direction, FragmentId, Fragments, Frame, FrameBytes, Link, PEEK_BYTES_MAX, PeekHead, Tunnel, proto,
};
use hivewall_model::{Finding, Timestamp};
use hivewall_names::{Limits, Names};

/// A packet as it lies in a file.
pub(crate) struct Packet {
    pub(crate) time: Timestamp,
    pub(crate) link: u32,
    pub(crate) len: u32,
    pub(crate) bytes: Vec<u8>,
}

/// A head and its payload.
pub(crate) struct Seen {
    pub(crate) time: Timestamp,
    pub(crate) head: PeekHead,
    pub(crate) payload: Vec<u8>,
}

struct Words<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl Words<'_> {
    fn u16(&self, at: usize) -> u32 {
        let word = self.bytes[at..at + 2].try_into().unwrap();
        u32::from(if self.big { u16::from_be_bytes(word) } else { u16::from_le_bytes(word) })
    }

    fn u32(&self, at: usize) -> u32 {
        let word = self.bytes[at..at + 4].try_into().unwrap();
        if self.big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
    }
}

/// All packets of a capture.
pub(crate) fn packets(file: &[u8]) -> Vec<Packet> {
    match file[..4] {
        [0x0a, 0x0d, 0x0d, 0x0a] => pcapng(file),
        [0xd4, 0xc3, 0xb2, 0xa1] => pcap(file, false, 1000),
        [0x4d, 0x3c, 0xb2, 0xa1] => pcap(file, false, 1),
        [0xa1, 0xb2, 0xc3, 0xd4] => pcap(file, true, 1000),
        [0xa1, 0xb2, 0x3c, 0x4d] => pcap(file, true, 1),
        _ => panic!("no capture"),
    }
}

fn pcap(file: &[u8], big: bool, unit: i64) -> Vec<Packet> {
    let words = Words { bytes: file, big };
    let (link, mut at, mut packets) = (words.u32(20), 24, Vec::new());
    while at + 16 <= file.len() {
        let (captured, len) = (words.u32(at + 8) as usize, words.u32(at + 12));
        let time = i64::from(words.u32(at)) * 1_000_000_000 + i64::from(words.u32(at + 4)) * unit;
        let Some(bytes) = file.get(at + 16..at + 16 + captured) else { break };
        packets.push(Packet { time: Timestamp(time), link, len, bytes: bytes.to_vec() });
        at += 16 + captured;
    }
    packets
}

fn pcapng(file: &[u8]) -> Vec<Packet> {
    let (mut at, mut big, mut interfaces, mut packets) = (0, false, Vec::new(), Vec::new());
    while at + 12 <= file.len() {
        if file[at..at + 4] == [0x0a, 0x0d, 0x0d, 0x0a] {
            big = file[at + 8] == 0x1a;
            interfaces.clear();
        }
        let words = Words { bytes: file, big };
        let (kind, size) = (words.u32(at), words.u32(at + 4) as usize);
        if size < 12 || at + size > file.len() {
            break;
        }
        match kind {
            1 => interfaces.push((words.u16(at + 8), resolution(&words, at + 16, at + size - 4))),
            6 => {
                let (link, unit) = interfaces[words.u32(at + 8) as usize];
                let ticks = u64::from(words.u32(at + 12)) << 32 | u64::from(words.u32(at + 16));
                let (captured, len) = (words.u32(at + 20) as usize, words.u32(at + 24));
                let time = Timestamp((i128::from(ticks) * 1_000_000_000 / i128::from(unit)) as i64);
                packets.push(Packet { time, link, len, bytes: file[at + 28..at + 28 + captured].to_vec() });
            }
            _ => {}
        }
        at += size;
    }
    packets
}

/// Ticks of an interface in a second.
fn resolution(words: &Words<'_>, mut at: usize, end: usize) -> u64 {
    while at + 4 <= end {
        let (code, len) = (words.u16(at), words.u16(at + 2) as usize);
        if code == 9 {
            let value = words.bytes[at + 4];
            return if value & 0x80 == 0 { 10_u64.pow(u32::from(value)) } else { 1 << (value & 0x7f) };
        }
        at += 4 + len.next_multiple_of(4);
    }
    1_000_000
}

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

/// Heads of a capture, in its order; what is inside of tunnels included.
pub(crate) fn heads(file: &[u8]) -> Vec<Seen> {
    let (mut fragments, mut seen) = (Remembered::default(), Vec::new());
    for packet in packets(file) {
        let (link, skip) = match packet.link {
            1 => (Link::Ethernet, 0),
            0 | 108 => (Link::Ip, 4),
            12 | 101 | 228 | 229 => (Link::Ip, 0),
            113 => (Link::Ip, 16),
            other => panic!("link type {other}"),
        };
        let frame = Frame {
            link,
            len: packet.len - skip,
            stripped: skip,
            segments: 0,
            segment_size: 0,
            vlan: None,
            ifindex: 1,
            direction: Direction::Ingress,
        };
        let bytes = &packet.bytes[(skip as usize).min(packet.bytes.len())..];
        let Ok(parsed) = parse(&FrameBytes(bytes), &frame, &mut fragments) else { continue };
        seen.extend(head(packet.time, bytes, &parsed));
        if let Some((tunnel, link, at)) = inner(bytes, &parsed) {
            let inside = Frame { link, len: (parsed.end - at) as u32, ..frame };
            let bytes = &bytes[at.min(bytes.len())..];
            if let Ok(mut parsed) = parse(&FrameBytes(bytes), &inside, &mut fragments) {
                parsed.packet.key.tags |= (tunnel as u32) << 28;
                seen.extend(head(packet.time, bytes, &parsed));
            }
        }
    }
    seen
}

/// Where the packet inside of a tunnel begins. Options of GRE as RFC 2890 has them.
fn inner(bytes: &[u8], parsed: &Parsed) -> Option<(Tunnel, Link, usize)> {
    let (tunnel, at) = (parsed.tunnel()?, parsed.payload_at);
    match tunnel {
        Tunnel::Ipip | Tunnel::SixInFour => Some((tunnel, Link::Ip, at)),
        Tunnel::Gre => {
            let head = bytes.get(at..at + 4)?;
            let options = [7, 5, 4].iter().filter(|bit| head[0] >> *bit & 1 == 1).count();
            let link = if head[2..4] == [0x65, 0x58] { Link::Ethernet } else { Link::Ip };
            Some((tunnel, link, at + 4 + 4 * options))
        }
        Tunnel::Vxlan | Tunnel::Geneve => Some((tunnel, Link::Ethernet, at + 8)),
    }
}

fn head(time: Timestamp, bytes: &[u8], parsed: &Parsed) -> Option<Seen> {
    let key = parsed.packet.key;
    let mut head = PeekHead::default();
    head.key = key;
    head.time_ns = time.0 as u64;
    head.tcp_flags = parsed.packet.tcp_flags;
    let at = parsed.payload_at;
    let word = |at: usize| bytes.get(at..at + 4).map_or(0, |word| u32::from_be_bytes(word.try_into().unwrap()));
    match key.proto() {
        proto::TCP => {
            let ports = u32::from(key.sport) << 16 | u32::from(key.dport);
            let len = (20..=60).step_by(4).find(|len| {
                at >= *len && word(at - len) == ports && usize::from(bytes[at - len + 12] >> 4) * 4 == *len
            })?;
            (head.seq, head.ack) = (word(at - len + 4), word(at - len + 8));
        }
        proto::ICMP | proto::ICMPV6 => {
            head.seq = word(at);
        }
        _ => {}
    }
    if parsed.fragmented && key.proto() != proto::UDP {
        return None;
    }
    head.payload = (parsed.end - at) as u32;
    let end = parsed.end.min(bytes.len()).max(at);
    let payload = bytes.get(at..end.min(at + PEEK_BYTES_MAX)).unwrap_or_default().to_vec();
    head.captured = payload.len() as u16;
    Some(Seen { time, head, payload })
}

/// All that a capture tells, and the reader afterwards.
pub(crate) fn play(file: &[u8]) -> (Vec<Finding>, Names) {
    let (mut names, mut out) = (Names::new(Limits::default()), Vec::new());
    for seen in heads(file) {
        names.take(seen.time, &seen.head, &seen.payload, &mut out);
        names.tick(seen.time);
    }
    (out, names)
}
