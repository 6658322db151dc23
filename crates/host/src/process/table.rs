//! The processes that have been asked for, and how an owner is resolved.
//!
//! Invariant: at most [`PIDS_MAX`] process ids with [`RUNS_MAX`] answers each are kept; the ones longest unused go
//! first. Nothing is ever answered from a number alone: the start time, or what the kernel told, has to agree.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use hivewall_model::Process;

use super::OwnerSeen;
use super::cgroup::{Cgroups, unified};
use super::read::{Look, identity, look};
use super::state::Containers;
use super::users::Users;

/// Process ids remembered, the living and the gone together.
const PIDS_MAX: usize = 1 << 14;
/// Answers kept for one process id: programs it ran, names of its threads, users and cgroups it was.
const RUNS_MAX: usize = 16;
/// Longest path of an executable that is kept (PATH_MAX).
const PATH_BYTES_MAX: usize = 4096;
/// Bytes of a command name without its end (`TASK_COMM_LEN` − 1).
const COMM_LEN: usize = 15;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// What the kernel told apart from the number and the start.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Told {
    comm: [u8; 16],
    uid: u32,
    cgroup_id: u64,
}

/// What was told once, and the answer to it.
struct Run {
    told: Told,
    started_ticks: u64,
    process: Arc<Process>,
}

/// The latest exec of a process.
struct Executed {
    started_ticks: u64,
    path: Box<str>,
}

/// All that is known of one process id.
#[derive(Default)]
struct Entry {
    runs: Vec<Run>,
    executed: Option<Executed>,
    /// Since it was last considered for removal.
    is_used: bool,
}

/// Processes by what the kernel says of them. Reads `/proc` at first sight only.
pub struct ProcessTable {
    entries: HashMap<u32, Entry>,
    order: VecDeque<u32>,
    users: Users,
    cgroups: Cgroups,
    containers: Containers,
    /// Nanoseconds of a tick of `/proc/PID/stat`.
    tick_ns: u64,
}

impl Default for ProcessTable {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcessTable {
    /// For this host.
    pub fn new() -> Self {
        Self::with_root(Path::new("/"))
    }

