//! The kernel's side of the datapath traits: packets through direct access, maps behind `Sets`, `Ring`, `Fragments`
//! and `Tallies`; copies of payload are in `peek`. No logic of its own: what to do with a frame is in `hivewall-datapath`.

use core::sync::atomic::AtomicU64;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_MMAPABLE, BPF_NOEXIST},
    helpers::{bpf_get_smp_processor_id, bpf_jiffies64, bpf_skb_pull_data},
    macros::map,
    maps::{Array, LruHashMap, PerCpuHashMap},
    programs::TcContext,
};
use crate::{peek, policy};
use hivewall_datapath::{
    Bytes, Cause, Direction, FlowKey, FlowLine, FlowSet, FragmentId, Fragments, Frame, HEADERS_MAX, HashSeed, Link, Reason, Record,
    Ring, RingControl, Seed, Sets, Shard, SweepControl, Tallies, Tally, TallyKey, Tunnel, Watch, cache::Counted, flow_hash,
    parse::{self, Extensions, Parsed},
    policy::{Action, PolicyWord, Verdict, VerdictCause, is_reply},
};

/// Flow sets: `cpu × sets + set`. Sized at load.
#[map]
static CACHE: Array<FlowSet> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// Ring slots: `cpu × slots + position mod slots`. Sized at load.
#[map]
static RINGS: Array<Record> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// One a CPU.
#[map]
static RING_CONTROL: Array<RingControl> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// One a CPU.
#[map]
static SWEEP: Array<SweepControl> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// Shared by all CPUs: the fragments of one datagram may arrive on several.
#[map]
static FRAGMENTS: LruHashMap<FragmentId, u32> = LruHashMap::with_max_entries(8192, 0);
#[map]
static TALLIES: PerCpuHashMap<TallyKey, Tally> = PerCpuHashMap::with_max_entries(16384, 0);

/// Set at load, constant for the verifier and the JIT.
#[unsafe(no_mangle)]
static ABI: u32 = hivewall_datapath::ABI_VERSION;
#[unsafe(no_mangle)]
static SETS_PER_CPU: u32 = 1;
#[unsafe(no_mangle)]
static SET_SHIFT: u32 = 31;
#[unsafe(no_mangle)]
static RING_SLOTS: u32 = 1;
#[unsafe(no_mangle)]
static SEED: HashSeed = HashSeed { words: [0; 12], multiplier: 0 };

#[inline(always)]
pub fn constant<T: Copy>(place: &T) -> T {
    // SAFETY: a valid reference. Volatile, because the loader replaces the value that the compiler sees.
    unsafe { core::ptr::read_volatile(place) }
}

/// Linear part of a packet buffer.
pub struct Skb {
    data: usize,
    end: usize,
    skb: *mut __sk_buff,
}

impl Bytes for Skb {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        // The mask tells the verifier the bound that the parser keeps anyway (HEADERS_MAX and one header).
        let start = self.data + (at & 0xfff);
        if start + N > self.end {
            return None;
        }
        // SAFETY: start..start+N lies in the packet, as just checked; the verifier checks it again.
        Some(unsafe { *(start as *const [u8; N]) })
    }

    #[inline(always)]
    fn extensions(&self, at: u32, end: u32, next: u8) -> Extensions {
        Extensions(hivewall_extensions(self.skb, at, end, next.into()))
    }
}

/// The hash secret, read word by word.
struct LoadedSeed;

impl Seed for LoadedSeed {
    #[inline(always)]
    fn word(&self, index: usize) -> u32 {
        constant(&SEED.words[index])
    }

    #[inline(always)]
    fn multiplier(&self) -> u64 {
        constant(&SEED.multiplier)
    }
}

/// The flow cache of the CPU at work.
pub struct Maps {
    cpu: u32,
}

