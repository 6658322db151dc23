//! QUIC Initial packets, sealed here as RFC 9001 §5 says, so that any shape of them can be told.

use aes::Aes128;
use aes::cipher::{BlockEncrypt, KeyInit, generic_array::GenericArray};
use expect_test::expect;
use ring::{aead, hkdf};

use crate::talk::{CLIENT, Talk, check, hex};
use crate::tls::{message, named};

const SERVER: &str = "192.0.2.9:443";
const V1: u32 = 1;
const V2: u32 = 0x6b33_43cf;
const DCID: &str = "8394c8f03e515708";

/// The ClientHello of RFC 9001 appendix A.2, in its CRYPTO frame.
const RFC_FRAME: &str = "
    060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868
    04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578
    616d706c652e636f6dff01000100000a00080006001d00170018001000070005
    04616c706e000500050100000000003300260024001d00209370b2c9caa47fba
    baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400
    0d0010000e0403050306030203080408050806002d00020101001c0002400100
    3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000
    75300901100f088394c8f03e51570806048000ffff";

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(secret: &[u8], label: &str, len: usize) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let head = [&(len as u16).to_be_bytes()[..], &[label.len() as u8], label.as_bytes(), &[0]].concat();
    let mut out = vec![0; len];
    let key = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret);
    key.expand(&[&head], Len(len)).unwrap().fill(&mut out).unwrap();
    out
}

fn varint(value: usize) -> Vec<u8> {
    (0x4000 | value as u16).to_be_bytes().to_vec()
}

/// A client's Initial packet with these frames, padded to `size` bytes of payload. Packet numbers have four bytes.
fn initial(version: u32, dcid: &[u8], number: u32, frames: &[u8], size: usize) -> Vec<u8> {
    let (salt, prefix, kind) = match version {
        V2 => ("0dede3def700a6db819381be6e269dcbf9bd2ed9", "quicv2 ", 0xd3),
        _ => ("38762cf7f55934b34d179ae6a4c80cadccbb7f0a", "quic ", 0xc3),
    };
    let salt = hex(salt);
    let secret = {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(dcid);
        let head = [&[0, 32, 15][..], b"tls13 client in", &[0]].concat();
        let mut out = vec![0; 32];
        prk.expand(&[&head], Len(32)).unwrap().fill(&mut out).unwrap();
        out
    };
    let key = |label: &str, len| expand(&secret, &format!("{prefix}{label}"), len);
    let (seal, mut nonce, protect) = (key("key", 16), key("iv", 12), key("hp", 16));
    let mut body = frames.to_vec();
    body.resize(body.len().max(size), 0);
    let mut packet = vec![kind];
    packet.extend(version.to_be_bytes());
    packet.push(dcid.len() as u8);
    packet.extend_from_slice(dcid);
    packet.extend([0, 0]);
    packet.extend(varint(4 + body.len() + 16));
    let number_at = packet.len();
    packet.extend(number.to_be_bytes());
    nonce.iter_mut().skip(8).zip(number.to_be_bytes()).for_each(|(byte, number)| *byte ^= number);
    let sealing = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_128_GCM, &seal).unwrap());
    let nonce = aead::Nonce::try_assume_unique_for_key(&nonce).unwrap();
    sealing.seal_in_place_append_tag(nonce, aead::Aad::from(&packet), &mut body).unwrap();
    packet.extend(body);
    let mut mask = [0; 16];
    mask.copy_from_slice(&packet[number_at + 4..number_at + 20]);
    Aes128::new_from_slice(&protect).unwrap().encrypt_block(GenericArray::from_mut_slice(&mut mask));
    packet[0] ^= mask[0] & 0x0f;
    for (byte, mask) in packet[number_at..number_at + 4].iter_mut().zip(&mask[1..]) {
        *byte ^= mask;
    }
    packet
}

/// A CRYPTO frame.
fn crypto(offset: usize, bytes: &[u8]) -> Vec<u8> {
    [&[6][..], &varint(offset), &varint(bytes.len()), bytes].concat()
}

pub(crate) fn rfc_initial() -> Vec<u8> {
    initial(V1, &hex(DCID), 2, &hex(RFC_FRAME), 1162)
}

#[test]
fn the_packet_of_the_rfc_is_made_here_as_printed_there() {
    // RFC 9001 appendix A.2: the first bytes after protection, up to the sample.
    let printed = "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9b";
    assert_eq!(rfc_initial()[..hex(printed).len()], hex(printed));
    assert_eq!(rfc_initial().len(), 1200);
    // RFC 9369 appendix A.2.
    let printed = "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485dd04de806071bf03";
    assert_eq!(initial(V2, &hex(DCID), 2, &hex(RFC_FRAME), 1162)[..hex(printed).len()], hex(printed));
}

