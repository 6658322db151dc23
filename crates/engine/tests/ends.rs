//! When a flow is over, and what becomes of it.
//!
//! Invariant: whatever ends a flow, no packet of it is lost or counted twice.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]

mod common;

use std::time::Duration;

use common::{Desk, Rec, at, icmp, ip, patient, tcp, udp};
use expect_test::expect;
use hivewall_engine::Limits;
use hivewall_view::Sort;

const A: &str = "10.0.0.1:40000";
const B: &str = "10.0.0.2:443";

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The second in which each flow ended, when ticked once a second, and how.
fn ended(limits: Limits, recs: impl IntoIterator<Item = Rec>, until: i64) -> Vec<(i64, String)> {
    let mut desk = Desk::new(limits);
    desk.feed(recs);
    let mut all = Vec::new();
    for second in 1..=until {
        desk.tick(second * 1000);
        all.extend(desk.ends().into_iter().map(|end| (second, end)));
    }
    all
}

fn one(second: i64, what: &str) -> Vec<(i64, String)> {
    vec![(second, what.to_owned())]
}

fn connection(first: i64) -> [Rec; 2] {
    [
        tcp(A, B).flags("SAFO").packets(5).during(first, first + 30),
        tcp(B, A).flags("SAF").packets(4).during(first + 1, first + 29),
    ]
}

#[test]
fn a_finished_connection_lingers_for_late_packets() {
    assert_eq!(ended(Limits::default(), connection(0), 10), one(3, "#1 finished 9p"));
    let mut desk = Desk::new(Limits::default());
    desk.feed(connection(0)).tick(1000).feed([tcp(A, B).at(1500)]).tick(3000);
    assert_eq!(desk.ends(), [""; 0], "a late packet puts it off");
    desk.tick(4000);
    assert_eq!(desk.ends(), ["#1 finished 10p"]);
}

#[test]
fn a_reset_connection_lingers_as_well() {
    assert_eq!(
        ended(Limits::default(), [tcp(A, B).flags("SO"), tcp(B, A).flags("RA").at(1)], 9),
        one(3, "#1 reset 2p")
    );
}

#[test]
fn each_protocol_has_its_idle_timeout() {
    let limits = || Limits { idle: seconds(10), tcp_idle: seconds(30), icmp_idle: seconds(5), ..Limits::default() };
    assert_eq!(ended(limits(), [udp(A, B)], 60), one(10, "#1 idle_timeout 1p"));
    assert_eq!(ended(limits(), [tcp(A, B)], 60), one(30, "#1 idle_timeout 1p"));
    assert_eq!(ended(limits(), [tcp(A, B).flags("SO")], 60), one(30, "#1 idle_timeout 1p"));
    assert_eq!(ended(limits(), [icmp("10.0.0.1", "10.0.0.2", 8, 0)], 60), one(5, "#1 idle_timeout 1p"));
    assert_eq!(ended(limits(), [icmp("::1", "::2", 128, 0)], 60), one(5, "#1 idle_timeout 1p"));
    assert_eq!(ended(limits(), [ip(50, "10.0.0.1", "10.0.0.2")], 60), one(10, "#1 idle_timeout 1p"));
}

#[test]
fn short_timeouts_hold_behind_a_long_one() {
    let recs = [tcp(A, B), icmp("10.0.0.1", "10.0.0.2", 8, 0)];
    let want = [(15, "#2 idle_timeout 1p".to_owned()), (300, "#1 idle_timeout 1p".to_owned())];
    assert_eq!(ended(Limits::default(), recs, 400), want);
}

#[test]
fn a_timeout_longer_than_the_wheel_reaches_holds() {
    let limits = Limits { idle: seconds(5000), active: seconds(20_000), ..Limits::default() };
    assert_eq!(ended(limits, [udp(A, B)], 6000), one(5000, "#1 idle_timeout 1p"));
}

#[test]
fn a_flow_that_is_heard_of_stays() {
    let mut desk = Desk::new(Limits { idle: seconds(10), ..Limits::default() });
    for second in 0..100 {
        desk.feed([udp(A, B).at(second * 1000)]).tick(second * 1000 + 1);
    }
    assert_eq!(desk.ends(), [""; 0]);
    desk.run(111_000);
    assert_eq!(desk.ends(), ["#1 idle_timeout 100p"]);
}

