//! What samples tell beyond traffic: processes, names, latency, sockets, drops, the host.

use std::collections::BTreeMap;

use hivewall_view::{
    AgentCost, ApplicationTraffic, Attribution, ConntrackFill, DiskLoad, DnsRow, DropRow, FamilyCount, FilesystemFill,
    FlowRow, HalfOpenTarget, HistoryInfo, HttpRow, Latency, NameCount, PeerLatency, ProcessTraffic, ServiceTraffic,
    Snapshot, SystemLoad,
};

use super::Load;

/// Processes of the sample host: command, user, executable, container.
const PROCESSES: [(&str, &str, &str, &str); 6] = [
    ("nginx", "www-data", "/usr/sbin/nginx", ""),
    ("postgres", "postgres", "/usr/lib/postgresql/16/bin/postgres", "shop-db-1"),
    ("curl", "1000", "/usr/bin/curl", ""),
    ("sshd", "root", "/usr/sbin/sshd", ""),
    ("unbound", "unbound", "/usr/sbin/unbound", "resolver"),
    ("Web Content", "ana", "/opt/firefox/firefox-bin", ""),
];

/// The flow with its process, names and times, as far as one like it would have them.
pub(super) fn deepen(mut row: FlowRow, n: u64) -> FlowRow {
    let (comm, user, executable, container) = PROCESSES[n as usize % PROCESSES.len()];
    if n % 7 != 3 && row.direction != "transit" {
        row.process = Some(comm.to_owned());
        row.pid = Some(700 + (n % 97) as u32);
        row.executable = Some(executable.to_owned());
        row.user = Some(user.to_owned());
        row.container = Some(container.to_owned()).filter(|name| !name.is_empty());
    }
    let (application, guessed) = match row.dest_port {
        Some(443) => ("tls", n.is_multiple_of(3)),
        Some(53) => ("dns", false),
        Some(22) => ("ssh", n.is_multiple_of(2)),
        _ => return row,
    };
    row.application = Some(if guessed && application == "tls" { "https" } else { application }.to_owned());
    row.application_guessed = guessed;
    if application == "tls" {
        row.server_name = Some(format!("{}.example.org", ["www", "static-assets.cdn", "api"][n as usize % 3]));
        row.server_name_source = Some(if guessed { "dns" } else { "sni" }.to_owned());
        row.handshake_rtt_seconds = Some(0.000_4 * (n % 600 + 1) as f64);
        row.smoothed_rtt_seconds = row.handshake_rtt_seconds.map(|rtt| rtt * 1.1);
        row.retransmits = Some((n % 17 / 12) as u32 * 3);
    }
    if application == "dns" {
        row.dns_query = Some("mail.example.net".to_owned());
        row.dns_type = Some("AAAA".to_owned());
        row.round_trip_seconds = Some(0.001_7);
    }
    row
}

/// The flow with every field that can be known, however odd together.
pub(crate) fn known(row: FlowRow) -> FlowRow {
    let text = |text: &str| Some(text.to_owned());
    FlowRow {
        process: text("nginx"),
        pid: Some(4711),
        executable: text("/usr/sbin/nginx"),
        user: text("www-data"),
        container: text("shop-web-1"),
        container_id: text("3f4e0c0de1a2"),
        cgroup: text("/system.slice/docker-3f4e0c0de1a2.scope"),
        peer_process: text("curl"),
        peer_pid: Some(4712),
        application: text("http"),
        application_guessed: false,
        server_name: text("shop.example.org"),
        server_name_source: text("host"),
        tls_version: text("TLS 1.3"),
        tls_alpn: text("h2"),
        ja4: text("t13d1516h2_8daaf6152771_b186095e22b6"),
        http_method: text("POST"),
        http_target: text("/cart/checkout?step=2"),
        http_status: Some(503),
        http_requests: 12,
        dns_query: text("db.example.org"),
        dns_type: text("SRV"),
        dns_rcode: text("SERVFAIL"),
        ssh_client: text("SSH-2.0-OpenSSH_9.2"),
        ssh_server: text("SSH-2.0-dropbear_2022.83"),
        handshake_rtt_seconds: Some(0.021_5),
        handshake_server_seconds: Some(0.021),
        handshake_client_seconds: Some(0.000_5),
        server_response_seconds: Some(0.134),
        round_trip_seconds: Some(0.031),
        jitter_seconds: Some(0.002_25),
        smoothed_rtt_seconds: Some(0.025_5),
        rtt_deviation_seconds: Some(0.004_75),
        retransmits: Some(37),
        out_of_order: Some(91),
        ..row
    }
}

