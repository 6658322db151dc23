//! Accounts by key, in bounded memory: when there are too many, the lightest quarter is added up in one called other.
//!
//! Whoever has a ticket can go on booking, whatever became of the account: a ticket of one that was added to the other
//! stands for the other. So what was booked can always be taken back, and the sum of all accounts is exact.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Fewest accounts that can be kept: a quarter of them has to be some.
const LIMIT_MIN: usize = 8;

/// What is kept for a key.
pub(crate) trait Account: Default {
    /// The lightest go first.
    fn weight(&self) -> u64;
    /// Adds another one.
    fn merge(&mut self, other: &Self);
}

/// A count.
impl Account for u64 {
    fn weight(&self) -> u64 {
        *self
    }

    fn merge(&mut self, other: &Self) {
        *self += other;
    }
}

/// Where an account is, or was. The default stands for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    at: u32,
    generation: u32,
}

impl Default for Ticket {
    fn default() -> Self {
        Self { at: u32::MAX, generation: 0 }
    }
}

struct Row<K, A> {
    /// `None` marks a free row.
    key: Option<K>,
    generation: u32,
    account: A,
}

pub(crate) struct Ledger<K, A> {
    rows: Vec<Row<K, A>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    limit: usize,
    other: A,
    folded: u64,
}

