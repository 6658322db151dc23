//! Traffic by address, prefix and interface.
//!
//! Invariant: what a table cannot hold is in its `other`, and it says so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::float_cmp, reason = "rates are rounded to whole numbers where they are shown")]

mod common;

use std::collections::HashMap;

use common::{Desk, Rec, clock, interface, patient, tcp, udp};
use hivewall_datapath::{Direction as Hook, Reason, Tally, TallyKey, Tunnel};
use hivewall_engine::{Event, Limits};
use hivewall_model::{Interface, Rank, TickClock};
use hivewall_view::AddressTraffic;
use proptest::prelude::*;

fn from(n: u32, bytes: u32) -> Rec {
    udp(&format!("10.{}.{}.{}:1000", n >> 16, n >> 8 & 0xff, n & 0xff), "192.0.2.1:53").counts(1, bytes)
}

fn traffic(sent: (u64, u64), received: (u64, u64)) -> AddressTraffic {
    AddressTraffic {
        sent_packets: sent.0,
        sent_bytes: sent.1,
        received_packets: received.0,
        received_bytes: received.1,
    }
}

#[test]
fn each_end_of_a_packet_is_counted_once() {
    let mut desk = Desk::new(patient());
    desk.feed([tcp("10.0.0.1:9", "10.0.0.2:80").packets(3), tcp("10.0.0.2:80", "10.0.0.1:9").packets(2)]);
    desk.feed([tcp("10.0.0.1:9", "10.0.0.2:80").inside(Tunnel::Gre).packets(100)]);
    let snapshot = desk.snapshot();
    let table = &snapshot.ip_traffic_distribution;
    assert_eq!(table.len(), 2);
    assert_eq!(table["10.0.0.1"], traffic((3, 300), (2, 200)));
    assert_eq!(table["10.0.0.2"], traffic((2, 200), (3, 300)));
    assert!(snapshot.ip_traffic_accuracy.exact);
    assert_eq!(snapshot.ip_traffic_accuracy.error_bytes_max, 0);
}

#[test]
fn addresses_that_are_not_shown_are_in_other() {
    let mut desk = Desk::new(Limits { addresses_shown: 3, ..patient() });
    desk.feed((1..=10).map(|n| from(n, n * 100)));
    let snapshot = desk.snapshot();
    let names: Vec<&str> = snapshot.ip_traffic_distribution.keys().map(String::as_str).collect();
    assert_eq!(names, ["10.0.0.10", "10.0.0.9", "192.0.2.1", "other"]);
    assert_eq!(snapshot.ip_traffic_distribution["other"], traffic((8, 3600), (0, 0)));
    assert!(snapshot.ip_traffic_accuracy.exact, "shown or not, it was counted");
}

#[test]
fn a_full_table_folds_the_quietest_and_says_so() {
    let mut desk = Desk::new(Limits { addresses_max: 16, ..patient() });
    desk.feed((1..=15).map(|n| from(n, n * 100)));
    assert!(desk.snapshot().ip_traffic_accuracy.exact);
    desk.feed([from(99, 5000)]);
    let snapshot = desk.snapshot();
    let accuracy = &snapshot.ip_traffic_accuracy;
    assert_eq!((accuracy.exact, accuracy.tracked, accuracy.limit), (false, 13, 16));
    assert_eq!((accuracy.folded, accuracy.error_bytes_max), (4, 400));
    assert_eq!(snapshot.ip_traffic_distribution["other"], traffic((4, 1000), (0, 0)));
    desk.feed([from(1, 700)]);
    assert_eq!(desk.snapshot().ip_traffic_distribution["10.0.0.1"].sent_bytes, 700, "100 are in other");
}

#[test]
fn a_flow_finds_its_address_again_after_it_was_folded() {
    let mut desk = Desk::new(Limits { addresses_max: 16, ..patient() });
    desk.feed([from(1, 50)]).feed((2..=60).map(|n| from(n, 1000))).feed([from(1, 9000)]);
    let table = desk.snapshot().ip_traffic_distribution;
    assert_eq!(table["10.0.0.1"].sent_bytes, 9000);
    assert_eq!(table.values().map(|row| row.sent_bytes).sum::<u64>(), 50 + 59 * 1000 + 9000);
}

