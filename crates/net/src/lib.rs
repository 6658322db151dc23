//! The links of a fleet and the driver of its core: QUIC for questions, Noise for datagrams, both on one UDP port.
//!
//! [`Node::start`] gives a [`Handle`]; a [`Program`] keeps what has to survive and answers what members ask. No files and
//! no configuration. Invariant: what a peer is believed to be, its certificate or passport has proved to the roster.
#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod bench;
mod clock;
mod command;
mod discover;
mod driver;
mod enrol;
mod enroller;
mod error;
mod frames;
mod limits;
mod losses;
mod membership;
mod node;
mod noise;
mod pool;
mod port;
mod program;
mod state;

pub use crate::{
    discover::{Announcement, DiscoverError, Hint, announce, discover},
    enrol::{EnrolError, Enrolled, enrol},
    error::NetError,
    frames::{ANSWER_BYTES_MAX, QUESTION_BYTES_MAX},
    limits::Limits,
    losses::{Carried, LinkLosses, LinkReason, Traffic},
    node::{Handle, Node, Settings},
    program::{Answer, AskError, Description, Program},
    state::{How, Life, LinkState, MemberState, NodeState, PolicyState},
};
