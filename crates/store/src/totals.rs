//! Sums over many flows: top talkers and series. Answered from roll-ups where they can answer, else from every flow.
//!
//! A flow counts whole at the moment it ended, here as in the roll-ups.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use hivewall_model::Timestamp;

use crate::batch::Batch;
use crate::error::StoreError;
use crate::kept::{Shared, time};
use crate::keys::{By, Key, Keys, RowSums, SUMMED, Sums};
use crate::rollup::{Level, Table};
use crate::scan::{Deadline, groups};
use crate::segment::{Segment, Span};

/// A span of so many buckets may be moved to whole buckets: by one per cent at most.
const BUCKETS_ENOUGH: i64 = 100;
/// What roll-ups may lack of a key, as a part of the last one shown: one in so many.
const LACK_PART: u64 = 20;
/// Steps of a series, at most.
pub const STEPS_MAX: i64 = 10_000;

/// What an answer was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Every flow.
    Flows,
    /// Roll-ups per minute, and flows that are not in them yet.
    Minutes,
    /// Roll-ups per hour, and flows that are not in them yet.
    Hours,
}

/// One of the greatest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Talker {
    /// Address, `tcp/443`, command name or protocol.
    pub key: String,
    /// What it moved.
    pub sums: Sums,
}

/// The greatest by bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Talkers {
    /// Largest first.
    pub rows: Vec<Talker>,
    /// What all others moved. By address a flow between two of them is in here for each.
    pub other: Sums,
    /// Begin of the time answered for; whole buckets where it is answered from roll-ups.
    pub from: Timestamp,
    /// Its end, which is left out.
    pub to: Timestamp,
    /// What it was made from.
    pub basis: Basis,
    /// Bytes that any one row may lack: 0 from flows.
    pub lacks_at_most: u64,
    /// Since when flows (or roll-ups) are kept, where the question reaches past that.
    pub reaches_back_to: Option<Timestamp>,
}

/// One step of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its begin.
    pub start: Timestamp,
    /// What the flows that ended in it moved.
    pub sums: Sums,
}

/// Traffic over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// One after the other, without gaps.
    pub steps: Vec<Step>,
    /// Length of a step: as asked for, or longer where that would be more than [`STEPS_MAX`].
    pub step: Duration,
    /// What it was made from.
    pub basis: Basis,
    /// Since when flows (or roll-ups) are kept, where the question reaches past that.
    pub reaches_back_to: Option<Timestamp>,
}

/// A time from and to (left out), microseconds.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: i64,
    to: i64,
}

impl Window {
    fn new(from: Timestamp, to: Timestamp) -> Self {
        // A row's time is cut down to microseconds, so a moment within one is that of the next.
        let up = |time: Timestamp| time.0.div_euclid(1000) + i64::from(time.0.rem_euclid(1000) != 0);
        Self { from: up(from), to: up(to).max(up(from)) }
    }

    fn touches(self, span: &Span) -> bool {
        span.last_end >= self.from && span.first_end < self.to
    }

    fn holds(self, end: i64) -> bool {
        end >= self.from && end < self.to
    }

    /// Moved to whole buckets, where that moves it little.
    fn in_buckets(self, level: Level) -> Option<(i64, i64)> {
        let length = level.micros();
        let nearest = |micros: i64| micros.saturating_add(length / 2).div_euclid(length);
        let aligned = self.from.rem_euclid(length) == 0 && self.to.rem_euclid(length) == 0;
        let long = self.to.saturating_sub(self.from) / length >= BUCKETS_ENOUGH;
        (aligned || long).then(|| (nearest(self.from), nearest(self.to)))
    }
}

/// Sums by key.
type ByKey = HashMap<Key, Sums>;

/// The greatest `count` by bytes of the flows that ended in a time.
pub(crate) fn talkers(
    shared: &Shared,
    (from, to): (Timestamp, Timestamp),
    by: By,
    count: usize,
    deadline: Deadline,
) -> Result<Talkers, StoreError> {
    let window = Window::new(from, to);
    let flows_from = shared.read().reaches_back_to();
    for level in [Level::Hour, Level::Minute] {
        let Some((first, last)) = window.in_buckets(level) else { continue };
        let Some(kept_from) = shared.state.first_bucket(level)?.map(|bucket| bucket.saturating_mul(level.micros()))
        else {
            continue;
        };
        let moved = Window { from: first.saturating_mul(level.micros()), to: last.saturating_mul(level.micros()) };
        // Where flows go further back than these roll-ups, a finer level or the flows know more.
        if kept_from > moved.from && flows_from.is_some_and(|flows| flows < kept_from) {
            continue;
        }
        let (table, sums) = rolled(shared, level, by, (first, last), deadline)?;
        let answer = Answer { window: moved, basis: basis(level), table, kept_from: Some(kept_from) };
        let answer = answer.top(sums, count);
        let least = answer.rows.last().map_or(0, |talker| talker.sums.bytes);
        let flows_know = flows_from.is_some_and(|flows| flows <= window.from);
        if answer.lacks_at_most <= least / LACK_PART || !flows_know {
            return Ok(answer);
        }
    }
    exact_talkers(shared, (from, to), by, count, deadline)
}

