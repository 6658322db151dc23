//! `hivewall policy …`: one file a subcommand, each with `command` (its arguments) and `run`. What a policy means is in the
//! crate `hivewall-policy`; here are files, the terminal and the running agent.

pub(crate) mod answers;
mod bans;
pub(crate) mod enforcer;
mod facts;
pub(crate) mod governor;
mod live;
mod news;
mod sign;
pub(crate) mod vault;
mod explain;
mod rehearse;

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};

use crate::exit::Exit;

/// The command line of `hivewall policy`.
pub(crate) fn command() -> Command {
    Command::new("policy")
        .about("Write, check, explain, rehearse, sign and apply the firewall policy")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(sign::commands())
        .subcommands(live::commands())
        .subcommand(explain::command())
        .subcommand(rehearse::command())
}

/// Runs what was asked for.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    match matches.subcommand() {
        Some((name @ ("show" | "apply" | "confirm" | "rollback" | "ban" | "unban"), args)) => live::run(name, args),
        Some((name @ ("keygen" | "sign" | "verify" | "keys"), args)) => sign::run(name, args),
        Some(("explain", args)) => explain::run(args),
        Some(("rehearse", args)) => rehearse::run(args),
        _ => Ok(ExitCode::from(Exit::Usage as u8)),
    }
}

fn output_of(default: &'static str, formats: &'static [&'static str]) -> Arg {
    Arg::new("output")
        .long("output")
        .short('o')
        .default_value(default)
        .value_parser(PossibleValuesParser::new(formats.iter().copied()))
        .help("How to print it")
}
