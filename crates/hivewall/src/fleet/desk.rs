//! The desk: one task that hears what the links tell and what operators do here, and sees to the rest.
//!
//! What takes long is done in tasks beside it, which report back. Invariant: only the desk changes what is shown.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hivewall_api::FleetRefusal;
use hivewall_cluster::{Alarm, Ban, Changed, NodeId, Order as CoreOrder, Persist, Policy, Stand};
use hivewall_net::{Answer, Handle, Limits, Node, NodeState, Settings};
use hivewall_policy::sign::TrustedKeys;
use hivewall_trust::{CHARTER_NAME, Charter, Identity, Roster};
use hivewall_view::fleet::{
    ALARMS_SHOWN, AUDIT_SHOWN, FleetAlarm, FleetCoverage, FleetOutcome, FleetView, MEMBERS_SHOWN, MemberCounts, MemberState,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::bans::{self, Body, Carried};
use super::disk::Facts;
use super::log::{self, Log, Said};
use super::program::{Judge, Keeper, Told, unix_ms};
use super::questions::{Question, Stands, encode};
use super::rollout::{self, Everybody};
use super::{KEYS, Live, POLICY, Setting, Shared, view};
use crate::policy::governor::{Ask, Done, Entrance, FleetHost, FromFleet, KeysNow, Membership, Taken};

/// How often the desk looks around.
const TICK: Duration = Duration::from_millis(200);
/// How often what is shown is made anew.
const VIEW: Duration = Duration::from_secs(1);
/// How long others are asked how they stand, after a change or since somebody last looked.
const ASKED_FOR: Duration = Duration::from_secs(20);
/// How long totals of the fleet are fetched since somebody last looked.
const WATCHED_FOR: Duration = Duration::from_secs(60);
/// Hosts asked at a time how they stand.
const ASKED_MAX: usize = 64;
/// Names of members known by address.
const NAMES_MAX: usize = 65_536;

/// What the desk is told by others of this process.
pub(crate) enum Order {
    /// Somebody looks at how the policy spreads.
    Looked,
    /// What this host's flows moved in an epoch.
    Moved { epoch: u64, moved: Vec<hivewall_engine::Moved>, left_out: u64 },
    /// Somebody used or made an invitation, removed somebody.
    Note { what: &'static str, actor: String, detail: String },
    /// Another host is to be taken out.
    Remove {
        host: String,
        reason: String,
        actor: String,
        answer: tokio::sync::oneshot::Sender<Result<FleetOutcome, FleetRefusal>>,
    },
    /// The host leaves.
    Leave { actor: String },
    /// The agent ends.
    Stop,
}

/// What tasks beside the desk come to.
enum Report {
    Stands(NodeId, Stands),
    Confirmed(u64, Result<(), String>),
}

/// The desk.
pub(super) struct Desk {
    setting: Setting,
    shared: Arc<Shared>,
    pipeline: crate::pipeline::Handle,
    member: Option<Member>,
    done: UnboundedSender<Done>,
    dones: UnboundedReceiver<Done>,
    told: UnboundedSender<Told>,
    tolds: UnboundedReceiver<Told>,
    reports: UnboundedSender<Report>,
    reported: UnboundedReceiver<Report>,
    /// A failure to begin is told once.
    failure: String,
}

/// This host while it is a member.
struct Member {
    node: Handle,
    identity: Identity,
    roster: Roster,
    keys: KeysNow,
    log: Log,
    policies: BTreeMap<String, Policy>,
    bans: BTreeMap<(NodeId, u64), Ban>,
    carried: Carried,
    membership: Arc<Membership>,
    names: BTreeMap<IpAddr, String>,
    stands: Stands,
    everybody: Everybody,
    asked_until: Instant,
    asked_next: Instant,
    watched_until: Instant,
    is_watching: bool,
    is_confirming: bool,
    alarms: Vec<FleetAlarm>,
    alarms_total: u64,
    next_view: Instant,
    last_number: u64,
}

impl Desk {
    pub(super) fn new(setting: Setting, shared: Arc<Shared>, pipeline: crate::pipeline::Handle) -> Self {
        let (done, dones) = unbounded_channel();
        let (told, tolds) = unbounded_channel();
        let (reports, reported) = unbounded_channel();
        let failure = String::new();
        Self { setting, shared, pipeline, member: None, done, dones, told, tolds, reports, reported, failure }
    }

    pub(super) async fn work(mut self, mut orders: UnboundedReceiver<Order>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    None | Some(Order::Stop) => break,
                    Some(order) => self.ordered(order).await,
                },
                Some(told) = self.tolds.recv() => self.hear(told).await,
                Some(done) = self.dones.recv() => self.operator_did(done),
                Some(report) = self.reported.recv() => self.report(report),
                _ = ticks.tick() => self.tick().await,
            }
        }
        if let Some(member) = self.member.take() {
            self.shared.set_live(None);
            let stopped = tokio::task::spawn_blocking(move || member.node.stop(false));
            let _ = stopped.await;
        }
    }

    async fn tick(&mut self) {
        if self.member.is_none() {
            if self.setting.directory.has_identity() {
                self.begin();
            }
            return;
        }
        self.look_at_members();
        self.ask_around();
        self.show();
    }

    fn begin(&mut self) {
        match self.join() {
            Ok(member) => {
                let live = Live {
                    node: member.node.clone(),
                    root: member.identity.papers().root,
                    is_enroller: member.identity.enroller().is_some(),
                };
                tracing::info!(
                    id = %member.identity.id(),
                    listen = %member.node.state().listen,
                    "in the fleet (`hivewall cluster status` shows it)"
                );
                self.shared.set_live(Some(live));
                self.member = Some(member);
                self.failure.clear();
                self.show();
                self.resume();
            }
            Err(error) => {
                let failure = format!("{error:#}");
                if failure != self.failure {
                    tracing::error!(why = failure, "this host cannot take its part in the fleet");
                    self.failure = failure;
                }
            }
        }
    }

    fn join(&self) -> anyhow::Result<Member> {
        let setting = &self.setting;
        setting.directory.make()?;
        let identity = setting.directory.identity()?.ok_or_else(|| anyhow::anyhow!("no identity"))?;
        let roster = identity.roster()?;
        let facts = Facts::open(&setting.directory)?;
        let saved = facts.saved()?;
        for charter in saved.policies.iter().filter(|policy| policy.head.name == CHARTER_NAME) {
            roster.adopt(charter)?;
        }
        let keys = KeysNow::default();
        let told_keys = setting.directory.keys()?.map(|text| serde_json::from_slice::<TrustedKeys>(&text)).transpose()?;
        // Until the ledger says which it trusts.
        *keys.write().unwrap_or_else(PoisonError::into_inner) = told_keys.clone();
        let policies = saved.policies.iter().map(|policy| (policy.head.name.clone(), policy.clone())).collect();
        let log = Log::of(identity.id(), saved.entries.clone());
        let now_s = unix_ms() / 1000;
        let bans: BTreeMap<(NodeId, u64), Ban> = saved
            .bans
            .iter()
            .filter(|ban| ban.expires_unix_s > now_s)
            .map(|ban| ((ban.issuer, ban.number), ban.clone()))
            .collect();
        let last_number = bans.keys().filter(|(id, _)| *id == identity.id()).map(|(_, number)| *number).max();
        let mut about = setting.about.clone();
        about.flags.enroller = identity.enroller().is_some();
        let charter = roster.charter();
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
        let mut seeds = setting.directory.seeds()?;
        seeds.extend(&setting.seeds);
        let node = Node::start(Settings {
            identity: identity.clone(),
            roster: roster.clone(),
            listen: setting.listen,
            member: about,
            bans: charter.as_ref().map(Charter::ban_limits).unwrap_or_default(),
            verifier: Box::new(Judge { roster: roster.clone(), keys: Arc::clone(&keys) }),
            saved,
            seeds,
            seed: u64::from_ne_bytes(seed),
            program: Box::new(Keeper {
                directory: setting.directory.clone(),
                facts,
                told: self.told.clone(),
                keys: Arc::clone(&keys),
            }),
            enroller: identity.enroller().map(|_| setting.directory.invitations()).transpose()?,
            limits: Limits::default(),
            confine: None,
        })?;
        if let Some(governor) = &setting.governor {
            let entrance = Entrance {
                keys: told_keys,
                links_port: node.state().listen.port(),
                labels: setting.about.labels.clone(),
                done: self.done.clone(),
                keys_now: Arc::clone(&keys),
            };
            let _ = governor.send(Ask::Fleet(FromFleet::Enter(Box::new(entrance))));
        }
        let now = Instant::now();
        Ok(Member {
            node,
            identity,
            roster,
            keys,
            log,
            policies,
            bans,
            carried: Carried::default(),
            membership: Arc::default(),
            names: BTreeMap::new(),
            stands: Stands::default(),
            everybody: Everybody::default(),
            asked_until: now,
            asked_next: now,
            watched_until: now + WATCHED_FOR,
            is_watching: false,
            is_confirming: false,
            alarms: Vec::new(),
            alarms_total: 0,
            next_view: now,
            last_number: last_number.unwrap_or(0),
        })
    }

    /// What was agreed on before this start and may not be in force here: the policy, bans.
    fn resume(&mut self) {
        let Some(member) = &mut self.member else { return };
        let told = &self.told;
        if let Some(policy) = member.policies.get(POLICY) {
            let _ = told.send(Told::Changed(Changed::Policy(policy.head.clone())));
        }
        for (issuer, number) in member.bans.iter().filter(|(_, ban)| !ban.withdrawn).map(|(key, _)| *key) {
            let _ = told.send(Told::Changed(Changed::Banned(issuer, number)));
        }
    }

    async fn hear(&mut self, told: Told) {
        match told {
            Told::Kept(persist) => self.keep(persist),
            Told::Changed(changed) => self.noticed(changed).await,
            Told::Asked(from, question, answer) => self.asked(from, &question, answer),
            Told::Renewed(identity) => {
                if let Some(member) = &mut self.member {
                    member.identity = *identity;
                }
            }
        }
    }

    /// What others signed, at the moment at which it is durable.
    fn keep(&mut self, persist: Persist) {
        let Some(member) = &mut self.member else { return };
        match persist {
            Persist::Policy(policy) => _ = member.policies.insert(policy.head.name.clone(), policy),
            Persist::Ban(ban) => {
                // A withdrawal has no body of its own: the ban's is remembered for as long as it is shown.
                member.bans.insert((ban.issuer, ban.number), ban);
            }
            Persist::Entry(entry) => {
                let own = member.identity.id();
                member.log.take(own, entry);
                member.show_log(&self.shared);
            }
            Persist::Generation(_) | Persist::Member(_) => {}
        }
    }

    async fn noticed(&mut self, changed: Changed) {
        match changed {
            Changed::Policy(head) => self.take_document(&head.name, head.version).await,
            Changed::Banned(issuer, number) => self.carry_out(issuer, number).await,
            Changed::Unbanned(issuer, number) => self.lift(issuer, number),
            Changed::Audit(..) => self.confirm_if_told(),
            Changed::Alarm(alarm) => {
                if let Some(member) = &mut self.member {
                    member.alarm_of_core(&alarm);
                }
            }
            Changed::Up(_) | Changed::Down(_) | Changed::Record(_) | Changed::Joined(_) | Changed::Total(_) => {}
        }
    }

    async fn take_document(&mut self, name: &str, version: u64) {
        let Some(member) = &mut self.member else { return };
        let Some(policy) = member.policies.get(name).filter(|policy| policy.head.version == version).cloned() else {
            return;
        };
        let governor = self.setting.governor.as_ref();
        match name {
            POLICY => {
                let taken = rollout::governor(governor, |answer| FromFleet::Take(policy.body, answer)).await;
                member.took(&policy.head, taken);
                member.asked_until = Instant::now() + ASKED_FOR;
                self.confirm_if_told();
            }
            KEYS => {
                let held = member.keys.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(TrustedKeys::version);
                if held.is_none_or(|held| held < version) {
                    let rotated = rollout::governor(governor, |answer| FromFleet::Rotate(policy.body, answer)).await;
                    if let Err(why) = rotated {
                        member.alarm("keys_refused", String::new(), format!("the fleet's keys are not taken here: {why}"));
                    }
                }
            }
            // The links have adopted it already.
            _ => {
                if member.roster.is_revoked(member.identity.id()) {
                    let detail = "this host was removed from the fleet; `hivewall cluster leave` ends its part here";
                    member.alarm("removed", String::new(), detail.to_owned());
                }
            }
        }
    }

    /// What waits for confirmation is confirmed when somebody did so for the fleet, and others reach this host.
    fn confirm_if_told(&mut self) {
        let Some(member) = &mut self.member else { return };
        let version = member.stands.version;
        if member.stands.waits_s.is_none() || member.is_confirming || !member.log.is_confirmed(version) {
            return;
        }
        member.is_confirming = true;
        let (node, governor, reports) = (member.node.clone(), self.setting.governor.clone(), self.reports.clone());
        let port = self.setting.management_port;
        tokio::spawn(async move {
            let outcome = match rollout::is_reached(&node, port).await {
                Ok(()) => {
                    rollout::governor(governor.as_ref(), |answer| FromFleet::Confirm(version, answer)).await
                }
                Err(why) => Err(why),
            };
            let _ = reports.send(Report::Confirmed(version, outcome));
        });
    }

    async fn carry_out(&mut self, issuer: NodeId, number: u64) {
        let Some(member) = &mut self.member else { return };
        let Some(ban) = member.bans.get(&(issuer, number)).filter(|ban| !ban.withdrawn) else { return };
        if issuer == member.identity.id() {
            return;
        }
        let name = view::name_of(&member.node.state(), issuer);
        let Some(body) = bans::body_of(ban) else {
            return member.alarm("ban_unreadable", name, "a ban of this host cannot be read; is it newer?".to_owned());
        };
        let charter = member.charter();
        if let Err(why) = bans::check_length(&charter, body.prefix) {
            return member.alarm("ban_too_wide", name, why);
        }
        let ttl = Duration::from_secs(ban.expires_unix_s.saturating_sub(unix_ms() / 1000));
        let (prefix, reason) = (body.prefix, body.reason);
        let ask = |answer| FromFleet::Ban { prefix, ttl, issuer: name.clone(), reason, answer };
        match rollout::governor(self.setting.governor.as_ref(), ask).await {
            Ok(()) => _ = member.carried.0.insert((issuer, number), (prefix, name)),
            Err(why) => member.alarm("ban_refused", name, why),
        }
    }

    fn lift(&mut self, issuer: NodeId, number: u64) {
        let Some(member) = &mut self.member else { return };
        let Some((prefix, issuer)) = member.carried.0.remove(&(issuer, number)) else { return };
        if let Some(governor) = &self.setting.governor {
            let _ = governor.send(Ask::Fleet(FromFleet::Unban { prefix, issuer: Some(issuer) }));
        }
    }

    fn asked(&mut self, from: NodeId, question: &[u8], answer: Answer) {
        let Some(member) = &mut self.member else { return };
        // Dropping the answer refuses.
        let Some(question) = Question::decode(question) else { return };
        match question {
            Question::Stand => answer.send(encode(&member.stands)),
            Question::Reach { port, listens } => {
                let state = member.node.state();
                let addresses = state.member(from).map(|member| member.addresses().to_vec()).unwrap_or_default();
                let addresses = addresses.into_iter().map(|address| address.ip()).collect();
                tokio::spawn(async move { answer.send(encode(&rollout::reach(addresses, port, listens).await)) });
            }
            Question::Withdraw { number, who } => {
                let own = member.identity.id();
                let Some(ban) = member.bans.get(&(own, number)).filter(|ban| !ban.withdrawn).cloned() else { return };
                let by = format!("{who} at {}", view::name_of(&member.node.state(), from));
                self.withdraw(&ban, &by);
                answer.send(encode(&true));
            }
            Question::Flows { .. } | Question::Digest | Question::Rules => {
                let pipeline = self.pipeline.clone();
                tokio::spawn(async move {
                    if let Some(bytes) = super::answers::of_this_host(&pipeline, &question).await {
                        answer.send(bytes);
                    }
                });
            }
        }
    }

    fn operator_did(&mut self, done: Done) {
        let Some(member) = &mut self.member else { return };
        match done {
            Done::Applied { document, who } => match member.publish(document) {
                Ok(detail) => {
                    member.asked_until = Instant::now() + ASKED_FOR;
                    member.write(&who, log::APPLIED, detail);
                }
                Err(why) => member.alarm("not_published", String::new(), why),
            },
            Done::Confirmed { who } => {
                member.stands.waits_s = None;
                let version = member.stands.version;
                member.report();
                member.write(&who, log::CONFIRMED, version.to_string());
            }
            Done::RolledBack { who } => {
                member.write(&who, log::ROLLED_BACK, "on this host alone".to_owned());
            }
            Done::Banned { prefix, ttl, reason, who } => {
                let charter = member.charter();
                let now_ms = unix_ms();
                member.last_number = now_ms.max(member.last_number + 1);
                let body = Body { prefix, reason: reason.clone(), who: who.clone() };
                match bans::issue(&member.identity, &charter, member.last_number, now_ms / 1000, (body, ttl)) {
                    Ok(ban) => {
                        member.node.order(CoreOrder::Ban(ban));
                        member.write(&who, log::BANNED, format!("{prefix} {reason}"));
                    }
                    Err(why) => {
                        member.alarm("ban_not_spread", String::new(), format!("banned on this host alone: {why}"));
                    }
                }
            }
            Done::Unbanned { prefix, who } => self.unban(prefix, &who),
        }
    }

    /// Takes back every ban of a prefix: this host's own, and others' through whoever issued them.
    fn unban(&mut self, prefix: ipnet::IpNet, who: &str) {
        let Some(member) = &mut self.member else { return };
        let is_meant = |ban: &&Ban| !ban.withdrawn && bans::body_of(ban).is_some_and(|body| body.prefix == prefix);
        let meant: Vec<Ban> = member.bans.values().filter(is_meant).cloned().collect();
        for ban in meant {
            let Some(member) = &mut self.member else { return };
            if ban.issuer == member.identity.id() {
                self.withdraw(&ban, who);
                continue;
            }
            let question = Question::Withdraw { number: ban.number, who: who.to_owned() }.encode();
            let node = member.node.clone();
            let name = view::name_of(&node.state(), ban.issuer);
            member.write(who, log::UNBANNED, format!("{prefix}, asked of {name}"));
            tokio::spawn(async move {
                if let Err(why) = node.ask_async(ban.issuer, question, super::ANSWER_WAIT, false).await {
                    tracing::warn!(%prefix, issuer = name, %why, "the ban is lifted here alone; elsewhere it ends by itself");
                }
            });
        }
    }

    fn withdraw(&mut self, ban: &Ban, who: &str) {
        let Some(member) = &mut self.member else { return };
        member.node.order(CoreOrder::Ban(bans::withdrawal(&member.identity, ban)));
        let Some(body) = bans::body_of(ban) else { return };
        member.write(who, log::UNBANNED, body.prefix.to_string());
        if let Some(governor) = &self.setting.governor {
            let _ = governor.send(Ask::Fleet(FromFleet::Unban { prefix: body.prefix, issuer: None }));
        }
    }

    async fn ordered(&mut self, order: Order) {
        let Some(member) = &mut self.member else { return };
        match order {
            Order::Looked => {
                let now = Instant::now();
                (member.asked_until, member.watched_until) = (now + ASKED_FOR, now + WATCHED_FOR);
            }
            Order::Moved { epoch, moved, left_out } => {
                if left_out > 0 {
                    let detail = format!("{left_out} flows of an epoch are missing in the sums: too many ended at once");
                    member.alarm("sums_cut", String::new(), detail);
                }
                let (node, members) = (member.node.clone(), Arc::clone(&member.membership));
                tokio::task::spawn_blocking(move || {
                    let summary = super::sums::summary(&moved, &members);
                    node.order(CoreOrder::Contribute { epoch, summary });
                });
            }
            Order::Note { what, actor, detail } => member.write(&actor, what, detail),
            Order::Remove { host, reason, actor, answer } => {
                let removed = super::removal::remove(&member.node, &self.setting.directory, &host, &reason);
                let _ = answer.send(removed.map(|(outcome, detail)| {
                    member.write(&actor, log::REMOVED, detail);
                    outcome
                }));
            }
            Order::Leave { actor } => {
                member.write(&actor, log::LEFT, String::new());
                self.leave().await;
            }
            Order::Stop => {}
        }
    }

    async fn leave(&mut self) {
        let Some(member) = self.member.take() else { return };
        // The others get the last entry of the log before the farewell.
        tokio::time::sleep(TICK).await;
        let node = member.node.clone();
        let _ = tokio::task::spawn_blocking(move || node.stop(true)).await;
        drop(member);
        self.shared.set_live(None);
        self.shared.show(None);
        if let Some(governor) = &self.setting.governor {
            let _ = governor.send(Ask::Fleet(FromFleet::Leave));
        }
        match self.setting.directory.retire() {
            Ok(aside) => tracing::info!(kept = %aside.display(), "this host has left the fleet"),
            Err(error) => tracing::error!(%error, "this host has left the fleet, but its identity could not be put aside"),
        }
    }

    fn report(&mut self, report: Report) {
        let Some(member) = &mut self.member else { return };
        match report {
            Report::Stands(id, stands) => member.everybody.heard(id, stands),
            Report::Confirmed(version, outcome) => {
                member.is_confirming = false;
                if member.stands.version == version {
                    match outcome {
                        Ok(()) => member.stands.waits_s = None,
                        Err(why) => {
                            let detail = format!("not confirmed here, so this host goes back by itself: {why}");
                            member.stands.refusal.clone_from(&detail);
                            member.alarm("not_confirmed", String::new(), detail);
                        }
                    }
                    member.report();
                }
            }
        }
    }

    /// Tells the policy's thread when sets of hosts may have changed.
    fn look_at_members(&mut self) {
        let Some(member) = &mut self.member else { return };
        let state = member.node.state();
        let hosts = state.members.iter().filter_map(|known| {
            let record = known.record.as_ref()?;
            // Also those that do not answer: a parted fleet must not cut its own traffic.
            let is_in = known.life != hivewall_net::Life::Left && !member.roster.is_revoked(known.id);
            is_in.then(|| FleetHost {
                name: record.name.clone(),
                labels: record.labels.clone(),
                addresses: record.addresses.iter().map(|address| address.ip().to_canonical()).collect(),
            })
        });
        let mut hosts: Vec<FleetHost> = hosts.collect();
        hosts.sort_unstable();
        if hosts == member.membership.0 {
            return;
        }
        let names = hosts.iter().flat_map(|host| host.addresses.iter().map(|address| (*address, host.name.clone())));
        member.names = names.take(NAMES_MAX).collect();
        member.membership = Arc::new(Membership(hosts));
        member.everybody.forget_the_gone(&state);
        if let Some(governor) = &self.setting.governor {
            let _ = governor.send(Ask::Fleet(FromFleet::Members(Arc::clone(&member.membership))));
        }
    }

    /// Asks others how they stand, while it is new or somebody looks.
    fn ask_around(&mut self) {
        let Some(member) = &mut self.member else { return };
        let now = Instant::now();
        let is_watched = now <= member.watched_until;
        if is_watched != member.is_watching {
            member.is_watching = is_watched;
            member.node.order(CoreOrder::Watch(is_watched));
        }
        if now > member.asked_until || now < member.asked_next {
            return;
        }
        member.asked_next = now + TICK;
        let state = member.node.state();
        let Some(version) = state.policies.get(POLICY).map(|held| held.head().version) else { return };
        for id in member.everybody.unsettled(&state, version, ASKED_MAX) {
            let (node, reports) = (member.node.clone(), self.reports.clone());
            tokio::spawn(async move {
                if let Some((id, stands)) = rollout::ask_stand(node, id).await {
                    let _ = reports.send(Report::Stands(id, stands));
                }
            });
        }
    }

    fn show(&mut self) {
        let Some(member) = &mut self.member else { return };
        let now = Instant::now();
        let is_watched = now <= member.asked_until;
        if now < member.next_view && !is_watched {
            return;
        }
        member.next_view = now + VIEW;
        self.shared.show(Some(member.view()));
    }
}

