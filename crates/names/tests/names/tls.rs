//! ClientHellos over TCP.

use expect_test::{Expect, expect};

use crate::talk::{ACK, CLIENT, SERVER, Talk, check};

/// Bytes behind their length, of `N` bytes.
fn sized<const N: usize>(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[4 - N..], bytes].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &sized::<2>(content)].concat()
}

/// Extension `server_name` (RFC 6066 §3).
pub(crate) fn named(name: &str) -> Vec<u8> {
    extension(0, &sized::<2>(&[&[0][..], &sized::<2>(name.as_bytes())].concat()))
}

fn protocols(names: &[&[u8]]) -> Vec<u8> {
    extension(16, &sized::<2>(&names.iter().flat_map(|name| sized::<1>(name)).collect::<Vec<_>>()))
}

/// A ClientHello as a handshake message (RFC 8446 §4.1.2): TLS 1.2 by its version, two ciphers and a GREASE one.
pub(crate) fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
    let body = [
        &[3, 3][..],
        &[7; 32],
        &sized::<1>(&[9; 32]),
        &sized::<2>(&[0x13, 2, 0x1a, 0x1a, 0x13, 1]),
        &sized::<1>(&[0]),
        &sized::<2>(&extensions.concat()),
    ];
    [&[1][..], &sized::<3>(&body.concat())].concat()
}

/// In records of so many bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|part| [&[22, 3, 1][..], &sized::<2>(part)].concat()).collect()
}

pub(crate) fn hello(name: &str) -> Vec<u8> {
    let versions = extension(43, &sized::<1>(&[0x2a, 0x2a, 3, 4, 3, 3]));
    let signatures = extension(13, &sized::<2>(&[4, 3, 0x3a, 0x3a, 8, 4]));
    let extensions = [extension(0x5a5a, b""), named(name), protocols(&[b"h2", b"http/1.1"]), versions, signatures];
    records(&message(&extensions), 1 << 14)
}

/// JA4 of [`hello`]: hashes of `1301,1302` and of `000d,002b_0403,0804` by sha256sum.
const HELLO: &str = "tls Some(\"a.org\") [\"h2\", \"http/1.1\"] 0x0304 t13d0204h2_62ed6f6ca7ad_ef5f37ab036a\n";

fn check_segment(bytes: &[u8], expected: Expect) {
    check(|talk| _ = talk.tcp((CLIENT, SERVER), ACK, 1, 1, bytes), expected);
}

#[test]
fn a_hello_tells_name_protocols_version_and_fingerprint() {
    let mut talk = Talk::new();
    talk.tcp((CLIENT, SERVER), ACK, 1, 1, &hello("a.org"));
    assert_eq!(talk.picture(), HELLO);
}

#[test]
fn a_hello_is_read_from_any_segments_in_any_order() {
    let bytes = hello("a.org");
    for piece in (1..bytes.len()).step_by(7) {
        let mut parts: Vec<(usize, &[u8])> = bytes.chunks(piece).enumerate().collect();
        for order in ["straight", "last first", "pairs swapped"] {
            let mut talk = Talk::new();
            talk.open(CLIENT, SERVER);
            match order {
                "straight" => {}
                // No more than what may wait for the first.
                "last first" if parts.len() <= hivewall_names::AHEAD_MAX => parts.reverse(),
                _ => parts.chunks_mut(2).for_each(<[_]>::reverse),
            }
            for (at, part) in &parts {
                talk.tcp((CLIENT, SERVER), ACK, 1001 + (at * piece) as u32, 5001, part);
            }
            parts.sort();
            assert_eq!(talk.picture(), format!("handshake 10ms + 1ms\n{HELLO}"), "{order}, segments of {piece} bytes");
        }
    }
}

#[test]
fn a_hello_is_read_from_any_records() {
    let message = message(&[named("a.org")]);
    for size in [1, 3, 4, 5, 50, message.len() - 1] {
        let mut talk = Talk::new();
        // What tells a hello is its version, so the first record has to reach to there.
        let bytes = [records(&message[..6], 6), records(&message[6..], size)].concat();
        talk.tcp((CLIENT, SERVER), ACK, 1, 1, &bytes);
        assert_eq!(talk.count("tls_hellos"), 1, "records of {size} bytes");
    }
}

#[test]
fn a_second_hello_after_a_retry_and_one_behind_other_talk_are_found() {
    let first = hello("a.org");
    let again = [&[20, 3, 3, 0, 1, 1][..], &hello("b.org")].concat();
    let mut talk = Talk::new();
    talk.tcp((CLIENT, SERVER), ACK, 1, 1, &first);
    talk.tcp((CLIENT, SERVER), ACK, 1 + first.len() as u32, 1, &again);
    // STARTTLS.
    talk.tcp((CLIENT, "192.0.2.9:25"), ACK, 1, 1, b"EHLO x\r\n");
    talk.tcp((CLIENT, "192.0.2.9:25"), ACK, 9, 1, b"STARTTLS\r\n");
    talk.tcp((CLIENT, "192.0.2.9:25"), ACK, 19, 1, &hello("mail.org"));
    let names = talk.picture();
    assert!(names.lines().zip(["a.org", "b.org", "mail.org"]).all(|(line, name)| line.contains(name)), "{names}");
    assert_eq!(names.lines().count(), 3, "{names}");
}

#[test]
fn a_name_is_told_of_a_hello_that_was_not_copied_whole() {
    let long = records(&message(&[named("a.org"), extension(21, &[0; 3000])]), 1 << 14);
    check_segment(
        &long,
        expect![[r#"
            tls Some("a.org") [] 0x0303 
            (1 tls_incomplete)
        "#]],
    );
    // The other way round the name is in what was not copied.
    let long = records(&message(&[extension(21, &[0; 3000]), named("a.org")]), 1 << 14);
    check_segment(&long, expect![["(1 tls_incomplete)\n"]]);
}

#[test]
fn a_hello_without_extensions_and_one_with_odd_ones_are_hellos() {
    // Version 1.2, two ciphers, and what is hashed of nothing are zeros; 1301,1302 as above.
    check_segment(
        &records(&message(&[]), 1 << 14),
        expect![[r#"
            tls None [] 0x0303 t12i020000_62ed6f6ca7ad_000000000000
        "#]],
    );
    let mut talk = Talk::new();
    let odd = message(&[extension(16, b"\xff\xff\xff"), extension(43, b"\x09"), extension(13, b"\0"), named("a.org")]);
    talk.tcp((CLIENT, SERVER), ACK, 1, 1, &records(&odd, 1 << 14));
    assert!(talk.picture().starts_with("tls Some(\"a.org\") [] 0x0303 t12d020400_62ed6f6ca7ad_"), "{}", talk.picture());
}

#[test]
fn what_begins_as_a_hello_and_is_none_costs_a_counter() {
    let mut bytes = hello("a.org");
    // A session id longer than there is.
    bytes[43] = 200;
    check_segment(&bytes, expect![["(1 tls_malformed)\n"]]);
    // Encrypted handshake records have random bytes where a hello has its lengths.
    check_segment(&[22, 3, 3, 0, 40, 1, 0x77, 9, 9, 9, 9, 9, 9], expect![""]);
}
