//! Copies of payload on their way to user space: what is rare, in a function of its own, so that the path of a packet
//! that nobody looks at stays as short as it was.
//!
//! Which packets are copied is decided in `hivewall-datapath`. Payload is read by a helper, since it often lies outside
//! the linear part of a buffer. Invariant: nothing here changes what is counted.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_MMAPABLE, BPF_RB_NO_WAKEUP},
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns, bpf_ringbuf_output, bpf_skb_load_bytes},
    macros::map,
    maps::{Array, RingBuf},
};
use hivewall_datapath::{
    Bytes as _, OPENING_BYTES, Opening, PEEK_BYTES_MAX, PeekControl, PeekHead, STRAY_BYTES_MAX, parse::Parsed,
};

use crate::shell::{self, START_AT, START_TUNNEL, constant};

/// Copies a CPU may make in one window; 0 switches the whole feature off. Set at load.
#[unsafe(no_mangle)]
static PEEKS_PER_WINDOW: u32 = 0;

/// One a CPU.
#[map]
static PEEK_CONTROL: Array<PeekControl> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Where a copy is put together, one a CPU: too large for a program's stack.
#[map]
static PEEK_SCRATCH: Array<Scratch> = Array::with_max_entries(1, 0);

/// To user space, from all CPUs. Sized at load.
#[map]
static PEEKS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// A copy as it goes into the ring, as much of it as is in use; behind it the packet it is of.
#[repr(C)]
pub struct Scratch {
    head: PeekHead,
    payload: [u8; PEEK_BYTES_MAX],
    parsed: Parsed,
}

/// Whether anything is copied.
#[inline(always)]
pub fn is_on() -> bool {
    constant(&PEEKS_PER_WINDOW) != 0
}

/// `$len` as a number from 1 to `$mask + 1`, which it is already. In assembler, because the compiler would drop a test
/// that it can foresee and the verifier cannot.
macro_rules! within {
    ($len:expr, $mask:literal) => {{
        let mut less: u64 = u64::from($len) - 1;
        // SAFETY: arithmetic on one register.
        unsafe { core::arch::asm!(concat!("{less} &= ", $mask), less = inout(reg) less, options(pure, nomem, nostack)) };
        less as u32 + 1
    }};
}

/// Bytes of the packet from `at`, wherever they lie.
#[inline(always)]
fn load(skb: *mut __sk_buff, at: u32, to: *mut u8, len: u32) -> bool {
    // SAFETY: `to` has room for `len` bytes, which the verifier checks; the helper checks the packet's side.
    unsafe { bpf_skb_load_bytes(skb.cast(), at, to.cast(), len) == 0 }
}

#[inline(always)]
fn opening(skb: *mut __sk_buff, at: u32, end: u32) -> Opening {
    let mut opening = Opening::default();
    let len = end.saturating_sub(at).min(OPENING_BYTES as u32);
    if len > 0 {
        load(skb, at, opening.0.as_mut_ptr(), within!(len, 7));
    }
    opening
}

/// Looks at a packet that was counted just now, and copies it where the rules want it and the budget allows it. `start`
/// and `end` are as `hivewall_observe` told them: with a tunnel, the packet inside is meant.
#[inline(always)]
pub fn look(skb: *mut __sk_buff, place: u32, start: u32, end: u32) {
    if hivewall_read_again(skb, place, start, end) != 0 {
        hivewall_copy(skb, start);
    }
}

