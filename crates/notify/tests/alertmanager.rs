//! Debian's Alertmanager, and what its own API says of what we told it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use common::{LIMIT, OK, Web, alert, get, start, until};
use hivewall_notify::Change;
use hivewall_view::alerts::Severity;
use serde_json::Value;

struct Alertmanager {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let stop = Instant::now() + LIMIT;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < stop, "{what}");
        std::thread::yield_now();
    }
}

impl Alertmanager {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.yml");
        fs::write(&config, "route: {receiver: none}\nreceivers: [{name: none}]\n").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", directory.path().display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus-alertmanager is installed by scripts/setup.sh test");
        let started = Self { child, address, _directory: directory };
        wait_for("Alertmanager is ready", || get(address, "/-/ready"));
        started
    }

    /// What is active there.
    fn alerts(&self) -> Vec<Value> {
        let body = get(self.address, "/api/v2/alerts?active=true").unwrap();
        serde_json::from_str(&body).unwrap()
    }
}

fn severities(alerts: &[Value]) -> Vec<&str> {
    alerts.iter().map(|alert| alert["labels"]["severity"].as_str().unwrap()).collect()
}

#[test]
fn alertmanager_has_what_is_active_and_lets_go_of_what_ended() {
    let alertmanager = Alertmanager::start();
    let notifier = start(&[&format!("alertmanager+http://{}", alertmanager.address)], None);
    notifier.tell(&alert("1", Severity::High), Change::Raised);
    let alerts = wait_for("it is there", || Some(alertmanager.alerts()).filter(|alerts| !alerts.is_empty()));
    let (labels, annotations) = (&alerts[0]["labels"], &alerts[0]["annotations"]);
    let expected = [
        ("alertname", "port_scan"),
        ("severity", "high"),
        ("instance", "web1"),
        ("source", "198.51.100.7"),
        ("kind", "scan"),
        ("technique", "T1046"),
        ("alert_id", "1"),
    ];
    for (name, value) in expected {
        assert_eq!(labels[name], value, "{name}");
    }
    assert_eq!(labels.as_object().unwrap().len(), expected.len());
    assert_eq!(annotations["summary"], "HIGH Port scan on web1");
    assert_eq!(annotations["description"], "198.51.100.7 called 120 ports of 10.0.0.5 within 3 s");
    assert_eq!(alerts[0]["startsAt"], "2026-01-02T03:04:05.000Z");

    // Its severity is a label: under the old one it has to end.
    notifier.tell(&alert("1", Severity::Critical), Change::Worsened);
    wait_for("it is worse, and there once", || (severities(&alertmanager.alerts()) == ["critical"]).then_some(()));
    notifier.tell(&alert("2", Severity::Low), Change::Raised);
    wait_for("there are two", || (alertmanager.alerts().len() == 2).then_some(()));
    notifier.tell(&alert("1", Severity::Critical), Change::Ended);
    wait_for("one has ended", || (severities(&alertmanager.alerts()) == ["low"]).then_some(()));
    let counters = until(&notifier, 0, |counters| counters.delivered == 4);
    assert_eq!((counters.taken, counters.active), (4, 1));
}

#[test]
fn what_is_active_is_said_again_until_it_ends() {
    let web = Web::start(&[OK]);
    let notifier = start(&[&format!("alertmanager+http://{}?resend=20ms", web.address)], None);
    notifier.tell(&alert("1", Severity::High), Change::Raised);
    for _ in 0..4 {
        let request = web.next();
        assert_eq!(request.line, "POST /api/v2/alerts HTTP/1.1");
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let ends: jiff::Timestamp = body[0]["endsAt"].as_str().unwrap().parse().unwrap();
        assert!(ends > jiff::Timestamp::now(), "it is active for longer than until the next time");
    }
    notifier.tell(&alert("1", Severity::High), Change::Ended);
    until(&notifier, 0, |counters| counters.delivered == 2 && counters.active == 0);
    let last = std::iter::from_fn(|| (!web.is_quiet()).then_some(())).count();
    assert!(last < 10_000 && notifier.close(LIMIT) == 0);
}

#[test]
fn a_test_alert_is_there_and_marked() {
    let alertmanager = Alertmanager::start();
    let notifier = start(&[&format!("alertmanager+http://{}/?name=am", alertmanager.address)], None);
    let results = notifier.test(Some("am"));
    assert!(results[0].1.is_ok(), "{results:?}");
    let alerts = wait_for("it is there", || Some(alertmanager.alerts()).filter(|alerts| !alerts.is_empty()));
    assert_eq!((&alerts[0]["labels"]["alertname"], &alerts[0]["labels"]["test"]), (&"test".into(), &"true".into()));
}
