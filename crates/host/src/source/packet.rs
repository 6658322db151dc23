//! AF_PACKET as a source: for hosts where eBPF is not to be had. One socket an interface, the datapath in user space.
//!
//! Every packet is copied and read by this process, so it costs many times what the kernel's datapath costs; what the
//! kernel drops because this process is too slow is counted.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use hivewall_datapath::{FrameBytes, HashSeed, Tally, TallyKey};
use hivewall_model::{Interface, TickClock, Timestamp};
use hivewall_soft::SoftDatapath;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{About, Batch, Progress, Source, SourceError, SourceLoss, random_seed, wall_clock};
use crate::link::{InterfaceFilter, Links};
use crate::packet::{PacketError, PacketLosses, PacketOptions, PacketSocket};

/// Lines of the flow cache: 1 MiB.
const LINES: u32 = 1 << 14;
const TICK_NS: i64 = 1_000_000;
/// Lines idle for longer are freed.
const IDLE_TICKS: u32 = 10_000;

struct Watched {
    socket: PacketSocket,
    losses: PacketLosses,
}

/// The running capture.
pub struct PacketSource {
    filter: InterfaceFilter,
    links: Links,
    sockets: BTreeMap<u32, Watched>,
    /// Interfaces that are wanted but cannot be had, and why; told once each.
    refused: BTreeMap<u32, String>,
    /// Losses of sockets that are closed.
    closed: PacketLosses,
    soft: SoftDatapath,
    sweep: Duration,
    next_sweep: Instant,
    /// The latest time seen; never runs backwards.
    reached: i64,
    fallback_reason: Option<String>,
}

fn ticks(time_ns: i64) -> u32 {
    time_ns.div_euclid(TICK_NS) as u32
}

impl PacketSource {
    /// Opens a socket on every wanted interface; `why` says why not by the kernel's datapath.
    pub fn open(filter: InterfaceFilter, sweep: Duration, why: Option<String>) -> Result<Self, SourceError> {
        let seed: HashSeed = random_seed()?;
        let mut source = Self {
            filter,
            links: Links::open()?,
            sockets: BTreeMap::new(),
            refused: BTreeMap::new(),
            closed: PacketLosses::default(),
            soft: SoftDatapath::new(LINES, seed),
            sweep,
            next_sweep: Instant::now() + sweep,
            reached: wall_clock().0,
            fallback_reason: why,
        };
        let all = source.links.dump()?;
        let wanted: Vec<&Interface> = all.iter().filter(|interface| source.filter.wants(interface)).collect();
        let Some(first) = wanted.first() else {
            return Err(SourceError::no_interface(&source.filter, &all, None));
        };
        // Said at once, and by the system's own word: without the privilege no interface can be had.
        if let Err(error @ PacketError::Privilege { .. }) = PacketSocket::open(first, PacketOptions::default()) {
            return Err(error.into());
        }
        source.refresh()?;
        if source.sockets.is_empty() {
            let why = source.refused.values().next().cloned();
            return Err(SourceError::no_interface(&source.filter, &all, why));
        }
        Ok(source)
    }

    /// Begins to copy first bytes of conversations, or ends it; a source that was opened just now does not.
    pub fn peek(&mut self, on: bool) {
        self.soft.watch(on);
    }

