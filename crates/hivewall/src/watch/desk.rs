//! Who keeps the detectors and the alerts, and carries out what is asked about them.
//!
//! Invariant: an alert is told and kept in the order in which it changed.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use hivewall_api::{AlertCommand, AlertFile, AlertRefusal, SourceGone};
use hivewall_config::Config;
use hivewall_detect::{Book, Change, Definition, Detection, Event, Said, Settings, Sign, Spoofable};
use hivewall_engine::LoggedFinding;
use hivewall_host::source::wall_clock;
use hivewall_model::Timestamp;
use hivewall_view::alerts::{
    Acknowledgement, Alert, AlertOutcome, AlertPage, AlertQuery, AlertSummary, ChannelTestRequest, DetectorPage,
    DetectorRow, Mute, MuteMatch, MutePage, MuteRequest, Response, Severity, Technique,
};
use hivewall_view::time::rfc3339;
use hivewall_view::units::parse_duration;

use hivewall_policy::document::Grade;
use tokio::sync::oneshot;

use super::delivery::Delivery;
use super::evidence::{Evidence, Place};
use super::fleetwide::{All, Own};
use super::kept::Kept;
use super::logins::Logins;
use super::{Ask, Order, Seen, Told};
use crate::fleet::{Fleet, Owners};
use crate::policy::governor::{self, Respondent};

/// Directory of captures in that of alerts.
const CAPTURES: &str = "captures";
/// Alerts in the snapshot.
const LATEST: usize = 100;

/// What a desk is opened with.
pub(crate) struct Setting {
    pub(crate) host: String,
    pub(crate) settings: Settings,
    /// Where alerts are kept.
    pub(crate) directory: Option<PathBuf>,
    /// Where the packets that they rest on are kept.
    pub(crate) captures: Option<Place>,
    /// Whether the host's own logs of logins are read.
    pub(crate) logins: bool,
    /// What follows the journal.
    pub(crate) journal: Option<std::process::Child>,
    /// Who tells people.
    pub(crate) delivery: Option<Delivery>,
    /// Whom to tell what is seen of each epoch.
    pub(crate) fleet: Option<Fleet>,
    /// Who carries responses out.
    pub(crate) governor: Option<Sender<governor::Ask>>,
}

impl Setting {
    /// As configured; none where detection is off.
    pub(crate) fn of(
        config: &Config,
        directory: Option<PathBuf>,
        governor: Option<Sender<governor::Ask>>,
    ) -> anyhow::Result<Option<Self>> {
        let off = config.detect.off.iter().map(hivewall_config::Word::as_str);
        let thresholds = config.detect.thresholds.iter().map(hivewall_config::Word::as_str);
        // Read even where it is off: a mistake is told at once.
        let settings = Settings::read(off, thresholds)?;
        let host = crate::system::host_info(&config.agent.name).name;
        let logins = config.detect.logins;
        let captures = directory.as_ref().map(|directory| directory.join(CAPTURES));
        let captures = captures.and_then(|directory| Place::of(config.alerts.capture, directory, true));
        Ok(config.detect.enabled.then_some(Self {
            host,
            settings,
            directory,
            captures,
            logins,
            journal: None,
            delivery: None,
            fleet: None,
            governor,
        }))
    }
}

/// The desk.
pub(crate) struct Desk {
    detection: Detection,
    settings: Settings,
    book: Book,
    signs: Vec<Sign>,
    interfaces: HashMap<u32, String>,
    now: Timestamp,
    tell: Sender<Told>,
    summary: Arc<Mutex<Arc<AlertSummary>>>,
    kept: Option<Kept>,
    evidence: Option<Evidence>,
    /// Failed logins that logs told of.
    failed_logins: u64,
    governor: Option<Sender<governor::Ask>>,
    orders: Option<Sender<Order>>,
    delivery: Option<Delivery>,
    fleet: Option<Fleet>,
    /// The epoch that is summed up now.
    epoch: u64,
    own: Own,
    all: All,
    reads_logins: bool,
    journal: Option<std::process::Child>,
    logins: Option<Logins>,
    /// Detector → action → outcome → responses.
    responses: BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>,
    is_stale: bool,
}

