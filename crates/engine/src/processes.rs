//! Traffic by process.
//!
//! What a flow moved before its process was known is booked as unknown and goes over to the process as soon as that is
//! known. Invariant: all processes, the unknown and the other together are the traffic of all ends on this host, each
//! packet once at its sender and once at its receiver; a flow whose ends are of one process is one flow of it.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use hivewall_datapath::proto;
use hivewall_model::Process;
use hivewall_view::{ProcessTraffic, container_text, user_text};

use crate::addresses::Counters;
use crate::depth::{Owner, is_same};
use crate::entry::Entry;
use crate::ledger::{Account, Ledger, Ticket};
use crate::points::Sum;
use crate::rates::TICK_MIN;

/// Processes named in a snapshot.
const PROCESSES_SHOWN: usize = 200;
const UNKNOWN: &str = "(unknown)";
const OTHER: &str = "(other)";

/// A process as a key: one run of one program.
#[derive(Clone)]
struct Run(Arc<Process>);

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        is_same(&self.0, &other.0)
    }
}

impl Eq for Run {}

impl Hash for Run {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.pid, self.0.started_ns, &self.0.comm).hash(state);
    }
}

impl Ord for Run {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |run: &Self| (run.0.pid, run.0.started_ns);
        key(self).cmp(&key(other)).then_with(|| self.0.comm.cmp(&other.0.comm))
    }
}

impl PartialOrd for Run {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Default)]
struct Share {
    total: Counters,
    /// Since the latest tick: sent and received bytes.
    window: [u64; 2],
    /// Bits per second.
    rates: [f64; 2],
    active: u64,
    flows: u64,
}

impl Account for Share {
    /// Who has living flows is kept before who has none.
    fn weight(&self) -> u64 {
        self.total.bytes().min(u64::MAX >> 1) | u64::from(self.active > 0) << 63
    }

    fn merge(&mut self, other: &Self) {
        self.total.merge(&other.total);
        for (own, other) in self.window.iter_mut().zip(other.window) {
            *own += other;
        }
        for (own, other) in self.rates.iter_mut().zip(other.rates) {
            *own += other;
        }
        self.active += other.active;
        self.flows += other.flows;
    }
}

impl Share {
    fn add(&mut self, sent: bool, sum: Sum) {
        self.total.add(sent, sum);
        *self.window(sent) += sum.ip_bytes;
    }

    fn window(&mut self, sent: bool) -> &mut u64 {
        let [window_sent, window_received] = &mut self.window;
        if sent { window_sent } else { window_received }
    }

    fn take_back(&mut self, sent: bool, sum: Sum, is_recent: bool) {
        self.total.take_back(sent, sum);
        if is_recent {
            let window = self.window(sent);
            *window = window.saturating_sub(sum.ip_bytes);
        }
    }

    fn take_over(&mut self, sent: bool, sum: Sum, is_recent: bool) {
        self.total.add(sent, sum);
        if is_recent {
            *self.window(sent) += sum.ip_bytes;
        }
    }

    fn begin(&mut self) {
        self.active += 1;
        self.flows += 1;
    }

    fn measure(&mut self, seconds: f64) {
        self.rates = std::mem::take(&mut self.window).map(|bytes| (bytes as f64 * 8.0 / seconds).round());
    }

    fn view(&self, process: &str) -> ProcessTraffic {
        let counts = self.total.view();
        let [sent, received] = self.rates;
        ProcessTraffic {
            process: process.to_owned(),
            sent_bytes: counts.sent_bytes,
            received_bytes: counts.received_bytes,
            sent_packets: counts.sent_packets,
            received_packets: counts.received_packets,
            sent_bits_per_second: sent,
            received_bits_per_second: received,
            active_flows: self.active,
            flows: self.flows,
            ..ProcessTraffic::default()
        }
    }
}

/// Where a share is booked.
#[derive(Clone, Copy)]
enum Place {
    Unknown,
    Of(Ticket),
}

pub(crate) struct ProcessTable {
    ledger: Ledger<Run, Share>,
    unknown: Share,
    /// TCP and UDP flows with an end here: whose process is known, and others.
    attributed: u64,
    unattributed: u64,
    ticked: Option<Duration>,
}

/// Whose flow it is; a flow with one process at both ends counts there once.
fn places(entry: &Entry) -> [Option<Place>; 2] {
    let [a, b] = entry.owners();
    let place = |owner: Option<&Owner>| owner.map_or(Place::Unknown, |owner| Place::Of(owner.ticket));
    let is_one = match (a, b) {
        (Some(a), Some(b)) => a.is_same(b),
        (None, None) => true,
        _ => false,
    };
    match entry.hosted {
        [true, true] if is_one => [Some(place(a)), None],
        [a_here, b_here] => [a_here.then(|| place(a)), b_here.then(|| place(b))],
    }
}

/// Whether a process is known, for flows that could have one.
fn standing(entry: &Entry) -> Option<bool> {
    let has_sockets = matches!(entry.key.protocol, proto::TCP | proto::UDP);
    (has_sockets && entry.hosted != [false; 2]).then(|| entry.owners().iter().any(Option::is_some))
}

impl ProcessTable {
    pub(crate) fn new(limit: usize) -> Self {
        Self { ledger: Ledger::new(limit), unknown: Share::default(), attributed: 0, unattributed: 0, ticked: None }
    }

    fn share(&mut self, place: Place) -> &mut Share {
        match place {
            Place::Unknown => &mut self.unknown,
            Place::Of(ticket) => self.ledger.at(ticket),
        }
    }

