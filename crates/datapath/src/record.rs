//! The memory that kernel and user space share, as `repr(C)` integers. Change a layout, change [`ABI_VERSION`].

use core::sync::atomic::AtomicU64;

use crate::FlowKey;

/// Number of this layout; compared when a program is loaded.
pub const ABI_VERSION: u32 = 1;

/// Lines in one set of the flow cache.
pub const WAYS: usize = 4;

/// Records one CPU's ring can hold until user space reads them (each [`Record`] is 72 bytes: 4.5 MiB a CPU).
pub const RING_SLOTS: u32 = 1 << 16;

/// Bits of [`FlowLine::packets_flags`] that count packets; bit 23 is [`OPENED`], the upper eight are TCP flags.
pub const PACKETS_MASK: u32 = (1 << 23) - 1;

/// Set in [`FlowLine::packets_flags`] when a SYN without ACK was seen: its sender opened the connection. The OR of all
/// flags cannot tell, since both sides send SYN and ACK.
pub const OPENED: u32 = 1 << 23;

/// One flow in the cache: one cache line of the processor.
///
/// Counters cover the time since the line was last handed over. `key.place == 0` marks a free line.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FlowLine {
    /// The flow.
    pub key: FlowKey,
    /// Verdict and the policy epoch it was made in; 0 while no policy is loaded.
    pub verdict: u32,
    /// Packets in the lower 23 bits, [`OPENED`], OR of the TCP flags in the upper 8.
    pub packets_flags: u32,
    /// IP bytes: from the IP header to the end of the datagram, once per segment.
    pub ip_bytes: u32,
    /// Link-layer bytes beyond the IP bytes: headers, tags, padding.
    pub link_bytes: u32,
    /// Clock ticks at the first packet since the last hand-over, lower 16 bits.
    pub first: u16,
    /// Clock ticks at the latest packet, lower 16 bits.
    pub last: u16,
}

const _: () = assert!(size_of::<FlowLine>() == 64);

impl FlowLine {
    /// Packets counted.
    pub fn packets(&self) -> u32 {
        self.packets_flags & PACKETS_MASK
    }

    /// OR of the TCP flags seen.
    pub fn flags(&self) -> u8 {
        (self.packets_flags >> 24) as u8
    }

    /// Whether the sender was seen to open a TCP connection.
    pub fn opened(&self) -> bool {
        self.packets_flags & OPENED != 0
    }

    /// Whether no flow lives here.
    #[inline(always)]
    pub fn is_free(&self) -> bool {
        self.key.place == 0
    }
}

/// The lines a flow may live in.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FlowSet {
    /// The ways.
    pub lines: [FlowLine; WAYS],
}

/// Why a record was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Cause {
    /// Another flow needed the line.
    Evicted = 0,
    /// The timed sweep; the line stays.
    Swept = 1,
    /// A counter was about to overflow; the line stays.
    Full = 2,
    /// A new TCP connection began on the tuple of a finished one.
    Reused = 3,
}

/// A line on its way to user space.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Record {
    /// The counters handed over. They are differences: user space adds them up.
    pub line: FlowLine,
    /// Clock ticks at the hand-over, against which `first` and `last` are widened.
    pub now: u32,
    /// A [`Cause`].
    pub cause: u32,
}

const _: () = assert!(size_of::<Record>() == 72);

impl Record {
    /// Full clock ticks of the first packet.
    pub fn first_ticks(&self) -> u32 {
        self.now.wrapping_sub(u32::from((self.now as u16).wrapping_sub(self.line.first)))
    }

    /// Full clock ticks of the latest packet.
    pub fn last_ticks(&self) -> u32 {
        self.now.wrapping_sub(u32::from((self.now as u16).wrapping_sub(self.line.last)))
    }
}

/// State of one CPU's ring: producer and consumer on their own cache lines, then what did not fit.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct RingControl {
    /// Records written so far; only the producing CPU writes it.
    pub head: AtomicU64,
    _pad0: [u64; 7],
    /// Records read so far; only user space writes it.
    pub tail: AtomicU64,
    _pad1: [u64; 7],
    /// Records that found the ring full.
    pub lost_records: u64,
    /// Their packets.
    pub lost_packets: u64,
    /// Their IP bytes.
    pub lost_ip_bytes: u64,
    /// Their link bytes.
    pub lost_link_bytes: u64,
    _pad2: [u64; 4],
}

const _: () = assert!(size_of::<RingControl>() == 192);

/// What the sweep of one CPU is told, and what it tells.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default)]
pub struct SweepControl {
    /// Next set to visit.
    pub cursor: u32,
    /// Set by user space: lines idle for more ticks than this are freed.
    pub idle_ticks: u32,
    /// Set by user space: 1 hands over and frees every line (shutdown).
    pub drain: u32,
    /// 1 when the ring was full and the sweep must be called again after reading it.
    pub stalled: u32,
    /// Lines found occupied since `cursor` was 0.
    pub resident: u32,
    _pad: u32,
    /// Monotonic nanoseconds at the latest sweep step.
    pub monotonic_ns: u64,
    /// The datapath's clock at the same moment.
    pub ticks: u64,
    _pad2: [u64; 3],
}

const _: () = assert!(size_of::<SweepControl>() == 64);

impl SweepControl {
    /// The order to begin a sweep.
    pub fn begin(idle_ticks: u32, drain: bool) -> Self {
        Self { idle_ticks, drain: u32::from(drain), ..Self::default() }
    }
}

/// What is counted apart from flows, where and why.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct TallyKey {
    /// Interface index.
    pub ifindex: u32,
    /// A [`crate::Reason`] in the lower 16 bits; bit 31 is set for egress.
    pub reason: u32,
}

/// Packets and bytes of one [`TallyKey`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tally {
    /// Frames (for `gso_segments`: segments).
    pub packets: u64,
    /// Link-layer bytes.
    pub bytes: u64,
}
