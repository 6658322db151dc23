//! The few ways to write a number that only a terminal needs. Not here: units, which are the same on every surface
//! ([`hivewall_view::units`]).

use std::time::Duration;

use hivewall_view::units;

/// `1,234,567`.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `5s` and not `5.0s`, for times that are counted in whole seconds; the rest as everywhere.
pub(crate) fn whole_seconds(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 && time.subsec_nanos() == 0 { format!("{seconds}s") } else { units::duration(time) }
}

/// A short time in three digits: `850µs`, `12.3ms`, `1.20s`. Delays of networks differ where whole milliseconds do not.
pub(crate) fn latency(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if !s.is_finite() || s <= 0.0 => return "0".to_owned(),
        s if s < 0.000_999_5 => return format!("{:.0}µs", s * 1e6),
        s if s < 0.999_5 => (s * 1e3, "ms"),
        s if s < 60.0 => (s, "s"),
        s => return units::seconds(s),
    };
    match value {
        v if v < 9.995 => format!("{v:.2}{unit}"),
        v if v < 99.95 => format!("{v:.1}{unit}"),
        v => format!("{v:.0}{unit}"),
    }
}

/// A share that is better the nearer it comes to all: rounded down to a tenth, so that `100%` means all.
pub(crate) fn quality(share: f64) -> String {
    let tenths = (share.clamp(0.0, 1.0) * 1000.0).floor() / 10.0;
    if share >= 1.0 { "100%".to_owned() } else { format!("{tenths:.1}%") }
}

/// A dot for zero, so that a column of zeros is quiet.
pub(crate) fn or_dot(value: u64, text: String) -> String {
    if value == 0 { "·".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_threes() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(or_dot(0, "x".to_owned()), "·");
    }

    #[test]
    fn delays_have_three_digits() {
        let shown = [0.0, 0.000_085, 0.001_234, 0.012_34, 0.123_4, 0.999_6, 12.34, 90.0].map(latency);
        assert_eq!(shown, ["0", "85µs", "1.23ms", "12.3ms", "123ms", "1.00s", "12.3s", "1m30s"]);
    }

    #[test]
    fn nearly_all_is_not_all() {
        assert_eq!([0.0, 0.985_6, 0.999_99, 1.0].map(quality), ["0.0%", "98.5%", "99.9%", "100%"]);
    }

    #[test]
    fn whole_seconds_have_no_tenths() {
        let shown = [0, 250, 5000, 90_000].map(|millis| whole_seconds(Duration::from_millis(millis)));
        assert_eq!(shown, ["0s", "250ms", "5s", "1m30s"]);
    }
}
