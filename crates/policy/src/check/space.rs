//! Addresses as intervals, and whether some of them are all among others.
//!
//! Large sets are turned into intervals once and shared. What a set of hosts or a file holds differs from host to host and
//! from day to day, so that such a set is only known to be a part of itself. Invariant: `covers` says yes only when it is
//! so whatever those sets hold.

use std::collections::BTreeMap;
use std::rc::Rc;

use ipnet::IpNet;

use crate::document::{Addresses, Set, Term};

/// First and last address, both included.
type Interval = (u128, u128);

/// Last address of each family.
const LAST: [u128; 2] = [u32::MAX as u128, u128::MAX];

/// Intervals of IPv4 and of IPv6: in order, apart from one another.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals([Vec<Interval>; 2]);

impl Intervals {
    pub(super) fn of<'n>(nets: impl Iterator<Item = &'n IpNet>) -> Self {
        let mut families: [Vec<Interval>; 2] = Default::default();
        for net in nets {
            let [four, six] = &mut families;
            match net {
                IpNet::V4(net) => {
                    four.push((u32::from(net.network()).into(), u32::from(net.broadcast()).into()));
                }
                IpNet::V6(net) => six.push((net.network().into(), net.broadcast().into())),
            }
        }
        Self(families.map(merged))
    }

    fn everything() -> Self {
        Self(LAST.map(|last| vec![(0, last)]))
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    /// The end of the interval that holds an address.
    fn end_at(&self, family: usize, address: u128) -> Option<u128> {
        let intervals = self.0.get(family)?;
        let after = intervals.partition_point(|(start, _)| *start <= address);
        let (_, end) = intervals.get(after.checked_sub(1)?)?;
        (*end >= address).then_some(*end)
    }

    /// The first interval that ends at an address or later.
    fn next_from(&self, family: usize, address: u128) -> Option<Interval> {
        let intervals = self.0.get(family)?;
        intervals.get(intervals.partition_point(|(_, end)| *end < address)).copied()
    }

    fn touches(&self, other: &Self) -> bool {
        let (few, many) = if self.len() <= other.len() { (self, other) } else { (other, self) };
        few.0.iter().enumerate().any(|(family, intervals)| {
            intervals.iter().any(|(start, end)| many.next_from(family, *start).is_some_and(|(next, _)| next <= *end))
        })
    }

    fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    fn hull(&self) -> [Option<Interval>; 2] {
        [0, 1].map(|family| {
            let intervals = self.0.get(family)?;
            Some((intervals.first()?.0, intervals.last()?.1))
        })
    }
}

/// In order, what overlaps or touches made one.
fn merged(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable();
    let mut out: Vec<Interval> = Vec::with_capacity(intervals.len());
    for (start, end) in intervals {
        match out.last_mut() {
            Some(last) if start <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => out.push((start, end)),
        }
    }
    out
}

/// The sets of a document, ready to be compared; `None` for those that are not in the document.
pub(super) struct SetIntervals(BTreeMap<String, Option<Rc<Intervals>>>);

impl SetIntervals {
    pub(super) fn new(sets: &BTreeMap<String, Set>) -> Self {
        let intervals = |set: &Set| set.prefixes().map(|nets| Rc::new(Intervals::of(nets.iter())));
        Self(sets.iter().map(|(name, set)| (name.clone(), intervals(set))).collect())
    }
}

/// Addresses that a rule names: pieces of which each is in order, and sets that are only known by name.
#[derive(Debug, Default)]
struct Pieces {
    known: Vec<Rc<Intervals>>,
    unknown: Vec<String>,
}

impl Pieces {
    /// The piece that holds an address and reaches furthest: where it ends.
    fn end_at(&self, family: usize, address: u128) -> Option<u128> {
        self.known.iter().filter_map(|piece| piece.end_at(family, address)).max()
    }

    fn holds(&self, family: usize, (start, end): Interval) -> bool {
        let mut at = start;
        loop {
            match self.end_at(family, at) {
                None => return false,
                Some(reached) if reached >= end => return true,
                Some(reached) => at = reached + 1,
            }
        }
    }

    fn is_everything(&self) -> bool {
        LAST.iter().enumerate().all(|(family, last)| self.holds(family, (0, *last)))
    }

    /// Whether all of the others are among these.
    fn hold_all(&self, others: &Self) -> bool {
        let known = others.known.iter().all(|piece| {
            self.known.iter().any(|own| Rc::ptr_eq(own, piece))
                || piece
                    .0
                    .iter()
                    .enumerate()
                    .all(|(family, intervals)| intervals.iter().all(|interval| self.holds(family, *interval)))
        });
        known && (others.unknown.iter().all(|name| self.unknown.contains(name)) || self.is_everything())
    }

