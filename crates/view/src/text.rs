//! The snapshot as a page of plain text: what `top --once` and `snapshot -o table` print.
//!
//! An overview, not the document: the busiest of each kind, for people. Whoever needs all of it takes the JSON.
//! Invariant: what is wrong (losses, a fallback, invalid packets) is shown whenever it is not zero, and takes no room
//! when it is.

mod depth;
mod policy;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

use crate::snapshot::{CaptureInfo, FlowCounts};
use crate::table::{Align, Column, clean, cut, render};
use crate::{Snapshot, fields, units};

/// Interfaces shown.
const INTERFACES_MAX: usize = 12;
/// Protocols shown.
const PROTOCOLS_MAX: usize = 8;
/// Talkers shown.
const TALKERS_MAX: usize = 10;
/// Configured subnets shown.
const SUBNETS_MAX: usize = 12;
/// Flows shown.
const FLOWS_MAX: usize = 10;
/// Less than this is no terminal; the page is laid out for it all the same.
const WIDTH_MIN: usize = 40;

/// The overview of a snapshot, laid out for `width` terminal cells.
pub fn render_snapshot_text(snapshot: &Snapshot, width: usize) -> String {
    let width = width.max(WIDTH_MIN);
    let mut page = String::new();
    heading(&mut page, snapshot, width);
    section(&mut page, interfaces(snapshot, width));
    section(&mut page, protocols(snapshot, width));
    section(&mut page, depth::services(snapshot, width));
    section(&mut page, depth::applications(snapshot, width));
    section(&mut page, depth::processes(snapshot, width));
    section(&mut page, talkers(snapshot, width));
    section(&mut page, subnets(snapshot, width));
    section(&mut page, flows(snapshot, width));
    section(&mut page, depth::names(snapshot, width));
    section(&mut page, depth::latency(snapshot, width));
    section(&mut page, depth::sockets(snapshot, width));
    section(&mut page, policy::rules(snapshot, width));
    section(&mut page, policy::refused(snapshot, width));
    section(&mut page, depth::half_open_targets(snapshot, width));
    section(&mut page, depth::kernel_drops(snapshot, width));
    section(&mut page, losses(snapshot, width));
    page
}

fn section(page: &mut String, text: Option<String>) {
    if let Some(text) = text {
        page.push('\n');
        page.push_str(&text);
    }
}

fn heading(page: &mut String, snapshot: &Snapshot, width: usize) {
    let host = &snapshot.host;
    let named = |what: &str, value: &str| if value.is_empty() { String::new() } else { format!("{what}{value}") };
    let time = snapshot.time.get(..19).unwrap_or(&snapshot.time).replace('T', " ");
    flowing(
        page,
        width,
        &[
            clean(&host.name),
            named("", &time) + if time.is_empty() { "" } else { " UTC" },
            format!("up {}", units::seconds(host.uptime_seconds)),
            named("hivewall ", &host.version),
            named("Linux ", &clean(&host.kernel)),
            format!("agent {}, {} CPU", units::memory(host.agent_memory_bytes), units::seconds(host.agent_cpu_seconds)),
        ],
    );
    depth::system(page, snapshot, width);
    let mut captured = capture(&snapshot.capture);
    captured.extend(snapshot.agent.kernel_ns_per_packet.map(|ns| format!("{ns:.0} ns a packet in the kernel")));
    flowing(page, width, &captured);
    if let Some(reason) = &snapshot.capture.fallback_reason {
        let _ = writeln!(page, "Not the best source: {}", clean(reason));
    }
    flowing(page, width, &flow_counts(&snapshot.flow_counts));
    titled(page, width, "TCP: ", &counted(&snapshot.connection_states));
    titled(page, width, "Ended: ", &counted(&snapshot.flow_counts.ended));
    depth::attribution(page, snapshot, width);
    depth::conversations(page, snapshot, width);
    depth::history(page, snapshot, width);
    policy::heading(page, snapshot, width);
    suspicious(page, snapshot, width);
    depth::anomalies(page, snapshot, width);
}

