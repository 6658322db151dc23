//! The log's thread from outside: real files, real pipes, readers that are slow, late or gone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, PipeReader, Read as _, pipe};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hivewall_export::{DropReason, Event, LogError, LogFormat, LogOptions, LogTotals, LogWriter, StatsEvent};
use hivewall_view::{FlowRow, Snapshot, example_flow};

fn flow(id: u64) -> Event {
    let mut row = FlowRow::new(&example_flow(), &|_| "eth0".to_owned());
    row.flow_id = id;
    Event::Flow(Box::new(row))
}

fn options(path: &Path) -> LogOptions {
    LogOptions { format: LogFormat::Jsonl, path: Some(path.to_owned()), ..LogOptions::default() }
}

/// A log into a pipe, with room for `buffer_size` events.
fn piped(buffer_size: usize) -> (LogWriter, PipeReader) {
    let (reader, writer) = pipe().unwrap();
    let options = LogOptions { format: LogFormat::Jsonl, buffer_size, ..LogOptions::default() };
    (LogWriter::start_with(&options, File::from(OwnedFd::from(writer))).unwrap(), reader)
}

fn whole(totals: &LogTotals) {
    assert_eq!(totals.pending(), 0, "each event is written or lost: {totals:?}");
}

#[test]
fn what_was_sent_before_the_close_is_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("eve.jsonl");
    let log = LogWriter::start(&options(&path)).unwrap();
    (0..1000).for_each(|id| log.send(flow(id)));
    let totals = log.close();
    whole(&totals);
    assert_eq!(totals.written, 1000);
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(text.len() as u64, totals.bytes);
    for (id, line) in text.lines().enumerate() {
        let eve: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(eve["flow_id"], id);
    }
}

#[test]
fn several_threads_log_at_once_and_no_line_is_mixed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("eve.jsonl");
    let log = LogWriter::start(&LogOptions { rotate_size: Some(50_000), keep: 100, ..options(&path) }).unwrap();
    thread::scope(|scope| {
        for thread in 0..4 {
            let sender = log.sender();
            scope.spawn(move || (0..500).for_each(|id| sender.send(flow(thread * 1000 + id))));
        }
    });
    let totals = log.close();
    whole(&totals);
    assert_eq!(totals.written, 2000);
    let mut ids = Vec::new();
    for file in fs::read_dir(directory.path()).unwrap() {
        for line in fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            ids.push(serde_json::from_str::<serde_json::Value>(line).unwrap()["flow_id"].as_u64().unwrap());
        }
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..4).flat_map(|thread| thread * 1000..thread * 1000 + 500).collect::<Vec<_>>());
    assert!(totals.rotations > 10);
}

#[test]
fn a_reader_that_does_not_read_never_holds_up_whoever_logs() {
    let (log, mut reader) = piped(100);
    let mut slowest = Duration::ZERO;
    let mut sent = 0;
    while log.counters().totals().dropped(DropReason::QueueFull) < 1000 {
        let before = Instant::now();
        log.send(flow(sent));
        slowest = slowest.max(before.elapsed());
        sent += 1;
    }
    // The thread hangs in a write for all that time; a send that waited for it would not come back at all.
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let text = thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        let totals = log.close();
        whole(&totals);
        assert_eq!(totals.accepted, sent);
        assert_eq!(totals.dropped_total(), totals.dropped(DropReason::QueueFull));
        let text = reading.join().unwrap();
        assert_eq!(text.lines().count() as u64, totals.written);
        text
    });
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[test]
fn a_log_that_nobody_reads_is_closed_in_time() {
    let (log, reader) = piped(1000);
    (0..1000).for_each(|id| log.send(flow(id)));
    let before = Instant::now();
    let totals = log.close_within(Duration::from_millis(50));
    assert!(before.elapsed() < Duration::from_secs(4), "{:?}", before.elapsed());
    whole(&totals);
    assert_eq!(totals.accepted, 1000);
    assert!(totals.dropped(DropReason::Closed) > 0, "{totals:?}");
    drop(reader);
}

#[test]
fn a_reader_that_goes_away_stops_the_log_and_nothing_else() {
    let (log, reader) = piped(10_000);
    drop(reader);
    (0..500).for_each(|id| log.send(flow(id)));
    let totals = log.close();
    whole(&totals);
    assert_eq!((totals.written, totals.dropped(DropReason::ReaderGone)), (0, 500), "{totals:?}");
}

#[test]
fn a_full_device_loses_every_event_by_its_name() {
    let log = LogWriter::start(&options(Path::new("/dev/full"))).unwrap();
    (0..500).for_each(|id| log.send(flow(id)));
    let totals = log.close();
    whole(&totals);
    assert_eq!((totals.written, totals.dropped(DropReason::DiskFull)), (0, 500), "{totals:?}");
    let loss = &totals.losses()["log_disk_full"];
    assert_eq!((loss.count, loss.packets), (500, 0));
    assert!(loss.meaning.contains("full"));
}

#[test]
fn a_named_pipe_without_a_reader_does_not_hold_up_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let log = LogWriter::start(&options(&path)).unwrap();
    (0..3).for_each(|id| log.send(flow(id)));
    let lines = BufReader::new(File::open(&path).unwrap()).lines().take(3);
    assert_eq!(lines.map(Result::unwrap).filter(|line| line.starts_with("{\"timestamp\"")).count(), 3);
    assert_eq!(log.close().written, 3);
}

#[test]
fn statistics_are_passed_over_in_a_table_and_not_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flows.csv");
    let log = LogWriter::start(&LogOptions { format: LogFormat::Csv, ..options(&path) }).unwrap();
    log.send(Event::Stats(Box::new(StatsEvent::new(&Snapshot::default()))));
    log.send(flow(1));
    let totals = log.close();
    assert_eq!((totals.accepted, totals.written), (1, 1));
}

#[test]
fn a_log_is_opened_again_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let (path, moved) = (directory.path().join("eve.jsonl"), directory.path().join("moved"));
    let log = LogWriter::start(&options(&path)).unwrap();
    log.send(flow(1));
    fs::rename(&path, &moved).unwrap();
    log.reopen();
    // The request is taken up before the first event that was sent after it; what came before may go to either file.
    log.send(flow(2));
    let totals = log.close();
    assert_eq!(totals.written, 2);
    assert!(fs::read_to_string(&path).unwrap().contains("\"flow_id\":2"));
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_at_the_start_that_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("eve.jsonl");
    let Err(error) = LogWriter::start(&options(&path)) else { panic!("it opened a file in no directory") };
    let text = error.to_string();
    assert!(text.contains("missing/eve.jsonl") && text.contains("--log-file"), "{text}");
    assert!(matches!(error, LogError::Open { .. }));
    let Err(error) = LogWriter::start(&options(directory.path())) else { panic!("it opened a directory") };
    assert!(matches!(error, LogError::Open { .. }));
}

#[test]
fn a_buffer_for_no_events_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("eve.jsonl");
    let options = LogOptions { buffer_size: 0, ..options(&path) };
    let Err(error) = LogWriter::start(&options) else { panic!("it started") };
    assert!(!path.exists(), "nothing is touched before the options are known to be good");
    assert!(error.to_string().contains("buffer size must be at least 1"), "{error}");
}

#[test]
fn new_files_are_not_for_everyone() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("eve.jsonl");
    LogWriter::start(&options(&path)).unwrap().close();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o027, 0);
}
