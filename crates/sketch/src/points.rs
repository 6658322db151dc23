//! A Count-Min sketch with conservative update: about how many bytes any address has, also those that no table lists.
//!
//! Counters are kept in units that double when numbers grow large, so that they stay short on the wire. Invariant: an
//! answer is never less than the truth.

use serde::{Deserialize, Serialize};

/// Counters in a row.
const WIDTH: usize = 512;
/// Rows.
const DEPTH: usize = 4;
/// Bytes of one unit of a counter: what a point query is rounded up to.
const UNIT: u64 = 1024;

/// Counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Points {
    counters: Vec<u64>,
}

impl Default for Points {
    fn default() -> Self {
        Self { counters: vec![0; WIDTH * DEPTH] }
    }
}

impl Points {
    /// Counts bytes of a key that is counted once: the caller has added its flows up.
    pub(crate) fn add(&mut self, key: u64, bytes: u64) {
        let least = self.least(key);
        let target = least.saturating_add(bytes.div_ceil(UNIT));
        for at in places(key) {
            if let Some(counter) = self.counters.get_mut(at) {
                *counter = (*counter).max(target);
            }
        }
    }

    /// Adds another sketch. Sums of upper bounds are upper bounds.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (counter, more) in self.counters.iter_mut().zip(&other.counters) {
            *counter = counter.saturating_add(*more);
        }
    }

    /// At most how many bytes a key has.
    pub(crate) fn bytes_max(&self, key: u64) -> u64 {
        self.least(key).saturating_mul(UNIT)
    }

    /// By how much an answer is too large, except for one key in fifty: twice the mean load of a counter.
    pub(crate) fn error(&self) -> u64 {
        let row: u64 = self.counters.iter().take(WIDTH).fold(0, |sum, counter| sum.saturating_add(*counter));
        (row / WIDTH as u64).saturating_mul(2 * UNIT)
    }

    fn least(&self, key: u64) -> u64 {
        places(key).filter_map(|at| self.counters.get(at).copied()).min().unwrap_or(0)
    }

    pub(crate) fn fits(&self) -> bool {
        self.counters.len() == WIDTH * DEPTH
    }
}

fn places(key: u64) -> impl Iterator<Item = usize> {
    let step = mix(key ^ 0x9e37_79b9_7f4a_7c15) | 1;
    (0..DEPTH as u64)
        .map(move |row| row as usize * WIDTH + (mix(key.wrapping_add(step.wrapping_mul(row + 1))) >> 55) as usize)
}

/// Mixes a number so that each bit of the result depends on all of it (the finalizer of MurmurHash3).
pub(crate) fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}
