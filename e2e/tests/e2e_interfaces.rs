//! Interfaces that come and go, patterns, and hosts that a packet crosses: each packet counts once in its flow however
//! many interfaces saw it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use hivewall_e2e::agent::Agent;
use hivewall_e2e::books::{Account, logged, number};
use hivewall_e2e::network::{Between, Pair};
use hivewall_testkit::netns::{Host, Lab};
use hivewall_testkit::require_root;
use hivewall_testkit::traffic::{TcpSink, UdpSink, tcp_bulk, udp_blast};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

/// Names of the interfaces that are watched.
fn watched(snapshot: &Value) -> Vec<&str> {
    snapshot["capture"]["interfaces"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[track_caller]
fn until_watched(agent: &Agent, names: &[&str]) {
    agent.until("the interfaces", |snapshot| {
        let now = watched(snapshot);
        if now == names { Ok(()) } else { Err(format!("{now:?}")) }
    });
}

/// A further link between two hosts, 10.`net`.0.1 – 10.`net`.0.2.
fn link(lab: &Lab, a: &Host, b: &Host, name: &str, net: u8) {
    let addresses = [1, 2].map(|end| format!("10.{net}.0.{end}/24"));
    lab.link(a, name, b, name).addresses(&[&addresses[0]], &[&addresses[1]]).up().unwrap();
}

fn send(pair: &Pair, net: u8, packets: u64) {
    let to: SocketAddr = ([10, net, 0, 2], 9000).into();
    let sink = pair.b.enter(|| UdpSink::bind(to)).unwrap().unwrap();
    pair.a.enter(|| udp_blast(to, packets, 10, 1)).unwrap().unwrap();
    assert_eq!(sink.finish(packets, SOON).packets, packets);
}

#[track_caller]
fn until_counted(agent: &Agent, interface: &str, packets: u64) {
    agent.until("the packets", |snapshot| {
        let seen = Account::of(snapshot, interface).flows.rx.packets;
        if seen == packets { Ok(()) } else { Err(format!("{seen} of {packets} at {interface}")) }
    });
}

#[test]
fn an_interface_that_appears_is_picked_up_and_one_that_goes_is_let_go() {
    require_root!();
    let pair = Pair::new("i-come");
    let agent = Agent::start(&pair.b, &[]);
    until_watched(&agent, &["eth0"]);
    link(&pair.lab, &pair.a, &pair.b, "eth1", 1);
    until_watched(&agent, &["eth0", "eth1"]);
    send(&pair, 1, 250);
    until_counted(&agent, "eth1", 250);
    pair.b.ip(&["link", "del", "eth1"]).unwrap();
    until_watched(&agent, &["eth0"]);
    // What was seen there is not forgotten, and the rest goes on.
    send(&pair, 0, 120);
    until_counted(&agent, "eth0", 120);
    until_counted(&agent, "eth1", 250);
    // Another one by the same name is another one, and counts on under the name.
    link(&pair.lab, &pair.a, &pair.b, "eth1", 2);
    until_watched(&agent, &["eth0", "eth1"]);
    send(&pair, 2, 50);
    until_counted(&agent, "eth1", 300);
    let left = agent.stop();
    assert_eq!((left.code, logged(&left).sum.packets), (Some(0), 420), "{}", left.messages);
}

#[test]
fn the_last_interface_may_go_and_come_back() {
    require_root!();
    let pair = Pair::new("i-last");
    let agent = Agent::start(&pair.b, &["--interface", "eth0"]);
    pair.b.ip(&["link", "del", "eth0"]).unwrap();
    until_watched(&agent, &[]);
    link(&pair.lab, &pair.a, &pair.b, "eth0", 3);
    until_watched(&agent, &["eth0"]);
    send(&pair, 3, 70);
    until_counted(&agent, "eth0", 70);
}

#[test]
fn an_interface_renamed_under_the_agent_keeps_its_count() {
    require_root!();
    let pair = Pair::new("i-name");
    let agent = Agent::start(&pair.b, &[]);
    send(&pair, 0, 30);
    until_counted(&agent, "eth0", 30);
    pair.b.ip(&["link", "set", "eth0", "name", "wan0"]).unwrap();
    until_watched(&agent, &["wan0"]);
    send(&pair, 0, 30);
    until_counted(&agent, "wan0", 60);
}

#[test]
fn patterns_choose_and_an_exclusion_wins() {
    require_root!();
    let pair = Pair::new("i-pattern");
    for (name, net) in [("eth1", 1), ("eth2", 2), ("wg0", 3)] {
        link(&pair.lab, &pair.a, &pair.b, name, net);
    }
    for (patterns, names) in [
        (&["eth*", "!eth2"][..], &["eth0", "eth1"][..]),
        (&["!eth*"], &["wg0"]),
        (&["*"], &["eth0", "eth1", "eth2", "wg0"]),
        (&["wg0", "lo"], &["lo", "wg0"]),
        (&["eth?", "wg1"], &["eth0", "eth1", "eth2"]),
    ] {
        let args: Vec<&str> = patterns.iter().flat_map(|pattern| ["--interface", pattern]).collect();
        let agent = Agent::start(&pair.b, &args);
        let mut seen = agent.until("a first snapshot", |snapshot| {
            if watched(snapshot).is_empty() { Err("nothing watched".to_owned()) } else { Ok(()) }
        });
        seen["capture"]["interfaces"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
        assert_eq!(watched(&seen), names, "{patterns:?}");
    }
}

#[test]
fn the_loopback_is_captured_on_request_and_each_packet_counts_once() {
    require_root!();
    let lab = Lab::new("i-lo").unwrap();
    let host = lab.host("h").unwrap();
    let agent = Agent::start(&host, &["--loopback"]);
    let sink = host.enter(|| UdpSink::bind("127.0.0.1:9000".parse().unwrap())).unwrap().unwrap();
    host.enter(|| udp_blast("127.0.0.1:9000".parse().unwrap(), 500, 10, 1)).unwrap().unwrap();
    assert_eq!(sink.finish(500, SOON).packets, 500);
    agent.until("the flow", |_| match agent.flows(&["--port", "9000"]).as_slice() {
        // It left and it arrived: two points, one flow, five hundred packets.
        [flow] if flow["packets"] == 500 && flow["interfaces"].as_array().unwrap().len() == 2 => Ok(()),
        other => Err(format!("{other:#?}")),
    });
}

/// The one flow to a port of `middle`, which saw it at two interfaces; packets of the interfaces it names.
#[track_caller]
fn crossed(agent: &Agent, port: u16, packets: u64) -> Vec<(String, String)> {
    let mut places = Vec::new();
    agent.until("the flow that crosses", |_| match agent.flows(&["--port", &port.to_string()]).as_slice() {
        [flow] if flow["packets"] == packets && flow["interfaces"].as_array().unwrap().len() > 1 => Ok(()),
        other => Err(format!("{packets} packets wanted: {other:#?}")),
    });
    let flow = &agent.flows(&["--port", &port.to_string()])[0];
    for point in flow["interfaces"].as_array().unwrap() {
        assert_eq!(number(point, "/packets"), packets, "{flow:#}");
        let text = |key: &str| point[key].as_str().unwrap().to_owned();
        places.push((text("interface"), text("direction")));
    }
    places.sort();
    places
}

fn places(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(interface, direction)| ((*interface).to_owned(), (*direction).to_owned())).collect()
}

#[test]
fn a_router_sees_each_packet_once_per_flow() {
    require_root!();
    let between = Between::router("i-router");
    let agent = Agent::start(&between.middle, &[]);
    let to: SocketAddr = "10.0.2.2:9000".parse().unwrap();
    let sink = between.b.enter(|| UdpSink::bind(to)).unwrap().unwrap();
    between.a.enter(|| udp_blast(to, 2_000, 100, 1)).unwrap().unwrap();
    assert_eq!(sink.finish(2_000, SOON).packets, 2_000);
    assert_eq!(crossed(&agent, 9000, 2_000), places(&[("eth0", "ingress"), ("eth1", "egress")]));
    let flow = &agent.flows(&["--port", "9000"])[0];
    assert_eq!((flow["direction"].as_str(), flow["bytes"].as_u64()), (Some("transit"), Some(2_000 * 128)));
    // A conversation with answers, in bulk.
    let sink = between.b.enter(|| TcpSink::bind(&["10.0.2.2:9001".parse().unwrap()], 1)).unwrap().unwrap();
    let before = between.middle.counters("eth0").unwrap();
    between.a.enter(|| tcp_bulk("10.0.2.2:9001".parse().unwrap(), 5_000_000)).unwrap().unwrap();
    assert_eq!(sink.finish(1, SOON).bytes, 5_000_000);
    let kernel = between.middle.counters("eth0").unwrap() - before;
    let left = agent.stop();
    assert_eq!(left.code, Some(0), "{}", left.messages);
    assert_eq!(logged(&left).flows, 2);
    assert_eq!(logged(&left).sum.packets, 2_000 + kernel.rx_packets + kernel.tx_packets);
}

#[test]
fn a_bridge_sees_each_packet_once_per_flow() {
    require_root!();
    let between = Between::bridge("i-bridge");
    let agent = Agent::start(&between.middle, &[]);
    let to: SocketAddr = "10.0.0.2:9000".parse().unwrap();
    let sink = between.b.enter(|| UdpSink::bind(to)).unwrap().unwrap();
    between.a.enter(|| udp_blast(to, 2_000, 100, 1)).unwrap().unwrap();
    assert_eq!(sink.finish(2_000, SOON).packets, 2_000);
    let seen = crossed(&agent, 9000, 2_000);
    for place in places(&[("eth0", "ingress"), ("eth1", "egress")]) {
        assert!(seen.contains(&place), "{seen:?}");
    }
    let left = agent.stop();
    let flows = left.flows();
    let udp = flows.iter().find(|flow| flow["dest_port"] == 9000).unwrap();
    assert_eq!(number(udp, "/flow/pkts_toserver"), 2_000);
}
