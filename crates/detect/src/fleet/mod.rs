//! What no host sees alone: detectors over what hosts tell one another of each epoch.
//!
//! Pure, like the detectors of one host; shapes without serialization, which whoever carries them adds. Invariant: a host
//! contributes at most its limit, whatever it says, and what is remembered of a source has a limit too; what is forgotten for
//! that is counted.

mod beacon;
mod scan;
mod spray;

pub use beacon::{BEACONS_MAX, FleetBeacon, HostBeacons, SeenBeacon};
pub use scan::{FleetScan, HostTouches, TOUCHES_MAX, Touch, Touches};
pub use spray::{FAILURES_MAX, FleetSpray, HostFailures, SourceFailures};

use std::time::Duration;

use hivewall_model::Timestamp;

use crate::Definition;

/// Seconds of one epoch, numbered from the Unix epoch.
pub const EPOCH_SECONDS: u64 = 10;

/// The fleet detectors' definitions, in the order of the documentation.
pub fn definitions() -> [&'static Definition; 3] {
    [&scan::DEFINITION, &spray::DEFINITION, &beacon::DEFINITION]
}

/// When an epoch begins.
fn begin(epoch: u64) -> Timestamp {
    Timestamp::default() + Duration::from_secs(epoch.saturating_mul(EPOCH_SECONDS))
}

/// When it is over.
fn end(epoch: u64) -> Timestamp {
    begin(epoch.saturating_add(1))
}

/// Notes that a host was seen at an epoch, among at most `most` hosts.
fn note(hosts: &mut Vec<(u16, u64)>, host: u16, epoch: u64, most: usize) {
    if let Some((_, seen)) = hosts.iter_mut().find(|(known, _)| *known == host) {
        *seen = epoch.max(*seen);
    } else if hosts.len() < most {
        hosts.push((host, epoch));
    }
}

/// Hosts by number: names are long, and each is held once.
#[derive(Debug, Default)]
struct Hosts {
    names: Vec<Box<str>>,
}

/// Hosts that are told apart. More than a fleet has; names beyond it share the last number.
const HOSTS_MAX: usize = 65_535;

impl Hosts {
    fn number(&mut self, name: &str) -> u16 {
        if let Some(at) = self.names.iter().position(|known| **known == *name) {
            return at as u16;
        }
        if self.names.len() < HOSTS_MAX {
            self.names.push(name.into());
        }
        (self.names.len() - 1) as u16
    }

    fn name(&self, number: u16) -> &str {
        self.names.get(usize::from(number)).map_or("", |name| name)
    }
}

#[cfg(test)]
mod tests;
