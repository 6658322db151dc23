//! A change of the policy is one change: under traffic, two policies that agree on two ports are swapped a thousand times.
//!
//! Invariant: a packet is judged by one policy or by the other, never by none and never by a mixture.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hivewall_datapath::Direction;
use hivewall_datapath::policy::{PolicyControl, PolicyWord};
use hivewall_host::policy::PolicyMaps;
use hivewall_host::source::{Batch, EbpfOptions, EbpfSource, Source as _};
use hivewall_policy::{Action, Counters, Mode, Rule, Ruleset, Stage, compile};
use hivewall_soft::PolicyTables;
use hivewall_testkit::netns::Lab;
use hivewall_testkit::require_root;
use hivewall_testkit::traffic::{UdpSink, udp_blast};

const SWAPS: u32 = 1_000;
const REFUSED: u16 = 7001;
const ACCEPTED: u16 = 7002;

fn rule(id: &str, port: Option<u16>, action: Action) -> Rule {
    Rule {
        protocols: vec![17],
        destination_ports: port.into_iter().map(|port| port..=port).collect(),
        action,
        ..Rule::plain(id, Stage::Tier(0), Some(Direction::Ingress))
    }
}

/// Two ways to say the same of both ports, as different as can be: where the rules stand, what the rows are, what holds at
/// the end.
fn policies() -> [PolicyTables; 2] {
    let mut counters = Counters::default();
    let mut tables = |rules: Vec<Rule>| {
        let ruleset = Ruleset { name: "swap".to_owned(), version: 1, mode: Mode::Enforce, rules, ..Ruleset::default() };
        compile(&ruleset, &mut counters).unwrap()
    };
    let filler = |from: u16| (0..100).map(move |n| rule(&format!("f{}", from + n), Some(from + n), Action::Drop));
    let listed = tables(
        filler(20_000)
            .chain([rule("no", Some(REFUSED), Action::Drop), rule("yes", Some(ACCEPTED), Action::Accept)])
            .chain([rule("all", None, Action::Drop)])
            .collect(),
    );
    let open = tables(
        [rule("yes", Some(ACCEPTED), Action::Accept), rule("no", Some(REFUSED), Action::Drop)]
            .into_iter()
            .chain(filler(30_000))
            .chain([rule("all", None, Action::Accept)])
            .collect(),
    );
    [listed, open]
}

fn swap(maps: &mut PolicyMaps, tables: &PolicyTables, epoch: u16) {
    let slot = maps.free_slot();
    maps.fill(slot, tables, &[]).unwrap();
    let word = u32::from(epoch) | slot << 16 | PolicyWord::TABLES | PolicyWord::ENFORCE;
    let control = PolicyControl { word, fallback: word, ticks_per_second: 1000, ..PolicyControl::default() };
    maps.set_control(control).unwrap();
}

#[test]
fn a_thousand_swaps_let_nothing_through_and_lose_nothing() {
    require_root!();
    let lab = Lab::new("swap").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    lab.link(&a, "eth0", &b, "eth0").addresses(&["10.0.0.1/24"], &["10.0.0.2/24"]).up().unwrap();
    let at = |port: u16| format!("10.0.0.2:{port}").parse().unwrap();
    let sinks = [REFUSED, ACCEPTED].map(|port| b.enter(|| UdpSink::bind(at(port))).unwrap().unwrap());
    let policies = policies();
    let (stop, sent) = (AtomicBool::new(false), [AtomicU64::new(0), AtomicU64::new(0)]);
    std::thread::scope(|scope| {
        let (held, go) = std::sync::mpsc::channel();
        let (stop, sent, policies, a) = (&stop, &sent, &policies, &a);
        let governed = b.clone();
        let keeper = scope.spawn(move || {
            governed
                .enter(|| {
                    let mut source =
                        EbpfSource::open(EbpfOptions { sweep: Duration::from_millis(200), ..EbpfOptions::default() })
                            .unwrap();
                    let mut maps = source.policy_maps().unwrap();
                    swap(&mut maps, &policies[0], 1);
                    held.send(()).unwrap();
                    let mut batch = Batch::default();
                    for turn in 1..=SWAPS {
                        swap(&mut maps, &policies[turn as usize % 2], turn as u16 + 1);
                        batch.records.clear();
                        batch.peeks.clear();
                        source.poll(Duration::ZERO, &mut batch).unwrap();
                    }
                    stop.store(true, Ordering::SeqCst);
                    // The senders end before what judges them goes.
                    move || drop((source, maps))
                })
                .unwrap()
        });
        go.recv().unwrap();
        let senders: Vec<_> = [REFUSED, ACCEPTED]
            .into_iter()
            .zip(sent)
            .map(|(port, sent)| {
                scope.spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        let told = a.enter(|| udp_blast(at(port), 256, 100, 1)).unwrap().unwrap();
                        sent.fetch_add(told.packets, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        let end = keeper.join().unwrap();
        lab.settle().unwrap();
        end();
    });
    let [refused, accepted] = sinks;
    let sent = sent.map(AtomicU64::into_inner);
    assert!(sent.iter().all(|sent| *sent > 10_000), "{sent:?}");
    let got = accepted.finish(sent[1], Duration::from_secs(20));
    assert_eq!(got.packets + got.dropped, sent[1], "not one that both accept is lost");
    assert_eq!(refused.received().packets + refused.received().dropped, 0, "not one that both refuse passes");
}
