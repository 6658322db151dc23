//! Rules of iptables, from the words that `iptables-save` prints.
//!
//! It evaluates addresses, protocols, interfaces, ports, ICMP types, TCP flags and conntrack's state and direction.
//! Invariant: a word that is not known here makes its rule one that cannot be told.

use std::net::IpAddr;

use super::{NO_INTERFACE, Packet, Step, Told};
use crate::rules::inventory::Rule;

/// What a rule does to the packet.
pub(super) fn step(rule: &Rule, packet: &Packet) -> Step {
    let words = words(&rule.text);
    let mut words = words.iter().map(String::as_str).peekable();
    let (mut told, mut negated) = (Told::Yes, false);
    while let Some(word) = words.next() {
        match word {
            "!" => {
                negated = true;
                continue;
            }
            "-m" | "--comment" => {
                words.next();
                continue;
            }
            "-j" | "-g" => {
                let target = words.next().unwrap_or_default();
                return end(told, target, word == "-g");
            }
            "--syn" => told = told.and(|| negate(flags_hold(packet, 0x17, 2), negated)),
            "--tcp-flags" => {
                let (mask, wanted) = (flag_bits(words.next()), flag_bits(words.next()));
                told = told.and(|| negate(flags_hold(packet, mask, wanted), negated));
            }
            _ => {
                let value = words.next_if(|next| !next.starts_with('-') && *next != "!").unwrap_or_default();
                told = told.and(|| negate(condition(word, value, packet), negated));
            }
        }
        negated = false;
    }
    // A rule without a target only counts.
    Step::Next
}

fn negate(told: Told, negated: bool) -> Told {
    if negated { told.not() } else { told }
}

fn end(told: Told, target: &str, goto: bool) -> Step {
    let step = match target {
        "ACCEPT" => Step::Accept,
        "DROP" => Step::Drop,
        "REJECT" => Step::Reject,
        "RETURN" => Step::Return,
        // They let the packet go on as it is for what follows.
        "LOG" | "NFLOG" | "MARK" | "CONNMARK" | "CT" | "NOTRACK" | "TCPMSS" | "CHECKSUM" | "TRACE" => {
            return Step::Next;
        }
        "DNAT" | "SNAT" | "MASQUERADE" | "REDIRECT" | "NETMAP" | "TPROXY" | "QUEUE" | "NFQUEUE" => {
            Step::Unknown(format!("the target {target}"))
        }
        name if goto => Step::Goto(name.to_owned()),
        name => Step::Jump(name.to_owned()),
    };
    match told {
        Told::Yes => step,
        Told::No => Step::Next,
        Told::Unknown(what) => Step::Unknown(what),
    }
}

fn condition(word: &str, value: &str, packet: &Packet) -> Told {
    let known =
        |port: Option<u16>, what: &str| port.ok_or_else(|| Told::Unknown(format!("the {what}, which was not given")));
    match word {
        "-s" => within(value, packet.from),
        "-d" => within(value, packet.to),
        "-p" => protocol(value, packet),
        "-i" => interface(value, packet.in_interface.as_deref(), packet),
        "-o" => interface(value, packet.out_interface.as_deref(), packet),
        "--sport" | "--sports" => {
            known(packet.source_port, "source port").map_or_else(|told| told, |port| ports(value, port))
        }
        "--dport" | "--dports" => {
            known(packet.destination_port, "destination port").map_or_else(|told| told, |port| ports(value, port))
        }
        "--ctstate" | "--state" => state(value, packet),
        "--ctdir" => Told::of((value == "ORIGINAL") == packet.original),
        "--ctorigsrc" => within(value, if packet.original { packet.from } else { packet.to }),
        "--ctorigdst" => within(value, if packet.original { packet.to } else { packet.from }),
        "--icmp-type" | "--icmpv6-type" => icmp(value, packet),
        _ => Told::Unknown(format!("`{word} {value}`").replace(" `", "`")),
    }
}

