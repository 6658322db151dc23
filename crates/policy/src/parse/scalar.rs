//! Single texts of a policy to its values: prefixes, ports, rates, types and flags. No places here; the reader knows them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::document::{ICMP_TYPES, ICMPV6_TYPES, Rate, RateUnit, Seconds, TCP_FLAGS, TcpFlags, Word};
use crate::problem::{Fault, listed, nearest};
use crate::ruleset::{FlagsMatch, IcmpMatch, PortRange};

/// Most flows or lines of a rate.
const RATE_MAX: u32 = 1_000_000_000;
/// Longest name of an interface, without the end mark the kernel adds.
const INTERFACE_BYTES_MAX: usize = 15;

/// As what YAML reads a text without quotes, when that is no text.
pub(super) fn kind_of_plain(text: &str) -> Option<&'static str> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| char::is_digit(c, radix));
    let is_integer = digits(unsigned, 10)
        || unsigned.strip_prefix("0x").is_some_and(|hex| digits(hex, 16))
        || unsigned.strip_prefix("0o").is_some_and(|octal| digits(octal, 8));
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some("nothing"),
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Some("a truth value"),
        _ if is_integer => Some("a number"),
        _ if unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && unsigned.parse::<f64>().is_ok() => {
            Some("a number")
        }
        _ if matches!(unsigned.to_ascii_lowercase().as_str(), ".inf" | ".nan") => Some("a number"),
        _ => None,
    }
}

/// Whether a text without quotes is read as a number, a truth value or nothing.
pub(crate) fn is_other_than_text(text: &str) -> bool {
    kind_of_plain(text).is_some()
}

pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

pub(crate) fn net(text: &str) -> Result<IpNet, Fault> {
    let not_of_form =
        || Fault::NotOfForm { given: text.to_owned(), expected: "an address or a prefix", example: "10.0.0.0/8" };
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => text.parse::<IpAddr>().map(IpNet::from).map_err(|_| not_of_form())?,
    };
    if net.trunc() != net {
        return Err(Fault::HostBits { given: text.to_owned(), network: net.trunc(), address: net.addr() });
    }
    if let IpNet::V6(six) = net
        && six.prefix_len() >= 96
        && let Some(four) = six.addr().to_ipv4_mapped()
    {
        let plain = ipnet::Ipv4Net::new(four, six.prefix_len() - 96).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        return Err(Fault::Mapped { given: text.to_owned(), plain: plain.into() });
    }
    Ok(net)
}

pub(super) fn ports(text: &str) -> Result<PortRange, Fault> {
    let not_of_form = || Fault::NotOfForm {
        given: text.to_owned(),
        expected: "a port from 0 to 65535 or a range of them",
        example: "8000-8099",
    };
    let port = |text: &str| {
        if text.chars().all(|c| c.is_ascii_digit()) {
            text.parse::<u16>().map_err(|_| not_of_form())
        } else {
            Err(not_of_form())
        }
    };
    let (start, end) = match text.split_once('-') {
        Some((start, end)) => (port(start.trim())?, port(end.trim())?),
        None => (port(text)?, port(text)?),
    };
    if start > end {
        return Err(Fault::Reversed { start, end });
    }
    Ok(start..=end)
}

/// A protocol's number; `None` for `any`.
pub(super) fn protocol(text: &str) -> Result<Option<u8>, Fault> {
    const USUAL: &[&str] = &["tcp", "udp", "icmp", "icmpv6", "sctp", "gre", "esp", "ah", "ospf", "vrrp", "any"];
    if text.eq_ignore_ascii_case("any") {
        return Ok(None);
    }
    let is_number = text.starts_with(|c: char| c.is_ascii_digit());
    match hivewall_model::protocol_by_name(text) {
        Some(number) => Ok(Some(number)),
        None if is_number => {
            Err(Fault::OutOfRange { given: text.to_owned(), allowed: "a protocol number from 0 to 255" })
        }
        None => Err(Fault::NotPossible {
            given: text.to_owned(),
            suggestion: nearest(text, USUAL.iter().copied()).filter(|near| *near != "any"),
            allowed: format!("{} or a number", listed(USUAL.iter().copied())),
        }),
    }
}

