//! Syslog, journald and commands: sockets and programs of this host.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Instant;

use common::{LIMIT, alert, start, until};
use hivewall_notify::Change;
use hivewall_view::alerts::Severity;
use serde_json::Value;

fn datagram(receive: impl FnOnce(&mut [u8]) -> std::io::Result<usize>) -> Vec<u8> {
    let mut bytes = vec![0; 65_536];
    let length = receive(&mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

/// Everything before the text, for the alert of the tests; daemon (3 × 8) and error (3) are 27.
fn head() -> String {
    format!(
        "<27>1 2026-01-02T03:04:08.123456Z web1 hivewall {} alert [hivewall@32473 id=\"1\" change=\"raised\" \
         detector=\"port_scan\" kind=\"scan\" severity=\"high\" source=\"198.51.100.7\" target=\"10.0.0.5\" \
         technique=\"T1046\"] \u{feff}",
        std::process::id()
    )
}

const TEXT: &str = "HIGH Port scan on web1: 198.51.100.7 called 120 ports of 10.0.0.5 within 3 s";

#[test]
fn syslog_over_udp_is_a_record_of_rfc_5424() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let notifier = start(&[&format!("syslog+udp://{}", socket.local_addr().unwrap())], None);
    notifier.tell(&alert("1", Severity::High), Change::Raised);
    let record = String::from_utf8(datagram(|bytes| socket.recv(bytes))).unwrap();
    assert_eq!(record, head() + TEXT);
}

#[test]
fn values_of_structured_data_are_escaped() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let notifier = start(&[&format!("syslog+udp://{}?facility=local3", socket.local_addr().unwrap())], None);
    let mut evil = alert("1", Severity::Critical);
    evil.source = Some("a\"] [x y=\"\\\n".to_owned());
    notifier.tell(&evil, Change::Raised);
    let record = String::from_utf8(datagram(|bytes| socket.recv(bytes))).unwrap();
    // local3 is 19.
    assert!(record.starts_with("<154>1 "), "{record}");
    assert!(record.contains(r#" source="a\"\] [x y=\"\\ " "#), "{record}");
}

#[test]
fn syslog_over_tcp_counts_octets_and_waits_for_the_other_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let notifier = start(&[&format!("syslog+tcp://{}", listener.local_addr().unwrap())], None);
    notifier.tell(&alert("1", Severity::High), Change::Raised);
    let (mut stream, _) = listener.accept().unwrap();
    let mut bytes = String::new();
    stream.read_to_string(&mut bytes).unwrap();
    let record = head() + TEXT;
    assert_eq!(bytes, format!("{} {record}", record.len()));
    assert_eq!(notifier.counters()[0].delivered, 0, "it is not delivered before the receiver has closed");
    drop(stream);
    until(&notifier, 0, |counters| counters.delivered == 1);
}

#[test]
fn the_local_socket_may_come_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let notifier = start(&[&format!("syslog:{}?retry=1ms", path.display())], None);
    notifier.tell(&alert("1", Severity::High), Change::Raised);
    until(&notifier, 0, |counters| counters.retried.contains_key("unreachable"));
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(String::from_utf8(datagram(|bytes| socket.recv(bytes))).unwrap(), head() + TEXT);
}

/// The fields of one entry, read as systemd's page says.
fn fields(mut entry: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    while !entry.is_empty() {
        let end = entry.iter().position(|byte| *byte == b'\n').unwrap();
        let line = std::str::from_utf8(&entry[..end]).unwrap();
        entry = &entry[end + 1..];
        if let Some((name, value)) = line.split_once('=') {
            fields.push((name.to_owned(), value.to_owned()));
        } else {
            let length = u64::from_le_bytes(entry[..8].try_into().unwrap()) as usize;
            fields.push((line.to_owned(), String::from_utf8(entry[8..8 + length].to_vec()).unwrap()));
            assert_eq!(entry[8 + length], b'\n');
            entry = &entry[9 + length..];
        }
    }
    fields
}