/// Adds everything beyond traffic to `snapshot`.
pub(super) fn fill(snapshot: &mut Snapshot, load: Load) {
    let n = load.flows();
    snapshot.system = Some(system(n));
    snapshot.agent = AgentCost {
        cpu_share: if n > 1 { 0.021 } else { 0.0 },
        kernel_ns_per_packet: (n > 0).then_some(83.4),
        peeks: n * 7,
        socket_events: n * 13,
    };
    snapshot.attribution = Attribution {
        source: "kernel-events".to_owned(),
        fallback_reason: None,
        attributed_flows: n * 30,
        unattributed_flows: n / 9,
        sockets: n,
        processes: n.min(180),
    };
    if n > 0 {
        snapshot.history = HistoryInfo {
            directory: "/var/lib/hivewall/history".to_owned(),
            flows: n * 5000,
            bytes: n * 5000 * 28,
            segments: n.div_ceil(100),
            oldest: Some("2026-11-14T08:15:30.000000Z".to_owned()),
            failure: (n > 1).then(|| "the disk is full: 12 MB are left".to_owned()),
        };
    }
    processes(snapshot, n);
    applications(snapshot, n);
    names(snapshot, n);
    health(snapshot, n);
}

fn system(n: u64) -> SystemLoad {
    let busy = if n > 1 { 0.62 } else { 0.03 };
    let modes = [("user", busy * 0.6), ("system", busy * 0.3), ("interrupt", busy * 0.1), ("idle", 1.0 - busy)];
    let disk = DiskLoad {
        read_bytes_per_second: n as f64 * 900.0,
        written_bytes_per_second: n as f64 * 7100.0,
        utilization: busy / 3.0,
        ..DiskLoad::default()
    };
    let fill = |device: &str, size_bytes: u64, available_bytes: u64| FilesystemFill {
        device: device.to_owned(),
        kind: "ext4".to_owned(),
        size_bytes,
        available_bytes,
    };
    SystemLoad {
        cpus: 8,
        cpu_utilization: busy,
        cpu_modes: modes.map(|(mode, share)| (mode.to_owned(), share)).into(),
        load_average: vec![busy * 8.0, busy * 6.5, busy * 5.0],
        memory_bytes: 16 << 30,
        memory_available_bytes: 11 << 30,
        swap_bytes: 2 << 30,
        swap_used_bytes: 200 << 20,
        disks: BTreeMap::from([("nvme0n1".to_owned(), disk)]),
        filesystems: BTreeMap::from([
            ("/".to_owned(), fill("/dev/nvme0n1p2", 500_000_000_000, 320_000_000_000)),
            ("/var/lib/hivewall".to_owned(), fill("/dev/nvme0n1p3", 50_000_000_000, 3_000_000_000)),
        ]),
        conntrack: (n > 1).then_some(ConntrackFill { entries: n, limit: 262_144 }),
        processes: 187 + n.min(50),
        uptime_seconds: 1_234_567.0,
        ..SystemLoad::default()
    }
}

fn processes(snapshot: &mut Snapshot, n: u64) {
    for at in 0..n.min(40) {
        let (comm, user, executable, container) = PROCESSES[at as usize % PROCESSES.len()];
        let scale = 1000 / (at + 1);
        snapshot.processes.push(ProcessTraffic {
            pid: 700 + at as u32,
            process: comm.to_owned(),
            executable: Some(executable.to_owned()),
            user: Some(user.to_owned()),
            container: Some(container.to_owned()).filter(|name| !name.is_empty()),
            cgroup: None,
            sent_bytes: scale * 1_234_567,
            received_bytes: scale * 12_345_678,
            sent_packets: scale * 2000,
            received_packets: scale * 9000,
            sent_bits_per_second: if at < 25 { scale as f64 * 9.0e4 } else { 0.0 },
            received_bits_per_second: if at < 25 { scale as f64 * 2.7e5 } else { 0.0 },
            active_flows: scale / 8,
            flows: scale * 3,
        });
    }
    if n > 1 {
        for name in ["(other)", "(unknown)"] {
            let rest =
                ProcessTraffic { process: name.to_owned(), sent_bytes: 77_000_000, flows: 210, ..Default::default() };
            snapshot.processes.push(rest);
        }
    }
}

