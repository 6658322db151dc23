//! Every packet is counted, once: what the agent says of an interface and what its log says of all flows equal the
//! interface's own counters, packet for packet and byte for byte.
//!
//! The agent runs at `b`, where traffic arrives and is answered, in both directions. Links are silent, so that the
//! counters move by the test's own traffic alone; they are read before the first packet and after the last.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use hivewall_e2e::agent::Agent;
use hivewall_e2e::books::{Account, Both, logged, losses};
use hivewall_e2e::network::{Between, Pair};
use hivewall_e2e::tool::tool;
use hivewall_testkit::netns::{Counters, Host, Offloads};
use hivewall_testkit::packet::frame;
use hivewall_testkit::require_root;
use hivewall_testkit::traffic::{
    Close, ShortFlows, TcpSink, UdpSink, raw_frames, tcp_bulk, tcp_short_flows, udp_blast, udp_fragmented,
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// How the interface under test counts a buffer of many segments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// As the packets they are: segmented before, merged after it was counted.
    Segments,
    /// As one packet.
    Buffers,
    /// As the packets they are, each without its Ethernet header: a veth that merges on receipt counts behind
    /// `eth_type_trans` (drivers/net/veth.c: `veth_xdp_rcv`), for itself and for its peer.
    SegmentsWithoutHeader,
}

/// Length of an Ethernet header.
const ETHERNET: u64 = 14;

impl Counts {
    /// The kernel's counters with everything that was on the wire.
    fn whole(self, kernel: Counters) -> Both {
        let mut both = Both::from(kernel);
        if self == Self::SegmentsWithoutHeader {
            both.rx.bytes += both.rx.packets * ETHERNET;
            both.tx.bytes += both.tx.packets * ETHERNET;
        }
        both
    }
}

/// An agent on `eth0` of a host, and the interface's counters at its start.
struct Watched {
    agent: Agent,
    before: Counters,
}

impl Watched {
    fn start(host: &Host, args: &[&str]) -> Self {
        let agent = Agent::start(host, &[&["--interface", "eth0"], args].concat());
        Self { before: host.counters("eth0").unwrap(), agent }
    }

    /// Waits until the agent has counted what the interface has, stops it and holds its log against the same. Returns
    /// what went over the wire, and how many flows the log has.
    #[track_caller]
    fn exact(self, counts: Counts) -> (Both, u64) {
        let counters = || counts.whole(self.agent.host().counters("eth0").unwrap() - self.before);
        let kernel = counters();
        let agrees = |account: &Account| {
            let ours = if counts == Counts::Buffers { account.buffers() } else { account.seen() };
            if ours == kernel { Ok(()) } else { Err(format!("kernel {kernel:?}\nagent  {ours:?}\n{account:?}")) }
        };
        let snapshot = self
            .agent
            .until("the agent to count what the interface counted", |snapshot| agrees(&Account::of(snapshot, "eth0")));
        assert_eq!(losses(&snapshot), [], "nothing may be lost here");
        let account = Account::of(&snapshot, "eth0");
        assert_eq!(counters(), kernel, "the test's traffic has to be over before it is counted");
        let left = self.agent.stop();
        assert_eq!(left.code, Some(0), "{}", left.messages);
        let logged = logged(&left);
        assert_eq!(logged.sum, account.flows.sum(), "the log against the interface");
        (account.seen(), logged.flows)
    }

    /// The same where records may get lost: what is missing has to be in the loss counter, to the byte.
    #[track_caller]
    fn exact_with_losses(self) {
        let kernel = Both::from(self.agent.host().counters("eth0").unwrap() - self.before).sum();
        let snapshot = self.agent.until("what is counted and what is lost to make a whole", |snapshot| {
            let account = Account::of(snapshot, "eth0");
            let ours = account.seen().sum() + account.lost;
            if ours == kernel { Ok(()) } else { Err(format!("kernel {kernel}, agent {ours}: {account:?}")) }
        });
        let account = Account::of(&snapshot, "eth0");
        let left = self.agent.stop();
        assert_eq!(left.code, Some(0), "{}", left.messages);
        assert_eq!(logged(&left).sum, account.flows.sum(), "the log against the interface");
    }
}

