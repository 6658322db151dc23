//! The policy: what holds and what waits to be confirmed, its rules with live counters, what was refused, and bans.

use hivewall_view::policy::{BanView, PolicyView, RefusedByRule};
use hivewall_view::time::time_of_day;
use hivewall_view::units;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;

use super::panes::{Pane, chooser};
use super::parts;
use crate::app::App;
use crate::format::grouped;
use crate::list::List;
use crate::paper::Paper;
use crate::rows::RuleRow;
use crate::table::Column;
use crate::theme::Theme;
use crate::width::wrap;

/// From this height on, all lists are shown at once.
const ALL_AT_ONCE: u16 = 28;
/// Lines that what the selected rule matches may take.
const CONDITION_LINES_MAX: usize = 2;
/// Problems shown.
const PROBLEMS_MAX: usize = 3;

/// Draws what holds, then the lists.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let Some(snapshot) = app.snapshot.as_deref() else { return };
    let state = state(app, &snapshot.firewall_rules, area.width);
    let lines = u16::try_from(state.len()).unwrap_or(0);
    let [top, rest] = Layout::vertical([Constraint::Length(lines + 2), Constraint::Fill(1)]).areas(area);
    let inner = parts::section(app, &snapshot.firewall_rules.title(), mode(&snapshot.firewall_rules), paper, top);
    parts::lines(state, paper, inner);
    if area.height >= ALL_AT_ONCE {
        let [upper, lower] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(rest);
        rules(app, paper, upper);
        let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2).areas(lower);
        refused(app, paper, left);
        return bans(app, &snapshot.firewall_rules, paper, right);
    }
    let counts = [
        (List::Rules, app.rows.rules.len()),
        (List::Refused, app.rows.refused.len()),
        (List::Bans, app.rows.bans.len()),
    ];
    let rest = chooser(app, &counts, paper, rest);
    match app.list() {
        List::Bans => bans(app, &snapshot.firewall_rules, paper, rest),
        List::Refused => refused(app, paper, rest),
        _ => rules(app, paper, rest),
    }
}

fn mode(policy: &PolicyView) -> &'static str {
    match (policy.is_in_force(), policy.mode.as_str()) {
        (false, _) => "everything passes",
        (true, "observe") => "observes: nothing is dropped",
        (true, _) => "enforced",
    }
}

fn state(app: &App, policy: &PolicyView, columns: u16) -> Vec<Line<'static>> {
    let theme = app.theme;
    let mut list: Vec<(&str, String, Style)> = vec![("state", policy.state.clone(), state_style(policy, theme))];
    let told = [("backend", policy.backend.clone()), ("signed by", policy.signed_by.join(", "))];
    list.extend(
        told.into_iter().filter(|(_, value)| !value.is_empty()).map(|(label, value)| (label, value, theme.plain())),
    );
    if let Some(since) = &policy.since {
        list.push(("since", time_of_day(since).to_owned(), theme.plain()));
    }
    if policy.is_in_force() {
        list.push(("change", policy.epoch.to_string(), theme.plain()));
    }
    if policy.reverted > 0 {
        list.push(("taken back", grouped(policy.reverted), theme.warn()));
    }
    if let Some(until) = &policy.not_after {
        list.push(("until", until.get(..10).unwrap_or(until).to_owned(), theme.plain()));
    }
    if !policy.drift.is_empty() {
        list.push(("changed by others", policy.drift.summary(), theme.warn()));
    }
    if policy.logs_suppressed > 0 {
        list.push(("not logged", grouped(policy.logs_suppressed), theme.warn()));
    }
    for (name, fill) in policy.tables.iter().filter(|(_, fill)| fill.limit > 0 && fill.entries >= fill.limit) {
        list.push(("full", format!("{name} {}", grouped(fill.entries)), theme.bad()));
    }
    let mut lines = parts::pairs(app, &list, columns);
    if let Some(change) = &policy.pending {
        let back = change.falls_back_to.as_ref();
        let back = back.map_or_else(
            || "nothing is enforced".to_owned(),
            |name| format!("{} {} comes back", name.name, name.version),
        );
        let left = units::seconds(change.seconds_left.max(0.0));
        lines.push(Line::styled(format!("! not confirmed: in {left} {back} · c confirms"), theme.bad()));
    }
    let failures = policy.failures.iter().filter(|failure| !policy.problems.contains(&failure.detail));
    lines.extend(failures.take(PROBLEMS_MAX).map(|failure| Line::styled(format!("! {}", failure.detail), theme.bad())));
    let problems = policy.problems.iter().take(PROBLEMS_MAX);
    lines.extend(problems.map(|problem| Line::styled(format!("! {problem}"), theme.warn())));
    if let Some(change) = policy.drift.last.first() {
        lines.push(Line::styled(format!("{} {}", time_of_day(&change.time), change.text()), theme.dim()));
    }
    lines
}

fn state_style(policy: &PolicyView, theme: Theme) -> Style {
    match policy.state.as_str() {
        "active" => theme.good(),
        "pending" => theme.bad(),
        _ => theme.dim(),
    }
}

