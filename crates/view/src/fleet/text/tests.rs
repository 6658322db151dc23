//! Pictures of the pages, and that no name of another host can write to the terminal.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]

use expect_test::expect;

use super::*;
use crate::fleet::{FleetAnswer, example_fleet, merge_rules};
use crate::policy::example_policy;

#[test]
fn the_overview_says_of_how_many_hosts_each_part_is_and_how_old() {
    let page = render_fleet_text(&example_fleet(), 100);
    expect![[r#""#]].assert_eq(&page);
}

#[test]
fn before_the_first_total_the_overview_says_when_it_comes() {
    let fleet = FleetView { own_name: "db-1".to_owned(), cluster: "5eed".to_owned(), ..FleetView::default() };
    expect![[r#""#]].assert_eq(&render_fleet_text(&fleet, 80));
}

#[test]
fn members_are_a_line_each_with_what_they_do_about_the_policy() {
    let fleet = example_fleet();
    expect![[r#""#]].assert_eq(&render_members(&fleet.members[..4], Some(120)));
    expect![[r#""#]].assert_eq(&render_keys(&fleet.members[..4], None));
}

#[test]
fn flows_stand_behind_the_name_of_their_host() {
    let flow =
        FlowRow { protocol: "tcp".to_owned(), source_ip: "10.0.0.1".to_owned(), bytes: 1500, ..FlowRow::default() };
    let row = |host: &str| FleetFlowRow { host: host.to_owned(), host_id: "0123456789".to_owned(), flow: flow.clone() };
    let page = render_fleet_flows(&[row("web-1"), row("")], Some(100));
    let heads: Vec<&str> = page.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(heads, ["HOST", "web-1", "01234567"]);
    assert!(page.lines().skip(1).all(|line| line.contains("10.0.0.1") && line.len() <= 110), "{page}");
}

#[test]
fn rules_and_hosts_are_a_line_each() {
    let (policy, _) = example_policy();
    let rules = merge_rules(String::new(), FleetAnswer::default(), [&policy, &policy]).rules;
    expect![[r#""#]].assert_eq(&render_fleet_rules(&rules, Some(110)));
    let host =
        HostDigest { name: "web-1".to_owned(), policy: "edge".to_owned(), policy_version: 42, ..HostDigest::default() };
    assert!(render_digests(&[host], Some(100)).contains("edge 42"));
}

#[test]
fn names_of_other_hosts_cannot_write_to_the_terminal() {
    let mut fleet = example_fleet();
    fleet.members[0].name = "evil\x1b[2J".to_owned();
    fleet.links[0].to = "evil\x1b[2J".to_owned();
    fleet.alarms[0].detail = "evil\x1b[2J".to_owned();
    fleet.rollout.as_mut().unwrap().refusals[0].reason = "evil\x1b[2J".to_owned();
    fleet.own_name = "evil\x1b[2J".to_owned();
    let page = render_fleet_text(&fleet, 100);
    assert!(page.contains("evil?[2J") && !page.contains('\x1b'), "{page}");
}
