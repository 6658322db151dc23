//! What a formatter of units writes, its parser reads back, within the digits shown.

use std::time::Duration;

use hivewall_view::units::{bytes, count, duration, memory, parse_count, parse_duration, parse_rate, parse_size, rate};
use proptest::prelude::*;

/// Numbers of every size.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(n, shift)| n >> shift)
}

/// Whether `read` is `value` within half of the last digit shown: 5% for `1.0`, 0.5% for `100`; exact when `exact`.
fn near(read: u64, value: u64, exact: bool) -> bool {
    if exact { read == value } else { (read as f64 - value as f64).abs() <= value as f64 * 0.0501 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn sizes_read_back(value in number()) {
        // Rounding up may pass what 64 bits hold.
        prop_assume!(value < u64::MAX / 2);
        prop_assert!(near(parse_size(&bytes(value)).unwrap(), value, value < 1000), "{}", bytes(value));
        prop_assert!(near(parse_size(&memory(value)).unwrap(), value, value < 1000), "{}", memory(value));
    }

    #[test]
    fn counts_and_rates_read_back(value in number()) {
        prop_assume!(value < u64::MAX / 2);
        prop_assert!(near(parse_count(&count(value)).unwrap(), value, value < 1000), "{}", count(value));
        prop_assert!(near(parse_rate(&rate(value as f64)).unwrap(), value, value < 1000), "{}", rate(value as f64));
    }

    #[test]
    fn durations_read_back(nanos in number()) {
        prop_assume!(nanos < u64::MAX / 2);
        let span = Duration::from_nanos(nanos);
        let read = parse_duration(&duration(span)).unwrap();
        // Half of the last unit shown; each unit is rounded from the one before it.
        let slack = [
            (1_000_000, 500),
            (1_000_000_000, 500_500),
            (60_000_000_000, 50_500_500),
            (3_600_000_000_000, 500_500_500),
            (86_400_000_000_000, 30_500_500_500),
        ];
        let slack = slack.iter().find(|(below, _)| nanos < *below).map_or(1_830_500_500_500, |(_, slack)| *slack);
        prop_assert!(read.abs_diff(span) <= Duration::from_nanos(slack), "{} {:?}", duration(span), span);
    }

    #[test]
    fn what_is_shown_is_short(value in number()) {
        prop_assert!(bytes(value).len() <= 8 && memory(value).len() <= 9 && count(value).len() <= 5, "{}", value);
        prop_assert!(rate(value as f64).len() <= 12, "{}", rate(value as f64));
        // `10000d00h` and above: lifetimes of no flow.
        prop_assert!(duration(Duration::from_nanos(value)).len() <= 9 || value > 860_000_000_000_000_000);
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in "[0-9.kMGTPEibBs/µmhdw -]{0,24}") {
        let _ = (parse_size(&text), parse_count(&text), parse_rate(&text), parse_duration(&text));
    }
}
