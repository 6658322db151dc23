//! Sockets as the kernel's programs tell them, in network namespaces made for the purpose. Needs root.
//!
//! Every process is one of the test's own, which says itself what it did.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod sockets_stage;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use hivewall_model::{SocketChange, SocketEvent, SocketState};
use hivewall_testkit::require_root;
use sockets_stage::{Actor, Stage, Told};

const ANY4: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

fn pid(event: &SocketEvent) -> u32 {
    event.process.as_ref().map_or(0, |process| process.pid)
}

/// A process that answers one connection on `at` with as many bytes as it got, and says when it is ready.
fn answer_once(stage: &Stage, at: SocketAddr) -> Actor {
    let mut server = Actor::start(&stage.b, |voice| {
        let listener = TcpListener::bind(at).unwrap();
        voice.say(0);
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 64];
        let got = stream.read(&mut bytes).unwrap();
        stream.write_all(&bytes[..got]).unwrap();
    });
    server.hear();
    server
}

/// A process that asks once and says its port.
fn ask(stage: &Stage, server: SocketAddr) -> (u32, u16) {
    let mut client = Actor::start(&stage.a, |voice| {
        let mut stream = TcpStream::connect(server).unwrap();
        voice.say(stream.local_addr().unwrap().port().into());
        stream.write_all(b"hello").unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
    });
    let port = client.hear() as u16;
    let pid = client.pid;
    client.join();
    (pid, port)
}

#[test]
fn this_kernel_takes_every_part() {
    require_root!();
    let object = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/sockets.o")).unwrap();
    let programs = hivewall_host::sockets::verify(&object).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(programs.len(), 14);
    let told = Told::open();
    assert_eq!(told.watch.source(), ("kernel-events", None));
    assert!(told.watch.losses().iter().all(|loss| loss.count == 0), "{:?}", told.watch.losses());
}

#[test]
fn both_ends_of_a_short_connection_have_their_process_over_ipv4_and_ipv6() {
    require_root!();
    let stage = Stage::new("ends");
    let mut told = Told::open();
    for (server_at, client_at) in [(stage.v4(2, 80), stage.v4(1, 0)), (stage.v6(2, 80), stage.v6(1, 0))] {
        let server = answer_once(&stage, server_at);
        let (client, port) = ask(&stage, server_at);
        let client_at = SocketAddr::new(client_at.ip(), port);
        told.expect_use(SocketChange::Used, client_at, server_at, client);
        told.expect_use(SocketChange::Used, server_at, client_at, server.pid);
        let owners = told.owners();
        assert_eq!(owners[&(client_at, server_at)], client);
        assert_eq!(owners[&(server_at, client_at)], server.pid);
    }
}

#[test]
fn ipv4_over_a_dual_stack_socket_is_told_as_ipv4() {
    require_root!();
    let stage = Stage::new("dual");
    let mut told = Told::open();
    let server = answer_once(&stage, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 80)));
    let (client, port) = ask(&stage, stage.v4(2, 80));
    told.expect_use(SocketChange::Used, stage.v4(2, 80), stage.v4(1, port), server.pid);
    told.expect_use(SocketChange::Used, stage.v4(1, port), stage.v4(2, 80), client);
    let listener = told.expect("the listener", |event| event.change == SocketChange::Bound && pid(event) == server.pid);
    assert_eq!(listener.ends.local, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 80)));
}

