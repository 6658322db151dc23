//! First bytes of conversations, on their way to whoever reads names and times from them.
//!
//! Holds the memory that kernel and user space share. Invariant: a packet that is copied was counted in its flow as well;
//! leaving copies out never changes a count.

use crate::FlowKey;

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
    pub(crate) _pad: [u8; 3],
}

const _: () = assert!(size_of::<PeekHead>() == 72);
