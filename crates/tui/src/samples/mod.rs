//! Agents to draw in tests: one that has seen nothing, one with a single flow, one with thousands. Numbers are made up
//! by arithmetic, so that pictures stay the same.

mod depth;
mod fleet;
mod policy;

use std::collections::BTreeMap;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use hivewall_view::alerts::{Alert, AlertState, Response, Severity};
use hivewall_view::{
    AddressTraffic, CaptureInfo, FlowCounts, FlowPage, FlowRow, HostInfo, InterfaceUtilization, Loss, PointRow,
    ProtocolTraffic, Snapshot, Sort, SuspiciousTraffic, TopTalker, TrafficAccuracy,
};

use crate::agent::{Answer, Request};
use crate::app::{App, Effect, Event, FLOWS_MAX};
use crate::tab::Tab;
use crate::theme::{Palette, Theme};

pub(crate) use depth::known;
pub(crate) use fleet::fleet;

/// How busy the sample agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Empty,
    One,
    Thousands,
}

impl Load {
    pub(crate) const ALL: [Load; 3] = [Load::Empty, Load::One, Load::Thousands];

    fn flows(self) -> u64 {
        match self {
            Load::Empty => 0,
            Load::One => 1,
            Load::Thousands => 4321,
        }
    }
}

/// A flow like those of a web server with an odd neighbour or two.
pub(crate) fn flow(n: u64) -> FlowRow {
    let (protocol, number) = [("tcp", 6), ("tcp", 6), ("udp", 17), ("tcp", 6), ("icmp", 1)][n as usize % 5];
    let icmp = number == 1;
    let bytes = 900_000_000 / (n * n + 1) + 60;
    let idle = [0, 0, 1, 8, 95][(n / 2) as usize % 5];
    let closed = n % 11 == 7;
    let row = FlowRow {
        flow_id: 1000 + n,
        community_id: "1:LQU9qZlK+B5F3KDmev6m5PMibrg=".to_owned(),
        start: format!("2026-11-21T09:{:02}:{:02}.250000Z", 59 - n % 50, n % 60),
        end: format!("2026-11-21T09:{:02}:{:02}.750000Z", 59 - idle / 60, 59 - idle % 60),
        duration_seconds: (n % 3000) as f64 + 0.5,
        protocol: protocol.to_owned(),
        protocol_number: number,
        source_ip: if n % 4 == 3 {
            format!("2001:db8:12:3400::{:x}:{n:x}", n * 7)
        } else {
            format!("10.1.{}.{}", n / 200 % 250, n % 200 + 1)
        },
        src_port: (!icmp).then_some(32_768 + (n * 7919 % 28_000) as u16),
        dest_ip: if n % 4 == 3 { "2001:db8:ffff::53".to_owned() } else { "192.0.2.10".to_owned() },
        dest_port: (!icmp).then_some([443, 443, 53, 22, 0][n as usize % 5]),
        icmp_type: icmp.then_some(8),
        icmp_code: icmp.then_some(0),
        direction: ["inbound", "outbound", "transit"][n as usize % 3].to_owned(),
        roles_known: n % 6 != 5,
        bytes,
        packets: bytes / 800 + 1,
        bytes_to_server: bytes / 10,
        bytes_to_client: bytes - bytes / 10,
        packets_to_server: bytes / 1600,
        packets_to_client: bytes / 800 + 1 - bytes / 1600,
        wire_bytes_to_server: bytes / 10 + bytes / 1600 * 14,
        wire_bytes_to_client: bytes,
        tcp_flags_to_server: (number == 6).then(|| "...AP.S.".to_owned()),
        tcp_flags_to_client: (number == 6).then(|| "...A..S.".to_owned()),
        tcp_state: (number == 6)
            .then(|| ["ESTABLISHED", "ESTABLISHED", "SYN_SENT", "RESET"][(n / 3) as usize % 4].to_owned()),
        state: if closed { "closed" } else { "active" }.to_owned(),
        end_reason: closed.then(|| "idle_timeout".to_owned()),
        bits_per_second: if idle > 2 || closed { 0.0 } else { bytes as f64 / 3.0 },
        vlan: if n % 9 == 4 { vec![100, 7] } else { vec![] },
        tunnel: (n % 13 == 6).then(|| "vxlan".to_owned()),
        ports_unknown: false,
        interfaces: vec![
            point("eth0", "ingress", true, bytes / 10),
            point("eth0", "egress", false, bytes - bytes / 10),
        ],
        ..FlowRow::default()
    };
    policy::judge(depth::deepen(row, n), n)
}

fn point(interface: &str, direction: &str, to_server: bool, bytes: u64) -> PointRow {
    let packets = bytes / 1000 + 1;
    PointRow {
        interface: interface.to_owned(),
        direction: direction.to_owned(),
        to_server,
        packets,
        bytes,
        wire_bytes: bytes + packets * 14,
        tunnel: None,
    }
}

