//! One test of one field: how its value is read, what it means for a flow, how it is written back.
//!
//! Invariant: [`Test::head`] and [`Test::write_value`] together are a term that reads as the same test.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv6Addr};

use hivewall_model::{EndReason, Fate, Perspective, TcpState, Timestamp, Tunnel, protocol_name};
use ipnet::IpNet;

use super::glob;
use super::named::Named;
use super::subject::{Subject, shown_text_contains};
use crate::time::rfc3339;
use crate::units;

/// Which end of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Either,
    Source,
    Destination,
}

/// What can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    /// IP bytes.
    Bytes,
    /// Packets.
    Packets,
    /// Microseconds.
    Duration,
    /// Bits per second.
    Rate,
    /// Microseconds.
    Rtt,
    /// Segments.
    Retransmits,
    /// Segments.
    OutOfOrder,
}

/// How it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Above,
    AtLeast,
    Below,
    AtMost,
    Equal,
}

/// What `state` can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifecycle {
    Active,
    Closed,
    Tcp(TcpState),
}

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Ip(Side, IpNet),
    /// First and last port.
    Port(Side, (u16, u16)),
    Protocol(u8),
    /// A pattern.
    Interface(Box<str>),
    Direction(Perspective),
    /// First and last id.
    Vlan((u16, u16)),
    /// `None` is any tunnel.
    Tunnel(Option<Tunnel>),
    State(Lifecycle),
    Flags(u8),
    EndReason(EndReason),
    /// Of either direction.
    Verdict(Fate),
    Pid(u32),
    /// First and last status.
    HttpStatus((u16, u16)),
    /// A pattern.
    Named(Named, Box<str>),
    /// The quantity's unit is that of [`Quantity`].
    Compare(Quantity, Op, u64),
    FlowId(u64),
    CommunityId(Box<str>),
    /// Whole microseconds, as [`Test::To`].
    From(Timestamp),
    To(Timestamp),
    Text(Box<str>),
}

impl Side {
    fn any<T>(self, (source, destination): (T, T), holds: impl Fn(T) -> bool) -> bool {
        match self {
            Self::Either => holds(source) || holds(destination),
            Self::Source => holds(source),
            Self::Destination => holds(destination),
        }
    }
}

impl Quantity {
    /// Reads a value of it.
    pub(super) fn parse(self, text: &str) -> Option<u64> {
        match self {
            Self::Bytes => units::parse_size(text),
            Self::Packets | Self::Retransmits | Self::OutOfOrder => units::parse_count(text),
            Self::Duration | Self::Rtt => u64::try_from((units::parse_duration(text)?.as_nanos() + 500) / 1000).ok(),
            Self::Rate => units::parse_rate(text),
        }
    }

    /// Its value; `None` where it was not measured.
    fn of(self, flow: &impl Subject) -> Option<u64> {
        Some(match self {
            Self::Bytes => flow.bytes(),
            Self::Packets => flow.packets(),
            Self::Duration => flow.duration_micros(),
            Self::Rate => flow.bits_per_second(),
            Self::Rtt => flow.rtt_micros()?,
            Self::Retransmits => flow.retransmits()?,
            Self::OutOfOrder => flow.out_of_order()?,
        })
    }

    /// The field's name.
    fn key(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Packets => "packets",
            Self::Duration => "duration",
            Self::Rate => "rate",
            Self::Rtt => "rtt",
            Self::Retransmits => "retransmits",
            Self::OutOfOrder => "out-of-order",
        }
    }
}

impl Op {
    /// Longer signs stand before their beginnings.
    const SIGNS: [(&'static str, Self); 5] =
        [(">=", Self::AtLeast), ("<=", Self::AtMost), (">", Self::Above), ("<", Self::Below), ("=", Self::Equal)];

    fn sign(self) -> &'static str {
        Self::SIGNS.iter().find(|(_, op)| *op == self).map_or("", |(sign, _)| sign)
    }

    fn holds(self, value: u64, bound: u64) -> bool {
        match self {
            Self::Above => value > bound,
            Self::AtLeast => value >= bound,
            Self::Below => value < bound,
            Self::AtMost => value <= bound,
            Self::Equal => value == bound,
        }
    }
}

impl Lifecycle {
    fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Closed => "closed",
            // `closed` alone is the end of any flow.
            Self::Tcp(TcpState::Closed) => "tcp_closed",
            Self::Tcp(TcpState::SynSent) => "syn_sent",
            Self::Tcp(TcpState::SynRecv) => "syn_recv",
            Self::Tcp(TcpState::Established) => "established",
            Self::Tcp(TcpState::FinWait) => "fin_wait",
            Self::Tcp(TcpState::Reset) => "reset",
        }
    }
}

