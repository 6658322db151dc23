//! The catalogue of filter fields: one table from which terms are read, flags and completions are made, help is
//! written and errors are worded. What a term then means stands in `term`.
//!
//! Invariant: no two fields share a spelling, and every example can be read.

mod depth;

use std::fmt::Write as _;

use hivewall_model::{EndReason, Fate, Perspective, TcpState, Timestamp};

use super::error::{FilterError, FilterFault, nearest};
use super::named::Named;
use super::term::{self, Lifecycle, Op, Quantity, Side, Test};
use crate::time::{parse_time, to_micros};
use crate::units;

/// What a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// An address or a CIDR prefix.
    Address,
    /// A port or an inclusive range.
    Port,
    /// A protocol name or number.
    Protocol,
    /// A name with `*` and `?`.
    Glob,
    /// One of these words; others may be further spellings of them.
    Choice(&'static [&'static str]),
    /// Letters of TCP flags, or the name of one.
    TcpFlags,
    /// A VLAN id or an inclusive range.
    Vlan,
    /// `>`, `>=`, `<`, `<=` or `=` and a value of the kind.
    Comparison(&'static ValueKind),
    /// Bytes, with or without a prefix.
    Size,
    /// A count, with or without a prefix.
    Count,
    /// Bits per second, with or without a prefix.
    Rate,
    /// A time span.
    Duration,
    /// A moment, or how long ago.
    Time,
    /// A whole number.
    Number,
    /// An HTTP status, an inclusive range of them, or a class (`5xx`).
    Status,
    /// A Community ID.
    CommunityId,
    /// Any text.
    Text,
}

impl ValueKind {
    /// What a user is told to write: a noun phrase with its article.
    pub fn expects(self) -> &'static str {
        match self {
            Self::Address => "an address or a prefix",
            Self::Port => "a port from 0 to 65535 or a range of ports",
            Self::Protocol => "a protocol name or a number from 0 to 255",
            Self::Glob => "a name or a pattern with `*` and `?`",
            Self::Choice(_) => "one of its words",
            Self::TcpFlags => "a set of TCP flag letters (C E U A P R S F)",
            Self::Vlan => "a VLAN id from 1 to 4095 or a range of ids",
            Self::Comparison(_) => "a comparison (`>`, `>=`, `<`, `<=` or `=` and a value)",
            Self::Size => "a number of bytes (`k`, `MB`, `GiB`, … may follow)",
            Self::Count => "a count (`k`, `M`, … may follow)",
            Self::Rate => "a number of bits per second (`k`, `Mbit/s`, `MB/s`, … may follow)",
            Self::Duration => "a time span (`ms`, `s`, `m`, `h`, `d`)",
            Self::Time => "a time (RFC 3339, a date, or how long ago)",
            Self::Number => "a whole number",
            Self::Status => "an HTTP status, a range of them or a class such as `5xx`",
            Self::CommunityId => "a Community ID (`1:` and 28 characters)",
            Self::Text => "a text",
        }
    }

    /// The same with the words spelled out, for error messages.
    pub(super) fn expected(self) -> String {
        match self {
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            _ => self.expects().to_owned(),
        }
    }

    /// The name of the value in usage lines.
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Address => "ADDRESS",
            Self::Port => "PORT",
            Self::Protocol => "PROTOCOL",
            Self::Glob => "PATTERN",
            Self::Status => "STATUS",
            Self::Choice(_) => "WORD",
            Self::TcpFlags => "FLAGS",
            Self::Vlan | Self::Number => "NUMBER",
            Self::Comparison(_) => "COMPARISON",
            Self::Size => "BYTES",
            Self::Count => "COUNT",
            Self::Rate => "BITS_PER_SECOND",
            Self::Duration => "DURATION",
            Self::Time => "TIME",
            Self::CommunityId => "ID",
            Self::Text => "TEXT",
        }
    }

    /// The words to complete; empty where there are none to list.
    pub fn choices(self) -> &'static [&'static str] {
        match self {
            Self::Choice(words) => words,
            _ => &[],
        }
    }

    /// Whether `a,b` means a or b.
    pub fn takes_list(self) -> bool {
        !matches!(
            self,
            Self::Comparison(_) | Self::Size | Self::Count | Self::Rate | Self::Duration | Self::Time | Self::Text
        )
    }
}

/// One field of the filter language.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Name: of the flag (`--src-ip`) and in the text form (`src-ip:`).
    pub name: &'static str,
    /// Other spellings, the names in JSON among them. `_` and `-` are the same everywhere.
    pub aliases: &'static [&'static str],
    /// What it takes.
    pub kind: ValueKind,
    /// What it does, one sentence.
    pub doc: &'static str,
    /// A term in the text form.
    pub example: &'static str,
    read: fn(&str, Timestamp) -> Option<Test>,
}

