//! The flows of a page added up by process.

use ratatui::layout::Rect;

use super::panes::Pane;
use super::parts;
use crate::app::App;
use crate::format::grouped;
use crate::list::List;
use crate::paper::Paper;
use crate::rows::{GroupRow, Item as _};
use crate::table::Column;

/// Draws the table.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let (shown, matched) = app.page.as_ref().map_or((0, 0), |page| (page.flows.len() as u64, page.matched));
    let part = if matched > shown { format!("the first {} of ", grouped(shown)) } else { String::new() };
    let filter = if app.filter.is_empty() { String::new() } else { format!(" that match {}", app.filter) };
    Pane {
        list: List::Groups,
        columns: COLUMNS,
        rows: &app.rows.groups,
        note: &format!("{part}{} flows{filter} · g one by one", grouped(matched)),
        empty: "no flows",
        style: |row, theme| if row.is_rest() || row.active == 0 { theme.dim() } else { theme.plain() },
    }
    .draw(app, paper, area);
}

const COLUMNS: &[Column<GroupRow>] = &[
    Column::text("process", 99, 12, 20, |row, theme, _| (row.process.clone(), theme.strong())),
    Column::number("flows", 96, 6, |row, theme, _| (parts::count(row.flows), theme.plain())),
    Column::number("live", 80, 6, |row, theme, _| (parts::count(row.active), theme.plain())),
    Column::number("rate", 95, 11, |row, theme, _| (parts::rate(row.rate), theme.strong())),
    Column::bar("", 50, 8, 60, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
    Column::number("total", 90, 8, |row, theme, _| (parts::bytes(row.bytes()), theme.plain())),
    Column::number("to server", 70, 9, |row, theme, _| (parts::bytes(row.to_server), theme.plain())),
    Column::number("to client", 69, 9, |row, theme, _| (parts::bytes(row.to_client), theme.plain())),
    Column::number("packets", 60, 8, |row, theme, _| (parts::count(row.packets), theme.plain())),
];
