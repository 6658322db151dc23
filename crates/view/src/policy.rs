//! The policy as every surface shows it: what holds and since when, its rules with their counters, bans, and the answers
//! to questions about it.
//!
//! Here are shapes only: what a policy means is fixed elsewhere. Invariant: a list that can be long says how long it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most bans in one document, the latest first; `bans_total` tells how many there are.
pub const BANS_SHOWN: usize = 1000;

/// Most changes of packet filters in one document.
pub const FIREWALL_CHANGES_SHOWN: usize = 16;

/// The policy in force on this host (`firewall_rules` in the snapshot).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// `none`, `active`, or `pending` while a change waits to be confirmed.
    pub state: String,
    /// Name of the document; empty without one.
    pub name: String,
    /// Version of the document.
    pub version: u64,
    /// `enforce`, `observe`, or empty without a policy.
    pub mode: String,
    /// What enforces it: `ebpf`, `nftables` or `iptables`; empty when nothing does.
    pub backend: String,
    /// Number of the change that is in force, in the datapath's own count; 0 when nothing is judged.
    pub epoch: u16,
    /// Changes that came into force since the agent's start.
    pub changes: u64,
    /// Of those, changes that were taken back because nobody confirmed them.
    pub reverted: u64,
    /// When it came into force, RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<String>,
    /// A change that waits to be confirmed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending: Option<PendingChange>,
    /// What `policy rollback` would bring back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<PolicyName>,
    /// Who signed it: ids of keys; empty for a local policy.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub signed_by: Vec<String>,
    /// Whose signatures a policy needs here; absent where unsigned ones are taken.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trust: Option<PolicyTrust>,
    /// Until when it is meant to hold, RFC 3339, UTC. It goes on holding after that, with a problem told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_after: Option<String>,
    /// What an operator should know or do, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub problems: Vec<String>,
    /// Of what is wrong, what makes the host less than it is meant to be as long as it lasts.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub failures: Vec<PolicyFailure>,
    /// Changes of the host's packet filters that others made, and our answers to them, where the policy is kept there.
    #[serde(skip_serializing_if = "FirewallDrift::is_empty", default)]
    pub drift: FirewallDrift,
    /// Its rules in order of judgement, guard and defaults among them.
    pub rules: Vec<RuleView>,
    /// What decides besides rules, with its counters.
    pub causes: Vec<CauseView>,
    /// Bans, the latest first, at most [`BANS_SHOWN`].
    pub bans: Vec<BanView>,
    /// How many bans there are.
    pub bans_total: u64,
    /// Table of the datapath → how full it is.
    pub tables: BTreeMap<String, TableFill>,
    /// Drops that rules asked to be logged and that were beyond their rates: counted, not written.
    pub logs_suppressed: u64,
}

/// Whose signatures a policy needs on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyTrust {
    /// How many of the keys have to sign.
    pub threshold: u64,
    /// The keys.
    pub keys: Vec<PolicyKey>,
    /// The highest version that was taken up; the next is above it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub highest: Option<u64>,
}

/// A key that policies are signed with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyKey {
    /// Its id: 16 hexadecimal digits, as in `signed_by`.
    pub id: String,
    /// What its holder calls it.
    pub name: String,
}

/// Something about the policy that is wrong now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyFailure {
    /// `not_enforced`, `not_kept`, `expired`, `table_full`, `no_front`, `not_repaired`, `bans`, or `enforcer`.
    pub kind: String,
    /// The table or the interface, where the kind is about one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    /// What is wrong and what to do, for people.
    pub detail: String,
}

/// Changes of the host's packet filters since the agent's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FirewallDrift {
    /// What happened → how often, to ours and to others'.
    pub changes: BTreeMap<String, DriftCount>,
    /// Times that ours was put back.
    pub repairs: u64,
    /// Times that it could not be.
    pub repairs_failed: u64,
    /// The latest changes and repairs, newest first, at most [`FIREWALL_CHANGES_SHOWN`].
    pub last: Vec<FirewallChange>,
}

