//! Scenarios: what happens to a fleet, what is measured, and what has to hold.
//!
//! Invariant: a scenario says in its outcome whether its aims held, each with the figure that decides it.

use std::net::{IpAddr, Ipv4Addr};

use hivewall_cluster::Order;
use hivewall_sketch::{Class, Direction, Flow, Service, Summary};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::keys;
use crate::network::Network;
use crate::traffic::Traffic;
use crate::world::{BEGIN_UNIX_MS, World};

/// A scenario by its name.
pub struct Scenario {
    /// The name.
    pub name: &'static str,
    /// What happens, in a line.
    pub what: &'static str,
    run: fn(usize, u64) -> Vec<Line>,
}

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What was measured, with its unit.
    pub what: String,
    /// The figure.
    pub value: f64,
    /// What it has to be; none when it is only told.
    pub aim: Option<Aim>,
}

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Line {
    fn told(what: &str, value: f64) -> Self {
        Self { what: what.to_owned(), value, aim: None }
    }

    fn at_most(what: &str, value: f64, most: f64) -> Self {
        Self { what: what.to_owned(), value, aim: Some(Aim::AtMost(most)) }
    }

    fn at_least(what: &str, value: f64, least: f64) -> Self {
        Self { what: what.to_owned(), value, aim: Some(Aim::AtLeast(least)) }
    }

    /// Whether it is what it has to be.
    pub fn holds(&self) -> bool {
        match self.aim {
            None => true,
            Some(Aim::AtMost(most)) => self.value <= most,
            Some(Aim::AtLeast(least)) => self.value >= least,
        }
    }
}

/// What came of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Figures.
    pub lines: Vec<Line>,
    /// The seed, with which it can be seen again.
    pub seed: u64,
}

impl Outcome {
    /// Whether all aims held.
    pub fn holds(&self) -> bool {
        self.lines.iter().all(Line::holds)
    }
}

/// All scenarios but chaos, which has no figures.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "steady", what: "nothing happens for a minute; 5% of the hosts are slow", run: steady },
    Scenario { name: "quiet", what: "nothing happens for a minute; no host is slow", run: quiet },
    Scenario { name: "join", what: "all hosts join at once through the first", run: join },
    Scenario { name: "policy", what: "a policy of 500 KB is published; 5% of all packets get lost", run: policy },
    Scenario { name: "summary", what: "20% of the hosts fail in the middle of an epoch", run: summary },
    Scenario { name: "crash", what: "2% of the hosts fail at once", run: crash },
    Scenario { name: "split", what: "a third is cut off for a minute", run: split },
];

/// Runs a scenario; none when there is none of that name.
pub fn run(name: &str, hosts: usize, seed: u64) -> Option<Outcome> {
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name)?;
    Some(Outcome { lines: (scenario.run)(hosts, seed), seed })
}

/// Summaries of a few hosts with so many flows each, to be used by all in turn.
pub(crate) fn summaries(hosts: usize, flows: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut flow = |_| {
        // Zipf by the inverse of its distribution: rank^-1 over addresses, bytes with a long tail.
        let mut zipf = |ranks: f64| ranks.powf(rng.random::<f64>()) as u32;
        let (source, destination, port) = (zipf(20_000.0), zipf(50_000.0), zipf(2000.0));
        let bytes = 60.0 / rng.random_range(0.000_1_f64..1.0).powf(1.2);
        Flow {
            source: IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | source)),
            destination: IpAddr::V4(Ipv4Addr::from_bits(0xc600_0000 | destination.wrapping_mul(2_654_435) & 0xff_ffff)),
            service: Service { protocol: 6, port: port as u16 },
            class: Class { protocol: if port % 5 == 0 { 17 } else { 6 }, interface: 0, direction: Direction::Out },
            packets: 1 + bytes as u64 / 900,
            bytes: bytes as u64,
        }
    };
    (0..hosts).map(|_| Summary::of((0..flows).map(&mut flow)).encode()).collect()
}

fn joined(hosts: usize, seed: u64, network: Network) -> World {
    let mut world = World::new(hosts, seed, network);
    world.start_joined();
    world
}

fn per_host(world: &World, before: &Traffic, seconds: f64) -> Vec<Line> {
    let after = traffic(world);
    let hosts = world.hosts.len() as f64;
    let rate = |after: u64, before: u64| (after - before) as f64 / hosts / seconds;
    vec![
        Line::at_most("membership, bytes/s per host", rate(after.membership.bytes, before.membership.bytes), 1000.0),
        Line::at_most(
            "membership with packet headers, bytes/s per host",
            rate(after.membership.wire_bytes, before.membership.wire_bytes),
            1000.0,
        ),
        Line::at_most("summaries, bytes/s per host", rate(after.summaries.bytes, before.summaries.bytes), 3000.0),
        Line::told(
            "summaries with packet headers, bytes/s per host",
            rate(after.summaries.wire_bytes, before.summaries.wire_bytes),
        ),
        Line::told("facts, bytes/s per host", rate(after.facts.bytes, before.facts.bytes)),
    ]
}

