//! A document, on a host, to the rules that hold there: names become prefixes, defaults become rules, and the host's own
//! guard stands in front.
//!
//! What members there are and what files hold is asked of the caller. Invariant: stages ascend, each tier's defaults are
//! last in it, ids are unique, and nothing of the document can take away or come before a rule of the guard.

mod guard;
#[cfg(test)]
mod tests;

pub(crate) use guard::LINKS;

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use hivewall_datapath::policy::RULES_MAX;
use hivewall_model::Direction;
use ipnet::IpNet;

use crate::document::{Action, Limit, Set, Term};
use crate::parse::Parsed;
use crate::problem::{Fault, Place, PolicyError, Problem, Severity};
use crate::ruleset::{self, Addresses, LogRate, Rule, Ruleset, Stage};

/// Most prefixes of one policy, those of each distinct list of a rule's side counted once.
pub const PREFIXES_MAX: usize = 1_000_000;

/// What a policy has to know of the host it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// TCP ports by which the host is managed.
    pub management_ports: Vec<u16>,
    /// Whence it is managed; everything of the guard but sessions and floor is void without one.
    pub management: Vec<IpNet>,
    /// Sessions that operators have now.
    pub sessions: Vec<Session>,
    /// Rules of the host's own that no document can take away, from [`crate::parse_floor`].
    pub floor: Vec<crate::document::Rule>,
    /// Addresses that are accepted before bans and tiers are asked, besides those of the document.
    pub exempt: Vec<IpNet>,
    /// UDP port by which the agent talks to other agents, when it is in a fleet.
    pub links_port: Option<u16>,
}

impl Default for HostFacts {
    /// Port 22, from nowhere.
    fn default() -> Self {
        Self {
            management_ports: vec![22],
            management: Vec::new(),
            sessions: Vec::new(),
            floor: Vec::new(),
            exempt: Vec::new(),
            links_port: None,
        }
    }
}

/// An operator's session: a TCP connection to this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session {
    /// The operator's end.
    pub peer: SocketAddr,
    /// The port on this host.
    pub port: u16,
}

/// Where addresses come from that do not stand in the document.
pub trait Members {
    /// Addresses of the members whose labels the selector asks for.
    fn hosts(&self, selector: &str) -> Vec<IpNet>;

    /// The text of a file on the host.
    fn file(&self, path: &str) -> std::io::Result<String>;
}

/// A host on its own: no members, and files as the closure reads them.
pub struct NoMembers<F>(pub F);

impl<F: Fn(&str) -> std::io::Result<String>> Members for NoMembers<F> {
    fn hosts(&self, _: &str) -> Vec<IpNet> {
        Vec::new()
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        (self.0)(path)
    }
}

/// A policy as it holds on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The rules.
    pub ruleset: Ruleset,
    /// What is worth knowing, in the order of the document.
    pub notes: Vec<Problem>,
}

/// The rules that hold on a host under a document. Whether the document is for this host is not asked.
pub fn resolve(parsed: &Parsed, host: &HostFacts, members: &dyn Members) -> Result<Resolved, PolicyError> {
    let document = &parsed.document;
    let mut problems = Vec::new();
    let sets = sets(parsed, members, &mut problems);
    let mut rules = guard::rules(document, host, &sets);
    for (at, (tier, places)) in document.tiers.iter().zip(&parsed.places.tiers).enumerate() {
        for (rule, place) in tier.rules.iter().zip(&places.rules) {
            rules.push(rule_of(rule, Stage::Tier(at), place.line, &sets));
        }
        rules.extend(defaults(tier, at, [places.received.line, places.sent.line]));
    }
    if rules.len() > RULES_MAX {
        let last = parsed.places.tiers.iter().flat_map(|tier| &tier.rules).next_back();
        let fault = Fault::TooManyRules { count: rules.len(), max: RULES_MAX };
        problems.push(problem(Severity::Error, last.cloned().unwrap_or_default(), fault));
    }
    let count = prefixes(&rules);
    if count > PREFIXES_MAX {
        let place = parsed.places.sets.first().cloned().unwrap_or_default();
        problems.push(problem(Severity::Error, place, Fault::TooManyPrefixes { count, max: PREFIXES_MAX }));
    }
    let notes = PolicyError::unless_sound(problems)?;
    let ruleset = Ruleset {
        name: document.metadata.name.clone(),
        version: document.metadata.version,
        mode: document.mode.into(),
        tiers: document.tiers.iter().map(|tier| tier.name.clone()).collect(),
        rules,
        responses: document.responses.clone(),
    };
    Ok(Resolved { ruleset, notes })
}

fn problem(severity: Severity, place: Place, fault: Fault) -> Problem {
    Problem { severity, place, fault, also: Vec::new() }
}

/// What each set holds: prefixes in order, none within another.
type Sets = BTreeMap<String, Vec<IpNet>>;

