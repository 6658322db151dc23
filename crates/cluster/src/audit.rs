//! The audit log: for each author a chain of entries, each naming the hash of the one before.
//!
//! Invariant: an entry is taken only after the one before it, so that a chain that is held has no holes and ends in a
//! hash that vouches for all of it.

use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::facts::Entry;
use crate::id::{Hash, NodeId};
use crate::losses::Reason;
use crate::wire::Chain;

/// Most entries of all chains together.
pub(crate) const ENTRIES_MAX: usize = 65_536;

/// All chains.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    chains: BTreeMap<NodeId, Vec<Entry>>,
    entries: usize,
}

/// What an entry is to this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// The next one.
    Next,
    /// Held already.
    Known,
    /// Some before it are missing.
    Gap,
    /// Another one with its number is held.
    Fork,
}

impl Audit {
    pub(crate) fn fit(&self, entry: &Entry) -> Result<Fit, Reason> {
        let chain = self.chains.get(&entry.author).map(Vec::as_slice).unwrap_or_default();
        let before = chain.last().map_or(Hash([0; 32]), Entry::hash);
        let number = entry.number as usize;
        if let Some(held) = number.checked_sub(1).and_then(|at| chain.get(at)) {
            return Ok(if held.hash() == entry.hash() { Fit::Known } else { Fit::Fork });
        }
        if number > chain.len() + 1 {
            return Ok(Fit::Gap);
        }
        if entry.before != before {
            return Ok(Fit::Fork);
        }
        if self.entries >= ENTRIES_MAX { Err(Reason::Full) } else { Ok(Fit::Next) }
    }

    /// Takes the next entry of a chain.
    pub(crate) fn take(&mut self, entry: Entry) {
        self.entries += 1;
        self.chains.entry(entry.author).or_default().push(entry);
    }

    pub(crate) fn heads(&self) -> Vec<Chain> {
        let head = |(author, chain): (&NodeId, &Vec<Entry>)| {
            let last = chain.last()?;
            Some(Chain { author: *author, number: last.number, hash: last.hash() })
        };
        self.chains.iter().filter_map(head).collect()
    }

    pub(crate) fn digest(&self) -> u64 {
        let mut digest = Digest::default();
        self.heads().iter().for_each(|head| digest.add(head.author.prefix(), head.hash.short()));
        digest.sum()
    }

    /// Entries that come after what somebody holds, in order.
    pub(crate) fn after<'a>(&'a self, held: &'a [Chain]) -> impl Iterator<Item = &'a Entry> {
        self.chains.iter().flat_map(move |(author, chain)| {
            let from = held.iter().find(|head| head.author == *author).map_or(0, |head| head.number as usize);
            chain.get(from..).unwrap_or_default()
        })
    }

    pub(crate) fn chain(&self, author: NodeId) -> &[Entry] {
        self.chains.get(&author).map(Vec::as_slice).unwrap_or_default()
    }
}
