//! Whom this host takes for a member: whoever the root's key leads to, less those whom the charter removed.
//!
//! A roster is shared: links ask it before they speak, the core's verifier before it believes. Invariants: the charter held
//! only gets newer; a removed host is refused from the moment its removal is adopted.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use hivewall_cluster::{Claim, ClusterId, NodeId, Policy};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::certificate::key_of;
use crate::charter::{CHARTER_NAME, Charter};
use crate::error::TrustError;
use crate::key::is_signed;
use crate::passport::{Passport, Seal};

/// Most keys of hosts remembered. Further hosts can still prove themselves, over a connection.
const KEYS_MAX: usize = 65_536;

/// A host that was taken for a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its name.
    pub id: NodeId,
    /// Its public key.
    pub public: [u8; 32],
    /// Whether it may admit others.
    pub is_enroller: bool,
}

/// A key that was proved, and who vouched for it.
#[derive(Clone, Copy)]
struct Known {
    public: [u8; 32],
    enroller: NodeId,
}

impl State {
    /// Whether the charter has removed the host, or its enroller without keeping it.
    fn is_removed(&self, id: NodeId, enroller: NodeId) -> bool {
        let Some(charter) = &self.charter else { return false };
        charter.revoked.contains_key(&id)
            || charter.revoked.get(&enroller).is_some_and(|gone| !gone.keeps.contains(&id))
    }
}

/// Who belongs to the fleet. Clones share.
#[derive(Clone)]
pub struct Roster(Arc<Inner>);

struct Inner {
    root: [u8; 32],
    certificate: Vec<u8>,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    charter: Option<Charter>,
    keys: BTreeMap<NodeId, Known>,
}

impl Roster {
    /// Under a root: its public key and its certificate, which has to be of that key.
    pub fn new(root: [u8; 32], certificate: Vec<u8>) -> Result<Self, TrustError> {
        if key_of(&CertificateDer::from(certificate.as_slice()))? != root {
            return Err(TrustError::OtherKey);
        }
        Ok(Self(Arc::new(Inner { root, certificate, state: RwLock::default() })))
    }

    fn state<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn state_mut<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The cluster's name.
    pub fn cluster(&self) -> ClusterId {
        ClusterId::of_key(&self.0.root)
    }

    /// The charter that holds; none before the first came.
    pub fn charter(&self) -> Option<Charter> {
        self.state(|state| state.charter.clone())
    }

    /// Takes a charter up, if it is signed and newer. Whether it is news.
    pub fn adopt(&self, document: &Policy) -> Result<bool, TrustError> {
        let claim = Claim::Policy(&document.head, &document.body);
        if document.head.name != CHARTER_NAME || !is_signed(&self.0.root, &claim.message(), &document.signature) {
            return Err(TrustError::Signature { what: "charter" });
        }
        let charter = Charter::decode(&document.body)?;
        if charter.cluster != self.cluster() || charter.version != document.head.version {
            return Err(TrustError::Signature { what: "charter" });
        }
        self.state_mut(|state| match &state.charter {
            Some(held) if *held == charter => Ok(false),
            Some(held) if held.version >= charter.version => {
                Err(TrustError::CharterVersion { offered: charter.version, held: held.version })
            }
            _ => {
                state.charter = Some(charter);
                let mut keys = std::mem::take(&mut state.keys);
                keys.retain(|id, known| !state.is_removed(*id, known.enroller));
                state.keys = keys;
                Ok(true)
            }
        })
    }

    /// Whether the charter has removed this host.
    pub fn is_revoked(&self, id: NodeId) -> bool {
        self.revoked_since(id).is_some()
    }

    fn revoked_since(&self, id: NodeId) -> Option<u64> {
        self.state(|state| Some(state.charter.as_ref()?.revoked.get(&id)?.since_unix_s))
    }

    /// The public key of a host that was admitted before and not removed since.
    pub fn public_of(&self, id: NodeId) -> Option<[u8; 32]> {
        self.state(|state| state.keys.get(&id).map(|known| known.public))
    }

    /// Whether a passport makes its subject a member at this second; if so, its key is remembered.
    pub fn admit(&self, passport: &Passport, now_unix_s: u64) -> Result<Admitted, TrustError> {
        let admitted = self.judge(passport, now_unix_s)?;
        // Not from its day on, as for what was written: a clock that is behind must not let the host in.
        if self.is_revoked(admitted.id) {
            return Err(TrustError::Revoked { id: admitted.id });
        }
        self.remember(admitted, passport.enroller());
        Ok(admitted)
    }

