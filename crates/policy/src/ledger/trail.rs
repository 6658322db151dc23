//! Who changed what, as a chain: each entry carries the hash of the one before, so that none can be altered or taken out
//! of the middle unseen. (Whoever owns the machine can write a new chain; a copy elsewhere shows that.)
//!
//! Entries also say enough to bring an older state up to date ([`super::Ledger::recall`]). Invariant: numbers are
//! consecutive, and an entry's hash covers everything else in it.

use hivewall_model::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Held;
use crate::sign::{Digest, KeyId, TrustedKeys};

/// Entries that the state itself carries; a file beside it has all.
pub const RECENT_MAX: usize = 64;
/// Longest name of who did something; the rest is cut off.
pub const WHO_BYTES_MAX: usize = 256;

/// Why a change was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Somebody asked for it.
    Asked,
    /// Nobody confirmed in time.
    NotConfirmed,
    /// The machine started anew before anybody confirmed.
    Restarted,
    /// It could not be enforced.
    Failed,
    /// The agent ended twice while it was put in force.
    Interrupted,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what", deny_unknown_fields)]
pub enum What {
    /// A document was taken up; from now on no lower version is.
    Accepted {
        /// Which.
        document: Held,
        /// Who signed; nobody for unsigned text.
        by: Vec<String>,
    },
    /// An earlier document is to be in force again.
    RollBack {
        /// Which.
        document: Held,
    },
    /// A document was confirmed, or needed no confirmation: it is the last good one.
    Good {
        /// Which.
        document: Held,
    },
    /// A document was taken back before it was good.
    Reverted {
        /// Which.
        document: Held,
        /// Why.
        cause: Cause,
    },
    /// A document in force has expired, and stays in force.
    Expired {
        /// Which.
        document: Held,
    },
    /// Whom this host trusts.
    Keys {
        /// The keys.
        keys: TrustedKeys,
        /// The document that says so; absent when they were trusted by hand.
        document: Option<Digest>,
    },
    /// The host joined a cluster.
    Joined,
}

impl What {
    pub(super) fn accepted(document: &Held, by: &[KeyId]) -> Self {
        Self::Accepted { document: document.clone(), by: by.iter().map(KeyId::to_string).collect() }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Number, from 1.
    pub number: u64,
    /// When, by the host's clock, in seconds since 1970.
    pub unix_time: i64,
    /// Who.
    pub who: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
    /// Hash of the entry before; absent in the first.
    pub previous: Option<Digest>,
    /// Hash of all of the above.
    pub hash: Digest,
}

impl Entry {
    /// The entry after `last`.
    pub(super) fn after(last: Option<&Self>, now: Timestamp, who: &str, what: What) -> Self {
        let mut end = who.len().min(WHO_BYTES_MAX);
        while !who.is_char_boundary(end) {
            end -= 1;
        }
        let mut entry = Self {
            number: last.map_or(1, |last| last.number.saturating_add(1)),
            unix_time: now.secs(),
            who: who.split_at(end).0.to_owned(),
            what,
            previous: last.map(|last| last.hash),
            hash: Digest::of(b""),
        };
        entry.hash = entry.digest();
        entry
    }

    /// The hash it should have.
    fn digest(&self) -> Digest {
        let what = serde_json::to_string(&self.what).unwrap_or_default();
        let previous = self.previous.map(|hash| hash.to_string()).unwrap_or_default();
        let text = serde_json::json!([self.number, self.unix_time, self.who, what, previous]);
        Digest::of(text.to_string().as_bytes())
    }
}

/// Where a trail does not hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("entry {number} of the trail was altered, or one before it taken out; what comes before it is sound")]
pub struct TrailError {
    /// The first entry that does not fit.
    pub number: u64,
}

/// Whether these consecutive entries hold together.
pub fn check_trail(entries: &[Entry]) -> Result<(), TrailError> {
    let mut last: Option<&Entry> = None;
    for entry in entries {
        let follows = last.is_none_or(|last| entry.number == last.number + 1 && entry.previous == Some(last.hash));
        if !follows || entry.hash != entry.digest() {
            return Err(TrailError { number: entry.number });
        }
        last = Some(entry);
    }
    Ok(())
}
