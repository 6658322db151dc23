//! Every message of the fleet: one version byte, one byte for the kind, and a body in postcard.
//!
//! Datagrams are small and may be lost; requests and answers travel on streams, one each. What a message says is
//! believed nowhere here. Invariant: whatever the bytes, decoding takes memory in proportion to their length, refuses
//! with a reason, and a decoded message is within its limits.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::digest::Digest;
use crate::facts::{Ban, Entry, Fact, POLICY_BYTES_MAX, PolicyHead};
use crate::id::{Hash, NodeId};
use crate::losses::Reason;
use crate::member::SignedMember;
use crate::zones::{DEPTH_MAX, Zone};

/// First byte of every message.
pub const PROTOCOL: u8 = 1;
/// Longest datagram, in bytes: fits IPv6's smallest link with what encryption adds.
pub const DATAGRAM_BYTES_MAX: usize = 1200;
/// Longest request or answer, in bytes.
pub const STREAM_BYTES_MAX: usize = 256 << 10;
/// Most facts of a datagram.
pub const FACTS_MAX: usize = 64;
/// Most bytes of a document in one answer.
pub const CHUNK_BYTES_MAX: usize = 224 << 10;
/// Most hosts in one answer.
pub const STATES_MAX: usize = 4096;
/// Most records asked for at once.
pub const RECORDS_MAX: usize = 256;
/// Longest encoded summary, in bytes.
pub const SUMMARY_BYTES_MAX: usize = 128 << 10;

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// A message of the membership protocol, in its own encoding.
    Swim(Vec<u8>),
    /// What the sender holds.
    Digest(Holdings),
    /// Facts that the sender has just learnt.
    Announce(Vec<Fact>),
}

/// What a host holds, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// Hosts, their lives and the revisions of their records.
    pub members: Digest,
    /// Bans: their digest as one number.
    pub bans: u64,
    /// The audit log: its digest as one number.
    pub audit: u64,
    /// Policies in force.
    pub policies: Vec<PolicyHead>,
    /// Whether this answers a digest, and so wants none back.
    pub is_answer: bool,
}

/// How a host is known: the membership protocol's knowledge, as it is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Who.
    pub id: NodeId,
    /// Which life of it: grows with each start and each return from the dead.
    pub generation: u32,
    /// Counts the suspicions it refuted in this life.
    pub incarnation: u16,
    /// Whether it is dead.
    pub down: bool,
    /// Revision of the record that is held; 0 when there is none.
    pub revision: u64,
}

/// A question on a stream of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Take me up, and tell me whom you know after this name.
    Join(Join),
    /// Whom do you know in these parts of the digest?
    Members(u64),
    /// The records of these hosts.
    Records(Vec<NodeId>),
    /// These bans and withdrawals are mine; which do you have beyond them?
    Bans(Digest),
    /// I have each author's chain up to here; what comes after?
    Audit(Vec<Chain>),
    /// A piece of a policy.
    Pull(Pull),
    /// A summary of a host or of a zone, for its leader.
    SumPut(SumPut),
    /// The latest total that you hold for the whole fleet.
    SumGet(u64),
}

/// First question to a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Go on after this name; `None` to begin.
    pub after: Option<NodeId>,
    /// The asker's own record, with the first question.
    pub record: Option<SignedMember>,
}

/// How far a chain of the audit log is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Whose.
    pub author: NodeId,
    /// Number of the last entry.
    pub number: u64,
    /// Its hash.
    pub hash: Hash,
}

/// Which piece of which policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// Which policy.
    pub head: PolicyHead,
    /// First byte of the encoded [`crate::Policy`].
    pub offset: u32,
}

/// A summary on its way up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumPut {
    /// Epoch: Unix seconds divided by ten.
    pub epoch: u64,
    /// The zone whose leader is addressed.
    pub to: Zone,
    /// What it covers: a host of that zone or a zone within it.
    pub of: Part,
    /// Hosts that are in it.
    pub heard: u32,
    /// Hosts that were known to belong to it.
    pub known: u32,
    /// The encoded payload.
    pub body: Vec<u8>,
}

