//! What is on each dashboard, in words and expressions. How it looks is `json`'s.
//!
//! Invariant: an expression sums away what its legend does not name, and rates are over `$__rate_interval`.

mod agent;
mod fleet;
mod flows;
mod host;
mod names;
mod policy;
mod protocols;
mod security;
mod states;

use super::Board;

/// Every dashboard, in the order in which one would read them.
pub(super) const ALL: &[Board] = &[
    fleet::BOARD,
    host::BOARD,
    flows::BOARD,
    protocols::BOARD,
    names::BOARD,
    states::BOARD,
    security::BOARD,
    policy::BOARD,
    agent::BOARD,
];
