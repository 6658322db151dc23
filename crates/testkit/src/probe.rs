//! May this test run? A test that needs root fails without it, unless the person who started it said to skip.
//!
//! It does not probe kernel features; those belong beside what uses them. Invariant: a test that did not run never
//! passes silently: either it fails, or a line saying so reached the terminal past the test harness's capture.

use std::io::Write as _;

/// Set to `1` to let tests that need root be skipped, loudly, instead of failing.
pub const SKIP_VARIABLE: &str = "HIVEWALL_SKIP_ROOT_TESTS";

/// What a test that needs root should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootTest {
    /// Root it is: run.
    Run,
    /// Not root, and skipping was asked for.
    Skip,
    /// Not root, and nobody said that this is fine.
    Fail,
}

/// The rule by itself: who we are, and what [`SKIP_VARIABLE`] says.
pub fn decide(is_root: bool, skip: Option<&str>) -> RootTest {
    match (is_root, skip) {
        (true, _) => RootTest::Run,
        (false, Some("1")) => RootTest::Skip,
        (false, _) => RootTest::Fail,
    }
}

/// Whether the test `name` may run as root now. `false` means: return, the skip has been announced on standard error.
/// Panics (the test fails) where root is missing and [`SKIP_VARIABLE`] is not `1`.
#[must_use = "a skipped test has to return"]
pub fn may_run_as_root(name: &str) -> bool {
    let skip = std::env::var(SKIP_VARIABLE).ok();
    match decide(nix::unistd::geteuid().is_root(), skip.as_deref()) {
        RootTest::Run => true,
        RootTest::Skip => {
            // Not eprintln!: the harness would swallow it. A failed write to stderr leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "SKIPPED, NOT PASSED: {name} needs root ({SKIP_VARIABLE}=1 is set)");
            false
        }
        RootTest::Fail => {
            panic!("{name} needs root: run the tests with sudo, or set {SKIP_VARIABLE}=1 to skip those that need it")
        }
    }
}

/// First line of a test that needs root: fails without it, or returns after a loud line where skipping was asked for.
#[macro_export]
macro_rules! require_root {
    () => {
        if !$crate::probe::may_run_as_root(std::thread::current().name().unwrap_or(module_path!())) {
            return;
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_explicit_one_turns_a_failure_into_a_skip() {
        assert_eq!(decide(true, None), RootTest::Run);
        assert_eq!(decide(true, Some("1")), RootTest::Run);
        assert_eq!(decide(false, Some("1")), RootTest::Skip);
        for other in [None, Some(""), Some("0"), Some("true")] {
            assert_eq!(decide(false, other), RootTest::Fail);
        }
    }

    #[test]
    fn the_macro_lets_root_through_and_returns_only_after_an_announced_skip() {
        let mut ran = false;
        let mut body = || {
            require_root!();
            ran = true;
        };
        let asked = std::env::var(SKIP_VARIABLE).as_deref() == Ok("1");
        if nix::unistd::geteuid().is_root() || asked {
            body();
            assert_eq!(ran, nix::unistd::geteuid().is_root());
        } else {
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err());
        }
    }
}
