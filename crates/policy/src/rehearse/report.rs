//! What came of a rehearsal, as a document and as text.

use std::collections::HashMap;
use std::fmt::Write as _;

use hivewall_view::FlowRow;
use hivewall_view::policy::{
    PolicyName, Rehearsal as Report, RehearsalCut as Cut, RehearsalGuard, RehearsalRule, RehearsalSaved,
    RehearsalSum as Sums,
};
use hivewall_view::time::to_the_second;
use hivewall_view::units::{bytes as bytes_text, count as count_text};

use super::{Said, Tally};
use crate::Ruleset;
use crate::explain::action_word;

/// Peers and processes that are shown for each rule.
const SHOWN_MAX: usize = 5;
/// Pairs of a guard's rule and one of the document that are told apart, as many as a guard may reasonably save from.
const SAVES_MAX: usize = 4096;

/// Adds one flow.
pub(super) fn add(sums: &mut Sums, row: &FlowRow) {
    sums.flows += 1;
    sums.packets += row.packets;
    sums.bytes += row.bytes;
}

fn told(sums: Sums) -> String {
    let flows = if sums.flows == 1 { "1 flow".to_owned() } else { format!("{} flows", count_text(sums.flows)) };
    let packets =
        if sums.packets == 1 { "1 packet".to_owned() } else { format!("{} packets", count_text(sums.packets)) };
    format!("{flows}, {packets}, {}", bytes_text(sums.bytes))
}

#[derive(Default)]
struct Deciding {
    refuses: bool,
    sums: Sums,
    changed: Sums,
    peers: Tally,
    processes: Tally,
}

#[derive(Default)]
struct Saving {
    sums: Sums,
    peers: Tally,
}

/// What is gathered while flows are judged.
pub(super) struct Gathered {
    policy: PolicyName,
    /// Ids, lines and actions in order.
    rules: Vec<(String, u32, &'static str)>,
    /// Ids of the host's own.
    hosts_own: Vec<String>,
    compared_with: Option<PolicyName>,
    span: Option<(String, String)>,
    judged: Sums,
    refused: Sums,
    newly_refused: Sums,
    newly_accepted: Sums,
    by_rule: HashMap<String, Deciding>,
    saved: Sums,
    saves: HashMap<(String, String), Saving>,
    left_out: HashMap<&'static str, Sums>,
}

fn name(ruleset: &Ruleset) -> PolicyName {
    PolicyName { name: ruleset.name.clone(), version: ruleset.version }
}

impl Gathered {
    pub(super) fn new(ruleset: &Ruleset, current: Option<&Ruleset>) -> Self {
        let rules = ruleset.rules.iter().map(|rule| (rule.id.clone(), rule.line, action_word(rule.action)));
        Self {
            policy: name(ruleset),
            rules: rules.collect(),
            compared_with: current.map(name),
            span: None,
            hosts_own: ruleset.rules.iter().filter(|rule| rule.is_hosts_own()).map(|rule| rule.id.clone()).collect(),
            judged: Sums::default(),
            refused: Sums::default(),
            newly_refused: Sums::default(),
            newly_accepted: Sums::default(),
            by_rule: HashMap::new(),
            saved: Sums::default(),
            saves: HashMap::new(),
            left_out: HashMap::new(),
        }
    }

    pub(super) fn leave_out(&mut self, reason: &'static str, row: &FlowRow) {
        self.looked_at(row);
        add(self.left_out.entry(reason).or_default(), row);
    }

    /// The guard's rule lets pass what the document's would refuse.
    pub(super) fn save(&mut self, row: &FlowRow, guard: &str, rule: String) {
        add(&mut self.saved, row);
        let pair = (guard.to_owned(), rule);
        if self.saves.len() >= SAVES_MAX && !self.saves.contains_key(&pair) {
            return;
        }
        let saving = self.saves.entry(pair).or_default();
        add(&mut saving.sums, row);
        saving.peers.add(&peer(row), row);
    }

    fn looked_at(&mut self, row: &FlowRow) {
        let (from, to) = self.span.get_or_insert_with(|| (row.start.clone(), row.end.clone()));
        if row.start < *from {
            from.clone_from(&row.start);
        }
        if row.end > *to {
            to.clone_from(&row.end);
        }
    }

    /// `before`: whether the present policy refuses the flow.
    pub(super) fn add(&mut self, row: &FlowRow, said: &Said, before: Option<bool>) {
        self.looked_at(row);
        add(&mut self.judged, row);
        let deciding = self.by_rule.entry(said.rule.clone()).or_default();
        add(&mut deciding.sums, row);
        deciding.refuses = said.refused;
        let is_changed = before.is_some_and(|before| before != said.refused);
        if is_changed {
            add(&mut deciding.changed, row);
            add(if said.refused { &mut self.newly_refused } else { &mut self.newly_accepted }, row);
        }
        if said.refused {
            add(&mut self.refused, row);
            if is_changed || before.is_none() {
                deciding.peers.add(&peer(row), row);
                if let Some(process) = &row.process {
                    deciding.processes.add(process, row);
                }
            }
        }
    }

