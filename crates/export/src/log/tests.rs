//! Rotation, trouble and recovery of a log, with the time as an argument and real files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use hivewall_view::{FlowRow, example_flow};
use tempfile::TempDir;

use super::*;
use crate::counters::LogTotals;

struct Bench {
    _directory: TempDir,
    path: PathBuf,
    log: Log,
    counters: Arc<LogCounters>,
    now: Instant,
    next: u64,
}

impl Bench {
    fn new(format: LogFormat, rotation: Rotation) -> Self {
        Self::after(format, rotation, |_| {})
    }

    /// With a directory that `before` has prepared; it gets the log's path.
    fn after(format: LogFormat, rotation: Rotation, before: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("eve.log");
        before(&path);
        let now = Instant::now();
        let counters = Arc::new(LogCounters::default());
        let destination = Destination::open(&path, now).unwrap();
        let abandoned = Arc::default();
        let log = Log::new(format, rotation, destination, Arc::clone(&counters), abandoned, now).unwrap();
        Self { _directory: directory, path, log, counters, now, next: 0 }
    }

    /// Logs flows with rising numbers.
    fn push(&mut self, flows: usize) {
        for _ in 0..flows {
            self.counters.accept();
            self.log.push(&flow(self.next), self.now);
            self.next += 1;
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.log.tick(self.now);
    }

    fn flush(&mut self) {
        self.pass(FLUSH_INTERVAL);
    }

    fn finish(&mut self) -> LogTotals {
        self.log.finish(self.now);
        let totals = self.counters.totals();
        assert_eq!(totals.pending(), 0, "an event is neither written nor lost: {totals:?}");
        totals
    }

    fn file(&self, number: usize) -> PathBuf {
        if number == 0 { self.path.clone() } else { PathBuf::from(format!("{}.{number}", self.path.display())) }
    }

    fn text(&self, number: usize) -> String {
        fs::read_to_string(self.file(number)).unwrap()
    }
}

fn flow(id: u64) -> Event {
    let mut row = FlowRow::new(&example_flow(), &|_| "eth0".to_owned());
    row.flow_id = id;
    Event::Flow(Box::new(row))
}

fn by_size(size: u64, keep: usize) -> Rotation {
    Rotation { size: Some(size), interval: None, keep }
}

fn ids_in_lines(text: &str) -> Vec<u64> {
    text.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["flow_id"].as_u64().unwrap())
        .collect()
}

fn ids_in_document(text: &str) -> Vec<u64> {
    let events: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    events.iter().map(|event| event["flow_id"].as_u64().unwrap()).collect()
}

fn ids_in_table(text: &str) -> Vec<u64> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let column = reader.headers().unwrap().iter().position(|name| name == "flow_id").unwrap();
    reader.records().map(|record| record.unwrap()[column].parse().unwrap()).collect()
}

#[test]
fn a_file_is_rotated_before_it_outgrows_its_size_and_the_oldest_goes() {
    let mut bench = Bench::new(LogFormat::Jsonl, by_size(3000, 2));
    bench.push(20);
    let totals = bench.finish();
    assert_eq!((totals.written, totals.dropped_total()), (20, 0));
    let kept: Vec<u64> = [2, 1, 0].into_iter().flat_map(|number| ids_in_lines(&bench.text(number))).collect();
    assert_eq!(kept, (20 - kept.len() as u64..20).collect::<Vec<_>>(), "in order, without a gap, up to the last");
    assert!((0..=2).all(|number| bench.text(number).len() <= 3000));
    assert!(!bench.file(3).exists());
    assert!(totals.rotations > 3, "{totals:?}");
}

#[test]
fn an_event_larger_than_a_file_may_be_gets_a_file_of_its_own() {
    let mut bench = Bench::new(LogFormat::Jsonl, by_size(10, 5));
    bench.push(3);
    assert_eq!(bench.finish().rotations, 2);
    assert_eq!([2, 1, 0].map(|number| ids_in_lines(&bench.text(number))), [[0], [1], [2]]);
}

#[test]
fn with_nothing_to_keep_a_rotated_file_is_gone() {
    let mut bench = Bench::new(LogFormat::Jsonl, by_size(10, 0));
    bench.push(3);
    bench.finish();
    assert_eq!(ids_in_lines(&bench.text(0)), [2]);
    assert!(!bench.file(1).exists());
}