/// The same from every flow, whatever the roll-ups could say.
pub(crate) fn exact_talkers(
    shared: &Shared,
    (from, to): (Timestamp, Timestamp),
    by: By,
    count: usize,
    deadline: Deadline,
) -> Result<Talkers, StoreError> {
    let window = Window::new(from, to);
    let flows_from = shared.read().reaches_back_to();
    let mut sums = ByKey::new();
    let segments = look_at_open(shared, window, by, &mut sums);
    add_segments(&segments, window, by, &mut sums, deadline)?;
    let answer = Answer { window, basis: Basis::Flows, table: Table::default(), kept_from: flows_from };
    Ok(answer.top(sums, count))
}

fn basis(level: Level) -> Basis {
    match level {
        Level::Minute => Basis::Minutes,
        Level::Hour => Basis::Hours,
    }
}

/// What the roll-ups of some buckets say, and flows that are not in them: rest and lack, and sums by key.
fn rolled(
    shared: &Shared,
    level: Level,
    by: By,
    (first, last): (i64, i64),
    deadline: Deadline,
) -> Result<(Table, ByKey), StoreError> {
    let window = Window { from: first.saturating_mul(level.micros()), to: last.saturating_mul(level.micros()) };
    // Roll-ups first: a segment that is written after this moment is not in them and is looked at itself.
    let (through, tables) = shared.state.rollups(level, by, first, last)?;
    let (mut rest, mut sums) = (Table::default(), ByKey::new());
    for (_, table) in tables {
        for (key, moved) in table.rows {
            *sums.entry(key).or_default() += moved;
        }
        rest.other += table.other;
        rest.hidden = rest.hidden.saturating_add(table.hidden);
    }
    let mut segments = look_at_open(shared, window, by, &mut sums);
    segments.retain(|segment| segment.number > through);
    add_segments(&segments, window, by, &mut sums, deadline)?;
    Ok((rest, sums))
}

struct Answer {
    window: Window,
    basis: Basis,
    table: Table,
    kept_from: Option<i64>,
}

impl Answer {
    fn top(self, sums: ByKey, count: usize) -> Talkers {
        let mut rows: Vec<(Key, Sums)> = sums.into_iter().collect();
        let order = |(a, x): &(Key, Sums), (b, y): &(Key, Sums)| Reverse(x.bytes).cmp(&Reverse(y.bytes)).then(a.cmp(b));
        if rows.len() > count && count > 0 {
            rows.select_nth_unstable_by(count - 1, order);
        }
        let mut other = self.table.other;
        rows.iter().skip(count).for_each(|(_, sums)| other += *sums);
        rows.truncate(count);
        rows.sort_unstable_by(order);
        Talkers {
            rows: rows.into_iter().map(|(key, sums)| Talker { key: key.text(), sums }).collect(),
            other,
            from: time(self.window.from),
            to: time(self.window.to),
            basis: self.basis,
            lacks_at_most: self.table.hidden,
            reaches_back_to: self.kept_from.filter(|kept| self.window.from < *kept).map(time),
        }
    }
}

/// Adds the open rows; gives the segments of the same moment.
fn look_at_open(shared: &Shared, window: Window, by: By, sums: &mut ByKey) -> Vec<Arc<Segment>> {
    let kept = shared.read();
    add_batch(&kept.open, window, by, sums);
    kept.segments.clone()
}

fn add_segments(
    segments: &[Arc<Segment>],
    window: Window,
    by: By,
    sums: &mut ByKey,
    deadline: Deadline,
) -> Result<(), StoreError> {
    let cols: Vec<_> = SUMMED.iter().chain(by.columns()).copied().collect();
    groups(segments, deadline, &|span| window.touches(span), &mut |_, reader, group| {
        add_batch(&reader.load(group, &cols)?, window, by, sums);
        Ok(())
    })
}