/// How often something happened to rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DriftCount {
    /// To ours.
    pub ours: u64,
    /// To others'.
    pub others: u64,
}

/// A change of the host's packet filters that somebody else made, or our answer to one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FirewallChange {
    /// When it was noticed, RFC 3339, UTC.
    pub time: String,
    /// `table-added`, `table-gone`, `chain-added`, `chain-gone`, `chain-flushed`, `base-changed`, `rule-added`,
    /// `rule-removed`, `rule-changed`, `reordered`, `set-changed`; `repaired` or `repair-failed` for an answer.
    pub what: String,
    /// `nftables`, `iptables-nft` or `iptables-legacy`.
    pub backend: String,
    /// Family of the table.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub family: String,
    /// The table; empty for an answer, which is about all of ours.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub table: String,
    /// The chain; empty for the table itself.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub chain: String,
    /// Whether it was ours.
    pub ours: bool,
    /// In words: which rules, how many, or why a repair failed.
    pub detail: String,
    /// The process that did it, where the kernel tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<u32>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub process: Option<String>,
}

/// A document by name and version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyName {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
}

/// A change that is taken back unless it is confirmed over a new connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PendingChange {
    /// Seconds left to confirm it.
    pub seconds_left: f64,
    /// What comes back otherwise; absent when that is no policy at all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub falls_back_to: Option<PolicyName>,
}

/// One rule and what it did. Counters are of packets at each hook where it decided: one that is forwarded is judged
/// where it is received and where it is sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleView {
    /// Its id.
    pub id: String,
    /// Where it stands: `guard`, `exempt`, or the name of its tier.
    pub tier: String,
    /// `in`, `out`, or `both`.
    pub direction: String,
    /// `accept`, `drop`, `reject` or `pass`.
    pub action: String,
    /// What it matches, in the words of the document; empty for everything.
    pub conditions: String,
    /// The line of the document it begins on; absent for rules that are in none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<u32>,
    /// How often its drops are logged, as the document has it; absent when they are not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log: Option<String>,
    /// Packets it decided, since it was first loaded.
    pub packets: u64,
    /// Their IP bytes.
    pub bytes: u64,
    /// Flows it decided, since the agent's start.
    pub flows: u64,
    /// Packets a second, over the last second.
    pub packets_per_second: f64,
    /// IP bits a second, over the last second.
    pub bits_per_second: f64,
    /// The latest packet it decided, RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_hit: Option<String>,
}

/// What decides besides rules, and how often it did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CauseView {
    /// Its label, as it stands in a flow's `rule`.
    pub cause: String,
    /// What it means.
    pub meaning: String,
    /// Packets.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
}

/// One ban.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BanView {
    /// The address or prefix.
    pub prefix: String,
    /// Why, as whoever issued it said.
    pub reason: String,
    /// Who issued it: `operator`, or the name of a detector.
    pub origin: String,
    /// When, RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<String>,
    /// Seconds until it ends; absent when it does not end by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds_left: Option<f64>,
}

/// How full a table is. One that is full refuses what is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TableFill {
    /// Entries there are.
    pub entries: u64,
    /// Most there can be.
    pub limit: u64,
    /// Entries that found no room, since the table was made.
    #[serde(default)]
    pub refused: u64,
}

/// What was refused, since the agent's start. Traffic counted elsewhere is what was seen; this much of it was not let
/// through.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RefusedTraffic {
    /// Over all interfaces.
    pub total: RefusedCell,
    /// Interface → what was refused there.
    pub interfaces: BTreeMap<String, RefusedCell>,
    /// By rule or cause, most packets first.
    pub rules: Vec<RefusedByRule>,
}

