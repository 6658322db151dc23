//! Flows for tests of the store: simple ones by number, and arbitrary ones.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hivewall_model::{
    Container, Direction, DnsMessage, EndReason, Fate, Flow, FlowId, FlowNames, HttpRequest, Judgement, NameSource,
    Perspective, Point, Process, Ruling, Side, TcpFlags, TcpState, Timestamp, Timing, TlsHello, Tunnel, Tuple,
};
use hivewall_store::{Store, StoreOptions, StoreReader};
use hivewall_view::{Filter, FlowPage, Query, Sort};
use proptest::option::of as optional;
use proptest::prelude::*;
use proptest::sample::select;

/// Interfaces of all flows here; some names are none that the kernel would give.
pub(crate) fn name(index: u32) -> Arc<str> {
    ["lo", "eth0", "wg 0", "a/b%2f", ""].get(index as usize).copied().unwrap_or("eth9").into()
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64)
}

pub(crate) fn until() -> Instant {
    Instant::now() + Duration::from_secs(120)
}

/// A closed flow that ended at a time; its number says its source, its service and its bytes.
pub(crate) fn flow(number: u64, end: Timestamp) -> Flow {
    let mut flow = hivewall_view::example_flow();
    flow.id = FlowId(number);
    flow.tuple.client = [10, 0, (number / 250 % 250) as u8, (number % 250) as u8].into();
    flow.tuple.server_port = [80, 443, 53, 22][number as usize % 4];
    flow.tuple.protocol = if number % 4 == 2 { 17 } else { 6 };
    flow.to_client.ip_bytes = number * 7 % 10_007;
    flow.start = end - Duration::from_secs(1);
    flow.last = end;
    flow.ended = Some(EndReason::Finished);
    flow
}

/// A store of few rows a segment that writes at once.
pub(crate) fn options(directory: &std::path::Path) -> StoreOptions {
    let mut options = StoreOptions::new(directory);
    options.segment_rows = 1_000;
    options.flush_interval = Duration::from_millis(20);
    options
}

pub(crate) fn push(store: &Store, flows: impl IntoIterator<Item = Flow>) {
    let flows: Vec<Arc<Flow>> = flows.into_iter().map(Arc::new).collect();
    let sender = store.sender();
    for flows in flows.chunks(10_000) {
        assert_eq!(sender.push(flows, &name), 0, "the queue has room");
        store.flush();
    }
}

/// All flows that match, oldest first.
pub(crate) fn ask(reader: &StoreReader, filter: &str) -> FlowPage {
    let filter = Filter::parse(filter, now()).unwrap();
    let mut page =
        reader.flows(&Query { filter, sort: Sort::Last, limit: 100_000, ..Query::default() }, until()).unwrap();
    page.flows.reverse();
    page
}

pub(crate) fn ids(page: &FlowPage) -> Vec<u64> {
    let mut ids: Vec<u64> = page.flows.iter().map(|row| row.flow_id).collect();
    ids.sort_unstable();
    ids
}

fn ruling() -> impl Strategy<Value = Ruling> {
    (select(&Fate::ALL), any::<u16>(), "[a-z:()]{0,12}")
        .prop_map(|(fate, epoch, rule)| Ruling { verdict: fate.verdict(epoch, 0), rule: rule.into() })
}

fn judgement() -> impl Strategy<Value = Judgement> {
    let counts = (0_u64..1 << 40, 0_u64..1 << 50);
    (ruling(), optional(ruling()), counts).prop_map(|(ruling, reply, (dropped_packets, dropped_bytes))| Judgement {
        ruling,
        reply,
        dropped_packets,
        dropped_bytes,
    })
}

fn side() -> impl Strategy<Value = Side> {
    let small = (0_u64..2_000, 0_u64..3_000_000, -14_i64..200, any::<u8>());
    let side = |(packets, ip_bytes, extra, flags): (u64, u64, i64, u8)| Side {
        packets,
        ip_bytes,
        wire_bytes: (ip_bytes + 14 * packets).saturating_add_signed(extra),
        flags: TcpFlags(flags),
    };
    prop_oneof![4 => small.prop_map(side), 1 => (0..1_u64 << 50, 0..1_u64 << 60, -(1_i64 << 55)..1 << 55, any::<u8>()).prop_map(side)]
}

fn text() -> impl Strategy<Value = Box<str>> {
    prop_oneof![
        Just("".into()),
        select(&["nginx", "a,b\"c", "x y", "ü", "/usr/bin/x"]).prop_map(Box::from),
        "\\PC{0,20}".prop_map(String::into_boxed_str)
    ]
}

fn process() -> impl Strategy<Value = Process> {
    let container = (text(), optional(text())).prop_map(|(id, name)| Container { runtime: "docker", id, name });
    (any::<u32>(), text(), optional(text()), any::<u32>(), optional(text()), optional(text()), optional(container))
        .prop_map(|(pid, comm, executable, uid, user, cgroup, container)| Process {
            pid,
            started_ns: 7,
            comm,
            executable,
            uid,
            user,
            cgroup_id: 9,
            cgroup,
            container,
        })
}

fn shared() -> impl Strategy<Value = Arc<str>> {
    text().prop_map(Arc::from)
}

