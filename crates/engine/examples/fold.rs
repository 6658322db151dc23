//! What a record costs: nanoseconds for new and for known flows, and resident bytes for each flow.
//!
//! `cargo run --release -p hivewall-engine --example fold [FLOWS]...` (10,000, 100,000 and 1,000,000 unless told
//! otherwise). One line for each number of flows, each in a process-wide allocator that has not shrunk since the one
//! before, so the largest number of bytes is the honest one. It holds no assertions; docs/performance.md quotes it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement fails by panicking")]

use std::time::{Duration, Instant};

use hivewall_datapath::{FlowKey, FlowLine, Record};
use hivewall_engine::{Effects, Engine, Event, Limits};
use hivewall_model::{TickClock, Timestamp};
use hivewall_view::{Filter, Query, Sort};

const START: Timestamp = Timestamp::from_secs(1_700_000_000);
const BATCH: usize = 4096;
const EGRESS: u32 = 1 << 24;

/// Client and server of the flow with this number; several thousand addresses, like a busy server's clients.
fn key(number: u32, reply: bool) -> FlowKey {
    let mapped = |v4: u32| [0, 0, 0xffff_u32.to_be(), v4.to_be()];
    let client = mapped(0x0a00_0000 + (number.wrapping_mul(2_654_435_761) >> 17));
    let server = mapped(0xc0a8_0001);
    let port = (number % 60_000 + 1024) as u16;
    let (src, dst, sport, dport) = if reply { (server, client, 443, port) } else { (client, server, port, 443) };
    let tags = if reply { EGRESS } else { 0 };
    // The upper bits of the number, as a VLAN id, keep the flows apart.
    FlowKey { src, dst, sport, dport, place: 2 << 8 | 6, tags: tags | (number / 60_000) }
}

fn record(number: u32, reply: bool, now: u32) -> Record {
    let line = FlowLine {
        key: key(number, reply),
        packets_flags: 0x1800_000a,
        ip_bytes: 9000,
        link_bytes: 140,
        first: now.wrapping_sub(500) as u16,
        last: now as u16,
        ..FlowLine::default()
    };
    Record { line, now, cause: 1 }
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A made-up order in which every number below `flows` comes once.
fn shuffled(flows: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..flows).collect();
    let mut state = 0x9e37_79b9_u64;
    for i in (1..order.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, (state >> 33) as usize % (i + 1));
    }
    order
}

/// Feeds one record for each flow; returns nanoseconds a record in the median batch, as others use the machine too.
fn feed(engine: &mut Engine, order: &[u32], reply: bool, second: u32, effects: &mut Effects) -> f64 {
    let mut spent = Vec::new();
    let now = START + Duration::from_secs(u64::from(second));
    let ticks = 1_000_000 + second * 1000;
    let clock = TickClock { ticks: u64::from(ticks), time: now, tick_ns: 1_000_000 };
    let mut batch = Vec::with_capacity(BATCH);
    for numbers in order.chunks(BATCH) {
        batch.clear();
        batch.extend(numbers.iter().map(|number| record(*number, reply, ticks)));
        let began = Instant::now();
        engine.step(now, Event::Records { records: &batch, clock: &clock }, effects);
        spent.push(began.elapsed().as_nanos() as f64 / batch.len() as f64);
    }
    spent.sort_by(f64::total_cmp);
    spent[spent.len() / 2]
}

fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let began = Instant::now();
    let result = work();
    let spent = began.elapsed().as_secs_f64() * 1e3;
    drop(result);
    spent
}

fn measure(flows: u32) {
    let before = resident();
    let mut engine = Engine::new(Limits::default());
    let mut effects = Effects::default();
    let order = shuffled(flows);
    let own = resident();
    let fresh = feed(&mut engine, &order, false, 0, &mut effects);
    let reply = feed(&mut engine, &order, true, 0, &mut effects);
    let order = shuffled(flows);
    let known = feed(&mut engine, &order, false, 1, &mut effects);
    let held = resident() - own;
    let tick = timed(|| engine.step(START + Duration::from_secs(2), Event::Tick, &mut effects));
    let snapshot = timed(|| engine.snapshot());
    let query = Query { filter: Filter::parse("port 2000", START).unwrap(), sort: Sort::Rate, ..Query::default() };
    let filtered = timed(|| engine.flows(&query));
    let peak = resident() - before;
    println!(
        "{flows:>8} flows: new {fresh:>4.0} ns, first reply {reply:>4.0} ns, known {known:>4.0} ns a record; \
         {:>4.0} bytes a flow, {:>5.1} MB in all; tick {tick:.1} ms, snapshot {snapshot:.1} ms, filtered query {filtered:.1} ms",
        held as f64 / f64::from(flows),
        peak as f64 / 1e6,
    );
}

fn main() {
    let told: Vec<u32> = std::env::args().skip(1).map(|arg| arg.parse().unwrap()).collect();
    let flows = if told.is_empty() { vec![10_000, 100_000, 1_000_000] } else { told };
    flows.into_iter().for_each(measure);
}
