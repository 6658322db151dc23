//! The memory that kernel and user space share, as `repr(C)` integers. Change a layout, change [`ABI_VERSION`].

use core::sync::atomic::AtomicU64;

use crate::{Direction, FlowKey, Reason, Watch};

/// Number of this layout; compared when a program is loaded.
pub const ABI_VERSION: u32 = 5;

/// Lines in one set of the flow cache.
pub const WAYS: usize = 4;

/// Records one CPU's ring can hold until user space reads them (each [`Record`] is 72 bytes: 4.5 MiB a CPU).
pub const RING_SLOTS: u32 = 1 << 16;

/// Bits of [`FlowLine::packets_flags`] that count packets; above them are the [`Watch`] (three bits), [`OPENED`] and
/// eight TCP flags.
pub const PACKETS_MASK: u32 = (1 << 20) - 1;

/// Where the [`Watch`] lies in [`FlowLine::packets_flags`].
const WATCH_SHIFT: u32 = 20;
/// Bits of [`FlowLine::packets_flags`] that hold the [`Watch`].
pub(crate) const WATCH_MASK: u32 = 7 << WATCH_SHIFT;

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
    /// The [`crate::policy::Verdict`] on the packets that are counted here; 0 while no policy is loaded.
    pub verdict: u32,
    /// Packets in the lower 20 bits, [`Watch`] (3), [`OPENED`], OR of the TCP flags in the upper 8.
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

    /// How closely the flow is looked at.
    #[inline(always)]
    pub fn watch(&self) -> Watch {
        Watch::from_bits(self.packets_flags >> WATCH_SHIFT)
    }

    /// Looks at the flow this closely from now on.
    #[inline(always)]
    pub(crate) fn set_watch(&mut self, watch: Watch) {
        self.packets_flags = self.packets_flags & !WATCH_MASK | watch.bits() << WATCH_SHIFT;
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
    /// The flow was judged once more; the line stays, under its new verdict.
    Judged = 4,
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
    /// A [`Reason`] in the lower 16 bits; bit 31 is set for egress.
    pub reason: u32,
}

impl TallyKey {
    const EGRESS: u32 = 1 << 31;

    /// What is counted under `reason` at an interface and a hook.
    #[inline(always)]
    pub fn new(ifindex: u32, direction: Direction, reason: Reason) -> Self {
        let egress = if matches!(direction, Direction::Egress) { Self::EGRESS } else { 0 };
        Self { ifindex, reason: reason as u32 | egress }
    }

    /// Why it was counted apart; `None` when the other side knows reasons that this one does not.
    pub fn reason(&self) -> Option<Reason> {
        Reason::from_number(self.reason & !Self::EGRESS)
    }

    /// The hook.
    pub fn direction(&self) -> Direction {
        if self.reason & Self::EGRESS == 0 { Direction::Ingress } else { Direction::Egress }
    }
}

/// What one CPU may copy for whoever reads names, and what it did not copy.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default)]
pub struct PeekControl {
    /// When the running window of [`PEEK_WINDOW_NS`] began, monotonic nanoseconds.
    pub window_ns: u64,
    /// Copies made in it.
    pub used: u64,
    /// Copies that found the ring full.
    pub ring_full: u64,
    /// Copies that were beyond the window's allowance.
    pub over_budget: u64,
    _pad: [u64; 4],
}

const _: () = assert!(size_of::<PeekControl>() == 64);

/// A budget is spent by windows of this length: short enough that a flood at the beginning of a second does not blind
/// the rest of it.
pub const PEEK_WINDOW_NS: u64 = 1 << 26;

impl PeekControl {
    /// Takes one copy out of the allowance of `window` copies; `false` counts it as refused. Handshakes and other
    /// packets without payload get half of it at most, so that a flood of them leaves room for names.
    #[inline(always)]
    pub fn spend(&mut self, now_ns: u64, window: u32, with_payload: bool) -> bool {
        self.advance(now_ns);
        let allowed = if with_payload { window } else { window.div_ceil(2) };
        if self.used >= u64::from(allowed) {
            self.over_budget += 1;
            return false;
        }
        self.used += 1;
        true
    }

    /// As [`PeekControl::spend`], for a frame that is in no flow: a quarter of the allowance at most, since whoever sends
    /// such frames may send many.
    #[inline(always)]
    pub fn spend_on_stray(&mut self, now_ns: u64, window: u32) -> bool {
        self.advance(now_ns);
        if self.used >= u64::from(window.div_ceil(4)) {
            self.over_budget += 1;
            return false;
        }
        self.used += 1;
        true
    }

    /// Whether nothing is left of the allowance, which counts a copy as refused: asked first, so that a flood of what is
    /// not copied costs little.
    #[inline(always)]
    pub fn is_spent(&mut self, now_ns: u64, window: u32) -> bool {
        self.advance(now_ns);
        let is_spent = self.used >= u64::from(window);
        self.over_budget += u64::from(is_spent);
        is_spent
    }

    #[inline(always)]
    fn advance(&mut self, now_ns: u64) {
        if now_ns.wrapping_sub(self.window_ns) >= PEEK_WINDOW_NS {
            self.window_ns = now_ns;
            self.used = 0;
        }
    }
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
