//! The thread that writes: queue → open rows and journal → segment, roll-ups, retention.
//!
//! Nothing here makes a sender wait. While writing fails rows wait in memory, as many as a segment has; what comes beyond
//! that is counted as lost. Every round tries again, so writing goes on by itself once there is room.

use std::cell::Cell;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use hivewall_model::Flow;

use crate::batch::Batch;
use crate::columns::ALL;
use crate::encode::{Encoder, InterfaceNames};
use crate::error::StoreError;
use crate::journal::Journal;
use crate::kept::{Shared, now, open_segment};
use crate::losses::StoreLoss;
use crate::rollup::{self, Level, Tables};
use crate::segment::{self, Segment};

/// Rows that are put into the journal at once, without waiting for the next flush.
const FRAME_ROWS: usize = 16_384;
/// Text in the open rows after which a segment is written, however few rows it has.
const TEXT_BYTES_MAX: usize = 64 << 20;
/// How often retention looks when no segment was written.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);

/// Closed flows on their way to the writer.
pub(crate) struct Parcel {
    pub(crate) flows: Vec<Arc<Flow>>,
    pub(crate) names: InterfaceNames,
}

/// What the writer is told.
pub(crate) enum Message {
    Flows(Parcel),
    /// Make durable what came before, and answer.
    Flush(SyncSender<()>),
    /// Write the open segment, and answer.
    Seal(SyncSender<()>),
    Close,
}

/// The writer's own state.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// `None` while none could be made.
    journal: Option<Journal>,
    encoder: Encoder,
    /// Number of the open segment.
    number: u64,
    /// When its first row came.
    opened: Option<Instant>,
    retained: Instant,
    /// When the open segment could last not be written.
    failed_at: Option<Instant>,
    /// Whether the latest failure was a full disk.
    full: Cell<bool>,
    /// Held for as long as this store is open.
    _lock: File,
}

/// The path of the journal of a segment with a number.
pub(crate) fn journal_path(shared: &Shared, number: u64) -> PathBuf {
    shared.options.directory.join(format!("{number:012}.journal"))
}

impl Writer {
    /// A writer whose open segment has a number; `journal` holds the open rows that are there already.
    pub(crate) fn new(shared: Arc<Shared>, number: u64, journal: Option<Journal>, lock: File) -> Self {
        let opened = (shared.read().open.len() > 0).then(Instant::now);
        Self {
            shared,
            journal,
            encoder: Encoder::default(),
            number,
            opened,
            retained: Instant::now(),
            failed_at: None,
            full: Cell::new(false),
            _lock: lock,
        }
    }

