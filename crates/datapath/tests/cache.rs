//! One set of the flow cache: what a line keeps, when it is handed over, which one has to go.
//!
//! Sums over whole shards are in `hivewall-soft`. Invariant: every test looks at both the set and the records.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod shared;

use hivewall_datapath::cache::{Swept, account, sweep};
use hivewall_datapath::policy::{Action, Verdict};
use hivewall_datapath::{Cause, FlowLine, FlowSet, Packet, Record, Ring, Sight, WAYS, Watch};
use hivewall_testkit::packet::{ACK, FIN, RST, SYN, frame};
use shared::packet;

/// A ring that may be told to be full.
#[derive(Default)]
struct Out {
    records: Vec<Record>,
    room: Option<usize>,
}

impl Ring for Out {
    fn push(&mut self, line: &FlowLine, now: u32, cause: Cause) {
        self.records.push(Record { line: *line, now, cause: cause as u32 });
    }

    fn has_room(&mut self) -> bool {
        self.room.is_none_or(|room| self.records.len() < room)
    }
}

#[derive(Default)]
struct One {
    set: FlowSet,
    out: Out,
}

impl One {
    fn see(&mut self, packet: &Packet, now: u32) {
        account(&mut self.set, packet, now, Sight::Bare, &mut self.out, 0, None);
    }

    fn sweep(&mut self, now: u32, idle: u32) -> Swept {
        sweep(&mut self.set, now, idle, false, &mut self.out)
    }

    fn lines(&self) -> Vec<&FlowLine> {
        self.set.lines.iter().filter(|line| !line.is_free()).collect()
    }

    fn causes(&self) -> Vec<Cause> {
        self.out.records.iter().map(|record| Cause::from_number(record.cause).unwrap()).collect()
    }
}

fn udp(port: u16) -> Packet {
    packet(&frame().ipv4("10.0.0.1", "10.0.0.2").udp(port, 53).payload_len(2).build())
}

fn tcp(flags: u16) -> Packet {
    packet(&frame().ipv4("10.0.0.1", "10.0.0.2").tcp(1000, 80).flags(flags).build())
}

#[test]
fn a_hit_adds_and_keeps_the_first_and_the_latest_time() {
    let mut one = One::default();
    for now in [5, 7, 9] {
        one.see(&udp(1), now);
    }
    let [line] = one.lines()[..] else { panic!("one line") };
    assert_eq!((line.packets(), line.ip_bytes, line.link_bytes, line.first, line.last), (3, 90, 42, 5, 9));
    assert!(one.out.records.is_empty());
}

#[test]
fn flows_that_differ_in_any_field_have_lines_of_their_own() {
    let base = packet(&frame().ipv6("fd00::1", "fd00::2").udp(1, 53).build());
    for word in 0..11 {
        let mut other = base;
        match word {
            0..4 => other.key.src[word] ^= 1 << 31,
            4..8 => other.key.dst[word - 4] ^= 1,
            8 => other.key.sport ^= 1,
            9 => other.key.dport ^= 1,
            _ => other.key.tags ^= 1,
        }
        let mut one = One::default();
        one.see(&base, 1);
        one.see(&other, 1);
        assert_eq!(one.lines().len(), 2, "word {word}");
    }
    let mut other = base;
    other.key.place ^= 1 << 31;
    let mut one = One::default();
    one.see(&base, 1);
    one.see(&other, 1);
    assert_eq!(one.lines().len(), 2);
}

#[test]
fn flags_are_collected_and_the_opener_is_known() {
    let mut one = One::default();
    one.see(&tcp(SYN), 1);
    one.see(&tcp(ACK), 2);
    let [line] = one.lines()[..] else { panic!("one line") };
    assert_eq!((line.flags(), line.opened(), line.packets()), (0x12, true, 2));

    let mut answering = One::default();
    answering.see(&tcp(SYN | ACK), 1);
    answering.see(&tcp(ACK), 2);
    let [line] = answering.lines()[..] else { panic!("one line") };
    assert_eq!((line.flags(), line.opened(), line.packets()), (0x12, false, 2));

    let mut other = One::default();
    other.see(&udp(1), 1);
    assert_eq!((other.lines()[0].flags(), other.lines()[0].opened()), (0, false));
}

#[test]
fn a_new_connection_on_a_finished_tuple_begins_a_new_count() {
    for end in [FIN | ACK, RST, RST | ACK] {
        for begin in [SYN, SYN | ACK] {
            let mut one = One::default();
            one.see(&tcp(SYN), 1);
            one.see(&tcp(end), 2);
            one.see(&tcp(begin), 3);
            assert_eq!(one.causes(), [Cause::Reused]);
            let old = one.out.records[0].line;
            assert_eq!((old.packets(), old.opened(), old.first, old.last), (2, true, 1, 2));
            let [line] = one.lines()[..] else { panic!("one line") };
            assert_eq!((line.packets(), line.opened(), line.first), (1, begin == SYN, 3));
        }
    }
}

