//! Which rules can never match, and by which others.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use crate::parse;

fn document(tiers: &str) -> String {
    format!(
        "kind: Policy\nmetadata: {{name: e, version: 1}}\nsets:\n  big: {{cidr: [10.0.0.0/9, 10.128.0.0/9]}}\n  \
         small: {{cidr: [10.1.0.0/16, 10.200.0.0/24]}}\n  webs: {{hosts: \"role == 'web'\"}}\ntiers:\n{tiers}"
    )
}

fn said(tiers: &str) -> String {
    match parse(&document(tiers)) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a picture is written in place")]
fn check(rules: &str, expected: Expect) {
    expected.assert_eq(&said(&format!("- name: main\n  default: {{in: drop}}\n  rules:\n{rules}")));
}

#[test]
fn a_rule_within_an_earlier_one_is_refused() {
    for (rules, expected) in [
        (
            "  - {id: a, dir: in, action: accept}\n  - {id: b, dir: in, proto: tcp, dport: 22, action: accept}\n",
            expect![
                "line 12, column 10: the rule `b` can never match: `a` on line 11 matches all of its packets first; take it out"
            ],
        ),
        (
            "  - {id: a, dir: in, from: \"@big\", action: accept}\n  - {id: b, dir: in, from: \"@small\", action: drop}\n",
            expect![
                "line 12, column 10: the rule `b` can never match: `a` on line 11 matches all of its packets first; move it above that rule, or take it out"
            ],
        ),
        (
            "  - {id: a, dir: in, from: \"@big\", action: accept}\n  - {id: b, dir: in, from: 10.0.0.0/8, action: accept}\n",
            expect![
                "line 12, column 10: the rule `b` can never match: `a` on line 11 matches all of its packets first; take it out"
            ],
        ),
        (
            "  - {id: a, dir: in, from: \"!@small\", action: accept}\n  - {id: b, dir: in, from: 10.2.0.0/16, action: accept}\n",
            expect![
                "line 12, column 10: the rule `b` can never match: `a` on line 11 matches all of its packets first; take it out"
            ],
        ),
        (
            "  - {id: a, dir: in, from: \"!@small\", action: accept}\n  - {id: b, dir: in, from: \"!@big\", action: accept}\n",
            expect![
                "line 12, column 10: the rule `b` can never match: `a` on line 11 matches all of its packets first; take it out"
            ],
        ),
        (
            "  - {id: a, dir: in, from: \"@webs\", action: accept}\n  - {id: b, dir: in, proto: udp, from: \"@webs\", action: accept}\n",
            expect![
                "line 12, column 10: the rule `b` can never match: `a` on line 11 matches all of its packets first; take it out"
            ],
        ),
        (
            "  - {id: a, dir: in, proto: tcp, dport: 1-100, action: accept}\n  - {id: b, dir: in, proto: tcp, dport: [22, 80], action: accept}\n",
            expect![
                "line 12, column 10: the rule `b` can never match: `a` on line 11 matches all of its packets first; take it out"
            ],
        ),
        (
            "  - {id: a, dir: in, proto: icmp, icmp: 3, action: accept}\n  - {id: b, dir: in, proto: icmp, icmp: 3/4, action: accept}\n",
            expect![
                "line 12, column 10: the rule `b` can never match: `a` on line 11 matches all of its packets first; take it out"
            ],
        ),
        (
            "  - {id: a, dir: in, proto: tcp, flags: syn, action: accept}\n  - {id: b, dir: in, proto: tcp, flags: \"syn/syn,ack\", action: accept}\n",
            expect![
                "line 12, column 10: the rule `b` can never match: `a` on line 11 matches all of its packets first; take it out"
            ],
        ),
        (
            "  - {id: a, dir: in, interface: \"eth*\", action: accept}\n  - {id: b, dir: in, interface: eth0, action: accept}\n",
            expect![
                "line 12, column 10: the rule `b` can never match: `a` on line 11 matches all of its packets first; take it out"
            ],
        ),
        (
            "  - {id: a, dir: in, action: pass}\n  - {id: b, dir: in, proto: tcp, action: accept}\n",
            expect![
                "line 12, column 10: the rule `b` can never match: `a` on line 11 matches all of its packets first; move it above that rule, or take it out"
            ],
        ),
        (
            "  - {id: a, dir: in, proto: tcp, action: accept, limit: {rate: 1/s}}\n  - {id: b, dir: in, proto: tcp, action: accept}\n",
            expect![
                "line 12, column 10: the rule `b` can never match: `a` on line 11 matches all of its packets first; take it out"
            ],
        ),
    ] {
        check(rules, expected);
    }
}

#[test]
fn a_rule_that_can_match_is_taken() {
    for rules in [
        "  - {id: a, dir: in, proto: tcp, action: accept}\n  - {id: b, dir: in, action: accept}\n",
        "  - {id: a, dir: in, action: accept}\n  - {id: b, dir: both, action: accept}\n",
        "  - {id: a, dir: in, from: 10.0.0.0/9, action: accept}\n  - {id: b, dir: in, from: \"@big\", action: accept}\n",
        "  - {id: a, dir: in, from: \"@webs\", action: accept}\n  - {id: b, dir: in, from: \"@small\", action: accept}\n",
        "  - {id: a, dir: in, from: \"@big\", action: accept}\n  - {id: b, dir: in, from: \"@webs\", action: accept}\n",
        "  - {id: a, dir: in, from: \"!@webs\", action: accept}\n  - {id: b, dir: in, from: 10.0.0.1, action: accept}\n",
        "  - {id: a, dir: in, proto: tcp, dport: 0-65535, action: accept}\n  - {id: b, dir: in, proto: tcp, action: drop}\n",
        "  - {id: a, dir: in, proto: tcp, flags: \"syn/syn,ack\", action: accept}\n  - {id: b, dir: in, proto: tcp, flags: syn, action: accept}\n",
        "  - {id: a, dir: in, action: accept, limit: {rate: 1/s, over: pass}}\n  - {id: b, dir: in, proto: tcp, action: accept}\n",
        "  - {id: a, dir: in, interface: eth0, action: accept}\n  - {id: b, dir: in, interface: \"eth*\", action: accept}\n",
        // A last rule that leaves the default nothing to do.
        "  - {id: a, dir: in, action: drop, log: true}\n",
    ] {
        assert_eq!(said(&format!("- name: main\n  default: {{in: drop}}\n  rules:\n{rules}")), "", "{rules}");
    }
}

#[test]
fn several_rules_together_can_be_in_the_way() {
    for (rules, expected) in [
        (
            "  - {id: a, dir: in, from: 10.0.0.0/9, action: accept}\n  - {id: x, dir: in, from: 11.0.0.0/8, action: accept}\n  - {id: b, dir: in, from: 10.128.0.0/9, action: drop}\n  - {id: c, dir: in, proto: tcp, from: 10.0.0.0/8, action: accept}\n",
            expect![
                "line 14, column 10: the rule `c` can never match: `a` (line 11), `b` (line 13) together match all of its packets first; take it out or move it up"
            ],
        ),
        (
            "  - {id: a, dir: in, proto: tcp, dport: 1-100, action: accept}\n  - {id: b, dir: in, proto: tcp, dport: 101-200, action: drop}\n  - {id: c, dir: in, proto: tcp, dport: 50-150, action: accept}\n",
            expect![
                "line 13, column 10: the rule `c` can never match: `a` (line 11), `b` (line 12) together match all of its packets first; take it out or move it up"
            ],
        ),
        (
            "  - {id: a, dir: in, action: accept}\n  - {id: b, dir: out, action: accept}\n  - {id: c, dir: both, proto: tcp, action: accept}\n",
            expect![
                "line 13, column 10: the rule `c` can never match: `a` (line 11), `b` (line 12) together match all of its packets first; take it out or move it up"
            ],
        ),
        (
            "  - {id: a, dir: in, proto: tcp, action: accept}\n  - {id: b, dir: in, proto: udp, action: accept}\n  - {id: c, dir: in, proto: [tcp, udp], dport: 53, action: accept}\n",
            expect![
                "line 13, column 10: the rule `c` can never match: `a` (line 11), `b` (line 12) together match all of its packets first; take it out or move it up"
            ],
        ),
        (
            "  - {id: a, dir: in, from: 0.0.0.0/0, action: accept}\n  - {id: b, dir: in, from: \"::/0\", action: accept}\n  - {id: c, dir: in, proto: tcp, action: accept}\n",
            expect![
                "line 13, column 10: the rule `c` can never match: `a` (line 11), `b` (line 12) together match all of its packets first; take it out or move it up"
            ],
        ),
        (
            "  - {id: a, dir: in, proto: tcp, flags: syn, action: accept}\n  - {id: b, dir: in, proto: tcp, flags: none/syn, action: accept}\n  - {id: c, dir: in, proto: tcp, dport: 22, action: accept}\n",
            expect![
                "line 13, column 10: the rule `c` can never match: `a` (line 11), `b` (line 12) together match all of its packets first; take it out or move it up"
            ],
        ),
    ] {
        check(rules, expected);
    }
}

#[test]
fn a_tier_behind_a_default_is_reached_by_pass_alone() {
    let tiers = |pass: &str| {
        format!(
            "- name: first\n  default: {{in: drop}}\n  rules:\n  - {{id: web, dir: in, proto: tcp, dport: 80, action: accept}}\n{pass}\
             - name: second\n  default: {{in: drop, out: accept}}\n  rules:\n  - {{id: ssh, dir: in, proto: tcp, dport: 22, action: accept}}\n\
             \x20 - {{id: dns, dir: in, proto: udp, dport: 53, action: accept}}\n"
        )
    };
    expect![[r"
        line 13, column 17: no packet reaches this default: the default of tier `first` (in) on line 9 has decided already; take it out
        line 15, column 10: the rule `ssh` can never match: the default of tier `first` (in) on line 9 matches all of its packets first; move this tier before that one, or let a rule of that tier `pass`
        line 16, column 10: the rule `dns` can never match: the default of tier `first` (in) on line 9 matches all of its packets first; move this tier before that one, or let a rule of that tier `pass`"]].assert_eq(&said(&tiers("")));
    expect!["line 17, column 10: the rule `dns` can never match: the default of tier `first` (in) on line 9 matches all of its packets first; move this tier before that one, or let a rule of that tier `pass`"].assert_eq(&said(&tiers("  - {id: go-on, dir: in, proto: tcp, dport: 22, action: pass}\n")));
    assert_eq!(said(&tiers("  - {id: go-on, dir: in, action: pass}\n")), "");
}

#[test]
fn a_pass_before_a_rule_lets_the_next_tier_see_its_packets() {
    let tiers = |first: &str| {
        format!(
            "- name: first\n  rules:\n{first}- name: second\n  rules:\n  - {{id: late, dir: in, proto: tcp, from: 10.1.0.0/16, action: drop}}\n"
        )
    };
    let accept = "  - {id: all, dir: in, proto: tcp, action: accept}\n";
    let pass = "  - {id: go-on, dir: in, proto: tcp, from: 10.1.2.0/24, action: pass}\n";
    let elsewhere = "  - {id: go-on, dir: in, proto: tcp, from: 10.2.0.0/16, action: pass}\n";
    expect!["line 13, column 10: the rule `late` can never match: `all` on line 10 matches all of its packets first; move it above that rule, or take it out"].assert_eq(&said(&tiers(accept)));
    assert_eq!(said(&tiers(&format!("{pass}{accept}"))), "");
    expect!["line 14, column 10: the rule `late` can never match: `all` on line 11 matches all of its packets first; move it above that rule, or take it out"].assert_eq(&said(&tiers(&format!("{elsewhere}{accept}"))));
}

#[test]
fn four_thousand_rules_are_compared_in_no_time() {
    let mut rules = String::new();
    for n in 0..4000_u32 {
        let (a, b, port) = (n / 250 % 16, n % 250, 1000 + n);
        let _ = match n % 4 {
            0 => writeln!(
                rules,
                "  - {{id: r{n}, dir: in, proto: tcp, from: 10.{a}.{b}.0/24, dport: {port}, action: accept}}"
            ),
            1 => writeln!(rules, "  - {{id: r{n}, dir: in, proto: tcp, dport: {port}-{}, action: accept}}", port + 2),
            2 => writeln!(
                rules,
                "  - {{id: r{n}, dir: in, proto: udp, from: 10.{a}.{b}.0/24, dport: 53, action: accept}}"
            ),
            _ => writeln!(rules, "  - {{id: r{n}, dir: out, to: [10.{a}.{b}.1, 10.{a}.{b}.9], action: drop}}"),
        };
    }
    rules.push_str("  - {id: last, dir: in, proto: udp, from: 10.3.249.0/25, dport: 53, action: drop}\n");
    let text = document(&format!("- name: main\n  default: {{in: drop}}\n  rules:\n{rules}"));
    let started = std::time::Instant::now();
    let said = said_of(&text);
    println!("read and compared in {:?}", started.elapsed());
    assert_eq!(said, "");
}

fn said_of(text: &str) -> String {
    parse(text).map_or_else(|error| error.to_string(), |_| String::new())
}
