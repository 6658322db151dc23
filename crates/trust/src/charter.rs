//! The charter: what the root says of the whole cluster, in versions. Who was removed, and how far bans may go.
//!
//! It travels as a document of the core ([`CHARTER_NAME`]). Invariant: a charter that was read is within its limits.

use std::collections::{BTreeMap, BTreeSet};

use hivewall_cluster::{BanLimits, Claim, ClusterId, Hash, NodeId, Policy, PolicyHead};
use serde::{Deserialize, Serialize};

use crate::error::TrustError;
use crate::key::Root;

/// Name of the document.
pub const CHARTER_NAME: &str = "charter";
/// Longest name of a cluster, and reason for a removal, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Most hosts removed.
const REVOKED_MAX: usize = 65_536;
/// Longest encoded charter, in bytes.
const CHARTER_BYTES_MAX: usize = 8 << 20;
/// Shortest prefix that a ban may have where the charter does not say otherwise.
pub const BAN_PREFIX_V4_DEFAULT: u8 = 16;
/// The same for IPv6.
pub const BAN_PREFIX_V6_DEFAULT: u8 = 48;

/// A host that is no longer a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Since when, in seconds of the Unix epoch: what it signed before counts.
    pub since_unix_s: u64,
    /// Why, for people.
    pub why: String,
    /// Of an enroller: those whom it admitted and who stay. Nobody else whom it admitted is a member any more, since a
    /// stolen key can date papers back.
    pub keeps: BTreeSet<NodeId>,
}

/// What the root says of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charter {
    /// Which cluster.
    pub cluster: ClusterId,
    /// From 1; the highest holds.
    pub version: u64,
    /// Name of the cluster, for people.
    pub name: String,
    /// Hosts removed.
    pub revoked: BTreeMap<NodeId, Revoked>,
    /// Most bans of one host at a time.
    pub bans_per_host: u32,
    /// Longest life of a ban, in seconds.
    pub ban_life_s: u64,
    /// Shortest IPv4 prefix that a ban may have.
    pub ban_prefix_v4: u8,
    /// Shortest IPv6 prefix.
    pub ban_prefix_v6: u8,
}

impl Charter {
    /// The first of a cluster: nobody removed, and the usual limits.
    pub fn first(cluster: ClusterId, name: &str) -> Self {
        let bans = BanLimits::default();
        Self {
            cluster,
            version: 1,
            name: name.to_owned(),
            revoked: BTreeMap::new(),
            bans_per_host: u32::try_from(bans.per_issuer).unwrap_or(u32::MAX),
            ban_life_s: bans.life_s,
            ban_prefix_v4: BAN_PREFIX_V4_DEFAULT,
            ban_prefix_v6: BAN_PREFIX_V6_DEFAULT,
        }
    }

    /// The next one, which removes a host; `members` are those whom it may have admitted and who stay.
    #[must_use]
    pub fn without(&self, id: NodeId, since_unix_s: u64, why: &str, members: impl IntoIterator<Item = NodeId>) -> Self {
        let mut next = Self { version: self.version.saturating_add(1), ..self.clone() };
        let keeps = members.into_iter().filter(|member| *member != id).collect();
        next.revoked.insert(id, Revoked { since_unix_s, why: why.to_owned(), keeps });
        next
    }

    /// The limits of bans, as the core takes them.
    pub fn ban_limits(&self) -> BanLimits {
        BanLimits { per_issuer: self.bans_per_host as usize, life_s: self.ban_life_s, ..BanLimits::default() }
    }

    /// Reads a document's body.
    pub fn decode(body: &[u8]) -> Result<Self, TrustError> {
        if body.len() > CHARTER_BYTES_MAX {
            return Err(TrustError::TooLong { what: "charter", max: CHARTER_BYTES_MAX });
        }
        let charter: Self = postcard::from_bytes(body).map_err(|_| TrustError::Unreadable { what: "charter" })?;
        charter.check()?;
        Ok(charter)
    }

    fn check(&self) -> Result<(), TrustError> {
        let texts = self.revoked.values().map(|revoked| &revoked.why).chain([&self.name]);
        if texts.into_iter().any(|text| text.len() > NAME_BYTES_MAX) {
            return Err(TrustError::TooLong { what: "name of the cluster, or a reason,", max: NAME_BYTES_MAX });
        }
        if self.revoked.len() > REVOKED_MAX {
            return Err(TrustError::TooLong { what: "list of removed hosts", max: REVOKED_MAX });
        }
        Ok(())
    }
}

impl Root {
    /// Signs a charter of this cluster: a document for [`hivewall_cluster::Order::Publish`].
    pub fn sign_charter(&self, charter: &Charter) -> Result<Policy, TrustError> {
        charter.check()?;
        if charter.cluster != self.cluster() {
            return Err(TrustError::OtherKey);
        }
        let body = postcard::to_allocvec(charter).map_err(|_| TrustError::Unreadable { what: "charter" })?;
        if body.len() > CHARTER_BYTES_MAX {
            return Err(TrustError::TooLong { what: "charter", max: CHARTER_BYTES_MAX });
        }
        let head = PolicyHead { name: CHARTER_NAME.to_owned(), version: charter.version, hash: Hash::of(&body) };
        let signature = self.sign(&Claim::Policy(&head, &body).message()).to_vec();
        Ok(Policy { head, body, signature })
    }
}
