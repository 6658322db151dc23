//! What lies in `deploy` works as it lies there: Debian's Prometheus scrapes a real agent by the configuration of
//! `deploy/prometheus`, and every query of every dashboard and rule is asked of it. What Grafana draws is not looked at.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hivewall_e2e::fleet::Fleet;
use hivewall_e2e::talk::{connect, echo, says};
use hivewall_e2e::tool::{hivewall, run};
use hivewall_e2e::{PATIENCE, pause, until};
use hivewall_testkit::netns::Host;
use hivewall_testkit::require_root;
use serde_json::Value;
use tempfile::TempDir;

/// Where Prometheus answers, in the namespace of the host that it scrapes.
const PROMETHEUS: &str = "http://127.0.0.1:9090";
/// Longest wait until all that can be there is there: an epoch of the fleet takes ten seconds.
const DATA_MAX: Duration = Duration::from_secs(60);

/// Metrics that a healthy host of this test may lack, and why. All of them are in the reference of metrics.
const MAY_LACK: &[(&str, &str)] = &[
    ("hivewall_alert_signs_total", "nothing was found yet"),
    ("hivewall_alerts_active", "nothing was found yet"),
    ("hivewall_alerts_total", "nothing was found yet"),
    ("hivewall_security_alerts", "nothing was found yet"),
    ("hivewall_alert_captures_lost_total", "nothing was left out"),
    ("hivewall_responses_total", "nobody is to be answered"),
    ("hivewall_delivery_total", "no channel is set up"),
    ("hivewall_delivery_queue_items", "no channel is set up"),
    ("hivewall_flow_export_records_total", "no collector is set up"),
    ("hivewall_flow_export_lost_total", "no collector is set up"),
    ("hivewall_firewall_drift_total", "the policy is in no packet filter"),
    ("hivewall_host_conntrack_entries", "a namespace without packet filters tracks no connections"),
    ("hivewall_host_conntrack_limit", "a namespace without packet filters tracks no connections"),
    ("hivewall_invalid_packets_total", "nobody sends any"),
    ("hivewall_kernel_drops_total", "on a kernel that does not tell"),
    ("hivewall_kernel_seconds_per_packet", "the kernel does not count it unless asked"),
    ("hivewall_policy_confirmation_seconds", "no change waits"),
    ("hivewall_policy_expiry_timestamp_seconds", "the policy says no end"),
    ("hivewall_policy_failures", "nothing is wrong"),
];

/// Accepts all but one port, so that rules have something to count.
const POLICY: &str = "tiers:
- name: main
  default: {in: accept, out: accept}
  rules:
  - {id: closed, dir: in, proto: tcp, dport: 9999, action: drop}
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files of a directory of the repository whose names end so.
fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(root().join(directory)).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = all.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
    found.sort();
    assert!(!found.is_empty(), "{directory} has no {ending}");
    found
}

#[track_caller]
fn tool(program: &str, args: &[&str], more: &[PathBuf]) -> String {
    let mut command = Command::new(program);
    command.args(args).args(more).current_dir(root());
    run(command).fine()
}

#[test]
fn the_configurations_please_the_programs_that_read_them() {
    let said = tool("promtool", &["check", "config", "deploy/prometheus/prometheus.yml"], &[]);
    assert!(said.contains("rule files found"), "{said}");
    tool("amtool", &["check-config", "deploy/alertmanager/alertmanager.yml"], &[]);
}

#[test]
fn every_rule_gives_what_its_test_says_and_every_alert_has_two_tests() {
    tool("promtool", &["test", "rules"], &files("deploy/prometheus/tests", ".yml"));
    let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    let rules: String = files("deploy/prometheus/rules", ".yml").iter().map(read).collect();
    let tests: String = files("deploy/prometheus/tests", ".yml").iter().map(read).collect();
    let after = |text: &str, key: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.trim().strip_prefix(key)).map(|rest| rest.trim().to_owned()).collect()
    };
    let alerts = after(&rules, "- alert:");
    assert!(alerts.len() > 30, "{alerts:?}");
    for alert in alerts {
        for end in ["fires", "is quiet"] {
            let name = format!("{alert} {end}");
            assert_eq!(after(&tests, "- name:").iter().filter(|test| **test == name).count(), 1, "{name}");
        }
    }
    for record in after(&rules, "- record:") {
        assert!(after(&tests, "- expr:").iter().any(|expr| expr.contains(&record)), "{record} has no test");
    }
}

/// Prometheus in a host's namespace; it ends with its value.
struct Prometheus {
    child: Child,
    host: Host,
    directory: TempDir,
}

