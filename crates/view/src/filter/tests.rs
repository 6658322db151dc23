//! The filter by examples: what each field means, how values are spelled, what errors say. The properties that hold for
//! all filters stand in `tests/prop_filter.rs`.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]

use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use hivewall_model::{
    Container, Direction, DnsMessage, EndReason, Fate, Flow, FlowNames, HttpRequest, Judgement, NameSource,
    Perspective, Point, Process, Ruling, Side, TcpFlags, TcpState, Timestamp, TlsHello, Tunnel, community_id,
};

use super::*;
use crate::example_flow;

/// 2026-11-21T10:00:00Z.
const NOW: Timestamp = Timestamp::from_secs(1_795_255_200);

fn name(index: u32) -> String {
    format!("eth{index}")
}

/// TCP 10.0.0.1:40000 → 10.0.0.2:443 on VLAN 100, inside VXLAN on eth2; 292 bytes in 5 packets, 1.5 Mbit/s; it began
/// 60 s ago and lasted 30 s.
fn tcp() -> Flow {
    let mut flow = example_flow();
    flow.tuple.vlans = [100, 0];
    flow.rate = 187_500.0;
    flow.start = Timestamp(NOW.0 - 60_000_000_000);
    flow.last = Timestamp(NOW.0 - 30_000_000_000);
    flow.points = vec![Point {
        ifindex: 2,
        direction: Direction::Egress,
        to_server: true,
        tunnel: Some(Tunnel::Vxlan),
        side: Side::default(),
    }];
    flow
}

/// UDP 2001:db8::1:5353 → ff02::fb:5353, over by idle time.
fn udp() -> Flow {
    let mut flow = example_flow();
    flow.id.0 = 2;
    flow.tuple.protocol = 17;
    flow.tuple.client = "2001:db8::1".parse().unwrap();
    flow.tuple.server = "ff02::fb".parse().unwrap();
    flow.tuple.client_port = 5353;
    flow.tuple.server_port = 5353;
    flow.tcp_state = None;
    // Bits that mean nothing without TCP.
    flow.to_server.flags = TcpFlags(0xff);
    flow.perspective = Perspective::Inbound;
    flow.ended = Some(EndReason::Idle);
    flow
}

/// An echo request: its type and code stand where others have ports.
fn ping() -> Flow {
    let mut flow = udp();
    flow.tuple.protocol = 1;
    flow.tuple.client = [192, 0, 2, 1].into();
    flow.tuple.server = [10, 0, 0, 1].into();
    flow.tuple.client_port = 8;
    flow.tuple.server_port = 0;
    flow
}

fn holds(text: &str, flow: &Flow) -> bool {
    let filter = Filter::parse(text, NOW).unwrap_or_else(|error| panic!("{}", error.pointed(text)));
    let held = filter.matches(flow, &name);
    assert_eq!(held, filter.matcher(&name).matches(flow), "the matcher agrees on {text}");
    assert_eq!(held, filter.matches_row(&FlowRow::new(flow, &name)), "the row agrees on {text}");
    held
}

/// Each matcher in four ways: matches, does not, the same on a flow of another protocol, negated.
#[track_caller]
fn check(flow: &Flow, matching: &[&str], failing: &[&str]) {
    for text in matching {
        assert!(holds(text, flow), "{text} matches");
        assert!(!holds(&format!("!{text}"), flow), "!{text} does not match");
    }
    for text in failing {
        assert!(!holds(text, flow), "{text} does not match");
        assert!(holds(&format!("!{text}"), flow), "!{text} matches");
    }
}

#[test]
fn addresses_match_either_end_or_the_one_that_is_named() {
    check(
        &tcp(),
        &[
            "ip:10.0.0.1",
            "ip:10.0.0.2",
            "ip:10.0.0.77/24",
            "src-ip:10.0.0.1",
            "dst-ip:10.0.0.2/31",
            "ip:::ffff:10.0.0.1",
        ],
        &["ip:10.0.0.3", "src-ip:10.0.0.2", "dst-ip:10.0.0.1", "ip:::/0", "ip:11.0.0.0/8"],
    );
    check(&udp(), &["source:2001:db8::/32", "dest:[ff02::fb]", "ip:::/0"], &["ip:0.0.0.0/0", "dst:2001:db8::1"]);
}

