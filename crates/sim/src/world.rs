//! The world: hosts, their clocks and disks, messages under way, and the time that passes.
//!
//! Invariant: events are handled in the order of their times, and at equal times in the order in which they came up.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hivewall_cluster::{
    Alarm, BanLimits, Changed, Core, Effect, Event, Flags, Member, NodeId, Now, Order, Peer, Saved, Settings,
    SignedMember,
};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::disk::Disk;
use crate::keys;
use crate::network::Network;
use crate::traffic::{Sort, Traffic};

/// The Unix time at which every world begins, in milliseconds: the beginning of an epoch.
pub(crate) const BEGIN_UNIX_MS: u64 = 1_800_000_000_000;

/// A host.
pub(crate) struct Host {
    pub(crate) id: NodeId,
    pub(crate) core: Option<Core>,
    pub(crate) disk: Disk,
    /// How far its wall clock is off, in milliseconds.
    pub(crate) skew_ms: i64,
    /// Each event waits up to so many microseconds.
    pub(crate) slow_us: u64,
    /// It is suspended until then.
    pub(crate) asleep_until: u64,
    pub(crate) traffic: Traffic,
    pub(crate) alarms: Vec<Alarm>,
    /// Which start of the host this is: messages to an earlier one are lost.
    start: u32,
    uplink_free: u64,
    wake: u64,
}

enum What {
    Wake,
    Event(Event),
    /// The other side's answer has come to the program; the number is the core's.
    Answer(u64, Vec<u8>),
    Epoch,
}

struct Due {
    at: u64,
    order: u64,
    host: usize,
    start: u32,
    what: What,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A stream: who asked, with which number.
struct Stream {
    from: usize,
    start: u32,
    token: u64,
}

/// All of it.
pub struct World {
    pub(crate) hosts: Vec<Host>,
    /// The network, to be changed at will.
    pub network: Network,
    pub(crate) rng: SmallRng,
    pub(crate) now_us: u64,
    /// What each host sees in each epoch; none when nothing is to be summed.
    pub(crate) summaries: Vec<Vec<u8>>,
    /// When each host accepted the version of a policy.
    pub(crate) accepted: BTreeMap<(usize, u64), u64>,
    queue: BinaryHeap<Reverse<Due>>,
    by_id: BTreeMap<NodeId, usize>,
    streams: BTreeMap<u64, Stream>,
    next: u64,
    seed: u64,
}

fn address(host: usize) -> SocketAddr {
    let [_, b, c, d] = (host as u32).to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, b, c, d)), 7734)
}

fn member(host: usize, id: NodeId, revision: u64) -> Member {
    let role = ["web", "db", "cache"].get(host % 3).copied().unwrap_or_default();
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Member {
        id,
        revision,
        name: format!("host-{host}.example"),
        addresses: vec![address(host)],
        labels: [label("role", role), label("env", "prod")].into(),
        flags: Flags { battery: host % 10 == 9, enroller: host == 0 },
        agent: "0.1.0".to_owned(),
        protocol: 1,
    }
}

impl World {
    /// So many hosts, none of them started.
    pub fn new(hosts: usize, seed: u64, network: Network) -> Self {
        let host = |number: usize| Host {
            id: NodeId::of_key(&(number as u64 ^ seed << 32).to_le_bytes()),
            core: None,
            disk: Disk::default(),
            skew_ms: 0,
            slow_us: 0,
            asleep_until: 0,
            traffic: Traffic::default(),
            alarms: Vec::new(),
            start: 0,
            uplink_free: 0,
            wake: u64::MAX,
        };
        let hosts: Vec<Host> = (0..hosts).map(host).collect();
        let by_id = hosts.iter().enumerate().map(|(at, host)| (host.id, at)).collect();
        Self {
            hosts,
            network,
            rng: SmallRng::seed_from_u64(seed),
            now_us: 0,
            summaries: Vec::new(),
            accepted: BTreeMap::new(),
            queue: BinaryHeap::new(),
            by_id,
            streams: BTreeMap::new(),
            next: 0,
            seed,
        }
    }

    /// Starts all hosts as members that know one another already.
    pub fn start_joined(&mut self) {
        let generation = (BEGIN_UNIX_MS / 1000) as u32;
        let record = |(at, host): (usize, &Host)| {
            let member = member(at, host.id, 1);
            let signed: SignedMember = keys::member(&member);
            (generation, Arc::new((member, signed)))
        };
        let members: Vec<_> = self.hosts.iter().enumerate().map(record).collect();
        for at in 0..self.hosts.len() {
            self.start_with(at, Saved { members: members.clone(), ..Saved::default() });
        }
    }

