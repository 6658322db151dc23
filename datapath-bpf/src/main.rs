//! The programs the agent attaches: one a hook and link layer, and the sweep.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod front;
mod peek;
mod policy;
mod reply;
mod shell;

use shell::Fate;

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::classifier, programs::TcContext};
use hivewall_datapath::{Direction, Link};

/// Let the next program on the hook decide: `TCX_NEXT`, which clsact reads as `TC_ACT_UNSPEC`.
const NEXT: i32 = -1;
/// `TCX_DROP`, which is `TC_ACT_SHOT`.
const DROP: i32 = 2;

#[inline(always)]
fn run(ctx: &TcContext, link: Link, direction: Direction) -> i32 {
    match shell::observe(ctx, link, direction, shell::ticks()) {
        Fate::Next => NEXT,
        Fate::Drop => DROP,
        Fate::Reject => reply::answer(ctx.skb.skb, link, direction),
    }
}

#[classifier]
pub fn hivewall_in_eth(ctx: TcContext) -> i32 {
    run(&ctx, Link::Ethernet, Direction::Ingress)
}

#[classifier]
pub fn hivewall_out_eth(ctx: TcContext) -> i32 {
    run(&ctx, Link::Ethernet, Direction::Egress)
}

#[classifier]
pub fn hivewall_in_ip(ctx: TcContext) -> i32 {
    run(&ctx, Link::Ip, Direction::Ingress)
}

#[classifier]
pub fn hivewall_out_ip(ctx: TcContext) -> i32 {
    run(&ctx, Link::Ip, Direction::Egress)
}

/// Never attached: user space runs it on each CPU in turn with `BPF_PROG_TEST_RUN`.
#[classifier]
pub fn hivewall_sweep(_ctx: TcContext) -> i32 {
    // SAFETY: no arguments.
    shell::sweep(unsafe { bpf_ktime_get_ns() }, shell::ticks())
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
