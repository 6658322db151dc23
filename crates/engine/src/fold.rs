//! From records to flows: two directions, several interfaces and several CPUs become one conversation.
//!
//! Records come in the order of each CPU's ring, rings one after the other: what one CPU saw last may come before what
//! another saw first. Where order matters (a tuple that is used again), the times in the records decide.

use hivewall_datapath::{Cause, Record};
use hivewall_model::{EndReason, TcpFlags, TcpState, TickClock, Timestamp, Verdict};

use crate::entry::Entry;
use crate::pair::PairKey;
use crate::points::{Place, Sum};
use crate::table::Slot;
use crate::{Effects, Engine, Refusal};

/// A record with its times and its place made out.
struct Seen<'a> {
    record: &'a Record,
    sum: Sum,
    place: Place,
    first: Timestamp,
    last: Timestamp,
}

impl Seen<'_> {
    fn flags(&self) -> TcpFlags {
        TcpFlags(self.record.line.flags())
    }

    fn ends_a_connection(&self) -> bool {
        self.record.cause == Cause::Reused as u32
    }
}

impl Engine {
    pub(crate) fn fold(&mut self, record: &Record, clock: &TickClock, effects: &mut Effects) {
        let line = &record.line;
        let sum = Sum::of(record);
        self.records += 1;
        let tunnel = line.key.tunnel();
        if tunnel.is_none() {
            self.packets += sum.packets;
        }
        let (rank, vlan) = self.interfaces.count(&line.key, sum);
        let (key, a_to_b) = PairKey::of(&line.key, vlan);
        let place = Place { ifindex: line.key.ifindex(), direction: line.key.direction(), rank, tunnel, a_to_b };
        let (first, last) = (clock.time_of(record.first_ticks()), clock.time_of(record.last_ticks()));
        let seen = Seen { record, sum, place, first, last };
        let slot = self.flow_of(&key, &seen, effects);
        self.touch(slot);
        if self.add(slot, &seen, effects) {
            self.insight.mark_fresh(slot);
            self.release(slot, &key, effects);
        }
    }

    /// The flow that a record belongs to: the one on its tuple, the one before that, or a new one.
    fn flow_of(&mut self, key: &PairKey, seen: &Seen<'_>, effects: &mut Effects) -> Slot {
        let Some((slot, entry)) = self.table.find(key).and_then(|slot| Some((slot, self.table.get(slot)?))) else {
            return self.admit(key, seen, effects);
        };
        if entry.has_predecessor
            && let Some(before) = self.table.displaced(key)
            && let Some(older) = self.table.get(before)
            && is_of_older(seen, older, entry)
        {
            return before;
        }
        if entry.is_asleep {
            self.wake(slot, seen.first);
        } else if seen.flags().has(TcpFlags::SYN) && entry.is_renewed_by(seen.place.a_to_b, seen.first) {
            return self.replace(slot, key, seen, effects);
        } else if let Some(reason) = self.was_over(entry, seen.first) {
            self.end(slot, reason, effects);
            return self.admit(key, seen, effects);
        }
        slot
    }

    /// Why the flow was over when this packet came, though nobody had looked at the clock in between (a capture with a
    /// gap, an agent that was stopped).
    fn was_over(&self, entry: &Entry, first: Timestamp) -> Option<EndReason> {
        let quiet = first.since(entry.last);
        match entry.finished() {
            Some(reason) => (quiet > self.limits.linger).then_some(reason),
            None => (quiet > self.limits.idle_for(entry.key.protocol)).then_some(EndReason::Idle),
        }
    }

    /// A new connection on the tuple of one whose last records may still be on their way.
    fn replace(&mut self, slot: Slot, key: &PairKey, seen: &Seen<'_>, effects: &mut Effects) -> Slot {
        if let Some(before) = self.table.displaced(key) {
            self.end(before, EndReason::Reused, effects);
        }
        self.table.displace(slot);
        self.table.arm(slot, &self.limits);
        let slot = self.admit(key, seen, effects);
        if let Some(entry) = self.table.get_mut(slot) {
            entry.has_predecessor = true;
        }
        slot
    }

    fn admit(&mut self, key: &PairKey, seen: &Seen<'_>, effects: &mut Effects) -> Slot {
        if self.table.is_full()
            && let Some(victim) = self.table.victim()
        {
            self.end(victim, EndReason::TableFull, effects);
        }
        let id = self.table.new_id();
        let mut entry = Entry::new(*key, id, self.age_ns(), seen.first);
        entry.local = [self.interfaces.is_local(key.a_ip()), self.interfaces.is_local(key.b_ip())];
        self.totals.began(&entry);
        self.insight.began(&mut entry);
        let slot = self.table.insert(entry);
        self.table.arm(slot, &self.limits);
        slot
    }

