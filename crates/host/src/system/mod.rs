//! How busy the host is, and what the agent's own kernel programs cost.
//!
//! Counters are given as the kernel has them; rates are worked out by whoever compares two readings. Invariant: a reading
//! never waits for a disk or a server: filesystems are asked only where their kind keeps its numbers in memory.

mod cost;
mod filesystems;

use std::fs;
use std::io;

use hivewall_model::{CpuTimes, Disk, SystemReading};
use procfs::{Current as _, CurrentSI as _, DiskStats, KernelStats, LoadAverage, Meminfo, Uptime};

pub use cost::{CostReading, ProgramCost, ProgramRuns};
use filesystems::Mounts;

/// Disks told of.
const DISKS_MAX: usize = 256;
/// Bytes of a sector as `/proc/diskstats` counts them, whatever the disk's own are.
const SECTOR_BYTES: u64 = 512;
/// Block devices that are no disks: files, memory, and drives whose medium may be missing.
const NO_DISKS: [&str; 5] = ["loop", "ram", "zram", "sr", "fd"];
const CONNTRACK: &str = "/proc/sys/net/netfilter/nf_conntrack_";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// A file of /proc could not be read or was not understood.
    #[error("could not read {file}: {source}; is /proc mounted?")]
    Proc {
        /// Which one.
        file: &'static str,
        /// What procfs says.
        source: procfs::ProcError,
    },
    /// A system call failed.
    #[error("could not {doing}: {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel does not count what programs cost, or not for us.
    #[error("the kernel does not count the cost of its programs: {source}; that takes Linux 5.8 and CAP_SYS_ADMIN")]
    Statistics {
        /// What the loader says.
        source: aya::sys::SyscallError,
    },
    /// The loaded programs could not be listed.
    #[error("the loaded eBPF programs cannot be listed: {source}; that takes CAP_SYS_ADMIN")]
    Programs {
        /// What the loader says.
        source: aya::programs::ProgramError,
    },
}

/// Reads the host's load.
pub struct SystemProbe {
    mounts: Mounts,
}

impl SystemProbe {
    /// Opens what is kept open between readings.
    pub fn new() -> Result<Self, SystemError> {
        Ok(Self { mounts: Mounts::open()? })
    }

    /// One reading.
    pub fn read(&mut self) -> Result<SystemReading, SystemError> {
        let proc = |file| move |source| SystemError::Proc { file, source };
        let stat = KernelStats::current().map_err(proc("/proc/stat"))?;
        let load = LoadAverage::current().map_err(proc("/proc/loadavg"))?;
        let memory = Meminfo::current().map_err(proc("/proc/meminfo"))?;
        let uptime = Uptime::current().map_err(proc("/proc/uptime"))?;
        let disks = DiskStats::current().map_err(proc("/proc/diskstats"))?;
        Ok(SystemReading {
            cpus: stat.cpu_time.len() as u32,
            cpu: cpu_times(&stat.total),
            load: [load.one, load.five, load.fifteen].map(decimal),
            memory_bytes: memory.mem_total,
            // Kernels before 3.14 have no estimate; free memory is the floor of it.
            memory_available_bytes: memory.mem_available.unwrap_or(memory.mem_free),
            swap_bytes: memory.swap_total,
            swap_used_bytes: memory.swap_total.saturating_sub(memory.swap_free),
            disks: disks.0.iter().filter(|disk| is_disk(&disk.name)).take(DISKS_MAX).map(disk).collect(),
            filesystems: self.mounts.read()?,
            conntrack: conntrack(),
            processes: processes()?,
            uptime_seconds: uptime.uptime,
        })
    }
}

/// `user` holds what guests took already, which the kernel counts twice (proc_stat(5)).
fn cpu_times(cpu: &procfs::CpuTime) -> CpuTimes {
    let per_second = procfs::ticks_per_second().max(1) as f64;
    let seconds = |ticks: u64| ticks as f64 / per_second;
    let perhaps = |ticks: Option<u64>| seconds(ticks.unwrap_or(0));
    CpuTimes {
        user: seconds(cpu.user + cpu.nice),
        system: seconds(cpu.system),
        interrupt: perhaps(cpu.irq) + perhaps(cpu.softirq),
        steal: perhaps(cpu.steal),
        iowait: perhaps(cpu.iowait),
        idle: seconds(cpu.idle),
    }
}

/// The kernel gives two decimals, which a widened `f32` would not show as such.
fn decimal(load: f32) -> f64 {
    (f64::from(load) * 100.0).round() / 100.0
}

/// Whole devices have a directory of their own in /sys; a slash in a name (`cciss/c0d0`) is `!` there.
fn is_disk(name: &str) -> bool {
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
    !NO_DISKS.contains(&kind) && fs::exists(format!("/sys/block/{}", name.replace('/', "!"))).unwrap_or(false)
}

fn disk(stat: &procfs::DiskStat) -> Disk {
    Disk {
        name: stat.name.clone(),
        read_bytes: stat.sectors_read.saturating_mul(SECTOR_BYTES),
        written_bytes: stat.sectors_written.saturating_mul(SECTOR_BYTES),
        busy_seconds: stat.time_in_progress as f64 / 1000.0,
    }
}

/// The files are there while connection tracking is loaded, and tell of this network namespace.
fn conntrack() -> Option<(u64, u64)> {
    let number = |name| fs::read_to_string(format!("{CONNTRACK}{name}")).ok()?.trim().parse().ok();
    Some((number("count")?, number("max")?))
}

fn processes() -> Result<u64, SystemError> {
    let all = fs::read_dir("/proc").map_err(|source| SystemError::System { doing: "list /proc", source })?;
    let is_process = |name: &[u8]| name.first().is_some_and(u8::is_ascii_digit);
    Ok(all.flatten().filter(|entry| is_process(entry.file_name().as_encoded_bytes())).count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_not_counted_twice_and_interrupts_add_up() {
        let text = "cpu 100 20 30 400 5 6 7 8 90 2\ncpu0 100 20 30 400 5 6 7 8 90 2\nctxt 1\nbtime 1\nprocesses 1\n";
        let info = procfs::current_system_info();
        let stat = <KernelStats as procfs::FromReadSI>::from_read(text.as_bytes(), info).unwrap();
        let ticks = procfs::ticks_per_second() as f64;
        let times = cpu_times(&stat.total);
        let got = [times.user, times.system, times.interrupt, times.steal, times.iowait, times.idle].map(|s| s * ticks);
        assert_eq!(got.map(|ticks| ticks.round() as u64), [120, 30, 13, 8, 5, 400]);
    }

    #[test]
    fn loop_devices_and_partitions_are_no_disks() {
        assert!(!is_disk("loop0") && !is_disk("zram0") && !is_disk("no-such-disk"));
        let whole = fs::read_dir("/sys/block").unwrap().flatten().map(|e| e.file_name().into_string().unwrap());
        let disks: Vec<_> = whole.filter(|name| is_disk(name)).collect();
        assert!(!disks.is_empty(), "this machine has a disk");
        for disk in &disks {
            assert!(!is_disk(&format!("{disk}1")), "a partition of {disk}");
        }
    }

    #[test]
    fn a_load_keeps_its_two_decimals() {
        assert_eq!(decimal(0.07).to_string(), "0.07");
        assert_eq!(decimal(12.34).to_string(), "12.34");
    }
}
