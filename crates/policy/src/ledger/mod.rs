//! What a host holds to be its policy: whom it trusts, the highest version it ever took up, what is in force, what waits
//! for confirmation, what it can go back to, and who changed what.
//!
//! [`Ledger::step`] is `(state, now, request) -> (state, effects)`: no file, no clock, no kernel. The caller carries the
//! effects out in their order; it may be stopped after any of them and then begins with [`Request::Start`]. A refusal
//! changes nothing.
//!
//! Invariants: the version taken up by signature only rises, whatever is reverted, rolled back or expires; once a policy
//! was confirmed there is always one to be in force; an expired policy stays in force; unsigned text is not taken up
//! once keys are set.

mod error;
mod judge;
mod state;
mod step;
mod trail;

use crate::sign::{Digest, SignError, Signed, is_signed};

pub use error::LedgerError;
pub use state::{Confirmation, Held, KEPT_MAX, Ledger, Mark, Pending};
pub use step::{Alert, Effect, Moment, Outcome, Request, Step};
pub use trail::{Cause, Entry, RECENT_MAX, TrailError, WHO_BYTES_MAX, What, check_trail};

/// The digest under which a file is kept: that of its statement when it is signed, of its bytes when it is not.
pub fn identity(bytes: &[u8]) -> Result<Digest, SignError> {
    if is_signed(bytes) { Ok(Signed::parse(bytes)?.statement().digest()) } else { Ok(Digest::of(bytes)) }
}

#[cfg(test)]
mod tests;
