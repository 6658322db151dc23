//! Rehearsals over what an agent recorded: with the agent and without it, and with the host's guard.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use hivewall_e2e::agent::Agent;
use hivewall_e2e::fleet::Fleet;
use hivewall_e2e::network::Pair;
use hivewall_e2e::talk::{NOTHING, WEB_ONLY, connect, document, echo, says};
use hivewall_e2e::{binary, tool, until};
use hivewall_testkit::require_root;
use tempfile::TempDir;

/// What every way of asking has to tell.
#[track_caller]
fn check(said: &str, way: &str) {
    for part in [
        "test version 2, compared with test version 1",
        "only the guard saves 1 flow",
        "guard:management saves from main:default-in: 1 flow",
        "10.0.0.1 to tcp/22: 1 flow",
        "drop    main:default-in",
        "cuts 10.0.0.1 to tcp/8080: 1 flow",
    ] {
        assert!(said.contains(part), "{way}: no `{part}` in {said}");
    }
}

#[test]
fn a_rehearsal_counts_the_guard_in_with_an_agent_and_without_one() {
    require_root!();
    let pair = Pair::new("p-rehearse");
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (state, history) = (path("state"), path("history"));
    [22, 8080].into_iter().for_each(|port| echo(&pair.b, port));
    let agent = Agent::start(
        &pair.b,
        &[
            "--interface",
            "eth0",
            "--policy-state",
            &state,
            "--policy-pins",
            "",
            "--history-directory",
            &history,
            "--management",
            "10.0.0.0/24",
        ],
    );
    agent.tell(&["policy", "apply", &document(directory.path(), 1, WEB_ONLY)]).fine();
    for port in [22, 8080] {
        let mut stream = connect(&pair.a, &format!("10.0.0.2:{port}")).unwrap();
        says(&mut stream, b"talk").unwrap();
    }
    until("two closed flows", || {
        let closed = agent.flows(&["--last", "1h", "--proto", "tcp"]);
        let closed = closed.iter().filter(|flow| !flow["end_reason"].is_null()).count();
        if closed >= 2 { Ok(()) } else { Err(closed) }
    });
    let new = document(directory.path(), 2, NOTHING);
    check(&agent.tell(&["policy", "rehearse", &new, "--last", "1h"]).fine(), "an agent");
    let alone = agent.tell(&["policy", "rehearse", &new, "--no-guard"]).fine();
    assert!(alone.contains("the document alone was judged"), "{alone}");
    assert!(alone.contains("would refuse    2 flows") && alone.contains("newly refused   1 flow,"), "{alone}");
    let busy = agent.tell(&["policy", "rehearse", &new, "--history", &history, "--policy-state", &state]);
    busy.refused(1, &["an agent has it open"]);
    assert_eq!(agent.stop().code, Some(0));

    let rehearse = |args: &[&str], history_of_host: &str| {
        let mut command = pair.b.command(binary::path());
        command.args(["policy", "rehearse", &new, "--management", "10.0.0.0/24", "--policy-state", &state]);
        command.args(args).env("HIVEWALL_HISTORY_DIRECTORY", history_of_host);
        tool::run(command)
    };
    check(&rehearse(&["--history", &history], "").fine(), "a directory");
    check(&rehearse(&[], &history).fine(), "the directory of the settings");
    let json: serde_json::Value =
        serde_json::from_str(&rehearse(&["--history", &history, "-o", "json"], "").fine()).unwrap();
    assert_eq!(json["guard"]["saved"]["flows"], 1, "{json}");
    rehearse(&["--history", &path("nowhere")], "").refused(1, &["there is no such directory"]);
    rehearse(&[], "").refused(6, &["no history on this host"]);
}

#[test]
fn a_fleet_rehearses_on_every_host_over_its_own_flows() {
    require_root!();
    let mut fleet = Fleet::new("f-rehearse", 3, |_| "");
    for member in &mut fleet.members {
        let history = member.path("history").display().to_string();
        // The last one keeps no history, and says so.
        let flags = if member.name == "h3" { vec![] } else { vec!["--history-directory", &history] };
        member.start_with(&flags);
        echo(&member.host, 8080);
        echo(&member.host, 8081);
    }
    fleet.members[0].does(&["cluster", "init"]);
    fleet.members[0].until_in_fleet(1);
    let line = fleet.invite(2);
    fleet.members[1..].iter().for_each(|member| drop(member.does(&["cluster", "join", &line])));
    fleet.members.iter().for_each(|member| member.until_in_fleet(3));
    // To the second host on a port that the document leaves open, and on one that it closes.
    for port in [8080, 8081] {
        let mut stream = connect(&fleet.members[2].host, &format!("10.0.0.2:{port}")).unwrap();
        says(&mut stream, b"talk").unwrap();
    }
    until("two closed flows", || {
        let closed = fleet.members[1].agent().flows(&["--last", "1h", "--proto", "tcp"]);
        let closed = closed.iter().filter(|flow| !flow["end_reason"].is_null()).count();
        if closed >= 2 { Ok(()) } else { Err(closed) }
    });
    let first = &fleet.members[0];
    let directory = TempDir::new().unwrap();
    let new = document(directory.path(), 1, WEB_ONLY);
    let agent = first.agent();
    let said = agent.tell(&["policy", "rehearse", &new, "--fleet", "--last", "1h"]);
    let out = said.clone().fine();
    for part in ["test version 1 would cut 1 flow", "on 1 host,", "h2", "10.0.0.3 to tcp/8081: 1 flow"] {
        assert!(out.contains(part), "no `{part}` in {out}");
    }
    assert!(said.err.contains("2 of 3 hosts answered") && said.err.contains("h3: "), "{}", said.err);
    let told: serde_json::Value =
        serde_json::from_str(&agent.tell(&["policy", "rehearse", &new, "--fleet", "-o", "json"]).fine()).unwrap();
    assert_eq!((&told["hosts_cut"], &told["cut"]["flows"]), (&1.into(), &1.into()), "{told:#}");
    assert_eq!(told["hosts"][0]["name"], "h2", "{told:#}");
    // What is wrong with the document is said once, and not by every host.
    let bad = document(directory.path(), 2, "tiers: [{name: main, default: {in: maybe}}]\n");
    agent.tell(&["policy", "rehearse", &bad, "--fleet"]).refused(2, &["maybe"]);
}
