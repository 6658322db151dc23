//! Pictures of the pages, and that no name of another host can write to the terminal.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]

use expect_test::expect;

use super::*;
use crate::fleet::{FleetAnswer, example_fleet, merge_rules};
use crate::policy::example_policy;

#[test]
fn the_overview_says_of_how_many_hosts_each_part_is_and_how_old() {
    let page = render_fleet_text(&example_fleet(), 100);
    expect![[r#"
        Fleet 5eed0c1a57e40000c0ffee00deadbeef seen from gate-1 · may invite
        Members: 18 alive, 1 suspect, 1 down
        Traffic: 1.1 Gbit/s, 1.8M packets, 14.0k flows in 10.0s (17 of 19 hosts, 9s old): tcp in 900 MB, tcp out 450 MB, udp in 50.0 MB
        Different: 12.3k ±3.2% sources, 840 ±3.2% destinations, 40.5k ±3.2% pairs
        Policy edge 42: enforced by 17 of 19 hosts, 1 has it, 1 refused it
          not confirmed: taken back at 2026-11-26T10:02:00Z
          db-1 refused it: no interface `wan0` here
        Bans: 1 · Log: 31 entries, latest 2026-11-26T09:59:00Z: policy-applied edge 42
        This host: heard 10.5 MB, sent 10.5 MB, 6 connections, 18 sessions · lost: unanswered 14, link handshake_rate 3
        Alarm 2026-11-26T09:57:00Z: this host stood still for 4.1s and accuses nobody for a while

        Largest sources (17 of 19 hosts, 9s old, ±0.6%):
        SOURCE        HOST   BYTES  BOUND
        10.0.0.3      db-1  600 MB  +1.4%
        198.51.100.9        120 MB  +7.0%

        Largest destinations (17 of 19 hosts, 9s old, ±0.5%):
        DESTINATION   HOST      BYTES  BOUND
        10.0.0.6      web-06   410 MB  +1.7%
        203.0.113.80          90.0 MB  +7.8%

        Largest services (17 of 19 hosts, 9s old, exact):
        SERVICE     BYTES  BOUND
        tcp/443    800 MB
        tcp/5432   500 MB
        udp/53    50.0 MB

        Members that are not alive:
        HOST   STATE    SINCE UTC             POLICY   ADDRESS        LABELS    AGENT  FLAGS
        db-2   down     2026-11-26T09:12:40Z           10.0.0.4:7744  role=db   0.5.0
        web-7  suspect  2026-11-26T09:12:40Z  have 42  10.0.0.5:7744  role=web  0.5.0

        Slowest links:
        FROM    TO        RTT  JITTER  LOSS  HEARD AGO  HOW
        gate-1  db-1     12ms     2ms  2.0%      310ms  quic
        gate-1  web-06  420us    50us    0%      310ms  noise
    "#]].assert_eq(&page);
}

#[test]
fn before_the_first_total_the_overview_says_when_it_comes() {
    let fleet = FleetView { own_name: "db-1".to_owned(), cluster: "5eed".to_owned(), ..FleetView::default() };
    expect![[r#"
        Fleet 5eed seen from db-1 · alone
        Members: nobody known
        Total: none yet; the first comes within half a minute
        Policy: none in the fleet
        Bans: 0 · Log: 0 entries
        This host: heard 0 B, sent 0 B, 0 connections, 0 sessions · lost: nothing
    "#]]
    .assert_eq(&render_fleet_text(&fleet, 80));
}

#[test]
fn members_are_a_line_each_with_what_they_do_about_the_policy() {
    let fleet = example_fleet();
    expect![[r#"
        HOST               STATE    SINCE UTC             POLICY                                ADDRESS        LABELS     AGENT
        db-2               down     2026-11-26T09:12:40Z                                        10.0.0.4:7744  role=db    0.5.0
        web-7              suspect  2026-11-26T09:12:40Z  have 42                               10.0.0.5:7744  role=web   0.5.0
        gate-1 (this one)  alive    2026-11-26T09:12:40Z  enforced 42                           10.0.0.1:7744  role=gate  0.5.0
        db-1               alive    2026-11-26T09:12:40Z  refused 42: no interface `wan0` here  10.0.0.3:7744  role=db    0.5.0
    "#]].assert_eq(&render_members(&fleet.members[..4], Some(120)));
    expect![[r#"
        HOST    KEY                               MAY     STATE    PROTOCOL
        db-2    78dde6e5fd29f0540000000000000004          down            1
        web-7   1715609f7c746c690000000000000005          suspect         1
        gate-1  9e3779b97f4a7c150000000000000001  invite  alive           1
        db-1    daa66d2c7ddf743f0000000000000003          alive           1
    "#]]
    .assert_eq(&render_keys(&fleet.members[..4], None));
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
    expect![[r#"
        POLICY   RULE             ACTION  WAY   HOSTS  HIT  PACKETS   BYTES   RATE  LAST UTC  MATCHES
        edge 42  guard:ssh        accept  both      2    0        0     0 B    0/s            tcp to port …10.9.0.0/24
        edge 42  web              accept  in        2    2     2.4k  144 kB  240/s  10:00:00  tcp to port 80,443
        edge 42  main:default-in  drop    in        2    2       60  3.6 kB  6.0/s  10:00:00
    "#]]
    .assert_eq(&render_fleet_rules(&rules, Some(110)));
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
