//! The one UDP port: QUIC's packets go to quinn, ours to the driver, told apart by their first byte.
//!
//! Knows nothing of what is in a packet beyond that byte. Invariant: a packet that is taken out is given to the driver
//! or counted, and quinn never sees it.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::sync::mpsc;

use crate::losses::{Counters, LinkReason};
use crate::noise::{PACKET_BYTES_MAX, Path, is_quic};

/// Packets that may wait for the driver.
const INBOX_PACKETS: usize = 1024;
/// Buffers of the kernel, each way: a burst of a few thousand datagrams.
const SOCKET_BYTES: usize = 2 << 20;

/// A packet of ours with its path.
pub(crate) type Inbox = mpsc::Receiver<(Path, Vec<u8>)>;

/// The port.
#[derive(Debug)]
pub(crate) struct Port {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    is_v6: bool,
    inbox: mpsc::Sender<(Path, Vec<u8>)>,
    counters: Arc<Counters>,
}

/// Binds the port. An unspecified IPv6 address serves IPv4 as well.
pub(crate) fn bind(listen: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    if listen.is_ipv6() {
        socket.set_only_v6(!listen.ip().is_unspecified())?;
    }
    // The kernel gives what it allows; less is slower, not wrong.
    let _ = socket.set_recv_buffer_size(SOCKET_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

impl Port {
    /// Takes over a bound socket. Has to be called inside of the runtime.
    pub(crate) fn open(socket: UdpSocket, counters: Arc<Counters>) -> io::Result<(Arc<Self>, Inbox)> {
        let (inbox, outlet) = mpsc::channel(INBOX_PACKETS);
        let state = UdpSocketState::new((&socket).into())?;
        let is_v6 = socket.local_addr()?.is_ipv6();
        let io = tokio::net::UdpSocket::from_std(socket)?;
        Ok((Arc::new(Self { io, state, is_v6, inbox, counters }), outlet))
    }

    /// Sends a packet of ours; what the kernel does not take is counted.
    pub(crate) fn send(&self, path: Path, contents: &[u8]) {
        let destination = self.to_wire(path.remote);
        let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip: path.local };
        let sent = self.io.try_io(Interest::WRITABLE, || self.state.try_send((&self.io).into(), &transmit));
        if sent.is_err() {
            self.counters.lose(LinkReason::Socket);
        }
    }

    /// A socket for both families writes IPv4 addresses in IPv6's form.
    fn to_wire(&self, address: SocketAddr) -> SocketAddr {
        match address {
            SocketAddr::V4(v4) if self.is_v6 => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
            other => other,
        }
    }

    /// Takes our packets out of what was received, and leaves QUIC's together. Bytes that are left.
    fn take_ours(&self, buffer: &mut [u8], meta: &RecvMeta) -> usize {
        let stride = meta.stride.max(1);
        let mut kept = 0;
        let mut at = 0;
        while at < meta.len {
            let end = (at + stride).min(meta.len);
            let Some(packet) = buffer.get(at..end) else { break };
            if packet.first().is_some_and(|first| is_quic(*first)) {
                buffer.copy_within(at..end, kept);
                kept += end - at;
            } else {
                self.give(packet, meta);
            }
            at = end;
        }
        kept
    }

    fn give(&self, packet: &[u8], meta: &RecvMeta) {
        if packet.len() > PACKET_BYTES_MAX {
            return self.counters.lose(LinkReason::Malformed);
        }
        let path = Path { remote: canonical(meta.addr), local: meta.dst_ip };
        if self.inbox.try_send((path, packet.to_vec())).is_err() {
            self.counters.lose(LinkReason::Backlog);
        }
    }
}

/// An address as records write it.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

impl AsyncUdpSocket for Port {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller { port: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.io.try_io(Interest::WRITABLE, || self.state.send((&self.io).into(), transmit))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let received = self.io.try_io(Interest::READABLE, || self.state.recv((&self.io).into(), bufs, meta));
            let Ok(received) = received else { continue };
            let mut is_any_left = false;
            for (buffer, meta) in bufs.iter_mut().zip(meta.iter_mut()).take(received) {
                meta.len = self.take_ours(buffer, meta);
                is_any_left |= meta.len > 0;
            }
            if is_any_left {
                return Poll::Ready(Ok(received));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// Waits until the socket takes packets again; each connection has one.
struct Poller {
    port: Arc<Port>,
    waiting: Option<Writable>,
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let port = self.port.clone();
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(async move { port.io.writable().await }));
        let result = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(result)
    }
}
