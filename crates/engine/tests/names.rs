//! Names and times that payload showed, on flows, in summaries and in what goes to the log.
//!
//! Invariant: a finding is on one flow at most, is counted once, and whatever comes, memory is bounded.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Desk, Rec, answer, dns, hello, host, icmp, interface, patient, process, socket, tcp, udp};
use hivewall_datapath::proto;
use hivewall_engine::Limits;
use hivewall_model::{
    DnsMessage, Finding, HttpRequest, HttpResponse, Interface, Learned, Rank, RoundTripKind, SocketChange, TlsHello,
};

const CLIENT: &str = "10.0.0.1:40000";
const SERVER: &str = "192.0.2.1:443";
const RESOLVER: &str = "10.0.0.53:53";

fn desk() -> Desk {
    desk_within(patient())
}

fn desk_within(limits: Limits) -> Desk {
    let mut desk = Desk::new(limits);
    desk.know(host(&["10.0.0.1"]));
    desk
}

fn said(message: DnsMessage) -> Learned {
    Learned::Dns(Arc::new(message))
}

/// A response that `client` got at this time.
fn answered(client: &str, ms: i64, message: DnsMessage) -> Finding {
    udp(RESOLVER, &format!("{client}:5000")).at(ms).shows(said(message))
}

/// Name of the server and how it became known, of every flow.
fn servers(desk: &Desk) -> Vec<String> {
    let rows = desk.rows();
    let name = |row: &hivewall_view::FlowRow| {
        let (name, source) = (row.server_name.as_deref()?, row.server_name_source.as_deref()?);
        Some(format!("{name} {source}"))
    };
    rows.iter().map(|row| name(row).unwrap_or_else(|| "-".to_owned())).collect()
}

fn syn(client: &str, server: &str, ms: i64) -> Rec {
    tcp(client, server).flags("SO").at(ms)
}

fn get(index: u32, target: &str) -> Arc<HttpRequest> {
    let request = HttpRequest {
        method: "GET".into(),
        target: target.into(),
        host: Some("a.example".into()),
        index,
        ..HttpRequest::default()
    };
    Arc::new(request)
}

#[test]
fn a_flow_that_follows_an_answer_has_its_name_marked_as_inferred() {
    let mut desk = desk();
    desk.feed([syn(CLIENT, SERVER, 0)]);
    desk.learn([answered("10.0.0.1", 1000, dns(1, "www.example", &["192.0.2.1"]))]);
    desk.feed([
        syn("10.0.0.1:40001", SERVER, 1001),
        syn("10.0.0.1:40002", "192.0.2.2:443", 1001),
        syn("192.0.2.1:1", "10.0.0.1:22", 1001),
    ]);
    assert_eq!(servers(&desk), ["-", "www.example dns", "-", "-"], "not who began before, not who goes elsewhere");
}

#[test]
fn an_answer_that_comes_after_the_record_it_was_before_names_the_flow_at_the_next_tick_or_at_its_end() {
    let mut desk = desk();
    let late = || answered("10.0.0.1", 100, dns(1, "www.example", &["192.0.2.1"]));
    desk.tick(0).feed([syn(CLIENT, SERVER, 200)]).learn([late()]);
    assert_eq!(servers(&desk), ["-"]);
    desk.tick(1000);
    assert_eq!(servers(&desk), ["www.example dns"]);
    let mut desk = self::desk();
    desk.tick(0).feed([syn(CLIENT, SERVER, 200)]).learn([late()]).stop();
    assert_eq!(servers(&desk), ["www.example dns"]);
}

#[test]
fn aliases_lead_to_the_name_that_was_asked_for_and_strangers_do_not() {
    let message = DnsMessage {
        answers: vec![
            answer("cdn.example.net", "192.0.2.1", 60),
            answer("Edge.Example.com", "cdn.example.net", 60),
            answer("www.example", "edge.example.com", 60),
            answer("stranger.example", "192.0.2.9", 60),
            answer("cdn.example.net", "www.example", 60),
        ],
        ..dns(1, "WWW.example", &["192.0.2.8"])
    };
    let mut desk = desk();
    desk.learn([answered("10.0.0.1", 0, message)]);
    desk.feed([syn(CLIENT, SERVER, 1), syn(CLIENT, "192.0.2.9:443", 1), syn(CLIENT, "192.0.2.8:443", 1)]);
    assert_eq!(servers(&desk), ["WWW.example dns", "-", "-"]);
}