/// UDP from several senders to a sink at `b`; packets sent.
fn blast(pair: &Pair, to: &str, packets: u64, payload: usize) -> u64 {
    let sink = pair.b.enter(|| UdpSink::bind(at(to))).unwrap().unwrap();
    let sent = pair.a.enter(|| udp_blast(at(to), packets, payload, 3)).unwrap().unwrap();
    let got = sink.finish(sent.packets, SOON);
    assert_eq!(got.packets + got.dropped, sent.packets, "a veth loses nothing");
    sent.packets
}

/// One connection of `bytes` from `a` to `b`.
fn bulk(pair: &Pair, host: &str, bytes: u64) {
    let sink = pair.b.enter(|| TcpSink::bind(&[at(host)], 1)).unwrap().unwrap();
    let to = sink.addresses()[0];
    pair.a.enter(|| tcp_bulk(to, bytes)).unwrap().unwrap();
    assert_eq!(sink.finish(1, SOON).bytes, bytes);
}

/// Many short connections from `a` to `b`.
fn short(pair: &Pair, count: u64) {
    let sink = pair.b.enter(|| TcpSink::bind(&[at("10.0.0.2:0"), at("[fd00::2]:0")], 2)).unwrap().unwrap();
    let to = sink.addresses().to_vec();
    let flows = ShortFlows { to: &to, count, payload: 100, close: Close::Fin, threads: 4 };
    let sent = pair.a.enter(|| tcp_short_flows(&flows)).unwrap().unwrap();
    assert_eq!(sink.finish(count, SOON), sent);
}

/// TCP segments that a host's stack has sent, by its own account, which knows nothing of offloads: `OutSegs` are those
/// with something new in them.
fn segments_sent(host: &Host) -> u64 {
    let table = host.enter(|| std::fs::read_to_string("/proc/thread-self/net/snmp")).unwrap().unwrap();
    let mut lines = table.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, values) = (lines.next().unwrap().split_whitespace(), lines.next().unwrap().split_whitespace());
    let sent = |name: &&str| ["OutSegs", "RetransSegs"].contains(name);
    names.zip(values).filter(|(name, _)| sent(name)).map(|(_, value)| value.parse::<u64>().unwrap()).sum()
}

/// Sends in bulk from `a` to an agent at `b` and holds the packets that `b` received against those that the stack of
/// `a` sent: it cannot know how they travelled.
#[track_caller]
fn bulk_is_exact(pair: &Pair, bytes: u64, counts: Counts) {
    let watched = Watched::start(&pair.b, &[]);
    for host in ["10.0.0.2:0", "[fd00::2]:0"] {
        bulk(pair, host, bytes);
    }
    let received = watched.exact(counts).0.rx.packets;
    let (sent, dropped) = (segments_sent(&pair.a), pair.a.counters("eth0").unwrap().tx_dropped);
    // A busy receiver's backlog may refuse buffers, of up to 65,536 bytes each; the stack sends them again.
    let refused = dropped..=dropped * (65_536 / 1_400);
    assert!(refused.contains(&(sent - received)), "{sent} sent, {received} received, {dropped} buffers dropped");
}

/// Flows that share client and server with another one: pieces of one conversation.
fn twice(flows: &[Value]) -> Vec<&Value> {
    let ends = |flow: &Value| ["src_ip", "src_port", "dest_ip", "dest_port"].map(|key| flow[key].to_string());
    let mut seen = std::collections::BTreeMap::<_, u32>::new();
    for flow in flows {
        *seen.entry(ends(flow)).or_default() += 1;
    }
    flows.iter().filter(|flow| seen[&ends(flow)] > 1).collect()
}

#[test]
fn udp_at_full_rate_is_counted_to_the_packet() {
    require_root!();
    let pair = Pair::new("x-udp");
    let watched = Watched::start(&pair.b, &[]);
    let sent = blast(&pair, "10.0.0.2:9000", 200_003, 18) + blast(&pair, "[fd00::2]:9000", 100_003, 700);
    let (wire, _) = watched.exact(Counts::Segments);
    assert_eq!(wire.rx.packets, sent);
}

