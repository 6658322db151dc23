//! Text cut to a number of terminal columns. Not here: any styling.
//!
//! Invariant: a result is never wider than asked for.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that `text` takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// `text` in at most `columns`, with `…` for what was cut off its end.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    head(text.chars(), columns - 1) + "…"
}

/// `text` in at most `columns`, with `…` for what was cut out of its middle.
pub(crate) fn cut_middle(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    let start = columns / 2;
    let end: String = head(text.chars().rev(), columns - 1 - start).chars().rev().collect();
    head(text.chars(), start) + "…" + &end
}

/// `text` broken between words into at most `lines` lines of at most `columns`; `…` ends what is left out.
pub(crate) fn wrap(text: &str, columns: usize, lines: usize) -> Vec<String> {
    let mut wrapped: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let last = wrapped.len() == lines;
        match wrapped.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns || last => {
                line.push(' ');
                line.push_str(word);
            }
            _ => wrapped.push(word.to_owned()),
        }
    }
    wrapped.iter().map(|line| cut(line, columns)).collect()
}

/// A bar of `columns` filled to `share` (0–1) in eighths.
pub(crate) fn bar(share: f64, columns: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let mut eighths = (share * columns as f64 * 8.0).round() as usize;
    if share > 0.0 && columns > 0 {
        // Something is never drawn as nothing.
        eighths = eighths.max(1);
    }
    let part = PARTS.get(eighths % 8).copied().unwrap_or_default();
    "█".repeat(eighths / 8) + part
}

/// A graph of `columns` characters: the latest values, the newest at the right, against `peak`; blanks where nothing is
/// known.
pub(crate) fn spark(values: &[Option<u64>], columns: usize, peak: u64) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = values.iter().skip(values.len().saturating_sub(columns));
    let blank = columns.saturating_sub(values.len());
    let level = |value: &Option<u64>| {
        let Some(value) = value else { return ' ' };
        let share = *value as f64 / peak.max(1) as f64;
        let level = (share.clamp(0.0, 1.0) * 7.0).round() as usize;
        LEVELS.get(level).copied().unwrap_or(' ')
    };
    " ".repeat(blank).chars().chain(shown.map(level)).collect()
}

fn head(letters: impl Iterator<Item = char>, columns: usize) -> String {
    let mut left = columns;
    letters
        .take_while(|letter| {
            let wide = letter.width().unwrap_or(0);
            let fits = wide <= left;
            left = left.saturating_sub(wide);
            fits
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wider_than_asked_for() {
        for text in ["", "a", "plain text", "日本語テキスト", "e\u{301}te\u{301}"] {
            for columns in 0..12 {
                assert!(width(&cut(text, columns)) <= columns);
                assert!(width(&cut_middle(text, columns)) <= columns);
                assert!(wrap(text, columns, 2).iter().all(|line| width(line) <= columns));
            }
        }
    }

    #[test]
    fn a_message_is_broken_between_words_and_ends_in_dots() {
        assert_eq!(wrap("one two three", 8, 3), ["one two", "three"]);
        assert_eq!(wrap("one two three four", 8, 2), ["one two", "three f…"]);
    }

    #[test]
    fn a_graph_ends_with_the_newest_and_has_holes_for_what_is_unknown() {
        let values = [None, Some(0), Some(50), Some(100)];
        assert_eq!(spark(&values, 6, 100), "   ▁▅█");
        assert_eq!(spark(&values, 2, 100), "▅█");
        assert_eq!(spark(&values, 4, 0), " ▁██");
        assert_eq!(spark(&[], 3, 9), "   ");
    }

    #[test]
    fn a_bar_is_never_longer_than_its_room_and_never_empty_for_something() {
        for columns in 0..30 {
            for share in [-1.0, 0.0, 1e-9, 0.5, 1.0, 7.0, f64::NAN] {
                assert!(width(&bar(share, columns)) <= columns);
            }
        }
        assert_eq!([0.0, 1e-9, 0.5, 1.0].map(|share| bar(share, 2)), ["", "▏", "█", "██"]);
    }
}
