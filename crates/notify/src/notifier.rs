//! All channels: taking what is told, and handing it to each channel's queue.
//!
//! Two kinds of thread: the keeper, which alone waits for the disk when something is told, and a courier for each
//! channel, which alone waits for its receiver.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hivewall_spool::{Limits, Spool};
use hivewall_view::alerts::Alert;

use crate::channel::Channel;
use crate::error::Error;
use crate::lane::{Lane, now_ms};
use crate::message::{Change, Message, Notice};
use crate::tally::ChannelCounters;

/// What is told and not yet in a queue.
const INTAKE_MAX: usize = 16_384;
/// What waits for one channel.
const QUEUE: Limits = Limits { bytes_max: 16 << 20, items_max: 20_000 };
/// How long a test waits for all channels together.
pub const TEST_LIMIT: Duration = Duration::from_secs(30);
/// Notices that are written at once.
const BATCH_MAX: usize = 512;

#[expect(clippy::struct_field_names, reason = "`told_ms` is the name it has in a notice")]
struct Told {
    alert: Alert,
    change: Change,
    told_ms: u64,
}

/// Tells channels of alerts. Dropped, it ends at once, and what waits is kept for the next start; [`Self::close`] gives
/// it time.
pub struct Notifier {
    /// None: closed.
    intake: Option<SyncSender<Told>>,
    lanes: Vec<Arc<Lane>>,
    keeper: Option<JoinHandle<()>>,
    couriers: Mutex<Receiver<()>>,
    lost: AtomicU64,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("channels", &self.lanes.len()).finish_non_exhaustive()
    }
}

impl Notifier {
    /// Opens all channels, each with its queue `notify-NAME.redb` in the directory, and goes on with what waits there.
    /// Without a directory queues are in memory. No connection is made: a receiver that is down is no error.
    pub fn start(channels: Vec<Channel>, state_dir: Option<&Path>) -> Result<Self, Error> {
        let mut names = BTreeSet::new();
        let mut lanes = Vec::new();
        for channel in channels {
            if !names.insert(channel.name.clone()) {
                return Err(Error::Name { name: channel.name });
            }
            let sink = channel.open();
            let sink = sink.map_err(|source| Error::Channel { name: channel.name.clone(), source })?;
            let spool = match state_dir {
                Some(directory) => Spool::open(&directory.join(format!("notify-{}.redb", channel.name)), QUEUE),
                None => Ok(Spool::in_memory(QUEUE)),
            };
            let spool = spool.map_err(|source| Error::Spool { name: channel.name.clone(), source })?;
            lanes.push(Arc::new(Lane::new(channel, sink, spool)));
        }
        let (intake, told) = mpsc::sync_channel(INTAKE_MAX);
        let (done, couriers) = mpsc::channel();
        for lane in &lanes {
            let (lane, done) = (Arc::clone(lane), done.clone());
            let run = move || {
                lane.run();
                // Nobody listens after the time for the end is over.
                let _ = done.send(());
            };
            thread::Builder::new().name("notify".to_owned()).spawn(run).map_err(Error::Thread)?;
        }
        let of_keeper = lanes.clone();
        let keeper = thread::Builder::new().name("notify-keeper".to_owned()).spawn(move || keep(&told, &of_keeper));
        let keeper = Some(keeper.map_err(Error::Thread)?);
        Ok(Self { intake: Some(intake), lanes, keeper, couriers: Mutex::new(couriers), lost: AtomicU64::new(0) })
    }

