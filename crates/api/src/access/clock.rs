//! Time, as access needs it: how long ago, which no change of the wall clock shifts, and when, for people.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hivewall_model::Timestamp;

/// A moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since some moment before; only grows.
    pub elapsed: Duration,
    /// By the wall clock.
    pub wall: Timestamp,
}

/// Where moments come from.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Moment + Send + Sync>);

impl Clock {
    /// A clock that tells what `tell` does.
    pub fn new(tell: impl Fn() -> Moment + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn now(&self) -> Moment {
        (self.0)()
    }
}

impl Default for Clock {
    /// This host's.
    fn default() -> Self {
        let begin = Instant::now();
        Self::new(move || {
            let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Moment { elapsed: begin.elapsed(), wall: Timestamp::default() + wall }
        })
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
