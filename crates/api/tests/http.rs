//! What clients meet: answers, refusals, limits. A real server on a loopback socket over a fake engine.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::float_cmp, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use hivewall_api::{CONNECTIONS_MAX, HistoryRefusal, LIVE_MAX, Problem, REQUEST_BYTES_MAX, SourceGone, paths, rights};
use hivewall_model::Timestamp;
use hivewall_view::{FlowPage, Snapshot};
use support::{Server, TOKEN, data};

fn ids(page: &str) -> Vec<u64> {
    let page: FlowPage = serde_json::from_str(page).unwrap();
    page.flows.iter().map(|flow| flow.flow_id).collect()
}

fn problem(body: &str) -> Problem {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

#[test]
fn the_snapshot_is_the_one_the_engine_published() {
    let server = Server::start();
    let answer = server.get("/api/v1/snapshot");
    assert_eq!((answer.status, answer.media_type()), (200, "application/json"));
    let served: Snapshot = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(served, data::snapshot());
}

#[test]
fn who_takes_gzip_gets_the_same_answer_in_fewer_bytes_and_events_come_at_once() {
    let server = Server::start();
    let compressed = |path: &str| {
        let mut answer =
            ureq::get(format!("http://{}{path}", server.address)).header("accept-encoding", "gzip, br").call().unwrap();
        let encoding = answer.headers().get("content-encoding").map(|value| value.to_str().unwrap().to_owned());
        (encoding, answer.body_mut().read_to_vec().unwrap())
    };
    let plain = server.get("/api/v1/snapshot");
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "accept-encoding"));
    let (encoding, bytes) = compressed("/api/v1/snapshot");
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert!(bytes.len() * 2 < plain.body.len(), "{} of {} bytes", bytes.len(), plain.body.len());
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.body);

    let (encoding, bytes) = compressed("/api/v1/flows?limit=1&filter=port:1");
    assert_eq!(encoding, None, "nothing is won with {} bytes", bytes.len());
    let events = server.follow_as("", "accept-encoding: gzip\r\n");
    assert!(!events.head.contains("content-encoding"), "{}", events.head);
}

