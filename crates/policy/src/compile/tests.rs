//! The compiler against the oracle, by a reader of tables that is as plain as the tables are.

use std::net::IpAddr;

use hivewall_datapath::policy::{Action, Address, BROKEN, RuleFlags, Tables as _, classify, kind};
use hivewall_datapath::proto;
use hivewall_soft::SoftTables;
use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::opener;
use crate::oracle::{By, Facts, Outcome, Transport, fits, is_banned, judge};
use crate::sample::{Draws, INTERFACES, ifindex};
use crate::{FlagsMatch, IcmpMatch, Mode};

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => 0xffff << 32 | u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn longest(classes: &[(Address, u32)], address: IpAddr, otherwise: u32) -> u32 {
    let bits = bits_of(address);
    let holds = |prefix: &Address| {
        let first = prefix.words.iter().fold(0u128, |bits, word| bits << 32 | u128::from(u32::from_be(*word)));
        prefix.prefix_len == 0 || (first ^ bits) >> (128 - prefix.prefix_len) == 0
    };
    let held = classes.iter().filter(|(prefix, _)| holds(prefix)).max_by_key(|(prefix, _)| prefix.prefix_len);
    held.map_or(otherwise, |(_, row)| *row)
}

/// Rules that can match, by the tables.
fn matching(tables: &PolicyTables, facts: &Facts) -> Vec<usize> {
    let head = &tables.head;
    let port = |rows: &[u16], port: u16| if rows.is_empty() { 0 } else { u32::from(rows[usize::from(port)]) };
    let interface = tables.interfaces.iter().find(|(pattern, _)| fits(pattern, &facts.interface));
    let transport = facts.transport.map_or([0; 3], |transport| {
        [
            port(&tables.source_ports, transport.source_port),
            port(&tables.destination_ports, transport.destination_port),
            u32::from(head.flags[usize::from(transport.flags)]),
        ]
    });
    let numbers = [
        longest(&tables.sources, facts.from, head.source_else),
        longest(&tables.destinations, facts.to, head.destination_else),
        u32::from(head.kinds[kind(facts.direction, facts.proto)]),
        interface.map_or(head.interface_else, |(_, row)| *row),
    ];
    let rows: Vec<_> = numbers.iter().chain(&transport).map(|number| tables.rows[*number as usize]).collect();
    for row in &rows {
        let summary = (0..64).filter(|at| row.words[*at] != 0).fold(0, |bits, at| bits | 1 << at);
        assert_eq!(row.summary, summary);
    }
    (0..tables.rules.len()).filter(|at| rows.iter().all(|row| row.words[at / 64] >> (at % 64) & 1 == 1)).collect()
}

/// Action and counter (or cause), as the datapath has to find them.
fn by_tables(tables: &PolicyTables, facts: &Facts, banned: bool) -> (Action, Option<u16>) {
    let (mut at, mut may_pass_to) = (0, 0);
    for rule in matching(tables, facts) {
        if rule < at {
            continue;
        }
        if banned && rule >= tables.head.before_bans as usize {
            break;
        }
        let entry = tables.rules[rule];
        let unknown = facts.transport.is_none() && entry.flags & RuleFlags::PORTS != 0;
        match Action::from_number(entry.action) {
            Action::Accept => return (Action::Accept, Some(entry.counter)),
            Action::Pass if unknown => may_pass_to = usize::from(entry.next),
            Action::Pass => at = usize::from(entry.next),
            _ if unknown => {}
            _ if may_pass_to > rule => at = may_pass_to,
            _ if facts.transport.is_none() => return (Action::Drop, None),
            action => return (action, Some(entry.counter)),
        }
    }
    (if banned { Action::Drop } else { Action::Accept }, None)
}

