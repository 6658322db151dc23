//! Measures the store: rows a second, bytes a row, and how long the usual questions take.
//!
//! `cargo run --release -p hivewall-store --example bench [FLOWS] [DIRECTORY]`. Flows are those of a made-up host over ten
//! hours: Zipf over clients, servers, processes and names; TCP with handshakes and TLS, DNS, QUIC, ICMP; kernel ticks of
//! 4 ms. Rows a second are per second of CPU time of the thread that writes, and of what handing over costs the caller.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measuring program: it may stop")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hivewall_model::{
    Direction, DnsMessage, EndReason, Flow, FlowId, FlowNames, NameSource, Perspective, Point, Process, Side, TcpFlags,
    TcpState, Timestamp, Timing, TlsHello, Tuple,
};
use hivewall_store::{By, Store, StoreLoss, StoreOptions, StoreReader};
use hivewall_view::{Filter, Query};

const SPAN: Duration = Duration::from_secs(36_000);
const TICK_NS: i64 = 4_000_000;
const PARCEL: usize = 4_096;

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponential with a mean.
    fn about(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }
}

/// Ranks by Zipf's law with exponent 1.1.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(ranks: usize) -> Self {
        let mut sum = 0.0;
        let mut steps: Vec<f64> = (1..=ranks)
            .map(|rank| {
                sum += (rank as f64).powf(-1.1);
                sum
            })
            .collect();
        for step in &mut steps {
            *step /= sum;
        }
        Self(steps)
    }

    fn rank(&self, random: &mut Random) -> usize {
        let at = random.unit();
        self.0.partition_point(|step| *step < at).min(self.0.len() - 1)
    }
}

struct Host {
    random: Random,
    clients: Zipf,
    servers: Zipf,
    programs: Zipf,
    processes: Vec<Arc<Process>>,
    names: Vec<Arc<str>>,
    begin: i64,
    step_ns: f64,
    next: u64,
}

impl Host {
    fn new(flows: u64, end: Timestamp) -> Self {
        let processes = (0..120).map(|n| Arc::new(process(n, 1000 + n * 7))).collect();
        Self {
            random: Random(1),
            clients: Zipf::new(4_000),
            servers: Zipf::new(20_000),
            programs: Zipf::new(120),
            processes,
            names: (0..20_000).map(|n| format!("host{n}.service{}.example.net", n % 700).into()).collect(),
            begin: end.0 - SPAN.as_nanos() as i64,
            step_ns: SPAN.as_nanos() as f64 / flows as f64,
            next: 0,
        }
    }

    fn flow(&mut self) -> Flow {
        let number = self.next;
        self.next += 1;
        let random = &mut self.random;
        let start = self.begin + (number as f64 * self.step_ns) as i64 / TICK_NS * TICK_NS;
        let client = self.clients.rank(random);
        let server = self.servers.rank(random);
        let kind = random.below(100);
        let (protocol, port) = match kind {
            0..45 => (6, 443),
            45..55 => (6, [80, 22, 5432, 8080, 6379][random.below(5) as usize]),
            55..85 => (17, 53),
            85..95 => (17, 443),
            _ => (1, 0),
        };
        let (packets, back) = match protocol {
            6 => (6 + random.about(6.0) as u64, 6 + random.about(10.0) as u64),
            17 if port == 443 => (6 + random.about(15.0) as u64, 6 + random.about(30.0) as u64),
            _ => (1, 1),
        };
        let size =
            |random: &mut Random, packets: u64, each: f64| packets * 52 + random.about(packets as f64 * each) as u64;
        let to_server = side(packets, size(random, packets, 80.0), if protocol == 6 { 0x1b } else { 0 });
        let to_client = side(back, size(random, back, 500.0), if protocol == 6 { 0x1b } else { 0 });
        let lasted = random.about(if protocol == 6 { 2e9 } else { 4e7 }) as i64 / TICK_NS * TICK_NS;
        let point = |direction, to_server: bool, side| Point { ifindex: 2, direction, to_server, tunnel: None, side };
        let process = (random.below(10) < 7).then(|| {
            if random.below(10) == 0 {
                Arc::new(process(random.below(20) as u32, 100_000 + (number % 4_000_000) as u32))
            } else {
                Arc::clone(&self.processes[self.programs.rank(random)])
            }
        });
        Flow {
            id: FlowId(number),
            tuple: Tuple {
                protocol,
                client: address(10, client),
                server: address(203, server),
                client_port: if protocol == 1 { 8 } else { 32_768 + random.below(28_000) as u16 },
                server_port: port,
                vlans: [0; 2],
            },
            roles_known: protocol == 6 || random.below(20) > 0,
            perspective: if kind < 70 { Perspective::Outbound } else { Perspective::Inbound },
            to_server,
            to_client,
            start: Timestamp(start),
            last: Timestamp(start + lasted),
            tcp_state: (protocol == 6).then_some(if random.below(8) == 0 { TcpState::Reset } else { TcpState::Closed }),
            ended: Some(match (protocol, random.below(8)) {
                (6, 0) => EndReason::Reset,
                (6, _) => EndReason::Finished,
                _ => EndReason::Idle,
            }),
            portless: false,
            points: vec![point(Direction::Egress, true, to_server), point(Direction::Ingress, false, to_client)],
            rate: 0.0,
            client_process: process,
            server_process: None,
            names: names(random, protocol, port, &self.names[server]),
            timing: timing(random, protocol, port),
            judgement: None,
        }
    }
}

