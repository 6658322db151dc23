//! The help: the keys of the screen it was asked on, every other key, what the marks mean, and the fields of a filter.

use hivewall_view::filter;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::parts;
use crate::app::App;
use crate::keys::{HELP, here};
use crate::paper::Paper;
use crate::tab::Tab;

/// Marks and colours that are not self-evident.
const MARKS: &[(&str, &str)] = &[
    ("~", "guessed: roles, application; a name from DNS"),
    ("·", "nothing, or not known"),
    ("grey", "quiet for 5 s; darker: for 30 s, or ended"),
    ("▾ ▴", "ordered by this column, or the other way"),
    ("▸ !", "the cursor is here; look here"),
];
/// Width of the columns of groups and of keys.
const WIDE: (usize, usize) = (10, 15);
/// From this width on, the fields of a filter stand beside the keys.
const SIDE_BY_SIDE: u16 = 150;

/// Draws the help over the screen.
pub(super) fn draw(app: &App, scroll: usize, paper: &mut Paper<'_, '_>, area: Rect) {
    let title = format!("Keys on {}", app.tab.title());
    let keys = keys(app);
    let fields = fields(app);
    if area.width >= SIDE_BY_SIDE {
        let [left, right] = ratatui::layout::Layout::horizontal([
            ratatui::layout::Constraint::Length(66),
            ratatui::layout::Constraint::Fill(1),
        ])
        .spacing(2)
        .areas(area);
        let inner = parts::section(app, &title, "", paper, left);
        parts::scrolled(keys, scroll, paper, inner);
        let inner = parts::section(app, "Filter: `key:value …`, ! negates", "Esc closes", paper, right);
        return parts::scrolled(fields, scroll, paper, inner);
    }
    let inner = parts::section(app, &title, "↓ for the filter · Esc closes", paper, area);
    let heading = [Line::default(), Line::styled("Filter: `key:value …`, ! negates", app.theme.title())];
    parts::scrolled(keys.into_iter().chain(heading).chain(fields).collect(), scroll, paper, inner);
}

fn keys(app: &App) -> Vec<Line<'static>> {
    let first = ("Here", here(app.tab, app.list(), app.moment.is_some()));
    // Flows have orders of their own, which the general table does not tell.
    let flows: (&str, &[(&str, &str)]) =
        if app.tab == Tab::Flows { ("Order", &[("s l d", "start, last packet, duration")]) } else { ("", &[]) };
    let groups = [first, flows].into_iter().chain(HELP.iter().copied()).chain([("Marks", MARKS)]);
    let mut lines = Vec::new();
    for (group, keys) in groups {
        for (place, (key, what)) in keys.iter().enumerate() {
            let group = if place == 0 { group } else { "" };
            lines.push(Line::from(vec![
                Span::styled(format!("{group:<width$}", width = WIDE.0), app.theme.title()),
                Span::styled(format!("{key:<width$}", width = WIDE.1), app.theme.strong()),
                Span::raw((*what).to_owned()),
            ]));
        }
    }
    lines
}

/// Every field of the filter language, from its own catalogue.
fn fields(app: &App) -> Vec<Line<'static>> {
    let line = |key: &filter::Key| {
        Line::from(vec![
            Span::styled(format!("{:<14}", key.name), app.theme.strong()),
            Span::raw(key.doc),
            Span::styled(format!("  {}", key.example), app.theme.dim()),
        ])
    };
    filter::keys().map(line).collect()
}
