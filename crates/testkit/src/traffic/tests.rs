//! Each generator between two namespaces, held against the interfaces' own counters and against its sink.
//!
//! Amounts are small; the end-to-end tests use large ones. Invariant: every assertion is an equality.

use std::time::Duration;

use super::*;
use crate::netns::{Host, Lab, Offloads};
use crate::packet::frame;
use crate::require_root;

const SOON: Duration = Duration::from_secs(20);

fn linked(name: &str) -> (Lab, Host, Host) {
    let lab = Lab::new(name).unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    lab.link(&a, "eth0", &b, "eth0")
        .addresses(&["10.0.0.1/24", "fd00::1/64"], &["10.0.0.2/24", "fd00::2/64"])
        .offloads(Offloads::NONE)
        .up()
        .unwrap();
    (lab, a, b)
}

/// What both interfaces must show after `sent`, and nothing else.
fn exactly(a: &Host, b: &Host, sent: Datagrams) {
    let (tx, rx) = (a.counters("eth0").unwrap(), b.counters("eth0").unwrap());
    assert_eq!((tx.tx_packets, tx.tx_bytes), (sent.packets, sent.wire_bytes));
    assert_eq!((rx.rx_packets, rx.rx_bytes), (sent.packets, sent.wire_bytes));
}

#[test]
fn a_blast_from_several_senders_is_counted_to_the_packet() {
    require_root!();
    let (_lab, a, b) = linked("blast");
    let mut total = Datagrams::default();
    for to in ["10.0.0.2:9000", "[fd00::2]:9000"] {
        let to = to.parse().unwrap();
        let sink = b.enter(|| UdpSink::bind(to)).unwrap().unwrap();
        let sent = a.enter(|| udp_blast(to, 20_001, 100, 3)).unwrap().unwrap();
        assert_eq!((sent.packets, sent.payload_bytes), (20_001, 2_000_100));
        let got = sink.finish(sent.packets, SOON);
        assert_eq!(got.packets + got.dropped, sent.packets);
        assert_eq!(got.bytes, got.packets * 100);
        total = total + sent;
    }
    exactly(&a, &b, total);
}

#[test]
fn a_blast_at_a_closed_port_sends_all_the_same() {
    require_root!();
    let (_lab, a, b) = linked("refused");
    let sent = a.enter(|| udp_blast("10.0.0.2:9".parse().unwrap(), 5_000, 18, 1)).unwrap().unwrap();
    let got = b.counters("eth0").unwrap();
    assert_eq!((got.rx_packets, got.rx_bytes), (sent.packets, sent.wire_bytes));
}

#[test]
fn fragments_are_counted_as_the_interface_counts_them() {
    require_root!();
    let (_lab, a, b) = linked("fragments");
    let mut total = Datagrams::default();
    for to in ["10.0.0.2:9000", "[fd00::2]:9000"] {
        let to = to.parse().unwrap();
        let sink = b.enter(|| UdpSink::bind(to)).unwrap().unwrap();
        for size in [0, 1400, 1472, 1473, 4000, 60_000] {
            total = total + a.enter(|| udp_fragmented(to, size)).unwrap().unwrap();
        }
        let got = sink.finish(6, SOON);
        assert_eq!((got.packets, got.bytes, got.dropped), (6, 68_345, 0));
    }
    exactly(&a, &b, total);
    let long = a.enter(|| udp_blast("10.0.0.2:9".parse().unwrap(), 1, 1473, 1)).unwrap().unwrap_err();
    assert!(long.to_string().contains("1473 bytes do not fit one packet (at most 1472 here)"), "{long}");
}

