//! The parts of the page that look deeper than packets: processes, names, answers, sockets, drops, the host.
//!
//! Invariant: a part of which nothing is known takes no room, so that an agent without it shows the page as before.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{counted, left, right, table, titled};
use crate::table::{Column, clean};
use crate::{DropRow, Latency, NameCount, Snapshot, units};

/// Processes shown.
const PROCESSES_MAX: usize = 10;
/// Server ports shown.
const SERVICES_MAX: usize = 10;
/// Applications shown.
const APPLICATIONS_MAX: usize = 8;
/// Names shown of each kind.
const NAMES_MAX: usize = 5;
/// Peers shown.
const PEERS_MAX: usize = 8;
/// Filesystems shown: the fullest.
const FILESYSTEMS_MAX: usize = 3;
/// Words (types, codes, methods) shown in a line.
const WORDS_MAX: usize = 4;
/// Targets and drops shown.
const ANOMALIES_MAX: usize = 8;

/// How busy the host is.
pub(super) fn system(page: &mut String, snapshot: &Snapshot, width: usize) {
    let Some(system) = &snapshot.system else { return };
    let load: Vec<String> = system.load_average.iter().map(|load| format!("{load:.2}")).collect();
    let used = |all: u64, available: u64| units::percent(all.saturating_sub(available) as f64 / all.max(1) as f64);
    let mut parts = vec![
        format!("CPU {} of {}", units::percent(system.cpu_utilization), units::count(u64::from(system.cpus))),
        format!("load {}", load.join(" ")),
        format!(
            "memory {} of {}",
            used(system.memory_bytes, system.memory_available_bytes),
            units::memory(system.memory_bytes)
        ),
    ];
    if system.swap_used_bytes > 0 {
        parts.push(format!("swap {}", units::memory(system.swap_used_bytes)));
    }
    let busiest = system.disks.iter().max_by(|(_, a), (_, b)| a.utilization.total_cmp(&b.utilization));
    parts.extend(busiest.map(|(name, disk)| format!("disk {} {} busy", clean(name), units::percent(disk.utilization))));
    let mut fullest: Vec<_> = system.filesystems.iter().filter(|(_, fill)| fill.size_bytes > 0).collect();
    fullest.sort_by_key(|(_, fill)| u128::from(fill.available_bytes) * 1000 / u128::from(fill.size_bytes));
    for (mount, fill) in fullest.into_iter().take(FILESYSTEMS_MAX) {
        parts.push(format!("{} {} full", clean(mount), used(fill.size_bytes, fill.available_bytes)));
    }
    if let Some(conntrack) = &system.conntrack {
        parts.push(format!("conntrack {} of {}", units::count(conntrack.entries), units::count(conntrack.limit)));
    }
    titled(page, width, "Host: ", &parts);
}

/// How well flows are tied to processes.
pub(super) fn attribution(page: &mut String, snapshot: &Snapshot, width: usize) {
    let known = &snapshot.attribution;
    let all = known.attributed_flows + known.unattributed_flows;
    if all > 0 {
        let share = units::percent(known.attributed_flows as f64 / all as f64);
        let parts =
            [format!("{share} of {} flows of this host", units::count(all)), format!("by {}", clean(&known.source))];
        titled(page, width, "Process known: ", &parts);
    }
    if let Some(reason) = &known.fallback_reason {
        titled(page, width, "Processes not by the best way: ", &[clean(reason)]);
    }
}

/// DNS, HTTP and TLS in a line each.
pub(super) fn conversations(page: &mut String, snapshot: &Snapshot, width: usize) {
    let dns = &snapshot.dns_queries;
    if dns.queries + dns.responses > 0 {
        let mut parts = vec![said(dns.queries, "queries"), said(dns.responses, "responses")];
        parts.extend(first(&dns.rcodes));
        parts.extend(first(&dns.types));
        parts.extend(latency_words(&dns.latency));
        titled(page, width, "DNS: ", &parts);
    }
    let http = &snapshot.http_requests;
    if http.requests + http.responses > 0 {
        let mut parts = vec![said(http.requests, "requests"), said(http.responses, "responses")];
        parts.extend(first(&http.methods));
        parts.extend(first(&http.statuses));
        parts.extend(latency_words(&http.latency));
        titled(page, width, "HTTP: ", &parts);
    }
    let tls = &snapshot.tls_handshakes;
    if tls.hellos + tls.quic_hellos > 0 {
        let mut parts = vec![said(tls.hellos, "hellos"), said(tls.quic_hellos, "in QUIC")];
        parts.extend(first(&tls.versions));
        titled(page, width, "TLS: ", &parts);
    }
}

