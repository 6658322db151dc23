//! How a host takes its part in the fleet: from its directory to a running node.
//!
//! Invariant: what was written down before is known before anybody is spoken to.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use anyhow::Context as _;
use hivewall_cluster::{Ban, NodeId, Saved};
use hivewall_net::{Announcement, Handle, Limits, Node, Settings};
use hivewall_policy::sign::TrustedKeys;
use hivewall_trust::{CHARTER_NAME, Charter, Identity, Roster};
use tokio::time::Instant;

use super::member::Member;
use super::{Desk, WATCHED_FOR};
use crate::fleet::bans::Carried;
use crate::fleet::disk::Facts;
use crate::fleet::log::Log;
use crate::fleet::program::{Judge, Keeper, unix_ms};
use crate::fleet::questions::Stands;
use crate::fleet::rollout::Everybody;
use crate::policy::governor::{Ask, Entrance, FromFleet, KeysNow};

impl Desk {
    pub(super) fn join(&self) -> anyhow::Result<Member> {
        let directory = &self.setting.directory;
        directory.make()?;
        let identity = directory.identity()?.context("there is no identity")?;
        let roster = identity.roster()?;
        let facts = Facts::open(directory)?;
        let saved = facts.saved()?;
        for charter in saved.policies.iter().filter(|policy| policy.head.name == CHARTER_NAME) {
            roster.adopt(charter)?;
        }
        let told_keys = directory.keys()?.map(|text| serde_json::from_slice::<TrustedKeys>(&text)).transpose()?;
        let keys = KeysNow::default();
        // Until the ledger says which it trusts.
        keys.write().unwrap_or_else(PoisonError::into_inner).clone_from(&told_keys);
        let member = Remembered::of(&identity, &saved);
        let node = self.start(&identity, &roster, &keys, (facts, saved))?;
        self.enter(&node, told_keys, &keys);
        let announced = self.announce(&identity, &node);
        Ok(member.with(node, announced, (identity, roster, keys)))
    }

    fn start(
        &self,
        identity: &Identity,
        roster: &Roster,
        keys: &KeysNow,
        (facts, saved): (Facts, Saved),
    ) -> anyhow::Result<Handle> {
        let setting = &self.setting;
        let mut about = setting.about.clone();
        about.flags.enroller = identity.enroller().is_some();
        let mut seeds = setting.directory.seeds()?;
        seeds.extend(&setting.seeds);
        let program =
            Keeper { directory: setting.directory.clone(), facts, told: self.told.clone(), keys: Arc::clone(keys) };
        Ok(Node::start(Settings {
            identity: identity.clone(),
            roster: roster.clone(),
            listen: setting.listen,
            member: about,
            bans: roster.charter().as_ref().map(Charter::ban_limits).unwrap_or_default(),
            verifier: Box::new(Judge { roster: roster.clone(), keys: Arc::clone(keys) }),
            saved,
            seeds,
            seed: u64::from_ne_bytes(crate::system::random()?),
            program: Box::new(program),
            enroller: identity.enroller().map(|_| setting.directory.invitations()).transpose()?,
            limits: Limits::default(),
            confine: None,
        })?)
    }

    /// Tells the policy's thread that it is in a fleet.
    fn enter(&self, node: &Handle, keys: Option<TrustedKeys>, keys_now: &KeysNow) {
        let Some(governor) = &self.setting.governor else { return };
        let entrance = Entrance {
            keys,
            links_port: node.state().listen.port(),
            labels: self.setting.about.labels.clone(),
            done: self.done.clone(),
            keys_now: Arc::clone(keys_now),
        };
        // The policy's thread is gone when the agent stops.
        let _ = governor.send(Ask::Fleet(FromFleet::Enter(Box::new(entrance))));
    }

    fn announce(&self, identity: &Identity, node: &Handle) -> Option<Announcement> {
        if !self.setting.discover {
            return None;
        }
        let announced = hivewall_net::announce(identity.cluster(), identity.id(), node.state().listen.port());
        announced.inspect_err(|error| tracing::warn!(%error, "this host is not announced on the local network")).ok()
    }
}

/// What was written down before and the desk looks at itself.
struct Remembered {
    log: Log,
    policies: BTreeMap<String, hivewall_cluster::Policy>,
    bans: BTreeMap<(NodeId, u64), Ban>,
    last_number: u64,
}

impl Remembered {
    fn of(identity: &Identity, saved: &Saved) -> Self {
        let now_s = unix_ms() / 1000;
        let holding = saved.bans.iter().filter(|ban| ban.expires_unix_s > now_s);
        let bans: BTreeMap<(NodeId, u64), Ban> = holding.map(|ban| ((ban.issuer, ban.number), ban.clone())).collect();
        let own = bans.keys().filter(|(id, _)| *id == identity.id());
        Self {
            log: Log::of(identity.id(), saved.entries.clone()),
            policies: saved.policies.iter().map(|policy| (policy.head.name.clone(), policy.clone())).collect(),
            last_number: own.map(|(_, number)| *number).max().unwrap_or(0),
            bans,
        }
    }

    fn with(
        self,
        node: Handle,
        announced: Option<Announcement>,
        (identity, roster, keys): (Identity, Roster, KeysNow),
    ) -> Member {
        let now = Instant::now();
        Member {
            node,
            _announced: announced,
            identity,
            roster,
            keys,
            log: self.log,
            policies: self.policies,
            bans: self.bans,
            carried: Carried::default(),
            membership: Arc::default(),
            names: BTreeMap::new(),
            stands: Stands::default(),
            stood_since: now,
            everybody: Everybody::default(),
            asked_until: now,
            asked_next: now,
            watched_until: now + WATCHED_FOR,
            is_watching: false,
            far_links: BTreeMap::new(),
            links_next: now,
            is_confirming: false,
            alarms: Vec::new(),
            alarms_total: 0,
            next_view: now,
            last_number: self.last_number,
        }
    }
}
