//! `cargo xtask bpf`: builds the kernel objects from `datapath-bpf` and puts them, with a stamp, where the host crate
//! includes them from.
//!
//! Invariant: equal sources and equal tool versions give equal bytes, in whatever folder and by whoever they are
//! built. Hence paths are remapped, debug information is dropped (BTF stays), and the hash of a crate's folder that
//! cargo would put in symbol names is replaced, see [`wrapper`].

mod stamp;
mod toolchain;
pub(crate) mod wrapper;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use hivewall_datapath::HashSeed;
use hivewall_host::ebpf::{Geometry, Loaded, Object};

use crate::repo;
use stamp::Stamp;
use toolchain::Toolchain;

/// The objects: what the agent attaches to interfaces, what tests and benchmarks run, what tells of sockets, and the
/// allow-list monitor.
pub(crate) const OBJECTS: &[&str] = &["hivewall", "workbench", SOCKETS, GUARD];

/// The object whose programs are no classifiers and are loaded another way.
const SOCKETS: &str = "sockets";
/// The object that has maps of its own.
const GUARD: &str = "guard";

/// Where the committed objects lie.
pub(crate) const COMMITTED: &str = "crates/host/bpf";

/// What to do beyond building.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing: compare a fresh build with the committed objects and, as root, load both into the kernel.
    #[arg(long)]
    check: bool,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = repo::root()?;
    let toolchain = Toolchain::find()?;
    println!("{toolchain}");
    let built = build(&root, &toolchain)?;
    let fresh = Stamp::of(&root, &toolchain, &built)?;
    if args.check {
        return check(&root, &fresh, &built);
    }
    // An object that the kernel refuses never replaces one that it takes.
    load_all(&built)?;
    for Built { name, bytes, .. } in &built {
        let place = root.join(COMMITTED).join(format!("{name}.o"));
        // A file with a new time has everything above it built anew.
        if fs::read(&place).is_ok_and(|there| there == *bytes) {
            println!("{}: as it was", place.display());
            continue;
        }
        fs::write(&place, bytes).with_context(|| format!("cannot write {}", place.display()))?;
        println!("{}: {} bytes", place.display(), bytes.len());
    }
    fresh.write(&root)
}

/// An object as built.
struct Built {
    name: &'static str,
    bytes: Vec<u8>,
    /// Names of the programs in it.
    programs: Vec<String>,
}

fn build(root: &Path, toolchain: &Toolchain) -> Result<Vec<Built>> {
    let target = repo::target_dir(root)?.join("bpf");
    let flags: Vec<String> =
        remaps(root, &target, toolchain)?.iter().map(|remap| format!("\"--remap-path-prefix={remap}\"")).collect();
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(root.join("datapath-bpf"))
        .args(["build", "--release", "--locked", "-Z", "build-std=core", "--target", "bpfel-unknown-none"])
        .arg("--target-dir")
        .arg(&target)
        // Joined to the flags of datapath-bpf/.cargo/config.toml, where an environment variable would replace them.
        .arg("--config")
        .arg(format!("target.bpfel-unknown-none.rustflags=[{}]", flags.join(",")))
        .env(wrapper::VARIABLE, "1")
        .env("RUSTC_WRAPPER", std::env::current_exe()?);
    repo::run(&mut cargo)?;
    OBJECTS
        .iter()
        .map(|name| {
            let raw = target.join("bpfel-unknown-none/release").join(name);
            let stripped = target.join(format!("{name}.o"));
            repo::run(toolchain.llvm_tool("llvm-strip").arg("-g").arg("-o").arg(&stripped).arg(&raw))?;
            let symbols = repo::output(toolchain.llvm_tool("llvm-objdump").arg("-t").arg(&stripped))?;
            let bytes = fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))?;
            refuse_paths(name, &bytes)?;
            Ok(Built { name, bytes, programs: programs(&symbols) })
        })
        .collect()
}

/// The programs in a symbol table: global functions in the sections of classifiers and of XDP.
fn programs(symbols: &str) -> Vec<String> {
    let is_program = |words: &Vec<&str>| matches!(words.as_slice(), [_, "g", "F", "classifier" | "xdp", ..]);
    let lines = symbols.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(is_program);
    lines.filter_map(|words| words.last().map(|name| (*name).to_owned())).collect()
}

