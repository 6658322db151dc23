//! Summaries: to whom they are sent and when.
//!
//! Each host sends its own to the two leaders of its zone, leaders pass totals on to the two leaders of the zone above,
//! and who looks at the fleet asks a leader of the whole. Who does not answer in time is passed over. Invariant: a host
//! puts its own summary on one way only in an epoch, whatever it learns meanwhile.

use super::answers::Pending;
use super::{Core, Tick};
use crate::aggregate::{Best, EPOCH_MS, FleetTotal, Outgoing, Payload, Sums};
use crate::event::{Alarm, Changed};
use crate::id::NodeId;
use crate::losses::Reason;
use crate::wire::{Part, Response, SUMMARY_BYTES_MAX, SumPut, Total};
use crate::zones::{self, Zone};

/// Leaders of a zone.
const LEADERS: u32 = 2;
/// How long a leader may take, in milliseconds, before the next in rank is asked.
const ACK_MS: u64 = 250;
/// Hosts asked to lead one after another, at most.
const RANKS_MAX: usize = 12;
/// Own summaries are sent within this time, in milliseconds, so that leaders are not asked all at once.
const SPREAD_MS: u64 = 300;
/// A zone at the bottom passes on what it has after this time, in milliseconds after the epoch's end.
const FIRST_FLUSH_MS: u64 = 2000;
/// Each zone above waits so much longer, in milliseconds.
const FLUSH_STEP_MS: u64 = 1000;
/// What comes later is passed on together after this time, in milliseconds.
const LATE_FLUSH_MS: u64 = 700;

/// Things to do about summaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SumTick {
    Send(u64),
    Flush(u64, Zone),
    Look(u64, u32),
}

/// Which outgoing summary a question carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery(u64);

impl Core {
    /// This host's own summary of an epoch that has ended.
    pub(super) fn contribute(&mut self, epoch: u64, summary: Vec<u8>) {
        let payload = Payload::own(self.id, summary, &self.stands);
        let body = Sums::encode(&payload);
        if Payload::decode(&body).is_none() || body.len() > SUMMARY_BYTES_MAX {
            self.losses.count(Reason::Malformed);
            return;
        }
        let to = Zone::of(self.id, zones::depth(self.alive.len()));
        let put = SumPut { epoch, to, of: Part::Node(self.id), heard: 1, known: 1, body };
        let wait = self.random_below(SPREAD_MS);
        let id = self.enqueue(put);
        self.timers.put(self.now.ms + wait, Tick::Sum(SumTick::Send(id)));
        if self.sums.is_watched {
            self.look_later(epoch);
        }
    }

    pub(super) fn watch(&mut self, is_watched: bool) {
        self.sums.is_watched = is_watched;
    }

    fn look_later(&mut self, epoch: u64) {
        let levels = u64::from(Zone::of(self.id, zones::depth(self.alive.len())).height_below_all());
        let wait = FIRST_FLUSH_MS + FLUSH_STEP_MS * levels + 500 + self.random_below(SPREAD_MS);
        self.timers.put(self.now.ms + wait, Tick::Sum(SumTick::Look(epoch, 0)));
    }

    fn enqueue(&mut self, put: SumPut) -> u64 {
        let ranks = self.ranks(put.to, put.epoch);
        self.sums.next_outgoing += 1;
        let id = self.sums.next_outgoing;
        self.sums.outgoing.insert(id, Outgoing { put, ranks, next: 0, taken: 0 });
        while self.sums.outgoing.len() > 64 {
            self.sums.outgoing.pop_first();
            self.losses.count(Reason::Full);
        }
        id
    }

    fn ranks(&self, zone: Zone, epoch: u64) -> Vec<NodeId> {
        let on_battery = |id| self.records.get(&id).is_some_and(|record| record.0.flags.battery);
        let mut ranks = zones::leaders(zone, zone.members(&self.alive), epoch, on_battery);
        ranks.truncate(RANKS_MAX);
        ranks
    }

    pub(super) fn sum_tick(&mut self, tick: SumTick) {
        match tick {
            SumTick::Send(id) => (0..LEADERS).for_each(|_| self.send_next(id)),
            SumTick::Flush(epoch, zone) => self.flush(epoch, zone),
            SumTick::Look(epoch, tries) => self.look(epoch, tries),
        }
    }

    /// Sends an outgoing summary to the next in rank; this host itself needs no message.
    fn send_next(&mut self, id: u64) {
        let own = self.id;
        let Some(outgoing) = self.sums.outgoing.get_mut(&id) else { return };
        let Some(to) = outgoing.ranks.get(outgoing.next).copied() else { return };
        outgoing.next += 1;
        let put = outgoing.put.clone();
        if to == own {
            self.sum_put(own, put);
            self.delivered(Delivery(id), true);
        } else {
            let patience = u64::from(self.swim.doubt() + 1);
            self.ask_put(to, put, Delivery(id), ACK_MS * patience);
        }
    }