#[test]
fn prefixes_count_what_is_inside_of_them_and_of_those_around_them() {
    let subnets = ["10.0.0.0/8", "10.0.0.0/24", "0.0.0.0/0", "fd00::/8", "::/0"].map(|net| net.parse().unwrap());
    let mut desk = Desk::new(Limits { subnets: subnets.to_vec(), ..patient() });
    desk.feed([
        udp("10.0.0.1:1", "10.0.1.1:2"),
        udp("10.0.0.1:1", "192.0.2.1:2"),
        udp("192.0.2.1:2", "10.0.0.1:1").packets(5),
        udp("[fd00::1]:1", "[2001:db8::1]:2"),
    ]);
    let subnets = desk.snapshot().subnet_traffic;
    assert_eq!(subnets["10.0.0.0/24"], traffic((2, 200), (5, 500)));
    assert_eq!(subnets["10.0.0.0/8"], traffic((2, 200), (6, 600)));
    assert_eq!(subnets["0.0.0.0/0"], traffic((7, 700), (7, 700)));
    assert_eq!(subnets["fd00::/8"], traffic((1, 100), (0, 0)));
    assert_eq!(subnets["::/0"], traffic((1, 100), (1, 100)));
}

#[test]
fn top_talkers_are_those_of_the_latest_second_with_their_rates() {
    let mut desk = Desk::new(patient());
    desk.tick(0).feed((1..=30).map(|n| from(n, n * 1000).at(500))).tick(2000);
    let talkers = desk.snapshot().top_talkers;
    assert_eq!(talkers.len(), 20);
    let first = &talkers[0];
    assert_eq!((first.address.as_str(), first.received_bits_per_second), ("192.0.2.1", 465_000.0 * 8.0 / 2.0));
    assert_eq!((talkers[1].address.as_str(), talkers[1].sent_bits_per_second), ("10.0.0.30", 120_000.0));
    desk.feed([from(2, 4000).at(2500)]).tick(3000);
    let talkers = desk.snapshot().top_talkers;
    let names: Vec<&str> = talkers.iter().map(|talker| talker.address.as_str()).collect();
    assert_eq!(names, ["10.0.0.2", "192.0.2.1"]);
    assert_eq!((talkers[0].bits_per_second, talkers[0].bytes), (32_000.0, 6000));
    desk.tick(4000);
    assert!(desk.snapshot().top_talkers.is_empty());
}

#[test]
fn a_talker_that_was_folded_and_came_back_is_named_once() {
    let mut desk = Desk::new(Limits { addresses_max: 16, ..patient() });
    desk.tick(0).feed([from(1, 50)]).feed((2..=60).map(|n| from(n, 1000))).feed([from(1, 9000)]).tick(1000);
    let talkers = desk.snapshot().top_talkers;
    assert_eq!(talkers.iter().filter(|talker| talker.address == "10.0.0.1").count(), 1);
    assert!(talkers.iter().all(|talker| talker.bits_per_second > 0.0));
}

#[test]
fn protocol_and_flow_rates_are_of_the_latest_second_and_a_hasty_tick_changes_nothing() {
    let mut desk = Desk::new(patient());
    desk.tick(0).feed([from(1, 1000).at(200), from(2, 1000).at(300)]).tick(1000);
    let snapshot = desk.snapshot();
    assert_eq!((snapshot.protocols["udp"].bits_per_second, snapshot.flow_counts.new_per_second), (16_000.0, 2.0));
    desk.tick(1100).tick(1400);
    assert_eq!(desk.snapshot().protocols["udp"].bits_per_second, 16_000.0);
    desk.tick(2000);
    assert_eq!(desk.snapshot().protocols["udp"].bits_per_second, 0.0);
}

#[test]
fn a_flow_s_rate_follows_its_traffic() {
    let mut desk = Desk::new(patient());
    let rate = |desk: &Desk| desk.rows()[0].bits_per_second;
    for second in 0..5 {
        desk.feed([from(1, 125_000).during(second * 1000, second * 1000 + 999)]).tick(second * 1000 + 1000);
    }
    assert!((rate(&desk) - 1_000_000.0).abs() < 2000.0, "{}", rate(&desk));
    desk.tick(7600);
    assert_eq!(rate(&desk), 0.0, "quiet");
    desk.feed([from(1, 12_500).during(60_000, 60_200)]).tick(60_500);
    assert!((rate(&desk) - 100_000.0).abs() < 1.0, "of now, not of the pause before: {}", rate(&desk));
}

fn meters(index: u32, name: &str, rx: u64, tx: u64) -> Interface {
    Interface {
        mtu: 1500,
        rx_bytes: rx,
        tx_bytes: tx,
        rx_packets: rx / 100,
        speed: Some(1_000_000),
        ..interface(index, name, Rank::Plain)
    }
}

