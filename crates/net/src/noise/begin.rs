//! How sessions begin: first messages, their answers, cookies, and what happens when nobody answers.
//!
//! Either side may begin, both at once too: then there are two sessions for a while, and each side sends over the one
//! that was proved last. Invariant: the costs of a first message rise in steps (hash, budget of its source, budget of
//! all, curve, signature), and each step is only taken when the one before was passed.

use std::net::SocketAddr;

use hivewall_cluster::NodeId;
use rand::RngExt as _;
use snow::{Builder, HandshakeState, params::NoiseParams};

use super::session::{Say, Session};
use super::wire::{self, Packet};
use super::{Directory, Noise, Path, mac_key};
use crate::limits::Pass;
use crate::losses::{Carried, LinkReason};

/// The handshake: both static keys, the asker's sealed; the asker knows the other's before.
const PATTERN: &str = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
/// After this time without an answer the next address is tried.
const TRY_US: u64 = 120_000;
/// Tries before a host counts as out of reach, or as many as it has addresses.
const TRIES: usize = 4;
/// How long a session that the peer began may stay unproved before this host begins one.
pub(super) const UNPROVED_US: u64 = 250_000;
/// Cookies hold for one to two of these.
const COOKIE_US: u64 = 120_000_000;
/// Longest payload of a first message.
const PAYLOAD_BYTES_MAX: usize = 1232 - 22 - 96 - 16;
/// Longest passport.
const PASSPORT_BYTES_MAX: usize = 640;

/// A session that this host began and that was not answered yet.
pub(super) struct Handshake {
    pub(super) index: u32,
    state: HandshakeState,
    noise: Vec<u8>,
    cookie: [u8; 16],
    mac: [u8; 16],
    mac_key: [u8; 32],
    addresses: Vec<SocketAddr>,
    tries: usize,
    pub(super) next_us: u64,
}

/// What a first message says.
struct Said {
    id: NodeId,
    at: u64,
    datagram: Option<Vec<u8>>,
}

fn params() -> Option<NoiseParams> {
    PATTERN.parse().ok()
}

