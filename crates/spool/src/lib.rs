//! A bounded queue on disk that hands everything over at least once: what leaves this host by a network waits here until
//! the other side has it, also while that one is down and while this process is killed or restarted.
//!
//! It knows nothing of what the items mean and sends nothing. Invariants: an item leaves the queue because it was
//! acknowledged, or under a counter of [`Counters`] that says why it was lost; the oldest gives way to the newest; numbers
//! of items only rise, over restarts as well, so that a number can serve receivers to tell doubles.
//!
//! Items become durable in batches: with [`Spool::sync`], which the owner calls at least once a second, or by themselves
//! when [`SYNC_ITEMS`] of them or [`SYNC_BYTES`] wait, or when one has waited for [`SYNC_AFTER`] and another call is made.
//! What is acknowledged before that never reaches the disk.
#![forbid(unsafe_code)]

mod counters;
mod error;
mod file;
mod spool;

pub use counters::Counters;
pub use error::SpoolError;
pub use spool::{Limits, MEMORY_BYTES_MAX, SYNC_AFTER, SYNC_BYTES, SYNC_ITEMS, Spool};
