//! NetFlow v9 (RFC 3954) and IPFIX (RFC 7011): records by templates, and the same tables of fields for both.
//!
//! Four templates: IPv4 and IPv6, with ports or with ICMP type and code, so that no record carries a field that says
//! nothing about it. Options tell that nothing is sampled, and the names of interfaces. Invariant: templates go out
//! before the first record that needs them, and before the records of a new connection.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::Timestamp;

use super::MESSAGE_BYTES_MAX;
use super::fields::{
    COMMON, Field, ICMP_V4, ICMP_V6, LAST_IPFIX, LAST_V9, PORTS, TIMES_IPFIX, TIMES_V9, V4, V6, VARIABLE,
    put_fixed_text, put_text,
};
use super::uptime::Uptime;
use crate::message::{Batch, Encoder, Item, Message, NotCarried};
use crate::record::Record;

/// Template ids: the four of data from 256 on, in the order of [`Layout::ALL`].
const FIRST_TEMPLATE: u16 = 256;
const SAMPLING_TEMPLATE: u16 = 260;
const INTERFACE_TEMPLATE: u16 = 261;

/// Interfaces whose names are told.
const INTERFACES_MAX: usize = 4096;

/// Room for an interface's name where lengths are fixed: the kernel's IFNAMSIZ.
const INTERFACE_NAME_BYTES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Nine,
    Ipfix,
}

/// When templates are sent again: collectors start late and forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refresh {
    pub(crate) messages: u32,
    pub(crate) after: Duration,
}

/// What a record is laid out by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    V4Ports,
    V6Ports,
    V4Icmp,
    V6Icmp,
}

impl Layout {
    const ALL: [Self; 4] = [Self::V4Ports, Self::V6Ports, Self::V4Icmp, Self::V6Icmp];

    fn of(record: &Record) -> Self {
        match (record.source, record.destination, record.icmp) {
            (IpAddr::V4(_), IpAddr::V4(_), None) => Self::V4Ports,
            (IpAddr::V4(_), IpAddr::V4(_), Some(_)) => Self::V4Icmp,
            (_, _, None) => Self::V6Ports,
            (_, _, Some(_)) => Self::V6Icmp,
        }
    }

    fn template(self) -> u16 {
        FIRST_TEMPLATE + self as u16
    }

    fn fields(self, version: Version) -> impl Iterator<Item = &'static Field> {
        let (addresses, rest): (&[Field], &[Field]) = match self {
            Self::V4Ports => (V4, PORTS),
            Self::V6Ports => (V6, PORTS),
            Self::V4Icmp => (V4, ICMP_V4),
            Self::V6Icmp => (V6, ICMP_V6),
        };
        let (times, last) = match version {
            Version::Nine => (TIMES_V9, LAST_V9),
            Version::Ipfix => (TIMES_IPFIX, LAST_IPFIX),
        };
        addresses.iter().chain(rest).chain(times).chain(COMMON).chain(last)
    }
}

impl Version {
    fn header_bytes(self) -> usize {
        match self {
            Self::Nine => 20,
            Self::Ipfix => 16,
        }
    }

    fn template_set(self) -> u16 {
        match self {
            Self::Nine => 0,
            Self::Ipfix => 2,
        }
    }

    fn options_set(self) -> u16 {
        match self {
            Self::Nine => 1,
            Self::Ipfix => 3,
        }
    }
}

/// The encoder of both.
pub(crate) struct Templated {
    version: Version,
    domain: u32,
    refresh: Option<Refresh>,
    uptime: Uptime,
    sequence: u32,
    announced: Option<Timestamp>,
    messages_since: u32,
    names: BTreeMap<u32, Box<str>>,
    /// Records that wait for their message, by layout.
    waiting: [Vec<u8>; 4],
    waiting_records: u64,
    waiting_items: u64,
    scratch: Vec<u8>,
}

