//! The fleet: of how many hosts it speaks and how old that is, who is there, what all saw together, how the policy spreads,
//! what links are like. Not here: figures in words, which are `view`'s. Invariant: nothing that is of many hosts stands
//! without its coverage, its age and its bound.

use hivewall_view::fleet::{
    FleetTopRow, FleetView, LinkView, MemberState, MemberView, NO_FLEET, RolloutView, StandKind, named,
};
use hivewall_view::time::time_of_day;
use hivewall_view::units;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;

use super::panes::{Pane, chooser};
use super::parts;
use crate::app::App;
use crate::format::{grouped, latency};
use crate::list::List;
use crate::paper::Paper;
use crate::table::Column;
use crate::theme::Theme;
use crate::width::wrap;

/// From this height on, all lists are shown at once.
const ALL_AT_ONCE: u16 = 28;
/// From this width on, four lists stand side by side; below, two.
const FOUR_ACROSS: u16 = 150;
/// Lines that a sentence may take.
const LINES_MAX: usize = 2;
/// Refusals and alarms told of above the lists.
const TOLD_MAX: usize = 3;

/// Draws what is known of the whole, then the lists.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let Some(fleet) = app.fleet.as_deref() else {
        let hint = if app.fleet_asked { NO_FLEET } else { "asking for the fleet …" };
        return parts::hint(app, hint, paper, area);
    };
    let lines = state(app, fleet, area.width);
    let tall = u16::try_from(lines.len()).unwrap_or(0);
    let [top, rest] = Layout::vertical([Constraint::Length(tall + 2), Constraint::Fill(1)]).areas(area);
    let title = format!("Fleet {}", fleet.cluster.get(..8).unwrap_or(&fleet.cluster));
    let inner = parts::section(app, &title, &note(fleet), paper, top);
    parts::lines(lines, paper, inner);
    if area.height >= ALL_AT_ONCE {
        return all(app, fleet, paper, rest);
    }
    let rows = &app.rows.fleet;
    let counts = [
        (List::Members, rows.members.len()),
        (List::FleetSources, rows.sources.len()),
        (List::FleetDestinations, rows.destinations.len()),
        (List::FleetServices, rows.services.len()),
        (List::Links, rows.links.len()),
    ];
    let rest = chooser(app, &counts, paper, rest);
    pane(app, fleet, app.list(), paper, rest);
}

/// Members above, the others below them, side by side.
fn all(app: &App, fleet: &FleetView, paper: &mut Paper<'_, '_>, area: Rect) {
    let across: [List; 4] = [List::FleetSources, List::FleetDestinations, List::FleetServices, List::Links];
    let rows = across.chunks(if area.width >= FOUR_ACROSS { 4 } else { 2 });
    let heights = std::iter::once(Constraint::Fill(3)).chain(rows.clone().map(|_| Constraint::Fill(2)));
    let areas = Layout::vertical(heights).split(area);
    let mut areas = areas.iter();
    if let Some(area) = areas.next() {
        pane(app, fleet, List::Members, paper, *area);
    }
    for (lists, area) in rows.zip(areas) {
        let places = Layout::horizontal(vec![Constraint::Fill(1); lists.len()]).spacing(2).split(*area);
        for (list, place) in lists.iter().zip(places.iter()) {
            pane(app, fleet, *list, paper, *place);
        }
    }
}

fn pane(app: &App, fleet: &FleetView, list: List, paper: &mut Paper<'_, '_>, area: Rect) {
    let rows = &app.rows.fleet;
    match list {
        List::FleetSources => top(app, fleet, list, &rows.sources, ADDRESSES, paper, area),
        List::FleetDestinations => top(app, fleet, list, &rows.destinations, ADDRESSES, paper, area),
        List::FleetServices => top(app, fleet, list, &rows.services, SERVICES, paper, area),
        List::Links => links(app, fleet, paper, area),
        _ => members(app, fleet, paper, area),
    }
}

fn note(fleet: &FleetView) -> String {
    let error = fleet.total.as_ref().map(hivewall_view::fleet::FleetTotalView::error_share);
    error.map_or_else(|| "no total yet".to_owned(), |error| fleet.coverage.words_within(error))
}