/// What was refused where it was received and where it would have been sent. Bytes are IP bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedCell {
    /// Packets dropped on their way in.
    pub in_packets: u64,
    /// Their bytes.
    pub in_bytes: u64,
    /// Packets dropped on their way out.
    pub out_packets: u64,
    /// Their bytes.
    pub out_bytes: u64,
    /// Packets that would have been dropped on their way in, and passed because the policy only observes.
    pub observed_in_packets: u64,
    /// Their bytes.
    pub observed_in_bytes: u64,
    /// Packets that would have been dropped on their way out.
    pub observed_out_packets: u64,
    /// Their bytes.
    pub observed_out_bytes: u64,
}

/// What one rule or cause refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedByRule {
    /// The rule's id, or the label of a cause that is no rule.
    pub rule: String,
    /// True for a cause that is no rule.
    pub is_cause: bool,
    /// What.
    pub refused: RefusedCell,
}

/// The policy and its text (`GET /api/v1/policy`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyPage {
    /// When it was taken, RFC 3339, UTC.
    pub time: String,
    /// What holds.
    pub policy: PolicyView,
    /// The document in force, as it was given; absent without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub document: Option<String>,
}

/// A packet to explain (`POST /api/v1/policy/explain`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Source address.
    pub from: String,
    /// Destination address.
    pub to: String,
    /// Protocol, by name or number; `tcp` when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub protocol: Option<String>,
    /// Source port.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_port: Option<u16>,
    /// Destination port.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub destination_port: Option<u16>,
    /// ICMP type, or `TYPE/CODE`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub icmp: Option<String>,
    /// TCP flags as letters (`S`, `SA`); `S` when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flags: Option<String>,
    /// `in` or `out`; found out from the host's addresses when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub direction: Option<String>,
    /// Interface.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interface: Option<String>,
    /// A document to ask instead of the policy in force.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub document: Option<String>,
}

/// What becomes of a packet, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The packet as it was understood, in words.
    pub packet: String,
    /// `accept`, `drop` or `reject`.
    pub verdict: String,
    /// The rule that decides; absent when a ban does, or nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    /// What decides, in words.
    pub because: String,
    /// The rules that were asked, in order; the last one is the one that decides.
    pub steps: Vec<ExplainStep>,
    /// What else is to be known: that the policy only observes, what the host's packet filters would do.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
    /// What nftables and iptables of the host would do to the packet; absent where they were not asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub packet_filters: Option<ExplainFilters>,
}

/// What a host's packet filters would do to a packet, ours among them where the policy is kept there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainFilters {
    /// `accepted`, `dropped`, `rejected`, or `cannot_tell`.
    pub verdict: String,
    /// The rule that decides, or that cannot be judged, with its place; empty when nothing drops the packet.
    pub place: String,
    /// Whether that rule is ours.
    pub ours: bool,
    /// What the rule says, or what cannot be known.
    pub why: String,
    /// Packet filters that could not be asked, and why.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub not_asked: Vec<String>,
}

/// One rule on the way of a packet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainStep {
    /// The rule's id.
    pub rule: String,
    /// Where it stands: `guard`, `exempt`, or its tier.
    pub tier: String,
    /// The line of the document it begins on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<u32>,
    /// What it says: `accept`, `drop`, `reject` or `pass`.
    pub action: String,
    /// What came of asking it: `passed_over`, `unknown` (there is no transport header to tell by), `sent_on` (to the next
    /// tier) or `decides`.
    pub outcome: String,
    /// Why it does not match, or what follows from it, in words.
    pub why: String,
}

/// A policy to try on recorded flows (`POST /api/v1/policy/rehearse`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RehearseRequest {
    /// The document.
    pub document: String,
    /// How far back, such as `7d`; `24h` when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<String>,
    /// A document to compare with instead of the policy in force.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub current: Option<String>,
    /// Leaves out the host's own guard, floor and exemptions, so that the document alone is tried.
    #[serde(default)]
    pub without_guard: bool,
}