fn applications(snapshot: &mut Snapshot, n: u64) {
    let all = [("tls", 700, 0), ("dns", 40, 0), ("https", 33, 100), ("ssh", 20, 0), ("http", 9, 0), ("ntp", 1, 100)];
    for (name, weight, guessed) in all.into_iter().take(n as usize) {
        let traffic = ApplicationTraffic {
            bytes: weight * 98_765_432,
            packets: weight * 123_456,
            flows: weight * 50,
            guessed_flows: weight * 50 * guessed / 100,
        };
        snapshot.applications.insert(name.to_owned(), traffic);
    }
    let ports = [("tcp", 443, "https"), ("udp", 53, "dns"), ("tcp", 22, "ssh"), ("tcp", 9443, ""), ("tcp", 0, "")];
    for (at, (protocol, port, usual)) in ports.into_iter().take(n as usize).enumerate() {
        let scale = 1000 / (at as u64 + 1);
        snapshot.services.push(ServiceTraffic {
            protocol: protocol.to_owned(),
            port,
            application: Some(usual.to_owned()).filter(|name| !name.is_empty()),
            bytes: scale * 66_000_000,
            packets: scale * 70_000,
            flows: scale * 31,
        });
    }
}

fn latency(n: u64, scale: f64) -> Latency {
    Latency {
        samples: n * 5,
        sum_seconds: n as f64 * scale,
        min_seconds: scale / 20.0,
        max_seconds: scale * 400.0,
        median_seconds: scale,
        p95_seconds: scale * 16.0,
    }
}

fn names(snapshot: &mut Snapshot, n: u64) {
    let count = |names: &[&str], times: u64| -> Vec<NameCount> {
        let each = |n: usize| NameCount {
            name: names[n % names.len()].replace('#', &n.to_string()),
            count: times / (n as u64 + 1),
        };
        (0..(n.min(30) as usize)).map(each).collect()
    };
    let dns = &mut snapshot.dns_queries;
    (dns.queries, dns.responses, dns.multicast) = (n * 9, n * 9 - n / 40, n / 50);
    dns.latency = if n > 0 { latency(n, 0.000_9) } else { Latency::default() };
    dns.top_names =
        count(&["www#.example.org", "mail.example.net", "a-very-long-name.static-assets-#.cdn.example.com"], n * 4);
    if n > 1 {
        dns.rcodes = [("NOERROR", n * 8), ("NXDOMAIN", n / 3), ("SERVFAIL", 5)].map(|(c, n)| (c.to_owned(), n)).into();
        dns.types = [("A", n * 5), ("AAAA", n * 4)].map(|(kind, n)| (kind.to_owned(), n)).into();
    }
    dns.recent = (0..n.min(64)).map(lookup).collect();
    let http = &mut snapshot.http_requests;
    (http.requests, http.responses) = (n * 3, n * 3);
    http.latency = if n > 0 { latency(n, 0.011) } else { Latency::default() };
    http.top_hosts = count(&["shop.example.org", "static-#.example.org"], n * 2);
    http.statuses =
        if n > 1 { [("200", n * 2), ("503", 31)].map(|(s, n)| (s.to_owned(), n)).into() } else { BTreeMap::new() };
    http.recent = (0..n.min(64)).map(request).collect();
    let tls = &mut snapshot.tls_handshakes;
    (tls.hellos, tls.quic_hellos) = (n * 6, n);
    tls.top_names = count(&["www.example.org", "api-#.example.org"], n * 3);
    tls.top_ja4 = count(&["t13d1516h2_8daaf6152771_b186095e22b#", "q13d0310h3_55b375c5d22e_cd85d2d88#"], n);
    if n > 0 {
        tls.versions = [("TLS 1.2", n / 8), ("TLS 1.3", n * 7)].map(|(name, n)| (name.to_owned(), n)).into();
    }
}

fn lookup(n: u64) -> DnsRow {
    let rcode = ["NOERROR", "NOERROR", "NXDOMAIN", "NOERROR", "SERVFAIL"][n as usize % 5];
    let answered = n % 13 != 6;
    DnsRow {
        time: format!("2026-11-21T09:{:02}:{:02}.250000Z", 59 - n / 20, 59 - n * 3 % 60),
        client: format!("10.1.0.{}", n % 7),
        server: if n % 4 == 3 { "2001:db8:ffff::53" } else { "192.0.2.53" }.to_owned(),
        name: ["www.example.org", "a-very-long-name.static-assets.cdn.example.com", "db.internal"][n as usize % 3]
            .to_owned(),
        qtype: ["A", "AAAA", "HTTPS"][n as usize % 3].to_owned(),
        rcode: answered.then(|| rcode.to_owned()),
        answers: if answered && rcode == "NOERROR" {
            vec!["192.0.2.10".to_owned(), "2001:db8::10".to_owned()]
        } else {
            vec![]
        },
        latency_seconds: answered.then_some(0.000_3 * (n * n + 1) as f64),
        process: (n % 3 != 2).then(|| "unbound".to_owned()),
    }
}

