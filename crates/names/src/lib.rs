//! From copied payload to names and times: DNS, TLS, QUIC, HTTP, SSH, handshakes and answers. No I/O, no clock.
//!
//! [`Names`] takes the heads and first bytes of packets in the order they were seen and tells what it learned. A packet that this
//! host forwards, bridges or unwraps is seen at several interfaces: it is read once, where it came first. Parsers are
//! maintained crates; what stands between the packet and them (order of segments, gaps, cuts, who asked) is here.
//!
//! Invariant: everything kept has a limit, a hostile packet costs a counter and bounded time, and nothing panics.
#![forbid(unsafe_code)]

mod connection;
mod conversation;
mod counters;
mod dns;
mod echo;
mod handshake;
mod http;
mod ja4;
mod limits;
mod quic;
mod ssh;
mod stray;
mod stream;
mod table;
mod text;
mod tls;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use hivewall_datapath::{FlowKey, PeekHead, proto};
use hivewall_model::{Finding, Learned, RoundTripKind, Timestamp};

pub use counters::Counter;
pub use limits::{
    AHEAD_MAX, ALPN_MAX, ANSWER_WAIT, ASSEMBLY_BYTES_MAX, DNS_ANSWERS_MAX, GAP_WAIT, HTTP_REQUESTS_WAITING_MAX, Limits,
    PASSAGE, QUIC_FRAMES_MAX,
};

use connection::{Connection, Telling};
use conversation::{Conversation, Point, Side};
use counters::{Count, Counts};
use echo::Echoes;
use handshake::{ACK, Handshakes, SYN};
use quic::Quic;
use stream::Segment;
use table::Bounded;
use transactions::{Known, Sent, Transactions};

const DNS_PORT: u16 = 53;
const MDNS_PORT: u16 = 5353;
const LLMNR_PORT: u16 = 5355;
/// Packet time between two looks for what has been quiet.
const TICK: Duration = Duration::from_secs(5);

/// Reads names and times from the first bytes of conversations.
pub struct Names {
    limits: Limits,
    counts: Counts,
    handshakes: Handshakes,
    connections: Bounded<Conversation, Connection>,
    transactions: Transactions,
    echoes: Echoes,
    quic: Quic,
    /// Bytes of half-assembled messages in `connections`.
    held: usize,
    ticked: Timestamp,
}

