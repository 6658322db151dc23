//! Which `hivewall` is tested: `HIVEWALL_BIN`, or the one of the tests' own target directory and profile.
//!
//! Cargo builds no other package's binary for a test, so it is built here, once a process, when Cargo runs the tests.
//! Invariant: under Cargo the binary is never older than the sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Names another binary, for tests that were copied to another machine or kernel.
pub const VARIABLE: &str = "HIVEWALL_BIN";

static BINARY: OnceLock<PathBuf> = OnceLock::new();

/// The binary's path.
pub fn path() -> &'static Path {
    BINARY.get_or_init(|| {
        let path = std::env::var_os(VARIABLE).map_or_else(beside, PathBuf::from);
        assert!(path.is_file(), "{} is not there: build it, or set {VARIABLE}", path.display());
        path
    })
}

/// `<target>/<profile>/hivewall`, the test being `<target>/<profile>/deps/<name>`.
fn beside() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows where it is");
    let profile = test.parent().and_then(Path::parent).expect("a test lies in <target>/<profile>/deps");
    if let Some(cargo) = std::env::var_os("CARGO") {
        let target = profile.parent().expect("a profile lies in the target directory");
        let name = profile.file_name().and_then(|name| name.to_str()).unwrap_or("debug");
        let name = if name == "debug" { "dev" } else { name };
        let mut build = Command::new(cargo);
        // As tests of the workspace are built: another choice of packages would be built anew for its features.
        build.args(["build", "--quiet", "--workspace", "--bins", "--tests", "--examples"]);
        build.args(["--profile", name, "--target-dir"]).arg(target);
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo can be started");
        assert!(built.status.success(), "hivewall cannot be built: {}", String::from_utf8_lossy(&built.stderr));
    }
    profile.join("hivewall")
}
