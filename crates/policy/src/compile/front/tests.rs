//! The criterion in fours, and against both oracles: what the front would drop, the policy drops, by the same rule.

use std::net::IpAddr;

use hivewall_datapath::policy::opposite;
use hivewall_datapath::proto;
use proptest::prelude::*;

use super::*;
use crate::oracle::stateful::{Decided, Host, Seen, is_essential};
use crate::oracle::{By, Facts, judge};
use crate::ruleset::{FlagsMatch, Limit, LogRate, Stage};
use crate::sample::Draws;

fn nets(list: &[&str]) -> Vec<IpNet> {
    list.iter().map(|net| net.parse().unwrap()).collect()
}

fn tier(number: usize) -> Stage {
    Stage::Tier(number)
}

fn deny(id: &str, from: &[&str]) -> Rule {
    Rule { from: Addresses::In(nets(from)), action: Action::Drop, ..Rule::plain(id, tier(0), Some(Direction::Ingress)) }
}

fn accept(id: &str, from: Addresses) -> Rule {
    Rule { from, ..Rule::plain(id, tier(0), Some(Direction::Ingress)) }
}

/// What is denied in front, and by which rule.
fn denied(rules: Vec<Rule>) -> Vec<(String, String)> {
    of(&Ruleset { rules, ..Ruleset::default() })
}

fn of(ruleset: &Ruleset) -> Vec<(String, String)> {
    let mut counters = Counters::default();
    counters.allocate(ruleset.rules.iter().map(|rule| rule.id.as_str())).unwrap();
    let id = |counter| counters.iter().find(|(_, number)| *number == counter).unwrap().0.to_owned();
    hoisted(ruleset, &counters).into_iter().map(|(net, counter)| (net.to_string(), id(counter))).collect()
}

fn is(found: &[(String, String)], wanted: &[(&str, &str)]) {
    let found: Vec<(&str, &str)> = found.iter().map(|(net, id)| (net.as_str(), id.as_str())).collect();
    assert_eq!(found, wanted);
}

#[test]
fn a_rule_that_drops_all_from_a_list_is_taken_for_one_or_both_directions_and_only_when_enforced() {
    let bad = deny("bad", &["192.0.2.0/24", "2001:db8::/32"]);
    let all = [("192.0.2.0/24", "bad"), ("2001:db8::/32", "bad")];
    is(&denied(vec![bad.clone()]), &all);
    is(&denied(vec![Rule { direction: None, ..bad.clone() }]), &all);
    is(&denied(vec![Rule { direction: Some(Direction::Egress), ..bad.clone() }]), &[]);
    is(&of(&Ruleset { rules: vec![bad], mode: Mode::Observe, ..Ruleset::default() }), &[]);
}

#[test]
fn the_agents_own_port_hides_no_deny_set_from_the_front_and_makes_nobody_exempt() {
    let links = |id: &str| Rule {
        protocols: vec![17],
        destination_ports: vec![7734..=7734],
        ..Rule::plain(id, Stage::Guard, Some(Direction::Ingress))
    };
    let bad = deny("bad", &["192.0.2.0/24"]);
    is(&denied(vec![links(LINKS), bad.clone()]), &[("192.0.2.0/24", "bad")]);
    is(&denied(vec![links("guard:floor-x"), bad]), &[]);
    let exempt = |id: &str| super::super::exempt(&Ruleset { rules: vec![links(id)], ..Ruleset::default() }).len();
    assert_eq!([exempt(LINKS), exempt("guard:floor-x")], [0, 2]);
}

#[test]
fn a_rule_with_any_other_condition_or_with_a_log_is_left_where_packets_are_judged() {
    let bad = deny("bad", &["192.0.2.0/24"]);
    let limit =
        Limit { count: 1, per: std::time::Duration::from_secs(1), burst: 1, per_source: false, over: Action::Drop };
    let left = [
        Rule { protocols: vec![6], ..bad.clone() },
        Rule { to: Addresses::In(nets(&["10.0.0.0/8"])), ..bad.clone() },
        Rule { source_ports: vec![1..=2], ..bad.clone() },
        Rule { destination_ports: vec![1..=2], ..bad.clone() },
        Rule { flags: Some(FlagsMatch { mask: 2, value: 2 }), ..bad.clone() },
        Rule { interfaces: vec!["eth0".into()], ..bad.clone() },
        Rule { limit: Some(limit), ..bad.clone() },
        Rule { log: Some(LogRate { count: 1, per: std::time::Duration::from_secs(1) }), ..bad.clone() },
        Rule { action: Action::Reject, ..bad.clone() },
        Rule { action: Action::Pass, ..bad.clone() },
        Rule { from: Addresses::NotIn(nets(&["192.0.2.0/24"])), ..bad.clone() },
        Rule { from: Addresses::Any, ..bad.clone() },
        Rule { stage: Stage::Guard, ..bad },
    ];
    for rule in left {
        is(&denied(vec![rule]), &[]);
    }
}