#[test]
fn ports_match_only_where_the_protocol_has_ports() {
    check(
        &tcp(),
        &["port:443", "port:40000", "src-port:32768-60999", "dport:80,443", "dest_port:443"],
        &["port:442", "src-port:443", "dst-port:40000", "port:444-39999"],
    );
    check(&ping(), &[], &["port:8", "port:0", "port:0-65535"]);
}

#[test]
fn protocols_match_by_name_and_number() {
    check(&tcp(), &["proto:tcp", "proto:6", "protocol:TCP", "proto:udp,tcp"], &["proto:udp", "proto:1,17"]);
    check(&udp(), &["proto:udp"], &["proto:tcp"]);
}

#[test]
fn interfaces_match_by_pattern() {
    check(&tcp(), &["interface:eth2", "iface:eth*", "interface:eth0,eth?"], &["interface:eth", "interface:*3"]);
    check(&udp(), &[], &["interface:*"]);
}

#[test]
fn directions_vlans_and_tunnels_match() {
    check(&tcp(), &["direction:outbound", "dir:out", "vlan:100", "vlan:1-200"], &["direction:local,in", "vlan:99"]);
    check(&tcp(), &["tunnel:vxlan", "tunnel:any", "tunnel:gre,VXLAN"], &["tunnel:6in4"]);
    check(&udp(), &["direction:inbound"], &["vlan:1-4095", "tunnel:any"]);
}

#[test]
fn closed_is_the_end_of_any_flow_and_tcp_closed_is_a_tcp_state() {
    check(
        &tcp(),
        &["state:active", "state:established", "state:SYN_SENT,ESTABLISHED"],
        &["state:closed", "state:reset"],
    );
    check(&udp(), &["state:closed", "end-reason:idle-timeout"], &["state:active", "state:established", "reason:reset"]);
    let mut both_said_fin = tcp();
    both_said_fin.tcp_state = Some(TcpState::Closed);
    check(&both_said_fin, &["state:tcp_closed", "state:active"], &["state:closed"]);
}

#[test]
fn flags_match_when_one_direction_showed_all_of_them() {
    check(
        &tcp(),
        &["flags:S", "flags:SA", "flags:syn", "flags:SAP", "flags:R,S"],
        &["flags:F", "flags:SAF", "flags:ECE"],
    );
    check(&udp(), &[], &["flags:S", "flags:CEUAPRSF"]);
}

#[test]
fn quantities_compare() {
    check(
        &tcp(),
        &[
            "bytes>291",
            "bytes>=292",
            "bytes=292",
            "bytes<1k",
            "bytes:<=292",
            "packets=5",
            "min-bytes:292",
            "max-bytes:292",
        ],
        &["bytes>292", "bytes>=1KiB", "bytes<292", "packets>=10k", "min-packets:6", "max-bytes:291"],
    );
    check(
        &tcp(),
        &["duration=30s", "min-duration:0.5m", "rate>1M", "rate=1.5Mbit/s", "min-rate:187.5kB/s"],
        &["duration<30s", "duration>1h", "rate>1500k"],
    );
}

#[test]
fn times_match_by_overlap() {
    check(
        &tcp(),
        &["last:30s", "last:5m", "from:2026-11-21T09:59:30Z", "to:2026-11-21T09:59:00Z", "since:1h", "until:now"],
        &["last:29s", "from:2026-11-21T09:59:30.000001Z", "to:2026-11-21T09:58:59.999999Z", "from:2027-01-01"],
    );
}

/// nginx of www-data in a container answers a request for a page of www.example.com with 404 in 12.3456 ms; curl of
/// root, on this host too, asked for it.
fn http() -> Flow {
    let mut flow = tcp();
    flow.tuple.server_port = 8080;
    let process = |pid, comm: &str, uid, user: Option<&str>| Process {
        pid,
        comm: comm.into(),
        uid,
        user: user.map(Into::into),
        ..Process::default()
    };
    flow.client_process = Some(Arc::new(Process {
        executable: Some("/usr/bin/curl".into()),
        cgroup: Some("/system.slice/docker-0123456789ab.scope".into()),
        container: Some(Container { runtime: "docker", id: "0123456789ab".into(), name: Some("web-1".into()) }),
        ..process(4711, "curl", 1000, None)
    }));
    flow.server_process = Some(Arc::new(process(80, "nginx: worker", 33, Some("www-data"))));
    flow.names = Some(Arc::new(FlowNames {
        application: Some("http"),
        server: Some(("www.Example.com".into(), NameSource::Host)),
        http: Some(Arc::new(HttpRequest { method: "GET".into(), target: "/a?b=1,2".into(), ..HttpRequest::default() })),
        http_status: Some(404),
        http_requests: 3,
        ..FlowNames::default()
    }));
    flow.timing.handshake_server = Some(Duration::from_nanos(12_000_000));
    flow.timing.handshake_client = Some(Duration::from_nanos(345_678));
    flow.timing.retransmits = Some(3);
    flow
}

