//! The filter language: which flows.
//!
//! One structure with two front doors: command-line flags ([`Filter::from_terms`]) and one line of text
//! ([`Filter::parse`], what [`Filter`]'s `Display` writes). Both build the same terms from the one table in `keys`.
//! The same field repeated means OR, different fields mean AND; a negated field is a field of its own, and matches what
//! none of its values match. Free text is the exception: each piece of text narrows further.
//!
//! Deliberately no parentheses and no OR between fields: such a question is two questions.
//!
//! Invariants: `parse(filter.to_string()) == filter`, and [`Filter::matches`] on a flow agrees with
//! [`Filter::matches_row`] on its row.

mod error;
mod glob;
mod keys;
mod named;
mod parse;
mod subject;
mod term;

use std::cell::RefCell;
use std::fmt;

use hivewall_model::{Flow, Timestamp};

pub use error::{FilterError, FilterFault};
pub use keys::{Key, ValueKind, help, keys};
use subject::{LiveFlow, Subject};
use term::Test;

use crate::FlowRow;

/// Tests of one field, any of which may hold.
#[derive(Clone, Debug, PartialEq)]
struct Group {
    negated: bool,
    tests: Vec<Test>,
}

impl Group {
    fn holds(&self, flow: &impl Subject) -> bool {
        self.tests.iter().any(|test| test.holds(flow)) != self.negated
    }
}

/// Which flows. The default matches all.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Filter {
    /// All must hold. Cheap tests stand first, and each field stands once (twice if it is also negated).
    groups: Vec<Group>,
}

impl Filter {
    /// From command-line flags: (negated, key, value) each; `now` is what `last 5m` counts from. An error's position
    /// is a byte offset in the value of the flag that it names.
    pub fn from_terms<K: AsRef<str>, V: AsRef<str>>(
        terms: impl IntoIterator<Item = (bool, K, V)>,
        now: Timestamp,
    ) -> Result<Self, FilterError> {
        let mut filter = Self::default();
        for (negated, key, value) in terms {
            filter.push(negated, key.as_ref(), value.as_ref(), now)?;
        }
        Ok(filter)
    }

    /// From one line of text: `ip:10.0.0.0/8 port:443 !proto:udp bytes>1M "free text"`. `now` is what `last:5m` counts
    /// from. Bare words mean an address or prefix, a port, a protocol, or text that is shown.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, FilterError> {
        parse::parse(text, now, &[])
    }

    /// Like [`Filter::parse`], where a bare word that is the name of one of `interfaces` means that interface.
    pub fn parse_knowing(text: &str, now: Timestamp, interfaces: &[&str]) -> Result<Self, FilterError> {
        parse::parse(text, now, interfaces)
    }

    /// Adds one term, as if it had been one more flag. `value` may be a list (`80,443`) where the field takes lists.
    pub fn push(&mut self, negated: bool, key: &str, value: &str, now: Timestamp) -> Result<(), FilterError> {
        let key = keys::find(key).ok_or_else(|| FilterError::new(0, FilterFault::unknown_key(key)))?;
        for test in key.read(value, now)? {
            self.add(negated, test);
        }
        Ok(())
    }

    /// Both filters' terms, as if they had been written in one line: the same field in both means OR.
    #[must_use]
    pub fn joined(mut self, other: Self) -> Self {
        for group in other.groups {
            for test in group.tests {
                self.add(group.negated, test);
            }
        }
        self
    }

    /// Whether it matches everything because it says nothing.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Within which times every matching flow lies, as far as the filter says so: seen at the first or later, begun at the
    /// second or before. What is negated bounds nothing.
    pub fn time_bounds(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let tests = || self.groups.iter().filter(|group| !group.negated).flat_map(|group| &group.tests);
        let from = tests().filter_map(|test| if let Test::From(time) = test { Some(*time) } else { None });
        let to = tests().filter_map(|test| if let Test::To(time) = test { Some(*time) } else { None });
        // Bounds of one side are alternatives: the widest holds for all.
        (from.min(), to.max())
    }

    /// The same filter without what [`Filter::time_bounds`] reads out of it. If that is empty, the bounds say it all.
    #[must_use]
    pub fn without_time_bounds(&self) -> Self {
        let bounds = |test: &Test| matches!(test, Test::From(_) | Test::To(_));
        let keeps = |group: &&Group| group.negated || !group.tests.iter().all(bounds);
        Self { groups: self.groups.iter().filter(keeps).cloned().collect() }
    }

    /// Whether `flow` matches; `name` gives an interface's name from its index. It is called only where the filter
    /// names an interface or holds text; for many flows use [`Filter::matcher`], which calls it once per interface.
    pub fn matches(&self, flow: &Flow, name: &dyn Fn(u32) -> String) -> bool {
        let names = RefCell::new(Vec::new());
        self.holds(&LiveFlow { flow, name, names: &names })
    }

    /// A test for many flows, which remembers the names of interfaces.
    pub fn matcher<'a>(&'a self, name: &'a dyn Fn(u32) -> String) -> Matcher<'a> {
        Matcher { filter: self, name, names: RefCell::new(Vec::new()) }
    }

    /// Whether the flow behind `row` matches, for those who hold rows only. A row that holds what no flow can (an
    /// address that is none) matches no term about it.
    pub fn matches_row(&self, row: &FlowRow) -> bool {
        self.holds(row)
    }

    fn holds(&self, flow: &impl Subject) -> bool {
        self.groups.iter().all(|group| group.holds(flow))
    }

    fn add(&mut self, negated: bool, test: Test) {
        let place = (test.slot(), negated);
        let at = self.groups.iter().position(|group| group.place() >= place).unwrap_or(self.groups.len());
        match self.groups.get_mut(at) {
            Some(group) if group.place() == place && !matches!(test, Test::Text(_)) => {
                if !group.tests.contains(&test) {
                    group.tests.push(test);
                }
            }
            _ => self.add_alone(negated, test),
        }
    }

    /// A group of its own, behind those that are like it.
    fn add_alone(&mut self, negated: bool, test: Test) {
        let place = (test.slot(), negated);
        let group = Group { negated, tests: vec![test] };
        if self.groups.contains(&group) {
            return;
        }
        let at = self.groups.iter().position(|other| other.place() > place).unwrap_or(self.groups.len());
        self.groups.insert(at, group);
    }
}

impl Group {
    fn place(&self) -> (u8, bool) {
        (self.tests.first().map_or(u8::MAX, Test::slot), self.negated)
    }
}

/// A filter at work on many flows; see [`Filter::matcher`].
pub struct Matcher<'a> {
    filter: &'a Filter,
    name: &'a dyn Fn(u32) -> String,
    names: RefCell<Vec<(u32, Box<str>)>>,
}

impl Matcher<'_> {
    /// Whether `flow` matches.
    pub fn matches(&self, flow: &Flow) -> bool {
        self.filter.holds(&LiveFlow { flow, name: self.name, names: &self.names })
    }
}

impl fmt::Display for Filter {
    /// The canonical text: [`Filter::parse`] reads the same filter from it. Times stand as RFC 3339, so that the text
    /// means the same whenever it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        for group in &self.groups {
            let not = if group.negated { "!" } else { "" };
            let mut listed = false;
            for test in &group.tests {
                if listed {
                    f.write_str(",")?;
                } else {
                    write!(f, "{gap}{not}{}", test.head())?;
                }
                gap = " ";
                listed = test.is_listed();
                test.write_value(f)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
