//! The bodies of targets about policies. Text is read; bytes choose rules and packets, and the compiled tables have to say of each what the rules say.

use hivewall_datapath::policy::{Action, RuleFlags, Tables as _, classify};
use hivewall_policy::oracle::{By, judge};
use hivewall_policy::sample::{Draws, INTERFACES, ifindex};
use hivewall_policy::{
    Counters, HostFacts, NoMembers, PolicyError, Problem, Severity, compile, opener, parse, pointed, resolve,
};
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
        let entry = tables.rule(classify(&tables, &opener(&facts, ifindex(&facts.interface)), 0, false));
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

/// Text as a policy: it is taken, or every problem points into the text and says something on one line; what was taken
/// is printed and read again as the same.
pub(crate) fn policy_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse(text) {
        Ok(parsed) => {
            check_problems(&parsed.warnings, text);
            for printed in [parsed.document.to_yaml(), parsed.document.to_json()] {
                let again = parse(&printed).unwrap_or_else(|error| panic!("{}", error.pointed("printed", &printed)));
                assert_eq!(again.document, parsed.document, "{printed}");
            }
            let no_files = NoMembers(|_: &str| Err(std::io::ErrorKind::NotFound.into()));
            if let Err(error) = resolve(&parsed, &HostFacts::default(), &no_files) {
                check_error(&error, text);
            }
        }
        Err(error) => check_error(&error, text),
    }
}

fn check_error(error: &PolicyError, text: &str) {
    assert!(error.problems.iter().any(|problem| problem.severity == Severity::Error));
    check_problems(&error.problems, text);
}

fn check_problems(problems: &[Problem], text: &str) {
    for problem in problems {
        let place = &problem.place;
        assert!(text.get(place.span.clone()).is_some(), "{place:?} is no part of the text");
        let before = text.get(..place.span.start).expect("checked above");
        assert_eq!(place.line as usize, before.matches('\n').count() + 1);
        assert!(!problem.fault.to_string().contains('\n'));
    }
    assert_eq!(pointed(problems, "a", text).lines().filter(|line| line.starts_with("  -->")).count(), problems.len());
}
