//! From socket events to flows.

use std::net::IpAddr;

use hivewall_model::{SocketEvent, Timestamp};

use crate::Engine;
use crate::pair::PairKey;
use crate::sockets::{Ends, SLACK};
use crate::table::Slot;

/// Addresses of this host at which a flow of a socket without one is looked for.
const ADDRESSES_TRIED: usize = 64;
/// VLANs of this host's interfaces in which a socket's flow is looked for.
const VLANS_TRIED: usize = 16;

impl Engine {
    pub(crate) fn take_sockets(&mut self, events: &[SocketEvent]) {
        let age = self.age();
        for event in events {
            self.insight.socket_events += 1;
            self.insight.states.see(event);
            let Some(ends) = self.insight.sockets.take(event, age) else { continue };
            if ends.is_bound() {
                // Flows at that port find it themselves.
                continue;
            }
            if let Some(rtt) = event.tcp.and_then(|health| health.smoothed_rtt)
                && !self.interfaces.is_local(ends.remote.0)
            {
                self.insight.peers.see(ends.remote.0, rtt);
            }
            self.tie(ends, event.time);
        }
    }

    /// Lets the flows between these ends look for their socket.
    fn tie(&mut self, ends: Ends, time: Timestamp) {
        if !ends.local.0.is_unspecified() {
            return self.tie_at(ends, ends.local.0, time);
        }
        let is_like = |ip: &IpAddr| ip.is_ipv4() == ends.remote.0.is_ipv4();
        let addresses: Vec<IpAddr> = self.interfaces.addresses().filter(is_like).take(ADDRESSES_TRIED).collect();
        for address in addresses {
            self.tie_at(ends, address, time);
        }
    }

    fn tie_at(&mut self, ends: Ends, local: IpAddr, time: Timestamp) {
        let vlans = self.interfaces.vlans().iter().copied().take(VLANS_TRIED);
        for vlan in std::iter::once(0).chain(vlans) {
            let (pair, is_a) = PairKey::between(ends.protocol, (local, ends.local.1), ends.remote, vlan);
            if let Some(slot) = self.flow_at(&pair, time)
                && let Some(entry) = self.table.get_mut(slot)
            {
                self.insight.seek_owner(entry, usize::from(!is_a));
            }
        }
    }

    /// The living flow of a pair at a time: the one on the tuple, or who had it before.
    pub(crate) fn flow_at(&self, pair: &PairKey, time: Timestamp) -> Option<Slot> {
        let slot = self.table.find(pair)?;
        let entry = self.table.get(slot)?;
        let before = self.table.displaced(pair).filter(|_| entry.has_predecessor && time + SLACK < entry.start());
        let slot = before.unwrap_or(slot);
        self.table.get(slot).filter(|entry| !entry.is_asleep).map(|_| slot)
    }
}
