//! TCP in bulk and in many short connections, and a sink that reads them to their end.
//!
//! It knows nothing of packets: how a stream is cut is the kernel's affair. Invariant: a connection counts on the
//! sending side when the peer has closed too (or it was reset on purpose), so that all its packets have been exchanged.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{Backlog, listen, setsockopt, sockopt};
use nix::sys::time::TimeVal;

use super::{STALL_MAX, TrafficError};

/// Bytes written or read by one call.
const CHUNK_BYTES: usize = 128 << 10;

/// Streams that were sent or received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// Connections that ended.
    pub connections: u64,
    /// Application bytes.
    pub bytes: u64,
    /// Of the connections, those that ended by a reset.
    pub resets: u64,
}

/// How a short connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// FIN both ways; the client's port then waits for a minute.
    Fin,
    /// RST by the client; the port is free at once. What was written may not be read.
    Reset,
}

/// Many short connections.
#[derive(Clone, Debug)]
pub struct ShortFlows<'a> {
    /// Destinations, taken in turn. Each gives a client address some 55,000 connections a minute in a lab's host.
    pub to: &'a [SocketAddr],
    /// Connections in all.
    pub count: u64,
    /// Bytes written on each.
    pub payload: usize,
    /// How each ends.
    pub close: Close,
    /// Threads that connect.
    pub threads: u64,
}

/// Sends `bytes` over one connection, closes it and waits for the peer to close.
pub fn tcp_bulk(to: SocketAddr, bytes: u64) -> Result<Streams, TrafficError> {
    let mut stream = connect(to)?;
    let chunk = vec![0x5a; CHUNK_BYTES];
    let mut done = 0;
    while done < bytes {
        let now = chunk.get(..(bytes - done).min(CHUNK_BYTES as u64) as usize).unwrap_or_default();
        match stream.write(now) {
            Ok(written) => done += written as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(TrafficError::Stalled { done, wanted: bytes });
            }
            Err(source) => return Err(TrafficError::Broken { to, done, source }),
        }
    }
    end(stream).map_err(|source| TrafficError::Broken { to, done, source })?;
    Ok(Streams { connections: 1, bytes, resets: 0 })
}

/// Opens and closes `flows.count` connections; the first error ends it.
pub fn tcp_short_flows(flows: &ShortFlows<'_>) -> Result<Streams, TrafficError> {
    let next = AtomicU64::new(0);
    let payload = vec![0x5a; flows.payload];
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let to = flows.to.get(number as usize % flows.to.len().max(1)).copied();
            let Some(to) = to.filter(|_| number < flows.count) else { return Ok(()) };
            if let Err(error) = short(to, &payload, flows.close) {
                next.store(flows.count, Ordering::Relaxed);
                return Err(error);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..flows.threads.max(1)).map(|_| scope.spawn(work)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<(), TrafficError>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect::<Vec<_>>().into_iter().collect::<Result<(), _>>()
    })?;
    let connections = if flows.to.is_empty() { 0 } else { flows.count };
    let resets = if flows.close == Close::Reset { connections } else { 0 };
    Ok(Streams { connections, bytes: connections * flows.payload as u64, resets })
}

fn short(to: SocketAddr, payload: &[u8], close: Close) -> Result<(), TrafficError> {
    let mut stream = connect(to)?;
    let broken = |source| TrafficError::Broken { to, done: 0, source };
    stream.write_all(payload).map_err(broken)?;
    match close {
        Close::Fin => end(stream).map_err(broken),
        Close::Reset => {
            let linger = libc::linger { l_onoff: 1, l_linger: 0 };
            setsockopt(&stream, sockopt::Linger, &linger).map_err(|errno| broken(errno.into()))
        }
    }
}