impl<K: Hash + Eq + Clone, A: Account> Ledger<K, A> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            rows: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            limit: limit.max(LIMIT_MIN),
            other: A::default(),
            folded: 0,
        }
    }

    /// How often an account was added to the other.
    pub(crate) fn folded(&self) -> u64 {
        self.folded
    }

    /// The account of this key, opened if there is none.
    pub(crate) fn open(&mut self, key: &K) -> Ticket {
        self.open_by(key, || key.clone())
    }

    /// The same by what a key can be looked at as; the key itself is only made when there is no account.
    pub(crate) fn open_by<Q: Hash + Eq + ?Sized>(&mut self, key: &Q, own: impl FnOnce() -> K) -> Ticket
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let key_at = |at: &u32| self.rows.get(*at as usize).and_then(|row| row.key.as_ref());
        let is = |at: &u32| key_at(at).is_some_and(|known| known.borrow() == key);
        let at = self.index.find(hash, is).copied().unwrap_or_else(|| self.admit(own(), hash));
        Ticket { at, generation: self.rows.get(at as usize).map_or(0, |row| row.generation) }
    }

    /// The account of a ticket.
    #[inline]
    pub(crate) fn at(&mut self, ticket: Ticket) -> &mut A {
        match self.rows.get_mut(ticket.at as usize) {
            Some(row) if row.generation == ticket.generation => &mut row.account,
            _ => &mut self.other,
        }
    }

    /// The key of a ticket, to be replaced by an equal one that tells more.
    pub(crate) fn key_at(&mut self, ticket: Ticket) -> Option<&mut K> {
        let row = self.rows.get_mut(ticket.at as usize)?;
        if row.generation == ticket.generation { row.key.as_mut() } else { None }
    }

    fn admit(&mut self, key: K, hash: u64) -> u32 {
        if self.index.len() >= self.limit {
            self.fold_light();
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.rows.push(Row { key: None, generation: 0, account: A::default() });
            (self.rows.len() - 1) as u32
        });
        if let Some(row) = self.rows.get_mut(at as usize) {
            row.key = Some(key);
        }
        // Taken apart by hand, since re-hashing reads the rows while the index changes.
        let (rows, hasher) = (&self.rows, &self.hasher);
        self.index.insert_unique(hash, at, |at| {
            rows.get(*at as usize).and_then(|row| row.key.as_ref()).map_or(0, |key| hasher.hash_one(key))
        });
        at
    }

    fn fold_light(&mut self) {
        let mut light: Vec<(u64, u32)> = (0_u32..)
            .zip(&self.rows)
            .filter(|(_, row)| row.key.is_some())
            .map(|(at, row)| (row.account.weight(), at))
            .collect();
        let quarter = (light.len() / 4).max(1);
        if quarter < light.len() {
            light.select_nth_unstable(quarter);
            light.truncate(quarter);
        }
        let Self { rows, free, index, hasher, other, folded, .. } = self;
        for (_, at) in light {
            let Some(row) = rows.get_mut(at as usize) else { continue };
            let Some(key) = row.key.take() else { continue };
            if let Ok(found) = index.find_entry(hasher.hash_one(&key), |found| *found == at) {
                found.remove();
            }
            other.merge(&row.account);
            *folded += 1;
            row.account = A::default();
            row.generation = row.generation.wrapping_add(1);
            free.push(at);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &A)> {
        self.rows.iter().filter_map(|row| Some((row.key.as_ref()?, &row.account)))
    }

    /// Every account, the other as well.
    pub(crate) fn accounts_mut(&mut self) -> impl Iterator<Item = &mut A> {
        let rows = self.rows.iter_mut().filter(|row| row.key.is_some()).map(|row| &mut row.account);
        rows.chain(std::iter::once(&mut self.other))
    }

    /// The heaviest accounts, heaviest first (equal ones in the order of their keys), and all others added up.
    pub(crate) fn heaviest(&self, shown: usize, weigh: impl Fn(&A) -> u64) -> (Vec<(&K, &A)>, A)
    where
        K: Ord,
    {
        let mut rows: Vec<(&K, &A)> = self.iter().collect();
        let order = |x: &(&K, &A), y: &(&K, &A)| weigh(y.1).cmp(&weigh(x.1)).then_with(|| x.0.cmp(y.0));
        if rows.len() > shown {
            rows.select_nth_unstable_by(shown, order);
        }
        let rest = rows.split_off(shown.min(rows.len()));
        let mut other = A::default();
        other.merge(&self.other);
        for (_, account) in rest {
            other.merge(account);
        }
        rows.sort_unstable_by(order);
        (rows, other)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LIMIT_MIN, Ledger, Ticket};

    fn total(ledger: &Ledger<u16, u64>) -> u64 {
        let (rows, other) = ledger.heaviest(3, |count| *count);
        rows.iter().map(|(_, count)| **count).sum::<u64>() + other
    }

    #[test]
    fn the_heavy_keep_their_accounts_and_the_light_are_added_up() {
        let mut ledger: Ledger<u16, u64> = Ledger::new(LIMIT_MIN);
        for key in 1..=100 {
            let ticket = ledger.open(&key);
            *ledger.at(ticket) += if key % 50 == 0 { 1000 } else { 1 };
        }
        let (rows, other) = ledger.heaviest(2, |count| *count);
        assert_eq!(rows, [(&50, &1000), (&100, &1000)]);
        assert_eq!(other, 98);
        assert!(ledger.iter().count() <= LIMIT_MIN && ledger.folded() >= 92);
    }

    proptest! {
        #[test]
        fn what_was_booked_can_be_taken_back_whatever_became_of_the_account(
            keys in prop::collection::vec((0_u16..60, 1_u64..100), 1..200),
        ) {
            let mut ledger: Ledger<u16, u64> = Ledger::new(LIMIT_MIN);
            let mut booked: Vec<(Ticket, u64)> = Vec::new();
            for (key, amount) in keys {
                let ticket = ledger.open(&key);
                *ledger.at(ticket) += amount;
                booked.push((ticket, amount));
                prop_assert_eq!(total(&ledger), booked.iter().map(|(_, amount)| amount).sum::<u64>());
            }
            while let Some((ticket, amount)) = booked.pop() {
                *ledger.at(ticket) -= amount;
                prop_assert_eq!(total(&ledger), booked.iter().map(|(_, amount)| amount).sum::<u64>());
            }
        }
    }
}