/// A look-up of mail.example.net that was answered with NXDOMAIN; its server's name is inferred.
fn lookup() -> Flow {
    let mut flow = udp();
    flow.tuple.server_port = 53;
    flow.names = Some(Arc::new(FlowNames {
        application: Some("dns"),
        server: Some(("resolver.example.net".into(), NameSource::Dns)),
        dns: Some(Arc::new(DnsMessage {
            response: true,
            name: "mail.example.net".into(),
            qtype: 28,
            rcode: 3,
            ..DnsMessage::default()
        })),
        ..FlowNames::default()
    }));
    flow.timing.round_trip = Some(Duration::from_millis(80));
    flow
}

#[test]
fn processes_match_at_either_end_and_what_belongs_to_one_is_the_clients() {
    check(
        &http(),
        &["process:curl", "process:nginx*", "pid:4711", "peer-pid:80", "user:1000", "pid:1,80"],
        &["process:CURL", "process:nginx", "pid:47", "user:www-data", "user:0"],
    );
    check(
        &http(),
        &["executable:curl", "exe:/usr/bin/*", "cgroup:docker-*.scope", "cgroup:/system.slice/*"],
        &["executable:bin", "executable:/curl", "cgroup:system.slice"],
    );
    check(&tcp(), &[], &["process:*", "pid:0", "user:*", "container:*", "executable:*"]);
}

#[test]
fn containers_match_by_name_and_by_the_beginning_of_their_id() {
    check(
        &http(),
        &["container:web-1", "container:web-*", "container:0123", "container:0123456789ab", "container-id:*ab"],
        &["container:web", "container:012", "container:0124", "container:123456"],
    );
}

#[test]
fn names_match_in_any_case_and_by_how_they_became_known() {
    check(
        &http(),
        &["name:www.example.com", "name:*.EXAMPLE.com", "http-host:www.*", "server-name:*", "app:HTTP"],
        &["name:example.com", "sni:*", "application:https", "dns-query:*"],
    );
    check(
        &lookup(),
        &["name:resolver.*", "dns:mail.example.net", "dns-type:aaaa", "rcode:NXDOMAIN,SERVFAIL"],
        &["sni:*", "http-host:*", "dns-type:A", "dns-rcode:NOERROR"],
    );
    let mut hello = tcp();
    let tls = TlsHello {
        alpn: vec!["h2".into(), "http/1.1".into()],
        version: 0x0304,
        ja4: "t13d".into(),
        ..TlsHello::default()
    };
    hello.names = Some(Arc::new(FlowNames {
        server: Some(("a.example".into(), NameSource::Sni)),
        tls: Some(Arc::new(tls)),
        ssh: [None, Some("SSH-2.0-x".into())],
        ..FlowNames::default()
    }));
    check(
        &hello,
        &["sni:a.example", "alpn:h2", "tls-version:\"tls 1.3\"", "tls:*1.3", "ja4:T13D", "ssh:ssh-2.0-*"],
        &["http-host:*", "alpn:http/1.1", "tls:1.3", "ssh:OpenSSH"],
    );
}

/// Dropped by the default of a tier; the replies would pass.
fn refused_flow() -> Flow {
    let ruling = |fate: Fate, rule: &str| Ruling { verdict: fate.verdict(7, 40), rule: rule.into() };
    let judgement = Judgement {
        ruling: ruling(Fate::Drop, "main:default-in"),
        reply: Some(ruling(Fate::Observed, "out")),
        dropped_packets: 3,
        dropped_bytes: 180,
    };
    Flow { judgement: Some(judgement), ..tcp() }
}

#[test]
fn verdicts_and_rules_match_in_either_direction() {
    check(
        &refused_flow(),
        &["verdict:drop", "verdict:accept,DROP", "action:observed", "rule:main:*", "rule:out", "rule:*default-in"],
        &["verdict:accept", "verdict:reject", "rule:main", "rule:ssh"],
    );
    check(&tcp(), &[], &["verdict:accept,drop,reject,observed", "rule:*"]);
}

