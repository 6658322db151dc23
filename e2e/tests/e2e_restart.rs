//! Killed, stopped or told to go: the kernel and its traffic are as they were, and the next agent starts clean.
//!
//! What is in the kernel is asked of `tc` and `bpftool`, not of the product.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hivewall_e2e::agent::Agent;
use hivewall_e2e::books::Account;
use hivewall_e2e::network::Pair;
use hivewall_e2e::tool::{hivewall, tool};
use hivewall_e2e::until;
use hivewall_testkit::netns::Host;
use hivewall_testkit::require_root;
use hivewall_testkit::traffic::{UdpSink, udp_blast};

/// Everything on the hooks of `eth0`: queueing disciplines, filters, and tcx links.
fn hooks(host: &Host) -> String {
    let mut all = tool(host, "tc", &["qdisc", "show", "dev", "eth0"]);
    for side in ["ingress", "egress"] {
        all += &tool(host, "tc", &["filter", "show", "dev", "eth0", side]);
    }
    all + &tool(host, "bpftool", &["net", "show", "dev", "eth0"])
}

fn count(pair: &Pair, agent: &Agent, packets: u64) {
    let before = Account::of(&agent.snapshot(), "eth0").flows.rx.packets;
    pair.a.enter(|| udp_blast("10.0.0.2:9".parse().unwrap(), packets, 10, 1)).unwrap().unwrap();
    agent.until("the packets of this agent", |snapshot| {
        let seen = Account::of(snapshot, "eth0").flows.rx.packets - before;
        if seen == packets { Ok(()) } else { Err(format!("{seen} of {packets}")) }
    });
}

/// Keeps datagrams flowing while `work` runs, and says how many were sent and how many arrived.
fn under_traffic(pair: &Pair, work: impl FnOnce()) {
    let to = "10.0.0.2:9000".parse().unwrap();
    let sink = pair.b.enter(|| UdpSink::bind(to)).unwrap().unwrap();
    let stop = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                sent += pair.a.enter(|| udp_blast(to, 200, 100, 1)).unwrap().unwrap().packets;
            }
            sent
        });
        let start = sink.received().packets;
        until("traffic", || if sink.received().packets > start { Ok(()) } else { Err("none yet") });
        work();
        let now = sink.received().packets;
        until("traffic that goes on", || if sink.received().packets > now + 1_000 { Ok(()) } else { Err("it stands") });
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    let got = sink.finish(sent, Duration::from_secs(20));
    assert_eq!(got.packets + got.dropped, sent, "an agent that dies takes no packet with it");
}

#[test]
fn an_agent_that_stops_leaves_the_kernel_as_it_was() {
    require_root!();
    for backend in ["ebpf-tcx", "ebpf-clsact"] {
        let pair = Pair::new("r-stop");
        let before = hooks(&pair.b);
        let agent = Agent::start(&pair.b, &["--interface", "eth0", "--backend", backend]);
        let during = hooks(&pair.b);
        assert!(during.contains("hivewall_in_eth") && during.contains("hivewall_out_eth"), "{during}");
        count(&pair, &agent, 100);
        let left = agent.stop();
        assert_eq!(left.code, Some(0), "{}", left.messages);
        assert_eq!(hooks(&pair.b), before, "{backend}");
    }
}

#[test]
fn a_killed_agent_leaves_no_program_and_no_packet_behind() {
    require_root!();
    let pair = Pair::new("r-kill");
    let before = hooks(&pair.b);
    let mut agent = Agent::start(&pair.b, &["--interface", "eth0", "--backend", "ebpf-tcx"]);
    assert_ne!(hooks(&pair.b), before);
    under_traffic(&pair, || agent.kill());
    // The kernel takes the links once the last reference to them is gone.
    until("the kernel to let go", || {
        let now = hooks(&pair.b);
        if now == before { Ok(()) } else { Err(now) }
    });
    drop(agent);
    let again = Agent::start(&pair.b, &["--interface", "eth0"]);
    count(&pair, &again, 300);
}

#[test]
fn filters_of_a_killed_agent_are_cleaned_up_by_the_next_one() {
    require_root!();
    let pair = Pair::new("r-next");
    let before = hooks(&pair.b);
    let mut agent = Agent::start(&pair.b, &["--interface", "eth0", "--backend", "ebpf-clsact"]);
    let during = hooks(&pair.b);
    under_traffic(&pair, || agent.kill());
    drop(agent);
    // Without tcx nobody takes them: that is why they have to be found.
    assert_eq!(during.matches("hivewall_").count(), hooks(&pair.b).matches("hivewall_").count());
    for backend in ["ebpf-clsact", "ebpf-tcx"] {
        let mut next = Agent::start(&pair.b, &["--interface", "eth0", "--backend", backend]);
        // Were the old filters still there, they would cost time but count for nobody; were ours there twice, twice.
        count(&pair, &next, 300);
        let filters: usize = ["ingress", "egress"]
            .map(|side| tool(&pair.b, "tc", &["filter", "show", "dev", "eth0", side]).matches("hivewall_").count())
            .iter()
            .sum();
        assert_eq!(filters, if backend == "ebpf-clsact" { 2 } else { 0 }, "{backend}");
        next.kill();
    }
    until("the kernel to be as it was", || {
        let now = hooks(&pair.b);
        if now == before { Ok(()) } else { Err(now) }
    });
}

#[test]
fn uninstall_removes_what_a_killed_agent_left() {
    require_root!();
    let pair = Pair::new("r-uninst");
    let before = hooks(&pair.b);
    assert!(hivewall(&pair.b, &["uninstall"]).fine().contains("nothing of hivewall"));
    let mut agent = Agent::start(&pair.b, &["--interface", "eth0", "--backend", "ebpf-clsact"]);
    agent.kill();
    let said = hivewall(&pair.b, &["uninstall"]).fine();
    assert!(said.contains("eth0"), "{said}");
    assert_eq!(hooks(&pair.b), before);
    assert!(hivewall(&pair.b, &["uninstall"]).fine().contains("nothing of hivewall"));
}

#[test]
fn uninstall_takes_the_links_of_a_running_agent_and_of_no_other_namespace() {
    require_root!();
    let pair = Pair::new("r-links");
    let before = hooks(&pair.b);
    let (here, there) = (Agent::start(&pair.b, &[]), Agent::start(&pair.a, &[]));
    let elsewhere = hooks(&pair.a);
    under_traffic(&pair, || {
        let said = hivewall(&pair.b, &["uninstall"]).fine();
        assert_eq!(said.lines().count(), 2, "{said}");
    });
    assert_eq!(hooks(&pair.b), before);
    assert_eq!(hooks(&pair.a), elsewhere);
    // Both still answer and end well.
    for agent in [here, there] {
        agent.snapshot();
        let left = agent.stop();
        assert_eq!(left.code, Some(0), "{}", left.messages);
    }
}

#[test]
fn a_second_signal_ends_an_agent_at_once_and_still_leaves_nothing() {
    require_root!();
    let pair = Pair::new("r-twice");
    let before = hooks(&pair.b);
    let agent = Agent::start(&pair.b, &["--interface", "eth0"]);
    let pid = agent.pid();
    for _ in 0..2 {
        // The first may have been enough.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
    }
    drop(agent);
    until("the kernel to be as it was", || {
        let now = hooks(&pair.b);
        if now == before { Ok(()) } else { Err(now) }
    });
}
