//! All detectors over one stream of events.

use hivewall_model::Timestamp;

use crate::{Detector, Event, Held, Settings, Sign};

/// The detectors of one host at work.
#[derive(Debug)]
pub struct Detection {
    detectors: Vec<Box<dyn Detector>>,
}

impl Detection {
    /// Those that are on.
    pub fn new(settings: &Settings) -> Self {
        Self { detectors: crate::all(settings) }
    }

    /// Only these (tests).
    pub fn of(detectors: Vec<Box<dyn Detector>>) -> Self {
        Self { detectors }
    }

    /// Shows an event to every detector; what they say of it goes to the end of `signs`.
    pub fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        for detector in &mut self.detectors {
            detector.see(now, event, signs);
        }
    }

    /// What each remembers, by name.
    pub fn held(&self) -> impl Iterator<Item = (&'static str, Held)> {
        self.detectors.iter().map(|detector| (detector.definition().name, detector.held()))
    }
}
