//! Zones of the fleet and who leads them: arithmetic on names alone, so that all hosts that know the same members agree.
//!
//! A zone is a prefix of names. Zones at the bottom have about 16 hosts; each belongs to the zone four bits shorter, up
//! to the whole fleet. Invariant: a zone has one zone above it, so what is in a total went there on one way only.

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, mix};

/// Hosts that a zone at the bottom is meant to have.
const ZONE_HOSTS: usize = 16;
/// Bits between a zone and the one above it.
const STEP_BITS: u8 = 4;
/// Longest prefix, in bits.
pub(crate) const DEPTH_MAX: u8 = 32;
/// How long a leader leads, in epochs: a minute.
const TERM_EPOCHS: u64 = 6;

/// All hosts whose names begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Zone {
    /// Number of bits.
    pub depth: u8,
    /// The bits, at the top of the word; the rest is zero.
    pub prefix: u64,
}

impl Zone {
    /// The whole fleet.
    pub const ALL: Self = Self { depth: 0, prefix: 0 };

    /// The zone of this depth that a host is in.
    pub fn of(id: NodeId, depth: u8) -> Self {
        Self { depth, prefix: id.prefix() & mask(depth) }
    }

    /// Whether a host is in it.
    pub fn holds(self, id: NodeId) -> bool {
        id.prefix() & mask(self.depth) == self.prefix
    }

    /// Whether another zone lies within it.
    pub fn holds_zone(self, zone: Self) -> bool {
        zone.depth >= self.depth
            && zone.prefix & mask(self.depth) == self.prefix
            && zone.prefix & !mask(zone.depth) == 0
    }

    /// The zone above; the whole fleet has none.
    pub fn above(self) -> Option<Self> {
        let depth = self.depth.checked_sub(1)? / STEP_BITS * STEP_BITS;
        Some(Self { depth, prefix: self.prefix & mask(depth) })
    }

    /// How many zones are above it.
    pub fn height_below_all(self) -> u32 {
        u32::from(self.depth.div_ceil(STEP_BITS))
    }

    /// The members in it. `sorted` is sorted by name.
    pub fn members(self, sorted: &[NodeId]) -> &[NodeId] {
        let start = sorted.partition_point(|id| id.prefix() < self.prefix);
        let rest = sorted.get(start..).unwrap_or_default();
        let len = rest.partition_point(|id| self.holds(*id));
        rest.get(..len).unwrap_or_default()
    }
}

/// Bits of the zones at the bottom of a fleet of so many hosts.
pub fn depth(hosts: usize) -> u8 {
    let zones = hosts.div_ceil(ZONE_HOSTS).max(1);
    // Rounded down: a zone has 16 to 32 hosts, and few large summaries cost less than many.
    (zones.ilog2() as u8).min(DEPTH_MAX)
}

/// The members of a zone in the order in which they are asked to lead it in this epoch.
///
/// Each pair of host and term has a number that nobody can foresee better than by computing it; hosts on batteries come
/// last. The two first lead; a host that does not answer is passed over.
pub fn leaders(zone: Zone, members: &[NodeId], epoch: u64, on_battery: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
    let term = mix(zone.prefix ^ mix(u64::from(zone.depth) ^ (epoch / TERM_EPOCHS).wrapping_mul(0x9e37_79b9)));
    let mut ranked: Vec<(bool, u64, NodeId)> =
        members.iter().map(|id| (on_battery(*id), mix(id.prefix() ^ term), *id)).collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, _, id)| id).collect()
}

fn mask(depth: u8) -> u64 {
    u64::MAX.checked_shl(64 - u32::from(depth.min(64))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> NodeId {
        NodeId::of_key(&n.to_le_bytes())
    }

    #[test]
    fn every_host_is_in_one_zone_of_each_depth_and_each_zone_in_one_above() {
        let mut ids: Vec<NodeId> = (0..1000).map(id).collect();
        ids.sort_unstable();
        let zones: std::collections::BTreeSet<Zone> = ids.iter().map(|id| Zone::of(*id, 6)).collect();
        assert_eq!(zones.iter().map(|zone| zone.members(&ids).len()).sum::<usize>(), 1000);
        for zone in zones {
            let above = zone.above().unwrap();
            assert_eq!(above.depth, 4);
            assert!(above.holds_zone(zone) && !zone.holds_zone(above));
            assert_eq!(above.above(), Some(Zone::ALL));
        }
        assert_eq!(Zone::ALL.above(), None);
        assert_eq!(Zone::ALL.members(&ids).len(), 1000);
    }

    #[test]
    fn zones_have_16_to_32_hosts() {
        assert_eq!([1, 10, 32, 33, 100, 1000, 10_000].map(depth), [0, 0, 1, 1, 2, 5, 9]);
    }

    #[test]
    fn leaders_change_each_minute_and_hosts_on_batteries_lead_last() {
        let ids: Vec<NodeId> = (0..16).map(id).collect();
        let order = |epoch| leaders(Zone::ALL, &ids, epoch, |one| one == id(3));
        assert_eq!(order(0), order(5));
        assert_ne!(order(0), order(6));
        assert!((0..600).all(|epoch| order(epoch).last() == Some(&id(3))));
    }
}
