//! Logs that this program wrote, in every format, come to the report that the flows themselves give.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{BufReader, Read, Write as _};
use std::sync::Arc;
use std::time::Duration;

use hivewall_analyze::{AnalyzeError, Report, ScanKind, analyze, analyze_file};
use hivewall_export::{Encoder, Event, LogFormat, StatsEvent};
use hivewall_model::{
    DnsMessage, EndReason, FlowId, HttpRequest, HttpResponse, Learned, Perspective, Process, Side, TcpFlags, TcpState,
    Timestamp, TlsHello,
};
use hivewall_view::{FlowPage, FlowRow, Snapshot, example_flow};

/// 2026-11-21T10:00:00Z.
const START: Timestamp = Timestamp::from_secs(1_795_255_200);
/// Flows that were answered, one every minute.
const ANSWERED: u64 = 300;
/// Ports that refused 10.0.0.66.
const REFUSED: u16 = 30;

/// Five hours of curl talking to 10.0.0.2:443, 1,000 bytes each; 10.0.0.66, who comes in the last hour, knocks at many
/// ports of 10.0.0.3, half of which say RST.
fn rows() -> Vec<FlowRow> {
    let curl = Arc::new(Process { pid: 4711, comm: "curl".into(), ..Process::default() });
    let side = |packets, ip_bytes, flags| Side {
        packets,
        ip_bytes,
        wire_bytes: ip_bytes + 14 * packets,
        flags: TcpFlags(flags),
    };
    let mut flows = Vec::new();
    for number in 0..ANSWERED {
        let mut flow = example_flow();
        flow.id = FlowId(number + 1);
        (flow.to_server, flow.to_client) = (side(3, 400, 0x1b), side(2, 600, 0x1b));
        (flow.tcp_state, flow.ended) = (Some(TcpState::Closed), Some(EndReason::Finished));
        flow.start = START + Duration::from_secs(60 * number);
        flow.last = flow.start + Duration::from_millis(250);
        flow.client_process = Some(Arc::clone(&curl));
        flows.push(flow);
    }
    for number in 0..REFUSED {
        let mut flow = example_flow();
        flow.id = FlowId(1000 + u64::from(number));
        flow.tuple.client = [10, 0, 0, 66].into();
        flow.tuple.server = [10, 0, 0, 3].into();
        flow.tuple.server_port = 1000 + number;
        let answered = number % 2 == 0;
        flow.to_server = side(1, 60, TcpFlags::SYN);
        flow.to_client = if answered { side(1, 40, TcpFlags::RST | TcpFlags::ACK) } else { Side::default() };
        flow.tcp_state = Some(if answered { TcpState::Reset } else { TcpState::SynSent });
        flow.ended = Some(if answered { EndReason::Reset } else { EndReason::Idle });
        flow.start = START + Duration::from_secs(60 * ANSWERED + u64::from(number));
        flow.last = flow.start;
        flows.push(flow);
    }
    flows.iter().map(|flow| FlowRow::new(flow, &|_| "eth0".to_owned())).collect()
}

fn names() -> Vec<Event> {
    let tuple = example_flow().tuple;
    let query = DnsMessage { name: "www.example.com".into(), qtype: 1, ..DnsMessage::default() };
    let answer = DnsMessage { response: true, rcode: 3, ..query.clone() };
    let hello = TlsHello { server_name: Some("www.example.com".into()), version: 0x0304, ..TlsHello::default() };
    let request = HttpRequest {
        method: "GET".into(),
        target: "/a".into(),
        host: Some("b.example".into()),
        ..HttpRequest::default()
    };
    let page = HttpResponse { status: 404, request: Some(Arc::new(request)), ..HttpResponse::default() };
    [
        Learned::Dns(Arc::new(query)),
        Learned::Dns(Arc::new(answer)),
        Learned::Tls(Arc::new(hello)),
        Learned::HttpResponse(Arc::new(page)),
    ]
    .iter()
    .map(|learned| Event::from_finding(FlowId(1), &tuple, Perspective::Outbound, START, learned, None, None).unwrap())
    .collect()
}

fn events() -> Vec<Event> {
    let mut events = names();
    events.extend(rows().into_iter().map(|row| Event::Flow(Box::new(row))));
    let snapshot = Snapshot { time: "2026-11-21T15:00:30.000000Z".to_owned(), ..Snapshot::default() };
    events.push(Event::Stats(Box::new(StatsEvent::new(&snapshot))));
    events
}