#[test]
fn a_name_holds_for_its_time_and_a_minute_more() {
    for (ms, want) in [(119_000, "www.example dns"), (121_000, "-")] {
        let mut desk = desk();
        desk.learn([answered("10.0.0.1", 0, dns(1, "www.example", &["192.0.2.1"]))]);
        desk.feed([syn(CLIENT, SERVER, ms)]);
        assert_eq!(servers(&desk), [want], "{ms}");
    }
}

#[test]
fn a_name_is_for_who_asked_and_what_this_host_asked_is_for_all() {
    let mut desk = desk();
    let (one, two) = ("10.0.9.1", "10.0.9.2");
    desk.learn([answered(one, 0, dns(1, "one.example", &["192.0.2.1"]))]);
    desk.feed([syn(&format!("{one}:1"), SERVER, 1), syn(&format!("{two}:1"), SERVER, 1), syn(CLIENT, SERVER, 1)]);
    assert_eq!(servers(&desk), ["one.example dns", "-", "-"]);
    desk.learn([answered("10.0.0.1", 10, dns(2, "host.example", &["192.0.2.1"]))]);
    desk.feed([
        syn(&format!("{one}:2"), SERVER, 11),
        syn(&format!("{two}:2"), SERVER, 11),
        syn("10.0.0.1:2", SERVER, 11),
    ]);
    assert_eq!(servers(&desk)[3..], ["one.example dns", "host.example dns", "host.example dns"]);
}

#[test]
fn two_sites_at_one_address_keep_the_name_of_their_own_time() {
    let mut desk = desk();
    desk.tick(0).learn([
        answered("10.0.0.1", 100, dns(1, "one.example", &["192.0.2.1"])),
        answered("10.0.0.1", 500, dns(2, "two.example", &["192.0.2.1"])),
    ]);
    desk.feed([syn(CLIENT, SERVER, 200), syn("10.0.0.1:40001", SERVER, 600)]);
    assert_eq!(servers(&desk), ["one.example dns", "two.example dns"]);
}

#[test]
fn what_the_client_says_stands_above_what_dns_said() {
    let mut desk = desk();
    desk.learn([answered("10.0.0.1", 0, dns(1, "dns.example", &["192.0.2.1"]))]);
    desk.feed([syn(CLIENT, SERVER, 1), syn("10.0.0.1:40001", "192.0.2.1:80", 1)]);
    let request = Learned::HttpRequest(get(0, "/"));
    desk.learn([
        tcp(CLIENT, SERVER).at(5).shows(hello("sni.example")),
        tcp("10.0.0.1:40001", "192.0.2.1:80").at(5).shows(request.clone()),
    ]);
    assert_eq!(servers(&desk), ["sni.example sni", "a.example host"]);
    desk.learn([tcp(CLIENT, SERVER).at(6).shows(request)]);
    assert_eq!(servers(&desk)[0], "sni.example sni", "nor does a header undo a hello");
    desk.learn([tcp(CLIENT, SERVER).at(7).shows(hello(""))]).tick(2000);
    assert_eq!(servers(&desk)[0], "sni.example sni");
}

#[test]
fn a_finding_before_the_first_record_waits_for_it() {
    let mut desk = desk();
    desk.tick(0).learn([tcp(CLIENT, SERVER).at(10).shows(hello("www.example"))]);
    assert_eq!(desk.snapshot().tls_handshakes.hellos, 1, "counted at once");
    assert!(desk.effects.findings.is_empty());
    desk.tick(1000).feed([syn(CLIENT, SERVER, 5)]);
    let row = desk.only();
    assert_eq!(row.server_name.as_deref(), Some("www.example"));
    assert_eq!((row.application.as_deref(), row.application_guessed), (Some("tls"), false));
    assert_eq!((row.tls_version.as_deref(), row.ja4.is_some()), (Some("TLS 1.3"), true));
    let logged = &desk.effects.findings;
    assert_eq!(logged.len(), 1);
    assert_eq!((logged[0].flow.unwrap().0, logged[0].from_client), (row.flow_id, true));
    assert_eq!(logged[0].tuple.server.to_string(), "192.0.2.1");
    assert_eq!((desk.snapshot().tls_handshakes.hellos, desk.snapshot().losses["findings_unmatched"].count), (1, 0));
}

