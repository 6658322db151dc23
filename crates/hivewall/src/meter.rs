//! What the agent's programs cost in the kernel, measured by a process of its own: the statistics take CAP_SYS_ADMIN, which
//! the agent does not keep.
//!
//! The process is our own binary, holds that one capability, reaches no file, and is told nothing. It writes a number a
//! line. Invariant: it ends with the agent, however that ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command as Process, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use clap::Command;
use hivewall_host::privileges::Capability;
use hivewall_host::process::die_with_parent;
use hivewall_host::system::ProgramCost;

use crate::sandbox::{Part, Places, Sandbox};

/// Its subcommand, which only the agent uses.
pub(crate) const NAME: &str = "measure-programs";

/// Its figures, as they come.
pub(crate) struct Meter(Receiver<f64>);

impl Meter {
    /// Starts the process; `None` where it could not measure either. To be called by the thread that lives as long as the
    /// agent.
    pub(crate) fn start(sandbox: &Sandbox) -> Option<Self> {
        if !Capability::SysAdmin.is_effective() {
            return None;
        }
        let mut process = Process::new("/proc/self/exe");
        process.arg(NAME).current_dir("/").env_clear();
        process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        die_with_parent(&mut process);
        let started = process.spawn().map(|mut child| child.stdout.take());
        let output =
            started.inspect_err(|error| tracing::warn!(%error, "what programs cost is not measured")).ok()??;
        let (send, figures) = channel();
        let read = move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.filter_map(|line| line.parse().ok()).try_for_each(|figure: f64| send.send(figure)).ok()
        };
        let thread = || std::thread::Builder::new().name("meter".to_owned()).spawn(read);
        sandbox.enter(Part::Log, thread).ok()?.ok()?;
        Some(Self(figures))
    }

    /// Nanoseconds a packet, where they were measured since the last call.
    pub(crate) fn ns_per_packet(&self) -> Option<f64> {
        self.0.try_iter().last()
    }
}

/// The command line of the process.
pub(crate) fn command() -> Command {
    Command::new(NAME).about("Measure what the agent's programs cost in the kernel").hide(true)
}

/// The process.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    for gap in Part::Meter.confinement(&Places::default()).here() {
        tracing::debug!(%gap, "not given up");
    }
    let mut cost = ProgramCost::new();
    let mut output = std::io::stdout().lock();
    loop {
        if let Some(figure) = cost.poll(Instant::now())?.and_then(|reading| reading.ns_per_packet()) {
            writeln!(output, "{figure}")?;
            output.flush()?;
        }
        std::thread::park_timeout(cost.due().saturating_duration_since(Instant::now()));
    }
}
