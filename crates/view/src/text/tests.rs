//! The page of a realistic gateway, as it reads at three widths, and the page of an agent that has just begun.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]

use expect_test::{Expect, expect};
use unicode_width::UnicodeWidthStr;

use super::render_snapshot_text;
use crate::{
    AddressTraffic, FlowRow, HostInfo, InterfaceUtilization, Loss, ProtocolTraffic, Snapshot, TopTalker, example_flow,
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