    fn tally(&mut self, standing: Option<bool>, begins: bool) {
        let Some(is_known) = standing else { return };
        let counter = if is_known { &mut self.attributed } else { &mut self.unattributed };
        *counter = if begins { *counter + 1 } else { counter.saturating_sub(1) };
    }

    /// A flow, or a piece of one, begins.
    pub(crate) fn began(&mut self, entry: &Entry) {
        places(entry).into_iter().flatten().for_each(|place| self.share(place).begin());
        self.tally(standing(entry), true);
    }

    /// It ends.
    pub(crate) fn ended(&mut self, entry: &Entry) {
        for place in places(entry).into_iter().flatten() {
            let share = self.share(place);
            share.active = share.active.saturating_sub(1);
        }
    }

    /// Counts what a record was new to its flow.
    #[inline]
    pub(crate) fn count(&mut self, entry: &Entry, a_to_b: bool, delta: Sum) {
        if entry.hosted != [false; 2] {
            self.count_ends(entry, a_to_b, delta);
        }
    }

    fn count_ends(&mut self, entry: &Entry, a_to_b: bool, delta: Sum) {
        for ((is_here, owner), sends) in entry.hosted.into_iter().zip(entry.owners()).zip([a_to_b, !a_to_b]) {
            if is_here {
                self.share(owner.map_or(Place::Unknown, |owner| Place::Of(owner.ticket))).add(sends, delta);
            }
        }
    }

    /// An end of a living flow turned out to be on this host, whoever has it.
    pub(crate) fn host(&mut self, entry: &mut Entry, side: usize) {
        self.change(entry, side, |entry| {
            if let Some(hosted) = entry.hosted.get_mut(side) {
                *hosted = true;
            }
        });
    }

    /// The process at an end of a living flow became known. What waits at the port gives way to the conversation's own
    /// socket; else who was known first stays.
    pub(crate) fn own(&mut self, entry: &mut Entry, side: usize, process: &Arc<Process>, is_exact: bool) {
        let known = entry.owners().into_iter().nth(side).flatten();
        if known.is_some_and(|known| known.is_exact || !is_exact) {
            return;
        }
        let run = Run(Arc::clone(process));
        let ticket = self.ledger.open(&run);
        if let Some(key) = self.ledger.key_at(ticket).filter(|key| key.0.executable.is_none()) {
            *key = run;
        }
        let owner = Owner { process: Arc::clone(process), ticket, is_exact };
        self.change(entry, side, |entry| {
            if let Some(hosted) = entry.hosted.get_mut(side) {
                *hosted = true;
            }
            if let Some(place) = entry.depth_mut().owners.get_mut(side) {
                *place = Some(owner);
            }
        });
    }

    /// Changes who has an end, and with it where the flow and all its traffic are booked.
    fn change(&mut self, entry: &mut Entry, side: usize, change: impl FnOnce(&mut Entry)) {
        let ways = [true, false].map(|a_to_b| ((side == 0) == a_to_b, entry.outside(a_to_b)));
        let place = |entry: &Entry| {
            let is_here = entry.hosted.get(side).copied().unwrap_or(false);
            let owner = entry.owners().into_iter().nth(side).flatten();
            is_here.then(|| owner.map_or(Place::Unknown, |owner| Place::Of(owner.ticket)))
        };
        for counted in places(entry).into_iter().flatten() {
            let share = self.share(counted);
            share.active = share.active.saturating_sub(1);
            share.flows = share.flows.saturating_sub(1);
        }
        self.tally(standing(entry), false);
        let before = place(entry);
        change(entry);
        let after = place(entry);
        // The rate goes over as well, where all of the flow is in it.
        let is_recent = self.ticked.is_none_or(|then| Duration::from_nanos(entry.born) >= then);
        for (sends, sum) in ways {
            if let Some(before) = before {
                self.share(before).take_back(sends, sum, is_recent);
            }
            if let Some(after) = after {
                self.share(after).take_over(sends, sum, is_recent);
            }
        }
        places(entry).into_iter().flatten().for_each(|place| self.share(place).begin());
        self.tally(standing(entry), true);
    }

    /// Works out rates over the time since the latest tick.
    pub(crate) fn tick(&mut self, now: Duration) {
        let passed = self.ticked.map_or(Duration::from_secs(1), |then| now.saturating_sub(then));
        if passed < TICK_MIN {
            return;
        }
        self.ticked = Some(now);
        let seconds = passed.as_secs_f64();
        self.unknown.measure(seconds);
        self.ledger.accounts_mut().for_each(|share| share.measure(seconds));
    }

    /// Flows whose process is known, and others.
    pub(crate) fn attributed(&self) -> (u64, u64) {
        (self.attributed, self.unattributed)
    }

    /// How often a process was added to the others.
    pub(crate) fn folded(&self) -> u64 {
        self.ledger.folded()
    }

    /// The busiest by bytes, then all others, then traffic of nobody known.
    pub(crate) fn view(&self) -> Vec<ProcessTraffic> {
        let (rows, other) = self.ledger.heaviest(PROCESSES_SHOWN, |share| share.total.bytes());
        let mut view: Vec<ProcessTraffic> =
            rows.into_iter().map(|(run, share)| describe(&run.0, share.view(&run.0.comm))).collect();
        for (share, name) in [(&other, OTHER), (&self.unknown, UNKNOWN)] {
            if share.flows > 0 || share.total.bytes() > 0 {
                view.push(share.view(name));
            }
        }
        view
    }
}

fn describe(process: &Process, traffic: ProcessTraffic) -> ProcessTraffic {
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    ProcessTraffic {
        pid: process.pid,
        executable: text(&process.executable),
        user: Some(user_text(process)),
        container: process.container.as_ref().map(container_text),
        cgroup: text(&process.cgroup),
        ..traffic
    }
}
