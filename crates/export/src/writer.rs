//! A log with its own thread: a bounded queue in front, so that whoever logs never waits for a disk or a reader.
//!
//! What is written, and when, is the business of `log`. Invariant: [`LogSender::send`] takes no lock that the thread
//! holds while it writes.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::counters::{DropReason, LogCounters, LogTotals};
use crate::destination::Destination;
use crate::encode::LogFormat;
use crate::event::Event;
use crate::log::{Log, Rotation};

/// How long [`LogWriter::close`] waits for the last events to be written.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// How long the thread sleeps when nothing comes: files are rotated by age to this precision.
const IDLE: Duration = Duration::from_secs(1);

/// What a log is to be.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// How it looks.
    pub format: LogFormat,
    /// The file; standard output without one.
    pub path: Option<PathBuf>,
    /// Events that may wait to be written, at least 1; what comes when they are as many is lost and counted.
    pub buffer_size: usize,
    /// Rotates before the file grows beyond this many bytes (a single event may be larger). Files only.
    pub rotate_size: Option<u64>,
    /// Rotates a file of this age. Files only.
    pub rotate_interval: Option<Duration>,
    /// Rotated files to keep (`eve.jsonl.1` is the latest); 0 keeps none.
    pub keep: usize,
}

impl Default for LogOptions {
    /// Lines for people on standard output, 8,192 events of buffer, no rotation; where rotation is asked for, 5 files.
    fn default() -> Self {
        Self {
            format: LogFormat::Console,
            path: None,
            buffer_size: 8192,
            rotate_size: None,
            rotate_interval: None,
            keep: 5,
        }
    }
}

impl LogOptions {
    /// Refuses numbers that make no sense.
    fn check(&self) -> Result<(), LogError> {
        let zero = [
            ("buffer size", self.buffer_size == 0),
            ("rotation size", self.rotate_size == Some(0)),
            ("rotation interval", self.rotate_interval == Some(Duration::ZERO)),
        ];
        if let Some((option, _)) = zero.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(LogError::Zero { option });
        }
        Ok(())
    }
}

