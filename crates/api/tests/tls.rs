//! The API over TLS: on a real socket, with a certificate made for it. That it is served beyond loopback is for the
//! end-to-end tests, which have other hosts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use hivewall_api::{Access, PEER_HANDSHAKES_MAX, Tls};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::json;
use support::guarded::PASSWORD;
use support::{Server, TOKEN};
use tempfile::TempDir;

/// A server that speaks TLS, and a client that trusts its certificate.
struct Secured {
    server: Server,
    client: Arc<ClientConfig>,
    _directory: TempDir,
}

impl Secured {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tls = Tls::self_signed(directory.path(), &["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(tls.certificate()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let access = Access::token(TOKEN, "/run/hivewall/token".into()).unwrap();
        let (access, error) = access.keep_in(directory.path());
        assert!(error.is_none());
        Self { server: Server::start_with(access.tls(tls)), client: Arc::new(client), _directory: directory }
    }

    fn ask(&self, request: &str) -> String {
        let connection = ClientConnection::new(Arc::clone(&self.client), ServerName::try_from("localhost").unwrap());
        let mut stream = StreamOwned::new(connection.unwrap(), self.server.connect());
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn post(&self, path: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        let head = "host: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n";
        self.ask(&format!("POST {path} HTTP/1.1\r\n{head}content-length: {length}\r\n{headers}\r\n{body}"))
    }
}

const GET: &str = "GET /api/v1/session HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[test]
fn cookies_are_secure_and_origins_are_https() {
    let secured = Secured::start();
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    let user = json!({ "name": "ada", "role": "admin", "password": PASSWORD }).to_string();
    assert!(secured.post("/api/v1/users", &bearer, &user).starts_with("HTTP/1.1 200 "));
    let login = json!({ "user": "ada", "password": PASSWORD }).to_string();
    let answer =
        secured.post("/api/v1/session", "origin: https://localhost\r\nsec-fetch-site: same-origin\r\n", &login);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"tls\":true"), "{answer}");
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.starts_with(&format!("__Host-hivewall-{}=", secured.server.address.port())), "{cookie}");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200; Secure"), "{cookie}");
    assert!(answer.contains("\r\nstrict-transport-security: max-age="), "{answer}");
    let plain = secured.post("/api/v1/session", "origin: http://localhost\r\n", &login);
    assert!(plain.starts_with("HTTP/1.1 403 ") && plain.contains("cross_origin"), "{plain}");
}

#[test]
fn plain_http_is_told_what_is_spoken_here() {
    let secured = Secured::start();
    let answer = secured.server.raw(GET);
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("tls_only") && answer.contains("https://"),
        "{answer}"
    );
    assert!(secured.ask(GET).starts_with("HTTP/1.1 200 "));
}

#[test]
fn who_does_not_finish_a_handshake_holds_nobody_up_and_has_few_places() {
    let secured = Secured::start();
    let mut silent: Vec<TcpStream> = (0..PEER_HANDSHAKES_MAX - 1).map(|_| secured.server.connect()).collect();
    assert!(secured.ask(GET).starts_with("HTTP/1.1 200 "), "one place is left");
    // The place of the handshake that was done comes back, and so there is one too many.
    silent.extend((0..2).map(|_| secured.server.connect()));
    let closed = silent.last_mut().unwrap().read(&mut [0; 1]);
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    drop(silent);
}
