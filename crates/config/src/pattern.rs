//! Patterns over interface names: `eth0`, `en*`, `veth?`, `!docker0`.
//!
//! `*` stands for any run of characters and `?` for one; nothing else is special. What they match is decided where
//! interfaces are known; here they are only read. Invariant: a [`Pattern`] is never empty and could match some interface.

use std::fmt;
use std::str::FromStr;

/// Longest interface name of Linux, bytes (`IFNAMSIZ` less the closing zero).
pub const NAME_BYTES_MAX: usize = 15;

/// Which interfaces are meant, or, with a leading `!`, not meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    excludes: bool,
    glob: String,
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing, or only `!`.
    #[error("it is empty; give a name such as `eth0` or a pattern such as `en*`")]
    Empty,
    /// A character that does not occur in a pattern.
    #[error("{0:?} cannot stand in a pattern; write `?` where a name has it")]
    Character(char),
    /// Longer than any name.
    #[error("no interface has a name of more than {NAME_BYTES_MAX} bytes; shorten it with `*`")]
    TooLong,
}

impl Pattern {
    /// Whether it takes interfaces away rather than adding them.
    pub fn excludes(&self) -> bool {
        self.excludes
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (excludes, glob) = text.strip_prefix('!').map_or((false, text), |glob| (true, glob));
        if glob.is_empty() {
            return Err(PatternError::Empty);
        }
        // A comma parts the patterns of a flag or a variable; the others do not occur in names.
        let bad = |c: char| c == ',' || c == '/' || c.is_whitespace() || c.is_control();
        if let Some(found) = glob.chars().find(|c| bad(*c)) {
            return Err(PatternError::Character(found));
        }
        if glob.bytes().filter(|byte| *byte != b'*').count() > NAME_BYTES_MAX {
            return Err(PatternError::TooLong);
        }
        Ok(Self { excludes, glob: glob.to_owned() })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.excludes { "!" } else { "" }, self.glob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_exclamation_mark_excludes() {
        let pattern: Pattern = "!docker*".parse().unwrap();
        assert!(pattern.excludes());
        assert_eq!(pattern.to_string(), "!docker*");
    }

    #[test]
    fn what_no_interface_can_be_called_is_refused() {
        let refused = |text: &str| text.parse::<Pattern>().unwrap_err();
        assert_eq!(refused(""), PatternError::Empty);
        assert_eq!(refused("!"), PatternError::Empty);
        assert_eq!(refused("a b"), PatternError::Character(' '));
        assert_eq!(refused("a,b"), PatternError::Character(','));
        assert_eq!(refused("a234567890123456"), PatternError::TooLong);
        assert!("a23456789012345*".parse::<Pattern>().is_ok());
    }
}
