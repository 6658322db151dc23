//! `hivewall alerts …`: what detectors of a running agent found, and what is to be heard of it.
//!
//! Deliberately not here: how a table looks (`view`).

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use hivewall_view::alerts::{
    AcknowledgeRequest, Alert, AlertOutcome, AlertPage, ChannelTestRequest, DetectorPage, MuteAction, MuteMatch,
    MutePage, MuteRequest, ReopenRequest, Severity, UndoRequest, UnmuteRequest, render_alert, render_alerts,
    render_detectors, render_mutes,
};
use serde_json::json;

use crate::cli;
use crate::client::Client;
use crate::exit::{Exit, ending};
use crate::fleet_client;
use crate::flows::{Format, width};

/// How often `--follow` looks.
const LOOK: Duration = Duration::from_millis(500);

fn id(help: &'static str) -> Arg {
    Arg::new("id").required(true).value_name("ID").help(help)
}

fn note() -> Arg {
    Arg::new("note").long("note").value_name("TEXT").default_value("").help("What there is to say")
}

fn text(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn listing(command: Command) -> Command {
    let severities = Severity::ALL.map(Severity::name);
    command
        .arg(cli::host())
        .arg(cli::output("table", &[Format::Table, Format::Json, Format::Jsonl]))
        .arg(
            Arg::new("follow")
                .long("follow")
                .short('f')
                .action(ArgAction::SetTrue)
                .help("Go on and print each alert when it is raised or gets worse"),
        )
        .arg(
            text("severity", "SEVERITY", "This severity or a worse one [default: low]")
                .value_parser(PossibleValuesParser::new(severities)),
        )
        .arg(text("detector", "NAME", "Of this detector"))
        .arg(text("source", "ADDRESS", "Of this source"))
        .arg(text("last", "SPAN", "Seen within this time, such as 24h"))
        .arg(text("state", "STATE", "Those that go on, or that are over").value_parser(["active", "ended"]))
        .arg(
            Arg::new("all")
                .long("all")
                .short('a')
                .action(ArgAction::SetTrue)
                .help("Acknowledged and silenced alerts, too, and those of severity info"),
        )
        .arg(Arg::new("limit").long("limit").value_name("N").default_value("50").help("At most so many"))
        .arg(fleet_client::flag().conflicts_with("follow"))
}

fn muting(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .arg(cli::host())
        .arg(Arg::new("id").value_name("ID").help("Alert that is meant, or how its id begins"))
        .arg(text("detector", "NAME", "Alerts of this detector"))
        .arg(text("source", "PREFIX", "Alerts about this source"))
        .arg(text("target", "PREFIX", "Alerts about this target"))
        .arg(text("port", "PORT", "Alerts about this port").value_parser(clap::value_parser!(u16)))
        .arg(text("for", "SPAN", "How long, such as 2h [default: for good]"))
        .arg(note())
}

/// The command line.
pub(crate) fn command() -> Command {
    let asks = |name: &'static str, about: &'static str| {
        Command::new(name).about(about).arg(cli::host()).arg(cli::output("table", &[Format::Table, Format::Json]))
    };
    listing(Command::new("alerts").about("List what the detectors of a running agent found, and act on it"))
        .args_conflicts_with_subcommands(true)
        .subcommand(asks("show", "Show one alert with all its evidence").arg(id("Id of the alert, or how it begins")))
        .subcommand(
            Command::new("capture")
                .about("Get the packets that an alert rests on, as a pcapng file")
                .arg(cli::host())
                .arg(id("Id of the alert, or how it begins"))
                .arg(
                    Arg::new("write")
                        .short('w')
                        .long("write")
                        .value_name("FILE")
                        .value_parser(clap::value_parser!(PathBuf))
                        .help("File to write; - is standard output [default: ID.pcapng here]"),
                ),
        )
        .subcommand(
            Command::new("ack")
                .about("Say that you have seen an alert: it is no longer listed, and nobody is told of it")
                .arg(cli::host())
                .arg(id("Id of the alert, or how it begins"))
                .arg(note()),
        )
        .subcommand(
            Command::new("unack")
                .about("Take that back: the alert is listed again")
                .arg(cli::host())
                .arg(id("Id of the alert, or how it begins")),
        )
        .subcommand(muting("silence", "Tell nobody of such alerts for a while; they are raised all the same"))
        .subcommand(muting("exclude", "Raise no such alerts"))
        .subcommand(asks("mutes", "List what is silenced and excluded"))
        .subcommand(
            Command::new("unmute").about("End a silence or an exclusion").arg(cli::host()).arg(id("Id of the mute")),
        )
        .subcommand(
            Command::new("undo")
                .about("Take back what was done about an alert by itself")
                .arg(cli::host())
                .arg(id("Id of the alert, or how it begins")),
        )
        .subcommand(
            Command::new("test")
                .about("Send a test alert over one channel or all, and tell how each did")
                .arg(cli::host())
                .arg(Arg::new("channel").value_name("CHANNEL").help("One channel, as configured [default: all]")),
        )
        .subcommand(asks("detectors", "List the detectors: what each sees, misses, and goes by"))
}

/// Runs what was asked for.
pub(crate) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    match args.subcommand() {
        None => list(args),
        Some(("show", args)) => show(args),
        Some(("capture", args)) => capture(args),
        Some(("mutes", args)) => {
            let page: MutePage = Client::from(args).get("alerts/mutes", &[])?;
            print(args, &page, || render_mutes(&page.mutes, width()))
        }
        Some(("detectors", args)) => {
            let page: DetectorPage = Client::from(args).get("detectors", &[])?;
            print(args, &page, || render_detectors(&page.detectors, width()))
        }
        Some(("ack", args)) => {
            let request = AcknowledgeRequest { id: word(args, "id"), by: me(), note: word(args, "note") };
            tell(&Client::from(args).post("alerts/acknowledge", Some(json!(request)))?)
        }
        Some(("unack", args)) => {
            tell(&Client::from(args).delete("alerts/acknowledge", json!(ReopenRequest { id: word(args, "id") }))?)
        }
        Some((name @ ("silence" | "exclude"), args)) => mute(name, args),
        Some(("unmute", args)) => {
            tell(&Client::from(args).delete("alerts/mutes", json!(UnmuteRequest { id: word(args, "id") }))?)
        }
        Some(("undo", args)) => {
            tell(&Client::from(args).post("alerts/undo", Some(json!(UndoRequest { id: word(args, "id") })))?)
        }
        Some(("test", args)) => test(args),
        _ => Ok(ExitCode::from(Exit::Usage as u8)),
    }
}

