//! The table of flows. Not here: the details of one ([`super::detail`]), and flows by process ([`super::groups`]).

use std::time::Duration;

use hivewall_view::fields::endpoint;
use hivewall_view::time::parse_rfc3339;
use hivewall_view::{FlowPage, FlowRow, Sort, units};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{groups, parts};
use crate::app::{App, FLOWS_MAX};
use crate::format::{grouped, whole_seconds};
use crate::list::List;
use crate::paper::{Paper, Target};
use crate::table::{Column, Table};
use crate::theme::Theme;
use crate::travel::Moment;

/// A flow and the whole seconds since its latest packet and since its first, at the time of the answer.
struct Row<'a> {
    flow: &'a FlowRow,
    idle: Duration,
    age: Duration,
}

/// Head of the column that the rows are ordered by.
pub(crate) fn head(sort: Sort) -> &'static str {
    HEADS.iter().find(|(known, _)| *known == sort).map_or("", |(_, head)| *head)
}

/// The order that the column with this head stands for.
pub(crate) fn sort(head: &str) -> Option<Sort> {
    HEADS.iter().find(|(_, known)| *known == head).map(|(sort, _)| *sort)
}

const HEADS: [(Sort, &str); 6] = [
    (Sort::Bytes, "bytes"),
    (Sort::Packets, "packets"),
    (Sort::Rate, "rate"),
    (Sort::Start, "age"),
    (Sort::Last, "idle"),
    (Sort::Duration, "lasted"),
];

/// Draws caption and table.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let Some(page) = &app.page else {
        return parts::hint(app, "waiting for the flows …", paper, area);
    };
    if app.grouped {
        return groups::draw(app, paper, area);
    }
    paper.note(area, Target::List(List::Flows));
    let [caption_area, table_area] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    paper.put(caption(app, page), caption_area);
    if page.flows.is_empty() {
        let text = match (app.filter.is_empty(), app.moment) {
            (true, None) => "no flows yet",
            (true, Some(_)) => "no flow in that minute; [ ] move by a minute, { } by an hour",
            (false, _) => "no flow matches; Esc clears the filter",
        };
        return parts::hint(app, text, paper, table_area);
    }
    table(app, page, paper, table_area);
}

fn caption(app: &App, page: &FlowPage) -> Line<'static> {
    let order = Sort::ALL.iter().find(|(sort, _)| *sort == app.sort).map_or("", |(_, name)| *name);
    let mut spans = vec![Span::styled(grouped(page.matched), app.theme.strong())];
    if page.matched != page.searched {
        spans.push(Span::styled(format!(" of {}", grouped(page.searched)), app.theme.dim()));
    }
    spans.push(Span::styled(format!(" flow{} by {order}", if page.matched == 1 { "" } else { "s" }), app.theme.dim()));
    if page.matched > page.flows.len() as u64 {
        spans.push(Span::styled(format!(", first {}", grouped(FLOWS_MAX as u64)), app.theme.dim()));
    }
    if !app.filter.is_empty() {
        spans.push(Span::styled("   filter ", app.theme.dim()));
        spans.push(Span::styled(app.filter.clone(), app.theme.warn()));
    }
    if let (Some(moment), Some(back)) = (app.moment, &page.reaches_back_to)
        && moment.is_before(back)
    {
        let back = back.get(..19).unwrap_or(back).replace('T', " ");
        spans.push(Span::styled(format!("   history begins at {back} UTC"), app.theme.warn()));
    }
    Line::from(spans)
}

fn table(app: &App, page: &FlowPage, paper: &mut Paper<'_, '_>, area: Rect) {
    let shown = usize::from(area.height.saturating_sub(1));
    let cursor = app.cursor(List::Flows).fit(page.flows.len(), shown);
    // Only what is on the screen is prepared: a page may hold a thousand flows.
    // What is looked at in the past was as old then as it was then.
    let now = app.moment.map_or_else(|| page.time.clone(), Moment::time);
    let rows: Vec<Row<'_>> = page.flows.iter().skip(cursor.offset).take(shown).map(|flow| row(flow, &now)).collect();
    let theme = app.theme;
    Table {
        columns: &columns(),
        rows: &rows,
        offset: 0,
        selected: Some(cursor.selected - cursor.offset),
        sorted: Some((head(app.sort), false)),
        list: Some((List::Flows, cursor.offset, &HEADS.map(|(_, head)| head))),
        row_style: &|row| {
            if row.flow.state == "closed" { theme.freshness(Duration::MAX) } else { theme.freshness(row.idle) }
        },
    }
    .draw(theme, paper, area);
}

fn row<'a>(flow: &'a FlowRow, now: &str) -> Row<'a> {
    let since = |time: &str| match (parse_rfc3339(now), parse_rfc3339(time)) {
        (Some(now), Some(then)) => Duration::from_secs(now.0.saturating_sub(then.0).max(0) as u64 / 1_000_000_000),
        _ => Duration::ZERO,
    };
    Row { flow, idle: since(&flow.end), age: since(&flow.start) }
}

/// State of a flow: that of TCP, the type and code of ICMP, else why it ended or that it lives.
fn state(flow: &FlowRow) -> String {
    if let (Some(kind), Some(code)) = (flow.icmp_type, flow.icmp_code) {
        return format!("type {kind}/{code}");
    }
    match (&flow.tcp_state, &flow.end_reason) {
        (Some(tcp), _) => tcp.to_lowercase().replace('_', "-"),
        (None, Some(reason)) => reason.replace('_', " "),
        (None, None) => flow.state.clone(),
    }
}

fn state_cell(row: &Row<'_>, theme: Theme, _: u16) -> (String, Style) {
    let style = row.flow.tcp_state.as_deref().and_then(|state| theme.state(state)).unwrap_or_default();
    (state(row.flow), style)
}

