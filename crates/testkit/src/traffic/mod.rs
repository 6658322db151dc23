//! Traffic in known amounts, to be made inside [`crate::netns::Host::enter`], and sinks that count what arrives.
//!
//! Every generator is bounded in packets or bytes and in time ([`STALL_MAX`]); it returns exactly what it handed to
//! the kernel, and an error is never turned into a smaller number. It shapes nothing: everything goes at full rate.
//! Invariant: `Datagrams::wire_bytes` is what the sending interface's counters grow by, offloads being off.

mod batch;
mod raw;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

use std::net::SocketAddr;
use std::time::Duration;

pub use raw::raw_frames;
pub use tcp::{Close, ShortFlows, Streams, TcpSink, tcp_bulk, tcp_short_flows};
pub use udp::{Received, UdpSink, udp_blast, udp_fragmented};

/// Longest time without progress before a generator gives up with an error.
pub const STALL_MAX: Duration = Duration::from_secs(10);

/// Packets that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Datagrams {
    /// Packets on the wire (fragments count one each).
    pub packets: u64,
    /// Bytes of application payload; of whole frames for [`raw_frames`].
    pub payload_bytes: u64,
    /// Bytes with UDP, IP and Ethernet headers, as an interface counts them.
    pub wire_bytes: u64,
}

impl std::ops::Add for Datagrams {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            payload_bytes: self.payload_bytes + other.payload_bytes,
            wire_bytes: self.wire_bytes + other.wire_bytes,
        }
    }
}

impl std::iter::Sum for Datagrams {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |a, b| a + b)
    }
}

/// Errors of generators and sinks.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// A socket could not be made, bound or connected.
    #[error("could not {doing} {at}: {source}; check that the address belongs to this namespace and the link is up")]
    Socket {
        /// Verb.
        doing: &'static str,
        /// Where.
        at: SocketAddr,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// All local ports towards one destination are taken.
    #[error("no local port is left towards {to}: give `ShortFlows::to` more destination ports, or close by reset")]
    PortsExhausted {
        /// The destination.
        to: SocketAddr,
    },
    /// There is no such interface.
    #[error("there is no interface `{interface}` in this namespace: link it first, and call inside `Host::enter`")]
    NoInterface {
        /// As given.
        interface: String,
    },
    /// The kernel would not take one packet.
    #[error(
        "packet {index} ({bytes} bytes) was refused: {source}; is it longer than the MTU or shorter than a header?"
    )]
    Refused {
        /// Its position among those to be sent; those before it were sent.
        index: u64,
        /// Its length.
        bytes: usize,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// Nothing moved for [`STALL_MAX`].
    #[error("nothing moved for {STALL_MAX:?} after {done} of {wanted}; is the other side still reading?")]
    Stalled {
        /// Packets or bytes done.
        done: u64,
        /// Packets or bytes wanted.
        wanted: u64,
    },
    /// A payload that does not fit one packet.
    #[error("{payload} bytes do not fit one packet (at most {max} here): use `udp_fragmented`")]
    TooLong {
        /// As given, bytes.
        payload: usize,
        /// What fits, bytes.
        max: usize,
    },
    /// A stream broke.
    #[error("the connection to {to} broke after {done} bytes: {source}; is the sink still there?")]
    Broken {
        /// The destination.
        to: SocketAddr,
        /// Bytes done.
        done: u64,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
}
