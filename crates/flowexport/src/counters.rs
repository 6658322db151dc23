//! What became of everything a target was given.
//!
//! Invariant: given = sent + queued + lost. `queued` is what the other three leave, so that nothing can be forgotten.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Why a target did not get something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LossReason {
    /// More came than the queue in memory holds.
    QueueFull,
    /// More came than the queue on disk may hold.
    SpoolFull,
    /// The queue on disk could not be written or read.
    SpoolFailed,
    /// The format cannot say it: an IPv6 flow in NetFlow v5.
    NotCarried,
    /// The receiver refused it for what it is, and would again.
    Rejected,
    /// The agent stopped before it could be sent.
    Closed,
}

impl LossReason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::QueueFull, Self::SpoolFull, Self::SpoolFailed, Self::NotCarried, Self::Rejected, Self::Closed];

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::SpoolFull => "spool_full",
            Self::SpoolFailed => "spool_failed",
            Self::NotCarried => "not_carried",
            Self::Rejected => "rejected",
            Self::Closed => "closed",
        }
    }

    /// What it means, for documents and help.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::QueueFull => "more came than the queue in memory holds (queue_mb of the target)",
            Self::SpoolFull => "more came than the queue on disk may hold (queue_mb of the target)",
            Self::SpoolFailed => "the queue on disk could not be written or read",
            Self::NotCarried => "the format cannot say it, such as an IPv6 flow in NetFlow v5",
            Self::Rejected => "the receiver refused it for what it is, and would again",
            Self::Closed => "the agent stopped before it could be sent",
        }
    }
}

/// One target's counters at one moment, all since its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetCounters {
    /// The target as it was given, without its parameters.
    pub target: String,
    /// Flows, lines or interfaces handed to it.
    pub given: u64,
    /// Of those, handed to the network; to a durable target, acknowledged.
    pub sent: u64,
    /// Of those, waiting in memory or on disk.
    pub queued: u64,
    /// Records of the target's format that were sent, those of options among them.
    pub records: u64,
    /// Datagrams, messages or requests.
    pub messages: u64,
    /// Their bytes, without the headers of IP, UDP, TCP and HTTP.
    pub bytes: u64,
    /// Messages sent once more because a connection broke behind them; the receiver may have them twice.
    pub resent: u64,
    /// Connections and name look-ups that failed.
    pub failures: u64,
    /// Lost, by reason, in the order of [`LossReason::ALL`].
    pub lost: [(LossReason, u64); LossReason::ALL.len()],
    /// Whether the target is being reached, as far as can be told.
    pub up: bool,
    /// What went wrong last; kept after it went well again.
    pub last_error: Option<String>,
}

impl TargetCounters {
    /// Lost for one reason.
    pub fn lost(&self, reason: LossReason) -> u64 {
        self.lost.iter().find(|(other, _)| *other == reason).map_or(0, |(_, count)| *count)
    }

    /// Lost for any reason.
    pub fn lost_total(&self) -> u64 {
        self.lost.iter().map(|(_, count)| count).sum()
    }
}

/// The live counters of one target.
#[derive(Default)]
pub(crate) struct Counters {
    given: AtomicU64,
    sent: AtomicU64,
    records: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    resent: AtomicU64,
    failures: AtomicU64,
    lost: [AtomicU64; LossReason::ALL.len()],
    up: AtomicBool,
    last_error: Mutex<Option<String>>,
    /// Set when the target's thread was left behind: what it does after that is not counted, since all it held already
    /// is, as lost.
    closed: AtomicBool,
}

impl Counters {
    pub(crate) fn give(&self, count: u64) {
        self.given.fetch_add(count, Ordering::Relaxed);
    }

    /// Something left for the first time.
    pub(crate) fn sent(&self, items: u64, records: u64, bytes: u64) {
        if !self.closed.load(Ordering::Acquire) {
            self.sent.fetch_add(items, Ordering::Relaxed);
            self.records.fetch_add(records, Ordering::Relaxed);
            self.messages.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// A receiver has these.
    pub(crate) fn acknowledged(&self, items: u64, messages: u64, bytes: u64) {
        if !self.closed.load(Ordering::Acquire) {
            self.sent.fetch_add(items, Ordering::Relaxed);
            self.records.fetch_add(items, Ordering::Relaxed);
            self.messages.fetch_add(messages, Ordering::Relaxed);
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn resent(&self, bytes: u64) {
        self.resent.fetch_add(1, Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn lose(&self, reason: LossReason, count: u64) {
        if !self.closed.load(Ordering::Acquire) {
            self.add_lost(reason, count);
        }
    }

    fn add_lost(&self, reason: LossReason, count: u64) {
        if let Some(counter) = self.lost.get(reason as usize) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn fail(&self, error: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.up.store(false, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(crate) fn reached(&self) {
        self.up.store(true, Ordering::Relaxed);
    }

    /// Counts as lost what is still there; what stays on disk for the next start is not.
    pub(crate) fn close(&self, kept: u64) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.add_lost(LossReason::Closed, self.pending().saturating_sub(kept));
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn pending(&self) -> u64 {
        let lost: u64 = self.lost.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        let gone = self.sent.load(Ordering::Relaxed) + lost;
        self.given.load(Ordering::Relaxed).saturating_sub(gone)
    }

    pub(crate) fn read(&self, target: &str) -> TargetCounters {
        let queued = self.pending();
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut lost = LossReason::ALL.map(|reason| (reason, 0));
        for ((_, count), counter) in lost.iter_mut().zip(&self.lost) {
            *count = of(counter);
        }
        let sent = of(&self.sent);
        let gone: u64 = lost.iter().map(|(_, count)| count).sum::<u64>() + sent;
        TargetCounters {
            target: target.to_owned(),
            // What was given between the two looks waits for the next one.
            given: gone + queued,
            sent,
            queued,
            records: of(&self.records),
            messages: of(&self.messages),
            bytes: of(&self.bytes),
            resent: of(&self.resent),
            failures: of(&self.failures),
            lost,
            up: self.up.load(Ordering::Relaxed),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