fn process(program: u32, pid: u32) -> Process {
    Process {
        pid,
        started_ns: 1,
        comm: format!("program-{program}").into(),
        executable: Some(format!("/usr/lib/program/bin/program-{program}").into()),
        uid: 1000 + program % 5,
        user: Some(format!("user{}", program % 5).into()),
        cgroup_id: 1,
        cgroup: Some(format!("/system.slice/program-{program}.service").into()),
        container: None,
    }
}

fn address(first: u8, rank: usize) -> IpAddr {
    let spread = (rank as u32).wrapping_mul(2_654_435_761);
    Ipv4Addr::new(first, (spread >> 16) as u8, (spread >> 8) as u8, spread as u8).into()
}

fn side(packets: u64, ip_bytes: u64, flags: u8) -> Side {
    Side { packets, ip_bytes, wire_bytes: ip_bytes + 14 * packets, flags: TcpFlags(flags) }
}

fn names(random: &mut Random, protocol: u8, port: u16, name: &Arc<str>) -> Option<Arc<FlowNames>> {
    let hello = |quic, ja4: u64| {
        Arc::new(TlsHello {
            server_name: Some((**name).into()),
            alpn: vec!["h2".into()],
            version: 0x0304,
            ja4: format!("t13d1516h2_8daaf6152771_{ja4:012x}").into(),
            quic,
        })
    };
    let names = match (protocol, port) {
        (6 | 17, 443) => FlowNames {
            application: Some(if protocol == 6 { "tls" } else { "quic" }),
            server: Some((Arc::clone(name), NameSource::Sni)),
            tls: Some(hello(protocol == 17, random.below(12))),
            ..FlowNames::default()
        },
        (17, 53) => FlowNames {
            application: Some("dns"),
            dns: Some(Arc::new(DnsMessage {
                name: (**name).into(),
                qtype: if random.below(3) == 0 { 28 } else { 1 },
                response: true,
                rcode: if random.below(20) == 0 { 3 } else { 0 },
                ..DnsMessage::default()
            })),
            ..FlowNames::default()
        },
        _ => return None,
    };
    Some(Arc::new(names))
}

fn timing(random: &mut Random, protocol: u8, port: u16) -> Timing {
    let mut micros = |mean: f64| Some(Duration::from_micros(random.about(mean) as u64));
    match (protocol, port) {
        (6, _) => Timing {
            handshake_server: micros(20_000.0),
            handshake_client: micros(60.0),
            server_response: micros(30_000.0),
            smoothed_rtt: micros(20_000.0),
            rtt_deviation: micros(4_000.0),
            retransmits: Some(u32::from(random.below(20) == 0)),
            ..Timing::default()
        },
        (17, _) => Timing { round_trip: micros(15_000.0), ..Timing::default() },
        _ => Timing::default(),
    }
}

/// CPU time of a thread of this process by its name.
fn thread_cpu(name: &str) -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let path = task.path();
        let comm = std::fs::read_to_string(path.join("comm")).ok()?;
        let stat = std::fs::read_to_string(path.join("schedstat")).ok()?;
        (comm.trim() == name).then(|| stat.split(' ').next()?.parse::<u64>().ok())?
    });
    Duration::from_nanos(nanos.sum())
}

fn ingest(store: &Store, flows: u64, end: Timestamp) -> (Duration, Duration) {
    let sender = store.sender();
    let name: Arc<str> = "eth0".into();
    let mut host = Host::new(flows, end);
    let mut pushing = Duration::ZERO;
    let mut sent = 0;
    while sent < flows {
        let parcel: Vec<Arc<Flow>> = (0..PARCEL.min((flows - sent) as usize)).map(|_| Arc::new(host.flow())).collect();
        let mut left = parcel.as_slice();
        while !left.is_empty() {
            let begun = Instant::now();
            let lost = sender.push(left, &|_| Arc::clone(&name));
            pushing += begun.elapsed();
            left = &left[left.len() - lost..];
            if lost > 0 {
                // A bench hands over what a capture would have counted as lost.
                store.flush();
            }
        }
        sent += parcel.len() as u64;
    }
    store.seal();
    (pushing, thread_cpu("history"))
}

