//! Samples of the fleet: members, coverage, roll-out, links, what this host says and hears. The metrics themselves stand in
//! `table`.
//!
//! Invariant: no host is a label, so that the number of samples does not grow with the fleet; in no fleet there are none.

use hivewall_view::fleet::{Distinct, FleetMeterCell, FleetTotalView, FleetView, LinkView, MemberState, RolloutView};

use super::{Samples, Scrape};

/// Reads the fleet, where there is one.
pub(super) fn fleet(scrape: &Scrape<'_>, read: impl FnOnce(&FleetView)) {
    if let Some(fleet) = scrape.fleet {
        read(fleet);
    }
}

/// Reads what all hosts saw together, where that is known.
pub(super) fn total(scrape: &Scrape<'_>, read: impl FnOnce(&FleetTotalView)) {
    if let Some(total) = scrape.fleet.and_then(|fleet| fleet.total.as_ref()) {
        read(total);
    }
}

/// Reads how the fleet's policy spreads, where it has one.
pub(super) fn rollout(scrape: &Scrape<'_>, read: impl FnOnce(&RolloutView)) {
    if let Some(rollout) = scrape.fleet.and_then(|fleet| fleet.rollout.as_ref()) {
        read(rollout);
    }
}

pub(super) fn members(scrape: &Scrape<'_>, out: &mut Samples) {
    fleet(scrape, |fleet| {
        for (state, name) in MemberState::ALL {
            out.count(&[name], fleet.states.get(*state));
        }
    });
}

/// Hosts by what they do about the fleet's policy.
pub(super) fn policy_hosts(scrape: &Scrape<'_>, out: &mut Samples) {
    rollout(scrape, |rollout| {
        out.count(&["have"], rollout.have);
        out.count(&["enforced"], rollout.enforced);
        out.count(&["refused"], rollout.refused);
        out.count(&["unknown"], rollout.unknown);
    });
}

/// What moved between hosts and this one, by kind and direction.
pub(super) fn meter(scrape: &Scrape<'_>, out: &mut Samples, both: fn(&FleetMeterCell) -> [u64; 2]) {
    fleet(scrape, |fleet| {
        for (kind, cell) in &fleet.meter.traffic {
            let [ingress, egress] = both(cell);
            out.count(&[kind, "ingress"], ingress);
            out.count(&[kind, "egress"], egress);
        }
    });
}

pub(super) fn losses(scrape: &Scrape<'_>, out: &mut Samples) {
    fleet(scrape, |fleet| {
        for (source, losses) in [("core", &fleet.losses.core), ("links", &fleet.losses.links)] {
            losses.iter().for_each(|(reason, count)| out.count(&[source, reason], *count));
        }
    });
}

/// Traffic that all saw together, by protocol and direction.
pub(super) fn traffic(scrape: &Scrape<'_>, out: &mut Samples) {
    total(scrape, |total| {
        for row in &total.traffic {
            out.add(&[&row.protocol, &row.direction], row.bytes as f64 / total.seconds);
        }
    });
}

pub(super) fn distinct(scrape: &Scrape<'_>, out: &mut Samples, value: fn(&Distinct) -> f64) {
    total(scrape, |total| {
        out.add(&["sources"], value(&total.distinct_sources));
        out.add(&["destinations"], value(&total.distinct_destinations));
        out.add(&["pairs"], value(&total.distinct_pairs));
    });
}

/// Least, median, 95th of 100 and greatest over the links that this host timed itself.
pub(super) fn links(scrape: &Scrape<'_>, out: &mut Samples, value: fn(&LinkView) -> f64) {
    fleet(scrape, |fleet| {
        let own = fleet.links.iter().filter(|link| link.from_id == fleet.own_id);
        out.spread(own.map(value));
    });
}