    /// Tells all channels that want to know. Never waits: when too much is in hand it is lost, and counted for each.
    pub fn tell(&self, alert: &Alert, change: Change) {
        let told = Told { alert: alert.clone(), change, told_ms: now_ms() };
        if self.intake.as_ref().is_none_or(|intake| intake.try_send(told).is_err()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends an alert that says it is a test over one channel or all, past queues and limits, and waits for each, for
    /// [`TEST_LIMIT`] at most. How long it took, or why it did not arrive.
    pub fn test(&self, channel: Option<&str>) -> Vec<(String, Result<Duration, String>)> {
        let message = Arc::new(Message::test(jiff::Timestamp::now()));
        let stop = Instant::now() + TEST_LIMIT;
        let mut running = Vec::new();
        for lane in self.lanes.iter().filter(|lane| channel.is_none_or(|name| name == lane.channel.name)) {
            let (say, heard) = mpsc::channel();
            let (of_thread, message) = (Arc::clone(lane), Arc::clone(&message));
            let run = move || {
                let begun = Instant::now();
                let result = of_thread.sink.deliver(&message).map(|()| begun.elapsed()).map_err(|failure| failure.text);
                let _ = say.send(result);
            };
            let started = thread::Builder::new().name("notify-test".to_owned()).spawn(run);
            running.push((lane.channel.name.clone(), started.map(|_| heard)));
        }
        if let (Some(name), true) = (channel, running.is_empty()) {
            let names: Vec<_> = self.lanes.iter().map(|lane| lane.channel.name.as_str()).collect();
            let why = format!("there is no channel of that name; there are: {}", names.join(", "));
            return vec![(name.to_owned(), Err(why))];
        }
        let wait = |heard: Receiver<_>| {
            let late = || Err(format!("no answer within {} s", TEST_LIMIT.as_secs()));
            heard.recv_timeout(stop.saturating_duration_since(Instant::now())).unwrap_or_else(|_| late())
        };
        running
            .into_iter()
            .map(|(name, heard)| (name, heard.map_err(|error| error.to_string()).and_then(wait)))
            .collect()
    }

    /// What became of everything, for each channel in the order of [`Self::start`].
    pub fn counters(&self) -> Vec<ChannelCounters> {
        let lost_intake_full = self.lost.load(Ordering::Relaxed);
        self.lanes.iter().map(|lane| ChannelCounters { lost_intake_full, ..lane.counters() }).collect()
    }

    /// Takes nothing more, sends what can be sent within the time, and gives how many notices are left for the next start.
    pub fn close(mut self, deadline: Duration) -> u64 {
        self.end(deadline)
    }

    fn end(&mut self, deadline: Duration) -> u64 {
        let Some(intake) = self.intake.take() else { return 0 };
        let until = Instant::now() + deadline;
        drop(intake);
        // It only writes to queues what is in hand.
        let _ = self.keeper.take().map(JoinHandle::join);
        self.lanes.iter().for_each(|lane| lane.close(until));
        for _ in &self.lanes {
            let couriers = self.couriers.get_mut().unwrap_or_else(PoisonError::into_inner);
            if couriers.recv_timeout(until.saturating_duration_since(Instant::now())).is_err() {
                break;
            }
        }
        self.lanes.iter().map(|lane| lane.release()).sum()
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// The keeper's whole life.
fn keep(told: &Receiver<Told>, lanes: &[Arc<Lane>]) {
    while let Ok(first) = told.recv() {
        let mut batches: Vec<Vec<usize>> = vec![Vec::new(); lanes.len()];
        let mut notices = Vec::new();
        for told in std::iter::once(first).chain(told.try_iter()).take(BATCH_MAX) {
            let wanting: Vec<_> = lanes.iter().map(|lane| lane.wants(&told.alert, told.change)).collect();
            if !wanting.contains(&true) {
                continue;
            }
            let notice = Notice { change: told.change, told_ms: told.told_ms, alert: told.alert };
            // Strings, numbers and maps with text as keys can always be written.
            notices.push(serde_json::to_vec(&notice).unwrap_or_default());
            for (batch, _) in batches.iter_mut().zip(wanting).filter(|(_, wants)| *wants) {
                batch.push(notices.len() - 1);
            }
        }
        for (lane, batch) in lanes.iter().zip(batches).filter(|(_, batch)| !batch.is_empty()) {
            let bytes: Vec<_> = batch.into_iter().filter_map(|place| notices.get(place).map(Vec::as_slice)).collect();
            lane.take(&bytes);
        }
    }
}
