//! The programs that tell of sockets: who owns them, what becomes of them, and which packets the kernel drops.
//!
//! They read kernel structures at places that the loader looked up, remember with each socket who uses it, and hand over
//! notes. What is told and what is not is decided in `hivewall_datapath::socket`. Invariant: no program ever refuses
//! or changes anything; each returns what lets the kernel go on.
#![no_std]
#![no_main]

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_NOEXIST, BPF_RB_NO_WAKEUP, BPF_SK_STORAGE_GET_F_CREATE},
    btf_maps::PerCpuHashMap,
    helpers::{
        bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid, bpf_ktime_get_ns,
        bpf_probe_read_kernel,
        generated::{
            bpf_get_current_cgroup_id, bpf_get_current_task, bpf_probe_read_kernel as bpf_probe_read_kernel_raw,
            bpf_probe_read_kernel_str, bpf_sk_storage_get,
        },
    },
    macros::{btf_map, btf_tracepoint, cgroup_sock, cgroup_sock_addr, map, sock_ops},
    maps::{PerCpuArray, RingBuf},
    programs::{BtfTracePointContext, SockAddrContext, SockContext, SockOpsContext},
};
use hivewall_datapath::socket::{
    DropCount, DropKey, ExecNote, Field, HealthRaw, Known, PATH_BYTES_MAX, SOCKET_ABI_VERSION, STAT_DROPS_UNTABLED,
    STAT_WITHHELD, STATS, SocketEndsRaw, SocketNote, SocketOwner, Telling, note, told_digest,
};

/// Storage of the kernel's own with every socket; a child of a listener begins with a copy.
#[repr(C)]
struct SocketStorage {
    r#type: *const [i32; 24],
    key: *const i32,
    value: *const Known,
    max_entries: *const [i32; 0],
    /// `BPF_F_NO_PREALLOC`, which the kernel demands, and `BPF_F_CLONE`.
    map_flags: *const [i32; 0x201],
}

// SAFETY: a definition for the loader; the pointers are never followed.
unsafe impl Sync for SocketStorage {}

#[btf_map]
static SOCKETS: SocketStorage = SocketStorage {
    r#type: core::ptr::null(),
    key: core::ptr::null(),
    value: core::ptr::null(),
    max_entries: core::ptr::null(),
    map_flags: core::ptr::null(),
};
/// Notes. Sized at load.
#[map]
static NOTES: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
static STAT: PerCpuArray<u64> = PerCpuArray::with_max_entries(STATS, 0);
#[btf_map]
static DROPS: PerCpuHashMap<DropKey, DropCount, 1024> = PerCpuHashMap::new();

/// Compared at load; in a section of its own, which becomes a map that can be read.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.abi")]
static SOCKET_ABI: u32 = SOCKET_ABI_VERSION;
/// Set at load, constant for the verifier and the JIT.
#[unsafe(no_mangle)]
static FIELDS: [u32; Field::COUNT] = [Field::ABSENT; Field::COUNT];
/// The highest reason that is none: consumed, or not stated.
#[unsafe(no_mangle)]
static REASON_NONE_MAX: u32 = u32::MAX;
/// Number of the agent's network namespace.
#[unsafe(no_mangle)]
static OWN_NETNS: u32 = 0;

const IPPROTO_TCP: u32 = 6;
const IPPROTO_UDP: u32 = 17;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
/// States of `include/net/tcp_states.h`.
const ESTABLISHED: u32 = 1;
const SYN_SENT: u32 = 2;
const SYN_RECV: u32 = 3;
const FIN_WAIT1: u32 = 4;
const CLOSE: u32 = 7;
const LAST_ACK: u32 = 9;
const LISTEN: u32 = 10;
/// `BPF_SOCK_OPS_TCP_CONNECT_CB`: the port is chosen, the SYN is about to be sent.
const TCP_CONNECT: u32 = 3;
/// What cgroup programs return to let things be.
const ALLOW: i32 = 1;

#[inline(always)]
fn constant<T: Copy>(place: &T) -> T {
    // SAFETY: a valid reference. Volatile, because the loader replaces the value that the compiler sees.
    unsafe { core::ptr::read_volatile(place) }
}

/// A field of the structure at `base`.
#[inline(always)]
fn field<T: Copy>(base: u64, field: Field) -> Option<T> {
    let place = constant(&FIELDS[field as usize]);
    if place == Field::ABSENT || base == 0 {
        return None;
    }
    // SAFETY: the helper checks the address and fails where nothing is mapped.
    unsafe { bpf_probe_read_kernel((base + u64::from(place)) as *const T) }.ok()
}

