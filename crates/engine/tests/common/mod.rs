//! Records written by hand, an engine with a clock that stands where the test puts it, and pictures of what came out.
//!
//! Times are milliseconds since the start of the test, which is also the length of a tick. It holds no expectations.
//! Invariant: nothing is learned of the engine but what it shows to everyone.
#![allow(dead_code, unreachable_pub, reason = "shared by several tests, each of which uses a part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use expect_test::Expect;
use hivewall_datapath::{Cause, FlowKey, FlowLine, OPENED, PACKETS_MASK, Record, Tunnel, proto};
use hivewall_engine::{Effects, Engine, Event, Limits};
use hivewall_model::{
    DnsAnswer, DnsMessage, Finding, Flow, Interface, Learned, Process, Rank, SocketChange, SocketEnds, SocketEvent,
    SocketState, TcpHealth, TickClock, Timestamp, TlsHello,
};
use hivewall_view::{FlowPage, FlowRow, Query, Snapshot, Sort};

pub const START: Timestamp = Timestamp::from_secs(1_700_000_000);
/// Ticks at [`START`].
const TICKS: u32 = 5_000_000;

const EGRESS: u32 = 1 << 24;
const V6: u32 = 1 << 25;
const PORTLESS: u32 = 1 << 26;

/// A time of the test.
pub fn at(ms: i64) -> Timestamp {
    Timestamp(START.0 + ms * 1_000_000)
}

fn words(ip: IpAddr) -> [u32; 4] {
    let octets = match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    std::array::from_fn(|i| u32::from_ne_bytes(octets[4 * i..4 * i + 4].try_into().unwrap()))
}

/// A record being written: one packet of 100 IP bytes and 14 link bytes, received by interface 1 at time 0.
#[derive(Clone, Copy, Debug)]
pub struct Rec {
    pub record: Record,
    first: i64,
    last: i64,
}

impl From<Rec> for Record {
    fn from(rec: Rec) -> Self {
        rec.record
    }
}

fn rec(protocol: u8, src: IpAddr, dst: IpAddr, sport: u16, dport: u16) -> Rec {
    let tags = if src.is_ipv6() { V6 } else { 0 };
    let key = FlowKey { src: words(src), dst: words(dst), sport, dport, place: 1 << 8 | u32::from(protocol), tags };
    let line = FlowLine { key, packets_flags: 1, ip_bytes: 100, link_bytes: 14, ..FlowLine::default() };
    let record = Record { line, now: 0, cause: Cause::Swept as u32 };
    Rec { record, first: 0, last: 0 }.at(0)
}

/// A record of any protocol without ports, or with ports given.
pub fn ip(protocol: u8, src: &str, dst: &str) -> Rec {
    rec(protocol, src.parse().unwrap(), dst.parse().unwrap(), 0, 0)
}

fn with_ports(protocol: u8, src: &str, dst: &str) -> Rec {
    let (src, dst): (SocketAddr, SocketAddr) = (src.parse().unwrap(), dst.parse().unwrap());
    rec(protocol, src.ip(), dst.ip(), src.port(), dst.port())
}

/// A TCP record with an ACK.
pub fn tcp(src: &str, dst: &str) -> Rec {
    with_ports(proto::TCP, src, dst).flags("A")
}

pub fn udp(src: &str, dst: &str) -> Rec {
    with_ports(proto::UDP, src, dst)
}

/// An ICMP or ICMPv6 record, by the family of its addresses.
pub fn icmp(src: &str, dst: &str, kind: u16, code: u16) -> Rec {
    let src: IpAddr = src.parse().unwrap();
    let protocol = if src.is_ipv6() { proto::ICMPV6 } else { proto::ICMP };
    rec(protocol, src, dst.parse().unwrap(), kind, code)
}

impl Rec {
    /// Seen by this interface.
    pub fn on(mut self, ifindex: u32) -> Self {
        self.record.line.key.place = ifindex << 8 | self.record.line.key.place & 0xff;
        self
    }

    /// Sent, not received.
    pub fn out(mut self) -> Self {
        self.record.line.key.tags |= EGRESS;
        self
    }

    pub fn vlan(mut self, outer: u16, inner: u16) -> Self {
        self.record.line.key.tags |= u32::from(outer) | u32::from(inner) << 12;
        self
    }