/// The same by the datapath's own code.
fn by_datapath(tables: &SoftTables, facts: &Facts, banned: bool) -> (Action, Option<u16>) {
    let opener = opener(facts, ifindex(&facts.interface));
    let index = classify(tables, &opener, 0, false);
    let head = tables.head().unwrap();
    assert_ne!(index, BROKEN, "{facts:?}");
    if banned && index >= head.before_bans {
        return (Action::Drop, None);
    }
    let Some(entry) = tables.rule(index) else { return (Action::Accept, None) };
    match Action::from_number(entry.action) {
        Action::Drop | Action::Reject if opener.portless => (Action::Drop, None),
        action => (action, Some(entry.counter)),
    }
}

fn interfaces() -> Vec<(u32, String)> {
    (1..).zip(INTERFACES).map(|(index, name)| (index, (*name).to_owned())).collect()
}

fn by_oracle(outcome: Outcome, ruleset: &Ruleset, counters: &Counters) -> (Action, Option<u16>) {
    let counter = match outcome.by {
        By::Rule(at) => counters.number(&ruleset.rules[at].id),
        _ => None,
    };
    (outcome.action, counter)
}

fn compiled(ruleset: &Ruleset) -> (PolicyTables, Counters) {
    let mut counters = Counters::default();
    let tables = compile(ruleset, &mut counters).unwrap();
    (tables, counters)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn tables_say_what_the_oracle_says(seed: u64) {
        let mut draws = Draws::seeded(seed);
        let ruleset = draws.ruleset();
        let (tables, counters) = compiled(&ruleset);
        let soft = SoftTables::new(tables.clone(), &interfaces());
        let bans = if draws.once_in(2) { vec![draws.net()] } else { Vec::new() };
        for _ in 0..100 {
            let facts = draws.facts();
            let outcome = judge(&ruleset, &bans, &facts);
            let wanted = by_oracle(outcome, &ruleset, &counters);
            let found = by_tables(&tables, &facts, is_banned(&bans, &facts));
            prop_assert_eq!(found, wanted, "{:?}\n{:#?}\n{:?}", facts, ruleset, bans);
            let found = by_datapath(&soft, &facts, is_banned(&bans, &facts));
            prop_assert_eq!(found, wanted, "{:?}\n{:#?}\n{:?}", facts, ruleset, bans);
        }
    }
}

fn any() -> Rule {
    let mut rule = Draws::from_bytes(&[]).rule(Stage::Tier(0), 0);
    rule.protocols = Vec::new();
    Rule { source_ports: Vec::new(), flags: None, interfaces: Vec::new(), action: Action::Drop, ..rule }
}

