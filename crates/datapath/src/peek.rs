//! First bytes of conversations, on their way to whoever reads names and times from them.
//!
//! Holds the memory that kernel and user space share. Invariant: a packet that is copied was counted in its flow as well;
//! leaving copies out never changes a count.

use crate::parse::{Frame, Link, Parsed};
use crate::watch::is_echo;
use crate::{Bytes, FlowKey, Opening, Reason, proto};

/// Most payload bytes of one packet that are copied.
pub const PEEK_BYTES_MAX: usize = 2048;

/// What is known of a packet whose payload was copied; the copied bytes follow it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PeekHead {
    /// When it was seen: nanoseconds of CLOCK_MONOTONIC in the kernel, since the Unix epoch in user space.
    pub time_ns: u64,
    /// The packet's one-way flow.
    pub key: FlowKey,
    /// TCP sequence number; for ICMP echo, identifier in the upper half and sequence number in the lower.
    pub seq: u32,
    /// TCP acknowledgement number.
    pub ack: u32,
    /// Payload bytes on the wire, over all segments of the buffer.
    pub payload: u32,
    /// Payload bytes that follow; at most [`PEEK_BYTES_MAX`].
    pub captured: u16,
    /// TCP window as sent, not scaled.
    pub window: u16,
    /// TCP flags.
    pub tcp_flags: u8,
    /// 0 for the payload of a flow. Else the frame is in no flow, the key holds its interface and direction alone, `payload`
    /// is the frame's length, and what follows is the frame from its first byte.
    pub is_stray: u8,
    /// 1 where such a frame begins with its IP header, 0 where with Ethernet.
    pub is_bare: u8,
    pub(crate) _pad: u8,
}

const _: () = assert!(size_of::<PeekHead>() == 72);

/// Most bytes that are copied of a frame that is in no flow: link header, IP header and a transport header.
pub const STRAY_BYTES_MAX: usize = 128;

/// Payload bytes of an ICMP echo that are copied.
const ECHO_BYTES_MAX: usize = 8;
/// Identifier and sequence number of an ICMP echo, behind the four bytes that all ICMP messages share.
const ECHO_HEADER: usize = 4;

impl PeekHead {
    /// The head of a packet whose payload begins with `opening`, without a time, and the offset of the bytes that may
    /// follow: `captured` is what the datagram has of them.
    #[inline(always)]
    pub(crate) fn of<B: Bytes>(bytes: &B, parsed: &Parsed, opening: Opening) -> (Self, usize) {
        let key = parsed.packet.key;
        let mut head = Self { key, tcp_flags: parsed.packet.tcp_flags, ..Self::default() };
        let (mut at, mut most) = (parsed.payload_at, PEEK_BYTES_MAX);
        if key.proto() == proto::TCP {
            // RFC 9293 §3.1: sequence and acknowledgement number from byte 4, window at byte 14.
            if let Some([a, b, c, d, e, f, g, h, _, _, i, j]) = bytes.read::<12>(parsed.transport_at + 4) {
                head.seq = u32::from_be_bytes([a, b, c, d]);
                head.ack = u32::from_be_bytes([e, f, g, h]);
                head.window = u16::from_be_bytes([i, j]);
            }
        } else if is_echo(&key) {
            head.seq = opening.word();
            at += ECHO_HEADER;
            most = ECHO_BYTES_MAX;
        }
        let payload = parsed.end.saturating_sub(at);
        head.payload = payload as u32;
        head.captured = payload.min(most) as u16;
        (head, at)
    }

    /// The head of a frame that is in no flow, without a time; `captured` bytes of it follow.
    #[inline(always)]
    pub fn stray(frame: &Frame, captured: usize) -> Self {
        let mut key = FlowKey::default();
        key.place_at(frame.ifindex, frame.direction);
        Self {
            key,
            payload: frame.len,
            captured: captured.min(STRAY_BYTES_MAX) as u16,
            is_stray: 1,
            is_bare: u8::from(matches!(frame.link, Link::Ip)),
            ..Self::default()
        }
    }
}

impl Reason {
    /// Whether a frame that is counted so is copied for whoever looks for who sends such frames.
    #[inline(always)]
    pub fn is_stray(self) -> bool {
        self.is_refused() || self as u32 == Reason::Arp as u32
    }
}
