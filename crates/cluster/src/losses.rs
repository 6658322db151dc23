//! What was refused, given up or not sent, by reason.
//!
//! Invariant: nothing that arrives is ignored without one of these numbers growing.

/// Why something that arrived or was to be sent came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// Longer than a datagram or a stream may be.
    TooLong,
    /// Of a version of the protocol that this program does not speak.
    Version,
    /// Of a kind that this program does not know: a newer program sent it.
    UnknownKind,
    /// Cannot be read, or breaks a limit.
    Malformed,
    /// Speaks in the name of somebody other than who sent it.
    NotSender,
    /// The signature does not hold.
    Signature,
    /// Older than what was already accepted.
    Rollback,
    /// Two documents with one version, or two entries with one number.
    Conflict,
    /// The issuer has as many bans as it may have.
    Quota,
    /// Its time is over, or its life is longer than allowed.
    Expired,
    /// A summary of an epoch that is neither this one nor the last.
    Epoch,
    /// A limit on memory was reached.
    Full,
    /// A peer that was asked did not answer in time.
    Unanswered,
    /// An answer that nobody waits for.
    Unasked,
    /// A peer asked for more than this host answers at a time.
    Busy,
    /// What was pulled is not what was announced.
    WrongBody,
    /// The membership protocol refused a message.
    Swim,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::TooLong,
        Self::Version,
        Self::UnknownKind,
        Self::Malformed,
        Self::NotSender,
        Self::Signature,
        Self::Rollback,
        Self::Conflict,
        Self::Quota,
        Self::Expired,
        Self::Epoch,
        Self::Full,
        Self::Unanswered,
        Self::Unasked,
        Self::Busy,
        Self::WrongBody,
        Self::Swim,
    ];

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Version => "version",
            Self::UnknownKind => "unknown_kind",
            Self::Malformed => "malformed",
            Self::NotSender => "not_sender",
            Self::Signature => "signature",
            Self::Rollback => "rollback",
            Self::Conflict => "conflict",
            Self::Quota => "quota",
            Self::Expired => "expired",
            Self::Epoch => "epoch",
            Self::Full => "full",
            Self::Unanswered => "unanswered",
            Self::Unasked => "unasked",
            Self::Busy => "busy",
            Self::WrongBody => "wrong_body",
            Self::Swim => "swim",
        }
    }
}

/// One counter for each reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses([u64; Reason::ALL.len()]);

impl Losses {
    /// Counts one.
    pub(crate) fn count(&mut self, reason: Reason) {
        if let Some(counter) = self.0.get_mut(reason as usize) {
            *counter += 1;
        }
    }

    /// How many so far.
    pub fn get(&self, reason: Reason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// Reasons that happened, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.into_iter().map(|reason| (reason, self.get(reason))).filter(|(_, number)| *number > 0)
    }
}
