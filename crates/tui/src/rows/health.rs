//! Rows that tell how healthy things are: peers, states, drops, losses, alerts.

use std::collections::BTreeMap;
use std::time::Duration;

use hivewall_view::alerts::{Alert, AlertState};
use hivewall_view::time::parse_rfc3339;
use hivewall_view::{DropRow, FamilyCount, HalfOpenTarget, Loss, PeerLatency, Snapshot};
use serde_json::{Value, json};

use super::{Item, Key, number, share, term, word};
use crate::history::{TREND_COLUMNS, Trends, trend_of_peer};

/// The states of TCP in the order of a connection's life; those that are not here come behind them.
const LIFE: [&str; 15] = [
    "LISTEN",
    "SYN_SENT",
    "SYN_RECV",
    "NEW_SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "CLOSE_WAIT",
    "CLOSING",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSED",
    "CLOSE",
    "RESET",
];

/// A peer and how fast it answers.
#[derive(Clone, Debug)]
pub(crate) struct PeerRow {
    /// Its address.
    pub(crate) address: String,
    /// Round-trip times.
    pub(crate) latency: PeerLatency,
    /// Smoothed round-trip time of late, microseconds.
    pub(crate) trend: Vec<Option<u64>>,
    /// Smoothed round-trip time as a share of the longest one's.
    pub(crate) share: f64,
}

impl Item for PeerRow {
    fn id(&self) -> String {
        self.address.clone()
    }

    fn key(&self, head: &str) -> Key {
        let latency = &self.latency;
        match head {
            "rtt" => Key::Number(latency.smoothed_seconds),
            "last" => Key::Number(latency.last_seconds),
            "least" => Key::Number(latency.min_seconds),
            "most" => Key::Number(latency.max_seconds),
            "jitter" => Key::Number(latency.jitter_seconds),
            "peer" => word(&self.address),
            _ => number(latency.samples),
        }
    }

    fn filter(&self) -> Option<String> {
        Some(term("ip", &self.address))
    }

    fn json(&self) -> Value {
        json!({"peer": self.address, "latency": self.latency})
    }
}

pub(super) fn peers(snapshot: &Snapshot, trends: &Trends, step: Duration) -> Vec<PeerRow> {
    let longest = snapshot.latency.values().map(|peer| peer.smoothed_seconds).fold(0.0, f64::max);
    let row = |(address, latency): (&String, &PeerLatency)| PeerRow {
        address: address.clone(),
        latency: latency.clone(),
        trend: trends.columns(&trend_of_peer(address), TREND_COLUMNS, step),
        share: share(latency.smoothed_seconds, longest),
    };
    snapshot.latency.iter().map(row).collect()
}

/// Sockets of this host and flows that it saw in one TCP state.
#[derive(Clone, Debug, Default)]
pub(crate) struct StateRow {
    /// State.
    pub(crate) state: String,
    /// Sockets.
    pub(crate) sockets: FamilyCount,
    /// Flows.
    pub(crate) flows: u64,
    /// Sockets and flows as a share of the fullest state's.
    pub(crate) share: f64,
}

impl StateRow {
    /// Sockets of both families.
    pub(crate) fn total(&self) -> u64 {
        self.sockets.ipv4.saturating_add(self.sockets.ipv6)
    }
}

impl Item for StateRow {
    fn id(&self) -> String {
        self.state.clone()
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "sockets" => number(self.total()),
            "flows" => number(self.flows),
            _ => {
                let place = LIFE.iter().position(|state| *state == self.state).unwrap_or(LIFE.len());
                Key::Number(-(place as f64))
            }
        }
    }

    fn filter(&self) -> Option<String> {
        // Sockets have states that flows do not: whether it can be asked is known when it is.
        let state = self.state.to_lowercase();
        // `closed` alone is any flow that is over.
        Some(term("state", if state == "closed" { "tcp_closed" } else { &state }))
    }

    fn json(&self) -> Value {
        json!({"state": self.state, "sockets": self.sockets, "flows": self.flows})
    }
}

pub(super) fn states(snapshot: &Snapshot) -> Vec<StateRow> {
    let mut rows: BTreeMap<&str, StateRow> = BTreeMap::new();
    for (state, count) in &snapshot.sockets.tcp {
        rows.entry(state).or_default().sockets = count.clone();
    }
    for (state, flows) in &snapshot.connection_states {
        rows.entry(state).or_default().flows = *flows;
    }
    let fullest = rows.values().map(|row| row.total().max(row.flows)).max().unwrap_or(0) as f64;
    rows.into_iter()
        .map(|(state, row)| StateRow {
            state: state.to_owned(),
            share: share(row.total().max(row.flows) as f64, fullest),
            ..row
        })
        .collect()
}

impl Item for HalfOpenTarget {
    fn id(&self) -> String {
        self.target.clone()
    }

