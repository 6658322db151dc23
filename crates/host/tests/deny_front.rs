//! What a policy denies at the front: independent of the bans it shares tables with, gone where it must be gone, and
//! nothing dropped that would pass where packets are judged. The tables in memory, and the kernel's (needs root).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::sync::Arc;

use hivewall_datapath::HashSeed;
use hivewall_datapath::front::{DENY_NETS_MAX, FrontVerdict};
use hivewall_datapath::policy::{Action, Connection, ConnectionKey, PolicyControl, PolicyWord, Verdict, VerdictCause};
use hivewall_host::bans::{Ban, BanError, BanStore as _, Bans, KernelStore, MemoryStore, Origin, Prefix};
use hivewall_host::ebpf::{Geometry, Loaded, Object, TestRun};
use hivewall_host::policy::{Hits, PolicyMaps};
use hivewall_testkit::packet::{bare, frame};
use hivewall_testkit::require_root;
use ipnet::IpNet;
use proptest::prelude::*;

/// `enum xdp_action` (linux/bpf.h).
const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;

fn prefix(text: &str) -> Prefix {
    text.parse::<IpNet>().map_or_else(|_| text.parse::<IpAddr>().unwrap().into(), Prefix::from)
}

fn denied(list: &[(&str, u16)]) -> Vec<(Prefix, u16)> {
    let mut list: Vec<(Prefix, u16)> = list.iter().map(|(text, counter)| (prefix(text), *counter)).collect();
    list.sort_unstable();
    list
}

fn origin() -> Arc<Origin> {
    Arc::new(Origin { issuer: "test".to_owned(), reason: "because".to_owned() })
}

fn ban() -> Ban {
    Ban { until: None, origin: origin() }
}

fn verdict(bans: &Bans<MemoryStore>, source: &str) -> FrontVerdict {
    let bytes = match source.parse().unwrap() {
        IpAddr::V4(_) => bare().ipv4(source, "10.0.0.2").udp(1, 2).build(),
        IpAddr::V6(_) => bare().ipv6(source, "fd00::2").udp(1, 2).build(),
    };
    bans.store().judge(&bytes, true)
}

/// The rule by which the front drops what comes from an address, 0 for a ban.
fn by(bans: &Bans<MemoryStore>, source: &str) -> Option<u32> {
    match verdict(bans, source) {
        FrontVerdict::Deny(counter, _) => Some(counter),
        FrontVerdict::Drop => Some(0),
        _ => None,
    }
}

#[test]
fn a_ban_and_a_denied_prefix_come_and_go_independently() {
    let mut bans = Bans::open(MemoryStore::default(), &origin()).unwrap();
    for (net, inside, beside) in [
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("192.0.2.0/25", "192.0.2.9", "192.0.2.200"),
        ("192.0.2.0/24", "192.0.2.9", "192.0.3.1"),
        ("192.0.0.0/16", "192.0.9.9", "192.1.0.1"),
        ("2001:db8::/48", "2001:db8::1", "2001:db8:1::1"),
        ("2001:db8::5", "2001:db8::5", "2001:db8::6"),
    ] {
        let list = denied(&[(net, 300)]);
        bans.deny(&list).unwrap();
        assert_eq!((by(&bans, inside), by(&bans, beside)), (Some(300), None), "{net}");
        bans.add(prefix(net), ban()).unwrap();
        assert_eq!(by(&bans, inside), Some(0), "{net} is banned as well");
        bans.remove(prefix(net)).unwrap();
        assert_eq!((by(&bans, inside), by(&bans, beside)), (Some(300), None), "the end of the ban of {net}");
        bans.add(prefix(net), ban()).unwrap();
        bans.deny(&[]).unwrap();
        assert_eq!((by(&bans, inside), by(&bans, beside)), (Some(0), None), "{net} is banned still");
        bans.remove(prefix(net)).unwrap();
        assert_eq!(by(&bans, inside), None, "{net}");
        assert_eq!(bans.store().flags(), 0);
    }
}

