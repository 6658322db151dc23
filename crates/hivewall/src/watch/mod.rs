//! Detection in the agent: the pipeline tells a desk what flows do, and the desk tells back what became of alerts.
//!
//! The desk has a thread of its own, so that no detector delays a packet's count; in a replay it works on the caller's, so
//! that the same capture gives the same alerts. Invariant: what the desk could not be told of is counted.

mod commands;
mod delivery;
mod desk;
mod evidence;
mod fleetwide;
mod kept;
mod logins;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use hivewall_api::{AlertCommand, AlertFile, AlertRefusal, BoxFuture, Caller, SourceGone};
use hivewall_detect::Listener;
use hivewall_engine::LoggedFinding;
use hivewall_host::source::Peeks;
use hivewall_model::{Pulse, SocketChange, SocketEvent, Stray, Timestamp};
use hivewall_view::alerts::{Alert, AlertOutcome, AlertPage, AlertQuery, AlertSummary, DetectorPage, MutePage};
use hivewall_view::policy::FirewallChange;
use hivewall_view::{Loss, Snapshot};
use tokio::sync::oneshot;

use crate::policy::governor::Membership;

pub(crate) use commands::{command, run};
pub(crate) use delivery::{Delivery, channels};
pub(crate) use desk::{Desk, Setting};
pub(crate) use evidence::Place as CapturePlace;
use evidence::{Holding, Packet};
pub(crate) use fleetwide::{Sightings, rank};
pub(crate) use logins::follow_journal;

/// Batches that may wait for the desk: some seconds of a busy host.
const BACKLOG_MAX: usize = 64;

/// What happened since the desk was told last.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) now: Timestamp,
    pub(crate) pulses: Vec<Pulse>,
    pub(crate) said: Vec<LoggedFinding>,
    pub(crate) strays: Vec<Stray>,
    /// Copies of packets, where captures of alerts are made.
    pub(crate) packets: Vec<Packet>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) changes: Vec<FirewallChange>,
    /// Names of interfaces, where they are told anew.
    pub(crate) interfaces: Option<HashMap<u32, String>>,
    /// A second is over.
    pub(crate) tick: bool,
}

impl Seen {
    fn is_empty(&self) -> bool {
        !self.tick
            && self.pulses.is_empty()
            && self.said.is_empty()
            && self.strays.is_empty()
            && self.packets.is_empty()
            && self.listeners.is_empty()
            && self.changes.is_empty()
    }

    fn len(&self) -> usize {
        self.pulses.len() + self.said.len() + self.strays.len() + self.listeners.len() + self.changes.len()
    }
}

/// What became of an alert, for the log.
pub(crate) struct Told {
    pub(crate) alert: Alert,
    /// `raised`, `worsened` or `ended`.
    pub(crate) change: &'static str,
}

/// What the desk is told and asked.
pub(crate) enum Order {
    Seen(Box<Seen>),
    Ask(Ask),
    /// What a member of the fleet told of an epoch.
    Sightings(String, Box<Sightings>, Arc<Membership>),
    /// What was done about an alert.
    Responded(String, hivewall_view::alerts::Response),
    /// What hosts of the fleet have of an alert.
    Owners(String, Box<hivewall_view::alerts::OwnersEvidence>),
    /// Logins that the host's logs told of.
    Logins(Vec<hivewall_detect::Login>),
    Stop,
}

/// A question, and where its answer goes.
pub(crate) enum Ask {
    Alerts(AlertQuery, oneshot::Sender<AlertPage>),
    Capture(String, oneshot::Sender<Result<AlertFile, AlertRefusal>>),
    Mutes(oneshot::Sender<MutePage>),
    Detectors(oneshot::Sender<DetectorPage>),
    Command(AlertCommand, String, oneshot::Sender<Result<AlertOutcome, AlertRefusal>>),
}

/// Alerts, for whoever asks. Clones share.
#[derive(Clone)]
pub(crate) struct Alerts {
    orders: Sender<Order>,
    summary: Arc<Mutex<Arc<AlertSummary>>>,
}

