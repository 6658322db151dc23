//! All surfaces say the same: snapshot, flows in four formats and by filter, `top --once`, the terminal view, metrics
//! and the live stream.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use hivewall_e2e::agent::Agent;
use hivewall_e2e::books::{Account, losses, number};
use hivewall_e2e::network::Pair;
use hivewall_e2e::tool::{hivewall, run, tool};
use hivewall_e2e::{binary, until};
use hivewall_testkit::netns::Host;
use hivewall_testkit::require_root;
use hivewall_testkit::traffic::{TcpSink, UdpSink, tcp_bulk, udp_blast};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

/// An agent at `b` that has seen: UDP to 9000 (300 packets) and to 9001 (200, IPv6), TCP to 9002 (100 kB).
fn busy(name: &str, args: &[&str]) -> (Pair, Agent) {
    let pair = Pair::new(name);
    let agent = Agent::start(&pair.b, args);
    let before = pair.b.counters("eth0").unwrap();
    for (to, packets) in [("10.0.0.2:9000", 300), ("[fd00::2]:9001", 200)] {
        let to = to.parse().unwrap();
        let sink = pair.b.enter(|| UdpSink::bind(to)).unwrap().unwrap();
        pair.a.enter(|| udp_blast(to, packets, 100, 1)).unwrap().unwrap();
        assert_eq!(sink.finish(packets, SOON).packets, packets);
    }
    let to = "10.0.0.2:9002".parse().unwrap();
    let sink = pair.b.enter(|| TcpSink::bind(&[to], 1)).unwrap().unwrap();
    pair.a.enter(|| tcp_bulk(to, 100_000)).unwrap().unwrap();
    assert_eq!(sink.finish(1, SOON).bytes, 100_000);
    let kernel = pair.b.counters("eth0").unwrap() - before;
    agent.until("all traffic", |snapshot| {
        let seen = Account::of(snapshot, "eth0").flows.sum().packets;
        let all = kernel.rx_packets + kernel.tx_packets;
        if seen == all { Ok(()) } else { Err(format!("{seen} of {all}")) }
    });
    (pair, agent)
}

#[track_caller]
fn ports(host: &Host, filters: &[&str]) -> Vec<u64> {
    let text = hivewall(host, &[&["flows", "-o", "jsonl", "--sort", "bytes"], filters].concat()).fine();
    let flows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    flows.map(|flow| number(&flow, "/dest_port")).collect()
}

#[test]
fn filters_choose_and_negate() {
    require_root!();
    let (pair, _agent) = busy("s-filter", &[]);
    for (filters, wanted) in [
        (&[][..], &[9002, 9000, 9001][..]),
        (&["--proto", "udp"], &[9000, 9001]),
        (&["--proto", "tcp"], &[9002]),
        (&["--not", "--proto", "udp"], &[9002]),
        (&["--port", "9000", "--port", "9002"], &[9002, 9000]),
        (&["--port", "9000", "--proto", "tcp"], &[]),
        (&["--proto", "udp", "--not", "--port", "9001"], &[9000]),
        (&["--ip", "fd00::/64"], &[9001]),
        (&["--src-ip", "10.0.0.1", "--not", "--proto", "tcp"], &[9000]),
        (&["--filter", "proto:udp !port:9000"], &[9001]),
        (&["--last", "5m"], &[9002, 9000, 9001]),
        (&["--interface", "eth9"], &[]),
        (&["--limit", "1"], &[9002]),
    ] {
        assert_eq!(ports(&pair.b, filters), wanted, "{filters:?}");
    }
}

#[test]
fn four_formats_say_the_same() {
    require_root!();
    let (pair, agent) = busy("s-format", &[]);
    let ask = |format: &str| hivewall(&pair.b, &["flows", "--sort", "bytes", "-o", format]).fine();
    let json: Vec<Value> = serde_json::from_str(&ask("json")).unwrap();
    let jsonl: Vec<Value> = ask("jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let counts = |flows: &[Value]| -> Vec<(u64, u64)> {
        flows.iter().map(|flow| (number(flow, "/packets"), number(flow, "/bytes"))).collect()
    };
    assert_eq!(counts(&json), counts(&jsonl));
    assert_eq!(counts(&json)[1..], [(300, 300 * 128), (200, 200 * 148)]);
    let csv = ask("csv");
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let column = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let (packets, bytes) = (column("packets"), column("bytes"));
    let rows: Vec<(u64, u64)> = lines.map(|row| (row[packets].parse().unwrap(), row[bytes].parse().unwrap())).collect();
    assert_eq!(rows, counts(&json));
    let table = ask("table");
    assert_eq!(table.lines().count(), 4, "{table}");
    for part in ["10.0.0.1", "10.0.0.2", "fd00::2", "9000", "9001", "9002"] {
        assert!(table.contains(part), "{part} is missing:\n{table}");
    }
    // What is said at the start is for people: not each file of the page.
    assert!(!agent.messages().contains("serving /"), "{}", agent.messages());
    let snapshot = agent.snapshot();
    assert_eq!(counts(snapshot["flows"].as_array().unwrap()), counts(&json));
    assert_eq!(losses(&snapshot), []);
    assert_eq!(number(&snapshot, "/protocols/udp/packets"), 500);
    assert!(number(&snapshot, "/ip_traffic_distribution/10.0.0.1/sent_packets") > 300);
    assert_eq!(number(&snapshot, "/ip_traffic_distribution/fd00::2/received_packets"), 200);
    assert_eq!(number(&snapshot, "/flow_counts/total"), 3);
}

