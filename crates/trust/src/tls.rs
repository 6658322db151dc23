//! TLS between members, and between an enroller and a newcomer. TLS 1.3 alone, by `rustls` with `ring`.
//!
//! Invariant: a connection of [`ALPN`] is between two members that both proved it; one of [`ALPN_ENROL`] proves the
//! enroller to the newcomer, and nothing about the newcomer.

use std::sync::Arc;

use hivewall_cluster::NodeId;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError, ServerConfig,
    SignatureScheme,
};

use crate::certificate::{key_of, private};
use crate::error::TrustError;
use crate::identity::Identity;
use crate::roster::{Roster, anchors};

/// Between members.
pub const ALPN: &[u8] = b"hivewall/1";
/// Between an enroller and a newcomer.
pub const ALPN_ENROL: &[u8] = b"hivewall-enrol/1";
/// The name in every certificate; who a host is, its key says.
pub const SERVER_NAME: &str = "member.hivewall.internal";

/// Keys of hosts are of this kind alone.
const SCHEMES: [SignatureScheme; 1] = [SignatureScheme::ED25519];

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A member.
    Member(NodeId),
    /// Somebody who may only enrol.
    Newcomer,
}

impl Peer {
    /// From what the handshake settled. A member that speaks [`ALPN`] without certificates is refused.
    pub fn of(alpn: Option<&[u8]>, chain: Option<&[CertificateDer<'_>]>) -> Result<Self, TrustError> {
        match (alpn, chain) {
            (Some(ALPN_ENROL), _) => Ok(Self::Newcomer),
            (Some(ALPN), Some(chain)) => peer_of(chain).map(Self::Member),
            _ => Err(TrustError::NoCertificate),
        }
    }
}

/// The host that certificates are of, which TLS has checked.
pub fn peer_of(chain: &[CertificateDer<'_>]) -> Result<NodeId, TrustError> {
    Ok(NodeId::of_key(&key_of(chain.first().ok_or(TrustError::NoCertificate)?)?))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn failed(error: &impl ToString) -> TrustError {
    TrustError::Certificate { reason: error.to_string() }
}

fn refused(error: TrustError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// For connections that come in: of members, and of newcomers.
pub fn server(identity: &Identity, roster: &Roster) -> Result<Arc<ServerConfig>, TrustError> {
    let plain = WebPkiClientVerifier::builder_with_provider(roster.anchors()?, provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| failed(&error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| failed(&error))?
        .with_client_cert_verifier(Arc::new(Clients { plain, roster: roster.clone() }))
        .with_single_cert(identity.chain(), private(identity.key()))
        .map_err(|error| failed(&error))?;
    config.alpn_protocols = vec![ALPN.to_vec(), ALPN_ENROL.to_vec()];
    // A ticket would outlive a removal.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// For connections to members.
pub fn client(identity: &Identity, roster: &Roster) -> Result<Arc<ClientConfig>, TrustError> {
    let verifier = Servers { trusted: Trusted::Roster(roster.clone(), webpki(roster.anchors()?)?) };
    let mut config = outgoing(verifier)?
        .with_client_auth_cert(identity.chain(), private(identity.key()))
        .map_err(|error| failed(&error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// For a newcomer's connection to an enroller of the cluster with this root.
pub fn newcomer(root: [u8; 32]) -> Result<Arc<ClientConfig>, TrustError> {
    let mut config = outgoing(Servers { trusted: Trusted::Root(root) })?.with_no_client_auth();
    config.alpn_protocols = vec![ALPN_ENROL.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

fn outgoing(
    verifier: Servers,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, TrustError> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| failed(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

fn webpki(roots: Arc<rustls::RootCertStore>) -> Result<Arc<WebPkiServerVerifier>, TrustError> {
    WebPkiServerVerifier::builder_with_provider(roots, provider()).build().map_err(|error| failed(&error))
}

/// Whom a client trusts.
#[derive(Debug)]
enum Trusted {
    /// Members.
    Roster(Roster, Arc<WebPkiServerVerifier>),
    /// Whoever the root with this key leads to: the newcomer has no certificate of it yet.
    Root([u8; 32]),
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Roster({:?})", self.cluster())
    }
}

/// Checks servers' certificates as any TLS client does, and then asks whether it is still a member.
#[derive(Debug)]
struct Servers {
    trusted: Trusted,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trusted {
            Trusted::Roster(roster, plain) => {
                let verified = plain.verify_server_cert(leaf, rest, name, ocsp, now)?;
                roster.admit_chain(&chain(leaf, rest)).map_err(refused)?;
                Ok(verified)
            }
            Trusted::Root(root) => {
                let [_, certificate] = rest else { return Err(refused(TrustError::NoCertificate)) };
                if key_of(certificate).map_err(refused)? != *root {
                    return Err(refused(TrustError::Signature { what: "certificate" }));
                }
                let plain = webpki(anchors(certificate.to_vec()).map_err(refused)?).map_err(refused)?;
                plain.verify_server_cert(leaf, rest, name, ocsp, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

/// The same for clients; those without certificates are newcomers.
#[derive(Debug)]
struct Clients {
    plain: Arc<dyn ClientCertVerifier>,
    roster: Roster,
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.plain.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.plain.verify_client_cert(leaf, rest, now)?;
        self.roster.admit_chain(&chain(leaf, rest)).map_err(refused)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.plain.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

/// No configuration of ours offers it.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
}

fn chain<'c>(leaf: &CertificateDer<'c>, rest: &[CertificateDer<'c>]) -> Vec<CertificateDer<'c>> {
    std::iter::once(leaf.clone()).chain(rest.iter().cloned()).collect()
}
