//! Findings that came before the first record of their flow: the datapath hands over payload at once and counts once a
//! second. Invariant: a finding is held once, for a few seconds, or counted as unmatched.

use std::time::Duration;

use hivewall_model::Finding;

use crate::bounded::Bounded;
use crate::pair::PairKey;

/// A record comes at most so long after its packets: two sweeps, one of which a full ring delayed, and some.
const HELD_KEEP: Duration = Duration::from_secs(5);
/// Findings held for one flow.
const FINDINGS_OF_FLOW: usize = 32;

struct Waiting {
    since: Duration,
    findings: Vec<Finding>,
}

pub(crate) struct Held {
    flows: Bounded<PairKey, Waiting>,
    count: usize,
    limit: usize,
    /// Given up.
    pub(crate) unmatched: u64,
}

impl Held {
    pub(crate) fn new(limit: usize) -> Self {
        Self { flows: Bounded::new(limit), count: 0, limit: limit.max(1), unmatched: 0 }
    }

    /// Holds a finding at this age of the engine; what has to go for it is appended to `gone`.
    pub(crate) fn put(&mut self, pair: PairKey, finding: &Finding, age: Duration, gone: &mut Vec<Finding>) {
        if self.flows.get(&pair).is_some_and(|waiting| waiting.findings.len() >= FINDINGS_OF_FLOW) {
            self.unmatched += 1;
            gone.push(finding.clone());
            return;
        }
        while self.count >= self.limit && self.give_up_oldest(gone) {}
        self.count += 1;
        if let Some(waiting) = self.flows.get_mut(&pair) {
            waiting.findings.push(finding.clone());
        } else {
            // Never full: there are no more flows than findings, and those were made room for.
            self.flows.insert(pair, Waiting { since: age, findings: vec![finding.clone()] });
        }
    }

    fn give_up_oldest(&mut self, gone: &mut Vec<Finding>) -> bool {
        let Some((_, waiting)) = self.flows.pop_oldest() else { return false };
        self.count -= waiting.findings.len();
        self.unmatched += waiting.findings.len() as u64;
        gone.extend(waiting.findings);
        true
    }

    /// What waited for this flow, in order.
    pub(crate) fn take(&mut self, pair: &PairKey) -> Vec<Finding> {
        if self.flows.is_empty() {
            return Vec::new();
        }
        let findings = self.flows.remove(pair).map_or_else(Vec::new, |waiting| waiting.findings);
        self.count -= findings.len();
        findings
    }

    /// Gives up what waited too long; everything, when there will be no more records.
    pub(crate) fn expire(&mut self, age: Option<Duration>) -> Vec<Finding> {
        let mut gone = Vec::new();
        let is_due = |held: &Self| match (held.flows.oldest(), age) {
            (Some(oldest), Some(age)) => age.saturating_sub(oldest.since) > HELD_KEEP,
            (oldest, None) => oldest.is_some(),
            (None, _) => false,
        };
        while is_due(self) && self.give_up_oldest(&mut gone) {}
        gone
    }
}