fn said(count: u64, what: &str) -> String {
    format!("{} {what}", units::count(count))
}

/// The most frequent words.
fn first(counts: &BTreeMap<String, u64>) -> impl Iterator<Item = String> {
    counted(counts).into_iter().take(WORDS_MAX)
}

fn latency_words(latency: &Latency) -> Option<String> {
    let (median, p95) = (units::seconds(latency.median_seconds), units::seconds(latency.p95_seconds));
    (latency.samples > 0).then(|| format!("answered in {median}, 95% within {p95}"))
}

/// What history is kept, and what keeps it from being written.
pub(super) fn history(page: &mut String, snapshot: &Snapshot, width: usize) {
    let history = &snapshot.history;
    if !history.directory.is_empty() {
        let mut parts = vec![said(history.flows, "flows"), units::bytes(history.bytes)];
        let oldest = history.oldest.as_deref().and_then(|time| time.get(..16));
        parts.extend(oldest.map(|time| format!("back to {} UTC", time.replace('T', " "))));
        titled(page, width, "History: ", &parts);
    }
    if let Some(failure) = &history.failure {
        titled(page, width, "History is not written: ", &[clean(failure)]);
    }
}

/// What else looks wrong: segments sent again, packets the kernel dropped, alerts.
pub(super) fn anomalies(page: &mut String, snapshot: &Snapshot, width: usize) {
    if snapshot.sockets.retransmits > 0 {
        titled(page, width, "Sent again: ", &[said(snapshot.sockets.retransmits, "TCP segments")]);
    }
    let dropped: u64 = snapshot.kernel_drops.iter().map(|drop| drop.packets).sum();
    if dropped > 0 {
        let mut by_reason: BTreeMap<String, u64> = BTreeMap::new();
        for drop in &snapshot.kernel_drops {
            *by_reason.entry(drop.reason.clone()).or_default() += drop.packets;
        }
        let mut parts = vec![said(dropped, "packets")];
        parts.extend(first(&by_reason));
        titled(page, width, "Dropped by the kernel: ", &parts);
    }
    titled(page, width, "Alerts: ", &counted(&snapshot.security_alerts));
}

pub(super) fn processes(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns = [
        right("PID", 1),
        left("PROCESS", 0),
        left("USER", 6),
        Column { cut: true, ..left("CONTAINER", 5) },
        right("SENT", 2),
        right("RECEIVED", 2),
        right("SENDS", 3),
        right("RECEIVES", 3),
        right("PACKETS", 7),
        right("FLOWS", 4),
    ];
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let rows: Vec<Vec<String>> = snapshot
        .processes
        .iter()
        .map(|process| {
            vec![
                // No process has the number 0: such a row stands for several.
                if process.pid == 0 { String::new() } else { process.pid.to_string() },
                process.process.clone(),
                text(&process.user),
                text(&process.container),
                units::bytes(process.sent_bytes),
                units::bytes(process.received_bytes),
                units::rate(process.sent_bits_per_second),
                units::rate(process.received_bits_per_second),
                units::count(process.sent_packets + process.received_packets),
                units::count(process.active_flows),
            ]
        })
        .collect();
    table(&columns, &rows, PROCESSES_MAX, width, rows.len())
}

pub(super) fn services(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns = [
        left("PORT", 0),
        left("APPLICATION", 4),
        right("SHARE", 5),
        right("BYTES", 1),
        right("PACKETS", 3),
        right("FLOWS", 2),
    ];
    let all: u64 = snapshot.services.iter().map(|service| service.bytes).sum();
    let rows: Vec<Vec<String>> = snapshot
        .services
        .iter()
        .map(|service| {
            let port = if service.port == 0 { "others".to_owned() } else { service.port.to_string() };
            vec![
                format!("{} {port}", service.protocol),
                service.application.as_ref().map(|guess| format!("~{guess}")).unwrap_or_default(),
                units::percent(service.bytes as f64 / all.max(1) as f64),
                units::bytes(service.bytes),
                units::count(service.packets),
                units::count(service.flows),
            ]
        })
        .collect();
    table(&columns, &rows, SERVICES_MAX, width, rows.len())
}

