//! The engine: records of the datapath in, flows and snapshots out. No I/O, no clock, no threads: time and everything
//! else that is learned of the world comes in as an [`Event`], what is to be done goes out in [`Effects`].
//!
//! Invariant: every packet in a record is counted once in its flow, once in the protocol totals, once for its source
//! and once for its destination, however many interfaces saw it; and at every interface that saw it.
#![forbid(unsafe_code)]

mod addresses;
mod entry;
mod fold;
mod interfaces;
mod limits;
mod queries;
mod rates;
mod snapshot;
mod table;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hivewall_datapath::{Record, Tally, TallyKey};
use hivewall_model::{EndReason, Flow, Interface, TickClock, Timestamp};
use hivewall_view::{CaptureInfo, HostInfo, Loss};

pub use limits::Limits;

use addresses::AddressTable;
use interfaces::InterfaceTable;
use rates::Totals;
use table::FlowTable;

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The datapath handed over records.
    Records {
        /// In the order of each ring.
        records: &'a [Record],
        /// The clock their ticks are of.
        clock: &'a TickClock,
    },
    /// Time passed. Wanted about once a second: rates and timeouts are worked out here.
    Tick,
    /// The host's interfaces as they are now, and the indices of those whose packets are captured.
    Interfaces {
        /// All of them.
        all: Vec<Interface>,
        /// Captured ones.
        captured: Vec<u32>,
    },
    /// What the datapath counted apart from flows, since its start.
    Tallies(Vec<(TallyKey, Tally)>),
    /// Losses told by a capture source, log or other edge, since the start; replaces what was told under that name.
    Losses(Vec<(String, Loss)>),
    /// Facts for the snapshot's head.
    About {
        /// The host and the agent.
        host: HostInfo,
        /// The capture source.
        capture: CaptureInfo,
    },
    /// The agent stops or the capture ended: every flow is closed.
    Shutdown,
}

/// What is to be done after a step.
#[derive(Debug, Default)]
pub struct Effects {
    /// Flows that ended, in the order they did.
    pub closed: Vec<Arc<Flow>>,
}

/// The engine's state.
pub struct Engine {
    limits: Limits,
    now: Timestamp,
    started: Option<Timestamp>,
    table: FlowTable,
    interfaces: InterfaceTable,
    addresses: AddressTable,
    outbound: AddressTable,
    totals: Totals,
    closed: VecDeque<Arc<Flow>>,
    discarded_closed: u64,
    losses: BTreeMap<String, Loss>,
    host: HostInfo,
    capture: CaptureInfo,
    records: u64,
    packets: u64,
}

impl Engine {
    /// An engine within these limits.
    pub fn new(limits: Limits) -> Self {
        Self {
            table: FlowTable::new(limits.flows_max),
            interfaces: InterfaceTable::default(),
            addresses: AddressTable::new(limits.addresses_max, limits.subnets.clone()),
            outbound: AddressTable::new(limits.addresses_max.div_ceil(4), Vec::new()),
            totals: Totals::default(),
            closed: VecDeque::new(),
            discarded_closed: 0,
            losses: BTreeMap::new(),
            host: HostInfo::default(),
            capture: CaptureInfo::default(),
            records: 0,
            packets: 0,
            now: Timestamp::default(),
            started: None,
            limits,
        }
    }

    /// Takes one event at time `now`; time never runs backwards inside.
    pub fn step(&mut self, now: Timestamp, event: Event<'_>, effects: &mut Effects) {
        self.now = self.now.max(now);
        let now = self.now;
        self.started.get_or_insert(now);
        match event {
            Event::Records { records, clock } => {
                for record in records {
                    self.fold(record, clock, effects);
                }
            }
            Event::Tick => self.tick(effects),
            Event::Interfaces { all, captured } => self.interfaces.update(all, &captured, now),
            Event::Tallies(tallies) => self.interfaces.set_tallies(&tallies),
            Event::Losses(losses) => self.losses.extend(losses),
            Event::About { host, capture } => {
                self.host = host;
                self.capture = capture;
            }
            Event::Shutdown => self.shutdown(effects),
        }
    }

    /// The latest time seen.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Flows that live.
    pub fn active_flows(&self) -> usize {
        self.table.len()
    }

    fn tick(&mut self, effects: &mut Effects) {
        let now = self.now;
        while let Some((slot, reason)) = self.table.next_expired(now, &self.limits) {
            self.expire(slot, reason, effects);
        }
        self.totals.tick(now);
        self.addresses.tick(now);
        self.outbound.tick(now);
        self.interfaces.tick(now);
    }

    fn shutdown(&mut self, effects: &mut Effects) {
        for slot in self.table.slots() {
            let reason = self.table.get(slot).and_then(entry::Entry::finished).unwrap_or(EndReason::Shutdown);
            self.end(slot, reason, effects);
        }
    }

    /// Closes a flow: it leaves the table and is kept a while for questions.
    fn end(&mut self, slot: table::Slot, reason: EndReason, effects: &mut Effects) {
        let Some(entry) = self.table.remove(slot) else { return };
        self.totals.ended(&entry, reason);
        self.retire(&entry, reason, effects);
    }

    fn retire(&mut self, entry: &entry::Entry, reason: EndReason, effects: &mut Effects) {
        let mut flow = entry.to_flow(&self.interfaces, self.now);
        flow.ended = Some(reason);
        flow.rate = 0.0;
        let flow = Arc::new(flow);
        effects.closed.push(Arc::clone(&flow));
        if self.limits.closed_keep == 0 {
            return;
        }
        if self.closed.len() >= self.limits.closed_keep {
            self.closed.pop_front();
            self.discarded_closed += 1;
        }
        self.closed.push_back(flow);
    }
}
