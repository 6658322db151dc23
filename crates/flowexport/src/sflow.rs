//! sFlow version 5 (sflow.org, "sFlow Version 5", July 2004): the counters of interfaces, and nothing else.
//!
//! Flow samples are not sent. A flow sample is the head of one packet that was picked at random, with the rate it was
//! picked at; collectors multiply by that rate. The agent picks no packets, it counts all of them, and a made-up header
//! would be taken for a measurement. Whoever wants flows takes IPFIX or NetFlow. Invariant: each interface is one source
//! with a sequence of its own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use hivewall_model::{Interface, Timestamp};

use crate::message::{Encoder, Item, Message, NotCarried};
use crate::netflow::MESSAGE_BYTES_MAX;

/// Enterprise 0, format 2: a counter sample.
const COUNTER_SAMPLE: u32 = 2;
/// Enterprise 0, format 1: generic interface counters.
const GENERIC_COUNTERS: u32 = 1;
const GENERIC_BYTES: u32 = 88;
/// What the format wants in place of a counter that is not known.
const UNKNOWN: u32 = u32::MAX;
/// ifType of RFC 2863 by IANA: ethernetCsmacd, softwareLoopback, other.
const ETHERNET: u32 = 6;
const LOOPBACK: u32 = 24;
const OTHER: u32 = 1;
/// Header with an IPv6 agent.
const HEADER_BYTES_MAX: usize = 40;
/// A sample with its head.
const SAMPLE_BYTES: usize = 8 + 12 + 8 + GENERIC_BYTES as usize;
const SAMPLES_MAX: usize = (MESSAGE_BYTES_MAX - HEADER_BYTES_MAX) / SAMPLE_BYTES;
/// Interfaces whose sequences are remembered.
const SOURCES_MAX: usize = 65_536;

pub(crate) struct Sflow {
    agent: IpAddr,
    sub_agent: u32,
    started: Instant,
    sequence: u32,
    sources: HashMap<u32, u32>,
}

impl Sflow {
    /// The agent's address, by which collectors know this host, is that of the socket.
    pub(crate) fn new(sub_agent: u32) -> Self {
        Self {
            agent: Ipv4Addr::UNSPECIFIED.into(),
            sub_agent,
            started: Instant::now(),
            sequence: 0,
            sources: HashMap::new(),
        }
    }

    fn sample(&mut self, interface: &Interface, out: &mut Vec<u8>) {
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&interface.index) {
            self.sources.clear();
        }
        let sequence = self.sources.entry(interface.index).or_insert(0);
        *sequence = sequence.wrapping_add(1);
        let words = [COUNTER_SAMPLE, SAMPLE_BYTES as u32 - 8, *sequence, interface.index & 0x00ff_ffff, 1];
        put(out, &words);
        put(out, &[GENERIC_COUNTERS, GENERIC_BYTES]);
        let kind = match (interface.loopback, interface.link) {
            (true, _) => LOOPBACK,
            (false, hivewall_model::LinkLayer::Ethernet) => ETHERNET,
            (false, _) => OTHER,
        };
        put(out, &[interface.index, kind]);
        out.extend(interface.speed.unwrap_or(0).to_be_bytes());
        // Duplex is not known; both bits of the status, because `up` is the state wanted and the carrier in one.
        put(out, &[0, if interface.up { 3 } else { 0 }]);
        out.extend(interface.rx_bytes.to_be_bytes());
        let (received, sent) = (interface.rx_packets as u32, interface.tx_packets as u32);
        // Unicast has all packets: Linux does not tell the three kinds apart. Multicast and broadcast are not known.
        put(out, &[received, UNKNOWN, UNKNOWN, interface.rx_dropped as u32, interface.rx_errors as u32, UNKNOWN]);
        out.extend(interface.tx_bytes.to_be_bytes());
        put(out, &[sent, UNKNOWN, UNKNOWN, interface.tx_dropped as u32, interface.tx_errors as u32, UNKNOWN]);
    }

    fn header(&self, samples: u32) -> Vec<u8> {
        let mut out = 5u32.to_be_bytes().to_vec();
        match self.agent {
            IpAddr::V4(v4) => {
                put(&mut out, &[1]);
                out.extend(v4.octets());
            }
            IpAddr::V6(v6) => {
                put(&mut out, &[2]);
                out.extend(v6.octets());
            }
        }
        put(&mut out, &[self.sub_agent, 0, 0, samples]);
        out
    }
}

fn put(out: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        out.extend(word.to_be_bytes());
    }
}

impl Encoder for Sflow {
    fn push(&mut self, item: &Item, out: &mut Vec<Message>) -> Result<(), NotCarried> {
        let Item::Interfaces(interfaces) = item else { return Ok(()) };
        for some in interfaces.chunks(SAMPLES_MAX) {
            let mut bytes = self.header(some.len() as u32);
            some.iter().for_each(|interface| self.sample(interface, &mut bytes));
            let count = some.len() as u64;
            out.push(Message { bytes, items: count, records: count, again: false });
        }
        Ok(())
    }

    fn flush(&mut self) -> Option<Message> {
        None
    }

    fn begin(&mut self, local: Option<IpAddr>) {
        self.agent = local.unwrap_or(self.agent);
    }

    fn seal(&mut self, message: &mut Message, _now: Timestamp) {
        self.sequence = self.sequence.wrapping_add(1);
        let uptime = self.started.elapsed().as_millis() as u32;
        let mut words = Vec::with_capacity(8);
        put(&mut words, &[self.sequence, uptime]);
        // Behind the agent's address, whose family the second word tells.
        let at = if message.bytes.get(7) == Some(&1) { 12 + 4 } else { 12 + 16 };
        if let Some(place) = message.bytes.get_mut(at..at + 8) {
            place.copy_from_slice(&words);
        }
    }

    fn unseal(&mut self, _message: &Message) {
        self.sequence = self.sequence.wrapping_sub(1);
    }
}
