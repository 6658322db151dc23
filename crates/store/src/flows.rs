//! Single flows: find, order, show one page.
//!
//! A question reads in three steps, each over less: times and addresses, to see which rows can match at all; the columns
//! that the filter and the order ask for; every column, of the rows that are shown.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use hivewall_view::time::rfc3339;
use hivewall_view::{FlowPage, FlowRow, Query, Sort};

use crate::batch::Batch;
use crate::columns::{ALL, Col, PLAIN};
use crate::decode::{Decoder, sum};
use crate::error::StoreError;
use crate::kept::{Shared, now, open_segment, time};
use crate::scan::{Deadline, Reach, groups};
use crate::segment::Segment;

/// Columns that the first step reads.
const REACH: &[Col] = &[Col::Start, Col::End];

/// Where a row is: place in the list of segments (the open rows stand behind all), row group, row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    segment: usize,
    group: usize,
    row: u32,
}

/// The best rows so far: the greatest keys; of equal ones the later in the store.
struct Best {
    limit: usize,
    heap: BinaryHeap<Reverse<(i64, Place)>>,
}

impl Best {
    fn offer(&mut self, key: i64, place: Place) {
        if self.heap.len() < self.limit {
            self.heap.push(Reverse((key, place)));
        } else if let Some(mut least) = self.heap.peek_mut()
            && least.0 < (key, place)
        {
            *least = Reverse((key, place));
        }
    }
}

/// The value that an order goes by.
fn sort_key(sort: Sort, batch: &Batch, row: usize) -> i64 {
    let get = |col| batch.get(col, row);
    match sort {
        Sort::Bytes => sum(get(Col::BytesToServer), get(Col::BytesToClient)),
        Sort::Packets => sum(get(Col::PacketsToServer), get(Col::PacketsToClient)),
        Sort::Rate => get(Col::BitsPerSecond),
        Sort::Start => get(Col::Start),
        Sort::Last => get(Col::End),
        Sort::Duration => get(Col::End).saturating_sub(get(Col::Start)),
    }
}

fn sort_columns(sort: Sort) -> &'static [Col] {
    match sort {
        Sort::Bytes => &[Col::BytesToServer, Col::BytesToClient],
        Sort::Packets => &[Col::PacketsToServer, Col::PacketsToClient],
        Sort::Rate => &[Col::BitsPerSecond],
        Sort::Start | Sort::Last | Sort::Duration => &[],
    }
}

/// One search over everything that is kept.
struct Search<'a> {
    query: &'a Query,
    reach: Reach,
    /// Whether time and addresses are all that the filter asks.
    is_reach_enough: bool,
    best: Best,
    matched: u64,
    searched: u64,
}

impl Search<'_> {
    /// Looks at the rows of a batch that can match.
    fn look(&mut self, batch: &Batch, rows: &[u32], place: impl Fn(u32) -> Place) {
        let decoder = Decoder::new(batch);
        let name = |index: u32| decoder.name(index);
        for row in rows {
            let at = *row as usize;
            // Names of interfaces are learned as rows are read, so a matcher must not remember what it was told before.
            if self.is_reach_enough || self.query.filter.matches(&decoder.flow(at), &name) {
                self.matched += 1;
                self.best.offer(sort_key(self.query.sort, batch, at), place(*row));
            }
        }
    }
}

/// Answers a question about closed flows.
pub(crate) fn page(shared: &Shared, query: &Query, deadline: Deadline) -> Result<FlowPage, StoreError> {
    let limit = query.page_limit();
    let mut search = Search {
        query,
        reach: Reach::of(&query.filter),
        is_reach_enough: query.filter.is_reach(),
        best: Best { limit: query.offset.saturating_add(limit), heap: BinaryHeap::new() },
        matched: 0,
        searched: 0,
    };
    let (segments, open, reaches) = look_at_open(shared, &mut search);
    look_at_segments(&segments, &mut search, deadline)?;
    let mut best: Vec<(i64, Place)> = search.best.heap.into_iter().map(|Reverse(one)| one).collect();
    best.sort_unstable_by_key(|one| Reverse(*one));
    let shown: Vec<Place> = best.into_iter().skip(query.offset).map(|(_, place)| place).collect();
    let next = query.offset.saturating_add(shown.len()) as u64;
    Ok(FlowPage {
        time: rfc3339(now()),
        matched: search.matched,
        searched: search.searched,
        flows: rows(&segments, &open, &shown, deadline)?,
        next_offset: (next < search.matched && !shown.is_empty()).then_some(next),
        reaches_back_to: reaches
            .filter(|first| search.reach.from().is_none_or(|from| from < *first))
            .map(time)
            .map(rfc3339),
    })
}

/// The open rows that may be shown, by their row.
type OpenRows = (Vec<u32>, Batch);

