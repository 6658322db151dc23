//! The catalogue held against the JSON, CSV against its own rules, the table by pictures.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use hivewall_model::{
    Container, Direction, DnsMessage, EndReason, Fate, Flow, FlowNames, HttpRequest, Judgement, NameSource, Point,
    Process, Ruling, Side, Timing, TlsHello, Tunnel,
};

use super::*;
use crate::example_flow;

/// A row with every field present.
fn full_row() -> FlowRow {
    let mut flow = example_flow();
    flow.tuple.vlans = [100, 7];
    flow.ended = Some(EndReason::Finished);
    flow.portless = true;
    flow.rate = 187_500.0;
    let side = Side { packets: 5, ip_bytes: 292, ..Side::default() };
    let point = |ifindex, direction| Point { ifindex, direction, to_server: true, tunnel: Some(Tunnel::Vxlan), side };
    flow.points = vec![point(2, Direction::Egress), point(2, Direction::Ingress), point(3, Direction::Egress)];
    add_depth(&mut flow);
    let ruling = |fate: Fate, rule: &str| Ruling { verdict: fate.verdict(7, 40), rule: rule.into() };
    flow.judgement = Some(Judgement {
        ruling: ruling(Fate::Observed, "main:default-in"),
        reply: Some(ruling(Fate::Drop, "out")),
        dropped_packets: 2,
        dropped_bytes: 112,
    });
    let mut row = FlowRow::new(&flow, &|index| format!("eth{index}"));
    row.icmp_type = Some(8);
    row.icmp_code = Some(0);
    row
}

/// Everything that can be learned of a flow beyond its packets' headers.
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
        tls: Some(Arc::new(TlsHello {
            alpn: vec!["h2".into()],
            version: 0x0304,
            ja4: "t13d".into(),
            ..TlsHello::default()
        })),
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

#[test]
fn the_catalogue_names_the_json_keys_each_once() {
    let json = serde_json::to_value(full_row()).unwrap();
    let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
    assert_eq!(names, keys, "names and their order");
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
}

#[test]
fn kinds_agree_with_the_json_types() {
    let json = serde_json::to_value(full_row()).unwrap();
    for field in FIELDS {
        let value = &json[field.name];
        let agrees = match field.kind {
            FieldKind::Text | FieldKind::Time => value.is_string(),
            FieldKind::Number | FieldKind::Bytes => value.is_number(),
            FieldKind::Flag => value.is_boolean(),
            FieldKind::List => value.is_array(),
        };
        assert!(agrees, "{} {:?} {value}", field.name, field.kind);
        assert_eq!(field.kind == FieldKind::Bytes, field.unit == "B", "{}", field.name);
        assert!(field.doc.ends_with('.'), "{}", field.name);
    }
}