impl Templated {
    /// Without a refresh templates are sent once for each connection.
    pub(crate) fn new(version: Version, domain: u32, refresh: Option<Refresh>, now: Timestamp) -> Self {
        Self {
            version,
            domain,
            refresh,
            uptime: Uptime::new(now),
            sequence: 0,
            announced: None,
            messages_since: 0,
            names: BTreeMap::new(),
            waiting: Default::default(),
            waiting_records: 0,
            waiting_items: 0,
            scratch: Vec::new(),
        }
    }

    /// What a message adds to the sequence number: RFC 3954 §5.1 counts messages, RFC 7011 §3.1 data records.
    fn step(&self, message: &Message) -> u32 {
        match self.version {
            Version::Nine => 1,
            Version::Ipfix => message.records as u32,
        }
    }

    fn push_record(&mut self, record: &Record, out: &mut Vec<Message>) {
        let layout = Layout::of(record);
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        for field in layout.fields(self.version) {
            (field.write)(record, self.uptime, &mut bytes);
        }
        if self.size_with(layout, bytes.len()) > MESSAGE_BYTES_MAX {
            out.extend(self.flush());
        }
        if let Some(set) = self.waiting.get_mut(layout as usize) {
            set.extend_from_slice(&bytes);
            self.waiting_records += 1;
        }
        self.scratch = bytes;
    }

    /// Bytes of the message if a record came in.
    fn size_with(&self, layout: Layout, more: usize) -> usize {
        let sets = self.waiting.iter().enumerate().map(|(at, set)| {
            let length = set.len() + if at == layout as usize { more } else { 0 };
            if length == 0 { 0 } else { 4 + length.next_multiple_of(4) }
        });
        self.version.header_bytes() + sets.sum::<usize>()
    }

    /// Learns names; tells those that are new or have changed.
    fn learn<'a>(&mut self, names: impl Iterator<Item = (u32, &'a str)>, out: &mut Vec<Message>) {
        let mut news = Vec::new();
        for (index, name) in names {
            let known = self.names.get(&index).map(AsRef::as_ref);
            if known == Some(name) || known.is_none() && self.names.len() >= INTERFACES_MAX {
                continue;
            }
            self.names.insert(index, name.into());
            news.push((index, name.to_owned()));
        }
        // Before the first announcement nobody could read them, and it tells every name.
        if self.announced.is_some() {
            self.interface_messages(&news, out);
        }
    }

    fn interface_messages(&self, names: &[(u32, String)], out: &mut Vec<Message>) {
        let mut writer = Writer::new(self.version);
        for (index, name) in names {
            let mut record = index.to_be_bytes().to_vec();
            match self.version {
                Version::Nine => put_fixed_text(name, INTERFACE_NAME_BYTES, &mut record),
                Version::Ipfix => put_text(name, &mut record),
            }
            if writer.bytes.len() + record.len() + 8 > MESSAGE_BYTES_MAX {
                out.push(std::mem::replace(&mut writer, Writer::new(self.version)).finish(0));
            }
            writer.record(INTERFACE_TEMPLATE, &record);
        }
        if writer.records > 0 {
            out.push(writer.finish(0));
        }
    }

    /// Every template, and the one record of the sampling.
    fn template_message(&self) -> Message {
        let mut writer = Writer::new(self.version);
        for layout in Layout::ALL {
            let fields: Vec<_> = layout.fields(self.version).map(|field| (field.id, field.length)).collect();
            let mut template = layout.template().to_be_bytes().to_vec();
            template.extend((fields.len() as u16).to_be_bytes());
            put_fields(&fields, &mut template);
            writer.template(self.version.template_set(), &template);
        }
        let (sampling, interface) = match self.version {
            Version::Nine => (options_v9(SAMPLING_TEMPLATE, SCOPE_SYSTEM, &SAMPLING_V9), {
                options_v9(INTERFACE_TEMPLATE, SCOPE_INTERFACE, &[(82, INTERFACE_NAME_BYTES as u16)])
            }),
            Version::Ipfix => (options_ipfix(SAMPLING_TEMPLATE, &SAMPLING_IPFIX), {
                options_ipfix(INTERFACE_TEMPLATE, &[(10, 4), (82, VARIABLE)])
            }),
        };
        writer.template(self.version.options_set(), &sampling);
        writer.template(self.version.options_set(), &interface);
        let mut record = self.domain.to_be_bytes().to_vec();
        match self.version {
            Version::Nine => record.extend([0, 0, 0, 1, 1]),
            Version::Ipfix => record.extend([&[0, 1], &1u32.to_be_bytes()[..], &0u32.to_be_bytes()[..]].concat()),
        }
        writer.record(SAMPLING_TEMPLATE, &record);
        writer.finish(0)
    }
}

