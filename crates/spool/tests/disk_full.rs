//! A disk without room: pushing goes on, what memory holds is written when there is room again, and what it does not hold
//! is counted. In a process whose files may not grow, which needs no privileges.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::process::Command;

use hivewall_spool::{Limits, MEMORY_BYTES_MAX, Spool, SpoolError};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const LIMITS: Limits = Limits { bytes_max: 256 << 20, items_max: 1_000_000 };

#[test]
fn a_full_disk_stops_nobody_and_what_memory_holds_is_written_later() {
    // The signal that comes with the limit would end the process; a shell can have it ignored by what it starts.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --ignored --exact child"])
        .arg(std::env::current_exe().unwrap())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

#[test]
#[ignore = "the process that the other test starts with a signal ignored"]
fn child() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.redb");
    let mut spool = Spool::open(&path, LIMITS).unwrap();
    let item = vec![7_u8; 64 << 10];
    spool.push(b"first").unwrap();
    spool.sync().unwrap();

    // As on a full disk, the file may not grow beyond what it has.
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    setrlimit(Resource::RLIMIT_FSIZE, size, hard).unwrap();
    let mut error = None;
    for _ in 0..64 {
        spool.push(&item).unwrap();
        error = spool.sync().err().or(error);
    }
    assert!(matches!(error, Some(SpoolError::Disk { .. })), "{error:?}");
    assert_eq!(spool.len(), 65, "memory holds what the disk does not");
    let beyond = MEMORY_BYTES_MAX as usize / item.len();
    for _ in 0..beyond {
        spool.push(&item).unwrap();
    }
    let counters = spool.counters();
    assert!(counters.lost_unwritten > 0 && counters.sync_failures > 0, "{counters:?}");
    assert_eq!(counters.pushed, counters.lost() + spool.len() as u64);

    assert_eq!(spool.peek(1).unwrap()[0].1, b"first", "what is on the disk can still be taken off it");

    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
    spool.sync().unwrap();
    let found = spool.peek(usize::MAX).unwrap();
    assert_eq!((found.len(), found[0].1.as_slice()), (spool.len(), b"first".as_slice()));
    assert!(found[1..].iter().all(|(_, found)| *found == item));
    let len = spool.len();
    drop(spool);
    assert_eq!(Spool::open(&path, LIMITS).unwrap().len(), len);
}
