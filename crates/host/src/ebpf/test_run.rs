//! `BPF_PROG_TEST_RUN`: how the sweep is started, and how tests and benchmarks feed frames to a program.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::EbpfError;

/// `BPF_PROG_TEST_RUN` of `enum bpf_cmd` (linux/bpf.h).
const BPF_PROG_TEST_RUN: libc::c_long = 10;

/// The `test` member of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct TestAttr {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    _pad: u32,
}

/// `struct __sk_buff` as a test run takes it; the kernel accepts mark, priority, ifindex, cb, tstamp, wire_len,
/// gso_segs and gso_size, and wants 0 elsewhere.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SkbContext {
    _len_type: [u32; 2],
    /// `skb->mark`.
    pub mark: u32,
    _queue_to_proto: [u32; 5],
    /// `skb->priority`.
    pub priority: u32,
    _ingress: u32,
    /// `skb->dev->ifindex`; must exist. 0 means loopback.
    pub ifindex: u32,
    _tc_index: u32,
    _cb: [u32; 5],
    _hash_to_meta: [u32; 19],
    _flow_keys: u64,
    /// `skb->tstamp`.
    pub tstamp: u64,
    /// `qdisc_skb_cb->pkt_len`.
    pub wire_len: u32,
    /// Segments.
    pub gso_segs: u32,
    _sk: u64,
    /// Bytes in one segment.
    pub gso_size: u32,
    _tail: [u32; 3],
}

const _: () = assert!(size_of::<SkbContext>() == 192);

/// A program that can be run by hand.
pub struct TestRun {
    fd: OwnedFd,
}

/// What one call gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The last run's return value.
    pub value: i32,
    /// Mean nanoseconds of a run, as the kernel measured it.
    pub nanoseconds: u32,
}

impl TestRun {
    pub(crate) fn new(fd: BorrowedFd<'_>) -> Result<Self, EbpfError> {
        let fd = fd.try_clone_to_owned().map_err(|source| EbpfError::System { call: "dup of a program", source })?;
        Ok(Self { fd })
    }

    /// Runs the program `repeat` times on `frame` (at least 14 bytes), on the CPU of the calling thread.
    pub fn run(&self, frame: &[u8], context: Option<&SkbContext>, repeat: u32) -> Result<Ran, EbpfError> {
        let mut attr = TestAttr {
            prog_fd: self.fd.as_raw_fd() as u32,
            data_in: frame.as_ptr() as u64,
            data_size_in: frame.len() as u32,
            repeat,
            ..TestAttr::default()
        };
        if let Some(context) = context {
            attr.ctx_in = std::ptr::from_ref(context) as u64;
            attr.ctx_size_in = size_of::<SkbContext>() as u32;
        }
        loop {
            // SAFETY: `attr` matches the kernel's layout and the buffers it names live through the call.
            let status = unsafe {
                libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, &raw mut attr, size_of::<TestAttr>() as libc::c_long)
            };
            if status == 0 {
                return Ok(Ran { value: attr.retval as i32, nanoseconds: attr.duration });
            }
            let error = std::io::Error::last_os_error();
            if error.kind() != std::io::ErrorKind::Interrupted {
                return Err(EbpfError::System { call: "BPF_PROG_TEST_RUN", source: error });
            }
        }
    }
}
