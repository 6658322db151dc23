//! One log without its thread: events become bytes, bytes reach the file in batches, the file is rotated, and what goes
//! wrong is counted, said once and tried again.
//!
//! It keeps no clock: whoever calls brings the time. Invariant: an event given to [`Log::push`] is counted exactly
//! once, as written or as dropped, at the latest by [`Log::finish`].

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::counters::{DropReason, LogCounters};
use crate::destination::{Cut, Destination};
use crate::encode::{Encoder, LogFormat};
use crate::event::Event;

/// A batch this large is written at once.
const BATCH_BYTES: usize = 64 * 1024;

/// No event waits longer in memory.
pub(crate) const FLUSH_INTERVAL: Duration = Duration::from_millis(250);

/// Pause after the first failed write; it doubles with each one that follows.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// When a file is to be rotated; nothing set means never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rotation {
    pub(crate) size: Option<u64>,
    pub(crate) interval: Option<Duration>,
    pub(crate) keep: usize,
}

/// The file cannot be written for now.
struct Trouble {
    reason: DropReason,
    retry_at: Instant,
    pause: Duration,
    lost: u64,
}

pub(crate) struct Log {
    encoder: Encoder,
    format: LogFormat,
    rotation: Rotation,
    destination: Destination,
    counters: Arc<LogCounters>,
    /// Set when nobody waits for the log any more: what is not written yet is not ours to count.
    abandoned: Arc<AtomicBool>,
    /// Encoded events that are not in the file yet.
    batch: Vec<u8>,
    /// Where each of them ends in `batch`.
    ends: Vec<usize>,
    /// When the oldest of them came.
    batch_since: Option<Instant>,
    /// One event, encoded, before it is known which file it goes to.
    scratch: Vec<u8>,
    /// Bytes of the file's last event with what stands before it; 0 once it was taken back.
    last_event: u64,
    /// The file ends in the middle of a line.
    torn: bool,
    trouble: Option<Trouble>,
    rotation_retry: Option<Instant>,
    /// The reader of a stream went away for good.
    gone: bool,
}

impl Log {
    pub(crate) fn new(
        format: LogFormat,
        rotation: Rotation,
        destination: Destination,
        counters: Arc<LogCounters>,
        abandoned: Arc<AtomicBool>,
        now: Instant,
    ) -> io::Result<Self> {
        let mut log = Self {
            encoder: Encoder::new(format),
            format,
            rotation,
            destination,
            counters,
            abandoned,
            batch: Vec::with_capacity(BATCH_BYTES * 2),
            ends: Vec::new(),
            batch_since: None,
            scratch: Vec::new(),
            last_event: 0,
            torn: false,
            trouble: None,
            rotation_retry: None,
            gone: false,
        };
        log.adopt(now)?;
        Ok(log)
    }

    /// Looks at what a file that was there before holds, and puts it aside where it cannot be continued: a JSON
    /// document, which is closed, or a table with other columns.
    fn adopt(&mut self, now: Instant) -> io::Result<()> {
        self.torn = false;
        if self.destination.length() == 0 {
            return Ok(());
        }
        let fits = self.format != LogFormat::Json && self.destination.starts_with(self.encoder.opening());
        if !fits {
            self.destination.rotate(self.rotation.keep.max(1), now)?;
        }
        // The writer before may have been killed within a line.
        self.torn = self.destination.last_byte().is_some_and(|byte| byte != b'\n');
        Ok(())
    }

    /// Takes one event. It is in the file after the next flush at the latest.
    pub(crate) fn push(&mut self, event: &Event, now: Instant) {
        if !self.format.carries(event) || self.abandoned.load(Relaxed) {
            return;
        }
        if self.trouble.is_some() && self.batch.is_empty() && self.refusal(now).is_none() {
            self.return_to_place(now);
        }
        if let Some(reason) = self.refusal(now) {
            self.lose(reason, 1);
            return;
        }
        self.scratch.clear();
        let mut scratch = std::mem::take(&mut self.scratch);
        match self.encoder.event(event, &mut scratch) {
            Ok(()) => self.place(&scratch, now),
            Err(error) => {
                tracing::error!(%error, kind = event.kind(), "an event is not in the log");
                self.counters.drop_events(DropReason::WriteError, 1);
            }
        }
        self.scratch = scratch;
    }

