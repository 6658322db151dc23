//! Who opened a conversation, and in which state a TCP connection is.
//!
//! Invariant: the state counters of the snapshot are those of the flows it shows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{Desk, Rec, icmp, interface, ip, patient, tcp, udp};
use hivewall_model::{Interface, Rank};

const A: &str = "10.0.0.1:40000";
const B: &str = "10.0.0.2:8443";

/// Client, server, and whether it is known.
fn roles(recs: impl IntoIterator<Item = Rec>) -> (String, String, bool) {
    let mut desk = Desk::new(patient());
    desk.feed(recs);
    let row = desk.only();
    let end = |ip: &str, port: Option<u16>| port.map_or_else(|| ip.to_owned(), |port| format!("{ip}:{port}"));
    (end(&row.source_ip, row.src_port), end(&row.dest_ip, row.dest_port), row.roles_known)
}

fn check(recs: impl IntoIterator<Item = Rec>, client: &str, server: &str, known: bool) {
    assert_eq!(roles(recs), (client.to_owned(), server.to_owned(), known));
}

#[test]
fn whoever_sent_the_syn_is_the_client() {
    check([tcp(A, B).flags("SO")], A, B, true);
    check([tcp(B, A).flags("SO")], B, A, true);
    check([tcp(A, B).flags("SAFPO")], A, B, true);
}

#[test]
fn the_answer_tells_as_much_when_its_record_comes_first() {
    check([tcp(B, A).flags("SA").at(1)], A, B, true);
    check([tcp(B, A).flags("SAP").at(1), tcp(A, B).flags("SAO")], A, B, true);
    check([tcp(A, B).flags("SA"), tcp(B, A).flags("SAO").at(1)], B, A, true);
}

#[test]
fn a_syn_seen_late_corrects_a_guess_and_nothing_corrects_a_syn() {
    check([tcp(A, B), tcp(B, A).flags("SO").at(1)], B, A, true);
    check([tcp(A, B).flags("SO"), tcp(B, A).flags("SO").at(1), tcp(A, B).flags("SA")], A, B, true);
}

#[test]
fn in_the_middle_of_a_connection_the_privileged_port_serves() {
    let (x, y) = ("10.0.0.1:443", "10.0.0.2:40000");
    check([tcp(x, y)], y, x, false);
    check([tcp(y, x)], y, x, false);
    check([udp(x, y)], y, x, false);
}

#[test]
fn otherwise_who_spoke_first_asked_whatever_the_order_of_records() {
    check([udp(A, B), udp(B, A).at(5)], A, B, false);
    check([udp(B, A).at(5), udp(A, B)], A, B, false);
    check([udp(B, A), udp(A, B).at(5)], B, A, false);
    check([tcp(B, A).during(3, 9), tcp(A, B).during(4, 5)], B, A, false);
    let (x, y) = ("10.0.0.1:53", "10.0.0.2:123");
    check([udp(y, x), udp(x, y).at(1)], y, x, false);
}

#[test]
fn at_the_same_tick_the_lower_port_serves_and_equal_ports_do_not_matter() {
    check([udp(A, B), udp(B, A)], A, B, false);
    check([udp(B, A), udp(A, B)], A, B, false);
    let (x, y) = ("10.0.0.1:5000", "10.0.0.2:5000");
    check([udp(y, x), udp(x, y).at(1)], y, x, false);
}

#[test]
fn protocols_without_ports_go_by_who_spoke_first() {
    check([ip(50, "10.0.0.2", "10.0.0.1"), ip(50, "10.0.0.1", "10.0.0.2").at(1)], "10.0.0.2", "10.0.0.1", false);
}

#[test]
fn perspective_is_told_by_the_addresses_of_this_host() {
    let address = |ip: &str| Interface { addresses: vec![ip.parse().unwrap()], ..interface(1, "eth0", Rank::Plain) };
    for (local, want) in [("10.0.0.1", "outbound"), ("10.0.0.2", "inbound"), ("10.0.0.3", "transit")] {
        let mut desk = Desk::new(patient());
        desk.know(vec![address(local)]);
        desk.feed([tcp(A, B).flags("SO")]);
        assert_eq!(desk.only().direction, want);
    }
}

/// ICMP type, code, packets there and back, source.
fn pings(recs: impl IntoIterator<Item = Rec>) -> Vec<(u16, u16, u64, u64, String, bool)> {
    let mut desk = Desk::new(patient());
    desk.feed(recs);
    let rows = desk.rows().into_iter();
    rows.map(|row| {
        let (kind, code) = (row.icmp_type.unwrap(), row.icmp_code.unwrap());
        (kind, code, row.packets_to_server, row.packets_to_client, row.source_ip, row.roles_known)
    })
    .collect()
}

#[test]
fn an_icmp_request_and_its_reply_are_one_flow_whichever_comes_first() {
    let (x, y) = ("10.0.0.1", "10.0.0.2");
    let want = [(8, 0, 2, 1, x.to_owned(), true)];
    assert_eq!(pings([icmp(x, y, 8, 0).packets(2), icmp(y, x, 0, 0).at(1)]), want);
    assert_eq!(pings([icmp(y, x, 0, 0).at(1), icmp(x, y, 8, 0).packets(2)]), want);
    assert_eq!(pings([icmp(y, x, 0, 0), icmp(x, y, 8, 0).packets(2)]), want);
    assert_eq!(pings([icmp(y, x, 14, 0), icmp(x, y, 13, 0)]), [(13, 0, 1, 1, x.to_owned(), true)]);
}

