//! Programs for tests and benchmarks; never attached to an interface.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod shell;

use aya_ebpf::{
    bindings::BPF_F_NO_COMMON_LRU,
    helpers::bpf_ktime_get_ns,
    macros::{classifier, map},
    maps::{HashMap, LruHashMap},
    programs::TcContext,
};
use hivewall_datapath::{Direction, FlowKey, Fragments, FragmentId, Link, parse};

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

/// Floor: parsing alone. The key is folded into the mark, so that none of it is optimized away.
#[classifier]
pub fn parse_only(ctx: TcContext) -> i32 {
    if let Some(packet) = parsed(&ctx) {
        let key = &packet.key;
        let mut mix = key.place ^ key.tags ^ (u32::from(key.sport) << 16 | u32::from(key.dport));
        mix ^= key.src[0] ^ key.src[1] ^ key.src[2] ^ key.src[3];
        mix ^= key.dst[0] ^ key.dst[1] ^ key.dst[2] ^ key.dst[3];
        mix ^= packet.packets ^ packet.ip_bytes ^ packet.link_bytes ^ u32::from(packet.tcp_flags);
        ctx.set_mark(mix);
    }
    -1
}

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

macro_rules! peer {
    ($name:ident, $map:ident) => {
        /// The usual design: one kernel map entry a flow, and `ktime`.
        #[classifier]
        pub fn $name(ctx: TcContext) -> i32 {
            let Some(packet) = parsed(&ctx) else { return -1 };
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

peer!(peer_hash, PEER_HASH);
peer!(peer_lru, PEER_LRU);
peer!(peer_lru_local, PEER_LRU_LOCAL);

/// The whole datapath, with the clock in the test's hand: ticks are `tstamp`, direction is bit 0 and link layer bit 1
/// of `mark`.
#[classifier]
pub fn observe_at(ctx: TcContext) -> i32 {
    // SAFETY: the context is valid for the run.
    let (now, mark) = unsafe { ((*ctx.skb.skb).tstamp as u32, (*ctx.skb.skb).mark) };
    let (link, direction) = shell::unpack_place(mark);
    shell::observe(&ctx, link, direction, now);
    -1
}

/// The real program's twin for timing: jiffies, Ethernet, ingress.
#[classifier]
pub fn observe(ctx: TcContext) -> i32 {
    shell::observe(&ctx, Link::Ethernet, Direction::Ingress, shell::ticks() as u32);
    -1
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
