//! A log as Suricata writes it, made by hand after its documentation; and the page that a report makes.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use expect_test::expect;
use hivewall_analyze::{Report, analyze, render_report_text};
use unicode_width::UnicodeWidthStr;

const LOG: &str = r#"{"timestamp":"2026-11-21T10:00:01.000000+0100","flow_id":11,"in_iface":"eth0","event_type":"dns","src_ip":"10.0.0.5","src_port":53211,"dest_ip":"10.0.0.53","dest_port":53,"proto":"UDP","dns":{"type":"query","id":7,"rrname":"www.example.org","rrtype":"A","tx_id":0}}
{"timestamp":"2026-11-21T10:00:01.020000+0100","flow_id":11,"event_type":"dns","src_ip":"10.0.0.5","src_port":53211,"dest_ip":"10.0.0.53","dest_port":53,"proto":"UDP","dns":{"version":3,"type":"response","id":7,"rcode":"NOERROR","queries":[{"rrname":"www.example.org","rrtype":"A"}],"answers":[{"rrname":"www.example.org","rrtype":"A","ttl":60,"rdata":"192.0.2.10"}]}}
{"timestamp":"2026-11-21T10:00:02.000000+0100","flow_id":12,"event_type":"http","src_ip":"10.0.0.5","src_port":40001,"dest_ip":"192.0.2.10","dest_port":80,"proto":"TCP","tx_id":0,"http":{"hostname":"www.example.org","url":"/","http_method":"GET","protocol":"HTTP/1.1","status":200,"length":812}}
{"timestamp":"2026-11-21T10:00:03.000000+0100","flow_id":13,"event_type":"tls","src_ip":"10.0.0.5","src_port":40002,"dest_ip":"192.0.2.10","dest_port":443,"proto":"TCP","tls":{"sni":"secure.example.org","version":"TLS 1.3"}}
{"timestamp":"2026-11-21T10:00:04.000000+0100","flow_id":14,"event_type":"alert","src_ip":"198.51.100.9","src_port":6666,"dest_ip":"10.0.0.5","dest_port":22,"proto":"TCP","alert":{"action":"blocked","gid":1,"signature_id":1000001,"rev":1,"signature":"LOCAL SSH from outside","category":"Misc","severity":2}}
{"timestamp":"2026-11-21T10:10:00.000000+0100","flow_id":12,"event_type":"flow","src_ip":"10.0.0.5","src_port":40001,"dest_ip":"192.0.2.10","dest_port":80,"proto":"TCP","app_proto":"http","flow":{"pkts_toserver":6,"pkts_toclient":5,"bytes_toserver":700,"bytes_toclient":1500,"start":"2026-11-21T10:00:02.000000+0100","end":"2026-11-21T10:00:02.500000+0100","age":0,"state":"closed","reason":"timeout","alerted":false},"tcp":{"tcp_flags":"1b","tcp_flags_ts":"1b","tcp_flags_tc":"1b","syn":true,"fin":true,"psh":true,"ack":true,"state":"closed"}}
{"timestamp":"2026-11-21T10:10:00.000000+0100","flow_id":15,"event_type":"flow","src_ip":"198.51.100.9","src_port":6667,"dest_ip":"10.0.0.5","dest_port":23,"proto":"TCP","flow":{"pkts_toserver":1,"pkts_toclient":1,"bytes_toserver":60,"bytes_toclient":54,"start":"2026-11-21T10:05:00.000000+0100","end":"2026-11-21T10:05:00.000100+0100","age":0,"state":"closed","reason":"timeout","alerted":false},"tcp":{"tcp_flags":"16","tcp_flags_ts":"02","tcp_flags_tc":"14","syn":true,"rst":true,"ack":true,"state":"closed"}}
{"timestamp":"2026-11-21T10:10:00.000000+0100","flow_id":16,"event_type":"flow","src_ip":"fe80::1","dest_ip":"ff02::2","proto":"IPv6-ICMP","icmp_type":133,"icmp_code":0,"flow":{"pkts_toserver":1,"pkts_toclient":0,"bytes_toserver":70,"bytes_toclient":0,"start":"2026-11-21T10:06:00.000000+0100","end":"2026-11-21T10:06:00.000000+0100","age":0,"state":"new","reason":"timeout","alerted":false}}
{"timestamp":"2026-11-21T10:10:05.000000+0100","event_type":"stats","stats":{"uptime":605}}
"#;