impl Names {
    /// Nothing is known yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            counts: Counts::default(),
            handshakes: Handshakes::new(limits.handshakes),
            connections: Bounded::new(limits.connections),
            transactions: Transactions::new(limits.transactions),
            echoes: Echoes::new(limits.echoes),
            quic: Quic::new(limits.quic),
            held: 0,
            ticked: Timestamp::default(),
            limits,
        }
    }

    /// Takes a packet seen at `time`, with the bytes that were copied of its payload, and appends what it told.
    pub fn take(&mut self, time: Timestamp, head: &PeekHead, payload: &[u8], out: &mut Vec<Finding>) {
        if head.is_stray != 0 {
            out.extend(stray::read(time, head, payload));
            return;
        }
        match head.key.proto() {
            proto::TCP => self.tcp(time, head, payload, out),
            proto::UDP if !payload.is_empty() => self.udp(time, head, payload, out),
            proto::ICMP | proto::ICMPV6 => {
                if let Some(took) = self.echoes.take(time, head, &mut self.counts) {
                    self.round_trip(&head.key, time, RoundTripKind::Echo, took, out);
                }
            }
            _ => {}
        }
    }

    /// Forgets what has been quiet for long. Wanted about once a second; most calls cost nothing.
    pub fn tick(&mut self, now: Timestamp) {
        if now.since(self.ticked) < TICK {
            return;
        }
        self.ticked = now;
        let Self { connections, counts, held, limits, .. } = self;
        connections.retain(|connection| {
            let keep = now.since(connection.touched) < limits.quiet;
            if !keep && connection.held() > 0 {
                counts.add(Count::Stale);
                *held = held.saturating_sub(connection.held());
            }
            keep
        });
        self.quic.tick(now, &self.limits, &mut self.counts);
    }

    /// What was read and what was refused since the start, by reason.
    pub fn counters(&self) -> Vec<Counter> {
        self.counts.list()
    }

    fn round_trip(
        &mut self,
        key: &FlowKey,
        time: Timestamp,
        kind: RoundTripKind,
        took: Duration,
        out: &mut Vec<Finding>,
    ) {
        self.counts.add(Count::RoundTrips);
        out.push(Finding { key: *key, time, learned: Learned::RoundTrip { kind, time: took } });
    }

    fn tcp(&mut self, time: Timestamp, head: &PeekHead, payload: &[u8], out: &mut Vec<Finding>) {
        let (conversation, side) = Conversation::of(&head.key);
        let mut first = head.seq;
        if head.tcp_flags & SYN == 0 {
            if let Some(learned) = self.handshakes.later(&conversation, side, time, head) {
                self.counts.add(Count::Handshakes);
                out.push(Finding { key: head.key, time, learned });
            }
        } else {
            // A SYN takes a number of its own; what TCP Fast Open sends with it comes after.
            first = first.wrapping_add(1);
            if head.tcp_flags & ACK != 0 {
                self.handshakes.syn_ack(&conversation, side, time, head);
            } else if self.handshakes.syn(&conversation, side, time, head, &mut self.counts) {
                self.forget(&conversation);
            }
        }
        if payload.is_empty() {
            return;
        }
        let segment = Segment { seq: first, wire: head.payload.max(payload.len() as u32), bytes: payload };
        self.segment((conversation, side), time, &head.key, segment, out);
    }

    fn forget(&mut self, conversation: &Conversation) {
        if let Some(gone) = self.connections.remove(conversation) {
            self.held = self.held.saturating_sub(gone.held());
        }
    }

    fn segment(
        &mut self,
        (conversation, side): (Conversation, Side),
        time: Timestamp,
        key: &FlowKey,
        segment: Segment<'_>,
        out: &mut Vec<Finding>,
    ) {
        if self.connections.get(&conversation).is_none() {
            let start = self.handshakes.start(&conversation);
            let connection = Connection::new(key, start, is_dns(key), time);
            if let Some(gone) = self.connections.insert(conversation, connection) {
                self.held = self.held.saturating_sub(gone.held());
                if gone.held() > 0 {
                    self.counts.add(Count::TableFull);
                }
            }
        }
        let Some(connection) = self.connections.get(&conversation) else { return };
        let before = connection.held();
        let mut telling = Telling { key, time, out, counts: &mut self.counts, dns: Vec::new() };
        connection.take(side, segment, &mut telling);
        let messages = telling.dns;
        self.held = (self.held + connection.held()).saturating_sub(before);
        for message in messages {
            self.dns((conversation, side), time, key, &message, true, out);
        }
        while self.held > self.limits.assembly_bytes {
            let Some(gone) = self.connections.pop_oldest() else { break };
            self.held = self.held.saturating_sub(gone.held());
            self.counts.add(Count::TableFull);
        }
    }

    fn udp(&mut self, time: Timestamp, head: &PeekHead, payload: &[u8], out: &mut Vec<Finding>) {
        let (conversation, side) = Conversation::of(&head.key);
        if is_dns(&head.key) {
            self.dns((conversation, side), time, &head.key, payload, false, out);
            return;
        }
        let at = Point::of(&head.key);
        let told = self.quic.take((conversation, side), at, time, payload, &mut self.counts);
        if let Some(hello) = told.hello {
            self.counts.add(Count::TlsHellos);
            self.counts.add(Count::QuicHellos);
            out.push(Finding { key: head.key, time, learned: Learned::Tls(Arc::new(hello)) });
        }
        if let Some(took) = told.round_trip {
            self.round_trip(&head.key, time, RoundTripKind::Quic, took, out);
        }
    }

    fn dns(
        &mut self,
        (conversation, side): (Conversation, Side),
        time: Timestamp,
        key: &FlowKey,
        bytes: &[u8],
        over_tcp: bool,
        out: &mut Vec<Finding>,
    ) {
        let multicast = [key.sport, key.dport].iter().any(|port| matches!(*port, MDNS_PORT | LLMNR_PORT));
        let Some(mut read) = dns::read(bytes, over_tcp, multicast) else {
            self.counts.add(Count::DnsMalformed);
            return;
        };
        let sent = Sent {
            conversation,
            side,
            at: Point::of(key),
            time,
            id: read.message.id,
            response: read.message.response,
            question: read.question,
            content: (!over_tcp).then(|| dns::fnv(bytes.iter().copied())),
        };
        let Known::New(latency) = self.transactions.take(&sent, &mut self.counts) else {
            self.counts.add(Count::Duplicate);
            return;
        };
        self.counts.add(Count::DnsMessages);
        if read.partial {
            self.counts.add(Count::DnsPartial);
        }
        read.message.latency = latency;
        out.push(Finding { key: *key, time, learned: Learned::Dns(Arc::new(read.message)) });
        if let Some(took) = latency {
            self.round_trip(key, time, RoundTripKind::Dns, took, out);
        }
    }
}

fn is_dns(key: &FlowKey) -> bool {
    [key.sport, key.dport].iter().any(|port| matches!(*port, DNS_PORT | MDNS_PORT | LLMNR_PORT))
}