impl PartialEq for Key {
    /// Names are unique.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Key {}

impl Key {
    /// The tests that a value stands for: one, or as many as the list has.
    pub(super) fn read(&'static self, value: &str, now: Timestamp) -> Result<Vec<Test>, FilterError> {
        if value.is_empty() {
            return Err(FilterError::new(0, FilterFault::MissingValue { key: self }));
        }
        let one = |at: usize, item: &str| (self.read)(item, now).ok_or_else(|| self.refusal(item).moved(at));
        if !self.kind.takes_list() {
            return Ok(vec![one(0, value)?]);
        }
        let mut at = 0;
        let mut tests = Vec::new();
        for item in value.split(',') {
            let lead = item.len() - item.trim_start().len();
            tests.push(one(at + lead, item.trim())?);
            at += item.len() + 1;
        }
        Ok(tests)
    }

    /// Why `item` is refused; the position is one within it.
    fn refusal(&'static self, item: &str) -> FilterError {
        let value = item.trim_start_matches(['<', '>', '=']);
        let signs = item.len() - value.len();
        let (at, kind) = match self.kind {
            ValueKind::Comparison(of) if signs > 0 => (signs, *of),
            kind => (0, kind),
        };
        let value = item.get(at..).unwrap_or_default();
        if value.is_empty() {
            return FilterError::new(at, FilterFault::MissingValue { key: self });
        }
        let words = kind.choices().iter().map(|word| (*word, *word));
        let suggestion = nearest(value, words);
        FilterError::new(at, FilterFault::BadValue { key: self, kind, value: value.to_owned(), suggestion })
    }
}

macro_rules! compare {
    ($quantity:ident) => {
        |value, _| term::comparison(Quantity::$quantity, value)
    };
    ($quantity:ident $op:ident) => {
        |value, _| Some(Test::Compare(Quantity::$quantity, Op::$op, Quantity::$quantity.parse(value)?))
    };
}

const STATES: &[&str] = &["active", "closed", "syn_sent", "syn_recv", "established", "fin_wait", "tcp_closed", "reset"];
const END_REASONS: &[&str] =
    &["finished", "reset", "idle_timeout", "active_timeout", "table_full", "reused", "shutdown"];

/// Fields of addresses and ports, protocols and places.
const ENDPOINTS: &[Key] = &[
    Key {
        name: "ip",
        aliases: &["addr", "address", "host", "net"],
        kind: ValueKind::Address,
        doc: "Either end's address, or the prefix it lies in.",
        example: "ip:10.0.0.0/8",
        read: |value, _| term::network(value).map(|net| Test::Ip(Side::Either, net)),
    },
    Key {
        name: "src-ip",
        aliases: &["source", "src", "source-ip", "client"],
        kind: ValueKind::Address,
        doc: "The client's address: who opened the conversation.",
        example: "src-ip:192.0.2.7",
        read: |value, _| term::network(value).map(|net| Test::Ip(Side::Source, net)),
    },
    Key {
        name: "dst-ip",
        aliases: &["dest", "dst", "destination", "dest-ip", "server"],
        kind: ValueKind::Address,
        doc: "The server's address: who was called.",
        example: "dst-ip:2001:db8::/32",
        read: |value, _| term::network(value).map(|net| Test::Ip(Side::Destination, net)),
    },
    Key {
        name: "port",
        aliases: &[],
        kind: ValueKind::Port,
        doc: "Either end's port; protocols without ports have none.",
        example: "port:80,443",
        read: |value, _| term::ports(value).map(|ports| Test::Port(Side::Either, ports)),
    },
    Key {
        name: "src-port",
        aliases: &["sport", "source-port"],
        kind: ValueKind::Port,
        doc: "The client's port.",
        example: "src-port:32768-60999",
        read: |value, _| term::ports(value).map(|ports| Test::Port(Side::Source, ports)),
    },
    Key {
        name: "dst-port",
        aliases: &["dport", "dest-port"],
        kind: ValueKind::Port,
        doc: "The server's port, which names the service.",
        example: "dst-port:8000-8080",
        read: |value, _| term::ports(value).map(|ports| Test::Port(Side::Destination, ports)),
    },
    Key {
        name: "proto",
        aliases: &["protocol", "protocol-number"],
        kind: ValueKind::Protocol,
        doc: "The IP protocol, by name or number.",
        example: "proto:udp,icmp",
        read: |value, _| hivewall_model::protocol_by_name(value).map(Test::Protocol),
    },
    Key {
        name: "interface",
        aliases: &["iface", "interfaces", "if"],
        kind: ValueKind::Glob,
        doc: "An interface that saw the flow.",
        example: "interface:eth*",
        read: |value, _| term::nonempty(value).map(Test::Interface),
    },
    Key {
        name: "direction",
        aliases: &["dir"],
        kind: ValueKind::Choice(&["inbound", "outbound", "local", "transit"]),
        doc: "From where to where the conversation goes, as this host sees it.",
        example: "direction:inbound",
        read: |value, _| {
            let all = [Perspective::Inbound, Perspective::Outbound, Perspective::Local, Perspective::Transit];
            let word = value.to_ascii_lowercase();
            let word = match word.as_str() {
                "in" => "inbound",
                "out" => "outbound",
                word => word,
            };
            term::by_name(all, Perspective::name, word).map(Test::Direction)
        },
    },
    Key {
        name: "vlan",
        aliases: &[],
        kind: ValueKind::Vlan,
        doc: "A VLAN id the packets carried, outer or inner.",
        example: "vlan:100-199",
        read: |value, _| term::vlans(value).map(Test::Vlan),
    },
    Key {
        name: "tunnel",
        aliases: &[],
        kind: ValueKind::Choice(&["any", "ipip", "6in4", "gre", "vxlan", "geneve"]),
        doc: "The tunnel that all of the flow's packets were inside of.",
        example: "tunnel:vxlan",
        read: |value, _| term::tunnel(value).map(Test::Tunnel),
    },
];

/// Fields of what a flow is like and how much it moved.
const CONDITION: &[Key] = &[
    Key {
        name: "state",
        aliases: &["tcp-state"],
        kind: ValueKind::Choice(STATES),
        doc: "`active` while the flow lives, `closed` after; or a TCP state (`tcp_closed`: both sides said FIN).",
        example: "state:established",
        read: |value, _| match value.to_ascii_lowercase().as_str() {
            "active" => Some(Test::State(Lifecycle::Active)),
            "closed" => Some(Test::State(Lifecycle::Closed)),
            "tcp_closed" | "tcp-closed" => Some(Test::State(Lifecycle::Tcp(TcpState::Closed))),
            name => term::by_name(TcpState::ALL, TcpState::name, name).map(|state| Test::State(Lifecycle::Tcp(state))),
        },
    },
    Key {
        name: "flags",
        aliases: &["tcp-flags", "tcp-flags-to-server", "tcp-flags-to-client"],
        kind: ValueKind::TcpFlags,
        doc: "TCP flags, all of which one direction has shown (`SA`: SYN and ACK).",
        example: "flags:SA",
        read: |value, _| term::flags(value).map(Test::Flags),
    },
    Key {
        name: "end-reason",
        aliases: &["reason"],
        kind: ValueKind::Choice(END_REASONS),
        doc: "Why the flow is over.",
        example: "end-reason:reset",
        read: |value, _| term::by_name(EndReason::ALL, EndReason::name, value).map(Test::EndReason),
    },
    Key {
        name: "verdict",
        aliases: &["action", "reply-verdict"],
        kind: ValueKind::Choice(&["accept", "drop", "reject", "observed"]),
        doc: "What the policy said of either direction (`observed`: it passed, and would be refused if enforced).",
        example: "verdict:drop,reject",
        read: |value, _| term::by_name(Fate::ALL, Fate::name, value).map(Test::Verdict),
    },
    Key {
        name: "rule",
        aliases: &["rule-id", "reply-rule"],
        kind: ValueKind::Glob,
        doc: "The rule that decided, or in parentheses what decided instead of a rule.",
        example: "rule:main:default-in",
        read: |value, _| term::nonempty(value).map(|pattern| Test::Named(Named::Rule, pattern)),
    },
    Key {
        name: "bytes",
        aliases: &["size"],
        kind: ValueKind::Comparison(&ValueKind::Size),
        doc: "IP bytes, both directions.",
        example: "bytes>1M",
        read: compare!(Bytes),
    },
    Key {
        name: "min-bytes",
        aliases: &[],
        kind: ValueKind::Size,
        doc: "At least so many IP bytes, both directions.",
        example: "min-bytes:1.5MB",
        read: compare!(Bytes AtLeast),
    },
    Key {
        name: "max-bytes",
        aliases: &[],
        kind: ValueKind::Size,
        doc: "At most so many IP bytes, both directions.",
        example: "max-bytes:2GiB",
        read: compare!(Bytes AtMost),
    },
    Key {
        name: "packets",
        aliases: &["pkts"],
        kind: ValueKind::Comparison(&ValueKind::Count),
        doc: "Packets, both directions.",
        example: "packets>=10k",
        read: compare!(Packets),
    },
    Key {
        name: "min-packets",
        aliases: &[],
        kind: ValueKind::Count,
        doc: "At least so many packets, both directions.",
        example: "min-packets:100",
        read: compare!(Packets AtLeast),
    },
    Key {
        name: "duration",
        aliases: &["duration-seconds"],
        kind: ValueKind::Comparison(&ValueKind::Duration),
        doc: "From the first packet to the latest.",
        example: "duration<500ms",
        read: compare!(Duration),
    },
    Key {
        name: "min-duration",
        aliases: &[],
        kind: ValueKind::Duration,
        doc: "At least so long from the first packet to the latest.",
        example: "min-duration:5m",
        read: compare!(Duration AtLeast),
    },
    Key {
        name: "rate",
        aliases: &["bits-per-second", "bps"],
        kind: ValueKind::Comparison(&ValueKind::Rate),
        doc: "IP bits per second now, both directions.",
        example: "rate>10Mbit/s",
        read: compare!(Rate),
    },
    Key {
        name: "min-rate",
        aliases: &[],
        kind: ValueKind::Rate,
        doc: "At least so many IP bits per second now, both directions.",
        example: "min-rate:1M",
        read: compare!(Rate AtLeast),
    },
];

/// Fields of identity and time, and free text.
const IDENTITY: &[Key] = &[
    Key {
        name: "flow-id",
        aliases: &["id"],
        kind: ValueKind::Number,
        doc: "The flow with this number on its agent.",
        example: "flow-id:4711",
        read: |value, _| value.parse().ok().map(Test::FlowId),
    },
    Key {
        name: "community-id",
        aliases: &["cid"],
        kind: ValueKind::CommunityId,
        doc: "The Community ID, as other tools write it.",
        example: "community-id:1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
        read: |value, _| term::community(value).map(Test::CommunityId),
    },
    Key {
        name: "from",
        aliases: &["since"],
        kind: ValueKind::Time,
        doc: "Flows that were seen at this time or later.",
        example: "from:2026-11-21T10:00:00Z",
        read: |value, now| parse_time(value, now).map(|time| Test::From(to_micros(time))),
    },
    Key {
        name: "to",
        aliases: &["until"],
        kind: ValueKind::Time,
        doc: "Flows that began at this time or before.",
        example: "to:2026-11-21T10:05:00Z",
        read: |value, now| parse_time(value, now).map(|time| Test::To(to_micros(time))),
    },
    Key {
        name: "last",
        aliases: &[],
        kind: ValueKind::Duration,
        doc: "Flows that were seen within this time span before now.",
        example: "last:5m",
        read: |value, now| units::parse_duration(value).map(|span| Test::From(to_micros(now - span))),
    },
    Key {
        name: "text",
        aliases: &[],
        kind: ValueKind::Text,
        doc: "Text that stands in an address, the protocol, a process, a name, the application, an interface or at the \
              start of the Community ID; case does not matter, and each further text narrows.",
        example: "text:10.1.",
        read: |value, _| term::nonempty(value).map(Test::Text),
    },
];

/// Every field, in the order of the help text.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    ENDPOINTS.iter().chain(CONDITION).chain(depth::DEPTH).chain(IDENTITY)
}

