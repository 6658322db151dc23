//! A snapshot and flows with every key filled, so that no part of a schema goes untested. Numbers are made up but
//! agree with one another where a reader would compare them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hivewall_model::{
    Container, Direction, DnsMessage, EndReason, Fate, Flow, FlowId, FlowNames, HttpRequest, Judgement, NameSource,
    Point, Process, Ruling, Side, TcpFlags, TcpState, Timestamp, Timing, TlsHello, Tunnel,
};
use hivewall_view::alerts::{
    Acknowledgement, Alert, AlertState, AlertSummary, CaptureSummary, ChannelRow, DetectorRow, Evidence, Mute,
    MuteAction, MuteMatch, OwnerEvidence, OwnersEvidence, Response, Severity, Technique,
};
use hivewall_view::fleet::{HostDigest, example_answer};
use hivewall_view::policy::{DriftCount, PolicyKey, PolicyTrust, example_policy};
use hivewall_view::time::rfc3339;
use hivewall_view::{
    AddressTraffic, AgentCost, ApplicationTraffic, Attribution, CaptureInfo, ConntrackFill, DiskLoad, DnsRow,
    DnsSummary, DropRow, ExportRow, FamilyCount, FilesystemFill, FlowCounts, FlowRow, HalfOpenTarget, HistoryInfo,
    HostInfo, HttpRow, HttpSummary, InterfaceTraffic, InterfaceUtilization, Latency, Loss, NameCount, PeerLatency,
    ProcessTraffic, ProtocolTraffic, ServiceTraffic, Snapshot, SocketSummary, SuspiciousTraffic, SystemLoad,
    TlsSummary, TopTalker, TrafficAccuracy, TrafficCell, example_flow,
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
    let mut https = Flow { points: vec![point(base.to_server, None)], rate: 1250.0, ..base.clone() };
    add_depth(&mut https);
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
    let ruling = |fate: Fate, rule: &str| Ruling { verdict: fate.verdict(7, 40), rule: rule.into() };
    ssh.judgement = Some(Judgement {
        ruling: ruling(Fate::Reject, "main:default-in"),
        reply: Some(ruling(Fate::Observed, "out")),
        dropped_packets: 20,
        dropped_bytes: 2000,
    });
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
    let (mut firewall_rules, refused) = example_policy();
    firewall_rules.signed_by.push("ops".to_owned());
    firewall_rules.trust = Some(PolicyTrust {
        threshold: 1,
        keys: vec![PolicyKey { id: "0011223344556677".to_owned(), name: "ops".to_owned() }],
        highest: Some(42),
    });
    firewall_rules.problems.push("it ends soon".to_owned());
    firewall_rules.drift.changes.insert("chain-flushed".to_owned(), DriftCount { ours: 1, others: 2 });
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
            failed_login_attempts: 12,
            port_scans: 1,
            syn_floods: 1,
            floods: 2,
        },
        alerts: alerts(),
        flow_export: vec![ExportRow {
            target: "ipfix+udp://192.0.2.9:4739".to_owned(),
            records: 12,
            messages: 2,
            bytes: 900,
            queued: 1,
            lost: map([("queue_full", 3)]),
            last_error: Some("connection refused".to_owned()),
        }],
        flow_counts: FlowCounts {
            active: 3,
            total: 5,
            limit: 1_000_000,
            ended: map([("idle_timeout", 1), ("reset", 1)]),
            new_per_second: 0.5,
        },
        flows,
        firewall_rules,
        refused,
        processes: vec![process(812, "nginx"), process(0, "(other)")],
        attribution: Attribution {
            source: "kernel-events".to_owned(),
            fallback_reason: None,
            attributed_flows: 5,
            unattributed_flows: 1,
            sockets: 12,
            processes: 4,
        },
        applications: map([("tls", ApplicationTraffic { bytes: 9000, packets: 90, flows: 5, guessed_flows: 2 })]),
        services: vec![ServiceTraffic {
            protocol: "tcp".to_owned(),
            port: 443,
            application: Some("https".to_owned()),
            bytes: 9000,
            packets: 90,
            flows: 5,
        }],
        dns_queries: dns(),
        http_requests: http(),
        tls_handshakes: TlsSummary {
            hellos: 4,
            quic_hellos: 1,
            versions: map([("TLS 1.3", 4), ("0x7a7a", 1)]),
            top_names: vec![name("www.example.com")],
            top_ja4: vec![name("t13d1516h2_8daaf6152771_b186095e22b6")],
        },
        latency: (1..=12).map(peer).collect(),
        jitter: map([("10.0.0.2", 0.0002)]),
        sockets: SocketSummary {
            tcp: map([("ESTABLISHED", FamilyCount { ipv4: 4, ipv6: 1 })]),
            udp: FamilyCount { ipv4: 2, ipv6: 3 },
            transitions: map([("SYN_SENT>ESTABLISHED", 7)]),
            retransmits: 3,
        },
        half_open_targets: vec![HalfOpenTarget { target: "10.0.0.9:80".to_owned(), half_open: 2 }],
        kernel_drops: vec![DropRow {
            reason: "no_socket".to_owned(),
            interface: "eth0".to_owned(),
            protocol: "tcp".to_owned(),
            packets: 6,
            last_source: Some("198.51.100.7:50123".to_owned()),
            last_destination: Some("10.0.0.1:81".to_owned()),
        }],
        system: Some(system()),
        security_alerts: map([("port_scan", 1)]),
        agent: AgentCost { cpu_share: 0.02, kernel_ns_per_packet: Some(61.0), peeks: 17, socket_events: 40 },
        history: HistoryInfo {
            directory: "/var/lib/hivewall".to_owned(),
            flows: 1000,
            bytes: 25_000,
            segments: 3,
            oldest: Some("2023-11-14T22:13:20.000000Z".to_owned()),
            failure: Some("the disk is full".to_owned()),
        },
        interface_utilization: map([("eth0", utilization(Some(1_000_000_000))), ("lo", utilization(None))]),
        outbound_traffic: map([("10.0.0.2", address(2)), ("other", address(1))]),
        losses: map([("ring_full", loss(3)), ("log_queue_full", loss(0))]),
    }
}

