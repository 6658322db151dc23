//! Rehearsals of a few flows, as text.

use expect_test::{Expect, expect};
use hivewall_view::PointRow;

use super::*;
use crate::{Mode, Rule, Stage};

fn rule(id: &str, direction: Direction, action: Action) -> Rule {
    Rule { action, ..Rule::plain(id, Stage::Tier(0), Some(direction)) }
}

/// Accepts these ports and what is sent, drops the rest.
fn policy(ports: &[u16]) -> Ruleset {
    let mut rules: Vec<Rule> = ports
        .iter()
        .map(|port| Rule {
            protocols: vec![proto::TCP],
            destination_ports: vec![*port..=*port],
            ..rule(&format!("port-{port}"), Direction::Ingress, Action::Accept)
        })
        .collect();
    rules.push(rule("main:default-in", Direction::Ingress, Action::Drop));
    rules.push(rule("main:default-out", Direction::Egress, Action::Accept));
    Ruleset { name: "edge".into(), version: 7, mode: Mode::Enforce, rules, ..Ruleset::default() }
}

fn flow(source: &str, port: u16, points: &[(&str, &str, bool)]) -> FlowRow {
    let point = |(interface, direction, to_server): &(&str, &str, bool)| PointRow {
        interface: (*interface).into(),
        direction: (*direction).into(),
        to_server: *to_server,
        packets: 5,
        bytes: 1000,
        wire_bytes: 1100,
        tunnel: None,
    };
    FlowRow {
        protocol: "tcp".into(),
        protocol_number: proto::TCP,
        source_ip: source.into(),
        src_port: Some(40000),
        dest_ip: "10.0.0.1".into(),
        dest_port: Some(port),
        direction: "inbound".into(),
        tcp_flags_to_server: Some("...AP.S.".into()),
        process: (port == 22).then(|| "sshd".to_owned()),
        start: "2026-11-21T10:00:00.250000Z".into(),
        end: "2026-11-21T10:00:02.500000Z".into(),
        bytes: 2000,
        packets: 10,
        interfaces: points.iter().map(point).collect(),
        ..FlowRow::default()
    }
}

const RECEIVED: &[(&str, &str, bool)] = &[("eth0", "ingress", true), ("eth0", "egress", false)];

fn rehearse(new: &Ruleset, current: Option<&Ruleset>, flows: &[FlowRow]) -> Report {
    let mut rehearsal = Rehearsal::new(new, current).unwrap();
    flows.iter().for_each(|flow| rehearsal.take(flow));
    rehearsal.finish()
}

fn check(report: &Report, expect: &Expect) {
    expect.assert_eq(&rehearsal_text(report));
}

