//! What events look like in each format, and that what reads such formats can read ours.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use hivewall_export::{Encoder, Event, LogFormat, RefusalEvent, StatsEvent};
use hivewall_model::{
    Container, DnsAnswer, DnsMessage, FlowId, HttpRequest, HttpResponse, Learned, Perspective, Process, Timestamp,
    TlsHello, Tuple,
};
use hivewall_view::policy::{FirewallChange, example_change};
use hivewall_view::{
    FlowCounts, FlowRow, InterfaceTraffic, Loss, PointRow, ProtocolTraffic, Snapshot, TrafficCell, example_flow,
};

fn row() -> FlowRow {
    let mut row = FlowRow::new(&example_flow(), &|_| String::new());
    row.end_reason = Some("finished".to_owned());
    row.tcp_state = Some("CLOSED".to_owned());
    row.tcp_flags_to_server = Some("...AP.SF".to_owned());
    row.tcp_flags_to_client = Some("...A..SF".to_owned());
    row.interfaces =
        vec![point("lan0", "egress", true), point("wan0", "ingress", true), point("lan0", "ingress", false)];
    row
}

fn point(interface: &str, direction: &str, to_server: bool) -> PointRow {
    PointRow {
        interface: interface.to_owned(),
        direction: direction.to_owned(),
        to_server,
        packets: 3,
        bytes: 180,
        wire_bytes: 222,
        tunnel: None,
    }
}

fn flow(change: impl FnOnce(&mut FlowRow)) -> Event {
    let mut row = row();
    change(&mut row);
    Event::Flow(Box::new(row))
}

fn ping() -> Event {
    flow(|row| {
        "icmpv6".clone_into(&mut row.protocol);
        row.protocol_number = 58;
        (row.source_ip, row.dest_ip) = ("fe80::1".to_owned(), "ff02::2".to_owned());
        (row.src_port, row.dest_port) = (None, None);
        (row.icmp_type, row.icmp_code) = (Some(133), Some(0));
        (row.tcp_state, row.tcp_flags_to_server, row.tcp_flags_to_client) = (None, None, None);
        (row.packets_to_client, row.bytes_to_client, row.wire_bytes_to_client) = (0, 0, 0);
        row.end_reason = Some("idle_timeout".to_owned());
        row.roles_known = false;
        row.vlan = vec![10, 20];
        row.tunnel = Some("vxlan".to_owned());
        row.interfaces.clear();
    })
}

fn statistics() -> Event {
    let cell = |in_packets, out_packets| TrafficCell {
        in_packets,
        in_bytes: in_packets * 100,
        in_wire_bytes: in_packets * 114,
        out_packets,
        out_bytes: out_packets * 100,
        out_wire_bytes: out_packets * 114,
    };
    let traffic = InterfaceTraffic {
        protocols: [("tcp".to_owned(), cell(10, 5)), ("icmp".to_owned(), cell(1, 0))].into(),
        total: cell(11, 5),
        not_in_flows: [("arp".to_owned(), cell(2, 0)), ("gso_segments".to_owned(), cell(4, 0))].into(),
    };
    let snapshot = Snapshot {
        time: "2026-11-21T10:00:00.000000Z".to_owned(),
        host: hivewall_view::HostInfo { uptime_seconds: 125.4, ..Default::default() },
        network_traffic: [("eth0".to_owned(), traffic.clone()), ("eth1".to_owned(), traffic)].into(),
        protocols: [("tcp".to_owned(), ProtocolTraffic { packets: 15, bytes: 1500, ..Default::default() })].into(),
        flow_counts: FlowCounts {
            active: 2,
            total: 9,
            limit: 1000,
            ended: [("reused".to_owned(), 1)].into(),
            new_per_second: 0.5,
        },
        losses: [("ring_full".to_owned(), Loss { count: 1, packets: 7, bytes: 700, meaning: "full".to_owned() })]
            .into(),
        ..Snapshot::default()
    };
    Event::Stats(Box::new(StatsEvent::new(&snapshot)))
}

