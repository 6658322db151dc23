//! What came of a rehearsal, as a document and as text.

use std::collections::HashMap;
use std::fmt::Write as _;

use hivewall_view::FlowRow;
use hivewall_view::units::{bytes as bytes_text, count as count_text};
use serde::Serialize;

use super::{Said, Tally};
use crate::Ruleset;
use crate::explain::action_word;

/// Peers and processes that are shown for each rule.
const SHOWN_MAX: usize = 5;

/// Flows, packets and IP bytes, both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Sums {
    /// Flows.
    pub flows: u64,
    /// Packets.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
}

/// Somebody whom a rule would cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// Address at the other end with its name, or name of a process.
    pub name: String,
    /// What would be refused.
    #[serde(flatten)]
    pub sums: Sums,
}

/// What one rule does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// Its id; in parentheses where no rule decided.
    pub rule: String,
    /// Its line of the document; 0 where it is in none.
    pub line: u32,
    /// What it says.
    pub action: &'static str,
    /// What it decides.
    #[serde(flatten)]
    pub sums: Sums,
    /// Of that, what the present policy decides otherwise; absent without a present policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<Sums>,
    /// Whom it cuts, most flows first. With a present policy: whom it cuts that passes now.
    pub peers: Vec<Cut>,
    /// Processes of this host that it cuts, likewise.
    pub processes: Vec<Cut>,
}

/// What a policy would have done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RehearsalReport {
    /// Name of the policy.
    pub policy: String,
    /// Its version.
    pub version: u64,
    /// All flows that were judged.
    pub judged: Sums,
    /// Those that would be refused.
    pub refused: Sums,
    /// Those that would be refused and pass now; absent without a present policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newly_refused: Option<Sums>,
    /// Those that would pass and are refused now. What a policy drops while a record is made is hardly ever in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newly_accepted: Option<Sums>,
    /// Rules that decide about a flow at least, in the order of judgement.
    pub rules: Vec<RuleReport>,
    /// Rules that decide about none.
    pub unused: Vec<String>,
    /// Flows that cannot be judged, by reason.
    pub left_out: Vec<Cut>,
}

impl Sums {
    pub(super) fn add(&mut self, row: &FlowRow) {
        self.flows += 1;
        self.packets += row.packets;
        self.bytes += row.bytes;
    }

    fn text(self) -> String {
        format!("{} flows, {} packets, {}", count_text(self.flows), count_text(self.packets), bytes_text(self.bytes))
    }
}

#[derive(Default)]
struct Deciding {
    refuses: bool,
    sums: Sums,
    changed: Sums,
    peers: Tally,
    processes: Tally,
}

/// What is gathered while flows are judged.
pub(super) struct Gathered {
    policy: String,
    version: u64,
    /// Ids, lines and actions in order.
    rules: Vec<(String, u32, &'static str)>,
    compares: bool,
    judged: Sums,
    refused: Sums,
    newly_refused: Sums,
    newly_accepted: Sums,
    by_rule: HashMap<String, Deciding>,
    left_out: HashMap<&'static str, Sums>,
}

impl Gathered {
    pub(super) fn new(ruleset: &Ruleset, compares: bool) -> Self {
        let rules = ruleset.rules.iter().map(|rule| (rule.id.clone(), rule.line, action_word(rule.action)));
        Self {
            policy: ruleset.name.clone(),
            version: ruleset.version,
            rules: rules.collect(),
            compares,
            judged: Sums::default(),
            refused: Sums::default(),
            newly_refused: Sums::default(),
            newly_accepted: Sums::default(),
            by_rule: HashMap::new(),
            left_out: HashMap::new(),
        }
    }

    pub(super) fn leave_out(&mut self, reason: &'static str, row: &FlowRow) {
        self.left_out.entry(reason).or_default().add(row);
    }

    /// `before`: whether the present policy refuses the flow.
    pub(super) fn add(&mut self, row: &FlowRow, said: &Said, before: Option<bool>) {
        self.judged.add(row);
        let deciding = self.by_rule.entry(said.rule.clone()).or_default();
        deciding.sums.add(row);
        deciding.refuses = said.refused;
        let is_changed = before.is_some_and(|before| before != said.refused);
        if is_changed {
            deciding.changed.add(row);
            if said.refused { self.newly_refused.add(row) } else { self.newly_accepted.add(row) }
        }
        if said.refused {
            self.refused.add(row);
            if is_changed || before.is_none() {
                deciding.peers.add(&peer(row), row);
                if let Some(process) = &row.process {
                    deciding.processes.add(process, row);
                }
            }
        }
    }

