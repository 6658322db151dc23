//! Traffic of the whole host, each packet once: by protocol, by application, by server port.

use hivewall_view::{ServiceTraffic, units};
use ratatui::layout::{Constraint, Layout, Rect};

use super::panes::{Pane, chooser};
use super::parts;
use crate::app::App;
use crate::list::List;
use crate::paper::Paper;
use crate::rows::{ApplicationRow, Item as _, ProtocolRow};
use crate::table::Column;

/// From this width on, all three lists are shown at once.
const ALL_AT_ONCE: u16 = 140;

/// Draws as many lists as have room.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    if area.width >= ALL_AT_ONCE {
        let [left, middle, right] = Layout::horizontal([Constraint::Fill(1); 3]).spacing(2).areas(area);
        protocols(app, paper, left);
        applications(app, paper, middle);
        return services(app, paper, right);
    }
    let counts = app.tab.lists().iter().map(|list| (*list, app.rows.items(*list).len())).collect::<Vec<_>>();
    let rest = chooser(app, &counts, paper, area);
    match app.list() {
        List::Applications => applications(app, paper, rest),
        List::Services => services(app, paper, rest),
        _ => protocols(app, paper, rest),
    }
}

fn protocols(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    Pane {
        list: List::Protocols,
        columns: PROTOCOLS,
        rows: &app.rows.protocols,
        note: "share of the rate now",
        empty: "no traffic yet",
        style: |row, theme| if row.traffic.bits_per_second < 1.0 { theme.dim() } else { theme.plain() },
    }
    .draw(app, paper, area);
}

fn applications(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    Pane {
        list: List::Applications,
        columns: APPLICATIONS,
        rows: &app.rows.applications,
        note: "~ guessed from the port",
        empty: "no application yet",
        style: |row, theme| if row.is_rest() { theme.dim() } else { theme.plain() },
    }
    .draw(app, paper, area);
}

fn services(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    Pane {
        list: List::Services,
        columns: SERVICES,
        rows: &app.rows.services,
        note: "~ what usually serves there",
        empty: "no server port yet",
        style: |row, theme| if row.is_rest() { theme.dim() } else { theme.plain() },
    }
    .draw(app, paper, area);
}

fn port(row: &ServiceTraffic) -> String {
    if row.is_rest() { format!("{} other", row.protocol) } else { format!("{} {}", row.protocol, row.port) }
}

const PROTOCOLS: &[Column<ProtocolRow>] = &[
    Column::text("protocol", 99, 8, 14, |row, theme, _| (row.name.clone(), theme.strong())),
    Column::number("rate", 95, 11, |row, theme, _| (parts::rate(row.traffic.bits_per_second), theme.strong())),
    Column::number("share", 80, 6, |row, theme, _| (units::percent(row.share), theme.plain())),
    Column::bar("", 50, 6, 60, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
    Column::number("flows", 60, 7, |row, theme, _| (parts::count(row.traffic.active_flows), theme.plain())),
    Column::number("total", 90, 8, |row, theme, _| (parts::bytes(row.traffic.bytes), theme.plain())),
    Column::number("packets", 70, 8, |row, theme, _| (parts::count(row.traffic.packets), theme.plain())),
];

const APPLICATIONS: &[Column<ApplicationRow>] = &[
    Column::text("application", 99, 11, 16, |row, theme, _| {
        (row.shown(), if row.is_guess() { theme.inferred() } else { theme.strong() })
    }),
    Column::number("total", 95, 8, |row, theme, _| (parts::bytes(row.traffic.bytes), theme.strong())),
    Column::number("share", 80, 6, |row, theme, _| (units::percent(row.share), theme.plain())),
    Column::bar("", 50, 6, 60, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
    Column::number("packets", 70, 8, |row, theme, _| (parts::count(row.traffic.packets), theme.plain())),
    Column::number("flows", 90, 7, |row, theme, _| (parts::count(row.traffic.flows), theme.plain())),
    Column::number("guessed", 60, 7, |row, theme, _| (parts::count(row.traffic.guessed_flows), theme.inferred())),
];

const SERVICES: &[Column<ServiceTraffic>] = &[
    Column::text("port", 99, 10, 12, |row, theme, _| (port(row), theme.strong())),
    Column::text("usually", 80, 8, 16, |row, theme, _| {
        (row.application.as_ref().map(|name| format!("~{name}")).unwrap_or_default(), theme.inferred())
    }),
    Column::number("total", 95, 8, |row, theme, _| (parts::bytes(row.bytes), theme.strong())),
    Column::number("packets", 70, 8, |row, theme, _| (parts::count(row.packets), theme.plain())),
    Column::number("flows", 90, 7, |row, theme, _| (parts::count(row.flows), theme.plain())),
];
