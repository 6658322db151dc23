//! The list of metrics held against Prometheus's conventions and against what is served.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use hivewall_api::{METRICS, MetricKind, metrics_reference};
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
fn addresses_are_a_label_of_the_top_talkers_only() {
    for metric in METRICS {
        for label in metric.labels {
            let known = ["device", "protocol", "direction", "reason", "state", "source", "version", "code"];
            let talker = *label == "address" && metric.name.starts_with("hivewall_top_talker_");
            assert!(known.contains(label) || talker, "{}: {label}", metric.name);
        }
    }
}

/// Metric → its type, help and the sets of label names of its samples, as served.
fn served() -> BTreeMap<String, (String, String, BTreeSet<String>)> {
    let server = Server::start();
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
            let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
            let names = labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name);
            let mut names: Vec<&str> = names.collect();
            names.sort_unstable();
            found.get_mut(name).unwrap().2.insert(names.join(","));
        }
    }
    found
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