fn process(pid: u32, comm: &str) -> ProcessTraffic {
    ProcessTraffic {
        pid,
        process: comm.to_owned(),
        executable: Some("/usr/sbin/nginx".to_owned()),
        user: Some("www-data".to_owned()),
        container: Some("web-1".to_owned()),
        cgroup: Some("/system.slice/nginx.service".to_owned()),
        sent_bytes: 6000,
        received_bytes: 3000,
        sent_packets: 60,
        received_packets: 30,
        sent_bits_per_second: 1600.0,
        received_bits_per_second: 800.0,
        active_flows: 2,
        flows: 5,
    }
}

fn name(name: &str) -> NameCount {
    NameCount { name: name.to_owned(), count: 4 }
}

fn measured() -> Latency {
    Latency {
        samples: 4,
        sum_seconds: 0.05,
        min_seconds: 0.01,
        max_seconds: 0.02,
        median_seconds: 0.011,
        p95_seconds: 0.02,
    }
}

fn dns() -> DnsSummary {
    DnsSummary {
        queries: 5,
        responses: 4,
        multicast: 2,
        rcodes: map([("NOERROR", 3), ("RCODE99", 1)]),
        types: map([("A", 4), ("TYPE4711", 1)]),
        top_names: vec![name("www.example.com")],
        latency: measured(),
        recent: vec![DnsRow {
            time: rfc3339(NOW),
            client: "10.0.0.1".to_owned(),
            server: "10.0.0.53".to_owned(),
            name: "www.example.com".to_owned(),
            qtype: "A".to_owned(),
            rcode: Some("NOERROR".to_owned()),
            answers: vec!["10.0.0.2".to_owned()],
            latency_seconds: Some(0.011),
            process: Some("curl".to_owned()),
        }],
    }
}