impl Prometheus {
    /// Starts it with the configuration of `deploy/prometheus`, hurried: once a second.
    fn start(host: &Host) -> Self {
        let directory = TempDir::new().unwrap();
        let at = directory.path();
        let copied = Command::new("cp").arg("-r").arg(root().join("deploy/prometheus/.")).arg(at).status().unwrap();
        assert!(copied.success());
        let config = text("deploy/prometheus/prometheus.yml");
        let hurried = config.replace("_interval: 15s", "_interval: 1s").replace("_timeout: 10s", "_timeout: 1s");
        assert_ne!(hurried, config);
        std::fs::write(at.join("prometheus.yml"), hurried).unwrap();
        let target = "- targets: [\"127.0.0.1:7733\"]\n  labels: {host: h1}\n";
        std::fs::write(at.join("targets/local.yml"), target).unwrap();
        let mut command = host.command("prometheus");
        command.arg(format!("--config.file={}", at.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", at.join("data").display()));
        command.arg("--web.listen-address=127.0.0.1:9090");
        let messages = File::create(at.join("messages")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(messages);
        let child = command.spawn().expect("prometheus (Debian: prometheus) can be started");
        let mut prometheus = Self { child, host: host.clone(), directory };
        until("Prometheus", || {
            if let Ok(Some(status)) = prometheus.child.try_wait() {
                panic!("Prometheus ended with {status}: {}", prometheus.messages());
            }
            prometheus
                .ask("/api/v1/status/runtimeinfo", &[])
                .map_err(|error| format!("{error}; {}", prometheus.messages()))
        });
        prometheus
    }

    fn messages(&self) -> String {
        let mut said = String::new();
        let file = File::open(self.directory.path().join("messages"));
        file.and_then(|mut file| file.read_to_string(&mut said)).map_or_else(|error| error.to_string(), |_| said)
    }

    /// What it says to a question, under `data`.
    fn ask(&self, path: &str, form: &[(&str, &str)]) -> Result<Value, String> {
        let ask = || {
            let config =
                ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
            let (agent, url) = (ureq::Agent::from(config), format!("{PROMETHEUS}{path}"));
            let asked =
                if form.is_empty() { agent.get(url).call() } else { agent.post(url).send_form(form.iter().copied()) };
            asked.and_then(|mut answer| answer.body_mut().read_to_string()).map_err(|error| error.to_string())
        };
        let body = self.host.enter(ask).map_err(|error| error.to_string())??;
        let mut answer: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(format!("{}", answer["error"])) }
    }

    /// How many series a query gives; the error when it is wrong.
    fn series(&self, query: &str) -> Result<usize, String> {
        let data = self.ask("/api/v1/query", &[("query", query)])?;
        Ok(data["result"].as_array().map_or(0, Vec::len))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Fails when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A query, and where it stands.
struct Query {
    place: String,
    expr: String,
}

/// What Grafana would put in the place of its variables.
fn filled(expr: &str) -> String {
    let values = [("$__rate_interval", "15s"), ("$__range", "1m"), ("$instance", ".*"), ("$device", ".*")];
    let expr = values.iter().fold(expr.to_owned(), |expr, (name, value)| expr.replace(name, value));
    // What is no variable (`$1` of a regular expression) Grafana leaves as it is.
    let is_name = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || "_{".contains(c));
    assert!(!expr.split('$').skip(1).any(is_name), "a variable that this test does not know: {expr}");
    expr
}

/// The queries of a dashboard: those of its panels and those of its variables.
fn of_dashboard(path: &Path) -> Vec<Query> {
    let board: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let name = path.file_stem().unwrap().to_str().unwrap();
    let mut all = Vec::new();
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let place = format!("{name}: {}", panel["title"].as_str().unwrap());
            all.push(Query { place, expr: filled(target["expr"].as_str().unwrap()) });
        }
    }
    for variable in board["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["query"]["query"].as_str() else { continue };
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).expect("label_values");
        let (series, label) = inner.rsplit_once(", ").unwrap();
        let place = format!("{name}: variable {}", variable["name"]);
        all.push(Query { place, expr: format!("count by ({label}) ({})", filled(series)) });
    }
    assert!(all.len() > 10, "{name} has {} queries", all.len());
    all
}

/// Names of series that an expression asks for.
fn named(expr: &str) -> BTreeSet<&str> {
    let words = expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| word.contains("hivewall_") || word.starts_with("process_")).collect()
}

