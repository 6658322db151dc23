//! What a policy would do to traffic that was recorded: each flow is judged by the compiled tables, with the code that
//! judges packets, at every hook that its client's packets passed. The present policy may be judged beside it. What only
//! the host's guard lets pass is judged once more without it, to tell what the document alone would do.
//!
//! What cannot be told from a record is counted and left out: what tunnels carry, errors about other flows, what cannot
//! be read. Limits and bans are not rehearsed: they depend on what else happens at the time.

mod report;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use hivewall_datapath::policy::{Action, BROKEN, Limit, NO_RULE, PolicyHead, Row, RuleEntry, Side, Tables, classify};
use hivewall_datapath::proto;
use hivewall_model::{Direction, TcpFlags};
use hivewall_soft::{SoftTables, interface_row};
use hivewall_view::FlowRow;
use hivewall_view::policy::{Rehearsal as Report, RehearsalSum};

use crate::oracle::stateful::{Seen, is_essential};
use crate::oracle::{Facts, Transport};
use crate::{CompileError, Counters, Rule, Ruleset, compile, opener};

pub use report::rehearsal_text;

/// Peers and processes that are told apart for each rule; the rest is counted as `(others)`.
const CUTS_MAX: usize = 10_000;

/// A policy, compiled, with the rows of interfaces as they come up.
struct Compiled {
    tables: SoftTables,
    /// Rows by names of interfaces.
    names: Vec<(String, u32)>,
    counters: Counters,
}

/// Names of interfaces by the number they have here.
#[derive(Default)]
struct Interfaces(Vec<String>);

/// Compiled tables on hosts whose interfaces are known by name only.
struct Named<'a> {
    compiled: &'a Compiled,
    interfaces: &'a Interfaces,
}

impl Tables for Named<'_> {
    fn head(&self) -> Option<&PolicyHead> {
        self.compiled.tables.head()
    }

    fn prefix(&self, side: Side, address: &[u32; 4]) -> Option<u32> {
        self.compiled.tables.prefix(side, address)
    }

    fn port(&self, side: Side, port: u16) -> Option<u32> {
        self.compiled.tables.port(side, port)
    }

    fn interface(&self, ifindex: u32) -> Option<u32> {
        // Whether any rule names interfaces is asked before.
        let name = self.interfaces.0.get(ifindex as usize)?;
        interface_row(&self.compiled.names, name)
    }

    fn row(&self, number: u32) -> Option<&Row> {
        self.compiled.tables.row(number)
    }

    fn rule(&self, index: u32) -> Option<RuleEntry> {
        self.compiled.tables.rule(index)
    }

    fn limit(&self, index: u32) -> Option<Limit> {
        self.compiled.tables.limit(index)
    }
}

/// What a policy says about a flow: its refusal at the first hook that refuses, or else what the first hook says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    refused: bool,
    /// Id of the rule; one in parentheses for what is no rule.
    rule: String,
}

/// A policy in rehearsal.
pub struct Rehearsal {
    new: Compiled,
    /// The new one without the host's own rules; none where it has none of them.
    bare: Option<Compiled>,
    /// Ids of those rules.
    hosts_own: HashSet<String>,
    current: Option<Compiled>,
    interfaces: Interfaces,
    report: report::Gathered,
}

impl Rehearsal {
    /// A new policy, and the present one to compare it with.
    pub fn new(new: &Ruleset, current: Option<&Ruleset>) -> Result<Self, CompileError> {
        let compiled = |ruleset: &Ruleset| {
            let mut counters = Counters::default();
            let tables = compile(ruleset, &mut counters)?;
            let names = tables.interfaces.clone();
            Ok::<_, CompileError>(Compiled { tables: SoftTables::new(tables, &[]), names, counters })
        };
        let own = |rule: &&Rule| rule.is_hosts_own();
        let hosts_own: HashSet<String> = new.rules.iter().filter(own).map(|rule| rule.id.clone()).collect();
        let bare = (!hosts_own.is_empty()).then(|| compiled(&new.without_hosts_own())).transpose()?;
        Ok(Self {
            report: report::Gathered::new(new, current),
            new: compiled(new)?,
            bare,
            hosts_own,
            current: current.map(compiled).transpose()?,
            interfaces: Interfaces::default(),
        })
    }

    /// Judges one flow.
    pub fn take(&mut self, row: &FlowRow) {
        let hooks = match self.hooks(row) {
            Ok(hooks) => hooks,
            Err(reason) => return self.report.leave_out(reason, row),
        };
        let said = self.new.say(&self.interfaces, &hooks);
        let before = self.current.as_ref().map(|current| current.say(&self.interfaces, &hooks).refused);
        self.report.add(row, &said, before);
        let Some(bare) = self.bare.as_ref().filter(|_| !said.refused) else { return };
        let own = |(facts, ifindex): &(Facts, u32)| {
            let rule = self.new.say_at(&self.interfaces, facts, *ifindex).rule;
            self.hosts_own.contains(&rule).then_some(rule)
        };
        if let Some(guard) = hooks.iter().find_map(own) {
            let alone = bare.say(&self.interfaces, &hooks);
            if alone.refused {
                self.report.save(row, &guard, alone.rule);
            }
        }
    }

