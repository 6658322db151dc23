//! Summaries against exact truth: every order of merging stays within the bounds that it states, totals are exact, and
//! what was sent is what was read. Union tests of the distinct counts, since early versions of the crate merged wrongly.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use hivewall_sketch::{Class, Direction, Flow, Service, Summary};
use proptest::prelude::*;

fn flow(source: u32, destination: u32, port: u16, bytes: u64) -> Flow {
    Flow {
        source: IpAddr::V4(Ipv4Addr::from_bits(source)),
        destination: IpAddr::V4(Ipv4Addr::from_bits(destination)),
        service: Service { protocol: 6, port },
        class: Class {
            protocol: 6,
            interface: 1,
            direction: if port.is_multiple_of(2) { Direction::In } else { Direction::Out },
        },
        packets: 1 + bytes / 1000,
        bytes,
    }
}

/// Skewed flows: few sources have most bytes, and there are more than a table lists.
fn flows(count: usize) -> impl Strategy<Value = Vec<Flow>> {
    let one = (0.0_f64..1.0, 0.0_f64..1.0, 0_u16..3000, 0.0_f64..1.0);
    prop::collection::vec(one, count..count * 2).prop_map(|parts| {
        let rank = |share: f64, ranks: f64| ranks.powf(share) as u32;
        let make = |(a, b, port, size): (f64, f64, u16, f64)| {
            flow(rank(a, 3000.0), rank(b, 5000.0), port, (40.0 / (size + 1e-4)) as u64)
        };
        parts.into_iter().map(make).collect()
    })
}

fn truth<K: Ord>(flows: &[Flow], key: impl Fn(&Flow) -> K) -> BTreeMap<K, u64> {
    let mut sums = BTreeMap::new();
    flows.iter().for_each(|flow| *sums.entry(key(flow)).or_default() += flow.bytes);
    sums
}

/// Whatever the order was, everything the summary says is true within what it says of its errors.
fn check(summary: &Summary, flows: &[Flow]) -> Result<(), TestCaseError> {
    let bytes: u64 = flows.iter().map(|flow| flow.bytes).sum();
    prop_assert_eq!(summary.totals().values().map(|counts| counts.bytes).sum::<u64>(), bytes);
    prop_assert_eq!(summary.totals().values().map(|counts| counts.flows).sum::<u64>(), flows.len() as u64);
    for (source, bytes) in truth(flows, |flow| flow.source) {
        let row = summary.sources().get(source);
        prop_assert!(row.bytes <= bytes && bytes <= row.bytes_max, "{source}: {bytes} in {row:?}");
        prop_assert!(summary.source_bytes_max(source).0 >= bytes);
    }
    for (destination, bytes) in truth(flows, |flow| flow.destination) {
        let row = summary.destinations().get(destination);
        prop_assert!(row.bytes <= bytes && bytes <= row.bytes_max);
        prop_assert!(summary.destination_bytes_max(destination).0 >= bytes);
    }
    for (service, bytes) in truth(flows, |flow| flow.service) {
        let row = summary.services().get(service);
        prop_assert!(row.bytes <= bytes && bytes <= row.bytes_max);
    }
    Ok(())
}