/// Names of tunnels, as rows show them.
pub(super) const TUNNELS: [(Tunnel, &str); 5] = [
    (Tunnel::Ipip, "ipip"),
    (Tunnel::SixInFour, "6in4"),
    (Tunnel::Gre, "gre"),
    (Tunnel::Vxlan, "vxlan"),
    (Tunnel::Geneve, "geneve"),
];

/// Letters of the TCP flags from bit 7 to bit 0, and their names.
const FLAGS: [(char, &str); 8] =
    [('C', "CWR"), ('E', "ECE"), ('U', "URG"), ('A', "ACK"), ('P', "PSH"), ('R', "RST"), ('S', "SYN"), ('F', "FIN")];

/// Slot of the first quantity's first bound.
const QUANTITIES: u8 = 16;
/// The first slot behind those of quantities, three for each.
const AFTER_QUANTITIES: u8 = QUANTITIES + 3 * (Quantity::OutOfOrder as u8 + 1);

impl Test {
    /// Whether it holds for the flow.
    pub(super) fn holds(&self, flow: &impl Subject) -> bool {
        match self {
            Self::Ip(side, net) => side.any(flow.addresses(), |ip| ip.is_some_and(|ip| net.contains(&ip))),
            Self::Port(side, (first, last)) => {
                flow.ports().is_some_and(|ports| side.any(ports, |port| (*first..=*last).contains(&port)))
            }
            Self::Protocol(number) => flow.protocol() == *number,
            Self::Interface(pattern) => flow.any_interface(&mut |name| glob::matches(pattern, name)),
            Self::Direction(want) => flow.direction() == Some(*want),
            Self::Vlan((first, last)) => flow.vlans().iter().any(|id| (*first..=*last).contains(id)),
            Self::Tunnel(want) => flow.tunnel().is_some_and(|tunnel| want.is_none_or(|want| want == tunnel)),
            Self::State(Lifecycle::Active) => !flow.is_closed(),
            Self::State(Lifecycle::Closed) => flow.is_closed(),
            Self::State(Lifecycle::Tcp(state)) => flow.tcp_state() == Some(*state),
            Self::Flags(want) => flow.flags().iter().any(|seen| seen & want == *want),
            Self::EndReason(reason) => flow.end_reason() == Some(*reason),
            Self::Verdict(fate) => flow.fates().contains(&Some(*fate)),
            Self::Pid(pid) => flow.pids().contains(&Some(*pid)),
            Self::HttpStatus((first, last)) => {
                flow.http_status().is_some_and(|status| (*first..=*last).contains(&status))
            }
            Self::Named(what, pattern) => flow.named(*what).iter().flatten().any(|shown| what.matches(pattern, shown)),
            Self::Compare(quantity, op, bound) => quantity.of(flow).is_some_and(|value| op.holds(value, *bound)),
            Self::FlowId(id) => flow.id() == *id,
            Self::CommunityId(id) => flow.community_id_is(id),
            Self::From(time) => flow.last().is_some_and(|last| last >= *time),
            Self::To(time) => flow.start().is_some_and(|start| start <= *time),
            Self::Text(text) => shown_text_contains(flow, text),
        }
    }

