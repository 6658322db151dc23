//! The line in which a filter is typed: text, cursor, and what is wrong with it. Not here: the filter language itself,
//! which is `hivewall_view::Filter`'s.
//!
//! Invariant: the cursor stands between two characters, never inside one; a filter with a problem is never applied.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::check::{Problem, check};
use crate::complete::{Offer, offer};

/// Most characters a filter can have: far more than a person types, far less than a pasted file.
const FILTER_CHARS_MAX: usize = 500;

/// A filter being typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FilterLine {
    text: Vec<char>,
    cursor: usize,
    problem: Option<Problem>,
}

/// What a key did to the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Still typing.
    Editing,
    /// Enter on a good filter: apply this text.
    Apply(String),
    /// Escape: no filter.
    Clear,
}

impl FilterLine {
    /// A line that starts with `text` and the cursor at its end.
    pub(crate) fn new(text: &str) -> Self {
        let text: Vec<char> = text.chars().collect();
        let mut line = Self { cursor: text.len(), text, problem: None };
        line.recheck();
        line
    }

    /// The text.
    pub(crate) fn text(&self) -> String {
        self.text.iter().collect()
    }

    /// The text before the cursor.
    pub(crate) fn before_cursor(&self) -> String {
        self.text.iter().take(self.cursor).collect()
    }

    /// What is wrong, if anything.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    /// What can follow at the cursor.
    pub(crate) fn offer(&self) -> Offer {
        offer(&self.before_cursor())
    }

    /// One key.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Typed {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            self.control(key.code);
            return Typed::Editing;
        }
        match key.code {
            KeyCode::Esc => return Typed::Clear,
            KeyCode::Enter if self.problem.is_none() => return Typed::Apply(self.text().trim().to_owned()),
            KeyCode::Tab => self.complete(),
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.text.len()),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            KeyCode::Backspace if self.cursor > 0 => self.delete(self.cursor - 1),
            KeyCode::Delete => self.delete(self.cursor),
            KeyCode::Char(letter) if !letter.is_control() => self.insert(letter),
            _ => {}
        }
        Typed::Editing
    }

    /// Types what everything that could follow has in common.
    fn complete(&mut self) {
        let offer = self.offer();
        let common = offer.common();
        if common.chars().count() < offer.replaces {
            return;
        }
        let start = self.cursor.saturating_sub(offer.replaces);
        self.text.drain(start..self.cursor);
        self.cursor = start;
        for letter in common.chars() {
            self.insert(letter);
        }
        self.recheck();
    }

    fn control(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char('a') => self.cursor = 0,
            KeyCode::Char('e') => self.cursor = self.text.len(),
            KeyCode::Char('u') => self.cut_from(0),
            KeyCode::Char('w') => self.cut_from(self.word_start()),
            _ => {}
        }
    }

    /// Where the word before the cursor begins.
    fn word_start(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        let word_end = before.iter().rposition(|c| !c.is_whitespace()).map_or(0, |at| at + 1);
        let word = before.get(..word_end).unwrap_or_default();
        word.iter().rposition(|c| c.is_whitespace()).map_or(0, |at| at + 1)
    }

    fn cut_from(&mut self, start: usize) {
        self.text.drain(start..self.cursor);
        self.cursor = start;
        self.recheck();
    }

    fn delete(&mut self, at: usize) {
        if at < self.text.len() {
            self.text.remove(at);
            self.cursor = self.cursor.min(at);
            self.recheck();
        }
    }

    fn insert(&mut self, letter: char) {
        if self.text.len() < FILTER_CHARS_MAX {
            self.text.insert(self.cursor, letter);
            self.cursor += 1;
            self.recheck();
        }
    }

    fn recheck(&mut self) {
        self.problem = check(&self.text()).err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(line: &mut FilterLine, code: KeyCode) -> Typed {
        line.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn typed(text: &str) -> FilterLine {
        let mut line = FilterLine::default();
        for letter in text.chars() {
            press(&mut line, KeyCode::Char(letter));
        }
        line
    }

    #[test]
    fn typing_and_deleting_at_the_cursor_keeps_whole_characters() {
        let mut line = typed("añb");
        press(&mut line, KeyCode::Left);
        press(&mut line, KeyCode::Backspace);
        assert_eq!((line.text().as_str(), line.before_cursor().as_str()), ("ab", "a"));
        press(&mut line, KeyCode::Home);
        press(&mut line, KeyCode::Delete);
        press(&mut line, KeyCode::Backspace);
        assert_eq!(line.text(), "b");
    }

    #[test]
    fn control_w_takes_the_word_and_control_u_the_line() {
        let mut line = typed("proto tcp  ");
        line.key(KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL));
        assert_eq!(line.text(), "proto ");
        line.key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
        assert_eq!(line.text(), "");
    }

    #[test]
    fn tab_types_what_all_offers_have_in_common() {
        let mut line = typed("proto:tcp !src");
        press(&mut line, KeyCode::Tab);
        assert_eq!(line.text(), "proto:tcp !src-");
        line = typed("direction:ou");
        press(&mut line, KeyCode::Tab);
        assert_eq!(line.text(), "direction:outbound");
        line = typed("zzz");
        press(&mut line, KeyCode::Tab);
        assert_eq!(line.text(), "zzz");
    }

    #[test]
    fn a_pasted_file_stops_at_the_limit() {
        assert_eq!(typed(&" ".repeat(FILTER_CHARS_MAX + 50)).text().len(), FILTER_CHARS_MAX);
    }

    #[test]
    fn enter_applies_the_trimmed_text_and_escape_clears() {
        assert_eq!(press(&mut typed("  "), KeyCode::Enter), Typed::Apply(String::new()));
        assert_eq!(press(&mut typed("x"), KeyCode::Esc), Typed::Clear);
    }
}
