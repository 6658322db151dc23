//! The first lines: who is watched, how fresh it is, the tabs, and the banner when the agent does not answer.

use std::time::Duration;

use hivewall_view::units;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::parts;
use crate::app::App;
use crate::format::whole_seconds;
use crate::rows::LossRow;
use crate::tab::Tab;
use crate::width::{width, wrap};

/// Lines that the banner may take: what failed and what to do should both be read.
const BANNER_LINES_MAX: usize = 2;
/// Width of the line of tabs with full titles.
const TABS_WIDE: u16 = 66;

/// Draws the title line.
pub(super) fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let (state, style) = state(app);
    let wide = u16::try_from(width(&state)).unwrap_or(u16::MAX).min(area.width);
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(wide)]).areas(area);
    let mut spans =
        vec![Span::styled("hivewall ", app.theme.title()), Span::styled(app.agent.clone(), app.theme.strong())];
    if let Some(snapshot) = app.snapshot.as_deref() {
        let host = &snapshot.host;
        let capture = &snapshot.capture;
        let facts = [
            named(&host.name, &app.agent),
            host.kernel.clone(),
            capture.source.clone(),
            format!("up {}", units::seconds(host.uptime_seconds)),
            units::memory(host.agent_memory_bytes),
            app.agent_cpu.map(|share| format!("{} cpu", units::percent(share))).unwrap_or_default(),
        ];
        let mut room = usize::from(left.width).saturating_sub(10 + width(&app.agent));
        for fact in facts.into_iter().filter(|fact| !fact.is_empty()) {
            // A fact is shown whole or not at all.
            let Some(rest) = room.checked_sub(width(&fact) + 3) else { break };
            spans.push(Span::styled(format!(" · {fact}"), app.theme.dim()));
            room = rest;
        }
    }
    frame.render_widget(Line::from(spans), left);
    frame.render_widget(Line::styled(state, style), right);
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
        ("‖ paused".to_owned(), app.theme.warn())
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
pub(super) fn draw_banner(app: &App, texts: &[String], frame: &mut Frame<'_>, area: Rect) {
    frame.buffer_mut().set_style(area, app.theme.banner());
    parts::lines(texts.iter().map(|text| Line::raw(format!(" {text}"))), frame, area);
}

/// Draws the line of tabs; where it is narrow, only the open one has its name.
pub(super) fn tabs(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let lost = app.rows.losses.iter().any(LossRow::happened);
    let mut spans = Vec::new();
    for (place, tab) in Tab::ALL.into_iter().enumerate() {
        let open = tab == app.tab;
        let alarm = if tab == Tab::Losses && lost { "!" } else { "" };
        let text = if open || area.width >= TABS_WIDE {
            format!(" {} {}{alarm} ", place + 1, tab.title())
        } else {
            format!(" {}{alarm} ", place + 1)
        };
        let style = match (open, alarm) {
            (true, _) => app.theme.selected(),
            (false, "") => app.theme.dim(),
            (false, _) => app.theme.warn(),
        };
        spans.push(Span::styled(text, style));
    }
    frame.render_widget(Line::from(spans), area);
}
