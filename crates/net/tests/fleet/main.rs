//! Whole nodes with real sockets on loopback: joining, policies, deaths, restarts, adversaries.
//!
//! Nothing here sleeps: each test waits for a picture of a node, with a limit.

mod bed;
mod life;
