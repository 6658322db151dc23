//! The allow-list monitor at the driver: maps and packet access only; what is permitted, and what is told of the rest, is
//! in `hivewall_datapath::guard`. An object of its own: it lives and goes with the process that loaded it.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_NOEXIST, BPF_RB_FORCE_WAKEUP, xdp_action, xdp_md},
    helpers::{bpf_get_smp_processor_id, bpf_ringbuf_output},
    macros::{map, xdp},
    maps::{Array, LpmTrie, PerCpuHashMap, RingBuf, lpm_trie::Key},
    programs::XdpContext,
};
use hivewall_datapath::{
    Bytes, Direction, Fragments, FragmentId, Frame, Link, Packet,
    front,
    guard::{self, GUARD_PREFIXES_MAX, GUARD_SEEN_MAX, GuardCounts, GuardEvent, GuardKey, GuardSeen, GuardWord, UNREADABLE},
    parse::{self, Extensions},
};

/// Compared at load; in a section of its own, which becomes a map that can be read.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.abi")]
static GUARD_ABI: u32 = guard::GUARD_ABI_VERSION;

/// The two lists: one holds, the other is filled.
#[map]
static GUARD_LIST_A: LpmTrie<[u32; 4], u32> = LpmTrie::with_max_entries(GUARD_PREFIXES_MAX, 0);
#[map]
static GUARD_LIST_B: LpmTrie<[u32; 4], u32> = LpmTrie::with_max_entries(GUARD_PREFIXES_MAX, 0);
/// One [`GuardWord`]. A store changes all there is to change.
#[map]
static GUARD_CONTROL: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// One a CPU. Sized at load.
#[map]
static GUARD_COUNTS: Array<GuardCounts> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static GUARD_SEEN: PerCpuHashMap<GuardKey, GuardSeen> = PerCpuHashMap::with_max_entries(GUARD_SEEN_MAX, 0);
/// First packets. Sized at load.
#[map]
static GUARD_EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// A packet as the driver has it: its first buffer.
struct Buffer {
    data: usize,
    end: usize,
    ctx: *mut xdp_md,
}

impl Bytes for Buffer {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        // The mask tells the verifier the bound that the parser keeps anyway.
        let start = self.data + (at & 0xfff);
        if start + N > self.end {
            return None;
        }
        // SAFETY: start..start+N lies in the packet, as just checked; the verifier checks it again.
        Some(unsafe { *(start as *const [u8; N]) })
    }

    #[inline(always)]
    fn extensions(&self, at: u32, end: u32, next: u8) -> Extensions {
        Extensions(hivewall_guard_extensions(self.ctx, at, end, next.into()))
    }
}

/// The packet's pointers. In assembler, because a compiled load of the 32-bit fields may be followed by a zero extension,
/// which makes a plain number of the pointer.
#[inline(always)]
fn buffer(ctx: *mut xdp_md) -> Buffer {
    let (data, end): (usize, usize);
    // SAFETY: reads two fields of a valid context.
    unsafe {
        core::arch::asm!(
            "{data} = *(u32 *)({ctx} + {data_at})",
            "{end} = *(u32 *)({ctx} + {end_at})",
            data = out(reg) data,
            end = lateout(reg) end,
            ctx = in(reg) ctx,
            data_at = const core::mem::offset_of!(xdp_md, data),
            end_at = const core::mem::offset_of!(xdp_md, data_end),
            options(readonly, nostack, preserves_flags),
        );
    }
    Buffer { data, end, ctx }
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

/// What belongs to the CPU at work.
#[inline(always)]
fn own() -> Option<&'static mut GuardCounts> {
    // SAFETY: no arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    // SAFETY: the counters belong to this CPU, and bottom halves are off while a program runs on it.
    GUARD_COUNTS.get_ptr_mut(cpu).map(|counts| unsafe { &mut *counts })
}

#[inline(always)]
fn word() -> u64 {
    // SAFETY: a valid map value; user space may write it at any time.
    GUARD_CONTROL.get_ptr(0).map_or(0, |word| unsafe { core::ptr::read_volatile(word) })
}

#[inline(always)]
fn is_permitted(words: &[u32; 4], word: u64) -> bool {
    let (address, family) = guard::wanted(words);
    let key = Key::new(address.prefix_len, address.words);
    let list = if word & GuardWord::LIST == 0 { &GUARD_LIST_A } else { &GUARD_LIST_B };
    list.get(key).copied() == Some(family)
}

