//! Programs for tests and benchmarks; never attached to an interface.
//!
//! A test run repeats one frame. The programs named `…_many` therefore give each run the next flow of a list that
//! user space wrote: all of them by the same few instructions, so that differences between them are fair. What they
//! measure lies in `hivewall-datapath` and in `shell`; nothing here is part of the product.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod front;
mod peek;
mod policy;
mod shell;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_MMAPABLE, BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC, xdp_action},
    helpers::{bpf_jiffies64, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns},
    macros::{classifier, map, xdp},
    maps::{Array, HashMap, LpmTrie, LruHashMap, lpm_trie::Key},
    programs::{TcContext, XdpContext},
};
use hivewall_datapath::{Bytes as _, Direction, FlowKey, Fragments, FragmentId, Link, parse};

/// Floor: an empty program.
#[classifier]
pub fn empty(_ctx: TcContext) -> i32 {
    -1
}

struct NoFragments;

impl Fragments for NoFragments {
    #[inline(always)]
    fn remember(&mut self, _id: &FragmentId, _ports: u32) {}
    #[inline(always)]
    fn recall(&mut self, _id: &FragmentId) -> Option<u32> {
        None
    }
}

#[inline(always)]
fn parsed(ctx: &TcContext) -> Option<parse::Packet> {
    let frame = shell::frame(ctx.skb.skb, Link::Ethernet, Direction::Ingress);
    parse::parse(&shell::bytes(ctx.skb.skb), &frame, &mut NoFragments).ok().map(|parsed| parsed.packet)
}

/// Flows the `…_many` programs take in turn: source address and, in the upper half, source port, as they lie in the
/// packet (address in the lower word). The list repeats after this many runs.
#[map]
static FLOW_LIST: Array<u64> = Array::with_max_entries(1 << 20, BPF_F_MMAPABLE);
/// Runs so far.
#[map]
static TURN: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Offset of the source address in an untagged IPv4 frame.
const SOURCE_AT: usize = 26;
/// Offset of the source port behind an IPv4 header without options.
const PORT_AT: usize = 34;

/// Makes the frame a packet of the next flow in the list, for the run that follows: a packet read right after it was
/// written would make the processor wait for its own stores. Checksums are left alone: the datapath does not read them.
#[inline(always)]
fn take_turn(ctx: &TcContext) {
    let Some(flow) = next_flow() else { return };
    let (start, end): (usize, usize);
    // As in `shell::bytes`: in assembler, because the two words become packet pointers.
    // SAFETY: reads two fields of a valid context.
    unsafe {
        core::arch::asm!(
            "{start} = *(u32 *)({skb} + {start_at})",
            "{end} = *(u32 *)({skb} + {end_at})",
            start = out(reg) start,
            end = lateout(reg) end,
            skb = in(reg) ctx.skb.skb,
            start_at = const core::mem::offset_of!(__sk_buff, data),
            end_at = const core::mem::offset_of!(__sk_buff, data_end),
            options(readonly, nostack, preserves_flags),
        );
    }
    become_packet_of(flow, start, end);
}

/// [`take_turn`] at the driver's hook.
#[inline(always)]
fn take_turn_at_driver(ctx: &XdpContext) {
    let Some(flow) = next_flow() else { return };
    let buffer = front::buffer(ctx.ctx);
    become_packet_of(flow, buffer.data, buffer.end);
}

#[inline(always)]
fn next_flow() -> Option<u64> {
    let turn = TURN.get_ptr_mut(0)?;
    // SAFETY: a valid map value; benchmarks run one program on one CPU at a time.
    let run = unsafe {
        *turn += 1;
        *turn
    };
    FLOW_LIST.get((run & ((1 << 20) - 1)) as u32).copied()
}

