//! A folder in memory for the length of a benchmark.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Where Linux keeps files in memory.
const MEMORY: &str = "/dev/shm";

/// A folder that goes when this is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A fresh one.
    pub(super) fn new(name: &str) -> Result<Self> {
        let base = if Path::new(MEMORY).is_dir() { PathBuf::from(MEMORY) } else { std::env::temp_dir() };
        let folder = base.join(format!("hivewall-bench-{name}-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// A place in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in memory and goes with the machine's next start.
        let _ = fs::remove_dir_all(&self.0);
    }
}
