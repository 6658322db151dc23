//! The clock of NetFlow v5 and v9: milliseconds since the exporter came up, in 32 bits that wrap after 49.7 days.
//!
//! Collectors compute the boot time from each header and add a record's uptime, so the two have to agree to the
//! millisecond. Invariant: no record is later than the header of a message sealed after it.

use hivewall_model::Timestamp;

/// Flows may have begun before the exporter did: it says that it came up a day earlier.
const HEAD_START_MS: u64 = 24 * 3600 * 1000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Uptime {
    /// Milliseconds since 1970, a whole second.
    base_ms: u64,
}

impl Uptime {
    pub(crate) fn new(now: Timestamp) -> Self {
        let seconds = u64::try_from(now.secs()).unwrap_or(0);
        Self { base_ms: (seconds * 1000).saturating_sub(HEAD_START_MS) }
    }

    /// A record's uptime; what lies before the exporter's is cut to it.
    pub(crate) fn of(self, at_ms: u64) -> u32 {
        at_ms.saturating_sub(self.base_ms) as u32
    }

    /// Uptime and seconds since 1970 of a header. Seconds are rounded up: rounded down, a record of this second would
    /// be later than its header, which collectors take for a clock that has wrapped.
    pub(crate) fn header(self, now: Timestamp) -> (u32, u32) {
        let seconds = u64::try_from(now.0).unwrap_or(0).div_ceil(1_000_000_000);
        (self.of(seconds * 1000), seconds as u32)
    }
}
