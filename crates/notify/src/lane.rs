//! One channel at work: its queue, which the keeper fills, and its courier, a thread that empties it.
//!
//! Invariants: the lock of the desk is never held while a message is on its way; a notice leaves the queue after the
//! receiver has it, or under a counter; a receiver that fails is asked again later and later, and holds up only this lane.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hivewall_outbound::{Backoff, Failure, Reason};
use hivewall_spool::Spool;
use hivewall_view::alerts::Alert;

use crate::channel::{Channel, Kind};
use crate::message::{Change, Message, Notice};
use crate::plan::{self, Gate, Plan, Shape, Window};
use crate::sink::Sink;
use crate::tally::{ChannelCounters, Tally};

/// Notices that are looked at for one group.
const LOOK_AHEAD: usize = 256;
/// Alerts that a message for people lists.
const LISTED_MAX: usize = 20;
/// The longest wait between attempts.
const RETRY_MAX: Duration = Duration::from_secs(300);
/// A message that the receiver answers with an error is tried so often: it may be this one that it cannot bear.
const ANSWERED_ATTEMPTS_MAX: u32 = 12;
/// A message is tried for so long.
const RETRY_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// What is acknowledged is durable after this.
const SYNC_AFTER: Duration = Duration::from_secs(1);

/// A message on its way, with what it is made of.
struct Parcel {
    message: Message,
    numbers: Vec<u64>,
    told_ms: u64,
    attempts: u32,
}

/// What is to be done.
enum Work {
    Send(Parcel),
    Refresh,
}

struct Desk {
    /// None: closed.
    spool: Option<Spool>,
    /// Numbers that are dealt with, and wait for earlier ones to be acknowledged.
    handled: BTreeSet<u64>,
    window: Window,
    backoff: Backoff,
    retry_at: Option<Instant>,
    sync_at: Option<Instant>,
    /// One that failed and is tried again.
    held: Option<Parcel>,
    /// The program ends: until when there is time.
    closing: Option<Instant>,
}

/// One channel.
pub(crate) struct Lane {
    pub(crate) channel: Channel,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) tally: Tally,
    shape: Shape,
    desk: Mutex<Desk>,
    bell: Condvar,
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

impl Lane {
    pub(crate) fn new(channel: Channel, sink: Box<dyn Sink>, spool: Spool) -> Self {
        let shape = Shape {
            group_wait_ms: channel.group_wait.as_millis() as u64,
            together: matches!(channel.kind, Kind::Alertmanager(_)),
        };
        let tally = Tally::default();
        tally.taken(spool.counters().found);
        let desk = Desk {
            spool: Some(spool),
            handled: BTreeSet::new(),
            window: Window::default(),
            backoff: Backoff::new(channel.retry, RETRY_MAX),
            retry_at: None,
            sync_at: None,
            held: None,
            closing: None,
        };
        Self { channel, sink, tally, shape, desk: Mutex::new(desk), bell: Condvar::new() }
    }

    /// Whether this channel wants to be told; counted if not.
    pub(crate) fn wants(&self, alert: &Alert, change: Change) -> bool {
        let now = jiff::Timestamp::now();
        let until = alert.silenced_until.as_ref().and_then(|until| until.parse::<jiff::Timestamp>().ok());
        let is_quiet = alert.acknowledged.is_some() || until.is_some_and(|until| until > now);
        // What Alertmanager was told before somebody acknowledged it has to end there.
        let ends_there = change == Change::Ended && self.shape.together;
        let refused = if is_quiet && !ends_there {
            &self.tally.silenced
        } else if alert.severity < self.channel.min {
            &self.tally.below_min
        } else if change == Change::Ended && !self.channel.ended {
            &self.tally.ends_unwanted
        } else {
            return true;
        };
        refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        false
    }

    /// Puts notices into the queue, durable when it returns, and wakes the courier.
    pub(crate) fn take(&self, notices: &[&[u8]]) {
        let mut desk = self.lock();
        let Some(spool) = &mut desk.spool else { return };
        for notice in notices {
            // One larger than the whole queue is counted there.
            let _ = spool.push(notice);
        }
        if let Err(error) = spool.sync() {
            tracing::warn!(channel = self.channel.name, %error, "alerts wait in memory alone");
        }
        drop(desk);
        self.tally.taken(notices.len() as u64);
        self.bell.notify_all();
    }