/// What a policy would have done to recorded flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rehearsal {
    /// The policy that was tried.
    pub policy: PolicyName,
    /// The one it was compared with; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub compared_with: Option<PolicyName>,
    /// Start of the earliest flow looked at, RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// End of the latest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
    /// All that was judged.
    pub seen: RehearsalSum,
    /// What it would refuse.
    pub refused: RehearsalSum,
    /// Of that, what passes under the policy it is compared with; absent without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub newly_refused: Option<RehearsalSum>,
    /// What would pass and is refused under the policy it is compared with. What a policy drops while a record is made is
    /// hardly ever in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub newly_accepted: Option<RehearsalSum>,
    /// The host's guard: whether it was counted in, and what it alone saves.
    pub guard: RehearsalGuard,
    /// Rules that decide about a flow at least, in the order of judgement.
    pub rules: Vec<RehearsalRule>,
    /// Rules that decide about none.
    pub unused: Vec<String>,
    /// Flows that cannot be judged, by reason.
    pub left_out: Vec<RehearsalCut>,
}

/// Flows, packets, bytes, both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RehearsalSum {
    /// Flows.
    pub flows: u64,
    /// Packets.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
}

/// What one rule would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RehearsalRule {
    /// Its id; in parentheses where no rule decided.
    pub rule: String,
    /// Its line of the document; absent where it is in none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<u32>,
    /// What it says.
    pub action: String,
    /// What it decides.
    pub decided: RehearsalSum,
    /// Of that, what the policy it is compared with decides otherwise; absent without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub changed: Option<RehearsalSum>,
    /// Whom it cuts, most flows first. Where there is a policy to compare with: whom it cuts that passes under that.
    pub peers: Vec<RehearsalCut>,
    /// Processes of this host that it cuts, likewise.
    pub processes: Vec<RehearsalCut>,
}

/// Somebody or something with its share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RehearsalCut {
    /// Address at the other end with its name and service, name of a process, or a reason.
    pub name: String,
    /// How much.
    pub sum: RehearsalSum,
}

/// The host's guard in a rehearsal: its management, sessions, floor and exemptions, which no document can take away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RehearsalGuard {
    /// How many rules of it were counted in; 0 when it was left out, or the host declares nothing.
    pub rules: u64,
    /// What the document would refuse and the guard lets pass.
    pub saved: RehearsalSum,
    /// By rule of the guard and rule of the document, most flows first.
    pub saves: Vec<RehearsalSaved>,
}

/// Flows that a rule of the document would refuse, were it not for one of the guard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RehearsalSaved {
    /// The rule of the guard.
    pub guard: String,
    /// The rule of the document that would refuse them.
    pub rule: String,
    /// How much.
    pub sum: RehearsalSum,
    /// Whose flows they are, most first.
    pub peers: Vec<RehearsalCut>,
}

/// A policy to bring into force (`POST /api/v1/policy/apply`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// The document: YAML or JSON, signed where this host wants signatures.
    pub document: String,
    /// Time in which it has to be confirmed over a new connection, such as `120s`; as the document says when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confirm: Option<String>,
}

/// A ban to issue (`POST /api/v1/bans`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
    /// The address or prefix.
    pub prefix: String,
    /// How long, such as `1h`; until it is lifted when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ttl: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// A ban to lift (`DELETE /api/v1/bans`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnbanRequest {
    /// The address or prefix, as it was banned.
    pub prefix: String,
}

/// The bans there are (`GET /api/v1/bans`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BanPage {
    /// When it was taken, RFC 3339, UTC.
    pub time: String,
    /// The latest first, at most [`BANS_SHOWN`].
    pub bans: Vec<BanView>,
    /// How many there are.
    pub total: u64,
}

/// What a command did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyOutcome {
    /// One sentence for people.
    pub message: String,
    /// What holds now.
    pub policy: PolicyName,
    /// Number of the change that is in force.
    pub epoch: u16,
    /// What has to be confirmed, and by when.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending: Option<PendingChange>,
}

