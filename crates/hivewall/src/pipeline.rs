//! One thread that owns everything that changes: it polls the source, feeds the engine, writes the log and answers
//! questions. Others hold a pointer to the latest snapshot and a channel for questions; nobody shares the state.

mod source;

pub(crate) use self::source::beside;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hivewall_api::PolicyRefusal;
use hivewall_config::Config;
use hivewall_engine::{Effects, Engine, Event};
use hivewall_export::{LogWriter, StatsEvent};
use hivewall_host::source::{Batch, Progress, Source, SourceError};
use hivewall_model::Timestamp;
use hivewall_view::policy::FirewallChange;
use hivewall_view::{CaptureInfo, FlowPage, FlowRow, HistoryInfo, Loss, Query, Snapshot};
use tokio::sync::{broadcast, oneshot};

use crate::collectors::Collectors;
use crate::fleet::Fleet;
use crate::flows::FlowPrinter;
use crate::history::{Archive, History};
use crate::policy::answers::Answers;
use crate::policy::governor::{Hold, Membership};
use crate::reading::Reader;
use crate::surroundings::{Surroundings, Told};
use crate::system;
use crate::telemetry;
use crate::watch::{Alerts, Watch};

/// Closed flows a live listener may fall behind before it misses some, and is told so.
const LIVE_BACKLOG: usize = 4096;
/// Above this many flows a snapshot is published every [`SNAPSHOT_SLOW`] instead of every second.
const FLOWS_MANY: usize = 200_000;
const SNAPSHOT_SLOW: Duration = Duration::from_secs(5);
/// Longer than a detector waits before it says more of one subject.
const LAST_WORDS: Duration = Duration::from_secs(12);
/// Shortest time that a share of CPU time is of.
const CPU_WINDOW: Duration = Duration::from_millis(900);

/// What comes from the policy's thread.
pub(crate) struct Governed {
    /// Rules, counters, state.
    pub(crate) news: Receiver<Event<'static>>,
    /// Whether the datapath is to outlive the agent.
    pub(crate) holds: Receiver<Hold>,
    /// What others did to the packet filters.
    pub(crate) changes: Receiver<FirewallChange>,
}

/// A question to the thread.
pub(crate) struct Question {
    query: Query,
    answer: oneshot::Sender<FlowPage>,
}

/// What other threads hold.
#[derive(Clone)]
pub(crate) struct Handle {
    snapshot: Arc<Mutex<Arc<Snapshot>>>,
    now: Arc<AtomicI64>,
    questions: Sender<Question>,
    live: broadcast::Sender<Arc<FlowRow>>,
    archive: Option<Archive>,
    answers: Option<Answers>,
    fleet: Option<Fleet>,
    alerts: Option<Alerts>,
}

impl Handle {
    /// Takes what a member of the fleet told of an epoch.
    pub(crate) fn hear(&self, host: String, told: crate::watch::Sightings, members: Arc<Membership>) {
        if let Some(alerts) = &self.alerts {
            alerts.hear(host, told, members);
        }
    }

    /// Why nobody answers for a policy: none is wanted, or it could not be kept.
    fn no_policy(&self) -> PolicyRefusal {
        let snapshot = hivewall_api::Source::snapshot(self);
        let failure = snapshot.firewall_rules.failures.first();
        failure.map_or(PolicyRefusal::Off, |failure| PolicyRefusal::Failed { reason: failure.detail.clone() })
    }
}

/// What the agent costs: its CPU time over wall-clock time, whatever time the source is in.
#[derive(Default)]
struct CpuMeter {
    before: Option<(Instant, f64)>,
    /// Of one CPU.
    share: f64,
}

impl CpuMeter {
    fn look(&mut self, seconds: f64) {
        let now = Instant::now();
        match self.before {
            Some((then, _)) if now - then < CPU_WINDOW => return,
            Some((then, before)) => self.share = (seconds - before).max(0.0) / (now - then).as_secs_f64(),
            None => {}
        }
        self.before = Some((now, seconds));
    }
}

