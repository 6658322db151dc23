//! The loop that owns the core: packets, questions, orders and times go in; effects are carried out in their order.
//!
//! What is asked of trust stands in `membership`, what newcomers and renewals need in `enroller`. Invariant: nothing of
//! a step is carried out after something of it that could not be made durable.

mod picture;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hivewall_cluster::{Changed, Core, Effect, Event, Member, NodeId, Order, Peer};
use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::command::{AskAnswer, Command, Question, Reply};
use crate::error::NetError;
use crate::frames::Kind;
use crate::losses::{Counters, LinkReason};
use crate::membership::Membership;
use crate::noise::{Given, Noise};
use crate::pool::{CLOSED_ENDED, CLOSED_ENOUGH, CLOSED_REVOKED, Pool, Target};
use crate::port::{Inbox, Port};
use crate::program::{Answer, AskError, Description, Program};
use crate::state::{Life, NodeState};

/// Packets or commands taken up in one turn before other tasks of the node go on.
const TURN: usize = 64;
/// How often a new picture is made at most, when something changed.
const PICTURE_US: u64 = 200_000;
/// How often figures of the links are brought up to date.
const FIGURES_US: u64 = 1_000_000;
/// How often addresses, certificates and old sessions are looked at.
const HOUSEKEEPING_US: u64 = 30_000_000;
/// How soon it is done when somebody comes.
const SOON_US: u64 = 1_000_000;
/// Questions of peers that the core has not answered.
const UNANSWERED_MAX: usize = 4096;

/// How long the last packets may take to get out.
const FAREWELL: Duration = Duration::from_millis(200);

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) clock: Clock,
    pub(crate) core: Core,
    pub(crate) program: Box<dyn Program>,
    pub(crate) noise: Noise,
    pub(crate) port: Arc<Port>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) membership: Arc<Membership>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) description: Description,
    pub(crate) book: Option<hivewall_trust::InvitationBook>,
    pub(crate) listen: SocketAddr,
    pub(crate) from_tasks: mpsc::Sender<Command>,
    pub(crate) pictures: watch::Sender<Arc<NodeState>>,
}

