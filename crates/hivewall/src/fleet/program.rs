//! What the links' thread asks of the agent: to keep things, to say whether policies are signed, and to pass on what happens.
//!
//! Invariant: nothing here waits for another thread.

use std::io;
use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

use hivewall_cluster::{Changed, Claim, NodeId, Persist, Verifier};
use hivewall_net::{Answer, Program};
use hivewall_policy::sign::{Kind, Signed};
use hivewall_trust::{Identity, InvitationBook, Roster};
use tokio::sync::mpsc::UnboundedSender;

use super::disk::{Directory, Facts};
use super::{KEYS, POLICY};
use crate::policy::governor::KeysNow;

/// What happened, for the desk.
pub(super) enum Told {
    /// It is durable.
    Kept(Persist),
    /// The core noticed.
    Changed(Changed),
    /// A member asks.
    Asked(NodeId, Vec<u8>, Answer),
    /// The papers were renewed.
    Renewed(Box<Identity>),
}

/// Keeps, and passes on.
pub(super) struct Keeper {
    pub(super) directory: Directory,
    pub(super) facts: Facts,
    pub(super) told: UnboundedSender<Told>,
    pub(super) keys: KeysNow,
}

impl Keeper {
    fn tell(&self, told: Told) {
        // The desk is gone when the agent stops.
        let _ = self.told.send(told);
    }
}

impl Program for Keeper {
    fn persist(&mut self, what: &Persist) -> io::Result<()> {
        self.facts.persist(what)?;
        self.tell(Told::Kept(what.clone()));
        Ok(())
    }

    fn keep_identity(&mut self, identity: &Identity) -> io::Result<()> {
        self.directory.keep_identity(identity)?;
        self.tell(Told::Renewed(Box::new(identity.clone())));
        Ok(())
    }

    fn keep_invitations(&mut self, book: &InvitationBook) -> io::Result<()> {
        self.directory.keep_invitations(book)
    }

    fn changed(&mut self, what: &Changed) {
        self.tell(Told::Changed(what.clone()));
    }

    fn asked(&mut self, from: NodeId, question: Vec<u8>, answer: Answer) {
        self.tell(Told::Asked(from, question, answer));
    }

    fn keys(&mut self) -> Vec<u8> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.as_ref().and_then(|keys| serde_json::to_vec(keys).ok()).unwrap_or_default()
    }
}

/// Says whether signatures hold: policies and keys by the ledger's keys, the rest by the roster.
pub(super) struct Judge {
    pub(super) roster: Roster,
    pub(super) keys: KeysNow,
}

impl Judge {
    /// The signatures of a policy stand in its text; its version has to be the one that spreads.
    fn is_signed(&self, version: u64, body: &[u8], kind: Kind) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let (Some(keys), Ok(signed)) = (keys.as_ref(), Signed::parse(body)) else { return false };
        keys.verify(signed).is_ok_and(|verified| {
            let header = verified.header();
            header.kind == kind && header.version == version
        })
    }
}

impl Verifier for Judge {
    fn holds(&self, claim: &Claim<'_>, signature: &[u8]) -> bool {
        match claim {
            Claim::Policy(head, body) if head.name == POLICY => self.is_signed(head.version, body, Kind::Policy),
            Claim::Policy(head, body) if head.name == KEYS => self.is_signed(head.version, body, Kind::Keys),
            _ => self.roster.holds(claim, signature, unix_ms() / 1000),
        }
    }
}

/// Milliseconds since the Unix epoch, by this host's clock.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