impl Member {
    fn charter(&self) -> Charter {
        self.roster.charter().unwrap_or_else(|| Charter::first(self.identity.cluster(), ""))
    }

    fn write(&mut self, actor: &str, what: &str, detail: String) {
        let said = Said { actor: actor.to_owned(), what: what.to_owned(), detail };
        let entry = self.log.write(&self.identity, unix_ms(), &said);
        self.node.order(CoreOrder::Append(entry));
    }

    /// Gives a document that is in force here to all. What is said of it in the log.
    fn publish(&mut self, document: Vec<u8>) -> Result<String, String> {
        let signed = hivewall_policy::sign::Signed::parse(&document)
            .map_err(|error| format!("the policy holds on this host alone: {error}"))?;
        let header = signed.statement().header().clone();
        let hash = hivewall_cluster::Hash::of(&document);
        let head = hivewall_cluster::PolicyHead { name: POLICY.to_owned(), version: header.version, hash };
        self.stands = Stands { version: header.version, is_enforced: true, ..Stands::default() };
        self.node.order(CoreOrder::Publish(Policy { head, body: document, signature: Vec::new() }));
        self.report();
        Ok(format!("{} {}", header.name, header.version))
    }

    fn took(&mut self, head: &hivewall_cluster::PolicyHead, taken: Result<Taken, String>) {
        // An older version that is offered again says nothing of the one in force.
        let refusal = match &taken {
            Ok(_) => String::new(),
            Err(_) if self.stands.version == head.version && self.stands.is_enforced => return,
            Err(why) => why.clone(),
        };
        let waits = matches!(taken, Ok(Taken::InForce { waits: true }));
        self.stands = Stands {
            version: head.version,
            is_enforced: taken.is_ok(),
            refusal,
            waits_s: waits.then_some(0),
        };
        if let Err(why) = taken {
            self.alarm("policy_refused", String::new(), format!("version {} is not taken here: {why}", head.version));
        }
        self.report();
    }

