//! TLS to an agent: whom the client trusts, and the connection as the HTTP client takes it. Deliberately not here: TLS between
//! members of a fleet.
//!
//! Invariant: a certificate is always checked: against the fingerprint that was given, the certificates that were given, or
//! those of this host.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    StreamOwned,
};
use sha2::{Digest as _, Sha256};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

/// Whom a client trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Whom this host does.
    #[default]
    Host,
    /// Whoever shows the certificate with this SHA-256.
    Fingerprint([u8; 32]),
    /// Whoever the certificates in this text, in PEM form, lead to.
    Certificates(Vec<u8>),
}

impl Trust {
    /// From what was given; at most one is.
    pub(crate) fn of(certificates: Option<&Path>, fingerprint: Option<&str>) -> anyhow::Result<Self> {
        match (certificates, fingerprint) {
            (None, None) => Ok(Self::Host),
            (Some(file), None) => {
                let text = std::fs::read(file);
                text.map(Self::Certificates).with_context(|| format!("{} cannot be read", file.display()))
            }
            (None, Some(text)) => fingerprint_of(text).map(Self::Fingerprint),
            (Some(_), Some(_)) => bail!("give --ca or --fingerprint, not both"),
        }
    }

    pub(crate) fn connector(&self) -> anyhow::Result<TlsConnector> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let config = match self {
            Self::Fingerprint(pin) => {
                let verifier = Pinned { pin: *pin, provider };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
            }
            Self::Certificates(text) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(text) {
                    roots.add(certificate.context("a certificate of --ca is not understood")?)?;
                }
                if roots.is_empty() {
                    bail!("the file of --ca holds no certificate in PEM form");
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Self::Host => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                builder.with_root_certificates(roots).with_no_client_auth()
            }
        };
        Ok(TlsConnector(Arc::new(config)))
    }
}

/// 64 hexadecimal digits, with or without colons between.
fn fingerprint_of(text: &str) -> anyhow::Result<[u8; 32]> {
    let digits: String = text.trim().chars().filter(|c| *c != ':').collect();
    let mut pin = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("`{text}` is no fingerprint: it has 64 hexadecimal digits, and the agent tells it at its start");
    }
    for (byte, pair) in pin.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair)?, 16)?;
    }
    Ok(pin)
}

/// One certificate and no other, whatever it says of itself.
#[derive(Debug)]
struct Pinned {
    pin: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if Sha256::digest(leaf).as_slice() == self.pin {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Puts TLS on connections to `https` addresses.
#[derive(Debug)]
pub(crate) struct TlsConnector(Arc<ClientConfig>);

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name).map_err(std::io::Error::other)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned::new(connection, socket) })))
    }
}

/// A connection under TLS.
pub(crate) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl std::fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_64_digits_however_they_are_grouped() {
        let plain = "0a".repeat(32);
        let colons = vec!["0A"; 32].join(":");
        let want = Trust::Fingerprint([10; 32]);
        assert_eq!(Trust::of(None, Some(&plain)).unwrap(), want);
        assert_eq!(Trust::of(None, Some(&format!(" {colons} "))).unwrap(), want);
        for wrong in ["", "0a", &"0g".repeat(32), &"0a".repeat(33), &"é".repeat(32)] {
            assert!(Trust::of(None, Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_without_certificates_trusts_nobody() {
        assert!(Trust::Certificates(b"nothing".to_vec()).connector().is_err());
        assert!(Trust::of(Some(Path::new("/nowhere")), None).is_err());
        assert!(Trust::of(Some(Path::new("/nowhere")), Some("")).is_err());
    }
}