pub(crate) fn page(load: Load) -> FlowPage {
    let flows: Vec<FlowRow> = (0..load.flows().min(FLOWS_MAX as u64)).map(flow).collect();
    FlowPage {
        time: "2026-11-21T10:00:00.000000Z".to_owned(),
        matched: load.flows(),
        searched: load.flows(),
        flows,
        next_offset: None,
        reaches_back_to: None,
    }
}

pub(crate) fn snapshot(load: Load) -> Snapshot {
    let flows = load.flows();
    let mut snapshot = Snapshot {
        time: "2026-11-21T10:00:00.000000Z".to_owned(),
        host: HostInfo {
            name: "web-1".to_owned(),
            kernel: "6.12.48".to_owned(),
            version: "0.1.0".to_owned(),
            uptime_seconds: 11_520.0,
            agent_memory_bytes: 25_600_000,
            agent_cpu_seconds: 61.5,
        },
        capture: CaptureInfo {
            source: "ebpf-tcx".to_owned(),
            fallback_reason: None,
            interfaces: vec!["eth0".to_owned(), "wg0".to_owned()],
            clock_resolution_ms: 4.0,
            packets: flows * 1234,
            records: flows * 3,
        },
        interface_utilization: interfaces(load),
        losses: losses(load),
        flow_counts: FlowCounts {
            active: flows,
            total: flows * 31,
            limit: 1_000_000,
            ended: BTreeMap::new(),
            new_per_second: flows as f64 / 37.0,
        },
        ip_traffic_accuracy: TrafficAccuracy {
            exact: true,
            tracked: flows.min(64),
            limit: 65_536,
            folded: 0,
            error_bytes_max: 0,
        },
        suspicious_traffic: SuspiciousTraffic {
            invalid_packets: flows / 1000,
            invalid_by_reason: (flows > 1000)
                .then(|| ("ipv4_header_length".to_owned(), flows / 1000))
                .into_iter()
                .collect(),
            half_open: flows / 100,
            ..SuspiciousTraffic::default()
        },
        ..Snapshot::default()
    };
    snapshot.alerts.on = true;
    if load == Load::Thousands {
        snapshot.alerts.latest = (0..40).map(alert).collect();
    }
    fill(&mut snapshot, load);
    depth::fill(&mut snapshot, load);
    policy::fill(&mut snapshot, load);
    snapshot
}

fn fill(snapshot: &mut Snapshot, load: Load) {
    let protocols: &[(&str, u64)] = match load {
        Load::Empty => &[],
        Load::One => &[("tcp", 1)],
        Load::Thousands => &[("tcp", 700), ("udp", 210), ("icmp", 3), ("ipv6-icmp", 2), ("esp", 40), ("47", 0)],
    };
    for (name, weight) in protocols {
        let traffic = ProtocolTraffic {
            packets: weight * 123_456,
            bytes: weight * 98_765_432,
            active_flows: weight * 5,
            bits_per_second: *weight as f64 * 1.1e6,
        };
        snapshot.protocols.insert((*name).to_owned(), traffic);
    }
    for n in 0..load.flows().min(64) {
        let address = if n % 5 == 4 { format!("2001:db8:12:3400:5678::{n:x}") } else { format!("10.1.0.{n}") };
        let scale = 1000 / (n + 1);
        if n < 20 {
            snapshot.top_talkers.push(TopTalker {
                address: address.clone(),
                bits_per_second: scale as f64 * 4.0e5,
                sent_bits_per_second: scale as f64 * 1.0e5,
                received_bits_per_second: scale as f64 * 3.0e5,
                bytes: scale * 12_345_678,
            });
        }
        let traffic = AddressTraffic {
            sent_bytes: scale * 2_345_678,
            received_bytes: scale * 10_000_000,
            sent_packets: scale * 3000,
            received_packets: scale * 9000,
        };
        snapshot.ip_traffic_distribution.insert(address, traffic);
    }
    if load == Load::Thousands {
        let other = AddressTraffic { sent_bytes: 5_000_000, received_bytes: 70_000_000, ..AddressTraffic::default() };
        snapshot.ip_traffic_distribution.insert("other".to_owned(), other);
    }
}

fn interfaces(load: Load) -> BTreeMap<String, InterfaceUtilization> {
    let busy = load.flows() as f64;
    let interface = |share: f64, speed: Option<u64>, captured: bool| InterfaceUtilization {
        in_bytes: (share * busy * 1e9) as u64,
        out_bytes: (share * busy * 3e8) as u64,
        in_packets: (share * busy * 1e6) as u64,
        out_packets: (share * busy * 7e5) as u64,
        in_bits_per_second: share * busy * 2.1e5,
        out_bits_per_second: share * busy * 4.4e4,
        in_packets_per_second: share * busy * 20.0,
        out_packets_per_second: share * busy * 9.0,
        speed_bits_per_second: speed,
        utilization: speed.map(|speed| share * busy * 2.1e5 / speed as f64),
        errors: if share > 0.8 && load == Load::Thousands { 3 } else { 0 },
        in_errors: 0,
        in_dropped: 0,
        dropped: if share > 0.8 && load == Load::Thousands { 12 } else { 0 },
        up: captured,
        captured,
    };
    BTreeMap::from([
        ("eth0".to_owned(), interface(0.9, Some(1_000_000_000), true)),
        ("wg0".to_owned(), interface(0.1, None, true)),
        ("docker0".to_owned(), interface(0.0, None, false)),
    ])
}