    /// What came of it.
    pub fn finish(self) -> Report {
        self.report.finish()
    }

    /// The first packet of a flow at each hook that it passed.
    fn hooks(&mut self, row: &FlowRow) -> Result<Vec<(Facts, u32)>, &'static str> {
        if row.tunnel.is_some() {
            return Err("inside of a tunnel");
        }
        if row.protocol_number == proto::ICMP && matches!(row.icmp_type, Some(3 | 4 | 12)) {
            return Err("ICMP errors, which follow the flow that they are about");
        }
        let address = |text: &str| text.parse::<IpAddr>().map_err(|_| "unreadable addresses");
        let (from, to) = (address(&row.source_ip)?, address(&row.dest_ip)?);
        let transport = (!row.ports_unknown).then(|| Transport {
            source_port: row.src_port.or(row.icmp_type).unwrap_or(0),
            destination_port: row.dest_port.or(row.icmp_code).unwrap_or(0),
            flags: first_flags(row),
        });
        let places = places(row);
        let facts = places.into_iter().map(|(interface, direction)| {
            let ifindex = self.interfaces.number(interface);
            let interface = interface.to_owned();
            (Facts { direction, interface, from, to, proto: row.protocol_number, transport }, ifindex)
        });
        Ok(facts.collect())
    }
}

/// Flags of the first packet of a flow, as far as they are known.
fn first_flags(row: &FlowRow) -> u8 {
    match &row.tcp_flags_to_server {
        Some(flags) if flags.contains('S') => TcpFlags::SYN,
        Some(_) => TcpFlags::ACK,
        None => 0,
    }
}

/// Interfaces and hooks that packets of the client passed, received ones first. Where only replies were seen, packets of the
/// client passed the opposite hook.
fn places(row: &FlowRow) -> Vec<(&str, Direction)> {
    let points = row.interfaces.iter().filter(|point| point.tunnel.is_none());
    let mut places: Vec<(&str, Direction)> = Vec::new();
    for to_server in [true, false] {
        for point in points.clone().filter(|point| point.to_server == to_server) {
            let is_received = (point.direction == "ingress") == to_server;
            let direction = if is_received { Direction::Ingress } else { Direction::Egress };
            places.push((&point.interface, direction));
        }
        if !places.is_empty() {
            break;
        }
    }
    if places.is_empty() {
        let directions: &[Direction] = match row.direction.as_str() {
            "inbound" => &[Direction::Ingress],
            "outbound" => &[Direction::Egress],
            "transit" => &[Direction::Ingress, Direction::Egress],
            _ => &[],
        };
        places.extend(directions.iter().map(|direction| ("", *direction)));
    }
    places.sort_by_key(|(_, direction)| *direction);
    places.dedup();
    places
}

impl Interfaces {
    fn number(&mut self, name: &str) -> u32 {
        let known = self.0.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        }) as u32
    }
}

impl Compiled {
    fn say(&self, interfaces: &Interfaces, hooks: &[(Facts, u32)]) -> Said {
        let mut first = None;
        for (facts, ifindex) in hooks {
            let said = self.say_at(interfaces, facts, *ifindex);
            if said.refused {
                return said;
            }
            first.get_or_insert(said);
        }
        first.unwrap_or(Said { refused: false, rule: "(local)".to_owned() })
    }

    fn say_at(&self, interfaces: &Interfaces, facts: &Facts, ifindex: u32) -> Said {
        let plain = |refused, rule: &str| Said { refused, rule: rule.to_owned() };
        // The hop limit is not recorded; what uses neighbour discovery otherwise is hardly there.
        let seen = Seen { facts: facts.clone(), hop_limit: 255, about: None };
        if facts.interface == "lo" || is_essential(&seen) {
            return plain(false, "(essential)");
        }
        let tables = Named { compiled: self, interfaces };
        let index = classify(&tables, &opener(facts, ifindex), 0, false);
        if index == BROKEN {
            return plain(true, "(broken tables)");
        }
        let Some(entry) = (index != NO_RULE).then(|| tables.rule(index)).flatten() else {
            return plain(false, "(no policy)");
        };
        let refused = Action::from_number(entry.action) != Action::Accept;
        plain(refused, self.counters.id(entry.counter).unwrap_or_default())
    }
}

/// Sums by name, of which there may be any number.
#[derive(Default)]
struct Tally(HashMap<String, RehearsalSum>);

impl Tally {
    fn add(&mut self, name: &str, row: &FlowRow) {
        let name = if self.0.len() < CUTS_MAX || self.0.contains_key(name) { name } else { "(others)" };
        report::add(self.0.entry(name.to_owned()).or_default(), row);
    }
}

#[cfg(test)]
mod tests;