    /// Starts a host with what is on its disk; `seeds` are hosts to join through.
    pub(crate) fn start(&mut self, at: usize, seeds: &[usize]) {
        let Some(host) = self.hosts.get(at) else { return };
        let saved = host.disk.read();
        let own = keys::member(&member(at, host.id, BEGIN_UNIX_MS + self.now_us / 1000));
        self.start_with(at, saved);
        self.order(at, Order::Describe(own));
        let seeds: Vec<Peer> = seeds.iter().map(|seed| Peer::Address(address(*seed))).collect();
        if !seeds.is_empty() {
            self.order(at, Order::Join(seeds));
        }
    }

    fn start_with(&mut self, at: usize, saved: Saved) {
        let now = self.clock(at);
        let seed = self.seed ^ self.rng.random::<u64>();
        let Some(host) = self.hosts.get_mut(at) else { return };
        let settings = Settings { id: host.id, seed, bans: BanLimits::default(), verifier: Box::new(keys::Keys) };
        host.core = Some(Core::new(settings, saved, now));
        host.start += 1;
        host.wake = u64::MAX;
        self.step(at, Event::Wake);
        let offset = (BEGIN_UNIX_MS + self.now_us / 1000) % 10_000;
        self.put(self.now_us + (10_000 - offset) * 1000, at, What::Epoch);
    }

    /// Ends a host at once.
    pub(crate) fn crash(&mut self, at: usize) {
        if let Some(host) = self.hosts.get_mut(at) {
            host.core = None;
            host.start += 1;
        }
    }

    /// Gives a host an order.
    pub(crate) fn order(&mut self, at: usize, order: Order) {
        self.step(at, Event::Order(order));
    }

    /// Both clocks of a host.
    pub(crate) fn clock(&self, at: usize) -> Now {
        let ms = self.now_us / 1000;
        let skew = self.hosts.get(at).map_or(0, |host| host.skew_ms);
        Now { ms, unix_ms: (BEGIN_UNIX_MS + ms).saturating_add_signed(skew) }
    }

    pub(crate) fn core(&self, at: usize) -> Option<&Core> {
        self.hosts.get(at)?.core.as_ref()
    }

