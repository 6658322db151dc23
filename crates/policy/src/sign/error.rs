//! Why a key, a signed file or a signature is refused: what was found, what was needed, what to do.

use hivewall_model::Timestamp;
use thiserror::Error;

use super::KeyId;
use super::envelope::{DOCUMENT_BYTES_MAX, Kind, SIGNATURES_MAX, time_text};
use super::key::KEY_NAME_BYTES_MAX;
use super::trust::KEYS_MAX;

/// A line of a signed file's head, and how it has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Want {
    /// The first line.
    #[error("#hivewall-signed 1")]
    Magic,
    /// What kind of document.
    #[error("#kind policy, or #kind keys")]
    Kind,
    /// Its name.
    #[error("#name NAME")]
    Name,
    /// Its version.
    #[error("#version NUMBER")]
    Version,
    /// What it follows.
    #[error("#previous VERSION SHA256, or #previous none")]
    Previous,
    /// Start of its validity.
    #[error("#not-before TIME, or #not-before none")]
    NotBefore,
    /// End of its validity.
    #[error("#not-after TIME, or #not-after none")]
    NotAfter,
    /// A signature.
    #[error("#by KEY SIGNATURE, keys in ascending order")]
    Signature,
    /// The end of the head.
    #[error("#--")]
    End,
}

/// Why something signed, or a key, is refused. Nothing was accepted or written.
#[derive(Debug, Error)]
pub enum SignError {
    /// Not a digest.
    #[error("`{text}` is not a SHA-256: 64 digits of 0-9 and a-f")]
    Digest {
        /// What was given.
        text: String,
    },
    /// The file is no signed document.
    #[error(
        "this is not a signed document: it does not begin with `#hivewall-signed 1`; sign it with `hivewall policy sign`"
    )]
    NotSigned,
    /// A line of the head is not as `sign` writes it.
    #[error(
        "line {line} of the signed document is not as it was signed: expected `{want}`; get the file again from who signed it"
    )]
    Head {
        /// The line, from 1.
        line: usize,
        /// What it should be.
        want: Want,
    },
    /// Too large, or not text.
    #[error("the document has {bytes} bytes, and at most {DOCUMENT_BYTES_MAX} can be signed")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("the document is not UTF-8 text: byte {at} is wrong")]
    NotText {
        /// Where.
        at: usize,
    },
    /// More signatures than are looked at.
    #[error("the document has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// None of those who signed is known.
    #[error(
        "no trusted key signed this: it is signed by {}, trusted are {}; see `hivewall policy keys show`",
        list(signed),
        list(trusted)
    )]
    UnknownKey {
        /// Who signed.
        signed: Vec<KeyId>,
        /// Who may.
        trusted: Vec<KeyId>,
    },
    /// A trusted key's signature is not for these bytes.
    #[error(
        "the signature of {key} does not fit: the document, its head or the signature was altered after signing; get the file again, or sign the altered document anew"
    )]
    Altered {
        /// Whose.
        key: KeyId,
    },
    /// Too few signatures.
    #[error(
        "signed by {got} of the {threshold} trusted keys that are needed ({}); let another holder run `hivewall policy sign` on it",
        list(by)
    )]
    Threshold {
        /// Trusted keys that signed.
        got: usize,
        /// Needed.
        threshold: usize,
        /// Which signed.
        by: Vec<KeyId>,
    },
    /// Its time has not come.
    #[error("not valid before {}, and it is {} now; check this host's clock or wait", time_text(*from), time_text(*now))]
    NotYet {
        /// Start of validity.
        from: Timestamp,
        /// The time.
        now: Timestamp,
    },
    /// Its time is over.
    #[error("expired at {}, and it is {} now; sign a new version with a later notAfter", time_text(*until), time_text(*now))]
    Expired {
        /// End of validity.
        until: Timestamp,
        /// The time.
        now: Timestamp,
    },
    /// The head says another thing than the document.
    #[error("the head and the document disagree about `{field}`: {head} and {document}; sign the document anew")]
    Disagree {
        /// About what.
        field: &'static str,
        /// What the head says.
        head: String,
        /// What the document says.
        document: String,
    },
    /// A time that is none.
    #[error("`{text}` is not a time like 2027-01-31T00:00:00Z (whole seconds)")]
    Time {
        /// What was given.
        text: String,
    },
    /// Validity that ends before it begins.
    #[error("the document is valid until {} and only from {}: notBefore has to be earlier than notAfter", time_text(*until), time_text(*from))]
    Window {
        /// Start.
        from: Timestamp,
        /// End.
        until: Timestamp,
    },
    /// A document that follows a later one.
    #[error("version {version} cannot follow version {previous}; raise metadata.version above {previous}")]
    PreviousAbove {
        /// Its own.
        version: u64,
        /// The one it says to follow.
        previous: u64,
    },
    /// Another kind of document than needed here.
    #[error("this is a document of kind {found}, and {wanted} is needed here")]
    Kind {
        /// What it is.
        found: Kind,
        /// What is needed.
        wanted: Kind,
    },
    /// The document cannot be read.
    #[error("the document cannot be read: {0}")]
    Document(#[source] Box<serde_saphyr::Error>),
    /// It lacks something that signing needs.
    #[error("the document has no {field}; write it, for example `{example}`")]
    Missing {
        /// What.
        field: &'static str,
        /// How it could be.
        example: &'static str,
    },
    /// A name that cannot stand in a head.
    #[error("`{name}` cannot be a name here: 1 to {KEY_NAME_BYTES_MAX} printable characters without spaces")]
    Name {
        /// The name.
        name: String,
    },
    /// A key that is none.
    #[error(
        "this is no {wanted} key: expected one line `{wanted} BASE64 NAME`; make keys with `hivewall policy keygen`"
    )]
    Key {
        /// Which kind of key.
        wanted: &'static str,
    },
    /// A key with which anybody could sign anything.
    #[error("this public key is weak: signatures under it prove nothing; make another with `hivewall policy keygen`")]
    WeakKey,
    /// The same key twice.
    #[error("the key {key} is listed twice: each key counts once")]
    TwoOfAKey {
        /// Which.
        key: KeyId,
    },
    /// A threshold that cannot be reached, or asks for nothing.
    #[error(
        "a threshold of {threshold} with {keys} keys: it has to be between 1 and the number of keys, which is at most {KEYS_MAX}"
    )]
    Reach {
        /// Needed.
        threshold: usize,
        /// There are.
        keys: usize,
    },
    /// The same key has signed before.
    #[error("{key} has signed this already")]
    SignedAlready {
        /// Who.
        key: KeyId,
    },
}

/// Keys as text, `nobody` when there are none.
fn list(keys: &[KeyId]) -> String {
    if keys.is_empty() {
        return "nobody".to_owned();
    }
    keys.iter().map(KeyId::to_string).collect::<Vec<_>>().join(", ")
}
