//! Does every flow get its process? A workload of short-lived processes whose truth is known, judged by the watch and, in
//! the same run, by looking through `/proc` once a second. Needs root.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod sockets_stage;

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hivewall_testkit::require_root;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use sockets_stage::{Actor, Stage, Told};

/// Processes that make one connection each.
const SHORT: u32 = 2_000;
/// Processes that send one datagram each.
const DATAGRAMS: u32 = 200;
/// Connections that last as long as the test.
const LONG: u32 = 4;
/// Bytes of each of them.
const LONG_BYTES: u32 = 1 << 20;
/// Processes that accept on one socket.
const WORKERS: u32 = 4;

/// One end of a flow, as its process tells it.
struct End {
    local: SocketAddr,
    remote: SocketAddr,
    pid: u32,
    bytes: u64,
}

/// Shares that were given the right process, in per cent of ends and of bytes.
fn shares(truth: &[End], owner: impl Fn(&End) -> Option<u32>) -> (f64, f64) {
    let right: Vec<&End> = truth.iter().filter(|end| owner(end) == Some(end.pid)).collect();
    let bytes = |ends: &mut dyn Iterator<Item = &End>| ends.map(|end| end.bytes).sum::<u64>() as f64;
    let ends = right.len() as f64 / truth.len() as f64;
    let share = bytes(&mut right.into_iter()) / bytes(&mut truth.iter());
    (100.0 * ends, 100.0 * share)
}

/// Bytes that client `index` sends and gets back.
fn size(index: u32) -> usize {
    100 + (index as usize * 37) % 1_900
}

/// A server of `WORKERS` processes on one listener that send back what they get; says who served which port.
fn forked_server(stage: &Stage, at: SocketAddr) -> Actor {
    let mut server = Actor::start(&stage.b, |voice| {
        let listener = TcpListener::bind(at).unwrap();
        let work = |mut shared: sockets_stage::Voice| loop {
            let (mut stream, peer) = listener.accept().unwrap();
            let mut head = [0; 4];
            stream.read_exact(&mut head).unwrap();
            let mut bytes = vec![0; u32::from_ne_bytes(head) as usize];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
            // The client closes first and keeps its port for a minute (TIME_WAIT), so that no two have the same one.
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            shared.say_all(&[std::process::id(), peer.port().into()]);
        };
        let workers: Vec<Actor> = (0..WORKERS)
            .map(|_| {
                let shared = voice.share();
                Actor::fork(|_| work(shared))
            })
            .collect();
        voice.say(0);
        workers.into_iter().for_each(Actor::join);
    });
    server.hear();
    server
}

/// One short-lived process with one connection: its number and port.
fn short_client(stage: &Stage, server: SocketAddr, bytes: usize) -> (u32, u16) {
    let mut client = Actor::start(&stage.a, |voice| {
        let mut stream = TcpStream::connect(server).unwrap();
        let mut message = (bytes as u32).to_ne_bytes().to_vec();
        message.resize(4 + bytes, 7);
        stream.write_all(&message).unwrap();
        let mut back = vec![0; bytes];
        stream.read_exact(&mut back).unwrap();
        voice.say(stream.local_addr().unwrap().port().into());
    });
    let port = client.hear() as u16;
    (client.pid, port)
}

/// Connections that stay: a server for all, a process for each client.
fn long_flows(stage: &Stage, truth: &mut Vec<End>) -> Vec<Actor> {
    let at = stage.v4(2, 81);
    let mut server = Actor::start(&stage.b, |voice| {
        let listener = TcpListener::bind(at).unwrap();
        voice.say(0);
        let streams: Vec<TcpStream> = (0..LONG)
            .map(|_| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut all = vec![0; LONG_BYTES as usize];
                stream.read_exact(&mut all).unwrap();
                stream
            })
            .collect();
        voice.say(0);
        // Held until the test kills this process.
        let _ = streams.iter().map(|mut stream| stream.read(&mut [0]).unwrap_or(0)).count();
    });
    server.hear();
    let mut actors = Vec::new();
    for _ in 0..LONG {
        let mut client = Actor::start(&stage.a, |voice| {
            let mut stream = TcpStream::connect(at).unwrap();
            stream.write_all(&vec![1; LONG_BYTES as usize]).unwrap();
            voice.say(stream.local_addr().unwrap().port().into());
            let _ = stream.read(&mut [0]);
        });
        let from = stage.v4(1, client.hear() as u16);
        let bytes = LONG_BYTES.into();
        truth.push(End { local: from, remote: at, pid: client.pid, bytes });
        truth.push(End { local: at, remote: from, pid: server.pid, bytes });
        actors.push(client);
    }
    server.hear();
    actors.push(server);
    actors
}

/// What looking through `/proc` once a second finds, as tools do that have no kernel program.
struct ProcLooks {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<HashMap<(SocketAddr, SocketAddr), u32>>,
}

impl ProcLooks {
    fn start(namespaces_of: Vec<u32>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut found = HashMap::new();
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                look(&namespaces_of, &mut found);
                while begun.elapsed() < Duration::from_secs(1) && !stopped.load(Ordering::Relaxed) {
                    std::thread::park_timeout(Duration::from_millis(20));
                }
            }
            found
        });
        Self { stop, thread }
    }

    fn stop(self) -> HashMap<(SocketAddr, SocketAddr), u32> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// One look: sockets in the namespaces of these processes, and who has them open.
