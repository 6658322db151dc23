//! So many events in a second, spread evenly.

use std::thread;
use std::time::{Duration, Instant};

use crate::Limits;

/// Longest pause between two looks at the limits.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Hands out turns.
pub(crate) struct Pace {
    start: Instant,
    per_second: u64,
    given: u64,
}

impl Pace {
    pub(crate) fn new(per_second: u64) -> Self {
        Self { start: Instant::now(), per_second: per_second.max(1), given: 0 }
    }

    /// Waits for the next turn; false when the time is over.
    pub(crate) fn turn(&mut self, limits: Limits<'_>) -> bool {
        let due = self.start + Duration::from_nanos(self.given * 1_000_000_000 / self.per_second);
        loop {
            if limits.over() {
                return false;
            }
            let wait = due.saturating_duration_since(Instant::now());
            // A pause this short is longer than it says; the turns after it make up for that.
            if wait < Duration::from_millis(1) {
                self.given += 1;
                return true;
            }
            thread::sleep(wait.min(PAUSE_MAX));
        }
    }
}
