//! Packets that the kernel dropped, by reason, interface and protocol.
//!
//! The counters live in the kernel; here they are summed over CPUs and given names.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aya::maps::{MapData, PerCpuHashMap};
use hivewall_datapath::socket::{DropCount, DropKey, SocketEndsRaw};
use hivewall_model::KernelDrop;

use super::btf::Btf;
use super::notes::address;

/// First letters of every reason's name.
const PREFIX: &str = "SKB_DROP_REASON_";
/// Reasons of a subsystem carry its number in the upper half (include/net/dropreason-core.h).
const SUBSYSTEM_SHIFT: u32 = 16;
/// Protocols whose first four bytes are ports.
const WITH_PORTS: [u8; 2] = [6, 17];

/// [`DropKey`] as the map API wants it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct Key(DropKey);

// SAFETY: integers without gaps.
unsafe impl aya::Pod for Key {}

/// [`DropCount`] as the map API wants it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct Count(DropCount);

// SAFETY: integers without gaps.
unsafe impl aya::Pod for Count {}

/// The counters, with names.
pub(super) struct Drops {
    map: PerCpuHashMap<MapData, Key, Count>,
    names: HashMap<u32, Arc<str>>,
}

impl Drops {
    pub(super) fn new(map: PerCpuHashMap<MapData, Key, Count>, btf: &Btf) -> Self {
        let named = btf.values("skb_drop_reason").into_iter();
        let names = named.map(|(name, number)| (number, short(name).into())).collect();
        Self { map, names }
    }

    /// Everything counted since the programs were attached, in the order of reason, interface and protocol.
    pub(super) fn read(&mut self) -> Vec<KernelDrop> {
        let mut sums = BTreeMap::<(u32, u32, u32), DropCount>::new();
        // A row that vanishes while it is read is none of ours: rows are only added.
        for (Key(key), counts) in self.map.iter().filter_map(Result::ok) {
            let sum = sums.entry((key.reason, key.ifindex, key.protocol)).or_default();
            for Count(count) in counts.iter() {
                sum.packets += count.packets;
                if count.latest_ns > sum.latest_ns {
                    (sum.latest_ns, sum.latest) = (count.latest_ns, count.latest);
                }
            }
        }
        let rows = sums.into_iter().map(|((reason, ifindex, protocol), sum)| KernelDrop {
            reason: self.name(reason),
            ifindex,
            protocol: protocol as u8,
            packets: sum.packets,
            latest: (sum.latest_ns > 0).then(|| latest(protocol as u8, &sum.latest)),
        });
        rows.collect()
    }

    fn name(&self, reason: u32) -> Arc<str> {
        self.names.get(&reason).cloned().unwrap_or_else(|| match reason >> SUBSYSTEM_SHIFT {
            0 => format!("reason_{reason}").into(),
            subsystem => format!("subsystem_{subsystem}_reason_{}", reason & ((1 << SUBSYSTEM_SHIFT) - 1)).into(),
        })
    }
}

/// `SKB_DROP_REASON_NO_SOCKET` as `no_socket`.
fn short(name: &str) -> String {
    name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase()
}

fn latest(protocol: u8, ends: &SocketEndsRaw) -> (std::net::SocketAddr, std::net::SocketAddr) {
    let port = |port: u16| if WITH_PORTS.contains(&protocol) { port } else { 0 };
    (address(ends.local, port(ends.local_port)), address(ends.remote, port(ends.remote_port)))
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn names_are_the_kernels_in_small_letters() {
        assert_eq!(short("SKB_DROP_REASON_NO_SOCKET"), "no_socket");
        assert_eq!(short("SKB_CONSUMED"), "skb_consumed");
    }
}
