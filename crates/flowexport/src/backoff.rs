//! How long to leave a target alone that failed.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

/// After the first failure; doubled by each that follows.
const FIRST: Duration = Duration::from_millis(250);

/// At most. A target that was gone for a minute gets what waited for it soon after.
const LONGEST: Duration = Duration::from_secs(10);

/// Whatever holds this long has recovered.
const STEADY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// One more failure: says how long to wait.
    pub(crate) fn fail(&mut self, now: Instant) -> Duration {
        let delay = FIRST.saturating_mul(1 << self.failures.min(8)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // Between half and all of it, so that a whole fleet does not come back in one moment. The seeds of the standard
        // library's hash tables are random.
        let share = RandomState::new().build_hasher().finish() % 512;
        let delay = delay.mul_f64((512 + share) as f64 / 1024.0);
        self.until = Some(now + delay);
        delay
    }

    /// What is left of the wait.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// It has been well since then.
    pub(crate) fn well_since(&mut self, since: Instant, now: Instant) {
        if now.saturating_duration_since(since) >= STEADY {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_once_it_holds() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..12).map(|_| backoff.fail(start)).collect();
        for (at, wait) in waits.iter().enumerate() {
            let whole = FIRST.saturating_mul(1 << at.min(8)).min(LONGEST);
            assert!(*wait >= whole / 2 && *wait <= whole, "wait {at} is {wait:?} of {whole:?}");
        }
        assert!(backoff.left(start) > Duration::from_secs(4));
        backoff.well_since(start, start + STEADY / 2);
        assert!(backoff.left(start) > Duration::ZERO);
        backoff.well_since(start, start + STEADY);
        assert_eq!(backoff.left(start), Duration::ZERO);
        assert!(backoff.fail(start) <= FIRST);
    }
}
