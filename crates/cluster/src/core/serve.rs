//! Questions of other hosts, answered from what is held. Nothing is remembered of who asked.
//!
//! Invariant: each question is answered at once and once, within the limits of [`Served`]; what is beyond them is told
//! to come again.

use super::Core;
use crate::digest::within;
use crate::event::Effect;
use crate::facts::Fact;
use crate::id::NodeId;
use crate::losses::Reason;
use crate::member::Member;
use crate::wire::{Join, Members, NodeState, Request, Response, STATES_MAX, STREAM_BYTES_MAX, bounded_facts};

/// Bytes of documents and of members given out in a quarter of a second.
const BYTES_MAX: usize = 4 << 20;
/// The window of that limit, in milliseconds.
const WINDOW_MS: u64 = 250;

/// What was given out lately.
#[derive(Debug, Default)]
pub(super) struct Served {
    since: u64,
    bytes: usize,
}

impl Served {
    fn has_room(&mut self, now: u64) -> bool {
        if now >= self.since + WINDOW_MS {
            *self = Self { since: now, bytes: 0 };
        }
        self.bytes < BYTES_MAX
    }
}

impl Core {
    pub(super) fn serve(&mut self, from: NodeId, token: u64, bytes: &[u8]) {
        let response = match Request::decode(bytes) {
            Ok(request) => self.answer(from, request),
            Err(reason) => {
                self.losses.count(reason);
                Response::Missing
            }
        };
        let bytes = response.encode();
        self.served.bytes += bytes.len();
        self.out.push(Effect::Respond { token, bytes });
    }

    fn answer(&mut self, from: NodeId, request: Request) -> Response {
        let is_large =
            matches!(request, Request::Join(_) | Request::Members(_) | Request::Records(_) | Request::Pull(_));
        if is_large && !self.served.has_room(self.now.ms) {
            self.losses.count(Reason::Busy);
            return Response::Busy(self.some(4));
        }
        match request {
            Request::Join(join) => self.take_up(from, join),
            Request::Members(parts) => {
                let states = self.states().filter(|state| within(state.id.prefix(), parts)).take(STATES_MAX).collect();
                Response::Members(Members { states, ..Members::default() })
            }
            Request::Records(ids) => {
                let record = |id| self.records.get(id).map(|record| Fact::Member(record.1.clone()));
                Response::Facts(bounded_facts(ids.iter().filter_map(record)))
            }
            Request::Bans(theirs) => {
                let parts = self.bans.digest().differs(&theirs);
                Response::Facts(bounded_facts(self.bans.within(parts).cloned().map(Fact::Ban)))
            }
            Request::Audit(chains) => {
                Response::Facts(bounded_facts(self.audit.after(&chains).cloned().map(Fact::Entry)))
            }
            Request::Pull(pull) => {
                self.policies.piece(&pull.head, pull.offset).map_or(Response::Missing, Response::Data)
            }
            Request::SumPut(put) => self.sum_put(from, put),
            Request::SumGet(epoch) => self.sums.held(epoch).map_or(Response::Missing, Response::Sum),
        }
    }

    /// Takes a host up and tells it whom this one knows, a page at a time.
    fn take_up(&mut self, from: NodeId, join: Join) -> Response {
        if let Some(record) = join.record {
            let is_own = Member::decode(&record.body).is_some_and(|member| member.id == from);
            if !is_own {
                self.losses.count(Reason::NotSender);
                return Response::Missing;
            }
            self.learn(Fact::Member(record), Some(from));
        }
        let mut states: Vec<NodeState> =
            self.states().filter(|state| !state.down && join.after.is_none_or(|after| state.id > after)).collect();
        states.sort_unstable_by_key(|state| state.id);
        let mut page = Members::default();
        let mut room = STREAM_BYTES_MAX - 1024;
        for state in states {
            let record = self.records.get(&state.id).map(|record| record.1.clone());
            let cost = 40 + record.as_ref().map_or(0, |record| record.body.len() + record.signature.len() + 8);
            if cost > room || page.states.len() >= STATES_MAX {
                page.next = page.states.last().map(|state| state.id);
                break;
            }
            room -= cost;
            page.states.push(state);
            page.records.extend(record);
        }
        Response::Members(page)
    }
}
