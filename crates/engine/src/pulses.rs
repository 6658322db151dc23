//! What flows do while they do it, for whoever judges behaviour: a [`Pulse`] of every flow that moved, several times a
//! second, and one at its end.
//!
//! Costs a list of the flows that moved, and nothing while nobody listens. Invariant: the steps of all pulses of a flow
//! add up to its counts.

use std::time::Duration;

use hivewall_model::{EndReason, Flow, Moves, Pulse, Side};

use crate::entry::Entry;
use crate::table::Slot;
use crate::{Effects, Engine};

/// Time between two rounds of pulses, of the engine's own time.
const INTERVAL: Duration = Duration::from_millis(200);
/// So many flows are told of at once, whatever the time.
const TOUCHED_MAX: usize = 16_384;

/// What is to be told.
#[derive(Default)]
pub(crate) struct Pulses {
    is_on: bool,
    touched: Vec<Slot>,
    told_at: Duration,
}

/// What was told of one flow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// It is in the list.
    is_listed: bool,
    /// There was a pulse of it.
    is_known: bool,
    /// Of the packets of `a` and of `b`.
    moves: [Moves; 2],
}

fn moves(side: Side) -> Moves {
    Moves { packets: side.packets, ip_bytes: side.ip_bytes }
}

fn less(now: Moves, then: Moves) -> Moves {
    Moves { packets: now.packets.saturating_sub(then.packets), ip_bytes: now.ip_bytes.saturating_sub(then.ip_bytes) }
}

impl Engine {
    /// Has pulses told from now on.
    pub fn watch_flows(&mut self) {
        self.pulses.is_on = true;
    }

    /// A record of this flow came.
    #[inline]
    pub(crate) fn touch(&mut self, slot: Slot) {
        if !self.pulses.is_on {
            return;
        }
        if let Some(entry) = self.table.get_mut(slot)
            && !std::mem::replace(&mut entry.told.is_listed, true)
        {
            self.pulses.touched.push(slot);
        }
    }

    /// Tells what is due.
    pub(crate) fn pulse(&mut self, effects: &mut Effects, at_once: bool) {
        let age = self.age();
        let is_due =
            at_once || age.saturating_sub(self.pulses.told_at) >= INTERVAL || self.pulses.touched.len() >= TOUCHED_MAX;
        if !self.pulses.is_on || !is_due {
            return;
        }
        self.pulses.told_at = age;
        let mut touched = std::mem::take(&mut self.pulses.touched);
        for slot in touched.drain(..) {
            // Gone: its end was told.
            let Some(entry) = self.table.get_mut(slot).filter(|entry| entry.told.is_listed) else { continue };
            let told = tell(entry);
            let Some(entry) = self.table.get(slot) else { continue };
            let flow = entry.to_flow(&self.interfaces, &self.rulings.names, self.now);
            effects.pulses.push(pulse_of(&flow, told, entry.a_is_client(), None));
        }
        self.pulses.touched = touched;
    }
}

impl Pulses {
    /// The last pulse of a flow, if anybody listens.
    pub(crate) fn end_of(&self, entry: &mut Entry, flow: &Flow, reason: EndReason) -> Option<Pulse> {
        self.is_on.then(|| {
            let told = tell(entry);
            pulse_of(flow, told, entry.a_is_client(), Some(reason))
        })
    }
}

/// What was told of it before, which is all there is now.
fn tell(entry: &mut Entry) -> Told {
    let now = [moves(entry.side(true)), moves(entry.side(false))];
    std::mem::replace(&mut entry.told, Told { is_listed: false, is_known: true, moves: now })
}

fn pulse_of(flow: &Flow, told: Told, a_is_client: bool, ended: Option<EndReason>) -> Pulse {
    let [a, b] = told.moves;
    let (client, server) = if a_is_client { (a, b) } else { (b, a) };
    Pulse {
        id: flow.id,
        tuple: flow.tuple,
        roles_known: flow.roles_known,
        perspective: flow.perspective,
        tunnel: flow.tunnel(),
        ifindex: flow.points.first().map_or(0, |point| point.ifindex),
        start: flow.start,
        last: flow.last,
        to_server: flow.to_server,
        to_client: flow.to_client,
        new_to_server: less(moves(flow.to_server), client),
        new_to_client: less(moves(flow.to_client), server),
        tcp_state: flow.tcp_state,
        is_first: !told.is_known,
        ended,
        names: flow.names.clone(),
        client_process: flow.client_process.clone(),
        server_process: flow.server_process.clone(),
        is_dropped: flow.judgement.as_ref().is_some_and(|judgement| judgement.dropped_packets > 0),
    }
}
