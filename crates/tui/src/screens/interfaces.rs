//! Interfaces: rates, load, totals, errors and drops, and whether their packets are captured.

use hivewall_view::units;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::parts;
use crate::app::App;
use crate::format::or_dot;
use crate::rows::InterfaceRow;
use crate::table::{Column, Table};
use crate::theme::Theme;
use crate::width::bar;

/// Draws the table.
pub(super) fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let rows = &app.rows.interfaces;
    let captured = rows.iter().filter(|row| row.load.captured).count();
    let note = format!("{captured} of {} captured", rows.len());
    let area = parts::section(app, "Interfaces", &note, frame, area);
    if rows.is_empty() {
        return parts::hint(app, "no interfaces", frame, area);
    }
    let cursor = app.cursor().fit(rows.len(), usize::from(area.height.saturating_sub(1)));
    let theme = app.theme;
    Table {
        columns: COLUMNS,
        rows,
        offset: cursor.offset,
        selected: Some(cursor.selected),
        sorted: None,
        row_style: &|row| if row.load.up && row.load.captured { theme.plain() } else { theme.dim() },
    }
    .draw(theme, frame, area);
}

/// The load as a bar and per cent, or that the speed is not known.
pub(super) fn load(row: &InterfaceRow, theme: Theme, wide: u16) -> (String, Style) {
    let Some(share) = row.load.utilization else {
        return (if row.load.up { "speed unknown" } else { "down" }.to_owned(), theme.dim());
    };
    let percent = units::percent(share);
    let columns = usize::from(wide).saturating_sub(6);
    (format!("{percent:>5} {}", bar(share, columns)), theme.load(share))
}

fn captured(row: &InterfaceRow, theme: Theme, _: u16) -> (String, Style) {
    if row.load.captured { ("yes".to_owned(), theme.good()) } else { ("no".to_owned(), theme.dim()) }
}

fn rate(bits_per_second: f64) -> String {
    if bits_per_second < 1.0 { "·".to_owned() } else { units::rate(bits_per_second) }
}

fn packets(per_second: f64) -> String {
    if per_second <= 0.0 { "·".to_owned() } else { units::per_second(per_second) }
}

/// A count that should be zero.
fn trouble(count: u64, theme: Theme) -> (String, Style) {
    (or_dot(count, units::count(count)), if count > 0 { theme.warn() } else { theme.plain() })
}

fn speed(row: &InterfaceRow) -> String {
    row.load.speed_bits_per_second.map_or_else(|| "·".to_owned(), |speed| units::rate(speed as f64))
}

const COLUMNS: &[Column<InterfaceRow>] = &[
    Column::text("interface", 99, 9, 15, |row, theme, _| (row.name.clone(), theme.strong())),
    Column::text("captured", 80, 8, 8, captured),
    Column::number("in", 97, 11, |row, theme, _| (rate(row.load.in_bits_per_second), theme.plain())),
    Column::number("out", 96, 11, |row, theme, _| (rate(row.load.out_bits_per_second), theme.plain())),
    Column::bar("load", 78, 13, 40, load),
    Column::number("speed", 40, 11, |row, theme, _| (speed(row), theme.plain())),
    Column::number("in pkts", 60, 8, |row, theme, _| (packets(row.load.in_packets_per_second), theme.plain())),
    Column::number("out pkts", 59, 8, |row, theme, _| (packets(row.load.out_packets_per_second), theme.plain())),
    Column::number("received", 70, 8, |row, theme, _| (units::bytes(row.load.in_bytes), theme.plain())),
    Column::number("sent", 69, 8, |row, theme, _| (units::bytes(row.load.out_bytes), theme.plain())),
    Column::number("packets in", 30, 10, |row, theme, _| (units::count(row.load.in_packets), theme.plain())),
    Column::number("packets out", 29, 11, |row, theme, _| (units::count(row.load.out_packets), theme.plain())),
    Column::number("errors", 76, 6, |row, theme, _| trouble(row.load.errors, theme)),
    Column::number("dropped", 75, 7, |row, theme, _| trouble(row.load.dropped, theme)),
];