#[test]
fn whom_a_policy_would_cut_is_told_by_rule() {
    let flows = [
        flow("192.0.2.1", 22, RECEIVED),
        flow("192.0.2.1", 22, RECEIVED),
        flow("192.0.2.2", 443, RECEIVED),
        flow("fd00::7", 80, RECEIVED),
    ];
    check(
        &rehearse(&policy(&[443, 8443]), None, &flows),
        &expect![[r"
            edge version 7
            flows from      2026-11-21T10:00:00Z to 2026-11-21T10:00:02Z
            judged          4 flows, 40 packets, 8.0 kB
            would refuse    3 flows, 30 packets, 6.0 kB
            guard           left out, or this host declares none: the document alone was judged

            accept  port-443         1 flow, 10 packets, 2.0 kB
            drop    main:default-in  3 flows, 30 packets, 6.0 kB
                                     cuts 192.0.2.1 to tcp/22: 2 flows, 20 packets, 4.0 kB
                                     cuts fd00::7 to tcp/80: 1 flow, 10 packets, 2.0 kB
                                     process sshd: 2 flows, 20 packets, 4.0 kB

            rules that decide about none of these flows: port-8443, main:default-out
        "]],
    );
}

#[test]
fn only_what_changes_is_told_beside_the_present_policy() {
    let flows = [flow("192.0.2.1", 22, RECEIVED), flow("192.0.2.2", 443, RECEIVED), flow("192.0.2.3", 25, RECEIVED)];
    check(
        &rehearse(&policy(&[443]), Some(&policy(&[22])), &flows),
        &expect![[r"
            edge version 7, compared with edge version 7
            flows from      2026-11-21T10:00:00Z to 2026-11-21T10:00:02Z
            judged          3 flows, 30 packets, 6.0 kB
            would refuse    2 flows, 20 packets, 4.0 kB
            newly refused   1 flow, 10 packets, 2.0 kB
            newly accepted  1 flow, 10 packets, 2.0 kB
            guard           left out, or this host declares none: the document alone was judged

            accept  port-443         1 flow, 10 packets, 2.0 kB; 1 of these changes
            drop    main:default-in  2 flows, 20 packets, 4.0 kB; 1 of these changes
                                     cuts 192.0.2.1 to tcp/22: 1 flow, 10 packets, 2.0 kB
                                     process sshd: 1 flow, 10 packets, 2.0 kB

            rules that decide about none of these flows: main:default-out
        "]],
    );
}

#[test]
fn a_forwarded_flow_is_judged_at_both_hooks() {
    let mut new = policy(&[443]);
    new.rules.insert(0, Rule { interfaces: vec!["wan*".into()], ..rule("no-wan", Direction::Egress, Action::Drop) });
    let forwarded = [("eth0", "ingress", true), ("wan0", "egress", true)];
    let other = [("eth0", "ingress", true), ("eth1", "egress", true)];
    let report = rehearse(&new, None, &[flow("192.0.2.1", 443, &forwarded), flow("192.0.2.1", 443, &other)]);
    let decided: Vec<(&str, u64)> = report.rules.iter().map(|rule| (rule.rule.as_str(), rule.decided.flows)).collect();
    assert_eq!(decided, [("no-wan", 1), ("port-443", 1)]);
}

#[test]
fn a_flow_of_which_only_replies_were_seen_is_judged_by_its_own_direction() {
    let report = rehearse(&policy(&[443]), None, &[flow("192.0.2.1", 22, &[("eth0", "egress", false)])]);
    assert_eq!((report.refused.flows, report.rules[0].rule.as_str()), (1, "main:default-in"));
}

#[test]
fn what_a_tunnel_carries_and_errors_are_left_out_and_counted() {
    let inner = FlowRow { tunnel: Some("gre".into()), ..flow("192.0.2.1", 22, RECEIVED) };
    let error = FlowRow {
        protocol_number: proto::ICMP,
        icmp_type: Some(3),
        icmp_code: Some(1),
        src_port: None,
        dest_port: None,
        ..flow("192.0.2.1", 22, RECEIVED)
    };
    let ping = FlowRow { icmp_type: Some(8), ..error.clone() };
    let report = rehearse(&policy(&[]), None, &[inner, error, ping]);
    assert_eq!((report.seen.flows, report.refused.flows), (1, 1));
    assert_eq!(report.left_out.iter().map(|left| left.sum.flows).sum::<u64>(), 2);
}

#[test]
fn neighbour_discovery_is_not_cut_by_any_rehearsal() {
    let discovery = FlowRow {
        protocol_number: proto::ICMPV6,
        source_ip: "fe80::1".into(),
        dest_ip: "fe80::2".into(),
        icmp_type: Some(135),
        icmp_code: Some(0),
        src_port: None,
        dest_port: None,
        ..flow("fe80::1", 0, RECEIVED)
    };
    let report = rehearse(&policy(&[]), None, &[discovery]);
    assert_eq!((report.refused.flows, report.rules[0].rule.as_str()), (0, "(essential)"));
}

#[test]
fn what_only_the_guard_saves_is_told_with_the_rule_that_would_refuse_it() {
    let mut new = policy(&[443]);
    let guard = |id: &str, stage, from: &str| Rule {
        protocols: vec![proto::TCP],
        from: crate::Addresses::In(vec![from.parse().unwrap()]),
        destination_ports: vec![22..=22, 443..=443],
        ..Rule::plain(id, stage, Some(Direction::Ingress))
    };
    new.rules.insert(0, guard("guard:management", Stage::Guard, "192.0.2.0/30"));
    // An exemption of the document is none of the host's.
    new.rules.insert(1, guard("exempt:policy-in", Stage::Exempt, "203.0.113.0/24"));
    let flows = [
        flow("192.0.2.1", 22, RECEIVED),
        // Saved by nobody: the document accepts it itself.
        flow("192.0.2.1", 443, RECEIVED),
        flow("203.0.113.7", 22, RECEIVED),
        flow("192.0.2.9", 22, RECEIVED),
    ];
    check(
        &rehearse(&new, Some(&policy(&[22])), &flows),
        &expect![[r"
            edge version 7, compared with edge version 7
            flows from      2026-11-21T10:00:00Z to 2026-11-21T10:00:02Z
            judged          4 flows, 40 packets, 8.0 kB
            would refuse    1 flow, 10 packets, 2.0 kB
            newly refused   1 flow, 10 packets, 2.0 kB
            newly accepted  1 flow, 10 packets, 2.0 kB
            guard           counted in (1 rule); only the guard saves 1 flow, 10 packets, 2.0 kB:
                            guard:management saves from main:default-in: 1 flow, 10 packets, 2.0 kB
                              192.0.2.1 to tcp/22: 1 flow, 10 packets, 2.0 kB

            accept  guard:management  2 flows, 20 packets, 4.0 kB; 1 of these changes
            accept  exempt:policy-in  1 flow, 10 packets, 2.0 kB
            drop    main:default-in   1 flow, 10 packets, 2.0 kB; 1 of these changes
                                      cuts 192.0.2.9 to tcp/22: 1 flow, 10 packets, 2.0 kB
                                      process sshd: 1 flow, 10 packets, 2.0 kB

            rules that decide about none of these flows: port-443, main:default-out
        "]],
    );
    let alone = rehearse(&new.without_hosts_own(), None, &flows);
    assert_eq!((alone.guard.rules, alone.guard.saved.flows, alone.refused.flows), (0, 0, 2));
}
