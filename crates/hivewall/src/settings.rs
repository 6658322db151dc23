//! Settings on the command line: every row of the configuration's table is a flag of `run`, `replay` and `check`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use hivewall_config::{Config, Kind, Origin, Origins, SECTIONS, Setting, from_environment};

use crate::exit::{Exit, ending};

/// Where the file is looked for when none is named.
const FILE: &str = "/etc/hivewall/hivewall.toml";

/// Adds a flag for every setting of these sections, and `--config`.
pub(crate) fn add(mut command: Command, sections: &[&str]) -> Command {
    command = command.arg(
        Arg::new("config")
            .long("config")
            .short('c')
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!("Configuration file (TOML) [default: {FILE}, when it is there]")),
    );
    for section in SECTIONS.iter().filter(|section| sections.contains(&section.name)) {
        for setting in section.settings {
            command = command.arg(flag(setting).help_heading(format!("Settings: {}", section.name)));
        }
    }
    command
}

/// Adds one setting of a section that is of no use otherwise.
pub(crate) fn add_one(command: Command, key: &str) -> Command {
    let found = SECTIONS.iter().flat_map(|section| section.settings).find(|setting| setting.key == key);
    found.into_iter().fold(command, |command, setting| command.arg(flag(setting).help_heading("Settings: alerts")))
}

fn flag(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.key).long(setting.flag).help(setting.help());
    let arg = if setting.flag == "interface" { arg.short('i') } else { arg };
    match setting.kind {
        Kind::Boolean => arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL"),
        _ if setting.kind.is_list() => arg.action(ArgAction::Append).value_name(setting.kind.name().to_uppercase()),
        _ => arg.value_name(setting.kind.name().to_uppercase()),
    }
}

/// The configuration: file, then environment, then flags.
pub(crate) fn load(matches: &ArgMatches) -> anyhow::Result<(Config, Origins)> {
    let named = matches.get_one::<PathBuf>("config");
    let (mut config, mut origins) = match named.map(PathBuf::as_path).or_else(|| there(Path::new(FILE))) {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                ending(
                    Exit::Usage,
                    format!("cannot read the configuration {}: {error}; name another with --config", path.display()),
                )
            })?;
            Config::parse(&text, &path.display().to_string()).context("the configuration is refused")?
        }
        None => Config::parse("", "").context("the defaults are refused")?,
    };
    let mut overrides = from_environment(std::env::vars());
    for setting in SECTIONS.iter().flat_map(|section| section.settings) {
        if !matches.ids().any(|id| id.as_str() == setting.key)
            || matches.value_source(setting.key) != Some(ValueSource::CommandLine)
        {
            continue;
        }
        for value in matches.get_many::<String>(setting.key).into_iter().flatten() {
            overrides.push((setting.key.to_owned(), value.clone(), Origin::Flag(setting.flag.to_owned())));
        }
    }
    config.apply(&mut origins, overrides).context("the configuration is refused")?;
    Ok((config, origins))
}

fn there(path: &Path) -> Option<&Path> {
    path.exists().then_some(path)
}

/// The log as `export` wants it.
pub(crate) fn log_options(config: &Config) -> hivewall_export::LogOptions {
    use hivewall_config::LogFormat;
    hivewall_export::LogOptions {
        format: match config.log.format {
            LogFormat::Console => hivewall_export::LogFormat::Console,
            LogFormat::Json => hivewall_export::LogFormat::Json,
            LogFormat::Csv => hivewall_export::LogFormat::Csv,
            LogFormat::Jsonl => hivewall_export::LogFormat::Jsonl,
        },
        path: config.log.file().map(Path::to_path_buf),
        buffer_size: config.log.buffer_size,
        rotate_size: config.log.rotate_size_bytes(),
        rotate_interval: config.log.rotate_interval(),
        keep: config.log.rotate_keep as usize,
    }
}

/// The engine's bounds as configured.
pub(crate) fn limits(config: &Config) -> hivewall_engine::Limits {
    hivewall_engine::Limits {
        flows_max: config.flows.max,
        closed_keep: config.flows.closed_keep,
        idle: config.flows.idle_timeout(),
        tcp_idle: config.flows.tcp_idle_timeout(),
        icmp_idle: config.flows.icmp_idle_timeout(),
        active: config.flows.active_timeout(),
        linger: config.flows.closed_linger(),
        addresses_max: config.traffic.addresses_max,
        subnets: config.traffic.subnets.clone(),
        ..hivewall_engine::Limits::default()
    }
}

/// Messages about the agent itself, on standard error.
pub(crate) fn start_messages(level: &str) {
    // The page's files are a line each at every start, which nobody asked for.
    let with = |level: &str| format!("memory_serve=warn,{level}");
    let filter = tracing_subscriber::EnvFilter::try_new(with(level))
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(with("info")));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none());
    // Fails only when one is set already, which then serves as well.
    let _ = subscriber.try_init();
}
