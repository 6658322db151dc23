//! Rows of bits: which rules cover the value that a rule has in a field.
//!
//! A [`Table`] has a [`Column`] for each field; a column has each distinct value once, and for each of them the row of
//! rules whose value covers it. Invariant: the AND over all columns of a rule's rows has exactly the rules that cover it.

use std::collections::HashMap;
use std::hash::Hash;

use super::fields::Values;
use super::space::Space;

/// A set of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn new(rules: usize) -> Self {
        Self(vec![0; rules.div_ceil(64)])
    }

    pub(super) fn set(&mut self, rule: usize) {
        if let Some(word) = self.0.get_mut(rule / 64) {
            *word |= 1 << (rule % 64);
        }
    }

    /// Takes over the bits of another from one rule on up to before another.
    pub(super) fn take(&mut self, other: &Self, rules: std::ops::Range<usize>) {
        for (at, (word, other)) in self.0.iter_mut().zip(&other.0).enumerate() {
            let from = rules.start.saturating_sub(at * 64).min(64);
            let to = rules.end.saturating_sub(at * 64).min(64);
            if from < to {
                let low = |bits: usize| if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
                *word |= other & low(to) & !low(from);
            }
        }
    }

    fn touches(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(word, other)| word & other != 0)
    }

    fn and(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0
            .iter()
            .enumerate()
            .filter(|(_, word)| **word != 0)
            .flat_map(|(at, word)| (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 64 + bit))
    }
}

/// All fields of all rules.
pub(super) struct Table {
    rules: usize,
    columns: Vec<Box<dyn Column>>,
}

impl Table {
    pub(super) fn new(rules: usize) -> Self {
        Self { rules, columns: Vec::new() }
    }

    /// A field whose values are small.
    pub(super) fn add<V: Values + Hash + Eq + Clone + 'static>(&mut self, values: impl Iterator<Item = V>) {
        self.add_keyed(values, |value| value);
    }

    /// A field whose values are made from what rules have in common.
    pub(super) fn add_keyed<K: Hash + Eq + Clone, V: Values + 'static>(
        &mut self,
        keys: impl Iterator<Item = K>,
        mut value: impl FnMut(K) -> V,
    ) {
        let mut numbers: HashMap<K, usize> = HashMap::new();
        let mut field =
            Field { values: Vec::new(), of: Vec::with_capacity(self.rules), rows: Vec::new(), first_rows: Vec::new() };
        for key in keys {
            let next = field.values.len();
            let number = *numbers.entry(key.clone()).or_insert(next);
            if number == next {
                field.values.push(value(key));
            }
            field.of.push(number);
        }
        field.fill_rows(self.rules);
        self.columns.push(Box::new(field));
    }

    /// The first rule among `before` that covers this one.
    pub(super) fn covering(&self, rule: usize, before: &Bits) -> Option<usize> {
        let mut bits = before.clone();
        self.columns.iter().filter_map(|column| column.row(rule)).for_each(|row| bits.and(row));
        bits.iter().next()
    }

    /// Rules among `before` that cover this one together: each has all of its values in every field but one, the same for
    /// all of them. Those that are not needed are left out when there are at most `thinned_max`.
    pub(super) fn covering_together(&self, rule: usize, before: &Bits, thinned_max: usize) -> Option<Vec<usize>> {
        // What all columns before one have in common, and all columns behind it.
        let mut ahead = vec![before.clone()];
        for column in &self.columns {
            let mut bits = ahead.last()?.clone();
            bits.and(column.row(rule)?);
            ahead.push(bits);
        }
        let mut behind: Option<Bits> = None;
        for (column, ahead) in self.columns.iter().zip(&ahead).rev() {
            let mut bits = ahead.clone();
            behind.iter().for_each(|behind| bits.and(behind));
            if bits.touches(column.first_row(rule)?) {
                let mut candidates: Vec<usize> = bits.iter().filter(|other| column.touch(*other, rule)).collect();
                if candidates.len() > 1 && column.together(rule, &candidates) {
                    if candidates.len() <= thinned_max {
                        thin(&mut candidates, |fewer| column.together(rule, fewer));
                    }
                    return Some(candidates);
                }
            }
            let row = column.row(rule)?;
            behind = Some(match behind {
                None => row.clone(),
                Some(mut behind) => {
                    behind.and(row);
                    behind
                }
            });
        }
        None
    }

    /// Whether a packet can match both rules.
    pub(super) fn may_touch(&self, one: usize, other: usize) -> bool {
        self.columns.iter().all(|column| column.touch(one, other))
    }
}

