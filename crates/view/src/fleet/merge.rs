//! Many hosts' answers made one: flows, rules, a digest of each. Deliberately not here: how hosts are asked. Invariant: a page of
//! the whole is what one host with all the flows would have answered, as long as every host is asked with [`of_each_host`].

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{
    FleetAnswer, FleetFlowPage, FleetFlowRow, FleetRuleRow, FleetRulesPage, HostDigest, HostMissing, MISSING_SHOWN,
};
use crate::policy::{PolicyView, RuleView};
use crate::query::LIMIT_MAX;
use crate::{FlowPage, Query, Snapshot};

impl FleetAnswer {
    /// Of so many hosts that answered and these that did not.
    pub fn of(heard: usize, mut missing: Vec<HostMissing>, took_ms: u64) -> Self {
        let known = heard + missing.len();
        missing.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        missing.truncate(MISSING_SHOWN);
        Self { heard: heard as u64, known: known as u64, complete: heard == known, took_ms, missing }
    }
}

/// What each host is asked, so that the page that was asked for can be made of the answers.
pub fn of_each_host(query: &Query) -> Query {
    let limit = query.offset.saturating_add(query.page_limit()).min(LIMIT_MAX);
    Query { limit, offset: 0, ..query.clone() }
}

/// The page that was asked for, of what hosts answered: id, name, page.
pub fn merge_flows(
    query: &Query,
    time: String,
    answer: FleetAnswer,
    pages: impl IntoIterator<Item = (String, String, FlowPage)>,
) -> FleetFlowPage {
    let (mut matched, mut searched) = (0, 0);
    let mut rows = Vec::new();
    for (host_id, host, page) in pages {
        matched += page.matched;
        searched += page.searched;
        rows.extend(page.flows.into_iter().map(|flow| FleetFlowRow {
            host: host.clone(),
            host_id: host_id.clone(),
            flow,
        }));
    }
    rows.sort_by_cached_key(|row| (Reverse(query.sort.weight(&row.flow)), row.host_id.clone(), row.flow.flow_id));
    let held = rows.len();
    let flows: Vec<FleetFlowRow> = rows.into_iter().skip(query.offset).take(query.page_limit()).collect();
    let next = query.offset.saturating_add(flows.len());
    // Beyond what each host gives at most there is no next page, however much matched.
    let next_offset = (next < held || ((next as u64) < matched && next < LIMIT_MAX)) && !flows.is_empty();
    FleetFlowPage { time, answer, matched, searched, flows, next_offset: next_offset.then_some(next as u64) }
}

/// The rules that hold on hosts, with their counters added up.
pub fn merge_rules<'a>(
    time: String,
    answer: FleetAnswer,
    policies: impl IntoIterator<Item = &'a PolicyView>,
) -> FleetRulesPage {
    let mut groups: BTreeMap<(&str, u64), Group<'a>> = BTreeMap::new();
    for policy in policies {
        let group = groups.entry((&policy.name, policy.version)).or_default();
        group.hosts += 1;
        for rule in &policy.rules {
            group.add(rule);
        }
    }
    let mut groups: Vec<((&str, u64), Group<'_>)> = groups.into_iter().collect();
    groups.sort_by_key(|((name, version), group)| (Reverse(group.hosts), *name, Reverse(*version)));
    let rules = groups
        .into_iter()
        .flat_map(|((name, version), group)| {
            group.rows.into_iter().map(move |row| FleetRuleRow { policy: name.to_owned(), version, ..row })
        })
        .collect();
    FleetRulesPage { time, answer, rules }
}

/// Hosts of one policy and version.
#[derive(Default)]
struct Group<'a> {
    hosts: u64,
    /// In order of judgement at the first host that has the rule.
    rows: Vec<FleetRuleRow>,
    places: BTreeMap<&'a str, usize>,
}

impl<'a> Group<'a> {
    fn add(&mut self, rule: &'a RuleView) {
        let place = *self.places.entry(&rule.id).or_insert(self.rows.len());
        if place == self.rows.len() {
            self.rows.push(FleetRuleRow {
                hosts: 1,
                hosts_hit: u64::from(rule.packets > 0),
                rule: rule.clone(),
                ..FleetRuleRow::default()
            });
        } else if let Some(row) = self.rows.get_mut(place) {
            row.hosts += 1;
            row.hosts_hit += u64::from(rule.packets > 0);
            add_up(&mut row.rule, rule);
        }
    }
}

fn add_up(sum: &mut RuleView, rule: &RuleView) {
    sum.packets += rule.packets;
    sum.bytes += rule.bytes;
    sum.flows += rule.flows;
    sum.packets_per_second += rule.packets_per_second;
    sum.bits_per_second += rule.bits_per_second;
    // RFC 3339 in UTC with as many digits everywhere: the order of texts is the order of times.
    if rule.last_hit > sum.last_hit {
        sum.last_hit.clone_from(&rule.last_hit);
    }
}

