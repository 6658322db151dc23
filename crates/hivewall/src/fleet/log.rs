//! The audit log: who changed what, in this host's own chain, and what others wrote in theirs.
//!
//! Invariant: entries of this host follow one another without a gap, also before the core has taken the last.

use std::collections::BTreeMap;

use hivewall_api::PageOf;
use hivewall_cluster::{Claim, Entry, Hash, NodeId};
use hivewall_policy::document::Reaction;
use hivewall_trust::{Identity, seal};
use hivewall_view::fleet::AuditEntryView;
use serde::{Deserialize, Serialize};

use super::view::{hex, time};

/// Entries that are kept in memory, the latest.
const KEPT_MAX: usize = 10_000;
/// Longest part of an entry, in bytes: all three fit an entry.
const PART_BYTES_MAX: usize = 180;

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) actor: String,
    pub(super) what: String,
    pub(super) detail: String,
}

/// Words for [`Said::what`].
pub(super) const APPLIED: &str = "policy-applied";
pub(super) const CONFIRMED: &str = "policy-confirmed";
pub(super) const ROLLED_BACK: &str = "policy-rolled-back";
pub(super) const UNBANNED: &str = "unban";
pub(super) const INVITED: &str = "invited";
pub(super) const WITHDRAWN: &str = "invitation-withdrawn";
pub(super) const REMOVED: &str = "removed";
pub(super) const LEFT: &str = "left";

/// That somebody is held back.
pub(super) fn began(reaction: Reaction) -> &'static str {
    if reaction == Reaction::Limit { "limit" } else { "ban" }
}

/// And no longer.
pub(super) fn ended(reaction: Reaction) -> &'static str {
    if reaction == Reaction::Limit { "unlimit" } else { UNBANNED }
}

/// All of it that this host holds.
pub(super) struct Log {
    entries: BTreeMap<(u64, NodeId, u64), Entry>,
    /// Number and hash of the last entry of this host's own chain.
    own: (u64, Hash),
}

impl Log {
    /// What was written down before.
    pub(super) fn of(own: NodeId, entries: Vec<Entry>) -> Self {
        let mut log = Self { entries: BTreeMap::new(), own: (0, Hash([0; 32])) };
        entries.into_iter().for_each(|entry| log.take(own, entry));
        log
    }

    pub(super) fn take(&mut self, own: NodeId, entry: Entry) {
        if entry.author == own && entry.number > self.own.0 {
            self.own = (entry.number, entry.hash());
        }
        self.entries.insert((entry.unix_ms, entry.author, entry.number), entry);
        while self.entries.len() > KEPT_MAX {
            self.entries.pop_first();
        }
    }

    /// The next entry of this host's chain, signed.
    pub(super) fn write(&mut self, identity: &Identity, unix_ms: u64, said: &Said) -> Entry {
        let cut = |text: &str| {
            let mut text = text.to_owned();
            let end = (0..=PART_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
            text
        };
        let said = Said { actor: cut(&said.actor), what: cut(&said.what), detail: cut(&said.detail) };
        let mut entry = Entry {
            author: identity.id(),
            number: self.own.0 + 1,
            before: self.own.1,
            unix_ms,
            body: postcard::to_allocvec(&said).unwrap_or_default(),
            signature: Vec::new(),
        };
        entry.signature = seal(identity, &Claim::Entry(&entry).message());
        self.own = (entry.number, entry.hash());
        entry
    }

    /// Whether somebody confirmed this version of the policy for the fleet.
    pub(super) fn is_confirmed(&self, version: u64) -> bool {
        let wanted = version.to_string();
        self.entries.values().rev().filter_map(said_in).any(|said| said.what == CONFIRMED && said.detail == wanted)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// So many, the latest first, after so many.
    pub(super) fn views(
        &self,
        PageOf { limit, offset }: PageOf,
        name_of: impl Fn(NodeId) -> String,
    ) -> Vec<AuditEntryView> {
        let view = |entry: &Entry| {
            let said = said_in(entry).unwrap_or(Said {
                actor: String::new(),
                what: "unreadable".to_owned(),
                detail: "an entry of a newer version".to_owned(),
            });
            AuditEntryView {
                time: time(entry.unix_ms),
                author_id: entry.author.to_string(),
                author: name_of(entry.author),
                number: entry.number,
                actor: said.actor,
                what: said.what,
                detail: said.detail,
                hash: hex(&entry.hash().0),
            }
        };
        self.entries.values().rev().skip(offset).take(limit).map(view).collect()
    }
}

fn said_in(entry: &Entry) -> Option<Said> {
    postcard::from_bytes(&entry.body).ok()
}
