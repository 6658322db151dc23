//! Payload from an enemy: never a panic, bounded output.

use proptest::prelude::*;

use crate::dns::{query, response};
use crate::talk::{ACK, CLIENT, Talk, key};
use crate::{quic, tls};

/// A whole message of each protocol and where it goes.
fn messages() -> Vec<(bool, u16, Vec<u8>)> {
    let framed = |message: Vec<u8>| [&(message.len() as u16).to_be_bytes()[..], &message].concat();
    vec![
        (false, 53, query(1, "www.example.org")),
        (false, 53, response(1, "www.example.org")),
        (false, 5353, response(1, "www.example.local")),
        (true, 53, framed(response(1, "www.example.org"))),
        (true, 443, tls::hello("www.example.org")),
        (true, 80, b"GET /a HTTP/1.1\r\nHost: a.org\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n".to_vec()),
        (true, 80, b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nabc".to_vec()),
        (true, 22, b"hello\r\nSSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        (false, 443, quic::rfc_initial()),
    ]
}

fn take(talk: &mut Talk, tcp: bool, port: u16, seq: u32, bytes: &[u8]) {
    let server = format!("192.0.2.9:{port}");
    if tcp {
        talk.tcp((CLIENT, &server), ACK, seq, 1, bytes);
    } else {
        talk.udp(CLIENT, &server, bytes);
    }
}

#[test]
fn every_message_cut_anywhere_is_taken() {
    for (tcp, port, message) in messages() {
        for len in 0..message.len() {
            let mut talk = Talk::new();
            take(&mut talk, tcp, port, 1, &message[..len]);
            // Cut by the wire, and cut by the copy.
            talk.copied = len;
            take(&mut talk, tcp, port, 1, &message);
            assert!(talk.out.len() <= 4, "{:?}", talk.out);
        }
    }
}

#[test]
fn every_message_with_any_byte_changed_is_taken() {
    for (tcp, port, message) in messages() {
        let mut talk = Talk::new();
        for at in 0..message.len() {
            for value in [0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff, message[at].wrapping_add(1), message[at] ^ 0x20] {
                let mut broken = message.clone();
                broken[at] = value;
                take(&mut talk, tcp, port, (at as u32) << 20, &broken);
            }
        }
        assert!(!talk.out.is_empty(), "port {port}: nothing was read of {} bytes", message.len());
    }
}

proptest! {
    #[test]
    fn any_heads_and_payload_are_taken(
        packets in proptest::collection::vec(
            (
                any::<[u8; 6]>(),
                proptest::sample::select(vec![(6, 22), (6, 53), (6, 80), (6, 443), (17, 53), (17, 443), (1, 0), (58, 0), (132, 5)]),
                any::<[u32; 3]>(),
                0_usize..9,
                proptest::collection::vec(any::<(u16, u8)>(), 0..4),
                proptest::collection::vec(any::<u8>(), 0..40),
            ),
            1..60,
        ),
    ) {
        let messages = messages();
        let mut talk = Talk::new();
        for ([swap, flags, near, cut, kind, step], (protocol, port), [seq, ack, wire], which, changes, noise) in packets {
            let mut payload = messages[which].2.clone();
            for (at, value) in changes {
                let at = usize::from(at) % payload.len();
                payload[at] = value;
            }
            payload.truncate(payload.len() * usize::from(cut) / 255);
            payload.extend(noise);
            let (client, server) = ("10.0.0.1:40000".to_owned(), format!("192.0.2.9:{port}"));
            let (src, dst) = if swap & 1 == 0 { (&client, &server) } else { (&server, &client) };
            let mut head = hivewall_datapath::PeekHead::default();
            head.key = key(src, dst, protocol, talk.place);
            if port == 0 {
                (head.key.sport, head.key.dport) = (u16::from(kind & 0x81), 0);
            }
            head.seq = if near & 1 == 0 { seq } else { u32::from(near) * 7 };
            (head.ack, head.tcp_flags) = (if near & 2 == 0 { ack } else { head.seq.wrapping_add(1) }, flags);
            head.payload = if near & 4 == 0 { wire } else { payload.len() as u32 };
            head.captured = payload.len() as u16;
            talk.wait_us(i64::from(step) * 20_000 - 1_000_000);
            let now = talk.now;
            let before = talk.out.len();
            talk.names.take(now, &head, &payload, &mut talk.out);
            talk.names.tick(now);
            // A packet ends at most what waited for it and brings what is in it.
            prop_assert!(talk.out.len() - before <= 1200);
        }
    }
}
