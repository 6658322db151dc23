//! Programs that run while something is measured: the agent, and iperf3's server. Both end with their owner.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hivewall_testkit::netns::Host;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};

use super::overhead::INTERFACE;

/// How long a program may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the agent's API listens, inside of its namespace.
const API: &str = "127.0.0.1:7733";
/// The gauge that says how many flows the agent holds.
const FLOWS: &str = "hivewall_flows_active";

/// A child that does not outlive its owner.
struct Owned(Child);

impl Owned {
    /// Asks it to end, and waits.
    fn end(mut self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.0.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("a program did not end within {} s", PATIENCE.as_secs())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Fails when it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running agent.
pub(super) struct Agent {
    child: Owned,
    host: Host,
}

impl Agent {
    /// Starts it on the host's interface and waits until it answers.
    pub(super) fn start(binary: &Path, host: &Host, log: &Path) -> Result<Self> {
        let mut command = host.command_with_mounts(binary);
        command.args(["run", "--interface", INTERFACE, "--log-format", "json", "--log-level", "warn", "--log-file"]);
        // Everything is on, the history as well, beside the log.
        let child = command
            .arg(log)
            .arg("--history-directory")
            .arg(log.with_extension("history"))
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the agent")?;
        let mut agent = Self { child: Owned(child), host: host.clone() };
        let deadline = Instant::now() + PATIENCE;
        while agent.get("/api/v1/health").is_err() {
            if let Some(status) = agent.child.0.try_wait()? {
                bail!("the agent ended: {status}");
            }
            ensure!(Instant::now() < deadline, "the agent's API did not answer within {} s", PATIENCE.as_secs());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(agent)
    }

    /// Ends it as a service manager would.
    pub(super) fn stop(self) -> Result<()> {
        self.child.end(Signal::SIGTERM)
    }

    /// Seconds of processor time so far, in user space and in the kernel on its behalf.
    pub(super) fn processor_seconds(&self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.0.id()))?;
        // Behind the name, which stands in brackets and may hold anything: state is field 3, utime 14, stime 15.
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
        let (user, system) = (ticks(11).context("no utime")?, ticks(12).context("no stime")?);
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock ticks")?;
        Ok((user + system) / per_second as f64)
    }

    /// Memory in use now, shared maps included.
    pub(super) fn resident_bytes(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.0.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kibibytes * 1024)
    }

    /// Flows it holds.
    pub(super) fn flows(&self) -> Result<u64> {
        let metrics = self.get("/metrics")?;
        let samples = metrics.lines().filter(|line| line.starts_with(FLOWS));
        let values: Vec<f64> = samples.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        ensure!(!values.is_empty(), "the agent has no metric {FLOWS}");
        Ok(values.iter().sum::<f64>() as u64)
    }

    fn get(&self, path: &str) -> Result<String> {
        let address: SocketAddr = API.parse()?;
        self.host.enter(|| -> Result<String> {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {API}\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            ensure!(answer.starts_with("HTTP/1.1 200"), "{path}: {}", answer.lines().next().unwrap_or("no answer"));
            Ok(answer)
        })?
    }
}

/// iperf3's server.
pub(super) struct Server(Owned);

impl Server {
    /// Starts it and waits until it takes connections.
    pub(super) fn start(host: &Host) -> Result<Self> {
        let mut command: Command = host.command("iperf3");
        command.arg("--server").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn();
        let server = Self(Owned(child.context("cannot start iperf3; is it installed?")?));
        let deadline = Instant::now() + PATIENCE;
        // Its control port is looked for in the kernel's table: a connection would count as a client.
        let listens = || fs::read_to_string("/proc/thread-self/net/tcp6").is_ok_and(|table| table.contains(":1451 "));
        while !host.enter(listens)? {
            ensure!(Instant::now() < deadline, "iperf3 does not listen on its port");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Ends it.
    pub(super) fn stop(self) -> Result<()> {
        self.0.end(Signal::SIGTERM)
    }
}
