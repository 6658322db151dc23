//! Samples of alerts, of who is told, and of flow export. The metrics themselves stand in `table`.
//!
//! Invariant: labels are names of detectors, severities, channels and targets: what an operator configured, never what came from
//! the network.

use std::collections::BTreeMap;

use super::{Samples, Scrape};

type Tally = BTreeMap<String, BTreeMap<String, u64>>;

/// Detector, severity.
pub(super) fn tally(tally: &Tally, out: &mut Samples) {
    for (detector, by) in tally {
        by.iter().for_each(|(severity, count)| out.count(&[detector, severity], *count));
    }
}

/// Detector, action, outcome.
pub(super) fn responses(scrape: &Scrape<'_>, out: &mut Samples) {
    for (detector, actions) in &scrape.snapshot.alerts.responses {
        for (action, outcomes) in actions {
            outcomes.iter().for_each(|(outcome, count)| out.count(&[detector, action, outcome], *count));
        }
    }
}

/// Channel, outcome.
pub(super) fn delivery(scrape: &Scrape<'_>, out: &mut Samples) {
    for row in &scrape.snapshot.alerts.channels {
        row.counts.iter().for_each(|(outcome, count)| out.count(&[&row.channel, outcome], *count));
    }
}

/// Target, reason.
pub(super) fn export_lost(scrape: &Scrape<'_>, out: &mut Samples) {
    for row in &scrape.snapshot.flow_export {
        row.lost.iter().for_each(|(reason, count)| out.count(&[&row.target, reason], *count));
    }
}
