//! Which prefixes a policy denies whatever else a packet is, so that it can be dropped before it is looked into.
//!
//! Such a rule drops what is received from a list of addresses, has no other condition, no limit and no log, and no rule
//! before it could say something about a packet from there. Guard and exemptions are no such rules: whoever is exempt is
//! let go on to where packets are judged ([`hivewall_soft::PolicyTables::exempt`]), and so is what comes to the agent's own
//! port, and what follows from more than the rules (`hivewall_datapath::front`). Invariant: what is not in the list is
//! judged as ever; of what is in it the policy says that it is dropped, and by which rule.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hivewall_datapath::front::DENY_V6_MIN;
use hivewall_datapath::policy::Action;
use hivewall_model::Direction;
use ipnet::IpNet;

use super::addresses::bits;
use super::is_before_bans;
use crate::resolve::LINKS;
use crate::{Addresses, Counters, Mode, Rule, Ruleset};

/// The denied prefixes of a policy, each with the counter of its rule; an address is denied by the rule of the longest
/// prefix that holds it. Nothing of a policy that only observes. Rules without a counter are passed over.
pub fn hoisted(ruleset: &Ruleset, counters: &Counters) -> Vec<(IpNet, u16)> {
    let mut found = Vec::new();
    if ruleset.mode != Mode::Enforce {
        return found;
    }
    // What rules so far may say something about, and what they deny.
    let (mut spoken, mut denied) = (Ranges::default(), Ranges::default());
    for rule in ruleset.rules.iter().filter(|rule| rule.direction != Some(Direction::Egress)) {
        if rule.id == LINKS {
            continue;
        }
        let Addresses::In(nets) = &rule.from else { return found };
        if is_before_bans(rule) && rule.action == Action::Accept {
            continue;
        }
        let counter = counters.number(&rule.id).filter(|_| denies_all(rule));
        let (mut left, mut new) = (Vec::new(), Vec::new());
        for net in nets {
            let Some(range) = Range::of(net) else { continue };
            match counter {
                _ if denied.covers(range) => {}
                Some(counter) if is_long_enough(net) && !spoken.meets(range) => {
                    found.push((*net, counter));
                    new.push(range);
                }
                _ => left.push(range),
            }
        }
        spoken.extend(left);
        denied.extend(new);
    }
    found
}

/// Whether it drops everything from some addresses.
fn denies_all(rule: &Rule) -> bool {
    let any_packet = rule.protocols.is_empty()
        && rule.to == Addresses::Any
        && rule.source_ports.is_empty()
        && rule.destination_ports.is_empty()
        && rule.icmp.is_empty()
        && rule.flags.is_none()
        && rule.interfaces.is_empty();
    any_packet && rule.action == Action::Drop && rule.limit.is_none() && rule.log.is_none() && !is_before_bans(rule)
}

fn is_long_enough(net: &IpNet) -> bool {
    matches!(net, IpNet::V4(_)) || net.prefix_len() >= DENY_V6_MIN
}

/// First and last address of a prefix, and whether it is IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    is_v6: bool,
    first: u128,
    last: Reverse<u128>,
}

impl Range {
    /// Nothing for mapped addresses in IPv6's form, which match no packet.
    fn of(net: &IpNet) -> Option<Self> {
        let (first, len) = bits(net)?;
        let last = first | u128::MAX.checked_shr(len).unwrap_or(0);
        Some(Self { is_v6: matches!(net, IpNet::V6(_)), first, last: Reverse(last) })
    }
}

/// Last addresses by family and first address; of prefixes, so that two of them are apart or one holds the other.
#[derive(Default)]
struct Ranges(BTreeMap<(bool, u128), u128>);

impl Ranges {
    fn extend(&mut self, mut ranges: Vec<Range>) {
        // What holds others comes before them.
        ranges.sort_unstable();
        if self.0.is_empty() {
            let mut end = None;
            ranges.retain(|range| {
                let is_new = end.is_none_or(|(is_v6, last)| is_v6 != range.is_v6 || last < range.first);
                if is_new {
                    end = Some((range.is_v6, range.last.0));
                }
                is_new
            });
            self.0 = ranges.into_iter().map(|range| ((range.is_v6, range.first), range.last.0)).collect();
            return;
        }
        for range in ranges {
            if !self.covers(range) {
                let inside = self.0.range((range.is_v6, range.first)..=(range.is_v6, range.last.0));
                let inside: Vec<(bool, u128)> = inside.map(|(key, _)| *key).collect();
                for key in inside {
                    self.0.remove(&key);
                }
                self.0.insert((range.is_v6, range.first), range.last.0);
            }
        }
    }

    /// Whether one of these holds all of a prefix.
    fn covers(&self, range: Range) -> bool {
        let before = self.0.range((range.is_v6, 0)..=(range.is_v6, range.first)).next_back();
        before.is_some_and(|(_, last)| *last >= range.last.0)
    }

    /// Whether one of these has an address of a prefix.
    fn meets(&self, range: Range) -> bool {
        self.covers(range) || self.0.range((range.is_v6, range.first)..=(range.is_v6, range.last.0)).next().is_some()
    }
}

#[cfg(test)]
mod tests;