    /// The courier's whole life.
    pub(crate) fn run(&self) {
        while let Some(work) = self.wait() {
            match work {
                Work::Send(parcel) => {
                    let result = self.sink.deliver(&parcel.message);
                    self.settle(parcel, result);
                }
                Work::Refresh => {
                    if let Err(failure) = self.sink.refresh() {
                        self.tally.retried(&failure);
                    }
                }
            }
        }
    }

    /// From now on there is time until then.
    pub(crate) fn close(&self, until: Instant) {
        self.lock().closing = Some(until);
        self.bell.notify_all();
    }

    /// Lets go of the queue. What is left in it, for the next start.
    pub(crate) fn release(&self) -> u64 {
        let spool = self.lock().spool.take();
        self.bell.notify_all();
        spool.map_or(0, |spool| spool.len() as u64)
    }

    /// The counters of everything.
    pub(crate) fn counters(&self) -> ChannelCounters {
        let mut counters = self.tally.read();
        counters.channel.clone_from(&self.channel.name);
        counters.active = self.sink.active();
        let desk = self.lock();
        if let Some(spool) = &desk.spool {
            let of_spool = spool.counters();
            counters.queued = (spool.len() - desk.handled.len()) as u64;
            counters.queued_bytes = spool.bytes();
            counters.lost_queue_full = of_spool.lost_full + of_spool.refused_too_large;
            counters.lost_corrupt = of_spool.lost_corrupt;
            counters.lost_unwritten = of_spool.lost_unwritten;
            counters.queues_set_aside = of_spool.set_aside;
        }
        counters
    }

