//! Bans as sets with timeouts: whole addresses in hash tables, prefixes as intervals that do not meet.
//!
//! Where bans lie in one another, every address is banned for as long as the longest that holds it. Invariant: no two
//! elements of an interval set overlap, which nft would refuse.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::{TABLE, text};
use crate::backend::Ban;
use crate::backend::blocks::{Family, Span};

/// Names of the sets of a family: addresses, prefixes.
pub(super) fn set_names(family: Family) -> [&'static str; 2] {
    match family {
        Family::V4 => ["ban4_hosts", "ban4"],
        Family::V6 => ["ban6_hosts", "ban6"],
    }
}

fn type_name(family: Family) -> &'static str {
    if family == Family::V4 { "ipv4_addr" } else { "ipv6_addr" }
}

/// The sets with these bans.
pub(super) fn write_sets(out: &mut String, bans: &[Ban]) {
    for family in Family::BOTH {
        let [hosts, prefixes] = elements(bans, family);
        for ((name, flags), elements) in
            set_names(family).into_iter().zip(["timeout", "interval, timeout"]).zip([hosts, prefixes])
        {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "  set {name} {{\n    type {}\n    flags {flags}", type_name(family));
            if !elements.is_empty() {
                let _ = writeln!(out, "    elements = {{ {} }}", elements.join(", "));
            }
            out.push_str("  }\n");
        }
    }
}

/// Puts these bans in place of all that there are, in one transaction.
pub fn replace_bans(bans: &[Ban]) -> String {
    let mut out = String::new();
    for family in Family::BOTH {
        for (name, elements) in set_names(family).into_iter().zip(elements(bans, family)) {
            let _ = writeln!(out, "flush set {TABLE} {name}");
            if !elements.is_empty() {
                let _ = writeln!(out, "add element {TABLE} {name} {{ {} }}", elements.join(", "));
            }
        }
    }
    out
}

/// Bans one address, or changes how long it is banned, without a look at the others; none for a prefix.
pub fn ban_host(ban: &Ban) -> Option<String> {
    if ban.net.prefix_len() != ban.net.max_prefix_len() {
        return None;
    }
    let family = if ban.net.addr().is_ipv4() { Family::V4 } else { Family::V6 };
    let (address, [name, _]) = (ban.net.addr(), set_names(family));
    let element = with_timeout(address.to_string(), ban.expires_in);
    // `add` leaves the time of an element alone that is there already, so it is taken out first.
    Some(format!(
        "add element {TABLE} {name} {{ {address} }}\ndelete element {TABLE} {name} {{ {address} }}\n\
         add element {TABLE} {name} {{ {element} }}\n"
    ))
}

fn with_timeout(element: String, expires_in: Option<Duration>) -> String {
    match expires_in {
        Some(time) => format!("{element} timeout {}ms", time.as_millis().max(1)),
        None => element,
    }
}

/// Elements for the addresses and for the prefixes.
fn elements(bans: &[Ban], family: Family) -> [Vec<String>; 2] {
    let mut hosts: BTreeMap<u128, Option<Duration>> = BTreeMap::new();
    let mut prefixes: Vec<(Span, Option<Duration>)> = Vec::new();
    for ban in bans {
        let Some(span) = family.span(&ban.net) else { continue };
        if span.0 == span.1 {
            let known = hosts.entry(span.0).or_insert(ban.expires_in);
            *known = known.zip(ban.expires_in).map(|(a, b)| a.max(b));
        } else {
            prefixes.push((span, ban.expires_in));
        }
    }
    let text = |(span, time)| with_timeout(text::addresses(span, family), time);
    let hosts = hosts.into_iter().map(|(address, time)| text(((address, address), time))).collect();
    [hosts, apart(prefixes).into_iter().map(text).collect()]
}

/// The same bans as spans that do not meet.
fn apart(mut bans: Vec<(Span, Option<Duration>)>) -> Vec<(Span, Option<Duration>)> {
    // Those that last longest first: what is covered already is covered for long enough.
    bans.sort_by_key(|(span, time)| (std::cmp::Reverse(time.unwrap_or(Duration::MAX)), *span));
    let mut covered: BTreeMap<u128, (u128, Option<Duration>)> = BTreeMap::new();
    for ((from, to), time) in bans {
        let before = covered.range(..from).next_back().filter(|(_, (end, _))| *end >= from);
        let mut next = before.map_or(Some(from), |(_, (end, _))| end.checked_add(1));
        let inside: Vec<Span> = covered.range(from..=to).map(|(start, (end, _))| (*start, *end)).collect();
        for (start, end) in inside {
            if let Some(at) = next.filter(|at| *at < start) {
                covered.insert(at, (start - 1, time));
            }
            next = end.checked_add(1);
        }
        if let Some(at) = next.filter(|at| *at <= to) {
            covered.insert(at, (to, time));
        }
    }
    covered.into_iter().map(|(from, (to, time))| ((from, to), time)).collect()
}
