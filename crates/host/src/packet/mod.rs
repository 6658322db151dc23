//! Frames from an AF_PACKET socket with a shared ring (TPACKET_V3), for hosts where eBPF is not to be had.
//!
//! The socket sees what the interface receives (before the stack) and what it sends (after queueing), so on a loopback
//! interface each packet shows twice, once in either direction, as the interface's own counters have it. It does not
//! parse packets. Memory shared with the kernel is touched in `ring` alone, socket options are set in `socket`.
//! Invariant: a frame that passed the interface is given to the caller once or counted in [`PacketLosses`].

mod ring;
mod segments;
mod socket;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use hivewall_datapath::{Direction, Frame, IFINDEX_MAX, Link};
use hivewall_model::{Interface, LinkLayer};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use ring::{Raw, Ring};
pub use socket::kernel_keeps_udp_segments;

/// Bytes of a frame that are delivered by default: all headers, and names in the first payload bytes.
pub const SNAP_BYTES: u32 = 2048;

/// How to open a [`PacketSocket`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketOptions {
    /// Bytes in one block of the ring: a multiple of the page size, at least [`PacketOptions::block_bytes_min`].
    pub block_bytes: u32,
    /// Blocks in the ring. The kernel fills one while others are read.
    pub blocks: u32,
    /// Milliseconds after which a block that is not full is handed over; how late a frame can come. At least 1.
    pub timeout_ms: u32,
    /// Leading bytes of each frame to deliver, at least 1. [`Frame::len`] is the whole length anyway.
    pub snap_bytes: u32,
    /// Receive frames for other hosts as well.
    pub promiscuous: bool,
    /// Learn into how many packets a buffer (GSO, GRO) is cut. `None`: where that loses no frame, see
    /// [`kernel_keeps_udp_segments`]. Without it such a buffer counts as one packet.
    pub segments: Option<bool>,
    /// Share the frames of the interface with other sockets.
    pub fanout: Option<Fanout>,
}

impl Default for PacketOptions {
    /// 4 MiB of ring, frames at most 20 ms late.
    fn default() -> Self {
        Self {
            block_bytes: 256 << 10,
            blocks: 16,
            timeout_ms: 20,
            snap_bytes: SNAP_BYTES,
            promiscuous: false,
            segments: None,
            fanout: None,
        }
    }
}

impl PacketOptions {
    /// The smallest block that holds a frame of `snap_bytes` with its headers.
    pub fn block_bytes_min(&self) -> u32 {
        ring::block_bytes_min(self.snap_bytes)
    }
}

/// A group of sockets of this network namespace; each frame goes to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fanout {
    /// Number of the group, the same for all its sockets.
    pub group: u16,
    /// How a frame finds its socket.
    pub mode: FanoutMode,
}

/// How a frame finds its socket in a [`Fanout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FanoutMode {
    /// By addresses and ports: both directions of a flow to the same socket.
    Flow,
    /// By the CPU that handles it.
    Cpu,
}

/// Why frames cannot be captured.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// The interface's framing is not known.
    #[error(
        "`{name}` has frames of a kind that cannot be read (ARPHRD {arphrd}); leave it out with `--interface '!{name}'`"
    )]
    Framing {
        /// Interface.
        name: String,
        /// Its device type.
        arphrd: u16,
    },
    /// The interface's index does not fit a flow key.
    #[error("`{name}` has index {index}, beyond the {max} that flows can carry; leave it out or recreate it after a reboot", max = IFINDEX_MAX)]
    Index {
        /// Interface.
        name: String,
        /// Its index.
        index: u32,
    },
    /// The options do not go together.
    #[error("the capture ring cannot be made: {why}")]
    Options {
        /// What does not fit, and the limit.
        why: &'static str,
    },
    /// Not privileged.
    #[error("capturing on `{name}` needs CAP_NET_RAW: run as root, or grant it with `setcap cap_net_raw+ep`")]
    Privilege {
        /// Interface.
        name: String,
    },
    /// No such interface any more.
    #[error("`{name}` is gone; it is picked up again when it comes back")]
    Gone {
        /// Interface.
        name: String,
    },
    /// The interface was taken down. The socket goes on by itself when it is up again.
    #[error("`{name}` was taken down; nothing is captured until it is up again")]
    Down {
        /// Interface.
        name: String,
    },
    /// A system call failed.
    #[error("cannot {doing} on `{name}`: {source}; `hivewall check` shows what this kernel offers")]
    System {
        /// What was tried.
        doing: &'static str,
        /// Interface.
        name: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The ring holds what the kernel would not write.
    #[error("the capture ring of `{name}` is not as the kernel documents it; please report this with `uname -r`")]
    Ring {
        /// Interface.
        name: String,
    },
}

/// What a socket has not delivered, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketLosses {
    /// Frames that found no room in the ring (a buffer of several segments counts once).
    pub dropped: u64,
    /// Times the ring was full, each of which may have cost many frames.
    pub freezes: u64,
}