fn losses(load: Load) -> BTreeMap<String, Loss> {
    let meanings = [
        ("export_queue_full", "rows that no reader took in time; counters are not touched"),
        ("flow_table_full", "flows ended early to make room; their packets are counted"),
        ("ring_full", "flow records the kernel could not hand over; their packets are counted here"),
        ("sweep_missed", "sweeps that came late; flow times are coarser"),
    ];
    let entry = |(reason, meaning): (&str, &str)| {
        let lost = reason == "ring_full" && load == Load::Thousands;
        let loss = Loss {
            count: if lost { 17 } else { 0 },
            packets: if lost { 2345 } else { 0 },
            bytes: if lost { 1_234_567 } else { 0 },
            meaning: meaning.to_owned(),
        };
        (reason.to_owned(), loss)
    };
    meanings.map(entry).into()
}

/// A view that has been looking at a sample agent for a minute, on the given screen.
pub(crate) fn app(load: Load, tab: Tab, colour: bool) -> App {
    let palette = if colour { Palette::Many } else { Palette::None };
    let mut app = App::new("web-1".to_owned(), Theme::new(palette), Duration::from_secs(1), 30);
    app.sort = Sort::Bytes;
    app.tab = tab;
    for second in 0..60_u64 {
        let mut snapshot = snapshot(load);
        snapshot.time = format!("2026-11-21T10:00:{second:02}.000000Z");
        snapshot.host.agent_cpu_seconds += second as f64 * 0.004;
        let wave = 1.3 + (second as f64 / 9.0).sin() + (second as f64 / 2.0).cos() / 4.0;
        for traffic in snapshot.protocols.values_mut() {
            traffic.bits_per_second *= wave;
        }
        for load in snapshot.interface_utilization.values_mut() {
            load.in_bits_per_second *= wave;
            load.out_bits_per_second *= 2.0 - wave / 2.0;
        }
        for latency in snapshot.latency.values_mut() {
            latency.smoothed_seconds *= 1.0 + wave / 4.0;
        }
        if let Effect::Ask(request) = app.update(Event::Tick, Duration::from_secs(second)) {
            // One page is enough: flows have no history in the view.
            let page = page(if second == 59 { load } else { Load::Empty });
            let mut answer = reply(&request, snapshot, page);
            answer.fleet = request.fleet.then(|| Ok(fleet(load)));
            app.update(Event::Answered(Box::new(answer)), Duration::from_secs(second));
        }
    }
    app
}

/// A good answer to `request`.
pub(crate) fn reply(request: &Request, snapshot: Snapshot, page: FlowPage) -> Answer {
    Answer {
        action: None,
        snapshot: request.snapshot.then_some(Ok(snapshot)),
        fleet: None,
        flows: request.flows.clone().map(|question| (question, Ok(page))),
    }
}

/// A key without modifiers.
pub(crate) fn press(code: KeyCode) -> Event {
    Event::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

/// The key of a letter.
pub(crate) fn letter(letter: char) -> Event {
    press(KeyCode::Char(letter))
}

/// One of some alerts, worse and later ones first.
fn alert(number: u64) -> Alert {
    let (detector, title, severity) = match number % 4 {
        0 => ("port_scan", "Port scan", Severity::Medium),
        1 => ("syn_flood", "SYN flood", Severity::High),
        2 => ("beacon", "Beacon", Severity::Low),
        _ => ("brute_force", "Password guessing", Severity::Medium),
    };
    let is_over = number >= 20;
    Alert {
        id: format!("{:012x}", number * 0x1_0001),
        host: "web-1".to_owned(),
        detector: detector.to_owned(),
        title: title.to_owned(),
        severity,
        message: format!("192.0.2.{number} did what {detector} looks for to 10.0.0.5, {number} times"),
        source: (number % 4 != 1).then(|| format!("192.0.2.{number}")),
        targets: vec!["10.0.0.5".to_owned()],
        target_count: 1,
        first_seen: "2026-11-21T10:00:00.000000Z".to_owned(),
        last_seen: format!("2026-11-21T10:{:02}:00.000000Z", 59 - number),
        signs: number + 1,
        state: if is_over { AlertState::Ended } else { AlertState::Active },
        response: (number == 3).then(|| Response {
            action: "ban".to_owned(),
            outcome: "done".to_owned(),
            reason: "the policy grants it".to_owned(),
            ..Response::default()
        }),
        ..Alert::default()
    }
}
