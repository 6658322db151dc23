//! Pictures of tables, and of what a policy cannot have.

use std::time::Duration;

use expect_test::{Expect, expect};
use hivewall_model::Direction;

use super::*;
use crate::{Action, Addresses, Established, FlagsMatch, IcmpMatch, Limit, LogRate, Stage};

fn rule(id: &str, action: Action) -> Rule {
    Rule { action, line: 7, ..Rule::plain(id, Stage::Tier(0), Some(Direction::Ingress)) }
}

fn nets(text: &[&str]) -> Addresses {
    Addresses::In(text.iter().map(|net| net.parse().unwrap()).collect())
}

fn tcp(id: &str, action: Action, from: Addresses, port: u16) -> Rule {
    Rule { protocols: vec![6], from, destination_ports: vec![port..=port], ..rule(id, action) }
}

fn limit(per_source: bool, over: Action) -> Limit {
    Limit { count: 2000, per: Duration::from_secs(1), burst: 100, per_source, over }
}

fn ruleset(rules: Vec<Rule>) -> Ruleset {
    Ruleset { name: "edge".to_owned(), version: 42, mode: Mode::Enforce, rules, ..Ruleset::default() }
}

/// The chains and sets whose name begins so.
fn check(rules: Vec<Rule>, beginnings: &[&str], want: &Expect) {
    let program = compile(&ruleset(rules), &[], &Options::default());
    let mut out = String::new();
    for block in program.text.split_inclusive("\n  }\n") {
        let words: Vec<&str> = block.split_whitespace().take(2).collect();
        if beginnings.iter().any(|beginning| words.get(1).is_some_and(|name| name.starts_with(beginning))) {
            // All blocks are indented in their table, and a picture has no indentation of its own.
            out.extend(block.split_inclusive('\n').map(|line| line.strip_prefix("  ").unwrap_or(line)));
        }
    }
    want.assert_eq(&out);
}

