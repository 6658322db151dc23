//! Peers: how long the way there and back takes, how it went of late, and how much it varies.

use hivewall_view::Snapshot;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;

use super::panes::Pane;
use super::parts;
use crate::app::App;
use crate::format::latency;
use crate::list::List;
use crate::paper::Paper;
use crate::rows::PeerRow;
use crate::table::Column;
use crate::theme::Theme;
use crate::width::spark;

/// Draws what is known of exchanges as a whole, then the peers.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let Some(snapshot) = app.snapshot.as_deref() else { return };
    let summary = summary(app, snapshot, area.width);
    let lines = u16::try_from(summary.len()).unwrap_or(0);
    let [top, rest] = Layout::vertical([Constraint::Length(lines), Constraint::Fill(1)]).areas(area);
    parts::lines(summary, paper, top);
    Pane {
        list: List::Peers,
        columns: COLUMNS,
        rows: &app.rows.peers,
        note: "handshakes, answers and sockets of all flows",
        empty: "no round trip was measured yet",
        style: |_, theme| theme.plain(),
    }
    .draw(app, paper, rest);
}

fn summary(app: &App, snapshot: &Snapshot, columns: u16) -> Vec<ratatui::text::Line<'static>> {
    let theme = app.theme;
    let mut list = Vec::new();
    for (what, time) in [
        ("dns answers half within", &snapshot.dns_queries.latency),
        ("http half within", &snapshot.http_requests.latency),
    ] {
        if time.samples > 0 {
            list.push((what, latency(time.median_seconds), theme.latency(time.median_seconds)));
            list.push(("95% within", latency(time.p95_seconds), theme.latency(time.p95_seconds)));
        }
    }
    let resent = snapshot.sockets.retransmits;
    list.push(("segments sent again", crate::format::grouped(resent), theme.trouble(resent)));
    parts::pairs(app, &list, columns)
}

fn rtt(row: &PeerRow, theme: Theme, _: u16) -> (String, Style) {
    let seconds = row.latency.smoothed_seconds;
    (latency(seconds), theme.latency(seconds))
}

fn trend(row: &PeerRow, theme: Theme, wide: u16) -> (String, Style) {
    let peak = row.trend.iter().flatten().copied().max().unwrap_or(0);
    (spark(&row.trend, usize::from(wide), peak), theme.traffic())
}

const COLUMNS: &[Column<PeerRow>] = &[
    Column::address("peer", 99, 15, 39, |row, theme, _| (row.address.clone(), theme.strong())),
    Column::number("rtt", 98, 7, rtt),
    Column::bar("", 80, 8, 30, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
    Column::number("jitter", 97, 7, |row, theme, _| (latency(row.latency.jitter_seconds), theme.plain())),
    Column::bar("of late", 70, 10, 60, trend),
    Column::number("last", 60, 7, |row, theme, _| (latency(row.latency.last_seconds), theme.plain())),
    Column::number("least", 85, 7, |row, theme, _| (latency(row.latency.min_seconds), theme.plain())),
    Column::number("most", 84, 7, |row, theme, _| (latency(row.latency.max_seconds), theme.plain())),
    Column::number("samples", 90, 8, |row, theme, _| (parts::count(row.latency.samples), theme.plain())),
];
