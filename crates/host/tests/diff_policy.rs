//! The loaded object judged against the oracle: random policies and sequences of packets through the kernel's programs,
//! through the same code in user space with its flow cache, and through the oracle. Needs root.
//!
//! Time is in the test's hand, except for limits, which are the kernel's. Within a tick a refusal is given again without
//! being asked for, which is told to the oracle's side; and where a conversation is replaced by another over the same ports
//! the caches are swept, as they are once a second, since what was accepted stays so until then.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod diff_twins;
mod trio;

use std::net::IpAddr;
use std::time::Duration;

use hivewall_datapath::policy::{PolicyControl, PolicyWord, VerdictCause};
use hivewall_datapath::{Direction, FrameBytes, proto};
use hivewall_host::bans::{BanError, BanStore as _, List, Prefix};
use hivewall_policy::sample::{Draws, answer};
use hivewall_policy::{Action, Counters, Limit, Mode, Ruleset, Stage, compile};
use hivewall_soft::Fate;
use hivewall_testkit::netns::Lab;
use hivewall_testkit::packet::{SYN, frame};
use hivewall_testkit::require_root;

use diff_twins::Meta;
use trio::fours::{self, facts, rule};
use trio::sent::{Sent, Sequence, plain};
use trio::{DROP, PASS, POLICIES, TICKS_PER_SECOND, Trio, interfaces, stage};

/// Times that new policies are drawn.
const WORLDS: u64 = 24;
/// Sequences under each.
const SEQUENCES: u64 = 12;
/// Frames of a sequence.
const FRAMES: u32 = 400;

fn ruleset(draws: &mut Draws<'_>) -> Ruleset {
    let mut ruleset = draws.ruleset();
    if draws.once_in(4) {
        ruleset.mode = Mode::Observe;
    }
    // A ban is asked about at every packet and remembers no flow, so that a guard that asks for flags would accept the
    // SYN of a session and not the rest of it; the language makes no such guards.
    for rule in &mut ruleset.rules {
        if !matches!(rule.stage, Stage::Tier(_)) {
            rule.flags = None;
        }
    }
    ruleset
}

fn sequence(trio: &mut Trio, seed: u64) {
    let first_id = 1 + (seed >> 32) as u32 * 64 + (seed as u32) * 2;
    let mut sequence = Sequence::new(Draws::seeded(seed), first_id);
    trio.begin();
    for _ in 0..FRAMES {
        let ticks = [0, 0, 1, 1, 3, 20][sequence.draws.below(6) as usize];
        trio.wait(ticks);
        match sequence.draws.below(100) {
            0..2 => trio.change(sequence.draws.below(POLICIES as u32) as usize),
            2 => {
                let bans = (0..sequence.draws.below(3)).map(|_| sequence.draws.net()).collect();
                trio.ban(bans);
            }
            3 => trio.sweep(),
            _ => {}
        }
        let sent = sequence.next();
        trio.send(&sent);
    }
    trio.finish(&sequence.datagrams);
}

/// Runs a test on a host with the interfaces of the sample world.
fn with_trio(name: &str, test: impl FnOnce(&mut Trio) + Send) {
    let lab = Lab::new(name).unwrap();
    let host = stage(&lab);
    let interfaces = interfaces(&host);
    host.enter(|| test(&mut Trio::new(interfaces))).unwrap();
}

#[test]
fn the_kernel_does_with_random_sequences_what_the_oracle_says() {
    require_root!();
    with_trio("random", |trio| {
        for world in 0..WORLDS {
            let mut draws = Draws::seeded(world << 32);
            trio.fill((0..POLICIES).map(|_| ruleset(&mut draws)).collect());
            for number in 0..SEQUENCES {
                let seed = world << 32 | (number + 1);
                eprintln!("seed {seed:#x}");
                sequence(trio, seed);
            }
        }
        eprintln!("{} packets, {} turned, {:?}", trio.packets, trio.turned, trio.decided);
        assert!(trio.packets >= 100_000, "{}", trio.packets);
        // The sequences are of use only while they reach what can be reached.
        for cause in ["rule", "unreadable", "(ban)", "(no policy)", "(essential)", "(related)", "(fragment)"] {
            assert!(trio.decided.get(cause).is_some_and(|packets| *packets > 200), "{cause}");
        }
    });
}

