//! The values of a policy: words, addresses, ports, protocols, rates; how each prints, and its JSON Schema.
//!
//! Reading is in `parse`, which can say where and why something is wrong. Invariant: a value prints as text that reads as
//! that value.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;

use hivewall_datapath::policy::Action as Verdict;
use hivewall_model::{Direction, protocol_name};
use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::ruleset::{self, FlagsMatch, IcmpMatch, PortRange};

/// Protocols that have ports.
pub(crate) const PORT_PROTOCOLS: &[u8] = &[6, 17, 132, 33, 136];

/// TCP flags by name.
pub(crate) const TCP_FLAGS: &[(&str, u8)] =
    &[("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32), ("ece", 64), ("cwr", 128)];

/// ICMP types by name, as IANA and nft write them.
pub(crate) const ICMP_TYPES: &[(&str, u8)] = &[
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("source-quench", 4),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp-request", 13),
    ("timestamp-reply", 14),
];

/// ICMPv6 types by name.
pub(crate) const ICMPV6_TYPES: &[(&str, u8)] = &[
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("mld-query", 130),
    ("mld-report", 131),
    ("mld-done", 132),
    ("router-solicitation", 133),
    ("router-advertisement", 134),
    ("neighbour-solicitation", 135),
    ("neighbour-advertisement", 136),
    ("redirect", 137),
    ("mld2-report", 143),
];

/// A choice among words.
pub(crate) trait Word: Copy + 'static {
    /// Each word and what it stands for.
    const WORDS: &'static [(&'static str, Self)];
}

macro_rules! words {
    ($(#[$about:meta])+ $name:ident { $($(#[$attribute:meta])+ $variant:ident = $word:literal,)+ }) => {
        $(#[$about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, JsonSchema)]
        pub enum $name { $($(#[$attribute])+ #[serde(rename = $word)] $variant,)+ }

        impl Word for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant),)+];
        }

        impl $name {
            /// The word in a document.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

pub(super) use words;

words! {
    /// What a document is.
    Kind {
        /// A firewall policy.
        #[default]
        Policy = "Policy",
    }
}

words! {
    /// Whether refusals are carried out.
    Mode {
        /// Counted and shown, not carried out.
        Observe = "observe",
        /// Carried out.
        #[default]
        Enforce = "enforce",
    }
}

words! {
    /// Which packets a rule is about.
    Dir {
        /// Those that an interface receives.
        In = "in",
        /// Those that an interface sends.
        Out = "out",
        /// Both.
        #[default]
        Both = "both",
    }
}

words! {
    /// What becomes of a packet.
    Action {
        /// It passes.
        Accept = "accept",
        /// It is dropped without a word.
        #[default]
        Drop = "drop",
        /// It is dropped and its sender told.
        Reject = "reject",
        /// The next tier decides.
        Pass = "pass",
    }
}

words! {
    /// What becomes of flows that were accepted, when a later policy would refuse them.
    Established {
        /// They are judged once more; refused ones are dropped.
        #[default]
        Reeval = "reeval",
        /// They stay.
        Keep = "keep",
        /// They are judged once more; refused TCP connections are reset.
        Reset = "reset",
    }
}

words! {
    /// Whose limit it is.
    Per {
        /// Each source address has its own.
        Source = "src",
        /// One for the rule.
        #[default]
        Rule = "rule",
    }
}

words! {
    /// What becomes of flows beyond a limit.
    Over {
        /// They are dropped.
        #[default]
        Drop = "drop",
        /// They are dropped and their sender told.
        Reject = "reject",
        /// The next rule is asked.
        Pass = "pass",
    }
}

words! {
    /// The time of a rate.
    RateUnit {
        /// A second.
        #[default]
        Second = "s",
        /// A minute.
        Minute = "m",
        /// An hour.
        Hour = "h",
    }
}

impl Dir {
    /// Whether it is about packets of this direction.
    pub fn covers(self, direction: Direction) -> bool {
        match self {
            Self::In => direction == Direction::Ingress,
            Self::Out => direction == Direction::Egress,
            Self::Both => true,
        }
    }

    pub(crate) fn resolved(self) -> Option<Direction> {
        match self {
            Self::In => Some(Direction::Ingress),
            Self::Out => Some(Direction::Egress),
            Self::Both => None,
        }
    }
}

impl Established {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Action> for Verdict {
    fn from(action: Action) -> Self {
        match action {
            Action::Accept => Self::Accept,
            Action::Drop => Self::Drop,
            Action::Reject => Self::Reject,
            Action::Pass => Self::Pass,
        }
    }
}

impl From<Over> for Verdict {
    fn from(over: Over) -> Self {
        match over {
            Over::Drop => Self::Drop,
            Over::Reject => Self::Reject,
            Over::Pass => Self::Pass,
        }
    }
}

impl From<Mode> for ruleset::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Observe => Self::Observe,
            Mode::Enforce => Self::Enforce,
        }
    }
}

impl From<Established> for ruleset::Established {
    fn from(established: Established) -> Self {
        match established {
            Established::Reeval => Self::Reevaluate,
            Established::Keep => Self::Keep,
            Established::Reset => Self::Reset,
        }
    }
}

/// One of the addresses that a rule names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// A set, by name.
    Set(String),
    /// A prefix; a whole address has the full length.
    Net(IpNet),
}

/// The addresses a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// All but these.
    pub negated: bool,
    /// At least one.
    pub terms: Vec<Term>,
}

