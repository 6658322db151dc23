//! Whole nodes with real sockets on loopback: joining, policies, deaths, restarts, adversaries.
//!
//! Nothing here sleeps: each test waits for a picture of a node, with a limit.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod adversary;
mod bed;
mod life;
mod papers;
