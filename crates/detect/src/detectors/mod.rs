//! All detectors, in the order of the documentation.

use crate::{Definition, Detector, Settings};

/// What a detector's file offers: its definition, and how to make one.
type Made = (&'static Definition, fn(&Settings) -> Box<dyn Detector>);

const ALL: &[Made] = &[];

/// Every detector's definition.
pub fn definitions() -> Vec<&'static Definition> {
    ALL.iter().map(|(definition, _)| *definition).collect()
}

/// Every detector that is on.
pub fn all(settings: &Settings) -> Vec<Box<dyn Detector>> {
    ALL.iter().filter(|(definition, _)| settings.is_on(definition)).map(|(_, make)| make(settings)).collect()
}