impl Alerts {
    fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(oneshot::Sender<T>) -> Ask,
    ) -> BoxFuture<'static, Result<T, AlertRefusal>> {
        let (answer, answered) = oneshot::channel();
        let sent = self.orders.send(Order::Ask(ask(answer)));
        Box::pin(async move {
            sent.map_err(|_| SourceGone)?;
            Ok(answered.await.map_err(|_| SourceGone)?)
        })
    }

    pub(crate) fn find(&self, query: AlertQuery) -> BoxFuture<'static, Result<AlertPage, AlertRefusal>> {
        self.ask(|answer| Ask::Alerts(query, answer))
    }

    pub(crate) fn capture(&self, id: String) -> BoxFuture<'static, Result<AlertFile, AlertRefusal>> {
        let read = self.ask(|answer| Ask::Capture(id, answer));
        Box::pin(async move { read.await? })
    }

    pub(crate) fn mutes(&self) -> BoxFuture<'static, Result<MutePage, AlertRefusal>> {
        self.ask(Ask::Mutes)
    }

    pub(crate) fn detectors(&self) -> BoxFuture<'static, Result<DetectorPage, AlertRefusal>> {
        self.ask(Ask::Detectors)
    }

    pub(crate) fn command(
        &self,
        command: AlertCommand,
        caller: &Caller,
    ) -> BoxFuture<'static, Result<AlertOutcome, AlertRefusal>> {
        let done = self.ask(|answer| Ask::Command(command, caller.peer.ip().to_string(), answer));
        Box::pin(async move { done.await? })
    }

    /// Takes what a member of the fleet, this one too, told of an epoch.
    pub(crate) fn hear(&self, host: String, told: Sightings, members: Arc<Membership>) {
        // The desk is gone when the agent stops.
        let _ = self.orders.send(Order::Sightings(host, Box::new(told), members));
    }

    fn summary(&self) -> Arc<AlertSummary> {
        Arc::clone(&self.summary.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

enum Place {
    Here(Box<Desk>, Receiver<Order>),
    Apart { waiting: Arc<AtomicUsize>, thread: Option<JoinHandle<()>> },
}

/// The pipeline's end.
pub(crate) struct Watch {
    place: Place,
    alerts: Alerts,
    told: Receiver<Told>,
    seen: Seen,
    unseen: AtomicU64,
    /// What of packets is handed over.
    holding: Option<Holding>,
    /// Packets that the desk was not told of.
    unheld: u64,
}

impl Watch {
    /// A desk on the caller's thread.
    pub(crate) fn here(setting: Setting) -> anyhow::Result<Self> {
        let (orders, inbox) = channel();
        let (tell, told) = channel();
        let alerts = Alerts { orders, summary: Arc::default() };
        let holding = setting.captures.as_ref().map(|place| place.holding);
        let desk = Desk::open(setting, tell, Arc::clone(&alerts.summary))?;
        Ok(Self {
            place: Place::Here(Box::new(desk), inbox),
            alerts,
            told,
            seen: Seen::default(),
            unseen: AtomicU64::new(0),
            holding,
            unheld: 0,
        })
    }

    /// A desk on a thread of its own. To be called as the part that the thread is to be.
    pub(crate) fn apart(setting: Setting) -> anyhow::Result<Self> {
        let (orders, inbox) = channel();
        let (tell, told) = channel();
        let alerts = Alerts { orders: orders.clone(), summary: Arc::default() };
        let holding = setting.captures.as_ref().map(|place| place.holding);
        let mut desk = Desk::open(setting, tell, Arc::clone(&alerts.summary))?;
        desk.begin(&orders);
        let waiting = Arc::new(AtomicUsize::new(0));
        let waits = Arc::clone(&waiting);
        let thread = std::thread::Builder::new().name("detect".to_owned()).spawn(move || {
            for order in inbox {
                match order {
                    Order::Stop => break,
                    Order::Seen(seen) => {
                        desk.take(&seen);
                        waits.fetch_sub(1, Ordering::Relaxed);
                    }
                    other => desk.obey(other),
                }
            }
            desk.close();
        })?;
        Ok(Self {
            place: Place::Apart { waiting, thread: Some(thread) },
            alerts,
            told,
            seen: Seen::default(),
            unseen: AtomicU64::new(0),
            holding,
            unheld: 0,
        })
    }

    /// For whoever asks.
    pub(crate) fn alerts(&self) -> Alerts {
        self.alerts.clone()
    }

    /// Where to put what is to be told with the next [`Watch::tell`].
    pub(crate) fn seen(&mut self) -> &mut Seen {
        &mut self.seen
    }

    /// Copies of packets, for captures of alerts.
    pub(crate) fn see_packets(&mut self, peeks: &Peeks) {
        let Some(holding) = self.holding else { return };
        self.seen.packets.extend(peeks.iter().map(|(time, head, bytes)| Packet::of(time, head, bytes, holding)));
    }

    /// Sockets that began to wait for peers.
    pub(crate) fn see_sockets(&mut self, events: &[SocketEvent]) {
        let bound = events.iter().filter(|event| event.change == SocketChange::Bound);
        self.seen.listeners.extend(bound.map(|event| Listener {
            time: event.time,
            protocol: event.ends.protocol,
            address: event.ends.local.ip(),
            port: event.ends.local.port(),
            process: event.process.clone(),
        }));
    }

    /// Hands over what was put into [`Watch::seen`].
    pub(crate) fn tell(&mut self, now: Timestamp, tick: bool) {
        self.seen.now = now;
        self.seen.tick = tick;
        if self.seen.is_empty() {
            return;
        }
        let seen = Box::new(std::mem::take(&mut self.seen));
        match &mut self.place {
            Place::Here(desk, _) => desk.take(&seen),
            Place::Apart { waiting, .. } => {
                if waiting.load(Ordering::Relaxed) >= BACKLOG_MAX {
                    self.unseen.fetch_add(seen.len() as u64, Ordering::Relaxed);
                    self.unheld += seen.packets.len() as u64;
                    return;
                }
                waiting.fetch_add(1, Ordering::Relaxed);
                // Fails only when the desk has failed, which its own message told.
                let _ = self.alerts.orders.send(Order::Seen(seen));
            }
        }
    }

    /// Answers what was asked since, where nobody else does.
    pub(crate) fn answer(&mut self) {
        if let Place::Here(desk, inbox) = &mut self.place {
            for order in inbox.try_iter() {
                desk.obey(order);
            }
        }
    }

    /// What became of alerts since this was asked last.
    pub(crate) fn news(&self) -> Vec<Told> {
        self.told.try_iter().collect()
    }

    /// Puts what detectors found into a snapshot.
    pub(crate) fn fill(&self, snapshot: &mut Snapshot) {
        let summary = self.alerts.summary();
        let sum = |wanted: &[&str]| -> u64 {
            let of = |(name, by): (&String, &std::collections::BTreeMap<String, u64>)| {
                if wanted.contains(&name.as_str()) { by.values().sum::<u64>() } else { 0 }
            };
            summary.raised.iter().map(of).sum()
        };
        snapshot.suspicious_traffic.port_scans =
            sum(&["port_scan", "slow_scan", "host_sweep", "arp_scan", "icmp_sweep"]);
        snapshot.suspicious_traffic.syn_floods = sum(&["syn_flood"]);
        snapshot.suspicious_traffic.floods = sum(&["udp_flood", "icmp_flood", "amplification", "tcp_flood"]);
        snapshot.suspicious_traffic.failed_login_attempts = summary.failed_logins;
        snapshot.security_alerts = summary
            .raised
            .iter()
            .map(|(name, by)| (name.clone(), by.iter().filter(|(s, _)| *s != "info").map(|(_, n)| n).sum()))
            .filter(|(_, count)| *count > 0)
            .collect();
        snapshot.alerts = AlertSummary::clone(&summary);
        if self.unheld > 0 {
            snapshot.alerts.captures.lost.insert("undelivered".to_owned(), self.unheld);
        }
    }

    /// What the desk was not told of.
    pub(crate) fn losses(&self) -> Vec<(String, Loss)> {
        let count = self.unseen.load(Ordering::Relaxed);
        let meaning = "Movements of flows, names and frames that detectors did not see, because they were behind.";
        let loss = Loss { count, meaning: meaning.to_owned(), ..Loss::default() };
        (count > 0).then(|| ("detect_unseen".to_owned(), loss)).into_iter().collect()
    }

    /// Ends the desk; what it still has to say can be had from [`Watch::news`].
    pub(crate) fn stop(&mut self) {
        match &mut self.place {
            Place::Here(desk, _) => desk.close(),
            Place::Apart { thread, .. } => {
                let _ = self.alerts.orders.send(Order::Stop);
                if let Some(thread) = thread.take() {
                    let _ = thread.join();
                }
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}
