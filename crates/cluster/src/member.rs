//! What a host says of itself: name, addresses, labels. Signed with the host's own key, newest revision wins.
//!
//! Whether the host is alive is not in here: that is what the others find out. Invariant: every list and text in a
//! record that is kept is within the limits at the top of this file.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::wire;

/// Longest name of a host, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Most addresses of a host.
pub const ADDRESSES_MAX: usize = 8;
/// Most labels of a host.
pub const LABELS_MAX: usize = 32;
/// Longest key or value of a label, in bytes.
pub const LABEL_BYTES_MAX: usize = 64;
/// Longest signature of anything, in bytes.
pub const SIGNATURE_BYTES_MAX: usize = 320;
/// Longest encoded record with its signature, in bytes, so that a record always fits a datagram.
pub const RECORD_BYTES_MAX: usize = 900;

/// A host as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Whose record this is.
    pub id: NodeId,
    /// Counts the host's changes to its record; the highest wins. Unix milliseconds of the change do well.
    pub revision: u64,
    /// Name for people.
    pub name: String,
    /// Where it can be reached, best first: advertised ones before those of its interfaces.
    pub addresses: Vec<SocketAddr>,
    /// Labels that policies select hosts by.
    pub labels: BTreeMap<String, String>,
    /// What it does for others.
    pub flags: Flags,
    /// Version of the agent, for people.
    pub agent: String,
    /// Highest protocol version it speaks.
    pub protocol: u8,
}

/// What a host does, or rather does not do, for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// Runs on a battery: leads a zone only where nobody else does.
    pub battery: bool,
    /// May issue certificates to hosts that bring an invitation.
    pub enroller: bool,
}

/// A record as it travels: the very bytes that were signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedMember {
    /// The encoded [`Member`].
    pub body: Vec<u8>,
    /// The host's signature over `body`.
    pub signature: Vec<u8>,
}

impl Member {
    /// The bytes to sign.
    pub fn encode(&self) -> Vec<u8> {
        wire::to_bytes(self)
    }

    /// Reads a record, which has to be within all limits.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let member: Self = wire::from_bytes(body)?;
        let labels_fit =
            member.labels.iter().all(|(key, value)| key.len() <= LABEL_BYTES_MAX && value.len() <= LABEL_BYTES_MAX);
        (labels_fit
            && member.name.len() <= NAME_BYTES_MAX
            && member.agent.len() <= NAME_BYTES_MAX
            && member.addresses.len() <= ADDRESSES_MAX
            && member.labels.len() <= LABELS_MAX)
            .then_some(member)
    }
}

impl SignedMember {
    /// Whether it is short enough to be looked at.
    pub fn fits(&self) -> bool {
        self.body.len() + self.signature.len() <= RECORD_BYTES_MAX && self.signature.len() <= SIGNATURE_BYTES_MAX
    }
}