    /// With the user table and the state of container runtimes below another root (where the agent is a container itself
    /// and the host's files are mounted there). `/proc` and the cgroup tree stay those of the agent.
    pub fn with_root(root: &Path) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            users: Users::new(root.join("etc/passwd")),
            cgroups: Cgroups::new(),
            containers: Containers::new(root.to_owned()),
            tick_ns: NS_PER_SECOND / procfs::ticks_per_second().max(1),
        }
    }

    /// Process ids remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The process behind a socket. Its `started_ns` is a multiple of the clock tick of `/proc` (10 ms), so that it is
    /// the same from whichever side the process was learned.
    pub fn resolve(&mut self, seen: &OwnerSeen) -> Arc<Process> {
        let told = Told { comm: seen.comm, uid: seen.uid, cgroup_id: seen.cgroup_id };
        let ticks = seen.started_ns / self.tick_ns;
        if let Some(process) = self.remembered(seen.pid, told, ticks) {
            return process;
        }
        // Process 0 is the idle task: the kernel acted on nobody's behalf.
        let found = (seen.pid != 0).then(|| look(seen.pid)).flatten();
        let found = found.filter(|found| ticks == 0 || found.started_ticks == ticks);
        let started_ticks = found.as_ref().map_or(ticks, |found| found.started_ticks);
        let process = self.complete(seen.pid, told, started_ticks, found.as_ref());
        self.keep(seen.pid, told, started_ticks, process)
    }

    /// An exec: the process is another program from now on. Whoever ends before it can be looked at keeps this path
    /// (of the script where it is one). `started_ns` as in [`OwnerSeen`].
    pub fn executed(&mut self, pid: u32, started_ns: u64, path: &str) {
        if path.is_empty() || path.len() > PATH_BYTES_MAX {
            return;
        }
        let started_ticks = started_ns / self.tick_ns;
        let entry = self.entry(pid);
        // An answer under the same command name is of the program before; under other names it stays right for events
        // that are still on their way.
        let comm = comm_of(path);
        entry.runs.retain(|run| *run.process.comm != *comm || run.process.executable.as_deref() == Some(path));
        entry.executed = Some(Executed { started_ticks, path: path.into() });
    }

    /// The process that has this number now.
    pub fn of_pid(&mut self, pid: u32) -> Option<Arc<Process>> {
        let found = look(pid)?;
        let mut comm = [0; 16];
        for (to, from) in comm.iter_mut().zip(found.comm.bytes().take(COMM_LEN)) {
            *to = from;
        }
        let cgroup_id = unified(&found.cgroups).map_or(0, |path| self.cgroups.id(path));
        let told = Told { comm, uid: found.uid, cgroup_id };
        let started_ticks = found.started_ticks;
        let process = self.complete(pid, told, started_ticks, Some(&found));
        Some(self.keep(pid, told, started_ticks, process))
    }

    /// A former answer to the same.
    fn remembered(&mut self, pid: u32, told: Told, ticks: u64) -> Option<Arc<Process>> {
        let entry = self.entries.get_mut(&pid)?;
        let fits = |run: &&Run| run.told == told && (ticks == 0 || run.started_ticks == ticks);
        let run = entry.runs.iter().rev().find(fits);
        if let Some(run) = run {
            // Without a start, the number may be somebody else's by now. One who is gone did not become another.
            let is_same = || identity(pid).is_none_or(|(_, started)| started == run.started_ticks);
            if ticks != 0 || pid == 0 || is_same() {
                entry.is_used = true;
                return Some(Arc::clone(&run.process));
            }
            return None;
        }
        // Another name only: a thread's, or another program since. The leader's name decides.
        let fits = |run: &&Run| {
            let (uid, cgroup_id) = (run.told.uid, run.told.cgroup_id);
            run.started_ticks == ticks && uid == told.uid && cgroup_id == told.cgroup_id
        };
        let run = entry.runs.iter().rev().find(fits).filter(|_| ticks != 0)?;
        let (comm, started) = identity(pid)?;
        let is_program = entry.executed.as_ref().is_some_and(|executed| *comm_of(&executed.path) == *text(&told.comm));
        if started != ticks || comm != run.process.comm || is_program {
            return None;
        }
        let process = Arc::clone(&run.process);
        Some(self.keep_shared(pid, told, ticks, process))
    }

    /// Puts together what was told, what was found and what is known of the surroundings.
    fn complete(&mut self, pid: u32, told: Told, started_ticks: u64, found: Option<&Look>) -> Process {
        let executed = self.entries.get(&pid).and_then(|entry| entry.executed.as_ref());
        let (comm, executable) = program(&told, started_ticks, executed, found);
        let cgroups = found.map_or("", |found| &*found.cgroups);
        let read = unified(cgroups);
        let cgroup_id = match (told.cgroup_id, read) {
            (0, Some(path)) => self.cgroups.id(path),
            (id, _) => id,
        };
        let cgroup = self.cgroups.path(told.cgroup_id).or_else(|| read.map(Into::into));
        // Hosts with cgroup version 1 have their containers in the other hierarchies.
        let others = cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
        let container = self.containers.of(cgroup.as_deref().into_iter().chain(others));
        Process {
            pid,
            started_ns: started_ticks.saturating_mul(self.tick_ns),
            comm,
            executable,
            uid: told.uid,
            user: self.users.name(told.uid),
            cgroup_id,
            cgroup,
            container,
        }
    }

    fn keep(&mut self, pid: u32, told: Told, started_ticks: u64, process: Process) -> Arc<Process> {
        let entry = self.entry(pid);
        let same = entry.runs.iter().find(|run| *run.process == process).map(|run| Arc::clone(&run.process));
        let process = same.unwrap_or_else(|| Arc::new(process));
        self.keep_shared(pid, told, started_ticks, process)
    }

    fn keep_shared(&mut self, pid: u32, told: Told, started_ticks: u64, process: Arc<Process>) -> Arc<Process> {
        let entry = self.entry(pid);
        entry.runs.retain(|run| run.told != told || run.started_ticks != started_ticks);
        if entry.runs.len() >= RUNS_MAX {
            entry.runs.remove(0);
        }
        entry.runs.push(Run { told, started_ticks, process: Arc::clone(&process) });
        process
    }

    /// The entry of a process id, made if need be.
    fn entry(&mut self, pid: u32) -> &mut Entry {
        if !self.entries.contains_key(&pid) {
            while self.entries.len() >= PIDS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                match self.entries.get_mut(&oldest) {
                    Some(entry) if entry.is_used => {
                        entry.is_used = false;
                        self.order.push_back(oldest);
                    }
                    _ => drop(self.entries.remove(&oldest)),
                }
            }
            self.order.push_back(pid);
        }
        self.entries.entry(pid).or_default()
    }
}

