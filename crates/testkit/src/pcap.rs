//! Captures as tests need them: pcap and pcapng, written whole in memory or to any writer.
//!
//! It reads nothing, and it writes what it is told, right or wrong (a captured length beyond the data is the caller's
//! business through [`Cut`]). Times are nanoseconds since the Unix epoch everywhere. Invariant: equal calls give equal
//! bytes, in the byte order that was asked for, on every machine.

use std::io::{self, Write};

/// Link type of Ethernet frames.
pub const ETHERNET: u16 = 1;
/// Link type of BSD loopback.
pub const NULL: u16 = 0;
/// Link type of raw IP packets.
pub const RAW: u16 = 101;
/// Link type of Linux cooked capture, version 1.
pub const LINUX_SLL: u16 = 113;
/// Link type of Linux cooked capture, version 2.
pub const LINUX_SLL2: u16 = 276;

const NANOS: u64 = 1_000_000_000;

/// Byte order of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Least significant byte first.
    #[default]
    Little,
    /// Most significant byte first.
    Big,
}

impl Order {
    fn put16(self, out: &mut Vec<u8>, value: u16) {
        out.extend_from_slice(&if self == Self::Big { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn put32(self, out: &mut Vec<u8>, value: u32) {
        out.extend_from_slice(&if self == Self::Big { value.to_be_bytes() } else { value.to_le_bytes() });
    }
}

/// A packet of which only the front was captured.
#[derive(Clone, Copy, Debug)]
pub struct Cut<'a> {
    /// What was captured.
    pub data: &'a [u8],
    /// Length on the wire, bytes.
    pub wire_len: u32,
}

impl<'a> From<&'a [u8]> for Cut<'a> {
    fn from(data: &'a [u8]) -> Self {
        Self { data, wire_len: data.len() as u32 }
    }
}

impl<'a> From<&'a Vec<u8>> for Cut<'a> {
    fn from(data: &'a Vec<u8>) -> Self {
        data.as_slice().into()
    }
}

/// How a pcap file is to be written.
#[derive(Clone, Copy, Debug)]
pub struct PcapFormat {
    /// Byte order.
    pub order: Order,
    /// Nanoseconds instead of microseconds.
    pub nanoseconds: bool,
    /// Link type.
    pub link: u16,
    /// Longest captured length, bytes; the header's word only, nothing is cut.
    pub snaplen: u32,
}

impl Default for PcapFormat {
    fn default() -> Self {
        Self { order: Order::Little, nanoseconds: false, link: ETHERNET, snaplen: 262_144 }
    }
}

/// Writes a pcap file.
#[derive(Debug)]
pub struct PcapWriter<W> {
    out: W,
    format: PcapFormat,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file's header.
    pub fn new(mut out: W, format: PcapFormat) -> io::Result<Self> {
        let mut head = Vec::with_capacity(24);
        let order = format.order;
        order.put32(&mut head, if format.nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 });
        order.put16(&mut head, 2);
        order.put16(&mut head, 4);
        for word in [0, 0, format.snaplen, u32::from(format.link)] {
            order.put32(&mut head, word);
        }
        out.write_all(&head)?;
        Ok(Self { out, format })
    }

    /// Writes one packet.
    pub fn packet<'a>(&mut self, nanos: u64, packet: impl Into<Cut<'a>>) -> io::Result<()> {
        let Cut { data, wire_len } = packet.into();
        let fraction = (nanos % NANOS) as u32;
        let fraction = if self.format.nanoseconds { fraction } else { fraction / 1000 };
        let mut head = Vec::with_capacity(16);
        for word in [(nanos / NANOS) as u32, fraction, data.len() as u32, wire_len] {
            self.format.order.put32(&mut head, word);
        }
        self.out.write_all(&head)?;
        self.out.write_all(data)
    }

    /// The writer, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// A whole capture in memory: `packets` are times and frames.
pub fn pcap_bytes<'a>(format: PcapFormat, packets: impl IntoIterator<Item = (u64, &'a [u8])>) -> Vec<u8> {
    let write = || {
        let mut writer = PcapWriter::new(Vec::new(), format)?;
        packets.into_iter().try_for_each(|(nanos, data)| writer.packet(nanos, data))?;
        writer.finish()
    };
    write().unwrap_or_else(|error| unreachable!("memory takes every byte: {error}"))
}

