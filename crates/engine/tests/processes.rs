//! Which process a flow belongs to, whatever comes first: the socket's event or the packets' record.
//!
//! Invariant: a flow keeps the process of its own connection, and all processes together are the host's traffic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{Desk, Rec, Sock, closes, host, icmp, interface, patient, process, socket, tcp, udp, used};
use hivewall_datapath::proto;
use hivewall_engine::Limits;
use hivewall_model::{Interface, Process, Rank, SocketChange, SocketState};

const HERE: &str = "10.0.0.1:40000";
const THERE: &str = "192.0.2.1:443";

fn desk() -> Desk {
    desk_within(patient())
}

fn desk_within(limits: Limits) -> Desk {
    let mut desk = Desk::new(limits);
    desk.know(host(&["10.0.0.1", "fd00::1", "127.0.0.1"]));
    desk
}

fn curl() -> Arc<Process> {
    process(7, "curl")
}

fn nginx() -> Arc<Process> {
    process(8, "nginx")
}

fn opened(first: i64) -> [Rec; 2] {
    [tcp(HERE, THERE).flags("SO").out().at(first), tcp(THERE, HERE).flags("SA").at(first + 10)]
}

/// Process and peer of every flow, oldest first.
fn owners(desk: &Desk) -> Vec<String> {
    let rows = desk.rows();
    let text = |row: &hivewall_view::FlowRow| {
        let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
        format!("{} {}", name(&row.process), name(&row.peer_process))
    };
    rows.iter().map(text).collect()
}

#[test]
fn a_socket_known_before_the_first_record_gives_the_flow_its_process() {
    let mut desk = desk();
    desk.sockets([used(HERE, THERE, &curl())]).feed(opened(1));
    assert_eq!(owners(&desk), ["curl -"]);
    assert_eq!(desk.processes(), ["curl[7] 1/1 flows, 100 > 100 <"]);
}

#[test]
fn a_socket_known_after_the_record_takes_over_what_was_booked_as_unknown() {
    let mut desk = desk();
    desk.feed(opened(1));
    assert_eq!(desk.processes(), ["(unknown)[0] 1/1 flows, 100 > 100 <"]);
    let attribution = desk.snapshot().attribution;
    assert_eq!((attribution.attributed_flows, attribution.unattributed_flows), (0, 1));
    desk.sockets([used(HERE, THERE, &curl()).at(2)]).feed([tcp(HERE, THERE).out().packets(5).at(20)]);
    assert_eq!(owners(&desk), ["curl -"]);
    assert_eq!(desk.processes(), ["curl[7] 1/1 flows, 600 > 100 <"]);
    let attribution = desk.snapshot().attribution;
    assert_eq!((attribution.attributed_flows, attribution.unattributed_flows, attribution.sockets), (1, 0, 1));
}

#[test]
fn a_socket_that_closed_before_the_record_is_still_known() {
    let mut desk = desk();
    desk.sockets([used(HERE, THERE, &curl()), closes(HERE, THERE).at(40)]).tick(900);
    let all = [tcp(HERE, THERE).flags("SAFO").out().during(1, 30), tcp(THERE, HERE).flags("SAF").during(10, 35)];
    desk.feed(all);
    assert_eq!(owners(&desk), ["curl -"]);
    desk.run(20_000);
    assert_eq!(desk.snapshot().attribution.sockets, 0, "but not for ever");
}

#[test]
fn a_new_connection_on_the_same_tuple_is_of_the_newer_process_and_the_old_keeps_its_own() {
    let wget = process(9, "wget");
    let first = [tcp(HERE, THERE).flags("SAFO").out().during(1, 30), tcp(THERE, HERE).flags("SAF").during(10, 35)];
    let second = [tcp(HERE, THERE).flags("SO").out().during(500, 500), tcp(THERE, HERE).flags("SA").at(510)];
    let old = || [used(HERE, THERE, &curl()), closes(HERE, THERE).at(40)];
    let new = || used(HERE, THERE, &wget).at(499);
    let want = ["curl -", "wget -"];

    let mut each_in_turn = desk();
    each_in_turn.sockets(old()).feed(first).sockets([new()]).feed(second);
    assert_eq!(owners(&each_in_turn), want);

    let mut records_late = desk();
    records_late.sockets(old()).sockets([new()]).feed(first).feed(second);
    assert_eq!(owners(&records_late), want);

    let mut sockets_late = desk();
    sockets_late.feed(first).feed(second).sockets(old()).sockets([new()]);
    assert_eq!(owners(&sockets_late), want);

    let mut new_socket_late = desk();
    new_socket_late.sockets(old()).feed(first).feed(second).sockets([new()]);
    assert_eq!(owners(&new_socket_late), want);
}

