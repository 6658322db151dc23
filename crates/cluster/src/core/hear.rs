//! Datagrams: the membership protocol's, digests, announcements.
//!
//! Invariant: whatever a datagram says, the step it costs is bounded by its length.

use super::Core;
use crate::digest::some_of;
use crate::event::Peer;
use crate::id::NodeId;
use crate::wire::{Datagram, Holdings, Request};

use super::answers::Pending;

/// Parts of the digest of members that one exchange repairs.
const PARTS_MAX: u32 = 8;
/// How long an answer may take, in milliseconds.
const ANSWER_MS: u64 = 2000;

impl Core {
    pub(super) fn hear(&mut self, from: NodeId, bytes: &[u8]) {
        match Datagram::decode(bytes) {
            Ok(Datagram::Swim(bytes)) => {
                if let Err(reason) = self.swim.receive(self.now.ms, from, &bytes) {
                    self.losses.count(reason);
                }
            }
            Ok(Datagram::Digest(theirs)) => self.compare(from, &theirs),
            Ok(Datagram::Announce(facts)) => facts.into_iter().for_each(|fact| {
                self.learn(fact, Some(from));
            }),
            Err(reason) => self.losses.count(reason),
        }
    }

    /// Asks for what somebody has and this host lacks; who has it the other way is told so.
    fn compare(&mut self, from: NodeId, theirs: &Holdings) {
        let ours = self.holdings(true);
        let parts = ours.members.differs(&theirs.members);
        if parts != 0 {
            let start = self.random_below(64) as u32;
            self.ask_for_members(from, some_of(parts, PARTS_MAX, start));
        }
        if ours.bans != theirs.bans {
            let request = Request::Bans(self.bans.digest());
            self.ask(Peer::Node(from), &request, Pending::Facts(from), ANSWER_MS);
        }
        if ours.audit != theirs.audit {
            self.ask_for_audit(from);
        }
        for head in &theirs.policies {
            if !ours.policies.contains(head) {
                self.consider_policy(head, from);
            }
        }
        let is_same = parts == 0
            && ours.bans == theirs.bans
            && ours.audit == theirs.audit
            && ours.policies.iter().all(|head| theirs.policies.contains(head));
        if !is_same && !theirs.is_answer {
            self.send_digest(from, true);
        }
    }

    pub(super) fn ask_for_audit(&mut self, from: NodeId) {
        let is_asked = self.pending.values().any(|pending| *pending == Pending::Facts(from));
        if !is_asked {
            let request = Request::Audit(self.audit.heads());
            self.ask(Peer::Node(from), &request, Pending::Facts(from), ANSWER_MS);
        }
    }

    fn ask_for_members(&mut self, from: NodeId, parts: u64) {
        self.ask(Peer::Node(from), &Request::Members(parts), Pending::Members(from), ANSWER_MS);
    }
}
