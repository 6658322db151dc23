//! How much there was lately: sums over a sliding window of virtual time, in a fixed number of parts.
//!
//! Invariant: what is older than the window is in no sum, and neither is what comes later than that; the oldest part
//! goes as a whole, so the window is up to one part shorter than it says.

use std::time::Duration;

use hivewall_model::Timestamp;

/// A sliding sum in `N` parts.
#[derive(Clone, Debug)]
pub(crate) struct Window<const N: usize> {
    parts: [u64; N],
    /// Number of the newest part, counted from the epoch; `None` before the first.
    newest: Option<i64>,
    part_ns: i64,
}

impl<const N: usize> Window<N> {
    /// Over `span`, which is at least `N` nanoseconds.
    pub(crate) fn new(span: Duration) -> Self {
        let part_ns = i64::try_from(span.as_nanos() / N as u128).unwrap_or(i64::MAX).max(1);
        Self { parts: [0; N], newest: None, part_ns }
    }

    /// Adds what was at `time`. What is older than the window is left out.
    pub(crate) fn add(&mut self, time: Timestamp, amount: u64) {
        let part = time.0.div_euclid(self.part_ns);
        let newest = *self.newest.get_or_insert(part);
        if part > newest {
            self.move_to(part);
        } else if newest - part >= N as i64 {
            return;
        }
        if let Some(place) = self.parts.get_mut(place_of::<N>(part)) {
            *place = place.saturating_add(amount);
        }
    }

    /// Adds what came evenly from `from` to `to`; the rest of a division goes to the end.
    pub(crate) fn spread(&mut self, from: Timestamp, to: Timestamp, amount: u64) {
        let (first, last) = (from.0.div_euclid(self.part_ns), to.0.div_euclid(self.part_ns));
        let whole = to.since(from).as_nanos().max(1);
        let first = first.max(last - N as i64);
        let mut left = amount;
        for part in first..last {
            let begin = (part * self.part_ns).max(from.0);
            let share = (part + 1) * self.part_ns - begin;
            let some = u64::try_from(u128::from(amount) * share.max(0) as u128 / whole).unwrap_or(0).min(left);
            left -= some;
            self.add(Timestamp(begin), some);
        }
        let before_ns = u128::try_from(first * self.part_ns - from.0).unwrap_or(0);
        let before = u64::try_from(u128::from(amount) * before_ns / whole).unwrap_or(0);
        self.add(to, left - before.min(left));
    }

    /// The sum of the window that ends at `now`.
    #[allow(dead_code, reason = "detectors use parts of it")]
    pub(crate) fn sum(&mut self, now: Timestamp) -> u64 {
        self.advance(now);
        self.total()
    }

    /// The sum of the window that ends with the newest part.
    pub(crate) fn total(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }

    /// The greatest part, and so the greatest rate within the window times the length of a part.
    pub(crate) fn peak(&self) -> u64 {
        self.parts.iter().copied().max().unwrap_or(0)
    }

    /// Length of a part, seconds.
    #[allow(dead_code, reason = "detectors use parts of it")]
    pub(crate) fn part_seconds(&self) -> f64 {
        self.part_ns as f64 / 1e9
    }

    /// Lets pass what time there was without anything.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        let part = now.0.div_euclid(self.part_ns);
        if self.newest.is_some_and(|newest| part > newest) {
            self.move_to(part);
        }
    }

    fn move_to(&mut self, part: i64) {
        let newest = self.newest.replace(part).unwrap_or(part);
        let steps = (part - newest).min(N as i64);
        for step in 0..steps {
            if let Some(place) = self.parts.get_mut(place_of::<N>(part - step)) {
                *place = 0;
            }
        }
    }
}

fn place_of<const N: usize>(part: i64) -> usize {
    part.rem_euclid(N as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + milliseconds)
    }

    #[test]
    fn what_lies_within_the_window_is_summed_and_what_is_older_is_not() {
        let mut window: Window<10> = Window::new(Duration::from_secs(10));
        window.add(at(0), 5);
        window.add(at(4_500), 7);
        assert_eq!(window.sum(at(9_999)), 12);
        assert_eq!(window.sum(at(10_000)), 7);
        assert_eq!(window.sum(at(60_000)), 0);
    }

    #[test]
    fn what_comes_late_is_counted_where_it_belongs_or_not_at_all() {
        let mut window: Window<10> = Window::new(Duration::from_secs(10));
        window.add(at(20_000), 1);
        window.add(at(15_000), 2);
        window.add(at(5_000), 4);
        assert_eq!((window.total(), window.peak()), (3, 2));
        assert_eq!(window.sum(at(25_500)), 1);
    }

    #[test]
    fn what_came_over_a_time_lies_in_all_parts_of_it() {
        let mut window: Window<5> = Window::new(Duration::from_secs(5));
        window.spread(at(500), at(2_500), 200);
        assert_eq!((window.total(), window.peak()), (200, 100));
        let mut window: Window<5> = Window::new(Duration::from_secs(5));
        window.spread(at(0), at(100_000), 1_000);
        assert!(window.total() <= 60 && window.peak() <= 20, "{window:?}");
        let mut window: Window<5> = Window::new(Duration::from_secs(5));
        window.spread(at(700), at(700), 7);
        assert_eq!((window.total(), window.peak()), (7, 7));
    }

    #[test]
    fn a_long_pause_empties_it_and_sums_do_not_overflow() {
        let mut window: Window<4> = Window::new(Duration::from_secs(1));
        window.add(at(0), u64::MAX);
        window.add(at(250), 1);
        assert_eq!(window.total(), u64::MAX);
        window.add(at(86_400_000), 1);
        assert_eq!(window.total(), 1);
        assert!((window.part_seconds() - 0.25).abs() < 1e-9);
    }
}