impl Sets for Maps {
    #[inline(always)]
    fn set(&mut self, key: &FlowKey) -> Option<&mut FlowSet> {
        let set = flow_hash(key, &LoadedSeed) >> constant(&SET_SHIFT);
        let index = self.cpu * constant(&SETS_PER_CPU) + set;
        // SAFETY: the shard belongs to this CPU, and bottom halves are off while a program runs on it.
        CACHE.get_ptr_mut(index).map(|set| unsafe { &mut *set })
    }
}

/// The ring of the CPU at work.
pub struct CpuRing {
    cpu: u32,
}

impl CpuRing {
    #[inline(always)]
    fn control(&self) -> Option<&'static mut RingControl> {
        // SAFETY: only this CPU writes it, but for `tail`, which is atomic.
        RING_CONTROL.get_ptr_mut(self.cpu).map(|control| unsafe { &mut *control })
    }
}

/// Loads once. The target cannot select atomic loads before LLVM has `load_acq` for its CPU level; an aligned word is
/// read in one piece all the same.
#[inline(always)]
fn load(place: &AtomicU64) -> u64 {
    // SAFETY: a valid, aligned word.
    unsafe { core::ptr::read_volatile(place.as_ptr()) }
}

/// Stores with release order. The target has no atomic stores with an order; an exchange is a full barrier in the
/// BPF memory model (Documentation/bpf/standardization/instruction-set.rst), so the slot is written before `head`.
#[inline(always)]
fn publish(place: &AtomicU64, value: u64) {
    // SAFETY: one exchange on a valid, aligned word.
    unsafe {
        core::arch::asm!("{value} = xchg_64({place} + 0, {value})", value = inout(reg) value => _, place = in(reg) place.as_ptr());
    }
}

impl Ring for CpuRing {
    #[inline(always)]
    fn push(&mut self, line: &FlowLine, now: u32, cause: Cause) {
        // Rules are counted here rather than at each packet.
        if line.verdict != 0 {
            policy::count(Verdict(line.verdict).counter(), line.packets(), line.ip_bytes);
        }
        let Some(control) = self.control() else { return };
        let slots = constant(&RING_SLOTS);
        let head = load(&control.head);
        if head - load(&control.tail) < u64::from(slots) {
            let index = self.cpu * slots + (head as u32 & (slots - 1));
            if let Some(slot) = RINGS.get_ptr_mut(index) {
                // SAFETY: user space reads a slot only after `head` passed it.
                unsafe {
                    (*slot).line = *line;
                    (*slot).now = now;
                    (*slot).cause = cause as u32;
                }
                publish(&control.head, head + 1);
                return;
            }
        }
        control.lost_records += 1;
        control.lost_packets += u64::from(line.packets());
        control.lost_ip_bytes += u64::from(line.ip_bytes);
        control.lost_link_bytes += u64::from(line.link_bytes);
    }

    #[inline(always)]
    fn has_room(&mut self) -> bool {
        self.control().is_some_and(|control| {
            let used = load(&control.head) - load(&control.tail);
            used < u64::from(constant(&RING_SLOTS))
        })
    }
}

/// The fragment table.
pub struct FragmentMap;

impl Fragments for FragmentMap {
    #[inline(never)]
    fn remember(&mut self, id: &FragmentId, ports: u32) {
        // A full LRU map forgets the oldest; a failed update leaves later fragments port-less, and marked so.
        let _ = FRAGMENTS.insert(id, ports, 0);
    }

    #[inline(never)]
    fn recall(&mut self, id: &FragmentId) -> Option<u32> {
        // SAFETY: the value is one aligned word.
        unsafe { FRAGMENTS.get(id).copied() }
    }
}

/// The counters by reason.
pub struct TallyMap;

#[inline(never)]
fn add_tally(key: &TallyKey, packets: u32, bytes: u32) -> bool {
    let Some(tally) = TALLIES.get_ptr_mut(key) else { return false };
    // SAFETY: per-CPU value, bottom halves off.
    let tally = unsafe { &mut *tally };
    tally.packets += u64::from(packets);
    tally.bytes += u64::from(bytes);
    true
}