    pub(super) fn delivered(&mut self, delivery: Delivery, is_taken: bool) {
        let Some(outgoing) = self.sums.outgoing.get_mut(&delivery.0) else { return };
        if is_taken {
            outgoing.taken += 1;
            if outgoing.taken >= LEADERS {
                self.sums.outgoing.remove(&delivery.0);
            }
        } else if outgoing.next >= outgoing.ranks.len() && outgoing.taken == 0 {
            self.losses.count(Reason::Unanswered);
        } else {
            self.send_next(delivery.0);
        }
    }

    /// A summary for a zone that its sender believes this host to lead. It is taken even if this host sees it otherwise.
    pub(super) fn sum_put(&mut self, from: NodeId, put: SumPut) -> Response {
        if !self.is_timely(put.epoch) {
            self.losses.count(Reason::Epoch);
            return Response::Missing;
        }
        let may_speak = match put.of {
            Part::Node(id) => id == from,
            Part::Zone(zone) => zone.holds(from),
        };
        if !may_speak || !put.to.holds(self.id) {
            self.losses.count(Reason::NotSender);
            return Response::Missing;
        }
        if let Part::Zone(zone) = put.of {
            let plausible = zone.members(&self.alive).len() * 5 / 4 + 4;
            if put.heard as usize > plausible {
                self.losses.count(Reason::Malformed);
                self.changed(Changed::Alarm(Alarm::Implausible(from)));
                return Response::Missing;
            }
        }
        let zone = put.to;
        let held = self.sums.zone(put.epoch, zone);
        let is_better = held.parts.get(&put.of).is_none_or(|best| best.heard < put.heard);
        if is_better {
            held.parts.insert(put.of, Best { heard: put.heard, body: put.body });
            if !held.is_due {
                held.is_due = true;
                let at = self.flush_time(put.epoch, zone);
                self.timers.put(at, Tick::Sum(SumTick::Flush(put.epoch, zone)));
            }
        }
        Response::Ack
    }

    /// Epochs whose summaries are taken: the last and the one before, and one more for clocks that differ.
    fn is_timely(&self, epoch: u64) -> bool {
        let present = self.now.unix_ms / EPOCH_MS;
        (present.saturating_sub(3)..=present + 1).contains(&epoch)
    }

    /// When a zone passes on what it has: at its time after the epoch's end, or a little later when that is over.
    fn flush_time(&self, epoch: u64, zone: Zone) -> u64 {
        let bottom = Zone::of(self.id, zones::depth(self.alive.len()));
        let height = u64::from(bottom.height_below_all().saturating_sub(zone.height_below_all()));
        let wall = (epoch + 1) * EPOCH_MS + FIRST_FLUSH_MS + FLUSH_STEP_MS * height;
        let wait = wall.saturating_sub(self.now.unix_ms).clamp(LATE_FLUSH_MS, 2 * EPOCH_MS);
        self.now.ms + wait
    }

    /// Adds up what is held of a zone and passes it on, or, at the top, keeps it as the total.
    fn flush(&mut self, epoch: u64, zone: Zone) {
        let held = self.sums.zone(epoch, zone);
        held.is_due = false;
        if held.heard() <= held.passed_on {
            return;
        }
        held.passed_on = held.heard();
        let (heard, unread, payload, summary, standings) = held.merge();
        (0..unread).for_each(|_| self.losses.count(Reason::Malformed));
        let known = (zone.members(&self.alive).len() as u32).max(heard);
        let body = Sums::encode(&payload);
        if let Some(to) = zone.above() {
            let id = self.enqueue(SumPut { epoch, to, of: Part::Zone(zone), heard, known, body });
            self.sum_tick(SumTick::Send(id));
        } else {
            self.sums.keep_made(Total { epoch, heard, known, body });
            self.show(FleetTotal { epoch, heard, known, summary, standings });
        }
    }

    /// Fetches the total from a leader of the whole fleet.
    fn look(&mut self, epoch: u64, tries: u32) {
        let is_here = self.sums.total().is_some_and(|total| total.epoch >= epoch);
        if is_here || tries >= RANKS_MAX as u32 {
            return;
        }
        self.timers.put(self.now.ms + 400, Tick::Sum(SumTick::Look(epoch, tries + 1)));
        let ranks = self.ranks(Zone::ALL, epoch);
        let Some(to) = ranks.get(tries as usize % ranks.len().clamp(1, 4)).copied().filter(|to| *to != self.id) else {
            return;
        };
        if !self.pending.values().any(|pending| *pending == Pending::Total(epoch)) || tries > 0 {
            self.ask_total(to, epoch);
        }
    }

    pub(super) fn total_came(&mut self, epoch: u64, response: Option<Response>) {
        let Some(Response::Sum(total)) = response else { return };
        match Payload::decode(&total.body).filter(|_| total.epoch == epoch) {
            Some((summary, standings)) => {
                self.show(FleetTotal { epoch, heard: total.heard, known: total.known, summary, standings });
            }
            None => self.losses.count(Reason::Malformed),
        }
    }

    fn show(&mut self, total: FleetTotal) {
        if self.sums.keep_total(total.clone()) && self.sums.is_watched {
            self.changed(Changed::Total(Box::new(total)));
        }
    }
}
