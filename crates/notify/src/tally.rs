//! What became of what was told, per channel.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hivewall_outbound::{Failure, Reason};

/// One channel since it was started. Notices (an alert with what happened to it), where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelCounters {
    /// The channel's name.
    pub channel: String,
    /// Taken for this channel, those that an earlier process left in its queue included.
    pub taken: u64,
    /// Arrived at the receiver.
    pub delivered: u64,
    /// Messages that arrived.
    pub messages: u64,
    /// Attempts that failed and were made again, by reason.
    pub retried: BTreeMap<&'static str, u64>,
    /// Given up, by reason.
    pub failed: BTreeMap<&'static str, u64>,
    /// Wait in the queue.
    pub queued: u64,
    /// Bytes of those.
    pub queued_bytes: u64,
    /// Delivered in a message with others, rather than in one of their own.
    pub grouped: u64,
    /// Delivered as a number in a message, without being listed there.
    pub summed_up: u64,
    /// Not taken: milder than the channel's limit.
    pub below_min: u64,
    /// Not taken: the alert was acknowledged or silenced.
    pub silenced: u64,
    /// Not taken: an end, and the channel does not tell of ends.
    pub ends_unwanted: u64,
    /// Lost: what the program had in hand for all channels together was at its limit.
    pub lost_intake_full: u64,
    /// Lost: the queue was at its limit, and the oldest went.
    pub lost_queue_full: u64,
    /// Lost: damaged on disk.
    pub lost_corrupt: u64,
    /// Lost: the disk would not take it, and memory was at its limit.
    pub lost_unwritten: u64,
    /// Damaged queues that were put aside with an unknown number of notices.
    pub queues_set_aside: u64,
    /// Alerts that are kept alive at the receiver (Alertmanager).
    pub active: u64,
    /// The last failure: when (RFC 3339), and why.
    pub last_error: Option<(String, String)>,
    /// The last success: when, RFC 3339.
    pub last_success: Option<String>,
}

/// Counters that two threads add to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) below_min: AtomicU64,
    pub(crate) silenced: AtomicU64,
    pub(crate) ends_unwanted: AtomicU64,
    book: Mutex<ChannelCounters>,
}

impl Tally {
    pub(crate) fn taken(&self, notices: u64) {
        self.with(|book| book.taken += notices);
    }

    /// A message arrived.
    pub(crate) fn delivered(&self, total: u64, more: u64) {
        self.with(|book| {
            book.delivered += total;
            book.messages += 1;
            book.grouped += if total > 1 { total - more } else { 0 };
            book.summed_up += more;
            book.last_success = Some(jiff::Timestamp::now().to_string());
        });
    }

    /// An attempt failed and will be made again.
    pub(crate) fn retried(&self, failure: &Failure) {
        self.with(|book| {
            *book.retried.entry(failure.reason.name()).or_default() += 1;
            book.last_error = Some((jiff::Timestamp::now().to_string(), failure.text.clone()));
        });
    }

    /// So many were given up.
    pub(crate) fn failed(&self, reason: Reason, notices: u64, text: &str) {
        self.with(|book| {
            *book.failed.entry(reason.name()).or_default() += notices;
            book.last_error = Some((jiff::Timestamp::now().to_string(), text.to_owned()));
        });
    }

    /// What it says now.
    pub(crate) fn read(&self) -> ChannelCounters {
        let mut counters = self.with(|book| book.clone());
        counters.below_min = self.below_min.load(Ordering::Relaxed);
        counters.silenced = self.silenced.load(Ordering::Relaxed);
        counters.ends_unwanted = self.ends_unwanted.load(Ordering::Relaxed);
        counters
    }

    fn with<T>(&self, act: impl FnOnce(&mut ChannelCounters) -> T) -> T {
        act(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
