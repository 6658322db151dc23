//! NetFlow v5, as Cisco described it ("NetFlow Export Datagram Format"): IPv4 alone, 32-bit counters, 16-bit interfaces.
//!
//! What it cannot say: IPv6 (not carried, counted), VLANs, names, verdicts, why a flow ended. A flow with more bytes or
//! packets than 32 bits hold leaves as several records whose sum is right. Invariant: `flow_sequence` counts records.

use std::net::IpAddr;

use hivewall_model::{Flow, Timestamp};

use super::MESSAGE_BYTES_MAX;
use super::uptime::Uptime;
use crate::message::{Encoder, Item, Message, NotCarried};
use crate::record::Record;

const HEADER_BYTES: usize = 24;
const RECORD_BYTES: usize = 48;

/// The format allows 30; 28 keep within the length of a message.
const RECORDS_MAX: u64 = ((MESSAGE_BYTES_MAX - HEADER_BYTES) / RECORD_BYTES) as u64;

/// Records that one direction of a flow may become: 4 TiB of bytes.
const PARTS_MAX: u64 = 1024;

pub(crate) struct V5 {
    engine: u8,
    uptime: Uptime,
    sequence: u32,
    waiting: Message,
}

impl V5 {
    /// The lower eight bits of the domain become the engine's id.
    pub(crate) fn new(domain: u32, now: Timestamp) -> Self {
        Self { engine: domain as u8, uptime: Uptime::new(now), sequence: 0, waiting: Message::default() }
    }

    /// Says whether the format can carry it.
    fn push_flow(&mut self, flow: &Flow, out: &mut Vec<Message>) -> bool {
        if !(flow.tuple.client.is_ipv4() && flow.tuple.server.is_ipv4()) {
            return false;
        }
        let parts = |record: &Record| record.bytes.max(record.packets).div_ceil(u64::from(u32::MAX)).max(1);
        if Record::of(flow).any(|record| parts(&record) > PARTS_MAX) {
            return false;
        }
        for record in Record::of(flow) {
            let parts = parts(&record);
            for part in 0..parts {
                let share = |sum: u64| (sum / parts + u64::from(part < sum % parts)) as u32;
                if self.waiting.records >= RECORDS_MAX {
                    out.extend(self.flush());
                }
                self.put(&record, share(record.packets), share(record.bytes));
            }
        }
        self.waiting.items += 1;
        true
    }

    fn put(&mut self, record: &Record, packets: u32, bytes: u32) {
        let out = &mut self.waiting.bytes;
        if out.is_empty() {
            out.resize(HEADER_BYTES, 0);
        }
        let octets = |address| match address {
            IpAddr::V4(v4) => v4.octets(),
            IpAddr::V6(_) => [0; 4],
        };
        // An index beyond 16 bits would name another interface: 0 is "unknown".
        let index = |ifindex: u32| u16::try_from(ifindex).unwrap_or(0).to_be_bytes();
        // Type and code of ICMP stand in the destination port, as all collectors read it.
        let port = match record.icmp {
            Some((kind, code)) => [kind, code],
            None => record.destination_port.to_be_bytes(),
        };
        out.extend(octets(record.source));
        out.extend(octets(record.destination));
        out.extend([0; 4]); // next hop
        out.extend(index(record.ingress));
        out.extend(index(record.egress));
        out.extend(packets.to_be_bytes());
        out.extend(bytes.to_be_bytes());
        out.extend(self.uptime.of(record.start_ms).to_be_bytes());
        out.extend(self.uptime.of(record.end_ms).to_be_bytes());
        out.extend(record.source_port.to_be_bytes());
        out.extend(port);
        out.extend([0, record.tcp_flags, record.protocol, 0]);
        out.extend([0; 8]); // autonomous systems, masks, padding
        self.waiting.records += 1;
    }
}

impl Encoder for V5 {
    fn push(&mut self, item: &Item, out: &mut Vec<Message>) -> Result<(), NotCarried> {
        let Item::Flows { batch, count } = item else { return Ok(()) };
        let mut refused = 0;
        for flow in batch.flows.iter().take(*count) {
            if !self.push_flow(flow, out) {
                refused += 1;
            }
        }
        if refused == 0 { Ok(()) } else { Err(NotCarried(refused)) }
    }

    fn flush(&mut self) -> Option<Message> {
        (self.waiting.records > 0).then(|| std::mem::take(&mut self.waiting))
    }

    fn seal(&mut self, message: &mut Message, now: Timestamp) {
        let (uptime, seconds) = self.uptime.header(now);
        let mut header = [5u16.to_be_bytes(), (message.records as u16).to_be_bytes()].concat();
        header.extend(uptime.to_be_bytes());
        header.extend(seconds.to_be_bytes());
        header.extend([0; 4]); // nanoseconds
        header.extend(self.sequence.to_be_bytes());
        // Engine type, engine, and no sampling.
        header.extend([0, self.engine, 0, 0]);
        if let Some(place) = message.bytes.get_mut(..HEADER_BYTES) {
            place.copy_from_slice(&header);
        }
        self.sequence = self.sequence.wrapping_add(message.records as u32);
    }

    fn unseal(&mut self, message: &Message) {
        self.sequence = self.sequence.wrapping_sub(message.records as u32);
    }
}
