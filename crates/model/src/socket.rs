//! Sockets of this host: who uses them, what state they are in, how their connections fare.
//!
//! Not here: where the facts come from (kernel events, sock_diag) and which flow a socket's packets belong to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{Process, Timestamp};

/// State of a TCP socket by the kernel's numbers (`include/net/tcp_states.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum SocketState {
    /// Data may flow.
    Established = 1,
    /// A SYN was sent.
    SynSent = 2,
    /// A SYN came and was answered.
    SynRecv = 3,
    /// Closed here; FIN sent.
    FinWait1 = 4,
    /// Our FIN was confirmed.
    FinWait2 = 5,
    /// Over; waits for late packets.
    TimeWait = 6,
    /// Not connected.
    Close = 7,
    /// The peer said FIN.
    CloseWait = 8,
    /// Closed here after the peer; waits for the last confirmation.
    LastAck = 9,
    /// Waits for connections.
    Listen = 10,
    /// Both said FIN at once.
    Closing = 11,
    /// A SYN came for a listener; no full socket yet.
    NewSynRecv = 12,
}

impl SocketState {
    /// Every state, in the order of the kernel's numbers.
    pub const ALL: [SocketState; 12] = [
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
        Self::NewSynRecv,
    ];

    /// The state with the kernel's number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u8 == number)
    }

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::NewSynRecv => "NEW_SYN_RECV",
        }
    }
}

/// Both ends of a socket. An unspecified address or port 0 means any, or not known yet. Never IPv4-mapped: `::ffff:a.b.c.d`
/// is given as IPv4, as the packets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketEnds {
    /// IP protocol number (6 or 17).
    pub protocol: u8,
    /// This host's end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
}

/// How a local TCP connection fares, by the kernel's own measurement (`struct tcp_info`, tcp(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpHealth {
    /// Smoothed round-trip time.
    pub smoothed_rtt: Option<Duration>,
    /// Mean deviation of the round-trip time.
    pub rtt_deviation: Option<Duration>,
    /// Least round-trip time of late.
    pub min_rtt: Option<Duration>,
    /// Segments sent again, since the start.
    pub retransmits: u32,
    /// Segments received out of order, since the start; `None` where the kernel did not say.
    pub out_of_order: Option<u32>,
}

/// What happened to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketChange {
    /// A process uses it to talk to `remote`: it connected, accepted or sent. Also told of what was there before the
    /// agent was.
    Used,
    /// It waits for peers: a TCP listener, or a UDP socket bound to a port. `remote` is unspecified.
    Bound,
    /// A TCP socket went from one state to another.
    State {
        /// Before.
        from: SocketState,
        /// After.
        to: SocketState,
    },
    /// It is as it was; told for its [`TcpHealth`].
    Measured,
    /// A bound UDP socket or a listener is no more.
    Released,
}

/// Something that was learned of a socket.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketEvent {
    /// When.
    pub time: Timestamp,
    /// Which socket.
    pub ends: SocketEnds,
    /// What happened.
    pub change: SocketChange,
    /// The process that uses it, where that is known.
    pub process: Option<Arc<Process>>,
    /// How its connection fares, where that was told.
    pub tcp: Option<TcpHealth>,
}

/// All sockets of this host's network namespace at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketCensus {
    /// TCP sockets in each state: IPv4, IPv6. A dual-stack listener is IPv6; a connection is what its packets are.
    pub tcp: Vec<(SocketState, [u64; 2])>,
    /// UDP sockets: IPv4, IPv6.
    pub udp: [u64; 2],
}

/// A packet that the kernel dropped, or several alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelDrop {
    /// The kernel's name of the reason, in small letters and without its prefix (`no_socket`, `tcp_csum`, …).
    pub reason: Arc<str>,
    /// Interface it came by or was to leave by; 0 where there was none.
    pub ifindex: u32,
    /// IP protocol number; 0 where the packet was not IP or could not be read.
    pub protocol: u8,
    /// Packets since the agent started, for this reason, interface and protocol.
    pub packets: u64,
    /// Source and destination of the latest one, where they could be read. Port 0 where the protocol has none.
    pub latest: Option<(SocketAddr, SocketAddr)>,
}
