//! The running agent's side of the policy: one thread that takes commands, keeps the ledger, and has the kernel enforce.
//!
//! What a request means is decided by `hivewall_policy::ledger`; how it comes into the kernel is told by what enforces
//! (`enforce`). Invariant:
//! whatever fails, the kernel goes on with what it held, and the ledger says so.

mod acts;
mod fleet;
mod respond;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hivewall_api::{Caller, PolicyCommand, PolicyRefusal};
use hivewall_config::Config;
use hivewall_engine::{Event, PolicyTold, RulesTold};
use hivewall_host::bans::{Bans, Origin};
use hivewall_model::RuleNames;
use hivewall_policy::ledger::{Alert, Effect, Held, Ledger, LedgerError, Mark, Moment, Outcome, Request};
use hivewall_policy::sign::{PublicKey, Signed, is_signed};
use hivewall_policy::{Counters, Document, Mode, Ruleset, parse, resolve};
use hivewall_view::policy::{
    FirewallChange, PendingChange, PolicyFailure, PolicyKey, PolicyName, PolicyOutcome, PolicyTrust, PolicyView,
    RuleView,
};
use hivewall_view::time::rfc3339;
use ipnet::IpNet;
use tokio::sync::oneshot;

pub(crate) use self::acts::{Measure, limited_now};
pub(crate) use self::fleet::{Done, Entrance, FromFleet, Host as FleetHost, KeysNow, Membership, Taken};
pub(crate) use self::respond::{BY_ITSELF, Carry, Respondent, Told as ToldOf};
use super::bans::{BanBook, Store};
use super::enforce::{Enforce, Order};
use super::facts::Host;
use super::news::{logged, rule_view};
use super::vault::{self, Vault, VaultError};

/// Longest time between two looks at the clock.
const TICK: Duration = Duration::from_millis(250);
/// Bans shown; all of them hold.
const BANS_SHOWN: usize = 1000;
const COUNTERS: &str = "counters.json";
/// Failure: the policy that should hold does not.
const NOT_ENFORCED: &str = "not_enforced";

/// Keeps the datapath after the agent, or lets it go; answers when that is done.
pub(crate) struct Hold {
    /// Whether to keep it.
    pub(crate) keep: bool,
    /// What became of it.
    pub(crate) done: Sender<Result<(), String>>,
}

pub(crate) type Answer<T> = oneshot::Sender<Result<T, PolicyRefusal>>;

/// To whom the thread tells what happens.
pub(crate) struct Told {
    /// Rules, counters, state.
    pub(crate) news: Sender<Event<'static>>,
    /// What others did to the packet filters.
    pub(crate) changes: Sender<FirewallChange>,
}

/// What the thread is asked.
pub(crate) enum Ask {
    /// The document in force.
    Document(Answer<Option<String>>),
    /// The rules as they hold here, of a document or of the one in force.
    Rules(Option<String>, Answer<Ruleset>),
    /// The highest version that was ever taken up here.
    Highest(Answer<Option<Mark>>),
    /// The bans there are.
    Bans(Answer<Vec<IpNet>>),
    /// What the fleet tells.
    Fleet(FromFleet),
    /// An alert that something may be done about.
    Respond(Box<Respondent>, ToldOf),
    /// What was done is taken back: the word for it, and of whom.
    Undo(String, IpNet, Answer<String>),
    /// A command.
    Command(PolicyCommand, Caller, Answer<PolicyOutcome>),
    /// The agent ends.
    Stop,
}

/// The thread.
pub(crate) struct Governor {
    enforcer: Box<dyn Enforce>,
    bans: BanBook,
    host: Host,
    state: PathBuf,
    counters: Counters,
    vault: Option<Vault>,
    /// As it was after the latest request, which is at most a second ago.
    ledger: Ledger,
    hold: Option<Sender<Hold>>,
    news: Sender<Event<'static>>,
    /// The rules in force.
    rules: Option<Ruleset>,
    /// When the change was made that waits for confirmation.
    changed: Option<Instant>,
    since: Option<String>,
    reverted: u64,
    problems: Vec<String>,
    /// What is wrong now, by kind.
    failures: BTreeMap<&'static str, String>,
    /// For the log.
    changes: Sender<FirewallChange>,
    side: fleet::Side,
    acts: acts::Acts,
}

