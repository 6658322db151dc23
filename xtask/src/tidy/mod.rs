//! `cargo xtask tidy`: the house rules that a machine can check, as one list of breaches. A plain test runs it.
//!
//! What is a matter of taste stands in docs/style.md and is the reviewers'. Invariant: every exception has a reason,
//! and one that no file needs is a breach too.

mod exceptions;
mod imports;
mod licences;
mod source;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand};

use crate::repo;
use exceptions::{EXCEPTIONS, Rule};
use source::Source;

/// Lines of code a file may have, tests in it aside.
const FILE_LINES_MAX: usize = 600;
/// Lines of code a function may have.
const FUNCTION_LINES_MAX: usize = 70;
/// Folders with Rust files.
const FOLDERS: &[&str] = &["crates", "datapath-bpf", "e2e", "fuzz", "xtask"];

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Put the import table into ARCHITECTURE.md first.
    #[arg(long)]
    write: bool,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = repo::root()?;
    if args.write {
        let document = repo::text(&root, "ARCHITECTURE.md")?;
        std::fs::write(root.join("ARCHITECTURE.md"), imports::quoted(&document)?)?;
    }
    let breaches = breaches(&root)?;
    for breach in &breaches {
        println!("{breach}");
    }
    if !breaches.is_empty() {
        bail!("{} breaches of the house rules (docs/style.md)", breaches.len());
    }
    Ok(())
}

/// A rule that does not hold somewhere.
struct Breach {
    rule: Option<Rule>,
    place: String,
    text: String,
}

impl Breach {
    /// One that an exception may excuse.
    fn of(rule: Rule, place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { rule: Some(rule), place: place.into(), text: text.into() }
    }

    /// One that nothing excuses.
    fn plain(place: &str, text: impl Into<String>) -> Self {
        Self { rule: None, place: place.to_owned(), text: text.into() }
    }
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// All breaches that no exception excuses.
fn breaches(root: &Path) -> Result<Vec<Breach>> {
    let metadata = metadata(root)?;
    let mut found = imports::check(&metadata);
    found.extend(licences::check(root, &metadata, &repo::text(root, "deny.toml")?)?);
    let architecture = repo::text(root, "ARCHITECTURE.md").unwrap_or_default();
    match imports::quoted(&architecture) {
        Ok(quoted) if quoted == architecture => {}
        Ok(_) => {
            found.push(Breach::plain("ARCHITECTURE.md", "quotes another import table; run `cargo xtask tidy --write`"));
        }
        Err(error) => found.push(Breach::plain("ARCHITECTURE.md", error.to_string())),
    }
    let sources = sources(root)?;
    for source in &sources {
        found.extend(lengths(source));
        found.extend(words(source));
    }
    found.extend(roots(&sources, &metadata, root));
    let excused = |breach: &Breach| {
        EXCEPTIONS.iter().any(|exception| breach.rule == Some(exception.rule) && breach.place == exception.place)
    };
    let stale = EXCEPTIONS.iter().filter(|exception| {
        !found.iter().any(|breach| breach.rule == Some(exception.rule) && breach.place == exception.place)
    });
    let mut left: Vec<Breach> = stale
        .map(|exception| Breach::plain(exception.place, format!("needs no exception any more ({})", exception.reason)))
        .collect();
    left.extend(found.into_iter().filter(|breach| !excused(breach)));
    Ok(left)
}

fn metadata(root: &Path) -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    // One platform: what only others need may not have been fetched.
    command.manifest_path(root.join("Cargo.toml")).other_options(["--filter-platform".to_owned(), host()]);
    command.exec().context("cargo metadata failed")
}

/// The platform this was built for, as cargo names it.
fn host() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for folder in FOLDERS {
        for path in repo::files(root, folder, &[".rs"])? {
            let text = repo::text(root, &path)?;
            sources.push(Source::new(&path, text));
        }
    }
    Ok(sources)
}

fn lengths(source: &Source) -> Vec<Breach> {
    let mut found = Vec::new();
    if !source.text.starts_with("//!") {
        found.push(Breach::of(Rule::Head, &source.path, "does not open with `//!` and what it holds"));
    }
    let length = source.length();
    if length > FILE_LINES_MAX {
        let text = format!("has {length} lines of code, more than {FILE_LINES_MAX}");
        found.push(Breach::of(Rule::FileLength, &source.path, text));
    }
    for function in source.functions().iter().filter(|function| function.length > FUNCTION_LINES_MAX) {
        let place = format!("{}:{}", source.path, function.name);
        let text =
            format!("(line {}) has {} lines, more than {FUNCTION_LINES_MAX}", function.line + 1, function.length);
        found.push(Breach::of(Rule::FunctionLength, place, text));
    }
    found
}

