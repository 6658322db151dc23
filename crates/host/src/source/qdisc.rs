//! The clsact qdisc of an interface: removed when nothing hangs on it any more. Only for kernels without tcx.

use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

const RTM_DELQDISC: u16 = 37;
const RTM_GETTFILTER: u16 = 46;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// linux/pkt_sched.h: `TC_H_CLSACT`, and its two hooks.
const CLSACT: u32 = 0xffff_fff1;
const HOOKS: [u32; 2] = [0xffff_fff2, 0xffff_fff3];
const CLSACT_HANDLE: u32 = 0xffff_0000;

/// A netlink header and a `struct tcmsg`.
fn request(kind: u16, flags: u16, ifindex: u32, handle: u32, parent: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(36);
    bytes.extend(36_u32.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([0; 4]);
    bytes.extend(ifindex.to_ne_bytes());
    bytes.extend(handle.to_ne_bytes());
    bytes.extend(parent.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes
}

/// Type of the first message of an answer, and the error it carries.
fn answer(bytes: &[u8]) -> io::Result<u16> {
    let short = || io::Error::new(io::ErrorKind::UnexpectedEof, "a netlink answer is cut short");
    let header = bytes.first_chunk::<16>().ok_or_else(short)?;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    if kind == NLMSG_ERROR {
        let code = bytes.get(16..).and_then(|rest| rest.first_chunk::<4>()).ok_or_else(short)?;
        let code = i32::from_ne_bytes(*code);
        if code != 0 {
            return Err(io::Error::from_raw_os_error(-code));
        }
    }
    Ok(kind)
}

fn has_filters(socket: &Socket, ifindex: u32, hook: u32) -> io::Result<bool> {
    socket.send(&request(RTM_GETTFILTER, NLM_F_DUMP, ifindex, 0, hook), 0)?;
    let (first, _) = socket.recv_from_full()?;
    let mut kind = answer(&first)?;
    let found = kind != NLMSG_DONE;
    while kind != NLMSG_DONE && kind != NLMSG_ERROR {
        // A dump may put its end behind the last message of the same datagram.
        let (next, _) = socket.recv_from_full()?;
        kind = answer(&next)?;
    }
    Ok(found)
}

/// Removes the interface's clsact qdisc when no filter is on it. Failing means that it stays, which does no harm.
pub(super) fn remove_empty_clsact(ifindex: u32) -> io::Result<bool> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    for hook in HOOKS {
        if has_filters(&socket, ifindex, hook)? {
            return Ok(false);
        }
    }
    socket.send(&request(RTM_DELQDISC, NLM_F_ACK, ifindex, CLSACT_HANDLE, CLSACT), 0)?;
    let (bytes, _) = socket.recv_from_full()?;
    answer(&bytes).map(|_| true)
}
