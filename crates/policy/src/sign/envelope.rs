//! The signed file: a head of `#` lines above the document's exact text, so that it reads (and still is) YAML.
//!
//! ```text
//! #hivewall-signed 1
//! #kind policy
//! #name edge
//! #version 42
//! #previous 41 5f0c…                  SHA-256 of statement 41, or none
//! #not-before none
//! #not-after 2027-01-31T00:00:00Z
//! #by 6a1c20fe90b1d3aa base64…         one line for each signature, keys ascending
//! #--
//! kind: Policy
//! …
//! ```
//!
//! What is signed, the *statement*, is all of this without the `#by` lines; its SHA-256 is the document's [`Digest`].
//! Hence another signature changes neither what was said nor what a later document calls its previous one.
//! Invariant: a statement has one spelling. What [`Signed::parse`] takes, [`Signed::to_text`] gives back byte by byte.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hivewall_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Digest, KeyId, Meta, SecretKey, SignError, Want, key, trust};

/// Largest document: a million prefixes and as much again.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 20;
/// Signatures on one document.
pub const SIGNATURES_MAX: usize = 64;
/// Largest head, far above what [`SIGNATURES_MAX`] needs.
const HEAD_BYTES_MAX: usize = 16 << 10;
const MAGIC: &str = "#hivewall-signed 1";
const END: &str = "#--";

/// Whether this looks like a signed document, sound or not.
pub fn is_signed(bytes: &[u8]) -> bool {
    bytes.starts_with(b"#hivewall-signed")
}

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Rules.
    Policy,
    /// Who may sign.
    Keys,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Keys => "keys",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The document that another one follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Its version.
    pub version: u64,
    /// Its digest.
    pub digest: Digest,
}

impl fmt::Display for Previous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, self.digest)
    }
}

/// When a document may be taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "[Option<String>; 2]", into = "[Option<String>; 2]")]
pub struct Window {
    /// Not earlier than this.
    pub not_before: Option<Timestamp>,
    /// Not at or after this. One that is in force then stays in force.
    pub not_after: Option<Timestamp>,
}

impl Window {
    /// Whether it may be taken up now.
    pub fn check(self, now: Timestamp) -> Result<(), SignError> {
        match (self.not_before, self.not_after) {
            (Some(from), _) if now < from => Err(SignError::NotYet { from, now }),
            (_, Some(until)) if now >= until => Err(SignError::Expired { until, now }),
            _ => Ok(()),
        }
    }

    /// Whether its end has come.
    pub fn is_over(self, now: Timestamp) -> bool {
        self.not_after.is_some_and(|until| now >= until)
    }
}

impl From<Window> for [Option<String>; 2] {
    fn from(window: Window) -> Self {
        [window.not_before, window.not_after].map(|time| time.map(time_text))
    }
}

impl TryFrom<[Option<String>; 2]> for Window {
    type Error = SignError;

    fn try_from([from, until]: [Option<String>; 2]) -> Result<Self, SignError> {
        let time = |text: Option<String>| text.as_deref().map(time).transpose();
        Ok(Self { not_before: time(from)?, not_after: time(until)? })
    }
}

/// A time as heads have it: UTC, whole seconds.
pub(super) fn time_text(time: Timestamp) -> String {
    // Seconds of nanoseconds in an i64 are all within jiff's range.
    jiff::Timestamp::from_second(time.secs()).map_or_else(|_| "none".to_owned(), |time| time.to_string())
}

/// Reads a time with an offset; whole seconds only, since a head holds no more.
pub(super) fn time(text: &str) -> Result<Timestamp, SignError> {
    let wrong = || SignError::Time { text: text.to_owned() };
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    let nanoseconds = i64::try_from(time.as_nanosecond()).map_err(|_| wrong())?;
    if time.subsec_nanosecond() == 0 { Ok(Timestamp(nanoseconds)) } else { Err(wrong()) }
}

/// What a document is, beside its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is about.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// What it follows; absent for the first.
    pub previous: Option<Previous>,
    /// When it may be taken up.
    pub window: Window,
}

/// What is signed: head and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    header: Header,
    document: String,
}

impl Statement {
    /// Puts them together.
    pub fn new(header: Header, document: String) -> Result<Self, SignError> {
        key::name(&header.name)?;
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(SignError::TooLong { bytes: document.len() });
        }
        if let Some(previous) = header.previous
            && previous.version >= header.version
        {
            return Err(SignError::PreviousAbove { version: header.version, previous: previous.version });
        }
        if let (Some(from), Some(until)) = (header.window.not_before, header.window.not_after)
            && from >= until
        {
            return Err(SignError::Window { from, until });
        }
        Ok(Self { header, document })
    }

    /// The head.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The document's text.
    pub fn document(&self) -> &str {
        &self.document
    }

    /// Whether head and text agree, and the text can be read as far as it matters here. Before signing.
    pub fn check(&self) -> Result<(), SignError> {
        Meta::of(&self.document)?.agrees(&self.header)?;
        match self.header.kind {
            Kind::Policy => Ok(()),
            Kind::Keys => trust::keys(self.header.version, &self.document).map(drop),
        }
    }

    /// What is hashed and signed.
    pub fn text(&self) -> String {
        self.with(&BTreeMap::new())
    }

    /// The identity of exactly this statement.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text().as_bytes())
    }

    fn with(&self, signatures: &BTreeMap<KeyId, [u8; 64]>) -> String {
        let Header { kind, name, version, previous, window } = &self.header;
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        let previous = or_none(previous.map(|previous| previous.to_string()));
        let from = or_none(window.not_before.map(time_text));
        let until = or_none(window.not_after.map(time_text));
        let mut text = format!(
            "{MAGIC}\n#kind {kind}\n#name {name}\n#version {version}\n#previous {previous}\n#not-before {from}\n\
             #not-after {until}\n"
        );
        for (key, signature) in signatures {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "#by {key} {}", BASE64.encode(signature));
        }
        text.push_str(END);
        text.push('\n');
        text.push_str(&self.document);
        text
    }
}