impl Tallies for TallyMap {
    #[inline(never)]
    fn tally(&mut self, ifindex: u32, direction: Direction, reason: Reason, packets: u32, bytes: u32) {
        let key = TallyKey::new(ifindex, direction, reason);
        if add_tally(&key, packets, bytes) {
            return;
        }
        let _ = TALLIES.insert(&key, Tally::default(), u64::from(BPF_NOEXIST));
        if !add_tally(&key, packets, bytes) {
            // The table is full: the loader made a row without an interface for every reason.
            add_tally(&TallyKey { ifindex: 0, ..key }, packets, bytes);
        }
    }
}

/// Frame facts of a buffer.
#[inline(always)]
pub fn frame(skb: *mut __sk_buff, link: Link, direction: Direction) -> Frame {
    // SAFETY: the context pointer is valid for the run; the verifier rewrites each field's load.
    let skb = unsafe { &*skb };
    Frame {
        link,
        len: skb.len,
        stripped: 0,
        segments: skb.gso_segs,
        segment_size: skb.gso_size,
        vlan: (skb.vlan_present != 0).then_some(skb.vlan_tci as u16),
        ifindex: skb.ifindex,
        direction,
    }
}

/// The linear part as it is now.
#[inline(always)]
pub fn bytes(skb: *mut __sk_buff) -> Skb {
    let (data, end): (usize, usize);
    // The verifier turns these two loads into packet pointers. Written in assembler, because a compiled load of the
    // 32-bit fields may be followed by a zero extension, which makes a plain number of the pointer.
    // SAFETY: reads two fields of a valid context.
    unsafe {
        core::arch::asm!(
            "{data} = *(u32 *)({skb} + {data_at})",
            "{end} = *(u32 *)({skb} + {end_at})",
            data = out(reg) data,
            end = lateout(reg) end,
            skb = in(reg) skb,
            data_at = const core::mem::offset_of!(__sk_buff, data),
            end_at = const core::mem::offset_of!(__sk_buff, data_end),
            options(readonly, nostack, preserves_flags),
        );
    }
    Skb { data, end, skb }
}

/// The datapath's clock.
#[inline(always)]
pub fn ticks() -> u64 {
    // SAFETY: no arguments; inlined by the verifier to one load since 5.6.
    unsafe { bpf_jiffies64() }
}

/// Runs `work` with the shard of this CPU.
#[inline(always)]
pub fn with_shard<O>(now: u32, epoch: u32, work: impl FnOnce(&mut Shard<'_, Maps, CpuRing, FragmentMap, TallyMap>) -> O) -> O {
    // SAFETY: no arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    work(&mut Shard {
        sets: &mut Maps { cpu },
        ring: &mut CpuRing { cpu },
        fragments: &mut FragmentMap,
        tallies: &mut TallyMap,
        now,
        watching: peek::is_on(),
        epoch,
    })
}

/// Link layer and direction in one word, to cross a function border.
pub fn pack_place(link: Link, direction: Direction) -> u32 {
    u32::from(matches!(direction, Direction::Egress)) | u32::from(matches!(link, Link::Ip)) << 1
}

/// The reverse of [`pack_place`].
#[inline(always)]
pub fn unpack_place(place: u32) -> (Link, Direction) {
    (
        if place & 2 == 0 { Link::Ethernet } else { Link::Ip },
        if place & 1 == 0 { Direction::Ingress } else { Direction::Egress },
    )
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The next program on the hook decides.
    Next,
    /// It is dropped.
    Drop,
    /// It is dropped, and its sender told.
    Reject,
}

