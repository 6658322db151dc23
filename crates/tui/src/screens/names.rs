//! Names: look-ups and requests of late, and the names, hosts and fingerprints seen most often.

use std::time::Duration;

use hivewall_view::time::{parse_rfc3339, time_of_day};
use hivewall_view::{DnsRow, HttpRow, Latency, Snapshot};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;

use super::panes::{Pane, chooser};
use super::parts;
use crate::app::App;
use crate::format::{grouped, latency};
use crate::list::List;
use crate::paper::Paper;
use crate::rows::NameRow;
use crate::table::Column;
use crate::theme::Theme;

/// From this width and height on, all lists are shown at once.
const ALL_AT_ONCE: (u16, u16) = (150, 40);
/// From this width on, a list of late has one of counts beside it.
const TWO_AT_ONCE: u16 = 110;

/// Draws the summary, then as many lists as have room.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let Some(snapshot) = app.snapshot.as_deref() else { return };
    let summary = summary(app, snapshot, area.width);
    let lines = u16::try_from(summary.len()).unwrap_or(1);
    let [top, rest] = Layout::vertical([Constraint::Length(lines), Constraint::Fill(1)]).areas(area);
    parts::lines(summary, paper, top);
    if area.width >= ALL_AT_ONCE.0 && area.height >= ALL_AT_ONCE.1 {
        return everything(app, paper, rest);
    }
    let counts = app.tab.lists().iter().map(|list| (*list, app.rows.items(*list).len())).collect::<Vec<_>>();
    let rest = chooser(app, &counts, paper, rest);
    let open = app.list();
    let beside = match open {
        List::Lookups => Some(List::DnsNames),
        List::Requests => Some(List::Hosts),
        List::ServerNames => Some(List::Fingerprints),
        _ => None,
    };
    match beside.filter(|_| area.width >= TWO_AT_ONCE) {
        Some(other) => {
            let [left, right] =
                Layout::horizontal([Constraint::Percentage(64), Constraint::Fill(1)]).spacing(2).areas(rest);
            list(app, open, paper, left);
            list(app, other, paper, right);
        }
        None => list(app, open, paper, rest),
    }
}

fn everything(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let [left, right] = Layout::horizontal([Constraint::Percentage(62), Constraint::Fill(1)]).spacing(2).areas(area);
    let [lookups, requests] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(left);
    let [dns, hosts, servers, prints] = Layout::vertical([Constraint::Fill(1); 4]).areas(right);
    let places = [
        (List::Lookups, lookups),
        (List::Requests, requests),
        (List::DnsNames, dns),
        (List::Hosts, hosts),
        (List::ServerNames, servers),
        (List::Fingerprints, prints),
    ];
    for (which, area) in places {
        list(app, which, paper, area);
    }
}

fn list(app: &App, list: List, paper: &mut Paper<'_, '_>, area: Rect) {
    let Some(snapshot) = app.snapshot.as_deref() else { return };
    let rows = &app.rows;
    match list {
        List::Requests => requests(app, snapshot, paper, area),
        List::DnsNames => counted(app, list, &rows.dns_names, "no name was asked for yet", paper, area),
        List::Hosts => counted(app, list, &rows.hosts, "no HTTP in the clear yet", paper, area),
        List::ServerNames => counted(app, list, &rows.server_names, "no TLS server was named yet", paper, area),
        List::Fingerprints => counted(app, list, &rows.fingerprints, "no ClientHello yet", paper, area),
        _ => lookups(app, snapshot, paper, area),
    }
}

fn counted(app: &App, list: List, rows: &[NameRow], empty: &str, paper: &mut Paper<'_, '_>, area: Rect) {
    Pane { list, columns: NAMES, rows, note: "", empty, style: |_, theme| theme.plain() }.draw(app, paper, area);
}

fn lookups(app: &App, snapshot: &Snapshot, paper: &mut Paper<'_, '_>, area: Rect) {
    let rows: Vec<Aged<'_, DnsRow>> = app.rows.lookups.iter().map(|row| aged(row, &row.time, snapshot)).collect();
    let note = spread(&snapshot.dns_queries.latency);
    let empty = "no look-up yet";
    Pane { list: List::Lookups, columns: &lookup_columns(), rows: &rows, note: &note, empty, style: freshness }
        .draw(app, paper, area);
}

fn requests(app: &App, snapshot: &Snapshot, paper: &mut Paper<'_, '_>, area: Rect) {
    let rows: Vec<Aged<'_, HttpRow>> = app.rows.requests.iter().map(|row| aged(row, &row.time, snapshot)).collect();
    let note = spread(&snapshot.http_requests.latency);
    let empty = "no HTTP request in the clear yet";
    Pane { list: List::Requests, columns: &request_columns(), rows: &rows, note: &note, empty, style: freshness }
        .draw(app, paper, area);
}

/// A row and how long ago it happened.
struct Aged<'a, R> {
    row: &'a R,
    ago: Duration,
}

