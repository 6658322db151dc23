//! The bpf(2) calls of the probes, raw, so that a loader's own workarounds do not colour the answer.
//!
//! Invariant: every object made here lives no longer than the call that made it, except the program, which the caller
//! holds and closes.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::{Answer, refused};

/// `enum bpf_cmd`, `bpf_prog_type`, `bpf_map_type`, `bpf_attach_type` and map flags (linux/bpf.h).
const MAP_CREATE: libc::c_long = 0;
const PROG_LOAD: libc::c_long = 5;
const PROG_TEST_RUN: libc::c_long = 10;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const LINK_CREATE: libc::c_long = 28;
const PROG_TYPE_SCHED_CLS: u32 = 3;
const MAP_TYPE_ARRAY: u32 = 2;
const TCX_INGRESS: u32 = 46;
const F_MMAPABLE: u32 = 1 << 10;

/// `r0 = -1; exit`: in tcx "on to the next program", and in clsact "as if there were no filter".
const PASS: [u64; 2] = [instruction(0xb7, -1), instruction(0x95, 0)];

/// One instruction without registers but r0: opcode in the first byte, immediate in the last four.
pub(super) const fn instruction(opcode: u8, immediate: i32) -> u64 {
    let [a, b, c, d] = immediate.to_ne_bytes();
    u64::from_ne_bytes([opcode, 0, 0, 0, a, b, c, d])
}

/// The part of `union bpf_attr` for each command that is in use here; the kernel takes what is missing as zero.
#[repr(C)]
struct LoadAttr {
    prog_type: u32,
    insn_count: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    flags: u32,
}

#[repr(C)]
struct MapAttr {
    map_type: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
    flags: u32,
}

#[repr(C)]
struct LinkAttr {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
struct RunAttr {
    prog_fd: u32,
    retval: u32,
    data_in_bytes: u32,
    data_out_bytes: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

#[repr(C)]
struct InfoAttr {
    fd: u32,
    info_bytes: u32,
    info: u64,
}

/// The beginning of `struct bpf_prog_info`; the kernel writes as much as there is room for.
#[repr(C)]
#[derive(Default)]
struct ProgInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    compiled_bytes: u32,
    translated_bytes: u32,
    compiled: u64,
    translated: u64,
}

/// # Safety
/// `attr` has to be laid out as the kernel expects for `command`, and what it points to has to outlive the call.
unsafe fn call<T>(command: libc::c_long, attr: &mut T) -> io::Result<i32> {
    // SAFETY: the caller vouches for the contents; the size is that of `attr`.
    let status = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status as i32) }
}

/// # Safety
/// As for [`call`]; and `command` has to be one that answers with a new descriptor.
pub(super) unsafe fn call_for_fd<T>(command: libc::c_long, attr: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: as the caller vouches.
    let fd = unsafe { call(command, attr) }?;
    // SAFETY: a descriptor that the kernel has just made for us and that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Loads a program that lets everything pass.
pub(super) fn load() -> Result<OwnedFd, String> {
    let mut attr = LoadAttr {
        prog_type: PROG_TYPE_SCHED_CLS,
        insn_count: PASS.len() as u32,
        insns: PASS.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        flags: 0,
    };
    // SAFETY: the layout of BPF_PROG_LOAD; program and licence are static.
    unsafe { call_for_fd(PROG_LOAD, &mut attr) }.map_err(|error| refused("load a sched_cls program", &error))
}

/// Whether the kernel has compiled the program. Its sysctl would tell too, but only in the first network namespace.
pub(super) fn compiled(program: BorrowedFd<'_>) -> Answer {
    let mut info = ProgInfo::default();
    let mut attr = InfoAttr {
        fd: program.as_raw_fd().cast_unsigned(),
        info_bytes: size_of::<ProgInfo>() as u32,
        info: &raw mut info as u64,
    };
    // SAFETY: the layout of BPF_OBJ_GET_INFO_BY_FD; `info` has the room that `info_bytes` tells, asks for no dump (its
    // lengths and pointers are 0) and outlives the call.
    unsafe { call(OBJ_GET_INFO_BY_FD, &mut attr) }.map_err(|error| refused("ask about a program", &error))?;
    match info.compiled_bytes {
        0 => Err("the program is interpreted; turn the compiler on with `sysctl net.core.bpf_jit_enable=1`".to_owned()),
        bytes => Ok(format!("the program was compiled to {bytes} bytes")),
    }
}

/// Attaches the program through tcx to an interface of this thread's namespace, and detaches it again.
pub(super) fn attach_tcx(program: BorrowedFd<'_>, ifindex: u32) -> Answer {
    let mut attr = LinkAttr {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        target_ifindex: ifindex,
        attach_type: TCX_INGRESS,
        flags: 0,
    };
    // SAFETY: the layout of BPF_LINK_CREATE, without pointers.
    let link = unsafe { call_for_fd(LINK_CREATE, &mut attr) };
    // Closing the only descriptor of the link detaches the program.
    link.map(|_| "a program was attached and detached".to_owned())
        .map_err(|error| refused("attach a program through tcx", &error))
}

/// Runs the program once on a frame of zeros.
pub(super) fn run(program: BorrowedFd<'_>) -> Answer {
    let frame = [0_u8; 64];
    let mut attr = RunAttr {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        retval: 0,
        data_in_bytes: frame.len() as u32,
        data_out_bytes: 0,
        data_in: frame.as_ptr() as u64,
        data_out: 0,
        repeat: 1,
        duration: 0,
    };
    // SAFETY: the layout of BPF_PROG_TEST_RUN; the frame outlives the call, and nothing is written back.
    unsafe { call(PROG_TEST_RUN, &mut attr) }.map_err(|error| refused("run a program by hand", &error))?;
    match attr.retval.cast_signed() {
        -1 => Ok(format!("a program ran in {} ns", attr.duration)),
        other => Err(format!("a program that returns -1 returned {other}; please report this with `uname -r`")),
    }
}

/// Makes an array that user space can map, maps it, and lets go of both.
pub(super) fn map_array() -> Answer {
    let mut attr = MapAttr { map_type: MAP_TYPE_ARRAY, key_bytes: 4, value_bytes: 8, entries: 1, flags: F_MMAPABLE };
    // SAFETY: the layout of BPF_MAP_CREATE, without pointers.
    let map = unsafe { call_for_fd(MAP_CREATE, &mut attr) };
    let map = map.map_err(|error| refused("make an array that can be mapped", &error))?;
    let bytes = NonZeroUsize::MIN.saturating_add(4095);
    // SAFETY: a fresh mapping of the map's single page, which nothing refers to.
    let mapped = unsafe { mmap(None, bytes, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, &map, 0) };
    let page = mapped.map_err(|errno| refused("map an array", &errno.into()))?;
    // SAFETY: mapped above with this length, and not used.
    unsafe { munmap(page, bytes.get()) }.map_err(|errno| refused("unmap an array", &errno.into()))?;
    Ok("an array was made and mapped".to_owned())
}
