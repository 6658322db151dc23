//! A policy rehearsed by every host over its own flows. Deliberately not here: how a host judges.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words::hosts;
use super::{FleetAnswer, HostMissing};
use crate::policy::{PolicyName, Rehearsal, RehearsalSum};
use crate::units;

/// What a policy would have done on the hosts of the fleet (`POST /api/v1/fleet/rehearse`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetRehearsal {
    /// When it was answered, RFC 3339, UTC.
    pub time: String,
    /// Who answered.
    pub answer: FleetAnswer,
    /// The policy that was tried.
    pub policy: PolicyName,
    /// Hosts where it would cut flows.
    pub hosts_cut: u64,
    /// What it would cut on all of them: what it refuses and the policy in force there does not. A flow between two members counts at
    /// each of them that refuses it.
    pub cut: RehearsalSum,
    /// What was judged on all of them.
    pub seen: RehearsalSum,
    /// Each host that answered, the most cut first.
    pub hosts: Vec<HostRehearsal>,
}

/// What a policy would have done on one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostRehearsal {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it would cut there.
    pub cut: RehearsalSum,
    /// All that the host said of it.
    pub rehearsal: Rehearsal,
}

impl Rehearsal {
    /// What would be refused that passes now: all that it refuses, where there is no policy to compare with.
    pub fn cut(&self) -> RehearsalSum {
        self.newly_refused.unwrap_or(self.refused)
    }
}

impl std::ops::AddAssign for RehearsalSum {
    fn add_assign(&mut self, more: Self) {
        self.flows += more.flows;
        self.packets += more.packets;
        self.bytes += more.bytes;
    }
}

/// The whole of what hosts said: id, name, and what became of it or why nothing did.
pub fn merge_rehearsals(
    time: String,
    answer: &FleetAnswer,
    said: Vec<(String, String, Result<Rehearsal, String>)>,
) -> FleetRehearsal {
    let (mut rehearsed, mut missing) = (Vec::new(), answer.missing.clone());
    for (id, name, said) in said {
        match said {
            Ok(rehearsal) => rehearsed.push(HostRehearsal { id, name, cut: rehearsal.cut(), rehearsal }),
            Err(reason) => missing.push(HostMissing { id, name, reason }),
        }
    }
    rehearsed.sort_by(|a, b| {
        let rank = |host: &HostRehearsal| (Reverse(host.cut.flows), Reverse(host.cut.bytes));
        rank(a).cmp(&rank(b)).then_with(|| (&a.name, &a.id).cmp(&(&b.name, &b.id)))
    });
    let (mut cut, mut seen) = (RehearsalSum::default(), RehearsalSum::default());
    for host in &rehearsed {
        cut += host.cut;
        seen += host.rehearsal.seen;
    }
    let unheard = answer.known.saturating_sub(answer.heard).saturating_sub(answer.missing.len() as u64);
    let mut whole = FleetAnswer::of(rehearsed.len(), missing, answer.took_ms);
    // Those that were not named before are not there either.
    whole.known += unheard;
    whole.complete &= unheard == 0;
    FleetRehearsal {
        time,
        answer: whole,
        policy: rehearsed.first().map(|host| host.rehearsal.policy.clone()).unwrap_or_default(),
        hosts_cut: rehearsed.iter().filter(|host| host.cut.flows > 0).count() as u64,
        cut,
        seen,
        hosts: rehearsed,
    }
}

impl FleetRehearsal {
    /// `would cut 14 flows (1.2 MB) on 3 hosts, of 3.1k flows on 20 hosts`.
    pub fn words(&self) -> String {
        let flows =
            |count: u64| if count == 1 { "1 flow".to_owned() } else { format!("{} flows", units::count(count)) };
        let seen = format!("of {} on {}", flows(self.seen.flows), hosts(self.hosts.len() as u64));
        if self.hosts_cut == 0 {
            return format!("would cut nothing, {seen}");
        }
        let bytes = units::bytes(self.cut.bytes);
        format!("would cut {} ({bytes}) on {}, {seen}", flows(self.cut.flows), hosts(self.hosts_cut))
    }
}