#[test]
fn a_rule_before_it_takes_away_what_it_may_speak_about_and_no_more() {
    let bad = deny("bad", &["10.0.0.0/24", "10.0.1.0/24", "10.0.2.7/32"]);
    let before = |rule: Rule| denied(vec![rule, bad.clone()]);
    let [first, second, third] = [("10.0.0.0/24", "bad"), ("10.0.1.0/24", "bad"), ("10.0.2.7/32", "bad")];
    is(&before(accept("a", Addresses::In(nets(&["10.9.0.0/16", "::/0"])))), &[first, second, third]);
    is(&before(accept("a", Addresses::In(nets(&["10.0.1.255/32"])))), &[first, third]);
    is(&before(accept("a", Addresses::In(nets(&["10.0.0.0/23"])))), &[third]);
    is(&before(accept("a", Addresses::In(Vec::new()))), &[first, second, third]);
    is(&before(accept("a", Addresses::Any)), &[]);
    is(&before(accept("a", Addresses::NotIn(nets(&["10.0.0.0/8"])))), &[]);
    is(&before(Rule { direction: Some(Direction::Egress), ..accept("a", Addresses::Any) }), &[first, second, third]);
    is(&before(Rule { protocols: vec![6], ..deny("a", &["10.0.0.7/32"]) }), &[second, third]);
    // Exempt sources are let go on, whatever is denied.
    is(
        &before(Rule { stage: Stage::Exempt, ..accept("a", Addresses::In(nets(&["10.0.0.0/24"]))) }),
        &[first, second, third],
    );
    is(&before(Rule { stage: Stage::Exempt, ..accept("a", Addresses::Any) }), &[]);
}

#[test]
fn the_first_rule_that_denies_an_address_is_the_one_of_the_longest_prefix() {
    let rules = vec![
        deny("a", &["10.0.0.0/16", "192.0.2.1/32"]),
        deny("b", &["10.0.0.0/8", "10.0.1.0/24", "192.0.2.1/32"]),
        Rule { stage: tier(1), ..deny("c", &["11.0.0.0/8"]) },
    ];
    is(&denied(rules), &[("10.0.0.0/16", "a"), ("192.0.2.1/32", "a"), ("10.0.0.0/8", "b"), ("11.0.0.0/8", "c")]);
}

#[test]
fn short_ipv6_prefixes_and_mapped_ones_are_left_and_what_lies_in_them_is() {
    let rules = vec![deny("a", &["fc00::/7", "2001:db8::/31", "::ffff:10.0.0.0/104"]), deny("b", &["fd00::/64"])];
    is(&denied(rules), &[]);
    is(
        &denied(vec![deny("a", &["fd00::/32", "::/32"]), deny("b", &["10.0.0.0/8"])]),
        &[("fd00::/32", "a"), ("::/32", "a"), ("10.0.0.0/8", "b")],
    );
}

/// A policy in which some rules are such as the front takes.
fn ruleset(draws: &mut Draws<'_>) -> Ruleset {
    let mut ruleset = draws.ruleset();
    let stages: Vec<Stage> = (0..2).map(|_| tier(draws.below(3) as usize)).collect();
    for (number, stage) in stages.into_iter().enumerate() {
        let from = (0..=draws.below(4)).map(|_| draws.net()).collect();
        let at = ruleset.rules.iter().position(|rule| rule.stage >= stage).unwrap_or(ruleset.rules.len());
        let direction = [Some(Direction::Ingress), None].get(draws.below(2) as usize).copied().flatten();
        let rule = Rule {
            from: Addresses::In(from),
            action: Action::Drop,
            ..Rule::plain(format!("deny{number}"), stage, direction)
        };
        ruleset.rules.insert(at, rule);
    }
    ruleset
}

/// The front of a host with a policy: prefixes denied, prefixes exempt.
struct Front {
    denied: Vec<(IpNet, String)>,
    exempt: Vec<IpNet>,
}

