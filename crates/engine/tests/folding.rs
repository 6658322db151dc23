//! Many records, one flow: both directions, several CPUs, several interfaces, each packet once.
//!
//! What ends a flow is tested in `ends.rs`. Invariant: each test compares the flow, the totals of the host and the
//! counters of each interface, since they are counted apart from each other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]

mod common;

use common::{Desk, Rec, icmp, interface, ip, patient, tcp, udp};
use expect_test::{Expect, expect};
use hivewall_datapath::Tunnel;
use hivewall_model::{Interface, Rank};

const A: &str = "10.0.0.1:40000";
const B: &str = "10.0.0.2:443";

/// Packets of all protocols at an interface: in, out.
fn at_interface(desk: &Desk, name: &str) -> (u64, u64) {
    let total = &desk.snapshot().network_traffic[name].total;
    (total.in_packets, total.out_packets)
}

fn fold(interfaces: Vec<Interface>, recs: impl IntoIterator<Item = Rec>) -> Desk {
    let mut desk = Desk::new(patient());
    desk.know(interfaces);
    desk.feed(recs);
    desk
}

/// Folds, compares flows, and holds the host's totals against what the packets on the wire were.
fn check(interfaces: Vec<Interface>, recs: impl IntoIterator<Item = Rec>, packets: u64, expect: &Expect) -> Desk {
    let desk = fold(interfaces, recs);
    desk.check(expect);
    assert_eq!(desk.total(), (packets, packets * 100));
    let addresses = desk.snapshot().ip_traffic_distribution;
    assert_eq!(addresses.values().map(|row| row.sent_packets).sum::<u64>(), packets);
    assert_eq!(addresses.values().map(|row| row.received_bytes).sum::<u64>(), packets * 100);
    desk
}

fn plain(names: &[&str]) -> Vec<Interface> {
    (1..).zip(names).map(|(index, name)| interface(index, name, Rank::Plain)).collect()
}