/// A pointer as a plain number. The verifier forbids arithmetic on pointers to its own view of a socket; the number behind
/// it is the address of the `struct sock`.
#[inline(always)]
fn number(pointer: *const c_void) -> u64 {
    let place = pointer;
    // SAFETY: reads eight bytes of this stack frame.
    unsafe { bpf_probe_read_kernel((&raw const place).cast::<u64>()) }.unwrap_or(0)
}

#[inline(always)]
fn count(stat: u32) {
    if let Some(place) = STAT.get_ptr_mut(stat) {
        // SAFETY: a per-CPU value. Programs may interrupt one another, which may cost one count.
        unsafe { *place += 1 };
    }
}

/// The process at work; `None` in the idle task, where only interrupts run.
#[inline(always)]
fn current() -> Option<SocketOwner> {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if pid == 0 {
        return None;
    }
    // SAFETY: helpers without arguments.
    let (task, cgroup_id) = unsafe { (bpf_get_current_task(), bpf_get_current_cgroup_id()) };
    let leader = field::<u64>(task, Field::GroupLeader).unwrap_or(0);
    Some(SocketOwner {
        pid,
        uid: bpf_get_current_uid_gid() as u32,
        cgroup_id,
        started_ns: field(leader, Field::StartBoottime).unwrap_or(0),
        comm: bpf_get_current_comm().unwrap_or([0; 16]),
    })
}

/// What is known of a socket; with `create`, a place for it is made. `sk` is whatever the program type calls a socket.
#[inline(always)]
fn known(sk: *mut c_void, create: bool) -> Option<&'static mut Known> {
    let map = (&raw const SOCKETS).cast_mut().cast();
    let flags = if create { u64::from(BPF_SK_STORAGE_GET_F_CREATE) } else { 0 };
    // SAFETY: the verifier checks `sk`; the value lives as long as the socket, which outlives the program's run.
    unsafe { bpf_sk_storage_get(map, sk, core::ptr::null_mut(), flags).cast::<Known>().as_mut() }
}

/// An IPv4 address in its mapped form.
#[inline(always)]
fn mapped(address: u32) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), address]
}

/// The beginning of a `struct sock`, where the ends of every family are: one call instead of one a field.
struct SockHead([u64; 16]);

impl SockHead {
    /// A field that lies in it. An offset beyond it makes the verifier refuse the program.
    #[inline(always)]
    fn get<T: Copy>(&self, field: Field) -> T {
        let place = constant(&FIELDS[field as usize]) as usize;
        // SAFETY: in bounds, as the verifier checks with the number that the loader put there.
        unsafe { self.0.as_ptr().cast::<u8>().add(place).cast::<T>().read_unaligned() }
    }
}

/// Both ends of a `struct sock`; `None` when it is not an IP socket.
#[inline(always)]
fn ends(sk: u64) -> Option<SocketEndsRaw> {
    let mut head = SockHead([0; 16]);
    let (place, length) = ((&raw mut head).cast(), size_of::<SockHead>() as u32);
    // SAFETY: the helper checks the address, and `head` has the room.
    if unsafe { bpf_probe_read_kernel_raw(place, length, sk as *const c_void) } != 0 {
        return None;
    }
    let family: u16 = head.get(Field::Family);
    let (local, remote) = if family == AF_INET {
        (mapped(head.get(Field::LocalIpv4)), mapped(head.get(Field::RemoteIpv4)))
    } else if family == AF_INET6 {
        (head.get(Field::LocalIpv6), head.get(Field::RemoteIpv6))
    } else {
        return None;
    };
    let mut local_port: u16 = head.get(Field::LocalPort);
    if local_port == 0 {
        // A closed socket has given its number back, but still says which it was.
        local_port = field(sk, Field::BoundPort).map_or(0, u16::from_be);
    }
    Some(SocketEndsRaw { local, remote, local_port, remote_port: u16::from_be(head.get(Field::RemotePort)) })
}

#[inline(always)]
fn health(sk: u64) -> HealthRaw {
    // `struct minmax` is three samples of (time, value).
    let min_rtt: Option<[u32; 2]> = field(sk, Field::MinRtt);
    HealthRaw {
        srtt_us8: field(sk, Field::SmoothedRtt).unwrap_or(0),
        mdev_us4: field(sk, Field::RttDeviation).unwrap_or(0),
        min_rtt_us: min_rtt.map_or(u32::MAX, |sample| sample[1]),
        retransmits: field(sk, Field::Retransmits).unwrap_or(0),
        out_of_order: field(sk, Field::OutOfOrder).unwrap_or(u32::MAX),
    }
}

