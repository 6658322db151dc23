//! `stamp.toml` beside the committed objects: from which sources they were built, and by what.
//!
//! It is read and written here only, line by line, so its form is kept as plain as it can be.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::{Built, COMMITTED, OBJECTS, Toolchain};
use crate::repo;

/// Files and folders that decide what the objects are; of folders, all Rust files but the tests.
const SOURCES: &[&str] = &[
    "datapath-bpf/Cargo.toml",
    "datapath-bpf/Cargo.lock",
    "datapath-bpf/.cargo/config.toml",
    "datapath-bpf/src",
    "crates/datapath/Cargo.toml",
    "crates/datapath/src",
];

const HEAD: &str = "# Written by `cargo xtask bpf`. A test compares it with the sources and the objects.\n";

/// Names and values, in the order of the file.
type Pairs = Vec<(String, String)>;

/// What the file says.
pub(super) struct Stamp {
    /// SHA-256 over names and contents of [`SOURCES`].
    sources: String,
    /// Versions of the tools.
    pub(super) tools: Pairs,
    /// SHA-256 of each object.
    pub(super) objects: Pairs,
}

impl Stamp {
    /// The stamp of a build just made.
    pub(super) fn of(root: &Path, toolchain: &Toolchain, built: &[Built]) -> Result<Self> {
        let tools = [("rustc", &toolchain.rustc), ("llvm", &toolchain.llvm), ("linker", &toolchain.linker)];
        Ok(Self {
            sources: sources(root)?,
            tools: tools.into_iter().map(|(name, version)| (name.to_owned(), version.clone())).collect(),
            objects: built.iter().map(|built| (built.name.to_owned(), repo::sha256(&built.bytes))).collect(),
        })
    }

    /// The committed one.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let file = format!("{COMMITTED}/stamp.toml");
        let text = repo::text(root, &file).context("run `cargo xtask bpf`")?;
        let value = |key: &str| -> Result<String> {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
            let value = line.with_context(|| format!("{file} lacks {key}; run `cargo xtask bpf`"))?;
            Ok(value.trim_matches('"').to_owned())
        };
        let pair = |name: &str, key: String| Ok((name.to_owned(), value(&key)?));
        Ok(Self {
            sources: value("sources")?,
            tools: ["rustc", "llvm", "linker"]
                .into_iter()
                .map(|name| pair(name, name.to_owned()))
                .collect::<Result<_>>()?,
            objects: OBJECTS.iter().map(|name| pair(name, format!("{name}_o"))).collect::<Result<_>>()?,
        })
    }

    /// Writes it beside the objects.
    pub(super) fn write(&self, root: &Path) -> Result<()> {
        let mut text = format!("{HEAD}sources = \"{}\"\n", self.sources);
        for (name, version) in &self.tools {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name} = \"{version}\"");
        }
        for (name, digest) in &self.objects {
            let _ = writeln!(text, "{name}_o = \"{digest}\"");
        }
        fs::write(root.join(COMMITTED).join("stamp.toml"), text).context("cannot write the stamp")
    }

    /// Fails unless the sources and the committed objects are those that were stamped.
    pub(super) fn hold(&self, root: &Path) -> Result<()> {
        if self.sources != sources(root)? {
            bail!(
                "the kernel objects were not built from these sources; run `cargo xtask bpf` and commit what it writes"
            );
        }
        for (name, digest) in &self.objects {
            let bytes = fs::read(root.join(COMMITTED).join(format!("{name}.o")))?;
            if repo::sha256(&bytes) != *digest {
                bail!("{COMMITTED}/{name}.o is not the object that was stamped; run `cargo xtask bpf`");
            }
        }
        Ok(())
    }
}

fn sources(root: &Path) -> Result<String> {
    let mut all = Vec::new();
    for source in SOURCES {
        let files =
            if root.join(source).is_dir() { repo::files(root, source, &[".rs"])? } else { vec![(*source).to_owned()] };
        for file in files.into_iter().filter(|file| !file.ends_with("/tests.rs")) {
            all.extend_from_slice(file.as_bytes());
            all.push(0);
            all.extend_from_slice(repo::sha256(repo::text(root, &file)?.as_bytes()).as_bytes());
            all.push(b'\n');
        }
    }
    Ok(repo::sha256(&all))
}
