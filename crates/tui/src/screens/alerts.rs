//! Security alerts by kind. There are none until there are detectors; what already looks wrong is said instead.

use hivewall_view::Snapshot;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

use super::panes::Pane;
use super::parts;
use crate::app::App;
use crate::format::grouped;
use crate::list::List;
use crate::paper::Paper;
use crate::rows::CountRow;
use crate::table::Column;
use crate::width::wrap;

/// What to say while there is nothing.
const NONE: &str = "No alerts. This version watches and has no detectors yet: alerts will stand here, by kind, once it has. \
                    What already looks wrong is above; see also 9 for half-open targets and 0 for drops.";
/// Lines that may take.
const NONE_LINES_MAX: usize = 5;

/// Draws what looks wrong, then the alerts.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let Some(snapshot) = app.snapshot.as_deref() else { return };
    let signs = signs(app, snapshot, area.width);
    let lines = u16::try_from(signs.len()).unwrap_or(0);
    let [top, rest] = Layout::vertical([Constraint::Length(lines + 2), Constraint::Fill(1)]).areas(area);
    let inner = parts::section(app, "What looks wrong", "since the start", paper, top);
    parts::lines(signs, paper, inner);
    if app.rows.alerts.is_empty() {
        let inner = parts::section(app, List::Alerts.title(), "", paper, rest);
        let text = wrap(NONE, usize::from(inner.width.min(100)), NONE_LINES_MAX);
        return parts::lines(text.into_iter().map(|line| Line::styled(line, app.theme.dim())), paper, inner);
    }
    Pane {
        list: List::Alerts,
        columns: COLUMNS,
        rows: &app.rows.alerts,
        note: "by kind",
        empty: "",
        style: |_, theme| theme.plain(),
    }
    .draw(app, paper, rest);
}

fn signs(app: &App, snapshot: &Snapshot, columns: u16) -> Vec<Line<'static>> {
    let theme = app.theme;
    let suspicious = &snapshot.suspicious_traffic;
    let dropped: u64 = snapshot.kernel_drops.iter().map(|row| row.packets).sum();
    let resets = snapshot.flow_counts.ended.get("reset").copied().unwrap_or(0);
    let mut list = vec![
        ("invalid packets", grouped(suspicious.invalid_packets), theme.trouble(suspicious.invalid_packets)),
        ("half-open", grouped(suspicious.half_open), theme.plain()),
        ("resets", grouped(resets), theme.plain()),
        ("kernel drops", grouped(dropped), theme.trouble(dropped)),
    ];
    list.extend(suspicious.invalid_by_reason.iter().map(|(why, count)| (why.as_str(), grouped(*count), theme.warn())));
    parts::pairs(app, &list, columns)
}

const COLUMNS: &[Column<CountRow>] = &[
    Column::text("alert", 99, 20, 60, |row, theme, _| (row.name.clone(), theme.strong())),
    Column::number("count", 95, 8, |row, theme, _| (parts::count(row.count), theme.bad())),
    Column::bar("", 50, 6, 40, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
];