fn aged<'a, R>(row: &'a R, time: &str, snapshot: &Snapshot) -> Aged<'a, R> {
    let nanos = parse_rfc3339(&snapshot.time).zip(parse_rfc3339(time)).map_or(0, |(now, then)| now.0 - then.0);
    Aged { row, ago: Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)) }
}

fn freshness<R>(row: &Aged<'_, R>, theme: Theme) -> Style {
    // Look-ups are rarer than packets: a minute is what seconds are for a flow.
    theme.freshness(row.ago / 12)
}

fn spread(time: &Latency) -> String {
    if time.samples == 0 {
        return String::new();
    }
    format!("half within {}, 95% within {}", latency(time.median_seconds), latency(time.p95_seconds))
}

fn summary(app: &App, snapshot: &Snapshot, columns: u16) -> Vec<ratatui::text::Line<'static>> {
    let theme = app.theme;
    let (dns, http, tls) = (&snapshot.dns_queries, &snapshot.http_requests, &snapshot.tls_handshakes);
    let failed: u64 = dns.rcodes.iter().filter(|(code, _)| *code != "NOERROR").map(|(_, count)| count).sum();
    let errors: u64 = http.statuses.iter().filter(|(status, _)| status.starts_with('5')).map(|(_, count)| count).sum();
    let mut list = vec![
        ("dns", grouped(dns.queries), theme.strong()),
        ("answered", grouped(dns.responses), theme.plain()),
        ("failed", grouped(failed), theme.trouble(failed)),
        ("multicast", grouped(dns.multicast), theme.plain()),
        ("http", grouped(http.requests), theme.strong()),
        ("5xx", grouped(errors), theme.trouble(errors)),
        ("tls", grouped(tls.hellos), theme.strong()),
        ("quic", grouped(tls.quic_hellos), theme.strong()),
    ];
    list.extend(tls.versions.iter().map(|(version, count)| (version.as_str(), grouped(*count), theme.plain())));
    parts::pairs(app, &list, columns)
}

const NAMES: &[Column<NameRow>] = &[
    Column::address("name", 99, 16, 80, |row, theme, _| (row.name.clone(), theme.plain())),
    Column::number("count", 95, 8, |row, theme, _| (parts::count(row.count), theme.strong())),
    Column::bar("", 50, 6, 30, |row, theme, wide| parts::share_bar(row.share, theme, wide)),
];

fn answers(row: &DnsRow) -> String {
    row.answers.join(" ")
}

fn lookup_columns<'a>() -> [Column<Aged<'a, DnsRow>>; 8] {
    [
        Column::text("time", 80, 8, 8, |row, theme, _| (time_of_day(&row.row.time).to_owned(), theme.plain())),
        Column::address("name", 99, 20, 60, |row, theme, _| (row.row.name.clone(), theme.strong())),
        Column::text("type", 85, 5, 6, |row, theme, _| (row.row.qtype.clone(), theme.plain())),
        Column::text("answer", 95, 8, 9, |row, theme, _| {
            let code = row.row.rcode.as_deref();
            (code.unwrap_or("waiting").to_owned(), theme.outcome(code))
        }),
        Column::number("took", 94, 7, |row, theme, _| {
            (parts::time(row.row.latency_seconds), row.row.latency_seconds.map_or(theme.dim(), |s| theme.latency(s)))
        }),
        Column::text("process", 75, 8, 15, |row, theme, _| {
            (row.row.process.clone().unwrap_or_default(), theme.plain())
        }),
        Column::address("client", 60, 12, 39, |row, theme, _| (row.row.client.clone(), theme.plain())),
        Column::text("addresses", 50, 15, 60, |row, theme, _| (answers(row.row), theme.dim())),
    ]
}

fn request_columns<'a>() -> [Column<Aged<'a, HttpRow>>; 9] {
    [
        Column::text("time", 70, 8, 8, |row, theme, _| (time_of_day(&row.row.time).to_owned(), theme.plain())),
        Column::text("", 90, 4, 7, |row, theme, _| (row.row.method.clone(), theme.plain())),
        Column::address("host", 98, 14, 40, |row, theme, _| (row.row.host.clone(), theme.strong())),
        Column::text("target", 99, 14, 80, |row, theme, _| (row.row.target.clone(), theme.plain())),
        Column::number("status", 95, 7, |row, theme, _| {
            let status = row.row.status.map(|status| status.to_string());
            (status.clone().unwrap_or_else(|| "·".to_owned()), theme.outcome(status.as_deref()))
        }),
        Column::number("took", 94, 7, |row, theme, _| {
            (parts::time(row.row.latency_seconds), row.row.latency_seconds.map_or(theme.dim(), |s| theme.latency(s)))
        }),
        Column::text("process", 75, 8, 15, |row, theme, _| {
            (row.row.process.clone().unwrap_or_default(), theme.plain())
        }),
        Column::address("client", 60, 12, 39, |row, theme, _| (row.row.client.clone(), theme.plain())),
        Column::address("server", 50, 12, 39, |row, theme, _| (row.row.server.clone(), theme.plain())),
    ]
}