impl Noise {
    fn builder(&self) -> Option<Builder<'_>> {
        Builder::new(params()?).prologue(&self.prologue).ok()?.local_private_key(&self.proof.secret).ok()
    }

    /// Begins a session. The datagram goes with the first message if there is room, else it waits.
    pub(super) fn begin(
        &mut self,
        to: NodeId,
        addresses: &[SocketAddr],
        datagram: Option<Vec<u8>>,
        directory: &dyn Directory,
        now_us: u64,
    ) {
        let Some(key) = directory.noise_key(to).filter(|_| !addresses.is_empty()) else {
            return self.counters.lose(LinkReason::NoAddress);
        };
        if self.peers.get(&to).is_some_and(|peer| peer.handshake.is_some()) {
            return;
        }
        let mut payload = (self.epoch_us + now_us).to_le_bytes().to_vec();
        payload.extend((self.proof.passport.len() as u16).to_le_bytes());
        payload.extend(&self.proof.passport);
        let (first, waiting) = match datagram {
            Some(bytes) if payload.len() + bytes.len() <= PAYLOAD_BYTES_MAX => (Some(bytes), None),
            other => (None, other),
        };
        payload.extend(first.iter().flatten());
        let mut noise = vec![0; payload.len() + 128];
        let written = self.builder().and_then(|builder| {
            let mut state = builder.remote_public_key(&key).ok()?.build_initiator().ok()?;
            let length = state.write_message(&payload, &mut noise).ok()?;
            Some((state, length))
        });
        // The key of somebody who was admitted is a point of the curve, so this does not happen.
        let Some((state, length)) = written else { return self.counters.lose(LinkReason::Refused) };
        noise.truncate(length);
        let index = self.new_index();
        let handshake = Handshake {
            index,
            state,
            noise,
            cookie: [0; 16],
            mac: [0; 16],
            mac_key: mac_key(&self.prologue, &key),
            addresses: addresses.to_vec(),
            tries: 0,
            next_us: now_us,
        };
        self.begun.insert(index, to);
        self.peer(to, now_us).handshake = Some(Box::new(handshake));
        waiting.into_iter().for_each(|bytes| self.enqueue(to, bytes, now_us));
        self.try_next(to, now_us);
    }

    /// Sends a first message to the next address.
    fn try_next(&mut self, to: NodeId, now_us: u64) {
        let Some(handshake) = self.peers.get_mut(&to).and_then(|peer| peer.handshake.as_mut()) else { return };
        let address = handshake.addresses.get(handshake.tries % handshake.addresses.len().max(1)).copied();
        handshake.tries += 1;
        // Two addresses and an answer on the way: the second round waits longer.
        let round = handshake.tries.div_ceil(handshake.addresses.len().max(1)) as u64;
        handshake.next_us = now_us + TRY_US * round;
        let packet = wire::hello(handshake.index, &handshake.cookie, &handshake.noise, &handshake.mac_key);
        if let Some(mac) = packet.last_chunk::<16>() {
            handshake.mac = *mac;
        }
        if let Some(remote) = address {
            self.counters.carry(Carried::DatagramsOut, 1);
            self.counters.carry(Carried::DatagramBytesOut, packet.len());
            self.out.push((Path { remote, local: None }, packet));
        }
    }

    /// A time has come: hosts that did not answer are tried again or given up.
    pub(crate) fn wake(&mut self, directory: &dyn Directory, now_us: u64) {
        let is_late = |id: &NodeId| {
            self.peers.get(id).and_then(|peer| peer.handshake.as_ref()).is_some_and(|one| one.next_us <= now_us)
        };
        let due: Vec<NodeId> = self.begun.values().copied().filter(is_late).collect();
        for id in due {
            let is_over = |one: &Handshake| one.tries >= TRIES.max(one.addresses.len());
            if self.peers.get(&id).and_then(|peer| peer.handshake.as_deref()).is_some_and(is_over) {
                self.give_up(id);
            } else {
                self.try_next(id, now_us);
            }
        }
        self.forget_unproved(directory, now_us);
    }

    fn give_up(&mut self, id: NodeId) {
        self.counters.lose(LinkReason::Unreachable);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.queue.drain(..).for_each(|_| self.counters.lose(LinkReason::Unreachable));
        if let Some(handshake) = peer.handshake.take() {
            self.begun.remove(&handshake.index);
        }
        if peer.current.is_none() && peer.unproved.is_none() {
            self.peers.remove(&id);
        }
    }

    /// What waits for a peer to prove itself does not wait for ever: this host begins a session then.
    fn forget_unproved(&mut self, directory: &dyn Directory, now_us: u64) {
        while let Some((_, id)) = self.patience.pop_front_if(|(until, _)| *until <= now_us) {
            let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.handshake.is_none()) else { continue };
            let Some(index) = peer.unproved.take() else { continue };
            let first = peer.queue.pop_front();
            let path = self.sessions.remove(&index).map(|session| session.path.remote);
            let addresses: Vec<SocketAddr> = path.into_iter().collect();
            self.begin(id, &addresses, first, directory, now_us);
        }
    }

    /// A first message came.
    pub(super) fn hello(
        &mut self,
        path: Path,
        packet: &[u8],
        directory: &dyn Directory,
        now_us: u64,
    ) -> Result<(), LinkReason> {
        let Ok(Packet::Hello { index, cookie, noise, covered, mac }) = Packet::read(packet) else {
            return Err(LinkReason::Malformed);
        };
        // Which of the bytes differs tells nothing that helps: the message has to be made anew for each try anyway.
        if wire::mac_of(&self.mac_key, covered) != mac {
            return Err(LinkReason::Stranger);
        }
        match self.gate.pass(path.remote, &self.limits, now_us) {
            Pass::Yes => {}
            Pass::IfProved if self.is_baked_here(&cookie, path.remote, now_us) => {}
            Pass::IfProved => {
                let baked = bake(&self.cookie_secret.0, path.remote);
                self.out.push((path, wire::cookie(index, &mac, &baked)));
                return Err(LinkReason::Cookie);
            }
            Pass::No => return Err(LinkReason::SourceRate),
        }
        let mut state = self.builder().and_then(|builder| builder.build_responder().ok()).ok_or(LinkReason::Refused)?;
        let mut payload = vec![0; noise.len()];
        let length = state.read_message(noise, &mut payload).map_err(|_| LinkReason::Stranger)?;
        payload.truncate(length);
        let said = read_payload(&payload, &state, directory)?;
        self.counters.carry(Carried::DatagramBytesIn, packet.len());
        if let Some(answer) = self.answered_before(&said, index)? {
            self.out.push((path, answer));
            return Ok(());
        }
        let mut answer = [0; 64];
        let length = state.write_message(&[], &mut answer).map_err(|_| LinkReason::Refused)?;
        let transport = state.into_stateless_transport_mode().map_err(|_| LinkReason::Refused)?;
        let own = self.new_index();
        let answer = wire::reply(own, index, answer.get(..length).unwrap_or_default());
        self.out.push((path, answer.clone()));
        self.counters.carry(Carried::NoiseHandshakes, 1);
        let mut session = Session::new(said.id, index, transport, path, now_us);
        session.said_at = Some(said.at);
        session.answer = Some((said.at, answer));
        self.keep_begun_by_peer(own, session, said, now_us);
        Ok(())
    }

    /// The same first message may come twice: over two addresses, because the answer was lost, or replayed. It makes no
    /// second session, and an older one does not push away what is just beginning.
    fn answered_before(&self, said: &Said, index: u32) -> Result<Option<Vec<u8>>, LinkReason> {
        let Some(peer) = self.peers.get(&said.id) else { return Ok(None) };
        let begun = [peer.unproved, peer.current].into_iter().flatten().filter_map(|own| self.sessions.get(&own));
        for session in begun {
            match &session.answer {
                Some((at, answer)) if *at == said.at && session.remote_index == index => {
                    return Ok(Some(answer.clone()));
                }
                Some((at, _)) if *at > said.at && !session.is_confirmed => return Err(LinkReason::Replayed),
                _ => {}
            }
        }
        if peer.last_hello == Some(said.at) { Err(LinkReason::Replayed) } else { Ok(None) }
    }

    fn keep_begun_by_peer(&mut self, own: u32, mut session: Session, said: Said, now_us: u64) {
        let id = said.id;
        let limits = self.limits;
        let peer = self.peer(id, now_us);
        let is_fresh = peer.last_hello.is_some_and(|last| said.at > last);
        let is_within = said.datagram.as_ref().is_none_or(|bytes| peer.is_within(bytes.len(), &limits, now_us));
        session.held = said.datagram.filter(|_| is_within);
        let before = peer.unproved.replace(own);
        if !is_within {
            self.counters.lose(LinkReason::DatagramRate);
        }
        self.sessions.insert(own, session);
        before.into_iter().for_each(|index| drop(self.sessions.remove(&index)));
        if is_fresh {
            self.confirmed(id, own, now_us);
        }
    }

    /// The peer has proved that it is there: the session becomes the one that is used.
    pub(super) fn confirmed(&mut self, id: NodeId, index: u32, now_us: u64) {
        let Some(session) = self.sessions.get_mut(&index) else { return };
        session.is_confirmed = true;
        let held = session.held.take();
        let at = session.said_at;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.unproved == Some(index) {
            peer.unproved = None;
        }
        peer.last_hello = peer.last_hello.max(at);
        if let Some(datagram) = held {
            self.counters.carry(Carried::DatagramsIn, 1);
            self.given.push(super::Given::Datagram(id, datagram));
        }
        self.switch_to(id, index, now_us);
    }

    fn switch_to(&mut self, id: NodeId, index: u32, now_us: u64) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.current != Some(index) {
            let oldest = std::mem::replace(&mut peer.previous, peer.current.replace(index));
            oldest.into_iter().for_each(|index| drop(self.sessions.remove(&index)));
        }
        let waiting: Vec<Vec<u8>> = peer.queue.drain(..).collect();
        waiting.iter().for_each(|bytes| self.seal(index, Say::Body(bytes), now_us));
    }

    /// The answer to a first message of this host.
    pub(super) fn reply(
        &mut self,
        path: Path,
        index: u32,
        to: u32,
        noise: &[u8],
        now_us: u64,
    ) -> Result<(), LinkReason> {
        let id = *self.begun.get(&to).ok_or(LinkReason::NoSession)?;
        let peer = self.peers.get_mut(&id).ok_or(LinkReason::NoSession)?;
        let mut handshake = peer.handshake.take().filter(|one| one.index == to).ok_or(LinkReason::NoSession)?;
        // A forged answer leaves the handshake as it was.
        let mut nothing = [0; 64];
        if handshake.state.read_message(noise, &mut nothing).is_err() {
            peer.handshake = Some(handshake);
            return Err(LinkReason::Forged);
        }
        self.begun.remove(&to);
        let transport = handshake.state.into_stateless_transport_mode().map_err(|_| LinkReason::Refused)?;
        self.sessions.insert(to, Session::new(id, index, transport, path, now_us));
        self.counters.carry(Carried::NoiseHandshakes, 1);
        let has_waiting = self.peers.get(&id).is_some_and(|peer| !peer.queue.is_empty());
        self.switch_to(id, to, now_us);
        if !has_waiting {
            // The other side waits for a sign that this was not an old message.
            self.seal(to, Say::Nothing, now_us);
        }
        Ok(())
    }

    /// The other side is busy and wants to see that this host gets what is sent to its address.
    pub(super) fn cookie(&mut self, to: u32, echo: [u8; 16], cookie: [u8; 16], now_us: u64) -> Result<(), LinkReason> {
        let id = *self.begun.get(&to).ok_or(LinkReason::NoSession)?;
        let handshake =
            self.peers.get_mut(&id).and_then(|peer| peer.handshake.as_mut()).ok_or(LinkReason::NoSession)?;
        if handshake.mac != echo || handshake.cookie == cookie {
            return Err(LinkReason::Forged);
        }
        handshake.cookie = cookie;
        // The address that answered is the one to try.
        handshake.tries = handshake.tries.saturating_sub(1);
        self.try_next(id, now_us);
        Ok(())
    }

    /// The other side has lost the session. Anybody can say that, so the session stays until a new one is there.
    pub(super) fn unknown(
        &mut self,
        path: Path,
        to: u32,
        counter: u64,
        directory: &dyn Directory,
        now_us: u64,
    ) -> Result<(), LinkReason> {
        let is_its = |session: &Session| {
            session.remote_index == to && session.sent == counter + 1 && session.path.remote == path.remote
        };
        if self.gate.pass(path.remote, &self.limits, now_us) == Pass::No {
            return Err(LinkReason::SourceRate);
        }
        let id = self.sessions.values().find(|session| is_its(session)).map(|session| session.peer);
        let id = id.ok_or(LinkReason::NoSession)?;
        self.begin(id, &[path.remote], None, directory, now_us);
        Ok(())
    }

    fn is_baked_here(&mut self, cookie: &[u8; 16], remote: SocketAddr, now_us: u64) -> bool {
        if now_us > self.cookie_secret.2 + COOKIE_US {
            self.cookie_secret = (self.rng.random(), self.cookie_secret.0, now_us);
        }
        [&self.cookie_secret.0, &self.cookie_secret.1].into_iter().any(|secret| bake(secret, remote) == *cookie)
    }
}

/// What proves that somebody gets what is sent to an address.
fn bake(secret: &[u8; 32], remote: SocketAddr) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    match remote.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => hasher.update(&ip.octets()),
        std::net::IpAddr::V6(ip) => hasher.update(&ip.octets()),
    };
    hasher.update(&remote.port().to_le_bytes());
    wire::half(hasher.finalize().as_bytes())
}

fn read_payload(payload: &[u8], state: &HandshakeState, directory: &dyn Directory) -> Result<Said, LinkReason> {
    let read = || {
        let (at, rest) = payload.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (passport, datagram) = rest.split_at_checked(length.min(PASSPORT_BYTES_MAX + 1))?;
        (length <= PASSPORT_BYTES_MAX).then_some((u64::from_le_bytes(*at), passport, datagram))
    };
    let (at, passport, datagram) = read().ok_or(LinkReason::Malformed)?;
    let (id, key) = directory.admit(passport).ok_or(LinkReason::Refused)?;
    if state.get_remote_static() != Some(key.as_slice()) {
        return Err(LinkReason::Refused);
    }
    Ok(Said { id, at, datagram: (!datagram.is_empty()).then(|| datagram.to_vec()) })
}