#[test]
fn a_long_flow_is_cut_into_pieces_that_add_up() {
    let mut desk = Desk::new(Limits { idle: seconds(10), active: seconds(30), ..Limits::default() });
    desk.feed([tcp(A, B).flags("SO").at(0), tcp(B, A).flags("SA").at(10)]);
    for second in 1..100 {
        desk.feed([tcp(A, B).packets(2).at(second * 1000)]).tick(second * 1000 + 1);
        assert_eq!(desk.snapshot().connection_states.values().sum::<u64>(), desk.engine.active_flows() as u64);
    }
    assert_eq!(desk.ends(), ["#1 active_timeout 64p", "#2 active_timeout 62p", "#3 active_timeout 62p"]);
    desk.check(&expect![[r#"
        #1 tcp 10.0.0.1:40000 > 10.0.0.2:443, 63/1 packets 6300/100 bytes (7182/114 wire), known, ESTABLISHED, active_timeout
            > if1 in 63/6300
            < if1 in 1/100
        #2 tcp 10.0.0.1:40000 > 10.0.0.2:443, 62/0 packets 6200/0 bytes (7068/0 wire), known, ESTABLISHED, active_timeout
            > if1 in 62/6200
        #3 tcp 10.0.0.1:40000 > 10.0.0.2:443, 62/0 packets 6200/0 bytes (7068/0 wire), known, ESTABLISHED, active_timeout
            > if1 in 62/6200
        #4 tcp 10.0.0.1:40000 > 10.0.0.2:443, 12/0 packets 1200/0 bytes (1368/0 wire), known, ESTABLISHED
            > if1 in 12/1200
    "#]]);
    let rows = desk.rows();
    assert_eq!(rows[0].tcp_flags_to_server.as_deref(), Some("...A..S."));
    assert_eq!(rows[1].tcp_flags_to_server.as_deref(), Some("...A...."), "flags are those of the piece");
    assert!(rows[1].start > rows[0].end);
    assert_eq!((desk.total(), desk.snapshot().flow_counts.total), ((200, 20_000), 4));
}

#[test]
fn a_flow_cut_at_its_last_packet_leaves_no_empty_piece() {
    let mut desk = Desk::new(Limits { idle: seconds(10), active: seconds(30), ..Limits::default() });
    for second in 0..=25 {
        desk.feed([udp(A, B).at(second * 1000)]).tick(second * 1000 + 1);
    }
    desk.run(31_001);
    assert_eq!(desk.ends(), ["#1 active_timeout 26p"]);
    assert_eq!((desk.engine.active_flows(), desk.snapshot().flow_counts.active), (0, 0));
    assert_eq!(desk.snapshot().protocols["udp"].active_flows, 0);
    desk.run(60_000).stop();
    assert_eq!((desk.ends(), desk.snapshot().flow_counts.total), (Vec::<String>::new(), 1));
}

#[test]
fn roles_that_were_guessed_are_the_same_in_each_piece() {
    let mut desk = Desk::new(Limits { idle: seconds(10), active: seconds(5), ..Limits::default() });
    let (x, y) = ("10.0.0.1:5000", "10.0.0.2:6000");
    desk.feed([udp(x, y).at(0), udp(y, x).at(5)]).run(6000);
    desk.feed([udp(y, x).at(6500)]).feed([udp(x, y).at(6600)]);
    assert!(desk.rows().iter().all(|row| row.source_ip == "10.0.0.1" && !row.roles_known));
}

#[test]
fn when_the_table_is_full_the_quietest_goes_and_counts_stay_exact() {
    let mut desk = Desk::new(Limits { flows_max: 3, ..patient() });
    let flow = |n: i64| udp(&format!("10.0.0.{n}:1000"), B);
    desk.feed((1..=3).map(|n| flow(n).at(n * 100)));
    desk.feed([flow(1).at(1000)]).feed([flow(4).at(1100)]);
    assert_eq!(desk.ends(), ["#2 table_full 1p"]);
    desk.tick(1500).feed([flow(5).at(1600)]).feed([flow(3).at(1700)]);
    assert_eq!(desk.ends(), ["#3 table_full 1p", "#1 table_full 2p"]);
    let snapshot = desk.snapshot();
    assert_eq!((snapshot.flow_counts.active, snapshot.flow_counts.total, desk.total()), (3, 6, (7, 700)));
    assert_eq!(snapshot.losses["flow_table_full"].count, 3);
}

#[test]
fn a_flood_pushes_out_the_flood_and_not_what_is_used() {
    let mut desk = Desk::new(Limits { flows_max: 1000, ..patient() });
    let used = |n: i64, ms: i64| tcp(&format!("10.1.0.{n}:1000"), B).at(ms);
    for ms in 0..2000_i64 {
        desk.feed((0..20).map(|n| tcp(&format!("10.2.{}.{}:{}", ms % 250, n, 1000 + ms), B).flags("SO").at(ms)));
        desk.feed((0..100).filter(|n| ms % 10 == 0 && *n >= 0).map(|n| used(n, ms)));
    }
    let gone = desk.closed().iter().filter(|flow| flow.packets() > 1).count();
    assert!(gone < 10, "{gone} of the flows in use were given up");
    assert_eq!(desk.engine.active_flows(), 1000);
}

#[test]
fn a_new_connection_on_the_same_tuple_is_a_new_flow() {
    let mut desk = Desk::new(Limits::default());
    desk.feed(connection(0)).feed(connection(500)).stop();
    assert_eq!(desk.ends(), ["#1 reused 9p", "#2 finished 9p"]);
    assert_eq!(desk.total(), (18, 1800));
}

#[test]
fn a_new_connection_is_told_from_the_old_whatever_the_order_of_records() {
    let old = [
        tcp(A, B).flags("SAFO").packets(5).during(0, 30).renewed(),
        tcp(B, A).flags("SAF").packets(4).during(1, 29).renewed(),
    ];
    let new = [tcp(A, B).flags("SAO").packets(50).during(40, 90), tcp(B, A).flags("SA").packets(40).during(41, 91)];
    let orders: [[Rec; 4]; 5] = [
        [old[0], old[1], new[0], new[1]],
        // One CPU's ring after the other's.
        [old[0], new[0], old[1], new[1]],
        [old[1], new[1], old[0], new[0]],
        [old[0], old[1], new[1], new[0]],
        [old[1], old[0], new[1], new[0]],
    ];
    for order in orders {
        let mut desk = Desk::new(Limits::default());
        desk.feed(order).stop();
        assert_eq!(desk.ends(), ["#1 reused 9p", "#2 shutdown 90p"], "{order:?}");
        let rows = desk.rows();
        assert_eq!((rows[0].packets_to_server, rows[1].packets_to_server), (5, 50));
        assert_eq!(rows[1].tcp_state.as_deref(), Some("ESTABLISHED"));
        assert_eq!(desk.snapshot().flow_counts.ended["reused"], 1);
        assert_eq!(desk.total(), (99, 9900));
    }
}

#[test]
fn a_connection_that_begins_in_the_tick_in_which_the_old_one_ended_is_new_by_the_word_of_the_datapath() {
    let mut desk = Desk::new(Limits::default());
    let old = [tcp(A, B).flags("SO").at(0), tcp(B, A).flags("RA").at(0).renewed()];
    let new = [tcp(B, A).flags("SA").at(0), tcp(A, B).flags("A").at(4)];
    desk.feed(old).feed(new).stop();
    assert_eq!(desk.ends(), ["#1 reused 2p", "#2 shutdown 2p"]);
}

#[test]
fn a_displaced_connection_ends_by_itself_and_a_third_one_ends_it_at_once() {
    let mut desk = Desk::new(Limits::default());
    desk.feed(connection(0)).feed(connection(500));
    assert_eq!(desk.engine.active_flows(), 2);
    desk.feed(connection(900));
    assert_eq!(desk.ends(), ["#1 reused 9p"]);
    desk.run(4000);
    let mut ends = desk.ends();
    ends.sort();
    assert_eq!(ends, ["#2 reused 9p", "#3 finished 9p"]);
    assert_eq!(desk.engine.active_flows(), 0);
}

#[test]
fn a_syn_again_is_not_a_new_connection_while_the_first_has_not_ended() {
    let mut desk = Desk::new(Limits::default());
    desk.feed([tcp(A, B).flags("SO").at(0)])
        .feed([tcp(A, B).flags("SO").at(1000)])
        .feed([tcp(A, B).flags("SO").at(3000)]);
    assert_eq!(desk.only().packets, 3);
}

#[test]
fn a_gap_longer_than_the_timeout_ends_a_flow_though_no_clock_ticked_in_it() {
    let mut desk = Desk::new(Limits::default());
    desk.feed([udp(A, B).at(0)]).feed([udp(A, B).at(59_000)]).feed([udp(A, B).at(119_500)]);
    assert_eq!(desk.ends(), ["#1 idle_timeout 2p"]);
    desk.feed(connection(200_000)).feed([tcp(B, A).at(203_000)]);
    assert_eq!(desk.ends(), ["#3 finished 9p"]);
    assert_eq!(desk.total(), (13, 1300));
}

#[test]
fn shutdown_ends_what_lives_in_the_order_it_began() {
    let mut desk = Desk::new(patient());
    desk.feed((1..=5).map(|n| udp(&format!("10.0.0.{n}:1"), B)));
    desk.feed(connection(0)).stop();
    let want: Vec<String> = (1..=5).map(|n| format!("#{n} shutdown 1p")).chain(["#6 finished 9p".to_owned()]).collect();
    assert_eq!((desk.ends(), desk.engine.active_flows()), (want, 0));
    desk.stop();
    assert_eq!(desk.ends(), [""; 0]);
    desk.feed([udp(A, B).at(100)]);
    assert_eq!(desk.engine.active_flows(), 1, "an engine may go on");
}

#[test]
fn closed_flows_are_kept_up_to_a_number_and_the_page_says_how_far_back() {
    let mut desk = Desk::new(Limits { closed_keep: 3, ..patient() });
    let flow = |n: i64| udp(&format!("10.0.0.{n}:1"), B).at(n * 1000);
    desk.feed((1..=3).map(flow)).stop();
    assert_eq!(desk.page(Sort::Start, 0, 10).reaches_back_to, None);
    desk.feed((4..=5).map(flow)).stop();
    let page = desk.page(Sort::Start, 0, 10);
    let starts: Vec<&str> = page.flows.iter().map(|row| row.source_ip.as_str()).collect();
    assert_eq!(starts, ["10.0.0.5", "10.0.0.4", "10.0.0.3"]);
    assert_eq!(page.reaches_back_to.as_deref(), Some("2023-11-14T22:13:22.000000Z"), "the second flow is gone");
    assert_eq!(desk.snapshot().losses["closed_flows_discarded"].count, 2);
}

#[test]
fn nothing_is_kept_when_nothing_may_be() {
    let mut desk = Desk::new(Limits { closed_keep: 0, ..patient() });
    desk.feed([udp(A, B)]).stop();
    assert_eq!((desk.ends(), desk.rows().len()), (vec!["#1 shutdown 1p".to_owned()], 0));
    assert_eq!(desk.snapshot().losses["closed_flows_discarded"].count, 1);
    assert!(desk.page(Sort::Bytes, 0, 1).reaches_back_to.is_some());
}

#[test]
fn a_clock_set_back_neither_ends_flows_nor_keeps_them() {
    let mut desk = Desk::new(Limits { idle: seconds(10), ..Limits::default() });
    let hour = 3_600_000;
    desk.feed([udp(A, B).at(hour)]).tick(hour + 1000);
    let other = |ms| udp("10.0.0.9:1", B).at(ms);
    desk.now = 0;
    desk.tick(2000);
    assert_eq!(desk.engine.now(), at(2000), "the clock is followed");
    desk.feed([other(2500)]).run(8000);
    assert_eq!(desk.ends(), [""; 0]);
    desk.run(10_000);
    assert_eq!(desk.ends(), [""; 0]);
    desk.run(11_000);
    assert_eq!(desk.ends(), ["#1 idle_timeout 1p"], "ten seconds after it was last heard of");
    desk.run(13_000);
    assert_eq!(desk.ends(), ["#2 idle_timeout 1p"]);
    assert!((desk.snapshot().host.uptime_seconds - 12.0).abs() < 0.1);
}

#[test]
fn a_small_step_back_is_no_step() {
    let mut desk = Desk::new(Limits::default());
    desk.tick(5000).tick(4000);
    assert_eq!(desk.engine.now(), at(5000));
    desk.tick(6000);
    assert!((desk.snapshot().host.uptime_seconds - 1.0).abs() < 1e-9);
}

#[test]
fn a_leap_forward_ends_all_that_was_quiet_in_it() {
    let mut desk = Desk::new(Limits::default());
    desk.feed((0..3000).map(|n| udp(&format!("10.0.{}.{}:1", n / 250, n % 250), B).at(n))).run(5000);
    desk.tick(50 * 365 * 86_400_000);
    assert_eq!((desk.closed().len(), desk.engine.active_flows()), (3000, 0));
    desk.feed([udp(A, B).at(50 * 365 * 86_400_000)]);
    assert_eq!(desk.engine.active_flows(), 1);
}

#[test]
fn records_later_than_now_are_no_worse_than_others() {
    let mut desk = Desk::new(Limits { idle: seconds(10), ..Limits::default() });
    desk.tick(0).feed([udp(A, B).at(5000)]);
    desk.now = 0;
    desk.run(11_000);
    let row = desk.rows().remove(0);
    assert_eq!((row.packets, row.bits_per_second, row.duration_seconds), (1, 0.0, 0.0));
}

#[test]
fn what_is_told_before_the_first_packet_starts_no_clock() {
    let mut desk = Desk::new(Limits::default());
    desk.now = -1_600_000_000_000;
    desk.know(Vec::new());
    desk.feed([udp(A, B).at(0)]).tick(2000);
    assert!((desk.snapshot().host.uptime_seconds - 2.0).abs() < 1e-9);
    assert_eq!(desk.ends(), [""; 0]);
}
