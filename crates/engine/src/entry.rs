//! A living flow in memory: small, because there may be a million.
//!
//! It holds what was seen and judges roles and state from it; when it is over is the table's business. Invariant: its
//! counts are those of its points.

use std::net::IpAddr;
use std::sync::Arc;

use hivewall_datapath::{Record, proto};
use hivewall_model::{
    EndReason, Fate, Flow, FlowId, FlowNames, Judgement, Point, Process, RuleNames, Side, TcpFlags, TcpState,
    Timestamp, Timing, Tuple, Verdict,
};

use crate::addresses::Hint;
use crate::depth::{Depth, Measures, Owner};
use crate::interfaces::InterfaceTable;
use crate::pair::{self, PairKey};
use crate::points::{Place, Points, Sum};
use crate::pulses::Told;
use crate::services::Booking;
use crate::sockets::{End, Life};

/// Seconds of a rate's window at the least.
const WINDOW: f32 = 0.9;
/// A pause this long ends a rate's window.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(1500);
/// Seconds of quiet after which a rate is 0: two sweeps of the datapath and some.
const QUIET: f64 = 2.5;

/// Records that may look for the socket of a flow in vain.
const TRIES: u8 = 8;

/// How sure it is who opened the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Roles {
    /// From ports and times; a record may change it.
    Guessed,
    /// Guessed in an earlier piece of the conversation, and kept for those that follow.
    Kept,
    /// Seen: a SYN or its answer, or an ICMP request.
    Known,
}

/// A living flow.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: PairKey,
    /// When it began, nanoseconds of the engine's own time.
    pub born: u64,
    /// When it was last heard of.
    pub heard: u64,
    rate: f32,
    pub id: FlowId,
    /// First packet of each direction; `i64::MAX` while there is none.
    first: [i64; 2],
    pub last: Timestamp,
    window_start: Timestamp,
    window_bytes: u64,
    points: Points,
    /// Where the addresses of `a` and `b` are counted.
    pub rows: [Hint; 2],
    /// Where the remote one is among those of outbound traffic.
    pub remote_row: Hint,
    flags: [TcpFlags; 2],
    /// Flags of earlier pieces of the conversation.
    earlier: [TcpFlags; 2],
    /// Type and code shown.
    icmp: [u8; 2],
    /// Of the packets of `a` and of `b`; the latest policy's, the strictest of all places.
    verdicts: [Verdict; 2],
    /// Packets and IP bytes that were dropped.
    dropped: (u64, u64),
    a_is_client: bool,
    roles: Roles,
    pub state: Option<TcpState>,
    /// Whether `a` or `b` is this host.
    pub local: [bool; 2],
    /// Whether its traffic is counted as outbound.
    pub is_outbound: bool,
    /// Cut by the active timeout and not heard of since: in no count, and gone unless it goes on.
    pub is_asleep: bool,
    /// A new connection took its tuple; late records still find it.
    pub is_displaced: bool,
    /// Took the tuple of one that is displaced.
    pub has_predecessor: bool,
    /// Directions in which the datapath said that a new connection follows.
    renewed: [bool; 2],
    /// Nothing of it, or of the piece that goes on, is counted yet.
    pub is_new: bool,
    /// Whether `a` or `b` is booked as an end on this host: an address of it, or of a socket of it.
    pub hosted: [bool; 2],
    /// Records that may still look for its sockets.
    pub tries: u8,
    /// Counted as half open, with `a` or with `b` as the client.
    pub half_open: Option<bool>,
    /// Where it is counted as a service.
    pub booking: Option<Booking>,
    /// What was told of it to whoever judges behaviour.
    pub told: Told,
    /// What else is known of it.
    pub depth: Option<Box<Depth>>,
}

fn side_of(a_to_b: bool) -> usize {
    usize::from(!a_to_b)
}

/// Of two verdicts of one policy, that which lets less through is the flow's.
fn strictness(verdict: Verdict) -> u8 {
    match (verdict.drops(), verdict.is_observed()) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    }
}

