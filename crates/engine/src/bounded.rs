//! A map that holds so many entries and no more: one too many, and the one that was longest untouched goes.
//!
//! Invariant: what is in the index is in the list of ages, and the other way round.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// End of the list of ages.
const NONE: u32 = u32::MAX;

struct Node<K, V> {
    /// `None` marks a free place.
    item: Option<(K, V)>,
    older: u32,
    newer: u32,
}

pub(crate) struct Bounded<K, V> {
    nodes: Vec<Node<K, V>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    limit: usize,
    oldest: u32,
    latest: u32,
}

impl<K: Hash + Eq, V> Bounded<K, V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            limit: limit.max(1),
            oldest: NONE,
            latest: NONE,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.index.len() >= self.limit
    }

    fn find(&self, key: &K) -> Option<u32> {
        let is = |at: &u32| self.item(*at).is_some_and(|(known, _)| known == key);
        self.index.find(self.hasher.hash_one(key), is).copied()
    }

    fn item(&self, at: u32) -> Option<&(K, V)> {
        self.nodes.get(at as usize)?.item.as_ref()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.item(self.find(key)?).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key)?;
        self.nodes.get_mut(at as usize)?.item.as_mut().map(|(_, value)| value)
    }

    /// The entry as the one touched last.
    pub(crate) fn touch(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key)?;
        self.unlink(at);
        self.link(at);
        self.nodes.get_mut(at as usize)?.item.as_mut().map(|(_, value)| value)
    }

    /// Puts in what is not there yet; gives back what had to go for it.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        let evicted = if self.is_full() { self.pop_oldest() } else { None };
        let hash = self.hasher.hash_one(&key);
        let node = Node { item: Some((key, value)), older: NONE, newer: NONE };
        let freed = self.free.pop().and_then(|at| Some((at, self.nodes.get_mut(at as usize)?)));
        let at = if let Some((at, free)) = freed {
            *free = node;
            at
        } else {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        };
        // Taken apart by hand, since re-hashing reads the nodes while the index changes.
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.index.insert_unique(hash, at, |at| {
            let item = nodes.get(*at as usize).and_then(|node| node.item.as_ref());
            item.map_or(0, |(key, _)| hasher.hash_one(key))
        });
        self.link(at);
        evicted
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(key)?;
        self.take(at).map(|(_, value)| value)
    }

    /// What was longest untouched.
    pub(crate) fn oldest(&self) -> Option<&V> {
        self.item(self.oldest).map(|(_, value)| value)
    }

    pub(crate) fn pop_oldest(&mut self) -> Option<(K, V)> {
        self.take(self.oldest)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.nodes.iter().filter_map(|node| node.item.as_ref()).map(|(key, value)| (key, value))
    }

    fn take(&mut self, at: u32) -> Option<(K, V)> {
        let hash = self.hasher.hash_one(&self.item(at)?.0);
        if let Ok(found) = self.index.find_entry(hash, |found| *found == at) {
            found.remove();
        }
        self.unlink(at);
        self.free.push(at);
        self.nodes.get_mut(at as usize)?.item.take()
    }

    fn link(&mut self, at: u32) {
        let before = std::mem::replace(&mut self.latest, at);
        if let Some(node) = self.nodes.get_mut(at as usize) {
            (node.older, node.newer) = (before, NONE);
        }
        match self.nodes.get_mut(before as usize) {
            Some(node) => node.newer = at,
            None => self.oldest = at,
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some(node) = self.nodes.get(at as usize) else { return };
        let (older, newer) = (node.older, node.newer);
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.latest = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::Bounded;

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Put(u8),
        Touch(u8),
        Remove(u8),
        Pop,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (0_u8..20).prop_map(Act::Put),
            2 => (0_u8..20).prop_map(Act::Touch),
            1 => (0_u8..20).prop_map(Act::Remove),
            1 => Just(Act::Pop),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_queue_in_the_order_of_touch(limit in 1_usize..9, acts in prop::collection::vec(act(), 0..200)) {
            let mut map = Bounded::new(limit);
            let mut queue: VecDeque<u8> = VecDeque::new();
            for act in acts {
                match act {
                    Act::Put(key) if map.get(&key).is_none() => {
                        let want = if queue.len() == limit { queue.pop_front() } else { None };
                        prop_assert_eq!(map.insert(key, u32::from(key)).map(|(key, _)| key), want);
                        queue.push_back(key);
                    }
                    Act::Put(key) | Act::Touch(key) => {
                        let known = queue.iter().position(|known| *known == key);
                        prop_assert_eq!(map.touch(&key).is_some(), known.is_some());
                        if let Some(at) = known {
                            queue.remove(at);
                            queue.push_back(key);
                        }
                    }
                    Act::Remove(key) => {
                        let known = queue.contains(&key);
                        prop_assert_eq!(map.remove(&key), known.then_some(u32::from(key)));
                        queue.retain(|known| *known != key);
                    }
                    Act::Pop => prop_assert_eq!(map.pop_oldest().map(|(key, _)| key), queue.pop_front()),
                }
                prop_assert_eq!(map.len(), queue.len());
                prop_assert_eq!(map.oldest().copied(), queue.front().map(|key| u32::from(*key)));
                prop_assert!(queue.iter().all(|key| map.get(key) == Some(&u32::from(*key))));
                prop_assert_eq!(map.iter().count(), queue.len());
            }
        }
    }
}