#[test]
fn a_finding_whose_flow_never_shows_is_counted_and_logged_without_it() {
    let mut desk = desk();
    let reply = udp(RESOLVER, CLIENT).at(10).shows(said(dns(1, "www.example", &["192.0.2.1"])));
    let rtt = udp(RESOLVER, CLIENT).at(10).shows(Learned::RoundTrip { kind: RoundTripKind::Dns, time: Duration::ZERO });
    desk.tick(0).learn([reply, rtt]).run(5000);
    assert_eq!(desk.snapshot().losses["findings_unmatched"].count, 0);
    desk.run(7000);
    assert_eq!(desk.snapshot().losses["findings_unmatched"].count, 2);
    let logged = &desk.effects.findings;
    assert_eq!(logged.len(), 1, "times are not logged");
    assert_eq!((logged[0].flow, logged[0].from_client), (None, false));
    assert_eq!((logged[0].tuple.client.to_string(), logged[0].tuple.server_port), ("10.0.0.1".to_owned(), 53));
}

#[test]
fn a_hello_after_the_connection_s_end_is_of_the_next_one_on_its_tuple() {
    let mut desk = desk();
    let over = [tcp(CLIENT, SERVER).flags("SAFO").during(1, 30), tcp(SERVER, CLIENT).flags("SAF").during(10, 35)];
    desk.feed(over).learn([tcp(CLIENT, SERVER).at(510).shows(hello("second.example"))]);
    assert_eq!(servers(&desk), ["-"]);
    desk.feed([syn(CLIENT, SERVER, 500)]);
    assert_eq!(servers(&desk), ["-", "second.example sni"]);
    desk.learn([tcp(CLIENT, SERVER).at(20).shows(hello("first.example"))]);
    assert_eq!(servers(&desk), ["first.example sni", "second.example sni"]);
}

#[test]
fn a_finding_finds_its_flow_through_vlans_and_families() {
    let mut desk = Desk::new(patient());
    let tagged = Interface { vlan: 10, ..interface(2, "eth0.10", Rank::Upper) };
    desk.know(vec![interface(1, "eth0", Rank::Plain), tagged]);
    desk.feed([syn(CLIENT, SERVER, 1).vlan(10, 0)]);
    desk.learn([tcp(CLIENT, SERVER).on(2).at(2).shows(hello("vlan.example"))]);
    desk.feed([syn("[fd00::1]:1", "[fd00::2]:443", 1)]);
    desk.learn([tcp("[fd00::1]:1", "[fd00::2]:443").at(2).shows(hello("six.example"))]);
    assert_eq!(servers(&desk), ["vlan.example sni", "six.example sni"]);
}

#[test]
fn a_look_up_is_one_row_with_its_answer_and_its_process() {
    let mut desk = desk();
    let dig = socket(proto::UDP, "10.0.0.1:5000", RESOLVER, SocketChange::Used).by(&process(11, "dig"));
    let query = udp("10.0.0.1:5000", RESOLVER);
    desk.sockets([dig]).learn([query.at(10).shows(said(dns(7, "www.example", &[])))]);
    let row = |desk: &Desk| {
        let row = desk.snapshot().dns_queries.recent[0].clone();
        (row.name, row.rcode, row.answers.join(" "), row.latency_seconds, row.process)
    };
    let dig = Some("dig".to_owned());
    assert_eq!(row(&desk), ("www.example".to_owned(), None, String::new(), None, dig.clone()));
    desk.learn([answered("10.0.0.1", 14, dns(7, "www.example", &["192.0.2.1", "192.0.2.2"]))]);
    let found =
        ("www.example".to_owned(), Some("NOERROR".to_owned()), "192.0.2.1 192.0.2.2".to_owned(), Some(0.004), dig);
    assert_eq!(row(&desk), found);
    desk.feed([query.at(10)]);
    let summary = desk.snapshot().dns_queries;
    assert_eq!((summary.queries, summary.responses, summary.recent.len()), (1, 1, 1));
    assert_eq!((summary.rcodes["NOERROR"], summary.types["A"], summary.top_names[0].count), (1, 1, 1));
    assert_eq!((summary.latency.samples, summary.latency.max_seconds), (1, 0.004));
    let row = desk.only();
    assert_eq!((row.dns_query.as_deref(), row.dns_rcode.as_deref()), (Some("www.example"), Some("NOERROR")));
    assert_eq!(desk.effects.findings.len(), 2);
    assert_eq!(desk.effects.findings[0].process.as_ref().unwrap().comm.as_ref(), "dig");
}

