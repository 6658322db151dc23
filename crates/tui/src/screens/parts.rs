//! Pieces that several screens share: section heads, lines of label and value, hints. Not here: tables
//! ([`crate::table`]).

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::app::App;
use crate::width::{cut, width};

/// Draws `── Title ───────── note ──` on the first line of `area` and gives back the rest.
pub(super) fn section(app: &App, title: &str, note: &str, frame: &mut Frame<'_>, area: Rect) -> Rect {
    let [head, rest] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let room = usize::from(head.width);
    let title = cut(title, room.saturating_sub(2));
    let fixed = width(&title) + 2;
    let note = if room > fixed + 6 { cut(note, room - fixed - 6) } else { String::new() };
    let gap = if note.is_empty() { 0 } else { width(&note) + 4 };
    let theme = app.theme;
    let mut spans = vec![
        Span::styled(title, theme.title()),
        Span::raw(" "),
        Span::styled("─".repeat(room.saturating_sub(fixed - 1 + gap)), theme.rule()),
    ];
    if !note.is_empty() {
        spans.push(Span::styled(format!(" {note} "), theme.plain()));
        spans.push(Span::styled("──", theme.rule()));
    }
    frame.render_widget(Line::from(spans), head);
    rest
}

/// Draws one line of hint in the middle of an otherwise empty screen.
pub(super) fn hint(app: &App, text: &str, frame: &mut Frame<'_>, area: Rect) {
    let line = Rect { y: area.y + area.height / 3, height: area.height.min(1), ..area };
    frame.render_widget(Line::styled(cut(text, usize::from(line.width)), app.theme.dim()).centered(), line);
}

/// Draws `lines` from the top of `area`, each cut to its width.
pub(super) fn lines(lines: impl IntoIterator<Item = Line<'static>>, frame: &mut Frame<'_>, area: Rect) {
    for (line, y) in lines.into_iter().zip(area.y..area.bottom()) {
        frame.render_widget(line, Rect { y, height: 1, ..area });
    }
}

/// Draws `lines` from the one numbered `scroll`, or from where the last one is on the last line of `area`.
pub(super) fn scrolled(all: Vec<Line<'static>>, scroll: usize, frame: &mut Frame<'_>, area: Rect) {
    let last = all.len().saturating_sub(usize::from(area.height));
    lines(all.into_iter().skip(scroll.min(last)), frame, area);
}

/// `label value   label value …` in as many lines as the width needs; a pair is never broken.
pub(super) fn pairs(app: &App, pairs: &[(&str, String, Style)], columns: u16) -> Vec<Line<'static>> {
    let mut all = Vec::new();
    let mut line: Vec<Span<'static>> = Vec::new();
    let mut used = 0;
    for (label, value, style) in pairs {
        let wide = width(label) + 1 + width(value);
        if used > 0 && used + 3 + wide > usize::from(columns) {
            all.push(Line::from(std::mem::take(&mut line)));
            used = 0;
        }
        if used > 0 {
            line.push(Span::raw("   "));
            used += 3;
        }
        line.push(Span::styled((*label).to_owned(), app.theme.dim()));
        line.push(Span::raw(" "));
        line.push(Span::styled(value.clone(), *style));
        used += wide;
    }
    if !line.is_empty() {
        all.push(Line::from(line));
    }
    all
}
