//! The flow table: a slab of entries, an index by pair, and a wheel of deadlines.
//!
//! The slab grows by chunks, so that a million flows never need to be copied; a slot's generation tells a stale
//! reference from a live one. Time here is the engine's own. Invariant: what is in the index or in
//! the wheel is in the slab, and at most one entry of a pair is in the index.

use std::hash::BuildHasher;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use hivewall_model::{EndReason, FlowId};

use crate::Limits;
use crate::entry::Entry;
use crate::pair::PairKey;
use crate::wheel::Wheel;

const CHUNK: usize = 4096;
/// Entries looked at when the table is full and one has to go: some side by side, which is cheap, in several places,
/// since neighbours often began together and are alike.
const VICTIMS: usize = 32;
const VICTIMS_TOGETHER: usize = 4;
/// Spreads successive numbers (2³² over the golden ratio).
const SPREAD: usize = 2_654_435_769;

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
    /// Connections whose tuple another took, while late records of theirs may come.
    displaced: HashMap<PairKey, Slot>,
    wheel: Wheel,
    limit: usize,
    entries: usize,
    /// Places in which victims were looked for.
    searched: usize,
    next_id: u64,
}

impl FlowTable {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            displaced: HashMap::new(),
            wheel: Wheel::new(),
            limit: limit.max(1),
            entries: 0,
            searched: 0,
            next_id: 1,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries >= self.limit
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

    /// Puts a new entry in; its key must not be in the index.
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
        self.entries += 1;
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

    fn unlist(&mut self, slot: Slot, key: &PairKey) {
        let hash = self.hasher.hash_one(key);
        if let Ok(found) = self.index.find_entry(hash, |i| *i == slot.index) {
            found.remove();
        }
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Entry> {
        let key = self.get(slot)?.key;
        if self.displaced.get(&key) == Some(&slot) {
            self.displaced.remove(&key);
        } else {
            self.unlist(slot, &key);
        }
        self.wheel.disarm(slot.index);
        let cell = self.cell_mut(slot.index)?;
        cell.generation = cell.generation.wrapping_add(1);
        let entry = cell.entry.take();
        self.free.push(slot.index);
        self.entries -= 1;
        entry
    }

    /// Takes an entry out of the index for another with its key. The one that was displaced before, if any, has to be
    /// removed first.
    pub(crate) fn displace(&mut self, slot: Slot) {
        let Some(entry) = self.get_mut(slot) else { return };
        entry.is_displaced = true;
        let key = entry.key;
        self.unlist(slot, &key);
        self.displaced.insert(key, slot);
    }

    pub(crate) fn displaced(&self, key: &PairKey) -> Option<Slot> {
        self.displaced.get(key).copied()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flatten().filter_map(|cell| cell.entry.as_ref())
    }

    /// Every living flow.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries().filter(|entry| !entry.is_asleep)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.chunks.iter_mut().flatten().filter_map(|cell| cell.entry.as_mut())
    }

    /// Every entry's place, oldest number first.
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

    /// Asks to be reminded of the entry when its time is up.
    pub(crate) fn arm(&mut self, slot: Slot, limits: &Limits) {
        let Some(entry) = self.get(slot) else { return };
        let (deadline, _) = Self::deadline(entry, limits);
        self.wheel.arm(slot.index, seconds(deadline));
    }

    /// When the flow is over if nothing more is heard of it, and why.
    fn deadline(entry: &Entry, limits: &Limits) -> (Duration, EndReason) {
        let after = |since: u64, limit| Duration::from_nanos(since).saturating_add(limit);
        if entry.is_displaced {
            return (after(entry.heard, limits.linger), EndReason::Reused);
        }
        if let Some(reason) = entry.finished().filter(|_| !entry.is_asleep) {
            return (after(entry.heard, limits.linger), reason);
        }
        let idle = after(entry.heard, limits.idle_for(entry.key.protocol));
        let active = after(entry.born, limits.active);
        if active < idle && !entry.is_asleep { (active, EndReason::Active) } else { (idle, EndReason::Idle) }
    }

    /// The next flow whose time is up; call until `None`.
    pub(crate) fn next_expired(&mut self, now: Duration, limits: &Limits) -> Option<(Slot, EndReason)> {
        let second = seconds(now);
        while let Some(index) = self.wheel.due(second) {
            let Some(cell) = self.cell(index) else { continue };
            let Some(entry) = &cell.entry else { continue };
            let (deadline, reason) = Self::deadline(entry, limits);
            if deadline <= now {
                return Some((Slot { index, generation: cell.generation }, reason));
            }
            // What is due later in this second is looked at with the next: never twice in one round.
            self.wheel.arm(index, seconds(deadline).max(second.saturating_add(1)));
        }
        None
    }

    /// The flow to give up when the table is full: the quietest of some, of all where there are few.
    pub(crate) fn victim(&mut self) -> Option<Slot> {
        let cells = self.chunks.iter().map(Vec::len).sum::<usize>();
        let mut quietest: Option<((u64, i64), Slot)> = None;
        for number in 0..VICTIMS.min(cells) {
            let index = self.candidate(number, cells);
            let Some(Cell { generation, entry: Some(entry) }) = self.cell(index) else { continue };
            let rank = (entry.heard, entry.last.0);
            if quietest.is_none_or(|(quiet, _)| rank < quiet) {
                quietest = Some((rank, Slot { index, generation: *generation }));
            }
        }
        quietest.map(|(_, slot)| slot)
    }

    fn candidate(&mut self, number: usize, cells: usize) -> u32 {
        if cells <= VICTIMS {
            return number as u32;
        }
        let beside = number % VICTIMS_TOGETHER;
        if beside == 0 {
            self.searched = self.searched.wrapping_add(1);
        }
        ((self.searched.wrapping_mul(SPREAD) >> 3).wrapping_add(beside) % cells) as u32
    }
}

/// Seconds for the wheel. They stand still after 136 years, which only a clock that leaps to and fro can reach.
fn seconds(time: Duration) -> u32 {
    time.as_secs().min(u64::from(u32::MAX / 2) * 2) as u32
}
