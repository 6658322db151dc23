//! What the policy said of a flow, and by which rule.
//!
//! Names of rules are told by whoever compiled the policy; here they are shared texts. Invariant: what was refused is
//! part of what the flow counts, never beside it.

use std::sync::Arc;

use hivewall_datapath::policy::VerdictCause;

pub use hivewall_datapath::policy::{Action, Verdict};

/// A verdict and the id of what gave it: a rule's, or the label of a cause that is no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The verdict.
    pub verdict: Verdict,
    /// The rule's id.
    pub rule: Arc<str>,
}

/// What the policy said of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Of the client's packets; of the server's while none of the client's was seen.
    pub ruling: Ruling,
    /// Of the server's packets, where something else becomes of them.
    pub reply: Option<Ruling>,
    /// Packets that were dropped, both directions.
    pub dropped_packets: u64,
    /// Their IP bytes.
    pub dropped_bytes: u64,
}

/// What becomes of packets under a verdict, as it is shown everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// They pass.
    Accept,
    /// They are dropped.
    Drop,
    /// They are dropped, and their sender told.
    Reject,
    /// They pass, and would not if the policy were enforced.
    Observed,
}

impl Fate {
    /// Every fate.
    pub const ALL: [Self; 4] = [Self::Accept, Self::Drop, Self::Reject, Self::Observed];

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Observed => "observed",
        }
    }

    /// What becomes of packets under this verdict.
    pub fn of(verdict: Verdict) -> Self {
        match verdict.action() {
            _ if verdict.is_observed() => Self::Observed,
            Action::Drop => Self::Drop,
            Action::Reject => Self::Reject,
            Action::Accept | Action::Pass => Self::Accept,
        }
    }

    /// A verdict of this fate, by the counter of a rule.
    pub fn verdict(self, epoch: u16, counter: u32) -> Verdict {
        match self {
            Self::Accept => Verdict::new(epoch, Action::Accept, counter),
            Self::Drop => Verdict::new(epoch, Action::Drop, counter),
            Self::Reject => Verdict::new(epoch, Action::Reject, counter),
            Self::Observed => Verdict::new(epoch, Action::Drop, counter).observed(),
        }
    }

    /// Whether packets are dropped.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Drop | Self::Reject)
    }
}

impl Ruling {
    /// What becomes of the packets.
    pub fn fate(&self) -> Fate {
        Fate::of(self.verdict)
    }
}

/// Ids of rules by their counters: of every rule there is or was, since records of older policies still come, and of the
/// causes that are no rule.
#[derive(Clone, Debug)]
pub struct RuleNames {
    causes: Arc<[Arc<str>]>,
    rules: Arc<[Option<Arc<str>>]>,
}

impl Default for RuleNames {
    fn default() -> Self {
        Self::new([])
    }
}

impl RuleNames {
    /// Of rules, by counter.
    pub fn new(rules: impl IntoIterator<Item = (u32, Arc<str>)>) -> Self {
        let causes = (0..VerdictCause::RULES_FROM)
            .map(|number| match VerdictCause::from_number(number) {
                Some(cause) => cause.label().into(),
                None => format!("(cause {number})").into(),
            })
            .collect();
        let mut named: Vec<Option<Arc<str>>> = Vec::new();
        for (counter, id) in rules {
            let Some(at) = counter.checked_sub(VerdictCause::RULES_FROM).map(|at| at as usize) else { continue };
            if at >= hivewall_datapath::policy::COUNTERS_MAX as usize {
                continue;
            }
            if named.len() <= at {
                named.resize(at + 1, None);
            }
            if let Some(place) = named.get_mut(at) {
                *place = Some(id);
            }
        }
        Self { causes, rules: named.into() }
    }

    /// Whether it is the counter of a rule that was told.
    pub fn is_known(&self, counter: u32) -> bool {
        let at = counter.checked_sub(VerdictCause::RULES_FROM).map(|at| at as usize);
        at.and_then(|at| self.rules.get(at)).is_some_and(Option::is_some)
    }

    /// The id behind a counter.
    pub fn get(&self, counter: u32) -> Arc<str> {
        if let Some(cause) = self.causes.get(counter as usize) {
            return Arc::clone(cause);
        }
        let at = (counter - VerdictCause::RULES_FROM) as usize;
        let known = self.rules.get(at).and_then(Option::as_ref);
        known.map_or_else(|| format!("(rule {counter})").into(), Arc::clone)
    }

    /// A verdict with its name.
    pub fn ruling(&self, verdict: Verdict) -> Ruling {
        Ruling { verdict, rule: self.get(verdict.counter()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fate_is_that_of_its_own_verdict() {
        for fate in Fate::ALL {
            assert_eq!(Fate::of(fate.verdict(7, 40)), fate);
            assert_eq!((fate.verdict(7, 40).counter(), fate.verdict(7, 40).epoch()), (40, 7));
            assert_eq!(fate.is_refusal(), fate.verdict(1, 40).drops());
        }
        assert_eq!(Fate::of(Verdict::new(1, Action::Reject, 40).observed()), Fate::Observed);
    }

    #[test]
    fn causes_have_their_labels_and_rules_their_ids() {
        let names = RuleNames::new([(34, "ssh".into()), (3, "no rule".into()), (1 << 20, "beyond".into())]);
        assert_eq!(&*names.get(1), "(ban)");
        assert_eq!(&*names.get(3), "(essential)");
        assert_eq!(&*names.get(34), "ssh");
        assert_eq!(&*names.get(33), "(rule 33)");
        assert_eq!(&*names.get(31), "(cause 31)");
        assert_eq!(&*names.get(8000), "(rule 8000)");
    }
}
