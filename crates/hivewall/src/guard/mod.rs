//! `hivewall guard`: the allow-list monitor. Arguments and the loop are here; the list's file is in `list`, what is written
//! about refused packets in `report`. What is permitted is decided in the kernel.
//!
//! Invariant: it ends with nothing left on any interface, however it ends: the links are this process's.

mod list;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use hivewall_config::Sandboxing;
use hivewall_export::{LogFormat, LogOptions, LogWriter};
use hivewall_host::bans::{FrontError, FrontMode};
use hivewall_host::ebpf::EbpfError;
use hivewall_host::guard::{Guard, GuardError};
use hivewall_host::link::Links;
use hivewall_host::signal::Signals;
use hivewall_model::Interface;

use crate::exit::{Exit, ending};
use crate::sandbox::{Part, Sandbox};
use list::ListFile;
use report::Report;

/// Longest wait for a packet: the list's file and signals are looked at in between.
const POLL: Duration = Duration::from_millis(200);
/// Bytes of the ring for first packets: 16 Ki of them.
const RING_BYTES: u32 = 1 << 21;
/// First packets taken at once.
const TAKE: usize = 4096;

/// Its command line.
pub(crate) fn command() -> Command {
    Command::new("guard")
        .about("Watch interfaces for packets whose source is not on a list, and drop them if asked to")
        .long_about(
            "Watch interfaces for packets whose source is not on a list, at the driver (XDP), and drop them if asked to.\n\n\
             The list is a JSON file {\"permitted_cidrs\": [\"10.0.0.0/8\", \"fd00::/8\"]}; it is read again when it changes. \
             Every packet is judged by its source alone: answers from a source that is not on the list are refused too. \
             ARP, neighbour discovery and whatever is no IP pass. The log is one that `hivewall analyze` reads.\n\n\
             Nothing stays in the kernel when it ends.",
        )
        .args(of_guarding())
        .args(of_logging())
}

fn of_guarding() -> [Arg; 6] {
    [
        Arg::new("interface")
            .long("interface")
            .short('i')
            .value_name("NAME")
            .required(true)
            .action(ArgAction::Append)
            .value_delimiter(',')
            .help("Interface to watch; again, or a list, for several"),
        Arg::new("config")
            .long("config")
            .short('c')
            .value_name("FILE")
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help("The list of permitted networks"),
        Arg::new("drop-packets")
            .long("drop-packets")
            .action(ArgAction::SetTrue)
            .help("Drop what is refused; without it, everything passes and is only logged"),
        Arg::new("mode")
            .long("mode")
            .default_value("native")
            .value_parser(["native", "generic"])
            .help("In the driver, or in the kernel's stack for drivers without support"),
        Arg::new("sandbox")
            .long("sandbox")
            .default_value("auto")
            .value_parser(Sandboxing::CHOICES.iter().map(|choice| choice.name).collect::<Vec<_>>())
            .help("Give up what is not needed once it has started: all that this host lets it, all of it or nothing starts, or off"),
        Arg::new("verbose")
            .long("verbose")
            .short('v')
            .action(ArgAction::SetTrue)
            .help("Say more about itself, and name the most refused sources in every summary"),
    ]
}

fn of_logging() -> [Arg; 4] {
    let formats: Vec<&'static str> = LogFormat::ALL.iter().map(|format| format.name()).collect();
    [
        Arg::new("log-format")
            .long("log-format")
            .default_value("console")
            .value_parser(formats)
            .help("Format of the log"),
        Arg::new("log-file")
            .long("log-file")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("File of the log [default: standard output]"),
        Arg::new("log-buffer-size")
            .long("log-buffer-size")
            .value_name("LINES")
            .default_value("8192")
            .value_parser(value_parser!(u64).range(1..=10_000_000))
            .help("Lines that may wait to be written; what comes beyond is counted and not logged"),
        Arg::new("stats-interval")
            .long("stats-interval")
            .value_name("SECONDS")
            .default_value("10")
            .value_parser(value_parser!(u64).range(1..=86_400))
            .help("Seconds between two summaries, and between two lines about the same packets"),
    ]
}

/// What was asked for.
struct Options {
    interfaces: Vec<String>,
    list: PathBuf,
    drop: bool,
    verbose: bool,
    log: LogOptions,
    interval: Duration,
    mode: FrontMode,
    sandbox: Sandboxing,
}