#[cfg(test)]
#[expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::fleet::render_rehearsals;
    use crate::policy::{RehearsalCut, RehearsalRule};

    fn sum(flows: u64) -> RehearsalSum {
        RehearsalSum { flows, packets: flows * 10, bytes: flows * 1000 }
    }

    fn rehearsal(seen: u64, refused: u64, newly: Option<u64>) -> Rehearsal {
        let peers = vec![RehearsalCut { name: "10.0.0.9 to tcp/22".into(), sum: sum(refused) }];
        let rule = RehearsalRule {
            rule: "(default)".into(),
            action: "drop".into(),
            decided: sum(refused),
            changed: newly.map(sum),
            peers: if refused > 0 { peers } else { Vec::new() },
            ..RehearsalRule::default()
        };
        Rehearsal {
            policy: PolicyName { name: "edge".into(), version: 8 },
            compared_with: newly.map(|_| PolicyName { name: "edge".into(), version: 7 }),
            seen: sum(seen),
            refused: sum(refused),
            newly_refused: newly.map(sum),
            newly_accepted: newly.map(|_| sum(0)),
            rules: vec![rule],
            ..Rehearsal::default()
        }
    }

    fn page() -> FleetRehearsal {
        let host = |id: &str, said| (id.to_owned(), format!("web-{id}"), said);
        let gone = HostMissing { id: "d".into(), name: "web-d".into(), reason: "timeout".into() };
        let said = vec![
            host("a", Ok(rehearsal(100, 0, None))),
            host("b", Ok(rehearsal(200, 50, Some(4)))),
            host("c", Ok(rehearsal(300, 10, None))),
            host("e", Err("there is no history to rehearse over".to_owned())),
        ];
        merge_rehearsals("2026-11-27T10:00:00Z".into(), &FleetAnswer::of(4, vec![gone], 40), said)
    }

    #[test]
    fn what_passes_now_and_would_be_refused_is_what_counts() {
        let page = page();
        let order: Vec<(&str, u64)> = page.hosts.iter().map(|host| (&*host.name, host.cut.flows)).collect();
        assert_eq!(order, [("web-c", 10), ("web-b", 4), ("web-a", 0)]);
        assert_eq!((page.hosts_cut, page.cut, page.seen), (2, sum(14), sum(600)));
        assert_eq!(page.words(), "would cut 14 flows (14.0 kB) on 2 hosts, of 600 flows on 3 hosts");
        assert_eq!((page.policy.name.as_str(), page.policy.version), ("edge", 8));
    }

    #[test]
    fn who_could_not_rehearse_is_missing_with_the_reason() {
        let answer = page().answer;
        assert_eq!((answer.heard, answer.known, answer.complete), (3, 5, false));
        let names: Vec<&str> = answer.missing.iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["web-d", "web-e"]);
    }

    #[test]
    fn hosts_beyond_those_that_are_named_stay_missing() {
        let gone = |number: usize| HostMissing { name: format!("{number:03}"), ..HostMissing::default() };
        let before = FleetAnswer::of(1, (0..super::super::MISSING_SHOWN + 5).map(gone).collect(), 40);
        let page = merge_rehearsals(String::new(), &before, vec![("a".into(), "a".into(), Ok(Rehearsal::default()))]);
        assert_eq!((page.answer.known, page.answer.heard), (before.known, 1));
        assert!(!page.answer.complete);
    }

    #[test]
    fn a_line_for_each_host_tells_whom_it_cuts_most() {
        expect![[r#"
            HOST   FLOWS  CUT    BYTES  ACCEPTED  NOW        MOST CUT
            web-c    300   10  10.0 kB            no policy  (default): 10.0.0.9 to tcp/22
            web-b    200    4   4.0 kB         0  edge 7     (default): 10.0.0.9 to tcp/22
            web-a    100    0      0 B            no policy
        "#]]
        .assert_eq(&render_rehearsals(&page().hosts, Some(110)));
    }
}