#[test]
fn no_other_packet_ends_a_count() {
    let mut one = One::default();
    // A repeated SYN, an answer, data after FIN, a second FIN: one connection all the same.
    for flags in [SYN, SYN, SYN | ACK, ACK, FIN | ACK, ACK, FIN | ACK, RST] {
        one.see(&tcp(flags), 1);
    }
    assert!(one.out.records.is_empty());
    assert_eq!(one.lines()[0].packets(), 8);
}

#[test]
fn packet_counters_are_handed_over_from_half_a_mi_on() {
    let mut one = One::default();
    let many = Packet { packets: (1 << 19) - 1, ..udp(1) };
    one.see(&many, 1);
    one.see(&udp(1), 2);
    assert!(one.out.records.is_empty(), "2¹⁹ − 1 and one more fit");
    one.see(&udp(1), 3);
    assert_eq!(one.causes(), [Cause::Full]);
    assert_eq!((one.out.records[0].line.packets(), one.lines()[0].packets()), (1 << 19, 1));
    assert_eq!((one.lines()[0].first, one.lines()[0].last), (3, 3));
}

#[test]
fn byte_counters_are_handed_over_from_2_gi_on() {
    for ip in [true, false] {
        let most = (1 << 30) - 1;
        let large = if ip { Packet { ip_bytes: most, ..udp(1) } } else { Packet { link_bytes: most, ..udp(1) } };
        let mut one = One::default();
        for now in 0..10 {
            one.see(&large, now);
        }
        assert_eq!(one.causes(), [Cause::Full; 3], "three buffers of this size reach 2³¹");
        let total = |of: fn(&FlowLine) -> u32| {
            one.out.records.iter().map(|r| u64::from(of(&r.line))).sum::<u64>() + u64::from(of(one.lines()[0]))
        };
        let bytes = if ip { total(|line| line.ip_bytes) } else { total(|line| line.link_bytes) };
        assert_eq!(bytes, 10 * u64::from(most));
    }
}

#[test]
fn counters_never_reach_the_bits_beside_them() {
    let mut one = One::default();
    let largest = Packet { packets: 0xffff, ..tcp(ACK) };
    for now in 0..1000 {
        one.see(&largest, now);
        assert!(!one.lines()[0].opened() && one.lines()[0].flags() == 0x10);
        assert_eq!(one.lines()[0].watch(), Watch::HEADS);
    }
    let handed: u64 = one.out.records.iter().map(|record| u64::from(record.line.packets())).sum();
    assert_eq!(handed + u64::from(one.lines()[0].packets()), 1000 * 0xffff);
}

#[test]
fn the_line_that_has_been_quiet_longest_goes() {
    let mut one = One::default();
    for (port, now) in [(1, 10), (2, 11), (3, 12), (4, 13), (1, 14)] {
        one.see(&udp(port), now);
    }
    one.see(&udp(5), 15);
    assert_eq!(one.causes(), [Cause::Evicted]);
    assert_eq!((one.out.records[0].line.key.sport, one.out.records[0].line.last), (2, 11));
    assert_eq!(one.lines().len(), WAYS);
}

#[test]
fn the_quietest_is_found_across_the_wrap_of_the_clock() {
    let mut one = One::default();
    for (port, now) in [(1, 0xfffe), (2, 0xffff), (3, 0x1_0000), (4, 0x1_0001)] {
        one.see(&udp(port), now);
    }
    one.see(&udp(5), 0x1_0002);
    one.see(&udp(6), 0x1_0003);
    let gone: Vec<u16> = one.out.records.iter().map(|record| record.line.key.sport).collect();
    assert_eq!(gone, [1, 2]);
}

#[test]
fn of_lines_equally_quiet_one_goes_and_a_free_line_goes_before_any() {
    let mut one = One::default();
    (1..=4).for_each(|port| one.see(&udp(port), 7));
    one.see(&udp(5), 7);
    assert_eq!((one.out.records.len(), one.lines().len()), (1, WAYS));
    one.set.lines[2] = FlowLine::default();
    one.see(&udp(6), 7);
    assert_eq!((one.out.records.len(), one.set.lines[2].key.sport), (1, 6));
}

#[test]
fn a_line_without_counters_is_replaced_without_a_record() {
    let mut one = One::default();
    (1..=4).for_each(|port| one.see(&udp(port), 7));
    assert_eq!(one.sweep(8, 100), Swept::Done(4));
    one.out.records.clear();
    one.see(&udp(5), 9);
    assert!(one.out.records.is_empty());
    assert_eq!(one.lines().iter().map(|line| line.packets()).sum::<u32>(), 1);
}

