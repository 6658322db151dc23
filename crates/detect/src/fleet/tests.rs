//! Whole fleets in simulated time.

use super::*;
use crate::testing::{Make, host, ip, ms, public};
use crate::{Detection, Event, Settings, Sign};
use hivewall_model::{EndReason, Pulse};

fn epoch(seconds: u64) -> u64 {
    (ms(0).secs() as u64 + seconds) / EPOCH_SECONDS
}

/// An attempt that came to nothing, at one second.
fn attempt(source: std::net::IpAddr, target: u32, port: u16, second: u64) -> Pulse {
    Make::refused(source, 50_000 + (second % 10_000) as u16, host(target), port).at(ms(second * 1000)).0
}

#[test]
fn one_port_of_fifty_hosts_at_one_packet_a_minute_is_found_by_the_fleet_and_by_no_host() {
    let attacker = public(1);
    let (mut fleet, mut signs, mut alone) = (FleetScan::default(), Vec::new(), Vec::new());
    for number in 0..50_u32 {
        let second = u64::from(number) * 60;
        let pulse = attempt(attacker, number, 22, second);
        let mut detection = Detection::new(&Settings::default());
        detection.see(pulse.last, &Event::Pulse(&pulse), &mut alone);
        detection.see(pulse.last + Duration::from_secs(1), &Event::Tick, &mut alone);
        let mut touches = Touches::default();
        touches.see(&pulse);
        let name = format!("host-{number}");
        let told = HostTouches { host: &name, epoch: epoch(second), touches: &touches.turn() };
        fleet.take(&told, |_| false, &mut signs);
        // Gossip says things twice.
        fleet.take(&told, |_| false, &mut signs);
    }
    assert!(alone.is_empty(), "{alone:?}");
    let first = signs.first().unwrap();
    assert_eq!(first.subject, crate::Subject::source(attacker));
    assert_eq!((first.target_count, first.port), (10, Some(22)));
    assert!(first.spoofable, "nothing was proven");
    let last = signs.last().unwrap();
    assert!(last.message.starts_with("50.0.0.1 touched 50 hosts of the fleet within"), "{}", last.message);
}

#[test]
fn a_client_whose_server_is_down_and_a_member_that_monitors_are_not_told() {
    let (mut fleet, mut signs) = (FleetScan::default(), Vec::new());
    for number in 0..9_u32 {
        let touch = Touch { source: public(2), ports: 1, port: 443, attempts: 50, answered: 0, proven: 0 };
        let name = format!("host-{number}");
        fleet.take(&HostTouches { host: &name, epoch: 100, touches: &[touch] }, |_| false, &mut signs);
    }
    assert!(signs.is_empty(), "nine hosts");
    for number in 0..50_u32 {
        let monitor = Touch { source: host(1), ports: 1, port: 9100, attempts: 1, answered: 0, proven: 1 };
        let client = Touch { source: public(3), ports: 1, port: 443, attempts: 10, answered: 9, proven: 9 };
        let name = format!("host-{number}");
        let told = HostTouches { host: &name, epoch: 100, touches: &[monitor, client] };
        fleet.take(&told, |source| source == host(1), &mut signs);
    }
    assert!(signs.iter().all(|sign| sign.severity == hivewall_view::alerts::Severity::Info), "{signs:?}");
    assert!(signs.iter().all(|sign| sign.subject.source == Some(host(1))));
}

#[test]
fn rare_touches_survive_those_who_talk_much() {
    let mut touches = Touches::default();
    for noisy in 0..1_000_u32 {
        for second in 0..3 {
            touches.see(&attempt(public(noisy), 1, 80, second));
        }
    }
    touches.see(&attempt(ip("198.51.100.9"), 1, 22, 5));
    let told = touches.turn();
    assert_eq!(told.len(), TOUCHES_MAX);
    assert_eq!(told[0].source, ip("198.51.100.9"));
    assert_eq!(touches.held().given_up, 1_001 - TOUCHES_MAX as u64);
}

