//! How often detectors speak, and the middle of values. How numbers are written is `view::units`.
//!
//! Invariant: a [`Voice`] never holds back what became worse.

use std::time::Duration;

use hivewall_model::Timestamp;

/// Middle of the values, which are sorted for it; 0 for none.
pub(crate) fn median(values: &mut [u64]) -> u64 {
    let middle = values.len() / 2;
    values.sort_unstable();
    values.get(middle).copied().unwrap_or(0)
}

/// Lets something be said at most once in ten seconds, and at once when it became worse.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Voice {
    said: Option<(Timestamp, u8)>,
}

impl Voice {
    /// Whether it is time to say so, at this level (greater is worse).
    pub(crate) fn is_due(&mut self, now: Timestamp, level: u8) -> bool {
        let is_due = match self.said {
            None => true,
            Some((at, before)) => level > before || now.since(at) >= Duration::from_secs(10),
        };
        if is_due {
            self.said = Some((now, level));
        }
        is_due
    }
}