/// Only where some were seen: what ports suggest stands with the ports.
pub(super) fn applications(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns = [
        left("APPLICATION SEEN", 0),
        right("BYTES", 1),
        right("PACKETS", 3),
        right("FLOWS", 2),
        right("OF THEM GUESSED", 4),
    ];
    let mut seen: Vec<_> =
        snapshot.applications.iter().filter(|(_, traffic)| traffic.flows > traffic.guessed_flows).collect();
    seen.sort_by_key(|(_, traffic)| Reverse(traffic.bytes));
    let rows: Vec<Vec<String>> = seen
        .iter()
        .map(|(name, traffic)| {
            vec![
                (*name).clone(),
                units::bytes(traffic.bytes),
                units::count(traffic.packets),
                units::count(traffic.flows),
                units::count(traffic.guessed_flows),
            ]
        })
        .collect();
    table(&columns, &rows, APPLICATIONS_MAX, width, rows.len())
}

pub(super) fn names(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns = [left("NAME", 0), left("ASKED IN", 2), right("TIMES", 1)];
    let rows = |kind: &str, names: &[NameCount]| {
        let row = |name: &NameCount| vec![name.name.clone(), kind.to_owned(), units::count(name.count)];
        names.iter().take(NAMES_MAX).map(row).collect::<Vec<_>>()
    };
    let mut all = rows("DNS", &snapshot.dns_queries.top_names);
    all.extend(rows("HTTP", &snapshot.http_requests.top_hosts));
    all.extend(rows("TLS", &snapshot.tls_handshakes.top_names));
    table(&columns, &all, all.len(), width, all.len())
}

pub(super) fn latency(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns = [
        left("PEER", 0),
        right("RTT", 1),
        right("JITTER", 2),
        right("LEAST", 3),
        right("GREATEST", 3),
        right("LATEST", 4),
        right("SAMPLES", 5),
    ];
    let mut peers: Vec<_> = snapshot.latency.iter().collect();
    peers.sort_by_key(|(_, peer)| Reverse(peer.samples));
    let rows: Vec<Vec<String>> = peers
        .iter()
        .map(|(address, peer)| {
            vec![
                (*address).clone(),
                units::seconds(peer.smoothed_seconds),
                units::seconds(peer.jitter_seconds),
                units::seconds(peer.min_seconds),
                units::seconds(peer.max_seconds),
                units::seconds(peer.last_seconds),
                units::count(peer.samples),
            ]
        })
        .collect();
    table(&columns, &rows, PEERS_MAX, width, rows.len())
}

pub(super) fn sockets(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns = [left("SOCKETS", 0), right("IPV4", 1), right("IPV6", 1)];
    let sockets = &snapshot.sockets;
    let mut states: Vec<_> = sockets.tcp.iter().map(|(state, count)| (format!("TCP {state}"), count)).collect();
    states.push(("UDP".to_owned(), &sockets.udp));
    states.retain(|(_, count)| count.ipv4 + count.ipv6 > 0);
    states.sort_by_key(|(_, count)| Reverse(count.ipv4 + count.ipv6));
    let rows: Vec<Vec<String>> = states
        .into_iter()
        .map(|(state, count)| vec![state, units::count(count.ipv4), units::count(count.ipv6)])
        .collect();
    table(&columns, &rows, rows.len(), width, rows.len())
}

pub(super) fn half_open_targets(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns = [left("HALF-OPEN TARGET", 0), right("CONNECTIONS", 1)];
    let rows: Vec<Vec<String>> = snapshot
        .half_open_targets
        .iter()
        .map(|target| vec![target.target.clone(), units::count(target.half_open)])
        .collect();
    table(&columns, &rows, ANOMALIES_MAX, width, rows.len())
}

pub(super) fn kernel_drops(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns = [
        left("DROPPED BY KERNEL", 0),
        right("PACKETS", 1),
        left("INTERFACE", 2),
        left("PROTO", 3),
        Column { cut: true, ..left("LATEST", 4) },
    ];
    let latest = |drop: &DropRow| match (&drop.last_source, &drop.last_destination) {
        (Some(source), Some(destination)) => format!("{source} → {destination}"),
        _ => String::new(),
    };
    let rows: Vec<Vec<String>> = snapshot
        .kernel_drops
        .iter()
        .map(|drop| {
            vec![
                drop.reason.clone(),
                units::count(drop.packets),
                drop.interface.clone(),
                drop.protocol.clone(),
                latest(drop),
            ]
        })
        .collect();
    table(&columns, &rows, ANOMALIES_MAX, width, rows.len())
}
