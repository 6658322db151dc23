//! What became of the events handed to a log. Read from any thread while the log runs.
//!
//! Invariant: accepted = written + dropped + those still on their way; nothing else happens to an event.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hivewall_view::Loss;

/// Why an event is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// The queue was full: the disk or the reader is slower than events come.
    QueueFull,
    /// The file could not be written.
    WriteError,
    /// The disk, or the quota, is full.
    DiskFull,
    /// The program reading standard output or the pipe went away.
    ReaderGone,
    /// The log was closed before the event could be written.
    Closed,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [DropReason; 5] =
        [Self::QueueFull, Self::WriteError, Self::DiskFull, Self::ReaderGone, Self::Closed];

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "log_queue_full",
            Self::WriteError => "log_write_error",
            Self::DiskFull => "log_disk_full",
            Self::ReaderGone => "log_reader_gone",
            Self::Closed => "log_closed",
        }
    }

    /// What was lost and what it means.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::QueueFull => {
                "Events not logged because the log's queue was full: the disk or reader is too slow; \
                 a larger --log-buffer-size bridges bursts"
            }
            Self::WriteError => "Events not logged because the log file could not be written",
            Self::DiskFull => "Events not logged because the disk or quota of the log file is full",
            Self::ReaderGone => "Events not logged because the program reading the log went away",
            Self::Closed => "Events not logged because the log was closed before they could be written",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// Live counters of one log.
#[derive(Debug, Default)]
pub struct LogCounters {
    accepted: AtomicU64,
    written: AtomicU64,
    bytes: AtomicU64,
    rotations: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
}

impl LogCounters {
    /// What they say now.
    pub fn totals(&self) -> LogTotals {
        LogTotals {
            // What came of an event is read before that it came, so that the parts never exceed the whole.
            written: self.written.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            rotations: self.rotations.load(Relaxed),
            dropped: std::array::from_fn(|reason| self.dropped.get(reason).map_or(0, |count| count.load(Relaxed))),
            accepted: self.accepted.load(Relaxed),
        }
    }

    pub(crate) fn accept(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    pub(crate) fn wrote(&self, events: u64, bytes: u64) {
        self.written.fetch_add(events, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Takes events and bytes back out of the log.
    pub(crate) fn unwrite(&self, events: u64, bytes: u64) {
        self.written.fetch_sub(events, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    pub(crate) fn rotated(&self) {
        self.rotations.fetch_add(1, Relaxed);
    }

    pub(crate) fn drop_events(&self, reason: DropReason, events: u64) {
        if let Some(count) = self.dropped.get(reason.index()) {
            count.fetch_add(events, Relaxed);
        }
    }
}

/// The counters of one log at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogTotals {
    /// Events handed to the log.
    pub accepted: u64,
    /// Events in the log.
    pub written: u64,
    /// Bytes written, headers and brackets included.
    pub bytes: u64,
    /// Times the file was rotated.
    pub rotations: u64,
    dropped: [u64; DropReason::ALL.len()],
}

impl LogTotals {
    /// Events lost for one reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason.index()).copied().unwrap_or(0)
    }

    /// Events lost for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Events neither written nor lost yet.
    pub fn pending(&self) -> u64 {
        self.accepted.saturating_sub(self.written + self.dropped_total())
    }

    /// Rows for the snapshot's `losses`: every reason, zeros included. Packets and bytes of an event that is not in
    /// the log are still in the flow counters, so they are 0 here.
    pub fn losses(&self) -> BTreeMap<String, Loss> {
        DropReason::ALL
            .into_iter()
            .map(|reason| {
                let loss =
                    Loss { count: self.dropped(reason), meaning: reason.meaning().to_owned(), ..Loss::default() };
                (reason.name().to_owned(), loss)
            })
            .collect()
    }
}