fn http() -> HttpSummary {
    HttpSummary {
        requests: 3,
        responses: 3,
        methods: map([("GET", 2), ("other", 1)]),
        statuses: map([("200", 2), ("404", 1)]),
        top_hosts: vec![name("www.example.com")],
        latency: measured(),
        recent: vec![HttpRow {
            time: rfc3339(NOW),
            client: "10.0.0.1".to_owned(),
            server: "10.0.0.2".to_owned(),
            method: "GET".to_owned(),
            host: "www.example.com".to_owned(),
            target: "/".to_owned(),
            status: Some(200),
            latency_seconds: Some(0.011),
            process: Some("curl".to_owned()),
        }],
    }
}

fn peer(number: u64) -> (String, PeerLatency) {
    let latency = PeerLatency {
        last_seconds: 0.011,
        smoothed_seconds: 0.01,
        min_seconds: 0.009,
        max_seconds: 0.02,
        jitter_seconds: 0.0002,
        samples: number,
    };
    (format!("10.0.0.{number}"), latency)
}

fn system() -> SystemLoad {
    SystemLoad {
        cpus: 2,
        cpu_utilization: 0.25,
        cpu_modes: map([("user", 0.2), ("system", 0.05)]),
        cpu_seconds: map([("user", 1200.0), ("idle", 8000.0)]),
        load_average: vec![0.5, 0.4, 0.3],
        memory_bytes: 8_000_000_000,
        memory_available_bytes: 6_000_000_000,
        swap_bytes: 1_000_000_000,
        swap_used_bytes: 0,
        disks: map([(
            "sda",
            DiskLoad {
                read_bytes_per_second: 10.0,
                written_bytes_per_second: 20.0,
                read_bytes: 1000,
                written_bytes: 2000,
                utilization: 0.1,
            },
        )]),
        filesystems: map([(
            "/",
            FilesystemFill {
                device: "/dev/sda1".to_owned(),
                kind: "ext4".to_owned(),
                size_bytes: 100_000,
                available_bytes: 40_000,
            },
        )]),
        conntrack: Some(ConntrackFill { entries: 12, limit: 65_536 }),
        processes: 99,
        uptime_seconds: 7200.0,
    }
}