#[test]
fn exempt_sources_and_what_nobody_enforces_are_let_go_on() {
    let mut bans = Bans::open(MemoryStore::default(), &origin()).unwrap();
    bans.deny(&denied(&[("192.0.2.0/24", 300)])).unwrap();
    bans.set_exempt([prefix("192.0.2.128/25")]).unwrap();
    assert_eq!((by(&bans, "192.0.2.1"), by(&bans, "192.0.2.129")), (Some(300), None));
    let bytes = bare().ipv4("192.0.2.1", "10.0.0.2").udp(1, 2).build();
    assert_eq!(bans.store().judge(&bytes, false), FrontVerdict::Pass);
}

#[test]
fn what_comes_to_the_agents_own_port_is_let_go_on_unless_its_source_is_banned() {
    let mut bans = Bans::open(MemoryStore::default(), &origin()).unwrap();
    bans.deny(&denied(&[("192.0.2.0/24", 300), ("2001:db8::/48", 300)])).unwrap();
    bans.set_links_port(7734);
    let v4 = |port| bare().ipv4("192.0.2.1", "10.0.0.2").udp(9, port).build();
    let v6 = |port| bare().ipv6("2001:db8::1", "fd00::2").udp(9, port).build();
    let of = |bans: &Bans<MemoryStore>, bytes: &[u8]| bans.store().judge(bytes, true);
    assert_eq!((of(&bans, &v4(7734)), of(&bans, &v6(7734))), (FrontVerdict::Pass, FrontVerdict::Pass));
    assert!(matches!(of(&bans, &v4(7735)), FrontVerdict::Deny(300, _)));
    let tcp = bare().ipv4("192.0.2.1", "10.0.0.2").tcp(9, 7734).build();
    assert!(matches!(of(&bans, &tcp), FrontVerdict::Deny(300, _)));
    bans.add(prefix("192.0.2.1"), ban()).unwrap();
    assert_eq!(of(&bans, &v4(7734)), FrontVerdict::Drop);
}