/// A whole file of these events.
fn file(format: LogFormat, events: &[Event]) -> String {
    let mut encoder = Encoder::new(format);
    let mut out = encoder.opening().to_vec();
    for (number, event) in events.iter().enumerate() {
        if number > 0 {
            out.extend_from_slice(encoder.between());
        }
        encoder.event(event, &mut out).unwrap();
    }
    out.extend_from_slice(encoder.closing());
    String::from_utf8(out).unwrap()
}

fn check(format: LogFormat, events: &[Event], expect: &Expect) {
    expect.assert_eq(&file(format, events));
}

fn json(event: &Event) -> serde_json::Value {
    serde_json::from_str(&file(LogFormat::Jsonl, std::slice::from_ref(event))).unwrap()
}

#[test]
fn a_flow_is_an_eve_line() {
    check(
        LogFormat::Jsonl,
        &[flow(|_| {})],
        &expect![[r#"
            {"timestamp":"2023-11-14T22:13:20.250000+0000","flow_id":1,"in_iface":"wan0","event_type":"flow","src_ip":"10.0.0.1","src_port":40000,"dest_ip":"10.0.0.2","dest_port":443,"ip_v":4,"proto":"TCP","flow":{"pkts_toserver":3,"pkts_toclient":2,"bytes_toserver":222,"bytes_toclient":140,"start":"2023-11-14T22:13:20.000000+0000","end":"2023-11-14T22:13:20.250000+0000","age":0,"state":"closed","reason":"timeout","alerted":false},"community_id":"1:UWHKJ/x6OQ1YiVv4rIl0t3yhjg8=","tcp":{"tcp_flags":"1b","tcp_flags_ts":"1b","tcp_flags_tc":"13","syn":true,"fin":true,"psh":true,"ack":true,"state":"closed"},"hivewall":{"direction":"outbound","end_reason":"finished","roles_known":true,"duration_seconds":0.25,"ip_bytes_toserver":180,"ip_bytes_toclient":112,"bits_per_second":9344.0,"application_guess":"https","interfaces":[{"interface":"lan0","direction":"egress","to_server":true,"packets":3,"bytes":180,"wire_bytes":222},{"interface":"wan0","direction":"ingress","to_server":true,"packets":3,"bytes":180,"wire_bytes":222},{"interface":"lan0","direction":"ingress","to_server":false,"packets":3,"bytes":180,"wire_bytes":222}]}}
        "#]],
    );
}

#[test]
fn a_ping_over_a_tunnel_has_types_and_vlans_instead_of_ports() {
    check(
        LogFormat::Jsonl,
        &[ping()],
        &expect![[r#"
            {"timestamp":"2023-11-14T22:13:20.250000+0000","flow_id":1,"event_type":"flow","vlan":[10,20],"src_ip":"fe80::1","dest_ip":"ff02::2","ip_v":6,"proto":"IPv6-ICMP","icmp_type":133,"icmp_code":0,"flow":{"pkts_toserver":3,"pkts_toclient":0,"bytes_toserver":222,"bytes_toclient":0,"start":"2023-11-14T22:13:20.000000+0000","end":"2023-11-14T22:13:20.250000+0000","age":0,"state":"new","reason":"timeout","alerted":false},"community_id":"1:UWHKJ/x6OQ1YiVv4rIl0t3yhjg8=","hivewall":{"direction":"outbound","end_reason":"idle_timeout","roles_known":false,"duration_seconds":0.25,"ip_bytes_toserver":180,"ip_bytes_toclient":0,"bits_per_second":9344.0,"tunnel":"vxlan","application_guess":"https","interfaces":[]}}
        "#]],
    );
}

#[test]
fn statistics_are_an_eve_line() {
    check(
        LogFormat::Jsonl,
        &[statistics()],
        &expect![[r#"
        {"timestamp":"2026-11-21T10:00:00.000000+0000","event_type":"stats","stats":{"uptime":125,"capture":{"kernel_packets":43,"kernel_drops":7},"decoder":{"pkts":36,"bytes":4104,"invalid":0,"tcp":30,"udp":0,"sctp":0,"esp":0,"icmpv4":2,"icmpv6":0,"gre":0,"arp":4},"flow":{"total":9,"active":2,"tcp_reuse":1}},"hivewall":{"source":"","interfaces":[],"records":0,"protocols":{"tcp":{"packets":15,"bytes":1500,"active_flows":0,"bits_per_second":0.0}},"not_in_flows":{"arp":4,"gso_segments":8},"losses":{"ring_full":{"count":1,"packets":7,"bytes":700}},"flows_limit":1000,"flows_ended":{"reused":1},"new_flows_per_second":0.5,"agent_memory_bytes":0,"agent_cpu_seconds":0.0}}
    "#]],
    );
}

#[test]
fn json_is_one_document() {
    let text = file(LogFormat::Json, &[flow(|_| {}), statistics()]);
    let document: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let kinds: Vec<&str> = document.iter().map(|event| event["event_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["flow", "stats"]);
    assert_eq!(document[0], json(&flow(|_| {})), "the same events as in lines");
    assert!(text.starts_with("[\n{") && text.ends_with("}\n]\n"), "one event a line: {text}");
}

#[test]
fn the_console_says_a_flow_in_one_line() {
    let megabytes = flow(|row| {
        (row.bytes, row.packets_to_server, row.packets_to_client) = (1_200_000, 142, 98);
        row.duration_seconds = 3.2;
    });
    let six = flow(|row| (row.source_ip, row.dest_ip) = ("2001:db8::1".to_owned(), "2001:db8::2".to_owned()));
    check(
        LogFormat::Console,
        &[megabytes, six, ping(), statistics()],
        &expect![[r#"
            22:13:20 tcp 10.0.0.1:40000 → 10.0.0.2:443 outbound 1.2 MB in 3.2s (142/98 packets) finished [lan0, wan0] ~https
            22:13:20 tcp [2001:db8::1]:40000 → [2001:db8::2]:443 outbound 292 B in 250ms (3/2 packets) finished [lan0, wan0] ~https
            22:13:20 icmpv6 fe80::1 ↔ ff02::2 type 133 code 0 outbound 292 B in 250ms (3/0 packets) idle_timeout vlan 10 vlan 20 in vxlan ~https
            10:00:00 stats after 2m05s: 36 packets, 4.1 kB; 2 flows now, 9 in all, 0.5 new a second; 0 packets invalid, 7 lost
        "#]],
    );
}

fn tuple(protocol: u8, server_port: u16) -> Tuple {
    let mut tuple = example_flow().tuple;
    (tuple.protocol, tuple.server_port) = (protocol, server_port);
    tuple
}

/// 2026-11-21T10:00:00Z.
const TIME: Timestamp = Timestamp::from_secs(1_795_255_200);

fn event(tuple: &Tuple, learned: &Learned) -> Option<Event> {
    let process = Arc::new(Process {
        pid: 4711,
        comm: "curl".into(),
        uid: 1000,
        container: Some(Container { runtime: "docker", id: "0123456789ab".into(), name: Some("web-1".into()) }),
        ..Process::default()
    });
    Event::from_finding(FlowId(7), tuple, Perspective::Outbound, TIME, learned, Some(&process), Some("lan0"))
}

fn names() -> Vec<Event> {
    let answer = |address: Option<&str>, text: &str| DnsAnswer {
        name: "www.example.com".into(),
        rtype: if address.is_some() { 1 } else { 5 },
        ttl: 300,
        address: address.map(|text| text.parse().unwrap()),
        text: text.into(),
    };
    let query = DnsMessage { id: 9, name: "www.example.com".into(), qtype: 1, flags: 0x0100, ..DnsMessage::default() };
    let response = DnsMessage {
        response: true,
        flags: 0x8180,
        answers: vec![answer(None, "web.example.com"), answer(Some("192.0.2.1"), "")],
        answer_count: 2,
        latency: Some(Duration::from_micros(12_345)),
        ..query.clone()
    };
    let multicast = DnsMessage { multicast: true, name: "printer.local".into(), ..query.clone() };
    let hello = TlsHello {
        server_name: Some("www.example.com".into()),
        alpn: vec!["h2".into(), "http/1.1".into()],
        version: 0x0304,
        ja4: "t13d1516h2_8daaf6152771_b186095e22b6".into(),
        quic: false,
    };
    let request = HttpRequest {
        method: "GET".into(),
        target: "/a?b=1".into(),
        minor: 1,
        host: Some("www.example.com".into()),
        user_agent: Some("curl/8".into()),
        ..HttpRequest::default()
    };
    let page = HttpResponse {
        status: 404,
        content_type: Some("text/html".into()),
        content_length: Some(12),
        request: Some(Arc::new(request)),
        latency: Some(Duration::from_millis(2)),
    };
    let banner = |text: &str, from_client| Learned::SshBanner { text: text.into(), from_client };
    [
        (tuple(17, 53), Learned::Dns(Arc::new(query))),
        (tuple(17, 53), Learned::Dns(Arc::new(response))),
        (tuple(17, 5353), Learned::Dns(Arc::new(multicast))),
        (tuple(6, 443), Learned::Tls(Arc::new(hello.clone()))),
        (tuple(17, 443), Learned::Tls(Arc::new(TlsHello { quic: true, server_name: None, ..hello }))),
        (tuple(6, 80), Learned::HttpResponse(Arc::new(page))),
        (tuple(6, 22), banner("SSH-2.0-OpenSSH_9.6 Debian-3", Some(true))),
        (tuple(6, 22), banner("SSH-2.0-dropbear", Some(false))),
    ]
    .iter()
    .map(|(tuple, learned)| event(tuple, learned).unwrap())
    .collect()
}

#[test]
fn what_was_said_is_an_eve_line_of_its_own_type() {
    let lines: Vec<serde_json::Value> = names().iter().map(json).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["event_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["dns", "dns", "mdns", "tls", "quic", "http", "ssh", "ssh"]);
    for (line, kind) in lines.iter().zip(kinds) {
        assert!(line[kind].is_object(), "{line}");
        assert_eq!(
            (&line["flow_id"], &line["src_ip"], &line["in_iface"]),
            (&7.into(), &"10.0.0.1".into(), &"lan0".into())
        );
        let extras = &line["hivewall"];
        assert_eq!(
            (&extras["process"], &extras["pid"], &extras["container"]),
            (&"curl".into(), &4711.into(), &"web-1".into())
        );
    }
    let dns = &lines[1]["dns"];
    assert_eq!(
        *dns,
        serde_json::json!({
            "version": 3, "type": "response", "id": 9, "flags": "8180", "opcode": 0, "rcode": "NOERROR",
            "queries": [{"rrname": "www.example.com", "rrtype": "A"}],
            "answers": [
                {"rrname": "www.example.com", "rrtype": "CNAME", "ttl": 300, "rdata": "web.example.com"},
                {"rrname": "www.example.com", "rrtype": "A", "ttl": 300, "rdata": "192.0.2.1"},
            ],
        })
    );
    assert_eq!(lines[0]["dns"]["type"], "request");
    assert_eq!(lines[1]["hivewall"]["latency_seconds"], 0.012_345);
    let tls = &lines[3]["tls"];
    assert_eq!((&tls["sni"], &tls["version"]), (&"www.example.com".into(), &"TLS 1.3".into()));
    assert_eq!(tls["client_alpns"], serde_json::json!(["h2", "http/1.1"]));
    assert!(lines[4]["quic"].get("sni").is_none());
    let http = &lines[5]["http"];
    assert_eq!(
        (&http["hostname"], &http["url"], &http["status"]),
        (&"www.example.com".into(), &"/a?b=1".into(), &404.into())
    );
    assert_eq!(
        (&http["http_method"], &http["protocol"], &http["length"]),
        (&"GET".into(), &"HTTP/1.1".into(), &12.into())
    );
    assert_eq!(
        lines[6]["ssh"],
        serde_json::json!({"client": {"proto_version": "2.0", "software_version": "OpenSSH_9.6"}})
    );
    assert_eq!(lines[7]["ssh"]["server"]["software_version"], "dropbear");
}

#[test]
fn what_has_no_event_of_its_own_gives_none() {
    let request = Learned::HttpRequest(Arc::new(HttpRequest::default()));
    for learned in [request, Learned::ServerResponse(Duration::from_millis(1))] {
        assert_eq!(event(&tuple(6, 80), &learned), None, "{learned:?}");
    }
}

#[test]
fn the_console_says_each_of_them_in_one_line() {
    check(
        LogFormat::Console,
        &names(),
        &expect![[r#"
        10:00:00 dns 10.0.0.1:40000 → 10.0.0.2:53 A www.example.com by curl[4711]
        10:00:00 dns 10.0.0.1:40000 → 10.0.0.2:53 A www.example.com NOERROR web.example.com 192.0.2.1 in 12ms by curl[4711]
        10:00:00 mdns 10.0.0.1:40000 → 10.0.0.2:5353 A printer.local by curl[4711]
        10:00:00 tls 10.0.0.1:40000 → 10.0.0.2:443 www.example.com TLS 1.3 h2 t13d1516h2_8daaf6152771_b186095e22b6 by curl[4711]
        10:00:00 quic 10.0.0.1:40000 → 10.0.0.2:443 (no name) TLS 1.3 h2 t13d1516h2_8daaf6152771_b186095e22b6 by curl[4711]
        10:00:00 http 10.0.0.1:40000 → 10.0.0.2:80 GET www.example.com/a?b=1 404 in 2ms by curl[4711]
        10:00:00 ssh 10.0.0.1:40000 → 10.0.0.2:22 client SSH-2.0-OpenSSH_9.6 Debian-3 by curl[4711]
        10:00:00 ssh 10.0.0.1:40000 → 10.0.0.2:22 server SSH-2.0-dropbear by curl[4711]
    "#]],
    );
}

#[test]
fn a_table_of_flows_has_no_place_for_names() {
    assert!(names().iter().all(|event| !LogFormat::Csv.carries(event)));
    assert_eq!(file(LogFormat::Csv, &names()).lines().count(), 1, "the header");
}

#[test]
fn a_flow_tells_its_process_name_and_times_under_hivewall() {
    let deep = json(&flow(|row| {
        (row.process, row.pid) = (Some("curl".to_owned()), Some(4711));
        (row.server_name, row.server_name_source) = (Some("www.example.com".to_owned()), Some("sni".to_owned()));
        (row.application, row.application_guessed) = (Some("tls".to_owned()), false);
        row.handshake_rtt_seconds = Some(0.0125);
        row.retransmits = Some(2);
    }));
    let extras = &deep["hivewall"];
    assert_eq!((&deep["app_proto"], &extras["process"], &extras["pid"]), (&"tls".into(), &"curl".into(), &4711.into()));
    assert_eq!((&extras["server_name"], &extras["server_name_source"]), (&"www.example.com".into(), &"sni".into()));
    assert_eq!(extras["timing"], serde_json::json!({"handshake_rtt_seconds": 0.0125, "retransmits": 2}));
    let guessed = json(&flow(|_| {}));
    assert!(guessed.get("app_proto").is_none() && guessed["hivewall"].get("timing").is_none());
    assert_eq!(guessed["hivewall"]["application_guess"], "https");
}

#[test]
fn an_interface_name_cannot_command_the_terminal() {
    let text = file(LogFormat::Console, &[flow(|row| row.interfaces = vec![point("a\u{1b}[2J\nb", "ingress", true)])]);
    assert_eq!(text.lines().count(), 1);
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn csv_reads_back_as_the_same_cells() {
    let odd = flow(|row| row.interfaces = vec![point("a,\"b\"", "ingress", true)]);
    let text = file(LogFormat::Csv, &[flow(|_| {}), statistics(), odd, ping()]);
    assert!(text.ends_with("\r\n"), "RFC 4180 ends lines so");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|column| column == name).unwrap();
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 3, "statistics have no place in a table of flows");
    assert_eq!(&records[0][column("source_ip")], "10.0.0.1");
    assert_eq!(&records[0][column("dest_port")], "443");
    assert_eq!(&records[0][column("bytes")], "292");
    assert!(records[1].iter().any(|cell| cell.contains("a,\"b\"")), "{:?}", records[1]);
    assert_eq!(&records[2][column("dest_port")], "");
}

#[test]
fn every_line_has_the_keys_that_eve_readers_look_for() {
    for event in [flow(|_| {}), ping()] {
        let eve = json(&event);
        for key in ["timestamp", "flow_id", "event_type", "src_ip", "dest_ip", "ip_v", "proto", "community_id"] {
            assert!(!eve[key].is_null(), "{key} in {eve}");
        }
        for key in ["pkts_toserver", "pkts_toclient", "bytes_toserver", "bytes_toclient", "age"] {
            assert!(eve["flow"][key].is_u64(), "flow.{key} in {eve}");
        }
        for key in ["start", "end", "state", "reason"] {
            assert!(eve["flow"][key].is_string(), "flow.{key} in {eve}");
        }
        assert_eq!(eve["flow"]["alerted"], false);
    }
}

#[test]
fn end_reasons_and_states_are_said_in_suricatas_words() {
    let says = |end: &str, state: Option<&str>, to_client: u64| {
        let eve = json(&flow(|row| {
            row.end_reason = Some(end.to_owned());
            row.tcp_state = state.map(str::to_owned);
            row.packets_to_client = to_client;
        }));
        format!("{} {}", eve["flow"]["reason"].as_str().unwrap(), eve["flow"]["state"].as_str().unwrap())
    };
    assert_eq!(says("finished", Some("CLOSED"), 2), "timeout closed");
    assert_eq!(says("reset", Some("RESET"), 2), "timeout closed");
    assert_eq!(says("idle_timeout", None, 0), "timeout new");
    assert_eq!(says("idle_timeout", None, 1), "timeout established");
    assert_eq!(says("active_timeout", Some("ESTABLISHED"), 2), "timeout established");
    assert_eq!(says("table_full", Some("SYN_SENT"), 0), "forced new");
    assert_eq!(says("reused", Some("FIN_WAIT"), 2), "tcp_reuse established");
    assert_eq!(says("shutdown", Some("ESTABLISHED"), 2), "shutdown established");
}

#[test]
fn a_half_closed_connection_is_named_from_the_servers_side() {
    let says = |to_server: &str, to_client: &str| {
        let eve = json(&flow(|row| {
            row.tcp_state = Some("FIN_WAIT".to_owned());
            row.tcp_flags_to_server = Some(to_server.to_owned());
            row.tcp_flags_to_client = Some(to_client.to_owned());
        }));
        format!("{} {}", eve["tcp"]["state"].as_str().unwrap(), eve["tcp"]["tcp_flags"].as_str().unwrap())
    };
    assert_eq!(says("...A..SF", "...A..S."), "close_wait 13");
    assert_eq!(says("...A..S.", "CE.A..SF"), "fin_wait1 d3");
}

#[test]
fn a_format_is_known_by_its_name() {
    assert!(LogFormat::ALL.into_iter().all(|format| format.name().parse() == Ok(format)));
    let error = "xml".parse::<LogFormat>().unwrap_err().to_string();
    assert_eq!(error, "there is no log format \"xml\": choose console, json, csv or jsonl");
}

fn refusal(change: impl FnOnce(&mut RefusalEvent)) -> Event {
    let mut row = row();
    (row.verdict, row.rule) = (Some("reject".to_owned()), Some("main:default-in".to_owned()));
    (row.policy_epoch, row.dropped_packets, row.dropped_bytes) = (Some(7), 2, 120);
    let mut event = RefusalEvent {
        row,
        verdict: "reject",
        rule: "main:default-in".to_owned(),
        rule_number: 33,
        interface: "wan0".to_owned(),
        received: true,
        to_server: true,
        packets: 2,
        ip_bytes: 120,
        not_logged: 4,
    };
    change(&mut event);
    Event::Refusal(Box::new(event))
}

#[test]
fn a_refused_flow_is_a_drop_event() {
    check(
        LogFormat::Jsonl,
        &[refusal(|_| {})],
        &expect![[r#"
        {"timestamp":"2023-11-14T22:13:20.250000+0000","flow_id":1,"in_iface":"wan0","event_type":"drop","src_ip":"10.0.0.1","src_port":40000,"dest_ip":"10.0.0.2","dest_port":443,"ip_v":4,"proto":"TCP","direction":"to_server","drop":{"len":60,"syn":true,"ack":true,"psh":true,"rst":false,"urg":false,"fin":true,"reason":"default packet policy"},"alert":{"action":"blocked","gid":1,"signature_id":33,"rev":1,"signature":"main:default-in","category":"Firewall policy","severity":3},"verdict":{"action":"drop","reject":["tcp-reset"]},"community_id":"1:UWHKJ/x6OQ1YiVv4rIl0t3yhjg8=","hivewall":{"direction":"outbound","verdict":"reject","rule":"main:default-in","hook":"in","policy_epoch":7,"packets":2,"ip_bytes":120,"not_logged":4}}
    "#]],
    );
    check(
        LogFormat::Console,
        &[refusal(|_| {})],
        &expect![[r#"
        22:13:20 drop 10.0.0.1:40000 → 10.0.0.2:443 tcp verdict:reject rule:main:default-in 2 packets, 120 B into [wan0] (4 more not logged)
    "#]],
    );
    assert_eq!(file(LogFormat::Csv, &[refusal(|_| {})]).lines().count(), 1, "a table of flows has its header alone");
}

#[test]
fn a_change_of_the_packet_filters_is_an_event_with_who_made_it() {
    let drift = example_change();
    let repair = FirewallChange {
        time: "2026-11-26T10:00:00.810000Z".to_owned(),
        what: "repaired".to_owned(),
        backend: "nftables".to_owned(),
        ours: true,
        detail: "our rules had been changed, and are as they were".to_owned(),
        ..FirewallChange::default()
    };
    let events = [drift, repair].map(|change| Event::Firewall(Box::new(change)));
    check(
        LogFormat::Jsonl,
        &events,
        &expect![[r#"
        {"timestamp":"2026-11-26T10:00:00.250000+0000","event_type":"firewall_drift","hivewall":{"what":"chain-flushed","backend":"nftables","family":"inet","table":"hivewall","chain":"input","ours":true,"detail":"flushed, 3 rules are gone","process":"nft","pid":4706}}
        {"timestamp":"2026-11-26T10:00:00.810000+0000","event_type":"firewall_repair","hivewall":{"what":"repaired","backend":"nftables","ours":true,"detail":"our rules had been changed, and are as they were"}}
    "#]],
    );
    check(
        LogFormat::Console,
        &events,
        &expect![[r"
        10:00:00 firewall_drift nftables inet hivewall input (ours): flushed, 3 rules are gone, by nft[4706]
        10:00:00 firewall_repair nftables: our rules had been changed, and are as they were
    "]],
    );
    assert_eq!(file(LogFormat::Csv, &events).lines().count(), 1, "a table of flows has its header alone");
}

#[test]
fn what_is_only_observed_is_an_alert_and_no_drop() {
    let event = json(&refusal(|event| {
        event.verdict = "observed";
        event.to_server = false;
    }));
    assert_eq!((&event["event_type"], &event["alert"]["action"]), (&"alert".into(), &"allowed".into()));
    assert!(event.get("drop").is_none());
    assert_eq!((&event["verdict"]["action"], &event["src_port"]), (&"pass".into(), &443.into()));
    let reason = |rule: &str| json(&refusal(|event| rule.clone_into(&mut event.rule)))["drop"]["reason"].clone();
    assert_eq!((reason("(invalid)"), reason("ssh")), ("decode error".into(), "rules".into()));
    assert_eq!(reason("(over limit)"), "threshold detection_filter");
}

#[test]
fn a_flow_tells_its_verdict_and_rule() {
    let judged = flow(|row| {
        (row.verdict, row.rule) = (Some("drop".to_owned()), Some("(over limit)".to_owned()));
        (row.policy_epoch, row.dropped_packets, row.dropped_bytes) = (Some(7), 2, 120);
    });
    let event = json(&judged);
    assert_eq!((&event["flow"]["action"], &event["hivewall"]["verdict"]), (&"drop".into(), &"drop".into()));
    assert_eq!(
        (&event["hivewall"]["rule"], &event["hivewall"]["dropped_bytes"]),
        (&"(over limit)".into(), &120.into())
    );
    check(
        LogFormat::Console,
        &[judged],
        &expect![[r#"
        22:13:20 tcp 10.0.0.1:40000 → 10.0.0.2:443 outbound 292 B in 250ms (3/2 packets) finished verdict:drop rule:"(over limit)" dropped:2 [lan0, wan0] ~https
    "#]],
    );
}
