//! Sockets of this host: which process uses which ends, and how its connections fare.
//!
//! Events and packets tell of a conversation in either order and some seconds apart, and a tuple may be used again at
//! once: so a socket is kept for a while after it closed, and with it who had the tuple before. Invariant: the table
//! holds at most as many sockets as it was allowed, and counts those it gave up early.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hivewall_datapath::proto;
use hivewall_model::{Process, SocketChange, SocketEvent, SocketState, TcpHealth, Timestamp};

use crate::bounded::Bounded;
use crate::depth::is_same;

/// A socket is kept so long after it closed: the records of its last packets may come two sweeps later, and a late
/// socket event has still to find the tuple's earlier user.
const CLOSED_KEEP: Duration = Duration::from_secs(10);
/// Times of packets may be off by a tick of the datapath's clock, against those of socket events.
pub(crate) const SLACK: Duration = Duration::from_millis(20);

/// An address and a port.
pub(crate) type End = (IpAddr, u16);

/// Ends of a socket without what packets do not carry (scopes). A remote port of 0 marks one that waits for anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    pub protocol: u8,
    pub local: End,
    pub remote: End,
}

fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

impl Ends {
    fn of(event: &SocketEvent) -> Self {
        let end = |at: SocketAddr| (at.ip(), at.port());
        let (mut local, mut remote) = (end(event.ends.local), end(event.ends.remote));
        if remote.0.is_unspecified() || remote.1 == 0 {
            return Self::bound(event.ends.protocol, local);
        }
        remote.0 = remote.0.to_canonical();
        // A dual-stack socket's `::` stands for IPv4 as well.
        local.0 = if local.0.is_unspecified() { unspecified(remote.0) } else { local.0.to_canonical() };
        Self { protocol: event.ends.protocol, local, remote }
    }

    fn bound(protocol: u8, local: End) -> Self {
        Self { protocol, local, remote: (unspecified(local.0), 0) }
    }

    /// Whether it waits for anybody.
    pub(crate) fn is_bound(&self) -> bool {
        self.remote.1 == 0
    }
}

/// One use of the ends, from connect or accept to close.
#[derive(Clone, Debug)]
struct Use {
    process: Option<Arc<Process>>,
    from: Timestamp,
    /// Whether a process said that it uses it; else it is known by changes of state alone.
    is_used: bool,
    health: Option<Box<TcpHealth>>,
    closed: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Socket {
    now: Use,
    before: Option<Box<Use>>,
    state: Option<SocketState>,
    /// When it is forgotten.
    until: Option<Duration>,
}

/// Times of a flow that looks for its socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub start: Timestamp,
    pub last: Timestamp,
    /// Whether its first packet is known to be the first of the conversation, rather than a straggler.
    pub is_opened: bool,
    /// Whether it said its end.
    pub is_finished: bool,
}

impl Life {
    /// Whether what happened to a socket then can be of this flow.
    pub(crate) fn reaches(&self, time: Timestamp) -> bool {
        !self.is_finished || time <= self.last + SLACK
    }

    /// Whether it may have begun before a socket closed.
    fn began_before(&self, closed: Timestamp) -> bool {
        !self.is_opened || self.start <= closed + SLACK
    }
}

/// How an end of a flow lies to this host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    /// Its address is one of this host's.
    pub is_local: bool,
    /// So is that of the other end.
    pub faces_local: bool,
    /// It opened the conversation, as far as is known.
    pub is_client: bool,
}

/// What was found for one end of a flow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Match {
    pub process: Option<Arc<Process>>,
    /// Whether the socket is the conversation's own.
    pub is_exact: bool,
    pub health: Option<TcpHealth>,
}

pub(crate) struct SocketTable {
    sockets: Bounded<Ends, Socket>,
    /// Those that closed, in that order, with the time at which they are forgotten.
    closed: VecDeque<(Duration, Ends)>,
    limit: usize,
    /// Given up early.
    pub(crate) evicted: u64,
    /// Events without a local port, which no packet can be tied to.
    pub(crate) unplaced: u64,
}

