//! The desk: one task that hears what the links tell and what operators do here, and sees to the rest.
//!
//! What takes long is done in tasks beside it, which report back. Invariant: only the desk changes what is shown.

mod begin;
mod member;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hivewall_api::{FleetRefusal, PageOf, Source as _};
use hivewall_cluster::{Ban, Changed, NodeId, Order as CoreOrder, Persist};
use hivewall_net::{Answer, Life};
use hivewall_policy::document::Reaction;
use hivewall_policy::sign::TrustedKeys;
use hivewall_view::alerts::OwnersEvidence;
use hivewall_view::fleet::{AuditPage, FleetOutcome, LinkView, MemberPage};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::member::Member;
use super::bans::{self, Body};
use super::log;
use super::owners::Owners;
use super::program::{Told, unix_ms};
use super::questions::{Question, Stands, encode};
use super::rollout;
use super::{KEYS, Live, POLICY, Setting, Shared, view};
use crate::policy::governor::{Ask, BY_ITSELF, Carry, Done, FleetHost, FromFleet, Membership};

/// How often the desk looks around.
const TICK: Duration = Duration::from_millis(200);
/// How often what is shown is made anew.
const VIEW: Duration = Duration::from_secs(1);
/// How long others are asked how they stand, after a change or since somebody last looked.
const ASKED_FOR: Duration = Duration::from_secs(20);
/// How long totals of the fleet are fetched since somebody last looked.
const WATCHED_FOR: Duration = Duration::from_secs(60);
/// Within this time the snapshot shows what the policy's thread has done.
const TOLD_WITHIN: Duration = Duration::from_secs(3);
/// How often others are asked for their links meanwhile.
const LINKS_EVERY: Duration = Duration::from_secs(5);
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
    /// What this host's detectors saw in an epoch.
    Sightings(Box<crate::watch::Sightings>),
    /// What hosts have of something that the fleet saw.
    Owners(Owners, Box<dyn FnOnce(OwnersEvidence) + Send>),
    /// A page of all members.
    Members(PageOf, oneshot::Sender<MemberPage>),
    /// A page of the audit log.
    Audit(PageOf, oneshot::Sender<AuditPage>),
    /// Somebody used or made an invitation, removed somebody.
    Note { what: &'static str, actor: String, detail: String },
    /// Another host is to be taken out.
    Remove { host: String, reason: String, actor: String, answer: oneshot::Sender<Result<FleetOutcome, FleetRefusal>> },
    /// The host leaves.
    Leave { actor: String },
    /// The agent ends.
    Stop,
}

