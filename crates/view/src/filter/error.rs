//! What can be wrong with a filter, where, and what to write instead.

use thiserror::Error;

use super::keys::{self, Key, ValueKind};

/// A filter that cannot be read. Its message says what to write instead; [`FilterError::pointed`] adds the place.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{fault}")]
pub struct FilterError {
    /// Byte offset of what is wrong: in the text that was parsed, or in the value of the flag.
    pub at: usize,
    /// What is wrong.
    pub fault: FilterFault,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FilterFault {
    /// No field has this name.
    #[error("there is no field `{name}`{}; there are: {}", meant(suggestion.as_ref()), keys::names())]
    UnknownKey {
        /// As it was written.
        name: String,
        /// The field that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// The field does not take this value.
    #[error("`{value}` is not {}{}; for example `{}`", kind.expected(), meant(suggestion.as_ref()), key.example)]
    BadValue {
        /// The field.
        key: &'static Key,
        /// What should have stood there: the field's kind, or what it compares.
        kind: ValueKind,
        /// As it was written.
        value: String,
        /// The value that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// Nothing stands behind the field's name.
    #[error("`{}` needs a value: {}; for example `{}`", key.name, key.kind.expected(), key.example)]
    MissingValue {
        /// The field.
        key: &'static Key,
    },
    /// `<` or `>` with a field that has no order.
    #[error("`{}` takes {}, and no `{sign}`; for example `{}`", key.name, key.kind.expected(), key.example)]
    NotComparable {
        /// The field.
        key: &'static Key,
        /// The sign.
        sign: &'static str,
    },
    /// A quotation mark without its second.
    #[error("the quoted text has no end; add a `\"`")]
    OpenQuote,
    /// Nothing stands behind the negation.
    #[error("a negation needs a term right behind it; for example `!port:53`")]
    LoneNegation,
    /// A word that joins terms in other languages.
    #[error(
        "no `{word}` is needed: different fields side by side mean AND, one field repeated means OR, `!` means NOT; \
         put it in quotes to search for the word"
    )]
    Connective {
        /// The word.
        word: String,
    },
}

fn meant(suggestion: Option<&&'static str>) -> String {
    suggestion.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

impl FilterError {
    pub(super) fn new(at: usize, fault: FilterFault) -> Self {
        Self { at, fault }
    }

    /// The same error in a text that holds this one `by` bytes further on.
    pub(super) fn moved(mut self, by: usize) -> Self {
        self.at += by;
        self
    }

    /// `text` on one line, a caret under the place on the next, the message behind it: for terminals.
    pub fn pointed(&self, text: &str) -> String {
        let before = text.get(..self.at).unwrap_or(text).chars().count();
        format!("{text}\n{:before$}^ {self}", "")
    }
}

impl FilterFault {
    pub(super) fn unknown_key(name: &str) -> Self {
        Self::UnknownKey { name: name.to_owned(), suggestion: nearest(name, keys::spellings()) }
    }
}

/// The candidate that `word` is a slip of: at most one edit in three letters.
pub(super) fn nearest(
    word: &str,
    candidates: impl Iterator<Item = (&'static str, &'static str)>,
) -> Option<&'static str> {
    let word = word.to_ascii_lowercase().replace('_', "-");
    candidates
        .map(|(spelling, name)| {
            let edits = strsim::damerau_levenshtein(&word, &spelling.replace('_', "-"));
            // Of equals, the one that the word is the beginning of.
            ((edits, !spelling.starts_with(&word)), spelling, name)
        })
        .filter(|((edits, _), spelling, _)| *edits <= spelling.len().max(3) / 3)
        .min_by_key(|(distance, _, _)| *distance)
        .map(|(_, _, name)| name)
}