    pub fn portless(mut self) -> Self {
        self.record.line.key.tags |= PORTLESS;
        self
    }

    /// Inside of a tunnel, and so without link bytes.
    pub fn inside(mut self, tunnel: Tunnel) -> Self {
        self.record.line.key.tags |= (tunnel as u32) << 28;
        self.record.line.link_bytes = 0;
        self
    }

    /// TCP flags by their letters; `O` for the mark of a SYN without ACK.
    pub fn flags(mut self, letters: &str) -> Self {
        let packets = self.record.line.packets();
        let bits = letters.chars().map(|letter| match letter {
            'O' => OPENED,
            letter => 1 << ("FSRPAUEC".find(letter).unwrap() + 24),
        });
        self.record.line.packets_flags = bits.fold(packets, |all, bit| all | bit);
        self
    }

    /// So many packets, each of 100 IP bytes and 14 link bytes.
    pub fn packets(self, packets: u32) -> Self {
        self.counts(packets, packets * 100)
    }

    pub fn counts(mut self, packets: u32, ip_bytes: u32) -> Self {
        let line = &mut self.record.line;
        line.packets_flags = line.packets_flags & !PACKETS_MASK | packets;
        line.ip_bytes = ip_bytes;
        if line.key.tunnel().is_none() {
            line.link_bytes = packets * 14;
        }
        self
    }

    /// One packet's time.
    pub fn at(self, ms: i64) -> Self {
        self.during(ms, ms)
    }

    /// Times of the first and of the latest packet; handed over at the latter.
    pub fn during(mut self, first: i64, last: i64) -> Self {
        (self.first, self.last) = (first, last);
        self.record.line.first = ticks(first) as u16;
        self.record.line.last = ticks(last) as u16;
        self.record.now = ticks(last);
        self
    }

    /// The last record of a connection, as another began on its tuple.
    pub fn renewed(mut self) -> Self {
        self.record.cause = Cause::Reused as u32;
        self
    }
}

/// Ticks at a time of the test.
pub fn ticks(ms: i64) -> u32 {
    TICKS.wrapping_add(ms as u32)
}

/// The clock that records' ticks are of.
pub fn clock() -> TickClock {
    TickClock { ticks: u64::from(TICKS), time: START, tick_ns: 1_000_000 }
}

/// An interface by index, name and rank.
pub fn interface(index: u32, name: &str, rank: Rank) -> Interface {
    Interface { index, name: name.to_owned(), rank, up: true, ..Interface::default() }
}

/// Limits with which nothing ends unless the test wants it to.
pub fn patient() -> Limits {
    let never = Duration::from_secs(1_000_000);
    Limits { idle: never, tcp_idle: never, icmp_idle: never, active: never, linger: never, ..Limits::default() }
}

/// A process for tests.
pub fn process(pid: u32, comm: &str) -> Arc<Process> {
    Arc::new(Process { pid, started_ns: u64::from(pid) * 1000, comm: comm.into(), uid: 1000, ..Process::default() })
}

/// A socket event being written: at time 0, of nobody known, without health.
#[derive(Clone, Debug)]
pub struct Sock(pub SocketEvent);

/// An event of a socket between these ends; `*` stands for any address, and alone for anybody.
pub fn socket(protocol: u8, local: &str, remote: &str, change: SocketChange) -> Sock {
    let end = |text: &str| match text.strip_prefix('*') {
        Some("") => "0.0.0.0:0".parse().unwrap(),
        Some(port) => format!("0.0.0.0{port}").parse().unwrap(),
        None => text.parse().unwrap(),
    };
    let ends = SocketEnds { protocol, local: end(local), remote: end(remote) };
    Sock(SocketEvent { time: START, ends, change, process: None, tcp: None })
}

/// A process uses a TCP socket.
pub fn used(local: &str, remote: &str, by: &Arc<Process>) -> Sock {
    socket(proto::TCP, local, remote, SocketChange::Used).by(by)
}

/// A TCP socket closes.
pub fn closes(local: &str, remote: &str) -> Sock {
    let change = SocketChange::State { from: SocketState::LastAck, to: SocketState::Close };
    socket(proto::TCP, local, remote, change)
}

