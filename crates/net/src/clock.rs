//! The clocks of a node. Nothing else in this crate asks the system for a time, connections aside.
//!
//! Invariant: [`Clock::us`] never goes back.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hivewall_cluster::Now;

/// Both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "only where no clock counts sleep"))]
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Microseconds of a clock that counts while the host sleeps.
    #[cfg(target_os = "linux")]
    #[expect(clippy::unused_self, reason = "elsewhere the clock begins with the node")]
    pub(crate) fn us(self) -> u64 {
        use nix::time::{ClockId, clock_gettime};
        clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map_or(0, |time| time.tv_sec() as u64 * 1_000_000 + time.tv_nsec() as u64 / 1000)
    }

    /// Microseconds since the node began; the host's sleep is not in it.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn us(self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    pub(crate) fn now(self) -> Now {
        Now { ms: self.us() / 1000, unix_ms: unix_us() / 1000 }
    }
}

/// Microseconds since the Unix epoch.
pub(crate) fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Seconds since the Unix epoch.
pub(crate) fn unix_s() -> u64 {
    unix_us() / 1_000_000
}
