//! Counting what comes from the network by name or number, in bounded memory: names, codes, and rows of late.

use std::collections::{BTreeMap, VecDeque};

use hivewall_view::NameCount;

use crate::ledger::Ledger;

/// Names shown.
const NAMES_SHOWN: usize = 20;
/// Codes counted one by one; an honest host meets fewer.
const CODES_MAX: usize = 64;
/// Rows of late.
const RECENT_MAX: usize = 100;

/// The names met most often.
pub(crate) struct TopNames {
    ledger: Ledger<Box<str>, u64>,
}

impl TopNames {
    pub(crate) fn new(limit: usize) -> Self {
        Self { ledger: Ledger::new(limit) }
    }

    pub(crate) fn see(&mut self, name: &str) {
        let ticket = self.ledger.open_by(name, || name.into());
        *self.ledger.at(ticket) += 1;
    }

    pub(crate) fn folded(&self) -> u64 {
        self.ledger.folded()
    }

    pub(crate) fn view(&self) -> Vec<NameCount> {
        let (rows, _) = self.ledger.heaviest(NAMES_SHOWN, |count| *count);
        rows.into_iter().map(|(name, count)| NameCount { name: name.to_string(), count: *count }).collect()
    }
}

/// Counts by a small number; what is beyond [`CODES_MAX`] different ones counts as `other`.
#[derive(Default)]
pub(crate) struct Codes {
    counts: BTreeMap<u16, u64>,
    other: u64,
}

impl Codes {
    pub(crate) fn see(&mut self, code: u16) {
        if self.counts.len() < CODES_MAX || self.counts.contains_key(&code) {
            *self.counts.entry(code).or_default() += 1;
        } else {
            self.other += 1;
        }
    }

    pub(crate) fn view(&self, name: impl Fn(u16) -> String) -> BTreeMap<String, u64> {
        let named = self.counts.iter().map(|(code, count)| (name(*code), *count));
        named.chain((self.other > 0).then(|| ("other".to_owned(), self.other))).collect()
    }
}

/// The latest rows, each under a key by which its answer finds it.
pub(crate) struct Recent<K, R> {
    rows: VecDeque<(K, R)>,
}

impl<K, R> Default for Recent<K, R> {
    fn default() -> Self {
        Self { rows: VecDeque::new() }
    }
}

impl<K: PartialEq, R: Clone> Recent<K, R> {
    pub(crate) fn push(&mut self, key: K, row: R) {
        self.rows.push_front((key, row));
        self.rows.truncate(RECENT_MAX);
    }

    /// Takes out the latest row of this key that is still open.
    pub(crate) fn take(&mut self, key: &K, is_open: impl Fn(&R) -> bool) -> Option<R> {
        let at = self.rows.iter().position(|(known, row)| known == key && is_open(row))?;
        self.rows.remove(at).map(|(_, row)| row)
    }

    /// Every row of this key.
    pub(crate) fn of(&mut self, is: impl Fn(&K) -> bool) -> impl Iterator<Item = &mut R> {
        self.rows.iter_mut().filter(move |(key, _)| is(key)).map(|(_, row)| row)
    }

    /// Latest first.
    pub(crate) fn view(&self) -> Vec<R> {
        self.rows.iter().map(|(_, row)| row.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{CODES_MAX, Codes, RECENT_MAX, Recent, TopNames};

    #[test]
    fn random_names_do_not_push_out_the_frequent_one() {
        let mut names = TopNames::new(64);
        for n in 0..10_000_u32 {
            names.see(&format!("{n}.invalid"));
            if n % 10 == 0 {
                names.see("often.example");
            }
        }
        let first = &names.view()[0];
        assert_eq!((first.name.as_str(), first.count), ("often.example", 1000));
        assert!(names.ledger.iter().count() <= 64 && names.folded() > 9000);
    }

    #[test]
    fn codes_beyond_the_limit_are_counted_as_other() {
        let mut codes = Codes::default();
        (0..1000).for_each(|code| codes.see(code));
        codes.see(3);
        let view = codes.view(|code| code.to_string());
        assert_eq!((view.len(), view["3"], view["other"]), (CODES_MAX + 1, 2, 1000 - CODES_MAX as u64));
    }

    #[test]
    fn only_the_latest_rows_are_kept_and_an_answer_finds_the_latest_open_one() {
        let mut recent: Recent<u8, (u32, bool)> = Recent::default();
        (0..500).for_each(|n| recent.push((n % 2) as u8, (n, n < 499)));
        assert_eq!(recent.view().len(), RECENT_MAX);
        assert_eq!(recent.view()[0], (499, false));
        assert_eq!(recent.take(&1, |row| row.1), Some((497, true)));
        assert_eq!(recent.take(&9, |_| true), None);
    }
}
