//! `cargo xtask bench`: what the performance claims of docs/performance.md are measured with.
//!
//! Each benchmark runs its peers beside the product, interleaved in one run, and reports ratios: a shared machine's
//! absolute figures change from hour to hour. Nothing here judges; the claims and their limits stand in the document.

mod agent;
mod datapath;
mod detect;
mod overhead;
mod page;
mod policy;
mod replay;
mod report;
mod sample;
mod scratch;
mod store;

use anyhow::Result;
use clap::Subcommand;

/// A benchmark, and its options.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Nanoseconds per packet in the kernel's datapath, beside kernel maps (as root).
    Datapath(datapath::Args),
    /// What detectors say of captures with ground truth.
    Detect(detect::Args),
    /// Packets per second of `hivewall replay`, beside nfpcapd.
    Replay(replay::Args),
    /// What the agent costs: iperf3 with it on and off, memory, processor time (as root).
    Overhead(overhead::Args),
    /// What a policy costs by its size, beside nftables and iptables (as root).
    Policy(policy::Args),
    /// The web page: first load, a filter over 100,000 flows, what live pages cost browser and agent (as root).
    Page,
    /// The history: flows in, bytes a flow, questions.
    Store,
}

/// Runs a benchmark.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Datapath(args) => datapath::run(args),
        Bench::Detect(args) => detect::run(args),
        Bench::Replay(args) => replay::run(args),
        Bench::Overhead(args) => overhead::run(args),
        Bench::Policy(args) => policy::run(args),
        Bench::Page => page::run(),
        Bench::Store => store::run(),
    }
}