#[expect(clippy::indexing_slicing, reason = "0 or 1 into two")]
impl Entry {
    pub(crate) fn new(key: PairKey, id: FlowId, now: u64, first: Timestamp) -> Self {
        Self {
            key,
            born: now,
            heard: now,
            rate: 0.0,
            id,
            first: [i64::MAX; 2],
            last: first,
            window_start: first,
            window_bytes: 0,
            points: Points::default(),
            rows: [Hint::default(); 2],
            remote_row: Hint::default(),
            flags: [TcpFlags::default(); 2],
            earlier: [TcpFlags::default(); 2],
            icmp: [0; 2],
            verdicts: [Verdict::default(); 2],
            dropped: (0, 0),
            a_is_client: true,
            roles: Roles::Guessed,
            state: None,
            local: [false; 2],
            is_outbound: false,
            is_asleep: false,
            is_displaced: false,
            has_predecessor: false,
            renewed: [false; 2],
            is_new: true,
            hosted: [false; 2],
            tries: TRIES,
            half_open: None,
            booking: None,
            told: Told::default(),
            depth: None,
        }
    }

    pub(crate) fn depth_mut(&mut self) -> &mut Depth {
        self.depth.get_or_insert_default()
    }

    pub(crate) fn measures_mut(&mut self) -> &mut Measures {
        self.depth_mut().measures.get_or_insert_default()
    }

    pub(crate) fn names(&self) -> Option<&Arc<FlowNames>> {
        self.depth.as_ref()?.names.as_ref()
    }

    pub(crate) fn names_mut(&mut self) -> &mut FlowNames {
        Arc::make_mut(self.depth_mut().names.get_or_insert_default())
    }

    /// Processes at `a` and `b`.
    #[inline]
    pub(crate) fn owners(&self) -> [Option<&Owner>; 2] {
        self.depth.as_ref().map_or([None; 2], |depth| depth.owners.each_ref().map(Option::as_ref))
    }

    /// Whether the address of `a` (0) or `b` (1) is this host's.
    pub(crate) fn is_local(&self, side: usize) -> bool {
        self.local.get(side).copied().unwrap_or(false)
    }

    /// 0 when `a` is the client, 1 when `b` is.
    pub(crate) fn client_side(&self) -> usize {
        side_of(self.a_is_client)
    }

    pub(crate) fn client(&self) -> End {
        self.key.end(self.client_side())
    }

    pub(crate) fn server(&self) -> End {
        self.key.end(1 - self.client_side())
    }

    /// What tells whether a socket, or something learned, is of this conversation.
    pub(crate) fn life(&self) -> Life {
        let syn = |flags: &TcpFlags| flags.has(TcpFlags::SYN);
        Life {
            start: self.start(),
            last: self.last,
            is_opened: self.key.protocol != proto::TCP || self.flags.iter().any(syn),
            is_finished: self.finished().is_some(),
        }
    }

    /// First packet, or what stands for it before there is one.
    pub(crate) fn start(&self) -> Timestamp {
        let first = self.first[0].min(self.first[1]);
        if first == i64::MAX { self.last } else { Timestamp(first) }
    }

    /// Adds a record's counters; returns what is new to the host as a whole.
    pub(crate) fn add(&mut self, place: Place, sum: Sum) -> Sum {
        self.points.add(place, sum, self.key.is_to_many(place.a_to_b))
    }

    /// One direction, each packet once.
    pub(crate) fn side(&self, a_to_b: bool) -> Side {
        let sum = self.points.all(a_to_b, self.key.is_to_many(a_to_b));
        Side { flags: self.flags[side_of(a_to_b)], ..sum.side() }
    }

    /// What one direction added to the host's totals.
    pub(crate) fn outside(&self, a_to_b: bool) -> Sum {
        self.points.outside(a_to_b, self.key.is_to_many(a_to_b))
    }

    /// Notes times, flags and who opened; returns the TCP state before and after.
    pub(crate) fn see(
        &mut self,
        record: &Record,
        a_to_b: bool,
        first: Timestamp,
        last: Timestamp,
    ) -> (Option<TcpState>, Option<TcpState>) {
        let side = side_of(a_to_b);
        self.last = self.last.max(last);
        self.first[side] = self.first[side].min(first.0);
        self.flags[side].0 |= record.line.flags();
        let before = self.state;
        self.judge_roles(record, a_to_b);
        if self.key.protocol == proto::TCP {
            let seen = |a| TcpFlags(self.flags[side_of(a)].0 | self.earlier[side_of(a)].0);
            self.state = Some(TcpState::from_flags(seen(self.a_is_client), seen(!self.a_is_client)));
        }
        (before, self.state)
    }