impl Desk {
    pub(crate) fn open(
        setting: Setting,
        tell: Sender<Told>,
        summary: Arc<Mutex<Arc<AlertSummary>>>,
    ) -> anyhow::Result<Self> {
        let kept = setting.directory.as_deref().map(Kept::open).transpose()?;
        let mut book = Book::new(&setting.host, kept.as_ref().map_or(0, Kept::next));
        if let Some(kept) = &kept {
            for alert in kept.alerts()? {
                book.restore(alert);
            }
            for mute in kept.mutes()? {
                if let Err(error) = book.mute(mute) {
                    tracing::warn!(%error, "a mute of an earlier run holds no longer");
                }
            }
        }
        let known = AlertQuery { all: true, limit: usize::MAX, ..AlertQuery::default() };
        let known = book.find(&known).0;
        let evidence = setting.captures.map(|place| Evidence::open(place, known.iter()));
        let mut desk = Self {
            detection: Detection::new(&setting.settings),
            all: All::new(&setting.settings),
            settings: setting.settings,
            book,
            signs: Vec::new(),
            interfaces: HashMap::new(),
            now: Timestamp::default(),
            tell,
            summary,
            kept,
            evidence,
            failed_logins: 0,
            governor: setting.governor,
            orders: None,
            delivery: setting.delivery,
            fleet: setting.fleet,
            epoch: 0,
            own: Own::default(),
            reads_logins: setting.logins,
            journal: setting.journal,
            logins: None,
            responses: BTreeMap::new(),
            is_stale: true,
        };
        desk.publish();
        Ok(desk)
    }

    /// Begins with what needs threads of its own.
    pub(crate) fn begin(&mut self, orders: &Sender<Order>) {
        self.orders = Some(orders.clone());
        self.logins = self.reads_logins.then(|| Logins::begin(orders, self.journal.take()));
    }

    /// Takes what happened.
    pub(crate) fn take(&mut self, seen: &Seen) {
        self.now = self.now.max(seen.now);
        if let Some(names) = &seen.interfaces {
            self.interfaces.clone_from(names);
        }
        if let Some(evidence) = &mut self.evidence {
            seen.packets.iter().for_each(|packet| evidence.see(packet, &self.interfaces));
        }
        let is_member = self.fleet.as_ref().is_some_and(Fleet::is_member);
        for pulse in &seen.pulses {
            if is_member {
                self.own.see(pulse);
            }
            self.detection.see(seen.now, &Event::Pulse(pulse), &mut self.signs);
        }
        for found in &seen.said {
            self.detection.see(seen.now, &Event::Said(&said(found)), &mut self.signs);
        }
        for stray in &seen.strays {
            self.detection.see(seen.now, &Event::Stray(stray), &mut self.signs);
        }
        for listener in &seen.listeners {
            self.detection.see(seen.now, &Event::Listener(listener), &mut self.signs);
        }
        for change in &seen.changes {
            let event = Event::Firewall { what: &change.text(), is_ours: change.ours };
            self.detection.see(seen.now, &event, &mut self.signs);
        }
        if seen.tick {
            self.detection.see(seen.now, &Event::Tick, &mut self.signs);
        }
        self.book_signs();
        if seen.tick {
            self.tick();
        }
    }

    fn tick(&mut self) {
        for alert in self.book.tick(self.now) {
            self.changed(Change::Ended, alert);
        }
        self.tidy_evidence();
        self.share();
        if let Some(kept) = &mut self.kept {
            kept.flush();
        }
        // Counters of delivery move by themselves.
        self.is_stale |= self.delivery.is_some();
        self.publish();
    }

    /// Tells the fleet what was seen in an epoch that is over.
    fn share(&mut self) {
        let Some(fleet) = self.fleet.as_ref().filter(|fleet| fleet.is_member()) else { return };
        let now = crate::fleet::epoch_now();
        if self.epoch == now {
            return;
        }
        let told = self.own.turn(now.saturating_sub(1));
        self.epoch = now;
        if !told.is_empty() {
            fleet.sight(told);
        }
    }