    /// Why no event can be taken now, if so.
    fn refusal(&self, now: Instant) -> Option<DropReason> {
        if self.gone {
            return Some(DropReason::ReaderGone);
        }
        self.trouble.as_ref().filter(|trouble| now < trouble.retry_at).map(|trouble| trouble.reason)
    }

    fn place(&mut self, event: &[u8], now: Instant) {
        let room = event.len() + self.encoder.closing().len() + self.encoder.between().len();
        let size = self.destination.length() + (self.batch.len() + room) as u64;
        if self.rotation.size.is_some_and(|limit| size > limit) {
            self.rotate(now);
            if let Some(reason) = self.refusal(now) {
                self.lose(reason, 1);
                return;
            }
        }
        if self.torn {
            self.batch.push(b'\n');
            self.torn = false;
        }
        if self.destination.length() == 0 && self.batch.is_empty() {
            self.batch.extend_from_slice(self.encoder.opening());
        } else {
            self.batch.extend_from_slice(self.encoder.between());
        }
        self.batch.extend_from_slice(event);
        self.ends.push(self.batch.len());
        self.batch_since.get_or_insert(now);
        if self.batch.len() >= BATCH_BYTES {
            self.flush(now);
        }
    }

    /// Until when the thread may sleep: nothing has to be done before.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.batch_since.map(|since| since + FLUSH_INTERVAL)
    }

    /// Does what is due: writes a batch that waited long enough, rotates a file that is old enough.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.wake_at().is_some_and(|at| now >= at) {
            self.flush(now);
        }
        let old = self.rotation.interval.is_some_and(|interval| self.destination.age(now) >= interval);
        if old && self.destination.length() > 0 {
            self.rotate(now);
        } else if old {
            self.destination.restart_age(now);
        }
    }

    /// Writes the batch.
    pub(crate) fn flush(&mut self, now: Instant) {
        self.batch_since = None;
        if self.batch.is_empty() || self.abandoned.load(Relaxed) {
            return;
        }
        let result = self.destination.write(&self.batch, || self.abandoned.load(Relaxed));
        if !self.abandoned.load(Relaxed) {
            match result {
                Ok(()) => self.flushed(),
                Err(cut) => self.cut_back(&cut, now),
            }
        }
        self.batch.clear();
        self.ends.clear();
    }

    /// Counts the first `events` of the batch as written; returns their bytes.
    fn count_written(&mut self, events: usize) -> usize {
        let end_of = |event: Option<usize>| event.and_then(|event| self.ends.get(event)).copied().unwrap_or(0);
        let end = end_of(events.checked_sub(1));
        if events > 0 {
            self.last_event = (end - end_of(events.checked_sub(2))) as u64;
        }
        self.counters.wrote(events as u64, end as u64);
        end
    }

    fn flushed(&mut self) {
        self.count_written(self.ends.len());
        if let Some(trouble) = self.trouble.take() {
            tracing::info!(log = self.destination.name(), lost = trouble.lost, "the log is being written again");
        }
    }

    /// Keeps the whole events of a batch that was written in part, takes back the rest and counts it.
    fn cut_back(&mut self, cut: &Cut, now: Instant) {
        let whole = self.ends.partition_point(|end| *end <= cut.written);
        let end = self.count_written(whole);
        self.torn = end < cut.written && !self.destination.take_back((cut.written - end) as u64);
        let lost = (self.ends.len() - whole) as u64;
        let reason = self.fail(&cut.error, now);
        self.lose(reason, lost);
    }

    fn lose(&mut self, reason: DropReason, events: u64) {
        self.counters.drop_events(reason, events);
        if let Some(trouble) = &mut self.trouble {
            trouble.lost += events;
        }
    }

    /// Notes a failure: says so the first time, and when to try again. Returns what the events now lost are counted as.
    fn fail(&mut self, error: &io::Error, now: Instant) -> DropReason {
        if error.kind() == ErrorKind::BrokenPipe {
            self.gone = true;
            tracing::warn!(
                log = self.destination.name(),
                "the program reading the log went away: logging stops, everything else goes on"
            );
            return DropReason::ReaderGone;
        }
        let full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        let reason = if full { DropReason::DiskFull } else { DropReason::WriteError };
        let before = self.trouble.take();
        if before.as_ref().is_none_or(|trouble| trouble.reason != reason) {
            let advice = if full {
                "free space on its file system, or keep fewer or smaller rotated files"
            } else {
                "check the file and its file system, or choose another one with --log-file"
            };
            tracing::error!(
                log = self.destination.name(),
                %error,
                "the log cannot be written and events are lost until it can; {advice}; it is tried again by itself"
            );
        }
        let pause = before.as_ref().map_or(PAUSE_MIN, |trouble| (trouble.pause * 2).min(PAUSE_MAX));
        let lost = before.map_or(0, |trouble| trouble.lost);
        self.trouble = Some(Trouble { reason, retry_at: now + pause, pause, lost });
        reason
    }

    /// Before the next attempt: the path may lead to another file, or nowhere, if someone made room by removing ours.
    fn return_to_place(&mut self, now: Instant) {
        if self.destination.is_in_place() {
            return;
        }
        if let Err(error) = self.destination.reopen(now).and_then(|()| self.adopt(now)) {
            self.fail(&error, now);
        }
    }

    /// Ends the file, renames it and begins a new one. A file that cannot be renamed goes on growing.
    fn rotate(&mut self, now: Instant) {
        if !self.destination.is_ordinary() || self.rotation_retry.is_some_and(|at| now < at) {
            return;
        }
        self.flush(now);
        if self.trouble.is_some() || self.destination.length() == 0 {
            return;
        }
        if !self.destination.is_in_place() {
            self.reopen(now);
            return;
        }
        let ending = self.end_file();
        match self.destination.rotate(self.rotation.keep, now) {
            Ok(()) => {
                self.rotation_retry = None;
                self.last_event = 0;
                self.counters.rotated();
            }
            Err(error) => {
                if self.destination.take_back(ending) {
                    self.counters.unwrite(0, ending);
                }
                if self.rotation_retry.is_none() {
                    tracing::error!(
                        log = self.destination.name(),
                        %error,
                        "the log cannot be rotated and goes on growing; let hivewall write in its directory"
                    );
                }
                self.rotation_retry = Some(now + PAUSE_MAX);
            }
        }
    }

    /// Writes what a file of this format ends with and returns its bytes; an empty file gets its opening first. Where
    /// there is no room for it, the last event makes some.
    fn end_file(&mut self) -> u64 {
        for may_take_back in [true, false] {
            let opening = if self.destination.length() == 0 { self.encoder.opening() } else { b"" };
            let ending = [opening, self.encoder.closing()].concat();
            if ending.is_empty() || self.gone {
                return 0;
            }
            let Err(cut) = self.destination.write(&ending, || self.abandoned.load(Relaxed)) else {
                self.counters.wrote(0, ending.len() as u64);
                return ending.len() as u64;
            };
            self.destination.take_back(cut.written as u64);
            if may_take_back && self.last_event > 0 && self.destination.take_back(self.last_event) {
                self.counters.unwrite(1, self.last_event);
                self.last_event = 0;
                self.counters.drop_events(DropReason::DiskFull, 1);
                continue;
            }
            tracing::error!(
                log = self.destination.name(),
                error = %cut.error,
                "the end of the log could not be written; if it is a JSON document, add a line with ] to it"
            );
            break;
        }
        0
    }

    /// Opens the path again: another program renamed the file, or emptied it.
    pub(crate) fn reopen(&mut self, now: Instant) {
        self.flush(now);
        if self.destination.is_in_place() {
            self.destination.measure();
            return;
        }
        // The renamed file is still the one that is open: it gets its end.
        self.end_file();
        match self.destination.reopen(now).and_then(|()| self.adopt(now)) {
            Ok(()) => self.trouble = None,
            Err(error) => {
                self.fail(&error, now);
            }
        }
    }

    /// Writes what is left and closes the document.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.flush(now);
        if !self.abandoned.load(Relaxed) {
            self.end_file();
        }
    }
}

#[cfg(test)]
mod tests;