#[inline(always)]
fn hand_over(note: &SocketNote) {
    match NOTES.reserve::<SocketNote>(0) {
        Some(mut place) => {
            place.write(*note);
            place.submit(u64::from(BPF_RB_NO_WAKEUP));
        }
        None => count(note.kind),
    }
}

#[inline(always)]
fn tell(kind: u32, protocol: u32, owner: SocketOwner, ends: SocketEndsRaw) {
    // SAFETY: no arguments.
    let time_ns = unsafe { bpf_ktime_get_ns() };
    hand_over(&SocketNote { kind, protocol: protocol as u8, time_ns, owner, ends, ..SocketNote::default() });
}

/// The process at work uses this socket with these ends: told unless it was.
#[inline(always)]
fn use_with(known: &mut Known, kind: u32, protocol: u32, ends: &SocketEndsRaw) {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if known.used == 0 || known.owner.pid != pid {
        let Some(owner) = current() else { return };
        known.owner = owner;
        known.used = 1;
    }
    // SAFETY: no arguments.
    let second = (unsafe { bpf_ktime_get_ns() } >> 30) as u32;
    match known.tell(told_digest(pid, ends), second) {
        Telling::Now => tell(kind, protocol, known.owner, *ends),
        Telling::Withheld => count(STAT_WITHHELD),
        Telling::Already => {}
    }
}

/// A process made a socket; children of a listener begin with what is remembered here.
#[cgroup_sock(sock_create)]
pub fn hivewall_sock_create(ctx: SockContext) -> i32 {
    if let Some(owner) = current()
        && let Some(known) = known(ctx.as_ptr(), true)
    {
        known.owner = owner;
    }
    ALLOW
}

#[inline(always)]
fn bound(ctx: &SockContext) -> i32 {
    let sk = number(ctx.as_ptr());
    let protocol = field::<u16>(sk, Field::Protocol).map_or(0, u32::from) & 0xff;
    if protocol == IPPROTO_UDP
        && let Some(known) = known(ctx.as_ptr(), true)
        && let Some(ends) = ends(sk)
    {
        use_with(known, note::BOUND, protocol, &ends);
    }
    ALLOW
}

/// A process bound a socket to an IPv4 address.
#[cgroup_sock(post_bind4)]
pub fn hivewall_post_bind4(ctx: SockContext) -> i32 {
    bound(&ctx)
}

/// A process bound a socket to an IPv6 address.
#[cgroup_sock(post_bind6)]
pub fn hivewall_post_bind6(ctx: SockContext) -> i32 {
    bound(&ctx)
}

/// The last user of a socket closed it.
#[cgroup_sock(sock_release)]
pub fn hivewall_sock_release(ctx: SockContext) -> i32 {
    let sk = number(ctx.as_ptr());
    if field::<u16>(sk, Field::Protocol).map_or(0, u32::from) & 0xff == IPPROTO_UDP
        && let Some(known) = known(ctx.as_ptr(), false)
        && known.used != 0
        && let Some(ends) = ends(sk)
    {
        tell(note::RELEASED, IPPROTO_UDP, known.owner, ends);
    }
    ALLOW
}

/// A datagram leaves a socket that is not connected: the peer stands in the call.
#[inline(always)]
fn send_to(ctx: &SockAddrContext, remote: [u32; 4], remote_port: u16) -> i32 {
    // SAFETY: the context is valid for the run, and its socket is there.
    let sk = unsafe { (*ctx.sock_addr).__bindgen_anon_1.sk };
    let sock = number(sk.cast());
    if field::<u16>(sock, Field::Protocol).map_or(0, u32::from) & 0xff == IPPROTO_UDP
        && let Some(known) = known(sk.cast(), true)
        && let Some(mut ends) = ends(sock)
    {
        ends.remote = remote;
        ends.remote_port = remote_port;
        use_with(known, note::USED, IPPROTO_UDP, &ends);
    }
    ALLOW
}

/// `sendto` over IPv4.
#[cgroup_sock_addr(sendmsg4)]
pub fn hivewall_sendmsg4(ctx: SockAddrContext) -> i32 {
    // SAFETY: the context is valid for the run.
    let (address, port) = unsafe { ((*ctx.sock_addr).user_ip4, (*ctx.sock_addr).user_port) };
    send_to(&ctx, mapped(address), u16::from_be(port as u16))
}

