//! The compact proof of membership, which travels with whatever a host signs: this key belongs to the cluster, says an
//! enroller; this one may say so, says the root.
//!
//! Invariant: a passport counts only with the root's key in hand; it names its subject by the whole public key.

use hivewall_cluster::{Hash, NodeId};
use serde::{Deserialize, Serialize};

use crate::error::TrustError;
use crate::identity::Identity;
use crate::key::is_signed;

/// How long a passport and a certificate are valid, in seconds: 90 days. They are renewed at a third of it.
pub const PASSPORT_LIFE_S: u64 = 90 * 86_400;
/// How far clocks may be apart, in seconds, for what has just been issued.
pub const SKEW_S: u64 = 300;
/// Longest encoded passport with a signature by its subject, in bytes.
const SEALED_BYTES_MAX: usize = 320;

/// The right to admit hosts, by the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Whose, by public key.
    pub enroller: [u8; 32],
    /// First second of the Unix epoch at which it is valid.
    pub not_before: u64,
    /// Last one.
    pub not_after: u64,
    /// By the root.
    pub signature: Vec<u8>,
}

impl Grant {
    pub(crate) fn message(&self) -> [u8; 32] {
        Hash::of_parts(&[b"grant", &self.enroller, &self.not_before.to_le_bytes(), &self.not_after.to_le_bytes()]).0
    }
}

/// A host's proof that it belongs to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passport {
    /// Whose, by public key.
    pub public: [u8; 32],
    /// First second of the Unix epoch at which it is valid.
    pub not_before: u64,
    /// Last one.
    pub not_after: u64,
    /// The right of whoever issued it.
    pub grant: Grant,
    /// By the enroller of the grant.
    pub signature: Vec<u8>,
}

impl Passport {
    pub(crate) fn message(&self) -> [u8; 32] {
        let times = [self.not_before.to_le_bytes(), self.not_after.to_le_bytes()].concat();
        Hash::of_parts(&[b"passport", &self.public, &times, &self.grant.message()]).0
    }

    /// The host's name.
    pub fn id(&self) -> NodeId {
        NodeId::of_key(&self.public)
    }

    /// Who issued it.
    pub fn enroller(&self) -> NodeId {
        NodeId::of_key(&self.grant.enroller)
    }

    /// Whether its subject may admit hosts itself.
    pub fn is_enroller(&self) -> bool {
        self.public == self.grant.enroller
    }

    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// Reads one; nothing is proved by that.
    pub fn decode(bytes: &[u8]) -> Result<Self, TrustError> {
        postcard::from_bytes(bytes).map_err(|_| TrustError::Unreadable { what: "passport" })
    }

    /// Whether both signatures lead to this root, and it was valid at this second.
    pub(crate) fn check(&self, root: &[u8; 32], at_unix_s: u64) -> Result<(), TrustError> {
        if !is_signed(root, &self.grant.message(), &self.grant.signature) {
            return Err(TrustError::Signature { what: "enroller's grant" });
        }
        if !is_signed(&self.grant.enroller, &self.message(), &self.signature) {
            return Err(TrustError::Signature { what: "passport" });
        }
        let id = self.id();
        // The grant bounds when passports may begin; those issued under it live on.
        let begins_within = self.grant.not_before <= self.not_before && self.not_before <= self.grant.not_after;
        if !begins_within {
            return Err(TrustError::Signature { what: "passport, which its enroller had no right to issue then," });
        }
        if at_unix_s.saturating_add(SKEW_S) < self.not_before {
            return Err(TrustError::NotYet { id, seconds: self.not_before - at_unix_s });
        }
        if at_unix_s > self.not_after {
            return Err(TrustError::Ended { id, seconds: at_unix_s - self.not_after });
        }
        Ok(())
    }
}

/// A signature with the proof of who signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub(crate) passport: Passport,
    pub(crate) signature: Vec<u8>,
}

impl Seal {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, TrustError> {
        if bytes.len() > SEALED_BYTES_MAX {
            return Err(TrustError::TooLong { what: "signature", max: SEALED_BYTES_MAX });
        }
        postcard::from_bytes(bytes).map_err(|_| TrustError::Unreadable { what: "signature" })
    }
}

/// Signs the message of a claim ([`hivewall_cluster::Claim::message`]) as this host: what goes into the `signature` of
/// records, bans and entries.
pub fn seal(identity: &Identity, message: &[u8]) -> Vec<u8> {
    let seal = Seal { passport: identity.passport().clone(), signature: identity.key().sign(message).to_vec() };
    postcard::to_allocvec(&seal).unwrap_or_default()
}
