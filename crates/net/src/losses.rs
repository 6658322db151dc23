//! What the links refused, dropped or closed, by reason, and how much they carried. Counters only.
//!
//! Invariant: a packet, handshake, stream or connection that comes to nothing makes exactly one of these grow.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why something on a link came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum LinkReason {
    /// A datagram or frame of a version of the link protocol that this program does not speak.
    Version,
    /// Shorter or longer than it can be, or of an unknown kind.
    Malformed,
    /// A first message that was not made for this host, or not by a member of this cluster.
    Stranger,
    /// The certificate or passport is not accepted: expired, revoked, of another cluster.
    Refused,
    /// Sealed with other keys than the session's, or changed on the way.
    Forged,
    /// A datagram that came before.
    Replayed,
    /// Of a session that this host does not have (any more).
    NoSession,
    /// Too many first messages from one source address before anything was proved.
    SourceRate,
    /// Too many first messages at all: the source was told to prove its address first.
    Cookie,
    /// A peer sent more datagrams or bytes than it may.
    DatagramRate,
    /// A peer opened more streams than it may.
    StreamRate,
    /// A question or answer on a stream is longer than it may be.
    StreamTooLong,
    /// Nothing that can be addressed: the host's key or address is not known yet.
    NoAddress,
    /// No answer to the first message, on any address.
    Unreachable,
    /// More was to be sent to a host than is kept while the session begins.
    QueueFull,
    /// The program was too slow to take what came.
    Backlog,
    /// A session was given up for a newer one of another host: the table is full.
    SessionEvicted,
    /// A connection was closed for a newer one: as many as are kept were open.
    ConnectionEvicted,
    /// A question broke off: the connection ended or its time was over.
    StreamBroken,
    /// The kernel did not take a packet.
    Socket,
    /// An invitation or request to enrol was refused.
    EnrolRefused,
}

impl LinkReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 21] = [
        Self::Version,
        Self::Malformed,
        Self::Stranger,
        Self::Refused,
        Self::Forged,
        Self::Replayed,
        Self::NoSession,
        Self::SourceRate,
        Self::Cookie,
        Self::DatagramRate,
        Self::StreamRate,
        Self::StreamTooLong,
        Self::NoAddress,
        Self::Unreachable,
        Self::QueueFull,
        Self::Backlog,
        Self::SessionEvicted,
        Self::ConnectionEvicted,
        Self::StreamBroken,
        Self::Socket,
        Self::EnrolRefused,
    ];

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Malformed => "malformed",
            Self::Stranger => "stranger",
            Self::Refused => "refused",
            Self::Forged => "forged",
            Self::Replayed => "replayed",
            Self::NoSession => "no_session",
            Self::SourceRate => "source_rate",
            Self::Cookie => "cookie",
            Self::DatagramRate => "datagram_rate",
            Self::StreamRate => "stream_rate",
            Self::StreamTooLong => "stream_too_long",
            Self::NoAddress => "no_address",
            Self::Unreachable => "unreachable",
            Self::QueueFull => "queue_full",
            Self::Backlog => "backlog",
            Self::SessionEvicted => "session_evicted",
            Self::ConnectionEvicted => "connection_evicted",
            Self::StreamBroken => "stream_broken",
            Self::Socket => "socket",
            Self::EnrolRefused => "enrol_refused",
        }
    }
}

/// What the links carried. Each number only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Carried {
    /// Datagrams received from proved peers.
    DatagramsIn,
    /// Datagrams sent.
    DatagramsOut,
    /// Bytes of those received, as they were on the wire.
    DatagramBytesIn,
    /// Bytes of those sent, as they were on the wire.
    DatagramBytesOut,
    /// Questions received on streams.
    StreamsIn,
    /// Questions asked on streams.
    StreamsOut,
    /// Bytes of questions and answers received.
    StreamBytesIn,
    /// Bytes of questions and answers sent.
    StreamBytesOut,
    /// Noise handshakes that were completed.
    NoiseHandshakes,
    /// QUIC handshakes that were completed.
    QuicHandshakes,
}

impl Carried {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::DatagramsIn,
        Self::DatagramsOut,
        Self::DatagramBytesIn,
        Self::DatagramBytesOut,
        Self::StreamsIn,
        Self::StreamsOut,
        Self::StreamBytesIn,
        Self::StreamBytesOut,
        Self::NoiseHandshakes,
        Self::QuicHandshakes,
    ];

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DatagramsIn => "datagrams_in",
            Self::DatagramsOut => "datagrams_out",
            Self::DatagramBytesIn => "datagram_bytes_in",
            Self::DatagramBytesOut => "datagram_bytes_out",
            Self::StreamsIn => "streams_in",
            Self::StreamsOut => "streams_out",
            Self::StreamBytesIn => "stream_bytes_in",
            Self::StreamBytesOut => "stream_bytes_out",
            Self::NoiseHandshakes => "noise_handshakes",
            Self::QuicHandshakes => "quic_handshakes",
        }
    }
}

/// The counters of a node, shared by all of its parts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    losses: [AtomicU64; LinkReason::ALL.len()],
    carried: [AtomicU64; Carried::ALL.len()],
}

impl Counters {
    pub(crate) fn lose(&self, reason: LinkReason) {
        if let Some(counter) = self.losses.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn carry(&self, what: Carried, by: usize) {
        if let Some(counter) = self.carried.get(what as usize) {
            counter.fetch_add(by as u64, Ordering::Relaxed);
        }
    }

    pub(crate) fn losses(&self) -> LinkLosses {
        LinkLosses(std::array::from_fn(|at| self.losses.get(at).map_or(0, |counter| counter.load(Ordering::Relaxed))))
    }

    pub(crate) fn traffic(&self) -> Traffic {
        Traffic(std::array::from_fn(|at| self.carried.get(at).map_or(0, |counter| counter.load(Ordering::Relaxed))))
    }
}

/// One number for each [`LinkReason`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkLosses([u64; LinkReason::ALL.len()]);

impl LinkLosses {
    /// How many so far.
    pub fn get(&self, reason: LinkReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// Reasons that happened, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (LinkReason, u64)> + '_ {
        LinkReason::ALL.into_iter().map(|reason| (reason, self.get(reason))).filter(|(_, number)| *number > 0)
    }
}

/// One number for each [`Carried`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic([u64; Carried::ALL.len()]);

impl Traffic {
    /// How much so far.
    pub fn get(&self, what: Carried) -> u64 {
        self.0.get(what as usize).copied().unwrap_or(0)
    }

    /// All of them with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Carried, u64)> + '_ {
        Carried::ALL.into_iter().map(|what| (what, self.get(what)))
    }
}