impl Options {
    fn of(args: &ArgMatches) -> Self {
        let number = |name: &str| args.get_one::<u64>(name).copied().unwrap_or(1);
        let text = |name: &str| args.get_one::<String>(name).map(String::as_str).unwrap_or_default();
        let format = LogFormat::ALL.into_iter().find(|format| format.name() == text("log-format"));
        let mut interfaces: Vec<String> = args.get_many("interface").into_iter().flatten().cloned().collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        Self {
            interfaces,
            list: args.get_one::<PathBuf>("config").cloned().unwrap_or_default(),
            drop: args.get_flag("drop-packets"),
            verbose: args.get_flag("verbose"),
            log: LogOptions {
                format: format.unwrap_or_default(),
                path: args.get_one::<PathBuf>("log-file").cloned(),
                buffer_size: number("log-buffer-size") as usize,
                ..LogOptions::default()
            },
            interval: Duration::from_secs(number("stats-interval")),
            mode: if text("mode") == "generic" { FrontMode::Generic } else { FrontMode::Native },
            sandbox: Sandboxing::by_name(text("sandbox")).unwrap_or(Sandboxing::Auto),
        }
    }
}

/// Runs until it is told to stop.
pub(crate) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let options = Options::of(args);
    // How the loader relocates a program is nobody's business here.
    crate::settings::start_messages(if options.verbose { "debug,aya=info,aya_obj=info" } else { "info" });
    let sandbox = Sandbox::of_guard(options.sandbox, options.log.path.as_deref())?;
    let (mut file, permitted) = ListFile::open(&options.list).map_err(|error| ending(Exit::Usage, error))?;
    let signals = Signals::catch().map_err(|error| ending(Exit::Failed, format!("cannot catch signals: {error}")))?;
    let interfaces = find(&options.interfaces)?;
    let mut guard = Guard::load(options.drop, RING_BYTES).map_err(end)?;
    guard.permit(&permitted).map_err(end)?;
    let log = sandbox.enter(Part::Log, || LogWriter::start(&options.log))??;
    // Attached last: not a packet is judged by an empty list, and none is refused without a log.
    for interface in &interfaces {
        guard.attach(interface, options.mode).map_err(end)?;
        tracing::debug!(interface = interface.name, index = interface.index, mode = ?options.mode, "attached");
    }
    tracing::info!(
        "guarding {} with {} permitted networks of {}; what is refused is {}",
        options.interfaces.join(", "),
        permitted.len(),
        options.list.display(),
        if options.drop { "dropped" } else { "logged and passes (--drop-packets drops it)" },
    );
    sandbox.settle(Part::Guard);
    let mut report = Report::new(&interfaces, options.drop, options.verbose, log);
    let outcome = watch(&mut guard, &mut file, &mut report, &signals, options.interval);
    guard.detach();
    let last = report.take(&mut guard);
    report.finish(&guard);
    outcome.and(last).map_err(end)?;
    Ok(ExitCode::SUCCESS)
}

fn watch(
    guard: &mut Guard,
    file: &mut ListFile,
    report: &mut Report,
    signals: &Signals,
    interval: Duration,
) -> Result<(), GuardError> {
    let mut next = Instant::now() + interval;
    while !signals.stop() {
        guard.wait(POLL.min(next.saturating_duration_since(Instant::now())))?;
        guard.events(TAKE, |event| report.first(&event));
        if signals.take_reopen() {
            report.reopen_log();
        }
        match file.changed() {
            None => {}
            Some(Ok(permitted)) => match guard.permit(&permitted) {
                Ok(()) => tracing::info!("the list was read again: {} permitted networks hold now", permitted.len()),
                Err(error) => tracing::error!("{error}"),
            },
            Some(Err(error)) => tracing::error!("the list before goes on to hold: {error}"),
        }
        if Instant::now() >= next {
            next += interval;
            report.take(guard)?;
            report.summarize(guard);
        }
    }
    Ok(())
}

/// The interfaces of these names.
fn find(names: &[String]) -> anyhow::Result<Vec<Interface>> {
    let all = Links::open().and_then(|mut links| links.dump())?;
    let found = names.iter().map(|name| {
        all.iter().find(|interface| interface.name == *name).cloned().ok_or_else(|| {
            let there: Vec<&str> = all.iter().map(|interface| interface.name.as_str()).collect();
            ending(Exit::NoInterface, format!("there is no interface {name}; there are {}", there.join(", ")))
        })
    });
    found.collect()
}

/// An error with the exit code that fits it.
fn end(error: GuardError) -> anyhow::Error {
    let exit = match &error {
        GuardError::Object(EbpfError::Privilege(_)) => Exit::Privilege,
        GuardError::Attach(FrontError::Driver { .. } | FrontError::NoLinks { .. } | FrontError::Layer { .. }) => {
            Exit::Unsupported
        }
        _ => Exit::Failed,
    };
    ending(exit, error)
}
