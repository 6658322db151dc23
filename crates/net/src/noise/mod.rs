//! Sealed datagrams between members: sessions by Noise IK (`snow`), their table, their beginnings and their ends.
//! No sockets and no clock: packets go in with their path and a time, packets come out.
//!
//! A first message carries the sender's passport and a datagram. It could be an old one, recorded and sent again, so
//! its datagram is given out at once only if its time is later than that of any before from this host, and else when
//! the peer has proved with the new keys that it is there. Invariant: nothing is given out twice, nothing is given out
//! in the name of a host that did not seal it, and only members take memory.

mod begin;
mod session;
mod wire;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hivewall_cluster::{ClusterId, NodeId};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use self::begin::Handshake;
use self::session::{Opened, Say, Session, Timing};
use self::wire::Packet;
use crate::limits::{Bucket, Gate, Limits};
use crate::losses::{Carried, Counters, LinkReason};

pub(crate) use self::wire::{PACKET_BYTES_MAX, is_quic};

/// Keys of a session are replaced after this time.
const REKEY_US: u64 = 3600 * 1_000_000;
/// A session that is older is not used any more; what is younger than the replacement still is, for late packets.
const END_US: u64 = REKEY_US + 180 * 1_000_000;
/// Datagrams kept for a host while a session begins.
const QUEUE_MAX: usize = 16;

/// Between which addresses a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// The other host's.
    pub(crate) remote: SocketAddr,
    /// This host's, where the kernel says it: answers leave from where they were asked.
    pub(crate) local: Option<IpAddr>,
}

/// Who has which key. Answered from certificates and passports.
pub(crate) trait Directory {
    /// The X25519 key of a member that may be talked to.
    fn noise_key(&self, id: NodeId) -> Option<[u8; 32]>;
    /// Whose passport this is, if it is good now, and the holder's X25519 key.
    fn admit(&self, passport: &[u8]) -> Option<(NodeId, [u8; 32])>;
}

/// What this host proves itself with.
pub(crate) struct Proof {
    pub(crate) secret: [u8; 32],
    pub(crate) public: [u8; 32],
    pub(crate) passport: Vec<u8>,
}

/// What is known of a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) rtt_us: Option<f64>,
    pub(crate) jitter_us: f64,
    pub(crate) loss: f64,
    pub(crate) heard_us: u64,
    pub(crate) remote: SocketAddr,
}

/// A peer.
struct Peer {
    /// Of the session that is used for sending.
    current: Option<u32>,
    /// Of the one before, for packets that come late.
    previous: Option<u32>,
    /// Of one that the peer began and has not proved yet.
    unproved: Option<u32>,
    handshake: Option<Box<Handshake>>,
    queue: VecDeque<Vec<u8>>,
    /// Time in the last first message whose datagram was given out.
    last_hello: Option<u64>,
    timing: Timing,
    datagrams: Bucket,
    bytes: Bucket,
    used_us: u64,
}

impl Peer {
    fn is_within(&mut self, bytes: usize, limits: &Limits, now_us: u64) -> bool {
        self.datagrams.take(1, limits.datagrams_s, now_us)
            && self.bytes.take(bytes as u32, limits.datagram_bytes_s, now_us)
    }
}

/// All sessions of this host.
pub(crate) struct Noise {
    prologue: Vec<u8>,
    proof: Proof,
    mac_key: [u8; 32],
    limits: Limits,
    gate: Gate,
    cookie_secret: ([u8; 32], [u8; 32], u64),
    peers: BTreeMap<NodeId, Peer>,
    sessions: HashMap<u32, Session>,
    /// Handshakes that this host began, by its number.
    begun: HashMap<u32, NodeId>,
    /// Peers that have not proved a session for which something waits, and until when.
    patience: VecDeque<(u64, NodeId)>,
    rng: StdRng,
    counters: Arc<Counters>,
    out: Vec<(Path, Vec<u8>)>,
    given: Vec<Given>,
    /// Unix microseconds at time zero of the monotonic clock, for first messages.
    epoch_us: u64,
}

/// What came for the program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// A datagram from a peer that has proved its name.
    Datagram(NodeId, Vec<u8>),
    /// The peer says that it goes.
    Farewell(NodeId),
}

