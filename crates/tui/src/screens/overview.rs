//! The first screen: rate over the last minutes, totals, protocols, busiest addresses, interfaces.

use hivewall_view::{Snapshot, units};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::Sparkline;

use super::parts;
use crate::app::App;
use crate::format::{grouped, whole_seconds};
use crate::rows::{InterfaceRow, LossRow, ProtocolRow, TalkerRow};
use crate::table::{Column, Table};
use crate::theme::Theme;
use crate::width::bar;

/// From this width on, protocols and talkers stand side by side.
const SIDE_BY_SIDE: u16 = 60;
/// Lines of the graph on a small and on a large terminal.
const GRAPH_LINES: (u16, u16) = (2, 10);

/// Draws the screen; parts that have no room any more are left out from the bottom.
pub(super) fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let Some(snapshot) = app.snapshot.as_deref() else { return };
    let totals = totals(app, snapshot, area.width);
    let graph = (area.height / 5).clamp(GRAPH_LINES.0, GRAPH_LINES.1);
    let interfaces = u16::try_from(app.rows.interfaces.len()).unwrap_or(u16::MAX).min(area.height / 4).max(1);
    let [graph_area, totals_area, middle, bottom] = Layout::vertical([
        Constraint::Length(graph + 1),
        Constraint::Length(u16::try_from(totals.len()).unwrap_or(1)),
        Constraint::Fill(1),
        Constraint::Length(interfaces + 2),
    ])
    .areas(area);
    graph_part(app, frame, graph_area);
    parts::lines(totals, frame, totals_area);
    shares(app, frame, middle);
    interfaces_part(app, frame, bottom);
}

fn graph_part(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let columns = usize::from(area.width);
    let values = app.history.columns(columns, app.interval);
    let peak = values.iter().flatten().copied().max().unwrap_or(0);
    let now = values.last().copied().flatten().unwrap_or(0);
    let span = whole_seconds(app.interval.saturating_mul(u32::from(area.width)));
    let note = format!("now {} · peak {} · last {span}", units::rate(now as f64), units::rate(peak as f64));
    let inner = parts::section(app, "Traffic", &note, frame, area);
    let graph = Sparkline::default().data(values).max(peak.max(1)).absent_value_symbol(" ").style(app.theme.traffic());
    frame.render_widget(graph, inner);
}

fn totals(app: &App, snapshot: &Snapshot, columns: u16) -> Vec<Line<'static>> {
    let theme = app.theme;
    let counts = &snapshot.flow_counts;
    let packets: u64 = snapshot.protocols.values().map(|traffic| traffic.packets).sum();
    let bytes: u64 = snapshot.protocols.values().map(|traffic| traffic.bytes).sum();
    let suspicious = &snapshot.suspicious_traffic;
    let lost = app.rows.losses.iter().filter(|row| LossRow::happened(row)).count();
    let careful = |count: u64| if count > 0 { theme.warn() } else { theme.plain() };
    let losses = if lost == 0 {
        ("none".to_owned(), theme.good())
    } else {
        (format!("{lost} reason{}", if lost == 1 { "" } else { "s" }), theme.bad())
    };
    parts::pairs(
        app,
        &[
            ("flows", grouped(counts.active), theme.strong()),
            ("new", units::per_second(counts.new_per_second), theme.plain()),
            ("seen", units::count(counts.total), theme.plain()),
            ("packets", units::count(packets), theme.plain()),
            ("bytes", units::bytes(bytes), theme.plain()),
            ("half-open", grouped(suspicious.half_open), theme.plain()),
            ("invalid", grouped(suspicious.invalid_packets), careful(suspicious.invalid_packets)),
            ("losses", losses.0, losses.1),
        ],
        columns,
    )
}

fn shares(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let [left, right] = if area.width >= SIDE_BY_SIDE {
        Layout::horizontal([Constraint::Percentage(46), Constraint::Fill(1)]).spacing(2).areas(area)
    } else {
        let lines = u16::try_from(app.rows.protocols.len()).unwrap_or(u16::MAX).max(1);
        let wanted = lines.saturating_add(2).min(area.height / 2);
        Layout::vertical([Constraint::Length(wanted), Constraint::Fill(1)]).areas(area)
    };
    protocols_part(app, frame, left);
    talkers_part(app, frame, right);
}

fn protocols_part(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let inner = parts::section(app, "Protocols", "", frame, area);
    part(app, PROTOCOLS, &app.rows.protocols, frame, inner);
}

fn talkers_part(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let inner = parts::section(app, "Top talkers", "", frame, area);
    let busy: Vec<&TalkerRow> = app.rows.talkers.iter().filter(|row| !row.is_other()).collect();
    part(app, &talker_columns(), &busy, frame, inner);
}

fn interfaces_part(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let inner = parts::section(app, "Interfaces", "", frame, area);
    part(app, INTERFACES, &app.rows.interfaces, frame, inner);
}

fn part<R>(app: &App, columns: &[Column<R>], rows: &[R], frame: &mut Frame<'_>, area: Rect) {
    if rows.is_empty() {
        return parts::lines([Line::styled("none yet", app.theme.dim())], frame, area);
    }
    let table = Table { columns, rows, offset: 0, selected: None, sorted: None, row_style: &|_| app.theme.plain() };
    table.draw(app.theme, frame, area);
}

fn rate(bits_per_second: f64) -> String {
    if bits_per_second < 1.0 { "·".to_owned() } else { units::rate(bits_per_second) }
}

fn share_bar(share: f64, theme: Theme, wide: u16) -> (String, Style) {
    (bar(share, usize::from(wide)), theme.traffic())
}

const PROTOCOLS: &[Column<ProtocolRow>] = &[
    Column::text("protocol", 99, 8, 10, |row, theme, _| (row.name.clone(), theme.plain())),
    Column::number("rate", 95, 11, |row, theme, _| (rate(row.traffic.bits_per_second), theme.strong())),
    Column::number("share", 80, 5, |row, theme, _| (units::percent(row.share), theme.plain())),
    Column::bar("", 70, 6, 60, |row, theme, wide| share_bar(row.share, theme, wide)),
];

fn talker_columns<'a>() -> [Column<&'a TalkerRow>; 4] {
    [
        Column::address("address", 99, 15, 39, |row, theme, _| (row.address.clone(), theme.plain())),
        Column::number("rate", 95, 11, |row, theme, _| (rate(row.rate()), theme.strong())),
        Column::number("total", 80, 8, |row, theme, _| (units::bytes(row.bytes()), theme.plain())),
        Column::bar("", 70, 6, 60, |row, theme, wide| share_bar(row.share, theme, wide)),
    ]
}

const INTERFACES: &[Column<InterfaceRow>] = &[
    Column::text("interface", 99, 9, 15, |row, theme, _| {
        (row.name.clone(), if row.load.captured { theme.plain() } else { theme.dim() })
    }),
    Column::number("in", 97, 11, |row, theme, _| (rate(row.load.in_bits_per_second), theme.strong())),
    Column::number("out", 96, 11, |row, theme, _| (rate(row.load.out_bits_per_second), theme.strong())),
    Column::bar("load", 90, 13, 60, super::interfaces::load),
    Column::text("captured", 80, 8, 8, |row, theme, _| {
        (if row.load.captured { "yes" } else { "no" }.to_owned(), theme.dim())
    }),
];