#[test]
fn changes_of_state_before_and_after_the_use_are_of_one_connection() {
    let state = |from, to| socket(proto::TCP, HERE, THERE, SocketChange::State { from, to });
    let connecting = || state(SocketState::Close, SocketState::SynSent);
    for events in [
        vec![used(HERE, THERE, &curl()), connecting().at(1)],
        vec![connecting(), used(HERE, THERE, &curl()).at(1)],
        vec![connecting(), used(HERE, THERE, &curl()).at(1), state(SocketState::SynSent, SocketState::Established)],
    ] {
        let mut desk = desk();
        desk.sockets(events).feed(opened(2));
        assert_eq!(owners(&desk), ["curl -"]);
    }
}

#[test]
fn a_late_accept_finds_the_flow_and_stands_above_the_listener() {
    let (client, server) = ("192.0.2.1:50000", "10.0.0.1:80");
    let master = process(100, "master");
    let listens = socket(proto::TCP, "*:80", "*", SocketChange::Bound).by(&master);
    let mut desk = desk();
    desk.sockets([listens]).feed([tcp(client, server).flags("SO").at(1), tcp(server, client).flags("SA").out().at(2)]);
    assert_eq!(owners(&desk), ["master -"], "who listens has it until somebody accepts");
    desk.sockets([used(server, client, &nginx()).at(3000)]).feed([tcp(client, server).at(3100)]);
    assert_eq!(owners(&desk), ["nginx -"]);
    assert_eq!(desk.processes(), ["nginx[8] 1/1 flows, 100 > 200 <", "master[100] 0/0 flows, 0 > 0 <"]);
}

#[test]
fn a_udp_server_is_found_by_its_port_and_only_at_this_host_s_addresses() {
    let named = process(53, "named");
    let bound = || socket(proto::UDP, "*:53", "*", SocketChange::Bound).by(&named);
    let mut desk = desk();
    desk.sockets([bound()]).feed([
        udp("192.0.2.9:5000", "10.0.0.1:53"),
        udp("192.0.2.9:5000", "10.0.0.2:53"),
        udp("[fd00::9]:5000", "[fd00::1]:53"),
        tcp("192.0.2.9:5000", "10.0.0.1:53"),
    ]);
    assert_eq!(owners(&desk), ["named -", "- -", "- -", "- -"], "0.0.0.0 takes no IPv6");
    let dual = socket(proto::UDP, "[::]:54", "[::]:0", SocketChange::Bound).by(&named);
    desk.sockets([dual]).feed([udp("192.0.2.9:1", "10.0.0.1:54"), udp("[fd00::9]:1", "[fd00::1]:54")]);
    assert_eq!(owners(&desk)[4..], ["named -", "named -"]);
    let released = socket(proto::UDP, "*:53", "*", SocketChange::Released).at(100);
    desk.sockets([released]).tick(1000).feed([udp("192.0.2.9:5001", "10.0.0.1:53").at(1000)]);
    assert_eq!(owners(&desk)[6..], ["- -"], "began after it was released");
}

#[test]
fn an_unconnected_socket_that_sends_is_found_by_port_and_peer() {
    let dig = process(11, "dig");
    let sends = || socket(proto::UDP, "*:5353", "192.0.2.53:53", SocketChange::Used).by(&dig);
    let recs = || [udp("10.0.0.1:5353", "192.0.2.53:53"), udp("10.0.0.1:5353", "192.0.2.54:53")];
    for first in [true, false] {
        let mut desk = desk();
        if first {
            desk.sockets([sends()]).feed(recs());
        } else {
            desk.feed(recs()).sockets([sends()]);
        }
        assert_eq!(owners(&desk), ["dig -", "- -"]);
    }
}

#[test]
fn a_stranger_on_the_same_ports_is_no_socket_without_an_address() {
    let mut desk = desk();
    desk.sockets([socket(proto::UDP, "*:40001", "10.0.0.1:443", SocketChange::Used).by(&curl())]);
    desk.feed([udp("192.0.2.1:40001", "10.0.0.1:443")]);
    assert_eq!(owners(&desk), ["- -"]);
    desk.feed([udp("127.0.0.1:40001", "10.0.0.1:443")]);
    assert_eq!(owners(&desk), ["- -", "curl -"]);
}