#[test]
fn who_is_served_leaves_no_touch() {
    let mut touches = Touches::default();
    let served = Make::tcp((public(1), 4000), (host(1), 443), 500, 5_000).ended(EndReason::Finished);
    touches.see(&served.0);
    assert_eq!(touches.turn(), []);
}

#[test]
fn a_million_sources_stay_within_the_limits() {
    let (mut fleet, mut signs) = (FleetScan::default(), Vec::new());
    let mut touches = Touches::default();
    for source in 0..1_000_000_u32 {
        touches.see(&attempt(public(source), 1, 22, 0));
        if source % 50_000 == 0 {
            let told = touches.turn();
            fleet.take(&HostTouches { host: "a", epoch: u64::from(source), touches: &told }, |_| false, &mut signs);
        }
        assert!(touches.held().entries <= touches.held().entries_max);
    }
    let many: Vec<Touch> = (0..10_000)
        .map(|n| Touch { source: public(n), ports: 1, port: 1, attempts: 1, answered: 0, proven: 0 })
        .collect();
    fleet.take(&HostTouches { host: "liar", epoch: 5, touches: &many }, |_| false, &mut signs);
    assert!(fleet.held().entries <= 21 * TOUCHES_MAX as u64);
    assert!(signs.is_empty());
}

fn sprayed(hosts: u32, successes: u32) -> Vec<Sign> {
    let (mut fleet, mut signs) = (FleetSpray::default(), Vec::new());
    for number in 0..hosts {
        let user = format!("user{number}").into_boxed_str();
        let row = SourceFailures { source: Some(public(1)), user, failures: 1, successes };
        let name = format!("host-{number}");
        fleet.take(&HostFailures { host: &name, epoch: epoch(60 * u64::from(number)), failures: &[row] }, &mut signs);
    }
    signs
}

#[test]
fn a_source_that_fails_at_five_hosts_is_told_and_at_four_is_not() {
    assert!(sprayed(4, 0).is_empty());
    let signs = sprayed(5, 0);
    assert_eq!(signs[0].message, "50.0.0.1 failed to log in at 5 hosts of the fleet within 4m10s, 5 times in all");
    assert_eq!(signs[0].hosts[..2], ["host-0", "host-1"]);
    assert!(sprayed(6, 1).iter().any(|sign| sign.message.ends_with("it also logged in")));
}

#[test]
fn logins_are_summed_by_source_and_account() {
    let login = |user: &str, succeeded| crate::Login {
        time: ms(0),
        service: "ssh".into(),
        user: user.into(),
        from: Some(public(1)),
        succeeded,
        user_exists: None,
    };
    let logins = [login("a", false), login("a", false), login("a", true), login("b", false)];
    let (rows, given_up) = SourceFailures::sum(&logins);
    let row = |user: &str, failures, successes| SourceFailures {
        source: Some(public(1)),
        user: user.into(),
        failures,
        successes,
    };
    assert_eq!((rows, given_up), (vec![row("a", 2, 1), row("b", 1, 0)], 0));
}

#[test]
fn three_hosts_with_one_beacon_are_told_and_different_intervals_are_not() {
    let told = |intervals: &[f64]| {
        let (mut fleet, mut signs) = (FleetBeacon::default(), Vec::new());
        for (number, interval) in intervals.iter().enumerate() {
            let beacon = SeenBeacon { destination: public(9), port: 443, interval_seconds: *interval, is_loud: true };
            let name = format!("host-{number}");
            let told = HostBeacons { host: &name, epoch: 100, beacons: &[beacon] };
            fleet.take(&told, |_| false, &mut signs);
            fleet.take(&told, |_| false, &mut signs);
        }
        signs.iter().map(|sign| sign.message.clone()).collect::<Vec<_>>()
    };
    assert!(told(&[60.0, 61.0]).is_empty());
    assert!(told(&[60.0, 600.0, 6000.0]).is_empty());
    assert_eq!(told(&[60.0, 61.0, 59.0]), ["3 hosts of the fleet call 50.0.0.9 port 443 about every 60.0 s"]);
}
