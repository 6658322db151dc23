//! Addresses: what each sends and receives now, and has since the start.

use hivewall_view::{Sort, units};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::parts;
use crate::app::App;
use crate::format::{grouped, or_dot};
use crate::rows::TalkerRow;
use crate::table::{Column, Table};
use crate::theme::Theme;
use crate::width::bar;

/// Draws the table.
pub(super) fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let area = parts::section(app, "Talkers", &accuracy(app), frame, area);
    if app.rows.talkers.is_empty() {
        return parts::hint(app, "no traffic yet", frame, area);
    }
    let shown = usize::from(area.height.saturating_sub(1));
    let cursor = app.cursor().fit(app.rows.talkers.len(), shown);
    let theme = app.theme;
    Table {
        columns: COLUMNS,
        rows: &app.rows.talkers,
        offset: cursor.offset,
        selected: Some(cursor.selected),
        sorted: Some(sorted_head(app.table_sort)),
        row_style: &|row| if row.rate() < 1.0 || row.is_other() { theme.dim() } else { theme.plain() },
    }
    .draw(theme, frame, area);
}

/// How exact the totals are.
fn accuracy(app: &App) -> String {
    let Some(accuracy) = app.snapshot.as_deref().map(|snapshot| &snapshot.ip_traffic_accuracy) else {
        return String::new();
    };
    if accuracy.exact {
        return format!("{} addresses, exact", grouped(accuracy.tracked));
    }
    let error = units::bytes(accuracy.error_bytes_max);
    format!("{} addresses kept, each short by {error} at most", grouped(accuracy.tracked))
}

/// Head of the column that rows are ordered by.
pub(super) fn sorted_head(sort: Sort) -> &'static str {
    match sort {
        Sort::Bytes => "total",
        Sort::Packets => "packets",
        _ => "rate",
    }
}

fn rate(value: Option<f64>) -> String {
    value.filter(|rate| *rate >= 1.0).map_or_else(|| "·".to_owned(), units::rate)
}

fn bytes(value: u64) -> String {
    or_dot(value, units::bytes(value))
}

fn share(row: &TalkerRow, theme: Theme, wide: u16) -> (String, Style) {
    (bar(row.share, usize::from(wide)), theme.traffic())
}

const COLUMNS: &[Column<TalkerRow>] = &[
    Column::address("address", 99, 15, 39, |row, theme, _| {
        (if row.is_other() { "all others".to_owned() } else { row.address.clone() }, theme.plain())
    }),
    Column::number("rate", 95, 11, |row, theme, _| {
        (rate(row.rates.as_ref().map(|rates| rates.bits_per_second)), theme.strong())
    }),
    Column::bar("", 50, 8, 60, share),
    Column::number("sends", 70, 11, |row, theme, _| {
        (rate(row.rates.as_ref().map(|rates| rates.sent_bits_per_second)), theme.plain())
    }),
    Column::number("receives", 69, 11, |row, theme, _| {
        (rate(row.rates.as_ref().map(|rates| rates.received_bits_per_second)), theme.plain())
    }),
    Column::number("total", 90, 8, |row, theme, _| (bytes(row.bytes()), theme.plain())),
    Column::number("sent", 60, 8, |row, theme, _| (bytes(row.totals.sent_bytes), theme.plain())),
    Column::number("received", 59, 8, |row, theme, _| (bytes(row.totals.received_bytes), theme.plain())),
    Column::number("packets", 40, 7, |row, theme, _| {
        (or_dot(row.packets(), units::count(row.packets())), theme.plain())
    }),
];