#[test]
fn multicast_names_are_counted_apart_and_name_nobody() {
    let mut desk = desk();
    let message = DnsMessage { multicast: true, ..dns(0, "printer.local", &["192.0.2.1"]) };
    desk.learn([udp("10.0.0.1:5353", "224.0.0.251:5353").shows(said(message))]);
    desk.feed([udp("10.0.0.1:5353", "224.0.0.251:5353"), syn(CLIENT, SERVER, 1)]);
    let summary = desk.snapshot().dns_queries;
    assert_eq!((summary.multicast, summary.queries, summary.responses, summary.recent.len()), (1, 0, 0, 0));
    assert_eq!(servers(&desk), ["-", "-"]);
    assert_eq!(desk.rows()[0].application.as_deref(), Some("mdns"));
}

#[test]
fn pipelined_requests_and_their_answers_are_told_apart() {
    let (ask, reply) = (tcp(CLIENT, "192.0.2.1:80"), tcp("192.0.2.1:80", CLIENT));
    let (one, two) = (get(0, "/one"), get(1, "/two"));
    let answer = |request: &Arc<HttpRequest>, status| {
        let latency = Some(Duration::from_millis(8));
        Learned::HttpResponse(Arc::new(HttpResponse {
            status,
            request: Some(Arc::clone(request)),
            latency,
            ..HttpResponse::default()
        }))
    };
    let mut desk = desk();
    desk.feed([syn(CLIENT, "192.0.2.1:80", 0)]);
    desk.learn([
        ask.at(1).shows(Learned::HttpRequest(Arc::clone(&one))),
        ask.at(1).shows(Learned::HttpRequest(Arc::clone(&two))),
        reply.at(9).shows(answer(&one, 200)),
    ]);
    let rows = |desk: &Desk| -> Vec<(String, Option<u16>)> {
        desk.snapshot().http_requests.recent.into_iter().map(|row| (row.target, row.status)).collect()
    };
    assert_eq!(rows(&desk), [("/one".to_owned(), Some(200)), ("/two".to_owned(), None)]);
    desk.learn([reply.at(9).shows(answer(&two, 404))]);
    assert_eq!(rows(&desk), [("/two".to_owned(), Some(404)), ("/one".to_owned(), Some(200))]);
    let summary = desk.snapshot().http_requests;
    assert_eq!((summary.requests, summary.responses, summary.methods["GET"]), (2, 2, 2));
    assert_eq!((summary.statuses["200"], summary.statuses["404"], summary.top_hosts[0].count), (1, 1, 2));
    let row = desk.only();
    assert_eq!((row.http_requests, row.http_status, row.http_target.as_deref()), (2, Some(404), Some("/two")));
}

#[test]
fn an_unusual_method_is_counted_as_other() {
    let mut desk = desk();
    for method in ["GET", "BREW", "get"] {
        let request = HttpRequest { method: method.into(), ..HttpRequest::default() };
        desk.learn([tcp(CLIENT, SERVER).shows(Learned::HttpRequest(Arc::new(request)))]);
    }
    let methods = desk.snapshot().http_requests.methods;
    assert_eq!((methods["GET"], methods["other"], methods.len()), (1, 2, 2));
}

