//! The files of `/proc/PID` that tell who a process is, and bounded reading in general.
//!
//! Invariant: nothing here blocks or grows with what it reads. A file has a limit, and only regular files are opened
//! where somebody else could have put a pipe in place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::privileges::Desk;

/// Most of a file of `/proc/PID` that is read. A status file has about 1.5 KiB, a cgroup file a line for each hierarchy.
const PROC_BYTES_MAX: u64 = 16 << 10;
/// Longest path of an executable, and of a cgroup, that is kept (PATH_MAX).
const PATH_BYTES_MAX: usize = 4096;

/// One look at a living process.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Look {
    /// Command name of the leader.
    pub(super) comm: Box<str>,
    /// Start of the leader in clock ticks since boot.
    pub(super) started_ticks: u64,
    /// Effective user id.
    pub(super) uid: u32,
    /// Path of the executable.
    pub(super) executable: Option<Box<str>>,
    /// The text of its cgroup file.
    pub(super) cgroups: String,
}

/// Command name and start of the process; `None` when there is none with this number.
pub(super) fn identity(pid: u32) -> Option<(Box<str>, u64)> {
    parse_stat(&read_proc(pid, "stat").ok()?)
}

/// Everything there is to know; `None` when the process is gone. The identity is read last as well as first, so that a
/// look never mixes two processes that had the same number.
pub(super) fn look(pid: u32) -> Option<Look> {
    Desk::Processes.run(move || look_here(pid))
}

fn look_here(pid: u32) -> Option<Look> {
    let (_, started_ticks) = identity(pid)?;
    let executable = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let uid = parse_uid(&read_proc(pid, "status").ok()?)?;
    let cgroups = read_proc(pid, "cgroup").unwrap_or_default();
    let (comm, again) = identity(pid)?;
    (again == started_ticks).then(|| Look {
        comm,
        started_ticks,
        uid,
        executable: executable.as_deref().and_then(Path::to_str).and_then(executable_path),
        cgroups,
    })
}

/// The kernel marks an executable whose file was replaced or removed since; the path stays the useful part.
fn executable_path(link: &str) -> Option<Box<str>> {
    let path = link.strip_suffix(" (deleted)").unwrap_or(link);
    (!path.is_empty() && path.len() <= PATH_BYTES_MAX).then(|| path.into())
}

fn read_proc(pid: u32, file: &str) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(2048);
    File::open(format!("/proc/{pid}/{file}"))?.take(PROC_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// proc_pid_stat(5): the name stands in parentheses and may hold any byte; the start is the 22nd field.
fn parse_stat(stat: &str) -> Option<(Box<str>, u64)> {
    let (head, rest) = stat.rsplit_once(") ")?;
    let (_, comm) = head.split_once(" (")?;
    let started = rest.split(' ').nth(19)?.parse().ok()?;
    Some((comm.into(), started))
}

/// proc_pid_status(5): real, effective, saved and file system user id.
fn parse_uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Reads a file of somebody else's making: no link at its end, no pipe or device, no more than `bytes_max`. A longer
/// one is an error, since half a document says nothing.
pub(super) fn read_state(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::with_capacity(meta.len().min(bytes_max) as usize);
    let read = file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if read as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than a state file may be"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1000 200 18446744073709551615";
        assert_eq!(parse_stat(stat), Some(("a) b (c".into(), 4242)));
        assert_eq!(parse_stat("7 (a) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn the_effective_user_is_read() {
        assert_eq!(parse_uid("Name:\tx\nUid:\t0\t1000\t0\t0\nGid:\t0\n"), Some(1000));
        assert_eq!(parse_uid("Name:\tx\n"), None);
    }

    #[test]
    fn a_look_at_ourselves_tells_what_the_standard_library_tells() {
        let me = look(std::process::id()).unwrap();
        assert_eq!(me.executable.as_deref(), std::env::current_exe().unwrap().to_str());
        assert_eq!(me.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(&*me.comm, fs::read_to_string("/proc/self/comm").unwrap().trim_end());
        assert!(look(u32::MAX).is_none());
    }

    #[test]
    fn an_executable_that_was_replaced_keeps_its_path() {
        assert_eq!(executable_path("/usr/bin/x (deleted)").as_deref(), Some("/usr/bin/x"));
        assert_eq!(executable_path(""), None);
    }

    #[test]
    fn a_state_file_that_is_long_linked_or_a_pipe_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link, pipe) = (dir.path().join("file"), dir.path().join("link"), dir.path().join("pipe"));
        fs::write(&file, [b'x'; 100]).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(read_state(&file, 100).unwrap().len(), 100);
        assert_eq!(read_state(&file, 99).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read_state(&link, 100).is_err());
        assert_eq!(read_state(&pipe, 100).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
