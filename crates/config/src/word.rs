//! Words of other languages in a list: names of detectors, thresholds, addresses of collectors. What they mean is checked
//! where they are used.
//!
//! Invariant: a [`Word`] is not empty, on one line, and without commas, which part the words of a flag.

use std::fmt;
use std::str::FromStr;

/// Longest word, bytes.
pub(crate) const WORD_BYTES_MAX: usize = 1_024;

/// One word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(String);

/// A text that is no word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is empty, too long, or holds a comma or a control character")]
pub struct NoWord;

impl Word {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Word {
    type Err = NoWord;

    fn from_str(text: &str) -> Result<Self, NoWord> {
        let text = text.trim();
        let is_sound =
            !text.is_empty() && text.len() <= WORD_BYTES_MAX && !text.contains(|c: char| c == ',' || c.is_control());
        if is_sound { Ok(Self(text.to_owned())) } else { Err(NoWord) }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
