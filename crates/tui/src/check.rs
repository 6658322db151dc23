//! Checks a filter while it is typed. Not here: the filter language, which is `hivewall_view::Filter`'s; the agent
//! reads the same text again when it is asked.
//!
//! Invariant: `at` never points behind the text.

use hivewall_view::Filter;
use hivewall_view::time::parse_rfc3339;

/// Whether a filter is well formed does not depend on when it is read, so any moment will do here.
const ANY_MOMENT: &str = "2026-01-01T00:00:00Z";

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where, as a number of characters from the start.
    pub(crate) at: usize,
    /// What, and what was expected.
    pub(crate) message: String,
}

/// Whether `text` is a filter.
pub(crate) fn check(text: &str) -> Result<(), Problem> {
    let Some(now) = parse_rfc3339(ANY_MOMENT) else { return Ok(()) };
    Filter::parse(text, now).map(|_| ()).map_err(|error| {
        let before = text.char_indices().take_while(|(at, _)| *at < error.at).count();
        Problem { at: before, message: error.to_string() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_filter_has_no_problem_and_a_bad_one_has_a_place() {
        assert_eq!(check(""), Ok(()));
        assert_eq!(check("port:443"), Ok(()));
        let problem = check("port:443 port:x").unwrap_err();
        assert!((9..=14).contains(&problem.at), "{problem:?}");
        assert!(problem.message.contains('x'), "{problem:?}");
    }

    #[test]
    fn the_place_is_counted_in_characters_and_not_in_bytes() {
        let ascii = check("a port:x").map_err(|problem| problem.at);
        assert_eq!(check("ä port:x").map_err(|problem| problem.at), ascii);
    }
}
