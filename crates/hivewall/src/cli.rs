//! The command line: one definition for parsing, help, completions and man pages. Settings come from the configuration's
//! table, filter flags from the filter language's.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueEnum as _, value_parser};
use clap_complete::Shell;
use hivewall_view::Sort;
use hivewall_view::filter::keys;
use hivewall_view::query::ExportFormat;

use crate::exit;
use crate::flows::Format;
use crate::settings;

/// The whole command.
pub(crate) fn command() -> Command {
    with_trust(commands())
}

/// Every command that asks an agent can be told whom to trust.
fn with_trust(command: Command) -> Command {
    let asks = command.get_arguments().any(|arg| arg.get_env() == Some(HOST_VARIABLE.as_ref()));
    let command = command.mut_subcommands(with_trust);
    if !asks {
        return command;
    }
    command
        .arg(
            Arg::new("ca")
                .long("ca")
                .value_name("FILE")
                .env("HIVEWALL_CA")
                .value_parser(value_parser!(PathBuf))
                .help("Certificates that an https agent is trusted by, in PEM form [default: those of this host]"),
        )
        .arg(
            Arg::new("fingerprint")
                .long("fingerprint")
                .value_name("SHA256")
                .env("HIVEWALL_FINGERPRINT")
                .help("SHA-256 of the certificate that an https agent shows, as it tells at its start"),
        )
}

fn commands() -> Command {
    Command::new("hivewall")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Sees every packet of this host in the kernel, and shows it flow by flow")
        .after_help(exit::help())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .max_term_width(110)
        .subcommand(run())
        .subcommand(top())
        .subcommand(flows())
        .subcommand(
            Command::new("snapshot")
                .about("Print everything a running agent knows now, as one document")
                .arg(host())
                .arg(crate::fleet_client::flag())
                .arg(output("json", &[Format::Json, Format::Jsonl, Format::Table])),
        )
        .subcommand(crate::watch::command())
        .subcommand(crate::report::command())
        .subcommand(export())
        .subcommand(replay())
        .subcommand(analyze())
        .subcommand(traffic())
        .subcommand(crate::demo::command())
        .subcommand(check())
        .subcommand(cluster())
        .subcommand(crate::users::command())
        .subcommand(crate::users::login_command())
        .subcommand(crate::policy::command())
        .subcommand(crate::rules::command())
        .subcommand(crate::guard::command())
        .subcommand(crate::meter::command())
        .subcommand(Command::new("uninstall").about("Take everything of hivewall out of this kernel"))
        .subcommand(
            Command::new("completions")
                .about("Print the completion script of a shell")
                .arg(Arg::new("shell").required(true).value_parser(value_parser!(Shell))),
        )
        .subcommand(
            Command::new("man")
                .about("Print the man page, or write one for each command")
                .arg(Arg::new("directory").value_name("DIRECTORY").value_parser(value_parser!(PathBuf))),
        )
}

/// Names the agent that is asked.
const HOST_VARIABLE: &str = "HIVEWALL_HOST";

/// Sections of the settings that an agent has.
const OF_AGENT: &[&str] = &[
    "capture",
    "flows",
    "traffic",
    "names",
    "processes",
    "history",
    "policy",
    "fleet",
    "detect",
    "alerts",
    "export",
    "otlp",
    "log",
    "api",
    "privileges",
    "agent",
];

fn run() -> Command {
    let command = Command::new("run").about("Run the agent: capture, flows, log and API").long_about(
        "Run the agent on this host: capture in the kernel, flows, log and API.\n\n\
         Every setting is also a key of the configuration file and an environment variable (HIVEWALL_…); \
         `hivewall check` shows where each value comes from. SIGHUP opens the log file again, SIGINT and SIGTERM stop.",
    );
    settings::add(command, OF_AGENT)
}

fn replay() -> Command {
    let command = Command::new("replay")
        .about("Run the same pipeline over a capture file, without privileges")
        .long_about(
            "Run the same pipeline over a pcap or pcapng file, in the capture's own time and without privileges.\n\n\
             Prints an overview at the end. With --log-format or --log-file the flows go to a log as in `run`.",
        )
        .arg(Arg::new("file").required(true).value_name("FILE").value_parser(value_parser!(PathBuf)).help("Capture file; - reads standard input"))
        .arg(
            Arg::new("speed")
                .long("speed")
                .default_value("max")
                .value_parser(["max", "real"])
                .help("As fast as it can be read, or as fast as it happened"),
        )
        .arg(
            Arg::new("serve")
                .long("serve")
                .action(ArgAction::SetTrue)
                .help("Serve the API while the capture plays and after, until Ctrl-C"),
        )
        .arg(
            Arg::new("output")
                .long("output")
                .short('o')
                .value_parser(value_parser!(Format))
                .help("Print at the end: table (overview), json (snapshot), jsonl or csv (all flows) [default: table, without a log]"),
        )
        .arg(
            Arg::new("evidence")
                .long("evidence")
                .value_name("DIRECTORY")
                .value_parser(value_parser!(PathBuf))
                .help("Write the packets that each alert rests on to a capture file in this directory"),
        );
    settings::add(
        settings::add_one(command, "alerts.capture"),
        &["capture", "flows", "traffic", "names", "processes", "history", "detect", "log", "api", "agent"],
    )
}

