//! Many messages by one system call: sendmmsg and recvmmsg over borrowed buffers, and socket options nix does not name.
//!
//! The only unsafe code of the generators is here. It retries what is passing (a full queue, an ICMP error reported
//! late) and reports the rest. Invariant: a message counts as sent only when the kernel said so.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Instant;

use super::{STALL_MAX, TrafficError};

/// Messages handed over by one call.
pub(super) const BATCH: usize = 64;

/// Sends every message on a connected or bound socket; an error names the first one that was not sent.
pub(super) fn send_all<'a>(
    socket: BorrowedFd<'_>,
    wanted: u64,
    message: impl Fn(u64) -> &'a [u8],
) -> std::result::Result<(), TrafficError> {
    let mut done = 0;
    let mut moved = Instant::now();
    let mut batch: Vec<&[u8]> = Vec::with_capacity(BATCH);
    while done < wanted {
        batch.clear();
        batch.extend((done..wanted.min(done + BATCH as u64)).map(&message));
        match send_some(socket, &batch) {
            Ok(sent) => {
                done += sent as u64;
                moved = Instant::now();
            }
            Err(error) if passing(&error) => {
                if moved.elapsed() > STALL_MAX {
                    return Err(TrafficError::Stalled { done, wanted });
                }
                std::thread::yield_now();
            }
            Err(source) => {
                let bytes = batch.first().map_or(0, |first| first.len());
                return Err(TrafficError::Refused { index: done, bytes, source });
            }
        }
    }
    Ok(())
}

/// Errors after which the same message may be sent again: nothing of it has left.
fn passing(error: &Error) -> bool {
    // Refusals and what Linux makes of "administratively prohibited" in either version tell of an ICMP answer to an earlier
    // datagram and are reported instead of sending.
    use ErrorKind::{ConnectionRefused, HostUnreachable, Interrupted, PermissionDenied, WouldBlock};
    matches!(error.kind(), Interrupted | WouldBlock | ConnectionRefused | HostUnreachable | PermissionDenied)
        || error.raw_os_error() == Some(libc::ENOBUFS)
}

fn send_some(socket: BorrowedFd<'_>, messages: &[&[u8]]) -> Result<usize> {
    let mut parts: Vec<libc::iovec> = messages
        .iter()
        .map(|bytes| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = parts.iter_mut().map(header).collect();
    // SAFETY: each header points to one element of `parts`, each of those to one of `messages`; all three outlive the
    // call, and sendmmsg only reads the bytes (the cast away from const above is for the shared iovec type).
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), headers.len() as u32, 0) };
    usize::try_from(sent).map_err(|_| Error::last_os_error())
}

/// Receives up to one message into each buffer, waiting for the first only; their number and the sum of their lengths.
pub(super) fn receive_some(socket: BorrowedFd<'_>, buffers: &mut [Vec<u8>]) -> Result<(u64, u64)> {
    let mut parts: Vec<libc::iovec> = buffers
        .iter_mut()
        .map(|bytes| libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = parts.iter_mut().map(header).collect();
    let (fd, count, flags) = (socket.as_raw_fd(), headers.len() as u32, libc::MSG_WAITFORONE);
    // SAFETY: each header points to one element of `parts`, each of those to one exclusively borrowed buffer with its
    // true length; all outlive the call. No timeout is passed.
    let got = unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), count, flags, std::ptr::null_mut()) };
    let got = usize::try_from(got).map_err(|_| Error::last_os_error())?;
    Ok((got as u64, headers.iter().take(got).map(|header| u64::from(header.msg_len)).sum()))
}

fn header(part: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: mmsghdr is integers and pointers, for all of which zero bytes are a value (null, none).
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_iov = part;
    header.msg_hdr.msg_iovlen = 1;
    header
}

/// Reads an option made of 32-bit words; words the kernel did not fill are 0.
pub(super) fn option_words<const N: usize>(socket: BorrowedFd<'_>, level: i32, name: i32) -> Result<[u32; N]> {
    let mut words = [0u32; N];
    let mut len = size_of_val(&words) as libc::socklen_t;
    // SAFETY: `words` has `len` writable bytes and any bytes are valid u32s; both live through the call.
    let status = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, words.as_mut_ptr().cast(), &raw mut len) };
    if status == 0 { Ok(words) } else { Err(Error::last_os_error()) }
}

/// Binds a packet socket to one interface, for no protocol: it sends, and receives nothing.
pub(super) fn bind_interface(socket: BorrowedFd<'_>, index: u32) -> Result<()> {
    // SAFETY: sockaddr_ll is integers and a byte array; zero bytes are a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index.cast_signed();
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: `address` is a sockaddr_ll of `len` bytes that outlives the call, as AF_PACKET expects.
    let status = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    if status == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}
