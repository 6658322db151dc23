//! Two netlink sockets: one that asks for whole lists, one that hears of changes. It does not look into messages
//! beyond their header.
//!
//! Invariant: a list is complete or an error; the exception, a list that kept changing for [`DUMP_TRIES`] tries, is
//! handed on as it is because the change itself is an event.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::LinkError;

/// Tries at a list that changes while it is read.
const DUMP_TRIES: u32 = 5;
/// The kernel packs a list into datagrams of at most 32 KiB.
const DUMP_BUFFER_BYTES: usize = 64 << 10;
/// Room for bursts of events: a container host makes hundreds of links at once. Overflow is seen as a change as well.
const EVENT_BUFFER_BYTES: i32 = 1 << 20;

/// What a list consists of.
pub(super) enum Entry<'a> {
    /// Forget what was read: the list starts again.
    Restart,
    /// One message without its netlink header.
    Message(&'a [u8]),
}

/// The socket for lists.
pub(super) struct Dumps {
    socket: Socket,
    sequence: u32,
    buffer: Box<[u8]>,
}

/// Where a reading of a list stands.
enum Progress {
    More,
    Done { interrupted: bool },
}

impl Dumps {
    pub(super) fn open() -> Result<Self, LinkError> {
        let failed = |source| LinkError::Socket { doing: "open a netlink socket", source };
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed)?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; DUMP_BUFFER_BYTES].into() })
    }

    /// Reads one list, giving each entry to `each`.
    pub(super) fn run(
        &mut self,
        what: &'static str,
        request: impl Fn() -> RouteNetlinkMessage,
        each: &mut dyn FnMut(Entry<'_>) -> Result<(), LinkError>,
    ) -> Result<(), LinkError> {
        for _ in 0..DUMP_TRIES {
            each(Entry::Restart)?;
            self.ask(request())?;
            if !self.read(what, each)? {
                break;
            }
        }
        Ok(())
    }

    fn ask(&mut self, request: RouteNetlinkMessage) -> Result<(), LinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let sent = self.socket.send(&bytes, 0);
        sent.map(drop).map_err(|source| LinkError::Socket { doing: "send a netlink request", source })
    }

    /// Reads to the end of the list; whether it changed meanwhile.
    fn read(
        &mut self,
        what: &'static str,
        each: &mut dyn FnMut(Entry<'_>) -> Result<(), LinkError>,
    ) -> Result<bool, LinkError> {
        let mut interrupted = false;
        loop {
            let len = match self.socket.recv(&mut &mut self.buffer[..], libc::MSG_TRUNC) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other.map_err(|source| LinkError::Socket { doing: "read a netlink answer", source })?,
            };
            let bytes = self.buffer.get(..len).ok_or(LinkError::Malformed { what, why: "longer than 64 KiB" })?;
            match datagram(bytes, what, self.sequence, &mut interrupted, each)? {
                Progress::More => {}
                Progress::Done { interrupted } => return Ok(interrupted),
            }
        }
    }
}

/// One datagram holds several messages, each padded to 4 bytes.
fn datagram(
    mut bytes: &[u8],
    what: &'static str,
    sequence: u32,
    interrupted: &mut bool,
    each: &mut dyn FnMut(Entry<'_>) -> Result<(), LinkError>,
) -> Result<Progress, LinkError> {
    while !bytes.is_empty() {
        let message =
            NetlinkBuffer::new_checked(bytes).map_err(|_| LinkError::Malformed { what, why: "a broken header" })?;
        // Answers to a list that was given up on an error before may still be in the socket.
        if message.sequence_number() == sequence {
            *interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
            match i32::from(message.message_type()) {
                libc::NLMSG_DONE => {
                    // Since Linux 4.16 the end of a list carries its outcome.
                    errno(message.payload(), what)?;
                    return Ok(Progress::Done { interrupted: *interrupted });
                }
                libc::NLMSG_ERROR => {
                    errno(message.payload(), what)?;
                    return Err(LinkError::Malformed { what, why: "an acknowledgement instead of a list" });
                }
                libc::NLMSG_NOOP => {}
                _ => each(Entry::Message(message.payload()))?,
            }
        }
        let step = (message.length() as usize).next_multiple_of(4);
        bytes = bytes.get(step..).unwrap_or_default();
    }
    Ok(Progress::More)
}

/// The negative error number that an error or the end of a list starts with.
fn errno(payload: &[u8], what: &'static str) -> Result<(), LinkError> {
    let code = payload.first_chunk::<4>().map_or(0, |word| i32::from_ne_bytes(*word));
    if code < 0 {
        return Err(LinkError::Refused { what, source: io::Error::from_raw_os_error(-code) });
    }
    Ok(())
}

/// The socket for changes.
pub(super) struct Events {
    socket: Socket,
}

impl Events {
    pub(super) fn subscribe() -> Result<Self, LinkError> {
        let failed = |source| LinkError::Socket { doing: "subscribe to netlink changes", source };
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
        // Refused only by memory limits; the default room then has to do, and overflow is noticed.
        let _ = socket.set_rx_buf_sz(EVENT_BUFFER_BYTES);
        socket.bind_auto().map_err(failed)?;
        for group in [libc::RTNLGRP_LINK, libc::RTNLGRP_IPV4_IFADDR, libc::RTNLGRP_IPV6_IFADDR] {
            socket.add_membership(group).map_err(failed)?;
        }
        Ok(Self { socket })
    }

    pub(super) fn wait(&self, timeout: Duration) -> Result<bool, LinkError> {
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(false),
            Ok(_) => {}
            Err(errno) => return Err(LinkError::Socket { doing: "wait for netlink changes", source: errno.into() }),
        }
        self.drain()
    }

    fn drain(&self) -> Result<bool, LinkError> {
        let mut changed = false;
        // What the messages say does not matter: they are cut to this.
        let mut scrap = [0_u8; 64];
        loop {
            match self.socket.recv(&mut &mut scrap[..], libc::MSG_DONTWAIT) {
                Ok(_) => changed = true,
                Err(error) => match (error.raw_os_error(), error.kind()) {
                    // Events were lost, so something changed.
                    (Some(libc::ENOBUFS), _) => changed = true,
                    (_, ErrorKind::WouldBlock) => return Ok(changed),
                    (_, ErrorKind::Interrupted) => {}
                    _ => return Err(LinkError::Socket { doing: "read netlink changes", source: error }),
                },
            }
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
