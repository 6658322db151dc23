//! What a member keeps: its key and its papers; and, where it may admit others, the root's appointment.
//!
//! Invariant: an [`Identity`] that was read back belongs together: papers of this key, under this root.

use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use hivewall_cluster::{ClusterId, NodeId};

use crate::error::TrustError;
use crate::key::{HostKey, Root};
use crate::passport::{Grant, PASSPORT_LIFE_S, Passport, SKEW_S};
use crate::{certificate, roster};

/// Longest encoded identity, in bytes.
const IDENTITY_BYTES_MAX: usize = 16 << 10;
/// How long an appointment is valid, in seconds: ten years. The charter ends it earlier.
const APPOINTMENT_LIFE_S: u64 = 10 * 365 * 86_400;

/// What an enroller issues to a host; public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Papers {
    /// The compact proof.
    pub passport: Passport,
    /// Certificates in DER: the host's, the enroller's, the root's.
    pub chain: Vec<Vec<u8>>,
    /// The root's public key.
    pub root: [u8; 32],
}

/// What makes a host an enroller; public, of use only with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// By the root.
    pub grant: Grant,
    /// The enroller's certificate, by the root, in DER.
    pub certificate: Vec<u8>,
    /// The root's own, in DER.
    pub root_certificate: Vec<u8>,
    /// The root's public key.
    pub root: [u8; 32],
}

impl Root {
    /// Lets a host admit others, from now on.
    pub fn appoint(&self, enroller: [u8; 32], now_unix_s: u64) -> Result<Appointment, TrustError> {
        let (begin, end) = (now_unix_s.saturating_sub(SKEW_S), now_unix_s.saturating_add(APPOINTMENT_LIFE_S));
        Ok(Appointment {
            grant: self.grant(enroller, begin, end),
            certificate: certificate::of_enroller(self, enroller, begin, end)?,
            root_certificate: certificate::of_root(self)?,
            root: self.public(),
        })
    }
}

/// A host that may admit others.
#[derive(Clone)]
pub struct Enroller {
    key: HostKey,
    appointment: Appointment,
}

impl Enroller {
    /// The host of this key, under this appointment.
    pub fn new(key: HostKey, appointment: Appointment) -> Result<Self, TrustError> {
        if appointment.grant.enroller != key.public() {
            return Err(TrustError::OtherKey);
        }
        Ok(Self { key, appointment })
    }

    /// The root's public key.
    pub fn root(&self) -> [u8; 32] {
        self.appointment.root
    }

    /// Admits a host, or renews its papers.
    pub fn issue(&self, public: [u8; 32], now_unix_s: u64) -> Result<Papers, TrustError> {
        let grant = self.appointment.grant.clone();
        let (begin, end) =
            (now_unix_s.saturating_sub(SKEW_S).max(grant.not_before), now_unix_s.saturating_add(PASSPORT_LIFE_S));
        let mut passport = Passport { public, not_before: begin, not_after: end, grant, signature: Vec::new() };
        passport.signature = self.key.sign(&passport.message()).to_vec();
        let leaf = certificate::of_host(&self.key, public, begin, end)?;
        let chain = vec![leaf, self.appointment.certificate.clone(), self.appointment.root_certificate.clone()];
        Ok(Papers { passport, chain, root: self.appointment.root })
    }
}

/// A member: its key and papers, and its appointment if it is an enroller.
#[derive(Clone)]
pub struct Identity {
    key: HostKey,
    papers: Papers,
    appointment: Option<Appointment>,
}

/// The form on disk.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u8,
    seed: [u8; 32],
    papers: Papers,
    appointment: Option<Appointment>,
}

impl Identity {
    /// Puts key and papers together; they have to belong together. Whether they are valid now is not asked.
    pub fn new(key: HostKey, papers: Papers, appointment: Option<Appointment>) -> Result<Self, TrustError> {
        let of_chain = papers.chain.first().map(|leaf| certificate::key_of(&CertificateDer::from(leaf.as_slice())));
        let is_ours = papers.passport.public == key.public() && of_chain == Some(Ok(key.public()));
        let is_appointed =
            appointment.as_ref().is_none_or(|given| given.grant.enroller == key.public() && given.root == papers.root);
        if !is_ours || !is_appointed {
            return Err(TrustError::OtherKey);
        }
        papers.passport.check(&papers.root, papers.passport.not_before)?;
        Ok(Self { key, papers, appointment })
    }

    /// The first member of a new cluster: appointed by its root, admitted by itself.
    pub fn first(root: &Root, key: HostKey, now_unix_s: u64) -> Result<Self, TrustError> {
        let appointment = root.appoint(key.public(), now_unix_s)?;
        let papers = Enroller::new(key.clone(), appointment.clone())?.issue(key.public(), now_unix_s)?;
        Self::new(key, papers, Some(appointment))
    }

    /// The same host with papers of a later day.
    pub fn renewed(&self, papers: Papers) -> Result<Self, TrustError> {
        if papers.root != self.papers.root {
            return Err(TrustError::OtherKey);
        }
        Self::new(self.key.clone(), papers, self.appointment.clone())
    }

    /// The same host, which may admit others from now on.
    pub fn appointed(&self, appointment: Appointment) -> Result<Self, TrustError> {
        Self::new(self.key.clone(), self.papers.clone(), Some(appointment))
    }

    /// The host's name.
    pub fn id(&self) -> NodeId {
        self.key.id()
    }

    /// The cluster's name.
    pub fn cluster(&self) -> ClusterId {
        ClusterId::of_key(&self.papers.root)
    }

    /// The host's key.
    pub fn key(&self) -> &HostKey {
        &self.key
    }

    /// What proves membership to others.
    pub fn passport(&self) -> &Passport {
        &self.papers.passport
    }

    /// The papers, which are public.
    pub fn papers(&self) -> &Papers {
        &self.papers
    }

    /// What admits others, where this host may.
    pub fn enroller(&self) -> Option<Enroller> {
        Enroller::new(self.key.clone(), self.appointment.clone()?).ok()
    }

    /// The second of the Unix epoch from which papers should be renewed: a third of their life.
    pub fn renew_at_unix_s(&self) -> u64 {
        let passport = self.passport();
        passport.not_before + passport.not_after.saturating_sub(passport.not_before) / 3
    }

    /// Whom this host trusts to begin with.
    pub fn roster(&self) -> Result<roster::Roster, TrustError> {
        let root = self.papers.chain.last().ok_or(TrustError::NoCertificate)?;
        roster::Roster::new(self.papers.root, root.clone())
    }

    /// Certificates, the host's first.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.papers.chain.iter().map(|der| CertificateDer::from(der.clone())).collect()
    }

    /// As it is kept: a secret.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let kept = Kept {
            version: 1,
            seed: *self.key.seed(),
            papers: self.papers.clone(),
            appointment: self.appointment.clone(),
        };
        Zeroizing::new(postcard::to_allocvec(&kept).unwrap_or_default())
    }

    /// Reads it back.
    pub fn decode(bytes: &[u8]) -> Result<Self, TrustError> {
        let unreadable = TrustError::Unreadable { what: "identity" };
        if bytes.len() > IDENTITY_BYTES_MAX {
            return Err(TrustError::TooLong { what: "identity", max: IDENTITY_BYTES_MAX });
        }
        let kept: Kept = postcard::from_bytes(bytes).map_err(|_| unreadable.clone())?;
        if kept.version != 1 {
            return Err(unreadable);
        }
        Self::new(HostKey::from_seed(kept.seed), kept.papers, kept.appointment)
    }
}
