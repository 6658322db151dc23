//! What this kernel, on this host, with these privileges, really lets the agent do.
//!
//! Every answer comes from trying the thing itself (loading, attaching, mapping, running), or from the file the kernel
//! keeps for it; the version alone decides only where trying would need more privilege than the agent has, and the
//! answer says so. It chooses nothing: which backend follows from the answers is decided elsewhere. Invariant: nothing
//! is left behind. Whatever is attached is attached to the loopback of a network namespace that exists for the probe
//! alone, or to a function of the kernel that nobody calls, and every descriptor is closed.

mod bpf;
mod btf;
mod host;
mod tracing;

use std::os::fd::AsFd;

use hivewall_model::{Interface, LinkLayer};
use nix::sched::{CloneFlags, unshare};

use crate::diag::SocketDiag;
use crate::link::Links;
use crate::packet::{PacketOptions, PacketSocket};

pub use host::{KernelVersion, kernel_version};

/// The loopback has this index in every network namespace.
const LOOPBACK: u32 = 1;

/// One question to the kernel, with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What was asked for, one short term.
    pub name: &'static str,
    /// Whether it is there.
    pub ok: bool,
    /// What was found, or what failed and what to do about it.
    pub detail: String,
    /// What the agent does with it, and what it does without.
    pub needed_for: &'static str,
    /// First Linux version that has it.
    pub since: &'static str,
}

/// What a single try found: a description either way.
type Answer = Result<String, String>;

/// Asks everything. Takes a few milliseconds; needs no privilege to run, and then says what is missing.
pub fn probe_kernel() -> Vec<Probe> {
    let answer = |name, answer: Answer, needed_for, since| {
        let ok = answer.is_ok();
        let (Ok(detail) | Err(detail)) = answer;
        Probe { name, ok, detail, needed_for, since }
    };
    let program = bpf::load();
    let tcx = with_program(&program, |program| {
        isolated(|| bpf::attach_tcx(program.as_fd(), LOOPBACK))
            .unwrap_or_else(|_| bpf::attach_tcx(program.as_fd(), LOOPBACK))
    });
    let jit = with_program(&program, |program| bpf::compiled(program.as_fd()));
    let run = with_program(&program, |program| bpf::run(program.as_fd()));
    let loaded = program.as_ref().map(|_| "a sched_cls program was loaded".to_owned()).map_err(Clone::clone);
    let types = btf::Btf::read();
    vec![
        answer("kernel", host::kernel(), "everything", "5.8"),
        answer("capabilities", host::capabilities(), "eBPF; without them AF_PACKET or nothing", "5.8"),
        answer("bpf-program", loaded, "the eBPF datapath; without it AF_PACKET is used", "4.1"),
        answer("bpf-jit", jit, "speed: interpreted programs cost many times more per packet", "3.16"),
        answer("btf", host::btf(), "tying sockets to processes; without it /proc is polled", "5.2"),
        answer("tcx", tcx, "attaching beside other programs; without it clsact is used", "6.6"),
        answer("clsact", clsact(), "attaching where tcx is missing", "4.5"),
        answer("mmapable-array", bpf::map_array(), "reading flows without a system call each", "5.5"),
        answer("prog-test-run", run, "the timed sweep of the flow cache, and tests", "4.12"),
        answer("af-packet", packet_ring(), "capture where eBPF is not to be had", "3.2"),
        answer("cgroup2", host::cgroup2(), "knowing the container of a process", "4.5"),
        answer("sk-storage", tracing::sk_storage(), "tying sockets to processes; without it sockets are polled", "5.4"),
        answer(
            "tp-btf",
            tracing::tp_btf(&types),
            "socket states and drops as they happen; without it, polled or unseen",
            "5.5",
        ),
        answer("fexit", tracing::fexit(&types), "what no tracepoint tells; nothing depends on it", "5.5"),
        answer("sock-diag", sock_diag(), "counting sockets, and owners of those older than the agent", "3.3"),
        answer("bpf-stats", tracing::statistics(), "telling what the agent costs per packet", "5.8"),
        answer("netlink", netlink(), "knowing the interfaces", "2.6"),
        answer("bpffs", host::bpffs(), "rules that stay enforced when the agent is gone", "4.4"),
        answer("memlock", host::memlock(), "memory for maps on kernels before 5.11", "5.11"),
    ]
}

fn with_program(
    program: &Result<std::os::fd::OwnedFd, String>,
    work: impl FnOnce(&std::os::fd::OwnedFd) -> Answer,
) -> Answer {
    program.as_ref().map_err(Clone::clone).and_then(work)
}

/// Runs `work` in a network namespace of its own, which ends with it. Fails where making one is not permitted.
fn isolated<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // Of this thread alone: the rest of the process stays where it is.
            unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| refused("make a network namespace", &errno.into()))?;
            Ok(work())
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn clsact() -> Answer {
    match isolated(|| host::add_clsact(LOOPBACK)) {
        Ok(answer) => answer,
        // The host's own interfaces are not touched for a question.
        Err(_) if kernel_version() >= KernelVersion(4, 5) => {
            Ok("not tried (that needs CAP_SYS_ADMIN); this kernel is new enough for it".to_owned())
        }
        Err(why) => Err(why),
    }
}

fn packet_ring() -> Answer {
    let interface = Interface {
        index: LOOPBACK,
        name: "lo".to_owned(),
        link: LinkLayer::Ethernet,
        loopback: true,
        ..Interface::default()
    };
    let options = PacketOptions { blocks: 2, ..PacketOptions::default() };
    let socket = PacketSocket::open(&interface, options).map_err(|error| error.to_string())?;
    let segments = if socket.counts_segments() { "with segment sizes" } else { "segment sizes need Linux 6.2" };
    Ok(format!("a TPACKET_V3 ring was mapped, {segments}"))
}

fn sock_diag() -> Answer {
    let (_, sockets) = SocketDiag::open().and_then(|mut diag| diag.census()).map_err(|error| error.to_string())?;
    Ok(format!("{} sockets", sockets.len()))
}

fn netlink() -> Answer {
    let interfaces = Links::open().and_then(|mut links| links.dump()).map_err(|error| error.to_string())?;
    Ok(format!("{} interfaces", interfaces.len()))
}

/// The text for a refused try, with advice where the cause is known.
fn refused(doing: &str, error: &std::io::Error) -> String {
    let advice = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) if !nix::unistd::geteuid().is_root() => {
            "; not permitted: run as root, or `setcap cap_bpf,cap_net_admin,cap_perfmon,cap_net_raw+ep` the binary"
        }
        Some(libc::EPERM | libc::EACCES) => {
            "; not permitted although root: a container or lockdown withholds it, see the capabilities above"
        }
        Some(libc::ENOSYS) => "; the kernel was built without it, or seccomp hides it",
        Some(libc::EINVAL) => "; this kernel does not know it",
        _ => "",
    };
    format!("cannot {doing}: {error}{advice}")
}
