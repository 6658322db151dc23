//! What the policy decided: counters of rules and causes, and what was refused where.
//!
//! Records carry the verdict under which their packets were counted, so what came in before a change of policy stands
//! under the rule of that time. Invariants: memory is bounded by the number of counters and [`PLACES_MAX`]; totals
//! elsewhere in the engine are of what was seen, refused or not, and what is here is part of them.

use std::time::Duration;

use hashbrown::HashMap;
use hivewall_datapath::Direction;
use hivewall_datapath::policy::VerdictCause;
use hivewall_model::{Flow, RuleNames, Ruling, Timestamp, Verdict};
use hivewall_view::policy::{CauseView, PolicyView, RefusedByRule, RefusedCell, RefusedTraffic, RuleView};
use hivewall_view::time::rfc3339;

use crate::interfaces::InterfaceTable;
use crate::points::{OTHERS, Sum};
use crate::rates::TICK_MIN;

/// Combinations of interface, direction and counter that refusals are kept apart by.
const PLACES_MAX: usize = 1 << 14;
/// Stands for all counters of what is no longer kept apart; no verdict has it.
const OTHER_COUNTERS: u32 = u32::MAX;

/// The rules of the policy in force and the ids of all there ever were. Told when a policy comes into force.
#[derive(Clone, Debug, Default)]
pub struct RulesTold {
    /// Ids by counter, of rules that are gone as well.
    pub names: RuleNames,
    /// The rules in order of judgement with the number of each one's counter; their counts are left 0.
    pub rules: Vec<(u32, RuleView)>,
    /// Counters of rules and causes whose refusals are logged, and how often.
    pub logged: Vec<(u32, LogRate)>,
}

/// How often refusals by a rule are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRate {
    /// So many at once, and so many in each time of `per`.
    pub count: u32,
    /// That time.
    pub per: Duration,
}

/// A flow that the policy refused, or would have, when a rule that is to be logged first decided so.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The flow as it is known by now.
    pub flow: Box<Flow>,
    /// What decided.
    pub ruling: Ruling,
    /// Index of the interface at which it was refused.
    pub ifindex: u32,
    /// Whether that was to receive or to send it.
    pub direction: Direction,
    /// Whether the packets were the client's.
    pub to_server: bool,
    /// Packets refused by now.
    pub packets: u64,
    /// Their IP bytes.
    pub ip_bytes: u64,
    /// Refusals by this rule since the one before that were beyond its rate.
    pub not_logged: u64,
}

/// A rule's rate of logging, by the generic cell rate algorithm (ITU-T I.371).
#[derive(Clone, Copy, Debug)]
struct Meter {
    /// Between two refusals at the rate.
    interval: Duration,
    /// How far ahead of it a burst may run.
    burst: Duration,
    /// When the next one is due.
    due: Duration,
    not_logged: u64,
}

impl Meter {
    fn new(rate: LogRate) -> Self {
        let count = rate.count.max(1);
        let interval = rate.per / count;
        Self { interval, burst: interval * (count - 1), due: Duration::ZERO, not_logged: 0 }
    }

    /// Refusals not logged since the latest that was, when this one is; `None` counts it as not logged.
    fn take(&mut self, now: Duration) -> Option<u64> {
        if self.due > now + self.burst {
            self.not_logged += 1;
            return None;
        }
        self.due = self.due.max(now) + self.interval;
        Some(std::mem::take(&mut self.not_logged))
    }
}

/// What is known of the policy in force. Told about once a second; replaces what was told before.
#[derive(Clone, Debug, Default)]
pub struct PolicyTold {
    /// State, bans, tables. Rules and causes in it are not looked at.
    pub view: PolicyView,
    /// The datapath's own counters, which outlive the agent. Where a counter is not among them, records are counted.
    pub hits: Vec<RuleHits>,
    /// What a program in front of the interfaces dropped before it could be in a record, since the agent's start.
    pub front: Vec<FrontDrops>,
}

/// One counter of the datapath.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleHits {
    /// Its number: of a rule, or of a cause.
    pub counter: u32,
    /// Packets.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
}

/// What was dropped in front of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontDrops {
    /// The interface's index.
    pub ifindex: u32,
    /// Why.
    pub cause: VerdictCause,
    /// Packets.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
}

