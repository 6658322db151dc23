//! SSH identification lines.

use expect_test::expect;

use crate::talk::{ACK, CLIENT, Talk, check};

const SERVER: &str = "192.0.2.9:22";

#[test]
fn both_sides_say_who_they_are() {
    check(
        |talk| {
            talk.open(CLIENT, SERVER);
            talk.tcp((SERVER, CLIENT), ACK, 5001, 1001, b"SSH-2.0-OpenSSH_9.6 Debian\r\n\0\0\x05\x14\x06\x14");
            talk.tcp((CLIENT, SERVER), ACK, 1001, 5029, b"SSH-2.0-Go\nmore");
            talk.tcp((CLIENT, SERVER), ACK, 1016, 5029, b"SSH-2.0-again\r\n");
        },
        expect![[r#"
            handshake 10ms + 1ms
            ssh "SSH-2.0-OpenSSH_9.6 Debian" from client: Some(false)
            ssh "SSH-2.0-Go" from client: Some(true)
        "#]],
    );
}

#[test]
fn a_server_may_say_something_before() {
    let text = b"Welcome.\r\nNo entry!\r\nSSH-1.99-Cisco-1.25\r\n";
    for piece in 1..text.len() {
        let mut talk = Talk::new();
        for (at, part) in text.chunks(piece).enumerate() {
            talk.tcp((SERVER, CLIENT), ACK, 1 + (at * piece) as u32, 1, part);
        }
        assert_eq!(talk.picture(), "ssh \"SSH-1.99-Cisco-1.25\" from client: None\n", "segments of {piece} bytes");
    }
}

#[test]
fn only_the_first_line_of_a_stream_counts_and_only_one_that_ends() {
    let long = [b"SSH-2.0-".as_slice(), &[b'x'; 300]].concat();
    check(
        |talk| {
            talk.tcp((SERVER, CLIENT), ACK, 1, 1, &long);
            talk.tcp((SERVER, "10.0.0.1:2"), ACK, 1, 1, b"\x00\x01\nSSH-2.0-x");
            talk.tcp(("192.0.2.9:2222", CLIENT), ACK, 1, 1, b"Hello\r\nSSH-2.0-x\r\n");
            talk.tcp(("192.0.2.9:2222", "10.0.0.1:3"), ACK, 1, 1, b"SSH-2.0-found\r\n");
        },
        expect![[r#"
            ssh "SSH-2.0-found" from client: None
        "#]],
    );
}
