//! Who is alive: foca's SWIM with suspicion, behind times of our own.
//!
//! foca asks for timers and we decide how long they take: a host that gets no answers doubts itself first and waits
//! longer before it accuses (local health, after Lifeguard), and a host that was away puts all accusations off. Records,
//! digests and joining are not in here. Invariant: foca is fed only messages whose author is who sent them.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::{Buf, BufMut};
use foca::{
    Config, Foca, Header, Identity, Member, Message, NoCustomBroadcast, Notification, PeriodicParams, State, Timer,
};
use rand::rngs::SmallRng;

use crate::id::NodeId;
use crate::losses::Reason;
use crate::timers::Timers;
use crate::wire::{DATAGRAM_BYTES_MAX, NodeState};

/// A host is probed this often, by each other host in turn.
const PROBE_PERIOD: Duration = Duration::from_secs(1);
/// How long a direct answer may take before others are asked to try.
const PROBE_RTT: Duration = Duration::from_millis(400);
/// How long a suspicion may be refuted in any fleet, however small: a host that is 1.5 s slow has to manage.
const SUSPICION_MS: u64 = 2500;
/// What is added for each power of ten of hosts, since objections have to travel further.
const SUSPICION_STEP_MS: u64 = 2000;
/// How often a dead host is tried, so that parted fleets find together.
const DEAD_TRIED_EVERY: Duration = Duration::from_secs(1);
/// How often somebody is told what is new, while there is something new.
const GOSSIP_EVERY: Duration = Duration::from_millis(150);
/// How long the dead are remembered.
const DEAD_KEPT: Duration = Duration::from_hours(24);
/// How much longer a host waits at worst: nine times as long.
const DOUBT_MAX: u32 = 8;

/// A life of a host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life {
    pub(crate) id: NodeId,
    pub(crate) generation: u32,
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.id, self.generation)
    }
}

impl Identity for Life {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self { id: self.id, generation: self.generation.checked_add(1)? })
    }

    fn addr(&self) -> NodeId {
        self.id
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.generation > adversary.generation
    }
}

/// What the membership protocol noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Up(NodeId),
    Down(NodeId),
    Joined(bool),
    /// This host was declared dead and came back with another life.
    Generation(u32),
}

/// Foca with its timers.
pub(crate) struct Swim {
    foca: Foca<Life, Fixed, SmallRng, NoCustomBroadcast>,
    timers: Timers<Timer<Life>>,
    pub(crate) sent: Vec<(NodeId, Vec<u8>)>,
    pub(crate) notices: Vec<Notice>,
    doubt: u32,
    /// The probe under way: whether an answer came.
    is_answered: Option<bool>,
    hosts: usize,
    /// Hosts under suspicion, and since when.
    suspected: BTreeMap<NodeId, Suspected>,
}

/// A suspicion that was seen to stand.
#[derive(Clone, Copy, Debug)]
struct Suspected {
    incarnation: u16,
    since: u64,
    /// Whether the host has said something since.
    is_heard: bool,
}

impl Swim {
    pub(crate) fn new(life: Life, rng: SmallRng) -> Self {
        Self {
            foca: Foca::new(life, config(1), rng, Fixed),
            timers: Timers::default(),
            sent: Vec::new(),
            notices: Vec::new(),
            doubt: 0,
            is_answered: None,
            hosts: 1,
            suspected: BTreeMap::new(),
        }
    }

    /// This host's present life.
    pub(crate) fn life(&self) -> Life {
        *self.foca.identity()
    }

    pub(crate) fn first_timer(&self) -> Option<u64> {
        self.timers.first()
    }

    /// How much this host doubts itself: 0 when all is well.
    pub(crate) fn doubt(&self) -> u32 {
        self.doubt
    }

    /// Does what is due.
    pub(crate) fn wake(&mut self, now: u64) {
        while let Some(timer) = self.timers.pop(now) {
            if matches!(timer, Timer::ProbeRandomMember(_)) {
                self.judge_probe();
                self.settle_suspicions(now);
            }
            // A timer that foca no longer expects is refused, which is what is wanted.
            let _ = self.with(now, |foca, runtime| foca.handle_timer(timer, runtime));
        }
    }

