//! The report as a page of plain text.
//!
//! Invariant: a part of which the log tells nothing takes no room, and whatever was skipped or left out is said.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hivewall_view::table::{Align, Column, clean, cut, render};
use hivewall_view::units;

use crate::report::{Count, Report, SCAN_HOSTS_MIN, SCAN_PORTS_MIN, ScanKind, Traffic, TrafficRow};

/// Rows of one list on the page; the report has more.
const ROWS_MAX: usize = 10;
/// Hours on the page: the latest two days.
const HOURS_MAX: usize = 48;
/// Less than this is no terminal; the page is laid out for it all the same.
const WIDTH_MIN: usize = 40;
/// Cells of the longest bar.
const BAR_CELLS: usize = 20;

const fn left(title: &'static str, rank: u8) -> Column {
    Column { title, align: Align::Left, rank, cut: rank == 0 }
}

const fn right(title: &'static str, rank: u8) -> Column {
    Column { title, align: Align::Right, rank, cut: false }
}

/// The report, laid out for `width` terminal cells.
pub fn render_report_text(report: &Report, width: usize) -> String {
    let width = width.max(WIDTH_MIN);
    let mut page = String::new();
    heading(&mut page, report, width);
    traffic(&mut page, "PROTOCOL", &report.protocols, &report.total, width);
    traffic(&mut page, "SERVICE", &report.services, &report.total, width);
    traffic(&mut page, "SOURCE", &report.sources, &report.total, width);
    traffic(&mut page, "TALKER", &report.talkers, &report.total, width);
    traffic(&mut page, "PROCESS", &report.processes, &report.total, width);
    hours(&mut page, report, width);
    new_sources(&mut page, report, width);
    counts(&mut page, ["REFUSED SOURCE", "FLOWS"], &report.refused.sources, width);
    counts(&mut page, ["REFUSED BY", "FLOWS"], &report.refused.targets, width);
    counts(&mut page, ["REFUSED BY RULE", "FLOWS"], &report.refused.rules, width);
    scans(&mut page, report, width);
    counts(&mut page, ["NAME", "TIMES"], &report.names, width);
    alerts(&mut page, report, width);
    page
}

fn heading(page: &mut String, report: &Report, width: usize) {
    let mut line = |text: String| {
        page.push_str(cut(&clean(&text), width).trim_end());
        page.push('\n');
    };
    let file = if report.file.is_empty() { "Log" } else { &report.file };
    line(format!("{file}: {}, {}", report.format, units::bytes(report.bytes_read)));
    if let (Some(from), Some(to)) = (&report.from, &report.to) {
        let shown = |time: &str| {
            let (start, end) = if report.dates_known { (0, 19) } else { (11, 19) };
            time.get(start..end).unwrap_or(time).replace('T', " ")
        };
        line(format!("{} to {} UTC, {}", shown(from), shown(to), units::seconds(report.span_seconds)));
    }
    let total = &report.total;
    let bytes = match report.bytes_are.as_str() {
        "wire" => " with link headers",
        "mixed" => " partly with link headers",
        _ => "",
    };
    line(format!(
        "{} flows, {}{bytes}, {} packets",
        units::count(total.flows),
        units::bytes(total.bytes),
        units::count(total.packets)
    ));
    for (title, counts) in [
        ("Events", &report.events),
        ("Answers", &report.answers),
        ("Refused", &report.refused.by_reason),
        ("Lines skipped", &report.skipped),
        ("Not kept apart, being too many", &report.folded),
    ] {
        if !counts.is_empty() {
            line(format!("{title}: {}", listed(counts)));
        }
    }
}

/// The most first.
fn listed(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    counts.iter().map(|(name, count)| format!("{name} {}", units::count(**count))).collect::<Vec<_>>().join(" · ")
}

fn table(page: &mut String, columns: &[Column], rows: &[Vec<String>], all: u64, width: usize) {
    if rows.is_empty() {
        return;
    }
    page.push('\n');
    page.push_str(&render(columns, rows, Some(width)));
    let more = all.saturating_sub(rows.len() as u64);
    if more > 0 {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "… and {} more", units::count(more));
    }
}