    /// Says in the core how this host stands, for totals.
    fn report(&self) {
        let Some(policy) = self.policies.get(POLICY) else { return };
        let stand = match &self.stands {
            Stands { refusal, .. } if !refusal.is_empty() => Stand::Refused(refusal.clone()),
            Stands { is_enforced: true, .. } => Stand::Enforced,
            _ => Stand::Have,
        };
        self.node.order(CoreOrder::Report(policy.head.clone(), stand));
    }

    fn alarm(&mut self, kind: &str, host: String, detail: String) {
        tracing::warn!(kind, host, detail, "fleet");
        self.alarms.insert(0, FleetAlarm { time: view::time(unix_ms()), kind: kind.to_owned(), host, detail });
        self.alarms.truncate(ALARMS_SHOWN);
        self.alarms_total += 1;
    }

    fn alarm_of_core(&mut self, alarm: &Alarm) {
        let state = self.node.state();
        let (kind, host, detail) = match alarm {
            Alarm::TwoPolicies(a, b) => (
                "two_policies",
                String::new(),
                format!(
                    "two documents `{}` of version {} are validly signed ({:?}, {:?}); neither replaces the other: find out \
                     who signed them, and sign a higher version",
                    a.name, a.version, a.hash, b.hash
                ),
            ),
            Alarm::TwoEntries(id, number) => (
                "two_entries",
                view::name_of(&state, *id),
                format!("two entries number {number} of its audit log are validly signed: its key is used twice"),
            ),
            Alarm::TooManyBans(id) => (
                "too_many_bans",
                view::name_of(&state, *id),
                "it issues more bans than the charter allows; those beyond are not carried out".to_owned(),
            ),
            Alarm::Away(ms) => (
                "away",
                String::new(),
                format!("this host stood still for {}; it accuses nobody for a while", view::span(ms / 1000)),
            ),
            Alarm::Implausible(id) => (
                "implausible",
                view::name_of(&state, *id),
                "a total came through it with more than its members can have contributed; it was left out".to_owned(),
            ),
        };
        self.alarm(kind, host, detail);
    }

