//! Processes that use sockets, and what the watch tells of them.
//!
//! Every process is forked inside of a host of the lab and says what it did through a pipe, so that a test knows the truth.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use hivewall_host::process::ProcessTable;
use hivewall_host::sockets::{SocketWatch, SocketWatchOptions};
use hivewall_model::{SocketChange, SocketEvent};
use hivewall_testkit::netns::{Host, Lab};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe};

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two hosts and a link, with addresses that no other test process uses.
pub(crate) struct Stage {
    pub(crate) a: Host,
    pub(crate) b: Host,
    net: [u8; 2],
    _lab: Lab,
}

impl Stage {
    pub(crate) fn new(name: &str) -> Self {
        let lab = Lab::new(name).unwrap();
        let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
        let [.., high, low] = std::process::id().to_be_bytes();
        let net = [high, low];
        let (a4, b4) = (format!("10.{high}.{low}.1/24"), format!("10.{high}.{low}.2/24"));
        let (a6, b6) = (format!("fd00:{high:x}:{low:x}::1/64"), format!("fd00:{high:x}:{low:x}::2/64"));
        lab.link(&a, "eth0", &b, "eth0").addresses(&[&a4, &a6], &[&b4, &b6]).up().unwrap();
        Self { a, b, net, _lab: lab }
    }

    /// Address of host 1 or 2.
    pub(crate) fn v4(&self, host: u8, port: u16) -> SocketAddr {
        let [high, low] = self.net;
        SocketAddr::from(([10, high, low, host], port))
    }

    /// Address of host 1 or 2.
    pub(crate) fn v6(&self, host: u16, port: u16) -> SocketAddr {
        let [high, low] = self.net.map(u16::from);
        SocketAddr::from(([0xfd00, high, low, 0, 0, 0, 0, host], port))
    }
}

/// A process of the test; killed when it is dropped.
pub(crate) struct Actor {
    pub(crate) pid: u32,
    said: File,
}

impl Actor {
    /// Forks inside of a host. `work` may say things; the process ends with it.
    pub(crate) fn start(host: &Host, work: impl FnOnce(&mut Voice) + Send) -> Self {
        host.enter(|| Self::fork(work)).unwrap()
    }

    /// Forks right here.
    pub(crate) fn fork(work: impl FnOnce(&mut Voice)) -> Self {
        let (from, to) = pipe().unwrap();
        // SAFETY: the child uses sockets and its pipe, and ends without unwinding into the test's frames.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                drop(from);
                let mut voice = Voice(File::from(to));
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&mut voice)));
                // SAFETY: ends this process at once, which is what a forked copy of a test harness has to do.
                unsafe { libc_exit(i32::from(done.is_err())) }
            }
            ForkResult::Parent { child } => {
                drop::<OwnedFd>(to);
                Self { pid: child.as_raw() as u32, said: File::from(from) }
            }
        }
    }

    /// The next thing it says.
    pub(crate) fn hear(&mut self) -> u32 {
        let mut word = [0; 4];
        self.said.read_exact(&mut word).expect("the process ended without a word");
        u32::from_ne_bytes(word)
    }

    /// Waits for its end.
    pub(crate) fn join(mut self) {
        let mut rest = Vec::new();
        self.said.read_to_end(&mut rest).unwrap();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.pid as i32);
        let _ = kill(pid, Signal::SIGKILL);
        let _ = waitpid(pid, None);
    }
}

unsafe extern "C" {
    #[link_name = "_exit"]
    fn libc_exit(status: i32) -> !;
}

/// What a process says things with.
pub(crate) struct Voice(File);

impl Voice {
    /// One number; a few bytes, so that several processes may share a pipe.
    pub(crate) fn say(&mut self, word: u32) {
        self.0.write_all(&word.to_ne_bytes()).unwrap();
    }

    /// Several numbers in one piece.
    pub(crate) fn say_all(&mut self, words: &[u32]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.0.write_all(&bytes).unwrap();
    }

    /// For another process to speak through the same pipe.
    pub(crate) fn share(&self) -> Self {
        Self(self.0.try_clone().unwrap())
    }
}

/// The watch, and everything it has told.
pub(crate) struct Told {
    pub(crate) watch: SocketWatch,
    pub(crate) table: ProcessTable,
    pub(crate) events: Vec<SocketEvent>,
}

impl Told {
    pub(crate) fn open() -> Self {
        let watch = SocketWatch::open(&SocketWatchOptions::default()).unwrap();
        Self { watch, table: ProcessTable::new(), events: Vec::new() }
    }

    pub(crate) fn poll(&mut self) {
        self.watch.poll(&mut self.table, &mut self.events);
    }

    /// Polls until there is an event like this.
    pub(crate) fn expect(&mut self, what: &str, like: impl Fn(&SocketEvent) -> bool) -> SocketEvent {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.poll();
            if let Some(event) = self.events.iter().find(|event| like(event)) {
                return event.clone();
            }
            assert!(Instant::now() < deadline, "not told: {what}; told:\n{}", self.show());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Polls until a process is told with these ends.
    pub(crate) fn expect_use(&mut self, change: SocketChange, local: SocketAddr, remote: SocketAddr, pid: u32) {
        let like = |event: &SocketEvent| {
            let ends = event.ends;
            let process = event.process.as_ref().map_or(0, |process| process.pid);
            event.change == change && ends.local == local && ends.remote == remote && process == pid
        };
        self.expect(&format!("{change:?} {local} {remote} by {pid}"), like);
    }

    /// Who was last told for each pair of ends.
    pub(crate) fn owners(&self) -> HashMap<(SocketAddr, SocketAddr), u32> {
        let owned = self.events.iter().filter_map(|event| {
            let pid = event.process.as_ref()?.pid;
            Some(((event.ends.local, event.ends.remote), pid))
        });
        owned.collect()
    }

    fn show(&self) -> String {
        let own =
            self.events.iter().filter(|event| event.ends.local.ip().to_string().starts_with(['1', 'f', '0', ':']));
        let lines = own.map(|event| {
            let pid = event.process.as_ref().map_or(0, |process| process.pid);
            format!("  {:?} {} {} by {pid}", event.change, event.ends.local, event.ends.remote)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