/// Counts and judges one buffer, pulling headers into its linear part when they lie outside of it.
#[inline(always)]
pub fn observe(ctx: &TcContext, link: Link, direction: Direction, ticks: u64) -> Fate {
    let (skb, place, now) = (ctx.skb.skb, pack_place(link, direction), ticks as u32);
    let word = policy::word(ticks).0;
    let mut told = hivewall_observe(skb, place, now, word);
    if told == 0 {
        return Fate::Next;
    }
    if told == TOLD_SNAPPED {
        // SAFETY: the context is valid; packet pointers are taken anew after it.
        unsafe { bpf_skb_pull_data(skb, ctx.len().min(HEADERS_MAX as u32 + 64)) };
        told = hivewall_observe(skb, place | PLACE_PULLED, now, word);
    }
    if told == TOLD_REFUSED || told == TOLD_ARP {
        if peek::is_on() {
            peek::hivewall_stray(skb, place);
        }
        return if told == TOLD_REFUSED { refuse(skb, PolicyWord(word)) } else { Fate::Next };
    }
    if told == TOLD_UNJUDGED {
        let verdict = if is_our_reply(skb) {
            Verdict::new(0, Action::Accept, VerdictCause::Reply as u32).0
        } else {
            policy::hivewall_judge(skb, word, ticks)
        };
        told = hivewall_settle(skb, place, verdict, now);
    }
    let (start, end) = (told as u32, (told >> 32) as u32);
    if start & START_DROPS != 0 {
        return if start & START_REJECTS != 0 { Fate::Reject } else { Fate::Drop };
    }
    if start & START_WATCHED != 0 {
        peek::look(skb, place, start & !START_TUNNEL, end);
    }
    if start & START_TUNNEL != 0 {
        observe_inner(ctx, place, start, end, now);
    }
    Fate::Next
}

/// The mark of an answer on its way from one hook to the other, where it is taken off.
#[inline(always)]
pub fn mark() -> u32 {
    constant(&SEED.words[0]) | 1
}

/// Whether the packet that was left is an answer of ours. Resets and ICMP errors are never told from the cache, so that no
/// other packet pays for the question. The mark is a secret; whoever finds it out can send resets and "prohibited".
#[inline(always)]
fn is_our_reply(skb: *mut __sk_buff) -> bool {
    // SAFETY: the context is valid, and the mark the program's to write.
    let skb = unsafe { &mut *skb };
    if skb.mark != mark() || !policy::left().is_some_and(is_reply) {
        return false;
    }
    skb.mark = 0;
    true
}

/// Counts the inside of a tunnel, and what a segmented inside adds to its outside.
#[inline(always)]
fn observe_inner(ctx: &TcContext, place: u32, start: u32, end: u32, now: u32) {
    let skb = ctx.skb.skb;
    let pull = || {
        // SAFETY: the context is valid; packet pointers are taken anew after it.
        unsafe { bpf_skb_pull_data(skb, ctx.len().min(HEADERS_MAX as u32 + 64)) };
    };
    // SAFETY: the context is valid for the run.
    if unsafe { (*skb).gso_segs > 1 || (*skb).gso_size != 0 } {
        pull();
        let headers = hivewall_inner(skb, place | PLACE_MEASURED, start, end, now);
        if headers != 0 {
            hivewall_repeat(skb, place, headers);
        }
    }
    let mut told = hivewall_inner(skb, place, start, end, now);
    if told == INNER_SNAPPED {
        pull();
        told = hivewall_inner(skb, place | PLACE_PULLED, start, end, now);
    }
    if told & START_WATCHED != 0 {
        peek::look(skb, place, start & !START_WATCHED | told, end);
    }
}

/// The answer of [`hivewall_observe`] when headers lie outside the linear part. Other answers are 0, or what is left to
/// do: in the lower half where the payload starts and why it is told, in the upper half where it ends.
const TOLD_SNAPPED: u64 = u64::MAX;
/// The answer of [`hivewall_observe`] when the packet is to be judged.
const TOLD_UNJUDGED: u64 = u64::MAX - 1;
/// The answer of [`hivewall_observe`] when the frame claims to be IP and cannot be read.
const TOLD_REFUSED: u64 = u64::MAX - 2;
/// The answer of [`hivewall_observe`] when the frame is an ARP message.
const TOLD_ARP: u64 = u64::MAX - 3;
/// In the lower half of an answer: the packet is to be dropped.
const START_DROPS: u32 = 1 << 24;
/// In the lower half of an answer: its sender is to be told.
const START_REJECTS: u32 = 1 << 25;
/// In the lower half of an answer: the payload's offset.
pub const START_AT: u32 = 0xfff;
/// The kind of tunnel that the payload may be; 0 for none.
pub const START_TUNNEL: u32 = 7 << 16;
/// The flow's [`Watch`], for a packet that is to be looked at; else 0.
pub const START_WATCHED: u32 = 7 << WATCH_SHIFT;
const WATCH_SHIFT: u32 = 20;

