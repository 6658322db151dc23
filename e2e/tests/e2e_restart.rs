//! Killed, stopped or told to go: the kernel and its traffic are as they were, and the next agent starts clean.
//!
//! What is in the kernel is asked of `tc` and `bpftool`, not of the product.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hivewall_e2e::agent::Agent;
use hivewall_e2e::books::Account;
use hivewall_e2e::hooks::{filters, held, is_loaded, our_filters};
use hivewall_e2e::network::Pair;
use hivewall_e2e::tool::hivewall;
use hivewall_e2e::until;
use hivewall_testkit::require_root;
use hivewall_testkit::traffic::{UdpSink, udp_blast};

/// Waits until none of these programs is loaded: nothing holds them any more, neither a process nor a hook.
#[track_caller]
fn until_unloaded(programs: &[u32]) {
    assert!(!programs.is_empty());
    until("the kernel to unload the programs", || {
        let loaded: Vec<_> = programs.iter().filter(|program| is_loaded(**program)).collect();
        if loaded.is_empty() { Ok(()) } else { Err(format!("{loaded:?} are loaded")) }
    });
}

fn count(pair: &Pair, agent: &Agent, packets: u64) {
    let before = Account::of(&agent.snapshot(), "eth0").flows.rx.packets;
    pair.a.enter(|| udp_blast("10.0.0.2:9".parse().unwrap(), packets, 10, 1)).unwrap().unwrap();
    agent.until("the packets of this agent", |snapshot| {
        let seen = Account::of(snapshot, "eth0").flows.rx.packets - before;
        if seen == packets { Ok(()) } else { Err(format!("{seen} of {packets}")) }
    });
}

/// Ends the sender when the test does, by success or by panic.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Keeps datagrams flowing while `work` runs, and says how many were sent and how many arrived.
fn under_traffic(pair: &Pair, work: impl FnOnce()) {
    let to = "10.0.0.2:9000".parse().unwrap();
    let sink = pair.b.enter(|| UdpSink::bind(to)).unwrap().unwrap();
    let stop = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let _ending = Ending(&stop);
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
    for (backend, links, hung) in [("ebpf-tcx", 2, 0), ("ebpf-clsact", 0, 2)] {
        let pair = Pair::new("r-stop");
        let before = filters(&pair.b, "eth0");
        let agent = Agent::start(&pair.b, &["--interface", "eth0", "--backend", backend]);
        let during = held(agent.pid());
        assert_eq!((during.links.len(), our_filters(&pair.b, "eth0")), (links, hung), "{backend}");
        count(&pair, &agent, 100);
        let left = agent.stop();
        assert_eq!(left.code, Some(0), "{}", left.messages);
        assert_eq!(filters(&pair.b, "eth0"), before, "{backend}");
        until_unloaded(&during.programs);
    }
}

#[test]
fn a_killed_agent_leaves_no_program_and_takes_no_packet_along() {
    require_root!();
    let pair = Pair::new("r-kill");
    let before = filters(&pair.b, "eth0");
    let mut agent = Agent::start(&pair.b, &["--interface", "eth0", "--backend", "ebpf-tcx"]);
    let during = held(agent.pid());
    under_traffic(&pair, || agent.kill());
    // The kernel takes the links when the last reference to them is gone.
    until_unloaded(&during.programs);
    assert_eq!(filters(&pair.b, "eth0"), before);
    drop(agent);
    let again = Agent::start(&pair.b, &["--interface", "eth0"]);
    count(&pair, &again, 300);
}

#[test]
fn filters_of_a_killed_agent_are_cleaned_up_by_the_next_one() {
    require_root!();
    let pair = Pair::new("r-next");
    let before = filters(&pair.b, "eth0");
    let mut agent = Agent::start(&pair.b, &["--interface", "eth0", "--backend", "ebpf-clsact"]);
    let mut programs = held(agent.pid()).programs;
    under_traffic(&pair, || agent.kill());
    drop(agent);
    for (backend, hung) in [("ebpf-clsact", 2), ("ebpf-tcx", 0)] {
        // Without tcx nobody takes them down: that is why they have to be found.
        assert_eq!(our_filters(&pair.b, "eth0"), 2);
        let mut next = Agent::start(&pair.b, &["--interface", "eth0", "--backend", backend]);
        until_unloaded(&programs);
        assert_eq!(our_filters(&pair.b, "eth0"), hung, "{backend}");
        count(&pair, &next, 300);
        programs = held(next.pid()).programs;
        next.kill();
    }
    until_unloaded(&programs);
    assert_eq!(filters(&pair.b, "eth0"), before);
}

#[test]
fn uninstall_removes_what_a_killed_agent_left() {
    require_root!();
    let pair = Pair::new("r-uninst");
    let before = filters(&pair.b, "eth0");
    assert!(hivewall(&pair.b, &["uninstall"]).fine().contains("nothing of hivewall"));
    let mut agent = Agent::start(&pair.b, &["--interface", "eth0", "--backend", "ebpf-clsact"]);
    let programs = held(agent.pid()).programs;
    agent.kill();
    let said = hivewall(&pair.b, &["uninstall"]).fine();
    assert!(said.contains("eth0"), "{said}");
    assert_eq!(filters(&pair.b, "eth0"), before);
    until_unloaded(&programs);
    assert!(hivewall(&pair.b, &["uninstall"]).fine().contains("nothing of hivewall"));
}

#[test]
fn uninstall_takes_the_links_of_a_running_agent_and_of_no_other_namespace() {
    require_root!();
    let pair = Pair::new("r-links");
    let (here, there) = (Agent::start(&pair.b, &[]), Agent::start(&pair.a, &[]));
    let elsewhere = held(there.pid());
    under_traffic(&pair, || {
        let said = hivewall(&pair.b, &["uninstall"]).fine();
        assert_eq!(said.lines().count(), 2, "{said}");
    });
    assert_eq!(held(here.pid()).links, [0, 0]);
    assert_eq!(held(there.pid()), elsewhere);
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
    let agent = Agent::start(&pair.b, &["--interface", "eth0", "--backend", "ebpf-tcx"]);
    let programs = held(agent.pid()).programs;
    for _ in 0..2 {
        // The first may have been enough.
        let _ = nix::sys::signal::kill(agent.pid(), nix::sys::signal::Signal::SIGINT);
    }
    until_unloaded(&programs);
}