fn report() -> Report {
    analyze(LOG.as_bytes(), &mut |_| {}).unwrap()
}

#[test]
fn events_of_suricata_are_understood() {
    let report = report();
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    assert_eq!(
        report.events.iter().map(|(kind, n)| (kind.as_str(), *n)).collect::<Vec<_>>(),
        [("alert", 1), ("dns", 2), ("flow", 3), ("http", 1), ("stats", 1), ("tls", 1),]
    );
    assert_eq!(report.bytes_are, "wire");
    assert_eq!((report.total.bytes, report.total.packets), (700 + 1500 + 60 + 54 + 70, 11 + 2 + 1));
    assert_eq!(report.from.as_deref(), Some("2026-11-21T09:00:01.000000Z"), "in UTC");
    assert_eq!((report.refused.by_reason["reset"], report.refused.by_reason["blocked"]), (1, 1));
    assert_eq!(report.refused.targets.len(), 2);
    assert_eq!(report.alerts[0].signature, "LOCAL SSH from outside");
    assert_eq!((report.alerts[0].severity, report.alerts[0].blocked), (Some(2), 1));
    let names: Vec<(&str, u64)> = report.names.iter().map(|name| (name.key.as_str(), name.count)).collect();
    assert_eq!(names, [("www.example.org", 2), ("secure.example.org", 1)], "a look-up counts by its query");
    assert_eq!(report.protocols.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["tcp", "icmpv6"]);
}

#[test]
fn the_page_fits_and_shows_every_part() {
    for width in [40, 80, 160] {
        for line in render_report_text(&report(), width).lines() {
            assert!(line.width() <= width && line == line.trim_end(), "{width}: {line}");
        }
    }
    expect![[r#"
        Log: json lines, 3.0 kB
        2026-11-21 09:00:01 to 2026-11-21 09:10:05 UTC, 10m04s
        3 flows, 2.4 kB with link headers, 14 packets
        Events: flow 3 · dns 2 · alert 1 · http 1 · stats 1 · tls 1
        Answers: dns NOERROR 1 · http 200 1
        Refused: blocked 1 · reset 1

        PROTOCOL   BYTES  SHARE  PACKETS  FLOWS
        tcp       2.3 kB    97%       13      2
        icmpv6      70 B   2.9%        1      1

        SERVICE   BYTES  SHARE  PACKETS  FLOWS
        tcp/80   2.2 kB    92%       11      1
        tcp/23    114 B   4.8%        2      1
        icmpv6     70 B   2.9%        1      1

        SOURCE         BYTES  SHARE  PACKETS  FLOWS
        10.0.0.5      2.2 kB    92%       11      1
        198.51.100.9   114 B   4.8%        2      1
        fe80::1         70 B   2.9%        1      1

        TALKER         BYTES  SHARE  PACKETS  FLOWS
        10.0.0.5      2.3 kB    97%       13      2
        192.0.2.10    2.2 kB    92%       11      1
        198.51.100.9   114 B   4.8%        2      1
        fe80::1         70 B   2.9%        1      1
        ff02::2         70 B   2.9%        1      1

        HOUR               BYTES  FLOWS
        2026-11-21 09:00  2.4 kB      3  ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇

        REFUSED SOURCE  FLOWS
        198.51.100.9        2

        REFUSED BY   FLOWS
        10.0.0.5:22      1
        10.0.0.5:23      1

        NAME                TIMES
        www.example.org         2
        secure.example.org      1

        ALERT                   SEVERITY  TIMES  BLOCKED
        LOCAL SSH from outside         2      1        1
    "#]]
    .assert_eq(&render_report_text(&report(), 80));
}