/// The thread's state.
pub(crate) struct Pipeline<S> {
    pub(crate) source: S,
    pub(crate) engine: Engine,
    batch: Batch,
    effects: Effects,
    log: Option<LogWriter>,
    log_flows: bool,
    log_names: bool,
    printer: Option<FlowPrinter>,
    print_failure: Option<anyhow::Error>,
    stats_interval: Option<Duration>,
    /// A file can wait for the log; the network cannot.
    patient: bool,
    log_capacity: u64,
    agent_name: String,
    reader: Option<Reader>,
    /// Sockets, processes, the host; none in a replay.
    surroundings: Option<Surroundings>,
    governed: Option<Governed>,
    /// Detectors; none where they are off.
    watch: Option<Watch>,
    collectors: Option<Collectors>,
    /// Who pushes alerts to an OpenTelemetry collector.
    telemetry: Option<telemetry::Alerts>,
    history: Option<History>,
    /// Why there is none.
    no_history: Option<String>,
    handle: Handle,
    questions: Receiver<Question>,
    cpu: CpuMeter,
    next_second: Timestamp,
    next_stats: Timestamp,
    /// The epoch of the fleet that is now, and whether all of it is summed up.
    epoch: (u64, bool),
    published: Instant,
}

impl<S: Source> Pipeline<S> {
    /// Puts the parts together; nothing happens before [`Pipeline::step`].
    pub(crate) fn new(source: S, config: &Config, log: Option<LogWriter>, patient: bool) -> Self {
        let (questions, inbox) = channel();
        let (live, _) = broadcast::channel(LIVE_BACKLOG);
        Self {
            source,
            engine: Engine::new(crate::settings::limits(config)),
            batch: Batch::default(),
            effects: Effects::default(),
            log_flows: config.log.flows,
            printer: None,
            print_failure: None,
            stats_interval: config.log.stats_interval().filter(|_| config.log.stats),
            log,
            patient,
            log_capacity: config.log.buffer_size as u64,
            agent_name: config.agent.name.clone(),
            log_names: config.log.names,
            reader: config.names.enabled.then(Reader::new),
            surroundings: None,
            governed: None,
            watch: None,
            collectors: None,
            telemetry: None,
            history: None,
            no_history: None,
            handle: Handle {
                snapshot: Arc::new(Mutex::new(Arc::new(Snapshot::default()))),
                now: Arc::new(AtomicI64::new(0)),
                questions,
                live,
                archive: None,
                answers: None,
                fleet: None,
                alerts: None,
            },
            questions: inbox,
            cpu: CpuMeter::default(),
            next_second: Timestamp(i64::MIN),
            next_stats: Timestamp(i64::MIN),
            epoch: (0, false),
            published: Instant::now(),
        }
    }

    /// Takes over what the policy's thread tells, and lets it keep the datapath. To be called before [`Pipeline::handle`].
    pub(crate) fn govern(&mut self, governed: Governed, answers: Option<Answers>) {
        self.handle.answers = answers;
        self.governed = Some(governed);
    }

    /// Answers for the fleet, too. To be called before [`Pipeline::handle`].
    pub(crate) fn belong(&mut self, fleet: Fleet) {
        self.handle.fleet = Some(fleet);
    }

    /// Pushes alerts there, too, from now on.
    pub(crate) fn push_to(&mut self, alerts: telemetry::Alerts) {
        self.telemetry = Some(alerts);
    }

    /// Exports flows from now on.
    pub(crate) fn export_to(&mut self, collectors: Collectors) {
        self.collectors = Some(collectors);
    }

    /// Has detectors look from now on. To be called before [`Pipeline::handle`].
    pub(crate) fn detect(&mut self, watch: Watch) {
        self.engine.watch_flows();
        self.handle.alerts = Some(watch.alerts());
        self.watch = Some(watch);
    }

    /// What the policy's thread told and asked for since.
    fn take_policy(&mut self) {
        let Some(governed) = &self.governed else { return };
        let news: Vec<Event<'static>> = governed.news.try_iter().collect();
        for change in governed.changes.try_iter() {
            if let Some(watch) = &mut self.watch {
                watch.seen().changes.push(change.clone());
            }
            if let Some(log) = &self.log {
                log.send(hivewall_export::Event::Firewall(Box::new(change)));
            }
        }
        for hold in governed.holds.try_iter() {
            let outcome = self.source.hold(hold.keep).map_err(|error| error.to_string());
            // Whoever asked has stopped.
            let _ = hold.done.send(outcome);
        }
        for mut event in news {
            if let Event::Policy(told) = &mut event {
                told.view.failures.extend(crate::refusals::without_front(&self.source));
            }
            self.engine.step(self.batch.now, event, &mut self.effects);
        }
    }

    /// Learns of sockets and of the host from now on.
    pub(crate) fn look_around(&mut self, surroundings: Surroundings) {
        self.surroundings = Some(surroundings);
    }

    /// Has names read by this one.
    pub(crate) fn read_by(&mut self, reader: Reader) {
        self.reader = Some(reader);
    }

    /// Keeps closed flows in the history, and answers from it, from now on.
    pub(crate) fn keep_history(&mut self, history: History) {
        self.handle.archive = Some(history.archive());
        self.history = Some(history);
    }