/// Searches the open rows, and copies of them what may be shown: they can be in a segment when the page is made. The
/// segments are those of the same moment.
fn look_at_open(shared: &Shared, search: &mut Search<'_>) -> (Vec<Arc<Segment>>, OpenRows, Option<i64>) {
    let kept = shared.read();
    let segments = kept.segments.clone();
    let candidates = search.reach.rows(&kept.open);
    search.searched += kept.open.len() as u64;
    let segment = segments.len();
    search.look(&kept.open, &candidates, |row| Place { segment, group: 0, row });
    let mut rows: Vec<u32> = search.best.heap.iter().map(|Reverse((_, place))| place.row).collect();
    rows.sort_unstable();
    let copies = kept.open.select(&rows);
    (segments, (rows, copies), kept.reaches_back_to())
}

fn look_at_segments(segments: &[Arc<Segment>], search: &mut Search<'_>, deadline: Deadline) -> Result<(), StoreError> {
    let places: BTreeMap<u64, usize> = segments.iter().enumerate().map(|(at, segment)| (segment.number, at)).collect();
    let reach = Reach::of(&search.query.filter);
    groups(segments, deadline, &|span| reach.touches(span), &mut |segment, reader, group| {
        search.searched += reader.rows(group) as u64;
        if !reach.group_has_addresses(reader, group)? {
            return Ok(());
        }
        let mut batch = reader.load(group, REACH)?;
        if reach.asks_addresses() {
            reader.load_into(&mut batch, group, &[Col::Source, Col::Destination])?;
        }
        let rows = reach.rows(&batch);
        if rows.is_empty() {
            return Ok(());
        }
        if search.is_reach_enough {
            reader.load_into(&mut batch, group, sort_columns(search.query.sort))?;
        } else {
            let needed = if search.query.filter.is_plain() { PLAIN } else { ALL };
            let missing: Vec<Col> = needed.iter().copied().filter(|col| batch.column(*col).is_empty()).collect();
            reader.load_into(&mut batch, group, &missing)?;
        }
        let segment = places.get(&segment.number).copied().unwrap_or(0);
        search.look(&batch, &rows, |row| Place { segment, group, row });
        Ok(())
    })
}

/// The rows at some places, in that order. Rows that retention took meanwhile are left out.
fn rows(
    segments: &[Arc<Segment>],
    (open_rows, open): &OpenRows,
    shown: &[Place],
    deadline: Deadline,
) -> Result<Vec<FlowRow>, StoreError> {
    let mut wanted: BTreeMap<(usize, usize), Vec<u32>> = BTreeMap::new();
    for place in shown {
        wanted.entry((place.segment, place.group)).or_default().push(place.row);
    }
    let mut found: BTreeMap<Place, FlowRow> = BTreeMap::new();
    for ((segment, group), mut rows) in wanted {
        deadline.check()?;
        rows.sort_unstable();
        let place = |row: u32| Place { segment, group, row };
        let Some(file) = segments.get(segment) else {
            let decoder = Decoder::new(open);
            let at = |row: u32| open_rows.binary_search(&row).ok();
            found.extend(rows.iter().filter_map(|row| Some((place(*row), decoder.row(at(*row)?)))));
            continue;
        };
        let Some(reader) = open_segment(file)? else { continue };
        let batch = reader.load_rows(group, &rows)?;
        let decoder = Decoder::new(&batch);
        found.extend(rows.iter().enumerate().map(|(at, row)| (place(*row), decoder.row(at))));
    }
    Ok(shown.iter().filter_map(|place| found.remove(place)).collect())
}

/// Takes some rows of a batch.
type EachRows<'a> = dyn FnMut(&Batch, &[u32]) -> Result<(), StoreError> + 'a;

/// Calls `each` with every batch of rows that match, oldest segments first and the open rows last: (all columns, rows).
/// For exports, which show everything.
pub(crate) fn each_match(
    shared: &Shared,
    query: &Query,
    deadline: Deadline,
    each: &mut EachRows<'_>,
) -> Result<(), StoreError> {
    let reach = Reach::of(&query.filter);
    let matching = |batch: &Batch| -> Vec<u32> {
        let decoder = Decoder::new(batch);
        let name = |index: u32| decoder.name(index);
        let mut rows = reach.rows(batch);
        if !query.filter.is_empty() {
            rows.retain(|row| query.filter.matches(&decoder.flow(*row as usize), &name));
        }
        rows
    };
    let (segments, open) = {
        let kept = shared.read();
        let rows = matching(&kept.open);
        (kept.segments.clone(), kept.open.select(&rows))
    };
    groups(&segments, deadline, &|span| reach.touches(span), &mut |_, reader, group| {
        if !reach.group_has_addresses(reader, group)? {
            return Ok(());
        }
        let batch = reader.load(group, ALL)?;
        let rows = matching(&batch);
        if rows.is_empty() { Ok(()) } else { each(&batch, &rows) }
    })?;
    let rows: Vec<u32> = (0..open.len() as u32).collect();
    if rows.is_empty() { Ok(()) } else { each(&open, &rows) }
}