    /// Waits until there is something to do. None: it is over.
    fn wait(&self) -> Option<Work> {
        let mut desk = self.lock();
        loop {
            let now = Instant::now();
            if desk.spool.is_none() || desk.closing.is_some_and(|until| now >= until) {
                return None;
            }
            let mut wake = desk.closing;
            let mut wake_by = |at: Instant| wake = Some(wake.map_or(at, |other| other.min(at)));
            self.sync_if_due(&mut desk, now).into_iter().for_each(&mut wake_by);
            if let Some(at) = desk.retry_at.filter(|at| *at > now) {
                // Nothing is waited for at the end that may never come.
                if desk.closing.is_some() {
                    return None;
                }
                wake_by(at);
            } else {
                match self.next_parcel(&mut desk) {
                    Ok(parcel) => return Some(Work::Send(parcel)),
                    Err(Some(wait)) => wake_by(now + wait),
                    Err(None) if desk.closing.is_some() => return None,
                    Err(None) => {}
                }
            }
            match self.sink.refresh_at() {
                Some(at) if at <= now => return Some(Work::Refresh),
                Some(at) => wake_by(at),
                None => {}
            }
            desk = match wake {
                None => self.bell.wait(desk).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let wait = at.saturating_duration_since(now);
                    self.bell.wait_timeout(desk, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Makes acknowledgements durable; until when they can wait.
    fn sync_if_due(&self, desk: &mut Desk, now: Instant) -> Option<Instant> {
        let at = desk.sync_at?;
        if now < at {
            return Some(at);
        }
        desk.sync_at = None;
        if let Some(Err(error)) = desk.spool.as_mut().map(Spool::sync) {
            tracing::warn!(channel = self.channel.name, %error, "alerts that were sent may be sent again");
        }
        None
    }

    /// The next message, or how long to wait for one.
    fn next_parcel(&self, desk: &mut Desk) -> Result<Parcel, Option<Duration>> {
        if let Some(parcel) = desk.held.take() {
            return Ok(parcel);
        }
        let now = now_ms();
        let Desk { spool, handled, window, closing, .. } = desk;
        let spool = spool.as_mut().ok_or(None)?;
        if spool.len() == handled.len() {
            return Err(None);
        }
        let gate = window.gate(self.channel.rate, now);
        let count = match gate {
            Gate::Open => LOOK_AHEAD + handled.len(),
            Gate::Summary => usize::MAX,
            // At the end there is no time; it is told at the next start.
            Gate::Closed { .. } if closing.is_some() => return Err(None),
            Gate::Closed { until_ms } => return Err(Some(Duration::from_millis(until_ms - now))),
        };
        let notices = self.waiting(spool, handled, count).ok_or(Some(SYNC_AFTER))?;
        let of_plan: Vec<_> = notices.iter().map(|(_, notice)| notice).collect();
        let places = match (gate, plan::next(&of_plan, self.shape, now, closing.is_some())) {
            (_, Plan::Idle) => return Err(None),
            (Gate::Summary, _) => (0..notices.len()).collect(),
            (_, Plan::Wait { until_ms }) => return Err(Some(Duration::from_millis(until_ms - now))),
            (_, Plan::Send(places)) => places,
        };
        Ok(self.parcel(notices, &places))
    }

    /// What waits and is not dealt with. None: the queue cannot be read.
    fn waiting(&self, spool: &mut Spool, handled: &mut BTreeSet<u64>, count: usize) -> Option<Vec<(u64, Notice)>> {
        let items = match spool.peek(count) {
            Ok(items) => items,
            Err(error) => {
                self.tally.retried(&Failure::passing(Reason::Unreadable, error.to_string()));
                return None;
            }
        };
        let first_number = items.first().map_or(0, |(number, _)| *number);
        handled.retain(|number| *number >= first_number);
        let mut notices = Vec::new();
        for (number, bytes) in items {
            if handled.contains(&number) {
                continue;
            }
            match serde_json::from_slice::<Notice>(&bytes) {
                Ok(notice) => notices.push((number, notice)),
                Err(error) => {
                    self.tally.failed(Reason::Unreadable, 1, &format!("a waiting alert cannot be read: {error}"));
                    handled.insert(number);
                }
            }
        }
        Some(notices)
    }

    fn parcel(&self, notices: Vec<(u64, Notice)>, places: &[usize]) -> Parcel {
        let mut places = places.iter().copied().peekable();
        let chosen = notices.into_iter().enumerate().filter(|(place, _)| places.next_if_eq(place).is_some());
        let (numbers, notices): (Vec<_>, Vec<_>) = chosen.map(|(_, numbered)| numbered).unzip();
        let told_ms = notices.first().map_or(0, |notice| notice.told_ms);
        let list_max = if self.shape.together { LOOK_AHEAD * 2 } else { LISTED_MAX };
        let message = Message::of(numbers.first().copied().unwrap_or_default(), notices, list_max);
        Parcel { message, numbers, told_ms, attempts: 0 }
    }

    /// After an attempt.
    fn settle(&self, mut parcel: Parcel, result: Result<(), Failure>) {
        let mut desk = self.lock();
        let Message { total, more, .. } = parcel.message;
        let given_up = match result {
            Ok(()) => {
                self.tally.delivered(total, more);
                desk.backoff.reset();
                None
            }
            Err(failure) => {
                parcel.attempts += 1;
                let age = Duration::from_millis(now_ms().saturating_sub(parcel.told_ms));
                let is_tired = failure.is_answer() && parcel.attempts >= ANSWERED_ATTEMPTS_MAX;
                if !failure.is_final && !is_tired && age < RETRY_AGE_MAX {
                    self.tally.retried(&failure);
                    desk.retry_at = Some(Instant::now() + desk.backoff.wait(failure.retry_after));
                    desk.held = Some(parcel);
                    return;
                }
                let reason = if failure.is_final || is_tired { failure.reason } else { Reason::Expired };
                Some((reason, failure.text))
            }
        };
        if let Some((reason, text)) = given_up {
            tracing::warn!(
                channel = self.channel.name,
                total,
                reason = reason.name(),
                text,
                "alerts could not be delivered"
            );
            self.tally.failed(reason, total, &text);
        }
        desk.retry_at = None;
        desk.window.count(self.channel.rate, now_ms());
        desk.settle(parcel.numbers);
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Acknowledges what is dealt with, as far as nothing before it waits.
    fn settle(&mut self, numbers: Vec<u64>) {
        self.handled.extend(numbers);
        let Some(spool) = &mut self.spool else { return };
        while let Some(first) = spool.first() {
            if !self.handled.remove(&first) {
                break;
            }
            spool.ack(first);
        }
        // Those that gave way to newer ones meanwhile.
        match spool.first() {
            Some(first) => self.handled.retain(|number| *number > first),
            None => self.handled.clear(),
        }
        self.sync_at.get_or_insert_with(|| Instant::now() + SYNC_AFTER);
    }
}
