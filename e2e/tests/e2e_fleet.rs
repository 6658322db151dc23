//! Fleets of real agents: joining, one policy everywhere proved by packets, bans, hosts that die, networks that part.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use hivewall_e2e::fleet::Fleet;
use hivewall_e2e::talk::{connect, echo};
use hivewall_e2e::{pause, until};
use hivewall_testkit::require_root;

/// Only 8080 and the ports by which hosts are managed.
const WEB: &str = "tiers:
- name: main
  default: {in: drop, out: accept}
  rules:
  - {id: web, dir: in, proto: tcp, dport: [22, 8080], action: accept}
";

fn no_label(_: usize) -> &'static str {
    ""
}

#[test]
fn eight_hosts_join_and_one_signed_policy_is_enforced_on_all() {
    require_root!();
    let mut fleet = Fleet::new("fleet8", 8, no_label);
    fleet.members.iter_mut().for_each(hivewall_e2e::fleet::Member::start);
    fleet.members[0].does(&["cluster", "init"]);
    fleet.members[0].until_in_fleet(1);
    let line = fleet.invite(7);
    for member in &fleet.members[1..] {
        member.does(&["cluster", "join", &line]);
    }
    let began = Instant::now();
    fleet.members.iter().for_each(|member| member.until_in_fleet(8));
    let joined = began.elapsed();
    for member in &fleet.members {
        [22, 8080, 8081].iter().for_each(|port| echo(&member.host, *port));
    }
    let first = &fleet.members[0].host;
    connect(first, "10.0.0.8:8081").unwrap();

    let signed = fleet.sign(1, WEB);
    let began = Instant::now();
    let said = fleet.members[0].agent().tell(&["policy", "apply", signed.to_str().unwrap()]).fine();
    // It ends when every host has said that it enforces the policy.
    let told = began.elapsed();
    for n in 2..=8 {
        let address = format!("10.0.0.{n}:8081");
        until(&format!("{address} to be closed"), || match connect(first, &address) {
            Ok(_) => Err("it is open"),
            Err(_) => Ok(()),
        });
        connect(first, &format!("10.0.0.{n}:8080")).unwrap();
    }
    println!("joined after {joined:?}, all said that they enforce it after {told:?}; {said}");
    let seen = fleet.members[7].until_fleet("the policy on all hosts", |fleet| fleet["rollout"]["enforced"] == 8);
    assert_eq!(seen["rollout"]["version"], 1, "{seen:#}");
    let log = seen["audit"].as_array().unwrap();
    assert!(log.iter().any(|entry| entry["what"] == "policy-applied" && entry["author"] == "h1"), "{log:#?}");
    // A document that nobody signed is taken nowhere any more.
    let plain = fleet.members[2].path("plain.yaml");
    std::fs::write(&plain, format!("kind: Policy\nmetadata: {{name: edge, version: 9}}\n{WEB}")).unwrap();
    let said = fleet.members[2].agent().tell(&["policy", "apply", plain.to_str().unwrap()]);
    assert!(said.code != Some(0) && said.err.contains("signed"), "{said:?}");
}

#[test]
fn policies_and_sets_follow_the_labels_of_hosts() {
    require_root!();
    let fleet = Fleet::formed("labels", 3, |n| if n == 3 { "role=web" } else { "role=db" });
    for member in &fleet.members {
        [22, 5432].iter().for_each(|port| echo(&member.host, *port));
    }
    let body = "hosts: \"role == 'db'\"\nsets:\n  webs: {hosts: \"role == 'web'\"}\ntiers:\n- name: main\n  \
                default: {in: drop, out: accept}\n  rules:\n  - {id: db, dir: in, proto: tcp, from: \"@webs\", dport: 5432, \
                action: accept}\n  - {id: ssh, dir: in, proto: tcp, dport: 22, action: accept}\n";
    fleet.apply(1, body).fine();
    let hosts: Vec<_> = fleet.members.iter().map(|member| &member.host).collect();
    until("the databases to be closed to one another", || match connect(hosts[0], "10.0.0.2:5432") {
        Ok(_) => Err("it is open"),
        Err(_) => Ok(()),
    });
    connect(hosts[2], "10.0.0.2:5432").unwrap();
    connect(hosts[2], "10.0.0.1:5432").unwrap();
    // The policy is not for the web server, which accepts everything.
    connect(hosts[0], "10.0.0.3:5432").unwrap();
}