fn rules(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let rows = &app.rows.rules;
    let conditions = if app.list() == List::Rules { conditions(app, area.width) } else { Vec::new() };
    let wanted = u16::try_from(conditions.len()).unwrap_or(0);
    let [area, below] = Layout::vertical([Constraint::Fill(1), Constraint::Length(wanted)]).areas(area);
    parts::lines(conditions, paper, below);
    Pane {
        list: List::Rules,
        columns: RULES,
        rows,
        note: "in order of judgement: #",
        empty: "no rules: everything passes",
        style: |row, theme| if row.rule.packets == 0 { theme.dim() } else { theme.plain() },
    }
    .draw(app, paper, area);
}

/// What the selected rule matches, whole.
fn conditions(app: &App, columns: u16) -> Vec<Line<'static>> {
    let Some(row) = app.rows.rules.get(app.cursor(List::Rules).selected) else { return Vec::new() };
    let rule = &row.rule;
    let what = if rule.conditions.is_empty() { "everything else" } else { &rule.conditions };
    let line = rule.line.map_or_else(String::new, |line| format!(" (line {line})"));
    let log = rule.log.as_ref().map_or_else(String::new, |rate| format!(", logged {rate}"));
    let text = format!("{}{line}: {} {} {what}{log}", rule.id, rule.action, rule.direction);
    let lines = wrap(&text, usize::from(columns), CONDITION_LINES_MAX);
    lines.into_iter().map(|line| Line::styled(line, app.theme.dim())).collect()
}

fn refused(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let packets: u64 = app.rows.refused.iter().map(|row| row.refused.packets()).sum();
    let note = if packets == 0 { String::new() } else { format!("{} packets dropped", grouped(packets)) };
    Pane {
        list: List::Refused,
        columns: REFUSED,
        rows: &app.rows.refused,
        note: &note,
        empty: "✓ nothing was refused since the start",
        style: |_, theme| theme.plain(),
    }
    .draw(app, paper, area);
}

fn bans(app: &App, policy: &PolicyView, paper: &mut Paper<'_, '_>, area: Rect) {
    let shown = app.rows.bans.len() as u64;
    let more = policy.bans_total.saturating_sub(shown);
    let note = if more == 0 { String::new() } else { format!("and {} more", grouped(more)) };
    Pane {
        list: List::Bans,
        columns: BANS,
        rows: &app.rows.bans,
        note: &note,
        empty: "nobody is banned; x bans",
        style: |_, theme| theme.plain(),
    }
    .draw(app, paper, area);
}

fn action(row: &RuleRow, theme: Theme, _: u16) -> (String, Style) {
    let style = if row.refuses() { theme.bad() } else { theme.good() };
    (row.rule.action.clone(), style)
}

fn rate(row: &RuleRow, theme: Theme, _: u16) -> (String, Style) {
    let rate = row.rule.packets_per_second;
    if rate < 0.05 { ("·".to_owned(), theme.dim()) } else { (units::per_second(rate), theme.strong()) }
}

const RULES: &[Column<RuleRow>] = &[
    Column::number("#", 90, 4, |row, theme, _| (row.place.to_string(), theme.dim())),
    Column::text("tier", 60, 6, 12, |row, theme, _| (row.rule.tier.clone(), theme.plain())),
    Column::text("rule", 99, 14, 40, |row, theme, _| (row.rule.id.clone(), theme.strong())),
    Column::text("way", 50, 4, 4, |row, theme, _| (row.rule.direction.clone(), theme.plain())),
    Column::text("action", 98, 6, 6, action),
    Column::number("packets", 95, 8, |row, theme, _| (parts::count(row.rule.packets), theme.plain())),
    Column::number("rate", 94, 9, rate),
    Column::number("bytes", 80, 8, |row, theme, _| (parts::bytes(row.rule.bytes), theme.plain())),
    Column::number("flows", 78, 7, |row, theme, _| (parts::count(row.rule.flows), theme.plain())),
    Column::text("last", 55, 8, 8, |row, theme, _| {
        (row.rule.last_hit.as_deref().map_or("·", time_of_day).to_owned(), theme.plain())
    }),
    Column::text("matches", 52, 16, 120, |row, theme, _| (row.rule.conditions.clone(), theme.plain())),
];

const REFUSED: &[Column<RefusedByRule>] = &[
    Column::text("rule", 99, 14, 40, |row, theme, _| (row.rule.clone(), theme.strong())),
    Column::number("packets", 98, 8, |row, theme, _| (parts::count(row.refused.packets()), theme.bad())),
    Column::number("bytes", 80, 8, |row, theme, _| (parts::bytes(row.refused.bytes()), theme.plain())),
    Column::number("in", 60, 8, |row, theme, _| (parts::count(row.refused.in_packets), theme.plain())),
    Column::number("out", 59, 8, |row, theme, _| (parts::count(row.refused.out_packets), theme.plain())),
    Column::number("observed", 90, 8, |row, theme, _| (parts::count(row.refused.observed_packets()), theme.warn())),
];

const BANS: &[Column<BanView>] = &[
    Column::text("prefix", 99, 15, 43, |row, theme, _| (row.prefix.clone(), theme.strong())),
    Column::number("left", 98, 8, |row, theme, _| {
        (row.seconds_left.map_or_else(|| "for good".to_owned(), units::seconds), theme.warn())
    }),
    Column::text("since", 60, 8, 8, |row, theme, _| {
        (row.since.as_deref().map_or("·", time_of_day).to_owned(), theme.plain())
    }),
    Column::text("origin", 70, 8, 16, |row, theme, _| (row.origin.clone(), theme.plain())),
    Column::text("reason", 80, 10, 60, |row, theme, _| (row.reason.clone(), theme.plain())),
];
