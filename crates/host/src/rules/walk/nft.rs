//! Expressions of nftables, from its JSON with everything as numbers (`nft -j -n`).
//!
//! It evaluates addresses, ports, protocols, interfaces, conntrack's state, direction and status, sets, maps and
//! concatenations. Invariant: an expression that is not known here makes its rule one that cannot be told.

use std::net::IpAddr;

use serde_json::Value;

use super::{NO_INTERFACE, Packet, Step, Told};
use crate::rules::inventory::{Rule, Table};

/// What a field of the packet has.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Number(u128),
    Address(IpAddr),
    Text(String),
    /// The packet has no such field, and the rule does not match.
    None,
    Unknown(String),
}

/// What a rule does to the packet.
pub(super) fn step(table: &Table, rule: &Rule, packet: &Packet) -> Step {
    let mut doubt: Option<String> = None;
    for expression in rule.expressions.as_array().into_iter().flatten() {
        let Some((kind, body)) = expression.as_object().and_then(|object| object.iter().next()) else { continue };
        let told = match kind.as_str() {
            "match" => matches(table, body, packet),
            "counter" | "log" | "comment" | "notrack" => continue,
            "vmap" => match verdict_map(table, body, packet) {
                Ok(Some(step)) if doubt.is_none() => return step,
                Ok(Some(_)) => return Step::Unknown(doubt.unwrap_or_default()),
                // An element that is not there lets the rule end here; one that says `continue` likewise.
                Ok(None) => return Step::Next,
                Err(what) => Told::Unknown(what),
            },
            _ => match verdict(kind, body) {
                Some(Step::Next) => return Step::Next,
                Some(step) => return doubt.map_or(step, Step::Unknown),
                None => Told::Unknown(format!("`{kind}`")),
            },
        };
        match told {
            Told::Yes => {}
            Told::No => return Step::Next,
            Told::Unknown(what) => doubt = doubt.or(Some(what)),
        }
    }
    // Without a verdict nothing depends on what is not known, unless the packet itself is changed.
    match doubt {
        Some(what)
            if ["`snat`", "`dnat`", "`masquerade`", "`redirect`", "`queue`", "`tproxy`"].contains(&what.as_str()) =>
        {
            Step::Unknown(what)
        }
        _ => Step::Next,
    }
}

fn verdict(kind: &str, body: &Value) -> Option<Step> {
    let target = || body.get("target").and_then(Value::as_str).map(str::to_owned);
    Some(match kind {
        "accept" => Step::Accept,
        "drop" => Step::Drop,
        "reject" => Step::Reject,
        "return" => Step::Return,
        "continue" => Step::Next,
        "jump" => Step::Jump(target()?),
        "goto" => Step::Goto(target()?),
        _ => return None,
    })
}

fn matches(table: &Table, body: &Value, packet: &Packet) -> Told {
    let null = Value::Null;
    let part = |key| body.get(key).unwrap_or(&null);
    let operator = part("op").as_str().unwrap_or("==");
    let (left, right) = (part("left"), part("right"));
    if let (Some(parts), "==" | "!=") = (left.get("concat").and_then(Value::as_array), operator) {
        let fields: Vec<Field> = parts.iter().map(|part| field(part, packet)).collect();
        let told = Told::any(items(table, right).into_iter().map(|item| holds_all(&fields, item)));
        return if operator == "!=" { told.not() } else { told };
    }
    if let Some(told) = loopback(left, right, packet) {
        return if operator == "!=" { told.not() } else { told };
    }
    let value = match field(left, packet) {
        Field::None => return Told::No,
        Field::Unknown(what) => return Told::Unknown(what),
        value => value,
    };
    match operator {
        "==" => holds(table, &value, right),
        "!=" => holds(table, &value, right).not(),
        "in" => match (&value, number(right)) {
            (Field::Number(bits), Some(wanted)) => Told::of(bits & wanted != 0),
            _ => holds(table, &value, right),
        },
        _ => match (&value, number(right)) {
            (Field::Number(value), Some(limit)) => Told::of(match operator {
                "<" => *value < limit,
                ">" => *value > limit,
                "<=" => *value <= limit,
                ">=" => *value >= limit,
                _ => return Told::Unknown(format!("`{operator}`")),
            }),
            _ => Told::Unknown(format!("`{operator}`")),
        },
    }
}

/// A number, or several whose bits are joined.
fn number(value: &Value) -> Option<u128> {
    match value {
        Value::Number(number) => number.as_u64().map(u128::from),
        Value::Array(all) => all.iter().try_fold(0, |bits, one| Some(bits | number(one)?)),
        Value::Object(object) => number(object.get("|")?),
        _ => None,
    }
}

/// The elements of a set, named or not, as they are; anything else is itself the only element.
fn items<'a>(table: &'a Table, value: &'a Value) -> Vec<&'a Value> {
    if let Some(name) = value.as_str().and_then(|text| text.strip_prefix('@')) {
        return table
            .sets
            .iter()
            .find(|set| set.name == name)
            .map(|set| set.values.iter().collect())
            .unwrap_or_default();
    }
    match value.get("set").and_then(Value::as_array) {
        Some(all) => all.iter().collect(),
        None => vec![value],
    }
}