#[test]
fn a_ban_holds_everywhere_and_is_lifted_everywhere() {
    require_root!();
    let fleet = Fleet::formed("bans", 3, no_label);
    fleet.members.iter().for_each(|member| echo(&member.host, 8080));
    // Another address of the switch stands for somebody outside.
    fleet.switch.ip(&["address", "add", "10.0.0.200/24", "dev", "br0"]).unwrap();
    let stranger = &fleet.switch;
    until("the way in", || connect(stranger, "10.0.0.3:8080").map(drop));
    let said = fleet.members[0].agent().tell(&["policy", "ban", "10.0.0.2", "--ttl", "1h"]);
    assert!(said.code != Some(0) && said.err.contains("is a member"), "{said:?}");
    fleet.members[0].agent().tell(&["policy", "ban", "10.0.0.200", "--ttl", "1h", "--reason", "test"]).fine();
    for n in 1..=3 {
        let address = format!("10.0.0.{n}:8080");
        until(&format!("{address} to be closed"), || match connect(stranger, &address) {
            Ok(_) => Err("it is open"),
            Err(_) => Ok(()),
        });
    }
    let seen = fleet.members[2].until_fleet("the ban", |fleet| fleet["bans_total"] == 1);
    assert_eq!((&seen["bans"][0]["prefix"], &seen["bans"][0]["issuer"]), (&"10.0.0.200/32".into(), &"h1".into()));
    // Lifted at another host than the one that issued it.
    fleet.members[2].agent().tell(&["policy", "unban", "10.0.0.200"]).fine();
    for n in 1..=3 {
        let address = format!("10.0.0.{n}:8080");
        until(&format!("{address} to be open"), || connect(stranger, &address).map(drop));
    }
}

#[test]
fn hosts_that_die_are_missed_and_a_parted_fleet_finds_together_on_the_newest_policy() {
    require_root!();
    let mut fleet = Fleet::formed("parted", 5, no_label);
    fleet.members.iter().for_each(|member| echo(&member.host, 8081));
    fleet.members[4].kill();
    let seen = fleet.members[0].until_fleet("one host down", |fleet| fleet["states"]["down"] == 1);
    assert_eq!(seen["states"]["alive"], 4, "{seen:#}");
    fleet.part(&[3, 4], true);
    fleet.members[0].until_fleet("two more gone", |fleet| fleet["states"]["alive"] == 2);
    fleet.apply(1, WEB).fine();
    fleet.part(&[3, 4], false);
    let began = Instant::now();
    for member in &fleet.members[..4] {
        member.until_fleet("four hosts on version 1", |fleet| {
            fleet["states"]["alive"] == 4 && fleet["rollout"]["version"] == 1
        });
    }
    println!("whole again after {:?}", began.elapsed());
    until("10.0.0.4:8081 to be closed", || match connect(&fleet.members[0].host, "10.0.0.4:8081") {
        Ok(_) => Err("it is open"),
        Err(_) => Ok(()),
    });
    // The host that was killed comes back to the same fleet, and to its policy.
    fleet.members[4].start();
    fleet.members[4].until_in_fleet(5);
    fleet.members[4].until_fleet("version 1", |fleet| fleet["rollout"]["version"] == 1);
}

#[test]
fn a_change_is_kept_when_it_is_confirmed_and_taken_back_where_nobody_can_connect() {
    require_root!();
    let fleet = Fleet::formed("confirm", 3, no_label);
    for member in &fleet.members {
        [22, 8080, 8081].iter().for_each(|port| echo(&member.host, *port));
    }
    let first = &fleet.members[0].host;
    let closed = |n: usize| connect(first, &format!("10.0.0.{n}:8081")).is_err();
    fleet.apply(1, &format!("confirm: {{within: 30s}}\n{WEB}")).fine();
    until("8081 to be closed on all", || if closed(2) && closed(3) { Ok(()) } else { Err("it is open") });
    fleet.members[0].agent().tell(&["policy", "confirm"]).fine();
    fleet.members[2].until_fleet("all to be settled", |fleet| {
        fleet["rollout"]["enforced"] == 3 && fleet["rollout"].get("confirm_until").is_none()
    });
    let log = fleet.members[1].fleet().unwrap()["audit"].to_string();
    assert!(log.contains("policy-confirmed"), "{log}");
    // Nobody could connect to the ports by which hosts are managed: `h2` and `h3` go back, though `h1` was confirmed.
    let shut = "confirm: {within: 8s}\ntiers:\n- name: main\n  default: {in: drop, out: accept}\n  rules:\n  \
                - {id: only, dir: in, proto: tcp, dport: 9999, action: accept}\n";
    fleet.apply(2, shut).fine();
    until("8080 to be closed", || match connect(first, "10.0.0.2:8080") {
        Ok(_) => Err("it is open"),
        Err(_) => Ok(()),
    });
    // And while it lasts it is told until when.
    fleet.members[1].until_fleet("a time to confirm", |fleet| fleet["rollout"]["confirm_until"].is_string());
    until("h2 to go back to version 1", || connect(first, "10.0.0.2:8080").map(drop));
    until("h3 to go back to version 1", || connect(first, "10.0.0.3:8080").map(drop));
    assert!(closed(2) && closed(3), "version 1 holds again");
    let seen = fleet.members[2].until_fleet("all to say so", |fleet| fleet["rollout"]["refused"] == 3);
    assert!(seen["rollout"]["refusals"].to_string().contains("went back to version 1"), "{seen:#}");
}

