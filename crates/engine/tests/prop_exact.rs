//! Whatever records come, in whatever order, and however small the tables are: sums are exact and counters agree.
//!
//! The expectation is added up from the records alone. Invariant: no record in, no count out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Desk, Rec, icmp, interface, tcp, udp};
use hivewall_engine::Limits;
use hivewall_model::{Flow, Interface, Rank};
use hivewall_view::{AddressTraffic, Sort};
use proptest::prelude::*;

/// What happens, one after another.
#[derive(Clone, Debug)]
enum Happening {
    Records(Vec<Packet>),
    /// Milliseconds until the next tick; the clock may be set back.
    Tick(i64),
    Shutdown,
}

/// A record, by small numbers.
#[derive(Clone, Copy, Debug)]
struct Packet {
    pair: u8,
    reply: bool,
    kind: u8,
    flags: u8,
    packets: u32,
    bytes: u32,
    ifindex: u32,
    out: bool,
    early: i64,
    length: i64,
    renewed: bool,
}

const FLAGS: [&str; 10] = ["SO", "SA", "A", "PA", "FA", "RA", "SAO", "SAF", "SAFO", "R"];

impl Packet {
    fn rec(self, now: i64) -> Rec {
        let client = format!("10.0.{}.{}", self.pair / 16, self.pair % 16);
        let ports = (30_000 + u16::from(self.pair % 3), [443, 8080, 53][usize::from(self.pair % 3)]);
        let (x, y) = (format!("{client}:{}", ports.0), format!("10.9.0.1:{}", ports.1));
        let (x, y) = if self.reply { (y, x) } else { (x, y) };
        let rec = match self.kind {
            0 => tcp(&x, &y).flags(FLAGS[usize::from(self.flags) % FLAGS.len()]),
            1 => udp(&x, &y),
            _ if self.reply => icmp("10.9.0.1", &client, 0, 0),
            _ => icmp(&client, "10.9.0.1", 8, 0),
        };
        let last = now - self.early;
        let rec = rec.on(self.ifindex).counts(self.packets, self.bytes).during(last - self.length, last);
        let rec = if self.renewed && self.kind == 0 { rec.renewed() } else { rec };
        if self.out { rec.out() } else { rec }
    }
}

prop_compose! {
    fn packet(interfaces: u32)(
        pair in 0_u8..40, reply in any::<bool>(), kind in 0_u8..3, flags in any::<u8>(),
        packets in 1_u32..50, bytes in 20_u32..50_000, ifindex in 1..=interfaces, out in any::<bool>(),
        early in 0_i64..1500, length in 0_i64..900, renewed in prop::bool::weighted(0.1),
    ) -> Packet {
        let out = out && interfaces > 1;
        Packet { pair, reply, kind, flags, packets, bytes, ifindex, out, early, length, renewed }
    }
}

fn happenings(interfaces: u32) -> impl Strategy<Value = Vec<Happening>> {
    let leaps = prop_oneof![500_000_i64..3_000_000, -3_000_000_i64..-2500, -1500_i64..0];
    let ticks = prop_oneof![8 => 100_i64..2000, 2 => 2000_i64..40_000, 1 => leaps];
    let one = prop_oneof![
        10 => prop::collection::vec(packet(interfaces), 1..12).prop_map(Happening::Records),
        6 => ticks.prop_map(Happening::Tick),
        1 => Just(Happening::Shutdown),
    ];
    prop::collection::vec(one, 1..60)
}

/// Tables far too small, or as they are by default.
fn limits() -> impl Strategy<Value = Limits> {
    let times = (1_u64..30, 1_u64..30, 1_u64..60, 0_u64..3);
    (times, 1_usize..200, 0_usize..50, prop_oneof![Just(16_usize), Just(65_536)]).prop_map(
        |((idle, tcp_idle, active, linger), flows_max, closed_keep, addresses_max)| Limits {
            idle: Duration::from_secs(idle),
            tcp_idle: Duration::from_secs(tcp_idle),
            icmp_idle: Duration::from_secs(idle),
            active: Duration::from_secs(active),
            linger: Duration::from_secs(linger),
            flows_max,
            closed_keep,
            addresses_max,
            addresses_shown: 5,
            subnets: vec![
                "10.0.0.0/16".parse().unwrap(),
                "10.0.0.0/24".parse().unwrap(),
                "10.9.0.1/32".parse().unwrap(),
            ],
            ..Limits::default()
        },
    )
}