#[test]
fn banners_of_both_ends_are_put_where_they_belong() {
    let mut desk = desk();
    let banner = |text: &str, from_client| Learned::SshBanner { text: text.into(), from_client };
    desk.feed([syn(CLIENT, "192.0.2.1:22", 0)]);
    desk.learn([
        tcp("192.0.2.1:22", CLIENT).at(2).shows(banner("SSH-2.0-there", None)),
        tcp(CLIENT, "192.0.2.1:22").at(3).shows(banner("SSH-2.0-here", Some(true))),
    ]);
    let row = desk.only();
    assert_eq!((row.ssh_client.as_deref(), row.ssh_server.as_deref()), (Some("SSH-2.0-here"), Some("SSH-2.0-there")));
    assert_eq!(desk.snapshot().applications["ssh"].guessed_flows, 0);
}

#[test]
fn quic_and_tls_hellos_are_counted_apart() {
    let mut desk = desk();
    let quic = Learned::Tls(Arc::new(TlsHello {
        quic: true,
        version: 0x0304,
        server_name: Some("q.example".into()),
        ..TlsHello::default()
    }));
    desk.feed([udp(CLIENT, SERVER)])
        .learn([udp(CLIENT, SERVER).at(1).shows(quic), tcp(CLIENT, SERVER).shows(hello("t.example"))]);
    let summary = desk.snapshot().tls_handshakes;
    assert_eq!((summary.hellos, summary.quic_hellos, summary.versions["TLS 1.3"]), (1, 1, 2));
    assert_eq!(summary.top_names.len(), 2);
    assert_eq!(desk.only().application.as_deref(), Some("quic"));
}

#[test]
fn traffic_goes_over_to_the_application_that_payload_shows() {
    let mut desk = desk();
    desk.feed([
        syn(CLIENT, SERVER, 0),
        tcp(SERVER, CLIENT).flags("SA").packets(4).at(1),
        syn(CLIENT, "192.0.2.1:9999", 0),
    ]);
    let row = |desk: &Desk, name: &str| {
        let row = desk.snapshot().applications.get(name).cloned().unwrap_or_default();
        (row.bytes, row.packets, row.flows, row.guessed_flows)
    };
    assert_eq!((row(&desk, "https"), row(&desk, "other")), ((500, 5, 1, 1), (100, 1, 1, 0)));
    desk.learn([tcp(CLIENT, SERVER).at(2).shows(hello("www.example"))]).feed([tcp(CLIENT, SERVER).at(3)]);
    assert_eq!((row(&desk, "https"), row(&desk, "tls")), ((0, 0, 0, 0), (600, 6, 1, 0)));
}

#[test]
fn a_service_is_the_server_s_port_once_it_is_known_which_end_serves() {
    let mut desk = desk();
    // The answer comes first, and from its ports alone the wrong end seems to serve.
    desk.feed([tcp("192.0.2.1:50000", "10.0.0.1:40000").at(10)]);
    desk.feed([tcp("10.0.0.1:40000", "192.0.2.1:50000").flags("SO").at(9)]);
    let services = desk.snapshot().services;
    assert_eq!(services.len(), 1, "{services:?}");
    assert_eq!((services[0].protocol.as_str(), services[0].port, services[0].flows), ("tcp", 50000, 1));
    assert_eq!((services[0].bytes, services[0].packets), (200, 2));
}

#[test]
fn a_scan_of_all_ports_leaves_the_busy_service_and_loses_no_byte() {
    let mut desk = desk();
    desk.feed([syn(CLIENT, "192.0.2.1:443", 0).packets(1000)]);
    for port in (1..=60_000_u32).step_by(1000) {
        desk.feed((port..port + 1000).map(|port| syn("192.0.2.9:1", &format!("10.0.0.1:{port}"), 0)));
    }
    let snapshot = desk.snapshot();
    assert_eq!(snapshot.services.len(), 101);
    assert_eq!(
        (snapshot.services[0].port, snapshot.services[0].bytes),
        (443, 100_000 + (snapshot.services[0].flows - 1) * 100)
    );
    assert_eq!(snapshot.services.iter().map(|row| row.bytes).sum::<u64>(), desk.total().1);
    assert_eq!(snapshot.services.iter().map(|row| row.flows).sum::<u64>(), 60_001);
    assert!(snapshot.losses["services_folded"].count > 50_000);
}

