//! All targets at once: one queue and one thread each, so that one that hangs delays nothing else.
//!
//! Invariant: [`Exporters::flows`], [`Exporters::interfaces`] and [`Exporters::line`] never wait for a target.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use hivewall_model::{Flow, Interface};
use hivewall_outbound::{ClientError, Credentials, Secret, SecretError};
use hivewall_spool::SpoolError;

use crate::clickhouse::ClickHouse;
use crate::counters::{Counters, LossReason, TargetCounters};
use crate::courier::{Courier, wall_clock};
use crate::durable::{Delivery, Store, send_out, take_in};
use crate::lines::Lines;
use crate::link::Place;
use crate::message::{Batch, Carries, Encoder, Item};
use crate::nats::{Nats, Stream};
use crate::netflow::{Templated, V5};
use crate::queue::Queue;
use crate::rows::{Rows, Shape, What};
use crate::sflow::Sflow;
use crate::target::{Direct, Durable, Kind, Target};

/// Why exporting cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A password or credentials cannot be used.
    #[error("the export target {target} has no credentials: {source}")]
    Secret {
        /// The target.
        target: String,
        /// Why not.
        source: SecretError,
    },
    /// An HTTP target cannot be used.
    #[error("the export target {target} cannot be used: {source}")]
    Client {
        /// The target.
        target: String,
        /// Why not.
        source: ClientError,
    },
    /// The queue on disk cannot be opened.
    #[error("the export target {target} has no queue: {source}")]
    Queue {
        /// The target.
        target: String,
        /// Why not.
        source: SpoolError,
    },
    /// Two targets are one.
    #[error("the export target {0} is given twice: leave one out")]
    Twice(String),
    /// The system gives no thread.
    #[error("no thread for the export target {target} ({source}): raise the limit on processes for this user")]
    Thread {
        /// The target.
        target: String,
        /// Why not.
        source: io::Error,
    },
}

/// A running target.
struct Running {
    name: String,
    carries: Carries,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    /// Says when each of the target's threads has ended.
    done: Receiver<()>,
    threads: usize,
    /// The queue on disk, where there is one.
    store: Option<Arc<Store>>,
}

/// Every target, running. Dropping it closes them within [`CLOSE_WITHIN`].
pub struct Exporters {
    targets: Vec<Running>,
    closed: bool,
}

/// How long a drop waits for what is queued.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// What may wait in memory for a queue on disk.
const BEFORE_DISK_BYTES: usize = 16 << 20;

impl Exporters {
    /// Starts a thread for each target. Nothing is looked up or connected yet: a target that is down or does not exist
    /// is tried again and again, and shows in its counters.
    ///
    /// `state` is the directory for queues on disk; it is only used by targets that have one.
    pub fn start(targets: Vec<Target>, state: &Path) -> Result<Self, Error> {
        for (at, target) in targets.iter().enumerate() {
            if targets.iter().take(at).any(|other| other.name == target.name) {
                return Err(Error::Twice(target.name.clone()));
            }
        }
        let targets = targets.into_iter().map(|target| start(target, state)).collect::<Result<_, _>>()?;
        Ok(Self { targets, closed: false })
    }

    /// Hands over flows that ended; `name` gives an interface's name from its index. What finds no room is counted.
    pub fn flows(&self, flows: &[Arc<Flow>], name: &dyn Fn(u32) -> String) {
        if flows.is_empty() || !self.targets.iter().any(|target| target.carries.flows) {
            return;
        }
        let batch = Arc::new(Batch::new(flows, name));
        for target in self.targets.iter().filter(|target| target.carries.flows) {
            target.give(flows.len() as u64, || Item::Flows { batch: Arc::clone(&batch), count: flows.len() }, true);
        }
    }

    /// Hands over all interfaces with their counters, for sFlow and as names for the others; every 10 to 30 seconds.
    pub fn interfaces(&self, interfaces: &[Interface]) {
        if interfaces.is_empty() || !self.targets.iter().any(|target| target.carries.interfaces) {
            return;
        }
        let shared: Arc<[Interface]> = interfaces.into();
        for target in self.targets.iter().filter(|target| target.carries.interfaces) {
            let counts = target.carries.counts_interfaces;
            target.give(interfaces.len() as u64, || Item::Interfaces(Arc::clone(&shared)), counts);
        }
    }

    /// Hands over one encoded event, without its line end.
    pub fn line(&self, line: &[u8]) {
        if !self.wants_lines() {
            return;
        }
        let shared: Arc<[u8]> = line.into();
        for target in self.targets.iter().filter(|target| target.carries.lines) {
            target.give(1, || Item::Line(Arc::clone(&shared)), true);
        }
    }

    /// Whether any target takes lines, so that nobody encodes them for none.
    pub fn wants_lines(&self) -> bool {
        self.targets.iter().any(|target| target.carries.lines)
    }

    /// Whether any target takes flows.
    pub fn wants_flows(&self) -> bool {
        self.targets.iter().any(|target| target.carries.flows)
    }

    /// Whether any target takes interfaces.
    pub fn wants_interfaces(&self) -> bool {
        self.targets.iter().any(|target| target.carries.interfaces)
    }

    /// What has become of everything, target by target in the order they were given.
    pub fn counters(&self) -> Vec<TargetCounters> {
        self.targets.iter().map(|target| target.counters.read(&target.name)).collect()
    }

    /// Sends what is queued until the deadline and ends; what is left then is counted as lost, except on disk, where it
    /// waits for the next start.
    pub fn close(mut self, deadline: Instant) -> Vec<TargetCounters> {
        self.end(deadline);
        self.counters()
    }