fn traffic(world: &World) -> Traffic {
    let mut sum = Traffic::default();
    for host in &world.hosts {
        sum.membership += host.traffic.membership;
        sum.summaries += host.traffic.summaries;
        sum.facts += host.traffic.facts;
    }
    sum
}

/// Pairs of running hosts of which one does not know the other to be alive.
fn unknown_pairs(world: &World) -> usize {
    let running = world.running();
    let ids: Vec<_> = running.iter().filter_map(|at| world.hosts.get(*at)).map(|host| host.id).collect();
    let missing = |at: &usize| {
        let alive = world.core(*at).map(hivewall_cluster::Core::alive).unwrap_or_default();
        ids.iter().filter(|id| alive.binary_search(id).is_err()).count()
    };
    running.iter().map(missing).sum()
}

/// Pairs of a running host and one that it wrongly believes to be alive.
fn ghost_pairs(world: &World) -> usize {
    let running = world.running();
    let known: usize = running.iter().filter_map(|at| world.core(*at)).map(|core| core.alive().len()).sum();
    known + unknown_pairs(world) - running.len() * running.len()
}

fn quiet(hosts: usize, seed: u64) -> Vec<Line> {
    for_a_minute(hosts, seed, 0)
}

fn steady(hosts: usize, seed: u64) -> Vec<Line> {
    for_a_minute(hosts, seed, hosts.div_ceil(20))
}

fn for_a_minute(hosts: usize, seed: u64, slow: usize) -> Vec<Line> {
    let mut world = joined(hosts, seed, Network::lan());
    world.summaries = summaries(hosts.min(40), 1000, seed);
    for at in 0..slow {
        if let Some(host) = world.hosts.get_mut(at * 17 % hosts) {
            host.slow_us = 1_500_000;
        }
    }
    // The first contributions are those at 10 s, so six epochs fall into the minute.
    world.run_until(9000);
    let before = traffic(&world);
    let mut false_deaths = 0;
    for second in (11..=69).step_by(2) {
        world.run_until(second * 1000);
        false_deaths = false_deaths.max(unknown_pairs(&world));
    }
    let mut lines = per_host(&world, &before, 60.0);
    lines.push(Line::at_most("pairs that believed one another dead, looked at each 2 s", false_deaths as f64, 0.0));
    lines
}

fn join(hosts: usize, seed: u64) -> Vec<Line> {
    let mut world = World::new(hosts, seed, Network::lan());
    world.start(0, &[]);
    (1..hosts).for_each(|at| world.start(at, &[0]));
    let all = world.run_while(120_000, 50, |world| unknown_pairs(world) == 0);
    let records = world.run_while(60_000, 100, |world| {
        let lacks =
            |at: &usize| world.core(*at).is_some_and(|core| core.alive().iter().any(|id| core.member(*id).is_none()));
        !world.running().iter().any(lacks)
    });
    let sent = traffic(&world);
    let seconds = |ms: Option<u64>| ms.map_or(f64::INFINITY, |ms| ms as f64 / 1000.0);
    vec![
        Line::at_most("all know all, s", seconds(all), if hosts <= 20 { 3.0 } else { 60.0 }),
        Line::at_most("all have all records, s", seconds(records), 90.0),
        Line::told("membership sent, KB per host", sent.membership.bytes as f64 / hosts as f64 / 1000.0),
        Line::told("records sent, KB per host", sent.facts.bytes as f64 / hosts as f64 / 1000.0),
    ]
}

fn policy(hosts: usize, seed: u64) -> Vec<Line> {
    let mut world = joined(hosts, seed, Network { loss: 0.05, ..Network::lan() });
    world.run_until(5000);
    let before = traffic(&world);
    let mut rng = SmallRng::seed_from_u64(seed);
    let body: Vec<u8> = (0..500_000).map(|_| rng.random()).collect();
    world.order(0, Order::Publish(keys::policy("edge", 1, body)));
    world.run_until(20_000);
    let mut times: Vec<u64> = world.accepted.values().map(|at| at - 5000).collect();
    times.sort_unstable();
    let needed = (hosts as f64 * 0.999).ceil() as usize;
    let reached = |number: usize| {
        number.checked_sub(1).and_then(|at| times.get(at)).map_or(f64::INFINITY, |ms| *ms as f64 / 1000.0)
    };
    let sent = traffic(&world).facts.bytes - before.facts.bytes;
    vec![
        Line::told("half have it, s", reached(hosts.div_ceil(2))),
        Line::at_most("99.9% have it, s", reached(needed), 2.0),
        Line::at_most("all have it, s", reached(hosts), 10.0),
        Line::told("sent per host, times its size", sent as f64 / hosts as f64 / 500_000.0),
    ]
}

