//! Packets of banned sources at the driver's hook, beside a program that drops everything unseen and one that has
//! nothing but a trie of prefixes.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Result, ensure};
use hivewall_host::bans::{Ban, Bans, KernelStore, Origin, Prefix};
use hivewall_host::ebpf::TestRun;
use hivewall_testkit::generate::Rng;
use hivewall_testkit::packet::frame;
use ipnet::{IpNet, Ipv4Net};

use super::Plan;
use super::bench::{Bench, enter, flow};
use crate::bench::datapath::pin;
use crate::bench::report::{Cell, Report};
use crate::bench::sample::Sample;

/// `enum xdp_action` (linux/bpf.h).
const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
/// Times [`Plan::packets`] a round.
const STRETCHES: u32 = 4;
/// Nothing is banned from here on.
const FREE: u32 = 0x6400_0000;

/// What is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Single addresses, up to sixteen of a /24.
    Hosts,
    /// Networks of 256 addresses.
    Nets,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Hosts => "addresses",
            Self::Nets => "/24 networks",
        }
    }

    fn len(self) -> u8 {
        if self == Self::Hosts { 32 } else { 24 }
    }

    /// The first address of the ban of this number; there are a million and more.
    pub(super) fn first(self, number: u32) -> u32 {
        match self {
            Self::Hosts => 0x0a00_0005 + number * 16,
            Self::Nets => 0x1400_0000 + number * 256,
        }
    }

    /// The ban of this number.
    pub(super) fn prefix(self, number: u32) -> Prefix {
        IpNet::from(Ipv4Net::new_assert(Ipv4Addr::from(self.first(number)), self.len())).into()
    }
}

/// What packets are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origins {
    /// From sources that are banned.
    Banned,
    /// From neighbours of banned addresses.
    Beside,
    /// From networks of which nothing is banned.
    Elsewhere,
}

/// A ban without an end.
pub(super) fn ban() -> Ban {
    Ban { until: None, origin: origin() }
}

fn origin() -> Arc<Origin> {
    Arc::new(Origin { issuer: "bench".to_owned(), reason: "to be measured".to_owned() })
}

/// The bans of a loaded object.
pub(super) fn open(store: KernelStore) -> Result<Bans<KernelStore>> {
    Ok(Bans::open(store, &origin())?)
}

/// Runs this part.
pub(super) fn run(plan: &Plan, object: &[u8], ifindex: u32) -> Result<Vec<Report>> {
    [Kind::Hosts, Kind::Nets].into_iter().map(|kind| of(plan, object, ifindex, kind)).collect()
}

/// What is compared under one number of bans.
const ROWS: &[(&str, &str, Origins)] = &[
    ("drop everything unseen", "drop_all_many", Origins::Banned),
    ("hivewall, banned source", "front_many", Origins::Banned),
    ("plain trie, banned source", "peer_trie_many", Origins::Banned),
    ("hivewall, a neighbour of a banned one", "front_many", Origins::Beside),
    ("hivewall, a source far from all", "front_many", Origins::Elsewhere),
    ("plain trie, a source far from all", "peer_trie_many", Origins::Elsewhere),
];

fn of(plan: &Plan, object: &[u8], ifindex: u32, kind: Kind) -> Result<Report> {
    let cpu = pin(plan.cpu)?;
    let mut bench = Bench::load(object, cpu, ifindex)?;
    let mut bans = open(bench.loaded.ban_maps()?)?;
    let mut trie = bench.peer_trie()?;
    let names: Vec<String> = plan.prefixes.iter().map(ToString::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let title = format!("A packet at the driver's hook, by the number of banned {}", kind.name());
    let mut report = Report::new(&title, "ns, least / median", &names);
    let programs: Vec<TestRun> =
        ROWS.iter().map(|(_, program, _)| bench.loaded.test_run(program)).collect::<Result<_, _>>()?;
    let (mut columns, mut there) = (Vec::new(), 0);
    for count in plan.prefixes {
        let count = *count as u32;
        eprintln!("{count} banned {} …", kind.name());
        let outcome = bans.add_all((there..count).map(|number| kind.prefix(number)), &ban());
        ensure!(outcome.refused.is_empty(), "{} bans were refused", outcome.refused.len());
        enter(&mut trie, (there..count).map(|number| (kind.first(number), u32::from(kind.len()))))?;
        there = count;
        columns.push(rounds(plan, &mut bench, &programs, kind, count)?);
    }
    for (row, (name, ..)) in ROWS.iter().enumerate() {
        let cell = |column: &Vec<Sample>| {
            let sample = column.get(row).cloned().unwrap_or_default();
            Cell::Spread { min: sample.min(), median: sample.median() }
        };
        report.row(name, columns.iter().map(cell).collect());
    }
    report.note(format!(
        "CPU {cpu}, {} rounds of {} packets each, in turn; sources drawn from all that are meant.",
        plan.rounds,
        plan.packets * STRETCHES
    ));
    Ok(report)
}

/// A sample for each of [`ROWS`].
fn rounds(plan: &Plan, bench: &mut Bench, programs: &[TestRun], kind: Kind, count: u32) -> Result<Vec<Sample>> {
    let mut samples = vec![Sample::default(); ROWS.len()];
    for from in [Origins::Banned, Origins::Beside, Origins::Elsewhere] {
        let mut rng = Rng::new(11);
        let mut source = || {
            let first = kind.first(rng.below(u64::from(count)) as u32);
            match from {
                Origins::Banned => first + rng.below(1 << (32 - kind.len())) as u32,
                Origins::Beside if kind == Kind::Hosts => first + 1,
                Origins::Beside => first ^ 0x4000_0000,
                Origins::Elsewhere => FREE + (rng.bits() as u32 & 0x00ff_ffff),
            }
        };
        let frame = frame().ipv4(Ipv4Addr::from(source()), "192.168.0.1").udp(1024, 443).pad_to(64).build();
        bench.choose(|_| flow(source(), 1024))?;
        for _ in 0..plan.rounds {
            for ((program, (_, name, of)), sample) in programs.iter().zip(ROWS).zip(&mut samples) {
                if *of != from {
                    continue;
                }
                let wanted = if from == Origins::Banned || *name == "drop_all_many" { XDP_DROP } else { XDP_PASS };
                bench.drive(program, &frame, plan.packets, wanted)?;
                sample.0.extend(bench.drive(program, &frame, plan.packets * STRETCHES, wanted)?);
            }
        }
    }
    Ok(samples)
}

/// An address as a ban.
pub(super) fn host(address: u32) -> Prefix {
    IpAddr::from(Ipv4Addr::from(address)).into()
}
