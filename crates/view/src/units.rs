//! Numbers as people read and write them, the same on every surface.
//!
//! Traffic is decimal, as links are sold and as every network tool counts: bytes `1.5 MB`, rates `12.3 Mbit/s`, counts
//! `12.3k`. Memory is binary, as the kernel counts: `38.2 MiB`. Durations are `250ms`, `3.2s`, `4m05s`, `1h02m`,
//! `3d04h`. Machine formats (JSON, CSV) carry plain numbers and do not come here.
//!
//! Invariant: what a formatter writes, its parser reads back, within the digits shown.

use std::time::Duration;

const DECIMAL: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// A value and the index of its prefix: three digits, and no `1000 k`.
fn scaled(value: f64, base: f64, prefixes: &[&'static str]) -> (String, &'static str) {
    let mut value = value;
    let mut prefixes = prefixes.iter().copied();
    let mut prefix = prefixes.next().unwrap_or_default();
    if value < base - 0.5 {
        return (format!("{value:.0}"), prefix);
    }
    for next in prefixes {
        value /= base;
        prefix = next;
        // 999.5 would be printed as 1000.
        if value < base - 0.5 {
            break;
        }
    }
    (if value < 99.95 { format!("{value:.1}") } else { format!("{value:.0}") }, prefix)
}

/// Bytes of traffic, decimal: `999 B`, `1.5 MB`.
pub fn bytes(bytes: u64) -> String {
    let (value, prefix) = scaled(bytes as f64, 1000.0, &DECIMAL);
    format!("{value} {prefix}B")
}

/// Bytes of memory, binary: `38.2 MiB`.
pub fn memory(bytes: u64) -> String {
    let (value, prefix) = scaled(bytes as f64, 1024.0, &BINARY);
    format!("{value} {prefix}B")
}

/// Bits per second, decimal: `12.3 Mbit/s`; below one bit a second `0 bit/s`, as for anything that is no number.
pub fn rate(bits_per_second: f64) -> String {
    let (value, prefix) = scaled(positive(bits_per_second), 1000.0, &DECIMAL);
    format!("{value} {prefix}bit/s")
}

/// A count: `999`, `12.3k`, `4.5M`.
pub fn count(count: u64) -> String {
    let (value, prefix) = scaled(count as f64, 1000.0, &DECIMAL);
    format!("{value}{prefix}")
}

/// Events per second: `0.4/s`, `12.3k/s`.
pub fn per_second(value: f64) -> String {
    let value = positive(value);
    if value > 0.0 && value < 9.95 {
        return format!("{value:.1}/s");
    }
    let (value, prefix) = scaled(value, 1000.0, &DECIMAL);
    format!("{value}{prefix}/s")
}

/// A share from 0 to 1 as per cent: `<0.1%`, `3.2%`, `87%`.
pub fn percent(share: f64) -> String {
    let percent = positive(share) * 100.0;
    if percent > 0.0 && percent < 0.05 {
        return "<0.1%".to_owned();
    }
    if percent > 0.0 && percent < 9.95 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}

/// A time span: `0s`, `850us`, `250ms`, `3.2s`, `4m05s`, `1h02m`, `3d04h`; two units at most, rounded to the nearest.
pub fn duration(duration: Duration) -> String {
    let micros = (duration.as_nanos() + 500) / 1000;
    if micros == 0 {
        return "0s".to_owned();
    }
    if micros < 1000 {
        return format!("{micros}us");
    }
    let millis = (micros + 500) / 1000;
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let tenths = (millis + 50) / 100;
    if tenths < 600 {
        return format!("{}.{}s", tenths / 10, tenths % 10);
    }
    let seconds = (millis + 500) / 1000;
    if seconds < 3600 {
        return format!("{}m{:02}s", seconds / 60, seconds % 60);
    }
    let minutes = (seconds + 30) / 60;
    if minutes < 24 * 60 {
        return format!("{}h{:02}m", minutes / 60, minutes % 60);
    }
    let hours = (minutes + 30) / 60;
    format!("{}d{:02}h", hours / 24, hours % 24)
}

/// The same for seconds as JSON carries them; what is no time span is `0s`.
pub fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(positive(seconds)).unwrap_or_default())
}