fn summary(hosts: usize, seed: u64) -> Vec<Line> {
    let mut world = joined(hosts, seed, Network::lan());
    world.summaries = summaries(hosts.min(40), 1000, seed);
    world.run_until(25_000);
    let dead = hosts / 5;
    // Watchers are spread over the survivors.
    let watchers: Vec<usize> = (0..hosts).filter(|at| at % 5 != 0).step_by((hosts / 50).max(1)).collect();
    watchers.iter().for_each(|at| world.order(*at, Order::Watch(true)));
    (0..hosts).filter(|at| at % 5 == 0).take(dead).for_each(|at| world.crash(at));
    let survivors = world.running().len() as f64;
    world.run_until(39_500);
    let mut lines = Vec::new();
    let epoch = BEGIN_UNIX_MS / 10_000 + 2;
    let totals: Vec<_> =
        watchers.iter().filter_map(|at| world.core(*at)?.total()).filter(|total| total.epoch == epoch).collect();
    let heard = |total: &&hivewall_cluster::FleetTotal| f64::from(total.heard);
    let least = totals.iter().map(heard).fold(f64::INFINITY, f64::min);
    let flows =
        |total: &&hivewall_cluster::FleetTotal| total.summary.totals().values().map(|counts| counts.flows).sum::<u64>();
    let doubled = totals.iter().filter(|total| flows(total) != u64::from(total.heard) * 1000).count();
    lines.push(Line::at_least("survivors in the total, least of all watchers, %", least / survivors * 100.0, 99.0));
    lines.push(Line::at_least(
        "watchers with that total, %",
        totals.len() as f64 / watchers.len() as f64 * 100.0,
        99.0,
    ));
    lines.push(Line::at_most("totals whose flows are not those of their hosts", doubled as f64, 0.0));
    let body = totals.first().map_or(0, |total| total.summary.encode().len());
    lines.push(Line::told("size of the total, KB", body as f64 / 1000.0));
    lines
}

fn crash(hosts: usize, seed: u64) -> Vec<Line> {
    let mut world = joined(hosts, seed, Network::lan());
    world.run_until(5000);
    let dead = hosts.div_ceil(50);
    (0..dead).for_each(|at| world.crash(at * 31 % hosts));
    let gone = hosts - world.running().len();
    let pairs = (world.running().len() * gone) as f64;
    let most = world.run_while(60_000, 100, |world| ghost_pairs(world) as f64 <= pairs * 0.01);
    let all = world.run_while(60_000, 100, |world| ghost_pairs(world) == 0);
    let seconds = |ms: Option<u64>| ms.map_or(f64::INFINITY, |ms| (ms - 5000) as f64 / 1000.0);
    vec![
        Line::at_most("99% of (observer, dead) pairs, s", seconds(most), if hosts <= 1000 { 13.0 } else { 23.0 }),
        Line::told("all pairs, s", seconds(all)),
        Line::at_most("living taken for dead, pairs", unknown_pairs(&world) as f64, 0.0),
    ]
}

fn split(hosts: usize, seed: u64) -> Vec<Line> {
    let mut world = joined(hosts, seed, Network::lan());
    world.run_until(5000);
    world.network.parts = (0..hosts).map(|at| u8::from(at % 3 == 0)).collect();
    world.run_until(35_000);
    world.order(0, Order::Publish(keys::policy("edge", 1, vec![1; 1000])));
    world.order(1, Order::Publish(keys::policy("edge", 2, vec![2; 1000])));
    world.run_until(65_000);
    world.network.parts = Vec::new();
    let all = world.run_while(120_000, 100, |world| unknown_pairs(world) == 0);
    let newest = world.run_while(60_000, 100, |world| {
        let has =
            |at: &usize| world.core(*at).and_then(|core| core.policy("edge")).is_some_and(|p| p.head.version == 2);
        world.running().iter().all(has)
    });
    let seconds = |ms: Option<u64>| ms.map_or(f64::INFINITY, |ms| ms as f64 / 1000.0 - 65.0);
    vec![
        Line::at_most("all know all again, s", seconds(all), if hosts <= 20 { 5.0 } else { 60.0 }),
        Line::at_most("all have the newest policy, s", seconds(newest), 60.0),
    ]
}
