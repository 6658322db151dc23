//! Bounds and waits of everything kept here. A conversation that does not fit costs the oldest one, and is counted.

use std::time::Duration;

/// Most bytes of one direction that wait for the rest of a message; also the longest message read as a whole.
pub const ASSEMBLY_BYTES_MAX: usize = 16 * 1024;
/// Most segments of one direction that wait for an earlier one.
pub const AHEAD_MAX: usize = 16;
/// Longest wait for a segment that did not come before its successors, in packet time. A sender that lost it sends it
/// again after 200 ms at least (Linux's least retransmission timeout).
pub const GAP_WAIT: Duration = Duration::from_secs(1);
/// Within this time the same datagram at another interface or hook is the same datagram on its way through this host.
pub const PASSAGE: Duration = Duration::from_millis(100);
/// An answer that comes later answers nothing.
pub const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Requests of one HTTP connection that wait for their responses.
pub const HTTP_REQUESTS_WAITING_MAX: usize = 64;
/// Answers of a DNS message that are kept.
pub const DNS_ANSWERS_MAX: usize = 32;
/// Application protocols of a ClientHello that are kept.
pub const ALPN_MAX: usize = 16;
/// QUIC CRYPTO frames kept of one conversation while its ClientHello is not whole.
pub const QUIC_FRAMES_MAX: usize = 256;

/// How much is kept of unfinished matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TCP handshakes under way. 96 bytes each, allocated at the first; a flood turns them over and costs no more.
    pub handshakes: usize,
    /// TCP connections whose first bytes are being read.
    pub connections: usize,
    /// DNS transactions: for latency, and to know a message at its second interface.
    pub transactions: usize,
    /// ICMP echo requests that wait for their reply.
    pub echoes: usize,
    /// QUIC conversations.
    pub quic: usize,
    /// Bytes of all half-assembled messages together.
    pub assembly_bytes: usize,
    /// Quiet time after which a conversation is forgotten.
    pub quiet: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes: 32_768,
            connections: 16_384,
            transactions: 16_384,
            echoes: 8_192,
            quic: 4_096,
            assembly_bytes: 32 << 20,
            quiet: Duration::from_secs(120),
        }
    }
}