#[test]
fn an_icmpv6_request_and_its_reply_are_one_flow() {
    let (x, y) = ("fd00::1", "fd00::2");
    assert_eq!(pings([icmp(y, x, 129, 0), icmp(x, y, 128, 0)]), [(128, 0, 1, 1, x.to_owned(), true)]);
    assert_eq!(pings([icmp(x, y, 135, 0), icmp(y, x, 136, 0)]), [(135, 0, 1, 1, x.to_owned(), true)]);
}

#[test]
fn an_answer_nobody_asked_for_is_shown_as_what_it_is() {
    let (x, y) = ("10.0.0.1", "10.0.0.2");
    assert_eq!(pings([icmp(y, x, 0, 0)]), [(0, 0, 1, 0, y.to_owned(), false)]);
    let advert = icmp("fe80::1", "ff02::1", 134, 0);
    assert_eq!(pings([advert]), [(134, 0, 1, 0, "fe80::1".to_owned(), false)]);
}

#[test]
fn icmp_errors_are_flows_by_type_and_code() {
    let (x, y) = ("10.0.0.1", "10.0.0.2");
    let rows = pings([icmp(x, y, 3, 1), icmp(x, y, 3, 3), icmp(x, y, 11, 0), icmp(x, y, 3, 3)]);
    let kinds: Vec<_> = rows.iter().map(|row| (row.0, row.1, row.2)).collect();
    assert_eq!(kinds, [(3, 1, 1), (3, 3, 2), (11, 0, 1)]);
    // The other direction's errors are of the same conversation.
    assert_eq!(pings([icmp(x, y, 3, 3), icmp(y, x, 3, 3).at(1)]), [(3, 3, 1, 1, x.to_owned(), false)]);
}

#[test]
fn a_host_that_pings_itself_has_both_directions() {
    let me = "127.0.0.1";
    let once = [icmp(me, me, 8, 0), icmp(me, me, 0, 0)];
    let both = once.into_iter().flat_map(|rec| [rec.out(), rec]);
    assert_eq!(pings(both), [(8, 0, 1, 1, me.to_owned(), true)]);
}

/// The state after each record, held against the snapshot's counters.
fn states(recs: impl IntoIterator<Item = Rec>) -> Vec<String> {
    let mut desk = Desk::new(patient());
    let states = recs.into_iter().map(|rec| {
        desk.feed([rec]);
        let state = desk.only().tcp_state.unwrap();
        let snapshot = desk.snapshot();
        let counted: BTreeMap<_, _> = snapshot.connection_states.into_iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(counted, [(state.clone(), 1)].into());
        let half_open = matches!(state.as_str(), "SYN_SENT" | "SYN_RECV");
        assert_eq!(snapshot.suspicious_traffic.half_open, u64::from(half_open));
        state
    });
    states.collect()
}

#[test]
fn a_connection_goes_through_its_states() {
    let recs = [
        tcp(A, B).flags("SO"),
        tcp(B, A).flags("SA").at(1),
        tcp(A, B).flags("A").at(2),
        tcp(B, A).flags("PA").at(3),
        tcp(A, B).flags("FA").at(4),
        tcp(B, A).flags("A").at(5),
        tcp(B, A).flags("FA").at(6),
        tcp(A, B).flags("A").at(7),
    ];
    let want = ["SYN_SENT", "SYN_RECV", "ESTABLISHED", "ESTABLISHED", "FIN_WAIT", "FIN_WAIT", "CLOSED", "CLOSED"];
    assert_eq!(states(recs), want);
}

#[test]
fn the_server_may_say_fin_first_and_data_may_follow() {
    let recs = [
        tcp(A, B).flags("SAPO"),
        tcp(B, A).flags("SAF").at(1),
        tcp(A, B).flags("PA").at(2),
        tcp(A, B).flags("FA").at(3),
        tcp(B, A).flags("PA").at(4),
    ];
    assert_eq!(states(recs), ["ESTABLISHED", "FIN_WAIT", "FIN_WAIT", "CLOSED", "CLOSED"]);
}

#[test]
fn a_reset_is_the_last_word_in_any_state() {
    assert_eq!(states([tcp(A, B).flags("SO"), tcp(B, A).flags("RA").at(1)]), ["SYN_SENT", "RESET"]);
    assert_eq!(states([tcp(A, B).flags("R"), tcp(B, A).flags("A").at(1)]), ["RESET", "RESET"]);
    let recs =
        [tcp(A, B).flags("SAFO"), tcp(B, A).flags("SAF").at(1), tcp(A, B).flags("R").at(2), tcp(B, A).flags("A").at(3)];
    assert_eq!(states(recs), ["FIN_WAIT", "CLOSED", "RESET", "RESET"]);
}

#[test]
fn records_out_of_order_lead_to_the_same_state() {
    assert_eq!(states([tcp(B, A).flags("SA").at(1), tcp(A, B).flags("SO")]), ["SYN_RECV", "SYN_RECV"]);
    assert_eq!(states([tcp(B, A).flags("SAF").at(1), tcp(A, B).flags("SAO")]), ["FIN_WAIT", "FIN_WAIT"]);
    assert_eq!(states([tcp(A, B).flags("FA"), tcp(B, A).flags("FA").at(1)]), ["FIN_WAIT", "CLOSED"]);
}

#[test]
fn a_connection_that_was_there_before_is_established() {
    assert_eq!(states([tcp(A, B), tcp(B, A).flags("PA").at(1)]), ["ESTABLISHED", "ESTABLISHED"]);
}
