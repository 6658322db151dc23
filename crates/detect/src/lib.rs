//! Detection: (time, event) → signs → alerts. One file a detector, each described by one [`Definition`].
//!
//! Pure: no clock, no I/O, no threads, no randomness. Invariant: whatever the traffic, no detector remembers more than its
//! limit; what it forgets for that is counted.
#![forbid(unsafe_code)]

mod definition;
mod detection;
mod detectors;
mod settings;
mod sign;

pub use definition::{Attack, Definition, Spoofable, Threshold};
pub use detection::Detection;
pub use detectors::{all, definitions};
pub use settings::{Settings, SettingsError};
pub use sign::{
    Detector, Event, Held, Listener, Login, SAMPLE_CHARS_MAX, SAMPLES_MAX, Said, Sign, Subject, TARGETS_MAX,
};
