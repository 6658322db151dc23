//! Random secrets and how they are compared: tokens, session ids and codes are 256 random bits, so what is kept of them is a
//! plain SHA-256, and to guess one is hopeless whatever the speed.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::error::Refusal;

/// Random bytes of a secret; it has two characters for each.
const BYTES: usize = 32;

/// SHA-256 of a secret. As a key of a map it tells nothing by the time that a look-up takes.
pub(crate) type Hash = [u8; 32];

/// A new secret.
pub(crate) fn random() -> Result<String, Refusal> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "no random bytes are to be had");
        Refusal::engine_gone()
    })?;
    Ok(hex(&bytes))
}

/// What is kept of a secret.
pub(crate) fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

/// In lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_256_bits_and_no_two_are_the_same() {
        let secrets: std::collections::BTreeSet<String> = (0..100).map(|_| random().unwrap()).collect();
        assert_eq!(secrets.len(), 100);
        assert!(secrets.iter().all(|secret| secret.len() == 64 && secret.bytes().all(|b| b.is_ascii_hexdigit())));
        assert_eq!(hex(&hash("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
