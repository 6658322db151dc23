//! Segments as networks deliver them: again, late, at several interfaces, with pieces missing.

use expect_test::expect;
use proptest::prelude::*;

use crate::talk::{ACK, CLIENT, SYN, Talk, check};
use crate::tls;

const SERVER: &str = "192.0.2.9:80";

#[test]
fn a_segment_at_two_interfaces_or_sent_again_is_read_once() {
    check(
        |talk| {
            for (ifindex, egress) in [(2, false), (3, true), (2, false)] {
                talk.at(ifindex, egress).tcp((CLIENT, SERVER), ACK, 1, 1, b"GET /1 HTTP/1.1\r\n\r\n").wait_us(100);
            }
            // Half of it is old.
            talk.tcp((CLIENT, SERVER), ACK, 18, 1, b"\r\nGET /2 HTTP/1.1\r\n\r\n");
        },
        expect![[r#"
            #0 GET /1 1.1
            #1 GET /2 1.1
            (2 duplicate)
        "#]],
    );
}

#[test]
fn a_segment_that_comes_after_its_successor_is_read_still_and_once() {
    check(
        |talk| {
            talk.tcp((CLIENT, SERVER), ACK, 1, 1, b"GET /1 HTTP/1.1\r\n\r\n");
            talk.tcp((CLIENT, SERVER), ACK, 39, 1, b"GET /3 HTTP/1.1\r\n\r\n");
            talk.tcp((CLIENT, SERVER), ACK, 20, 1, b"GET /2 HTTP/1.1\r\n\r\n");
            talk.tcp((CLIENT, SERVER), ACK, 20, 1, b"GET /2 HTTP/1.1\r\n\r\n");
            talk.tcp((CLIENT, SERVER), ACK, 58, 1, b"GET /4 HTTP/1.1\r\n\r\n");
        },
        expect![[r#"
            #0 GET /1 1.1
            #1 GET /3 1.1
            #2 GET /2 1.1
            #3 GET /4 1.1
            (1 duplicate)
        "#]],
    );
}

#[test]
fn a_missing_segment_is_waited_for_a_second_and_not_longer() {
    let request = |talk: &mut Talk, number: u32| {
        let head = format!("GET /{number:02} HTTP/1.1\r\n\r\n");
        talk.tcp((CLIENT, SERVER), ACK, 1001 + 20 * number, 1, head.as_bytes());
    };
    check(
        |talk| {
            // The first segment of the stream never comes.
            talk.tcp((CLIENT, SERVER), SYN, 1000, 0, b"");
            request(talk, 1);
            request(talk, 2);
            assert!(talk.out.is_empty());
            talk.wait_us(1_100_000);
            request(talk, 3);
        },
        expect![[r#"
            #0 GET /01 1.1
            #1 GET /02 1.1
            #2 GET /03 1.1
            (1 gaps)
        "#]],
    );
    check(
        |talk| {
            // Nor does the rest of a head.
            talk.tcp((CLIENT, SERVER), ACK, 1001, 1, b"GET /0 HTTP/1.1\r\nHost: a.org\r\nCook");
            for number in 9..9 + 17 {
                request(talk, number);
            }
        },
        // Sixteen may wait; the seventeenth ends it.
        expect![[r#"
            #0 GET /0 1.1 host="a.org"
            #1 GET /09 1.1
            #2 GET /10 1.1
            #3 GET /11 1.1
            #4 GET /12 1.1
            #5 GET /13 1.1
            #6 GET /14 1.1
            #7 GET /15 1.1
            #8 GET /16 1.1
            #9 GET /17 1.1
            #10 GET /18 1.1
            #11 GET /19 1.1
            #12 GET /20 1.1
            #13 GET /21 1.1
            #14 GET /22 1.1
            #15 GET /23 1.1
            #16 GET /24 1.1
            #17 GET /25 1.1
            (1 http_incomplete)
            (1 gaps)
        "#]],
    );
}

#[test]
fn a_new_connection_on_the_same_ports_begins_anew() {
    check(
        |talk| {
            talk.open(CLIENT, SERVER).tcp((CLIENT, SERVER), ACK, 1001, 5001, b"GET /1 HT");
            // Its SYN was seen.
            talk.tcp((CLIENT, SERVER), SYN, 900_000, 0, b"");
            talk.tcp((CLIENT, SERVER), ACK, 900_001, 1, b"GET /2 HTTP/1.1\r\n\r\n");
            // Its SYN was not.
            talk.tcp((CLIENT, SERVER), ACK, 3_000_000_000, 1, b"GET /3 HTTP/1.1\r\n\r\n");
        },
        expect![[r#"
            handshake 10ms + 1ms
            #0 GET /2 1.1
            #1 GET /3 1.1
        "#]],
    );
}

#[test]
fn sequence_numbers_wrap() {
    check(
        |talk| {
            let first = u32::MAX - 10;
            talk.tcp((CLIENT, SERVER), SYN, first, 0, b"");
            talk.tcp((CLIENT, SERVER), ACK, 5, 1, b"HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
            talk.tcp((CLIENT, SERVER), ACK, first.wrapping_add(1), 1, b"GET /1         ");
        },
        expect![[r#"
            #0 GET /1 1.1
            #1 GET /2 1.1
        "#]],
    );
}

proptest! {
    /// Whatever a network does to a stream short of losing it, its messages are read, each once.
    #[test]
    fn order_and_copies_change_nothing(
        cuts in proptest::collection::btree_set(1_usize..700, 0..10),
        order in proptest::collection::vec((0_usize..11, 0_u32..3), 0..30),
        isn in any::<u32>(),
    ) {
        let stream = [&tls::hello("a.org")[..], &[23, 3, 3, 2, 0], &[0xaa; 512]].concat();
        let ends: Vec<usize> =
            [0].into_iter().chain(cuts.into_iter().filter(|cut| *cut < stream.len())).chain([stream.len()]).collect();
        let parts: Vec<(usize, &[u8])> = ends.windows(2).map(|ends| (ends[0], &stream[ends[0]..ends[1]])).collect();
        let mut talk = Talk::new();
        talk.tcp((CLIENT, SERVER), SYN, isn, 0, b"");
        // Some in any order and at any interface, then all of them.
        let some = order.into_iter().map(|(part, at)| (parts[part % parts.len()], at));
        for ((at, part), ifindex) in some.chain(parts.iter().map(|part| (*part, 1))).collect::<Vec<_>>() {
            talk.at(ifindex, false).wait_us(10);
            talk.tcp((CLIENT, SERVER), ACK, isn.wrapping_add(1 + at as u32), 1, part);
        }
        prop_assert_eq!(talk.count("tls_hellos"), 1);
        prop_assert_eq!(talk.count("tls_incomplete") + talk.count("gaps") + talk.count("tls_malformed"), 0);
    }
}