/// `sendto` over IPv6.
#[cgroup_sock_addr(sendmsg6)]
pub fn hivewall_sendmsg6(ctx: SockAddrContext) -> i32 {
    let (address, port) = peer6(&ctx);
    send_to(&ctx, address, port)
}

/// The address in the context, word by word as the verifier wants it.
#[inline(always)]
fn peer6(ctx: &SockAddrContext) -> ([u32; 4], u16) {
    // SAFETY: the context is valid for the run. Volatile, since loads of the context may not be joined.
    unsafe {
        let word = |index: usize| core::ptr::read_volatile(&raw const (*ctx.sock_addr).user_ip6[index]);
        ([word(0), word(1), word(2), word(3)], u16::from_be((*ctx.sock_addr).user_port as u16))
    }
}

/// Somebody asks for the peer's address: most servers do in the call that accepts, and so say who serves the connection.
#[inline(always)]
fn accepted(ctx: &SockAddrContext) -> i32 {
    // SAFETY: the context is valid for the run, and its socket is there.
    let sk = unsafe { (*ctx.sock_addr).__bindgen_anon_1.sk };
    let sock = number(sk.cast());
    let protocol = field::<u16>(sock, Field::Protocol).map_or(0, u32::from) & 0xff;
    if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)
        && let Some(known) = known(sk.cast(), true)
        && let Some(ends) = ends(sock)
        && ends.remote_port != 0
    {
        use_with(known, note::USED, protocol, &ends);
    }
    ALLOW
}

/// `accept` and `getpeername` over IPv4.
#[cgroup_sock_addr(getpeername4)]
pub fn hivewall_getpeername4(ctx: SockAddrContext) -> i32 {
    accepted(&ctx)
}

/// `accept` and `getpeername` over IPv6.
#[cgroup_sock_addr(getpeername6)]
pub fn hivewall_getpeername6(ctx: SockAddrContext) -> i32 {
    accepted(&ctx)
}

/// A SYN is about to leave: from here on the connection has both ends, though nobody may ever answer.
#[sock_ops]
pub fn hivewall_sock_ops(ctx: SockOpsContext) -> u32 {
    if ctx.op() == TCP_CONNECT {
        // SAFETY: the context is valid for the run.
        let sk = unsafe { (*ctx.ops).__bindgen_anon_2.sk };
        if !sk.is_null() {
            let sock = number(sk.cast());
            if let Some(known) = known(sk.cast(), true)
                && let Some(ends) = ends(sock)
            {
                use_with(known, note::USED, IPPROTO_TCP, &ends);
            }
        }
    }
    ALLOW as u32
}

/// `inet_sock_set_state(sk, oldstate, newstate)`
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn hivewall_set_state(ctx: BtfTracePointContext) -> i32 {
    let sk: *mut c_void = ctx.arg(0);
    let (from, to): (u32, u32) = (ctx.arg(1), ctx.arg(2));
    // A child of a listener has no ends yet; that it was born is told a moment later, when it is established.
    if from == LISTEN && to == SYN_RECV {
        return 0;
    }
    let protocol = field::<u16>(sk as u64, Field::Protocol).map_or(0, u32::from) & 0xff;
    if protocol != IPPROTO_TCP {
        return 0;
    }
    let Some(ends) = ends(sk as u64) else { return 0 };
    // These happen in a call of the process; all others in whatever was interrupted by a packet or a timer.
    let opens = to == SYN_SENT || to == LISTEN;
    let closes = to == FIN_WAIT1 || to == LAST_ACK;
    let mut owner = SocketOwner::default();
    if let Some(known) = known(sk, opens || closes) {
        // Who closes a connection has it, if nobody else was seen to use it.
        if (opens || (closes && known.used == 0))
            && let Some(process) = current()
        {
            known.owner = process;
            known.used = u32::from(to != LISTEN);
        }
        owner = known.owner;
    }
    // SAFETY: no arguments.
    let time_ns = unsafe { bpf_ktime_get_ns() };
    // At the start and at the end; in between nobody misses it.
    let has_health = to == ESTABLISHED || (to == CLOSE && from != LISTEN && from != SYN_SENT);
    hand_over(&SocketNote {
        kind: note::STATE,
        protocol: protocol as u8,
        from: from as u8,
        to: to as u8,
        has_health: u8::from(has_health),
        time_ns,
        owner,
        ends,
        health: if has_health { health(sk as u64) } else { HealthRaw::default() },
    });
    0
}

