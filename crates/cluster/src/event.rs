//! What goes into the core and what comes out: the whole of its contact with the world.
//!
//! The program that embeds the core (the *program* below) owns sockets, clocks, disks and keys. For each event it calls
//! [`Core::step`](crate::Core::step) and carries out the effects **in their order**: a [`Effect::Persist`] is durable
//! before any later effect of the same step is carried out, so that nothing is promised that a crash could take back.

use std::net::SocketAddr;

use crate::aggregate::FleetTotal;
use crate::facts::{Ban, Entry, Policy, PolicyHead};
use crate::id::NodeId;
use crate::member::SignedMember;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The time of the last [`Effect::WakeAt`] has come. Too early or too often does no harm.
    Wake,
    /// A datagram from a host that has proved its name.
    Datagram {
        /// Who sent it.
        from: NodeId,
        /// What it says.
        bytes: Vec<u8>,
    },
    /// A question on a stream, from a host that has proved its name.
    Request {
        /// Who asks.
        from: NodeId,
        /// The program's number for the stream, to be given back with [`Effect::Respond`].
        token: u64,
        /// What it says.
        bytes: Vec<u8>,
    },
    /// The answer to [`Effect::Request`], or `None` when there will be none.
    Response {
        /// The number that the question had.
        token: u64,
        /// What it says.
        bytes: Option<Vec<u8>>,
    },
    /// An order of this host's own operator or program.
    Order(Order),
}

/// What this host's own program wants.
#[derive(Clone, Debug)]
pub enum Order {
    /// Join through any of these; the first that answers will do. Asked again until one does.
    Join(Vec<Peer>),
    /// Tell the others that this host goes. Nothing is sent after that.
    Leave,
    /// This host's own record, signed, from now on.
    Describe(SignedMember),
    /// A signed policy for all.
    Publish(Policy),
    /// A signed ban, or a signed withdrawal, for all.
    Ban(Ban),
    /// The next entry of this host's own chain, signed.
    Append(Entry),
    /// What this host does about a policy.
    Report(PolicyHead, Stand),
    /// This host's own summary of an epoch that has ended (`hivewall_sketch::Summary::encode`).
    Contribute {
        /// Unix seconds divided by ten.
        epoch: u64,
        /// The encoded summary.
        summary: Vec<u8>,
    },
    /// Whether somebody looks at the total of the fleet: it is fetched each epoch while so.
    Watch(bool),
    /// Forget a host for good; the others do the same when told. It may join again.
    Forget(NodeId),
}

/// What a host does about a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stand {
    /// It has it.
    Have,
    /// It enforces it.
    Enforced,
    /// It refused it, and why.
    Refused(String),
}

/// Where something is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// A member: [`Core::address_of`](crate::Core::address_of) has its addresses.
    Node(NodeId),
    /// A host whose name is not known yet.
    Address(SocketAddr),
}

/// Something to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a datagram. It may get lost.
    Datagram {
        /// To whom.
        to: NodeId,
        /// At most [`crate::wire::DATAGRAM_BYTES_MAX`] bytes.
        bytes: Vec<u8>,
    },
    /// Ask on a stream; exactly one [`Event::Response`] with this token should follow. The core stops waiting by itself.
    Request {
        /// Whom.
        to: Peer,
        /// The core's number for the question.
        token: u64,
        /// At most [`crate::wire::STREAM_BYTES_MAX`] bytes.
        bytes: Vec<u8>,
    },
    /// Answer on a stream.
    Respond {
        /// The program's number of the stream.
        token: u64,
        /// At most [`crate::wire::STREAM_BYTES_MAX`] bytes.
        bytes: Vec<u8>,
    },
    /// Call again with [`Event::Wake`] at this time ([`Now::ms`](crate::Now::ms)), which replaces the time before it.
    WakeAt(u64),
    /// Write this down, durably, before going on.
    Persist(Persist),
    /// Something that the program or its operator may want to know.
    Changed(Changed),
}

/// What has to survive a crash. Given back to [`Saved`](crate::Saved) at the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Persist {
    /// The life of this host that has begun. The next start has to be later.
    Generation(u32),
    /// A policy was accepted. Its version is the high-water mark of its name.
    Policy(Policy),
    /// A ban or withdrawal was accepted.
    Ban(Ban),
    /// An entry was accepted.
    Entry(Entry),
    /// A record was accepted. To lose it costs a look-up at the next start, no more.
    Member(SignedMember),
}

/// A notice.
#[derive(Clone, Debug, PartialEq)]
pub enum Changed {
    /// A host is there.
    Up(NodeId),
    /// A host is gone.
    Down(NodeId),
    /// A host says something new of itself.
    Record(NodeId),
    /// This host is a member, or is alone again.
    Joined(bool),
    /// There is a newer policy: enforce it and report.
    Policy(PolicyHead),
    /// A ban is in force, until its time.
    Banned(NodeId, u64),
    /// A ban is over before its time.
    Unbanned(NodeId, u64),
    /// The audit log of this author has grown to this number.
    Audit(NodeId, u64),
    /// There is a newer total of the fleet.
    Total(Box<FleetTotal>),
    /// An operator has to look.
    Alarm(Alarm),
}

/// What an operator has to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Two documents with one name and version, both validly signed. Neither replaces the other; a newer version ends it.
    TwoPolicies(PolicyHead, PolicyHead),
    /// Two entries with one number in the chain of one author, both validly signed.
    TwoEntries(NodeId, u64),
    /// An issuer has more bans than it may have.
    TooManyBans(NodeId),
    /// This host was away for so many milliseconds (suspended, starved, or its clock jumped): it accuses nobody for a while.
    Away(u64),
    /// A total came with more than its members can have contributed, through this host.
    Implausible(NodeId),
}
