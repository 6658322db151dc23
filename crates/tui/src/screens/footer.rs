//! The last lines: which keys help here, or the filter being typed with what is wrong in it.

use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::parts;
use crate::app::{App, Overlay};
use crate::filter_line::FilterLine;
use crate::keys::here;
use crate::paper::Paper;
use crate::prompt::Prompt;
use crate::width::{cut, width, wrap};

/// What stands before the text of a filter.
const PROMPT: &str = "/";
/// Lines that a message about a filter may take below its caret.
const MESSAGE_LINES_MAX: usize = 4;
/// Shown while the filter is right.
const TYPING: &str = "Enter applies · Esc clears · Tab completes · e.g. port:443 ip:10.0.0.0/8 !proto:udp";

/// Lines the footer takes on a terminal that is `columns` wide.
pub(super) fn lines(app: &App, columns: u16) -> u16 {
    if matches!(app.prompt, Some(Prompt::Typing { .. })) {
        return 2;
    }
    app.editing.as_ref().map_or(1, |line| 1 + verdict(app, line, usize::from(columns)).len() as u16)
}

/// Draws the footer.
pub(super) fn draw(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    if let Some(prompt) = &app.prompt {
        return asked(app, prompt, paper, area);
    }
    match &app.editing {
        Some(line) => filter(app, line, paper, area),
        None => match app.notice() {
            Some(notice) => {
                let style = if notice.bad { app.theme.warn() } else { app.theme.good() };
                paper.put(Line::styled(cut(&notice.text, usize::from(area.width)), style), area);
            }
            None => keys(app, paper, area),
        },
    }
}

/// The command being typed with how it is typed or what is wrong, or the question whether it is meant.
fn asked(app: &App, prompt: &Prompt, paper: &mut Paper<'_, '_>, area: Rect) {
    let room = usize::from(area.width);
    let (form, text, problem) = match prompt {
        Prompt::Asking(action) => {
            let question = format!("{}? y: yes · n: no", capital(&action.title()));
            return paper.put(Line::styled(cut(&question, room), app.theme.warn()), area);
        }
        Prompt::Typing { form, text, problem } => (form, text, problem),
    };
    // The end of a long text is what is being typed.
    let line = format!("{}{text}", form.title());
    let line = skip_columns(&line, (width(&line) + 1).saturating_sub(room));
    let column = width(&line).min(room.saturating_sub(1));
    let below = match problem {
        Some(problem) => Line::styled(cut(problem, room), app.theme.bad()),
        None => Line::styled(cut(form.usage(), room), app.theme.dim()),
    };
    parts::lines([Line::styled(line, app.theme.title()), below], paper, area);
    if area.width > 0 && area.height > 0 {
        paper.frame().set_cursor_position(Position::new(area.x + column as u16, area.y));
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn keys(app: &App, paper: &mut Paper<'_, '_>, area: Rect) {
    let here: &[(&str, &str)] = match &app.overlay {
        Overlay::Help { .. } | Overlay::Explained { .. } => &[("Esc", "close"), ("↑↓", "scroll")],
        Overlay::Details { .. } => &[("Esc", "close"), ("↑↓", "scroll"), ("y", "copy"), ("Y", "copy JSON")],
        Overlay::None => here(app.tab, app.list(), app.moment.is_some()),
    };
    let pause = if app.paused { "go on" } else { "pause" };
    let always = [("space", pause), ("?", "help"), ("q", "quit")];
    // What leads out of everything is always there; of the rest, what has room.
    let taken = |(key, what): &(&str, &str)| width(key) + width(what) + 3;
    let mut room = (usize::from(area.width) + 2).saturating_sub(always.iter().map(taken).sum());
    let mut spans = Vec::new();
    let fitting = here.iter().take_while(|hint| {
        let wide = taken(hint);
        let fits = wide <= room;
        room = if fits { room - wide } else { 0 };
        fits
    });
    for (key, what) in fitting.chain(&always) {
        spans.push(Span::styled((*key).to_owned(), app.theme.strong()));
        spans.push(Span::styled(format!(" {what}  "), app.theme.dim()));
    }
    paper.put(Line::from(spans), area);
}

fn filter(app: &App, line: &FilterLine, paper: &mut Paper<'_, '_>, area: Rect) {
    let room = usize::from(area.width);
    let hidden = hidden(line, room);
    let text = skip_columns(&line.text(), hidden);
    let prompt =
        Line::from(vec![Span::styled(PROMPT, app.theme.title()), Span::raw(cut(&text, room.saturating_sub(1)))]);
    parts::lines(std::iter::once(prompt).chain(verdict(app, line, room)), paper, area);
    if area.width > 0 && area.height > 0 {
        let column = column_of(&line.before_cursor(), hidden, room);
        paper.frame().set_cursor_position(Position::new(area.x + column as u16, area.y));
    }
}

/// Columns of the text that are scrolled out at the left, so that the cursor is seen.
fn hidden(line: &FilterLine, room: usize) -> usize {
    (width(PROMPT) + width(&line.before_cursor()) + 1).saturating_sub(room)
}

/// Where on the screen what stands behind `before` is.
fn column_of(before: &str, hidden: usize, room: usize) -> usize {
    (width(PROMPT) + width(before)).saturating_sub(hidden).min(room.saturating_sub(1))
}

/// A caret under what is wrong with the message behind it, or below it where it is too long; a hint while all is well.
fn verdict(app: &App, line: &FilterLine, room: usize) -> Vec<Line<'static>> {
    // What is only begun is not wrong yet while there is something it can become.
    let begun = |at: usize| {
        let before = line.before_cursor();
        let word = before.chars().rev().take_while(|letter| !letter.is_whitespace()).count();
        at + word >= before.chars().count() && !line.offer().words.is_empty()
    };
    let Some(problem) = line.problem().filter(|problem| !begun(problem.at)) else {
        return vec![Line::styled(cut(&offered(line), room), app.theme.dim())];
    };
    let before: String = line.text().chars().take(problem.at).collect();
    let caret = " ".repeat(column_of(&before, hidden(line, room), room)) + "^";
    let beside = format!("{caret} {}", problem.message);
    let texts = if width(&beside) <= room {
        vec![beside]
    } else {
        let mut texts = wrap(&problem.message, room, MESSAGE_LINES_MAX);
        texts.insert(0, caret);
        texts
    };
    texts.into_iter().map(|text| Line::styled(text, app.theme.bad())).collect()
}

/// What can follow, else how typing ends.
fn offered(line: &FilterLine) -> String {
    let offer = line.offer();
    let typing = line.text().is_empty() || (offer.words.is_empty() && offer.hint.is_none());
    if typing {
        return TYPING.to_owned();
    }
    let words = offer.words.join(" ");
    match offer.hint {
        Some(hint) if words.is_empty() => hint,
        Some(hint) => format!("{words} · {hint}"),
        None => format!("Tab: {words}"),
    }
}

fn skip_columns(text: &str, columns: usize) -> String {
    let mut left = columns;
    text.chars()
        .skip_while(|letter| {
            let skip = left > 0;
            left = left.saturating_sub(width(letter.encode_utf8(&mut [0; 4])));
            skip
        })
        .collect()
}