/// An open capture on one interface.
pub struct PacketSocket {
    // Before the socket: the mapping goes first.
    ring: Ring,
    socket: OwnedFd,
    name: String,
    template: Frame,
    counts_segments: bool,
    losses: PacketLosses,
}

/// Whom frames are given to: nanoseconds since the Unix epoch, the leading bytes, and what is known besides.
pub type FrameSink<'a> = dyn FnMut(i64, &[u8], Frame) + 'a;

impl PacketSocket {
    /// Starts to capture on `interface`, whose index and framing count. Frames from before are not seen.
    pub fn open(interface: &Interface, options: PacketOptions) -> Result<Self, PacketError> {
        let name = interface.name.clone();
        let link = match interface.link {
            LinkLayer::Ethernet => Link::Ethernet,
            LinkLayer::Ip => Link::Ip,
            LinkLayer::Other(arphrd) => return Err(PacketError::Framing { name, arphrd }),
        };
        if !(1..=IFINDEX_MAX).contains(&interface.index) {
            return Err(PacketError::Index { name, index: interface.index });
        }
        let counts_segments = options.segments.unwrap_or_else(kernel_keeps_udp_segments);
        let (socket, ring) = socket::open(interface, &options, counts_segments)?;
        let template = Frame {
            link,
            len: 0,
            stripped: 0,
            segments: 0,
            segment_size: 0,
            vlan: None,
            ifindex: interface.index,
            direction: Direction::Ingress,
        };
        Ok(Self { ring, socket, name, template, counts_segments, losses: PacketLosses::default() })
    }

    /// Gives every frame that is ready to `sink`; when there is none, waits for some, at most `timeout`. Returns how
    /// many there were. A call handles at most one turn of the ring, and a signal may end it early.
    ///
    /// The bytes are valid during the call of `sink` only and may be fewer than [`Frame::len`].
    /// [`PacketError::Down`] is told once, and the socket stays usable; after [`PacketError::Gone`] it is of no use.
    pub fn poll(&mut self, timeout: Duration, sink: &mut FrameSink<'_>) -> Result<usize, PacketError> {
        let start = Instant::now();
        loop {
            let count = self.drain(sink)?;
            let left = timeout.saturating_sub(start.elapsed());
            if count > 0 || left.is_zero() {
                return Ok(count);
            }
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                Err(Errno::EINTR) => return Ok(0),
                Err(errno) => return Err(self.system("wait for frames", errno.into())),
                Ok(_) => {}
            }
            let broken = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
            if fds.iter().any(|fd| fd.revents().is_some_and(|events| events.intersects(broken))) {
                // What was captured before the interface went comes first.
                let count = self.drain(sink)?;
                return if count > 0 { Ok(count) } else { self.trouble().map_or(Ok(0), Err) };
            }
        }
    }

    /// What was not delivered so far. Asking is cheap, but not free: once a second is enough.
    pub fn losses(&mut self) -> Result<PacketLosses, PacketError> {
        let fresh = socket::statistics(self.socket.as_fd())
            .map_err(|source| self.system("read the capture statistics", source))?;
        self.losses.dropped += fresh.dropped;
        self.losses.freezes += fresh.freezes;
        Ok(self.losses)
    }

    /// Whether buffers of several segments are counted as the packets they stand for.
    pub fn counts_segments(&self) -> bool {
        self.counts_segments
    }

    fn drain(&mut self, sink: &mut FrameSink<'_>) -> Result<usize, PacketError> {
        let (template, counts_segments) = (self.template, self.counts_segments);
        let mut each = |raw: &Raw<'_>| {
            let (segments, segment_size) = if counts_segments { segments::of(raw) } else { (0, 0) };
            let direction = if raw.outgoing { Direction::Egress } else { Direction::Ingress };
            let frame = Frame { len: raw.len, segments, segment_size, vlan: raw.vlan, direction, ..template };
            sink(raw.time_ns, raw.bytes, frame);
        };
        self.ring.drain(&mut each).map_err(|ring::Broken| PacketError::Ring { name: self.name.clone() })
    }

    /// The socket's pending error, which asking clears.
    fn trouble(&self) -> Option<PacketError> {
        let code = nix::sys::socket::getsockopt(&self.socket, nix::sys::socket::sockopt::SocketError).ok()?;
        let name = self.name.clone();
        match Errno::from_raw(code) {
            Errno::UnknownErrno => None,
            // The kernel says the same for an interface that was taken down and for one that was removed.
            Errno::ENETDOWN if socket::is_bound(self.socket.as_fd()) => Some(PacketError::Down { name }),
            Errno::ENETDOWN | Errno::ENODEV | Errno::ENXIO => Some(PacketError::Gone { name }),
            errno => Some(self.system("capture", errno.into())),
        }
    }

    fn system(&self, doing: &'static str, source: io::Error) -> PacketError {
        PacketError::System { doing, name: self.name.clone(), source }
    }
}

impl AsFd for PacketSocket {
    /// Readable when a block of frames is ready.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