#[test]
fn the_states_of_both_ends_come_in_order_with_health() {
    require_root!();
    use SocketState::{Close, CloseWait, Established, FinWait1, FinWait2, LastAck, Listen, SynRecv, SynSent};
    let stage = Stage::new("states");
    let mut told = Told::open();
    // The server closes last: it waits for the end of what the client says.
    let mut server = Actor::start(&stage.b, |voice| {
        let listener = TcpListener::bind(stage.v4(2, 80)).unwrap();
        voice.say(0);
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
    });
    server.hear();
    let mut client = Actor::start(&stage.a, |voice| {
        let mut stream = TcpStream::connect(stage.v4(2, 80)).unwrap();
        stream.write_all(b"hello").unwrap();
        voice.say(stream.local_addr().unwrap().port().into());
    });
    let (client_at, server_at) = (stage.v4(1, client.hear() as u16), stage.v4(2, 80));
    let (client_pid, server_pid) = (client.pid, server.pid);
    client.join();
    server.join();
    told.expect("the listener's end", |event| event.change == SocketChange::Released && event.ends.local == server_at);
    told.expect("the client's end", |event| {
        event.ends.local == client_at && matches!(event.change, SocketChange::State { to: Close, .. })
    });
    let states = |local: SocketAddr, remote: SocketAddr, pid_wanted: u32| -> Vec<(SocketState, SocketState)> {
        let of = told.events.iter().filter(|event| event.ends.local == local && event.ends.remote == remote);
        of.filter_map(|event| match event.change {
            SocketChange::State { from, to } => {
                assert_eq!(pid(event), pid_wanted, "{event:?}");
                Some((from, to))
            }
            _ => None,
        })
        .collect()
    };
    let want = [(SynSent, Established), (Established, FinWait1), (FinWait1, FinWait2), (FinWait2, Close)];
    assert_eq!(states(client_at, server_at, client_pid), want);
    let want = [(SynRecv, Established), (Established, CloseWait), (CloseWait, LastAck), (LastAck, Close)];
    assert_eq!(states(server_at, client_at, server_pid), want);
    let listening = told.events.iter().filter(|event| pid(event) == server_pid && event.ends.remote == ANY4);
    let listening: Vec<_> = listening.map(|event| event.change).collect();
    let state = |from, to| SocketChange::State { from, to };
    let want = [state(Close, Listen), SocketChange::Bound, state(Listen, Close), SocketChange::Released];
    assert_eq!(listening, want);
    for event in told.events.iter().filter(|event| event.ends.local == client_at && event.ends.remote == server_at) {
        if let SocketChange::State { from, to: Established | Close } = event.change {
            let health = event.tcp.unwrap_or_else(|| panic!("no health from {from:?}"));
            let rtt = health.smoothed_rtt.expect("a handshake is a sample");
            assert!(rtt > Duration::from_nanos(500) && rtt < Duration::from_secs(5), "{health:?}");
            assert!(health.min_rtt.is_some() && health.out_of_order == Some(0), "{health:?}");
        }
    }
}

#[test]
fn a_connection_has_its_process_before_anybody_answers() {
    require_root!();
    let stage = Stage::new("silent");
    let mut told = Told::open();
    // No such host, but a neighbour entry, so that the SYN leaves.
    let nobody = stage.v4(9, 80);
    let entry = ["neigh", "replace", &nobody.ip().to_string(), "lladdr", "02:00:00:00:00:09", "dev", "eth0"];
    stage.a.ip(&entry).unwrap();
    let client = Actor::start(&stage.a, |_| drop(TcpStream::connect(nobody)));
    let event = told.expect("the attempt", |event| {
        event.change == SocketChange::Used && event.ends.remote == nobody && pid(event) == client.pid
    });
    assert_eq!(event.ends.local.ip(), stage.v4(1, 0).ip());
    assert_ne!(event.ends.local.port(), 0);
}

#[test]
fn each_worker_of_a_forked_server_has_the_connections_it_accepts() {
    require_root!();
    let stage = Stage::new("prefork");
    let mut told = Told::open();
    let at = stage.v4(2, 80);
    let mut server = Actor::start(&stage.b, |voice| {
        let listener = TcpListener::bind(at).unwrap();
        let workers: Vec<Actor> = (0..4)
            .map(|_| {
                let mut shared = voice.share();
                Actor::fork(|_| {
                    for _ in 0..3 {
                        let (mut stream, peer) = listener.accept().unwrap();
                        shared.say_all(&[std::process::id(), peer.port().into()]);
                        stream.write_all(b"x").unwrap();
                    }
                })
            })
            .collect();
        voice.say(0);
        workers.into_iter().for_each(Actor::join);
    });
    assert_eq!(server.hear(), 0);
    let mut workers = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let client = Actor::start(&stage.a, |_| {
            let mut stream = TcpStream::connect(at).unwrap();
            let mut byte = [0; 1];
            stream.read_exact(&mut byte).unwrap();
        });
        let (worker, port) = (server.hear(), server.hear() as u16);
        told.expect_use(SocketChange::Used, at, stage.v4(1, port), worker);
        assert_eq!(told.owners()[&(at, stage.v4(1, port))], worker);
        workers.insert(worker);
        client.join();
    }
    assert_eq!(workers.len(), 4, "each worker takes three");
    assert!(!workers.contains(&server.pid));
}