impl RefusedCell {
    /// Packets dropped, both ways.
    pub fn packets(&self) -> u64 {
        self.in_packets + self.out_packets
    }

    /// Bytes dropped, both ways.
    pub fn bytes(&self) -> u64 {
        self.in_bytes + self.out_bytes
    }

    /// Packets that would have been dropped, both ways.
    pub fn observed_packets(&self) -> u64 {
        self.observed_in_packets + self.observed_out_packets
    }

    /// Bytes that would have been dropped, both ways.
    pub fn observed_bytes(&self) -> u64 {
        self.observed_in_bytes + self.observed_out_bytes
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.in_packets += other.in_packets;
        self.in_bytes += other.in_bytes;
        self.out_packets += other.out_packets;
        self.out_bytes += other.out_bytes;
        self.observed_in_packets += other.observed_in_packets;
        self.observed_in_bytes += other.observed_in_bytes;
        self.observed_out_packets += other.observed_out_packets;
        self.observed_out_bytes += other.observed_out_bytes;
    }

    /// Whether nothing was refused and nothing would have been.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl FirewallDrift {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// In a few words: `3 of ours, 1 of others', put back once`.
    pub fn summary(&self) -> String {
        let times = |count: u64| if count == 1 { "once".to_owned() } else { format!("{count} times") };
        let (ours, others) =
            self.changes.values().fold((0, 0), |sum, count| (sum.0 + count.ours, sum.1 + count.others));
        let repaired = |count: u64, what: &str| match count {
            0 => String::new(),
            _ => format!(", {what} {}", times(count)),
        };
        let (put, not_put) = (repaired(self.repairs, "put back"), repaired(self.repairs_failed, "not put back"));
        format!("{ours} of ours, {others} of others'{put}{not_put}")
    }
}

impl FirewallChange {
    /// The `event_type` of the log.
    pub fn kind(&self) -> &'static str {
        if self.is_answer() { "firewall_repair" } else { "firewall_drift" }
    }

    /// Whether it is our answer to a change.
    pub fn is_answer(&self) -> bool {
        matches!(self.what.as_str(), "repaired" | "repair-failed")
    }

    /// In one line, its time aside: `nftables inet hivewall input (ours): flushed, 3 rules are gone, by nft[4706]`.
    pub fn text(&self) -> String {
        let place = [&self.backend, &self.family, &self.table, &self.chain];
        let place: Vec<&str> = place.into_iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        let ours = if self.ours && !self.is_answer() { " (ours)" } else { "" };
        let by = match (&self.process, self.pid) {
            (Some(process), Some(pid)) => format!(", by {process}[{pid}]"),
            _ => String::new(),
        };
        format!("{}{ours}: {}{by}", place.join(" "), self.detail)
    }
}

impl PolicyView {
    /// What is wrong now: [`PolicyView::failures`], and tables that are full.
    pub fn all_failures(&self) -> Vec<PolicyFailure> {
        let is_told = |table: &str| self.failures.iter().any(|failure| failure.subject.as_deref() == Some(table));
        let full = self.tables.iter().filter(|(_, fill)| fill.limit > 0 && fill.entries >= fill.limit);
        let full = full.filter(|(table, _)| !is_told(table)).map(|(table, fill)| PolicyFailure {
            kind: "table_full".to_owned(),
            subject: Some(table.clone()),
            detail: format!(
                "the table {table} is full ({} entries): what is new is refused; take some out",
                fill.entries
            ),
        });
        self.failures.iter().cloned().chain(full).collect()
    }

    /// Whether a policy holds.
    pub fn is_in_force(&self) -> bool {
        !self.name.is_empty()
    }

    /// `edge 42`, or `no policy`.
    pub fn title(&self) -> String {
        if self.is_in_force() { format!("{} {}", self.name, self.version) } else { "no policy".to_owned() }
    }
}