/// What the policy said; what was dropped stands out.
fn verdict_cell(row: &Row<'_>, theme: Theme, _: u16) -> (String, Style) {
    let verdict = row.flow.verdict.clone().unwrap_or_default();
    let style = match verdict.as_str() {
        "drop" | "reject" => theme.bad(),
        "observed" => theme.warn(),
        _ => theme.dim(),
    };
    (verdict, style)
}

fn rate_cell(row: &Row<'_>, theme: Theme, _: u16) -> (String, Style) {
    let rate = row.flow.bits_per_second;
    if rate < 1.0 { ("·".to_owned(), theme.plain()) } else { (units::rate(rate), theme.strong()) }
}

fn interfaces(flow: &FlowRow) -> String {
    let mut names: Vec<&str> = flow.interfaces.iter().map(|point| point.interface.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(",")
}

fn tags(flow: &FlowRow) -> String {
    let vlans = flow.vlan.iter().map(|id| format!("vlan {id}"));
    vlans.chain(flow.tunnel.clone()).collect::<Vec<_>>().join(" ")
}

fn arrow(row: &Row<'_>, theme: Theme) -> (String, Style) {
    if row.flow.roles_known { ("→".to_owned(), theme.dim()) } else { ("~".to_owned(), theme.inferred()) }
}

/// The process, and that at the other end where both are here.
fn process(flow: &FlowRow) -> String {
    match (&flow.process, &flow.peer_process) {
        (Some(process), Some(peer)) if process != peer => format!("{process}⇄{peer}"),
        (process, _) => process.clone().unwrap_or_default(),
    }
}

fn application_cell(row: &Row<'_>, theme: Theme, _: u16) -> (String, Style) {
    let name = row.flow.application.clone().unwrap_or_default();
    if row.flow.application_guessed { (format!("~{name}"), theme.inferred()) } else { (name, theme.plain()) }
}

/// What the server is called; `~` where that was inferred from an earlier look-up.
fn name_cell(row: &Row<'_>, theme: Theme, _: u16) -> (String, Style) {
    let flow = row.flow;
    match (&flow.server_name, flow.server_name_source.as_deref()) {
        (Some(name), Some("dns")) => (format!("~{name}"), theme.inferred()),
        (Some(name), _) => (name.clone(), theme.plain()),
        (None, _) => (flow.dns_query.clone().unwrap_or_default(), theme.dim()),
    }
}

/// The best there is for the round trip between the ends: the socket's own, the handshake, the last exchange.
fn rtt(flow: &FlowRow) -> Option<f64> {
    flow.smoothed_rtt_seconds.or(flow.handshake_rtt_seconds).or(flow.round_trip_seconds)
}

fn rtt_cell(row: &Row<'_>, theme: Theme, _: u16) -> (String, Style) {
    let seconds = rtt(row.flow);
    (parts::time(seconds), seconds.map_or(theme.dim(), |seconds| theme.latency(seconds)))
}

fn columns<'a>() -> [Column<Row<'a>>; 24] {
    [
        Column::text("proto", 90, 5, 9, |row, theme, _| (row.flow.protocol.clone(), theme.plain())),
        Column::address("client", 99, 15, 47, |row, theme, _| {
            (endpoint(&row.flow.source_ip, row.flow.src_port), theme.plain())
        }),
        Column::text("", 97, 1, 1, |row, theme, _| arrow(row, theme)),
        Column::address("server", 98, 15, 47, |row, theme, _| {
            (endpoint(&row.flow.dest_ip, row.flow.dest_port), theme.plain())
        }),
        Column::text("process", 93, 8, 20, |row, theme, _| (process(row.flow), theme.plain())),
        Column::text("app", 80, 6, 12, application_cell),
        Column::address("name", 75, 12, 48, name_cell),
        Column::text("state", 60, 11, 12, state_cell),
        Column::text("verdict", 58, 7, 8, verdict_cell),
        Column::address("rule", 42, 10, 28, |row, theme, _| (row.flow.rule.clone().unwrap_or_default(), theme.plain())),
        Column::number("rate", 95, 11, rate_cell),
        Column::number("bytes", 94, 8, |row, theme, _| (units::bytes(row.flow.bytes), theme.plain())),
        Column::number("packets", 70, 8, |row, theme, _| (units::count(row.flow.packets), theme.plain())),
        Column::number("rtt", 72, 7, rtt_cell),
        Column::number("resent", 52, 6, |row, theme, _| {
            parts::trouble(row.flow.retransmits.unwrap_or(0).into(), theme)
        }),
        Column::number("sent", 22, 8, |row, theme, _| (parts::bytes(row.flow.bytes_to_server), theme.plain())),
        Column::number("replied", 21, 8, |row, theme, _| (parts::bytes(row.flow.bytes_to_client), theme.plain())),
        Column::number("idle", 65, 6, |row, theme, _| (whole_seconds(row.idle), theme.plain())),
        Column::number("age", 55, 6, |row, theme, _| (whole_seconds(row.age), theme.plain())),
        Column::number("lasted", 35, 6, |row, theme, _| (units::seconds(row.flow.duration_seconds), theme.plain())),
        Column::text("way", 40, 8, 8, |row, theme, _| (row.flow.direction.clone(), theme.plain())),
        Column::text("on", 50, 6, 20, |row, theme, _| (interfaces(row.flow), theme.plain())),
        Column::text("container", 45, 9, 20, |row, theme, _| {
            (row.flow.container.clone().unwrap_or_default(), theme.plain())
        }),
        Column::text("tags", 20, 8, 20, |row, theme, _| (tags(row.flow), theme.plain())),
    ]
}
