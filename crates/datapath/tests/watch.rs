//! Which packets are copied: each rule with what it wants, what it does not, the same bytes under another protocol, and
//! where the watch goes.
//!
//! What a copy carries is tested in `hivewall-soft`, equality with the kernel in `hivewall-host`. Invariant: a table of
//! packets goes through one flow's line, in order.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod shared;

use hivewall_datapath::{OPENING_BYTES, Opening, Packet, PeekControl, Watch};
use hivewall_testkit::packet::{ACK, FIN, PSH, SYN, frame};
use shared::packet;

const HELLO: &[u8] = &[0x16, 3, 1, 0, 200, 1, 0, 0, 196];
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n";
const INITIAL: &[u8] = &[0xc3, 0, 0, 0, 1, 8, 1, 2, 3];
const OTHER: &[u8] = b"EHLO mail.example";

fn tcp(port: u16, flags: u16) -> Packet {
    packet(&frame().ipv4("10.0.0.1", "10.0.0.2").tcp(40_000, port).flags(flags).build())
}

fn udp(port: u16) -> Packet {
    packet(&frame().ipv4("10.0.0.1", "10.0.0.2").udp(40_000, port).build())
}

/// A flow as the cache sees it.
struct Line(Watch);

impl Line {
    fn met(packet: &Packet) -> Self {
        Self(Watch::at_first(packet))
    }

    /// A TCP flow on `port` whose handshake was seen.
    fn opened(port: u16) -> Self {
        let mut line = Self::met(&tcp(port, SYN));
        assert!(line.sees(&tcp(port, SYN), &[], 0), "the SYN");
        assert!(line.sees(&tcp(port, ACK), &[], 0), "the ACK that ends the handshake");
        line
    }

    /// Whether a packet with this payload is copied.
    fn sees(&mut self, packet: &Packet, payload: &[u8], len: u32) -> bool {
        if !self.0.wants(len > 0) {
            return false;
        }
        let mut opening = [0; OPENING_BYTES];
        opening.iter_mut().zip(payload).for_each(|(to, from)| *to = *from);
        let (copied, next) = self.0.look(packet, len, Opening(opening));
        assert!(
            !(copied && self.0.is_choosy()) || Opening(opening).is_known(),
            "the sieve lets through what is copied"
        );
        self.0 = next;
        copied
    }

    fn sees_data(&mut self, packet: &Packet, payload: &[u8]) -> bool {
        self.sees(packet, payload, payload.len() as u32)
    }
}

#[test]
fn dns_is_copied_for_the_life_of_the_flow_and_the_same_bytes_elsewhere_are_not() {
    for packet in [udp(53), udp(5353), udp(5355), tcp(53, ACK)] {
        let mut line = Line::met(&packet);
        assert!((0..1000).all(|_| line.sees_data(&packet, b"\x12\x34\x01\x00\x00\x01")));
        assert!(!line.sees(&packet, &[], 0), "nothing is not copied");
    }
    for packet in [udp(54), tcp(5353, ACK), packet(&frame().ipv4("10.0.0.1", "10.0.0.2").sctp(1, 53, 0).build())] {
        let mut line = Line::met(&packet);
        assert!(!line.sees_data(&packet, b"\x12\x34\x01\x00\x00\x01"));
        assert_eq!(line.0, Watch::NONE);
    }
}

#[test]
fn a_handshake_is_copied_without_payload_and_nothing_else_that_has_none() {
    let mut line = Line::opened(443);
    assert!(!line.sees(&tcp(443, ACK), &[], 0));
    assert!(!line.sees(&tcp(443, FIN | ACK), &[], 0));
    let mut server = Line::met(&tcp(443, SYN | ACK));
    assert!(server.sees(&tcp(443, SYN | ACK), &[], 0));
    assert!(!server.sees(&tcp(443, ACK), &[], 0), "the answer to a SYN ends no handshake of its own");
}

#[test]
fn a_hello_ends_the_watch_of_its_direction_and_one_in_pieces_is_copied_whole() {
    let mut line = Line::opened(443);
    assert!(line.sees(&tcp(443, ACK | PSH), HELLO, 205));
    assert_eq!(line.0, Watch::NONE);
    let mut line = Line::opened(443);
    let pieces = [(HELLO, 100, true), (OTHER, 60, true), (OTHER, 45, true), (OTHER, 1000, false)];
    for (payload, len, copied) in pieces {
        assert_eq!(line.sees(&tcp(443, ACK), payload, len), copied);
    }
}

#[test]
fn a_dialogue_before_the_hello_is_followed_for_three_payloads() {
    let mut line = Line::opened(25);
    let copied: Vec<bool> =
        [OTHER, b"STARTTLS\r\n", OTHER, OTHER].map(|text| line.sees_data(&tcp(25, ACK), text)).into();
    assert_eq!((copied, line.0), (vec![true, true, true, false], Watch::NONE));
}