/// Why a log cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A number that makes no sense.
    #[error("the log's {option} must be at least 1: give a larger number, or leave the option out")]
    Zero {
        /// The option.
        option: &'static str,
    },
    /// The file cannot be opened for writing.
    #[error(
        "the log {} cannot be written ({source}): make its directory and let this user write there, \
         or choose another file with --log-file",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file holds something that cannot be continued and could not be renamed.
    #[error(
        "the log {} holds what cannot be continued and cannot be renamed either ({source}): move it away, \
         or choose another file with --log-file",
        path.display()
    )]
    Aside {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Standard output cannot be used.
    #[error("standard output cannot be used for the log ({0}): choose a file with --log-file")]
    Output(#[source] io::Error),
    /// The system gives no thread.
    #[error("the log's thread cannot be started ({0}): raise the limit on processes for this user")]
    Thread(#[source] io::Error),
}

enum Message {
    Event(Event),
    /// Look at the requests.
    Wake,
}

/// What the thread and its owners share.
#[derive(Default)]
struct Requests {
    reopen: AtomicBool,
    closing: AtomicBool,
}

/// Hands events to a log; cheap to clone, one for each thread that logs.
#[derive(Clone)]
pub struct LogSender {
    queue: SyncSender<Message>,
    format: LogFormat,
    counters: Arc<LogCounters>,
    requests: Arc<Requests>,
}

impl LogSender {
    /// Queues an event and never waits: where there is no room, the event is counted as lost. An event that the format
    /// does not carry (statistics in CSV) is passed over.
    pub fn send(&self, event: Event) {
        if !self.format.carries(&event) {
            return;
        }
        self.counters.accept();
        if self.requests.closing.load(Ordering::Acquire) {
            self.counters.drop_events(DropReason::Closed, 1);
            return;
        }
        match self.queue.try_send(Message::Event(event)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.counters.drop_events(DropReason::QueueFull, 1),
            Err(TrySendError::Disconnected(_)) => self.counters.drop_events(DropReason::Closed, 1),
        }
    }

    /// Asks the log to open its file again, for when another program (logrotate) has renamed it.
    pub fn reopen(&self) {
        self.requests.reopen.store(true, Ordering::Release);
        self.wake();
    }

    /// The live counters.
    pub fn counters(&self) -> &Arc<LogCounters> {
        &self.counters
    }

    fn wake(&self) {
        // A full queue keeps the thread awake anyway.
        let _ = self.queue.try_send(Message::Wake);
    }
}

/// A log that is being written; dropping it closes it.
pub struct LogWriter {
    sender: LogSender,
    done: Receiver<()>,
    abandoned: Arc<AtomicBool>,
    closed: bool,
}

impl LogWriter {
    /// Opens the file (or standard output) and starts the thread. An existing file is appended to; one that cannot be
    /// continued (a closed JSON document, CSV with other columns) is renamed to `.1` first.
    pub fn start(options: &LogOptions) -> Result<Self, LogError> {
        options.check()?;
        let now = Instant::now();
        let destination = match &options.path {
            Some(path) => {
                Destination::open(path, now).map_err(|source| LogError::Open { path: path.clone(), source })?
            }
            None => Destination::standard_output(now).map_err(LogError::Output)?,
        };
        Self::with(options, destination, now)
    }

    /// Writes to something already open, such as a pipe; `options.path` and rotation do not matter then.
    pub fn start_with(options: &LogOptions, output: File) -> Result<Self, LogError> {
        options.check()?;
        let now = Instant::now();
        Self::with(options, Destination::stream(output, now), now)
    }

    fn with(options: &LogOptions, destination: Destination, now: Instant) -> Result<Self, LogError> {
        let rotation = Rotation { size: options.rotate_size, interval: options.rotate_interval, keep: options.keep };
        let counters = Arc::new(LogCounters::default());
        let abandoned = Arc::new(AtomicBool::new(false));
        let log = Log::new(options.format, rotation, destination, Arc::clone(&counters), Arc::clone(&abandoned), now)
            .map_err(|source| LogError::Aside { path: options.path.clone().unwrap_or_default(), source })?;
        let (queue, events) = sync_channel(options.buffer_size);
        let (finished, done) = sync_channel(1);
        let requests = Arc::new(Requests::default());
        let sender = LogSender { queue, format: options.format, counters, requests: Arc::clone(&requests) };
        thread::Builder::new()
            .name("hivewall-log".to_owned())
            .spawn(move || {
                run(log, &events, &requests);
                // Whoever closes may have given up waiting.
                let _ = finished.send(());
            })
            .map_err(LogError::Thread)?;
        Ok(Self { sender, done, abandoned, closed: false })
    }

    /// Queues an event; see [`LogSender::send`].
    pub fn send(&self, event: Event) {
        self.sender.send(event);
    }

    /// Another handle for another thread.
    pub fn sender(&self) -> LogSender {
        self.sender.clone()
    }

    /// Asks the log to open its file again; see [`LogSender::reopen`].
    pub fn reopen(&self) {
        self.sender.reopen();
    }

    /// The live counters.
    pub fn counters(&self) -> &Arc<LogCounters> {
        self.sender.counters()
    }

    /// Writes what is queued, for at most five seconds, and closes the log. What could not be written by then is
    /// counted as lost.
    pub fn close(self) -> LogTotals {
        self.close_within(CLOSE_WITHIN)
    }

    /// Like [`LogWriter::close`] with another bound.
    pub fn close_within(mut self, bound: Duration) -> LogTotals {
        self.end(bound)
    }

    fn end(&mut self, bound: Duration) -> LogTotals {
        let counters = &self.sender.counters;
        if !self.closed {
            self.closed = true;
            self.sender.requests.closing.store(true, Ordering::Release);
            self.sender.wake();
            // A thread that hangs in a write is left behind: it ends with the process, or when the reader moves.
            if self.done.recv_timeout(bound) == Err(RecvTimeoutError::Timeout) {
                self.abandoned.store(true, Ordering::Release);
                tracing::warn!("the log did not take its last events in time: they are counted as lost");
            }
            counters.drop_events(DropReason::Closed, counters.totals().pending());
        }
        counters.totals()
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.end(CLOSE_WITHIN);
    }
}

/// The thread.
fn run(mut log: Log, events: &Receiver<Message>, requests: &Requests) {
    loop {
        let wait = log.wake_at().map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
        let message = events.recv_timeout(wait);
        let now = Instant::now();
        match message {
            Ok(Message::Event(event)) => log.push(&event, now),
            Ok(Message::Wake) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if requests.reopen.swap(false, Ordering::AcqRel) {
            log.reopen(now);
        }
        log.tick(now);
        if requests.closing.load(Ordering::Acquire) {
            drain(&mut log, events);
            break;
        }
    }
    log.finish(Instant::now());
}

/// Takes what is queued; nothing new comes, because closing was announced.
fn drain(log: &mut Log, events: &Receiver<Message>) {
    loop {
        match events.try_recv() {
            Ok(Message::Event(event)) => log.push(&event, Instant::now()),
            Ok(Message::Wake) => {}
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
        }
    }
}
