//! Chaos: hosts crash, come back with and without their disks, sleep, lag, lie; links lose and part; meanwhile policies,
//! bans and entries are published. When it is over, all have to agree.
//!
//! Invariant: a failure says what disagrees and with which seed.

use hivewall_cluster::{Alarm, Core, Fact, Hash, Order, PolicyHead, wire::Datagram};
use rand::RngExt as _;

use crate::keys;
use crate::network::Network;
use crate::world::{BEGIN_UNIX_MS, World};

/// How long the chaos lasts, in milliseconds.
const CHAOS_MS: u64 = 60_000;
/// How long the fleet may take to agree after it, in milliseconds.
const CALM_MS: u64 = 120_000;
/// Hosts that write the audit log keep their disks: who loses its own chain needs a new name.
const AUTHORS: usize = 3;

/// What has been published.
#[derive(Default)]
struct Published {
    version: u64,
    number: u64,
}

/// Runs one seed with so many hosts. What disagrees in the end, if anything.
pub fn chaos(hosts: usize, seed: u64) -> Result<(), String> {
    let mut world = World::new(hosts, seed, Network::lan());
    for at in 0..hosts {
        let skew = world.rng.random_range(-1500..=1500);
        if let Some(host) = world.hosts.get_mut(at) {
            host.skew_ms = skew;
        }
        world.start(at, if at == 0 { &[] } else { &[0] });
    }
    world.run_until(4000);
    let mut published = Published::default();
    while world.now_us / 1000 < CHAOS_MS {
        act(&mut world, &mut published);
        let pause = world.rng.random_range(100..2500);
        let until = world.now_us / 1000 + pause;
        world.run_until(until);
    }
    calm(&mut world);
    let newest = world.running().iter().filter_map(|at| version(world.core(*at)?)).max();
    let agreed = world.run_while(CALM_MS, 1000, |world| disagreement(world, newest).is_none());
    if agreed.is_some() {
        return Ok(());
    }
    Err(format!("seed {seed}, {hosts} hosts: {}", disagreement(&world, newest).unwrap_or_default()))
}

fn version(core: &Core) -> Option<u64> {
    core.policy("edge").map(|policy| policy.head.version)
}

/// One thing happens.
fn act(world: &mut World, published: &mut Published) {
    let hosts = world.hosts.len();
    let at = world.rng.random_range(0..hosts);
    match world.rng.random_range(0..14) {
        0 | 1 => world.crash(at),
        2 | 3 => start_again(world, at),
        4 => world.network.parts = (0..hosts).map(|_| world.rng.random_range(0..2)).collect(),
        5 => world.network.parts.clear(),
        6 => world.network.loss = world.rng.random_range(0.0..0.3),
        7 => set(world, at, |host, now| host.asleep_until = now + 8_000_000),
        8 => set(world, at, |host, _| host.slow_us = if host.slow_us == 0 { 1_500_000 } else { 0 }),
        9 => lie(world, at),
        10 | 11 => {
            published.version += 1;
            let body = vec![published.version as u8; 3000];
            world.order(at, Order::Publish(keys::policy("edge", published.version, body)));
        }
        12 => ban(world, at, published),
        _ => append(world, at % AUTHORS),
    }
}

fn set(world: &mut World, at: usize, change: impl Fn(&mut crate::world::Host, u64)) {
    let now = world.now_us;
    if let Some(host) = world.hosts.get_mut(at) {
        change(host, now);
    }
}

/// A host that is down comes back, sometimes without its disk.
fn start_again(world: &mut World, at: usize) {
    if world.core(at).is_some() {
        return;
    }
    if at >= AUTHORS && world.rng.random_bool(0.3) {
        set(world, at, |host, _| host.disk = crate::disk::Disk::default());
    }
    let seeds: Vec<usize> =
        (0..3).map(|_| world.rng.random_range(0..world.hosts.len())).filter(|seed| *seed != at).collect();
    world.start(at, &seeds);
}

