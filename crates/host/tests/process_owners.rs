//! Owners resolved against real processes in real cgroups. Needs root.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hivewall_host::process::{CgroupMount, OwnerSeen, ProcessTable};
use hivewall_testkit::require_root;

const ID: &str = "4f66ad9a0b2e1f2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef012345";

/// A process that waits, ended when dropped.
struct Waiting(Child);

impl Waiting {
    fn new(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn idle() -> Self {
        Self::new(Command::new("sleep").arg("60"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Gone already is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A cgroup of this test, removed when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    /// `name` is a path below the root of the tree; its first part is made unique.
    fn new(name: &str) -> Self {
        let root = CgroupMount::find().unwrap().expect("a cgroup2 tree").path;
        let path = root.join(format!("hwt-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn id(&self) -> u64 {
        fs::metadata(&self.0).unwrap().ino()
    }

    fn enter(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    fn below_root(&self) -> String {
        let root = CgroupMount::find().unwrap().unwrap().path;
        format!("/{}", self.0.strip_prefix(root).unwrap().display())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let root = CgroupMount::find().unwrap().unwrap().path;
        let mut path: &Path = &self.0;
        while path != root {
            let start = Instant::now();
            // Busy until the last process in it has been reaped.
            while fs::remove_dir(path).is_err() && path.exists() && start.elapsed() < Duration::from_secs(5) {
                std::thread::yield_now();
            }
            path = path.parent().unwrap();
        }
    }
}

/// Start of a process in nanoseconds, from the 22nd field of its stat file: hundredths of a second.
fn started_ns(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let ticks: u64 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    ticks * 10_000_000
}

fn seen(pid: u32, comm: &str) -> OwnerSeen {
    let mut bytes = [0; 16];
    bytes[..comm.len()].copy_from_slice(comm.as_bytes());
    OwnerSeen { pid, comm: bytes, ..OwnerSeen::default() }
}

/// Waits until the child has become the program that it was to become.
fn until_comm(pid: u32, comm: &str) {
    let start = Instant::now();
    while fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim() != comm {
        assert!(start.elapsed() < Duration::from_secs(10), "{pid} never became {comm}");
        std::thread::yield_now();
    }
}

fn exe(pid: u32) -> String {
    fs::read_link(format!("/proc/{pid}/exe")).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_living_owner_is_completed_from_proc_and_is_the_same_from_every_side() {
    require_root!();
    let child = Waiting::new(Command::new("sleep").arg("60").uid(65_534));
    until_comm(child.pid(), "sleep");
    let mut table = ProcessTable::new();
    let owner = OwnerSeen {
        started_ns: started_ns(child.pid()) + 1_234_567,
        uid: 65_534,
        cgroup_id: 1,
        ..seen(child.pid(), "sleep")
    };
    let process = table.resolve(&owner);
    assert_eq!((process.pid, &*process.comm, process.uid), (child.pid(), "sleep", 65_534));
    assert_eq!(process.executable.as_deref(), Some(&*exe(child.pid())));
    assert_eq!(process.user.as_deref(), Some("nobody"));
    assert_eq!(process.started_ns, started_ns(child.pid()));
    assert_eq!(process.cgroup.as_deref(), Some("/"), "1 is the root of the tree");
    assert!(Arc::ptr_eq(&process, &table.resolve(&owner)));
    assert!(Arc::ptr_eq(&process, &table.resolve(&OwnerSeen { started_ns: 0, ..owner })), "without a start");
    let found = table.of_pid(child.pid()).unwrap();
    assert_eq!(
        (found.pid, found.started_ns, &found.executable),
        (process.pid, process.started_ns, &process.executable)
    );
    assert_eq!(table.of_pid(1 << 23), None);
}

#[test]
fn a_process_gone_before_it_was_asked_for_keeps_what_was_told() {
    require_root!();
    let mut table = ProcessTable::new();
    let cgroup = Cgroup::new("gone");
    let pid = {
        let child = Waiting::idle();
        cgroup.enter(child.pid());
        table.executed(child.pid(), started_ns(child.pid()), "/usr/bin/sleep");
        child.pid()
    };
    let owner = OwnerSeen { uid: 0, cgroup_id: cgroup.id(), ..seen(pid, "sleep") };
    let process = table.resolve(&owner);
    assert_eq!((process.pid, &*process.comm, process.user.as_deref()), (pid, "sleep", Some("root")));
    assert_eq!(process.cgroup.as_deref(), Some(&*cgroup.below_root()), "by its id alone");
    assert_eq!(process.executable.as_deref(), Some("/usr/bin/sleep"), "from its exec, since the name agrees");
    let other = table.resolve(&OwnerSeen { cgroup_id: cgroup.id(), ..seen(pid, "curl") });
    assert_eq!(other.executable, None);
}

#[test]
fn a_number_given_again_is_another_process() {
    require_root!();
    let child = Waiting::idle();
    until_comm(child.pid(), "sleep");
    let mut table = ProcessTable::new();
    // One of the same number and name that started a minute before and is gone.
    let former = OwnerSeen { started_ns: started_ns(child.pid()) - 60_000_000_000, ..seen(child.pid(), "sleep") };
    let process = table.resolve(&former);
    assert_eq!(process.executable, None, "the living one's executable is not its");
    let now = table.resolve(&OwnerSeen { started_ns: started_ns(child.pid()), ..former });
    assert!(now.executable.is_some());
    assert_ne!(process, now);
    // Asked without a start, the number means the one that lives.
    assert!(Arc::ptr_eq(&now, &table.resolve(&seen(child.pid(), "sleep"))));
}

#[test]
fn a_thread_is_told_by_its_process_and_a_program_that_was_replaced_by_itself() {
    require_root!();
    let mut table = ProcessTable::new();
    let (pid, start) = (std::process::id(), started_ns(std::process::id()));
    let mine = fs::read_to_string("/proc/self/comm").unwrap();
    let owner = |comm: &str| OwnerSeen { started_ns: start, ..seen(pid, comm) };
    let process = table.resolve(&owner("worker-7"));
    assert_eq!(&*process.comm, mine.trim());
    assert!(Arc::ptr_eq(&process, &table.resolve(&owner("worker-8"))));
    // An event of the program that ran under this number before, read when its successor has started.
    table.executed(pid, start, "/usr/bin/launcher");
    let before = table.resolve(&owner("launcher"));
    assert_eq!((&*before.comm, before.executable.as_deref()), ("launcher", Some("/usr/bin/launcher")));
}

#[test]
fn a_container_is_told_by_its_cgroup_and_named_by_its_runtime() {
    require_root!();
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("var/lib/docker/containers").join(ID);
    fs::create_dir_all(&state).unwrap();
    fs::write(state.join("config.v2.json"), r#"{"Name":"/shop-web-1","ID":"x"}"#).unwrap();
    fs::create_dir_all(root.path().join("etc")).unwrap();
    fs::write(root.path().join("etc/passwd"), "root:x:0:0::/:/bin/sh\nshop:x:65534:1::/:/bin/sh\n").unwrap();

    let cgroup = Cgroup::new(&format!("x/docker/{ID}"));
    let child = Waiting::new(Command::new("sleep").arg("60").uid(65_534));
    cgroup.enter(child.pid());
    until_comm(child.pid(), "sleep");
    let mut table = ProcessTable::with_root(root.path());
    let process = table.of_pid(child.pid()).unwrap();
    assert_eq!((process.cgroup_id, process.cgroup.as_deref()), (cgroup.id(), Some(&*cgroup.below_root())));
    let container = process.container.clone().unwrap();
    assert_eq!((container.runtime, &*container.id, container.name.as_deref()), ("docker", ID, Some("shop-web-1")));
    assert_eq!(process.user.as_deref(), Some("shop"), "from the table below the root that was given");

    // One that is gone: by the cgroup's id alone.
    drop(child);
    let gone = table.resolve(&OwnerSeen { started_ns: 10_000_000, cgroup_id: cgroup.id(), ..seen(1 << 23, "curl") });
    assert_eq!(gone.container, process.container);
}