#[test]
fn rules_of_addresses_and_ports_become_one_map() {
    let rules = vec![
        tcp("ssh", Action::Accept, nets(&["10.9.0.0/24", "fd00:9::/64"]), 22),
        tcp("web", Action::Accept, Addresses::Any, 443),
        rule("main:default-in", Action::Drop),
    ];
    check(
        rules,
        &["in4", "r0", "r2"],
        &expect![[r#"
              counter r0 {
                comment "ssh"
                packets 0 bytes 0
              }
              counter r2 {
                comment "main:default-in"
                packets 0 bytes 0
              }
              map in4_t0_0p0 {
                typeof meta l4proto . ip saddr . ip daddr . th sport . th dport : verdict
                flags interval
                elements = { 6 . 10.9.0.0-10.9.0.255 . 0.0.0.0-255.255.255.255 . 0-65535 . 22 : goto r0,
                  6 . 0.0.0.0-255.255.255.255 . 0.0.0.0-255.255.255.255 . 0-65535 . 443 : goto r1 }
              }
              map in4_back_t0_0p0 {
                typeof meta l4proto . ip daddr . ip saddr . th dport . th sport : verdict
                flags interval
                elements = { 6 . 10.9.0.0-10.9.0.255 . 0.0.0.0-255.255.255.255 . 0-65535 . 22 : goto r0,
                  6 . 0.0.0.0-255.255.255.255 . 0.0.0.0-255.255.255.255 . 0-65535 . 443 : goto r1 }
              }
              chain in4_t0 {
                meta l4proto { 1, 6, 17, 33, 58, 132, 136 } meta l4proto . ip saddr . ip daddr . th sport . th dport vmap @in4_t0_0p0
                goto r2
              }
              chain in4 {
                ip saddr @ban4_hosts goto banned
                ip saddr @ban4 goto banned
                meta l4proto { 1, 17, 58 } jump essential_received
                jump in4_t0
                counter name no_policy
              }
              chain in4_back_t0 {
                meta l4proto { 1, 6, 17, 33, 58, 132, 136 } meta l4proto . ip daddr . ip saddr . th dport . th sport vmap @in4_back_t0_0p0
                goto r2
              }
              chain in4_back {
                ip daddr @ban4_hosts goto banned
                ip daddr @ban4 goto banned
                meta l4proto { 1, 17, 58 } jump essential_sent
                jump in4_back_t0
                counter name no_policy
              }
              chain r0 {
                comment "ssh"
                counter name r0
                accept
              }
              chain r2 {
                comment "main:default-in"
                counter name r2
                drop
              }
        "#]],
    );
}

#[test]
fn a_rule_within_another_is_cut_out_of_it_or_asked_in_the_map_before() {
    let rules = vec![
        tcp("not-this-one", Action::Drop, nets(&["10.9.0.7/32"]), 22),
        tcp("ssh", Action::Accept, nets(&["10.9.0.0/24"]), 22),
        Rule { protocols: vec![6], from: nets(&["10.0.0.0/8"]), ..rule("net", Action::Drop) },
    ];
    check(
        rules,
        &["in4_t0"],
        &expect![[r#"
              map in4_t0_0p0 {
                typeof meta l4proto . ip saddr . ip daddr . th sport . th dport : verdict
                flags interval
                elements = { 6 . 10.9.0.7 . 0.0.0.0-255.255.255.255 . 0-65535 . 22 : goto r0,
                  6 . 10.9.0.0-10.9.0.6 . 0.0.0.0-255.255.255.255 . 0-65535 . 22 : goto r1,
                  6 . 10.9.0.8-10.9.0.255 . 0.0.0.0-255.255.255.255 . 0-65535 . 22 : goto r1,
                  6 . 10.0.0.0-10.8.255.255 . 0.0.0.0-255.255.255.255 . 0-65535 . 0-65535 : goto r2,
                  6 . 10.9.0.0-10.9.0.6 . 0.0.0.0-255.255.255.255 . 0-65535 . 0-21 : goto r2,
                  6 . 10.9.0.0-10.9.0.6 . 0.0.0.0-255.255.255.255 . 0-65535 . 23-65535 : goto r2,
                  6 . 10.9.1.0-10.255.255.255 . 0.0.0.0-255.255.255.255 . 0-65535 . 0-65535 : goto r2,
                  6 . 10.9.0.8-10.9.0.255 . 0.0.0.0-255.255.255.255 . 0-65535 . 0-21 : goto r2,
                  6 . 10.9.0.8-10.9.0.255 . 0.0.0.0-255.255.255.255 . 0-65535 . 23-65535 : goto r2,
                  6 . 10.9.0.7 . 0.0.0.0-255.255.255.255 . 0-65535 . 0-21 : goto r2,
                  6 . 10.9.0.7 . 0.0.0.0-255.255.255.255 . 0-65535 . 23-65535 : goto r2 }
              }
              chain in4_t0 {
                meta l4proto { 1, 6, 17, 33, 58, 132, 136 } meta l4proto . ip saddr . ip daddr . th sport . th dport vmap @in4_t0_0p0
              }
        "#]],
    );
}

#[test]
fn icmp_types_are_looked_up_as_a_source_port_and_turned_around_for_answers() {
    let rules = vec![
        Rule {
            icmp: vec![IcmpMatch { kind: 8, code: Some(0) }, IcmpMatch { kind: 128, code: None }],
            ..rule("ping", Action::Accept)
        },
        tcp("ssh", Action::Accept, Addresses::Any, 22),
    ];
    check(
        rules,
        &["in4_t0"],
        &expect![[r#"
              map in4_t0_0p0 {
                typeof meta l4proto . ip saddr . ip daddr . th sport . th dport : verdict
                flags interval
                elements = { 1 . 0.0.0.0-255.255.255.255 . 0.0.0.0-255.255.255.255 . 2048 . 0-65535 : goto r0,
                  1 . 0.0.0.0-255.255.255.255 . 0.0.0.0-255.255.255.255 . 32768-33023 . 0-65535 : goto r0,
                  58 . 0.0.0.0-255.255.255.255 . 0.0.0.0-255.255.255.255 . 2048 . 0-65535 : goto r0,
                  58 . 0.0.0.0-255.255.255.255 . 0.0.0.0-255.255.255.255 . 32768-33023 . 0-65535 : goto r0,
                  6 . 0.0.0.0-255.255.255.255 . 0.0.0.0-255.255.255.255 . 0-65535 . 22 : goto r1 }
              }
              chain in4_t0 {
                meta l4proto { 1, 6, 17, 33, 58, 132, 136 } meta l4proto . ip saddr . ip daddr . th sport . th dport vmap @in4_t0_0p0
              }
        "#]],
    );
}

#[test]
fn flags_interfaces_and_limits_that_pass_on_are_rules_of_their_own() {
    let rules = vec![
        Rule { flags: Some(FlagsMatch { mask: 0x12, value: 2 }), ..tcp("syn", Action::Accept, Addresses::Any, 80) },
        Rule { interfaces: vec!["eth0".to_owned(), "wg*".to_owned()], ..rule("inside", Action::Accept) },
        Rule { limit: Some(limit(true, Action::Pass)), ..tcp("some", Action::Accept, Addresses::Any, 81) },
        rule("next", Action::Pass),
    ];
    check(
        rules,
        &["in4_t0", "r1", "r2", "r3"],
        &expect![[r#"
              counter r1 {
                comment "inside"
                packets 0 bytes 0
              }
              counter r2 {
                comment "some"
                packets 0 bytes 0
              }
              counter r3 {
                comment "next"
                packets 0 bytes 0
              }
              set r2_ip {
                type ipv4_addr
                size 65536
                flags dynamic, timeout
                timeout 1s
              }
              set r2_ip6 {
                type ipv6_addr
                size 65536
                flags dynamic, timeout
                timeout 1s
              }
              chain in4_t0 {
                meta l4proto 6 th dport 80 ct status confirmed goto r0
                meta l4proto 6 th dport 80 tcp flags & 0x12 == 0x2 ct status & confirmed == 0 goto r0
                meta l4proto 6 th dport 80 tcp flags & 0x12 == 0x2 ct state { invalid, untracked } goto r0
                iifname { "eth0", "wg*" } goto r1
                meta l4proto 6 th dport 81 jump r2
                goto r3
              }
              chain r1 {
                comment "inside"
                counter name r1
                accept
              }
              chain r2 {
                comment "some"
                ct status confirmed counter name r2 accept
                update @r2_ip { ip saddr limit rate over 2000/second burst 100 packets } return
                update @r2_ip6 { ip6 saddr limit rate over 2000/second burst 100 packets } return
                counter name r2
                accept
              }
              chain r3 {
                comment "next"
                counter name r3
                return
              }
        "#]],
    );
}

#[test]
fn limits_are_in_the_chain_of_the_rule() {
    let rules = vec![
        Rule { limit: Some(limit(true, Action::Drop)), ..tcp("web", Action::Accept, Addresses::Any, 80) },
        Rule { limit: Some(limit(false, Action::Reject)), ..tcp("api", Action::Accept, Addresses::Any, 81) },
    ];
    check(
        rules,
        &["r0", "r1"],
        &expect![[r#"
              counter r0 {
                comment "web"
                packets 0 bytes 0
              }
              counter r1 {
                comment "api"
                packets 0 bytes 0
              }
              set r0_ip {
                type ipv4_addr
                size 65536
                flags dynamic, timeout
                timeout 1s
              }
              set r0_ip6 {
                type ipv6_addr
                size 65536
                flags dynamic, timeout
                timeout 1s
              }
              chain r0_over {
                counter name over_limit
                drop
              }
              chain r0 {
                comment "web"
                ct status confirmed counter name r0 accept
                update @r0_ip { ip saddr limit rate over 2000/second burst 100 packets } goto r0_over
                update @r0_ip6 { ip6 saddr limit rate over 2000/second burst 100 packets } goto r0_over
                counter name r0
                accept
              }
              chain r1_over {
                counter name over_limit
                meta l4proto 6 reject with tcp reset
                reject with icmpx admin-prohibited
              }
              chain r1 {
                comment "api"
                ct status confirmed counter name r1 accept
                limit rate over 2000/second burst 100 packets goto r1_over
                counter name r1
                accept
              }
              chain r1_sent_over {
                counter name over_limit
                drop
              }
              chain r1_sent {
                comment "api"
                ct status confirmed counter name r1 accept
                limit rate over 2000/second burst 100 packets goto r1_sent_over
                counter name r1
                accept
              }
        "#]],
    );
}

#[test]
fn logs_and_refusals_are_in_the_chain_of_the_rule_and_nothing_sent_is_rejected() {
    let rule = Rule {
        log: Some(LogRate { count: 5, per: Duration::from_secs(60) }),
        direction: None,
        ..tcp("no \"telnet\"", Action::Reject, Addresses::Any, 23)
    };
    check(
        vec![rule],
        &["r0"],
        &expect![[r#"
              counter r0 {
                comment "no _telnet_"
                packets 0 bytes 0
              }
              chain r0 {
                comment "no _telnet_"
                limit rate 5/minute log prefix "hivewall rule=no _telnet_ "
                counter name r0
                meta l4proto 6 reject with tcp reset
                reject with icmpx admin-prohibited
              }
              chain r0_sent {
                comment "no _telnet_"
                limit rate 5/minute log prefix "hivewall rule=no _telnet_ "
                counter name r0
                drop
              }
        "#]],
    );
}

#[test]
fn many_addresses_become_a_set_that_rules_share() {
    let many: Vec<String> = (0..300).map(|n| format!("10.{}.{}.0/25", n / 100, n % 100)).collect();
    let many = nets(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let rules = vec![
        Rule { from: many.clone(), ..rule("a", Action::Drop) },
        Rule { to: many, direction: Some(Direction::Egress), ..rule("b", Action::Drop) },
    ];
    let program = compile(&ruleset(rules), &[], &Options::default());
    assert_eq!(program.text.matches("10.2.99.0-10.2.99.127").count(), 1);
    assert_eq!(program.text.matches("@s0_4 goto").count(), 4);
}

#[test]
fn what_a_policy_cannot_have_is_told_by_rule() {
    let rules = vec![
        Rule { established: Established::Keep, ..rule("keeps", Action::Accept) },
        Rule { direction: None, ..rule("both", Action::Reject) },
        Rule {
            limit: Some(Limit {
                count: 7,
                per: Duration::from_secs(11),
                burst: 1,
                per_source: false,
                over: Action::Drop,
            }),
            ..rule("odd", Action::Accept)
        },
    ];
    let program = compile(&ruleset(rules), &[], &Options::default());
    let told: Vec<String> = program.shortfalls.iter().map(ToString::to_string).collect();
    expect![[r"
        rule `keeps` (line 7): `established` has no effect with this backend, its flows are judged again by every policy; use the backend ebpf, or leave it out
        rule `both` (line 7): what it rejects among sent packets is dropped without telling the sender; this backend can only tell senders of received packets
        rule `odd` (line 7): its limit has no exact form with this backend and is rounded to 54981 a day; write it by second, minute, hour or day"]].assert_eq(&told.join("\n"));
}

#[test]
fn bans_in_one_another_last_as_long_as_the_longest() {
    let ban = |net: &str, seconds: Option<u64>| Ban {
        net: net.parse().unwrap(),
        expires_in: seconds.map(Duration::from_secs),
    };
    let bans = [
        ban("10.0.0.0/8", Some(60)),
        ban("10.1.0.0/16", Some(600)),
        ban("10.1.1.0/24", Some(5)),
        ban("10.2.0.0/16", None),
        ban("192.0.2.1/32", Some(5)),
        ban("192.0.2.1/32", None),
        ban("2001:db8::/32", Some(9)),
    ];
    expect![[r"
        flush set inet hivewall ban4_hosts
        add element inet hivewall ban4_hosts { 192.0.2.1 }
        flush set inet hivewall ban4
        add element inet hivewall ban4 { 10.0.0.0-10.0.255.255 timeout 60000ms, 10.1.0.0-10.1.255.255 timeout 600000ms, 10.2.0.0-10.2.255.255, 10.3.0.0-10.255.255.255 timeout 60000ms }
        flush set inet hivewall ban6_hosts
        flush set inet hivewall ban6
        add element inet hivewall ban6 { 2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff timeout 9000ms }
    "]].assert_eq(&replace_bans(&bans));
    expect![[r"
        add element inet hivewall ban4_hosts { 192.0.2.1 }
        delete element inet hivewall ban4_hosts { 192.0.2.1 }
        add element inet hivewall ban4_hosts { 192.0.2.1 timeout 5000ms }
    "]]
    .assert_eq(&ban_host(&bans[4]).unwrap());
    assert_eq!(ban_host(&bans[0]), None);
}

#[test]
fn four_thousand_rules_are_a_few_look_ups() {
    let mut rules: Vec<Rule> = (0..4000_u32)
        .map(|n| {
            let action = if n % 3 == 0 { Action::Drop } else { Action::Accept };
            tcp(&format!("r{n}"), action, nets(&[&format!("10.{}.{}.0/24", n / 256, n % 256)]), (n % 7) as u16 + 20)
        })
        .collect();
    rules.push(rule("rest", Action::Drop));
    let size = compile(&ruleset(rules), &[], &Options::default()).size;
    assert_eq!((size.maps, size.elements, size.deepest), (2, 8000, 2));
}