fn tcp(from: &str, to: &str, source_port: u16, destination_port: u16) -> Facts {
    Facts {
        direction: Direction::Ingress,
        interface: "eth0".into(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        proto: proto::TCP,
        transport: Some(Transport { source_port, destination_port, flags: 2 }),
    }
}

fn nets(list: &[&str]) -> Vec<IpNet> {
    list.iter().map(|net| net.parse().unwrap()).collect()
}

/// The packets a rule drops, by tables and oracle alike.
fn check(rule: Rule, packets: &[(Facts, bool)]) {
    let ruleset = Ruleset { rules: vec![rule], mode: Mode::Enforce, ..Ruleset::default() };
    let (tables, counters) = compiled(&ruleset);
    let soft = SoftTables::new(tables.clone(), &interfaces());
    for (facts, drops) in packets {
        let wanted = by_oracle(judge(&ruleset, &[], facts), &ruleset, &counters);
        assert_eq!(by_tables(&tables, facts, false), wanted, "{facts:?}");
        assert_eq!(by_datapath(&soft, facts, false), wanted, "{facts:?}");
        assert_eq!(wanted.0 == Action::Drop, *drops, "{facts:?}");
    }
}

fn other_protocol(facts: &Facts, proto: u8) -> Facts {
    let transport = facts.transport.map(|transport| Transport { flags: 0, ..transport });
    Facts { proto, transport, ..facts.clone() }
}

#[test]
fn a_destination_port_is_matched_not_missed_and_only_where_there_are_ports() {
    let ssh = tcp("10.0.0.1", "10.0.0.2", 40000, 22);
    let web = tcp("10.0.0.1", "10.0.0.2", 22, 80);
    let type_and_code = other_protocol(&ssh, proto::ICMP);
    let no_ports = other_protocol(&ssh, proto::GRE);
    let ports = |ranges: Vec<std::ops::RangeInclusive<u16>>| Rule { destination_ports: ranges, ..any() };
    check(
        ports(vec![22..=22]),
        &[(ssh.clone(), true), (web.clone(), false), (type_and_code.clone(), false), (no_ports, false)],
    );
    check(ports(vec![0..=21, 23..=65535]), &[(ssh, false), (web, true), (type_and_code, false)]);
}

#[test]
fn a_source_port_is_matched_not_missed_and_only_where_there_are_ports() {
    let dns = tcp("10.0.0.1", "10.0.0.2", 53, 40000);
    let other = tcp("10.0.0.1", "10.0.0.2", 40000, 53);
    let rule = |ranges: Vec<std::ops::RangeInclusive<u16>>| Rule { source_ports: ranges, ..any() };
    let udp = other_protocol(&dns, proto::UDP);
    let icmp = other_protocol(&dns, proto::ICMPV6);
    check(rule(vec![53..=53]), &[(dns.clone(), true), (udp, true), (other.clone(), false), (icmp.clone(), false)]);
    check(rule(vec![0..=52, 54..=65535]), &[(dns, false), (other, true), (icmp, false)]);
}

#[test]
fn an_icmp_type_is_matched_not_missed_and_is_no_port() {
    let ping = other_protocol(&tcp("10.0.0.1", "10.0.0.2", 8, 0), proto::ICMP);
    let port_8 = tcp("10.0.0.1", "10.0.0.2", 8, 0);
    let unreachable = |code| other_protocol(&tcp("10.0.0.1", "10.0.0.2", 3, code), proto::ICMP);
    let rule = |icmp: &[(u8, Option<u8>)]| Rule {
        icmp: icmp.iter().map(|(kind, code)| IcmpMatch { kind: *kind, code: *code }).collect(),
        ..any()
    };
    check(rule(&[(8, None)]), &[(ping.clone(), true), (port_8.clone(), false), (unreachable(0), false)]);
    // Types with different codes are no product.
    let two = rule(&[(8, None), (3, Some(4))]);
    check(two, &[(ping, true), (unreachable(4), true), (unreachable(0), false), (port_8, false)]);
}

#[test]
fn prefixes_of_one_family_never_match_the_other() {
    let v4 = tcp("10.0.0.1", "10.0.0.2", 1, 2);
    let v6 = tcp("fd00::1", "fd00::2", 1, 2);
    let from = |addresses| Rule { from: addresses, ..any() };
    check(from(Addresses::In(nets(&["0.0.0.0/0"]))), &[(v4.clone(), true), (v6.clone(), false)]);
    check(from(Addresses::In(nets(&["::/0"]))), &[(v4.clone(), false), (v6.clone(), true)]);
    check(from(Addresses::NotIn(nets(&["::/0"]))), &[(v4.clone(), true), (v6.clone(), false)]);
    check(from(Addresses::NotIn(nets(&["0.0.0.0/0"]))), &[(v4, false), (v6, true)]);
}

#[test]
fn an_address_list_is_matched_missed_nested_and_negated() {
    let inner = tcp("10.1.2.3", "10.0.0.2", 1, 2);
    let outer = tcp("10.2.0.1", "10.0.0.2", 1, 2);
    let beyond = tcp("11.0.0.1", "10.0.0.2", 1, 2);
    let list = nets(&["10.1.2.0/24", "10.0.0.0/8", "10.1.0.0/16"]);
    let udp = other_protocol(&inner, proto::UDP);
    let tests =
        |held: bool| [(inner.clone(), held), (outer.clone(), held), (udp.clone(), held), (beyond.clone(), !held)];
    check(Rule { from: Addresses::In(list.clone()), ..any() }, &tests(true));
    check(Rule { from: Addresses::NotIn(list.clone()), ..any() }, &tests(false));
    check(Rule { to: Addresses::In(list), ..any() }, &[(inner, true), (beyond, true)]);
    check(Rule { to: Addresses::In(Vec::new()), ..any() }, &[(outer, false)]);
}

#[test]
fn tcp_flags_are_matched_missed_and_only_with_tcp() {
    let syn = tcp("10.0.0.1", "10.0.0.2", 1, 2);
    let mut ack = syn.clone();
    ack.transport.as_mut().unwrap().flags = 0x10;
    let udp = other_protocol(&syn, proto::UDP);
    let rule = |mask, value| Rule { flags: Some(FlagsMatch { mask, value }), ..any() };
    check(rule(0x12, 0x02), &[(syn.clone(), true), (ack.clone(), false), (udp.clone(), false)]);
    check(rule(0x02, 0x00), &[(syn, false), (ack, true), (udp, false)]);
}

#[test]
fn the_most_special_pattern_of_an_interface_comes_first() {
    let rules: Vec<Rule> = [vec!["eth0"], vec!["eth*"], vec!["*"], vec!["e*", "wg0"], vec![]]
        .into_iter()
        .enumerate()
        .map(|(at, names)| Rule {
            id: format!("r{at}"),
            interfaces: names.into_iter().map(str::to_owned).collect(),
            ..any()
        })
        .collect();
    let ruleset = Ruleset { rules, ..Ruleset::default() };
    let (tables, _) = compiled(&ruleset);
    let on = |interface: &str| Facts { interface: interface.into(), ..tcp("10.0.0.1", "10.0.0.2", 1, 2) };
    let order: Vec<&str> = tables.interfaces.iter().map(|(pattern, _)| pattern.as_str()).collect();
    assert_eq!(order, ["eth0", "wg0", "eth*", "e*", "*"]);
    assert_eq!(matching(&tables, &on("eth0")), [0, 1, 2, 3, 4]);
    assert_eq!(matching(&tables, &on("eth1")), [1, 2, 3, 4]);
    assert_eq!(matching(&tables, &on("ens3")), [2, 3, 4]);
    assert_eq!(matching(&tables, &on("wg0")), [2, 3, 4]);
    assert_eq!(matching(&tables, &on("lo")), [2, 4]);
}

#[test]
fn equal_rows_are_one_row() {
    let list: Vec<IpNet> = (0..5000u32).map(|n| IpNet::new(IpAddr::V4((n << 12).into()), 24).unwrap()).collect();
    let ruleset = Ruleset { rules: vec![Rule { from: Addresses::In(list), ..any() }], ..Ruleset::default() };
    let (tables, _) = compiled(&ruleset);
    assert_eq!((tables.sources.len(), tables.rows.len()), (5000, 2));
}

#[test]
fn exempt_sources_are_those_of_rules_before_bans_that_accept_what_is_received() {
    let rule = |stage, direction, from: &[&str]| Rule {
        id: format!("{stage:?}{direction:?}{from:?}"),
        stage,
        direction,
        from: Addresses::In(nets(from)),
        action: Action::Accept,
        ..any()
    };
    let rules = vec![
        rule(Stage::Guard, Some(Direction::Ingress), &["10.9.0.0/24", "fd00::/64"]),
        rule(Stage::Exempt, None, &["10.9.0.0/24"]),
        rule(Stage::Exempt, Some(Direction::Egress), &["10.8.0.0/24"]),
        rule(Stage::Tier(0), None, &["10.7.0.0/24"]),
    ];
    let (tables, _) = compiled(&Ruleset { rules, ..Ruleset::default() });
    assert_eq!(tables.head.before_bans, 3);
    let lens: Vec<u32> = tables.exempt.iter().map(|address| address.prefix_len).collect();
    assert_eq!(lens, [120, 64]);
}

#[test]
fn a_limit_becomes_an_interval_and_a_burst() {
    let limit =
        Limit { count: 2000, per: std::time::Duration::from_secs(1), burst: 11, per_source: true, over: Action::Drop };
    let icmp = [(8, None), (3, Some(1))].map(|(kind, code)| IcmpMatch { kind, code }).to_vec();
    let rules = vec![any(), Rule { id: "limited".into(), limit: Some(limit), icmp, ..any() }];
    let (tables, counters) = compiled(&Ruleset { rules, ..Ruleset::default() });
    let wanted = LimitEntry { interval_ns: 500_000, burst_ns: 5_000_000, per_source: 1, over: 1 };
    assert_eq!(tables.limits, [wanted]);
    let given: Vec<_> = tables.rules.iter().map(|rule| (rule.limit, Some(rule.counter))).collect();
    let (first, second) = (counters.number("r0"), counters.number("limited"));
    assert_eq!(given, [(0, first), (1, second), (1, second)]);
}

#[test]
fn limits_that_pass_in_a_row_are_refused_where_the_datapath_would_not_ask_them_all() {
    let limit =
        Limit { count: 1, per: std::time::Duration::from_secs(1), burst: 1, per_source: false, over: Action::Pass };
    let passing = |at: u16, port: u16| Rule {
        id: format!("r{at}"),
        limit: Some(limit),
        destination_ports: vec![port..=port],
        action: Action::Accept,
        ..any()
    };
    let compiled = |ports: &[u16]| {
        let rules = (0..).zip(ports).map(|(at, port)| passing(at, *port)).collect();
        compile(&Ruleset { rules, ..Ruleset::default() }, &mut Counters::default())
    };
    assert!(compiled(&[80, 80, 80, 443, 443, 443]).is_ok());
    let refused = compiled(&[80, 443, 80, 80, 80]);
    assert!(matches!(refused, Err(CompileError::TooManyPassingLimits { id }) if id == "r4"));
}

#[test]
fn a_rule_too_many_is_refused_by_name() {
    let rules = (0..=RULES_MAX).map(|at| Rule { id: format!("r{at}"), ..any() }).collect();
    let refused = compile(&Ruleset { rules, ..Ruleset::default() }, &mut Counters::default());
    assert!(matches!(refused, Err(CompileError::TooManyRules { rules: 4097, id }) if id == "r4096"));
}

/// A budget far above what is measured, so that only a change of the order of growth fails it.
#[test]
fn four_thousand_rules_and_a_million_prefixes_are_compiled_in_time() {
    let net = |n: u32| IpNet::new(IpAddr::V4((0x0a00_0000 + (n << 8)).into()), 24).unwrap();
    let rules = (0..4000u32)
        .map(|n| Rule {
            id: format!("r{n}"),
            from: Addresses::In(vec![net(n)]),
            to: Addresses::In(vec![net(n + 7)]),
            destination_ports: vec![n as u16 * 16..=n as u16 * 16 + 3],
            ..any()
        })
        .collect();
    let many = Ruleset { rules, ..Ruleset::default() };
    let began = std::time::Instant::now();
    let (tables, _) = compiled(&many);
    let first = began.elapsed();
    assert_eq!((tables.sources.len(), tables.rules.len()), (4000, 4000));
    let host = |n: u32| IpNet::new(IpAddr::V4(n.wrapping_mul(2_654_435_761).into()), 32).unwrap();
    let set: Vec<IpNet> = (0..1_000_000).map(host).collect();
    let large = Ruleset { rules: vec![Rule { from: Addresses::In(set), ..any() }], ..Ruleset::default() };
    let began = std::time::Instant::now();
    let (tables, _) = compiled(&large);
    let second = began.elapsed();
    assert_eq!((tables.sources.len(), tables.rows.len()), (1_000_000, 2));
    println!("4,000 rules {first:?}, 1,000,000 prefixes {second:?}");
    assert!(first.as_secs() < 10 && second.as_secs() < 30, "{first:?}, {second:?}");
}