#[test]
fn what_the_sender_counts_at_its_own_interface_is_the_same() {
    require_root!();
    let pair = Pair::new("x-sender");
    let watched = Watched::start(&pair.a, &[]);
    let sent = blast(&pair, "10.0.0.2:9000", 100_003, 300);
    bulk(&pair, "10.0.0.2:0", 20_000_000);
    let (wire, _) = watched.exact(Counts::Segments);
    assert!(wire.tx.packets > sent && wire.rx.packets > 0, "{wire:?}");
}

#[test]
fn tcp_in_bulk_without_offloads_is_exact() {
    require_root!();
    bulk_is_exact(&Pair::new("x-bulk"), 100_000_000, Counts::Segments);
}

#[test]
fn tcp_in_bulk_with_segmentation_offload_is_exact() {
    require_root!();
    let offloads = Offloads { tso: true, gso: true, gro: false };
    bulk_is_exact(&Pair::with("x-tso", offloads), 300_000_000, Counts::Buffers);
}

#[test]
fn tcp_in_bulk_merged_on_receipt_is_exact() {
    require_root!();
    let offloads = Offloads { tso: false, gso: true, gro: true };
    bulk_is_exact(&Pair::with("x-gro", offloads), 100_000_000, Counts::SegmentsWithoutHeader);
}

#[test]
fn twenty_thousand_short_connections_are_exact_and_each_is_a_flow() {
    require_root!();
    let pair = Pair::new("x-short");
    let agent = Agent::start(&pair.b, &["--interface", "eth0"]);
    let before = pair.b.counters("eth0").unwrap();
    short(&pair, 20_000);
    let kernel = Both::from(pair.b.counters("eth0").unwrap() - before).sum();
    let left = agent.stop();
    assert_eq!(logged(&left).sum, kernel);
    let flows = left.flows();
    assert_eq!(twice(&flows), [] as [&Value; 0], "flows that share addresses and ports");
    assert_eq!(flows.len(), 20_000);
    let whole = |flow: &&Value| flow["tcp"]["syn"] == true && flow["tcp"]["fin"] == true && flow["src_port"] != 0;
    assert_eq!(flows.iter().filter(whole).count(), 20_000);
}

#[test]
fn a_hundred_thousand_short_connections_are_exact() {
    require_root!();
    let pair = Pair::new("x-many");
    let watched = Watched::start(&pair.b, &["--closed-keep", "100000"]);
    short(&pair, 100_000);
    assert_eq!(watched.exact(Counts::Segments).1, 100_000);
}

#[test]
fn a_flow_cache_far_too_small_is_still_exact() {
    require_root!();
    let pair = Pair::new("x-small");
    let watched = Watched::start(&pair.b, &["--flow-cache-lines", "64"]);
    short(&pair, 5_000);
    blast(&pair, "10.0.0.2:9000", 50_000, 18);
    watched.exact(Counts::Segments);
}

#[test]
fn what_a_ring_far_too_small_loses_is_counted_to_the_byte() {
    require_root!();
    let pair = Pair::new("x-ring");
    let watched = Watched::start(&pair.b, &["--flow-cache-lines", "64", "--ring-slots", "64"]);
    short(&pair, 5_000);
    watched.exact_with_losses();
}

/// `count` frames of each kind: one tag, two tags, a priority tag, no tag.
fn tagged(count: usize) -> Vec<Vec<u8>> {
    let ip4 = |packet: hivewall_testkit::packet::Packet| packet.ipv4("10.1.0.1", "10.1.0.2").udp(1000, 2000);
    let ip6 = |packet: hivewall_testkit::packet::Packet| packet.ipv6("fd01::1", "fd01::2").udp(1000, 2000);
    let kinds = [
        ip4(frame().vlan(10)).payload_len(100).build(),
        ip6(frame().vlan(10)).payload_len(200).build(),
        ip4(frame().service_vlan(20).vlan(30)).payload_len(300).build(),
        ip6(frame().service_vlan(20).vlan(30)).payload_len(400).build(),
        ip4(frame().vlan(0xe000)).payload_len(500).build(),
        frame().vlan(10).arp_request("10.1.0.1", "10.1.0.2").build(),
        frame().vlan(1).vlan(2).vlan(3).ipv4("10.1.0.1", "10.1.0.2").udp(1, 2).build(),
        frame().protocol(0x88cc).payload(&[0; 60]).build(),
    ];
    std::iter::repeat_n(kinds, count).flatten().collect()
}