    /// Hosts that run, by their numbers.
    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|at| self.core(*at).is_some()).collect()
    }

    /// Lets time pass until then, in milliseconds since the beginning.
    pub fn run_until(&mut self, ms: u64) {
        let end = ms * 1000;
        while self.queue.peek().is_some_and(|Reverse(due)| due.at <= end) {
            let Some(Reverse(due)) = self.queue.pop() else { break };
            self.now_us = self.now_us.max(due.at);
            self.handle(due);
        }
        self.now_us = self.now_us.max(end);
    }

    /// Lets time pass until something holds, at most so long; when it held, in milliseconds since the beginning.
    pub(crate) fn run_while(&mut self, ms: u64, step_ms: u64, holds: impl Fn(&Self) -> bool) -> Option<u64> {
        let end = self.now_us / 1000 + ms;
        while self.now_us / 1000 < end {
            self.run_until(self.now_us / 1000 + step_ms);
            if holds(self) {
                return Some(self.now_us / 1000);
            }
        }
        None
    }

    fn handle(&mut self, due: Due) {
        let Some(host) = self.hosts.get(due.host) else { return };
        if host.start != due.start || host.core.is_none() {
            return;
        }
        if host.asleep_until > self.now_us {
            let at = host.asleep_until;
            self.queue.push(Reverse(Due { at, ..due }));
            return;
        }
        match due.what {
            What::Wake => {
                if host.wake == due.at || host.wake <= self.now_us {
                    self.step(due.host, Event::Wake);
                }
            }
            What::Event(event) => self.step(due.host, event),
            What::Answer(token, bytes) => self.step(due.host, Event::Response { token, bytes: Some(bytes) }),
            What::Epoch => {
                self.put(self.now_us + 10_000_000, due.host, What::Epoch);
                let epoch = self.clock(due.host).unix_ms / 10_000 - 1;
                if let Some(summary) = self.summaries.get(due.host % self.summaries.len().max(1)).cloned() {
                    self.order(due.host, Order::Contribute { epoch, summary });
                }
            }
        }
    }

    fn put(&mut self, at: u64, host: usize, what: What) {
        self.next += 1;
        let start = self.hosts.get(host).map_or(0, |host| host.start);
        self.queue.push(Reverse(Due { at, order: self.next, host, start, what }));
    }

    fn step(&mut self, at: usize, event: Event) {
        let now = self.clock(at);
        let mut effects = Vec::new();
        let Some(core) = self.hosts.get_mut(at).and_then(|host| host.core.as_mut()) else { return };
        core.step(now, event, &mut effects);
        effects.into_iter().for_each(|effect| self.carry_out(at, effect));
    }

    fn carry_out(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Datagram { to, bytes } => self.send_datagram(at, to, &bytes),
            Effect::Request { to, token, bytes } => self.send_request(at, to, token, bytes),
            Effect::Respond { token, bytes } => self.send_response(at, token, bytes),
            Effect::WakeAt(ms) => {
                let due = (ms * 1000).max(self.now_us);
                if let Some(host) = self.hosts.get_mut(at) {
                    host.wake = due;
                }
                self.put(due, at, What::Wake);
            }
            Effect::Persist(what) => {
                if let Some(host) = self.hosts.get_mut(at) {
                    host.disk.write(what);
                }
            }
            Effect::Changed(Changed::Policy(head)) => {
                self.accepted.insert((at, head.version), self.now_us / 1000);
            }
            Effect::Changed(Changed::Alarm(alarm)) => {
                if let Some(host) = self.hosts.get_mut(at) {
                    host.alarms.push(alarm);
                }
            }
            Effect::Changed(_) => {}
        }
    }

    /// When a message that a host sends now leaves it.
    fn leaves(&mut self, at: usize, sort: Sort, bytes: &[u8]) -> u64 {
        let busy = self.network.sending_us(bytes.len());
        let Some(host) = self.hosts.get_mut(at) else { return self.now_us };
        host.traffic.count(sort, bytes);
        host.uplink_free = host.uplink_free.max(self.now_us) + busy;
        host.uplink_free
    }

    /// When a message that arrives is handled.
    fn handled(&mut self, at: usize, arrives: u64) -> u64 {
        let slow = self.hosts.get(at).map_or(0, |host| host.slow_us);
        if slow == 0 { arrives } else { arrives + self.rng.random_range(0..slow) }
    }

    pub(crate) fn send_datagram(&mut self, at: usize, to: NodeId, bytes: &[u8]) {
        let leaves = self.leaves(at, Sort::Datagram, bytes);
        let Some(to) = self.by_id.get(&to).copied() else { return };
        let from = self.hosts.get(at).map_or(NodeId([0; 16]), |host| host.id);
        let copies = 1 + usize::from(self.network.is_doubled(&mut self.rng));
        for _ in 0..copies {
            if self.network.is_lost(&mut self.rng) || !self.network.reaches(at, to) {
                continue;
            }
            let arrives = leaves + self.network.flight_us(&mut self.rng);
            let handled = self.handled(to, arrives);
            self.put(handled, to, What::Event(Event::Datagram { from, bytes: bytes.to_vec() }));
        }
    }

    fn send_request(&mut self, at: usize, to: Peer, token: u64, bytes: Vec<u8>) {
        let leaves = self.leaves(at, Sort::Request, &bytes);
        let to = match to {
            Peer::Node(id) => self.by_id.get(&id).copied(),
            Peer::Address(peer) => (0..self.hosts.len()).find(|host| address(*host) == peer),
        };
        let (Some(to), Some(host)) = (to, self.hosts.get(at)) else { return };
        let (from, start) = (host.id, host.start);
        if !self.network.reaches(at, to) {
            return;
        }
        self.next += 1;
        let number = self.next;
        self.streams.insert(number, Stream { from: at, start, token });
        let repeats = self.network.repeats_us(bytes.len(), &mut self.rng);
        let arrives = leaves + self.network.flight_us(&mut self.rng) + repeats;
        let handled = self.handled(to, arrives);
        self.put(handled, to, What::Event(Event::Request { from, token: number, bytes }));
    }

    fn send_response(&mut self, at: usize, token: u64, bytes: Vec<u8>) {
        let leaves = self.leaves(at, Sort::Response, &bytes);
        let Some(stream) = self.streams.remove(&token) else { return };
        let is_there = self.hosts.get(stream.from).is_some_and(|host| host.start == stream.start);
        if !is_there || !self.network.reaches(at, stream.from) {
            return;
        }
        let repeats = self.network.repeats_us(bytes.len(), &mut self.rng);
        let arrives = leaves + self.network.flight_us(&mut self.rng) + repeats;
        let handled = self.handled(stream.from, arrives);
        self.put(handled, stream.from, What::Answer(stream.token, bytes));
    }
}