    fn wait(&self, timeout: Duration) {
        let mut fds: Vec<PollFd<'_>> =
            self.sockets.values().map(|watched| PollFd::new(watched.socket.as_fd(), PollFlags::POLLIN)).collect();
        // A signal ends the wait, which is all that an error can mean here.
        let _ = poll(&mut fds, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX));
    }

    /// Counts every frame that is ready. Sockets of interfaces that went are closed.
    fn drain(&mut self) -> Result<usize, SourceError> {
        let (mut count, mut gone) = (0, Vec::new());
        let (soft, reached) = (&mut self.soft, &mut self.reached);
        for (index, watched) in &mut self.sockets {
            let outcome = watched.socket.poll(Duration::ZERO, &mut |time_ns, bytes, frame| {
                *reached = (*reached).max(time_ns);
                soft.set_time(time_ns.cast_unsigned());
                // A refusal has been tallied under its reason.
                let _ = soft.observe(&FrameBytes(bytes), &frame, ticks(*reached));
            });
            match outcome {
                Ok(frames) => count += frames,
                Err(PacketError::Down { name }) => tracing::warn!(interface = name, "went down; waiting for it"),
                Err(PacketError::Gone { .. }) => gone.push(*index),
                Err(error) => return Err(error.into()),
            }
        }
        for index in gone {
            self.let_go(index);
        }
        Ok(count)
    }

    fn let_go(&mut self, index: u32) {
        if let Some(watched) = self.sockets.remove(&index) {
            self.closed.dropped += watched.losses.dropped;
            self.closed.freezes += watched.losses.freezes;
        }
    }

    fn stamp(&mut self, batch: &mut Batch) {
        let now = wall_clock().0.max(self.reached);
        let ticks = now.div_euclid(TICK_NS);
        batch.now = Timestamp(now);
        batch.clock = TickClock { ticks: ticks as u64, time: Timestamp(ticks * TICK_NS), tick_ns: TICK_NS as u64 };
        batch.records.append(self.soft.records());
        batch.peeks.take(self.soft.peeks());
    }
}

impl Source for PacketSource {
    fn poll(&mut self, timeout: Duration, batch: &mut Batch) -> Result<Progress, SourceError> {
        let until_sweep = self.next_sweep.saturating_duration_since(Instant::now());
        self.wait(timeout.min(until_sweep));
        let count = self.drain()?;
        if Instant::now() >= self.next_sweep {
            self.next_sweep = Instant::now() + self.sweep;
            self.reached = self.reached.max(wall_clock().0);
            self.soft.sweep(ticks(self.reached), IDLE_TICKS, false);
        }
        self.stamp(batch);
        Ok(if count > 0 { Progress::More } else { Progress::Idle })
    }

    fn refresh(&mut self) -> Result<(Vec<Interface>, Vec<u32>), SourceError> {
        let all = self.links.dump()?;
        let gone: Vec<u32> =
            self.sockets.keys().copied().filter(|index| !all.iter().any(|i| i.index == *index)).collect();
        for index in gone {
            self.let_go(index);
        }
        self.refused.retain(|index, _| all.iter().any(|interface| interface.index == *index));
        for interface in &all {
            let known = self.sockets.contains_key(&interface.index) || self.refused.contains_key(&interface.index);
            if known || !self.filter.wants(interface) {
                continue;
            }
            match PacketSocket::open(interface, PacketOptions::default()) {
                Ok(socket) => {
                    tracing::info!(interface = interface.name, "watching");
                    self.sockets.insert(interface.index, Watched { socket, losses: PacketLosses::default() });
                }
                Err(error) => {
                    tracing::warn!(interface = interface.name, %error, "not watching");
                    self.refused.insert(interface.index, error.to_string());
                }
            }
        }
        for watched in self.sockets.values_mut() {
            watched.losses = watched.socket.losses()?;
        }
        Ok((all, self.sockets.keys().copied().collect()))
    }

    fn tallies(&mut self) -> Result<Vec<(TallyKey, Tally)>, SourceError> {
        Ok(self.soft.tallies())
    }

    fn losses(&self) -> Vec<SourceLoss> {
        let mut sum = self.closed;
        for watched in self.sockets.values() {
            sum.dropped += watched.losses.dropped;
            sum.freezes += watched.losses.freezes;
        }
        vec![SourceLoss {
            name: "packet_ring_full",
            meaning: "Frames the kernel could not hand over because the agent did not read in time; they are in no flow.",
            count: sum.dropped,
            packets: sum.dropped,
            bytes: 0,
        }]
    }

    fn about(&self) -> About {
        About { name: "af-packet", fallback_reason: self.fallback_reason.clone(), tick_ns: TICK_NS as u64 }
    }

    fn finish(&mut self, batch: &mut Batch) -> Result<(), SourceError> {
        while self.drain()? > 0 {}
        self.soft.sweep(ticks(self.reached), IDLE_TICKS, true);
        self.stamp(batch);
        self.refresh()?;
        Ok(())
    }
}
