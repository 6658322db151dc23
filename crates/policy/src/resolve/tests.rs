//! Documents on hosts: which rules hold there.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;
use crate::{parse, parse_floor};

/// A fleet with one web server and one file.
struct Fleet;

impl Members for Fleet {
    fn hosts(&self, selector: &str) -> Vec<IpNet> {
        let nets: &[&str] = if selector.contains("web") { &["10.1.0.8/32", "10.1.0.9/32", "fd00::8/128"] } else { &[] };
        nets.iter().map(|net| net.parse().expect("a prefix")).collect()
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        match path {
            "/list" => Ok("# those\n203.0.113.0/25\n203.0.113.128/25 # and these\n\n2001:db8::/32\n".to_owned()),
            "/broken" => Ok("203.0.113.0/24\n203.0.113.5/24\n".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }
}

fn side(addresses: &Addresses) -> String {
    let nets = |nets: &[IpNet]| nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    match addresses {
        Addresses::Any => "any".to_owned(),
        Addresses::In(list) => format!("[{}]", nets(list)),
        Addresses::NotIn(list) => format!("not [{}]", nets(list)),
    }
}

fn picture(resolved: &Resolved) -> String {
    let mut text = String::new();
    for rule in &resolved.ruleset.rules {
        let ports = |ports: &[ruleset::PortRange]| {
            ports.iter().map(|range| format!(" {}-{}", range.start(), range.end())).collect::<Vec<_>>().concat()
        };
        let direction = match rule.direction {
            None => "both",
            Some(Direction::Ingress) => "in",
            Some(Direction::Egress) => "out",
        };
        let _ = writeln!(
            text,
            "{:?} {} {direction} {:?} {}{} -> {}{} {:?} line {}",
            rule.stage,
            rule.id,
            rule.protocols,
            side(&rule.from),
            ports(&rule.source_ports),
            side(&rule.to),
            ports(&rule.destination_ports),
            rule.action,
            rule.line,
        );
    }
    for note in &resolved.notes {
        let _ = writeln!(text, "{} on line {}: {}", note.severity.word(), note.place.line, note.fault);
    }
    text
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a picture is written in place")]
fn check(text: &str, host: &HostFacts, expected: Expect) {
    let parsed = parse(text).expect("a document");
    let said = match resolve(&parsed, host, &Fleet) {
        Ok(resolved) => picture(&resolved),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&said);
}

fn document(sets: &str, rest: &str) -> String {
    format!("kind: Policy\nmetadata: {{name: e, version: 7}}\nsets:\n{sets}{rest}")
}

#[test]
fn names_become_prefixes_and_defaults_rules() {
    check(
        &document(
            "  webs: {hosts: \"role == 'web'\"}\n  none: {hosts: \"role == 'x'\"}\n  list: {file: /list}\n  two: {cidr: [10.0.0.0/9, 10.128.0.0/9, 10.3.0.0/16]}\n",
            "tiers:\n- name: first\n  default: {out: pass}\n  rules:\n  - {id: a, dir: in, from: \"@list\", action: drop}\n- name: main\n  default: {in: drop, out: reject}\n  rules:\n  - {id: b, dir: in, proto: tcp, from: [\"@webs\", 10.1.0.10], dport: 5432, action: accept}\n  - {id: c, dir: both, to: [\"!@two\"], action: accept}\n  - {id: d, dir: out, to: \"@none\", action: accept}\n",
        ),
        &HostFacts::default(),
        expect![[r"
            Tier(0) a in [] [203.0.113.0/24 2001:db8::/32] -> any Drop line 12
            Tier(1) b in [6] [10.1.0.8/31 10.1.0.10/32 fd00::8/128] -> any 5432-5432 Accept line 16
            Tier(1) c both [] any -> not [10.0.0.0/8] Accept line 17
            Tier(1) d out [] any -> [] Accept line 18
            Tier(1) main:default-in in [] any -> any Drop line 14
            Tier(1) main:default-out out [] any -> any Reject line 14
            note on line 5: the set `none` has no members here, so that rules with it match nothing until there are some
        "]],
    );
}

#[test]
fn the_guard_stands_before_everything() {
    let floor = "- {id: backup, dir: in, proto: tcp, from: 10.0.0.9, dport: 873, flags: \"syn/syn,ack\", action: accept}\n- {id: ping, dir: in, proto: icmp, icmp: echo-request, action: accept}\n";
    let host = HostFacts {
        management_ports: vec![2222, 22],
        management: vec!["10.9.0.0/24".parse().expect("a prefix")],
        sessions: vec![
            Session { peer: "192.0.2.7:50123".parse().expect("an address"), port: 22 },
            Session { peer: "[fd00::7]:50124".parse().expect("an address"), port: 22 },
        ],
        floor: parse_floor(floor).expect("a floor"),
        exempt: vec!["10.9.1.10/32".parse().expect("a prefix")],
        links_port: Some(7734),
    };
    check(
        &document(
            "  m: {cidr: 10.5.0.0/24}\n",
            "exempt: \"@m\"\ntiers:\n- name: main\n  default: {in: drop, out: drop}\n",
        ),
        &host,
        expect![[r"
            Guard guard:management in [6] [10.9.0.0/24] -> any 22-22 2222-2222 Accept line 0
            Guard guard:management:reply out [6] any 22-22 2222-2222 -> [10.9.0.0/24] Accept line 0
            Guard guard:session-192.0.2.7-50123-22 in [6] [192.0.2.7/32] 50123-50123 -> any 22-22 Accept line 0
            Guard guard:session-192.0.2.7-50123-22:reply out [6] any 22-22 -> [192.0.2.7/32] 50123-50123 Accept line 0
            Guard guard:session-fd00::7-50124-22 in [6] [fd00::7/128] 50124-50124 -> any 22-22 Accept line 0
            Guard guard:session-fd00::7-50124-22:reply out [6] any 22-22 -> [fd00::7/128] 50124-50124 Accept line 0
            Guard guard:fleet in [17] any -> any 7734-7734 Accept line 0
            Guard guard:fleet:reply out [17] any 7734-7734 -> any Accept line 0
            Guard guard:floor-backup in [6] [10.0.0.9/32] -> any 873-873 Accept line 0
            Guard guard:floor-backup:reply out [6] any 873-873 -> [10.0.0.9/32] Accept line 0
            Guard guard:floor-ping in [1] any -> any Accept line 0
            Exempt exempt:host-in in [] [10.9.1.10/32] -> any Accept line 0
            Exempt exempt:host-out out [] any -> [10.9.1.10/32] Accept line 0
            Exempt exempt:policy-in in [] [10.5.0.0/24] -> any Accept line 0
            Exempt exempt:policy-out out [] any -> [10.5.0.0/24] Accept line 0
            Tier(0) main:default-in in [] any -> any Drop line 8
            Tier(0) main:default-out out [] any -> any Drop line 8
        "]],
    );
}

#[test]
fn files_that_cannot_be_read_are_told() {
    check(
        &document(
            "  a: {file: /missing}\n  b: {file: /broken}\n",
            "tiers:\n- name: main\n  rules:\n  - {id: a, dir: in, from: [\"@a\", \"@b\"], action: drop}\n",
        ),
        &HostFacts::default(),
        expect![[r"
            line 4, column 3: the file `/missing` of the set `a` cannot be read: entity not found; make it readable or correct the path
            line 5, column 3: line 2 of the file `/broken`: `203.0.113.5/24` is not an address or a prefix; one a line, `#` begins a comment"]],
    );
}

#[test]
fn more_rules_than_the_tables_hold_are_refused() {
    let mut rules = String::from("tiers:\n- name: main\n  default: {in: drop}\n  rules:\n");
    for n in 0..RULES_MAX {
        let _ = writeln!(rules, "  - {{id: r{n}, dir: in, proto: tcp, dport: {n}, action: accept}}");
    }
    check(
        &document("  m: {cidr: 10.5.0.0/24}\n", &format!("exempt: \"@m\"\n{rules}")),
        &HostFacts::default(),
        expect![
            "line 4105, column 10: the policy has 4099 rules with its defaults and this host's guard, and at most 4096 fit; put addresses into sets"
        ],
    );
}

#[test]
fn more_prefixes_than_the_tables_hold_are_refused() {
    struct Many;
    impl Members for Many {
        fn hosts(&self, _: &str) -> Vec<IpNet> {
            // Every second address, so that nothing can be made one.
            (0..=PREFIXES_MAX as u32).map(|n| IpNet::from(std::net::IpAddr::from((n * 2).to_be_bytes()))).collect()
        }

        fn file(&self, _: &str) -> std::io::Result<String> {
            Ok(String::new())
        }
    }
    let text = document(
        "  m: {hosts: x}\n",
        "tiers:\n- name: main\n  rules:\n  - {id: a, dir: in, from: \"@m\", action: drop}\n  - {id: b, dir: in, proto: tcp, from: \"!@m\", action: drop}\n",
    );
    let error = resolve(&parse(&text).expect("a document"), &HostFacts::default(), &Many).expect_err("too many");
    expect!["line 4, column 3: the rules name 1000001 prefixes, and at most 1000000 fit; leave out sets or use shorter prefixes"].assert_eq(&error.to_string());
}