    fn end(&mut self, deadline: Instant) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.targets.iter().for_each(|target| target.queue.close());
        for target in &self.targets {
            for _ in 0..target.threads {
                // A thread that hangs in a look-up is left behind; it ends with it. An error says that it is gone.
                let _ = target.done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            }
            target.counters.close(target.store.as_ref().map_or(0, |store| store.close()));
        }
    }
}

impl Drop for Exporters {
    fn drop(&mut self) {
        self.end(Instant::now() + CLOSE_WITHIN);
    }
}

impl Running {
    fn give(&self, count: u64, item: impl FnOnce() -> Item, counts: bool) {
        if counts {
            self.counters.give(count);
        }
        let refused = self.queue.push(item());
        if counts && refused > 0 {
            self.counters.lose(LossReason::QueueFull, refused);
        }
    }
}

fn start(target: Target, state: &Path) -> Result<Running, Error> {
    let Target { name, kind, queue_bytes } = target;
    match kind {
        Kind::Durable(durable) => start_durable(name, durable, queue_bytes, state),
        Kind::Direct(direct) => start_direct(name, direct, queue_bytes),
    }
}

fn start_direct(name: String, direct: Direct, queue_bytes: usize) -> Result<Running, Error> {
    let (queue, counters) = (Arc::new(Queue::new(queue_bytes)), Arc::new(Counters::default()));
    let (carries, encoder, place) = parts(direct);
    let courier = Courier::new(Arc::clone(&queue), Arc::clone(&counters), place, encoder);
    let (finished, done) = sync_channel(1);
    spawn(&name, finished, move || courier.run())?;
    Ok(Running { name, carries, queue, counters, done, threads: 1, store: None })
}

fn start_durable(name: String, durable: Durable, queue_bytes: usize, state: &Path) -> Result<Running, Error> {
    let (mut delivery, rows) = delivery(&name, durable)?;
    let lines = rows.what() == What::Events;
    let carries = Carries { flows: !lines, interfaces: false, lines, counts_interfaces: false };
    // A target's name holds slashes and colons; its hash makes a file name of it.
    let hash = blake3::hash(format!("{name} {:?}", rows.what()).as_bytes()).to_hex();
    let path = state.join(format!("export-{}.spool", hash.get(..16).unwrap_or_default()));
    let counters = Arc::new(Counters::default());
    let store = Store::open(&path, queue_bytes, Arc::clone(&counters));
    let store = Arc::new(store.map_err(|source| Error::Queue { target: name.clone(), source })?);
    let queue = Arc::new(Queue::new(BEFORE_DISK_BYTES));
    let (finished, done) = sync_channel(2);
    let (incoming, kept) = (Arc::clone(&queue), Arc::clone(&store));
    spawn(&name, finished.clone(), move || take_in(&incoming, &kept, &rows))?;
    let kept = Arc::clone(&store);
    spawn(&name, finished, move || send_out(&kept, delivery.as_mut()))?;
    Ok(Running { name, carries, queue, counters, done, threads: 2, store: Some(store) })
}

/// A thread that tells when it has ended.
fn spawn(target: &str, finished: SyncSender<()>, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = thread::Builder::new().name("hivewall-export".to_owned()).spawn(move || {
        run();
        // Whoever closes may have given up waiting.
        let _ = finished.send(());
    });
    thread.map(drop).map_err(|source| Error::Thread { target: target.to_owned(), source })
}

fn delivery(target: &str, durable: Durable) -> Result<(Box<dyn Delivery>, Rows), Error> {
    let secret = |path: Option<PathBuf>| {
        let read = path.map(|path| Secret::read(&path)).transpose();
        read.map_err(|source| Error::Secret { target: target.to_owned(), source })
    };
    match durable {
        Durable::ClickHouse { url, table, access, what } => {
            let password = secret(access.password_file)?;
            let credentials = access.user.zip(password).map(|(user, password)| Credentials::Basic(user, password));
            let table = ClickHouse::new(&url, table, credentials, access.ca_file);
            let table = table.map_err(|source| Error::Client { target: target.to_owned(), source })?;
            Ok((Box::new(table), Rows::new(what, Shape::ClickHouse)))
        }
        Durable::Nats { host, port, subject, tls, access, what } => {
            let (password, token) = (secret(access.password_file)?, secret(access.token_file)?);
            let user = access.user.zip(password);
            let nats = Nats::new(Stream { host, port, subject, tls, ca_file: access.ca_file, user, token });
            Ok((Box::new(nats), Rows::new(what, Shape::Json)))
        }
    }
}

fn parts(direct: Direct) -> (Carries, Box<dyn Encoder>, Place) {
    let flows = Carries { flows: true, interfaces: true, lines: false, counts_interfaces: false };
    match direct {
        Direct::Templated { version, place, domain, refresh } => {
            (flows, Box::new(Templated::new(version, domain, refresh, wall_clock())), place)
        }
        Direct::V5 { place, domain } => {
            (Carries { interfaces: false, ..flows }, Box::new(V5::new(domain, wall_clock())), place)
        }
        Direct::Sflow { place, domain } => {
            let carries = Carries { flows: false, interfaces: true, lines: false, counts_interfaces: true };
            (carries, Box::new(Sflow::new(domain)), place)
        }
        Direct::Lines { place } => {
            let carries = Carries { flows: false, interfaces: false, lines: true, counts_interfaces: false };
            (carries, Box::new(Lines), place)
        }
    }
}
