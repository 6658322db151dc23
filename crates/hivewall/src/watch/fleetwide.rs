//! What this host tells the fleet of each epoch, and what it finds in what others tell it: scans that touch each host once, one
//! account guessed at on many, one place that many call home to.
//!
//! For each source one member of the fleet is the *keeper*, by rendezvous hashing over the members that are alive: every host
//! tells the keeper of a source what it saw of that source, so that nobody has to hear everything, and one host raises the alert.
//! Where a keeper dies, the next in order begins anew. Invariant: what a host tells is bounded, and counts once for each epoch.

use std::net::IpAddr;

use hivewall_detect::fleet::{
    self, FleetBeacon, FleetScan, FleetSpray, HostBeacons, HostFailures, HostTouches, SeenBeacon, SourceFailures,
    TOUCHES_MAX, Touch, Touches,
};
use hivewall_detect::{Held, Login, Settings, Sign};
use hivewall_model::Pulse;
use serde::{Deserialize, Serialize};

use crate::policy::governor::Membership;

/// Epochs that a host's clock may be off.
const EPOCHS_OFF_MAX: u64 = 6;

/// What a host tells of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sightings {
    pub(crate) epoch: u64,
    /// Source, ports, one of them, attempts, answered, proven.
    pub(crate) touches: Vec<(IpAddr, u16, u16, u32, u32, u32)>,
    /// Source, account, failures, successes.
    pub(crate) failures: Vec<(Option<IpAddr>, String, u32, u32)>,
    /// Destination, port, interval in milliseconds, whether the host raised an alert itself.
    pub(crate) beacons: Vec<(IpAddr, u16, u32, bool)>,
}

impl Sightings {
    pub(crate) fn is_empty(&self) -> bool {
        self.touches.is_empty() && self.failures.is_empty() && self.beacons.is_empty()
    }

    /// What goes to each keeper; `keeper` tells who keeps a key.
    pub(crate) fn parted<K: Ord>(self, keeper: impl Fn(&[u8]) -> Option<K>) -> std::collections::BTreeMap<K, Self> {
        let mut parts = std::collections::BTreeMap::new();
        let epoch = self.epoch;
        let mut part = |key: &[u8], put: &mut dyn FnMut(&mut Self)| {
            if let Some(keeper) = keeper(key) {
                put(parts.entry(keeper).or_insert_with(|| Self { epoch, ..Self::default() }));
            }
        };
        for touch in self.touches {
            part(touch.0.to_canonical().to_string().as_bytes(), &mut |part| part.touches.push(touch));
        }
        // An account is guessed at from many sources, so that one keeper has to hear of all failures.
        for failure in self.failures {
            part(b"failed logins", &mut |part| part.failures.push(failure.clone()));
        }
        for beacon in self.beacons {
            part(b"beacons", &mut |part| part.beacons.push(beacon));
        }
        parts
    }
}

/// The rank of a member as the keeper of a key: the highest is it. FNV-1a with a finish, the same in every version.
pub(crate) fn rank(member: &[u8], key: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = member.iter().chain(key).fold(0xcbf2_9ce4_8422_2325, step);
    let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ hash >> 33
}

/// This host's side.
#[derive(Default)]
pub(super) struct Own {
    touches: Touches,
    logins: Vec<Login>,
    beacons: Vec<SeenBeacon>,
}

impl Own {
    pub(super) fn see(&mut self, pulse: &Pulse) {
        self.touches.see(pulse);
    }

    pub(super) fn see_login(&mut self, login: &Login) {
        // A log that is flooded is told of by its first lines.
        if self.logins.len() < 8 * TOUCHES_MAX {
            self.logins.push(login.clone());
        }
    }

    pub(super) fn see_sign(&mut self, sign: &Sign) {
        if self.beacons.len() < fleet::BEACONS_MAX {
            self.beacons.extend(SeenBeacon::from_sign(sign));
        }
    }

    /// Ends an epoch.
    pub(super) fn turn(&mut self, epoch: u64) -> Sightings {
        let touch =
            |touch: Touch| (touch.source, touch.ports, touch.port, touch.attempts, touch.answered, touch.proven);
        let (failures, _) = SourceFailures::sum(&std::mem::take(&mut self.logins));
        let failure = |row: SourceFailures| (row.source, row.user.into(), row.failures, row.successes);
        let beacon = |beacon: SeenBeacon| {
            let ms = (beacon.interval_seconds.clamp(0.0, 4e6) * 1000.0) as u32;
            (beacon.destination, beacon.port, ms, beacon.is_loud)
        };
        Sightings {
            epoch,
            touches: self.touches.turn().into_iter().map(touch).collect(),
            failures: failures.into_iter().map(failure).collect(),
            beacons: std::mem::take(&mut self.beacons).into_iter().map(beacon).collect(),
        }
    }
}

