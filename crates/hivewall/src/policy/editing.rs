//! Answers to whoever writes a policy in an editor: what is wrong, what changes, what is to be signed. What any of it
//! means is in the crate `hivewall-policy`; here it gets the shapes of the API. Invariant: places are those of the text
//! that was sent, its head of signatures included.

use std::collections::BTreeMap;

use hivewall_api::PolicyRefusal;
use hivewall_policy::ledger::Mark;
use hivewall_policy::sign::{Meta, Previous, Signed, Statement, is_signed};
use hivewall_policy::{
    Change, Document, DocumentDiff, PolicyError, Problem, RuleChange, SetChange, diff_documents, parse,
};
use hivewall_view::editing::{PolicyCheck, PolicyDifference, PolicyDifferences, PolicyFault, PolicyStatement};
use hivewall_view::policy::PolicyName;
use serde::Serialize;

use super::governor::text_of;

fn invalid(error: &impl ToString) -> PolicyRefusal {
    PolicyRefusal::Invalid { reason: error.to_string() }
}

fn name_of(document: &Document) -> PolicyName {
    PolicyName { name: document.metadata.name.clone(), version: document.metadata.version }
}

/// What is wrong with a document.
pub(crate) fn check(text: &str) -> PolicyCheck {
    let signed = is_signed(text.as_bytes());
    let plain = match text_of(text.as_bytes()) {
        Ok(plain) => plain,
        Err(refusal) => {
            let fault = PolicyFault {
                severity: "error".to_owned(),
                message: refusal.to_string(),
                line: 1,
                column: 1,
                length: 0,
            };
            return PolicyCheck { signed, problems: vec![fault], ..PolicyCheck::default() };
        }
    };
    // The document stands at the end of a signed file, as it is.
    let head = text.get(..text.len().saturating_sub(plain.len())).unwrap_or_default();
    let head_lines = u32::try_from(head.matches('\n').count()).unwrap_or(u32::MAX);
    let told = |problems: &[Problem]| -> Vec<PolicyFault> {
        problems.iter().map(|problem| fault(problem, &plain, head_lines)).collect()
    };
    match parse(&plain) {
        Ok(parsed) => {
            let mut problems = told(&parsed.warnings);
            if let Err(message) = super::known_detectors(&parsed.document) {
                problems.push(PolicyFault { severity: "error".to_owned(), message, ..PolicyFault::default() });
            }
            let sound = problems.iter().all(|problem| problem.severity != "error");
            PolicyCheck { sound, signed, policy: Some(name_of(&parsed.document)), problems, left_out: 0 }
        }
        Err(PolicyError { problems, left_out }) => {
            PolicyCheck { signed, problems: told(&problems), left_out: left_out as u64, ..PolicyCheck::default() }
        }
    }
}

fn fault(problem: &Problem, text: &str, head_lines: u32) -> PolicyFault {
    let place = &problem.place;
    let meant = text.get(place.span.clone()).unwrap_or_default();
    // A mark reaches to the end of its line: more would say less.
    let length = meant.lines().next().unwrap_or_default().chars().count();
    PolicyFault {
        severity: problem.severity.word().to_owned(),
        message: problem.fault.to_string(),
        line: if place.line == 0 { 0 } else { place.line.saturating_add(head_lines) },
        column: place.column,
        length: u32::try_from(length).unwrap_or(u32::MAX),
    }
}

/// Fails where a document cannot be read, wherever it is to hold.
pub(crate) fn readable(text: &str) -> Result<(), PolicyRefusal> {
    parse(&text_of(text.as_bytes())?).map_err(|error| invalid(&error))?;
    Ok(())
}

/// What changes from the policy in force, if there is one, to a document.
pub(crate) fn diff(in_force: Option<&str>, text: &str) -> Result<PolicyDifferences, PolicyRefusal> {
    let read = |text: &str| {
        let plain = text_of(text.as_bytes())?;
        parse(&plain).map(|parsed| parsed.document).map_err(|error| invalid(&error.pointed("policy", &plain)))
    };
    let after = read(text)?;
    let before = in_force.map(read).transpose()?;
    let nothing = Document { tiers: Vec::new(), sets: BTreeMap::default(), ..after.clone() };
    let diff = diff_documents(before.as_ref().unwrap_or(&nothing), &after);
    Ok(PolicyDifferences {
        from: before.as_ref().map(name_of),
        to: name_of(&after),
        same: before.is_some() && diff.is_empty(),
        changes: changes(&diff),
    })
}

