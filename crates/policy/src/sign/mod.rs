//! Signed documents: who may speak, what exactly was said, and in which order.
//!
//! A signed file is the document's exact text below a head of `#` lines ([`Signed`]); keys and their short names are in
//! [`key`], the set of keys a host listens to in [`TrustedKeys`]. Randomness and time are arguments, files are the
//! caller's. What a host does with a verified document (order, replay, confirmation) is the ledger's.
//!
//! Invariant: a [`Verified`] exists only where a threshold of trusted keys signed every byte of it.

mod envelope;
mod error;
mod key;
mod meta;
mod trust;

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

pub use envelope::{DOCUMENT_BYTES_MAX, Header, Kind, Previous, SIGNATURES_MAX, Signed, Statement, Window, is_signed};
pub use error::{SignError, Want};
pub use key::{KEY_NAME_BYTES_MAX, KeyId, PublicKey, SecretKey};
pub use meta::Meta;
pub use trust::{KEYS_MAX, TrustedKeys, Verified};

/// SHA-256 of what the signatures of a document cover (or of an unsigned document's text): the identity of exactly this
/// document, the same whoever signed it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The one that is written as 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        hex(text).map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = SignError;

    fn try_from(text: String) -> Result<Self, SignError> {
        Self::parse(&text).ok_or(SignError::Digest { text })
    }
}

/// Lower-case hexadecimal digits, exactly as many as fill the array. One spelling alone, so that nothing that is signed
/// can be written in two ways.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
