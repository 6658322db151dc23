//! A disk without room: senders go on, the loss is counted and shown, and writing goes on by itself when there is room.
//! On a small tmpfs, which needs root.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{ask, flow, name, now, options};
use hivewall_store::{Store, StoreLoss};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A mounted tmpfs; unmounted when it goes.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(bytes: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        mount(Some("tmpfs"), directory.path(), Some("tmpfs"), MsFlags::empty(), Some(size.as_str())).unwrap();
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The directory below cannot be removed otherwise, and that would be told.
        let _ = umount2(self.path(), MntFlags::MNT_DETACH);
    }
}

fn until_it_holds(what: &str, holds: impl Fn() -> bool) {
    let stop = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < stop, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_full_disk_stops_no_sender_is_told_and_is_over_when_there_is_room() {
    hivewall_testkit::require_root!();
    let disk = SmallDisk::mount(8 << 20);
    let store = Store::open(options(&disk.path().join("history"))).unwrap();
    let sender = store.sender();
    let reader = store.reader();
    let batch = |first: u64| -> Vec<_> { (first..first + 500).map(|n| Arc::new(flow(n, now()))).collect() };
    assert_eq!(sender.push(&batch(0), &name), 0);
    store.flush();
    assert_eq!(reader.info().failure, None);

    // Something else takes all the room there is.
    let hog = disk.path().join("hog");
    let full = std::fs::write(&hog, vec![1_u8; 16 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let mut handed_over = 500;
    while reader.lost(StoreLoss::DiskFull) == 0 {
        let begun = Instant::now();
        assert_eq!(sender.push(&batch(handed_over), &name), 0);
        assert!(begun.elapsed() < Duration::from_secs(1), "a sender waited");
        handed_over += 500;
        store.flush();
        assert!(handed_over < 1_000_000, "the disk is full and nothing is said");
    }
    assert!(reader.info().failure.is_some_and(|text| text.contains("space")), "{:?}", reader.info().failure);
    let kept = reader.info().flows;
    assert_eq!(kept + reader.lost(StoreLoss::DiskFull) + reader.lost(StoreLoss::WriteFailed), handed_over);
    // What is in memory can be asked for all the while.
    assert_eq!(ask(&reader, "").flows.len() as u64, kept);

    std::fs::remove_file(&hog).unwrap();
    until_it_holds("writing goes on", || reader.info().failure.is_none());
    let lost = reader.lost(StoreLoss::DiskFull) + reader.lost(StoreLoss::WriteFailed);
    assert_eq!(sender.push(&batch(handed_over), &name), 0);
    store.flush();
    assert_eq!(reader.lost(StoreLoss::DiskFull) + reader.lost(StoreLoss::WriteFailed), lost);
    drop(store);
    let store = Store::open(options(&disk.path().join("history"))).unwrap();
    let found = ask(&store.reader(), "").flows.len() as u64;
    assert_eq!(found, handed_over + 500 - lost, "all that was kept is there after reopening");
}
