//! What the tests against real collectors share: made-up flows with known sums, programs that are ended with the test,
//! and waiting for conditions.

#![allow(dead_code, reason = "each test program uses its part")]

use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::park_timeout;
use std::time::{Duration, Instant, SystemTime};

use hivewall_flowexport::{Exporters, Target, TargetCounters};
use hivewall_model::{
    Direction, EndReason, Flow, FlowId, FlowNames, Perspective, Point, Side, TcpFlags, TcpState, Timestamp, Timing,
    Tuple,
};

/// Longest wait for anything.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

/// Waits until it is so.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONGEST, "{what} did not come about within {LONGEST:?}");
        park_timeout(Duration::from_millis(5));
    }
}

/// A program that ends with the test.
pub(crate) struct Program(pub(crate) Child);

impl Program {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(&mut self) {
        let id = nix::unistd::Pid::from_raw(self.0.id() as i32);
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
        wait_for("the end of a program", || self.0.try_wait().unwrap().is_some());
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a program printed; it has to end well.
#[track_caller]
pub(crate) fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A UDP port that nobody has.
pub(crate) fn free_udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A TCP port that nobody has.
pub(crate) fn free_tcp_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Bytes that wait in the UDP socket on this port, and datagrams it dropped; `None` while there is none.
pub(crate) fn udp_socket(port: u16) -> Option<(u64, u64)> {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let line = table
        .lines()
        .find(|line| line.split_whitespace().nth(1).is_some_and(|at| at.ends_with(&format!(":{port:04X}"))))?;
    let fields: Vec<_> = line.split_whitespace().collect();
    let queued = u64::from_str_radix(fields[4].split(':').nth(1).unwrap(), 16).unwrap();
    Some((queued, fields[12].parse().unwrap()))
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp(since.as_nanos() as i64)
}

/// Exporters to one target.
#[track_caller]
pub(crate) fn export_to(word: &str, state: &Path) -> Exporters {
    let target: Target = word.parse().unwrap_or_else(|error| panic!("{error}"));
    Exporters::start(vec![target], state).unwrap()
}

/// Closes with plenty of time.
pub(crate) fn close(exporters: Exporters) -> TargetCounters {
    exporters.close(Instant::now() + LONGEST).remove(0)
}

pub(crate) fn name(ifindex: u32) -> String {
    format!("eth{ifindex}")
}

/// A conversation of a second that ended now.
pub(crate) fn conversation(
    id: u64,
    protocol: u8,
    ends: [&str; 2],
    ports: [u16; 2],
    to_server: [u64; 2],
    to_client: [u64; 2],
) -> Flow {
    let tcp = protocol == 6;
    let side = |[packets, ip_bytes]: [u64; 2], flags| Side {
        packets,
        ip_bytes,
        wire_bytes: ip_bytes + packets * 14,
        flags: TcpFlags(if tcp { flags } else { 0 }),
    };
    let (to_server, to_client) = (side(to_server, 0x1b), side(to_client, 0x1a));
    let point = |direction, to_server, side| Point { ifindex: 2, direction, to_server, tunnel: None, side };
    let last = now();
    Flow {
        id: FlowId(id),
        tuple: Tuple {
            protocol,
            client: ends[0].parse::<IpAddr>().unwrap(),
            server: ends[1].parse().unwrap(),
            client_port: ports[0],
            server_port: ports[1],
            vlans: [0, 0],
        },
        roles_known: true,
        perspective: Perspective::Outbound,
        to_server,
        to_client,
        start: last - Duration::from_secs(1),
        last,
        tcp_state: tcp.then_some(TcpState::Closed),
        ended: Some(if tcp { EndReason::Finished } else { EndReason::Idle }),
        portless: false,
        points: vec![point(Direction::Egress, true, to_server), point(Direction::Ingress, false, to_client)],
        rate: 0.0,
        client_process: None,
        server_process: None,
        names: (ports[1] == 443).then(|| Arc::new(FlowNames { application: Some("tls"), ..FlowNames::default() })),
        timing: Timing::default(),
        judgement: None,
    }
}

/// Conversations of all sorts, as many as asked for: IPv4 and IPv6; TCP, UDP and ICMP; one of them beyond 32 bits; some
/// with one direction only.
pub(crate) fn mixture(count: u64) -> Vec<Arc<Flow>> {
    (0..count)
        .map(|at| {
            let v6 = at % 3 == 1;
            let ends = if v6 { ["2001:db8::1", "2001:db8:1::2"] } else { ["10.1.2.3", "192.0.2.80"] };
            let back = if at % 5 == 4 { [0, 0] } else { [at + 2, 1000 * at + 99] };
            let port = (1024 + at % 60_000) as u16;
            let there = if at == 6 { [7_000_000, 5_000_000_000] } else { [at + 3, 700 * at + 77] };
            let (protocol, ports) = match at % 4 {
                0 | 1 => (6, [port, 443]),
                2 => (17, [port, 53]),
                _ if v6 => (58, [128, 0]),
                _ => (1, [8, 0]),
            };
            Arc::new(conversation(at + 1, protocol, ends, ports, there, back))
        })
        .collect()
}

/// Records, packets and bytes of flows, each direction with packets a record.
pub(crate) fn sums<'a>(flows: impl IntoIterator<Item = &'a Arc<Flow>>) -> (u64, u64, u64) {
    flows.into_iter().fold((0, 0, 0), |(records, packets, bytes), flow| {
        let directions = u64::from(flow.to_server.packets > 0) + u64::from(flow.to_client.packets > 0);
        (records + directions, packets + flow.packets(), bytes + flow.ip_bytes())
    })
}