/// A change of packet filters with everything in it, for examples and tests.
pub fn example_change() -> FirewallChange {
    FirewallChange {
        time: "2026-11-26T10:00:00.250000Z".to_owned(),
        what: "chain-flushed".to_owned(),
        backend: "nftables".to_owned(),
        family: "inet".to_owned(),
        table: "hivewall".to_owned(),
        chain: "input".to_owned(),
        ours: true,
        detail: "flushed, 3 rules are gone".to_owned(),
        pid: Some(4706),
        process: Some("nft".to_owned()),
    }
}

/// A policy for tests of this crate and its users: pending, with a default that refused 30 packets on `eth0` and a ban.
pub fn example_policy() -> (PolicyView, RefusedTraffic) {
    let rules = vec![
        RuleView {
            direction: "both".to_owned(),
            ..example_rule("guard:ssh", "guard", "accept", "tcp to port 22 from 10.9.0.0/24", 0)
        },
        RuleView { line: Some(12), ..example_rule("web", "main", "accept", "tcp to port 80,443", 1200) },
        RuleView {
            line: Some(9),
            log: Some("1/s".to_owned()),
            ..example_rule("main:default-in", "main", "drop", "", 30)
        },
    ];
    let policy = PolicyView {
        state: "pending".to_owned(),
        name: "edge".to_owned(),
        version: 42,
        mode: "enforce".to_owned(),
        backend: "ebpf".to_owned(),
        epoch: 7,
        changes: 3,
        reverted: 1,
        since: Some("2026-11-21T09:59:00.000000Z".to_owned()),
        pending: Some(PendingChange {
            seconds_left: 61.0,
            falls_back_to: Some(PolicyName { name: "edge".to_owned(), version: 41 }),
        }),
        previous: Some(PolicyName { name: "edge".to_owned(), version: 41 }),
        not_after: Some("2027-01-01T00:00:00.000000Z".to_owned()),
        rules,
        causes: vec![
            example_cause("(ban)", "The address at the other end is banned: dropped.", 4),
            example_cause("(essential)", "What every host needs: accepted.", 12),
        ],
        bans: vec![BanView {
            prefix: "192.0.2.0/24".to_owned(),
            reason: "scans".to_owned(),
            origin: "operator".to_owned(),
            since: Some("2026-11-21T09:30:00.000000Z".to_owned()),
            seconds_left: Some(1800.0),
        }],
        bans_total: 1,
        tables: [("bans".to_owned(), TableFill { entries: 1, limit: 1 << 20, refused: 0 })].into(),
        logs_suppressed: 5,
        ..PolicyView::default()
    };
    let by_rule = RefusedCell { in_packets: 30, in_bytes: 1800, ..RefusedCell::default() };
    let by_ban = RefusedCell { in_packets: 4, in_bytes: 240, ..RefusedCell::default() };
    let mut total = by_rule.clone();
    total.add(&by_ban);
    let row = |rule: &str, is_cause, refused| RefusedByRule { rule: rule.to_owned(), is_cause, refused };
    let refused = RefusedTraffic {
        interfaces: [("eth0".to_owned(), total.clone())].into(),
        total,
        rules: vec![row("main:default-in", false, by_rule), row("(ban)", true, by_ban)],
    };
    (policy, refused)
}

fn example_rule(id: &str, tier: &str, action: &str, conditions: &str, packets: u64) -> RuleView {
    RuleView {
        id: id.to_owned(),
        tier: tier.to_owned(),
        direction: "in".to_owned(),
        action: action.to_owned(),
        conditions: conditions.to_owned(),
        packets,
        bytes: packets * 60,
        flows: packets / 10,
        packets_per_second: packets as f64 / 10.0,
        bits_per_second: packets as f64 * 48.0,
        last_hit: (packets > 0).then(|| "2026-11-21T10:00:00.000000Z".to_owned()),
        ..RuleView::default()
    }
}

fn example_cause(cause: &str, meaning: &str, packets: u64) -> CauseView {
    CauseView { cause: cause.to_owned(), meaning: meaning.to_owned(), packets, bytes: packets * 60 }
}
