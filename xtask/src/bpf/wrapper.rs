//! The xtask binary as cargo's compiler wrapper during `cargo xtask bpf`.
//!
//! Cargo passes the compiler a `-C metadata=` that contains a hash of where a crate lies on disk, and the compiler puts
//! it in symbol names; the object would differ from folder to folder. Here it becomes the crate's name and version.
//! Nothing else of the command line changes.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

/// Set for the compiler processes that should pass through here.
pub(crate) const VARIABLE: &str = "HIVEWALL_XTASK_WRAPS_RUSTC";

/// Becomes the compiler with the arguments of this process; returns only when that fails.
pub(crate) fn become_rustc() -> Result<()> {
    let mut words = std::env::args_os().skip(1);
    let rustc = words.next().context("no compiler was named")?;
    let name = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let failure = Command::new(rustc).args(words.map(|word| settled(word, &name, &version))).exec();
    Err(failure).context("cannot start the compiler")
}

fn settled(word: OsString, name: &str, version: &str) -> OsString {
    match word.to_str() {
        Some(text) if text.starts_with("metadata=") => format!("metadata={name}-{version}").into(),
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_metadata_changes() {
        assert_eq!(settled("metadata=0f3a".into(), "a", "1.0"), "metadata=a-1.0");
        assert_eq!(settled("extra-filename=-0f3a".into(), "a", "1.0"), "extra-filename=-0f3a");
    }
}
