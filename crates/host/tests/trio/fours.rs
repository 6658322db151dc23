//! Each condition of a rule in four: it matches, it does not, the same bytes under another protocol, and the policy turned
//! around; with what the rule counted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use hivewall_datapath::{Direction, proto};
use hivewall_policy::oracle::{Facts, Transport};
use hivewall_policy::{Action, Addresses, FlagsMatch, IcmpMatch, Mode, Rule, Ruleset, Stage};

use super::sent::plain;
use super::{DROP, PASS, Trio};

/// A rule for everything.
pub(crate) fn rule(id: &str, action: Action) -> Rule {
    Rule { action, ..Rule::plain(id, Stage::Tier(0), None) }
}

pub(crate) fn ruleset(rules: Vec<Rule>) -> Ruleset {
    Ruleset { name: "fours".to_owned(), version: 1, mode: Mode::Enforce, rules, ..Ruleset::default() }
}

/// A packet that is received; ports apart from each other, since another protocol may read them otherwise.
pub(crate) fn facts(proto: u8, from: &str, to: &str, ports: [u16; 2]) -> Facts {
    let [source_port, destination_port] = ports;
    let flags = if proto == proto::TCP { 2 } else { 0 };
    Facts {
        direction: Direction::Ingress,
        interface: "eth0".to_owned(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        proto,
        transport: Some(Transport { source_port, destination_port, flags }),
    }
}

struct Four {
    name: &'static str,
    condition: fn(&mut Rule),
    matches: Facts,
    misses: Facts,
    /// The bytes of the one that matches under another protocol, and whether they match there.
    other: (u8, bool),
}

fn changed(change: fn(&mut Facts)) -> Facts {
    let mut facts = facts(proto::TCP, "10.0.0.1", "10.0.0.2", [1024, 443]);
    change(&mut facts);
    facts
}

/// Those of addresses and ports.
fn fours_of_ends() -> Vec<Four> {
    let tcp = || facts(proto::TCP, "10.0.0.1", "10.0.0.2", [1024, 443]);
    let v6 = |from| facts(proto::TCP, from, "fd00::2", [1024, 443]);
    let with = changed;
    vec![
        Four {
            name: "protocol",
            condition: |rule| rule.protocols = vec![proto::TCP],
            matches: tcp(),
            misses: facts(proto::SCTP, "10.0.0.1", "10.0.0.2", [1024, 443]),
            other: (proto::UDP, false),
        },
        Four {
            name: "source",
            condition: |rule| rule.from = Addresses::In(vec!["10.0.0.0/31".parse().unwrap()]),
            matches: tcp(),
            misses: with(|facts| facts.from = "10.0.0.3".parse().unwrap()),
            other: (proto::UDP, true),
        },
        Four {
            name: "source, IPv6",
            condition: |rule| rule.from = Addresses::In(vec!["fd00::/64".parse().unwrap()]),
            matches: v6("fd00::9"),
            misses: v6("fd00:0:0:1::9"),
            other: (proto::UDP, true),
        },
        Four {
            name: "all but these sources",
            condition: |rule| rule.from = Addresses::NotIn(vec!["10.0.0.3/32".parse().unwrap()]),
            matches: tcp(),
            misses: with(|facts| facts.from = "10.0.0.3".parse().unwrap()),
            other: (proto::UDP, true),
        },
        Four {
            name: "destination",
            condition: |rule| rule.to = Addresses::In(vec!["10.0.0.2/32".parse().unwrap()]),
            matches: tcp(),
            misses: with(|facts| facts.to = "10.0.0.3".parse().unwrap()),
            other: (proto::UDP, true),
        },
        Four {
            name: "source port",
            condition: |rule| rule.source_ports = vec![1000..=1024],
            matches: tcp(),
            misses: with(|facts| facts.transport.as_mut().unwrap().source_port = 1025),
            other: (proto::GRE, false),
        },
        Four {
            name: "destination port",
            condition: |rule| rule.destination_ports = vec![80..=80, 443..=444],
            matches: tcp(),
            misses: with(|facts| facts.transport.as_mut().unwrap().destination_port = 445),
            other: (proto::GRE, false),
        },
    ]
}

/// Those of a packet's kind and place.
fn fours_of_kind() -> Vec<Four> {
    let tcp = || facts(proto::TCP, "10.0.0.1", "10.0.0.2", [1024, 443]);
    let with = changed;
    vec![
        Four {
            name: "ICMP type and code",
            condition: |rule| rule.icmp = vec![IcmpMatch { kind: 8, code: Some(0) }],
            matches: facts(proto::ICMP, "10.0.0.1", "10.0.0.2", [8, 0]),
            misses: facts(proto::ICMP, "10.0.0.1", "10.0.0.2", [13, 0]),
            other: (proto::UDP, false),
        },
        Four {
            name: "flags",
            condition: |rule| rule.flags = Some(FlagsMatch { mask: 0x12, value: 0x02 }),
            matches: tcp(),
            // Of another flow: what follows an accepted one is not asked for flags.
            misses: with(|facts| {
                let header = facts.transport.as_mut().unwrap();
                (header.source_port, header.flags) = (1023, 0x12);
            }),
            other: (proto::UDP, false),
        },
        Four {
            name: "interface",
            condition: |rule| rule.interfaces = vec!["eth0".to_owned()],
            matches: tcp(),
            misses: with(|facts| {
                facts.transport.as_mut().unwrap().source_port = 1023;
                "eth10".clone_into(&mut facts.interface);
            }),
            other: (proto::UDP, true),
        },
        Four {
            name: "direction",
            condition: |rule| rule.direction = Some(Direction::Ingress),
            matches: tcp(),
            misses: with(|facts| facts.direction = Direction::Egress),
            other: (proto::UDP, true),
        },
    ]
}

/// Tries them all.
pub(crate) fn check(trio: &mut Trio) {
    for four in fours_of_ends().into_iter().chain(fours_of_kind()) {
        let mut refusing = rule(four.name, Action::Drop);
        (four.condition)(&mut refusing);
        let accepting = Rule { id: format!("{}, turned", four.name), action: Action::Accept, ..refusing.clone() };
        trio.fill(vec![ruleset(vec![refusing]), ruleset(vec![accepting, rule("rest", Action::Drop)])]);
        trio.begin();
        let mut other = four.matches.clone();
        other.proto = four.other.0;
        other.transport = other.transport.map(|header| match other.proto {
            proto::GRE => Transport::default(),
            _ => Transport { flags: 0, ..header },
        });
        let cases = [(&four.matches, true), (&four.misses, false), (&other, four.other.1)];
        for (facts, matches) in cases {
            let answer = trio.send(&plain(facts));
            assert_eq!(answer, if matches { DROP } else { PASS }, "{}: {facts:?}", four.name);
        }
        let counted = 1 + u64::from(four.other.1);
        assert_eq!(trio.count(four.name), counted, "{}", four.name);
        trio.begin_again(1);
        for (facts, matches) in cases {
            let answer = trio.send(&plain(facts));
            assert_eq!(answer, if matches { PASS } else { DROP }, "{}, turned: {facts:?}", four.name);
        }
        assert_eq!(trio.count(&format!("{}, turned", four.name)), counted, "{}", four.name);
        trio.finish(&std::collections::HashMap::new());
    }
}
