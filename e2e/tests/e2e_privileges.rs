//! What the running agent holds, thread by thread, as the kernel tells it; and that what it gave up is gone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;

use hivewall_e2e::agent::Agent;
use hivewall_e2e::network::Pair;
use hivewall_e2e::{tool, until};
use hivewall_testkit::require_root;
use tempfile::TempDir;

/// Bits of linux/capability.h.
const DAC_READ_SEARCH: u64 = 1 << 2;
const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;
const SYS_PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

/// Of one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    effective: u64,
    permitted: u64,
    bounding: u64,
    no_new_privs: bool,
    seccomp: u64,
}

/// Threads of a process by name; several of one name must hold the same.
fn threads(pid: i32) -> Result<BTreeMap<String, Held>, String> {
    let mut all = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| error.to_string())? {
        let path = task.map_err(|error| error.to_string())?.path().join("status");
        let status = fs::read_to_string(path).map_err(|error| error.to_string())?;
        let line = |name: &str| {
            let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.map(|text| text.trim().to_owned()).ok_or_else(|| format!("no {name} in {status}"))
        };
        let bits = |name| line(name).and_then(|text| u64::from_str_radix(&text, 16).map_err(|error| error.to_string()));
        let held = Held {
            effective: bits("CapEff")?,
            permitted: bits("CapPrm")?,
            bounding: bits("CapBnd")?,
            no_new_privs: line("NoNewPrivs")? == "1",
            seccomp: bits("Seccomp")?,
        };
        let name = line("Name")?;
        if let Some(before) = all.insert(name.clone(), held.clone())
            && before != held
        {
            return Err(format!("threads named {name} differ: {before:?}, {held:?}"));
        }
    }
    Ok(all)
}

fn confined(capabilities: u64) -> Held {
    Held { effective: capabilities, permitted: capabilities, bounding: capabilities, no_new_privs: true, seccomp: 2 }
}

/// What every thread of an agent with everything on is to hold.
fn wanted(name: &str) -> Option<u64> {
    Some(match name {
        "hivewall" => BPF | PERFMON | NET_ADMIN | NET_RAW,
        "policy" => BPF | NET_ADMIN | NET_RAW,
        "processes" => SYS_PTRACE | DAC_READ_SEARCH,
        "filters" => NET_ADMIN | NET_RAW,
        "hivewall-api" | "tokio-rt-worker" | "tokio-runtime-w" | "hivewall-log" | "history" | "names" | "meter"
        | "fleet" | "fleet-desk" | "detect" | "logins" | "journal" | "notify" | "notify-keeper" => 0,
        _ => return None,
    })
}

#[test]
fn each_thread_holds_what_it_needs_and_whoever_reads_from_outside_holds_nothing() {
    require_root!();
    let pair = Pair::new("priv");
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (history, state, fleet) = (path("history"), path("state"), path("fleet"));
    let mut init = pair.b.command(hivewall_e2e::binary::path());
    init.args(["cluster", "init", "--fleet-directory", &fleet, "--policy-state", &state]);
    tool::run(init).fine();
    let mut args = vec!["--interface", "eth0", "--history-directory", &history, "--policy-state", &state];
    args.extend(["--fleet-directory", &fleet, "--sandbox", "require"]);
    let agent = Agent::start(&pair.b, &args);
    until("its part in the fleet", || agent.get("/api/v1/fleet"));
    let all = until("every thread to hold what it is to hold", || {
        let all = threads(agent.pid().as_raw())?;
        for (name, held) in &all {
            let wanted = wanted(name).ok_or_else(|| format!("a thread named {name} that nobody knows: {held:?}"))?;
            if *held != confined(wanted) {
                return Err(format!("{name} holds {held:?}, and is to hold {:?}", confined(wanted)));
            }
        }
        Ok(all)
    });
    for name in [
        "hivewall",
        "policy",
        "processes",
        "filters",
        "hivewall-api",
        "hivewall-log",
        "history",
        "names",
        "fleet",
        "detect",
    ] {
        assert!(all.contains_key(name), "{name} is missing: {:?}", all.keys());
    }
    // The statistics are measured by a child that holds one capability; whoever reads the journal holds none.
    let children = format!("/proc/{0}/task/{0}/children", agent.pid());
    until("the children to hold what they are to hold", || {
        let mut meters = 0;
        for child in fs::read_to_string(&children).map_err(|error| error.to_string())?.split_whitespace() {
            let name = fs::read_to_string(format!("/proc/{child}/comm")).map_err(|error| error.to_string())?;
            let wanted = if name.trim() == "journalctl" { 0 } else { SYS_ADMIN };
            meters += usize::from(wanted == SYS_ADMIN);
            let held = threads(child.parse().unwrap())?.into_values().next();
            if held.as_ref() != Some(&confined(wanted)) {
                return Err(format!("{name} holds {held:?}"));
            }
        }
        if meters == 1 { Ok(()) } else { Err(format!("{meters} children measure")) }
    });
    assert_eq!(agent.stop().code, Some(0));
}

#[test]
fn a_sandbox_that_is_off_keeps_everything_and_says_so() {
    require_root!();
    let pair = Pair::new("priv-off");
    let agent = Agent::start(&pair.b, &["--interface", "eth0", "--sandbox", "off"]);
    let me = threads(std::process::id().cast_signed()).unwrap().into_values().next().unwrap();
    for (name, held) in threads(agent.pid().as_raw()).unwrap() {
        assert_eq!((held.effective, held.seccomp), (me.effective, me.seccomp), "{name}");
    }
    assert!(agent.messages().contains("privileges.sandbox is off"), "{}", agent.messages());
}

#[test]
fn check_lists_what_each_part_is_left_with() {
    require_root!();
    let pair = Pair::new("priv-check");
    let said = tool::hivewall(&pair.b, &["check", "-o", "json"]);
    let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let parts = document["privileges"]["parts"].as_array().unwrap();
    let part = |name: &str| parts.iter().find(|part| part["part"] == name).unwrap_or_else(|| panic!("no part {name}"));
    assert_eq!(part("names")["capabilities"], serde_json::json!([]));
    assert_eq!(part("meter")["capabilities"], serde_json::json!(["CAP_SYS_ADMIN"]));
    // Users, sessions and the trail, and nothing else.
    assert_eq!(part("api")["writes"], serde_json::json!(["/var/lib/hivewall/access"]));
}
