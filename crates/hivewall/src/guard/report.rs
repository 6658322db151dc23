//! What is written about refused packets: a line for the first under a key at once, one for the others at the end of each
//! interval, summaries on the terminal.
//!
//! Invariants: the packets of all lines, and those that the last summary says are in no line, are the packets that were
//! refused; every table here has a limit.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{SystemTime, UNIX_EPOCH};

use hivewall_datapath::guard::{GUARD_SEEN_MAX, GuardCounts, GuardEvent, GuardKey, GuardSeen, UNREADABLE};
use hivewall_export::{Event, LogWriter};
use hivewall_host::guard::{Guard, GuardError};
use hivewall_model::{Interface, TcpFlags, Timestamp, Tuple, community_id};
use hivewall_view::time::rfc3339;
use hivewall_view::{FlowRow, PointRow, protocol_text, units};

/// Sources that are kept apart for summaries.
const SOURCES_MAX: usize = 1 << 16;
/// Sources that a summary names.
const TOP: usize = 10;
/// Intervals for which a key is remembered: what goes on that long begins no new line.
const REMEMBERED: u64 = 6;

/// What stands for a rule's id in rows.
const RULE: &str = "(guard)";

/// Packets and IP bytes.
#[derive(Clone, Copy, Default)]
struct Sum {
    packets: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, packets: u64, bytes: u64) {
        self.packets += packets;
        self.bytes += bytes;
    }
}

/// The state of the monitor's words.
pub(super) struct Report {
    interfaces: HashMap<u32, String>,
    drop: bool,
    verbose: bool,
    log: LogWriter,
    rows: u64,
    /// What lines were written for at once, since the table of the kernel was last taken out.
    told: HashMap<GuardKey, Sum>,
    /// The interval in which a key was last seen.
    known: HashMap<GuardKey, u64>,
    interval: u64,
    interval_start: Timestamp,
    sources: HashMap<[u32; 4], Sum>,
    /// Sources beyond [`SOURCES_MAX`].
    others: Sum,
    logged: Sum,
    last: GuardCounts,
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

impl Report {
    pub(super) fn new(interfaces: &[Interface], drop: bool, verbose: bool, log: LogWriter) -> Self {
        Self {
            interfaces: interfaces.iter().map(|interface| (interface.index, interface.name.clone())).collect(),
            drop,
            verbose,
            log,
            rows: 0,
            told: HashMap::new(),
            known: HashMap::new(),
            interval: 0,
            interval_start: now(),
            sources: HashMap::new(),
            others: Sum::default(),
            logged: Sum::default(),
            last: GuardCounts::default(),
        }
    }

    /// The first packet under a key since the table was last taken out. It gets its line at once, unless the key is one
    /// that goes on.
    pub(super) fn first(&mut self, event: &GuardEvent) {
        let before = self.known.insert(event.key, self.interval);
        if before.is_some() || self.told.contains_key(&event.key) {
            return;
        }
        let time = now();
        self.told.entry(event.key).or_default().add(event.seen.packets, event.seen.bytes);
        self.line(&event.key, &event.seen, time, time);
    }

    /// Takes the table out of the kernel, and writes a line for whatever has none yet.
    pub(super) fn take(&mut self, guard: &mut Guard) -> Result<(), GuardError> {
        // What came before the table is taken has its line first.
        guard.events(GUARD_SEEN_MAX as usize, |event| self.first(&event));
        let (start, end) = (self.interval_start, now());
        for (key, mut seen) in guard.take_seen()? {
            self.known.insert(key, self.interval);
            self.source(key.source, &seen);
            let told = self.told.remove(&key).unwrap_or_default();
            seen.packets = seen.packets.saturating_sub(told.packets);
            seen.bytes = seen.bytes.saturating_sub(told.bytes);
            if seen.packets > 0 {
                self.line(&key, &seen, start, end);
            }
        }
        // A line told at once whose entry was not in the table has been taken with an earlier one.
        self.told.clear();
        self.interval += 1;
        self.interval_start = end;
        let oldest = self.interval.saturating_sub(REMEMBERED);
        self.known.retain(|_, seen| *seen >= oldest);
        Ok(())
    }

    fn source(&mut self, source: [u32; 4], seen: &GuardSeen) {
        if self.sources.len() < SOURCES_MAX || self.sources.contains_key(&source) {
            self.sources.entry(source).or_default().add(seen.packets, seen.bytes);
        } else {
            self.others.add(seen.packets, seen.bytes);
        }
    }

    fn line(&mut self, key: &GuardKey, seen: &GuardSeen, start: Timestamp, end: Timestamp) {
        self.rows += 1;
        self.logged.add(seen.packets, seen.bytes);
        let interface = self.interfaces.get(&key.ifindex).cloned().unwrap_or_else(|| key.ifindex.to_string());
        let place = Place { interface, drop: self.drop };
        self.log.send(Event::Flow(Box::new(row(self.rows, key, seen, [start, end], &place))));
    }

    pub(super) fn reopen_log(&self) {
        self.log.reopen();
    }

    /// A line about the time since the last one.
    pub(super) fn summarize(&mut self, guard: &Guard) {
        let counts = guard.counts();
        let (now, was) = (&counts, &self.last);
        let line = self.words(
            now.permitted_packets - was.permitted_packets,
            now.refused_packets - was.refused_packets,
            now.discovery_packets - was.discovery_packets + now.other_packets - was.other_packets,
            now.permitted_bytes - was.permitted_bytes + now.refused_bytes - was.refused_bytes,
        );
        tracing::info!("{line}");
        if self.verbose {
            self.top().lines().for_each(|line| tracing::info!("{line}"));
        }
        self.last = counts;
    }

