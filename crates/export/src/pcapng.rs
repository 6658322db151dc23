//! Packets as a capture file that every analyser opens: pcapng, draft-ietf-opsawg-pcapng, little-endian, times in nanoseconds.
//!
//! It knows no detector and writes no file: what is to be appended is in [`Pcapng::take`]. Invariant: what was taken so far is a
//! valid file at any time, since blocks leave whole and each names only interfaces that came before it.

use std::collections::HashMap;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
/// Section 4.1: the reader tells the byte order by it.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const OPT_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
/// Longest text of an option, so that no block outgrows what readers take.
const TEXT_BYTES_MAX: usize = 1024;

/// How the bytes of a packet begin (the registry of link types at tcpdump.org).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// With an Ethernet header.
    Ethernet = 1,
    /// With the IP header.
    RawIp = 101,
}

/// One packet.
#[derive(Clone, Copy, Debug)]
pub struct CapturedPacket<'a> {
    /// Nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// Where it was seen.
    pub interface: &'a str,
    /// How it begins.
    pub link: LinkType,
    /// Whether this host sent it.
    pub is_sent: bool,
    /// Its first bytes.
    pub bytes: &'a [u8],
    /// How long it was on the wire.
    pub length: u32,
    /// What there is to say about it.
    pub comment: &'a str,
}

/// A capture file in the making.
#[derive(Debug)]
pub struct Pcapng {
    interfaces: HashMap<(String, LinkType), u32>,
    bytes: Vec<u8>,
}

impl Pcapng {
    /// One that says who wrote it and what it is.
    pub fn new(writer: &str, comment: &str) -> Self {
        let mut body = Vec::new();
        body.extend(BYTE_ORDER.to_le_bytes());
        // Version 1.0, and a length that is not known.
        body.extend(1_u16.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        body.extend((-1_i64).to_le_bytes());
        option(&mut body, OPT_COMMENT, text(comment));
        option(&mut body, SHB_USERAPPL, text(writer));
        end_options(&mut body);
        let mut new = Self { interfaces: HashMap::new(), bytes: Vec::new() };
        new.block(SECTION, &body);
        new
    }

    /// Adds a packet.
    pub fn add(&mut self, packet: &CapturedPacket<'_>) {
        let interface = self.interface(packet.interface, packet.link);
        let mut body = Vec::new();
        body.extend(interface.to_le_bytes());
        body.extend(((packet.time_ns >> 32) as u32).to_le_bytes());
        body.extend((packet.time_ns as u32).to_le_bytes());
        body.extend((packet.bytes.len() as u32).to_le_bytes());
        body.extend(packet.length.max(packet.bytes.len() as u32).to_le_bytes());
        padded(&mut body, packet.bytes);
        // Section 4.3.1: the lowest two bits are 1 for what came in and 2 for what went out.
        let way: u32 = if packet.is_sent { 2 } else { 1 };
        option(&mut body, OPT_COMMENT, text(packet.comment));
        option(&mut body, EPB_FLAGS, &way.to_le_bytes());
        end_options(&mut body);
        self.block(PACKET, &body);
    }

    /// What is to be appended to the file.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// How much that is.
    pub fn pending(&self) -> usize {
        self.bytes.len()
    }

    fn interface(&mut self, name: &str, link: LinkType) -> u32 {
        let key = (name.to_owned(), link);
        if let Some(number) = self.interfaces.get(&key) {
            return *number;
        }
        let mut body = Vec::new();
        body.extend((link as u16).to_le_bytes());
        body.extend([0; 2]);
        // No limit on lengths.
        body.extend([0; 4]);
        option(&mut body, IF_NAME, text(name));
        option(&mut body, IF_TSRESOL, &[9]);
        end_options(&mut body);
        self.block(INTERFACE, &body);
        let number = self.interfaces.len() as u32;
        self.interfaces.insert(key, number);
        number
    }

    /// The length stands before and behind, so that a file can be read backwards.
    fn block(&mut self, kind: u32, body: &[u8]) {
        let length = (body.len() as u32 + 12).to_le_bytes();
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(length);
        self.bytes.extend(body);
        self.bytes.extend(length);
    }
}

fn text(text: &str) -> &[u8] {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.as_bytes().get(..end).unwrap_or_default()
}

fn padded(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend(bytes);
    into.resize(into.len().next_multiple_of(4), 0);
}

fn option(into: &mut Vec<u8>, code: u16, value: &[u8]) {
    if value.is_empty() {
        return;
    }
    into.extend(code.to_le_bytes());
    into.extend((value.len() as u16).to_le_bytes());
    padded(into, value);
}

fn end_options(into: &mut Vec<u8>) {
    into.extend([0; 4]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind and body of each block, which has to say its length twice.
    fn blocks(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let length = word(bytes, 4) as usize;
            assert!(length.is_multiple_of(4) && word(bytes, length - 4) as usize == length);
            all.push((word(bytes, 0), bytes[8..length - 4].to_vec()));
            bytes = &bytes[length..];
        }
        all
    }

    fn packet<'a>(interface: &'a str, link: LinkType, bytes: &'a [u8]) -> CapturedPacket<'a> {
        CapturedPacket { time_ns: 0x1_0000_0002, interface, link, is_sent: true, bytes, length: 99, comment: "scan 1" }
    }

    #[test]
    fn each_interface_and_link_type_is_described_once_before_its_first_packet() {
        let mut file = Pcapng::new("hivewall 1", "why");
        file.add(&packet("eth0", LinkType::RawIp, &[0x45]));
        file.add(&packet("eth0", LinkType::Ethernet, &[1; 14]));
        let mut bytes = file.take();
        file.add(&packet("eth0", LinkType::RawIp, &[0x60]));
        assert!(file.pending() > 0);
        bytes.extend(file.take());
        let all = blocks(&bytes);
        let kinds: Vec<u32> = all.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [SECTION, INTERFACE, PACKET, INTERFACE, PACKET, PACKET]);
        let interfaces: Vec<u8> = all.iter().filter(|(kind, _)| *kind == PACKET).map(|(_, body)| body[0]).collect();
        assert_eq!(interfaces, [0, 1, 0]);
        assert_eq!((all[1].1[0], all[3].1[0]), (101, 1));
    }

    #[test]
    fn a_packet_has_its_time_both_lengths_way_and_comment() {
        let mut file = Pcapng::new("", "");
        file.add(&packet("eth0", LinkType::RawIp, &[0x45, 2, 3]));
        let all = blocks(&file.take());
        let body = &all[2].1;
        assert_eq!(body[..20], [0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 99, 0, 0, 0]);
        assert_eq!(body[20..24], [0x45, 2, 3, 0]);
        assert_eq!(body[24..36], *b"\x01\0\x06\0scan 1\0\0");
        assert_eq!(body[36..], [2, 0, 4, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(text(&"ß".repeat(600)).len(), 1024);
        assert_eq!(text(&format!("a{}", "ß".repeat(600))).len(), 1023);
    }
}
