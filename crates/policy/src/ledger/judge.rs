//! Whether a document may be taken up by this host, as it stands now.

use hivewall_model::Timestamp;

use super::state::{Held, Ledger, Mark};
use super::{LedgerError, Moment};
use crate::sign::{Digest, Header, KeyId, Kind, Meta, SignError, Signed, TrustedKeys, Verified, is_signed};

/// A document that may be taken up, or is in force already.
pub(super) struct Judged {
    pub(super) document: Held,
    pub(super) by: Vec<KeyId>,
    /// Versions between this and the one before that the host has not seen.
    pub(super) missed: u64,
}

impl Ledger {
    /// Judges a file, signed or not. Gives the document alone when it is already in force or pending.
    pub(super) fn judge(&self, now: &Moment, bytes: &[u8]) -> Result<Judged, LedgerError> {
        if is_signed(bytes) { self.judge_signed(now.wall, bytes) } else { self.judge_unsigned(now.wall, bytes) }
    }

    fn judge_signed(&self, now: Timestamp, bytes: &[u8]) -> Result<Judged, LedgerError> {
        let verified = self.verified(bytes, Kind::Policy)?;
        let (head, digest) = (verified.header(), verified.digest());
        let document =
            Held { digest, name: head.name.clone(), version: head.version, signed: true, valid: head.window };
        let missed = if self.is_known(digest) { 0 } else { follows(head, digest, self.highest, now)? };
        Ok(Judged { document, by: verified.by().to_vec(), missed })
    }

    fn judge_unsigned(&self, now: Timestamp, bytes: &[u8]) -> Result<Judged, LedgerError> {
        if !self.takes_unsigned() {
            return Err(LedgerError::Unsigned);
        }
        let text = std::str::from_utf8(bytes).map_err(|error| SignError::NotText { at: error.valid_up_to() })?;
        let head = Meta::of(text)?.header(None)?;
        kind(&head, Kind::Policy)?;
        let digest = Digest::of(bytes);
        let document = Held { digest, name: head.name, version: head.version, signed: false, valid: head.window };
        if !self.is_known(digest) {
            above(head.version, digest, self.highest_unsigned)?;
            head.window.check(now)?;
        }
        Ok(Judged { document, by: Vec::new(), missed: 0 })
    }

    /// Judges a document of keys.
    pub(super) fn judge_keys(&self, now: &Moment, bytes: &[u8]) -> Result<(TrustedKeys, Mark), LedgerError> {
        let verified = self.verified(bytes, Kind::Keys)?;
        let head = verified.header();
        follows(head, verified.digest(), self.keys_highest, now.wall)?;
        // Keys trusted by hand may carry a version, too, and it counts even where nothing was signed for it.
        let set = self.keys.as_ref().map_or(0, TrustedKeys::version);
        if head.version <= set {
            return Err(LedgerError::NotAbove { version: head.version, highest: set });
        }
        Ok((verified.keys()?, Mark { version: head.version, digest: verified.digest() }))
    }

    fn verified(&self, bytes: &[u8], wanted: Kind) -> Result<Verified, LedgerError> {
        let signed = Signed::parse(bytes)?;
        let verified = self.keys.as_ref().ok_or(LedgerError::NoKeys)?.verify(signed)?;
        kind(verified.header(), wanted)?;
        Ok(verified)
    }

    /// Whether it is in force or pending: then it is no news, however often it is offered.
    fn is_known(&self, digest: Digest) -> bool {
        self.good == Some(digest) || self.pending.as_ref().is_some_and(|pending| pending.document.digest == digest)
    }
}

fn kind(head: &Header, wanted: Kind) -> Result<(), SignError> {
    if head.kind == wanted { Ok(()) } else { Err(SignError::Kind { found: head.kind, wanted }) }
}

fn above(version: u64, offered: Digest, highest: Option<Mark>) -> Result<(), LedgerError> {
    match highest {
        Some(Mark { version: highest, digest: held }) if version == highest && held != offered => {
            Err(LedgerError::Twice { version, held, offered })
        }
        Some(Mark { version: highest, .. }) if version <= highest => Err(LedgerError::NotAbove { version, highest }),
        _ => Ok(()),
    }
}

/// Whether a document may come after `highest`; how many versions lie between that this host has not seen.
///
/// A host that was away may find a chain that goes on further up: what it has not seen it cannot compare. Where the
/// chain touches what it has seen, it must be the same.
fn follows(head: &Header, digest: Digest, highest: Option<Mark>, now: Timestamp) -> Result<u64, LedgerError> {
    above(head.version, digest, highest)?;
    let missed = match (highest, head.previous) {
        (None, _) => 0,
        (Some(Mark { version: highest, digest: held }), None) => {
            return Err(LedgerError::NoPrevious { highest, held });
        }
        (Some(Mark { version: highest, digest: held }), Some(previous)) => {
            let is_same = previous.version == highest && previous.digest == held;
            if !is_same && previous.version <= highest {
                let (version, follows) = (previous.version, previous.digest);
                return Err(LedgerError::Forked { version, follows, highest, held });
            }
            previous.version - highest
        }
    };
    head.window.check(now)?;
    Ok(missed)
}