#[inline(always)]
fn become_packet_of(flow: u64, start: usize, end: usize) {
    if start + PORT_AT + 2 > end {
        return;
    }
    // SAFETY: both places lie in the packet, as just checked; the verifier checks it again.
    unsafe {
        ((start + SOURCE_AT) as *mut u32).write_unaligned(flow as u32);
        ((start + PORT_AT) as *mut u16).write_unaligned((flow >> 32) as u16);
    }
}

/// What every `…_many` program does besides its own work.
#[classifier]
pub fn empty_many(ctx: TcContext) -> i32 {
    take_turn(&ctx);
    -1
}

/// Floor: parsing alone. The key is folded into the mark, so that none of it is optimized away.
#[classifier]
pub fn parse_only(ctx: TcContext) -> i32 {
    parse_into_mark(&ctx)
}

/// [`parse_only`] over many flows.
#[classifier]
pub fn parse_many(ctx: TcContext) -> i32 {
    let answer = parse_into_mark(&ctx);
    take_turn(&ctx);
    answer
}

#[inline(always)]
fn parse_into_mark(ctx: &TcContext) -> i32 {
    if let Some(packet) = parsed(ctx) {
        let key = &packet.key;
        let mut mix = key.place ^ key.tags ^ (u32::from(key.sport) << 16 | u32::from(key.dport));
        mix ^= key.src[0] ^ key.src[1] ^ key.src[2] ^ key.src[3];
        mix ^= key.dst[0] ^ key.dst[1] ^ key.dst[2] ^ key.dst[3];
        mix ^= packet.packets ^ packet.ip_bytes ^ packet.link_bytes ^ u32::from(packet.tcp_flags);
        // SAFETY: the mark is the program's to write.
        unsafe { (*ctx.skb.skb).mark = mix };
    }
    -1
}

macro_rules! clock {
    ($name:ident, $read:expr) => {
        /// Parsing and one look at a clock.
        #[classifier]
        pub fn $name(ctx: TcContext) -> i32 {
            let answer = parse_into_mark(&ctx);
            // SAFETY: a helper without arguments.
            let now: u64 = unsafe { $read };
            // SAFETY: the mark is the program's to write.
            unsafe { (*ctx.skb.skb).mark ^= now as u32 };
            take_turn(&ctx);
            answer
        }
    };
}

clock!(clock_jiffies_many, bpf_jiffies64());
clock!(clock_coarse_many, bpf_ktime_get_coarse_ns());
clock!(clock_ktime_many, bpf_ktime_get_ns());

/// What a peer keeps for each flow in a kernel map.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PeerFlow {
    packets: u64,
    bytes: u64,
    first: u64,
    last: u64,
    flags: u64,
}

#[map]
static PEER_HASH: HashMap<FlowKey, PeerFlow> = HashMap::with_max_entries(1 << 17, 0);
#[map]
static PEER_LRU: LruHashMap<FlowKey, PeerFlow> = LruHashMap::with_max_entries(1 << 17, 0);
#[map]
static PEER_LRU_LOCAL: LruHashMap<FlowKey, PeerFlow> = LruHashMap::with_max_entries(1 << 18, BPF_F_NO_COMMON_LRU);

macro_rules! count_in {
    ($map:ident, $ctx:expr) => {
        {
            let Some(packet) = parsed($ctx) else { return -1 };
            // SAFETY: no arguments.
            let now = unsafe { bpf_ktime_get_ns() };
            if let Some(flow) = $map.get_ptr_mut(&packet.key) {
                // SAFETY: map values live while the program runs. Plain adds, to the peer's advantage.
                let flow = unsafe { &mut *flow };
                flow.packets += u64::from(packet.packets);
                flow.bytes += u64::from(packet.ip_bytes);
                flow.last = now;
                flow.flags |= u64::from(packet.tcp_flags);
            } else {
                let flow = PeerFlow {
                    packets: u64::from(packet.packets),
                    bytes: u64::from(packet.ip_bytes),
                    first: now,
                    last: now,
                    flags: u64::from(packet.tcp_flags),
                };
                let _ = $map.insert(&packet.key, flow, 0);
            }
            -1
        }
    };
}

