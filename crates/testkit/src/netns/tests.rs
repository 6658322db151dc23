//! Labs made for real, as root: links carry, stay silent, count exactly, and leave nothing behind.
//!
//! Traffic generators have their own tests. Invariant: every namespace made here is removed here.

use std::net::UdpSocket;

use super::*;
use crate::require_root;

fn pair(lab: &Lab) -> (Host, Host) {
    (lab.host("a").unwrap(), lab.host("b").unwrap())
}

const A: &[&str] = &["10.0.0.1/24", "fd00::1/64"];
const B: &[&str] = &["10.0.0.2/24", "fd00::2/64"];

#[test]
fn a_link_carries_both_families_and_counts_every_packet() {
    require_root!();
    let lab = Lab::new("carry").unwrap();
    let (a, b) = pair(&lab);
    lab.link(&a, "eth0", &b, "eth1").addresses(A, B).up().unwrap();
    let before = (a.counters("eth0").unwrap(), b.counters("eth1").unwrap());
    assert_eq!(before, (Counters::default(), Counters::default()), "a new link is silent");
    let sinks = b.enter(|| ["10.0.0.2:9000", "[fd00::2]:9000"].map(|at| UdpSocket::bind(at).unwrap())).unwrap();
    a.enter(|| {
        UdpSocket::bind("10.0.0.1:0").unwrap().send_to(b"four", "10.0.0.2:9000").unwrap();
        UdpSocket::bind("[fd00::1]:0").unwrap().send_to(b"six", "[fd00::2]:9000").unwrap();
    })
    .unwrap();
    let mut buffer = [0; 16];
    for (sink, want) in sinks.iter().zip([&b"four"[..], b"six"]) {
        sink.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let len = sink.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], want);
    }
    let sent = a.counters("eth0").unwrap() - before.0;
    let got = b.counters("eth1").unwrap() - before.1;
    assert_eq!((sent.tx_packets, sent.tx_bytes, sent.rx_packets), (2, 14 + 28 + 4 + 14 + 48 + 3, 0));
    assert_eq!((got.rx_packets, got.rx_bytes, got.rx_dropped), (sent.tx_packets, sent.tx_bytes, 0));
}

#[test]
fn neighbours_can_be_resolved_as_in_life() {
    require_root!();
    let lab = Lab::new("resolve").unwrap();
    let (a, b) = pair(&lab);
    lab.link(&a, "eth0", &b, "eth0").addresses(A, B).resolve_neighbours().up().unwrap();
    let sink = b.enter(|| UdpSocket::bind("[fd00::2]:9000").unwrap()).unwrap();
    a.enter(|| UdpSocket::bind("[fd00::1]:0").unwrap().send_to(b"six", "[fd00::2]:9000").unwrap()).unwrap();
    sink.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(sink.recv(&mut [0; 16]).unwrap(), 3);
    assert!(b.counters("eth0").unwrap().rx_packets > 1, "solicitation and datagram");
}

#[test]
fn mtu_offloads_and_sysctls_are_what_was_asked_for() {
    require_root!();
    let lab = Lab::new("knobs").unwrap();
    let (a, b) = pair(&lab);
    lab.link(&a, "eth0", &b, "eth0").addresses(A, B).mtu(9000).offloads(Offloads::NONE).up().unwrap();
    assert!(a.ip(&["link", "show", "eth0"]).unwrap().contains("mtu 9000"));
    let features = a.command("ethtool").args(["-k", "eth0"]).output().unwrap();
    let features = String::from_utf8(features.stdout).unwrap();
    for feature in ["tcp-segmentation-offload", "generic-segmentation-offload", "generic-receive-offload"] {
        assert!(features.contains(&format!("{feature}: off")), "{features}");
    }
    b.sysctl("net.ipv4.ip_forward", "1").unwrap();
    let read = b.enter(|| std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap()).unwrap();
    assert_eq!(read.trim(), "1");
    lab.settle().unwrap();
}

#[test]
fn both_kinds_of_command_run_in_the_namespace() {
    require_root!();
    let lab = Lab::new("command").unwrap();
    let (a, b) = pair(&lab);
    lab.link(&a, "only-here", &b, "eth0").up().unwrap();
    for mut command in [a.command("ip"), a.command_with_mounts("ip")] {
        let output = command.args(["link", "show", "only-here"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn dropping_a_lab_removes_its_namespaces_and_what_runs_in_them() {
    require_root!();
    let lab = Lab::new("gone").unwrap();
    let a = lab.host("a").unwrap();
    let mut child = a.command("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
    let path = format!("{NAMES_DIR}/{}", a.namespace());
    assert!(std::path::Path::new(&path).exists());
    // The child enters the namespace only when `ip` has got that far.
    let deadline = Instant::now() + SETTLE_MAX;
    while !a.ip(&["netns", "pids", a.namespace()]).unwrap().contains(&child.id().to_string()) {
        assert!(Instant::now() < deadline, "the child never entered");
    }
    drop(lab);
    assert!(!std::path::Path::new(&path).exists());
    assert!(!child.wait().unwrap().success(), "killed with its namespace");
}

#[test]
fn what_a_killed_test_left_behind_is_removed_by_the_next_lab() {
    require_root!();
    // A process that has ended and been waited for: its id belongs to nobody.
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    let stale = format!("{PREFIX}{pid}-0-left-a");
    kernel::run("ip", &["netns", "add", &stale], None).unwrap();
    let lab = Lab::new("fresh").unwrap();
    assert!(!std::path::Path::new(&format!("{NAMES_DIR}/{stale}")).exists());
    drop(lab);
}

#[test]
fn mistakes_are_answered_with_what_to_do() {
    require_root!();
    let lab = Lab::new("wrong").unwrap();
    let a = lab.host("a").unwrap();
    let text = |error: LabError| error.to_string();
    assert!(text(lab.host("a").unwrap_err()).contains("give each host its own name"));
    assert!(text(lab.host("no spaces").unwrap_err()).contains("use 1 to 15 letters"));
    assert!(text(a.counters("eth9").unwrap_err()).contains("`a` has no interface `eth9`"));
    assert!(text(a.ip(&["link", "set", "eth9", "up"]).unwrap_err()).contains("Cannot find device"));
    assert!(text(a.sysctl("net.no.such", "1").unwrap_err()).contains("set net.no.such to 1"));
}

#[test]
fn a_panic_inside_a_namespace_reaches_the_test() {
    require_root!();
    let lab = Lab::new("panic").unwrap();
    let a = lab.host("a").unwrap();
    let entered = std::panic::AssertUnwindSafe(|| a.enter(|| panic!("inside")));
    assert_eq!(*std::panic::catch_unwind(entered).unwrap_err().downcast::<&str>().unwrap(), "inside");
}

#[test]
#[ignore = "listens for four seconds, longer than the kernel takes to repeat a multicast report"]
fn a_link_stays_silent() {
    require_root!();
    let lab = Lab::new("silent").unwrap();
    let (a, b) = pair(&lab);
    lab.link(&a, "eth0", &b, "eth0").addresses(A, B).up().unwrap();
    let heard = a.command("timeout").args(["4", "tcpdump", "-c1", "-ni", "eth0"]).output().unwrap();
    assert_eq!(heard.status.code(), Some(124), "{}", String::from_utf8_lossy(&heard.stdout));
    assert_eq!(a.counters("eth0").unwrap(), Counters::default());
}
