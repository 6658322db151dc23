//! Whether the agent sees everything it should, and the policy holds as it is meant to. Deliberately not here: whether the
//! network is well, which alerts say.
//! Invariant: a status other than `ok` always comes with its reasons.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hivewall_model::Timestamp;
use hivewall_view::policy::PolicyFailure;
use hivewall_view::{Loss, Snapshot, time::parse_rfc3339};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Seconds for which a loss that has grown counts against the agent's health.
pub const LOSS_MEMORY_SECONDS: u64 = 60;
/// Age from which a snapshot says that the engine hangs.
pub const SNAPSHOT_AGE_SECONDS_MAX: u64 = 10;

/// How the agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Sees everything.
    Ok,
    /// Works, but something is missing or lost: see the reasons.
    Degraded,
    /// The engine does not move.
    Failing,
}

/// The health document (`GET /api/v1/health`). `failing` comes with status code 503, the others with 200.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// How the agent is.
    pub status: HealthStatus,
    /// Why it is not `ok`; empty when it is.
    pub reasons: Vec<HealthReason>,
    /// When the newest snapshot was taken, RFC 3339, UTC.
    pub time: String,
    /// Version of hivewall.
    pub version: String,
    /// Seconds since the agent started.
    pub uptime_seconds: f64,
    /// Where packets come from: `ebpf-tcx`, `ebpf-clsact`, `af-packet` or `file`.
    pub capture_source: String,
    /// Whether the host is in a fleet, and so whether the operations under `/api/v1/fleet` have answers.
    #[serde(default)]
    pub fleet: bool,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthReason {
    /// `stalled`, `capture_fallback`, `policy` or `losses`.
    pub kind: String,
    /// What it is about, where the kind has several: for `losses` the key under `losses` in the snapshot, for `policy` the
    /// kind of failure under `firewall_rules.failures`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    /// What is wrong, for people.
    pub detail: String,
}

impl Health {
    /// The health that a snapshot shows at the time `now`, losses as `watch` has seen them grow; and whether there is a
    /// `fleet`.
    pub(crate) fn new(snapshot: &Snapshot, now: Timestamp, watch: &LossWatch, fleet: bool) -> Self {
        let stalled = stalled(snapshot, now);
        let status = if stalled.is_some() { HealthStatus::Failing } else { HealthStatus::Degraded };
        let mut reasons: Vec<HealthReason> =
            stalled.into_iter().chain(fallback(snapshot)).chain(policy(snapshot)).collect();
        for (reason, more) in watch.grown(now) {
            let meaning = snapshot.losses.get(reason).map_or("", |loss| loss.meaning.as_str());
            reasons.push(HealthReason {
                kind: "losses".to_owned(),
                subject: Some(reason.to_owned()),
                detail: format!("{more} more within the last {LOSS_MEMORY_SECONDS} s: {meaning}"),
            });
        }
        Self {
            status: if reasons.is_empty() { HealthStatus::Ok } else { status },
            reasons,
            time: snapshot.time.clone(),
            version: snapshot.host.version.clone(),
            uptime_seconds: snapshot.host.uptime_seconds,
            capture_source: snapshot.capture.source.clone(),
            fleet,
        }
    }
}

fn stalled(snapshot: &Snapshot, now: Timestamp) -> Option<HealthReason> {
    let detail = match parse_rfc3339(&snapshot.time) {
        Some(time) => {
            let age = now.since(time).as_secs();
            (age > SNAPSHOT_AGE_SECONDS_MAX).then(|| format!("the newest snapshot is {age} s old: the engine hangs"))
        }
        None => Some("there is no snapshot yet: the engine is starting".to_owned()),
    }?;
    Some(HealthReason { kind: "stalled".to_owned(), subject: None, detail })
}

fn fallback(snapshot: &Snapshot) -> Option<HealthReason> {
    let reason = snapshot.capture.fallback_reason.as_ref()?;
    let detail = format!("packets come from {}: {reason}", snapshot.capture.source);
    Some(HealthReason { kind: "capture_fallback".to_owned(), subject: None, detail })
}

