//! A running agent: `hivewall run` in a host's namespace, from its start to its end.
//!
//! Its API is on the namespace's own loopback, so that any number of agents run at once. Invariant: it does not outlive
//! its value.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use hivewall_testkit::netns::Host;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::{PATIENCE, binary, tool, until};

/// Where every agent listens, in its own namespace.
pub const API: &str = "http://127.0.0.1:7733";

/// A running agent with its log and its messages.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    host: Host,
    directory: TempDir,
}

/// What an agent left behind.
#[derive(Debug)]
pub struct Left {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its messages about itself.
    pub messages: String,
    /// Where its log was; see [`Left::each`].
    log: PathBuf,
    /// Keeps the log.
    _directory: TempDir,
}

impl Left {
    /// Gives each event of its log to `take`, one at a time: a long log is larger in memory than on the disk.
    #[track_caller]
    pub fn each(&self, mut take: impl FnMut(Value)) {
        let Ok(file) = File::open(&self.log) else { return };
        for line in BufReader::new(file).lines() {
            let line = line.expect("the log can be read");
            take(serde_json::from_str(&line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}")));
        }
    }

    /// The flows of its log.
    #[track_caller]
    pub fn flows(&self) -> Vec<Value> {
        let mut flows = Vec::new();
        self.each(|event| flows.extend((event["event_type"] == "flow").then_some(event)));
        flows
    }
}

impl Agent {
    /// Starts it with a log of JSON lines and waits until it answers.
    pub fn start(host: &Host, args: &[&str]) -> Self {
        let directory = TempDir::new().expect("a directory for the log");
        let log = directory.path().join("eve.jsonl").display().to_string();
        // A log that holds everything and a queue that takes what a shutdown pours out at once.
        let mut all = vec!["--log-format", "jsonl", "--log-file", &log, "--log-rotate-size-mb", "0"];
        all.extend(["--log-buffer-size", "1000000"]);
        all.extend(args);
        Self::start_bare(host, directory, &all)
    }

    /// Starts it with these arguments alone.
    pub fn start_bare(host: &Host, directory: TempDir, args: &[&str]) -> Self {
        let messages = File::create(directory.path().join("messages")).expect("a file for the messages");
        let mut command = host.command(binary::path());
        // The usual place is the machine's own; several agents at once would quarrel over it.
        let usual = [
            ["--history-directory", ""],
            ["--policy-state", ""],
            ["--fleet-directory", ""],
            ["--alerts-directory", ""],
            ["--export-directory", ""],
            ["--api-directory", ""],
        ];
        let usual = usual.iter().filter(|[flag, _]| !args.contains(flag)).flatten();
        command
            .arg("run")
            .args(usual)
            .env("HIVEWALL_TOKEN_FILE", directory.path().join("token"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(messages);
        let child = command.spawn().expect("`ip netns exec` can be started");
        let mut agent = Self { child, host: host.clone(), directory };
        until("the agent's API", || {
            if let Ok(Some(status)) = agent.child.try_wait() {
                panic!("the agent ended with {status}: {}", agent.messages());
            }
            agent.get("/api/v1/health").map_err(|error| format!("{error}; {}", agent.messages()))
        });
        agent
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Where it runs.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What it has said about itself so far.
    pub fn messages(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("messages")).unwrap_or_default()
    }

    /// Runs a command of the product that speaks to it, with its token.
    #[track_caller]
    pub fn tell(&self, args: &[&str]) -> tool::Said {
        let mut command = self.host.command(binary::path());
        command.args(args).env("HIVEWALL_TOKEN_FILE", self.directory.path().join("token"));
        tool::run(command)
    }

    /// The file with the token that commands have to show.
    pub fn token_file(&self) -> PathBuf {
        self.directory.path().join("token")
    }

    /// Where its log is.
    pub fn log(&self) -> PathBuf {
        self.directory.path().join("eve.jsonl")
    }

    /// A page of its API.
    pub fn get(&self, path: &str) -> Result<String, String> {
        get(&self.host, path)
    }

    /// Everything it knows, by `hivewall snapshot`.
    #[track_caller]
    pub fn snapshot(&self) -> Value {
        serde_json::from_str(&tool::hivewall(&self.host, &["snapshot"]).fine()).expect("a snapshot is JSON")
    }

    /// Flows, by `hivewall flows -o json` with these filters.
    #[track_caller]
    pub fn flows(&self, filters: &[&str]) -> Vec<Value> {
        let text = tool::hivewall(&self.host, &[&["flows", "-o", "json", "--limit", "10000"], filters].concat()).fine();
        serde_json::from_str(&text).expect("flows are a JSON array")
    }

    /// Waits until its snapshot says that `what` holds; the snapshot. `look` says what is still wrong.
    #[track_caller]
    pub fn until(&self, what: &str, look: impl Fn(&Value) -> Result<(), String>) -> Value {
        until(what, || {
            let text = self.get("/api/v1/snapshot")?;
            let snapshot: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            look(&snapshot).map(|()| snapshot)
        })
    }

    /// Ends it as a service manager does, and reads what it left.
    #[track_caller]
    pub fn stop(mut self) -> Left {
        kill(self.pid(), Signal::SIGTERM).expect("the agent runs");
        let status = tool::wait(&mut self.child, PATIENCE);
        let status = status.unwrap_or_else(|| panic!("the agent did not stop: {}", self.messages()));
        let (messages, log) = (self.messages(), self.log());
        let directory = std::mem::replace(&mut self.directory, TempDir::new().expect("a directory"));
        Left { code: status.code(), messages, log, _directory: directory }
    }

    /// Ends it without a chance to clean up.
    pub fn kill(&mut self) {
        self.child.kill().expect("the agent runs");
        self.child.wait().expect("the agent can be waited for");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Fails when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A page of the agent in a host's namespace; the error says status and body, or why nobody answers.
pub fn get(host: &Host, path: &str) -> Result<String, String> {
    let ask = || {
        let configured = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        let agent: ureq::Agent = configured.build().into();
        let mut answer = agent.get(format!("{API}{path}")).call().map_err(|error| error.to_string())?;
        let body = answer.body_mut().with_config().limit(1 << 30).read_to_string();
        let body = body.map_err(|error| error.to_string())?;
        if answer.status().is_success() { Ok(body) } else { Err(format!("{}: {body}", answer.status())) }
    };
    host.enter(ask).map_err(|error| error.to_string())?
}
