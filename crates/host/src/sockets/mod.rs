//! What the kernel tells of sockets as it happens: who uses them, TCP states, and packets it drops.
//!
//! Not here: sockets older than the agent (sock_diag), and what a process is ([`crate::process`]). Nothing is asked of
//! `/proc` for this: a process that lived for a millisecond is known as well as one that is still there. Invariant: a note
//! that did not fit is counted by kind, and a part that this kernel lacks is named.

mod btf;
mod drops;
mod notes;
mod object;

use std::path::PathBuf;

use aya::Ebpf;
use aya::maps::{Map, MapData, PerCpuArray, PerCpuHashMap, RingBuf};
use hivewall_datapath::socket::{STAT_DROPS_UNTABLED, STAT_WITHHELD, note};
use hivewall_model::{KernelDrop, SocketEvent};
use nix::time::{ClockId, clock_gettime};

pub use btf::BtfError;

use crate::ebpf::{EbpfError, map_error};
use crate::process::ProcessTable;
use crate::source::{SourceLoss, wall_clock};
use btf::Btf;
use drops::Drops;

/// Room for notes by default: 8 MiB are 70,000 of them, more than a server makes while the agent is busy with a sweep.
pub const RING_BYTES: u32 = 8 << 20;
/// Notes taken by one poll before the caller has its turn.
const TAKE: usize = 16_384;
/// The wall clock is taken anew when it was moved by more than this.
const CLOCK_STEP_NS: u64 = 1_000_000;

/// What is to be watched with.
#[derive(Clone, Debug)]
pub struct SocketWatchOptions {
    /// Bytes of the ring; rounded up to a power of two.
    pub ring_bytes: u32,
    /// Root of the cgroup tree; `None` finds it among the mounts.
    pub cgroup: Option<PathBuf>,
    /// Whether packets that the kernel drops are counted by reason.
    pub drops: bool,
}

impl Default for SocketWatchOptions {
    fn default() -> Self {
        Self { ring_bytes: RING_BYTES, cgroup: None, drops: true }
    }
}

/// Why sockets cannot be watched at all.
#[derive(Debug, thiserror::Error)]
pub enum SocketWatchError {
    /// The kernel's types cannot be had.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The loader does not understand them.
    #[error("the loader cannot read the kernel's types: {0}")]
    Types(#[source] Box<aya::BtfError>),
    /// The object or a map.
    #[error(transparent)]
    Ebpf(#[from] EbpfError),
    /// No part could be attached.
    #[error("no socket program could be attached: {reasons}; run `hivewall check` to see what is missing")]
    NothingAttached {
        /// What is not known, and why.
        reasons: String,
    },
}

/// Sockets under watch. Dropping it detaches everything.
pub struct SocketWatch {
    ring: RingBuf<MapData>,
    stats: PerCpuArray<MapData, u64>,
    drops: Drops,
    missing: Vec<String>,
    events: u64,
    wall_offset_ns: i64,
    /// Holds the programs and their links.
    _ebpf: Ebpf,
}

/// The pipeline's thread takes it over from the one that opened it.
const _: () = {
    const fn is_sent<T: Send>() {}
    is_sent::<SocketWatch>();
};

impl SocketWatch {
    /// Loads the programs and attaches those that this kernel takes, for the whole host.
    pub fn open(options: &SocketWatchOptions) -> Result<Self, SocketWatchError> {
        let btf = Btf::of_kernel()?;
        let object::Attached { mut ebpf, missing } = object::attach(&btf, options)?;
        let mut take = |name| ebpf.take_map(name).ok_or(EbpfError::Missing(name));
        let (ring, stats, drops): (Map, Map, Map) = (take("NOTES")?, take("STAT")?, take("DROPS")?);
        Ok(Self {
            ring: RingBuf::try_from(ring).map_err(map_error)?,
            stats: PerCpuArray::try_from(stats).map_err(map_error)?,
            drops: Drops::new(PerCpuHashMap::try_from(drops).map_err(map_error)?, &btf),
            missing,
            events: 0,
            wall_offset_ns: wall_offset_ns(),
            _ebpf: ebpf,
        })
    }

    /// Takes what has happened, without waiting and at most some thousands at once. Executables of processes go to the
    /// table, which in turn says who the owners are.
    pub fn poll(&mut self, processes: &mut ProcessTable, out: &mut Vec<SocketEvent>) {
        let offset = wall_offset_ns();
        if offset.abs_diff(self.wall_offset_ns) > CLOCK_STEP_NS {
            self.wall_offset_ns = offset;
        }
        for _ in 0..TAKE {
            let Some(bytes) = self.ring.next() else { break };
            self.events += u64::from(notes::take(&bytes, self.wall_offset_ns, processes, out));
        }
    }

    /// Packets that the kernel dropped since the start.
    pub fn drops(&mut self) -> Vec<KernelDrop> {
        self.drops.read()
    }

    /// What was not told, by kind.
    pub fn losses(&self) -> Vec<SourceLoss> {
        let count = |index| self.stats.get(&index, 0).map_or(0, |values| values.iter().sum());
        let loss = |&(index, name, meaning)| SourceLoss { name, meaning, count: count(index), packets: 0, bytes: 0 };
        LOSSES.iter().map(loss).collect()
    }

    /// `kernel-events`, and what this kernel does not tell.
    pub fn source(&self) -> (&'static str, Option<String>) {
        let missing = (!self.missing.is_empty()).then(|| format!("not told: {}", self.missing.join("; ")));
        ("kernel-events", missing)
    }

    /// Notes taken since the start.
    pub fn events(&self) -> u64 {
        self.events
    }
}

/// Counters in the kernel, with their names.
const LOSSES: [(u32, &str, &str); 7] = [
    (note::STATE, "socket_states", "changes of TCP states that found the ring full"),
    (note::USED, "socket_uses", "uses of sockets that found the ring full: their flows may lack a process"),
    (note::BOUND, "socket_binds", "bound sockets that found the ring full: their flows may lack a process"),
    (note::RELEASED, "socket_releases", "closed UDP sockets that found the ring full"),
    (note::EXECUTED, "socket_executables", "executables that found the ring full: processes may lack a path"),
    (STAT_WITHHELD, "socket_uses_withheld", "uses that were not told because one socket had too many peers at once"),
    (STAT_DROPS_UNTABLED, "kernel_drops_untabled", "packets dropped by the kernel that found the table of drops full"),
];

/// Has the kernel verify every program of an object built from `datapath-bpf/src/sockets.rs`; attaches nothing, and gives
/// the programs' names.
pub fn verify(object: &[u8]) -> Result<Vec<&'static str>, SocketWatchError> {
    object::verify(object)
}

/// Wall-clock time minus monotonic time.
fn wall_offset_ns() -> i64 {
    let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |t| t.tv_sec() * 1_000_000_000 + t.tv_nsec());
    wall_clock().0 - monotonic
}