#[test]
fn the_overview_as_text_names_flows_and_interfaces() {
    require_root!();
    let (pair, _agent) = busy("s-once", &[]);
    let text = hivewall(&pair.b, &["top", "--once"]).fine();
    for part in ["eth0", "udp", "tcp", "10.0.0.1", "9002"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn metrics_please_promtool_and_agree_with_the_interface() {
    require_root!();
    let (pair, agent) = busy("s-prom", &[]);
    let metrics = agent.get("/metrics").unwrap();
    let mut promtool = std::process::Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().expect("promtool (Debian: prometheus) is installed");
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert_eq!((output.status.code(), said), (Some(0), [String::new(), String::new()]));
    let eth0 = metrics.lines().filter(|line| line.contains("\"eth0\"") && line.contains("packets_total{"));
    let udp: u64 = eth0
        .filter(|line| line.contains("\"udp\""))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
        .sum();
    assert_eq!(udp, 500, "{metrics}");
    let _ = pair;
}

#[test]
fn every_page_of_the_api_answers() {
    require_root!();
    let (_pair, agent) = busy("s-api", &[]);
    let health: Value = serde_json::from_str(&agent.get("/api/v1/health").unwrap()).unwrap();
    assert!(health.is_object(), "{health}");
    let flows: Value = serde_json::from_str(&agent.get("/api/v1/flows?proto=udp").unwrap()).unwrap();
    assert_eq!((flows["flows"].as_array().unwrap().len(), number(&flows, "/matched")), (2, 2));
    let error = agent.get("/api/v1/flows?port=x").unwrap_err();
    assert!(error.starts_with("400"), "{error}");
    assert!(agent.get("/api/v1/nothing").unwrap_err().starts_with("404"));
}

/// A child that is killed when its test is over.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        // Fails when it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn flows_are_followed_as_they_close() {
    require_root!();
    let (pair, _agent) = busy("s-follow", &["--closed-linger-s", "0"]);
    let mut command = pair.b.command(binary::path());
    command.args(["flows", "--follow", "-o", "jsonl", "--port", "9100-9200"]).stdout(Stdio::piped());
    let mut child = Child(command.spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let (send, received) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        while let Some(Ok(line)) = lines.next() {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    // The listener may take a moment to be one; whatever closes after that has to be told.
    let mut port = 9100;
    let line = until("a flow that closed", || {
        port += 1;
        let to = ([10, 0, 0, 2], port).into();
        let sink = pair.b.enter(|| TcpSink::bind(&[to], 1)).unwrap().unwrap();
        pair.a.enter(|| tcp_bulk(to, 10)).unwrap().unwrap();
        sink.finish(1, SOON);
        received.recv_timeout(Duration::from_secs(3))
    });
    let flow: Value = serde_json::from_str(&line).unwrap();
    assert!((9101..=9200).contains(&number(&flow, "/dest_port")), "{flow:#}");
    assert_eq!((flow["state"].as_str(), flow["end_reason"].as_str()), (Some("closed"), Some("finished")));
    drop(child);
    reader.join().unwrap();
}

/// A terminal in a host's namespace: tmux with a server of its own.
struct Terminal<'a> {
    host: &'a Host,
    directory: tempfile::TempDir,
}

impl Terminal<'_> {
    fn tmux(&self, args: &[&str]) -> String {
        let socket = self.directory.path().join("tmux").display().to_string();
        tool(self.host, "tmux", &[&["-S", &socket, "-f", "/dev/null"], args].concat())
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    #[track_caller]
    fn until(&self, parts: &[&str]) {
        until("the screen", || {
            let screen = self.screen();
            if parts.iter().all(|part| screen.contains(part)) { Ok(()) } else { Err(screen) }
        });
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let mut command = self.host.command("tmux");
        command.arg("-S").arg(self.directory.path().join("tmux")).arg("kill-server");
        run(command);
    }
}

#[test]
fn the_terminal_view_shows_the_flows_and_ends_at_a_key() {
    require_root!();
    let (pair, _agent) = busy("s-top", &[]);
    let terminal = Terminal { host: &pair.b, directory: tempfile::TempDir::new().unwrap() };
    let program = binary::path().to_str().unwrap();
    // The shell tells how the view ended: tmux itself does not always learn it. `cat` keeps the screen there.
    let command = format!("TERM=tmux-256color {program} top; echo the view ended with $?; cat");
    terminal.tmux(&["new-session", "-d", "-x", "160", "-y", "40", "sh", "-c", &command]);
    terminal.until(&["10.0.0.1", "eth0", "tcp", "udp"]);
    terminal.tmux(&["send-keys", "2"]);
    terminal.until(&["9000", "9001", "9002"]);
    // A filter leaves what fits.
    terminal.tmux(&["send-keys", "/", "proto:udp", "Enter"]);
    until("the filter to leave UDP alone", || {
        let screen = terminal.screen();
        if screen.contains("9001") && !screen.contains("9002") { Ok(()) } else { Err(screen) }
    });
    terminal.tmux(&["send-keys", "q"]);
    terminal.until(&["the view ended with 0"]);
}
