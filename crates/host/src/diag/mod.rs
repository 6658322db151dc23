//! This network namespace's sockets as the kernel has them, by sock_diag(7): counts by state, ends, owners, health of
//! TCP connections.
//!
//! A polled view: a socket that lives between two looks is not in it, which is why the kernel's own events are the
//! better source, and this one is for what existed before and for hosts without eBPF. Invariant: a list is complete or an
//! error, and a socket that cannot be read is an error too, never left out.

mod dump;
mod events;
mod message;
mod owners;
mod watch;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hivewall_model::{Process, SocketCensus, SocketEnds, SocketState, TcpHealth};

use crate::process::ProcessTable;
use dump::{Dump, List};

pub use events::socket_events;
pub use watch::{DiagWatch, Watched};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum DiagError {
    /// No socket, or it failed.
    #[error("could not {doing} for sock_diag: {source}; without it sockets are neither counted nor tied to processes")]
    Socket {
        /// What was tried.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel will not list these sockets.
    #[error("the kernel refused to list {what}: {source}; are its modules tcp_diag, udp_diag and inet_diag to be had?")]
    Refused {
        /// Which sockets.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// An answer that is not as documented.
    #[error("the kernel's list of {what} has {why}; please report this with `uname -r`")]
    Malformed {
        /// Which sockets.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// One socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiagSocket {
    /// Its ends; IPv4 where packets are, also when the socket is an IPv6 one.
    pub ends: SocketEnds,
    /// TCP state; for UDP [`SocketState::Established`] when connected, else [`SocketState::Close`].
    pub state: SocketState,
    /// Inode number, by which `/proc/PID/fd` names it; 0 when no process holds it.
    pub inode: u64,
    /// User id of its maker.
    pub uid: u32,
    /// The kernel's own number of it, never given twice.
    pub cookie: u64,
    /// How the connection fares; for TCP, where it was asked for.
    pub health: Option<TcpHealth>,
}

/// The netlink socket, and what is reused from one list to the next.
pub struct SocketDiag {
    dump: Dump,
    /// Looks for owners that ended at the limit of descriptors, since the start.
    cut_scans: u64,
    /// Processor time that the last look for owners took of another thread.
    worked_apart: Duration,
}

impl SocketDiag {
    /// Opens it, in the network namespace of the calling thread. Needs no privilege.
    pub fn open() -> Result<Self, DiagError> {
        Ok(Self { dump: Dump::open()?, cut_scans: 0, worked_apart: Duration::ZERO })
    }

    /// All TCP and UDP sockets, with the health of TCP connections.
    pub fn census(&mut self) -> Result<(SocketCensus, Vec<DiagSocket>), DiagError> {
        let mut sockets = Vec::new();
        self.list(true, &mut sockets)?;
        Ok((count(&sockets), sockets))
    }

    /// As [`SocketDiag::census`], into memory that is there already. Health makes a list several times as dear.
    pub fn list(&mut self, health: bool, sockets: &mut Vec<DiagSocket>) -> Result<(), DiagError> {
        sockets.clear();
        for list in List::ALL {
            self.dump.run(list, health, sockets)?;
        }
        Ok(())
    }

    /// Which processes hold these sockets, by one look through `/proc/*/fd`. Where several do, the one with the lowest
    /// number is meant (a server before the workers it forked), but process 1 last: it holds what it hands on.
    pub fn owners(&mut self, inodes: &HashSet<u64>, table: &mut ProcessTable) -> HashMap<u64, Arc<Process>> {
        let ((found, is_complete), apart) = owners::holders(inodes);
        self.worked_apart = apart;
        self.cut_scans += u64::from(!is_complete);
        let mut processes: HashMap<u32, Option<Arc<Process>>> = HashMap::new();
        let process_of = |(inode, pid): (u64, u32)| {
            let process = processes.entry(pid).or_insert_with(|| table.of_pid(pid)).clone();
            Some((inode, process?))
        };
        found.into_iter().filter_map(process_of).collect()
    }

    /// Looks through `/proc/*/fd` that were given up at a limit, since the start.
    pub fn cut_scans(&self) -> u64 {
        self.cut_scans
    }
}

/// Counts sockets by state and family.
fn count(sockets: &[DiagSocket]) -> SocketCensus {
    let mut tcp = SocketState::ALL.map(|state| (state, [0_u64; 2]));
    let mut udp = [0_u64; 2];
    for socket in sockets {
        // A socket that is bound to any address has no packets yet: it is of the family that it was made for.
        let [v4, v6] = if socket.ends.protocol == libc::IPPROTO_UDP as u8 {
            &mut udp
        } else {
            match tcp.iter_mut().find(|(state, _)| *state == socket.state) {
                Some((_, counts)) => counts,
                None => continue,
            }
        };
        *(if socket.ends.local.is_ipv4() { v4 } else { v6 }) += 1;
    }
    SocketCensus { tcp: tcp.into_iter().filter(|(_, counts)| *counts != [0, 0]).collect(), udp }
}
