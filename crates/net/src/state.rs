//! What a node shows of itself and its fleet: one immutable picture, replaced when something changed.
//!
//! Invariant: a picture is consistent in itself; who holds one keeps it, and is never waited for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hivewall_cluster::{Ban, FleetTotal, Losses, Member, NodeId, Policy, PolicyHead};

use crate::losses::{LinkLosses, Traffic};

/// How a host is, as far as this one knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// It answers.
    Alive,
    /// It did not answer, and may still object.
    Suspect,
    /// It is given up.
    Down,
    /// It said that it goes.
    Left,
}

/// Which link a figure was measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Datagrams in a Noise session.
    Noise,
    /// A QUIC connection.
    Quic,
}

/// A link as it was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkState {
    /// Where the other host is.
    pub remote: SocketAddr,
    /// Round trip, smoothed. `None`: not measured yet.
    pub rtt: Option<Duration>,
    /// Mean difference between round trips that follow one another. Zero on a QUIC link, which does not tell it.
    pub jitter: Duration,
    /// Share of packets lost, 0 to 1: of the peer's on a Noise link, of this host's on a QUIC link.
    pub loss: f64,
    /// Time since the last packet. `None` on a QUIC link.
    pub heard: Option<Duration>,
    /// On which link.
    pub how: How,
}

/// A member, this host too.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberState {
    /// Who.
    pub id: NodeId,
    /// What it says of itself. `None`: it was heard of, but its record has not come yet.
    pub record: Option<Arc<Member>>,
    /// How it is.
    pub life: Life,
    /// Since when it is so, in milliseconds since the Unix epoch, by this host's clock.
    pub since_unix_ms: u64,
    /// The link to it, if there is one.
    pub link: Option<LinkState>,
}

impl MemberState {
    /// Where it can be reached, best first.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.record.as_ref().map(|record| record.addresses.as_slice()).unwrap_or_default()
    }
}

/// A policy that is held.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyState {
    /// The document.
    pub policy: Arc<Policy>,
    /// Whether another document claims its version.
    pub is_frozen: bool,
}

impl PolicyState {
    /// Which one it is.
    pub fn head(&self) -> &PolicyHead {
        &self.policy.head
    }
}

/// Everything.
#[derive(Clone, Debug)]
pub struct NodeState {
    /// This host's name.
    pub id: NodeId,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Everybody known, by name, this host too.
    pub members: Vec<MemberState>,
    /// Policies held, by name.
    pub policies: BTreeMap<String, PolicyState>,
    /// Bans in force.
    pub bans: Vec<Ban>,
    /// The latest total of the fleet. Only fetched while somebody watches (`Order::Watch`), or where it is made.
    pub total: Option<Arc<FleetTotal>>,
    /// How much this host doubts itself; 0 when all is well.
    pub doubt: u32,
    /// Whether others are there.
    pub joined: bool,
    /// What the core refused.
    pub losses: Losses,
    /// What the links refused.
    pub link_losses: LinkLosses,
    /// What the links carried.
    pub traffic: Traffic,
    /// Noise sessions kept.
    pub sessions: usize,
    /// QUIC connections open.
    pub connections: usize,
    /// Seconds since the Unix epoch at which this host's certificate ends.
    pub certificate_ends_unix_s: u64,
    /// Why the node has ended, if it did so by itself.
    pub failed: Option<Arc<str>>,
}

impl NodeState {
    /// Before anything is known.
    pub(crate) fn empty(id: NodeId, listen: SocketAddr) -> Self {
        Self {
            id,
            listen,
            members: Vec::new(),
            policies: BTreeMap::new(),
            bans: Vec::new(),
            total: None,
            doubt: 0,
            joined: false,
            losses: Losses::default(),
            link_losses: LinkLosses::default(),
            traffic: Traffic::default(),
            sessions: 0,
            connections: 0,
            certificate_ends_unix_s: 0,
            failed: None,
        }
    }

    /// A member by its name.
    pub fn member(&self, id: NodeId) -> Option<&MemberState> {
        self.members.binary_search_by_key(&id, |member| member.id).ok().and_then(|at| self.members.get(at))
    }

    /// How many are alive or only suspected, this host too.
    pub fn alive(&self) -> usize {
        self.members.iter().filter(|member| matches!(member.life, Life::Alive | Life::Suspect)).count()
    }
}