/// What of the policy does not hold as it is meant to.
fn policy(snapshot: &Snapshot) -> impl Iterator<Item = HealthReason> {
    let reason = |failure: PolicyFailure| HealthReason {
        kind: "policy".to_owned(),
        subject: Some(failure.kind),
        detail: failure.detail,
    };
    snapshot.firewall_rules.all_failures().into_iter().map(reason)
}

/// Remembers which losses grew lately. What was lost before the first look counts as old.
#[derive(Debug, Default)]
pub(crate) struct LossWatch {
    seen: Option<BTreeMap<String, Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    count: u64,
    /// When it grew and by how much, oldest first; at most one entry a second.
    growth: VecDeque<(Timestamp, u64)>,
}

impl LossWatch {
    /// Takes note of the counts at the time `now`.
    pub(crate) fn observe(&mut self, now: Timestamp, losses: &BTreeMap<String, Loss>) {
        let Some(seen) = &mut self.seen else {
            let old = |loss: &Loss| Seen { count: loss.count, growth: VecDeque::new() };
            self.seen = Some(losses.iter().map(|(reason, loss)| (reason.clone(), old(loss))).collect());
            return;
        };
        for (reason, loss) in losses {
            if !seen.contains_key(reason) {
                seen.insert(reason.clone(), Seen::default());
            }
            if let Some(seen) = seen.get_mut(reason) {
                seen.note(now, loss.count);
            }
        }
    }

    /// Reason → growth within the last [`LOSS_MEMORY_SECONDS`], only of those that grew.
    fn grown(&self, now: Timestamp) -> impl Iterator<Item = (&str, u64)> {
        let since = now - Duration::from_secs(LOSS_MEMORY_SECONDS);
        self.seen.iter().flatten().filter_map(move |(reason, seen)| {
            let more = seen.growth.iter().filter(|(time, _)| *time > since).map(|(_, more)| more).sum();
            (more > 0).then_some((reason.as_str(), more))
        })
    }
}