fn tls() -> impl Strategy<Value = TlsHello> {
    (any::<u16>(), proptest::collection::vec(text(), 0..3), text()).prop_map(|(version, alpn, ja4)| TlsHello {
        version,
        alpn,
        ja4,
        ..TlsHello::default()
    })
}

fn dns() -> impl Strategy<Value = DnsMessage> {
    (text(), any::<u16>(), any::<bool>(), any::<u16>()).prop_map(|(name, qtype, response, rcode)| DnsMessage {
        name,
        qtype,
        response,
        rcode,
        ..DnsMessage::default()
    })
}

fn names() -> impl Strategy<Value = FlowNames> {
    let http = (text(), text()).prop_map(|(method, target)| HttpRequest { method, target, ..HttpRequest::default() });
    let source = select(&[NameSource::Sni, NameSource::Host, NameSource::Dns]);
    (
        optional(select(&["dns", "tls", "quic", "http", "ssh"])),
        optional((shared(), source)),
        optional(tls().prop_map(Arc::new)),
        optional(http.prop_map(Arc::new)),
        optional(any::<u16>()),
        any::<u32>(),
        optional(dns().prop_map(Arc::new)),
        [optional(shared()), optional(shared())],
    )
        .prop_map(|(application, server, tls, http, http_status, http_requests, dns, ssh)| FlowNames {
            application,
            server,
            tls,
            http,
            http_status,
            http_requests,
            dns,
            ssh,
        })
}

fn timing() -> impl Strategy<Value = Timing> {
    let time = || proptest::option::of((0_u64..1 << 40).prop_map(Duration::from_micros));
    let count = || proptest::option::of(any::<u32>());
    (time(), time(), time(), time(), time(), time(), time(), count(), count()).prop_map(
        |(
            handshake_server,
            handshake_client,
            server_response,
            round_trip,
            jitter,
            smoothed_rtt,
            rtt_deviation,
            retransmits,
            out_of_order,
        )| Timing {
            handshake_server,
            handshake_client,
            server_response,
            round_trip,
            jitter,
            smoothed_rtt,
            rtt_deviation,
            retransmits,
            out_of_order,
        },
    )
}

fn tuple() -> impl Strategy<Value = Tuple> {
    let address = || prop_oneof![any::<[u8; 4]>().prop_map(Into::into), any::<[u8; 16]>().prop_map(Into::into)];
    let vlans = select(&[[0_u16, 0], [100, 0], [100, 7]]);
    (any::<u8>(), address(), address(), any::<u16>(), any::<u16>(), vlans).prop_map(
        |(protocol, client, server, client_port, server_port, vlans)| Tuple {
            protocol,
            client,
            server,
            client_port,
            server_port,
            vlans,
        },
    )
}

/// A point whose counters are those of the flow or its own.
fn points(to_server: Side, to_client: Side) -> impl Strategy<Value = Vec<Point>> {
    const TUNNELS: [Tunnel; 5] = [Tunnel::Ipip, Tunnel::SixInFour, Tunnel::Gre, Tunnel::Vxlan, Tunnel::Geneve];
    let tunnel = prop_oneof![Just(None), select(&TUNNELS).prop_map(Some)];
    let own = proptest::option::weighted(0.2, side());
    let point = (0_u32..6, any::<bool>(), any::<bool>(), tunnel, own).prop_map(
        move |(ifindex, egress, server, tunnel, own)| {
            let whole = if server { to_server } else { to_client };
            Point {
                ifindex,
                direction: if egress { Direction::Egress } else { Direction::Ingress },
                to_server: server,
                tunnel,
                side: own.unwrap_or(whole),
            }
        },
    );
    proptest::collection::vec(point, 0..4)
}

/// Any flow, its times in whole microseconds, as they are kept.
pub(crate) fn any_flow() -> impl Strategy<Value = Flow> {
    let sides = (side(), side()).prop_flat_map(|(a, b)| (Just(a), Just(b), points(a, b)));
    let state = optional(select(&TcpState::ALL));
    let times =
        (-(1_i64 << 50)..1 << 50, 0_i64..1 << 42).prop_map(|(start, span)| (start * 1000, (start + span) * 1000));
    let processes = (optional(process().prop_map(Arc::new)), optional(process().prop_map(Arc::new)));
    let perspective = select(&[Perspective::Inbound, Perspective::Outbound, Perspective::Local, Perspective::Transit]);
    let flags = (any::<bool>(), any::<bool>());
    let ids = 0_u64..1 << 53;
    let names = optional(names().prop_map(Arc::new));
    let rate = prop_oneof![Just(0.0), 0.0..1e12];
    let ended = (optional(select(&EndReason::ALL)), optional(judgement()));
    ((ids, tuple(), sides, state, times), (processes, perspective, flags, names, timing(), rate, ended)).prop_map(
        |((id, tuple, (to_server, to_client, points), tcp_state, (start, last)), rest)| {
            let (
                (client_process, server_process),
                perspective,
                (roles_known, portless),
                names,
                timing,
                rate,
                (ended, judgement),
            ) = rest;
            Flow {
                id: FlowId(id),
                tuple,
                roles_known,
                perspective,
                to_server,
                to_client,
                start: Timestamp(start),
                last: Timestamp(last),
                tcp_state,
                ended,
                portless,
                points,
                rate,
                client_process,
                server_process,
                names,
                timing,
                judgement,
            }
        },
    )
}
