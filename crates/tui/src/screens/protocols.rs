//! Traffic of the whole host by protocol, each packet once.

use hivewall_view::units;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{parts, talkers};
use crate::app::App;
use crate::format::or_dot;
use crate::rows::ProtocolRow;
use crate::table::{Column, Table};
use crate::theme::Theme;
use crate::width::bar;

/// Draws the table.
pub(super) fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let area = parts::section(app, "Protocols", "share of the rate now", frame, area);
    if app.rows.protocols.is_empty() {
        return parts::hint(app, "no traffic yet", frame, area);
    }
    let cursor = app.cursor().fit(app.rows.protocols.len(), usize::from(area.height.saturating_sub(1)));
    let theme = app.theme;
    Table {
        columns: COLUMNS,
        rows: &app.rows.protocols,
        offset: cursor.offset,
        selected: Some(cursor.selected),
        sorted: Some(talkers::sorted_head(app.table_sort)),
        row_style: &|row| if row.traffic.bits_per_second < 1.0 { theme.dim() } else { theme.plain() },
    }
    .draw(theme, frame, area);
}

fn share_bar(row: &ProtocolRow, theme: Theme, wide: u16) -> (String, Style) {
    (bar(row.share, usize::from(wide)), theme.traffic())
}

const COLUMNS: &[Column<ProtocolRow>] = &[
    Column::text("protocol", 99, 8, 14, |row, theme, _| (row.name.clone(), theme.plain())),
    Column::number("rate", 95, 11, |row, theme, _| {
        let rate = row.traffic.bits_per_second;
        (if rate < 1.0 { "·".to_owned() } else { units::rate(rate) }, theme.strong())
    }),
    Column::number("share", 80, 6, |row, theme, _| (units::percent(row.share), theme.plain())),
    Column::bar("", 50, 10, 60, share_bar),
    Column::number("flows", 60, 7, |row, theme, _| {
        (or_dot(row.traffic.active_flows, units::count(row.traffic.active_flows)), theme.plain())
    }),
    Column::number("total", 90, 8, |row, theme, _| (units::bytes(row.traffic.bytes), theme.plain())),
    Column::number("packets", 70, 7, |row, theme, _| (units::count(row.traffic.packets), theme.plain())),
];
