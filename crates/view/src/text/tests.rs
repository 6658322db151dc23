//! The page of a realistic gateway, as it reads at three widths, and the page of an agent that has just begun.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use unicode_width::UnicodeWidthStr;

use super::render_snapshot_text;
use crate::{
    AddressTraffic, ApplicationTraffic, Attribution, ConntrackFill, DiskLoad, DnsSummary, DropRow, FamilyCount,
    FilesystemFill, FlowRow, HalfOpenTarget, HistoryInfo, HostInfo, HttpSummary, InterfaceUtilization, Latency, Loss,
    NameCount, PeerLatency, ProcessTraffic, ProtocolTraffic, ServiceTraffic, Snapshot, SystemLoad, TlsSummary,
    TopTalker, example_flow,
};

fn interface(in_rate: f64, out_rate: f64, speed: Option<u64>) -> InterfaceUtilization {
    InterfaceUtilization {
        in_bytes: (in_rate * 450.0) as u64,
        out_bytes: (out_rate * 450.0) as u64,
        in_bits_per_second: in_rate,
        out_bits_per_second: out_rate,
        in_packets_per_second: in_rate / 8000.0,
        out_packets_per_second: out_rate / 3000.0,
        speed_bits_per_second: speed,
        utilization: speed.map(|speed| in_rate.max(out_rate) / speed as f64),
        up: true,
        captured: true,
        ..InterfaceUtilization::default()
    }
}

fn row(source: &str, dest: &str, port: u16, bytes: u64, rate: f64) -> FlowRow {
    let mut flow = example_flow();
    flow.tuple.client = source.parse().unwrap();
    flow.tuple.server = dest.parse().unwrap();
    flow.tuple.server_port = port;
    flow.to_client.ip_bytes = bytes;
    flow.to_client.packets = bytes / 1200;
    flow.rate = rate / 8.0;
    FlowRow::new(&flow, &|_| "eth0".to_owned())
}

fn talker(address: &str, sent: f64, received: f64, bytes: u64) -> TopTalker {
    TopTalker {
        address: address.to_owned(),
        bits_per_second: sent + received,
        sent_bits_per_second: sent,
        received_bits_per_second: received,
        bytes,
    }
}

fn protocol(packets: u64, bytes: u64, active_flows: u64, bits_per_second: f64) -> ProtocolTraffic {
    ProtocolTraffic { packets, bytes, active_flows, bits_per_second }
}

