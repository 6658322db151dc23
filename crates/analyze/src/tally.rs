//! What is added up while a log is read, and the report it comes to.
//!
//! Invariant: each table has a named limit. One that is full folds its lesser half into a rest and counts what it
//! folded, so that the greatest stay and sums stay exact.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::Timestamp;
use hivewall_view::time::rfc3339;

use crate::LogKind;
use crate::record::{AlertRecord, FlowRecord, NameRecord, Record};
use crate::report::{
    AlertRow, Count, HourRow, NewSource, Refused, Report, SCAN_HOSTS_MIN, SCAN_PORTS_MIN, Scan, ScanKind, Traffic,
    TrafficRow,
};

/// Keys of one table of addresses.
const ADDRESSES_MAX: usize = 200_000;
/// Keys of any other table.
const KEYS_MAX: usize = 50_000;
/// Source, host and port of refused flows that are looked at for scans.
const PROBES_MAX: usize = 500_000;
/// Types of events kept apart.
const EVENTS_MAX: usize = 100;
/// Hours kept apart: eleven years.
const HOURS_MAX: usize = 100_000;
/// Rows of one list of the report.
const ROWS_MAX: usize = 20;
const HOUR_NS: i64 = 3_600_000_000_000;

/// Sums by key.
struct Table<K> {
    kept: HashMap<K, Entry>,
    limit: usize,
    folded: u64,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    traffic: Traffic,
    first: Option<Timestamp>,
}

impl<K: Eq + Hash + Ord + Clone> Table<K> {
    fn new(limit: usize) -> Self {
        Self { kept: HashMap::new(), limit, folded: 0 }
    }

    fn add(&mut self, key: K, traffic: Traffic, time: Option<Timestamp>) {
        if self.kept.len() >= self.limit && !self.kept.contains_key(&key) {
            self.fold();
        }
        let entry = self.kept.entry(key).or_default();
        add(&mut entry.traffic, traffic);
        entry.first = earliest(entry.first, time);
    }

    fn count(&mut self, key: K) {
        self.add(key, Traffic { flows: 1, ..Traffic::default() }, None);
    }

    /// Forgets the lesser half.
    fn fold(&mut self) {
        let mut weights: Vec<_> = self.kept.iter().map(|(key, entry)| (weight(&entry.traffic), key.clone())).collect();
        let middle = weights.len() / 2;
        // Keys decide between equals, so that the same log always gives the same report.
        let (_, (least, key), _) = weights.select_nth_unstable(middle);
        let (least, key, before) = (*least, key.clone(), self.kept.len());
        self.kept.retain(|is, entry| (weight(&entry.traffic), is) > (least, &key));
        self.folded += (before - self.kept.len()) as u64;
    }

    /// The greatest first; equals in the order of their keys.
    fn ranked(&self) -> Vec<(&K, &Entry)> {
        let mut all: Vec<_> = self.kept.iter().collect();
        all.sort_by(|(a, x), (b, y)| weight(&y.traffic).cmp(&weight(&x.traffic)).then(a.cmp(b)));
        all
    }

    fn rows(&self, key: impl Fn(&K) -> String) -> Vec<TrafficRow> {
        let row = |(name, entry): (&K, &Entry)| TrafficRow { key: key(name), traffic: entry.traffic };
        self.ranked().into_iter().take(ROWS_MAX).map(row).collect()
    }

    fn counts(&self, key: impl Fn(&K) -> String) -> Vec<Count> {
        let row = |(name, entry): (&K, &Entry)| Count { key: key(name), count: entry.traffic.flows };
        self.ranked().into_iter().take(ROWS_MAX).map(row).collect()
    }
}

fn weight(traffic: &Traffic) -> (u64, u64) {
    (traffic.bytes, traffic.flows)
}