    /// Notes what the policy said of a record's packets; tells whether a rule (or cause) decides that decided nothing
    /// about this flow so far. Records come out of order: that of an older policy changes only what was dropped.
    pub(crate) fn judge(&mut self, verdict: Verdict, a_to_b: bool, sum: Sum) -> bool {
        if verdict.drops() {
            self.dropped.0 += sum.packets;
            self.dropped.1 += sum.ip_bytes;
        }
        let known = self.verdicts[side_of(a_to_b)];
        let age = known.epoch().wrapping_sub(verdict.epoch()) as i16;
        let is_stricter = age == 0 && strictness(verdict) > strictness(known);
        if known.is_judged() && age >= 0 && !is_stricter {
            return false;
        }
        let decides = !self.verdicts.iter().any(|known| known.is_judged() && known.counter() == verdict.counter());
        self.verdicts[side_of(a_to_b)] = verdict;
        decides
    }

    fn judgement(&self, names: &RuleNames) -> Option<Judgement> {
        let client = self.client_side();
        let (own, back) = (self.verdicts[client], self.verdicts[1 - client]);
        let verdict = if own.is_judged() { own } else { back };
        let differs = own.is_judged() && back.is_judged() && Fate::of(own) != Fate::of(back);
        verdict.is_judged().then(|| Judgement {
            ruling: names.ruling(verdict),
            reply: differs.then(|| names.ruling(back)),
            dropped_packets: self.dropped.0,
            dropped_bytes: self.dropped.1,
        })
    }

    pub(crate) fn a_is_client(&self) -> bool {
        self.a_is_client
    }

    fn judge_roles(&mut self, record: &Record, a_to_b: bool) {
        if self.key.is_icmp() && !self.key.is_portless() {
            self.judge_icmp(record.line.key.sport, record.line.key.dport, a_to_b);
        }
        if self.roles == Roles::Known {
            return;
        }
        let flags = TcpFlags(record.line.flags());
        if record.line.opened() {
            self.know(a_to_b);
        } else if self.key.protocol == proto::TCP && flags.has(TcpFlags::SYN | TcpFlags::ACK) {
            self.know(!a_to_b);
        } else if self.roles == Roles::Guessed {
            self.a_is_client = self.guess_a();
        }
    }

    fn know(&mut self, a_is_client: bool) {
        self.roles = Roles::Known;
        self.a_is_client = a_is_client;
    }

    /// A request tells who asks; an answer nobody asked for is shown as what it is.
    fn judge_icmp(&mut self, kind: u16, code: u16, a_to_b: bool) {
        if self.roles == Roles::Known {
            return;
        }
        self.icmp = [kind as u8, code as u8];
        if pair::is_request(self.key.protocol, kind) {
            self.know(a_to_b);
        }
    }