#[test]
fn bulk_arrives_whole_over_parallel_connections() {
    require_root!();
    let (_lab, a, b) = linked("bulk");
    let sink = b.enter(|| TcpSink::bind(&["10.0.0.2:0".parse().unwrap()], 2)).unwrap().unwrap();
    let to = sink.addresses()[0];
    let streams = a
        .enter(|| {
            std::thread::scope(|scope| {
                let threads = [3_000_000, 2_000_001].map(|bytes| scope.spawn(move || tcp_bulk(to, bytes)));
                threads.map(|thread| thread.join().unwrap().unwrap())
            })
        })
        .unwrap();
    assert_eq!(streams.map(|sent| sent.bytes), [3_000_000, 2_000_001]);
    assert_eq!(sink.finish(2, SOON), Streams { connections: 2, bytes: 5_000_001, resets: 0 });
}

#[test]
fn short_connections_are_all_served_whether_closed_or_reset() {
    require_root!();
    let (_lab, a, b) = linked("short");
    for (close, resets) in [(Close::Fin, 0), (Close::Reset, 500)] {
        let at = ["10.0.0.2:0", "[fd00::2]:0"].map(|text| text.parse().unwrap());
        let sink = b.enter(|| TcpSink::bind(&at, 2)).unwrap().unwrap();
        let to = sink.addresses().to_vec();
        let flows = ShortFlows { to: &to, count: 500, payload: 10, close, threads: 4 };
        let sent = a.enter(|| tcp_short_flows(&flows)).unwrap().unwrap();
        assert_eq!(sent, Streams { connections: 500, bytes: 5_000, resets });
        let got = sink.finish(500, SOON);
        assert_eq!(got.connections, 500);
        assert!(close == Close::Reset || (got.bytes, got.resets) == (5_000, 0));
    }
}

#[test]
fn raw_frames_leave_byte_for_byte_and_bad_ones_are_named() {
    require_root!();
    let (_lab, a, b) = linked("raw");
    let to = frame().vlan(7).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(b"tagged").build();
    let mut frames = vec![to; 1000];
    frames.push(frame().arp_request("10.0.0.1", "10.0.0.2").build());
    frames.push(frame().protocol(0x88b5).payload(&[0; 1500]).build());
    let sent = a.enter(|| raw_frames("eth0", &frames)).unwrap().unwrap();
    assert_eq!(sent.wire_bytes, 1000 * (14 + 4 + 20 + 8 + 6) + 42 + 1514);
    exactly(&a, &b, sent);
    frames[300] = vec![0; 1600];
    let error = a.enter(|| raw_frames("eth0", &frames)).unwrap().unwrap_err();
    assert!(error.to_string().starts_with("packet 300 (1600 bytes) was refused"), "{error}");
    let error = a.enter(|| raw_frames("eth7", &frames)).unwrap().unwrap_err();
    assert!(error.to_string().starts_with("there is no interface `eth7`"), "{error}");
}

#[test]
fn a_sink_that_is_not_there_is_an_error_with_the_address() {
    require_root!();
    let (_lab, a, _b) = linked("nobody");
    let error = a.enter(|| tcp_bulk("10.0.0.2:9".parse().unwrap(), 1)).unwrap().unwrap_err();
    assert!(error.to_string().starts_with("could not connect to 10.0.0.2:9"), "{error}");
    let error = a.enter(|| UdpSink::bind("10.9.9.9:1".parse().unwrap())).unwrap().unwrap_err();
    assert!(error.to_string().starts_with("could not receive UDP at 10.9.9.9:1"), "{error}");
}

#[test]
#[ignore = "takes ten seconds and more; the end-to-end tests do it with an agent in between"]
fn a_hundred_thousand_short_connections_find_ports_enough() {
    require_root!();
    let (_lab, a, b) = linked("many");
    let at = [0; 8].map(|port| ([10, 0, 0, 2], port).into());
    let sink = b.enter(|| TcpSink::bind(&at, 1)).unwrap().unwrap();
    let to = sink.addresses().to_vec();
    let flows = ShortFlows { to: &to, count: 100_000, payload: 1, close: Close::Fin, threads: 8 };
    let sent = a.enter(|| tcp_short_flows(&flows)).unwrap().unwrap();
    assert_eq!(sink.finish(sent.connections, SOON), sent);
}
