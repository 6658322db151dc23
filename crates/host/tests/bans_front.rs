//! Bans in the kernel's maps, and the front on real interfaces: what a banned source sends does not arrive. Needs root.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hivewall_datapath::HashSeed;
use hivewall_host::bans::{
    Ban, BanError, BanStore as _, Bans, FrontCounts, FrontError, FrontMode, KernelStore, List, Origin, Prefix, attach,
    replace_pinned,
};
use hivewall_host::ebpf::{Geometry, Loaded, Object};
use hivewall_host::link::Links;
use hivewall_model::{Interface, LinkLayer};
use hivewall_testkit::netns::{Host, Lab, Offloads};
use hivewall_testkit::packet::{bare, frame};
use hivewall_testkit::require_root;
use ipnet::IpNet;

const PATIENCE: Duration = Duration::from_secs(10);
/// `enum xdp_action` (linux/bpf.h).
const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;

fn load() -> Loaded {
    let seed = HashSeed { words: [7; 12], multiplier: 9 };
    Loaded::load(Object::Agent, Geometry::new(64, 64).unwrap(), seed).unwrap()
}

fn origin() -> Arc<Origin> {
    Arc::new(Origin { issuer: "test".to_owned(), reason: "because".to_owned() })
}

fn ban() -> Ban {
    Ban { until: None, origin: origin() }
}

fn bans(loaded: &mut Loaded) -> Bans<KernelStore> {
    Bans::open(KernelStore::of_object(loaded.ebpf()).unwrap(), &origin()).unwrap()
}

fn prefix(text: &str) -> Prefix {
    text.parse::<IpNet>().map_or_else(|_| text.parse::<IpAddr>().unwrap().into(), Prefix::from)
}

fn interface(host: &Host, name: &str) -> Interface {
    let all = host.enter(|| Links::open().unwrap().dump().unwrap()).unwrap();
    all.into_iter().find(|interface| interface.name == name).unwrap()
}

