//! The flow table: a slab of entries, an index by pair, and a wheel of deadlines.
//!
//! The slab grows by chunks, so that a million flows never need to be copied; a slot's generation tells a stale
//! reference from a live one.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use hivewall_model::{EndReason, FlowId, Timestamp};

use crate::Limits;
use crate::entry::{Entry, PairKey};

const CHUNK: usize = 4096;
/// Seconds the wheel reaches ahead; later deadlines are looked at again when it comes round.
const WHEEL_SECONDS: usize = 1024;
/// Entries looked at when the table is full and one has to go.
const VICTIMS: usize = 32;

/// A place in the slab, valid while the generation matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    index: u32,
    generation: u32,
}

struct Cell {
    generation: u32,
    entry: Option<Entry>,
}

pub(crate) struct FlowTable {
    chunks: Vec<Vec<Cell>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    wheel: Vec<Vec<Slot>>,
    /// The next second of the wheel to look at.
    second: i64,
    pending: Vec<Slot>,
    limit: usize,
    next_id: u64,
}

impl FlowTable {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            wheel: (0..WHEEL_SECONDS).map(|_| Vec::new()).collect(),
            second: i64::MIN,
            pending: Vec::new(),
            limit: limit.max(1),
            next_id: 1,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    pub(crate) fn new_id(&mut self) -> FlowId {
        let id = FlowId(self.next_id);
        self.next_id += 1;
        id
    }

    fn cell(&self, index: u32) -> Option<&Cell> {
        self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)
    }

    fn cell_mut(&mut self, index: u32) -> Option<&mut Cell> {
        self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Entry> {
        let cell = self.cell(slot.index)?;
        if cell.generation == slot.generation { cell.entry.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        let cell = self.cell_mut(slot.index)?;
        if cell.generation == slot.generation { cell.entry.as_mut() } else { None }
    }

    pub(crate) fn find(&self, key: &PairKey) -> Option<Slot> {
        let hash = self.hasher.hash_one(key);
        let index = *self.index.find(hash, |i| self.key_at(*i) == Some(key))?;
        Some(Slot { index, generation: self.cell(index)?.generation })
    }

    fn key_at(&self, index: u32) -> Option<&PairKey> {
        self.cell(index)?.entry.as_ref().map(|entry| &entry.key)
    }

    /// Puts a new entry in; its key must not be there.
    pub(crate) fn insert(&mut self, entry: Entry) -> Slot {
        let hash = self.hasher.hash_one(entry.key);
        let index = self.free.pop().unwrap_or_else(|| self.grow());
        let mut generation = 0;
        if let Some(cell) = self.cell_mut(index) {
            generation = cell.generation;
            cell.entry = Some(entry);
        }
        // Taken apart by hand, since re-hashing reads the slab while the index changes.
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        self.index.insert_unique(hash, index, |i| {
            let cell = chunks.get(*i as usize / CHUNK).and_then(|chunk| chunk.get(*i as usize % CHUNK));
            cell.and_then(|cell| cell.entry.as_ref()).map_or(0, |entry| hasher.hash_one(entry.key))
        });
        Slot { index, generation }
    }

    fn grow(&mut self) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let at = (self.chunks.len() - 1) * CHUNK;
        let Some(chunk) = self.chunks.last_mut() else { return 0 };
        chunk.push(Cell { generation: 0, entry: None });
        (at + chunk.len() - 1) as u32
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Entry> {
        let entry = self.get(slot)?;
        let hash = self.hasher.hash_one(entry.key);
        if let Ok(found) = self.index.find_entry(hash, |i| *i == slot.index) {
            found.remove();
        }
        let cell = self.cell_mut(slot.index)?;
        cell.generation = cell.generation.wrapping_add(1);
        let entry = cell.entry.take();
        self.free.push(slot.index);
        entry
    }

    /// Every living flow.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flatten().filter_map(|cell| cell.entry.as_ref())
    }

    /// Every living flow's place, oldest number first.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let cells = self.chunks.iter().flatten().enumerate();
        let mut live: Vec<(FlowId, Slot)> = cells
            .filter_map(|(index, cell)| {
                let entry = cell.entry.as_ref()?;
                Some((entry.id, Slot { index: index as u32, generation: cell.generation }))
            })
            .collect();
        live.sort_unstable_by_key(|(id, _)| *id);
        live.into_iter().map(|(_, slot)| slot).collect()
    }

    /// Asks to be reminded of `slot` at `deadline`.
    pub(crate) fn arm(&mut self, slot: Slot, deadline: Timestamp) {
        if self.second == i64::MIN {
            self.second = deadline.secs();
        }
        // Never into the bucket being emptied, never further than the wheel reaches.
        let at = (deadline.secs() + 1).clamp(self.second, self.second + WHEEL_SECONDS as i64 - 1);
        if let Some(bucket) = self.wheel.get_mut(at.rem_euclid(WHEEL_SECONDS as i64) as usize) {
            bucket.push(slot);
        }
    }

    /// When the flow is over if nothing more is seen of it, and why.
    pub(crate) fn deadline(entry: &Entry, limits: &Limits) -> (Timestamp, EndReason) {
        if let Some(reason) = entry.finished() {
            return (entry.last + limits.linger, reason);
        }
        let idle = entry.last + limits.idle_for(entry.key.protocol);
        let active = entry.start + limits.active;
        if active < idle { (active, EndReason::Active) } else { (idle, EndReason::Idle) }
    }

    /// The next flow whose time is up at `now`; call until `None`.
    pub(crate) fn next_expired(&mut self, now: Timestamp, limits: &Limits) -> Option<(Slot, EndReason)> {
        loop {
            while let Some(slot) = self.pending.pop() {
                let Some(entry) = self.get(slot) else { continue };
                let (deadline, reason) = Self::deadline(entry, limits);
                if deadline <= now {
                    return Some((slot, reason));
                }
                self.arm(slot, deadline);
            }
            self.turn(now)?;
        }
    }

    /// Takes the next due bucket of the wheel.
    fn turn(&mut self, now: Timestamp) -> Option<()> {
        if self.second == i64::MIN {
            return None;
        }
        // After a leap in time one round shows every bucket.
        self.second = self.second.max(now.secs() - WHEEL_SECONDS as i64 + 1);
        while self.second <= now.secs() {
            let at = self.second.rem_euclid(WHEEL_SECONDS as i64) as usize;
            self.second += 1;
            if let Some(bucket) = self.wheel.get_mut(at)
                && !bucket.is_empty()
            {
                self.pending = std::mem::take(bucket);
                return Some(());
            }
        }
        None
    }

    /// The flow to give up when the table is full: the quietest of some that are due next.
    pub(crate) fn victim(&mut self) -> Option<Slot> {
        let mut seen: Vec<(Timestamp, Slot)> = Vec::with_capacity(VICTIMS);
        for ahead in 0..WHEEL_SECONDS as i64 {
            let at = (self.second.max(0) + ahead).rem_euclid(WHEEL_SECONDS as i64) as usize;
            let Some(bucket) = self.wheel.get(at) else { continue };
            seen.extend(
                bucket.iter().rev().filter_map(|slot| Some((self.get(*slot)?.last, *slot))).take(VICTIMS - seen.len()),
            );
            if seen.len() >= VICTIMS {
                break;
            }
        }
        seen.into_iter().min_by_key(|(last, _)| *last).map(|(_, slot)| slot)
    }
}

