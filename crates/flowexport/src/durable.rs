//! A target that acknowledges: a queue on disk between what is handed over and what is sent, and a thread on each side.
//!
//! One thread encodes and puts on disk, so that a receiver that hangs holds nothing up; the other sends the oldest items
//! and takes them off once they are acknowledged. Invariant: an item leaves the disk when the receiver has it, or under a
//! [`LossReason`]; a receiver may get one twice, with the same id.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hivewall_spool::{Counters as SpoolCounters, Limits, Spool, SpoolError};

use crate::counters::{Counters, LossReason};
use crate::queue::Queue;
use crate::rest::Rest;
use crate::rows::Rows;

/// Items on disk at most, whatever their bytes: each takes 16 bytes of memory.
const ITEMS_MAX: usize = 4_000_000;

/// How often what was pushed and acknowledged is made durable.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Longest wait for something to send.
const IDLE: Duration = Duration::from_millis(500);

/// A numbered item of the queue.
pub(crate) type Numbered = (u64, Vec<u8>);

/// What became of a try to send.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    /// How many, from the first, need not be sent again.
    pub(crate) done: usize,
    /// How many of these the receiver has refused for what they are.
    pub(crate) rejected: u64,
    /// Requests or messages, and their bytes.
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Why it went no further.
    pub(crate) error: Option<String>,
}

/// Sends items to a receiver that acknowledges them.
pub(crate) trait Delivery: Send {
    /// Tries to send these, the oldest first, and waits for the answer, for a bounded time.
    fn deliver(&mut self, items: &[Numbered]) -> Delivered;

    /// How many are wanted at once.
    fn batch(&self) -> usize;

    /// How long fewer than that may wait for more.
    fn linger(&self) -> Duration;
}

/// The queue on disk, shared by the two threads and the owner.
pub(crate) struct Store {
    state: Mutex<State>,
    changed: Condvar,
    counters: Arc<Counters>,
    /// Nothing more comes in.
    complete: AtomicBool,
}

struct State {
    /// `None` once it was closed, for threads that were left behind.
    spool: Option<Spool>,
    told: SpoolCounters,
    synced: Instant,
}

