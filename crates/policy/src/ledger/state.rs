//! The state itself, how it is written down, and how an older copy is brought up to date from the trail.

use serde::{Deserialize, Serialize};

use super::Moment;
use super::trail::{Entry, RECENT_MAX, What};
use crate::sign::{Digest, TrustedKeys, Window};

/// Confirmed documents that are kept to go back to.
pub const KEPT_MAX: usize = 8;

/// A document that is kept, by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Its identity.
    pub digest: Digest,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// Whether trusted keys signed it.
    pub signed: bool,
    /// When it may be taken up.
    pub valid: Window,
}

/// A version and what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The version.
    pub version: u64,
    /// The document.
    pub digest: Digest,
}

/// By when a change has to be confirmed. By the time since the machine started, which nobody can set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The boot of the machine in which this counts.
    pub boot: String,
    /// Milliseconds since then.
    pub until_uptime_ms: u64,
}

impl Confirmation {
    pub(super) fn is_over(&self, now: &Moment) -> bool {
        self.boot != now.boot || now.uptime_ms >= self.until_uptime_ms
    }
}

/// A document that is being put in force, or waits for confirmation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Which.
    pub document: Held,
    /// By when it has to be confirmed; it is good as soon as it is in force when absent.
    pub confirm: Option<Confirmation>,
    /// Whether the caller said that it is in force.
    pub in_force: bool,
    /// How often the agent started while it was not in force yet.
    pub starts: u32,
}

/// The state.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    pub(super) keys: Option<TrustedKeys>,
    /// The highest document of keys.
    pub(super) keys_highest: Option<Mark>,
    pub(super) joined: bool,
    /// The highest document that was taken up by signature.
    pub(super) highest: Option<Mark>,
    /// The highest that was taken up without.
    pub(super) highest_unsigned: Option<Mark>,
    /// Confirmed documents, in the order in which they were taken up.
    pub(super) kept: Vec<Held>,
    /// The last good one, which is in `kept`.
    pub(super) good: Option<Digest>,
    pub(super) pending: Option<Pending>,
    /// The document whose expiry was told.
    pub(super) expiry_told: Option<Digest>,
    /// The last entries of the trail.
    pub(super) recent: Vec<Entry>,
}

impl Ledger {
    /// Whom this host trusts; nobody as long as it runs unsigned local policy.
    pub fn keys(&self) -> Option<&TrustedKeys> {
        self.keys.as_ref()
    }

    /// Whether the host is in a cluster.
    pub fn is_joined(&self) -> bool {
        self.joined
    }

    /// Whether unsigned text may be applied.
    pub fn takes_unsigned(&self) -> bool {
        self.keys.is_none() && !self.joined
    }

    /// The highest version that was ever taken up by signature.
    pub fn highest(&self) -> Option<Mark> {
        self.highest
    }

    /// The last good document: what is in force when nothing is pending.
    pub fn good(&self) -> Option<&Held> {
        let good = self.good?;
        self.kept.iter().find(|held| held.digest == good)
    }

    /// The change that is not settled.
    pub fn pending(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    /// What is, or is about to be, in force.
    pub fn in_force(&self) -> Option<&Held> {
        self.pending.as_ref().map(|pending| &pending.document).or_else(|| self.good())
    }

    /// Documents to go back to, oldest first.
    pub fn kept(&self) -> &[Held] {
        &self.kept
    }

    /// What a rollback without a version would bring back: the last good one while a change waits, else the one before it.
    pub fn previous(&self) -> Option<&Held> {
        if self.pending.is_some() { self.good() } else { self.earlier() }
    }

    /// The document before the last good one. Whether this host still takes it is for whoever goes back to it.
    pub(super) fn earlier(&self) -> Option<&Held> {
        let good = self.kept.iter().position(|held| Some(held.digest) == self.good)?;
        self.kept.get(good.checked_sub(1)?)
    }

    /// Who signed what is in force, by the ids of their keys; nobody for unsigned text, and where it was taken up too long ago to be
    /// told.
    pub fn signed_by(&self) -> &[String] {
        let Some(held) = self.in_force() else { return &[] };
        let taken_up = self.recent.iter().rev().find_map(|entry| match &entry.what {
            What::Accepted { document, by } if document.digest == held.digest => Some(by.as_slice()),
            _ => None,
        });
        taken_up.unwrap_or_default()
    }

    /// Whether what is in force is older than what was taken up last: after a revert or a rollback.
    pub fn is_rolled_back(&self) -> bool {
        let highest = self.highest.or(self.highest_unsigned);
        match (self.in_force(), highest) {
            (Some(held), Some(highest)) => held.signed == self.highest.is_some() && held.digest != highest.digest,
            _ => false,
        }
    }

    /// Every document that this state needs.
    pub fn documents(&self) -> impl Iterator<Item = Digest> + '_ {
        let pending = self.pending.iter().map(|pending| pending.document.digest);
        self.kept.iter().map(|held| held.digest).chain(pending)
    }

