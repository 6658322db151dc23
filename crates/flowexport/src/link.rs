//! The ways out of this host: UDP, TCP and unix sockets, that never block longer than [`CONNECT_WITHIN`].
//!
//! Names are looked up anew for each connection, so that a collector that moved is found. What is sent on them, and what
//! happens when they fail, is the courier's business.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use socket2::{SockRef, TcpKeepalive};

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A connection whose other end answers nothing for this long is given up. A network that is gone for a minute comes
/// back within it, and the kernel then sends what it holds: nothing is lost and nothing doubled.
const SILENCE_MAX: Duration = Duration::from_secs(180);

/// How often the name behind a UDP socket is looked up again even where all goes well: nobody tells of a collector that
/// moved.
pub(crate) const LOOK_UP_EVERY: Duration = Duration::from_secs(300);

/// Where a link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Udp { host: String, port: u16 },
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// An open link.
pub(crate) enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Stream(UnixStream),
    Datagram(UnixDatagram),
}

impl Place {
    /// Looks the name up and connects to the first of its addresses that lets itself be.
    pub(crate) fn open(&self) -> io::Result<Link> {
        match self {
            Self::Udp { host, port } => first(host, *port, |address| {
                let any: IpAddr =
                    if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                let socket = UdpSocket::bind((any, 0))?;
                socket.connect(address)?;
                socket.set_nonblocking(true)?;
                Ok(Link::Udp(socket))
            }),
            Self::Tcp { host, port } => first(host, *port, |address| {
                let stream = TcpStream::connect_timeout(&address, CONNECT_WITHIN)?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let socket = SockRef::from(&stream);
                socket.set_tcp_user_timeout(Some(SILENCE_MAX))?;
                socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)))?;
                Ok(Link::Tcp(stream))
            }),
            Self::Unix(path) => match UnixStream::connect(path) {
                Ok(stream) => {
                    stream.set_nonblocking(true)?;
                    Ok(Link::Stream(stream))
                }
                // The path is a datagram socket (unix(7)).
                Err(error) if error.raw_os_error() == Some(Errno::EPROTOTYPE as i32) => {
                    let socket = UnixDatagram::unbound()?;
                    socket.connect(path)?;
                    socket.set_nonblocking(true)?;
                    Ok(Link::Datagram(socket))
                }
                Err(error) => Err(error),
            },
        }
    }

    /// Whether a datagram link leads where the name no longer points; false where that cannot be told.
    pub(crate) fn has_moved(&self, link: &Link) -> bool {
        let (Self::Udp { host, port }, Link::Udp(socket)) = (self, link) else { return false };
        let (Ok(mut addresses), Ok(peer)) = ((host.as_str(), *port).to_socket_addrs(), socket.peer_addr()) else {
            return false;
        };
        addresses.all(|address| address.ip() != peer.ip())
    }
}

fn first(host: &str, port: u16, open: impl Fn(SocketAddr) -> io::Result<Link>) -> io::Result<Link> {
    let mut failure = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match open(address) {
            Ok(link) => return Ok(link),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

impl Link {
    /// Sends as much as goes now: of a stream perhaps a part, of a datagram all or nothing (`WouldBlock`).
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.send(bytes),
            Self::Tcp(stream) => stream.write(bytes),
            Self::Stream(stream) => stream.write(bytes),
            Self::Datagram(socket) => socket.send(bytes),
        }
    }

    /// What has become known of it since: that nobody listens, or that the other end has closed.
    pub(crate) fn trouble(&mut self) -> Option<io::Error> {
        let mut ignored = [0; 256];
        let read = match self {
            Self::Udp(socket) => return socket.take_error().ok().flatten(),
            Self::Datagram(socket) => return socket.take_error().ok().flatten(),
            Self::Tcp(stream) => stream.read(&mut ignored),
            Self::Stream(stream) => stream.read(&mut ignored),
        };
        match read {
            Ok(0) => Some(io::Error::new(ErrorKind::ConnectionReset, "the receiver closed the connection")),
            // Collectors have nothing to say; what they say anyway is passed over.
            Ok(_) => None,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
            Err(error) => Some(error),
        }
    }

    pub(crate) fn is_datagram(&self) -> bool {
        matches!(self, Self::Udp(_) | Self::Datagram(_))
    }

    pub(crate) fn local(&self) -> Option<IpAddr> {
        match self {
            Self::Udp(socket) => socket.local_addr().ok().map(|address| address.ip()),
            Self::Tcp(stream) => stream.local_addr().ok().map(|address| address.ip()),
            Self::Stream(_) | Self::Datagram(_) => None,
        }
    }
}