#[inline(always)]
fn judge(ctx: &XdpContext, link: Link) -> u32 {
    let Some(counts) = own() else { return xdp_action::XDP_PASS };
    let (buffer, word) = (buffer(ctx.ctx), word());
    let bytes = (buffer.end - buffer.data) as u64;
    let Some(words) = front::source(&buffer, link) else {
        counts.other_packets += 1;
        return xdp_action::XDP_PASS;
    };
    if is_permitted(&words, word) {
        counts.permitted_packets += 1;
        counts.permitted_bytes += bytes;
        return xdp_action::XDP_PASS;
    }
    if hivewall_guard_tell(ctx.ctx, u32::from(matches!(link, Link::Ip))) != 0 {
        counts.discovery_packets += 1;
        return xdp_action::XDP_PASS;
    }
    counts.refused_packets += 1;
    counts.refused_bytes += bytes;
    if word & GuardWord::DROP == 0 { xdp_action::XDP_PASS } else { xdp_action::XDP_DROP }
}

// The functions below are global: the verifier checks each once and by itself, whatever calls it (since 5.6).

/// Walks IPv6 extension headers.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_guard_extensions(ctx: *mut xdp_md, at: u32, end: u32, next: u32) -> u64 {
    parse::extensions(&buffer(ctx), at & 0xfff, end, next as u8).0
}

/// Notes a packet whose source is not permitted; 1 when it is neighbour discovery and passes.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_guard_tell(ctx: *mut xdp_md, is_bare: u32) -> u32 {
    let link = if is_bare == 0 { Link::Ethernet } else { Link::Ip };
    let buffer = buffer(ctx);
    let len = (buffer.end - buffer.data) as u32;
    // SAFETY: the context pointer is valid for the run.
    let ifindex = unsafe { (*ctx).ingress_ifindex };
    let frame = Frame {
        link,
        len,
        stripped: 0,
        segments: 1,
        segment_size: 0,
        vlan: None,
        ifindex,
        direction: Direction::Ingress,
    };
    match parse::parse(&buffer, &frame, &mut NoFragments) {
        Ok(parsed) => {
            // Bytes 7 of an IPv6 header.
            let hop_limit = buffer.u8(parsed.ip_at + 7).unwrap_or(0);
            if guard::is_discovery(&parsed.packet.key, hop_limit) {
                return 1;
            }
            let has_ports = parsed.transport_at != parsed.payload_at;
            note(&guard::key(&parsed.packet.key, has_ports, ifindex), &parsed.packet);
        }
        Err(_) => {
            let Some(source) = front::source(&buffer, link) else { return 0 };
            let packet = Packet { packets: 1, ip_bytes: len, ..Packet::default() };
            note(&GuardKey { source, ifindex, proto: UNREADABLE, ..GuardKey::default() }, &packet);
        }
    }
    0
}

#[inline(always)]
fn note(key: &GuardKey, packet: &Packet) {
    if let Some(seen) = GUARD_SEEN.get_ptr_mut(key) {
        // SAFETY: per-CPU value, bottom halves off.
        unsafe { (*seen).add(packet) };
        return;
    }
    let mut event = GuardEvent { key: *key, seen: GuardSeen::default() };
    event.seen.add(packet);
    if GUARD_SEEN.insert(key, event.seen, u64::from(BPF_NOEXIST)).is_err() {
        // Another CPU was first, or there are too many.
        if let Some(seen) = GUARD_SEEN.get_ptr_mut(key) {
            // SAFETY: as above.
            unsafe { (*seen).add(packet) };
        } else if let Some(counts) = own() {
            counts.unkept_packets += 1;
        }
        return;
    }
    let (ring, event) = (core::ptr::from_ref(&GUARD_EVENTS).cast_mut(), core::ptr::from_mut(&mut event));
    let size = size_of::<GuardEvent>() as u64;
    // SAFETY: the ring is a map of this program, and the event is a value on the stack without padding.
    if unsafe { bpf_ringbuf_output(ring.cast(), event.cast(), size, BPF_RB_FORCE_WAKEUP.into()) } != 0
        && let Some(counts) = own()
    {
        counts.untold_packets += 1;
    }
}

/// For interfaces with an Ethernet header.
#[xdp]
pub fn hivewall_guard(ctx: XdpContext) -> u32 {
    judge(&ctx, Link::Ethernet)
}

/// For interfaces whose frames begin with the IP header.
#[xdp]
pub fn hivewall_guard_ip(ctx: XdpContext) -> u32 {
    judge(&ctx, Link::Ip)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