    fn book_signs(&mut self) {
        for sign in std::mem::take(&mut self.signs) {
            self.own.see_sign(&sign);
            let interface = sign.ifindex.and_then(|index| self.interfaces.get(&index)).cloned();
            if let Some((change, alert)) = self.book.take(self.now, &sign, interface) {
                let alert = if change == Change::Raised { self.with_evidence(alert, &sign) } else { alert };
                if change == Change::Raised {
                    self.ask_owners(&alert, &sign);
                }
                self.changed(change, alert);
            }
        }
    }

    /// The alert with the packets that it rests on put into a file, where there are some.
    fn with_evidence(&mut self, alert: Alert, sign: &Sign) -> Alert {
        let Some(evidence) = &mut self.evidence else { return alert };
        let path = evidence.raise(self.now, (&alert, sign), &self.interfaces);
        path.and_then(|path| self.book.capture(&alert.id, Some(path))).unwrap_or(alert)
    }

    /// Asks hosts of the fleet that saw it what they have of it.
    fn ask_owners(&self, alert: &Alert, sign: &Sign) {
        let (Some(fleet), Some(orders)) = (&self.fleet, &self.orders) else { return };
        let Some(address) = sign.subject.source.or(sign.subject.target).filter(|_| !sign.hosts.is_empty()) else {
            return;
        };
        let (id, orders) = (alert.id.clone(), orders.clone());
        let owners = Owners { hosts: alert.hosts.clone(), address, port: sign.port };
        // The desk is gone when the agent stops.
        fleet.owners(owners, Box::new(move |found| _ = orders.send(Order::Owners(id, Box::new(found)))));
    }

    /// Writes packets that followed, and has captures go with their alerts.
    fn tidy_evidence(&mut self) {
        let retired = self.book.take_retired();
        let Some(evidence) = &mut self.evidence else { return };
        retired.iter().for_each(|id| evidence.retire(id));
        for (id, path) in evidence.tick(self.now) {
            if let Some(alert) = self.book.capture(&id, path) {
                self.keep(&alert);
                self.is_stale = true;
            }
        }
    }

    /// The capture of an alert.
    fn capture(&mut self, id: &str) -> Result<AlertFile, AlertRefusal> {
        let alert = self.book.get(id).ok_or_else(|| unknown_alert(id))?;
        let (id, is_there) = (alert.id.clone(), alert.evidence.capture.is_some());
        let none = |why: &str| AlertRefusal::Unknown { reason: format!("there is no capture of {id}: {why}") };
        let Some(evidence) = &mut self.evidence else {
            return Err(none("none are made; see `alerts.capture` and `alerts.directory` in the configuration"));
        };
        if !is_there {
            return Err(none("no packet was copied that it rests on, or the file had to go"));
        }
        match evidence.read(&id) {
            Ok(bytes) => Ok(AlertFile { name: format!("{id}.pcapng"), bytes }),
            Err(error) => Err(AlertRefusal::Failed { reason: format!("the capture of {id} cannot be read: {error}") }),
        }
    }

    /// An alert changed by itself.
    fn changed(&mut self, change: Change, alert: Alert) {
        self.is_stale = true;
        if let Some(kept) = &mut self.kept {
            kept.keep(&alert);
        }
        let word = match change {
            Change::Raised => "raised",
            Change::Worsened => "worsened",
            Change::Ended => "ended",
            Change::Updated => return,
        };
        if let Some(delivery) = &self.delivery {
            delivery.tell(&alert, change);
        }
        if matches!(change, Change::Raised | Change::Worsened) {
            self.ask_for_response(&alert);
        }
        // Whoever logs may have stopped.
        let _ = self.tell.send(Told { alert, change: word });
    }