    /// Tells why no history is kept, though one was wanted.
    pub(crate) fn miss_history(&mut self, why: String) {
        self.no_history = Some(why);
    }

    /// Prints every flow as it closes, however few of them are kept for questions.
    pub(crate) fn print_flows(&mut self, printer: FlowPrinter) {
        self.printer = Some(printer);
    }

    /// Ends the printing; an error is what cut it short.
    pub(crate) fn end_printing(&mut self) -> anyhow::Result<()> {
        let rest = self.printer.take().map_or(Ok(()), FlowPrinter::finish);
        self.print_failure.take().map_or(rest, Err)
    }

    /// What the API and others hold.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Polls once and does what is due.
    pub(crate) fn step(&mut self, timeout: Duration) -> Result<Progress, SourceError> {
        self.batch.records.clear();
        self.batch.peeks.clear();
        let progress = self.source.poll(timeout, &mut self.batch)?;
        // Before the records: what they were judged by.
        self.take_policy();
        let due = self.batch.now >= self.next_second;
        if due {
            // Before the records: how interfaces lie to each other decides what is counted once.
            self.tell()?;
        }
        // Before the records, too: they came in the epoch that has begun.
        self.sum_up();
        self.take_batch();
        self.take_sockets();
        self.show_detectors(false);
        if due {
            self.second();
        }
        self.answer();
        Ok(progress)
    }

    /// Stops the source, closes every flow, and writes what is left.
    pub(crate) fn finish(&mut self) -> Result<(), SourceError> {
        self.batch.records.clear();
        self.batch.peeks.clear();
        self.source.finish(&mut self.batch)?;
        self.take_batch();
        self.tell()?;
        self.engine.step(self.batch.now, Event::Shutdown, &mut self.effects);
        self.deliver();
        self.show_detectors(true);
        if let Some(watch) = &mut self.watch {
            // A capture that ends within a detector's pause: what it has summed up since is told, too.
            if self.patient {
                watch.tell(self.batch.now + LAST_WORDS, true);
            }
            watch.stop();
        }
        self.deliver_alerts();
        if let Some(collectors) = &mut self.collectors {
            collectors.close();
        }
        if let Some(history) = &self.history {
            history.flush();
        }
        self.publish();
        if self.stats_interval.is_some() {
            self.log_stats();
        }
        Ok(())
    }

    /// Closes the log; what it lost by then is in the result.
    pub(crate) fn close_log(&mut self) -> Option<hivewall_export::LogTotals> {
        self.log.take().map(LogWriter::close)
    }

