//! Walking over what is kept: which segments and row groups a question needs at all.

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashSet;
use hivewall_model::Timestamp;
use hivewall_view::Filter;
use hivewall_view::filter::AddressReach;

use crate::batch::Batch;
use crate::columns::Col;
use crate::error::StoreError;
use crate::kept::open_segment;
use crate::segment::{Segment, SegmentReader, Span};

/// When a question has to be answered at the latest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(pub(crate) Instant);

impl Deadline {
    /// Fails when it is over.
    pub(crate) fn check(self) -> Result<(), StoreError> {
        if Instant::now() > self.0 { Err(StoreError::Late) } else { Ok(()) }
    }
}

/// What every matching flow must have; cheap to look at.
pub(crate) struct Reach {
    /// Flows seen at this time or later.
    from: Option<i64>,
    /// Flows that began at this time or before.
    to: Option<i64>,
    addresses: Vec<AddressReach>,
}

impl Reach {
    /// Of a filter.
    pub(crate) fn of(filter: &Filter) -> Self {
        let (from, to) = filter.time_bounds();
        let micros = |time: Timestamp| time.0.div_euclid(1000);
        Self { from: from.map(micros), to: to.map(micros), addresses: filter.addresses() }
    }

    /// The time from which on it asks.
    pub(crate) fn from(&self) -> Option<i64> {
        self.from
    }

    /// Whether it asks for addresses.
    pub(crate) fn asks_addresses(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Whether flows of these times can match.
    pub(crate) fn touches(&self, span: &Span) -> bool {
        self.from.is_none_or(|from| span.last_end >= from) && self.to.is_none_or(|to| span.first_start <= to)
    }

    /// Whether a row group's addresses allow for a match.
    pub(crate) fn group_has_addresses(&self, reader: &SegmentReader, group: usize) -> Result<bool, StoreError> {
        for reach in &self.addresses {
            let sides = [(reach.source, Col::Source), (reach.destination, Col::Destination)];
            let mut possible = false;
            for (_, col) in sides.into_iter().filter(|(asked, _)| *asked) {
                possible |= match reader.address_dictionary(group, col)? {
                    None => true,
                    Some(values) => values.iter().any(|bytes| {
                        let text = std::str::from_utf8(bytes).unwrap_or_default();
                        text.parse().is_ok_and(|address| reach.contains(address))
                    }),
                };
                if possible {
                    break;
                }
            }
            if !possible {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Rows whose time and addresses allow for a match. Needs start, end, source and destination where they are asked for.
    pub(crate) fn rows(&self, batch: &Batch) -> Vec<u32> {
        let (starts, ends) = (batch.column(Col::Start), batch.column(Col::End));
        let at = |column: &[i64], row: usize| column.get(row).copied().unwrap_or(0);
        let sets: Vec<[Option<HashSet<i64>>; 2]> = self.addresses.iter().map(|reach| places(reach, batch)).collect();
        let (sources, destinations) = (batch.column(Col::Source), batch.column(Col::Destination));
        let passes = |row: &u32| {
            let row = *row as usize;
            self.from.is_none_or(|from| at(ends, row) >= from)
                && self.to.is_none_or(|to| at(starts, row) <= to)
                && sets.iter().all(|[source, destination]| {
                    source.as_ref().is_some_and(|set| set.contains(&at(sources, row)))
                        || destination.as_ref().is_some_and(|set| set.contains(&at(destinations, row)))
                })
        };
        (0..batch.len() as u32).filter(passes).collect()
    }
}

/// Places in both dictionaries that are among the addresses; `None` for an end that is not asked for.
fn places(reach: &AddressReach, batch: &Batch) -> [Option<HashSet<i64>>; 2] {
    let set = |asked: bool, col: Col| {
        asked.then(|| {
            let known = batch.addresses(col).iter().zip(0..);
            known.filter(|(address, _)| reach.contains(**address)).map(|(_, place)| place).collect()
        })
    };
    [set(reach.source, Col::Source), set(reach.destination, Col::Destination)]
}

/// Takes a row group of a segment.
type EachGroup<'a> = dyn FnMut(&Arc<Segment>, &SegmentReader, usize) -> Result<(), StoreError> + 'a;

/// Calls `each` for every row group of the segments that `wanted` holds for.
pub(crate) fn groups(
    segments: &[Arc<Segment>],
    deadline: Deadline,
    wanted: &dyn Fn(&Span) -> bool,
    each: &mut EachGroup<'_>,
) -> Result<(), StoreError> {
    for segment in segments.iter().filter(|segment| wanted(&segment.span)) {
        let Some(reader) = open_segment(segment)? else { continue };
        for group in 0..reader.groups() {
            deadline.check()?;
            if reader.span(group).as_ref().is_none_or(wanted) {
                each(segment, &reader, group)?;
            }
        }
    }
    Ok(())
}
