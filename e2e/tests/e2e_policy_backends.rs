//! The same policy in nftables and in iptables: obeyed, kept after a kill, put back where somebody flushed it, gone back
//! from without a confirmation, and taken out without a trace.
//!
//! Packets are captured by AF_PACKET here: what enforces does not depend on what captures. What passes is judged by peers
//! in other namespaces.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use hivewall_e2e::agent::Agent;
use hivewall_e2e::network::Pair;
use hivewall_e2e::talk::{NOTHING, WEB_ONLY, connect, document, echo, says};
use hivewall_e2e::tool::{Said, run, tool};
use hivewall_e2e::{binary, until};
use hivewall_testkit::require_root;
use tempfile::TempDir;

const BACKENDS: [&str; 2] = ["nftables", "iptables"];

/// A host under a policy, and its state, which outlives agents.
struct Governed {
    pair: Pair,
    backend: &'static str,
    directory: TempDir,
}

impl Governed {
    fn new(name: &str, backend: &'static str) -> Self {
        let pair = Pair::new(&format!("{name}{}", &backend[..1]));
        for port in [8080, 8081] {
            echo(&pair.b, port);
        }
        echo(&pair.a, 9000);
        Self { pair, backend, directory: TempDir::new().unwrap() }
    }

    fn start(&self) -> Agent {
        let state = self.path("state");
        let args = ["--interface", "eth0", "--backend", "af-packet", "--policy-backend", self.backend];
        Agent::start(&self.pair.b, &[&args[..], &["--policy-state", &state, "--policy-pins", ""]].concat())
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Writes a document and gives its path.
    fn document(&self, version: u32, body: &str) -> String {
        document(self.directory.path(), version, body)
    }

    /// `hivewall` on the governed host, with its state and without an agent's token.
    fn hivewall(&self, args: &[&str]) -> Said {
        let mut command = self.pair.b.command(binary::path());
        command.args(args).env("HIVEWALL_POLICY_STATE", self.path("state"));
        command.env("HIVEWALL_POLICY_PINS", self.path("pins"));
        run(command)
    }

    fn is_open(&self, port: u16) -> bool {
        connect(&self.pair.a, &format!("10.0.0.2:{port}")).is_ok()
    }

    #[track_caller]
    fn check_web_only(&self, moment: &str) {
        let backend = self.backend;
        for address in ["10.0.0.2:8080", "[fd00::2]:8080"] {
            let stream = connect(&self.pair.a, address);
            let mut stream = stream.unwrap_or_else(|error| panic!("{backend}, {moment}: {address}: {error}"));
            says(&mut stream, b"echo").unwrap();
        }
        for address in ["10.0.0.2:8081", "[fd00::2]:8081"] {
            assert!(connect(&self.pair.a, address).is_err(), "{backend}, {moment}: {address} is closed by the policy");
        }
        // What this host opens itself is answered.
        let mut out = connect(&self.pair.b, "10.0.0.1:9000").unwrap();
        says(&mut out, b"mine").unwrap();
    }

    /// Everything that both packet filters hold.
    fn rules(&self) -> String {
        let list = |name: &str, args: &[&str]| tool(&self.pair.b, name, args);
        [list("nft", &["list", "ruleset"]), list("iptables-save", &[]), list("ip6tables-save", &[])].concat()
    }

    #[track_caller]
    fn until_closed(&self, port: u16) {
        until("a closed port", || if self.is_open(port) { Err("it is open") } else { Ok(()) });
    }
}

/// What the agent says an operator should know.
fn problems(snapshot: &serde_json::Value) -> String {
    snapshot["firewall_rules"]["problems"].to_string()
}

/// The change and its repair are in the log, in the metrics and on `policy show`; a host that was repaired is healthy.
#[track_caller]
fn check_drift_is_told(agent: &Agent, backend: &str) {
    let what = if backend == "nftables" { "table-gone" } else { "chain-flushed" };
    until("drift and repair in the log", || {
        let text = std::fs::read_to_string(agent.log()).unwrap();
        let events = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let told: Vec<_> = events
            .filter(|event| event["event_type"].as_str().is_some_and(|kind| kind.starts_with("firewall_")))
            .collect();
        let drift = told.iter().any(|event| {
            let about = &event["hivewall"];
            // Who it was is told only where the kernel names one process and no other.
            event["event_type"] == "firewall_drift" && about["what"] == what && about["ours"] == true
        });
        let repaired = |event: &serde_json::Value| {
            event["event_type"] == "firewall_repair" && event["hivewall"]["what"] == "repaired"
        };
        if drift && told.iter().any(repaired) { Ok(()) } else { Err(format!("{backend}: {told:?}")) }
    });
    let metrics = agent.get("/metrics").unwrap();
    let counted = format!("hivewall_firewall_drift_total{{what=\"{what}\",owner=\"ours\"}} 1");
    assert!(metrics.contains(&counted), "{counted} is not in {metrics}");
    assert!(metrics.contains("hivewall_firewall_repairs_total 1"), "{metrics}");
    let shown = agent.tell(&["policy", "show"]).fine();
    assert!(shown.contains("(ours): "), "{shown}");
    let health = agent.get("/api/v1/health").unwrap();
    assert!(!health.contains("\"policy\""), "{health}");
}

#[test]
fn a_policy_in_a_packet_filter_is_obeyed_repaired_kept_and_taken_out() {
    require_root!();
    for backend in BACKENDS {
        let governed = Governed::new("pb-obey", backend);
        let mut agent = governed.start();
        let mut before = connect(&governed.pair.a, "10.0.0.2:8081").unwrap();
        says(&mut before, b"open").unwrap();
        let said = agent.tell(&["policy", "apply", &governed.document(1, WEB_ONLY)]).fine();
        assert!(said.contains("test version 1 is in force"), "{said}");
        governed.check_web_only("applied");
        says(&mut before, b"live").unwrap();
        let shown = agent.until("the rules' counters", |snapshot| {
            let rules = snapshot["firewall_rules"]["rules"].as_array().cloned().unwrap_or_default();
            let hits = |id: &str| rules.iter().find(|rule| rule["id"] == id).and_then(|rule| rule["packets"].as_u64());
            let (web, dropped) = (hits("web").unwrap_or(0), hits("main:default-in").unwrap_or(0));
            if web >= 6 && dropped >= 2 { Ok(()) } else { Err(format!("{web} {dropped}: {rules:?}")) }
        });
        assert_eq!(shown["firewall_rules"]["backend"], backend);

        // Somebody takes our rules away.
        match backend {
            "nftables" => tool(&governed.pair.b, "nft", &["delete", "table", "inet", "hivewall"]),
            _ => tool(&governed.pair.b, "iptables", &["-t", "mangle", "-F", "PREROUTING"]),
        };
        agent.until("the repair to be told", |snapshot| {
            let told = problems(snapshot);
            if told.contains("were put back (once") { Ok(()) } else { Err(told) }
        });
        governed.check_web_only("repaired");
        check_drift_is_told(&agent, backend);

        agent.tell(&["policy", "ban", "10.0.0.1", "--reason", "test"]).fine();
        assert!(!governed.is_open(8080), "{backend}: a ban holds at once");
        agent.kill();
        assert!(!governed.is_open(8080), "{backend}: and without an agent");
        let agent = governed.start();
        assert!(!governed.is_open(8080), "{backend}: and with the next one");
        agent.tell(&["policy", "unban", "10.0.0.1"]).fine();
        governed.check_web_only("started again");
        let left = agent.stop();
        assert_eq!(left.code, Some(0), "{}", left.messages);
        governed.check_web_only("stopped");

        let agent = governed.start();
        let said = governed.hivewall(&["uninstall"]).fine();
        assert!(said.contains("removed the"), "{said}");
        assert!(governed.is_open(8081), "{backend}: open after {said}");
        agent.until("the agent to notice", |snapshot| {
            let told = problems(snapshot);
            if told.contains("hivewall uninstall") { Ok(()) } else { Err(told) }
        });
        let rules = governed.rules().to_lowercase();
        assert!(!rules.contains("hivewall"), "{backend}: {rules}");
    }
}

#[test]
fn a_change_that_nobody_confirms_is_gone_back_from_although_the_agent_is_dead() {
    require_root!();
    for backend in BACKENDS {
        let governed = Governed::new("pb-back", backend);
        let mut agent = governed.start();
        let nothing = governed.document(1, NOTHING);
        agent.tell(&["policy", "apply", &nothing, "--confirm", "4s"]).fine();
        agent.kill();
        assert!(!governed.is_open(8080), "{backend}: it is in force");
        until("the first policy to be taken back", || connect(&governed.pair.a, "10.0.0.2:8081").map(drop));

        let mut agent = governed.start();
        let web = governed.document(2, WEB_ONLY);
        agent.tell(&["policy", "apply", &web, "--confirm", "60s"]).fine();
        agent.tell(&["policy", "confirm"]).fine();
        let fallback = governed.directory.path().join("state/fallback.json");
        assert!(!fallback.exists(), "what is confirmed is not gone back from");
        let nothing = governed.document(3, NOTHING);
        agent.tell(&["policy", "apply", &nothing, "--confirm", "4s"]).fine();
        assert!(fallback.exists());
        agent.kill();
        assert!(!governed.is_open(8080), "{backend}: it is in force");
        until("the change to be taken back", || connect(&governed.pair.a, "10.0.0.2:8080").map(drop));
        governed.check_web_only("gone back");
        let agent = governed.start();
        governed.check_web_only("started again");
        assert_eq!(agent.snapshot()["firewall_rules"]["version"], 2);
    }
}

#[test]
fn a_living_agent_goes_back_as_well_and_observing_drops_nothing() {
    require_root!();
    for backend in BACKENDS {
        let governed = Governed::new("pb-live", backend);
        let agent = governed.start();
        let observe = governed.document(1, &format!("mode: observe\n{WEB_ONLY}"));
        agent.tell(&["policy", "apply", &observe]).fine();
        assert!(governed.is_open(8081), "{backend}: observed");
        agent.tell(&["policy", "apply", &governed.document(2, NOTHING), "--confirm", "3s"]).fine();
        governed.until_closed(8080);
        until("the change to be taken back", || connect(&governed.pair.a, "10.0.0.2:8081").map(drop));
        agent.until("the policy before", |snapshot| {
            let policy = &snapshot["firewall_rules"];
            let is_back = policy["version"] == 1 && policy["state"] == "active";
            if is_back { Ok(()) } else { Err(policy.to_string()) }
        });
    }
}

#[test]
fn explaining_names_the_foreign_rule_that_drops_what_we_accept() {
    require_root!();
    let governed = Governed::new("pb-why", "nftables");
    let agent = governed.start();
    let web = governed.document(1, WEB_ONLY);
    agent.tell(&["policy", "apply", &web]).fine();
    let packet = ["--from", "10.0.0.1", "--to", "10.0.0.2", "--dport", "8080", "--interface", "eth0"];
    let explain = |policy: &[&str]| governed.hivewall(&[&["policy", "explain"], policy, &packet].concat()).fine();
    let said = explain(&[&web, "--live"]);
    assert!(said.contains("accepted by us; no packet filter drops it"), "{said}");
    let table = "table inet filter { chain input { type filter hook input priority 0; tcp dport 8080 drop; }; }";
    tool(&governed.pair.b, "nft", &[table]);
    // Without a file: the policy in force.
    for policy in [&[web.as_str(), "--live"][..], &[]] {
        let said = explain(policy);
        assert!(said.contains("accepted by us, dropped by nftables inet filter input handle"), "{said}");
    }
}
