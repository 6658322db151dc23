//! Who is banned, by whom, why and until when; what the policy denies whatever it is; and the tables by which the kernel
//! knows both.
//!
//! Each change is a delta: what one prefix more or less means for the tables is worked out here and nothing else is
//! written, so that a ban costs the same beside a million others. The questions that packets ask are in
//! `hivewall_datapath::front`. Invariants: an address is refused by the tables exactly when a prefix of the set holds it,
//! and while a change is made, no address is let through that is banned before and after it; a full table refuses the new
//! entry, and nothing older goes.

mod attach;
mod deny;
mod entries;
mod kernel;
mod paint;
mod prefix;
mod store;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use hivewall_datapath::front::FrontFlags;
use hivewall_model::Timestamp;

use crate::ebpf::EbpfError;
pub use attach::{FrontError, FrontLink, FrontMode, attach, replace_pinned};
pub(crate) use attach::{attach_program, to_io};
pub use deny::Denied;
pub(crate) use entries::{Entries, copy};
pub use kernel::{KernelStore, MAPS};
use paint::Paint;
pub use prefix::Prefix;
pub use store::{BanStore, FrontCounts, List, MemoryStore};

/// Expiries that are out of date are dropped from the heap when there are this many more of them than bans.
const STALE_MAX: usize = 4096;

/// What can go wrong with a ban.
#[derive(Debug, thiserror::Error)]
pub enum BanError {
    /// No room. Nothing older was given up for it.
    #[error(
        "{prefix} was not entered: the table of {list} has its {max} entries; remove bans that are no longer needed, or \
         ban shorter prefixes that hold several of them"
    )]
    Full {
        /// What did not fit.
        prefix: Prefix,
        /// Which table.
        list: &'static str,
        /// Its size.
        max: u32,
    },
    /// The kernel did not take or give an entry.
    #[error("the kernel refused to {what} {prefix}: {source}; the set is as it was before")]
    Entry {
        /// What was tried.
        what: &'static str,
        /// With which prefix.
        prefix: Prefix,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The maps cannot be reached.
    #[error(transparent)]
    Maps(#[from] EbpfError),
}

/// Who banned something, and why. Shared by all prefixes of one order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Operator or detector.
    pub issuer: String,
    /// In words.
    pub reason: String,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// When it ends; never when `None`.
    pub until: Option<Timestamp>,
    /// Who and why.
    pub origin: Arc<Origin>,
}

/// What an order of many prefixes did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Prefixes that were not banned before.
    pub added: usize,
    /// Prefixes that were; expiry and origin are the new ones.
    pub renewed: usize,
    /// Prefixes that did not go in, each with its reason.
    pub refused: Vec<(Prefix, BanError)>,
}

/// The set and its tables.
pub struct Bans<S> {
    store: S,
    set: BTreeMap<Prefix, Ban>,
    paint: Paint,
    ends: BinaryHeap<Reverse<(Timestamp, Prefix)>>,
    exempt: BTreeSet<Prefix>,
    denied: BTreeMap<Prefix, u16>,
    observe: bool,
    /// [`Self::set_links_port`].
    links_port: u16,
}

impl<S: BanStore> Bans<S> {
    /// Over tables, with what is in them already (as after a restart of the agent): such bans have `origin` and no end
    /// until [`Bans::sync`] brings what was kept of them.
    pub fn open(store: S, origin: &Arc<Origin>) -> Result<Self, BanError> {
        // What holds others comes first: a single address must not be drawn over the network that holds it.
        let mut found = paint::read_back(&store)?;
        found.sort_unstable();
        let exempt = store.list(List::Exempt)?.into_iter().collect();
        let mut bans = Self {
            store,
            set: BTreeMap::new(),
            paint: Paint::default(),
            ends: BinaryHeap::new(),
            exempt,
            denied: BTreeMap::new(),
            observe: false,
            links_port: 0,
        };
        for prefix in found {
            // Drawn again, because an agent that was killed may have got only half way.
            bans.enter(prefix, Ban { until: None, origin: Arc::clone(origin) });
        }
        bans.read_denied()?;
        bans.write_flags();
        Ok(bans)
    }

    /// Bans a prefix, or renews its ban; returns the one it had.
    pub fn add(&mut self, prefix: Prefix, ban: Ban) -> Result<Option<Ban>, BanError> {
        if !self.set.contains_key(&prefix) {
            if let Some(list) = list_of(prefix) {
                self.store.insert(list, &[prefix]).map_err(|(_, error)| error)?;
            }
            self.enter(prefix, ban);
            self.write_flags();
            return Ok(None);
        }
        Ok(self.renew(prefix, ban))
    }

