//! The conditions of a rule as sets of values, so that they can be compared: which is within which.
//!
//! Each condition but addresses (`space`) is here. Invariant: no condition stands for all values, and ports that are
//! listed are less than that, since a later fragment has none.

use crate::document::{Dir, IcmpTypes, Interfaces, Ports, Protocols, TcpFlags};
use crate::ruleset::PortRange;

/// A set of values of one field.
pub(super) trait Values: Sized {
    /// Whether all values of the other are among these.
    fn covers(&self, other: &Self) -> bool;
    /// Whether some value may be in both.
    fn may_touch(&self, other: &Self) -> bool;
    /// A quick test: `false` when the first value of the other is not among these, so that all of them cannot be.
    fn holds_first(&self, other: &Self) -> bool;
    /// All of these together.
    fn union<'s>(all: impl Iterator<Item = &'s Self>) -> Self
    where
        Self: 's;
}

/// A set of bytes: protocols, flags, directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bytes([u64; 4]);

impl Bytes {
    const ALL: Self = Self([u64::MAX; 4]);

    fn of(bytes: impl Iterator<Item = u8>) -> Self {
        let mut set = [0; 4];
        for byte in bytes {
            if let Some(word) = set.get_mut(usize::from(byte >> 6)) {
                *word |= 1 << (byte & 63);
            }
        }
        Self(set)
    }

    pub(super) fn directions(dir: Dir) -> Self {
        match dir {
            Dir::In => Self::of([1].into_iter()),
            Dir::Out => Self::of([2].into_iter()),
            Dir::Both => Self::of([1, 2].into_iter()),
        }
    }

    pub(super) fn protocols(protocols: &Protocols) -> Self {
        if protocols.is_any() { Self::ALL } else { Self::of(protocols.0.iter().copied()) }
    }

    /// The values of the flags byte that fit.
    pub(super) fn flags(flags: Option<TcpFlags>) -> Self {
        flags.map_or(Self::ALL, |TcpFlags(flags)| Self::of((0..=255).filter(|byte| byte & flags.mask == flags.value)))
    }
}

impl Values for Bytes {
    fn covers(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| other & !own == 0)
    }

    fn may_touch(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(own, other)| own & other != 0)
    }

    fn holds_first(&self, other: &Self) -> bool {
        self.may_touch(other)
    }

    fn union<'s>(all: impl Iterator<Item = &'s Self>) -> Self {
        Self(all.fold([0; 4], |mut words, set| {
            words.iter_mut().zip(&set.0).for_each(|(word, other)| *word |= other);
            words
        }))
    }
}

/// Ports, or type and code of ICMP in one number; `None` for all of them and for a packet that has none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Numbers(Option<Vec<(u16, u16)>>);

impl Numbers {
    pub(super) fn ports(ports: &Ports) -> Self {
        Self::of(&ports.0)
    }

    pub(super) fn icmp(types: &IcmpTypes) -> Self {
        let ranges: Vec<PortRange> = types
            .0
            .iter()
            .map(|one| {
                let first = u16::from(one.kind) << 8;
                one.code.map_or(first..=first | 0xff, |code| first | u16::from(code)..=first | u16::from(code))
            })
            .collect();
        Self::of(&ranges)
    }

    fn of(ranges: &[PortRange]) -> Self {
        if ranges.is_empty() {
            return Self(None);
        }
        Self(Some(merged(ranges.iter().map(|range| (*range.start(), *range.end())).collect())))
    }

    fn end_at(&self, number: u16) -> Option<u16> {
        let ranges = self.0.as_ref()?;
        let after = ranges.partition_point(|(start, _)| *start <= number);
        let (_, end) = ranges.get(after.checked_sub(1)?)?;
        (*end >= number).then_some(*end)
    }
}

fn merged(mut ranges: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    ranges.sort_unstable();
    let mut out: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match out.last_mut() {
            Some(last) if start <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => out.push((start, end)),
        }
    }
    out
}

impl Values for Numbers {
    fn covers(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(others)) => others.iter().all(|(start, end)| self.end_at(*start) >= Some(*end)),
        }
    }

    fn may_touch(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (&self.0, &other.0) else { return true };
        own.iter().any(|(start, end)| {
            let at = others.partition_point(|(_, last)| last < start);
            others.get(at).is_some_and(|(first, _)| first <= end)
        })
    }

    fn holds_first(&self, other: &Self) -> bool {
        let first = other.0.as_ref().and_then(|ranges| ranges.first());
        // What has no condition is within no list of ports.
        self.0.is_none() || first.is_some_and(|(first, _)| self.end_at(*first).is_some())
    }

    fn union<'s>(all: impl Iterator<Item = &'s Self>) -> Self {
        Self(all.map(|one| one.0.clone()).collect::<Option<Vec<_>>>().map(|ranges| merged(ranges.concat())))
    }
}

/// Patterns over interfaces; `None` for all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Patterns(Option<Vec<String>>);

impl Patterns {
    pub(super) fn of(interfaces: &Interfaces) -> Self {
        let mut names = interfaces.0.clone();
        names.sort_unstable();
        names.dedup();
        Self(if interfaces.is_any() || names.iter().any(|name| name == "*") { None } else { Some(names) })
    }
}

fn pattern_covers(pattern: &str, other: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => other.strip_suffix('*').unwrap_or(other).starts_with(beginning),
        None => pattern == other,
    }
}

fn patterns_touch(one: &str, other: &str) -> bool {
    match (one.strip_suffix('*'), other.strip_suffix('*')) {
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
        _ => pattern_covers(one, other) || pattern_covers(other, one),
    }
}

impl Values for Patterns {
    fn covers(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(others)) => {
                others.iter().all(|other| own.iter().any(|pattern| pattern_covers(pattern, other)))
            }
        }
    }

    fn may_touch(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (&self.0, &other.0) else { return true };
        own.iter().any(|one| others.iter().any(|other| patterns_touch(one, other)))
    }

    fn holds_first(&self, other: &Self) -> bool {
        // What has no condition is within no list of patterns.
        self.0.is_none() || other.0.is_some()
    }

    fn union<'s>(all: impl Iterator<Item = &'s Self>) -> Self {
        Self(all.map(|one| one.0.clone()).collect::<Option<Vec<_>>>().map(|names| names.concat()))
    }
}