fn sets(parsed: &Parsed, members: &dyn Members, problems: &mut Vec<Problem>) -> Sets {
    let mut sets = Sets::new();
    for ((name, set), place) in parsed.document.sets.iter().zip(&parsed.places.sets) {
        let nets = match set {
            Set::Cidr(prefixes) => prefixes.0.clone(),
            Set::Hosts(selector) => {
                let nets = members.hosts(selector);
                if nets.is_empty() {
                    let fault = Fault::NoMembers { name: name.clone() };
                    problems.push(problem(Severity::Note, place.clone(), fault));
                }
                nets
            }
            Set::File(path) => match members.file(path).map(|text| file(path, &text)) {
                Ok(Ok(nets)) => nets,
                Ok(Err(fault)) => {
                    problems.push(problem(Severity::Error, place.clone(), fault));
                    Vec::new()
                }
                Err(error) => {
                    let (path, reason) = (path.clone(), error.to_string());
                    let fault = Fault::UnreadableFile { name: name.clone(), path, reason };
                    problems.push(problem(Severity::Error, place.clone(), fault));
                    Vec::new()
                }
            },
        };
        sets.insert(name.clone(), merged(nets));
    }
    sets
}

/// The prefixes of a set's file; the first line that has none is a fault.
fn file(path: &str, text: &str) -> Result<Vec<IpNet>, Fault> {
    let mut nets = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line_text = line.split('#').next().unwrap_or_default().trim();
        if line_text.is_empty() {
            continue;
        }
        if let Ok(net) = crate::parse::net(line_text) {
            nets.push(net);
        } else {
            let given = line_text.to_owned();
            return Err(Fault::BadFileLine { path: path.to_owned(), line: at + 1, given });
        }
    }
    Ok(nets)
}

/// In order, none within another, neighbours made one.
fn merged(mut nets: Vec<IpNet>) -> Vec<IpNet> {
    nets.iter_mut().for_each(|net| *net = net.trunc());
    if nets.len() > 1 { IpNet::aggregate(&nets) } else { nets }
}

fn addresses(addresses: Option<&crate::document::Addresses>, sets: &Sets) -> Addresses {
    let Some(addresses) = addresses else { return Addresses::Any };
    let nets = match addresses.terms.as_slice() {
        // Already in order.
        [Term::Set(name)] => sets.get(name).cloned().unwrap_or_default(),
        terms => {
            let mut nets = Vec::new();
            for term in terms {
                match term {
                    Term::Set(name) => nets.extend(sets.get(name).into_iter().flatten()),
                    Term::Net(net) => nets.push(*net),
                }
            }
            merged(nets)
        }
    };
    if addresses.negated { Addresses::NotIn(nets) } else { Addresses::In(nets) }
}

fn rule_of(rule: &crate::document::Rule, stage: Stage, line: u32, sets: &Sets) -> Rule {
    let mut protocols = rule.proto.0.clone();
    protocols.sort_unstable();
    protocols.dedup();
    Rule {
        id: rule.id.clone(),
        stage,
        direction: rule.dir.resolved(),
        protocols,
        from: addresses(rule.from.as_ref(), sets),
        to: addresses(rule.to.as_ref(), sets),
        source_ports: rule.sport.0.clone(),
        destination_ports: rule.dport.0.clone(),
        icmp: rule.icmp.0.clone(),
        flags: rule.flags.map(|flags| flags.0),
        interfaces: if rule.interface.0.iter().any(|name| name == "*") { Vec::new() } else { rule.interface.0.clone() },
        action: rule.action.into(),
        established: rule.established.into(),
        limit: rule.limit.map(limit_of),
        log: rule.log.map(|log| LogRate { count: log.rate.count, per: Duration::from_secs(log.rate.unit.seconds()) }),
        line,
    }
}

fn limit_of(limit: Limit) -> ruleset::Limit {
    ruleset::Limit {
        count: limit.rate.count,
        per: Duration::from_secs(limit.rate.unit.seconds()),
        burst: limit.burst.unwrap_or(limit.rate.count),
        per_source: limit.per == crate::document::Per::Source,
        over: limit.over.into(),
    }
}

/// A tier's defaults as its last rules. `pass` is what happens without one.
fn defaults(tier: &crate::document::Tier, at: usize, lines: [u32; 2]) -> impl Iterator<Item = Rule> {
    let [received_line, sent_line] = lines;
    let name = tier.name.clone();
    [
        ("in", Direction::Ingress, tier.default.received, received_line),
        ("out", Direction::Egress, tier.default.sent, sent_line),
    ]
    .into_iter()
    .filter_map(move |(word, direction, action, line)| {
        let action = action.filter(|action| *action != Action::Pass)?;
        Some(Rule {
            line,
            action: action.into(),
            ..Rule::plain(format!("{name}:default-{word}"), Stage::Tier(at), Some(direction))
        })
    })
}

/// Prefixes of the rules, each distinct list of a side once.
fn prefixes(rules: &[Rule]) -> usize {
    let all: usize = rules.iter().map(|rule| listed(&rule.from).len() + listed(&rule.to).len()).sum();
    if all <= PREFIXES_MAX {
        return all;
    }
    let [mut from, mut to] = [HashSet::new(), HashSet::new()];
    rules.iter().for_each(|rule| {
        from.insert(listed(&rule.from));
        to.insert(listed(&rule.to));
    });
    from.iter().chain(&to).map(|nets| nets.len()).sum()
}

fn listed(addresses: &Addresses) -> &[IpNet] {
    match addresses {
        Addresses::Any => &[],
        Addresses::In(nets) | Addresses::NotIn(nets) => nets,
    }
}
