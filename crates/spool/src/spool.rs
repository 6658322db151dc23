//! The queue: which items are in it, where they are, and which go.
//!
//! Every item is in `index`; the newest, those that are not durable yet, are in `memory` as well, and the file has the
//! others. Invariant: `memory` holds the tail of `index`, and `bytes` is the sum of the sizes in `index`.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::counters::Counters;
use crate::error::SpoolError;
use crate::file::{Found, Opened, QueueFile};

/// So many items make a batch durable by themselves.
pub const SYNC_ITEMS: usize = 512;
/// So many bytes do.
pub const SYNC_BYTES: u64 = 1 << 20;
/// So old an item does, when another call comes.
pub const SYNC_AFTER: Duration = Duration::from_secs(1);
/// What memory holds at most while the disk refuses; beyond it the oldest of those go.
pub const MEMORY_BYTES_MAX: u64 = 16 << 20;
/// What an item costs in memory and on disk beside its bytes, for [`MEMORY_BYTES_MAX`].
const ITEM_OVERHEAD_BYTES: u64 = 64;

/// How much a spool holds. Both limits hold; what comes beyond them pushes the oldest out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all items. The file is larger by its pages: up to about twice that, and 2 MiB at least.
    pub bytes_max: u64,
    /// Items; at least one. Each takes 16 bytes of memory while it waits.
    pub items_max: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    number: u64,
    bytes: u32,
}

/// The queue. One thread owns it; whatever it does may wait for the disk.
pub struct Spool {
    /// None: it was asked for in memory, where nothing outlives the process.
    file: Option<QueueFile>,
    limits: Limits,
    index: VecDeque<Entry>,
    memory: VecDeque<(u64, Vec<u8>)>,
    bytes: u64,
    memory_bytes: u64,
    next: u64,
    /// The file holds items below this number that are no longer in the queue: `None` if it does not.
    gone_below: Option<u64>,
    /// Since when something waits to become durable.
    waiting_since: Option<Instant>,
    /// After a refusal of the disk: nothing is tried before, unless by `sync`.
    retry_at: Option<Instant>,
    counters: Counters,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("path", &self.path()).field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Spool {
    /// Opens the file or makes it, with its directory; only its owner can read it. Every page is checked. A damaged file
    /// is put aside as `NAME.damaged`, which is logged and counted, and a new one is begun.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, SpoolError> {
        let Opened { file, items, damaged, set_aside, next } = QueueFile::open(path)?;
        let index: VecDeque<_> = items.into_iter().map(|(number, bytes)| Entry { number, bytes }).collect();
        let counters = Counters {
            found: index.len() as u64 + damaged,
            lost_corrupt: damaged,
            set_aside: u64::from(set_aside),
            ..Counters::default()
        };
        let bytes = index.iter().map(|entry| u64::from(entry.bytes)).sum();
        let mut spool = Self::in_memory(limits);
        spool.file = Some(file);
        (spool.index, spool.bytes, spool.next, spool.counters) = (index, bytes, next, counters);
        spool.make_room(0, 0);
        Ok(spool)
    }

    /// The same without a file: whatever is in it is gone with the process, and [`Self::sync`] does nothing.
    pub fn in_memory(limits: Limits) -> Self {
        Self {
            file: None,
            limits: Limits { items_max: limits.items_max.max(1), ..limits },
            index: VecDeque::new(),
            memory: VecDeque::new(),
            bytes: 0,
            memory_bytes: 0,
            next: 1,
            gone_below: None,
            waiting_since: None,
            retry_at: None,
            counters: Counters::default(),
        }
    }

