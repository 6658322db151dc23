//! Rows that count traffic: addresses, protocols, applications, server ports, processes, interfaces, and flows by process.

use std::collections::BTreeMap;
use std::time::Duration;

use hivewall_view::{
    AddressTraffic, ApplicationTraffic, FlowPage, FlowRow, InterfaceUtilization, ProcessTraffic, ProtocolTraffic,
    ServiceTraffic, Snapshot, TopTalker,
};
use serde_json::{Value, json};

use super::{Item, Key, number, share, term, word};
use crate::history::{TREND_COLUMNS, Trends, trend_in, trend_out};

/// Name under which a bounded table adds up what it does not list.
const OTHER: &str = "other";
/// What stands for a process that is not known.
const UNKNOWN: &str = "(unknown)";

/// An address.
#[derive(Clone, Debug, Default)]
pub(crate) struct TalkerRow {
    /// Address, or `other`.
    pub(crate) address: String,
    /// Rates now, where it is among the busiest.
    pub(crate) rates: Option<TopTalker>,
    /// Totals since the start, where they are kept.
    pub(crate) totals: AddressTraffic,
    /// Rate as a share of the busiest address's.
    pub(crate) share: f64,
}

impl TalkerRow {
    /// Bits per second now; 0 where unknown.
    pub(crate) fn rate(&self) -> f64 {
        self.rates.as_ref().map_or(0.0, |rates| rates.bits_per_second)
    }

    /// IP bytes, both ways.
    pub(crate) fn bytes(&self) -> u64 {
        let totals = self.totals.sent_bytes.saturating_add(self.totals.received_bytes);
        totals.max(self.rates.as_ref().map_or(0, |rates| rates.bytes))
    }

    /// Packets, both ways.
    pub(crate) fn packets(&self) -> u64 {
        self.totals.sent_packets.saturating_add(self.totals.received_packets)
    }
}

impl Item for TalkerRow {
    fn id(&self) -> String {
        self.address.clone()
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "total" => number(self.bytes()),
            "sent" => number(self.totals.sent_bytes),
            "received" => number(self.totals.received_bytes),
            "packets" => number(self.packets()),
            "address" => word(&self.address),
            // Those without a rate stand by their totals: far below one bit a second, and in order.
            _ => Key::Number(self.rate() + self.bytes() as f64 / 1e20),
        }
    }

    fn is_rest(&self) -> bool {
        self.address == OTHER
    }

    fn filter(&self) -> Option<String> {
        (!self.is_rest()).then(|| term("ip", &self.address))
    }

    fn json(&self) -> Value {
        json!({"address": self.address, "rates": self.rates, "totals": self.totals})
    }
}

pub(super) fn talkers(snapshot: &Snapshot) -> Vec<TalkerRow> {
    let busiest = snapshot.top_talkers.iter().map(|talker| talker.bits_per_second).fold(0.0, f64::max);
    let mut totals = snapshot.ip_traffic_distribution.clone();
    let mut rows: Vec<TalkerRow> = snapshot
        .top_talkers
        .iter()
        .map(|talker| TalkerRow {
            address: talker.address.clone(),
            totals: totals.remove(&talker.address).unwrap_or_default(),
            share: share(talker.bits_per_second, busiest),
            rates: Some(talker.clone()),
        })
        .collect();
    rows.extend(totals.into_iter().map(|(address, totals)| TalkerRow { address, totals, ..TalkerRow::default() }));
    rows
}

/// A protocol of the whole host.
#[derive(Clone, Debug)]
pub(crate) struct ProtocolRow {
    /// Name.
    pub(crate) name: String,
    /// Counters.
    pub(crate) traffic: ProtocolTraffic,
    /// Share of all bits per second now; of all bytes while nothing flows.
    pub(crate) share: f64,
}

impl Item for ProtocolRow {
    fn id(&self) -> String {
        self.name.clone()
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "total" => number(self.traffic.bytes),
            "packets" => number(self.traffic.packets),
            "flows" => number(self.traffic.active_flows),
            "protocol" => word(&self.name),
            _ => Key::Number(self.traffic.bits_per_second + self.traffic.bytes as f64 / 1e20),
        }
    }

    fn filter(&self) -> Option<String> {
        Some(term("proto", &self.name))
    }

    fn json(&self) -> Value {
        json!({"protocol": self.name, "traffic": self.traffic})
    }
}

