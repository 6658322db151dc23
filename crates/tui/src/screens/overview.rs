//! The first screen: rates over the last minutes, the host, totals, and the busiest of everything.

use hivewall_view::{ProcessTraffic, Snapshot, units};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::Sparkline;

use super::{host, parts};
use crate::app::App;
use crate::format::{grouped, latency, whole_seconds};
use crate::history::History;
use crate::paper::{Paper, Target};
use crate::rows::{ApplicationRow, InterfaceRow, Item, NameRow, PeerRow, ProtocolRow, StateRow, TalkerRow};
use crate::tab::Tab;
use crate::table::{Column, Table};
use crate::theme::Theme;
use crate::width::width;

/// Lines of the graphs on a small and on a large terminal.
const GRAPH_LINES: (u16, u16) = (2, 9);
/// From this width on, the graphs say what they are of.
const WIDE: u16 = 160;
/// Least width of a part, with the gap beside it.
const PART_COLUMNS: u16 = 40;
/// Most parts in a row.
const PARTS_MAX: usize = 4;
/// Least height of a row of parts when there are two.
const PART_LINES: u16 = 10;

/// A part of the lower half: what there is most of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Processes,
    Talkers,
    Applications,
    Names,
    Protocols,
    States,
    Peers,
    Hosts,
}

/// Every part, the most telling first.
const PARTS: [Part; 8] = [
    Part::Processes,
    Part::Talkers,
    Part::Applications,
    Part::Names,
    Part::Protocols,
    Part::States,
    Part::Peers,
    Part::Hosts,
];

/// Draws the screen; parts that have no room are left out, the least telling first.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let Some(snapshot) = app.snapshot.as_deref() else { return };
    let totals = totals(app, snapshot, area.width);
    let graph = (area.height / 6).clamp(GRAPH_LINES.0, GRAPH_LINES.1);
    let interfaces = u16::try_from(app.rows.interfaces.len()).unwrap_or(u16::MAX).min(area.height / 6).max(1);
    let [graphs, host_line, totals_area, middle, bottom] = Layout::vertical([
        Constraint::Length(graph + 1),
        Constraint::Length(u16::from(snapshot.system.is_some())),
        Constraint::Length(u16::try_from(totals.len()).unwrap_or(1)),
        Constraint::Fill(1),
        Constraint::Length(interfaces + 2),
    ])
    .areas(area);
    let [received, sent] = Layout::horizontal([Constraint::Fill(1); 2]).spacing(2).areas(graphs);
    let [into, out] = &app.rates;
    // Forwarded packets pass two interfaces: these are what interfaces carry, not what the host does.
    let of = if area.width >= WIDE { ", all captured interfaces" } else { "" };
    graph_part(app, &format!("In{of}"), into, paper, received);
    graph_part(app, &format!("Out{of}"), out, paper, sent);
    if let Some(system) = &snapshot.system {
        parts::lines([host::line(app, system, host_line.width)], paper, host_line);
        paper.note(host_line, Target::Tab(Tab::Own));
    }
    parts::lines(totals, paper, totals_area);
    grid(app, paper, middle);
    part(app, "Interfaces", Tab::Interfaces, INTERFACES, &app.rows.interfaces, paper, bottom);
}

/// One direction of all captured interfaces, to its own scale: the peak is said beside it.
fn graph_part(app: &App, title: &str, rates: &History, paper: &mut Paper<'_, '_>, area: Rect) {
    paper.note(area, Target::Tab(Tab::Interfaces));
    let values = rates.columns(usize::from(area.width), app.interval);
    let peak = values.iter().flatten().copied().max().unwrap_or(0);
    let now = units::rate(values.last().copied().flatten().unwrap_or(0) as f64);
    let most = format!("{now} · peak {}", units::rate(peak as f64));
    let span = whole_seconds(app.interval.saturating_mul(u32::from(area.width)));
    // What does not fit is left out whole.
    let room = usize::from(area.width).saturating_sub(width(title) + 9);
    let notes = [format!("now {most} · last {span}"), most, now];
    let note = notes.into_iter().find(|note| width(note) <= room).unwrap_or_default();
    let inner = parts::section(app, title, &note, paper, area);
    let graph = Sparkline::default().data(values).max(peak.max(1)).absent_value_symbol(" ").style(app.theme.traffic());
    paper.put(graph, inner);
}

