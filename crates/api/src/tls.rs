//! TLS of the API: the certificate and key, from the operator's files or made here, and how they are read again when they
//! change. Deliberately not here: handshakes (`connection`), TLS between members of a fleet.
//!
//! Invariants: TLS 1.3 alone, by `rustls` with `ring`; a key that others can read is refused; while new files are not good,
//! the old ones go on to serve.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

/// How often it is looked whether the files have changed.
const LOOK: Duration = Duration::from_secs(30);
/// Most bytes of a file with certificates or a key.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Names of the files that are made here.
const CERTIFICATE: &str = "tls-cert.pem";
const KEY: &str = "tls-key.pem";
/// How long a certificate made here holds: who trusts it has compared its fingerprint.
const YEARS: i64 = 10;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read the key.
    #[error("the key in {} can be read by others (mode {mode:o}); `chmod 600` it", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file is no PEM file of that kind.
    #[error("{} holds no {what} in PEM form", file.display())]
    NoPem {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The two do not fit.
    #[error("the certificate in {} and its key cannot be used: {source}", file.display())]
    Unfit {
        /// The certificate's file.
        file: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// None could be made.
    #[error("no certificate could be made: {source}")]
    Make {
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// What was made could not be kept.
    #[error("the certificate cannot be kept in {}: {source}", file.display())]
    Keep {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What tells that a file is another one.
type Stamp = Option<(SystemTime, u64)>;

struct Loaded {
    config: Arc<ServerConfig>,
    fingerprint: String,
    stamps: [Stamp; 2],
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    loaded: Arc<Mutex<Loaded>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.certificate).field("key", &self.key).finish_non_exhaustive()
    }
}

impl Tls {
    /// From the operator's files, in PEM form; certificates that lead to the root may follow the first.
    pub fn of_files(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let loaded = Arc::new(Mutex::new(load(&certificate, &key)?));
        Ok(Self { certificate, key, loaded })
    }

    /// A certificate of its own, kept in `directory`; made for these names and addresses when there is none.
    pub fn self_signed(directory: &Path, names: &[String]) -> Result<Self, TlsError> {
        let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
        if !certificate.exists() || !key.exists() {
            make(&certificate, &key, names)?;
        }
        Self::of_files(certificate, key)
    }

    /// SHA-256 of the certificate, in hexadecimal digits: what a client can know it by.
    pub fn fingerprint(&self) -> String {
        self.loaded().fingerprint.clone()
    }

    /// Where the certificate is.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    // A panic while it was held leaves nothing half done.
    fn loaded(&self) -> std::sync::MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.loaded().config)
    }

    /// Reads the files again where they have changed. True when new ones serve from now on.
    fn renew(&self) -> bool {
        if self.loaded().stamps == stamps(&self.certificate, &self.key) {
            return false;
        }
        match load(&self.certificate, &self.key) {
            Ok(new) => {
                tracing::info!(fingerprint = new.fingerprint, "the API has a new certificate");
                *self.loaded() = new;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the API keeps the certificate that it has");
                false
            }
        }
    }

    /// Never ends.
    pub(crate) async fn watch(&self) {
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            ticks.tick().await;
            let this = self.clone();
            // A panic there is one of reading, and the old files serve.
            let _ = tokio::task::spawn_blocking(move || this.renew()).await;
        }
    }
}

