//! The committed object of the socket programs: loaded with the places of this kernel's fields, attached part by part.
//!
//! Invariant: everything hangs on links that this process holds, so that nothing stays when it ends; other programs on
//! the same cgroup and tracepoints keep working. A part that this kernel does not have is named, and the others work.

use std::fs::File;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aya::maps::{Array, MapData};
use aya::programs::{CgroupAttachMode, Program, ProgramError};
use aya::{Btf as LoaderBtf, Ebpf, EbpfLoader, include_bytes_aligned};
use hivewall_datapath::socket::{Field, SOCKET_ABI_VERSION};

use super::btf::Btf;
use super::{SocketWatchError, SocketWatchOptions};
use crate::ebpf::{EbpfError, load_error, map_error};

pub(super) static OBJECT: &[u8] = include_bytes_aligned!("../../bpf/sockets.o");

/// Number of the first PID namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const FIRST_PID_NAMESPACE: u64 = 0xefff_fffc;

/// linux/mount.h.
const FSOPEN_CLOEXEC: libc::c_int = 1;
const FSMOUNT_CLOEXEC: libc::c_int = 1;
const FSCONFIG_CMD_CREATE: libc::c_int = 6;

/// How a program is hung up.
#[derive(Clone, Copy)]
enum Place {
    /// On the root of the cgroup tree.
    Cgroup,
    /// On a tracepoint of this name.
    Tracepoint(&'static str),
}

/// One program.
struct Part {
    program: &'static str,
    place: Place,
    /// What is not known without it.
    without: &'static str,
}

const fn on_cgroup(program: &'static str, without: &'static str) -> Part {
    Part { program, place: Place::Cgroup, without }
}

const fn on_tracepoint(program: &'static str, name: &'static str, without: &'static str) -> Part {
    Part { program, place: Place::Tracepoint(name), without }
}

/// The program that counts drops.
const DROPS: &str = "hivewall_drop";

/// All of them.
const PARTS: [Part; 14] = [
    on_cgroup("hivewall_sock_create", "makers of sockets"),
    on_cgroup("hivewall_sock_release", "ends of UDP sockets"),
    on_cgroup("hivewall_post_bind4", "receivers of UDP over IPv4"),
    on_cgroup("hivewall_post_bind6", "receivers of UDP over IPv6"),
    on_cgroup("hivewall_sendmsg4", "senders of unconnected UDP over IPv4"),
    on_cgroup("hivewall_sendmsg6", "senders of unconnected UDP over IPv6"),
    on_cgroup("hivewall_getpeername4", "processes that accept over IPv4"),
    on_cgroup("hivewall_getpeername6", "processes that accept over IPv6"),
    on_cgroup("hivewall_sock_ops", "TCP connections before they are answered"),
    on_tracepoint("hivewall_set_state", "inet_sock_set_state", "TCP states"),
    on_tracepoint("hivewall_send", "sock_send_length", "senders on connected UDP and inherited sockets"),
    on_tracepoint("hivewall_receive", "sock_recv_length", "receivers on inherited sockets"),
    on_tracepoint("hivewall_exec", "sched_process_exec", "executables of short-lived processes"),
    on_tracepoint(DROPS, "kfree_skb", "drops by the kernel"),
];

/// The object with whatever could be attached of it.
pub(super) struct Attached {
    pub(super) ebpf: Ebpf,
    /// What is not known, and why.
    pub(super) missing: Vec<String>,
}

/// Loads an object with the places of this kernel's fields.
fn load(object: &[u8], btf: &Btf, ring_bytes: u32) -> Result<Ebpf, SocketWatchError> {
    let fields = Field::ALL.map(|(_, structure, member)| btf.member(structure, member).unwrap_or(Field::ABSENT));
    let none = ["SKB_NOT_DROPPED_YET", "SKB_CONSUMED", "SKB_DROP_REASON_NOT_SPECIFIED"];
    let reasons = btf.values("skb_drop_reason").into_iter();
    let none_max = reasons.filter(|(name, _)| none.contains(name)).map(|(_, number)| number).max().unwrap_or(u32::MAX);
    let netns = std::fs::metadata("/proc/thread-self/ns/net").map_or(0, |file| file.ino() as u32);
    let ebpf = EbpfLoader::new()
        .override_global("FIELDS", fields.as_slice(), true)
        .override_global("REASON_NONE_MAX", &none_max, true)
        .override_global("OWN_NETNS", &netns, true)
        .map_max_entries("NOTES", ring_bytes)
        .load(object)
        .map_err(load_error)?;
    let abi: Array<&MapData, u32> =
        Array::try_from(ebpf.map(".rodata.abi").ok_or(EbpfError::Missing("ABI number"))?).map_err(map_error)?;
    match abi.get(&0, 0).map_err(map_error)? {
        SOCKET_ABI_VERSION => Ok(ebpf),
        found => Err(EbpfError::Abi { found, wanted: SOCKET_ABI_VERSION }.into()),
    }
}

/// Loads the programs and attaches those that this kernel takes.
pub(super) fn attach(btf: &Btf, options: &SocketWatchOptions) -> Result<Attached, SocketWatchError> {
    let mut ebpf = load(OBJECT, btf, ring_bytes(options.ring_bytes))?;
    let kernel = LoaderBtf::from_sys_fs().map_err(|source| SocketWatchError::Types(Box::new(source)))?;
    let root = options.cgroup.clone().or_else(|| {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        cgroup_root(&mounts)
    });
    let cgroup = match root {
        Some(path) => File::open(&path).map_err(|error| format!("{} cannot be opened: {error}", path.display())),
        // As in a mount namespace of its own (`ip netns exec` takes /sys/fs/cgroup away).
        None => unmounted_root().map_err(|error| format!("the root of cgroup2 is not mounted: {error}")),
    };
    let mut missing = Vec::new();
    for part in PARTS.iter().filter(|part| options.drops || part.program != DROPS) {
        let outcome = match (part.place, &cgroup) {
            (Place::Tracepoint(name), _) if !btf.has_tracepoint(name) => Err(format!("no tracepoint {name}")),
            (Place::Tracepoint(name), _) => on(&mut ebpf, part.program, Some((name, &kernel)), None),
            (Place::Cgroup, Ok(cgroup)) => on(&mut ebpf, part.program, None, Some(cgroup)),
            (Place::Cgroup, Err(reason)) => Err(reason.clone()),
        };
        if let Err(reason) = outcome {
            missing.push(format!("{} ({reason})", part.without));
        }
    }
    if missing.len() == PARTS.len() {
        return Err(SocketWatchError::NothingAttached { reasons: missing.join("; ") });
    }
    if std::fs::metadata("/proc/self/ns/pid").is_ok_and(|file| file.ino() != FIRST_PID_NAMESPACE) {
        missing.push("process numbers of this PID namespace (the kernel tells those of the first)".to_owned());
    }
    Ok(Attached { ebpf, missing })
}

/// Has the kernel verify every program of an object, and attaches none. Gives their names.
pub(super) fn verify(object: &[u8]) -> Result<Vec<&'static str>, SocketWatchError> {
    let btf = Btf::of_kernel()?;
    let kernel = LoaderBtf::from_sys_fs().map_err(|source| SocketWatchError::Types(Box::new(source)))?;
    let mut ebpf = load(object, &btf, ring_bytes(0))?;
    let mut names = Vec::new();
    for part in &PARTS {
        let program = ebpf.program_mut(part.program).ok_or(EbpfError::Missing(part.program))?;
        let tracepoint = match part.place {
            Place::Tracepoint(name) => Some((name, &kernel)),
            Place::Cgroup => None,
        };
        load_program(program, tracepoint)
            .map_err(|source| EbpfError::Program { name: part.program.to_owned(), source: Box::new(source) })?;
        names.push(part.program);
    }
    Ok(names)
}

