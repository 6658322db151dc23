//! The fleet as every surface shows it: who is in it, what all saw together, how a policy spreads, what the links are like.
//!
//! Here are shapes only: what a member is and how totals come about is fixed elsewhere. Invariants: a figure that is of many
//! hosts has its coverage, its age and its bound beside it; a list that can be long says how long it is.

mod alerts;
mod answers;
mod commands;
mod example;
mod merge;
mod rehearse;
mod text;
mod total;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::alerts::{
    ALERT_HOSTS_SHOWN, FleetAlertHost, FleetAlertPage, FleetAlertRow, alerts_of_each_host, merge_alerts,
    render_fleet_alerts,
};
pub use self::answers::{
    AuditPage, FleetAnswer, FleetFlowPage, FleetFlowRow, FleetRuleRow, FleetRulesPage, FleetSnapshotPage, HostDigest,
    HostMissing, MISSING_SHOWN, MemberPage, RolloutPage,
};
pub use self::commands::{
    FleetOutcome, InvitationIssued, InvitationPage, InvitationRequest, InvitationView, InvitationWithdrawal,
    RemoveRequest,
};
pub use self::example::{example_answer, example_fleet, example_invitation};
pub use self::merge::{merge_flows, merge_rules, of_each_host};
pub use self::rehearse::{FleetRehearsal, HostRehearsal, merge_rehearsals};
pub use self::text::{
    render_digests, render_fleet_flows, render_fleet_rules, render_fleet_status, render_fleet_text, render_keys,
    render_links, render_members, render_rehearsals,
};
pub use self::total::{Distinct, FleetTop, FleetTopRow, FleetTotalView, FleetTraffic};
pub use self::words::{NO_FLEET, age, hosts, named, within};

/// Most members in one [`FleetView`]; `states` counts all, `GET /api/v1/fleet/members` has the rest.
pub const MEMBERS_SHOWN: usize = 1000;
/// Most links in one [`FleetView`].
pub const LINKS_SHOWN: usize = 1000;
/// Most bans in one [`FleetView`], the latest first.
pub const FLEET_BANS_SHOWN: usize = 1000;
/// Most entries of the audit log in one [`FleetView`], the latest first.
pub const AUDIT_SHOWN: usize = 50;
/// Most alarms in one [`FleetView`], the latest first.
pub const ALARMS_SHOWN: usize = 50;
/// Most hosts named that refused a policy.
pub const REFUSED_SHOWN: usize = 32;

/// The fleet, as this host knows it (`GET /api/v1/fleet`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetView {
    /// When it was taken, RFC 3339, UTC.
    pub time: String,
    /// Id of the cluster, 32 hexadecimal digits.
    pub cluster: String,
    /// Id of the host that tells, 32 hexadecimal digits.
    pub own_id: String,
    /// Its name.
    pub own_name: String,
    /// Whether it is among others; false while it is alone.
    pub joined: bool,
    /// Whether it may issue invitations.
    pub enroller: bool,
    /// How many others it takes for slower than itself to blame itself: 0 when it trusts its own judgement, up to 8.
    pub doubt: u32,
    /// How much of the fleet the figures in `total` speak for.
    pub coverage: FleetCoverage,
    /// Members by state, all of them.
    pub states: MemberCounts,
    /// Members, those that are not alive first and then by name, at most [`MEMBERS_SHOWN`].
    pub members: Vec<MemberView>,
    /// How the policy spreads; absent while the fleet has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rollout: Option<RolloutView>,
    /// What all saw together in the last whole epoch; absent until there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total: Option<FleetTotalView>,
    /// What links between hosts are like, slowest first, at most [`LINKS_SHOWN`].
    pub links: Vec<LinkView>,
    /// How many links were timed.
    pub links_total: u64,
    /// Bans and limits that the fleet spreads, latest first, at most [`FLEET_BANS_SHOWN`].
    pub bans: Vec<FleetBanView>,
    /// How many there are.
    pub bans_total: u64,
    /// The audit log's latest entries, latest first, at most [`AUDIT_SHOWN`].
    pub audit: Vec<AuditEntryView>,
    /// Entries in the log.
    pub audit_total: u64,
    /// What an operator has to look at, latest first, at most [`ALARMS_SHOWN`].
    pub alarms: Vec<FleetAlarm>,
    /// Alarms since the agent's start.
    pub alarms_total: u64,
    /// What this host says to the others and hears from them.
    pub meter: FleetMeter,
    /// What came to nothing, by reason.
    pub losses: FleetLosses,
}

