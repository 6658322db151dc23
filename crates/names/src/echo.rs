//! ICMP echo: requests wait for their replies.

use std::time::Duration;

use hivewall_datapath::{PeekHead, proto};
use hivewall_model::Timestamp;

use crate::conversation::{Conversation, Point, Side};
use crate::counters::{Count, Counts};
use crate::limits::ANSWER_WAIT;
use crate::table::Recent;

/// Types of request and reply: ICMP (RFC 792), ICMPv6 (RFC 4443 §4).
const ICMP_REQUEST: u16 = 8;
const ICMP_REPLY: u16 = 0;
const ICMPV6_REQUEST: u16 = 128;
const ICMPV6_REPLY: u16 = 129;

#[derive(Clone)]
struct Asked {
    side: Side,
    at: Point,
    time: Timestamp,
}

/// Echo requests of late.
pub(crate) struct Echoes {
    waiting: Recent<Conversation, Asked>,
}

impl Echoes {
    pub(crate) fn new(entries: usize) -> Self {
        Self { waiting: Recent::new(entries) }
    }

    /// Takes an echo request or reply, whose identifier and sequence number are in the head's `seq`; a reply tells the time.
    pub(crate) fn take(&mut self, time: Timestamp, head: &PeekHead, counts: &mut Counts) -> Option<Duration> {
        let (conversation, side) = Conversation::numbered(&head.key, head.seq);
        match (head.key.proto(), head.key.sport) {
            (proto::ICMP, ICMP_REQUEST) | (proto::ICMPV6, ICMPV6_REQUEST) => {
                let at = Point::of(&head.key);
                let fresh = |asked: &&mut Asked| time.since(asked.time) < ANSWER_WAIT && asked.at != at;
                if self.waiting.get(&conversation).as_ref().is_some_and(fresh) {
                    counts.add(Count::Duplicate);
                    return None;
                }
                let gone = self.waiting.insert(conversation, time, Asked { side, at, time });
                if gone.is_some_and(|gone| time.since(gone.time) < ANSWER_WAIT) {
                    counts.add(Count::TableFull);
                }
                None
            }
            (proto::ICMP, ICMP_REPLY) | (proto::ICMPV6, ICMPV6_REPLY) => {
                let asked = self.waiting.get(&conversation)?;
                // Who pings itself has one address for both ends.
                if asked.side == side && head.key.src != head.key.dst {
                    return None;
                }
                let asked = self.waiting.remove(&conversation)?;
                let took = time.since(asked.time);
                (took < ANSWER_WAIT).then_some(took)
            }
            _ => None,
        }
    }
}
