//! What the program around a node does for it, and what it may say to it.
//!
//! Nothing here does anything. Invariant: all calls come from the node's own thread, one after the other, in the order
//! of the core's effects.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use hivewall_cluster::{Changed, Flags, NodeId, Persist};
use hivewall_trust::{Identity, InvitationBook};
use tokio::sync::oneshot;

/// The program.
pub trait Program: Send {
    /// Writes this down; it is durable when this returns. After an error the node ends: to go on would promise what a
    /// crash takes back.
    fn persist(&mut self, what: &Persist) -> io::Result<()>;

    /// The certificate was renewed: writes the identity down, durably. It is used from then on.
    fn keep_identity(&mut self, identity: &Identity) -> io::Result<()>;

    /// The enroller's invitations changed: writes them down, durably, before anybody is enrolled.
    fn keep_invitations(&mut self, book: &InvitationBook) -> io::Result<()>;

    /// Something happened that the program or its operator may want to know. Must not block.
    fn changed(&mut self, what: &Changed);

    /// A member asks. Must not block; the answer may be sent from any thread, and dropping it refuses.
    fn asked(&mut self, from: NodeId, question: Vec<u8>, answer: Answer);

    /// What a newcomer has to know of the program's own trust: the keys that policies are signed with, in whatever form
    /// the program reads them.
    fn keys(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

/// Where the answer to a question goes. Dropped: refused.
#[derive(Debug)]
pub struct Answer(pub(crate) oneshot::Sender<Option<Vec<u8>>>);

impl Answer {
    /// Answers, with at most [`crate::ANSWER_BYTES_MAX`] bytes. The asker may be gone; that is not told.
    pub fn send(self, bytes: Vec<u8>) {
        let bytes = (bytes.len() <= crate::ANSWER_BYTES_MAX).then_some(bytes);
        let _ = self.0.send(bytes);
    }
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The host is not known, or its address is not.
    #[error("the host is not known here, or not where it is: see `hivewall cluster members`")]
    Unknown,
    /// No address of the host answered, or the connection broke.
    #[error("the host could not be reached: see whether it runs, and whether UDP gets through to its addresses")]
    Unreachable,
    /// The host refused this one, or this one that: a certificate is over, revoked, or of another cluster.
    #[error("one of the two hosts does not accept the other's certificate: see `hivewall cluster status` on both")]
    NotTrusted,
    /// The host was reached and would not answer this.
    #[error("the host refused to answer: it may be of another version, or not permitted to do this")]
    Refused,
    /// No answer in time.
    #[error("the host did not answer in time: ask again, or allow it more")]
    Timeout,
    /// The question or its answer is longer than may be.
    #[error("question or answer is too long for one stream: ask for less")]
    TooLong,
    /// The node has ended.
    #[error("this host's part of the fleet has ended: start it again")]
    Ended,
}

/// What this host says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Name for people.
    pub name: String,
    /// Labels that policies select hosts by.
    pub labels: BTreeMap<String, String>,
    /// What it does for others.
    pub flags: Flags,
    /// Version of the agent, for people.
    pub agent: String,
    /// Where others are to look for it, best first. Empty: at the addresses of its interfaces.
    pub advertise: Vec<SocketAddr>,
}