#[test]
fn a_file_is_rotated_when_it_is_old_but_not_when_it_is_empty() {
    let hour = Duration::from_hours(1);
    let mut bench = Bench::new(LogFormat::Jsonl, Rotation { size: None, interval: Some(hour), keep: 3 });
    bench.pass(hour * 2);
    bench.push(1);
    bench.flush();
    bench.pass(Duration::from_mins(59));
    assert_eq!(bench.counters.totals().rotations, 0);
    bench.pass(Duration::from_mins(1));
    assert_eq!(bench.counters.totals().rotations, 1);
    bench.push(1);
    bench.finish();
    assert_eq!([1, 0].map(|number| ids_in_lines(&bench.text(number))), [[0], [1]]);
}

#[test]
fn each_rotated_json_file_is_a_whole_document() {
    let mut bench = Bench::new(LogFormat::Json, by_size(2500, 9));
    bench.push(7);
    bench.finish();
    let ids: Vec<u64> =
        (0..=9).rev().filter(|n| bench.file(*n).exists()).flat_map(|n| ids_in_document(&bench.text(n))).collect();
    assert_eq!(ids, (0..7).collect::<Vec<_>>());
    assert!((0..=9).filter(|n| bench.file(*n).exists()).all(|n| bench.text(n).len() <= 2500));
    assert!(bench.file(2).exists());
}

#[test]
fn each_rotated_table_has_its_header_once() {
    let mut bench = Bench::new(LogFormat::Csv, by_size(2500, 9));
    bench.push(20);
    bench.finish();
    let ids: Vec<u64> =
        (0..=9).rev().filter(|n| bench.file(*n).exists()).flat_map(|n| ids_in_table(&bench.text(n))).collect();
    assert_eq!(ids, (0..20).collect::<Vec<_>>());
    assert!(bench.file(1).exists());
}

#[test]
fn a_log_without_events_is_still_valid() {
    let mut bench = Bench::new(LogFormat::Json, Rotation::default());
    bench.finish();
    assert_eq!(ids_in_document(&bench.text(0)), [0; 0]);
    let mut bench = Bench::new(LogFormat::Csv, Rotation::default());
    bench.finish();
    assert_eq!(ids_in_table(&bench.text(0)), [0; 0]);
}

