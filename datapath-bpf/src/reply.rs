//! Turns a refused packet into the answer to its sender, and sends that where the packet came from. No logic of its own:
//! what is answered, and how, is in `hivewall-datapath`.
//!
//! An answer meets the program of the opposite hook, which knows it by a mark that only this object knows, and lets it
//! pass unjudged. Invariant: a packet that cannot be answered is dropped.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_INGRESS, BPF_F_INVALIDATE_HASH, BPF_F_RECOMPUTE_CSUM},
    helpers::{bpf_redirect, bpf_skb_change_tail, bpf_skb_pull_data, bpf_skb_store_bytes},
    macros::map,
    maps::PerCpuArray,
};
use hivewall_datapath::{
    Bytes as _, Direction, Link,
    policy::{self, REPLY_KEY, REPLY_RATE, Reply, Shape, VerdictCause},
};

use crate::{policy::{count, is_over}, shell};

/// `TCX_DROP`.
const DROP: i32 = 2;
/// `PACKET_HOST` (linux/if_packet.h).
const PACKET_HOST: u32 = 0;
/// Enough of a packet to answer it.
const ENOUGH: u32 = 128;
const CHANGED: u64 = BPF_F_RECOMPUTE_CSUM as u64 | BPF_F_INVALIDATE_HASH as u64;

/// An answer that is put together.
#[map]
static REPLY: PerCpuArray<Reply> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
fn scratch() -> Option<&'static mut Reply> {
    // SAFETY: per-CPU value, bottom halves off.
    REPLY.get_ptr_mut(0).map(|reply| unsafe { &mut *reply })
}

/// Answers a refused packet. What is returned is the program's.
#[inline(always)]
pub fn answer(skb: *mut __sk_buff, link: Link, direction: Direction) -> i32 {
    let place = shell::pack_place(link, direction);
    let shape = hivewall_compose(skb, place);
    if shape == 0 { DROP } else { hivewall_reply(skb, place, shape) }
}

/// Puts the answer together; its [`Shape`], or 0 where there is to be none.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_compose(skb: *mut __sk_buff, place: u32) -> u32 {
    // SAFETY: the context is valid.
    let (len, pkt_type) = unsafe { ((*skb).len, (*skb).pkt_type) };
    // A frame that is another's is not answered.
    if pkt_type != PACKET_HOST {
        return 0;
    }
    // SAFETY: the context is valid; packet pointers are taken anew after it.
    unsafe { bpf_skb_pull_data(skb, len.min(ENOUGH)) };
    let Some(reply) = scratch() else { return 0 };
    let (link, _) = shell::unpack_place(place);
    let shape = policy::reply(&shell::bytes(skb), link, len, reply);
    if shape == Shape::NONE {
        return 0;
    }
    if is_over(&REPLY_KEY, &REPLY_RATE) {
        count(VerdictCause::ReplyOver as u32, 1, len);
        return 0;
    }
    shape.0.into()
}

/// Makes the packet the answer that was put together, and sends it back.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_reply(skb: *mut __sk_buff, place: u32, shape: u32) -> i32 {
    let Some(reply) = scratch() else { return DROP };
    let (link, direction) = shell::unpack_place(place);
    let shape = Shape(shape as u16);
    let at = if matches!(link, Link::Ethernet) { ETHERNET_LEN } else { 0 };
    let (head_len, body_len) = (shape.head_len(), shape.body_len());
    // Nothing of the packet is left behind its IP header. The kernel does not cut off a checksum that offloading has left
    // unfinished; that is how it shows, and it stays so in the answer.
    // SAFETY: the context is valid; no packet pointer is held.
    if unsafe { bpf_skb_change_tail(skb, at + head_len, 0) } != 0 {
        if !shape.can_be_unfinished() {
            return DROP;
        }
        reply.leave_unfinished();
    }
    // SAFETY: as above. It makes one packet of a buffer of many.
    if unsafe { bpf_skb_change_tail(skb, at + head_len + body_len, 0) } != 0 {
        return DROP;
    }
    if matches!(link, Link::Ethernet) && !turn_link(skb) {
        return DROP;
    }
    let (head, body) = (reply.head.as_ptr(), reply.body.as_ptr());
    // Each with its length as a constant, which the verifier wants to know.
    let stored = match (shape.is_v6(), shape.is_tcp()) {
        (false, true) => store(skb, at, head, 20) && store(skb, at + 20, body, 20),
        (false, false) => store(skb, at, head, 20) && store(skb, at + 20, body, 36),
        (true, true) => store(skb, at, head, 40) && store(skb, at + 40, body, 20),
        (true, false) => store(skb, at, head, 40) && store(skb, at + 40, body, 56),
    };
    if !stored {
        return DROP;
    }
    let flags = if matches!(direction, Direction::Ingress) { 0 } else { u64::from(BPF_F_INGRESS) };
    // SAFETY: the mark is the program's to write; the context is valid.
    unsafe {
        (*skb).mark = shell::mark();
        bpf_redirect((*skb).ifindex, flags) as i32
    }
}

const ETHERNET_LEN: u32 = 14;

#[inline(always)]
fn store(skb: *mut __sk_buff, at: u32, from: *const u8, len: u32) -> bool {
    // SAFETY: `from` has `len` bytes, which the verifier checks; the helper checks the packet's side.
    unsafe { bpf_skb_store_bytes(skb, at, from.cast(), len, CHANGED) == 0 }
}

/// Exchanges the hardware addresses.
#[inline(always)]
fn turn_link(skb: *mut __sk_buff) -> bool {
    let Some([d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5]) = shell::bytes(skb).read::<12>(0) else { return false };
    let turned = [s0, s1, s2, s3, s4, s5, d0, d1, d2, d3, d4, d5];
    store(skb, 0, turned.as_ptr(), 12)
}