#[test]
fn requests_and_answers_match() {
    check(
        &http(),
        &["http-method:get", "method:GET,POST", "http-target:/a*", "url:/a?b=1?2", "status:404", "http-status:4xx,500"],
        &["http-method:GE", "http-target:/A*", "http-status:400-403", "status:5xx"],
    );
    check(&tcp(), &[], &["http-method:*", "http-status:100-999"]);
}

#[test]
fn the_guess_from_the_port_is_an_application_too() {
    check(&tcp(), &["application:https", "app:http*"], &["application:http"]);
    check(&ping(), &[], &["application:*"]);
}

#[test]
fn round_trips_and_what_was_sent_again_compare_where_they_were_measured() {
    check(
        &http(),
        &["rtt>12ms", "rtt=12346us", "min-rtt:12ms", "rtt<1s", "retransmits>2", "retransmits=3"],
        &["rtt>12346us", "rtt<12ms", "retransmits>3", "out-of-order>=0"],
    );
    check(&lookup(), &["rtt=80ms"], &["rtt<80ms", "retransmits>=0"]);
    check(&tcp(), &[], &["rtt>=0s", "rtt<1d", "retransmits=0"]);
}

#[test]
fn free_text_looks_into_processes_names_and_applications() {
    check(&http(), &["url", "WORKER", "example.c", "\"http\""], &["curly", "\"https\"", "web-1"]);
    check(&lookup(), &["mail.ex", "resolv"], &["www"]);
    check(&tcp(), &["ttps"], &[]);
}

#[test]
fn the_bounds_of_time_can_be_read_out() {
    let bounds = |text| Filter::parse(text, NOW).unwrap().time_bounds();
    let ago = |seconds| Some(NOW - Duration::from_secs(seconds));
    assert_eq!(bounds("port:443"), (None, None));
    assert_eq!(bounds("last:5m port:443"), (ago(300), None));
    assert_eq!(bounds("from:2h to:1h"), (ago(7200), ago(3600)));
    assert_eq!(bounds("from:2h from:3h to:1h to:5m"), (ago(10_800), ago(300)), "alternatives: the widest");
    assert_eq!(bounds("!from:2h !to:1h"), (None, None));
    let rest = |text| Filter::parse(text, NOW).unwrap().without_time_bounds();
    assert!(rest("last:5m to:1m").is_empty());
    assert_eq!(rest("last:5m port:443 !to:1h"), Filter::parse("port:443 !to:1h", NOW).unwrap());
}

#[test]
fn identities_match() {
    let id = community_id(&tcp().tuple);
    check(&tcp(), &["flow-id:1", "id:7,1", &format!("community-id:{id}"), &id], &["flow-id:2"]);
    check(&udp(), &[], &[&format!("cid:{id}")]);
}

#[test]
fn bare_words_mean_what_they_look_like() {
    check(&tcp(), &["10.0.0.1", "10.0.0.0/8", "443", "80,443", "1-65535", "tcp", "TCP"], &["10.0.0.3", "22", "udp"]);
    check(&tcp(), &["0.0.2", "eth", "ETH2", "\"tc\"", "text:10.0"], &["eth3", "\"443\"", "\"tcp eth2\"", "99999"]);
    check(&udp(), &["2001:db8::1", "2001:db8:", "ff02:", "fb"], &["2001:db9:", "eth2"]);
    let id = community_id(&tcp().tuple);
    check(&tcp(), &[id.get(..8).map(|start| format!("\"{start}\"")).unwrap().as_str()], &["\"1:zzzzzz\""]);
}

