//! `cargo xtask bench policy`: what a policy costs, and whether that grows with it.
//!
//! Each part compares within one run: the policy in question with one of ten rules in the same maps, ours with what else
//! the kernel has, each beside a floor that does nothing. Programs and policies take turns, so that what else the machine
//! does meets all alike. Nothing here judges; the aims stand in docs/performance.md.

mod bench;
mod control;
mod filters;
mod front;
mod judge;
mod path;
mod rules;

use anyhow::{Context as _, Result, ensure};
use hivewall_testkit::netns::Lab;

use super::report::Report;
use crate::{bpf, repo};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Parts to measure; all when none is named.
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Rounds, in each of which everything that is compared runs once.
    #[arg(long)]
    rounds: Option<u32>,
    /// Small sizes and few rounds: whether it runs, not what it costs.
    #[arg(long)]
    quick: bool,
    /// CPU to run on; the last one by default.
    #[arg(long)]
    cpu: Option<usize>,
    /// Print JSON, one document a part.
    #[arg(long)]
    json: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// A packet of a flow that has its verdict.
    Established,
    /// The first packet of a flow.
    New,
    /// A packet of a banned source at the driver.
    Front,
    /// The whole way of a packet that is dropped, beside nftables and iptables.
    Path,
    /// Compiling, applying, banning, memory.
    Control,
}

const PARTS: &[Part] = &[Part::Established, Part::New, Part::Front, Part::Path, Part::Control];

/// How much is measured.
#[derive(Clone, Debug)]
struct Plan {
    rounds: u32,
    /// Packets by which a program is warmed up; a few times as many are timed.
    packets: u32,
    /// Rules of the policies.
    rules: &'static [usize],
    /// Prefixes of the sets and bans.
    prefixes: &'static [usize],
    /// Entries of the filters that packets are sent through.
    entries: &'static [usize],
    /// Frames that are sent through a filter at a time.
    frames: usize,
    cpu: Option<usize>,
}

impl Plan {
    fn of(args: &Args) -> Self {
        let plan = if args.quick {
            Self {
                rounds: 1,
                packets: 1 << 10,
                rules: &[10, 40],
                prefixes: &[1, 300],
                entries: &[1, 40],
                frames: 256,
                cpu: args.cpu,
            }
        } else {
            Self {
                rounds: 9,
                packets: 1 << 15,
                rules: &[10, 100, 1_000, 4_000],
                prefixes: &[1, 10_000, 100_000, 1_000_000],
                entries: &[1, 100, 1_000, 10_000, 100_000, 1_000_000],
                frames: 1 << 13,
                cpu: args.cpu,
            }
        };
        Self { rounds: args.rounds.unwrap_or(plan.rounds), ..plan }
    }
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "loading programs into the kernel and network namespaces need root; run this with sudo"
    );
    let plan = Plan::of(args);
    let parts = if args.part.is_empty() { PARTS } else { &args.part };
    for part in parts {
        for report in measure(*part, &plan)? {
            report.print(args.json);
            println!();
        }
    }
    Ok(())
}

fn measure(part: Part, plan: &Plan) -> Result<Vec<Report>> {
    let object = workbench()?;
    match part {
        Part::Established => aside(|index| judge::established(plan, &object, index)),
        Part::New => aside(|index| judge::new(plan, &object, index)),
        Part::Front => aside(|index| front::run(plan, &object, index)),
        Part::Path => path::run(plan, &object),
        Part::Control => aside(|index| control::run(plan, &object, index)),
    }
}

fn workbench() -> Result<Vec<u8>> {
    let path = repo::root()?.join(bpf::COMMITTED).join("workbench.o");
    std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Runs `work` in a namespace of its own, with the number of an interface there: packets of loopback are not judged.
fn aside<T: Send>(work: impl FnOnce(u32) -> Result<T> + Send) -> Result<T> {
    let lab = Lab::new("policy")?;
    let (host, other) = (lab.host("judged")?, lab.host("other")?);
    lab.link(&host, "eth0", &other, "eth0").up()?;
    host.enter(|| work(nix::net::if_::if_nametoindex("eth0")?))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small sizes, but every part and every peer.
    #[test]
    fn every_part_runs_and_has_a_figure_in_each_row() {
        hivewall_testkit::require_root!();
        let args = Args { part: Vec::new(), rounds: None, quick: true, cpu: None, json: false };
        for part in PARTS {
            for report in measure(*part, &Plan::of(&args)).unwrap() {
                assert!(report.is_filled(), "{part:?}");
            }
        }
    }
}
