//! The core itself: its state, its one entry, and what it can be asked.
//!
//! What is done with each kind of event stands in the files beside this one. Invariant: after a step, everything that
//! is to happen later is in a timer, and the program was told of the first.

mod answers;
mod facts;
mod hear;
mod serve;
mod sums;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::aggregate::{FleetTotal, Sums};
use crate::audit::Audit;
use crate::bans::{BanLimits, Bans};
use crate::digest::Digest;
use crate::event::{Alarm, Changed, Effect, Event, Order, Peer, Persist, Stand};
use crate::facts::{Ban, Entry, Fact, Policy, PolicyHead, Verifier};
use crate::id::{NodeId, Now, mix};
use crate::losses::{Losses, Reason};
use crate::member::{Member, SignedMember};
use crate::policies::Policies;
use crate::rumors::Rumors;
use crate::swim::{Life, Notice, Swim};
use crate::timers::Timers;
use crate::wire::{Datagram, Holdings, NodeState, Request};

use self::answers::Pending;

/// How often a digest is sent to somebody, in milliseconds.
const DIGEST_EVERY_MS: u64 = 20_000;
/// How often a host that is alone looks for the others, in milliseconds.
const LONELY_EVERY_MS: u64 = 1000;
/// How soon after joining the first comparison is.
const SETTLE_MS: u64 = 300;
/// A host that comes this much too late to its first timer was away.
const AWAY_MS: u64 = 3000;
/// How many hosts compare what they hold with one that comes.
const GREETERS: u64 = 3;
/// Most records of hosts, living and dead.
const RECORDS_MAX: usize = 20_000;

/// What a core is made of.
pub struct Settings {
    /// This host's name, which its links prove to others.
    pub id: NodeId,
    /// Seed of all random choices: from the system's randomness in earnest, chosen in a simulation.
    pub seed: u64,
    /// What bans are allowed.
    pub bans: BanLimits,
    /// Says whether signatures hold.
    pub verifier: Box<dyn Verifier>,
}

/// What was written down before ([`Persist`]), at the start.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// The last life. The new one is later, and not before the present Unix second.
    pub generation: u32,
    /// Records of hosts, this one's too, each with the last life that was heard of, or 0.
    pub members: Vec<(u32, Arc<(Member, SignedMember)>)>,
    /// Policies, the newest of each name.
    pub policies: Vec<Policy>,
    /// Bans and withdrawals.
    pub bans: Vec<Ban>,
    /// Entries, each chain in its order.
    pub entries: Vec<Entry>,
}

/// One host's part of the fleet.
pub struct Core {
    id: NodeId,
    rng: SmallRng,
    verifier: Box<dyn Verifier>,
    ban_limits: BanLimits,
    now: Now,
    out: Vec<Effect>,
    swim: Swim,
    records: BTreeMap<NodeId, Arc<(Member, SignedMember)>>,
    /// Everybody alive, this host too, by name. Rebuilt when somebody comes or goes.
    alive: Vec<NodeId>,
    policies: Policies,
    bans: Bans,
    audit: Audit,
    rumors: Rumors,
    stands: BTreeMap<PolicyHead, Stand>,
    sums: Sums,
    timers: Timers<Tick>,
    pending: BTreeMap<u64, Pending>,
    next_token: u64,
    seeds: Vec<Peer>,
    seeds_tried: usize,
    is_joining: bool,
    has_left: bool,
    woken_at: Option<u64>,
    served: serve::Served,
    losses: Losses,
}

/// Things the core does by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tick {
    Digest,
    /// A comparison soon after joining; the next one comes after three times as many milliseconds.
    Settle(u64),
    Lonely,
    Join,
    Expire,
    Unanswered(u64),
    Fetch(String),
    Sum(sums::SumTick),
}

