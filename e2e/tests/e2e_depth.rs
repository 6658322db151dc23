//! What a flow means: its process, its names, its times, and the history of flows that are over. Judged by what the test
//! itself knows: who connected, what was asked, what a capture of the same packets shows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use hivewall_e2e::agent::Agent;
use hivewall_e2e::books::number;
use hivewall_e2e::network::Pair;
use hivewall_e2e::tool::{hivewall, run, tool};
use hivewall_e2e::until;
use hivewall_testkit::netns::Host;
use hivewall_testkit::require_root;
use hivewall_testkit::traffic::{UdpSink, udp_blast};
use serde_json::Value;

/// Connections of the attribution workload, each by a process of its own.
const PROCESSES: usize = 2_000;
/// How many of them run at once.
const AT_ONCE: usize = 4;

/// Accepts connections in a host's namespace, reads one line from each, answers, and gives (client port, line).
fn told_by_clients(host: &Host, address: &str, count: usize) -> std::thread::JoinHandle<Vec<(u16, String)>> {
    let listener = host.enter(|| TcpListener::bind(address)).unwrap().unwrap();
    std::thread::spawn(move || {
        (0..count)
            .map(|_| {
                let (mut stream, peer) = listener.accept().unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                stream.write_all(b"well\n").unwrap();
                (peer.port(), line.trim().to_owned())
            })
            .collect()
    })
}

/// Short-lived processes that connect one after the other, some at once, and say their process id.
fn many_processes(host: &Host, port: u16, count: usize) {
    let each = count / AT_ONCE;
    let one = format!("exec 3<>/dev/tcp/10.0.0.2/{port}; echo $$ >&3; read -u 3 answer");
    let script = format!("for i in $(seq {each}); do bash -c '{one}' || exit 1; done");
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let mut command = host.command("bash");
                command.args(["-c", &script]);
                run(command).fine();
            });
        }
    });
}

/// Closed and living flows to a port, by client port.
fn by_client_port(agent: &Agent, port: u16) -> HashMap<u16, Value> {
    let flows = agent.flows(&["--dst-port", &port.to_string()]);
    flows.into_iter().map(|flow| (number(&flow, "/src_port") as u16, flow)).collect()
}

#[test]
fn short_lived_processes_are_known_on_nearly_all_of_their_flows() {
    require_root!();
    let pair = Pair::new("d-owners");
    let agent = Agent::start(&pair.b, &["--history-directory", "", "--closed-keep", "20000"]);
    let clients = told_by_clients(&pair.b, "10.0.0.2:7000", PROCESSES);
    many_processes(&pair.a, 7000, PROCESSES);
    let truth = clients.join().unwrap();
    let flows = until("all flows", || {
        let flows = by_client_port(&agent, 7000);
        if flows.len() == PROCESSES { Ok(flows) } else { Err(format!("{} flows", flows.len())) }
    });
    let (mut right, mut right_bytes, mut bytes) = (0, 0, 0);
    for (port, pid) in &truth {
        let flow = &flows[port];
        bytes += number(flow, "/bytes");
        if flow["pid"].as_u64() == pid.parse().ok() && flow["process"] == "bash" {
            right += 1;
            right_bytes += number(flow, "/bytes");
        }
    }
    let (share, byte_share) = (right as f64 / PROCESSES as f64, right_bytes as f64 / bytes as f64);
    println!("right: {:.2}% of flows, {:.2}% of bytes", share * 100.0, byte_share * 100.0);
    assert!(share >= 0.98 && byte_share >= 0.99, "{right} of {PROCESSES} flows, {right_bytes} of {bytes} bytes");
}

#[test]
fn test_traffic_shows_names_times_and_its_own_process() {
    require_root!();
    let pair = Pair::new("d-names");
    let agent = Agent::start(&pair.b, &["--loopback", "--history-directory", ""]);
    let words = ["traffic", "--pages", "20", "--lookups", "15", "--scan-ports", "30"];
    let more = ["--flood-packets", "500", "--flood-rate", "500", "--bulk-bytes", "1000000"];
    hivewall(&pair.b, &[&words[..], &more[..]].concat()).fine();
    // The agent is of that name, too, but only the generator both sends and receives much.
    let generator = |snapshot: &Value| {
        let processes = snapshot["processes"].as_array().cloned().unwrap_or_default();
        let much = |row: &Value, way: &str| number(row, way) > 1_000_000;
        let own =
            |row: &Value| row["process"] == "hivewall" && much(row, "/sent_bytes") && much(row, "/received_bytes");
        processes.into_iter().find(own)
    };
    let snapshot = agent.until("names and the transfer", |snapshot| {
        let asked = number(snapshot, "/dns_queries/responses");
        let pages = number(snapshot, "/http_requests/responses");
        let all = asked >= 15 && pages >= 20 && generator(snapshot).is_some();
        if all { Ok(()) } else { Err(format!("{asked} answers, {pages} pages: {}", snapshot["processes"])) }
    });
    // The questions of this test go over the same loopback, so there are more pages than those asked for.
    assert!(number(&snapshot, "/http_requests/requests") >= 20);
    assert_eq!(number(&snapshot, "/dns_queries/queries"), 15);
    assert!(number(&snapshot, "/dns_queries/latency/samples") >= 15);
    let pages = agent.flows(&["--app", "http", "--dst-port", "8080"]);
    let requests = |flow: &Value| flow["http_requests"].as_u64().unwrap_or(0);
    assert_eq!(pages.iter().map(requests).sum::<u64>(), 20);
    for flow in &pages {
        assert!(flow["http_method"] == "GET" && flow["http_status"].is_u64(), "{flow}");
        assert!(flow["handshake_rtt_seconds"].as_f64().unwrap() > 0.0, "{flow}");
        assert!(flow["server_response_seconds"].as_f64().unwrap() > 0.0, "{flow}");
        assert_eq!(flow["process"], "hivewall", "{flow}");
    }
    let once = hivewall(&pair.b, &["top", "--once"]).fine();
    assert!(once.contains("hivewall"), "{once}");
}