#[test]
fn a_bare_word_that_is_a_known_interface_means_the_interface_alone() {
    let filter = Filter::parse_knowing("tcp eth2", NOW, &["tcp", "eth0"]).unwrap();
    assert_eq!(filter.to_string(), r#"interface:tcp "eth2""#);
}

#[test]
fn one_field_repeated_is_or_and_different_fields_are_and() {
    assert!(holds("port:22 port:443", &tcp()));
    assert!(!holds("port:443 proto:udp", &tcp()));
    assert!(holds("port:443 proto:udp proto:tcp", &tcp()));
    assert!(!holds("port:443 !port:40000", &tcp()), "a negated field is a field of its own");
    assert!(!holds("!port:443 !port:22", &tcp()), "neither of them");
    assert!(holds("bytes>1 bytes<1k", &tcp()), "bounds from both sides are two fields");
    assert!(!holds("bytes>1k bytes<2k", &tcp()));
    assert!(!holds("10.0 192.168.", &tcp()), "each text narrows");
}

#[test]
fn flags_of_the_command_line_build_the_same_filter() {
    let terms =
        vec![(false, "ip", "10.0.0.0/8"), (true, "proto", "udp"), (false, "last", "5m"), (false, "port", "80,443")];
    let flags = Filter::from_terms(terms, NOW).unwrap();
    assert_eq!(flags, Filter::parse("port:80 port:443 ip:10.0.0.0/8 -proto:udp last:5m", NOW).unwrap());
    let error = Filter::from_terms([(false, "prot", "udp")], NOW).unwrap_err();
    assert!(error.to_string().starts_with("there is no field `prot` (did you mean `proto`?)"), "{error}");
}

#[test]
fn nothing_said_matches_everything() {
    for text in ["", "  \t", "\"\""] {
        let filter = Filter::parse(text, NOW).unwrap();
        assert!(filter.is_empty() && filter == Filter::default() && filter.matches(&tcp(), &name), "{text}");
    }
    assert!(!Filter::parse("port:1", NOW).unwrap().is_empty());
}

#[test]
fn joined_filters_read_as_one_line() {
    let parse = |text| Filter::parse(text, NOW).unwrap();
    assert_eq!(parse("port:80 \"a\"").joined(parse("proto:tcp port:443 \"b\"")), parse("port:80,443 proto:tcp a b"));
}

#[track_caller]
fn canonical(text: &str, want: &Expect) {
    want.assert_eq(&Filter::parse(text, NOW).unwrap().to_string());
}

#[test]
fn the_canonical_text_is_short_and_ordered() {
    canonical(
        r#"eth "two words" bytes>=1500000 -proto:17 443 port:80 10.1.2.3/8 !state:closed flags:syn min-duration:90s"#,
        &expect![[
            r#"!proto:udp port:443,80 ip:10.0.0.0/8 !state:closed flags:S bytes>=1500k duration>=90s "eth" "two words""#
        ]],
    );
    canonical(
        r#"last:5m to:now iface:"a b","c" text:"say \"hi\" \\" tunnel:any vlan:7 packets!=1"#,
        &expect![[
            r#"vlan:7 from:2026-11-21T09:55:00.000000Z to:2026-11-21T10:00:00.000000Z !packets=1 tunnel:any interface:"a b",c "say \"hi\" \\""#
        ]],
    );
}

#[track_caller]
fn refused(text: &str, want: &Expect) {
    want.assert_eq(&Filter::parse(text, NOW).unwrap_err().pointed(text));
}

#[test]
fn errors_of_fields_and_values_say_where_and_what_to_write_instead() {
    refused(
        "tcp prot:443",
        &expect![[r#"
            tcp prot:443
                ^ there is no field `prot` (did you mean `proto`?); there are: ip, src-ip, dst-ip, port, src-port, dst-port, proto, interface, direction, vlan, tunnel, state, flags, end-reason, verdict, rule, bytes, min-bytes, max-bytes, packets, min-packets, duration, min-duration, rate, min-rate, process, pid, user, container, executable, cgroup, application, name, sni, http-host, http-method, http-target, http-status, tls-version, alpn, ja4, dns-query, dns-type, dns-rcode, ssh, rtt, min-rtt, retransmits, out-of-order, flow-id, community-id, from, to, last, text"#]],
    );
    refused(
        "severity:high",
        &expect![[r#"
            severity:high
            ^ there is no field `severity`; there are: ip, src-ip, dst-ip, port, src-port, dst-port, proto, interface, direction, vlan, tunnel, state, flags, end-reason, verdict, rule, bytes, min-bytes, max-bytes, packets, min-packets, duration, min-duration, rate, min-rate, process, pid, user, container, executable, cgroup, application, name, sni, http-host, http-method, http-target, http-status, tls-version, alpn, ja4, dns-query, dns-type, dns-rcode, ssh, rtt, min-rtt, retransmits, out-of-order, flow-id, community-id, from, to, last, text"#]],
    );
    refused(
        "tcp !ip:10.0.0.0/33",
        &expect![[r#"
        tcp !ip:10.0.0.0/33
                ^ `10.0.0.0/33` is not an address or a prefix; for example `ip:10.0.0.0/8`"#]],
    );
    refused(
        "port:80,x",
        &expect![[r#"
        port:80,x
                ^ `x` is not a port from 0 to 65535 or a range of ports; for example `port:80,443`"#]],
    );
    refused(
        "port:80,",
        &expect![[r#"
        port:80,
                ^ `port` needs a value: a port from 0 to 65535 or a range of ports; for example `port:80,443`"#]],
    );
    refused(
        "port>1024",
        &expect![[r#"
            port>1024
                ^ `port` takes a port from 0 to 65535 or a range of ports, and no `>`; for example `port:80,443`"#]],
    );
    refused(
        "bytes:1M",
        &expect![[r#"
        bytes:1M
              ^ `1M` is not a comparison (`>`, `>=`, `<`, `<=` or `=` and a value); for example `bytes>1M`"#]],
    );
    refused(
        "bytes>lots",
        &expect![[r#"
            bytes>lots
                  ^ `lots` is not a number of bytes (`k`, `MB`, `GiB`, … may follow); for example `bytes>1M`"#]],
    );
    refused(
        "bytes>",
        &expect![[r#"
        bytes>
              ^ `bytes` needs a value: a comparison (`>`, `>=`, `<`, `<=` or `=` and a value); for example `bytes>1M`"#]],
    );
}

#[test]
fn errors_of_spelling_and_grammar_say_what_to_write_instead() {
    refused(
        "state:establised",
        &expect![[r#"
            state:establised
                  ^ `establised` is not one of active, closed, syn_sent, syn_recv, established, fin_wait, tcp_closed, reset (did you mean `established`?); for example `state:established`"#]],
    );
    refused(
        "port:",
        &expect![[r#"
        port:
             ^ `port` needs a value: a port from 0 to 65535 or a range of ports; for example `port:80,443`"#]],
    );
    refused(
        "grüße \"open",
        &expect![[r#"
        grüße "open
              ^ the quoted text has no end; add a `"`"#]],
    );
    refused(
        "port:1 ! port:2",
        &expect![[r#"
        port:1 ! port:2
               ^ a negation needs a term right behind it; for example `!port:53`"#]],
    );
    refused(
        "port:1 and port:2",
        &expect![[r#"
        port:1 and port:2
               ^ no `and` is needed: different fields side by side mean AND, one field repeated means OR, `!` means NOT; put it in quotes to search for the word"#]],
    );
    refused(
        "proto:\"no such\"",
        &expect![[r#"
        proto:"no such"
              ^ `no such` is not a protocol name or a number from 0 to 255; for example `proto:udp,icmp`"#]],
    );
    refused(
        "last:yesterday",
        &expect![[r#"
        last:yesterday
             ^ `yesterday` is not a time span (`ms`, `s`, `m`, `h`, `d`); for example `last:5m`"#]],
    );
}

#[test]
fn the_catalogue_is_sound() {
    let mut spellings: Vec<_> = keys::spellings().map(|(spelling, _)| spelling.replace('_', "-")).collect();
    spellings.sort_unstable();
    let all = spellings.len();
    spellings.dedup();
    assert_eq!(spellings.len(), all, "no spelling stands for two fields");
    for key in keys() {
        let filter = Filter::parse(key.example, NOW).unwrap_or_else(|error| panic!("{}", error.pointed(key.example)));
        assert!(!filter.is_empty() && key.example.starts_with(key.name), "{}", key.name);
        assert!(key.doc.ends_with('.'), "{}", key.name);
        assert!(!key.kind.placeholder().is_empty() && !key.kind.expects().is_empty());
        for word in key.kind.choices() {
            assert!(Filter::from_terms([(false, key.name, word)], NOW).is_ok(), "{} {word}", key.name);
        }
        for alias in key.aliases {
            assert_eq!(keys::find(alias), Some(key));
        }
    }
}

#[test]
fn every_state_and_end_reason_is_a_choice() {
    let choices = |name| keys::find(name).unwrap().kind.choices();
    for reason in EndReason::ALL {
        assert!(choices("end-reason").contains(&reason.name()), "{reason:?}");
    }
    for state in TcpState::ALL {
        let name = state.name().to_ascii_lowercase();
        let spelled = if state == TcpState::Closed { "tcp_closed" } else { &name };
        assert!(choices("state").contains(&spelled), "{state:?}");
    }
}

#[test]
fn the_help_page_names_every_field() {
    let page = help();
    for key in keys() {
        assert!(page.contains(&format!("  {:<14}{}", key.name, key.doc)), "{}", key.name);
    }
}
