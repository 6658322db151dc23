//! Points in time. Formatting belongs to `view`.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Nanoseconds since the Unix epoch, from the wall clock of the host or of a capture. Covers the years 1678–2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From whole seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * 1_000_000_000)
    }

    /// From milliseconds.
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds * 1_000_000)
    }

    /// Whole seconds, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Time since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(rhs.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(rhs.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// Turns the datapath's clock ticks into wall-clock time: one known pair and the length of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TickClock {
    /// Ticks at `time`.
    pub ticks: u64,
    /// Wall-clock time at `ticks`.
    pub time: Timestamp,
    /// Nanoseconds of one tick.
    pub tick_ns: u64,
}

impl TickClock {
    /// The time of a tick given by its lower 32 bits, which lies within 2³¹ ticks of the known pair.
    pub fn time_of(&self, ticks: u32) -> Timestamp {
        let ahead = i64::from(ticks.wrapping_sub(self.ticks as u32) as i32);
        Timestamp(self.time.0.saturating_add(ahead.saturating_mul(self.tick_ns as i64)))
    }
}