    /// Bans many prefixes for one reason. Much faster than one by one.
    pub fn add_all(&mut self, prefixes: impl IntoIterator<Item = Prefix>, ban: &Ban) -> Outcome {
        let mut outcome = Outcome::default();
        let mut new: Vec<Prefix> = Vec::new();
        for prefix in prefixes {
            if self.set.contains_key(&prefix) {
                self.renew(prefix, ban.clone());
                outcome.renewed += 1;
            } else {
                new.push(prefix);
            }
        }
        new.sort_unstable();
        new.dedup();
        for list in [None, Some(List::Hosts), Some(List::Nets)] {
            let batch: Vec<Prefix> = new.iter().copied().filter(|prefix| list_of(*prefix) == list).collect();
            let entered = match list {
                Some(list) => self.enter_list(list, &batch, &mut outcome),
                None => batch.len(),
            };
            for prefix in batch.into_iter().take(entered) {
                self.enter(prefix, ban.clone());
                outcome.added += 1;
            }
        }
        self.write_flags();
        outcome
    }

    /// How many of a list's prefixes went in; the others are refused.
    fn enter_list(&mut self, list: List, batch: &[Prefix], outcome: &mut Outcome) -> usize {
        let Err((done, error)) = self.store.insert(list, batch) else { return batch.len() };
        let mut left = batch.iter().copied().skip(done);
        outcome.refused.extend(left.next().map(|prefix| (prefix, error)));
        let max = list.max();
        outcome.refused.extend(left.map(|prefix| (prefix, BanError::Full { prefix, list: list.name(), max })));
        done
    }

    /// Lifts the ban of exactly this prefix; bans of prefixes that hold it or lie in it stay.
    pub fn remove(&mut self, prefix: Prefix) -> Result<Option<Ban>, BanError> {
        if !self.set.contains_key(&prefix) {
            return Ok(None);
        }
        if let Some(list) = list_of(prefix) {
            self.store.remove(list, prefix)?;
        }
        let ban = self.set.remove(&prefix);
        self.paint.erase(&mut self.store, &self.set, prefix);
        self.write_flags();
        Ok(ban)
    }

    /// Lifts many bans; returns how many there were, and what could not be lifted.
    pub fn remove_all(&mut self, prefixes: impl IntoIterator<Item = Prefix>) -> (usize, Vec<(Prefix, BanError)>) {
        let (mut removed, mut refused) = (0, Vec::new());
        for prefix in prefixes {
            match self.remove(prefix) {
                Ok(ban) => removed += usize::from(ban.is_some()),
                Err(error) => refused.push((prefix, error)),
            }
        }
        (removed, refused)
    }

    /// Lifts every ban whose time has come, and returns them.
    pub fn expire(&mut self, now: Timestamp) -> Result<Vec<(Prefix, Ban)>, BanError> {
        let mut ended = Vec::new();
        while let Some(Reverse((until, prefix))) = self.ends.peek().copied() {
            if until > now {
                break;
            }
            // A ban that was renewed or lifted meanwhile leaves its old end behind.
            if self.set.get(&prefix).is_some_and(|ban| ban.until == Some(until)) {
                ended.extend(self.remove(prefix)?.map(|ban| (prefix, ban)));
            }
            self.ends.pop();
        }
        Ok(ended)
    }

