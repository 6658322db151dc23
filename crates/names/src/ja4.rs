//! JA4, the fingerprint of a ClientHello, after FoxIO's public specification
//! (<https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md>). The other members of that family are under
//! another licence and are not here.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

const SERVER_NAME: u16 = 0x0000;
const ALPN: u16 = 0x0010;
/// Characters kept of a hash.
const HASH_CHARS: usize = 12;
/// What stands for the hash of nothing.
const NO_HASH: &str = "000000000000";

/// What a client offers, without GREASE values, in its own order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    pub(crate) quic: bool,
    pub(crate) version: u16,
    pub(crate) ciphers: Vec<u16>,
    pub(crate) extensions: Vec<u16>,
    pub(crate) signatures: Vec<u16>,
}

/// Whether a value is one of those that RFC 8701 reserves to be ignored: 0x0a0a, 0x1a1a, … 0xfafa.
pub(crate) fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// The fingerprint; `protocol` is the first one of ALPN, empty when there is none.
pub(crate) fn fingerprint(offer: &Offer, protocol: &[u8]) -> String {
    let Offer { quic, version, ciphers, extensions, signatures } = offer;
    let named = extensions.contains(&SERVER_NAME);
    let [first, last] = ends(protocol);
    let mut text = String::with_capacity(36);
    text.push(if *quic { 'q' } else { 't' });
    text.push_str(version_code(*version));
    text.push(if named { 'd' } else { 'i' });
    // Writing to a String cannot fail.
    let _ = write!(text, "{:02}{:02}{first}{last}", ciphers.len().min(99), extensions.len().min(99));
    let mut sorted = ciphers.clone();
    sorted.sort_unstable();
    text.push('_');
    text.push_str(&hash(&list(&sorted)));
    let mut sorted: Vec<u16> = extensions.iter().copied().filter(|id| !matches!(*id, SERVER_NAME | ALPN)).collect();
    sorted.sort_unstable();
    let mut listed = list(&sorted);
    if !signatures.is_empty() && !listed.is_empty() {
        listed.push('_');
        listed.push_str(&list(signatures));
    }
    text.push('_');
    text.push_str(&hash(&listed));
    text
}

fn version_code(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// First and last character of a protocol's name, or of its hexadecimal form when one of them is no letter or digit.
fn ends(protocol: &[u8]) -> [char; 2] {
    let (Some(&first), Some(&last)) = (protocol.first(), protocol.last()) else { return ['0', '0'] };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(first), char::from(last)];
    }
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    [digit(first >> 4), digit(last & 0xf)]
}

fn list(values: &[u16]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("{value:04x}")).collect();
    values.join(",")
}

fn hash(text: &str) -> String {
    if text.is_empty() {
        return NO_HASH.to_owned();
    }
    let digest = Sha256::digest(text.as_bytes());
    let mut hex = digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    hex.truncate(HASH_CHARS);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reverse of the raw form that the specification prints.
    fn of_raw(raw: &str, named: bool, protocol: &[u8]) -> String {
        let values = |part: &str| {
            part.split(',').filter(|v| !v.is_empty()).map(|v| u16::from_str_radix(v, 16).unwrap()).collect::<Vec<_>>()
        };
        let mut parts = raw.split('_');
        let ciphers = values(parts.next().unwrap());
        let mut extensions = values(parts.next().unwrap());
        extensions.reverse();
        if named {
            extensions.push(SERVER_NAME);
        }
        if !protocol.is_empty() {
            extensions.push(ALPN);
        }
        let signatures = values(parts.next().unwrap_or_default());
        fingerprint(&Offer { quic: false, version: 0x0304, ciphers, extensions, signatures }, protocol)
    }

    #[test]
    fn the_published_examples_come_out() {
        // Raw form and fingerprint as FoxIO publishes them for a Chrome of 2023 and of 2025.
        let chrome = "1303,1302,1301,002f,0035,009c,009d,c013,c014,c02b,c02c,c02f,c030,cca8,cca9";
        let old = "0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01";
        let new = "0005,000a,000b,000d,0012,0017,001b,0023,002b,002d,0033,44cd,fe0d,ff01";
        let signatures = "0403,0804,0401,0503,0805,0501,0806,0601";
        let print = |extensions| of_raw(&format!("{chrome}_{extensions}_{signatures}"), true, b"h2");
        assert_eq!(print(old), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert_eq!(print(new), "t13d1516h2_8daaf6152771_d8a2da3f94cd");
    }

    #[test]
    fn a_protocol_that_is_no_text_shows_the_ends_of_its_hexadecimal_form() {
        // The specification's own list.
        let cases: [(&[u8], &str); 7] = [
            (b"\xab", "ab"),
            (b"\xab\xcd", "ad"),
            (b"\x30\xab", "3b"),
            (b"\x30\x31\xab\xcd", "3d"),
            (b"\x30\xab\xcd\x31", "01"),
            (b"h", "hh"),
            (b"http/1.1", "h1"),
        ];
        for (protocol, expected) in cases {
            assert_eq!(ends(protocol).iter().collect::<String>(), expected, "{protocol:x?}");
        }
    }

    #[test]
    fn nothing_is_hashed_as_zeros_and_counts_stop_at_99() {
        let none = fingerprint(&Offer { version: 0x0303, ..Offer::default() }, b"");
        assert_eq!(none, "t12i000000_000000000000_000000000000");
        let many = Offer { quic: true, version: 0x7f1c, ciphers: vec![1; 120], ..Offer::default() };
        assert!(fingerprint(&many, b"").starts_with("q00i990000_"));
    }

    #[test]
    fn grease_has_two_equal_bytes() {
        assert!((0..=0xffff).filter(|value| is_grease(*value)).count() == 16);
        assert!(is_grease(0x0a0a) && is_grease(0xfafa) && !is_grease(0x0a1a));
    }
}