impl Core {
    /// A core at its start. Its first effects come with the first step.
    pub fn new(settings: Settings, saved: Saved, now: Now) -> Self {
        let mut rng = SmallRng::seed_from_u64(settings.seed ^ mix(settings.id.prefix()));
        let generation = saved.generation.saturating_add(1).max(now.unix_s() as u32);
        let swim = Swim::new(Life { id: settings.id, generation }, SmallRng::seed_from_u64(rng.random()));
        let mut core = Self {
            id: settings.id,
            rng,
            verifier: settings.verifier,
            ban_limits: settings.bans,
            now,
            out: Vec::new(),
            swim,
            records: BTreeMap::new(),
            alive: vec![settings.id],
            policies: Policies::default(),
            bans: Bans::default(),
            audit: Audit::default(),
            rumors: Rumors::default(),
            stands: BTreeMap::new(),
            sums: Sums::default(),
            timers: Timers::default(),
            pending: BTreeMap::new(),
            next_token: 0,
            seeds: Vec::new(),
            seeds_tried: 0,
            is_joining: false,
            has_left: false,
            woken_at: None,
            served: serve::Served::default(),
            losses: Losses::default(),
        };
        core.restore(saved);
        core.out.push(Effect::Persist(Persist::Generation(generation)));
        let first_digest = core.rng.random_range(0..DIGEST_EVERY_MS);
        core.timers.put(now.ms + first_digest, Tick::Digest);
        core.timers.put(now.ms + LONELY_EVERY_MS, Tick::Lonely);
        core.timers.put(now.ms + 1000, Tick::Expire);
        core
    }

    /// What was accepted once needs no second proof: it was signed when it was written down.
    fn restore(&mut self, saved: Saved) {
        let known = |(generation, record): &(u32, Arc<(Member, SignedMember)>)| NodeState {
            id: record.0.id,
            generation: *generation,
            incarnation: 0,
            down: false,
            revision: 0,
        };
        let states: Vec<NodeState> = saved.members.iter().map(known).collect();
        self.records.extend(saved.members.into_iter().map(|(_, record)| (record.0.id, record)));
        for policy in saved.policies {
            let _ = self.policies.take(policy);
        }
        for ban in saved.bans.into_iter().filter(|ban| ban.expires_unix_s > self.now.unix_s()) {
            self.bans.take(ban);
        }
        saved.entries.into_iter().for_each(|entry| self.audit.take(entry));
        self.swim.learn(self.now.ms, &states, false);
    }

