//! The list of metrics held against Prometheus's conventions and against what is served.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use hivewall_api::{METRICS, MetricKind, metrics_reference};
use hivewall_view::policy::PolicyFailure;
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
    let samples = |name: &str| -> Vec<(String, f64)> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} "));
        lines.map(|(labels, value)| (labels.to_owned(), value.parse().unwrap())).collect()
    };
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
