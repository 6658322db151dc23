//! What a fake policy answers: explanations, rehearsals, outcomes, and what editors are told; every key filled.

use super::data::NOW;
use hivewall_view::editing::{PolicyCheck, PolicyDifference, PolicyDifferences, PolicyFault, PolicyStatement};
use hivewall_view::policy::{
    ExplainFilters, ExplainStep, Explanation, PendingChange, PolicyName, PolicyOutcome, Rehearsal, RehearsalCut,
    RehearsalGuard, RehearsalRule, RehearsalSaved, RehearsalSum,
};
use hivewall_view::time::rfc3339;

pub fn explanation() -> Explanation {
    let step = |rule: &str, outcome: &str| ExplainStep {
        rule: rule.to_owned(),
        tier: "main".to_owned(),
        line: Some(12),
        action: "accept".to_owned(),
        outcome: outcome.to_owned(),
        why: "the destination port is 443".to_owned(),
    };
    Explanation {
        packet: "tcp 10.9.0.4:40000 → 10.0.0.2:443, received".to_owned(),
        verdict: "accept".to_owned(),
        rule: Some("web".to_owned()),
        because: "rule web accepts it".to_owned(),
        steps: vec![step("ssh", "passed_over"), step("web", "decides")],
        notes: vec!["a limit may decide otherwise".to_owned()],
        packet_filters: Some(ExplainFilters {
            verdict: "dropped".to_owned(),
            place: "nftables inet filter input handle 12".to_owned(),
            ours: false,
            why: "tcp dport 443 drop".to_owned(),
            not_asked: vec!["iptables-legacy: not installed".to_owned()],
        }),
    }
}

pub fn rehearsal() -> Rehearsal {
    let sum = RehearsalSum { flows: 3, packets: 30, bytes: 3000 };
    let name = |version| PolicyName { name: "edge".to_owned(), version };
    Rehearsal {
        policy: name(43),
        compared_with: Some(name(42)),
        from: Some(rfc3339(NOW)),
        to: Some(rfc3339(NOW)),
        seen: sum,
        refused: sum,
        newly_refused: Some(sum),
        newly_accepted: Some(RehearsalSum::default()),
        guard: RehearsalGuard {
            rules: 2,
            saved: sum,
            saves: vec![RehearsalSaved {
                guard: "guard:management".to_owned(),
                rule: "main:default-in".to_owned(),
                sum,
                peers: vec![RehearsalCut { name: "10.9.0.4 to tcp/22".to_owned(), sum }],
            }],
        },
        rules: vec![RehearsalRule {
            rule: "main:default-in".to_owned(),
            line: Some(9),
            action: "drop".to_owned(),
            decided: sum,
            changed: Some(sum),
            peers: vec![RehearsalCut { name: "10.0.0.1 to tcp/25".to_owned(), sum }],
            processes: vec![],
        }],
        unused: vec!["web".to_owned()],
        left_out: vec![RehearsalCut { name: "inside of a tunnel".to_owned(), sum }],
    }
}

pub fn outcome() -> PolicyOutcome {
    let name = |version| PolicyName { name: "edge".to_owned(), version };
    PolicyOutcome {
        message: "edge 43 is in force".to_owned(),
        policy: name(43),
        epoch: 8,
        pending: Some(PendingChange { seconds_left: 120.0, falls_back_to: Some(name(42)) }),
    }
}

fn edge(version: u64) -> PolicyName {
    PolicyName { name: "edge".to_owned(), version }
}

pub fn check() -> PolicyCheck {
    let fault = PolicyFault {
        severity: "warning".to_owned(),
        message: "the set `idle` is not used".to_owned(),
        line: 4,
        column: 3,
        length: 4,
    };
    PolicyCheck { sound: true, signed: false, policy: Some(edge(43)), problems: vec![fault], left_out: 0 }
}

pub fn differences() -> PolicyDifferences {
    let change = PolicyDifference {
        kind: "changed".to_owned(),
        what: "rule".to_owned(),
        id: "web".to_owned(),
        tier: Some("main".to_owned()),
        before: Some("{\"dport\":443}".to_owned()),
        after: Some("{\"dport\":[80,443]}".to_owned()),
    };
    PolicyDifferences { from: Some(edge(42)), to: edge(43), same: false, changes: vec![change] }
}

pub fn statement() -> PolicyStatement {
    PolicyStatement {
        policy: edge(43),
        previous: Some(format!("42 {}", "5f".repeat(32))),
        statement: "#hivewall-signed 1\n#--\nkind: Policy\n".to_owned(),
        digest: "ab".repeat(32),
    }
}
