//! Flows as columns in memory: what the journal and the segments are written from and read into.
//!
//! A value is an `i64`, [`NONE`] where there is none; text and addresses are places in the column's dictionary. A column
//! that was not loaded, or held nothing yet, is empty and reads as [`NONE`]. Not here: what a flow's fields mean
//! (`encode`, `decode`).
//!
//! Invariant: every column is empty or as long as the batch.

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::columns::{COLUMNS, Col};

/// No value.
pub(crate) const NONE: i64 = i64::MIN;

/// Distinct values, numbered from 0 as they come.
#[derive(Clone, Debug)]
pub(crate) struct Dictionary<T> {
    values: Vec<T>,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<T> Default for Dictionary<T> {
    fn default() -> Self {
        Self { values: Vec::new(), places: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl<T: Hash + Eq> Dictionary<T> {
    /// The place of `value`, which is made by `make` when it is new.
    pub(crate) fn place<Q: Hash + Eq + ?Sized>(&mut self, value: &Q, make: impl FnOnce() -> T) -> u32
    where
        T: std::borrow::Borrow<Q>,
    {
        let hash = self.hasher.hash_one(value);
        let values = &self.values;
        let same = |place: &u32| values.get(*place as usize).is_some_and(|known| known.borrow() == value);
        if let Some(place) = self.places.find(hash, same) {
            return *place;
        }
        let place = self.values.len() as u32;
        self.values.push(make());
        let values = &self.values;
        let hasher = &self.hasher;
        self.places
            .insert_unique(hash, place, |place| values.get(*place as usize).map_or(0, |known| hasher.hash_one(known)));
        place
    }
}

impl<T> Dictionary<T> {
    /// A dictionary of values that are known to be distinct; it is not asked for places.
    pub(crate) fn of(values: Vec<T>) -> Self {
        Self { values, ..Self::default() }
    }

    /// The values, by place.
    pub(crate) fn values(&self) -> &[T] {
        &self.values
    }

    /// The value at a place that a column holds.
    pub(crate) fn get(&self, place: i64) -> Option<&T> {
        usize::try_from(place).ok().and_then(|place| self.values.get(place))
    }
}

/// Flows as columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    rows: usize,
    columns: Vec<Vec<i64>>,
    texts: Vec<Dictionary<Arc<str>>>,
    addresses: Vec<Dictionary<IpAddr>>,
    /// Bytes of all text in the dictionaries, about.
    text_bytes: usize,
}

impl Batch {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self {
            rows: 0,
            columns: vec![Vec::new(); COLUMNS.len()],
            texts: vec![Dictionary::default(); COLUMNS.len()],
            addresses: vec![Dictionary::default(); COLUMNS.len()],
            text_bytes: 0,
        }
    }

    /// Rows.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Bytes of text, about.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Begins a row: every column without a value in it.
    pub(crate) fn begin_row(&mut self) {
        self.rows += 1;
        for column in &mut self.columns {
            if !column.is_empty() {
                column.push(NONE);
            }
        }
    }

    /// Sets a value of the latest row.
    pub(crate) fn put(&mut self, col: Col, value: i64) {
        let Some(column) = self.columns.get_mut(col as usize) else { return };
        if column.is_empty() {
            column.resize(self.rows, NONE);
        }
        if let Some(last) = column.last_mut() {
            *last = value;
        }
    }

    /// The place of a text in a column's dictionary.
    pub(crate) fn text_place(&mut self, col: Col, text: &str) -> i64 {
        let bytes = &mut self.text_bytes;
        let Some(dictionary) = self.texts.get_mut(col as usize) else { return NONE };
        i64::from(dictionary.place(text, || {
            *bytes += text.len() + 64;
            text.into()
        }))
    }

    /// The place of an address in a column's dictionary.
    pub(crate) fn address_place(&mut self, col: Col, address: IpAddr) -> i64 {
        let Some(dictionary) = self.addresses.get_mut(col as usize) else { return NONE };
        i64::from(dictionary.place(&address, || address))
    }

    /// A column's values; empty where it has none.
    pub(crate) fn column(&self, col: Col) -> &[i64] {
        self.columns.get(col as usize).map_or(&[], Vec::as_slice)
    }

    /// One value.
    pub(crate) fn get(&self, col: Col, row: usize) -> i64 {
        self.column(col).get(row).copied().unwrap_or(NONE)
    }

    /// One value, where there is one.
    pub(crate) fn value(&self, col: Col, row: usize) -> Option<i64> {
        Some(self.get(col, row)).filter(|value| *value != NONE)
    }

    /// A column's dictionary of text.
    pub(crate) fn texts(&self, col: Col) -> &[Arc<str>] {
        self.texts.get(col as usize).map_or(&[], Dictionary::values)
    }

    /// A column's dictionary of addresses.
    pub(crate) fn addresses(&self, col: Col) -> &[IpAddr] {
        self.addresses.get(col as usize).map_or(&[], Dictionary::values)
    }

    /// The text in a row.
    pub(crate) fn text(&self, col: Col, row: usize) -> Option<&Arc<str>> {
        self.texts.get(col as usize)?.get(self.get(col, row))
    }

    /// The address in a row.
    pub(crate) fn address(&self, col: Col, row: usize) -> Option<IpAddr> {
        self.addresses.get(col as usize)?.get(self.get(col, row)).copied()
    }

    /// Takes a whole column that was read; the first one read says how many rows there are.
    pub(crate) fn set_column(&mut self, col: Col, values: Vec<i64>) {
        self.rows = self.rows.max(values.len());
        if let Some(column) = self.columns.get_mut(col as usize) {
            *column = values;
        }
    }

    /// Takes a column's dictionary of text.
    pub(crate) fn set_texts(&mut self, col: Col, texts: Vec<Arc<str>>) {
        if let Some(dictionary) = self.texts.get_mut(col as usize) {
            *dictionary = Dictionary::of(texts);
        }
    }

    /// Takes a column's dictionary of addresses.
    pub(crate) fn set_addresses(&mut self, col: Col, addresses: Vec<IpAddr>) {
        if let Some(dictionary) = self.addresses.get_mut(col as usize) {
            *dictionary = Dictionary::of(addresses);
        }
    }

    /// Appends rows of columns that were read from the journal; a column of fewer values than `rows` has none.
    pub(crate) fn extend(&mut self, rows: usize, mut values: Vec<Vec<i64>>) {
        let before = self.rows;
        self.rows += rows;
        for (column, new) in self.columns.iter_mut().zip(&mut values) {
            let present = new.len() == rows && rows > 0;
            if column.is_empty() && !present {
                continue;
            }
            column.resize(before, NONE);
            column.append(new);
            column.resize(self.rows, NONE);
        }
    }

    /// The given rows in the given order, with the same dictionaries.
    pub(crate) fn select(&self, rows: &[u32]) -> Self {
        Self {
            rows: rows.len(),
            columns: self.columns.iter().map(|column| gather(column, rows)).collect(),
            texts: self.texts.iter().map(|dictionary| Dictionary::of(dictionary.values.clone())).collect(),
            addresses: self.addresses.iter().map(|dictionary| Dictionary::of(dictionary.values.clone())).collect(),
            text_bytes: self.text_bytes,
        }
    }

    /// Rows in the order of their beginning, which is also that of their numbers: neighbours then differ little, and pack
    /// well.
    pub(crate) fn order_by_start(&self) -> Vec<u32> {
        let starts = self.column(Col::Start);
        let ids = self.column(Col::FlowId);
        let key = |row: u32| {
            let at = |column: &[i64]| column.get(row as usize).copied().unwrap_or(NONE);
            (at(starts), at(ids))
        };
        let mut keyed: Vec<((i64, i64), u32)> = (0..self.rows as u32).map(|row| (key(row), row)).collect();
        keyed.sort_unstable();
        keyed.into_iter().map(|(_, row)| row).collect()
    }

    /// Least and greatest value of a column.
    pub(crate) fn range(&self, col: Col) -> Option<(i64, i64)> {
        let values = self.column(col);
        Some((values.iter().copied().min()?, values.iter().copied().max()?))
    }
}

/// The given rows of a column, in the given order.
pub(crate) fn gather(column: &[i64], rows: &[u32]) -> Vec<i64> {
    if column.is_empty() {
        return Vec::new();
    }
    rows.iter().map(|row| column.get(*row as usize).copied().unwrap_or(NONE)).collect()
}