    fn words(&self, permitted: u64, refused: u64, passed: u64, bytes: u64) -> String {
        format!(
            "{} packets, {}: {} permitted, {} refused{}, {} no IP or neighbour discovery; {} sources refused in all",
            units::count(permitted + refused + passed),
            units::bytes(bytes),
            units::count(permitted),
            units::count(refused),
            if self.drop { " and dropped" } else { " (they passed)" },
            units::count(passed),
            units::count(self.sources.len() as u64),
        )
    }

    /// The sources refused most, one a line.
    fn top(&self) -> String {
        let mut all: Vec<(&[u32; 4], &Sum)> = self.sources.iter().collect();
        all.sort_by(|(a, x), (b, y)| y.packets.cmp(&x.packets).then(a.cmp(b)));
        let mut text = String::new();
        for (source, sum) in all.into_iter().take(TOP) {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "  {:<40} {:>12} packets {:>10}",
                address(source).to_string(),
                units::count(sum.packets),
                units::bytes(sum.bytes)
            );
        }
        if self.others.packets > 0 {
            let _ = writeln!(
                text,
                "  sources beyond the first {SOURCES_MAX}: {} packets",
                units::count(self.others.packets)
            );
        }
        text
    }

    /// The last summary, and the end of the log.
    pub(super) fn finish(self, guard: &Guard) {
        let counts = guard.counts();
        let passed = counts.discovery_packets + counts.other_packets;
        let bytes = counts.permitted_bytes + counts.refused_bytes;
        eprintln!("In all: {}.", self.words(counts.permitted_packets, counts.refused_packets, passed, bytes));
        let top = self.top();
        if !top.is_empty() {
            eprint!("Refused most:\n{top}");
        }
        let unlogged = counts.refused_packets.saturating_sub(self.logged.packets);
        if unlogged > 0 {
            eprintln!(
                "{} refused packets are in no line of the log: more than {GUARD_SEEN_MAX} conversations within one \
                 interval; a shorter --stats-interval keeps more of them apart.",
                units::count(unlogged)
            );
        }
        if counts.untold_packets > 0 {
            eprintln!(
                "{} first packets had no line at once; they are in later lines.",
                units::count(counts.untold_packets)
            );
        }
        let lost = self.log.close().dropped_total();
        if lost > 0 {
            eprintln!(
                "{} lines could not be written to the log (a larger --log-buffer-size holds more).",
                units::count(lost)
            );
        }
    }
}

fn address(words: &[u32; 4]) -> IpAddr {
    let number = words.iter().fold(0, |sum, word| sum << 32 | u128::from(u32::from_be(*word)));
    let v6 = Ipv6Addr::from(number);
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
}

/// Where packets were refused, and whether they were dropped.
struct Place {
    interface: String,
    drop: bool,
}

/// The same row as of a flow, so that every format and every reader of our logs has it.
fn row(number: u64, key: &GuardKey, seen: &GuardSeen, [start, end]: [Timestamp; 2], place: &Place) -> FlowRow {
    let (client, server) = (address(&key.source), address(&seen.destination));
    let tuple = Tuple {
        protocol: key.proto,
        client,
        server,
        client_port: seen.source_port as u16,
        server_port: key.port,
        vlans: [0; 2],
    };
    let ports = key.has_ports != 0 && tuple.has_ports();
    let icmp = key.has_ports != 0 && tuple.is_icmp();
    FlowRow {
        flow_id: number,
        community_id: community_id(&tuple),
        start: rfc3339(start),
        end: rfc3339(end),
        duration_seconds: end.since(start).as_secs_f64(),
        protocol: if key.proto == UNREADABLE { "unreadable".to_owned() } else { protocol_text(key.proto) },
        protocol_number: key.proto,
        source_ip: client.to_string(),
        src_port: ports.then_some(tuple.client_port),
        dest_ip: server.to_string(),
        dest_port: ports.then_some(tuple.server_port),
        icmp_type: icmp.then_some(tuple.client_port),
        icmp_code: icmp.then_some(tuple.server_port),
        direction: "inbound".to_owned(),
        roles_known: true,
        bytes: seen.bytes,
        packets: seen.packets,
        bytes_to_server: seen.bytes,
        packets_to_server: seen.packets,
        // The monitor does not count link headers.
        wire_bytes_to_server: seen.bytes,
        tcp_flags_to_server: (tuple.protocol == 6).then(|| TcpFlags(seen.tcp_flags as u8).to_string()),
        tcp_flags_to_client: (tuple.protocol == 6).then(|| TcpFlags(0).to_string()),
        state: "closed".to_owned(),
        end_reason: Some("refused".to_owned()),
        verdict: Some(if place.drop { "drop" } else { "observed" }.to_owned()),
        rule: Some(RULE.to_owned()),
        would_drop: !place.drop,
        dropped_packets: if place.drop { seen.packets } else { 0 },
        dropped_bytes: if place.drop { seen.bytes } else { 0 },
        interfaces: vec![PointRow {
            interface: place.interface.clone(),
            direction: "ingress".to_owned(),
            to_server: true,
            packets: seen.packets,
            bytes: seen.bytes,
            wire_bytes: seen.bytes,
            tunnel: None,
        }],
        ..FlowRow::default()
    }
}
