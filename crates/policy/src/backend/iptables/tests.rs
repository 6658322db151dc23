//! Pictures of rules.

use expect_test::{Expect, expect};
use hivewall_model::Direction;

use super::*;
use crate::{Addresses, Rule};

fn rule(id: &str, action: Action) -> Rule {
    Rule { protocols: vec![6], action, line: 3, ..Rule::plain(id, Stage::Tier(0), Some(Direction::Ingress)) }
}

fn nets(text: &[&str]) -> Vec<ipnet::IpNet> {
    text.iter().map(|net| net.parse().unwrap()).collect()
}

/// The rules for IPv4 in chains that begin so.
fn check(rules: Vec<Rule>, chains: &[&str], want: &Expect) {
    let ruleset = Ruleset { name: "edge".to_owned(), version: 1, mode: Mode::Enforce, rules };
    let program = compile(&ruleset, &[], &Options::default());
    let is_asked = |line: &&str| chains.iter().any(|chain| line.starts_with(&format!("-A {PREFIX}{chain}")));
    let lines: Vec<&str> = program.v4.lines().filter(is_asked).collect();
    want.assert_eq(&lines.join("\n"));
}

#[test]
fn a_rule_goes_to_its_chain_and_a_reply_is_asked_about_by_its_flow() {
    let rules = vec![
        Rule {
            from: Addresses::In(nets(&["10.9.0.0/24", "fd00::/64"])),
            destination_ports: vec![22..=22, 8000..=8100],
            ..rule("ssh", Action::Accept)
        },
        Rule { protocols: Vec::new(), ..rule("main:default-in", Action::Drop) },
    ];
    check(
        rules,
        &["in-t0", "inb-t0", "r"],
        &expect![[r#"
        -A HIVEWALL-in-t0 -p 6 -m multiport --dports 22,8000:8100 -s 10.9.0.0/24 -g HIVEWALL-r0
        -A HIVEWALL-in-t0 -g HIVEWALL-r1
        -A HIVEWALL-in-t0 -g HIVEWALL-in-end
        -A HIVEWALL-inb-t0 -p 6 -m conntrack --ctorigdstport 22 -m conntrack --ctorigsrc 10.9.0.0/24 -g HIVEWALL-r0
        -A HIVEWALL-inb-t0 -p 6 -m conntrack --ctorigdstport 8000:8100 -m conntrack --ctorigsrc 10.9.0.0/24 -g HIVEWALL-r0
        -A HIVEWALL-inb-t0 -g HIVEWALL-r1
        -A HIVEWALL-inb-t0 -g HIVEWALL-inb-end
        -A HIVEWALL-r0 -m comment --comment "ssh" -j RETURN
        -A HIVEWALL-r1 -m comment --comment "main:default-in" -j DROP"#]],
    );
}

#[test]
fn what_passes_is_counted_and_goes_on_to_the_next_tier() {
    let next = Rule { stage: Stage::Tier(1), ..rule("next", Action::Drop) };
    check(
        vec![rule("on", Action::Pass), next],
        &["in-t"],
        &expect![[r"
        -A HIVEWALL-in-t0 -p 6 -j HIVEWALL-r0
        -A HIVEWALL-in-t0 -p 6 -g HIVEWALL-in-t1
        -A HIVEWALL-in-t0 -g HIVEWALL-in-t1
        -A HIVEWALL-in-t1 -p 6 -g HIVEWALL-r1
        -A HIVEWALL-in-t1 -g HIVEWALL-in-end"]],
    );
}

#[test]
fn many_addresses_become_chains_that_go_on_behind_the_rule() {
    let rules = vec![
        Rule {
            from: Addresses::NotIn(nets(&["10.0.0.0/8", "192.168.0.0/16"])),
            to: Addresses::In(nets(&["192.0.2.0/24", "198.51.100.0/24"])),
            ..rule("outside", Action::Drop)
        },
        rule("rest", Action::Accept),
    ];
    check(
        rules,
        &["in-t"],
        &expect![[r"
        -A HIVEWALL-in-t0 -s 10.0.0.0/8 -g HIVEWALL-in-t0-0
        -A HIVEWALL-in-t0 -s 192.168.0.0/16 -g HIVEWALL-in-t0-0
        -A HIVEWALL-in-t0 -g HIVEWALL-in-t0-0f
        -A HIVEWALL-in-t0-0f -d 192.0.2.0/24 -g HIVEWALL-in-t0-0t
        -A HIVEWALL-in-t0-0f -d 198.51.100.0/24 -g HIVEWALL-in-t0-0t
        -A HIVEWALL-in-t0-0f -g HIVEWALL-in-t0-0
        -A HIVEWALL-in-t0-0t -p 6 -g HIVEWALL-r0
        -A HIVEWALL-in-t0-0t -g HIVEWALL-in-t0-0
        -A HIVEWALL-in-t0-0 -p 6 -g HIVEWALL-r1
        -A HIVEWALL-in-t0-0 -g HIVEWALL-in-end"]],
    );
}
