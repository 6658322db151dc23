//! What a document says about itself, as far as signing and the ledger need it; the rules are not looked at.
//!
//! Invariant: a field that stands both here and in the head of a signed file says the same, or the file is refused.

use hivewall_model::Timestamp;
use serde::Deserialize;

use super::envelope::time;
use super::{Digest, Header, Kind, Previous, SignError, Window};

/// `kind` and `metadata` of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What it is about.
    pub kind: Kind,
    /// Its name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<u64>,
    /// When it may be taken up.
    pub window: Window,
    /// The digest of the document that it follows, where it says so itself.
    pub previous: Option<Digest>,
}

#[derive(Deserialize)]
struct Document {
    kind: DocumentKind,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize)]
enum DocumentKind {
    Policy,
    Keys,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    version: Option<u64>,
    not_before: Option<String>,
    not_after: Option<String>,
    previous: Option<Digest>,
}

impl Meta {
    /// Reads them; everything else in the document is left to its own parser.
    pub fn of(document: &str) -> Result<Self, SignError> {
        let Document { kind, metadata } = yaml(document)?;
        let instant = |text: Option<String>| text.as_deref().map(time).transpose();
        Ok(Self {
            kind: match kind {
                DocumentKind::Policy => Kind::Policy,
                DocumentKind::Keys => Kind::Keys,
            },
            name: metadata.name,
            version: metadata.version,
            window: Window { not_before: instant(metadata.not_before)?, not_after: instant(metadata.not_after)? },
            previous: metadata.previous,
        })
    }

    /// The head of this document, when it follows `previous`.
    pub fn header(self, previous: Option<Previous>) -> Result<Header, SignError> {
        let missing = |field, example| SignError::Missing { field, example };
        Ok(Header {
            kind: self.kind,
            name: self.name.ok_or_else(|| missing("metadata.name", "metadata: {name: edge, version: 1}"))?,
            version: self.version.ok_or_else(|| missing("metadata.version", "metadata: {name: edge, version: 1}"))?,
            previous,
            window: self.window,
        })
    }

    /// Whether the head of a signed file says what its document says.
    pub(super) fn agrees(self, head: &Header) -> Result<(), SignError> {
        let field = |field, head: Option<String>, document: Option<String>| {
            let or_nothing = |text: Option<String>| text.unwrap_or_else(|| "nothing".to_owned());
            let (head, document) = (or_nothing(head), or_nothing(document));
            if head == document { Ok(()) } else { Err(SignError::Disagree { field, head, document }) }
        };
        let seconds = |time: Option<Timestamp>| time.map(super::envelope::time_text);
        field("kind", Some(head.kind.to_string()), Some(self.kind.to_string()))?;
        field("name", Some(head.name.clone()), self.name)?;
        field("version", Some(head.version.to_string()), self.version.map(|version| version.to_string()))?;
        field("notBefore", seconds(head.window.not_before), seconds(self.window.not_before))?;
        field("notAfter", seconds(head.window.not_after), seconds(self.window.not_after))?;
        // The head alone has to say it; a document that does, too, has to be right.
        let named = self.previous.map(|digest| digest.to_string());
        let head = head.previous.filter(|_| named.is_some()).map(|previous| previous.digest.to_string());
        field("previous", head, named)
    }
}

/// Reads YAML (and so JSON) that is as large as documents may be.
pub(super) fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, SignError> {
    // The default budget is for small files; the size is limited before, and references are limited apart from it.
    let options = serde_saphyr::options! { budget: None };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| SignError::Document(Box::new(error)))
}