fn changes(diff: &DocumentDiff) -> Vec<PolicyDifference> {
    let mut all: Vec<PolicyDifference> = Vec::new();
    all.extend(diff.settings.iter().map(|change| changed("setting", change)));
    all.extend(diff.defaults.iter().map(|change| changed("default", change)));
    let tier = |kind: &str, name: &String| PolicyDifference {
        kind: kind.to_owned(),
        what: "tier".to_owned(),
        id: name.clone(),
        ..PolicyDifference::default()
    };
    all.extend(diff.tiers_added.iter().map(|name| tier("added", name)));
    all.extend(diff.tiers_removed.iter().map(|name| tier("removed", name)));
    all.extend(diff.tiers_moved.iter().map(|name| tier("moved", name)));
    all.extend(diff.sets.iter().map(of_set));
    all.extend(diff.rules.iter().map(of_rule));
    all
}

/// One line of JSON. What comes from a document can be written.
fn line(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

fn changed(what: &str, change: &Change) -> PolicyDifference {
    let kind = match (&change.before, &change.after) {
        (None, Some(_)) => "added",
        (Some(_), None) => "removed",
        _ => "changed",
    };
    PolicyDifference {
        kind: kind.to_owned(),
        what: what.to_owned(),
        id: change.key.clone(),
        tier: None,
        before: change.before.as_ref().and_then(line),
        after: change.after.as_ref().and_then(line),
    }
}

fn of_set(change: &SetChange) -> PolicyDifference {
    let prefixes = |count: &Option<usize>| count.map(|count| format!("{count} prefixes"));
    let of = |kind: &str, name: &String, before, after| PolicyDifference {
        kind: kind.to_owned(),
        what: "set".to_owned(),
        id: name.clone(),
        tier: None,
        before,
        after,
    };
    match change {
        SetChange::Added { name, prefixes: count } => of("added", name, None, prefixes(count)),
        SetChange::Removed { name, prefixes: count } => of("removed", name, prefixes(count), None),
        SetChange::Prefixes { name, added, removed } => {
            let listed = |prefixes: &Vec<ipnet::IpNet>| (!prefixes.is_empty()).then(|| line(prefixes)).flatten();
            of("changed", name, listed(removed), listed(added))
        }
        SetChange::Source { name, before, after } => of("changed", name, line(before), line(after)),
    }
}

fn of_rule(change: &RuleChange) -> PolicyDifference {
    let id_of =
        |rule: &serde_json::Value| rule.get("id").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let of = |kind: &str, id: String, tier: &String, before, after| PolicyDifference {
        kind: kind.to_owned(),
        what: "rule".to_owned(),
        id,
        tier: Some(tier.clone()),
        before,
        after,
    };
    match change {
        RuleChange::Added { tier, rule, .. } => of("added", id_of(rule), tier, None, line(rule)),
        RuleChange::Removed { tier, rule } => of("removed", id_of(rule), tier, line(rule), None),
        RuleChange::Changed { id, tier, fields, moved } => {
            let side = |of: fn(&Change) -> &Option<serde_json::Value>| {
                let values: serde_json::Map<String, serde_json::Value> =
                    fields.iter().filter_map(|change| Some((change.key.clone(), of(change).clone()?))).collect();
                (!values.is_empty()).then(|| line(&values)).flatten()
            };
            let behind = |tier: &str, rule: &Option<String>| match rule {
                Some(rule) => format!("behind {rule} in {tier}"),
                None => format!("first in {tier}"),
            };
            let (mut before, mut after) = (side(|change| &change.before), side(|change| &change.after));
            if let Some(moved) = moved.as_ref().filter(|_| fields.is_empty()) {
                before = Some(behind(&moved.from_tier, &moved.from_after));
                after = Some(behind(tier, &moved.to_after));
            }
            let kind = if fields.is_empty() && moved.is_some() { "moved" } else { "changed" };
            of(kind, id.clone(), tier, before, after)
        }
    }
}

/// What is to be signed so that a document can follow what was taken up here last.
pub(crate) fn statement(highest: Option<Mark>, text: String) -> Result<PolicyStatement, PolicyRefusal> {
    let statement = if is_signed(text.as_bytes()) {
        // Another signature is for the same bytes.
        Signed::parse(text.as_bytes()).map_err(|error| invalid(&error))?.statement().clone()
    } else {
        let meta = Meta::of(&text).map_err(|error| invalid(&error))?;
        let previous = highest.map(|Mark { version, digest }| Previous { version, digest });
        let header = meta.header(previous).map_err(|error| invalid(&error))?;
        Statement::new(header, text).map_err(|error| invalid(&error))?
    };
    statement.check().map_err(|error| invalid(&error))?;
    let header = statement.header();
    Ok(PolicyStatement {
        policy: PolicyName { name: header.name.clone(), version: header.version },
        previous: header.previous.map(|previous| previous.to_string()),
        statement: statement.text(),
        digest: statement.digest().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewall_policy::sign::{SecretKey, Signed};

    const POLICY: &str = "kind: Policy\nmetadata: {name: edge, version: 2}\ntiers:\n- name: main\n  rules:\n  - {id: web, dir: in, proto: tcp, dport: 443, action: accept}\n";

    #[test]
    fn problems_stand_where_the_text_that_was_sent_has_them() {
        let wrong = POLICY.replace("action: accept", "action: acept");
        let told = check(&wrong);
        assert!(!told.sound && !told.signed, "{told:?}");
        let [fault] = told.problems.as_slice() else { panic!("{told:?}") };
        let at = wrong.lines().nth(fault.line as usize - 1).unwrap();
        let meant: String = at.chars().skip(fault.column as usize - 1).take(fault.length as usize).collect();
        assert_eq!((fault.severity.as_str(), meant.as_str()), ("error", "acept"), "{fault:?}");
        assert!(check(POLICY).sound && check(POLICY).policy.unwrap().version == 2);
        assert!(!check("#hivewall-signed 1\nnonsense").sound);
    }

    #[test]
    fn a_head_of_signatures_moves_the_lines() {
        let unused = POLICY.replace("tiers:", "sets:\n  idle: {cidr: [10.0.0.0/8]}\ntiers:");
        let signed = signed(&unused, None);
        let (plain, with_head) = (check(&unused), check(&signed));
        assert!(with_head.signed && with_head.sound);
        for (a, b) in plain.problems.iter().zip(&with_head.problems) {
            assert_eq!(unused.lines().nth(a.line as usize - 1), signed.lines().nth(b.line as usize - 1));
        }
    }

    fn signed(text: &str, highest: Option<Mark>) -> String {
        let key = SecretKey::new(&[7; 32], "ada").unwrap();
        let wanted = statement(highest, text.to_owned()).unwrap();
        let meta = Meta::of(text).unwrap();
        let previous = highest.map(|Mark { version, digest }| Previous { version, digest });
        let of_program = Signed::new(Statement::new(meta.header(previous).unwrap(), text.to_owned()).unwrap(), &key);
        let file = of_program.to_text();
        let without_signatures: String = file.split_inclusive('\n').filter(|line| !line.starts_with("#by ")).collect();
        assert_eq!(wanted.statement, without_signatures, "what is signed is the file without its signatures");
        assert_eq!(wanted.digest, of_program.statement().digest().to_string());
        file
    }

    #[test]
    fn a_statement_follows_what_was_taken_up_last() {
        let first = POLICY.replace("version: 2", "version: 1");
        let digest = hivewall_policy::ledger::identity(first.as_bytes()).unwrap();
        let file = signed(POLICY, Some(Mark { version: 1, digest }));
        assert!(file.contains(&format!("#previous 1 {digest}\n")), "{file}");
        let back = statement(Some(Mark { version: 3, digest }), POLICY.to_owned()).unwrap_err();
        assert!(matches!(back, PolicyRefusal::Invalid { .. }), "{back}");
        assert!(statement(None, "kind: Policy\n".to_owned()).is_err());
    }

    #[test]
    fn differences_name_rules_sets_and_settings() {
        let after = POLICY
            .replace("version: 2", "version: 3")
            .replace("dport: 443", "dport: [80, 443]")
            .replace("tiers:", "mode: observe\nsets:\n  office: {cidr: [10.0.0.0/8]}\ntiers:");
        let told = diff(Some(POLICY), &after).unwrap();
        assert!(!told.same && told.from.as_ref().unwrap().version == 2 && told.to.version == 3);
        let has = |kind: &str, what: &str, id: &str| {
            told.changes.iter().any(|one| (one.kind.as_str(), one.what.as_str(), one.id.as_str()) == (kind, what, id))
        };
        assert!(
            has("changed", "rule", "web") && has("added", "set", "office") && has("changed", "setting", "mode"),
            "{told:?}"
        );
        assert!(diff(Some(POLICY), &POLICY.replace("version: 2", "version: 3")).unwrap().same);
        let from_nothing = diff(None, POLICY).unwrap();
        assert!(from_nothing.from.is_none() && !from_nothing.same);
        assert!(from_nothing.changes.iter().any(|one| one.kind == "added" && one.what == "rule"), "{from_nothing:?}");
        assert!(diff(None, "nonsense: 1").is_err());
    }
}