#[test]
fn a_sweep_hands_over_and_keeps_the_flow_until_it_is_idle() {
    let mut one = One::default();
    one.see(&udp(1), 100);
    assert_eq!(one.sweep(110, 20), Swept::Done(1), "active since the last sweep: its idle time begins");
    assert_eq!(one.causes(), [Cause::Swept]);
    assert_eq!((one.lines()[0].packets(), one.out.records[0].line.packets()), (0, 1));
    assert_eq!(one.sweep(120, 20), Swept::Done(1), "20 ticks are not more than 20");
    assert_eq!(one.sweep(121, 20), Swept::Done(0));
    assert_eq!(one.causes(), [Cause::Swept], "there was nothing to hand over");
}

#[test]
fn a_packet_after_a_sweep_begins_a_new_interval() {
    let mut one = One::default();
    one.see(&tcp(SYN), 100);
    one.sweep(150, 1000);
    one.see(&tcp(ACK), 200);
    let line = one.lines()[0];
    assert_eq!((line.first, line.last, line.flags(), line.opened(), line.packets()), (200, 200, 0x10, false, 1));
}

#[test]
fn draining_hands_over_and_frees_everything() {
    let mut one = One::default();
    (1..=3).for_each(|port| one.see(&udp(port), 7));
    assert_eq!(sweep(&mut one.set, 8, 1000, true, &mut one.out), Swept::Done(0));
    assert_eq!((one.out.records.len(), one.lines().len()), (3, 0));
}

#[test]
fn a_sweep_that_finds_the_ring_full_stops_and_goes_on_later() {
    let mut one = One { out: Out { room: Some(2), ..Out::default() }, ..One::default() };
    (1..=4).for_each(|port| one.see(&udp(port), 7));
    assert_eq!(one.sweep(8, 1000), Swept::Stalled);
    assert_eq!(one.lines().iter().map(|line| line.packets()).collect::<Vec<_>>(), [0, 0, 1, 1]);
    one.out.room = None;
    assert_eq!(one.sweep(9, 1000), Swept::Done(4));
    assert_eq!(one.out.records.iter().map(|record| record.now).collect::<Vec<_>>(), [8, 8, 9, 9]);
}

#[test]
fn sixteen_bits_of_time_are_widened_against_the_hand_over() {
    let record = |now, first, last| Record { line: FlowLine { first, last, ..FlowLine::default() }, now, cause: 0 };
    let ticks = |record: Record| (record.first_ticks(), record.last_ticks());
    assert_eq!(ticks(record(0x0005_0010, 0x0008, 0x0010)), (0x0005_0008, 0x0005_0010));
    assert_eq!(ticks(record(0x0005_0010, 0xfff0, 0x0001)), (0x0004_fff0, 0x0005_0001));
    assert_eq!(ticks(record(0x0005_0010, 0x0011, 0x0010)), (0x0004_0011, 0x0005_0010), "almost 2¹⁶ ticks");
    // The clock itself wraps at 32 bits.
    assert_eq!(ticks(record(0x0000_0003, 0xfffe, 0x0003)), (0xffff_fffe, 0x0000_0003));
}

#[test]
fn a_refusal_is_given_again_for_one_tick_and_an_acceptance_until_a_sweep() {
    let mut one = One::default();
    let mut see = |now, judged| account(&mut one.set, &udp(1), now, Sight::Off, &mut one.out, 1 << 16, judged);
    let (refused, accepted) = (Verdict::new(1, Action::Drop, 40), Verdict::new(1, Action::Accept, 41));
    assert!(see(10, None).is_unjudged());
    assert!(see(10, Some(refused)).drops());
    assert!(see(10, None).drops(), "the same tick");
    // What it answers may have been let out meanwhile.
    assert!(see(11, None).is_unjudged());
    assert!(see(11, Some(refused)).drops() && see(11, None).drops());
    assert!(see(12, None).is_unjudged());
    assert!(!see(12, Some(accepted)).drops());
    for now in 13..1000 {
        let counted = see(now, None);
        assert!(!counted.is_unjudged() && !counted.drops(), "{now}");
    }
    one.sweep(1000, 100_000);
    let counted = account(&mut one.set, &udp(1), 1001, Sight::Off, &mut one.out, 1 << 16, None);
    assert!(counted.is_unjudged());
    let [line] = one.lines()[..] else { panic!("one line") };
    assert_eq!(line.verdict, accepted.0);
    let handed: Vec<(u32, u32)> = one.out.records.iter().map(|r| (r.line.verdict, r.line.packets())).collect();
    assert_eq!(handed, [(refused.0, 4), (accepted.0, 988)]);
}

#[test]
fn what_a_policy_would_only_refuse_is_kept_like_an_acceptance() {
    let mut one = One::default();
    let observed = Verdict::new(1, Action::Reject, 40).observed();
    let mut see = |now, judged| account(&mut one.set, &udp(1), now, Sight::Off, &mut one.out, 1 << 16, judged);
    assert!(!see(10, Some(observed)).drops());
    assert!((11..500).all(|now| !see(now, None).is_unjudged()));
}