fn totals(app: &App, snapshot: &Snapshot, columns: u16) -> Vec<Line<'static>> {
    let theme = app.theme;
    let counts = &snapshot.flow_counts;
    let rate: f64 = snapshot.protocols.values().map(|traffic| traffic.bits_per_second).sum();
    let packets: u64 = snapshot.protocols.values().map(|traffic| traffic.packets).sum();
    let bytes: u64 = snapshot.protocols.values().map(|traffic| traffic.bytes).sum();
    let suspicious = &snapshot.suspicious_traffic;
    let dropped: u64 = snapshot.kernel_drops.iter().map(|row| row.packets).sum();
    let alerts: u64 = snapshot.security_alerts.values().sum();
    let lost = app.rows.happened();
    let losses = if lost == 0 {
        ("✓ none".to_owned(), theme.good())
    } else {
        (format!("! {lost} reason{}", if lost == 1 { "" } else { "s" }), theme.bad())
    };
    parts::pairs(
        app,
        &[
            ("rate", units::rate(rate), theme.strong()),
            ("flows", grouped(counts.active), theme.strong()),
            ("new", units::per_second(counts.new_per_second), theme.plain()),
            ("seen", units::count(counts.total), theme.plain()),
            ("packets", units::count(packets), theme.plain()),
            ("bytes", units::bytes(bytes), theme.plain()),
            ("half-open", grouped(suspicious.half_open), theme.plain()),
            ("invalid", units::count(suspicious.invalid_packets), theme.trouble(suspicious.invalid_packets)),
            ("resent", units::count(snapshot.sockets.retransmits), theme.trouble(snapshot.sockets.retransmits)),
            ("dropped", units::count(dropped), theme.trouble(dropped)),
            ("alerts", grouped(alerts), if alerts > 0 { theme.bad() } else { theme.plain() }),
            ("losses", losses.0, losses.1),
        ],
        columns,
    )
}

/// As many parts as have room, in one or two rows.
fn grid(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let across = usize::from((area.width.saturating_add(2)) / PART_COLUMNS).clamp(1, PARTS_MAX);
    let down = usize::from(area.height / PART_LINES).clamp(1, 2);
    let mut shown = chosen(app, across * down);
    let rows = Layout::vertical(vec![Constraint::Fill(1); down]).split(area);
    for row in rows.iter() {
        let parts: Vec<Part> = shown.drain(..across.min(shown.len())).collect();
        let areas = Layout::horizontal(vec![Constraint::Fill(1); parts.len()]).spacing(2).split(*row);
        for (part, area) in parts.into_iter().zip(areas.iter()) {
            draw_part(app, part, paper, *area);
        }
    }
}

/// The first `wanted` parts: those with something in them before those without, else as they come.
fn chosen(app: &App, wanted: usize) -> Vec<Part> {
    let mut parts = PARTS.to_vec();
    parts.sort_by_key(|part| is_empty(app, *part));
    parts.truncate(wanted);
    parts.sort_by_key(|part| PARTS.iter().position(|other| other == part));
    parts
}

fn is_empty(app: &App, part: Part) -> bool {
    let rows = &app.rows;
    match part {
        Part::Processes => rows.processes.is_empty(),
        Part::Talkers => rows.talkers.is_empty(),
        Part::Applications => rows.applications.is_empty(),
        Part::Names => rows.dns_names.is_empty(),
        Part::Protocols => rows.protocols.is_empty(),
        Part::States => rows.states.is_empty(),
        Part::Peers => rows.peers.is_empty(),
        Part::Hosts => rows.server_names.is_empty(),
    }
}

fn draw_part(app: &App, which: Part, paper: &mut Paper<'_, '_>, area: Rect) {
    let rows = &app.rows;
    match which {
        Part::Processes => {
            let most = rows.processes.iter().map(process_rate).fold(0.0, f64::max);
            let shown: Vec<Shared<'_, ProcessTraffic>> =
                rows.processes.iter().map(|row| Shared { row, share: process_rate(row) / most.max(1.0) }).collect();
            part(app, "Processes", Tab::Processes, &process_columns(), &shown, paper, area);
        }
        Part::Talkers => {
            let busy: Vec<&TalkerRow> = rows.talkers.iter().filter(|row| !row.is_rest()).collect();
            part(app, "Talkers", Tab::Talkers, &talker_columns(), &busy, paper, area);
        }
        Part::Applications => {
            part(app, "Applications", Tab::Protocols, APPLICATIONS, &rows.applications, paper, area);
        }
        Part::Names => part(app, "DNS names", Tab::Names, NAMES, &rows.dns_names, paper, area),
        Part::Protocols => part(app, "Protocols", Tab::Protocols, PROTOCOLS, &rows.protocols, paper, area),
        Part::States => part(app, "Connections", Tab::Sockets, STATES, &rows.states, paper, area),
        Part::Peers => part(app, "Latency", Tab::Latency, PEERS, &rows.peers, paper, area),
        Part::Hosts => part(app, "TLS server names", Tab::Names, NAMES, &rows.server_names, paper, area),
    }
}

fn part<R>(app: &App, title: &str, tab: Tab, columns: &[Column<R>], rows: &[R], paper: &mut Paper<'_, '_>, area: Rect) {
    paper.note(area, Target::Tab(tab));
    let inner = parts::section(app, title, "", paper, area);
    if rows.is_empty() {
        return parts::lines([Line::styled("none yet", app.theme.dim())], paper, inner);
    }
    let row_style = &|_: &R| app.theme.plain();
    Table { columns, rows, offset: 0, selected: None, sorted: None, list: None, row_style }
        .draw(app.theme, paper, inner);
}