/// A process sends or receives: whoever does is the user of the socket, whoever made or accepted it.
#[inline(always)]
fn transfer(ctx: &BtfTracePointContext) -> i32 {
    let sk: *mut c_void = ctx.arg(0);
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if let Some(known) = known(sk, false)
        && is_usual(known, sk as u64, pid)
    {
        return 0;
    }
    let Some(ends) = ends(sk as u64) else { return 0 };
    let protocol = field::<u16>(sk as u64, Field::Protocol).map_or(0, u32::from) & 0xff;
    if protocol != IPPROTO_TCP && protocol != IPPROTO_UDP {
        return 0;
    }
    let Some(known) = known(sk, true) else { return 0 };
    known.protocol = protocol;
    known.family = field::<u16>(sk as u64, Field::Family).map_or(0, u32::from);
    if ends.remote_port != 0 {
        use_with(known, note::USED, protocol, &ends);
        known.latest = if protocol == IPPROTO_TCP { pid } else { peer_digest(known, sk as u64, pid) };
    } else if protocol == IPPROTO_UDP && ends.local_port != 0 && known.owner.pid != pid {
        // Not connected: what it sends is told elsewhere, with the peer. What it receives comes to whoever reads it.
        use_with(known, note::BOUND, protocol, &ends);
    }
    0
}

/// The case that has to be quick: the process that was told last goes on with the same peer. A TCP connection has one
/// peer all its life; a UDP socket may be connected to another, so that the peer is looked at.
#[inline(always)]
fn is_usual(known: &Known, sk: u64, pid: u32) -> bool {
    if known.protocol == IPPROTO_TCP {
        return known.latest == pid;
    }
    if known.family == 0 {
        return false;
    }
    if field::<u16>(sk, Field::RemotePort) == Some(0) {
        return known.owner.pid == pid;
    }
    known.latest == peer_digest(known, sk, pid)
}

/// Digest of a connected socket's user and peer.
#[inline(always)]
fn peer_digest(known: &Known, sk: u64, pid: u32) -> u32 {
    let remote = if known.family == u32::from(AF_INET6) {
        field(sk, Field::RemoteIpv6).unwrap_or([0; 4])
    } else {
        mapped(field(sk, Field::RemoteIpv4).unwrap_or(0))
    };
    let remote_port = field(sk, Field::RemotePort).unwrap_or(0);
    told_digest(pid, &SocketEndsRaw { remote, remote_port, ..SocketEndsRaw::default() })
}

/// `sock_send_length(sk, ret, flags)`
#[btf_tracepoint(function = "sock_send_length")]
pub fn hivewall_send(ctx: BtfTracePointContext) -> i32 {
    transfer(&ctx)
}

/// `sock_recv_length(sk, ret, flags)`
#[btf_tracepoint(function = "sock_recv_length")]
pub fn hivewall_receive(ctx: BtfTracePointContext) -> i32 {
    transfer(&ctx)
}

/// `sched_process_exec(task, old_pid, bprm)`
#[btf_tracepoint(function = "sched_process_exec")]
pub fn hivewall_exec(ctx: BtfTracePointContext) -> i32 {
    // Read here, so that it is in the object.
    if constant(&SOCKET_ABI) == 0 {
        return 0;
    }
    let bprm: *const c_void = ctx.arg(2);
    let Some(path) = field::<u64>(bprm as u64, Field::Interpreter) else { return 0 };
    // SAFETY: no arguments.
    let task = unsafe { bpf_get_current_task() };
    let leader = field::<u64>(task, Field::GroupLeader).unwrap_or(0);
    let started_ns = field(leader, Field::StartBoottime).unwrap_or(0);
    let Some(mut place) = NOTES.reserve::<ExecNote>(0) else {
        count(note::EXECUTED);
        return 0;
    };
    let note = place.as_mut_ptr();
    // SAFETY: the reserved memory is as large as the note, and the helper writes no more than it is told.
    let length = unsafe {
        (*note).kind = note::EXECUTED;
        (*note).pid = (bpf_get_current_pid_tgid() >> 32) as u32;
        (*note).started_ns = started_ns;
        bpf_probe_read_kernel_str((&raw mut (*note).path).cast(), PATH_BYTES_MAX as u32, path as *const c_void)
    };
    if length > 0 {
        place.submit(u64::from(BPF_RB_NO_WAKEUP));
    } else {
        place.discard(u64::from(BPF_RB_NO_WAKEUP));
    }
    0
}

