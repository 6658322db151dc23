//! What a confined thread can still do, tried: files within its places and not beyond, calls that are refused, and that
//! threads and programs which it starts have no more than it has. Needs no privilege.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use hivewall_host::privileges::{Calls, Confinement, Files, held};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

fn confinement(files: Option<Files>, calls: Calls) -> Confinement {
    Confinement { capabilities: Vec::new(), files, calls }
}

/// Two directories with a file each: one to write to, one not.
fn stage() -> (TempDir, TempDir) {
    let (within, beyond) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(within.path().join("file"), "within").unwrap();
    fs::write(beyond.path().join("file"), "beyond").unwrap();
    (within, beyond)
}

fn refused<T: std::fmt::Debug>(outcome: std::io::Result<T>) -> bool {
    outcome.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

#[test]
fn a_part_writes_within_its_places_and_nowhere_else() {
    let (within, beyond) = stage();
    let (inner, outer) = (within.path(), beyond.path());
    let files = Files { write: vec![inner.to_owned()], read: None, start: false };
    let work = || {
        fs::write(inner.join("new"), "x").unwrap();
        fs::rename(inner.join("new"), inner.join("newer")).unwrap();
        fs::create_dir(inner.join("folder")).unwrap();
        fs::rename(inner.join("newer"), inner.join("folder/newest")).unwrap();
        fs::remove_dir_all(inner.join("folder")).unwrap();
        assert!(refused(fs::write(outer.join("new"), "x")), "a file was made");
        assert!(refused(fs::write(outer.join("file"), "x")), "a file was written");
        assert!(refused(fs::remove_file(outer.join("file"))), "a file was removed");
        assert!(fs::rename(inner.join("file"), outer.join("moved")).is_err(), "a file was moved out");
        // Reading was not restricted.
        assert_eq!(fs::read_to_string(outer.join("file")).unwrap(), "beyond");
        assert!(Command::new("true").stdin(Stdio::inherit()).status().is_err(), "a program was started");
    };
    let ((), gaps) = confinement(Some(files), Calls::NoPrograms).around(work).unwrap();
    assert_eq!(gaps.iter().filter(|gap| gap.name == "landlock").count(), 0, "{gaps:?}");
}

#[test]
fn a_part_that_reads_its_places_reads_nothing_else_and_its_threads_neither() {
    let (within, beyond) = stage();
    let files = Files { write: Vec::new(), read: Some(vec![within.path().to_owned(), "/proc".into()]), start: false };
    let look = |directory: &Path| fs::read_to_string(directory.join("file"));
    let (seen, _) = confinement(Some(files), Calls::Working)
        .around(|| {
            // Of a thread that it starts.
            std::thread::scope(|scope| {
                scope.spawn(|| (look(within.path()), look(beyond.path()), held())).join().unwrap()
            })
        })
        .unwrap();
    assert_eq!(seen.0.unwrap(), "within");
    assert!(refused(seen.1));
    assert_eq!((seen.2.effective, seen.2.no_new_privs), (Some(0), Some(true)));
}

#[test]
fn a_program_that_is_started_has_no_more_than_who_started_it() {
    let (within, beyond) = stage();
    let files = Files { write: vec![within.path().to_owned(), "/dev/null".into()], read: None, start: true };
    let script = format!(
        "echo x > {0}/ours; echo x > {1}/theirs; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status",
        within.path().display(),
        beyond.path().display()
    );
    let run = || Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).output().unwrap();
    let (output, _) = confinement(Some(files), Calls::Ordinary).around(run).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n");
    assert!(within.path().join("ours").exists() && !beyond.path().join("theirs").exists());
}

#[test]
fn calls_that_change_the_machine_are_refused_and_threads_can_still_be_started() {
    let work = || {
        assert_eq!(unshare(CloneFlags::CLONE_NEWUSER), Err(Errno::EPERM));
        // As it refuses by itself whoever has no privilege, the filter's answer is told by a call that would do nothing.
        assert_eq!(unshare(CloneFlags::empty()), Err(Errno::EPERM));
        std::thread::spawn(|| 7).join().unwrap()
    };
    let (answer, gaps) = confinement(None, Calls::Ordinary).around(work).unwrap();
    assert_eq!(answer, 7);
    assert_eq!(gaps.iter().filter(|gap| gap.name == "seccomp").count(), 0, "{gaps:?}");
    let before = unshare(CloneFlags::empty());
    assert_eq!(before, Ok(()), "a thread that is not confined can call it");
}

#[test]
fn the_reader_has_memory_and_locks_and_no_file() {
    let work = || {
        let sum: u64 = (0..1_000_000_u64).collect::<Vec<_>>().iter().sum();
        let opened = fs::File::open("/dev/null").map(drop).map_err(|error| error.kind());
        (sum, opened, std::net::UdpSocket::bind("127.0.0.1:0").map(drop).map_err(|error| error.kind()))
    };
    let files = Files { read: Some(Vec::new()), ..Files::default() };
    let ((sum, opened, socket), _) = confinement(Some(files), Calls::Reading).around(work).unwrap();
    assert_eq!(sum, 499_999_500_000);
    assert_eq!((opened, socket), (Err(ErrorKind::PermissionDenied), Err(ErrorKind::PermissionDenied)));
}