/// What a summary covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// One host.
    Node(NodeId),
    /// All hosts of a zone.
    Zone(Zone),
}

/// An answer on the stream of its question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Done, nothing to say.
    Ack,
    /// Not now; ask one of these or come again.
    Busy(Vec<NodeId>),
    /// That is not here.
    Missing,
    /// Hosts, in the order of their names.
    Members(Members),
    /// Facts.
    Facts(Vec<Fact>),
    /// A piece of a policy.
    Data(Data),
    /// The total of a fleet.
    Sum(Total),
}

/// Hosts that somebody knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// How they are known.
    pub states: Vec<NodeState>,
    /// Records of some of them.
    pub records: Vec<SignedMember>,
    /// Where to go on, when there are more.
    pub next: Option<NodeId>,
}

/// A piece of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// Length of the whole.
    pub total: u32,
    /// Place of this piece.
    pub offset: u32,
    /// The piece.
    pub bytes: Vec<u8>,
}

/// A total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Its epoch.
    pub epoch: u64,
    /// Hosts in it.
    pub heard: u32,
    /// Hosts that its maker knew.
    pub known: u32,
    /// The encoded payload.
    pub body: Vec<u8>,
}

impl Datagram {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Swim(bytes) => [&[PROTOCOL, 0], bytes.as_slice()].concat(),
            Self::Digest(holdings) => framed(1, holdings),
            Self::Announce(facts) => framed(2, facts),
        }
    }

    /// Reads a datagram.
    pub fn decode(bytes: &[u8]) -> Result<Self, Reason> {
        let (kind, body) = opened(bytes, DATAGRAM_BYTES_MAX)?;
        let datagram = match kind {
            0 => Self::Swim(body.to_vec()),
            1 => Self::Digest(read(body)?),
            2 => Self::Announce(read(body)?),
            _ => return Err(Reason::UnknownKind),
        };
        let fits = match &datagram {
            Self::Swim(_) => true,
            Self::Digest(holdings) => {
                holdings.members.fits()
                    && holdings.policies.len() <= 64
                    && holdings.policies.iter().all(PolicyHead::fits)
            }
            Self::Announce(facts) => facts.len() <= FACTS_MAX && facts.iter().all(Fact::fits),
        };
        fits.then_some(datagram).ok_or(Reason::Malformed)
    }
}

impl Request {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Join(join) => framed(0, join),
            Self::Members(parts) => framed(1, parts),
            Self::Records(ids) => framed(2, ids),
            Self::Bans(digest) => framed(3, digest),
            Self::Audit(chains) => framed(4, chains),
            Self::Pull(pull) => framed(5, pull),
            Self::SumPut(put) => framed(6, put),
            Self::SumGet(epoch) => framed(7, epoch),
        }
    }

    /// Reads a question.
    pub fn decode(bytes: &[u8]) -> Result<Self, Reason> {
        let (kind, body) = opened(bytes, STREAM_BYTES_MAX)?;
        let request = match kind {
            0 => Self::Join(read(body)?),
            1 => Self::Members(read(body)?),
            2 => Self::Records(read(body)?),
            3 => Self::Bans(read(body)?),
            4 => Self::Audit(read(body)?),
            5 => Self::Pull(read(body)?),
            6 => Self::SumPut(read(body)?),
            7 => Self::SumGet(read(body)?),
            _ => return Err(Reason::UnknownKind),
        };
        let fits = match &request {
            Self::Join(join) => join.record.as_ref().is_none_or(SignedMember::fits),
            Self::Records(ids) => ids.len() <= RECORDS_MAX,
            Self::Bans(digest) => digest.fits(),
            Self::Audit(chains) => chains.len() <= STATES_MAX,
            Self::Pull(pull) => pull.head.fits() && (pull.offset as usize) < 2 * POLICY_BYTES_MAX,
            Self::SumPut(put) => put.fits(),
            Self::Members(_) | Self::SumGet(_) => true,
        };
        fits.then_some(request).ok_or(Reason::Malformed)
    }
}

