//! One policy, enforced in the kernel: obeyed from the first packet, whatever happens to the agent, and never a lockout.
//!
//! What passes is judged by peers in other namespaces.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use hivewall_e2e::agent::Agent;
use hivewall_e2e::network::Pair;
use hivewall_e2e::talk::{NOTHING, SHORT, WEB_ONLY, connect, document, echo, says};
use hivewall_e2e::until;
use hivewall_testkit::require_root;
use tempfile::TempDir;

/// A host under a policy: its state and its pins, which outlive agents.
struct Governed {
    pair: Pair,
    directory: TempDir,
    pins: PathBuf,
}

impl Governed {
    fn new(name: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let mounted = directory.path().join("bpf");
        std::fs::create_dir(&mounted).unwrap();
        // Seen in every namespace: what agents leave is not bound to the mounts of one of them.
        assert!(Command::new("mount").args(["-t", "bpf", "bpf"]).arg(&mounted).status().unwrap().success());
        let pins = mounted.join("hivewall");
        Self { pair: Pair::new(name), directory, pins }
    }

    fn start(&self) -> Agent {
        let (state, pins) = (self.path("state"), self.pins.display().to_string());
        Agent::start(&self.pair.b, &["--interface", "eth0", "--policy-state", &state, "--policy-pins", &pins])
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Writes a document and gives its path.
    fn document(&self, version: u32, body: &str) -> String {
        document(self.directory.path(), version, body)
    }
}

impl Drop for Governed {
    fn drop(&mut self) {
        if let Ok(pins) = std::fs::read_dir(&self.pins) {
            pins.filter_map(Result::ok).for_each(|pin| _ = std::fs::remove_file(pin.path()));
        }
        let _ = Command::new("umount").arg(self.directory.path().join("bpf")).status();
    }
}

#[track_caller]
fn check_web_only(governed: &Governed, moment: &str) {
    for address in ["10.0.0.2:8080", "[fd00::2]:8080"] {
        let mut stream =
            connect(&governed.pair.a, address).unwrap_or_else(|error| panic!("{moment}: {address}: {error}"));
        says(&mut stream, b"echo").unwrap();
    }
    for address in ["10.0.0.2:8081", "[fd00::2]:8081"] {
        assert!(connect(&governed.pair.a, address).is_err(), "{moment}: {address} is closed by the policy");
    }
}

fn serve(governed: &Governed) {
    for port in [22, 8080, 8081] {
        echo(&governed.pair.b, port);
    }
    echo(&governed.pair.a, 9000);
}

#[test]
fn a_policy_is_obeyed_and_outlives_the_agent_in_every_way() {
    require_root!();
    let governed = Governed::new("p-obey");
    serve(&governed);
    let mut agent = governed.start();
    connect(&governed.pair.a, "10.0.0.2:8081").unwrap();
    let first = governed.document(1, WEB_ONLY);
    let said = agent.tell(&["policy", "apply", &first]).fine();
    assert!(said.contains("test version 1 is in force"), "{said}");
    check_web_only(&governed, "applied");
    // What this host opens itself is answered.
    let mut out = connect(&governed.pair.b, "10.0.0.1:9000").unwrap();
    says(&mut out, b"mine").unwrap();

    let shown = agent.until("the rule's counter", |snapshot| {
        let rules = snapshot["firewall_rules"]["rules"].as_array().cloned().unwrap_or_default();
        let hits =
            |id: &str| rules.iter().find(|rule| rule["id"] == id).map_or(0, |rule| rule["packets"].as_u64().unwrap());
        if hits("web") >= 6 && hits("main:default-in") >= 2 { Ok(()) } else { Err(format!("{rules:?}")) }
    });
    assert_eq!(shown["firewall_rules"]["version"], 1);
    let dropped = agent.flows(&["--verdict", "drop"]);
    assert!(dropped.iter().any(|flow| flow["dest_port"] == 8081 && flow["rule"] == "main:default-in"), "{dropped:?}");

    agent.kill();
    check_web_only(&governed, "killed");
    says(&mut out, b"live").unwrap();
    let agent = governed.start();
    check_web_only(&governed, "started again");
    says(&mut out, b"more").unwrap();
    let left = agent.stop();
    assert_eq!(left.code, Some(0), "{}", left.messages);
    check_web_only(&governed, "stopped");

    let uninstall = governed.pair.b.command(hivewall_e2e::binary::path());
    let mut uninstall = uninstall;
    uninstall.arg("uninstall").env("HIVEWALL_POLICY_PINS", &governed.pins);
    let said = hivewall_e2e::tool::run(uninstall).fine();
    assert!(said.contains("link_"), "{said}");
    until("an open host", || connect(&governed.pair.a, "10.0.0.2:8081").map(drop));
    assert!(!Path::new(&governed.pins).exists());
}

#[test]
fn a_policy_that_drops_everything_is_taken_back_and_the_session_lives_with_and_without_an_agent() {
    require_root!();
    for is_killed in [false, true] {
        let governed = Governed::new(if is_killed { "p-lockk" } else { "p-lock" });
        serve(&governed);
        let mut agent = governed.start();
        let mut session = connect(&governed.pair.a, "10.0.0.2:22").unwrap();
        says(&mut session, b"ssh!").unwrap();
        let document = governed.document(1, NOTHING);
        let said = agent.tell(&["policy", "apply", &document, "--confirm", "4s"]).fine();
        assert!(said.contains("confirm"), "{said}");
        if is_killed {
            agent.kill();
        }
        assert!(connect(&governed.pair.a, "10.0.0.2:8080").is_err(), "it is in force");
        says(&mut session, b"live").unwrap();
        until("the change to be taken back", || connect(&governed.pair.a, "10.0.0.2:8080").map(drop));
        says(&mut session, b"done").unwrap();
    }
}

#[test]
fn a_confirmed_change_stays_and_a_rollback_goes_back() {
    require_root!();
    let governed = Governed::new("p-conf");
    serve(&governed);
    let agent = governed.start();
    let (web, nothing) = (governed.document(1, WEB_ONLY), governed.document(2, NOTHING));
    agent.tell(&["policy", "apply", &web, "--confirm", "60s"]).fine();
    agent.tell(&["policy", "confirm"]).fine();
    agent.tell(&["policy", "apply", &nothing]).fine();
    assert!(connect(&governed.pair.a, "10.0.0.2:8080").is_err());
    let said = agent.tell(&["policy", "rollback"]).fine();
    assert!(said.contains("test version 1"), "{said}");
    check_web_only(&governed, "rolled back");
    agent.tell(&["policy", "apply", &web]);
    let older = governed.document(1, NOTHING);
    let refused = agent.tell(&["policy", "apply", &older]);
    assert_ne!(refused.code, Some(0), "a version that was there before is no change: {refused:?}");
}

#[test]
fn a_ban_cuts_at_once_and_ends_by_itself() {
    require_root!();
    let governed = Governed::new("p-ban");
    serve(&governed);
    let mut agent = governed.start();
    let mut stream = connect(&governed.pair.a, "10.0.0.2:8080").unwrap();
    says(&mut stream, b"good").unwrap();
    agent.tell(&["policy", "ban", "10.0.0.1", "--ttl", "3s", "--reason", "test"]).fine();
    stream.set_read_timeout(Some(SHORT)).unwrap();
    assert!(says(&mut stream, b"gone").is_err(), "an open connection is cut, too");
    assert!(connect(&governed.pair.a, "10.0.0.2:8080").is_err());
    until("the ban to end", || connect(&governed.pair.a, "10.0.0.2:8080").map(drop));
    agent.tell(&["policy", "ban", "10.0.0.0/24"]).fine();
    agent.kill();
    assert!(connect(&governed.pair.a, "10.0.0.2:8080").is_err(), "a ban holds without an agent");
    let agent = governed.start();
    assert!(connect(&governed.pair.a, "10.0.0.2:8080").is_err(), "and with the next one");
    agent.tell(&["policy", "unban", "10.0.0.0/24"]).fine();
    until("an open host", || connect(&governed.pair.a, "10.0.0.2:8080").map(drop));
}

#[test]
fn connections_that_were_there_before_the_first_policy_live_on() {
    require_root!();
    let governed = Governed::new("p-adopt");
    serve(&governed);
    let mut before = connect(&governed.pair.a, "10.0.0.2:8081").unwrap();
    says(&mut before, b"open").unwrap();
    let agent = governed.start();
    agent.tell(&["policy", "apply", &governed.document(1, NOTHING)]).fine();
    assert!(connect(&governed.pair.a, "10.0.0.2:8081").is_err());
    for _ in 0..3 {
        says(&mut before, b"live").unwrap();
        agent.until("another second", |_| Ok(()));
    }
}

#[test]
fn a_policy_that_observes_counts_and_drops_nothing() {
    require_root!();
    let governed = Governed::new("p-obs");
    serve(&governed);
    let agent = governed.start();
    let body = format!("mode: observe\n{WEB_ONLY}");
    agent.tell(&["policy", "apply", &governed.document(1, &body)]).fine();
    let mut stream = connect(&governed.pair.a, "10.0.0.2:8081").unwrap();
    says(&mut stream, b"pass").unwrap();
    agent.until("what would have been dropped", |_| {
        let flows = agent.flows(&["--verdict", "observed"]);
        if flows.iter().any(|flow| flow["dest_port"] == 8081) { Ok(()) } else { Err(format!("{flows:?}")) }
    });
}
