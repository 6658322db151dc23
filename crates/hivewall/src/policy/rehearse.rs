//! `hivewall policy rehearse`: a policy over traffic that was recorded, in the history of an agent or in a capture.

use std::io::{BufRead as _, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use hivewall_config::Config;
use hivewall_host::source::{FileSource, Progress, SourceError, random_seed};
use hivewall_policy::Rehearsal;
use hivewall_view::FlowRow;

use super::explain::load;
use crate::client::Client;
use crate::exit::{Exit, ending};
use crate::flows::FlowPrinter;
use crate::pipeline::Pipeline;

/// Lines of the flow cache in user space, as `replay` has them.
const LINES: u32 = 1 << 14;

/// The command line of `policy rehearse`.
pub(super) fn command() -> Command {
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf)).help(help)
    };
    Command::new("rehearse")
        .about("Tell what a policy would have done to recorded traffic, before it is applied")
        .long_about(
            "Tell what a policy would have done to recorded traffic: which flows each rule would have refused, how much, \
             and whom that cuts. With --current only what changes against the present policy is told in detail.\n\n\
             Flows are those of an agent's history, or of a capture. Limits and bans are not rehearsed, and the host's own \
             guard is left out.",
        )
        .arg(Arg::new("policy").required(true).value_name("FILE").value_parser(value_parser!(PathBuf)).help("New policy"))
        .arg(file("current", "The present policy"))
        .arg(
            Arg::new("last")
                .long("last")
                .value_name("TIME")
                .conflicts_with("pcap")
                .help("Flows of the history that ended within this time [default: 24h]"),
        )
        .arg(file("pcap", "Flows of a capture instead"))
        .arg(
            Arg::new("address")
                .long("address")
                .value_name("ADDRESS")
                .action(ArgAction::Append)
                .requires("pcap")
                .value_parser(value_parser!(IpAddr))
                .help("An address of the host that the capture is of: what it sends is judged as sent"),
        )
        .arg(crate::cli::host())
        .arg(super::output())
}

pub(super) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let path = args.get_one::<PathBuf>("policy").context("no policy named")?;
    let (_, new) = load(path)?;
    let current = args.get_one::<PathBuf>("current").map(|path| load(path)).transpose()?.map(|(_, ruleset)| ruleset);
    let mut rehearsal = Rehearsal::new(&new, current.as_ref())
        .map_err(|error| ending(Exit::Usage, format!("{}: {error}", path.display())))?;
    match args.get_one::<PathBuf>("pcap") {
        Some(capture) => {
            let own: Vec<IpAddr> = args.get_many("address").into_iter().flatten().copied().collect();
            of_capture(capture, &own, &mut rehearsal)?;
        }
        None => of_history(args, &mut rehearsal)?,
    }
    let report = rehearsal.finish();
    let mut out = std::io::stdout().lock();
    if super::is_json(args) {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{}", report.text())?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Closed flows of an agent's history, one a line, so that there may be any number.
fn of_history(args: &ArgMatches, rehearsal: &mut Rehearsal) -> anyhow::Result<()> {
    let last = args.get_one::<String>("last").map_or("24h", String::as_str);
    let parameters = [("format", "jsonl"), ("last", last)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    for line in Client::from(args).stream("export", &parameters)?.lines() {
        let line = line.map_err(|error| {
            ending(Exit::Failed, format!("the history broke off ({error}); see the agent's messages"))
        })?;
        let row: FlowRow =
            serde_json::from_str(&line).context("the agent sent a flow that cannot be read; is it another version?")?;
        rehearsal.take(&row);
    }
    Ok(())
}

/// Flows of a capture, through the same pipeline as live traffic.
fn of_capture(path: &Path, own: &[IpAddr], rehearsal: &mut Rehearsal) -> anyhow::Result<()> {
    let (config, _) = Config::parse("", "").context("the defaults are refused")?;
    let seed = random_seed().map_err(SourceError::from)?;
    let mut source = FileSource::open(path, LINES, seed).with_context(|| path.display().to_string())?;
    source.peek(true);
    let mut pipeline = Pipeline::new(source, &config, None, true);
    let (rows, closed) = channel();
    pipeline.print_flows(FlowPrinter::to(rows));
    let mut judge = || closed.try_iter().for_each(|row| rehearsal.take(&seen_from(row, own)));
    while pipeline.step(Duration::ZERO)? != Progress::End {
        judge();
    }
    let failure = pipeline.source.failure();
    pipeline.finish()?;
    judge();
    pipeline.end_printing()?;
    judge();
    match failure {
        None => Ok(()),
        Some(error) => Err(anyhow::Error::new(SourceError::File(error))
            .context(format!("{} could not be read to its end, and half a rehearsal is none", path.display()))),
    }
}

/// A capture does not tell what was sent and what received; the host's addresses do.
fn seen_from(mut row: FlowRow, own: &[IpAddr]) -> FlowRow {
    let is_own = |address: &str| address.parse::<IpAddr>().is_ok_and(|address| own.contains(&address));
    let is_client = is_own(&row.source_ip);
    if is_client || is_own(&row.dest_ip) {
        let words = if is_client { "outbound" } else { "inbound" };
        words.clone_into(&mut row.direction);
        for point in &mut row.interfaces {
            let hook = if point.to_server == is_client { "egress" } else { "ingress" };
            hook.clone_into(&mut point.direction);
        }
    }
    row
}
