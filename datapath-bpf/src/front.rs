//! The front: what banned and denied sources send is dropped at the driver, before a buffer is made for it. Maps and packet
//! access only; the questions are in `hivewall_datapath::front`.
//!
//! Where packets are judged, the same tables are asked by [`is_banned`]. Invariant: only user space writes the tables.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, xdp_action, xdp_md},
    helpers::{bpf_get_smp_processor_id, bpf_jiffies64},
    macros::{map, xdp},
    maps::{Array, HashMap, LpmTrie, lpm_trie::Key},
    programs::XdpContext,
};
use hivewall_datapath::{
    Bytes, Link,
    front::{
        self, BAN_BLOOM_WORDS, BAN_EXEMPT_MAX, BAN_HOSTS_MAX, BAN_NETS_MAX, BAN_TABLE_WORDS, DENY_NETS_MAX, Denial,
        FrontControl, FrontFlags, FrontState,
    },
    parse::Extensions,
    policy::{Address, ConnectionKey, PolicyWord},
};

use crate::policy;

/// Two bits for each /24.
#[map]
static BAN_TABLE: Array<u64> = Array::with_max_entries(BAN_TABLE_WORDS, BPF_F_MMAPABLE);
/// IPv6 prefixes by their first 32 and 48 bits.
#[map]
static BAN_BLOOM: Array<u64> = Array::with_max_entries(BAN_BLOOM_WORDS, BPF_F_MMAPABLE);
#[map]
static BAN_HOSTS: HashMap<[u32; 4], u32> = HashMap::with_max_entries(BAN_HOSTS_MAX, BPF_F_NO_PREALLOC);
#[map]
static BAN_NETS: LpmTrie<[u32; 4], u32> = LpmTrie::with_max_entries(BAN_NETS_MAX, 0);
#[map]
static BAN_EXEMPT: LpmTrie<[u32; 4], u32> = LpmTrie::with_max_entries(BAN_EXEMPT_MAX, 0);
/// Prefixes that a rule denies, whatever else a packet is.
#[map]
static DENY_NETS: LpmTrie<[u32; 4], u32> = LpmTrie::with_max_entries(DENY_NETS_MAX, 0);
/// One a CPU. Sized at load.
#[map]
static FRONT: Array<FrontControl> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// The tables as maps.
struct Maps;

/// The host as it is for the packet at the hook.
struct Hook(*mut xdp_md);

#[inline(always)]
fn key(address: &Address) -> Key<[u32; 4]> {
    Key::new(address.prefix_len, address.words)
}

/// A copy of a value. Without this instruction the compiler compares also what it never loaded, and takes the answer
/// back afterwards; the verifier refuses to read a register that was never written.
#[inline(always)]
fn settled(value: Option<&u32>) -> Option<u32> {
    let mut number = value.map_or(u64::MAX, |value| u64::from(*value));
    // SAFETY: adds nothing to one register.
    unsafe { core::arch::asm!("{number} += 0", number = inout(reg) number, options(pure, nomem, nostack)) };
    (number != u64::MAX).then_some(number as u32)
}

impl front::BanTables for Maps {
    #[inline(always)]
    fn table(&self, index: u32) -> u64 {
        BAN_TABLE.get(index).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn bloom(&self, index: u32) -> u64 {
        BAN_BLOOM.get(index).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn host(&self, words: &[u32; 4]) -> bool {
        BAN_HOSTS.get_ptr(words).is_some()
    }

    #[inline(always)]
    fn net(&self, address: &Address) -> Option<u32> {
        settled(BAN_NETS.get(key(address)))
    }

    #[inline(always)]
    fn exempt(&self, address: &Address) -> Option<u32> {
        settled(BAN_EXEMPT.get(key(address)))
    }

    #[inline(always)]
    fn denial(&self, address: &Address) -> Option<Denial> {
        settled(DENY_NETS.get(key(address))).map(Denial)
    }
}

impl FrontState for Hook {
    #[inline(always)]
    fn enforces(&self) -> bool {
        // SAFETY: no arguments.
        let word = policy::word(unsafe { bpf_jiffies64() });
        word.has(PolicyWord::ENFORCE) && word.has(PolicyWord::TABLES)
    }

    #[inline(always)]
    fn is_known(&self, conversation: &ConnectionKey) -> bool {
        policy::is_known(conversation)
    }

    #[inline(always)]
    fn links_port(&self) -> u16 {
        own().map_or(0, |control| FrontFlags::links_port(control.flags))
    }

    #[inline(always)]
    fn refuses<B: Bytes>(&self, _: &B, _: usize, at: usize, is_v6: bool) -> Option<u32> {
        let ip_bytes = hivewall_refuses(self.0, at as u32, is_v6.into());
        (ip_bytes != 0).then_some(ip_bytes)
    }
}

/// The IP bytes of a packet of a denied source, if it is to be dropped; else 0. A function of its own, which the verifier
/// goes through once, and packets of other sources never.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_refuses(ctx: *mut xdp_md, at: u32, is_v6: u32) -> u32 {
    let buffer = buffer(ctx);
    let len = buffer.end - buffer.data;
    front::refuses(&buffer, len, (at & 0x1f) as usize, is_v6 != 0, &Hook(ctx)).unwrap_or(0)
}

/// What belongs to the CPU at work.
#[inline(always)]
fn own() -> Option<&'static mut FrontControl> {
    // SAFETY: no arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    // SAFETY: the counters belong to this CPU, and bottom halves are off while a program runs on it.
    FRONT.get_ptr_mut(cpu).map(|control| unsafe { &mut *control })
}

/// Whether an address is banned, for where packets are judged. Exempt addresses are the caller's to know.
#[inline(always)]
pub fn is_banned(words: &[u32; 4]) -> bool {
    own().is_some_and(|control| front::is_banned(&Maps, control.flags, words))
}

/// A packet as the driver has it: its first buffer.
pub struct Buffer {
    /// Where it begins.
    pub data: usize,
    /// Where it ends.
    pub end: usize,
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

    /// Not walked here: what has extension headers is judged where there is room for it.
    #[inline(always)]
    fn extensions(&self, _: u32, _: u32, _: u8) -> Extensions {
        Extensions::UNREAD
    }
}

/// The packet's pointers. In assembler, because a compiled load of the 32-bit fields may be followed by a zero extension,
/// which makes a plain number of the pointer.
#[inline(always)]
pub fn buffer(ctx: *mut xdp_md) -> Buffer {
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
    Buffer { data, end }
}

/// The answer of the driver's hook.
#[inline(always)]
pub fn judge(ctx: &XdpContext, link: Link) -> u32 {
    let Some(control) = own() else { return xdp_action::XDP_PASS };
    let buffer = buffer(ctx.ctx);
    let len = buffer.end - buffer.data;
    let verdict = front::judge(&buffer, len, link, &Maps, &Hook(ctx.ctx), control.flags);
    control.count(verdict, len as u64);
    match verdict {
        front::FrontVerdict::Drop => xdp_action::XDP_DROP,
        front::FrontVerdict::Deny(counter, ip_bytes) => {
            policy::count(counter, 1, ip_bytes);
            xdp_action::XDP_DROP
        }
        _ => xdp_action::XDP_PASS,
    }
}

/// For interfaces with an Ethernet header.
#[xdp]
pub fn hivewall_front(ctx: XdpContext) -> u32 {
    judge(&ctx, Link::Ethernet)
}

/// For interfaces whose frames begin with the IP header.
#[xdp]
pub fn hivewall_front_ip(ctx: XdpContext) -> u32 {
    judge(&ctx, Link::Ip)
}