fn word(args: &ArgMatches, name: &str) -> String {
    args.get_one::<String>(name).cloned().unwrap_or_default()
}

/// Who commands, by the name of their login.
fn me() -> Option<String> {
    ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
}

fn print<T: serde::Serialize>(
    args: &ArgMatches,
    document: &T,
    table: impl FnOnce() -> String,
) -> anyhow::Result<ExitCode> {
    let text = match args.get_one::<Format>("output") {
        Some(Format::Json) => serde_json::to_string_pretty(document)? + "\n",
        _ => table(),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn tell(outcome: &AlertOutcome) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", outcome.message)?;
    Ok(ExitCode::SUCCESS)
}

/// The parameters of a list.
fn parameters(args: &ArgMatches) -> Vec<(String, String)> {
    let all = args.get_flag("all");
    let mut parameters: Vec<(String, String)> = ["severity", "detector", "source", "state", "limit"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), args.get_one::<String>(name)?.clone())))
        .collect();
    parameters.extend(args.get_one::<String>("last").map(|span| ("since".to_owned(), span.clone())));
    if all {
        parameters.push(("all".to_owned(), "true".to_owned()));
    } else if !args.contains_id("severity") {
        parameters.push(("severity".to_owned(), "low".to_owned()));
    }
    parameters
}

