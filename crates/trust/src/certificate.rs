//! X.509 certificates, made by `rcgen`: of the root, of enrollers, of hosts. They say what passports say, for TLS.
//!
//! Invariant: no certificate is made for a key without its passport, and both end at the same second.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ED25519, PublicKeyData, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ParsedCertificate;
use time::OffsetDateTime;

use crate::error::TrustError;
use crate::key::{HostKey, Root};
use crate::tls::SERVER_NAME;

/// DER of an Ed25519 private key before its 32 bytes (RFC 8410).
const PRIVATE_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// DER of an Ed25519 public key before its 32 bytes.
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
/// How long the root's certificate is valid, in seconds: its key has no end of its own.
const ROOT_LIFE_S: u64 = 100 * 365 * 86_400;

/// Somebody's public key, without the private one.
struct Subject([u8; 32]);

impl PublicKeyData for Subject {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

fn failed(error: &rcgen::Error) -> TrustError {
    TrustError::Certificate { reason: error.to_string() }
}

/// The private key as TLS takes it.
pub(crate) fn private(key: &HostKey) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from([PRIVATE_PREFIX.as_slice(), key.seed().as_slice()].concat()).into()
}

fn pair(key: &HostKey) -> Result<KeyPair, TrustError> {
    let der = PrivatePkcs8KeyDer::from([PRIVATE_PREFIX.as_slice(), key.seed().as_slice()].concat());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).map_err(|error| failed(&error))
}

fn params(name: &str, not_before: u64, not_after: u64) -> CertificateParams {
    let time = |unix_s: u64| {
        let unix_s = i64::try_from(unix_s).unwrap_or(i64::MAX);
        OffsetDateTime::from_unix_timestamp(unix_s).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = time(not_before);
    params.not_after = time(not_after);
    params
}

fn authority(name: &str, below: u8, not_before: u64, not_after: u64) -> CertificateParams {
    let mut params = params(name, not_before, not_after);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn name_of(key: &[u8; 32]) -> String {
    format!("hivewall {}", hivewall_cluster::NodeId::of_key(key))
}

/// An enroller has two certificates of one key, which need two names: a path that leads through the same name and key
/// twice counts as a loop (RFC 4158, 5.2), and is refused.
fn enroller_name(key: &[u8; 32]) -> String {
    format!("hivewall enroller {}", hivewall_cluster::NodeId::of_key(key))
}

fn root_params(root: &Root) -> CertificateParams {
    authority(&name_of(&root.public()), 1, 0, ROOT_LIFE_S)
}

/// The root's own.
pub(crate) fn of_root(root: &Root) -> Result<Vec<u8>, TrustError> {
    let certificate = root_params(root).self_signed(&pair(root.key())?).map_err(|error| failed(&error))?;
    Ok(certificate.der().to_vec())
}

/// An enroller's, by the root.
pub(crate) fn of_enroller(
    root: &Root,
    enroller: [u8; 32],
    not_before: u64,
    not_after: u64,
) -> Result<Vec<u8>, TrustError> {
    let issuer = Issuer::new(root_params(root), pair(root.key())?);
    let params = authority(&enroller_name(&enroller), 0, not_before, not_after);
    let certificate = params.signed_by(&Subject(enroller), &issuer).map_err(|error| failed(&error))?;
    Ok(certificate.der().to_vec())
}

/// A host's, by an enroller.
pub(crate) fn of_host(
    enroller: &HostKey,
    host: [u8; 32],
    not_before: u64,
    not_after: u64,
) -> Result<Vec<u8>, TrustError> {
    let issuer = Issuer::new(authority(&enroller_name(&enroller.public()), 0, not_before, not_after), pair(enroller)?);
    let mut params = params(&name_of(&host), not_before, not_after);
    let name = SERVER_NAME.try_into().map_err(|error: rcgen::Error| failed(&error))?;
    params.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = params.signed_by(&Subject(host), &issuer).map_err(|error| failed(&error))?;
    Ok(certificate.der().to_vec())
}

/// The public key in a certificate, of which nothing is proved by that.
pub(crate) fn key_of(certificate: &CertificateDer<'_>) -> Result<[u8; 32], TrustError> {
    let unreadable = || TrustError::Unreadable { what: "certificate" };
    let parsed = ParsedCertificate::try_from(certificate).map_err(|_| unreadable())?;
    let spki = parsed.subject_public_key_info();
    let key = spki.as_ref().strip_prefix(PUBLIC_PREFIX.as_slice()).ok_or_else(unreadable)?;
    key.try_into().map_err(|_| unreadable())
}
