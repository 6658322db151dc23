//! One HTTP request and what its answer means. HTTPS by rustls, with the system's certificates or those of one file.
//!
//! Invariants: no redirect is followed, since what is sent is meant for one place; an answer's body is read up to
//! [`BODY_BYTES_MAX`] and no further.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use thiserror::Error;
use ureq::http::{HeaderMap, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::failure::{Failure, Reason};
use crate::secret::Secret;

/// What is read of an answer.
const BODY_BYTES_MAX: u64 = 64 << 10;
/// What is shown of an answer's body in an error.
const SHOWN_CHARS_MAX: usize = 200;

/// Why a destination cannot be used. Nothing was sent.
#[derive(Debug, Error)]
pub enum ClientError {
    /// It is no address.
    #[error("`{url}` is no http:// or https:// address with a host; write for example https://alerts.example.org/in")]
    Url {
        /// What was given.
        url: String,
    },
    /// Credentials would travel in the clear.
    #[error(
        "credentials for {host} would travel in the clear; use https:// (http:// with credentials is for loopback)"
    )]
    ClearCredentials {
        /// The host.
        host: String,
    },
    /// The file of certificates cannot be used.
    #[error("the certificates in {} cannot be used: {source}; a file of PEM certificates is expected", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system has no certificates.
    #[error("this system has no certificate authorities; install ca-certificates or name a file with ca_file")]
    NoRoots,
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// `Authorization: Bearer`.
    Bearer(Secret),
    /// `Authorization: Basic`.
    Basic(String, Secret),
}

/// How to ask.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// For the whole request, from the name to the answer's last byte.
    pub timeout: Duration,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Who asks.
    pub credentials: Option<Credentials>,
}

/// An answer, whatever it says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// `200`.
    pub status: u16,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    /// The beginning of its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// What it means for most: 2xx is success; 408, 425, 429 and 5xx can heal; all else will be so again.
    pub fn judge(&self) -> Result<(), Failure> {
        let (reason, is_final) = match self.status {
            200..=299 => return Ok(()),
            300..=399 => (Reason::Redirected, true),
            401 | 403 | 407 => (Reason::Unauthorized, true),
            408 | 425 | 429 | 503 => (Reason::Busy, false),
            413 => (Reason::TooLarge, true),
            500..=599 => (Reason::Faulty, false),
            _ => (Reason::Refused, true),
        };
        Err(self.failure(reason, is_final))
    }

    /// A failure that tells of this answer.
    pub fn failure(&self, reason: Reason, is_final: bool) -> Failure {
        let body = String::from_utf8_lossy(&self.body);
        let words: String =
            body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN_CHARS_MAX).collect();
        let text = match (self.status, words.is_empty()) {
            (300..=399, _) => {
                format!("answered {} and points elsewhere, which is not followed; write its own address", self.status)
            }
            (status, true) => format!("answered {status}"),
            (status, false) => format!("answered {status}: {words}"),
        };
        Failure { reason, is_final, retry_after: self.retry_after, text }
    }
}

/// One destination.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    url: String,
    authorization: Option<Secret>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Checks the address, reads certificates, and makes no connection.
    pub fn new(url: &str, options: &HttpOptions) -> Result<Self, ClientError> {
        let bad = || ClientError::Url { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        if options.credentials.is_some() && !is_tls && !is_loopback(host) {
            return Err(ClientError::ClearCredentials { host: host.to_owned() });
        }
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(options.timeout))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .proxy(None)
            .user_agent(concat!("hivewall/", env!("CARGO_PKG_VERSION")));
        if is_tls {
            config = config.tls_config(tls(options.ca_file.as_deref())?);
        }
        let authorization = options.credentials.as_ref().map(|credentials| match credentials {
            Credentials::Bearer(token) => Secret::from_line(format!("Bearer {}", token.reveal())),
            Credentials::Basic(user, password) => {
                let pair = zeroize::Zeroizing::new(format!("{user}:{}", password.reveal()));
                Secret::from_line(format!(
                    "Basic {}",
                    base64::engine::general_purpose::STANDARD.encode(pair.as_bytes())
                ))
            }
        });
        Ok(Self { agent: config.build().new_agent(), url: url.to_owned(), authorization })
    }

    /// Posts a body and waits for the answer. A failure means that there was none.
    pub fn post(&self, content_type: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, Failure> {
        let mut request = self.agent.post(&self.url).header("content-type", content_type);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization.reveal());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send(body).map_err(|error| failure(&error))?;
        let mut body = Vec::new();
        let reader = response.body_mut().as_reader();
        // What an answer says beside its status is for people; without it the status still holds.
        let _ = reader.take(BODY_BYTES_MAX).read_to_end(&mut body);
        let retry_after = retry_after(response.headers(), SystemTime::now());
        Ok(Answer { status: response.status().as_u16(), retry_after, body })
    }
}

/// Whether a host is this one, by its name or address.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

fn tls(ca_file: Option<&Path>) -> Result<TlsConfig, ClientError> {
    let roots = ca_file.map_or_else(system_roots, roots_of)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCerts::Specific(Arc::new(roots));
    Ok(TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build())
}

fn system_roots() -> Result<Vec<Certificate<'static>>, ClientError> {
    let found = rustls_native_certs::load_native_certs();
    let roots: Vec<_> = found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    if roots.is_empty() { Err(ClientError::NoRoots) } else { Ok(roots) }
}

fn roots_of(path: &Path) -> Result<Vec<Certificate<'static>>, ClientError> {
    let failed = |source| ClientError::Certificates { path: path.to_path_buf(), source };
    let pem = std::fs::read(path).map_err(failed)?;
    let items: Result<Vec<_>, _> = parse_pem(&pem).collect();
    let items = items.map_err(|error| failed(io::Error::other(error)))?;
    let certificate = |item| if let PemItem::Certificate(certificate) = item { Some(certificate) } else { None };
    let roots: Vec<_> = items.into_iter().filter_map(certificate).collect();
    if roots.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "no certificate in it")));
    }
    Ok(roots)
}

/// What an error without an answer means.
fn failure(error: &ureq::Error) -> Failure {
    let reason = match error {
        ureq::Error::Timeout(_) => Reason::Timeout,
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => Reason::Tls,
        ureq::Error::Io(io) if matches!(io.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
            Reason::Timeout
        }
        // rustls tells of bad certificates through the stream.
        ureq::Error::Io(io) if io.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) => {
            Reason::Tls
        }
        ureq::Error::Protocol(_) => Reason::Protocol,
        _ => Reason::Unreachable,
    };
    Failure::passing(reason, error.to_string())
}

/// `Retry-After` in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at: SystemTime = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().into();
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests;
