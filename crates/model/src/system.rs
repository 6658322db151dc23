//! How busy the host is. Counters are since boot; shares and rates are worked out by whoever compares two readings.

/// CPU time by kind, seconds since boot, over all CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct CpuTimes {
    /// In programs (nice included).
    pub user: f64,
    /// In the kernel.
    pub system: f64,
    /// In interrupts, hard and soft.
    pub interrupt: f64,
    /// Taken by other virtual machines.
    pub steal: f64,
    /// Waiting for disks.
    pub iowait: f64,
    /// Doing nothing.
    pub idle: f64,
}

/// One disk (whole devices, no partitions).
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Disk {
    /// Name below `/dev`.
    pub name: String,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Seconds in which it had something to do.
    pub busy_seconds: f64,
}

/// One mounted filesystem that holds files (no proc, sysfs, cgroup and the like).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Filesystem {
    /// Where it is mounted.
    pub mount: String,
    /// What is mounted.
    pub device: String,
    /// Its kind (`ext4`, `xfs`, …).
    pub kind: String,
    /// Bytes it can hold.
    pub size_bytes: u64,
    /// Bytes that a user without privilege can still write.
    pub available_bytes: u64,
}

/// One reading.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SystemReading {
    /// CPUs that are online.
    pub cpus: u32,
    /// CPU time.
    pub cpu: CpuTimes,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes that programs could get without swapping.
    pub memory_available_bytes: u64,
    /// Bytes of swap.
    pub swap_bytes: u64,
    /// Bytes of swap in use.
    pub swap_used_bytes: u64,
    /// Disks.
    pub disks: Vec<Disk>,
    /// Filesystems.
    pub filesystems: Vec<Filesystem>,
    /// Entries in the connection tracking table, and most it can hold; `None` when it is not in use.
    pub conntrack: Option<(u64, u64)>,
    /// Processes that exist.
    pub processes: u64,
    /// Seconds since boot.
    pub uptime_seconds: f64,
}