    /// Whether some of the others may be among these.
    fn may_touch(&self, others: &Self) -> bool {
        let is_empty = |pieces: &Self| pieces.unknown.is_empty() && pieces.known.iter().all(|piece| piece.is_empty());
        if !self.unknown.is_empty() || !others.unknown.is_empty() {
            return !is_empty(self) && !is_empty(others);
        }
        self.known.iter().any(|own| others.known.iter().any(|other| own.touches(other)))
    }

    fn and(&self, others: &Self) -> Self {
        let both = |one: &[Rc<Intervals>], other: &[Rc<Intervals>]| one.iter().chain(other).cloned().collect();
        Self {
            known: both(&self.known, &others.known),
            unknown: self.unknown.iter().chain(&others.unknown).cloned().collect(),
        }
    }
}

/// The addresses of one side of a rule.
#[derive(Debug)]
pub(super) struct Space {
    negated: bool,
    pieces: Pieces,
    /// First and last address of each family, for a quick no; `None` when it cannot be told or there are none.
    hull: [Option<Interval>; 2],
}

impl Space {
    pub(super) fn of(addresses: Option<&Addresses>, sets: &SetIntervals) -> Self {
        let Some(addresses) = addresses else {
            return Self::new(false, Pieces { known: vec![Rc::new(Intervals::everything())], unknown: Vec::new() });
        };
        let mut pieces = Pieces::default();
        let nets = addresses.terms.iter().filter_map(|term| match term {
            Term::Net(net) => Some(net),
            Term::Set(_) => None,
        });
        let inline = Intervals::of(nets);
        if !inline.is_empty() {
            pieces.known.push(Rc::new(inline));
        }
        for term in &addresses.terms {
            let Term::Set(name) = term else { continue };
            match sets.0.get(name) {
                Some(Some(intervals)) => pieces.known.push(Rc::clone(intervals)),
                _ => pieces.unknown.push(name.clone()),
            }
        }
        Self::new(addresses.negated, pieces)
    }

    fn new(negated: bool, pieces: Pieces) -> Self {
        let mut hull: [Option<Interval>; 2] = [None; 2];
        for piece in &pieces.known {
            for (hull, other) in hull.iter_mut().zip(piece.hull()) {
                *hull = match (*hull, other) {
                    (Some((start, end)), Some((low, high))) => Some((start.min(low), end.max(high))),
                    (one, other) => one.or(other),
                };
            }
        }
        Self { negated, pieces, hull }
    }

    /// A quick test: whether `other` cannot be wholly within, for what lies outside of the outermost addresses.
    fn is_hopeless(&self, other: &Self) -> bool {
        if self.negated || other.negated {
            return false;
        }
        self.hull.iter().zip(&other.hull).any(|(own, other)| match (own, other) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some((start, end)), Some((low, high))) => low < start || high > end,
        })
    }

    /// Whether every address of the other is one of these, whatever the sets of hosts are.
    pub(super) fn covers(&self, other: &Self) -> bool {
        if self.is_hopeless(other) {
            return false;
        }
        match (self.negated, other.negated) {
            (false, false) => self.pieces.hold_all(&other.pieces),
            (false, true) => self.pieces.and(&other.pieces).is_everything(),
            (true, false) => !self.pieces.may_touch(&other.pieces),
            (true, true) => other.pieces.hold_all(&self.pieces),
        }
    }

    /// Whether an address can be in both.
    pub(super) fn may_touch(&self, other: &Self) -> bool {
        match (self.negated, other.negated) {
            (false, false) => self.pieces.may_touch(&other.pieces),
            (true, false) => !self.pieces.hold_all(&other.pieces),
            (false, true) => !other.pieces.hold_all(&self.pieces),
            (true, true) => true,
        }
    }

    /// A quick test: `false` when the first address of the other is not one of these.
    pub(super) fn holds_first(&self, other: &Self) -> bool {
        if self.negated || other.negated {
            return true;
        }
        let first = [0, 1].into_iter().find_map(|family| Some((family, other.hull.get(family).copied()??.0)));
        let Some((family, first)) = first else { return true };
        let hull = self.hull.get(family).copied().flatten();
        hull.is_some_and(|(low, high)| low <= first && first <= high) && self.pieces.end_at(family, first).is_some()
    }

    /// All of these together; those that leave something out are not taken along.
    pub(super) fn union<'s>(spaces: impl Iterator<Item = &'s Self>) -> Self {
        let mut pieces = Pieces::default();
        let mut families: [Vec<Interval>; 2] = Default::default();
        for space in spaces.filter(|space| !space.negated) {
            pieces.unknown.extend(space.pieces.unknown.iter().cloned());
            for piece in &space.pieces.known {
                // Large sets stay shared; small ones are made one.
                if piece.len() > 1024 {
                    pieces.known.push(Rc::clone(piece));
                } else {
                    families.iter_mut().zip(&piece.0).for_each(|(all, some)| all.extend(some));
                }
            }
        }
        pieces.known.push(Rc::new(Intervals(families.map(merged))));
        Self::new(false, pieces)
    }
}
