//! The help: every key and what it does, from the table in [`crate::keys`], and what the marks mean.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::parts;
use crate::app::App;
use crate::keys::HELP;

/// Marks and colours that are not self-evident.
const MARKS: &[(&str, &str)] = &[
    ("~", "client and server are guessed"),
    ("·", "nothing, or not known"),
    ("grey", "quiet for 5 s; darker: for 30 s, or ended"),
];

/// Draws the help over the screen.
pub(super) fn draw(app: &App, scroll: usize, frame: &mut Frame<'_>, area: Rect) {
    let area = parts::section(app, "Keys", "Esc closes", frame, area);
    let groups = HELP.iter().copied().chain([("Marks", MARKS)]);
    // Groups are set apart by a blank line where there is room for that.
    let all: usize = groups.clone().map(|(_, keys)| keys.len() + 1).sum();
    let airy = all <= usize::from(area.height);
    let mut lines = Vec::new();
    for (group, keys) in groups {
        for (place, (key, what)) in keys.iter().enumerate() {
            let group = if place == 0 { group } else { "" };
            lines.push(Line::from(vec![
                Span::styled(format!("{group:<9}"), app.theme.title()),
                Span::styled(format!("{key:<14}"), app.theme.strong()),
                Span::raw((*what).to_owned()),
            ]));
        }
        if airy {
            lines.push(Line::default());
        }
    }
    parts::scrolled(lines, scroll, frame, area);
}