#[test]
fn utilization_comes_from_the_kernel_s_counters() {
    let mut desk = Desk::new(patient());
    desk.tick(0).know(vec![meters(1, "eth0", 1000, 0)]);
    desk.tick(2000).know(vec![meters(1, "eth0", 101_000, 50_000)]);
    let load = &desk.snapshot().interface_utilization["eth0"];
    assert_eq!((load.in_bytes, load.out_bytes, load.in_packets), (101_000, 50_000, 1010));
    assert_eq!((load.in_bits_per_second, load.out_bits_per_second), (400_000.0, 200_000.0));
    assert_eq!((load.in_packets_per_second, load.utilization, load.captured), (500.0, Some(0.4), true));
    // Asked again at once, and with counters that began anew.
    desk.tick(2100).know(vec![meters(1, "eth0", 102_000, 50_000)]);
    assert_eq!(desk.snapshot().interface_utilization["eth0"].in_bits_per_second, 400_000.0);
    desk.tick(3000).know(vec![meters(1, "eth0", 500, 50_000)]);
    assert_eq!(desk.snapshot().interface_utilization["eth0"].in_bits_per_second, 0.0);
}

#[test]
fn utilization_of_a_capture_comes_from_its_packets() {
    let mut desk = Desk::new(patient());
    let file = || vec![interface(1, "in.pcap", Rank::Plain)];
    desk.know(file());
    desk.tick(0).feed([from(1, 986).at(100)]);
    for ms in [1000, 1100] {
        desk.tick(ms).know(file());
        let load = &desk.snapshot().interface_utilization["in.pcap"];
        assert_eq!((load.in_bytes, load.in_packets), (1000, 1));
        assert_eq!((load.in_bits_per_second, load.in_packets_per_second), (8000.0, 1.0));
    }
}

#[test]
fn an_interface_that_went_keeps_its_counts_and_one_of_its_name_adds_to_them() {
    let mut desk = Desk::new(patient());
    desk.know(vec![meters(1, "tun0", 1000, 0), meters(2, "quiet", 0, 0)]);
    desk.feed([from(1, 100)]);
    desk.know(Vec::new());
    let snapshot = desk.snapshot();
    assert!(!snapshot.interface_utilization["tun0"].up && !snapshot.interface_utilization["tun0"].captured);
    assert!(!snapshot.interface_utilization.contains_key("quiet"));
    assert!(snapshot.capture.interfaces.is_empty());
    desk.know(vec![meters(9, "tun0", 77, 0)]);
    desk.feed([from(1, 100).on(9)]);
    let snapshot = desk.snapshot();
    assert_eq!(snapshot.network_traffic["tun0"].total.in_packets, 2);
    assert_eq!(snapshot.interface_utilization["tun0"].in_bytes, 77, "the one that is there");
    assert!(snapshot.interface_utilization["tun0"].up);
}

#[test]
fn an_index_used_again_does_not_inherit_counts_but_a_new_name_does() {
    let mut desk = Desk::new(patient());
    desk.know(vec![meters(1, "eth0", 0, 0)]);
    desk.feed([from(1, 100)]);
    desk.know(vec![meters(1, "lan0", 0, 0)]);
    assert_eq!(desk.snapshot().network_traffic["lan0"].total.in_packets, 1, "renamed while it was there");
    desk.know(Vec::new());
    desk.know(vec![meters(1, "wan0", 0, 0)]);
    desk.feed([from(1, 100).packets(5)]);
    let traffic = desk.snapshot().network_traffic;
    assert_eq!((traffic["wan0"].total.in_packets, traffic["(gone)"].total.in_packets), (5, 1));
}

#[test]
fn interfaces_that_come_and_go_for_ever_are_bounded_and_lose_no_count() {
    let mut desk = Desk::new(patient());
    for index in 1..2000 {
        desk.know(vec![meters(index, &format!("veth{index}"), 0, 0)]);
        desk.feed([from(1, 100).on(index)]);
    }
    let traffic = desk.snapshot().network_traffic;
    assert!(traffic.len() < 300, "{}", traffic.len());
    assert_eq!(traffic.values().map(|row| row.total.in_packets).sum::<u64>(), 1999);
    assert_eq!(traffic["veth1999"].protocols["udp"].in_wire_bytes, 114);
}