/// Gives the thread back its end.
pub(crate) struct Running {
    asks: Sender<Ask>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Where to ask.
    pub(crate) fn asks(&self) -> Sender<Ask> {
        self.asks.clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.asks.send(Ask::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Governor {
    /// Opens the state, and puts the last good policy in force before anything is attached.
    pub(crate) fn begin(
        config: &Config,
        enforcer: Box<dyn Enforce>,
        store: Store,
        Told { news, changes }: Told,
    ) -> anyhow::Result<Self> {
        let state = PathBuf::from(&config.policy.state);
        let vault = Vault::open(&state)?;
        if let Some(held) = vault.ledger().in_force() {
            tracing::info!(policy = held.name, version = held.version, "was in force last");
        }
        let counters = match std::fs::read(state.join(COUNTERS)) {
            Ok(text) => Counters::from_json(&text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Counters::default(),
            Err(error) => return Err(anyhow::anyhow!("cannot read {}: {error}", state.join(COUNTERS).display())),
        };
        let origin = Arc::new(Origin { issuer: "hivewall".into(), reason: "found in the kernel".into() });
        let bans = BanBook::open(Bans::open(store, &origin)?, &state)?;
        let acts = acts::Acts::open(&state)?;
        let mut governor = Self {
            enforcer,
            bans,
            host: Host::of(config),
            state,
            counters,
            ledger: vault.ledger().clone(),
            vault: Some(vault),
            hold: None,
            news,
            rules: None,
            changed: None,
            since: None,
            reverted: 0,
            problems: Vec::new(),
            failures: BTreeMap::new(),
            changes,
            side: fleet::Side::default(),
            acts,
        };
        for finding in governor.vault.as_ref().map(Vault::findings).unwrap_or_default() {
            tracing::warn!(%finding, "the policy's state was damaged");
            governor.problems.push(finding.to_string());
        }
        if let Err(refusal) = governor.request(&Request::Start) {
            tracing::error!(why = %refusal, "the last good policy cannot be enforced; what the kernel holds stays");
            governor.problems.push(refusal.to_string());
            let detail = format!("the last good policy cannot be enforced, and what the kernel holds stays: {refusal}");
            governor.failures.insert(NOT_ENFORCED, detail);
        }
        // Other commands work on the state, too.
        governor.vault = None;
        governor.enforcer.bans_changed(&governor.bans, None)?;
        governor.tell();
        Ok(governor)
    }

    /// Whether the datapath is to outlive the agent.
    pub(crate) fn holds_datapath(&self) -> bool {
        self.enforcer.holds_datapath()
    }

    /// Whether a policy holds.
    pub(crate) fn has_policy(&self) -> bool {
        self.rules.is_some()
    }

    /// Runs; the datapath is kept or let go through `hold`.
    pub(crate) fn run(mut self, hold: Sender<Hold>) -> anyhow::Result<Running> {
        self.hold = Some(hold);
        let (asks, asked) = channel();
        let thread = std::thread::Builder::new().name("policy".into()).spawn(move || self.work(&asked))?;
        Ok(Running { asks, thread: Some(thread) })
    }

    fn work(&mut self, asked: &Receiver<Ask>) {
        let mut next_second = Instant::now();
        loop {
            match asked.recv_timeout(TICK) {
                Ok(Ask::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                // Whoever asked may be gone: then nobody needs the answer.
                Ok(Ask::Document(answer)) => _ = answer.send(self.document()),
                Ok(Ask::Highest(answer)) => _ = answer.send(self.highest()),
                Ok(Ask::Rules(document, answer)) => _ = answer.send(self.rules_of(document.as_deref())),
                Ok(Ask::Fleet(told)) => self.hear_fleet(told),
                Ok(Ask::Respond(to, told)) => {
                    told(self.respond(&to));
                    self.tell();
                }
                Ok(Ask::Undo(reaction, prefix, answer)) => {
                    let outcome = self.undo(&reaction, prefix);
                    self.tell();
                    let _ = answer.send(outcome);
                }
                Ok(Ask::Bans(answer)) => _ = answer.send(Ok(self.bans.prefixes())),
                Ok(Ask::Command(command, caller, answer)) => {
                    let outcome = self.command(&command, &caller);
                    self.tell();
                    let _ = answer.send(outcome);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= next_second {
                next_second = Instant::now() + Duration::from_secs(1);
                self.second();
            }
        }
    }

    fn second(&mut self) {
        let ticked = self.request(&Request::Tick).map(drop).map_err(|refusal| refusal.to_string());
        self.outcome("not_kept", ticked);
        match self.bans.expire() {
            Ok(true) => self.after_bans(None),
            Ok(false) => {}
            Err(error) => self.outcome("bans", Err(error.to_string())),
        }
        self.end_acts();
        let looked = self.enforcer.second(&self.bans).map_err(|error| format!("{error:#}"));
        self.outcome("enforcer", looked);
        for change in self.enforcer.take_changes() {
            // The pipeline is gone when the agent stops.
            let _ = self.changes.send(change);
        }
        self.tell();
    }

    /// What came of something that is done again and again: it is wrong as long as it fails.
    fn outcome(&mut self, kind: &'static str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => _ = self.failures.remove(kind),
            Err(why) => {
                self.failures.insert(kind, why.clone());
                self.problem(why);
            }
        }
    }

    fn problem(&mut self, problem: String) {
        if !self.problems.contains(&problem) {
            tracing::warn!(problem, "policy");
            self.problems.push(problem);
            // The latest are the ones to act on.
            let excess = self.problems.len().saturating_sub(8);
            self.problems.drain(..excess);
        }
    }

    /// One request to the ledger, its effects carried out.
    fn request(&mut self, request: &Request<'_>) -> Result<Outcome, PolicyRefusal> {
        let now = vault::now().map_err(|error| failed(&error))?;
        let mut opened = match self.vault.take() {
            Some(vault) => vault,
            None => Vault::open(&self.state).map_err(|error| failed(&error))?,
        };
        let step = opened.step(&now, request).map_err(|error| refused(&error))?;
        self.ledger.clone_from(opened.ledger());
        let mut outcome = step.outcome;
        let mut effects: std::collections::VecDeque<Effect> = step.effects.into();
        while let Some(effect) = effects.pop_front() {
            let next = match effect {
                Effect::Enforce { document, until_uptime_ms } => {
                    Some(self.enforce(&opened, &document, until_uptime_ms, &now))
                }
                Effect::Withdraw => {
                    self.enforcer.withdraw(&mut self.bans).map_err(|error| failed(&error))?;
                    self.rules = None;
                    self.keep()?;
                    None
                }
                Effect::Alert(alert) => {
                    self.reverted += u64::from(matches!(alert, Alert::Reverted { .. }));
                    if matches!(alert, Alert::NotEnforced { .. }) {
                        self.failures.insert(NOT_ENFORCED, alert_in_words(&alert));
                    }
                    self.problem(alert_in_words(&alert));
                    None
                }
                Effect::Store { .. } | Effect::Persist => None,
            };
            if let Some(answer) = next {
                let step = opened.step(&now, &answer.as_request()).map_err(|error| refused(&error))?;
                self.ledger.clone_from(opened.ledger());
                effects.extend(step.effects);
                if !matches!(step.outcome, Outcome::Unchanged) {
                    outcome = step.outcome;
                }
                if let Answered::Failed(_, refusal) = answer {
                    return Err(refusal);
                }
            }
        }
        Ok(outcome)
    }

    fn enforce(&mut self, vault: &Vault, document: &Held, until_uptime_ms: Option<u64>, now: &Moment) -> Answered {
        let outcome = vault
            .document(document.digest)
            .map_err(|error| failed(&error))
            .and_then(|bytes| self.read(&bytes))
            .and_then(|(_, rules)| self.put_in_force(rules, document, until_uptime_ms, now));
        match outcome {
            Ok(()) => Answered::Enforced(document.digest),
            Err(refusal) => Answered::Failed(document.digest, refusal),
        }
    }

    fn put_in_force(
        &mut self,
        rules: Ruleset,
        document: &Held,
        until_uptime_ms: Option<u64>,
        now: &Moment,
    ) -> Result<(), PolicyRefusal> {
        let invalid = |error: anyhow::Error| PolicyRefusal::Invalid { reason: error.to_string() };
        self.enforcer.prepare(&rules, &mut self.counters).map_err(invalid)?;
        self.keep_counters().map_err(|error| failed(&error))?;
        // Before the records that it will judge.
        self.tell_rules(&rules);
        let order = Order { rules: &rules, digest: document.digest, until_uptime_ms, now };
        self.enforcer.enforce(&order, &mut self.bans).map_err(|error| failed(&format!("{error:#}")))?;
        self.failures.remove(NOT_ENFORCED);
        self.changed = until_uptime_ms.map(|_| Instant::now());
        self.since = Some(rfc3339(hivewall_host::source::wall_clock()));
        tracing::info!(policy = rules.name, version = rules.version, rules = rules.rules.len(), "in force");
        self.rules = Some(rules);
        self.keep()
    }

    /// What is in force outlives the agent; when nothing is, nothing does.
    fn keep(&mut self) -> Result<(), PolicyRefusal> {
        let Some(hold) = &self.hold else { return Ok(()) };
        let (done, outcome) = channel();
        let asked = hold.send(Hold { keep: self.enforcer.holds_datapath(), done });
        let gone = || failed(&"the agent is stopping");
        asked.map_err(|_| gone())?;
        outcome.recv().map_err(|_| gone())?.map_err(|why| failed(&why))
    }

    fn keep_counters(&self) -> anyhow::Result<()> {
        Ok(vault::replace(&self.state, COUNTERS, &self.counters.to_json()?)?)
    }

    fn document(&self) -> Result<Option<String>, PolicyRefusal> {
        let (ledger, _) = vault::read(&self.state).map_err(|error| failed(&error))?;
        let Some(held) = ledger.in_force() else { return Ok(None) };
        let bytes = vault::read_document(&self.state, held.digest).map_err(|error| failed(&error))?;
        text_of(&bytes).map(Some)
    }

    fn highest(&self) -> Result<Option<Mark>, PolicyRefusal> {
        let (ledger, _) = vault::read(&self.state).map_err(|error| failed(&error))?;
        Ok(ledger.highest())
    }

    /// A document, and its rules as they hold on this host.
    fn read(&self, document: &[u8]) -> Result<(Document, Ruleset), PolicyRefusal> {
        let invalid = |reason: String| PolicyRefusal::Invalid { reason };
        let plain = text_of(document)?;
        let parsed = parse(&plain).map_err(|error| invalid(error.pointed("policy", &plain)))?;
        let facts = self.host.facts().map_err(|error| invalid(error.to_string()))?;
        let resolved =
            resolve(&parsed, &facts, &*self.side.members).map_err(|error| invalid(error.pointed("policy", &plain)))?;
        let rules = self.acts.limit(&self.of_this_host(&parsed.document, resolved.ruleset));
        Ok((parsed.document, rules))
    }

    /// The rules of a document, or those in force.
    fn rules_of(&self, document: Option<&str>) -> Result<Ruleset, PolicyRefusal> {
        match document {
            Some(text) => Ok(self.read(text.as_bytes())?.1),
            None => Ok(self.rules.clone().unwrap_or_default()),
        }
    }

    fn command(&mut self, command: &PolicyCommand, caller: &Caller) -> Result<PolicyOutcome, PolicyRefusal> {
        let who = format!("API {}", caller.peer);
        let message = match command {
            PolicyCommand::Apply { document, confirm } => {
                // An error in the text says where it is, before anything is taken up.
                let (parsed, rules) = self.read(document.as_bytes())?;
                crate::policy::known_detectors(&parsed).map_err(|reason| PolicyRefusal::Invalid { reason })?;
                if let Some(reason) = self.enforcer.refusal(&rules) {
                    return Err(PolicyRefusal::Invalid { reason });
                }
                self.side.is_selected(&parsed.hosts)?;
                self.side.check_confirm(*confirm)?;
                let within = confirm.or(parsed.confirm.map(|confirm| Duration::from_secs(confirm.within.0)));
                let request = Request::Apply { bytes: document.as_bytes(), confirm: within, who: &who };
                let outcome = self.request(&request)?;
                self.side.tell(Done::Applied { document: document.clone().into_bytes(), who });
                Self::said(outcome)
            }
            PolicyCommand::Confirm => {
                if self.changed.is_some_and(|changed| caller.connected <= changed) {
                    let reason = "this connection is older than the change; confirm over a new one, which shows that \
                                  one can still be made";
                    return Err(PolicyRefusal::Conflict { reason: reason.into() });
                }
                if !self.enforcer.confirm().map_err(|error| failed(&error))? {
                    let reason = "the time to confirm is over, and the kernel has gone back already";
                    return Err(PolicyRefusal::Conflict { reason: reason.into() });
                }
                let outcome = self.request(&Request::Confirm { digest: None, who: &who })?;
                self.confirmed();
                self.side.tell(Done::Confirmed { who });
                Self::said(outcome)
            }
            PolicyCommand::Rollback => {
                let (ledger, _) = vault::read(&self.state).map_err(|error| failed(&error))?;
                let request = match ledger.pending() {
                    Some(_) => Request::Revert { who: &who },
                    None => Request::RollBack { to: None, confirm: None, who: &who },
                };
                let outcome = self.request(&request)?;
                self.side.tell(Done::RolledBack { who });
                Self::said(outcome)
            }
            PolicyCommand::Ban { prefix, ttl, reason } => {
                self.side.check_ban(*prefix)?;
                self.bans.add(*prefix, *ttl, &operator(caller), reason).map_err(|error| failed(&error))?;
                self.after_bans(Some(*prefix));
                let (measure, reason) = (Measure::Ban, reason.clone());
                self.side.tell(Done::Banned { prefix: *prefix, measure, ttl: *ttl, reason, who });
                format!("{} is banned", plain(*prefix))
            }
            PolicyCommand::Unban { prefix } => {
                let (was_banned, was_limited) = (self.unban(*prefix)?, self.unlimit(*prefix));
                if !was_banned && !was_limited {
                    return Err(PolicyRefusal::Conflict { reason: format!("{} is not banned", plain(*prefix)) });
                }
                self.side.tell(Done::Unbanned { prefix: *prefix, reaction: None, who });
                format!("{} is no longer {}", plain(*prefix), if was_banned { "banned" } else { "limited" })
            }
        };
        let view = self.view();
        Ok(PolicyOutcome {
            message,
            policy: PolicyName { name: view.name, version: view.version },
            epoch: self.enforcer.epoch(),
            pending: view.pending,
        })
    }

    /// What waited is good. Sets of hosts were left as they were meanwhile.
    fn confirmed(&mut self) {
        self.changed = None;
        self.settle_anew();
    }

    fn after_bans(&mut self, one: Option<IpNet>) {
        let changed = self.enforcer.bans_changed(&self.bans, one).map_err(|error| format!("{error:#}"));
        self.outcome("bans", changed);
        if let Err(refusal) = self.keep() {
            self.problem(refusal.to_string());
        }
    }

    fn said(outcome: Outcome) -> String {
        let name = |held: &Held| format!("{} version {}", held.name, held.version);
        match outcome {
            Outcome::Unchanged => "nothing had to change".to_owned(),
            Outcome::Applying { document, .. } | Outcome::Good { document } => {
                format!("{} is in force", name(&document))
            }
            Outcome::AlreadyThere { document } => format!("{} is in force already", name(&document)),
            Outcome::Waiting { document } => format!(
                "{} is in force until it is confirmed over a new connection; without that the host goes back by itself",
                name(&document)
            ),
            Outcome::Reverted { document, .. } => format!("{} was taken back", name(&document)),
            Outcome::Keys { .. } => "other keys are trusted".to_owned(),
            Outcome::Joined => "the host takes signed policies only".to_owned(),
        }
    }

    fn tell_rules(&self, rules: &Ruleset) {
        let names = RuleNames::new(self.counters.iter().map(|(id, number)| (u32::from(number), id.into())));
        let number = |id: &str| self.counters.number(id).map(u32::from);
        let views: Vec<(u32, RuleView)> =
            rules.rules.iter().filter_map(|rule| Some((number(&rule.id)?, rule_view(rules, rule)))).collect();
        let logged = rules.rules.iter().filter_map(|rule| Some((number(&rule.id)?, logged(rule)?))).collect();
        // The pipeline is gone when the agent stops.
        let _ = self.news.send(Event::Rules(RulesTold { names, rules: views, logged }));
    }

    fn tell(&mut self) {
        let causes = hivewall_datapath::policy::VerdictCause::ALL.iter();
        let causes = causes.map(|cause| (*cause as u32, cause.label().to_owned()));
        let rules = self.rules.iter().flat_map(|rules| &rules.rules);
        let numbers = rules.filter_map(|rule| Some((u32::from(self.counters.number(&rule.id)?), rule.id.clone())));
        let wanted: Vec<(u32, String)> = causes.chain(numbers).collect();
        let told = PolicyTold { hits: self.enforcer.hits(&wanted), view: self.view(), front: Vec::new() };
        let _ = self.news.send(Event::Policy(Box::new(told)));
    }

    fn failures(&self) -> Vec<PolicyFailure> {
        let failure = |(kind, detail): (&str, String)| PolicyFailure { kind: kind.to_owned(), subject: None, detail };
        let lasting = self.failures.iter().map(|(kind, detail)| failure((kind, detail.clone())));
        let now = hivewall_host::source::wall_clock();
        let held = self.ledger.in_force().filter(|held| held.valid.not_after.is_some_and(|until| until <= now));
        let expired = held.map(|held| failure(("expired", alert_in_words(&Alert::Expired { document: held.clone() }))));
        lasting.chain(expired).chain(self.enforcer.failures()).collect()
    }

    fn view(&self) -> PolicyView {
        let mut tables = self.bans.tables();
        tables.extend(self.enforcer.tables().into_iter().map(|(name, fill)| (name.to_owned(), fill)));
        let mut view = PolicyView {
            backend: self.enforcer.name().to_owned(),
            epoch: self.enforcer.epoch(),
            changes: self.enforcer.changes(),
            reverted: self.reverted,
            since: self.since.clone(),
            problems: self.problems.iter().cloned().chain(self.enforcer.problems()).collect(),
            bans_total: self.bans.len() as u64,
            bans: self.bans.views(BANS_SHOWN),
            tables,
            drift: self.enforcer.drift(),
            failures: self.failures(),
            previous: self.ledger.previous().map(name_of),
            signed_by: self.ledger.signed_by().to_vec(),
            trust: trust(&self.ledger),
            not_after: self.ledger.in_force().and_then(|held| held.valid.not_after).map(rfc3339),
            ..PolicyView::default()
        };
        if let Some(rules) = &self.rules {
            view.name.clone_from(&rules.name);
            view.version = rules.version;
            view.mode = match rules.mode {
                Mode::Observe => "observe".to_owned(),
                Mode::Enforce => "enforce".to_owned(),
            };
        }
        let now = vault::now().ok();
        view.pending = self.ledger.pending().filter(|pending| pending.in_force).and_then(|pending| {
            let until = pending.confirm.as_ref()?.until_uptime_ms;
            let left = until.saturating_sub(now.as_ref()?.uptime_ms);
            let falls_back_to = self.ledger.good().map(name_of);
            Some(PendingChange { seconds_left: left as f64 / 1000.0, falls_back_to })
        });
        view.state = match (&self.rules, &view.pending) {
            (None, _) => "none".to_owned(),
            (Some(_), Some(_)) => "pending".to_owned(),
            (Some(_), None) => "active".to_owned(),
        };
        view
    }
}

fn name_of(held: &Held) -> PolicyName {
    PolicyName { name: held.name.clone(), version: held.version }
}

/// Whom this host trusts; nobody where it takes unsigned policies.
fn trust(ledger: &Ledger) -> Option<PolicyTrust> {
    let keys = ledger.keys()?;
    let shown = |key: &PublicKey| PolicyKey { id: key.id().to_string(), name: key.name().to_owned() };
    Some(PolicyTrust {
        threshold: keys.threshold() as u64,
        keys: keys.keys().iter().map(shown).collect(),
        highest: ledger.highest().map(|mark| mark.version),
    })
}

/// Who bans, as bans are shown.
fn operator(caller: &Caller) -> String {
    let peer = caller.peer.ip();
    if peer.is_loopback() { "operator".to_owned() } else { format!("operator at {peer}") }
}

/// A single address without its length.
fn plain(prefix: IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() { prefix.addr().to_string() } else { prefix.to_string() }
}

fn alert_in_words(alert: &Alert) -> String {
    let name = |held: &Held| format!("{} version {}", held.name, held.version);
    match alert {
        Alert::Expired { document } => {
            format!("{} has expired; it stays in force until another is applied", name(document))
        }
        Alert::Reverted { document, .. } => {
            format!(
                "{} was taken back: nobody confirmed it in time, or the host stopped before it was in force",
                name(document)
            )
        }
        Alert::NotEnforced { document } => {
            format!("{} cannot be enforced; what the kernel held before goes on to hold", name(document))
        }
    }
}

/// What the ledger is told after an attempt to enforce.
enum Answered {
    Enforced(hivewall_policy::sign::Digest),
    Failed(hivewall_policy::sign::Digest, PolicyRefusal),
}

impl Answered {
    fn as_request(&self) -> Request<'static> {
        match self {
            Self::Enforced(digest) => Request::Enforced { digest: *digest },
            Self::Failed(digest, _) => Request::Failed { digest: *digest },
        }
    }
}

/// The document within a signed file, or the file itself.
pub(super) fn text_of(bytes: &[u8]) -> Result<String, PolicyRefusal> {
    let invalid = |reason: String| PolicyRefusal::Invalid { reason };
    let text = if is_signed(bytes) {
        let signed = Signed::parse(bytes).map_err(|error| invalid(error.to_string()))?;
        signed.statement().document().as_bytes().to_vec()
    } else {
        bytes.to_vec()
    };
    String::from_utf8(text).map_err(|_| invalid("the document is not UTF-8 text".to_owned()))
}

fn failed(error: &impl ToString) -> PolicyRefusal {
    PolicyRefusal::Failed { reason: error.to_string() }
}

/// A ledger's refusal is the caller's to mend; anything else is ours.
fn refused(error: &VaultError) -> PolicyRefusal {
    match error {
        VaultError::Refused(LedgerError::Sign(_)) => PolicyRefusal::Invalid { reason: error.to_string() },
        VaultError::Refused(_) => PolicyRefusal::Conflict { reason: error.to_string() },
        _ => failed(error),
    }
}
