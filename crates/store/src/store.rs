//! The store itself: opening, the way in, the way out.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::JoinHandle;

use hivewall_model::Flow;

use crate::batch::Batch;
use crate::encode::InterfaceNames;
use crate::error::StoreError;
use crate::journal::Journal;
use crate::kept::{Found, Kept, Shared, list};
use crate::losses::StoreLoss;
use crate::options::StoreOptions;
use crate::reader::StoreReader;
use crate::segment;
use crate::state::State;
use crate::writer::{Message, Parcel, Writer, journal_path};

/// Name of the file that is locked while a process has the store open.
const LOCK_FILE: &str = "lock";

/// An open history. Dropping it makes durable what was handed over, and ends its thread.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    messages: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

/// The way in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StoreSender {
    shared: Arc<Shared>,
    messages: Sender<Message>,
}

impl Store {
    /// Opens the history in a directory, or begins one: takes the lock, brings the state to this version, recovers what the
    /// last process had not put into a segment, and starts the writer.
    pub fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let directory = options.directory.clone();
        let at = |source| StoreError::Directory { path: directory.clone(), source };
        // Who talked to whom is for the owner's eyes alone.
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(at)?;
        let lock = File::create(directory.join(LOCK_FILE)).map_err(at)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path: directory }),
            Err(TryLockError::Error(source)) => return Err(at(source)),
        }
        let state = State::open(&directory)?;
        let Found { segments, journals, last } = list(&directory)?;
        let shared = Arc::new(Shared::new(options, state, Kept { segments, open: Batch::new() }));
        let (number, journal) = recover(&shared, &journals, last)?;
        let (messages, receiver) = channel();
        let writer = Writer::new(Arc::clone(&shared), number, journal, lock);
        let thread = std::thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(StoreError::Thread)?;
        Ok(Self { shared, messages, thread: Some(thread) })
    }

    /// The way in.
    pub fn sender(&self) -> StoreSender {
        StoreSender { shared: Arc::clone(&self.shared), messages: self.messages.clone() }
    }

    /// The way out.
    pub fn reader(&self) -> StoreReader {
        StoreReader::new(Arc::clone(&self.shared))
    }

    /// Waits until all that was handed over so far is durable, or could not be made so (see `HistoryInfo::failure`).
    pub fn flush(&self) {
        self.ask(Message::Flush);
    }

    /// Like [`Store::flush`], and writes the open segment as Parquet, for who wants to open it with other tools.
    pub fn seal(&self) {
        self.ask(Message::Seal);
    }

    fn ask(&self, message: fn(std::sync::mpsc::SyncSender<()>) -> Message) {
        let (done, answer) = sync_channel(1);
        if self.messages.send(message(done)).is_ok() {
            // No answer means that the writer is gone, and there is nothing to wait for.
            let _ = answer.recv();
        }
    }

    /// Keeps bytes under a name in the store's small state, durably (alerts, acknowledgements, marks); empty ones remove
    /// it.
    pub fn set_mark(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.shared.state.set_mark(name, bytes)
    }

    /// Bytes kept under a name.
    pub fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.state.mark(name)
    }

    /// A number that tells this store from others.
    pub fn id(&self) -> u64 {
        self.shared.state.id()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Where the writer is gone already, so is what it could do.
        let _ = self.messages.send(Message::Close);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl StoreSender {
    /// Hands closed flows over; `name` gives an interface's name from its index. Never waits: what the queue has no room
    /// for is counted as lost. Returns how many flows that were.
    pub fn push(&self, flows: &[Arc<Flow>], name: &dyn Fn(u32) -> Arc<str>) -> usize {
        let limit = self.shared.options.queue_flows;
        let add = |queued: usize| {
            let taken = flows.len().min(limit.saturating_sub(queued));
            (taken > 0).then_some(queued + taken)
        };
        let before = self.shared.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        let taken = before.map_or(0, |queued| flows.len().min(limit.saturating_sub(queued)));
        let (kept, lost) = flows.split_at(taken);
        if !lost.is_empty() {
            self.shared.losses.add(StoreLoss::QueueFull, lost.len() as u64);
        }
        if !kept.is_empty() {
            let parcel = Parcel { flows: kept.to_vec(), names: names_of(kept, name) };
            if self.messages.send(Message::Flows(parcel)).is_err() {
                self.shared.losses.add(StoreLoss::WriteFailed, kept.len() as u64);
                return flows.len();
            }
        }
        lost.len()
    }

    /// Flows that are not in the history for a reason, since it was opened.
    pub fn lost(&self, reason: StoreLoss) -> u64 {
        self.shared.losses.get(reason)
    }
}

/// Names of all interfaces that the flows were seen at, by index.
fn names_of(flows: &[Arc<Flow>], name: &dyn Fn(u32) -> Arc<str>) -> InterfaceNames {
    let mut names = InterfaceNames::new();
    for point in flows.iter().flat_map(|flow| &flow.points) {
        if let Err(place) = names.binary_search_by_key(&point.ifindex, |(index, _)| *index) {
            names.insert(place, (point.ifindex, name(point.ifindex)));
        }
    }
    names
}

/// Takes over the journals: those whose segment was written are removed, the rows of the last one are the open rows, any
/// other becomes a segment. `last` is the greatest number of a segment. Gives the number of the open segment.
fn recover(shared: &Shared, journals: &[u64], last: u64) -> Result<(u64, Option<Journal>), StoreError> {
    let through = shared.state.rolled_through()?;
    let readable = shared.read().segments.last().map_or(0, |segment| segment.number);
    let mut open: Option<(u64, Journal)> = None;
    for number in journals {
        let path = journal_path(shared, *number);
        if *number <= readable.max(through) {
            std::fs::remove_file(&path).map_err(|source| StoreError::File { path, source })?;
            continue;
        }
        if let Some((number, journal)) = open.take() {
            let rows = std::mem::replace(&mut shared.write().open, Batch::new());
            if rows.len() > 0 {
                let segment = segment::write(&shared.options.directory, number, &rows)?;
                shared.write().segments.push(Arc::new(segment));
            }
            journal.remove()?;
        }
        let (journal, rows) = Journal::recover(&path)?;
        shared.journal_bytes.store(journal.bytes(), Ordering::Relaxed);
        shared.write().open = rows;
        open = Some((*number, journal));
    }
    Ok(match open {
        Some((number, journal)) => (number, Some(journal)),
        None => (last.max(through) + 1, None),
    })
}