#[test]
fn a_change_touches_what_changes_and_a_full_table_leaves_the_rest_to_the_rules() {
    let mut bans = Bans::open(MemoryStore::with_max(3), &origin()).unwrap();
    let done = bans.deny(&denied(&[("10.0.0.0/24", 300), ("10.0.1.0/24", 300)])).unwrap();
    assert!(done.entered == 2 && done.left.is_none());
    let done = bans.deny(&denied(&[("10.0.1.0/24", 301), ("10.0.2.0/24", 300), ("10.0.3.0/24", 300)])).unwrap();
    assert!(done.entered == 2 && done.left.is_none());
    assert_eq!(by(&bans, "10.0.0.1"), None);
    assert_eq!((by(&bans, "10.0.1.1"), by(&bans, "10.0.3.1")), (Some(301), Some(300)));
    let more = [("10.0.1.0/24", 301), ("10.0.2.0/24", 300), ("10.0.3.0/24", 300), ("10.0.4.0/24", 300)];
    let (left, why) = bans.deny(&denied(&more)).unwrap().left.unwrap();
    assert!(left == 1 && matches!(why, BanError::Full { max: 3, .. }), "{why}");
    assert_eq!((bans.denied_len(), by(&bans, "10.0.4.1")), (3, None));
    // Before another policy comes into force, only what both deny stays.
    bans.keep_denied(&denied(&[("10.0.2.0/24", 302), ("10.0.9.0/24", 302)])).unwrap();
    assert_eq!((bans.denied_len(), by(&bans, "10.0.2.1"), by(&bans, "10.0.9.1")), (1, Some(302), None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// In a small world of networks, after each of many changes by both owners.
    #[test]
    fn the_tables_say_what_both_sets_say(steps in prop::collection::vec((0_u8..4, any::<u32>(), 0_usize..8), 1..40)) {
        let mut bans = Bans::open(MemoryStore::default(), &origin()).unwrap();
        let (mut banned, mut wanted) = (Vec::<IpNet>::new(), Vec::<IpNet>::new());
        for (what, bits, len) in steps {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 | bits & 0x0003_0383);
            let len = [8, 15, 20, 23, 24, 25, 31, 32][len];
            let net = IpNet::new(address.into(), len).unwrap().trunc();
            match what {
                0 => { bans.add(net.into(), ban()).unwrap(); banned.push(net) }
                1 if !banned.is_empty() => {
                    let gone = banned.swap_remove(bits as usize % banned.len());
                    banned.retain(|one| *one != gone);
                    bans.remove(gone.into()).unwrap();
                }
                2 => wanted.push(net),
                _ if !wanted.is_empty() => drop(wanted.swap_remove(bits as usize % wanted.len())),
                _ => {}
            }
            let mut list: Vec<(Prefix, u16)> =
                wanted.iter().map(|net| (Prefix::from(*net), u16::from(net.prefix_len()) + 300)).collect();
            list.sort_unstable();
            list.dedup();
            bans.deny(&list).unwrap();
            for probe in [bits, bits.rotate_left(7), 0, 0x0003_0383] {
                let probe: IpAddr = std::net::Ipv4Addr::from(0x0a00_0000 | probe & 0x0003_0383).into();
                let longest = wanted.iter().filter(|net| net.contains(&probe)).map(IpNet::prefix_len).max();
                let meant = if banned.iter().any(|net| net.contains(&probe)) {
                    Some(0)
                } else {
                    longest.map(|len| u32::from(len) + 300)
                };
                prop_assert_eq!(by(&bans, &probe.to_string()), meant, "{}", probe);
            }
        }
        bans.sync([]);
        bans.deny(&[]).unwrap();
        prop_assert!((0..1 << 19).all(|index| bans.store().table(index) == 0));
    }
}

const COUNTER: u16 = 300;

/// The kernel's maps and the front's program.
struct Kernel {
    _loaded: Loaded,
    maps: PolicyMaps,
    bans: Bans<KernelStore>,
    program: TestRun,
}

impl Kernel {
    fn new() -> Self {
        let seed = HashSeed { words: [7; 12], multiplier: 9 };
        let mut loaded = Loaded::load(Object::Agent, Geometry::new(64, 64).unwrap(), seed).unwrap();
        let bans = Bans::open(KernelStore::of_object(loaded.ebpf()).unwrap(), &origin()).unwrap();
        let maps = PolicyMaps::of_object(loaded.ebpf()).unwrap();
        let program = loaded.test_run("hivewall_front").unwrap();
        Self { _loaded: loaded, maps, bans, program }
    }

    fn force(&mut self, flags: u32, fallback: u32, deadline: u64) {
        let (word, fallback) = (1 | flags, 1 | fallback);
        let control = PolicyControl { word, fallback, deadline, ticks_per_second: 1000, ..PolicyControl::default() };
        self.maps.set_control(control).unwrap();
    }

    fn on(&self, bytes: &[u8]) -> i32 {
        self.program.run(bytes, None, 1).unwrap().value
    }

    fn hits(&self) -> Hits {
        self.maps.hits_of(COUNTER.into()).unwrap()
    }
}

const IN_FORCE: u32 = PolicyWord::TABLES | PolicyWord::ENFORCE;

#[test]
fn the_kernel_drops_a_denied_source_counts_it_for_the_rule_and_stops_when_the_policy_does() {
    require_root!();
    let mut kernel = Kernel::new();
    kernel
        .bans
        .deny(&denied(&[("192.0.2.0/24", COUNTER), ("198.51.100.7", COUNTER), ("2001:db8::/40", COUNTER)]))
        .unwrap();
    let v4 = |source: &str| frame().ipv4(source, "10.0.0.2").udp(1, 2).build();
    let v6 = |source: &str| frame().vlan(5).ipv6(source, "fd00::2").tcp(1, 2).build();
    assert_eq!(kernel.on(&v4("192.0.2.1")), XDP_PASS, "no policy is in force");
    kernel.force(IN_FORCE, IN_FORCE, 0);
    for (bytes, want) in [
        (v4("192.0.2.1"), XDP_DROP),
        (v4("198.51.100.7"), XDP_DROP),
        (v6("2001:db8:ff::1"), XDP_DROP),
        (v4("192.0.3.1"), XDP_PASS),
        (v4("198.51.100.8"), XDP_PASS),
        (v6("2001:db9::1"), XDP_PASS),
    ] {
        assert_eq!(kernel.on(&bytes), want);
    }
    kernel.bans.set_links_port(2);
    assert_eq!(kernel.on(&v4("192.0.2.1")), XDP_PASS, "it comes to the agent's own port");
    kernel.bans.set_links_port(0);
    assert_eq!(kernel.hits(), Hits { packets: 3, bytes: 28 + 28 + 60 });
    let counts = kernel.bans.counts();
    assert_eq!((counts.denied_packets, counts.denied_bytes, counts.dropped_packets), (3, 116, 0));
    kernel.force(PolicyWord::TABLES, PolicyWord::TABLES, 0);
    assert_eq!(kernel.on(&v4("192.0.2.1")), XDP_PASS, "the policy only observes");
    // The deadline is long past: what the kernel falls back to enforces nothing.
    kernel.force(IN_FORCE, 0, 1);
    assert_eq!(kernel.on(&v4("192.0.2.1")), XDP_PASS, "the kernel went back by itself");
    kernel.force(IN_FORCE, IN_FORCE, 0);
    kernel.bans.keep_denied(&denied(&[("198.51.100.7", COUNTER)])).unwrap();
    assert_eq!((kernel.on(&v4("192.0.2.1")), kernel.on(&v4("198.51.100.7"))), (XDP_PASS, XDP_DROP));
}

#[test]
fn what_may_pass_in_spite_of_the_rule_goes_on_to_where_it_is_judged() {
    require_root!();
    let mut kernel = Kernel::new();
    kernel.bans.deny(&denied(&[("192.0.2.0/24", COUNTER)])).unwrap();
    kernel.force(IN_FORCE, IN_FORCE, 0);
    let from = || frame().ipv4("192.0.2.1", "10.0.0.2");
    assert_eq!(kernel.on(&from().udp(53, 40_000).build()), XDP_DROP);
    assert_eq!(kernel.on(&from().udp(67, 68).build()), XDP_PASS, "an answer to a DHCP client");
    // A connection that this host opened.
    let words = |text: &str| prefix(text).address().words;
    let mut key = ConnectionKey::default();
    let from_high = key.set_ends(words("10.0.0.2"), 40_000, words("192.0.2.1"), 53, 17);
    let verdict = Verdict::new(1, Action::Accept, VerdictCause::Adopted as u32);
    kernel.maps.adopt(&key, &Connection::adopted(verdict, from_high, 1)).unwrap();
    assert_eq!(kernel.on(&from().udp(53, 40_000).build()), XDP_PASS, "a reply");
    assert_eq!(kernel.on(&from().udp(53, 40_001).build()), XDP_DROP, "no reply");
    assert_eq!(kernel.hits().packets, 2);
}

#[test]
fn a_hundred_thousand_denied_prefixes_are_read_back_and_one_more_is_one_change() {
    require_root!();
    let mut kernel = Kernel::new();
    let net = |n: u32| {
        let address = std::net::Ipv4Addr::from(0x0100_0000 + n * 512);
        (Prefix::from(IpNet::new(address.into(), if n.is_multiple_of(3) { 32 } else { 24 }).unwrap()), COUNTER)
    };
    let list: Vec<(Prefix, u16)> = (0..100_000).map(net).collect();
    assert_eq!(kernel.bans.deny(&list).unwrap().entered, list.len());
    kernel.force(IN_FORCE, IN_FORCE, 0);
    let found = kernel.bans.store().denied().unwrap();
    assert_eq!(found.len(), list.len());
    let more: Vec<(Prefix, u16)> = (0..100_001).map(net).collect();
    assert_eq!(kernel.bans.deny(&more).unwrap().entered, 1);
    let last = std::net::Ipv4Addr::from(0x0100_0000 + 100_000 * 512).to_string();
    assert_eq!(kernel.on(&frame().ipv4(last.as_str(), "10.0.0.2").udp(1, 2).build()), XDP_DROP);
    assert!(list.len() < DENY_NETS_MAX as usize);
}
