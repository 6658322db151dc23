//! Connections: who began, what was decided then at either hook, and whether it still lives. Replies follow it.
//!
//! An entry is no flow: it counts nothing. It is visited on a flow's first packet, on SYN, FIN, RST and the first ACK,
//! after a change of the policy, and about once a second while packets pass. Invariant: while an agent looks after the
//! table, nothing that lives goes from it; what finds no room in it is not remembered, and counted ([`Room`]). A packet
//! without an entry is judged as if it began a flow.

use super::Verdict;
use crate::watch::is_echo;
use crate::{Direction, FlowKey, proto};

/// Both directions of a conversation, the lower end first.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct ConnectionKey {
    /// Address words of the lower end.
    pub low: [u32; 4],
    /// Address words of the other end.
    pub high: [u32; 4],
    /// Port of the lower end in the upper half, of the other in the lower; 0 for ICMP echo.
    pub ports: u32,
    /// Protocol number.
    pub proto: u32,
}

const _: () = assert!(size_of::<ConnectionKey>() == 40);

/// What is known of a conversation.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Connection {
    /// [`Verdict`] on the initiator's direction at the ingress hook, then at the egress hook; 0 where it did not pass.
    pub verdicts: [u32; 2],
    /// Seconds of the datapath's clock at the latest visit.
    pub last: u32,
    /// Bits: see the constants; the TCP flags of the first packet, or its ICMP type, in bits 16–23.
    pub flags: u32,
}

const _: () = assert!(size_of::<Connection>() == 16);

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;

/// Seconds without a visit after which an entry no longer speaks for its flow, as netfilter's defaults have them
/// (nf_conntrack_proto_tcp.c, nf_conntrack_proto_udp.c, nf_conntrack_proto_generic.c).
const TCP_ESTABLISHED_S: u32 = 432_000;
const TCP_HANDSHAKE_S: u32 = 60;
const TCP_UNANSWERED_S: u32 = 120;
const TCP_CLOSING_S: u32 = 120;
const UDP_ANSWERED_S: u32 = 180;
const UNANSWERED_S: u32 = 60;
const OTHER_S: u32 = 600;

impl Connection {
    /// The initiator is the key's other end, not the lower one.
    pub const FROM_HIGH: u32 = 1;
    /// A packet of the other direction was seen.
    pub const ANSWERED: u32 = 2;
    /// FIN of the initiator.
    pub const FIN_INITIATOR: u32 = 4;
    /// FIN of the other side.
    pub const FIN_RESPONDER: u32 = 8;
    /// RST of either side.
    pub const RESET_SEEN: u32 = 16;
    /// The initiator went on after an answer: what a flood of SYNs with forged sources never does.
    pub const ESTABLISHED: u32 = 32;
    /// The verdict at the ingress hook stays when the policy changes; the next bit: at the egress hook.
    pub const KEEP: u32 = 1 << 8;
    /// The flow is reset when a new policy refuses it at the ingress hook; the next bit: at the egress hook.
    pub const RESET: u32 = 1 << 10;

    /// A conversation that was there before the first policy: it stays until it ends.
    pub fn adopted(verdict: Verdict, from_high: bool, now_s: u32) -> Self {
        let side = if from_high { Self::FROM_HIGH } else { 0 };
        let state = Self::ANSWERED | Self::ESTABLISHED;
        Self { verdicts: [verdict.0; 2], last: now_s, flags: side | state | Self::KEEP | Self::KEEP << 1 }
    }

    /// TCP flags of its first packet, or its ICMP type.
    #[inline(always)]
    pub fn first_byte(&self) -> u8 {
        (self.flags >> 16) as u8
    }

    /// Whether it still speaks for its packets.
    #[inline(always)]
    pub fn is_live(&self, number: u8, now_s: u32) -> bool {
        let answered = self.flags & Self::ANSWERED != 0;
        let limit = match number {
            proto::TCP if self.is_closing() => TCP_CLOSING_S,
            proto::TCP if self.flags & Self::ESTABLISHED != 0 => TCP_ESTABLISHED_S,
            proto::TCP if answered => TCP_HANDSHAKE_S,
            proto::TCP => TCP_UNANSWERED_S,
            proto::UDP | proto::UDPLITE if answered => UDP_ANSWERED_S,
            proto::UDP | proto::UDPLITE | proto::ICMP | proto::ICMPV6 => UNANSWERED_S,
            _ => OTHER_S,
        };
        now_s.wrapping_sub(self.last) <= limit
    }

    /// Whether it was reset, or both sides said FIN.
    #[inline(always)]
    pub fn is_closing(&self) -> bool {
        let both = Self::FIN_INITIATOR | Self::FIN_RESPONDER;
        self.flags & Self::RESET_SEEN != 0 || self.flags & both == both
    }