    /// When [`Bans::expire`] has something to do next, at the earliest.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.ends.peek().map(|Reverse((until, _))| *until)
    }

    /// Makes the set these bans and no others, by as few changes as that takes. What stays banned is banned all along.
    pub fn sync(&mut self, wanted: impl IntoIterator<Item = (Prefix, Ban)>) -> Outcome {
        let mut kept = std::collections::HashSet::new();
        let mut outcome = Outcome::default();
        let mut new: BTreeMap<usize, (Ban, Vec<Prefix>)> = BTreeMap::new();
        for (prefix, ban) in wanted {
            kept.insert(prefix);
            if self.set.contains_key(&prefix) {
                self.renew(prefix, ban);
                outcome.renewed += 1;
                continue;
            }
            match new.last_entry() {
                Some(mut last) if last.get().0 == ban => last.get_mut().1.push(prefix),
                _ => drop(new.insert(new.len(), (ban, vec![prefix]))),
            }
        }
        for (ban, prefixes) in new.into_values() {
            let more = self.add_all(prefixes, &ban);
            outcome.added += more.added;
            outcome.refused.extend(more.refused);
        }
        let gone: Vec<Prefix> = self.set.keys().copied().filter(|prefix| !kept.contains(prefix)).collect();
        outcome.refused.extend(self.remove_all(gone).1);
        outcome
    }

    /// Makes these the prefixes that are never refused at the front, and no others.
    pub fn set_exempt(&mut self, prefixes: impl IntoIterator<Item = Prefix>) -> Result<(), BanError> {
        let wanted: BTreeSet<Prefix> = prefixes.into_iter().collect();
        self.add_exempt(wanted.iter().copied())?;
        // From here on those that go can fail only by an error of the kernel, and then stay exempt.
        let gone: Vec<Prefix> = self.exempt.difference(&wanted).copied().collect();
        for prefix in gone {
            self.store.remove(List::Exempt, prefix)?;
            self.exempt.remove(&prefix);
        }
        self.write_flags();
        Ok(())
    }

    /// Adds to the prefixes that are never refused at the front: all of these, or none.
    pub fn add_exempt(&mut self, prefixes: impl IntoIterator<Item = Prefix>) -> Result<(), BanError> {
        let new: BTreeSet<Prefix> = prefixes.into_iter().filter(|prefix| !self.exempt.contains(prefix)).collect();
        let new: Vec<Prefix> = new.into_iter().collect();
        if let Err((done, error)) = self.store.insert(List::Exempt, &new) {
            for prefix in new.into_iter().take(done) {
                self.store.remove(List::Exempt, prefix)?;
            }
            return Err(error);
        }
        self.exempt.extend(new);
        self.write_flags();
        Ok(())
    }

    /// Whether the front only counts what it would drop.
    pub fn observe(&mut self, only: bool) {
        self.observe = only;
        self.write_flags();
    }

    /// The UDP port by which the agent talks to others: no deny set cuts it off at the front. 0 for none.
    pub fn set_links_port(&mut self, port: u16) {
        self.links_port = port;
        self.write_flags();
    }

    /// All bans that hold an address, the shortest prefix first.
    pub fn find(&self, address: IpAddr) -> Vec<(Prefix, &Ban)> {
        self.paint.holders(&self.set, address.into()).collect()
    }

    /// The ban of exactly this prefix.
    pub fn get(&self, prefix: Prefix) -> Option<&Ban> {
        self.set.get(&prefix)
    }

    /// All bans, IPv4 first, in order of addresses.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &Ban)> {
        self.set.iter().map(|(prefix, ban)| (*prefix, ban))
    }

    /// Number of bans.
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// What the front counted.
    pub fn counts(&self) -> FrontCounts {
        self.store.counts()
    }

    /// The tables.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The tables alone; what is in them stays.
    pub fn into_store(self) -> S {
        self.store
    }

    fn renew(&mut self, prefix: Prefix, ban: Ban) -> Option<Ban> {
        self.end_at(prefix, ban.until);
        self.set.insert(prefix, ban)
    }

    fn enter(&mut self, prefix: Prefix, ban: Ban) {
        self.end_at(prefix, ban.until);
        self.paint.note(prefix);
        self.paint.draw(&mut self.store, &self.set, prefix);
        self.set.insert(prefix, ban);
    }

    fn end_at(&mut self, prefix: Prefix, until: Option<Timestamp>) {
        if let Some(until) = until {
            self.ends.push(Reverse((until, prefix)));
        }
        if self.ends.len() > self.set.len() + STALE_MAX {
            let is_true = |end: &Reverse<(Timestamp, Prefix)>| {
                self.set.get(&end.0.1).is_some_and(|ban| ban.until == Some(end.0.0)) || end.0.1 == prefix
            };
            let all = std::mem::take(&mut self.ends).into_vec();
            self.ends = all.into_iter().filter(is_true).collect();
        }
    }

    fn write_flags(&mut self) {
        let mut flags = self.paint.flags();
        if !self.exempt.is_empty() {
            flags |= FrontFlags::EXEMPT;
        }
        if self.observe {
            flags |= FrontFlags::OBSERVE;
        }
        self.store.set_flags(flags | u64::from(self.links_port) << FrontFlags::LINKS_SHIFT);
    }
}

/// The list that a banned prefix is in, besides table or filter.
fn list_of(prefix: Prefix) -> Option<List> {
    match (prefix.is_host(), prefix.is_v6() || prefix.len() > 24) {
        (true, _) => Some(List::Hosts),
        (false, true) => Some(List::Nets),
        // The table says it all.
        (false, false) => None,
    }
}