macro_rules! peer {
    ($name:ident, $many:ident, $map:ident) => {
        /// The usual design: one kernel map entry a flow, and `ktime`.
        #[classifier]
        pub fn $name(ctx: TcContext) -> i32 {
            count_in!($map, &ctx)
        }

        /// The same over many flows.
        #[classifier]
        pub fn $many(ctx: TcContext) -> i32 {
            let answer = count_in!($map, &ctx);
            take_turn(&ctx);
            answer
        }
    };
}

peer!(peer_hash, peer_hash_many, PEER_HASH);
peer!(peer_lru, peer_lru_many, PEER_LRU);
peer!(peer_lru_local, peer_lru_local_many, PEER_LRU_LOCAL);

/// The whole datapath, with the clock in the test's hand: ticks are `tstamp`, direction is bit 0 and link layer bit 1
/// of `mark`. Answers -1 for a packet that passes, 2 for one that is dropped, 3 for one that is rejected.
#[classifier]
pub fn observe_at(ctx: TcContext) -> i32 {
    // SAFETY: the context is valid for the run.
    let (now, mark) = unsafe { ((*ctx.skb.skb).tstamp, (*ctx.skb.skb).mark) };
    let (link, direction) = shell::unpack_place(mark);
    match shell::observe(&ctx, link, direction, now) {
        shell::Fate::Next => -1,
        shell::Fate::Drop => 2,
        shell::Fate::Reject => 3,
    }
}

/// The real program's twin for timing: jiffies, Ethernet, ingress.
#[classifier]
pub fn observe(ctx: TcContext) -> i32 {
    shell::observe(&ctx, Link::Ethernet, Direction::Ingress, shell::ticks());
    -1
}

/// [`observe`] over many flows.
#[classifier]
pub fn observe_many(ctx: TcContext) -> i32 {
    shell::observe(&ctx, Link::Ethernet, Direction::Ingress, shell::ticks());
    take_turn(&ctx);
    -1
}

/// Sources of the peer that has nothing but a trie.
#[map]
static PEER_NETS: LpmTrie<u32, u32> = LpmTrie::with_max_entries(1 << 20, BPF_F_NO_PREALLOC);

/// Whether the trie has the source of an untagged IPv4 packet.
#[inline(always)]
fn is_in_trie(ctx: &XdpContext) -> bool {
    let buffer = front::buffer(ctx.ctx);
    if buffer.read::<2>(12) != Some([8, 0]) {
        return false;
    }
    let Some(source) = buffer.read::<4>(SOURCE_AT) else { return false };
    PEER_NETS.get(Key::new(32, u32::from_ne_bytes(source))).is_some()
}

macro_rules! at_driver {
    ($name:ident, $many:ident, |$ctx:ident| $answer:expr) => {
        /// At the driver's hook, once a packet.
        #[xdp]
        pub fn $name($ctx: XdpContext) -> u32 {
            $answer
        }

        /// The same over many sources.
        #[xdp]
        pub fn $many($ctx: XdpContext) -> u32 {
            let answer = $answer;
            take_turn_at_driver(&$ctx);
            answer
        }
    };
}

// Floor: every packet is dropped unseen.
at_driver!(drop_all, drop_all_many, |_ctx| xdp_action::XDP_DROP);
// Peer: a trie of sources, and nothing else.
at_driver!(peer_trie, peer_trie_many, |ctx| if is_in_trie(&ctx) { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS });

/// The front over many sources.
#[xdp]
pub fn front_many(ctx: XdpContext) -> u32 {
    let answer = front::judge(&ctx, Link::Ethernet);
    take_turn_at_driver(&ctx);
    answer
}

/// The sweep with the clock in the test's hand.
#[classifier]
pub fn sweep_at(ctx: TcContext) -> i32 {
    // SAFETY: the context is valid for the run.
    let now = unsafe { (*ctx.skb.skb).tstamp };
    shell::sweep(0, now)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
