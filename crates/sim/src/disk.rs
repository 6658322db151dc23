//! What a host wrote down: all that survives a crash.
//!
//! Invariant: what is read at the next start is what the core ordered to be written, no more.

use std::collections::BTreeMap;
use std::sync::Arc;

use hivewall_cluster::{Ban, Entry, Member, NodeId, Persist, Policy, Saved, SignedMember};

/// A host's disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    generation: u32,
    members: BTreeMap<NodeId, Arc<(Member, SignedMember)>>,
    policies: BTreeMap<String, Policy>,
    bans: BTreeMap<(NodeId, u64), Ban>,
    entries: Vec<Entry>,
}

impl Disk {
    pub(crate) fn write(&mut self, what: Persist) {
        match what {
            Persist::Generation(generation) => self.generation = generation,
            Persist::Policy(policy) => {
                self.policies.insert(policy.head.name.clone(), policy);
            }
            Persist::Ban(ban) => {
                self.bans.insert((ban.issuer, ban.number), ban);
            }
            Persist::Entry(entry) => self.entries.push(entry),
            Persist::Member(record) => {
                if let Some(member) = Member::decode(&record.body) {
                    self.members.insert(member.id, Arc::new((member, record)));
                }
            }
        }
    }

    pub(crate) fn read(&self) -> Saved {
        Saved {
            generation: self.generation,
            members: self.members.values().map(|record| (0, record.clone())).collect(),
            policies: self.policies.values().cloned().collect(),
            bans: self.bans.values().cloned().collect(),
            entries: self.entries.clone(),
        }
    }
}