/// The largest decimal prefix that leaves a whole number: `1500000` is `1500k`. [`parse_count`] reads it back exactly.
pub(crate) fn exact_count(value: u64) -> String {
    let mut value = value;
    let mut prefix = "";
    for next in DECIMAL.iter().skip(1) {
        if value == 0 || !value.is_multiple_of(1000) {
            break;
        }
        value /= 1000;
        prefix = next;
    }
    format!("{value}{prefix}")
}

/// The largest unit that leaves a whole number: `90000000` µs are `90s`. [`parse_duration`] reads it back exactly.
pub(crate) fn exact_micros(micros: u64) -> String {
    const UNITS: [(u64, &str); 5] =
        [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1000, "ms")];
    if micros == 0 {
        return "0s".to_owned();
    }
    UNITS
        .iter()
        .find(|(unit, _)| micros.is_multiple_of(*unit))
        .map_or_else(|| format!("{micros}us"), |(unit, name)| format!("{}{name}", micros / unit))
}

/// Reads a number of bytes: `1500`, `10k`, `1.5MB`, `2GiB`; `k`, `M`, … are decimal, `Ki`, `Mi`, … binary, whatever the
/// case. Fractions of a byte are rounded.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    multiplied(number, prefix(unit)?)
}

/// Reads a count: `1500`, `10k`, `1.5M`.
pub fn parse_count(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    multiplied(number, prefix(&unit)?)
}

/// Reads a rate as bits per second: `1M`, `1.5Mbit/s`, `100kbps`; and bytes where it says so: `2MB/s`, `1MiB/s`.
pub fn parse_rate(text: &str) -> Option<u64> {
    let text = text.trim();
    for (suffix, factor) in [("bit/s", 1), ("bits/s", 1), ("bps", 1), ("bit", 1), ("B/s", 8)] {
        let Some(cut) = text.len().checked_sub(suffix.len()) else { continue };
        let Some((head, tail)) = text.split_at_checked(cut) else { continue };
        // `Mb/s` is read as bits by some and as bytes by others: only the capital B is taken.
        if tail == suffix || (factor == 1 && tail.eq_ignore_ascii_case(suffix)) {
            let (number, unit) = number_and_unit(head)?;
            return multiplied(number, prefix(&unit)? * factor);
        }
    }
    parse_count(text)
}

/// Reads a time span: `500ms`, `5m`, `2h`, `1h02m`, `1.5s`; a number alone is seconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut nanos: u128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, tail) = split_number(rest)?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, next) = tail.split_at_checked(end)?;
        let unit = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "s" | "sec" | "secs" => 1_000_000_000,
            "ns" => 1,
            "us" | "µs" => 1000,
            "ms" => 1_000_000,
            "m" | "min" | "mins" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return None,
        };
        nanos = nanos.checked_add(u128::from(multiplied(number, unit)?))?;
        rest = next;
    }
    Some(Duration::from_nanos(u64::try_from(nanos).ok()?))
}

/// A decimal number kept exact: its digits without the point, and how many of them stand behind it.
type Decimal = (u64, u32);

fn split_number(text: &str) -> Option<(Decimal, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let digits = [whole, fraction].concat().parse().ok()?;
    Some(((digits, fraction.len() as u32), rest))
}

fn number_and_unit(text: &str) -> Option<(Decimal, String)> {
    let (number, rest) = split_number(text.trim())?;
    Some((number, rest.trim().to_ascii_lowercase()))
}

