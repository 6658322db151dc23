//! The allow-list monitor in the kernel, fed by test runs: what is permitted, what is told, and what both are when the list
//! changes. Needs root.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::IpAddr;

use hivewall_datapath::guard::{GuardCounts, GuardEvent, UNREADABLE};
use hivewall_datapath::proto;
use hivewall_host::bans::Prefix;
use hivewall_host::ebpf::TestRun;
use hivewall_host::guard::Guard;
use hivewall_testkit::packet::{bare, frame};
use hivewall_testkit::require_root;
use ipnet::IpNet;

/// `enum xdp_action` (linux/bpf.h).
const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;

fn prefixes(list: &[&str]) -> Vec<Prefix> {
    let prefix =
        |text: &&str| text.parse::<IpNet>().map_or_else(|_| text.parse::<IpAddr>().unwrap().into(), Prefix::from);
    list.iter().map(prefix).collect()
}

fn run(program: &TestRun, bytes: &[u8]) -> i32 {
    program.run(bytes, None, 1).unwrap().value
}

fn events(guard: &mut Guard) -> Vec<GuardEvent> {
    let mut all = Vec::new();
    guard.events(1000, |event| all.push(event));
    all
}

#[test]
fn sources_on_the_list_pass_and_others_are_told_once_and_added_up() {
    require_root!();
    let mut guard = Guard::load(true, 1 << 16).unwrap();
    guard.permit(&prefixes(&["10.0.0.0/8", "fd00::/8", "192.0.2.7"])).unwrap();
    let program = guard.test_run("hivewall_guard").unwrap();
    for bytes in [
        frame().ipv4("10.1.2.3", "10.0.0.2").udp(1, 2).build(),
        frame().vlan(5).ipv4("192.0.2.7", "10.0.0.2").tcp(1, 2).build(),
        frame().service_vlan(7).vlan(5).ipv6("fd00::9", "fd00::2").udp(1, 2).build(),
        frame().arp_request("192.0.2.9", "10.0.0.2").build(),
    ] {
        assert_eq!(run(&program, &bytes), XDP_PASS);
    }
    assert!(events(&mut guard).is_empty());
    let refused = frame().ipv4("192.0.2.8", "10.0.0.2").udp(4000, 53).payload_len(72).build();
    for _ in 0..3 {
        assert_eq!(run(&program, &refused), XDP_DROP);
    }
    let ended = frame().ipv6("2001:db8::1", "fd00::2").hop_by_hop().tcp(5000, 443).build();
    assert_eq!(run(&program, &ended), XDP_DROP);
    let told = events(&mut guard);
    let picture: Vec<_> = told.iter().map(|e| (e.key.proto, e.seen.source_port, e.key.port, e.seen.packets)).collect();
    assert_eq!(picture, [(proto::UDP, 4000, 53, 1), (proto::TCP, 5000, 443, 1)]);
    let mut seen = guard.take_seen().unwrap();
    seen.sort_by_key(|(key, _)| key.port);
    let picture: Vec<_> = seen.iter().map(|(key, seen)| (key.port, seen.packets, seen.bytes)).collect();
    assert_eq!(picture, [(53, 3, 300), (443, 1, 40 + 8 + 20)]);
    assert!(guard.take_seen().unwrap().is_empty());
    let GuardCounts { permitted_packets, refused_packets, other_packets, unkept_packets, .. } = guard.counts();
    assert_eq!((permitted_packets, refused_packets, other_packets, unkept_packets), (3, 4, 1, 0));
}

#[test]
fn neighbour_discovery_of_this_link_passes_and_of_further_away_does_not() {
    require_root!();
    let mut guard = Guard::load(true, 1 << 16).unwrap();
    guard.permit(&prefixes(&["10.0.0.0/8"])).unwrap();
    let program = guard.test_run("hivewall_guard").unwrap();
    let solicitation =
        |ttl: u8| frame().ipv6("2001:db8::1", "ff02::1:ff00:2").ttl(ttl).icmp6(135, 0, 0).payload_len(16).build();
    assert_eq!((run(&program, &solicitation(255)), run(&program, &solicitation(64))), (XDP_PASS, XDP_DROP));
    assert_eq!((guard.counts().discovery_packets, guard.counts().refused_packets), (1, 1));
}

#[test]
fn a_new_list_holds_as_a_whole_and_what_cannot_be_read_is_told_too() {
    require_root!();
    let mut guard = Guard::load(true, 1 << 16).unwrap();
    let program = guard.test_run("hivewall_guard").unwrap();
    let on = |from: &str| run(&program, &frame().ipv4(from, "10.0.0.2").udp(1, 2).build());
    for round in 0..4 {
        guard.permit(&prefixes(&["10.0.0.0/8", "192.0.2.0/24"])).unwrap();
        assert_eq!((on("10.0.0.1"), on("192.0.2.1"), on("198.51.100.1")), (XDP_PASS, XDP_PASS, XDP_DROP), "{round}");
        guard.permit(&prefixes(&["198.51.100.0/24"])).unwrap();
        assert_eq!((on("10.0.0.1"), on("192.0.2.1"), on("198.51.100.1")), (XDP_DROP, XDP_DROP, XDP_PASS), "{round}");
    }
    events(&mut guard);
    assert_eq!(run(&program, &frame().ipv4("10.0.0.1", "10.0.0.2").header_words(3).udp(1, 2).build()), XDP_DROP);
    assert_eq!(events(&mut guard)[0].key.proto, UNREADABLE);
    let ip = guard.test_run("hivewall_guard_ip").unwrap();
    assert_eq!(run(&ip, &bare().ipv4("198.51.100.1", "10.0.0.2").udp(1, 2).build()), XDP_PASS);
    assert_eq!(run(&ip, &bare().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build()), XDP_DROP);
}
