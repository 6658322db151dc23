//! A stand-in for ClickHouse's HTTP interface that hangs, fails and loses answers; it keeps rows as the real one would, by
//! the tokens of their batches.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use common::{close, export_to, free_tcp_port, mixture, name, wait_for};
use hivewall_flowexport::{Exporters, LossReason, Target};
use serde_json::Value;

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Fine,
    /// Inserts, and says nothing.
    LosesTheAnswer,
    /// `Code: 60`: there is no such table.
    NoTable,
    /// Refuses a row with flow 13 in it.
    Picky,
}

/// One request.
struct Request {
    head: String,
    body: String,
}

#[derive(Default)]
struct Kept {
    /// Token → rows.
    batches: BTreeMap<String, Vec<Value>>,
    heads: Vec<String>,
}

impl Kept {
    fn rows(&self) -> Vec<&Value> {
        self.batches.values().flatten().collect()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { head, body: String::from_utf8(body).unwrap() })
}

/// Serves until the test ends; moods follow one another, the last one stays.
fn serve(listener: TcpListener, moods: Vec<Mood>) -> Arc<Mutex<Kept>> {
    let kept = Arc::new(Mutex::new(Kept::default()));
    let mine = Arc::clone(&kept);
    std::thread::spawn(move || {
        let mut moods = moods.into_iter();
        let mut mood = moods.next().unwrap();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(request) = read(&stream) else { continue };
            let answer = answer(mood, &request, &mut mine.lock().unwrap());
            mood = moods.next().unwrap_or(mood);
            if let Some((status, text)) = answer {
                let _ = write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            }
        }
    });
    kept
}

fn answer(mood: Mood, request: &Request, kept: &mut Kept) -> Option<(u16, &'static str)> {
    kept.heads.push(request.head.clone());
    let (statement, body) = request.body.split_once('\n').unwrap();
    assert!(statement.starts_with("INSERT INTO ") && statement.ends_with(" FORMAT JSONEachRow"), "{statement}");
    let rows: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    match mood {
        Mood::NoTable => return Some((404, "Code: 60. DB::Exception: Table hivewall.flows does not exist.\nstack")),
        Mood::Picky if rows.iter().any(|row| row["flow_id"] == 13) => {
            return Some((400, "Code: 27. DB::Exception: Cannot parse input"));
        }
        _ => {}
    }
    let token = statement.split("insert_deduplication_token='").nth(1).unwrap();
    let token = token.split('\'').next().unwrap().to_owned();
    kept.batches.insert(token, rows);
    (mood != Mood::LosesTheAnswer).then_some((200, ""))
}

fn ids(kept: &Kept) -> Vec<u64> {
    kept.rows().iter().map(|row| row["flow_id"].as_u64().unwrap()).collect()
}

#[test]
fn rows_arrive_once_although_the_table_was_missing_and_answers_were_lost() {
    let port = free_tcp_port();
    let state = tempfile::tempdir().unwrap();
    let exporters = export_to(&format!("clickhouse+http://127.0.0.1:{port}/hivewall.flows"), state.path());
    let flows = mixture(12_000);
    flows.chunks(500).for_each(|some| exporters.flows(some, &name));
    wait_for("a failure", || exporters.counters()[0].failures > 0);
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let moods = vec![Mood::NoTable, Mood::LosesTheAnswer, Mood::Fine, Mood::LosesTheAnswer, Mood::Fine];
    let kept = serve(listener, moods);
    wait_for("all to be acknowledged", || exporters.counters()[0].queued == 0);
    let counters = close(exporters);
    assert_eq!((counters.sent, counters.lost_total()), (12_000, 0), "{counters:?}");
    let kept = kept.lock().unwrap();
    let ids = ids(&kept);
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (12_000, 12_000));
    let row = kept.rows()[0];
    assert_eq!(row["interface_names"], serde_json::json!(["eth2"]));
    let start = row["start"].as_str().unwrap();
    assert!(start.len() == 26 && start.as_bytes()[10] == b' ', "{start}");
}

#[test]
fn a_row_that_the_table_refuses_is_given_up_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let state = tempfile::tempdir().unwrap();
    let word = format!("clickhouse+http://{}/hivewall.flows", listener.local_addr().unwrap());
    let kept = serve(listener, vec![Mood::Picky]);
    let exporters = export_to(&word, state.path());
    exporters.flows(&mixture(100), &name);
    wait_for("all to be decided", || exporters.counters()[0].queued == 0);
    let counters = close(exporters);
    assert_eq!((counters.sent, counters.lost(LossReason::Rejected)), (99, 1), "{counters:?}");
    let ids: BTreeSet<_> = ids(&kept.lock().unwrap()).into_iter().collect();
    assert_eq!(ids, (1..=100).filter(|id| *id != 13).collect());
}

#[test]
fn events_become_rows_with_their_time_and_type() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let state = tempfile::tempdir().unwrap();
    let secret = state.path().join("password");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let address = listener.local_addr().unwrap();
    let word = format!("clickhouse+http://{address}/a.b?what=events&user=me&password_file={}", secret.display());
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o644)).unwrap();
    let open = Exporters::start(vec![word.parse::<Target>().unwrap()], state.path());
    assert!(open.err().unwrap().to_string().contains("chmod 600"));
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let kept = serve(listener, vec![Mood::Fine]);
    let exporters = export_to(&word, state.path());
    exporters.line(br#"{"timestamp":"2026-11-21T12:00:00.5+0200","event_type":"alert","note":"\u00e4"}"#);
    assert_eq!(close(exporters).sent, 1);
    let kept = kept.lock().unwrap();
    let head = kept.heads[0].to_ascii_lowercase();
    // `me:s3cret` in base 64.
    assert!(head.contains("authorization: basic bwu6cznjcmv0"), "{head}");
    let row = kept.rows()[0].clone();
    assert_eq!((&row["event_type"], &row["time"]), (&"alert".into(), &"2026-11-21 10:00:00.500000".into()));
    assert!(serde_json::from_str::<Value>(row["event"].as_str().unwrap()).is_ok());
}

#[test]
fn a_queue_on_disk_that_is_full_lets_the_oldest_go_and_counts_them() {
    let port = free_tcp_port();
    let state = tempfile::tempdir().unwrap();
    let exporters = export_to(&format!("clickhouse+http://127.0.0.1:{port}/hivewall.flows?queue_mb=1"), state.path());
    let flows = mixture(4000);
    flows.chunks(500).for_each(|some| exporters.flows(some, &name));
    wait_for("the first losses", || exporters.counters()[0].lost(LossReason::SpoolFull) > 500);
    let kept = serve(TcpListener::bind(("127.0.0.1", port)).unwrap(), vec![Mood::Fine]);
    wait_for("all to be acknowledged", || exporters.counters()[0].queued == 0);
    let counters = close(exporters);
    assert_eq!(counters.given, 4000);
    assert_eq!(counters.sent + counters.lost(LossReason::SpoolFull), 4000, "{counters:?}");
    let ids = ids(&kept.lock().unwrap());
    // A row that gave way while it was on its way counts as lost, and may have arrived.
    assert!(ids.len() as u64 >= counters.sent && counters.sent > 500, "{} rows, {counters:?}", ids.len());
    assert_eq!(ids.iter().max(), Some(&4000));
}