/// The queries of the rules that Prometheus has read: of a recording rule its own, of an alert each series that it looks
/// at, because the alert itself is silent while all is well.
fn of_rules(prometheus: &Prometheus) -> Vec<Query> {
    let rules = until("the rules to be worked out", || {
        let data = prometheus.ask("/api/v1/rules", &[])?;
        let groups = data["groups"].as_array().cloned().unwrap_or_default();
        let rules: Vec<Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
        let waiting = rules.iter().find(|rule| rule["health"] == "unknown").map(|rule| rule["name"].to_string());
        waiting.map_or(Ok(rules), Err)
    });
    assert!(rules.len() > 40, "{} rules", rules.len());
    let mut all = Vec::new();
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
        let (name, expr) = (rule["name"].as_str().unwrap(), rule["query"].as_str().unwrap());
        let query = |expr: &str| Query { place: format!("rule {name}"), expr: expr.to_owned() };
        if rule["type"] == "recording" {
            all.push(query(expr));
        } else {
            all.extend(named(expr).into_iter().map(query));
        }
    }
    all
}

/// Whether a query may give nothing on a healthy host.
fn is_excused(expr: &str) -> bool {
    named(expr).iter().any(|name| MAY_LACK.iter().any(|(lacking, _)| name == lacking))
}

#[test]
fn what_may_be_lacking_is_in_the_reference_of_metrics() {
    let reference = text("docs/reference/metrics.md");
    for (name, why) in MAY_LACK {
        assert!(reference.contains(&format!("| `{name}` |")), "{name} ({why}) is no metric");
    }
}

/// Two hosts of a fleet under a policy. The first watches loopback as well, keeps history, and counts a subnet.
fn governed(history: &Path) -> Fleet {
    let mut fleet = Fleet::new("dash", 2, |_| "");
    let history = history.display().to_string();
    fleet.members[0].start_with(&["--loopback", "--history-directory", &history, "--subnet", "10.0.0.0/24"]);
    fleet.members[0].does(&["cluster", "init", "--cluster-name", "dash"]);
    fleet.members[0].until_in_fleet(1);
    let line = fleet.invite(1);
    fleet.members[1].start();
    fleet.members[1].does(&["cluster", "join", &line]);
    fleet.members.iter().for_each(|member| member.until_in_fleet(2));
    fleet.apply(1, POLICY).fine();
    fleet
}

/// A round of what a host sees: pages, look-ups, a scan and a transfer on it; a conversation from elsewhere, one that the
/// policy refuses, and one that the host opens itself.
fn busy(fleet: &Fleet) {
    let [first, second] = [&fleet.members[0].host, &fleet.members[1].host];
    let words = ["traffic", "--pages", "20", "--lookups", "10", "--scan-ports", "50", "--flood-packets", "200"];
    hivewall(first, &[&words[..], &["--flood-rate", "500", "--bulk-bytes", "2000000", "--seconds", "10"]].concat())
        .fine();
    for (from, to) in [(second, "10.0.0.1:7000"), (first, "10.0.0.2:7000")] {
        says(&mut connect(from, to).unwrap(), b"echo").unwrap();
    }
    assert!(connect(second, "10.0.0.1:9999").is_err(), "the policy closes that port");
}

#[test]
fn every_query_of_dashboards_and_rules_gives_data_on_a_healthy_host() {
    require_root!();
    let history = TempDir::new().unwrap();
    let fleet = governed(history.path());
    fleet.members.iter().for_each(|member| echo(&member.host, 7000));
    let prometheus = Prometheus::start(&fleet.members[0].host);
    let mut waiting: Vec<Query> =
        files("deploy/grafana/dashboards", ".json").iter().flat_map(|path| of_dashboard(path)).collect();
    waiting.extend(of_rules(&prometheus));
    let (start, all) = (Instant::now(), waiting.len());
    loop {
        busy(&fleet);
        // What gave data once is done; a wrong query is wrong at once, whoever may lack data.
        waiting.retain(|query| match prometheus.series(&query.expr) {
            Ok(series) => series == 0 && !is_excused(&query.expr),
            Err(error) => panic!("{}: {error}: {}", query.place, query.expr),
        });
        if waiting.is_empty() {
            break;
        }
        let left: Vec<String> = waiting.iter().map(|query| format!("{}: {}", query.place, query.expr)).collect();
        assert!(start.elapsed() < DATA_MAX, "{} of {all} queries give nothing:\n{}", left.len(), left.join("\n"));
        pause(Duration::from_secs(1));
    }
    let host = prometheus.series("up{job=\"hivewall\",instance=\"h1\"} == 1");
    assert_eq!(host, Ok(1), "an instance is called by its host's name");
}
