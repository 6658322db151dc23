//! What can be wrong with a configuration, where, and what to do about it.
//!
//! Nothing is decided here, only told. Invariant: each [`Problem`] names its place and is one line, whatever was in
//! the input; text from the input is shown cut and with control characters escaped.

use std::fmt;
use std::ops::Range;

use crate::{Choice, Origin, PatternError, Setting};

/// Most problems that are told at once; the rest is counted.
pub const PROBLEMS_MAX: usize = 100;

/// Most characters of the input that a message repeats.
const SHOWN_CHARS_MAX: usize = 60;

/// A configuration was refused. Nothing of it was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// What is wrong, in the order of the input; at least one and at most [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// Problems beyond those.
    pub left_out: usize,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "\n" })?;
        }
        if self.left_out > 0 {
            write!(f, "\n… and {} more", self.left_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// `Ok` when nothing is wrong; `uncollected` problems are known by number alone.
    pub(crate) fn unless_empty(mut problems: Vec<Problem>, uncollected: usize) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by_key(|problem| match problem.place {
            Place::File { line, column, .. } => (line, column),
            _ => (0, 0),
        });
        let left_out = problems.len().saturating_sub(PROBLEMS_MAX) + uncollected;
        problems.truncate(PROBLEMS_MAX);
        Err(Self { problems, left_out })
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// Dotted key it is about, as it was written; empty when it is about no single key.
    pub key: String,
    /// What it is.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", shown(&self.key))?;
        }
        write!(f, "{}", self.fault)?;
        match Setting::by_key(&self.key) {
            Some(setting) if self.fault.is_about_value() && !setting.kind.is_list() => {
                write!(f, " (default: {})", setting.default_value())
            }
            _ => Ok(()),
        }
    }
}

/// Where a problem stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the file.
    File {
        /// Name of the file, as it was given.
        name: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1, in characters; 0 when it is about the line or the file as a whole.
        column: usize,
    },
    /// In the environment variable of this name.
    Environment(String),
    /// In the flag of this name, without dashes.
    Flag(String),
    /// In a value that nobody gave.
    Default,
}

impl Place {
    pub(crate) fn of(origin: &Origin, file_name: &str) -> Self {
        match origin {
            Origin::Default => Self::Default,
            Origin::File { line } => Self::File { name: file_name.to_owned(), line: *line, column: 0 },
            Origin::Environment(name) => Self::Environment(name.clone()),
            Origin::Flag(name) => Self::Flag(name.clone()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line, column: 0 } => write!(f, "{}:{line}", shown(name)),
            Self::File { name, line, column } => write!(f, "{}:{line}:{column}", shown(name)),
            Self::Environment(name) => write!(f, "environment {}", shown(name)),
            Self::Flag(name) => write!(f, "flag --{}", shown(name)),
            Self::Default => f.write_str("defaults"),
        }
    }
}

/// What is wrong. Texts from the input are already cut and escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file is too long to be a configuration.
    #[error("it has {bytes} bytes, and a configuration at most {max}; is it the right file?")]
    FileTooLong {
        /// Its length, bytes.
        bytes: usize,
        /// Most it may have, bytes.
        max: usize,
    },
    /// This is not TOML. Problems that may only follow from it are not told.
    #[error("not valid TOML: {message}{}", remedy(message))]
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// There is no such section.
    #[error("there is no such section; {hint}")]
    UnknownSection {
        /// What to write instead.
        hint: String,
    },
    /// There is no such setting.
    #[error("there is no such setting; {hint}")]
    UnknownSetting {
        /// What to write instead.
        hint: String,
    },
    /// A section was given a value.
    #[error("this is a section and has no value; write [{section}] on a line of its own, once, and its settings below")]
    NotASection {
        /// Its name.
        section: &'static str,
    },
    /// A value of another type.
    #[error("{given} is {found}, not a {expected}; give {allowed}")]
    WrongType {
        /// As it was written.
        given: String,
        /// What it is, with its article.
        found: &'static str,
        /// What the setting takes.
        expected: &'static str,
        /// What is allowed.
        allowed: String,
    },
    /// Less or more than allowed, or longer.
    #[error("{given} is out of range; give {allowed}")]
    OutOfRange {
        /// As it was written.
        given: String,
        /// What is allowed.
        allowed: String,
    },
    /// None of the words that the setting takes, or not of its form.
    #[error("{given} is not possible; give {allowed}{}", meant(*suggestion))]
    NotPossible {
        /// As it was written.
        given: String,
        /// What is allowed.
        allowed: String,
        /// The word that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// Not a pattern over interface names.
    #[error("{given} is not a pattern for interfaces: {reason}")]
    NotAPattern {
        /// As it was written.
        given: String,
        /// Why not.
        reason: PatternError,
    },
    /// A network with an address inside it in place of its own.
    #[error(
        "{given} has bits set beyond its prefix; write `{network}` for the network, or `{address}` for the address"
    )]
    HostBits {
        /// As it was written.
        given: String,
        /// The network it lies in.
        network: ipnet::IpNet,
        /// The address.
        address: std::net::IpAddr,
    },
    /// A setting that means nothing without another.
    #[error("it is of no use alone; set {other}, too")]
    Alone {
        /// The other.
        other: &'static str,
    },
    /// A log that holds flows alone, and no flows.
    #[error(
        "a csv log holds flows only, so nothing would be written; set log.flows to true or choose another log.format"
    )]
    NothingToLog,
}

/// What to do, where the parser's words leave that open.
fn remedy(message: &str) -> &'static str {
    if message.contains("duplicate") { "; keep one of them" } else { "" }
}

fn meant(suggestion: Option<&str>) -> String {
    suggestion.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default()
}

impl Fault {
    /// Whether another value for the same key would do.
    fn is_about_value(&self) -> bool {
        matches!(self, Self::WrongType { .. } | Self::OutOfRange { .. } | Self::NotPossible { .. })
    }

    /// That `given` is no such word.
    pub(crate) fn not_a_choice(given: &str, choices: &'static [Choice], allowed: String) -> Self {
        let suggestion = crate::suggest::closest(given, choices.iter().map(|choice| choice.name));
        Self::NotPossible { given: quoted(given), allowed, suggestion }
    }
}

/// A fault, and where within the value it stands; without a span it is about the whole value.
pub(crate) struct Finding {
    pub(crate) span: Option<Range<usize>>,
    pub(crate) fault: Fault,
}

/// Text from the input as messages show it: one line, cut, control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN_CHARS_MAX {
            out.push('…');
            break;
        }
        match c {
            _ if c.is_control() => out.extend(c.escape_debug()),
            // Marks that turn the direction of writing could make a message read as something else.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.extend(c.escape_unicode());
            }
            _ => out.push(c),
        }
    }
    out
}

/// The same in quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}
