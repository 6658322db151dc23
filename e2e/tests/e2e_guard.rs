//! `hivewall guard` on real interfaces: who arrives, who does not, what is written about it, and that nothing is left.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs::File;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hivewall_e2e::tool::{hivewall, wait};
use hivewall_e2e::{PATIENCE, binary, until};
use hivewall_testkit::netns::{Host, Lab, Offloads};
use hivewall_testkit::require_root;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

const A: &[&str] = &["10.0.0.1/24", "192.0.2.1/24", "fd00::1/64", "2001:db8::1/64"];
const B: &[&str] = &["10.0.0.2/24", "192.0.2.2/24", "fd00::2/64", "2001:db8::2/64"];
const PRIVATE: &str = r#"{"permitted_cidrs": ["10.0.0.0/8", "fd00::/8"]}"#;

/// Two hosts, of which `b` is guarded.
struct Stage {
    _lab: Lab,
    a: Host,
    b: Host,
    directory: TempDir,
}

impl Stage {
    fn new(name: &str) -> Self {
        let lab = Lab::new(name).unwrap();
        let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
        lab.link(&a, "eth0", &b, "eth0").addresses(A, B).offloads(Offloads::NONE).up().unwrap();
        Self { _lab: lab, a, b, directory: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn guard(&self, args: &[&str]) -> Guard {
        let messages = self.path("messages");
        let list = self.path("list.json");
        if !list.exists() {
            std::fs::write(&list, PRIVATE).unwrap();
        }
        let child = self
            .b
            .command(binary::path())
            .args(["guard", "-i", "eth0", "-c"])
            .arg(&list)
            .args(args)
            .stdin(Stdio::null())
            .stdout(File::create(self.path("out")).unwrap())
            .stderr(File::create(&messages).unwrap())
            .spawn()
            .unwrap();
        let mut guard = Guard { child, messages };
        until("the guard to be attached", || {
            assert_eq!(guard.child.try_wait().unwrap(), None, "{}", guard.messages());
            if guard.messages().contains("guarding eth0") { Ok(()) } else { Err(guard.messages()) }
        });
        guard
    }

    /// Sends from a source, then from a permitted one; what arrives tells whether the first did.
    fn arrives(&self, from: &str, to: &str) -> bool {
        let to: SocketAddr = to.parse().unwrap();
        let marker = if to.is_ipv4() { ("10.0.0.1", "10.0.0.2") } else { ("fd00::1", "fd00::2") };
        let any: IpAddr = if to.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
        let socket = self.b.enter(|| UdpSocket::bind((any, to.port())).unwrap()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        self.a
            .enter(|| {
                send(from, to, b"first");
                send(marker.0, SocketAddr::new(marker.1.parse().unwrap(), to.port()), b"other");
            })
            .unwrap();
        let mut text = [0; 5];
        socket.recv_from(&mut text).unwrap();
        if &text == b"other" {
            return false;
        }
        socket.recv_from(&mut text).unwrap();
        true
    }
}

fn send(from: &str, to: SocketAddr, text: &[u8]) {
    let from: IpAddr = from.parse().unwrap();
    UdpSocket::bind((from, 4000)).unwrap().send_to(text, to).unwrap();
}

struct Guard {
    child: Child,
    messages: PathBuf,
}

impl Guard {
    fn messages(&self) -> String {
        std::fs::read_to_string(&self.messages).unwrap_or_default()
    }

    /// Ends it as a service manager does; its messages.
    fn stop(mut self) -> String {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        let status = wait(&mut self.child, PATIENCE).expect("the guard ends");
        assert_eq!(status.code(), Some(0), "{}", self.messages());
        self.messages()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has_program(host: &Host) -> bool {
    host.ip(&["link", "show", "eth0"]).unwrap().contains("xdp")
}

fn events(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn a_permitted_source_arrives_and_another_is_logged_and_dropped() {
    require_root!();
    let stage = Stage::new("g-drop");
    let log = stage.path("log.jsonl");
    let guard = stage.guard(&["--drop-packets", "--log-format", "jsonl", "--log-file", log.to_str().unwrap()]);
    assert!(has_program(&stage.b));
    assert!(stage.arrives("10.0.0.1", "10.0.0.2:9000") && stage.arrives("fd00::1", "[fd00::2]:9000"));
    assert!(!stage.arrives("192.0.2.1", "192.0.2.2:9000") && !stage.arrives("2001:db8::1", "[2001:db8::2]:9000"));
    // At once, long before the interval's end.
    let lines = until("two lines", || {
        let lines = events(&log);
        if lines.len() == 2 { Ok(lines) } else { Err(format!("{lines:?}; {}", guard.messages())) }
    });
    for (line, ends) in lines.iter().zip([["192.0.2.1", "192.0.2.2"], ["2001:db8::1", "2001:db8::2"]]) {
        assert_eq!([&line["src_ip"], &line["dest_ip"]], ends, "{line}");
        assert_eq!(
            (&line["proto"], &line["src_port"], &line["dest_port"]),
            (&"UDP".into(), &4000.into(), &9000.into())
        );
        assert_eq!(
            (&line["flow"]["pkts_toserver"], &line["hivewall"]["end_reason"]),
            (&1.into(), &"refused".into()),
            "{line}"
        );
    }
    let said = guard.stop();
    let report = hivewall(&stage.b, &["analyze", log.to_str().unwrap(), "-o", "json"]).fine();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["refused"]["by_reason"], serde_json::json!({"blocked": 2}), "{report:#}");
    assert!(!has_program(&stage.b));
    assert!(said.contains("2 refused and dropped") && said.contains("Refused most:"), "{said}");
    assert!(said.contains("192.0.2.1") && !said.contains("are in no line"), "{said}");
}

#[test]
fn without_drop_packets_everything_arrives_and_is_logged_in_every_format() {
    require_root!();
    for format in ["console", "json", "csv", "jsonl"] {
        let stage = Stage::new("g-log");
        let log = stage.path("log");
        let guard = stage.guard(&[
            "--log-format",
            format,
            "--log-file",
            log.to_str().unwrap(),
            "--mode",
            "generic",
            "--stats-interval",
            "600",
        ]);
        for _ in 0..3 {
            assert!(stage.arrives("192.0.2.1", "192.0.2.2:9000"));
        }
        assert!(stage.arrives("2001:db8::1", "[2001:db8::2]:53"));
        let said = guard.stop();
        assert!(said.contains("4 refused (they passed)"), "{said}");
        // The first packet of the three, then the other two in one line.
        let report = hivewall(&stage.b, &["analyze", log.to_str().unwrap(), "-o", "json"]).fine();
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["skipped"], serde_json::json!({}), "{format}: {report:#}");
        let total = (&report["total"]["flows"], &report["total"]["packets"]);
        assert_eq!(total, (&3.into(), &4.into()), "{format}: {report:#}");
        let services: Vec<&str> =
            report["services"].as_array().unwrap().iter().filter_map(|row| row["key"].as_str()).collect();
        assert_eq!(services, ["udp/9000", "udp/53"], "{format}");
        let source = &report["sources"][0];
        assert_eq!((&source["key"], &source["packets"]), (&"192.0.2.1".into(), &3.into()), "{format}: {report:#}");
    }
}

#[test]
fn a_list_that_changes_under_traffic_loses_no_permitted_packet() {
    require_root!();
    let stage = Stage::new("g-reload");
    let list = stage.path("list.json");
    let guard = stage.guard(&["--drop-packets", "--log-file", stage.path("log").to_str().unwrap()]);
    let to: SocketAddr = "10.0.0.2:9100".parse().unwrap();
    let socket = stage.b.enter(|| UdpSocket::bind(to).unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let stop = AtomicBool::new(false);
    let mut reloads = 0;
    let (sent, received) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            stage
                .a
                .enter(|| {
                    let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
                    let mut sent = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        socket.send_to(&sent.to_be_bytes(), to).unwrap();
                        sent += 1;
                        std::thread::park_timeout(Duration::from_micros(200));
                    }
                    sent
                })
                .unwrap()
        });
        let receiver = scope.spawn(|| {
            let (mut received, mut bytes) = (0_u64, [0; 8]);
            loop {
                match socket.recv_from(&mut bytes) {
                    Ok(_) => received += 1,
                    // Nothing for half a second after the last was sent: nothing is on its way.
                    Err(_) if stop.load(Ordering::Relaxed) => return received,
                    Err(_) => {}
                }
            }
        });
        for turn in 0..6 {
            let text = format!(r#"{{"permitted_cidrs": ["10.0.0.0/8", "fd00::/8", "198.51.100.{turn}"]}}"#);
            if turn % 2 == 0 {
                std::fs::write(&list, text).unwrap();
            } else {
                std::fs::write(stage.path("new"), text).unwrap();
                std::fs::rename(stage.path("new"), &list).unwrap();
            }
            reloads += 1;
            until("the list to be read again", || {
                let read = guard.messages().matches("the list was read again").count();
                if read == reloads { Ok(()) } else { Err(guard.messages()) }
            });
        }
        stop.store(true, Ordering::Relaxed);
        (sender.join().unwrap(), receiver.join().unwrap())
    });
    assert!(sent > 500, "{sent}");
    assert_eq!(received, sent);
}

#[test]
fn a_new_list_holds_and_a_broken_one_does_not() {
    require_root!();
    let stage = Stage::new("g-broken");
    let list = stage.path("list.json");
    let guard = stage.guard(&["--drop-packets", "--log-file", stage.path("log").to_str().unwrap()]);
    assert!(!stage.arrives("192.0.2.1", "192.0.2.2:9000"));
    std::fs::write(&list, r#"{"permitted_cidrs": ["10.0.0.0/8", "192.0.2.0/24"]}"#).unwrap();
    until("the new list", || {
        if guard.messages().contains("2 permitted networks hold now") { Ok(()) } else { Err("not yet") }
    });
    assert!(stage.arrives("192.0.2.1", "192.0.2.2:9000"));
    std::fs::write(&list, r#"{"permitted_cidrs": ["10.0.0.0/8", "192.0.2.1/24"]}"#).unwrap();
    until(
        "the refusal",
        || if guard.messages().contains("did you mean 192.0.2.0/24?") { Ok(()) } else { Err("not yet") },
    );
    assert!(guard.messages().contains("the list before goes on to hold"));
    assert!(stage.arrives("192.0.2.1", "192.0.2.2:9000"));
    std::fs::write(&list, PRIVATE).unwrap();
    until("the first list", || {
        if guard.messages().matches("the list was read again").count() == 2 { Ok(()) } else { Err("not yet") }
    });
    assert!(!stage.arrives("192.0.2.1", "192.0.2.2:9000"));
}

#[test]
fn neighbours_find_one_another_and_nothing_is_left_after_a_kill() {
    require_root!();
    let lab = Lab::new("g-nd").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    lab.link(&a, "eth0", &b, "eth0")
        .addresses(&["10.0.0.1/24", "fd00::1/64"], &["10.0.0.2/24", "fd00::2/64"])
        .resolve_neighbours()
        .up()
        .unwrap();
    let stage = Stage { _lab: lab, a, b, directory: TempDir::new().unwrap() };
    std::fs::write(stage.path("list.json"), r#"{"permitted_cidrs": ["198.51.100.0/24"]}"#).unwrap();
    let mut guard = stage.guard(&["--drop-packets", "--log-file", stage.path("log").to_str().unwrap()]);
    // Nobody is permitted, and yet the neighbours' hardware addresses become known.
    for (to, family) in [("10.0.0.2:9", "-4"), ("[fd00::2]:9", "-6")] {
        let to: SocketAddr = to.parse().unwrap();
        let from = if to.is_ipv4() { "10.0.0.1" } else { "fd00::1" };
        stage.a.enter(|| send(from, to, b"x")).unwrap();
        until("the neighbour", || {
            let table = stage.a.ip(&[family, "neigh", "show", &to.ip().to_string()]).unwrap();
            if table.contains("lladdr") { Ok(()) } else { Err(table) }
        });
    }
    guard.child.kill().unwrap();
    guard.child.wait().unwrap();
    until("the program to be gone", || if has_program(&stage.b) { Err("still there") } else { Ok(()) });
}

#[test]
fn what_cannot_work_is_said_before_anything_is_attached() {
    require_root!();
    let stage = Stage::new("g-bad");
    let list = stage.path("list.json");
    let path = list.to_str().unwrap();
    let run = |args: &[&str]| hivewall(&stage.b, &[&["guard"], args].concat());
    run(&["-i", "eth0", "-c", path]).refused(2, &["cannot be read", "default.json"]);
    std::fs::write(&list, "{}").unwrap();
    run(&["-i", "eth0", "-c", path]).refused(2, &["permitted_cidrs"]);
    std::fs::write(&list, PRIVATE).unwrap();
    run(&["-i", "wlan9", "-c", path]).refused(4, &["no interface wlan9", "eth0"]);
    let first = stage.guard(&["--log-file", stage.path("log").to_str().unwrap()]);
    run(&["-i", "eth0", "-c", path]).refused(1, &["another program (hivewall_guard, id"]);
    drop(first);
}