/// A pcapng interface to be described.
#[derive(Clone, Copy, Debug)]
pub struct Interface<'a> {
    /// Its name; none is written when empty.
    pub name: &'a str,
    /// Link type.
    pub link: u16,
    /// Longest captured length, bytes; 0 means unlimited.
    pub snaplen: u32,
    /// `if_tsresol` as it is written: 6 is µs, 9 is ns, with bit 7 a power of two; `None` leaves it out (µs).
    pub tsresol: Option<u8>,
}

impl Default for Interface<'_> {
    fn default() -> Self {
        Self { name: "", link: ETHERNET, snaplen: 0, tsresol: None }
    }
}

/// Identifies an interface of a pcapng section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceId(u32);

/// Writes a pcapng file.
#[derive(Debug)]
pub struct PcapngWriter<W> {
    out: W,
    order: Order,
    resolutions: Vec<u8>,
}

impl<W: Write> PcapngWriter<W> {
    /// Writes the first section's header.
    pub fn new(out: W, order: Order) -> io::Result<Self> {
        let mut writer = Self { out, order, resolutions: Vec::new() };
        writer.section(order)?;
        Ok(writer)
    }

    /// Starts another section, which may be of another byte order and has no interfaces yet.
    pub fn section(&mut self, order: Order) -> io::Result<()> {
        self.order = order;
        self.resolutions.clear();
        let mut body = Vec::with_capacity(16);
        order.put32(&mut body, 0x1a2b_3c4d);
        order.put16(&mut body, 1);
        order.put16(&mut body, 0);
        // The section's length is not known beforehand: -1 says so.
        body.extend_from_slice(&[0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }

    /// Describes an interface.
    pub fn interface(&mut self, interface: Interface<'_>) -> io::Result<InterfaceId> {
        let mut body = Vec::new();
        self.order.put16(&mut body, interface.link);
        self.order.put16(&mut body, 0);
        self.order.put32(&mut body, interface.snaplen);
        let name = (!interface.name.is_empty()).then_some((2, interface.name.as_bytes()));
        let resolution = interface.tsresol.as_ref().map(|value| (9, std::slice::from_ref(value)));
        let options: Vec<(u16, &[u8])> = name.into_iter().chain(resolution).collect();
        for (code, value) in &options {
            self.option(&mut body, *code, value);
        }
        if !options.is_empty() {
            self.option(&mut body, 0, &[]);
        }
        self.block(1, &body)?;
        self.resolutions.push(interface.tsresol.unwrap_or(6));
        Ok(InterfaceId(self.resolutions.len() as u32 - 1))
    }

    /// Writes one packet in an enhanced packet block; the time is rounded down to the interface's resolution.
    pub fn packet<'a>(&mut self, on: InterfaceId, nanos: u64, packet: impl Into<Cut<'a>>) -> io::Result<()> {
        let Cut { data, wire_len } = packet.into();
        let resolution = self.resolutions.get(on.0 as usize).copied().unwrap_or(6);
        let ticks = ticks(nanos, resolution);
        let mut body = Vec::with_capacity(20 + data.len() + 3);
        for word in [on.0, (ticks >> 32) as u32, ticks as u32, data.len() as u32, wire_len] {
            self.order.put32(&mut body, word);
        }
        body.extend_from_slice(data);
        self.block(6, &body)
    }

    /// Writes one packet in a simple packet block: first interface, no time.
    pub fn simple_packet<'a>(&mut self, packet: impl Into<Cut<'a>>) -> io::Result<()> {
        let Cut { data, wire_len } = packet.into();
        let mut body = Vec::with_capacity(4 + data.len() + 3);
        self.order.put32(&mut body, wire_len);
        body.extend_from_slice(data);
        self.block(3, &body)
    }

    /// Writes any block: type and body, padded to whole words.
    pub fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let padded = body.len().next_multiple_of(4);
        let mut out = Vec::with_capacity(12 + padded);
        self.order.put32(&mut out, kind);
        self.order.put32(&mut out, 12 + padded as u32);
        out.extend_from_slice(body);
        out.resize(8 + padded, 0);
        self.order.put32(&mut out, 12 + padded as u32);
        self.out.write_all(&out)
    }

    fn option(&self, body: &mut Vec<u8>, code: u16, value: &[u8]) {
        self.order.put16(body, code);
        self.order.put16(body, value.len() as u16);
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }

    /// The writer, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