fn check() -> Command {
    let command = Command::new("check")
        .about("Check the configuration and what this kernel offers")
        .arg(output("table", &[Format::Table, Format::Json]));
    settings::add(command, OF_AGENT)
}

fn top() -> Command {
    Command::new("top")
        .about("Watch a running agent in the terminal")
        .arg(host())
        .arg(
            crate::fleet_client::flag().help("Begin with the fleet; with --once print what all its hosts saw together"),
        )
        .arg(Arg::new("once").long("once").action(ArgAction::SetTrue).help("Print an overview as text and end"))
        .arg(
            Arg::new("filter")
                .long("filter")
                .value_name("FILTER")
                .help("Start with this filter (see `hivewall flows --help`)"),
        )
        .arg(
            Arg::new("interval")
                .long("interval")
                .value_name("SECONDS")
                .value_parser(value_parser!(f64))
                .help("Seconds between two looks [default: 1]"),
        )
        .arg(
            Arg::new("at")
                .long("at")
                .value_name("TIME")
                .help("Look at the flows of this time in history: RFC 3339, a date, or how long ago (`2h`)"),
        )
}

fn cluster() -> Command {
    Command::new("cluster")
        .about("Begin, join, see and leave a fleet: agents that know one another, without a server")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(crate::fleet::commands::commands())
        .subcommands(crate::fleet::orders::commands())
        .subcommands(crate::fleet_client::commands())
}

fn analyze() -> Command {
    Command::new("analyze")
        .about("Report over a log that this program or Suricata wrote")
        .long_about(
            "Report over a log: traffic by protocol, port, source and hour, top talkers, new sources, refused traffic, \
             scans, names, processes.\n\n\
             Reads what `--log-file` holds in any `--log-format`, rows of `flows -o jsonl|csv`, and EVE logs of Suricata; \
             the format is detected.",
        )
        .arg(Arg::new("file").required(true).value_name("FILE").value_parser(value_parser!(PathBuf)).help("Log file"))
        .arg(
            Arg::new("export-report")
                .long("export-report")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write the report to this file as JSON, too"),
        )
        .arg(output("table", &[Format::Table, Format::Json]))
}

fn traffic() -> Command {
    let amount = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("NUMBER").value_parser(value_parser!(u64)).help(help)
    };
    Command::new("traffic")
        .about("Make test traffic on this host: look-ups, pages, a scan, a flood, a transfer")
        .long_about(
            "Make bounded test traffic, so that there is something to see: look-ups of names, pages over HTTP, a scan, a \
             short flood, one long transfer. It goes to loopback, or to another address of this host, and nowhere \
             else. Zero of something leaves it out.",
        )
        .arg(
            Arg::new("target")
                .long("target")
                .value_name("ADDRESS")
                .value_parser(value_parser!(std::net::IpAddr))
                .help("An address of this host [default: 127.0.0.1]"),
        )
        .arg(amount("seconds", "Seconds after which it ends [default: 30]"))
        .arg(amount("pages", "Pages to ask for [default: 60]"))
        .arg(amount("lookups", "Names to look up [default: 40]"))
        .arg(amount("scan-ports", "Ports to scan [default: 200]"))
        .arg(amount("flood-packets", "Packets of the flood [default: 20000]"))
        .arg(amount("flood-rate", "Packets of the flood in a second [default: 10000]"))
        .arg(amount("bulk-bytes", "Bytes of the transfer [default: 200000000]"))
}