    /// A message from a host that proved to be `from`.
    pub(crate) fn receive(&mut self, now: u64, from: NodeId, bytes: &[u8]) -> Result<(), Reason> {
        let header = Fixed::header(&mut &*bytes).ok_or(Reason::Malformed)?;
        if header.src.id != from {
            return Err(Reason::NotSender);
        }
        if let Some(suspected) = self.suspected.get_mut(&from) {
            suspected.is_heard = true;
        }
        if matches!(header.message, Message::Ack(_) | Message::ForwardedAck { .. }) {
            self.is_answered = self.is_answered.map(|_| true);
        }
        self.with(now, |foca, runtime| foca.handle_data(bytes, runtime)).map_err(|_| Reason::Swim)?;
        self.resize();
        Ok(())
    }

    /// Takes over what somebody else knows.
    pub(crate) fn learn(&mut self, now: u64, states: &[NodeState], pass_on: bool) {
        let own = self.life();
        // What is said of this very host is for the protocol itself, which answers it; here it could only do harm.
        let members: Vec<Member<Life>> =
            states.iter().filter(|state| state.id != own.id).map(|state| member_of(*state)).collect();
        let _ = self.with(now, |foca, runtime| foca.apply_many(members.into_iter(), pass_on, runtime));
        self.resize();
    }

    /// Tells a few others what is new, this host's presence included.
    pub(crate) fn gossip(&mut self, now: u64) {
        let _ = self.with(now, |foca, runtime| foca.gossip(runtime));
    }

    /// Tells a host that this one exists.
    pub(crate) fn announce(&mut self, now: u64, to: NodeId) {
        let life = self.foca.iter_membership_state().map(|member| *member.id()).find(|life| life.id == to);
        if let Some(life) = life {
            let _ = self.with(now, |foca, runtime| foca.announce(life, runtime));
        }
    }

    /// Says farewell.
    pub(crate) fn leave(&mut self, now: u64) {
        let _ = self.with(now, |foca, runtime| foca.leave_cluster(runtime));
    }

    /// Puts off everything by the time that this host was away, and doubts it all.
    pub(crate) fn was_away(&mut self, by: u64) {
        self.timers.shift(by);
        self.doubt = DOUBT_MAX;
        self.is_answered = None;
    }

    /// Everybody known, this host aside.
    pub(crate) fn states(&self) -> impl Iterator<Item = NodeState> + '_ {
        self.foca.iter_membership_state().map(|member| NodeState {
            id: member.id().id,
            generation: member.id().generation,
            incarnation: member.incarnation(),
            down: member.state() == State::Down,
            revision: 0,
        })
    }

    /// Those that are suspected.
    pub(crate) fn suspects(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.foca.iter_members().filter(|member| member.state() == State::Suspect).map(|member| member.id().id)
    }

    /// Those that are alive, as far as is known, this host aside.
    pub(crate) fn alive(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.foca.iter_members().map(|member| member.id().id)
    }

    /// Whether the last probe was answered changes how far this host trusts itself.
    fn judge_probe(&mut self) {
        match self.is_answered.take() {
            Some(true) => self.doubt = self.doubt.saturating_sub(1),
            Some(false) => self.doubt = (self.doubt + 1).min(DOUBT_MAX),
            None => {}
        }
    }

    /// Ends suspicions that stand far too long. Foca forgets that it waits for an objection when this host comes back from the
    /// dead in between, and the suspect may never have heard of it. Who is heard is alive, under the next incarnation, as if
    /// it had objected; who is not is dead.
    fn settle_suspicions(&mut self, now: u64) {
        let standing: Vec<Member<Life>> =
            self.foca.iter_members().filter(|member| member.state() == State::Suspect).cloned().collect();
        let wait = config(self.hosts).suspect_to_down_after.as_millis() as u64;
        let longest = 2 * wait * u64::from(self.doubt + 1);
        let mut settled = Vec::new();
        let mut next = BTreeMap::new();
        for member in standing {
            let (life, incarnation) = (*member.id(), member.incarnation());
            let before = self.suspected.get(&life.id).filter(|before| before.incarnation == incarnation);
            let held = before.copied().unwrap_or(Suspected { incarnation, since: now, is_heard: false });
            if now - held.since <= longest {
                next.insert(life.id, held);
            } else if held.is_heard {
                settled.push(Member::new(life, incarnation.saturating_add(1), State::Alive));
            } else {
                settled.push(Member::new(life, incarnation, State::Down));
            }
        }
        self.suspected = next;
        if !settled.is_empty() {
            let _ = self.with(now, |foca, runtime| foca.apply_many(settled.into_iter(), true, runtime));
        }
    }

    /// Times and repetitions grow with the fleet. Changed seldom: each doubling.
    fn resize(&mut self) {
        let hosts = self.foca.num_members() + 1;
        if hosts > self.hosts * 3 / 2 || hosts * 3 / 2 < self.hosts {
            self.hosts = hosts;
            // Only values that foca lets change differ.
            let _ = self.foca.set_config(config(hosts));
        }
    }

    fn with(
        &mut self,
        now: u64,
        work: impl FnOnce(
            &mut Foca<Life, Fixed, SmallRng, NoCustomBroadcast>,
            &mut Collector<'_>,
        ) -> Result<(), foca::Error>,
    ) -> Result<(), foca::Error> {
        let mut collector = Collector {
            now,
            patience: self.doubt + 1,
            timers: &mut self.timers,
            sent: &mut self.sent,
            notices: &mut self.notices,
            is_answered: &mut self.is_answered,
        };
        work(&mut self.foca, &mut collector)
    }
}