fn capture(capture: &CaptureInfo) -> Vec<String> {
    let watched = clean(&capture.interfaces.join(", "));
    let mut parts = vec![
        if watched.is_empty() { capture.source.clone() } else { format!("{} on {watched}", capture.source) },
        format!("{} packets", units::count(capture.packets)),
    ];
    if capture.clock_resolution_ms > 0.0 {
        parts.push(format!("times exact to {}", units::seconds(capture.clock_resolution_ms / 1000.0)));
    }
    parts
}

fn flow_counts(counts: &FlowCounts) -> Vec<String> {
    let mut parts = vec![
        format!("{} flows live", units::count(counts.active)),
        format!("{} new", units::per_second(counts.new_per_second)),
        format!("{} since start", units::count(counts.total)),
    ];
    if counts.limit > 0 {
        parts.push(format!("room for {}", units::count(counts.limit)));
    }
    parts
}

/// What is not zero, the most first.
fn counted(counts: &BTreeMap<String, u64>) -> Vec<String> {
    let mut counts: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    counts
        .iter()
        .map(|(name, count)| format!("{} {}", clean(name).to_ascii_lowercase(), units::count(**count)))
        .collect()
}

fn suspicious(page: &mut String, snapshot: &Snapshot, width: usize) {
    let seen = &snapshot.suspicious_traffic;
    if seen.half_open > 0 {
        titled(
            page,
            width,
            "Half-open: ",
            &[format!("{} connections without an answer", units::count(seen.half_open))],
        );
    }
    if seen.invalid_packets > 0 {
        let mut parts = vec![format!("{} packets", units::count(seen.invalid_packets))];
        parts.extend(counted(&seen.invalid_by_reason));
        titled(page, width, "Invalid: ", &parts);
    }
}

/// Writes parts on as many lines as they need, broken between parts only and indented from the second on; a part that
/// is wider than a line loses its middle.
fn flowing(page: &mut String, width: usize, parts: &[String]) {
    const INDENT: usize = 2;
    let mut used = 0;
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let part = cut(part, width - INDENT);
        if used > 0 && used + 3 + part.width() <= width {
            page.push_str(" · ");
            used += 3;
        } else if used > 0 {
            let _ = write!(page, "\n{:INDENT$}", "");
            used = INDENT;
        }
        page.push_str(&part);
        used += part.width();
    }
    if used > 0 {
        page.push('\n');
    }
}

fn titled(page: &mut String, width: usize, title: &str, parts: &[String]) {
    if let Some((first, rest)) = parts.split_first() {
        let mut parts = vec![format!("{title}{first}")];
        parts.extend_from_slice(rest);
        flowing(page, width, &parts);
    }
}

const fn left(title: &'static str, rank: u8) -> Column {
    Column { title, align: Align::Left, rank, cut: rank == 0 }
}

const fn right(title: &'static str, rank: u8) -> Column {
    Column { title, align: Align::Right, rank, cut: false }
}

/// A table of the first rows, and how many more there are.
fn table(columns: &[Column], rows: &[Vec<String>], most: usize, width: usize, all: usize) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let shown = rows.get(..most).unwrap_or(rows);
    let mut text = render(columns, shown, Some(width));
    if all > shown.len() {
        let _ = writeln!(text, "… and {} more", units::count((all - shown.len()) as u64));
    }
    Some(text)
}

fn interfaces(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns = [
        left("INTERFACE", 0),
        right("IN", 1),
        right("OUT", 1),
        right("LOAD", 3),
        right("SPEED", 6),
        right("IN PACKETS", 5),
        right("OUT PACKETS", 5),
        right("TOTAL IN", 4),
        right("TOTAL OUT", 4),
        left("NOTES", 2),
    ];
    let mut busiest: Vec<_> = snapshot.interface_utilization.iter().collect();
    busiest.sort_by(|(_, a), (_, b)| {
        let rate = |load: &crate::InterfaceUtilization| load.in_bits_per_second + load.out_bits_per_second;
        rate(b).total_cmp(&rate(a)).then((b.in_bytes + b.out_bytes).cmp(&(a.in_bytes + a.out_bytes)))
    });
    let rows: Vec<Vec<String>> = busiest
        .iter()
        .map(|(name, load)| {
            vec![
                (*name).clone(),
                units::rate(load.in_bits_per_second),
                units::rate(load.out_bits_per_second),
                load.utilization.map(units::percent).unwrap_or_default(),
                load.speed_bits_per_second.map(|speed| units::rate(speed as f64)).unwrap_or_default(),
                units::per_second(load.in_packets_per_second),
                units::per_second(load.out_packets_per_second),
                units::bytes(load.in_bytes),
                units::bytes(load.out_bytes),
                interface_notes(load),
            ]
        })
        .collect();
    table(&columns, &rows, INTERFACES_MAX, width, rows.len())
}

