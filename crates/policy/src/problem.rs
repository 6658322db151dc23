//! What can be wrong with a policy, where, and what to do about it.
//!
//! Nothing is decided here, only told. Invariant: each [`Problem`] names a place inside the text it is about, and its
//! message is one line, whatever was in the text; what is repeated from it is cut, with control characters escaped.

mod fault;

use std::fmt::Write as _;
use std::ops::Range;

pub use fault::Fault;

/// Most problems that are told at once; the rest is counted.
pub const PROBLEMS_MAX: usize = 100;

/// Most characters of an input's word that a message repeats.
const SHOWN_CHARS_MAX: usize = 60;
/// Most characters of a line that are shown around a place.
const LINE_CHARS_MAX: usize = 110;
/// Most words that a message lists.
const LISTED_MAX: usize = 24;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is taken, and probably not what was meant.
    Warning,
    /// Worth knowing on this host.
    Note,
}

impl Severity {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A place in a text.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Place {
    /// Bytes of the text; empty at its end and for what stands in no text.
    pub span: Range<usize>,
    /// Line, from 1; 0 for what stands in no text.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub fault: Fault,
    /// Other places that have to do with it, and what stands there.
    pub also: Vec<(Place, &'static str)>,
}

/// A policy was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.summary())]
pub struct PolicyError {
    /// What is wrong, in the order of the text; warnings are among them.
    pub problems: Vec<Problem>,
    /// Problems beyond [`PROBLEMS_MAX`].
    pub left_out: usize,
}

impl PolicyError {
    /// `Ok` with what is not an error when nothing is.
    pub(crate) fn unless_sound(mut problems: Vec<Problem>) -> Result<Vec<Problem>, Self> {
        problems.sort_by_key(|problem| (problem.place.span.start, problem.severity));
        let left_out = problems.len().saturating_sub(PROBLEMS_MAX);
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            if left_out > 0 {
                // Among too many, warnings must not push an error out.
                problems.sort_by_key(|problem| problem.severity);
                problems.truncate(PROBLEMS_MAX);
            }
            return Err(Self { problems, left_out });
        }
        problems.truncate(PROBLEMS_MAX);
        Ok(problems)
    }

    fn summary(&self) -> String {
        let lines: Vec<String> = self
            .problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(|Problem { place, fault, .. }| match place.line {
                0 => fault.to_string(),
                line => format!("line {line}, column {}: {fault}", place.column),
            })
            .collect();
        lines.join("\n")
    }

    /// All problems with the lines they stand in, for a terminal. `name` is the file's.
    pub fn pointed(&self, name: &str, text: &str) -> String {
        let mut out = pointed(&self.problems, name, text);
        if self.left_out > 0 {
            let _ = writeln!(out, "… and {} more", self.left_out);
        }
        out
    }
}

/// Problems with the lines they stand in and a mark below, for a terminal. `name` is the file's.
pub fn pointed(problems: &[Problem], name: &str, text: &str) -> String {
    let mut out = String::new();
    for problem in problems {
        // Writing to a string cannot fail; here and below.
        let _ = writeln!(out, "{}: {}", problem.severity.word(), problem.fault);
        if problem.place.line > 0 {
            let _ = writeln!(out, "  --> {}:{}:{}", shown(name), problem.place.line, problem.place.column);
            let places = [(&problem.place, "")].into_iter();
            let also = problem.also.iter().map(|(place, label)| (place, *label));
            for (place, label) in places.chain(also.filter(|(place, _)| place.line > 0)) {
                excerpt(&mut out, text, place, label);
            }
        }
    }
    out
}

fn excerpt(out: &mut String, text: &str, place: &Place, label: &str) {
    let start = text.get(..place.span.start).map_or(0, |before| before.rfind('\n').map_or(0, |at| at + 1));
    let line = text.get(start..).unwrap_or_default();
    let line = line.split('\n').next().unwrap_or_default();
    let before = text.get(start..place.span.start).unwrap_or_default().chars().count();
    let marked = text.get(place.span.clone()).unwrap_or_default();
    let marked = marked.split('\n').next().unwrap_or_default().trim_end().chars().count().max(1);
    // A long line is shown from a little before the place on.
    let from = if before + marked.min(40) > LINE_CHARS_MAX { before.saturating_sub(40) } else { 0 };
    let part: String = line.chars().skip(from).take(LINE_CHARS_MAX).map(visible).collect();
    let (dots, end) = (if from > 0 { "…" } else { "" }, line.chars().count() > from + LINE_CHARS_MAX);
    let number = place.line.to_string();
    let _ = writeln!(out, "{number:>4} | {dots}{}{}", part.trim_end(), if end { "…" } else { "" });
    let marks = marked.min(LINE_CHARS_MAX.saturating_sub(before - from).max(1));
    let space = before - from + usize::from(from > 0);
    let _ =
        writeln!(out, "     | {:space$}{}{}{label}", "", "^".repeat(marks), if label.is_empty() { "" } else { " " });
}

/// What would move the cursor or turn the direction of writing stands as one replacement character, so that marks
/// stay below what they mark.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        _ if c.is_control() || is_turning(c) => '\u{fffd}',
        _ => c,
    }
}

fn is_turning(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Text from the input as messages show it: one line, cut, control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == SHOWN_CHARS_MAX => {
                out.push('…');
                break;
            }
            _ if c.is_control() || is_turning(c) => out.extend(c.escape_unicode()),
            _ => out.push(c),
        }
    }
    out
}

/// The same in the marks that messages put around words.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", shown(text))
}

/// Words in a row.
pub(crate) fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    let mut text = words.iter().take(LISTED_MAX).map(|word| shown(word)).collect::<Vec<_>>().join(", ");
    if words.len() > LISTED_MAX {
        let _ = write!(text, ", … ({} in all)", words.len());
    }
    text
}

/// The word that was probably meant.
pub(crate) fn nearest<'a>(given: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer ones are not compared: the comparison takes the product of both lengths.
    const COMPARED_BYTES_MAX: usize = 64;
    if given.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let given = given.to_ascii_lowercase().replace('_', "-");
    words
        .filter(|word| word.len() <= COMPARED_BYTES_MAX)
        .filter_map(|word| {
            let plain = word.to_ascii_lowercase().replace('_', "-");
            let edits = strsim::damerau_levenshtein(&given, &plain);
            let begins = given.len() >= 3 && (plain.starts_with(&given) || given.starts_with(&plain));
            (begins || edits <= plain.len().max(3) / 3).then_some(((edits, !begins), word))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}