fn look(namespaces_of: &[u32], found: &mut HashMap<(SocketAddr, SocketAddr), u32>) {
    let mut holders = HashMap::<u64, u32>::new();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    for pid in processes.collect::<Vec<u32>>() {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for target in files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()) {
            let inode = target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode {
                holders.insert(inode, pid);
            }
        }
    }
    for of in namespaces_of {
        for table in ["tcp", "udp"] {
            let text = fs::read_to_string(format!("/proc/{of}/net/{table}")).unwrap_or_default();
            found.extend(text.lines().skip(1).filter_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let inode = fields.get(9)?.parse().ok()?;
                Some(((address(fields.get(1)?)?, address(fields.get(2)?)?), *holders.get::<u64>(&inode)?))
            }));
        }
    }
}

/// `0100007F:0050`
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.to_ne_bytes());
    Some(SocketAddr::from((ip, u16::from_str_radix(port, 16).ok()?)))
}

const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// By both ends, else by the local end alone, else by the local port: as generous as it can be.
fn owner_in(found: &HashMap<(SocketAddr, SocketAddr), u32>, end: &End) -> Option<u32> {
    let any = SocketAddr::new(NOBODY.ip(), end.local.port());
    let ways = [(end.local, end.remote), (any, end.remote), (end.local, NOBODY), (any, NOBODY)];
    ways.iter().find_map(|way| found.get(way)).copied()
}

#[test]
fn short_lived_processes_forked_servers_udp_and_long_flows_get_their_process() {
    require_root!();
    let stage = Stage::new("truth");
    let mut told = Told::open();
    let (at, sink) = (stage.v4(2, 80), stage.v4(2, 53));
    let mut truth = Vec::new();
    let long = long_flows(&stage, &mut truth);
    let mut server = forked_server(&stage, at);
    let receiver = Actor::start(&stage.b, |voice| {
        let socket = UdpSocket::bind(sink).unwrap();
        voice.say(0);
        while socket.recv(&mut [0; 600]).is_ok() {}
    });
    let looks = ProcLooks::start(vec![long[0].pid, server.pid]);
    let begun = Instant::now();
    let mut sizes = HashMap::new();
    for index in 0..SHORT {
        let (pid, port) = short_client(&stage, at, size(index));
        let bytes = 4 + 2 * size(index) as u64;
        sizes.insert(port, bytes);
        truth.push(End { local: stage.v4(1, port), remote: at, pid, bytes });
        if index % (SHORT / DATAGRAMS) == 0 {
            let mut sender = Actor::start(&stage.a, |voice| {
                let socket = UdpSocket::bind(NOBODY).unwrap();
                socket.send_to(&[7; 500], sink).unwrap();
                voice.say(socket.local_addr().unwrap().port().into());
            });
            let from = stage.v4(1, sender.hear() as u16);
            truth.push(End { local: from, remote: sink, pid: sender.pid, bytes: 500 });
            truth.push(End { local: sink, remote: from, pid: receiver.pid, bytes: 500 });
        }
        told.poll();
    }
    for _ in 0..SHORT {
        let (pid, port) = (server.hear(), server.hear() as u16);
        truth.push(End { local: at, remote: stage.v4(1, port), pid, bytes: sizes[&port] });
    }
    let (took, found) = (begun.elapsed(), looks.stop());
    told.poll();
    let owners = told.owners();
    let (ends, bytes) = shares(&truth, |end| owner_in(&owners, end));
    let (proc_ends, proc_bytes) = shares(&truth, |end| owner_in(&found, end));
    println!("{} ends of flows in {took:.1?}, {} notes", truth.len(), told.watch.events());
    println!("watch:           {ends:.2}% of ends, {bytes:.2}% of bytes");
    println!("/proc each 1 s:  {proc_ends:.2}% of ends, {proc_bytes:.2}% of bytes");
    assert!(told.watch.losses().iter().all(|loss| loss.count == 0), "{:?}", told.watch.losses());
    assert!(ends >= 98.0 && bytes >= 99.0, "{ends:.2}% of ends, {bytes:.2}% of bytes");
    assert!(proc_ends < ends, "looking at /proc cannot be better: {proc_ends:.2}%");
}

/// Connections of one round.
const ROUND: u32 = 1_000;

/// CPU time that this process has used, in microseconds: other than the time of day, it leaves out what else the
/// machine has to do.
fn cpu_micros() -> u32 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    [usage.user_time(), usage.system_time()].map(|time| time.num_microseconds() as u32).iter().sum()
}

/// CPU microseconds of a connection, both ends together, between two processes over a veth pair.
fn connection_cost(stage: &Stage) -> f64 {
    let at = stage.v4(2, 82);
    let mut server = Actor::start(&stage.b, |voice| {
        let listener = TcpListener::bind(at).unwrap();
        voice.say(0);
        for _ in 0..ROUND {
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream.write_all(&byte).unwrap();
        }
        voice.say(cpu_micros());
    });
    server.hear();
    let mut client = Actor::start(&stage.a, |voice| {
        for _ in 0..ROUND {
            let mut stream = TcpStream::connect(at).unwrap();
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        voice.say(cpu_micros());
    });
    f64::from(client.hear() + server.hear()) / f64::from(ROUND)
}

#[test]
fn a_connection_costs_little_more_under_watch() {
    require_root!();
    let stage = Stage::new("cost");
    let (mut on, mut off) = (f64::MAX, f64::MAX);
    // In turn, so that what else this machine does falls on both alike; the best round of each is compared.
    for _ in 0..5 {
        off = off.min(connection_cost(&stage));
        let mut told = Told::open();
        on = on.min(connection_cost(&stage));
        told.poll();
    }
    println!("CPU for both ends of a connection: {off:.1} µs without, {on:.1} µs with the watch");
    // Far above what is measured; a program gone wrong costs more than this.
    assert!(on < off * 2.0 + 20.0, "{on:.1} µs where it was {off:.1} µs");
}