fn gateway() -> Snapshot {
    let mut snapshot = Snapshot { time: "2026-11-21T10:00:00.000000Z".to_owned(), ..Snapshot::default() };
    snapshot.host = HostInfo {
        name: "gateway".to_owned(),
        kernel: "6.12.57-amd64".to_owned(),
        version: "0.1.0".to_owned(),
        uptime_seconds: 273_600.0,
        agent_memory_bytes: 21_400_000,
        agent_cpu_seconds: 312.0,
    };
    let capture = &mut snapshot.capture;
    capture.source = "ebpf-tcx".to_owned();
    capture.interfaces = ["eth0", "eth1", "wg0"].map(str::to_owned).to_vec();
    capture.clock_resolution_ms = 4.0;
    capture.packets = 123_456_789;
    let named = |name: &str, load| (name.to_owned(), load);
    let mut lan = interface(7.9e6, 8.6e7, Some(1_000_000_000));
    lan.dropped = 12;
    let unused = InterfaceUtilization { up: false, captured: false, ..InterfaceUtilization::default() };
    snapshot.interface_utilization = [
        named("eth0", interface(8.75e7, 8.1e6, Some(1_000_000_000))),
        named("eth1", lan),
        named("wg0", interface(420_000.0, 1_250_000.0, None)),
        named("eth2", unused),
    ]
    .into();
    snapshot.protocols = [
        ("tcp".to_owned(), protocol(98_000_000, 101_200_000_000, 812, 9.1e7)),
        ("udp".to_owned(), protocol(25_000_000, 4_300_000_000, 410, 4.2e6)),
        ("icmp".to_owned(), protocol(45_000, 3_800_000, 2, 670.0)),
        ("icmpv6".to_owned(), protocol(12_345, 987_654, 6, 0.0)),
    ]
    .into();
    snapshot.top_talkers = vec![
        talker("192.0.2.44", 8.2e7, 3.1e6, 71_300_000_000),
        talker("10.0.0.17", 3.0e6, 7.9e7, 70_900_000_000),
        talker("2001:db8:40:1::25", 1_250_000.0, 420_000.0, 1_100_000_000),
    ];
    snapshot.connection_states =
        [("ESTABLISHED".to_owned(), 790), ("SYN_SENT".to_owned(), 9), ("FIN_WAIT".to_owned(), 13)].into();
    snapshot.suspicious_traffic.half_open = 9;
    snapshot.suspicious_traffic.invalid_packets = 31;
    snapshot.suspicious_traffic.invalid_by_reason =
        [("bad_tcp_header".to_owned(), 28), ("bad_udp_header".to_owned(), 3)].into();
    let counts = &mut snapshot.flow_counts;
    (counts.active, counts.total, counts.limit, counts.new_per_second) = (1230, 845_120, 1_000_000, 42.0);
    counts.ended =
        [("finished".to_owned(), 610_000), ("idle_timeout".to_owned(), 221_000), ("reset".to_owned(), 12_890)].into();
    let branch = AddressTraffic {
        sent_bytes: 4_100_000_000,
        received_bytes: 71_000_000_000,
        sent_packets: 31_000_000,
        received_packets: 58_700_000,
    };
    snapshot.subnet_traffic = [("10.0.0.0/24".to_owned(), branch)].into();
    snapshot.flows = vec![
        row("10.0.0.17", "192.0.2.44", 443, 70_100_000_000, 8.2e7),
        row("2001:db8:40:1::25", "2001:db8:ffff:8000:21f:5bff:fe0c:9a1e", 8443, 1_050_000_000, 1.6e6),
        row("10.0.0.23", "198.51.100.7", 22, 1_234_567, 0.0),
    ];
    let ring = Loss { count: 3, packets: 410, bytes: 512_000, meaning: "Records that found the ring full.".to_owned() };
    snapshot.losses = [("ring_full".to_owned(), ring), ("table_full".to_owned(), Loss::default())].into();
    snapshot
}

#[track_caller]
fn check(snapshot: &Snapshot, width: usize, want: &Expect) {
    let page = render_snapshot_text(snapshot, width);
    for line in page.lines() {
        assert!(line.width() <= width, "wider than {width}: {line}");
        assert_eq!(line, line.trim_end(), "no space at the end of a line");
    }
    want.assert_eq(&page);
}

