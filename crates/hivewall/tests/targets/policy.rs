//! Policies: bytes choose rules and packets, and the compiled tables have to say of each what the rules say.

use hivewall_datapath::policy::{Action, RuleFlags, Tables as _, classify};
use hivewall_policy::oracle::{By, judge};
use hivewall_policy::sample::{Draws, INTERFACES, ifindex};
use hivewall_policy::{Counters, compile, opener};
use hivewall_soft::SoftTables;

/// Packets tried on one policy.
const PACKETS_MAX: usize = 256;

/// The classification of compiled tables against the oracle.
pub(crate) fn policy_tables(data: &[u8]) {
    let mut draws = Draws::from_bytes(data);
    let ruleset = draws.ruleset();
    let mut counters = Counters::default();
    let tables = compile(&ruleset, &mut counters).expect("a few rules without limits always fit");
    let interfaces: Vec<(u32, String)> =
        (1..).zip(INTERFACES).map(|(index, name)| (index, (*name).to_owned())).collect();
    let tables = SoftTables::new(tables, &interfaces);
    for _ in 0..PACKETS_MAX {
        let facts = draws.facts();
        let outcome = judge(&ruleset, &[], &facts);
        let entry = tables.rule(classify(&tables, &opener(&facts, ifindex(&facts.interface)), 0));
        let action = entry.map_or(Action::Accept, |entry| Action::from_number(entry.action));
        match outcome.by {
            By::Rule(at) => {
                let wanted = ruleset.rules.get(at).and_then(|rule| counters.number(&rule.id));
                assert_eq!(entry.map(|entry| entry.counter), wanted, "{facts:?} {ruleset:#?}");
                assert_eq!(action, outcome.action);
            }
            // Told by its cause, whichever rule refuses it: one that asks for no ports.
            By::Fragment => {
                assert_ne!(action, Action::Accept, "{facts:?} {ruleset:#?}");
                assert_eq!(entry.map(|entry| entry.flags & RuleFlags::PORTS), Some(0));
            }
            By::NoPolicy | By::Ban => assert_eq!(entry, None, "{facts:?} {ruleset:#?}"),
        }
        if !draws.has_more() {
            break;
        }
    }
}