#[test]
fn both_directions_are_one_flow() {
    let recs = [tcp(A, B).packets(3), tcp(B, A).out().packets(2).at(1)];
    check(
        plain(&["eth0"]),
        recs,
        5,
        &expect![[r#"
        #1 tcp 10.0.0.1:40000 > 10.0.0.2:443, 3/2 packets 300/200 bytes (342/228 wire), guessed, ESTABLISHED
            > eth0 in 3/300
            < eth0 out 2/200
    "#]],
    );
}

#[test]
fn records_of_several_cpus_add_up() {
    let recs = (0..4).map(|cpu| udp(A, B).packets(10 + cpu).during(0, 900));
    check(
        plain(&["eth0"]),
        recs,
        46,
        &expect![[r#"
        #1 udp 10.0.0.1:40000 > 10.0.0.2:443, 46/0 packets 4600/0 bytes (5244/0 wire), guessed
            > eth0 in 46/4600
    "#]],
    );
}

#[test]
fn a_forwarded_packet_counts_once_in_the_flow_and_at_both_interfaces() {
    let recs = [
        tcp(A, B).packets(7),
        tcp(A, B).on(2).out().packets(7),
        tcp(B, A).on(2).packets(4).at(1),
        tcp(B, A).out().packets(4).at(1),
    ];
    let desk = check(
        plain(&["eth0", "eth1"]),
        recs,
        11,
        &expect![[r#"
        #1 tcp 10.0.0.1:40000 > 10.0.0.2:443, 7/4 packets 700/400 bytes (798/456 wire), guessed, ESTABLISHED
            > eth0 in 7/700
            > eth1 out 7/700
            < eth1 in 4/400
            < eth0 out 4/400
    "#]],
    );
    assert_eq!(at_interface(&desk, "eth0"), (7, 4));
    assert_eq!(at_interface(&desk, "eth1"), (4, 7));
}

#[test]
fn what_a_forwarding_host_dropped_is_still_counted_where_it_came_in() {
    let desk = fold(plain(&["eth0", "eth1"]), [udp(A, B).packets(9), udp(A, B).on(2).out().packets(5)]);
    assert_eq!((desk.only().packets, desk.total()), (9, (9, 900)));
}

#[test]
fn a_bridge_shows_a_packet_at_its_port_and_again_itself() {
    let bridge = vec![interface(1, "eth0", Rank::Port), interface(2, "br0", Rank::Master)];
    let desk = check(
        bridge,
        [udp(A, B).packets(3), udp(A, B).on(2).packets(3)],
        3,
        &expect![[r#"
        #1 udp 10.0.0.1:40000 > 10.0.0.2:443, 3/0 packets 300/0 bytes (342/0 wire), guessed
            > eth0 in 3/300
            > br0 in 3/300
    "#]],
    );
    assert_eq!((at_interface(&desk, "eth0"), at_interface(&desk, "br0")), ((3, 0), (3, 0)));
}

#[test]
fn ports_of_a_bond_share_the_packets_of_a_flow() {
    let bond =
        vec![interface(1, "eth0", Rank::Port), interface(2, "eth1", Rank::Port), interface(3, "bond0", Rank::Master)];
    let recs = [udp(A, B).packets(3), udp(A, B).on(2).packets(4), udp(A, B).on(3).packets(7)];
    check(
        bond,
        recs,
        7,
        &expect![[r#"
        #1 udp 10.0.0.1:40000 > 10.0.0.2:443, 7/0 packets 700/0 bytes (798/0 wire), guessed
            > eth0 in 3/300
            > eth1 in 4/400
            > bond0 in 7/700
    "#]],
    );
}

#[test]
fn two_plain_interfaces_carry_different_packets() {
    let recs = [udp(A, B).packets(3), udp(A, B).on(2).packets(4), udp(A, B).on(3).out().packets(7)];
    let desk = fold(plain(&["eth0", "eth1", "eth2"]), recs);
    assert_eq!((desk.only().packets, desk.total()), (7, (7, 700)));
}

#[test]
fn both_ends_of_a_veth_and_both_hooks_of_the_loopback_show_one_packet() {
    let ends = fold(plain(&["veth0", "veth1"]), [udp(A, B).out().packets(5), udp(A, B).on(2).packets(5)]);
    assert_eq!((ends.only().packets, ends.total()), (5, (5, 500)));
    let (x, y) = ("127.0.0.1:5000", "127.0.0.1:53");
    let recs = [udp(x, y).out().packets(2), udp(x, y).packets(2), udp(y, x).out().at(1), udp(y, x).at(1)];
    check(
        plain(&["lo"]),
        recs,
        3,
        &expect![[r#"
        #1 udp 127.0.0.1:5000 > 127.0.0.1:53, 2/1 packets 200/100 bytes (228/114 wire), guessed
            > lo out 2/200
            > lo in 2/200
            < lo out 1/100
            < lo in 1/100
    "#]],
    );
}

#[test]
fn a_vlan_interface_shows_without_a_tag_what_its_parent_shows_with_one() {
    let upper = Interface { vlan: 10, ..interface(2, "eth0.10", Rank::Upper) };
    let interfaces = vec![interface(1, "eth0", Rank::Plain), upper];
    let recs = [udp(A, B).vlan(10, 0).packets(3), udp(A, B).on(2).packets(3)];
    check(
        interfaces,
        recs,
        3,
        &expect![[r#"
        #1 udp 10.0.0.1:40000 > 10.0.0.2:443 vlan [10], 3/0 packets 300/0 bytes (342/0 wire), guessed
            > eth0 in 3/300
            > eth0.10 in 3/300
    "#]],
    );
}

#[test]
fn the_same_ports_in_two_vlans_are_two_conversations() {
    let desk =
        fold(plain(&["eth0"]), [udp(A, B).vlan(10, 0), udp(A, B).vlan(20, 0), udp(A, B).vlan(10, 20), udp(A, B)]);
    assert_eq!(desk.rows().len(), 4);
}

#[test]
fn what_is_inside_of_a_tunnel_is_a_flow_and_in_no_total() {
    let outer = udp("192.0.2.1:9999", "192.0.2.2:4789").packets(3);
    let inner = tcp(A, B).inside(Tunnel::Vxlan).packets(3);
    let desk = check(
        plain(&["eth0"]),
        [outer, inner],
        3,
        &expect![[r#"
        #1 udp 192.0.2.1:9999 > 192.0.2.2:4789, 3/0 packets 300/0 bytes (342/0 wire), guessed
            > eth0 in 3/300
        #2 tcp 10.0.0.1:40000 > 10.0.0.2:443, 3/0 packets 300/0 bytes (300/0 wire), guessed, ESTABLISHED, vxlan
            > eth0 in 3/300 inside vxlan
    "#]],
    );
    assert_eq!(at_interface(&desk, "eth0"), (3, 0));
    assert_eq!(desk.snapshot().capture.packets, 3);
}

#[test]
fn a_packet_seen_inside_of_a_tunnel_and_after_it_counts_once_in_its_flow() {
    let recs = [tcp(A, B).inside(Tunnel::Gre).packets(3), tcp(A, B).on(2).packets(3)];
    check(
        plain(&["eth0", "gre1"]),
        recs,
        3,
        &expect![[r#"
        #1 tcp 10.0.0.1:40000 > 10.0.0.2:443, 3/0 packets 300/0 bytes (342/0 wire), guessed, ESTABLISHED
            > eth0 in 3/300 inside gre
            > gre1 in 3/300
    "#]],
    );
}

#[test]
fn a_count_never_shrinks_when_another_interface_has_seen_more_packets_of_fewer_bytes() {
    let mut desk = fold(plain(&["eth0", "eth1"]), [udp(A, B).counts(10, 5000)]);
    desk.feed([udp(A, B).on(2).out().counts(12, 3000)]);
    let row = desk.only();
    assert_eq!(((row.packets, row.bytes), desk.total()), ((12, 5000), (12, 5000)));
}

#[test]
fn a_count_never_shrinks_when_an_interface_joins_a_bridge() {
    let mut desk = fold(plain(&["eth0", "eth1"]), [udp(A, B).packets(5), udp(A, B).on(2).packets(6)]);
    desk.know(vec![
        interface(1, "eth0", Rank::Port),
        interface(2, "eth1", Rank::Plain),
        interface(3, "br0", Rank::Master),
    ]);
    desk.feed([udp(A, B).packets(1), udp(A, B).on(3).packets(1)]);
    assert_eq!((desk.only().packets, desk.total()), (12, (12, 1200)));
}

#[test]
fn a_multicast_that_a_bridge_sends_out_of_each_port_counts_once() {
    let ports = (1..=60).map(|index| interface(index, &format!("port{index}"), Rank::Port)).collect();
    let group = |src, dst| (2..=60).map(move |index| udp(src, dst).on(index).out().packets(4));
    let desk = fold(
        ports,
        [udp("10.0.0.1:5353", "224.0.0.251:5353").packets(4)]
            .into_iter()
            .chain(group("10.0.0.1:5353", "224.0.0.251:5353")),
    );
    let row = desk.only();
    assert_eq!((row.packets, desk.total()), (4, (4, 400)));
    assert_eq!(row.interfaces.iter().map(|point| point.packets).sum::<u64>(), 60 * 4, "all points together");
    assert_eq!(row.interfaces.last().unwrap().interface, "others");
    assert_eq!(at_interface(&desk, "port60"), (0, 4));

    let v6 = fold(
        plain(&["a", "b"]),
        [udp("[fe80::1]:1", "[ff02::1]:1").out(), udp("[fe80::1]:1", "[ff02::1]:1").on(2).out()],
    );
    assert_eq!(v6.total(), (1, 100));
    let unicast = fold(
        plain(&["a", "b"]),
        [udp("[fe80::1]:1", "[fe80::2]:1").out(), udp("[fe80::1]:1", "[fe80::2]:1").on(2).out()],
    );
    assert_eq!(unicast.total(), (2, 200));
}

#[test]
fn a_flow_over_more_interfaces_than_are_kept_apart_loses_no_packet() {
    let there = (1..=50).map(|index| udp(A, B).on(index));
    let back = (1..=50).map(|index| udp(B, A).on(index).out().packets(2).at(1));
    let desk = fold(Vec::new(), there.chain(back));
    let row = desk.only();
    assert_eq!((row.packets_to_server, row.packets_to_client, desk.total()), (50, 100, (150, 15_000)));
    assert!(row.interfaces.len() < 40, "{}", row.interfaces.len());
}

#[test]
fn families_and_protocols_keep_equal_numbers_apart() {
    let desk = fold(
        plain(&["eth0"]),
        [
            udp("1.2.3.4:5", "5.6.7.8:9"),
            tcp("1.2.3.4:5", "5.6.7.8:9"),
            udp("[::ffff:1.2.3.4]:5", "[::ffff:5.6.7.8]:9"),
            ip(47, "1.2.3.4", "5.6.7.8"),
            ip(132, "1.2.3.4", "5.6.7.8").portless(),
        ],
    );
    assert_eq!(desk.rows().len(), 5);
}

#[test]
fn fragments_of_unknown_ports_are_a_flow_of_their_own() {
    let recs =
        [udp(A, B), ip(17, "10.0.0.1", "10.0.0.2").portless(), icmp("10.0.0.1", "10.0.0.2", 0, 0).portless().at(2)];
    check(
        plain(&["eth0"]),
        recs,
        3,
        &expect![[r#"
        #1 udp 10.0.0.1:40000 > 10.0.0.2:443, 1/0 packets 100/0 bytes (114/0 wire), guessed
            > eth0 in 1/100
        #2 udp 10.0.0.1:0 > 10.0.0.2:0, 1/0 packets 100/0 bytes (114/0 wire), guessed, ports unknown
            > eth0 in 1/100
        #3 icmp 10.0.0.1 > 10.0.0.2 type 0 code 0, 1/0 packets 100/0 bytes (114/0 wire), guessed, ports unknown
            > eth0 in 1/100
    "#]],
    );
}

#[test]
fn times_are_those_of_the_first_and_the_latest_packet() {
    let desk =
        fold(plain(&["eth0"]), [udp(A, B).during(500, 900), udp(B, A).during(200, 1300), udp(A, B).during(100, 300)]);
    let row = desk.only();
    assert_eq!((row.start.as_str(), row.end.as_str()), ("2023-11-14T22:13:20.100000Z", "2023-11-14T22:13:21.300000Z"));
}
