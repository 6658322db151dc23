//! `cargo xtask fuzz`: builds the targets in `fuzz/` with coverage feedback and runs each for a while.
//!
//! It does with the stable compiler what `cargo fuzz` does with a nightly one, less the address sanitizer, which code
//! without `unsafe` can spare. Invariant: a crash fails the task and leaves its input in fuzz/artifacts; inputs that
//! found something new stay in fuzz/corpus. Neither is committed: a crash becomes a named test.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::repo;

/// What makes the compiler call libFuzzer on each edge and comparison.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "--cfg",
    "fuzzing",
];
/// Inputs longer than this find nothing that shorter ones do not.
const INPUT_BYTES_MAX: u32 = 4096;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Targets to run; all by default.
    targets: Vec<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = repo::root()?;
    let all = targets(&root)?;
    if let Some(unknown) = args.targets.iter().find(|name| !all.contains(name)) {
        bail!("there is no fuzz target {unknown}; there are: {}", all.join(", "));
    }
    let chosen = if args.targets.is_empty() { &all } else { &args.targets };
    let target_dir = repo::target_dir(&root)?.join("fuzz");
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // With --target, the flags are for the targets alone and not for build scripts.
    cargo.current_dir(root.join("fuzz")).args(["build", "--release", "--bins", "--target", &platform, "--target-dir"]);
    repo::run(cargo.arg(&target_dir).env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}")))?;
    for name in chosen {
        println!("fuzz target {name}, {} s", args.seconds);
        fuzz(&root, &target_dir.join(&platform).join("release").join(name), name, args.seconds)?;
    }
    println!("{} fuzz targets ran {} s each without a crash", chosen.len(), args.seconds);
    Ok(())
}

/// Names of the targets, sorted.
fn targets(root: &Path) -> Result<Vec<String>> {
    let files = repo::files(root, "fuzz/fuzz_targets", &[".rs"]).context("fuzz/fuzz_targets is missing")?;
    let stem = |path: &String| Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let names: Vec<String> = files.iter().filter_map(stem).collect();
    ensure!(!names.is_empty(), "fuzz/fuzz_targets has no target");
    Ok(names)
}

fn fuzz(root: &Path, program: &Path, name: &str, seconds: u32) -> Result<()> {
    let (corpus, artifacts) = (root.join("fuzz/corpus").join(name), root.join("fuzz/artifacts").join(name));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let mut command = Command::new(program);
    command
        .arg(&corpus)
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .args(["-timeout=10", "-print_final_stats=1", "-verbosity=0"]);
    // Inputs that come with the repository, read and not written to.
    let seeds = root.join("fuzz/seeds").join(name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    repo::run(&mut command).with_context(|| format!("{name} crashed; its input is in {}", artifacts.display()))
}
