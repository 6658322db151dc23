//! `hivewall policy check FILE…` and `policy schema`: whether documents can be taken, and what editors know of them.
//!
//! What is wrong is found in `hivewall-policy`; here it is printed. Files of sets are not opened, since they need not be on
//! the machine where a policy is written. Invariant: the exit code tells whether every document can be taken, whatever
//! the output.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command, value_parser};
use hivewall_policy::{Parsed, PolicyError, Problem, TEXT_BYTES_MAX, parse, pointed};
use serde_json::{Value, json};

use crate::exit::{Exit, ending};

/// The command line of `policy check`.
pub(super) fn command() -> Command {
    Command::new("check")
        .about("Check policies: what is wrong, where, and how to mend it")
        .long_about(
            "Check policies: keys, values, names, and rules that can never match. Every problem is shown with its line \
             and what to write instead.\n\n\
             `-o json` prints one document for editors: for each file its problems with line, column and bytes.",
        )
        .arg(
            Arg::new("files")
                .required(true)
                .num_args(1..)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Policies, YAML or JSON; `-` reads standard input"),
        )
        .arg(super::output())
}

/// The command line of `policy schema`.
pub(super) fn schema_command() -> Command {
    Command::new("schema")
        .about("Print the JSON Schema of policies, for editors")
        .after_help("In an editor with a YAML language server, write on a policy's first line:\n  # yaml-language-server: $schema=policy.schema.json")
}

/// Reads a policy's text; `-` is standard input.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin().lock())
    } else {
        let length = std::fs::metadata(path).map(|file| file.len()).unwrap_or_default();
        if length > TEXT_BYTES_MAX as u64 {
            let message = format!("{} has {length} bytes, and a policy at most {TEXT_BYTES_MAX}", path.display());
            return Err(ending(Exit::Usage, message));
        }
        std::fs::read_to_string(path)
    };
    text.map_err(|error| {
        let exit = if error.kind() == std::io::ErrorKind::PermissionDenied { Exit::Privilege } else { Exit::Usage };
        ending(exit, format!("{} cannot be read: {error}; correct the path or its permissions", path.display()))
    })
}

/// A policy that can be taken, or the end of the program with everything that is wrong with it.
pub(super) fn load(path: &Path) -> anyhow::Result<Parsed> {
    let text = read(path)?;
    parse(&text).map_err(|error| ending(Exit::Usage, error.pointed(&path.display().to_string(), &text).trim_end()))
}

pub(super) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let mut is_sound = true;
    let mut documents = Vec::new();
    let mut page = String::new();
    for path in args.get_many::<PathBuf>("files").into_iter().flatten() {
        let text = read(path)?;
        let name = path.display().to_string();
        let checked = parse(&text);
        is_sound &= checked.is_ok();
        page.push_str(&told(&name, &text, &checked));
        documents.push(document(&name, &checked));
    }
    let mut out = std::io::stdout().lock();
    if super::is_json(args) {
        let text = serde_json::to_string_pretty(&documents).context("the report cannot be written as JSON")?;
        writeln!(out, "{text}")?;
    } else {
        write!(out, "{page}")?;
    }
    out.flush()?;
    Ok(ExitCode::from(if is_sound { Exit::Done } else { Exit::Usage } as u8))
}

pub(super) fn schema() -> anyhow::Result<ExitCode> {
    let text = serde_json::to_string_pretty(&hivewall_policy::policy_schema())
        .context("the schema cannot be written as JSON")?;
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

fn told(name: &str, text: &str, checked: &Result<Parsed, PolicyError>) -> String {
    match checked {
        Err(error) => error.pointed(name, text),
        Ok(parsed) => {
            let rules: usize = parsed.document.tiers.iter().map(|tier| tier.rules.len()).sum();
            let plural = if rules == 1 { "" } else { "s" };
            let metadata = &parsed.document.metadata;
            let line = format!(
                "{name}: policy {} version {}, {rules} rule{plural}, mode {}\n",
                metadata.name,
                metadata.version,
                parsed.document.mode.word()
            );
            pointed(&parsed.warnings, name, text) + &line
        }
    }
}

fn document(name: &str, checked: &Result<Parsed, PolicyError>) -> Value {
    let (problems, left_out) = match checked {
        Ok(parsed) => (&parsed.warnings, 0),
        Err(error) => (&error.problems, error.left_out),
    };
    json!({
        "file": name,
        "ok": checked.is_ok(),
        "name": checked.as_ref().ok().map(|parsed| parsed.document.metadata.name.as_str()),
        "version": checked.as_ref().ok().map(|parsed| parsed.document.metadata.version),
        "problems": problems.iter().map(problem).collect::<Vec<_>>(),
        "left_out": left_out,
    })
}

fn problem(problem: &Problem) -> Value {
    let place = |place: &hivewall_policy::Place| json!({"line": place.line, "column": place.column, "start_byte": place.span.start, "end_byte": place.span.end});
    json!({
        "severity": problem.severity.word(),
        "message": problem.fault.to_string(),
        "place": place(&problem.place),
        "also": problem.also.iter().map(|(at, what)| json!({"place": place(at), "what": what})).collect::<Vec<_>>(),
    })
}