fn log(format: LogFormat) -> Vec<u8> {
    let mut encoder = Encoder::new(format);
    let mut out = encoder.opening().to_vec();
    for (number, event) in events().iter().filter(|event| format.carries(event)).enumerate() {
        if number > 0 {
            out.extend_from_slice(encoder.between());
        }
        encoder.event(event, &mut out).unwrap();
    }
    out.extend_from_slice(encoder.closing());
    out
}

fn report(log: &[u8]) -> Report {
    analyze(log, &mut |_| {}).unwrap()
}

/// What holds whatever the format.
fn holds(report: &Report, what: &str) {
    assert!(report.skipped.is_empty(), "{what}: {:?}", report.skipped);
    assert_eq!(report.events["flow"], ANSWERED + u64::from(REFUSED), "{what}");
    // 300 × 1,000 bytes; 30 × 60 bytes of SYN, 15 × 40 of RST.
    assert_eq!(report.total.bytes, 300_000 + 1800 + 600, "{what}");
    assert_eq!(report.total.packets, 300 * 5 + 30 + 15, "{what}");
    assert_eq!(report.bytes_are, "ip", "{what}");
    assert_eq!(report.protocols.len(), 1, "{what}");
    let first = &report.services[0];
    assert_eq!((first.key.as_str(), first.traffic.bytes, first.traffic.flows), ("tcp/443", 300_000, 300), "{what}");
    assert_eq!(report.sources[0].key, "10.0.0.1", "{what}");
    assert_eq!(report.talkers.len(), 4, "{what}");
    assert_eq!((report.processes[0].key.as_str(), report.processes[0].traffic.bytes), ("curl", 300_000), "{what}");
    // Sixty flows an hour, and the knocking at 15:00.
    let hours: Vec<u64> = report.hours.iter().map(|hour| hour.traffic.flows).collect();
    assert_eq!(hours, [60, 60, 60, 60, 60, 30], "{what}");
    let new: Vec<&str> = report.new_sources.iter().map(|new| new.address.as_str()).collect();
    assert_eq!((new, report.new_sources_count), (vec!["10.0.0.66"], 1), "{what}");
    assert_eq!(report.refused.flows, 30, "{what}");
    assert_eq!((report.refused.by_reason["reset"], report.refused.by_reason["no_answer"]), (15, 15), "{what}");
    assert_eq!((report.refused.sources[0].key.as_str(), report.refused.sources[0].count), ("10.0.0.66", 30), "{what}");
    let scan = &report.scans[0];
    assert_eq!(
        (scan.source.as_str(), scan.kind, scan.target.as_str()),
        ("10.0.0.66", ScanKind::Ports, "10.0.0.3"),
        "{what}"
    );
    assert_eq!((report.scans.len(), scan.probes), (1, 30), "{what}");
}

#[test]
fn every_format_comes_to_the_same_report() {
    for (format, want) in [(LogFormat::Jsonl, "json lines"), (LogFormat::Json, "json lines"), (LogFormat::Csv, "csv")] {
        let report = report(&log(format));
        holds(&report, format.name());
        assert_eq!(report.format, want);
        assert_eq!(report.from.as_deref(), Some("2026-11-21T10:00:00.000000Z"));
        assert!(report.dates_known);
    }
}

#[test]
fn console_lines_give_the_same_without_a_date_and_with_rounded_bytes() {
    let report = report(&log(LogFormat::Console));
    // 1,000 bytes are shown as 1.0 kB, 60 and 100 as they are.
    holds(&report, "console");
    assert!(!report.dates_known);
    assert_eq!((report.answers["dns NXDOMAIN"], report.answers["http 404"]), (1, 1));
}

#[test]
fn names_and_their_answers_are_counted() {
    for format in [LogFormat::Jsonl, LogFormat::Json, LogFormat::Console] {
        let report = report(&log(format));
        let names: Vec<(&str, u64)> = report.names.iter().map(|name| (name.key.as_str(), name.count)).collect();
        assert_eq!(names, [("www.example.com", 2), ("b.example", 1)], "{format}");
        assert_eq!(report.answers.len(), 2, "{format}: {:?}", report.answers);
        assert_eq!((report.events["dns"], report.events["tls"], report.events["stats"]), (2, 1, 1), "{format}");
    }
}

#[test]
fn rows_and_pages_of_the_flows_command_are_read_too() {
    let lines: String = rows().iter().map(|row| serde_json::to_string(row).unwrap() + "\n").collect();
    holds(&report(lines.as_bytes()), "rows");
    let page = FlowPage { flows: rows(), ..FlowPage::default() };
    holds(&report(serde_json::to_string(&page).unwrap().as_bytes()), "a page");
    let pretty = serde_json::to_string_pretty(&page).unwrap();
    let report = report(pretty.as_bytes());
    holds(&report, "a page on many lines");
    assert_eq!(report.format, "json document");
}

