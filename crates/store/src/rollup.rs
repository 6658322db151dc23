//! Roll-ups: traffic per minute and per hour, by everything in [`By`], kept longer than the flows they were made of.
//!
//! A flow counts whole in the minute and hour in which it ended. Each table holds the greatest keys and sums up the rest;
//! what it says of a kept key can be too little by what was cut of that key before, and it says by how much at most.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::batch::Batch;
use crate::codec::{Bytes, put_number};
use crate::keys::{By, Key, Keys, RowSums, Sums};

/// Length of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Level {
    Minute,
    Hour,
}

impl Level {
    pub(crate) const ALL: [Level; 2] = [Self::Minute, Self::Hour];

    /// Microseconds of a bucket.
    pub(crate) fn micros(self) -> i64 {
        match self {
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
        }
    }

    /// Keys that a table keeps apart.
    pub(crate) fn keys_max(self) -> usize {
        match self {
            Self::Minute => 128,
            Self::Hour => 512,
        }
    }
}

/// Tables by their places.
pub(crate) type Tables = HashMap<Place, Table>;

/// Traffic of one bucket by one thing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    pub(crate) rows: Vec<(Key, Sums)>,
    /// What the keys that are not kept moved.
    pub(crate) other: Sums,
    /// Bytes that any one key may have moved beyond what stands here for it.
    pub(crate) hidden: u64,
}

/// Where a table stands: level, thing, number of the bucket since 1970.
pub(crate) type Place = (Level, By, i64);

impl Table {
    /// Adds another table's sums, and cuts to the greatest `keys_max`.
    pub(crate) fn merge(&mut self, other: Table, keys_max: usize) {
        let mut places: HashMap<Key, usize> =
            self.rows.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
        for (key, sums) in other.rows {
            let next = self.rows.len();
            let place = *places.entry(key.clone()).or_insert(next);
            match self.rows.get_mut(place) {
                Some((_, known)) => *known += sums,
                None => self.rows.push((key, sums)),
            }
        }
        self.other += other.other;
        self.hidden = self.hidden.saturating_add(other.hidden);
        self.cut(keys_max);
    }

    fn cut(&mut self, keys_max: usize) {
        if self.rows.len() <= keys_max {
            return;
        }
        self.rows.sort_unstable_by(|(a, x), (b, y)| Reverse(x.bytes).cmp(&Reverse(y.bytes)).then_with(|| a.cmp(b)));
        let cut = self.rows.split_off(keys_max);
        self.hidden = self.hidden.saturating_add(cut.first().map_or(0, |(_, sums)| sums.bytes));
        for (_, sums) in &cut {
            self.other += *sums;
        }
    }

    /// As bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_sums(&mut out, self.other);
        put_number(&mut out, self.hidden);
        put_number(&mut out, self.rows.len() as u64);
        for (key, sums) in &self.rows {
            let text = key.text();
            put_number(&mut out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
            put_sums(&mut out, *sums);
        }
        out
    }

    /// Back from bytes; `None` for what is damaged.
    pub(crate) fn decode(by: By, bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        let other = sums(&mut bytes)?;
        let hidden = bytes.number()?;
        let mut rows = Vec::new();
        for _ in 0..bytes.number()? {
            let len = usize::try_from(bytes.number()?).ok()?;
            let key = Key::read(by, std::str::from_utf8(bytes.take(len)?).ok()?)?;
            rows.push((key, sums(&mut bytes)?));
        }
        Some(Self { rows, other, hidden })
    }
}

fn put_sums(out: &mut Vec<u8>, sums: Sums) {
    for number in [sums.bytes, sums.packets, sums.flows] {
        put_number(out, number);
    }
}

fn sums(bytes: &mut Bytes<'_>) -> Option<Sums> {
    Some(Sums { bytes: bytes.number()?, packets: bytes.number()?, flows: bytes.number()? })
}

