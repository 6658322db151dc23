//! Running one program to its end, within a time.
//!
//! Invariant: no program that was started here outlives the call.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::RulesError;

/// How long one run of a packet filter program may take.
pub const TOOL_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of a program's complaint that are kept.
const STDERR_MAX: usize = 2000;

/// What a program printed.
pub(super) fn run(tool: &'static str, args: &[&str], input: Option<&str>) -> Result<String, RulesError> {
    run_within(tool, args, input, TOOL_TIME_MAX)
}

fn run_within(tool: &'static str, args: &[&str], input: Option<&str>, limit: Duration) -> Result<String, RulesError> {
    let failed = |source: io::Error| match source.kind() {
        // A directory of PATH that may not be searched makes a missing program look forbidden.
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            RulesError::Missing { tool, package: package(tool) }
        }
        _ => RulesError::Io { tool, source },
    };
    let mut command = Command::new(tool);
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C");
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().map_err(failed)?;
    let (pid, stdin) = (child.id(), child.stdin.take());
    let (ended, end) = mpsc::channel();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || ended.send(child.wait_with_output()));
        if let (Some(text), Some(mut stdin)) = (input, stdin) {
            // A program that stops reading has a complaint, which is told below.
            scope.spawn(move || stdin.write_all(text.as_bytes()));
        }
        end.recv_timeout(limit).inspect_err(|_| {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        })
    });
    let output = output.map_err(|_| RulesError::Late { tool, limit })?.map_err(failed)?;
    read(tool, &output)
}

fn read(tool: &'static str, output: &Output) -> Result<String, RulesError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if stderr.contains("Operation not permitted") || stderr.contains("you must be root") {
        return Err(RulesError::Privilege { tool });
    }
    stderr.truncate(stderr.floor_char_boundary(STDERR_MAX));
    Err(RulesError::Refused { tool, stderr })
}

fn package(tool: &str) -> &'static str {
    if tool == "nft" { "nftables" } else { "iptables" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_end_is_stopped() {
        let error = run_within("sleep", &["600"], None, Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, RulesError::Late { tool: "sleep", .. }), "{error}");
    }

    #[test]
    fn a_program_that_refuses_is_quoted_and_one_that_is_not_there_is_named() {
        let error = run("sh", &["-c", "echo line 3: no >&2; exit 1"], None).unwrap_err();
        assert_eq!(error.to_string(), "`sh` refused, and nothing was changed: line 3: no");
        let error = run("hivewall-no-such-program", &[], Some("x")).unwrap_err();
        assert!(error.to_string().starts_with("`hivewall-no-such-program` was not found"), "{error}");
    }

    #[test]
    fn what_is_given_is_read_and_what_is_printed_is_had() {
        let text = "x".repeat(1 << 20);
        assert_eq!(run("cat", &[], Some(&text)).unwrap(), text);
    }
}
