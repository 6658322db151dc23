//! Who is behind a socket: what the kernel told at socket time.
//!
//! Invariant: what the kernel told wins over what is read later.

use std::collections::HashMap;
use std::sync::Arc;

use hivewall_model::Process;

/// The owner of a socket, as a kernel program saw it at the moment it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct OwnerSeen {
    /// Process id (of the thread group) in the first PID namespace; 0 where it is not known.
    pub pid: u32,
    /// When it started, nanoseconds since boot; 0 where it is not known.
    pub started_ns: u64,
    /// Command name, ended by a zero byte.
    pub comm: [u8; 16],
    /// User id.
    pub uid: u32,
    /// Id of its cgroup (version 2); 0 where it is not known.
    pub cgroup_id: u64,
}

/// Processes seen so far.
#[derive(Debug, Default)]
pub struct ProcessTable {
    executables: HashMap<(u32, u64), Box<str>>,
}

impl ProcessTable {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The process behind what was seen.
    pub fn resolve(&mut self, seen: &OwnerSeen) -> Arc<Process> {
        let comm = seen.comm.split(|byte| *byte == 0).next().unwrap_or_default();
        Arc::new(Process {
            pid: seen.pid,
            started_ns: seen.started_ns,
            comm: String::from_utf8_lossy(comm).into(),
            executable: self.executables.get(&(seen.pid, seen.started_ns)).cloned(),
            uid: seen.uid,
            cgroup_id: seen.cgroup_id,
            ..Process::default()
        })
    }

    /// A process became another program.
    pub fn executed(&mut self, pid: u32, started_ns: u64, path: &str) {
        self.executables.insert((pid, started_ns), path.into());
    }
}