#[test]
fn journald_gets_fields_and_several_lines_in_the_binary_form() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let notifier = start(&[&format!("journald:{}", path.display())], None);
    let mut told = alert("1", Severity::Medium);
    told.targets.push("10.0.0.6".to_owned());
    notifier.tell(&told, Change::Worsened);
    let fields = fields(&datagram(|bytes| socket.recv(bytes)));
    let get = |name: &str| fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    assert_eq!(get("PRIORITY"), Some("4"));
    assert_eq!(get("SYSLOG_IDENTIFIER"), Some("hivewall"));
    assert!(get("MESSAGE").unwrap().starts_with("MEDIUM Port scan on web1 (worse): 198.51.100.7 called"));
    assert_eq!(get("HIVEWALL_TARGETS"), Some("10.0.0.5\n10.0.0.6"));
    assert_eq!(
        (get("HIVEWALL_CHANGE"), get("HIVEWALL_ALERT_ID"), get("HIVEWALL_PORT")),
        (Some("worsened"), Some("1"), None)
    );
}

fn script(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("on-alert");
    // Written by another process: a file that this one had open for writing while a thread forks could not be run.
    let mut child = std::process::Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 700 \"$0\""])
        .arg(&path)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{text}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    path
}

#[test]
fn a_command_gets_json_and_words_and_no_shell_reads_them() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let path = script(
        directory.path(),
        &format!("cat > {0}.json; env | grep HIVEWALL | sort > {0}.env; mv {0}.env {0}", out.display()),
    );
    let notifier = start(&[&format!("command:{}", path.display())], None);
    let mut evil = alert("1", Severity::High);
    evil.source = Some("$(touch /tmp/x); `id`".to_owned());
    notifier.tell(&evil, Change::Raised);
    until(&notifier, 0, |counters| counters.delivered == 1);
    let words = fs::read_to_string(&out).unwrap();
    for word in [
        "HIVEWALL_SOURCE=$(touch /tmp/x); `id`",
        "HIVEWALL_SEVERITY=high",
        "HIVEWALL_CHANGE=raised",
        "HIVEWALL_TEST=false",
    ] {
        assert!(words.lines().any(|line| line == word), "{word} in {words}");
    }
    let body: Value = serde_json::from_slice(&fs::read(out.with_extension("json")).unwrap()).unwrap();
    assert_eq!((&body["alerts"][0]["id"], &body["total"]), (&"1".into(), &1.into()));
}

#[test]
fn a_command_that_does_not_end_is_killed_with_all_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("pids");
    let path = script(directory.path(), &format!("tail -f /dev/null & echo $$ $! > {}; wait", out.display()));
    let notifier = start(&[&format!("command:{}?timeout=2s&retry=1h", path.display())], None);
    notifier.tell(&alert("1", Severity::High), Change::Raised);
    let counters = until(&notifier, 0, |counters| counters.retried.contains_key("command"));
    assert!(counters.last_error.unwrap().1.contains("killed after 2s"));
    let pids = fs::read_to_string(out).unwrap();
    let stop = Instant::now() + LIMIT;
    for pid in pids.split_whitespace() {
        // One whose parent is gone is reaped by the system when it comes to it; until then it is a zombie.
        let lives = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        while lives() {
            assert!(Instant::now() < stop, "{pid} lives on");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_command_that_fails_says_why_and_is_run_again() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("mark");
    let path = script(
        directory.path(),
        &format!("test -e {0} && exit 0; touch {0}; echo the door is shut >&2; exit 3", mark.display()),
    );
    let notifier = start(&[&format!("command:{}?retry=1ms", path.display())], None);
    notifier.tell(&alert("1", Severity::High), Change::Raised);
    let counters = until(&notifier, 0, |counters| counters.delivered == 1);
    assert_eq!(counters.retried.get("command"), Some(&1));
    let error = counters.last_error.unwrap().1;
    assert!(error.contains("exit status: 3") && error.contains("the door is shut"), "{error}");
}

#[test]
fn a_program_that_others_can_change_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = script(directory.path(), "exit 0");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    let error = hivewall_notify::Channel::parse(&format!("command:{}", path.display())).unwrap_err().to_string();
    assert!(error.ends_with("others can change it; `chmod go-w` it"), "{error}");
}
