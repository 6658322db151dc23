//! Facts between a few cores: what is taken, what is refused and under which reason, what an operator is told.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod pair;

use hivewall_cluster::wire::{Datagram, PROTOCOL};
use hivewall_cluster::{Alarm, Event, Fact, Hash, NodeId, Order, Persist, Policy, Reason, Stand};
use pair::{Fleet, ban, entry, policy, record, sign};

fn version(fleet: &Fleet, at: usize) -> Option<u64> {
    fleet.cores[at].policy("edge").map(|policy| policy.head.version)
}

fn announce(fleet: &mut Fleet, to: usize, from: NodeId, facts: Vec<Fact>) {
    fleet.give(to, Event::Datagram { from, bytes: Datagram::Announce(facts).encode() });
}

#[test]
fn a_policy_reaches_all_is_written_down_and_a_newer_one_replaces_it() {
    let mut fleet = Fleet::new(5);
    fleet.order(2, Order::Publish(policy(1, "accept all")));
    fleet.run(200);
    assert!((0..5).all(|at| version(&fleet, at) == Some(1)));
    fleet.order(4, Order::Publish(policy(2, "drop all")));
    fleet.run(200);
    assert!((0..5).all(|at| version(&fleet, at) == Some(2)));
    let written = |at, version| {
        fleet.written.iter().any(|(host, what)| {
            *host == at && matches!(what, Persist::Policy(policy) if policy.head.version == version)
        })
    };
    assert!((0..5).all(|at| written(at, 1) && written(at, 2)));
}

#[test]
fn an_older_policy_is_refused_and_counted() {
    let mut fleet = Fleet::new(3);
    fleet.order(0, Order::Publish(policy(5, "five")));
    fleet.run(200);
    fleet.order(1, Order::Publish(policy(4, "four")));
    assert_eq!(version(&fleet, 1), Some(5));
    assert_eq!(fleet.cores[1].losses().get(Reason::Rollback), 1);
    // A peer that replays an old head gets nowhere either.
    announce(&mut fleet, 2, NodeId([1; 16]), vec![Fact::Policy(policy(3, "three").head)]);
    assert_eq!(fleet.cores[2].losses().get(Reason::Rollback), 1);
    assert_eq!(version(&fleet, 2), Some(5));
}

#[test]
fn a_policy_with_a_bad_signature_or_another_body_is_refused() {
    let mut fleet = Fleet::new(2);
    let forged = Policy { signature: vec![1; 32], ..policy(1, "forged") };
    fleet.order(0, Order::Publish(forged));
    let swapped = Policy { body: b"swapped".to_vec(), ..policy(1, "signed") };
    fleet.order(0, Order::Publish(swapped));
    fleet.run(100);
    assert_eq!((version(&fleet, 0), version(&fleet, 1)), (None, None));
    assert_eq!(fleet.cores[0].losses().get(Reason::Signature), 1);
    assert_eq!(fleet.cores[0].losses().get(Reason::WrongBody), 1);
}

#[test]
fn two_policies_of_one_version_freeze_it_everywhere_until_a_newer_one_comes() {
    let mut fleet = Fleet::new(4);
    fleet.cut = vec![3];
    fleet.order(0, Order::Publish(policy(1, "one")));
    fleet.order(3, Order::Publish(policy(1, "the other")));
    fleet.run(100);
    fleet.cut.clear();
    // Digests find out within their period.
    fleet.run(45_000);
    let body = |at: usize| fleet.cores[at].policy("edge").unwrap().body.clone();
    assert_eq!((body(0), body(3)), (b"one".to_vec(), b"the other".to_vec()));
    for at in 0..4 {
        assert!(fleet.cores[at].is_frozen("edge"), "host {at}");
        assert!(fleet.alarms(at).iter().any(|alarm| matches!(alarm, Alarm::TwoPolicies(..))), "host {at}");
    }
    fleet.order(1, Order::Publish(policy(2, "settled")));
    fleet.run(500);
    assert!((0..4).all(|at| version(&fleet, at) == Some(2) && !fleet.cores[at].is_frozen("edge")));
}