    pub(super) fn finish(mut self) -> RehearsalReport {
        let compares = self.compares;
        let mut rules = Vec::new();
        let mut unused = Vec::new();
        let named: Vec<(String, u32, &'static str)> = std::mem::take(&mut self.rules);
        for (id, line, action) in named {
            match self.by_rule.remove(&id) {
                Some(deciding) => rules.push(deciding.report(id, line, action, compares)),
                // A pass decides about nothing, however much it matches.
                None if action == "pass" => {}
                None => unused.push(id),
            }
        }
        let mut others: Vec<(String, Deciding)> = self.by_rule.drain().collect();
        others.sort_by(|a, b| a.0.cmp(&b.0));
        for (id, deciding) in others {
            let action = if deciding.refuses { "drop" } else { "accept" };
            rules.push(deciding.report(id, 0, action, compares));
        }
        let left_out = self.left_out.iter().map(|(reason, sums)| ((*reason).to_owned(), *sums)).collect();
        RehearsalReport {
            policy: self.policy,
            version: self.version,
            judged: self.judged,
            refused: self.refused,
            newly_refused: compares.then_some(self.newly_refused),
            newly_accepted: compares.then_some(self.newly_accepted),
            rules,
            unused,
            left_out: most(left_out, usize::MAX),
        }
    }
}

impl Deciding {
    fn report(self, rule: String, line: u32, action: &'static str, compares: bool) -> RuleReport {
        RuleReport {
            rule,
            line,
            action,
            sums: self.sums,
            changed: compares.then_some(self.changed),
            peers: most(self.peers.0, SHOWN_MAX),
            processes: most(self.processes.0, SHOWN_MAX),
        }
    }
}

/// The end of a flow that is not this host, with what it was asked for.
fn peer(row: &FlowRow) -> String {
    let service = row.dest_port.map_or_else(|| row.protocol.clone(), |port| format!("{}/{port}", row.protocol));
    match (row.direction.as_str(), &row.server_name) {
        ("inbound", _) => format!("{} to {service}", row.source_ip),
        ("outbound", Some(name)) => format!("{name} ({}) {service}", row.dest_ip),
        ("outbound", None) => format!("{} {service}", row.dest_ip),
        _ => format!("{} to {} {service}", row.source_ip, row.dest_ip),
    }
}

fn most(sums: HashMap<String, Sums>, limit: usize) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = sums.into_iter().map(|(name, sums)| Cut { name, sums }).collect();
    cuts.sort_by(|a, b| {
        (b.sums.flows, b.sums.bytes).cmp(&(a.sums.flows, a.sums.bytes)).then_with(|| a.name.cmp(&b.name))
    });
    cuts.truncate(limit);
    cuts
}

impl RehearsalReport {
    /// As text for a terminal.
    pub fn text(&self) -> String {
        // Writing to a string cannot fail.
        let mut text = format!("{} version {}\n", self.policy, self.version);
        let _ = writeln!(text, "judged          {}", self.judged.text());
        let _ = writeln!(text, "would refuse    {}", self.refused.text());
        for (name, sums) in [("newly refused ", self.newly_refused), ("newly accepted", self.newly_accepted)] {
            if let Some(sums) = sums {
                let _ = writeln!(text, "{name}  {}", sums.text());
            }
        }
        let width = self.rules.iter().map(|rule| rule.rule.chars().count()).max().unwrap_or(0);
        text.push('\n');
        for rule in &self.rules {
            let _ = write!(text, "{:6}  {:width$}  {}", rule.action, rule.rule, rule.sums.text());
            if let Some(changed) = rule.changed.filter(|changed| changed.flows > 0) {
                let _ = write!(text, "; {} of these flows change", count_text(changed.flows));
            }
            text.push('\n');
            for (word, cuts) in [("cuts", &rule.peers), ("process", &rule.processes)] {
                for cut in cuts {
                    let _ = writeln!(text, "        {:width$}  {word} {}: {}", "", cut.name, cut.sums.text());
                }
            }
        }
        if !self.unused.is_empty() {
            let _ = writeln!(text, "\nrules that decide about none of these flows: {}", self.unused.join(", "));
        }
        for left in &self.left_out {
            let _ = writeln!(text, "\nnot judged, {}: {}", left.name, left.sums.text());
        }
        text
    }
}
