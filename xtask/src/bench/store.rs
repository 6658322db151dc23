//! The history's own benchmark, which lives with the store since it knows what a segment is.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::repo;

/// Runs it in release form.
pub(super) fn run() -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["run", "--release", "--locked", "--package", "hivewall-store", "--example", "bench"]);
    let status = command.current_dir(repo::root()?).status().context("cannot start cargo")?;
    ensure!(status.success(), "the benchmark ended with {status}");
    Ok(())
}
