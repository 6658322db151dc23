//! The sockets over time: polled about once a second, it tells what is new.
//!
//! Both of its tasks, listing sockets and looking for owners, rest in proportion to the processor time that they took the
//! last time, so that a host with many sockets is looked at more rarely instead of at more cost. A list takes some 1.2 µs
//! a socket, and a look for owners some 8 µs a descriptor of any process on the host: up to 3,000 sockets are listed each
//! second, 20,000 every 6 seconds. Invariant: together they take less than 1% of one core, whatever the number of sockets;
//! and at most [`SOCKETS_MAX`] sockets are remembered, those beyond being counted as left out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hivewall_model::{Process, SocketCensus, SocketChange, SocketEnds, SocketEvent, TcpHealth, Timestamp};

use super::events::{purpose, told_ends};
use super::{DiagError, DiagSocket, SocketDiag, count};
use crate::privileges::worked;
use crate::process::ProcessTable;

/// Sockets remembered from one look to the next.
const SOCKETS_MAX: usize = 1 << 17;
/// Looks through `/proc` in which the owner of a socket may be missing before it is given up: sockets of the kernel
/// itself have none.
const OWNER_TRIES: u8 = 2;

/// How often a task is done at most, and which share of time it may take.
#[derive(Clone, Copy, Debug)]
struct Pace {
    rest: Duration,
    /// Time to rest for each time worked; its inverse is the share of a core.
    rest_factor: u32,
}

/// 0.4% of a core at most. A little less than a second, so that whoever polls each second gets a fresh census each time.
const LISTS: Pace = Pace { rest: Duration::from_millis(900), rest_factor: 250 };
/// 0.5%.
const OWNERS: Pace = Pace { rest: Duration::from_millis(900), rest_factor: 200 };
/// From one list with health to the next. It makes a list a fifth dearer, and locks each connection for a moment.
const HEALTH_REST: Duration = Duration::from_millis(2900);

/// Whose owners are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Those of all sockets: nobody else tells of them.
    All,
    /// Those of the sockets that are there at the first look: kernel events tell of later ones.
    Older,
}

/// A task's next time.
#[derive(Clone, Copy)]
struct Timer {
    pace: Pace,
    due: Instant,
}

impl Timer {
    fn new(pace: Pace, now: Instant) -> Self {
        Self { pace, due: now }
    }

    fn is_due(self, now: Instant) -> bool {
        self.due <= now
    }

    /// It was done from `started` on and took so much processor time.
    fn done(&mut self, started: Instant, took: Duration) {
        self.due = started + self.pace.rest.max(took.saturating_mul(self.pace.rest_factor));
    }
}

/// What is remembered of a socket.
struct Known {
    ends: SocketEnds,
    inode: u64,
    purpose: SocketChange,
    owner: Owner,
    /// Whether its present purpose and ends were told.
    is_told: bool,
    health: Option<TcpHealth>,
    /// The look in which it was last seen.
    look: u32,
}

enum Owner {
    /// Not looked for so often yet.
    Missing(u8),
    /// Nobody looks for it.
    Unwanted,
    Found(Arc<Process>),
}

impl Known {
    fn process(&self) -> Option<&Arc<Process>> {
        match &self.owner {
            Owner::Found(process) => Some(process),
            Owner::Missing(_) | Owner::Unwanted => None,
        }
    }

    fn is_wanting(&self) -> bool {
        self.inode != 0 && matches!(self.owner, Owner::Missing(tries) if tries < OWNER_TRIES)
    }
}

/// See the module.
pub struct DiagWatch {
    diag: SocketDiag,
    watched: Watched,
    lists: Timer,
    /// When health is asked for again.
    health_due: Instant,
    owners: Timer,
    sockets: Vec<DiagSocket>,
    known: HashMap<u64, Known>,
    look: u32,
    census: SocketCensus,
    unwatched: u64,
}

impl DiagWatch {
    /// Opens it, in the network namespace of the calling thread.
    pub fn open(watched: Watched) -> Result<Self, DiagError> {
        let now = Instant::now();
        Ok(Self {
            diag: SocketDiag::open()?,
            watched,
            lists: Timer::new(LISTS, now),
            health_due: now,
            owners: Timer::new(OWNERS, now),
            sockets: Vec::new(),
            known: HashMap::new(),
            look: 0,
            census: SocketCensus::default(),
            unwatched: 0,
        })
    }