    fn key(&self, head: &str) -> Key {
        if head == "target" { word(&self.target) } else { number(self.half_open) }
    }

    fn filter(&self) -> Option<String> {
        let (address, port) = self.target.rsplit_once(':')?;
        let address = address.trim_start_matches('[').trim_end_matches(']');
        Some(format!("dst-ip:{address} dst-port:{port} state:syn_sent,syn_recv"))
    }

    fn json(&self) -> Value {
        json!(self)
    }
}

/// Something counted by name.
#[derive(Clone, Debug)]
pub(crate) struct CountRow {
    /// What.
    pub(crate) name: String,
    /// How often.
    pub(crate) count: u64,
    /// Count as a share of the greatest one.
    pub(crate) share: f64,
}

impl Item for CountRow {
    fn id(&self) -> String {
        self.name.clone()
    }

    fn key(&self, head: &str) -> Key {
        if head == "count" { number(self.count) } else { word(&self.name) }
    }

    fn json(&self) -> Value {
        json!({"name": self.name, "count": self.count})
    }
}

/// An alert.
#[derive(Clone, Debug)]
pub(crate) struct AlertRow(pub(crate) Alert);

impl Item for AlertRow {
    fn id(&self) -> String {
        self.0.id.clone()
    }

    fn key(&self, head: &str) -> Key {
        let alert = &self.0;
        match head {
            // Those that go on stand before those that are over.
            "severity" => number(alert.severity as u64 + if alert.state == AlertState::Active { 8 } else { 0 }),
            "detector" => word(&alert.detector),
            "source" => word(alert.source.as_deref().unwrap_or("-")),
            "signs" => number(alert.signs),
            // Later is greater.
            _ => Key::Number(parse_rfc3339(&alert.last_seen).map_or(0.0, |time| time.0 as f64)),
        }
    }

    fn filter(&self) -> Option<String> {
        let address = self.0.source.as_ref().or_else(|| self.0.targets.first())?;
        address.parse::<std::net::IpAddr>().is_ok().then(|| term("ip", address))
    }

    fn json(&self) -> Value {
        json!(self.0)
    }
}

pub(super) fn alerts(snapshot: &Snapshot) -> Vec<AlertRow> {
    snapshot.alerts.latest.iter().cloned().map(AlertRow).collect()
}

pub(super) fn counts(counts: &BTreeMap<String, u64>) -> Vec<CountRow> {
    let most = counts.values().copied().max().unwrap_or(0) as f64;
    let row = |(name, count): (&String, &u64)| CountRow {
        name: name.clone(),
        count: *count,
        share: share(*count as f64, most),
    };
    counts.iter().map(row).collect()
}

impl Item for DropRow {
    fn id(&self) -> String {
        format!("{} {} {}", self.reason, self.interface, self.protocol)
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "reason" => word(&self.reason),
            "interface" => word(&self.interface),
            "protocol" => word(&self.protocol),
            _ => number(self.packets),
        }
    }

    fn filter(&self) -> Option<String> {
        let ends = [self.last_source.as_deref(), self.last_destination.as_deref()];
        let address = ends.into_iter().flatten().find_map(address_of)?;
        Some(term("ip", &address))
    }

    fn text(&self) -> String {
        self.reason.clone()
    }

    fn json(&self) -> Value {
        json!(self)
    }
}

/// The address of `address`, `address:port` or `[address]:port`.
fn address_of(end: &str) -> Option<String> {
    let bare = end.parse::<std::net::IpAddr>().or_else(|_| end.parse::<std::net::SocketAddr>().map(|end| end.ip()));
    bare.ok().map(|address| address.to_string())
}

/// A loss.
#[derive(Clone, Debug)]
pub(crate) struct LossRow {
    /// Reason.
    pub(crate) reason: String,
    /// How much, and what it means.
    pub(crate) loss: Loss,
}

impl LossRow {
    /// Whether anything was lost.
    pub(crate) fn happened(&self) -> bool {
        self.loss.count > 0 || self.loss.packets > 0 || self.loss.bytes > 0
    }
}

impl Item for LossRow {
    fn id(&self) -> String {
        self.reason.clone()
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "count" => number(self.loss.count),
            "bytes" => number(self.loss.bytes),
            "reason" => word(&self.reason),
            // Those that happened first, also those of which nobody knows how many packets they took.
            _ => Key::Number(self.loss.packets as f64 + if self.happened() { 0.5 } else { 0.0 }),
        }
    }

    fn json(&self) -> Value {
        json!({"reason": self.reason, "loss": self.loss})
    }
}

pub(super) fn losses(snapshot: &Snapshot) -> Vec<LossRow> {
    snapshot.losses.iter().map(|(reason, loss)| LossRow { reason: reason.clone(), loss: loss.clone() }).collect()
}
