//! `hivewall analyze FILE`: a report over a log, in the format it finds.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ArgMatches;
use hivewall_analyze::{analyze_file, render_report_text};

use crate::exit::{Exit, ending};
use crate::flows::{Format, PIPE_WIDTH, width};
use crate::progress;

pub(crate) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let Some(path) = args.get_one::<PathBuf>("file") else {
        return Err(ending(Exit::Usage, "no log named"));
    };
    let size = std::fs::metadata(path).map(|file| file.len()).ok();
    let bar = progress::bytes(size.filter(|_| std::io::stderr().is_terminal()));
    let report = analyze_file(path, &mut |read| bar.set_position(read));
    bar.finish_and_clear();
    let report = report?;
    let json = || serde_json::to_string_pretty(&report).context("the report cannot be written as JSON");
    if let Some(to) = args.get_one::<PathBuf>("export-report") {
        std::fs::write(to, json()? + "\n").map_err(|error| {
            ending(Exit::Unwritable, format!("the report cannot be written to {}: {error}", to.display()))
        })?;
    }
    let mut out = std::io::stdout().lock();
    match args.get_one::<Format>("output") {
        Some(Format::Json) => writeln!(out, "{}", json()?)?,
        _ => write!(out, "{}", render_report_text(&report, width().unwrap_or(PIPE_WIDTH)))?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
