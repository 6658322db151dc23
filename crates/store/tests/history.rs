//! The store as a whole: reopening, retention, roll-ups against flows, readers beside the writer, exports, migration.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{ask, flow, ids, name, now, options, push, until};
use hivewall_model::{Flow, Process, Timestamp};
use hivewall_store::{Basis, By, ExportFormat, Store, StoreError, StoreLoss, Talkers};
use hivewall_view::{Filter, FlowRow, Query};

/// Flows that ended one a second, the last one a second ago.
fn recent(count: u64) -> Vec<Flow> {
    let now = now();
    (0..count).map(|number| flow(number, now - Duration::from_secs(count - number))).collect()
}

#[test]
fn what_was_handed_over_is_there_after_reopening_whether_in_segments_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let flows = recent(2_500);
    let store = Store::open(options(directory.path())).unwrap();
    let id = store.id();
    push(&store, flows);
    let before = store.reader().info();
    assert_eq!((before.flows, before.segments), (2_500, 2));
    drop(store);
    let store = Store::open(options(directory.path())).unwrap();
    assert_eq!(store.id(), id);
    assert_eq!(ids(&ask(&store.reader(), "")), (0..2_500).collect::<Vec<_>>());
    push(&store, [flow(9_999, now())]);
    assert_eq!(store.reader().info().flows, 2_501);
}

#[test]
fn a_second_process_is_told_that_the_store_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let _store = Store::open(options(directory.path())).unwrap();
    let refused = Store::open(options(directory.path())).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
}

#[test]
fn flows_too_old_are_removed_and_the_answer_says_how_far_it_goes_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(directory.path());
    options.max_age = Duration::from_secs(1_500);
    let store = Store::open(options).unwrap();
    push(&store, recent(3_000));
    store.seal();
    let reader = store.reader();
    // Segments hold 1,000 flows of 1,000 seconds each: the first is too old as a whole.
    assert_eq!(reader.lost(StoreLoss::Expired), 1_000);
    assert_eq!(reader.info().flows, 2_000);
    let page = ask(&reader, "last:1h");
    assert_eq!(page.reaches_back_to.as_deref(), Some(page.flows[0].end.as_str()));
    assert_eq!(ask(&reader, "last:10m").reaches_back_to, None);
    let files = std::fs::read_dir(directory.path()).unwrap();
    let parquet =
        files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "parquet")).count();
    assert_eq!(parquet, 2);
}

#[test]
fn the_oldest_flows_go_when_there_are_too_many_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(directory.path());
    // The state alone has about 1.5 MB when it is new, and grows: ten segments of 1,000 rows do not fit beside it.
    let store = Store::open(options.clone()).unwrap();
    push(&store, recent(1_000));
    let one = store.reader().info().bytes;
    drop(store);
    options.max_bytes = one + 20_000;
    let store = Store::open(options).unwrap();
    push(&store, recent(10_000));
    let reader = store.reader();
    assert!(reader.lost(StoreLoss::Evicted) >= 1_000);
    let left = ids(&ask(&reader, ""));
    assert_eq!(left.len() as u64, 11_000 - reader.lost(StoreLoss::Evicted));
    assert!(left.contains(&9_999), "the latest stay");
}

#[test]
fn roll_ups_say_what_the_flows_say() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(options(directory.path())).unwrap();
    let process = Arc::new(Process { pid: 7, comm: "curl".into(), ..Process::default() });
    let flows = recent(7_300).into_iter().map(|mut flow| {
        // Four sources, one of them also a destination; two of three flows have a process.
        flow.tuple.client = [10, 0, 0, 1 + (flow.id.0 % 4) as u8].into();
        flow.client_process = (!flow.id.0.is_multiple_of(3)).then(|| Arc::clone(&process));
        flow
    });
    push(&store, flows);
    let reader = store.reader();
    let hour = 3_600_000_000_000;
    let end = Timestamp((now().0 / hour + 1) * hour);
    let range = (end - Duration::from_secs(4 * 3600), end);
    for by in By::ALL {
        let rolled = reader.top_talkers(range, by, 3, until()).unwrap();
        let exact = reader.exact_top_talkers(range, by, 3, until()).unwrap();
        assert_eq!((rolled.basis, exact.basis), (Basis::Hours, Basis::Flows));
        assert_eq!(rolled.lacks_at_most, 0);
        assert_eq!(
            Talkers { basis: Basis::Flows, reaches_back_to: None, ..rolled },
            Talkers { reaches_back_to: None, ..exact }
        );
    }
    let minutes = reader.series(range, Duration::from_secs(60), until()).unwrap();
    let odd = reader.series((range.0, range.1), Duration::from_secs(61), until()).unwrap();
    assert_eq!((minutes.basis, odd.basis), (Basis::Minutes, Basis::Flows));
    let sum = |steps: &[hivewall_store::Step]| steps.iter().map(|step| step.sums.bytes).sum::<u64>();
    assert_eq!(sum(&minutes.steps), sum(&odd.steps));
    assert_eq!(minutes.steps.iter().map(|step| step.sums.flows).sum::<u64>(), 7_300);
}

#[test]
fn roll_ups_outlive_the_flows_they_were_made_of() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(directory.path());
    options.max_age = Duration::from_secs(60);
    let store = Store::open(options).unwrap();
    let old = now() - Duration::from_secs(7_200);
    push(&store, (0..1_000).map(|number| flow(number, old)));
    let reader = store.reader();
    assert_eq!((reader.info().flows, reader.lost(StoreLoss::Expired)), (0, 1_000));
    let range = (now() - Duration::from_secs(9_000), now());
    let talkers = reader.top_talkers(range, By::Protocol, 10, until()).unwrap();
    let found: Vec<_> = talkers.rows.iter().map(|row| (row.key.as_str(), row.sums.flows)).collect();
    assert_eq!(found, [("tcp", 750), ("udp", 250)]);
    assert!(talkers.reaches_back_to.is_some());
}

