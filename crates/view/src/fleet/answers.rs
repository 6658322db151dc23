//! Answers that the hosts of a fleet give together: flows, rules, what each host is like. Deliberately not here: how they
//! are asked. Invariant: each names the hosts that did not answer, and why.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AuditEntryView, MemberCounts, MemberView, RolloutView};
use crate::FlowRow;
use crate::policy::RuleView;

/// Most hosts named that did not answer.
pub const MISSING_SHOWN: usize = 64;

/// Who answered a question that all were asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetAnswer {
    /// Hosts that answered.
    pub heard: u64,
    /// Hosts that are in the fleet and may be there: alive and suspect ones.
    pub known: u64,
    /// Whether all of them answered.
    pub complete: bool,
    /// How long the question took, milliseconds.
    pub took_ms: u64,
    /// Those that did not answer, at most [`MISSING_SHOWN`].
    pub missing: Vec<HostMissing>,
}

/// A host that did not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostMissing {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Why, for people.
    pub reason: String,
}

/// Members of the fleet, those that are not alive first, then by name (`GET /api/v1/fleet/members`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemberPage {
    /// When it was answered, RFC 3339, UTC.
    pub time: String,
    /// Members by state, all of them.
    pub states: MemberCounts,
    /// Members on this page.
    pub members: Vec<MemberView>,
    /// Offset of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_offset: Option<u64>,
}

/// Flows of all hosts (`GET /api/v1/fleet/flows`). A flow between two members is on both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetFlowPage {
    /// When it was answered, RFC 3339, UTC.
    pub time: String,
    /// Who answered.
    pub answer: FleetAnswer,
    /// Flows that match at the hosts that answered.
    pub matched: u64,
    /// Flows looked at there.
    pub searched: u64,
    /// The rows, in the order that was asked for.
    pub flows: Vec<FleetFlowRow>,
    /// Offset of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_offset: Option<u64>,
}

/// A flow and the host that saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetFlowRow {
    /// Name of the host that saw it.
    pub host: String,
    /// Its id.
    pub host_id: String,
    /// The flow, as that host has it.
    pub flow: FlowRow,
}

/// What each host is like (`GET /api/v1/fleet/snapshot`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetSnapshotPage {
    /// When it was answered, RFC 3339, UTC.
    pub time: String,
    /// Who answered.
    pub answer: FleetAnswer,
    /// Hosts, most traffic first.
    pub hosts: Vec<HostDigest>,
}

/// What one host's snapshot comes down to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostDigest {
    /// Its id.
    pub id: String,
    /// Its name in the fleet.
    pub name: String,
    /// When its snapshot was taken, RFC 3339, UTC.
    pub time: String,
    /// Version of hivewall.
    pub version: String,
    /// Kernel release.
    pub kernel: String,
    /// Seconds since its agent started.
    pub uptime_seconds: f64,
    /// Where its packets come from.
    pub source: String,
    /// Flows that are alive.
    pub flows: u64,
    /// IP bits a second received, each packet once at each interface.
    pub in_bits_per_second: f64,
    /// IP bits a second sent.
    pub out_bits_per_second: f64,
    /// Name of the policy in force; empty without one.
    pub policy: String,
    /// Its version.
    pub policy_version: u64,
    /// `enforce`, `observe`, or empty.
    pub policy_mode: String,
    /// Packets that its policy refused.
    pub refused_packets: u64,
    /// Packets that were not counted into flows, for any reason.
    pub lost_packets: u64,
    /// What an operator of that host should know or do.
    pub problems: Vec<String>,
}

/// The rules that hold on the hosts, with their counters added up (`GET /api/v1/fleet/rules`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetRulesPage {
    /// When it was answered, RFC 3339, UTC.
    pub time: String,
    /// Who answered.
    pub answer: FleetAnswer,
    /// Rules of each policy and version in order of judgement, most hosts first.
    pub rules: Vec<FleetRuleRow>,
}

/// One rule, over all hosts where it holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetRuleRow {
    /// Name of the policy; empty for what holds without one.
    pub policy: String,
    /// Its version.
    pub version: u64,
    /// Hosts where it holds.
    pub hosts: u64,
    /// Hosts where it decided a packet.
    pub hosts_hit: u64,
    /// The rule, its counters and rates added up over hosts, its latest hit that of any.
    pub rule: RuleView,
}

/// How the fleet's policy spreads (`GET /api/v1/fleet/policy`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutPage {
    /// When it was taken, RFC 3339, UTC.
    pub time: String,
    /// How it spreads; absent while the fleet has no policy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rollout: Option<RolloutView>,
}

/// The audit log, latest first (`GET /api/v1/fleet/audit`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// When it was answered, RFC 3339, UTC.
    pub time: String,
    /// Entries in the log.
    pub total: u64,
    /// Entries on this page.
    pub entries: Vec<AuditEntryView>,
    /// Offset of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_offset: Option<u64>,
}
