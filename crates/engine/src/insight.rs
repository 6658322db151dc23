//! Everything that is known beyond counts, and how it is tied to flows: sockets to processes, answers to names.
//!
//! Facts and packets come in any order. So a flow looks for what is known when it begins, at the next tick, with some
//! of its records, and a last time when it ends; and a fact looks for the flow when it comes. Invariant: booking a
//! flow anew never changes a sum.

use std::collections::VecDeque;
use std::sync::Arc;

use hivewall_datapath::proto;
use hivewall_model::{KernelDrop, NameSource, TcpHealth};
use hivewall_view::{AgentCost, Attribution, HistoryInfo};

use crate::answers::AnswerTable;
use crate::entry::Entry;
use crate::half_open::HalfOpen;
use crate::held::Held;
use crate::latency::PeerTable;
use crate::limits::Limits;
use crate::points::Sum;
use crate::processes::ProcessTable;
use crate::services::ServiceTable;
use crate::sockets::{Ends, Match, Seat, SocketTable};
use crate::summaries::{DnsTally, HttpTally, TlsTally};
use crate::system::{SocketStates, System};
use crate::table::{FlowTable, Slot};

/// New flows that look once more at the next tick; in a flood the others wait for their next record or their end.
const FRESH_MAX: usize = 16_384;

pub(crate) struct Insight {
    pub sockets: SocketTable,
    pub processes: ProcessTable,
    pub services: ServiceTable,
    pub half_open: HalfOpen,
    pub answers: AnswerTable,
    pub peers: PeerTable,
    pub dns: DnsTally,
    pub http: HttpTally,
    pub tls: TlsTally,
    pub held: Held,
    pub states: SocketStates,
    pub system: System,
    pub drops: Vec<KernelDrop>,
    pub attribution: Attribution,
    pub agent: AgentCost,
    pub history: HistoryInfo,
    pub socket_events: u64,
    fresh: VecDeque<Slot>,
}

impl Insight {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            sockets: SocketTable::new(limits.sockets_max),
            processes: ProcessTable::new(limits.processes_max),
            services: ServiceTable::new(),
            half_open: HalfOpen::default(),
            answers: AnswerTable::new(limits.answers_max),
            peers: PeerTable::new(limits.peers_max),
            dns: DnsTally::new(limits.names_max),
            http: HttpTally::new(limits.names_max),
            tls: TlsTally::new(limits.names_max),
            held: Held::new(limits.findings_max),
            states: SocketStates::default(),
            system: System::default(),
            drops: Vec::new(),
            attribution: Attribution::default(),
            agent: AgentCost::default(),
            history: HistoryInfo::default(),
            socket_events: 0,
            fresh: VecDeque::new(),
        }
    }

    /// A flow begins, or goes on under a new number.
    pub(crate) fn began(&mut self, entry: &mut Entry) {
        for (hosted, local) in entry.hosted.iter_mut().zip(entry.local) {
            *hosted |= local;
        }
        self.processes.began(entry);
    }

    /// Counts what a record was new to its flow, which it has been added to; `turned` when that changed who serves.
    #[inline]
    pub(crate) fn count(&mut self, entry: &mut Entry, a_to_b: bool, delta: Sum, turned: bool) {
        self.processes.count(entry, a_to_b, delta);
        self.half_open.judge(entry);
        if entry.is_new {
            self.services.book(entry);
            self.settle(entry);
            return;
        }
        if let Some(booking) = entry.booking {
            self.services.count(booking, delta);
        }
        if turned {
            self.turn(entry);
        }
        if entry.tries > 0 {
            self.try_again(entry);
        }
    }

    /// The other end serves.
    fn turn(&mut self, entry: &mut Entry) {
        self.services.move_over(entry);
        let is_inferred = |source: &NameSource| source.is_inferred();
        if entry.names().and_then(|names| names.server.as_ref()).is_some_and(|(_, source)| is_inferred(source)) {
            entry.names_mut().server = None;
        }
        self.settle(entry);
    }

    fn try_again(&mut self, entry: &mut Entry) {
        let owned = entry.hosted.into_iter().zip(entry.owners()).all(|(is_here, owner)| {
            // An end that nobody looks for has what it needs.
            !is_here || owner.is_some_and(|owner| owner.is_exact)
        });
        if owned {
            entry.tries = 0;
            return;
        }
        entry.tries -= 1;
        self.seek_owners(entry);
    }

    /// Has a new flow looked at again at the next tick.
    pub(crate) fn mark_fresh(&mut self, slot: Slot) {
        if self.fresh.len() < FRESH_MAX {
            self.fresh.push_back(slot);
        }
    }

    /// Looks again at flows that began since the latest tick.
    pub(crate) fn settle_fresh(&mut self, table: &mut FlowTable) {
        let mut fresh = std::mem::take(&mut self.fresh);
        if !self.sockets.is_empty() || !self.answers.is_empty() {
            for slot in &fresh {
                if let Some(entry) = table.get_mut(*slot).filter(|entry| !entry.is_asleep) {
                    self.settle(entry);
                }
            }
        }
        fresh.clear();
        self.fresh = fresh;
    }

    /// Ties a living flow to what is known by now.
    pub(crate) fn settle(&mut self, entry: &mut Entry) {
        self.seek_owners(entry);
        if !self.answers.is_empty() {
            self.infer_name(entry);
        }
    }

    fn seek_owners(&mut self, entry: &mut Entry) {
        let has_sockets = matches!(entry.key.protocol, proto::TCP | proto::UDP) && !entry.key.is_portless();
        if self.sockets.is_empty() || !has_sockets {
            return;
        }
        for side in [0, 1] {
            self.seek_owner(entry, side);
        }
    }

    /// Looks for the socket at one end.
    pub(crate) fn seek_owner(&mut self, entry: &mut Entry, side: usize) {
        let ends = Ends { protocol: entry.key.protocol, local: entry.key.end(side), remote: entry.key.end(1 - side) };
        let seat = Seat {
            is_local: entry.is_local(side),
            faces_local: entry.is_local(1 - side),
            is_client: side == entry.client_side(),
        };
        let found = self.sockets.find(ends, entry.life(), seat);
        let Some(Match { process, is_exact, health }) = found else { return };
        if let Some(process) = process {
            self.processes.own(entry, side, &process, is_exact);
        } else if is_exact && entry.hosted.get(side) == Some(&false) {
            self.processes.host(entry, side);
        }
        if let Some(health) = health {
            self.measure(entry, side, &health);
        }
    }

    fn measure(&mut self, entry: &mut Entry, side: usize, health: &TcpHealth) {
        let more = entry.measures_mut().see_health(side, health);
        self.states.retransmits += u64::from(more);
    }

    fn infer_name(&mut self, entry: &mut Entry) {
        if entry.names().is_some_and(|names| names.server.is_some()) {
            return;
        }
        let (client, _) = entry.client();
        let (server, _) = entry.server();
        let is_local = entry.is_local(entry.client_side());
        if let Some(name) = self.answers.find(client, is_local, server, entry.start()) {
            entry.names_mut().server = Some((Arc::clone(&name), NameSource::Dns));
        }
    }

    /// A flow, or a piece of one, is over.
    pub(crate) fn ended(&mut self, entry: &mut Entry) {
        self.settle(entry);
        self.processes.ended(entry);
        self.half_open.ended(entry);
    }
}