#[test]
fn every_condition_matches_what_it_should_and_is_counted() {
    require_root!();
    with_trio("fours", fours::check);
}

#[test]
fn an_answer_passes_though_the_same_ports_were_refused_before() {
    require_root!();
    with_trio("answer", |trio| {
        let mut inbound = rule("in", Action::Drop);
        inbound.direction = Some(Direction::Ingress);
        trio.fill(vec![fours::ruleset(vec![inbound])]);
        trio.begin();
        let stray = facts(proto::UDP, "10.0.0.1", "10.0.0.2", [53, 1024]);
        for _ in 0..5 {
            assert_eq!(trio.send(&plain(&stray)), DROP);
        }
        assert_eq!(trio.send(&plain(&answer(&stray))), PASS, "what this host sends");
        trio.wait(1);
        assert_eq!(trio.send(&plain(&stray)), PASS, "is answered");
        trio.finish(&std::collections::HashMap::new());
    });
}

fn closed() -> Vec<Ruleset> {
    vec![fours::ruleset(Vec::new()), fours::ruleset(vec![rule("all", Action::Drop)])]
}

fn word(epoch: u32, slot: u32) -> u32 {
    epoch | slot << 16 | PolicyWord::TABLES | PolicyWord::ENFORCE
}

#[test]
fn a_change_that_nobody_confirms_is_taken_back_by_the_datapath_itself() {
    require_root!();
    with_trio("deadline", |trio| {
        trio.fill(closed());
        // Beyond what 32 bits hold, where a shorter clock would be long past it.
        let deadline = (5 << 32) + 100;
        let packet = plain(&facts(proto::UDP, "10.0.0.1", "10.0.0.2", [53, 1024]));
        let at = |trio: &mut Trio, ticks: u64| {
            trio.kernel.judge(&packet.bytes, Meta { ifindex: 2, ..Meta::default() }, ticks)
        };
        let before = PolicyControl { word: word(1, 0), ticks_per_second: TICKS_PER_SECOND, ..PolicyControl::default() };
        trio.maps.set_control(before).unwrap();
        assert_eq!(at(trio, deadline - 50), PASS);
        // A change of the control words empties a slot that nobody uses; slots are filled after it.
        trio.fill(closed());
        let change = PolicyControl { word: word(2, 1), fallback: word(1, 0), deadline, ..before };
        trio.maps.set_control(change).unwrap();
        for (ticks, wanted) in [(deadline - 40, DROP), (deadline - 1, DROP), (deadline, PASS), (deadline + 1000, PASS)]
        {
            assert_eq!(at(trio, ticks), wanted, "{ticks}");
            assert_eq!(change.at(ticks), PolicyWord(if wanted == DROP { word(2, 1) } else { word(1, 0) }));
        }
        // Confirmed in time, it holds for good.
        trio.maps.set_control(PolicyControl { deadline: 0, ..change }).unwrap();
        assert_eq!(at(trio, deadline + 2000), DROP);
    });
}

#[test]
fn bans_hold_without_a_policy_and_while_one_only_observes() {
    require_root!();
    with_trio("bans", |trio| {
        trio.fill(closed());
        trio.begin();
        trio.ban(vec!["10.0.0.0/31".parse().unwrap(), "fd00::1/128".parse().unwrap()]);
        let observing = word(9, 1) & !PolicyWord::ENFORCE | PolicyWord::BANS;
        for (at, word) in (1..).zip([word(10, 0) & 0xffff | PolicyWord::BANS, observing]) {
            trio.maps.set_control(PolicyControl { word, ticks_per_second: 1, ..PolicyControl::default() }).unwrap();
            let from = |address: &str, other: &str| plain(&facts(proto::UDP, address, other, [53, 1024])).bytes;
            let meta = Meta { ifindex: 2, ..Meta::default() };
            for (frame, wanted) in [
                (from("10.0.0.1", "10.0.0.9"), DROP),
                (from("10.0.0.2", "10.0.0.1"), PASS),
                (from("fd00::1", "fd00::9"), DROP),
                (from("fd00::2", "fd00::1"), PASS),
            ] {
                assert_eq!(trio.kernel.judge(&frame, meta, at), wanted, "{frame:02x?}");
            }
        }
    });
}