fn connect(to: SocketAddr) -> Result<TcpStream, TrafficError> {
    let stream = TcpStream::connect_timeout(&to, STALL_MAX).map_err(|source| match source.kind() {
        ErrorKind::AddrNotAvailable => TrafficError::PortsExhausted { to },
        _ => TrafficError::Socket { doing: "connect to", at: to, source },
    })?;
    let bounded = stream.set_write_timeout(Some(STALL_MAX)).and_then(|()| stream.set_read_timeout(Some(STALL_MAX)));
    bounded.map_err(|source| TrafficError::Broken { to, done: 0, source })?;
    Ok(stream)
}

/// Closes our direction and waits for the other.
fn end(mut stream: TcpStream) -> std::io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
}

#[derive(Debug, Default)]
struct Counts {
    stop: AtomicBool,
    connections: AtomicU64,
    bytes: AtomicU64,
    resets: AtomicU64,
}

/// Listeners whose connections are read to their end and closed. Bind it inside the namespace; use it from anywhere.
#[derive(Debug)]
pub struct TcpSink {
    addresses: Vec<SocketAddr>,
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

impl TcpSink {
    /// Listens at each address (port 0: any), with `workers` threads each; a thread serves one connection at a time.
    pub fn bind(addresses: &[SocketAddr], workers: usize) -> Result<Self, TrafficError> {
        let mut sink = Self { addresses: Vec::new(), counts: Arc::default(), threads: Vec::new() };
        for &at in addresses {
            let failed = |source| TrafficError::Socket { doing: "listen at", at, source };
            let listener = Arc::new(TcpListener::bind(at).map_err(failed)?);
            // A second listen only raises the backlog. The threads look at `stop` between two waits.
            listen(&listener, Backlog::MAXALLOWABLE).map_err(|errno| failed(errno.into()))?;
            let wait = TimeVal::new(0, 20_000);
            setsockopt(&listener.as_fd(), sockopt::ReceiveTimeout, &wait).map_err(|errno| failed(errno.into()))?;
            sink.addresses.push(listener.local_addr().map_err(failed)?);
            for _ in 0..workers.max(1) {
                let (listener, counts) = (Arc::clone(&listener), Arc::clone(&sink.counts));
                sink.threads.push(std::thread::spawn(move || serve(&listener, &counts)));
            }
        }
        Ok(sink)
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What has ended so far.
    pub fn received(&self) -> Streams {
        Streams {
            connections: self.counts.connections.load(Ordering::Acquire),
            bytes: self.counts.bytes.load(Ordering::Acquire),
            resets: self.counts.resets.load(Ordering::Acquire),
        }
    }

    /// Waits until `connections` have ended, at most for `deadline`; what has ended by then.
    pub fn finish(self, connections: u64, deadline: Duration) -> Streams {
        let start = Instant::now();
        loop {
            let seen = self.received();
            if seen.connections >= connections || start.elapsed() > deadline {
                return seen;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

impl Drop for TcpSink {
    fn drop(&mut self) {
        self.counts.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            // A panic in a worker has been printed; a sink that is being dropped has nobody to give it to.
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, counts: &Counts) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while !counts.stop.load(Ordering::Acquire) {
        // Errors are timeouts, or connections that were gone before they were accepted.
        let Ok((mut stream, _)) = listener.accept() else { continue };
        if stream.set_read_timeout(Some(Duration::from_millis(100))).is_err() {
            continue;
        }
        let reset = read_to_end(&mut stream, &mut buffer, counts);
        drop(stream);
        counts.resets.fetch_add(u64::from(reset), Ordering::Release);
        counts.connections.fetch_add(1, Ordering::Release);
    }
}

/// Whether the stream ended by a reset; counts its bytes as they come.
fn read_to_end(stream: &mut TcpStream, buffer: &mut [u8], counts: &Counts) -> bool {
    loop {
        match stream.read(buffer) {
            Ok(0) => return false,
            Ok(got) => drop(counts.bytes.fetch_add(got as u64, Ordering::Release)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                if counts.stop.load(Ordering::Acquire) {
                    return true;
                }
            }
            Err(_) => return true,
        }
    }
}
