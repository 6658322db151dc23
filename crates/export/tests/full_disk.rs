//! A disk that really fills up: a small tmpfs in a mount namespace of its own. Needs root.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::thread;

use hivewall_export::{DropReason, Event, LogFormat, LogOptions, LogTotals, LogWriter};
use hivewall_testkit::require_root;
use hivewall_view::{FlowRow, example_flow};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Bytes of the disk: no multiple of an event's, so that a write fails halfway.
const DISK: u64 = 64 * 1024;

fn flow(id: u64) -> Event {
    let mut row = FlowRow::new(&example_flow(), &|_| "eth0".to_owned());
    row.flow_id = id;
    Event::Flow(Box::new(row))
}

/// Logs 200 flows, more than the disk holds, and gives the file's text.
fn fill(format: LogFormat) -> (LogTotals, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    // A mount namespace belongs to a thread; the log's thread is born into that of the thread that starts it.
    thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), Some(format!("size={DISK}").as_str())).unwrap();
        log_into(format, &path.join("log"))
    })
    .join()
    .unwrap()
}

fn log_into(format: LogFormat, path: &Path) -> (LogTotals, String) {
    let options = LogOptions { format, path: Some(path.to_owned()), ..LogOptions::default() };
    let log = LogWriter::start(&options).unwrap();
    (0..200).for_each(|id| log.send(flow(id)));
    let totals = log.close();
    assert_eq!(totals.pending(), 0, "{totals:?}");
    assert_eq!(totals.accepted, totals.written + totals.dropped(DropReason::DiskFull), "{totals:?}");
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(text.len() as u64, totals.bytes, "half an event is taken back and not counted");
    assert!(text.len() as u64 <= DISK);
    (totals, text)
}

#[test]
fn a_full_disk_keeps_whole_lines_and_counts_the_rest() {
    require_root!();
    let (totals, text) = fill(LogFormat::Jsonl);
    assert!(totals.written > 30 && totals.dropped(DropReason::DiskFull) > 0, "{totals:?}");
    assert_eq!(text.lines().count() as u64, totals.written);
    for (id, line) in text.lines().enumerate() {
        assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap()["flow_id"], id);
    }
}

#[test]
fn a_json_document_on_a_full_disk_is_still_closed() {
    require_root!();
    let (totals, text) = fill(LogFormat::Json);
    let events: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(events.len() as u64, totals.written);
    assert!(totals.dropped(DropReason::DiskFull) > 0, "{totals:?}");
}
