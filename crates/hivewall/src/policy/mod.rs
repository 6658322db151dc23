//! `hivewall policy …`: one file a subcommand, each with `command` (its arguments) and `run`. What a policy means is in the
//! crate `hivewall-policy`; here are files, the terminal and the running agent.

mod sign;
pub(crate) mod vault;

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::exit::Exit;

/// The command line of `hivewall policy`.
pub(crate) fn command() -> Command {
    Command::new("policy")
        .about("Write, check, explain, rehearse, sign and apply the firewall policy")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(sign::commands())
}

/// Runs what was asked for.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    match matches.subcommand() {
        Some((name @ ("keygen" | "sign" | "verify" | "keys"), args)) => sign::run(name, args),
        _ => Ok(ExitCode::from(Exit::Usage as u8)),
    }
}
