//! Processes of this host: what each sends and receives now, and has since it was first seen.

use hivewall_view::ProcessTraffic;
use ratatui::layout::Rect;

use super::panes::Pane;
use super::parts;
use crate::app::App;
use crate::format::{grouped, quality};
use crate::list::List;
use crate::paper::Paper;
use crate::rows::{Item as _, process_packets};
use crate::table::Column;

/// Draws the table.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    Pane {
        list: List::Processes,
        columns: COLUMNS,
        rows: &app.rows.processes,
        note: &attribution(app),
        empty: "no traffic of a process of this host yet",
        style: |row, theme| {
            let busy = row.sent_bits_per_second + row.received_bits_per_second >= 1.0;
            if busy && !row.is_rest() { theme.plain() } else { theme.dim() }
        },
    }
    .draw(app, paper, area);
}

/// How flows are tied to processes, and how well that goes.
fn attribution(app: &App) -> String {
    let Some(snapshot) = app.snapshot.as_deref() else { return String::new() };
    let known = &snapshot.attribution;
    let all = known.attributed_flows + known.unattributed_flows;
    if all == 0 {
        return known.source.clone();
    }
    let share = known.attributed_flows as f64 / all as f64;
    format!("{} of {} flows known, by {}", quality(share), grouped(all), known.source)
}

fn rate(row: &ProcessTraffic) -> f64 {
    row.sent_bits_per_second + row.received_bits_per_second
}

/// Name and number; the number alone means nothing for what stands for several.
fn pid(row: &ProcessTraffic) -> String {
    if row.pid == 0 { "·".to_owned() } else { row.pid.to_string() }
}

const COLUMNS: &[Column<ProcessTraffic>] = &[
    Column::text("process", 99, 12, 16, |row, theme, _| (row.process.clone(), theme.strong())),
    Column::number("pid", 85, 7, |row, theme, _| (pid(row), theme.plain())),
    Column::text("user", 55, 6, 12, |row, theme, _| (row.user.clone().unwrap_or_default(), theme.plain())),
    Column::number("rate", 95, 11, |row, theme, _| (parts::rate(rate(row)), theme.strong())),
    Column::number("sends", 72, 11, |row, theme, _| (parts::rate(row.sent_bits_per_second), theme.plain())),
    Column::number("receives", 71, 11, |row, theme, _| (parts::rate(row.received_bits_per_second), theme.plain())),
    Column::number("total", 90, 8, |row, theme, _| {
        (parts::bytes(row.sent_bytes.saturating_add(row.received_bytes)), theme.plain())
    }),
    Column::number("sent", 62, 8, |row, theme, _| (parts::bytes(row.sent_bytes), theme.plain())),
    Column::number("received", 61, 8, |row, theme, _| (parts::bytes(row.received_bytes), theme.plain())),
    Column::number("packets", 50, 8, |row, theme, _| (parts::count(process_packets(row)), theme.plain())),
    Column::number("live", 80, 6, |row, theme, _| (parts::count(row.active_flows), theme.plain())),
    Column::number("flows", 65, 6, |row, theme, _| (parts::count(row.flows), theme.plain())),
    Column::text("container", 45, 10, 24, |row, theme, _| {
        (row.container.clone().unwrap_or_default(), theme.inferred())
    }),
    Column::address("executable", 40, 16, 60, |row, theme, _| {
        (row.executable.clone().unwrap_or_default(), theme.dim())
    }),
];