impl Seen {
    fn note(&mut self, now: Timestamp, count: u64) {
        let since = now - Duration::from_secs(LOSS_MEMORY_SECONDS);
        while self.growth.front().is_some_and(|(time, _)| *time <= since) {
            self.growth.pop_front();
        }
        // A count that went back is a new run of the engine: it starts over from there.
        let more = count.saturating_sub(self.count);
        self.count = count;
        match self.growth.back_mut() {
            _ if more == 0 => {}
            Some((time, sum)) if time.secs() == now.secs() => *sum += more,
            _ => self.growth.push_back((now, more)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(count: u64) -> BTreeMap<String, Loss> {
        let loss = Loss { count, meaning: "Records that found the ring full.".to_owned(), ..Loss::default() };
        BTreeMap::from([("ring_full".to_owned(), loss)])
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn snapshot(time: Timestamp, count: u64) -> Snapshot {
        Snapshot { time: hivewall_view::time::rfc3339(time), losses: losses(count), ..Snapshot::default() }
    }

    fn health(watch: &LossWatch, seconds: i64) -> Health {
        Health::new(&snapshot(at(seconds), 0), at(seconds), watch, false)
    }

    #[test]
    fn losses_from_before_the_first_look_do_not_degrade() {
        let mut watch = LossWatch::default();
        watch.observe(at(0), &losses(500));
        watch.observe(at(5), &losses(500));
        assert_eq!(health(&watch, 5).status, HealthStatus::Ok);
    }

    #[test]
    fn a_loss_that_grows_degrades_for_a_minute_and_says_by_how_much() {
        let mut watch = LossWatch::default();
        watch.observe(at(0), &losses(500));
        watch.observe(at(10), &losses(503));
        watch.observe(at(40), &losses(504));
        let health_at_41 = health(&watch, 41);
        assert_eq!(health_at_41.status, HealthStatus::Degraded);
        assert_eq!(
            health_at_41.reasons,
            [HealthReason {
                kind: "losses".to_owned(),
                subject: Some("ring_full".to_owned()),
                detail: "4 more within the last 60 s: Records that found the ring full.".to_owned(),
            }]
        );
        assert!(health(&watch, 70).reasons[0].detail.starts_with("1 more"));
        assert_eq!(health(&watch, 100).status, HealthStatus::Ok);
    }

    #[test]
    fn a_reason_that_appears_later_has_grown_and_one_that_went_back_has_not() {
        let mut watch = LossWatch::default();
        watch.observe(at(0), &BTreeMap::new());
        watch.observe(at(1), &losses(7));
        assert!(health(&watch, 1).reasons[0].detail.starts_with("7 more"));
        watch.observe(at(90), &losses(2));
        assert_eq!(health(&watch, 90).status, HealthStatus::Ok);
    }

    #[test]
    fn an_old_snapshot_or_none_is_failing() {
        let watch = LossWatch::default();
        assert_eq!(Health::new(&snapshot(at(100), 0), at(110), &watch, false).status, HealthStatus::Ok);
        let old = Health::new(&snapshot(at(100), 0), at(111), &watch, false);
        assert_eq!((old.status, old.reasons[0].kind.as_str()), (HealthStatus::Failing, "stalled"));
        let none = Health::new(&Snapshot::default(), at(111), &watch, false);
        assert_eq!(none.status, HealthStatus::Failing);
    }

    #[test]
    fn a_capture_source_that_is_not_the_best_degrades() {
        let mut snapshot = snapshot(at(1), 0);
        snapshot.capture.source = "af-packet".to_owned();
        snapshot.capture.fallback_reason = Some("the kernel has no BTF".to_owned());
        let health = Health::new(&snapshot, at(1), &LossWatch::default(), false);
        assert_eq!(health.status, HealthStatus::Degraded);
        assert_eq!(health.reasons[0].detail, "packets come from af-packet: the kernel has no BTF");
    }

    #[test]
    fn what_is_wrong_with_the_policy_degrades_as_long_as_it_lasts() {
        let mut snapshot = snapshot(at(1), 0);
        let watch = LossWatch::default();
        snapshot.firewall_rules.problems = vec!["other rules than ours drop what it accepts".to_owned()];
        assert_eq!(Health::new(&snapshot, at(1), &watch, false).status, HealthStatus::Ok);
        snapshot.firewall_rules.failures = vec![PolicyFailure {
            kind: "expired".to_owned(),
            subject: None,
            detail: "edge version 42 has expired; it stays in force until another is applied".to_owned(),
        }];
        let fill = |entries| hivewall_view::policy::TableFill { entries, limit: 10, refused: 0 };
        snapshot.firewall_rules.tables = [("bans".to_owned(), fill(10)), ("sessions".to_owned(), fill(9))].into();
        let health = Health::new(&snapshot, at(1), &watch, false);
        assert_eq!(health.status, HealthStatus::Degraded);
        let told: Vec<(&str, &str, &str)> = health
            .reasons
            .iter()
            .map(|reason| (reason.kind.as_str(), reason.subject.as_deref().unwrap(), reason.detail.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("policy", "expired", "edge version 42 has expired; it stays in force until another is applied"),
                ("policy", "table_full", "the table bans is full (10 entries): what is new is refused; take some out"),
            ]
        );
        snapshot.firewall_rules.failures.clear();
        snapshot.firewall_rules.tables.clear();
        assert_eq!(Health::new(&snapshot, at(1), &watch, false).status, HealthStatus::Ok);
    }

    #[test]
    fn memory_of_growth_is_bounded_by_one_entry_a_second() {
        let mut watch = LossWatch::default();
        watch.observe(at(0), &losses(0));
        for step in 1..=100_000 {
            watch.observe(Timestamp::from_millis(step * 10), &losses(step as u64));
        }
        let seen = watch.seen.as_ref().and_then(|seen| seen.get("ring_full")).unwrap();
        assert!(seen.growth.len() <= LOSS_MEMORY_SECONDS as usize + 1, "{}", seen.growth.len());
    }
}
