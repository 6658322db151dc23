//! `hivewall policy rehearse`: a policy over traffic that was recorded, in the history of an agent, in a history's directory,
//! or in a capture.
//!
//! Where an agent answers, it judges itself: it knows the host's guard and the policy in force. Else the settings of this
//! host tell its guard, and its state the policy in force. Invariant: the output says whether the guard was counted in.

use std::io::{BufRead as _, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::Context as _;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use hivewall_config::Config;
use hivewall_host::source::{FileSource, Progress, SourceError, random_seed, wall_clock};
use hivewall_policy::{HostFacts, Rehearsal, Ruleset, rehearsal_text};
use hivewall_view::policy::Rehearsal as Report;
use hivewall_view::{Filter, FlowRow, Query, Snapshot};
use serde_json::json;

use super::explain::{in_force, load, text};
use super::facts::Host;
use crate::client::Client;
use crate::exit::{Exit, ending, exit_of};
use crate::fleet_client;
use crate::flows::FlowPrinter;
use crate::pipeline::Pipeline;

/// Lines of the flow cache in user space, as `replay` has them.
const LINES: u32 = 1 << 14;
/// How far back, unless it is said.
const LAST: &str = "24h";

/// The command line of `policy rehearse`.
pub(super) fn command() -> Command {
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf)).help(help)
    };
    let command = Command::new("rehearse")
        .about("Tell what a policy would have done to recorded traffic, before it is applied")
        .long_about(
            "Tell what a policy would have done to recorded traffic: which flows each rule would have refused, how much, \
             and whom that cuts. What changes against the present policy is told in detail.\n\n\
             A running agent is asked over its own history; without one, the history's directory is read. The host's own \
             guard (management, open sessions, floor, exemptions) is counted in as it would be if the policy were applied \
             now, and flows that only the guard saves are listed: --no-guard judges the document alone.\n\n\
             Limits and bans are not rehearsed.",
        )
        .arg(Arg::new("policy").required(true).value_name("FILE").value_parser(value_parser!(PathBuf)).help("New policy, signed or not"))
        .arg(file("current", "The present policy [default: the one in force on the host; none with --pcap]"))
        .arg(
            Arg::new("last")
                .long("last")
                .value_name("TIME")
                .conflicts_with("pcap")
                .help("Flows of the history that ended within this time [default: 24h]"),
        )
        .arg(
            Arg::new("history")
                .long("history")
                .value_name("DIRECTORY")
                .conflicts_with("pcap")
                .value_parser(value_parser!(PathBuf))
                .help("Read the history in this directory, which no agent may have open"),
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
        .arg(
            Arg::new("no-guard")
                .long("no-guard")
                .action(ArgAction::SetTrue)
                .help("Leave out the host's guard, floor and exemptions: for a policy or a capture of other hosts"),
        )
        .arg(
            Arg::new("fleet")
                .long("fleet")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["pcap", "history"])
                .help("Ask every host of the fleet, each over its own history"),
        )
        .arg(crate::cli::host())
        .arg(super::output());
    crate::settings::add(command, &["policy"])
}

pub(super) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    if args.get_flag("fleet") {
        return fleet_client::rehearsal(&Client::from(args), &request(args)?, super::is_json(args));
    }
    let report = match args.get_one::<PathBuf>("pcap") {
        Some(capture) => {
            let own: Vec<IpAddr> = args.get_many("address").into_iter().flatten().copied().collect();
            locally(args, |rehearsal| of_capture(capture, &own, rehearsal))?
        }
        None => match args.get_one::<PathBuf>("history") {
            Some(directory) => locally(args, |rehearsal| of_directory(directory, args, rehearsal))?,
            None => of_history(args)?,
        },
    };
    let mut out = std::io::stdout().lock();
    if super::is_json(args) {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{}", rehearsal_text(&report))?;
    }
    out.flush()?;
    if report.seen.flows == 0 && report.left_out.is_empty() && !args.contains_id("pcap") {
        eprintln!("hivewall: no flow ended within {}; --last takes more, such as 30d", last(args));
    }
    Ok(ExitCode::SUCCESS)
}

fn last(args: &ArgMatches) -> &str {
    args.get_one::<String>("last").map_or(LAST, String::as_str)
}

fn policy(args: &ArgMatches) -> anyhow::Result<&PathBuf> {
    args.get_one::<PathBuf>("policy").context("no policy named")
}

