//! The last good policy at boot: the agent is there before the network, and no packet is judged by nobody.
//!
//! A boot is a start without pins (the kernel forgot everything) while the interface is down, or not there at all. What
//! passes is judged by a socket on the host itself.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hivewall_e2e::agent::Agent;
use hivewall_e2e::network::Pair;
use hivewall_e2e::talk::{WEB_ONLY, connect, document, echo, says};
use hivewall_e2e::until;
use hivewall_testkit::netns::Offloads;
use hivewall_testkit::require_root;
use tempfile::TempDir;

/// Sends to a port of the other host, without a pause, until it is told to stop; how much the network took.
fn flood(pair: &Pair, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<u64> {
    let socket = pair.a.enter(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            sent += u64::from(socket.send_to(b"flood", "10.0.0.2:9999").is_ok());
            std::thread::yield_now();
        }
        sent
    })
}

/// Waits for more refusals than these; how many there are then.
fn until_refused(agent: &Agent, before: u64) -> u64 {
    let dropped = |snapshot: &serde_json::Value| snapshot["refused"]["total"]["in_packets"].as_u64().unwrap_or(0);
    let more = |snapshot: &serde_json::Value| match dropped(snapshot) {
        now if now > before => Ok(()),
        _ => Err(snapshot["refused"].to_string()),
    };
    dropped(&agent.until("refusals", more))
}

#[test]
fn the_last_good_policy_holds_before_the_network_is_up_or_even_there() {
    require_root!();
    for is_absent in [false, true] {
        let pair = Pair::new(if is_absent { "boot-gone" } else { "boot-down" });
        let directory = TempDir::new().unwrap();
        let state = directory.path().join("state").display().to_string();
        let start = || {
            let args = ["--interface", "eth0", "--policy-state", &state, "--policy-pins", ""];
            Agent::start(&pair.b, &args)
        };
        echo(&pair.b, 8080);
        let agent = start();
        agent.tell(&["policy", "apply", &document(directory.path(), 1, WEB_ONLY)]).fine();
        agent.stop();

        if is_absent {
            pair.b.ip(&["link", "del", "eth0"]).unwrap();
        } else {
            pair.b.ip(&["link", "set", "eth0", "down"]).unwrap();
        }
        let received = pair.b.enter(|| UdpSocket::bind("0.0.0.0:9999")).unwrap().unwrap();
        received.set_nonblocking(true).unwrap();
        let agent = start();
        let stop = Arc::new(AtomicBool::new(false));
        let sender = flood(&pair, &stop);
        if is_absent {
            let link = pair.lab.link(&pair.a, "eth0", &pair.b, "eth0").offloads(Offloads::NONE);
            link.addresses(&["10.0.0.1/24"], &["10.0.0.2/24"]).up().unwrap();
        } else {
            let shown = pair.a.ip(&["-o", "link", "show", "eth0"]).unwrap();
            let peer = shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap();
            // What was known of neighbours went with the link.
            let known = format!("neigh replace 10.0.0.1 lladdr {peer} dev eth0 nud permanent");
            pair.b.ip_batch(&format!("link set eth0 up\n{known}")).unwrap();
        }
        let mut stream = until("what the policy accepts", || connect(&pair.a, "10.0.0.2:8080"));
        says(&mut stream, b"echo").unwrap();
        let refused = until_refused(&agent, 0);
        let mut bytes = [0; 16];
        if is_absent {
            // An interface that is made under a running agent is attached to as soon as its announcement is read: what it
            // received until then was judged by nobody (docs/policy.md).
            while received.recv(&mut bytes).is_ok() {}
            until_refused(&agent, refused);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(sender.join().unwrap() > 0);
        let leaked = received.recv(&mut bytes);
        assert!(leaked.is_err(), "absent: {is_absent}: a packet passed before the policy held");
        drop(agent);
    }
}