/// `None` for what 64 bits cannot hold.
fn multiplied((digits, decimals): Decimal, factor: u128) -> Option<u64> {
    let scale = 10_u128.checked_pow(decimals)?;
    let value = u128::from(digits).checked_mul(factor)?;
    u64::try_from((value + scale / 2) / scale).ok()
}

fn prefix(unit: &str) -> Option<u128> {
    let (letters, base) = match unit.strip_suffix('i') {
        Some(letters) if !letters.is_empty() => (letters, 1024_u128),
        _ => (unit, 1000),
    };
    let power = DECIMAL.iter().position(|prefix| prefix.eq_ignore_ascii_case(letters))?;
    base.checked_pow(u32::try_from(power).ok()?)
}

fn positive(value: f64) -> f64 {
    if value.is_finite() && value > 0.0 { value } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_decimal_and_memory_is_binary() {
        let shown = [0, 999, 1000, 1500, 99_949, 99_950, 999_499, 999_500, 1_500_000, u64::MAX].map(bytes);
        assert_eq!(
            shown,
            ["0 B", "999 B", "1.0 kB", "1.5 kB", "99.9 kB", "100 kB", "999 kB", "1.0 MB", "1.5 MB", "18.4 EB"]
        );
        assert_eq!([1023, 1024, 40_055_603].map(memory), ["1023 B", "1.0 KiB", "38.2 MiB"]);
    }

    #[test]
    fn counts_rates_and_shares_have_three_digits() {
        assert_eq!([7, 12_345, 123_456, 4_500_000].map(count), ["7", "12.3k", "123k", "4.5M"]);
        assert_eq!([0.0, 12.4, 12_345_678.0, 1e10].map(rate), ["0 bit/s", "12 bit/s", "12.3 Mbit/s", "10.0 Gbit/s"]);
        assert_eq!([f64::NAN, -1.0, f64::INFINITY].map(rate), ["0 bit/s", "0 bit/s", "0 bit/s"]);
        assert_eq!([0.0, 0.42, 12.0, 12_345.0].map(per_second), ["0/s", "0.4/s", "12/s", "12.3k/s"]);
        assert_eq!([0.0, 0.0004, 0.032, 0.87, 1.0].map(percent), ["0%", "<0.1%", "3.2%", "87%", "100%"]);
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let shown = [0, 850, 250_000, 999_600, 3_240_000, 59_960_000, 245_000_000, 3_720_000_000, 273_600_000_000]
            .map(|micros| duration(Duration::from_micros(micros)));
        assert_eq!(shown, ["0s", "850us", "250ms", "1.0s", "3.2s", "1m00s", "4m05s", "1h02m", "3d04h"]);
    }

    #[test]
    fn sizes_are_read_in_every_usual_spelling() {
        for (text, want) in [
            ("10k", 10_000),
            ("1.5MB", 1_500_000),
            ("1.5 mb", 1_500_000),
            ("2GiB", 2 << 30),
            ("1Ki", 1024),
            ("7", 7),
            ("7B", 7),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Some(want), "{text}");
        }
        for text in ["", "k", "1x", "1..2", ".", "-1", "1 2", "19000000000000000000000", "100E", "1i"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn rates_are_bits_unless_they_say_bytes() {
        for (text, want) in [
            ("1M", 1_000_000),
            ("1.5Mbit/s", 1_500_000),
            ("100kbps", 100_000),
            ("2MB/s", 16_000_000),
            ("1MiB/s", 8 << 20),
            ("12.3 Mbit/s", 12_300_000),
        ] {
            assert_eq!(parse_rate(text), Some(want), "{text}");
        }
        assert_eq!(parse_rate("1Mb/s"), None, "bits or bytes: nobody knows");
    }

    #[test]
    fn durations_are_read_in_every_usual_spelling() {
        for (text, millis) in
            [("500ms", 500), ("5m", 300_000), ("2h", 7_200_000), ("1h02m", 3_720_000), ("1.5s", 1500), ("90", 90_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "m", "5x", "1h-2m", "99999999999w"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
