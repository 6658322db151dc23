//! From records to flows: two directions, several interfaces and several CPUs become one conversation.

use std::sync::Arc;

use hivewall_datapath::Record;
use hivewall_model::{EndReason, TcpFlags, TcpState, TickClock, Timestamp};

use crate::entry::{Entry, PairKey};
use crate::table::{FlowTable, Slot};
use crate::{Effects, Engine};

impl Engine {
    pub(crate) fn fold(&mut self, record: &Record, clock: &TickClock, effects: &mut Effects) {
        let line = &record.line;
        let (first, last) = (clock.time_of(record.first_ticks()), clock.time_of(record.last_ticks()));
        self.records += 1;
        self.interfaces.count(record);
        if line.key.tunnel().is_none() {
            self.packets += u64::from(line.packets());
        }
        let vlan = self.interfaces.vlan(line.key.ifindex());
        let (key, a_to_b) = PairKey::of(&line.key, vlan);
        let slot = match self.table.find(&key) {
            Some(slot) if self.is_new_connection(slot, record, first) => {
                self.end(slot, EndReason::Reused, effects);
                self.admit(key, a_to_b, first, record, effects)
            }
            Some(slot) => slot,
            None => self.admit(key, a_to_b, first, record, effects),
        };
        self.add(slot, record, a_to_b, first, last);
    }

    /// A SYN that came after everything seen of a finished connection.
    fn is_new_connection(&self, slot: Slot, record: &Record, first: Timestamp) -> bool {
        TcpFlags(record.line.flags()).has(TcpFlags::SYN)
            && self.table.get(slot).is_some_and(|entry| entry.finished().is_some() && first > entry.last)
    }

    fn admit(
        &mut self,
        key: PairKey,
        a_to_b: bool,
        first: Timestamp,
        record: &Record,
        effects: &mut Effects,
    ) -> Slot {
        if self.table.is_full()
            && let Some(victim) = self.table.victim()
        {
            self.end(victim, EndReason::TableFull, effects);
        }
        let id = self.table.new_id();
        let mut entry = Entry::new(key, id, a_to_b, first, &record.line.key);
        entry.local = [self.interfaces.is_local(key.a_ip()), self.interfaces.is_local(key.b_ip())];
        self.totals.began(&entry);
        let (deadline, _) = FlowTable::deadline(&entry, &self.limits);
        let slot = self.table.insert(entry);
        self.table.arm(slot, deadline);
        slot
    }

    fn add(&mut self, slot: Slot, record: &Record, a_to_b: bool, first: Timestamp, last: Timestamp) {
        let Some(entry) = self.table.get_mut(slot) else { return };
        let delta = entry.add(record, a_to_b, &self.interfaces);
        let (before, after) = entry.see(record, a_to_b, first, last);
        entry.count_rate(delta.ip_bytes);
        let (a, b) = (entry.key.a_ip(), entry.key.b_ip());
        let (src, dst) = if a_to_b { (a, b) } else { (b, a) };
        self.totals.count(entry.key.protocol, delta);
        self.addresses.count(src, dst, delta);
        let client_is_a = entry.a_is_client();
        let [a_local, b_local] = entry.local;
        if (client_is_a && a_local && !b_local) || (!client_is_a && b_local && !a_local) {
            let remote_is_source = a_to_b != client_is_a;
            self.outbound.count_one(if client_is_a { b } else { a }, remote_is_source, delta);
        }
        self.totals.moved(before, after);
        // A connection that said its end is due sooner than the wheel was told.
        if before != after && matches!(after, Some(TcpState::Closed | TcpState::Reset)) {
            let deadline = entry.last + self.limits.linger;
            self.table.arm(slot, deadline);
        }
    }

    /// Closes what is due; a flow cut by the active timeout goes on under a new number.
    pub(crate) fn expire(&mut self, slot: Slot, reason: EndReason, effects: &mut Effects) {
        if reason != EndReason::Active {
            self.end(slot, reason, effects);
            return;
        }
        let Some(entry) = self.table.get(slot).cloned() else { return };
        self.totals.cut();
        self.retire(&entry, reason, effects);
        let id = self.table.new_id();
        if let Some(entry) = self.table.get_mut(slot) {
            entry.restart(id);
            let (deadline, _) = FlowTable::deadline(entry, &self.limits);
            self.table.arm(slot, deadline);
        }
    }

    /// Conversations opened here, among those that live.
    pub(crate) fn living(&self) -> impl Iterator<Item = &Entry> {
        self.table.iter()
    }

    /// Closed flows kept, oldest first.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Arc<hivewall_model::Flow>> {
        self.closed.iter()
    }
}

