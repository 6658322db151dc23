//! Handshakes, server responses and echo.

use expect_test::expect;
use hivewall_datapath::proto;

use crate::talk::{ACK, CLIENT, SERVER, SYN, SYN_ACK, check};

const RST: u8 = 4;

#[test]
fn a_handshake_is_timed_from_syn_to_the_last_ack() {
    check(|talk| _ = talk.open(CLIENT, SERVER), expect![["handshake 10ms + 1ms\n"]]);
    // The last ACK may bring the first payload; a later one ends nothing again.
    check(
        |talk| {
            talk.tcp((CLIENT, SERVER), SYN, 1000, 0, b"").wait_us(30);
            talk.tcp((SERVER, CLIENT), SYN_ACK, u32::MAX, 1001, b"").wait_us(20);
            talk.tcp((CLIENT, SERVER), ACK, 1001, 0, b"\0\x01").wait_us(1_000_000);
            talk.tcp((CLIENT, SERVER), ACK, 1003, 0, b"");
        },
        expect![["handshake 30µs + 20µs\n"]],
    );
}

#[test]
fn of_a_syn_sent_again_the_last_one_counts_and_so_of_a_syn_ack() {
    check(
        |talk| {
            for _ in 0..3 {
                talk.wait_us(1_000_000).tcp((CLIENT, SERVER), SYN, 1000, 0, b"");
            }
            talk.wait_us(5000).tcp((SERVER, CLIENT), SYN_ACK, 5000, 1001, b"");
            // Not answered in time: both are sent again, but the SYN was answered before.
            talk.wait_us(995_000).tcp((CLIENT, SERVER), SYN, 1000, 0, b"");
            talk.wait_us(5000).tcp((SERVER, CLIENT), SYN_ACK, 5000, 1001, b"");
            talk.wait_us(2000).tcp((CLIENT, SERVER), ACK, 1001, 5001, b"");
        },
        expect![["handshake 1.005s + 2ms\n"]],
    );
}

