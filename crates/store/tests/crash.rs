//! The process is killed at any moment: what was durable is there once, and nothing is there twice.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{ask, flow, ids, name, now, options};
use hivewall_store::Store;

const DIRECTORY: &str = "HIVEWALL_STORE_CRASH_DIRECTORY";

/// Runs in a process of its own: hands flows over without end, and says after each flush how many are durable.
#[test]
#[ignore = "the process that `a_killed_process_…` kills"]
fn child() {
    let directory = std::env::var(DIRECTORY).expect("started by the other test");
    let mut options = options(directory.as_ref());
    options.segment_rows = 500;
    let store = Store::open(options).unwrap();
    let sender = store.sender();
    let mut next = store.reader().info().flows;
    loop {
        let flows: Vec<_> = (next..next + 70).map(|number| Arc::new(flow(number, now()))).collect();
        assert_eq!(sender.push(&flows, &name), 0);
        next += 70;
        store.flush();
        println!("\ndurable {next}");
    }
}

#[test]
fn a_killed_process_leaves_what_was_durable_and_nothing_twice() {
    let directory = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    let mut total = 0;
    for round in 0..12_u64 {
        let mut child = Command::new(&exe)
            .args(["--ignored", "--exact", "child", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed after another number of flushes each round, in the midst of whatever the writer does then.
        let mut durable = total;
        let stop = Instant::now() + Duration::from_secs(60);
        let wanted = 1 + (round * 7 + 3) % 23;
        let mut confirmed = 0;
        for line in lines {
            let line = line.unwrap();
            if let Some(count) = line.strip_prefix("durable ") {
                durable = count.parse().unwrap();
                confirmed += 1;
                if confirmed == wanted {
                    child.kill().unwrap();
                }
            }
            assert!(Instant::now() < stop, "the child does not come forward");
        }
        child.wait().unwrap();
        let store = Store::open(options(directory.path())).unwrap();
        let found = ids(&ask(&store.reader(), ""));
        assert!(found.len() as u64 >= durable, "round {round}: {} of {durable}", found.len());
        assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>(), "round {round}: gaps or doubles");
        total = found.len() as u64;
        // Sums see every flow once, too: some from roll-ups, some from flows.
        let range = (now() - Duration::from_secs(3 * 3600), now() + Duration::from_secs(60));
        let steps = store.reader().series(range, Duration::from_secs(100), common::until()).unwrap().steps;
        assert_eq!(steps.iter().map(|step| step.sums.flows).sum::<u64>(), total);
        let talkers = store.reader().top_talkers(range, hivewall_store::By::Protocol, 9, common::until()).unwrap();
        assert_eq!(talkers.rows.iter().map(|row| row.sums.flows).sum::<u64>(), total, "round {round}");
    }
}
