//! The core of a fleet: who is alive, what all have to know, and what all saw together. No sockets, clocks, threads,
//! files or keys; [`Core::step`] takes a time and an [`Event`] and says what to do.
//!
//! A program that embeds it carries [`Effect`]s out in their order and proves the names of peers before it hands over
//! what they sent. Invariant: two cores that are given the same seed and the same steps do the same.
#![forbid(unsafe_code)]

pub mod aggregate;
mod audit;
mod bans;
mod core;
mod digest;
mod event;
mod facts;
mod id;
mod losses;
mod member;
mod policies;
mod rumors;
mod swim;
mod timers;
pub mod wire;
pub mod zones;

pub use crate::{
    aggregate::{FleetTotal, Standing},
    bans::BanLimits,
    core::{Core, Saved, Settings},
    digest::Digest,
    event::{Alarm, Changed, Effect, Event, Order, Peer, Persist, Stand},
    facts::{
        BAN_BYTES_MAX, Ban, Claim, ENTRY_BYTES_MAX, Entry, Fact, POLICY_BYTES_MAX, POLICY_NAME_BYTES_MAX, Policy,
        PolicyHead, Verifier,
    },
    id::{ClusterId, Hash, NodeId, Now},
    losses::{Losses, Reason},
    member::{
        ADDRESSES_MAX, Flags, LABEL_BYTES_MAX, LABELS_MAX, Member, NAME_BYTES_MAX, RECORD_BYTES_MAX,
        SIGNATURE_BYTES_MAX, SignedMember,
    },
};