    /// Carries out what is asked.
    pub(crate) fn obey(&mut self, order: Order) {
        match order {
            Order::Ask(Ask::Alerts(query, answer)) => _ = answer.send(self.page(&query)),
            Order::Ask(Ask::Capture(id, answer)) => _ = answer.send(self.capture(&id)),
            Order::Ask(Ask::Mutes(answer)) => _ = answer.send(MutePage { mutes: self.book.mutes() }),
            Order::Ask(Ask::Detectors(answer)) => _ = answer.send(self.detectors()),
            Order::Ask(Ask::Command(AlertCommand::Test(request), _, answer)) => self.test(request, answer),
            Order::Ask(Ask::Command(command, caller, answer)) => {
                let outcome = self.command(command, caller);
                self.publish();
                let _ = answer.send(outcome);
            }
            Order::Sightings(host, told, members) => {
                let now = crate::fleet::epoch_now();
                self.all.take((now, &host), &told, &members, &mut self.signs);
                self.book_signs();
            }
            Order::Responded(id, response) => self.responded(&id, response),
            Order::Owners(id, found) => {
                if let Some(alert) = self.book.owners(&id, *found) {
                    self.keep(&alert);
                    self.is_stale = true;
                    self.publish();
                }
            }
            Order::Logins(logins) => self.logins(&logins),
            Order::Seen(seen) => self.take(&seen),
            Order::Stop => {}
        }
    }

    /// Has the policy's thread do what the policy grants.
    fn ask_for_response(&self, alert: &Alert) {
        let (Some(governor), Some(orders)) = (&self.governor, &self.orders) else { return };
        let Some(source) = alert.source.as_ref().and_then(|source| source.parse().ok()) else { return };
        if alert.response.is_some() || alert.acknowledged.is_some() || alert.silenced_until.is_some() {
            return;
        }
        let to = Respondent {
            alert: alert.id.clone(),
            detector: alert.detector.clone(),
            severity: grade(alert.severity),
            source,
            is_spoofable: alert.spoofable,
            message: alert.message.clone(),
        };
        let (id, orders) = (alert.id.clone(), orders.clone());
        let told = Box::new(move |response: Option<Response>| {
            if let Some(response) = response {
                // The desk is gone when the agent stops.
                let _ = orders.send(Order::Responded(id, response));
            }
        });
        let _ = governor.send(governor::Ask::Respond(Box::new(to), told));
    }

    fn responded(&mut self, id: &str, response: Response) {
        let Some(alert) = self.book.respond(id, response) else { return };
        if let Some(response) = &alert.response {
            let by = self.responses.entry(alert.detector.clone()).or_default();
            *by.entry(response.action.clone()).or_default().entry(response.outcome.clone()).or_default() += 1;
        }
        self.keep(&alert);
        self.is_stale = true;
        let _ = self.tell.send(Told { alert, change: "responded" });
        self.publish();
    }

    fn undo(&mut self, id: &str) -> Result<AlertOutcome, AlertRefusal> {
        let alert = self.book.get(id).ok_or_else(|| unknown_alert(id))?.clone();
        let nothing = || AlertRefusal::Unknown { reason: format!("nothing was done about {} by itself", alert.id) };
        let response = alert.response.clone().filter(|response| response.outcome == "done").ok_or_else(nothing)?;
        let prefix = response.prefix.as_deref().unwrap_or_default();
        let address = || prefix.parse::<std::net::IpAddr>().map(ipnet::IpNet::from);
        let net = prefix.parse::<ipnet::IpNet>().or_else(|_| address()).map_err(|_| nothing())?;
        let (answer, answered) = oneshot::channel();
        let governor = self.governor.as_ref().ok_or_else(nothing)?;
        governor.send(governor::Ask::Undo(response.action.clone(), net, answer)).map_err(|_| SourceGone)?;
        let undone = answered.blocking_recv().map_err(|_| SourceGone)?;
        let message = undone.map_err(|refusal| AlertRefusal::Failed { reason: refusal.to_string() })?;
        let response = Response { outcome: "undone".to_owned(), undo: None, ..response };
        self.responded(&alert.id, response);
        Ok(AlertOutcome { message, alert: self.book.get(&alert.id).cloned(), ..AlertOutcome::default() })
    }

    fn logins(&mut self, logins: &[hivewall_detect::Login]) {
        for login in logins {
            self.now = self.now.max(login.time);
            self.failed_logins += u64::from(!login.succeeded);
            self.own.see_login(login);
            self.detection.see(login.time, &Event::Login(login), &mut self.signs);
        }
        self.is_stale = true;
        self.book_signs();
    }

    fn page(&self, query: &AlertQuery) -> AlertPage {
        let (alerts, matched) = self.book.find(query);
        AlertPage { time: rfc3339(self.now), alerts, matched }
    }