    /// Something happened: what is to be done goes to the end of `effects`.
    ///
    /// `now.ms` must not be less than in the step before. The work of a step is bounded by the size of the event.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        self.was_away(now);
        self.now = Now { ms: now.ms.max(self.now.ms), unix_ms: now.unix_ms };
        if !self.has_left {
            self.handle(event);
            self.run_timers();
            self.swept();
            self.tell();
        }
        self.flush_swim();
        self.schedule();
        effects.append(&mut self.out);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Wake => {}
            Event::Datagram { from, bytes } => self.hear(from, &bytes),
            Event::Request { from, token, bytes } => self.serve(from, token, &bytes),
            Event::Response { token, bytes } => self.answered(token, bytes.as_deref()),
            Event::Order(order) => self.order(order),
        }
    }

    /// A host that could not look at its timers knows nothing of the others: it puts accusations off, and says so.
    fn was_away(&mut self, now: Now) {
        let due = self.swim.first_timer().unwrap_or(u64::MAX).max(self.now.ms);
        if now.ms > due.saturating_add(AWAY_MS) {
            let away = now.ms - due;
            self.swim.was_away(away);
            self.changed(Changed::Alarm(Alarm::Away(away)));
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Join(seeds) => {
                self.seeds = seeds;
                self.timers.put(self.now.ms, Tick::Join);
            }
            Order::Leave => {
                self.swim.leave(self.now.ms);
                self.has_left = true;
            }
            Order::Describe(record) => {
                self.learn(Fact::Member(record), None);
            }
            Order::Publish(policy) => self.take_policy(policy),
            Order::Ban(ban) => {
                self.learn(Fact::Ban(ban), None);
            }
            Order::Append(entry) => {
                self.learn(Fact::Entry(entry), None);
            }
            Order::Report(head, stand) => self.report(head, stand),
            Order::Contribute { epoch, summary } => self.contribute(epoch, summary),
            Order::Watch(is_watched) => self.watch(is_watched),
            Order::Forget(id) => {
                self.records.remove(&id);
            }
        }
    }

    fn run_timers(&mut self) {
        self.swim.wake(self.now.ms);
        while let Some(tick) = self.timers.pop(self.now.ms) {
            match tick {
                Tick::Digest => {
                    self.timers.put(self.now.ms + DIGEST_EVERY_MS, Tick::Digest);
                    self.compare_with_somebody();
                }
                Tick::Settle(wait) => self.settle(wait),
                Tick::Lonely => self.look_for_others(),
                Tick::Join => self.join(),
                Tick::Expire => {
                    self.timers.put(self.now.ms + 1000, Tick::Expire);
                    let over = self.bans.expire(self.now.unix_s());
                    over.into_iter().for_each(|(issuer, number)| self.changed(Changed::Unbanned(issuer, number)));
                }
                Tick::Unanswered(token) => {
                    if self.pending.contains_key(&token) {
                        self.losses.count(Reason::Unanswered);
                        self.answered(token, None);
                    }
                }
                Tick::Fetch(name) => self.fetch(&name),
                Tick::Sum(tick) => self.sum_tick(tick),
            }
        }
    }

    /// A host that knows nobody alive tries those that it remembers, and those that it was told to join through.
    fn look_for_others(&mut self) {
        self.timers.put(self.now.ms + LONELY_EVERY_MS, Tick::Lonely);
        if self.alive.len() > 1 {
            return;
        }
        let remembered: Vec<NodeId> = self.records.keys().copied().filter(|id| *id != self.id).collect();
        if let Some(id) = self.one_of(&remembered) {
            self.swim.announce(self.now.ms, id);
        }
        if !self.seeds.is_empty() && !self.is_joining {
            self.timers.put(self.now.ms, Tick::Join);
        }
    }

    fn join(&mut self) {
        if self.is_joining || self.seeds.is_empty() {
            return;
        }
        let Some(seed) = self.seeds.get(self.seeds_tried % self.seeds.len()).copied() else { return };
        self.seeds_tried += 1;
        self.is_joining = true;
        self.ask_to_join(seed, None);
    }

    /// Of two hosts that join at once neither is on the page that the other got, and the news of it may miss one of them: it goes
    /// to a few by chance, and a datagram may be lost. So who has joined compares a few times before its turn.
    fn settle(&mut self, wait: u64) {
        self.compare_with_somebody();
        if wait < DIGEST_EVERY_MS {
            self.timers.put(self.now.ms + wait, Tick::Settle(3 * wait));
        }
    }

    /// Tells what is new.
    fn tell(&mut self) {
        let hosts = self.alive.len();
        for telling in self.rumors.due(self.now.ms, hosts) {
            for to in self.some(telling.hosts) {
                for bytes in &telling.datagrams {
                    self.out.push(Effect::Datagram { to, bytes: bytes.clone() });
                }
            }
        }
    }

    /// What the membership protocol noticed.
    fn swept(&mut self) {
        let notices = std::mem::take(&mut self.swim.notices);
        if notices.iter().any(|notice| matches!(notice, Notice::Up(_) | Notice::Down(_) | Notice::Joined(_))) {
            self.alive = self.swim.alive().chain([self.id]).collect();
            self.alive.sort_unstable();
        }
        for notice in notices {
            match notice {
                Notice::Up(id) => self.came_up(id),
                Notice::Down(id) => self.changed(Changed::Down(id)),
                Notice::Joined(is_joined) => self.changed(Changed::Joined(is_joined)),
                Notice::Generation(generation) => self.out.push(Effect::Persist(Persist::Generation(generation))),
            }
        }
    }

    /// Who comes, or comes back, may have missed something or bring something. A few hosts compare with it at once; in a
    /// fleet that finds together again, that is about one comparison for each host.
    fn came_up(&mut self, id: NodeId) {
        self.changed(Changed::Up(id));
        if self.random_below(self.alive.len() as u64) < GREETERS {
            self.send_digest(id, false);
        }
    }

    fn flush_swim(&mut self) {
        for (to, bytes) in std::mem::take(&mut self.swim.sent) {
            self.out.push(Effect::Datagram { to, bytes: Datagram::Swim(bytes).encode() });
        }
    }

    fn schedule(&mut self) {
        let times = [self.swim.first_timer(), self.timers.first(), self.rumors.first()];
        let first = times.into_iter().flatten().min().filter(|_| !self.has_left);
        if first.is_some() && (first != self.woken_at || first <= Some(self.now.ms)) {
            self.woken_at = first;
            self.out.extend(first.map(Effect::WakeAt));
        }
    }

    fn compare_with_somebody(&mut self) {
        if let Some(to) = self.somebody() {
            self.send_digest(to, false);
        }
    }

    fn send_digest(&mut self, to: NodeId, is_answer: bool) {
        let holdings = self.holdings(is_answer);
        self.out.push(Effect::Datagram { to, bytes: Datagram::Digest(holdings).encode() });
    }

    fn holdings(&self, is_answer: bool) -> Holdings {
        Holdings {
            members: self.members_digest(),
            bans: self.bans.digest().sum(),
            audit: self.audit.digest(),
            policies: self.policies.heads().cloned().collect(),
            is_answer,
        }
    }

    fn members_digest(&self) -> Digest {
        let mut digest = Digest::default();
        for state in self.states() {
            // The revision of the dead does not matter to anybody, and not all may have heard of the last one.
            let revision = if state.down { 0 } else { state.revision };
            let life = u64::from(state.generation) << 1 | u64::from(state.down);
            digest.add(state.id.prefix(), life ^ mix(revision));
        }
        digest
    }

    /// Everybody known, this host too.
    fn states(&self) -> impl Iterator<Item = NodeState> + '_ {
        let Life { id, generation } = self.swim.life();
        let own = NodeState { id, generation, incarnation: 0, down: false, revision: 0 };
        self.swim.states().chain([own]).map(|state| NodeState { revision: self.revision(state.id), ..state })
    }

    fn revision(&self, id: NodeId) -> u64 {
        self.records.get(&id).map_or(0, |record| record.0.revision)
    }

    fn changed(&mut self, changed: Changed) {
        self.out.push(Effect::Changed(changed));
    }

    fn one_of(&mut self, ids: &[NodeId]) -> Option<NodeId> {
        if ids.is_empty() {
            return None;
        }
        ids.get(self.rng.random_range(0..ids.len())).copied()
    }

    /// Some other member that is alive.
    fn somebody(&mut self) -> Option<NodeId> {
        self.some(1).pop()
    }

    /// So many others, or all if there are fewer.
    fn some(&mut self, number: usize) -> Vec<NodeId> {
        let others = self.alive.len().saturating_sub(1);
        if number >= others {
            return self.alive.iter().copied().filter(|id| *id != self.id).collect();
        }
        let mut chosen: Vec<NodeId> = Vec::with_capacity(number);
        while chosen.len() < number {
            let at = self.rng.random_range(0..self.alive.len());
            let id = self.alive.get(at).copied().filter(|id| *id != self.id && !chosen.contains(id));
            chosen.extend(id);
        }
        chosen
    }

    fn ask(&mut self, to: Peer, request: &Request, pending: Pending, timeout_ms: u64) -> u64 {
        self.next_token += 1;
        let token = self.next_token;
        self.pending.insert(token, pending);
        self.timers.put(self.now.ms + timeout_ms, Tick::Unanswered(token));
        self.out.push(Effect::Request { to, token, bytes: request.encode() });
        token
    }
}

