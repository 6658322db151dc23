//! What the policy said of flows, and what is counted as refused.
//!
//! Invariant: totals of traffic are of what was seen, whatever became of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Desk, Rec, host, interface, patient, tcp, udp};
use hivewall_datapath::policy::VerdictCause;
use hivewall_engine::{Event, FrontDrops, LogRate, PolicyTold, RuleHits, RulesTold};
use hivewall_model::{Action, Rank, RuleNames, Verdict};
use hivewall_view::policy::{PolicyView, RuleView};

const A: &str = "198.51.100.9:40000";
const B: &str = "10.0.0.2:443";
const WEB: u32 = 32;
const DEFAULT: u32 = 33;

fn rules(version: u64, logged: Vec<(u32, LogRate)>) -> Event<'static> {
    let names = RuleNames::new([(WEB, "web".into()), (DEFAULT, "main:default-in".into())]);
    let rule =
        |id: &str, action: &str| RuleView { id: id.to_owned(), action: action.to_owned(), ..RuleView::default() };
    let rules = vec![(WEB, rule(&format!("web{version}"), "accept")), (DEFAULT, rule("main:default-in", "drop"))];
    Event::Rules(RulesTold { names, rules, logged })
}

fn desk() -> Desk {
    let mut desk = Desk::new(patient());
    desk.know(host(&["10.0.0.2"]));
    desk.step(rules(1, Vec::new()));
    desk
}

fn judged(mut rec: Rec, verdict: Verdict) -> Rec {
    rec.record.line.verdict = verdict.0;
    rec
}

fn accepted(rec: Rec) -> Rec {
    judged(rec, Verdict::new(1, Action::Accept, WEB))
}

fn dropped(rec: Rec) -> Rec {
    judged(rec, Verdict::new(1, Action::Drop, DEFAULT))
}

#[test]
fn a_flow_shows_the_rule_that_accepted_it() {
    let mut desk = desk();
    desk.feed([accepted(tcp(A, B).flags("SO")), accepted(tcp(B, A).flags("SA").out())]);
    let row = desk.only();
    assert_eq!((row.verdict.as_deref(), row.rule.as_deref()), (Some("accept"), Some("web")));
    assert_eq!((row.policy_epoch, row.reply_verdict, row.dropped_packets), (Some(1), None, 0));
    assert!(desk.snapshot().refused.total.is_zero());
}

#[test]
fn what_was_refused_is_seen_and_counted_apart() {
    let mut desk = desk();
    desk.feed([dropped(tcp(A, B).flags("SO").packets(3)), accepted(udp("10.0.0.9:1", "10.0.0.2:53"))]);
    let row = desk.rows().remove(0);
    assert_eq!((row.verdict.as_deref(), row.rule.as_deref()), (Some("drop"), Some("main:default-in")));
    assert_eq!((row.packets, row.dropped_packets, row.dropped_bytes), (3, 3, 300));
    assert_eq!(desk.total(), (4, 400), "seen, all of it");
    let refused = desk.snapshot().refused;
    assert_eq!((refused.total.in_packets, refused.total.in_bytes, refused.total.out_packets), (3, 300, 0));
    assert_eq!(refused.interfaces["eth0"], refused.total);
    assert_eq!((refused.rules[0].rule.as_str(), refused.rules[0].is_cause), ("main:default-in", false));
}

#[test]
fn what_is_only_observed_is_not_dropped() {
    let mut desk = desk();
    let verdict = Verdict::new(1, Action::Reject, DEFAULT).observed();
    desk.feed([judged(udp(A, B).packets(2), verdict)]);
    let row = desk.only();
    assert_eq!((row.verdict.as_deref(), row.would_drop, row.dropped_packets), (Some("observed"), true, 0));
    let total = desk.snapshot().refused.total;
    assert_eq!((total.packets(), total.observed_packets(), total.observed_in_bytes), (0, 2, 200));
}

#[test]
fn the_latest_policy_decides_and_the_strictest_place() {
    let mut desk = desk();
    let at = |epoch, action, rec| {
        judged(rec, Verdict::new(epoch, action, if action == Action::Accept { WEB } else { DEFAULT }))
    };
    desk.know(vec![interface(1, "eth0", Rank::Plain), interface(2, "eth1", Rank::Plain)]);
    desk.feed([at(1, Action::Accept, tcp(A, B)), at(1, Action::Drop, tcp(A, B).on(2).out())]);
    assert_eq!(desk.only().verdict.as_deref(), Some("drop"), "received, and not forwarded");
    desk.feed([at(2, Action::Accept, tcp(A, B).at(5))]);
    assert_eq!(desk.only().verdict.as_deref(), Some("accept"), "the policy changed");
    desk.feed([at(1, Action::Drop, tcp(A, B).on(2).out().at(6))]);
    let row = desk.only();
    assert_eq!((row.verdict.as_deref(), row.policy_epoch), (Some("accept"), Some(2)), "a record that came late");
    assert_eq!(row.dropped_packets, 2, "what it dropped is counted");
    desk.feed([at(u16::MAX, Action::Drop, tcp("10.0.0.5:1", B)), at(1, Action::Accept, tcp("10.0.0.5:1", B).at(7))]);
    assert_eq!(desk.rows()[1].verdict.as_deref(), Some("accept"), "epochs go round");
}