#[test]
fn a_document_laid_out_otherwise_is_read_object_by_object() {
    let events: Vec<serde_json::Value> = serde_json::from_slice(&log(LogFormat::Json)).unwrap();
    let pretty = serde_json::to_string_pretty(&events).unwrap();
    let report = report(pretty.as_bytes());
    holds(&report, "pretty");
    assert_eq!(report.format, "json document");
}

#[test]
fn what_cannot_be_read_is_skipped_for_a_named_reason_and_costs_nothing_else() {
    let mut text = String::from_utf8(log(LogFormat::Jsonl)).unwrap();
    text.push_str(
        "{\"event_type\":\"flow\",\"timestamp\":\"x\"}\n{\"a\":1}\nnonsense\n\n{\"event_type\":\"flow\",\"ti",
    );
    let report = report(text.as_bytes());
    assert_eq!(report.total.flows, ANSWERED + u64::from(REFUSED));
    assert_eq!(
        report.skipped.iter().map(|(reason, lines)| (reason.as_str(), *lines)).collect::<Vec<_>>(),
        [("bad_event", 1), ("not_json", 2), ("unknown_object", 1)]
    );
    let mut table = log(LogFormat::Csv);
    table.extend_from_slice(b"1,2,3\r\n");
    assert_eq!(self::report(&table).skipped["bad_row"], 1);
    let mut lines = log(LogFormat::Console);
    lines.extend_from_slice("25:00:00 tcp 10.0.0.1 → 10.0.0.2 x\nbye\n".as_bytes());
    assert_eq!(self::report(&lines).skipped["not_a_log_line"], 2);
}

#[test]
fn what_is_no_log_is_refused() {
    assert!(matches!(analyze(b"\n \n".as_slice(), &mut |_| {}), Err(AnalyzeError::Empty)));
    for text in ["hello\nworld\n", "a,b,c\n1,2,3\n"] {
        assert!(matches!(analyze(text.as_bytes(), &mut |_| {}), Err(AnalyzeError::Unknown)), "{text}");
    }
    let missing = analyze_file(std::path::Path::new("/nonexistent/log"), &mut |_| {}).unwrap_err();
    assert!(missing.to_string().contains("/nonexistent/log"), "{missing}");
}

#[test]
fn progress_is_told_up_to_the_last_byte() {
    let log = log(LogFormat::Jsonl);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    // Beyond what one report of progress is for.
    let copies = 8;
    for _ in 0..copies {
        file.write_all(&log).unwrap();
    }
    let mut told = Vec::new();
    let report = analyze_file(file.path(), &mut |read| told.push(read)).unwrap();
    assert_eq!(report.bytes_read, (log.len() * copies) as u64);
    assert_eq!(*told.last().unwrap(), report.bytes_read);
    assert!(told.is_sorted() && told.len() > 2, "{told:?}");
    assert_eq!(report.total.flows, 8 * (ANSWERED + u64::from(REFUSED)));
}

/// A table of 300,000 flows from as many sources, made while it is read.
struct ManySources {
    next: u32,
    line: Vec<u8>,
}

impl Read for ManySources {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.line.is_empty() && self.next < MANY {
            let source = std::net::Ipv4Addr::from(0x0a00_0000 + self.next);
            self.line = format!("2026-11-21T10:00:00Z,tcp,{source},192.0.2.1,443,100,1\n").into_bytes();
            self.next += 1;
        }
        let taken = self.line.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&self.line[..taken]);
        self.line.drain(..taken);
        Ok(taken)
    }
}

const MANY: u32 = 300_000;

#[test]
fn more_sources_than_are_kept_apart_leave_sums_exact_and_are_said() {
    let header = b"start,protocol,source_ip,dest_ip,dest_port,bytes,packets\n".to_vec();
    let log = BufReader::new(ManySources { next: 0, line: header });
    let report = analyze(log, &mut |_| {}).unwrap();
    assert_eq!((report.total.flows, report.total.bytes), (u64::from(MANY), u64::from(MANY) * 100));
    // A table of 200,000 is halved once; the server, which has all of the traffic, stays.
    assert_eq!(report.folded["sources"], 100_001);
    assert_eq!((report.talkers[0].key.as_str(), report.talkers[0].traffic.flows), ("192.0.2.1", u64::from(MANY)));
}

#[test]
fn the_report_survives_its_own_json() {
    let report = report(&log(LogFormat::Jsonl));
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}