fn merged(parts: &[Summary], order: &[usize]) -> Summary {
    let mut sum = Summary::default();
    order.iter().filter_map(|at| parts.get(*at)).for_each(|part| sum.merge(part));
    sum
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn every_order_of_merging_is_within_its_bounds(
        flows in prop::collection::vec(flows(600), 4),
        order in Just((0..4).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let all: Vec<Flow> = flows.iter().flatten().copied().collect();
        let parts: Vec<Summary> = flows.iter().map(|flows| Summary::of(flows.iter().copied())).collect();
        check(&merged(&parts, &order), &all)?;
        // A tree instead of a chain.
        let (mut left, right) = (merged(&parts, &order[..2]), merged(&parts, &order[2..]));
        left.merge(&right);
        check(&left, &all)?;
    }

    #[test]
    fn merging_is_commutative_and_where_nothing_is_cut_associative(
        a in flows(60), b in flows(60), c in flows(60),
    ) {
        let parts: Vec<Summary> = [a, b, c].into_iter().map(Summary::of).collect();
        let same = |one: &Summary, other: &Summary| {
            one.totals() == other.totals() && one.sources() == other.sources() && one.services() == other.services()
                && one.destinations() == other.destinations()
                && one.source_bytes_max(IpAddr::V4(Ipv4Addr::from_bits(1))) == other.source_bytes_max(IpAddr::V4(Ipv4Addr::from_bits(1)))
                && (one.distinct_pairs().estimate() - other.distinct_pairs().estimate()).abs() < 1e-6
        };
        prop_assert!(same(&merged(&parts, &[0, 1]), &merged(&parts, &[1, 0])));
        let (chain, mut tree) = (merged(&parts, &[0, 1, 2]), merged(&parts, &[0]));
        tree.merge(&merged(&parts, &[1, 2]));
        prop_assert!(same(&chain, &tree));
    }

    #[test]
    fn what_was_sent_is_what_is_read(flows in flows(700)) {
        let summary = Summary::of(flows.iter().copied());
        let read = Summary::decode(&summary.encode()).expect("our own bytes");
        prop_assert_eq!(&read, &summary);
        check(&read, &flows)?;
    }

    #[test]
    fn garbled_bytes_are_refused_or_read_within_limits(
        flows in flows(20), at in 0_usize..4000, with in any::<u8>(), cut in 0_usize..4000,
    ) {
        let mut bytes = Summary::of(flows).encode();
        let len = bytes.len();
        bytes[at % len] ^= with;
        bytes.truncate(len - cut % len);
        if let Ok(summary) = Summary::decode(&bytes) {
            prop_assert!(summary.sources().len() <= 512);
        }
    }
}

/// Hosts that saw overlapping sets: the union has to count each thing once, however it is made.
#[test]
fn distinct_counts_of_unions_are_within_three_standard_errors() {
    for (hosts, each, shared) in [(2, 50, 25), (10, 1000, 500), (100, 300, 0), (50, 4000, 3900), (3, 100_000, 50_000)] {
        let mut sum = Summary::default();
        let mut truth = BTreeSet::new();
        for host in 0..hosts {
            let sources: Vec<u32> =
                (0..each).map(|n| if n < shared { n } else { 1_000_000 * (host + 1) + n }).collect();
            truth.extend(sources.iter().copied());
            let summary = Summary::of(sources.iter().map(|source| flow(*source, 1, 1, 10)));
            // Through the wire, as in a fleet.
            sum.merge(&Summary::decode(&summary.encode()).expect("our own bytes"));
        }
        let (estimate, truth) = (sum.distinct_sources().estimate(), truth.len() as f64);
        let error = (estimate - truth).abs() / truth;
        println!("{hosts} hosts of {each}, {shared} shared: {estimate:.0} of {truth}, {:.2}%", error * 100.0);
        assert!(error < 3.0 * 0.0163, "{hosts} hosts of {each}, {shared} shared: {estimate} for {truth}");
    }
}

/// Zipf traffic of 100 hosts: sizes beside those that the design measured, and how well the largest are known.
#[test]
fn sizes_and_errors_of_zipf_traffic_are_small() {
    let mut state = 42_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    for count in [1000, 10_000, 50_000] {
        let hosts = if count == 50_000 { 10 } else { 100 };
        let (mut sum, mut all, mut own) = (Summary::default(), Vec::new(), 0);
        for _ in 0..hosts {
            let mut one = || {
                let mut rank = |ranks: f64| ranks.powf(random()) as u32;
                let (source, destination, port) = (rank(100_000.0), rank(100_000.0), rank(2000.0));
                let bytes = 60.0 / random().max(1e-4).powf(1.2);
                flow(0x0a00_0000 | source, destination.wrapping_mul(2_654_435_761), port as u16, bytes as u64)
            };
            let flows: Vec<Flow> = (0..count).map(|_| one()).collect();
            let summary = Summary::of(flows.iter().copied());
            own = own.max(summary.encode().len());
            sum.merge(&summary);
            all.extend(flows);
        }
        let truth = truth(&all, |flow| flow.source);
        let total: u64 = truth.values().sum();
        let mut ranked: Vec<(u64, IpAddr)> = truth.iter().map(|(key, bytes)| (*bytes, *key)).collect();
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        let listed: BTreeSet<IpAddr> = sum.sources().top(100).iter().map(|row| row.key).collect();
        let recall = ranked.iter().take(100).filter(|(_, key)| listed.contains(key)).count();
        let worst = sum.sources().top(100).iter().map(|row| truth[&row.key] - row.bytes).max().unwrap();
        let merged = sum.encode().len();
        println!(
            "{count} flows of {hosts} hosts: own {own}, merged {merged} bytes; recall {recall}%, worst error {:.5} of all, bound {:.5}",
            worst as f64 / total as f64,
            sum.sources().cut() as f64 / total as f64,
        );
        assert!(own <= 13_500 && merged <= 28_000, "{own} and {merged} bytes");
        assert!(recall >= 95, "{recall} of the 100 largest sources are listed");
        assert!((worst as f64) < 0.002 * total as f64);
    }
}
