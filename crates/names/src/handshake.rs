//! TCP handshakes: SYN, SYN-ACK, ACK, each timed where it was first seen on its way through this host.
//!
//! Sums stay true when a packet passes several interfaces: SYN to SYN-ACK and SYN-ACK to ACK share their middle. A SYN sent
//! again is the one that was answered, which Karn's algorithm would rather not say; so does tshark's `initial_rtt`. Invariant:
//! a flood of SYNs turns a table of fixed size over and touches nothing else.

use hivewall_datapath::PeekHead;
use hivewall_model::{Learned, Timestamp};

use crate::conversation::{Conversation, Point, Side};
use crate::counters::{Count, Counts};
use crate::table::Recent;

pub(crate) const SYN: u8 = 0x02;
const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// Most that a SYN-ACK acknowledges: the SYN, and what TCP Fast Open sent with it.
const FAST_OPEN_BYTES_MAX: u32 = 0xffff;

#[derive(Clone)]
struct Opening {
    client: Side,
    client_isn: u32,
    server_isn: u32,
    asked: Timestamp,
    asked_at: Point,
    answered: Option<Timestamp>,
    answered_at: Point,
    done: bool,
}

/// Where the two byte streams of a connection begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// The end that opened it.
    pub(crate) client: Side,
    /// Sequence number of the client's first byte.
    pub(crate) client_first: u32,
    /// Sequence number of the server's first byte, once it has answered.
    pub(crate) server_first: Option<u32>,
}

/// Handshakes under way, and those of late.
pub(crate) struct Handshakes {
    openings: Recent<Conversation, Opening>,
}

impl Handshakes {
    pub(crate) fn new(entries: usize) -> Self {
        Self { openings: Recent::new(entries) }
    }

    /// Takes a SYN. True when it opens another connection than the one known.
    pub(crate) fn syn(
        &mut self,
        conversation: &Conversation,
        side: Side,
        time: Timestamp,
        head: &PeekHead,
        counts: &mut Counts,
    ) -> bool {
        let at = Point::of(&head.key);
        if let Some(opening) = self.openings.get(conversation)
            && opening.client == side
            && opening.client_isn == head.seq
        {
            // At another interface it is the same SYN, on its way; at the same one it was sent again.
            if opening.answered.is_none() && opening.asked_at == at {
                opening.asked = time;
            } else if opening.asked_at != at {
                counts.add(Count::Duplicate);
            }
            return false;
        }
        let opening = Opening {
            client: side,
            client_isn: head.seq,
            server_isn: 0,
            asked: time,
            asked_at: at,
            answered: None,
            answered_at: at,
            done: false,
        };
        if self.openings.insert(*conversation, time, opening).is_some_and(|gone| !gone.done) {
            counts.add(Count::TableFull);
        }
        true
    }

    /// Takes a SYN-ACK.
    pub(crate) fn syn_ack(&mut self, conversation: &Conversation, side: Side, time: Timestamp, head: &PeekHead) {
        let Some(opening) = self.openings.get(conversation) else { return };
        let acknowledged = head.ack.wrapping_sub(opening.client_isn);
        if opening.client == side || opening.done || !(1..=FAST_OPEN_BYTES_MAX).contains(&acknowledged) {
            return;
        }
        let at = Point::of(&head.key);
        if opening.answered.is_none() {
            opening.answered_at = at;
            opening.server_isn = head.seq;
        }
        if opening.answered_at == at && opening.server_isn == head.seq {
            opening.answered = Some(time);
        }
    }

    /// Takes any later segment; the client's first one ends the handshake.
    pub(crate) fn later(
        &mut self,
        conversation: &Conversation,
        side: Side,
        time: Timestamp,
        head: &PeekHead,
    ) -> Option<Learned> {
        if head.tcp_flags & (ACK | RST) != ACK {
            return None;
        }
        let opening = self.openings.get(conversation)?;
        let answered = opening.answered?;
        if opening.done || opening.client != side || head.ack != opening.server_isn.wrapping_add(1) {
            return None;
        }
        opening.done = true;
        let (server, client) = (answered.since(opening.asked), time.since(answered));
        Some(Learned::Handshake { server, client })
    }

    /// Where the streams of a connection begin, if its opening was seen.
    pub(crate) fn start(&mut self, conversation: &Conversation) -> Option<Start> {
        let opening = self.openings.get(conversation)?;
        Some(Start {
            client: opening.client,
            client_first: opening.client_isn.wrapping_add(1),
            server_first: opening.answered.map(|_| opening.server_isn.wrapping_add(1)),
        })
    }
}