impl Store {
    pub(crate) fn open(path: &Path, bytes_max: usize, counters: Arc<Counters>) -> Result<Self, SpoolError> {
        let spool = Spool::open(path, Limits { bytes_max: bytes_max as u64, items_max: ITEMS_MAX })?;
        counters.give(spool.counters().found);
        let state = State { spool: Some(spool), told: SpoolCounters::default(), synced: Instant::now() };
        let store =
            Self { state: Mutex::new(state), changed: Condvar::new(), counters, complete: AtomicBool::new(false) };
        store.count(&mut store.lock());
        Ok(store)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the target's counters what the queue has lost.
    fn count(&self, state: &mut State) {
        let Some(now) = state.spool.as_ref().map(Spool::counters) else { return };
        let told = std::mem::replace(&mut state.told, now);
        self.counters.lose(LossReason::SpoolFull, now.lost_full - told.lost_full);
        let failed = |counters: SpoolCounters| counters.lost_corrupt + counters.lost_unwritten;
        self.counters.lose(LossReason::SpoolFailed, failed(now) - failed(told));
        self.counters.lose(LossReason::Rejected, now.refused_too_large - told.refused_too_large);
    }

    fn sync(&self, state: &mut State) {
        if state.synced.elapsed() >= SYNC_EVERY {
            state.synced = Instant::now();
            if let Some(Err(error)) = state.spool.as_mut().map(Spool::sync) {
                self.counters.fail(error.to_string());
            }
        }
        self.count(state);
    }

    /// Makes durable what stays for the next start, counts it, and lets the file go, also where a thread hangs.
    pub(crate) fn close(&self) -> u64 {
        let mut state = self.lock();
        if let Some(Err(error)) = state.spool.as_mut().map(Spool::sync) {
            self.counters.fail(error.to_string());
        }
        self.count(&mut state);
        let kept = state.spool.take().map_or(0, |spool| spool.len() as u64);
        drop(state);
        self.changed.notify_all();
        kept
    }

    /// The oldest items; `None` once it was closed.
    fn peek(&self, count: usize) -> Option<Result<Vec<Numbered>, SpoolError>> {
        self.lock().spool.as_mut().map(|spool| spool.peek(count))
    }
}

/// The thread that puts on disk. Ends when the queue was closed and is empty.
pub(crate) fn take_in(queue: &Queue, store: &Store, rows: &Rows) {
    loop {
        let closing = queue.is_closing();
        while let Some(item) = queue.pop() {
            let encoded = rows.encode(&item);
            let mut state = store.lock();
            let Some(spool) = &mut state.spool else { return };
            for row in &encoded {
                // The only refusal, an item larger than the whole queue, is among the queue's counters.
                let _ = spool.push(row);
            }
            store.sync(&mut state);
            drop(state);
            store.changed.notify_all();
        }
        if closing || store.counters.is_closed() {
            break;
        }
        queue.wait(IDLE, true);
        let mut state = store.lock();
        store.sync(&mut state);
    }
    store.complete.store(true, Ordering::Release);
    store.changed.notify_all();
}

/// The thread that sends. Ends when nothing more comes and all is sent, or its owner has given up.
pub(crate) fn send_out(store: &Store, delivery: &mut dyn Delivery) {
    let mut rest = Rest::default();
    while !store.counters.is_closed() {
        let complete = store.complete.load(Ordering::Acquire);
        let wait = rest.left(Instant::now());
        if !wait.is_zero() {
            pause(store, wait.min(IDLE));
            continue;
        }
        let items = match store.peek(delivery.batch()) {
            Some(Ok(items)) => items,
            Some(Err(error)) => {
                store.counters.fail(error.to_string());
                rest.fail(Instant::now());
                continue;
            }
            None => break,
        };
        if items.is_empty() {
            if complete {
                break;
            }
            wait_for_items(store);
            continue;
        }
        let is_whole = items.len() >= delivery.batch();
        let delivered = delivery.deliver(&items);
        settle(store, &items, &delivered);
        if let Some(error) = delivered.error {
            store.counters.fail(error);
            rest.fail(Instant::now());
            continue;
        }
        rest.end();
        store.counters.reached();
        if !is_whole && !complete {
            pause(store, delivery.linger());
        }
    }
}

/// Takes off the disk what is done, and counts it.
fn settle(store: &Store, items: &[Numbered], delivered: &Delivered) {
    let mut state = store.lock();
    // What was sent after the queue was closed stays on disk and comes once more.
    let Some(spool) = &mut state.spool else { return };
    let before = spool.counters().acked;
    if let Some((number, _)) = delivered.done.checked_sub(1).and_then(|last| items.get(last)) {
        spool.ack(*number);
    }
    // What gave way to newer items meanwhile is counted as lost already, though it may have arrived.
    let acked = spool.counters().acked - before;
    let rejected = delivered.rejected.min(acked);
    store.counters.lose(LossReason::Rejected, rejected);
    store.counters.acknowledged(acked - rejected, delivered.messages, delivered.bytes);
    store.sync(&mut state);
}

/// Waits, unless closing is asked for or nothing more comes.
fn pause(store: &Store, limit: Duration) {
    let state = store.lock();
    let was = store.complete.load(Ordering::Acquire);
    let idle = |state: &mut State| state.spool.is_some() && store.complete.load(Ordering::Acquire) == was;
    drop(store.changed.wait_timeout_while(state, limit, idle));
}

fn wait_for_items(store: &Store) {
    let state = store.lock();
    let is_empty = |state: &State| state.spool.as_ref().is_some_and(Spool::is_empty);
    let idle = |state: &mut State| is_empty(state) && !store.complete.load(Ordering::Acquire);
    drop(store.changed.wait_timeout_while(state, IDLE, idle));
}
