//! Draws the state of the view: title, tabs, banner, one screen, footer, overlay. Not here: any change of state; a
//! screen is a pure function of [`App`] and its area.
//!
//! Invariant: every function draws inside the area it is given and accepts any area, an empty one too.

mod detail;
mod flows;
mod footer;
mod help;
mod interfaces;
mod losses;
mod overview;
mod parts;
mod protocols;
mod talkers;
mod title;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

use crate::app::{App, Overlay};
use crate::tab::Tab;

/// More lines than any overlay has: a bound for scrolling, which drawing narrows to the lines there are.
pub(crate) const OVERLAY_LINES_MAX: usize = 400;

/// Draws everything.
pub(crate) fn draw(app: &App, frame: &mut Frame<'_>) {
    let banner = title::banner(app, frame.area().width);
    let [title, tabs, alarm, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(u16::try_from(banner.len()).unwrap_or(0)),
        Constraint::Fill(1),
        Constraint::Length(footer::lines(app, frame.area().width)),
    ])
    .areas(frame.area());
    title::draw(app, frame, title);
    title::tabs(app, frame, tabs);
    title::draw_banner(app, &banner, frame, alarm);
    match &app.overlay {
        Overlay::Help { scroll } => help::draw(app, *scroll, frame, body),
        Overlay::Details { row, scroll, listed } => detail::draw(app, row, *scroll, *listed, frame, body),
        Overlay::None => screen(app, frame, body),
    }
    footer::draw(app, frame, foot);
}

fn screen(app: &App, frame: &mut Frame<'_>, area: Rect) {
    if app.snapshot.is_none() {
        return parts::hint(app, "waiting for the first answer …", frame, area);
    }
    match app.tab {
        Tab::Overview => overview::draw(app, frame, area),
        Tab::Flows => flows::draw(app, frame, area),
        Tab::Talkers => talkers::draw(app, frame, area),
        Tab::Protocols => protocols::draw(app, frame, area),
        Tab::Interfaces => interfaces::draw(app, frame, area),
        Tab::Losses => losses::draw(app, frame, area),
    }
}

#[cfg(test)]
mod tests;