#[test]
fn beyond_a_limit_flows_are_refused_and_those_let_through_go_on() {
    require_root!();
    with_trio("limit", |trio| {
        let mut limited = rule("few", Action::Accept);
        let per = Duration::from_secs(3600);
        limited.limit = Some(Limit { count: 1, per, burst: 3, per_source: false, over: Action::Reject });
        trio.fill(vec![fours::ruleset(vec![limited])]);
        trio.begin();
        let meta = Meta { ifindex: 2, ..Meta::default() };
        let mut twice = |port: u16, now: u32| {
            let frame = plain(&facts(proto::UDP, "10.0.0.1", "10.0.0.2", [port, 53])).bytes;
            let soft = trio.soft.observe(&FrameBytes(&frame), &meta.frame(frame.len()), now).unwrap();
            (trio.kernel.judge(&frame, meta, now.into()), soft)
        };
        for round in 1..4 {
            for port in 0..5 {
                let wanted = if port < 3 { (PASS, Fate::Passed) } else { (trio::REJECT, Fate::Rejected) };
                assert_eq!(twice(1000 + port, round), wanted, "flow {port}, round {round}");
            }
        }
        trio.kernel.sweep(4, 0, true, &mut Vec::new());
        assert_eq!(trio.maps.hits_of(VerdictCause::OverLimit as u32).unwrap().packets, 2 * 3);
        assert_eq!(trio.maps.hits_of(VerdictCause::RULES_FROM).unwrap().packets, 3 * 3);
    });
}

#[test]
fn who_is_limited_because_of_an_alert_is_let_through_so_far_as_the_document_lets_them() {
    require_root!();
    with_trio("response", |trio| {
        let mut closed = rule("closed", Action::Drop);
        (closed.protocols, closed.destination_ports) = (vec![proto::UDP], vec![53..=53]);
        let document = fours::ruleset(vec![closed, rule("open", Action::Accept)]);
        let limited = ("10.0.0.1/32".parse().unwrap(), Limit::of_source(3, Duration::from_secs(3600)));
        trio.fill(vec![document.limiting([(&limited.0, &limited.1)])]);
        trio.begin();
        let meta = Meta { ifindex: 2, ..Meta::default() };
        let mut both = |from: &str, ports: [u16; 2], now: u32| {
            let frame = plain(&facts(proto::UDP, from, "10.0.0.2", ports)).bytes;
            let soft = trio.soft.observe(&FrameBytes(&frame), &meta.frame(frame.len()), now).unwrap();
            (trio.kernel.judge(&frame, meta, now.into()), soft)
        };
        let (passed, dropped) = ((PASS, Fate::Passed), (DROP, Fate::Dropped));
        for round in 1..4 {
            // The first of three is refused by the document, as it would be without the limit.
            assert_eq!(both("10.0.0.1", [1000, 53], round), dropped);
            for port in 1..6 {
                let wanted = if port < 3 { passed } else { dropped };
                assert_eq!(both("10.0.0.1", [1000 + port, 80], round), wanted, "flow {port}, round {round}");
            }
            assert_eq!((both("10.0.0.3", [1000, 53], round), both("10.0.0.3", [1001, 80], round)), (dropped, passed));
        }
        trio.kernel.sweep(4, 0, true, &mut Vec::new());
        // Three flows in each round, and the refused one whenever it asks again.
        assert_eq!(trio.maps.hits_of(VerdictCause::OverLimit as u32).unwrap().packets, 3 * 3 + 2);
    });
}

/// More conversations than the table holds, each begun by a SYN of another source.
const FLOOD: u32 = 200_000;

