//! The tables that are not flows, made from a snapshot once per answer, and in the order asked for. Not here: how a row
//! looks ([`crate::screens`]).
//!
//! Invariant: nothing of the snapshot is left out; rows that stand for the rest of a bounded table come last whatever
//! the order.

mod fleet;
mod health;
mod names;
mod policy;
mod traffic;

use std::cmp::Ordering;
use std::time::Duration;

use hivewall_view::fleet::FleetView;
use hivewall_view::policy::{BanView, RefusedByRule};
use hivewall_view::{DnsRow, DropRow, FlowPage, HalfOpenTarget, HttpRow, ProcessTraffic, ServiceTraffic, Snapshot};
use serde_json::Value;

pub(crate) use fleet::FleetRows;
pub(crate) use health::{AlertRow, CountRow, LossRow, PeerRow, StateRow};
pub(crate) use names::NameRow;
pub(crate) use policy::RuleRow;
pub(crate) use traffic::{ApplicationRow, GroupRow, InterfaceRow, ProtocolRow, TalkerRow, process_packets};

use crate::history::Trends;
use crate::list::{List, Order, Orders};
use crate::tab::Tab;

/// What a row is ordered by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Key {
    /// From the greatest down.
    Number(f64),
    /// From A to Z.
    Text(String),
}

/// A row that can be selected, ordered, followed to its flows and copied.
pub(crate) trait Item {
    /// What makes it the same row in the next snapshot.
    fn id(&self) -> String;

    /// What it is ordered by in the column `head`, one of its list's `orders`.
    fn key(&self, head: &str) -> Key;

    /// Whether it stands for all that a bounded table does not list.
    fn is_rest(&self) -> bool {
        false
    }

    /// Filter of the flows behind it, where there are such.
    fn filter(&self) -> Option<String> {
        None
    }

    /// The text that is most useful elsewhere.
    fn text(&self) -> String {
        self.id()
    }

    /// All of it as JSON.
    fn json(&self) -> Value;
}

/// Everything prepared from one snapshot, and flows by process from one page of flows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) groups: Vec<GroupRow>,
    pub(crate) processes: Vec<ProcessTraffic>,
    pub(crate) talkers: Vec<TalkerRow>,
    pub(crate) lookups: Vec<DnsRow>,
    pub(crate) dns_names: Vec<NameRow>,
    pub(crate) requests: Vec<HttpRow>,
    pub(crate) hosts: Vec<NameRow>,
    pub(crate) server_names: Vec<NameRow>,
    pub(crate) fingerprints: Vec<NameRow>,
    pub(crate) protocols: Vec<ProtocolRow>,
    pub(crate) applications: Vec<ApplicationRow>,
    pub(crate) services: Vec<ServiceTraffic>,
    pub(crate) interfaces: Vec<InterfaceRow>,
    pub(crate) peers: Vec<PeerRow>,
    pub(crate) states: Vec<StateRow>,
    pub(crate) half_open: Vec<HalfOpenTarget>,
    pub(crate) transitions: Vec<CountRow>,
    pub(crate) drops: Vec<DropRow>,
    pub(crate) losses: Vec<LossRow>,
    pub(crate) alerts: Vec<AlertRow>,
    pub(crate) rules: Vec<RuleRow>,
    pub(crate) refused: Vec<RefusedByRule>,
    pub(crate) bans: Vec<BanView>,
    pub(crate) fleet: FleetRows,
}

impl Rows {
    /// Takes over `snapshot` with what is known of the time before it, one value for each `step`.
    pub(crate) fn take(&mut self, snapshot: &Snapshot, trends: &Trends, step: Duration, orders: &Orders) {
        *self = Self {
            groups: std::mem::take(&mut self.groups),
            fleet: std::mem::take(&mut self.fleet),
            processes: snapshot.processes.clone(),
            talkers: traffic::talkers(snapshot),
            lookups: snapshot.dns_queries.recent.clone(),
            dns_names: names::counted(&snapshot.dns_queries.top_names, names::Kind::Dns),
            requests: snapshot.http_requests.recent.clone(),
            hosts: names::counted(&snapshot.http_requests.top_hosts, names::Kind::Name),
            server_names: names::counted(&snapshot.tls_handshakes.top_names, names::Kind::Name),
            fingerprints: names::counted(&snapshot.tls_handshakes.top_ja4, names::Kind::Ja4),
            protocols: traffic::protocols(snapshot),
            applications: traffic::applications(snapshot),
            services: snapshot.services.clone(),
            interfaces: traffic::interfaces(snapshot, trends, step),
            peers: health::peers(snapshot, trends, step),
            states: health::states(snapshot),
            half_open: snapshot.half_open_targets.clone(),
            transitions: health::counts(&snapshot.sockets.transitions),
            drops: snapshot.kernel_drops.clone(),
            losses: health::losses(snapshot),
            alerts: health::alerts(snapshot),
            rules: policy::rules(snapshot),
            refused: snapshot.refused.rules.clone(),
            bans: snapshot.firewall_rules.bans.clone(),
        };
        for list in List::ALL {
            if list != List::Groups {
                self.order(list, orders.of(list));
            }
        }
    }

    /// Takes over what is known of the fleet.
    pub(crate) fn take_fleet(&mut self, fleet: Option<&FleetView>, orders: &Orders) {
        self.fleet = FleetRows::of(fleet);
        for list in Tab::Fleet.lists() {
            self.order(*list, orders.of(*list));
        }
    }

