//! Packets of the last minutes, in case that an alert rests on them.
//!
//! Two hosts that talk much take no room from others: of each pair the first packets within the span are kept. Invariant: packets and
//! bytes have a limit, and what is older than the span is gone.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use hivewall_datapath::PeekHead;
use hivewall_model::Timestamp;

use super::Holding;
use super::frame::{Ends, ends, held};

/// Packets kept in case of an alert.
pub(super) const RECENT_PACKETS_MAX: usize = 16_384;
/// Their payload, and the frames that are in no flow.
pub(super) const RECENT_BYTES_MAX: usize = 4 << 20;
/// Packets kept of any two hosts.
pub(super) const PACKETS_OF_PAIR_MAX: u16 = 64;
/// How long they are kept.
const SPAN: Duration = Duration::from_secs(300);

/// A copy of a packet's beginning.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(super) time: Timestamp,
    pub(super) head: PeekHead,
    pub(super) bytes: Box<[u8]>,
    pub(super) ends: Ends,
}

impl Packet {
    /// As much of it as may be held.
    pub(crate) fn of(time: Timestamp, head: &PeekHead, bytes: &[u8], holding: Holding) -> Self {
        let ends = ends(head, bytes);
        Self { time, head: *head, bytes: held(head, bytes, holding).into(), ends }
    }

    fn pair(&self) -> Pair {
        let [one, other] = self.ends.addresses;
        (one.min(other), one.max(other))
    }
}

type Pair = (Option<IpAddr>, Option<IpAddr>);

#[derive(Default)]
pub(super) struct Recent {
    packets: VecDeque<Packet>,
    of_pair: HashMap<Pair, u16>,
    bytes: usize,
}

impl Recent {
    pub(super) fn push(&mut self, packet: Packet) {
        while self.packets.front().is_some_and(|first| packet.time.since(first.time) > SPAN) {
            self.pop();
        }
        let count = self.of_pair.entry(packet.pair()).or_default();
        if *count >= PACKETS_OF_PAIR_MAX {
            return;
        }
        *count += 1;
        self.bytes += packet.bytes.len();
        self.packets.push_back(packet);
        while self.packets.len() > RECENT_PACKETS_MAX || self.bytes > RECENT_BYTES_MAX {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(gone) = self.packets.pop_front() else { return };
        self.bytes -= gone.bytes.len();
        let pair = gone.pair();
        if let Some(count) = self.of_pair.get_mut(&pair) {
            *count -= 1;
            if *count == 0 {
                self.of_pair.remove(&pair);
            }
        }
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Packet> {
        self.packets.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::evidence::testing::{at, head};
    use hivewall_datapath::proto;

    fn packet(second: i64, host: u32) -> Packet {
        let mut head = head(proto::UDP, 1, 2, 2048);
        head.key.src[3] = host.to_be();
        Packet::of(at(second), &head, &[7; 2048], Holding::Peek)
    }

    #[test]
    fn packets_bytes_and_pairs_have_their_limits() {
        let mut recent = Recent::default();
        for host in 0..30_000 {
            recent.push(packet(0, host));
        }
        assert!(recent.packets.len() <= RECENT_PACKETS_MAX && recent.bytes <= RECENT_BYTES_MAX);
        assert_eq!(recent.of_pair.len(), recent.packets.len());
        for _ in 0..1000 {
            recent.push(packet(0, 1 << 31));
        }
        let loud = recent.iter().filter(|packet| packet.head.key.src[3] == (1u32 << 31).to_be()).count();
        assert_eq!(loud, usize::from(PACKETS_OF_PAIR_MAX));
    }

    #[test]
    fn what_is_older_than_the_span_makes_room() {
        let mut recent = Recent::default();
        for _ in 0..100 {
            recent.push(packet(0, 1));
        }
        recent.push(packet(301, 1));
        assert_eq!((recent.packets.len(), recent.bytes), (1, super::super::PACKET_BYTES_MAX));
        assert_eq!(recent.of_pair.values().copied().collect::<Vec<_>>(), [1]);
    }
}
