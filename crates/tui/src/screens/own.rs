//! The agent itself: what it costs, where its packets come from, how well it knows processes, what history it keeps,
//! what it lost; and the host it runs on.

use hivewall_view::time::time_of_day;
use hivewall_view::{Snapshot, units};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{host, parts};
use crate::app::App;
use crate::format::{grouped, quality};
use crate::list::List;
use crate::paper::{Paper, Target};

/// A flow table fuller than this is about to lose flows.
const FULL_SHARE: f64 = 0.8;
/// From this width on, agent and host stand side by side.
const SIDE_BY_SIDE: u16 = 120;
/// Width of the column of labels.
const LABEL: usize = 16;

/// Draws the agent and the host; what has no room can be scrolled to.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let Some(snapshot) = app.snapshot.as_deref() else { return };
    paper.note(area, Target::List(List::Page));
    let scroll = app.cursor(List::Page).selected;
    if area.width >= SIDE_BY_SIDE {
        let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2).areas(area);
        let left = parts::section(app, "This agent", &snapshot.host.version, paper, left);
        parts::scrolled(agent(app, snapshot), scroll, paper, left);
        let right = parts::section(app, "This host", &snapshot.host.name, paper, right);
        return parts::scrolled(machine(app, snapshot, right.width), scroll, paper, right);
    }
    let inner = parts::section(app, "This agent", &snapshot.host.version, paper, area);
    let mut lines = agent(app, snapshot);
    lines.push(Line::default());
    lines.push(Line::styled(format!("This host: {}", snapshot.host.name), app.theme.title()));
    lines.extend(machine(app, snapshot, inner.width));
    parts::scrolled(lines, scroll, paper, inner);
}

fn machine(app: &App, snapshot: &Snapshot, columns: u16) -> Vec<Line<'static>> {
    match &snapshot.system {
        Some(system) => host::lines(app, system, columns),
        None => vec![Line::styled("a replay runs on no host: nothing to tell", app.theme.dim())],
    }
}

fn agent(app: &App, snapshot: &Snapshot) -> Vec<Line<'static>> {
    let fields = [cost(app, snapshot), capture(app, snapshot), knowledge(app, snapshot), history(app, snapshot)];
    fields.into_iter().flatten().map(|(label, value, style)| field(app, label, value, style)).collect()
}

type Field = (&'static str, String, Style);

/// A label and its value; a label without a value is the head of a group.
fn field(app: &App, label: &str, value: String, style: Style) -> Line<'static> {
    if value.is_empty() {
        return Line::styled(label.to_owned(), app.theme.title());
    }
    Line::from(vec![Span::styled(format!("  {label:<LABEL$} "), app.theme.dim()), Span::styled(value, style)])
}

fn cost(app: &App, snapshot: &Snapshot) -> Vec<Field> {
    let theme = app.theme;
    let (agent, host) = (&snapshot.agent, &snapshot.host);
    let share = app.agent_share();
    let kernel = agent.kernel_ns_per_packet.map_or_else(
        || ("not counted: sysctl kernel.bpf_stats_enabled is 0".to_owned(), theme.dim()),
        |ns| (format!("{ns:.0} ns per packet"), theme.strong()),
    );
    let lost = app.rows.happened();
    let losses = if lost == 0 {
        ("✓ none".to_owned(), theme.good())
    } else {
        (format!("! {lost} of {} reasons happened: see 0", app.rows.losses.len()), theme.bad())
    };
    vec![
        ("Cost", String::new(), theme.plain()),
        (
            "cpu",
            share.map_or_else(|| "·".to_owned(), |share| format!("{} of one", units::percent(share))),
            theme.strong(),
        ),
        ("memory", units::memory(host.agent_memory_bytes), theme.strong()),
        ("in the kernel", kernel.0, kernel.1),
        ("losses", losses.0, losses.1),
        ("running for", units::seconds(host.uptime_seconds), theme.plain()),
    ]
}

fn capture(app: &App, snapshot: &Snapshot) -> Vec<Field> {
    let theme = app.theme;
    let (capture, counts) = (&snapshot.capture, &snapshot.flow_counts);
    let fill = if counts.limit > 0 { counts.active as f64 / counts.limit as f64 } else { 0.0 };
    let mut list = vec![("Capture", String::new(), theme.plain()), ("source", capture.source.clone(), theme.strong())];
    if let Some(reason) = &capture.fallback_reason {
        list.push(("not better for", reason.clone(), theme.warn()));
    }
    list.extend([
        ("on", capture.interfaces.join(", "), theme.plain()),
        ("clock", format!("{} ms", capture.clock_resolution_ms), theme.plain()),
        ("packets", format!("{} in {} records", grouped(capture.packets), grouped(capture.records)), theme.plain()),
        (
            "flow table",
            format!("{} of {}, {} full", grouped(counts.active), grouped(counts.limit), units::percent(fill)),
            if fill > FULL_SHARE { theme.warn() } else { theme.good() },
        ),
        (
            "invalid packets",
            grouped(snapshot.suspicious_traffic.invalid_packets),
            theme.trouble(snapshot.suspicious_traffic.invalid_packets),
        ),
        ("payload copies", grouped(snapshot.agent.peeks), theme.plain()),
        ("socket events", grouped(snapshot.agent.socket_events), theme.plain()),
    ]);
    list
}

fn knowledge(app: &App, snapshot: &Snapshot) -> Vec<Field> {
    let theme = app.theme;
    let known = &snapshot.attribution;
    let all = known.attributed_flows + known.unattributed_flows;
    let share = known.attributed_flows as f64 / all.max(1) as f64;
    let known_for = if all == 0 {
        ("no flow of this host yet".to_owned(), theme.dim())
    } else {
        let style = if share < 0.9 { theme.warn() } else { theme.good() };
        (format!("{} of {} flows of this host", quality(share), grouped(all)), style)
    };
    let source = if known.source.is_empty() { "none" } else { &known.source };
    let mut list = vec![
        ("Processes", String::new(), theme.plain()),
        ("known by", source.to_owned(), theme.strong()),
        ("known for", known_for.0, known_for.1),
        (
            "remembered",
            format!("{} sockets, {} processes", grouped(known.sockets), grouped(known.processes)),
            theme.plain(),
        ),
    ];
    if let Some(reason) = &known.fallback_reason {
        list.push(("not better for", reason.clone(), theme.warn()));
    }
    list
}

fn history(app: &App, snapshot: &Snapshot) -> Vec<Field> {
    let theme = app.theme;
    let kept = &snapshot.history;
    let mut list = vec![("History", String::new(), theme.plain())];
    if kept.directory.is_empty() {
        list.push(("kept in", "off".to_owned(), theme.dim()));
        return list;
    }
    list.push(("kept in", kept.directory.clone(), theme.strong()));
    list.push(("flows", format!("{} in {} segments", grouped(kept.flows), grouped(kept.segments)), theme.plain()));
    let each = kept.bytes.checked_div(kept.flows).map(|each| format!(", {} each", units::bytes(each)));
    let each = each.unwrap_or_default();
    list.push(("on disk", format!("{}{each}", units::bytes(kept.bytes)), theme.plain()));
    if let Some(oldest) = &kept.oldest {
        let day = oldest.get(..10).unwrap_or_default();
        list.push(("back to", format!("{day} {} UTC", time_of_day(oldest)), theme.plain()));
    }
    if let Some(failure) = &kept.failure {
        list.push(("not written", failure.clone(), theme.bad()));
    }
    list
}