fn add(sum: &mut Traffic, more: Traffic) {
    sum.bytes += more.bytes;
    sum.packets += more.packets;
    sum.flows += more.flows;
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// Everything so far.
pub(crate) struct Tally {
    kind: LogKind,
    report: Report,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    /// Flows whose bytes are IP bytes, and others.
    counted_as: [u64; 2],
    protocols: Table<String>,
    services: Table<(String, Option<u16>)>,
    sources: Table<IpAddr>,
    talkers: Table<IpAddr>,
    processes: Table<String>,
    hours: Table<i64>,
    refused_sources: Table<IpAddr>,
    refused_targets: Table<(IpAddr, Option<u16>)>,
    refused_rules: Table<String>,
    probes: HashSet<(IpAddr, IpAddr, u16)>,
    probes_left_out: u64,
    names: Table<String>,
    /// Names of flows: they stand in for events of names where there are none.
    flow_names: Table<String>,
    alerts: HashMap<String, AlertRow>,
    alerts_left_out: u64,
}

impl Tally {
    pub(crate) fn new(kind: LogKind) -> Self {
        Self {
            kind,
            report: Report::default(),
            from: None,
            to: None,
            counted_as: [0; 2],
            protocols: Table::new(KEYS_MAX),
            services: Table::new(KEYS_MAX),
            sources: Table::new(ADDRESSES_MAX),
            talkers: Table::new(ADDRESSES_MAX),
            processes: Table::new(KEYS_MAX),
            hours: Table::new(HOURS_MAX),
            refused_sources: Table::new(KEYS_MAX),
            refused_targets: Table::new(KEYS_MAX),
            refused_rules: Table::new(KEYS_MAX),
            probes: HashSet::new(),
            probes_left_out: 0,
            names: Table::new(KEYS_MAX),
            flow_names: Table::new(KEYS_MAX),
            alerts: HashMap::new(),
            alerts_left_out: 0,
        }
    }

    /// Takes one line.
    pub(crate) fn take(&mut self, record: Record) {
        match record {
            Record::Nothing => {}
            Record::Skipped(why) => *self.report.skipped.entry(why.name().to_owned()).or_default() += 1,
            Record::Other(kind, time) => {
                self.seen(time, time);
                self.event(kind);
            }
            Record::Flow(flow) => self.flow(*flow),
            Record::Name(name) => self.name(name),
            Record::Alert(alert) => self.alert(alert),
        }
    }

    fn event(&mut self, kind: String) {
        let known = self.report.events.len() < EVENTS_MAX || self.report.events.contains_key(&kind);
        let kind = if known { kind } else { "other".to_owned() };
        *self.report.events.entry(kind).or_default() += 1;
    }

    fn seen(&mut self, start: Option<Timestamp>, end: Option<Timestamp>) {
        self.from = earliest(self.from, start);
        self.to = self.to.max(end);
    }

    fn flow(&mut self, flow: FlowRecord) {
        self.event("flow".to_owned());
        self.seen(flow.start, flow.end);
        let traffic = Traffic { bytes: flow.bytes, packets: flow.packets, flows: 1 };
        add(&mut self.report.total, traffic);
        let [ip, wire] = &mut self.counted_as;
        *if flow.ip_bytes { ip } else { wire } += 1;
        let time = flow.start;
        self.sources.add(flow.source, traffic, time);
        self.talkers.add(flow.source, traffic, time);
        if flow.destination != flow.source {
            self.talkers.add(flow.destination, traffic, time);
        }
        if let Some(end) = flow.end {
            self.hours.add(end.0.div_euclid(HOUR_NS), traffic, None);
        }
        if let Some(refusal) = flow.refusal {
            self.refused(refusal.name(), flow.source, flow.destination, flow.port);
        }
        if let Some(rule) = flow.rule {
            self.refused_rules.count(rule);
        }
        if let Some(process) = flow.process {
            self.processes.add(process, traffic, None);
        }
        if let Some(name) = flow.name {
            self.flow_names.count(name);
        }
        self.protocols.add(flow.protocol.clone(), traffic, None);
        self.services.add((flow.protocol, flow.port), traffic, None);
    }

    fn refused(&mut self, reason: &str, source: IpAddr, destination: IpAddr, port: Option<u16>) {
        self.report.refused.flows += 1;
        *self.report.refused.by_reason.entry(reason.to_owned()).or_default() += 1;
        self.refused_sources.count(source);
        self.refused_targets.count((destination, port));
        let probe = (source, destination, port.unwrap_or(0));
        if self.probes.len() < PROBES_MAX {
            self.probes.insert(probe);
        } else if !self.probes.contains(&probe) {
            self.probes_left_out += 1;
        }
    }

    fn name(&mut self, name: NameRecord) {
        self.seen(name.time, name.time);
        if let Some(answer) = &name.answer {
            // Codes are few; what is none is not counted apart without bound.
            let known = answer.len() <= 16 && self.report.answers.len() < KEYS_MAX;
            let answer = if known { answer } else { "other" };
            *self.report.answers.entry(format!("{} {answer}", name.kind)).or_default() += 1;
        }
        if let Some(name) = name.name.filter(|name| !name.is_empty()) {
            self.names.count(name);
        }
        self.event(name.kind);
    }

    fn alert(&mut self, alert: AlertRecord) {
        self.seen(alert.time, alert.time);
        let counts = alert.blocked && !alert.is_in_flow;
        if let (true, Some(source), Some(destination)) = (counts, alert.source, alert.destination) {
            self.refused("blocked", source, destination, alert.port);
        }
        if self.alerts.len() < KEYS_MAX || self.alerts.contains_key(&alert.signature) {
            let row = self.alerts.entry(alert.signature.clone()).or_default();
            row.signature = alert.signature;
            row.severity = alert.severity.or(row.severity);
            row.count += 1;
            row.blocked += u64::from(alert.blocked);
        } else {
            self.alerts_left_out += 1;
        }
        self.event(alert.kind);
    }

    /// The report, after `read` bytes.
    pub(crate) fn finish(mut self, read: u64) -> Report {
        let mut report = std::mem::take(&mut self.report);
        self.kind.name().clone_into(&mut report.format);
        report.bytes_read = read;
        report.dates_known = self.kind != LogKind::Console;
        report.from = self.from.map(rfc3339);
        report.to = self.to.map(rfc3339);
        report.span_seconds = self.from.zip(self.to).map_or(0.0, |(from, to)| to.since(from).as_secs_f64());
        let bytes_are = match self.counted_as {
            [_, 0] => "ip",
            [0, _] => "wire",
            _ => "mixed",
        };
        bytes_are.clone_into(&mut report.bytes_are);
        report.protocols = self.protocols.rows(Clone::clone);
        report.services = self.services.rows(|(protocol, port)| service(protocol, *port));
        report.sources = self.sources.rows(ToString::to_string);
        report.talkers = self.talkers.rows(ToString::to_string);
        report.processes = self.processes.rows(Clone::clone);
        report.hours = self.hour_rows();
        (report.new_sources, report.new_sources_count) = self.new_sources();
        report.refused = Refused {
            sources: self.refused_sources.counts(ToString::to_string),
            targets: self.refused_targets.counts(|(address, port)| target(*address, *port)),
            rules: self.refused_rules.counts(Clone::clone),
            ..std::mem::take(&mut report.refused)
        };
        report.scans = self.scans();
        let asked = if self.names.kept.is_empty() { &self.flow_names } else { &self.names };
        report.names = asked.counts(Clone::clone);
        report.alerts = self.alert_rows();
        report.folded = self.folded();
        report
    }

    fn hour_rows(&self) -> Vec<HourRow> {
        let mut hours: Vec<_> = self.hours.kept.iter().collect();
        hours.sort_by_key(|(hour, _)| **hour);
        let row = |(hour, entry): (&i64, &Entry)| HourRow {
            hour: rfc3339(Timestamp(hour.saturating_mul(HOUR_NS))),
            traffic: entry.traffic,
        };
        hours.into_iter().map(row).collect()
    }

    /// Those first seen in the last part of the log, and how many there are.
    fn new_sources(&self) -> (Vec<NewSource>, u64) {
        let Some((from, to)) = self.from.zip(self.to) else { return (Vec::new(), 0) };
        let part = (to.since(from) / 10).min(Duration::from_nanos(HOUR_NS.unsigned_abs()));
        let border = to - part;
        let new: Vec<_> = self
            .sources
            .ranked()
            .into_iter()
            .filter_map(|(address, entry)| Some((address, entry, entry.first.filter(|first| *first >= border)?)))
            // A log of one moment has no earlier part.
            .filter(|_| border > from)
            .collect();
        let row = |(address, entry, first): &(&IpAddr, &Entry, Timestamp)| NewSource {
            address: address.to_string(),
            first_seen: rfc3339(*first),
            traffic: entry.traffic,
        };
        (new.iter().take(ROWS_MAX).map(row).collect(), new.len() as u64)
    }

    fn scans(&self) -> Vec<Scan> {
        let mut probes: Vec<_> = self.probes.iter().copied().collect();
        let mut scans = Vec::new();
        probes.sort_unstable();
        for run in probes.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            if let (Some((source, host, _)), true) = (run.first(), run.len() as u64 >= SCAN_PORTS_MIN) {
                let (source, target) = (source.to_string(), host.to_string());
                scans.push(Scan { source, kind: ScanKind::Ports, target, probes: run.len() as u64 });
            }
        }
        probes.sort_unstable_by_key(|(source, host, port)| (*source, *port, *host));
        for run in probes.chunk_by(|a, b| (a.0, a.2) == (b.0, b.2)) {
            if let (Some((source, _, port)), true) = (run.first(), run.len() as u64 >= SCAN_HOSTS_MIN) {
                let (source, target) = (source.to_string(), port.to_string());
                scans.push(Scan { source, kind: ScanKind::Hosts, target, probes: run.len() as u64 });
            }
        }
        scans.sort_by(|a, b| b.probes.cmp(&a.probes).then_with(|| a.source.cmp(&b.source)));
        scans.truncate(ROWS_MAX);
        scans
    }

    fn alert_rows(&self) -> Vec<AlertRow> {
        let mut rows: Vec<AlertRow> = self.alerts.values().cloned().collect();
        rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.signature.cmp(&b.signature)));
        rows.truncate(ROWS_MAX);
        rows
    }

    fn folded(&self) -> BTreeMap<String, u64> {
        let tables = [
            ("protocols", self.protocols.folded),
            ("services", self.services.folded),
            ("sources", self.sources.folded),
            ("talkers", self.talkers.folded),
            ("processes", self.processes.folded),
            ("hours", self.hours.folded),
            ("refused_sources", self.refused_sources.folded),
            ("refused_targets", self.refused_targets.folded),
            ("refused_rules", self.refused_rules.folded),
            ("scans", self.probes_left_out),
            ("names", self.names.folded + self.flow_names.folded),
            ("alerts", self.alerts_left_out),
        ];
        tables.into_iter().filter(|(_, folded)| *folded > 0).map(|(name, folded)| (name.to_owned(), folded)).collect()
    }
}

fn service(protocol: &str, port: Option<u16>) -> String {
    port.map_or_else(|| protocol.to_owned(), |port| format!("{protocol}/{port}"))
}

fn target(address: IpAddr, port: Option<u16>) -> String {
    hivewall_view::fields::endpoint(&address.to_string(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_keeps_the_greatest_and_counts_what_it_folds() {
        let mut table = Table::new(100);
        for key in 0..1000_u64 {
            table.add(key, Traffic { bytes: if key % 100 == 0 { 1_000_000 } else { key }, packets: 1, flows: 1 }, None);
        }
        assert!(table.kept.len() <= 100);
        assert!((0..10).all(|great| table.kept.contains_key(&(great * 100))), "those of a million bytes");
        assert_eq!(table.folded + table.kept.len() as u64, 1000);
    }
}
