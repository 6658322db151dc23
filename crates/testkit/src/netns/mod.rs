//! Network namespaces for tests: hosts, veth links between them, and their counters.
//!
//! ```no_run
//! use hivewall_testkit::netns::{Lab, Offloads};
//! # fn main() -> Result<(), hivewall_testkit::netns::LabError> {
//! let lab = Lab::new("two")?;
//! let (a, b) = (lab.host("a")?, lab.host("b")?);
//! lab.link(&a, "eth0", &b, "eth0")
//!     .addresses(&["10.0.0.1/24", "fd00::1/64"], &["10.0.0.2/24", "fd00::2/64"])
//!     .offloads(Offloads::NONE)
//!     .up()?;
//! let before = b.counters("eth0")?;
//! a.enter(|| std::net::UdpSocket::bind("10.0.0.1:0")?.send_to(b"x", "10.0.0.2:9"))?.expect("sent");
//! assert_eq!((b.counters("eth0")? - before).rx_packets, 1);
//! # Ok(()) }
//! ```
//!
//! A link is silent until a test speaks: no link-local addresses, no duplicate address detection, no router
//! solicitations, no MLD, and neighbours are entered by hand instead of being asked for ([`Link::resolve_neighbours`]
//! turns ARP and neighbour discovery back on). It does not route, filter or shape. Invariant: every namespace is named
//! `hwt-<pid>-<n>-<lab>-<host>`; it, its interfaces and the processes in it are gone when the lab is dropped, and
//! those of a test process that was killed are gone after the next [`Lab::new`].

mod error;
mod kernel;
mod link;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::Sub;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use error::LabError;
pub use link::{Link, Offloads};

/// Where `ip netns` keeps the names.
const NAMES_DIR: &str = "/run/netns";
/// First part of every namespace's name.
const PREFIX: &str = "hwt-";
/// How long [`Lab::settle`] waits.
pub const SETTLE_MAX: Duration = Duration::from_secs(10);

/// Number of this process's next lab.
static NEXT_LAB: AtomicU32 = AtomicU32::new(0);

/// A set of hosts. Dropping it removes them.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
    hosts: Mutex<Vec<Host>>,
}

/// One network namespace. Clones name the same one; none of them keeps it alive.
#[derive(Clone, Debug)]
pub struct Host {
    name: Arc<str>,
    namespace: Arc<str>,
}

/// An interface's counters, as the kernel gives them: bytes with Ethernet header and without frame check sequence;
/// buffers that GSO or GRO has not split count as one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of `ip -s link`")]
pub struct Counters {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub multicast: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

impl Sub for Counters {
    type Output = Self;

    /// What was counted since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        Self {
            rx_packets: self.rx_packets - earlier.rx_packets,
            rx_bytes: self.rx_bytes - earlier.rx_bytes,
            rx_errors: self.rx_errors - earlier.rx_errors,
            rx_dropped: self.rx_dropped - earlier.rx_dropped,
            multicast: self.multicast - earlier.multicast,
            tx_packets: self.tx_packets - earlier.tx_packets,
            tx_bytes: self.tx_bytes - earlier.tx_bytes,
            tx_errors: self.tx_errors - earlier.tx_errors,
            tx_dropped: self.tx_dropped - earlier.tx_dropped,
        }
    }
}

impl Lab {
    /// An empty lab; also removes what killed test processes left behind. Needs root and `ip`.
    pub fn new(name: &str) -> Result<Self, LabError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        check_name(name)?;
        remove_stale();
        let number = NEXT_LAB.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{PREFIX}{}-{number}-{name}", std::process::id());
        Ok(Self { prefix, hosts: Mutex::default() })
    }

    /// A new host: its own namespace with loopback up and the kernel's own chatter turned off.
    pub fn host(&self, name: &str) -> Result<Host, LabError> {
        check_name(name)?;
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.iter().any(|host| &*host.name == name) {
            return Err(LabError::SameHost { name: name.to_owned() });
        }
        let namespace = format!("{}-{name}", self.prefix);
        kernel::run("ip", &["netns", "add", &namespace], None)?;
        let host = Host { name: name.into(), namespace: namespace.into() };
        // Entered before it is configured: what fails from here on is still removed with the lab.
        hosts.push(host.clone());
        host.enter(quiet)??;
        host.ip(&["link", "set", "lo", "up"])?;
        Ok(host)
    }

    /// A veth pair between two hosts, configured by the calls that follow and made by [`Link::up`].
    pub fn link<'a>(&self, a: &'a Host, a_interface: &'a str, b: &'a Host, b_interface: &'a str) -> Link<'a> {
        Link::new((a, a_interface), (b, b_interface))
    }

    /// Waits, at most [`SETTLE_MAX`], until every interface that is up has a carrier and no address is tentative.
    pub fn settle(&self) -> Result<(), LabError> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        hosts.iter().try_for_each(Host::settle)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in self.hosts.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            kernel::remove(&host.namespace);
        }
    }
}

