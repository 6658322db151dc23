//! `hivewall policy …`: one file a subcommand, each with `command` (its arguments) and `run`. What a policy means is in the
//! crate `hivewall-policy`; here are files, the terminal and the running agent.

pub(crate) mod answers;
pub(crate) mod bans;
pub(crate) mod beside;
mod check;
mod diff;
mod drift;
pub(crate) mod editing;
pub(crate) mod enforce;
pub(crate) mod enforcer;
mod explain;
mod facts;
pub(crate) mod fallback;
pub(crate) mod filters;
pub(crate) mod governor;
mod live;
mod news;
mod rehearse;
mod sign;
pub(crate) mod vault;

use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Arg, ArgMatches, Command, ValueEnum as _};

use crate::exit::Exit;
use crate::flows::Format;

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
        .subcommand(check::command())
        .subcommand(diff::command())
        .subcommand(check::schema_command())
        .subcommand(fallback::command())
}

/// That every detector is there that the responses of a document name. The language does not know them.
pub(crate) fn known_detectors(document: &hivewall_policy::Document) -> Result<(), String> {
    let known: Vec<&str> = hivewall_detect::definitions().into_iter().map(|definition| definition.name).collect();
    let is_known = |name: &&String| name.as_str() == "any" || known.contains(&name.as_str());
    let named = document.responses.iter().flat_map(|respond| &respond.on.0);
    match named.into_iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "`responses` names the detector {name:?}, which there is not; there are: any, {}",
            known.join(", ")
        )),
    }
}

/// Runs what was asked for.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    match matches.subcommand() {
        Some((name @ ("show" | "apply" | "confirm" | "rollback" | "ban" | "unban"), args)) => live::run(name, args),
        Some((name @ ("keygen" | "sign" | "verify" | "keys"), args)) => sign::run(name, args),
        Some(("explain", args)) => explain::run(args),
        Some(("rehearse", args)) => rehearse::run(args),
        Some(("check", args)) => check::run(args),
        Some(("diff", args)) => diff::run(args),
        Some(("schema", _)) => check::schema(),
        Some(("revert-at", args)) => fallback::run(args),
        _ => Ok(ExitCode::from(Exit::Usage as u8)),
    }
}

/// `-o table|json`.
fn output() -> Arg {
    Arg::new("output")
        .long("output")
        .short('o')
        .default_value("table")
        .value_parser(PossibleValuesParser::new(["table", "json"]).try_map(|name| Format::from_str(&name, true)))
        .help("How to print it")
}

fn is_json(args: &ArgMatches) -> bool {
    args.get_one::<Format>("output") == Some(&Format::Json)
}
