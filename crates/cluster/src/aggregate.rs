//! Summaries on their way from hosts to a total of the fleet: what a leader holds of a zone, and what it makes of it.
//!
//! Who leads and when something is sent stands beside the core. Invariant: of each host or zone one summary is held for
//! an epoch, the one with the most hosts in it, and parts that are added have no host in common; so nothing counts twice,
//! however often it is sent.

use std::collections::BTreeMap;

use hivewall_sketch::Summary;
use serde::{Deserialize, Serialize};

use crate::event::Stand;
use crate::facts::PolicyHead;
use crate::id::NodeId;
use crate::wire::{Part, Total, from_bytes, to_bytes};
use crate::zones::Zone;

/// Length of an epoch, in milliseconds.
pub const EPOCH_MS: u64 = 10_000;
/// Epochs held at once: the one that ends, the one before, and one that a fast clock is ahead.
const EPOCHS_MAX: usize = 4;
/// Policies told of in a total.
const STANDINGS_MAX: usize = 16;
/// Hosts named that refused a policy.
const EXAMPLES_MAX: usize = 8;
/// Longest reason for refusing a policy, in bytes.
const REASON_BYTES_MAX: usize = 120;

/// How the hosts of a total stand to a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Which policy.
    pub head: PolicyHead,
    /// Hosts that have it and do not say more yet.
    pub have: u32,
    /// Hosts that enforce it.
    pub enforced: u32,
    /// Hosts that refused it.
    pub refused: u32,
    /// Some of those that refused it, and why.
    pub examples: Vec<(NodeId, String)>,
}

/// A total of the fleet, as one of its hosts holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetTotal {
    /// Unix seconds divided by ten.
    pub epoch: u64,
    /// Hosts whose summaries are in it.
    pub heard: u32,
    /// Hosts that were known to be alive when it was made.
    pub known: u32,
    /// What they saw. Its own methods say how far each figure may be off.
    pub summary: Summary,
    /// How they stand to policies.
    pub standings: Vec<Standing>,
}

impl FleetTotal {
    /// How old it is, in milliseconds after the end of its epoch.
    pub fn age_ms(&self, unix_ms: u64) -> u64 {
        unix_ms.saturating_sub((self.epoch + 1) * EPOCH_MS)
    }

    /// Share of the known hosts that is in it.
    pub fn coverage(&self) -> f64 {
        f64::from(self.heard) / f64::from(self.known.max(1))
    }
}

/// What travels: a summary and how hosts stand to policies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Payload {
    pub(crate) summary: Vec<u8>,
    pub(crate) standings: Vec<Standing>,
}

impl Payload {
    /// One host's own.
    pub(crate) fn own(id: NodeId, summary: Vec<u8>, stands: &BTreeMap<PolicyHead, Stand>) -> Self {
        let standing = |(head, stand): (&PolicyHead, &Stand)| {
            let mut one = Standing { head: head.clone(), have: 0, enforced: 0, refused: 0, examples: Vec::new() };
            match stand {
                Stand::Have => one.have = 1,
                Stand::Enforced => one.enforced = 1,
                Stand::Refused(why) => {
                    one.refused = 1;
                    one.examples.push((id, why.chars().take(REASON_BYTES_MAX / 4).collect()));
                }
            }
            one
        };
        Self { summary, standings: stands.iter().map(standing).take(STANDINGS_MAX).collect() }
    }

    /// Reads one, which has to be within all limits.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Summary, Vec<Standing>)> {
        let payload: Self = from_bytes(bytes)?;
        let examples_fit = |one: &Standing| {
            one.examples.len() <= EXAMPLES_MAX && one.examples.iter().all(|(_, why)| why.len() <= REASON_BYTES_MAX)
        };
        let fits = payload.standings.len() <= STANDINGS_MAX && payload.standings.iter().all(examples_fit);
        let summary = Summary::decode(&payload.summary).ok()?;
        fits.then_some((summary, payload.standings))
    }
}

