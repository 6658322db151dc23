//! `cargo xtask sim`: fleets of real cores in virtual time, and a table of what was measured.
//!
//! Nothing is simulated in here; that is the `sim` crate. Invariant: every failure prints the command that shows it again.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use hivewall_sim::{Aim, Line, SCENARIOS, chaos, run as run_scenario};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Hosts of the fleet.
    #[arg(long, default_value_t = 100)]
    nodes: usize,
    /// Seed; the first of several.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after another.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// What happens: a name, or `all`. Without it, the scenarios are listed.
    #[arg(long)]
    scenario: Option<String>,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(args.nodes >= 2, "a fleet has at least two hosts: give --nodes 2 or more");
    match args.scenario.as_deref() {
        None => {
            SCENARIOS.iter().for_each(|scenario| println!("{:<10} {}", scenario.name, scenario.what));
            println!("{:<10} everything goes wrong for a minute, then all have to agree", "chaos");
            Ok(())
        }
        Some("chaos") => run_chaos(args),
        Some("all") => SCENARIOS.iter().try_for_each(|scenario| run_one(args, scenario.name)),
        Some(name) => run_one(args, name),
    }
}

fn run_one(args: &Args, name: &str) -> Result<()> {
    for seed in args.seed..args.seed + args.seeds {
        let began = Instant::now();
        let Some(outcome) = run_scenario(name, args.nodes, seed) else {
            bail!("there is no scenario {name}; `cargo xtask sim` lists them");
        };
        println!("{name}, {} hosts, seed {seed} ({:.1} s)", args.nodes, began.elapsed().as_secs_f64());
        outcome.lines.iter().for_each(|line| println!("{}", row(line)));
        ensure!(
            outcome.holds(),
            "an aim was missed; see it again: cargo xtask sim --nodes {} --seed {seed} --scenario {name}",
            args.nodes
        );
    }
    Ok(())
}

fn row(line: &Line) -> String {
    let aim = match line.aim {
        None => String::new(),
        Some(Aim::AtMost(most)) => format!("at most {most}"),
        Some(Aim::AtLeast(least)) => format!("at least {least}"),
    };
    let verdict = if line.aim.is_none() {
        ""
    } else if line.holds() {
        "held"
    } else {
        "MISSED"
    };
    format!("  {:>12.2}  {:<66} {aim:<16} {verdict}", line.value, line.what)
}

fn run_chaos(args: &Args) -> Result<()> {
    let began = Instant::now();
    let mut failures = Vec::new();
    for (done, seed) in (args.seed..args.seed + args.seeds).enumerate() {
        if let Err(failure) = chaos(args.nodes, seed) {
            println!("{failure}");
            failures.push(seed);
        }
        if std::io::stderr().is_terminal() {
            eprint!("\r{} of {} seeds, {:.0} s", done + 1, args.seeds, began.elapsed().as_secs_f64());
            std::io::stderr().flush()?;
        }
    }
    println!(
        "chaos, {} hosts: {} seeds, {} failed, {:.0} s",
        args.nodes,
        args.seeds,
        failures.len(),
        began.elapsed().as_secs_f64()
    );
    if let Some(seed) = failures.first() {
        bail!("hosts disagree; see it again: cargo xtask sim --nodes {} --seed {seed} --scenario chaos", args.nodes);
    }
    Ok(())
}
