//! sock_diag against sockets that the test itself opens, in a namespace of its own: states, families, owners, health,
//! and what a busy host costs. Needs root.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use hivewall_host::diag::{DiagSocket, DiagWatch, SocketDiag, Watched};
use hivewall_host::process::ProcessTable;
use hivewall_model::{SocketCensus, SocketChange, SocketEvent, SocketState, Timestamp};
use hivewall_testkit::netns::{Host, Lab};
use hivewall_testkit::require_root;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Runs `work` in a namespace without any socket but its own.
fn alone(name: &str, work: impl FnOnce() + Send) {
    let lab = Lab::new(name).unwrap();
    lab.host("a").unwrap().enter(work).unwrap();
}

fn inode(socket: &impl AsRawFd) -> u64 {
    std::fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap().ino()
}

fn states(census: &SocketCensus, state: SocketState) -> [u64; 2] {
    census.tcp.iter().find(|(known, _)| *known == state).map_or([0, 0], |(_, counts)| *counts)
}

fn find<'a>(sockets: &'a [DiagSocket], protocol: u8, local: &str, remote: &str) -> Option<&'a DiagSocket> {
    let (local, remote): (SocketAddr, SocketAddr) = (local.parse().unwrap(), remote.parse().unwrap());
    sockets.iter().find(|s| s.ends.protocol == protocol && s.ends.local == local && s.ends.remote == remote)
}

#[test]
fn every_kind_of_socket_is_listed_with_its_ends_state_and_inode() {
    require_root!();
    alone("diagkinds", || {
        let mut diag = SocketDiag::open().unwrap();
        assert_eq!(diag.census().unwrap(), (SocketCensus::default(), vec![]), "an empty namespace");

        let v4 = TcpListener::bind("127.0.0.1:81").unwrap();
        let dual = TcpListener::bind("[::]:82").unwrap();
        let client = TcpStream::connect("127.0.0.1:81").unwrap();
        let (accepted, _) = v4.accept().unwrap();
        let mapped = TcpStream::connect("127.0.0.1:82").unwrap();
        let (mapped_server, _) = dual.accept().unwrap();
        let six = TcpStream::connect("[::1]:82").unwrap();
        let (six_server, _) = dual.accept().unwrap();
        let bound = UdpSocket::bind("127.0.0.1:53").unwrap();
        let connected = UdpSocket::bind("[::1]:54").unwrap();
        connected.connect("[::1]:55").unwrap();
        let mapped_udp = UdpSocket::bind((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 56)).unwrap();

        let (census, sockets) = diag.census().unwrap();
        assert_eq!(states(&census, SocketState::Listen), [1, 1]);
        assert_eq!(states(&census, SocketState::Established), [4, 2], "a mapped connection is IPv4, on both sides");
        assert_eq!(census.udp, [2, 1]);
        assert_eq!(sockets.len(), 11);
        let at = |socket: &TcpStream| socket.local_addr().unwrap().port();
        for (protocol, local, remote, socket) in [
            (TCP, "127.0.0.1:81", "0.0.0.0:0".to_owned(), inode(&v4)),
            (TCP, "[::]:82", "[::]:0".to_owned(), inode(&dual)),
            (TCP, "127.0.0.1:81", format!("127.0.0.1:{}", at(&client)), inode(&accepted)),
            (TCP, "127.0.0.1:82", format!("127.0.0.1:{}", at(&mapped)), inode(&mapped_server)),
            (TCP, "[::1]:82", format!("[::1]:{}", at(&six)), inode(&six_server)),
            (UDP, "127.0.0.1:53", "0.0.0.0:0".to_owned(), inode(&bound)),
            (UDP, "[::1]:54", "[::1]:55".to_owned(), inode(&connected)),
            (UDP, "127.0.0.1:56", "0.0.0.0:0".to_owned(), inode(&mapped_udp)),
        ] {
            let found = find(&sockets, protocol, local, &remote).unwrap_or_else(|| panic!("no {local} {remote}"));
            assert_eq!(found.inode, socket, "{local}");
            assert_eq!(found.uid, 0);
        }
        let cookies: HashSet<u64> = sockets.iter().map(|socket| socket.cookie).collect();
        assert_eq!(cookies.len(), sockets.len(), "cookies tell sockets apart");
        assert_eq!(find(&sockets, UDP, "[::1]:54", "[::1]:55").unwrap().state, SocketState::Established);
    });
}