    /// Takes over a page of flows.
    pub(crate) fn group(&mut self, page: &FlowPage, orders: &Orders) {
        self.groups = traffic::groups(page);
        self.order(List::Groups, orders.of(List::Groups));
    }

    /// Puts the rows of `list` into `order`.
    pub(crate) fn order(&mut self, list: List, order: Order) {
        match list {
            List::Groups => sort(&mut self.groups, order),
            List::Processes => sort(&mut self.processes, order),
            List::Talkers => sort(&mut self.talkers, order),
            List::Lookups => sort(&mut self.lookups, order),
            List::DnsNames => sort(&mut self.dns_names, order),
            List::Requests => sort(&mut self.requests, order),
            List::Hosts => sort(&mut self.hosts, order),
            List::ServerNames => sort(&mut self.server_names, order),
            List::Fingerprints => sort(&mut self.fingerprints, order),
            List::Protocols => sort(&mut self.protocols, order),
            List::Applications => sort(&mut self.applications, order),
            List::Services => sort(&mut self.services, order),
            List::Interfaces => sort(&mut self.interfaces, order),
            List::Peers => sort(&mut self.peers, order),
            List::States => sort(&mut self.states, order),
            List::HalfOpen => sort(&mut self.half_open, order),
            List::Transitions => sort(&mut self.transitions, order),
            List::KernelDrops => sort(&mut self.drops, order),
            List::Losses => sort(&mut self.losses, order),
            List::Alerts => sort(&mut self.alerts, order),
            List::Rules => sort(&mut self.rules, order),
            List::Refused => sort(&mut self.refused, order),
            List::Bans => sort(&mut self.bans, order),
            List::Members => sort(&mut self.fleet.members, order),
            List::FleetSources => sort(&mut self.fleet.sources, order),
            List::FleetDestinations => sort(&mut self.fleet.destinations, order),
            List::FleetServices => sort(&mut self.fleet.services, order),
            List::Links => sort(&mut self.fleet.links, order),
            List::Flows | List::Page => {}
        }
    }

    /// The rows of `list`; none for flows, which are not made from a snapshot.
    pub(crate) fn items(&self, list: List) -> Vec<&dyn Item> {
        match list {
            List::Groups => all(&self.groups),
            List::Processes => all(&self.processes),
            List::Talkers => all(&self.talkers),
            List::Lookups => all(&self.lookups),
            List::DnsNames => all(&self.dns_names),
            List::Requests => all(&self.requests),
            List::Hosts => all(&self.hosts),
            List::ServerNames => all(&self.server_names),
            List::Fingerprints => all(&self.fingerprints),
            List::Protocols => all(&self.protocols),
            List::Applications => all(&self.applications),
            List::Services => all(&self.services),
            List::Interfaces => all(&self.interfaces),
            List::Peers => all(&self.peers),
            List::States => all(&self.states),
            List::HalfOpen => all(&self.half_open),
            List::Transitions => all(&self.transitions),
            List::KernelDrops => all(&self.drops),
            List::Losses => all(&self.losses),
            List::Alerts => all(&self.alerts),
            List::Rules => all(&self.rules),
            List::Refused => all(&self.refused),
            List::Bans => all(&self.bans),
            List::Members => all(&self.fleet.members),
            List::FleetSources => all(&self.fleet.sources),
            List::FleetDestinations => all(&self.fleet.destinations),
            List::FleetServices => all(&self.fleet.services),
            List::Links => all(&self.fleet.links),
            List::Flows | List::Page => Vec::new(),
        }
    }

    /// Losses that happened.
    pub(crate) fn happened(&self) -> usize {
        self.losses.iter().filter(|row| row.happened()).count()
    }
}

fn all<R: Item>(rows: &[R]) -> Vec<&dyn Item> {
    rows.iter().map(|row| row as &dyn Item).collect()
}

fn sort<R: Item>(rows: &mut [R], order: Order) {
    rows.sort_by_cached_key(|row| Place {
        rest: row.is_rest(),
        key: row.key(order.column),
        reversed: order.reversed,
        id: row.id(),
    });
}

/// Where a row belongs: the rest last, then by its key, then by name so that equals do not jump about.
#[derive(PartialEq)]
struct Place {
    rest: bool,
    key: Key,
    reversed: bool,
    id: String,
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = match (&self.key, &other.key) {
            (Key::Number(a), Key::Number(b)) => b.total_cmp(a),
            (Key::Text(a), Key::Text(b)) => a.cmp(b),
            (Key::Number(_), Key::Text(_)) => Ordering::Less,
            (Key::Text(_), Key::Number(_)) => Ordering::Greater,
        };
        let order = if self.reversed { order.reverse() } else { order };
        self.rest.cmp(&other.rest).then(order).then_with(|| self.id.cmp(&other.id))
    }
}

fn number(value: u64) -> Key {
    Key::Number(value as f64)
}

/// Seconds that may be unknown; unknown ones stand behind the known, longest first.
fn seconds(value: Option<f64>) -> Key {
    Key::Number(value.unwrap_or(-1.0))
}

fn word(text: &str) -> Key {
    Key::Text(text.to_lowercase())
}

/// `key:value` as the filter language reads it back, quoted where it has to be.
fn term(key: &str, value: &str) -> String {
    let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || "\"\\,".contains(c));
    if plain {
        return format!("{key}:{value}");
    }
    let quoted: String =
        value.chars().flat_map(|c| ['\\'].into_iter().filter(move |_| "\"\\".contains(c)).chain([c])).collect();
    format!("{key}:\"{quoted}\"")
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests;
