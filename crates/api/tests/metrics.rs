//! The list of metrics held against Prometheus's conventions and against what is served.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use hivewall_api::{METRICS, MetricKind, metrics_reference};
use hivewall_view::policy::PolicyFailure;
use hivewall_view::{
    AddressTraffic, DropRow, HalfOpenTarget, ProcessTraffic, ProtocolTraffic, ServiceTraffic, Snapshot, TopTalker,
};
use support::Server;

#[test]
fn names_follow_the_conventions_and_are_unique() {
    let mut seen = BTreeSet::new();
    for metric in METRICS {
        let name = metric.name;
        assert!(seen.insert(name), "{name} is there twice");
        assert!(name.starts_with("hivewall_") || name.starts_with("process_"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind == MetricKind::Counter, "{name}");
        assert!(metric.help.ends_with('.'), "{name}: {}", metric.help);
        let base = name.trim_end_matches("_total");
        for unit in ["bytes", "seconds"] {
            let says = base.ends_with(unit) || base.ends_with("bytes_per_second");
            assert!(metric.unit != unit || says, "{name} is in {unit} and does not say so");
        }
        for banned in ["bits", "milliseconds", "percent", "kilobytes"] {
            assert!(!name.contains(banned), "{name}");
        }
    }
}

#[test]
fn addresses_are_a_label_only_where_they_are_few() {
    for metric in METRICS {
        for label in metric.labels {
            let known = [
                "device",
                "protocol",
                "direction",
                "action",
                "channel",
                "detector",
                "outcome",
                "severity",
                "target",
                "reason",
                "state",
                "source",
                "version",
                "code",
                "process",
                "application",
                "type",
                "rcode",
                "method",
                "family",
                "from",
                "to",
                "kind",
                "mode",
                "minutes",
                "mountpoint",
                "name",
                "backend",
                "rule",
                "cause",
                "table",
                "what",
                "owner",
                "service",
                "prefix",
            ];
            let few = ["hivewall_top_talker_", "hivewall_peer_", "hivewall_half_open_target_"];
            let bounded = *label == "address" && few.iter().any(|name| metric.name.starts_with(name));
            assert!(known.contains(label) || bounded, "{}: {label}", metric.name);
        }
    }
}

/// Metric → its type, help and the sets of label names of its samples, as served.
fn served() -> BTreeMap<String, (String, String, BTreeSet<String>)> {
    let server = Server::start();
    // Of what is wrong there is a sample only when something is.
    server.fake.change(|snapshot| {
        let detail = "bans on eth0 are dropped later than at the driver: busy".to_owned();
        let failure = PolicyFailure { kind: "no_front".to_owned(), subject: Some("eth0".to_owned()), detail };
        snapshot.firewall_rules.failures.push(failure);
    });
    // Requests are counted once they are answered: the second scrape shows the first.
    server.get("/metrics");
    let answer = server.get("/api/v1/metrics");
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4");
    let mut found: BTreeMap<String, (String, String, BTreeSet<String>)> = BTreeMap::new();
    for line in answer.body.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            help.clone_into(&mut found.entry(name.to_owned()).or_default().1);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            kind.clone_into(&mut found.entry(name.to_owned()).or_default().0);
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let of_summary = ["_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
            let name = of_summary.filter(|name| found.contains_key(*name)).unwrap_or(name);
            let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
            let names = labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name);
            let mut names: Vec<&str> = names.filter(|name| *name != "quantile").collect();
            names.sort_unstable();
            found.get_mut(name).unwrap().2.insert(names.join(","));
        }
    }
    found
}

