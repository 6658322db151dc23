//! The netlink side: one list of sockets after another, each packed into datagrams.
//!
//! Invariant: what a list adds to the output is taken back when the list fails or has to be read again.

use std::io::{self, ErrorKind};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};

use super::{DiagError, DiagSocket, message};

/// The kernel packs a list into datagrams of at most 32 KiB, if it is given so much room.
const DUMP_BUFFER_BYTES: usize = 64 << 10;
/// Tries at a list that the kernel says was changed while it was read. Socket tables change all the time, and the kernel
/// (6.18) does not say so for them; a later one might.
const DUMP_TRIES: u32 = 3;

/// One list.
#[derive(Clone, Copy)]
pub(super) struct List {
    what: &'static str,
    pub(super) protocol: u8,
    family: u8,
}

impl List {
    /// The lists that make up all sockets.
    pub(super) const ALL: [Self; 4] = [
        Self { what: "TCP sockets over IPv4", protocol: libc::IPPROTO_TCP as u8, family: libc::AF_INET as u8 },
        Self { what: "TCP sockets over IPv6", protocol: libc::IPPROTO_TCP as u8, family: libc::AF_INET6 as u8 },
        Self { what: "UDP sockets over IPv4", protocol: libc::IPPROTO_UDP as u8, family: libc::AF_INET as u8 },
        Self { what: "UDP sockets over IPv6", protocol: libc::IPPROTO_UDP as u8, family: libc::AF_INET6 as u8 },
    ];

    fn request(self, health: bool) -> InetRequest {
        let is_tcp = self.protocol == libc::IPPROTO_TCP as u8;
        let is_v4 = self.family == libc::AF_INET as u8;
        InetRequest {
            family: self.family,
            protocol: self.protocol,
            extensions: if health && is_tcp { ExtensionFlags::INFO } else { ExtensionFlags::empty() },
            // Also the numbers that have no name here: sockets that are bound and neither listen nor connect are a state
            // of their own in the request since Linux 6.8, and CLOSE in the answer.
            states: StateFlags::from_bits_retain(u32::MAX),
            socket_id: if is_v4 { SocketId::new_v4() } else { SocketId::new_v6() },
        }
    }
}

/// The socket and its buffers.
pub(super) struct Dump {
    socket: Socket,
    sequence: u32,
    buffer: Box<[u8]>,
    request: Vec<u8>,
}

impl Dump {
    pub(super) fn open() -> Result<Self, DiagError> {
        let failed = |source| DiagError::Socket { doing: "open a netlink socket", source };
        let mut socket = Socket::new(NETLINK_SOCK_DIAG).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed)?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; DUMP_BUFFER_BYTES].into(), request: Vec::new() })
    }

    /// Appends one list.
    pub(super) fn run(&mut self, list: List, health: bool, out: &mut Vec<DiagSocket>) -> Result<(), DiagError> {
        let start = out.len();
        for left in (0..DUMP_TRIES).rev() {
            out.truncate(start);
            let read = self.ask(list, health).and_then(|()| self.read(list, out));
            match read {
                Ok(interrupted) if interrupted && left > 0 => {}
                Ok(_) => return Ok(()),
                // A kernel without IPv6 has no such sockets.
                Err(DiagError::Refused { source, .. })
                    if source.kind() == ErrorKind::NotFound && list.family == libc::AF_INET6 as u8 =>
                {
                    out.truncate(start);
                    return Ok(());
                }
                Err(error) => {
                    out.truncate(start);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self, list: List, health: bool) -> Result<(), DiagError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(SockDiagMessage::InetRequest(list.request(health)));
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        message.header.sequence_number = self.sequence;
        message.finalize();
        self.request.resize(message.buffer_len(), 0);
        message.serialize(&mut self.request);
        let sent = self.socket.send(&self.request, 0);
        sent.map(drop).map_err(|source| DiagError::Socket { doing: "send a request", source })
    }

    /// Reads to the end of the list; whether the kernel says that it changed meanwhile.
    fn read(&mut self, list: List, out: &mut Vec<DiagSocket>) -> Result<bool, DiagError> {
        let malformed = |why| DiagError::Malformed { what: list.what, why };
        let mut interrupted = false;
        loop {
            let len = match self.socket.recv(&mut &mut self.buffer[..], libc::MSG_TRUNC) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other.map_err(|source| DiagError::Socket { doing: "read an answer", source })?,
            };
            let mut bytes = self.buffer.get(..len).ok_or(malformed("a datagram longer than 64 KiB"))?;
            while !bytes.is_empty() {
                let message = NetlinkBuffer::new_checked(bytes).map_err(|_| malformed("a broken header"))?;
                // Answers to a list that was given up before may still be in the socket.
                if message.sequence_number() == self.sequence {
                    interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
                    match i32::from(message.message_type()) {
                        libc::NLMSG_DONE => {
                            errno(message.payload(), list)?;
                            return Ok(interrupted);
                        }
                        libc::NLMSG_ERROR => {
                            errno(message.payload(), list)?;
                            return Err(malformed("an acknowledgement instead of a list"));
                        }
                        libc::NLMSG_NOOP => {}
                        _ => out.push(message::socket(message.payload(), list.protocol).map_err(malformed)?),
                    }
                }
                bytes = bytes.get((message.length() as usize).next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

/// The negative error number that an error or the end of a list starts with.
fn errno(payload: &[u8], list: List) -> Result<(), DiagError> {
    let code = payload.first_chunk::<4>().map_or(0, |word| i32::from_ne_bytes(*word));
    if code < 0 {
        return Err(DiagError::Refused { what: list.what, source: io::Error::from_raw_os_error(-code) });
    }
    Ok(())
}
