//! The repository on disk and the programs run in it: paths, file lists, digests, child processes.
//!
//! It knows nothing of any one task. Invariant: paths handed out are relative to the root, with `/`, and sorted, so
//! that whatever is derived from them is the same on every machine.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

/// Directories that hold nothing of ours.
const FOREIGN: &[&str] = &["target", ".git", "node_modules", "corpus", "artifacts"];

/// The root of the repository.
pub(crate) fn root() -> Result<PathBuf> {
    // Asked at run time, not when this was compiled: the binary may have been carried to another copy.
    let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(own) => PathBuf::from(own),
        None => std::env::current_dir()?,
    };
    let found = start.ancestors().find(|place| place.join("datapath-bpf").is_dir() && place.join("xtask").is_dir());
    found.map(Path::to_path_buf).context("no hivewall repository here; run this inside of one")
}

/// All files under `folder` (relative to `root`) whose name ends in one of `endings`, relative to `root`, sorted.
pub(crate) fn files(root: &Path, folder: &str, endings: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                if !FOREIGN.contains(&name.as_str()) {
                    folders.push(entry.path());
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let path = entry.path();
                let relative = path.strip_prefix(root).context("a file outside of the repository")?;
                found.push(relative.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The text of a file of the repository.
pub(crate) fn text(root: &Path, file: &str) -> Result<String> {
    fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))
}

/// SHA-256 of bytes, in lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Runs a command with its output on the terminal; fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("cannot start `{shown}`; is it installed?"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Runs a command and gives what it wrote to standard output; fails, with what it wrote to standard error, when it does.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.output().with_context(|| format!("cannot start `{shown}`; is it installed?"))?;
    if !output.status.success() {
        bail!("`{shown}` failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Where the build puts its files, as cargo understands it.
pub(crate) fn target_dir(root: &Path) -> Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(place) => std::path::absolute(place).context("CARGO_TARGET_DIR is no path"),
        None => Ok(root.join("target")),
    }
}
