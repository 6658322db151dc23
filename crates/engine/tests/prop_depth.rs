//! Records, socket events, findings and ticks in any order, tables far too small: processes, services and applications
//! add up to the flows, and nothing grows beyond its bound.
//!
//! The expectation is added up from the flows. Invariant: this host's addresses stay as they are.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Desk, Rec, answer, at, hello, host, icmp, process, socket, tcp, udp};
use hivewall_datapath::proto;
use hivewall_engine::Limits;
use hivewall_model::{DnsMessage, Flow, Learned, Perspective, SocketChange, SocketState};
use hivewall_view::Sort;
use proptest::prelude::*;

/// Two of them are this host.
const ADDRESSES: [&str; 4] = ["10.0.0.1", "127.0.0.1", "192.0.2.1", "192.0.2.2"];
const HERE: [bool; 4] = [true, true, false, false];
const PORTS: [u16; 5] = [80, 443, 53, 40_000, 40_001];

/// Two ends, by small numbers.
#[derive(Clone, Copy, Debug)]
struct Pair {
    protocol: u8,
    from: (u8, u8),
    to: (u8, u8),
}

fn end((address, port): (u8, u8)) -> String {
    format!("{}:{}", ADDRESSES[usize::from(address)], PORTS[usize::from(port)])
}

impl Pair {
    fn rec(self, flags: u8) -> Rec {
        let (from, to) = (end(self.from), end(self.to));
        match self.protocol {
            0 => tcp(&from, &to).flags(["SO", "SA", "A", "FA", "RA", "SAFO"][usize::from(flags) % 6]),
            1 => udp(&from, &to),
            _ => icmp(
                ADDRESSES[usize::from(self.from.0)],
                ADDRESSES[usize::from(self.to.0)],
                8 * u16::from(flags % 2),
                0,
            ),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Record { pair: Pair, flags: u8, packets: u32, early: i64 },
    Socket { pair: Pair, change: u8, process: Option<u32>, early: i64, any_local: bool },
    Finding { pair: Pair, kind: u8, early: i64 },
    Tick(i64),
    Shutdown,
}

fn pair() -> impl Strategy<Value = Pair> {
    (0_u8..3, (0_u8..4, 0_u8..5), (0_u8..4, 0_u8..5)).prop_map(|(protocol, from, to)| Pair { protocol, from, to })
}

fn happening() -> impl Strategy<Value = Happening> {
    let early = 0_i64..1500;
    prop_oneof![
        8 => (pair(), any::<u8>(), 1_u32..20, early.clone())
            .prop_map(|(pair, flags, packets, early)| Happening::Record { pair, flags, packets, early }),
        6 => (pair(), 0_u8..6, prop::option::of(1_u32..20), early.clone(), prop::bool::weighted(0.2)).prop_map(
            |(pair, change, process, early, any_local)| Happening::Socket { pair, change, process, early, any_local }
        ),
        3 => (pair(), 0_u8..5, early).prop_map(|(pair, kind, early)| Happening::Finding { pair, kind, early }),
        3 => (100_i64..4000).prop_map(Happening::Tick),
        1 => Just(Happening::Shutdown),
    ]
}

fn learned(kind: u8) -> Learned {
    match kind {
        0 => hello("www.example"),
        1 => Learned::Handshake { server: Duration::from_millis(3), client: Duration::from_millis(1) },
        2 => Learned::SshBanner { text: "SSH-2.0-x".into(), from_client: None },
        3 => Learned::ServerResponse(Duration::from_millis(2)),
        _ => Learned::Dns(Arc::new(DnsMessage {
            response: true,
            name: "dns.example".into(),
            answers: ADDRESSES.map(|ip| answer("dns.example", ip, 60)).to_vec(),
            ..DnsMessage::default()
        })),
    }
}

fn act(desk: &mut Desk, happening: Happening) {
    let now = desk.now;
    match happening {
        Happening::Record { mut pair, flags, packets, early } => {
            if !HERE[usize::from(pair.from.0)] && !HERE[usize::from(pair.to.0)] {
                // What passes by is not of a port that sockets without an address have: it could be a container's.
                (pair.from.1, pair.to.1) = (pair.from.1 % 3, pair.to.1 % 3);
            }
            desk.feed([pair.rec(flags).packets(packets).at(now - early)]);
        }
        Happening::Socket { mut pair, change, process: by, early, any_local } => {
            if any_local {
                pair.from.1 = 3 + pair.from.1 % 2;
            }
            let number = if pair.protocol == 0 { proto::TCP } else { proto::UDP };
            let (local, mut remote) = (end(pair.from), end(pair.to));
            let local = if any_local { format!("*:{}", PORTS[usize::from(pair.from.1)]) } else { local };
            let state = |from, to| SocketChange::State { from, to };
            let change = match change {
                0 | 1 => SocketChange::Used,
                2 => SocketChange::Bound,
                3 => state(SocketState::Close, SocketState::SynSent),
                4 => state(SocketState::LastAck, SocketState::Close),
                _ => SocketChange::Released,
            };
            if change == SocketChange::Bound {
                "*".clone_into(&mut remote);
            }
            let event = socket(number, &local, &remote, change).at(now - early).health(1000, by.unwrap_or(0));
            desk.sockets([match by {
                Some(pid) => event.by(&process(pid, "p")),
                None => event,
            }]);
        }
        Happening::Finding { pair, kind, early } => {
            desk.learn([pair.rec(2).at(now - early).shows(learned(kind))]);
        }
        Happening::Tick(ms) => drop(desk.tick(now + ms)),
        Happening::Shutdown => drop(desk.stop()),
    }
}

/// Packets and bytes sent and received by ends on this host, and flows with such an end that could have a process.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    sent: (u64, u64),
    received: (u64, u64),
    flows: u64,
    /// Packets and bytes of flows that have ports.
    ported: (u64, u64),
}

impl Sums {
    fn add(&mut self, here: [bool; 2], protocol: u8, to_server: (u64, u64), to_client: (u64, u64)) {
        let grow = |sum: &mut (u64, u64), more: (u64, u64)| *sum = (sum.0 + more.0, sum.1 + more.1);
        for (is_here, (sent, received)) in here.into_iter().zip([(to_server, to_client), (to_client, to_server)]) {
            if is_here {
                grow(&mut self.sent, sent);
                grow(&mut self.received, received);
            }
        }
        if protocol != proto::ICMP {
            self.flows += u64::from(here != [false; 2]);
            grow(&mut self.ported, to_server);
            grow(&mut self.ported, to_client);
        }
    }

