//! The project's own chores, as `cargo xtask …`: kernel objects, house rules, generated documents, benchmarks, fuzzing.
//!
//! Nothing here is part of the product. Invariant: every task can be run again at any time, and says what to do when
//! it cannot work.
#![forbid(unsafe_code)]

mod bench;
mod bpf;
mod dashboards;
mod docs;
mod fuzz;
mod repo;
mod sim;
mod testbed;
mod tidy;
mod web;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Chores of the hivewall repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure what docs/performance.md claims.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Build the kernel objects and stamp them.
    Bpf(bpf::Args),
    /// Write the dashboards of deploy/grafana.
    Dashboards,
    /// Write the pages of docs/reference.
    Docs,
    /// Run the fuzz targets for a while.
    Fuzz(fuzz::Args),
    /// Simulate fleets in virtual time.
    Sim(sim::Args),
    /// Start real agents in namespaces on one switch, with traffic, and give a shell.
    Testbed(testbed::Args),
    /// Check the house rules.
    Tidy(tidy::Args),
    /// Build the web page's bundle and stamp it.
    Web(web::Args),
}

fn main() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<()> {
    if std::env::var_os(bpf::wrapper::VARIABLE).is_some() {
        return bpf::wrapper::become_rustc();
    }
    match Cli::parse().task {
        Task::Bench(bench) => bench::run(&bench),
        Task::Bpf(args) => bpf::run(&args),
        Task::Dashboards => dashboards::run(),
        Task::Docs => docs::run(),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Testbed(args) => testbed::run(&args),
        Task::Sim(args) => sim::run(&args),
        Task::Tidy(args) => tidy::run(&args),
        Task::Web(args) => web::run(&args),
    }
}
