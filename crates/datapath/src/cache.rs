//! The flow cache: 4-way sets of 64-byte lines, owned by one CPU. A hit is plain adds.
//!
//! A line carries the verdict on its flow. Where no verdict is in force for a packet it is not counted yet, but sent to be
//! judged, and counted then: a line's counters are those of packets under its verdict.
//!
//! Nothing here is atomic: the caller must be the only one at work on the set (in the kernel: bottom halves off on
//! the CPU that owns the shard). Invariant: a line's counters leave it only through [`Ring::push`].

use crate::policy::Verdict;
use crate::record::WATCH_MASK;
use crate::{Cause, FlowLine, FlowSet, OPENED, PACKETS_MASK, Packet, Ring, Sight, WAYS, Watch};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A packet counter at or beyond this is handed over before it can pass 20 bits (a buffer has < 2¹⁶ segments).
const PACKETS_HIGH: u32 = 1 << 19;
/// The same for byte counters (a buffer has < 2³⁰ bytes).
const BYTES_HIGH: u32 = 1 << 31;

#[inline(always)]
fn same(line: &FlowLine, packet: &Packet) -> bool {
    let (a, b) = (&line.key, &packet.key);
    // Compared with OR rather than `==`, which would become a call of memcmp in the kernel.
    (a.place ^ b.place) | (a.tags ^ b.tags) | u32::from(a.sport ^ b.sport) | u32::from(a.dport ^ b.dport) == 0
        && (a.src[3] ^ b.src[3]) | (a.dst[3] ^ b.dst[3]) == 0
        // The tags are equal here, and with them the family: mapped IPv4 addresses differ in their last word alone.
        && (!b.is_v6()
            || (a.src[0] ^ b.src[0]) | (a.src[1] ^ b.src[1]) | (a.src[2] ^ b.src[2]) == 0
                && (a.dst[0] ^ b.dst[0]) | (a.dst[1] ^ b.dst[1]) | (a.dst[2] ^ b.dst[2]) == 0)
}

#[inline(always)]
fn add(line: &mut FlowLine, packet: &Packet, now: u32) {
    let opened = if packet.tcp_flags & (SYN | ACK) == SYN { OPENED } else { 0 };
    line.packets_flags = (line.packets_flags + packet.packets) | u32::from(packet.tcp_flags) << 24 | opened;
    line.ip_bytes = line.ip_bytes.wrapping_add(packet.ip_bytes);
    line.link_bytes = line.link_bytes.wrapping_add(packet.link_bytes);
    line.last = now as u16;
}

#[inline(always)]
fn hand_over<R: Ring>(line: &mut FlowLine, now: u32, cause: Cause, ring: &mut R) {
    ring.push(line, now, cause);
}

#[inline(always)]
fn restart(line: &mut FlowLine, now: u32) {
    line.packets_flags &= WATCH_MASK;
    line.ip_bytes = 0;
    line.link_bytes = 0;
    line.first = now as u16;
}

/// Whether adding to this line needs a hand-over first, and why.
#[inline(always)]
fn needs_hand_over(line: &FlowLine, packet: &Packet) -> Option<Cause> {
    if line.packets_flags & PACKETS_HIGH != 0 || (line.ip_bytes | line.link_bytes) & BYTES_HIGH != 0 {
        return Some(Cause::Full);
    }
    // A SYN (or its answer) on a tuple that said FIN or RST is another connection: keep the two apart.
    if packet.tcp_flags & SYN != 0 && line.flags() & (FIN | RST) != 0 {
        return Some(Cause::Reused);
    }
    None
}

/// What became of a packet in its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted(u32);

impl Counted {
    const UNJUDGED: u32 = 1 << 3;
    const DROPS: u32 = 1 << 4;
    const REJECTS: u32 = 1 << 5;

    /// Nothing more is to be done.
    pub const PASSED: Self = Self(0);

