//! `hivewall`, the one program: command line, wiring, shutdown. What it does stands in the crates below; nobody imports
//! this one.
#![forbid(unsafe_code)]

mod access;
mod agent;
mod analyze;
mod check;
mod cli;
mod client;
mod collectors;
mod demo;
mod exit;
mod export;
mod fleet;
mod fleet_client;
mod flows;
mod guard;
mod history;
mod meter;
mod pages;
mod pipeline;
mod policy;
mod progress;
mod reading;
mod refusals;
mod replay;
mod report;
mod rules;
mod sandbox;
mod serve;
mod settings;
mod surroundings;
mod system;
mod telemetry;
mod token;
mod top;
mod traffic;
mod users;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    match run(&matches) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hivewall: {error:#}");
            exit::code_of(&error)
        }
    }
}

fn run(matches: &clap::ArgMatches) -> anyhow::Result<ExitCode> {
    match matches.subcommand() {
        Some(("run", args)) => agent::run(args),
        Some(("replay", args)) => replay::run(args),
        Some(("flows", args)) => flows::run(args),
        Some(("snapshot", args)) => flows::snapshot(args),
        Some(("top", args)) => top::run(args),
        Some(("analyze", args)) => analyze::run(args),
        Some(("export", args)) => export::run(args),
        Some(("traffic", args)) => traffic::run(args),
        Some(("cluster", args)) => match args.subcommand() {
            Some((name @ ("init" | "join"), args)) => fleet::commands::run(name, args),
            Some((name @ ("invite" | "remove" | "leave"), args)) => fleet::orders::run(name, args),
            Some((name, args)) => fleet_client::run(name, args),
            None => Ok(ExitCode::from(exit::Exit::Usage as u8)),
        },
        Some(("alerts", args)) => watch::run(args),
        Some(("report", args)) => report::run(args),
        Some(("demo", args)) => demo::run(args),
        Some(("user", args)) => users::run(args),
        Some(("login", args)) => users::log_in(args),
        Some(("policy", args)) => policy::run(args),
        Some(("rules", args)) => rules::run(args),
        Some(("guard", args)) => guard::run(args),
        Some((meter::NAME, _)) => meter::run(),
        Some(("check", args)) => check::run(args),
        Some(("uninstall", _)) => check::uninstall(),
        Some(("completions", args)) => Ok(pages::completions(args)),
        Some(("man", args)) => pages::man(args),
        _ => Ok(ExitCode::from(exit::Exit::Usage as u8)),
    }
}