fn state(app: &App, fleet: &FleetView, columns: u16) -> Vec<Line<'static>> {
    let theme = app.theme;
    let trouble = fleet.states.suspect + fleet.states.down > 0;
    let mut list: Vec<(&str, String, Style)> =
        vec![("members", fleet.states.words(), if trouble { theme.warn() } else { theme.good() })];
    if !fleet.coverage.complete && fleet.total.is_some() {
        let missing = fleet.coverage.known.saturating_sub(fleet.coverage.heard);
        list.push(("not in the total", hivewall_view::fleet::hosts(missing), theme.warn()));
    }
    if let Some(total) = &fleet.total {
        list.extend([
            ("rate", units::rate(total.bits_per_second()), theme.strong()),
            ("packets", units::count(total.packets), theme.plain()),
            ("flows", units::count(total.flows), theme.plain()),
            ("sources", total.distinct_sources.words(), theme.plain()),
            ("destinations", total.distinct_destinations.words(), theme.plain()),
            ("pairs", total.distinct_pairs.words(), theme.plain()),
        ]);
    }
    list.push(("bans", grouped(fleet.bans_total), theme.plain()));
    if fleet.doubt > 0 {
        list.push(("doubts itself", format!("{} of 8", fleet.doubt), theme.warn()));
    }
    let meter = fleet.meter.traffic.values();
    let (heard, sent) = meter.fold((0, 0), |(heard, sent), cell| (heard + cell.in_bytes, sent + cell.out_bytes));
    list.push(("heard", units::bytes(heard), theme.plain()));
    list.push(("sent", units::bytes(sent), theme.plain()));
    let lost: u64 = fleet.losses.core.values().chain(fleet.losses.links.values()).sum();
    list.push(("lost", grouped(lost), theme.trouble(lost)));
    let mut lines = parts::pairs(app, &list, columns);
    lines.extend(rollout(app, fleet, columns));
    for alarm in fleet.alarms.iter().take(TOLD_MAX) {
        let host = if alarm.host.is_empty() { String::new() } else { format!("{}: ", alarm.host) };
        let text = format!("! {} {host}{}", time_of_day(&alarm.time), alarm.detail);
        lines.push(Line::styled(text, theme.bad()));
    }
    lines
}

/// How the policy spreads, and who refused it.
fn rollout(app: &App, fleet: &FleetView, columns: u16) -> Vec<Line<'static>> {
    let theme = app.theme;
    let wrapped = |text: String, style: Style| {
        let lines = wrap(&text, usize::from(columns), LINES_MAX);
        lines.into_iter().map(move |line| Line::styled(line, style))
    };
    let Some(rollout) = &fleet.rollout else {
        return vec![Line::styled("policy none; `hivewall policy apply` spreads one", theme.dim())];
    };
    let mut lines: Vec<Line<'static>> =
        wrapped(format!("policy {}", rollout.words()), rollout_style(rollout, theme)).collect();
    if rollout.frozen {
        let text = "! two documents of this version are about: publish a newer one, which replaces both";
        lines.push(Line::styled(text, theme.bad()));
    }
    if let Some(until) = &rollout.confirm_until {
        let text = format!("! not confirmed: taken back at {} UTC · `hivewall policy confirm`", time_of_day(until));
        lines.push(Line::styled(text, theme.bad()));
    }
    for host in rollout.refusals.iter().take(TOLD_MAX) {
        let text = format!("! {} refused it: {}", named(&host.name, &host.id), host.reason);
        lines.extend(wrapped(text, theme.warn()));
    }
    lines
}

fn rollout_style(rollout: &RolloutView, theme: Theme) -> Style {
    if rollout.enforced >= rollout.hosts { theme.good() } else { theme.warn() }
}

fn members(app: &App, fleet: &FleetView, paper: &mut Paper<'_, '_>, area: Rect) {
    let more = fleet.states.all().saturating_sub(app.rows.fleet.members.len() as u64);
    let note = if more == 0 { grouped(fleet.states.all()) } else { format!("and {} more", grouped(more)) };
    Pane {
        list: List::Members,
        columns: MEMBERS,
        rows: &app.rows.fleet.members,
        note: &note,
        empty: "nobody is known yet",
        style: |row, theme| if row.is_self { theme.strong() } else { theme.plain() },
    }
    .draw(app, paper, area);
}

fn top(
    app: &App,
    fleet: &FleetView,
    list: List,
    rows: &[FleetTopRow],
    columns: &[Column<FleetTopRow>],
    paper: &mut Paper<'_, '_>,
    area: Rect,
) {
    let hidden = fleet.total.as_ref().map_or(0, |total| match list {
        List::FleetSources => total.sources.hidden_bytes_max,
        List::FleetDestinations => total.destinations.hidden_bytes_max,
        _ => total.services.hidden_bytes_max,
    });
    let note = if hidden == 0 { String::new() } else { format!("each up to +{}", units::bytes(hidden)) };
    Pane { list, columns, rows, note: &note, empty: "no total yet", style: |_, theme| theme.plain() }
        .draw(app, paper, area);
}

