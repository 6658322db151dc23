//! `cargo xtask bench replay`: packets per second of `hivewall replay` on one processor, beside `nfpcapd -r`.
//!
//! Both read the same capture of small packets from memory and write their flows to memory; nothing of the disk is in
//! the figures. They run in turn, pinned to the same processor.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use hivewall_testkit::generate::{Popularity, small_packets};
use hivewall_testkit::pcap::{PcapFormat, PcapWriter};

use super::report::{Cell, Report};
use super::sample::Sample;
use super::scratch::Scratch;
use crate::repo;

/// The second this capture begins in.
const START_NANOS: u64 = 1_700_000_000_000_000_000;
/// Between two packets.
const STEP_NANOS: u64 = 1_000;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Packets in the capture.
    #[arg(long, default_value_t = 4_000_000)]
    packets: usize,
    /// Flows they belong to, the n-th in proportion to 1/n.
    #[arg(long, default_value_t = 16_384)]
    flows: usize,
    /// Rounds, in each of which both programs run once.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Processor to run on.
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    /// Program to measure; the release build by default.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> Result<()> {
    let binary = binary(args.binary.as_deref())?;
    let has_peer = Command::new("nfpcapd").arg("-V").output().is_ok();
    let scratch = Scratch::new("replay")?;
    let capture = scratch.path("small.pcap");
    write_capture(&capture, args).context("cannot write the capture")?;
    let (mut ours, mut peer) = (Sample::default(), Sample::default());
    for round in 0..args.rounds {
        let log = scratch.path("flows.json");
        let mut replay = pinned(args.cpu, &binary);
        replay.arg("replay").arg(&capture).args(["--log-format", "json", "--log-file"]).arg(&log);
        ours.0.push(rate(&mut replay, args.packets)?);
        ensure!(fs::metadata(&log).is_ok_and(|log| log.len() > 0), "the replay wrote no flows");
        fs::remove_file(&log)?;
        if has_peer {
            let folder = scratch.path(&format!("nfpcapd-{round}"));
            fs::create_dir(&folder)?;
            let mut nfpcapd = pinned(args.cpu, Path::new("nfpcapd"));
            nfpcapd.arg("-r").arg(&capture).arg("-w").arg(&folder);
            peer.0.push(rate(&mut nfpcapd, args.packets)?);
            fs::remove_dir_all(&folder)?;
        }
    }
    report(args, &ours, &peer, has_peer).print(args.json);
    Ok(())
}

/// The program to measure: the named one, or the release build.
pub(super) fn binary(named: Option<&Path>) -> Result<PathBuf> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => repo::target_dir(&repo::root()?)?.join("release/hivewall"),
    };
    ensure!(path.is_file(), "{} is missing; run `cargo build --release` first", path.display());
    Ok(std::path::absolute(path)?)
}

fn write_capture(path: &Path, args: &Args) -> Result<()> {
    let packets = small_packets(args.flows, args.packets, 7, Popularity::Zipf);
    let mut writer = PcapWriter::new(BufWriter::new(File::create(path)?), PcapFormat::default())?;
    for (at, packet) in packets.iter().enumerate() {
        writer.packet(START_NANOS + at as u64 * STEP_NANOS, packet.as_slice())?;
    }
    writer.finish()?;
    Ok(())
}

fn pinned(cpu: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &cpu.to_string()]).arg(program).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Millions of packets per second.
fn rate(command: &mut Command, packets: usize) -> Result<f64> {
    let start = Instant::now();
    let output = command.stderr(Stdio::piped()).output().context("cannot start taskset; install util-linux")?;
    let seconds = start.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "a program under measurement failed: {}\n{said}", output.status);
    Ok(packets as f64 / seconds / 1e6)
}

fn report(args: &Args, ours: &Sample, peer: &Sample, has_peer: bool) -> Report {
    let mut report = Report::new("Replay of small packets", "million packets per second", &["best", "median"]);
    let best = |sample: &Sample| sample.0.iter().copied().fold(0.0, f64::max);
    report.row("hivewall replay", vec![Cell::One(best(ours)), Cell::One(ours.median())]);
    if has_peer {
        report.row("nfpcapd -r", vec![Cell::One(best(peer)), Cell::One(peer.median())]);
        report.row(
            "  hivewall, times the peer",
            vec![Cell::One(best(ours) / best(peer)), Cell::One(ours.over(peer).median())],
        );
    } else {
        report.note("nfpcapd is missing (Debian's nfdump), so there is no comparison.");
    }
    report.note(format!(
        "{} packets of 64 bytes in {} flows, one processor, {} rounds, start and end of the process included.",
        args.packets, args.flows, args.rounds
    ));
    report
}