/// Name and executable of the program that was told of. What lives now is it, unless the name differs and an exec by
/// that name was seen: then another program has taken its place since.
fn program(
    told: &Told,
    started_ticks: u64,
    executed: Option<&Executed>,
    found: Option<&Look>,
) -> (Box<str>, Option<Box<str>>) {
    let comm = text(&told.comm);
    let is_by_name = |executed: &&Executed| *comm_of(&executed.path) == *comm;
    // Where one of the starts is not known, the name has to agree.
    let executed = executed.filter(|executed| match (executed.started_ticks, started_ticks) {
        (0, _) | (_, 0) => is_by_name(executed),
        (executed, asked) => executed == asked,
    });
    let path = |executed: &Executed| executed.path.clone();
    let Some(found) = found else { return (comm.into(), executed.map(path)) };
    if comm.is_empty() || *found.comm == *comm {
        return (found.comm.clone(), found.executable.clone().or_else(|| executed.map(path)));
    }
    match executed.filter(is_by_name) {
        Some(replaced) => (comm.into(), Some(path(replaced))),
        // A thread's name, or one that the process gave itself.
        None => (found.comm.clone(), found.executable.clone()),
    }
}

/// The text before the first zero byte; odd bytes are replaced.
fn text(comm: &[u8; 16]) -> String {
    let end = comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len());
    String::from_utf8_lossy(comm.get(..end).unwrap_or_default()).into_owned()
}

/// The command name that an exec of this path gives: its last part, cut.
fn comm_of(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    String::from_utf8_lossy(name.as_bytes().get(..COMM_LEN).unwrap_or(name.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pid: u32, started_ns: u64, comm: &str) -> OwnerSeen {
        let mut bytes = [0; 16];
        bytes[..comm.len()].copy_from_slice(comm.as_bytes());
        OwnerSeen { pid, started_ns, comm: bytes, uid: 4_000_000, cgroup_id: 0 }
    }

    /// Greater than any process id of Linux (`PID_MAX_LIMIT` is 2²²).
    const NOBODY: u32 = 1 << 23;

    #[test]
    fn who_is_gone_keeps_what_was_told_and_the_path_of_its_exec() {
        let mut table = ProcessTable::new();
        table.executed(NOBODY, 50_000_000, "/usr/bin/curl");
        let process = table.resolve(&seen(NOBODY, 57_000_000, "curl"));
        assert_eq!((process.pid, &*process.comm, process.uid), (NOBODY, "curl", 4_000_000));
        assert_eq!(process.executable.as_deref(), Some("/usr/bin/curl"));
        assert_eq!(process.started_ns, 50_000_000, "rounded down to a tick");
        // The same number later is somebody else, of whom no exec was seen.
        let other = table.resolve(&seen(NOBODY, 90_000_000, "curl"));
        assert_eq!((other.started_ns, other.executable.as_deref()), (90_000_000, None));
        assert_eq!(table.resolve(&seen(NOBODY, 57_000_000, "curl")), process);
    }

    #[test]
    fn the_same_owner_is_the_same_allocation() {
        let mut table = ProcessTable::new();
        let first = table.resolve(&seen(NOBODY, 10_000_000, "a"));
        assert!(Arc::ptr_eq(&first, &table.resolve(&seen(NOBODY, 10_000_000, "a"))));
        assert!(!Arc::ptr_eq(&first, &table.resolve(&seen(NOBODY, 10_000_000, "b"))));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn an_exec_under_the_same_name_is_another_program() {
        let mut table = ProcessTable::new();
        table.executed(NOBODY, 0, "/opt/one/run");
        let first = table.resolve(&seen(NOBODY, 10_000_000, "run"));
        table.executed(NOBODY, 0, "/opt/two/run");
        let second = table.resolve(&seen(NOBODY, 10_000_000, "run"));
        assert_eq!(first.executable.as_deref(), Some("/opt/one/run"));
        assert_eq!(second.executable.as_deref(), Some("/opt/two/run"));
    }

    #[test]
    fn the_table_is_bounded_and_what_is_in_use_stays() {
        let mut table = ProcessTable::new();
        let kept = table.resolve(&seen(NOBODY, 10_000_000, "kept"));
        for n in 1..(PIDS_MAX as u32 * 2) {
            table.executed(NOBODY + n, 0, "/bin/true");
            if n % 1000 == 0 {
                assert!(Arc::ptr_eq(&kept, &table.resolve(&seen(NOBODY, 10_000_000, "kept"))));
            }
        }
        assert_eq!(table.len(), PIDS_MAX);
        for n in 0..100_u32 {
            table.resolve(&seen(NOBODY, 10_000_000, &format!("t{n}")));
        }
        assert_eq!(table.entries[&NOBODY].runs.len(), RUNS_MAX);
        assert_eq!(table.order.len(), PIDS_MAX);
    }

    #[test]
    fn a_command_name_is_cut_as_the_kernel_cuts_it() {
        assert_eq!(comm_of("/usr/lib/systemd/systemd-journald-x"), "systemd-journal");
        assert_eq!(comm_of("sh"), "sh");
        assert_eq!(text(b"abc\0def\0\0\0\0\0\0\0\0\0"), "abc");
        assert_eq!(text(&[b'x'; 16]), "x".repeat(16));
        let _ = comm_of("/ünïcödé-ünïcödé");
    }
}