    fn command(&mut self, command: AlertCommand, caller: String) -> Result<AlertOutcome, AlertRefusal> {
        self.is_stale = true;
        match command {
            AlertCommand::Acknowledge(request) => {
                let at = rfc3339(wall_clock());
                let seen = Acknowledgement { at, by: request.by.unwrap_or(caller), note: request.note };
                let alert = self.book.acknowledge(&request.id, seen).ok_or_else(|| unknown_alert(&request.id))?;
                Ok(self.marked(alert, "is acknowledged"))
            }
            AlertCommand::Reopen(request) => {
                let alert = self.book.reopen(&request.id).ok_or_else(|| unknown_alert(&request.id))?;
                Ok(self.marked(alert, "is open again"))
            }
            AlertCommand::Mute(request) => self.mute(request, caller),
            AlertCommand::Unmute(request) => {
                let unknown = || AlertRefusal::Unknown { reason: format!("there is no mute {:?}", request.id) };
                let mute = self.book.unmute(&request.id).ok_or_else(unknown)?;
                if let Some(kept) = &mut self.kept {
                    kept.forget_mute(&mute.id);
                }
                Ok(AlertOutcome {
                    message: format!("{} is ended", mute.id),
                    mute: Some(mute),
                    ..AlertOutcome::default()
                })
            }
            AlertCommand::Undo(request) => self.undo(&request.id),
            // Answered elsewhere: it takes a while.
            AlertCommand::Test(_) => Err(AlertRefusal::Off),
        }
    }

    /// Beside the desk, which goes on meanwhile.
    fn test(&self, request: ChannelTestRequest, answer: oneshot::Sender<Result<AlertOutcome, AlertRefusal>>) {
        let Some(delivery) = self.delivery.clone() else {
            let reason = "no channel is configured; name one in `alerts.channels`".to_owned();
            let _ = answer.send(Err(AlertRefusal::Unknown { reason }));
            return;
        };
        let work = move || _ = answer.send(Ok(delivery.test(request.channel.as_deref())));
        if let Err(error) = std::thread::Builder::new().name("alerts-test".to_owned()).spawn(work) {
            tracing::error!(%error, "channels could not be tried");
        }
    }

    fn mute(&mut self, request: MuteRequest, caller: String) -> Result<AlertOutcome, AlertRefusal> {
        let invalid = |reason: String| AlertRefusal::Invalid { reason };
        let mut of = request.of.unwrap_or_default();
        if let Some(id) = &request.alert {
            let alert = self.book.get(id).ok_or_else(|| unknown_alert(id))?;
            of = of_alert(alert, of);
        }
        let until = request.how_long.as_deref().map(|text| {
            let span = parse_duration(text).filter(|span| !span.is_zero());
            span.map(|span| rfc3339(wall_clock() + span))
                .ok_or_else(|| invalid(format!("`for` is `{text}`, which is no time span; write it as `2h` or `7d`")))
        });
        let mute = Mute {
            id: String::new(),
            action: request.action,
            of,
            since: rfc3339(wall_clock()),
            until: until.transpose()?,
            by: request.by.unwrap_or(caller),
            note: request.note,
            hits: 0,
        };
        let mute = self.book.mute(mute).map_err(|error| invalid(error.to_string()))?;
        if let Some(kept) = &mut self.kept {
            kept.keep_mute(&mute);
        }
        let until = mute.until.as_ref().map_or_else(|| "for good".to_owned(), |until| format!("until {until}"));
        let message = format!("{} holds {until}; `hivewall alerts unmute {}` ends it", mute.id, mute.id);
        Ok(AlertOutcome { message, mute: Some(mute), ..AlertOutcome::default() })
    }

    /// What came of a command that changed an alert.
    fn marked(&mut self, alert: Alert, how: &str) -> AlertOutcome {
        self.keep(&alert);
        AlertOutcome { message: format!("{} {how}", alert.id), alert: Some(alert), ..AlertOutcome::default() }
    }

    fn keep(&mut self, alert: &Alert) {
        if let Some(kept) = &mut self.kept {
            kept.keep(alert);
        }
    }

