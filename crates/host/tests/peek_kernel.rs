//! Copies of payload from the loaded datapath: their budget, the switch, and the way through a source.
//!
//! Which packets are copied is compared in `diff_kernel_and_user_space`. Invariant: what is not copied is counted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod diff_twins;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use diff_twins::{Kernel, Meta, hash_seed, pin};
use hivewall_datapath::Direction;
use hivewall_host::ebpf::Geometry;
use hivewall_host::source::{Batch, EbpfOptions, EbpfSource, Source as _, wall_clock};
use hivewall_testkit::netns::Lab;
use hivewall_testkit::packet::{SYN, frame};
use hivewall_testkit::require_root;

fn kernel(peeks_per_second: u32) -> Kernel {
    let cpu = pin();
    let geometry = Geometry { peeks_per_second, ..Geometry::new(1024, 1024).unwrap() };
    Kernel::load_with(geometry, hash_seed(5), cpu)
}

#[test]
fn what_is_beyond_the_budget_is_counted_and_not_copied() {
    require_root!();
    // Two a window of 67 ms.
    let mut kernel = kernel(20);
    let dns = frame().ipv4("10.0.0.1", "10.0.0.2").udp(4000, 53).payload(b"\x12\x34asked").build();
    (1..=1000).for_each(|now| kernel.observe(&dns, Meta::default(), now));
    let copied = kernel.copies().len() as u64;
    let losses = kernel.peeks.losses();
    assert_eq!((copied + losses.over_budget, losses.ring_full), (1000, 0));
    assert!((2..900).contains(&copied), "{copied}");
}

#[test]
fn a_ring_that_nobody_reads_is_counted_as_full() {
    require_root!();
    let mut kernel = kernel(u32::MAX);
    let dns = frame().ipv4("10.0.0.1", "10.0.0.2").udp(4000, 53).payload_len(1400).build();
    (1..=3000).for_each(|now| kernel.observe(&dns, Meta::default(), now));
    let full = kernel.peeks.losses().ring_full;
    let copies = kernel.copies();
    assert_eq!(copies.len() as u64 + full, 3000);
    assert!(full > 0 && copies.iter().all(|(head, payload)| (head.captured, payload.len()) == (1400, 1400)));
}

#[test]
fn switched_off_nothing_is_watched() {
    require_root!();
    let mut kernel = kernel(0);
    for flags in [SYN, 0x10] {
        let tcp =
            frame().ipv4("10.0.0.1", "10.0.0.2").tcp(4000, 80).flags(flags).payload(b"GET / HTTP/1.1\r\n").build();
        (1..=10).for_each(|now| kernel.observe(&tcp, Meta::default(), now));
    }
    let watches = kernel.sets().iter().flat_map(|set| set.lines).map(|line| line.watch().bits()).max();
    assert_eq!((kernel.copies(), watches), (vec![], Some(0)));
    assert_eq!(kernel.peeks.losses().over_budget, 0);
}

#[test]
fn a_source_hands_copies_over_with_wall_clock_times() {
    require_root!();
    let lab = Lab::new("peeks").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    lab.link(&a, "eth0", &b, "eth0").addresses(&["10.0.0.1/24"], &["10.0.0.2/24"]).up().unwrap();
    a.enter(|| {
        let mut source =
            EbpfSource::open(EbpfOptions { sweep: Duration::from_secs(1), ..EbpfOptions::default() }).unwrap();
        let before = wall_clock();
        let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
        socket.send_to(b"\x12\x34a question", "10.0.0.2:53").unwrap();
        let (mut batch, deadline) = (Batch::default(), Instant::now() + Duration::from_secs(10));
        while batch.peeks.is_empty() {
            assert!(Instant::now() < deadline, "nothing came");
            source.poll(Duration::from_millis(100), &mut batch).unwrap();
        }
        let (time, head, payload) = batch.peeks.iter().next().unwrap();
        assert_eq!(
            (payload, head.key.dport, head.key.direction()),
            (&b"\x12\x34a question"[..], 53, Direction::Egress)
        );
        // The offset between the clocks is kept until it is wrong by half a tick.
        let slack = Duration::from_millis(10);
        assert!(time + slack > before && time < wall_clock() + slack, "{time:?} after {before:?}");
        let names: Vec<&str> = source.losses().iter().map(|loss| loss.name).collect();
        assert_eq!(names, ["ring_full", "peek_ring_full", "peek_budget"]);
    })
    .unwrap();
}
