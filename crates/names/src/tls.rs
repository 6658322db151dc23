//! TLS ClientHellos: from records, or bare as QUIC carries them, to server name, protocols, version and fingerprint.
//!
//! `tls-parser` reads the message and the four extensions that are of interest; the list of extensions is walked here, so that
//! one odd extension does not hide the others. Nothing is decrypted.

use hivewall_model::TlsHello;
use tls_parser::{
    SNIType, TlsClientHelloContents, TlsExtension, parse_tls_client_hello_extension, parse_tls_handshake_client_hello,
};

use crate::http::Step;
use crate::ja4::{self, Offer, is_grease};
use crate::limits::{ALPN_MAX, ASSEMBLY_BYTES_MAX};
use crate::text::text;

const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const RECORD_HEAD: usize = 5;
/// RFC 5246 §6.2.1: no plaintext record is longer.
const RECORD_BYTES_MAX: usize = 1 << 14;
const NAME_BYTES_MAX: usize = 255;

/// Whether `bytes` begin a record that begins a ClientHello; `None` when they are too few to tell.
///
/// Type, version and lengths down to the hello's own version are looked at, since encrypted records have random bytes there.
pub(crate) fn begins(bytes: &[u8]) -> Option<bool> {
    // Least and greatest value of each byte; no hello is longer than 16 KiB.
    const SHAPE: [(u8, u8); 11] = [
        (HANDSHAKE, HANDSHAKE),
        (3, 3),
        (0, 4),
        (0, 0x40),
        (0, 0xff),
        (CLIENT_HELLO, CLIENT_HELLO),
        (0, 0),
        (0, 0x40),
        (0, 0xff),
        (3, 3),
        (0, 4),
    ];
    if !bytes.iter().zip(SHAPE).all(|(&byte, (least, most))| (least..=most).contains(&byte)) {
        return Some(false);
    }
    (bytes.len() >= SHAPE.len()).then_some(true)
}

/// Whether `bytes` are a whole ChangeCipherSpec record, which a TLS 1.3 client sends between its two ClientHellos.
pub(crate) fn change_cipher_spec(bytes: &[u8]) -> Option<usize> {
    matches!(bytes, [CHANGE_CIPHER_SPEC, 3, _, 0, 1, 1, ..]).then_some(RECORD_HEAD + 1)
}

/// Reads the ClientHello at the beginning of `bytes`, which may be spread over several records.
pub(crate) fn hello(bytes: &[u8]) -> Step<TlsHello> {
    let (message, used) = match handshake(bytes) {
        Step::Done(message, used) => (message, used),
        Step::More => return Step::More,
        Step::Refused => return Step::Refused,
    };
    match bare_hello(&message, false) {
        Step::Done(hello, _) => Step::Done(hello, used),
        Step::More | Step::Refused => Step::Refused,
    }
}

/// The bytes of the first handshake message, out of its records; with how many bytes the records took.
fn handshake(bytes: &[u8]) -> Step<Vec<u8>> {
    let (mut message, mut at) = (Vec::new(), 0);
    loop {
        let Some(&[kind, major, _, high, low]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) else {
            return Step::More;
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if kind != HANDSHAKE || major != 3 || len == 0 || len > RECORD_BYTES_MAX {
            return Step::Refused;
        }
        at += RECORD_HEAD;
        let Some(record) = bytes.get(at..at + len) else { return Step::More };
        message.extend_from_slice(record);
        at += len;
        if message_len(&message).is_some_and(|len| message.len() >= len) {
            return Step::Done(message, at);
        }
        if message.len() > ASSEMBLY_BYTES_MAX {
            return Step::Refused;
        }
    }
}

/// Length of a handshake message, head included.
fn message_len(message: &[u8]) -> Option<usize> {
    let &[_, a, b, c] = message.first_chunk()?;
    Some(4 + (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)))
}

/// Reads a ClientHello without records.
pub(crate) fn bare_hello(bytes: &[u8], quic: bool) -> Step<TlsHello> {
    let Some(len) = message_len(bytes) else {
        return if matches!(bytes.first(), None | Some(&CLIENT_HELLO)) { Step::More } else { Step::Refused };
    };
    if bytes.first() != Some(&CLIENT_HELLO) || len > ASSEMBLY_BYTES_MAX {
        return Step::Refused;
    }
    let Some(body) = bytes.get(4..len) else { return Step::More };
    match parse_tls_handshake_client_hello(body) {
        Ok((_, hello)) => Step::Done(read(&hello, hello.ext.unwrap_or_default(), true, quic), len),
        Err(_) => Step::Refused,
    }
}

/// What can be read of a ClientHello whose end is missing: without a fingerprint, which needs all of it.
pub(crate) fn cut_hello(bytes: &[u8]) -> Option<TlsHello> {
    // The first record alone: hellos that are spread over several are rare, and cut ones rarer.
    let message = bytes.get(RECORD_HEAD..)?;
    let (rest, hello) = parse_tls_handshake_client_hello(message.get(4..)?).ok()?;
    // A list of extensions that ends early is left in the rest, its length before it.
    let extensions = hello.ext.or_else(|| rest.get(2..)).unwrap_or_default();
    let read = read(&hello, extensions, false, false);
    (read.server_name.is_some() || !read.alpn.is_empty()).then_some(read)
}

fn read(hello: &TlsClientHelloContents<'_>, extensions: &[u8], whole: bool, quic: bool) -> TlsHello {
    let mut offer = Offer { quic, version: hello.version.0, ..Offer::default() };
    offer.ciphers = hello.ciphers.iter().map(|cipher| cipher.0).filter(|id| !is_grease(*id)).collect();
    let mut read = TlsHello { version: hello.version.0, quic, ..TlsHello::default() };
    let mut first_protocol: &[u8] = &[];
    let mut rest = extensions;
    while let Some((&[t0, t1, l0, l1], content)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let (Some(extension), Some(after)) = (rest.get(..4 + len), content.get(len..)) else { break };
        rest = after;
        let kind = u16::from_be_bytes([t0, t1]);
        if is_grease(kind) {
            continue;
        }
        offer.extensions.push(kind);
        match parse_tls_client_hello_extension(extension) {
            Ok((_, TlsExtension::SNI(names))) => {
                let name = names.iter().find(|(kind, _)| *kind == SNIType::HostName);
                read.server_name = name.map(|(_, name)| text(name, NAME_BYTES_MAX));
            }
            Ok((_, TlsExtension::ALPN(protocols))) => {
                first_protocol = protocols.first().copied().unwrap_or_default();
                let kept = protocols.iter().take(ALPN_MAX);
                read.alpn = kept.map(|protocol| text(protocol, NAME_BYTES_MAX)).collect();
            }
            Ok((_, TlsExtension::SignatureAlgorithms(algorithms))) => {
                offer.signatures = algorithms.into_iter().filter(|id| !is_grease(*id)).collect();
            }
            Ok((_, TlsExtension::SupportedVersions(versions))) => {
                let offered = versions.iter().map(|version| version.0).filter(|id| !is_grease(*id));
                read.version = offered.max().unwrap_or(read.version);
            }
            _ => {}
        }
    }
    if whole {
        offer.version = read.version;
        read.ja4 = ja4::fingerprint(&offer, first_protocol).into();
    }
    read
}
