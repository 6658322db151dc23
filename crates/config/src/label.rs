//! Labels of a host: `role=web`. What they are good for is decided where policies and the fleet are known.
//!
//! Invariant: a [`Label`] has a name, and both its parts are within the limits that records of the fleet have.

use std::fmt;
use std::str::FromStr;

use crate::setting::LABEL_BYTES_MAX;

/// A name and a value that policies select hosts by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Left of the `=`.
    pub name: String,
    /// Right of it; may be empty.
    pub value: String,
}

/// A text that is no label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not of the form `name=value`")]
pub struct NoLabel;

impl FromStr for Label {
    type Err = NoLabel;

    fn from_str(text: &str) -> Result<Self, NoLabel> {
        let (name, value) = text.split_once('=').ok_or(NoLabel)?;
        let is_sound = |part: &str| {
            part.len() <= LABEL_BYTES_MAX
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/'))
        };
        let label = Self { name: name.trim().to_owned(), value: value.trim().to_owned() };
        if !label.name.is_empty() && is_sound(&label.name) && is_sound(&label.value) { Ok(label) } else { Err(NoLabel) }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}