/// A statement and signatures, not yet verified by anyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    statement: Statement,
    signatures: BTreeMap<KeyId, [u8; 64]>,
}

impl Signed {
    /// Signs.
    pub fn new(statement: Statement, key: &SecretKey) -> Self {
        let signature = key.sign(statement.text().as_bytes());
        Self { statement, signatures: BTreeMap::from([(key.public().id(), signature)]) }
    }

    /// Adds another signature.
    pub fn sign(&mut self, key: &SecretKey) -> Result<(), SignError> {
        let id = key.public().id();
        if self.signatures.contains_key(&id) {
            return Err(SignError::SignedAlready { key: id });
        }
        if self.signatures.len() >= SIGNATURES_MAX {
            return Err(SignError::TooManySignatures);
        }
        self.signatures.insert(id, key.sign(self.statement.text().as_bytes()));
        Ok(())
    }

    /// What was signed; nothing says yet that it was.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// What was signed, for who has verified it.
    pub(super) fn into_statement(self) -> Statement {
        self.statement
    }

    /// Who says to have signed.
    pub fn signers(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.signatures.keys().copied()
    }

    pub(super) fn signatures(&self) -> &BTreeMap<KeyId, [u8; 64]> {
        &self.signatures
    }

    /// The bytes that signatures are for.
    pub(super) fn message(&self) -> String {
        self.statement.text()
    }

    /// The file.
    pub fn to_text(&self) -> String {
        self.statement.with(&self.signatures)
    }

    /// Reads a file. Only what [`Signed::to_text`] writes is taken.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignError> {
        if !is_signed(bytes) {
            return Err(SignError::NotSigned);
        }
        if bytes.len() > DOCUMENT_BYTES_MAX + HEAD_BYTES_MAX {
            return Err(SignError::TooLong { bytes: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| SignError::NotText { at: error.valid_up_to() })?;
        let mut head = Head { rest: text, line: 0 };
        head.fixed(MAGIC, Want::Magic)?;
        let kind = head.value("#kind ", Want::Kind, |value| {
            [Kind::Policy, Kind::Keys].into_iter().find(|kind| kind.name() == value)
        })?;
        let name = head.value("#name ", Want::Name, |value| Some(key::name(value).ok()?.to_owned()))?;
        let version = head.value("#version ", Want::Version, number)?;
        let previous = head.value("#previous ", Want::Previous, |value| {
            or_none(value, |value| {
                let (version, digest) = value.split_once(' ')?;
                Some(Previous { version: number(version)?, digest: Digest::parse(digest)? })
            })
        })?;
        let instant = |value: &str| or_none(value, |value| time(value).ok().filter(|time| time_text(*time) == value));
        let not_before = head.value("#not-before ", Want::NotBefore, instant)?;
        let not_after = head.value("#not-after ", Want::NotAfter, instant)?;
        let signatures = head.signatures()?;
        head.fixed(END, Want::End)?;
        let header = Header { kind, name, version, previous, window: Window { not_before, not_after } };
        Ok(Self { statement: Statement::new(header, head.rest.to_owned())?, signatures })
    }
}

/// Decimal digits without leading zeros or sign: the one spelling of a number.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

#[expect(clippy::option_option, reason = "unreadable, none, or a value")]
fn or_none<T>(value: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if value == "none" { Some(None) } else { read(value).map(Some) }
}

/// The rest of a head that is being read.
struct Head<'a> {
    rest: &'a str,
    /// Line read last.
    line: usize,
}

impl<'a> Head<'a> {
    fn next(&mut self) -> &'a str {
        self.line += 1;
        // A last line that was cut off is no line: nothing of a head is that, so it is refused.
        let (line, rest) = self.rest.split_once('\n').unwrap_or_default();
        self.rest = rest;
        line
    }

    fn fixed(&mut self, text: &str, want: Want) -> Result<(), SignError> {
        if self.next() == text { Ok(()) } else { Err(SignError::Head { line: self.line, want }) }
    }

    fn value<T>(&mut self, key: &str, want: Want, read: impl FnOnce(&str) -> Option<T>) -> Result<T, SignError> {
        let value = self.next().strip_prefix(key).and_then(read);
        value.ok_or(SignError::Head { line: self.line, want })
    }

    fn signatures(&mut self) -> Result<BTreeMap<KeyId, [u8; 64]>, SignError> {
        let mut signatures = BTreeMap::new();
        while self.rest.starts_with("#by ") {
            if signatures.len() >= SIGNATURES_MAX {
                return Err(SignError::TooManySignatures);
            }
            let (key, signature) = self.value("#by ", Want::Signature, |value| {
                let (key, signature) = value.split_once(' ')?;
                Some((KeyId::parse(key)?, BASE64.decode(signature).ok()?.try_into().ok()?))
            })?;
            if signatures.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(SignError::Head { line: self.line, want: Want::Signature });
            }
            signatures.insert(key, signature);
        }
        Ok(signatures)
    }
}