/// Sums of what went in.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    packets: u64,
    bytes: u64,
}

impl Sums {
    fn add(&mut self, packets: u64, bytes: u64) {
        self.packets += packets;
        self.bytes += bytes;
    }
}

struct Run {
    desk: Desk,
    closed: Vec<std::sync::Arc<Flow>>,
    fed: Sums,
    /// By protocol name.
    protocols: BTreeMap<String, (u64, u64)>,
    /// By interface: in, out.
    interfaces: BTreeMap<String, (u64, u64)>,
}

impl Run {
    fn new(limits: Limits, interfaces: Vec<Interface>) -> Self {
        let mut desk = Desk::new(limits);
        desk.know(interfaces);
        Self { desk, closed: Vec::new(), fed: Sums::default(), protocols: BTreeMap::new(), interfaces: BTreeMap::new() }
    }

    fn play(&mut self, all: Vec<Happening>) {
        for happening in all {
            self.happen(happening);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Records(packets) => {
                for packet in &packets {
                    let protocol = ["tcp", "udp", "icmp"][usize::from(packet.kind)].to_owned();
                    self.fed.add(u64::from(packet.packets), u64::from(packet.bytes));
                    let row = self.protocols.entry(protocol).or_default();
                    *row = (row.0 + u64::from(packet.packets), row.1 + u64::from(packet.bytes));
                    let row = self.interfaces.entry(format!("if{}", packet.ifindex)).or_default();
                    *(if packet.out { &mut row.1 } else { &mut row.0 }) += u64::from(packet.packets);
                }
                let now = self.desk.now;
                self.desk.feed(packets.into_iter().map(|packet| packet.rec(now)));
            }
            Happening::Tick(ms) => drop(self.desk.tick(self.desk.now + ms)),
            Happening::Shutdown => drop(self.desk.stop()),
        }
        let closed = self.desk.closed();
        for flow in &closed {
            assert!(flow.packets() > 0, "an empty flow ended: {flow:?}");
            assert!(flow.ended.is_some() && flow.rate == 0.0 && flow.start <= flow.last, "{flow:?}");
        }
        self.closed.extend(closed);
        self.check_counters();
    }

    /// What is counted twice in the engine is the same twice.
    fn check_counters(&self) {
        let snapshot = self.desk.snapshot();
        let page = self.desk.page(Sort::Start, 0, 100_000);
        let living: Vec<_> = page.flows.iter().filter(|row| row.state == "active").collect();
        assert_eq!(living.len(), self.desk.engine.active_flows());
        assert_eq!(snapshot.flow_counts.active, living.len() as u64);
        let ended: u64 = snapshot.flow_counts.ended.values().sum();
        assert_eq!(ended, self.closed.len() as u64);
        assert_eq!(snapshot.flow_counts.total, ended + living.len() as u64);
        for (state, count) in &snapshot.connection_states {
            assert_eq!(
                living.iter().filter(|row| row.tcp_state.as_ref() == Some(state)).count() as u64,
                *count,
                "{state}"
            );
        }
        for (protocol, row) in &snapshot.protocols {
            let flows = living.iter().filter(|flow| flow.protocol == *protocol).count() as u64;
            assert_eq!(flows, row.active_flows, "{protocol}");
        }
        let discarded = snapshot.losses["closed_flows_discarded"].count;
        assert_eq!(page.searched - living.len() as u64 + discarded, ended);
    }

    /// Flows that ended and those that live.
    fn flow_sums(&self) -> Sums {
        let mut sums = Sums::default();
        self.closed.iter().for_each(|flow| sums.add(flow.packets(), flow.ip_bytes()));
        let page = self.desk.page(Sort::Start, 0, 100_000);
        page.flows.iter().filter(|row| row.state == "active").for_each(|row| sums.add(row.packets, row.bytes));
        sums
    }
}

