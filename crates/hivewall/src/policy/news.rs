//! Rules of the policy crate as every surface shows them.

use hivewall_engine::LogRate;
use hivewall_model::Direction;
use hivewall_policy::{Action, Addresses, Rule, Ruleset};
use hivewall_view::policy::RuleView;

/// One rule, its counts left 0.
pub(super) fn rule_view(rules: &Ruleset, rule: &Rule) -> RuleView {
    RuleView {
        id: rule.id.clone(),
        tier: rules.stage_name(rule.stage),
        direction: match rule.direction {
            Some(Direction::Ingress) => "in".to_owned(),
            Some(Direction::Egress) => "out".to_owned(),
            None => "both".to_owned(),
        },
        action: action(rule.action).to_owned(),
        conditions: conditions(rule),
        line: (rule.line > 0).then_some(rule.line),
        log: rule.log.map(|log| format!("{}/{}s", log.count, log.per.as_secs_f64())),
        ..RuleView::default()
    }
}

/// How often refusals by a rule are logged, where they are.
pub(super) fn logged(rule: &Rule) -> Option<LogRate> {
    rule.log.map(|log| LogRate { count: log.count, per: log.per })
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Accept => "accept",
        Action::Drop => "drop",
        Action::Reject => "reject",
        Action::Pass => "pass",
    }
}

/// What a packet must be like, in one line.
fn conditions(rule: &Rule) -> String {
    let mut parts = Vec::new();
    let protocols: Vec<String> = rule
        .protocols
        .iter()
        .map(|number| hivewall_model::protocol_name(*number).map_or_else(|| number.to_string(), str::to_lowercase))
        .collect();
    if !protocols.is_empty() {
        parts.push(protocols.join("/"));
    }
    for (word, addresses) in [("from", &rule.from), ("to", &rule.to)] {
        parts.extend(addresses_in_words(addresses).map(|text| format!("{word} {text}")));
    }
    for (word, ranges) in [("sport", &rule.source_ports), ("dport", &rule.destination_ports)] {
        let ports = ranges.iter().map(|range| match (range.start(), range.end()) {
            (a, b) if a == b => a.to_string(),
            (a, b) => format!("{a}-{b}"),
        });
        let ports: Vec<String> = ports.collect();
        if !ports.is_empty() {
            parts.push(format!("{word} {}", ports.join(",")));
        }
    }
    let icmp = rule
        .icmp
        .iter()
        .map(|icmp| icmp.code.map_or_else(|| icmp.kind.to_string(), |code| format!("{}/{code}", icmp.kind)));
    let icmp: Vec<String> = icmp.collect();
    if !icmp.is_empty() {
        parts.push(format!("type {}", icmp.join(",")));
    }
    if let Some(flags) = rule.flags {
        parts.push(format!("flags {:#04x}/{:#04x}", flags.value, flags.mask));
    }
    if !rule.interfaces.is_empty() {
        parts.push(format!("interface {}", rule.interfaces.join(",")));
    }
    let conditions = parts.join(" ");
    let limit = rule.limit.map(|limit| limit.in_words());
    [Some(conditions), limit].into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// A few prefixes as they are, many by their number.
fn addresses_in_words(addresses: &Addresses) -> Option<String> {
    let (not, prefixes) = match addresses {
        Addresses::Any => return None,
        Addresses::In(prefixes) => ("", prefixes),
        Addresses::NotIn(prefixes) => ("!", prefixes),
    };
    let shown: Vec<String> = prefixes.iter().take(3).map(ToString::to_string).collect();
    Some(match prefixes.len() {
        0 => format!("{not}(nothing)"),
        count if count > 3 => format!("{not}{} and {} more", shown.join(","), count - 3),
        _ => format!("{not}{}", shown.join(",")),
    })
}