    /// Works until it is told to close or all senders are gone.
    pub(crate) fn run(mut self, receiver: &Receiver<Message>) {
        self.catch_up();
        let interval = self.shared.options.flush_interval;
        let mut flush_at = Instant::now() + interval;
        loop {
            match receiver.recv_timeout(flush_at.saturating_duration_since(Instant::now())) {
                Ok(Message::Flows(parcel)) => self.take(&parcel),
                Ok(Message::Flush(done)) => {
                    self.flush();
                    // Who asked may have gone.
                    let _ = done.send(());
                }
                Ok(Message::Seal(done)) => {
                    self.seal();
                    let _ = done.send(());
                }
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= flush_at {
                self.round();
                flush_at = Instant::now() + interval;
            }
        }
        self.flush();
        // Before the lock goes: readers may outlive the store.
        self.shared.state.close();
    }

    /// Roll-ups that a crash or a migration left to be made.
    fn catch_up(&mut self) {
        let through = match self.shared.state.rolled_through() {
            Ok(through) => through,
            Err(error) => return self.fail(&error),
        };
        let behind: Vec<Arc<Segment>> =
            self.shared.read().segments.iter().filter(|segment| segment.number > through).cloned().collect();
        for segment in behind {
            let rolled = tables_of(&segment).and_then(|tables| match tables {
                Some(tables) => self.shared.state.roll_up(segment.number, tables),
                None => Ok(()),
            });
            if let Err(error) = rolled {
                return self.fail(&error);
            }
        }
    }

    fn take(&mut self, parcel: &Parcel) {
        self.encoder.set_names(&parcel.names);
        let limit = self.shared.options.segment_rows.max(1);
        let mut flows = parcel.flows.as_slice();
        while !flows.is_empty() {
            let room = limit.saturating_sub(self.shared.read().open.len());
            let (now, later) = flows.split_at(room.min(flows.len()));
            {
                let mut kept = self.shared.write();
                for flow in now {
                    self.encoder.push(&mut kept.open, flow);
                }
            }
            flows = later;
            if !now.is_empty() {
                self.opened.get_or_insert_with(Instant::now);
            }
            let (rows, text) = {
                let kept = self.shared.read();
                (kept.open.len(), kept.open.text_bytes())
            };
            if (rows >= limit || text >= TEXT_BYTES_MAX) && (self.waits() || !self.seal()) {
                self.lose(flows.len() as u64);
                break;
            }
            if self.journal.as_ref().is_some_and(|journal| rows >= journal.rows() + FRAME_ROWS) {
                self.append();
            }
        }
        self.shared.queued.fetch_sub(parcel.flows.len(), Ordering::Relaxed);
    }

    /// Whether writing failed so short a time ago that trying again is left to the next round.
    fn waits(&self) -> bool {
        self.failed_at.is_some_and(|failed| failed.elapsed() < self.shared.options.flush_interval)
    }

    /// What is due once per flush interval.
    fn round(&mut self) {
        let old = self.opened.is_some_and(|opened| opened.elapsed() >= self.shared.options.segment_age);
        let full = self.shared.read().open.len() >= self.shared.options.segment_rows;
        if old || full {
            self.seal();
        }
        self.flush();
        if self.retained.elapsed() >= RETENTION_INTERVAL {
            self.retain();
        }
    }

    fn append(&mut self) {
        let appended = match &mut self.journal {
            Some(journal) => journal.append(&self.shared.read().open),
            None => Ok(()),
        };
        self.note_journal();
        if let Err(error) = appended {
            self.fail(&error);
        }
    }

    /// Makes the open rows durable.
    fn flush(&mut self) {
        let flushed = self.journal_or_new().and_then(|()| {
            let Some(journal) = &mut self.journal else { return Ok(()) };
            journal.append(&self.shared.read().open)?;
            journal.sync()
        });
        self.note_journal();
        match flushed {
            Ok(()) if self.shared.read().open.len() < self.shared.options.segment_rows => self.shared.set_failure(None),
            Ok(()) => {}
            Err(error) => self.fail(&error),
        }
    }

    fn journal_or_new(&mut self) -> Result<(), StoreError> {
        if self.journal.is_none() {
            let path = journal_path(&self.shared, self.number);
            self.journal = Some(Journal::create(&path)?);
            segment::sync_directory(&self.shared.options.directory)?;
        }
        Ok(())
    }

    /// Writes the open rows as a segment and begins the next one; says whether that worked.
    fn seal(&mut self) -> bool {
        let written = {
            let kept = self.shared.read();
            if kept.open.len() == 0 {
                return true;
            }
            segment::write(&self.shared.options.directory, self.number, &kept.open)
        };
        let segment = match written {
            Ok(segment) => segment,
            Err(error) => {
                self.failed_at = Some(Instant::now());
                self.fail(&error);
                return false;
            }
        };
        self.failed_at = None;
        let batch = {
            let mut kept = self.shared.write();
            kept.segments.push(Arc::new(segment));
            std::mem::replace(&mut kept.open, Batch::new())
        };
        let number = self.number;
        self.number += 1;
        self.encoder = Encoder::default();
        self.opened = None;
        // A journal that stays is recognised by its number: the segment with the same one has all of it.
        if let Some(Err(error)) = self.journal.take().map(Journal::remove) {
            tracing::warn!(%error, "a journal that is not needed any more stays");
        }
        let rolled = self.journal_or_new().and_then(|()| {
            if self.shared.state.rolled_through()? + 1 < number {
                self.catch_up();
            }
            self.shared.state.roll_up(number, rollup::tables(&batch))
        });
        self.note_journal();
        match rolled {
            Ok(()) => self.shared.set_failure(None),
            Err(error) => self.fail(&error),
        }
        self.retain();
        true
    }

    /// Removes what is too old or too much.
    fn retain(&mut self) {
        self.retained = Instant::now();
        let options = &self.shared.options;
        let now = now();
        let expired_before = (now - options.max_age).0.div_euclid(1000);
        self.discard(StoreLoss::Expired, |segment, _| segment.span.last_end < expired_before);
        let bytes_max = self.shared.options.max_bytes;
        // The latest segment stays whatever else takes the room.
        let last = self.number.saturating_sub(1);
        self.discard(StoreLoss::Evicted, |segment, bytes| bytes > bytes_max && segment.number < last);
        let options = &self.shared.options;
        for (level, age) in Level::ALL.into_iter().zip([options.minutes_age, options.hours_age]) {
            let bucket = (now - age).0.div_euclid(1000).div_euclid(level.micros());
            if let Err(error) = self.shared.state.forget(level, bucket) {
                return self.fail(&error);
            }
        }
    }

    /// Removes segments from the oldest on, while `is_due` says so of the oldest and all bytes on disk.
    fn discard(&self, reason: StoreLoss, is_due: impl Fn(&Segment, u64) -> bool) {
        loop {
            let bytes = self.shared.bytes();
            let oldest = self.shared.read().segments.first().cloned();
            let Some(segment) = oldest.filter(|segment| is_due(segment, bytes)) else { return };
            match std::fs::remove_file(&segment.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::error!(%error, path = %segment.path.display(), "a segment cannot be removed");
                    return;
                }
                _ => {}
            }
            self.shared.write().segments.retain(|other| other.number != segment.number);
            self.shared.losses.add(reason, segment.rows);
        }
    }

    fn note_journal(&self) {
        let bytes = self.journal.as_ref().map_or(0, Journal::bytes);
        self.shared.journal_bytes.store(bytes, Ordering::Relaxed);
    }

    fn fail(&self, error: &StoreError) {
        self.shared.set_failure(Some(error));
        self.full.set(error.is_disk_full());
    }

    fn lose(&self, flows: u64) {
        let reason = if self.full.get() { StoreLoss::DiskFull } else { StoreLoss::WriteFailed };
        self.shared.losses.add(reason, flows);
    }
}

/// The roll-ups of a segment, read from its file; `None` where it is gone.
fn tables_of(segment: &Segment) -> Result<Option<Tables>, StoreError> {
    let Some(reader) = open_segment(segment)? else { return Ok(None) };
    let mut whole = Tables::new();
    for group in 0..reader.groups() {
        for (place, table) in rollup::tables(&reader.load(group, ALL)?) {
            whole.entry(place).or_default().merge(table, place.0.keys_max());
        }
    }
    Ok(Some(whole))
}