impl HostDigest {
    /// What a host tells of itself when the fleet is asked; whoever asks fills in `id` and `name`.
    pub fn of(snapshot: &Snapshot) -> Self {
        let policy = &snapshot.firewall_rules;
        let captured = || snapshot.interface_utilization.values().filter(|interface| interface.captured);
        let failures = policy.all_failures().into_iter().map(|failure| failure.detail);
        let mut problems: Vec<String> = policy.problems.iter().cloned().chain(failures).collect();
        problems.dedup();
        Self {
            id: String::new(),
            name: String::new(),
            time: snapshot.time.clone(),
            version: snapshot.host.version.clone(),
            kernel: snapshot.host.kernel.clone(),
            uptime_seconds: snapshot.host.uptime_seconds,
            source: snapshot.capture.source.clone(),
            flows: snapshot.flow_counts.active,
            in_bits_per_second: captured().map(|interface| interface.in_bits_per_second).sum(),
            out_bits_per_second: captured().map(|interface| interface.out_bits_per_second).sum(),
            policy: policy.name.clone(),
            policy_version: policy.version,
            policy_mode: policy.mode.clone(),
            refused_packets: snapshot.refused.total.in_packets + snapshot.refused.total.out_packets,
            lost_packets: snapshot.losses.values().map(|loss| loss.packets).sum(),
            problems,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FlowRow, Sort};

    fn page(bytes: &[u64]) -> FlowPage {
        let flows = bytes.iter().zip(1..).map(|(&bytes, flow_id)| FlowRow { flow_id, bytes, ..FlowRow::default() });
        let flows: Vec<FlowRow> = flows.collect();
        FlowPage { matched: flows.len() as u64, searched: 10, flows, ..FlowPage::default() }
    }

    fn hosts() -> [(String, String, FlowPage); 2] {
        [("aa", "one", page(&[90, 50, 10])), ("bb", "two", page(&[70, 50]))]
            .map(|(id, name, page)| (id.to_owned(), name.to_owned(), page))
    }

    #[test]
    fn pages_of_all_follow_one_another_in_the_order_that_was_asked_for() {
        let mut seen = Vec::new();
        let mut query = Query { limit: 2, sort: Sort::Bytes, ..Query::default() };
        loop {
            assert_eq!(of_each_host(&query).limit, query.offset + 2);
            let page = merge_flows(&query, String::new(), FleetAnswer::of(2, Vec::new(), 3), hosts());
            assert_eq!((page.matched, page.searched), (5, 20));
            seen.extend(page.flows.iter().map(|row| (row.host.clone(), row.flow.bytes)));
            let Some(next) = page.next_offset else { break };
            query.offset = next as usize;
        }
        let want = [("one", 90), ("two", 70), ("one", 50), ("two", 50), ("one", 10)];
        assert_eq!(seen, want.map(|(host, bytes)| (host.to_owned(), bytes)));
    }

    #[test]
    fn hosts_without_an_answer_are_named_in_order_and_the_answer_is_not_complete() {
        let missing = |name: &str| HostMissing { name: name.to_owned(), ..HostMissing::default() };
        let answer = FleetAnswer::of(18, vec![missing("web-9"), missing("db-1")], 40);
        assert_eq!((answer.heard, answer.known, answer.complete), (18, 20, false));
        assert_eq!(answer.missing.iter().map(|host| host.name.as_str()).collect::<Vec<_>>(), ["db-1", "web-9"]);
        assert!(FleetAnswer::of(1, Vec::new(), 0).complete, "alone one is all");
    }

    #[test]
    fn counters_of_a_rule_add_up_over_hosts_and_versions_stay_apart() {
        let rule = |id: &str, packets: u64, last: Option<&str>| RuleView {
            id: id.to_owned(),
            packets,
            bytes: packets * 100,
            last_hit: last.map(str::to_owned),
            ..RuleView::default()
        };
        let policy = |version, rules| PolicyView { name: "edge".to_owned(), version, rules, ..PolicyView::default() };
        let policies = [
            policy(42, vec![rule("ssh", 3, Some("2026-11-26T10:00:00.000000Z")), rule("web", 0, None)]),
            policy(41, vec![rule("ssh", 100, None)]),
            policy(42, vec![rule("ssh", 4, Some("2026-11-26T10:00:09.000000Z")), rule("web", 0, None)]),
        ];
        let page = merge_rules(String::new(), FleetAnswer::of(3, Vec::new(), 0), &policies);
        let rows: Vec<_> = page
            .rules
            .iter()
            .map(|row| (row.version, row.rule.id.as_str(), row.hosts, row.hosts_hit, row.rule.packets, row.rule.bytes))
            .collect();
        assert_eq!(rows, [(42, "ssh", 2, 1 + 1, 7, 700), (42, "web", 2, 0, 0, 0), (41, "ssh", 1, 1, 100, 10_000)]);
        assert_eq!(page.rules[0].rule.last_hit.as_deref(), Some("2026-11-26T10:00:09.000000Z"));
    }
}
