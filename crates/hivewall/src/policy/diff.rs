//! `hivewall policy diff BEFORE AFTER`: what changes from one document to another, rule by rule.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command, value_parser};
use hivewall_policy::diff_documents;

use super::check::load;
use crate::exit::{Exit, ending};

/// The command line of `policy diff`.
pub(super) fn command() -> Command {
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name).required(true).value_name("FILE").value_parser(value_parser!(PathBuf)).help(help)
    };
    Command::new("diff")
        .about("Say what changes from one policy to another: rules, sets, defaults, mode")
        .long_about(
            "Say what changes from one policy to another. Rules are followed by their ids: added (+), removed (-), \
             changed (~), moved (>). Order, spacing and comments of the text are no differences.\n\n\
             The exit code tells whether both could be read, not whether they differ.",
        )
        .arg(file("before", "The policy as it is"))
        .arg(file("after", "The policy as it shall be"))
        .arg(super::output())
}

pub(super) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let named = |name: &str| {
        args.get_one::<PathBuf>(name).ok_or_else(|| ending(Exit::Usage, format!("no policy named as {name}")))
    };
    let (before, after) = (load(named("before")?)?, load(named("after")?)?);
    let diff = diff_documents(&before.document, &after.document);
    let mut out = std::io::stdout().lock();
    if super::is_json(args) {
        let text = serde_json::to_string_pretty(&diff).context("the differences cannot be written as JSON")?;
        writeln!(out, "{text}")?;
    } else {
        let text = diff.to_string();
        write!(out, "{}", if text.is_empty() { "no differences\n" } else { &text })?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