#[test]
fn all_hosts_together_answer_for_flows_totals_and_rules() {
    require_root!();
    let fleet = Fleet::formed("together", 3, no_label);
    fleet.members.iter().for_each(|member| echo(&member.host, 8080));
    let started = Instant::now();
    let mut total = serde_json::Value::Null;
    // Traffic in every epoch until one of them is seen whole.
    while started.elapsed() < Duration::from_secs(45) && total.is_null() {
        for n in [1_usize, 3] {
            let mut stream = connect(&fleet.members[1].host, &format!("10.0.0.{n}:8080")).unwrap();
            hivewall_e2e::talk::says(&mut stream, b"echo").unwrap();
        }
        let seen = fleet.members[0].fleet().unwrap();
        let services = seen["total"]["services"]["rows"].as_array().cloned().unwrap_or_default();
        if seen["coverage"]["complete"] == true && services.iter().any(|row| row["key"] == "tcp/8080") {
            total = seen;
        }
        pause(Duration::from_millis(300));
    }
    assert_eq!(total["coverage"]["heard"], 3, "{total:#}");
    let sources = total["total"]["sources"]["rows"].as_array().unwrap();
    assert!(sources.iter().any(|row| row["key"] == "10.0.0.2" && row["host"] == "h2"), "{sources:#?}");

    let flows =
        fleet.members[0].agent().tell(&["flows", "--fleet", "--port", "8080", "-n", "10000", "-o", "json"]).fine();
    let flows: serde_json::Value = serde_json::from_str(&flows).unwrap();
    assert_eq!((&flows["answer"]["heard"], &flows["answer"]["complete"]), (&3.into(), &true.into()), "{flows:#}");
    let hosts: std::collections::BTreeSet<&str> =
        flows["flows"].as_array().unwrap().iter().map(|row| row["host"].as_str().unwrap()).collect();
    assert_eq!(hosts.into_iter().collect::<Vec<_>>(), ["h1", "h2", "h3"], "{flows:#}");
    let digests = fleet.members[1].agent().tell(&["snapshot", "--fleet", "-o", "json"]).fine();
    let digests: serde_json::Value = serde_json::from_str(&digests).unwrap();
    assert_eq!(digests["hosts"].as_array().unwrap().len(), 3, "{digests:#}");
    let status = fleet.members[2].agent().tell(&["cluster", "status"]).fine();
    assert!(status.contains('3'), "{status}");
}

#[test]
fn a_removed_host_is_refused_and_an_invitation_is_good_once() {
    require_root!();
    let mut fleet = Fleet::formed("removed", 3, no_label);
    let line = fleet.invite(1);
    let said = fleet.members[2].tries(&["cluster", "join", &line]);
    assert!(said.code != Some(0) && said.err.contains("in a fleet already"), "{said:?}");
    fleet.members[0].agent().tell(&["cluster", "remove", "h3", "--reason", "lost"]).fine();
    fleet.members[1].until_fleet("h3 removed", |fleet| {
        fleet["members"].as_array().is_some_and(|all| all.iter().any(|m| m["name"] == "h3" && m["state"] == "revoked"))
    });
    // It starts again, and nobody talks to it.
    fleet.members[2].kill();
    fleet.members[2].start();
    fleet.members[1].until_fleet("two hosts alive", |fleet| fleet["states"]["alive"] == 2);
    // It may come back with a new invitation, as another member.
    fleet.members[2].agent().tell(&["cluster", "leave"]).fine();
    let identity = fleet.members[2].path("fleet/identity");
    until("h3 to have left", || if identity.exists() { Err("its identity is there") } else { Ok(()) });
    fleet.members[2].does(&["cluster", "join", &line]);
    fleet.members[1].until_fleet("three hosts alive", |fleet| fleet["states"]["alive"] == 3);
    let again = fleet.members[1].tries(&["cluster", "join", &line]);
    assert_ne!(again.code, Some(0));
}
