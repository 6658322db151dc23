//! The generator at work, small, on loopback.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hivewall_traffic::{Done, Options, Part, Plan, Summary, run};

fn nothing() -> Options {
    Options { seconds: 20, pages: 0, lookups: 0, scan_ports: 0, flood_packets: 0, bulk_bytes: 0, ..Options::default() }
}

fn made(options: Options) -> Summary {
    run(&Plan::new(options).unwrap(), &AtomicBool::new(false), &mut |_| {}).unwrap()
}

fn only(options: Options) -> Done {
    let summary = made(options);
    assert!(!summary.stopped && !summary.out_of_time, "{summary}");
    assert_eq!(summary.parts.len(), 1, "{summary}");
    summary.parts[0].1
}

#[test]
fn pages_come_over_ipv4_and_ipv6() {
    for target in ["127.0.0.1", "::1"] {
        let done = only(Options { pages: 10, target: target.parse().unwrap(), ..nothing() });
        assert_eq!((done.tried, done.well), (10, 10), "{target}");
        // Each connection begins with 600, 4,000, 25,000 and 1,500 bytes; the ninth page, the first of its connection,
        // is missing and has 60, so the tenth has 600.
        let bodies = 2 * (600 + 4000 + 25_000 + 1500) + 60 + 600;
        assert!(done.bytes > bodies && done.bytes < bodies + 10 * 300, "{target}: {done:?}");
    }
}

#[test]
fn every_look_up_is_answered() {
    let done = only(Options { lookups: 8, ..nothing() });
    assert_eq!((done.tried, done.well), (8, 8));
}

#[test]
fn a_scan_is_refused_by_ports_that_nobody_serves() {
    let done = only(Options { scan_ports: 10, ..nothing() });
    assert_eq!(done.tried, 10);
    // Somebody may serve one of the first ten ports; hardly more.
    assert!(done.well >= 8, "{done:?}");
}

#[test]
fn a_flood_sends_all_its_packets_and_keeps_its_rate() {
    let done = only(Options { flood_packets: 300, flood_rate: 1000, ..nothing() });
    assert_eq!((done.tried, done.well, done.bytes), (300, 300, 300 * 64));
    // The last of 300 packets is due after 299 thousandths.
    assert!(done.took >= Duration::from_millis(297), "{done:?}");
}

#[test]
fn a_transfer_arrives_whole() {
    let done = only(Options { bulk_bytes: 3_000_001, ..nothing() });
    assert_eq!((done.tried, done.well, done.bytes), (1, 1, 3_000_001));
}

#[test]
fn it_ends_when_its_time_is_over() {
    let begun = Instant::now();
    let summary = made(Options { seconds: 1, flood_packets: 1_000_000, flood_rate: 100, pages: 1, ..nothing() });
    assert!(summary.out_of_time && !summary.stopped, "{summary}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let (part, done) = summary.parts[1];
    assert_eq!(part, Part::Flood);
    assert!(done.tried > 10 && done.tried <= 101, "{done:?}");
}

#[test]
fn it_ends_when_it_is_told_to() {
    let stop = AtomicBool::new(false);
    let mut parts = Vec::new();
    let plan = Plan::new(Options { pages: 2, lookups: 2, scan_ports: 3, ..nothing() }).unwrap();
    let summary = run(&plan, &stop, &mut |part| {
        parts.push(part);
        stop.store(part == Part::Browse, Ordering::Relaxed);
    })
    .unwrap();
    assert_eq!(parts, [Part::Dns, Part::Browse], "the scan does not begin");
    assert!(summary.stopped);
    assert!(summary.to_string().ends_with("Stopped.\n"), "{summary}");
}
