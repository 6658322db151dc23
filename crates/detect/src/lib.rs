//! Detection: (time, event) → signs → alerts. One file a detector, each described by one [`Definition`].
//!
//! Pure: no clock, no I/O, no threads, no randomness. Invariant: whatever the traffic, no detector remembers more than its
//! limit; what it forgets for that is counted.
#![forbid(unsafe_code)]

mod attempts;
pub mod authlog;
mod book;
mod bounded;
mod definition;
mod detection;
mod detectors;
mod distinct;
mod domain;
pub mod fleet;
mod flood;
mod mutes;
mod pace;
mod probe;
mod settings;
mod sign;
#[cfg(test)]
mod testing;
mod window;
mod wire;
mod words;

pub use book::{ALERTS_MAX, Book, Change, Tally, is_told, mac_text};
pub use definition::{Attack, Definition, Spoofable, Threshold};
pub use detection::Detection;
pub use detectors::{all, definitions};
pub use mutes::MuteError;
pub use settings::{Settings, SettingsError};
pub use sign::{
    Detector, Event, HOSTS_MAX, Held, Listener, Login, SAMPLE_CHARS_MAX, SAMPLES_MAX, Said, Sign, Subject, TARGETS_MAX,
};
