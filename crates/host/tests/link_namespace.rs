//! Interfaces as netlink tells them, in network namespaces made for the purpose. Needs root.
//!
//! What `ip` and the kernel's own files say is compared with what [`Links`] says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use hivewall_host::link::{InterfaceFilter, Links};
use hivewall_model::{Interface, LinkLayer, Rank};
use hivewall_testkit::netns::{Host, Lab, Offloads};
use hivewall_testkit::require_root;
use hivewall_testkit::traffic::udp_blast;

fn dump(host: &Host) -> Vec<Interface> {
    host.enter(|| Links::open().unwrap().dump().unwrap()).unwrap()
}

fn named<'a>(all: &'a [Interface], name: &str) -> &'a Interface {
    all.iter().find(|interface| interface.name == name).unwrap_or_else(|| panic!("no {name} in {all:#?}"))
}

#[test]
fn a_veth_pair_is_told_with_addresses_counters_and_speed() {
    require_root!();
    let lab = Lab::new("veth").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    lab.link(&a, "eth0", &b, "eth0")
        .addresses(&["10.0.0.1/24", "10.0.0.3/24", "fd00::1/64"], &["10.0.0.2/24", "fd00::2/64"])
        .mtu(1450)
        .offloads(Offloads::NONE)
        .up()
        .unwrap();
    a.enter(|| udp_blast("10.0.0.2:9".parse().unwrap(), 100, 50, 1).unwrap()).unwrap();
    let all = dump(&a);
    assert_eq!(all.len(), 2, "loopback and veth: {all:#?}");
    let lo = named(&all, "lo");
    assert!(lo.loopback && lo.up && lo.mac.is_empty() && lo.speed.is_none() && lo.kind.is_empty());
    assert_eq!((lo.link, lo.rank, lo.index), (LinkLayer::Ethernet, Rank::Plain, 1));
    assert!(lo.addresses.contains(&"127.0.0.1".parse().unwrap()));
    let eth = named(&all, "eth0");
    assert_eq!(
        (eth.kind.as_str(), eth.link, eth.rank, eth.loopback),
        ("veth", LinkLayer::Ethernet, Rank::Plain, false)
    );
    assert_eq!((eth.up, eth.mtu, eth.vlan, eth.speed), (true, 1450, 0, Some(10_000_000_000)));
    assert_eq!((eth.mac.len(), eth.mac[0]), (6, 2));
    let want: [std::net::IpAddr; 3] = ["10.0.0.1", "10.0.0.3", "fd00::1"].map(|text| text.parse().unwrap());
    assert_eq!(eth.addresses, want);
    let counters = a.counters("eth0").unwrap();
    assert_eq!((eth.tx_packets, eth.tx_bytes), (counters.tx_packets, counters.tx_bytes));
    assert_eq!((eth.rx_packets, eth.rx_bytes), (counters.rx_packets, counters.rx_bytes));
    assert_eq!((eth.tx_packets, eth.tx_bytes), (100, 100 * (14 + 28 + 50)));
    let far = dump(&b);
    let far = named(&far, "eth0");
    assert_eq!((far.rx_packets, far.rx_bytes), (eth.tx_packets, eth.tx_bytes));
}

#[test]
fn bridges_ports_stacked_and_bare_ip_interfaces_have_their_ranks() {
    require_root!();
    let lab = Lab::new("ranks").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    a.ip_batch(
        "link add one type veth peer name two\n\
         link add br0 type bridge\n\
         link add br1 type bridge\n\
         link set one master br0\n\
         link add mac0 link two type macvlan mode bridge\n\
         tuntap add dev tun0 mode tun\n\
         tuntap add dev tap0 mode tap\n",
    )
    .unwrap();
    // A macvlan whose lower interface stays behind in another namespace.
    a.ip(&["link", "add", "far0", "link", "two", "netns", b.namespace(), "type", "macvlan", "mode", "bridge"]).unwrap();
    let all = dump(&a);
    let ranks = ["one", "two", "br0", "br1", "mac0", "tun0", "tap0"].map(|name| named(&all, name).rank);
    use Rank::{Master, Plain, Port, Upper};
    assert_eq!(ranks, [Port, Plain, Master, Master, Upper, Plain, Plain]);
    assert_eq!(named(&dump(&b), "far0").rank, Plain);
    let (tun, tap) = (named(&all, "tun0"), named(&all, "tap0"));
    assert_eq!((tun.link, tun.kind.as_str(), tun.mac.len()), (LinkLayer::Ip, "tun", 0));
    assert_eq!((tap.link, tap.kind.as_str(), tap.mac.len()), (LinkLayer::Ethernet, "tun", 6));
    assert!(!named(&all, "br1").up, "never set up");
    assert_eq!(named(&all, "one").speed, None, "no speed without a carrier");
}

#[test]
fn appearing_changing_and_going_are_noticed_and_silence_is_not() {
    require_root!();
    let lab = Lab::new("events").unwrap();
    let a = lab.host("a").unwrap();
    let mut links = a.enter(|| Links::open().unwrap()).unwrap();
    let soon = Duration::from_secs(5);
    // The loopback's own announcements come a little later.
    while links.wait(Duration::from_millis(50)).unwrap() {}
    assert!(!links.wait(Duration::from_millis(1)).unwrap(), "silence");
    for command in [
        "link add one type veth peer name two",
        "link set one up",
        "addr add 10.9.0.1/24 dev one",
        "addr add fd09::1/64 dev two nodad",
        "link set two name deux",
        "link del one",
    ] {
        a.ip_batch(&format!("{command}\n")).unwrap();
        assert!(links.wait(soon).unwrap(), "{command}");
        while links.wait(Duration::ZERO).unwrap() {}
    }
    assert_eq!(links.dump().unwrap().len(), 1, "only the loopback is left");
}

#[test]
fn more_events_than_the_socket_holds_still_count_as_a_change() {
    require_root!();
    let lab = Lab::new("burst").unwrap();
    let a = lab.host("a").unwrap();
    let mut links = a.enter(|| Links::open().unwrap()).unwrap();
    let mut lines = vec!["link add one type veth peer name two\n".to_owned()];
    let rename = |n| format!("link set one alias round-{n}\nlink set two alias round-{n}\n");
    lines.extend((0..1500).map(rename));
    a.ip_batch(&lines.concat()).unwrap();
    assert!(links.wait(Duration::ZERO).unwrap());
    assert!(!links.wait(Duration::ZERO).unwrap(), "drained whole");
    assert_eq!(links.dump().unwrap().len(), 3);
}

#[test]
fn a_list_of_a_thousand_interfaces_is_whole_and_cheap() {
    require_root!();
    let lab = Lab::new("many").unwrap();
    let a = lab.host("a").unwrap();
    let lines: Vec<String> = (0..500).map(|n| format!("link add v{n} type veth peer name w{n}\n")).collect();
    a.ip_batch(&lines.concat()).unwrap();
    let mut links = a.enter(|| Links::open().unwrap()).unwrap();
    assert_eq!(links.dump().unwrap().len(), 1001);
    let start = Instant::now();
    let all = links.dump().unwrap();
    let took = start.elapsed();
    let mut names: Vec<&str> = all.iter().map(|interface| interface.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 1001);
    // Asked for every second; the bound is far above what was measured, so that a busy machine does not fail it.
    println!("dump of {} interfaces: {took:?}", all.len());
    assert!(took < Duration::from_millis(250), "{took:?}");
    let filter = InterfaceFilter::new(["v1?", "!v15"], false).unwrap();
    assert_eq!(all.iter().filter(|interface| filter.wants(interface)).count(), 9);
}