#[test]
fn a_container_s_socket_makes_its_end_one_of_this_host() {
    let (inside, outside) = ("172.17.0.2:33000", "192.0.2.7:443");
    for first in [true, false] {
        let mut desk = desk();
        let event = used(inside, outside, &process(20, "app"));
        if first {
            desk.sockets([event]).feed([tcp(inside, outside).flags("SO").at(1)]);
        } else {
            desk.feed([tcp(inside, outside).flags("SO").at(1)]).sockets([event.at(1)]);
        }
        desk.feed([tcp(outside, inside).flags("SA").at(5)]);
        assert_eq!(owners(&desk), ["app -"]);
        assert_eq!(desk.processes(), ["app[20] 1/1 flows, 100 > 100 <"]);
        assert_eq!(desk.only().direction, "transit");
    }
}

#[test]
fn both_ends_of_a_local_flow_have_their_process_and_their_share() {
    let (client, server) = ("127.0.0.1:50000", "127.0.0.1:80");
    let mut desk = desk();
    desk.feed([tcp(client, server).flags("SO").packets(3).at(1), tcp(server, client).flags("SA").packets(5).at(2)]);
    assert_eq!(desk.processes(), ["(unknown)[0] 1/1 flows, 800 > 800 <"]);
    desk.sockets([used(server, client, &nginx()).at(3)]);
    assert_eq!(owners(&desk), ["nginx -"]);
    assert_eq!(desk.processes(), ["nginx[8] 1/1 flows, 500 > 300 <", "(unknown)[0] 1/1 flows, 300 > 500 <"]);
    desk.sockets([used(client, server, &curl()).at(3)]);
    assert_eq!(owners(&desk), ["curl nginx"]);
    assert_eq!(desk.processes(), ["curl[7] 1/1 flows, 300 > 500 <", "nginx[8] 1/1 flows, 500 > 300 <"]);
}

#[test]
fn a_process_that_talks_to_itself_has_one_flow() {
    let (client, server) = ("127.0.0.1:50000", "127.0.0.53:80");
    let mut desk = desk();
    desk.feed([tcp(client, server).flags("SO").at(1)]);
    desk.sockets([used(client, server, &curl()), used(server, client, &curl())]);
    assert_eq!(desk.processes(), ["curl[7] 1/1 flows, 100 > 100 <"]);
    assert_eq!(desk.only().direction, "local");
    desk.stop();
    assert_eq!(desk.processes(), ["curl[7] 0/1 flows, 100 > 100 <"]);
}

#[test]
fn a_socket_finds_its_flow_in_the_vlan_of_an_interface() {
    let mut desk = Desk::new(patient());
    let tagged =
        Interface { vlan: 10, addresses: vec!["10.0.0.1".parse().unwrap()], ..interface(2, "eth0.10", Rank::Upper) };
    desk.know(vec![interface(1, "eth0", Rank::Plain), tagged]);
    desk.feed([tcp(HERE, THERE).flags("SO").vlan(10, 0).on(1).at(1)]).sockets([used(HERE, THERE, &curl()).at(1)]);
    assert_eq!(owners(&desk), ["curl -"]);
}

#[test]
fn a_flow_cut_by_its_age_keeps_its_process_and_counts_each_piece() {
    let limits = Limits { active: std::time::Duration::from_secs(10), ..patient() };
    let mut desk = desk_within(limits);
    desk.sockets([used(HERE, THERE, &curl())]).feed(opened(1)).run(11_000);
    desk.feed([tcp(HERE, THERE).out().at(11_500)]);
    assert_eq!(owners(&desk), ["curl -", "curl -"]);
    assert_eq!(desk.processes(), ["curl[7] 1/2 flows, 200 > 100 <"]);
    assert_eq!(desk.snapshot().attribution.attributed_flows, 2);
}

#[test]
fn a_flow_ends_with_what_became_known_meanwhile_of_its_port() {
    let limits = Limits { idle: std::time::Duration::from_secs(60), ..Limits::default() };
    let mut desk = desk_within(limits);
    desk.feed([udp("192.0.2.9:5000", "10.0.0.1:53")]).run(5000);
    desk.sockets([socket(proto::UDP, "*:53", "*", SocketChange::Bound).by(&process(53, "named"))]);
    assert_eq!(owners(&desk), ["- -"]);
    desk.run(70_000);
    assert_eq!(desk.closed()[0].server_process.as_ref().unwrap().comm.as_ref(), "named");
}

#[test]
fn icmp_is_traffic_of_nobody_known_and_no_flow_without_a_process() {
    let mut desk = desk();
    desk.feed([icmp("192.0.2.1", "10.0.0.1", 8, 0), icmp("10.0.0.1", "192.0.2.1", 0, 0)]);
    assert_eq!(desk.processes(), ["(unknown)[0] 1/1 flows, 100 > 100 <"]);
    assert_eq!(desk.snapshot().attribution.unattributed_flows, 0);
}

