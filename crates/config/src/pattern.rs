//! Patterns over interface names: `eth0`, `en*`, `veth?`, `!docker0`.
//!
//! `*` stands for any run of characters and `?` for one; nothing else is special. No other kind of name is matched
//! here. Invariant: a [`Pattern`] is never empty and could match some interface.

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

    /// Whether it is a plain name.
    pub fn is_literal(&self) -> bool {
        !self.glob.contains(['*', '?'])
    }

    /// Whether `name` fits, a leading `!` aside. Takes at most `name.len() × pattern length` steps.
    pub fn matches(&self, name: &str) -> bool {
        let mut rest = self.glob.chars();
        let mut name = name.chars();
        // Where to go on when the characters after the latest `*` do not fit: that `*` takes one character more.
        let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
        loop {
            let here = (rest.clone(), name.clone());
            match (rest.next(), name.next()) {
                (None, None) => return true,
                (Some('*'), _) => {
                    name = here.1;
                    retry = Some((rest.clone(), name.clone()));
                    continue;
                }
                (Some('?'), Some(_)) => continue,
                (Some(wanted), Some(found)) if wanted == found => continue,
                _ => {}
            }
            let Some((after_star, mut from)) = retry.take() else { return false };
            if from.next().is_none() {
                return false;
            }
            (rest, name) = (after_star.clone(), from.clone());
            retry = Some((after_star, from));
        }
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

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let pattern: Pattern = pattern.parse().unwrap();
        for name in yes {
            assert!(pattern.matches(name), "{pattern} should match {name}");
        }
        for name in no {
            assert!(!pattern.matches(name), "{pattern} should not match {name}");
        }
    }

    #[test]
    fn a_plain_name_matches_itself_alone() {
        check("eth0", &["eth0"], &["eth", "eth01", "xeth0", ""]);
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        check("en*", &["en", "en0", "enp3s0"], &["e", "xen"]);
        check("*", &["", "lo", "eth0"], &[]);
        check("e*p*s0", &["enp3s0", "eps0", "epps0s0"], &["enp3s1", "es0"]);
        check("**a", &["a", "ba", "aa"], &["", "ab"]);
    }

    #[test]
    fn a_question_mark_stands_for_one_character() {
        check("veth?", &["veth0", "vethé"], &["veth", "veth10"]);
        check("*?", &["a", "ab"], &[""]);
    }

    #[test]
    fn brackets_are_plain_characters() {
        check("a[b]", &["a[b]"], &["ab"]);
    }

    #[test]
    fn a_leading_exclamation_mark_excludes() {
        let pattern: Pattern = "!docker*".parse().unwrap();
        assert!(pattern.excludes() && pattern.matches("docker0"));
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

    #[test]
    fn a_hostile_pattern_takes_no_exponential_time() {
        let pattern: Pattern = "*a*a*a*a*a*a*a*a*a*a*b".parse().unwrap();
        assert!(!pattern.matches(&"a".repeat(2_000)));
    }
}