/// The tables of a batch's rows.
pub(crate) fn tables(batch: &Batch) -> Tables {
    let rows = RowSums::new(batch);
    let mut minutes: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for row in 0..batch.len() {
        minutes.entry(rows.of(row).0.div_euclid(Level::Minute.micros())).or_default().push(row as u32);
    }
    let per_hour = Level::Hour.micros() / Level::Minute.micros();
    let mut tables = Tables::new();
    for by in By::ALL {
        let mut tally = Tally::new(by, batch);
        let mut hours: BTreeMap<i64, HashMap<i64, Sums>> = BTreeMap::new();
        for (minute, of_minute) in &minutes {
            let sums = tally.sum(&rows, of_minute);
            let hour = hours.entry(minute.div_euclid(per_hour)).or_default();
            for (number, moved) in &sums {
                *hour.entry(*number).or_default() += *moved;
            }
            tables.insert((Level::Minute, by, *minute), tally.table(sums, Level::Minute));
        }
        for (hour, sums) in hours {
            tables.insert((Level::Hour, by, hour), tally.table(sums.into_iter().collect(), Level::Hour));
        }
    }
    tables
}

/// Sums by the numbers of keys, for one set of rows after the other.
struct Tally<'a> {
    keys: Keys<'a>,
    /// By number, where numbers are dense; all zeros between two sets.
    dense: Vec<Sums>,
}

impl<'a> Tally<'a> {
    fn new(by: By, batch: &'a Batch) -> Self {
        let keys = Keys::new(by, batch);
        Self { dense: vec![Sums::default(); keys.dense()], keys }
    }

    fn sum(&mut self, rows: &RowSums<'_>, of: &[u32]) -> Vec<(i64, Sums)> {
        let mut touched = Vec::new();
        let mut sparse: HashMap<i64, Sums> = HashMap::new();
        for row in of.iter().map(|row| *row as usize) {
            let moved = rows.of(row).1;
            let (first, second) = self.keys.of(row);
            for number in [first, second] {
                let Ok(place) = usize::try_from(number) else { continue };
                match self.dense.get_mut(place) {
                    Some(sums) => {
                        if sums.flows == 0 {
                            touched.push(place);
                        }
                        *sums += moved;
                    }
                    None => *sparse.entry(number).or_default() += moved,
                }
            }
        }
        let take = |place: usize| Some((place as i64, std::mem::take(self.dense.get_mut(place)?)));
        touched.into_iter().filter_map(take).chain(sparse).collect()
    }

    /// Cut before keys are made of numbers: most of them are not kept.
    fn table(&self, mut sums: Vec<(i64, Sums)>, level: Level) -> Table {
        let mut table = Table::default();
        let keys_max = level.keys_max();
        if sums.len() > keys_max {
            sums.select_nth_unstable_by_key(keys_max, |(_, moved)| Reverse(moved.bytes));
            let cut = sums.split_off(keys_max);
            table.hidden = cut.iter().map(|(_, moved)| moved.bytes).max().unwrap_or(0);
            for (_, moved) in &cut {
                table.other += *moved;
            }
        }
        table.rows = sums.into_iter().filter_map(|(number, moved)| Some((self.keys.key(number)?, moved))).collect();
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(sizes: &[(u8, u64)]) -> Table {
        let row = |(key, bytes): &(u8, u64)| (Key::Protocol(*key), Sums { bytes: *bytes, packets: 1, flows: 1 });
        Table { rows: sizes.iter().map(row).collect(), ..Table::default() }
    }

    #[test]
    fn a_table_keeps_the_greatest_sums_up_the_rest_and_says_what_it_may_lack() {
        let mut merged = table(&[(1, 50), (2, 40), (3, 30)]);
        merged.merge(table(&[(4, 35), (2, 5)]), 2);
        assert_eq!(
            merged.rows.iter().map(|(key, sums)| (key.text(), sums.bytes)).collect::<Vec<_>>(),
            [("icmp".to_owned(), 50), ("igmp".to_owned(), 45)]
        );
        assert_eq!((merged.other.bytes, merged.other.flows, merged.hidden), (65, 2, 35));
        // Key 3 comes back: 30 of it are in `other`, and 35 covers that.
        merged.merge(table(&[(3, 60)]), 2);
        assert_eq!(merged.rows[0].1.bytes, 60);
        assert!(merged.hidden >= 30);
        assert_eq!(Table::decode(By::Protocol, &merged.encode()), Some(merged));
    }
}
