//! Samples of alerts, of who is told, and of flow export. The metrics themselves stand in `table`.
//!
//! Invariant: labels are names of detectors, severities, channels and targets: what an operator configured, never what came from
//! the network.

use std::collections::BTreeMap;

use hivewall_view::alerts::{Alert, Response};
use hivewall_view::time::parse_rfc3339;

use super::{Exemplar, Samples, Scrape};

type Tally = BTreeMap<String, BTreeMap<String, u64>>;

/// Detector, severity.
pub(super) fn tally(tally: &Tally, out: &mut Samples) {
    for (detector, by) in tally {
        by.iter().for_each(|(severity, count)| out.count(&[detector, severity], *count));
    }
}

/// Detector, severity, with the id of the latest alert among those.
pub(super) fn raised(scrape: &Scrape<'_>, out: &mut Samples) {
    for (detector, by) in &scrape.snapshot.alerts.raised {
        for (severity, count) in by {
            let is_of = |alert: &Alert| alert.detector == *detector && alert.severity.name() == severity;
            out.count_of(&[detector, severity], *count, exemplar(scrape, is_of));
        }
    }
}

/// Detector, action, outcome, with the id of the latest alert among those.
pub(super) fn responses(scrape: &Scrape<'_>, out: &mut Samples) {
    for (detector, actions) in &scrape.snapshot.alerts.responses {
        for (action, outcomes) in actions {
            for (outcome, count) in outcomes {
                let is_done = |done: &Response| done.action == *action && done.outcome == *outcome;
                let is_of = |alert: &Alert| alert.detector == *detector && alert.response.as_ref().is_some_and(is_done);
                out.count_of(&[detector, action, outcome], *count, exemplar(scrape, is_of));
            }
        }
    }
}

/// The alert that began last among those that are shown and meant.
fn exemplar(scrape: &Scrape<'_>, is_meant: impl Fn(&Alert) -> bool) -> Option<Exemplar> {
    let meant = scrape.snapshot.alerts.latest.iter().filter(|alert| is_meant(alert));
    let alert = meant.max_by(|one, other| one.first_seen.cmp(&other.first_seen))?;
    let seconds = parse_rfc3339(&alert.first_seen)?.0 as f64 / 1e9;
    Some(Exemplar { label: "alert_id", value: alert.id.clone(), seconds })
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