/// What one rule did.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// From records.
    sum: Sum,
    /// From the datapath.
    told: Option<(u64, u64)>,
    flows: u64,
    last: Option<Timestamp>,
    /// Packets and bytes when rates were last worked out.
    before: (u64, u64),
    /// Packets and bits a second.
    rate: (f64, f64),
}

impl Count {
    fn total(&self) -> (u64, u64) {
        self.told.unwrap_or((self.sum.packets, self.sum.ip_bytes))
    }
}

/// Dropped, and what would have been.
#[derive(Clone, Copy, Debug, Default)]
struct Refused {
    dropped: Sum,
    observed: Sum,
}

/// Where and by what it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    ifindex: u32,
    is_egress: bool,
    counter: u32,
}

#[derive(Default)]
pub(crate) struct Rulings {
    pub names: RuleNames,
    rules: Vec<(u32, RuleView)>,
    told: PolicyTold,
    /// By counter.
    counts: Vec<Count>,
    refused: HashMap<Place, Refused>,
    measured: Option<Duration>,
    meters: HashMap<u32, Meter>,
    /// Refusals that were to be logged and were beyond their rates.
    not_logged: u64,
}

impl Rulings {
    pub(crate) fn know_rules(&mut self, told: RulesTold) {
        self.forget_reused(&told.names);
        self.names = told.names;
        self.rules = told.rules;
        let old = std::mem::take(&mut self.meters);
        for (counter, rate) in told.logged {
            let meter = Meter::new(rate);
            // A change of policy is no new allowance.
            let meter =
                old.get(&counter).map_or(meter, |old| Meter { due: old.due, not_logged: old.not_logged, ..meter });
            self.meters.insert(counter, meter);
        }
    }

    /// A counter that another rule has now begins anew; what the rule before it refused stays, without its name.
    fn forget_reused(&mut self, names: &RuleNames) {
        let old = &self.names;
        let is_reused = |counter: u32| old.is_known(counter) && old.get(counter) != names.get(counter);
        for (counter, count) in self.counts.iter_mut().enumerate() {
            if is_reused(counter as u32) {
                *count = Count::default();
            }
        }
        let gone: Vec<Place> = self.refused.keys().filter(|place| is_reused(place.counter)).copied().collect();
        for place in gone {
            let Some(refused) = self.refused.remove(&place) else { continue };
            let other = self.refused.entry(Place { counter: OTHER_COUNTERS, ..place }).or_default();
            other.dropped.add(refused.dropped);
            other.observed.add(refused.observed);
        }
    }

    pub(crate) fn know_policy(&mut self, told: PolicyTold) {
        for hits in &told.hits {
            if let Some(count) = self.count_of(hits.counter) {
                if count.told.is_none() {
                    // What was counted before the agent's start is no rate.
                    count.before = (hits.packets, hits.bytes);
                }
                count.told = Some((hits.packets, hits.bytes));
            }
        }
        self.told = told;
    }

    fn count_of(&mut self, counter: u32) -> Option<&mut Count> {
        let at = counter as usize;
        if counter >= hivewall_datapath::policy::COUNTERS_MAX {
            return None;
        }
        if self.counts.len() <= at {
            self.counts.resize(at + 1, Count::default());
        }
        self.counts.get_mut(at)
    }

    /// Counts a record's packets under its verdict; `decides` when it decides about a flow that it did not yet decide
    /// about.
    pub(crate) fn count(&mut self, at: (u32, Direction), verdict: Verdict, sum: Sum, last: Timestamp, decides: bool) {
        if let Some(count) = self.count_of(verdict.counter()) {
            count.sum.add(sum);
            count.flows += u64::from(decides);
            count.last = count.last.max(Some(last));
        }
        if verdict.is_refusal() {
            let (ifindex, direction) = at;
            let is_egress = direction == Direction::Egress;
            let mut place = Place { ifindex, is_egress, counter: verdict.counter() };
            if self.refused.len() >= PLACES_MAX && !self.refused.contains_key(&place) {
                place = Place { ifindex: OTHERS, is_egress, counter: OTHER_COUNTERS };
            }
            let refused = self.refused.entry(place).or_default();
            if verdict.drops() { &mut refused.dropped } else { &mut refused.observed }.add(sum);
        }
    }

    /// Whether a refusal by this counter is logged: how many before it were not.
    pub(crate) fn may_log(&mut self, counter: u32, now: Duration) -> Option<u64> {
        let taken = self.meters.get_mut(&counter)?.take(now);
        self.not_logged += u64::from(taken.is_none());
        taken
    }

