//! Bytes and lines of a connection to a NATS server, plain or TLS, never waiting longer than [`STEP_WITHIN`] for any.
//!
//! What lines mean beyond their kind is not known here. Invariant: a message is read whole, and is no longer than
//! [`MESSAGE_BYTES_MAX`].

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::NatsError;

/// For a connection, and for each read and write on it.
const STEP_WITHIN: Duration = Duration::from_secs(5);

/// A line of the protocol; the server's own limit is 4,096 bytes, its INFO with many addresses aside.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What is read of one message: acknowledgements are short.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// One thing that a server says.
pub(super) enum Said {
    Ping,
    Pong,
    Error(String),
    /// Nobody listens to the subject that something was sent to.
    NoResponders,
    Message {
        subject: String,
        payload: Vec<u8>,
    },
    Other,
}

enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

/// A connection.
pub(super) struct Wire(BufReader<Socket>);

impl Wire {
    /// Looks the name up and connects to the first of its addresses that lets itself be.
    pub(super) fn connect(host: &str, port: u16) -> io::Result<Self> {
        let mut failure = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, STEP_WITHIN) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(STEP_WITHIN))?;
                    stream.set_write_timeout(Some(STEP_WITHIN))?;
                    stream.set_nodelay(true)?;
                    return Ok(Self(BufReader::new(Socket::Plain(stream))));
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Goes on under TLS, with the certificate checked.
    pub(super) fn secured(self, host: &str, ca_file: Option<&Path>) -> Result<Self, NatsError> {
        let Socket::Plain(stream) = self.0.into_inner() else { return Err(NatsError::NoTls) };
        let mut roots = RootCertStore::empty();
        match ca_file {
            Some(path) => {
                let certificates = CertificateDer::pem_file_iter(path).map_err(io::Error::other)?;
                roots.add_parsable_certificates(certificates.filter_map(Result::ok));
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(NatsError::NoRoots);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::new(config), name)?;
        Ok(Self(BufReader::new(Socket::Tls(Box::new(StreamOwned::new(connection, stream))))))
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.0.get_mut() {
            Socket::Plain(stream) => stream.write_all(bytes),
            Socket::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// A line without its end.
    pub(super) fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.0.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server ended the connection"));
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    pub(super) fn next(&mut self) -> Result<Said, NatsError> {
        let line = self.line()?;
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match word.to_ascii_uppercase().as_str() {
            "PING" => Ok(Said::Ping),
            "PONG" => Ok(Said::Pong),
            "-ERR" => Ok(Said::Error(rest.to_owned())),
            // MSG subject sid [reply] bytes; HMSG subject sid [reply] header-bytes bytes.
            "MSG" => self.message(rest, false).map_err(|_| NatsError::Protocol(line)),
            "HMSG" => self.message(rest, true).map_err(|_| NatsError::Protocol(line)),
            _ => Ok(Said::Other),
        }
    }

    fn message(&mut self, rest: &str, has_headers: bool) -> io::Result<Said> {
        let bad = || io::Error::from(ErrorKind::InvalidData);
        let mut words = rest.split_ascii_whitespace();
        let subject = words.next().ok_or_else(bad)?.to_owned();
        let length: usize = words.next_back().and_then(|word| word.parse().ok()).ok_or_else(bad)?;
        let head = if has_headers { words.next_back().and_then(|word| word.parse().ok()).ok_or_else(bad)? } else { 0 };
        if length > MESSAGE_BYTES_MAX || head > length {
            return Err(bad());
        }
        let mut payload = vec![0; length + 2];
        self.0.read_exact(&mut payload)?;
        payload.truncate(length);
        let headers: Vec<u8> = payload.drain(..head).collect();
        // ADR-22: no responders.
        if headers.starts_with(b"NATS/1.0 503") {
            return Ok(Said::NoResponders);
        }
        Ok(Said::Message { subject, payload })
    }
}