    /// The last entries of the trail, oldest first, at most [`RECENT_MAX`].
    pub fn recent(&self) -> &[Entry] {
        &self.recent
    }

    pub(super) fn held(&self, digest: Digest) -> Option<&Held> {
        self.kept.iter().find(|held| held.digest == digest)
    }

    /// Makes a document the last good one.
    pub(super) fn settle(&mut self, document: &Held) {
        self.pending = None;
        self.good = Some(document.digest);
        if self.held(document.digest).is_none() {
            self.kept.push(document.clone());
        }
        while self.kept.len() > KEPT_MAX {
            // The good one may be the oldest after a rollback: then the next goes.
            let oldest = self.kept.iter().position(|held| Some(held.digest) != self.good);
            self.kept.remove(oldest.unwrap_or_default());
        }
    }

    /// Raises the mark that this document counts for.
    pub(super) fn raise(&mut self, document: &Held) {
        let mark = if document.signed { &mut self.highest } else { &mut self.highest_unsigned };
        if mark.is_none_or(|mark| mark.version < document.version) {
            *mark = Some(Mark { version: document.version, digest: document.digest });
        }
    }

    /// Writes down what was done.
    pub(super) fn record(&mut self, now: &Moment, who: &str, what: What) {
        let entry = Entry::after(self.recent.last(), now.wall, who, what);
        self.append(entry);
    }

    fn append(&mut self, entry: Entry) {
        self.recent.push(entry);
        let surplus = self.recent.len().saturating_sub(RECENT_MAX);
        self.recent.drain(..surplus);
    }

    /// Brings an older copy of the state up to date with the entries that came after it, so that nothing that was
    /// refused since is taken up again. Returns how many there were. `entries` hold together ([`super::check_trail`]).
    pub fn recall(&mut self, entries: &[Entry]) -> usize {
        let last = self.recent.last().map_or(0, |entry| entry.number);
        let missed: Vec<_> = entries.iter().filter(|entry| entry.number > last).cloned().collect();
        let count = missed.len();
        for entry in missed {
            match &entry.what {
                What::Accepted { document, .. } => {
                    self.raise(document);
                    self.pending = Some(Pending::lost(document));
                }
                What::RollBack { document } => self.pending = Some(Pending::lost(document)),
                What::Good { document } => self.settle(document),
                What::Reverted { .. } => self.pending = None,
                What::Expired { document } => self.expiry_told = Some(document.digest),
                What::Keys { keys, document } => {
                    if let Some(digest) = *document {
                        self.keys_highest = Some(Mark { version: keys.version(), digest });
                    }
                    self.keys = Some(keys.clone());
                }
                What::Joined => self.joined = true,
            }
            self.append(entry);
        }
        count
    }
}

impl Pending {
    /// One of which the trail tells, and not by when it had to be confirmed: that is over.
    fn lost(document: &Held) -> Self {
        let confirm = Some(Confirmation { boot: String::new(), until_uptime_ms: 0 });
        Self { document: document.clone(), confirm, in_force: false, starts: 0 }
    }
}
