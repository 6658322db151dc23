//! What a host saw in an epoch, small enough to be sent and made to be added up: totals, the largest, how many different.
//!
//! No time, no network: bytes and numbers. Invariant: whatever the order in which summaries are merged, each figure
//! stays within the bound that the merged summary states for it, and totals are exact.
#![forbid(unsafe_code)]

mod distinct;
mod points;
mod summary;
mod table;

pub use crate::{
    distinct::Distinct,
    points::Points,
    summary::{Class, Counts, Direction, Encoded, Flow, Service, Summary, Unreadable},
    table::{Row, Table},
};