fn interface_notes(load: &crate::InterfaceUtilization) -> String {
    let mut notes = Vec::new();
    if !load.up {
        notes.push("down".to_owned());
    }
    if !load.captured {
        notes.push("not captured".to_owned());
    }
    if load.dropped > 0 {
        notes.push(format!("{} dropped", units::count(load.dropped)));
    }
    if load.errors > 0 {
        notes.push(format!("{} errors", units::count(load.errors)));
    }
    notes.join(", ")
}

fn protocols(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns = [
        left("PROTOCOL", 0),
        right("SHARE", 5),
        right("BYTES", 1),
        right("PACKETS", 4),
        right("RATE", 2),
        right("FLOWS", 3),
    ];
    let all: u64 = snapshot.protocols.values().map(|traffic| traffic.bytes).sum();
    let mut largest: Vec<_> = snapshot.protocols.iter().collect();
    largest.sort_by_key(|(_, traffic)| std::cmp::Reverse(traffic.bytes));
    let rows: Vec<Vec<String>> = largest
        .iter()
        .map(|(name, traffic)| {
            vec![
                (*name).clone(),
                units::percent(traffic.bytes as f64 / all.max(1) as f64),
                units::bytes(traffic.bytes),
                units::count(traffic.packets),
                units::rate(traffic.bits_per_second),
                units::count(traffic.active_flows),
            ]
        })
        .collect();
    table(&columns, &rows, PROTOCOLS_MAX, width, rows.len())
}

fn talkers(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns = [left("TALKER", 0), right("RATE", 1), right("SENDS", 3), right("RECEIVES", 3), right("BYTES", 2)];
    let rows: Vec<Vec<String>> = snapshot
        .top_talkers
        .iter()
        .map(|talker| {
            vec![
                talker.address.clone(),
                units::rate(talker.bits_per_second),
                units::rate(talker.sent_bits_per_second),
                units::rate(talker.received_bits_per_second),
                units::bytes(talker.bytes),
            ]
        })
        .collect();
    table(&columns, &rows, TALKERS_MAX, width, rows.len())
}

fn subnets(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns = [
        left("SUBNET", 0),
        right("SENT", 1),
        right("RECEIVED", 1),
        right("PACKETS SENT", 2),
        right("PACKETS RECEIVED", 2),
    ];
    let rows: Vec<Vec<String>> = snapshot
        .subnet_traffic
        .iter()
        .map(|(prefix, traffic)| {
            vec![
                prefix.clone(),
                units::bytes(traffic.sent_bytes),
                units::bytes(traffic.received_bytes),
                units::count(traffic.sent_packets),
                units::count(traffic.received_packets),
            ]
        })
        .collect();
    table(&columns, &rows, SUBNETS_MAX, width, rows.len())
}

fn flows(snapshot: &Snapshot, width: usize) -> Option<String> {
    let shown = snapshot.flows.get(..FLOWS_MAX).unwrap_or(&snapshot.flows);
    (!shown.is_empty()).then(|| fields::render_table(shown, Some(width)))
}

fn losses(snapshot: &Snapshot, width: usize) -> Option<String> {
    let columns =
        [left("LOST OR NOT KEPT", 0), right("COUNT", 1), right("PACKETS", 2), right("BYTES", 3), left("MEANING", 4)];
    let rows: Vec<Vec<String>> = snapshot
        .losses
        .iter()
        .filter(|(_, loss)| loss.count > 0 || loss.packets > 0 || loss.bytes > 0)
        .map(|(reason, loss)| {
            vec![
                reason.clone(),
                units::count(loss.count),
                units::count(loss.packets),
                units::bytes(loss.bytes),
                loss.meaning.clone(),
            ]
        })
        .collect();
    let all = rows.len();
    table(&columns, &rows, all, width, all)
}

#[cfg(test)]
mod tests;