#[test]
fn a_connection_that_is_closed_from_one_side_goes_through_its_states() {
    require_root!();
    alone("diagstates", || {
        let mut diag = SocketDiag::open().unwrap();
        let listener = TcpListener::bind("127.0.0.1:81").unwrap();
        let client = TcpStream::connect("127.0.0.1:81").unwrap();
        let (server, _) = listener.accept().unwrap();
        // The client closes first: it waits in FIN_WAIT2, the server in CLOSE_WAIT.
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut byte = [0];
        assert_eq!((&server).read(&mut byte).unwrap(), 0, "the FIN is there");
        let census = until(&mut diag, |census| states(census, SocketState::FinWait2) == [1, 0]);
        assert_eq!(states(&census, SocketState::CloseWait), [1, 0]);
        drop(server);
        let census = until(&mut diag, |census| states(census, SocketState::TimeWait) == [1, 0]);
        assert_eq!(states(&census, SocketState::CloseWait), [0, 0]);
        drop(client);
    });
}

#[test]
fn a_tcp_socket_that_is_only_bound_is_closed_where_the_kernel_tells_of_it() {
    use hivewall_host::probe::{KernelVersion, kernel_version};
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, socket};

    require_root!();
    alone("diagbound", || {
        let bound = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(bound.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 83)).unwrap();
        let (census, sockets) = SocketDiag::open().unwrap().census().unwrap();
        let told = u64::from(kernel_version() >= KernelVersion(6, 8));
        assert_eq!(states(&census, SocketState::Close), [told, 0]);
        assert_eq!(sockets.len() as u64, told);
    });
}