#[test]
fn a_ban_spreads_and_its_withdrawal_wins_whichever_comes_first() {
    let mut fleet = Fleet::new(4);
    let issuer = NodeId([2; 16]);
    fleet.order(1, Order::Ban(ban(issuer, 1, 600, false)));
    fleet.run(100);
    assert!(fleet.cores.iter().all(|core| core.bans().count() == 1));
    fleet.order(1, Order::Ban(ban(issuer, 1, 600, true)));
    fleet.run(100);
    assert!(fleet.cores.iter().all(|core| core.bans().count() == 0));
    // The ban comes late to everybody: it stays withdrawn.
    announce(&mut fleet, 3, issuer, vec![Fact::Ban(ban(issuer, 1, 600, false))]);
    // The withdrawal of a ban that nobody saw comes before it.
    announce(&mut fleet, 3, issuer, vec![Fact::Ban(ban(issuer, 2, 600, true))]);
    announce(&mut fleet, 3, issuer, vec![Fact::Ban(ban(issuer, 2, 600, false))]);
    fleet.run(100);
    assert!(fleet.cores.iter().all(|core| core.bans().count() == 0));
}

#[test]
fn a_ban_ends_at_its_time_and_one_that_lives_too_long_is_refused() {
    let mut fleet = Fleet::new(2);
    let issuer = NodeId([1; 16]);
    fleet.order(0, Order::Ban(ban(issuer, 1, 60, false)));
    fleet.order(0, Order::Ban(ban(issuer, 2, 3601, false)));
    fleet.run(100);
    assert!(fleet.cores.iter().all(|core| core.bans().count() == 1));
    assert_eq!(fleet.cores[0].losses().get(Reason::Expired), 1);
    fleet.run(60_000);
    assert!(fleet.cores.iter().all(|core| core.bans().count() == 0));
}

#[test]
fn an_issuer_that_floods_bans_is_stopped_at_its_quota_and_named() {
    let mut fleet = Fleet::new(2);
    let issuer = NodeId([2; 16]);
    for number in 0..10 {
        announce(&mut fleet, 0, issuer, vec![Fact::Ban(ban(issuer, number, 600, false))]);
    }
    assert_eq!(fleet.cores[0].bans().count(), 3);
    assert_eq!(fleet.cores[0].losses().get(Reason::Quota), 7);
    assert!(fleet.alarms(0).contains(&&Alarm::TooManyBans(issuer)));
    // Nobody fills another's quota.
    let mut forged = ban(NodeId([1; 16]), 1, 600, false);
    forged.signature = sign(&issuer.0, &hivewall_cluster::Claim::Ban(&forged));
    announce(&mut fleet, 0, issuer, vec![Fact::Ban(forged)]);
    assert_eq!(fleet.cores[0].losses().get(Reason::Signature), 1);
}

#[test]
fn the_audit_log_is_copied_in_order_without_holes_and_a_fork_raises_an_alarm() {
    let mut fleet = Fleet::new(3);
    let author = NodeId([1; 16]);
    fleet.cut = vec![2];
    let mut before = Hash([0; 32]);
    for number in 1..=5 {
        let one = entry(author, number, before, "applied a policy");
        before = one.hash();
        fleet.order(0, Order::Append(one));
    }
    fleet.run(100);
    assert_eq!(fleet.cores[1].audit(author).len(), 5);
    fleet.cut.clear();
    // The sixth arrives where the five before it are missing: they are asked for.
    fleet.order(0, Order::Append(entry(author, 6, before, "applied another")));
    fleet.run(200);
    assert_eq!(fleet.cores[2].audit(author), fleet.cores[0].audit(author));
    assert_eq!(fleet.cores[2].audit(author).len(), 6);
    announce(&mut fleet, 1, author, vec![Fact::Entry(entry(author, 3, Hash([0; 32]), "something else"))]);
    assert!(fleet.alarms(1).contains(&&Alarm::TwoEntries(author, 3)));
    assert_eq!(fleet.cores[1].audit(author).len(), 6);
}