impl Sock {
    pub fn at(mut self, ms: i64) -> Self {
        self.0.time = at(ms);
        self
    }

    pub fn by(mut self, process: &Arc<Process>) -> Self {
        self.0.process = Some(Arc::clone(process));
        self
    }

    pub fn health(mut self, smoothed_us: u64, retransmits: u32) -> Self {
        let smoothed_rtt = Some(Duration::from_micros(smoothed_us));
        self.0.tcp = Some(TcpHealth { smoothed_rtt, retransmits, ..TcpHealth::default() });
        self
    }
}

impl Rec {
    /// Something learned from this record's packet, at its last time.
    pub fn shows(self, learned: Learned) -> Finding {
        Finding { key: self.record.line.key, time: at(self.last), learned }
    }
}

/// A DNS query, or a response when there are answers.
pub fn dns(id: u16, name: &str, answers: &[&str]) -> DnsMessage {
    DnsMessage {
        id,
        name: name.into(),
        qtype: 1,
        response: !answers.is_empty(),
        answers: answers.iter().map(|ip| answer(name, ip, 60)).collect(),
        latency: (!answers.is_empty()).then(|| Duration::from_millis(4)),
        ..DnsMessage::default()
    }
}

/// An address record, or an alias when `to` is no address.
pub fn answer(name: &str, to: &str, ttl: u32) -> DnsAnswer {
    let address: Option<IpAddr> = to.parse().ok();
    let text = if address.is_none() { to.into() } else { "".into() };
    DnsAnswer { name: name.into(), rtype: if address.is_none() { 5 } else { 1 }, ttl, address, text }
}

pub fn hello(name: &str) -> Learned {
    Learned::Tls(Arc::new(TlsHello {
        server_name: (!name.is_empty()).then(|| name.into()),
        version: 0x0304,
        ja4: "t13d1516h2_8daaf6152771_b186095e22b6".into(),
        ..TlsHello::default()
    }))
}

/// This host, with one interface and these addresses.
pub fn host(addresses: &[&str]) -> Vec<Interface> {
    let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    vec![Interface { addresses, ..interface(1, "eth0", Rank::Plain) }]
}

/// An engine and what came out of it.
pub struct Desk {
    pub engine: Engine,
    pub effects: Effects,
    pub now: i64,
}

impl Desk {
    pub fn new(limits: Limits) -> Self {
        Self { engine: Engine::new(limits), effects: Effects::default(), now: 0 }
    }

    pub fn know(&mut self, all: Vec<Interface>) {
        let captured = all.iter().map(|interface| interface.index).collect();
        self.step(Event::Interfaces { all, captured });
    }

    pub fn step(&mut self, event: Event<'_>) {
        self.engine.step(at(self.now), event, &mut self.effects);
    }

    /// Records, at the time of the latest of them or the one reached.
    pub fn feed(&mut self, recs: impl IntoIterator<Item = Rec>) -> &mut Self {
        let recs: Vec<Rec> = recs.into_iter().collect();
        self.now = recs.iter().map(|rec| rec.last).fold(self.now, i64::max);
        let records: Vec<Record> = recs.into_iter().map(Record::from).collect();
        self.step(Event::Records { records: &records, clock: &clock() });
        self
    }

    /// Records as a datapath handed them over, at the time reached.
    pub fn take(&mut self, records: &mut Vec<Record>) {
        self.step(Event::Records { records, clock: &clock() });
        records.clear();
    }

    /// Socket events, at the time reached.
    pub fn sockets(&mut self, events: impl IntoIterator<Item = Sock>) -> &mut Self {
        let events: Vec<SocketEvent> = events.into_iter().map(|sock| sock.0).collect();
        self.step(Event::Sockets(&events));
        self
    }

    /// Findings, at the time reached.
    pub fn learn(&mut self, findings: impl IntoIterator<Item = Finding>) -> &mut Self {
        let findings: Vec<Finding> = findings.into_iter().collect();
        self.step(Event::Findings(&findings));
        self
    }

    /// Ticks once at this time.
    pub fn tick(&mut self, ms: i64) -> &mut Self {
        self.now = ms;
        self.step(Event::Tick);
        self
    }

    /// Ticks each second up to this one.
    pub fn run(&mut self, until_ms: i64) -> &mut Self {
        while self.now < until_ms {
            let next = (self.now + 1000).min(until_ms);
            self.tick(next);
        }
        self
    }