/// A size that the kernel takes for a ring.
fn ring_bytes(wanted: u32) -> u32 {
    wanted.clamp(1 << 16, 1 << 28).next_power_of_two()
}

type Tracepoint<'a> = Option<(&'a str, &'a LoaderBtf)>;

fn load_program(program: &mut Program, tracepoint: Tracepoint<'_>) -> Result<(), ProgramError> {
    match (program, tracepoint) {
        (Program::CgroupSock(program), _) => program.load(),
        (Program::CgroupSockAddr(program), _) => program.load(),
        (Program::SockOps(program), _) => program.load(),
        (Program::BtfTracePoint(program), Some((name, btf))) => program.load(name, btf),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Verifies and attaches one program.
fn on(ebpf: &mut Ebpf, name: &'static str, at: Tracepoint<'_>, cgroup: Option<&File>) -> Result<(), String> {
    let program = ebpf.program_mut(name).ok_or_else(|| format!("the object has no program {name}"))?;
    load_program(program, at).map_err(|error| causes(&error))?;
    // A link lets others attach beside it whatever is said here, and the kernel refuses to be told so (kernel/bpf/cgroup.c:
    // `cgroup_bpf_link_attach`).
    let mode = CgroupAttachMode::Single;
    match (program, cgroup) {
        (Program::CgroupSock(program), Some(cgroup)) => program.attach(cgroup, mode).map(drop),
        (Program::CgroupSockAddr(program), Some(cgroup)) => program.attach(cgroup, mode).map(drop),
        (Program::SockOps(program), Some(cgroup)) => program.attach(cgroup, mode).map(drop),
        (Program::BtfTracePoint(program), _) => program.attach().map(drop),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
    .map_err(|error| causes(&error))
}

/// An error's first line with that of its deepest cause; the verifier's log belongs into `cargo xtask bpf`.
fn causes(error: &dyn std::error::Error) -> String {
    let line = |error: &dyn std::error::Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    let (first, last) = (line(error), line(deepest));
    if first.contains(&last) { first } else { format!("{first}: {last}") }
}

/// Where the whole cgroup2 tree is mounted.
fn cgroup_root(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        let (root, path) = (fields.next()?, fields.next()?);
        (kind.starts_with("cgroup2 ") && root == "/").then(|| Path::new(path).to_path_buf())
    })
}

/// The root of the cgroup tree through a mount that is nowhere in sight and goes with its descriptor (fsopen(2) and
/// fsmount(2), since 5.2).
fn unmounted_root() -> std::io::Result<File> {
    let descriptor = |result: libc::c_long| {
        let number = i32::try_from(result).ok().filter(|number| *number >= 0);
        // SAFETY: the kernel gave this descriptor a moment ago, and nobody else knows of it.
        number.map(|number| unsafe { OwnedFd::from_raw_fd(number) }).ok_or_else(std::io::Error::last_os_error)
    };
    // SAFETY: a constant name, and no flags but that the descriptor goes with exec.
    let context = descriptor(unsafe { libc::syscall(libc::SYS_fsopen, c"cgroup2".as_ptr(), FSOPEN_CLOEXEC) })?;
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: an open context; this command takes neither key nor value.
    let made = unsafe {
        libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, none, none, 0 as libc::c_int)
    };
    if made != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: an open context that was created.
    let mount = descriptor(unsafe {
        libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0 as libc::c_int)
    })?;
    // The descriptor of a mount names a place only (O_PATH); attaching wants the directory itself.
    File::open(format!("/proc/self/fd/{}", mount.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup_tree_is_found_where_it_is_mounted_whole() {
        let mounts = "24 1 0:22 / /proc rw - proc proc rw\n\
            30 1 0:26 /a/b /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
            31 1 0:26 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup_root(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(cgroup_root("24 1 0:22 / /proc rw - proc proc rw\n"), None);
    }

    #[test]
    fn a_ring_has_a_size_that_the_kernel_takes() {
        assert_eq!(ring_bytes(0), 1 << 16);
        assert_eq!(ring_bytes(5_000_000), 1 << 23);
    }
}