/// Adds what some hosts say of policies to what others say.
fn add_standings(sum: &mut BTreeMap<PolicyHead, Standing>, more: Vec<Standing>) {
    for one in more {
        if let Some(held) = sum.get_mut(&one.head) {
            held.have = held.have.saturating_add(one.have);
            held.enforced = held.enforced.saturating_add(one.enforced);
            held.refused = held.refused.saturating_add(one.refused);
            held.examples.extend(one.examples);
            held.examples.sort_unstable();
            held.examples.truncate(EXAMPLES_MAX);
        } else {
            sum.insert(one.head.clone(), one);
        }
    }
}

/// The best that is held of a part.
#[derive(Clone, Debug)]
pub(crate) struct Best {
    pub(crate) heard: u32,
    pub(crate) body: Vec<u8>,
}

/// What a leader holds of its zone in an epoch.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) parts: BTreeMap<Part, Best>,
    /// Hosts in what was last passed on.
    pub(crate) passed_on: u32,
    /// Whether a time to pass on is set.
    pub(crate) is_due: bool,
}

impl Held {
    pub(crate) fn heard(&self) -> u32 {
        self.parts.values().fold(0, |sum, best| sum.saturating_add(best.heard))
    }

    /// Adds everything up; parts that cannot be read are left out, and how many hosts that costs is said.
    pub(crate) fn merge(&self) -> (u32, u32, Payload, Summary, Vec<Standing>) {
        let (mut heard, mut unread) = (0_u32, 0_u32);
        let (mut sum, mut standings) = (Summary::default(), BTreeMap::new());
        for best in self.parts.values() {
            let Some((summary, more)) = Payload::decode(&best.body) else {
                unread += 1;
                continue;
            };
            heard = heard.saturating_add(best.heard);
            sum.merge(&summary);
            add_standings(&mut standings, more);
        }
        let standings: Vec<Standing> = standings.into_values().rev().take(STANDINGS_MAX).collect();
        let payload = Payload { summary: sum.encode(), standings: standings.clone() };
        (heard, unread, payload, sum, standings)
    }
}

/// All summaries that this host holds or sends.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) epochs: BTreeMap<u64, BTreeMap<Zone, Held>>,
    pub(crate) outgoing: BTreeMap<u64, Outgoing>,
    pub(crate) next_outgoing: u64,
    pub(crate) is_watched: bool,
    /// Totals made here, as they travel.
    made: BTreeMap<u64, Total>,
    total: Option<FleetTotal>,
}

/// A summary that is on its way to the leaders of a zone.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) put: crate::wire::SumPut,
    pub(crate) ranks: Vec<NodeId>,
    pub(crate) next: usize,
    pub(crate) taken: u32,
}

impl Sums {
    pub(crate) fn total(&self) -> Option<&FleetTotal> {
        self.total.as_ref()
    }

    /// The total made here for an epoch.
    pub(crate) fn held(&self, epoch: u64) -> Option<Total> {
        self.made.get(&epoch).cloned()
    }

    pub(crate) fn keep_made(&mut self, total: Total) {
        self.made.insert(total.epoch, total);
        while self.made.len() > EPOCHS_MAX {
            self.made.pop_first();
        }
    }

    /// Keeps a total to be shown. Whether it is better than what was shown before.
    pub(crate) fn keep_total(&mut self, total: FleetTotal) -> bool {
        let is_better = self.total.as_ref().is_none_or(|held| (held.epoch, held.heard) < (total.epoch, total.heard));
        if is_better {
            self.total = Some(total);
        }
        is_better
    }

    /// What is held of a zone in an epoch.
    pub(crate) fn zone(&mut self, epoch: u64, zone: Zone) -> &mut Held {
        while self.epochs.len() >= EPOCHS_MAX && !self.epochs.contains_key(&epoch) {
            self.epochs.pop_first();
        }
        self.epochs.entry(epoch).or_default().entry(zone).or_default()
    }

    /// The bytes of a payload.
    pub(crate) fn encode(payload: &Payload) -> Vec<u8> {
        to_bytes(payload)
    }
}
