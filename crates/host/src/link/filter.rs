//! Which interfaces the operator wants, by patterns. Pure: names in, yes or no out.
//!
//! It does not know whether an interface can be captured. Invariant: an exclusion always wins, and the loopback is
//! wanted only by those who named it or asked for it.

use hivewall_model::Interface;

/// A pattern that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing to match.
    #[error("`{pattern}` names no interface; give a name such as `eth0`, a pattern such as `veth*`, or `!docker0`")]
    Empty {
        /// As given.
        pattern: String,
    },
    /// Longer than any interface's name.
    #[error("`{pattern}` can match no interface: names have at most 15 bytes; shorten it or use `*`")]
    TooLong {
        /// As given.
        pattern: String,
    },
}

/// The longest name of an interface, bytes.
const NAME_MAX: usize = 15;

/// Patterns of `--interface`. `*` stands for any characters, `?` for one; everything else for itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InterfaceFilter {
    /// At least one has to match; when there are none, everything but the loopback does.
    pub include: Vec<String>,
    /// None of them may match.
    pub exclude: Vec<String>,
    /// Whether the loopback is wanted without being named.
    pub loopback: bool,
}

impl InterfaceFilter {
    /// Sorts patterns into those that include and, with a leading `!`, those that exclude.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>, loopback: bool) -> Result<Self, PatternError> {
        let mut filter = Self { loopback, ..Self::default() };
        for pattern in patterns {
            let whole = pattern.as_ref().trim();
            let (list, glob) = match whole.strip_prefix('!') {
                Some(rest) => (&mut filter.exclude, rest.trim_start()),
                None => (&mut filter.include, whole),
            };
            if glob.is_empty() {
                return Err(PatternError::Empty { pattern: whole.to_owned() });
            }
            if glob.bytes().filter(|byte| *byte != b'*').count() > NAME_MAX {
                return Err(PatternError::TooLong { pattern: whole.to_owned() });
            }
            list.push(glob.to_owned());
        }
        Ok(filter)
    }

    /// Whether this interface is to be captured.
    pub fn wants(&self, interface: &Interface) -> bool {
        let name = interface.name.as_str();
        if self.exclude.iter().any(|glob| matches(glob, name)) {
            return false;
        }
        if interface.loopback {
            // A pattern such as `*` means the network, not the host's talk with itself.
            return self.loopback || self.include.iter().any(|exact| exact == name);
        }
        self.include.is_empty() || self.include.iter().any(|glob| matches(glob, name))
    }

    /// Include patterns without wildcards that no interface of `all` has: probably a typing error, or an interface
    /// still to come.
    pub fn missing<'a>(&'a self, all: &[Interface]) -> Vec<&'a str> {
        let exact = self.include.iter().filter(|glob| !glob.contains(['*', '?']));
        exact.map(String::as_str).filter(|name| !all.iter().any(|interface| interface.name == *name)).collect()
    }
}

/// Matches `name` against a pattern in time proportional to the product of their lengths at worst.
fn matches(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut at_glob, mut at_name) = (0, 0);
    // After the last star: where to go on in the pattern, and how much of the name the star has taken.
    let mut star: Option<(usize, usize)> = None;
    while at_name < name.len() {
        match glob.get(at_glob) {
            Some('*') => {
                at_glob += 1;
                star = Some((at_glob, at_name));
            }
            Some(c) if *c == '?' || Some(c) == name.get(at_name) => {
                at_glob += 1;
                at_name += 1;
            }
            _ => {
                // Back to the last star, which takes one character more.
                let Some((after, taken)) = star else { return false };
                star = Some((after, taken + 1));
                at_glob = after;
                at_name = taken + 1;
            }
        }
    }
    glob.get(at_glob..).unwrap_or_default().iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Interface {
        Interface { name: name.to_owned(), loopback: name == "lo", ..Interface::default() }
    }

    /// The names of a usual host that `patterns` want.
    fn wanted(patterns: &[&str], loopback: bool) -> Vec<&'static str> {
        let filter = InterfaceFilter::new(patterns, loopback).unwrap();
        let all = ["lo", "eth0", "eth1", "eth10", "docker0", "veth12ab", "wg0"];
        all.into_iter().filter(|name| filter.wants(&named(name))).collect()
    }

    #[test]
    fn without_patterns_everything_but_the_loopback_is_wanted() {
        assert_eq!(wanted(&[], false), ["eth0", "eth1", "eth10", "docker0", "veth12ab", "wg0"]);
    }

    #[test]
    fn an_exact_name_wants_that_one() {
        assert_eq!(wanted(&["eth1"], false), ["eth1"]);
        assert_eq!(wanted(&["ETH1"], false), [""; 0]);
    }

    #[test]
    fn a_star_stands_for_any_characters_and_a_question_mark_for_one() {
        assert_eq!(wanted(&["eth*"], false), ["eth0", "eth1", "eth10"]);
        assert_eq!(wanted(&["eth?"], false), ["eth0", "eth1"]);
        assert_eq!(wanted(&["*0"], false), ["eth0", "eth10", "docker0", "wg0"]);
        assert_eq!(wanted(&["v*1*b"], false), ["veth12ab"]);
        assert_eq!(wanted(&["v*1*bb"], false), [""; 0]);
    }

    #[test]
    fn several_patterns_are_alternatives() {
        assert_eq!(wanted(&["wg0", "eth?"], false), ["eth0", "eth1", "wg0"]);
    }

    #[test]
    fn an_exclusion_wins_and_alone_leaves_the_rest() {
        assert_eq!(wanted(&["!veth*", "!docker0"], false), ["eth0", "eth1", "eth10", "wg0"]);
        assert_eq!(wanted(&["eth*", "!eth1"], false), ["eth0", "eth10"]);
        assert_eq!(wanted(&["eth1", "!eth1"], false), [""; 0]);
        assert_eq!(wanted(&["!lo"], true), ["eth0", "eth1", "eth10", "docker0", "veth12ab", "wg0"]);
    }

    #[test]
    fn the_loopback_has_to_be_named_exactly_or_asked_for() {
        assert_eq!(wanted(&["lo"], false), ["lo"]);
        assert_eq!(wanted(&["l*", "wg0"], false), ["wg0"]);
        assert_eq!(wanted(&["*"], false).first(), Some(&"eth0"));
        assert_eq!(wanted(&["eth0"], true), ["lo", "eth0"]);
        assert_eq!(wanted(&[], true).len(), 7);
    }

    #[test]
    fn patterns_that_can_match_nothing_are_errors_that_say_so() {
        for empty in ["", " ", "!"] {
            let error = InterfaceFilter::new([empty], false).unwrap_err();
            assert!(error.to_string().contains("names no interface"), "{error}");
        }
        let error = InterfaceFilter::new(["a-name-of-sixteen"], false).unwrap_err();
        assert!(error.to_string().contains("at most 15 bytes"), "{error}");
        assert!(InterfaceFilter::new(["fifteen-bytes-x*"], false).is_ok());
    }

    #[test]
    fn exact_names_that_no_interface_has_are_reported() {
        let filter = InterfaceFilter::new(["eth0", "eth7", "wl*"], false).unwrap();
        assert_eq!(filter.missing(&[named("eth0")]), ["eth7"]);
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        assert!(!matches(&"*a".repeat(15), &"a".repeat(14)));
        assert!(matches(&"*a".repeat(15), &"a".repeat(15)));
    }
}
