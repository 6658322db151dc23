//! The queue of requests and the thread that sends them.
//!
//! The rules of retrying are those of the OTLP specification: 429, 502, 503 and 504 and no answer are tried again, later
//! and later and not before `Retry-After`; everything else is given up and counted.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write as _};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use hivewall_outbound::{Answer, Backoff, Client, ClientError, Failure, HttpOptions, Reason};
use hivewall_view::alerts::Alert;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use thiserror::Error;

use crate::encode;
use crate::family::Family;

/// What waits, of each signal.
const QUEUE_BYTES_MAX: usize = 8 << 20;
/// Logs that go in one request.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// The first and the longest wait after a failure.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Why nothing can be pushed.
#[derive(Debug, Error)]
pub enum OtlpError {
    /// The collector's address or certificates cannot be used.
    #[error("the collector: {0}")]
    Client(#[from] ClientError),
    /// The thread could not be started.
    #[error("no thread for the collector: {0}")]
    Thread(#[source] io::Error),
}

/// Where to and how.
#[derive(Clone, Debug)]
pub struct OtlpOptions {
    /// The collector without a path, such as `http://collector.example.org:4318`; `/v1/metrics` and `/v1/logs` are added.
    pub endpoint: String,
    /// Time limit of a request, certificates, credentials.
    pub http: HttpOptions,
    /// Whether requests are compressed.
    pub gzip: bool,
    /// Attributes of the resource: `service.name`, `host.name`, and what else tells this host from others.
    pub resource: Vec<(String, String)>,
    /// The first wait after a failure; one second if none.
    pub retry: Option<Duration>,
}

/// Metrics or logs since the start. Data points or log records, where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignalCounters {
    /// Taken.
    pub pushed: u64,
    /// The collector has them.
    pub sent: u64,
    /// Requests that succeeded.
    pub requests: u64,
    /// The collector took the request and refused these.
    pub rejected: u64,
    /// Requests that failed and were made again, by reason.
    pub retried: BTreeMap<&'static str, u64>,
    /// Given up, by reason.
    pub failed: BTreeMap<&'static str, u64>,
    /// Lost: the queue was at its limit, and the oldest went.
    pub lost_full: u64,
    /// Wait, or are on their way.
    pub queued: u64,
    /// The last failure: when (RFC 3339), and why.
    pub last_error: Option<(String, String)>,
    /// The last success: when, RFC 3339.
    pub last_success: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Signal {
    Metrics,
    Logs,
}

struct Batch {
    body: Vec<u8>,
    items: u64,
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<Batch>,
    bytes: usize,
    counters: SignalCounters,
}

#[derive(Default)]
struct State {
    metrics: Lane,
    logs: Lane,
    closing: Option<Instant>,
}

impl State {
    fn lane(&mut self, signal: Signal) -> &mut Lane {
        match signal {
            Signal::Metrics => &mut self.metrics,
            Signal::Logs => &mut self.logs,
        }
    }
}

impl Lane {
    fn push(&mut self, body: Vec<u8>, items: u64) {
        self.bytes += body.len();
        self.counters.pushed += items;
        self.counters.queued += items;
        self.waiting.push_back(Batch { body, items });
        while self.bytes > QUEUE_BYTES_MAX {
            let Some(oldest) = self.waiting.pop_front() else { return };
            self.bytes -= oldest.body.len();
            self.counters.lost_full += oldest.items;
            self.counters.queued -= oldest.items;
        }
    }

    /// The oldest; of logs as many as go together.
    fn take(&mut self, signal: Signal) -> Option<Batch> {
        let mut batch = self.waiting.pop_front()?;
        while signal == Signal::Logs
            && let Some(next) =
                self.waiting.pop_front_if(|next| batch.body.len() + next.body.len() <= REQUEST_BYTES_MAX)
        {
            batch.body.extend_from_slice(&next.body);
            batch.items += next.items;
        }
        self.bytes -= batch.body.len();
        Some(batch)
    }
}

struct Shared {
    state: Mutex<State>,
    bell: Condvar,
    resource: Resource,
    start_ns: u64,
}

/// Pushes metrics and alerts to one collector. Dropped, it ends after the request that is on its way.
pub struct Otlp {
    shared: Arc<Shared>,
    /// Behind a lock so that threads can share the whole.
    done: Mutex<Receiver<()>>,
}

impl std::fmt::Debug for Otlp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Otlp").finish_non_exhaustive()
    }
}

fn now_ns() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default()
}