/// How much of the fleet a figure speaks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetCoverage {
    /// Hosts that are in it.
    pub heard: u64,
    /// Hosts that were known to be alive then.
    pub known: u64,
    /// Its epoch: Unix seconds divided by ten.
    pub epoch: u64,
    /// Milliseconds since the end of its epoch.
    pub age_ms: u64,
    /// Whether all known hosts are in it.
    pub complete: bool,
}

impl FleetCoverage {
    /// Coverage of a total that so many hosts are in.
    pub fn new(heard: u64, known: u64, epoch: u64, age_ms: u64) -> Self {
        Self { heard, known, epoch, age_ms, complete: heard >= known }
    }

    /// Share of the known hosts, 0 to 1; 1 when none is known.
    pub fn ratio(&self) -> f64 {
        if self.known == 0 { 1.0 } else { (self.heard as f64 / self.known as f64).min(1.0) }
    }
}

/// What a host is to the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// It answers.
    #[default]
    Alive,
    /// It did not answer and may still object.
    Suspect,
    /// It is taken for dead.
    Down,
    /// It said that it goes.
    Left,
    /// Its certificate was revoked: nobody talks to it.
    Revoked,
}

impl MemberState {
    /// Every state and its name, the best first.
    pub const ALL: &'static [(MemberState, &'static str)] = &[
        (MemberState::Alive, "alive"),
        (MemberState::Suspect, "suspect"),
        (MemberState::Down, "down"),
        (MemberState::Left, "left"),
        (MemberState::Revoked, "revoked"),
    ];

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }
}

/// Members by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberCounts {
    /// Those that answer.
    pub alive: u64,
    /// Those that may be dead.
    pub suspect: u64,
    /// Those taken for dead.
    pub down: u64,
    /// Those that said that they go.
    pub left: u64,
    /// Those whose certificates were revoked.
    pub revoked: u64,
}

impl MemberCounts {
    /// Counts members.
    pub fn of<'a>(members: impl IntoIterator<Item = &'a MemberView>) -> Self {
        let mut counts = Self::default();
        for member in members {
            *counts.slot(member.state) += 1;
        }
        counts
    }

    fn slot(&mut self, state: MemberState) -> &mut u64 {
        match state {
            MemberState::Alive => &mut self.alive,
            MemberState::Suspect => &mut self.suspect,
            MemberState::Down => &mut self.down,
            MemberState::Left => &mut self.left,
            MemberState::Revoked => &mut self.revoked,
        }
    }

    /// How many are in a state.
    pub fn get(mut self, state: MemberState) -> u64 {
        *self.slot(state)
    }

    /// All that are known.
    pub fn all(&self) -> u64 {
        self.alive + self.suspect + self.down + self.left + self.revoked
    }
}

/// One host of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemberView {
    /// Its id: 32 hexadecimal digits, from the hash of its key.
    pub id: String,
    /// Its name, as it gives it; empty while its record is not known.
    pub name: String,
    /// What it is to the fleet.
    pub state: MemberState,
    /// Since when, RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<String>,
    /// Where it can be reached: addresses with ports.
    pub addresses: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Version of its agent; empty while its record is not known.
    pub agent: String,
    /// Highest version of the protocol that it speaks.
    pub protocol: u8,
    /// `battery`, `enroller`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub flags: Vec<String>,
    /// Whether it is the host that tells.
    pub is_self: bool,
    /// What it does about the fleet's policy.
    pub policy: PolicyStand,
}

/// What a host does about a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyStand {
    /// What it does.
    pub stand: StandKind,
    /// The version it speaks of; 0 when nothing is known.
    pub version: u64,
    /// Why it refused it; empty otherwise.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
}

/// What a host does about a policy, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StandKind {
    /// It has not been heard of.
    #[default]
    Unknown,
    /// It has it, and does not enforce it yet.
    Have,
    /// It enforces it.
    Enforced,
    /// It refused it.
    Refused,
}

impl StandKind {
    /// Every stand and its name.
    pub const ALL: &'static [(StandKind, &'static str)] = &[
        (StandKind::Unknown, "unknown"),
        (StandKind::Have, "have"),
        (StandKind::Enforced, "enforced"),
        (StandKind::Refused, "refused"),
    ];

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