pub(super) fn icmp(text: &str, six: bool) -> Result<IcmpMatch, Fault> {
    let names = if six { ICMPV6_TYPES } else { ICMP_TYPES };
    let number =
        |text: &str, allowed| text.parse::<u8>().map_err(|_| Fault::OutOfRange { given: text.to_owned(), allowed });
    let (kind, code) = match text.split_once('/') {
        Some((kind, code)) => (kind.trim(), Some(number(code.trim(), "a code from 0 to 255")?)),
        None => (text, None),
    };
    if kind.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(IcmpMatch { kind: number(kind, "a type from 0 to 255")?, code });
    }
    let american = kind.replace("neighbor", "neighbour");
    match names.iter().find(|(name, _)| *name == american) {
        Some((_, kind)) => Ok(IcmpMatch { kind: *kind, code }),
        None => Err(Fault::NotPossible {
            given: kind.to_owned(),
            suggestion: nearest(kind, names.iter().map(|(name, _)| *name)),
            allowed: format!("{} or a number", listed(names.iter().map(|(name, _)| *name))),
        }),
    }
}

pub(super) fn flags(text: &str) -> Result<TcpFlags, Fault> {
    let (set, looked_at) = match text.split_once('/') {
        Some((set, looked_at)) => (set.trim(), Some(looked_at.trim())),
        None => (text, None),
    };
    let value = if set == "none" && looked_at.is_some() { 0 } else { flag_bits(set)? };
    let mask = looked_at.map_or(Ok(value), flag_bits)?;
    if value & !mask != 0 {
        return Err(Fault::FlagsNotLookedAt);
    }
    Ok(TcpFlags(FlagsMatch { mask, value }))
}

fn flag_bits(text: &str) -> Result<u8, Fault> {
    text.split(',').try_fold(0, |bits, name| {
        let name = name.trim();
        match TCP_FLAGS.iter().find(|(flag, _)| *flag == name) {
            Some((_, bit)) => Ok(bits | bit),
            None => Err(Fault::NotPossible {
                given: name.to_owned(),
                suggestion: nearest(name, TCP_FLAGS.iter().map(|(flag, _)| *flag)),
                allowed: listed(TCP_FLAGS.iter().map(|(flag, _)| *flag)),
            }),
        }
    })
}

pub(super) fn interface(text: &str) -> Result<String, Fault> {
    let name = text.strip_suffix('*').unwrap_or(text);
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || c == '/' || c == '*';
    if text.is_empty() || name.len() > INTERFACE_BYTES_MAX || name.chars().any(is_bad) {
        return Err(Fault::NotOfForm {
            given: text.to_owned(),
            expected: "a name of an interface (at most 15 bytes, `*` only at the end)",
            example: "eth0",
        });
    }
    Ok(text.to_owned())
}

pub(super) fn rate(text: &str) -> Result<Rate, Fault> {
    let read = || {
        let (count, unit) = text.split_once('/')?;
        let count = count.trim();
        let count = count.chars().all(|c| c.is_ascii_digit()).then(|| count.parse::<u32>().ok())??;
        Some(Rate { count, unit: unit_of(unit.trim())? })
    };
    match read() {
        Some(rate) if (1..=RATE_MAX).contains(&rate.count) => Ok(rate),
        Some(_) => Err(Fault::OutOfRange { given: text.to_owned(), allowed: "a rate from 1/h to 1000000000/s" }),
        None => Err(Fault::NotOfForm {
            given: text.to_owned(),
            expected: "a rate: a number, `/`, and s, m or h",
            example: "2000/s",
        }),
    }
}

fn unit_of(text: &str) -> Option<RateUnit> {
    RateUnit::WORDS.iter().find(|(word, _)| *word == text).map(|(_, unit)| *unit)
}

pub(super) fn seconds(
    text: &str,
    range: std::ops::RangeInclusive<u64>,
    allowed: &'static str,
) -> Result<Seconds, Fault> {
    let read = || {
        let unit = text.get(text.len().checked_sub(1)?..).and_then(unit_of)?;
        let number = text.get(..text.len() - 1)?;
        let number = number.chars().all(|c| c.is_ascii_digit()).then(|| number.parse::<u64>().ok())??;
        number.checked_mul(unit.seconds())
    };
    match read() {
        Some(seconds) if range.contains(&seconds) => Ok(Seconds(seconds)),
        Some(_) => Err(Fault::OutOfRange { given: text.to_owned(), allowed }),
        None => Err(Fault::NotOfForm {
            given: text.to_owned(),
            expected: "a span of time: a number and s, m or h",
            example: "120s",
        }),
    }
}
