//! NetFlow v5, v9 and IPFIX: bytes only. Sockets are the courier's.
//!
//! Invariant: a message is never longer than [`MESSAGE_BYTES_MAX`], and its sequence number is written when it leaves, so
//! that a message that is sent again fits the connection it is sent on.

mod fields;
mod templated;
mod uptime;
mod v5;

#[cfg(test)]
mod tests;

pub(crate) use templated::{Refresh, Templated, Version};
pub(crate) use v5::V5;

/// Longest message, bytes: with IP and UDP headers and a tunnel's it still fits an Ethernet frame, because a message in
/// fragments is lost with any one of them.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1400;
