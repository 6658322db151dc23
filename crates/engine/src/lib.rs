//! The engine: records of the datapath in, flows and snapshots out. No I/O, no clock, no threads: time and everything
//! else that is learned of the world comes in as an [`Event`], what is to be done goes out in [`Effects`].
//!
//! Its own time is the age it has reached: the sum of all steps forward of the time it is told. Timeouts and rates are
//! of that time, so that a clock set back neither ends flows nor keeps them; flows show the times of their packets.
//!
//! Invariant: every packet in a record is counted once in its flow, once in the protocol totals, once for its source
//! and once for its destination, however many interfaces saw it; and at every interface that saw it. That is what was
//! seen: what the policy refused of it is counted a second time, as refused.
#![forbid(unsafe_code)]

mod addresses;
mod answers;
mod attribute;
mod bounded;
mod depth;
mod entry;
mod epoch;
mod findings;
mod fold;
mod half_open;
mod held;
mod insight;
mod interfaces;
mod latency;
mod ledger;
mod limits;
mod outbound;
mod pair;
mod points;
mod processes;
mod pulses;
mod queries;
mod rates;
mod rulings;
mod services;
mod snapshot;
mod sockets;
mod subnets;
mod summaries;
mod system;
mod table;
mod tallies;
mod wheel;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hivewall_datapath::{Record, Tally, TallyKey};
use hivewall_model::{
    EndReason, Finding, Flow, Interface, KernelDrop, Pulse, SocketCensus, SocketEvent, Stray, SystemReading, TickClock,
    Timestamp,
};
use hivewall_view::{AgentCost, Attribution, CaptureInfo, HistoryInfo, HostInfo, Loss};

pub use epoch::Moved;
pub use findings::LoggedFinding;
pub use limits::Limits;
pub use rulings::{FrontDrops, LogRate, PolicyTold, Refusal, RuleHits, RulesTold};

use addresses::AddressTable;
use insight::Insight;
use interfaces::InterfaceTable;
use outbound::Outbound;
use rates::Totals;
use rulings::Rulings;
use table::FlowTable;