/// What others told; the detectors that are on.
pub(super) struct All {
    scan: Option<FleetScan>,
    spray: Option<FleetSpray>,
    beacon: Option<FleetBeacon>,
}

impl All {
    pub(super) fn new(settings: &Settings) -> Self {
        let [scan, spray, beacon] = fleet::definitions().map(|definition| settings.is_on(definition));
        Self {
            scan: scan.then(|| FleetScan::make(settings)),
            spray: spray.then(|| FleetSpray::make(settings)),
            beacon: beacon.then(|| FleetBeacon::make(settings)),
        }
    }

    /// What each remembers, by name.
    pub(super) fn held(&self) -> impl Iterator<Item = (&'static str, Held)> {
        let held = [
            self.scan.as_ref().map(FleetScan::held),
            self.spray.as_ref().map(FleetSpray::held),
            self.beacon.as_ref().map(FleetBeacon::held),
        ];
        fleet::definitions().into_iter().zip(held).filter_map(|(definition, held)| Some((definition.name, held?)))
    }

    /// Takes what one host tells; what it says of another time than this is left out.
    pub(super) fn take(
        &mut self,
        (now, host): (u64, &str),
        told: &Sightings,
        members: &Membership,
        signs: &mut Vec<Sign>,
    ) {
        let epoch = told.epoch;
        if epoch.abs_diff(now) > EPOCHS_OFF_MAX {
            return;
        }
        let is_member = |address: IpAddr| members.0.iter().any(|host| host.addresses.contains(&address.to_canonical()));
        let touch = |&(source, ports, port, attempts, answered, proven): &(IpAddr, u16, u16, u32, u32, u32)| Touch {
            source,
            ports,
            port,
            attempts,
            answered,
            proven,
        };
        let touches: Vec<Touch> = told.touches.iter().take(TOUCHES_MAX).map(touch).collect();
        if let Some(scan) = &mut self.scan {
            scan.take(&HostTouches { host, epoch, touches: &touches }, is_member, signs);
        }
        let failure = |(source, user, failures, successes): &(Option<IpAddr>, String, u32, u32)| SourceFailures {
            source: *source,
            user: user.as_str().into(),
            failures: *failures,
            successes: *successes,
        };
        let failures: Vec<SourceFailures> = told.failures.iter().map(failure).collect();
        if let Some(spray) = &mut self.spray {
            spray.take(&HostFailures { host, epoch, failures: &failures }, signs);
        }
        let beacon = |&(destination, port, ms, is_loud): &(IpAddr, u16, u32, bool)| SeenBeacon {
            destination,
            port,
            interval_seconds: f64::from(ms) / 1000.0,
            is_loud,
        };
        let beacons: Vec<SeenBeacon> = told.beacons.iter().map(beacon).collect();
        if let Some(beacon) = &mut self.beacon {
            beacon.take(&HostBeacons { host, epoch, beacons: &beacons }, is_member, signs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_one_keeper_and_a_lost_member_moves_only_what_it_kept() {
        let members: Vec<[u8; 4]> = (0..20u32).map(u32::to_be_bytes).collect();
        let keeper = |members: &[[u8; 4]], key: &[u8]| members.iter().copied().max_by_key(|id| rank(id, key)).unwrap();
        let keys: Vec<String> = (0..2000).map(|n| format!("192.0.{}.{}", n / 250, n % 250)).collect();
        let mut kept = std::collections::BTreeMap::<[u8; 4], usize>::new();
        for key in &keys {
            *kept.entry(keeper(&members, key.as_bytes())).or_default() += 1;
        }
        assert!(kept.len() == 20 && kept.values().all(|count| (50..=170).contains(count)), "{kept:?}");
        let lost = members[7];
        let fewer: Vec<[u8; 4]> = members.iter().copied().filter(|id| *id != lost).collect();
        for key in &keys {
            let before = keeper(&members, key.as_bytes());
            assert!(before == lost || keeper(&fewer, key.as_bytes()) == before, "{key}");
        }
    }

    #[test]
    fn a_source_that_touches_each_host_once_is_found_by_its_keeper_and_by_no_host_alone() {
        let members = Membership::default();
        let mut all = All::new(&Settings::default());
        let source: IpAddr = "192.0.2.66".parse().unwrap();
        let mut signs = Vec::new();
        // One packet a minute: six epochs between two hosts.
        for host in 0..50u64 {
            let epoch = 1000 + host * 6;
            let told = Sightings { epoch, touches: vec![(source, 1, 22, 1, 0, 0)], ..Sightings::default() };
            all.take((epoch + 1, &format!("h{host}")), &told, &members, &mut signs);
        }
        let first = signs.first().expect("a sign");
        assert_eq!((first.detector.name, first.subject.source), ("fleet_scan", Some(source)), "{first:?}");
        // What is of another time is no news.
        let mut late = All::new(&Settings::default());
        let mut none = Vec::new();
        for host in 0..50u64 {
            let told = Sightings { epoch: 1, touches: vec![(source, 1, 22, 1, 0, 0)], ..Sightings::default() };
            late.take((1000, &format!("h{host}")), &told, &members, &mut none);
        }
        assert!(none.is_empty());
    }

    #[test]
    fn thresholds_of_the_fleet_hold_and_what_is_off_says_nothing() {
        let hosts_at_first_sign = |off: &[&str], thresholds: &[&str]| {
            let settings = Settings::read(off.iter().copied(), thresholds.iter().copied()).unwrap();
            let (mut all, mut signs) = (All::new(&settings), Vec::new());
            let source = IpAddr::from([192, 0, 2, 66]);
            let told = Sightings {
                epoch: 1000,
                touches: vec![(source, 1, 22, 1, 0, 0)],
                failures: vec![(Some(source), "root".to_owned(), 1, 0)],
                beacons: vec![(IpAddr::from([198, 51, 100, 1]), 443, 60_000, true)],
            };
            let mut first = std::collections::BTreeMap::new();
            for host in 1..=12u64 {
                all.take((1000, &format!("h{host}")), &told, &Membership::default(), &mut signs);
                for sign in signs.drain(..) {
                    first.entry(sign.detector.name).or_insert(host);
                }
            }
            assert_eq!(all.held().count(), 3 - off.len());
            assert!(all.held().all(|(_, held)| held.entries > 0 && held.entries <= held.entries_max));
            first.into_iter().collect::<Vec<_>>()
        };
        let usual = [("fleet_beacon", 3), ("fleet_scan", 10), ("fleet_spray", 5)];
        assert_eq!(hosts_at_first_sign(&[], &[]), usual);
        let set = ["fleet_beacon.hosts=4", "fleet_scan.hosts=3", "fleet_spray.hosts=2"];
        assert_eq!(hosts_at_first_sign(&[], &set), [("fleet_beacon", 4), ("fleet_scan", 3), ("fleet_spray", 2)]);
        assert_eq!(hosts_at_first_sign(&["fleet_scan"], &[]), [usual[0], usual[2]]);
        // More than is remembered of one source would never be reached.
        assert!(Settings::read([], ["fleet_scan.hosts=257"]).is_err());
    }

    #[test]
    fn what_is_told_goes_to_its_keepers_and_nothing_is_lost() {
        let touches: Vec<_> = (0..40u8).map(|n| (IpAddr::from([10, 0, 0, n]), 1, 22, 1, 0, 0)).collect();
        let told = Sightings {
            epoch: 5,
            touches,
            failures: vec![(None, "root".to_owned(), 3, 0), (None, "admin".to_owned(), 3, 0)],
            beacons: vec![(IpAddr::from([192, 0, 2, 1]), 443, 60_000, false)],
        };
        let ids = [b"a", b"b", b"c"];
        let parts = told.clone().parted(|key| ids.iter().copied().max_by_key(|id| rank(*id, key)));
        let sum = |count: fn(&Sightings) -> usize| parts.values().map(count).sum::<usize>();
        assert_eq!((sum(|p| p.touches.len()), sum(|p| p.failures.len()), sum(|p| p.beacons.len())), (40, 2, 1));
        assert!(parts.values().all(|part| part.epoch == 5) && parts.len() > 1);
        assert!(told.parted(|_| None::<u8>).is_empty());
    }
}