    /// Asks the log to open its file again.
    pub(crate) fn reopen_log(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    fn take_batch(&mut self) {
        let Batch { records, clock, now, .. } = &self.batch;
        if !records.is_empty() {
            self.engine.step(*now, Event::Records { records, clock }, &mut self.effects);
        }
        self.handle.now.store(self.engine.now().0.max(now.0), Ordering::Relaxed);
        if let Some(reader) = &mut self.reader
            && !self.batch.peeks.is_empty()
        {
            let findings = reader.read(&mut self.batch.peeks);
            if let Some(watch) = &mut self.watch {
                watch.see_packets(&self.batch.peeks);
            }
            self.engine.step(self.batch.now, Event::Findings(findings), &mut self.effects);
        }
        self.deliver();
    }

    /// Hands what happened to the detectors, and to the log what they told.
    fn show_detectors(&mut self, tick: bool) {
        let Some(watch) = &mut self.watch else { return };
        let seen = watch.seen();
        seen.pulses.append(&mut self.effects.pulses);
        seen.strays.append(&mut self.effects.strays);
        watch.tell(self.batch.now, tick);
        self.deliver_alerts();
    }

    fn deliver_alerts(&mut self) {
        let Some(watch) = &self.watch else { return };
        for told in watch.news() {
            let event = hivewall_export::AlertEvent { alert: told.alert, change: told.change };
            if let Some(collectors) = &mut self.collectors {
                collectors.alert(&event);
            }
            if let Some(alerts) = &self.telemetry {
                telemetry::push(alerts, &event.alert, event.change);
            }
            let Some(log) = &self.log else { continue };
            if self.patient {
                wait_for_room(log, self.log_capacity);
            }
            log.send(hivewall_export::Event::Alert(Box::new(event)));
        }
    }

    fn take_sockets(&mut self) {
        let Some(surroundings) = &mut self.surroundings else { return };
        let events = surroundings.poll();
        if !events.is_empty() {
            if let Some(watch) = &mut self.watch {
                watch.see_sockets(events);
            }
            self.engine.step(self.batch.now, Event::Sockets(events), &mut self.effects);
        }
    }

    /// Hands what flows moved in an epoch that has ended to the fleet, if there is one.
    fn sum_up(&mut self) {
        let Some(fleet) = &self.handle.fleet else { return };
        let now = crate::fleet::epoch_now();
        let (epoch, is_whole) = self.epoch;
        if epoch == now {
            return;
        }
        let follows = epoch + 1 == now;
        let is_member = fleet.is_member();
        self.epoch = (now, follows && is_member);
        if !is_member {
            return;
        }
        let (moved, left_out) = self.engine.moved();
        // The epoch in which this began is no whole one, and what came before it belongs to none.
        if follows && is_whole {
            fleet.contribute(epoch, moved, left_out);
        }
    }

    /// Once a second of the source's time.
    fn second(&mut self) {
        self.next_second = self.batch.now + Duration::from_secs(1);
        if let Some(reader) = &mut self.reader {
            reader.tick(self.batch.now);
        }
        self.engine.step(self.batch.now, Event::Tick, &mut self.effects);
        self.deliver();
        self.show_detectors(true);
        if self.engine.active_flows() < FLOWS_MANY || self.published.elapsed() >= SNAPSHOT_SLOW {
            self.publish();
        }
        if let Some(interval) = self.stats_interval
            && self.batch.now >= self.next_stats
        {
            let first = self.next_stats.0 == i64::MIN;
            self.next_stats = self.batch.now + interval;
            if !first {
                self.log_stats();
            }
        }
    }

    /// Tells the engine what the edges know.
    fn tell(&mut self) -> Result<(), SourceError> {
        let now = self.batch.now;
        let (all, captured) = self.source.refresh()?;
        let about = self.source.about();
        let capture = CaptureInfo {
            source: about.name.to_owned(),
            fallback_reason: about.fallback_reason,
            clock_resolution_ms: about.tick_ns as f64 / 1e6,
            ..CaptureInfo::default()
        };
        if let Some(watch) = &mut self.watch {
            watch.seen().interfaces = Some(all.iter().map(|one| (one.index, one.name.clone())).collect());
        }
        if let Some(collectors) = &self.collectors {
            collectors.interfaces(&all);
        }
        self.engine.step(now, Event::Interfaces { all, captured }, &mut self.effects);
        self.engine.step(now, Event::Tallies(self.source.tallies()?), &mut self.effects);
        self.engine.step(now, Event::Losses(self.losses()), &mut self.effects);
        let host = system::host_info(&self.agent_name);
        self.cpu.look(host.agent_cpu_seconds);
        self.engine.step(now, Event::About { host, capture }, &mut self.effects);
        self.tell_surroundings(now);
        Ok(())
    }

    /// Tells the engine what is read rather than seen: sockets by state, the host's load, costs.
    fn tell_surroundings(&mut self, now: Timestamp) {
        let mut told = Told::default();
        if let Some(surroundings) = &mut self.surroundings {
            let events;
            (told, events) = surroundings.second(now);
            self.engine.step(now, Event::Sockets(events), &mut self.effects);
        }
        let Told { census, drops, system, attribution, mut agent } = told;
        if let Some(census) = census {
            self.engine.step(now, Event::Census(census), &mut self.effects);
        }
        self.engine.step(now, Event::Drops(drops), &mut self.effects);
        if let Some(reading) = system {
            self.engine.step(now, Event::System(reading), &mut self.effects);
        }
        agent.cpu_share = self.cpu.share;
        agent.peeks = self.reader.as_ref().map_or(0, Reader::peeks);
        let none = || HistoryInfo { failure: self.no_history.clone(), ..HistoryInfo::default() };
        let history = self.history.as_ref().map_or_else(none, History::info);
        self.engine.step(now, Event::AboutSelf { attribution, agent, history }, &mut self.effects);
    }

    fn losses(&self) -> Vec<(String, Loss)> {
        let around = self.surroundings.iter().flat_map(Surroundings::losses);
        let told = self.source.losses().into_iter().chain(around).map(|loss| {
            let view =
                Loss { count: loss.count, packets: loss.packets, bytes: loss.bytes, meaning: loss.meaning.to_owned() };
            (loss.name.to_owned(), view)
        });
        let log = self.log.iter().flat_map(|log| log.counters().totals().losses());
        let names = self.reader.iter().flat_map(Reader::losses);
        let history = self.history.iter().flat_map(History::losses);
        let watch = self.watch.iter().flat_map(Watch::losses);
        told.chain(log).chain(names).chain(history).chain(watch).collect()
    }

    /// Hands closed flows to the history, the log, the output and whoever listens; names to the log.
    fn deliver(&mut self) {
        if let Some(history) = &self.history {
            history.keep(&self.effects.closed, &|ifindex| self.engine.interface_name(ifindex).into());
        }
        if let Some(collectors) = &mut self.collectors {
            let engine = &self.engine;
            collectors.flows(&self.effects.closed, &|ifindex| engine.interface_name(ifindex), &|flow| engine.row(flow));
        }
        self.deliver_names();
        self.deliver_refusals();
        let logged = self.log.as_ref().filter(|_| self.log_flows);
        let listened = self.handle.live.receiver_count() > 0;
        if logged.is_none() && !listened && self.printer.is_none() {
            self.effects.closed.clear();
            return;
        }
        for flow in self.effects.closed.drain(..) {
            let row = self.engine.row(&flow);
            if let Some(Err(error)) = self.printer.as_mut().map(|printer| printer.print(&row)) {
                self.printer = None;
                self.print_failure = Some(error);
            }
            if listened {
                // Fails only when the last listener has just left.
                let _ = self.handle.live.send(Arc::new(row.clone()));
            }
            if let Some(log) = logged {
                if self.patient {
                    wait_for_room(log, self.log_capacity);
                }
                log.send(hivewall_export::Event::Flow(Box::new(row)));
            }
        }
    }

    fn deliver_names(&mut self) {
        let logged = self.log.as_ref().filter(|_| self.log_names);
        if let Some(watch) = &mut self.watch {
            watch.seen().said.extend(self.effects.findings.iter().cloned());
        }
        for found in self.effects.findings.drain(..) {
            let Some(log) = logged else { continue };
            let in_iface = found.from_client.then(|| self.engine.interface_name(found.finding.key.ifindex()));
            let event = hivewall_export::Event::from_finding(
                found.flow.unwrap_or_default(),
                &found.tuple,
                self.engine.perspective(&found.tuple),
                found.finding.time,
                &found.finding.learned,
                found.process.as_ref(),
                in_iface.as_deref(),
            );
            if let Some(event) = event {
                if self.patient {
                    wait_for_room(log, self.log_capacity);
                }
                log.send(event);
            }
        }
    }

    fn deliver_refusals(&mut self) {
        for refusal in self.effects.refusals.drain(..) {
            let Some(log) = &self.log else { continue };
            if self.patient {
                wait_for_room(log, self.log_capacity);
            }
            log.send(crate::refusals::event(&self.engine, &refusal));
        }
    }

    fn log_stats(&self) {
        if let Some(log) = &self.log {
            let snapshot = Arc::clone(&self.handle.snapshot.lock().unwrap_or_else(PoisonError::into_inner));
            log.send(hivewall_export::Event::Stats(Box::new(StatsEvent::new(&snapshot))));
        }
    }

    /// Everything that is known now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.engine.snapshot();
        if let Some(watch) = &self.watch {
            watch.fill(&mut snapshot);
        }
        snapshot.flow_export = self.collectors.as_ref().map(Collectors::rows).unwrap_or_default();
        snapshot
    }

