//! Samples of traffic: interfaces, protocols, talkers, prefixes, services, applications, peers; and of the agent's health.
//! The metrics themselves stand in `table`.
//!
//! Invariants: an address or a port is a label for a named number of rows only, all else is `other`; a counter never falls.

use std::collections::BTreeMap;

use hivewall_view::{
    AddressTraffic, ApplicationTraffic, InterfaceUtilization, PeerLatency, ServiceTraffic, TopTalker, TrafficCell,
};

use super::{Samples, Scrape};
use crate::health::Health;

/// Most addresses in one scrape, `other` aside.
const TOP_TALKERS_MAX: usize = 10;
/// Most server ports in one scrape, `other` aside.
const SERVICES_MAX: usize = 10;
/// Most prefixes in one scrape, `other` aside; the settings name them, so that they are the same at each scrape.
const SUBNETS_MAX: usize = 100;
/// What is not kept apart.
const OTHER: &str = "other";
/// Kinds of reasons of the health document, each told also when there is none of it.
const HEALTH_KINDS: [&str; 4] = ["stalled", "capture_fallback", "policy", "losses"];

pub(super) fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

pub(super) fn interfaces(scrape: &Scrape<'_>, out: &mut Samples, value: fn(&InterfaceUtilization) -> Option<f64>) {
    for (device, interface) in &scrape.snapshot.interface_utilization {
        if let Some(value) = value(interface) {
            out.add(&[device], value);
        }
    }
}

/// One sample for each interface, protocol and direction.
pub(super) fn traffic(scrape: &Scrape<'_>, out: &mut Samples, both: fn(&TrafficCell) -> [u64; 2]) {
    for (device, interface) in &scrape.snapshot.network_traffic {
        for (protocol, cell) in &interface.protocols {
            let [ingress, egress] = both(cell);
            out.count(&[device, protocol, "ingress"], ingress);
            out.count(&[device, protocol, "egress"], egress);
        }
    }
}

/// One sample for each interface, direction and reason.
pub(super) fn outside(scrape: &Scrape<'_>, out: &mut Samples, both: fn(&TrafficCell) -> [u64; 2]) {
    for (device, interface) in &scrape.snapshot.network_traffic {
        for (reason, cell) in &interface.not_in_flows {
            let [ingress, egress] = both(cell);
            out.count(&[device, "ingress", reason], ingress);
            out.count(&[device, "egress", reason], egress);
        }
    }
}

/// The busiest addresses, and the rest of what the host moves: each byte has one sender and one receiver, so that the sum
/// over addresses is the host's own rate.
pub(super) fn talkers(scrape: &Scrape<'_>, out: &mut Samples, rate: fn(&TopTalker) -> f64) {
    let mut rest: f64 = scrape.snapshot.protocols.values().map(|protocol| protocol.bits_per_second / 8.0).sum();
    for talker in scrape.snapshot.top_talkers.iter().take(TOP_TALKERS_MAX) {
        out.add(&[&talker.address], rate(talker));
        rest -= rate(talker);
    }
    // The rates of addresses are rounded to bits.
    out.add(&[OTHER], rest.max(0.0));
}

pub(super) fn subnets(scrape: &Scrape<'_>, out: &mut Samples, value: fn(&AddressTraffic) -> u64) {
    let subnets = &scrape.snapshot.subnet_traffic;
    for (prefix, traffic) in subnets.iter().take(SUBNETS_MAX) {
        out.count(&[prefix], value(traffic));
    }
    if subnets.len() > SUBNETS_MAX {
        out.count(&[OTHER], subnets.values().skip(SUBNETS_MAX).map(value).sum());
    }
}

/// What went to and came from the other ends of conversations that this host opened: what they sent came in.
pub(super) fn outbound(
    scrape: &Scrape<'_>,
    out: &mut Samples,
    table: &'static str,
    sent_and_received: fn(&AddressTraffic) -> [u64; 2],
) {
    let mut sums = [0; 2];
    for peer in scrape.snapshot.outbound_traffic.values() {
        sums.iter_mut().zip(sent_and_received(peer)).for_each(|(sum, more)| *sum += more);
    }
    for (direction, sum) in ["ingress", "egress"].into_iter().zip(sums) {
        out.count(&[direction], scrape.api.highest(table, direction, sum));
    }
}

/// The busiest server ports, and what is left of all others.
pub(super) fn services(scrape: &Scrape<'_>, out: &mut Samples, value: fn(&ServiceTraffic) -> u64) {
    // Port 0 stands for the ports that the engine no longer keeps apart.
    let is_named = |service: &&ServiceTraffic| service.port != 0;
    let (mut named, folded): (Vec<_>, Vec<_>) = scrape.snapshot.services.iter().partition(is_named);
    named.sort_by_key(|service| std::cmp::Reverse(service.bytes));
    for service in named.iter().take(SERVICES_MAX) {
        out.count(&[&format!("{}/{}", service.protocol, service.port)], value(service));
    }
    let rest = named.into_iter().skip(SERVICES_MAX).chain(folded);
    out.count(&[OTHER], rest.map(value).sum());
}

/// One sample for each application protocol that the program knows by name.
pub(super) fn applications(
    scrape: &Scrape<'_>,
    out: &mut Samples,
    table: &'static str,
    value: fn(&ApplicationTraffic) -> u64,
) {
    for (name, application) in &scrape.snapshot.applications {
        out.count(&[name], scrape.api.highest(table, name, value(application)));
    }
}

/// How a time is spread over all peers that are kept apart.
pub(super) fn peers_summary(scrape: &Scrape<'_>, out: &mut Samples, value: fn(&PeerLatency) -> f64) {
    out.spread(scrape.snapshot.latency.values().map(value));
}

/// How many reasons there are for the health not to be ok, by kind.
pub(super) fn health(scrape: &Scrape<'_>, out: &mut Samples) {
    let api = scrape.api;
    let health = Health::new(scrape.snapshot, api.source.now(), &api.losses(), api.source.fleet().is_some());
    let mut kinds: BTreeMap<&str, u64> = HEALTH_KINDS.map(|kind| (kind, 0)).into();
    for reason in &health.reasons {
        *kinds.entry(&reason.kind).or_default() += 1;
    }
    kinds.into_iter().for_each(|(kind, count)| out.count(&[kind], count));
}