fn add_batch(batch: &Batch, window: Window, by: By, sums: &mut ByKey) {
    let keys = Keys::new(by, batch);
    let rows = RowSums::new(batch);
    // Numbers of keys are dense but for services, of which there are few.
    let mut dense = vec![Sums::default(); keys.dense()];
    let mut sparse: HashMap<i64, Sums> = HashMap::new();
    for row in 0..batch.len() {
        let (end, moved) = rows.of(row);
        if !window.holds(end) {
            continue;
        }
        let (first, second) = keys.of(row);
        for number in [first, second] {
            let Ok(place) = usize::try_from(number) else { continue };
            match dense.get_mut(place) {
                Some(sum) => *sum += moved,
                None => *sparse.entry(number).or_default() += moved,
            }
        }
    }
    let dense = dense.into_iter().enumerate().map(|(number, sums)| (number as i64, sums));
    for (number, moved) in dense.chain(sparse).filter(|(_, moved)| moved.flows > 0) {
        if let Some(key) = keys.key(number) {
            *sums.entry(key).or_default() += moved;
        }
    }
}

/// Traffic of the flows that ended in a time, step by step.
pub(crate) fn series(
    shared: &Shared,
    (from, to): (Timestamp, Timestamp),
    step: Duration,
    deadline: Deadline,
) -> Result<Series, StoreError> {
    let window = Window::new(from, to);
    let mut steps = Steps::new(window, step);
    let flows_from = shared.read().reaches_back_to();
    let mut answered = (Basis::Flows, flows_from);
    let mut through = 0;
    if let Some(level) = steps.level()
        && let Some(bucket) = shared.state.first_bucket(level)?
    {
        let kept_from = bucket.saturating_mul(level.micros());
        // Where flows go further back than the roll-ups, the flows know more.
        if kept_from <= window.from || flows_from.is_none_or(|flows| flows >= kept_from) {
            through = steps.add_rolled(shared, level)?;
            answered = (basis(level), Some(kept_from));
        }
    }
    let segments: Vec<Arc<Segment>> = {
        let kept = shared.read();
        steps.add_batch(&kept.open);
        kept.segments.iter().filter(|segment| segment.number > through).cloned().collect()
    };
    groups(&segments, deadline, &|span| window.touches(span), &mut |_, reader, group| {
        steps.add_batch(&reader.load(group, &SUMMED)?);
        Ok(())
    })?;
    let (basis, kept_from) = answered;
    let reaches_back_to = kept_from.filter(|kept| window.from < *kept).map(time);
    Ok(Series { step: Duration::from_micros(steps.step as u64), steps: steps.finish(), basis, reaches_back_to })
}

/// A series that is being summed up.
struct Steps {
    window: Window,
    /// Microseconds.
    step: i64,
    sums: Vec<Sums>,
}

impl Steps {
    fn new(window: Window, step: Duration) -> Self {
        let span = window.to.saturating_sub(window.from);
        let up = |of: i64, by: i64| of / by + i64::from(of % by != 0);
        let asked = i64::try_from(step.as_micros()).unwrap_or(i64::MAX);
        let step = asked.max(up(span, STEPS_MAX)).max(1);
        Self { window, step, sums: vec![Sums::default(); up(span, step) as usize] }
    }

    /// The longest buckets that fit into the steps without a rest.
    fn level(&self) -> Option<Level> {
        let whole = |length: i64| [self.step, self.window.from, self.window.to].iter().all(|time| time % length == 0);
        [Level::Hour, Level::Minute].into_iter().find(|level| whole(level.micros()))
    }

    fn add(&mut self, at: i64, moved: Sums) {
        let place = usize::try_from(at.saturating_sub(self.window.from) / self.step).unwrap_or(usize::MAX);
        if self.window.holds(at)
            && let Some(sums) = self.sums.get_mut(place)
        {
            *sums += moved;
        }
    }

    fn add_batch(&mut self, batch: &Batch) {
        let rows = RowSums::new(batch);
        for row in 0..batch.len() {
            let (end, moved) = rows.of(row);
            self.add(end, moved);
        }
    }

    /// Adds what roll-ups say; gives the number of the last segment that is in them. Protocols are few: their tables have
    /// all of the traffic, each flow once.
    fn add_rolled(&mut self, shared: &Shared, level: Level) -> Result<u64, StoreError> {
        let length = level.micros();
        let (first, last) = (self.window.from.div_euclid(length), self.window.to.div_euclid(length));
        let (through, tables) = shared.state.rollups(level, By::Protocol, first, last)?;
        for (bucket, table) in tables {
            let at = bucket.saturating_mul(length);
            self.add(at, table.other);
            table.rows.iter().for_each(|(_, moved)| self.add(at, *moved));
        }
        Ok(through)
    }

    fn finish(self) -> Vec<Step> {
        let start = |at: usize| time(self.window.from.saturating_add(self.step.saturating_mul(at as i64)));
        self.sums.iter().enumerate().map(|(at, sums)| Step { start: start(at), sums: *sums }).collect()
    }
}