    pub fn stop(&mut self) -> &mut Self {
        self.step(Event::Shutdown);
        self
    }

    pub fn snapshot(&self) -> Snapshot {
        self.engine.snapshot()
    }

    pub fn page(&self, sort: Sort, offset: usize, limit: usize) -> FlowPage {
        self.engine.flows(&Query { sort, offset, limit, ..Query::default() })
    }

    /// Every flow that lives or is kept, oldest number first.
    pub fn rows(&self) -> Vec<FlowRow> {
        let mut rows = self.page(Sort::Bytes, 0, 100_000).flows;
        rows.sort_by_key(|row| row.flow_id);
        rows
    }

    pub fn only(&self) -> FlowRow {
        let mut rows = self.rows();
        assert_eq!(rows.len(), 1, "{rows:#?}");
        rows.remove(0)
    }

    /// Closed flows since the latest call.
    pub fn closed(&mut self) -> Vec<Arc<Flow>> {
        std::mem::take(&mut self.effects.closed)
    }

    /// Flows that ended since the latest call, in the order they did.
    pub fn ends(&mut self) -> Vec<String> {
        let closed = self.closed();
        closed.iter().map(|flow| format!("#{} {} {}p", flow.id.0, flow.ended.unwrap().name(), flow.packets())).collect()
    }

    /// Flows as a picture: ends and roles, packets and bytes there and back, state, where it was seen.
    pub fn picture(&self) -> String {
        self.rows().iter().fold(String::new(), |mut text, row| {
            draw(&mut text, row);
            text
        })
    }

    pub fn check(&self, expect: &Expect) {
        expect.assert_eq(&self.picture());
    }

    /// Each process's name with flows that live, all flows, bytes sent and received.
    pub fn processes(&self) -> Vec<String> {
        let rows = self.snapshot().processes;
        let text = |row: &hivewall_view::ProcessTraffic| {
            let (sent, received) = (row.sent_bytes, row.received_bytes);
            format!("{}[{}] {}/{} flows, {sent} > {received} <", row.process, row.pid, row.active_flows, row.flows)
        };
        rows.iter().map(text).collect()
    }

    /// Packets and bytes of all protocols together.
    pub fn total(&self) -> (u64, u64) {
        self.snapshot().protocols.values().fold((0, 0), |sum, row| (sum.0 + row.packets, sum.1 + row.bytes))
    }
}

fn draw(text: &mut String, row: &FlowRow) {
    let end = |ip: &str, port: Option<u16>| port.map_or_else(|| ip.to_owned(), |port| format!("{ip}:{port}"));
    let (source, dest) = (end(&row.source_ip, row.src_port), end(&row.dest_ip, row.dest_port));
    write!(text, "#{} {} {source} > {dest}", row.flow_id, row.protocol).unwrap();
    if let (Some(kind), Some(code)) = (row.icmp_type, row.icmp_code) {
        write!(text, " type {kind} code {code}").unwrap();
    }
    if !row.vlan.is_empty() {
        write!(text, " vlan {:?}", row.vlan).unwrap();
    }
    write!(text, ", {}/{}", row.packets_to_server, row.packets_to_client).unwrap();
    write!(text, " packets {}/{} bytes", row.bytes_to_server, row.bytes_to_client).unwrap();
    write!(text, " ({}/{} wire)", row.wire_bytes_to_server, row.wire_bytes_to_client).unwrap();
    write!(text, ", {}", if row.roles_known { "known" } else { "guessed" }).unwrap();
    for word in row.tcp_state.iter().chain(&row.end_reason).chain(&row.tunnel) {
        write!(text, ", {word}").unwrap();
    }
    if row.ports_unknown {
        text.push_str(", ports unknown");
    }
    text.push('\n');
    for point in &row.interfaces {
        let hook = if point.direction == "ingress" { "in" } else { "out" };
        let way = if point.to_server { '>' } else { '<' };
        let tunnel = point.tunnel.as_ref().map_or_else(String::new, |kind| format!(" inside {kind}"));
        writeln!(text, "    {way} {} {hook} {}/{}{tunnel}", point.interface, point.packets, point.bytes).unwrap();
    }
}
