//! What the history did not keep, by reason.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why flows are not in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StoreLoss {
    /// The writer did not keep up and its queue was full.
    QueueFull,
    /// The disk (or a quota) was full, and what memory holds meanwhile was, too.
    DiskFull,
    /// Writing failed for another reason, and what memory holds meanwhile was full.
    WriteFailed,
    /// Removed for their age: retention, no failure.
    Expired,
    /// Removed since there were too many bytes: retention, no failure.
    Evicted,
}

impl StoreLoss {
    /// Every reason.
    pub const ALL: [StoreLoss; 5] = [Self::QueueFull, Self::DiskFull, Self::WriteFailed, Self::Expired, Self::Evicted];

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "history_queue_full",
            Self::DiskFull => "history_disk_full",
            Self::WriteFailed => "history_write_failed",
            Self::Expired => "history_expired",
            Self::Evicted => "history_evicted",
        }
    }

    /// Whether it is a loss rather than what retention is for.
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::Expired | Self::Evicted)
    }
}

/// Flows by reason.
#[derive(Debug, Default)]
pub(crate) struct Losses([AtomicU64; StoreLoss::ALL.len()]);

impl Losses {
    /// Counts flows.
    pub(crate) fn add(&self, reason: StoreLoss, flows: u64) {
        if let Some(counter) = self.0.get(reason as usize) {
            counter.fetch_add(flows, Ordering::Relaxed);
        }
    }

    /// Flows since the store was opened.
    pub(crate) fn get(&self, reason: StoreLoss) -> u64 {
        self.0.get(reason as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}