/// Asks until it is so, for ten seconds at most.
fn until(diag: &mut SocketDiag, wanted: impl Fn(&SocketCensus) -> bool) -> SocketCensus {
    let start = Instant::now();
    loop {
        let (census, _) = diag.census().unwrap();
        if wanted(&census) {
            return census;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{census:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_request_socket_is_half_open_and_an_unanswered_one_is_sent() {
    require_root!();
    let lab = Lab::new("diaghalf").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    lab.link(&a, "eth0", &b, "eth0").addresses(&["10.0.0.1/24"], &["10.0.0.2/24"]).up().unwrap();
    let listener = b.enter(|| TcpListener::bind("10.0.0.2:81").unwrap()).unwrap();
    // The SYN arrives; the answer goes to a card that is nobody's.
    b.ip(&["neigh", "replace", "10.0.0.1", "lladdr", "02:00:00:00:00:99", "dev", "eth0"]).unwrap();
    let connecting = a.spawn(|| {
        let target = "10.0.0.2:81".parse().unwrap();
        TcpStream::connect_timeout(&target, Duration::from_secs(2)).map(drop)
    });
    let wait = |host: &Host, state| {
        host.enter(|| until(&mut SocketDiag::open().unwrap(), |census| states(census, state) == [1, 0])).unwrap()
    };
    wait(&a, SocketState::SynSent);
    let census = wait(&b, SocketState::SynRecv);
    assert_eq!(states(&census, SocketState::Listen), [1, 0]);
    assert!(connecting.unwrap().join().unwrap().unwrap().is_err(), "nobody could answer");
    drop(listener);
}

#[test]
fn health_is_what_the_socket_itself_says() {
    require_root!();
    alone("diaghealth", || {
        let listener = TcpListener::bind("127.0.0.1:81").unwrap();
        let mut client = TcpStream::connect("127.0.0.1:81").unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut buffer = vec![7; 64 << 10];
        client.write_all(&buffer).unwrap();
        server.read_exact(&mut buffer).unwrap();
        let (_, sockets) = SocketDiag::open().unwrap().census().unwrap();
        let ours = sockets.iter().find(|socket| socket.inode == inode(&client)).unwrap();
        let own = own_info(&client);
        let health = ours.health.unwrap();
        // Read one after the other while nothing is sent, so they are equal.
        assert_eq!(health.smoothed_rtt, Some(Duration::from_micros(own.tcpi_rtt.into())));
        assert_eq!(health.rtt_deviation, Some(Duration::from_micros(own.tcpi_rttvar.into())));
        assert_eq!(health.retransmits, own.tcpi_total_retrans);
        assert_eq!(health.out_of_order, Some(0));
        let least = health.min_rtt.unwrap();
        assert!(least <= health.smoothed_rtt.unwrap() * 4 && least > Duration::ZERO, "{health:?}");
        let listening = sockets.iter().find(|socket| socket.state == SocketState::Listen).unwrap();
        assert_eq!(listening.health, None);
    });
}

fn own_info(socket: &TcpStream) -> libc::tcp_info {
    // SAFETY: a struct of integers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `info`, and both live through the call.
    let status = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut len)
    };
    assert_eq!(status, 0);
    info
}

#[test]
fn owners_are_the_processes_that_hold_the_sockets_and_a_server_comes_before_its_child() {
    require_root!();
    let lab = Lab::new("diagowners").unwrap();
    let host = lab.host("a").unwrap();
    host.enter(|| {
        let listener = TcpListener::bind("127.0.0.1:81").unwrap();
        let (client, lost) = (TcpStream::connect("127.0.0.1:81").unwrap(), 1 << 40);
        let wanted = HashSet::from([inode(&listener), inode(&client), lost]);
        // A child that has the client as its standard input and lives until it is told to end.
        let mut child = std::process::Command::new("sleep")
            .arg("30")
            .stdin(std::process::Stdio::from(std::os::fd::OwnedFd::from(client.try_clone().unwrap())))
            .spawn()
            .unwrap();
        let mut table = ProcessTable::new();
        let mut diag = SocketDiag::open().unwrap();
        let owners = diag.owners(&wanted, &mut table);
        assert_eq!(owners.len(), 2, "nobody holds an inode that does not exist");
        let lower = std::process::id().min(child.id());
        assert_eq!(owners[&inode(&client)].pid, lower);
        assert_eq!(owners[&inode(&listener)].pid, std::process::id());
        let alone = inode(&client);
        drop(client);
        let owners = diag.owners(&HashSet::from([alone]), &mut table);
        assert_eq!((owners[&alone].pid, &*owners[&alone].comm), (child.id(), "sleep"));
        assert_eq!(diag.cut_scans(), 0);
        child.kill().unwrap();
        child.wait().unwrap();
    })
    .unwrap();
}

/// What a watch told, without the health.
fn told(events: &[SocketEvent]) -> Vec<(SocketChange, String, Option<u32>)> {
    let plain = events.iter().filter(|event| event.change != SocketChange::Measured);
    let mut told: Vec<_> = plain
        .map(|e| (e.change, format!("{}>{}", e.ends.local, e.ends.remote), e.process.as_ref().map(|p| p.pid)))
        .collect();
    told.sort_by(|a, b| a.1.cmp(&b.1));
    told
}

/// Polls as a caller would, until `wanted` events came.
fn poll_until(watch: &mut DiagWatch, table: &mut ProcessTable, wanted: usize) -> Vec<SocketEvent> {
    let (start, mut events) = (Instant::now(), Vec::new());
    while told(&events).len() < wanted {
        watch.poll(table, Timestamp(1), &mut events).unwrap();
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", told(&events));
        std::thread::yield_now();
    }
    events
}

#[test]
fn a_watch_tells_of_each_socket_once_and_of_its_end() {
    require_root!();
    alone("diagwatch", || {
        let me = Some(std::process::id());
        let mut table = ProcessTable::new();
        let server = UdpSocket::bind("127.0.0.1:53").unwrap();
        let listener = TcpListener::bind("127.0.0.1:81").unwrap();
        let mut watch = DiagWatch::open(Watched::All).unwrap();
        let mut events = Vec::new();
        let census = watch.poll(&mut table, Timestamp(7), &mut events).unwrap();
        assert_eq!(census.udp, [1, 0]);
        let at_first = [
            (SocketChange::Bound, "127.0.0.1:53>0.0.0.0:0".to_owned(), me),
            (SocketChange::Bound, "127.0.0.1:81>0.0.0.0:0".to_owned(), me),
        ];
        assert_eq!(told(&events), at_first);
        assert_eq!(events[0].time, Timestamp(7));

        // Polled again at once it does nothing, and still answers.
        events.clear();
        assert_eq!(watch.poll(&mut table, Timestamp(8), &mut events).unwrap(), census);
        assert_eq!(events, []);

        server.connect("127.0.0.1:99").unwrap();
        let client = TcpStream::connect("127.0.0.1:81").unwrap();
        let port = client.local_addr().unwrap().port();
        let (accepted, _) = listener.accept().unwrap();
        let events = poll_until(&mut watch, &mut table, 4);
        let mut want = vec![
            (SocketChange::Released, "127.0.0.1:53>0.0.0.0:0".to_owned(), me),
            (SocketChange::Used, "127.0.0.1:53>127.0.0.1:99".to_owned(), me),
            (SocketChange::Used, format!("127.0.0.1:81>127.0.0.1:{port}"), me),
            (SocketChange::Used, format!("127.0.0.1:{port}>127.0.0.1:81"), me),
        ];
        want.sort_by(|a, b| a.1.cmp(&b.1));
        assert_eq!(told(&events), want);

        drop((accepted, client, listener));
        let events = poll_until(&mut watch, &mut table, 1);
        assert_eq!(told(&events), [(SocketChange::Released, "127.0.0.1:81>0.0.0.0:0".to_owned(), me)]);
        assert_eq!(watch.unwatched(), 0);
    });
}

#[test]
fn a_watch_beside_kernel_events_looks_for_owners_of_older_sockets_only() {
    require_root!();
    alone("diagolder", || {
        let mut table = ProcessTable::new();
        let older = UdpSocket::bind("127.0.0.1:53").unwrap();
        let mut watch = DiagWatch::open(Watched::Older).unwrap();
        let mut events = Vec::new();
        watch.poll(&mut table, Timestamp(1), &mut events).unwrap();
        assert_eq!(told(&events).len(), 1);
        let newer = UdpSocket::bind("127.0.0.1:54").unwrap();
        older.connect("127.0.0.1:55").unwrap();
        let events = poll_until(&mut watch, &mut table, 2);
        assert!(events.iter().all(|event| event.ends.local.port() == 53), "{:?}", told(&events));
        assert_eq!(watch.len(), 2);
        drop(newer);
    });
}

/// Processor time of this thread, which other work on the machine does not add to.
fn cpu_time() -> Duration {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    now.into()
}

/// Pairs of connected sockets.
const PAIRS: usize = 2_500;

#[test]
fn a_census_of_five_thousand_sockets_is_quick() {
    require_root!();
    alone("diagmany", || {
        nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 20_000, 20_000).unwrap();
        let listener = TcpListener::bind("127.0.0.1:81").unwrap();
        let mut diag = SocketDiag::open().unwrap();
        let start = cpu_time();
        diag.census().unwrap();
        let idle = cpu_time().saturating_sub(start);
        let mut held = Vec::with_capacity(PAIRS * 2);
        for _ in 0..PAIRS {
            held.push(TcpStream::connect("127.0.0.1:81").unwrap());
            held.push(listener.accept().unwrap().0);
        }
        let mut sockets = Vec::new();
        let mut least = |health| {
            let times = (0..10).map(|_| {
                let start = cpu_time();
                diag.list(health, &mut sockets).unwrap();
                cpu_time().saturating_sub(start)
            });
            let least = times.min().unwrap();
            assert_eq!(sockets.len(), PAIRS * 2 + 1);
            least
        };
        let (plain, health) = (least(false), least(true));
        let wanted: HashSet<u64> = sockets.iter().map(|socket| socket.inode).collect();
        let mut table = ProcessTable::new();
        let start = cpu_time();
        let owners = diag.owners(&wanted, &mut table);
        let scan = cpu_time().saturating_sub(start);
        assert_eq!(owners.len(), wanted.len());
        println!(
            "{} sockets: states {plain:?}, with health {health:?}, owners {scan:?}; 1 socket: {idle:?}",
            sockets.len()
        );
        // Ten times what it takes in an optimised build on a shared virtual machine.
        assert!(plain < Duration::from_millis(100) && health < Duration::from_millis(300), "{plain:?} {health:?}");
    });
}
