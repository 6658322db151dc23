//! Addresses: what each sends and receives now, and has since the start.

use hivewall_view::units;
use ratatui::layout::Rect;

use super::panes::Pane;
use super::parts;
use crate::app::App;
use crate::format::grouped;
use crate::list::List;
use crate::paper::Paper;
use crate::rows::{Item as _, TalkerRow};
use crate::table::Column;

/// Draws the table.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    Pane {
        list: List::Talkers,
        columns: COLUMNS,
        rows: &app.rows.talkers,
        note: &accuracy(app),
        empty: "no traffic yet",
        style: |row, theme| if row.rate() < 1.0 || row.is_rest() { theme.dim() } else { theme.plain() },
    }
    .draw(app, paper, area);
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

fn rate(value: Option<f64>) -> String {
    parts::rate(value.unwrap_or(0.0))
}

const COLUMNS: &[Column<TalkerRow>] = &[
    Column::address("address", 99, 15, 39, |row, theme, _| (row.address.clone(), theme.plain())),
    Column::number("rate", 95, 11, |row, theme, _| (parts::rate(row.rate()), theme.strong())),
    Column::bar("", 50, 8, 60, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
    Column::number("sends", 70, 11, |row, theme, _| {
        (rate(row.rates.as_ref().map(|rates| rates.sent_bits_per_second)), theme.plain())
    }),
    Column::number("receives", 69, 11, |row, theme, _| {
        (rate(row.rates.as_ref().map(|rates| rates.received_bits_per_second)), theme.plain())
    }),
    Column::number("total", 90, 8, |row, theme, _| (parts::bytes(row.bytes()), theme.plain())),
    Column::number("sent", 60, 8, |row, theme, _| (parts::bytes(row.totals.sent_bytes), theme.plain())),
    Column::number("received", 59, 9, |row, theme, _| (parts::bytes(row.totals.received_bytes), theme.plain())),
    Column::number("packets", 40, 8, |row, theme, _| (parts::count(row.packets()), theme.plain())),
];
