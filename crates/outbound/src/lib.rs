//! What everything that sends things out of this host needs: one HTTP request and what its answer means, when to try
//! again, and secrets that lie in files only their owner can read.
//!
//! It knows nothing of what is sent, keeps no queue and starts no thread. Invariants: redirects are not followed, proxies
//! of the environment are not used, certificates are always checked, and every failure says whether trying again can help.
#![forbid(unsafe_code)]

mod backoff;
mod failure;
mod http;
mod secret;

pub use backoff::Backoff;
pub use failure::{Failure, Reason};
pub use http::{Answer, Client, ClientError, Credentials, HttpOptions};
pub use secret::{Secret, SecretError};
