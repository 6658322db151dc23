//! When a target that failed is tried again.
//!
//! How long the waits are is told by [`Backoff`]; this remembers since when.

use std::time::{Duration, Instant};

use hivewall_outbound::Backoff;

/// After the first failure; doubled by each that follows.
const FIRST: Duration = Duration::from_millis(250);

/// At most. A target that was gone for a minute gets what waited for it soon after.
const LONGEST: Duration = Duration::from_secs(10);

/// Whatever holds this long has recovered.
const STEADY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Rest {
    waits: Backoff,
    until: Option<Instant>,
}

impl Default for Rest {
    fn default() -> Self {
        Self { waits: Backoff::new(FIRST, LONGEST), until: None }
    }
}

impl Rest {
    /// One more failure: says how long to wait.
    pub(crate) fn fail(&mut self, now: Instant) -> Duration {
        let wait = self.waits.wait(None);
        self.until = Some(now + wait);
        wait
    }

    /// What is left of the wait.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// It works.
    pub(crate) fn end(&mut self) {
        self.waits.reset();
        self.until = None;
    }

    /// It has been well since then: at a moment's success nothing is forgotten yet.
    pub(crate) fn well_since(&mut self, since: Instant, now: Instant) {
        if now.saturating_duration_since(since) >= STEADY {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_ends_by_itself_and_waits_begin_anew_once_it_holds() {
        let start = Instant::now();
        let mut rest = Rest::default();
        for _ in 0..8 {
            rest.fail(start);
        }
        assert!(rest.left(start) >= LONGEST / 2 && rest.left(start + LONGEST).is_zero());
        rest.well_since(start, start + STEADY / 2);
        assert!(!rest.left(start).is_zero());
        rest.well_since(start, start + STEADY);
        assert!(rest.left(start).is_zero() && rest.fail(start) <= FIRST);
    }
}