fn traffic(page: &mut String, title: &'static str, rows: &[TrafficRow], total: &Traffic, width: usize) {
    let columns = [left(title, 0), right("BYTES", 1), right("SHARE", 4), right("PACKETS", 3), right("FLOWS", 2)];
    let texts: Vec<Vec<String>> = rows
        .iter()
        .take(ROWS_MAX)
        .map(|row| {
            vec![
                row.key.clone(),
                units::bytes(row.traffic.bytes),
                units::percent(row.traffic.bytes as f64 / total.bytes.max(1) as f64),
                units::count(row.traffic.packets),
                units::count(row.traffic.flows),
            ]
        })
        .collect();
    table(page, &columns, &texts, rows.len() as u64, width);
}

fn hours(page: &mut String, report: &Report, width: usize) {
    let columns = [left("HOUR", 0), right("BYTES", 1), right("FLOWS", 2), left("", 3)];
    let most = report.hours.iter().map(|hour| hour.traffic.bytes).max().unwrap_or(0).max(1);
    let before = report.hours.len().saturating_sub(HOURS_MAX);
    let rows: Vec<Vec<String>> = report
        .hours
        .iter()
        .skip(before)
        .map(|row| {
            let (start, end) = if report.dates_known { (0, 16) } else { (11, 16) };
            let cells = (row.traffic.bytes as f64 / most as f64 * BAR_CELLS as f64).round() as usize;
            vec![
                row.hour.get(start..end).unwrap_or(&row.hour).replace('T', " "),
                units::bytes(row.traffic.bytes),
                units::count(row.traffic.flows),
                "▇".repeat(cells),
            ]
        })
        .collect();
    table(page, &columns, &rows, report.hours.len() as u64, width);
}

fn new_sources(page: &mut String, report: &Report, width: usize) {
    let columns = [left("NEW SOURCE", 0), left("FIRST SEEN", 3), right("BYTES", 1), right("FLOWS", 2)];
    let rows: Vec<Vec<String>> = report
        .new_sources
        .iter()
        .take(ROWS_MAX)
        .map(|new| {
            vec![
                new.address.clone(),
                new.first_seen.get(11..19).unwrap_or(&new.first_seen).to_owned(),
                units::bytes(new.traffic.bytes),
                units::count(new.traffic.flows),
            ]
        })
        .collect();
    table(page, &columns, &rows, report.new_sources_count, width);
}

fn counts(page: &mut String, [title, times]: [&'static str; 2], counts: &[Count], width: usize) {
    let columns = [left(title, 0), right(times, 1)];
    let rows: Vec<Vec<String>> =
        counts.iter().take(ROWS_MAX).map(|row| vec![row.key.clone(), units::count(row.count)]).collect();
    table(page, &columns, &rows, counts.len() as u64, width);
}

fn scans(page: &mut String, report: &Report, width: usize) {
    let columns = [left("SCAN BY", 0), right("REFUSED BY", 1), left("OF", 2)];
    let rows: Vec<Vec<String>> = report
        .scans
        .iter()
        .take(ROWS_MAX)
        .map(|scan| {
            let (what, of) = match scan.kind {
                ScanKind::Ports => ("ports", format!("host {}", scan.target)),
                ScanKind::Hosts => ("hosts", format!("port {}", scan.target)),
            };
            vec![scan.source.clone(), format!("{} {what}", units::count(scan.probes)), of]
        })
        .collect();
    table(page, &columns, &rows, report.scans.len() as u64, width);
    if !rows.is_empty() {
        let _ =
            writeln!(page, "A scan is {SCAN_PORTS_MIN} ports of a host or a port of {SCAN_HOSTS_MIN} hosts, refused.");
    }
}

fn alerts(page: &mut String, report: &Report, width: usize) {
    let columns = [left("ALERT", 0), right("SEVERITY", 2), right("TIMES", 1), right("BLOCKED", 3)];
    let rows: Vec<Vec<String>> = report
        .alerts
        .iter()
        .take(ROWS_MAX)
        .map(|alert| {
            vec![
                alert.signature.clone(),
                alert.severity.map(|severity| severity.to_string()).unwrap_or_default(),
                units::count(alert.count),
                units::count(alert.blocked),
            ]
        })
        .collect();
    table(page, &columns, &rows, report.alerts.len() as u64, width);
}