/// A step back of the clock by less is jitter, and time stands still until it is made up for.
const STEP_BACK: Duration = Duration::from_secs(2);

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
    /// What was learned from payload, in the order it was seen. Comes after the records of the same poll, but a finding
    /// may still come before the first record of its flow: it is kept until then.
    Findings(&'a [Finding]),
    /// What was learned of sockets, in order.
    Sockets(&'a [SocketEvent]),
    /// This host's sockets by state.
    Census(SocketCensus),
    /// What the kernel dropped since the agent's start; replaces what was told before.
    Drops(Vec<KernelDrop>),
    /// How busy the host is.
    System(SystemReading),
    /// How flows are tied to processes, what the agent costs, what history is kept: as the edges tell it. The engine
    /// fills in what it knows itself.
    AboutSelf {
        /// Source, reason, processes.
        attribution: Attribution,
        /// Costs.
        agent: AgentCost,
        /// History.
        history: HistoryInfo,
    },
    /// A policy came into force: its rules, and the ids of all rules by counter. Comes before the records that were judged
    /// by it, or their rules are shown by number until then.
    Rules(RulesTold),
    /// What the policy in force is doing.
    Policy(Box<PolicyTold>),
    /// The agent stops or the capture ended: every flow is closed.
    Shutdown,
}

/// What is to be done after a step.
#[derive(Debug, Default)]
pub struct Effects {
    /// Flows that ended, in the order they did.
    pub closed: Vec<Arc<Flow>>,
    /// What payload showed (names, not times), as soon as its flow is known or given up.
    pub findings: Vec<LoggedFinding>,
    /// Flows that a rule refused whose refusals are logged, within its rate.
    pub refusals: Vec<Refusal>,
    /// What flows did, once [`Engine::watch_flows`] was called: in the order they moved, the end of each last.
    pub pulses: Vec<Pulse>,
    /// Frames that are in no flow, as payload showed them.
    pub strays: Vec<Stray>,
}

/// The engine's state.
pub struct Engine {
    limits: Limits,
    /// The time told.
    now: Timestamp,
    /// The engine's own time; `None` until the first records or tick.
    age: Option<Duration>,
    table: FlowTable,
    interfaces: InterfaceTable,
    addresses: AddressTable,
    outbound: Outbound,
    totals: Totals,
    insight: Insight,
    rulings: Rulings,
    epochs: epoch::Epochs,
    pulses: pulses::Pulses,
    closed: VecDeque<Arc<Flow>>,
    discarded_closed: u64,
    /// The latest packet of any closed flow that is no longer kept.
    discarded_until: Timestamp,
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
            outbound: Outbound::new(limits.addresses_max.div_ceil(4)),
            totals: Totals::default(),
            insight: Insight::new(&limits),
            rulings: Rulings::default(),
            epochs: epoch::Epochs::default(),
            pulses: pulses::Pulses::default(),
            closed: VecDeque::new(),
            discarded_closed: 0,
            discarded_until: Timestamp(i64::MIN),
            losses: BTreeMap::new(),
            host: HostInfo::default(),
            capture: CaptureInfo::default(),
            records: 0,
            packets: 0,
            now: Timestamp::default(),
            age: None,
            limits,
        }
    }

    /// Takes one event at time `now`. A time slightly before the one told last counts as that one.
    pub fn step(&mut self, now: Timestamp, event: Event<'_>, effects: &mut Effects) {
        self.advance(now, matches!(event, Event::Records { .. } | Event::Tick));
        match event {
            Event::Records { records, clock } => {
                for record in records {
                    self.fold(record, clock, effects);
                }
                self.pulse(effects, false);
            }
            Event::Tick => self.tick(effects),
            Event::Interfaces { all, captured } => self.know_interfaces(all, &captured),
            Event::Tallies(tallies) => self.interfaces.set_tallies(tallies),
            Event::Losses(losses) => self.losses.extend(losses),
            Event::About { host, capture } => {
                self.host = host;
                self.capture = capture;
            }
            Event::Findings(findings) => self.take_findings(findings, effects),
            Event::Sockets(events) => self.take_sockets(events),
            Event::Census(census) => self.insight.states.set(census),
            Event::Drops(drops) => self.insight.drops = drops,
            Event::System(reading) => self.insight.system.take(reading),
            Event::AboutSelf { attribution, agent, history } => {
                self.insight.attribution = attribution;
                self.insight.agent = agent;
                self.insight.history = history;
            }
            Event::Rules(told) => self.rulings.know_rules(told),
            Event::Policy(told) => self.rulings.know_policy(*told),
            Event::Shutdown => self.shutdown(effects),
        }
    }

    fn advance(&mut self, now: Timestamp, starts: bool) {
        match &mut self.age {
            // A replay's clock shows nothing of use before its first packet.
            None => {
                self.now = now;
                self.age = starts.then_some(Duration::ZERO);
            }
            Some(age) if now > self.now => {
                *age += now.since(self.now);
                self.now = now;
            }
            Some(_) if self.now.since(now) > STEP_BACK => self.now = now,
            Some(_) => {}
        }
    }

    fn age(&self) -> Duration {
        self.age.unwrap_or_default()
    }

    fn age_ns(&self) -> u64 {
        u64::try_from(self.age().as_nanos()).unwrap_or(u64::MAX)
    }

    fn know_interfaces(&mut self, all: Vec<Interface>, captured: &[u32]) {
        if !self.interfaces.update(all, captured, self.age()) {
            return;
        }
        // What is booked as outbound stays so, since it has to be taken back where it was booked.
        for entry in self.table.iter_mut().filter(|entry| !entry.is_outbound) {
            entry.local = [self.interfaces.is_local(entry.key.a_ip()), self.interfaces.is_local(entry.key.b_ip())];
            for side in [0, 1] {
                if !entry.is_asleep && entry.local.get(side) > entry.hosted.get(side) {
                    self.insight.processes.host(entry, side);
                }
            }
        }
    }

    /// The time reached.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Flows that live.
    pub fn active_flows(&self) -> usize {
        self.totals.living as usize
    }

    fn tick(&mut self, effects: &mut Effects) {
        let age = self.age();
        self.pulse(effects, true);
        while let Some((slot, reason)) = self.table.next_expired(age, &self.limits) {
            self.expire(slot, reason, effects);
        }
        self.totals.tick(age);
        self.addresses.tick(age);
        self.interfaces.tick(age);
        self.rulings.tick(age);
        self.insight.settle_fresh(&mut self.table);
        self.insight.sockets.tick(age);
        self.insight.processes.tick(age);
        self.insight.half_open.tick();
        let gone = self.insight.held.expire(Some(age));
        self.give_up(gone, effects);
    }

    fn shutdown(&mut self, effects: &mut Effects) {
        for slot in self.table.slots() {
            let reason = self.table.get(slot).and_then(entry::Entry::finished).unwrap_or(EndReason::Shutdown);
            self.end(slot, reason, effects);
        }
        let gone = self.insight.held.expire(None);
        self.give_up(gone, effects);
    }

    /// Closes a flow: it leaves the table and is kept a while for questions.
    fn end(&mut self, slot: table::Slot, reason: EndReason, effects: &mut Effects) {
        let Some(mut entry) = self.table.remove(slot) else { return };
        if entry.is_asleep {
            return;
        }
        // Its tuple had been taken, whatever else made it go.
        let reason = if entry.is_displaced { EndReason::Reused } else { reason };
        self.totals.ended(&entry, reason);
        self.insight.ended(&mut entry);
        let flow = entry.to_flow(&self.interfaces, &self.rulings.names, self.now);
        effects.pulses.extend(self.pulses.end_of(&mut entry, &flow, reason));
        self.retire(flow, reason, effects);
    }

    fn retire(&mut self, mut flow: Flow, reason: EndReason, effects: &mut Effects) {
        flow.ended = Some(reason);
        flow.rate = 0.0;
        self.keep_moved(&flow);
        let flow = Arc::new(flow);
        effects.closed.push(Arc::clone(&flow));
        self.closed.push_back(flow);
        while self.closed.len() > self.limits.closed_keep
            && let Some(oldest) = self.closed.pop_front()
        {
            self.discarded_closed += 1;
            self.discarded_until = self.discarded_until.max(oldest.last);
        }
    }

    /// Closed flows kept, oldest first.
    fn kept(&self) -> impl Iterator<Item = &Arc<Flow>> {
        self.closed.iter()
    }
}
