//! The system calls that make a packet socket and ask it things. Frames never come through here.
//!
//! Invariant: the socket is bound to its interface last, when filter and ring are in place, so that no frame of
//! another interface and no unfiltered one ever enters the ring.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use hivewall_model::Interface;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::ring::Ring;
use super::{FanoutMode, PacketError, PacketOptions};
use crate::probe::{KernelVersion, kernel_version};

/// Whether this kernel can describe UDP buffers of several segments in a virtio header.
///
/// Before Linux 6.2 it cannot, and a socket that asks for the header loses such frames (counted as dropped). There
/// the header is not asked for by default: whole flows would be invisible, where now some packets are undercounted.
pub fn kernel_keeps_udp_segments() -> bool {
    kernel_version() >= KernelVersion(6, 2)
}

/// A socket with its ring, capturing.
pub(super) fn open(
    interface: &Interface,
    options: &PacketOptions,
    counts_segments: bool,
) -> Result<(OwnedFd, Ring), PacketError> {
    check(options)?;
    let name = || interface.name.clone();
    let failed = |doing| move |source| PacketError::System { doing, name: interface.name.clone(), source };
    // Protocol 0: nothing is received before the bind below.
    let socket =
        socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).map_err(|errno| match errno {
            nix::Error::EPERM | nix::Error::EACCES => PacketError::Privilege { name: name() },
            other => failed("open a packet socket")(other.into()),
        })?;
    let fd = socket.as_fd();
    snap(fd, options.snap_bytes).map_err(failed("set the capture length"))?;
    set(fd, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as libc::c_int))
        .map_err(failed("use TPACKET_V3"))?;
    if counts_segments {
        set(fd, libc::PACKET_VNET_HDR, &1_i32).map_err(failed("ask for segment sizes"))?;
    }
    let ring = Ring::map(fd, options, counts_segments).map_err(failed("map a capture ring"))?;
    bind(fd, interface.index).map_err(|source| match source.raw_os_error() {
        Some(libc::ENODEV | libc::ENXIO) => PacketError::Gone { name: name() },
        _ => failed("bind a packet socket")(source),
    })?;
    if options.promiscuous {
        let request = libc::packet_mreq {
            mr_ifindex: interface.index.cast_signed(),
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set(fd, libc::PACKET_ADD_MEMBERSHIP, &request).map_err(failed("receive frames for other hosts"))?;
    }
    if let Some(fanout) = options.fanout {
        let mode = match fanout.mode {
            FanoutMode::Flow => libc::PACKET_FANOUT_HASH,
            FanoutMode::Cpu => libc::PACKET_FANOUT_CPU,
        };
        set(fd, libc::PACKET_FANOUT, &(u32::from(fanout.group) | mode << 16)).map_err(failed("join a fanout group"))?;
    }
    Ok((socket, ring))
}

/// The options that the kernel would refuse with a bare "invalid argument".
fn check(options: &PacketOptions) -> Result<(), PacketError> {
    let why = if options.snap_bytes == 0 {
        "the capture length is 0; use at least 64 bytes"
    } else if options.timeout_ms == 0 {
        "the block timeout is 0; use at least 1 ms"
    } else if options.block_bytes < options.block_bytes_min() {
        "a block does not hold one frame; raise the block size or lower the capture length"
    } else if options.blocks < 2 {
        "the kernel needs one block to fill while another is read; use at least 2 blocks"
    } else if !options.block_bytes.is_multiple_of(page_bytes()) {
        "a block is not a multiple of the page size (4096 bytes on most machines)"
    } else if options.block_bytes.checked_mul(options.blocks).is_none_or(|all| all > i32::MAX as u32) {
        "the ring is larger than 2 GiB; use fewer or smaller blocks"
    } else {
        return Ok(());
    };
    Err(PacketError::Options { why })
}

fn page_bytes() -> u32 {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    page.map_or(4096, |bytes| bytes as u32)
}

/// Attaches the classic filter "keep the first `bytes` of everything", so that the kernel copies no more.
fn snap(fd: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    let mut code = [libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: bytes }];
    let program = libc::sock_fprog { len: 1, filter: code.as_mut_ptr() };
    set_at(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

fn bind(fd: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: index.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: `address` is a sockaddr_ll of `len` bytes that outlives the call.
    let status = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the socket still has its interface: the kernel sets the index to -1 when that is removed.
pub(super) fn is_bound(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: sockaddr_ll is integers and a byte array; zero bytes are a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: `address` has room for `len` bytes, and both outlive the call.
    let status = unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &raw mut len) };
    status == 0 && address.sll_ifindex > 0
}

/// What was lost since the last call.
pub(super) fn statistics(fd: BorrowedFd<'_>) -> io::Result<super::PacketLosses> {
    let mut counts = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
    let mut len = size_of_val(&counts) as libc::socklen_t;
    // SAFETY: `counts` is what TPACKET_V3 answers with, of `len` bytes, and outlives the call.
    let status = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut counts).cast(),
            &raw mut len,
        )
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(super::PacketLosses { dropped: counts.tp_drops.into(), freezes: counts.tp_freeze_q_cnt.into() })
}

/// Sets an option of the packet level.
pub(super) fn set<T>(fd: BorrowedFd<'_>, option: libc::c_int, value: &T) -> io::Result<()> {
    set_at(fd, libc::SOL_PACKET, option, value)
}

fn set_at<T>(fd: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is read only, for its own size; what it points to (a filter program) outlives the call.
    let status = unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), len) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