    pub(super) fn finish(mut self) -> Report {
        let compares = self.compared_with.is_some();
        let mut rules = Vec::new();
        let mut unused = Vec::new();
        let named: Vec<(String, u32, &'static str)> = std::mem::take(&mut self.rules);
        for (id, line, action) in named {
            match self.by_rule.remove(&id) {
                Some(deciding) => rules.push(deciding.report(id, line, action, compares)),
                // A pass decides about nothing, however much it matches.
                None if action == "pass" => {}
                // The host's own rules are for whoever comes; that nobody did says nothing about the document.
                None if self.hosts_own.contains(&id) => {}
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
        let (from, to) = self.span.unzip();
        Report {
            policy: self.policy,
            compared_with: self.compared_with,
            from,
            to,
            seen: self.judged,
            refused: self.refused,
            newly_refused: compares.then_some(self.newly_refused),
            newly_accepted: compares.then_some(self.newly_accepted),
            guard: RehearsalGuard { rules: self.hosts_own.len() as u64, saved: self.saved, saves: saves(self.saves) },
            rules,
            unused,
            left_out: most(left_out, usize::MAX),
        }
    }
}

impl Deciding {
    fn report(self, rule: String, line: u32, action: &'static str, compares: bool) -> RehearsalRule {
        RehearsalRule {
            rule,
            line: (line > 0).then_some(line),
            action: action.to_owned(),
            decided: self.sums,
            changed: compares.then_some(self.changed),
            peers: most(self.peers.0, SHOWN_MAX),
            processes: most(self.processes.0, SHOWN_MAX),
        }
    }
}

fn saves(saves: HashMap<(String, String), Saving>) -> Vec<RehearsalSaved> {
    let saved = saves.into_iter().map(|((guard, rule), saving)| RehearsalSaved {
        guard,
        rule,
        sum: saving.sums,
        peers: most(saving.peers.0, SHOWN_MAX),
    });
    let mut saved: Vec<RehearsalSaved> = saved.collect();
    saved.sort_by(|a, b| b.sum.flows.cmp(&a.sum.flows).then_with(|| (&a.guard, &a.rule).cmp(&(&b.guard, &b.rule))));
    saved
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
    let mut cuts: Vec<Cut> = sums.into_iter().map(|(name, sum)| Cut { name, sum }).collect();
    cuts.sort_by(|a, b| (b.sum.flows, b.sum.bytes).cmp(&(a.sum.flows, a.sum.bytes)).then_with(|| a.name.cmp(&b.name)));
    cuts.truncate(limit);
    cuts
}

/// A rehearsal as text for a terminal.
pub fn rehearsal_text(report: &Report) -> String {
    // Writing to a string cannot fail.
    let mut text = format!("{} version {}", report.policy.name, report.policy.version);
    if let Some(current) = &report.compared_with {
        let _ = write!(text, ", compared with {} version {}", current.name, current.version);
    }
    text.push('\n');
    if let (Some(from), Some(to)) = (&report.from, &report.to) {
        let _ = writeln!(text, "flows from      {} to {}", to_the_second(from), to_the_second(to));
    }
    let _ = writeln!(text, "judged          {}", told(report.seen));
    let _ = writeln!(text, "would refuse    {}", told(report.refused));
    for (name, sums) in [("newly refused ", report.newly_refused), ("newly accepted", report.newly_accepted)] {
        if let Some(sums) = sums {
            let _ = writeln!(text, "{name}  {}", told(sums));
        }
    }
    guard_text(&report.guard, &mut text);
    let width = report.rules.iter().map(|rule| rule.rule.chars().count()).max().unwrap_or(0);
    if report.seen.flows > 0 {
        text.push('\n');
    }
    for rule in &report.rules {
        let _ = write!(text, "{:6}  {:width$}  {}", rule.action, rule.rule, told(rule.decided));
        if let Some(changed) = rule.changed.filter(|changed| changed.flows > 0) {
            let verb = if changed.flows == 1 { "changes" } else { "change" };
            let _ = write!(text, "; {} of these {verb}", count_text(changed.flows));
        }
        text.push('\n');
        for (word, cuts) in [("cuts", &rule.peers), ("process", &rule.processes)] {
            for cut in cuts {
                let _ = writeln!(text, "        {:width$}  {word} {}: {}", "", cut.name, told(cut.sum));
            }
        }
    }
    if !report.unused.is_empty() {
        let _ = writeln!(text, "\nrules that decide about none of these flows: {}", report.unused.join(", "));
    }
    for left in &report.left_out {
        let _ = writeln!(text, "\nnot judged, {}: {}", left.name, told(left.sum));
    }
    text
}

fn guard_text(guard: &RehearsalGuard, text: &mut String) {
    if guard.rules == 0 {
        text.push_str("guard           left out, or this host declares none: the document alone was judged\n");
        return;
    }
    let rules = if guard.rules == 1 { "1 rule" } else { &format!("{} rules", guard.rules) };
    if guard.saved.flows == 0 {
        let _ = writeln!(text, "guard           counted in ({rules}); the document refuses nothing that it saves");
        return;
    }
    let _ = writeln!(text, "guard           counted in ({rules}); only the guard saves {}:", told(guard.saved));
    for saved in &guard.saves {
        let _ = writeln!(text, "                {} saves from {}: {}", saved.guard, saved.rule, told(saved.sum));
        for peer in &saved.peers {
            let _ = writeln!(text, "                  {}: {}", peer.name, told(peer.sum));
        }
    }
}
