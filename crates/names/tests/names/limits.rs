//! What is kept is bounded, and what had to go is counted.

use std::time::Instant;

use hivewall_names::Limits;

use crate::dns::{query, response};
use crate::talk::{ACK, CLIENT, SERVER, SYN, Talk};

fn small() -> Limits {
    Limits { handshakes: 4, connections: 4, transactions: 4, echoes: 4, quic: 2, ..Limits::default() }
}

#[test]
fn the_oldest_unfinished_matters_go_first_and_are_counted() {
    let mut talk = Talk::with(small());
    for port in 1..=10 {
        talk.wait_us(1).tcp((&format!("10.0.0.1:{port}"), SERVER), SYN, 1000, 0, b"");
    }
    assert_eq!(talk.count("table_full"), 6);
    // The last four can still be answered, the sixth can no longer.
    for port in [6, 7, 8, 9, 10] {
        let client = format!("10.0.0.1:{port}");
        talk.tcp((SERVER, &client), 0x12, 5000, 1001, b"").tcp((&client, SERVER), ACK, 1001, 5001, b"");
    }
    assert_eq!(talk.count("handshakes"), 4);

    let mut talk = Talk::with(small());
    for id in 1..=5 {
        talk.wait_us(1).udp(CLIENT, "10.0.0.53:53", &query(id, "a.org"));
    }
    for id in 1..=5 {
        talk.wait_us(1).udp("10.0.0.53:53", CLIENT, &response(id, "a.org"));
    }
    // The response to the first finds no query, and takes the place of the second one's.
    assert_eq!((talk.count("dns_messages"), talk.count("round_trips") < 5), (10, true));
    assert!(talk.count("table_full") >= 1);

    let mut talk = Talk::with(small());
    for port in 1..=6 {
        talk.tcp((&format!("10.0.0.1:{port}"), SERVER), ACK, 1, 1, b"GET / HT");
    }
    assert_eq!(talk.count("table_full"), 2);
    for port in 1..=6 {
        talk.tcp((&format!("10.0.0.1:{port}"), SERVER), ACK, 9, 1, b"TP/1.1\r\n\r\n");
    }
    // The rest of a head alone is nothing, and pushes out one whose beginning is there.
    assert!(talk.count("http_requests") <= 4);
}

#[test]
fn bytes_that_wait_are_bounded_in_all() {
    let mut talk = Talk::with(Limits { assembly_bytes: 50_000, ..Limits::default() });
    for port in 1001..=1100 {
        let head = format!("GET / HTTP/1.1\r\nHost: a.org\r\nCookie: {}", "x".repeat(1000));
        talk.tcp((&format!("10.0.0.1:{port}"), SERVER), ACK, 1, 1, head.as_bytes());
    }
    // Each of 1037 bytes, so 48 of them fit.
    assert_eq!(talk.count("table_full"), 100 - 48);
    for port in (1001..=1100).rev() {
        talk.tcp((&format!("10.0.0.1:{port}"), SERVER), ACK, 1038, 1, b"\r\n\r\n");
    }
    assert_eq!(talk.count("http_requests"), 48);
}

#[test]
fn what_has_been_quiet_for_long_is_forgotten() {
    let mut talk = Talk::new();
    talk.tcp((CLIENT, SERVER), ACK, 1, 1, b"GET / HT");
    talk.wait_us(100_000_000).tick();
    talk.tcp((CLIENT, SERVER), ACK, 9, 1, b"TP/1.1\r\n");
    talk.wait_us(119_000_000).tick();
    assert_eq!(talk.count("stale"), 0);
    talk.wait_us(10_000_000).tick();
    assert_eq!(talk.count("stale"), 1);
    talk.tcp((CLIENT, SERVER), ACK, 17, 1, b"\r\n");
    assert_eq!(talk.count("http_requests"), 0);
}

#[test]
fn a_flood_of_syns_costs_little_and_nothing_else() {
    let mut talk = Talk::new();
    talk.open("10.9.9.9:1", SERVER).tcp(("10.9.9.9:1", SERVER), ACK, 1001, 5001, b"GET / HT");
    let mut head = hivewall_datapath::PeekHead::default();
    head.key = crate::talk::key("10.0.0.1:4000", SERVER, 6, talk.place);
    let start = Instant::now();
    const SYNS: u32 = 300_000;
    for number in 0..SYNS {
        let [_, a, b, c] = number.to_be_bytes();
        talk.wait_us(1);
        head.key.src[3] = u32::from_ne_bytes([11, a, b, c]);
        (head.seq, head.tcp_flags) = (number, SYN);
        talk.names.take(talk.now, &head, b"", &mut talk.out);
    }
    let each = start.elapsed() / SYNS;
    talk.tcp(("10.9.9.9:1", SERVER), ACK, 1009, 5001, b"TP/1.1\r\n\r\n");
    assert_eq!(talk.count("http_requests"), 1, "an open connection does not suffer");
    // Far above what it takes, since other work may run beside; a table that grows or is searched would be slower.
    assert!(each.as_micros() < 20, "{each:?} for a SYN");
    eprintln!("{each:?} for a SYN");
}

#[test]
fn every_counter_has_a_name_of_its_own_and_a_meaning() {
    let counters = Talk::new().names.counters();
    let mut names: Vec<&str> = counters.iter().map(|counter| counter.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), counters.len());
    assert!(counters.iter().all(|counter| !counter.meaning.is_empty() && counter.count == 0));
}
