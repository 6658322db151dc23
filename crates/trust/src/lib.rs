//! Who belongs to a fleet, and how that is proved: keys, passports, certificates, invitations, the charter.
//!
//! No sockets, files, clock or randomness: those are arguments. What travels and who is asked is `net`'s. Invariants: a
//! host's name follows from its key; nothing counts that does not lead to the root's key; whatever the bytes, reading
//! them takes memory in proportion to their length and ends in a value or a reason.
#![forbid(unsafe_code)]

mod certificate;
mod charter;
mod enrol;
mod error;
mod identity;
mod invitation;
mod key;
mod passport;
mod roster;
pub mod tls;

pub use charter::{BAN_PREFIX_V4_DEFAULT, BAN_PREFIX_V6_DEFAULT, CHARTER_NAME, Charter, NAME_BYTES_MAX, Revoked};
pub use enrol::{EnrolRequest, EnrolResponse, MESSAGE_BYTES_MAX, exporter_context, exporter_label};
pub use error::TrustError;
pub use identity::{Appointment, Enroller, Identity, Papers};
pub use invitation::{INVITATIONS_MAX, Invitation, InvitationBook, Issued};
pub use key::{HostKey, Root, noise_public};
pub use passport::{Grant, PASSPORT_LIFE_S, Passport, SKEW_S, seal};
pub use roster::{Admitted, Roster};