/// The driver.
pub(crate) struct Driver {
    pub(crate) parts: Parts,
    effects: Vec<Effect>,
    replies: HashMap<u64, Reply>,
    next_token: u64,
    /// Times of the next steps, in microseconds.
    wake_us: u64,
    picture_us: u64,
    housekeeping_us: u64,
    is_changed: bool,
    records: BTreeMap<NodeId, Arc<Member>>,
    lives: BTreeMap<NodeId, (Life, u64)>,
    left: BTreeSet<NodeId>,
    is_joined: bool,
    pub(crate) is_renewing: bool,
    described: Vec<SocketAddr>,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            effects: Vec::new(),
            replies: HashMap::new(),
            next_token: 0,
            wake_us: 0,
            picture_us: 0,
            housekeeping_us: 0,
            is_changed: true,
            records: BTreeMap::new(),
            lives: BTreeMap::new(),
            left: BTreeSet::new(),
            is_joined: false,
            is_renewing: false,
            described: Vec::new(),
        }
    }

    /// The first steps: this host's record, and the way to the others.
    pub(crate) fn begin(&mut self, seeds: Vec<SocketAddr>) -> Result<(), NetError> {
        let known: Vec<NodeId> = self.parts.core.members().map(|member| member.id).collect();
        known.into_iter().for_each(|id| self.remember(id));
        self.step(Event::Wake)?;
        self.describe()?;
        if !seeds.is_empty() {
            self.step(Event::Order(Order::Join(seeds.into_iter().map(Peer::Address).collect())))?;
        }
        self.send_packets();
        self.publish(None);
        Ok(())
    }

    /// Runs until it is told to stop or something cannot be made durable.
    pub(crate) async fn run(
        &mut self,
        inbox: &mut Inbox,
        orders: &mut mpsc::UnboundedReceiver<Command>,
        tasks: &mut mpsc::Receiver<Command>,
    ) {
        let ended = loop {
            let sleep = self.time_left();
            let turn = tokio::select! {
                packet = inbox.recv() => match packet {
                    Some((path, packet)) => {
                        self.receive(path, &packet);
                        for _ in 0..TURN {
                            let Ok((path, packet)) = inbox.try_recv() else { break };
                            self.receive(path, &packet);
                        }
                        Ok(false)
                    }
                    None => Ok(true),
                },
                command = orders.recv() => command.map_or(Ok(true), |command| self.command(command)),
                command = tasks.recv() => command.map_or(Ok(true), |command| self.command(command)),
                () = tokio::time::sleep(sleep) => Ok(false),
            };
            let turn = turn.and_then(|is_over| self.turn().map(|()| is_over));
            match turn {
                Ok(false) => {}
                Ok(true) => break None,
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = ended {
            tracing::error!(%error, "this host's part of the fleet has ended");
            self.publish(Some(error.to_string().into()));
        }
        self.parts.pool.endpoint.close(CLOSED_ENDED, b"");
        // The peers learn of it if the last packets get out.
        let _ = tokio::time::timeout(FAREWELL, self.parts.pool.endpoint.wait_idle()).await;
    }

    fn now_us(&self) -> u64 {
        self.parts.clock.us()
    }

    fn time_left(&self) -> Duration {
        let picture = if self.is_changed { self.picture_us } else { self.picture_us + FIGURES_US };
        let times = [self.wake_us, picture, self.housekeeping_us, self.parts.noise.next_timer().unwrap_or(u64::MAX)];
        let next = times.into_iter().min().unwrap_or(u64::MAX);
        Duration::from_micros(next.saturating_sub(self.now_us()))
    }

    fn receive(&mut self, path: crate::noise::Path, packet: &[u8]) {
        let now_us = self.now_us();
        self.parts.noise.receive(path, packet, &*self.parts.membership, now_us);
    }

    /// What is due after each event.
    fn turn(&mut self) -> Result<(), NetError> {
        let now_us = self.now_us();
        self.parts.noise.wake(&*self.parts.membership, now_us);
        for given in self.parts.noise.take_given() {
            match given {
                Given::Datagram(from, bytes) => self.step(Event::Datagram { from, bytes })?,
                Given::Farewell(from) => {
                    self.left.insert(from);
                }
            }
        }
        if now_us >= self.wake_us {
            self.wake_us = u64::MAX;
            self.step(Event::Wake)?;
        }
        if now_us >= self.housekeeping_us {
            self.housekeeping_us = now_us + HOUSEKEEPING_US;
            self.housekeeping(now_us)?;
        }
        self.send_packets();
        let is_due = now_us >= self.picture_us && (self.is_changed || now_us >= self.picture_us + FIGURES_US);
        if is_due {
            self.publish(None);
            self.picture_us = now_us + PICTURE_US;
        }
        Ok(())
    }

    fn housekeeping(&mut self, now_us: u64) -> Result<(), NetError> {
        self.parts.noise.sweep(now_us);
        if self.addresses() != self.described {
            self.describe()?;
        }
        self.renew_if_due()
    }

    fn send_packets(&mut self) {
        for (path, packet) in self.parts.noise.take_out() {
            self.parts.port.send(path, &packet);
        }
    }

    /// One step of the core and all that follows from it.
    pub(crate) fn step(&mut self, event: Event) -> Result<(), NetError> {
        let mut effects = std::mem::take(&mut self.effects);
        self.parts.core.step(self.parts.clock.now(), event, &mut effects);
        let done = effects.drain(..).try_for_each(|effect| self.carry_out(effect));
        self.effects = effects;
        done
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), NetError> {
        match effect {
            Effect::Datagram { to, bytes } => {
                let now_us = self.now_us();
                let parts = &mut self.parts;
                parts.noise.send(to, parts.core.address_of(to), bytes, &*parts.membership, now_us);
            }
            Effect::Request { to, token, bytes } => self.request(to, token, bytes),
            Effect::Respond { token, bytes } => {
                if let Some(reply) = self.replies.remove(&token) {
                    let _ = reply.send(Some(bytes));
                }
            }
            Effect::WakeAt(ms) => self.wake_us = ms * 1000,
            Effect::Persist(what) => self.parts.program.persist(&what).map_err(NetError::Persist)?,
            Effect::Changed(what) => self.changed(&what),
        }
        Ok(())
    }

    pub(crate) fn target(&self, id: NodeId) -> Target {
        let mut addresses = self.parts.core.address_of(id).to_vec();
        // Where it spoke from last is a good guess for a host whose router or network changed.
        let remote = self.parts.noise.measured(id).map(|measured| measured.remote);
        let is_new = remote.filter(|remote| !addresses.contains(remote));
        addresses.extend(is_new);
        Target { id: Some(id), addresses }
    }

    fn request(&self, to: Peer, token: u64, bytes: Vec<u8>) {
        let target = match to {
            Peer::Node(id) => self.target(id),
            Peer::Address(address) => Target { id: None, addresses: vec![address] },
        };
        let (pool, counters, back) =
            (self.parts.pool.clone(), self.parts.counters.clone(), self.parts.from_tasks.clone());
        tokio::spawn(async move {
            let answer = pool.ask(target, Kind::Core, &bytes, false).await;
            if let Err(reason) = answer {
                counters.lose(reason);
            }
            let _ = back.send(Command::Response { token, bytes: answer.ok().flatten() }).await;
        });
    }

    /// Something to do. Whether to end.
    fn command(&mut self, command: Command) -> Result<bool, NetError> {
        match command {
            Command::Question(question) => self.question(question)?,
            Command::Response { token, bytes } => self.step(Event::Response { token, bytes })?,
            Command::Order(order) => {
                self.is_changed = true;
                self.step(Event::Order(order))?;
            }
            Command::Describe(description) => {
                self.parts.description = description;
                self.describe()?;
            }
            Command::Ask { to, question, timeout, is_anew, answer } => self.ask(to, question, timeout, is_anew, answer),
            Command::Audit(author, back) => {
                let _ = back.send(self.parts.core.audit(author).to_vec());
            }
            Command::Renewed(answer) => self.renewed(answer)?,
            Command::Invitations(work) => self.invitations(work)?,
            Command::Stop { leave } => {
                if leave {
                    self.step(Event::Order(Order::Leave))?;
                    let now_us = self.now_us();
                    self.parts.noise.farewell(now_us);
                }
                self.send_packets();
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn question(&mut self, question: Question) -> Result<(), NetError> {
        match question {
            Question::Core { from, bytes, answer } => {
                self.replies.retain(|_, reply| !reply.is_closed());
                if self.replies.len() >= UNANSWERED_MAX {
                    self.parts.counters.lose(LinkReason::Backlog);
                    return Ok(());
                }
                self.next_token += 1;
                self.replies.insert(self.next_token, answer);
                self.step(Event::Request { from, token: self.next_token, bytes })
            }
            Question::Program { from, bytes, answer } => {
                self.parts.program.asked(from, bytes, Answer(answer));
                Ok(())
            }
            Question::Renew { from, answer } => {
                self.answer_renewal(from, answer);
                Ok(())
            }
            Question::Enrol { exporter, bytes, answer } => self.answer_newcomer(&exporter, &bytes, answer),
        }
    }

    fn ask(&self, to: NodeId, question: Vec<u8>, timeout: Duration, is_anew: bool, answer: AskAnswer) {
        let target = self.target(to);
        let (pool, counters) = (self.parts.pool.clone(), self.parts.counters.clone());
        tokio::spawn(async move {
            let asked = tokio::time::timeout(timeout, pool.ask(target, Kind::Program, &question, is_anew)).await;
            if let Ok(Err(reason)) = &asked {
                counters.lose(*reason);
            }
            let _ = answer.send(match asked {
                Err(_) => Err(AskError::Timeout),
                Ok(Ok(Some(bytes))) => Ok(bytes),
                Ok(Ok(None)) => Err(AskError::Refused),
                Ok(Err(LinkReason::NoAddress)) => Err(AskError::Unknown),
                Ok(Err(LinkReason::Refused)) => Err(AskError::NotTrusted),
                Ok(Err(LinkReason::StreamTooLong)) => Err(AskError::TooLong),
                Ok(Err(_)) => Err(AskError::Unreachable),
            });
        });
    }

    fn changed(&mut self, what: &Changed) {
        self.is_changed = true;
        if matches!(what, Changed::Up(_) | Changed::Record(_)) {
            // Perhaps one that can renew this host's papers.
            self.housekeeping_us = self.housekeeping_us.min(self.now_us() + SOON_US);
        }
        let now_ms = crate::clock::unix_us() / 1000;
        match what {
            Changed::Up(id) => {
                self.left.remove(id);
                self.lives.insert(*id, (Life::Alive, now_ms));
                self.remember(*id);
            }
            Changed::Down(id) => {
                let life = if self.left.remove(id) { Life::Left } else { Life::Down };
                self.lives.insert(*id, (life, now_ms));
                // What is asked of it next finds out at once, and a host that comes back gets new links.
                self.parts.pool.close(*id, CLOSED_ENOUGH);
            }
            Changed::Record(id) => self.remember(*id),
            Changed::Joined(is_joined) => self.is_joined = *is_joined,
            Changed::Policy(head) if head.name == hivewall_trust::CHARTER_NAME => self.adopt_charter(),
            _ => {}
        }
        self.parts.program.changed(what);
    }

    fn remember(&mut self, id: NodeId) {
        if let Some(member) = self.parts.core.member(id) {
            self.records.insert(id, Arc::new(member.clone()));
        }
    }

    /// A newer charter: whoever it revokes is cut off at once.
    fn adopt_charter(&mut self) {
        let Some(policy) = self.parts.core.policy(hivewall_trust::CHARTER_NAME).cloned() else { return };
        self.parts.membership.adopt(&policy);
        let linked: BTreeSet<NodeId> = self.parts.noise.peers().chain(self.parts.pool.peers()).collect();
        for id in linked.into_iter().filter(|id| self.parts.membership.is_revoked(*id)) {
            self.parts.noise.close(id);
            self.parts.pool.close(id, CLOSED_REVOKED);
        }
    }

    /// Signs and spreads what this host says of itself.
    pub(crate) fn describe(&mut self) -> Result<(), NetError> {
        self.described = self.addresses();
        let description = &self.parts.description;
        let member = Member {
            id: self.parts.core.id(),
            revision: crate::clock::unix_us() / 1000,
            name: description.name.clone(),
            addresses: self.described.clone(),
            labels: description.labels.clone(),
            flags: description.flags,
            agent: description.agent.clone(),
            protocol: hivewall_cluster::wire::PROTOCOL,
        };
        let record = self.parts.membership.sign_member(&member);
        self.step(Event::Order(Order::Describe(record)))?;
        self.remember(self.parts.core.id());
        self.is_changed = true;
        Ok(())
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        if self.parts.description.advertise.is_empty() {
            return crate::node::own_addresses(self.parts.listen);
        }
        let mut addresses = self.parts.description.advertise.clone();
        addresses.truncate(hivewall_cluster::ADDRESSES_MAX);
        addresses
    }
}
