//! Everything not seen or not kept, by reason, with its meaning; and the state of the agent. Green when nothing is lost.

use hivewall_view::{Snapshot, units};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::parts;
use crate::app::App;
use crate::format::{grouped, or_dot};
use crate::rows::LossRow;
use crate::table::{Column, Table};
use crate::theme::Theme;
use crate::width::wrap;

/// Lines that the meaning of one loss may take.
const MEANING_LINES_MAX: usize = 3;
/// A flow table fuller than this is about to lose flows.
const FULL_SHARE: f64 = 0.8;

/// Draws the state of the agent, then the losses.
pub(super) fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let Some(snapshot) = app.snapshot.as_deref() else { return };
    let health = health(app, snapshot, area.width);
    let lines = u16::try_from(health.len()).unwrap_or(0);
    let [top, rest] = Layout::vertical([Constraint::Length(lines + 2), Constraint::Fill(1)]).areas(area);
    let inner = parts::section(app, "Agent", &snapshot.host.version, frame, top);
    parts::lines(health, frame, inner);
    table(app, frame, rest);
}

fn health(app: &App, snapshot: &Snapshot, columns: u16) -> Vec<Line<'static>> {
    let theme = app.theme;
    let (capture, counts, host) = (&snapshot.capture, &snapshot.flow_counts, &snapshot.host);
    let fill = if counts.limit > 0 { counts.active as f64 / counts.limit as f64 } else { 0.0 };
    let fill_style = if fill > FULL_SHARE { theme.warn() } else { theme.good() };
    let invalid = snapshot.suspicious_traffic.invalid_packets;
    let invalid_style = if invalid > 0 { theme.warn() } else { theme.good() };
    let cpu = app.agent_cpu.map_or_else(|| "·".to_owned(), units::percent);
    let mut lines = parts::pairs(
        app,
        &[
            ("source", capture.source.clone(), theme.strong()),
            ("on", capture.interfaces.join(", "), theme.plain()),
            ("clock", format!("{} ms", capture.clock_resolution_ms), theme.plain()),
            ("memory", units::memory(host.agent_memory_bytes), theme.plain()),
            ("cpu", cpu, theme.plain()),
            ("packets", grouped(capture.packets), theme.plain()),
            ("records", grouped(capture.records), theme.plain()),
            ("flow table", format!("{} full", units::percent(fill)), fill_style),
            ("invalid packets", grouped(invalid), invalid_style),
        ],
        columns,
    );
    if let Some(reason) = &capture.fallback_reason {
        lines.push(Line::from(vec![
            Span::styled("not the best source: ", theme.warn()),
            Span::styled(reason.clone(), theme.plain()),
        ]));
    }
    let reasons: Vec<(&str, String, Style)> = snapshot
        .suspicious_traffic
        .invalid_by_reason
        .iter()
        .map(|(reason, count)| (reason.as_str(), grouped(*count), theme.warn()))
        .collect();
    lines.extend(parts::pairs(app, &reasons, columns));
    lines
}

fn table(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let rows = &app.rows.losses;
    let happened = rows.iter().filter(|row| row.happened()).count();
    let note = if happened == 0 { String::new() } else { format!("{happened} of {} happened", rows.len()) };
    let area = parts::section(app, "Losses", &note, frame, area);
    let [verdict, area] =
        Layout::vertical([Constraint::Length(u16::from(happened == 0)), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Line::styled("✓ nothing lost since the start", app.theme.good()), verdict);
    if rows.is_empty() {
        return;
    }
    let meaning = meaning(app, rows, area.width);
    let wanted = u16::try_from(meaning.len()).unwrap_or(0) + 1;
    let [area, below] = Layout::vertical([Constraint::Fill(1), Constraint::Length(wanted)]).areas(area);
    parts::lines(std::iter::once(Line::default()).chain(meaning), frame, below);
    let cursor = app.cursor().fit(rows.len(), usize::from(area.height.saturating_sub(1)));
    let theme = app.theme;
    Table {
        columns: COLUMNS,
        rows,
        offset: cursor.offset,
        selected: Some(cursor.selected),
        sorted: None,
        row_style: &|row| if row.happened() { theme.plain() } else { theme.dim() },
    }
    .draw(theme, frame, area);
}

/// The whole meaning of the selected loss, which the table may have had to cut.
fn meaning(app: &App, rows: &[LossRow], columns: u16) -> Vec<Line<'static>> {
    let Some(row) = rows.get(app.cursor().selected) else { return Vec::new() };
    let text = format!("{}: {}", row.reason, row.loss.meaning);
    let lines = wrap(&text, usize::from(columns), MEANING_LINES_MAX);
    lines.into_iter().map(|line| Line::styled(line, app.theme.dim())).collect()
}

fn reason(row: &LossRow, theme: Theme, _: u16) -> (String, Style) {
    if row.happened() {
        (format!("! {}", row.reason), theme.bad())
    } else {
        (format!("✓ {}", row.reason), theme.good())
    }
}

const COLUMNS: &[Column<LossRow>] = &[
    Column::text("reason", 99, 20, 34, reason),
    Column::number("count", 95, 7, |row, theme, _| {
        (or_dot(row.loss.count, units::count(row.loss.count)), theme.strong())
    }),
    Column::number("packets", 80, 7, |row, theme, _| {
        (or_dot(row.loss.packets, units::count(row.loss.packets)), theme.plain())
    }),
    Column::number("bytes", 70, 8, |row, theme, _| {
        (or_dot(row.loss.bytes, units::bytes(row.loss.bytes)), theme.plain())
    }),
    Column::text("meaning", 90, 14, 200, |row, theme, _| (row.loss.meaning.clone(), theme.plain())),
];
