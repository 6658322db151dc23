//! This host while it is a member: what it remembers of the fleet, what it writes and shows.
//!
//! Invariant: what is said in this host's name (entries, stands) is said here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use hivewall_api::PageOf;
use hivewall_cluster::{Alarm, Ban, NodeId, Order as CoreOrder, Policy, PolicyHead, Stand};
use hivewall_net::{Announcement, Handle, Life, NodeState};
use hivewall_trust::{Charter, Identity, Roster};
use hivewall_view::fleet::{
    ALARMS_SHOWN, AUDIT_SHOWN, AuditPage, FleetAlarm, FleetCoverage, FleetView, LinkView, MEMBERS_SHOWN, MemberCounts,
    MemberPage, MemberState, MemberView,
};
use hivewall_view::policy::PolicyView;
use tokio::time::Instant;

use crate::fleet::bans::Carried;
use crate::fleet::log::{Log, Said};
use crate::fleet::program::unix_ms;
use crate::fleet::questions::{Question, Stands};
use crate::fleet::rollout::Everybody;
use crate::fleet::{POLICY, view};
use crate::policy::governor::{KeysNow, Membership, Taken};

/// This host while it is a member.
pub(super) struct Member {
    pub(super) node: Handle,
    /// Told to the local network while it lives.
    pub(super) _announced: Option<Announcement>,
    pub(super) identity: Identity,
    pub(super) roster: Roster,
    pub(super) keys: KeysNow,
    pub(super) log: Log,
    pub(super) policies: BTreeMap<String, Policy>,
    pub(super) bans: BTreeMap<(NodeId, u64), Ban>,
    pub(super) carried: Carried,
    pub(super) membership: Arc<Membership>,
    pub(super) names: BTreeMap<IpAddr, String>,
    pub(super) stands: Stands,
    /// When this host came to stand like that.
    pub(super) stood_since: Instant,
    pub(super) everybody: Everybody,
    pub(super) asked_until: Instant,
    pub(super) asked_next: Instant,
    pub(super) watched_until: Instant,
    pub(super) is_watching: bool,
    /// What others told of their links.
    pub(super) far_links: BTreeMap<NodeId, Vec<LinkView>>,
    pub(super) links_next: Instant,
    pub(super) is_confirming: bool,
    pub(super) alarms: Vec<FleetAlarm>,
    pub(super) alarms_total: u64,
    pub(super) next_view: Instant,
    pub(super) last_number: u64,
}

impl Member {
    pub(super) fn charter(&self) -> Charter {
        self.roster.charter().unwrap_or_else(|| Charter::first(self.identity.cluster(), ""))
    }

    pub(super) fn write(&mut self, actor: &str, what: &str, detail: String) {
        let said = Said { actor: actor.to_owned(), what: what.to_owned(), detail };
        let entry = self.log.write(&self.identity, unix_ms(), &said);
        self.node.order(CoreOrder::Append(entry));
    }

    /// Gives a document that is in force here to all. What is said of it in the log.
    pub(super) fn publish(&mut self, document: Vec<u8>) -> Result<String, String> {
        let signed = hivewall_policy::sign::Signed::parse(&document)
            .map_err(|error| format!("the policy holds on this host alone: {error}"))?;
        let header = signed.statement().header().clone();
        let hash = hivewall_cluster::Hash::of(&document);
        let head = PolicyHead { name: POLICY.to_owned(), version: header.version, hash };
        self.stand(Stands { version: header.version, is_enforced: true, ..Stands::default() });
        self.node.order(CoreOrder::Publish(Policy { head, body: document, signature: Vec::new() }));
        self.report();
        Ok(format!("{} {}", header.name, header.version))
    }

    pub(super) fn took(&mut self, head: &PolicyHead, taken: Result<Taken, String>) {
        // An older version that is offered again says nothing of the one in force.
        let refusal = match &taken {
            Ok(_) => String::new(),
            Err(_) if self.stands.version == head.version && self.stands.is_enforced => return,
            Err(why) => why.clone(),
        };
        let waits = matches!(taken, Ok(Taken::InForce { waits: true }));
        self.stand(Stands { version: head.version, is_enforced: taken.is_ok(), refusal, waits_s: waits.then_some(0) });
        if let Err(why) = taken {
            self.alarm("policy_refused", String::new(), format!("version {} is not taken here: {why}", head.version));
        }
        self.report();
    }

    fn stand(&mut self, stands: Stands) {
        self.stands = stands;
        self.stood_since = Instant::now();
    }

