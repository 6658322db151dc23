//! Frames as they are, put on an interface through a packet socket: tags, fragments, odd and broken ones.
//!
//! They pass the queueing discipline and with it the egress hook, like any other packet. It changes no byte.
//! Invariant: all frames were sent in order, or the error names the first that was not.

use std::os::fd::AsFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::{Datagrams, TrafficError, batch};

/// Sends each frame once, in order. A frame has to have a whole Ethernet header and to fit the MTU (a tag more is
/// allowed); the kernel's refusal is an error naming the frame.
pub fn raw_frames(interface: &str, frames: &[Vec<u8>]) -> Result<Datagrams, TrafficError> {
    let missing = || TrafficError::NoInterface { interface: interface.to_owned() };
    let index = nix::net::if_::if_nametoindex(interface).map_err(|_| missing())?;
    let refused = |source| TrafficError::Refused { index: 0, bytes: 0, source };
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)
        .map_err(|errno| refused(errno.into()))?;
    batch::bind_interface(socket.as_fd(), index).map_err(refused)?;
    let frame = |at: u64| frames.get(at as usize).map_or(&[][..], Vec::as_slice);
    batch::send_all(socket.as_fd(), frames.len() as u64, frame)?;
    let bytes = frames.iter().map(|frame| frame.len() as u64).sum();
    Ok(Datagrams { packets: frames.len() as u64, payload_bytes: bytes, wire_bytes: bytes })
}