/// An element without its time, counter or comment.
fn bare(item: &Value) -> &Value {
    item.get("elem").and_then(|elem| elem.get("val")).unwrap_or(item)
}

fn holds_all(fields: &[Field], item: &Value) -> Told {
    let item = bare(item);
    let Some(parts) = item.get("concat").and_then(Value::as_array) else {
        return Told::Unknown("a set of another form".to_owned());
    };
    fields.iter().zip(parts).fold(Told::Yes, |told, (field, part)| told.and(|| is_in(field, part)))
}

fn holds(table: &Table, value: &Field, right: &Value) -> Told {
    Told::any(items(table, right).into_iter().map(|item| is_in(value, bare(item))))
}

/// Whether a field is this value, or in this range or prefix.
fn is_in(value: &Field, wanted: &Value) -> Told {
    match value {
        Field::Unknown(what) => return Told::Unknown(what.clone()),
        Field::None => return Told::No,
        _ => {}
    }
    if let Some(range) = wanted.get("range").and_then(Value::as_array) {
        let ends = (range.first().and_then(|end| order(value, end)), range.get(1).and_then(|end| order(value, end)));
        return match ends {
            (Some(low), Some(high)) => Told::of(low.is_ge() && high.is_le()),
            _ => Told::Unknown("a range of another form".to_owned()),
        };
    }
    if let (Some(prefix), Field::Address(address)) = (wanted.get("prefix"), value) {
        return in_prefix(*address, prefix).map_or(Told::Unknown("a prefix of another form".to_owned()), Told::of);
    }
    match (value, wanted) {
        (Field::Text(name), Value::String(pattern)) => Told::of(match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        }),
        _ => match order(value, wanted) {
            Some(order) => Told::of(order.is_eq()),
            None => Told::Unknown(format!("the value {wanted}")),
        },
    }
}

fn order(value: &Field, wanted: &Value) -> Option<std::cmp::Ordering> {
    match value {
        Field::Number(value) => Some(value.cmp(&number(wanted)?)),
        Field::Address(value) => {
            let wanted: IpAddr = wanted.as_str()?.parse().ok()?;
            (value.is_ipv4() == wanted.is_ipv4()).then(|| value.cmp(&wanted))
        }
        _ => None,
    }
}

fn in_prefix(address: IpAddr, prefix: &Value) -> Option<bool> {
    let net: IpAddr = prefix.get("addr")?.as_str()?.parse().ok()?;
    let bits = u32::try_from(prefix.get("len")?.as_u64()?).ok()?;
    Some(super::iptables::is_within(address, net, bits))
}

/// The verdict for the packet; none when there is no element for it, or the element says to continue.
fn verdict_map(table: &Table, body: &Value, packet: &Packet) -> Result<Option<Step>, String> {
    let null = Value::Null;
    let (key, data) = (body.get("key").unwrap_or(&null), body.get("data").unwrap_or(&null));
    let parts = key.get("concat").and_then(Value::as_array);
    let fields: Vec<Field> = match parts {
        Some(parts) => parts.iter().map(|part| field(part, packet)).collect(),
        None => vec![field(key, packet)],
    };
    for item in items(table, data) {
        let Some([element, verdict_of]) = item.as_array().and_then(|pair| pair.first_chunk::<2>()) else {
            return Err("a map of another form".to_owned());
        };
        let told = match (parts, fields.first()) {
            (None, Some(field)) => is_in(field, bare(element)),
            _ => holds_all(&fields, element),
        };
        match told {
            Told::No => {}
            Told::Unknown(what) => return Err(what),
            Told::Yes => {
                let (kind, body) =
                    verdict_of.as_object().and_then(|object| object.iter().next()).ok_or("a map of another form")?;
                let step = verdict(kind, body).ok_or_else(|| format!("`{kind}`"))?;
                return Ok(Some(step).filter(|step| *step != Step::Next));
            }
        }
    }
    Ok(None)
}

/// What the packet has where an expression looks.
fn field(expression: &Value, packet: &Packet) -> Field {
    if let Some([inner, mask]) =
        expression.get("&").and_then(Value::as_array).and_then(|parts| parts.first_chunk::<2>())
    {
        return match (field(inner, packet), number(mask)) {
            (Field::Number(bits), Some(mask)) => Field::Number(bits & mask),
            (Field::Number(_), None) => Field::Unknown("a mask of another form".to_owned()),
            (other, _) => other,
        };
    }
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(payload) = expression.get("payload") {
        return payload_field(&text(payload, "protocol"), &text(payload, "field"), packet);
    }
    if let Some(meta) = expression.get("meta") {
        return meta_field(&text(meta, "key"), packet);
    }
    if let Some(conntrack) = expression.get("ct") {
        return conntrack_field(&text(conntrack, "key"), &text(conntrack, "dir"), packet);
    }
    let kind = expression.as_object().and_then(|object| object.keys().next().cloned());
    Field::Unknown(format!("`{}`", kind.unwrap_or_else(|| "an unknown expression".to_owned())))
}