fn within(value: &str, address: IpAddr) -> Told {
    let (net, bits) = value.split_once('/').unwrap_or((value, ""));
    let Ok(net) = net.parse::<IpAddr>() else { return Told::Unknown(format!("the address {value}")) };
    let bits = if bits.is_empty() { Ok(if net.is_ipv4() { 32 } else { 128 }) } else { bits.parse() };
    bits.map_or_else(|_| Told::Unknown(format!("the mask of {value}")), |bits| Told::of(is_within(address, net, bits)))
}

/// Whether an address is in a prefix.
pub(super) fn is_within(address: IpAddr, net: IpAddr, bits: u32) -> bool {
    let (a, b, width) = match (address, net) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(u32::from(a)), u128::from(u32::from(b)), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a), u128::from(b), 128),
        _ => return false,
    };
    (a ^ b).checked_shr(width - bits.min(width)).unwrap_or(0) == 0
}

fn protocol(value: &str, packet: &Packet) -> Told {
    let number = match value {
        "all" => return Told::Yes,
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        "icmpv6" | "ipv6-icmp" => 58,
        "sctp" => 132,
        "udplite" => 136,
        "dccp" => 33,
        "gre" => 47,
        "esp" => 50,
        "ah" => 51,
        other => match other.parse::<u8>() {
            Ok(number) => number,
            Err(_) => return Told::Unknown(format!("the protocol {other}")),
        },
    };
    Told::of(number == packet.protocol)
}

fn interface(pattern: &str, name: Option<&str>, packet: &Packet) -> Told {
    match (name, pattern.strip_suffix('+')) {
        (None, _) => packet.is_unnamed(pattern).map_or_else(|| Told::Unknown(NO_INTERFACE.to_owned()), Told::of),
        (Some(name), Some(beginning)) => Told::of(name.starts_with(beginning)),
        (Some(name), None) => Told::of(name == pattern),
    }
}

/// `22`, `1024:2048`, `22,80,1000:1010`.
fn ports(value: &str, port: u16) -> Told {
    let mut holds = false;
    for part in value.split(',') {
        let (low, high) = part.split_once(':').unwrap_or((part, part));
        let (Ok(low), Ok(high)) = (low.parse::<u16>(), high.parse::<u16>()) else {
            return Told::Unknown(format!("the ports {value}"));
        };
        holds |= (low..=high).contains(&port);
    }
    Told::of(holds)
}

fn state(value: &str, packet: &Packet) -> Told {
    let own = if packet.new { "NEW" } else { "ESTABLISHED" };
    Told::of(value.split(',').any(|state| state == own))
}

fn icmp(value: &str, packet: &Packet) -> Told {
    let Some((kind, code)) = packet.icmp else { return Told::Unknown("the ICMP type, which was not given".to_owned()) };
    let (wanted, wanted_code) = value.split_once('/').map_or((value, None), |(kind, code)| (kind, Some(code)));
    let Ok(wanted) = wanted.parse::<u8>() else { return Told::Unknown(format!("the ICMP type {value}")) };
    Told::of(wanted == kind && wanted_code.is_none_or(|wanted| wanted.parse() == Ok(code)))
}

fn flags_hold(packet: &Packet, mask: u8, wanted: u8) -> Told {
    Told::of(packet.protocol == 6 && packet.flags & mask == wanted)
}

fn flag_bits(names: Option<&str>) -> u8 {
    let bit = |name| match name {
        "FIN" => 1,
        "SYN" => 2,
        "RST" => 4,
        "PSH" => 8,
        "ACK" => 16,
        "URG" => 32,
        "ALL" => 63,
        _ => 0,
    };
    names.unwrap_or_default().split(',').map(bit).fold(0, |bits, bit| bits | bit)
}

/// The words of a rule; quotes hold words together.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for character in text.chars() {
        match character {
            _ if escaped => {
                word.push(character);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            _ => word.push(character),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}
