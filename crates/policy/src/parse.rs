//! Text of a policy, YAML or JSON, to a [`Document`] with the places of its rules; or to everything that is wrong with it.
//!
//! The text becomes a tree of values with places (`tree`), which `reader` takes for what it must be; one fault does not hide
//! the next, except in YAML that cannot be read at all. What needs other machines or files is left to `resolve`.
//! Invariant: no text panics, and every problem points into the text.

mod reader;
mod respond;
mod rule;
mod scalar;
#[cfg(test)]
pub(crate) mod tests;
mod tree;

use std::ops::Range;

use crate::document::{Document, Rule};
use crate::problem::{Fault, Place, PolicyError, Problem, Severity};

pub(crate) use scalar::{is_other_than_text, net};

/// Most bytes of a policy's text.
pub const TEXT_BYTES_MAX: usize = 64 << 20;

/// A document, and where its parts stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The document.
    pub document: Document,
    /// Where its parts stand.
    pub places: Places,
    /// What is not wrong, but probably not meant.
    pub warnings: Vec<Problem>,
}

/// Where the parts of a document stand.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Places {
    /// Tiers in order.
    pub tiers: Vec<TierPlaces>,
    /// Sets in the order of their names.
    pub sets: Vec<Place>,
}

/// Where the parts of a tier stand.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TierPlaces {
    /// Its name.
    pub name: Place,
    /// The default for what is received.
    pub received: Place,
    /// The default for what is sent.
    pub sent: Place,
    /// Names of its rules, in order.
    pub rules: Vec<Place>,
}

/// Reads a policy.
pub fn parse(text: &str) -> Result<Parsed, PolicyError> {
    let mut reader = reader::Reader::new(text);
    let parsed = reader.tree().and_then(|tree| reader.document(&tree));
    let mut problems = reader.into_problems();
    if let Some(parsed) = &parsed
        && problems.iter().all(|problem| problem.severity != Severity::Error)
    {
        problems.extend(crate::check::shadowed(parsed));
    }
    let warnings = PolicyError::unless_sound(problems)?;
    match parsed {
        Some(parsed) => Ok(Parsed { warnings, ..parsed }),
        // Nothing is left out without a problem; should that fail, the text still cannot be taken for a policy.
        None => Err(PolicyError { problems: vec![whole(Fault::Empty)], left_out: 0 }),
    }
}

/// Reads the host's own floor: a list of rules as a tier has them, that only accept and name no sets.
pub fn parse_floor(text: &str) -> Result<Vec<Rule>, PolicyError> {
    let mut reader = reader::Reader::new(text);
    let rules = reader.tree().map(|tree| reader.floor(&tree));
    PolicyError::unless_sound(reader.into_problems())?;
    Ok(rules.unwrap_or_default())
}

fn whole(fault: Fault) -> Problem {
    let place = Place { span: 0..0, line: 1, column: 1 };
    Problem { severity: Severity::Error, place, fault, also: Vec::new() }
}

/// Finds lines.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The place of a span, moved into the text where it is not.
    fn place(&self, span: &Range<usize>) -> Place {
        let end = span.end.min(self.text.len());
        let start = self.text.floor_char_boundary(span.start.min(end));
        let line = self.starts.partition_point(|at| *at <= start).max(1);
        let begin = self.starts.get(line - 1).copied().unwrap_or_default();
        let column = self.text.get(begin..start).map_or(0, |before| before.chars().count()) + 1;
        Place { span: start..self.text.floor_char_boundary(end), line: line as u32, column: column as u32 }
    }
}

/// A text as any reader of YAML would take it, for tests of the schema.
#[cfg(test)]
pub(crate) fn json_of(text: &str) -> serde_json::Value {
    fn value(node: &tree::Node) -> serde_json::Value {
        match &node.value {
            tree::Value::Quoted(text) => (**text).into(),
            tree::Value::Plain(text) if !is_other_than_text(text) => (**text).into(),
            tree::Value::Plain(text) => serde_json::from_str(text).unwrap_or(serde_json::Value::Null),
            tree::Value::List(items) => items.iter().map(value).collect(),
            tree::Value::Map(entries) => {
                let key = |key: &tree::Node| value(key).as_str().unwrap_or_default().to_owned();
                entries.iter().map(|(name, node)| (key(name), value(node))).collect()
            }
        }
    }
    value(&tree::tree(text).expect("YAML"))
}
