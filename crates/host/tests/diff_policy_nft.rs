//! The policy as nftables has it against the oracle: random policies, random packets through a host that forwards. Needs
//! root and `nft`.
//!
//! Packets come in by one interface and leave by another, so that each is judged at both hooks; replies go back, and a
//! second policy is put in place of the first while flows live. What the peer receives is compared, packet by packet.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bench;

use bench::{Bench, Flow, with_mark};
use hivewall_host::rules::{apply_nft, nft_counters};
use hivewall_policy::backend::{Ban, Options, nft};
use hivewall_policy::{Action, Limit, Mode, Ruleset};
use hivewall_testkit::require_root;
use ipnet::IpNet;

/// Policies that are tried, each followed by another.
const POLICIES: u64 = 32;

fn apply(bench: &Bench, ruleset: &Ruleset, bans: &[IpNet]) -> String {
    let bans: Vec<Ban> = bans.iter().map(|net| Ban { net: *net, expires_in: None }).collect();
    let program = nft::compile(ruleset, &bans, &Options::default());
    let applied = bench.gate.enter(|| apply_nft(&program.text)).unwrap();
    applied.unwrap_or_else(|error| panic!("{error}\n{}", program.text));
    program.text
}

#[test]
fn nftables_lets_through_what_the_oracle_accepts() {
    require_root!();
    bench::compare(&Bench::new("nft"), POLICIES, apply);
}

#[test]
fn a_limit_lets_a_burst_through_and_what_it_let_through_stays() {
    require_root!();
    let bench = Bench::new("limit");
    let mut rule = bench::udp_rule("burst", Action::Accept);
    rule.limit = Some(Limit {
        count: 1,
        per: std::time::Duration::from_secs(3600),
        burst: 3,
        per_source: false,
        over: Action::Drop,
    });
    let ruleset = with_mark(Ruleset {
        name: "limit".to_owned(),
        version: 1,
        mode: Mode::Enforce,
        rules: vec![rule],
        ..Ruleset::default()
    });
    apply(&bench, &ruleset, &[]);
    let flows: Vec<Flow> = (0..8).map(bench::udp_flow).collect();
    // Two hooks ask the one limit: a forwarded flow takes two of three.
    let passed = bench.send_forth(&flows, false);
    assert_eq!(passed, [flows[0].id]);
    let again = bench.send_forth(&flows[..1], true);
    assert_eq!(again, [flows[0].id]);
    let counters = bench.gate.enter(|| nft_counters().unwrap()).unwrap();
    let count = |id: &str| counters.iter().find(|(known, ..)| known == id).map(|(_, packets, _)| *packets);
    assert_eq!(count("burst"), Some(3 + 2), "one packet at two hooks, half of another, and the first flow again");
    assert_eq!(count("(over limit)"), Some(7));
}

#[test]
fn nftables_limits_who_is_limited_because_of_an_alert() {
    require_root!();
    bench::limit_one(&Bench::new("nftone"), apply);
}

#[test]
fn observing_counts_and_lets_everything_through() {
    require_root!();
    let bench = Bench::new("observe");
    let rules = vec![bench::udp_rule("no-udp", Action::Reject)];
    let ruleset = Ruleset { name: "observe".to_owned(), version: 1, mode: Mode::Observe, rules, ..Ruleset::default() };
    apply(&bench, &ruleset, &[]);
    let flows: Vec<Flow> = (0..8).map(bench::udp_flow).collect();
    assert_eq!(bench.send_forth(&flows, false).len(), 8);
    let counters = bench.gate.enter(|| nft_counters().unwrap()).unwrap();
    assert!(counters.iter().any(|(id, packets, _)| id == "no-udp" && *packets >= 16), "{counters:?}");
}
