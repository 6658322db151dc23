//! Sockets of this host and flows by TCP state, targets of half-open connections, and transitions between states.

use hivewall_view::{HalfOpenTarget, Snapshot};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;

use super::panes::{Pane, chooser};
use super::parts;
use crate::app::App;
use crate::format::grouped;
use crate::list::List;
use crate::paper::Paper;
use crate::rows::{CountRow, StateRow};
use crate::table::Column;
use crate::theme::Theme;

/// From this width on, all lists are shown at once.
const ALL_AT_ONCE: u16 = 110;

/// Draws the summary, then as many lists as have room.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let Some(snapshot) = app.snapshot.as_deref() else { return };
    let summary = summary(app, snapshot, area.width);
    let lines = u16::try_from(summary.len()).unwrap_or(0);
    let [top, rest] = Layout::vertical([Constraint::Length(lines), Constraint::Fill(1)]).areas(area);
    parts::lines(summary, paper, top);
    if area.width >= ALL_AT_ONCE {
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(52), Constraint::Fill(1)]).spacing(2).areas(rest);
        let [upper, lower] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(right);
        states(app, paper, left);
        half_open(app, paper, upper);
        return transitions(app, paper, lower);
    }
    let counts = app.tab.lists().iter().map(|list| (*list, app.rows.items(*list).len())).collect::<Vec<_>>();
    let rest = chooser(app, &counts, paper, rest);
    match app.list() {
        List::HalfOpen => half_open(app, paper, rest),
        List::Transitions => transitions(app, paper, rest),
        _ => states(app, paper, rest),
    }
}

fn summary(app: &App, snapshot: &Snapshot, columns: u16) -> Vec<ratatui::text::Line<'static>> {
    let theme = app.theme;
    let sockets = &snapshot.sockets;
    let of = |version: fn(&hivewall_view::FamilyCount) -> u64| sockets.tcp.values().map(version).sum::<u64>();
    let half_open = snapshot.suspicious_traffic.half_open;
    parts::pairs(
        app,
        &[
            ("tcp sockets IPv4", grouped(of(|count| count.ipv4)), theme.strong()),
            ("IPv6", grouped(of(|count| count.ipv6)), theme.strong()),
            ("udp sockets IPv4", grouped(sockets.udp.ipv4), theme.plain()),
            ("IPv6", grouped(sockets.udp.ipv6), theme.plain()),
            ("half-open flows", grouped(half_open), theme.plain()),
            ("segments sent again", grouped(sockets.retransmits), theme.trouble(sockets.retransmits)),
        ],
        columns,
    )
}

fn states(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    Pane {
        list: List::States,
        columns: STATES,
        rows: &app.rows.states,
        note: "sockets of this host, flows it saw",
        empty: "no TCP yet",
        style: |row, theme| if row.total() + row.flows == 0 { theme.dim() } else { theme.plain() },
    }
    .draw(app, paper, area);
}

fn half_open(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    Pane {
        list: List::HalfOpen,
        columns: HALF_OPEN,
        rows: &app.rows.half_open,
        note: "SYN sent, not established",
        empty: "none: every connection was completed",
        style: |_, theme| theme.plain(),
    }
    .draw(app, paper, area);
}

fn transitions(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    Pane {
        list: List::Transitions,
        columns: TRANSITIONS,
        rows: &app.rows.transitions,
        note: "of sockets, since the start",
        empty: "none seen yet",
        style: |_, theme| theme.plain(),
    }
    .draw(app, paper, area);
}

fn state(row: &StateRow, theme: Theme, _: u16) -> (String, Style) {
    (row.state.clone(), theme.state(&row.state).unwrap_or(theme.strong()))
}

/// `SYN_SENT>ESTABLISHED` with an arrow.
fn transition(row: &CountRow) -> String {
    row.name.replace('>', " → ")
}

const STATES: &[Column<StateRow>] = &[
    Column::text("state", 99, 12, 13, state),
    Column::number("sockets", 95, 8, |row, theme, _| (parts::count(row.total()), theme.strong())),
    Column::number("IPv4", 80, 7, |row, theme, _| (parts::count(row.sockets.ipv4), theme.plain())),
    Column::number("IPv6", 79, 7, |row, theme, _| (parts::count(row.sockets.ipv6), theme.plain())),
    Column::number("flows", 94, 7, |row, theme, _| (parts::count(row.flows), theme.plain())),
    Column::bar("", 50, 6, 60, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
];

const HALF_OPEN: &[Column<HalfOpenTarget>] = &[
    Column::address("target", 99, 16, 47, |row, theme, _| (row.target.clone(), theme.strong())),
    Column::number("half-open", 95, 10, |row, theme, _| (parts::count(row.half_open), theme.warn())),
];

const TRANSITIONS: &[Column<CountRow>] = &[
    Column::text("transition", 99, 20, 30, |row, theme, _| (transition(row), theme.plain())),
    Column::number("count", 95, 8, |row, theme, _| (parts::count(row.count), theme.strong())),
    Column::bar("", 50, 6, 40, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
];