/// Prefixes of a set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefixes(pub Vec<IpNet>);

/// Ports and ranges of them; any when empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Ports(pub Vec<PortRange>);

/// IP protocol numbers; any when empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Protocols(pub Vec<u8>);

/// ICMP types; any when empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct IcmpTypes(pub Vec<IcmpMatch>);

/// A condition on TCP flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub FlagsMatch);

/// Patterns over names of interfaces; any when empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Interfaces(pub Vec<String>);

/// So many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many, at least 1.
    pub count: u32,
    /// In which time.
    pub unit: RateUnit,
}

/// A span of time in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seconds(pub u64);

/// Log lines that a rule may cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Log {
    /// Lines in a time.
    pub rate: Rate,
}

impl Log {
    /// What `log: true` stands for.
    pub const DEFAULT: Self = Self { rate: Rate { count: 10, unit: RateUnit::Second } };
}

impl RateUnit {
    /// Seconds of it.
    pub fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }
}

/// A prefix as documents write it: an address without its length when it is one.
pub(crate) fn net_text(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

impl Addresses {
    fn texts(&self) -> impl Iterator<Item = String> + '_ {
        let sign = if self.negated { "!" } else { "" };
        self.terms.iter().map(move |term| match term {
            Term::Set(name) => format!("{sign}@{name}"),
            Term::Net(net) => format!("{sign}{}", net_text(net)),
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit.word())
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |bits: u8| {
            let names: Vec<&str> = TCP_FLAGS.iter().filter(|(_, bit)| bits & bit != 0).map(|(name, _)| *name).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(",") }
        };
        let FlagsMatch { mask, value } = self.0;
        if mask == value { f.write_str(&names(value)) } else { write!(f, "{}/{}", names(value), names(mask)) }
    }
}

impl Ports {
    /// Whether every port will do.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }
}

impl Protocols {
    /// Whether every protocol will do.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }
}

impl IcmpTypes {
    /// Whether every type will do.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }
}

impl Interfaces {
    /// Whether every interface will do.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }
}

/// One value stands by itself, several in a list.
fn one_or_list<S: Serializer>(serializer: S, mut values: Vec<Value>) -> Result<S::Ok, S::Error> {
    match (values.pop(), values.is_empty()) {
        (Some(value), true) => value.serialize(serializer),
        (last, _) => {
            values.extend(last);
            values.serialize(serializer)
        }
    }
}

macro_rules! printed {
    ($($name:ident: $this:ident => $values:expr, $schema:expr;)+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $this = self;
                one_or_list(serializer, $values)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )+};
}

