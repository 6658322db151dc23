//! Bans in force and withdrawals, until their time is over.
//!
//! Invariant: once a withdrawal is known the ban stays away, whatever comes later; no issuer has more bans than its
//! quota, and none lives longer than the limit.

use std::collections::BTreeMap;

use crate::digest::{Digest, within};
use crate::facts::Ban;
use crate::id::{NodeId, mix};
use crate::losses::Reason;

/// What bans are allowed. The signed policy grants it; the program passes it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanLimits {
    /// Most bans in force of one issuer, withdrawals counted.
    pub per_issuer: usize,
    /// Longest life, in seconds.
    pub life_s: u64,
    /// Most bans of all.
    pub total: usize,
}

impl Default for BanLimits {
    fn default() -> Self {
        Self { per_issuer: 256, life_s: 7 * 86_400, total: 65_536 }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    bans: BTreeMap<(NodeId, u64), Ban>,
}

fn key(ban: &Ban) -> u64 {
    mix(ban.issuer.prefix() ^ mix(ban.number))
}

impl Bans {
    /// Whether a ban could be taken, before its signature is looked at. `Ok(false)`: it is known.
    pub(crate) fn is_wanted(&self, ban: &Ban, limits: &BanLimits, now_s: u64) -> Result<bool, Reason> {
        let life = ban.expires_unix_s.saturating_sub(ban.issued_unix_s);
        if ban.expires_unix_s <= now_s || life > limits.life_s || ban.issued_unix_s > now_s + 300 {
            return Err(Reason::Expired);
        }
        if let Some(held) = self.bans.get(&(ban.issuer, ban.number)) {
            let is_news = ban.withdrawn && !held.withdrawn;
            let is_same = ban.withdrawn == held.withdrawn && ban.body != held.body;
            return if is_same { Err(Reason::Conflict) } else { Ok(is_news) };
        }
        let of_issuer = self.bans.range((ban.issuer, 0)..=(ban.issuer, u64::MAX)).count();
        if of_issuer >= limits.per_issuer {
            return Err(Reason::Quota);
        }
        if self.bans.len() >= limits.total {
            return Err(Reason::Full);
        }
        Ok(true)
    }

    /// Takes it. Whether a ban that was in force ends by it.
    pub(crate) fn take(&mut self, ban: Ban) -> bool {
        let before = self.bans.insert((ban.issuer, ban.number), ban);
        before.is_some_and(|ban| !ban.withdrawn)
    }

    /// Forgets those whose time is over; which of them were in force.
    pub(crate) fn expire(&mut self, now_s: u64) -> Vec<(NodeId, u64)> {
        let over: Vec<(NodeId, u64)> =
            self.bans.iter().filter(|(_, ban)| ban.expires_unix_s <= now_s).map(|(key, _)| *key).collect();
        let gone = over.into_iter().filter_map(|key| self.bans.remove(&key));
        gone.filter(|ban| !ban.withdrawn).map(|ban| (ban.issuer, ban.number)).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Ban> {
        self.bans.values()
    }

    pub(crate) fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        self.bans.values().for_each(|ban| digest.add(key(ban), u64::from(ban.withdrawn)));
        digest
    }

    /// Those in the parts of the digest.
    pub(crate) fn within(&self, parts: u64) -> impl Iterator<Item = &Ban> {
        self.bans.values().filter(move |ban| within(key(ban), parts))
    }
}
