//! The two kinds of keys: a host's, and the root's. Both Ed25519.
//!
//! Invariant: a secret leaves this file only through `seed`, for whoever keeps it, and is wiped when it goes.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hivewall_cluster::{ClusterId, NodeId};
use zeroize::Zeroizing;

use crate::passport::Grant;

/// A host's key: its name, its certificate, its links and its signatures follow from it.
#[derive(Clone)]
pub struct HostKey(SigningKey);

impl HostKey {
    /// From 32 random bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// Those bytes: the secret itself.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The half that others know.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The host's name.
    pub fn id(&self) -> NodeId {
        NodeId::of_key(&self.public())
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// The same key for Diffie-Hellman (X25519). Signatures and key agreement over one pair are safe beside each other
    /// here: both sides of every agreement are members, and Noise binds it to its own transcript.
    pub fn noise_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_scalar_bytes())
    }
}

/// Somebody's public key for Diffie-Hellman, from that for signatures. `None`: the bytes are no key, or a weak one.
pub fn noise_public(public: &[u8; 32]) -> Option<[u8; 32]> {
    let key = VerifyingKey::from_bytes(public).ok().filter(|key| !key.is_weak())?;
    Some(key.to_montgomery().to_bytes())
}

/// Whether a signature is by this key.
pub(crate) fn is_signed(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(public) else { return false };
    Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
}

/// The root of a cluster: appoints enrollers and signs the charter, and is not needed from day to day.
#[derive(Clone)]
pub struct Root(HostKey);

impl Root {
    /// From 32 random bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(HostKey::from_seed(seed))
    }

    /// Those bytes: the secret itself.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        self.0.seed()
    }

    /// What every member knows of it.
    pub fn public(&self) -> [u8; 32] {
        self.0.public()
    }

    /// The name of the cluster.
    pub fn cluster(&self) -> ClusterId {
        ClusterId::of_key(&self.public())
    }

    pub(crate) fn key(&self) -> &HostKey {
        &self.0
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }

    /// The right of a host to admit others.
    pub(crate) fn grant(&self, enroller: [u8; 32], not_before: u64, not_after: u64) -> Grant {
        let mut grant = Grant { enroller, not_before, not_after, signature: Vec::new() };
        grant.signature = self.sign(&grant.message()).to_vec();
        grant
    }
}