    #[inline(always)]
    fn new(watch: Watch, verdict: Verdict) -> Self {
        if !verdict.drops() {
            return Self(watch.bits());
        }
        // What is dropped is not looked at.
        Self(Self::DROPS | if verdict.rejects() { Self::REJECTS } else { 0 })
    }

    /// How closely the packet is to be looked at.
    #[inline(always)]
    pub fn watch(self) -> Watch {
        Watch::from_bits(self.0)
    }

    /// It was not counted: no verdict is in force.
    #[inline(always)]
    pub fn is_unjudged(self) -> bool {
        self.0 & Self::UNJUDGED != 0
    }

    /// It is to be dropped.
    #[inline(always)]
    pub fn drops(self) -> bool {
        self.0 & Self::DROPS != 0
    }

    /// Its sender is to be told.
    #[inline(always)]
    pub fn rejects(self) -> bool {
        self.0 & Self::REJECTS != 0
    }

    /// The same, not to be looked at.
    #[inline(always)]
    pub(crate) fn unwatched(self) -> Self {
        Self(self.0 & !7)
    }
}

/// Ticks after which a line's verdict is looked at once more although nothing handed its counters over: no agent sweeps.
const VERDICT_TICKS_MAX: u16 = 1 << 14;

/// Whether the line's verdict answers for this packet. `epoch` is the policy's in the upper half, 0 without a policy.
///
/// An acceptance rests on an entry among the connections, and is good until a sweep. A refusal leaves none: the next
/// packet may be the answer to one that was let out meanwhile, or bear other flags. It is good for one tick, so that a
/// flood is judged once a tick and the first answer is at most a tick late.
#[inline(always)]
fn is_judged(line: &FlowLine, packet: &Packet, now: u32, epoch: u32) -> bool {
    if epoch == 0 {
        return line.verdict == 0;
    }
    (line.verdict ^ epoch) >> 16 == 0
        && packet.tcp_flags & (FIN | SYN | RST) == 0
        // The first packet since a sweep: its connection is to be told that it lives.
        && line.packets_flags & PACKETS_MASK != 0
        && (now as u16).wrapping_sub(line.first) < VERDICT_TICKS_MAX
        && if Verdict(line.verdict).drops() {
            line.last == now as u16
        } else {
            // The first ACK: its connection is to be told that it was answered.
            packet.tcp_flags & ACK == 0 || line.packets_flags & (ACK as u32) << 24 != 0
        }
}

/// Counts a packet in its set: adds to its line, or takes the line that has been quiet longest. `epoch` is the policy's
/// in the upper half, 0 without a policy; `judged` is the packet's verdict, when it has been judged.
#[inline(always)]
pub fn account<R: Ring>(
    set: &mut FlowSet,
    packet: &Packet,
    now: u32,
    sight: Sight,
    ring: &mut R,
    epoch: u32,
    judged: Option<Verdict>,
) -> Counted {
    for line in &mut set.lines {
        if same(line, packet) {
            match judged {
                None if !is_judged(line, packet, now, epoch) => return Counted(Counted::UNJUDGED),
                Some(verdict) if verdict.0 != line.verdict => {
                    if line.packets_flags & PACKETS_MASK != 0 {
                        hand_over(line, now, Cause::Judged, ring);
                        restart(line, now);
                    }
                    line.verdict = verdict.0;
                }
                _ => {}
            }
            if line.packets_flags & PACKETS_MASK == 0 {
                line.first = now as u16;
            } else if let Some(cause) = needs_hand_over(line, packet) {
                hand_over(line, now, cause, ring);
                restart(line, now);
            } else if judged.is_some() && (now as u16).wrapping_sub(line.first) >= VERDICT_TICKS_MAX {
                hand_over(line, now, Cause::Judged, ring);
                restart(line, now);
            }
            add(line, packet, now);
            if packet.tcp_flags & SYN != 0 && !matches!(sight, Sight::Off) {
                line.set_watch(Watch::OPENING);
            }
            let watch = line.watch();
            if watch != Watch::NONE {
                line.set_watch(watch.kept(sight));
            }
            return Counted::new(watch, Verdict(line.verdict));
        }
    }
    if epoch != 0 && judged.is_none() {
        return Counted(Counted::UNJUDGED);
    }
    let verdict = judged.unwrap_or_default();
    let how = u64::from(verdict.0) | (sight as u64) << 32;
    Counted::new(Watch::from_bits(admit(set, packet, now, how, ring)), verdict)
}