/// RFC 3954 §6.1: scopes.
const SCOPE_SYSTEM: u16 = 1;
const SCOPE_INTERFACE: u16 = 2;

/// SAMPLING_INTERVAL (every packet), SAMPLING_ALGORITHM (1 is deterministic).
const SAMPLING_V9: [(u16, u16); 2] = [(34, 4), (35, 1)];

/// observationDomainId as scope; selectorAlgorithm (1 is systematic, by count), samplingPacketInterval,
/// samplingPacketSpace (RFC 5477 §8.2): of each packet taken none is left out.
const SAMPLING_IPFIX: [(u16, u16); 4] = [(149, 4), (304, 2), (305, 4), (306, 4)];

fn put_fields(fields: &[(u16, u16)], out: &mut Vec<u8>) {
    for (id, length) in fields {
        out.extend(id.to_be_bytes());
        out.extend(length.to_be_bytes());
    }
}

/// RFC 3954 §6.1.
fn options_v9(template: u16, scope: u16, fields: &[(u16, u16)]) -> Vec<u8> {
    let mut out = template.to_be_bytes().to_vec();
    out.extend(4u16.to_be_bytes());
    out.extend((fields.len() as u16 * 4).to_be_bytes());
    put_fields(&[(scope, 4)], &mut out);
    put_fields(fields, &mut out);
    out
}

/// RFC 7011 §3.4.2.2; the first field is the scope.
fn options_ipfix(template: u16, fields: &[(u16, u16)]) -> Vec<u8> {
    let mut out = template.to_be_bytes().to_vec();
    out.extend((fields.len() as u16).to_be_bytes());
    out.extend(1u16.to_be_bytes());
    put_fields(fields, &mut out);
    out
}

impl Encoder for Templated {
    fn push(&mut self, item: &Item, out: &mut Vec<Message>) -> Result<(), NotCarried> {
        match item {
            Item::Flows { batch, count } => {
                let Batch { flows, names } = batch.as_ref();
                self.learn(names.iter().map(|(index, name)| (*index, name.as_ref())), out);
                for flow in flows.iter().take(*count) {
                    Record::of(flow).for_each(|record| self.push_record(&record, out));
                    self.waiting_items += 1;
                }
            }
            Item::Interfaces(interfaces) => {
                self.learn(interfaces.iter().map(|interface| (interface.index, interface.name.as_str())), out);
            }
            Item::Line(_) => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> Option<Message> {
        if self.waiting_records == 0 {
            return None;
        }
        let mut writer = Writer::new(self.version);
        for (layout, set) in Layout::ALL.into_iter().zip(&mut self.waiting) {
            if !set.is_empty() {
                writer.set(layout.template(), set);
                set.clear();
            }
        }
        writer.records = std::mem::take(&mut self.waiting_records);
        Some(writer.finish(std::mem::take(&mut self.waiting_items)))
    }

    fn announce(&mut self, now: Timestamp, out: &mut Vec<Message>) {
        let due = match (self.announced, self.refresh) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(at), Some(refresh)) => {
                self.messages_since >= refresh.messages || now.since(at) >= refresh.after || now < at
            }
        };
        if due {
            self.announced = Some(now);
            self.messages_since = 0;
            out.push(self.template_message());
            let names: Vec<_> = self.names.iter().map(|(index, name)| (*index, name.to_string())).collect();
            self.interface_messages(&names, out);
        }
    }