    /// Does what is due and appends what it learned; gives the latest census. To be called about once a second; between,
    /// it costs nothing.
    pub fn poll(
        &mut self,
        processes: &mut ProcessTable,
        now: Timestamp,
        out: &mut Vec<SocketEvent>,
    ) -> Result<SocketCensus, DiagError> {
        let (started, before) = (Instant::now(), worked());
        if !self.lists.is_due(started) {
            return Ok(self.census.clone());
        }
        let is_health = self.health_due <= started;
        let listed = self.diag.list(is_health, &mut self.sockets);
        if listed.is_ok() {
            self.take(now, out);
        }
        if is_health {
            self.health_due = started + HEALTH_REST;
        }
        // Also after a failure, lest a kernel that refuses is asked without pause.
        self.lists.done(started, worked().saturating_sub(before));
        listed?;
        self.find_owners(processes, now, out);
        Ok(self.census.clone())
    }

    /// Sockets remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Sockets of the latest look that were counted and not remembered, for lack of room.
    pub fn unwatched(&self) -> u64 {
        self.unwatched
    }

    /// Takes in the latest list.
    fn take(&mut self, now: Timestamp, out: &mut Vec<SocketEvent>) {
        self.census = count(&self.sockets);
        self.look = self.look.wrapping_add(1);
        self.unwatched = 0;
        let is_wanted = self.watched == Watched::All || self.look == 1;
        for socket in &self.sockets {
            // What has no purpose, or has it no longer (it may wait for late packets for a minute), is for the census alone.
            let Some(purpose) = purpose(socket) else { continue };
            if self.known.len() >= SOCKETS_MAX && !self.known.contains_key(&socket.cookie) {
                self.unwatched += 1;
                continue;
            }
            let known = self.known.entry(socket.cookie).or_insert_with(|| Known {
                ends: socket.ends,
                inode: socket.inode,
                purpose,
                owner: if is_wanted { Owner::Missing(0) } else { Owner::Unwanted },
                is_told: false,
                health: None,
                look: 0,
            });
            known.look = self.look;
            renew(known, socket, purpose, now, out);
        }
        let look = self.look;
        self.known.retain(|_, known| {
            let is_there = known.look == look;
            if !is_there {
                release(known, now, out);
            }
            is_there
        });
    }

    /// Looks through `/proc` when a socket's owner is not known.
    fn find_owners(&mut self, processes: &mut ProcessTable, now: Timestamp, out: &mut Vec<SocketEvent>) {
        let (started, before) = (Instant::now(), worked());
        if !self.owners.is_due(started) {
            return;
        }
        let wanting = self.known.values().filter(|known| known.is_wanting());
        let inodes: HashSet<u64> = wanting.map(|known| known.inode).collect();
        if inodes.is_empty() {
            return;
        }
        let found = self.diag.owners(&inodes, processes);
        for known in self.known.values_mut().filter(|known| known.is_wanting()) {
            match (found.get(&known.inode), &mut known.owner) {
                (Some(process), _) => {
                    known.owner = Owner::Found(Arc::clone(process));
                    tell(known, now, out);
                }
                (None, Owner::Missing(tries)) => *tries += 1,
                (None, _) => {}
            }
        }
        self.owners.done(started, worked().saturating_sub(before) + self.diag.worked_apart);
    }
}

/// Brings what is remembered up to what is there now.
fn renew(known: &mut Known, socket: &DiagSocket, purpose: SocketChange, now: Timestamp, out: &mut Vec<SocketEvent>) {
    // A UDP socket may connect, connect elsewhere or let go.
    if known.ends != socket.ends || known.purpose != purpose {
        release(known, now, out);
        (known.ends, known.purpose, known.is_told) = (socket.ends, purpose, false);
    }
    // 0 until a connection is accepted, and after its process let go of it.
    if socket.inode != 0 {
        known.inode = socket.inode;
    }
    tell(known, now, out);
    if let Some(health) = socket.health
        && known.health != Some(health)
    {
        known.health = Some(health);
        let process = known.process().map(Arc::clone);
        let change = SocketChange::Measured;
        out.push(SocketEvent { time: now, ends: socket.ends, change, process, tcp: Some(health) });
    }
}

/// Tells whose a socket is, once it is known.
fn tell(known: &mut Known, now: Timestamp, out: &mut Vec<SocketEvent>) {
    let (false, change, Some(process)) = (known.is_told, known.purpose, known.process()) else { return };
    let ends = told_ends(&known.ends, change);
    out.push(SocketEvent { time: now, ends, change, process: Some(Arc::clone(process)), tcp: None });
    known.is_told = true;
}

/// Tells that a socket which waited for peers does so no more.
fn release(known: &Known, now: Timestamp, out: &mut Vec<SocketEvent>) {
    if known.is_told && known.purpose == SocketChange::Bound {
        let (change, process) = (SocketChange::Released, known.process().map(Arc::clone));
        let ends = told_ends(&known.ends, SocketChange::Bound);
        out.push(SocketEvent { time: now, ends, change, process, tcp: None });
    }
}
