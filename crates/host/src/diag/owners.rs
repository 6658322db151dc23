//! Who holds a socket: `/proc/PID/fd/N` is a link named `socket:[INODE]`.
//!
//! Invariant: a look reads at most [`LINKS_MAX`] links and follows none, so that a file on a dead network mount cannot
//! hold it up.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use nix::fcntl::readlinkat;

use crate::privileges::Desk;

/// Descriptors looked at in one go: some two seconds' work, far above what hosts have.
const LINKS_MAX: usize = 1 << 20;

/// The process id that holds each of these inodes, where one does, and whether every process was looked at.
/// And the processor time that it took of another thread.
pub(super) fn holders(inodes: &HashSet<u64>) -> ((HashMap<u64, u32>, bool), Duration) {
    let inodes = inodes.clone();
    Desk::Processes.timed(move || holders_here(&inodes))
}

fn holders_here(inodes: &HashSet<u64>) -> (HashMap<u64, u32>, bool) {
    let mut found = HashMap::with_capacity(inodes.len());
    let mut left = LINKS_MAX;
    if inodes.is_empty() {
        return (found, true);
    }
    let Ok(all) = fs::read_dir("/proc") else { return (found, false) };
    let mut pids: Vec<u32> = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // Process 1 holds the sockets that it will hand on to services.
    pids.sort_unstable_by_key(|pid| (*pid == 1, *pid));
    for pid in pids {
        if found.len() == inodes.len() {
            break;
        }
        if !scan(pid, inodes, &mut found, &mut left) {
            return (found, false);
        }
    }
    (found, true)
}

/// Looks at one process; `false` when the limit was reached. One that is gone or withheld holds nothing we can know of.
fn scan(pid: u32, inodes: &HashSet<u64>, found: &mut HashMap<u64, u32>, left: &mut usize) -> bool {
    let path = format!("/proc/{pid}/fd");
    // Links are read relative to the directory, which spares a look-up of the whole path for each.
    let (Ok(dir), Ok(names)) = (File::open(&path), fs::read_dir(&path)) else { return true };
    for entry in names.flatten() {
        let Some(rest) = left.checked_sub(1) else { return false };
        *left = rest;
        let Ok(link) = readlinkat(&dir, &*entry.file_name()) else { continue };
        if let Some(inode) = socket_inode(&link).filter(|inode| inodes.contains(inode)) {
            found.entry(inode).or_insert(pid);
        }
    }
    true
}

fn socket_inode(link: &OsStr) -> Option<u64> {
    let digits = link.as_bytes().strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_of_sockets_have_an_inode() {
        assert_eq!(socket_inode(OsStr::new("socket:[4294967299]")), Some(4_294_967_299));
        for other in ["pipe:[3]", "socket:[]", "socket:[3", "/tmp/socket:[3]", "anon_inode:[eventpoll]"] {
            assert_eq!(socket_inode(OsStr::new(other)), None, "{other}");
        }
    }
}