    fn show_log(&self, shared: &Shared) {
        let state = self.node.state();
        let views = self.log.views(|id| view::name_of(&state, id));
        *shared.log.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(views);
    }

    fn view(&self) -> FleetView {
        let state: Arc<NodeState> = self.node.state();
        let now_ms = unix_ms();
        let version = state.policies.get(POLICY).map_or(0, |held| held.head().version);
        let stand = |id| if id == state.id { Some(&self.stands) } else { self.everybody.get(id) };
        let mut members: Vec<_> = state
            .members
            .iter()
            .map(|known| {
                view::member(&state, known, self.roster.is_revoked(known.id), stand(known.id), version)
            })
            .collect();
        members.sort_by(|a, b| {
            let key = |member: &hivewall_view::fleet::MemberView| member.state == MemberState::Alive;
            (key(a), &a.name, &a.id).cmp(&(key(b), &b.name, &b.id))
        });
        let states = MemberCounts::of(&members);
        members.truncate(MEMBERS_SHOWN);
        let total = state.total.as_deref();
        let (links, links_total) = view::links(&state);
        let (bans, bans_total) = view::bans(&state);
        let log = self.log.views(|id| view::name_of(&state, id));
        FleetView {
            time: view::time(now_ms),
            cluster: view::hex(&self.identity.cluster().0),
            own_id: state.id.to_string(),
            own_name: view::name_of(&state, state.id),
            joined: state.joined,
            enroller: self.identity.enroller().is_some(),
            doubt: state.doubt,
            coverage: total.map_or_else(FleetCoverage::default, |total| view::coverage(total, now_ms)),
            states,
            members,
            rollout: self.everybody.view(&state, &self.stands),
            total: total.map(|total| view::total(total, &self.names, now_ms)),
            links,
            links_total,
            bans,
            bans_total,
            audit_total: log.len() as u64,
            audit: log.into_iter().take(AUDIT_SHOWN).collect(),
            alarms: self.alarms.clone(),
            alarms_total: self.alarms_total,
            meter: view::meter(&state),
            losses: view::losses(&state),
        }
    }
}
