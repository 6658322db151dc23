//! The probes against the running kernel: as root, without privilege, and what they leave behind. Needs root.
//!
//! One test only, so that nothing else in this process opens descriptors meanwhile.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use hivewall_host::probe::{KernelVersion, Probe, kernel_version, probe_kernel};
use hivewall_testkit::netns::Lab;
use hivewall_testkit::require_root;

/// Answers that follow from the kernel's version where there is privilege; the others depend on its configuration.
const FEATURES: [&str; 9] = [
    "bpf-program",
    "tcx",
    "clsact",
    "mmapable-array",
    "prog-test-run",
    "af-packet",
    "sk-storage",
    "tp-btf",
    "bpf-stats",
];

fn find<'a>(all: &'a [Probe], name: &str) -> &'a Probe {
    all.iter().find(|probe| probe.name == name).unwrap_or_else(|| panic!("no probe {name}"))
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn features_are_there_unless_the_kernel_is_older_than_they_are_and_nothing_stays() {
    require_root!();
    let lab = Lab::new("probe").unwrap();
    let host = lab.host("a").unwrap();
    let before = descriptors();
    let all = host.enter(probe_kernel).unwrap();
    assert_eq!(descriptors(), before, "descriptors");
    for name in FEATURES {
        let probe = find(&all, name);
        let old = kernel_version() < KernelVersion::parse(probe.since);
        assert!(probe.ok || old, "{probe:#?} on {:?}", kernel_version());
    }
    for probe in &all {
        println!("{:15} {:5} {} ({}, since {})", probe.name, probe.ok, probe.detail, probe.needed_for, probe.since);
        assert!(!probe.detail.is_empty(), "{probe:?}");
    }
    assert!(["capabilities", "netlink", "sock-diag"].iter().all(|name| find(&all, name).ok));
    let qdiscs = host.command("tc").args(["qdisc", "show"]).output().unwrap();
    assert!(
        !String::from_utf8(qdiscs.stdout).unwrap().contains("clsact"),
        "the namespace's own loopback was left alone"
    );

    // The same in a thread that has dropped its privileges.
    let all = host.enter(|| {
        drop_privileges();
        probe_kernel()
    });
    let all = all.unwrap();
    for name in FEATURES.iter().filter(|name| **name != "clsact").chain(&["capabilities", "fexit"]) {
        assert!(!find(&all, name).ok, "{name} without privilege");
    }
    let told = &find(&all, "capabilities").detail;
    assert!(told.contains("CAP_BPF") && told.contains("setcap"), "{told}");
    assert!(find(&all, "af-packet").detail.contains("CAP_NET_RAW"));
    for name in ["netlink", "sock-diag"] {
        assert!(find(&all, name).ok, "{name} is for anyone");
    }
}

/// Makes the calling thread alone an ordinary user (the raw call is per thread; the C library's is per process).
fn drop_privileges() {
    const NOBODY: libc::c_long = 65_534;
    // SAFETY: setresuid takes three numbers and touches no memory.
    let status = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
}
