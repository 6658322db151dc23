//! What can go wrong while a lab is made or asked, each with what to do about it.
//!
//! It holds no state. Invariant: a lab whose creation failed has left nothing behind (dropping it removes the rest).

use std::time::Duration;

/// Errors of [`super::Lab`] and [`super::Host`].
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Namespaces cannot be made without privilege.
    #[error("network namespaces need root: run the tests with sudo, or set HIVEWALL_SKIP_ROOT_TESTS=1")]
    NotRoot,
    /// A program is not installed.
    #[error("`{tool}` was not found: install it (Debian: apt-get install iproute2 ethtool)")]
    ToolMissing {
        /// Its name.
        tool: &'static str,
    },
    /// A program refused.
    #[error("`{command}` failed: {stderr}; the names and addresses given to the lab are the first thing to check")]
    Refused {
        /// The command line.
        command: String,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// A name that cannot be part of a namespace's or interface's name.
    #[error("`{name}` cannot be a name here: use 1 to 15 letters, digits, `-` and `_`")]
    BadName {
        /// As given.
        name: String,
    },
    /// Two hosts of a lab with one name.
    #[error("the lab has a host `{name}` already: give each host its own name")]
    SameHost {
        /// As given.
        name: String,
    },
    /// The kernel could not be asked or told something.
    #[error("could not {what}: {source}; check that the namespace still exists (`ip netns list`)")]
    Io {
        /// Verb and object.
        what: String,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// No such interface in this namespace.
    #[error("host `{host}` has no interface `{interface}`: link it first")]
    NoInterface {
        /// Name of the host in its lab.
        host: String,
        /// As asked for.
        interface: String,
    },
    /// Interfaces or addresses did not become ready.
    #[error("host `{host}` is not ready after {waited:?}: {waiting_for}; look at `ip -n {namespace} addr`")]
    NotSettled {
        /// Name of the host in its lab.
        host: String,
        /// Name of its namespace.
        namespace: String,
        /// What was still missing.
        waiting_for: String,
        /// How long it was waited for.
        waited: Duration,
    },
}