/// What is left to do for a packet that was counted.
#[inline(always)]
fn told(parsed: &Parsed, counted: Counted) -> u64 {
    if counted.drops() {
        return u64::from(START_DROPS | if counted.rejects() { START_REJECTS } else { 0 });
    }
    match parsed.tunnel() {
        None if counted.watch() == Watch::NONE => 0,
        tunnel => start(parsed, tunnel, counted.watch()) | (parsed.end as u64) << 32,
    }
}

/// What is done with a frame that cannot be read.
#[inline(always)]
fn refuse(skb: *mut __sk_buff, word: PolicyWord) -> Fate {
    if word.epoch() == 0 || !word.has(PolicyWord::TABLES) {
        return Fate::Next;
    }
    // SAFETY: the context is valid.
    policy::count(VerdictCause::Invalid as u32, 1, unsafe { (*skb).len });
    if word.has(PolicyWord::ENFORCE) { Fate::Drop } else { Fate::Next }
}

/// The lower half of an answer.
#[inline(always)]
fn start(parsed: &Parsed, tunnel: Option<Tunnel>, watch: Watch) -> u64 {
    let tunnel = tunnel.map_or(0, |tunnel| tunnel as u64);
    parsed.payload_at as u64 & u64::from(START_AT) | tunnel << 16 | u64::from(watch.bits()) << WATCH_SHIFT
}

/// The watch in an answer's lower half.
#[inline(always)]
pub fn start_watch(start: u32) -> Watch {
    Watch::from_bits(start >> WATCH_SHIFT)
}

/// The tunnel in an answer's lower half, whose bits of [`START_TUNNEL`] are not 0.
#[inline(always)]
pub fn start_tunnel(start: u32) -> Tunnel {
    match (start & START_TUNNEL) >> 16 {
        1 => Tunnel::Ipip,
        2 => Tunnel::SixInFour,
        3 => Tunnel::Gre,
        4 => Tunnel::Vxlan,
        _ => Tunnel::Geneve,
    }
}
/// Beside [`pack_place`]: the linear part is as long as it can be.
const PLACE_PULLED: u32 = 4;
/// Beside [`pack_place`]: nothing is counted, the headers inside are measured.
const PLACE_MEASURED: u32 = 8;

// The functions below are global: the verifier checks each once and by itself, whatever calls it (since 5.6).

/// Walks IPv6 extension headers.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_extensions(skb: *mut __sk_buff, at: u32, end: u32, next: u32) -> u64 {
    parse::extensions(&bytes(skb), at & 0xfff, end, next as u8).0
}

/// Counts the buffer as the link carried it, unless it is to be judged before; tells what is left to do.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_observe(skb: *mut __sk_buff, place: u32, now: u32, word: u32) -> u64 {
    let (link, direction) = unpack_place(place);
    let frame = frame(skb, link, direction);
    with_shard(now, word << 16, |shard| match shard.observe(&bytes(skb), &frame) {
        Ok((parsed, counted)) => {
            if counted.is_unjudged() {
                if policy::leave(&parsed) { TOLD_UNJUDGED } else { u64::from(START_DROPS) }
            } else {
                told(&parsed, counted)
            }
        }
        Err(Reason::Snapped) if place & PLACE_PULLED == 0 => TOLD_SNAPPED,
        Err(reason) => {
            if reason == Reason::Snapped {
                shard.tally_snapped(&frame);
            }
            match reason {
                Reason::Arp => TOLD_ARP,
                reason if reason.is_refused() => TOLD_REFUSED,
                _ => 0,
            }
        }
    })
}

