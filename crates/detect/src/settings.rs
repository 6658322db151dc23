//! Thresholds that an operator changed, and detectors that are off.

use std::collections::{BTreeMap, BTreeSet};

use crate::Definition;

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// Not of the form `detector.threshold=number`.
    #[error("{text:?} is no threshold; write detector.threshold=number, for example port_scan.ports=50")]
    Shape {
        /// As it stood.
        text: String,
    },
    /// No such detector.
    #[error("there is no detector {name:?}; the detectors are {known}")]
    UnknownDetector {
        /// As it stood.
        name: String,
        /// All names.
        known: String,
    },
    /// No such threshold.
    #[error("detector {detector} has no threshold {name:?}; it has {known}")]
    UnknownThreshold {
        /// The detector.
        detector: &'static str,
        /// As it stood.
        name: String,
        /// All names.
        known: String,
    },
    /// Not within the range.
    #[error("{detector}.{name} is {value}, but has to lie between {least} and {most}")]
    Range {
        /// The detector.
        detector: &'static str,
        /// The threshold.
        name: &'static str,
        /// As it stood.
        value: f64,
        /// Least.
        least: f64,
        /// Most.
        most: f64,
    },
}

/// Which detectors work, and by what numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    off: BTreeSet<&'static str>,
    values: BTreeMap<(&'static str, &'static str), f64>,
}

impl Settings {
    /// Reads names of detectors to switch off, and `detector.threshold=number` words.
    ///
    /// # Errors
    ///
    /// Names that do not exist and numbers out of range, with what there is instead.
    pub fn read<'a>(
        off: impl IntoIterator<Item = &'a str>,
        thresholds: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        for name in off {
            settings.off.insert(find(name)?.name);
        }
        for text in thresholds {
            let shape = || SettingsError::Shape { text: text.to_owned() };
            let (name, value) = text.split_once('=').ok_or_else(shape)?;
            let (detector, threshold) = name.trim().split_once('.').ok_or_else(shape)?;
            let value: f64 = value.trim().parse().map_err(|_| shape())?;
            let definition = find(detector)?;
            let known = || definition.thresholds.iter().map(|t| t.name).collect::<Vec<_>>().join(", ");
            let found = definition.thresholds.iter().find(|t| t.name == threshold).ok_or_else(|| {
                SettingsError::UnknownThreshold {
                    detector: definition.name,
                    name: threshold.to_owned(),
                    known: known(),
                }
            })?;
            let (least, most) = found.range;
            if !(least..=most).contains(&value) {
                return Err(SettingsError::Range { detector: definition.name, name: found.name, value, least, most });
            }
            settings.values.insert((definition.name, found.name), value);
        }
        Ok(settings)
    }

    /// Whether a detector works.
    pub fn is_on(&self, definition: &Definition) -> bool {
        !self.off.contains(definition.name)
    }

    /// The value of one of its thresholds; 0 for one that it does not have, which its own tests would show.
    pub fn value(&self, definition: &'static Definition, threshold: &'static str) -> f64 {
        let default = definition.thresholds.iter().find(|t| t.name == threshold).map_or(0.0, |t| t.default);
        self.values.get(&(definition.name, threshold)).copied().unwrap_or(default)
    }
}

fn find(name: &str) -> Result<&'static Definition, SettingsError> {
    let name = name.trim();
    crate::definitions().into_iter().find(|definition| definition.name == name).ok_or_else(|| {
        let known: Vec<_> = crate::definitions().into_iter().map(|definition| definition.name).collect();
        SettingsError::UnknownDetector { name: name.to_owned(), known: known.join(", ") }
    })
}
