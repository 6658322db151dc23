//! What builds the kernel objects, wherever this machine has it: a compiler that may use unstable features and brings
//! LLVM 22 and the library's source, a linker for BPF, and LLVM's own
//! tools.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::repo;

/// The LLVM that compiler and linker must share: an older linker cannot read a newer compiler's bitcode.
const LLVM: &str = "22";
/// The linker's version that is known to work.
const LINKER: &str = "bpf-linker 0.13.0";

/// Where a compiler stands.
enum Kind {
    /// Debian's package `rustc-web`, stable, with `RUSTC_BOOTSTRAP=1`.
    Debian,
    /// A rustup toolchain of this name.
    Rustup(String),
}

/// A usable set of tools.
pub(super) struct Toolchain {
    kind: Kind,
    /// As `rustc --version` says it.
    pub(super) rustc: String,
    /// LLVM's version.
    pub(super) llvm: String,
    /// As `bpf-linker --version` says it.
    pub(super) linker: String,
    /// Where the source of the standard library lies.
    pub(super) library: PathBuf,
    /// Folder of LLVM's tools; empty to find them by name.
    tools: PathBuf,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, LLVM {}, {}", self.rustc, self.llvm, self.linker)
    }
}

impl Toolchain {
    /// Debian's if it is there, else the newest fitting nightly of rustup.
    pub(super) fn find() -> Result<Self> {
        let linker = repo::output(Command::new("bpf-linker").arg("--version")).unwrap_or_default().trim().to_owned();
        if linker != LINKER {
            bail!(
                "{} is needed, found {}; install it with `scripts/setup.sh bpf`",
                LINKER,
                if linker.is_empty() { "none" } else { &linker }
            );
        }
        let tools = find_tools()?;
        let mut kinds = vec![Kind::Debian];
        kinds.extend(nightlies().into_iter().map(Kind::Rustup));
        let mut refused = Vec::new();
        for kind in kinds {
            match Self::probe(kind, &linker, &tools) {
                Ok(toolchain) => return Ok(toolchain),
                Err(reason) => refused.push(format!("  {reason:#}")),
            }
        }
        bail!(
            "no compiler here can build the kernel objects:\n{}\ninstall one with `scripts/setup.sh bpf`",
            refused.join("\n")
        )
    }

    fn probe(kind: Kind, linker: &str, tools: &Path) -> Result<Self> {
        let name = match &kind {
            Kind::Debian => "/usr/bin/rustc",
            Kind::Rustup(name) => name,
        };
        let about = repo::output(kind.rustc().arg("-vV")).with_context(|| name.to_owned())?;
        let field = |key: &str| about.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim();
        let llvm = field("LLVM version:");
        if llvm.split('.').next() != Some(LLVM) {
            bail!("{name} has LLVM {llvm}, and {LLVM} is needed");
        }
        let sysroot = repo::output(kind.rustc().args(["--print", "sysroot"]))?;
        let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
        if !library.join("core").is_dir() {
            bail!("{name} lacks the library's source (rust-web-src, or rustup's rust-src)");
        }
        let rustc = about.lines().next().unwrap_or_default().to_owned();
        Ok(Self { rustc, llvm: llvm.to_owned(), linker: linker.to_owned(), library, tools: tools.to_owned(), kind })
    }

    /// One of LLVM's own tools.
    pub(super) fn llvm_tool(&self, name: &str) -> Command {
        Command::new(self.tools.join(name))
    }

    /// Cargo of this toolchain, free of what the surrounding cargo put in the environment.
    pub(super) fn cargo(&self) -> Command {
        let mut cargo = match &self.kind {
            Kind::Debian => {
                let mut cargo = Command::new("/usr/bin/cargo");
                cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
            Kind::Rustup(name) => {
                let mut cargo = Command::new("rustup");
                cargo.args(["run", name, "cargo"]);
                cargo
            }
        };
        for foreign in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WORKSPACE_WRAPPER"] {
            cargo.env_remove(foreign);
        }
        cargo
    }
}

impl Kind {
    fn rustc(&self) -> Command {
        match self {
            Kind::Debian => Command::new("/usr/bin/rustc"),
            Kind::Rustup(name) => {
                let mut rustc = Command::new("rustup");
                rustc.args(["run", name, "rustc"]);
                rustc
            }
        }
    }
}

/// Names of rustup's nightlies, newest last name first.
fn nightlies() -> Vec<String> {
    let list = repo::output(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("nightly")).map(str::to_owned).collect();
    names.sort_by(|a, b| b.cmp(a));
    names
}

/// The folder of an LLVM that knows BPF objects of this version.
fn find_tools() -> Result<PathBuf> {
    let prefix = std::env::var_os("LLVM_PREFIX").map(|prefix| PathBuf::from(prefix).join("bin"));
    let debian = PathBuf::from(format!("/usr/lib/llvm-{LLVM}/bin"));
    let mut places = prefix.into_iter().chain([debian, PathBuf::new()]);
    let works = |place: &PathBuf| {
        let strip = Command::new(place.join("llvm-strip")).arg("--version").output();
        strip.is_ok_and(|output| output.status.success())
    };
    places.find(works).context("llvm-strip is missing; install it with `scripts/setup.sh bpf`, or set LLVM_PREFIX")
}
