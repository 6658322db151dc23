//! DNS over UDP and TCP, multicast DNS.

use expect_test::{Expect, expect};

use crate::talk::{ACK, Talk, check};

const CLIENT: &str = "10.0.0.1:5000";
const SERVER: &str = "10.0.0.53:53";

/// A name in labels (RFC 1035 §3.1).
pub(crate) fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A message: header words, question, the rest as it is.
pub(crate) fn message(id: u16, flags: u16, question: Option<(&str, u16)>, answers: u16, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [id, flags, u16::from(question.is_some()), answers, 0, 0] {
        bytes.extend(word.to_be_bytes());
    }
    if let Some((text, qtype)) = question {
        bytes.extend(name(text));
        bytes.extend(qtype.to_be_bytes());
        bytes.extend(1_u16.to_be_bytes());
    }
    bytes.extend_from_slice(rest);
    bytes
}

pub(crate) fn query(id: u16, name: &str) -> Vec<u8> {
    message(id, 0x0100, Some((name, 1)), 0, b"")
}

/// An answer to the question: its name is a pointer to there.
fn record(rtype: u16, class: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xc0, 12];
    bytes.extend(rtype.to_be_bytes());
    bytes.extend(class.to_be_bytes());
    bytes.extend(ttl.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

pub(crate) fn response(id: u16, name: &str) -> Vec<u8> {
    message(id, 0x8180, Some((name, 1)), 1, &record(1, 1, 300, &[192, 0, 2, 7]))
}

fn check_message(bytes: &[u8], expected: Expect) {
    check(|talk| _ = talk.udp(SERVER, CLIENT, bytes), expected);
}

#[test]
fn a_query_and_its_answer_give_the_name_the_addresses_and_the_time() {
    check(
        |talk| {
            talk.udp(CLIENT, SERVER, &query(7, "www.Example.org")).wait_us(12_345);
            talk.udp(SERVER, CLIENT, &response(7, "www.example.ORG"));
        },
        expect![[r#"
            dns 0x0007 "www.Example.org" type 1
            dns 0x0007 "www.example.ORG" type 1 rcode 0 answers 1 [www.example.ORG 1 300s 192.0.2.7] after 12.345ms
            dns round trip 12.345ms
        "#]],
    );
}

#[test]
fn an_answer_needs_id_ports_and_question_of_a_query_that_is_still_open() {
    check(
        |talk| {
            talk.udp(CLIENT, SERVER, &query(7, "a.org")).wait_us(1000);
            talk.udp(SERVER, CLIENT, &response(8, "a.org"));
            talk.udp(SERVER, CLIENT, &response(7, "b.org"));
            talk.udp(SERVER, "10.0.0.1:5001", &response(7, "a.org"));
            talk.udp(SERVER, CLIENT, &response(7, "a.org")).wait_us(1000);
            talk.udp(SERVER, CLIENT, &response(7, "a.org"));
            talk.udp(CLIENT, SERVER, &query(9, "late.org")).wait_us(31_000_000);
            talk.udp(SERVER, CLIENT, &response(9, "late.org"));
        },
        expect![[r#"
            dns 0x0007 "a.org" type 1
            dns 0x0008 "a.org" type 1 rcode 0 answers 1 [a.org 1 300s 192.0.2.7]
            dns 0x0007 "b.org" type 1 rcode 0 answers 1 [b.org 1 300s 192.0.2.7]
            dns 0x0007 "a.org" type 1 rcode 0 answers 1 [a.org 1 300s 192.0.2.7]
            dns 0x0007 "a.org" type 1 rcode 0 answers 1 [a.org 1 300s 192.0.2.7] after 1ms
            dns round trip 1ms
            dns 0x0007 "a.org" type 1 rcode 0 answers 1 [a.org 1 300s 192.0.2.7]
            dns 0x0009 "late.org" type 1
            dns 0x0009 "late.org" type 1 rcode 0 answers 1 [late.org 1 300s 192.0.2.7]
        "#]],
    );
}

#[test]
fn a_message_at_two_interfaces_counts_once_and_one_sent_again_twice() {
    check(
        |talk| {
            for _ in 0..2 {
                talk.at(2, false).udp(CLIENT, SERVER, &query(7, "a.org")).wait_us(80);
                talk.at(3, true).udp(CLIENT, SERVER, &query(7, "a.org")).wait_us(2_000_000);
            }
            talk.at(3, false).udp(SERVER, CLIENT, &response(7, "a.org")).wait_us(80);
            talk.at(2, true).udp(SERVER, CLIENT, &response(7, "a.org"));
        },
        // The wait began with the first query: 2 × 2.00008 s.
        expect![[r#"
            dns 0x0007 "a.org" type 1
            dns 0x0007 "a.org" type 1
            dns 0x0007 "a.org" type 1 rcode 0 answers 1 [a.org 1 300s 192.0.2.7] after 4.00016s
            dns round trip 4.00016s
            (3 duplicate)
        "#]],
    );
}

#[test]
fn another_message_with_the_same_id_at_another_interface_is_another_message() {
    check(
        |talk| {
            talk.udp(CLIENT, SERVER, &query(7, "a.org"));
            talk.at(3, false).udp(CLIENT, SERVER, &query(7, "b.org"));
        },
        expect![[r#"
            dns 0x0007 "a.org" type 1
            dns 0x0007 "b.org" type 1
        "#]],
    );
}

#[test]
fn records_of_every_shown_kind_are_read() {
    let mut records = record(28, 1, 60, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    records.extend(record(5, 1, 60, &name("alias.org")));
    records.extend(record(15, 1, 60, &[&[0, 10][..], &name("mail.org")].concat()));
    records.extend(record(33, 1, 60, &[&[0, 1, 0, 2, 0, 80][..], &name("srv.org")].concat()));
    records.extend(record(16, 1, 60, b"\x05v=spf\x03abc"));
    records.extend(record(12, 1, 60, &[0xc0, 12]));
    records.extend(record(65280, 1, 60, b"anything"));
    check_message(
        &message(1, 0x8180, Some(("a.org", 255)), 7, &records),
        expect![[r#"
            dns 0x0001 "a.org" type 255 rcode 0 answers 7 [a.org 28 60s 2001:db8::1] [a.org 5 60s "alias.org"] [a.org 15 60s "mail.org"] [a.org 33 60s "srv.org"] [a.org 16 60s "v=spfabc"] [a.org 12 60s "a.org"] [a.org 65280 60s ""]
        "#]],
    );
}

#[test]
fn what_follows_a_readable_question_may_be_anything() {
    let good = record(1, 1, 60, &[192, 0, 2, 7]);
    let odd_class = record(1, 77, 60, &[192, 0, 2, 8]);
    // An unknown class, the reserved header bit, a cut answer, nothing at all where an answer was announced.
    check_message(
        &message(1, 0x81c0, Some(("a.org", 1)), 3, &[&good[..], &odd_class, &good].concat()),
        expect![[r#"
            dns 0x0001 "a.org" type 1 rcode 0 answers 3 [a.org 1 60s 192.0.2.7]
            (1 dns_partial)
        "#]],
    );
    check_message(
        &message(1, 0x8180, Some(("a.org", 1)), 2, &[&good[..], &good[..9]].concat()),
        expect![[r#"
            dns 0x0001 "a.org" type 1 rcode 0 answers 2 [a.org 1 60s 192.0.2.7]
            (1 dns_partial)
        "#]],
    );
    check_message(
        &message(1, 0x8183, Some(("a.org", 65399)), 9, b"\xff\xff"),
        expect![[r#"
            dns 0x0001 "a.org" type 65399 rcode 3 answers 9
            (1 dns_partial)
        "#]],
    );
}

#[test]
fn at_most_32_answers_are_kept() {
    let records = record(1, 1, 60, &[192, 0, 2, 7]).repeat(100);
    let mut talk = Talk::new();
    talk.udp(SERVER, CLIENT, &message(1, 0x8180, Some(("a.org", 1)), 100, &records));
    let hivewall_model::Learned::Dns(message) = &talk.out[0].learned else { panic!("no DNS message") };
    assert_eq!((message.answers.len(), message.answer_count, talk.count("dns_partial")), (32, 100, 0));
}

#[test]
fn without_a_header_or_a_question_that_ends_there_is_no_message() {
    let whole = query(1, "a.org");
    let mut endless = query(1, "a.org");
    // A name that points to itself.
    endless[12..14].copy_from_slice(&[0xc0, 12]);
    let mut labels = message(1, 0x0100, Some((&"a.".repeat(200), 1)), 0, b"");
    check(
        |talk| {
            for len in 1..whole.len() {
                talk.udp(CLIENT, SERVER, &whole[..len]);
            }
        },
        // 11 bytes of header and 11 of question too few.
        expect![[r#"
            (22 dns_malformed)
        "#]],
    );
    check_message(&endless, expect![["(1 dns_malformed)\n"]]);
    check_message(&labels, expect![["(1 dns_malformed)\n"]]);
    labels[12] = 0x80;
    check_message(&labels, expect![["(1 dns_malformed)\n"]]);
}

#[test]
fn a_name_of_any_bytes_is_text_of_at_most_255() {
    let mut bytes = query(1, "éa.b");
    bytes[13] = 0xff;
    check_message(
        &bytes,
        expect![[r#"
            dns 0x0001 "��a.b" type 1
        "#]],
    );
    let mut bytes = query(1, &[&*"x".repeat(63); 3].join("."));
    bytes[13..76].fill(0xff);
    let mut talk = Talk::new();
    talk.udp(CLIENT, SERVER, &bytes);
    let hivewall_model::Learned::Dns(message) = &talk.out[0].learned else { panic!("no DNS message") };
    // The replacement takes three bytes: 189, a dot, a label of 63, a dot, and one more.
    assert_eq!((message.name.len(), message.name.matches('x').count()), (255, 64));
}

#[test]
fn multicast_names_are_marked_and_need_no_question() {
    let announcement = [&name("printer.local")[..], &[0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4, 10, 0, 0, 5]].concat();
    check(
        |talk| {
            talk.udp("10.0.0.5:5353", "224.0.0.251:5353", &message(0, 0x8400, None, 1, &announcement));
            talk.udp("[fe80::1]:5355", "[ff02::1:3]:5355", &query(9, "host"));
        },
        expect![[r#"
            dns 0x0000 "" type 0 rcode 0 answers 1 [printer.local 1 120s 10.0.0.5] multicast
            dns 0x0009 "host" type 1 multicast
        "#]],
    );
}

/// Behind its length (RFC 1035 §4.2.2).
fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

#[test]
fn over_tcp_messages_share_segments_and_segments_share_messages() {
    let there = [framed(&query(1, "a.org")), framed(&query(2, "b.org"))].concat();
    let back = [framed(&response(1, "a.org")), framed(&response(2, "b.org"))].concat();
    let expected = expect![[r#"
        handshake 10ms + 1ms
        dns 0x0001 "a.org" type 1 tcp
        dns 0x0002 "b.org" type 1 tcp
        server response 5ms
        dns 0x0001 "a.org" type 1 rcode 0 answers 1 [a.org 1 300s 192.0.2.7] tcp after 5ms
        dns round trip 5ms
        dns 0x0002 "b.org" type 1 rcode 0 answers 1 [b.org 1 300s 192.0.2.7] tcp after 5ms
        dns round trip 5ms
    "#]];
    for piece in [1, 2, 3, 10, 40, 1000] {
        let mut talk = Talk::new();
        talk.open(CLIENT, SERVER);
        for (at, part) in there.chunks(piece).enumerate() {
            talk.tcp((CLIENT, SERVER), ACK, 1001 + (at * piece) as u32, 5001, part);
        }
        talk.wait_us(5000);
        for (at, part) in back.chunks(piece).enumerate() {
            talk.tcp((SERVER, CLIENT), ACK, 5001 + (at * piece) as u32, 1001, part);
        }
        expected.assert_eq(&talk.picture());
    }
}

#[test]
fn of_a_message_over_tcp_that_was_not_copied_whole_the_front_is_read() {
    let long = message(1, 0x8180, Some(("a.org", 1)), 200, &record(1, 1, 60, &[192, 0, 2, 7]).repeat(200));
    check(
        |talk| {
            talk.copied = 64;
            talk.tcp((SERVER, CLIENT), ACK, 1, 1, &framed(&long));
            talk.tcp((SERVER, CLIENT), ACK, 1 + 2 + long.len() as u32, 1, &framed(&response(2, "b.org")));
        },
        // Whether the second begins a message cannot be known; it is read as if it did.
        expect![[r#"
            dns 0x0001 "a.org" type 1 rcode 0 answers 200 [a.org 1 60s 192.0.2.7] [a.org 1 60s 192.0.2.7] tcp
            dns 0x0002 "b.org" type 1 rcode 0 answers 1 [b.org 1 300s 192.0.2.7] tcp
            (1 dns_partial)
        "#]],
    );
}