/// What a capture of the same packets says: client port → seconds from SYN to the last ACK.
fn tshark_times(host: &Host, capture: &str) -> HashMap<u16, f64> {
    let fields = ["-T", "fields", "-e", "tcp.srcport", "-e", "tcp.analysis.initial_rtt", "-E", "occurrence=f"];
    let wanted =
        "tcp.dstport == 7001 && tcp.flags.syn == 0 && tcp.analysis.initial_rtt && tcp.seq == 1 && tcp.len == 0";
    let text = tool(host, "tshark", &[&["-n", "-r", capture, "-Y", wanted][..], &fields[..]].concat());
    let mut times = HashMap::new();
    for line in text.lines() {
        let (port, time) = line.split_once('\t').unwrap();
        times.entry(port.parse().unwrap()).or_insert_with(|| time.parse().unwrap());
    }
    times
}

#[test]
fn handshake_times_are_those_of_a_capture_taken_beside() {
    require_root!();
    const CONNECTIONS: usize = 60;
    let pair = Pair::new("d-times");
    let agent = Agent::start(&pair.b, &["--history-directory", ""]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("beside.pcap").display().to_string();
    let mut command = pair.b.command("tcpdump");
    command.args(["-i", "eth0", "-U", "-Z", "root", "-w", &path, "tcp", "port", "7001"]);
    let mut capture = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(capture.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening on") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "tcpdump ended");
    }
    let clients = told_by_clients(&pair.b, "10.0.0.2:7001", CONNECTIONS);
    many_processes(&pair.a, 7001, CONNECTIONS);
    clients.join().unwrap();
    let flows = until("all flows with their times", || {
        let flows = by_client_port(&agent, 7001);
        let timed = flows.values().filter(|flow| flow["handshake_rtt_seconds"].is_f64()).count();
        if timed == CONNECTIONS { Ok(flows) } else { Err(format!("{timed} of {} flows", flows.len())) }
    });
    let beside = until("the capture", || {
        let beside = tshark_times(&pair.b, &path);
        if beside.len() == CONNECTIONS { Ok(beside) } else { Err(format!("{} handshakes", beside.len())) }
    });
    capture.kill().unwrap();
    capture.wait().unwrap();
    let apart: Vec<String> = beside
        .iter()
        .filter_map(|(port, theirs)| {
            let ours = flows[port]["handshake_rtt_seconds"].as_f64().unwrap();
            let far = (ours - theirs).abs();
            (far > 50e-6 && far > theirs * 0.1).then(|| format!("port {port}: {ours:.6} s against {theirs:.6} s"))
        })
        .collect();
    // The two taps stand at different places: a packet that is pushed aside between them is late at one only.
    assert!(apart.len() <= CONNECTIONS / 20, "{apart:#?}");
}

#[test]
fn history_outlives_a_killed_agent_without_losing_or_doubling_a_flow() {
    require_root!();
    const FLOWS: u64 = 300;
    let pair = Pair::new("d-history");
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display().to_string();
    let args = ["--history-directory", &place, "--idle-timeout-s", "1", "--closed-keep", "10"];
    let mut agent = Agent::start(&pair.b, &args);
    let to = "10.0.0.2:9100".parse().unwrap();
    let sink = pair.b.enter(|| UdpSink::bind(to)).unwrap().unwrap();
    pair.a.enter(|| udp_blast(to, FLOWS, 100, FLOWS as usize)).unwrap().unwrap();
    sink.finish(FLOWS, Duration::from_secs(20));
    let snapshot = agent.until("all flows in the history", |snapshot| {
        let (living, all) = (number(snapshot, "/flow_counts/active"), number(snapshot, "/flow_counts/total"));
        let kept = number(snapshot, "/history/flows");
        if living == 0 && all > 0 && kept == all { Ok(()) } else { Err(format!("{kept} of {all}, {living} live")) }
    });
    // The kernel gives a port again once its socket is closed, so two senders may have been one flow.
    let flows = number(&snapshot, "/history/flows");
    assert!(flows > FLOWS * 9 / 10, "{flows} flows");
    // What is older than a second is durable.
    let since = Instant::now();
    until("a second to pass", || if since.elapsed() > Duration::from_millis(1_500) { Ok(()) } else { Err("not yet") });
    agent.kill();
    drop(agent);
    let agent = Agent::start(&pair.b, &args);
    let asked = ["flows", "--last", "1h", "--port", "9100", "--limit", "1000", "-o", "jsonl"];
    let text = hivewall(&pair.b, &asked).fine();
    let ports: Vec<u64> = text.lines().map(|line| number(&serde_json::from_str(line).unwrap(), "/src_port")).collect();
    assert_eq!(ports.len() as u64, flows);
    assert_eq!(ports.iter().collect::<HashSet<_>>().len() as u64, flows, "none is there twice");
    let top = agent.get("/api/v1/top?by=service&last=1h").unwrap();
    let top: Value = serde_json::from_str(&top).unwrap();
    assert_eq!((top["rows"][0]["key"].as_str(), number(&top, "/rows/0/flows")), (Some("udp/9100"), flows), "{top}");
    let file = directory.path().join("out.parquet").display().to_string();
    hivewall(&pair.b, &["export", "--last", "1h", "--file", &file]).fine();
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{} bytes", bytes.len());
    let csv = hivewall(&pair.b, &["export", "--last", "1h", "--format", "csv", "--port", "9100"]).fine();
    assert_eq!(csv.lines().count() as u64, flows + 1);
}

#[test]
fn the_kernel_tells_what_it_drops_and_what_sockets_go_through() {
    require_root!();
    let pair = Pair::new("d-drops");
    let agent = Agent::start(&pair.b, &["--history-directory", ""]);
    pair.a.enter(|| udp_blast("10.0.0.2:9".parse().unwrap(), 25, 50, 1)).unwrap().unwrap();
    let clients = told_by_clients(&pair.b, "10.0.0.2:7002", 4);
    many_processes(&pair.a, 7002, 4);
    clients.join().unwrap();
    let snapshot = agent.until("drops and states", |snapshot| {
        let drops = snapshot["kernel_drops"].as_array().unwrap();
        let row = drops.iter().find(|row| row["reason"] == "no_socket" && row["interface"] == "eth0");
        let dropped = row.map_or(0, |row| number(row, "/packets"));
        let established = snapshot["sockets"]["transitions"]["SYN_SENT>ESTABLISHED"].as_u64().unwrap_or(0);
        if dropped >= 25 && established >= 4 {
            Ok(())
        } else {
            Err(format!("{dropped} dropped; {}", snapshot["sockets"]))
        }
    });
    assert_eq!(snapshot["attribution"]["source"], "kernel-events", "{}", snapshot["attribution"]);
    assert!(snapshot["system"]["cpus"].as_u64() >= Some(1) && snapshot["system"]["memory_bytes"].as_u64() > Some(0));
}

#[test]
fn a_log_of_the_agent_is_analyzed() {
    require_root!();
    let pair = Pair::new("d-analyze");
    let agent = Agent::start(&pair.b, &["--history-directory", "", "--idle-timeout-s", "1"]);
    pair.a.enter(|| udp_blast("10.0.0.2:9".parse().unwrap(), 40, 50, 8)).unwrap().unwrap();
    agent.until("the flows to end", |snapshot| {
        let ended = snapshot["flow_counts"]["ended"]["idle_timeout"].as_u64().unwrap_or(0);
        if ended >= 8 { Ok(()) } else { Err(format!("{ended} ended")) }
    });
    until("the log to have them", || {
        let text = std::fs::read_to_string(agent.log()).map_err(|error| error.to_string())?;
        let logged = text.lines().filter(|line| line.contains("idle_timeout")).count();
        if logged >= 8 { Ok(()) } else { Err(format!("{logged} flows")) }
    });
    let log = agent.log().display().to_string();
    let report = agent.log().with_file_name("report.json").display().to_string();
    let text = hivewall(&pair.b, &["analyze", &log, "--export-report", &report]).fine();
    assert!(text.contains("10.0.0.1"), "{text}");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    assert!(report.to_string().contains("10.0.0.1"), "{report}");
}

#[test]
fn what_is_switched_off_is_neither_seen_nor_told() {
    require_root!();
    let pair = Pair::new("d-off");
    let switches = ["--names=false", "--kernel-drops=false", "--log-names=false"];
    let agent = Agent::start(&pair.b, &switches);
    pair.a.enter(|| udp_blast("10.0.0.2:53".parse().unwrap(), 5, 50, 1)).unwrap().unwrap();
    let clients = told_by_clients(&pair.b, "10.0.0.2:7003", AT_ONCE);
    many_processes(&pair.a, 7003, AT_ONCE);
    clients.join().unwrap();
    let snapshot = agent.until("the flows", |snapshot| {
        let flows = number(snapshot, "/flow_counts/total");
        if flows >= 3 { Ok(()) } else { Err(format!("{flows} flows")) }
    });
    assert_eq!((number(&snapshot, "/agent/peeks"), snapshot["kernel_drops"].as_array().map(Vec::len)), (0, Some(0)));
    assert!(agent.flows(&["--dst-port", "7003"]).iter().all(|flow| flow["handshake_rtt_seconds"].is_null()));
}