/// A row and its share of the greatest one.
struct Shared<'a, R> {
    row: &'a R,
    share: f64,
}

fn process_rate(row: &ProcessTraffic) -> f64 {
    row.sent_bits_per_second + row.received_bits_per_second
}

fn application(row: &ApplicationRow, theme: Theme, _: u16) -> (String, Style) {
    (row.shown(), if row.is_guess() { theme.inferred() } else { theme.plain() })
}

fn process_columns<'a>() -> [Column<Shared<'a, ProcessTraffic>>; 5] {
    [
        Column::text("process", 99, 12, 16, |row, theme, _| (row.row.process.clone(), theme.plain())),
        Column::number("pid", 60, 7, |row, theme, _| (row.row.pid.to_string(), theme.dim())),
        Column::number("rate", 95, 11, |row, theme, _| (parts::rate(process_rate(row.row)), theme.strong())),
        Column::number("total", 80, 8, |row, theme, _| {
            (parts::bytes(row.row.sent_bytes.saturating_add(row.row.received_bytes)), theme.plain())
        }),
        Column::bar("", 70, 5, 60, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
    ]
}

fn talker_columns<'a>() -> [Column<&'a TalkerRow>; 4] {
    [
        Column::address("address", 99, 15, 39, |row, theme, _| (row.address.clone(), theme.plain())),
        Column::number("rate", 95, 11, |row, theme, _| (parts::rate(row.rate()), theme.strong())),
        Column::number("total", 80, 8, |row, theme, _| (parts::bytes(row.bytes()), theme.plain())),
        Column::bar("", 70, 5, 60, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
    ]
}

const APPLICATIONS: &[Column<ApplicationRow>] = &[
    Column::text("application", 99, 11, 16, application),
    Column::number("total", 95, 8, |row, theme, _| (parts::bytes(row.traffic.bytes), theme.strong())),
    Column::number("flows", 80, 7, |row, theme, _| (parts::count(row.traffic.flows), theme.plain())),
    Column::bar("", 70, 5, 60, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
];

const NAMES: &[Column<NameRow>] = &[
    Column::address("name", 99, 16, 60, |row, theme, _| (row.name.clone(), theme.plain())),
    Column::number("count", 95, 6, |row, theme, _| (parts::count(row.count), theme.strong())),
    Column::bar("", 70, 5, 20, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
];

const PROTOCOLS: &[Column<ProtocolRow>] = &[
    Column::text("protocol", 99, 8, 10, |row, theme, _| (row.name.clone(), theme.plain())),
    Column::number("rate", 95, 11, |row, theme, _| (parts::rate(row.traffic.bits_per_second), theme.strong())),
    Column::number("share", 80, 5, |row, theme, _| (units::percent(row.share), theme.plain())),
    Column::bar("", 70, 5, 60, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
];

const STATES: &[Column<StateRow>] = &[
    Column::text("state", 99, 12, 13, |row, theme, _| {
        (row.state.clone(), theme.state(&row.state).unwrap_or(theme.plain()))
    }),
    Column::number("sockets", 95, 7, |row, theme, _| (parts::count(row.total()), theme.strong())),
    Column::number("flows", 94, 6, |row, theme, _| (parts::count(row.flows), theme.plain())),
    Column::bar("", 70, 5, 60, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
];

const PEERS: &[Column<PeerRow>] = &[
    Column::address("peer", 99, 15, 39, |row, theme, _| (row.address.clone(), theme.plain())),
    Column::number("rtt", 95, 7, |row, theme, _| {
        (latency(row.latency.smoothed_seconds), theme.latency(row.latency.smoothed_seconds))
    }),
    Column::number("jitter", 80, 7, |row, theme, _| (latency(row.latency.jitter_seconds), theme.plain())),
    Column::bar("", 70, 5, 60, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
];

const INTERFACES: &[Column<InterfaceRow>] = &[
    Column::text("interface", 99, 9, 15, |row, theme, _| {
        (row.name.clone(), if row.load.captured { theme.plain() } else { theme.dim() })
    }),
    Column::number("in", 97, 11, |row, theme, _| (parts::rate(row.load.in_bits_per_second), theme.strong())),
    Column::bar("", 60, 8, 60, super::interfaces::trend_in),
    Column::number("out", 96, 11, |row, theme, _| (parts::rate(row.load.out_bits_per_second), theme.strong())),
    Column::bar("", 59, 8, 60, super::interfaces::trend_out),
    Column::bar("load", 90, 13, 40, super::interfaces::load),
    Column::number("errors", 50, 6, |row, theme, _| parts::trouble(row.load.errors, theme)),
    Column::number("dropped", 49, 7, |row, theme, _| parts::trouble(row.load.dropped, theme)),
];
