//! Time as text: RFC 3339 with microseconds in UTC, which is what JSON carries, and the ways people name a moment.
//!
//! There is no clock here: whoever says "five minutes ago" brings the present along. Times without an offset are UTC.

use hivewall_model::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

use crate::units;

/// RFC 3339, UTC, microseconds: `2026-11-21T10:00:00.000000Z`.
pub fn rfc3339(time: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time.0)) {
        Ok(t) => jiff::fmt::temporal::DateTimePrinter::new().precision(Some(6)).timestamp_to_string(&t),
        // jiff covers the years −9999 to 9999, i64 nanoseconds only 1678 to 2262.
        Err(_) => String::new(),
    }
}

/// Reads RFC 3339 with any offset.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok().map(Timestamp)
}

/// Reads a moment as people write it: RFC 3339; a date (`2026-11-21`, its midnight) or a date and a time without an
/// offset, both UTC; `@` and seconds since 1970; `now`; or how long ago (`5m`, `2h`).
pub fn parse_time(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("now") {
        return Some(now);
    }
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000).map(Timestamp);
    }
    if let Some(ago) = units::parse_duration(text) {
        // Four digits alone would be seconds; a year is more likely meant, and neither is what a time looks like.
        return text.ends_with(|c: char| c.is_ascii_alphabetic()).then(|| now - ago);
    }
    parse_rfc3339(text).or_else(|| {
        // A date is also a civil date-time: midnight.
        let civil: civil::DateTime = text.parse().ok()?;
        let time = TimeZone::UTC.to_timestamp(civil).ok()?;
        i64::try_from(time.as_nanosecond()).ok().map(Timestamp)
    })
}

/// An RFC 3339 text in UTC without its fraction of a second, which nobody reads on a terminal.
pub fn to_the_second(rfc3339: &str) -> String {
    rfc3339.split_once('.').map_or_else(|| rfc3339.to_owned(), |(second, _)| format!("{second}Z"))
}

/// The time of day of an RFC 3339 text, to the second: `10:00:00`; what is not RFC 3339 comes back whole.
pub fn time_of_day(rfc3339: &str) -> &str {
    rfc3339.get(11..19).unwrap_or(rfc3339)
}

/// Cut to whole microseconds, rounding down: the resolution that JSON carries.
pub(crate) fn to_micros(time: Timestamp) -> Timestamp {
    // The first moments of 1677 have no whole microsecond before them.
    Timestamp(time.0.checked_sub(time.0.rem_euclid(1000)).unwrap_or(i64::MIN / 1000 * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_255_200);

    #[test]
    fn every_way_to_name_a_moment_is_read() {
        for (text, want) in [
            ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00.000000Z"),
            ("2026-11-21T10:00:00+02:00", "2026-11-21T08:00:00.000000Z"),
            ("2026-11-21 10:00", "2026-11-21T10:00:00.000000Z"),
            ("2026-11-21T10:00:00.5", "2026-11-21T10:00:00.500000Z"),
            ("2026-11-21", "2026-11-21T00:00:00.000000Z"),
            ("@1700000000", "2023-11-14T22:13:20.000000Z"),
            ("now", "2026-11-21T10:00:00.000000Z"),
            ("5m", "2026-11-21T09:55:00.000000Z"),
            ("1h30m", "2026-11-21T08:30:00.000000Z"),
        ] {
            assert_eq!(parse_time(text, NOW).map(rfc3339).as_deref(), Some(want), "{text}");
        }
    }

    #[test]
    fn what_names_no_moment_is_refused() {
        for text in ["", "5", "2026", "yesterday", "@", "@x", "2026-13-01", "25:00", "@9999999999999"] {
            assert_eq!(parse_time(text, NOW), None, "{text}");
        }
    }

    #[test]
    fn cutting_to_microseconds_rounds_down_and_survives_the_ends_of_time() {
        assert_eq!(to_micros(Timestamp(1_999)), Timestamp(1_000));
        assert_eq!(to_micros(Timestamp(-1)), Timestamp(-1_000));
        for end in [Timestamp(i64::MIN), Timestamp(i64::MAX)] {
            let cut = to_micros(end);
            assert_eq!(parse_rfc3339(&rfc3339(cut)), Some(cut));
        }
    }
}