fn known<T: Into<u128>>(value: Option<T>, what: &str) -> Field {
    value
        .map_or_else(|| Field::Unknown(format!("the {what}, which was not given")), |value| Field::Number(value.into()))
}

fn payload_field(protocol: &str, name: &str, packet: &Packet) -> Field {
    let v4 = packet.from.is_ipv4();
    let is_here = match protocol {
        "ip" => v4,
        "ip6" => !v4,
        "th" => matches!(packet.protocol, 1 | 6 | 17 | 33 | 58 | 132 | 136),
        "tcp" => packet.protocol == 6,
        "udp" => packet.protocol == 17,
        "icmp" => v4 && packet.protocol == 1,
        "icmpv6" => !v4 && packet.protocol == 58,
        _ => return Field::Unknown(format!("`{protocol} {name}`")),
    };
    if !is_here {
        return Field::None;
    }
    // The first four bytes of an ICMP header read as ports: type and code, then a checksum that nobody knows.
    let is_icmp = matches!(packet.protocol, 1 | 58);
    match (protocol, name) {
        ("ip" | "ip6", "saddr") => Field::Address(packet.from),
        ("ip" | "ip6", "daddr") => Field::Address(packet.to),
        ("ip", "protocol") | ("ip6", "nexthdr") => Field::Number(packet.protocol.into()),
        ("th", "sport") if is_icmp => {
            known(packet.icmp.map(|(kind, code)| u16::from(kind) << 8 | u16::from(code)), "ICMP type")
        }
        ("th", "dport") if is_icmp => Field::Unknown("the ICMP checksum".to_owned()),
        ("th" | "tcp" | "udp", "sport") => known(packet.source_port, "source port"),
        ("th" | "tcp" | "udp", "dport") => known(packet.destination_port, "destination port"),
        ("tcp", "flags") => Field::Number(packet.flags.into()),
        ("icmp" | "icmpv6", "type") => known(packet.icmp.map(|(kind, _)| kind), "ICMP type"),
        ("icmp" | "icmpv6", "code") => known(packet.icmp.map(|(_, code)| code), "ICMP code"),
        _ => Field::Unknown(format!("`{protocol} {name}`")),
    }
}

/// Whether the interface is the one asked for, where none was given and it is known all the same.
fn loopback(left: &Value, right: &Value, packet: &Packet) -> Option<Told> {
    let key = left.get("meta")?.get("key")?.as_str()?;
    let given = match key {
        "iifname" | "iif" => &packet.in_interface,
        "oifname" | "oif" => &packet.out_interface,
        _ => return None,
    };
    let asked = right.as_str().filter(|_| given.is_none())?;
    packet.is_unnamed(asked).map(Told::of)
}

fn meta_field(key: &str, packet: &Packet) -> Field {
    let interface = |name: &Option<String>| match name {
        Some(name) => Field::Text(name.clone()),
        None => Field::Unknown(NO_INTERFACE.to_owned()),
    };
    let kind = |name: &Option<String>| match name {
        // ARPHRD_LOOPBACK and ARPHRD_ETHER: others are not told apart here.
        Some(name) if name == "lo" => Field::Number(772),
        Some(_) => Field::Number(1),
        None => Field::Unknown(NO_INTERFACE.to_owned()),
    };
    match key {
        "l4proto" => Field::Number(packet.protocol.into()),
        "nfproto" => Field::Number(if packet.from.is_ipv4() { 2 } else { 10 }),
        "protocol" => Field::Number(if packet.from.is_ipv4() { 0x0800 } else { 0x86dd }),
        "iifname" | "iif" => interface(&packet.in_interface),
        "oifname" | "oif" => interface(&packet.out_interface),
        "iiftype" => kind(&packet.in_interface),
        "oiftype" => kind(&packet.out_interface),
        _ => Field::Unknown(format!("`meta {key}`")),
    }
}

fn conntrack_field(key: &str, direction: &str, packet: &Packet) -> Field {
    match (key, direction) {
        // IP_CT_NEW, IP_CT_ESTABLISHED as bits.
        ("state", "") => Field::Number(if packet.new { 8 } else { 2 }),
        ("direction", "") => Field::Number(u128::from(!packet.original)),
        // IPS_CONFIRMED and IPS_SEEN_REPLY: a flow is confirmed once its first packet was let through.
        ("status", "") => Field::Number(if packet.new { 0 } else { 8 | 2 }),
        ("ip saddr" | "ip6 saddr", "original") if packet.original => Field::Address(packet.from),
        ("ip daddr" | "ip6 daddr", "original") if packet.original => Field::Address(packet.to),
        _ => Field::Unknown(format!("`ct {direction}{}{key}`", if direction.is_empty() { "" } else { " " })),
    }
}
