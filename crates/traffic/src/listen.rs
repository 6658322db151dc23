//! What the generator's servers have in common: where they listen, and how they end.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::TrafficError;

/// Longest that a server hears nothing of its end.
const LOOK_MS: u16 = 50;
/// Longest that either side of a connection waits for the other.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Ends the servers of a part when the part ends, however it does.
#[derive(Default)]
pub(crate) struct Ending(AtomicBool);

impl Ending {
    pub(crate) fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_come(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A listener on the first of these ports that is free, else on any.
pub(crate) fn tcp(
    what: &'static str,
    target: IpAddr,
    ports: &[u16],
) -> Result<(TcpListener, SocketAddr), TrafficError> {
    let bound = ports.iter().chain([&0]).map(|port| TcpListener::bind((target, *port)));
    let serve = |source| TrafficError::Serve { what, target, source };
    let listener = first(bound).map_err(serve)?;
    listener.set_nonblocking(true).map_err(serve)?;
    let address = listener.local_addr().map_err(serve)?;
    Ok((listener, address))
}

/// The same for UDP.
pub(crate) fn udp(what: &'static str, target: IpAddr, ports: &[u16]) -> Result<(UdpSocket, SocketAddr), TrafficError> {
    let bound = ports.iter().chain([&0]).map(|port| UdpSocket::bind((target, *port)));
    let serve = |source| TrafficError::Serve { what, target, source };
    let socket = first(bound).map_err(serve)?;
    let address = socket.local_addr().map_err(serve)?;
    Ok((socket, address))
}

fn first<T>(bound: impl Iterator<Item = io::Result<T>>) -> io::Result<T> {
    let mut refusal = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for one in bound {
        match one {
            Ok(socket) => return Ok(socket),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// Whether something came within a short while.
pub(crate) fn ready(socket: &impl AsFd) -> bool {
    let mut sockets = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    poll(&mut sockets, PollTimeout::from(LOOK_MS)).is_ok_and(|ready| ready > 0)
}

/// Accepts connections, one after the other, until the end.
pub(crate) fn serve(listener: &TcpListener, ending: &Ending, each: impl Fn(TcpStream)) {
    while !ending.has_come() {
        if !ready(listener) {
            continue;
        }
        // A client that went away in the meantime is none.
        let Ok((stream, _)) = listener.accept() else { continue };
        if stream.set_nonblocking(false).is_ok() && patient(&stream).is_ok() {
            each(stream);
        }
    }
}

/// Neither side waits without end.
pub(crate) fn patient(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}
