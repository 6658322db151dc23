//! The picture of a node, made from what its parts know.
//!
//! Invariant: members stand in the order of their names, each once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hivewall_cluster::NodeId;

use super::Driver;
use crate::state::{How, Life, LinkState, MemberState, NodeState, PolicyState};

impl Driver {
    /// Shows the present state.
    pub(super) fn publish(&mut self, failed: Option<Arc<str>>) {
        self.is_changed = false;
        let picture = Arc::new(self.picture(failed));
        self.parts.pictures.send_replace(picture);
    }

    fn picture(&mut self, failed: Option<Arc<str>>) -> NodeState {
        let members = self.members();
        let parts = &self.parts;
        let policies = parts.core.policies().filter_map(|head| {
            let policy = parts.core.policy(&head.name)?.clone();
            Some((head.name.clone(), PolicyState { policy, is_frozen: parts.core.is_frozen(&head.name) }))
        });
        let held = parts.pictures.borrow().total.clone();
        let total = parts
            .core
            .total()
            .map(|total| held.filter(|held| **held == *total).unwrap_or_else(|| Arc::new(total.clone())));
        NodeState {
            id: parts.core.id(),
            listen: parts.listen,
            members,
            policies: policies.collect(),
            bans: parts.core.bans().cloned().collect(),
            total,
            doubt: parts.core.doubt(),
            joined: self.is_joined,
            losses: parts.core.losses().clone(),
            link_losses: parts.counters.losses(),
            traffic: parts.counters.traffic(),
            sessions: parts.noise.sessions(),
            connections: parts.pool.open_connections(),
            certificate_ends_unix_s: parts.membership.ends_unix_s(),
            failed,
        }
    }

    fn members(&mut self) -> Vec<MemberState> {
        let now_us = self.now_us();
        let now_ms = crate::clock::unix_us() / 1000;
        let alive: BTreeSet<NodeId> = self.parts.core.alive().iter().copied().collect();
        let suspects: BTreeSet<NodeId> = self.parts.core.suspects().into_iter().collect();
        let mut lives = BTreeMap::new();
        for id in self.records.keys().chain(&alive).copied() {
            let before = self.lives.get(&id).copied();
            let life = match before {
                _ if suspects.contains(&id) => Life::Suspect,
                _ if alive.contains(&id) => Life::Alive,
                Some((Life::Left, _)) => Life::Left,
                _ => Life::Down,
            };
            let since = before.filter(|(held, _)| *held == life).map_or(now_ms, |(_, since)| since);
            lives.insert(id, (life, since));
        }
        let state = |(id, (life, since)): (&NodeId, &(Life, u64))| MemberState {
            id: *id,
            record: self.records.get(id).cloned(),
            life: *life,
            since_unix_ms: *since,
            link: self.link(*id, now_us),
        };
        let members = lives.iter().map(state).collect();
        self.lives = lives;
        members
    }

    fn link(&self, id: NodeId, now_us: u64) -> Option<LinkState> {
        let micros = |us: f64| Duration::from_micros(us as u64);
        if let Some(measured) = self.parts.noise.measured(id) {
            return Some(LinkState {
                remote: measured.remote,
                rtt: measured.rtt_us.map(micros),
                jitter: micros(measured.jitter_us),
                loss: measured.loss,
                heard: Some(Duration::from_micros(now_us.saturating_sub(measured.heard_us))),
                how: How::Noise,
            });
        }
        let (rtt, loss, remote) = self.parts.pool.measured(id)?;
        Some(LinkState { remote, rtt: Some(rtt), jitter: Duration::ZERO, loss, heard: None, how: How::Quic })
    }
}