#[test]
fn directions_that_fare_differently_show_both() {
    let mut desk = desk();
    desk.feed([accepted(tcp(A, B).flags("SO")), dropped(tcp(B, A).flags("SA").out().at(1))]);
    let row = desk.only();
    assert_eq!((row.verdict.as_deref(), row.reply_verdict.as_deref()), (Some("accept"), Some("drop")));
    assert_eq!((row.reply_rule.as_deref(), row.dropped_packets), (Some("main:default-in"), 1));
}

#[test]
fn rules_count_packets_flows_and_rates() {
    let mut desk = desk();
    desk.tick(1000);
    desk.feed([
        accepted(tcp(A, B).at(1100)),
        accepted(tcp(B, A).out().at(1200)),
        dropped(udp(A, B).packets(4).at(1300)),
    ]);
    desk.tick(2000);
    let policy = desk.snapshot().firewall_rules;
    let counts: Vec<_> =
        policy.rules.iter().map(|rule| (rule.id.as_str(), rule.packets, rule.bytes, rule.flows)).collect();
    assert_eq!(counts, [("web1", 2, 200, 1), ("main:default-in", 4, 400, 1)]);
    assert_eq!((policy.rules[1].packets_per_second, policy.rules[1].bits_per_second), (4.0, 3200.0));
    assert!(policy.rules[1].last_hit.is_some() && policy.state == "none");
}

#[test]
fn the_datapaths_own_counters_go_before_what_was_seen() {
    let mut desk = desk();
    let hits = |packets| vec![RuleHits { counter: WEB, packets, bytes: packets * 10 }];
    let front = vec![FrontDrops { ifindex: 1, cause: VerdictCause::Ban, packets: 7, bytes: 420 }];
    let view = PolicyView { state: "active".to_owned(), name: "edge".to_owned(), ..PolicyView::default() };
    let told =
        |packets| Event::Policy(Box::new(PolicyTold { view: view.clone(), hits: hits(packets), front: front.clone() }));
    desk.step(told(1000));
    desk.tick(0).tick(1000);
    assert!(desk.snapshot().firewall_rules.rules[0].packets_per_second < 0.1, "what was before the start is no rate");
    desk.step(told(1010));
    desk.tick(2000);
    let snapshot = desk.snapshot();
    let rule = &snapshot.firewall_rules.rules[0];
    assert_eq!((rule.packets, rule.bytes, rule.packets_per_second), (1010, 10_100, 10.0));
    assert_eq!(snapshot.firewall_rules.title(), "edge 0");
    assert_eq!((snapshot.refused.total.in_packets, snapshot.refused.rules[0].rule.as_str()), (7, "(ban)"));
}

#[test]
fn refusals_are_logged_within_the_rate_of_their_rule() {
    let mut desk = desk();
    let rate = LogRate { count: 2, per: Duration::from_secs(1) };
    desk.step(rules(2, vec![(DEFAULT, rate)]));
    let probes =
        |at: i64| (1..=5).map(move |port| dropped(tcp(A, &format!("10.0.0.2:{}", at + port)).flags("SO").at(at)));
    desk.feed(probes(0));
    let logged: Vec<_> = desk.effects.refusals.drain(..).map(|refusal| refusal.not_logged).collect();
    assert_eq!(logged, [0, 0], "two a second");
    assert_eq!(desk.snapshot().firewall_rules.logs_suppressed, 3);
    // A change of policy is no new allowance.
    desk.step(rules(3, vec![(DEFAULT, rate)]));
    desk.feed(probes(100));
    assert!(desk.effects.refusals.is_empty());
    desk.tick(2000);
    desk.feed(probes(2000));
    let refusal = desk.effects.refusals.remove(0);
    assert_eq!((refusal.not_logged, &*refusal.ruling.rule, refusal.to_server), (8, "main:default-in", true));
    assert_eq!((refusal.packets, refusal.ifindex), (1, 1));
    desk.feed([dropped(tcp(A, "10.0.0.2:2001").at(2100)), accepted(tcp("10.0.0.7:1", B).at(2100))]);
    assert_eq!(desk.effects.refusals.len(), 1, "a flow is refused once");
}

#[test]
fn a_counter_that_another_rule_has_now_begins_anew() {
    let mut desk = desk();
    desk.feed([dropped(tcp(A, B).flags("SO").packets(3))]);
    let names = RuleNames::new([(WEB, "web".into()), (DEFAULT, "mail".into())]);
    let rule = RuleView { id: "mail".to_owned(), ..RuleView::default() };
    desk.step(Event::Rules(RulesTold { names, rules: vec![(DEFAULT, rule)], logged: Vec::new() }));
    let snapshot = desk.snapshot();
    assert_eq!(snapshot.firewall_rules.rules[0].packets, 0);
    assert_eq!((snapshot.refused.total.in_packets, snapshot.refused.rules[0].rule.as_str()), (3, "(other)"));
}