impl Front {
    fn new(ruleset: &Ruleset) -> Self {
        let denied = of(ruleset).into_iter().map(|(net, id)| (net.parse().unwrap(), id)).collect();
        let early = ruleset.rules.iter().filter(|rule| {
            is_before_bans(rule) && rule.action == Action::Accept && rule.direction != Some(Direction::Egress)
        });
        let exempt = early.flat_map(|rule| match &rule.from {
            Addresses::In(nets) => nets.clone(),
            _ => nets(&["0.0.0.0/0", "::/0"]),
        });
        Self { denied, exempt: exempt.collect() }
    }

    /// The rule by which it drops what comes from an address.
    fn drops(&self, source: IpAddr) -> Option<&str> {
        let longest =
            self.denied.iter().filter(|(net, _)| net.contains(&source)).max_by_key(|(net, _)| net.prefix_len());
        let (_, id) = longest?;
        (!self.exempt.iter().any(|net| net.contains(&source))).then_some(id)
    }
}

/// The packets about which more than the rules decides.
fn goes_on(seen: &Seen) -> bool {
    let is_error = seen.facts.proto == proto::ICMP
        && seen.facts.transport.is_some_and(|header| matches!(header.source_port, 3 | 4 | 12));
    seen.facts.transport.is_none() || is_essential(seen) || is_error || seen.facts.interface == "lo"
}

/// A packet, often one that answers or repeats another.
fn next(draws: &mut Draws<'_>, before: &[Facts]) -> Seen {
    let mut facts = draws.facts();
    if !before.is_empty() && draws.once_in(2) {
        facts = before[draws.below(before.len() as u32) as usize].clone();
        if draws.once_in(2) {
            let has_ports = crate::oracle::has_ports(facts.proto);
            let turned = |header: crate::oracle::Transport| crate::oracle::Transport {
                source_port: if has_ports { header.destination_port } else { header.source_port },
                destination_port: if has_ports { header.source_port } else { header.destination_port },
                flags: if facts.proto == proto::TCP { 0x10 } else { 0 },
            };
            let transport = facts.transport.map(turned);
            facts = Facts { direction: opposite(facts.direction), from: facts.to, to: facts.from, transport, ..facts };
        }
    }
    Seen { facts, hop_limit: if draws.once_in(2) { 255 } else { 64 }, about: None }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_the_front_drops_is_what_the_oracle_drops_by_the_same_rule(seed: u64) {
        let mut draws = Draws::seeded(seed);
        let ruleset = ruleset(&mut draws);
        let front = Front::new(&ruleset);
        for _ in 0..100 {
            let facts = Facts { direction: Direction::Ingress, ..draws.facts() };
            if facts.transport.is_none() {
                continue;
            }
            if let Some(id) = front.drops(facts.from) {
                let outcome = judge(&ruleset, &[], &facts);
                prop_assert_eq!(outcome.action, Action::Drop, "{:?}", facts);
                let By::Rule(at) = outcome.by else { panic!("{facts:?}: {outcome:?}") };
                prop_assert_eq!(&ruleset.rules[at].id, id);
            }
        }
    }

    #[test]
    fn behind_the_front_a_host_does_with_sequences_and_changes_what_it_does_without(seed: u64) {
        let mut draws = Draws::seeded(seed);
        let mut policy = ruleset(&mut draws);
        let mut front = Front::new(&policy);
        let mut host = Host::new();
        host.apply(policy.clone());
        let mut before = Vec::new();
        for _ in 0..120 {
            if draws.once_in(20) {
                policy = ruleset(&mut draws);
                front = Front::new(&policy);
                host.apply(policy.clone());
            }
            let seen = next(&mut draws, &before);
            before.push(seen.facts.clone());
            let is_received = seen.facts.direction == Direction::Ingress;
            let dropped = front.drops(seen.facts.from).filter(|_| is_received && !goes_on(&seen));
            match dropped.filter(|_| !host.is_known(&seen.facts)).map(str::to_owned) {
                // The host never sees it; and would not have remembered it.
                Some(id) => {
                    let mut twin = host.clone();
                    prop_assert_eq!(twin.packet(&seen), (Action::Drop, Decided::Rule(id)), "{:?}", seen);
                    prop_assert!(!twin.is_known(&seen.facts));
                }
                None => drop(host.packet(&seen)),
            }
        }
    }
}

#[test]
fn random_policies_do_deny_at_the_front() {
    let mut dropped = [0_u32; 2];
    for seed in 0..300 {
        let mut draws = Draws::seeded(seed);
        let front = Front::new(&ruleset(&mut draws));
        for _ in 0..20 {
            dropped[usize::from(front.drops(draws.address()).is_some())] += 1;
        }
    }
    let [passed, denied] = dropped;
    assert!(passed > 500 && denied > 500, "{passed} {denied}");
}