    /// Which field it tests: tests of one field are alternatives. Bounds from below, from above and exact values are
    /// fields of their own. The order is that of evaluation, so what costs least stands first.
    pub(super) fn slot(&self) -> u8 {
        match self {
            Self::FlowId(_) => 0,
            Self::Protocol(_) => 1,
            Self::Port(side, _) => 2 + *side as u8,
            Self::Ip(side, _) => 5 + *side as u8,
            Self::Direction(_) => 8,
            Self::State(_) => 9,
            Self::Flags(_) => 10,
            Self::EndReason(_) => 11,
            Self::Verdict(_) => 12,
            Self::Vlan(_) => 13,
            Self::From(_) => 14,
            Self::To(_) => 15,
            Self::Compare(quantity, op, _) => {
                let bound = match op {
                    Op::Above | Op::AtLeast => 0,
                    Op::Below | Op::AtMost => 1,
                    Op::Equal => 2,
                };
                QUANTITIES + 3 * *quantity as u8 + bound
            }
            Self::Pid(_) => AFTER_QUANTITIES,
            Self::HttpStatus(_) => AFTER_QUANTITIES + 1,
            Self::Tunnel(_) => AFTER_QUANTITIES + 2,
            Self::Interface(_) => AFTER_QUANTITIES + 3,
            Self::Named(what, _) => AFTER_QUANTITIES + 4 + *what as u8,
            Self::Text(_) => AFTER_QUANTITIES + 4 + Named::COUNT,
            Self::CommunityId(_) => AFTER_QUANTITIES + 5 + Named::COUNT,
        }
    }

    /// What stands before the value in the text form.
    pub(super) fn head(&self) -> String {
        let name = match self {
            Self::Compare(quantity, op, _) => return format!("{}{}", quantity.key(), op.sign()),
            Self::Named(what, _) => what.key(),
            Self::Pid(_) => "pid",
            Self::HttpStatus(_) => "http-status",
            Self::Text(_) => return String::new(),
            Self::Ip(Side::Either, _) => "ip",
            Self::Ip(Side::Source, _) => "src-ip",
            Self::Ip(Side::Destination, _) => "dst-ip",
            Self::Port(Side::Either, _) => "port",
            Self::Port(Side::Source, _) => "src-port",
            Self::Port(Side::Destination, _) => "dst-port",
            Self::Protocol(_) => "proto",
            Self::Interface(_) => "interface",
            Self::Direction(_) => "direction",
            Self::Vlan(_) => "vlan",
            Self::Tunnel(_) => "tunnel",
            Self::State(_) => "state",
            Self::Flags(_) => "flags",
            Self::EndReason(_) => "end-reason",
            Self::Verdict(_) => "verdict",
            Self::FlowId(_) => "flow-id",
            Self::CommunityId(_) => "community-id",
            Self::From(_) => "from",
            Self::To(_) => "to",
        };
        format!("{name}:")
    }

    /// Whether further values of the field may follow behind a comma.
    pub(super) fn is_listed(&self) -> bool {
        !matches!(self, Self::Compare(..) | Self::From(_) | Self::To(_) | Self::Text(_))
    }

    /// Writes the value in the text form.
    pub(super) fn write_value(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(_, net) if net.prefix_len() == net.max_prefix_len() => write!(f, "{}", net.addr()),
            Self::Ip(_, net) => write!(f, "{net}"),
            Self::Port(_, range) | Self::Vlan(range) | Self::HttpStatus(range) => write_range(f, *range),
            Self::Protocol(number) => match protocol_name(*number) {
                Some(name) => f.write_str(name),
                None => write!(f, "{number}"),
            },
            Self::Interface(pattern) | Self::Named(_, pattern)
                if pattern.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\\')) =>
            {
                write_quoted(f, pattern)
            }
            Self::Interface(text) | Self::Named(_, text) | Self::CommunityId(text) => f.write_str(text),
            Self::Direction(perspective) => f.write_str(perspective.name()),
            Self::Tunnel(want) => {
                let name = TUNNELS.iter().find(|(tunnel, _)| Some(*tunnel) == *want).map_or("any", |(_, name)| name);
                f.write_str(name)
            }
            Self::State(state) => f.write_str(state.name()),
            Self::Flags(bits) => FLAGS
                .iter()
                .zip((0..8).rev())
                .filter(|(_, bit)| bits >> bit & 1 == 1)
                .try_for_each(|((letter, _), _)| f.write_char(*letter)),
            Self::EndReason(reason) => f.write_str(reason.name()),
            Self::Verdict(fate) => f.write_str(fate.name()),
            Self::Pid(pid) => write!(f, "{pid}"),
            Self::Compare(Quantity::Duration | Quantity::Rtt, _, micros) => f.write_str(&units::exact_micros(*micros)),
            Self::Compare(_, _, value) => f.write_str(&units::exact_count(*value)),
            Self::FlowId(id) => write!(f, "{id}"),
            Self::From(time) | Self::To(time) => f.write_str(&rfc3339(*time)),
            Self::Text(text) => write_quoted(f, text),
        }
    }
}

