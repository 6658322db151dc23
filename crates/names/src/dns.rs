//! DNS messages, as far as they can be read: header and first question by hand, answers by `simple-dns`.
//!
//! `simple-dns` reads a message in whole or not at all, and refuses classes it does not know, the reserved header bit, and
//! everything that a tunnel or a cut leaves behind. So it is given a copy of the message in which what is not wanted
//! (authority, additional records, the kind of question) is made harmless, and as many answers as it will read. Invariant: a
//! message whose header and question can be read is a message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hivewall_model::{DnsAnswer, DnsMessage};
use simple_dns::rdata::RData;
use simple_dns::{Name, Packet, ResourceRecord};

use crate::limits::DNS_ANSWERS_MAX;
use crate::text::text;

/// Bytes of a header (RFC 1035 §4.1.1).
pub(crate) const HEADER_BYTES: usize = 12;
const NAME_BYTES_MAX: usize = 255;
/// More steps than a name can have labels.
const LABELS_MAX: usize = 128;
const RESPONSE: u16 = 0x8000;
const RESERVED: u16 = 0x0040;
const RCODE: u16 = 0x000f;

/// A message that was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) message: DnsMessage,
    /// Stands for the question: its name in lower case, and its type. `None` when there is none.
    pub(crate) question: Option<u64>,
    /// Whether an answer could not be read.
    pub(crate) partial: bool,
}

struct Question {
    /// As text, without the final dot.
    name: Vec<u8>,
    qtype: u16,
    /// Offset of its type.
    type_at: usize,
}

/// Reads a message; `None` when not even header and question can be.
pub(crate) fn read(bytes: &[u8], over_tcp: bool, multicast: bool) -> Option<Read> {
    let word = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes);
    let (id, flags, questions, answer_count, _) = (word(0)?, word(2)?, word(4)?, word(6)?, word(10)?);
    let question = if questions == 0 { None } else { Some(question(bytes)?) };
    let mut message = DnsMessage {
        id,
        flags,
        response: flags & RESPONSE != 0,
        rcode: flags & RCODE,
        answer_count,
        over_tcp,
        multicast,
        ..DnsMessage::default()
    };
    if let Some(question) = &question {
        message.name = text(&question.name, NAME_BYTES_MAX);
        message.qtype = question.qtype;
    }
    let wanted = answer_count.min(DNS_ANSWERS_MAX as u16);
    if wanted > 0 {
        message.answers = answers(bytes, flags, question.as_ref(), wanted);
    }
    let partial = message.answers.len() < usize::from(wanted);
    Some(Read { question: question.as_ref().map(hash), partial, message })
}

fn question(bytes: &[u8]) -> Option<Question> {
    let (name, type_at) = name(bytes, HEADER_BYTES)?;
    let qtype = u16::from_be_bytes(*bytes.get(type_at..)?.first_chunk()?);
    // The class is not looked at, but a question ends with it.
    bytes.get(type_at + 2..type_at + 4)?;
    Some(Question { name, qtype, type_at })
}

/// The name at `at` with dots between its labels, and where it ends.
fn name(bytes: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let (mut name, mut end) = (Vec::new(), None);
    for _ in 0..LABELS_MAX {
        let len = *bytes.get(at)?;
        match len {
            0 => return Some((name, end.unwrap_or(at + 1))),
            // Pointers lead back (RFC 1035 §4.1.4); scanners send others, and they too end after so many steps.
            0xc0.. => {
                let to = usize::from(u16::from_be_bytes([len & 0x3f, *bytes.get(at + 1)?]));
                end = end.or(Some(at + 2));
                at = to;
            }
            0x40..=0xbf => return None,
            len => {
                let label = bytes.get(at + 1..at + 1 + usize::from(len))?;
                if !name.is_empty() {
                    name.push(b'.');
                }
                name.extend_from_slice(label);
                if name.len() > NAME_BYTES_MAX {
                    return None;
                }
                at += 1 + usize::from(len);
            }
        }
    }
    None
}

/// FNV-1a over the lower-case name and the type: servers must send the question back, but may change its case.
fn hash(question: &Question) -> u64 {
    let bytes = question.name.iter().map(u8::to_ascii_lowercase).chain(question.qtype.to_be_bytes());
    fnv(bytes)
}

/// FNV-1a.
pub(crate) fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The first `wanted` answers, or as many of them as can be read.
fn answers(bytes: &[u8], flags: u16, question: Option<&Question>, wanted: u16) -> Vec<DnsAnswer> {
    let mut copy = bytes.to_vec();
    let mut put = |at: usize, value: u16| {
        if let Some(word) = copy.get_mut(at..at + 2) {
            word.copy_from_slice(&value.to_be_bytes());
        }
    };
    put(2, flags & !RESERVED);
    put(8, 0);
    put(10, 0);
    if let Some(question) = question {
        // The question was read already; as A and IN it is one that `simple-dns` knows.
        put(question.type_at, 1);
        put(question.type_at + 2, 1);
    }
    let mut read = |count: u16| {
        if let Some(word) = copy.get_mut(6..8) {
            word.copy_from_slice(&count.to_be_bytes());
        }
        Packet::parse(&copy).ok().map(|packet| packet.answers.iter().map(answer).collect::<Vec<_>>())
    };
    if let Some(all) = read(wanted) {
        return all;
    }
    // What can be read ends somewhere between; a step halves the distance.
    let (mut best, mut low, mut high) = (Vec::new(), 0, wanted);
    while high - low > 1 {
        let middle = low.midpoint(high);
        match read(middle) {
            Some(some) => (best, low) = (some, middle),
            None => high = middle,
        }
    }
    best
}

fn dotted(name: &Name<'_>) -> Box<str> {
    let labels: Vec<&[u8]> = name.as_bytes().collect();
    text(&labels.join(&b'.'), NAME_BYTES_MAX)
}

fn answer(record: &ResourceRecord<'_>) -> DnsAnswer {
    let (mut address, mut words) = (None, Box::default());
    match &record.rdata {
        RData::A(a) => address = Some(IpAddr::V4(Ipv4Addr::from_bits(a.address))),
        RData::AAAA(aaaa) => address = Some(IpAddr::V6(Ipv6Addr::from_bits(aaaa.address))),
        RData::CNAME(name) => words = dotted(name),
        RData::PTR(name) => words = dotted(name),
        RData::NS(name) => words = dotted(name),
        RData::MX(mx) => words = dotted(&mx.exchange),
        RData::SRV(srv) => words = dotted(&srv.target),
        RData::TXT(txt) => {
            let mut bytes = Vec::new();
            for (key, value) in txt.iter_raw() {
                bytes.extend_from_slice(key);
                if let Some(value) = value {
                    bytes.push(b'=');
                    bytes.extend_from_slice(value);
                }
            }
            words = text(&bytes, NAME_BYTES_MAX);
        }
        _ => {}
    }
    let rtype = record.rdata.type_code().into();
    DnsAnswer { name: dotted(&record.name), rtype, ttl: record.ttl, address, text: words }
}
