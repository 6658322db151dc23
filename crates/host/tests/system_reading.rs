//! The reading of the host against the files and tools that tell the same, and the cost of kernel programs against runs
//! that the test starts itself. Needs root for the latter.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use hivewall_host::system::{ProgramCost, SystemProbe};
use hivewall_testkit::require_root;

/// A number of /proc/meminfo, bytes.
fn meminfo(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

fn idle_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let ticks: f64 = stat.lines().next().unwrap().split_whitespace().nth(4).unwrap().parse().unwrap();
    ticks / 100.0
}

#[test]
fn a_reading_lies_between_what_proc_says_before_and_after_it() {
    let (idle, processes) = (idle_seconds(), Command::new("ps").args(["-e", "-o", "pid="]).output().unwrap().stdout);
    let reading = SystemProbe::new().unwrap().read().unwrap();
    assert!((idle..=idle_seconds()).contains(&reading.cpu.idle), "{idle} {:?}", reading.cpu);
    let online = Command::new("getconf").arg("_NPROCESSORS_ONLN").output().unwrap().stdout;
    assert_eq!(reading.cpus.to_string(), String::from_utf8(online).unwrap().trim());
    assert_eq!((reading.memory_bytes, reading.swap_bytes), (meminfo("MemTotal"), meminfo("SwapTotal")));
    assert!(reading.memory_available_bytes > 0 && reading.memory_available_bytes <= reading.memory_bytes);
    let uptime: f64 = fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((uptime - 10.0..=uptime).contains(&reading.uptime_seconds));
    // Busy hosts start and end processes between two looks.
    let shown = String::from_utf8(processes).unwrap().lines().count() as f64;
    assert!((reading.processes as f64 / shown - 1.0).abs() < 0.5, "{} {shown}", reading.processes);
    assert!(reading.load.iter().all(|load| (0.0..10_000.0).contains(load)));
}

#[test]
fn the_root_filesystem_is_as_df_has_it_and_its_disk_has_read_something() {
    let reading = SystemProbe::new().unwrap().read().unwrap();
    let df = Command::new("df").args(["-B1", "--output=source,fstype,size", "/"]).output().unwrap().stdout;
    let df = String::from_utf8(df).unwrap();
    let mut fields = df.lines().nth(1).unwrap().split_whitespace();
    let root = reading.filesystems.iter().find(|fs| fs.mount == "/").unwrap();
    assert_eq!(root.device, fields.next().unwrap());
    assert_eq!(root.kind, fields.next().unwrap());
    assert_eq!(root.size_bytes.to_string(), fields.next().unwrap());
    assert!(reading.disks.iter().any(|disk| disk.read_bytes > 0 && disk.busy_seconds > 0.0), "{:?}", reading.disks);
    for kind in ["proc", "sysfs", "cgroup2", "nfs", "devtmpfs"] {
        assert!(reading.filesystems.iter().all(|fs| fs.kind != kind));
    }
}

#[test]
fn connection_tracking_is_told_where_it_is_in_use() {
    let reading = SystemProbe::new().unwrap().read().unwrap();
    let limit = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max").ok();
    assert_eq!(reading.conntrack.map(|(_, limit)| limit.to_string()), limit.map(|text| text.trim().to_owned()));
}

#[test]
fn statistics_are_on_within_a_window_only_and_count_the_runs_of_our_programs() {
    use hivewall_datapath::HashSeed;
    use hivewall_host::ebpf::{Geometry, Loaded, Object};

    require_root!();
    let geometry = Geometry::new(64, 64).unwrap();
    let mut loaded = Loaded::load(Object::Agent, geometry, HashSeed { words: [1; 12], multiplier: 3 }).unwrap();
    let run = loaded.test_run("hivewall_in_eth").unwrap();
    let frame = [0_u8; 64];
    let mut cost = ProgramCost::with_times(Duration::from_millis(50), Duration::from_secs(60));
    assert!(!cost.held_on());
    let start = Instant::now();
    assert_eq!(cost.poll(start).unwrap(), None);
    assert!(cost.held_on());
    assert_eq!(cost.poll(start).unwrap(), None, "the window stays open for its time");
    run.run(&frame, None, 10_000).unwrap();
    let reading = cost.poll(cost.due()).unwrap().unwrap();
    assert!(!cost.held_on());
    // Other agents on this machine may run meanwhile, so ours is told by its number of runs.
    let ours = reading.programs.iter().find(|program| program.runs == 10_000 && program.name == "hivewall_in_eth");
    let ours = ours.unwrap_or_else(|| panic!("{reading:?}"));
    assert!(ours.time > Duration::ZERO);
    let ns = reading.ns_per_packet().unwrap();
    assert!(ns > 1.0 && ns < 100_000.0, "{ns}");
    assert_eq!(cost.latest(), Some(&reading));
    assert!(cost.due() > start + Duration::from_secs(59), "the next window is a period away");
    assert_eq!(cost.poll(start + Duration::from_secs(1)).unwrap(), None);
    assert!(!cost.held_on());
    println!("{ns:.1} ns a packet, statistics included");
}