#[test]
fn a_handshake_s_halves_belong_to_their_ends() {
    let mut desk = desk();
    let handshake = Learned::Handshake { server: Duration::from_millis(30), client: Duration::from_micros(200) };
    let (router_client, outside) = ("10.0.9.9:1", "192.0.2.5:443");
    for (client, server) in [(CLIENT, SERVER), (router_client, outside)] {
        desk.feed([syn(client, server, 0)]).learn([tcp(client, server).at(31).shows(handshake.clone())]);
    }
    let row = &desk.rows()[0];
    assert_eq!((row.handshake_server_seconds, row.handshake_client_seconds), (Some(0.03), Some(0.0002)));
    assert_eq!(row.handshake_rtt_seconds, Some(0.0302));
    let latency = desk.snapshot().latency;
    let peers: Vec<(&str, f64)> = latency.iter().map(|(peer, row)| (peer.as_str(), row.last_seconds)).collect();
    assert_eq!(peers, [("10.0.9.9", 0.0002), ("192.0.2.1", 0.03), ("192.0.2.5", 0.03)], "this host is no peer");
}

#[test]
fn round_trips_give_jitter_by_flow_and_peer() {
    let mut desk = desk();
    let ping = |ms| Learned::RoundTrip { kind: RoundTripKind::Echo, time: Duration::from_millis(ms) };
    desk.feed([icmp("10.0.0.1", "192.0.2.1", 8, 0).at(0), icmp("192.0.2.1", "10.0.0.1", 0, 0).at(10)]);
    for (n, ms) in [10, 26, 26].into_iter().enumerate() {
        desk.learn([icmp("192.0.2.1", "10.0.0.1", 0, 0).at(n as i64).shows(ping(ms))]);
    }
    let row = desk.only();
    assert_eq!((row.round_trip_seconds, row.jitter_seconds), (Some(0.026), Some(0.000_937_5)));
    let snapshot = desk.snapshot();
    let peer = &snapshot.latency["192.0.2.1"];
    assert_eq!((peer.samples, peer.min_seconds, peer.max_seconds, peer.smoothed_seconds), (3, 0.01, 0.026, 0.013_75));
    assert_eq!((peer.jitter_seconds, snapshot.jitter["192.0.2.1"]), (0.000_937_5, 0.000_937_5));
}

#[test]
fn hostile_names_answers_and_findings_stay_within_their_bounds() {
    let mut desk = desk_within(Limits { answers_max: 50, names_max: 50, findings_max: 50, peers_max: 50, ..patient() });
    for n in 0..2000_u32 {
        let name = format!("{n}.{}", "x".repeat(200));
        let address = format!("198.51.{}.{}", n / 256, n % 256);
        let client = format!("10.0.0.1:{}", 1000 + n);
        let rtt = Learned::RoundTrip { kind: RoundTripKind::Quic, time: Duration::from_millis(1) };
        desk.feed([udp(&client, &format!("{address}:443"))]);
        desk.learn([
            answered("10.0.0.1", 0, DnsMessage { rcode: 0, qtype: n as u16, ..dns(1, &name, &[&address]) }),
            udp(&client, RESOLVER).shows(said(DnsMessage { qtype: n as u16, ..dns(n as u16, &name, &[]) })),
            udp(&client, &format!("{address}:443")).shows(rtt),
        ]);
    }
    let snapshot = desk.snapshot();
    assert_eq!(snapshot.losses["dns_answers_evicted"].count, 1950);
    assert!(snapshot.losses["findings_unmatched"].count >= 3900, "{:?}", snapshot.losses["findings_unmatched"]);
    assert_eq!(snapshot.losses["peers_evicted"].count, 1950);
    assert!(snapshot.losses["names_folded"].count >= 1950);
    let dns = &snapshot.dns_queries;
    assert_eq!((dns.queries, dns.top_names.len(), dns.recent.len()), (2000, 20, 100));
    assert!(dns.types.len() <= 65 && dns.types["other"] > 1900 && snapshot.latency.len() <= 50);
    let logged = desk.effects.findings.len() as u64;
    assert_eq!(logged, snapshot.losses["findings_unmatched"].count);
    desk.stop();
    assert_eq!(desk.effects.findings.len(), 4000, "each DNS message is logged once in the end");
}
