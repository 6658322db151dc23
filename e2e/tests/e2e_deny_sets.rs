//! A blocklist of ten thousand prefixes is dropped in front of everything, counted for its rule, and gone with it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::process::Command;

use hivewall_e2e::agent::Agent;
use hivewall_e2e::network::Pair;
use hivewall_e2e::talk::{WEB_ONLY, connect, document, echo, says};
use hivewall_e2e::until;
use hivewall_testkit::require_root;
use serde_json::Value;
use tempfile::TempDir;

const PREFIXES: u64 = 10_000;

/// The prefixes denied in front, and the packets that the rule's counter has.
fn seen(snapshot: &Value) -> (u64, u64) {
    let policy = &snapshot["firewall_rules"];
    let rules = policy["rules"].as_array().cloned().unwrap_or_default();
    let hits = rules.iter().find(|rule| rule["id"] == "badnets").and_then(|rule| rule["packets"].as_u64());
    (policy["tables"]["deny_sets_in_front"]["entries"].as_u64().unwrap_or(0), hits.unwrap_or(0))
}

fn wait_for(agent: &Agent, what: &str, is_so: impl Fn(u64, u64) -> bool) -> u64 {
    let found = agent.until(what, |snapshot| {
        let (entries, hits) = seen(snapshot);
        if is_so(entries, hits) { Ok(()) } else { Err(format!("{entries} prefixes, {hits} packets")) }
    });
    seen(&found).1
}

#[test]
fn a_blocklist_is_dropped_at_the_driver_counted_for_its_rule_and_lifted_by_a_rollback() {
    require_root!();
    let directory = TempDir::new().unwrap();
    let mounted = directory.path().join("bpf");
    std::fs::create_dir(&mounted).unwrap();
    assert!(Command::new("mount").args(["-t", "bpf", "bpf"]).arg(&mounted).status().unwrap().success());
    let pins = mounted.join("hivewall");
    let pair = Pair::new("p-deny");
    echo(&pair.b, 8080);
    echo(&pair.a, 9000);
    let state = directory.path().join("state").display().to_string();
    let args = ["--interface", "eth0", "--policy-state", &state, "--policy-pins", &pins.display().to_string()];
    let agent = Agent::start(&pair.b, &args);

    // One address of the peer, and others far away, no two of them neighbours.
    let list = directory.path().join("blocklist");
    let others = (1..PREFIXES).map(|n| format!("100.{}.{}.0/24\n", 64 + n / 128, n % 128 * 2));
    std::fs::write(&list, others.chain(["10.0.0.1\n".to_owned()]).collect::<String>()).unwrap();
    let body = format!(
        "sets: {{blocklist: {{file: \"{}\"}}}}\ntiers:\n- name: main\n  default: {{in: accept, out: accept}}\n  rules:\n  - \
         {{id: badnets, dir: in, from: \"@blocklist\", action: drop}}\n",
        list.display()
    );
    let (first, second) = (document(directory.path(), 1, WEB_ONLY), document(directory.path(), 2, &body));
    agent.tell(&["policy", "apply", &first]).fine();
    connect(&pair.a, "10.0.0.2:8080").unwrap();

    agent.tell(&["policy", "apply", &second, "--confirm", "60s"]).fine();
    assert!(connect(&pair.a, "10.0.0.2:8080").is_err());
    let judged = wait_for(&agent, "the rule, where packets are judged", |entries, hits| entries == 0 && hits > 0);
    agent.tell(&["policy", "confirm"]).fine();
    wait_for(&agent, "the blocklist in front", |entries, _| entries == PREFIXES);

    let flows = |agent: &Agent| agent.flows(&["--verdict", "drop"]).len();
    let before = flows(&agent);
    for _ in 0..3 {
        assert!(connect(&pair.a, "10.0.0.2:8080").is_err());
    }
    wait_for(&agent, "the rule's counter", |_, hits| hits >= judged + 3);
    assert_eq!(flows(&agent), before, "what was dropped at the driver is in no flow");
    connect(&pair.a, "[fd00::2]:8080").unwrap();
    // What this host opens itself is answered, whoever the other end is.
    says(&mut connect(&pair.b, "10.0.0.1:9000").unwrap(), b"mine").unwrap();

    agent.tell(&["policy", "rollback"]).fine();
    until("an open host", || connect(&pair.a, "10.0.0.2:8080").map(drop));
    wait_for(&agent, "an empty front", |entries, _| entries == 0);
    drop(agent);
    for pin in std::fs::read_dir(&pins).into_iter().flatten().filter_map(Result::ok) {
        let _ = std::fs::remove_file(pin.path());
    }
    let _ = Command::new("umount").arg(&mounted).status();
}