/// Leaves out, one after another, what is not needed.
fn thin(items: &mut Vec<usize>, is_enough: impl Fn(&[usize]) -> bool) {
    let mut at = 0;
    while at < items.len() {
        let without = items.remove(at);
        if !is_enough(items) {
            items.insert(at, without);
            at += 1;
        }
    }
}

/// A field of all rules.
trait Column {
    /// Rules whose value covers this rule's.
    fn row(&self, rule: usize) -> Option<&Bits>;
    /// Rules whose value has the first of this rule's.
    fn first_row(&self, rule: usize) -> Option<&Bits>;
    /// Whether the values of two rules may have something in common.
    fn touch(&self, one: usize, other: usize) -> bool;
    /// Whether the values of these rules together cover this rule's.
    fn together(&self, rule: usize, others: &[usize]) -> bool;
}

struct Field<V> {
    /// Each value once.
    values: Vec<V>,
    /// Which of them each rule has.
    of: Vec<usize>,
    /// For each value the rules that cover it.
    rows: Vec<Bits>,
    /// For each value the rules that have its first.
    first_rows: Vec<Bits>,
}

impl<V: Values> Field<V> {
    fn fill_rows(&mut self, rules: usize) {
        let mut with: Vec<Vec<usize>> = vec![Vec::new(); self.values.len()];
        for (rule, number) in self.of.iter().enumerate() {
            if let Some(with) = with.get_mut(*number) {
                with.push(rule);
            }
        }
        for value in &self.values {
            let (mut row, mut first_row) = (Bits::new(rules), Bits::new(rules));
            for (other, with) in self.values.iter().zip(&with) {
                if other.holds_first(value) {
                    with.iter().for_each(|rule| first_row.set(*rule));
                    if other.covers(value) {
                        with.iter().for_each(|rule| row.set(*rule));
                    }
                }
            }
            self.rows.push(row);
            self.first_rows.push(first_row);
        }
    }

    fn value(&self, rule: usize) -> Option<&V> {
        self.values.get(*self.of.get(rule)?)
    }
}

impl<V: Values> Column for Field<V> {
    fn row(&self, rule: usize) -> Option<&Bits> {
        self.rows.get(*self.of.get(rule)?)
    }

    fn first_row(&self, rule: usize) -> Option<&Bits> {
        self.first_rows.get(*self.of.get(rule)?)
    }

    fn touch(&self, one: usize, other: usize) -> bool {
        match (self.value(one), self.value(other)) {
            (Some(one), Some(other)) => one.may_touch(other),
            _ => true,
        }
    }

    fn together(&self, rule: usize, others: &[usize]) -> bool {
        let Some(value) = self.value(rule) else { return false };
        V::union(others.iter().filter_map(|other| self.value(*other))).covers(value)
    }
}

impl Values for Space {
    fn covers(&self, other: &Self) -> bool {
        Self::covers(self, other)
    }

    fn may_touch(&self, other: &Self) -> bool {
        Self::may_touch(self, other)
    }

    fn holds_first(&self, other: &Self) -> bool {
        Self::holds_first(self, other)
    }

    fn union<'s>(all: impl Iterator<Item = &'s Self>) -> Self {
        Self::union(all)
    }
}
