//! What can go wrong with the system's packet filter programs, each with what to do about it.
//!
//! Invariant: after any of these the kernel has either all of a change or none of it.

use std::time::Duration;

/// Errors of this module.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// A program is not installed.
    #[error("`{tool}` was not found: install {package}, or choose another backend")]
    Missing {
        /// Its name.
        tool: &'static str,
        /// What brings it.
        package: &'static str,
    },
    /// A program could not be started or talked to.
    #[error("could not run `{tool}`: {source}")]
    Io {
        /// Its name.
        tool: &'static str,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// A program refused; nothing was changed.
    #[error("`{tool}` refused, and nothing was changed: {stderr}")]
    Refused {
        /// Its name.
        tool: &'static str,
        /// What it wrote to standard error, shortened.
        stderr: String,
    },
    /// The caller may not look at or change packet filters.
    #[error("`{tool}` needs CAP_NET_ADMIN: run as root")]
    Privilege {
        /// Its name.
        tool: &'static str,
    },
    /// A program did not end.
    #[error(
        "`{tool}` did not end within {limit:?} and was stopped: see whether another program holds the packet filter's lock"
    )]
    Late {
        /// Its name.
        tool: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// A program printed something else than expected.
    #[error("what `{tool}` printed cannot be read: {source}; is it a version that is not known here?")]
    Json {
        /// Its name.
        tool: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}