/// Everything that can be learned of a flow beyond its packets' headers, on the first one.
fn add_depth(flow: &mut Flow) {
    let process = |pid, comm: &str| Process { pid, comm: comm.into(), user: Some("root".into()), ..Process::default() };
    flow.client_process = Some(Arc::new(Process {
        executable: Some("/usr/bin/curl".into()),
        cgroup: Some("/system.slice/docker-0123456789ab.scope".into()),
        container: Some(Container { runtime: "docker", id: "0123456789ab".into(), name: Some("web-1".into()) }),
        ..process(4711, "curl")
    }));
    flow.server_process = Some(Arc::new(process(80, "nginx")));
    flow.names = Some(Arc::new(FlowNames {
        application: None,
        server: Some(("www.example.com".into(), NameSource::Dns)),
        tls: Some(Arc::new(TlsHello { alpn: vec!["h2".into()], ja4: "t13d".into(), ..TlsHello::default() })),
        http: Some(Arc::new(HttpRequest { method: "GET".into(), target: "/".into(), ..HttpRequest::default() })),
        http_status: Some(200),
        http_requests: 2,
        dns: Some(Arc::new(DnsMessage { response: true, name: "a.example".into(), qtype: 1, ..DnsMessage::default() })),
        ssh: [Some("SSH-2.0-a".into()), Some("SSH-2.0-b".into())],
    }));
    let micros = |micros| Some(Duration::from_micros(micros));
    flow.timing = Timing {
        handshake_server: micros(2000),
        handshake_client: micros(500),
        server_response: micros(3000),
        round_trip: micros(4000),
        jitter: micros(100),
        smoothed_rtt: micros(2100),
        rtt_deviation: micros(50),
        retransmits: Some(1),
        out_of_order: Some(0),
    };
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

/// What a host of the fleet tells of itself.
pub fn digest() -> HostDigest {
    HostDigest { id: "aa".to_owned(), name: "web-1".to_owned(), ..HostDigest::of(&snapshot()) }
}

/// An alert with everything that one can have.
pub fn alert() -> Alert {
    Alert {
        id: "00c0ffee1234".to_owned(),
        host: "host-1".to_owned(),
        detector: "port_scan".to_owned(),
        kind: "scan".to_owned(),
        title: "Port scan".to_owned(),
        severity: Severity::Medium,
        message: "192.0.2.7 tried 1000 ports of 10.0.0.1".to_owned(),
        technique: Some(Technique {
            id: "T1046".to_owned(),
            name: "Network Service Discovery".to_owned(),
            tactic: "Discovery".to_owned(),
        }),
        source: Some("192.0.2.7".to_owned()),
        sources: Some(2),
        spoofable: true,
        subject: Some("tcp".to_owned()),
        targets: vec!["10.0.0.1".to_owned()],
        target_count: 1,
        protocol: Some("tcp".to_owned()),
        port: Some(22),
        process: Some("sshd (812)".to_owned()),
        interface: Some("eth0".to_owned()),
        first_seen: rfc3339(NOW),
        last_seen: rfc3339(NOW),
        signs: 3,
        state: AlertState::Active,
        evidence: Evidence {
            figures: map([("ports", 1000.0)]),
            flows: vec![1, 2],
            samples: vec!["22, 23, 25".to_owned()],
            capture: Some("/var/lib/hivewall/alerts/00c0ffee1234.pcapng".to_owned()),
            owners: Some(OwnersEvidence {
                answer: example_answer(),
                owners: vec![OwnerEvidence {
                    host: "host-2".to_owned(),
                    flows: 3,
                    packets: 9,
                    bytes: 900,
                    flow_ids: vec![4],
                }],
            }),
        },
        hosts: vec!["host-1".to_owned(), "host-2".to_owned()],
        acknowledged: Some(Acknowledgement { at: rfc3339(NOW), by: "ops".to_owned(), note: "looking".to_owned() }),
        silenced_until: Some(rfc3339(NOW)),
        response: Some(Response {
            action: "ban".to_owned(),
            outcome: "done".to_owned(),
            reason: "the policy grants it".to_owned(),
            prefix: Some("192.0.2.7".to_owned()),
            until: Some(rfc3339(NOW)),
            undo: Some("hivewall alerts undo 00c0ffee1234".to_owned()),
        }),
    }
}

fn alerts() -> AlertSummary {
    let tally = |count| map([("port_scan", map([("medium", count)]))]);
    AlertSummary {
        on: true,
        active: tally(1),
        raised: tally(3),
        signs: map([("port_scan", 9)]),
        responses: map([("port_scan", map([("ban", map([("done", 1)]))]))]),
        latest: vec![alert()],
        failed_logins: 12,
        channels: vec![ChannelRow {
            channel: "journald:".to_owned(),
            counts: map([("delivered", 4)]),
            queued: 1,
            last_error: Some("no such socket".to_owned()),
            last_success: Some(rfc3339(NOW)),
        }],
        captures: CaptureSummary { files: 2, bytes: 4_000, lost: map([("full", 7)]) },
    }
}

pub fn mute() -> Mute {
    Mute {
        id: "m1".to_owned(),
        action: MuteAction::Silence,
        of: MuteMatch {
            detector: Some("port_scan".to_owned()),
            source: Some("192.0.2.0/24".to_owned()),
            target: Some("10.0.0.1".to_owned()),
            port: Some(22),
            subject: Some("tcp".to_owned()),
        },
        since: rfc3339(NOW),
        until: Some(rfc3339(NOW)),
        by: "ops".to_owned(),
        note: "our own scanner".to_owned(),
        hits: 3,
    }
}

pub fn detector() -> DetectorRow {
    DetectorRow {
        name: "port_scan".to_owned(),
        title: "Port scan".to_owned(),
        kind: "scan".to_owned(),
        sees: "many ports of one host".to_owned(),
        misses: "few ports".to_owned(),
        evaded_by: "patience".to_owned(),
        severity: Severity::Medium,
        technique: alert().technique,
        spoofable: "depends".to_owned(),
        on: true,
        thresholds: map([("ports", "20 ports".to_owned())]),
        signs: 9,
        entries: 12,
        entries_max: 65_536,
        given_up: 1,
    }
}