fn list(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let client = Client::from(args);
    let parameters = parameters(args);
    if fleet_client::asked(args) {
        return fleet_client::alerts(&client, &parameters, args);
    }
    let page: AlertPage = client.get("alerts", &parameters)?;
    let lines = args.get_one::<Format>("output") == Some(&Format::Jsonl);
    if !lines && !args.get_flag("follow") {
        print(args, &page, || render_alerts(&page.alerts, width()))?;
        if args.get_one::<Format>("output") == Some(&Format::Table) {
            eprintln!("{} of {} alerts; `hivewall alerts show ID` tells more of one", page.alerts.len(), page.matched);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut shown = std::collections::HashMap::new();
    print_new(&page, &mut shown, lines)?;
    while args.get_flag("follow") {
        std::thread::sleep(LOOK);
        print_new(&client.get("alerts", &parameters)?, &mut shown, lines)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Those that were not printed yet, or are worse than they were, the oldest first.
fn print_new(
    page: &AlertPage,
    shown: &mut std::collections::HashMap<String, Severity>,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for alert in page.alerts.iter().rev() {
        let is_worse = shown.get(&alert.id).is_none_or(|severity| alert.severity > *severity);
        if !is_worse {
            continue;
        }
        shown.insert(alert.id.clone(), alert.severity);
        if as_json {
            writeln!(out, "{}", serde_json::to_string(alert)?)?;
        } else {
            writeln!(out, "{}", line(alert))?;
        }
    }
    Ok(out.flush()?)
}

fn line(alert: &Alert) -> String {
    format!("{} {} {}: {} [{}]", alert.last_seen, alert.severity.name(), alert.detector, alert.message, alert.id)
        .replace(char::is_control, "\u{fffd}")
}

fn show(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let id = word(args, "id");
    let asked = [("id".to_owned(), id.clone()), ("all".to_owned(), "true".to_owned())];
    let page: AlertPage = Client::from(args).get("alerts", &asked)?;
    match page.alerts.as_slice() {
        [alert] => print(args, alert, || render_alert(alert)),
        [] => Err(ending(
            Exit::Failed,
            format!("there is no alert whose id begins with {id:?}; `hivewall alerts --all` lists them"),
        )),
        _ => Err(ending(
            Exit::Failed,
            format!("{} alerts have an id that begins with {id:?}; give more of it", page.matched),
        )),
    }
}

/// The capture of one alert.
fn capture(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let id = word(args, "id");
    let bytes = Client::from(args).file("alerts/capture", &[("id".to_owned(), id.clone())])?;
    let named = args.get_one::<PathBuf>("write").cloned();
    let path = named.unwrap_or_else(|| PathBuf::from(format!("{}.pcapng", id.replace('/', ""))));
    let mut out = std::io::stdout().lock();
    if path.as_os_str() == "-" {
        out.write_all(&bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    // Packets are nobody else's business.
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    let written = options.open(&path).and_then(|mut file| file.write_all(&bytes));
    written.map_err(|error| ending(Exit::Unwritable, format!("cannot write {}: {error}", path.display())))?;
    writeln!(out, "{} has the packets of {id}", path.display())?;
    Ok(ExitCode::SUCCESS)
}

fn mute(name: &str, args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let of = MuteMatch {
        detector: args.get_one("detector").cloned(),
        source: args.get_one("source").cloned(),
        target: args.get_one("target").cloned(),
        port: args.get_one("port").copied(),
        subject: None,
    };
    let request = MuteRequest {
        action: if name == "silence" { MuteAction::Silence } else { MuteAction::Exclude },
        alert: args.get_one("id").cloned(),
        of: Some(of),
        how_long: args.get_one("for").cloned(),
        by: me(),
        note: word(args, "note"),
    };
    tell(&Client::from(args).post("alerts/mutes", Some(json!(request)))?)
}

fn test(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let request = ChannelTestRequest { channel: args.get_one("channel").cloned() };
    let outcome: AlertOutcome = Client::from(args).post("alerts/test", Some(json!(request)))?;
    let mut out = std::io::stdout().lock();
    for test in &outcome.tests {
        let told = test.error.as_ref().map_or_else(|| "delivered".to_owned(), |error| format!("FAILED: {error}"));
        writeln!(out, "{}  {told} ({:.2} s)", test.channel, test.seconds)?;
    }
    let has_failed = outcome.tests.iter().any(|test| test.error.is_some());
    Ok(if has_failed { ExitCode::from(Exit::Failed as u8) } else { ExitCode::SUCCESS })
}
