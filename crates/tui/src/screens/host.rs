//! The host that the agent runs on: CPU, memory, load, disks, filesystems. Not here: its interfaces.

use hivewall_view::{SystemLoad, units};
use ratatui::text::{Line, Span};

use crate::app::App;
use crate::format::grouped;
use crate::width::{bar, cut, width};

/// Columns of a bar within the line.
const BAR: usize = 10;
/// Width of the column of labels: a path of a mount point is cut in no usual case.
const LABEL: usize = 18;
/// A filesystem fuller than this is worth a look.
const FULL: f64 = 0.9;

/// One line: how busy the host is, as far as the width goes.
pub(super) fn line(app: &App, system: &SystemLoad, columns: u16) -> Line<'static> {
    let theme = app.theme;
    let memory = memory_share(system);
    let mut spans = Vec::new();
    let mut room = usize::from(columns);
    let mut add = |label: &str, value: String, style| {
        let wide = width(label) + 1 + width(&value);
        let gap = if spans.is_empty() { 0 } else { 3 };
        if wide + gap > room {
            room = 0;
            return;
        }
        room -= wide + gap;
        spans.push(Span::raw(" ".repeat(gap)));
        spans.push(Span::styled(format!("{label} "), theme.dim()));
        spans.push(Span::styled(value, style));
    };
    add("cpu", gauge(system.cpu_utilization), theme.load(system.cpu_utilization));
    add("memory", gauge(memory), theme.load(memory));
    add("load", load_average(system), theme.load(load_share(system)));
    if let Some(conntrack) = &system.conntrack {
        let share = conntrack.entries as f64 / (conntrack.limit.max(1)) as f64;
        add("conntrack", units::percent(share), theme.load(share));
    }
    if system.swap_bytes > 0 {
        add("swap", units::percent(system.swap_used_bytes as f64 / system.swap_bytes as f64), theme.plain());
    }
    add("processes", grouped(system.processes), theme.plain());
    add("up", units::seconds(system.uptime_seconds), theme.plain());
    Line::from(spans)
}

/// Everything known of the host, line by line.
pub(super) fn lines(app: &App, system: &SystemLoad, columns: u16) -> Vec<Line<'static>> {
    let theme = app.theme;
    let memory = memory_share(system);
    let used = units::memory(system.memory_bytes.saturating_sub(system.memory_available_bytes));
    let wide = usize::from(columns).saturating_sub(58).clamp(6, 40);
    let mut lines = vec![
        gauged(app, "cpu", system.cpu_utilization, wide, &format!("{} cpus", system.cpus)),
        gauged(app, "memory", memory, wide, &format!("{used} of {}", units::memory(system.memory_bytes))),
    ];
    if system.swap_bytes > 0 {
        let share = system.swap_used_bytes as f64 / system.swap_bytes as f64;
        let text = format!("{} of {}", units::memory(system.swap_used_bytes), units::memory(system.swap_bytes));
        lines.push(gauged(app, "swap", share, wide, &text));
    }
    if let Some(conntrack) = &system.conntrack {
        let share = conntrack.entries as f64 / (conntrack.limit.max(1)) as f64;
        let text = format!("{} of {} entries", grouped(conntrack.entries), grouped(conntrack.limit));
        lines.push(gauged(app, "conntrack", share, wide, &text));
    }
    let modes: Vec<(&str, String, _)> = system
        .cpu_modes
        .iter()
        .filter(|(mode, _)| *mode != "idle")
        .map(|(mode, share)| (mode.as_str(), units::percent(*share), theme.plain()))
        .collect();
    let mut facts = vec![
        ("load", load_average(system), theme.load(load_share(system))),
        ("processes", grouped(system.processes), theme.plain()),
        ("up", units::seconds(system.uptime_seconds), theme.plain()),
    ];
    facts.extend(modes);
    lines.extend(super::parts::pairs(app, &facts, columns));
    lines.extend(filesystems(app, system, wide));
    lines.extend(disks(app, system, wide));
    lines
}

fn filesystems(app: &App, system: &SystemLoad, wide: usize) -> Vec<Line<'static>> {
    let head = (!system.filesystems.is_empty()).then(|| Line::styled("Filesystems", app.theme.title()));
    let fill = system.filesystems.iter().map(|(mount, fill)| {
        let share = 1.0 - fill.available_bytes as f64 / (fill.size_bytes.max(1)) as f64;
        let left =
            format!("{} free of {} {}", units::bytes(fill.available_bytes), units::bytes(fill.size_bytes), fill.kind);
        let mut line = gauged(app, mount, share, wide, &left);
        if share >= FULL {
            line.push_span(Span::styled(" nearly full", app.theme.bad()));
        }
        line
    });
    head.into_iter().chain(fill).collect()
}

fn disks(app: &App, system: &SystemLoad, wide: usize) -> Vec<Line<'static>> {
    let head = (!system.disks.is_empty()).then(|| Line::styled("Disks", app.theme.title()));
    let busy = system.disks.iter().map(|(name, disk)| {
        let rates = [disk.read_bytes_per_second, disk.written_bytes_per_second].map(|rate| units::bytes(rate as u64));
        let [read, written] = rates;
        gauged(app, name, disk.utilization, wide, &format!("{read}/s read, {written}/s written"))
    });
    head.into_iter().chain(busy).collect()
}

/// `label   42% ████▏      what it is of`.
fn gauged(app: &App, label: &str, share: f64, wide: usize, text: &str) -> Line<'static> {
    let theme = app.theme;
    let percent = units::percent(share);
    Line::from(vec![
        Span::styled(format!("{:<LABEL$} ", cut(label, LABEL)), theme.dim()),
        Span::styled(format!("{percent:>5} "), theme.load(share)),
        Span::styled(format!("{:<wide$} ", bar(share, wide)), theme.load(share)),
        Span::raw(text.to_owned()),
    ])
}

fn gauge(share: f64) -> String {
    format!("{:>4} {:<BAR$}", units::percent(share), bar(share, BAR))
}

fn memory_share(system: &SystemLoad) -> f64 {
    1.0 - system.memory_available_bytes as f64 / (system.memory_bytes.max(1)) as f64
}

/// The load of the last minute by CPU: one is busy, more is a queue.
fn load_share(system: &SystemLoad) -> f64 {
    system.load_average.first().copied().unwrap_or(0.0) / f64::from(system.cpus.max(1))
}

fn load_average(system: &SystemLoad) -> String {
    system.load_average.iter().map(|load| format!("{load:.2}")).collect::<Vec<_>>().join(" ")
}