fn request(n: u64) -> HttpRow {
    let status = [200, 200, 304, 404, 503][n as usize % 5];
    let answered = n % 11 != 5;
    HttpRow {
        time: format!("2026-11-21T09:{:02}:{:02}.750000Z", 59 - n / 15, 59 - n * 4 % 60),
        client: format!("10.1.0.{}", n + 1),
        server: "192.0.2.80".to_owned(),
        method: ["GET", "GET", "POST", "OPTIONS"][n as usize % 4].to_owned(),
        host: format!("{}.example.org", ["shop", "static"][n as usize / 3 % 2]),
        target: format!("/articles/{n}/pictures?size=large&page={n}"),
        status: answered.then_some(status),
        latency_seconds: answered.then_some(0.002 * (n + 1) as f64),
        process: n.is_multiple_of(2).then(|| "nginx".to_owned()),
    }
}

fn health(snapshot: &mut Snapshot, n: u64) {
    for at in 0..n.min(64) {
        let rtt = 0.000_25 * (at * at + 1) as f64;
        let address = if at % 5 == 4 { format!("2001:db8:12:3400:5678::{at:x}") } else { format!("10.1.0.{at}") };
        snapshot.jitter.insert(address.clone(), rtt / 8.0);
        let peer = PeerLatency {
            last_seconds: rtt * 1.2,
            smoothed_seconds: rtt,
            min_seconds: rtt * 0.8,
            max_seconds: rtt * 3.0,
            jitter_seconds: rtt / 8.0,
            samples: n * 3 / (at + 1),
        };
        snapshot.latency.insert(address, peer);
    }
    let sockets = [
        ("LISTEN", 14, 9),
        ("SYN_SENT", 3, 0),
        ("ESTABLISHED", 1200, 310),
        ("TIME_WAIT", 420, 77),
        ("CLOSE_WAIT", 6, 0),
    ];
    let flows =
        [("SYN_SENT", 40), ("SYN_RECV", 3), ("ESTABLISHED", 3900), ("FIN_WAIT", 66), ("CLOSED", 300), ("RESET", 12)];
    if n == 0 {
        return;
    }
    let many = if n > 1 { 1 } else { 1000 };
    let family = |(state, ipv4, ipv6): (&str, u64, u64)| {
        (state.to_owned(), FamilyCount { ipv4: ipv4.div_ceil(many), ipv6: ipv6 / many })
    };
    snapshot.sockets.tcp = sockets.map(family).into();
    snapshot.sockets.udp = FamilyCount { ipv4: 21, ipv6: 12 };
    snapshot.connection_states = flows.map(|(state, count)| (state.to_owned(), count / many)).into();
    if n > 1 {
        let moves = [
            ("CLOSE>SYN_SENT", 2200),
            ("SYN_SENT>ESTABLISHED", 2100),
            ("SYN_SENT>CLOSE", 97),
            ("LISTEN>SYN_RECV", 840),
        ];
        snapshot.sockets.transitions = moves.map(|(name, count)| (name.to_owned(), count)).into();
        snapshot.sockets.retransmits = 1234;
        let target = |(target, half_open): (&str, u64)| HalfOpenTarget { target: target.to_owned(), half_open };
        snapshot.half_open_targets =
            [("192.0.2.10:443", 31), ("[2001:db8:ffff::53]:22", 9), ("10.1.0.9:25", 3)].map(target).into();
        snapshot.kernel_drops = (0..12).map(dropped).collect();
        snapshot.flow_counts.ended = BTreeMap::from([("reset".to_owned(), 512), ("finished".to_owned(), 99_000)]);
    }
}

fn dropped(n: u64) -> DropRow {
    let reasons = ["no_socket", "netfilter_drop", "tcp_old_data", "qdisc_drop", "ip_incsum", "neigh_failed"];
    let known = n % 3 != 2;
    DropRow {
        reason: reasons[n as usize % reasons.len()].to_owned(),
        interface: if n % 4 == 3 { String::new() } else { format!("eth{}", n / 6) },
        protocol: ["tcp", "udp", "other"][n as usize % 3].to_owned(),
        packets: 4000 / (n + 1),
        last_source: known.then(|| format!("203.0.113.{n}:{}", 40_000 + n)),
        last_destination: known.then(|| "192.0.2.10:8080".to_owned()),
    }
}
