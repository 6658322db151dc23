//! Ed25519 keys and their one-line text forms. Invariants: a secret key is never shown by `Debug` or `Display`, and is
//! overwritten when dropped; a weak public key cannot be made.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::SignError;

/// Longest name of a key or a document.
pub const KEY_NAME_BYTES_MAX: usize = 64;
/// First word of a secret key's line.
const SECRET: &str = "hivewall-secret-ed25519";
/// First word of a public key's line.
const PUBLIC: &str = "hivewall-public-ed25519";

/// Short name of a key: the first 8 bytes of the SHA-256 of its public half, as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// The one that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        super::hex(text).map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A name that can stand in a line: printable, no spaces, not too long.
pub(super) fn name(name: &str) -> Result<&str, SignError> {
    let fits = !name.is_empty() && name.len() <= KEY_NAME_BYTES_MAX;
    if fits && name.chars().all(|letter| !letter.is_whitespace() && !letter.is_control()) {
        return Ok(name);
    }
    Err(SignError::Name { name: name.chars().take(KEY_NAME_BYTES_MAX).filter(|letter| !letter.is_control()).collect() })
}

/// The half of a key that hosts have.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey {
    key: VerifyingKey,
    name: String,
}

impl PublicKey {
    /// Reads `hivewall-public-ed25519 BASE64 NAME`.
    pub fn parse(line: &str) -> Result<Self, SignError> {
        let (bytes, name) = parts(line, PUBLIC)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| SignError::Key { wanted: PUBLIC })?;
        if key.is_weak() {
            return Err(SignError::WeakKey);
        }
        Ok(Self { key, name })
    }

    /// Its short name.
    pub fn id(&self) -> KeyId {
        let hash: [u8; 32] = sha2::Sha256::digest(self.key.as_bytes()).into();
        let mut id = [0; 8];
        id.copy_from_slice(hash.split_at(8).0);
        KeyId(id)
    }

    /// What its holder calls it. Nothing depends on it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this key made that signature over these bytes. Strict: no second spelling of a signature is taken.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC} {} {}", BASE64.encode(self.key.as_bytes()), self.name)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id(), self.name)
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for PublicKey {
    type Error = SignError;

    fn try_from(line: String) -> Result<Self, SignError> {
        Self::parse(&line)
    }
}

/// The half of a key that its holder has.
#[derive(Clone)]
pub struct SecretKey {
    key: SigningKey,
    name: String,
}

impl SecretKey {
    /// Makes a key of 32 bytes that nobody can guess: the caller takes them from the operating system.
    pub fn new(random: &[u8; 32], called: &str) -> Result<Self, SignError> {
        Ok(Self { key: SigningKey::from_bytes(random), name: name(called)?.to_owned() })
    }

    /// Reads `hivewall-secret-ed25519 BASE64 NAME`.
    pub fn parse(line: &str) -> Result<Self, SignError> {
        let (bytes, name) = parts(line, SECRET)?;
        Ok(Self { key: SigningKey::from_bytes(&bytes), name })
    }

    /// The line that [`SecretKey::parse`] reads. For a file that only its holder can read.
    pub fn to_line(&self) -> String {
        format!("{SECRET} {} {}", BASE64.encode(self.key.to_bytes()), self.name)
    }

    /// The half that hosts have.
    pub fn public(&self) -> PublicKey {
        PublicKey { key: self.key.verifying_key(), name: self.name.clone() }
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret half of {:?}", self.public())
    }
}

/// The bytes and the name in a line.
fn parts(line: &str, wanted: &'static str) -> Result<([u8; 32], String), SignError> {
    let wrong = || SignError::Key { wanted };
    let mut words = line.trim_ascii().split(' ');
    let (Some(first), Some(base64), Some(called), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(wrong());
    };
    let bytes = BASE64.decode(base64).map_err(|_| wrong())?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| wrong())?;
    if first != wanted {
        return Err(wrong());
    }
    Ok((bytes, name(called)?.to_owned()))
}