    fn wake(&mut self, slot: Slot, first: Timestamp) {
        let (id, now) = (self.table.new_id(), self.age_ns());
        if let Some(entry) = self.table.get_mut(slot) {
            entry.wake(id, now, first);
            self.totals.began(entry);
            self.insight.began(entry);
        }
        self.table.arm(slot, &self.limits);
    }

    /// Adds a record to its flow and to all totals; tells whether it is the first of the flow.
    fn add(&mut self, slot: Slot, seen: &Seen<'_>, effects: &mut Effects) -> bool {
        let age = self.age();
        let now = self.age_ns();
        let Some(entry) = self.table.get_mut(slot) else { return false };
        let (a_to_b, a_was_client) = (seen.place.a_to_b, entry.a_is_client());
        entry.heard = now;
        let delta = entry.add(seen.place, seen.sum);
        let (before, after) = entry.see(seen.record, a_to_b, seen.first, seen.last);
        if seen.ends_a_connection() {
            entry.renew(a_to_b);
        }
        entry.count_rate(delta.ip_bytes, seen.first);
        let verdict = Verdict(seen.record.line.verdict);
        let decides = verdict.is_judged() && entry.judge(verdict, a_to_b, seen.sum);
        if verdict.is_judged() {
            self.rulings.count((seen.place.ifindex, seen.place.direction), verdict, seen.sum, seen.last, decides);
        }
        self.totals.count(entry.key.protocol, delta);
        let (src, dst) = entry.key.ends(a_to_b);
        let (src_row, dst_row) = if a_to_b { (0, 1) } else { (1, 0) };
        if let Some(hint) = entry.rows.get_mut(src_row) {
            self.addresses.count(src, hint, true, delta);
        }
        if let Some(hint) = entry.rows.get_mut(dst_row) {
            self.addresses.count(dst, hint, false, delta);
        }
        self.outbound.book(entry, a_to_b, delta);
        self.totals.moved(before, after);
        let turned = a_was_client != entry.a_is_client();
        self.insight.count(entry, a_to_b, delta, turned);
        if decides
            && verdict.is_refusal()
            && let Some(not_logged) = self.rulings.may_log(verdict.counter(), age)
        {
            let flow = entry.to_flow(&self.interfaces, &self.rulings.names, self.now);
            effects.refusals.push(Refusal {
                flow: Box::new(flow),
                ruling: self.rulings.names.ruling(verdict),
                ifindex: seen.place.ifindex,
                direction: seen.place.direction,
                to_server: a_to_b == entry.a_is_client(),
                packets: seen.sum.packets,
                ip_bytes: seen.sum.ip_bytes,
                not_logged,
            });
        }
        let is_new = std::mem::take(&mut entry.is_new);
        // A connection that said its end is due sooner than the wheel was told.
        if before != after && matches!(after, Some(TcpState::Closed | TcpState::Reset)) {
            self.table.arm(slot, &self.limits);
        }
        is_new
    }

    /// Closes what is due; a flow cut by the active timeout may go on under a new number.
    pub(crate) fn expire(&mut self, slot: Slot, reason: EndReason, effects: &mut Effects) {
        if reason != EndReason::Active {
            self.end(slot, reason, effects);
            return;
        }
        let Some(entry) = self.table.get_mut(slot) else { return };
        self.totals.ended(entry, reason);
        self.insight.ended(entry);
        let flow = entry.to_flow(&self.interfaces, &self.rulings.names, self.now);
        if let Some(pulse) = self.pulses.end_of(entry, &flow, reason) {
            effects.pulses.push(pulse);
        }
        entry.sleep();
        self.retire(flow, reason, effects);
        self.table.arm(slot, &self.limits);
    }
}

/// Whether a record is of the connection that had the tuple before the present one. A record may be of both, where the
/// datapath saw no SYN between them (an answer of RST): it goes with its first packet.
fn is_of_older(seen: &Seen<'_>, older: &Entry, present: &Entry) -> bool {
    let start = present.start();
    let began_before = seen.first < start || seen.ends_a_connection() && seen.last <= start;
    // The SYN itself may be what comes late, after its answer.
    began_before && !(seen.flags().has(TcpFlags::SYN) && seen.first > older.last)
}