/// Interface of a dropped packet, if it is one of the agent's namespace.
#[inline(always)]
fn interface(skb: u64) -> u32 {
    let own = |net: Option<u64>| {
        net.and_then(|net| {
            let place = constant(&FIELDS[Field::NetNs as usize]);
            (place != Field::ABSENT).then(|| net + u64::from(place))
        })
        .and_then(|ns| field::<u32>(ns, Field::NsNumber))
            == Some(constant(&OWN_NETNS))
    };
    let device = field::<u64>(skb, Field::BufferDevice).unwrap_or(0);
    // The place is used for other things once a protocol has the packet; a kernel address opens with ones.
    if device >> 48 == 0xffff {
        return if own(field(device, Field::DeviceNet)) { field(device, Field::DeviceIndex).unwrap_or(0) } else { 0 };
    }
    let sock = field::<u64>(skb, Field::BufferSock).unwrap_or(0);
    if own(field(sock, Field::SockNet)) { field(skb, Field::BufferInterface).unwrap_or(0) } else { 0 }
}

/// Writes source and destination of a dropped packet and gives its protocol; 0 where it is not IP. Not an `Option`, which
/// the compiler copies with its undefined parts, and the verifier refuses that.
#[inline(always)]
fn addressed(skb: u64, found: &mut SocketEndsRaw) -> u32 {
    let link = u16::from_be(field(skb, Field::BufferProtocol).unwrap_or(0));
    let head: u64 = field(skb, Field::BufferHead).unwrap_or(0);
    let at: u16 = field(skb, Field::NetworkHeader).unwrap_or(u16::MAX);
    if head == 0 || at == u16::MAX {
        return 0;
    }
    let at = head + u64::from(at);
    let mut header = [0_u32; 10];
    let length = match link {
        ETH_P_IP => 20,
        ETH_P_IPV6 => 40,
        _ => return 0,
    };
    // SAFETY: the helper checks the address, and the array has room for both lengths.
    if unsafe { bpf_probe_read_kernel_raw((&raw mut header).cast(), length, at as *const c_void) } != 0 {
        return 0;
    }
    let first = u32::from_be(header[0]);
    let (protocol, ports) = if link == ETH_P_IP {
        found.local = mapped(header[3]);
        found.remote = mapped(header[4]);
        let later_fragment = u32::from_be(header[1]) & 0x1fff != 0;
        (u32::from_be(header[2]) >> 16 & 0xff, if later_fragment { 0 } else { u64::from(first >> 24 & 15) * 4 })
    } else {
        found.local = [header[2], header[3], header[4], header[5]];
        found.remote = [header[6], header[7], header[8], header[9]];
        (u32::from_be(header[1]) >> 8 & 0xff, 40)
    };
    if first >> 28 != if link == ETH_P_IP { 4 } else { 6 } {
        return 0;
    }
    if ports != 0 && (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) {
        // SAFETY: the helper checks the address.
        let pair: [u16; 2] = unsafe { bpf_probe_read_kernel((at + ports) as *const [u16; 2]) }.unwrap_or([0; 2]);
        found.local_port = u16::from_be(pair[0]);
        found.remote_port = u16::from_be(pair[1]);
    }
    protocol
}

#[inline(always)]
fn add_drop(key: &DropKey, latest: &SocketEndsRaw) -> bool {
    let Some(place) = DROPS.get_ptr_mut(key) else { return false };
    // SAFETY: a per-CPU value. A drop in an interrupt may cost one count.
    let place = unsafe { &mut *place };
    place.packets += 1;
    if key.protocol != 0 {
        // SAFETY: no arguments.
        place.latest_ns = unsafe { bpf_ktime_get_ns() };
        place.latest = *latest;
    }
    true
}

/// `kfree_skb(skb, location, reason, …)`
#[btf_tracepoint(function = "kfree_skb")]
pub fn hivewall_drop(ctx: BtfTracePointContext) -> i32 {
    let reason: u32 = ctx.arg(2);
    if reason <= constant(&REASON_NONE_MAX) {
        return 0;
    }
    let skb = ctx.arg::<*const c_void>(0) as u64;
    let mut latest = SocketEndsRaw::default();
    let protocol = addressed(skb, &mut latest);
    let key = DropKey { reason, ifindex: interface(skb), protocol };
    if add_drop(&key, &latest) {
        return 0;
    }
    let _ = DROPS.insert(&key, DropCount::default(), u64::from(BPF_NOEXIST));
    if !add_drop(&key, &latest) {
        count(STAT_DROPS_UNTABLED);
    }
    0
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