/// CPU time of the main thread, on which questions are answered: other work on the machine is not the store's.
fn timed<T>(what: &str, mut act: impl FnMut() -> T, say: impl Fn(&T) -> String) {
    let main = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
    let runs: Vec<(Duration, Duration, T)> = (0..3)
        .map(|_| {
            let (begun, cpu) = (Instant::now(), thread_cpu(main.trim()));
            let answer = act();
            (thread_cpu(main.trim()).saturating_sub(cpu), begun.elapsed(), answer)
        })
        .collect();
    let (cpu, wall, answer) = runs.iter().min_by_key(|(cpu, _, _)| *cpu).expect("three runs");
    let millis = |time: &Duration| time.as_secs_f64() * 1e3;
    println!("{what:<34} {:>8.1} ms of CPU, {:>8.1} ms  {}", millis(cpu), millis(wall), say(answer));
}

fn ask(reader: &StoreReader, end: Timestamp) {
    let until = || Instant::now() + Duration::from_secs(600);
    let begin = end - SPAN;
    for by in [By::Source, By::Address, By::Service] {
        timed(
            &format!("top 10 by {}, all flows", by.name()),
            || reader.exact_top_talkers((begin, end + Duration::from_secs(60)), by, 10, until()).expect("an answer"),
            |answer| format!("{:?}", answer.basis),
        );
    }
    for by in [By::Source, By::Service, By::Process] {
        timed(
            &format!("top 10 by {}, roll-ups", by.name()),
            || reader.top_talkers((begin, end + Duration::from_secs(60)), by, 10, until()).expect("an answer"),
            |answer| {
                format!(
                    "{:?}, may lack {} of {}",
                    answer.basis,
                    answer.lacks_at_most,
                    answer.rows.last().map_or(0, |row| row.sums.bytes)
                )
            },
        );
    }
    timed(
        "series of minutes",
        || {
            let minute = 60_000_000_000;
            let whole = (Timestamp(begin.0 / minute * minute), Timestamp(end.0 / minute * minute));
            reader.series(whole, Duration::from_secs(60), until()).expect("an answer")
        },
        |series| format!("{:?}, {} steps", series.basis, series.steps.len()),
    );
    for (what, text) in [
        ("one source in the last hour", format!("src-ip:{} last:1h", address(10, 40))),
        ("an absent source in the last hour", "src-ip:10.255.255.255 last:1h".to_owned()),
        ("one source of ten hours", format!("src-ip:{}", address(10, 3_000))),
        ("largest of the last hour", "last:1h".to_owned()),
        ("port 22 in the last hour", "last:1h dst-port:22".to_owned()),
    ] {
        let filter = Filter::parse(&text, end).expect("a filter");
        let query = Query { filter, limit: 100, ..Query::default() };
        timed(what, || reader.flows(&query, until()).expect("an answer"), |page| format!("{} matched", page.matched));
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let flows: u64 = arguments.next().map_or(10_000_000, |text| text.parse().expect("a number of flows"));
    let directory = arguments.next().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("hivewall-bench-{}", std::process::id())).display().to_string()
    });
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let end = Timestamp::from_secs(since.as_secs() as i64);
    let store = Store::open(StoreOptions::new(&directory)).expect("a store");
    let begun = Instant::now();
    let (pushing, writing) = ingest(&store, flows, end);
    let reader = store.reader();
    let info = reader.info();
    let segments: u64 = std::fs::read_dir(&directory)
        .expect("the directory")
        .flatten()
        .filter(|file| file.path().extension().is_some_and(|ending| ending == "parquet"))
        .filter_map(|file| Some(file.metadata().ok()?.len()))
        .sum();
    let cpu = pushing + writing;
    println!("flows {flows}, segments {}, lost {}", info.segments, reader.lost(StoreLoss::WriteFailed));
    println!("wall {:.1} s, making flows included", begun.elapsed().as_secs_f64());
    println!("writer {:.2} s of CPU, handing over {:.2} s", writing.as_secs_f64(), pushing.as_secs_f64());
    println!("{:.0} flows a second of one core", flows as f64 / cpu.as_secs_f64());
    println!(
        "{:.2} bytes a flow in segments, {:.2} with roll-ups",
        segments as f64 / flows as f64,
        info.bytes as f64 / flows as f64
    );
    ask(&reader, end);
    drop(store);
    std::fs::remove_dir_all(&directory).expect("the directory can be removed");
}