#[test]
fn udp_is_told_connected_unconnected_and_by_receivers_that_never_answer() {
    require_root!();
    let stage = Stage::new("udp");
    let mut told = Told::open();
    for (server_at, client_at) in [(stage.v4(2, 53), stage.v4(1, 0)), (stage.v6(2, 53), stage.v6(1, 0))] {
        let mut receiver = Actor::start(&stage.b, |voice| {
            let socket = UdpSocket::bind(server_at).unwrap();
            voice.say(0);
            let mut bytes = [0; 64];
            for _ in 0..4 {
                socket.recv(&mut bytes).unwrap();
            }
            voice.say(4);
        });
        receiver.hear();
        let any = if server_at.is_ipv4() { ANY4 } else { SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)) };
        told.expect_use(SocketChange::Bound, server_at, any, receiver.pid);
        let mut connected = Actor::start(&stage.a, |voice| {
            let socket = UdpSocket::bind(any).unwrap();
            socket.connect(server_at).unwrap();
            voice.say(socket.local_addr().unwrap().port().into());
            socket.send(b"1").unwrap();
            socket.send(b"2").unwrap();
        });
        let local = SocketAddr::new(client_at.ip(), connected.hear() as u16);
        told.expect_use(SocketChange::Used, local, server_at, connected.pid);
        let mut free = Actor::start(&stage.a, |voice| {
            let socket = UdpSocket::bind(any).unwrap();
            voice.say(socket.local_addr().unwrap().port().into());
            socket.send_to(b"3", server_at).unwrap();
            socket.send_to(b"4", server_at).unwrap();
        });
        let local = SocketAddr::new(any.ip(), free.hear() as u16);
        told.expect_use(SocketChange::Used, local, server_at, free.pid);
        assert_eq!(receiver.hear(), 4);
        told.expect("the end", |event| {
            event.change == SocketChange::Released && event.ends.local.port() == local.port()
        });
        let uses =
            told.events.iter().filter(|event| event.change == SocketChange::Used && event.ends.remote == server_at);
        assert_eq!(uses.count(), 2, "a steady sender is told once");
    }
}

#[test]
fn a_child_that_sends_on_an_inherited_socket_is_the_sender() {
    require_root!();
    let stage = Stage::new("child");
    let mut told = Told::open();
    let to = stage.v4(2, 9);
    let mut parent = Actor::start(&stage.a, |voice| {
        let socket = UdpSocket::bind(ANY4).unwrap();
        socket.send_to(b"parent", to).unwrap();
        voice.say(socket.local_addr().unwrap().port().into());
        let mut shared = voice.share();
        Actor::fork(|_| {
            socket.send_to(b"child", to).unwrap();
            shared.say(std::process::id());
        })
        .join();
    });
    let local = SocketAddr::new(ANY4.ip(), parent.hear() as u16);
    let child = parent.hear();
    told.expect_use(SocketChange::Used, local, to, parent.pid);
    told.expect_use(SocketChange::Used, local, to, child);
}

#[test]
fn a_process_of_a_few_milliseconds_has_its_executable() {
    require_root!();
    let stage = Stage::new("exec");
    let mut told = Told::open();
    let server = answer_once(&stage, stage.v4(2, 80));
    let to = stage.v4(2, 80);
    let script = format!("echo hello > /dev/tcp/{}/{}", to.ip(), to.port());
    let mut child = stage.a.enter(|| Command::new("/bin/bash").args(["-c", &script]).spawn()).unwrap().unwrap();
    let wanted = child.id();
    assert!(child.wait().unwrap().success());
    let event = told.expect("the shell", |event| event.ends.remote == to && pid(event) == wanted);
    let process = event.process.unwrap();
    assert_eq!(process.executable.as_deref(), Some("/bin/bash"));
    assert_eq!((&*process.comm, process.uid), ("bash", 0));
    assert!(process.started_ns > 0 && process.cgroup_id > 0, "{process:?}");
    server.join();
}

