//! Any sequence of calls, restarts and crashes against a plain list; any damage to the file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::fs;

use hivewall_spool::{Limits, Spool};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Act {
    Push(usize),
    Peek(usize),
    Ack(usize),
    Sync,
    /// The process ends as it should.
    Restart,
    /// The process is gone from one moment to the next: its file as it is, and nothing of its memory.
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        10 => (0_usize..60).prop_map(Act::Push),
        4 => (0_usize..8).prop_map(Act::Peek),
        4 => (0_usize..5).prop_map(Act::Ack),
        3 => Just(Act::Sync),
        1 => Just(Act::Restart),
        2 => Just(Act::Crash),
    ]
}

type Items = VecDeque<(u64, Vec<u8>)>;

const LIMITS: Limits = Limits { bytes_max: 400, items_max: 12 };

fn check_counters(spool: &Spool) {
    let counters = spool.counters();
    assert_eq!(counters.found + counters.pushed, counters.acked + counters.lost() + spool.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn it_is_a_list_of_the_newest_that_survives_up_to_what_was_durable(acts in vec(act(), 1..60)) {
        let directory = tempfile::tempdir().unwrap();
        let path = |number: usize| directory.path().join(format!("{number}.redb"));
        let mut file = 0;
        let mut spool = Spool::open(&path(file), LIMITS).unwrap();
        let (mut items, mut durable, mut syncs) = (Items::new(), Items::new(), 0);
        for (step, act) in acts.into_iter().enumerate() {
            match act {
                Act::Push(size) => {
                    let item = vec![step as u8; size];
                    items.push_back((spool.push(&item).unwrap(), item));
                    while items.len() > LIMITS.items_max || items.iter().map(|(_, item)| item.len() as u64).sum::<u64>() > LIMITS.bytes_max {
                        items.pop_front();
                    }
                }
                Act::Peek(count) => {
                    let want: Vec<_> = items.iter().take(count).cloned().collect();
                    prop_assert_eq!(spool.peek(count).unwrap(), want);
                }
                Act::Ack(count) => {
                    if let Some((number, _)) = items.get(count).cloned() {
                        spool.ack(number);
                        items.drain(..=count);
                    }
                }
                Act::Sync => {
                    spool.sync().unwrap();
                    durable.clone_from(&items);
                }
                Act::Restart => {
                    drop(spool);
                    spool = Spool::open(&path(file), LIMITS).unwrap();
                    (durable, syncs) = (items.clone(), 0);
                }
                Act::Crash => {
                    fs::copy(path(file), path(file + 1)).unwrap();
                    file += 1;
                    spool = Spool::open(&path(file), LIMITS).unwrap();
                    (items, syncs) = (durable.clone(), 0);
                }
            }
            // On a slow machine a second may pass: then it was made durable without being asked.
            if spool.counters().syncs != syncs {
                syncs = spool.counters().syncs;
                durable.clone_from(&items);
            }
            prop_assert_eq!(spool.len(), items.len());
            prop_assert_eq!(spool.bytes(), items.iter().map(|(_, item)| item.len() as u64).sum::<u64>());
            check_counters(&spool);
        }
        prop_assert_eq!(spool.peek(usize::MAX).unwrap(), Vec::from(items));
    }

    #[test]
    fn whatever_is_damaged_what_comes_out_is_what_went_in(
        at in 0.0_f64..1.0, length in 1_usize..5000, byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.redb");
        let mut spool = Spool::open(&path, Limits { bytes_max: 1 << 20, items_max: 1000 }).unwrap();
        let item = |number: usize| vec![number as u8; 10 + number * 7];
        for number in 0..200 {
            spool.push(&item(number)).unwrap();
        }
        drop(spool);

        let mut bytes = fs::read(&path).unwrap();
        let from = (at * bytes.len() as f64) as usize;
        let to = (from + length).min(bytes.len());
        if cut {
            bytes.truncate(from);
        } else {
            bytes[from..to].iter_mut().for_each(|old| *old ^= byte);
        }
        fs::write(&path, bytes).unwrap();

        let mut spool = Spool::open(&path, Limits { bytes_max: 1 << 20, items_max: 1000 }).unwrap();
        let found: Vec<_> = spool.peek(usize::MAX).unwrap().into_iter().map(|(_, item)| item).collect();
        if spool.counters().set_aside == 0 && from > 0 {
            prop_assert_eq!(found, (0..200).map(item).collect::<Vec<_>>());
        } else {
            prop_assert_eq!(found, Vec::<Vec<u8>>::new());
        }
        check_counters(&spool);
        spool.push(b"it goes on").unwrap();
        spool.sync().unwrap();
    }
}
