//! The same beacon on many hosts: one destination, called at nearly the same interval.
//!
//! What hosts tell are their own `beacon` signs, of whatever severity. Invariant: a host tells of at most [`BEACONS_MAX`] an epoch; of a
//! destination at most so many hosts are remembered.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_view::alerts::Severity;

use crate::bounded::Bounded;
use crate::wire::is_public;
use crate::words::{Voice, median};
use crate::{Attack, Definition, HOSTS_MAX, Held, Settings, Sign, Spoofable, Subject, Threshold};

use super::{Hosts, begin, end};

pub(crate) static DEFINITION: Definition = Definition {
    name: "fleet_beacon",
    title: "Beacon on many hosts",
    kind: "c2",
    sees: "Several hosts of the fleet that call one destination outside and port at nearly the same interval.",
    misses: "Destinations that differ from host to host, and services that every host polls for good reason: those are worth a note \
             when the destination is in a network of one's own, and an exclusion when it is not.",
    evaded_by: "A destination, port or interval for each host.",
    technique: Some(Attack { id: "T1071", name: "Application Layer Protocol", tactic: "Command and Control" }),
    severity: Severity::High,
    spoofable: Spoofable::Never,
    quiet_seconds: 14_400,
    thresholds: &[Threshold {
        name: "hosts",
        unit: "hosts",
        default: 3.0,
        range: (2.0, HOSTS_OF_DESTINATION_MAX as f64),
        doc: "Hosts with the same beacon. Two may be a pair of one purpose.",
    }],
};

/// Most beacons that a host tells of in one epoch.
pub const BEACONS_MAX: usize = 64;
const DESTINATIONS_MAX: usize = 16_384;
const HOSTS_OF_DESTINATION_MAX: usize = 256;
/// Beacons are told again as they go on; one not told of for so long is over.
const WINDOW: Duration = Duration::from_secs(4 * 3_600);

/// One beacon of a host, as its `beacon` detector told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeenBeacon {
    /// Who is called.
    pub destination: IpAddr,
    /// By which port.
    pub port: u16,
    /// Median interval, seconds.
    pub interval_seconds: f64,
    /// Whether the host's own detector holds it for more than a note.
    pub is_loud: bool,
}

impl SeenBeacon {
    /// From a sign of the `beacon` detector; `None` for signs of others.
    pub fn from_sign(sign: &Sign) -> Option<Self> {
        if sign.detector.name != "beacon" {
            return None;
        }
        let interval = sign.figures.iter().find(|(name, _)| *name == "interval_seconds")?.1;
        Some(Self {
            destination: sign.subject.target?,
            port: sign.subject.port?,
            interval_seconds: interval,
            is_loud: sign.severity > Severity::Info,
        })
    }
}

/// What a host tells of one epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct HostBeacons<'a> {
    /// Its name.
    pub host: &'a str,
    /// The epoch.
    pub epoch: u64,
    /// At most [`BEACONS_MAX`] of which count.
    pub beacons: &'a [SeenBeacon],
}

#[derive(Debug, Default)]
struct Destination {
    /// Host, epoch, interval in milliseconds.
    hosts: Vec<(u16, u64, u64)>,
    loud: bool,
    pace: Voice,
}

/// The fleet's side.
#[derive(Debug)]
pub struct FleetBeacon {
    hosts: Hosts,
    destinations: Bounded<(IpAddr, u16), Destination>,
    needed: usize,
}

impl Default for FleetBeacon {
    fn default() -> Self {
        Self::make(&Settings::default())
    }
}

impl FleetBeacon {
    /// By the thresholds of `settings`.
    pub fn make(settings: &Settings) -> Self {
        Self {
            hosts: Hosts::default(),
            destinations: Bounded::new(DESTINATIONS_MAX, WINDOW),
            needed: settings.value(&DEFINITION, "hosts") as usize,
        }
    }

    /// Takes what one host tells of one epoch; the same again changes nothing.
    pub fn take(&mut self, from: &HostBeacons<'_>, is_member: impl Fn(IpAddr) -> bool, signs: &mut Vec<Sign>) {
        let host = self.hosts.number(from.host);
        let now = end(from.epoch);
        let oldest = from.epoch.saturating_sub(WINDOW.as_secs() / super::EPOCH_SECONDS);
        for beacon in from.beacons.iter().take(BEACONS_MAX) {
            let key = (beacon.destination, beacon.port);
            let interval = (beacon.interval_seconds.max(0.0) * 1000.0) as u64;
            let destination = self.destinations.entry(now, &key, Destination::default);
            destination.hosts.retain(|(known, seen, _)| *known != host && *seen >= oldest);
            if destination.hosts.len() < HOSTS_OF_DESTINATION_MAX {
                destination.hosts.push((host, from.epoch, interval));
            }
            destination.loud |= beacon.is_loud;
            let middle = median(&mut destination.hosts.iter().map(|(_, _, interval)| *interval).collect::<Vec<_>>());
            let alike = destination.hosts.iter().filter(|it| it.2.abs_diff(middle) <= middle / 4).count();
            if alike >= self.needed && destination.pace.is_due(now, 1) {
                signs.push(destination.sign(key, middle, alike, is_member(beacon.destination), &self.hosts));
            }
        }
    }

    /// What it remembers.
    pub fn held(&self) -> Held {
        self.destinations.held()
    }
}

impl Destination {
    fn sign(&self, key: (IpAddr, u16), middle: u64, alike: usize, is_member: bool, hosts: &Hosts) -> Sign {
        let (destination, port) = key;
        let first = begin(self.hosts.iter().map(|it| it.1).min().unwrap_or(0));
        let last = end(self.hosts.iter().map(|it| it.1).max().unwrap_or(0));
        let seconds = middle as f64 / 1000.0;
        let message = format!("{alike} hosts of the fleet call {destination} port {port} about every {seconds:.1} s");
        let mut sign = Sign::new(&DEFINITION, Subject::target(destination, Some(port)), first, last, message);
        sign.severity = match (is_member, is_public(destination), self.loud) {
            (false, true, true) => Severity::High,
            (false, false, true) => Severity::Low,
            _ => Severity::Info,
        };
        sign.spoofable = false;
        sign.sources = Some(alike as u64);
        sign.figures = vec![("hosts", alike as f64), ("interval_seconds", seconds)];
        sign.hosts = self.hosts.iter().take(HOSTS_MAX).map(|it| hosts.name(it.0).to_owned()).collect();
        sign
    }
}
