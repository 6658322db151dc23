//! Why the ledger refuses a request. The state is what it was.

use thiserror::Error;

use crate::sign::{Digest, SignError};

/// A refusal.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The document, its signatures or its time are not right.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Replay, or a version that was not raised.
    #[error(
        "version {version} is not above {highest}, the highest this host has taken up; raise metadata.version above {highest} and sign again"
    )]
    NotAbove {
        /// Offered.
        version: u64,
        /// Taken up.
        highest: u64,
    },
    /// Two documents with one version.
    #[error(
        "version {version} was taken up before with other content ({held}, and this is {offered}): somebody signed two documents with one version; find out who, and sign a higher one"
    )]
    Twice {
        /// The version.
        version: u64,
        /// Digest of the one that was taken up.
        held: Digest,
        /// Digest of the one that is offered.
        offered: Digest,
    },
    /// The chain does not go through what this host has.
    #[error(
        "forked: this document follows version {version} {follows}, and this host has taken up version {highest} {held}; sign it anew with `--previous` naming that one"
    )]
    Forked {
        /// The version it says to follow.
        version: u64,
        /// The digest it says to follow.
        follows: Digest,
        /// Version that was taken up.
        highest: u64,
        /// Its digest.
        held: Digest,
    },
    /// Not chained.
    #[error(
        "forked: this document follows none, and this host has taken up version {highest} {held}; sign it anew with `--previous` naming that one"
    )]
    NoPrevious {
        /// Version that was taken up.
        highest: u64,
        /// Its digest.
        held: Digest,
    },
    /// Unsigned text where signatures are needed.
    #[error("this document is not signed, and this host trusts keys; sign it with `hivewall policy sign`")]
    Unsigned,
    /// A signed document, and nobody to trust.
    #[error("this host trusts no keys yet; name them with `hivewall policy keys trust`")]
    NoKeys,
    /// Keys are there.
    #[error(
        "this host trusts keys already; let them sign the new ones and run `hivewall policy keys rotate`, or, if they are lost, `hivewall policy keys trust --replace`"
    )]
    KeysAreSet,
    /// One change at a time.
    #[error("version {version} is not settled yet: confirm or revert it first")]
    Busy {
        /// What waits.
        version: u64,
    },
    /// Nothing waits.
    #[error("nothing waits for confirmation")]
    NothingPending,
    /// Another document waits than was meant.
    #[error("{pending} waits for confirmation, and {named} was named; look at it with `hivewall policy show`")]
    OtherPending {
        /// What waits.
        pending: Digest,
        /// What was named.
        named: Digest,
    },
    /// Not in force yet.
    #[error("version {version} is not in force yet; confirm it over a new connection when it is")]
    NotInForce {
        /// What waits.
        version: u64,
    },
    /// The time is over.
    #[error(
        "too late: the time to confirm version {version} is over and it is reverted; apply it again as a higher version"
    )]
    TooLate {
        /// What waited.
        version: u64,
    },
    /// Nowhere to go back to.
    #[error("no earlier policy is kept to go back to")]
    NothingEarlier,
    /// Not kept.
    #[error("version {version} is not kept here; kept are {}", versions(kept))]
    NotKept {
        /// Asked for.
        version: u64,
        /// There are.
        kept: Vec<u64>,
    },
}

fn versions(kept: &[u64]) -> String {
    if kept.is_empty() {
        return "none".to_owned();
    }
    kept.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}