    fn begin(&mut self, _local: Option<IpAddr>) {
        self.announced = None;
        // RFC 7011 §3.1 counts within a connection, RFC 3954 §5.1 for the exporter's life. Datagrams know no connection:
        // there the socket is made anew behind the same session.
        if self.version == Version::Ipfix && self.refresh.is_none() {
            self.sequence = 0;
        }
    }

    fn seal(&mut self, message: &mut Message, now: Timestamp) {
        let length = message.bytes.len() as u16;
        let seconds = u32::try_from(now.secs()).unwrap_or(0);
        let mut header = Vec::with_capacity(self.version.header_bytes());
        match self.version {
            Version::Nine => {
                // The count of records stands there already.
                header.extend(message.bytes.get(..4).unwrap_or_default());
                let (uptime, seconds) = self.uptime.header(now);
                header.extend(uptime.to_be_bytes());
                header.extend(seconds.to_be_bytes());
            }
            Version::Ipfix => {
                header.extend(10u16.to_be_bytes());
                header.extend(length.to_be_bytes());
                header.extend(seconds.to_be_bytes());
            }
        }
        header.extend(self.sequence.to_be_bytes());
        header.extend(self.domain.to_be_bytes());
        if let Some(place) = message.bytes.get_mut(..header.len()) {
            place.copy_from_slice(&header);
        }
        self.sequence = self.sequence.wrapping_add(self.step(message));
        self.messages_since = self.messages_since.saturating_add(1);
    }

    fn unseal(&mut self, message: &Message) {
        self.sequence = self.sequence.wrapping_sub(self.step(message));
    }
}

/// A message in the making.
struct Writer {
    version: Version,
    bytes: Vec<u8>,
    /// Id and place of the set that is open.
    open: Option<(u16, usize)>,
    records: u64,
    templates: u64,
}

impl Writer {
    fn new(version: Version) -> Self {
        let mut bytes = Vec::with_capacity(MESSAGE_BYTES_MAX);
        bytes.resize(version.header_bytes(), 0);
        Self { version, bytes, open: None, records: 0, templates: 0 }
    }

    /// Adds to the open set, or opens one.
    fn set(&mut self, id: u16, body: &[u8]) {
        if self.open.is_none_or(|(open, _)| open != id) {
            self.close();
            self.open = Some((id, self.bytes.len()));
            self.bytes.extend(id.to_be_bytes());
            self.bytes.extend([0, 0]);
        }
        self.bytes.extend_from_slice(body);
    }

    fn record(&mut self, template: u16, record: &[u8]) {
        self.set(template, record);
        self.records += 1;
    }

    fn template(&mut self, set: u16, template: &[u8]) {
        self.set(set, template);
        self.templates += 1;
    }

    /// RFC 3954 §5.2 wants sets that end on a word. In IPFIX a record may be shorter than such padding could be, and none
    /// is asked for.
    fn close(&mut self) {
        let Some((_, start)) = self.open.take() else { return };
        if self.version == Version::Nine {
            self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        }
        let length = (self.bytes.len() - start) as u16;
        if let Some(place) = self.bytes.get_mut(start + 2..start + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    fn finish(mut self, items: u64) -> Message {
        self.close();
        if self.version == Version::Nine {
            let count = (self.records + self.templates) as u16;
            let head = [9u16.to_be_bytes(), count.to_be_bytes()].concat();
            if let Some(place) = self.bytes.get_mut(..4) {
                place.copy_from_slice(&head);
            }
        }
        Message { bytes: self.bytes, items, records: self.records, again: false }
    }
}