#[test]
fn a_full_table_of_connections_refuses_new_ones_and_keeps_what_lives() {
    require_root!();
    with_trio("crowd", |trio| {
        let mut inbound = rule("in", Action::Drop);
        inbound.direction = Some(Direction::Ingress);
        inbound.destination_ports = vec![1..=79];
        trio.fill(vec![fours::ruleset(vec![inbound])]);
        let control =
            PolicyControl { word: word(1, 0), ticks_per_second: TICKS_PER_SECOND, ..PolicyControl::default() };
        trio.maps.set_control(control).unwrap();
        let at = |trio: &Trio, packet: &Sent, seconds: u32| {
            let meta = Meta { ifindex: 2, egress: packet.direction == Direction::Egress, ..Meta::default() };
            trio.kernel.judge(&packet.bytes, meta, u64::from(seconds) * u64::from(TICKS_PER_SECOND))
        };
        // What this host began lives by its entry alone: its answers come to a port that is closed.
        let mut out = facts(proto::UDP, "10.0.0.1", "10.0.0.2", [9, 53]);
        out.direction = Direction::Egress;
        let (ours, theirs) = (plain(&out), plain(&answer(&out)));
        assert_eq!(trio.maps.look_after_connections(10).unwrap().entries, 0);
        assert_eq!((at(trio, &ours, 10), at(trio, &theirs, 10)), (PASS, PASS));
        let mut flood = frame().ipv4("10.9.0.0", "10.0.0.1").tcp(1000, 80).flags(SYN).build();
        let mut syn = |trio: &Trio, number: u32, seconds: u32| {
            flood[26..30].copy_from_slice(&(0x0b00_0000 + number).to_be_bytes());
            let meta = Meta { ifindex: 2, ..Meta::default() };
            trio.kernel.judge(&flood, meta, u64::from(seconds) * u64::from(TICKS_PER_SECOND))
        };
        for number in 0..FLOOD {
            if number % 20_000 == 0 {
                trio.maps.look_after_connections(10).unwrap();
            }
            assert_eq!(syn(trio, number, 10), PASS, "it is judged all the same");
        }
        let full = trio.maps.look_after_connections(10).unwrap();
        assert!(full.entries <= full.limit && full.entries > full.limit / 10 * 9, "{full:?}");
        assert_eq!(full.entries + full.refused, u64::from(FLOOD) + 1);
        assert_eq!(at(trio, &theirs, 11), PASS, "it was there before");
        // Nobody answered them: a minute later each has gone, and there is room.
        let later = trio.maps.look_after_connections(10 + 121).unwrap();
        assert_eq!((later.entries, later.refused), (1, full.refused));
        for number in 0..1000 {
            syn(trio, number, 131);
        }
        assert_eq!(trio.maps.look_after_connections(131).unwrap().entries, 1001);
        // When nobody looks after it any more, the table itself gives way: a host goes on without its agent.
        for number in 0..FLOOD {
            syn(trio, 1 << 20 | number, 140);
        }
        let after = trio.maps.look_after_connections(140).unwrap();
        assert_eq!(after.refused, full.refused);
    });
}

#[test]
fn what_is_full_refuses_the_new_and_keeps_the_old() {
    require_root!();
    with_trio("full", |trio| {
        let mut named = rule("named", Action::Drop);
        named.interfaces = vec!["e*".to_owned()];
        let tables = compile(&fours::ruleset(vec![named]), &mut Counters::default()).unwrap();
        let many: Vec<(u32, String)> = (2..2 + 1025).map(|index| (index, format!("e{index}"))).collect();
        trio.maps.fill(0, &tables, &many[..1024]).unwrap();
        let error = trio.maps.name_interfaces(0, || many).unwrap_err();
        assert!(
            error.to_string().starts_with("the interfaces that rules of the policy name are more than 1024"),
            "{error}"
        );
        // Those that were there are there.
        trio.maps.set_control(PolicyControl { word: word(1, 0), ..PolicyControl::default() }).unwrap();
        let frame = plain(&facts(proto::UDP, "10.0.0.1", "10.0.0.2", [53, 1024])).bytes;
        assert_eq!(trio.kernel.judge(&frame, Meta { ifindex: 2, ..Meta::default() }, 1), DROP);

        let exempt = |n: u32| Prefix::from(IpAddr::V4((0x0a00_0000 + n).into()));
        trio.bans.set_exempt((0..1 << 16).map(exempt)).unwrap();
        let error = trio.bans.set_exempt((0..=1 << 16).map(exempt)).unwrap_err();
        assert!(matches!(error, BanError::Full { max: 65_536, .. }), "{error}");
        assert_eq!(trio.bans.store().list(List::Exempt).unwrap().len(), 1 << 16);
    });
}
