//! Receivers on loopback, alerts to tell, and certificates. Everything started here ends with its value.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use hivewall_notify::{Channel, ChannelCounters, Notifier};
use hivewall_view::alerts::{Alert, AlertState, Severity, Technique};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// No event takes longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn alert(id: &str, severity: Severity) -> Alert {
    Alert {
        id: id.to_owned(),
        host: "web1".to_owned(),
        detector: "port_scan".to_owned(),
        kind: "scan".to_owned(),
        title: "Port scan".to_owned(),
        severity,
        message: "198.51.100.7 called 120 ports of 10.0.0.5 within 3 s".to_owned(),
        technique: Some(Technique {
            id: "T1046".to_owned(),
            name: "Network Service Discovery".to_owned(),
            tactic: "Discovery".to_owned(),
        }),
        source: Some("198.51.100.7".to_owned()),
        targets: vec!["10.0.0.5".to_owned()],
        target_count: 1,
        first_seen: "2026-01-02T03:04:05Z".to_owned(),
        last_seen: "2026-01-02T03:04:08.123456789Z".to_owned(),
        signs: 1,
        state: AlertState::Active,
        ..Alert::default()
    }
}

pub(crate) fn start(lines: &[&str], state_dir: Option<&Path>) -> Notifier {
    let channels = lines.iter().map(|line| Channel::parse(line).unwrap()).collect();
    Notifier::start(channels, state_dir).unwrap()
}

/// Waits until the counters of one channel are as wanted.
pub(crate) fn until(notifier: &Notifier, channel: usize, wanted: impl Fn(&ChannelCounters) -> bool) -> ChannelCounters {
    let stop = Instant::now() + LIMIT;
    loop {
        let counters = notifier.counters().swap_remove(channel);
        if wanted(&counters) {
            return counters;
        }
        assert!(Instant::now() < stop, "{counters:#?}");
        thread::yield_now();
    }
}

/// A file with a secret, readable by its owner.
pub(crate) fn secret(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// An HTTP server that answers each request with the next of its answers, the last one for ever.
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    requests: Receiver<Request>,
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

impl Web {
    pub(crate) fn start(answers: &[&'static str]) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), answers, None)
    }

    pub(crate) fn with_tls(answers: &[&'static str], config: Arc<ServerConfig>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), answers, Some(config))
    }

    pub(crate) fn on(listener: TcpListener, answers: &[&'static str], tls: Option<Arc<ServerConfig>>) -> Self {
        let address = listener.local_addr().unwrap();
        let (say, requests) = mpsc::channel();
        let mut answers = answers.to_vec();
        // It ends with the process of the test, or when nobody listens any more.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let served = match &tls {
                    None => serve(stream, &mut answers, &say),
                    Some(config) => {
                        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                        serve(StreamOwned::new(connection, stream), &mut answers, &say)
                    }
                };
                if served.is_none() {
                    return;
                }
            }
        });
        Self { address, requests }
    }

    pub(crate) fn next(&self) -> Request {
        self.requests.recv_timeout(LIMIT).expect("a request")
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.requests.try_recv().is_err()
    }
}

/// One connection after the other. None when nobody wants to hear of it any more.
fn serve(stream: impl Read + Write, answers: &mut Vec<&'static str>, say: &Sender<Request>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return Some(());
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok().filter(|read| *read > 0)?;
            match header.trim_end().split_once(": ") {
                Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
                None => break,
            };
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
        say.send(Request { line: line.trim_end().to_owned(), headers, body }).ok()?;
        reader.get_mut().write_all(answer.as_bytes()).ok();
    }
}

/// Asks a server on loopback, and gives the body of its answer.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
}

/// A certificate for localhost: the files of it and of its key.
pub(crate) struct Certificate {
    pub(crate) file: PathBuf,
    pub(crate) key_file: PathBuf,
    pub(crate) config: Arc<ServerConfig>,
}

pub(crate) fn certificate(directory: &Path) -> Certificate {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = |label: &str, der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    };
    let (file, key_file) = (directory.join("certificate.pem"), directory.join("key.pem"));
    fs::write(&file, pem("CERTIFICATE", cert.der())).unwrap();
    fs::write(&key_file, pem("PRIVATE KEY", &signing_key.serialize_der())).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    Certificate { file, key_file, config: Arc::new(config) }
}
