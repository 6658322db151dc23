//! Whose signatures count, how many are needed, and how that set is changed by those who are in it.
//!
//! Invariant: a set of keys has no key twice and a threshold that can be reached; its version only rises.

use serde::{Deserialize, Serialize};

use super::meta::yaml;
use super::{Digest, Header, KeyId, Kind, Meta, PublicKey, SignError, Signed, Statement};

/// Keys in a set.
pub const KEYS_MAX: usize = 64;

/// The keys a host trusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct TrustedKeys {
    version: u64,
    threshold: usize,
    keys: Vec<PublicKey>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    version: u64,
    threshold: usize,
    keys: Vec<PublicKey>,
}

/// The text of a document of kind `Keys`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    #[serde(rename = "metadata")]
    _metadata: serde::de::IgnoredAny,
    #[serde(default = "one")]
    threshold: usize,
    keys: Vec<String>,
}

const fn one() -> usize {
    1
}

impl From<TrustedKeys> for Raw {
    fn from(TrustedKeys { version, threshold, keys }: TrustedKeys) -> Self {
        Self { version, threshold, keys }
    }
}

impl TryFrom<Raw> for TrustedKeys {
    type Error = SignError;

    fn try_from(raw: Raw) -> Result<Self, SignError> {
        Self::new(raw.version, raw.threshold, raw.keys)
    }
}

impl TrustedKeys {
    /// A set of which `threshold` have to sign. Version 0 is for the first set, which is trusted by hand.
    pub fn new(version: u64, threshold: usize, mut keys: Vec<PublicKey>) -> Result<Self, SignError> {
        if threshold == 0 || threshold > keys.len() || keys.len() > KEYS_MAX {
            return Err(SignError::Reach { threshold, keys: keys.len() });
        }
        keys.sort_by_key(PublicKey::id);
        for pair in keys.windows(2) {
            if let [a, b] = pair
                && a.id() == b.id()
            {
                return Err(SignError::TwoOfAKey { key: a.id() });
            }
        }
        Ok(Self { version, threshold, keys })
    }

    /// Version of the document that set them; 0 when they were trusted by hand.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many have to sign.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The keys, by id.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Verifies that enough of these keys signed every byte. Signatures of other keys are passed over: they may belong to
    /// a set that was or will be. Order, replay and time are not looked at.
    pub fn verify(&self, signed: Signed) -> Result<Verified, SignError> {
        let message = signed.message();
        let (mut by, mut unknown) = (Vec::new(), Vec::new());
        for (id, signature) in signed.signatures() {
            match self.keys.iter().find(|key| key.id() == *id) {
                None => unknown.push(*id),
                Some(key) if key.verifies(message.as_bytes(), signature) => by.push(*id),
                Some(_) => return Err(SignError::Altered { key: *id }),
            }
        }
        if by.is_empty() {
            let trusted = self.keys.iter().map(PublicKey::id).collect();
            return Err(SignError::UnknownKey { signed: unknown, trusted });
        }
        if by.len() < self.threshold {
            return Err(SignError::Threshold { got: by.len(), threshold: self.threshold, by });
        }
        let digest = Digest::of(message.as_bytes());
        let statement = signed.into_statement();
        Meta::of(statement.document())?.agrees(statement.header())?;
        Ok(Verified { statement, digest, by, unknown })
    }
}

/// A document that enough trusted keys signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    statement: Statement,
    digest: Digest,
    by: Vec<KeyId>,
    unknown: Vec<KeyId>,
}

impl Verified {
    /// The head.
    pub fn header(&self) -> &Header {
        self.statement.header()
    }

    /// The document's text.
    pub fn document(&self) -> &str {
        self.statement.document()
    }

    /// Its identity.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Which trusted keys signed.
    pub fn by(&self) -> &[KeyId] {
        &self.by
    }

    /// Keys that are said to have signed and are not trusted; nobody checked those signatures.
    pub fn unknown(&self) -> &[KeyId] {
        &self.unknown
    }

    /// The set of keys that a document of that kind names.
    pub fn keys(&self) -> Result<TrustedKeys, SignError> {
        let found = self.header().kind;
        if found != Kind::Keys {
            return Err(SignError::Kind { found, wanted: Kind::Keys });
        }
        keys(self.header().version, self.document())
    }
}

/// The set of keys in the text of a document of kind `Keys`, for checks before it is signed.
pub(super) fn keys(version: u64, document: &str) -> Result<TrustedKeys, SignError> {
    let Document { threshold, keys, .. } = yaml(document)?;
    let keys = keys.iter().map(|line| PublicKey::parse(line)).collect::<Result<_, _>>()?;
    TrustedKeys::new(version, threshold, keys)
}