    fn publish(&mut self) {
        self.published = Instant::now();
        let snapshot = Arc::new(self.snapshot());
        *self.handle.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// Answers what was asked since the latest step.
    pub(crate) fn answer(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.answer();
        }
        while let Ok(Question { query, answer }) = self.questions.try_recv() {
            // Whoever asked may have gone.
            let _ = answer.send(self.engine.flows(&query));
        }
    }

    /// Waits for one question and answers it (a replay that is over, but still looked at).
    pub(crate) fn answer_within(&mut self, timeout: Duration) {
        if let Some(watch) = &mut self.watch {
            watch.answer();
        }
        if let Ok(Question { query, answer }) = self.questions.recv_timeout(timeout) {
            let _ = answer.send(self.engine.flows(&query));
        }
    }
}

/// Waits while the log's queue is nearly full, as long as it moves.
fn wait_for_room(log: &LogWriter, capacity: u64) {
    const PAUSE: Duration = Duration::from_millis(1);
    const PATIENCE: Duration = Duration::from_secs(2);
    let mut since = Instant::now();
    let mut pending = log.counters().totals().pending();
    while pending + 1 >= capacity && since.elapsed() < PATIENCE {
        std::thread::sleep(PAUSE);
        let now = log.counters().totals().pending();
        if now < pending {
            since = Instant::now();
        }
        pending = now;
    }
}
