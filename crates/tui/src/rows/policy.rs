//! Rows of the policy: rules in their order, bans, what was refused and by what.

use hivewall_view::Snapshot;
use hivewall_view::policy::{BanView, RefusedByRule, RuleView};
use serde_json::{Value, json};

use super::{Item, Key, number, seconds, term, word};

/// A rule and its place in the order of judgement.
#[derive(Clone, Debug)]
pub(crate) struct RuleRow {
    /// From 1.
    pub(crate) place: usize,
    /// The rule.
    pub(crate) rule: RuleView,
}

impl RuleRow {
    /// Whether it refuses.
    pub(crate) fn refuses(&self) -> bool {
        matches!(self.rule.action.as_str(), "drop" | "reject")
    }
}

impl Item for RuleRow {
    fn id(&self) -> String {
        self.rule.id.clone()
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "rule" => word(&self.rule.id),
            "tier" => word(&self.rule.tier),
            "action" => word(&self.rule.action),
            "packets" => number(self.rule.packets),
            "bytes" => number(self.rule.bytes),
            "flows" => number(self.rule.flows),
            "rate" => Key::Number(self.rule.packets_per_second),
            "last" => Key::Text(self.rule.last_hit.clone().unwrap_or_default()),
            _ => Key::Number(-(self.place as f64)),
        }
    }

    fn filter(&self) -> Option<String> {
        Some(term("rule", &self.rule.id))
    }

    fn json(&self) -> Value {
        json!(self.rule)
    }
}

impl Item for BanView {
    fn id(&self) -> String {
        self.prefix.clone()
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "left" => seconds(self.seconds_left),
            "since" => Key::Text(self.since.clone().unwrap_or_default()),
            "origin" => word(&self.origin),
            "reason" => word(&self.reason),
            _ => word(&self.prefix),
        }
    }

    fn filter(&self) -> Option<String> {
        Some(term("ip", &self.prefix))
    }

    fn json(&self) -> Value {
        json!(self)
    }
}

impl Item for RefusedByRule {
    fn id(&self) -> String {
        self.rule.clone()
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "rule" => word(&self.rule),
            "bytes" => number(self.refused.bytes()),
            "in" => number(self.refused.in_packets),
            _ => number(self.refused.packets()),
        }
    }

    fn filter(&self) -> Option<String> {
        Some(term("rule", &self.rule))
    }

    fn json(&self) -> Value {
        json!(self)
    }
}

pub(super) fn rules(snapshot: &Snapshot) -> Vec<RuleRow> {
    let rules = snapshot.firewall_rules.rules.iter().enumerate();
    rules.map(|(at, rule)| RuleRow { place: at + 1, rule: rule.clone() }).collect()
}