/// What tasks beside the desk come to.
enum Report {
    Stands(NodeId, Stands),
    Links(NodeId, Vec<LinkView>),
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
                _ = ticks.tick() => self.tick(),
            }
        }
        if let Some(member) = self.member.take() {
            self.shared.set_live(None);
            let stopped = tokio::task::spawn_blocking(move || member.node.stop(false));
            let _ = stopped.await;
        }
    }

    fn tick(&mut self) {
        if self.member.is_none() {
            if self.setting.directory.has_identity() {
                self.begin();
            }
            return;
        }
        self.look_at_members();
        self.look_at_policy();
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
                let held =
                    member.keys.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(TrustedKeys::version);
                if held.is_none_or(|held| held < version) {
                    let rotated = rollout::governor(governor, |answer| FromFleet::Rotate(policy.body, answer)).await;
                    if let Err(why) = rotated {
                        member.alarm(
                            "keys_refused",
                            String::new(),
                            format!("the fleet's keys are not taken here: {why}"),
                        );
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
                Ok(()) => rollout::governor(governor.as_ref(), |answer| FromFleet::Confirm(version, answer)).await,
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
        let Body { prefix, reason, who, measure } = body;
        let by_itself = who.starts_with(BY_ITSELF);
        let carry = Carry { prefix, measure, ttl, issuer: name.clone(), reason, by_itself };
        match rollout::governor(self.setting.governor.as_ref(), |answer| FromFleet::Ban(carry, answer)).await {
            Ok(()) => _ = member.carried.0.insert((issuer, number), (prefix, measure.reaction(), name)),
            Err(why) => member.alarm("ban_refused", name, why),
        }
    }

    fn lift(&mut self, issuer: NodeId, number: u64) {
        let Some(member) = &mut self.member else { return };
        let Some((prefix, reaction, issuer)) = member.carried.0.remove(&(issuer, number)) else { return };
        if let Some(governor) = &self.setting.governor {
            let _ = governor.send(Ask::Fleet(FromFleet::Unban { prefix, reaction, issuer: Some(issuer) }));
        }
    }

    fn asked(&mut self, from: NodeId, question: &[u8], answer: Answer) {
        let Some(member) = &mut self.member else { return };
        // Dropping the answer refuses.
        let Some(question) = Question::decode(question) else { return };
        match question {
            Question::Stand => answer.send(encode(&member.stands)),
            Question::Links => {
                answer.send(serde_json::to_vec(&view::own_links(&member.node.state())).unwrap_or_default());
            }
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
            Question::Sightings(told) => {
                let host = view::name_of(&member.node.state(), from);
                self.pipeline.hear(host, *told, Arc::clone(&member.membership));
                answer.send(Vec::new());
            }
            Question::Flows { .. }
            | Question::Digest
            | Question::Rules
            | Question::Alerts(_)
            | Question::Rehearse { .. } => {
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
            Done::Banned { prefix, measure, ttl, reason, who } => {
                let charter = member.charter();
                let now_ms = unix_ms();
                member.last_number = now_ms.max(member.last_number + 1);
                let body = Body { prefix, reason: reason.clone(), who: who.clone(), measure };
                match bans::issue(&member.identity, &charter, member.last_number, now_ms / 1000, (body, ttl)) {
                    Ok(ban) => {
                        member.node.order(CoreOrder::Ban(ban));
                        let said = match measure.rate() {
                            Some(rate) => format!("{prefix} to {rate}: {reason}"),
                            None => format!("{prefix} {reason}"),
                        };
                        member.write(&who, log::began(measure.reaction()), said);
                    }
                    Err(why) => {
                        member.alarm("ban_not_spread", String::new(), format!("on this host alone: {why}"));
                    }
                }
            }
            Done::Unbanned { prefix, reaction, who } => self.unban(prefix, reaction, &who),
        }
    }

    /// Takes back every ban of a prefix: this host's own, and others' through whoever issued them. Of one kind, or all.
    fn unban(&mut self, prefix: ipnet::IpNet, reaction: Option<Reaction>, who: &str) {
        let Some(member) = &mut self.member else { return };
        let is_meant =
            |body: Body| body.prefix == prefix && reaction.is_none_or(|reaction| reaction == body.measure.reaction());
        let is_meant = |ban: &&Ban| !ban.withdrawn && bans::body_of(ban).is_some_and(is_meant);
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
            let ended = bans::body_of(&ban).map_or(log::UNBANNED, |body| log::ended(body.measure.reaction()));
            member.write(who, ended, format!("{prefix}, asked of {name}"));
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
        let (prefix, reaction) = (body.prefix, body.measure.reaction());
        member.write(who, log::ended(reaction), prefix.to_string());
        if let Some(governor) = &self.setting.governor {
            let _ = governor.send(Ask::Fleet(FromFleet::Unban { prefix, reaction, issuer: None }));
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
                    let detail =
                        format!("{left_out} flows of an epoch are missing in the sums: too many ended at once");
                    member.alarm("sums_cut", String::new(), detail);
                }
                let (node, members) = (member.node.clone(), Arc::clone(&member.membership));
                tokio::task::spawn_blocking(move || {
                    let summary = super::sums::summary(&moved, &members);
                    node.order(CoreOrder::Contribute { epoch, summary });
                });
            }
            Order::Sightings(told) => member.spread(*told, &self.pipeline),
            Order::Owners(owners, done) => {
                let (node, pipeline) = (member.node.clone(), self.pipeline.clone());
                tokio::spawn(async move { done(super::owners::ask(&node, &pipeline, &owners).await) });
            }
            // Whoever asked may be gone.
            Order::Members(of, answer) => _ = answer.send(member.page(of)),
            Order::Audit(of, answer) => _ = answer.send(member.audit(of)),
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
            Err(error) => {
                tracing::error!(%error, "this host has left the fleet, but its identity could not be put aside");
            }
        }
    }

    fn report(&mut self, report: Report) {
        let Some(member) = &mut self.member else { return };
        match report {
            Report::Stands(id, stands) => member.everybody.heard(id, stands),
            Report::Links(id, links) => _ = member.far_links.insert(id, links),
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
            let is_in = known.life != Life::Left && !member.roster.is_revoked(known.id);
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

    /// What this host says of the policy follows what its own thread tells: how long it waits, and that it went back.
    fn look_at_policy(&mut self) {
        let Some(member) = &mut self.member else { return };
        if member.stands.is_enforced && member.stands.refusal.is_empty() && member.stood_since.elapsed() > TOLD_WITHIN {
            member.follow(&self.pipeline.snapshot().firewall_rules);
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
        if is_watched && now >= member.links_next {
            member.links_next = now + LINKS_EVERY;
            self.ask_links();
        }
        let Some(member) = &mut self.member else { return };
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

    /// Asks others what their links are like, in a fleet whose matrix of links can be shown.
    fn ask_links(&mut self) {
        let Some(member) = &mut self.member else { return };
        let state = member.node.state();
        member.far_links.retain(|id, _| state.member(*id).is_some_and(|known| known.life == Life::Alive));
        let others = state.members.iter().filter(|known| known.id != state.id && known.life == Life::Alive);
        for id in others.map(|known| known.id).take(ASKED_MAX) {
            let (node, reports) = (member.node.clone(), self.reports.clone());
            tokio::spawn(async move {
                let answer = node.ask_async(id, Question::Links.encode(), super::ANSWER_WAIT, false).await;
                let links = answer.ok().and_then(|bytes| serde_json::from_slice::<Vec<LinkView>>(&bytes).ok());
                // Who tells of somebody else's links is not believed.
                let is_own = |links: &Vec<LinkView>| links.iter().all(|link| link.from_id == id.to_string());
                if let Some(links) = links.filter(is_own) {
                    let _ = reports.send(Report::Links(id, links));
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