fn member_of(state: NodeState) -> Member<Life> {
    let life = Life { id: state.id, generation: state.generation };
    Member::new(life, state.incarnation, if state.down { State::Down } else { State::Alive })
}

fn config(hosts: usize) -> Config {
    let one = NonZeroUsize::MIN;
    let scale = (hosts.max(10) as f64).log10();
    let every = |frequency| Some(PeriodicParams { frequency, num_members: one });
    Config {
        probe_period: PROBE_PERIOD,
        probe_rtt: PROBE_RTT,
        num_indirect_probes: one.saturating_add(2),
        max_transmissions: NonZeroU8::MIN.saturating_add((4.0 * scale) as u8),
        suspect_to_down_after: Duration::from_millis(SUSPICION_MS + (SUSPICION_STEP_MS as f64 * scale) as u64),
        remove_down_after: Some(DEAD_KEPT),
        max_packet_size: one.saturating_add(DATAGRAM_BYTES_MAX - 3),
        notify_down_members: true,
        periodic_announce: None,
        periodic_announce_to_down_members: every(DEAD_TRIED_EVERY),
        periodic_gossip: every(GOSSIP_EVERY),
    }
}

/// Collects what foca wants done.
struct Collector<'a> {
    now: u64,
    patience: u32,
    timers: &'a mut Timers<Timer<Life>>,
    sent: &'a mut Vec<(NodeId, Vec<u8>)>,
    notices: &'a mut Vec<Notice>,
    is_answered: &'a mut Option<bool>,
}