impl Otlp {
    /// Checks the address and starts the thread. No connection is made: a collector that is down is no error.
    pub fn start(options: &OtlpOptions) -> Result<Self, OtlpError> {
        let client =
            |path: &str| Client::new(&format!("{}{path}", options.endpoint.trim_end_matches('/')), &options.http);
        let sender = Sender { metrics: client("/v1/metrics")?, logs: client("/v1/logs")?, gzip: options.gzip };
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            bell: Condvar::new(),
            resource: encode::resource(&options.resource),
            start_ns: now_ns(),
        });
        let (say, done) = mpsc::channel();
        let of_thread = Arc::clone(&shared);
        let backoff = Backoff::new(options.retry.unwrap_or(RETRY.0), RETRY.1);
        let run = move || {
            of_thread.run(&sender, backoff);
            // Nobody listens after the time for the end is over.
            let _ = say.send(());
        };
        thread::Builder::new().name("otlp".to_owned()).spawn(run).map_err(OtlpError::Thread)?;
        Ok(Self { shared, done: Mutex::new(done) })
    }

    /// Takes what the registry says now. Never waits for the network.
    pub fn metrics(&self, families: &[Family]) {
        let (body, points) = encode::metrics(families, &self.shared.resource, self.shared.start_ns, now_ns());
        self.push(Signal::Metrics, body, points);
    }

    /// Takes an alert and what happened to it (`raised`, `worsened`, `ended`). Never waits for the network.
    pub fn alert(&self, alert: &Alert, change: &str) {
        self.push(Signal::Logs, encode::log(alert, change, &self.shared.resource, now_ns()), 1);
    }

    /// Of metrics and of logs.
    pub fn counters(&self) -> (SignalCounters, SignalCounters) {
        let state = self.shared.lock();
        (state.metrics.counters.clone(), state.logs.counters.clone())
    }

    /// Sends what can be sent within the time. What is left is lost; how many data points and records that are.
    pub fn close(self, deadline: Duration) -> u64 {
        let until = Instant::now() + deadline;
        self.shared.lock().closing = Some(until);
        self.shared.bell.notify_all();
        // Late or done, what is left is told.
        let _ = self.done.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(deadline);
        let state = self.shared.lock();
        state.metrics.counters.queued + state.logs.counters.queued
    }

    fn push(&self, signal: Signal, body: Vec<u8>, items: u64) {
        if items > 0 {
            self.shared.lock().lane(signal).push(body, items);
            self.shared.bell.notify_all();
        }
    }
}

impl Drop for Otlp {
    fn drop(&mut self) {
        self.shared.lock().closing.get_or_insert_with(Instant::now);
        self.shared.bell.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, sender: &Sender, mut backoff: Backoff) {
        while let Some((signal, batch)) = self.next() {
            while let Err(failure) = self.attempt(sender, signal, &batch) {
                if !self.pause(backoff.wait(failure.retry_after)) {
                    return;
                }
            }
            backoff.reset();
        }
    }

    /// Waits for something to send; alerts go first. None: it is over.
    fn next(&self) -> Option<(Signal, Batch)> {
        let mut state = self.lock();
        loop {
            if state.closing.is_some_and(|until| Instant::now() >= until) {
                return None;
            }
            for signal in [Signal::Logs, Signal::Metrics] {
                if let Some(batch) = state.lane(signal).take(signal) {
                    return Some((signal, batch));
                }
            }
            if state.closing.is_some() {
                return None;
            }
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends once and counts. An error is one that may heal.
    fn attempt(&self, sender: &Sender, signal: Signal, batch: &Batch) -> Result<(), Failure> {
        let result = sender.send(signal, &batch.body);
        let mut state = self.lock();
        let counters = &mut state.lane(signal).counters;
        let now = jiff::Timestamp::now().to_string();
        match result {
            Ok(rejected) => {
                let rejected = rejected.min(batch.items);
                counters.rejected += rejected;
                counters.sent += batch.items - rejected;
                counters.requests += 1;
                counters.last_success = Some(now);
            }
            Err(failure) => {
                counters.last_error = Some((now, failure.text.clone()));
                if !failure.is_final {
                    *counters.retried.entry(failure.reason.name()).or_default() += 1;
                    return Err(failure);
                }
                *counters.failed.entry(failure.reason.name()).or_default() += batch.items;
            }
        }
        counters.queued -= batch.items;
        Ok(())
    }

    /// Waits before another attempt. False: it is over, since at the end nothing is waited for.
    fn pause(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        let mut state = self.lock();
        while state.closing.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = self.bell.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

struct Sender {
    metrics: Client,
    logs: Client,
    gzip: bool,
}

impl Sender {
    /// How many the collector refused of what it took.
    fn send(&self, signal: Signal, body: &[u8]) -> Result<u64, Failure> {
        let client = if signal == Signal::Metrics { &self.metrics } else { &self.logs };
        let compressed = self.gzip.then(|| compress(body)).flatten();
        let headers = [("content-encoding", "gzip")];
        let (headers, body) = match &compressed {
            Some(compressed) => (headers.as_slice(), compressed.as_slice()),
            None => (&[][..], body),
        };
        let answer = client.post("application/x-protobuf", headers, body)?;
        judge(&answer)?;
        Ok(rejected(signal, &answer.body))
    }
}

fn compress(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail; if it did, the body would go as it is.
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// By the specification, which is stricter than what holds elsewhere.
fn judge(answer: &Answer) -> Result<(), Failure> {
    match answer.status {
        200..=299 => Ok(()),
        429 | 503 => Err(answer.failure(Reason::Busy, false)),
        502 | 504 => Err(answer.failure(Reason::Faulty, false)),
        _ => answer.judge().map_err(|failure| Failure { is_final: true, ..failure }),
    }
}

fn rejected(signal: Signal, body: &[u8]) -> u64 {
    let rejected = match signal {
        Signal::Metrics => ExportMetricsServiceResponse::decode(body)
            .ok()
            .and_then(|response| response.partial_success)
            .map_or(0, |partial| partial.rejected_data_points),
        Signal::Logs => ExportLogsServiceResponse::decode(body)
            .ok()
            .and_then(|response| response.partial_success)
            .map_or(0, |partial| partial.rejected_log_records),
    };
    u64::try_from(rejected).unwrap_or_default()
}
