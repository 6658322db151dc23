//! The policy of the sample agents: none, one rule, and a document under trial with many.

use hivewall_view::policy::{BanView, RuleView, TableFill, example_policy};
use hivewall_view::{FlowRow, Snapshot};

use super::Load;

/// Rules of the busy agent between its guard and its default.
const RULES: u64 = 40;

pub(super) fn fill(snapshot: &mut Snapshot, load: Load) {
    if load == Load::Empty {
        return;
    }
    let (mut policy, mut refused) = example_policy();
    if load == Load::One {
        "active".clone_into(&mut policy.state);
        policy.pending = None;
        policy.reverted = 0;
        policy.bans.clear();
        (policy.bans_total, policy.logs_suppressed) = (0, 0);
        refused.rules.truncate(1);
    } else {
        let last = policy.rules.pop();
        policy.rules.extend((0..RULES).map(rule));
        policy.rules.extend(last);
        policy.bans.extend((1..30).map(ban));
        policy.bans_total = 12_345;
        policy.problems.push("the policy is meant to hold until 2027-01-01: sign a new one".to_owned());
        policy.tables.insert("limits".to_owned(), TableFill { entries: 65_536, limit: 65_536, refused: 12 });
        for row in &mut refused.rules {
            row.refused.observed_in_packets = 77;
        }
    }
    snapshot.firewall_rules = policy;
    snapshot.refused = refused;
}

fn rule(n: u64) -> RuleView {
    let refuses = n % 7 == 3;
    RuleView {
        id: format!("service-{n}"),
        tier: "main".to_owned(),
        direction: ["in", "out", "both"][n as usize % 3].to_owned(),
        action: if refuses { "reject" } else { "accept" }.to_owned(),
        conditions: format!("tcp to port {} from 10.{n}.0.0/16", 8000 + n),
        line: Some(20 + n as u32),
        packets: if n % 5 == 4 { 0 } else { 4_000_000 / (n + 1) },
        bytes: if n % 5 == 4 { 0 } else { 2_000_000_000 / (n + 1) },
        flows: if n % 5 == 4 { 0 } else { 9000 / (n + 1) },
        packets_per_second: if n % 5 == 4 { 0.0 } else { 5200.0 / (n + 1) as f64 },
        last_hit: (n % 5 != 4).then(|| format!("2026-11-21T09:59:{:02}.500000Z", n % 60)),
        ..RuleView::default()
    }
}

fn ban(n: u64) -> BanView {
    BanView {
        prefix: if n % 4 == 3 { format!("2001:db8:bad:{n:x}::/64") } else { format!("203.0.113.{n}") },
        reason: if n.is_multiple_of(2) { "port scan of 120 ports" } else { "" }.to_owned(),
        origin: if n.is_multiple_of(2) { "port-scan" } else { "operator" }.to_owned(),
        since: Some(format!("2026-11-21T09:{:02}:00.000000Z", 30 - n)),
        seconds_left: (!n.is_multiple_of(5)).then_some(n as f64 * 300.0),
    }
}

/// What the policy said of a flow: few are refused.
pub(super) fn judge(mut row: FlowRow, n: u64) -> FlowRow {
    let (verdict, rule) = match n % 10 {
        6 => ("drop", "main:default-in"),
        8 => ("observed", "service-3"),
        _ => ("accept", "web"),
    };
    row.verdict = Some(verdict.to_owned());
    row.rule = Some(rule.to_owned());
    row.would_drop = verdict == "observed";
    row.policy_epoch = Some(7);
    if verdict == "drop" {
        (row.dropped_packets, row.dropped_bytes) = (row.packets, row.bytes);
    }
    row
}