fn stamps(certificate: &Path, key: &Path) -> [Stamp; 2] {
    [certificate, key].map(|file| {
        let metadata = fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn text(file: &Path, is_secret: bool) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { file: file.to_path_buf(), source };
    let mut open = File::open(file).map_err(failed)?;
    let metadata = open.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o777;
    if is_secret && mode & 0o077 != 0 {
        return Err(TlsError::Open { file: file.to_path_buf(), mode });
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut open, &mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn load(certificate: &Path, key: &Path) -> Result<Loaded, TlsError> {
    // Before they are read: what changes meanwhile is read again.
    let stamps = stamps(certificate, key);
    let no_pem = |file: &Path, what| TlsError::NoPem { file: file.to_path_buf(), what };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text(certificate, false)?).collect();
    let chain = chain.map_err(|_| no_pem(certificate, "certificate"))?;
    let leaf = chain.first().ok_or_else(|| no_pem(certificate, "certificate"))?;
    let fingerprint = crate::access::hex(&Sha256::digest(leaf));
    let secret = PrivateKeyDer::from_pem_slice(&text(key, true)?).map_err(|_| no_pem(key, "private key"))?;
    let unfit = |source| TlsError::Unfit { file: certificate.to_path_buf(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Loaded { config: Arc::new(config), fingerprint, stamps })
}

fn make(certificate: &Path, key: &Path, names: &[String]) -> Result<(), TlsError> {
    let made = |source| TlsError::Make { source };
    let secret = rcgen::KeyPair::generate().map_err(made)?;
    let mut parameters = rcgen::CertificateParams::new(names.to_vec()).map_err(made)?;
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "hivewall agent");
    let now = time::OffsetDateTime::now_utc();
    parameters.not_before = now - time::Duration::days(1);
    parameters.not_after = now + time::Duration::days(365 * YEARS);
    let signed = parameters.self_signed(&secret).map_err(made)?;
    keep(key, &pem("PRIVATE KEY", &secret.serialize_der()))?;
    keep(certificate, &pem("CERTIFICATE", signed.der()))
}

/// RFC 7468: lines of 64 characters between two that say what it is.
fn pem(what: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {what}-----");
    for (at, character) in BASE64_STANDARD.encode(der).chars().enumerate() {
        if at % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text + &format!("\n-----END {what}-----\n")
}

fn keep(file: &Path, text: &str) -> Result<(), TlsError> {
    let write = || {
        let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
        open.write_all(text.as_bytes())?;
        open.sync_all()
    };
    write().map_err(|source| TlsError::Keep { file: file.to_path_buf(), source })
}

/// Names and addresses that a certificate made here is for: what the agent listens on, loopback, and these.
pub fn certificate_names(listening: IpAddr, others: impl IntoIterator<Item = String>) -> Vec<String> {
    let own = (!listening.is_unspecified()).then(|| listening.to_string());
    let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut names: Vec<String> = Vec::new();
    for name in loopback.into_iter().chain(own).chain(others) {
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (tempfile::TempDir, Tls) {
        let directory = tempfile::tempdir().unwrap();
        let tls = Tls::self_signed(directory.path(), &["localhost".to_owned(), "192.0.2.1".to_owned()]).unwrap();
        (directory, tls)
    }

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_the_owners_alone() {
        let (directory, tls) = made();
        let mode = |name: &str| fs::metadata(directory.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(KEY), mode(CERTIFICATE)), (0o600, 0o600));
        assert!(tls.fingerprint().len() == 64);
        let again = Tls::self_signed(directory.path(), &[]).unwrap();
        assert_eq!(again.fingerprint(), tls.fingerprint());
    }

    #[test]
    fn files_that_others_can_read_or_that_do_not_fit_are_refused() {
        let ((directory, _tls), (other, _)) = (made(), made());
        let of = |certificate: PathBuf, key: PathBuf| Tls::of_files(certificate, key).err().unwrap();
        let (certificate, key) = (directory.path().join(CERTIFICATE), directory.path().join(KEY));
        let foreign = of(certificate.clone(), other.path().join(KEY));
        assert!(matches!(foreign, TlsError::Unfit { .. }), "{foreign}");
        assert!(matches!(of(key.clone(), certificate.clone()), TlsError::NoPem { what: "certificate", .. }));
        assert!(matches!(of(certificate.clone(), certificate.clone()), TlsError::NoPem { what: "private key", .. }));
        assert!(matches!(of(certificate.clone(), PathBuf::from("/nowhere")), TlsError::Read { .. }));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(of(certificate, key), TlsError::Open { mode: 0o640, .. }));
    }

    #[test]
    fn new_files_serve_when_they_are_good_and_old_ones_until_then() {
        let ((directory, tls), (other, new)) = (made(), made());
        let before = tls.fingerprint();
        assert!(!tls.renew(), "nothing has changed");
        let copy = |name: &str| fs::copy(other.path().join(name), directory.path().join(name)).unwrap();
        copy(CERTIFICATE);
        assert!(!tls.renew(), "its key is not there yet");
        assert_eq!(tls.fingerprint(), before);
        copy(KEY);
        assert!(tls.renew());
        assert_eq!(tls.fingerprint(), new.fingerprint());
    }

    #[test]
    fn a_certificate_is_for_what_is_listened_on_once_each() {
        let names = certificate_names("192.0.2.1".parse().unwrap(), ["web-1".to_owned(), "[2001:db8::1]".to_owned()]);
        assert_eq!(names, ["localhost", "127.0.0.1", "::1", "192.0.2.1", "web-1", "2001:db8::1"]);
        assert_eq!(certificate_names("::".parse().unwrap(), ["localhost".to_owned()]).len(), 3);
    }
}
