//! A table that never holds more than its limit: what is not touched for a while goes, and when there is too much, the
//! half that was touched least lately goes at once.
//!
//! Two halves: what is touched lies in the young one; a full young half, or time, makes it the old one, and what was old
//! is forgotten. So a look-up is one or two hash look-ups and there is no list to keep. Invariant: `len` never exceeds
//! `max`, and every entry that was forgotten before its time is counted.

use std::hash::Hash;
use std::time::Duration;

use hashbrown::HashMap;
use hivewall_model::Timestamp;

use crate::Held;

/// Entries that survive a full table because they say something, as a share of it: a flood of sources that were made up
/// shall not wash away a scan that has been watched for an hour.
const RICH_SHARE: usize = 4;

/// A bounded table whose entries expire.
#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    max: usize,
    keep: Duration,
    turned: Option<Timestamp>,
    given_up: u64,
    is_rich: fn(&V) -> bool,
}

impl<K: Hash + Eq + Clone, V> Bounded<K, V> {
    /// At most `max` entries (at least 2), each kept for at least `keep` and less than twice that after it was touched last.
    pub(crate) fn new(max: usize, keep: Duration) -> Self {
        Self::with_rich(max, keep, |_| false)
    }

    /// The same, and entries that `is_rich` holds dear outlive a table that is full, up to a quarter of it.
    pub(crate) fn with_rich(max: usize, keep: Duration, is_rich: fn(&V) -> bool) -> Self {
        let (young, old) = (HashMap::new(), HashMap::new());
        Self { young, old, max: max.max(2), keep, turned: None, given_up: 0, is_rich }
    }

    /// The entry of `key`, made if there is none.
    pub(crate) fn entry(&mut self, now: Timestamp, key: &K, make: impl FnOnce() -> V) -> &mut V {
        self.expire(now);
        if !self.young.contains_key(key) {
            if self.young.len() >= self.max / 2 {
                self.make_room();
            }
            let value = self.old.remove(key).unwrap_or_else(make);
            return self.young.entry(key.clone()).or_insert(value);
        }
        self.young.entry(key.clone()).or_insert_with(make)
    }

    /// The entry of `key` if there is one. Counts as a touch only while it is young.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self.young.get_mut(key) {
            Some(value) => Some(value),
            None => self.old.get_mut(key),
        }
    }

    /// The same, to read.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Forgets an entry on purpose.
    #[allow(dead_code, reason = "detectors use parts of it")]
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    /// All entries, in no order.
    #[allow(dead_code, reason = "detectors use parts of it")]
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.young.iter_mut().chain(self.old.iter_mut())
    }

    /// Lets go what was not touched for long enough.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        let turned = *self.turned.get_or_insert(now);
        let passed = now.since(turned);
        if passed < self.keep {
            return;
        }
        let is_all_over = passed >= self.keep * 2;
        self.old = std::mem::take(&mut self.young);
        if is_all_over {
            self.old.clear();
        }
        self.turned = Some(now);
    }

    fn make_room(&mut self) {
        // The table that goes is emptied in place: under a flood, growing a new one again and again costs more than all else.
        std::mem::swap(&mut self.old, &mut self.young);
        let (is_rich, before, mut room) = (self.is_rich, self.young.len(), self.max / (2 * RICH_SHARE));
        self.young.retain(|_, value| {
            let is_kept = room > 0 && is_rich(value);
            room -= usize::from(is_kept);
            is_kept
        });
        self.given_up += (before - self.young.len()) as u64;
    }

    /// Entries held.
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// For [`crate::Detector::held`].
    pub(crate) fn held(&self) -> Held {
        Held { entries: self.len() as u64, entries_max: self.max as u64, given_up: self.given_up }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn at(seconds: u64) -> Timestamp {
        T0 + Duration::from_secs(seconds)
    }

    #[test]
    fn a_million_keys_stay_within_the_limit_and_the_rest_is_counted() {
        let mut table: Bounded<u32, u64> = Bounded::new(1000, Duration::from_secs(60));
        for key in 0..1_000_000 {
            *table.entry(at(0), &key, || 0) += 1;
            assert!(table.len() <= 1000, "{}", table.len());
        }
        let held = table.held();
        assert_eq!(held.entries + held.given_up, 1_000_000);
        assert!(table.get(&999_999).is_some());
        assert!(table.get(&0).is_none());
    }

    #[test]
    fn what_is_touched_stays_and_what_is_not_goes_after_its_time_uncounted() {
        let mut table: Bounded<&str, u64> = Bounded::new(10, Duration::from_secs(60));
        table.entry(at(0), &"idle", || 1);
        for second in (0..600).step_by(30) {
            *table.entry(at(second), &"busy", || 0) += 1;
        }
        assert_eq!(table.get(&"busy"), Some(&20));
        assert_eq!((table.get(&"idle"), table.held().given_up), (None, 0));
    }

    #[test]
    fn an_entry_lives_at_least_its_time_after_the_last_touch() {
        for offset in 0..60 {
            let mut table: Bounded<&str, u64> = Bounded::new(10, Duration::from_secs(60));
            table.expire(at(0));
            table.entry(at(offset), &"one", || 1);
            table.expire(at(offset + 59));
            assert!(table.get(&"one").is_some(), "{offset}");
            table.expire(at(offset + 60));
            table.expire(at(offset + 180));
            assert!(table.get(&"one").is_none(), "{offset}");
        }
    }

    #[test]
    fn a_pause_of_twice_the_time_ends_everything() {
        let mut table: Bounded<&str, u64> = Bounded::new(10, Duration::from_secs(60));
        table.entry(at(0), &"one", || 1);
        table.expire(at(120));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_flood_of_new_keys_does_not_wash_away_the_rich_ones() {
        let mut table: Bounded<u32, u64> = Bounded::with_rich(1000, Duration::from_secs(3600), |count| *count >= 10);
        *table.entry(at(0), &7, || 0) = 50;
        for key in 1000..100_000 {
            table.entry(at(1), &key, || 1);
        }
        assert_eq!(table.get_mut(&7), Some(&mut 50));
        assert_eq!(table.remove(&7), Some(50));
        assert!(table.len() <= 1000);
    }

    #[test]
    fn even_when_all_are_rich_the_limit_holds() {
        let mut table: Bounded<u32, u64> = Bounded::with_rich(100, Duration::from_secs(3600), |_| true);
        for key in 0..10_000 {
            table.entry(at(1), &key, || 1);
            assert!(table.len() <= 100);
        }
        assert_eq!(table.iter_mut().count(), table.len());
    }
}