#[test]
fn a_forwarded_handshake_is_one_with_a_true_sum() {
    check(
        |talk| {
            let (there, back) = ((CLIENT, SERVER), (SERVER, CLIENT));
            talk.at(2, false).tcp(there, SYN, 1000, 0, b"").wait_us(100);
            talk.at(3, true).tcp(there, SYN, 1000, 0, b"").wait_us(10_000);
            talk.at(3, false).tcp(back, SYN_ACK, 5000, 1001, b"").wait_us(100);
            talk.at(2, true).tcp(back, SYN_ACK, 5000, 1001, b"").wait_us(2000);
            talk.at(2, false).tcp(there, ACK, 1001, 5001, b"").wait_us(100);
            talk.at(3, true).tcp(there, ACK, 1001, 5001, b"");
        },
        // 12.2 ms from the first SYN to the first ACK, however it is split.
        expect![[r#"
            handshake 10.1ms + 2.1ms
            (1 duplicate)
        "#]],
    );
}

#[test]
fn what_does_not_belong_to_a_handshake_ends_none() {
    check(
        |talk| {
            talk.tcp((CLIENT, SERVER), SYN, 1000, 0, b"");
            // Another acknowledgement number; from the wrong side; a scanner's RST; no SYN-ACK yet.
            talk.tcp((SERVER, CLIENT), SYN_ACK, 5000, 1000, b"");
            talk.tcp((CLIENT, SERVER), ACK, 1001, 5001, b"");
            talk.tcp((SERVER, CLIENT), SYN_ACK, 5000, 1001, b"");
            talk.tcp((SERVER, CLIENT), ACK, 5001, 1001, b"");
            talk.tcp((CLIENT, SERVER), ACK, 1001, 5002, b"");
            talk.tcp((CLIENT, SERVER), RST | ACK, 1001, 5001, b"");
            // One of which the SYN was not seen.
            talk.tcp(("192.0.2.1:1", CLIENT), SYN_ACK, 5000, 1001, b"");
            talk.tcp((CLIENT, "192.0.2.1:1"), ACK, 1001, 5001, b"");
        },
        expect![[""]],
    );
}

#[test]
fn a_server_response_is_timed_where_the_client_spoke_first() {
    check(
        |talk| {
            talk.open(CLIENT, SERVER);
            talk.tcp((CLIENT, SERVER), ACK, 1001, 5001, b"\x01binary").wait_us(1000);
            talk.tcp((CLIENT, SERVER), ACK, 1008, 5001, b"more").wait_us(2000);
            talk.tcp((SERVER, CLIENT), ACK, 5001, 1012, b"\x02answer").wait_us(1000);
            talk.tcp((SERVER, CLIENT), ACK, 5008, 1012, b"\x02more");
        },
        expect![[r#"
            handshake 10ms + 1ms
            server response 3ms
        "#]],
    );
    check(
        |talk| {
            talk.open(CLIENT, "192.0.2.9:21");
            talk.tcp(("192.0.2.9:21", CLIENT), ACK, 5001, 1001, b"220 ready\r\n").wait_us(1000);
            talk.tcp((CLIENT, "192.0.2.9:21"), ACK, 1001, 5012, b"USER x\r\n").wait_us(1000);
            talk.tcp(("192.0.2.9:21", CLIENT), ACK, 5012, 1009, b"331 password\r\n");
        },
        expect![["handshake 10ms + 1ms\n"]],
    );
    // Who is the client is not known of a connection that was there before.
    check(
        |talk| {
            talk.tcp((CLIENT, SERVER), ACK, 1001, 5001, b"\x01binary").wait_us(1000);
            talk.tcp((SERVER, CLIENT), ACK, 5001, 1008, b"\x02answer");
        },
        expect![[""]],
    );
}

#[test]
fn fast_open_sends_its_payload_with_the_syn() {
    check(
        |talk| {
            talk.tcp((CLIENT, SERVER), SYN, 1000, 0, b"GET / HTTP/1.1\r\nHost: a.org\r\n").wait_us(4000);
            talk.tcp((SERVER, CLIENT), SYN_ACK, 5000, 1030, b"").wait_us(1000);
            talk.tcp((CLIENT, SERVER), ACK, 1030, 5001, b"\r\n");
        },
        expect![[r#"
            handshake 4ms + 1ms
            #0 GET / 1.1 host="a.org"
        "#]],
    );
}

#[test]
fn an_echo_is_answered_by_identifier_and_number() {
    check(
        |talk| {
            talk.echo("10.0.0.1", "192.0.2.1", proto::ICMP, 8, 0x0007_0001).wait_us(500);
            talk.echo("10.0.0.1", "192.0.2.1", proto::ICMP, 8, 0x0007_0002).wait_us(500);
            talk.echo("192.0.2.1", "10.0.0.1", proto::ICMP, 0, 0x0007_0002).wait_us(500);
            talk.echo("192.0.2.1", "10.0.0.1", proto::ICMP, 0, 0x0007_0001);
            talk.echo("192.0.2.1", "10.0.0.1", proto::ICMP, 0, 0x0007_0001);
            talk.echo("[2001:db8::1]", "[2001:db8::2]", proto::ICMPV6, 128, 9).wait_us(70);
            // Another host's request with the same numbers, and an answer from the side that asked.
            talk.echo("[2001:db8::1]", "[2001:db8::2]", proto::ICMPV6, 129, 9);
            talk.echo("[2001:db8::3]", "[2001:db8::1]", proto::ICMPV6, 129, 9);
            talk.echo("[2001:db8::2]", "[2001:db8::1]", proto::ICMPV6, 129, 9);
            // To itself.
            talk.echo("127.0.0.1", "127.0.0.1", proto::ICMP, 8, 1).wait_us(5);
            talk.echo("127.0.0.1", "127.0.0.1", proto::ICMP, 0, 1);
            // Other messages are no echo.
            talk.echo("192.0.2.1", "10.0.0.1", proto::ICMP, 3, 1);
        },
        expect![[r#"
            echo round trip 500µs
            echo round trip 1.5ms
            echo round trip 70µs
            echo round trip 5µs
        "#]],
    );
}

#[test]
fn a_forwarded_echo_is_timed_once() {
    check(
        |talk| {
            let (there, back) = (("10.0.0.1", "192.0.2.1"), ("192.0.2.1", "10.0.0.1"));
            talk.at(2, false).echo(there.0, there.1, proto::ICMP, 8, 1).wait_us(100);
            talk.at(3, true).echo(there.0, there.1, proto::ICMP, 8, 1).wait_us(800);
            talk.at(3, false).echo(back.0, back.1, proto::ICMP, 0, 1).wait_us(100);
            talk.at(2, true).echo(back.0, back.1, proto::ICMP, 0, 1);
        },
        expect![[r#"
            echo round trip 900µs
            (1 duplicate)
        "#]],
    );
}
