//! The two bounded tables: `Recent`, a fixed one of small things that are soon answered or never, and `Bounded`, one of
//! conversations with what was assembled of them.
//!
//! Invariant: neither holds more than it was made for; what has to go is the oldest, of its set or of all.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashMap};
use hivewall_model::Timestamp;

/// Entries of a set; a look-up touches one set alone.
const WAYS: usize = 4;

#[derive(Clone)]
struct Slot<K, V> {
    key: K,
    since: Timestamp,
    value: V,
}

/// Things by key, at a fixed cost in memory and time whatever comes. Memory is taken at the first insertion.
pub(crate) struct Recent<K, V> {
    slots: Vec<Option<Slot<K, V>>>,
    sets: usize,
    hasher: DefaultHashBuilder,
}

impl<K: Eq + Hash + Clone, V: Clone> Recent<K, V> {
    /// Of at least `entries` entries.
    pub(crate) fn new(entries: usize) -> Self {
        let sets = entries.div_ceil(WAYS).next_power_of_two();
        Self { slots: Vec::new(), sets, hasher: DefaultHashBuilder::default() }
    }

    fn set(&mut self, key: &K) -> &mut [Option<Slot<K, V>>] {
        let at = (self.hasher.hash_one(key) as usize & (self.sets - 1)) * WAYS;
        self.slots.get_mut(at..at + WAYS).unwrap_or_default()
    }

    /// What is kept under `key`.
    #[inline]
    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        self.set(key).iter_mut().flatten().find(|slot| slot.key == *key).map(|slot| &mut slot.value)
    }

    /// Keeps `value` as of `time`, in place of what was there. Returns the older entry that had to go for it.
    #[inline]
    pub(crate) fn insert(&mut self, key: K, time: Timestamp, value: V) -> Option<V> {
        if self.slots.is_empty() {
            self.slots.resize(self.sets * WAYS, None);
        }
        let set = self.set(&key);
        let same = set.iter().position(|slot| slot.as_ref().is_some_and(|slot| slot.key == key));
        let replaced = same.is_some();
        let oldest = |set: &[Option<Slot<K, V>>]| {
            set.iter().enumerate().min_by_key(|(_, slot)| slot.as_ref().map(|slot| slot.since)).map(|(at, _)| at)
        };
        let slot = same.or_else(|| oldest(set)).and_then(|at| set.get_mut(at))?;
        let gone = slot.replace(Slot { key, since: time, value });
        gone.filter(|_| !replaced).map(|gone| gone.value)
    }

    /// Forgets what is kept under `key`.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let slot = self.set(key).iter_mut().find(|slot| slot.as_ref().is_some_and(|slot| slot.key == *key))?;
        slot.take().map(|slot| slot.value)
    }
}

/// Things by key, at most so many; the one that came first goes first.
pub(crate) struct Bounded<K, V> {
    map: HashMap<K, (u64, V)>,
    /// Keys in the order they came. A pair whose number is no longer in the map is left over from a removal.
    order: VecDeque<(u64, K)>,
    next: u64,
    max: usize,
}

impl<K: Eq + Hash + Clone, V> Bounded<K, V> {
    /// Of at most `max` entries, at least one.
    pub(crate) fn new(max: usize) -> Self {
        Self { map: HashMap::new(), order: VecDeque::new(), next: 0, max: max.max(1) }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        self.map.get_mut(key).map(|(_, value)| value)
    }

    /// Keeps a value under a key that has none. Returns the one that had to go for it.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let gone = if self.map.len() >= self.max { self.pop_oldest() } else { None };
        self.next += 1;
        self.order.push_back((self.next, key.clone()));
        self.map.insert(key, (self.next, value));
        if self.order.len() > 2 * self.max {
            self.forget_left_over();
        }
        gone
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.map.remove(key).map(|(_, value)| value)
    }

    /// Takes the entry that came first.
    pub(crate) fn pop_oldest(&mut self) -> Option<V> {
        while let Some((number, key)) = self.order.pop_front() {
            if self.map.get(&key).is_some_and(|(own, _)| *own == number) {
                return self.remove(&key);
            }
        }
        None
    }

    /// Takes out every entry that `keep` does not want.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&mut V) -> bool) {
        self.map.retain(|_, (_, value)| keep(value));
        self.forget_left_over();
    }

    fn forget_left_over(&mut self) {
        self.order.retain(|(number, key)| self.map.get(key).is_some_and(|(own, _)| own == number));
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_set_gives_up_its_oldest_entry_and_no_other() {
        let mut recent = Recent::new(1);
        for number in 0..4_i64 {
            assert_eq!(recent.insert(number, Timestamp(number), number), None);
        }
        assert_eq!(recent.insert(2, Timestamp(9), 20), None, "replaced, nothing had to go");
        assert_eq!(recent.insert(4, Timestamp(10), 4), Some(0));
        assert_eq!(recent.insert(5, Timestamp(11), 5), Some(1));
        assert_eq!(recent.insert(6, Timestamp(12), 6), Some(3));
        assert_eq!((recent.get(&2).copied(), recent.get(&0)), (Some(20), None));
        assert_eq!((recent.remove(&2), recent.remove(&2)), (Some(20), None));
        assert_eq!(recent.insert(7, Timestamp(13), 7), None, "there is room again");
    }

    #[test]
    fn a_bounded_table_gives_up_what_came_first_and_its_order_does_not_grow() {
        let mut table = Bounded::new(3);
        for number in 0..1000 {
            let gone = table.insert(number, number);
            assert_eq!(gone, (number >= 3).then(|| number - 3));
        }
        for number in 1000..9000 {
            assert_eq!(table.remove(&(number - 1)), Some(number - 1));
            assert_eq!(table.insert(number, number), None);
            assert!(table.order.len() <= 6, "{} keys for three entries", table.order.len());
        }
        assert_eq!((table.len(), table.pop_oldest(), table.pop_oldest()), (3, Some(997), Some(998)));
        table.retain(|_| false);
        assert_eq!((table.len(), table.order.len()), (0, 0));
    }
}