#[test]
fn a_record_is_taken_from_its_own_host_alone_and_the_newest_revision_stays() {
    let mut fleet = Fleet::new(3);
    let id = NodeId([1; 16]);
    let mut forged = record(id, 9);
    forged.signature = vec![0; 32];
    announce(&mut fleet, 1, NodeId([3; 16]), vec![Fact::Member(forged)]);
    assert_eq!(fleet.cores[1].losses().get(Reason::Signature), 1);
    fleet.order(0, Order::Describe(record(id, 2)));
    fleet.run(100);
    announce(&mut fleet, 2, NodeId([2; 16]), vec![Fact::Member(record(id, 1))]);
    assert!(fleet.cores.iter().all(|core| core.member(id).unwrap().revision == 2));
    assert_eq!(fleet.cores[2].address_of(id), ["10.0.0.1:7734".parse().unwrap()]);
}

#[test]
fn messages_of_other_versions_kinds_and_lengths_cost_a_counter_each() {
    let mut fleet = Fleet::new(2);
    let from = NodeId([2; 16]);
    let cases: [(Vec<u8>, Reason); 6] = [
        (vec![PROTOCOL + 1, 0, 0], Reason::Version),
        (vec![PROTOCOL, 99, 1, 2], Reason::UnknownKind),
        (vec![PROTOCOL], Reason::Malformed),
        (vec![PROTOCOL, 2, 255, 255], Reason::Malformed),
        (vec![PROTOCOL; 1201], Reason::TooLong),
        // A membership message in somebody else's name.
        (
            [&[PROTOCOL, 0][..], &[7; 16], &[0, 0, 0, 1, 0, 0], &[1; 16], &[0, 0, 0, 1, 0, 4]].concat(),
            Reason::NotSender,
        ),
    ];
    for (bytes, reason) in cases {
        let before = fleet.cores[0].losses().get(reason);
        fleet.give(0, Event::Datagram { from, bytes: bytes.clone() });
        assert_eq!(fleet.cores[0].losses().get(reason), before + 1, "{bytes:?}");
    }
    assert_eq!(fleet.cores[0].alive().len(), 2);
}

#[test]
fn a_host_that_was_away_says_so_and_accuses_nobody() {
    let mut fleet = Fleet::new(4);
    // The first host sleeps; the others are away from its view, and it wakes up with all its timers overdue.
    fleet.ms += 60_000;
    fleet.give(0, Event::Wake);
    assert!(fleet.alarms(0).iter().any(|alarm| matches!(alarm, Alarm::Away(ms) if *ms > 50_000)));
    assert!(fleet.cores[0].doubt() > 0);
    fleet.run(60_000);
    assert!(fleet.cores.iter().all(|core| core.alive().len() == 4));
    assert_eq!(fleet.cores[0].doubt(), 0);
}

#[test]
fn a_total_says_how_hosts_stand_to_a_policy_and_why_one_refused_it() {
    let mut fleet = Fleet::new(4);
    fleet.order(0, Order::Publish(policy(1, "one")));
    fleet.run(200);
    let head = policy(1, "one").head;
    fleet.order(1, Order::Report(head.clone(), Stand::Enforced));
    fleet.order(2, Order::Report(head.clone(), Stand::Refused("no such interface".to_owned())));
    fleet.order(3, Order::Watch(true));
    fleet.run(7000);
    let epoch = fleet.now().unix_ms / 10_000 - 1;
    let empty = hivewall_sketch::Summary::default().encode();
    (0..4).for_each(|at| fleet.order(at, Order::Contribute { epoch, summary: empty.clone() }));
    fleet.run(6000);
    let total = fleet.cores[3].total().unwrap();
    assert_eq!((total.epoch, total.heard, total.known), (epoch, 4, 4));
    let standing = &total.standings[0];
    assert_eq!((standing.have, standing.enforced, standing.refused), (2, 1, 1));
    assert_eq!(standing.examples, [(NodeId([3; 16]), "no such interface".to_owned())]);
    assert!(total.coverage() >= 1.0 && total.age_ms(fleet.now().unix_ms) < 20_000);
}
