//! How busy the host is, from one reading to the next; its sockets by state; what its kernel dropped.

use std::collections::BTreeMap;

use hivewall_model::{CpuTimes, Disk, KernelDrop, SocketCensus, SocketChange, SocketEvent, SocketState, SystemReading};
use hivewall_view::{
    ConntrackFill, DiskLoad, DropRow, FamilyCount, FilesystemFill, SocketSummary, SystemLoad, protocol_text,
};

/// Rows of drops in a snapshot; the rest is added up in one.
const DROPS_SHOWN: usize = 200;
/// The row of the rest.
const OTHER: &str = "(other)";

/// The latest reading and what it says compared with the one before.
#[derive(Default)]
pub(crate) struct System {
    latest: Option<(SystemReading, SystemLoad)>,
}

fn modes(cpu: &CpuTimes) -> [(&'static str, f64); 6] {
    [
        ("user", cpu.user),
        ("system", cpu.system),
        ("interrupt", cpu.interrupt),
        ("steal", cpu.steal),
        ("iowait", cpu.iowait),
        ("idle", cpu.idle),
    ]
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { ((part / whole).clamp(0.0, 1.0) * 1e4).round() / 1e4 } else { 0.0 }
}

fn millis(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

impl System {
    pub(crate) fn take(&mut self, reading: SystemReading) {
        let passed = self.latest.as_ref().map_or(0.0, |(before, _)| reading.uptime_seconds - before.uptime_seconds);
        if self.latest.is_some() && passed <= 0.0 {
            // The same moment again says nothing of how busy it was.
            return;
        }
        let before = self.latest.take().map(|(before, _)| before);
        let load = load(before.as_ref(), &reading, passed);
        self.latest = Some((reading, load));
    }

    pub(crate) fn view(&self) -> Option<SystemLoad> {
        self.latest.as_ref().map(|(_, load)| load.clone())
    }
}

fn load(before: Option<&SystemReading>, now: &SystemReading, passed: f64) -> SystemLoad {
    let old = modes(&before.map_or(now.cpu, |before| before.cpu));
    // Idle and waiting times may go back a little (proc(5)).
    let grown: Vec<(&str, f64)> =
        modes(&now.cpu).into_iter().zip(old).map(|((mode, new), (_, old))| (mode, (new - old).max(0.0))).collect();
    let all: f64 = grown.iter().map(|(_, time)| time).sum();
    let quiet: f64 = grown.iter().filter(|(mode, _)| matches!(*mode, "idle" | "iowait")).map(|(_, time)| time).sum();
    let disk = |disk: &Disk| {
        let old = before.and_then(|before| before.disks.iter().find(|old| old.name == disk.name)).unwrap_or(disk);
        let rate =
            |new: u64, old: u64| if passed > 0.0 { (new.saturating_sub(old) as f64 / passed).round() } else { 0.0 };
        DiskLoad {
            read_bytes_per_second: rate(disk.read_bytes, old.read_bytes),
            written_bytes_per_second: rate(disk.written_bytes, old.written_bytes),
            read_bytes: disk.read_bytes,
            written_bytes: disk.written_bytes,
            utilization: share(disk.busy_seconds - old.busy_seconds, passed),
        }
    };
    let filesystem = |fs: &hivewall_model::Filesystem| FilesystemFill {
        device: fs.device.clone(),
        kind: fs.kind.clone(),
        size_bytes: fs.size_bytes,
        available_bytes: fs.available_bytes,
    };
    SystemLoad {
        cpus: now.cpus,
        cpu_utilization: share(all - quiet, all),
        cpu_modes: grown.iter().map(|(mode, time)| ((*mode).to_owned(), share(*time, all))).collect(),
        cpu_seconds: modes(&now.cpu).into_iter().map(|(mode, time)| (mode.to_owned(), millis(time))).collect(),
        load_average: now.load.to_vec(),
        memory_bytes: now.memory_bytes,
        memory_available_bytes: now.memory_available_bytes,
        swap_bytes: now.swap_bytes,
        swap_used_bytes: now.swap_used_bytes,
        disks: now.disks.iter().map(|one| (one.name.clone(), disk(one))).collect(),
        filesystems: now.filesystems.iter().map(|fs| (fs.mount.clone(), filesystem(fs))).collect(),
        conntrack: now.conntrack.map(|(entries, limit)| ConntrackFill { entries, limit }),
        processes: now.processes,
        uptime_seconds: millis(now.uptime_seconds),
    }
}

/// Sockets by state, and how they changed.
#[derive(Default)]
pub(crate) struct SocketStates {
    census: SocketCensus,
    /// Twelve states by twelve at most.
    transitions: BTreeMap<(SocketState, SocketState), u64>,
    /// Segments sent again, over flows that were seen.
    pub(crate) retransmits: u64,
}

impl SocketStates {
    pub(crate) fn set(&mut self, census: SocketCensus) {
        self.census = census;
    }

    pub(crate) fn see(&mut self, event: &SocketEvent) {
        if let SocketChange::State { from, to } = event.change {
            *self.transitions.entry((from, to)).or_default() += 1;
        }
    }

    pub(crate) fn view(&self) -> SocketSummary {
        let count = |[ipv4, ipv6]: [u64; 2]| FamilyCount { ipv4, ipv6 };
        SocketSummary {
            tcp: self.census.tcp.iter().map(|(state, both)| (state.name().to_owned(), count(*both))).collect(),
            udp: count(self.census.udp),
            transitions: self
                .transitions
                .iter()
                .map(|((from, to), count)| (format!("{}>{}", from.name(), to.name()), *count))
                .collect(),
            retransmits: self.retransmits,
        }
    }
}

/// What the kernel dropped, most first.
pub(crate) fn drop_rows(drops: &[KernelDrop], interface: impl Fn(u32) -> String) -> Vec<DropRow> {
    let mut order: Vec<&KernelDrop> = drops.iter().filter(|drop| drop.packets > 0).collect();
    let key = |drop: &KernelDrop| (std::cmp::Reverse(drop.packets), drop.reason.clone(), drop.ifindex, drop.protocol);
    order.sort_by_key(|drop| key(drop));
    let rest = order.split_off(order.len().min(DROPS_SHOWN));
    let end = |at: std::net::SocketAddr| if at.port() == 0 { at.ip().to_string() } else { at.to_string() };
    let row = |drop: &KernelDrop| DropRow {
        reason: drop.reason.to_string(),
        interface: if drop.ifindex == 0 { String::new() } else { interface(drop.ifindex) },
        protocol: if drop.protocol == 0 { "other".to_owned() } else { protocol_text(drop.protocol) },
        packets: drop.packets,
        last_source: drop.latest.map(|(source, _)| end(source)),
        last_destination: drop.latest.map(|(_, destination)| end(destination)),
    };
    let left = (!rest.is_empty()).then(|| DropRow {
        reason: OTHER.to_owned(),
        protocol: "other".to_owned(),
        packets: rest.iter().map(|drop| drop.packets).sum(),
        ..DropRow::default()
    });
    order.into_iter().map(row).chain(left).collect()
}
