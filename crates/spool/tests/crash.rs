//! The process is killed at any moment: what was synced is there, in order, and nothing is there twice.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hivewall_spool::{Limits, Spool};

const FILE: &str = "HIVEWALL_SPOOL_CRASH_FILE";
const LIMITS: Limits = Limits { bytes_max: 64 << 20, items_max: 1_000_000 };

/// Runs in a process of its own: pushes without end, and says after each sync how many are durable.
#[test]
#[ignore = "the process that `a_killed_process_…` kills"]
fn child() {
    let path = std::env::var(FILE).expect("started by the other test");
    let mut spool = Spool::open(path.as_ref(), LIMITS).unwrap();
    let mut next = spool.len() as u64;
    loop {
        for _ in 0..70 {
            spool.push(format!("item {next}").as_bytes()).unwrap();
            next += 1;
        }
        spool.sync().unwrap();
        println!("\ndurable {next}");
    }
}

#[test]
fn a_killed_process_leaves_what_was_synced_in_order_and_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.redb");
    let exe = std::env::current_exe().unwrap();
    for round in 0..12_u64 {
        let mut child = Command::new(&exe)
            .args(["--ignored", "--exact", "child", "--nocapture"])
            .env(FILE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed after another number of syncs each round, in the midst of whatever it does then.
        let wanted = 1 + (round * 7 + 3) % 23;
        let stop = Instant::now() + Duration::from_secs(60);
        let (mut durable, mut confirmed) = (0, 0);
        for line in lines {
            if let Some(count) = line.unwrap().strip_prefix("durable ") {
                durable = count.parse::<u64>().unwrap();
                confirmed += 1;
                if confirmed == wanted {
                    child.kill().unwrap();
                }
            }
            assert!(Instant::now() < stop, "the child does not come forward");
        }
        child.wait().unwrap();
        let mut spool = Spool::open(&path, LIMITS).unwrap();
        let counters = spool.counters();
        assert_eq!((counters.set_aside, counters.lost()), (0, 0), "round {round}");
        let found = spool.peek(usize::MAX).unwrap();
        assert!(found.len() as u64 >= durable, "round {round}: {} of {durable}", found.len());
        for (index, (_, item)) in found.iter().enumerate() {
            assert_eq!(item, format!("item {index}").as_bytes(), "round {round}: gaps or doubles");
        }
        assert!(found.is_sorted_by(|a, b| a.0 < b.0));
    }
}
