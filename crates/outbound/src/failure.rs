//! Why something could not be handed over, and whether trying again can help.

use std::time::Duration;

/// Why, by kind: a label of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No connection: nobody listens, no route, no such name, or it was cut off.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The other side's certificate was not accepted, or TLS failed otherwise.
    Tls,
    /// It asked to come back later.
    Busy,
    /// It answered that something is wrong with it.
    Faulty,
    /// It refuses this, and will refuse it again.
    Refused,
    /// It refuses the credentials.
    Unauthorized,
    /// It points elsewhere, which is not followed.
    Redirected,
    /// It speaks something else.
    Protocol,
    /// This is larger than it takes.
    TooLarge,
    /// A template could not be filled in.
    Template,
    /// A program could not be started, failed or was ended.
    Command,
    /// It was tried for as long as things are tried.
    Expired,
    /// It was kept in a form that this version does not read.
    Unreadable,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 14] = [
        Self::Unreachable,
        Self::Timeout,
        Self::Tls,
        Self::Busy,
        Self::Faulty,
        Self::Refused,
        Self::Unauthorized,
        Self::Redirected,
        Self::Protocol,
        Self::TooLarge,
        Self::Template,
        Self::Command,
        Self::Expired,
        Self::Unreadable,
    ];

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Busy => "busy",
            Self::Faulty => "faulty",
            Self::Refused => "refused",
            Self::Unauthorized => "unauthorized",
            Self::Redirected => "redirected",
            Self::Protocol => "protocol",
            Self::TooLarge => "too_large",
            Self::Template => "template",
            Self::Command => "command",
            Self::Expired => "expired",
            Self::Unreadable => "unreadable",
        }
    }
}

/// One attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why, by kind.
    pub reason: Reason,
    /// Whether the same would fail again.
    pub is_final: bool,
    /// How long the other side asked to wait.
    pub retry_after: Option<Duration>,
    /// Why, in words.
    pub text: String,
}

impl Failure {
    /// One that may heal.
    pub fn passing(reason: Reason, text: impl Into<String>) -> Self {
        Self { reason, is_final: false, retry_after: None, text: text.into() }
    }

    /// One that will not.
    pub fn lasting(reason: Reason, text: impl Into<String>) -> Self {
        Self { is_final: true, ..Self::passing(reason, text) }
    }

    /// Whether there was an answer, so that it may be this one thing that the other side cannot bear, rather than that
    /// nobody is there.
    pub fn is_answer(&self) -> bool {
        !matches!(self.reason, Reason::Unreachable | Reason::Timeout | Reason::Tls | Reason::Busy)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