/// Asks an agent; without one, reads the history that is configured.
fn of_history(args: &ArgMatches) -> anyhow::Result<Report> {
    let client = Client::from(args);
    let is_named = args.value_source("host").is_some_and(|source| source != ValueSource::DefaultValue);
    match client.get::<Snapshot>("snapshot", &[]) {
        // Whoever keeps a policy knows the guard and what is in force.
        Ok(snapshot) if !snapshot.firewall_rules.backend.is_empty() => by_agent(args, &client),
        Ok(_) => locally(args, |rehearsal| of_export(&client, args, rehearsal)),
        Err(error) if !is_named && exit_of(&error) == Exit::Unreachable => {
            let (config, _) = crate::settings::load(args)?;
            let Some(directory) = config.history.directory().filter(|directory| directory.exists()) else {
                return Err(error.context("there is no history on this host without an agent; name one with --history, or a capture with --pcap"));
            };
            eprintln!("hivewall: no agent answers; reading the history in {}", directory.display());
            locally(args, |rehearsal| of_directory(directory, args, rehearsal))
        }
        Err(error) => Err(error),
    }
}

fn by_agent(args: &ArgMatches, client: &Client) -> anyhow::Result<Report> {
    client.post("policy/rehearse", Some(request(args)?))
}

/// What an agent is asked.
fn request(args: &ArgMatches) -> anyhow::Result<serde_json::Value> {
    let path = policy(args)?;
    // An error is told with the file's name and place.
    load(path, &HostFacts::default())?;
    let current = args.get_one::<PathBuf>("current").map(|path| text(path)).transpose()?;
    let without_guard = args.get_flag("no-guard");
    Ok(json!({ "document": text(path)?, "last": last(args), "current": current, "without_guard": without_guard }))
}

/// Judges here, with the guard that this host's settings and sessions make.
fn locally(args: &ArgMatches, judge: impl FnOnce(&mut Rehearsal) -> anyhow::Result<()>) -> anyhow::Result<Report> {
    let path = policy(args)?;
    let (config, _) = crate::settings::load(args)?;
    let facts = if args.get_flag("no-guard") { HostFacts::default() } else { Host::of(&config).facts()? };
    let (_, new) = load(path, &facts)?;
    let current = present(args, &config, &facts)?;
    let mut rehearsal = Rehearsal::new(&new, current.as_ref())
        .map_err(|error| ending(Exit::Usage, format!("{}: {error}", path.display())))?;
    judge(&mut rehearsal)?;
    Ok(rehearsal.finish())
}

/// The policy to compare with: the one that is named, or the one in force as far as its state can be read.
fn present(args: &ArgMatches, config: &Config, facts: &HostFacts) -> anyhow::Result<Option<Ruleset>> {
    if let Some(path) = args.get_one::<PathBuf>("current") {
        return Ok(Some(load(path, facts)?.1));
    }
    // A capture may be of any host.
    if args.contains_id("pcap") || config.policy.state.is_empty() {
        return Ok(None);
    }
    match in_force(Path::new(&config.policy.state), facts) {
        Ok(found) => Ok(found.map(|(_, rules)| rules)),
        Err(error) => {
            eprintln!("hivewall: not compared with the policy in force, which cannot be read: {error:#}");
            Ok(None)
        }
    }
}

/// Rehearses flows that are written to it, a JSON line each.
pub(super) struct Lines<'a> {
    rehearsal: &'a mut Rehearsal,
    rest: Vec<u8>,
}

impl<'a> Lines<'a> {
    /// Nothing was written yet.
    pub(super) fn new(rehearsal: &'a mut Rehearsal) -> Self {
        Self { rehearsal, rest: Vec::new() }
    }
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend(piece);
            if piece.last() == Some(&b'\n') {
                if self.rest != b"\n" {
                    self.rehearsal.take(&serde_json::from_slice::<FlowRow>(&self.rest)?);
                }
                self.rest.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Closed flows of a history that no agent has open.
fn of_directory(directory: &Path, args: &ArgMatches, rehearsal: &mut Rehearsal) -> anyhow::Result<()> {
    let filter = Filter::parse(&format!("last:{}", last(args)), wall_clock())
        .map_err(|error| ending(Exit::Usage, format!("--last: {error}")))?;
    let query = Query { filter, history: true, ..Query::default() };
    let lines = Lines::new(rehearsal);
    crate::history::read(directory, &query, lines)
        .map_err(|error| ending(Exit::Failed, format!("the history in {}: {error:#}", directory.display())))
}

/// Closed flows of an agent that keeps no policy, one a line, so that there may be any number.
fn of_export(client: &Client, args: &ArgMatches, rehearsal: &mut Rehearsal) -> anyhow::Result<()> {
    let parameters =
        [("format", "jsonl"), ("last", last(args))].map(|(name, value)| (name.to_owned(), value.to_owned()));
    for line in client.stream("export", &parameters)?.lines() {
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