/// What a program can ask at any time.
impl Core {
    /// This host's name.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Everybody who is alive as far as this host knows, this host too, sorted by name.
    pub fn alive(&self) -> &[NodeId] {
        &self.alive
    }

    /// Members that are suspected to be dead, but not yet given up.
    pub fn suspects(&self) -> Vec<NodeId> {
        self.swim.suspects().collect()
    }

    /// A host's record, the dead ones' too.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.records.get(&id).map(|record| &record.0)
    }

    /// All records that are held, the dead ones' too, by name.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.records.values().map(|record| &record.0)
    }

    /// Where a host can be reached, best first.
    pub fn address_of(&self, id: NodeId) -> &[SocketAddr] {
        self.records.get(&id).map(|record| record.0.addresses.as_slice()).unwrap_or_default()
    }

    /// The policy held under a name.
    pub fn policy(&self, name: &str) -> Option<&Arc<Policy>> {
        self.policies.get(name).map(|(policy, _)| policy)
    }

    /// Policies held.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyHead> {
        self.policies.heads()
    }

    /// Whether two documents claim the version that is held under a name.
    pub fn is_frozen(&self, name: &str) -> bool {
        self.policies.get(name).is_some_and(|(_, rival)| rival.is_some())
    }

    /// Bans in force.
    pub fn bans(&self) -> impl Iterator<Item = &Ban> {
        self.bans.iter().filter(|ban| !ban.withdrawn)
    }

    /// An author's chain of the audit log.
    pub fn audit(&self, author: NodeId) -> &[Entry] {
        self.audit.chain(author)
    }

    /// The latest total of the fleet that is held here.
    pub fn total(&self) -> Option<&FleetTotal> {
        self.sums.total()
    }

    /// How many answers this host waits for in vain before it trusts itself again: 0 when all is well.
    pub fn doubt(&self) -> u32 {
        self.swim.doubt()
    }

    /// What was refused, given up or not sent.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }
}