fn write_range(f: &mut fmt::Formatter<'_>, (first, last): (u16, u16)) -> fmt::Result {
    if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

/// Reads `>1M` and its like.
pub(super) fn comparison(quantity: Quantity, text: &str) -> Option<Test> {
    let (op, value) = Op::SIGNS.iter().find_map(|(sign, op)| Some((*op, text.strip_prefix(sign)?)))?;
    Some(Test::Compare(quantity, op, quantity.parse(value)?))
}

/// Reads an address (brackets allowed) or a prefix, whose host bits are cleared. IPv4-mapped IPv6 is IPv4, as in flows.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let net = match bare.parse::<IpAddr>() {
        Ok(ip) => IpNet::from(ip),
        Err(_) => bare.parse::<IpNet>().ok()?.trunc(),
    };
    let IpNet::V6(v6) = net else { return Some(net) };
    let mapped = v6.prefix_len().checked_sub(96).zip(Ipv6Addr::to_ipv4_mapped(&v6.addr()));
    Some(mapped.and_then(|(len, v4)| IpNet::new(v4.into(), len).ok()).unwrap_or(net))
}

/// Reads `443` or `8000-8080`.
pub(super) fn ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

/// Reads one VLAN id or a range.
pub(super) fn vlans(text: &str) -> Option<(u16, u16)> {
    ports(text).filter(|(first, last)| *first >= 1 && *last <= 4095)
}

/// Reads an HTTP status, a range of them, or a class (`5xx`).
pub(super) fn statuses(text: &str) -> Option<(u16, u16)> {
    let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
    let range = match class {
        Some(hundreds) => {
            ports(hundreds).map(|(first, last)| (first.saturating_mul(100), last.saturating_mul(100) + 99))
        }
        None => ports(text),
    };
    range.filter(|(first, last)| *first >= 100 && *last <= 999)
}

/// Reads a tunnel's name; `Some(None)` is any.
#[expect(clippy::option_option, reason = "the outer one says whether the text could be read")]
pub(super) fn tunnel(text: &str) -> Option<Option<Tunnel>> {
    let text = text.to_ascii_lowercase();
    if text == "any" {
        return Some(None);
    }
    TUNNELS.iter().find(|(_, name)| *name == text).map(|(tunnel, _)| Some(*tunnel))
}

/// Reads `SA`, or one flag by its name.
pub(super) fn flags(text: &str) -> Option<u8> {
    let upper = text.to_ascii_uppercase();
    let bit = |wanted: &dyn Fn(&(char, &str)) -> bool| {
        FLAGS.iter().zip((0..8).rev()).find(|(flag, _)| wanted(flag)).map(|(_, bit)| 1_u8 << bit)
    };
    // The name first: the letters of ECE are flags themselves.
    if let Some(bits) = bit(&|(_, name)| *name == upper) {
        return Some(bits);
    }
    let bits = upper.chars().try_fold(0, |bits, c| Some(bits | bit(&|(letter, _)| *letter == c)?))?;
    (bits != 0).then_some(bits)
}

/// The one of `all` with this name, whatever the case; `-` and `_` are the same.
pub(super) fn by_name<T: Copy>(all: impl IntoIterator<Item = T>, name: fn(T) -> &'static str, text: &str) -> Option<T> {
    let text = text.replace('-', "_");
    all.into_iter().find(|one| name(*one).eq_ignore_ascii_case(&text))
}

/// Checks a Community ID: version 1, and the Base64 of 20 bytes.
pub(super) fn community(text: &str) -> Option<Box<str>> {
    let hash = text.strip_prefix("1:")?.strip_suffix('=')?;
    let valid = hash.len() == 27 && hash.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    valid.then(|| text.into())
}

/// Any text but the empty one.
pub(super) fn nonempty(text: &str) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}
