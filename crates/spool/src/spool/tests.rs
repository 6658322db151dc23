//! One queue at a time, by its public calls; what is damaged on disk, by hand.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const ROOMY: Limits = Limits { bytes_max: 1 << 20, items_max: 1000 };

fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queues/mail.redb");
    (directory, path)
}

/// What is in the queue, as text.
fn texts(spool: &mut Spool) -> Vec<String> {
    let items = spool.peek(usize::MAX).unwrap();
    items.into_iter().map(|(_, item)| String::from_utf8(item).unwrap()).collect()
}

fn push_all(spool: &mut Spool, items: &[&str]) -> Vec<u64> {
    items.iter().map(|item| spool.push(item.as_bytes()).unwrap()).collect()
}

#[test]
fn items_come_out_in_order_and_stay_until_they_are_acknowledged() {
    let (_directory, path) = place();
    let mut spool = Spool::open(&path, ROOMY).unwrap();
    let numbers = push_all(&mut spool, &["a", "b", "c"]);
    assert!(numbers.is_sorted() && numbers[0] < numbers[2]);
    assert_eq!(texts(&mut spool), ["a", "b", "c"]);
    spool.sync().unwrap();
    push_all(&mut spool, &["d"]);
    assert_eq!(texts(&mut spool), ["a", "b", "c", "d"], "from disk and from memory");
    assert_eq!(spool.peek(2).unwrap(), [(numbers[0], b"a".to_vec()), (numbers[1], b"b".to_vec())]);
    spool.ack(numbers[1]);
    assert_eq!(texts(&mut spool), ["c", "d"]);
    assert_eq!((spool.len(), spool.bytes(), spool.counters().acked), (2, 2, 2));
    assert_eq!(spool.peek(0).unwrap(), []);
}

#[test]
fn in_memory_it_is_the_same_queue_without_a_file() {
    let mut spool = Spool::in_memory(Limits { bytes_max: 1 << 20, items_max: 2 });
    let numbers = push_all(&mut spool, &["a", "b", "c"]);
    spool.sync().unwrap();
    assert_eq!(texts(&mut spool), ["b", "c"]);
    spool.ack(numbers[1]);
    assert_eq!(texts(&mut spool), ["c"]);
    assert_eq!((spool.path(), spool.counters().lost_full, spool.counters().syncs), (None, 1, 0));
}

#[test]
fn what_was_left_is_there_after_a_restart_and_numbers_only_rise() {
    let (_directory, path) = place();
    let mut spool = Spool::open(&path, ROOMY).unwrap();
    let numbers = push_all(&mut spool, &["a", "b"]);
    spool.ack(numbers[0]);
    drop(spool);
    let mut spool = Spool::open(&path, ROOMY).unwrap();
    assert_eq!((spool.counters().found, spool.counters().pushed), (1, 0));
    let next = spool.push(b"c").unwrap();
    assert!(next > numbers[1]);
    assert_eq!(texts(&mut spool), ["b", "c"]);
    spool.ack(next);
    drop(spool);
    let mut spool = Spool::open(&path, ROOMY).unwrap();
    assert!(spool.is_empty());
    assert!(spool.push(b"d").unwrap() > next, "also when nothing was left");
}

#[test]
fn a_full_queue_lets_the_oldest_go_and_counts_them() {
    let (_directory, path) = place();
    let mut spool = Spool::open(&path, Limits { bytes_max: 10, items_max: 3 }).unwrap();
    push_all(&mut spool, &["a", "bb", "c"]);
    spool.sync().unwrap();
    push_all(&mut spool, &["d"]);
    assert_eq!(texts(&mut spool), ["bb", "c", "d"], "by number of items");
    push_all(&mut spool, &["12345678"]);
    assert_eq!(texts(&mut spool), ["c", "d", "12345678"], "by bytes: ten are held");
    push_all(&mut spool, &["123"]);
    assert_eq!(texts(&mut spool), ["123"], "as many as it takes");
    let counters = spool.counters();
    assert_eq!((counters.lost_full, counters.lost_full_bytes, counters.lost()), (5, 13, 5));
    drop(spool);
    assert_eq!(texts(&mut Spool::open(&path, ROOMY).unwrap()), ["123"], "what gave way does not come back");
}

