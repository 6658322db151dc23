//! The largest by bytes, exactly, up to a number of rows; what was cut off is told as a bound.
//!
//! Invariant: for every key, listed or not, its true value is at least the listed one (0 if absent) and at most that
//! plus [`Table::cut`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Rows of a table at most.
pub(crate) const ROWS_MAX: usize = 512;
/// Rows of the table of one host: half, since each host sends its own twice, and what is large for the fleet is large
/// for the hosts that see it.
pub(crate) const OWN_ROWS_MAX: usize = 256;

/// Keys with their bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table<K: Ord> {
    rows: BTreeMap<K, u64>,
    cut: u64,
}

/// A line of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<K> {
    /// What.
    pub key: K,
    /// At least so many bytes.
    pub bytes: u64,
    /// At most so many bytes.
    pub bytes_max: u64,
}

impl<K: Ord> Default for Table<K> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), cut: 0 }
    }
}

impl<K: Ord + Copy> Table<K> {
    /// Counts bytes of a key. The table grows until [`Table::shorten`].
    pub(crate) fn add(&mut self, key: K, bytes: u64) {
        let held = self.rows.entry(key).or_default();
        *held = held.saturating_add(bytes);
    }

    /// Adds another table. What neither lists may be hidden in both, so the bounds add up.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.rows.iter().for_each(|(key, bytes)| self.add(*key, *bytes));
        self.cut = self.cut.saturating_add(other.cut);
    }

    /// Cuts the table to its largest rows. Of rows that are equally large, those with the smaller key stay.
    pub(crate) fn shorten(&mut self, rows_max: usize) {
        if self.rows.len() <= rows_max {
            return;
        }
        let mut rows: Vec<(u64, K)> = self.rows.iter().map(|(key, bytes)| (*bytes, *key)).collect();
        rows.sort_unstable_by(|(a, key_a), (b, key_b)| b.cmp(a).then(key_a.cmp(key_b)));
        let largest_cut = rows.get(rows_max).map_or(0, |(bytes, _)| *bytes);
        self.rows = rows.into_iter().take(rows_max).map(|(bytes, key)| (key, bytes)).collect();
        self.cut = self.cut.saturating_add(largest_cut);
    }

    /// The so many largest, largest first.
    pub fn top(&self, number: usize) -> Vec<Row<K>> {
        let mut rows: Vec<Row<K>> = self.rows.iter().map(|(key, bytes)| self.row(*key, *bytes)).collect();
        rows.sort_unstable_by(|a, b| b.bytes.cmp(&a.bytes).then(a.key.cmp(&b.key)));
        rows.truncate(number);
        rows
    }

    /// What is known of a key.
    pub fn get(&self, key: K) -> Row<K> {
        self.row(key, self.rows.get(&key).copied().unwrap_or(0))
    }

    fn row(&self, key: K, bytes: u64) -> Row<K> {
        Row { key, bytes, bytes_max: bytes.saturating_add(self.cut) }
    }

    /// By how much any key may have more than is listed.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// Rows listed.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn rows(&self) -> &BTreeMap<K, u64> {
        &self.rows
    }

    pub(crate) fn of_rows(rows: BTreeMap<K, u64>, cut: u64) -> Option<Self> {
        (rows.len() <= ROWS_MAX).then_some(Self { rows, cut })
    }
}