    fn detectors(&self) -> DetectorPage {
        let held: BTreeMap<&str, hivewall_detect::Held> = self.detection.held().chain(self.all.held()).collect();
        let row = |definition: &'static Definition| {
            let held = held.get(definition.name).copied().unwrap_or_default();
            let threshold = |threshold: &hivewall_detect::Threshold| {
                let value = self.settings.value(definition, threshold.name);
                (threshold.name.to_owned(), format!("{value} {}", threshold.unit).trim_end().to_owned())
            };
            DetectorRow {
                name: definition.name.to_owned(),
                title: definition.title.to_owned(),
                kind: definition.kind.to_owned(),
                sees: definition.sees.to_owned(),
                misses: definition.misses.to_owned(),
                evaded_by: definition.evaded_by.to_owned(),
                severity: definition.severity,
                technique: definition.technique.map(|attack| Technique {
                    id: attack.id.to_owned(),
                    name: attack.name.to_owned(),
                    tactic: attack.tactic.to_owned(),
                }),
                spoofable: match definition.spoofable {
                    Spoofable::Never => "never",
                    Spoofable::Depends => "depends",
                    Spoofable::Always => "always",
                }
                .to_owned(),
                on: self.settings.is_on(definition),
                thresholds: definition.thresholds.iter().map(threshold).collect(),
                signs: self.book.signs().get(definition.name).copied().unwrap_or(0),
                entries: held.entries,
                entries_max: held.entries_max,
                given_up: held.given_up,
            }
        };
        DetectorPage { detectors: hivewall_detect::definitions().into_iter().map(row).collect() }
    }

    /// Shows what is known to whoever looks at snapshots.
    fn publish(&mut self) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let owned = |tally: &hivewall_detect::Tally| {
            let by = |by: &BTreeMap<&'static str, u64>| by.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
            tally.iter().map(|(name, counts)| ((*name).to_owned(), by(counts))).collect()
        };
        let summary = AlertSummary {
            on: true,
            active: owned(&self.book.active()),
            raised: owned(self.book.raised()),
            signs: self.book.signs().iter().map(|(name, n)| ((*name).to_owned(), *n)).collect(),
            latest: self.book.latest(LATEST),
            failed_logins: self.failed_logins,
            responses: self.responses.clone(),
            channels: self.delivery.as_ref().map(Delivery::rows).unwrap_or_default(),
            captures: self.evidence.as_ref().map(Evidence::summary).unwrap_or_default(),
        };
        *self.summary.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(summary);
    }

    /// Keeps and shows everything.
    pub(crate) fn close(&mut self) {
        self.logins = None;
        if let Some(delivery) = self.delivery.take() {
            delivery.close();
        }
        self.tidy_evidence();
        if let Some(kept) = &mut self.kept {
            kept.flush();
        }
        self.is_stale = true;
        self.publish();
    }
}

fn grade(severity: Severity) -> Grade {
    match severity {
        Severity::Info => Grade::Info,
        Severity::Low => Grade::Low,
        Severity::Medium => Grade::Medium,
        Severity::High => Grade::High,
        Severity::Critical => Grade::Critical,
    }
}

fn said(found: &LoggedFinding) -> Said<'_> {
    Said {
        time: found.finding.time,
        tuple: found.tuple,
        from_client: found.from_client,
        learned: &found.finding.learned,
        flow: found.flow,
        process: found.process.as_ref(),
    }
}

fn unknown_alert(id: &str) -> AlertRefusal {
    AlertRefusal::Unknown { reason: format!("there is no alert, or more than one, whose id begins with {id:?}") }
}

/// What makes an alert the one it is, unless something else is named.
fn of_alert(alert: &Alert, named: MuteMatch) -> MuteMatch {
    let is_address = |text: &String| text.parse::<std::net::IpAddr>().is_ok();
    MuteMatch {
        detector: named.detector.or_else(|| Some(alert.detector.clone())),
        source: named.source.or_else(|| alert.source.clone().filter(is_address)),
        // Where nobody can be named, the target makes it this alert.
        target: named.target.or_else(|| alert.targets.first().filter(|_| alert.source.is_none()).cloned()),
        port: named.port.or(alert.port),
        subject: named.subject.or_else(|| alert.subject.clone()),
    }
}