/// A host sends what it should not: noise, cut messages, forged facts, facts in another's name.
fn lie(world: &mut World, at: usize) {
    let Some(liar) = world.hosts.get(at).filter(|host| host.core.is_some()).map(|host| host.id) else { return };
    for _ in 0..20 {
        let to = world.rng.random_range(0..world.hosts.len());
        let Some(to) = world.hosts.get(to).map(|host| host.id) else { continue };
        let mut bytes = match world.rng.random_range(0..4) {
            0 => (0..world.rng.random_range(0..1300)).map(|_| world.rng.random()).collect(),
            1 => {
                let head = PolicyHead { name: "edge".to_owned(), version: 1_000_000, hash: Hash::of(b"forged") };
                Datagram::Announce(vec![Fact::Policy(head)]).encode()
            }
            2 => {
                let mut ban = keys::ban(to, 7, BEGIN_UNIX_MS / 1000, BEGIN_UNIX_MS / 1000 + 600, false);
                ban.signature = vec![0; 64];
                Datagram::Announce(vec![Fact::Ban(ban)]).encode()
            }
            _ => [&[1, 0], to.0.as_slice(), &[0; 30]].concat(),
        };
        if world.rng.random_bool(0.3) && !bytes.is_empty() {
            bytes.truncate(world.rng.random_range(0..bytes.len()));
        }
        let number = world.hosts.iter().position(|host| host.id == liar).unwrap_or(0);
        world.send_datagram(number, to, &bytes);
    }
}

fn ban(world: &mut World, at: usize, published: &mut Published) {
    let Some(core) = world.core(at) else { return };
    let now = world.clock(at).unix_s();
    let own = core.bans().find(|ban| ban.issuer == core.id()).cloned();
    let ban = match own.filter(|_| published.number % 3 == 2) {
        Some(ban) => keys::ban(ban.issuer, ban.number, ban.issued_unix_s, ban.expires_unix_s, true),
        None => keys::ban(core.id(), published.number, now, now + 3600, false),
    };
    published.number += 1;
    world.order(at, Order::Ban(ban));
}

fn append(world: &mut World, at: usize) {
    let Some(core) = world.core(at) else { return };
    let chain = core.audit(core.id());
    let (number, before) = chain.last().map_or((1, Hash([0; 32])), |last| (last.number + 1, last.hash()));
    let entry = keys::entry(core.id(), number, before, world.clock(at).unix_ms);
    world.order(at, Order::Append(entry));
}

/// Everything works again.
fn calm(world: &mut World) {
    world.network = Network::lan();
    for at in 0..world.hosts.len() {
        set(world, at, |host, now| {
            host.slow_us = 0;
            host.asleep_until = host.asleep_until.min(now);
        });
        start_again(world, at);
    }
}

/// What the hosts do not agree on, if anything.
fn disagreement(world: &World, newest: Option<u64>) -> Option<String> {
    let mut ids: Vec<_> = world.running().iter().filter_map(|at| world.hosts.get(*at)).map(|host| host.id).collect();
    ids.sort_unstable();
    let cores: Vec<&Core> = world.running().iter().filter_map(|at| world.core(*at)).collect();
    let first = cores.first()?;
    let keyed = |core: &Core| -> Vec<_> { core.bans().map(|ban| (ban.issuer, ban.number)).collect() };
    for core in &cores {
        let id = core.id();
        if core.alive() != ids {
            return Some(format!("{id:?} knows {} alive of {}", core.alive().len(), ids.len()));
        }
        if let Some(suspect) = core.suspects().first() {
            return Some(format!("{id:?} suspects {suspect:?} still"));
        }
        if version(core) != newest {
            return Some(format!("{id:?} has policy {:?} and the newest is {newest:?}", version(core)));
        }
        if core.is_frozen("edge") {
            return Some(format!("{id:?} saw two policies of one version"));
        }
        if keyed(core) != keyed(first) {
            return Some(format!("{id:?} and {:?} have other bans", first.id()));
        }
        if ids.iter().any(|author| core.audit(*author) != first.audit(*author)) {
            return Some(format!("{id:?} and {:?} have other logs", first.id()));
        }
    }
    let is_serious = |alarm: &Alarm| matches!(alarm, Alarm::TwoPolicies(..) | Alarm::TwoEntries(..));
    let alarmed = world.hosts.iter().find(|host| host.alarms.iter().any(is_serious));
    alarmed.map(|host| format!("{:?} raised an alarm without a cause", host.id))
}