#[test]
fn a_host_that_gets_an_address_goes_on_as_itself() {
    let mut desk = Desk::new(patient());
    let here = |ip: &str| Interface { addresses: vec![ip.parse().unwrap()], ..meters(1, "eth0", 0, 0) };
    desk.feed([tcp("10.0.0.1:9", "192.0.2.1:80").flags("SO")]);
    assert!(desk.snapshot().outbound_traffic.is_empty());
    desk.know(vec![here("10.0.0.1")]);
    desk.feed([tcp("192.0.2.1:80", "10.0.0.1:9").flags("SA").packets(2)]);
    assert_eq!(desk.snapshot().outbound_traffic["192.0.2.1"], traffic((2, 200), (1, 100)));
    desk.know(vec![here("10.0.0.7")]);
    desk.feed([tcp("10.0.0.1:9", "192.0.2.1:80").flags("A")]);
    assert_eq!(desk.snapshot().outbound_traffic["192.0.2.1"].received_packets, 2, "what began here goes on");
}

#[test]
fn traffic_between_two_addresses_of_this_host_is_not_outbound() {
    let mut desk = Desk::new(patient());
    let addresses = vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
    desk.know(vec![Interface { addresses, ..meters(1, "lo", 0, 0) }]);
    let rec = tcp("10.0.0.1:9", "10.0.0.2:80").flags("SO");
    desk.feed([rec, rec.out(), tcp("10.0.0.1:9", "192.0.2.9:80").flags("SO")]);
    let outbound = desk.snapshot().outbound_traffic;
    assert_eq!(outbound.keys().collect::<Vec<_>>(), ["192.0.2.9"]);
    assert_eq!(desk.rows()[0].direction, "local");
}

#[test]
fn frames_apart_from_flows_stand_under_their_reasons() {
    let mut desk = Desk::new(patient());
    desk.know(vec![meters(1, "eth0", 0, 0)]);
    let tally =
        |reason: Reason, hook, packets| (TallyKey::new(1, hook, reason), Tally { packets, bytes: packets * 60 });
    let all = vec![
        tally(Reason::Arp, Hook::Ingress, 3),
        tally(Reason::Arp, Hook::Egress, 2),
        tally(Reason::BadTcpHeader, Hook::Ingress, 4),
        tally(Reason::Snapped, Hook::Ingress, 1),
    ];
    desk.step(Event::Tallies(all));
    let snapshot = desk.snapshot();
    let arp = &snapshot.network_traffic["eth0"].not_in_flows["arp"];
    assert_eq!((arp.in_packets, arp.out_packets, arp.in_wire_bytes), (3, 2, 180));
    assert_eq!(snapshot.suspicious_traffic.invalid_packets, 4);
    assert_eq!(snapshot.losses["snapped"].packets, 1);
}

#[test]
fn ticks_that_wrap_are_the_right_time() {
    let mut desk = Desk::new(patient());
    let mut record = hivewall_datapath::Record::from(from(1, 100));
    (record.now, record.line.first, record.line.last) = (5, 0xfff0, 2);
    let clock = TickClock { ticks: (7 << 32) + 5, ..clock() };
    desk.step(Event::Records { records: &[record], clock: &clock });
    assert_eq!(desk.only().duration_seconds, 0.018);
}

proptest! {
    #[test]
    fn no_address_is_understated_by_more_than_the_table_says(
        sent in prop::collection::vec((0_u32..60, 20_u32..5000), 1..600), limit in 16_usize..40,
    ) {
        let mut desk = Desk::new(Limits { addresses_max: limit, flows_max: 20, ..patient() });
        let mut truth: HashMap<String, u64> = HashMap::new();
        for (n, bytes) in &sent {
            desk.feed([from(*n, *bytes)]);
            *truth.entry(format!("10.0.0.{n}")).or_default() += u64::from(*bytes);
            *truth.entry("192.0.2.1".to_owned()).or_default() += u64::from(*bytes);
        }
        let snapshot = desk.snapshot();
        let accuracy = &snapshot.ip_traffic_accuracy;
        prop_assert!(accuracy.tracked <= limit as u64);
        for (address, bytes) in &truth {
            let shown = snapshot.ip_traffic_distribution.get(address).map_or(0, |row| row.sent_bytes + row.received_bytes);
            prop_assert!(shown <= *bytes);
            prop_assert!(*bytes - shown <= accuracy.error_bytes_max, "{address}: {bytes}, shown {shown}, {accuracy:?}");
        }
    }
}