#[test]
fn csv_has_a_value_for_each_column() {
    let row = full_row();
    assert_eq!(csv_header().len(), csv_values(&row).len());
    expect![[r#"
        1,1:UWHKJ/x6OQ1YiVv4rIl0t3yhjg8=,2023-11-14T22:13:20.000000Z,2023-11-14T22:13:20.250000Z,0.25,tcp,6,10.0.0.1,40000,10.0.0.2,443,8,0,outbound,true,292,5,180,112,3,2,222,140,...AP.S.,...A..S.,ESTABLISHED,closed,finished,1500000,100 7,vxlan,true,curl,4711,/usr/bin/curl,root,web-1,0123456789ab,/system.slice/docker-0123456789ab.scope,nginx,80,https,true,www.example.com,dns,TLS 1.3,h2,t13d,GET,/,200,2,a.example,A,NOERROR,SSH-2.0-a,SSH-2.0-b,0.0025,0.002,0.0005,0.003,0.004,0.0001,0.0021,0.00005,1,0,observed,main:default-in,true,7,drop,out,2,112,eth2 eth3
    "#]]
    .assert_eq(&csv_line(csv_values(&row)));
}

#[test]
fn csv_quotes_what_would_break_a_line() {
    assert_eq!(csv_line(["a", "b,c", "d\"e", "f\ng", ""]), "a,\"b,c\",\"d\"\"e\",\"f\ng\",\n");
}

#[track_caller]
fn check(width: Option<usize>, want: &Expect) {
    let tcp = full_row();
    let mut tcp = FlowRow { icmp_type: None, icmp_code: None, ..tcp };
    tcp.bytes = 1_234_567;
    tcp.packets = 12_345;
    let mut ping = FlowRow { src_port: None, dest_port: None, ..full_row() };
    ping.protocol = "icmp".to_owned();
    ping.tcp_state = None;
    ping.end_reason = None;
    ping.state = "active".to_owned();
    ping.duration_seconds = 3720.0;
    let mut six = FlowRow { icmp_type: None, icmp_code: None, ..full_row() };
    six.source_ip = "2001:db8:1234:5678::1".to_owned();
    six.dest_ip = "2001:db8:ffff:eeee:dddd:cccc:bbbb:aaaa".to_owned();
    want.assert_eq(&render_table(&[tcp, ping, six], width));
}

#[test]
fn a_wide_table_shows_every_column() {
    check(
        None,
        &expect![[r#"
            START UTC  PROTO     SOURCE                         DESTINATION                                   NAME              PROCESS  APPLICATION  DIRECTION  STATE     VERDICT   RULE             PACKETS   BYTES        RATE  DURATION  INTERFACES
            22:13:20   tcp       10.0.0.1:40000                 10.0.0.2:443                                  ~www.example.com  curl     ~https       outbound   finished  observed  main:default-in    12.3k  1.2 MB  1.5 Mbit/s     250ms  eth2 eth3
            22:13:20   icmp 8/0  10.0.0.1                       10.0.0.2                                      ~www.example.com  curl     ~https       outbound   active    observed  main:default-in        5   292 B  1.5 Mbit/s     1h02m  eth2 eth3
            22:13:20   tcp       [2001:db8:1234:5678::1]:40000  [2001:db8:ffff:eeee:dddd:cccc:bbbb:aaaa]:443  ~www.example.com  curl     ~https       outbound   finished  observed  main:default-in        5   292 B  1.5 Mbit/s     250ms  eth2 eth3
        "#]],
    );
}

#[test]
fn an_ordinary_terminal_shows_what_matters() {
    check(
        Some(120),
        &expect![[r#"
            PROTO     SOURCE                      DESTINATION                NAME              PROCESS  VERDICT    BYTES        RATE
            tcp       10.0.0.1:40000              10.0.0.2:443               ~www.example.com  curl     observed  1.2 MB  1.5 Mbit/s
            icmp 8/0  10.0.0.1                    10.0.0.2                   ~www.example.com  curl     observed   292 B  1.5 Mbit/s
            tcp       [2001:db8:123…78::1]:40000  [2001:db8:ff…bb:aaaa]:443  ~www.example.com  curl     observed   292 B  1.5 Mbit/s
        "#]],
    );
    check(
        Some(80),
        &expect![[r#"
            PROTO     SOURCE                      DESTINATION                PROCESS   BYTES
            tcp       10.0.0.1:40000              10.0.0.2:443               curl     1.2 MB
            icmp 8/0  10.0.0.1                    10.0.0.2                   curl      292 B
            tcp       [2001:db8:123…78::1]:40000  [2001:db8:ff…bb:aaaa]:443  curl      292 B
        "#]],
    );
}

#[test]
fn a_narrow_terminal_still_shows_who_and_how_much() {
    check(
        Some(40),
        &expect![[r#"
        SOURCE           DESTINATION       BYTES
        10.0.0.1:40000   10.0.0.2:443     1.2 MB
        10.0.0.1         10.0.0.2          292 B
        [2001:d…]:40000  [2001:d…aa]:443   292 B
    "#]],
    );
}

#[test]
fn no_rows_leave_the_header() {
    assert_eq!(render_table(&[], None).lines().count(), 1);
}