    /// The end with a privileged port serves, when only one has one; else who spoke first asked; else the lower port
    /// serves.
    fn guess_a(&self) -> bool {
        let (a, b) = (self.key.a_port, self.key.b_port);
        if self.key.has_ports() && (a < 1024) != (b < 1024) {
            return b < 1024;
        }
        match self.first[0].cmp(&self.first[1]) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => a >= b,
        }
    }

    /// Whether the conversation was opened here and goes elsewhere.
    pub(crate) fn goes_out(&self) -> bool {
        let [a, b] = self.local;
        if self.a_is_client { a && !b } else { b && !a }
    }

    /// Counts bytes for the rate and closes the window when it is old enough.
    pub(crate) fn count_rate(&mut self, ip_bytes: u64, first: Timestamp) {
        if first > self.window_start + PAUSE {
            // What was before the pause says nothing of now.
            (self.rate, self.window_bytes, self.window_start) = (0.0, 0, first);
        }
        self.window_bytes += ip_bytes;
        let age = self.last.since(self.window_start).as_secs_f32();
        if age >= WINDOW {
            self.rate = self.window_bytes as f32 / age;
            self.window_start = self.last;
            self.window_bytes = 0;
        }
    }

    /// IP bytes per second now: 0 when the flow has been quiet for some seconds.
    pub(crate) fn rate(&self, now: Timestamp) -> f64 {
        if now.since(self.last).as_secs_f64() > QUIET {
            return 0.0;
        }
        if self.rate > 0.0 {
            return f64::from(self.rate);
        }
        self.window_bytes as f64 / now.since(self.window_start).as_secs_f64().max(1.0)
    }

    /// How a TCP connection ended by its own word.
    pub(crate) fn finished(&self) -> Option<EndReason> {
        match self.state {
            Some(TcpState::Closed) => Some(EndReason::Finished),
            Some(TcpState::Reset) => Some(EndReason::Reset),
            _ => None,
        }
    }

    /// The datapath said that what follows in this direction is another connection.
    pub(crate) fn renew(&mut self, a_to_b: bool) {
        self.renewed[side_of(a_to_b)] = true;
    }

    /// Whether a record that holds a SYN and began at `first` is of a new connection on this one's tuple.
    pub(crate) fn is_renewed_by(&self, a_to_b: bool, first: Timestamp) -> bool {
        self.renewed[side_of(a_to_b)] && first >= self.last || self.finished().is_some() && first > self.last
    }

    /// The flow as everyone else sees it.
    pub(crate) fn to_flow(&self, interfaces: &InterfaceTable, rules: &RuleNames, now: Timestamp) -> Flow {
        let (client, server) = self.key.ends(self.a_is_client);
        // Places of an earlier piece that this one did not come by hold nothing.
        let points = self.points.iter().filter(|point| point.sum != Sum::default()).map(|point| Point {
            ifindex: point.place.ifindex,
            direction: point.place.direction,
            to_server: point.place.a_to_b == self.a_is_client,
            tunnel: point.place.tunnel,
            side: point.sum.side(),
        });
        Flow {
            id: self.id,
            tuple: self.tuple(client, server),
            roles_known: self.roles == Roles::Known,
            perspective: interfaces.perspective(client, server),
            to_server: self.side(self.a_is_client),
            to_client: self.side(!self.a_is_client),
            start: self.start(),
            last: self.last,
            tcp_state: self.state,
            ended: None,
            portless: self.key.is_portless(),
            points: points.collect(),
            rate: self.rate(now),
            client_process: self.process(self.client_side()),
            server_process: self.process(1 - self.client_side()),
            names: self.names().cloned(),
            timing: self
                .depth
                .as_ref()
                .and_then(|depth| depth.measures.as_ref())
                .map_or_else(Timing::default, |measures| measures.timing(self.client_side())),
            judgement: self.judgement(rules),
        }
    }

    pub(crate) fn process(&self, side: usize) -> Option<Arc<Process>> {
        Some(Arc::clone(&self.owners()[side]?.process))
    }

    pub(crate) fn tuple(&self, client: IpAddr, server: IpAddr) -> Tuple {
        let (a, b) = (self.key.a_port, self.key.b_port);
        let (client_port, server_port) = match (self.key.is_icmp(), self.a_is_client) {
            (true, _) => (u16::from(self.icmp[0]), u16::from(self.icmp[1])),
            (false, true) => (a, b),
            (false, false) => (b, a),
        };
        Tuple { protocol: self.key.protocol, client, server, client_port, server_port, vlans: self.key.vlans() }
    }

    /// Cut by the active timeout: roles, places and flags are kept in case it goes on.
    pub(crate) fn sleep(&mut self) {
        self.is_asleep = true;
        self.is_outbound = false;
        self.booking = None;
        self.told = Told::default();
        for (earlier, flags) in self.earlier.iter_mut().zip(&mut self.flags) {
            earlier.0 |= std::mem::take(flags).0;
        }
        if self.roles == Roles::Guessed {
            self.roles = Roles::Kept;
        }
        self.first = [i64::MAX; 2];
        self.verdicts = [Verdict::default(); 2];
        self.dropped = (0, 0);
        self.points.clear();
    }

    /// It goes on under a new number.
    pub(crate) fn wake(&mut self, id: FlowId, now: u64, first: Timestamp) {
        self.is_asleep = false;
        self.is_new = true;
        self.tries = TRIES;
        self.id = id;
        self.born = now;
        self.last = first;
        (self.rate, self.window_bytes, self.window_start) = (0.0, 0, first);
    }
}