#[test]
fn an_item_larger_than_the_queue_is_refused_and_pushes_nothing_out() {
    let (_directory, path) = place();
    let mut spool = Spool::open(&path, Limits { bytes_max: 3, items_max: 3 }).unwrap();
    push_all(&mut spool, &["a"]);
    let error = spool.push(b"four").unwrap_err().to_string();
    assert_eq!(error, "an item of 4 bytes is larger than the whole queue of 3; raise the queue's limit");
    assert_eq!(texts(&mut spool), ["a"]);
    assert_eq!((spool.counters().refused_too_large, spool.counters().pushed), (1, 1));
}

#[test]
fn a_queue_found_larger_than_its_limits_keeps_the_newest() {
    let (_directory, path) = place();
    push_all(&mut Spool::open(&path, ROOMY).unwrap(), &["a", "b", "c"]);
    let mut spool = Spool::open(&path, Limits { items_max: 2, ..ROOMY }).unwrap();
    assert_eq!(texts(&mut spool), ["b", "c"]);
    assert_eq!((spool.counters().found, spool.counters().lost_full), (3, 1));
}

#[test]
fn what_is_acknowledged_before_it_is_durable_costs_the_disk_nothing() {
    let (_directory, path) = place();
    let mut spool = Spool::open(&path, ROOMY).unwrap();
    let number = spool.push(b"a").unwrap();
    spool.ack(number);
    spool.sync().unwrap();
    assert_eq!(spool.counters().syncs, 0);
}

#[test]
fn many_items_become_durable_without_being_asked() {
    let (_directory, path) = place();
    let mut spool = Spool::open(&path, Limits { bytes_max: 1 << 30, items_max: 10_000 }).unwrap();
    for _ in 0..SYNC_ITEMS {
        spool.push(b"a").unwrap();
    }
    assert_eq!(spool.counters().syncs, 1);
    spool.push(&vec![0; SYNC_BYTES as usize]).unwrap();
    assert_eq!(spool.counters().syncs, 2);
}

#[test]
fn an_item_changed_on_disk_is_left_out_and_counted() {
    let (_directory, path) = place();
    let mut spool = Spool::open(&path, ROOMY).unwrap();
    let numbers = push_all(&mut spool, &["a", "b", "c"]);
    drop(spool);
    crate::file::damage(&path, numbers[1]);
    let mut spool = Spool::open(&path, ROOMY).unwrap();
    assert_eq!(texts(&mut spool), ["a", "c"]);
    let counters = spool.counters();
    assert_eq!((counters.found, counters.lost_corrupt, counters.set_aside), (3, 1, 0));
}

#[test]
fn a_file_that_is_no_queue_is_put_aside_and_kept() {
    let (_directory, path) = place();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "a letter to somebody").unwrap();
    let mut spool = Spool::open(&path, ROOMY).unwrap();
    assert_eq!(spool.counters().set_aside, 1);
    push_all(&mut spool, &["a"]);
    assert_eq!(texts(&mut spool), ["a"]);
    assert_eq!(std::fs::read_to_string(path.with_extension("redb.damaged")).unwrap(), "a letter to somebody");
}

#[test]
fn a_second_owner_is_refused() {
    let (_directory, path) = place();
    let _spool = Spool::open(&path, ROOMY).unwrap();
    let error = Spool::open(&path, ROOMY).unwrap_err();
    assert!(matches!(error, SpoolError::InUse { .. }), "{error}");
}

#[test]
fn only_its_owner_can_read_the_file() {
    let (_directory, path) = place();
    let _spool = Spool::open(&path, ROOMY).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn a_place_that_cannot_be_used_is_named() {
    let (_directory, path) = place();
    std::fs::write(path.parent().unwrap(), "a file in the way").unwrap();
    let error = Spool::open(&path, ROOMY).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("give it another place"), "{error}");
}

#[test]
fn the_file_does_not_grow_with_what_passes_through_it() {
    let (_directory, path) = place();
    let limits = Limits { bytes_max: 1 << 20, items_max: 1000 };
    let mut spool = Spool::open(&path, limits).unwrap();
    for round in 0..200_u32 {
        for _ in 0..50 {
            spool.push(&[round as u8; 1500]).unwrap();
        }
        spool.sync().unwrap();
    }
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size <= 3 << 20, "15 MB passed through a queue of 1 MiB, and the file has {size} bytes");
}
