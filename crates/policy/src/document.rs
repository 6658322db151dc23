//! A policy as it is written: the types of `kind: Policy`, and how they are printed.
//!
//! Nothing is resolved here: sets have names, tiers have names, protocols are numbers that print as names. The reader of
//! texts is `parse`, which also refuses what cannot be meant. Invariant: what is printed reads as the same document, and
//! the JSON Schema, which comes from these types, accepts it.

mod respond;
mod values;

use std::collections::BTreeMap;

use ipnet::IpNet;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

pub use respond::{Detectors, Grade, Reaction, Respond};
pub use values::{
    Action, Addresses, Dir, Established, IcmpTypes, Interfaces, Kind, Log, Mode, Over, Per, Ports, Prefixes, Protocols,
    Rate, RateUnit, Seconds, TcpFlags, Term,
};
pub(crate) use values::{ICMP_TYPES, ICMPV6_TYPES, PORT_PROTOCOLS, TCP_FLAGS, Word, flow as flow_text, net_text};

/// A firewall policy for hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What this document is.
    pub kind: Kind,
    /// Which one it is.
    pub metadata: Metadata,
    /// Labels of the hosts it is for, for example `role in {web, db} && env == 'prod'`; all hosts when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hosts: String,
    /// Whether refusals are carried out, or only counted.
    #[serde(default)]
    pub mode: Mode,
    /// A change is taken back unless somebody confirms it over a new connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Confirm>,
    /// Sets of addresses, which rules name as `@NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, Set>,
    /// Addresses that are accepted before bans and rules are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exempt: Option<Addresses>,
    /// What hosts may do about alerts by themselves: nothing, unless it stands here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub responses: Vec<Respond>,
    /// Rules in order; the first that matches decides, and `pass` goes on to the next tier.
    pub tiers: Vec<Tier>,
}

/// Which document it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Metadata {
    /// Name of the policy, the same in all its versions.
    pub name: String,
    /// Version; a host takes only a higher one than it has.
    #[schemars(range(min = 1))]
    pub version: u64,
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// It is not in force before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub not_before: Option<Timestamp>,
    /// After this time it is no longer taken over; where it is in force it stays, and an alert is raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub not_after: Option<Timestamp>,
    /// SHA-256 of the version before this one, 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub previous: Option<String>,
}

/// A change is taken back unless it is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// How long to wait for the confirmation.
    pub within: Seconds,
}

/// A set of addresses: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Set {
    /// These prefixes and addresses.
    Cidr(Prefixes),
    /// The addresses of the members with these labels, kept current.
    Hosts(String),
    /// The prefixes in a file on the host, one a line, `#` begins a comment.
    File(String),
}

/// Rules that are asked together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Its name.
    pub name: String,
    /// What becomes of packets that no rule of the tier matched; without one the next tier is asked.
    #[serde(default, skip_serializing_if = "Defaults::is_empty")]
    pub default: Defaults,
    /// Its rules, the first that matches decides.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// What a tier says where none of its rules matched, each direction on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// For what the host receives.
    #[serde(rename = "in", default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Action>,
    /// For what the host sends.
    #[serde(rename = "out", default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Action>,
}

impl Defaults {
    /// Whether the tier has none.
    pub fn is_empty(&self) -> bool {
        self.received.is_none() && self.sent.is_none()
    }
}

/// A rule. It matches a packet that satisfies every one of its conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, unique in the document. Counters stay with it.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"))]
    pub id: String,
    /// Whether it is about what the host receives or sends.
    pub dir: Dir,
    /// Protocols: names, numbers, or `any`.
    #[serde(default, skip_serializing_if = "Protocols::is_any")]
    pub proto: Protocols,
    /// Source: addresses, prefixes, `@SET`; with `!` in front of each, all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Addresses>,
    /// Destination, in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Addresses>,
    /// Source ports and ranges of them.
    #[serde(default, skip_serializing_if = "Ports::is_any")]
    pub sport: Ports,
    /// Destination ports and ranges of them.
    #[serde(default, skip_serializing_if = "Ports::is_any")]
    pub dport: Ports,
    /// ICMP types by name or number, `TYPE/CODE` for one code.
    #[serde(default, skip_serializing_if = "IcmpTypes::is_any")]
    pub icmp: IcmpTypes,
    /// TCP flags of a flow's first packet: those that are set, `/`, those that are looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<TcpFlags>,
    /// Interfaces by name; `*` at the end stands for anything.
    #[serde(default, skip_serializing_if = "Interfaces::is_any")]
    pub interface: Interfaces,
    /// What becomes of a packet that it matches.
    pub action: Action,
    /// What becomes of flows it accepted when a later policy would refuse them.
    #[serde(default, skip_serializing_if = "Established::is_default")]
    pub established: Established,
    /// How many new flows it accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Whether matches are logged: `true`, or how many lines at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
}

/// How many new flows a rule accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Flows in a time, for example `2000/s`.
    pub rate: Rate,
    /// Flows that may come at once; as many as the rate's number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
    /// Whether each source address has a limit of its own.
    #[serde(default)]
    pub per: Per,
    /// What becomes of what is beyond.
    #[serde(default)]
    pub over: Over,
}

impl Document {
    /// The document as indented JSON.
    pub fn to_json(&self) -> String {
        // Maps have text keys and numbers are integers, so that nothing can fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The document as YAML in the form of the guide: one rule a line.
    pub fn to_yaml(&self) -> String {
        values::yaml(&serde_json::to_value(self).unwrap_or_default())
    }
}

impl Set {
    /// Its prefixes, where they are written in the document.
    pub fn prefixes(&self) -> Option<&[IpNet]> {
        match self {
            Self::Cidr(prefixes) => Some(&prefixes.0),
            Self::Hosts(_) | Self::File(_) => None,
        }
    }
}
