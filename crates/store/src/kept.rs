//! What the writer and all readers share: the list of segments, the open rows, counters.
//!
//! Invariant: a flow is in the open rows or in one segment, never in both and never in neither; both change under one
//! lock.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use hivewall_model::Timestamp;

use crate::batch::Batch;
use crate::columns::Col;
use crate::error::StoreError;
use crate::losses::Losses;
use crate::options::StoreOptions;
use crate::segment::{self, Segment, SegmentReader};
use crate::state::State;

/// Flows that are kept.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// By number.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Rows that are not in a segment yet.
    pub(crate) open: Batch,
}

/// Shared between the writer, senders and readers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: StoreOptions,
    pub(crate) state: State,
    pub(crate) losses: Losses,
    /// Flows in the queue.
    pub(crate) queued: AtomicUsize,
    pub(crate) journal_bytes: AtomicU64,
    kept: RwLock<Kept>,
    failure: Mutex<Option<String>>,
}

impl Shared {
    pub(crate) fn new(options: StoreOptions, state: State, kept: Kept) -> Self {
        Self {
            options,
            state,
            losses: Losses::default(),
            queued: AtomicUsize::new(0),
            journal_bytes: AtomicU64::new(0),
            kept: RwLock::new(kept),
            failure: Mutex::new(None),
        }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing is written now.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that writing fails, or works again.
    pub(crate) fn set_failure(&self, error: Option<&StoreError>) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match (error, failure.is_some()) {
            (Some(error), false) => tracing::error!(%error, "history cannot be written; flows wait in memory"),
            (None, true) => tracing::info!("history is written again"),
            _ => {}
        }
        *failure = error.map(ToString::to_string);
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        let segments: u64 = self.read().segments.iter().map(|segment| segment.bytes).sum();
        segments + self.journal_bytes.load(Ordering::Relaxed) + self.state.bytes()
    }
}

impl Kept {
    /// Since when every flow that ended is here, microseconds; `None` where there is none.
    pub(crate) fn reaches_back_to(&self) -> Option<i64> {
        let open = self.open.range(Col::End).map(|(first, _)| first);
        self.segments.iter().map(|segment| segment.span.first_end).chain(open).min()
    }

    /// The first packet of the oldest flow, microseconds.
    pub(crate) fn oldest(&self) -> Option<i64> {
        let open = self.open.range(Col::Start).map(|(first, _)| first);
        self.segments.iter().map(|segment| segment.span.first_start).chain(open).min()
    }
}

/// The present.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Microseconds as a time.
pub(crate) fn time(micros: i64) -> Timestamp {
    Timestamp(micros.saturating_mul(1000))
}

/// What lies in a directory.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// By number.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Numbers of journals, in order.
    pub(crate) journals: Vec<u64>,
    /// The greatest number of a segment, readable or not.
    pub(crate) last: u64,
}

/// Looks through a directory. What a crash left half written is removed; what
/// cannot be read is left where it is, and said.
pub(crate) fn list(directory: &Path) -> Result<Found, StoreError> {
    let at = |source| StoreError::Directory { path: directory.to_path_buf(), source };
    let mut found = Found::default();
    for entry in std::fs::read_dir(directory).map_err(at)? {
        let path = entry.map_err(at)?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        match (number, path.extension().and_then(|ending| ending.to_str())) {
            (Some(number), Some(segment::ENDING)) => {
                found.last = found.last.max(number);
                match Segment::open(number, path) {
                    Ok(segment) => found.segments.push(Arc::new(segment)),
                    Err(error) => tracing::error!(%error, "a segment of the history is left out"),
                }
            }
            (Some(number), Some("journal")) => found.journals.push(number),
            (_, Some("tmp")) => {
                // Nobody needs it; the next start tries again.
                let _ = std::fs::remove_file(&path);
            }
            _ => {}
        }
    }
    found.segments.sort_by_key(|segment| segment.number);
    found.journals.sort_unstable();
    Ok(found)
}

/// Opens a segment; `None` where retention took it meanwhile.
pub(crate) fn open_segment(segment: &Segment) -> Result<Option<SegmentReader>, StoreError> {
    match SegmentReader::open(&segment.path) {
        Ok(reader) => Ok(Some(reader)),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}