/// First half of [`look`]: the sieve, and the packet read once more. Its answer is whether there is a second half, which
/// finds the packet in the scratch: one function for both would have the verifier try every way to read a packet with
/// every way to copy it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_read_again(skb: *mut __sk_buff, place: u32, start: u32, end: u32) -> u32 {
    let (at, is_inside) = (start & START_AT, start & START_TUNNEL != 0);
    // Most packets of a connection that is followed for its requests begin none.
    if !is_inside && shell::start_watch(start).is_choosy() {
        // Where it lies in the linear part, without the helper's price.
        let near = if at + OPENING_BYTES as u32 <= end { shell::bytes(skb).read(at as usize) } else { None };
        if !near.map_or_else(|| opening(skb, at, end), Opening).is_known() {
            return 0;
        }
    }
    let Some((control, scratch)) = own() else { return 0 };
    // SAFETY: no arguments.
    scratch.head.time_ns = unsafe { bpf_ktime_get_ns() };
    if control.is_spent(scratch.head.time_ns, constant(&PEEKS_PER_WINDOW)) {
        return 0;
    }
    let (link, direction) = shell::unpack_place(place);
    let frame = shell::frame(skb, link, direction);
    let inside = is_inside.then(|| (shell::start_tunnel(start), at as usize, end as usize));
    let Some(parsed) = shell::with_shard(0, 0, |shard| shard.read_again(&shell::bytes(skb), &frame, inside)) else {
        return 0;
    };
    scratch.parsed = parsed;
    1
}

/// Second half of [`look`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_copy(skb: *mut __sk_buff, start: u32) -> u32 {
    let Some((control, scratch)) = own() else { return 0 };
    let parsed = &scratch.parsed;
    let opening = opening(skb, parsed.payload_at as u32, parsed.end as u32);
    let watch = shell::start_watch(start);
    let found = shell::with_shard(0, 0, |shard| shard.look(&shell::bytes(skb), parsed, watch, opening));
    let Some((mut head, at)) = found else { return 0 };
    head.time_ns = scratch.head.time_ns;
    if !control.spend(head.time_ns, constant(&PEEKS_PER_WINDOW), head.captured > 0) {
        return 0;
    }
    let mut captured = 0;
    if head.captured > 0 {
        const { assert!(PEEK_BYTES_MAX == 2048) };
        captured = within!(head.captured, 2047);
        if !load(skb, at as u32, scratch.payload.as_mut_ptr(), captured) {
            return 0;
        }
    }
    scratch.head = head;
    let size = size_of::<PeekHead>() as u64 + u64::from(captured);
    let (ring, copy) = (core::ptr::from_ref(&PEEKS).cast_mut(), core::ptr::from_mut(scratch));
    // SAFETY: the ring is a map of this program, and the first `size` bytes of the scratch are head and payload.
    if unsafe { bpf_ringbuf_output(ring.cast(), copy.cast(), size, BPF_RB_NO_WAKEUP.into()) } != 0 {
        control.ring_full += 1;
    }
    0
}

/// Copies the first bytes of a frame that is in no flow, where the budget allows it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_stray(skb: *mut __sk_buff, place: u32) -> u32 {
    let Some((control, scratch)) = own() else { return 0 };
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if !control.spend_on_stray(now, constant(&PEEKS_PER_WINDOW)) {
        return 0;
    }
    let (link, direction) = shell::unpack_place(place);
    let frame = shell::frame(skb, link, direction);
    scratch.head = PeekHead::stray(&frame, frame.len as usize);
    scratch.head.time_ns = now;
    if scratch.head.captured == 0 {
        return 0;
    }
    const { assert!(STRAY_BYTES_MAX == 128) };
    let captured = within!(scratch.head.captured, 127);
    if !load(skb, 0, scratch.payload.as_mut_ptr(), captured) {
        return 0;
    }
    let size = size_of::<PeekHead>() as u64 + u64::from(captured);
    let (ring, copy) = (core::ptr::from_ref(&PEEKS).cast_mut(), core::ptr::from_mut(scratch));
    // SAFETY: the ring is a map of this program, and the first `size` bytes of the scratch are head and payload.
    if unsafe { bpf_ringbuf_output(ring.cast(), copy.cast(), size, BPF_RB_NO_WAKEUP.into()) } != 0 {
        control.ring_full += 1;
    }
    0
}

/// What belongs to the CPU at work.
#[inline(always)]
fn own() -> Option<(&'static mut PeekControl, &'static mut Scratch)> {
    // SAFETY: no arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let (control, scratch) = (PEEK_CONTROL.get_ptr_mut(cpu)?, PEEK_SCRATCH.get_ptr_mut(cpu)?);
    // SAFETY: both belong to this CPU, and bottom halves are off while a program runs on it.
    unsafe { Some((&mut *control, &mut *scratch)) }
}
