//! UDP at full rate from several senders, datagrams that need fragments, and a sink that counts what it got and lost.
//!
//! Payloads are a fixed pattern; order is not checked. Invariant: at the sink, `packets + dropped` is every datagram
//! that reached its socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use super::{Datagrams, TrafficError, batch};

const UDP_HEADER: usize = 8;
const ETHERNET_HEADER: usize = 14;
const FRAGMENT_HEADER: usize = 8;
/// Asked for at the sink; the kernel doubles it for its own bookkeeping.
const RECEIVE_BUFFER_BYTES: usize = 64 << 20;
/// `SO_MEMINFO` and the index in it of the packets a socket dropped (linux/sock_diag.h).
const SO_MEMINFO: i32 = 55;
const MEMINFO_DROPS: usize = 8;

/// Sends `packets` datagrams of `payload` bytes to `to`, shared evenly by `senders` sockets on threads of their own.
pub fn udp_blast(to: SocketAddr, packets: u64, payload: usize, senders: usize) -> Result<Datagrams, TrafficError> {
    let senders = senders.max(1) as u64;
    let send = |number: u64| {
        let share = packets / senders + u64::from(number < packets % senders);
        let (socket, mtu) = connected(to)?;
        let max = mtu.saturating_sub(ip_header(to) + UDP_HEADER);
        if payload > max {
            return Err(TrafficError::TooLong { payload, max });
        }
        let bytes = pattern(payload);
        batch::send_all(socket.as_fd(), share, |_| &bytes)?;
        let wire = payload + UDP_HEADER + ip_header(to) + ETHERNET_HEADER;
        Ok(Datagrams { packets: share, payload_bytes: share * payload as u64, wire_bytes: share * wire as u64 })
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..senders).map(|number| scope.spawn(move || send(number))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect::<Vec<_>>().into_iter().sum()
    })
}

/// Sends one datagram of `size` bytes, which the kernel cuts to the MTU; `packets` are the fragments.
pub fn udp_fragmented(to: SocketAddr, size: usize) -> Result<Datagrams, TrafficError> {
    let (socket, mtu) = connected(to)?;
    let bytes = pattern(size);
    batch::send_all(socket.as_fd(), 1, |_| &bytes)?;
    let whole = size + UDP_HEADER;
    let (packets, header) = if whole + ip_header(to) <= mtu {
        (1, ip_header(to))
    } else {
        let header = ip_header(to) + if to.is_ipv6() { FRAGMENT_HEADER } else { 0 };
        (whole.div_ceil((mtu - header) & !7), header)
    };
    let wire_bytes = (whole + packets * (header + ETHERNET_HEADER)) as u64;
    Ok(Datagrams { packets: packets as u64, payload_bytes: size as u64, wire_bytes })
}

/// A socket towards `to`, and the MTU of the way there.
fn connected(to: SocketAddr) -> Result<(UdpSocket, usize), TrafficError> {
    let any = if to.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let failed = |source| TrafficError::Socket { doing: "send from a UDP socket to", at: to, source };
    let socket = UdpSocket::bind((any, 0)).map_err(failed)?;
    socket.connect(to).map_err(failed)?;
    let (level, name) =
        if to.is_ipv4() { (libc::IPPROTO_IP, libc::IP_MTU) } else { (libc::IPPROTO_IPV6, libc::IPV6_MTU) };
    let [mtu] = batch::option_words(socket.as_fd(), level, name).map_err(failed)?;
    Ok((socket, mtu as usize))
}

fn ip_header(to: SocketAddr) -> usize {
    if to.is_ipv4() { 20 } else { 40 }
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| at as u8).collect()
}

/// What a [`UdpSink`] has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Datagrams read.
    pub packets: u64,
    /// Their payload, bytes.
    pub bytes: u64,
    /// Datagrams that reached the socket and found its buffer full.
    pub dropped: u64,
}

/// A socket that a thread of its own empties. Bind it inside the namespace; use it from anywhere.
#[derive(Debug)]
pub struct UdpSink {
    socket: Arc<UdpSocket>,
    counts: Arc<[AtomicU64; 2]>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UdpSink {
    /// Starts to receive at `at` (port 0: any; see [`UdpSink::address`]).
    pub fn bind(at: SocketAddr) -> Result<Self, TrafficError> {
        let failed = |source| TrafficError::Socket { doing: "receive UDP at", at, source };
        let socket = Arc::new(UdpSocket::bind(at).map_err(failed)?);
        setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).map_err(|errno| failed(errno.into()))?;
        // Asked once here, so that a kernel that cannot tell (before 4.12) is an error and not "nothing dropped".
        batch::option_words::<16>(socket.as_fd(), libc::SOL_SOCKET, SO_MEMINFO).map_err(failed)?;
        // The thread looks at `stop` between two waits.
        socket.set_read_timeout(Some(Duration::from_millis(20))).map_err(failed)?;
        let (counts, stop) = (Arc::new([const { AtomicU64::new(0) }; 2]), Arc::new(AtomicBool::new(false)));
        let (socket_, counts_, stop_) = (Arc::clone(&socket), Arc::clone(&counts), Arc::clone(&stop));
        let thread = std::thread::spawn(move || drain(&socket_, &counts_, &stop_));
        Ok(Self { socket, counts, stop, thread: Some(thread) })
    }

    /// Where it is bound.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What has been seen so far.
    pub fn received(&self) -> Received {
        let [packets, bytes] = &*self.counts;
        let words = batch::option_words::<16>(self.socket.as_fd(), libc::SOL_SOCKET, SO_MEMINFO).unwrap_or_default();
        let dropped = words.get(MEMINFO_DROPS).copied().unwrap_or_default();
        Received {
            packets: packets.load(Ordering::Acquire),
            bytes: bytes.load(Ordering::Acquire),
            dropped: dropped.into(),
        }
    }

    /// Waits until `packets` datagrams were read or dropped, at most for `deadline`; what it has seen by then.
    pub fn finish(self, packets: u64, deadline: Duration) -> Received {
        let start = Instant::now();
        loop {
            let seen = self.received();
            if seen.packets + seen.dropped >= packets || start.elapsed() > deadline {
                return seen;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

impl Drop for UdpSink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A panic in the draining thread has been printed; a sink that is being dropped has nobody to give it to.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn drain(socket: &UdpSocket, counts: &[AtomicU64; 2], stop: &AtomicBool) {
    let [packets, bytes] = counts;
    let mut buffers = vec![vec![0; 1 << 16]; batch::BATCH];
    while !stop.load(Ordering::Acquire) {
        // Errors are timeouts here; anything else shows as datagrams that never arrive.
        if let Ok((got, len)) = batch::receive_some(socket.as_fd(), &mut buffers) {
            bytes.fetch_add(len, Ordering::Release);
            packets.fetch_add(got, Ordering::Release);
        }
    }
}