fn links(app: &App, fleet: &FleetView, paper: &mut Paper<'_, '_>, area: Rect) {
    let more = fleet.links_total.saturating_sub(app.rows.fleet.links.len() as u64);
    let note = if more == 0 { String::new() } else { format!("and {} more", grouped(more)) };
    Pane {
        list: List::Links,
        columns: LINKS,
        rows: &app.rows.fleet.links,
        note: &note,
        empty: "no link was timed yet",
        style: |row, theme| if row.loss > 0.0 { theme.warn() } else { theme.plain() },
    }
    .draw(app, paper, area);
}

fn member_state(row: &MemberView, theme: Theme, _: u16) -> (String, Style) {
    let (mark, style) = match row.state {
        MemberState::Alive => ("✓", theme.good()),
        MemberState::Suspect => ("?", theme.warn()),
        MemberState::Down | MemberState::Revoked => ("✗", theme.bad()),
        MemberState::Left => ("·", theme.dim()),
    };
    (format!("{mark} {}", row.state.name()), style)
}

fn stand(row: &MemberView, theme: Theme, _: u16) -> (String, Style) {
    let style = match row.policy.stand {
        StandKind::Enforced => theme.good(),
        StandKind::Refused => theme.bad(),
        StandKind::Have => theme.warn(),
        StandKind::Unknown => return ("·".to_owned(), theme.dim()),
    };
    (format!("{} {}", row.policy.stand.name(), row.policy.version), style)
}

fn labels(row: &MemberView, theme: Theme, _: u16) -> (String, Style) {
    let labels: Vec<String> = row.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    (labels.join(" "), theme.plain())
}

const MEMBERS: &[Column<MemberView>] = &[
    Column::text("state", 98, 9, 9, member_state),
    Column::text("host", 99, 12, 40, |row, theme, _| {
        let own = if row.is_self { " (this one)" } else { "" };
        (format!("{}{own}", named(&row.name, &row.id)), theme.plain())
    }),
    Column::text("since", 60, 8, 8, |row, theme, _| {
        (row.since.as_deref().map_or("·", time_of_day).to_owned(), theme.plain())
    }),
    Column::text("policy", 90, 11, 16, stand),
    Column::address("address", 80, 16, 44, |row, theme, _| {
        (row.addresses.first().cloned().unwrap_or_default(), theme.plain())
    }),
    Column::text("labels", 55, 8, 40, labels),
    Column::text("agent", 50, 5, 12, |row, theme, _| (row.agent.clone(), theme.plain())),
    Column::number("protocol", 20, 8, |row, theme, _| (row.protocol.to_string(), theme.plain())),
    Column::text("flags", 30, 5, 20, |row, theme, _| (row.flags.join(" "), theme.plain())),
    Column::text("why refused", 45, 11, 60, |row, theme, _| (row.policy.reason.clone(), theme.warn())),
];

const ADDRESSES: &[Column<FleetTopRow>] = &[
    Column::address("address", 99, 15, 39, |row, theme, _| (row.key.clone(), theme.strong())),
    Column::text("host", 60, 6, 24, |row, theme, _| (row.host.clone(), theme.plain())),
    Column::number("bytes", 98, 8, |row, theme, _| (parts::bytes(row.bytes), theme.plain())),
    Column::number("bound", 90, 7, |row, theme, _| (row.bound_words(), theme.dim())),
];

const SERVICES: &[Column<FleetTopRow>] = &[
    Column::text("service", 99, 8, 24, |row, theme, _| (row.key.clone(), theme.strong())),
    Column::number("bytes", 98, 8, |row, theme, _| (parts::bytes(row.bytes), theme.plain())),
    Column::number("bound", 90, 7, |row, theme, _| (row.bound_words(), theme.dim())),
];

const LINKS: &[Column<LinkView>] = &[
    Column::text("from", 70, 6, 24, |row, theme, _| (named(&row.from, &row.from_id), theme.plain())),
    Column::text("to", 99, 6, 24, |row, theme, _| (named(&row.to, &row.to_id), theme.strong())),
    Column::number("rtt", 98, 7, |row, theme, _| (latency(row.rtt_seconds), theme.plain())),
    Column::number("jitter", 90, 7, |row, theme, _| (latency(row.jitter_seconds), theme.plain())),
    Column::number("loss", 80, 5, |row, theme, _| {
        if row.loss > 0.0 { (units::percent(row.loss), theme.bad()) } else { ("·".to_owned(), theme.dim()) }
    }),
    Column::text("how", 40, 5, 5, |row, theme, _| (row.how.clone(), theme.plain())),
];