#[test]
fn flows_come_filtered_ordered_and_in_pages() {
    let server = Server::start();
    for (query, want) in [
        ("", vec![3, 5, 1, 4, 2]),
        ("?sort=rate&limit=1", vec![1]),
        ("?limit=2", vec![3, 5]),
        ("?limit=2&offset=2", vec![1, 4]),
        ("?limit=2&offset=4", vec![2]),
        ("?filter=port:443", vec![1]),
        ("?filter=port:443%20port:53", vec![1, 2]),
        ("?filter=!proto:udp", vec![3, 1, 4]),
        ("?port=443", vec![1]),
        ("?port=443&port=53", vec![1, 2]),
        ("?port=443&proto=udp", vec![]),
        ("?not-proto=udp", vec![3, 1, 4]),
        ("?filter=proto:udp&port=53", vec![2]),
        ("?ip=2001:db8::/32", vec![3]),
    ] {
        let answer = server.get(&format!("/api/v1/flows{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        assert_eq!(ids(&answer.body), want, "{query}");
    }
    let page: FlowPage = serde_json::from_str(&server.get("/api/v1/flows?limit=2&offset=2").body).unwrap();
    assert_eq!((page.matched, page.searched, page.next_offset), (5, 5, Some(4)));
}

#[test]
fn questions_reach_history_with_their_times_apart_from_the_filter() {
    let server = Server::start();
    for (path, want) in [
        ("flows", "history false"),
        ("flows?history=true", "history true"),
        ("flows?history=false", "history false"),
        ("top", r#"address ["", ""] 10 ``"#),
        (
            "top?by=service&limit=3&from=2023-11-14T22:00:00Z&to=2023-11-14T22:10:00Z&proto=udp",
            r#"service ["2023-11-14T22:00:00.000000Z", "2023-11-14T22:10:00.000000Z"] 3 `proto:udp`"#,
        ),
        ("top?last=1m&by=process", r#"process ["2023-11-14T22:13:20.000000Z", ""] 10 ``"#),
        ("series?step=5m&last=1m&port=443", r#"Some(300s) ["2023-11-14T22:13:20.000000Z", ""] `port:443`"#),
        ("series", r#"None ["", ""] ``"#),
    ] {
        let answer = server.get(&format!("/api/v1/{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_eq!(server.fake.asked.lock().unwrap().pop().as_deref(), Some(want), "{path}");
    }
    for (path, hint) in [
        ("flows?history=yes", "true, false"),
        ("top?by=colour", "source, destination, address, service, process, protocol"),
        ("top?limit=0", "from 1 to 10000"),
        ("series?step=0.5s", "one second"),
        ("series?step=1s&last=1d", "at most 10000"),
    ] {
        let answer = server.get(&format!("/api/v1/{path}"));
        assert_eq!((answer.status, answer.error().as_str()), (400, "bad_parameter"), "{path}");
        assert!(problem(&answer.body).hint.contains(hint), "{path}: {}", answer.body);
    }
    // What shapes one answer has no meaning for another.
    assert_eq!(server.get("/api/v1/top?step=1m").error(), "unknown_parameter");
    assert_eq!(server.get("/api/v1/series?by=source").error(), "unknown_parameter");
}

#[test]
fn an_agent_without_history_says_so() {
    let server = Server::start();
    *server.fake.history.lock().unwrap() = Some(HistoryRefusal::Off);
    let answer = server.get("/api/v1/top");
    assert_eq!((answer.status, answer.error().as_str()), (404, "no_history"));
    *server.fake.history.lock().unwrap() = Some(HistoryRefusal::Gone(SourceGone));
    assert_eq!(server.get("/api/v1/series").error(), "engine_stopped");
}

#[test]
fn a_filter_that_is_not_understood_is_refused_with_the_place_and_the_mend() {
    let server = Server::start();
    for path in ["/api/v1/flows", "/api/v1/flows/live"] {
        let answer = server.get(&format!("{path}?filter=proto:tcp%20prot:99"));
        assert_eq!(answer.status, 400);
        let problem = problem(&answer.body);
        assert_eq!((problem.error.as_str(), problem.position), ("bad_filter", Some(10)), "{problem:?}");
        assert!(problem.detail.contains("character 11"), "{problem:?}");
        assert!(problem.hint.contains("did you mean"), "{problem:?}");
    }
    let problem = problem(&server.get("/api/v1/flows?port=70000").body);
    assert_eq!((problem.error.as_str(), problem.position), ("bad_filter", Some(0)));
    assert!(problem.detail.contains("`port`"), "{problem:?}");
    assert!(problem.hint.contains("70000"), "{problem:?}");
}

#[test]
fn parameters_that_are_not_understood_are_refused_on_every_path() {
    let server = Server::start();
    let reads: Vec<_> = rights().into_iter().filter(|(method, ..)| method == "GET").map(|(_, path, _)| path).collect();
    for path in paths() {
        let answer = server.send("GET", &format!("{path}?nonsense=1"), Some(TOKEN), None);
        // Commands and questions with a body are not for GET; see `policy.rs` and `fleet.rs`.
        let want = if reads.contains(&path) { (400, "unknown_parameter") } else { (405, "unknown_method") };
        assert_eq!((answer.status, answer.error().as_str()), want, "{path}");
    }
    for (query, error, hint) in [
        ("prot=443", "unknown_parameter", "did you mean"),
        ("not-prot=443", "unknown_parameter", "did you mean `not-"),
        ("Limit=1", "unknown_parameter", "limit"),
        ("limit=0", "bad_parameter", "from 1 to 100000"),
        ("limit=100001", "bad_parameter", "from 1 to 100000"),
        ("limit=ten", "bad_parameter", "whole number"),
        ("offset=-1", "bad_parameter", "whole number"),
        ("sort=size", "bad_parameter", "bytes, packets"),
        ("limit=1&limit=2", "repeated_parameter", "keep"),
        ("filter=tcp&filter=udp", "repeated_parameter", "keep"),
    ] {
        let answer = server.get(&format!("/api/v1/flows?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        let problem = problem(&answer.body);
        assert_eq!(problem.error, error, "{query}");
        assert!(problem.hint.contains(hint), "{query}: {problem:?}");
    }
    // An order has no meaning for what has not happened yet.
    assert_eq!(server.get("/api/v1/flows/live?sort=rate").error(), "unknown_parameter");
}

#[test]
fn unknown_paths_and_methods_get_json_too() {
    let server = Server::start();
    let answer = server.get("/api/v1/flow");
    assert_eq!((answer.status, answer.error().as_str()), (404, "unknown_path"));
    assert!(answer.json()["hint"].as_str().unwrap().contains("/api/v1/flows/live"));
    for path in paths() {
        for method in ["PUT", "OPTIONS", "PATCH"] {
            let text = server.raw(&format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
            assert!(text.starts_with("HTTP/1.1 405 "), "{method} {path}: {text}");
            assert!(text.contains("unknown_method"), "{text}");
        }
    }
    let text = server.raw("POST /api/v1/flows HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert!(
        text.starts_with("HTTP/1.1 405 ") && text.to_ascii_lowercase().contains("\r\nallow: get,head\r\n"),
        "{text}"
    );
}

#[test]
fn names_that_are_not_ours_are_refused_against_dns_rebinding() {
    let server = Server::start();
    let port = server.address.port();
    let ask = |target: &str, hosts: &[&str]| {
        let hosts: Vec<String> = hosts.iter().map(|host| format!("host: {host}\r\n")).collect();
        let hosts = hosts.concat();
        let text = server.raw(&format!("GET {target} HTTP/1.1\r\n{hosts}connection: close\r\n\r\n"));
        text.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let ours = format!("127.0.0.1:{port}");
    for host in ["localhost", "[::1]:7733", ours.as_str()] {
        assert_eq!(ask("/api/v1/health", &[host]), 200, "{host}");
    }
    for host in ["evil.example", "evil.example:7733", "localhost.evil.example", "192.0.2.1", ""] {
        assert_eq!(ask("/api/v1/health", &[host]), 421, "{host}");
    }
    assert_eq!(ask("/api/v1/health", &[]), 400);
    assert_eq!(ask("/api/v1/health", &["localhost", "evil.example"]), 400);
    assert_eq!(ask("http://evil.example/api/v1/health", &["localhost"]), 421);
    assert_eq!(ask("http://localhost/api/v1/health", &["localhost"]), 200);
    assert_eq!(ask("/nowhere", &["evil.example"]), 421);
}

#[test]
fn every_answer_carries_the_security_headers_and_none_opens_it_to_other_origins() {
    let server = Server::start();
    for path in ["/api/v1", "/metrics", "/api/v1/snapshot", "/api/v1/flows?x=1", "/nowhere"] {
        let answer = server.get(path);
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{path}");
    }
}

#[test]
fn bodies_and_long_headers_are_refused() {
    let server = Server::start();
    let close = "host: localhost\r\nconnection: close\r\n";
    let body = server.raw(&format!("GET /api/v1/snapshot HTTP/1.1\r\n{close}content-length: 2\r\n\r\n{{}}"));
    assert!(body.starts_with("HTTP/1.1 413 ") && body.contains("unwanted_body"), "{body}");
    let chunked =
        server.raw(&format!("GET /api/v1/snapshot HTTP/1.1\r\n{close}transfer-encoding: chunked\r\n\r\n0\r\n\r\n"));
    assert!(chunked.starts_with("HTTP/1.1 413 "), "{chunked}");
    let long = "x".repeat(17 * 1024);
    let header = server.raw(&format!("GET /api/v1/snapshot HTTP/1.1\r\n{close}x-long: {long}\r\n\r\n"));
    assert!(header.starts_with("HTTP/1.1 431 ") && header.contains("request_too_large"), "{header}");
    let target = server.raw(&format!("GET /api/v1/flows?filter={long} HTTP/1.1\r\n{close}\r\n"));
    assert!(target.starts_with("HTTP/1.1 431 "), "{target}");
}

#[test]
fn a_request_that_goes_on_without_end_is_cut() {
    let server = Server::start();
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-endless: ").unwrap();
    let more = [b'x'; 4096];
    let mut sent = 0;
    // The server closes; how much the sockets' buffers took before that is the kernel's affair.
    while stream.write_all(&more).is_ok() {
        sent += more.len();
        assert!(sent < 64 << 20, "still open after {sent} bytes, {REQUEST_BYTES_MAX} may be sent");
    }
    assert_eq!(server.get("/api/v1/health").status, 200);
}

#[test]
fn health_turns_with_losses_fallback_and_a_hanging_engine() {
    let server = Server::start();
    let ask = || {
        let answer = server.get("/api/v1/health");
        let json = answer.json();
        let kinds = json["reasons"].as_array().unwrap().iter().map(|r| r["kind"].as_str().unwrap().to_owned());
        (answer.status, json["status"].as_str().unwrap().to_owned(), kinds.collect::<Vec<_>>())
    };
    assert_eq!(ask(), (200, "ok".to_owned(), vec![]));
    server.fake.change(|snapshot| snapshot.losses.get_mut("ring_full").unwrap().count += 5);
    assert_eq!(ask(), (200, "degraded".to_owned(), vec!["losses".to_owned()]));
    server.fake.change(|snapshot| snapshot.capture.fallback_reason = Some("no BTF".to_owned()));
    assert_eq!(ask().2, ["capture_fallback", "losses"]);
    *server.fake.now.lock().unwrap() = data::NOW + Duration::from_secs(11);
    let (status, word, kinds) = ask();
    assert_eq!((status, word.as_str()), (503, "failing"));
    assert_eq!(kinds, ["stalled", "capture_fallback", "losses"]);
}

#[test]
fn an_engine_that_has_stopped_is_said_to_have() {
    let server = Server::start();
    server.fake.gone.store(true, Ordering::SeqCst);
    let answer = server.get("/api/v1/flows");
    assert_eq!((answer.status, answer.error().as_str()), (503, "engine_stopped"));
    assert_eq!(answer.header("retry-after"), "1");
}

#[test]
fn a_subscriber_gets_each_closed_flow_that_matches_and_no_other() {
    let server = Server::start();
    let mut all = server.follow("");
    assert!(all.head.to_ascii_lowercase().contains("content-type: text/event-stream"), "{}", all.head);
    let mut tcp = server.follow("?proto=tcp");
    let flows = data::flows();
    server.fake.close([flows[1].clone(), flows[2].clone()]);
    let (first, second) = (all.next().unwrap(), all.next().unwrap());
    assert_eq!((first.name.as_str(), first.id.as_str()), ("flow", "2"));
    assert_eq!(serde_json::from_str::<hivewall_view::FlowRow>(&first.data).unwrap(), flows[1]);
    assert_eq!(second.id, "3");
    assert_eq!(tcp.next().unwrap().id, "3");
}

#[test]
fn a_subscriber_that_falls_behind_is_told_how_much_it_missed_and_it_is_counted() {
    let server = Server::start();
    let mut events = server.follow("");
    // Bursts of more than the engine's channel holds. The server's thread may take some in between, so how many are
    // missed varies, but none goes unaccounted for.
    let flow = data::flows().remove(0);
    let (mut sent, mut received, mut missed) = (0_u64, 0_u64, 0_u64);
    while missed == 0 {
        server.fake.close(std::iter::repeat_n(flow.clone(), 500));
        sent += 500;
        while received + missed < sent {
            let event = events.next().unwrap();
            match event.name.as_str() {
                "flow" => received += 1,
                "lagged" => missed += event.json()["missed"].as_u64().unwrap(),
                other => panic!("{other}"),
            }
        }
    }
    assert_eq!(received + missed, sent);
    assert_eq!(metrics(&server)["hivewall_api_live_missed_flows_total"], missed as f64);
}

#[test]
fn subscribers_beyond_the_limit_are_refused() {
    let server = Server::start();
    let events: Vec<_> = (0..LIVE_MAX).map(|_| server.follow("")).collect();
    let refused = server.follow("");
    assert!(refused.head.starts_with("HTTP/1.1 503 "), "{}", refused.head);
    assert_eq!(metrics(&server)["hivewall_api_live_subscribers"], LIVE_MAX as f64);
    drop(events);
}

#[test]
fn connections_beyond_the_limit_are_told_so_and_counted() {
    let server = Server::start();
    let ask = |stream: &mut std::net::TcpStream| {
        stream.write_all(b"HEAD /api/v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    };
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = server.connect();
        // An answer proves that it has its place.
        assert!(ask(&mut stream).starts_with("HTTP/1.1 200 "));
        open.push(stream);
    }
    let refused = server.raw("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    problem(refused.split("\r\n\r\n").nth(1).unwrap());
    let mut last = open.pop().unwrap();
    write!(last, "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    last.read_to_string(&mut text).unwrap();
    assert!(text.contains("\nhivewall_api_connections_refused_total 1\n"), "{text}");
    assert!(text.contains(&format!("\nhivewall_api_connections {CONNECTIONS_MAX}\n")), "{text}");
}

#[test]
fn stopping_ends_live_streams_and_the_server() {
    let mut server = Server::start();
    let mut events = server.follow("");
    server.stop();
    assert!(events.next().is_none());
    assert!(std::net::TcpStream::connect(server.address).is_err());
}

#[tokio::test]
async fn a_listener_beyond_loopback_is_not_served() {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let source = std::sync::Arc::new(support::Fake::default());
    let error =
        hivewall_api::serve(listener, source, hivewall_api::Access::none(), std::future::pending()).await.unwrap_err();
    assert!(error.to_string().contains("without TLS"), "{error}");
}

#[test]
fn the_page_for_people_names_every_path() {
    let server = Server::start();
    let answer = server.get("/api/v1");
    assert_eq!((answer.status, answer.media_type()), (200, "text/plain"));
    for path in paths() {
        let is_named = |line: &str| line.split_whitespace().take(2).any(|word| word == path);
        assert!(answer.body.lines().any(is_named), "{path}\n{}", answer.body);
    }
}

/// Samples by name and labels.
fn metrics(server: &Server) -> BTreeMap<String, f64> {
    let answer = server.get("/metrics");
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn metrics_say_what_the_snapshot_says() {
    let server = Server::start();
    let samples = metrics(&server);
    for (name, want) in [
        ("hivewall_build_info{version=\"0.1.0\"}", 1.0),
        ("hivewall_uptime_seconds", 61.5),
        ("process_cpu_seconds_total", 0.75),
        ("process_resident_memory_bytes", 23e6),
        ("hivewall_capture_info{source=\"ebpf-tcx\"}", 1.0),
        ("hivewall_capture_clock_resolution_seconds", 0.004),
        ("hivewall_interface_receive_bytes_total{device=\"eth0\"}", 5000.0),
        ("hivewall_interface_speed_bytes{device=\"eth0\"}", 125e6),
        ("hivewall_interface_captured{device=\"lo\"}", 0.0),
        ("hivewall_traffic_packets_total{device=\"eth0\",protocol=\"udp\",direction=\"ingress\"}", 10.0),
        ("hivewall_traffic_bytes_total{device=\"lo\",protocol=\"tcp\",direction=\"egress\"}", 400.0),
        ("hivewall_frames_not_in_flows_total{device=\"eth0\",direction=\"egress\",reason=\"arp\"}", 2.0),
        ("hivewall_protocol_packets_total{protocol=\"tcp\"}", 100.0),
        ("hivewall_flows_active", 3.0),
        ("hivewall_process_transmit_bytes_per_second{process=\"nginx\"}", 200.0),
        ("hivewall_dns_queries_total{type=\"other\"}", 1.0),
        ("hivewall_dns_latency_seconds{quantile=\"0.5\"}", 0.011),
        ("hivewall_dns_latency_seconds_sum", 0.05),
        ("hivewall_dns_latency_seconds_count", 4.0),
        ("hivewall_http_responses_total{code=\"4xx\"}", 1.0),
        ("hivewall_tls_handshakes_total{version=\"TLS 1.3\"}", 4.0),
        ("hivewall_tcp_sockets{state=\"ESTABLISHED\",family=\"ipv6\"}", 1.0),
        ("hivewall_socket_transitions_total{from=\"SYN_SENT\",to=\"ESTABLISHED\"}", 7.0),
        ("hivewall_kernel_drops_total{reason=\"no_socket\",device=\"eth0\",protocol=\"tcp\"}", 6.0),
        ("hivewall_host_load_average{minutes=\"15\"}", 0.3),
        ("hivewall_history_oldest_timestamp_seconds", 1.7e9),
        ("hivewall_flows_ended_total{reason=\"reset\"}", 1.0),
        ("hivewall_tcp_flows{state=\"ESTABLISHED\"}", 1.0),
        ("hivewall_invalid_packets_total{reason=\"ip_header_truncated\"}", 3.0),
        ("hivewall_losses_total{reason=\"ring_full\"}", 3.0),
        ("hivewall_losses_packets_total{reason=\"ring_full\"}", 6.0),
        ("hivewall_top_talker_sent_bytes_per_second{address=\"10.0.0.0\"}", 200.0),
        ("hivewall_snapshot_timestamp_seconds", 1_700_000_060.0),
        ("hivewall_subnet_received_bytes_total{prefix=\"10.0.0.0/8\"}", 250.0),
        // What the other ends received is what this host sent.
        ("hivewall_outbound_bytes_total{direction=\"egress\"}", 150.0),
        ("hivewall_outbound_packets_total{direction=\"ingress\"}", 3.0),
        ("hivewall_service_bytes{service=\"tcp/443\"}", 9000.0),
        ("hivewall_service_flows{service=\"other\"}", 0.0),
        ("hivewall_rtt_seconds{what=\"p95\"}", 0.01),
    ] {
        assert_eq!(samples.get(name), Some(&want), "{name}\n{samples:#?}");
    }
    assert!(!samples.contains_key("hivewall_interface_speed_bytes{device=\"lo\"}"));
    let talkers = samples.keys().filter(|name| name.starts_with("hivewall_top_talker_sent"));
    assert_eq!(talkers.count(), 11, "twelve talkers are in the snapshot: ten, and other");
    let peers = samples.keys().filter(|name| name.starts_with("hivewall_peer_rtt_seconds"));
    assert_eq!(peers.count(), 10, "twelve peers are in the snapshot");
}

#[test]
fn a_time_before_the_first_snapshot_is_served_without_fault() {
    let server = Server::start();
    server.fake.change(|snapshot| *snapshot = Snapshot::default());
    *server.fake.now.lock().unwrap() = Timestamp::default();
    assert_eq!(server.get("/metrics").status, 200);
    assert_eq!(server.get("/api/v1/snapshot").status, 200);
    assert_eq!(server.get("/api/v1/health").json()["status"], "failing");
}
