//! Classes of what is not an address: protocols at hooks, TCP flags, interfaces, ports.

use hivewall_datapath::policy::{KINDS, Row, Side, kind};
use hivewall_datapath::proto;
use hivewall_model::Direction;

use super::rows::{Rows, clear, set};
use super::{CompileError, Part};
use crate::PortRange;
use crate::oracle::{fits, has_ports, has_types};

/// Row by hook and protocol.
pub(crate) fn kinds(parts: &[Part<'_>], rows: &mut Rows) -> Result<[u16; KINDS], CompileError> {
    let mut kinds = [0; KINDS];
    for direction in [Direction::Ingress, Direction::Egress] {
        let mut base = Row::default();
        let mut special = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            if part.rule.direction.is_some_and(|wanted| wanted != direction) {
                continue;
            }
            match protocols(part) {
                None => set(&mut base, at),
                Some(protocols) => special.push((at, protocols)),
            }
        }
        let mut by_protocol = vec![base; 256];
        for (at, protocols) in special {
            for protocol in protocols {
                if let Some(row) = by_protocol.get_mut(usize::from(protocol)) {
                    set(row, at);
                }
            }
        }
        for (row, protocol) in by_protocol.iter().zip(0..=u8::MAX) {
            if let Some(slot) = kinds.get_mut(kind(direction, protocol)) {
                *slot = rows.short_number(row)?;
            }
        }
    }
    Ok(kinds)
}

/// Protocols a part is for; `None` is all of them. Whoever asks for ports is for protocols with ports.
fn protocols(part: &Part<'_>) -> Option<Vec<u8>> {
    let rule = part.rule;
    let wants_ports = !rule.source_ports.is_empty() || !rule.destination_ports.is_empty();
    if rule.protocols.is_empty() && !wants_ports && part.icmp.is_none() && rule.flags.is_none() {
        return None;
    }
    let fits = |protocol: &u8| {
        (rule.protocols.is_empty() || rule.protocols.contains(protocol))
            && (!wants_ports || has_ports(*protocol))
            && (part.icmp.is_none() || has_types(*protocol))
            && (rule.flags.is_none() || *protocol == proto::TCP)
    };
    Some((0..=u8::MAX).filter(fits).collect())
}

/// Row by TCP flags.
pub(crate) fn flags(parts: &[Part<'_>], rows: &mut Rows) -> Result<[u16; 256], CompileError> {
    let mut base = Row::default();
    let mut special = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        match part.rule.flags {
            None => set(&mut base, at),
            Some(flags) => special.push((at, flags)),
        }
    }
    let mut numbers = [0; 256];
    for (slot, seen) in numbers.iter_mut().zip(0..=u8::MAX) {
        let mut row = base;
        for (at, _) in special.iter().filter(|(_, flags)| seen & flags.mask == flags.value) {
            set(&mut row, *at);
        }
        *slot = rows.short_number(&row)?;
    }
    Ok(numbers)
}

/// Rows by patterns of names, those that fit fewer names first, and the row of a name that fits none.
pub(crate) fn interfaces(parts: &[Part<'_>], rows: &mut Rows) -> Result<(Vec<(String, u32)>, u32), CompileError> {
    let mut patterns: Vec<&str> =
        parts.iter().flat_map(|part| part.rule.interfaces.iter().map(String::as_str)).collect();
    patterns.sort_unstable_by_key(|pattern| (pattern.ends_with('*'), std::cmp::Reverse(pattern.len()), *pattern));
    patterns.dedup();
    let mut row_of = |name: Option<&str>| {
        let mut row = Row::default();
        for (at, part) in parts.iter().enumerate() {
            let wanted = &part.rule.interfaces;
            // What fits `eth1*` fits `eth*`, too.
            if wanted.is_empty() || name.is_some_and(|name| wanted.iter().any(|pattern| covers(pattern, name))) {
                set(&mut row, at);
            }
        }
        rows.number(&row)
    };
    let mut named = Vec::with_capacity(patterns.len());
    for pattern in patterns {
        named.push((pattern.to_owned(), row_of(Some(pattern))?));
    }
    Ok((named, row_of(None)?))
}

/// Whether every name that fits `narrow` fits `wide`.
fn covers(wide: &str, narrow: &str) -> bool {
    match (wide.strip_suffix('*'), narrow.strip_suffix('*')) {
        (Some(wide), Some(narrow)) => narrow.starts_with(wide),
        (None, Some(_)) => false,
        (_, None) => fits(wide, narrow),
    }
}

/// Row by source port (or ICMP type) or destination port (or ICMP code); empty when no rule looks at it.
pub(crate) fn ports(parts: &[Part<'_>], side: Side, rows: &mut Rows) -> Result<Vec<u16>, CompileError> {
    let mut row = Row::default();
    // From this port on (a number beyond the last for an end) a rule begins or ends.
    let mut changes: Vec<(u32, bool, usize)> = Vec::new();
    let mut conditions = false;
    for (at, part) in parts.iter().enumerate() {
        match wanted(part, side) {
            None => set(&mut row, at),
            Some(ranges) => {
                conditions = true;
                for (first, last) in merged(&ranges) {
                    changes.push((u32::from(first), true, at));
                    changes.push((u32::from(last) + 1, false, at));
                }
            }
        }
    }
    if !conditions {
        return Ok(Vec::new());
    }
    changes.sort_unstable();
    let mut numbers = Vec::with_capacity(1 << 16);
    for same in changes.chunk_by(|a, b| a.0 == b.0) {
        let port = same.first().map_or(0, |change| change.0 as usize);
        if port > numbers.len() {
            numbers.resize(port, rows.short_number(&row)?);
        }
        for (_, begins, at) in same {
            if *begins { set(&mut row, *at) } else { clear(&mut row, *at) }
        }
    }
    if numbers.len() < 1 << 16 {
        numbers.resize(1 << 16, rows.short_number(&row)?);
    }
    Ok(numbers)
}

/// What a part asks of this field; `None` is nothing.
fn wanted(part: &Part<'_>, side: Side) -> Option<Vec<PortRange>> {
    match (&part.icmp, side) {
        (Some((types, _)), Side::From) => Some(types.iter().map(|kind| u16::from(*kind)..=u16::from(*kind)).collect()),
        (Some((_, Some(code))), Side::To) => Some(vec![u16::from(*code)..=u16::from(*code)]),
        (Some((_, None)), Side::To) => None,
        (None, Side::From) => Some(part.rule.source_ports.clone()).filter(|ranges| !ranges.is_empty()),
        (None, Side::To) => Some(part.rule.destination_ports.clone()).filter(|ranges| !ranges.is_empty()),
    }
}

/// Ranges that neither overlap nor touch. Empty ones are left out.
fn merged(ranges: &[PortRange]) -> Vec<(u16, u16)> {
    let mut sorted: Vec<(u16, u16)> =
        ranges.iter().filter(|range| !range.is_empty()).map(|range| (*range.start(), *range.end())).collect();
    sorted.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::with_capacity(sorted.len());
    for (first, last) in sorted {
        match merged.last_mut() {
            Some((_, end)) if u32::from(first) <= u32::from(*end) + 1 => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}