fn export() -> Command {
    let formats: Vec<&'static str> = ExportFormat::ALL.iter().map(|(_, name)| *name).collect();
    let command = Command::new("export")
        .about("Write closed flows of an agent's history to a file")
        .long_about(
            "Write closed flows of an agent's history to a file, in the order in which they ended.\n\n\
             The flags that choose flows are those of `hivewall flows`.",
        )
        .arg(host())
        .arg(Arg::new("format").long("format").value_parser(formats).help("Form of the file [default: parquet]"))
        .arg(
            Arg::new("file")
                .long("file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("File to write [default: standard output]"),
        );
    which_flows(command)
}

fn flows() -> Command {
    let sorts: Vec<&'static str> = Sort::ALL.iter().map(|(_, name)| *name).collect();
    let command = Command::new("flows")
        .about("Ask a running agent for flows")
        .long_about(
            "Ask a running agent for flows, living and closed.\n\n\
             Closed flows are those of late; with --last, --from, --to or --history those of the history on disk, as far \
             back as it goes.\n\n\
             The same flag again, or a list, means any of them; different flags mean all of them; --not before a flag \
             negates it.",
        )
        .arg(host())
        .arg(output("table", &[Format::Table, Format::Json, Format::Jsonl, Format::Csv]))
        .arg(crate::fleet_client::flag().conflicts_with("follow"))
        .arg(Arg::new("follow").long("follow").short('f').action(ArgAction::SetTrue).help("Print flows as they close"))
        .arg(Arg::new("sort").long("sort").value_parser(sorts).help("Order, largest or latest first [default: bytes]"))
        .arg(Arg::new("limit").long("limit").short('n').value_name("ROWS").help("At most so many flows [default: 100]"))
        .arg(Arg::new("offset").long("offset").value_name("ROWS").help("Leave out so many first"))
        .arg(
            Arg::new("history")
                .long("history")
                .action(ArgAction::SetTrue)
                .help("Look for closed flows in the history on disk"),
        );
    which_flows(command)
}

/// The flags that choose flows.
fn which_flows(command: Command) -> Command {
    let mut command = command
        .arg(
            Arg::new("text-filter")
                .long("filter")
                .value_name("FILTER")
                .help("Filter in one line, such as 'ip:10.0.0.0/8 port:443 !proto:udp'"),
        )
        .arg(
            Arg::new("not")
                .long("not")
                .action(ArgAction::Append)
                .num_args(0)
                .default_missing_value("not")
                .help_heading("Which flows")
                .help("Negate the flag that follows"),
        );
    // `host` is another word for `ip` in a filter line; as a flag it names the agent.
    for key in keys() {
        let mut arg = Arg::new(key.name)
            .long(key.name)
            .action(ArgAction::Append)
            .value_name(key.example.split_once(':').map_or(key.example, |(_, value)| value))
            .help_heading("Which flows")
            .help(key.doc);
        for alias in key.aliases.iter().filter(|alias| **alias != "host") {
            arg = arg.alias(*alias);
        }
        command = command.arg(arg);
    }
    command
}

/// Which agent is asked.
pub(crate) fn host() -> Arg {
    Arg::new("host")
        .long("host")
        .value_name("HOST[:PORT]")
        .env(HOST_VARIABLE)
        .help("The agent to ask: a host, or an address such as https://web-1:7733 [default: 127.0.0.1:7733]")
}

pub(crate) fn output(default: &'static str, formats: &'static [Format]) -> Arg {
    let names = formats.iter().filter_map(clap::ValueEnum::to_possible_value);
    Arg::new("output")
        .long("output")
        .short('o')
        .default_value(default)
        .value_parser(clap::builder::TypedValueParser::try_map(
            clap::builder::PossibleValuesParser::new(names),
            |name| Format::from_str(&name, true),
        ))
        .help("How to print it")
}

/// The filter flags as parameters of the API, in the order they were given.
pub(crate) fn filter_parameters(args: &ArgMatches) -> anyhow::Result<Vec<(String, String)>> {
    let mut given: Vec<(usize, Option<(&'static str, String)>)> = Vec::new();
    for key in keys() {
        let values = args.get_many::<String>(key.name).into_iter().flatten();
        let places = args.indices_of(key.name).into_iter().flatten();
        given.extend(places.zip(values).map(|(at, value)| (at, Some((key.name, value.clone())))));
    }
    given.extend(args.indices_of("not").into_iter().flatten().map(|at| (at, None)));
    given.sort_by_key(|(at, _)| *at);
    let (mut parameters, mut negate) = (Vec::new(), false);
    for (_, term) in given {
        match term {
            None => negate = true,
            Some((name, value)) => {
                parameters.push((if negate { format!("not-{name}") } else { name.to_owned() }, value));
                negate = false;
            }
        }
    }
    if negate {
        return Err(exit::ending(exit::Exit::Usage, "--not negates the flag that follows it, and none follows"));
    }
    if let Some(text) = args.get_one::<String>("text-filter") {
        parameters.push(("filter".to_owned(), text.clone()));
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(words: &[&str]) -> Result<Vec<(String, String)>, String> {
        let words = ["hivewall", "flows"].iter().chain(words);
        let matches = command().try_get_matches_from(words).map_err(|error| error.to_string())?;
        let (_, args) = matches.subcommand().ok_or("no subcommand")?;
        filter_parameters(args).map_err(|error| error.to_string())
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn not_negates_only_the_flag_that_follows() {
        let given = parameters(&["--port", "443", "--not", "--proto", "udp", "--ip", "10.0.0.1"]);
        assert_eq!(given.unwrap(), pairs(&[("port", "443"), ("not-proto", "udp"), ("ip", "10.0.0.1")]));
    }

    #[test]
    fn a_flag_given_twice_keeps_both_values() {
        let given = parameters(&["--port=80", "--port", "443"]);
        assert_eq!(given.unwrap(), pairs(&[("port", "80"), ("port", "443")]));
    }

    #[test]
    fn a_not_without_a_flag_is_refused() {
        assert!(parameters(&["--port", "80", "--not"]).unwrap_err().contains("none follows"));
    }

    #[test]
    fn a_misspelt_flag_is_refused_with_a_suggestion() {
        assert!(parameters(&["--prot", "udp"]).unwrap_err().contains("--prot"));
    }
}
