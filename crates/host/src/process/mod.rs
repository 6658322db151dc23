//! Who is behind a socket: what the kernel told at socket time, completed by `/proc`, the user table, the cgroup tree and
//! the state files of container runtimes.
//!
//! Not here: which socket or flow a process belongs to. Invariant: what the kernel told wins over what is read later. A
//! process that is gone, or whose number another one has by now, keeps what was told and is never given the other's
//! executable.

mod cgroup;
mod container;
mod read;
mod session;
mod state;
mod table;
mod users;

pub use cgroup::CgroupMount;
pub(crate) use cgroup::unescape;
pub use container::{Runtime, identify};
pub use session::{die_with_parent, leave_session};
pub use table::ProcessTable;

/// The owner of a socket, as a kernel program saw it at the moment it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct OwnerSeen {
    /// Process id (of the thread group) in the first PID namespace; 0 where it is not known.
    pub pid: u32,
    /// `start_boottime` of the thread group's leader, nanoseconds since boot; 0 where it is not known.
    pub started_ns: u64,
    /// Command name, ended by a zero byte; all zero where it is not known. That of a thread is fine.
    pub comm: [u8; 16],
    /// User id in the first user namespace.
    pub uid: u32,
    /// Id of its cgroup (version 2); 0 where it is not known.
    pub cgroup_id: u64,
}