    /// Takes an item and gives its number, above all earlier ones. Where the queue is at its limit the oldest go for it,
    /// which is counted. It is durable after the next [`Self::sync`]. The only error is [`SpoolError::TooLarge`]: what
    /// the disk says meanwhile is counted, and told by `sync`.
    pub fn push(&mut self, item: &[u8]) -> Result<u64, SpoolError> {
        let bytes = item.len() as u64;
        let (true, Ok(size)) = (bytes <= self.limits.bytes_max, u32::try_from(bytes)) else {
            self.counters.refused_too_large += 1;
            return Err(SpoolError::TooLarge { bytes, bytes_max: self.limits.bytes_max });
        };
        self.make_room(1, bytes);
        let number = self.next;
        self.next += 1;
        self.index.push_back(Entry { number, bytes: size });
        self.memory.push_back((number, item.to_vec()));
        self.bytes += bytes;
        self.memory_bytes += bytes + ITEM_OVERHEAD_BYTES;
        self.counters.pushed += 1;
        self.counters.pushed_bytes += bytes;
        self.waiting_since.get_or_insert_with(Instant::now);
        self.sync_if_due();
        while self.file.is_some() && self.memory_bytes > MEMORY_BYTES_MAX {
            self.drop_unwritten();
        }
        Ok(number)
    }

    /// The oldest items, with their numbers, at most so many. They stay until they are acknowledged. What is found
    /// damaged is left out, and counted.
    pub fn peek(&mut self, count: usize) -> Result<Vec<(u64, Vec<u8>)>, SpoolError> {
        self.sync_if_due();
        let mut has_failed = false;
        // Each further round has a file opened anew or an index without what was damaged, so it ends.
        loop {
            let written = self.written().min(count);
            let Some(file) = self.file.as_mut().filter(|_| written > 0) else {
                return Ok(self.memory.iter().take(count).cloned().collect());
            };
            if file.has_failed() {
                self.revive()?;
                continue;
            }
            match file.read(self.index.iter().take(written).map(|entry| entry.number)) {
                Ok(found) => {
                    if let Some(mut items) = self.whole(found) {
                        items.extend(self.memory.iter().take(count - written).cloned());
                        return Ok(items);
                    }
                }
                Err(error) if has_failed => return Err(error),
                Err(_) => has_failed = true,
            }
        }
    }

    /// Takes out everything up to a number, that one included. Gone for good after the next [`Self::sync`]; a process
    /// that is killed before finds it again.
    pub fn ack(&mut self, up_to: u64) {
        while let Some(entry) = self.index.front().filter(|entry| entry.number <= up_to).copied() {
            self.take_front(entry);
            self.counters.acked += 1;
        }
        self.sync_if_due();
    }