impl foca::Runtime<Life> for Collector<'_> {
    fn notify(&mut self, notification: Notification<'_, Life>) {
        self.notices.push(match notification {
            Notification::MemberUp(life) => Notice::Up(life.id),
            Notification::MemberDown(life) => Notice::Down(life.id),
            Notification::Active => Notice::Joined(true),
            Notification::Idle | Notification::Defunct => Notice::Joined(false),
            Notification::Rejoin(life) => Notice::Generation(life.generation),
            Notification::Rename(..) => return,
        });
    }

    fn send_to(&mut self, to: Life, data: &[u8]) {
        if matches!(Fixed::header(&mut &*data), Some(Header { message: Message::Ping(_), .. })) {
            *self.is_answered = Some(false);
        }
        self.sent.push((to.id, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<Life>, after: Duration) {
        let after = after.as_millis() as u64;
        let patience = match event {
            Timer::ProbeRandomMember(_) | Timer::SendIndirectProbe { .. } => u64::from(self.patience),
            // One probe in vain is what a death looks like; only several in a row speak of this host itself.
            Timer::ChangeSuspectToDown { .. } => u64::from(self.patience.saturating_sub(2).max(1)),
            _ => 1,
        };
        self.timers.put(self.now + after * patience, event);
    }
}

/// foca's messages in fixed fields, big-endian: life 20 bytes, incarnation 2, kind 1, then what the kind needs.
struct Fixed;

/// A message of foca that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("a membership message is cut short or of an unknown kind; the sender may run a newer version")]
pub(crate) struct Unreadable;

impl Fixed {
    fn header(buf: &mut impl Buf) -> Option<Header<Life>> {
        let (src, src_incarnation) = (get_life(buf)?, buf.try_get_u16().ok()?);
        let (dst, kind) = (get_life(buf)?, buf.try_get_u8().ok()?);
        let mut pair = || Some((get_life(buf)?, buf.try_get_u8().ok()?));
        let message = match kind {
            2 => pair().map(|(target, probe_number)| Message::PingReq { target, probe_number })?,
            3 => pair().map(|(origin, probe_number)| Message::IndirectPing { origin, probe_number })?,
            4 => pair().map(|(target, probe_number)| Message::IndirectAck { target, probe_number })?,
            5 => pair().map(|(origin, probe_number)| Message::ForwardedAck { origin, probe_number })?,
            0 => Message::Ping(buf.try_get_u8().ok()?),
            1 => Message::Ack(buf.try_get_u8().ok()?),
            6 => Message::Announce,
            7 => Message::Feed,
            8 => Message::Gossip,
            9 => Message::TurnUndead,
            _ => return None,
        };
        Some(Header { src, src_incarnation, dst, message })
    }
}

fn get_life(buf: &mut impl Buf) -> Option<Life> {
    let mut id = [0; 16];
    buf.try_copy_to_slice(&mut id).ok()?;
    Some(Life { id: NodeId(id), generation: buf.try_get_u32().ok()? })
}

fn put_life(buf: &mut impl BufMut, life: &Life) -> Result<(), Unreadable> {
    if buf.remaining_mut() < 20 {
        return Err(Unreadable);
    }
    buf.put_slice(&life.id.0);
    buf.put_u32(life.generation);
    Ok(())
}

impl foca::Codec<Life> for Fixed {
    type Error = Unreadable;

    fn encode_header(&mut self, header: &Header<Life>, mut buf: impl BufMut) -> Result<(), Unreadable> {
        put_life(&mut buf, &header.src)?;
        buf.put_u16(header.src_incarnation);
        put_life(&mut buf, &header.dst)?;
        let (kind, life, probe) = match &header.message {
            Message::Ping(probe) => (0, None, Some(probe)),
            Message::Ack(probe) => (1, None, Some(probe)),
            Message::PingReq { target, probe_number } => (2, Some(target), Some(probe_number)),
            Message::IndirectPing { origin, probe_number } => (3, Some(origin), Some(probe_number)),
            Message::IndirectAck { target, probe_number } => (4, Some(target), Some(probe_number)),
            Message::ForwardedAck { origin, probe_number } => (5, Some(origin), Some(probe_number)),
            Message::Announce => (6, None, None),
            Message::Feed => (7, None, None),
            // Nothing of ours goes by foca's broadcasts.
            Message::Gossip | Message::Broadcast => (8, None, None),
            Message::TurnUndead => (9, None, None),
        };
        buf.put_u8(kind);
        life.map_or(Ok(()), |life| put_life(&mut buf, life))?;
        if let Some(probe) = probe {
            buf.put_u8(*probe);
        }
        Ok(())
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Life>, Unreadable> {
        Self::header(&mut buf).ok_or(Unreadable)
    }

    fn encode_member(&mut self, member: &Member<Life>, mut buf: impl BufMut) -> Result<(), Unreadable> {
        if buf.remaining_mut() < 23 {
            return Err(Unreadable);
        }
        put_life(&mut buf, member.id())?;
        buf.put_u16(member.incarnation());
        buf.put_u8(member.state() as u8);
        Ok(())
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Member<Life>, Unreadable> {
        let life = get_life(&mut buf).ok_or(Unreadable)?;
        let incarnation = buf.try_get_u16().map_err(|_| Unreadable)?;
        let state = match buf.try_get_u8() {
            Ok(0) => State::Alive,
            Ok(1) => State::Suspect,
            Ok(2) => State::Down,
            _ => return Err(Unreadable),
        };
        Ok(Member::new(life, incarnation, state))
    }
}