impl Noise {
    pub(crate) fn new(
        cluster: ClusterId,
        proof: Proof,
        limits: Limits,
        seed: [u8; 32],
        (now_us, unix_us): (u64, u64),
        counters: Arc<Counters>,
    ) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let prologue = [b"hivewall link 1".as_slice(), &cluster.0].concat();
        Self {
            mac_key: mac_key(&prologue, &proof.public),
            prologue,
            proof,
            gate: Gate::new(rng.random(), &limits, now_us),
            limits,
            cookie_secret: (rng.random(), rng.random(), now_us),
            peers: BTreeMap::new(),
            sessions: HashMap::new(),
            begun: HashMap::new(),
            patience: VecDeque::new(),
            rng,
            counters,
            out: Vec::new(),
            given: Vec::new(),
            epoch_us: unix_us.saturating_sub(now_us),
        }
    }

    /// A newer passport for the same key.
    pub(crate) fn renew(&mut self, passport: Vec<u8>) {
        self.proof.passport = passport;
    }

    /// Packets to send, since the last call.
    pub(crate) fn take_out(&mut self) -> Vec<(Path, Vec<u8>)> {
        std::mem::take(&mut self.out)
    }

    /// What came for the program, since the last call.
    pub(crate) fn take_given(&mut self) -> Vec<Given> {
        std::mem::take(&mut self.given)
    }

    /// Sends a datagram to a member, over its session or with the first message of a new one.
    pub(crate) fn send(
        &mut self,
        to: NodeId,
        addresses: &[SocketAddr],
        bytes: Vec<u8>,
        directory: &dyn Directory,
        now_us: u64,
    ) {
        if let Some(index) = self.usable(to, now_us) {
            self.seal(index, Say::Body(&bytes), now_us);
            if self
                .sessions
                .get(&index)
                .is_some_and(|session| session.is_initiator && session.born_us + REKEY_US < now_us)
            {
                self.begin(to, addresses, None, directory, now_us);
            }
            return;
        }
        let waits = self.peers.get(&to).is_some_and(|peer| peer.handshake.is_some() || peer.unproved.is_some());
        if waits {
            self.enqueue(to, bytes, now_us);
        } else {
            self.begin(to, addresses, Some(bytes), directory, now_us);
        }
    }

    fn usable(&mut self, to: NodeId, now_us: u64) -> Option<u32> {
        let peer = self.peers.get_mut(&to)?;
        peer.used_us = now_us;
        let index = peer.current?;
        let is_young = self.sessions.get(&index).is_some_and(|session| now_us < session.born_us + END_US);
        is_young.then_some(index)
    }

    fn enqueue(&mut self, to: NodeId, bytes: Vec<u8>, now_us: u64) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        if peer.queue.is_empty() && peer.handshake.is_none() {
            self.patience.push_back((now_us + begin::UNPROVED_US, to));
        }
        peer.queue.push_back(bytes);
        if peer.queue.len() > QUEUE_MAX {
            peer.queue.pop_front();
            self.counters.lose(LinkReason::QueueFull);
        }
    }

    fn seal(&mut self, index: u32, say: Say<'_>, now_us: u64) {
        let Some(session) = self.sessions.get_mut(&index) else { return };
        if let Some(packet) = session.seal(say, now_us) {
            self.counters.carry(Carried::DatagramsOut, 1);
            self.counters.carry(Carried::DatagramBytesOut, packet.len());
            self.out.push((session.path, packet));
        }
    }

    /// A packet came.
    pub(crate) fn receive(&mut self, path: Path, packet: &[u8], directory: &dyn Directory, now_us: u64) {
        let refused = match Packet::read(packet) {
            Err(reason) => Some(reason),
            Ok(Packet::Hello { .. }) => self.hello(path, packet, directory, now_us).err(),
            Ok(Packet::Reply { index, to, noise }) => self.reply(path, index, to, noise, now_us).err(),
            Ok(Packet::Data { to, counter, sealed }) => self.data(path, to, counter, sealed, now_us).err(),
            Ok(Packet::Cookie { to, echo, cookie }) => self.cookie(to, echo, cookie, now_us).err(),
            Ok(Packet::Unknown { to, counter }) => self.unknown(path, to, counter, directory, now_us).err(),
        };
        if let Some(reason) = refused {
            self.counters.lose(reason);
        }
    }

    fn data(&mut self, path: Path, to: u32, counter: u64, sealed: &[u8], now_us: u64) -> Result<(), LinkReason> {
        let Some(session) = self.sessions.get_mut(&to) else {
            // The sender learns that it has to begin anew. As short as a data packet can be, and only so often.
            if self.gate.pass(path.remote, &self.limits, now_us) == crate::limits::Pass::Yes {
                self.out.push((path, wire::unknown(to, counter)));
            }
            return Err(LinkReason::NoSession);
        };
        if !session.is_new(counter) {
            return Err(LinkReason::Replayed);
        }
        let peer = self.peers.get_mut(&session.peer).ok_or(LinkReason::NoSession)?;
        let opened = session.open(counter, sealed, path, &mut peer.timing, now_us).ok_or(LinkReason::Forged)?;
        let id = session.peer;
        let packet_bytes = wire::DATA_HEAD + sealed.len();
        peer.used_us = now_us;
        let is_within = peer.is_within(packet_bytes, &self.limits, now_us);
        if !self.sessions.get(&to).is_some_and(|session| session.is_confirmed) {
            self.confirmed(id, to, now_us);
        }
        if !is_within {
            return Err(LinkReason::DatagramRate);
        }
        self.counters.carry(Carried::DatagramsIn, 1);
        self.counters.carry(Carried::DatagramBytesIn, packet_bytes);
        self.give(id, opened);
        Ok(())
    }

    fn give(&mut self, id: NodeId, opened: Opened) {
        self.given.extend(opened.body.map(|body| Given::Datagram(id, body)));
        if opened.is_farewell {
            self.given.push(Given::Farewell(id));
        }
    }

    /// The next time at which [`Self::wake`] has something to do.
    pub(crate) fn next_timer(&self) -> Option<u64> {
        let begun = self.begun.values().filter_map(|id| self.peers.get(id)?.handshake.as_ref().map(|one| one.next_us));
        begun.chain(self.patience.front().map(|(until, _)| *until)).min()
    }

    /// Tells whoever has a session that this host goes.
    pub(crate) fn farewell(&mut self, now_us: u64) {
        let current: Vec<u32> = self.peers.values().filter_map(|peer| peer.current).collect();
        current.into_iter().for_each(|index| self.seal(index, Say::Farewell, now_us));
    }

    /// Ends everything that there is with a host.
    pub(crate) fn close(&mut self, id: NodeId) {
        if let Some(peer) = self.peers.remove(&id) {
            for index in [peer.current, peer.previous, peer.unproved].into_iter().flatten() {
                self.sessions.remove(&index);
            }
            if let Some(handshake) = peer.handshake {
                self.begun.remove(&handshake.index);
            }
        }
    }

    /// Those that there is a session with.
    pub(crate) fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.peers.keys().copied()
    }

    /// What is known of the link to a host.
    pub(crate) fn measured(&self, id: NodeId) -> Option<Measured> {
        let peer = self.peers.get(&id)?;
        let session = self.sessions.get(&peer.current?)?;
        Some(Measured {
            rtt_us: peer.timing.rtt_us,
            jitter_us: peer.timing.jitter_us,
            loss: peer.timing.loss,
            heard_us: session.heard_us,
            remote: session.path.remote,
        })
    }

    /// Forgets hosts that were not talked to for longer than a session lives.
    pub(crate) fn sweep(&mut self, now_us: u64) {
        let is_old = |peer: &Peer| peer.used_us + END_US < now_us;
        let old: Vec<NodeId> = self.peers.iter().filter(|(_, peer)| is_old(peer)).map(|(id, _)| *id).collect();
        old.into_iter().for_each(|id| self.close(id));
    }

    /// Sessions kept.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The peer's entry; whoever was not used for longest goes if the table is full.
    fn peer(&mut self, id: NodeId, now_us: u64) -> &mut Peer {
        if !self.peers.contains_key(&id) && self.peers.len() >= self.limits.sessions {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.used_us).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                self.close(oldest);
                self.counters.lose(LinkReason::SessionEvicted);
            }
        }
        let limits = self.limits;
        let peer = self.peers.entry(id).or_insert_with(|| Peer {
            current: None,
            previous: None,
            unproved: None,
            handshake: None,
            queue: VecDeque::new(),
            last_hello: None,
            timing: Timing::default(),
            datagrams: Bucket::full(limits.datagrams_s, now_us),
            bytes: Bucket::full(limits.datagram_bytes_s, now_us),
            used_us: now_us,
        });
        peer.used_us = now_us;
        peer
    }

    fn new_index(&mut self) -> u32 {
        loop {
            let index: u32 = self.rng.random();
            if !self.sessions.contains_key(&index) && !self.begun.contains_key(&index) {
                return index;
            }
        }
    }
}

/// Who knows a host's key and its cluster can make the mac of a first message; strangers are refused without any
/// arithmetic on curves.
fn mac_key(prologue: &[u8], public: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("hivewall 2026 mac of a first message");
    hasher.update(public).update(prologue);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests;
