//! Draws the state of the view: title, tabs, banner, one screen, footer, overlay. Not here: any change of state; a
//! screen is a pure function of [`App`] and its area.
//!
//! Invariant: every function draws inside the area it is given and accepts any area, an empty one too.

mod alerts;
mod detail;
mod drops;
mod explained;
mod fleet;
mod flows;
mod footer;
mod groups;
mod help;
mod host;
mod interfaces;
mod latency;
mod names;
mod overview;
mod own;
mod panes;
mod parts;
mod policy;
mod processes;
mod protocols;
mod sockets;
mod talkers;
mod title;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

use crate::app::{App, Overlay};
use crate::paper::{Paper, Spots};
use crate::tab::Tab;

pub(crate) use flows::{head as flow_head, sort as flow_sort};

/// More lines than any overlay has: a bound for scrolling, which drawing narrows to the lines there are.
pub(crate) const OVERLAY_LINES_MAX: usize = 400;

/// Draws everything, and says what lies where.
pub(crate) fn draw(app: &App, frame: &mut Frame<'_>) -> Spots {
    let whole = frame.area();
    let mut paper = Paper::new(frame);
    let banner = title::banner(app, whole.width);
    let [title, tabs, alarm, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(u16::try_from(banner.len()).unwrap_or(0)),
        Constraint::Fill(1),
        Constraint::Length(footer::lines(app, whole.width)),
    ])
    .areas(whole);
    title::draw(app, &mut paper, title);
    title::tabs(app, &mut paper, tabs);
    title::draw_banner(app, &banner, &mut paper, alarm);
    match &app.overlay {
        Overlay::Help { scroll } => help::draw(app, *scroll, &mut paper, body),
        Overlay::Details { row, scroll, listed } => detail::draw(app, row, *scroll, *listed, &mut paper, body),
        Overlay::Explained { explanation, scroll } => explained::draw(app, explanation, *scroll, &mut paper, body),
        Overlay::None => screen(app, &mut paper, body),
    }
    footer::draw(app, &mut paper, foot);
    paper.into_spots()
}

fn screen(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    if app.moment.is_some() {
        return match app.tab {
            Tab::Flows => flows::draw(app, paper, area),
            tab => {
                let title = tab.title().to_lowercase();
                parts::hint(app, &format!("history keeps flows, not {title}: 2 shows them, g by process"), paper, area);
            }
        };
    }
    if app.snapshot.is_none() {
        return parts::hint(app, "waiting for the first answer …", paper, area);
    }
    match app.tab {
        Tab::Overview => overview::draw(app, paper, area),
        Tab::Flows => flows::draw(app, paper, area),
        Tab::Processes => processes::draw(app, paper, area),
        Tab::Talkers => talkers::draw(app, paper, area),
        Tab::Names => names::draw(app, paper, area),
        Tab::Protocols => protocols::draw(app, paper, area),
        Tab::Interfaces => interfaces::draw(app, paper, area),
        Tab::Latency => latency::draw(app, paper, area),
        Tab::Sockets => sockets::draw(app, paper, area),
        Tab::Drops => drops::draw(app, paper, area),
        Tab::Alerts => alerts::draw(app, paper, area),
        Tab::Policy => policy::draw(app, paper, area),
        Tab::Fleet => fleet::draw(app, paper, area),
        Tab::Own => own::draw(app, paper, area),
    }
}

#[cfg(test)]
mod tests;