fn sum_of<'a>(rows: impl IntoIterator<Item = &'a AddressTraffic>) -> (Sums, Sums) {
    let (mut sent, mut received) = (Sums::default(), Sums::default());
    for row in rows {
        sent.add(row.sent_packets, row.sent_bytes);
        received.add(row.received_packets, row.received_bytes);
    }
    (sent, received)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn seen_from_one_place_the_flows_are_the_records(limits in limits(), all in happenings(1)) {
        let mut run = Run::new(limits, Vec::new());
        run.play(all);
        prop_assert_eq!(&run.flow_sums(), &run.fed);
        let snapshot = run.desk.snapshot();
        let protocols: BTreeMap<_, _> =
            snapshot.protocols.into_iter().map(|(name, row)| (name, (row.packets, row.bytes))).collect();
        prop_assert_eq!(&protocols, &run.protocols);
        let (sent, received) = sum_of(snapshot.ip_traffic_distribution.values());
        prop_assert_eq!((&sent, &received), (&run.fed, &run.fed));
        let wide = &snapshot.subnet_traffic["10.0.0.0/16"];
        let server = &snapshot.subnet_traffic["10.9.0.1/32"];
        prop_assert_eq!(wide.sent_packets, server.received_packets);
        prop_assert_eq!(wide.received_bytes, server.sent_bytes);
        prop_assert!(snapshot.subnet_traffic["10.0.0.0/24"].sent_bytes <= wide.sent_bytes);
    }

    #[test]
    fn seen_from_several_places_totals_are_the_flows_and_interfaces_the_records(
        limits in limits(), all in happenings(4), ranks in prop::collection::vec(0_usize..4, 4),
    ) {
        let rank = |at: usize| [Rank::Plain, Rank::Port, Rank::Master, Rank::Upper][ranks[at]];
        let interfaces = (1..=4).map(|index| interface(index, &format!("if{index}"), rank(index as usize - 1))).collect();
        let mut run = Run::new(limits, interfaces);
        run.play(all);
        let snapshot = run.desk.snapshot();
        let (packets, bytes) = run.desk.total();
        prop_assert_eq!(&run.flow_sums(), &Sums { packets, bytes });
        let (sent, received) = sum_of(snapshot.ip_traffic_distribution.values());
        prop_assert_eq!((&sent, &received), (&run.flow_sums(), &run.flow_sums()));
        prop_assert!(packets <= run.fed.packets);
        prop_assert_eq!(snapshot.capture.packets, run.fed.packets);
        let interfaces: BTreeMap<_, _> = snapshot
            .network_traffic
            .into_iter()
            .map(|(name, row)| (name, (row.total.in_packets, row.total.out_packets)))
            .collect();
        prop_assert_eq!(&interfaces, &run.interfaces);
    }

    #[test]
    fn outbound_traffic_is_that_of_the_flows_that_go_out(limits in limits(), all in happenings(1), local in 0_u8..40) {
        // Without a full table or timeouts every flow is there to be asked.
        let never = Duration::from_secs(1_000_000_000);
        let limits = Limits { flows_max: 1 << 20, closed_keep: 1 << 20, active: never, addresses_shown: 1000, ..limits };
        let address = format!("10.0.{}.{}", local / 16, local % 16).parse().unwrap();
        let here = Interface { addresses: vec![address], ..interface(1, "if1", Rank::Plain) };
        let mut run = Run::new(limits, vec![here]);
        run.play(all);
        let (mut sent, mut received) = (Sums::default(), Sums::default());
        for row in run.desk.rows().iter().filter(|row| row.direction == "outbound") {
            received.add(row.packets_to_server, row.bytes_to_server);
            sent.add(row.packets_to_client, row.bytes_to_client);
        }
        prop_assert_eq!(sum_of(run.desk.snapshot().outbound_traffic.values()), (sent, received));
    }
}
