//! What hosts sent, by what it was for.
//!
//! Invariant: every message that was sent is counted once, at its sender, whether it arrived or not.

use std::ops::AddAssign;

use crate::network::{Network, PACKET_OVERHEAD};

/// Bytes and messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Messages.
    pub messages: u64,
    /// Bytes of the messages themselves.
    pub bytes: u64,
    /// Bytes with the headers of packets, acknowledgements of streams included.
    pub wire_bytes: u64,
}

impl AddAssign for Share {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.wire_bytes += other.wire_bytes;
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Who is alive: probes, gossip, digests, records, joining.
    pub membership: Share,
    /// Summaries and totals.
    pub summaries: Share,
    /// Announcements, policies, bans, the audit log.
    pub facts: Share,
}

/// What a message is, to be counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sort {
    Datagram,
    Request,
    Response,
}

impl Traffic {
    pub(crate) fn count(&mut self, sort: Sort, bytes: &[u8]) {
        let kind = bytes.get(1).copied().unwrap_or(0);
        let share = match (sort, kind) {
            (Sort::Datagram, 0 | 1) | (Sort::Request, 0..=2) | (Sort::Response, 3) => &mut self.membership,
            // An acknowledgement is one of a summary: nothing else is answered by a mere yes.
            (Sort::Request, 6 | 7) | (Sort::Response, 0 | 6) => &mut self.summaries,
            _ => &mut self.facts,
        };
        let packets = Network::packets(bytes.len());
        // A stream is acknowledged once for two packets, by the other side; it is counted here all the same.
        let acknowledged = if matches!(sort, Sort::Datagram) { 0 } else { packets.div_ceil(2) };
        let bytes = bytes.len() as u64;
        *share += Share { messages: 1, bytes, wire_bytes: bytes + (packets + acknowledged) * PACKET_OVERHEAD };
    }
}
