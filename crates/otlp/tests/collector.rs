//! A collector on loopback, and what it makes of what we send.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use hivewall_otlp::{Family, Kind, Otlp, OtlpOptions, Sample, SignalCounters, Value};
use hivewall_outbound::HttpOptions;
use hivewall_view::alerts::{Alert, Severity};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use prost::Message as _;

const LIMIT: Duration = Duration::from_secs(60);

struct Request {
    path: String,
    body: Vec<u8>,
}

/// Answers each request with the next of its answers, the last one for ever; gives bodies as they were before gzip.
fn collector(mut answers: Vec<Vec<u8>>) -> (SocketAddr, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (say, requests) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            loop {
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
                if head.is_empty() {
                    break;
                }
                let head = head.to_lowercase();
                let value = |name: &str| {
                    head.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
                };
                assert_eq!(value("content-type:").as_deref(), Some("application/x-protobuf"));
                let mut body = vec![0; value("content-length:").unwrap().parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
                if value("content-encoding:").as_deref() == Some("gzip") {
                    let mut plain = Vec::new();
                    GzDecoder::new(body.as_slice()).read_to_end(&mut plain).unwrap();
                    body = plain;
                }
                let path = head.split(' ').nth(1).unwrap().to_owned();
                let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
                if say.send(Request { path, body }).is_err() {
                    return;
                }
                reader.get_mut().write_all(&answer).unwrap();
            }
        }
    });
    (address, requests)
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn start(address: SocketAddr, gzip: bool) -> Otlp {
    let http = HttpOptions { timeout: LIMIT, ca_file: None, credentials: None };
    let resource =
        vec![("service.name".to_owned(), "hivewall".to_owned()), ("host.name".to_owned(), "web1".to_owned())];
    let retry = Some(Duration::from_millis(1));
    Otlp::start(&OtlpOptions { endpoint: format!("http://{address}/"), http, gzip, resource, retry }).unwrap()
}

fn family(name: &str, kind: Kind, value: Value) -> Family {
    let labels = vec![("device".to_owned(), "eth0".to_owned())];
    let samples = vec![Sample { labels, value }];
    Family { name: name.to_owned(), kind, help: "Help.".to_owned(), unit: "By".to_owned(), samples }
}

fn until(otlp: &Otlp, wanted: impl Fn(&SignalCounters, &SignalCounters) -> bool) -> (SignalCounters, SignalCounters) {
    let stop = Instant::now() + LIMIT;
    loop {
        let (metrics, logs) = otlp.counters();
        if wanted(&metrics, &logs) {
            return (metrics, logs);
        }
        assert!(Instant::now() < stop, "{metrics:#?} {logs:#?}");
        thread::yield_now();
    }
}

fn get(attributes: &[KeyValue], name: &str) -> Option<any_value::Value> {
    attributes.iter().find(|attribute| attribute.key == name)?.value.clone()?.value
}

#[expect(clippy::unnecessary_wraps, reason = "compared with what may be lacking")]
fn text(value: &str) -> Option<any_value::Value> {
    Some(any_value::Value::StringValue(value.to_owned()))
}

#[test]
fn metrics_arrive_with_their_kinds_labels_and_times() {
    for gzip in [false, true] {
        let (address, requests) = collector(vec![answer("200 OK", b"")]);
        let otlp = start(address, gzip);
        let histogram =
            Value::Histogram { count: 10, sum: 7.5, buckets: vec![(0.5, 4), (1.0, 9), (f64::INFINITY, 10)] };
        otlp.metrics(&[
            family("hivewall_bytes_total", Kind::Counter, Value::Number(42.0)),
            family("hivewall_flows", Kind::Gauge, Value::Number(7.0)),
            family("hivewall_seconds", Kind::Histogram, histogram),
        ]);
        let request = requests.recv_timeout(LIMIT).unwrap();
        assert_eq!(request.path, "/v1/metrics");
        let decoded = ExportMetricsServiceRequest::decode(request.body.as_slice()).unwrap();
        let of_host = &decoded.resource_metrics[0];
        assert_eq!(get(&of_host.resource.as_ref().unwrap().attributes, "host.name"), text("web1"));
        let metrics = &of_host.scope_metrics[0].metrics;
        let (name, unit) = (metrics[0].name.as_str(), metrics[0].unit.as_str());
        assert_eq!((name, unit, metrics[0].description.as_str()), ("hivewall_bytes_total", "By", "Help."));
        let Some(metric::Data::Sum(sum)) = &metrics[0].data else { panic!("{metrics:?}") };
        assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "cumulative");
        let point = &sum.data_points[0];
        assert_eq!(point.value, Some(number_data_point::Value::AsDouble(42.0)));
        assert_eq!(get(&point.attributes, "device"), text("eth0"));
        assert!(0 < point.start_time_unix_nano && point.start_time_unix_nano <= point.time_unix_nano);
        assert!(matches!(&metrics[1].data, Some(metric::Data::Gauge(gauge)) if gauge.data_points.len() == 1));
        let Some(metric::Data::Histogram(histogram)) = &metrics[2].data else { panic!("{metrics:?}") };
        let point = &histogram.data_points[0];
        assert_eq!(
            (point.bucket_counts.as_slice(), point.explicit_bounds.as_slice()),
            ([4, 5, 1].as_slice(), [0.5, 1.0].as_slice())
        );
        let (metrics, _) = until(&otlp, |metrics, _| metrics.sent == 3);
        assert_eq!((metrics.pushed, metrics.requests, metrics.queued), (3, 1, 0));
        assert_eq!(otlp.close(LIMIT), 0);
    }
}