fn counts(entries: &[(&str, u64)]) -> BTreeMap<String, u64> {
    entries.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn names(entries: &[(&str, u64)]) -> Vec<NameCount> {
    entries.iter().map(|(name, count)| NameCount { name: (*name).to_owned(), count: *count }).collect()
}

fn process(pid: u32, name: &str, user: &str, container: Option<&str>, bytes: [u64; 2]) -> ProcessTraffic {
    let [sent_bytes, received_bytes] = bytes;
    ProcessTraffic {
        pid,
        process: name.to_owned(),
        user: (!user.is_empty()).then(|| user.to_owned()),
        container: container.map(str::to_owned),
        sent_bytes,
        received_bytes,
        sent_packets: sent_bytes / 800,
        received_packets: received_bytes / 800,
        sent_bits_per_second: sent_bytes as f64 / 1000.0,
        received_bits_per_second: received_bytes as f64 / 1000.0,
        active_flows: 3,
        flows: 40,
        ..ProcessTraffic::default()
    }
}

fn service(protocol: &str, port: u16, application: Option<&str>, bytes: u64) -> ServiceTraffic {
    let application = application.map(str::to_owned);
    ServiceTraffic { protocol: protocol.to_owned(), port, application, bytes, packets: bytes / 900, flows: 12 }
}

/// A web server: little traffic, much known of it.
fn server() -> Snapshot {
    let mut snapshot = Snapshot { time: "2026-11-21T10:00:00.000000Z".to_owned(), ..Snapshot::default() };
    snapshot.host = HostInfo { name: "web-1".to_owned(), uptime_seconds: 3725.0, ..HostInfo::default() };
    snapshot.capture.source = "ebpf-tcx".to_owned();
    snapshot.agent.kernel_ns_per_packet = Some(61.4);
    load(&mut snapshot);
    snapshot.attribution = Attribution {
        source: "kernel-events".to_owned(),
        attributed_flows: 1988,
        unattributed_flows: 12,
        ..Attribution::default()
    };
    snapshot.services = vec![
        service("tcp", 443, Some("https"), 8_000_000),
        service("udp", 53, Some("dns"), 1_500_000),
        service("tcp", 9911, None, 400_000),
        service("udp", 0, None, 100_000),
    ];
    let application = |bytes, flows, guessed_flows| ApplicationTraffic { bytes, packets: 9, flows, guessed_flows };
    snapshot.applications =
        [("tls".to_owned(), application(7_000_000, 31, 2)), ("ntp".to_owned(), application(1000, 4, 4))].into();
    snapshot.processes = vec![
        process(812, "nginx", "www-data", Some("shop-frontend-1"), [7_100_000, 900_000]),
        process(4711, "curl\u{1b}[2J", "root", None, [1200, 500_000]),
        process(0, "(other)", "", None, [100, 200]),
    ];
    snapshot.dns_queries = DnsSummary {
        queries: 1240,
        responses: 1238,
        rcodes: counts(&[("NOERROR", 1200), ("NXDOMAIN", 38), ("REFUSED", 0)]),
        types: counts(&[("A", 700), ("AAAA", 540)]),
        top_names: names(&[("api.example.com", 410), ("db.internal", 77)]),
        latency: measured(0.012, 0.085),
        ..DnsSummary::default()
    };
    snapshot.http_requests = HttpSummary {
        requests: 310,
        responses: 309,
        methods: counts(&[("GET", 300), ("POST", 10)]),
        statuses: counts(&[("200", 280), ("404", 29)]),
        top_hosts: names(&[("www.example.com", 310)]),
        latency: measured(0.002, 0.04),
        ..HttpSummary::default()
    };
    snapshot.tls_handshakes = TlsSummary {
        hellos: 412,
        quic_hellos: 31,
        versions: counts(&[("TLS 1.3", 440), ("TLS 1.2", 3)]),
        top_names: names(&[("shop.example.com", 402)]),
        ..TlsSummary::default()
    };
    snapshot.latency =
        [("192.0.2.44".to_owned(), peer(0.0123, 812)), ("2001:db8::1".to_owned(), peer(0.181, 9))].into();
    let family = |ipv4, ipv6| FamilyCount { ipv4, ipv6 };
    let states = [("ESTABLISHED", family(40, 2)), ("LISTEN", family(3, 6)), ("CLOSING", family(0, 0))];
    snapshot.sockets.tcp = states.map(|(state, count)| (state.to_owned(), count)).into();
    snapshot.sockets.udp = family(5, 4);
    snapshot.sockets.retransmits = 41;
    snapshot.suspicious_traffic.half_open = 21;
    snapshot.half_open_targets = vec![HalfOpenTarget { target: "192.0.2.9:8443".to_owned(), half_open: 20 }];
    snapshot.kernel_drops =
        vec![dropped("no_socket", "eth0", 31, Some("198.51.100.7:50123")), dropped("netfilter_drop", "", 4, None)];
    snapshot.history = HistoryInfo {
        directory: "/var/lib/hivewall".to_owned(),
        flows: 1_240_000,
        bytes: 31_000_000,
        oldest: Some("2026-11-14T08:00:00.000000Z".to_owned()),
        failure: Some("the disk is full".to_owned()),
        ..HistoryInfo::default()
    };
    snapshot
}

fn load(snapshot: &mut Snapshot) {
    let fill =
        |size_bytes, available_bytes| FilesystemFill { size_bytes, available_bytes, ..FilesystemFill::default() };
    snapshot.system = Some(SystemLoad {
        cpus: 8,
        cpu_utilization: 0.124,
        load_average: vec![0.52, 0.4, 0.31],
        memory_bytes: 16 << 30,
        memory_available_bytes: 12 << 30,
        disks: [("nvme0n1".to_owned(), DiskLoad { utilization: 0.03, ..DiskLoad::default() })].into(),
        filesystems: [("/".to_owned(), fill(100, 19)), ("/srv".to_owned(), fill(100, 70))].into(),
        conntrack: Some(ConntrackFill { entries: 1200, limit: 262_144 }),
        ..SystemLoad::default()
    });
}

fn measured(median_seconds: f64, p95_seconds: f64) -> Latency {
    Latency { samples: 9, median_seconds, p95_seconds, ..Latency::default() }
}

fn peer(rtt: f64, samples: u64) -> PeerLatency {
    PeerLatency {
        last_seconds: rtt * 1.1,
        smoothed_seconds: rtt,
        min_seconds: rtt / 2.0,
        max_seconds: rtt * 2.0,
        jitter_seconds: rtt / 10.0,
        samples,
    }
}

fn dropped(reason: &str, interface: &str, packets: u64, from: Option<&str>) -> DropRow {
    DropRow {
        reason: reason.to_owned(),
        interface: interface.to_owned(),
        protocol: "tcp".to_owned(),
        packets,
        last_source: from.map(str::to_owned),
        last_destination: from.map(|_| "10.0.0.5:81".to_owned()),
    }
}

#[test]
fn a_server_of_which_much_is_known_on_a_very_wide_terminal() {
    check(
        &server(),
        160,
        &expect![[r#"
        web-1 · 2026-11-21 10:00:00 UTC · up 1h02m · agent 0 B, 0s CPU
        Host: CPU 12% of 8 · load 0.52 0.40 0.31 · memory 25% of 16.0 GiB · disk nvme0n1 3.0% busy · / 81% full · /srv 30% full · conntrack 1.2k of 262k
        ebpf-tcx · 0 packets · 61 ns a packet in the kernel
        0 flows live · 0/s new · 0 since start
        Process known: 99% of 2.0k flows of this host · by kernel-events
        DNS: 1.2k queries · 1.2k responses · noerror 1.2k · nxdomain 38 · a 700 · aaaa 540 · answered in 12ms, 95% within 85ms
        HTTP: 310 requests · 309 responses · get 300 · post 10 · 200 280 · 404 29 · answered in 2ms, 95% within 40ms
        TLS: 412 hellos · 31 in QUIC · tls 1.3 440 · tls 1.2 3
        History: 1.2M flows · 31.0 MB · back to 2026-11-14 08:00 UTC
        History is not written: the disk is full
        Half-open: 21 connections without an answer
        Sent again: 41 TCP segments
        Dropped by the kernel: 35 packets · no_socket 31 · netfilter_drop 4

        PORT        APPLICATION  SHARE   BYTES  PACKETS  FLOWS
        tcp 443     ~https         80%  8.0 MB     8.9k     12
        udp 53      ~dns           15%  1.5 MB     1.7k     12
        tcp 9911                  4.0%  400 kB      444     12
        udp others                1.0%  100 kB      111     12

        APPLICATION SEEN   BYTES  PACKETS  FLOWS  OF THEM GUESSED
        tls               7.0 MB        9     31                2

         PID  PROCESS   USER      CONTAINER          SENT  RECEIVED       SENDS   RECEIVES  PACKETS  FLOWS
         812  nginx     www-data  shop-frontend-1  7.1 MB    900 kB  7.1 kbit/s  900 bit/s    10.0k      3
        4711  curl?[2J  root                       1.2 kB    500 kB     1 bit/s  500 bit/s      626      3
              (other)                               100 B     200 B     0 bit/s    0 bit/s        0      3

        NAME              ASKED IN  TIMES
        api.example.com   DNS         410
        db.internal       DNS          77
        www.example.com   HTTP        310
        shop.example.com  TLS         402

        PEER           RTT  JITTER  LEAST  GREATEST  LATEST  SAMPLES
        192.0.2.44    12ms     1ms    6ms      25ms    14ms      812
        2001:db8::1  181ms    18ms   91ms     362ms   199ms        9

        SOCKETS          IPV4  IPV6
        TCP ESTABLISHED    40     2
        TCP LISTEN          3     6
        UDP                 5     4

        HALF-OPEN TARGET  CONNECTIONS
        192.0.2.9:8443             20

        DROPPED BY KERNEL  PACKETS  INTERFACE  PROTO  LATEST
        no_socket               31  eth0       tcp    198.51.100.7:50123 → 10.0.0.5:81
        netfilter_drop           4             tcp
    "#]],
    );
}

#[test]
fn a_server_of_which_much_is_known_on_an_ordinary_terminal() {
    check(
        &server(),
        80,
        &expect![[r#"
        web-1 · 2026-11-21 10:00:00 UTC · up 1h02m · agent 0 B, 0s CPU
        Host: CPU 12% of 8 · load 0.52 0.40 0.31 · memory 25% of 16.0 GiB
          disk nvme0n1 3.0% busy · / 81% full · /srv 30% full · conntrack 1.2k of 262k
        ebpf-tcx · 0 packets · 61 ns a packet in the kernel
        0 flows live · 0/s new · 0 since start
        Process known: 99% of 2.0k flows of this host · by kernel-events
        DNS: 1.2k queries · 1.2k responses · noerror 1.2k · nxdomain 38 · a 700
          aaaa 540 · answered in 12ms, 95% within 85ms
        HTTP: 310 requests · 309 responses · get 300 · post 10 · 200 280 · 404 29
          answered in 2ms, 95% within 40ms
        TLS: 412 hellos · 31 in QUIC · tls 1.3 440 · tls 1.2 3
        History: 1.2M flows · 31.0 MB · back to 2026-11-14 08:00 UTC
        History is not written: the disk is full
        Half-open: 21 connections without an answer
        Sent again: 41 TCP segments
        Dropped by the kernel: 35 packets · no_socket 31 · netfilter_drop 4

        PORT        APPLICATION  SHARE   BYTES  PACKETS  FLOWS
        tcp 443     ~https         80%  8.0 MB     8.9k     12
        udp 53      ~dns           15%  1.5 MB     1.7k     12
        tcp 9911                  4.0%  400 kB      444     12
        udp others                1.0%  100 kB      111     12

        APPLICATION SEEN   BYTES  PACKETS  FLOWS  OF THEM GUESSED
        tls               7.0 MB        9     31                2

         PID  PROCESS   CONTAINER          SENT  RECEIVED       SENDS   RECEIVES  FLOWS
         812  nginx     shop-frontend-1  7.1 MB    900 kB  7.1 kbit/s  900 bit/s      3
        4711  curl?[2J                   1.2 kB    500 kB     1 bit/s  500 bit/s      3
              (other)                     100 B     200 B     0 bit/s    0 bit/s      3

        NAME              ASKED IN  TIMES
        api.example.com   DNS         410
        db.internal       DNS          77
        www.example.com   HTTP        310
        shop.example.com  TLS         402

        PEER           RTT  JITTER  LEAST  GREATEST  LATEST  SAMPLES
        192.0.2.44    12ms     1ms    6ms      25ms    14ms      812
        2001:db8::1  181ms    18ms   91ms     362ms   199ms        9

        SOCKETS          IPV4  IPV6
        TCP ESTABLISHED    40     2
        TCP LISTEN          3     6
        UDP                 5     4

        HALF-OPEN TARGET  CONNECTIONS
        192.0.2.9:8443             20

        DROPPED BY KERNEL  PACKETS  INTERFACE  PROTO  LATEST
        no_socket               31  eth0       tcp    198.51.100.7:50123 → 10.0.0.5:81
        netfilter_drop           4             tcp
    "#]],
    );
}

#[test]
fn a_gateway_on_a_wide_terminal() {
    check(
        &gateway(),
        120,
        &expect![[r#"
            gateway · 2026-11-21 10:00:00 UTC · up 3d04h · hivewall 0.1.0 · Linux 6.12.57-amd64 · agent 20.4 MiB, 5m12s CPU
            ebpf-tcx on eth0, eth1, wg0 · 123M packets · times exact to 4ms
            1.2k flows live · 42/s new · 845k since start · room for 1.0M
            TCP: established 790 · fin_wait 13 · syn_sent 9
            Ended: finished 610k · idle_timeout 221k · reset 12.9k
            Half-open: 9 connections without an answer
            Invalid: 31 packets · bad_tcp_header 28 · bad_udp_header 3

            INTERFACE           IN          OUT  LOAD       SPEED  IN PACKETS  OUT PACKETS  TOTAL IN  TOTAL OUT  NOTES
            eth0       87.5 Mbit/s   8.1 Mbit/s  8.8%  1.0 Gbit/s     10.9k/s       2.7k/s   39.4 GB     3.6 GB
            eth1        7.9 Mbit/s  86.0 Mbit/s  8.6%  1.0 Gbit/s       988/s      28.7k/s    3.6 GB    38.7 GB  12 dropped
            wg0         420 kbit/s   1.2 Mbit/s                          52/s        417/s    189 MB     562 MB
            eth2           0 bit/s      0 bit/s                           0/s          0/s       0 B        0 B  down, not captured

            PROTOCOL  SHARE   BYTES  PACKETS         RATE  FLOWS
            tcp         96%  101 GB    98.0M  91.0 Mbit/s    812
            udp        4.1%  4.3 GB    25.0M   4.2 Mbit/s    410
            icmp      <0.1%  3.8 MB    45.0k    670 bit/s      2
            icmpv6    <0.1%  988 kB    12.3k      0 bit/s      6

            TALKER                    RATE        SENDS     RECEIVES    BYTES
            192.0.2.44         85.1 Mbit/s  82.0 Mbit/s   3.1 Mbit/s  71.3 GB
            10.0.0.17          82.0 Mbit/s   3.0 Mbit/s  79.0 Mbit/s  70.9 GB
            2001:db8:40:1::25   1.7 Mbit/s   1.2 Mbit/s   420 kbit/s   1.1 GB

            SUBNET         SENT  RECEIVED  PACKETS SENT  PACKETS RECEIVED
            10.0.0.0/24  4.1 GB   71.0 GB         31.0M             58.7M

            PROTO  SOURCE                     DESTINATION                    APPLICATION  STATE        PACKETS    BYTES         RATE
            tcp    10.0.0.17:40000            192.0.2.44:443                 ~https       established    58.4M  70.1 GB  82.0 Mbit/s
            tcp    [2001:db8:40:1::25]:40000  [2001:db8:ffff…e0c:9a1e]:8443  ~https       established     875k   1.1 GB   1.6 Mbit/s
            tcp    10.0.0.23:40000            198.51.100.7:22                ~ssh         established     1.0k   1.2 MB      0 bit/s

            LOST OR NOT KEPT  COUNT  PACKETS   BYTES  MEANING
            ring_full             3      410  512 kB  Records that found the ring full.
        "#]],
    );
}

#[test]
fn a_gateway_on_an_ordinary_terminal() {
    check(
        &gateway(),
        80,
        &expect![[r#"
        gateway · 2026-11-21 10:00:00 UTC · up 3d04h · hivewall 0.1.0
          Linux 6.12.57-amd64 · agent 20.4 MiB, 5m12s CPU
        ebpf-tcx on eth0, eth1, wg0 · 123M packets · times exact to 4ms
        1.2k flows live · 42/s new · 845k since start · room for 1.0M
        TCP: established 790 · fin_wait 13 · syn_sent 9
        Ended: finished 610k · idle_timeout 221k · reset 12.9k
        Half-open: 9 connections without an answer
        Invalid: 31 packets · bad_tcp_header 28 · bad_udp_header 3

        INTERFACE           IN          OUT  LOAD  NOTES
        eth0       87.5 Mbit/s   8.1 Mbit/s  8.8%
        eth1        7.9 Mbit/s  86.0 Mbit/s  8.6%  12 dropped
        wg0         420 kbit/s   1.2 Mbit/s
        eth2           0 bit/s      0 bit/s        down, not captured

        PROTOCOL  SHARE   BYTES  PACKETS         RATE  FLOWS
        tcp         96%  101 GB    98.0M  91.0 Mbit/s    812
        udp        4.1%  4.3 GB    25.0M   4.2 Mbit/s    410
        icmp      <0.1%  3.8 MB    45.0k    670 bit/s      2
        icmpv6    <0.1%  988 kB    12.3k      0 bit/s      6

        TALKER                    RATE        SENDS     RECEIVES    BYTES
        192.0.2.44         85.1 Mbit/s  82.0 Mbit/s   3.1 Mbit/s  71.3 GB
        10.0.0.17          82.0 Mbit/s   3.0 Mbit/s  79.0 Mbit/s  70.9 GB
        2001:db8:40:1::25   1.7 Mbit/s   1.2 Mbit/s   420 kbit/s   1.1 GB

        SUBNET         SENT  RECEIVED  PACKETS SENT  PACKETS RECEIVED
        10.0.0.0/24  4.1 GB   71.0 GB         31.0M             58.7M

        PROTO  SOURCE                     DESTINATION                 BYTES         RATE
        tcp    10.0.0.17:40000            192.0.2.44:443            70.1 GB  82.0 Mbit/s
        tcp    [2001:db8:40:1::25]:40000  [2001:db8:ff…:9a1e]:8443   1.1 GB   1.6 Mbit/s
        tcp    10.0.0.23:40000            198.51.100.7:22            1.2 MB      0 bit/s

        LOST OR NOT KEPT  COUNT  PACKETS   BYTES  MEANING
        ring_full             3      410  512 kB  Records that found the ring full.
    "#]],
    );
}

#[test]
fn a_gateway_on_a_narrow_terminal() {
    check(
        &gateway(),
        45,
        &expect![[r#"
        gateway · 2026-11-21 10:00:00 UTC · up 3d04h
          hivewall 0.1.0 · Linux 6.12.57-amd64
          agent 20.4 MiB, 5m12s CPU
        ebpf-tcx on eth0, eth1, wg0 · 123M packets
          times exact to 4ms
        1.2k flows live · 42/s new · 845k since start
          room for 1.0M
        TCP: established 790 · fin_wait 13
          syn_sent 9
        Ended: finished 610k · idle_timeout 221k
          reset 12.9k
        Half-open: 9 connections without an answer
        Invalid: 31 packets · bad_tcp_header 28
          bad_udp_header 3

        INTERFACE           IN          OUT
        eth0       87.5 Mbit/s   8.1 Mbit/s
        eth1        7.9 Mbit/s  86.0 Mbit/s
        wg0         420 kbit/s   1.2 Mbit/s
        eth2           0 bit/s      0 bit/s

        PROTOCOL   BYTES  PACKETS         RATE  FLOWS
        tcp       101 GB    98.0M  91.0 Mbit/s    812
        udp       4.3 GB    25.0M   4.2 Mbit/s    410
        icmp      3.8 MB    45.0k    670 bit/s      2
        icmpv6    988 kB    12.3k      0 bit/s      6

        TALKER                    RATE    BYTES
        192.0.2.44         85.1 Mbit/s  71.3 GB
        10.0.0.17          82.0 Mbit/s  70.9 GB
        2001:db8:40:1::25   1.7 Mbit/s   1.1 GB

        SUBNET         SENT  RECEIVED
        10.0.0.0/24  4.1 GB   71.0 GB

        SOURCE             DESTINATION          BYTES
        10.0.0.17:40000    192.0.2.44:443     70.1 GB
        [2001:db…5]:40000  [2001:db…1e]:8443   1.1 GB
        10.0.0.23:40000    198.51.100.7:22     1.2 MB

        LOST OR NOT KEPT  COUNT  PACKETS   BYTES
        ring_full             3      410  512 kB
    "#]],
    );
}

#[test]
fn a_fallback_is_named() {
    let mut snapshot = gateway();
    snapshot.capture.source = "af-packet".to_owned();
    snapshot.capture.fallback_reason = Some("the kernel has no BPF; run as root".to_owned());
    let page = render_snapshot_text(&snapshot, 100);
    assert!(page.contains("Not the best source: the kernel has no BPF; run as root"), "{page}");
}

#[test]
fn an_agent_that_has_just_begun_has_a_short_page() {
    check(
        &Snapshot::default(),
        80,
        &expect![[r#"
        up 0s · agent 0 B, 0s CPU
        0 packets
        0 flows live · 0/s new · 0 since start
    "#]],
    );
}

#[test]
fn names_cannot_command_the_terminal() {
    let mut snapshot = gateway();
    snapshot.host.name = "\x1b[31mred".to_owned();
    snapshot.interface_utilization.insert("\x1b]0;x".to_owned(), InterfaceUtilization::default());
    snapshot.capture.interfaces.push("\r".to_owned());
    assert!(!render_snapshot_text(&snapshot, 100).contains(|c: char| c.is_control() && c != '\n'));
}
