//! A real nats-server with JetStream, killed and started again while lines come: each arrives, and once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{LONGEST, Program, close, export_to, free_tcp_port, mixture, name, wait_for};
use serde_json::Value;

fn server(port: u16, directory: &Path) -> Program {
    let mut command = Command::new("nats-server");
    command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]).arg(directory);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let program = Program::start(command);
    wait_for("nats-server", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    program
}

/// The plain protocol, so that the test shares no client with what it tests.
struct Plain {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Plain {
    fn connect(port: u16) -> Self {
        let writer = TcpStream::connect(("127.0.0.1", port)).unwrap();
        writer.set_read_timeout(Some(LONGEST)).unwrap();
        let mut plain = Self { reader: BufReader::new(writer.try_clone().unwrap()), writer };
        plain.writer.write_all(b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB answers 1\r\n").unwrap();
        plain
    }

    /// Asks and waits for the answer's JSON.
    fn ask(&mut self, subject: &str, question: &str) -> Value {
        // In one piece: small ones wait for one another.
        let question = format!("PUB {subject} answers {}\r\n{question}\r\n", question.len());
        self.writer.write_all(question.as_bytes()).unwrap();
        loop {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).unwrap() > 0, "the server closed the connection");
            if line.starts_with("PING") {
                self.writer.write_all(b"PONG\r\n").unwrap();
            }
            if line.starts_with("MSG answers") {
                let mut answer = String::new();
                self.reader.read_line(&mut answer).unwrap();
                let answer: Value = serde_json::from_str(&answer).unwrap();
                assert!(answer.get("error").is_none(), "{answer}");
                return answer;
            }
        }
    }

    fn make_stream(&mut self) {
        let stream = r#"{"name":"wall","subjects":["wall.>"],"storage":"file","duplicate_window":120000000000}"#;
        self.ask("$JS.API.STREAM.CREATE.wall", stream);
    }

    /// Every payload in the stream, and how often it is there.
    fn payloads(&mut self) -> BTreeMap<Vec<u8>, u64> {
        use base64::Engine as _;
        let info = self.ask("$JS.API.STREAM.INFO.wall", "");
        let last = info["state"]["last_seq"].as_u64().unwrap();
        let mut payloads = BTreeMap::new();
        for sequence in 1..=last {
            let answer = self.ask("$JS.API.STREAM.MSG.GET.wall", &format!(r#"{{"seq":{sequence}}}"#));
            let payload = answer["message"]["data"].as_str().unwrap();
            let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
            *payloads.entry(payload).or_default() += 1;
        }
        payloads
    }
}

#[test]
fn every_line_reaches_a_stream_whose_server_is_killed_and_comes_back() {
    let (port, directory) = (free_tcp_port(), tempfile::tempdir().unwrap());
    let (store, state) = (directory.path().join("js"), directory.path().join("state"));
    let mut first = server(port, &store);
    Plain::connect(port).make_stream();
    let exporters = export_to(&format!("nats://127.0.0.1:{port}/wall.events"), &state);
    let line = |number: usize| format!(r#"{{"event_type":"flow","number":{number}}}"#);
    (0..3000).for_each(|number| exporters.line(line(number).as_bytes()));
    wait_for("the first acknowledgements", || exporters.counters()[0].sent >= 256);
    first.kill();
    (3000..4000).for_each(|number| exporters.line(line(number).as_bytes()));
    wait_for("a failure", || exporters.counters()[0].failures > 0);
    let _second = server(port, &store);
    wait_for("all to be acknowledged", || exporters.counters()[0].queued == 0);
    let counters = close(exporters);
    assert_eq!((counters.given, counters.sent, counters.lost_total()), (4000, 4000, 0), "{counters:?}");
    let payloads = Plain::connect(port).payloads();
    assert_eq!(payloads.len(), 4000);
    // Within its window the server knows the ids of what it already has.
    assert!(payloads.values().all(|count| *count == 1), "doubles");
}

#[test]
fn what_was_not_acknowledged_outlives_a_restart() {
    let (port, directory) = (free_tcp_port(), tempfile::tempdir().unwrap());
    let (store, state) = (directory.path().join("js"), directory.path().join("state"));
    let word = format!("nats://127.0.0.1:{port}/wall.flows?what=flows");
    let exporters = export_to(&word, &state);
    exporters.flows(&mixture(100), &name);
    let counters = exporters.close(std::time::Instant::now() + std::time::Duration::from_secs(2)).remove(0);
    assert_eq!((counters.queued, counters.lost_total(), counters.sent), (100, 0, 0), "{counters:?}");
    let _server = server(port, &store);
    // Without a stream the server refuses, and that is no reason to let anything go.
    let exporters = export_to(&word, &state);
    wait_for("a refusal", || {
        exporters.counters()[0].last_error.as_deref().is_some_and(|error| error.contains("stream"))
    });
    assert_eq!(exporters.counters()[0].queued, 100);
    Plain::connect(port).make_stream();
    wait_for("all to be acknowledged", || exporters.counters()[0].queued == 0);
    let counters = close(exporters);
    assert_eq!((counters.given, counters.sent), (100, 100), "{counters:?}");
    let payloads = Plain::connect(port).payloads();
    assert_eq!(payloads.values().sum::<u64>(), 100);
    let row: Value = serde_json::from_slice(payloads.keys().next().unwrap()).unwrap();
    for field in ["host", "source_ip", "dest_ip", "bytes", "packets", "start"] {
        assert!(row.get(field).is_some(), "no {field} in {row}");
    }
}
