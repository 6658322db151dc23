//! What the web page takes and costs: the measurement lives with the page's tests, since it needs their agents and their browser.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::repo;

/// Builds the agent in release form and measures, as root.
pub(super) fn run() -> Result<()> {
    let root = repo::root()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    repo::run(Command::new(cargo).current_dir(&root).args(["build", "--release", "--locked"]))?;
    let program = repo::target_dir(&root)?.join("release/hivewall");
    let mut bed = Command::new(root.join("web/tests/bed.sh"));
    let status = bed.arg("measure").env("HIVEWALL_BIN", program).status().context("cannot start web/tests/bed.sh")?;
    ensure!(status.success(), "the measurement ended with {status}; `scripts/setup.sh browser` installs what it needs");
    Ok(())
}
