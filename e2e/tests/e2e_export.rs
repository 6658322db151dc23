//! What leaves a running agent for those who collect: flows to nfcapd, whose sums are ours; metrics and alerts to a collector
//! of OpenTelemetry.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use hivewall_e2e::agent::Agent;
use hivewall_e2e::network::Pair;
use hivewall_e2e::talk::{connect, echo, says};
use hivewall_e2e::tool::tool;
use hivewall_e2e::until;
use hivewall_testkit::netns::Host;
use hivewall_testkit::require_root;

/// UDP ports that somebody listens on in a namespace.
fn listens(host: &Host, port: u16) -> bool {
    let table = tool(host, "cat", &["/proc/self/net/udp"]);
    table
        .lines()
        .any(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&format!(":{port:04X}"))))
}

#[test]
fn nfdump_has_the_same_sums_as_the_agents_own_log() {
    require_root!();
    let pair = Pair::new("nfdump");
    echo(&pair.a, 7000);
    let directory = tempfile::tempdir().unwrap();
    let mut collector = pair
        .a
        .command("nfcapd")
        .args(["-p", "2055", "-t", "3600", "-b", "127.0.0.1", "-w"])
        .arg(directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("nfcapd", || if listens(&pair.a, 2055) { Ok(()) } else { Err("it does not listen yet") });
    let agent = Agent::start(&pair.a, &["--interface", "eth0", "--export-to", "netflow9://127.0.0.1:2055"]);
    for number in 0..40 {
        let to = if number % 2 == 0 { "10.0.0.1:7000" } else { "[fd00::1]:7000" };
        let mut stream = connect(&pair.b, to).unwrap();
        (0..=number).for_each(|_| says(&mut stream, b"some").unwrap());
    }
    let left = agent.stop();
    let (mut packets, mut bytes) = (0, 0);
    for flow in left.flows() {
        let of = |name: &str| flow["flow"][name].as_u64().unwrap();
        packets += of("pkts_toserver") + of("pkts_toclient");
        let ip = |name: &str| flow["hivewall"][name].as_u64().unwrap();
        bytes += ip("ip_bytes_toserver") + ip("ip_bytes_toclient");
    }
    // The agent has sent everything before it ended; the collector has it once its socket is empty.
    until("nfcapd to have read all", || {
        let table = tool(&pair.a, "cat", &["/proc/self/net/udp"]);
        let queued = table.lines().find(|line| line.contains(":0807 ")).and_then(|line| line.split_whitespace().nth(4));
        if queued == Some("00000000:00000000") { Ok(()) } else { Err(format!("{queued:?}")) }
    });
    tool(&pair.a, "pkill", &["-TERM", "-f", &format!("nfcapd.*{}", directory.path().display())]);
    collector.wait().unwrap();
    let said = Command::new("nfdump").arg("-R").arg(directory.path()).arg("-I").output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let sums: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once(": ")).map(|(key, value)| (key, value.trim())).collect();
    assert!(packets > 300, "{packets}");
    let told = (sums["Packets"].to_owned(), sums["Bytes"].to_owned(), sums["Sequence failures"].to_owned());
    assert_eq!(told, (packets.to_string(), bytes.to_string(), "0".to_owned()), "{text}");
}

/// A collector that takes everything; the request lines it got.
fn collector(host: &Host, port: u16) -> Arc<Mutex<Vec<String>>> {
    let listener = host.enter(|| TcpListener::bind(("127.0.0.1", port))).unwrap().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&seen);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || {
                let (mut bytes, mut piece) = (Vec::new(), vec![0; 65_536]);
                loop {
                    let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
                    let head = text.find("\r\n\r\n").map(|at| at + 4);
                    let length =
                        text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                    if let (Some(head), Some(length)) = (head, length)
                        && bytes.len() >= head + length
                    {
                        lines.lock().unwrap().push(text.lines().next().unwrap_or_default().to_owned());
                        bytes.drain(..head + length);
                        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                            return;
                        }
                        continue;
                    }
                    match stream.read(&mut piece) {
                        Ok(count @ 1..) => bytes.extend_from_slice(&piece[..count]),
                        _ => return,
                    }
                }
            });
        }
    });
    seen
}

#[test]
fn metrics_and_alerts_are_pushed_to_a_collector() {
    require_root!();
    let pair = Pair::new("otlp");
    let seen = collector(&pair.a, 4318);
    let flags = ["--interface", "eth0", "--otlp-endpoint", "http://127.0.0.1:4318", "--otlp-interval-s", "1"];
    let agent = Agent::start(&pair.a, &flags);
    let has = |path: &str| {
        let lines = seen.lock().unwrap();
        if lines.iter().any(|line| line.contains(path)) { Ok(()) } else { Err(format!("{lines:?}")) }
    };
    until("metrics", || has("post /v1/metrics"));
    let quick = ["-sS", "-Pn", "-n", "-T4", "--max-retries", "0", "--min-rate", "500", "-p", "1-200", "10.0.0.1"];
    tool(&pair.b, "nmap", &quick);
    until("the alert", || has("post /v1/logs"));
    drop(agent);
}