    /// Makes everything durable that was pushed and acknowledged so far. Where the disk refuses, nothing is lost yet: it
    /// is kept in memory, up to [`MEMORY_BYTES_MAX`], and tried again with the next call or after a second.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        if self.file.is_none() || self.memory.is_empty() && self.gone_below.is_none() {
            self.waiting_since = None;
            return Ok(());
        }
        let result = self.write();
        if result.is_ok() {
            self.counters.syncs += 1;
            self.retry_at = None;
        } else {
            self.counters.sync_failures += 1;
            self.retry_at = Some(Instant::now() + SYNC_AFTER);
        }
        result
    }

    /// Items in the queue.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes of the items in the queue.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What became of all others.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Where it is, unless in memory.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(QueueFile::path)
    }

    fn sync_if_due(&mut self) {
        let now = Instant::now();
        let is_old = self.waiting_since.is_some_and(|since| now.duration_since(since) >= SYNC_AFTER);
        let is_much = self.memory.len() >= SYNC_ITEMS || self.memory_bytes >= SYNC_BYTES;
        if (is_old || is_much) && self.retry_at.is_none_or(|at| now >= at) {
            // Counted in `sync`, and told to whoever calls it.
            let _ = self.sync();
        }
    }

    fn write(&mut self) -> Result<(), SpoolError> {
        self.revive()?;
        let Some(file) = &mut self.file else { return Ok(()) };
        let items = self.memory.iter().map(|(number, item)| (*number, item.as_slice()));
        file.commit(self.gone_below.unwrap_or(0), items)?;
        self.memory.clear();
        self.memory_bytes = 0;
        self.gone_below = None;
        self.waiting_since = None;
        Ok(())
    }

    /// Opens the file anew after it failed. What was on disk may be gone with a file that is put aside.
    fn revive(&mut self) -> Result<(), SpoolError> {
        let Some(file) = self.file.as_mut().filter(|file| file.has_failed()) else { return Ok(()) };
        let opened = QueueFile::open(file.path())?;
        *file = opened.file;
        self.next = self.next.max(opened.next);
        self.counters.set_aside += u64::from(opened.set_aside);
        let mut there = opened.items.into_iter().map(|(number, _)| number).peekable();
        let first_in_memory = self.memory.front().map_or(u64::MAX, |(number, _)| *number);
        self.forget(|number| {
            while there.next_if(|other| *other < number).is_some() {}
            number < first_in_memory && there.next_if_eq(&number).is_none()
        });
        Ok(())
    }

    /// What was read, if all of it is whole. Otherwise what is not leaves the queue.
    fn whole(&mut self, found: Found) -> Option<Vec<(u64, Vec<u8>)>> {
        if found.iter().all(|(_, item)| item.is_some()) {
            return Some(found.into_iter().filter_map(|(number, item)| Some((number, item?))).collect());
        }
        let damaged: Vec<u64> = found.iter().filter(|(_, item)| item.is_none()).map(|(number, _)| *number).collect();
        self.forget(|number| damaged.binary_search(&number).is_ok());
        None
    }

    /// Takes out what the file no longer has.
    fn forget(&mut self, mut is_gone: impl FnMut(u64) -> bool) {
        let (before, mut gone_bytes) = (self.index.len(), 0);
        self.index.retain(|entry| {
            let is_gone = is_gone(entry.number);
            gone_bytes += if is_gone { u64::from(entry.bytes) } else { 0 };
            !is_gone
        });
        self.counters.lost_corrupt += (before - self.index.len()) as u64;
        self.bytes -= gone_bytes;
    }

    /// How many of the items are in the file, and not in memory.
    fn written(&self) -> usize {
        self.index.len() - self.memory.len()
    }

    /// Lets the oldest go until so much more fits.
    fn make_room(&mut self, items: usize, bytes: u64) {
        while self.index.len() + items > self.limits.items_max || self.bytes + bytes > self.limits.bytes_max {
            let Some(entry) = self.index.front().copied() else { return };
            self.take_front(entry);
            self.counters.lost_full += 1;
            self.counters.lost_full_bytes += u64::from(entry.bytes);
        }
    }

    fn take_front(&mut self, entry: Entry) {
        self.index.pop_front();
        self.bytes -= u64::from(entry.bytes);
        self.waiting_since.get_or_insert_with(Instant::now);
        if self.memory.front().is_some_and(|(number, _)| *number == entry.number) {
            self.memory.pop_front();
            self.memory_bytes -= u64::from(entry.bytes) + ITEM_OVERHEAD_BYTES;
            // A commit that was reported as failed may have put it on the disk all the same.
            if self.counters.sync_failures == 0 {
                return;
            }
        }
        self.gone_below = Some(entry.number + 1);
    }

    /// Lets the oldest of those go that are in memory alone.
    fn drop_unwritten(&mut self) {
        let written = self.written();
        let Some((_, item)) = self.memory.pop_front() else { return };
        self.index.remove(written);
        self.bytes -= item.len() as u64;
        self.memory_bytes -= item.len() as u64 + ITEM_OVERHEAD_BYTES;
        self.counters.lost_unwritten += 1;
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Err(error) = self.sync() {
            let lost = self.memory.len();
            tracing::warn!(%error, lost, "what waited to be sent could not be kept at the end");
        }
    }
}

#[cfg(test)]
mod tests;