/// Waits until the kernel has dropped as many packets for this reason that went to `to`.
fn expect_drops(told: &mut Told, reason: &str, protocol: u8, from: SocketAddr, to: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let drops = told.watch.drops();
        let hit = drops.iter().find(|drop| {
            let latest = drop.latest.is_some_and(|(source, target)| source.ip() == from.ip() && target == to);
            &*drop.reason == reason && drop.protocol == protocol && latest
        });
        if let Some(hit) = hit {
            assert!(hit.packets > 0);
            assert_eq!(hit.ifindex, 0, "an interface of another namespace has no number here");
            return;
        }
        assert!(Instant::now() < deadline, "no {reason} to {to} in {drops:#?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn drops_are_counted_by_the_kernels_own_reason() {
    require_root!();
    let stage = Stage::new("drops");
    let mut told = Told::open();
    let (from, nobody) = (stage.v4(1, 0), stage.v4(2, 4444));
    stage.a.enter(|| UdpSocket::bind(from).unwrap().send_to(b"x", nobody).unwrap()).unwrap();
    expect_drops(&mut told, "no_socket", 17, from, nobody);
    let (from, nobody) = (stage.v6(1, 0), stage.v6(2, 4445));
    stage.a.enter(|| UdpSocket::bind(from).unwrap().send_to(b"x", nobody).unwrap()).unwrap();
    expect_drops(&mut told, "no_socket", 17, from, nobody);
    let rules = "add table inet t; add chain inet t c { type filter hook input priority 0; }; \
        add rule inet t c tcp dport 4446 drop";
    let filter = stage.b.command("nft").arg(rules).output().expect("nft is needed (Debian: apt-get install nftables)");
    assert!(filter.status.success(), "{}", String::from_utf8_lossy(&filter.stderr));
    let refused = stage.v4(2, 4446);
    let _client = Actor::start(&stage.a, |_| drop(TcpStream::connect(refused)));
    expect_drops(&mut told, "netfilter_drop", 6, stage.v4(1, 0), refused);
}

#[test]
fn a_drop_has_the_interface_when_it_is_one_of_the_watchers_namespace() {
    require_root!();
    let stage = Stage::new("iface");
    let (from, nobody) = (stage.v4(1, 0), stage.v4(2, 4444));
    // The watch is opened inside of the receiving host, on whose interface the packet comes in.
    let drops = stage.b.enter(|| {
        let mut told = Told::open();
        stage.a.enter(|| UdpSocket::bind(from).unwrap().send_to(b"x", nobody).unwrap()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let drops = told.watch.drops();
            let here = drops.iter().find(|drop| drop.ifindex != 0 && &*drop.reason == "no_socket");
            if let Some(drop) = here {
                return drop.clone();
            }
            assert!(Instant::now() < deadline, "no drop on an interface in {drops:#?}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    });
    let drop = drops.unwrap();
    let shown = stage.b.ip(&["-o", "link", "show", "eth0"]).unwrap();
    assert_eq!(shown.split(':').next().unwrap().parse(), Ok(drop.ifindex), "{shown}");
    assert_eq!((drop.protocol, drop.packets), (17, 1));
    let (source, target) = drop.latest.unwrap();
    assert_eq!((source.ip(), target), (from.ip(), nobody));
}

#[test]
fn a_udp_socket_that_is_connected_anew_is_told_with_each_peer() {
    require_root!();
    let stage = Stage::new("anew");
    let mut told = Told::open();
    let peers = [stage.v4(2, 53), stage.v4(9, 53), stage.v4(2, 53)];
    let mut sender = Actor::start(&stage.a, |voice| {
        let socket = UdpSocket::bind(ANY4).unwrap();
        for peer in peers {
            socket.connect(peer).unwrap();
            // Nobody listens; a refusal comes back as an error of a later call.
            let _ = socket.send(b"1");
            let _ = socket.send(b"2");
        }
        voice.say(socket.local_addr().unwrap().port().into());
    });
    let local = stage.v4(1, sender.hear() as u16);
    told.expect_use(SocketChange::Used, local, peers[0], sender.pid);
    told.expect_use(SocketChange::Used, local, peers[1], sender.pid);
    let uses = told.events.iter().filter(|event| event.change == SocketChange::Used && event.ends.local == local);
    assert_eq!(uses.count(), 2, "what was told is not told again");
}
