//! Drift as it happens: nftables' own announcements wake the watcher and name the process; what announces nothing
//! (iptables-legacy) is looked at every so often.
//!
//! Invariant: the program that listens to announcements ends with the watch.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use super::drift::{Drift, compare};
use super::inventory::{Inventory, inventory};

/// Announcements that come in this time belong to one change: a transaction is told line by line.
const GATHER: Duration = Duration::from_millis(50);

/// Watches all packet filters.
#[derive(Debug)]
pub struct Watch {
    last: Inventory,
    monitor: Option<(Child, Receiver<String>)>,
}

impl Watch {
    /// Begins with what there is now. Without `nft` only the regular look remains.
    pub fn start() -> Self {
        // Listened to before the first look, so that no change falls between.
        let monitor = listen();
        Self { last: inventory(), monitor }
    }

    /// What the last look saw.
    pub fn last(&self) -> &Inventory {
        &self.last
    }

    /// Waits for an announcement, at most this long, and tells what has changed since the last look.
    pub fn wait(&mut self, at_most: Duration) -> Vec<Drift> {
        let mut processes: Vec<String> = Vec::new();
        match self.monitor.as_ref().map(|(_, announced)| announced) {
            Some(announced) => {
                let mut time = at_most;
                loop {
                    match announced.recv_timeout(time) {
                        Ok(process) if !processes.contains(&process) => processes.push(process),
                        Ok(_) => {}
                        Err(RecvTimeoutError::Timeout) => break,
                        Err(RecvTimeoutError::Disconnected) => {
                            self.monitor = None;
                            break;
                        }
                    }
                    time = GATHER;
                }
            }
            None => std::thread::park_timeout(at_most),
        }
        let now = inventory();
        let mut drift = compare(&self.last, &now);
        // With one process there is no question who it was; with more, each change could be any one's.
        if let [process] = processes.as_slice() {
            drift
                .iter_mut()
                .filter(|drift| drift.source != super::Source::IptablesLegacy)
                .for_each(|drift| drift.by = Some(process.clone()));
        }
        self.last = now;
        drift
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.monitor.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The processes that changed nftables, as `nft monitor` tells them: `# new generation 6 by process 4706 (nft)`.
fn listen() -> Option<(Child, Receiver<String>)> {
    let mut command = Command::new("nft");
    command.args(["monitor"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    crate::process::die_with_parent(&mut command);
    let mut child = command.spawn().ok()?;
    let stdout = child.stdout.take()?;
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let process = line.strip_prefix("# new generation ").and_then(|rest| rest.split_once(" by process "));
            if let Some((_, process)) = process
                && send.send(process.to_owned()).is_err()
            {
                return;
            }
        }
    });
    Some((child, receive))
}
