//! Tells people and programs of alerts: Alertmanager, webhooks, e-mail, syslog, journald, commands.
//!
//! It decides when and how something is told, never what is worth an alert. Invariants: [`Notifier::tell`] never waits;
//! each channel has a queue on disk and a thread of its own, so that a receiver that hangs delays no other; whatever was
//! told is delivered, or in a counter that says why it was not; the size of what waits is bounded.
#![forbid(unsafe_code)]

mod channel;
mod error;
mod lane;
mod line;
mod message;
mod notifier;
mod plan;
mod render;
mod sink;
mod tally;

pub use channel::{Channel, Rate};
pub use error::{ChannelError, Error};
pub use message::Change;
pub use notifier::{Notifier, TEST_LIMIT};
pub use tally::ChannelCounters;
