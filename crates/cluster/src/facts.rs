//! Signed facts that spread to every host: policies, bans, entries of the audit log, records of hosts.
//!
//! The core passes their bodies on and never reads them; what a signature is worth, the program says through
//! [`Verifier`]. Invariant: nothing is kept, passed on or shown before its signature held.

use serde::{Deserialize, Serialize};

use crate::id::{Hash, NodeId};
use crate::member::{SIGNATURE_BYTES_MAX, SignedMember};

/// Longest name of a policy, in bytes.
pub const POLICY_NAME_BYTES_MAX: usize = 64;
/// Longest body of a policy, in bytes.
pub const POLICY_BYTES_MAX: usize = 8 << 20;
/// Longest body of a ban, in bytes.
pub const BAN_BYTES_MAX: usize = 512;
/// Longest body of an entry of the audit log, in bytes.
pub const ENTRY_BYTES_MAX: usize = 640;

/// What a signature is said to be over.
#[derive(Clone, Copy, Debug)]
pub enum Claim<'a> {
    /// A host's record, which only the host itself may sign.
    Member(NodeId, &'a [u8]),
    /// A policy and its body, which has the hash that the head names. A program whose documents carry their own signatures
    /// looks for them there.
    Policy(&'a PolicyHead, &'a [u8]),
    /// A ban or its withdrawal, by its issuer; a program may let operators withdraw anybody's.
    Ban(&'a Ban),
    /// An entry of the audit log, by its author.
    Entry(&'a Entry),
}

impl Claim<'_> {
    /// The bytes that are signed. No claim of one kind has the bytes of another.
    pub fn message(&self) -> Vec<u8> {
        let hash = match self {
            Self::Member(id, body) => Hash::of_parts(&[b"member", &id.0, body]),
            Self::Policy(head, _) => {
                Hash::of_parts(&[b"policy", head.name.as_bytes(), &head.version.to_le_bytes(), &head.hash.0])
            }
            Self::Ban(ban) => Hash::of_parts(&[
                b"ban",
                &ban.issuer.0,
                &ban.number.to_le_bytes(),
                &ban.issued_unix_s.to_le_bytes(),
                &ban.expires_unix_s.to_le_bytes(),
                &[u8::from(ban.withdrawn)],
                &ban.body,
            ]),
            Self::Entry(entry) => return entry.hash().0.to_vec(),
        };
        hash.0.to_vec()
    }
}

/// Says whether signatures hold. The program implements it over its certificates and trusted keys.
pub trait Verifier: Send {
    /// Whether `signature` over [`Claim::message`] is by somebody who may make the claim, as things stand now.
    fn holds(&self, claim: &Claim<'_>, signature: &[u8]) -> bool;
}

/// Which policy: what is announced before the body travels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PolicyHead {
    /// Name of the document. Versions of different names have nothing to do with one another.
    pub name: String,
    /// Version, from 1. The highest validly signed one wins.
    pub version: u64,
    /// Hash of the body.
    pub hash: Hash,
}

/// A policy with its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Which one.
    pub head: PolicyHead,
    /// The document, opaque.
    pub body: Vec<u8>,
    /// Signatures, in whatever form the program reads them.
    pub signature: Vec<u8>,
}

/// A ban, or its withdrawal. Issuer and number name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Who issued it.
    pub issuer: NodeId,
    /// The issuer's own number for it.
    pub number: u64,
    /// When it was issued, in seconds since the Unix epoch.
    pub issued_unix_s: u64,
    /// When it ends. A withdrawal keeps this time, and is forgotten with it: the ban could not come back then anyway.
    pub expires_unix_s: u64,
    /// Whether this withdraws it. A withdrawal wins whenever it comes.
    pub withdrawn: bool,
    /// What is banned and why, opaque. Empty in a withdrawal.
    pub body: Vec<u8>,
    /// The issuer's signature.
    pub signature: Vec<u8>,
}

/// An entry of the audit log. Each author has a chain of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose chain.
    pub author: NodeId,
    /// Place in the chain, from 1.
    pub number: u64,
    /// Hash of the entry before; zeros at the beginning.
    pub before: Hash,
    /// When it was written, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Who did what, opaque.
    pub body: Vec<u8>,
    /// The author's signature.
    pub signature: Vec<u8>,
}

impl Entry {
    /// What the next entry names, and what is signed.
    pub fn hash(&self) -> Hash {
        Hash::of_parts(&[
            b"entry",
            &self.author.0,
            &self.number.to_le_bytes(),
            &self.before.0,
            &self.unix_ms.to_le_bytes(),
            &self.body,
        ])
    }
}

/// A fact that is passed on whole, or, for a policy, by its head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// There is this policy; its body is to be pulled.
    Policy(PolicyHead),
    /// A host's record.
    Member(SignedMember),
    /// A ban or a withdrawal.
    Ban(Ban),
    /// An entry of the audit log.
    Entry(Entry),
}

impl Fact {
    /// Whether it is within all limits.
    pub(crate) fn fits(&self) -> bool {
        match self {
            Self::Policy(head) => head.fits(),
            Self::Member(record) => record.fits(),
            Self::Ban(ban) => ban.body.len() <= BAN_BYTES_MAX && ban.signature.len() <= SIGNATURE_BYTES_MAX,
            Self::Entry(entry) => {
                entry.body.len() <= ENTRY_BYTES_MAX && entry.signature.len() <= SIGNATURE_BYTES_MAX && entry.number > 0
            }
        }
    }
}

impl PolicyHead {
    pub(crate) fn fits(&self) -> bool {
        !self.name.is_empty() && self.name.len() <= POLICY_NAME_BYTES_MAX && self.version > 0
    }
}

impl Policy {
    /// Whether it is within all limits and its body is the one that the head names.
    pub(crate) fn is_whole(&self) -> bool {
        self.head.fits()
            && self.body.len() <= POLICY_BYTES_MAX
            && self.signature.len() <= 16 * SIGNATURE_BYTES_MAX
            && Hash::of(&self.body) == self.head.hash
    }
}
