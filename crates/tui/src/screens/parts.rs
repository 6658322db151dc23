//! Pieces that several screens share: section heads, lines of label and value, hints. Not here: tables
//! ([`crate::table`]).

use hivewall_view::units;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::app::App;
use crate::format::{latency, or_dot};
use crate::paper::Paper;
use crate::theme::Theme;
use crate::width::{bar, cut, width};

/// Draws `Title ───────── note ──` on the first line of `area` and gives back the rest.
pub(super) fn section(app: &App, title: &str, note: &str, paper: &mut Paper<'_, '_>, area: Rect) -> Rect {
    marked_section(app, title, note, false, paper, area)
}

/// The same, with a mark where the cursor is in this one of several parts.
pub(super) fn marked_section(
    app: &App,
    title: &str,
    note: &str,
    marked: bool,
    paper: &mut Paper<'_, '_>,
    area: Rect,
) -> Rect {
    let title = if marked { format!("▸ {title}") } else { title.to_owned() };
    let [head, rest] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let room = usize::from(head.width);
    let title = cut(&title, room.saturating_sub(2));
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
    paper.put(Line::from(spans), head);
    rest
}

/// Draws one line of hint in the middle of an otherwise empty screen.
pub(super) fn hint(app: &App, text: &str, paper: &mut Paper<'_, '_>, area: Rect) {
    let line = Rect { y: area.y + area.height / 3, height: area.height.min(1), ..area };
    paper.put(Line::styled(cut(text, usize::from(line.width)), app.theme.dim()).centered(), line);
}

/// Draws `lines` from the top of `area`, each cut to its width.
pub(super) fn lines(lines: impl IntoIterator<Item = Line<'static>>, paper: &mut Paper<'_, '_>, area: Rect) {
    for (line, y) in lines.into_iter().zip(area.y..area.bottom()) {
        paper.put(line, Rect { y, height: 1, ..area });
    }
}

/// Draws `lines` from the one numbered `scroll`, or from where the last one is on the last line of `area`.
pub(super) fn scrolled(all: Vec<Line<'static>>, scroll: usize, paper: &mut Paper<'_, '_>, area: Rect) {
    let last = all.len().saturating_sub(usize::from(area.height));
    paper.note_last_line(last);
    lines(all.into_iter().skip(scroll.min(last)), paper, area);
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

/// The bar of a share, for a cell.
pub(super) fn share_bar(share: f64, theme: Theme, wide: u16) -> (String, Style) {
    (bar(share, usize::from(wide)), theme.traffic())
}

/// A rate, or a dot for less than one bit a second.
pub(super) fn rate(bits_per_second: f64) -> String {
    if bits_per_second < 1.0 { "·".to_owned() } else { units::rate(bits_per_second) }
}

/// Bytes, or a dot for none.
pub(super) fn bytes(bytes: u64) -> String {
    or_dot(bytes, units::bytes(bytes))
}

/// A count, or a dot for zero.
pub(super) fn count(count: u64) -> String {
    or_dot(count, units::count(count))
}

/// A time span, or a dot where it is not known.
pub(super) fn time(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "·".to_owned(), latency)
}

/// A count that should be zero.
pub(super) fn trouble(number: u64, theme: Theme) -> (String, Style) {
    (count(number), theme.trouble(number))
}