#[test]
fn readers_see_every_flow_once_while_segments_are_written() {
    const FLOWS: u64 = 20_000;
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(options(directory.path())).unwrap();
    let reader = store.reader();
    let asked = std::thread::spawn(move || {
        let mut seen = 0;
        let mut answers = 0;
        while seen < FLOWS as usize {
            let found = ids(&ask(&reader, ""));
            // Flows come in order: whatever was there is a beginning without gaps and doubles.
            assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>());
            assert!(found.len() >= seen);
            seen = found.len();
            answers += 1;
        }
        answers
    });
    for flows in recent(FLOWS).chunks(700) {
        push(&store, flows.to_vec());
    }
    assert!(asked.join().unwrap() > 1);
    assert_eq!(store.reader().info().segments, 20);
}

#[test]
fn a_full_queue_drops_counts_and_does_not_wait() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(directory.path());
    options.queue_flows = 100;
    let store = Store::open(options).unwrap();
    let flows: Vec<_> = recent(150).into_iter().map(Arc::new).collect();
    let lost = store.sender().push(&flows, &name);
    assert_eq!(lost, 50);
    store.flush();
    assert_eq!(store.reader().lost(StoreLoss::QueueFull), 50);
    assert_eq!(store.reader().info().flows, 100);
    assert_eq!(store.sender().push(&flows[100..], &name), 0, "there is room again");
}

#[test]
fn pages_follow_each_other_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(options(directory.path())).unwrap();
    push(&store, recent(2_500));
    let whole = store.reader().flows(&Query { limit: 3_000, ..Query::default() }, until()).unwrap();
    assert!(whole.flows.is_sorted_by_key(|row| std::cmp::Reverse(row.bytes)));
    let mut pages: Vec<FlowRow> = Vec::new();
    let mut offset = Some(0);
    while let Some(from) = offset {
        let query = Query { limit: 700, offset: from as usize, ..Query::default() };
        let page = store.reader().flows(&query, until()).unwrap();
        assert_eq!(page.matched, 2_500);
        pages.extend(page.flows);
        offset = page.next_offset;
    }
    assert_eq!(pages, whole.flows);
}

#[test]
fn a_question_that_takes_too_long_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(options(directory.path())).unwrap();
    push(&store, recent(1_000));
    let past = std::time::Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
    let refused = store.reader().flows(&Query::default(), past).unwrap_err();
    assert!(matches!(refused, StoreError::Late), "{refused}");
}

#[test]
fn exports_have_every_match_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(options(directory.path())).unwrap();
    push(&store, recent(2_500));
    let reader = store.reader();
    let filter = Filter::parse("port:443", now()).unwrap();
    let query = Query { filter, ..Query::default() };
    let export = |format| {
        let mut out = Vec::new();
        assert_eq!(reader.export(&query, format, &mut out, until()).unwrap(), 625);
        out
    };
    let jsonl = String::from_utf8(export(ExportFormat::Jsonl)).unwrap();
    let rows: Vec<FlowRow> = jsonl.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 625);
    assert!(rows.iter().all(|row| row.dest_port == Some(443)));
    let csv = String::from_utf8(export(ExportFormat::Csv)).unwrap();
    assert_eq!(csv.lines().count(), 626);
    // The exported file is a segment like any other: another store takes it in.
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("000000000001.parquet"), export(ExportFormat::Parquet)).unwrap();
    let other = Store::open(options(elsewhere.path())).unwrap();
    assert_eq!(ask(&other.reader(), "").flows.len(), 625);
}

#[test]
fn a_store_of_version_1_is_brought_up_to_date_and_one_of_the_future_is_refused() {
    const NUMBERS: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("numbers");
    const ROLLUPS: redb::TableDefinition<'_, (u8, u8, i64), &[u8]> = redb::TableDefinition::new("rollups");
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(options(directory.path())).unwrap();
    push(&store, recent(2_000));
    let range = (now() - Duration::from_secs(9_000), now() + Duration::from_secs(60));
    let want = store.reader().top_talkers(range, By::Service, 10, until()).unwrap();
    let id = store.id();
    drop(store);
    let change = |version: u64, forget_rollups: bool| {
        let database = redb::Database::create(directory.path().join("state.redb")).unwrap();
        let write = database.begin_write().unwrap();
        {
            let mut numbers = write.open_table(NUMBERS).unwrap();
            numbers.insert("schema_version", version).unwrap();
            if forget_rollups {
                // Version 1 knew no roll-ups.
                numbers.remove("rolled_through").unwrap();
                write.delete_table(ROLLUPS).unwrap();
            }
        }
        write.commit().unwrap();
    };
    change(1, true);
    let store = Store::open(options(directory.path())).unwrap();
    store.flush();
    let found = store.reader().top_talkers(range, By::Service, 10, until()).unwrap();
    assert_eq!((found.basis, &found.rows), (Basis::Minutes, &want.rows));
    assert_eq!(store.id(), id);
    drop(store);
    change(99, false);
    let refused = Store::open(options(directory.path())).unwrap_err();
    assert!(matches!(refused, StoreError::TooNew { found: 99, known: 2, .. }), "{refused}");
}

#[test]
fn marks_stay() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(options(directory.path())).unwrap();
    store.set_mark("seen", b"123").unwrap();
    drop(store);
    let store = Store::open(options(directory.path())).unwrap();
    assert_eq!(store.mark("seen").unwrap().as_deref(), Some(&b"123"[..]));
    store.set_mark("seen", b"").unwrap();
    assert_eq!(store.mark("seen").unwrap(), None);
}
