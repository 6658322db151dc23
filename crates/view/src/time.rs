//! Time as text: RFC 3339 with microseconds in UTC, which is what JSON carries.

use hivewall_model::Timestamp;

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
