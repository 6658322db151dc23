//! Invitations: a secret that lets a host join, for a while and so many times; and the book of those given out.
//!
//! Invariant: the secret is in the invitation's line and in the enroller's book, and never travels in between.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hivewall_cluster::{ADDRESSES_MAX, ClusterId, NodeId};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::error::TrustError;

/// Most invitations that are open at a time.
pub const INVITATIONS_MAX: usize = 1024;
/// Beginning of the line.
const PREFIX: &str = "hivewall-";
/// Longest line, in bytes.
const LINE_BYTES_MAX: usize = 1024;

/// What a newcomer is given.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Which one: not secret.
    pub id: [u8; 8],
    /// The secret.
    pub secret: [u8; 16],
    /// Public key of the root: whoever cannot be led back to it is not the cluster that invites.
    pub root: [u8; 32],
    /// Last second of the Unix epoch at which it is good.
    pub expires_unix_s: u64,
    /// Where enrollers are, best first.
    pub addresses: Vec<SocketAddr>,
}

impl Invitation {
    /// The cluster that invites.
    pub fn cluster(&self) -> ClusterId {
        ClusterId::of_key(&self.root)
    }

    /// Proves the secret for one connection: `exporter` is 32 bytes of key material that only its two ends have
    /// (RFC 5705), `public` the newcomer's key.
    pub fn proof(&self, exporter: &[u8; 32], public: &[u8; 32]) -> [u8; 32] {
        proof(&self.secret, self.id, exporter, public)
    }
}

fn proof(secret: &[u8; 16], id: [u8; 8], exporter: &[u8; 32], public: &[u8; 32]) -> [u8; 32] {
    let key = blake3::derive_key("hivewall 2026 invitation", secret);
    *blake3::keyed_hash(&key, &[id.as_slice(), exporter, public].concat()).as_bytes()
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = postcard::to_allocvec(self).unwrap_or_default();
        let sum = blake3::hash(&body);
        let sum = sum.as_bytes().first_chunk::<4>().copied().unwrap_or_default();
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode([body.as_slice(), &sum].concat()))
    }
}

/// Without the secret.
impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invitation({:02x?} of {:?})", self.id, self.cluster())
    }
}

impl FromStr for Invitation {
    type Err = TrustError;

    fn from_str(line: &str) -> Result<Self, TrustError> {
        let line = line.trim();
        let cut = TrustError::Unreadable { what: "whole invitation" };
        if line.len() > LINE_BYTES_MAX {
            return Err(TrustError::TooLong { what: "invitation", max: LINE_BYTES_MAX });
        }
        let text = line.strip_prefix(PREFIX).ok_or(TrustError::NoInvitation)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| cut.clone())?;
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or_else(|| cut.clone())?;
        if blake3::hash(body).as_bytes().first_chunk::<4>() != Some(sum) {
            return Err(cut);
        }
        let invitation: Self = postcard::from_bytes(body).map_err(|_| cut.clone())?;
        if invitation.addresses.len() > ADDRESSES_MAX { Err(cut) } else { Ok(invitation) }
    }
}

/// An invitation as its enroller keeps it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    secret: [u8; 16],
    /// When it was given out, in seconds of the Unix epoch.
    pub issued_unix_s: u64,
    /// Last second at which it is good.
    pub expires_unix_s: u64,
    /// How often it may still be used.
    pub uses_left: u32,
    /// Who used it, and when.
    pub used_by: Vec<(NodeId, u64)>,
    /// For people: whom it is for.
    pub note: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issued({} uses left)", self.uses_left)
    }
}

/// The enroller's book of invitations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationBook {
    issued: BTreeMap<[u8; 8], Issued>,
}

impl InvitationBook {
    /// Writes an invitation into the book. `random` are bytes that nobody can guess.
    pub fn issue(
        &mut self,
        random: [u8; 24],
        root: [u8; 32],
        addresses: Vec<SocketAddr>,
        (now_unix_s, life_s): (u64, u64),
        (uses, note): (u32, String),
    ) -> Result<Invitation, TrustError> {
        self.forget(now_unix_s);
        if self.issued.len() >= INVITATIONS_MAX {
            return Err(TrustError::InvitationsFull { max: INVITATIONS_MAX });
        }
        let mut id = [0; 8];
        let mut secret = [0; 16];
        id.iter_mut().chain(&mut secret).zip(random).for_each(|(to, byte)| *to = byte);
        let expires_unix_s = now_unix_s.saturating_add(life_s);
        let issued = Issued {
            secret,
            issued_unix_s: now_unix_s,
            expires_unix_s,
            uses_left: uses.max(1),
            used_by: Vec::new(),
            note,
        };
        self.issued.insert(id, issued);
        let addresses = addresses.into_iter().take(ADDRESSES_MAX).collect();
        Ok(Invitation { id, secret, root, expires_unix_s, addresses })
    }

    /// A newcomer shows a proof: if it holds, one use of the invitation is spent. The book has to be kept before the
    /// newcomer is answered.
    pub fn redeem(
        &mut self,
        id: &[u8; 8],
        shown: &[u8; 32],
        exporter: &[u8; 32],
        public: &[u8; 32],
        now_unix_s: u64,
    ) -> Result<(), TrustError> {
        let issued = self.issued.get_mut(id).ok_or(TrustError::InvitationUnknown)?;
        let wanted = proof(&issued.secret, *id, exporter, public);
        if !bool::from(wanted.ct_eq(shown)) {
            return Err(TrustError::InvitationProof);
        }
        if now_unix_s > issued.expires_unix_s {
            return Err(TrustError::InvitationEnded { seconds: now_unix_s - issued.expires_unix_s });
        }
        let newcomer = NodeId::of_key(public);
        // Its answer may have got lost: the same key may ask again.
        if issued.used_by.iter().any(|(id, _)| *id == newcomer) {
            return Ok(());
        }
        issued.uses_left = issued.uses_left.checked_sub(1).ok_or(TrustError::InvitationUsed)?;
        issued.used_by.push((newcomer, now_unix_s));
        Ok(())
    }

    /// Takes an invitation back; whether it was there.
    pub fn withdraw(&mut self, id: &[u8; 8]) -> bool {
        self.issued.remove(id).is_some()
    }

    /// Those given out, spent and ended ones of late too.
    pub fn list(&self) -> impl Iterator<Item = (&[u8; 8], &Issued)> {
        self.issued.iter()
    }

    /// Forgets those that ended a day ago.
    pub fn forget(&mut self, now_unix_s: u64) {
        self.issued.retain(|_, issued| issued.expires_unix_s.saturating_add(86_400) > now_unix_s);
    }

    /// As it is kept: a secret.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// Reads it back.
    pub fn decode(bytes: &[u8]) -> Result<Self, TrustError> {
        postcard::from_bytes(bytes).map_err(|_| TrustError::Unreadable { what: "book of invitations" })
    }
}
