//! What becomes of a packet and why, over the screen.

use hivewall_view::policy::{ExplainStep, Explanation};
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::parts;
use crate::app::App;
use crate::paper::Paper;
use crate::width::wrap;

/// Lines that one reason may take.
const WHY_LINES_MAX: usize = 3;
/// Width of the column of rules.
const RULE: usize = 24;

/// Draws the verdict, then every step on the way.
pub(super) fn draw(app: &App, explanation: &Explanation, scroll: usize, paper: &mut Paper<'_, '_>, area: Rect) {
    let inner = parts::section(app, &explanation.packet, "Esc closes", paper, area);
    parts::scrolled(lines(app, explanation, usize::from(inner.width)), scroll, paper, inner);
}

fn lines(app: &App, explanation: &Explanation, columns: usize) -> Vec<Line<'static>> {
    let theme = app.theme;
    let style = if explanation.verdict == "accept" { theme.good() } else { theme.bad() };
    let rule = explanation.rule.as_ref().map_or_else(String::new, |rule| format!(" by {rule}"));
    let mut all = vec![
        Line::from(vec![Span::styled(explanation.verdict.clone(), style), Span::styled(rule, theme.strong())]),
        Line::default(),
    ];
    let because = wrap(&explanation.because, columns, WHY_LINES_MAX);
    all.splice(1..1, because.into_iter().map(Line::raw));
    all.extend(explanation.steps.iter().flat_map(|step| step_lines(app, step, columns)));
    if !explanation.notes.is_empty() {
        all.push(Line::default());
    }
    let notes = explanation.notes.iter().flat_map(|note| wrap(&format!("! {note}"), columns, WHY_LINES_MAX));
    all.extend(notes.map(|note| Line::styled(note, theme.warn())));
    all
}

fn step_lines(app: &App, step: &ExplainStep, columns: usize) -> Vec<Line<'static>> {
    let theme = app.theme;
    let (mark, style) = match step.outcome.as_str() {
        "decides" => ("✓", theme.good()),
        "unknown" => ("?", theme.warn()),
        "sent_on" => ("→", theme.plain()),
        _ => ("·", theme.dim()),
    };
    let room = columns.saturating_sub(RULE + 3).max(16);
    let why = wrap(&step.why, room, WHY_LINES_MAX);
    let first = format!("{:<RULE$} ", step.rule);
    let rest =
        why.iter().skip(1).map(|line| Line::styled(format!("{:width$}{line}", "", width = RULE + 3), theme.dim()));
    let head = Line::from(vec![
        Span::styled(format!("{mark} "), style),
        Span::styled(first, if step.outcome == "decides" { theme.strong() } else { theme.plain() }),
        Span::styled(why.first().cloned().unwrap_or_default(), theme.dim()),
    ]);
    std::iter::once(head).chain(rest).collect()
}