#[test]
fn rates_are_of_the_latest_second() {
    let mut desk = desk();
    desk.tick(0).sockets([used(HERE, THERE, &curl())]).feed([tcp(HERE, THERE).packets(10).at(500)]).tick(1000);
    let row = &desk.snapshot().processes[0];
    assert!((row.sent_bits_per_second - 8000.0).abs() < 0.5 && row.received_bits_per_second == 0.0, "{row:?}");
    desk.tick(2000);
    assert!(desk.snapshot().processes[0].sent_bits_per_second.abs() < 0.5);
}

#[test]
fn an_address_that_the_host_gets_late_brings_its_flows_traffic() {
    let mut desk = Desk::new(patient());
    desk.know(vec![interface(1, "eth0", Rank::Plain)]);
    desk.feed(opened(1));
    assert_eq!(desk.processes(), Vec::<String>::new());
    desk.know(host(&["10.0.0.1"]));
    assert_eq!(desk.processes(), ["(unknown)[0] 1/1 flows, 100 > 100 <"]);
}

#[test]
fn the_table_of_sockets_forgets_the_oldest_and_counts_them() {
    let mut desk = desk_within(Limits { sockets_max: 100, ..patient() });
    let many = (0..1000).map(|n| used(&format!("10.0.0.1:{}", 1000 + n), THERE, &curl()));
    desk.sockets(many);
    let snapshot = desk.snapshot();
    assert_eq!((snapshot.attribution.sockets, snapshot.losses["sockets_evicted"].count), (100, 900));
    desk.feed([tcp("10.0.0.1:1999", THERE).flags("SO").at(1), tcp("10.0.0.1:1000", THERE).flags("SO").at(1)]);
    assert_eq!(owners(&desk), ["curl -", "- -"]);
}

#[test]
fn a_flood_of_sockets_that_open_and_close_at_once_leaves_those_that_live() {
    let mut desk = desk_within(Limits { sockets_max: 100, ..patient() });
    desk.sockets([used(HERE, THERE, &curl())]);
    for n in 0..5000 {
        let end = format!("10.0.0.1:{}", 1000 + n);
        desk.sockets([used(&end, THERE, &nginx()), closes(&end, THERE)]);
    }
    assert_eq!(desk.snapshot().attribution.sockets, 100);
    desk.feed(opened(1));
    assert_eq!(owners(&desk), ["curl -"]);
}

#[test]
fn an_event_without_a_local_port_is_counted_as_such() {
    let mut desk = desk();
    desk.sockets([used("0.0.0.0:0", THERE, &curl())]);
    let snapshot = desk.snapshot();
    assert_eq!((snapshot.losses["sockets_without_port"].count, snapshot.attribution.sockets), (1, 0));
    assert_eq!(snapshot.agent.socket_events, 1);
}

#[test]
fn processes_beyond_the_limit_are_added_up() {
    let mut desk = desk_within(Limits { processes_max: 8, ..patient() });
    for n in 0..100_u32 {
        let end = format!("10.0.0.1:{}", 1000 + n);
        let event: Sock = used(&end, THERE, &process(n + 1, "short"));
        desk.sockets([event]).feed([tcp(&end, THERE).flags("SO").at(1)]);
    }
    let rows = desk.snapshot().processes;
    assert!(rows.len() <= 9);
    assert_eq!(rows.last().unwrap().process, "(other)");
    assert_eq!(
        rows.iter().map(|row| (row.sent_bytes, row.active_flows)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (10_000, 100)
    );
    desk.stop();
    assert_eq!(desk.snapshot().processes.iter().map(|row| row.active_flows).sum::<u64>(), 0);
}

#[test]
fn a_local_connection_s_health_is_its_flow_s_and_stays_after_the_close() {
    let mut desk = desk();
    desk.sockets([used(HERE, THERE, &curl()).health(1500, 0)]).feed(opened(1));
    assert_eq!(desk.only().smoothed_rtt_seconds, Some(0.0015));
    let measured = socket(proto::TCP, HERE, THERE, SocketChange::Measured).health(2500, 2).at(500);
    desk.sockets([measured, closes(HERE, THERE).at(600)]).tick(30_000);
    let row = desk.only();
    assert_eq!((row.smoothed_rtt_seconds, row.retransmits), (Some(0.0025), Some(2)));
    let snapshot = desk.snapshot();
    assert_eq!(snapshot.sockets.retransmits, 2);
    let peer = &snapshot.latency["192.0.2.1"];
    assert_eq!((peer.samples, peer.last_seconds, peer.min_seconds), (2, 0.0025, 0.0015));
    assert_eq!(snapshot.sockets.transitions["LAST_ACK>CLOSE"], 1);
}