/// How a policy spreads (part of `GET /api/v1/fleet`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutView {
    /// Name of the document.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// BLAKE3 of it, 64 hexadecimal digits.
    pub hash: String,
    /// Hosts that are known and alive: what the others add up to.
    pub hosts: u64,
    /// Hosts that have it and do not say more yet.
    pub have: u64,
    /// Hosts that enforce it.
    pub enforced: u64,
    /// Hosts that refused it.
    pub refused: u64,
    /// Hosts that have not been heard of.
    pub unknown: u64,
    /// Some of those that refused it, at most [`REFUSED_SHOWN`].
    pub refusals: Vec<RefusedHost>,
    /// Two documents have this version, both validly signed: the name is frozen until a newer version comes.
    pub frozen: bool,
    /// Until when it waits to be confirmed, RFC 3339, UTC; hosts take it back after that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confirm_until: Option<String>,
    /// Milliseconds since the oldest of what is told here was heard.
    pub age_ms: u64,
}

impl RolloutView {
    /// Whether every known host has answered for good: it enforces the policy or refused it.
    pub fn is_settled(&self) -> bool {
        self.enforced + self.refused >= self.hosts
    }
}

/// A host that refused a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedHost {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Why, in its own words.
    pub reason: String,
}

/// What the link between two hosts is like, timed by the link's own messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LinkView {
    /// Id of the host that timed it.
    pub from_id: String,
    /// Its name.
    pub from: String,
    /// Id of the other.
    pub to_id: String,
    /// Its name.
    pub to: String,
    /// Smoothed round-trip time, seconds.
    pub rtt_seconds: f64,
    /// Jitter (mean deviation of round trips), seconds.
    pub jitter_seconds: f64,
    /// Share of probes without an answer, 0 to 1.
    pub loss: f64,
    /// Milliseconds since the other was last heard.
    pub heard_ms: u64,
    /// `quic` or `noise`.
    pub how: String,
}

/// A ban or a limit that the fleet spreads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetBanView {
    /// The address or prefix; empty when the ban cannot be read.
    pub prefix: String,
    /// Id of the host that issued it.
    pub issuer_id: String,
    /// Its name.
    pub issuer: String,
    /// The issuer's own number for it.
    pub number: u64,
    /// New flows that come through, as a policy writes it (`10/m`); absent for a ban, which lets nothing through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Why.
    pub reason: String,
    /// When, RFC 3339, UTC.
    pub since: String,
    /// Until when, RFC 3339, UTC.
    pub expires: String,
}

/// An entry of the audit log: who changed what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntryView {
    /// When, by its author's clock, RFC 3339, UTC.
    pub time: String,
    /// Id of the host in whose chain it stands.
    pub author_id: String,
    /// Its name.
    pub author: String,
    /// Place in that chain, from 1.
    pub number: u64,
    /// Who did it: a user, a detector.
    pub actor: String,
    /// What: `policy-applied`, `ban`, `invited`, `removed`, …
    pub what: String,
    /// More of it, for people.
    pub detail: String,
    /// The entry's own hash, 64 hexadecimal digits: the next one names it.
    pub hash: String,
}

/// Something that an operator has to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetAlarm {
    /// When, RFC 3339, UTC.
    pub time: String,
    /// `two_policies`, `two_entries`, `too_many_bans`, `away`, `implausible`, …
    pub kind: String,
    /// Name of the host it is about; empty when it is about none, or about this one.
    pub host: String,
    /// What happened and what to do, for people.
    pub detail: String,
}

/// What this host says to the others and hears from them, since the agent's start. Bytes are those of payloads, without
/// headers of IP and UDP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetMeter {
    /// `datagram`, `stream`, … → what moved.
    pub traffic: BTreeMap<String, FleetMeterCell>,
    /// Handshakes that succeeded.
    pub handshakes: u64,
    /// QUIC connections open now.
    pub connections: u64,
    /// Sessions for datagrams open now.
    pub sessions: u64,
}

/// What moved of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetMeterCell {
    /// Messages heard.
    pub in_messages: u64,
    /// Their bytes.
    pub in_bytes: u64,
    /// Messages sent.
    pub out_messages: u64,
    /// Their bytes.
    pub out_bytes: u64,
}

/// What came to nothing since the agent's start: reason → how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetLosses {
    /// In the protocol: messages refused, given up or not sent.
    pub core: BTreeMap<String, u64>,
    /// In the links: datagrams, streams and handshakes refused.
    pub links: BTreeMap<String, u64>,
}