/// The field that is spelled so, whatever the case; `_` and `-` are the same.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    let same = |spelling: &str| {
        spelling.len() == name.len()
            && spelling
                .bytes()
                .zip(name.bytes())
                .all(|(want, is)| want == is.to_ascii_lowercase() || (want == b'-' && is == b'_'))
    };
    keys().find(|key| same(key.name) || key.aliases.iter().any(|alias| same(alias)))
}

/// Every spelling with the name it stands for.
pub(super) fn spellings() -> impl Iterator<Item = (&'static str, &'static str)> {
    keys()
        .flat_map(|key| std::iter::once((key.name, key.name)).chain(key.aliases.iter().map(|alias| (*alias, key.name))))
}

/// The names, for error messages.
pub(super) fn names() -> String {
    keys().map(|key| key.name).collect::<Vec<_>>().join(", ")
}

/// The filter language as a plain-text help page.
pub fn help() -> String {
    let mut page = String::from(
        "A filter is a line of terms. Different fields: all must match. The same field again, or a list: any may\n\
         match. A `!` or `-` before a term negates it. Bare words are an address or prefix, a port, a protocol, or\n\
         shown text; quotes hold text together.\n\n  ip:10.0.0.0/8 port:80,443 !proto:udp bytes>1M \"eth0\"\n\n",
    );
    for key in keys() {
        let _ = writeln!(page, "  {:<14}{}", key.name, key.doc);
        let _ = writeln!(page, "  {:<14}Example: {}", "", key.example);
        let choices = key.kind.choices();
        if !choices.is_empty() {
            let _ = writeln!(page, "  {:<14}Values: {}", "", choices.join(", "));
        }
        if !key.aliases.is_empty() {
            let _ = writeln!(page, "  {:<14}Also: {}", "", key.aliases.join(", "));
        }
    }
    page
}
