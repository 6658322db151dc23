//! The probes of what ties sockets to processes and tells of drops: socket storage, tracing programs, their statistics.
//!
//! Invariant: the only function that a program is ever attached to is one that the kernel keeps for its own tests and
//! never calls otherwise.

use std::os::fd::{AsRawFd as _, OwnedFd};

use super::bpf::{call_for_fd, instruction};
use super::btf::{Btf, Kind};
use super::{Answer, refused};

/// Of linux/bpf.h.
const MAP_CREATE: libc::c_long = 0;
const PROG_LOAD: libc::c_long = 5;
const RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BTF_LOAD: libc::c_long = 18;
const MAP_TYPE_SK_STORAGE: u32 = 24;
const PROG_TYPE_TRACING: u32 = 26;
const TRACE_RAW_TP: u32 = 23;
const TRACE_FEXIT: u32 = 25;
const F_NO_PREALLOC: u32 = 1;
/// A socket that is accepted gets a copy of what its listener has.
const F_CLONE: u32 = 1 << 9;

/// Tracepoints that are used: transitions of TCP sockets, freed packets.
const TRACEPOINTS: [&str; 2] = ["inet_sock_set_state", "kfree_skb"];
/// Kept for the kernel's own tests (net/bpf/test_run.c, since 5.5).
const TEST_FUNCTION: &str = "bpf_fentry_test1";

/// `r0 = 0; exit`.
const NOTHING: [u64; 2] = [instruction(0xb7, 0), instruction(0x95, 0)];

/// `union bpf_attr` for BPF_PROG_LOAD as far as tracing programs need it.
#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_count: u32,
    insns: u64,
    license: u64,
    _log: [u64; 2],
    _kern_version: u32,
    flags: u32,
    _name: [u64; 2],
    _ifindex: u32,
    expected_attach_type: u32,
    _btf_fd_and_function_size: [u32; 2],
    _functions: u64,
    _counts: [u32; 2],
    _lines: u64,
    _line_count: u32,
    attach_btf_id: u32,
}

const _: () = assert!(std::mem::offset_of!(LoadAttr, expected_attach_type) == 68);
const _: () = assert!(std::mem::offset_of!(LoadAttr, attach_btf_id) == 108);

