//! What others did to the host's packet filters, and what we did about it: counted, the latest kept, each told once.
//!
//! Seeing a change is for `hivewall_host::rules`, putting ours back for `filters`. Invariant: memory is bounded by
//! [`FIREWALL_CHANGES_SHOWN`] and [`UNTOLD_MAX`]; what is beyond is counted all the same.

use hivewall_host::rules::Drift;
use hivewall_host::source::wall_clock;
use hivewall_view::policy::{FIREWALL_CHANGES_SHOWN, FirewallChange, FirewallDrift, PolicyFailure};
use hivewall_view::time::rfc3339;

/// Changes that wait to be told to the log, about a second's.
const UNTOLD_MAX: usize = 1024;

/// The book of changes.
#[derive(Debug, Default)]
pub(super) struct DriftBook {
    view: FirewallDrift,
    untold: Vec<FirewallChange>,
    unrepaired: Option<String>,
}

impl DriftBook {
    /// A change that somebody else made.
    pub(super) fn changed(&mut self, drift: &Drift) {
        let (pid, process) = drift.by.as_deref().map_or((None, None), who);
        let count = self.view.changes.entry(drift.change.name().to_owned()).or_default();
        *(if drift.ours { &mut count.ours } else { &mut count.others }) += 1;
        self.note(FirewallChange {
            time: rfc3339(wall_clock()),
            what: drift.change.name().to_owned(),
            backend: drift.source.name().to_owned(),
            family: drift.family.clone(),
            table: drift.table.clone(),
            chain: drift.chain.clone(),
            ours: drift.ours,
            detail: drift.change.to_string(),
            pid,
            process,
        });
    }

    /// Ours was put back, or could not be; one that fails again and again is told once.
    pub(super) fn answered(&mut self, backend: &str, outcome: Result<(), String>) {
        let (what, detail) = match outcome {
            Ok(()) => {
                self.view.repairs += 1;
                self.unrepaired = None;
                ("repaired", "our rules had been changed, and are as they were".to_owned())
            }
            Err(why) => {
                self.view.repairs_failed += 1;
                let detail = format!("our rules were changed and cannot be put back: {why}");
                if self.unrepaired.replace(detail.clone()).is_some() {
                    return;
                }
                ("repair-failed", detail)
            }
        };
        let (what, backend) = (what.to_owned(), backend.to_owned());
        self.note(FirewallChange {
            time: rfc3339(wall_clock()),
            what,
            backend,
            ours: true,
            detail,
            ..FirewallChange::default()
        });
    }

    /// Ours is as it should be.
    pub(super) fn is_whole(&mut self) {
        self.unrepaired = None;
    }

    fn note(&mut self, change: FirewallChange) {
        if self.untold.len() < UNTOLD_MAX {
            self.untold.push(change.clone());
        }
        self.view.last.insert(0, change);
        self.view.last.truncate(FIREWALL_CHANGES_SHOWN);
    }

    /// What is not in the log yet.
    pub(super) fn take(&mut self) -> Vec<FirewallChange> {
        std::mem::take(&mut self.untold)
    }

    /// Times that ours was put back.
    pub(super) fn repairs(&self) -> u64 {
        self.view.repairs
    }

    /// As every surface has it.
    pub(super) fn view(&self) -> FirewallDrift {
        self.view.clone()
    }

    /// What is wrong now.
    pub(super) fn failure(&self) -> Option<PolicyFailure> {
        let detail = self.unrepaired.clone()?;
        Some(PolicyFailure { kind: "not_repaired".to_owned(), subject: None, detail })
    }
}

/// `4706 (nft)`, as the kernel's announcement has it.
fn who(by: &str) -> (Option<u32>, Option<String>) {
    let (pid, name) = by.split_once(' ').unwrap_or((by, ""));
    let name = name.trim_start_matches('(').trim_end_matches(')');
    (pid.parse().ok(), (!name.is_empty()).then(|| name.to_owned()))
}

#[cfg(test)]
mod tests {
    use hivewall_host::rules::{Change, Source};

    use super::*;

    fn flushed(ours: bool) -> Drift {
        Drift {
            source: Source::Nftables,
            family: "inet".to_owned(),
            table: "hivewall".to_owned(),
            chain: "input".to_owned(),
            ours,
            change: Change::ChainFlushed { rules: 3 },
            by: Some("4706 (nft)".to_owned()),
        }
    }

    #[test]
    fn a_change_is_counted_shown_and_told_once_with_who_made_it() {
        let mut book = DriftBook::default();
        book.changed(&flushed(true));
        book.answered("nftables", Ok(()));
        let told: Vec<(String, String)> =
            book.take().iter().map(|change| (change.kind().to_owned(), change.text())).collect();
        assert_eq!(
            told,
            [
                (
                    "firewall_drift".to_owned(),
                    "nftables inet hivewall input (ours): flushed, 3 rules are gone, by nft[4706]".to_owned()
                ),
                ("firewall_repair".to_owned(), "nftables: our rules had been changed, and are as they were".to_owned()),
            ]
        );
        assert_eq!(book.take(), []);
        let view = book.view();
        assert_eq!((view.changes["chain-flushed"].ours, view.changes["chain-flushed"].others), (1, 0));
        assert_eq!((view.repairs, view.last[0].what.as_str()), (1, "repaired"));
    }

    #[test]
    fn a_repair_that_fails_again_and_again_is_told_once_and_lasts_until_ours_is_whole() {
        let mut book = DriftBook::default();
        for _ in 0..3 {
            book.answered("nftables", Err("nft: Operation not permitted".to_owned()));
        }
        assert_eq!((book.take().len(), book.view().repairs_failed), (1, 3));
        assert!(book.failure().unwrap().detail.contains("not permitted"));
        book.answered("nftables", Ok(()));
        assert_eq!(book.failure(), None);
    }

    #[test]
    fn a_storm_of_changes_takes_bounded_memory_and_is_counted_in_full() {
        let mut book = DriftBook::default();
        for _ in 0..5000 {
            book.changed(&flushed(false));
        }
        assert_eq!(book.view().changes["chain-flushed"].others, 5000);
        assert_eq!((book.view().last.len(), book.take().len()), (FIREWALL_CHANGES_SHOWN, UNTOLD_MAX));
    }
}
