//! Names of things in a fleet: hosts, clusters, documents, time. No keys and no signatures: those are the program's.
//!
//! Invariant: a [`NodeId`] is never chosen, it follows from a public key, so that who holds the key is who has the name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A host, by the hash of its public key. Links prove it before they hand anything to the core.
///
/// Sixteen bytes: half of what every datagram carries is names. To answer for somebody else's name takes 2^128 tries;
/// that two keys of one attacker may share a name after 2^64 gains nothing, since both are the attacker's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub [u8; 16]);

impl NodeId {
    /// The name that belongs to a public key.
    pub fn of_key(public_key: &[u8]) -> Self {
        Self(half(blake3::hash(public_key).as_bytes()))
    }

    /// The first eight bytes as a number: what zones and buckets are cut from.
    pub fn prefix(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A cluster, by the hash of its offline root key. The core never sends it: links refuse strangers before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub [u8; 16]);

impl ClusterId {
    /// The name that belongs to a root key.
    pub fn of_key(root_key: &[u8]) -> Self {
        Self(half(blake3::hash(root_key).as_bytes()))
    }
}

/// BLAKE3 of a document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The hash of several parts, each with its length, so that no two lists of parts look alike.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// The first eight bytes as a number.
    pub fn short(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.short())
    }
}

fn half(hash: &[u8; 32]) -> [u8; 16] {
    let mut out = [0; 16];
    out.iter_mut().zip(hash).for_each(|(out, byte)| *out = *byte);
    out
}

/// Both clocks of the host at a step. The core has none of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never goes back and counts while the host sleeps, if it has one.
    pub ms: u64,
    /// Milliseconds since the Unix epoch. May be wrong, and may jump; only epochs and expiries use it.
    pub unix_ms: u64,
}

impl Now {
    /// Seconds since the Unix epoch.
    pub fn unix_s(self) -> u64 {
        self.unix_ms / 1000
    }
}

/// Mixes a number so that each bit of the result depends on all of it (the finalizer of MurmurHash3).
pub(crate) fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}
