//! Processes and containers, as far as a flow's owner is concerned.
//!
//! Not here: how they are found. Invariant: a value describes one run of one program; a process that calls exec becomes
//! another one.

/// The runtime that keeps a container, and what it calls it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Container {
    /// `docker`, `podman`, `containerd`, `cri-o`, `lxc`, `systemd-nspawn` or `kubepods`.
    pub runtime: &'static str,
    /// Its id, as the runtime's own commands take it.
    pub id: Box<str>,
    /// Its name, where the runtime tells.
    pub name: Option<Box<str>>,
}

/// A program at work. Cheap to share: flows hold it behind an `Arc`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Process {
    /// Process id (the thread group's) in the agent's own PID namespace.
    pub pid: u32,
    /// When it started, nanoseconds since boot; 0 where that is not known. Tells apart two that had the same pid.
    pub started_ns: u64,
    /// Command name, at most 15 bytes (`/proc/PID/comm`).
    pub comm: Box<str>,
    /// Path of the executable; `None` for kernel threads and what ended before it could be asked for.
    pub executable: Option<Box<str>>,
    /// User id.
    pub uid: u32,
    /// User name; `None` where the system's table has none.
    pub user: Option<Box<str>>,
    /// Id of the cgroup (version 2) it is in; 0 where it is not known.
    pub cgroup_id: u64,
    /// Path of that cgroup below the cgroup root.
    pub cgroup: Option<Box<str>>,
    /// The container it runs in.
    pub container: Option<Container>,
}