#[test]
fn requests_of_a_kept_connection_are_copied_and_what_they_carry_is_not() {
    for port in [80, 9090] {
        let mut line = Line::opened(port);
        for _ in 0..100 {
            assert!(line.sees_data(&tcp(port, ACK), RESPONSE));
            assert_eq!(line.0, Watch::HEADS);
            assert!(!(0..20).any(|_| line.sees_data(&tcp(port, ACK), OTHER)), "a body");
        }
        assert!(line.sees_data(&tcp(port, ACK), REQUEST));
    }
    // Behind a request on a port for it come the rest of its head, and requests that begin within a packet.
    let mut line = Line::opened(80);
    let copied = [REQUEST, OTHER, OTHER, OTHER, OTHER, REQUEST].map(|text| line.sees_data(&tcp(80, ACK), text));
    assert_eq!(copied, [true, true, true, true, false, true]);
}

#[test]
fn a_flow_that_was_met_halfway_is_looked_at_once() {
    let packet = tcp(443, ACK);
    for (text, copied) in [(OTHER, false), (HELLO, true), (REQUEST, true), (b"SSH-2.0-OpenSSH_9.6\r\n", true)] {
        let mut line = Line::met(&packet);
        assert!(!line.sees(&packet, &[], 0) && line.0 == Watch::ONCE, "an acknowledgement tells nothing");
        assert_eq!(line.sees(&packet, text, 205), copied, "{text:?}");
    }
    let mut line = Line::met(&packet);
    assert!(!line.sees_data(&packet, OTHER));
    assert!(!line.sees_data(&packet, HELLO), "it is no beginning any more");
    let mut line = Line::met(&tcp(8080, ACK));
    assert!(!line.sees_data(&tcp(8080, ACK), OTHER));
    assert!(line.sees_data(&tcp(8080, ACK), REQUEST), "but for HTTP, where each message is one");
}

#[test]
fn a_banner_is_copied_once_from_either_side() {
    for side in [SYN, SYN | ACK] {
        let mut line = Line::met(&tcp(22, side));
        line.sees(&tcp(22, side), &[], 0);
        assert!(line.sees_data(&tcp(22, ACK), b"SSH-2.0-OpenSSH_9.6\r\n"));
        assert!(!line.sees_data(&tcp(22, ACK), OTHER));
    }
}

#[test]
fn long_headers_of_quic_are_copied_until_a_short_one_comes() {
    let mut line = Line::met(&udp(443));
    assert!((0..4).all(|_| line.sees_data(&udp(443), INITIAL)));
    assert!(!line.sees_data(&udp(443), INITIAL), "no more than four");
    let mut line = Line::met(&udp(443));
    assert!(line.sees_data(&udp(443), INITIAL));
    assert!(!line.sees_data(&udp(443), &[0x41, 1, 2, 3]));
    assert!(!line.sees_data(&udp(443), INITIAL), "the handshake is over");
    assert!(!Line::met(&udp(123)).sees_data(&udp(123), &[0x23, 2, 6, 0]));
    assert!(!Line::met(&tcp(443, ACK)).sees_data(&tcp(443, ACK), INITIAL), "not over TCP");
}

#[test]
fn echoes_are_copied_and_other_messages_of_icmp_are_not() {
    let v4 = |kind, code| packet(&frame().ipv4("10.0.0.1", "10.0.0.2").icmp(kind, code, 0x1234_0001).build());
    let v6 = |kind, code| packet(&frame().ipv6("fd00::1", "fd00::2").icmp6(kind, code, 0x1234_0001).build());
    for packet in [v4(8, 0), v4(0, 0), v6(128, 0), v6(129, 0)] {
        let mut line = Line::met(&packet);
        assert!((0..100).all(|_| line.sees_data(&packet, &[0x12, 0x34, 0, 1])));
    }
    for packet in [v4(3, 0), v4(8, 1), v4(128, 0), v6(8, 0), v6(135, 0)] {
        assert_eq!(Watch::at_first(&packet), Watch::NONE);
    }
}

#[test]
fn a_budget_is_kept_by_the_window_and_bare_heads_leave_half_of_it() {
    let mut control = PeekControl::default();
    let mut spend = |count, at, payload| (0..count).filter(|_| control.spend(at, 10, payload)).count();
    assert_eq!(spend(100, 1_000_000_000, false), 5);
    assert_eq!(spend(100, 1_000_000_001, true), 5);
    assert_eq!(spend(100, 1_060_000_000, true), 0, "the window is 67 ms");
    assert_eq!(spend(100, 1_068_000_000, true), 10);
    assert_eq!(control.over_budget, 95 + 95 + 100 + 90);
}