/// Counts the packet that was left to be judged, under its verdict; answers as [`hivewall_observe`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_settle(skb: *mut __sk_buff, place: u32, verdict: u32, now: u32) -> u64 {
    let (link, direction) = unpack_place(place);
    let frame = frame(skb, link, direction);
    let Some(parsed) = policy::left() else { return 0 };
    with_shard(now, 0, |shard| told(parsed, shard.settle(parsed, &frame, Verdict(verdict))))
}

/// The answer of [`hivewall_inner`] when headers lie outside the linear part.
const INNER_SNAPPED: u32 = 1;

/// Counts the packet inside a tunnel; `start` is as [`hivewall_observe`] told it. Answers with [`START_WATCHED`] of the
/// packet inside; to [`PLACE_MEASURED`], how long the inside's headers are.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_inner(skb: *mut __sk_buff, place: u32, start: u32, end: u32, now: u32) -> u32 {
    let (link, direction) = unpack_place(place);
    let (tunnel, at) = (start_tunnel(start), (start & START_AT) as usize);
    let frame = frame(skb, link, direction);
    if place & PLACE_MEASURED != 0 {
        return with_shard(now, 0, |shard| shard.inner_headers(&bytes(skb), &frame, tunnel, at, end as usize));
    }
    with_shard(now, 0, |shard| match shard.observe_inner(&bytes(skb), &frame, tunnel, at, end as usize) {
        Ok(Some((_, watch))) => watch.bits() << WATCH_SHIFT,
        Err(Reason::Snapped) if place & PLACE_PULLED == 0 => INNER_SNAPPED,
        Err(Reason::Snapped) => {
            shard.tally_inner(&frame, at, end as usize);
            0
        }
        _ => 0,
    })
}

/// Reads a tunnel's outer packet once more and adds the headers inside that its segments repeat. (It takes no clock: an
/// argument that goes unused is left out by the compiler's callers, and the verifier misses it.)
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_repeat(skb: *mut __sk_buff, place: u32, headers: u32) -> u32 {
    let (link, direction) = unpack_place(place);
    let frame = frame(skb, link, direction);
    with_shard(0, 0, |shard| {
        if let Ok(outer) = parse::parse(&bytes(skb), &frame, shard.fragments) {
            shard.repeat_inner_headers(&outer.packet, &frame, headers & 0xfff);
        }
    });
    0
}

/// Sets visited by one run of the sweep; small enough for every verifier.
const SETS_PER_RUN: u32 = 64;

/// Sweeps the next sets of this CPU. Returns 1 when the whole shard was visited, 2 when the ring is full, else 0.
#[inline(always)]
pub fn sweep(monotonic_ns: u64, now: u64) -> i32 {
    // SAFETY: no arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    // SAFETY: written by this CPU only, and by user space between runs.
    let Some(control) = SWEEP.get_ptr_mut(cpu).map(|control| unsafe { &mut *control }) else { return 2 };
    control.monotonic_ns = monotonic_ns;
    control.ticks = now;
    control.stalled = 0;
    let sets = constant(&SETS_PER_CPU);
    if control.cursor == 0 {
        control.resident = 0;
    }
    let (idle, drain) = (control.idle_ticks, control.drain != 0);
    let mut ring = CpuRing { cpu };
    for _ in 0..SETS_PER_RUN {
        if control.cursor >= sets {
            break;
        }
        let Some(set) = CACHE.get_ptr_mut(cpu * sets + control.cursor) else { break };
        // SAFETY: the shard belongs to this CPU, and a test run holds bottom halves off.
        match hivewall_datapath::cache::sweep(unsafe { &mut *set }, now as u32, idle, drain, &mut ring) {
            hivewall_datapath::cache::Swept::Done(resident) => {
                control.resident += resident;
                control.cursor += 1;
            }
            hivewall_datapath::cache::Swept::Stalled => {
                control.stalled = 1;
                return 2;
            }
        }
    }
    i32::from(control.cursor >= sets)
}
