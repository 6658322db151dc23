//! Completions and man pages, made from the command line's own definition.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ArgMatches;
use clap_complete::Shell;

use crate::cli;

pub(crate) fn completions(args: &ArgMatches) -> ExitCode {
    if let Some(shell) = args.get_one::<Shell>("shell") {
        clap_complete::generate(*shell, &mut cli::command(), "hivewall", &mut std::io::stdout());
    }
    ExitCode::SUCCESS
}

pub(crate) fn man(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    if let Some(directory) = args.get_one::<PathBuf>("directory") {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        clap_mangen::generate_to(cli::command(), directory)
            .with_context(|| format!("cannot write to {}", directory.display()))?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(cli::command()).render(&mut page)?;
        std::io::stdout().write_all(&page)?;
    }
    Ok(ExitCode::SUCCESS)
}