/// Words that tell of unfinished work, or of a test that hopes.
fn words(source: &Source) -> Vec<Breach> {
    // Put together here, so that this file does not contain them.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X ")];
    let calls = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[ign", "ore]")];
    let mut found = Vec::new();
    for (line, (text, code)) in source.text.lines().zip(&source.code).enumerate() {
        if marks.iter().any(|mark| text.contains(mark)) || calls.iter().any(|call| code.contains(call)) {
            let text = format!("(line {}) leaves something unfinished or skipped without a reason", line + 1);
            found.push(Breach::of(Rule::Unfinished, &source.path, text));
        }
        if source.is_test_line(line) && code.contains("sleep(") {
            let text = format!("(line {}) sleeps in a test; wait for the condition instead", line + 1);
            found.push(Breach::of(Rule::Sleep, &source.path, text));
        }
    }
    found
}

/// Crate roots forbid unsafe code, and reach every file.
fn roots(sources: &[Source], metadata: &Metadata, root: &Path) -> Vec<Breach> {
    let mut targets: BTreeSet<String> = BTreeSet::new();
    for target in metadata.workspace_packages().iter().flat_map(|package| &package.targets) {
        if let Ok(path) = target.src_path.as_std_path().strip_prefix(root) {
            targets.insert(path.to_string_lossy().into_owned());
        }
    }
    // Both are workspaces of their own.
    let is_apart = |path: &str| path.starts_with("datapath-bpf/") || path.starts_with("fuzz/");
    let has_main = |source: &Source| source.code.iter().any(|line| line.contains("no_main"));
    targets.extend(
        sources.iter().filter(|source| is_apart(&source.path) && has_main(source)).map(|source| source.path.clone()),
    );
    let mut found = Vec::new();
    let mut reached = BTreeSet::new();
    let mut open: Vec<String> = targets.iter().cloned().collect();
    while let Some(path) = open.pop() {
        let Some(source) = sources.iter().find(|source| source.path == path) else { continue };
        let is_root = targets.contains(&path);
        if reached.insert(path.clone()) {
            open.extend(source.modules().flat_map(|name| places_of(&path, is_root, name)));
        }
        let is_product = !source.is_test() && !path.starts_with("fuzz/") && !path.contains("/examples/");
        if is_root && is_product && !source.code.iter().any(|line| line.contains("#![forbid(unsafe_code)]")) {
            found.push(Breach::of(Rule::Unsafe, &path, "is a crate root without `#![forbid(unsafe_code)]`"));
        }
    }
    let orphans = sources.iter().filter(|source| !reached.contains(&source.path));
    found.extend(orphans.map(|source| Breach::of(Rule::Orphan, &source.path, "is named by no `mod`")));
    found
}

/// Where the module `name` of the file `path` may lie.
fn places_of(path: &str, is_root: bool, name: &str) -> [String; 2] {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let own = if is_root || stem == "mod" { folder.to_owned() } else { format!("{folder}/{stem}") };
    [format!("{own}/{name}.rs"), format!("{own}/{name}/mod.rs")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_rules_hold() {
        let breaches = breaches(&repo::root().unwrap()).unwrap();
        let lines: Vec<String> = breaches.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "`cargo xtask tidy` says:\n{}", lines.join("\n"));
    }

    #[test]
    fn every_exception_has_a_reason() {
        assert!(EXCEPTIONS.iter().all(|exception| exception.reason.len() > 20));
    }

    #[test]
    fn modules_lie_beside_a_root_and_below_a_file() {
        assert_eq!(places_of("a/src/lib.rs", true, "b"), ["a/src/b.rs", "a/src/b/mod.rs"]);
        assert_eq!(places_of("a/src/c.rs", false, "b"), ["a/src/c/b.rs", "a/src/c/b/mod.rs"]);
        assert_eq!(places_of("a/tests/c/mod.rs", false, "b"), ["a/tests/c/b.rs", "a/tests/c/b/mod.rs"]);
    }

    #[test]
    fn unfinished_work_and_sleeping_tests_are_found() {
        let code = format!(
            "fn a() {{}}\n// {}: later\n#[cfg(test)]\nmod tests {{\n  fn b() {{ sleep(1); }}\n}}\n",
            concat!("TO", "DO")
        );
        let rules: Vec<_> = words(&Source::new("x/src/a.rs", code)).into_iter().map(|breach| breach.rule).collect();
        assert_eq!(rules, [Some(Rule::Unfinished), Some(Rule::Sleep)]);
    }
}
