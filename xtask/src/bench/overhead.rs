//! `cargo xtask bench overhead`: what the agent costs the host it watches.
//!
//! Two network namespaces and a veth pair; the agent watches the receiving end. Throughput is measured with the agent
//! on and off in turn, so that what else the machine does meets both alike. Memory and processor time are read from
//! /proc. Traffic never leaves the two namespaces.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hivewall_testkit::generate::{Popularity, small_packets};
use hivewall_testkit::netns::{Host, Lab};
use hivewall_testkit::traffic::{raw_frames, udp_blast};
use serde_json::Value;

use super::agent::{Agent, Server};
use super::replay::binary;
use super::report::{Cell, Report};
use super::sample::Sample;
use super::scratch::Scratch;
use crate::repo;

/// The watched interface.
pub(super) const INTERFACE: &str = "eth0";
/// Address of the watched host.
const WATCHED: &str = "10.70.0.2";
/// How long memory is given to come to rest after a load: some sweeps and the engine's own work.
const REST: Duration = Duration::from_secs(5);
/// Packets a second while processor time is measured.
const CALM_RATE: u64 = 1_000;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds; each runs iperf3 with the agent off and on.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each run of iperf3, and of the calm traffic times five.
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// Program to measure; the release build by default.
    #[arg(long)]
    binary: Option<std::path::PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// What iperf3 is told, and what is read from its answer.
struct Stream {
    name: &'static str,
    unit: f64,
    options: &'static [&'static str],
    read: fn(&Value) -> Option<f64>,
}

const STREAMS: &[Stream] = &[
    Stream {
        name: "TCP, Gbit/s",
        unit: 1e9,
        options: &[],
        read: |end| end.pointer("/sum_received/bits_per_second")?.as_f64(),
    },
    Stream {
        name: "UDP of 64 bytes, thousand packets/s received",
        unit: 1e3,
        options: &["--udp", "--bitrate", "0", "--length", "64"],
        read: |end| {
            let number = |name: &str| end.pointer(&format!("/sum/{name}"))?.as_f64();
            Some((number("packets")? - number("lost_packets")?) / number("seconds")?)
        },
    },
];

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "network namespaces need root; run this with sudo");
    let bench =
        Bench { binary: binary(args.binary.as_deref())?, scratch: Scratch::new("overhead")?, lab: Place::new()? };
    let mut report = Report::new("The agent on a veth pair", "see rows", &["off", "on", "on / off"]);
    bench.throughput(args, &mut report)?;
    let calm = bench.calm(args.seconds * 5)?;
    report.row(&format!("processor at {CALM_RATE} packets/s, % of one"), vec![Cell::None, Cell::One(calm), Cell::None]);
    for flows in [10_000, 1_000_000] {
        let memory = bench.memory(flows)?;
        report.row(
            &format!("resident memory with {} flows, MB", memory.flows),
            vec![Cell::None, Cell::One(memory.megabytes), Cell::None],
        );
    }
    report.note(format!(
        "{} rounds of {} s, medians; on / off is the median over the rounds.",
        args.rounds, args.seconds
    ));
    report.print(args.json);
    Ok(())
}

/// Two hosts and the wire between them.
struct Place {
    sender: Host,
    watched: Host,
    _lab: Lab,
}

impl Place {
    fn new() -> Result<Self> {
        let lab = Lab::new("overhead")?;
        let (sender, watched) = (lab.host("sender")?, lab.host("watched")?);
        let address = format!("{WATCHED}/24");
        lab.link(&sender, INTERFACE, &watched, INTERFACE).addresses(&["10.70.0.1/24"], &[&address]).up()?;
        lab.settle()?;
        Ok(Self { sender, watched, _lab: lab })
    }
}

struct Bench {
    binary: std::path::PathBuf,
    scratch: Scratch,
    lab: Place,
}

/// What the agent held.
struct Memory {
    flows: u64,
    megabytes: f64,
}

impl Bench {
    fn agent(&self) -> Result<Agent> {
        Agent::start(&self.binary, &self.lab.watched, &self.scratch.path("flows.json"))
    }

    fn throughput(&self, args: &Args, report: &mut Report) -> Result<()> {
        let server = Server::start(&self.lab.watched)?;
        for stream in STREAMS {
            let (mut off, mut on) = (Sample::default(), Sample::default());
            for round in 0..args.rounds {
                // The order alternates: a machine that slows down over time must not favour either.
                for with_agent in [round % 2 == 1, round % 2 == 0] {
                    let agent = if with_agent { Some(self.agent()?) } else { None };
                    let rate = self.iperf3(stream, args.seconds)?;
                    if with_agent {
                        on.0.push(rate);
                    } else {
                        off.0.push(rate);
                    }
                    agent.map(Agent::stop).transpose()?;
                }
            }
            let ratio = on.over(&off).median();
            report.row(stream.name, vec![Cell::One(off.median()), Cell::One(on.median()), Cell::One(ratio)]);
        }
        server.stop()
    }

    fn iperf3(&self, stream: &Stream, seconds: u32) -> Result<f64> {
        let mut iperf3: Command = self.lab.sender.command("iperf3");
        iperf3.args(["--json", "--client", WATCHED, "--time", &seconds.to_string()]).args(stream.options);
        let answer: Value =
            serde_json::from_str(&repo::output(&mut iperf3)?).context("iperf3 did not answer in JSON")?;
        let rate = answer.get("end").and_then(stream.read).context("iperf3's answer has no result")?;
        Ok(rate / stream.unit)
    }

    /// Share of one processor, in per cent, that the agent takes under calm traffic.
    fn calm(&self, seconds: u32) -> Result<f64> {
        let agent = self.agent()?;
        let to = format!("{WATCHED}:9").parse()?;
        let before = agent.processor_seconds()?;
        let start = Instant::now();
        self.lab.sender.enter(|| -> Result<()> {
            // A hundredth of a second at a time: calm traffic is not even either.
            for burst in 0..u64::from(seconds) * 100 {
                udp_blast(to, CALM_RATE / 100, 64, 1)?;
                let next = start + Duration::from_millis(10 * (burst + 1));
                sleep(next.saturating_duration_since(Instant::now()));
            }
            Ok(())
        })??;
        let share = (agent.processor_seconds()? - before) / start.elapsed().as_secs_f64();
        agent.stop()?;
        Ok(share * 100.0)
    }

    /// Resident memory after a packet of each of so many flows.
    fn memory(&self, flows: usize) -> Result<Memory> {
        let agent = self.agent()?;
        // Uniform draws leave out some flows; three times as many packets as flows leave out one in twenty.
        let frames = small_packets(flows, flows * 3, 11, Popularity::Uniform);
        for part in frames.chunks(1 << 16) {
            self.lab.sender.enter(|| raw_frames(INTERFACE, part))??;
        }
        sleep(REST);
        let memory = Memory { flows: agent.flows()?, megabytes: agent.resident_bytes()? as f64 / 1e6 };
        agent.stop()?;
        Ok(memory)
    }
}