#[repr(C)]
struct OpenAttr {
    name: u64,
    prog_fd: u32,
    _pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct TypesAttr {
    types: u64,
    _log: u64,
    types_bytes: u32,
    _log_bytes: u32,
    _log_level: u32,
    _pad: u32,
}

/// `union bpf_attr` for BPF_MAP_CREATE as far as maps with typed values need it.
#[repr(C)]
#[derive(Default)]
struct MapAttr {
    map_type: u32,
    key_bytes: u32,
    value_bytes: u32,
    _entries: u32,
    flags: u32,
    _inner_and_node: [u32; 2],
    _name: [u32; 4],
    _ifindex: u32,
    types_fd: u32,
    key_type: u32,
    value_type: u32,
    _value_type_id: u32,
}

const _: () = assert!(std::mem::offset_of!(MapAttr, types_fd) == 48);

/// A description (BTF) of one type, `int`: header, type, names.
#[repr(C)]
struct IntType {
    magic: u16,
    version: u8,
    flags: u8,
    header_bytes: u32,
    types_at: u32,
    types_bytes: u32,
    names_at: u32,
    names_bytes: u32,
    name: u32,
    about: u32,
    bytes: u32,
    encoding: u32,
    names: [u8; 8],
}

static INT: IntType = IntType {
    magic: 0xeb9f,
    version: 1,
    flags: 0,
    header_bytes: 24,
    types_at: 0,
    types_bytes: 16,
    names_at: 16,
    names_bytes: 8,
    name: 1,
    // The kind stands in the uppermost byte; 1 is an integer.
    about: 1 << 24,
    bytes: 4,
    // Signed, 32 bits.
    encoding: 1 << 24 | 32,
    names: *b"\0int\0\0\0\0",
};

/// Makes storage of sockets, as it is used: a listener's is copied to what it accepts.
pub(super) fn sk_storage() -> Answer {
    let mut attr =
        TypesAttr { types: &raw const INT as u64, types_bytes: size_of::<IntType>() as u32, ..TypesAttr::default() };
    // SAFETY: the layout of BPF_BTF_LOAD; the description is static, and its length is told.
    let types =
        unsafe { call_for_fd(BTF_LOAD, &mut attr) }.map_err(|error| refused("load type information", &error))?;
    let mut attr = MapAttr {
        map_type: MAP_TYPE_SK_STORAGE,
        key_bytes: 4,
        value_bytes: 4,
        flags: F_NO_PREALLOC | F_CLONE,
        types_fd: types.as_raw_fd().cast_unsigned(),
        key_type: 1,
        value_type: 1,
        ..MapAttr::default()
    };
    // SAFETY: the layout of BPF_MAP_CREATE, without pointers.
    unsafe { call_for_fd(MAP_CREATE, &mut attr) }
        .map(|_| "storage of sockets was made, with a copy on accept".to_owned())
        .map_err(|error| refused("make storage of sockets", &error))
}

/// Loads a program for each tracepoint that is used.
pub(super) fn tp_btf(btf: &Result<Btf, String>) -> Answer {
    let btf = btf.as_ref().map_err(Clone::clone)?;
    for name in TRACEPOINTS {
        let id = btf.id(Kind::Typedef, &format!("btf_trace_{name}"));
        let id = id.ok_or_else(|| format!("this kernel has no tracepoint {name}"))?;
        load(TRACE_RAW_TP, id)
            .map_err(|error| refused(&format!("load a program for the tracepoint {name}"), &error))?;
    }
    Ok(format!("programs for {} were loaded", TRACEPOINTS.join(" and ")))
}

/// Attaches a program to the end of a function that nobody calls, and detaches it again: on some architectures the
/// kernel loads what it cannot attach.
pub(super) fn fexit(btf: &Result<Btf, String>) -> Answer {
    let btf = btf.as_ref().map_err(Clone::clone)?;
    let id = btf.id(Kind::Function, TEST_FUNCTION).ok_or_else(|| format!("this kernel has no {TEST_FUNCTION}"))?;
    let program = load(TRACE_FEXIT, id).map_err(|error| refused("load a program for the end of a function", &error))?;
    let mut attr = OpenAttr { name: 0, prog_fd: program.as_raw_fd().cast_unsigned(), _pad: 0 };
    // SAFETY: the layout of BPF_RAW_TRACEPOINT_OPEN; a name of 0 means the function the program was loaded for.
    let link = unsafe { call_for_fd(RAW_TRACEPOINT_OPEN, &mut attr) };
    // Closing the only descriptor of the link detaches the program.
    link.map(|_| "a program was attached to a function and detached".to_owned())
        .map_err(|error| refused("attach a program to the end of a function", &error))
}

fn load(attach_type: u32, type_id: u32) -> std::io::Result<OwnedFd> {
    let mut attr = LoadAttr {
        prog_type: PROG_TYPE_TRACING,
        insn_count: NOTHING.len() as u32,
        insns: NOTHING.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        expected_attach_type: attach_type,
        attach_btf_id: type_id,
        ..LoadAttr::default()
    };
    // SAFETY: the layout of BPF_PROG_LOAD; program and licence are static.
    unsafe { call_for_fd(PROG_LOAD, &mut attr) }
}

/// Turns the statistics of programs on and off again.
pub(super) fn statistics() -> Answer {
    let held = aya::sys::enable_stats(aya::sys::Stats::RunTime);
    held.map(|_| "the kernel times programs when asked to".to_owned())
        .map_err(|error| refused("have the kernel time its programs", &error.io_error))
}