pub(super) fn protocols(snapshot: &Snapshot) -> Vec<ProtocolRow> {
    let all = &snapshot.protocols;
    let rate: f64 = all.values().map(|traffic| traffic.bits_per_second).sum();
    let bytes: f64 = all.values().map(|traffic| traffic.bytes as f64).sum();
    all.iter()
        .map(|(name, traffic)| ProtocolRow {
            name: name.clone(),
            share: if rate > 0.0 { share(traffic.bits_per_second, rate) } else { share(traffic.bytes as f64, bytes) },
            traffic: traffic.clone(),
        })
        .collect()
}

/// An application protocol.
#[derive(Clone, Debug)]
pub(crate) struct ApplicationRow {
    /// Name.
    pub(crate) name: String,
    /// Counters.
    pub(crate) traffic: ApplicationTraffic,
    /// Share of all bytes.
    pub(crate) share: f64,
}

impl ApplicationRow {
    /// The name, with a mark where every flow of it is a guess from the port.
    pub(crate) fn shown(&self) -> String {
        if self.is_guess() { format!("~{}", self.name) } else { self.name.clone() }
    }

    /// Whether no payload ever showed it.
    pub(crate) fn is_guess(&self) -> bool {
        self.traffic.flows > 0 && self.traffic.guessed_flows >= self.traffic.flows
    }
}

impl Item for ApplicationRow {
    fn id(&self) -> String {
        self.name.clone()
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "packets" => number(self.traffic.packets),
            "flows" => number(self.traffic.flows),
            "application" => word(&self.name),
            _ => number(self.traffic.bytes),
        }
    }

    fn is_rest(&self) -> bool {
        self.name == OTHER
    }

    fn filter(&self) -> Option<String> {
        (!self.is_rest()).then(|| term("app", &self.name))
    }

    fn json(&self) -> Value {
        json!({"application": self.name, "traffic": self.traffic})
    }
}

pub(super) fn applications(snapshot: &Snapshot) -> Vec<ApplicationRow> {
    let bytes: f64 = snapshot.applications.values().map(|traffic| traffic.bytes as f64).sum();
    let row = |(name, traffic): (&String, &ApplicationTraffic)| ApplicationRow {
        name: name.clone(),
        share: share(traffic.bytes as f64, bytes),
        traffic: traffic.clone(),
    };
    snapshot.applications.iter().map(row).collect()
}

impl Item for ServiceTraffic {
    fn id(&self) -> String {
        format!("{}/{}", self.protocol, self.port)
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "packets" => number(self.packets),
            "flows" => number(self.flows),
            "port" => Key::Number(-f64::from(self.port)),
            _ => number(self.bytes),
        }
    }

    fn is_rest(&self) -> bool {
        self.port == 0
    }

    fn filter(&self) -> Option<String> {
        (!self.is_rest()).then(|| format!("proto:{} dst-port:{}", self.protocol, self.port))
    }

    fn json(&self) -> Value {
        json!(self)
    }
}

/// Packets of a process, both ways.
pub(crate) fn process_packets(row: &ProcessTraffic) -> u64 {
    row.sent_packets.saturating_add(row.received_packets)
}

impl Item for ProcessTraffic {
    fn id(&self) -> String {
        format!("{} {}", self.process, self.pid)
    }

    fn key(&self, head: &str) -> Key {
        let total = self.sent_bytes.saturating_add(self.received_bytes);
        match head {
            "total" => number(total),
            "sent" => number(self.sent_bytes),
            "received" => number(self.received_bytes),
            "packets" => number(process_packets(self)),
            "live" => number(self.active_flows),
            "flows" => number(self.flows),
            "process" => word(&self.process),
            "pid" => Key::Number(-f64::from(self.pid)),
            _ => Key::Number(self.sent_bits_per_second + self.received_bits_per_second + total as f64 / 1e20),
        }
    }

    fn is_rest(&self) -> bool {
        self.pid == 0
    }

    fn filter(&self) -> Option<String> {
        // Several processes have one name; where the language knows numbers, it is this one.
        let numbered = hivewall_view::filter::keys().any(|key| key.name == "pid");
        let pid = if numbered { format!(" pid:{}", self.pid) } else { String::new() };
        (!self.is_rest()).then(|| term("process", &self.process) + &pid)
    }

    fn text(&self) -> String {
        self.executable.clone().unwrap_or_else(|| self.process.clone())
    }

    fn json(&self) -> Value {
        json!(self)
    }
}

/// An interface.
#[derive(Clone, Debug)]
pub(crate) struct InterfaceRow {
    /// Name.
    pub(crate) name: String,
    /// Its load.
    pub(crate) load: InterfaceUtilization,
    /// Bits per second received and sent of late, the newest last.
    pub(crate) trends: [Vec<Option<u64>>; 2],
}

impl Item for InterfaceRow {
    fn id(&self) -> String {
        self.name.clone()
    }

