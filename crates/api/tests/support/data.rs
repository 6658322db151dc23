//! A snapshot and flows with every key filled, so that no part of a schema goes untested. Numbers are made up but
//! agree with one another where a reader would compare them.

use std::collections::BTreeMap;

use hivewall_model::{Direction, EndReason, Flow, FlowId, Point, Side, TcpFlags, TcpState, Timestamp, Tunnel};
use hivewall_view::time::rfc3339;
use hivewall_view::{
    AddressTraffic, CaptureInfo, FlowCounts, FlowRow, HostInfo, InterfaceTraffic, InterfaceUtilization, Loss,
    ProtocolTraffic, Snapshot, SuspiciousTraffic, TopTalker, TrafficAccuracy, TrafficCell, example_flow,
};

/// The fake engine's time.
pub const NOW: Timestamp = Timestamp::from_millis(1_700_000_060_000);

fn map<T>(entries: impl IntoIterator<Item = (&'static str, T)>) -> BTreeMap<String, T> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn interface_name(index: u32) -> String {
    if index == 1 { "lo" } else { "eth0" }.to_owned()
}

/// HTTPS that is open, DNS that is over, a reset SSH attempt, a ping, and fragments inside a tunnel on a VLAN.
pub fn flows() -> Vec<FlowRow> {
    let side = |packets: u64, flags: u8| Side {
        packets,
        ip_bytes: packets * 100,
        wire_bytes: packets * 114,
        flags: TcpFlags(flags),
    };
    let point = |side, tunnel| Point { ifindex: 2, direction: Direction::Egress, to_server: true, tunnel, side };
    let base = example_flow();
    let https = Flow { points: vec![point(base.to_server, None)], rate: 1250.0, ..base.clone() };
    let mut dns = Flow {
        id: FlowId(2),
        to_server: side(1, 0),
        to_client: side(1, 0),
        tcp_state: None,
        ended: Some(EndReason::Idle),
        points: vec![point(side(1, 0), None)],
        ..base.clone()
    };
    (dns.tuple.protocol, dns.tuple.client_port, dns.tuple.server_port) = (17, 53124, 53);
    let mut ssh = Flow {
        id: FlowId(3),
        to_server: side(20, TcpFlags::SYN),
        to_client: side(20, TcpFlags::RST | TcpFlags::ACK),
        tcp_state: Some(TcpState::Reset),
        ended: Some(EndReason::Reset),
        points: vec![point(side(20, TcpFlags::SYN), None)],
        ..base.clone()
    };
    (ssh.tuple.client, ssh.tuple.server_port) = ("2001:db8::7".parse().unwrap(), 22);
    ssh.tuple.server = "2001:db8::1".parse().unwrap();
    let mut ping = Flow { id: FlowId(4), tcp_state: None, points: vec![point(side(3, 0), None)], ..base.clone() };
    (ping.tuple.protocol, ping.tuple.client_port, ping.tuple.server_port) = (1, 8, 0);
    let mut fragments = Flow {
        id: FlowId(5),
        tcp_state: None,
        portless: true,
        roles_known: false,
        points: vec![point(side(9, 0), Some(Tunnel::Vxlan))],
        to_server: side(9, 0),
        ..base
    };
    (fragments.tuple.protocol, fragments.tuple.vlans) = (17, [100, 7]);
    (fragments.tuple.client_port, fragments.tuple.server_port) = (0, 0);
    [https, dns, ssh, ping, fragments].iter().map(|flow| FlowRow::new(flow, &interface_name)).collect()
}

pub fn snapshot() -> Snapshot {
    let flows = flows();
    Snapshot {
        time: rfc3339(NOW),
        host: host(),
        capture: capture(),
        network_traffic: map([("eth0", traffic(1)), ("lo", traffic(2))]),
        protocols: map([("tcp", protocol(100)), ("udp", protocol(7))]),
        ip_traffic_distribution: map([("10.0.0.1", address(5)), ("2001:db8::7", address(3)), ("other", address(1))]),
        ip_traffic_accuracy: TrafficAccuracy { exact: false, tracked: 3, limit: 3, folded: 12, error_bytes_max: 1400 },
        subnet_traffic: map([("10.0.0.0/8", address(5))]),
        top_talkers: (0..12).map(talker).collect(),
        connection_states: map([("ESTABLISHED", 1), ("RESET", 1), ("SYN_SENT", 0)]),
        suspicious_traffic: SuspiciousTraffic {
            invalid_packets: 4,
            invalid_by_reason: map([("ip_header_truncated", 3), ("tcp_header_short", 1)]),
            half_open: 2,
        },
        flow_counts: FlowCounts {
            active: 3,
            total: 5,
            limit: 1_000_000,
            ended: map([("idle_timeout", 1), ("reset", 1)]),
            new_per_second: 0.5,
        },
        flows,
        interface_utilization: map([("eth0", utilization(Some(1_000_000_000))), ("lo", utilization(None))]),
        outbound_traffic: map([("10.0.0.2", address(2)), ("other", address(1))]),
        losses: map([("ring_full", loss(3)), ("log_queue_full", loss(0))]),
        ..Snapshot::default()
    }
}

fn host() -> HostInfo {
    HostInfo {
        name: "web-1".to_owned(),
        kernel: "6.12.0".to_owned(),
        version: "0.1.0".to_owned(),
        uptime_seconds: 61.5,
        agent_memory_bytes: 23_000_000,
        agent_cpu_seconds: 0.75,
    }
}

fn capture() -> CaptureInfo {
    CaptureInfo {
        source: "ebpf-tcx".to_owned(),
        fallback_reason: None,
        interfaces: vec!["eth0".to_owned(), "lo".to_owned()],
        clock_resolution_ms: 4.0,
        packets: 123,
        records: 11,
    }
}

fn traffic(scale: u64) -> InterfaceTraffic {
    InterfaceTraffic {
        protocols: map([("tcp", cell(scale)), ("udp", cell(scale * 10))]),
        total: cell(scale * 11),
        not_in_flows: map([("arp", cell(scale))]),
    }
}

fn cell(scale: u64) -> TrafficCell {
    TrafficCell {
        in_packets: scale,
        in_bytes: scale * 100,
        in_wire_bytes: scale * 114,
        out_packets: scale * 2,
        out_bytes: scale * 200,
        out_wire_bytes: scale * 228,
    }
}

fn protocol(packets: u64) -> ProtocolTraffic {
    ProtocolTraffic { packets, bytes: packets * 100, active_flows: 1, bits_per_second: 10_000.0 }
}

fn address(scale: u64) -> AddressTraffic {
    AddressTraffic { sent_bytes: scale * 100, received_bytes: scale * 50, sent_packets: scale, received_packets: scale }
}

fn talker(number: u64) -> TopTalker {
    TopTalker {
        address: format!("10.0.0.{number}"),
        bits_per_second: 2400.0,
        sent_bits_per_second: 1600.0,
        received_bits_per_second: 800.0,
        bytes: 1_000_000,
    }
}

fn utilization(speed: Option<u64>) -> InterfaceUtilization {
    InterfaceUtilization {
        in_bytes: 5000,
        out_bytes: 6000,
        in_packets: 50,
        out_packets: 60,
        in_bits_per_second: 8000.0,
        out_bits_per_second: 4000.0,
        in_packets_per_second: 10.0,
        out_packets_per_second: 5.0,
        speed_bits_per_second: speed,
        utilization: speed.map(|bits| 8000.0 / bits as f64),
        errors: 1,
        in_errors: 1,
        dropped: 2,
        in_dropped: 2,
        up: true,
        captured: speed.is_some(),
    }
}

fn loss(count: u64) -> Loss {
    Loss { count, packets: count * 2, bytes: count * 200, meaning: "Records that found their queue full.".to_owned() }
}