    fn remember(&self, admitted: Admitted, enroller: NodeId) {
        self.state_mut(|state| {
            // The charter may have changed since the judgement.
            if state.keys.len() < KEYS_MAX && !state.is_removed(admitted.id, enroller) {
                state.keys.insert(admitted.id, Known { public: admitted.public, enroller });
            }
        });
    }

    /// The same without the memory: what it was at some second.
    fn judge(&self, passport: &Passport, at_unix_s: u64) -> Result<Admitted, TrustError> {
        passport.check(&self.0.root, at_unix_s)?;
        let id = passport.id();
        if self.revoked_since(id).is_some_and(|since| at_unix_s >= since) {
            return Err(TrustError::Revoked { id });
        }
        self.check_enroller(id, passport.enroller())?;
        Ok(Admitted { id, public: passport.public, is_enroller: passport.is_enroller() })
    }

    /// A removed enroller takes with it whom it admitted, but for those whom the charter keeps.
    fn check_enroller(&self, id: NodeId, enroller: NodeId) -> Result<(), TrustError> {
        let is_kept = self.state(|state| {
            let charter = state.charter.as_ref();
            charter.and_then(|charter| charter.revoked.get(&enroller)).is_none_or(|gone| gone.keeps.contains(&id))
        });
        if is_kept { Ok(()) } else { Err(TrustError::EnrollerRevoked { id, enroller }) }
    }

    /// Judges the certificates of a connection, whose signatures and validity TLS has checked: the host's, the
    /// enroller's, the root's.
    pub fn admit_chain(&self, chain: &[CertificateDer<'_>]) -> Result<Admitted, TrustError> {
        let [leaf, enroller, root] = chain else { return Err(TrustError::NoCertificate) };
        if key_of(root)? != self.0.root {
            return Err(TrustError::Signature { what: "certificate" });
        }
        let (public, enroller) = (key_of(leaf)?, key_of(enroller)?);
        let (id, by) = (NodeId::of_key(&public), NodeId::of_key(&enroller));
        if self.is_revoked(id) {
            return Err(TrustError::Revoked { id });
        }
        self.check_enroller(id, by)?;
        let admitted = Admitted { id, public, is_enroller: public == enroller };
        self.remember(admitted, by);
        Ok(admitted)
    }

    /// Whether a claim of a host, or the charter, is signed by whoever may make it: what a
    /// [`hivewall_cluster::Verifier`] says of all but the program's own documents.
    ///
    /// Records count now; bans when they were issued, by hosts that are still members; entries of the audit log when they
    /// were written.
    pub fn holds(&self, claim: &Claim<'_>, signature: &[u8], now_unix_s: u64) -> bool {
        match claim {
            Claim::Policy(head, _) => head.name == CHARTER_NAME && is_signed(&self.0.root, &claim.message(), signature),
            Claim::Member(id, _) => self
                .is_sealed(*id, claim, signature, now_unix_s)
                .is_ok_and(|(_, by)| self.admit(&by, now_unix_s).is_ok()),
            Claim::Ban(ban) => {
                !self.is_revoked(ban.issuer) && self.is_sealed(ban.issuer, claim, signature, ban.issued_unix_s).is_ok()
            }
            Claim::Entry(entry) => self.is_sealed(entry.author, claim, signature, entry.unix_ms / 1000).is_ok(),
        }
    }

    fn is_sealed(
        &self,
        id: NodeId,
        claim: &Claim<'_>,
        signature: &[u8],
        at_unix_s: u64,
    ) -> Result<(Admitted, Passport), TrustError> {
        let seal = Seal::decode(signature)?;
        let admitted = self.judge(&seal.passport, at_unix_s)?;
        if admitted.id != id || !is_signed(&admitted.public, &claim.message(), &seal.signature) {
            return Err(TrustError::Signature { what: "record" });
        }
        Ok((admitted, seal.passport))
    }

    /// The root as TLS takes it.
    pub(crate) fn anchors(&self) -> Result<Arc<RootCertStore>, TrustError> {
        anchors(self.0.certificate.clone())
    }
}

pub(crate) fn anchors(certificate: Vec<u8>) -> Result<Arc<RootCertStore>, TrustError> {
    let mut store = RootCertStore::empty();
    store
        .add(CertificateDer::from(certificate))
        .map_err(|error| TrustError::Certificate { reason: error.to_string() })?;
    Ok(Arc::new(store))
}