#[test]
fn an_initial_packet_tells_the_name_and_the_first_answer_the_time() {
    for version in [V1, V2] {
        let mut talk = Talk::new();
        talk.udp(CLIENT, SERVER, &initial(version, &hex(DCID), 2, &hex(RFC_FRAME), 1162)).wait_us(20_000);
        // Handshake, whose content is of no interest.
        talk.udp(SERVER, CLIENT, &[0xe0, 0, 0, 0, 1, 0, 0, 9]).wait_us(20_000);
        talk.udp(SERVER, CLIENT, &[0xe0, 0, 0, 0, 1, 0, 0, 9]);
        talk.udp(CLIENT, SERVER, &[0xc0, 0, 0, 0, 1, 0, 0, 9]);
        // 11 extensions, of which all but two are hashed; the hash is by sha256sum.
        expect![[r#"
            quic Some("example.com") ["alpn"] 0x0304 q13d0211an_62ed6f6ca7ad_4d634acda6c0
            quic round trip 20ms
        "#]]
        .assert_eq(&talk.picture());
    }
}

#[test]
fn a_hello_in_several_packets_and_frames_in_any_order_is_one() {
    let hello = message(&[named("a.org"), [&[0, 21, 4, 0][..], &[0; 1024]].concat()]);
    let (dcid, cut) = (hex(DCID), [0, 50, 60, 700, hello.len()]);
    let frames: Vec<Vec<u8>> = cut.windows(2).map(|part| crypto(part[0], &hello[part[0]..part[1]])).collect();
    let (ping, one, two) = (vec![1], [&frames[2][..], &frames[0]].concat(), [&frames[3][..], &frames[1]].concat());
    check(
        |talk| {
            talk.udp(CLIENT, SERVER, &initial(V1, &dcid, 1, &[two, ping].concat(), 1100)).wait_us(10);
            talk.udp(CLIENT, SERVER, &initial(V1, &dcid, 0, &one, 1100));
        },
        expect![[r#"
            quic Some("a.org") [] 0x0303 q12d020200_62ed6f6ca7ad_4298e3b3ed58
        "#]],
    );
    // Both packets in one datagram.
    let both =
        [initial(V1, &dcid, 0, &crypto(0, &hello[..100]), 0), initial(V1, &dcid, 1, &crypto(100, &hello[100..]), 0)];
    let mut talk = Talk::new();
    talk.udp(CLIENT, SERVER, &both.concat());
    assert_eq!(talk.count("quic_hellos"), 1);
}

#[test]
fn an_initial_packet_sent_again_starts_the_time_anew_and_one_at_another_interface_does_not() {
    let hello = message(&[named("a.org"), [&[0, 21, 4, 0][..], &[0; 1024]].concat()]);
    let first = initial(V1, &hex(DCID), 0, &crypto(0, &hello[..900]), 1100);
    check(
        |talk| {
            talk.at(2, false).udp(CLIENT, SERVER, &first).wait_us(100);
            talk.at(3, true).udp(CLIENT, SERVER, &first).wait_us(1_000_000);
            talk.at(2, false).udp(CLIENT, SERVER, &first).wait_us(7000);
            talk.udp(SERVER, CLIENT, &[0xe0, 0, 0, 0, 1, 0, 0, 9]);
        },
        expect![[r#"
            quic round trip 7ms
            (1 duplicate)
        "#]],
    );
}

#[test]
fn what_cannot_be_decrypted_or_read_costs_a_counter() {
    let mut other_version = rfc_initial();
    other_version[1..5].copy_from_slice(&[0xff, 0, 0, 29]);
    let mut broken = rfc_initial();
    broken[600] ^= 1;
    let no_hello = initial(V1, &hex(DCID), 0, &crypto(0, b"\x02\0\0\x04abcd"), 1100);
    check(
        |talk| {
            talk.udp(CLIENT, SERVER, &other_version);
            talk.udp(CLIENT, SERVER, &broken);
            talk.udp(CLIENT, SERVER, &rfc_initial()[..300]);
            talk.udp(CLIENT, SERVER, &no_hello);
            // Short headers, version negotiation and other protocols are passed over.
            talk.udp("10.0.0.1:9", SERVER, &[0x40, 1, 2, 3]);
            talk.udp("10.0.0.1:9", SERVER, &[0x80, 0, 0, 0, 0, 8, 1]);
            talk.udp("10.0.0.1:9", SERVER, &[0x80; 40]);
        },
        expect![[r#"
            (1 tls_malformed)
            (1 quic_malformed)
            (2 quic_undecryptable)
        "#]],
    );
}

#[test]
fn the_next_connection_from_the_same_port_is_another_one() {
    let mut talk = Talk::new();
    talk.udp(CLIENT, SERVER, &rfc_initial());
    talk.wait_us(11_000_000).udp(CLIENT, SERVER, &initial(V1, b"another!", 0, &hex(RFC_FRAME), 1162));
    assert_eq!(talk.count("quic_hellos"), 2);
}
