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
    let ruleset = Ruleset { name: "edge".to_owned(), version: 1, mode: Mode::Enforce, rules, ..Ruleset::default() };
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

#[test]
fn long_lists_on_one_side_make_the_way_no_longer() {
    let lists: Vec<String> = (0..100).map(|number| format!("10.{}.0.0/16", number * 2)).collect();
    let long = |id: &str| {
        let list: Vec<&str> = lists.iter().map(String::as_str).collect();
        Rule { from: Addresses::In(nets(&list)), destination_ports: vec![22..=22], ..rule(id, Action::Accept) }
    };
    let rules: Vec<Rule> = (0..20).map(|number| long(&format!("rule-{number}"))).collect();
    let ruleset = Ruleset { name: "edge".to_owned(), version: 1, mode: Mode::Enforce, rules, ..Ruleset::default() };
    let program = compile(&ruleset, &[], &Options::default());
    assert_eq!(program.shortfalls, []);
    let both = |mut rule: Rule| {
        rule.to = rule.from.clone();
        rule
    };
    let rules: Vec<Rule> = (0..4).map(|number| both(long(&format!("rule-{number}")))).collect();
    let ruleset = Ruleset { name: "edge".to_owned(), version: 1, mode: Mode::Enforce, rules, ..Ruleset::default() };
    let program = compile(&ruleset, &[], &Options::default());
    let [shortfall] = &program.shortfalls[..] else { panic!("{:?}", program.shortfalls) };
    assert!(shortfall.is_fatal());
    assert_eq!(
        shortfall.to_string(),
        "the policy needs 19 chains one behind the other and iptables allows 16: use fewer tiers, or fewer rules that have \
         long lists of both sources and destinations, or the backend nftables or ebpf"
    );
}

#[test]
fn all_but_everything_is_nothing() {
    let rules = vec![
        Rule { from: Addresses::NotIn(nets(&["0.0.0.0/1", "128.0.0.0/1"])), ..rule("none", Action::Accept) },
        Rule { from: Addresses::NotIn(nets(&["10.0.0.0/8"])), ..rule("one", Action::Accept) },
    ];
    check(
        rules,
        &["in-t0"],
        &expect![[r"
        -A HIVEWALL-in-t0 -p 6 ! -s 10.0.0.0/8 -g HIVEWALL-r1
        -A HIVEWALL-in-t0 -g HIVEWALL-in-end"]],
    );
}

#[test]
fn a_way_that_would_be_too_long_is_written_out() {
    let some = |id: &str| {
        let from = Addresses::NotIn(nets(&["0.0.0.0/2", "128.0.0.0/1"]));
        let to = Addresses::In(nets(&["10.0.0.0/8", "192.168.0.0/16"]));
        Rule { from, to, ..rule(id, Action::Accept) }
    };
    let few: Vec<Rule> = vec![some("0")];
    check(
        few,
        &["in-t0"],
        &expect![[r#"
            -A HIVEWALL-in-t0 -s 0.0.0.0/2 -g HIVEWALL-in-t0-0
            -A HIVEWALL-in-t0 -s 128.0.0.0/1 -g HIVEWALL-in-t0-0
            -A HIVEWALL-in-t0 -g HIVEWALL-in-t0-0f
            -A HIVEWALL-in-t0-0f -d 10.0.0.0/8 -g HIVEWALL-in-t0-0t
            -A HIVEWALL-in-t0-0f -d 192.168.0.0/16 -g HIVEWALL-in-t0-0t
            -A HIVEWALL-in-t0-0f -g HIVEWALL-in-t0-0
            -A HIVEWALL-in-t0-0t -p 6 -g HIVEWALL-r0
            -A HIVEWALL-in-t0-0t -g HIVEWALL-in-t0-0
            -A HIVEWALL-in-t0-0 -g HIVEWALL-in-end"#]],
    );
    let many: Vec<Rule> = (0..4).map(|number| some(&number.to_string())).collect();
    check(
        many,
        &["in-t0"],
        &expect![[r#"
            -A HIVEWALL-in-t0 -p 6 -s 64.0.0.0/2 -d 10.0.0.0/8 -g HIVEWALL-r0
            -A HIVEWALL-in-t0 -p 6 -s 64.0.0.0/2 -d 192.168.0.0/16 -g HIVEWALL-r0
            -A HIVEWALL-in-t0 -p 6 -s 64.0.0.0/2 -d 10.0.0.0/8 -g HIVEWALL-r1
            -A HIVEWALL-in-t0 -p 6 -s 64.0.0.0/2 -d 192.168.0.0/16 -g HIVEWALL-r1
            -A HIVEWALL-in-t0 -p 6 -s 64.0.0.0/2 -d 10.0.0.0/8 -g HIVEWALL-r2
            -A HIVEWALL-in-t0 -p 6 -s 64.0.0.0/2 -d 192.168.0.0/16 -g HIVEWALL-r2
            -A HIVEWALL-in-t0 -p 6 -s 64.0.0.0/2 -d 10.0.0.0/8 -g HIVEWALL-r3
            -A HIVEWALL-in-t0 -p 6 -s 64.0.0.0/2 -d 192.168.0.0/16 -g HIVEWALL-r3
            -A HIVEWALL-in-t0 -g HIVEWALL-in-end"#]],
    );
}