/// Sends from a source, then from one that is never banned; what arrives tells whether the first did.
fn arrives(a: &Host, b: &Host, from: &str, to: &str, marker: &str) -> bool {
    let to: SocketAddr = to.parse().unwrap();
    let socket = b.enter(|| UdpSocket::bind(to).unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    a.enter(|| {
        for (source, text) in [(from, b"first"), (marker, b"other")] {
            let source: IpAddr = source.parse().unwrap();
            UdpSocket::bind((source, 0)).unwrap().send_to(text, to).unwrap();
        }
    })
    .unwrap();
    let mut text = [0; 5];
    let (_, _) = socket.recv_from(&mut text).unwrap();
    if &text == b"other" {
        return false;
    }
    socket.recv_from(&mut text).unwrap();
    true
}

const A: &[&str] = &["10.0.0.1/24", "10.0.0.3/24", "10.0.0.9/24", "fd00::1/64", "fd00::3/64", "fd00::9/64"];
const B: &[&str] = &["10.0.0.2/24", "fd00::2/64"];

fn pair(lab: &Lab) -> (Host, Host) {
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    lab.link(&a, "eth0", &b, "eth0").addresses(A, B).offloads(Offloads::NONE).up().unwrap();
    (a, b)
}

#[test]
fn what_a_banned_source_sends_does_not_arrive_and_what_an_exempt_one_sends_does() {
    require_root!();
    let lab = Lab::new("front").unwrap();
    let (a, b) = pair(&lab);
    let mut loaded = load();
    let mut bans = bans(&mut loaded);
    for mode in [FrontMode::Native, FrontMode::Generic] {
        let eth0 = interface(&b, "eth0");
        let link = b.enter(|| attach(loaded.ebpf(), &eth0, mode)).unwrap().unwrap();
        let v4 = |from: &str| arrives(&a, &b, from, "10.0.0.2:9000", "10.0.0.9");
        let v6 = |from: &str| arrives(&a, &b, from, "[fd00::2]:9000", "fd00::9");
        assert!(v4("10.0.0.3") && v6("fd00::3"), "{mode:?}");
        let before = bans.counts();
        bans.add(prefix("10.0.0.3"), ban()).unwrap();
        bans.add(prefix("fd00::2:0/111"), ban()).unwrap();
        bans.add(prefix("fd00::3"), ban()).unwrap();
        assert!(!v4("10.0.0.3") && !v6("fd00::3") && v4("10.0.0.1") && v6("fd00::1"), "{mode:?}");
        let now = bans.counts();
        assert_eq!(now.dropped_packets - before.dropped_packets, 2);
        // Ethernet, IP, UDP, five bytes.
        assert_eq!(now.dropped_bytes - before.dropped_bytes, (14 + 20 + 8 + 5) + (14 + 40 + 8 + 5));
        bans.set_exempt([prefix("10.0.0.0/30"), prefix("fd00::3")]).unwrap();
        assert!(v4("10.0.0.3") && v6("fd00::3"), "{mode:?}");
        assert_eq!(bans.counts().exempt_packets - now.exempt_packets, 2);
        bans.set_exempt([]).unwrap();
        bans.observe(true);
        assert!(v4("10.0.0.3"));
        assert_eq!(bans.counts().observed_packets - now.observed_packets, 1);
        bans.observe(false);
        bans.sync([]);
        assert!(v4("10.0.0.3") && v6("fd00::3"), "{mode:?}");
        drop(link);
        assert!(b.enter(|| Links::open().unwrap().xdp_programs().unwrap()).unwrap().is_empty());
    }
}

#[test]
fn frames_are_read_through_tags_and_on_bare_links() {
    require_root!();
    let mut loaded = load();
    let mut bans = bans(&mut loaded);
    for text in ["10.1.0.0/16", "192.0.2.7", "2001:db8::/40", "fd00::7"] {
        bans.add(prefix(text), ban()).unwrap();
    }
    let (ethernet, ip) = (loaded.test_run("hivewall_front").unwrap(), loaded.test_run("hivewall_front_ip").unwrap());
    let on = |program: &hivewall_host::ebpf::TestRun, bytes: Vec<u8>| program.run(&bytes, None, 1).unwrap().value;
    for (source, want) in [("10.1.2.3", XDP_DROP), ("192.0.2.7", XDP_DROP), ("192.0.2.8", XDP_PASS), ("10.2.0.1", XDP_PASS)] {
        let plain = frame().ipv4(source, "10.0.0.2").udp(1, 2).build();
        let tagged = frame().vlan(5).ipv4(source, "10.0.0.2").tcp(1, 2).build();
        let twice = frame().service_vlan(7).vlan(5).ipv4(source, "10.0.0.2").udp(1, 2).build();
        for bytes in [plain, tagged, twice] {
            assert_eq!(on(&ethernet, bytes), want, "{source}");
        }
        assert_eq!(on(&ip, bare().ipv4(source, "10.0.0.2").udp(1, 2).build()), want, "{source}");
    }
    for (source, want) in [("2001:db8:ff::1", XDP_DROP), ("fd00::7", XDP_DROP), ("fd00::8", XDP_PASS), ("2001:db9::1", XDP_PASS)] {
        let plain = frame().ipv6(source, "fd00::2").hop_by_hop().udp(1, 2).build();
        let twice = frame().service_vlan(7).vlan(5).ipv6(source, "fd00::2").tcp(1, 2).build();
        for bytes in [plain, twice] {
            assert_eq!(on(&ethernet, bytes), want, "{source}");
        }
        assert_eq!(on(&ip, bare().ipv6(source, "fd00::2").udp(1, 2).build()), want, "{source}");
    }
    assert_eq!(on(&ethernet, frame().arp_request("10.1.2.3", "10.0.0.2").build()), XDP_PASS);
}

#[test]
fn another_program_on_the_hook_is_named() {
    require_root!();
    let lab = Lab::new("busy").unwrap();
    let (_a, b) = pair(&lab);
    let (mut first, mut second) = (load(), load());
    let eth0 = interface(&b, "eth0");
    let _link = b.enter(|| attach(first.ebpf(), &eth0, FrontMode::Native)).unwrap().unwrap();
    let error = b.enter(|| attach(second.ebpf(), &eth0, FrontMode::Native)).unwrap().unwrap_err();
    assert!(matches!(&error, FrontError::Busy { program, .. } if program.starts_with("hivewall_front, id ")), "{error}");
}

#[test]
fn a_pinned_front_outlives_its_maker_and_is_replaced_in_place() {
    require_root!();
    let lab = Lab::new("pinned").unwrap();
    let (a, b) = pair(&lab);
    let mount = Mount::new();
    let eth0 = interface(&b, "eth0");
    let place = mount.path().join("front-eth0");
    {
        let mut loaded = load();
        let mut bans = bans(&mut loaded);
        bans.add(prefix("10.0.0.3"), ban()).unwrap();
        bans.add(prefix("10.0.4.0/22"), ban()).unwrap();
        bans.store().pin(mount.path()).unwrap();
        let link = b.enter(|| attach(loaded.ebpf(), &eth0, FrontMode::Native)).unwrap().unwrap();
        link.pin(&place).unwrap();
    }
    let v4 = |from: &str| arrives(&a, &b, from, "10.0.0.2:9000", "10.0.0.9");
    assert!(!v4("10.0.0.3"));
    let mut again = Bans::open(KernelStore::of_pins(mount.path()).unwrap(), &origin()).unwrap();
    let found: Vec<String> = again.iter().map(|(prefix, _)| prefix.to_string()).collect();
    assert_eq!(found, ["10.0.0.3", "10.0.4.0/22"]);
    again.remove(prefix("10.0.0.3")).unwrap();
    assert!(v4("10.0.0.3"));
    // A newly loaded object has maps of its own here, without bans.
    again.add(prefix("10.0.0.3"), ban()).unwrap();
    let mut next = load();
    replace_pinned(next.ebpf(), &place, LinkLayer::Ethernet).unwrap();
    assert!(v4("10.0.0.3"));
    std::fs::remove_file(&place).unwrap();
}

/// A BPF file system of this test.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let done = std::process::Command::new("mount").args(["-t", "bpf", "bpf"]).arg(folder.path()).status().unwrap();
        assert!(done.success());
        Self(folder)
    }

    fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn one_prefix_beside_a_million_is_a_small_change() {
    require_root!();
    let mut loaded = load();
    let mut bans = bans(&mut loaded);
    let hosts = (0..1_000_000_u32).map(|n| Prefix::from(IpAddr::V4((0x1400_0000 + n * 37).into())));
    let start = Instant::now();
    let outcome = bans.add_all(hosts, &ban());
    eprintln!("a million in {:?}", start.elapsed());
    assert_eq!((outcome.added, outcome.refused.len()), (1_000_000, 0));
    let mut slowest = Vec::new();
    for text in ["9.0.0.1", "9.0.0.0/8", "9.1.0.0/16", "9.2.0.0/25", "2001:db8::/32", "2001:db8::1"] {
        let (start, prefix) = (Instant::now(), prefix(text));
        bans.add(prefix, ban()).unwrap();
        let added = start.elapsed();
        bans.remove(prefix).unwrap();
        slowest.push((text, added, start.elapsed().saturating_sub(added)));
    }
    eprintln!("{slowest:?}");
    // The limit is a millisecond; this machine may be busy, and rebuilding would take a thousand times as long.
    assert!(slowest.iter().all(|(_, added, removed)| *added.max(removed) < Duration::from_millis(100)), "{slowest:?}");
    // The rest of the table, and what is beyond it.
    let more = (0..60_000_u32).map(|n| Prefix::from(IpAddr::V4((0x6400_0000 + n).into())));
    let outcome = bans.add_all(more, &ban());
    assert_eq!((outcome.added, outcome.refused.len()), ((1 << 20) - 1_000_000, 1_060_000 - (1 << 20)));
    assert!(matches!(outcome.refused[0].1, BanError::Full { max: 1_048_576, .. }));
    assert!(matches!(bans.add(prefix("9.9.9.9"), ban()), Err(BanError::Full { .. })));
    assert_eq!(bans.store().list(List::Hosts).unwrap().len(), 1 << 20);
    assert_eq!(bans.counts(), FrontCounts::default());
}
