//! Security alerts: what looks wrong in numbers, the alerts, and all that is known of the one under the cursor.

use hivewall_view::Snapshot;
use hivewall_view::alerts::{AlertState, Severity, render_alert};
use hivewall_view::time::time_of_day;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;

use super::panes::Pane;
use super::parts;
use crate::app::App;
use crate::format::grouped;
use crate::list::List;
use crate::paper::Paper;
use crate::rows::AlertRow;
use crate::table::Column;
use crate::theme::Theme;
use crate::width::wrap;

/// What to say while there is nothing.
const NONE: &str = "No alerts. Detectors watch flows, names, ARP, broken packets and logins; what they find stands here, the worst \
                    first. `hivewall alerts detectors` lists them; see also 9 for half-open targets and 0 for drops.";
const OFF: &str =
    "Detectors do not work on this agent: set `detect.enabled` to true in its configuration, and start it again.";
/// Lines that may take.
const NONE_LINES_MAX: usize = 5;
/// Lines for the alert under the cursor.
const DETAIL_LINES: u16 = 12;
/// From this height on there is room for them.
const WITH_DETAIL: u16 = 24;

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
        let text = wrap(if snapshot.alerts.on { NONE } else { OFF }, usize::from(inner.width.min(100)), NONE_LINES_MAX);
        return parts::lines(text.into_iter().map(|line| Line::styled(line, app.theme.dim())), paper, inner);
    }
    let detail = if area.height >= WITH_DETAIL { DETAIL_LINES } else { 0 };
    let [list, below] = Layout::vertical([Constraint::Fill(1), Constraint::Length(detail)]).areas(rest);
    Pane {
        list: List::Alerts,
        columns: COLUMNS,
        rows: &app.rows.alerts,
        note: "the worst first",
        empty: "",
        style: |row, theme| if row.0.state == AlertState::Ended { theme.dim() } else { theme.plain() },
    }
    .draw(app, paper, list);
    if detail > 0
        && let Some(row) = app.rows.alerts.get(app.cursor(List::Alerts).selected)
    {
        let inner = parts::section(app, &row.0.title, "", paper, below);
        let width = usize::from(inner.width);
        let text = render_alert(&row.0);
        let lines = text.lines().flat_map(|line| wrap(line, width, 3)).map(Line::from).collect::<Vec<_>>();
        parts::lines(lines, paper, inner);
    }
}

fn signs(app: &App, snapshot: &Snapshot, columns: u16) -> Vec<Line<'static>> {
    let theme = app.theme;
    let suspicious = &snapshot.suspicious_traffic;
    let dropped: u64 = snapshot.kernel_drops.iter().map(|row| row.packets).sum();
    let resets = snapshot.flow_counts.ended.get("reset").copied().unwrap_or(0);
    let mut list = vec![
        ("scans", grouped(suspicious.port_scans), theme.trouble(suspicious.port_scans)),
        ("SYN floods", grouped(suspicious.syn_floods), theme.trouble(suspicious.syn_floods)),
        ("other floods", grouped(suspicious.floods), theme.trouble(suspicious.floods)),
        ("failed logins", grouped(suspicious.failed_login_attempts), theme.trouble(suspicious.failed_login_attempts)),
        ("invalid packets", grouped(suspicious.invalid_packets), theme.trouble(suspicious.invalid_packets)),
        ("half-open", grouped(suspicious.half_open), theme.plain()),
        ("resets", grouped(resets), theme.plain()),
        ("kernel drops", grouped(dropped), theme.trouble(dropped)),
    ];
    list.extend(suspicious.invalid_by_reason.iter().map(|(why, count)| (why.as_str(), grouped(*count), theme.warn())));
    parts::pairs(app, &list, columns)
}

fn colour(row: &AlertRow, theme: Theme) -> Style {
    match row.0.severity {
        _ if row.0.state == AlertState::Ended => theme.dim(),
        Severity::Critical | Severity::High => theme.bad(),
        Severity::Medium => theme.warn(),
        Severity::Low | Severity::Info => theme.plain(),
    }
}

/// What stands for an alert that somebody has seen, or that was acted on.
fn state(row: &AlertRow) -> String {
    let alert = &row.0;
    match (&alert.response, &alert.acknowledged, alert.state) {
        (Some(response), ..) => format!("{} {}", response.action, response.outcome),
        (None, Some(_), _) => "seen".to_owned(),
        (None, None, AlertState::Active) => "goes on".to_owned(),
        (None, None, AlertState::Ended) => "ended".to_owned(),
    }
}

const COLUMNS: &[Column<AlertRow>] = &[
    Column::text("severity", 99, 8, 8, |row, theme, _| (row.0.severity.name().to_owned(), colour(row, theme))),
    Column::text("last", 80, 8, 8, |row, theme, _| (time_of_day(&row.0.last_seen).to_owned(), theme.dim())),
    Column::text("detector", 90, 10, 18, |row, theme, _| (row.0.detector.clone(), theme.strong())),
    Column::text("source", 85, 9, 24, |row, theme, _| {
        (row.0.source.clone().unwrap_or_else(|| "-".to_owned()), theme.plain())
    }),
    Column::text("state", 60, 7, 14, |row, theme, _| (state(row), theme.dim())),
    Column::text("what", 95, 20, 120, |row, theme, _| (row.0.message.clone(), theme.plain())),
    Column::number("signs", 40, 5, |row, theme, _| (parts::count(row.0.signs), theme.dim())),
];
