//! The moment in the past that is looked at (`top --at`). Not here: the history itself, which the agent keeps.
//!
//! Invariant: a moment is fixed when the view starts and moved by keys alone; the clock does not move it.

use std::time::Duration;

use hivewall_model::Timestamp;
use hivewall_view::time::{parse_time, rfc3339};

/// Flows that were seen within so long before the moment are shown.
const WINDOW: Duration = Duration::from_secs(60);

/// Fields of a filter that name a time, in every spelling.
const TIMES: [&str; 5] = ["from", "since", "to", "until", "last"];

/// A moment in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(Timestamp);

impl Moment {
    /// The moment that `text` names at `now`: RFC 3339, a date, a date and a time, or how long ago.
    pub(crate) fn parse(text: &str, now: Timestamp) -> Option<Self> {
        parse_time(text, now).map(Self)
    }

    /// The moment `seconds` later, or earlier where that is negative.
    pub(crate) fn moved(self, seconds: i64) -> Self {
        Self(Timestamp(self.0.0.saturating_add(seconds.saturating_mul(1_000_000_000))))
    }

    /// RFC 3339.
    pub(crate) fn time(self) -> String {
        rfc3339(self.0)
    }

    /// `2026-11-21 10:00:00` (UTC).
    pub(crate) fn shown(self) -> String {
        self.time().get(..19).unwrap_or_default().replace('T', " ")
    }

    /// Whether it lies before `time`, RFC 3339.
    pub(crate) fn is_before(self, time: &str) -> bool {
        hivewall_view::time::parse_rfc3339(time).is_some_and(|time| self.0 < time)
    }

    /// `filter` narrowed to the flows of the moment.
    pub(crate) fn narrow(self, filter: &str) -> String {
        let from = rfc3339(self.0 - WINDOW);
        format!("from:{from} to:{} {filter}", self.time()).trim_end().to_owned()
    }
}

/// Whether `filter` names a time itself. Terms of one field widen one another, so that would not narrow the moment.
pub(crate) fn names_time(filter: &str) -> bool {
    let word = |word: &str| {
        let name = word.trim_start_matches(['!', '-']).split([':', '=']).next().unwrap_or_default();
        word.contains([':', '=']) && TIMES.iter().any(|time| time.eq_ignore_ascii_case(name))
    };
    filter.split_whitespace().any(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_255_200);

    #[test]
    fn a_moment_stays_where_it_was_named_and_asks_for_the_minute_before() {
        let moment = Moment::parse("5m", NOW).unwrap();
        assert_eq!(moment.shown(), "2026-11-21 09:55:00");
        assert_eq!(
            moment.narrow("port:443"),
            "from:2026-11-21T09:54:00.000000Z to:2026-11-21T09:55:00.000000Z port:443"
        );
        assert_eq!(moment.moved(-3600).shown(), "2026-11-21 08:55:00");
        assert_eq!(Moment::parse("tomorrow", NOW), None);
    }

    #[test]
    fn every_spelling_of_a_time_in_a_filter_is_known() {
        let known = |name: &&str| ["from", "to", "last"].contains(name);
        for key in hivewall_view::filter::keys().filter(|key| known(&key.name)) {
            for name in key.aliases.iter().chain([&key.name]) {
                assert!(names_time(&format!("port:443 {}:5m", name.to_uppercase())), "{name}");
            }
        }
        assert!(!names_time("port:443 last from text:to"));
    }

    #[test]
    fn what_is_asked_is_a_filter() {
        let asked = Moment::parse("2026-11-21", NOW).unwrap().narrow("");
        assert_eq!(crate::check::check(&asked), Ok(()));
    }
}