impl SumPut {
    fn fits(&self) -> bool {
        let of_fits = match self.of {
            Part::Node(id) => self.to.holds(id) && self.heard == 1,
            Part::Zone(zone) => zone.depth <= DEPTH_MAX && self.to.depth < zone.depth && self.to.holds_zone(zone),
        };
        self.to.depth <= DEPTH_MAX && of_fits && self.heard <= self.known && self.body.len() <= SUMMARY_BYTES_MAX
    }
}

impl Response {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ack => vec![PROTOCOL, 0],
            Self::Busy(others) => framed(1, others),
            Self::Missing => vec![PROTOCOL, 2],
            Self::Members(members) => framed(3, members),
            Self::Facts(facts) => framed(4, facts),
            Self::Data(data) => framed(5, data),
            Self::Sum(total) => framed(6, total),
        }
    }

    /// Reads an answer.
    pub fn decode(bytes: &[u8]) -> Result<Self, Reason> {
        let (kind, body) = opened(bytes, STREAM_BYTES_MAX)?;
        let response = match kind {
            0 => Self::Ack,
            1 => Self::Busy(read(body)?),
            2 => Self::Missing,
            3 => Self::Members(read(body)?),
            4 => Self::Facts(read(body)?),
            5 => Self::Data(read(body)?),
            6 => Self::Sum(read(body)?),
            _ => return Err(Reason::UnknownKind),
        };
        let fits = match &response {
            Self::Ack | Self::Missing => true,
            Self::Busy(others) => others.len() <= 16,
            Self::Members(members) => {
                members.states.len() <= STATES_MAX
                    && members.records.len() <= STATES_MAX
                    && members.records.iter().all(SignedMember::fits)
            }
            Self::Facts(facts) => facts.iter().all(Fact::fits),
            Self::Data(data) => data.bytes.len() <= CHUNK_BYTES_MAX && data.total as usize <= 2 * POLICY_BYTES_MAX,
            Self::Sum(total) => total.heard <= total.known && total.body.len() <= SUMMARY_BYTES_MAX,
        };
        fits.then_some(response).ok_or(Reason::Malformed)
    }
}

/// As many facts as fit an answer, beginning with the first.
pub(crate) fn bounded_facts(facts: impl Iterator<Item = Fact>) -> Vec<Fact> {
    let mut room = STREAM_BYTES_MAX - 1024;
    let mut kept = Vec::new();
    for fact in facts {
        let cost = fact_bytes(&fact);
        if cost > room {
            break;
        }
        room -= cost;
        kept.push(fact);
    }
    kept
}

/// At most how many bytes a fact takes in a message.
pub(crate) fn fact_bytes(fact: &Fact) -> usize {
    match fact {
        Fact::Policy(head) => head.name.len() + 48,
        Fact::Member(record) => record.body.len() + record.signature.len() + 8,
        Fact::Ban(Ban { body, signature, .. }) => body.len() + signature.len() + 64,
        Fact::Entry(Entry { body, signature, .. }) => body.len() + signature.len() + 96,
    }
}

/// Encodes any value of this crate. Values of this crate always can be.
pub(crate) fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap_or_default()
}

/// Reads a value that takes all of the bytes.
pub(crate) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(value)
}

fn framed<T: Serialize>(kind: u8, body: &T) -> Vec<u8> {
    postcard::to_extend(body, vec![PROTOCOL, kind]).unwrap_or_default()
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Reason> {
    from_bytes(body).ok_or(Reason::Malformed)
}

fn opened(bytes: &[u8], bytes_max: usize) -> Result<(u8, &[u8]), Reason> {
    if bytes.len() > bytes_max {
        return Err(Reason::TooLong);
    }
    match bytes {
        [PROTOCOL, kind, body @ ..] => Ok((*kind, body)),
        [_, _, ..] => Err(Reason::Version),
        _ => Err(Reason::Malformed),
    }
}
