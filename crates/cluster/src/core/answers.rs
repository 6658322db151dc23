//! Questions of this host, and what came of them.
//!
//! Invariant: each question ends: with its answer, or with the time after which none is waited for.

use rand::RngExt as _;

use super::{Core, SETTLE_MS, Tick, sums::Delivery};
use crate::event::Peer;
use crate::facts::{Fact, PolicyHead};
use crate::id::NodeId;
use crate::losses::Reason;
use crate::wire::{Join, Members, Pull, RECORDS_MAX, Request, Response, SumPut};

/// How long a seed may take, in milliseconds.
const JOIN_MS: u64 = 2000;
/// How long a piece of a document may take, in milliseconds.
const PIECE_MS: u64 = 3000;
/// How long records may take, in milliseconds.
const RECORDS_MS: u64 = 3000;

/// What an answer is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Join(Peer),
    Members(NodeId),
    Facts(NodeId),
    Piece(String),
    Delivery(Delivery),
    Total(u64),
}

impl Core {
    pub(super) fn ask_to_join(&mut self, seed: Peer, after: Option<NodeId>) {
        let own = self.records.get(&self.id).map(|record| record.1.clone());
        let request = Request::Join(Join { after, record: own.filter(|_| after.is_none()) });
        self.ask(seed, &request, Pending::Join(seed), JOIN_MS);
    }

    pub(super) fn ask_for_piece(&mut self, to: NodeId, head: PolicyHead, offset: u32) -> u64 {
        let pending = Pending::Piece(head.name.clone());
        self.ask(Peer::Node(to), &Request::Pull(Pull { head, offset }), pending, PIECE_MS)
    }

    pub(super) fn ask_put(&mut self, to: NodeId, put: SumPut, delivery: Delivery, timeout_ms: u64) {
        self.ask(Peer::Node(to), &Request::SumPut(put), Pending::Delivery(delivery), timeout_ms);
    }

    pub(super) fn ask_total(&mut self, to: NodeId, epoch: u64) {
        self.ask(Peer::Node(to), &Request::SumGet(epoch), Pending::Total(epoch), 1000);
    }

    pub(super) fn random_below(&mut self, below: u64) -> u64 {
        self.rng.random_range(0..below.max(1))
    }

    pub(super) fn answered(&mut self, token: u64, bytes: Option<&[u8]>) {
        let Some(pending) = self.pending.remove(&token) else {
            self.losses.count(Reason::Unasked);
            return;
        };
        let response = bytes.and_then(|bytes| match Response::decode(bytes) {
            Ok(response) => Some(response),
            Err(reason) => {
                self.losses.count(reason);
                None
            }
        });
        match (pending, response) {
            (Pending::Join(seed), response) => self.joined(seed, response),
            (Pending::Members(from), Some(Response::Members(members))) => self.members_came(from, &members),
            (Pending::Facts(from), Some(Response::Facts(facts))) => facts.into_iter().for_each(|fact| {
                self.learn(fact, Some(from));
            }),
            (Pending::Members(_) | Pending::Facts(_), _) => {}
            (Pending::Piece(name), response) => self.piece_came(&name, response),
            (Pending::Delivery(delivery), response) => self.delivered(delivery, response == Some(Response::Ack)),
            (Pending::Total(epoch), response) => self.total_came(epoch, response),
        }
    }

    /// A page of members, or a seed that does not answer.
    fn joined(&mut self, seed: Peer, response: Option<Response>) {
        let Some(Response::Members(page)) = response else {
            self.is_joining = false;
            if self.alive.len() == 1 {
                let wait = 100 + self.random_below(400);
                self.timers.put(self.now.ms + wait, Tick::Join);
            }
            return;
        };
        for record in &page.records {
            // Taken, but not told on: everybody else has them.
            if let Err(reason) = self.take_record(record) {
                self.losses.count(reason);
            }
        }
        self.swim.learn(self.now.ms, &page.states, false);
        if let Some(next) = page.next {
            self.ask_to_join(seed, Some(next));
            return;
        }
        self.is_joining = false;
        self.swim.gossip(self.now.ms);
        if let Some(own) = self.records.get(&self.id).map(|record| record.1.clone()) {
            self.tell_on(Fact::Member(own));
        }
        self.timers.put(self.now.ms + SETTLE_MS, Tick::Settle(3 * SETTLE_MS));
        // Policies, bans and the log come by the first digest, so that joining itself stays small.
        if let Peer::Node(seed) = seed {
            self.send_digest(seed, false);
        } else if let Some(state) = page.states.first() {
            self.send_digest(state.id, false);
        }
    }

    fn members_came(&mut self, from: NodeId, members: &Members) {
        self.swim.learn(self.now.ms, &members.states, true);
        let is_wanted = |state: &&crate::wire::NodeState| !state.down && state.revision > self.revision(state.id);
        let wanted: Vec<NodeId> =
            members.states.iter().filter(is_wanted).map(|state| state.id).take(RECORDS_MAX).collect();
        if !wanted.is_empty() {
            self.ask(Peer::Node(from), &Request::Records(wanted), Pending::Facts(from), RECORDS_MS);
        }
    }

    fn piece_came(&mut self, name: &str, response: Option<Response>) {
        let Some(fetch) = self.policies.fetch(name) else { return };
        match response {
            Some(Response::Data(data)) => match fetch.add(&data) {
                Ok(None) => self.fetch(name),
                Ok(Some(policy)) => {
                    self.policies.end_fetch(name);
                    self.take_policy(policy);
                }
                Err(reason) => {
                    // What came so far may be from somebody else: all of it is fetched again when it is next announced.
                    self.losses.count(reason);
                    self.policies.end_fetch(name);
                }
            },
            Some(Response::Busy(_)) => self.fetch_failed(name, true),
            _ => self.fetch_failed(name, false),
        }
    }
}
