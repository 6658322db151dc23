//! Other programs on the same hooks keep working beside the agent and stay when it leaves; other ways to capture count
//! the same packets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use hivewall_e2e::agent::Agent;
use hivewall_e2e::books::{Account, Both, logged};
use hivewall_e2e::hooks::filters;
use hivewall_e2e::network::Pair;
use hivewall_e2e::tool::tool;
use hivewall_testkit::require_root;
use hivewall_testkit::traffic::{Close, ShortFlows, TcpSink, UdpSink, tcp_short_flows, udp_blast};

const SOON: Duration = Duration::from_secs(30);

/// Datagrams and short connections, counted by `backend` as by the interface.
fn is_exact(name: &str, backend: &str) {
    let pair = Pair::new(name);
    let agent = Agent::start(&pair.b, &["--interface", "eth0", "--backend", backend]);
    assert_eq!(agent.snapshot()["capture"]["source"], backend, "{}", agent.messages());
    let before = pair.b.counters("eth0").unwrap();
    let sink = pair.b.enter(|| TcpSink::bind(&["10.0.0.2:0".parse().unwrap()], 2)).unwrap().unwrap();
    let to = sink.addresses().to_vec();
    let flows = ShortFlows { to: &to, count: 1_000, payload: 50, close: Close::Fin, threads: 2 };
    let sent = pair.a.enter(|| tcp_short_flows(&flows)).unwrap().unwrap();
    assert_eq!(sink.finish(1_000, SOON), sent);
    pair.a.enter(|| udp_blast("[fd00::2]:9".parse().unwrap(), 20_000, 100, 2)).unwrap().unwrap();
    let kernel = Both::from(pair.b.counters("eth0").unwrap() - before);
    let snapshot = agent.until("the agent to count what the interface counted", |snapshot| {
        let ours = Account::of(snapshot, "eth0").seen();
        let lost = snapshot["losses"]["packet_ring_full"]["packets"].as_u64().unwrap_or(0);
        // What an AF_PACKET socket could not take is counted in packets; its bytes are not known.
        let whole = ours == kernel || lost > 0 && ours.sum().packets + lost == kernel.sum().packets;
        if whole { Ok(()) } else { Err(format!("kernel {kernel:?}, agent {ours:?}, lost {lost}")) }
    });
    let counted = Account::of(&snapshot, "eth0").flows.sum();
    let left = agent.stop();
    assert_eq!(left.code, Some(0), "{}", left.messages);
    assert_eq!(logged(&left).sum, counted);
}

#[test]
fn af_packet_is_exact_too() {
    require_root!();
    is_exact("o-afp", "af-packet");
}

#[test]
fn clsact_is_exact_too() {
    require_root!();
    is_exact("o-cls", "ebpf-clsact");
}

#[test]
fn tcx_is_what_runs_when_nothing_is_asked_for() {
    require_root!();
    let pair = Pair::new("o-auto");
    let agent = Agent::start(&pair.b, &[]);
    let capture = &agent.snapshot()["capture"];
    assert_eq!((capture["source"].as_str(), capture["fallback_reason"].is_null()), (Some("ebpf-tcx"), true));
}

/// Packets that the mirror made.
struct Mirror<'a>(&'a Pair);

impl<'a> Mirror<'a> {
    /// An interface `out0` for the copies, which carries nothing else.
    fn new(pair: &'a Pair) -> Self {
        pair.lab.link(&pair.a, "out0", &pair.b, "out0").up().unwrap();
        Self(pair)
    }

    /// Copies what arrives by a filter on clsact: a foreign user of the hook whose work shows.
    fn hang(&self) {
        let words =
            "filter add dev eth0 ingress protocol ip prio 7 u32 match u32 0 0 action mirred egress mirror dev out0";
        tool(&self.0.b, "tc", &words.split(' ').collect::<Vec<_>>());
    }

    fn copies(&self) -> u64 {
        self.0.b.counters("out0").unwrap().tx_packets
    }
}

#[test]
fn a_filter_that_was_there_goes_on_beside_the_agent_and_after_it() {
    require_root!();
    for backend in ["ebpf-tcx", "ebpf-clsact"] {
        let pair = Pair::new("o-filter");
        let mirror = Mirror::new(&pair);
        tool(&pair.b, "tc", &["qdisc", "add", "dev", "eth0", "clsact"]);
        mirror.hang();
        let before = filters(&pair.b, "eth0");
        let agent = Agent::start(&pair.b, &["--interface", "eth0", "--backend", backend]);
        pair.a.enter(|| udp_blast("10.0.0.2:9".parse().unwrap(), 400, 10, 1)).unwrap().unwrap();
        assert_eq!(mirror.copies(), 400, "{backend}: the foreign filter sees every packet");
        agent.until("the packets, as well", |snapshot| {
            let seen = Account::of(snapshot, "eth0").flows.rx.packets;
            if seen == 400 { Ok(()) } else { Err(format!("{seen}")) }
        });
        assert_eq!(agent.stop().code, Some(0));
        assert_eq!(filters(&pair.b, "eth0"), before, "{backend}");
    }
}

#[test]
fn a_filter_added_while_the_agent_runs_survives_it() {
    require_root!();
    let pair = Pair::new("o-later");
    let mirror = Mirror::new(&pair);
    let agent = Agent::start(&pair.b, &["--interface", "eth0", "--backend", "ebpf-clsact"]);
    mirror.hang();
    assert_eq!(agent.stop().code, Some(0));
    pair.a.enter(|| udp_blast("10.0.0.2:9".parse().unwrap(), 100, 10, 1)).unwrap().unwrap();
    assert_eq!(mirror.copies(), 100, "the qdisc with a filter of others on it has to stay");
}

#[test]
fn what_nftables_drops_is_seen_first_and_still_dropped() {
    require_root!();
    let pair = Pair::new("o-nft");
    let rules = "add table netdev t; add chain netdev t in { type filter hook ingress device eth0 priority 0; }; \
                 add rule netdev t in udp dport 9001 counter drop";
    tool(&pair.b, "nft", &[rules]);
    let ruleset = tool(&pair.b, "nft", &["--stateless", "list", "ruleset"]);
    let agent = Agent::start(&pair.b, &["--interface", "eth0"]);
    let to = "10.0.0.2:9001".parse().unwrap();
    let sink = pair.b.enter(|| UdpSink::bind(to)).unwrap().unwrap();
    let open = pair.b.enter(|| UdpSink::bind("10.0.0.2:9002".parse().unwrap())).unwrap().unwrap();
    pair.a.enter(|| udp_blast(to, 300, 10, 1)).unwrap().unwrap();
    pair.a.enter(|| udp_blast("10.0.0.2:9002".parse().unwrap(), 200, 10, 1)).unwrap().unwrap();
    assert_eq!(open.finish(200, SOON).packets, 200);
    assert_eq!(sink.received().packets, 0);
    agent.until("what arrived, dropped or not", |snapshot| {
        let seen = Account::of(snapshot, "eth0").flows.rx.packets;
        if seen == 500 { Ok(()) } else { Err(format!("{seen}")) }
    });
    assert_eq!(agent.stop().code, Some(0));
    assert_eq!(tool(&pair.b, "nft", &["--stateless", "list", "ruleset"]), ruleset);
    assert!(tool(&pair.b, "nft", &["list", "ruleset"]).contains("packets 300 "));
}