/// `from=to` for every folder whose name would tell where the object was built.
fn remaps(root: &Path, target: &Path, toolchain: &Toolchain) -> Result<Vec<String>> {
    let mut remaps = Vec::new();
    let mut add = |from: &Path, to: &str| {
        remaps.push(format!("{}={to}", from.display()));
        if let Ok(real) = from.canonicalize()
            && real != from
        {
            remaps.push(format!("{}={to}", real.display()));
        }
    };
    add(root, "hivewall");
    add(target, "target");
    add(&toolchain.library, "rust/library");
    let registry = cargo_home()?.join("registry/src");
    for index in fs::read_dir(&registry).with_context(|| format!("cannot list {}", registry.display()))? {
        add(&index?.path(), "crates");
    }
    Ok(remaps)
}

fn cargo_home() -> Result<PathBuf> {
    match std::env::var_os("CARGO_HOME") {
        Some(home) => Ok(home.into()),
        None => {
            Ok(PathBuf::from(std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?).join(".cargo"))
        }
    }
}

/// Fails when a string of the object looks like an absolute path.
fn refuse_paths(name: &str, bytes: &[u8]) -> Result<()> {
    let is_path =
        |text: &str| text.starts_with('/') && text.len() > 4 && text.bytes().filter(|byte| *byte == b'/').count() > 1;
    let texts = bytes.split(|byte| !(0x20..0x7f).contains(byte)).filter_map(|text| std::str::from_utf8(text).ok());
    if let Some(path) = texts.into_iter().find(|text| is_path(text)) {
        bail!("the object {name} names the folder {path}; add it to the remapped ones in xtask/src/bpf");
    }
    Ok(())
}

fn check(root: &Path, fresh: &Stamp, built: &[Built]) -> Result<()> {
    let committed = Stamp::read(root)?;
    committed.hold(root)?;
    if fresh.tools == committed.tools {
        if fresh.objects != committed.objects {
            bail!(
                "the same tools build other objects than those committed; run `cargo xtask bpf` and commit the result"
            );
        }
        println!("a fresh build gives the committed objects, byte for byte");
    } else {
        println!("the committed objects were built by other tools, so bytes are not compared:");
        for ((name, now), (_, then)) in fresh.tools.iter().zip(&committed.tools) {
            println!("  {name}: committed {then}, here {now}");
        }
    }
    load_all(built)
}

/// Has the kernel verify every program of the objects.
fn load_all(built: &[Built]) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        println!("NOT LOADED: only root may load the objects into the kernel");
        return Ok(());
    }
    for Built { name, bytes, programs } in built {
        if *name == SOCKETS {
            let programs = hivewall_host::sockets::verify(bytes)?;
            println!("{name}: the kernel accepts all {} programs", programs.len());
            continue;
        }
        if *name == GUARD {
            let programs = hivewall_host::guard::verify(bytes)?;
            println!("{name}: the kernel accepts all {} programs", programs.len());
            continue;
        }
        let seed = HashSeed { words: [0x9e37_79b1; 12], multiplier: 0x9e37_79b9_7f4a_7c15 };
        let mut loaded = Loaded::load(Object::Bytes(bytes), Geometry::new(1024, 1024)?, seed)?;
        for program in programs {
            // The host crate takes names that live as long as the process; these do.
            loaded.test_run(program.clone().leak())?;
        }
        println!("{name}: the kernel accepts all {} programs", programs.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_objects_are_built_from_these_sources() {
        let root = repo::root().unwrap();
        Stamp::read(&root).and_then(|stamp| stamp.hold(&root)).unwrap();
    }

    #[test]
    fn the_committed_objects_tell_nothing_of_the_machine_that_built_them() {
        let root = repo::root().unwrap();
        for name in OBJECTS {
            let bytes = fs::read(root.join(COMMITTED).join(format!("{name}.o"))).unwrap();
            refuse_paths(name, &bytes).unwrap();
        }
    }

    #[test]
    fn only_global_functions_of_the_sections_of_programs_are_programs() {
        let symbols = "0000 g     F classifier\t0158 hivewall_in\n0000 g     F xdp\t0158 hivewall_front\n\
                       0000 l     F .text 00 f\n0000 g     O maps 1c CACHE\n";
        assert_eq!(programs(symbols), ["hivewall_in", "hivewall_front"]);
    }

    #[test]
    fn a_path_in_an_object_is_found_and_a_name_is_not() {
        assert!(refuse_paths("o", b"\x00/home/me/src/lib.rs\x00").is_err());
        assert!(refuse_paths("o", b"\x00hivewall/crates/datapath/src/lib.rs\x00/\x00//").is_ok());
    }
}