/// A schema for one value or a list of them.
#[expect(clippy::needless_pass_by_value, reason = "written into the list twice")]
fn list_of(one: Value) -> Schema {
    json_schema!({"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]})
}

const NET: &str = r"(([0-9]{1,3}\.){3}[0-9]{1,3}(/[0-9]{1,2})?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/[0-9]{1,3})?)";

fn text(pattern: &str, examples: &[&str]) -> Value {
    serde_json::json!({"type": "string", "pattern": pattern, "examples": examples})
}

printed! {
    Addresses: this => this.texts().map(Value::from).collect(),
        list_of(text(&format!("^!?(@[A-Za-z0-9][A-Za-z0-9._-]*|{NET})$"), &["@mgmt", "10.0.0.0/8", "!@mgmt"]));
    Prefixes: this => this.0.iter().map(|net| net_text(net).into()).collect(),
        json_schema!({"anyOf": [
            text(&format!("^{NET}$"), &["10.9.0.0/24"]), {"type": "array", "items": text(&format!("^{NET}$"), &[])},
        ]});
    Ports: this => this.0.iter().map(|range| match (range.start(), range.end()) {
            (start, end) if start == end => (*start).into(),
            (start, end) => format!("{start}-{end}").into(),
        }).collect(),
        list_of(serde_json::json!({"anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 65535}, text("^[0-9]{1,5}(-[0-9]{1,5})?$", &["8000-8099"]),
        ]}));
    Protocols: this => this.0.iter().map(|number| match protocol_name(*number) {
            Some(name) => name.into(),
            None => (*number).into(),
        }).collect(),
        list_of(serde_json::json!({"anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 255}, text("^[A-Za-z0-9-]+$", &["tcp", "udp", "icmp", "icmpv6", "any"]),
        ]}));
    IcmpTypes: this => this.0.iter().map(|IcmpMatch { kind, code }| match code {
            None => (*kind).into(),
            Some(code) => format!("{kind}/{code}").into(),
        }).collect(),
        list_of(serde_json::json!({"anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 255},
            text("^[a-z0-9-]+(/[0-9]{1,3})?$", &["echo-request", "destination-unreachable/4"]),
        ]}));
    TcpFlags: this => vec![this.to_string().into()],
        json_schema!({
            "type": "string",
            "pattern": "^(none|[a-z]{3}(, ?[a-z]{3})*)( ?/ ?[a-z]{3}(, ?[a-z]{3})*)?$",
            "examples": ["syn/syn,ack,rst,fin"],
        });
    Interfaces: this => this.0.iter().map(|name| name.as_str().into()).collect(),
        list_of(text(r"^[^\s/*]{0,15}\*?$", &["eth0", "wg*"]));
    Rate: this => vec![this.to_string().into()],
        json_schema!({"type": "string", "pattern": "^[0-9]+/[smh]$", "examples": ["2000/s"]});
    Seconds: this => vec![format!("{}s", this.0).into()],
        json_schema!({"type": "string", "pattern": "^[0-9]+[smh]$", "examples": ["120s"]});
}

impl JsonSchema for Log {
    fn schema_name() -> Cow<'static, str> {
        "Log".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rate = generator.subschema_for::<Rate>();
        json_schema!({"anyOf": [
            {"type": "boolean"},
            {"type": "object", "properties": {"rate": rate}, "required": ["rate"], "additionalProperties": false},
        ]})
    }
}

/// A value as YAML: maps and lists of maps in lines of their own down to the rules, everything below on one line.
pub(super) fn yaml(value: &Value) -> String {
    let mut text = String::new();
    let Value::Object(document) = value else { return text };
    for (key, value) in document {
        match (key.as_str(), value) {
            ("tiers", Value::Array(tiers)) if !tiers.is_empty() => {
                text.push_str("tiers:\n");
                tiers.iter().for_each(|tier| yaml_tier(&mut text, tier));
            }
            ("sets", Value::Object(sets)) => {
                text.push_str("sets:\n");
                for (name, set) in sets {
                    // Writing to a string cannot fail; here and below.
                    let _ = writeln!(text, "  {}: {}", key_text(name), flow(set));
                }
            }
            _ => {
                let _ = writeln!(text, "{key}: {}", flow(value));
            }
        }
    }
    text
}

fn yaml_tier(text: &mut String, tier: &Value) {
    let Value::Object(tier) = tier else { return };
    for (at, (key, value)) in tier.iter().enumerate() {
        let _ = write!(text, "{} {key}:", if at == 0 { "-" } else { " " });
        match (key.as_str(), value) {
            ("rules", Value::Array(rules)) if !rules.is_empty() => {
                text.push('\n');
                for rule in rules {
                    let _ = writeln!(text, "  - {}", flow(rule));
                }
            }
            _ => {
                let _ = writeln!(text, " {}", flow(value));
            }
        }
    }
}

/// A value on one line.
pub(crate) fn flow(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(key, value)| format!("{}: {}", key_text(key), flow(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        // JSON is YAML.
        other => other.to_string(),
    }
}

fn key_text(key: &str) -> String {
    flow(&Value::from(key))
}

/// Whether a text needs no quotes: it begins with a letter or is an IPv4 address or prefix, has nothing that YAML reads
/// as anything else, and is no word that YAML has for something.
fn is_plain(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic()) || text.parse::<IpNet>().is_ok();
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ','));
    begins && plain && !text.contains(',') && !crate::parse::is_other_than_text(text)
}
