//! Many real cores in one process, in virtual time, over a network that loses, delays, doubles and parts.
//!
//! Messages are really encoded and counted; only links, disks and clocks are modelled. Invariant: a run is a function of
//! its scenario, its number of hosts and its seed, so that a failure that prints its seed can be seen again.
#![forbid(unsafe_code)]

mod chaos;
mod disk;
mod keys;
mod network;
mod scenario;
mod traffic;
mod world;

pub use crate::{
    chaos::chaos,
    network::Network,
    scenario::{Aim, Line, Outcome, SCENARIOS, Scenario, run},
    traffic::{Share, Traffic},
    world::World,
};
