//! Rows by content: the same set of rules has the same number, whichever field it is for.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};
use hivewall_datapath::policy::{ROWS_MAX, Row};

use super::CompileError;

/// The rows of a policy while it is compiled.
pub(crate) struct Rows {
    rows: Vec<Row>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Rows {
    /// Row 0 has the first `rules` bits.
    pub(crate) fn with_all(rules: usize) -> Self {
        let mut all = Row::default();
        (0..rules).for_each(|rule| set(&mut all, rule));
        let mut rows = Self { rows: Vec::new(), numbers: HashTable::new(), hasher: DefaultHashBuilder::default() };
        rows.add(rows.hasher.hash_one(all), &all);
        rows
    }

    fn add(&mut self, hash: u64, row: &Row) -> u32 {
        let number = self.rows.len() as u32;
        self.rows.push(*row);
        let (rows, hasher) = (&self.rows, &self.hasher);
        self.numbers.insert_unique(hash, number, |at| rows.get(*at as usize).map_or(0, |row| hasher.hash_one(row)));
        number
    }

    /// The number of this row, which is added when there is none like it.
    pub(crate) fn number(&mut self, row: &Row) -> Result<u32, CompileError> {
        let hash = self.hasher.hash_one(row);
        if let Some(number) = self.numbers.find(hash, |at| self.rows.get(*at as usize) == Some(row)) {
            return Ok(*number);
        }
        if self.rows.len() == ROWS_MAX {
            return Err(CompileError::TooManyRows);
        }
        Ok(self.add(hash, row))
    }

    /// The same, as tables of 16-bit numbers have it: there are no more rows than that.
    pub(crate) fn short_number(&mut self, row: &Row) -> Result<u16, CompileError> {
        const { assert!(ROWS_MAX <= 1 << 16) };
        Ok(self.number(row)? as u16)
    }

    /// A row by its number.
    pub(crate) fn row(&self, number: u32) -> Row {
        self.rows.get(number as usize).copied().unwrap_or_default()
    }

    /// All of them, by number.
    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}

/// Adds a rule to a row.
pub(crate) fn set(row: &mut Row, rule: usize) {
    if let Some(word) = row.words.get_mut(rule / 64) {
        *word |= 1 << (rule % 64);
        row.summary |= 1 << (rule / 64);
    }
}

/// Takes a rule out of a row.
pub(crate) fn clear(row: &mut Row, rule: usize) {
    if let Some(word) = row.words.get_mut(rule / 64) {
        *word &= !(1 << (rule % 64));
        if *word == 0 {
            row.summary &= !(1 << (rule / 64));
        }
    }
}