    fn of(desk: &Desk, closed: &[Arc<Flow>]) -> Self {
        let mut sums = Self::default();
        let is_here = |ip: &str| ADDRESSES.iter().position(|known| *known == ip).is_some_and(|at| HERE[at]);
        for flow in closed {
            let here = [flow.tuple.client.to_string(), flow.tuple.server.to_string()].map(|ip| is_here(&ip));
            let side = |side: hivewall_model::Side| (side.packets, side.ip_bytes);
            sums.add(here, flow.tuple.protocol, side(flow.to_server), side(flow.to_client));
        }
        for row in desk.page(Sort::Start, 0, 100_000).flows.iter().filter(|row| row.state == "active") {
            let here = [is_here(&row.source_ip), is_here(&row.dest_ip)];
            let to_server = (row.packets_to_server, row.bytes_to_server);
            sums.add(here, row.protocol_number, to_server, (row.packets_to_client, row.bytes_to_client));
        }
        sums
    }
}

fn limits() -> impl Strategy<Value = Limits> {
    let few = || prop_oneof![Just(1_usize), Just(8), Just(1000)];
    let times = (1_u64..30, 1_u64..60, 0_u64..3);
    (times, 1_usize..60, few(), few(), few()).prop_map(
        |((idle, active, linger), flows_max, small, sockets, findings)| Limits {
            idle: Duration::from_secs(idle),
            tcp_idle: Duration::from_secs(idle),
            active: Duration::from_secs(active),
            linger: Duration::from_secs(linger),
            flows_max,
            closed_keep: 10,
            processes_max: small,
            sockets_max: sockets,
            answers_max: small,
            names_max: small,
            peers_max: small,
            findings_max: findings,
            ..Limits::default()
        },
    )
}

/// What is counted twice in the engine is the same twice.
fn check(desk: &Desk, closed: &[Arc<Flow>], limits: &Limits) {
    let snapshot = desk.snapshot();
    let want = Sums::of(desk, closed);
    let rows = &snapshot.processes;
    let sum = |part: fn(&hivewall_view::ProcessTraffic) -> u64| rows.iter().map(part).sum::<u64>();
    assert_eq!((sum(|row| row.sent_packets), sum(|row| row.sent_bytes)), want.sent);
    assert_eq!((sum(|row| row.received_packets), sum(|row| row.received_bytes)), want.received);
    let attribution = &snapshot.attribution;
    assert_eq!(attribution.attributed_flows + attribution.unattributed_flows, want.flows);
    let services = snapshot.services.iter().fold((0, 0), |sum, row| (sum.0 + row.packets, sum.1 + row.bytes));
    assert_eq!(services, want.ported);
    let applications = snapshot.applications.values().fold((0, 0), |sum, row| (sum.0 + row.packets, sum.1 + row.bytes));
    assert_eq!(applications, want.ported);
    assert!(snapshot.applications.values().all(|row| row.guessed_flows <= row.flows));
    let half_open: u64 = snapshot.half_open_targets.iter().map(|row| row.half_open).sum();
    if snapshot.half_open_targets.len() < 10 {
        assert_eq!(half_open, snapshot.suspicious_traffic.half_open);
    }
    assert!(attribution.sockets <= limits.sockets_max as u64);
    assert!(rows.len() <= limits.processes_max.max(8) + 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn processes_and_services_add_up_to_the_flows(
        limits in limits(), all in prop::collection::vec(happening(), 1..120),
    ) {
        let mut desk = Desk::new(limits.clone());
        desk.know(host(&["10.0.0.1", "127.0.0.1"]));
        // Sockets of other namespaces would make their ends this host's; here it has none.
        let is_foreign = |happening: &Happening| {
            matches!(happening, Happening::Socket { pair, .. } if !HERE[usize::from(pair.from.0)])
        };
        let mut closed = Vec::new();
        for happening in all.into_iter().filter(|happening| !is_foreign(happening)) {
            act(&mut desk, happening);
            closed.extend(desk.closed());
            check(&desk, &closed, &limits);
        }
        desk.stop();
        closed.extend(desk.closed());
        check(&desk, &closed, &limits);
        let snapshot = desk.snapshot();
        prop_assert!(snapshot.processes.iter().all(|row| row.active_flows == 0));
        prop_assert!(snapshot.half_open_targets.is_empty());
        for flow in &closed {
            let here = |ip: std::net::IpAddr| ip.is_loopback() || ip == std::net::IpAddr::from([10, 0, 0, 1]);
            prop_assert!(flow.client_process.is_none() || here(flow.tuple.client));
            prop_assert!(flow.server_process.is_none() || here(flow.tuple.server));
            prop_assert!(flow.perspective != Perspective::Transit || flow.process().is_none());
            // An inferred name was there before the flow was.
            prop_assert!(flow.start >= at(-2000));
        }
    }

    #[test]
    fn every_finding_that_is_logged_is_logged_once(limits in limits(), all in prop::collection::vec(happening(), 1..80)) {
        let mut desk = Desk::new(limits);
        desk.know(host(&["10.0.0.1", "127.0.0.1"]));
        let is_logged = |happening: &&Happening| matches!(happening, Happening::Finding { kind: 0 | 2 | 4, .. });
        let wanted = all.iter().filter(is_logged).count();
        for happening in all {
            act(&mut desk, happening);
        }
        desk.stop();
        prop_assert_eq!(desk.effects.findings.len(), wanted);
        let unmatched = desk.effects.findings.iter().filter(|logged| logged.flow.is_none()).count() as u64;
        prop_assert!(desk.snapshot().losses["findings_unmatched"].count >= unmatched);
    }
}
