//! A policy with every name resolved: sets are prefixes, tiers are stages, defaults are rules. What a [`Ruleset`] means is
//! fixed by the oracle; everything that enforces it must agree with that.

use std::ops::RangeInclusive;
use std::time::Duration;

use hivewall_datapath::policy::Action;
use hivewall_model::Direction;
use ipnet::IpNet;

/// Ports, both ends included.
pub type PortRange = RangeInclusive<u16>;

/// Whether refusals are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Counted and shown, not carried out.
    Observe,
    /// Carried out.
    #[default]
    Enforce,
}

/// Where a rule stands in the order of judgement. Bans come between [`Stage::Exempt`] and the first tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Lockout guard and the host's own floor.
    Guard,
    /// Exempt from bans.
    Exempt,
    /// A tier of the document, from 0.
    Tier(usize),
}

/// What becomes of the flows that a rule accepted, when a later policy would refuse them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Established {
    /// They are judged once more; refused ones are dropped silently.
    #[default]
    Reevaluate,
    /// They stay.
    Keep,
    /// They are judged once more; refused TCP connections are reset.
    Reset,
}

/// The addresses a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Addresses {
    /// Every address of both families.
    #[default]
    Any,
    /// These; an IPv4 prefix never matches IPv6. May be empty (a set without members), and then matches nothing.
    In(Vec<IpNet>),
    /// All but these, of both families.
    NotIn(Vec<IpNet>),
}

/// A condition on TCP flags: `packet & mask == value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlagsMatch {
    /// Flags that are looked at.
    pub mask: u8,
    /// Those of them that are set.
    pub value: u8,
}

/// An ICMP type, and perhaps a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IcmpMatch {
    /// Type.
    pub kind: u8,
    /// Code; any when absent.
    pub code: Option<u8>,
}

/// New flows a second that a rule accepts. A flow that was let through is not limited again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Flows.
    pub count: u32,
    /// In this time.
    pub per: Duration,
    /// Flows that may come at once.
    pub burst: u32,
    /// Each source address has a limit of its own.
    pub per_source: bool,
    /// What becomes of the flows beyond; `Pass` goes on to the next rule.
    pub over: Action,
}

/// Log lines a rule may cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogRate {
    /// Lines.
    pub count: u32,
    /// In this time.
    pub per: Duration,
}

/// One rule. It matches a packet that satisfies every one of its conditions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Unique in its ruleset. A default's is `TIER:default-in` or `TIER:default-out`; the guard's begin with `guard:`.
    pub id: String,
    /// Where it stands.
    pub stage: Stage,
    /// Received or sent; both when absent.
    pub direction: Option<Direction>,
    /// IP protocol numbers; any when empty.
    pub protocols: Vec<u8>,
    /// Source addresses.
    pub from: Addresses,
    /// Destination addresses.
    pub to: Addresses,
    /// Source ports; any when empty. Conditions on ports never match a protocol without ports.
    pub source_ports: Vec<PortRange>,
    /// Destination ports; any when empty.
    pub destination_ports: Vec<PortRange>,
    /// ICMP (or ICMPv6) types; any when empty.
    pub icmp: Vec<IcmpMatch>,
    /// TCP flags. Only the first packet of a flow is judged, so this is about that one.
    pub flags: Option<FlagsMatch>,
    /// Interfaces by name, `*` at the end stands for anything; any when empty.
    pub interfaces: Vec<String>,
    /// What it says.
    pub action: Action,
    /// What becomes of its flows when the policy changes.
    pub established: Established,
    /// How many new flows it accepts.
    pub limit: Option<Limit>,
    /// Whether and how often its matches are logged.
    pub log: Option<LogRate>,
    /// The line of the document it begins on, from 1; 0 for one that is in no document.
    pub line: u32,
}

/// A policy, ready to be compiled: its rules in order of judgement, stages ascending, each tier's defaults last in it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// Name of the document.
    pub name: String,
    /// Version of the document.
    pub version: u64,
    /// Whether refusals are carried out.
    pub mode: Mode,
    /// Names of the document's tiers, in order.
    pub tiers: Vec<String>,
    /// The rules.
    pub rules: Vec<Rule>,
    /// What the host may do about alerts by itself.
    pub responses: Vec<crate::document::Respond>,
}

impl Rule {
    /// A rule without conditions, which accepts.
    pub fn plain(id: impl Into<String>, stage: Stage, direction: Option<Direction>) -> Self {
        Self {
            id: id.into(),
            stage,
            direction,
            protocols: Vec::new(),
            from: Addresses::Any,
            to: Addresses::Any,
            source_ports: Vec::new(),
            destination_ports: Vec::new(),
            icmp: Vec::new(),
            flags: None,
            interfaces: Vec::new(),
            action: Action::Accept,
            established: Established::default(),
            limit: None,
            log: None,
            line: 0,
        }
    }

    /// Whether it is the host's own: guard, floor or exemption. Exemptions of the document are not.
    pub fn is_hosts_own(&self) -> bool {
        match self.stage {
            Stage::Guard => true,
            Stage::Exempt => self.id.starts_with("exempt:host"),
            Stage::Tier(_) => false,
        }
    }
}

impl Ruleset {
    /// Where a rule stands, for people: `guard`, `exempt`, or the name of its tier.
    pub fn stage_name(&self, stage: Stage) -> String {
        match stage {
            Stage::Guard => "guard".to_owned(),
            Stage::Exempt => "exempt".to_owned(),
            Stage::Tier(number) => self.tiers.get(number).cloned().unwrap_or_else(|| format!("tier {}", number + 1)),
        }
    }

    /// What the document says, without what the host adds.
    #[must_use]
    pub fn without_hosts_own(&self) -> Self {
        let rules = self.rules.iter().filter(|rule| !rule.is_hosts_own()).cloned().collect();
        Self { rules, ..self.clone() }
    }
}