#[test]
fn tagged_frames_are_exact_where_they_leave_and_where_they_arrive() {
    require_root!();
    let pair = Pair::new("x-vlan");
    let (sender, receiver) = (Watched::start(&pair.a, &[]), Watched::start(&pair.b, &[]));
    let frames = tagged(500);
    let sent = pair.a.enter(|| raw_frames("eth0", &frames)).unwrap().unwrap();
    for (agent, is_receiver) in [(&sender.agent, false), (&receiver.agent, true)] {
        agent.until("all frames", |snapshot| {
            let seen = Account::of(snapshot, "eth0").seen();
            let seen = if is_receiver { seen.rx.packets } else { seen.tx.packets };
            if seen >= sent.packets { Ok(()) } else { Err(format!("{seen} of {}", sent.packets)) }
        });
        let vlans = |filter: &str| agent.flows(&["--vlan", filter]).len();
        // IPv4 and IPv6 each, by either tag; the priority tag is tag 0, which is none.
        assert_eq!((vlans("10"), vlans("20"), vlans("30"), agent.flows(&[]).len()), (2, 2, 2, 5));
    }
    assert_eq!(sender.exact(Counts::Segments).0.tx.packets, sent.packets);
    assert_eq!(receiver.exact(Counts::Segments).0.rx.packets, sent.packets);
}

#[test]
fn tags_that_the_kernel_keeps_beside_the_frame_count_as_bytes() {
    require_root!();
    // A tagged frame that crosses a bridge leaves it with its outer tag in metadata; without the offload the tag is
    // written back behind the hook and before the interface counts.
    let between = Between::bridge("x-tags");
    tool(&between.middle, "ethtool", &["-K", "eth1", "tx-vlan-hw-insert", "off", "tx-vlan-stag-hw-insert", "off"]);
    let agent = Agent::start(&between.middle, &["--interface", "eth1"]);
    let before = between.middle.counters("eth1").unwrap();
    let frames = tagged(500);
    between.a.enter(|| raw_frames("eth0", &frames)).unwrap().unwrap();
    let kernel = Both::from(between.middle.counters("eth1").unwrap() - before);
    assert_eq!(kernel.tx.packets, frames.len() as u64, "the bridge floods what it has no address of");
    agent.until("the frames that left", |snapshot| {
        let ours = Account::of(snapshot, "eth1").seen();
        if ours == kernel { Ok(()) } else { Err(format!("kernel {kernel:?}, agent {ours:?}")) }
    });
    let vlans = |filter: &str| agent.flows(&["--vlan", filter]).len();
    assert_eq!((vlans("10"), vlans("20"), vlans("30")), (2, 2, 2));
}

#[test]
fn fragments_are_exact_and_find_their_flow() {
    require_root!();
    let pair = Pair::new("x-frag");
    let watched = Watched::start(&pair.b, &[]);
    for to in ["10.0.0.2:9000", "[fd00::2]:9000"] {
        let sink = pair.b.enter(|| UdpSink::bind(at(to))).unwrap().unwrap();
        for size in [0, 1400, 1473, 4000, 60_000] {
            pair.a.enter(|| udp_fragmented(at(to), size)).unwrap().unwrap();
        }
        assert_eq!(sink.finish(5, SOON).packets, 5);
    }
    watched.agent.until("the fragments", |snapshot| {
        let seen = Account::of(snapshot, "eth0").flows.rx.packets;
        if seen > 90 { Ok(()) } else { Err(format!("{seen} packets")) }
    });
    let flows = watched.agent.flows(&["--port", "9000"]);
    // Every datagram has a socket of its own, and so a flow; its fragments have no ports but are in it.
    assert_eq!(flows.len(), 10, "{flows:#?}");
    assert_eq!(watched.agent.flows(&[]).len(), 10);
    watched.exact(Counts::Segments);
}

#[test]
fn what_was_there_before_the_agent_is_not_its_business() {
    require_root!();
    let pair = Pair::new("x-late");
    blast(&pair, "10.0.0.2:9000", 1_000, 18);
    let watched = Watched::start(&pair.b, &[]);
    blast(&pair, "10.0.0.2:9001", 1_000, 18);
    assert_eq!(watched.exact(Counts::Segments).0.rx.packets, 1_000);
}