impl Host {
    /// Its name in the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name that `ip netns` knows.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A command that will run in this namespace (with its own /sys, as `ip netns exec` gives it). The child's id is
    /// that of the program itself.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// Like [`Host::command`], with the caller's mounts: a BPF or cgroup file system under /sys stays visible and
    /// shared, and /sys/class/net shows the caller's interfaces.
    pub fn command_with_mounts(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={NAMES_DIR}/{}", self.namespace)).arg("--").arg(program);
        command
    }

    /// `ip` with these arguments in this namespace; what it printed.
    pub fn ip(&self, args: &[&str]) -> Result<String, LabError> {
        kernel::run("ip", &[&["-n", &*self.namespace], args].concat(), None)
    }

    /// Many `ip` commands, one a line, by one process.
    pub fn ip_batch(&self, lines: &str) -> Result<String, LabError> {
        kernel::run("ip", &["-n", &self.namespace, "-batch", "-"], Some(lines))
    }

    /// Runs `work` on a fresh thread inside the namespace and waits for it. Sockets made there stay in the namespace,
    /// and so do threads started there; /sys stays that of the caller. A panic goes on in the caller.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let namespace = self.open()?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| join(namespace).map(|()| work()));
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Like [`Host::enter`], without waiting.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T, LabError>>, LabError> {
        let namespace = self.open()?;
        Ok(std::thread::spawn(move || join(namespace).map(|()| work())))
    }

    /// An interface's counters now.
    pub fn counters(&self, interface: &str) -> Result<Counters, LabError> {
        let all = self.enter(kernel::read_counters)??;
        let found = all.into_iter().find(|(name, _)| name == interface);
        let missing = || LabError::NoInterface { host: self.name.to_string(), interface: interface.to_owned() };
        found.map(|(_, counters)| counters).ok_or_else(missing)
    }

    /// Sets a sysctl of this namespace, for example `net.ipv4.ip_forward`.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<(), LabError> {
        self.enter(|| kernel::write_sysctl(name, value))?
    }

    /// [`Lab::settle`] for this host alone.
    pub fn settle(&self) -> Result<(), LabError> {
        self.enter(|| {
            let start = Instant::now();
            loop {
                let Some(waiting_for) = kernel::unready()? else { return Ok(()) };
                let waited = start.elapsed();
                if waited > SETTLE_MAX {
                    let (host, namespace) = (self.name.to_string(), self.namespace.to_string());
                    return Err(LabError::NotSettled { host, namespace, waiting_for, waited });
                }
                // A pause between two looks, so that the kernel's own work gets the processor.
                std::thread::sleep(Duration::from_millis(1));
            }
        })?
    }

    fn open(&self) -> Result<File, LabError> {
        let path = format!("{NAMES_DIR}/{}", self.namespace);
        File::open(&path).map_err(|source| LabError::Io { what: format!("open {path}"), source })
    }
}

fn join(namespace: File) -> Result<(), LabError> {
    nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)
        .map_err(|errno| LabError::Io { what: "enter the namespace".to_owned(), source: errno.into() })
}

/// Turns off what the kernel would send by itself on interfaces yet to come, and gives tests more local ports.
fn quiet() -> Result<(), LabError> {
    for scope in ["all", "default"] {
        for (key, value) in [
            ("accept_dad", "0"),
            ("dad_transmits", "0"),
            ("accept_ra", "0"),
            ("autoconf", "0"),
            ("router_solicitations", "0"),
            // 1 is "none": without a link-local address there is nothing to announce and nobody to solicit from.
            ("addr_gen_mode", "1"),
        ] {
            kernel::write_sysctl(&format!("net.ipv6.conf.{scope}.{key}"), value)?;
        }
    }
    kernel::write_sysctl("net.ipv4.igmp_link_local_mcast_reports", "0")?;
    kernel::write_sysctl("net.ipv4.ip_local_port_range", "10000 65000")
}

/// Interface names have at most 15 bytes, and a namespace's name is a file name.
fn check_name(name: &str) -> Result<(), LabError> {
    let fits = (1..=15).contains(&name.len());
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if fits && plain { Ok(()) } else { Err(LabError::BadName { name: name.to_owned() }) }
}

/// Removes the namespaces of test processes that no longer exist.
fn remove_stale() {
    let Ok(names) = std::fs::read_dir(NAMES_DIR) else { return };
    for name in names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()) {
            kernel::remove(&name);
        }
    }
}
