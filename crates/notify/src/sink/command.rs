//! A program that is run for each message: JSON on its standard input, a few words in its environment, no shell.
//!
//! Invariants: one at a time; it has a process group of its own, and whatever is left of that is killed when the program
//! has ended or its time is over, before the next one starts.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hivewall_outbound::{Failure, Reason};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::error::ChannelError;
use crate::message::Message;
use crate::render::line;
use crate::sink::Sink;

/// What is kept of what it writes to standard error.
const STDERR_BYTES_MAX: u64 = 512;
/// What has left its process group may keep standard error open; it is not waited for longer than this.
const STDERR_WAIT: Duration = Duration::from_millis(200);
/// sysexits.h: "temporary failure, user is encouraged to retry".
const EX_TEMPFAIL: i32 = 75;

/// The program that a line names, if it can be run and nobody else can replace it.
pub(crate) fn program(rest: &str) -> Result<PathBuf, ChannelError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = PathBuf::from(percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned());
    let refused = |why| Err(ChannelError::Program { path: path.clone(), why });
    if !path.is_absolute() {
        return refused("write its whole path, such as command:/usr/local/bin/on-alert");
    }
    let Ok(metadata) = path.metadata() else { return refused("there is no such file") };
    let mode = metadata.permissions().mode();
    if !metadata.is_file() || mode & 0o111 == 0 {
        return refused("it is no program; `chmod 700` it");
    }
    if mode & 0o022 != 0 {
        return refused("others can change it; `chmod go-w` it");
    }
    Ok(path)
}

/// One program.
pub(crate) struct Command {
    path: PathBuf,
    timeout: Duration,
    /// Held while it runs.
    running: Mutex<()>,
}

impl Command {
    pub(crate) fn new(path: PathBuf, timeout: Duration) -> Self {
        Self { path, timeout, running: Mutex::new(()) }
    }

    fn start(&self, message: &Message) -> std::io::Result<Child> {
        let mut command = std::process::Command::new(&self.path);
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HIVEWALL_MESSAGE_ID", &message.id).env("HIVEWALL_SUBJECT", message.subject());
        command.env("HIVEWALL_HOST", line(&message.host)).env("HIVEWALL_SEVERITY", message.severity.name());
        command.env("HIVEWALL_TOTAL", message.total.to_string()).env("HIVEWALL_TEST", message.test.to_string());
        if let Some(listed) = message.alerts.first() {
            command.env("HIVEWALL_CHANGE", listed.change.name()).env("HIVEWALL_DETECTOR", line(&listed.alert.detector));
            command.env("HIVEWALL_ALERT_ID", line(&listed.alert.id));
            command.env("HIVEWALL_SOURCE", line(listed.alert.source.as_deref().unwrap_or_default()));
        }
        command.current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn()
    }
}

impl Sink for Command {
    fn deliver(&self, message: &Message) -> Result<(), Failure> {
        let _alone = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |what: &str| Failure::passing(Reason::Command, format!("{}: {what}", self.path.display()));
        let mut child = self.start(message).map_err(|error| failed(&format!("it cannot be started: {error}")))?;
        let body = message.json();
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read must not hold this thread; one that is killed ends the writing.
            thread::spawn(move || stdin.write_all(&body));
        }
        let said = child.stderr.take().map(|stderr| listen(stderr, STDERR_BYTES_MAX));
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
        let ended = wait_without_reaping(group).recv_timeout(self.timeout).is_ok();
        // The program is not reaped yet, so that the number of its group cannot be another's. None left is no error.
        let _ = killpg(group, Signal::SIGKILL);
        let status = child.wait().map_err(|error| failed(&error.to_string()))?;
        let said = said.and_then(|said| said.recv_timeout(STDERR_WAIT).ok()).unwrap_or_default();
        let said = if said.is_empty() { said } else { format!(": {said}") };
        if !ended {
            let text = format!("{}: killed after {:?}{said}", self.path.display(), self.timeout);
            return Err(Failure::passing(Reason::Command, text));
        }
        match status.code() {
            Some(0) => Ok(()),
            Some(EX_TEMPFAIL) => {
                Err(Failure::passing(Reason::Busy, format!("{}: asks to be run later{said}", self.path.display())))
            }
            _ => Err(failed(&format!("{status}{said}"))),
        }
    }
}

/// Says when a process has ended, and leaves it for its parent to reap.
fn wait_without_reaping(process: Pid) -> Receiver<()> {
    let (say, heard) = mpsc::channel();
    thread::spawn(move || {
        // It can only fail when there is no such child, which is an end as well.
        let _ = waitid(Id::Pid(process), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        let _ = say.send(());
    });
    heard
}

/// The beginning of what comes, as one line, when no more comes. All of it is read, so that the writer is not held up.
fn listen(mut stream: impl std::io::Read + Send + 'static, bytes_max: u64) -> Receiver<String> {
    let (say, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.by_ref().take(bytes_max).read_to_end(&mut bytes);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        let _ = say.send(line(String::from_utf8_lossy(&bytes).trim()));
    });
    heard
}