    fn key(&self, head: &str) -> Key {
        let load = &self.load;
        match head {
            "interface" => word(&self.name),
            "in" => Key::Number(load.in_bits_per_second),
            "out" => Key::Number(load.out_bits_per_second),
            "received" => number(load.in_bytes),
            "sent" => number(load.out_bytes),
            "errors" => number(load.errors),
            "dropped" => number(load.dropped),
            _ => number(u64::from(load.captured) * 2 + u64::from(load.up)),
        }
    }

    fn filter(&self) -> Option<String> {
        Some(term("interface", &self.name))
    }

    fn json(&self) -> Value {
        json!({"interface": self.name, "load": self.load})
    }
}

pub(super) fn interfaces(snapshot: &Snapshot, trends: &Trends, step: Duration) -> Vec<InterfaceRow> {
    let row = |(name, load): (&String, &InterfaceUtilization)| InterfaceRow {
        name: name.clone(),
        load: load.clone(),
        trends: [trend_in(name), trend_out(name)].map(|trend| trends.columns(&trend, TREND_COLUMNS, step)),
    };
    snapshot.interface_utilization.iter().map(row).collect()
}

/// Flows of one process on a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GroupRow {
    /// Command name; `(unknown)` where the process is not known.
    pub(crate) process: String,
    /// Flows.
    pub(crate) flows: u64,
    /// Of those, living.
    pub(crate) active: u64,
    /// IP bytes from clients to servers.
    pub(crate) to_server: u64,
    /// IP bytes from servers to clients.
    pub(crate) to_client: u64,
    /// Packets.
    pub(crate) packets: u64,
    /// Bits per second now.
    pub(crate) rate: f64,
    /// Rate as a share of the busiest group's; of the bytes while nothing flows.
    pub(crate) share: f64,
    /// Latest packet, RFC 3339.
    pub(crate) last: String,
}

impl GroupRow {
    /// IP bytes, both ways.
    pub(crate) fn bytes(&self) -> u64 {
        self.to_server.saturating_add(self.to_client)
    }

    fn add(&mut self, flow: &FlowRow) {
        self.flows += 1;
        self.active += u64::from(flow.state == "active");
        self.to_server += flow.bytes_to_server;
        self.to_client += flow.bytes_to_client;
        self.packets += flow.packets;
        self.rate += flow.bits_per_second;
        if flow.end > self.last {
            self.last.clone_from(&flow.end);
        }
    }
}

impl Item for GroupRow {
    fn id(&self) -> String {
        self.process.clone()
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "total" => number(self.bytes()),
            "packets" => number(self.packets),
            "flows" => number(self.flows),
            "process" => word(&self.process),
            _ => Key::Number(self.rate + self.bytes() as f64 / 1e20),
        }
    }

    fn is_rest(&self) -> bool {
        self.process == UNKNOWN
    }

    fn filter(&self) -> Option<String> {
        (!self.is_rest()).then(|| term("process", &self.process))
    }

    fn json(&self) -> Value {
        json!({
            "process": self.process,
            "flows": self.flows,
            "active_flows": self.active,
            "bytes_to_server": self.to_server,
            "bytes_to_client": self.to_client,
            "packets": self.packets,
            "bits_per_second": self.rate,
            "end": self.last,
        })
    }
}

pub(super) fn groups(page: &FlowPage) -> Vec<GroupRow> {
    let mut groups: BTreeMap<&str, GroupRow> = BTreeMap::new();
    for flow in &page.flows {
        let name = flow.process.as_deref().unwrap_or(UNKNOWN);
        let group = || GroupRow { process: name.to_owned(), ..GroupRow::default() };
        groups.entry(name).or_insert_with(group).add(flow);
    }
    let mut rows: Vec<GroupRow> = groups.into_values().collect();
    let rate = rows.iter().map(|row| row.rate).fold(0.0, f64::max);
    let bytes = rows.iter().map(|row| row.bytes() as f64).fold(0.0, f64::max);
    for row in &mut rows {
        row.share = if rate > 0.0 { share(row.rate, rate) } else { share(row.bytes() as f64, bytes) };
    }
    rows
}

impl Item for FlowRow {
    fn id(&self) -> String {
        self.flow_id.to_string()
    }

    /// The agent orders flows.
    fn key(&self, _: &str) -> Key {
        Key::Number(0.0)
    }

    fn text(&self) -> String {
        use hivewall_view::fields::endpoint;
        let (client, server) = (endpoint(&self.source_ip, self.src_port), endpoint(&self.dest_ip, self.dest_port));
        format!("{} {client} {server}", self.protocol)
    }

    fn json(&self) -> Value {
        json!(self)
    }
}
