//! Programs run to their end, bounded in time: the product's own commands and the kernel's tools.
//!
//! It interprets nothing. Invariant: a program that does not end is killed and the test fails.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hivewall_testkit::netns::Host;

use crate::binary;

/// Longest a program may take.
pub const RUN_MAX: Duration = Duration::from_secs(120);

/// How a program ended and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Its standard output, after success; panics with all it said otherwise.
    #[track_caller]
    pub fn fine(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.out
    }

    /// Holds it against the exit code and parts of the message it has to give, and nothing on standard output.
    #[track_caller]
    pub fn refused(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for part in parts {
            assert!(self.err.contains(part), "`{part}` is missing in: {self:#?}");
        }
        assert!(!self.err.contains("panicked"), "{self:#?}");
    }
}

/// Runs a command to its end, without input.
#[track_caller]
pub fn run(mut command: Command) -> Said {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let out = drain(child.stdout.take());
    let err = drain(child.stderr.take());
    let status = wait(&mut child, RUN_MAX).unwrap_or_else(|| panic!("{command:?} did not end within {RUN_MAX:?}"));
    let text = |thread: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&thread.join().unwrap_or_default()).into_owned()
    };
    Said { code: status.code(), out: text(out), err: text(err) }
}

fn drain(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            // A program that is killed ends its output as well.
            let _ = from.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Waits for a child; one that does not end in time is killed, and the answer is `None`.
pub fn wait(child: &mut Child, longest: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if start.elapsed() < longest => std::thread::park_timeout(Duration::from_millis(5)),
            _ => {
                // It may have ended in between.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// `hivewall` with these arguments in a host's namespace, to its end.
#[track_caller]
pub fn hivewall(host: &Host, args: &[&str]) -> Said {
    let mut command = host.command(binary::path());
    command.args(args);
    run(command)
}

/// A tool in a host's namespace; what it printed.
#[track_caller]
pub fn tool(host: &Host, name: &str, args: &[&str]) -> String {
    let mut command = host.command(name);
    command.args(args);
    run(command).fine()
}