/// The line of a packet that was counted in this set just now, and is therefore still there.
#[inline(always)]
pub fn find<'a>(set: &'a mut FlowSet, packet: &Packet) -> Option<&'a mut FlowLine> {
    set.lines.iter_mut().find(|line| same(line, packet))
}

/// Adds bytes to a packet that was counted in this set just now, and is therefore still there.
#[inline(always)]
pub fn enlarge(set: &mut FlowSet, packet: &Packet, ip_bytes: u32) {
    if let Some(line) = find(set, packet) {
        // Not handed over before: below 2³¹ and three times 2³⁰ it cannot wrap.
        line.ip_bytes = line.ip_bytes.wrapping_add(ip_bytes);
    }
}

/// The miss: out of line in the kernel, so that the hit stays short. `how` is the verdict in the lower half and the sight
/// in the upper, since a function of the kernel has five arguments at the most. Gives the bits of the new line's [`Watch`].
#[inline(never)]
fn admit<R: Ring>(set: &mut FlowSet, packet: &Packet, now: u32, how: u64, ring: &mut R) -> u32 {
    let (verdict, sight) = (how as u32, Sight::from_number((how >> 32) as u32));
    let mut victim = 0;
    let mut oldest = 0;
    for (way, line) in set.lines.iter().enumerate() {
        let quiet = (now as u16).wrapping_sub(line.last);
        // A free line wins over any age; +1 lets an age of 0 beat "none yet".
        let score = if line.is_free() { u32::MAX } else { u32::from(quiet) + 1 };
        if score > oldest {
            oldest = score;
            victim = way;
        }
    }
    #[expect(clippy::indexing_slicing, reason = "masked; the verifier wants to see the mask, not a branch to a panic")]
    let line = &mut set.lines[victim & (WAYS - 1)];
    if !line.is_free() && line.packets_flags & PACKETS_MASK != 0 {
        hand_over(line, now, Cause::Evicted, ring);
    }
    line.key = packet.key;
    line.verdict = verdict;
    restart(line, now);
    let watch = if matches!(sight, Sight::Off) { Watch::NONE } else { Watch::at_first(packet) };
    line.set_watch(watch.kept(sight));
    add(line, packet, now);
    watch.bits()
}

/// What a sweep did with one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Everything that had counters was handed over; so many lines are still occupied.
    Done(u32),
    /// The ring is full: call again after it was read. Nothing was lost.
    Stalled,
}

/// Hands over the counters of one set and frees what has been idle for more than `idle_ticks` (or all, to `drain`).
#[inline(always)]
pub fn sweep<R: Ring>(set: &mut FlowSet, now: u32, idle_ticks: u32, drain: bool, ring: &mut R) -> Swept {
    let mut resident = 0;
    for line in &mut set.lines {
        if line.is_free() {
            continue;
        }
        let active = line.packets_flags & PACKETS_MASK != 0;
        if active {
            if !ring.has_room() {
                return Swept::Stalled;
            }
            hand_over(line, now, Cause::Swept, ring);
            restart(line, now);
        }
        let idle = u32::from((now as u16).wrapping_sub(line.last)) > idle_ticks;
        if drain || (!active && idle) {
            line.key.place = 0;
        } else {
            resident += 1;
        }
    }
    Swept::Done(resident)
}
