//! Where the history is kept, how much of it, how long.

use std::path::PathBuf;
use std::time::Duration;

/// Options of a store; [`StoreOptions::new`] gives the usual ones.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Directory; made if it is not there. It belongs to the store.
    pub directory: PathBuf,
    /// Segments whose flows all ended longer ago are removed.
    pub max_age: Duration,
    /// The oldest segments are removed beyond so many bytes on disk, roll-ups included.
    pub max_bytes: u64,
    /// How long roll-ups per minute are kept.
    pub minutes_age: Duration,
    /// How long roll-ups per hour are kept.
    pub hours_age: Duration,
    /// Rows after which the open segment is written as Parquet.
    pub segment_rows: usize,
    /// Time after which the open segment is written as Parquet, if it has a row.
    pub segment_age: Duration,
    /// How often new rows are made durable.
    pub flush_interval: Duration,
    /// Flows that may wait for the writer.
    pub queue_flows: usize,
}

impl StoreOptions {
    /// The usual options for a directory: 30 days, 10 GB; roll-ups per minute 30 days, per hour 400 days.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            directory: directory.into(),
            max_age: 30 * DAY,
            max_bytes: 10_000_000_000,
            minutes_age: 30 * DAY,
            hours_age: 400 * DAY,
            segment_rows: 131_072,
            segment_age: Duration::from_secs(3600),
            flush_interval: Duration::from_millis(500),
            queue_flows: 131_072,
        }
    }
}