#[test]
fn what_the_network_can_name_without_bound_is_cut_and_nothing_is_left_uncounted() {
    let server = Server::start();
    server.fake.change(|snapshot| {
        snapshot.dns_queries.types = (1000..1200).map(|number| (format!("TYPE{number}"), 2)).collect();
        snapshot.dns_queries.types.insert("A".to_owned(), 7);
        snapshot.http_requests.methods = (0..90).map(|number| (format!("M{number}"), 1)).collect();
        snapshot.http_requests.statuses = [("204", 3), ("299", 1), ("404", 5), ("999", 2), ("20", 1)]
            .map(|(status, count)| (status.to_owned(), count))
            .into();
        let process = snapshot.processes[0].clone();
        snapshot.processes = (1..40)
            .map(|pid| {
                let mut process = process.clone();
                (process.pid, process.process) = (pid, format!("p{}", pid / 2));
                (process.sent_bytes, process.sent_bits_per_second) = (u64::from(pid) * 1000, 8.0);
                process
            })
            .collect();
        let drop = snapshot.kernel_drops[0].clone();
        snapshot.kernel_drops = (0..300)
            .map(|number| {
                let mut drop = drop.clone();
                (drop.reason, drop.packets) = (format!("r{number}"), 1);
                drop
            })
            .collect();
    });
    let text = server.get("/metrics").body;
    let samples = |name: &str| samples(&text, name);
    let sum = |samples: &[(String, f64)]| samples.iter().map(|(_, value)| value).sum::<f64>();
    let types = samples("hivewall_dns_queries_total");
    assert_eq!(types, [("type=\"A\"".to_owned(), 7.0), ("type=\"other\"".to_owned(), 400.0)]);
    let methods = samples("hivewall_http_requests_total");
    assert_eq!((methods.len(), sum(&methods)), (51, 90.0));
    let classes: Vec<f64> = samples("hivewall_http_responses_total").into_iter().map(|(_, count)| count).collect();
    assert_eq!(classes, [0.0, 4.0, 0.0, 5.0, 0.0, 3.0], "1xx to 5xx, other");
    let processes = samples("hivewall_process_transmit_bytes_per_second");
    assert_eq!((processes.len(), sum(&processes)), (11, 39.0));
    assert_eq!(processes[0], ("process=\"p19\"".to_owned(), 2.0), "two processes of one name");
    let drops = samples("hivewall_kernel_drops_total");
    assert_eq!((drops.len(), sum(&drops)), (201, 300.0));
}

/// Samples of one metric: its labels as they are written, and the value.
fn samples(text: &str, name: &str) -> Vec<(String, f64)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} "));
    lines.map(|(labels, value)| (labels.to_owned(), value.parse().unwrap())).collect()
}

/// Fills every table that strangers can fill, with `count` rows each (ports and processes with as many as there can be).
fn flooded(snapshot: &mut Snapshot, count: u32) {
    let address = |number: u32| std::net::Ipv4Addr::from(number).to_string();
    let traffic = AddressTraffic { sent_bytes: 100, received_bytes: 50, sent_packets: 2, received_packets: 1 };
    let all: BTreeMap<String, AddressTraffic> = (0..count).map(|number| (address(number), traffic.clone())).collect();
    snapshot.outbound_traffic = all.clone();
    snapshot.subnet_traffic = all.iter().take(1_000).map(|(key, value)| (key.clone(), value.clone())).collect();
    snapshot.ip_traffic_distribution = all;
    let (talker, peer) = (snapshot.top_talkers[0].clone(), snapshot.latency.values().next().unwrap().clone());
    snapshot.top_talkers = (0..count).map(|at| TopTalker { address: address(at), ..talker.clone() }).collect();
    snapshot.jitter = (0..count).map(|at| (address(at), 0.001)).collect();
    snapshot.latency = (0..count).map(|at| (address(at), peer.clone())).collect();
    let target = |at| HalfOpenTarget { target: format!("{}:80", address(at)), half_open: 1 };
    snapshot.half_open_targets = (0..count).map(target).collect();
    let service = snapshot.services[0].clone();
    let ports = 1..=u16::try_from(count).unwrap_or(u16::MAX);
    snapshot.services = ports.map(|port| ServiceTraffic { port, ..service.clone() }).collect();
    let process = snapshot.processes[0].clone();
    let name = |pid| ProcessTraffic { pid, process: format!("p{pid}"), ..process.clone() };
    snapshot.processes = (1..=count.min(100_000)).map(name).collect();
    let drop = snapshot.kernel_drops[0].clone();
    let reason = |at| DropRow { reason: format!("r{at}"), last_source: Some(address(at)), ..drop.clone() };
    snapshot.kernel_drops = (0..count.min(10_000)).map(reason).collect();
    snapshot.dns_queries.types = (0..count.min(65_536)).map(|at| (format!("T{at}"), 1)).collect();
    snapshot.dns_queries.rcodes = (0..count.min(4_096)).map(|at| (format!("R{at}"), 1)).collect();
    snapshot.http_requests.methods = (0..count).map(|at| (format!("M{at}"), 1)).collect();
    snapshot.tls_handshakes.versions = (0..count.min(65_536)).map(|at| (format!("V{at}"), 1)).collect();
}

