//! Policies of a given size, as documents of the language where that can be written by a person.
//!
//! The flows they are for come from 10.0.0.0/8 to port 443. Invariant: whatever the size, such a flow is accepted by the
//! last rule of the tier or by a set, so that nothing is saved by an early match.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use hivewall_policy::{Addresses, Counters, HostFacts, NoMembers, Ruleset, compile, parse, resolve};
use hivewall_soft::PolicyTables;
use ipnet::{IpNet, Ipv4Net};

/// How rules overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Each rule is for a /24 of its own; half of them are for the port of the flows.
    Services,
    /// Every rule fits each flow in one field and not in another, so that each word of every row has to be looked at.
    Dense,
}

/// First address of the flows.
const FLOWS: u32 = 0x0a00_0000;

/// A document of so many rules, besides the defaults.
pub(super) fn document(rules: usize, shape: Shape) -> String {
    let mut text = String::from(
        "kind: Policy\nmetadata: {name: bench, version: 1}\ntiers:\n- name: main\n  default: {in: drop, out: accept}\n  \
         rules:\n",
    );
    for number in 0..rules.saturating_sub(1) {
        let (high, low) = (number % 256, number / 256);
        let own_port = 1_000 + number;
        let is_odd = number % 2 == 1;
        let (from, port) = match shape {
            Shape::Services if is_odd => (format!("10.{high}.{low}.0/24"), own_port),
            Shape::Services => (format!("10.{high}.{low}.0/24"), 443),
            Shape::Dense if is_odd => (format!("172.{}.{high}.0/24", 16 + low), 443),
            Shape::Dense => ("10.0.0.0/8".to_owned(), own_port),
        };
        let _ = writeln!(
            text,
            "  - {{id: r{number}, dir: in, proto: tcp, from: \"{from}\", dport: {port}, action: accept}}"
        );
    }
    text + "  - {id: last, dir: in, proto: tcp, from: \"10.0.0.0/8\", dport: 443, action: accept}\n"
}

/// The rules of a document, as the agent resolves them.
pub(super) fn ruleset(text: &str) -> Result<Ruleset> {
    let parsed = parse(text).context("the benchmark's own policy")?;
    let no_files = NoMembers(|_: &str| -> std::io::Result<String> { Err(std::io::ErrorKind::NotFound.into()) });
    Ok(resolve(&parsed, &HostFacts::default(), &no_files)?.ruleset)
}

/// One rule for a set of so many prefixes, half of the flows' addresses when it is full, before one for all of them.
pub(super) fn of_set(prefixes: usize) -> Result<Ruleset> {
    let mut ruleset = ruleset(&document(2, Shape::Services))?;
    let first =
        ruleset.rules.iter_mut().find(|rule| rule.id == "r0").context("the benchmark's policy has a rule r0")?;
    first.from = Addresses::In((0..prefixes as u32).map(prefix).collect());
    first.destination_ports = vec![443..=443];
    Ok(ruleset)
}

fn prefix(number: u32) -> IpNet {
    Ipv4Net::new_assert(Ipv4Addr::from(FLOWS | (number * 16) & 0x00ff_ffff), 29).into()
}

/// The tables of rules, with counters of their own.
pub(super) fn tables(ruleset: &Ruleset) -> Result<PolicyTables> {
    Ok(compile(ruleset, &mut Counters::default())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_as_many_rules_as_asked_for_and_two_defaults() {
        for shape in [Shape::Services, Shape::Dense] {
            for count in [10, 4_000] {
                assert_eq!(ruleset(&document(count, shape)).unwrap().rules.len(), count + 2, "{shape:?}");
            }
        }
    }

    #[test]
    fn a_set_is_in_the_tables_prefix_by_prefix() {
        let sources = tables(&of_set(1_000).unwrap()).unwrap().sources;
        assert!(sources.len() >= 1_000, "{}", sources.len());
    }
}
