//! `cargo xtask bench datapath`: nanoseconds per packet in the kernel, by `BPF_PROG_TEST_RUN`.
//!
//! Every program makes its packet one of many flows by the same few instructions (datapath-bpf/src/workbench.rs), so
//! what is reported is the time above the program that only does that and parses. Programs run interleaved, on one
//! CPU, with the rings read between the timed stretches: nothing is lost, and reading is not part of the price.

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Array, Map, MapData, MapInfo};
use hivewall_datapath::{HashSeed, RING_SLOTS, Record};
use hivewall_host::ebpf::{Geometry, Loaded, Object, Rings, TestRun, default_lines, possible_cpus};
use hivewall_testkit::generate::Rng;
use hivewall_testkit::packet::{ACK, frame};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::report::{Cell, Report};
use super::sample::Sample;
use crate::{bpf, repo};

/// The floor the others are compared with.
const FLOOR: &str = "parse_many";
/// The product's own path.
const OURS: &str = "observe_many";
/// Programs, and what they are.
const PROGRAMS: &[(&str, &str)] = &[
    ("empty_many", "change the frame, no more"),
    (FLOOR, "parse only"),
    (OURS, "hivewall, full accounting"),
    ("peer_hash_many", "peer: HASH and ktime"),
    ("peer_lru_many", "peer: LRU_HASH and ktime"),
    ("peer_lru_local_many", "peer: LRU_HASH per CPU and ktime"),
    ("clock_jiffies_many", "clock: jiffies"),
    ("clock_coarse_many", "clock: ktime_get_coarse_ns"),
    ("clock_ktime_many", "clock: ktime_get_ns"),
];
/// Entries of the map `FLOW_LIST`.
const DRAWS: u32 = 1 << 20;
/// Runs between two looks at the rings; fewer than a ring has slots, so that nothing is lost.
const STRETCH: u32 = 1 << 15;
/// Timed stretches of a program in one round.
const STRETCHES: u32 = 8;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds, in each of which every program runs once.
    #[arg(long, default_value_t = 21)]
    rounds: u32,
    /// CPU to run on; the last one by default.
    #[arg(long)]
    cpu: Option<usize>,
    /// Lines of the flow cache per CPU; the agent's default if not given.
    #[arg(long)]
    lines: Option<u32>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// How flows are drawn for the packets.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    flows: u32,
    /// Exponent of the popularity by rank; 0 is uniform.
    zipf: f64,
}

const LOADS: &[Load] = &[
    Load { name: "1 flow", flows: 1, zipf: 0.0 },
    Load { name: "1k", flows: 1 << 10, zipf: 0.0 },
    Load { name: "16k", flows: 1 << 14, zipf: 0.0 },
    Load { name: "64k", flows: 1 << 16, zipf: 0.0 },
    Load { name: "1M", flows: 1 << 20, zipf: 0.0 },
    Load { name: "Zipf 1.1 of 1M", flows: 1 << 20, zipf: 1.1 },
];

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "loading programs into the kernel needs root; run this with sudo");
    let path = repo::root()?.join(bpf::COMMITTED).join("workbench.o");
    let object = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let cpu = pin(args.cpu)?;
    let lines = args.lines.map_or_else(|| possible_cpus().map(default_lines), Ok)?;
    let geometry = Geometry::new(lines, RING_SLOTS)?;
    let mut columns = Vec::new();
    for load in LOADS {
        if !args.json {
            eprintln!("{} …", load.name);
        }
        columns.push(Column::measure(load, &object, geometry, cpu, args.rounds)?);
    }
    report(&columns, geometry, cpu, args.rounds).print(args.json);
    Ok(())
}

/// Keeps this thread on one CPU; returns which.
pub(super) fn pin(wanted: Option<usize>) -> Result<u32> {
    let own = Pid::from_raw(0);
    let allowed = sched_getaffinity(own)?;
    let mut usable = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let cpu = wanted.or(usable.next_back()).context("no CPU to run on")?;
    let mut only = CpuSet::new();
    only.set(cpu)?;
    sched_setaffinity(own, &only).with_context(|| format!("this process may not run on CPU {cpu}"))?;
    Ok(cpu as u32)
}

