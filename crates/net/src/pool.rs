//! QUIC connections: opened when something is asked, kept for the next question, at most so many, least recently used
//! closed first. What a question means, the driver knows.
//!
//! Invariant: a connection is in the pool only after its certificate named a member that may be talked to, and leaves
//! it when that is taken back.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hivewall_cluster::NodeId;
use hivewall_trust::tls::{Peer, SERVER_NAME};
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream, VarInt};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::command::{Command, Question};
use crate::frames::{Kind, read_answer, read_question, write_answer, write_question};
use crate::limits::{Bucket, Gate, Limits, Pass};
use crate::losses::{Carried, Counters, LinkReason};
use crate::membership::{Membership, exporter_of, peer_of};
use crate::port::canonical;

/// The next address of a host is tried so long after the one before, while that is still being tried.
const STAGGER: Duration = Duration::from_millis(150);
/// How long a connection may take to be opened.
const OPEN: Duration = Duration::from_secs(4);
/// How long the other side may take to send a whole question.
const QUESTION: Duration = Duration::from_secs(10);
/// How long this host may take to answer.
const ANSWER: Duration = Duration::from_secs(60);
/// Most connections of one peer: both may open one at once, and a program may want a new one.
const OF_ONE_PEER: usize = 4;
/// Handshakes of others at a time.
const HANDSHAKES: usize = 128;

/// Codes with which connections are closed.
pub(crate) const CLOSED_ENOUGH: VarInt = VarInt::from_u32(1);
pub(crate) const CLOSED_REVOKED: VarInt = VarInt::from_u32(2);
pub(crate) const CLOSED_ENDED: VarInt = VarInt::from_u32(3);
/// Code with which a stream is refused.
const STREAM_REFUSED: VarInt = VarInt::from_u32(1);

/// Whom to ask.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its name, if that is known.
    pub(crate) id: Option<NodeId>,
    /// Where it may be, best first.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// A connection that is kept.
struct Kept {
    peer: NodeId,
    connection: Connection,
    used: Instant,
}

/// What a peer may still open.
struct Streams {
    bucket: Bucket,
    open: Arc<Semaphore>,
}

/// All connections.
pub(crate) struct Pool {
    pub(crate) endpoint: Endpoint,
    membership: Arc<Membership>,
    limits: Limits,
    counters: Arc<Counters>,
    commands: mpsc::Sender<Command>,
    kept: Mutex<Vec<Kept>>,
    streams: Mutex<HashMap<NodeId, Streams>>,
    opening: Mutex<HashMap<NodeId, Arc<tokio::sync::Mutex<()>>>>,
    gate: Mutex<Gate>,
    handshakes: Arc<Semaphore>,
    enrolling: Arc<Semaphore>,
    started: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(crate) fn new(
        endpoint: Endpoint,
        membership: Arc<Membership>,
        limits: Limits,
        secret: [u8; 32],
        counters: Arc<Counters>,
        commands: mpsc::Sender<Command>,
    ) -> Arc<Self> {
        Arc::new(Self {
            endpoint,
            membership,
            limits,
            counters,
            commands,
            kept: Mutex::default(),
            streams: Mutex::default(),
            opening: Mutex::default(),
            gate: Mutex::new(Gate::new(secret, &limits, 0)),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
            enrolling: Arc::new(Semaphore::new(limits.enrolling)),
            started: Instant::now(),
        })
    }

    fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// Asks and waits for the answer; `Ok(None)`: refused. A question may be asked twice if its connection breaks.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        target: Target,
        kind: Kind,
        question: &[u8],
        is_anew: bool,
    ) -> Result<Option<Vec<u8>>, LinkReason> {
        let kept = target.id.filter(|_| !is_anew).and_then(|id| self.reuse(id));
        if let Some(connection) = kept {
            let asked = self.ask_over(&connection, kind, question).await;
            if asked.is_ok() || connection.close_reason().is_none() {
                return asked;
            }
        }
        let connection = self.connect(&target, is_anew).await?;
        self.ask_over(&connection, kind, question).await
    }

    async fn ask_over(
        &self,
        connection: &Connection,
        kind: Kind,
        question: &[u8],
    ) -> Result<Option<Vec<u8>>, LinkReason> {
        if question.len() > kind.question_bytes_max() {
            return Err(LinkReason::StreamTooLong);
        }
        let (mut send, mut receive) = connection.open_bi().await.map_err(|_| LinkReason::StreamBroken)?;
        write_question(&mut send, kind, question).await?;
        self.counters.carry(Carried::StreamsOut, 1);
        self.counters.carry(Carried::StreamBytesOut, question.len());
        let answer = read_answer(&mut receive, kind).await?;
        self.counters.carry(Carried::StreamBytesIn, answer.as_ref().map_or(0, Vec::len));
        Ok(answer)
    }

    /// The newest connection to a peer that is open.
    fn reuse(&self, id: NodeId) -> Option<Connection> {
        let mut kept = lock(&self.kept);
        let mut open = kept.iter_mut().rev().filter(|one| one.peer == id && one.connection.close_reason().is_none());
        let one = open.next()?;
        one.used = Instant::now();
        Some(one.connection.clone())
    }

    /// Opens a connection. Those who want one to the same peer at once share it.
    async fn connect(self: &Arc<Self>, target: &Target, is_anew: bool) -> Result<Connection, LinkReason> {
        let Some(id) = target.id.filter(|_| !is_anew) else { return self.open(target).await };
        let turn = lock(&self.opening).entry(id).or_default().clone();
        let guard = turn.lock().await;
        let connection = match self.reuse(id) {
            Some(connection) => Ok(connection),
            None => self.open(target).await,
        };
        drop(guard);
        // Whoever still waits has its own handle of the turn.
        lock(&self.opening).retain(|_, turn| Arc::strong_count(turn) > 1);
        connection
    }

    async fn open(self: &Arc<Self>, target: &Target) -> Result<Connection, LinkReason> {
        if target.addresses.is_empty() {
            return Err(LinkReason::NoAddress);
        }
        let mut tries = JoinSet::new();
        for (at, address) in target.addresses.iter().copied().enumerate() {
            let (pool, id) = (self.clone(), target.id);
            tries.spawn(async move {
                tokio::time::sleep(STAGGER * at as u32).await;
                tokio::time::timeout(OPEN, pool.open_at(address, id)).await.map_err(|_| LinkReason::Unreachable)?
            });
        }
        let mut worst = LinkReason::Unreachable;
        while let Some(tried) = tries.join_next().await {
            match tried {
                Ok(Ok((id, connection))) => {
                    self.keep(id, connection.clone());
                    return Ok(connection);
                }
                Ok(Err(reason)) => worst = reason,
                Err(_) => {}
            }
        }
        Err(worst)
    }

    async fn open_at(&self, address: SocketAddr, id: Option<NodeId>) -> Result<(NodeId, Connection), LinkReason> {
        let config = self.membership.client_config().ok_or(LinkReason::Refused)?;
        let connecting = self.endpoint.connect_with(config, address, SERVER_NAME);
        let connection = connecting.map_err(|_| LinkReason::Unreachable)?.await.map_err(|error| reason(&error))?;
        let peer = self.membership.member_at(&connection).filter(|peer| id.is_none_or(|id| id == *peer));
        let Some(peer) = peer else {
            connection.close(CLOSED_REVOKED, b"not the host that was looked for");
            return Err(LinkReason::Refused);
        };
        self.counters.carry(Carried::QuicHandshakes, 1);
        Ok((peer, connection))
    }

    /// Keeps a connection and answers what is asked on it.
    fn keep(self: &Arc<Self>, peer: NodeId, connection: Connection) {
        let mut kept = lock(&self.kept);
        kept.retain(|one| one.connection.close_reason().is_none());
        let of_peer = kept.iter().filter(|one| one.peer == peer).count();
        let oldest = |kept: &[Kept], is_eligible: &dyn Fn(&Kept) -> bool| {
            let eligible = kept.iter().enumerate().filter(|(_, one)| is_eligible(one));
            eligible.min_by_key(|(_, one)| one.used).map(|(at, _)| at)
        };
        let goes = if of_peer >= OF_ONE_PEER {
            oldest(&kept, &|one| one.peer == peer)
        } else if kept.len() >= self.limits.connections {
            oldest(&kept, &|_| true)
        } else {
            None
        };
        if let Some(at) = goes {
            kept.remove(at).connection.close(CLOSED_ENOUGH, b"enough connections");
            self.counters.lose(LinkReason::ConnectionEvicted);
        }
        kept.push(Kept { peer, connection: connection.clone(), used: Instant::now() });
        let present: BTreeSet<NodeId> = kept.iter().map(|one| one.peer).collect();
        drop(kept);
        let now_us = self.now_us();
        let limits = self.limits;
        let mut streams = lock(&self.streams);
        streams.retain(|id, _| present.contains(id));
        streams.entry(peer).or_insert_with(|| Streams {
            bucket: Bucket::full(limits.streams_s, now_us),
            open: Arc::new(Semaphore::new(limits.streams_open as usize)),
        });
        drop(streams);
        tokio::spawn(self.clone().serve(peer, connection));
    }

    /// Takes up what others open, until the endpoint closes.
    pub(crate) async fn accept(self: Arc<Self>) {
        while let Some(incoming) = self.endpoint.accept().await {
            let from = canonical(incoming.remote_address());
            let pass = lock(&self.gate).pass(from, &self.limits, self.now_us());
            match pass {
                Pass::No => {
                    self.counters.lose(LinkReason::SourceRate);
                    incoming.ignore();
                }
                Pass::IfProved if !incoming.remote_address_validated() => {
                    self.counters.lose(LinkReason::Cookie);
                    let _ = incoming.retry();
                }
                Pass::Yes | Pass::IfProved => {
                    let Ok(turn) = self.handshakes.clone().try_acquire_owned() else {
                        self.counters.lose(LinkReason::SourceRate);
                        incoming.ignore();
                        continue;
                    };
                    let pool = self.clone();
                    tokio::spawn(async move {
                        if let Err(reason) = pool.welcome(incoming).await {
                            pool.counters.lose(reason);
                        }
                        drop(turn);
                    });
                }
            }
        }
    }

    async fn welcome(self: &Arc<Self>, incoming: Incoming) -> Result<(), LinkReason> {
        let connecting = incoming.accept().map_err(|error| reason(&error))?;
        let connected = tokio::time::timeout(OPEN, connecting).await.map_err(|_| LinkReason::Unreachable)?;
        let connection = connected.map_err(|error| reason(&error))?;
        self.counters.carry(Carried::QuicHandshakes, 1);
        match peer_of(&connection) {
            Some(Peer::Newcomer) => {
                let turn = self.enrolling.clone().try_acquire_owned().map_err(|_| LinkReason::EnrolRefused)?;
                let pool = self.clone();
                tokio::spawn(async move {
                    pool.enrol(&connection).await;
                    drop(turn);
                });
                Ok(())
            }
            Some(Peer::Member(_)) => {
                // The charter may have changed while the handshake went on.
                let Some(peer) = self.membership.member_at(&connection) else {
                    connection.close(CLOSED_REVOKED, b"not a member, or not any more");
                    return Err(LinkReason::Refused);
                };
                self.keep(peer, connection);
                Ok(())
            }
            None => {
                connection.close(CLOSED_REVOKED, b"no certificate");
                Err(LinkReason::Stranger)
            }
        }
    }

    /// A newcomer may ask one thing.
    async fn enrol(&self, connection: &Connection) {
        let exporter = exporter_of(connection);
        let serve = async {
            let (mut send, mut receive) = connection.accept_bi().await.map_err(|_| LinkReason::StreamBroken)?;
            let (kind, bytes) = read_question(&mut receive).await?;
            let exporter = exporter.filter(|_| kind == Kind::Enrol).ok_or(LinkReason::EnrolRefused)?;
            let (answer, answered) = oneshot::channel();
            let question = Question::Enrol { exporter, bytes, answer };
            self.commands.send(Command::Question(question)).await.map_err(|_| LinkReason::Backlog)?;
            let answer = answered.await.ok().flatten();
            write_answer(&mut send, answer.as_deref()).await?;
            let _ = send.stopped().await;
            answer.map(|_| ()).ok_or(LinkReason::EnrolRefused)
        };
        let result = tokio::time::timeout(QUESTION, serve).await.unwrap_or(Err(LinkReason::StreamBroken));
        if let Err(reason) = result {
            self.counters.lose(reason);
        }
        connection.close(CLOSED_ENDED, b"");
    }

    /// Answers what a peer asks on a connection, until that ends.
    async fn serve(self: Arc<Self>, peer: NodeId, connection: Connection) {
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            let Some(turn) = self.may_open(peer) else {
                self.counters.lose(LinkReason::StreamRate);
                let _ = send.reset(STREAM_REFUSED);
                let _ = receive.stop(STREAM_REFUSED);
                continue;
            };
            let pool = self.clone();
            tokio::spawn(async move {
                if let Err(reason) = pool.answer(peer, &mut send, &mut receive).await {
                    pool.counters.lose(reason);
                    let _ = send.reset(STREAM_REFUSED);
                    let _ = receive.stop(STREAM_REFUSED);
                }
                drop(turn);
            });
        }
        lock(&self.kept).retain(|one| one.connection.stable_id() != connection.stable_id());
    }

    fn may_open(&self, peer: NodeId) -> Option<tokio::sync::OwnedSemaphorePermit> {
        let now_us = self.now_us();
        let mut streams = lock(&self.streams);
        let streams = streams.get_mut(&peer)?;
        if !streams.bucket.take(1, self.limits.streams_s, now_us) {
            return None;
        }
        streams.open.clone().try_acquire_owned().ok()
    }

    async fn answer(&self, peer: NodeId, send: &mut SendStream, receive: &mut RecvStream) -> Result<(), LinkReason> {
        let read = tokio::time::timeout(QUESTION, read_question(receive));
        let (kind, bytes) = read.await.map_err(|_| LinkReason::StreamBroken)??;
        self.counters.carry(Carried::StreamsIn, 1);
        self.counters.carry(Carried::StreamBytesIn, bytes.len());
        self.touch(peer);
        let (answer, answered) = oneshot::channel();
        let question = match kind {
            Kind::Core => Question::Core { from: peer, bytes, answer },
            Kind::Program => Question::Program { from: peer, bytes, answer },
            Kind::Renew => Question::Renew { from: peer, answer },
            Kind::Enrol => return Err(LinkReason::Malformed),
        };
        self.commands.send(Command::Question(question)).await.map_err(|_| LinkReason::Backlog)?;
        let answer = tokio::select! {
            answer = answered => answer.ok().flatten(),
            // The asker does not wait any more.
            _ = send.stopped() => return Ok(()),
            () = tokio::time::sleep(ANSWER) => None,
        };
        self.counters.carry(Carried::StreamBytesOut, answer.as_ref().map_or(0, Vec::len));
        write_answer(send, answer.as_deref()).await
    }

    fn touch(&self, peer: NodeId) {
        let mut kept = lock(&self.kept);
        if let Some(one) = kept.iter_mut().rev().find(|one| one.peer == peer) {
            one.used = Instant::now();
        }
    }

    /// Closes everything with a peer.
    pub(crate) fn close(&self, peer: NodeId, code: VarInt) {
        let mut kept = lock(&self.kept);
        kept.iter().filter(|one| one.peer == peer).for_each(|one| one.connection.close(code, b""));
        kept.retain(|one| one.peer != peer);
    }

    /// Peers that there is a connection with.
    pub(crate) fn peers(&self) -> Vec<NodeId> {
        lock(&self.kept).iter().map(|one| one.peer).collect()
    }

    /// Connections that are open.
    pub(crate) fn open_connections(&self) -> usize {
        lock(&self.kept).iter().filter(|one| one.connection.close_reason().is_none()).count()
    }

    /// What QUIC itself measured of the link to a peer: round trip, share of packets that were lost, where it is.
    pub(crate) fn measured(&self, peer: NodeId) -> Option<(Duration, f64, SocketAddr)> {
        let kept = lock(&self.kept);
        let one = kept.iter().rev().find(|one| one.peer == peer && one.connection.close_reason().is_none())?;
        let path = one.connection.stats().path;
        let loss = path.lost_packets as f64 / path.sent_packets.max(1) as f64;
        Some((path.rtt, loss, canonical(one.connection.remote_address())))
    }
}

fn reason(error: &quinn::ConnectionError) -> LinkReason {
    tracing::debug!(%error, "a connection failed");
    match error {
        quinn::ConnectionError::VersionMismatch => LinkReason::Version,
        quinn::ConnectionError::TransportError(_) | quinn::ConnectionError::ConnectionClosed(_) => LinkReason::Refused,
        quinn::ConnectionError::TimedOut => LinkReason::Unreachable,
        _ => LinkReason::StreamBroken,
    }
}
