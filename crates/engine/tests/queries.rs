//! Questions about flows: order, pages, filters, over what lives and what was kept.
//!
//! The filter language itself is tested in `hivewall-view`. Invariant: pages put together are the whole answer.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{Desk, START, at, patient, tcp, udp};
use hivewall_engine::Limits;
use hivewall_view::query::LIMIT_MAX;
use hivewall_view::{Filter, FlowRow, Query, Sort};

/// Some thousand flows, half of them closed, with many ties in every order.
fn many() -> Desk {
    let mut desk = Desk::new(Limits { closed_keep: 100_000, ..patient() });
    let flow = |n: u32| {
        let rec = udp(&format!("10.0.{}.{}:1000", n / 250, n % 250), "192.0.2.1:53");
        let (first, length) = (i64::from(n % 7) * 100, i64::from(n % 11) * 50);
        rec.counts(1 + n % 5, 100 + n % 13 * 10).during(first, first + length)
    };
    desk.feed((0..1500).map(flow)).stop();
    desk.feed((1500..3000).map(flow)).tick(2000);
    desk
}

fn key(sort: Sort, row: &FlowRow) -> u64 {
    let time = |text: &str| {
        text.bytes().skip(5).filter(u8::is_ascii_digit).fold(0_u64, |n, digit| n * 10 + u64::from(digit - b'0'))
    };
    match sort {
        Sort::Bytes => row.bytes,
        Sort::Packets => row.packets,
        Sort::Rate => row.bits_per_second as u64,
        Sort::Start => time(&row.start),
        Sort::Last => time(&row.end),
        Sort::Duration => (row.duration_seconds * 1e6).round() as u64,
    }
}

#[test]
fn every_order_is_largest_first_and_older_flows_first_among_equals() {
    let desk = many();
    for (sort, name) in Sort::ALL {
        let page = desk.page(*sort, 0, LIMIT_MAX);
        assert_eq!(page.flows.len(), 3000);
        let keys: Vec<_> = page.flows.iter().map(|row| (key(*sort, row), row.flow_id)).collect();
        assert!(keys.is_sorted_by(|x, y| x.0 > y.0 || x.0 == y.0 && x.1 < y.1), "{name}");
    }
}

#[test]
fn pages_put_together_are_the_whole() {
    let desk = many();
    for (sort, name) in Sort::ALL {
        let whole = desk.page(*sort, 0, LIMIT_MAX);
        assert_eq!(whole.next_offset, None);
        for size in [1, 7, 999, 1500, 2999, 3000] {
            let (mut rows, mut offset) = (Vec::new(), Some(0));
            while let Some(from) = offset {
                // One row a page is slow to go through to the end.
                if size == 1 && from > 40 {
                    break;
                }
                let page = desk.page(*sort, from as usize, size);
                assert_eq!((page.matched, page.searched), (3000, 3000));
                rows.extend(page.flows);
                offset = page.next_offset;
            }
            assert_eq!(rows[..], whole.flows[..rows.len()], "{name} by {size}");
            assert!(size == 1 || rows.len() == 3000);
        }
    }
}

#[test]
fn a_page_beyond_the_end_is_empty_and_no_number_is_too_large() {
    let desk = many();
    for offset in [3000, 3001, usize::MAX] {
        let page = desk.page(Sort::Bytes, offset, usize::MAX);
        assert_eq!((page.flows.len(), page.next_offset, page.matched), (0, None, 3000));
    }
    assert_eq!(desk.page(Sort::Bytes, 0, 0).flows.len(), 100, "0 is the default");
    let empty = Desk::new(patient()).page(Sort::Bytes, 0, 10);
    assert_eq!((empty.matched, empty.searched, empty.next_offset, empty.reaches_back_to), (0, 0, None, None));
}

fn found(desk: &Desk, filter: &str) -> (u64, Vec<FlowRow>) {
    let filter = Filter::parse(filter, START).unwrap();
    let page = desk.engine.flows(&Query { filter, sort: Sort::Start, limit: LIMIT_MAX, ..Query::default() });
    (page.matched, page.flows)
}

#[test]
fn a_filter_looks_at_what_lives_and_at_what_was_kept() {
    let mut desk = Desk::new(Limits::default());
    desk.feed([
        tcp("10.0.0.1:1000", "10.0.0.2:443").flags("SO"),
        tcp("10.0.0.2:443", "10.0.0.1:1000").flags("RA").at(1),
    ]);
    desk.run(5000)
        .feed([tcp("10.0.0.1:1001", "10.0.0.2:443").flags("SO").at(5000), udp("10.0.0.3:1", "10.0.0.4:53").at(5100)]);
    assert_eq!(found(&desk, "").0, 3);
    assert_eq!(found(&desk, "port:443").0, 2);
    let (matched, rows) = found(&desk, "ip:10.0.0.1 state:closed");
    assert_eq!((matched, rows[0].flow_id, rows[0].end_reason.as_deref()), (1, 1, Some("reset")));
    assert_eq!(found(&desk, "ip:10.0.0.1 state:active").1[0].flow_id, 2);
    assert_eq!(found(&desk, "!proto:tcp").1[0].protocol, "udp");
    assert_eq!(found(&desk, "ip:192.0.2.1").0, 0);
}

#[test]
fn the_snapshot_shows_the_largest_flows_and_none_when_told_so() {
    for (shown, want) in [(0, 0), (3, 3), (100, 50)] {
        let mut desk = Desk::new(Limits { flows_shown: shown, ..patient() });
        desk.feed((1..=50).map(|n| udp(&format!("10.0.0.{n}:1"), "10.0.0.99:2").counts(1, 1000 + n)));
        let flows = desk.snapshot().flows;
        assert_eq!(flows.len(), want);
        assert!(flows.iter().zip((0..50).rev()).all(|(row, n)| row.bytes == 1001 + n));
    }
}

#[test]
fn a_page_has_the_time_of_the_engine() {
    let mut desk = Desk::new(patient());
    desk.tick(1500);
    assert_eq!(desk.engine.now(), at(1500));
    assert_eq!(desk.page(Sort::Bytes, 0, 1).time, "2023-11-14T22:13:21.500000Z");
}
