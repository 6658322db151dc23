//! Totals of the whole host: protocols, flows, TCP states.
//!
//! Invariant: flows that began less those that ended are those that live, in all, by protocol and by TCP state.

use std::collections::BTreeMap;
use std::time::Duration;

use hivewall_model::{EndReason, TcpState};
use hivewall_view::{ProtocolTraffic, protocol_text};

use crate::entry::Entry;
use crate::points::Sum;

/// Rates are worked out over at least this long; a tick that comes sooner is left out.
pub(crate) const TICK_MIN: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, Default)]
struct Protocol {
    packets: u64,
    bytes: u64,
    active: u64,
    previous_bytes: u64,
    rate: f64,
}

pub(crate) struct Totals {
    /// By protocol number.
    protocols: Vec<Protocol>,
    states: [u64; TcpState::ALL.len()],
    ended: [u64; EndReason::ALL.len()],
    /// Flows that began.
    pub(crate) flows: u64,
    /// Flows that live.
    pub(crate) living: u64,
    previous_flows: u64,
    pub(crate) new_per_second: f64,
    ticked: Option<Duration>,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            protocols: vec![Protocol::default(); 256],
            states: [0; TcpState::ALL.len()],
            ended: [0; EndReason::ALL.len()],
            flows: 0,
            living: 0,
            previous_flows: 0,
            new_per_second: 0.0,
            ticked: None,
        }
    }
}

fn bump<const N: usize>(counters: &mut [u64; N], at: usize, by: i64) {
    if let Some(counter) = counters.get_mut(at) {
        *counter = counter.saturating_add_signed(by);
    }
}

impl Totals {
    pub(crate) fn count(&mut self, protocol: u8, delta: Sum) {
        if let Some(row) = self.protocols.get_mut(usize::from(protocol)) {
            row.packets += delta.packets;
            row.bytes += delta.ip_bytes;
        }
    }

    pub(crate) fn began(&mut self, entry: &Entry) {
        self.flows += 1;
        self.living += 1;
        if let Some(row) = self.protocols.get_mut(usize::from(entry.key.protocol)) {
            row.active += 1;
        }
        self.moved(None, entry.state);
    }

    pub(crate) fn ended(&mut self, entry: &Entry, reason: EndReason) {
        if let Some(row) = self.protocols.get_mut(usize::from(entry.key.protocol)) {
            row.active = row.active.saturating_sub(1);
        }
        self.living = self.living.saturating_sub(1);
        self.moved(entry.state, None);
        bump(&mut self.ended, reason as usize, 1);
    }

    pub(crate) fn moved(&mut self, before: Option<TcpState>, after: Option<TcpState>) {
        if before == after {
            return;
        }
        if let Some(state) = before {
            bump(&mut self.states, state as usize, -1);
        }
        if let Some(state) = after {
            bump(&mut self.states, state as usize, 1);
        }
    }

    /// Works out rates at this age of the engine.
    pub(crate) fn tick(&mut self, now: Duration) {
        let Some(then) = self.ticked else {
            self.ticked = Some(now);
            return;
        };
        let passed = now.saturating_sub(then);
        if passed < TICK_MIN {
            return;
        }
        self.ticked = Some(now);
        let seconds = passed.as_secs_f64();
        for row in &mut self.protocols {
            row.rate = (row.bytes - row.previous_bytes) as f64 / seconds;
            row.previous_bytes = row.bytes;
        }
        self.new_per_second = (self.flows - self.previous_flows) as f64 / seconds;
        self.previous_flows = self.flows;
    }

    pub(crate) fn protocols(&self) -> BTreeMap<String, ProtocolTraffic> {
        let seen = self.protocols.iter().enumerate().filter(|(_, row)| row.packets > 0);
        seen.map(|(number, row)| {
            let view = ProtocolTraffic {
                packets: row.packets,
                bytes: row.bytes,
                active_flows: row.active,
                bits_per_second: (row.rate * 8.0).round(),
            };
            (protocol_text(number as u8), view)
        })
        .collect()
    }

    pub(crate) fn states(&self) -> BTreeMap<String, u64> {
        TcpState::ALL.into_iter().zip(self.states).map(|(state, n)| (state.name().to_owned(), n)).collect()
    }

    pub(crate) fn half_open(&self) -> u64 {
        let [sent, received, ..] = self.states;
        sent + received
    }

    pub(crate) fn ends(&self) -> BTreeMap<String, u64> {
        EndReason::ALL.into_iter().zip(self.ended).map(|(reason, n)| (reason.name().to_owned(), n)).collect()
    }

    pub(crate) fn ended_by(&self, reason: EndReason) -> u64 {
        self.ended.get(reason as usize).copied().unwrap_or(0)
    }
}