#[test]
fn a_file_that_cannot_be_renamed_goes_on_growing() {
    // A directory stands where the rotated file should go; not even root can rename a file over it.
    let mut bench = Bench::after(LogFormat::Json, by_size(2000, 1), |path| {
        fs::create_dir(PathBuf::from(format!("{}.1", path.display()))).unwrap();
    });
    bench.push(10);
    let totals = bench.finish();
    assert_eq!((totals.written, totals.rotations), (10, 0));
    assert_eq!(totals.bytes, bench.text(0).len() as u64);
    assert_eq!(ids_in_document(&bench.text(0)), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_symbolic_link_stays_and_its_file_is_rotated() {
    let mut bench = Bench::after(LogFormat::Jsonl, by_size(10, 2), |path| {
        symlink(path.with_file_name("elsewhere"), path).unwrap();
    });
    bench.push(2);
    bench.finish();
    assert!(bench.path.is_symlink());
    assert_eq!(ids_in_lines(&bench.text(0)), [1]);
    assert_eq!(ids_in_lines(&fs::read_to_string(bench.path.with_file_name("elsewhere.1")).unwrap()), [0]);
}

#[test]
fn an_existing_file_of_lines_is_continued_even_when_its_last_line_is_torn() {
    let mut bench = Bench::after(LogFormat::Jsonl, Rotation::default(), |path| fs::write(path, "{\"half\":").unwrap());
    bench.push(2);
    bench.finish();
    let text = bench.text(0);
    let (torn, whole) = text.split_once('\n').unwrap();
    assert_eq!(torn, "{\"half\":");
    assert_eq!(ids_in_lines(whole), [0, 1]);
}

#[test]
fn an_existing_json_document_is_put_aside() {
    let mut bench = Bench::after(LogFormat::Json, Rotation::default(), |path| fs::write(path, "[1]\n").unwrap());
    bench.push(1);
    bench.finish();
    assert_eq!(bench.text(1), "[1]\n");
    assert_eq!(ids_in_document(&bench.text(0)), [0]);
}

#[test]
fn an_existing_table_is_continued_if_its_columns_are_the_same_and_put_aside_if_not() {
    let mut first = Bench::new(LogFormat::Csv, Rotation::default());
    first.push(1);
    first.finish();
    let table = first.text(0);
    let mut bench = Bench::after(LogFormat::Csv, Rotation::default(), |path| fs::write(path, &table).unwrap());
    bench.push(2);
    bench.finish();
    assert_eq!(ids_in_table(&bench.text(0)), [0, 0, 1]);
    let mut bench = Bench::after(LogFormat::Csv, Rotation::default(), |path| fs::write(path, "a,b\r\n").unwrap());
    bench.push(1);
    bench.finish();
    assert_eq!(bench.text(1), "a,b\r\n");
    assert_eq!(ids_in_table(&bench.text(0)), [0]);
}

#[test]
fn a_file_renamed_by_another_program_is_ended_and_a_new_one_begun() {
    let mut bench = Bench::new(LogFormat::Json, Rotation::default());
    bench.push(2);
    fs::rename(&bench.path, bench.file(7)).unwrap();
    bench.log.reopen(bench.now);
    bench.push(1);
    bench.finish();
    assert_eq!(ids_in_document(&bench.text(7)), [0, 1]);
    assert_eq!(ids_in_document(&bench.text(0)), [2]);
}

#[test]
fn a_file_emptied_by_another_program_is_begun_anew() {
    let mut bench = Bench::new(LogFormat::Csv, Rotation::default());
    bench.push(2);
    bench.flush();
    fs::OpenOptions::new().write(true).open(&bench.path).unwrap().set_len(0).unwrap();
    bench.log.reopen(bench.now);
    bench.push(1);
    bench.finish();
    assert_eq!(ids_in_table(&bench.text(0)), [2]);
}

/// A log whose path leads to a device that is always full.
fn full(format: LogFormat) -> Bench {
    Bench::after(format, by_size(100_000, 2), |path| symlink("/dev/full", path).unwrap())
}

#[test]
fn a_full_disk_costs_events_which_are_counted_and_is_tried_less_and_less_often() {
    let mut bench = full(LogFormat::Jsonl);
    let mut attempts = Vec::new();
    let start = bench.now;
    for _ in 0..1200 {
        bench.push(1);
        let before = bench.log.trouble.as_ref().map(|trouble| trouble.retry_at);
        bench.pass(Duration::from_millis(250));
        if bench.log.trouble.as_ref().map(|trouble| trouble.retry_at) != before {
            attempts.push((bench.now - start).as_secs());
        }
    }
    // The pauses are 1, 2, 4 … 60 seconds, each with the quarter of a second that a batch waits.
    assert_eq!(attempts, [0, 1, 3, 8, 16, 32, 64, 125, 185, 245]);
    let totals = bench.finish();
    assert_eq!(totals.dropped(DropReason::DiskFull), 1200);
    assert_eq!((totals.written, totals.bytes), (0, 0));
}

#[test]
fn a_log_is_written_again_when_its_path_leads_to_a_good_file() {
    for format in LogFormat::ALL {
        let mut bench = full(format);
        bench.push(3);
        bench.flush();
        bench.push(2);
        fs::remove_file(&bench.path).unwrap();
        bench.pass(PAUSE_MAX);
        bench.push(2);
        let totals = bench.finish();
        assert_eq!((totals.written, totals.dropped(DropReason::DiskFull)), (2, 5), "{format}");
        match format {
            LogFormat::Console => assert_eq!(bench.text(0).lines().count(), 2),
            LogFormat::Json => assert_eq!(ids_in_document(&bench.text(0)), [5, 6]),
            LogFormat::Csv => assert_eq!(ids_in_table(&bench.text(0)), [5, 6]),
            LogFormat::Jsonl => assert_eq!(ids_in_lines(&bench.text(0)), [5, 6]),
        }
    }
}

#[test]
fn a_file_that_is_gone_with_its_directory_costs_events_until_it_is_back() {
    let mut bench = Bench::after(LogFormat::Json, Rotation::default(), |path| {
        let there = path.with_file_name("there");
        fs::create_dir(&there).unwrap();
        symlink(there.join("log"), path).unwrap();
    });
    let there = bench.path.with_file_name("there");
    bench.push(1);
    bench.flush();
    fs::remove_dir_all(&there).unwrap();
    bench.log.reopen(bench.now);
    bench.push(2);
    bench.pass(PAUSE_MAX);
    bench.push(1);
    fs::create_dir(&there).unwrap();
    bench.pass(PAUSE_MAX);
    bench.push(2);
    let totals = bench.finish();
    assert_eq!((totals.written, totals.dropped(DropReason::WriteError)), (3, 3), "{totals:?}");
    assert_eq!(ids_in_document(&bench.text(0)), [4, 5]);
}
