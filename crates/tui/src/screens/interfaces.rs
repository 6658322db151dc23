//! Interfaces: rates and how they went, load, totals, errors and drops, and whether their packets are captured.

use hivewall_view::units;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::panes::Pane;
use super::parts;
use crate::app::App;
use crate::list::List;
use crate::paper::Paper;
use crate::rows::InterfaceRow;
use crate::table::Column;
use crate::theme::Theme;
use crate::width::{bar, spark};

/// Draws the table.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let rows = &app.rows.interfaces;
    let captured = rows.iter().filter(|row| row.load.captured).count();
    Pane {
        list: List::Interfaces,
        columns: COLUMNS,
        rows,
        note: &format!("{captured} of {} captured", rows.len()),
        empty: "no interfaces",
        style: |row, theme| if row.load.up && row.load.captured { theme.plain() } else { theme.dim() },
    }
    .draw(app, paper, area);
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

/// How what it receives went of late; both directions are drawn to one scale.
pub(super) fn trend_in(row: &InterfaceRow, theme: Theme, wide: u16) -> (String, Style) {
    trend(row, 0, theme, wide)
}

/// How what it sends went of late.
pub(super) fn trend_out(row: &InterfaceRow, theme: Theme, wide: u16) -> (String, Style) {
    trend(row, 1, theme, wide)
}

fn trend(row: &InterfaceRow, way: usize, theme: Theme, wide: u16) -> (String, Style) {
    let peak = row.trends.iter().flatten().flatten().copied().max().unwrap_or(0);
    let values = row.trends.get(way).map_or(&[][..], Vec::as_slice);
    if peak == 0 {
        return (String::new(), theme.dim());
    }
    (spark(values, usize::from(wide), peak), theme.traffic())
}

fn captured(row: &InterfaceRow, theme: Theme, _: u16) -> (String, Style) {
    if row.load.captured { ("yes".to_owned(), theme.good()) } else { ("no".to_owned(), theme.dim()) }
}

fn packets(per_second: f64) -> String {
    if per_second <= 0.0 { "·".to_owned() } else { units::per_second(per_second) }
}

fn speed(row: &InterfaceRow) -> String {
    row.load.speed_bits_per_second.map_or_else(|| "·".to_owned(), |speed| units::rate(speed as f64))
}

const COLUMNS: &[Column<InterfaceRow>] = &[
    Column::text("interface", 99, 10, 15, |row, theme, _| (row.name.clone(), theme.strong())),
    Column::text("captured", 79, 9, 9, captured),
    Column::number("in", 97, 11, |row, theme, _| (parts::rate(row.load.in_bits_per_second), theme.plain())),
    Column::bar("", 56, 10, 30, trend_in),
    Column::number("out", 96, 11, |row, theme, _| (parts::rate(row.load.out_bits_per_second), theme.plain())),
    Column::bar("", 55, 10, 30, trend_out),
    Column::bar("load", 78, 13, 24, load),
    Column::number("speed", 40, 11, |row, theme, _| (speed(row), theme.plain())),
    Column::number("in pkts", 50, 8, |row, theme, _| (packets(row.load.in_packets_per_second), theme.plain())),
    Column::number("out pkts", 49, 8, |row, theme, _| (packets(row.load.out_packets_per_second), theme.plain())),
    Column::number("received", 70, 9, |row, theme, _| (parts::bytes(row.load.in_bytes), theme.plain())),
    Column::number("sent", 69, 8, |row, theme, _| (parts::bytes(row.load.out_bytes), theme.plain())),
    Column::number("packets in", 30, 10, |row, theme, _| (parts::count(row.load.in_packets), theme.plain())),
    Column::number("packets out", 29, 11, |row, theme, _| (parts::count(row.load.out_packets), theme.plain())),
    Column::number("errors", 76, 7, |row, theme, _| parts::trouble(row.load.errors, theme)),
    Column::number("err in", 28, 6, |row, theme, _| parts::trouble(row.load.in_errors, theme)),
    Column::number("dropped", 75, 8, |row, theme, _| parts::trouble(row.load.dropped, theme)),
    Column::number("drop in", 27, 7, |row, theme, _| parts::trouble(row.load.in_dropped, theme)),
];
