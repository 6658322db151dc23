//! Why somebody or something is not trusted, in words for whoever has to mend it.

use hivewall_cluster::NodeId;

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The bytes are no such thing.
    #[error("these bytes are no {what}; they were cut, changed, or written by a newer version")]
    Unreadable {
        /// What they should have been.
        what: &'static str,
    },
    /// A signature does not hold.
    #[error("the signature of the {what} does not hold; it was changed, or is of another cluster")]
    Signature {
        /// Of what.
        what: &'static str,
    },
    /// Not valid yet.
    #[error("the passport of {id} is valid only {seconds} s from now; check the clocks of both hosts")]
    NotYet {
        /// Whose.
        id: NodeId,
        /// How long from now.
        seconds: u64,
    },
    /// No longer valid.
    #[error("the passport of {id} ended {seconds} s ago; let it join anew with an invitation, or check the clocks")]
    Ended {
        /// Whose.
        id: NodeId,
        /// How long ago.
        seconds: u64,
    },
    /// The charter takes the host out of the fleet.
    #[error("{id} was removed from the fleet")]
    Revoked {
        /// Whom.
        id: NodeId,
    },
    /// The charter takes the right to admit hosts from whoever admitted this one.
    #[error("{id} was admitted by {enroller}, which was removed from the fleet; let it join anew")]
    EnrollerRevoked {
        /// Who was admitted.
        id: NodeId,
        /// By whom.
        enroller: NodeId,
    },
    /// The other side shows no certificate where one is needed, or not those that are needed.
    #[error("the other side shows no certificate of this cluster")]
    NoCertificate,
    /// A certificate cannot be made or used.
    #[error("a certificate cannot be made or used: {reason}")]
    Certificate {
        /// As the library puts it.
        reason: String,
    },
    /// Keys and papers belong to different hosts.
    #[error("the papers are for another key; remove the fleet's directory and join anew")]
    OtherKey,
    /// Older than, or another of the same version as, what is held.
    #[error("the charter has version {offered}, and version {held} is held; sign one with version {next}", next = held.saturating_add(1))]
    CharterVersion {
        /// Version offered.
        offered: u64,
        /// Version held.
        held: u64,
    },
    /// A limit.
    #[error("the {what} is longer than {max}")]
    TooLong {
        /// What.
        what: &'static str,
        /// Most.
        max: usize,
    },
    /// No invitation at all.
    #[error(
        "this is no invitation; it begins with `hivewall-` and is one line, as `hivewall cluster invite` printed it"
    )]
    NoInvitation,
    /// Not given out here, or withdrawn.
    #[error("the invitation is not known here: it was withdrawn, or another host gave it out; ask for a new one")]
    InvitationUnknown,
    /// Used as often as it may be.
    #[error("the invitation was used already; ask for a new one (`hivewall cluster invite`)")]
    InvitationUsed,
    /// Its time is over.
    #[error("the invitation ended {seconds} s ago; ask for a new one (`hivewall cluster invite`)")]
    InvitationEnded {
        /// How long ago.
        seconds: u64,
    },
    /// The proof of its secret does not hold for this connection.
    #[error("the proof of the invitation does not hold for this connection; copy the whole line and try again")]
    InvitationProof,
    /// As many as there may be.
    #[error("there are {max} invitations already; withdraw some (`hivewall cluster invite --list`)")]
    InvitationsFull {
        /// Most.
        max: usize,
    },
}