    /// Notes a packet.
    #[inline(always)]
    pub fn visit(&mut self, is_initiator: bool, tcp_flags: u8, now_s: u32) {
        self.last = now_s;
        if !is_initiator {
            self.flags |= Self::ANSWERED;
        } else if self.flags & Self::ANSWERED != 0 && tcp_flags & SYN == 0 {
            self.flags |= Self::ESTABLISHED;
        }
        if tcp_flags & FIN != 0 {
            self.flags |= if is_initiator { Self::FIN_INITIATOR } else { Self::FIN_RESPONDER };
        }
        if tcp_flags & RST != 0 {
            self.flags |= Self::RESET_SEEN;
        }
    }

    /// The verdict on the initiator's direction at a hook.
    #[inline(always)]
    pub fn verdict(&self, hook: Direction) -> Verdict {
        let [ingress, egress] = self.verdicts;
        Verdict(if matches!(hook, Direction::Ingress) { ingress } else { egress })
    }

    /// Replaces it.
    #[inline(always)]
    pub fn set_verdict(&mut self, hook: Direction, verdict: Verdict) {
        let [ingress, egress] = &mut self.verdicts;
        if matches!(hook, Direction::Ingress) {
            *ingress = verdict.0;
        } else {
            *egress = verdict.0;
        }
    }
}

/// How many conversations one CPU entered into the table, and how many more it may.
///
/// Whoever looks after the table takes out what no longer lives and grants room, a few seconds at a time. When nobody does
/// any more, the table itself gives up what was quiet longest: a host must not run out of room because its agent died.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Room {
    /// Conversations entered since the table was made.
    pub entered: u64,
    /// Conversations that were not, for want of room.
    pub refused: u64,
    /// `entered` up to which there is room.
    pub granted: u64,
    /// Second of the datapath's clock from which on that no longer counts.
    pub until: u64,
    /// 0.
    pub pad: [u64; 4],
}

const _: () = assert!(size_of::<Room>() == 64);

impl Room {
    /// Whether one more may be entered.
    #[inline(always)]
    pub fn has_some(&self, now_s: u32) -> bool {
        u64::from(now_s) >= self.until || self.entered < self.granted
    }
}

/// Bit of a flag that there is for either hook.
#[inline(always)]
pub(super) fn at_hook(flag: u32, hook: Direction) -> u32 {
    if matches!(hook, Direction::Ingress) { flag } else { flag << 1 }
}

#[inline(always)]
fn is_lower(a: &[u32; 4], a_port: u16, b: &[u32; 4], b_port: u16) -> bool {
    // Written out: a comparison of arrays would become a call in the kernel. Any total order does.
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (a, b);
    if a0 != b0 {
        return a0 < b0;
    }
    if a1 != b1 {
        return a1 < b1;
    }
    if a2 != b2 {
        return a2 < b2;
    }
    if a3 != b3 {
        return a3 < b3;
    }
    a_port < b_port
}

impl ConnectionKey {
    /// Becomes the conversation of these ends; tells whether the source is its higher end.
    #[inline(always)]
    pub fn set_ends(
        &mut self,
        source: [u32; 4],
        source_port: u16,
        destination: [u32; 4],
        destination_port: u16,
        proto: u8,
    ) -> bool {
        let from_high = is_lower(&destination, destination_port, &source, source_port);
        self.proto = u32::from(proto);
        if from_high {
            (self.low, self.high) = (destination, source);
            self.ports = u32::from(destination_port) << 16 | u32::from(source_port);
        } else {
            (self.low, self.high) = (source, destination);
            self.ports = u32::from(source_port) << 16 | u32::from(destination_port);
        }
        from_high
    }

    /// Becomes the conversation that a packet belongs to; tells whether its source is the higher end.
    #[inline(always)]
    pub fn set(&mut self, key: &FlowKey) -> bool {
        // Request and reply of an echo differ in their type, which stands where ports do.
        // Nothing answers the other types.
        let (source_port, destination_port) = match key.proto() {
            proto::ICMP | proto::ICMPV6 if is_echo(key) => (0, 0),
            proto::ICMP | proto::ICMPV6 => (key.sport << 8 | key.dport & 0xff, u16::MAX),
            _ => (key.sport, key.dport),
        };
        self.set_ends(key.src, source_port, key.dst, destination_port, key.proto())
    }

    /// The conversation that a packet belongs to, and whether its source is the higher end.
    pub fn of(key: &FlowKey) -> (Self, bool) {
        let mut conversation = Self::default();
        let from_high = conversation.set(key);
        (conversation, from_high)
    }
}