    /// The policy as its thread shows it: it waits for so long, or the host went back to another.
    pub(super) fn follow(&mut self, policy: &PolicyView) {
        if policy.version == self.stands.version {
            self.stands.waits_s = policy.pending.as_ref().map(|pending| pending.seconds_left as u64);
            return;
        }
        let went = if policy.version == 0 { "no policy".to_owned() } else { format!("version {}", policy.version) };
        let refusal = format!("this host went back to {went}: it was not confirmed in time, or rolled back");
        self.stand(Stands { refusal, waits_s: None, is_enforced: false, ..self.stands.clone() });
        self.report();
    }

    /// Says in the core how this host stands, for totals.
    pub(super) fn report(&self) {
        let Some(policy) = self.policies.get(POLICY) else { return };
        let stand = match &self.stands {
            Stands { refusal, .. } if !refusal.is_empty() => Stand::Refused(refusal.clone()),
            Stands { is_enforced: true, .. } => Stand::Enforced,
            _ => Stand::Have,
        };
        self.node.order(CoreOrder::Report(policy.head.clone(), stand));
    }

    pub(super) fn alarm(&mut self, kind: &str, host: String, detail: String) {
        tracing::warn!(kind, host, detail, "fleet");
        self.alarms.insert(0, FleetAlarm { time: view::time(unix_ms()), kind: kind.to_owned(), host, detail });
        self.alarms.truncate(ALARMS_SHOWN);
        self.alarms_total += 1;
    }

    pub(super) fn alarm_of_core(&mut self, alarm: &Alarm) {
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

    /// Everybody: those that are not alive first, then by name.
    fn members(&self, state: &NodeState) -> Vec<MemberView> {
        let version = state.policies.get(POLICY).map_or(0, |held| held.head().version);
        let stand = |id| if id == state.id { Some(&self.stands) } else { self.everybody.get(id) };
        let mut members: Vec<MemberView> = state
            .members
            .iter()
            .map(|known| view::member(state, known, self.roster.is_revoked(known.id), stand(known.id), version))
            .collect();
        members.sort_by(|a, b| {
            let key = |member: &MemberView| member.state == MemberState::Alive;
            (key(a), &a.name, &a.id).cmp(&(key(b), &b.name, &b.id))
        });
        members
    }

    pub(super) fn page(&self, of: PageOf) -> MemberPage {
        let all = self.members(&self.node.state());
        let states = MemberCounts::of(&all);
        let next_offset = next_page(of, all.len());
        let members = all.into_iter().skip(of.offset).take(of.limit).collect();
        MemberPage { time: view::time(unix_ms()), states, members, next_offset }
    }

    pub(super) fn audit(&self, of: PageOf) -> AuditPage {
        let state = self.node.state();
        let entries = self.log.views(of, |id| view::name_of(&state, id));
        let (total, next_offset) = (self.log.len() as u64, next_page(of, self.log.len()));
        AuditPage { time: view::time(unix_ms()), total, entries, next_offset }
    }

    pub(super) fn view(&self) -> FleetView {
        let state: Arc<NodeState> = self.node.state();
        let now_ms = unix_ms();
        let mut members = self.members(&state);
        let states = MemberCounts::of(&members);
        members.truncate(MEMBERS_SHOWN);
        let total = state.total.as_deref();
        let (links, links_total) = view::links(&state, &self.far_links);
        let (bans, bans_total) = view::bans(&state);
        let latest = PageOf { limit: AUDIT_SHOWN, offset: 0 };
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
            audit_total: self.log.len() as u64,
            audit: self.log.views(latest, |id| view::name_of(&state, id)),
            alarms: self.alarms.clone(),
            alarms_total: self.alarms_total,
            meter: view::meter(&state),
            losses: view::losses(&state),
        }
    }
}

/// Where the next page begins; nowhere after the last.
fn next_page(PageOf { limit, offset }: PageOf, all: usize) -> Option<u64> {
    let next = offset.saturating_add(limit);
    (next < all).then_some(next as u64)
}

impl Member {
    /// Gives each keeper what this host saw of its sources.
    pub(super) fn spread(&self, told: crate::watch::Sightings, pipeline: &crate::pipeline::Handle) {
        let state = self.node.state();
        let alive: Vec<NodeId> = state
            .members
            .iter()
            .filter(|member| matches!(member.life, Life::Alive) || member.id == state.id)
            .map(|member| member.id)
            .collect();
        let keeper = |key: &[u8]| alive.iter().copied().max_by_key(|id| crate::watch::rank(&id.0, key));
        for (keeper, part) in told.parted(keeper) {
            if keeper == state.id {
                pipeline.hear(view::name_of(&state, keeper), part, Arc::clone(&self.membership));
                continue;
            }
            let node = self.node.clone();
            let question = Question::Sightings(Box::new(part)).encode();
            tokio::spawn(async move {
                // One that does not answer has missed an epoch, which the next ones make up for.
                let _ = node.ask_async(keeper, question, crate::fleet::ANSWER_WAIT, false).await;
            });
        }
    }
}
