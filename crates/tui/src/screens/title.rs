//! The first lines: who is watched, how fresh it is, the tabs, and the banner when the agent does not answer.

use std::time::Duration;

use hivewall_view::units;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::parts;
use crate::app::App;
use crate::format::whole_seconds;
use crate::paper::{Paper, Target};
use crate::tab::Tab;
use crate::width::{width, wrap};

/// Lines that the banner may take: what failed and what to do should both be read.
const BANNER_LINES_MAX: usize = 2;

/// Draws the title line.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let (state, style) = state(app);
    let wide = u16::try_from(width(&state)).unwrap_or(u16::MAX).min(area.width);
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(wide)]).areas(area);
    let mut spans =
        vec![Span::styled("hivewall ", app.theme.title()), Span::styled(app.agent.clone(), app.theme.strong())];
    let mut room = usize::from(left.width).saturating_sub(10 + width(&app.agent));
    if let Some(moment) = app.moment {
        let text = format!(" at {} UTC, the minute before", moment.shown());
        room = room.saturating_sub(width(&text));
        spans.push(Span::styled(text, app.theme.warn()));
    }
    if let Some(snapshot) = app.snapshot.as_deref() {
        let host = &snapshot.host;
        let capture = &snapshot.capture;
        let facts = [
            named(&host.name, &app.agent),
            host.kernel.clone(),
            capture.source.clone(),
            format!("up {}", units::seconds(host.uptime_seconds)),
            units::memory(host.agent_memory_bytes),
            app.agent_share().map(|share| format!("{} cpu", units::percent(share))).unwrap_or_default(),
        ];
        for fact in facts.into_iter().filter(|fact| !fact.is_empty()) {
            // A fact is shown whole or not at all.
            let Some(rest) = room.checked_sub(width(&fact) + 3) else { break };
            spans.push(Span::styled(format!(" · {fact}"), app.theme.dim()));
            room = rest;
        }
    }
    paper.put(Line::from(spans), left);
    paper.put(Line::styled(state, style), right);
}

/// The host's name where the agent is called otherwise.
fn named(host: &str, agent: &str) -> String {
    if host == agent { String::new() } else { host.to_owned() }
}

fn state(app: &App) -> (String, Style) {
    let interval = whole_seconds(app.interval);
    if app.link.error.is_some() || app.waiting().is_some() {
        ("✗ no answer".to_owned(), app.theme.bad())
    } else if app.paused {
        // What stands still grows old; a glance must tell.
        let age = app.age().filter(|age| age.as_secs() > 0).map(|age| format!(", {} old", seconds(age)));
        (format!("‖ paused{}", age.unwrap_or_default()), app.theme.warn())
    } else if app.moment.is_some() {
        ("◷ history".to_owned(), app.theme.warn())
    } else {
        (format!("● every {interval}"), app.theme.good())
    }
}

/// Lines of the banner on a terminal that is `columns` wide; none while all is well.
pub(super) fn banner(app: &App, columns: u16) -> Vec<String> {
    let problem = match (&app.link.error, app.waiting()) {
        (_, Some(waited)) => format!("{} has not answered for {}", app.agent, seconds(waited)),
        (Some(error), None) => format!("{} does not answer: {error}", app.agent),
        (None, None) => return Vec::new(),
    };
    let data = app.age().map_or("no data yet".to_owned(), |age| format!("data is {} old", seconds(age)));
    let next = if app.paused { "paused" } else { "retrying" };
    wrap(&format!("{data}, {next} · {problem}"), usize::from(columns).saturating_sub(2), BANNER_LINES_MAX)
}

/// Whole seconds: the banner is read, not measured with.
fn seconds(time: Duration) -> String {
    if time < Duration::from_mins(1) { format!("{} s", time.as_secs()) } else { units::duration(time) }
}

/// Draws the banner over the whole width.
pub(super) fn draw_banner(app: &App, texts: &[String], paper: &mut Paper<'_, '_>, area: Rect) {
    paper.frame().buffer_mut().set_style(area, app.theme.banner());
    parts::lines(texts.iter().map(|text| Line::raw(format!(" {text}"))), paper, area);
}

/// How the titles of tabs are written, from the widest way to the narrowest.
#[derive(Clone, Copy, Debug)]
enum Titles {
    /// ` 1 Overview `.
    Airy,
    /// `1 Overview `.
    Full,
    /// `1Over `.
    Short,
    /// `1 `, and the open one in full.
    Keys,
}

/// Draws the line of tabs in the widest way that fits.
pub(super) fn tabs(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let wide =
        |titles: Titles| Tab::ALL.into_iter().map(|tab| width(&tab_text(app, tab, titles).concat())).sum::<usize>();
    let ways = [Titles::Airy, Titles::Full, Titles::Short, Titles::Keys];
    // The blank behind the last one need not be seen.
    let fits = |titles: &Titles| wide(*titles) <= usize::from(area.width) + 1;
    let titles = ways.into_iter().find(fits).unwrap_or(Titles::Keys);
    let mut spans = Vec::new();
    let mut x = area.x;
    for tab in Tab::ALL {
        let texts = tab_text(app, tab, titles);
        let style = match (tab == app.tab, alarm(app, tab)) {
            (true, _) => app.theme.selected(),
            (false, "") => app.theme.dim(),
            (false, _) => app.theme.warn(),
        };
        let place = Rect { x, width: width(&texts.concat()) as u16, ..area };
        paper.note(place.intersection(area), Target::Tab(tab));
        x = x.saturating_add(place.width);
        let [before, key, title, behind] = texts;
        let key_style = if tab == app.tab { style } else { app.theme.strong() };
        // Without a blank of its own, the mark of the open tab ends with its title.
        let behind_style = if matches!(titles, Titles::Airy) { style } else { Style::new() };
        let parts = [(before, style), (key, key_style), (title, style), (behind, behind_style)];
        spans.extend(parts.map(|(text, style)| Span::styled(text, style)));
    }
    paper.put(Line::from(spans), area);
}

/// A tab: what stands before its key, the key, the title, what stands behind.
fn tab_text(app: &App, tab: Tab, titles: Titles) -> [String; 4] {
    let alarm = alarm(app, tab);
    let (before, title) = match titles {
        Titles::Airy => (" ", format!(" {}{alarm}", tab.title())),
        Titles::Full => ("", format!(" {}{alarm}", tab.title())),
        Titles::Short => ("", format!("{}{alarm}", tab.short_title())),
        Titles::Keys if tab == app.tab => ("", format!(" {}{alarm}", tab.title())),
        Titles::Keys => ("", alarm.to_owned()),
    };
    [before.to_owned(), tab.key().to_string(), title, " ".to_owned()]
}

/// A mark at the screens where something should be looked at.
fn alarm(app: &App, tab: Tab) -> &'static str {
    let marked = match tab {
        Tab::Drops => app.rows.happened() > 0,
        Tab::Fleet => app.fleet.as_ref().is_some_and(|fleet| fleet.states.down > 0 || fleet.alarms_total > 0),
        Tab::Alerts => !app.rows.alerts.is_empty(),
        _ => false,
    };
    if marked { "!" } else { "" }
}