/// All programs under one load.
struct Column {
    /// Nanoseconds per packet, a sample for each of [`PROGRAMS`].
    times: Vec<(&'static str, Sample)>,
    /// Records handed over per packet by ours.
    evicted: f64,
}

impl Column {
    fn measure(load: &Load, object: &[u8], geometry: Geometry, cpu: u32, rounds: u32) -> Result<Self> {
        let mut rng = Rng::new(0x6869_7665);
        let mut bench = Bench::load(object, geometry, cpu, &mut rng)?;
        bench.choose_flows(load, &mut rng)?;
        // Once through the whole list: every program's tables are as full as they will be.
        for at in 0..PROGRAMS.len() {
            bench.stretches(at, DRAWS / STRETCH)?;
        }
        let mut times: Vec<(&'static str, Sample)> =
            PROGRAMS.iter().map(|(name, _)| (*name, Sample::default())).collect();
        let (mut records, mut packets) = (0, 0);
        for _ in 0..rounds {
            for (at, (name, sample)) in times.iter_mut().enumerate() {
                // The other programs have used the processor's caches since.
                bench.stretches(at, 2)?;
                let ran = bench.stretches(at, STRETCHES)?;
                sample.0.push(ran.nanoseconds);
                if *name == OURS {
                    records += ran.records;
                    packets += u64::from(STRETCH * STRETCHES);
                }
            }
        }
        let losses = bench.rings.losses();
        ensure!(losses.records == 0, "a ring overflowed by {} records; the figures would be too good", losses.records);
        Ok(Self { times, evicted: records as f64 / packets.max(1) as f64 })
    }

    fn sample(&self, name: &str) -> Sample {
        self.times.iter().find(|(program, _)| *program == name).map(|(_, sample)| sample.clone()).unwrap_or_default()
    }
}

/// A loaded object under measurement.
struct Bench {
    programs: Vec<TestRun>,
    rings: Rings,
    cpu: u32,
    frame: Vec<u8>,
    flow_list: Array<MapData, u64>,
    read: Vec<Record>,
    /// Keeps maps and programs alive.
    _loaded: Loaded,
}

/// What some stretches took.
struct Took {
    /// Per packet.
    nanoseconds: f64,
    /// Records read from the ring.
    records: u64,
}

impl Bench {
    fn load(object: &[u8], geometry: Geometry, cpu: u32, rng: &mut Rng) -> Result<Self> {
        let seed = HashSeed { words: std::array::from_fn(|_| rng.bits() as u32), multiplier: rng.bits() };
        let mut loaded = Loaded::load(Object::Bytes(object), geometry, seed)?;
        let programs = PROGRAMS.iter().map(|(name, _)| loaded.test_run(name)).collect::<Result<_, _>>()?;
        let ids = loaded.classifier(FLOOR)?.info()?.map_ids()?.context("this kernel does not tell a program's maps")?;
        let frame = frame().ipv4("10.0.0.1", "192.168.0.1").tcp(1024, 443).flags(ACK).pad_to(64).build();
        let (rings, flow_list) = (loaded.rings()?, find_array(&ids, "FLOW_LIST")?);
        Ok(Self { programs, rings, cpu, frame, flow_list, read: Vec::new(), _loaded: loaded })
    }

    /// Writes the list of flows that the packets will belong to.
    fn choose_flows(&mut self, load: &Load, rng: &mut Rng) -> Result<()> {
        let mut cumulative = Vec::new();
        if load.zipf > 0.0 {
            let mut sum = 0.0;
            cumulative.extend((1..=load.flows).map(|rank| {
                sum += f64::from(rank).powf(-load.zipf);
                sum
            }));
        }
        let total = cumulative.last().copied().unwrap_or(0.0);
        for draw in 0..DRAWS {
            let flow = if cumulative.is_empty() {
                rng.below(u64::from(load.flows))
            } else {
                let at = (rng.bits() >> 11) as f64 / (1_u64 << 53) as f64 * total;
                cumulative.partition_point(|sum| *sum <= at).min(load.flows as usize - 1) as u64
            };
            self.flow_list.set(draw, words(flow as u32), 0)?;
        }
        Ok(())
    }

    fn stretches(&mut self, program: usize, count: u32) -> Result<Took> {
        let mut took = Took { nanoseconds: 0.0, records: 0 };
        let program = self.programs.get(program).context("no such program")?;
        for _ in 0..count {
            let ran = program.run(&self.frame, None, STRETCH)?;
            took.nanoseconds += f64::from(ran.nanoseconds) / f64::from(count);
            self.read.clear();
            took.records += self.rings.read(self.cpu, RING_SLOTS as usize, &mut self.read) as u64;
        }
        Ok(took)
    }
}

/// Source address (lower word) and port of a flow, as they lie in a packet.
fn words(flow: u32) -> u64 {
    let address = 0x0a00_0000 | (flow & 0x00ff_ffff);
    let port = 1024 + (flow.wrapping_mul(0x9e37_79b1) >> 17) as u16;
    u64::from(address.to_be()) | u64::from(port.to_be()) << 32
}

fn find_array(ids: &[u32], name: &str) -> Result<Array<MapData, u64>> {
    for id in ids {
        if MapInfo::from_id(*id)?.name_as_str() == Some(name) {
            return Ok(Array::try_from(Map::Array(MapData::from_id(*id)?))?);
        }
    }
    bail!("workbench.o has no map {name}; run `cargo xtask bpf`")
}

fn report(columns: &[Column], geometry: Geometry, cpu: u32, rounds: u32) -> Report {
    let names: Vec<&str> = LOADS.iter().map(|load| load.name).collect();
    let mut report = Report::new("Cost of a packet above parsing", "ns, least / median", &names);
    for (program, about) in PROGRAMS {
        let cells = columns.iter().map(|column| {
            let (sample, floor) = (column.sample(program), column.sample(FLOOR));
            if *program == FLOOR {
                return Cell::Spread { min: sample.min(), median: sample.median() };
            }
            Cell::Spread { min: sample.min() - floor.min(), median: sample.above(&floor).median() }
        });
        let name = if *program == FLOOR { format!("{about} (absolute)") } else { (*about).to_owned() };
        report.row(&name, cells.collect());
    }
    for (peer, about) in PROGRAMS.iter().filter(|(_, about)| about.starts_with("peer")) {
        let cells = columns.iter().map(|column| {
            let floor = column.sample(FLOOR);
            let ours = column.sample(OURS).above(&floor).median().max(0.5);
            Cell::One(column.sample(peer).above(&floor).median() / ours)
        });
        report.row(&format!("  {about}, times ours"), cells.collect());
    }
    report.row("records per packet, ours", columns.iter().map(|column| Cell::One(column.evicted)).collect());
    let lines = geometry.sets * hivewall_datapath::WAYS as u32;
    report.note(format!(
        "CPU {cpu}, {rounds} rounds of {} packets each, flow cache of {lines} lines; the peers' maps hold 131,072 \
         entries (per CPU: 262,144), beyond which HASH counts nothing and LRU forgets.",
        STRETCH * STRETCHES
    ));
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flow_of_the_list_is_another() {
        let mut all: Vec<u64> = (0..1 << 20).map(words).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1 << 20);
    }
}