fn ticks(nanos: u64, resolution: u8) -> u64 {
    let per_second = match resolution {
        power if power & 0x80 != 0 => 1u128.checked_shl(u32::from(power & 0x7f)),
        power => 10u128.checked_pow(u32::from(power)),
    };
    (u128::from(nanos).saturating_mul(per_second.unwrap_or(u128::MAX)) / u128::from(NANOS)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 5 * NANOS + 123_456_789;

    #[test]
    fn a_pcap_record_is_these_bytes_in_either_order_and_resolution() {
        let little = pcap_bytes(PcapFormat::default(), [(AT, &b"abc"[..])]);
        assert_eq!(little[..8], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(little[20..32], [1, 0, 0, 0, 5, 0, 0, 0, 0x40, 0xe2, 1, 0]);
        assert_eq!(little[32..], [3, 0, 0, 0, 3, 0, 0, 0, b'a', b'b', b'c']);
        let format = PcapFormat { order: Order::Big, nanoseconds: true, link: RAW, snaplen: 96 };
        let big = pcap_bytes(format, [(AT, &b"abc"[..])]);
        assert_eq!(big[..8], [0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4]);
        assert_eq!(big[16..32], [0, 0, 0, 96, 0, 0, 0, 101, 0, 0, 0, 5, 0x07, 0x5b, 0xcd, 0x15]);
    }

    #[test]
    fn a_cut_packet_keeps_its_length_on_the_wire() {
        let mut writer = PcapWriter::new(Vec::new(), PcapFormat::default()).unwrap();
        writer.packet(0, Cut { data: b"ab", wire_len: 1500 }).unwrap();
        assert_eq!(writer.finish().unwrap()[32..], [2, 0, 0, 0, 0xdc, 5, 0, 0, b'a', b'b']);
    }

    #[test]
    fn pcapng_blocks_are_whole_words_with_the_length_at_both_ends() {
        for order in [Order::Little, Order::Big] {
            let mut writer = PcapngWriter::new(Vec::new(), order).unwrap();
            let eth = Interface { name: "eth0", tsresol: Some(9), ..Interface::default() };
            let first = writer.interface(eth).unwrap();
            let second = writer.interface(Interface { link: RAW, ..Interface::default() }).unwrap();
            assert_ne!(first, second);
            writer.packet(second, AT, &b"abcde"[..]).unwrap();
            writer.simple_packet(&b"x".to_vec()).unwrap();
            let bytes = writer.finish().unwrap();
            let word = |at: usize| {
                let word = bytes[at..at + 4].try_into().unwrap();
                if order == Order::Big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
            };
            let (mut at, mut kinds) = (0, Vec::new());
            while at < bytes.len() {
                let len = word(at + 4) as usize;
                assert_eq!((len % 4, word(at + len - 4) as usize), (0, len));
                kinds.push(word(at));
                at += len;
            }
            assert_eq!(kinds, [0x0a0d_0d0a, 1, 1, 6, 3]);
        }
    }

    #[test]
    fn times_are_rounded_down_to_the_interfaces_resolution() {
        assert_eq!(ticks(AT, 9), AT);
        assert_eq!(ticks(AT, 6), AT / 1000);
        assert_eq!(ticks(AT, 0), 5);
        assert_eq!(ticks(3 * NANOS / 2, 0x8a), 1536);
    }

    #[test]
    #[ignore = "needs tshark; a check of this writer against an independent reader: cargo test -- --ignored"]
    fn an_independent_reader_agrees_on_names_times_and_lengths() {
        let mut writer = PcapngWriter::new(Vec::new(), Order::Big).unwrap();
        let eth = Interface { name: "wan", tsresol: Some(9), ..Interface::default() };
        let frame = crate::packet::frame().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build();
        let on = writer.interface(eth).unwrap();
        writer.packet(on, AT, Cut { data: &frame, wire_len: 99 }).unwrap();
        let path = std::env::temp_dir().join(format!("hwt-{}.pcapng", std::process::id()));
        std::fs::write(&path, writer.finish().unwrap()).unwrap();
        let fields = ["frame.time_epoch", "frame.interface_name", "frame.len", "frame.cap_len", "udp.dstport"];
        let mut command = std::process::Command::new("tshark");
        command.arg("-r").arg(&path).args(["-T", "fields", "-E", "separator=,"]);
        command.args(fields.iter().flat_map(|field| ["-e", field]));
        let output = command.output().unwrap();
        std::fs::remove_file(&path).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("wan,99,42,2"), "{text}");
        assert!(text.contains("5.123456789") || text.contains("05.123456789"), "{text}");
    }
}