#[test]
fn a_million_sources_grow_no_set_of_labels() {
    // Named limits of the modules that make the samples, `other` among them where there is one.
    let limits = [
        ("hivewall_top_talker_sent_bytes_per_second", 11),
        ("hivewall_peer_rtt_seconds", 10),
        ("hivewall_peer_jitter_seconds", 10),
        ("hivewall_half_open_target_flows", 10),
        ("hivewall_service_bytes", 11),
        ("hivewall_process_flows_active", 11),
        ("hivewall_subnet_sent_bytes_total", 101),
        ("hivewall_outbound_bytes_total", 2),
        ("hivewall_rtt_seconds", 4),
        ("hivewall_kernel_drops_total", 201),
        ("hivewall_dns_queries_total", 51),
        ("hivewall_dns_responses_total", 51),
        ("hivewall_http_requests_total", 51),
        ("hivewall_tls_handshakes_total", 51),
    ];
    let server = Server::start();
    let lines = [2_000, 1_000_000].map(|count| {
        server.fake.change(|snapshot| flooded(snapshot, count));
        let text = server.get("/metrics").body;
        for (name, limit) in limits {
            assert_eq!(samples(&text, name).len(), limit, "{name} with {count} sources");
        }
        // Nothing is left out of a sum because it has no row of its own.
        let outbound = samples(&text, "hivewall_outbound_bytes_total");
        assert_eq!(outbound[0], ("direction=\"ingress\"".to_owned(), 100.0 * f64::from(count)));
        // The API's own answers are counted by status code, of which there is one; the first scrape cannot show it yet.
        text.lines().filter(|line| !line.contains("hivewall_api_requests_total")).count()
    });
    assert_eq!(lines[0], lines[1]);
}

#[test]
fn what_the_busiest_do_not_move_is_other() {
    let server = Server::start();
    server.fake.change(|snapshot| {
        let of = |bits: f64| ProtocolTraffic { bits_per_second: bits, ..ProtocolTraffic::default() };
        snapshot.protocols = [("tcp".to_owned(), of(16_000.0)), ("udp".to_owned(), of(8_000.0))].into();
    });
    let text = server.get("/metrics").body;
    let sent = samples(&text, "hivewall_top_talker_sent_bytes_per_second");
    // Ten talkers of 200 bytes a second each.
    assert_eq!(sent.last().unwrap(), &("address=\"other\"".to_owned(), 1_000.0), "{sent:?}");
    server.fake.change(|snapshot| snapshot.protocols.clear());
    let text = server.get("/metrics").body;
    let sent = samples(&text, "hivewall_top_talker_sent_bytes_per_second");
    assert_eq!(sent.last().unwrap(), &("address=\"other\"".to_owned(), 0.0), "never less than nothing");
}

#[test]
fn a_counter_does_not_fall_when_the_engine_takes_back() {
    let server = Server::start();
    let set = |bytes| {
        server.fake.change(|snapshot| snapshot.applications.get_mut("tls").unwrap().bytes = bytes);
        samples(&server.get("/metrics").body, "hivewall_application_bytes_total")[0].1
    };
    let told = [9_000, 8_500, 8_900, 9_001].map(set);
    assert_eq!(told.map(|count| count as u64), [9_000, 9_000, 9_000, 9_001]);
}

