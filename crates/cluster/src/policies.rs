//! Policies held, and what is still to be fetched of them.
//!
//! The newest validly signed version of a name wins. Invariant: what is held of a name never gets older, and two
//! documents with one version never replace one another.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::facts::{POLICY_BYTES_MAX, Policy, PolicyHead};
use crate::id::NodeId;
use crate::losses::Reason;
use crate::wire::{CHUNK_BYTES_MAX, Data, from_bytes, to_bytes};

/// Most names of policies.
pub(crate) const POLICIES_MAX: usize = 16;
/// Most hosts remembered to have a document that is wanted.
const SOURCES_MAX: usize = 16;

/// What is held under a name.
#[derive(Debug)]
struct Slot {
    policy: Arc<Policy>,
    /// The policy as it travels.
    encoded: Arc<Vec<u8>>,
    /// Another document with the same version.
    rival: Option<PolicyHead>,
}

/// A document on its way here.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) head: PolicyHead,
    sources: Vec<NodeId>,
    got: Vec<u8>,
    /// The question that is not answered yet.
    pub(crate) token: Option<u64>,
    /// How often a source failed.
    failures: u32,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    slots: BTreeMap<String, Slot>,
    fetches: BTreeMap<String, Fetch>,
}

/// What a head means to this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// It is held, or known to be a rival.
    None,
    /// It is newer, or a rival to be looked at.
    Wanted,
    /// It is older than what is held.
    Older,
}

/// What came of a whole document whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is held now.
    New,
    /// Nothing new.
    Known,
    /// It is a rival of this one.
    Rival(PolicyHead),
}

impl Policies {
    pub(crate) fn heads(&self) -> impl Iterator<Item = &PolicyHead> {
        self.slots.values().map(|slot| &slot.policy.head)
    }

    pub(crate) fn get(&self, name: &str) -> Option<(&Arc<Policy>, Option<&PolicyHead>)> {
        self.slots.get(name).map(|slot| (&slot.policy, slot.rival.as_ref()))
    }

    pub(crate) fn interest(&self, head: &PolicyHead) -> Interest {
        match self.slots.get(&head.name) {
            None if self.slots.len() >= POLICIES_MAX => Interest::None,
            None => Interest::Wanted,
            Some(slot) => {
                let held = &slot.policy.head;
                if head.version < held.version {
                    Interest::Older
                } else if head.version > held.version || head.hash != held.hash && slot.rival.is_none() {
                    Interest::Wanted
                } else {
                    Interest::None
                }
            }
        }
    }

    /// Takes a document whose signature holds.
    pub(crate) fn take(&mut self, policy: Policy) -> Result<Taken, Reason> {
        match self.interest(&policy.head) {
            Interest::Older => return Err(Reason::Rollback),
            Interest::None if self.slots.contains_key(&policy.head.name) => return Ok(Taken::Known),
            Interest::None => return Err(Reason::Full),
            Interest::Wanted => {}
        }
        if let Some(slot) = self.slots.get_mut(&policy.head.name)
            && slot.policy.head.version == policy.head.version
        {
            slot.rival = Some(policy.head);
            return Ok(Taken::Rival(slot.policy.head.clone()));
        }
        let encoded = Arc::new(to_bytes(&policy));
        let name = policy.head.name.clone();
        self.slots.insert(name, Slot { policy: Arc::new(policy), encoded, rival: None });
        Ok(Taken::New)
    }

    /// A piece of a document that is held.
    pub(crate) fn piece(&self, head: &PolicyHead, offset: u32) -> Option<Data> {
        let slot = self.slots.get(&head.name).filter(|slot| slot.policy.head == *head)?;
        let rest = slot.encoded.get(offset as usize..)?;
        let bytes = rest.get(..rest.len().min(CHUNK_BYTES_MAX))?.to_vec();
        Some(Data { total: slot.encoded.len() as u32, offset, bytes })
    }

    /// Somebody has a document that is wanted. Whether it is wanted more than what is being fetched.
    pub(crate) fn want(&mut self, head: &PolicyHead, source: NodeId) -> bool {
        if let Some(fetch) = self.fetches.get_mut(&head.name) {
            if fetch.head == *head {
                if fetch.sources.len() < SOURCES_MAX && !fetch.sources.contains(&source) {
                    fetch.sources.push(source);
                }
                return fetch.token.is_none();
            }
            // What is being fetched goes on unless it is older. A head is a mere claim: when its sender has no such
            // document, the fetch ends and the next announcement begins another.
            if fetch.head.version >= head.version {
                return false;
            }
        } else if self.fetches.len() >= POLICIES_MAX {
            return false;
        }
        let fetch = Fetch { head: head.clone(), sources: vec![source], got: Vec::new(), token: None, failures: 0 };
        self.fetches.insert(head.name.clone(), fetch);
        true
    }

    pub(crate) fn fetch(&mut self, name: &str) -> Option<&mut Fetch> {
        self.fetches.get_mut(name)
    }

    pub(crate) fn end_fetch(&mut self, name: &str) {
        self.fetches.remove(name);
    }
}

impl Fetch {
    /// Whom to ask next, and for what.
    pub(crate) fn question(&self) -> Option<(NodeId, u32)> {
        let at = self.failures as usize % self.sources.len().max(1);
        Some((*self.sources.get(at)?, self.got.len() as u32))
    }

    /// The source did not answer, or was busy. Whether to go on.
    pub(crate) fn failed(&mut self, is_busy: bool) -> bool {
        self.token = None;
        if !is_busy && self.sources.len() > 1 {
            let at = self.failures as usize % self.sources.len();
            self.sources.remove(at);
        }
        self.failures += 1;
        self.failures < 32
    }

    /// Adds a piece. The document, when it is whole; an error when it is not the one that was announced.
    pub(crate) fn add(&mut self, data: &Data) -> Result<Option<Policy>, Reason> {
        self.token = None;
        let total = data.total as usize;
        if data.offset as usize != self.got.len() || data.bytes.is_empty() || total > POLICY_BYTES_MAX + 8192 {
            return Err(Reason::WrongBody);
        }
        self.got.extend_from_slice(&data.bytes);
        if self.got.len() < total {
            return Ok(None);
        }
        let policy: Policy = from_bytes(&self.got).ok_or(Reason::WrongBody)?;
        if policy.head != self.head || !policy.is_whole() {
            return Err(Reason::WrongBody);
        }
        Ok(Some(policy))
    }
}