impl SocketTable {
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.max(1);
        Self { sockets: Bounded::new(limit), closed: VecDeque::new(), limit, evicted: 0, unplaced: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Takes an event at this age of the engine; returns the ends it is of, unless it cannot be of any packet's.
    pub(crate) fn take(&mut self, event: &SocketEvent, age: Duration) -> Option<Ends> {
        let ends = Ends::of(event);
        if ends.local.1 == 0 {
            // A connection's first state comes before its port is chosen, and again with it.
            self.unplaced += u64::from(!matches!(event.change, SocketChange::State { .. }));
            return None;
        }
        if self.sockets.touch(&ends).is_none() {
            if closes(event.change) && event.process.is_none() && event.tcp.is_none() {
                // Nothing to remember.
                return Some(ends);
            }
            self.make_room();
            self.sockets.insert(ends, Socket::new(event));
        }
        let socket = self.sockets.get_mut(&ends)?;
        socket.take(event);
        socket.until = if closes(event.change) { Some(age + CLOSED_KEEP) } else { socket.until };
        if let Some(until) = socket.until.filter(|_| closes(event.change)) {
            self.closed.push_back((until, ends));
        }
        if self.closed.len() > self.limit {
            self.forget_closed();
        }
        Some(ends)
    }

    fn make_room(&mut self) {
        while self.sockets.is_full() {
            // Who is closed can be spared best.
            let spared = self.forget_closed() || !self.closed.is_empty();
            if !spared && self.sockets.pop_oldest().is_some() {
                self.evicted += 1;
            }
        }
    }

    /// Forgets the one that closed first, if it did not open again; tells whether there was one.
    fn forget_closed(&mut self) -> bool {
        let Some((until, ends)) = self.closed.pop_front() else { return false };
        if self.sockets.get(&ends).is_none_or(|socket| socket.until != Some(until)) {
            return false;
        }
        self.evicted += 1;
        self.sockets.remove(&ends).is_some()
    }

    /// Forgets what closed long enough ago.
    pub(crate) fn tick(&mut self, age: Duration) {
        while let Some((until, ends)) = self.closed.front().copied().filter(|(until, _)| *until <= age) {
            self.closed.pop_front();
            if self.sockets.get(&ends).is_some_and(|socket| socket.until == Some(until)) {
                self.sockets.remove(&ends);
            }
        }
    }

    /// The socket at one end of a flow. One that merely waits at the port counts only for an address of this host, and
    /// for TCP only at the server's end.
    pub(crate) fn find(&self, ends: Ends, life: Life, seat: Seat) -> Option<Match> {
        let anywhere = || {
            // A socket without an address may be a container's, but a stranger that talks to this host is none.
            let local = (unspecified(ends.local.0), ends.local.1);
            let is_possible = seat.is_local || !seat.faces_local;
            if is_possible { self.look(&Ends { local, ..ends }, life) } else { None }
        };
        let exact = self.look(&ends, life).or_else(anywhere);
        if exact.as_ref().is_some_and(|found| found.process.is_some()) {
            return exact;
        }
        if !seat.is_local || seat.is_client && ends.protocol == proto::TCP {
            return exact;
        }
        let (ip, port) = ends.local;
        let places = [ip, unspecified(ip), Ipv6Addr::UNSPECIFIED.into()];
        let waiting = places.into_iter().find_map(|ip| {
            let found = self.look(&Ends::bound(ends.protocol, (ip, port)), life)?;
            found.process.is_some().then_some(Match { is_exact: false, health: None, ..found })
        });
        match (exact, waiting) {
            (Some(exact), Some(waiting)) => Some(Match { health: exact.health, ..waiting }),
            (exact, waiting) => exact.or(waiting),
        }
    }

    fn look(&self, ends: &Ends, life: Life) -> Option<Match> {
        let found = self.sockets.get(ends)?.of(life)?;
        Some(Match { process: found.process.clone(), is_exact: true, health: found.health.as_deref().copied() })
    }
}

fn closes(change: SocketChange) -> bool {
    matches!(change, SocketChange::Released | SocketChange::State { to: SocketState::Close, .. })
}

impl Socket {
    fn new(event: &SocketEvent) -> Self {
        Self { now: Use::new(event.time), before: None, state: None, until: None }
    }

    fn take(&mut self, event: &SocketEvent) {
        if self.is_new_use(event) {
            let past = std::mem::replace(&mut self.now, Use::new(event.time));
            self.before = Some(Box::new(past));
            (self.state, self.until) = (None, None);
        }
        let says = matches!(event.change, SocketChange::Used | SocketChange::Bound);
        if let Some(process) = &event.process
            && (says || self.now.process.is_none())
        {
            self.now.process = Some(Arc::clone(process));
        }
        self.now.is_used |= says;
        if let Some(health) = event.tcp {
            // A last word without times does not take back those told before.
            let old = self.now.health.as_deref().copied().unwrap_or_default();
            let kept = TcpHealth {
                smoothed_rtt: health.smoothed_rtt.or(old.smoothed_rtt),
                rtt_deviation: health.rtt_deviation.or(old.rtt_deviation),
                min_rtt: health.min_rtt.or(old.min_rtt),
                retransmits: health.retransmits.max(old.retransmits),
                out_of_order: health.out_of_order.or(old.out_of_order),
            };
            self.now.health = Some(Box::new(kept));
        }
        if let SocketChange::State { to, .. } = event.change {
            self.state = Some(to);
        }
        if closes(event.change) {
            self.now.closed = Some(event.time);
        }
    }

    /// Whether the event is of another connection than the one known.
    fn is_new_use(&self, event: &SocketEvent) -> bool {
        let is_closed = self.until.is_some();
        match event.change {
            SocketChange::Used | SocketChange::Bound => {
                let is_other = |known: &Arc<Process>| event.process.as_ref().is_some_and(|new| !is_same(known, new));
                is_closed || self.now.is_used && self.now.process.as_ref().is_some_and(is_other)
            }
            SocketChange::State { from: SocketState::Close, to } if to != SocketState::Close => {
                is_closed || self.state.is_some()
            }
            SocketChange::State { to, .. } => is_closed && to != SocketState::Close,
            SocketChange::Measured | SocketChange::Released => false,
        }
    }

    /// The use that a flow is: the latest that began before it ended; the only one there is while it goes on.
    fn of(&self, life: Life) -> Option<&Use> {
        let uses = [Some(&self.now), self.before.as_deref()];
        let is_open = |known: &&Use| known.closed.is_none_or(|closed| life.began_before(closed));
        let mut open = uses.into_iter().flatten().filter(is_open);
        let found = open.clone().find(|known| known.from <= life.last + SLACK);
        // Accepted after its latest packet.
        found.or_else(|| open.next_back().filter(|_| !life.is_finished))
    }
}

impl Use {
    fn new(from: Timestamp) -> Self {
        Self { process: None, from, is_used: false, health: None, closed: None }
    }
}