#[test]
fn the_health_document_and_its_metric_say_the_same() {
    let server = Server::start();
    let kinds = || samples(&server.get("/metrics").body, "hivewall_health_reasons");
    let count = |kinds: &[(String, f64)], kind: &str| {
        let label = format!("kind=\"{kind}\"");
        kinds.iter().find(|(labels, _)| *labels == label).map(|(_, count)| *count)
    };
    let calm = kinds();
    assert_eq!((calm.len(), count(&calm, "capture_fallback")), (4, Some(0.0)), "{calm:?}");
    server.fake.change(|snapshot| snapshot.capture.fallback_reason = Some("no eBPF here".to_owned()));
    let reasons = server.get("/api/v1/health").json()["reasons"].as_array().unwrap().len();
    let kinds = kinds();
    assert_eq!(count(&kinds, "capture_fallback"), Some(1.0));
    assert_eq!(kinds.iter().map(|(_, count)| *count as usize).sum::<usize>(), reasons);
}

#[test]
fn what_is_served_is_what_the_list_says() {
    let served = served();
    let listed: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(served.keys().map(String::as_str).collect::<BTreeSet<_>>(), listed);
    for metric in METRICS {
        let (kind, help, labels) = &served[metric.name];
        assert_eq!((kind.as_str(), help.as_str()), (metric.kind.name(), metric.help), "{}", metric.name);
        let mut want = metric.labels.to_vec();
        want.sort_unstable();
        assert_eq!(*labels, BTreeSet::from([want.join(",")]), "{}", metric.name);
    }
}

#[test]
fn the_reference_page_has_one_row_for_each_metric() {
    let page = metrics_reference();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    assert_eq!(rows.count(), METRICS.len());
    for metric in METRICS {
        assert!(page.contains(&format!("| `{}` | {} |", metric.name, metric.kind.name())), "{}", metric.name);
    }
}

#[test]
#[ignore = "needs promtool (Debian package prometheus): run by the layer that has it, with --ignored"]
fn promtool_finds_nothing_to_say() {
    let server = Server::start();
    server.get("/metrics");
    let text = server.get("/metrics").body;
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = promtool.expect("promtool has to be installed for this test");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

/// Asks for a form by name.
fn accepting(server: &Server, accept: &str) -> (String, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().build().into();
    let mut answer = agent.get(format!("http://{}/metrics", server.address)).header("accept", accept).call().unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (kind, answer.body_mut().read_to_string().unwrap())
}

#[test]
fn who_asks_for_openmetrics_gets_the_same_numbers_and_the_id_of_an_alert() {
    let server = Server::start();
    let plain = server.get("/metrics");
    let (kind, open) = accepting(&server, "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3");
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.ends_with("\n# EOF\n") && open.matches("# EOF").count() == 1);
    assert!(open.contains("# TYPE hivewall_alerts counter\n"), "a counter's family has no ending");
    let exemplars: Vec<&str> = open.lines().filter(|line| line.contains(" # {")).collect();
    let alerts: Vec<&&str> = exemplars.iter().filter(|line| line.starts_with("hivewall_alerts_total{")).collect();
    assert!(alerts.len() == 1 && alerts[0].contains("3 # {alert_id=\"00c0ffee1234\"} 1 "), "{exemplars:?}");
    assert!(exemplars.iter().any(|line| line.starts_with("hivewall_responses_total{")), "{exemplars:?}");
    assert!(!plain.body.contains(" # {") && plain.header("content-type") == "text/plain; version=0.0.4");
    // What counts requests to the server itself goes on meanwhile.
    let numbers = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.contains("hivewall_api_"));
        let lines = lines.map(|line| line.split(" # ").next().unwrap());
        lines
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(name, value)| format!("{name} {}", value.parse::<f64>().unwrap()))
            .collect()
    };
    let (one, other) = (numbers(&plain.body), numbers(&open));
    let different: Vec<_> = one.symmetric_difference(&other).collect();
    assert!(one.len() > 100 && different.is_empty(), "{different:?}");
}
