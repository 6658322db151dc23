//! How long to wait before the next attempt: doubling, with jitter, so that many hosts do not come back at once.

use std::time::Duration;

/// Waits of one destination. No clock: it gives durations.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// From the shortest to the longest wait.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min), failures: 0 }
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// After a failure: how long to wait. Between half of the doubled wait and all of it, and no less than what the other
    /// side asked for, of which at most an hour is believed.
    pub fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let mut random = [0; 4];
        // Without randomness all hosts come back together, which is no reason not to come back.
        let share =
            getrandom::fill(&mut random).map_or(1.0, |()| f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX));
        self.wait_with(asked, share)
    }

    fn wait_with(&mut self, asked: Option<Duration>, share: f64) -> Duration {
        let doubled = self.min.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(self.max);
        self.failures = self.failures.saturating_add(1).min(31);
        doubled.mul_f64(0.5 + share / 2.0).max(asked.unwrap_or_default().min(ASKED_MAX))
    }
}

/// What is believed of a wait that the other side asks for.
const ASKED_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
        let waits: Vec<_> = (0..40).map(|_| backoff.wait_with(None, 1.0).as_secs()).collect();
        assert_eq!(waits[..6], [1, 2, 4, 8, 10, 10]);
        assert_eq!(waits[39], 10);
        backoff.reset();
        assert_eq!(backoff.wait_with(None, 0.0), Duration::from_millis(500));
    }

    #[test]
    fn what_is_asked_for_is_waited_within_reason() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
        assert_eq!(backoff.wait_with(Some(Duration::from_secs(77)), 1.0), Duration::from_secs(77));
        assert_eq!(backoff.wait_with(Some(Duration::from_secs(1 << 40)), 1.0), Duration::from_secs(3600));
    }

    #[test]
    fn jitter_stays_between_half_and_all() {
        let mut backoff = Backoff::new(Duration::from_secs(8), Duration::from_secs(8));
        for _ in 0..100 {
            let wait = backoff.wait(None);
            assert!(wait >= Duration::from_secs(4) && wait <= Duration::from_secs(8), "{wait:?}");
        }
    }
}
