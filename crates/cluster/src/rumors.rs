//! Facts that are being told around: to many at once when they are new, to a few more a little later.
//!
//! Whoever missed all of it is repaired by digests. Invariant: each host tells a fact a fixed number of times, so what
//! a fact costs in all does not depend on how it spreads.

use crate::facts::Fact;
use crate::timers::Timers;
use crate::wire::{DATAGRAM_BYTES_MAX, Datagram, FACTS_MAX, fact_bytes};

/// How long a fact waits to be told, and told again, in milliseconds, and to how many it is told then (0: the fan-out of
/// a fleet of this size).
const ROUNDS: [(u64, usize); 3] = [(10, 0), (1000, 3), (3000, 3)];
/// Facts gathered before they are told, in milliseconds.
const GATHERED_MS: u64 = 20;
/// Most datagrams of one telling to one host.
const DATAGRAMS_MAX: usize = 8;
/// Most facts waiting to be told.
const WAITING_MAX: usize = 8192;

/// What is being told.
#[derive(Debug, Default)]
pub(crate) struct Rumors {
    waiting: Timers<(Fact, usize)>,
    number: usize,
    /// What was too much for one telling waits until then.
    rests_until: u64,
}

/// One telling: to how many hosts, and what.
pub(crate) struct Telling {
    pub(crate) hosts: usize,
    pub(crate) datagrams: Vec<Vec<u8>>,
}

/// To how many hosts a new fact is told in a fleet of so many.
pub(crate) fn fan_out(hosts: usize) -> usize {
    (hosts.max(1) as f64).ln().ceil() as usize + 3
}

impl Rumors {
    /// Begins to tell a fact. Whether there was room.
    pub(crate) fn tell(&mut self, now: u64, fact: Fact) -> bool {
        if self.number >= WAITING_MAX {
            return false;
        }
        self.put(now, fact, 0);
        true
    }

    fn put(&mut self, now: u64, fact: Fact, round: usize) {
        if let Some((after, _)) = ROUNDS.get(round) {
            // Rounded up, so that facts which come one after another go together.
            self.waiting.put((now + after).div_ceil(GATHERED_MS) * GATHERED_MS, (fact, round));
            self.number += 1;
        }
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.waiting.first().map(|at| at.max(self.rests_until))
    }

    /// What is to be told now.
    pub(crate) fn due(&mut self, now: u64, hosts: usize) -> Vec<Telling> {
        if now < self.rests_until {
            return Vec::new();
        }
        self.rests_until = now + GATHERED_MS;
        let mut by_round: [Vec<Fact>; ROUNDS.len()] = Default::default();
        let mut room = DATAGRAMS_MAX * DATAGRAM_BYTES_MAX / 2;
        while room > 0 {
            let Some((fact, round)) = self.waiting.pop(now) else { break };
            self.number -= 1;
            room = room.saturating_sub(fact_bytes(&fact));
            self.put(now, fact.clone(), round + 1);
            if let Some(facts) = by_round.get_mut(round) {
                facts.push(fact);
            }
        }
        let told = by_round.into_iter().zip(ROUNDS).filter(|(facts, _)| !facts.is_empty());
        let hosts_of = |to| if to == 0 { fan_out(hosts) } else { to };
        told.map(|(facts, (_, to))| Telling { hosts: hosts_of(to), datagrams: pack(facts) }).collect()
    }
}

/// Puts facts into as few datagrams as they need.
pub(crate) fn pack(facts: Vec<Fact>) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    let (mut batch, mut room) = (Vec::new(), DATAGRAM_BYTES_MAX - 8);
    for fact in facts {
        let cost = fact_bytes(&fact);
        if !batch.is_empty() && (cost > room || batch.len() >= FACTS_MAX) {
            datagrams.push(Datagram::Announce(std::mem::take(&mut batch)).encode());
            room = DATAGRAM_BYTES_MAX - 8;
        }
        room = room.saturating_sub(cost);
        batch.push(fact);
    }
    if !batch.is_empty() {
        datagrams.push(Datagram::Announce(batch).encode());
    }
    datagrams
}