fn alert(id: &str) -> Alert {
    Alert {
        id: id.to_owned(),
        host: "web1".to_owned(),
        detector: "port_scan".to_owned(),
        severity: Severity::High,
        message: "somebody called many ports".to_owned(),
        source: Some("198.51.100.7".to_owned()),
        port: Some(22),
        last_seen: "1970-01-01T00:00:01.5Z".to_owned(),
        ..Alert::default()
    }
}

#[test]
fn alerts_are_log_records_and_those_that_wait_go_together() {
    let (address, requests) = collector(vec![answer("503 Busy", b""), answer("200 OK", b"")]);
    let otlp = start(address, true);
    otlp.alert(&alert("1"), "raised");
    // The first is under way and refused; meanwhile two more come.
    assert_eq!(requests.recv_timeout(LIMIT).unwrap().path, "/v1/logs");
    otlp.alert(&alert("2"), "worsened");
    otlp.alert(&alert("3"), "ended");
    let mut ids = Vec::new();
    while ids.len() < 3 {
        let body = requests.recv_timeout(LIMIT).unwrap().body;
        let decoded = ExportLogsServiceRequest::decode(body.as_slice()).unwrap();
        for record in decoded.resource_logs.iter().flat_map(|logs| &logs.scope_logs[0].log_records) {
            // ERROR is 17 in the log data model.
            assert_eq!((record.severity_number, record.severity_text.as_str()), (17, "high"));
            assert_eq!((record.time_unix_nano, record.event_name.as_str()), (1_500_000_000, "hivewall.alert"));
            assert_eq!(record.body.as_ref().unwrap().value, text("somebody called many ports"));
            assert_eq!(get(&record.attributes, "source.address"), text("198.51.100.7"));
            assert_eq!(get(&record.attributes, "destination.port"), Some(any_value::Value::IntValue(22)));
            ids.push(get(&record.attributes, "hivewall.alert.id"));
        }
    }
    assert_eq!(ids, [text("1"), text("2"), text("3")]);
    let (_, logs) = until(&otlp, |_, logs| logs.sent == 3);
    assert_eq!((logs.retried.get("busy"), logs.queued), (Some(&1), 0));
}

#[test]
fn what_the_specification_gives_up_is_given_up_and_what_is_rejected_is_counted() {
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 1, error_message: "too old".to_owned() };
    let partial = ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let (address, _requests) = collector(vec![answer("500 Oops", b"no"), answer("200 OK", &partial)]);
    let otlp = start(address, false);
    let number = || family("hivewall_flows", Kind::Gauge, Value::Number(7.0));
    otlp.metrics(&[number()]);
    // 500 is none of the answers that are tried again.
    let (metrics, _) = until(&otlp, |metrics, _| metrics.failed.contains_key("faulty"));
    assert_eq!(metrics.last_error.unwrap().1, "answered 500: no");
    otlp.metrics(&[number(), number()]);
    let (metrics, _) = until(&otlp, |metrics, _| metrics.rejected == 1);
    assert_eq!((metrics.pushed, metrics.sent, metrics.queued), (3, 1, 0));
}

#[test]
fn a_collector_that_is_down_costs_bounded_memory_and_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let otlp = start(address, false);
    let mut large = family("hivewall_flows", Kind::Gauge, Value::Number(7.0));
    large.help = "x".repeat(1 << 20);
    for _ in 0..20 {
        otlp.metrics(std::slice::from_ref(&large));
    }
    let (metrics, _) = until(&otlp, |metrics, _| metrics.retried.contains_key("unreachable"));
    // Eight mebibytes hold seven of a little more than one; one more is in hand.
    assert_eq!((metrics.pushed, metrics.lost_full + metrics.queued), (20, 20));
    assert!(metrics.queued <= 8, "{}", metrics.queued);
    assert_eq!(otlp.close(Duration::ZERO), metrics.queued);
}
