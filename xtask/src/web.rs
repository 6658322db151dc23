//! `cargo xtask web`: builds the web page's bundle from `web/` with Node.js, and stamps it with its sources.
//!
//! The bundle is committed, so that nobody needs Node.js to build hivewall. Invariant: a plain test tells when the bundle
//! is not of the sources beside it, or was changed by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{docs, repo};

/// Where the bundle lies. All of it is put into the program.
const BUNDLE: &str = "web/dist";
/// What it was built from, and what it is.
const STAMP: &str = "web/stamp.txt";
const HEAD: &str = "# Written by `cargo xtask web`. A test compares it with the sources and the bundle.\n";
/// What decides what the bundle is; of `src`, everything but its tests.
const FILES: &[&str] =
    &["web/index.html", "web/package.json", "web/package-lock.json", "web/svelte.config.js", "web/vite.config.ts"];
const FOLDERS: &[&str] = &["web/src", "web/public"];

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing: check the types, run the unit tests, and compare a fresh build with the committed bundle.
    #[arg(long)]
    check: bool,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = repo::root()?;
    let web = root.join("web");
    install(&web)?;
    if !args.check {
        docs::run()?;
        npm(&web, &["run", "--silent", "types"])?;
    }
    npm(&web, &["run", "--silent", "check"])?;
    npm(&web, &["run", "--silent", "test"])?;
    if args.check {
        let place = tempfile(&root)?;
        npm(&web, &["run", "--silent", "build", "--", "--outDir", &place, "--logLevel", "warn"])?;
        let fresh = bundle(Path::new("/"), &place)?;
        fs::remove_dir_all(&place).with_context(|| format!("cannot remove {place}"))?;
        let committed = bundle(&root, BUNDLE)?;
        if fresh != committed {
            let differs: Vec<&str> = fresh
                .iter()
                .chain(&committed)
                .filter(|(name, digest)| fresh.get(*name) != Some(digest) || committed.get(*name) != Some(digest))
                .map(|(name, _)| name.as_str())
                .collect();
            bail!("a fresh build gives another bundle ({}); run `cargo xtask web`", differs.join(", "));
        }
        return hold(&root);
    }
    npm(&web, &["run", "--silent", "build", "--", "--logLevel", "warn"])?;
    fs::write(root.join(STAMP), stamp(&root)?).with_context(|| format!("cannot write {STAMP}"))?;
    println!("{BUNDLE} is built and stamped");
    Ok(())
}

/// A folder for a build that nobody keeps.
fn tempfile(root: &Path) -> Result<String> {
    let place = repo::target_dir(root)?.join("web-check");
    Ok(place.to_string_lossy().into_owned())
}

/// Installs exactly what the lock file names, where it is not there yet.
fn install(web: &Path) -> Result<()> {
    let modified = |file: &str| fs::metadata(web.join(file)).and_then(|metadata| metadata.modified()).ok();
    let installed = modified("node_modules/.package-lock.json");
    if installed.is_some() && installed >= modified("package-lock.json") {
        return Ok(());
    }
    npm(web, &["ci", "--no-fund", "--no-audit"])
}

fn npm(web: &Path, words: &[&str]) -> Result<()> {
    repo::run(Command::new("npm").args(words).current_dir(web))
        .context("the page is built with Node.js 20 or newer and npm; `scripts/setup.sh test` installs them")
}

/// Name → SHA-256 of each file of a bundle.
fn bundle(root: &Path, folder: &str) -> Result<BTreeMap<String, String>> {
    let folder = folder.trim_start_matches('/');
    let files = repo::files(root, folder, &[""])?;
    files
        .into_iter()
        .map(|file| {
            let bytes = fs::read(root.join(&file)).with_context(|| format!("cannot read {file}"))?;
            let name = file.strip_prefix(folder).unwrap_or(&file).trim_start_matches('/').to_owned();
            Ok((name, repo::sha256(&bytes)))
        })
        .collect()
}

fn sources(root: &Path) -> Result<String> {
    let mut files: Vec<String> = FILES.iter().map(|file| (*file).to_owned()).collect();
    for folder in FOLDERS {
        files.extend(repo::files(root, folder, &[""])?.into_iter().filter(|file| !file.ends_with(".test.ts")));
    }
    let mut all = String::new();
    for file in files {
        let bytes = fs::read(root.join(&file)).with_context(|| format!("cannot read {file}"))?;
        // Writing to a string cannot fail.
        let _ = writeln!(all, "{file} {}", repo::sha256(&bytes));
    }
    Ok(repo::sha256(all.as_bytes()))
}

fn stamp(root: &Path) -> Result<String> {
    let mut text = format!("{HEAD}sources {}\n", sources(root)?);
    for (name, digest) in bundle(root, BUNDLE)? {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} {digest}");
    }
    Ok(text)
}

/// Fails unless the sources and the bundle are those that were stamped.
fn hold(root: &Path) -> Result<()> {
    if repo::text(root, STAMP)? != stamp(root)? {
        bail!("{BUNDLE} was not built from these sources; run `cargo xtask web` and commit what it writes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest that the whole bundle may be with gzip. What opens first is an eighth of it, the editor of policies two fifths.
    const BUNDLE_GZIP_BYTES_MAX: u64 = 335_000;

    #[test]
    fn the_bundle_is_built_from_the_sources_beside_it() {
        hold(&repo::root().unwrap()).unwrap();
    }

    #[test]
    fn the_whole_page_is_small() {
        let root = repo::root().unwrap();
        let mut total = 0;
        for file in repo::files(&root, BUNDLE, &[".js", ".css", ".html", ".svg"]).unwrap() {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            std::io::Write::write_all(&mut encoder, &fs::read(root.join(file)).unwrap()).unwrap();
            total += encoder.finish().unwrap().len() as u64;
        }
        assert!(total <= BUNDLE_GZIP_BYTES_MAX, "{total} bytes with gzip");
    }
}