    /// Works out rates.
    pub(crate) fn tick(&mut self, now: Duration) {
        let Some(then) = self.measured else {
            self.measured = Some(now);
            return;
        };
        let passed = now.saturating_sub(then);
        if passed < TICK_MIN {
            return;
        }
        self.measured = Some(now);
        let seconds = passed.as_secs_f64();
        for count in &mut self.counts {
            let (packets, bytes) = count.total();
            // The datapath's counters begin anew when its maps are made anew.
            let more = (packets.saturating_sub(count.before.0), bytes.saturating_sub(count.before.1));
            count.rate = (more.0 as f64 / seconds, more.1 as f64 * 8.0 / seconds);
            count.before = (packets, bytes);
        }
    }

    /// The policy in force with its counters.
    pub(crate) fn view(&self) -> PolicyView {
        let count = |counter: u32| self.counts.get(counter as usize).copied().unwrap_or_default();
        let rules = self.rules.iter().map(|(counter, rule)| {
            let count = count(*counter);
            let (packets, bytes) = count.total();
            RuleView {
                packets,
                bytes,
                flows: count.flows,
                packets_per_second: (count.rate.0 * 10.0).round() / 10.0,
                bits_per_second: count.rate.1.round(),
                last_hit: count.last.map(rfc3339),
                ..rule.clone()
            }
        });
        let causes = VerdictCause::ALL.iter().map(|cause| {
            let (packets, bytes) = count(*cause as u32).total();
            let meaning = cause.doc().to_owned();
            CauseView { cause: cause.label().to_owned(), meaning, packets, bytes }
        });
        let state = if self.told.view.state.is_empty() { "none" } else { &self.told.view.state };
        PolicyView {
            state: state.to_owned(),
            rules: rules.collect(),
            causes: causes.collect(),
            logs_suppressed: self.not_logged,
            ..self.told.view.clone()
        }
    }

    /// What was refused.
    pub(crate) fn refused(&self, interfaces: &InterfaceTable) -> RefusedTraffic {
        let mut view = RefusedTraffic::default();
        let mut rules: HashMap<u32, RefusedCell> = HashMap::new();
        let front = self.told.front.iter().map(|front| {
            let dropped = Sum { packets: front.packets, ip_bytes: front.bytes, wire_bytes: 0 };
            let place = Place { ifindex: front.ifindex, is_egress: false, counter: front.cause as u32 };
            (place, cell(false, Refused { dropped, observed: Sum::default() }))
        });
        let here = self.refused.iter().map(|(place, refused)| (*place, cell(place.is_egress, *refused)));
        for (place, cell) in here.chain(front).filter(|(_, cell)| !cell.is_zero()) {
            view.total.add(&cell);
            view.interfaces.entry(interfaces.name(place.ifindex)).or_default().add(&cell);
            rules.entry(place.counter).or_default().add(&cell);
        }
        view.rules = rules.into_iter().map(|(counter, refused)| self.by_rule(counter, refused)).collect();
        let weight = |row: &RefusedByRule| row.refused.packets() + row.refused.observed_packets();
        view.rules.sort_unstable_by(|a, b| weight(b).cmp(&weight(a)).then_with(|| a.rule.cmp(&b.rule)));
        view
    }

    fn by_rule(&self, counter: u32, refused: RefusedCell) -> RefusedByRule {
        if counter == OTHER_COUNTERS {
            return RefusedByRule { rule: "(other)".to_owned(), is_cause: false, refused };
        }
        let is_cause = counter < VerdictCause::RULES_FROM;
        RefusedByRule { rule: self.names.get(counter).to_string(), is_cause, refused }
    }
}

fn cell(is_egress: bool, Refused { dropped, observed }: Refused) -> RefusedCell {
    if is_egress {
        return RefusedCell {
            out_packets: dropped.packets,
            out_bytes: dropped.ip_bytes,
            observed_out_packets: observed.packets,
            observed_out_bytes: observed.ip_bytes,
            ..RefusedCell::default()
        };
    }
    RefusedCell {
        in_packets: dropped.packets,
        in_bytes: dropped.ip_bytes,
        observed_in_packets: observed.packets,
        observed_in_bytes: observed.ip_bytes,
        ..RefusedCell::default()
    }
}
